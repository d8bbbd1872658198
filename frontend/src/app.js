// What pages do beyond plain HTML: forms answer in place, and the page looks again when something happened.
import htmx from "htmx.org";
import { showLocalTimes } from "./times.js";
import { keepOpen } from "./kept.js";
import { watch } from "./live.js";

showLocalTimes(document);
// Parts that htmx brings in later need the same.
document.body.addEventListener("htmx:load", (event) => showLocalTimes(event.target));

// A write that worked makes the message about an earlier one that did not obsolete.
document.body.addEventListener("htmx:beforeRequest", (event) => {
  if (event.detail.requestConfig.verb !== "get") document.getElementById("messages").replaceChildren();
});

const live = document.getElementById("live");
if (live) keepOpen(live);
if (live?.dataset.stream) watch(live, () => htmx.trigger(live, "parcela:changed"));
