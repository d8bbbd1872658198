// The stream only says that something happened; the page is then asked for again, so it is never half new.
const SETTLE_MS = 150;
const RETRY_MS = 3000;
// Time left grows old without any event, and some news (an address from DHCP) comes without one: such parts say so.
const AGAIN_MS = 60_000;
const UNSETTLED_MS = 4000;

/** Call `changed` when the stream of `element` (its data-stream) has news, at most once per SETTLE_MS. */
export function watch(element, changed) {
  const disconnected = document.getElementById("disconnected");
  let timer = 0;
  const soon = () => {
    timer ||= setTimeout(() => {
      timer = 0;
      changed();
    }, SETTLE_MS);
  };
  holdWhilePressed(element, soon);
  const again = () => {
    setTimeout(again, element.querySelector("[data-unsettled]") ? UNSETTLED_MS : AGAIN_MS);
    if (!document.hidden) changed();
  };
  setTimeout(again, UNSETTLED_MS);
  const open = () => {
    const source = new EventSource(element.dataset.stream);
    // What happened between the making of the page and now is in the page's next copy.
    source.onopen = () => {
      disconnected.hidden = true;
      soon();
    };
    source.onmessage = soon;
    source.onerror = () => {
      disconnected.hidden = false;
      if (source.readyState !== EventSource.CLOSED) return; // the browser comes back by itself
      // Refused, most likely because the session has ended: asking for the page leads to the login page and back.
      soon();
      setTimeout(open, RETRY_MS);
    };
    addEventListener("pagehide", () => source.close(), { once: true });
  };
  open();
}

/** A click on what is replaced between press and release is lost: a new copy that comes then is asked for `later`. */
function holdWhilePressed(element, later) {
  let pressed = false;
  element.addEventListener("pointerdown", () => (pressed = true));
  // Once the click, which comes after these, has found its button.
  const release = () => setTimeout(() => (pressed = false));
  addEventListener("pointerup", release);
  addEventListener("pointercancel", release);
  element.addEventListener("htmx:beforeSwap", (event) => {
    if (!pressed || event.detail.requestConfig.verb !== "get") return;
    event.detail.shouldSwap = false;
    later();
  });
}
