// xterm.js writes its colours and sizes into <style> elements and style attributes, which our
// Content-Security-Policy refuses. What scripts set through the CSSOM is allowed, so on the console page both become
// that. (Its documentOverride option does not reach the scroll bar, which uses the global document.)

/** Make style elements of this page constructed style sheets, and style attributes of its spans CSSOM properties. */
export function avoidInlineStyles() {
  const create = document.createElement.bind(document);
  document.createElement = (name, options) => {
    const tag = String(name).toLowerCase();
    if (tag === "style") return constructedStyle(create("span"));
    const element = create(name, options);
    return tag === "span" ? withoutStyleAttribute(element) : element;
  };
}

/** An invisible element whose text is a style sheet of the page for as long as it is not removed. */
function constructedStyle(element) {
  const sheet = new CSSStyleSheet();
  element.hidden = true;
  document.adoptedStyleSheets.push(sheet);
  Object.defineProperty(element, "textContent", { set: (css) => sheet.replaceSync(css) });
  element.remove = () => {
    document.adoptedStyleSheets = document.adoptedStyleSheets.filter((other) => other !== sheet);
    Element.prototype.remove.call(element);
  };
  return element;
}

function withoutStyleAttribute(element) {
  element.setAttribute = (name, value) => {
    if (name === "style") element.style.cssText = value;
    else Element.prototype.setAttribute.call(element, name, value);
  };
  return element;
}
