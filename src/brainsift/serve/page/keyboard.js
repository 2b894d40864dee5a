// @ts-check
// Keys for all that the mouse does, and the list of them under "?".

/** @import { Verdict } from "./api.js" */
/** @import { CaseView } from "./case.js" */
/** @import { Stage } from "./stage.js" */
/** @import { Viewer } from "./viewer.js" */

import { byId, el } from "./dom.js";
import { recall, remember } from "./stored.js";

/**
 * @typedef {object} Parts What keys act on.
 * @property {(by: number) => void} step to another case.
 * @property {(verdict: Verdict) => void} judge the case, and go to the next one.
 * @property {CaseView} view
 * @property {Viewer} viewer
 * @property {Stage} stage
 * @property {() => void} compare the case with another one, or end that.
 * @property {() => void} search
 * @property {() => void} addFiles
 * @property {() => void} back to the list.
 * @property {() => boolean} isActive whether there is anything to act on.
 */

const STORED = "brainsift.keys";
const TYPING = "input:not([type=checkbox]), textarea, select";
const SMALL = 0.05;
const PAN = 40;
const BARE = "h"; // held, the map is away

/**
 * The shortcuts. Each has the keys as shown, what `event.key` may be, the words, and what to do.
 *
 * @type {(parts: Parts) => [shown: string, keys: string[], words: string, act: () => void][]}
 */
const shortcuts = ({ step, judge, view, viewer, stage, compare, search, addFiles, back }) => [
  ["↓", ["ArrowDown", "j"], "Next case", () => step(1)],
  ["↑", ["ArrowUp", "k"], "Previous case", () => step(-1)],
  ["T", ["t"], "Verdict: tumor; next case", () => judge("tumor")],
  ["N", ["n"], "Verdict: no tumor; next case", () => judge("no_tumor")],
  ["U", ["u"], "Verdict: unsure; next case", () => judge("unsure")],
  ["B", ["b"], "Verdict: not a brain MRI; next case", () => judge("not_brain_mri")],
  ["→", ["ArrowRight"], "Next slice", () => view.step(1)],
  ["←", ["ArrowLeft"], "Previous slice", () => view.step(-1)],
  ["Home", ["Home"], "First slice", () => view.go(0)],
  ["End", ["End"], "Last slice", () => view.go(Infinity)],
  ["S", ["s"], "Most suspicious slice", () => view.goToMostSuspicious()],
  ["M", ["m"], "Show or hide the tumor map", () => stage.toggleMap()],
  ["C", ["c"], "Show or hide the contour", () => stage.toggleContour()],
  ["]", ["]"], "Map more opaque", () => stage.setMap({ opacity: viewer.opacity + SMALL })],
  ["[", ["["], "Map more transparent", () => stage.setMap({ opacity: viewer.opacity - SMALL })],
  ["+", ["+", "="], "Zoom in", () => viewer.zoomIn()],
  ["−", ["-"], "Zoom out", () => viewer.zoomOut()],
  ["0", ["0"], "Fit to the frame", () => viewer.fit()],
  ["I", ["i"], "Black and white swapped", () => stage.toggleInverted()],
  ["L", ["l"], "Ruler", () => stage.toggleRuler()],
  ["V", ["v"], "Show or hide the other planes", () => stage.planesButton.hidden || stage.emit("planes", null)],
  ["2", ["2"], "Compare with another case, or end that", compare],
  ["P", ["p"], "Play or stop the slices", () => view.play()],
  ["X", ["x"], "Correct the contour, or end drawing", () => view.correction.toggle()],
  ["E", ["e"], "While drawing: eraser or brush", () => view.correction.swapTool()],
  [".", ["."], "While drawing: larger brush", () => view.correction.stepSize(1)],
  [",", [","], "While drawing: smaller brush", () => view.correction.stepSize(-1)],
  ["W", ["w"], "Reset the window", () => stage.resetWindow()],
  ["/", ["/"], "Search", search],
  ["O", ["o"], "Add files", addFiles],
  ["Esc", ["Escape"], "Back to the list, or end drawing", () => view.correction.stop() || back()],
  ["?", ["?"], "Show this list", () => byId("shortcuts", HTMLDialogElement).showModal()],
];

/** @type {Record<string, [x: number, y: number]>} */
const PANS = { ArrowLeft: [PAN, 0], ArrowRight: [-PAN, 0], ArrowUp: [0, PAN], ArrowDown: [0, -PAN] };

/**
 * Listens to keys, and lists them.
 *
 * @param {Parts} parts
 */
export function listenToKeys(parts) {
  const known = shortcuts(parts);
  /** @type {Map<string, () => void>} */
  const byKey = new Map();
  for (const [, keys, , act] of known) {
    for (const key of keys) {
      if (byKey.has(key)) throw new TypeError(`two shortcuts have the key ${key}`);
      byKey.set(key, act);
    }
  }
  const enabled = byId("keys-enabled", HTMLInputElement);
  enabled.checked = recall(STORED) !== "off";
  enabled.addEventListener("change", () => remember(STORED, enabled.checked ? "on" : "off"));
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    if (document.querySelector("dialog[open]") || !enabled.checked || (!parts.isActive() && event.key !== "?")) return;
    if (event.target instanceof Element && event.target.matches(TYPING) && event.key !== "Escape") return;
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key; // with Caps Lock, too
    const act = event.shiftKey && PANS[key] ? () => parts.viewer.panBy(...PANS[key]) : byKey.get(key);
    if (key === BARE) parts.stage.setBare(true);
    if (!act) return;
    act();
    event.preventDefault();
  });
  document.addEventListener("keyup", ({ key }) => key.toLowerCase() === BARE && parts.stage.setBare(false));
  window.addEventListener("blur", () => parts.stage.setBare(false)); // the key is let go elsewhere
  const rows = known.map(([shown, , words]) => el("div", {}, el("dt", {}, el("kbd", {}, shown)), el("dd", {}, words)));
  const shift = el("dt", {}, el("kbd", {}, "Shift"), " ", el("kbd", {}, "→"));
  rows.push(el("div", {}, shift, el("dd", {}, "Move the picture")));
  rows.push(el("div", {}, el("dt", {}, "hold ", el("kbd", {}, "H")), el("dd", {}, "See the picture without the map")));
  byId("shortcut-list").append(...rows);
  byId("help").addEventListener("click", () => byId("shortcuts", HTMLDialogElement).showModal());
}
