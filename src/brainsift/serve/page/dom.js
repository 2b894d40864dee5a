// Elements without a framework. Data reaches the document as text and attributes only, never as markup.

const SVG = "http://www.w3.org/2000/svg";

function fill(node, properties, children) {
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "class") node.setAttribute("class", value);
    else if (name === "value" || name === "checked") node[name] = value;
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

/** Makes an element: `el("button", { class: "quiet", onclick: go }, "Go")`. */
export const el = (tag, properties = {}, ...children) => fill(document.createElement(tag), properties, children);

/** Makes an SVG element. */
export const svg = (tag, properties = {}, ...children) => fill(document.createElementNS(SVG, tag), properties, children);

/** Makes one of the icons that index.html declares. */
export const icon = (name) => svg("svg", { class: "icon", "aria-hidden": "true" }, svg("use", { href: `#i-${name}` }));

export const byId = (id) => document.getElementById(id);

/** Sets text only where it changed, so that screen readers do not hear it again. */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Gives a node these children, in this order. Those that stay are not taken out, for that would lose the focus. */
export function arrange(parent, nodes) {
  const focused = document.activeElement;
  const wanted = new Set(nodes);
  for (const child of [...parent.children]) if (!wanted.has(child)) child.remove();
  let next = parent.firstChild;
  for (const node of nodes) {
    if (node === next) next = next.nextSibling;
    else parent.insertBefore(node, next);
  }
  if (parent.contains(focused)) focused.focus({ preventScroll: true }); // it may itself have been moved
}

/** Opens the item so many places from another, and brings its row into view; the focus goes along if it was on a row. */
export function step(body, items, { from, by, open, rowOf }) {
  if (!items.length) return;
  const at = items.indexOf(from);
  const next = items[at < 0 ? 0 : Math.min(Math.max(at + by, 0), items.length - 1)];
  const onRow = body.contains(document.activeElement);
  open(next);
  const row = rowOf(next);
  row?.node.scrollIntoView({ block: "nearest" });
  if (onRow) row?.button.focus({ preventScroll: true });
}

/** Sets a custom property through the CSSOM, which the content policy allows. */
export const setVariable = (node, name, value) => node.style.setProperty(name, value);

/** Hands a file to the user. */
export function save(blob, name) {
  const address = URL.createObjectURL(blob);
  const link = el("a", { href: address, download: name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
}

/** Returns a function that acts with the next frame, and then not again for a while, however often it is called. */
export function unhurried(act, pauseMs) {
  let asked = false;
  let last = -Infinity;
  const run = () => {
    asked = false;
    last = performance.now();
    act();
  };
  return () => {
    if (asked) return;
    asked = true;
    const left = pauseMs - (performance.now() - last);
    if (left > 0) setTimeout(run, left);
    else requestAnimationFrame(run);
  };
}

/** Closes a menu when something else is clicked, a link in it is, or with Escape. */
export function closing(menu) {
  document.addEventListener("click", ({ target }) => {
    if (!menu.contains(target) || target.closest("a")) menu.open = false;
  });
  menu.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || !menu.open) return;
    event.stopPropagation();
    menu.open = false;
    menu.querySelector("summary").focus();
  });
}

/** Says something to screen readers. */
export function announce(text) {
  setText(byId("live"), text);
}

/** Asks for a yes; resolves to true or false. */
export function confirmed({ title, text, action }) {
  const dialog = byId("confirm");
  setText(dialog.querySelector("h2"), title);
  setText(dialog.querySelector("p"), text);
  setText(dialog.querySelector("[value=yes]"), action);
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true });
  });
}
