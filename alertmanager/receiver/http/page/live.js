// Replaces the parts of the page that have changed. Without this script the page is complete, only not live.
"use strict";

const connection = document.getElementById("connection");

function show(text, well) {
  connection.hidden = false;
  connection.textContent = text;
  connection.className = well ? "quiet" : "fault";
}

// What had the keyboard's focus has it again after its part was replaced.
function replace(part, markup) {
  const focused = part.contains(document.activeElement) ? document.activeElement : null;
  const href = focused && focused.getAttribute("href");
  const region = focused && focused.getAttribute("role") === "region";
  part.innerHTML = markup;
  if (!focused) return;
  const again = href ? part.querySelector(`a[href="${CSS.escape(href)}"]`) : region && part.querySelector("[role=region]");
  if (again) again.focus({ preventScroll: true });
}

const stream = new EventSource("/page/live");

stream.addEventListener("message", (event) => {
  show("Live", true);
  for (const [name, markup] of Object.entries(JSON.parse(event.data))) {
    const part = document.getElementById(name);
    if (!part) continue;
    if (name === "announcement") {
      if (part.textContent !== markup) part.textContent = markup;
    } else {
      replace(part, markup);
    }
  }
  const state = document.getElementById("state-title");
  if (state) document.title = document.title.replace(/^[^—]*/, `${state.textContent} `);
});
stream.addEventListener("fault", (event) => show(JSON.parse(event.data), false));
stream.addEventListener("open", () => show("Live", true));
stream.addEventListener("error", () => show("Not live: the receiver does not answer", false));
