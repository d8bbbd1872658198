// The console page: a ticket, a WebSocket, and the island for its kind.
const area = document.getElementById("console");
const status = document.getElementById("console-status");
const reconnect = document.getElementById("reconnect");
const words = area.dataset;
const ENDED = 4410;

function say(text, isOver) {
  status.textContent = text;
  reconnect.hidden = !isOver;
}

/** The address of the console for one opening, or null after saying why there is none. */
async function address() {
  const answer = await fetch(words.ticket, {
    method: "POST",
    headers: { Accept: "application/json", "X-CSRF-Token": words.csrf },
    body: new URLSearchParams({ kind: words.kind }),
  });
  if (answer.status === 401) {
    location.reload(); // leads to the login page and back
    return null;
  }
  if (!answer.ok) {
    const problem = await answer.json().catch(() => ({}));
    say(problem.code === "vm_is_off" ? words.off : words.refused, true);
    return null;
  }
  const url = new URL((await answer.json()).url, location.href);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  return url.href;
}

/** Somebody else types on this console now, or this one does again. */
function keyboard({ keyboard: mine, by }) {
  area.dataset.keyboard = mine ? "mine" : "other";
  if (mine) say(words.yours, false);
  else say(by ? words.watching.replace("{name}", by) : words.watchingSomeone, false);
}

function over(code) {
  area.dataset.state = "over";
  say(code === ENDED ? words.ended : code > ENDED || (code >= 4400 && code < ENDED) ? words.refused : words.lost, true);
  reconnect.focus();
}

async function connect(island) {
  say(words.connecting, false);
  area.dataset.state = "connecting";
  try {
    const url = await address();
    if (!url) return;
    island.open(url, {
      keyboard,
      opened: () => {
        area.dataset.state = "open";
        area.dataset.keyboard = "mine"; // the newest types
        say(words.connected, false);
      },
      over,
    });
  } catch {
    over(0);
  }
}

const { makeIsland } = words.kind === "vnc" ? await import("./vnc.js") : await import("./serial.js");
const island = makeIsland(area);
reconnect.addEventListener("click", () => connect(island));
await connect(island);
