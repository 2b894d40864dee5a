// @ts-check
// Elements without a framework. Data reaches the document as text and attributes only, never as markup.

/** @typedef {Node | string | null | undefined | false} Child What is not a node or a text is left out. */
/** @typedef {Record<string, any>} Properties Attributes by name, and listeners as `onclick`. */

const SVG = "http://www.w3.org/2000/svg";

/**
 * @template {Element} T
 * @param {T} node
 * @param {Properties} properties
 * @param {(Child | Child[])[]} children
 */
function fill(node, properties, children) {
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "class") node.setAttribute("class", value);
    else if (name === "value" || name === "checked") Object.assign(node, { [name]: value });
    else node.setAttribute(name, value === true ? "" : value);
  }
  for (const child of children.flat()) if (child !== null && child !== undefined && child !== false) node.append(child);
  return node;
}

/**
 * Makes an element: `el("button", { class: "quiet", onclick: go }, "Go")`.
 *
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {Properties} [properties]
 * @param {...(Child | Child[])} children
 */
export const el = (tag, properties = {}, ...children) => fill(document.createElement(tag), properties, children);

/**
 * Makes an SVG element.
 *
 * @template {keyof SVGElementTagNameMap} K
 * @param {K} tag
 * @param {Properties} [properties]
 * @param {...(Child | Child[])} children
 */
export const svg = (tag, properties = {}, ...children) => fill(document.createElementNS(SVG, tag), properties, children);

/**
 * Makes one of the icons that index.html declares.
 *
 * @param {string} name
 */
export const icon = (name) => svg("svg", { class: "icon", "aria-hidden": "true" }, svg("use", { href: `#i-${name}` }));

/**
 * A button with one of these icons; `words` say what it does.
 *
 * @param {string} name
 * @param {string} words
 * @param {() => void} onclick
 */
export const iconButton = (name, words, onclick) =>
  el("button", { class: "icon-button", type: "button", "aria-label": words, title: words, onclick }, icon(name));

/**
 * The first element that fits a selector.
 *
 * @template {HTMLElement} [T=HTMLElement]
 * @param {string} selector
 * @param {new () => T} [kind] the class of the element, if its own properties are used.
 * @param {ParentNode} [root]
 * @returns {T}
 * @throws {TypeError} if there is none, or one of another class.
 */
export function first(selector, kind, root = document) {
  const node = root.querySelector(selector);
  if (!(node instanceof (kind ?? HTMLElement))) throw new TypeError(`${selector}: no ${(kind ?? HTMLElement).name}`);
  return /** @type {T} */ (node);
}

/**
 * All elements that fit a selector and are of a class.
 *
 * @template {HTMLElement} [T=HTMLElement]
 * @param {string} selector
 * @param {new () => T} [kind]
 * @param {ParentNode} [root]
 * @returns {T[]}
 */
export const all = (selector, kind, root = document) =>
  /** @type {T[]} */ ([...root.querySelectorAll(selector)].filter((node) => node instanceof (kind ?? HTMLElement)));

/**
 * The element with an id.
 *
 * @template {HTMLElement} [T=HTMLElement]
 * @param {string} id
 * @param {new () => T} [kind] the class of the element, if its own properties are used.
 */
export const byId = (id, kind) => first(`#${id}`, kind);

/**
 * Sets text only where it changed, so that screen readers do not say it again.
 *
 * @param {Element} node
 * @param {string} text
 */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/**
 * Gives a node these children, in this order. Those that stay are not taken out, because that would lose the focus.
 *
 * @param {Element} parent
 * @param {Element[]} nodes
 */
export function arrange(parent, nodes) {
  const focused = document.activeElement;
  const wanted = new Set(nodes);
  for (const child of [...parent.children]) if (!wanted.has(child)) child.remove();
  let next = parent.firstChild;
  for (const node of nodes) {
    if (node === next) next = next.nextSibling;
    else parent.insertBefore(node, next);
  }
  // the focused element may itself have been moved
  if (focused instanceof HTMLElement && parent.contains(focused)) focused.focus({ preventScroll: true });
}

/** @typedef {{ node: HTMLElement, button: HTMLElement }} RowNodes A row of a table, and the button in it. */

/**
 * Opens the item `by` places after another, and brings its row into view; the focus goes along if it was on a row.
 *
 * @template T
 * @param {Element} body the body of the table.
 * @param {T[]} items
 * @param {{ from: T | null, by: number, open: (item: T) => void, rowOf: (item: T) => RowNodes | undefined }} way
 */
export function step(body, items, { from, by, open, rowOf }) {
  if (!items.length) return;
  const at = from === null ? -1 : items.indexOf(from);
  const next = items[at < 0 ? 0 : Math.min(Math.max(at + by, 0), items.length - 1)];
  const onRow = body.contains(document.activeElement);
  open(next);
  const row = rowOf(next);
  row?.node.scrollIntoView({ block: "nearest" });
  if (onRow) row?.button.focus({ preventScroll: true });
}

/**
 * Sets a custom property through the CSSOM, which the content policy allows.
 *
 * @param {HTMLElement} node
 * @param {string} name
 * @param {number} value
 */
export const setVariable = (node, name, value) => node.style.setProperty(name, String(value));

/**
 * Saves a file on the user's disk.
 *
 * @param {Blob} blob
 * @param {string} name
 */
export function save(blob, name) {
  const address = URL.createObjectURL(blob);
  const link = el("a", { href: address, download: name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
}

/**
 * Returns a function that acts with the next frame, and then not again for a while, however often it is called.
 *
 * @param {() => void} act
 * @param {number} pauseMs
 */
export function throttled(act, pauseMs) {
  let waits = false;
  let last = -Infinity;
  const run = () => {
    waits = false;
    last = performance.now();
    act();
  };
  return () => {
    if (waits) return;
    waits = true;
    const left = pauseMs - (performance.now() - last);
    if (left > 0) setTimeout(run, left);
    else requestAnimationFrame(run);
  };
}

/**
 * Closes a menu with Escape, and when something else or a link in it is clicked.
 *
 * @param {HTMLDetailsElement} menu
 */
export function closeByItself(menu) {
  document.addEventListener("click", ({ target }) => {
    if (target instanceof Element && (!menu.contains(target) || target.closest("a"))) menu.open = false;
  });
  menu.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || !menu.open) return;
    event.stopPropagation();
    menu.open = false;
    first("summary", HTMLElement, menu).focus();
  });
}

/**
 * Says something to screen readers.
 *
 * @param {string} text
 */
export function announce(text) {
  setText(byId("live"), text);
}

/**
 * Asks for a confirmation.
 *
 * @param {{ title: string, text: string, action: string }} question `action` names the button that confirms.
 * @returns {Promise<boolean>}
 */
export function confirm({ title, text, action }) {
  const dialog = byId("confirm", HTMLDialogElement);
  setText(first("h2", HTMLElement, dialog), title);
  setText(first("p", HTMLElement, dialog), text);
  setText(first("[value=yes]", HTMLElement, dialog), action);
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true });
  });
}
