// Keys for all that the mouse does, and the list of them under "?".

import { byId, el } from "./dom.js";

const STORED = "brainsift.keys";
const TYPING = "input:not([type=checkbox]), textarea, select";
const SMALL = 0.05;
const PAN = 40;

/** Each: the keys as shown, what `event.key` may be, the words, and what to do. */
const shortcuts = ({ step, view, viewer, stage, search, addFiles, back }) => [
  ["↓", ["ArrowDown", "j"], "Next case", () => step(1)],
  ["↑", ["ArrowUp", "k"], "Previous case", () => step(-1)],
  ["→", ["ArrowRight"], "Next slice", () => view.step(1)],
  ["←", ["ArrowLeft"], "Previous slice", () => view.step(-1)],
  ["Home", ["Home"], "First slice", () => view.go(0)],
  ["End", ["End"], "Last slice", () => view.go(Infinity)],
  ["S", ["s"], "Most suspicious", () => view.goToMostSuspicious()],
  ["M", ["m"], "Tumor map on, off", () => stage.toggleMap()],
  ["C", ["c"], "Contour on, off", () => stage.toggleContour()],
  ["]", ["]"], "Map stronger", () => stage.setMap({ opacity: viewer.opacity + SMALL })],
  ["[", ["["], "Map weaker", () => stage.setMap({ opacity: viewer.opacity - SMALL })],
  ["+", ["+", "="], "Zoom in", () => viewer.zoomIn()],
  ["−", ["-"], "Zoom out", () => viewer.zoomOut()],
  ["0", ["0"], "Fit to the frame", () => viewer.fit()],
  ["W", ["w"], "Reset the window", () => stage.resetWindow()],
  ["/", ["/"], "Search", search],
  ["O", ["o"], "Add files", addFiles],
  ["Esc", ["Escape"], "Back to the list", back],
  ["?", ["?"], "This list", () => byId("shortcuts").showModal()],
];

const PANS = { ArrowLeft: [PAN, 0], ArrowRight: [-PAN, 0], ArrowUp: [0, PAN], ArrowDown: [0, -PAN] };

export function listen(parts) {
  const known = shortcuts(parts);
  const byKey = new Map(known.flatMap(([, keys, , act]) => keys.map((key) => [key, act])));
  const enabled = byId("keys-enabled");
  try {
    enabled.checked = localStorage.getItem(STORED) !== "off";
  } catch {
    // storage is refused
  }
  enabled.addEventListener("change", () => {
    try {
      localStorage.setItem(STORED, enabled.checked ? "on" : "off");
    } catch {
      // as above
    }
  });
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    if (document.querySelector("dialog[open]") || !enabled.checked || (!parts.active() && event.key !== "?")) return;
    if (event.target.matches(TYPING) && event.key !== "Escape") return;
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key; // with Caps Lock, too
    if (event.shiftKey && PANS[key]) parts.viewer.panBy(...PANS[key]);
    else if (byKey.has(key)) byKey.get(key)(event);
    else return;
    event.preventDefault();
  });
  const rows = known.map(([shown, , words]) => el("div", {}, el("dt", {}, el("kbd", {}, shown)), el("dd", {}, words)));
  const shift = el("dt", {}, el("kbd", {}, "Shift"), " ", el("kbd", {}, "→"));
  rows.push(el("div", {}, shift, el("dd", {}, "Move the picture")));
  byId("shortcut-list").append(...rows);
  byId("help").addEventListener("click", () => byId("shortcuts").showModal());
}
