// What somebody has opened stays open: new copies of a part of the page come whenever something happened.

/** Keep the open <details> of `area`, known by their ids, whenever htmx brings a new copy of what is in it. */
export function keepOpen(area) {
  let open = [];
  area.addEventListener("htmx:beforeSwap", () => {
    open = [...area.querySelectorAll("details[id][open]")].map((details) => details.id);
  });
  area.addEventListener("htmx:afterSwap", () => {
    for (const id of open) document.getElementById(id)?.setAttribute("open", "");
  });
}
