// A serial console in xterm.js.
import { FitAddon } from "@xterm/addon-fit";
import { Terminal } from "@xterm/xterm";
import { avoidInlineStyles } from "./styles.js";

export function makeIsland(area) {
  avoidInlineStyles();
  const terminal = new Terminal({
    cursorBlink: true,
    fontFamily: "ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace",
    fontSize: 15,
    scrollback: 5000,
    screenReaderMode: true,
    theme: { background: "#101418", foreground: "#e6e9ec" },
  });
  const fit = new FitAddon();
  terminal.loadAddon(fit);
  terminal.open(area);
  fit.fit();
  new ResizeObserver(() => fit.fit()).observe(area);
  // Tab belongs to the shell; whoever moves by keyboard leaves the terminal with Ctrl+F6, as with any editor.
  terminal.attachCustomKeyEventHandler((event) => {
    if (!(event.ctrlKey && event.key === "F6")) return true;
    if (event.type === "keydown") document.querySelector(".console-bar a").focus();
    return false;
  });

  let socket = null;
  const encoder = new TextEncoder();
  const send = (bytes) => socket?.readyState === WebSocket.OPEN && socket.send(bytes);
  terminal.onData((text) => send(encoder.encode(text)));
  terminal.onBinary((text) => send(Uint8Array.from(text, (char) => char.charCodeAt(0))));

  return {
    open(url, { opened, over, keyboard }) {
      socket?.close();
      terminal.reset();
      const mine = new WebSocket(url);
      socket = mine;
      mine.binaryType = "arraybuffer";
      mine.onopen = () => {
        opened();
        terminal.focus();
      };
      mine.onmessage = (event) => {
        if (typeof event.data !== "string") terminal.write(new Uint8Array(event.data));
        else if (mine === socket) keyboard(JSON.parse(event.data));
      };
      mine.onclose = (event) => mine === socket && over(event.code);
    },
  };
}
