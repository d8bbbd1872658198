// The screen of a machine in noVNC.
import RFB from "@novnc/novnc";

export function makeIsland(area) {
  let rfb = null;
  return {
    open(url, { opened, over, keyboard }) {
      rfb?.disconnect();
      let code = 0;
      const socket = new WebSocket(url);
      socket.binaryType = "arraybuffer";
      socket.addEventListener("close", (event) => (code = event.code));
      // Text is for us; noVNC takes it for nothing.
      socket.addEventListener("message", (event) => {
        if (typeof event.data === "string" && mine === rfb) keyboard(JSON.parse(event.data));
      });
      const mine = new RFB(area, socket, { shared: true });
      rfb = mine;
      mine.scaleViewport = true;
      mine.background = "#101418";
      mine.addEventListener("connect", () => {
        opened();
        mine.focus();
      });
      mine.addEventListener("disconnect", () => mine === rfb && over(code));
    },
  };
}
