// Renews the list. Without this script it is complete, and the browser loads it again every ten seconds.
"use strict";

const SECONDS = 5;
const PATIENCE_SECONDS = 3 * SECONDS; // a server that hangs does not answer, and nothing else would end the question
const connection = document.getElementById("connection");

function show(text, well) {
  if (connection.textContent !== text) connection.textContent = text;
  connection.className = well ? "quiet" : "fault";
}

// What has the keyboard's focus is a link; the same one has it again.
async function renew() {
  if (document.hidden) return;
  try {
    const answer = await fetch(location.href, { cache: "no-store", signal: AbortSignal.timeout(PATIENCE_SECONDS * 1000) });
    if (!answer.ok) throw new Error(String(answer.status));
    const found = new DOMParser().parseFromString(await answer.text(), "text/html");
    const list = document.getElementById("list");
    const fresh = found.getElementById("list");
    if (fresh.innerHTML !== list.innerHTML) {
      const focused = list.contains(document.activeElement) && document.activeElement.getAttribute("href");
      list.innerHTML = fresh.innerHTML;
      const again = focused && list.querySelector(`a[href="${CSS.escape(focused)}"]`);
      if (again) again.focus({ preventScroll: true });
      document.title = found.title;
    }
    show("Live", true);
  } catch {
    show("Not live: the server does not answer", false);
  }
}

setInterval(renew, SECONDS * 1000);
document.addEventListener("visibilitychange", renew);
renew();
