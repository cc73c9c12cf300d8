// Replaces the parts of the page that have changed. Without this script the page is complete, only not live.
"use strict";

const connection = document.getElementById("connection");

function show(text, well) {
  connection.hidden = false;
  connection.textContent = text;
  connection.className = well ? "quiet" : "fault";
}

// Beside each moment in UTC, the reader's own clock and zone.
const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", timeZoneName: "short" });

function localize(part) {
  for (const moment of part.querySelectorAll("time:not([data-local])")) {
    const own = clock.format(new Date(moment.dateTime));
    moment.dataset.local = own;
    if (!own.endsWith("UTC")) moment.title = `${moment.title}, ${own} here`;
  }
}

// What had the keyboard's focus has it again after its part was replaced; what was unfolded or scrolled stays so.
function replace(part, markup) {
  const focused = part.contains(document.activeElement) ? document.activeElement : null;
  const href = focused && focused.getAttribute("href");
  const label = focused && focused.getAttribute("aria-label");
  const folded = focused && focused.localName === "summary" ? focused.parentElement.id : "";
  const open = [...part.querySelectorAll("details[open]")].map((one) => one.id);
  const scrolled = [...part.querySelectorAll(".wide")].map((one) => one.scrollLeft);
  part.innerHTML = markup;
  localize(part);
  for (const one of part.querySelectorAll("details")) if (one.id && open.includes(one.id)) one.open = true;
  [...part.querySelectorAll(".wide")].forEach((one, index) => { one.scrollLeft = scrolled[index] || 0; });
  if (!focused) return;
  const again = href
    ? part.querySelector(`a[href="${CSS.escape(href)}"]`)
    : folded
      ? part.querySelector(`#${CSS.escape(folded)} > summary`)
      : label && part.querySelector(`[role=region][aria-label="${CSS.escape(label)}"]`);
  if (again) again.focus({ preventScroll: true });
}

localize(document);

// The receiver says at least every ten seconds that it is there. A connection may also die without a word (a lid closed,
// a network gone, a receiver that hangs): the browser would wait, and what is shown be called live, for many minutes.
const SILENT_MS = 30000;
let stream, heard, waiting;

function hear() {
  heard = waiting = Date.now();
  show("Live", true);
}

function receive(event) {
  hear();
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
}

// Closed is a stream that was answered by something else: by a receiver that serves this page no more, or by a proxy.
function lost() {
  const gone = stream.readyState === EventSource.CLOSED;
  show(gone ? "Not live: this page is not served any more, or not yet again" : "Not live: the receiver does not answer", false);
}

function listen() {
  if (stream) stream.close();
  waiting = Date.now();
  stream = new EventSource("page/live");
  stream.addEventListener("message", receive);
  stream.addEventListener("alive", hear);
  stream.addEventListener("fault", (event) => {
    hear();
    show(JSON.parse(event.data), false);
  });
  stream.addEventListener("open", hear);
  stream.addEventListener("error", lost);
}

listen();
setInterval(() => {
  if (Date.now() - waiting < SILENT_MS) return;
  show(heard ? `Not live: nothing heard since ${clock.format(heard)}` : "Not live: the receiver does not answer", false);
  listen();
}, SILENT_MS / 10);
