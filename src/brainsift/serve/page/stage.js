// @ts-check
// The viewer with its controls, as the case view and the history use it.

/** @import { Geometry } from "./api.js" */

import { probe } from "./api.js";
import { fail } from "./banner.js";
import { announce, el, first, iconButton, setText, setVariable } from "./dom.js";
import { Emitter } from "./emitter.js";
import { lengthInWords } from "./measure.js";
import { contextOf, picture } from "./pictures.js";
import { rulerAfter } from "./rule.js";
import { recallJson, remember } from "./stored.js";
import { Viewer, canvasWithSides } from "./viewer.js";
import { PRESETS, presetOf, rangeOf } from "./window.js";
import { number, percent } from "./words.js";

const STORED = "brainsift.map";
const LOADING_MS = 100; // a picture of another slice that comes sooner takes the place of the last one without a blink

/**
 * A range input with its name and value.
 *
 * @param {string} words
 * @param {Record<string, string | number>} properties of the input.
 */
function slider(words, properties) {
  const input = el("input", { type: "range", ...properties });
  // an <output> would take the label for itself
  const output = el("span", { class: "slider-value", "aria-hidden": "true" });
  const node = el("label", { class: "slider" }, el("span", { class: "slider-name" }, words), output, input);
  /** @type {(value: number, text: string, limits?: { min?: number, step?: number }) => void} */
  const show = (value, text, limits = {}) => {
    Object.assign(input, limits, { value });
    input.setAttribute("aria-valuetext", text);
    setText(output, text);
  };
  return { node, input, show };
}

/**
 * Tells that the "planes" shall be shown or hidden, that the volume of the contour is to be "measure"d, that the "look" of
 * map or picture changed, that the window is "reset", and that the map of the volume shall be "save"d.
 *
 * @extends {Emitter<{ planes: null, measure: null, look: null, reset: null, save: null }>}
 */
export class Stage extends Emitter {
  #turn = 0;
  #before = 0.55; // opacity to go back to when the map is switched on again

  constructor() {
    super();
    const { canvas, sides } = canvasWithSides();
    this.canvas = canvas;
    this.sides = sides;
    this.message = el("p", { class: "stage-message", hidden: true });
    this.hint = el("p", { class: "stage-hint", "aria-hidden": "true" });
    this.windowWords = el("p", { class: "window-words", "aria-hidden": "true" }); // the sliders say the same
    this.zoomWords = el("span", { class: "zoom-words" }, percent(1, 0));
    this.zoomTools = el(
      "div",
      { class: "stage-tools", role: "group", "aria-label": "Zoom" },
      iconButton("minus", "Zoom out", () => this.viewer.zoomOut()),
      this.zoomWords,
      iconButton("plus", "Zoom in", () => this.viewer.zoomIn()),
      iconButton("fit", "Fit to the frame", () => this.viewer.fit()),
      iconButton("ruler", "Ruler (L)", () => this.toggleRuler()),
      iconButton("invert", "Black and white swapped (I)", () => this.toggleInverted()),
      iconButton("planes", "Other planes (V)", () => this.emit("planes", null)),
      iconButton("copy", "Copy the picture", () => this.copy().catch(fail)),
    );
    const box = el("div", { class: "canvas-box" }, this.canvas, ...this.sides, this.message, this.hint, this.windowWords, this.zoomTools);
    this.views = el("div", { class: "views" }, box);
    this.node = this.views;
    /** @param {string} name */
    const tool = (name) => first(`.icon-button:has(use[href="#i-${name}"])`, HTMLButtonElement, this.zoomTools);
    this.rulerButton = tool("ruler");
    this.invertButton = tool("invert");
    this.planesButton = tool("planes");
    for (const button of [this.rulerButton, this.invertButton, this.planesButton]) button.setAttribute("aria-pressed", "false");
    this.viewer = new Viewer(this.canvas);
    this.opacity = slider("Opacity", { min: 0, max: 1, step: 0.05, class: "opacity" });
    this.opacity.input.addEventListener("input", () => this.setMap({ opacity: Number(this.opacity.input.value) }));
    this.contour = el("input", { type: "checkbox", role: "switch", class: "switch" });
    this.contour.addEventListener("change", () => this.setMap({ showContour: this.contour.checked }));
    this.width = slider("Width", { max: 2 });
    this.center = slider("Level", { max: 1 });
    for (const { input } of [this.width, this.center]) input.addEventListener("input", () => this.#setWindow());
    this.noMap = el("p", { class: "note", hidden: true }, "There is no tumor map for this image.");
    this.saveButton = el("button", { class: "link-button", type: "button", hidden: true, onclick: () => this.emit("save", null) }, "Save the map of the volume as NIfTI");
    const contourSwitch = el("label", { class: "switch-row" }, el("span", {}, "Contour"), this.contour);
    this.level = slider("Threshold on the map", { min: 0.05, max: 0.95, step: 0.05, class: "contour-level" });
    this.level.input.addEventListener("input", () => this.setMap({ level: Number(this.level.input.value) }));
    this.inside = el("input", { type: "checkbox", role: "switch", class: "switch" });
    this.inside.addEventListener("change", () => this.setMap({ inside: this.inside.checked }));
    const insideSwitch = el("label", { class: "switch-row" }, el("span", {}, "Color above it only"), this.inside);
    this.legend = legend();
    this.mapTools = el("div", { class: "tool-rows" }, this.opacity.node, contourSwitch, this.level.node, insideSwitch, this.legend);
    this.diameter = el("p", { class: "measure" });
    this.volume = el("p", { class: "measure", hidden: true });
    this.measureButton = el("button", { class: "link-button", type: "button", onclick: () => this.emit("measure", null) }, "Volume of the contour");
    this.measured = el("p", { class: "note", role: "status" });
    this.preset = el(
      "select",
      { "aria-label": "Window for a contrast" },
      PRESETS.map(([name, words]) => el("option", { value: name }, words)),
    );
    this.preset.addEventListener("change", () => this.viewer.picture && this.viewer.setWindow(presetOf(this.preset.value, this.viewer.picture)));
    const reset = el("button", { class: "link-button", type: "button", onclick: () => this.resetWindow() }, "Reset");
    this.tools = el(
      "div",
      { class: "tools" },
      el("section", { class: "tool" }, el("h3", {}, "Tumor map"), this.mapTools, this.saveButton, this.noMap),
      el(
        "section",
        { class: "tool" },
        el("div", { class: "tool-head" }, el("h3", {}, "Window"), reset),
        el("div", { class: "tool-rows" }, this.width.node, this.center.node, this.preset),
      ),
      el("section", { class: "tool" }, el("h3", {}, "Size of the contour"), this.diameter, this.volume, this.measureButton, this.measured),
    );
    this.viewer.on("contour", () => this.#showDiameter());
    this.canvas.addEventListener("keydown", (event) => this.#rule(event));
    this.viewer.on("ruler", (words) => announce(`Ruler: ${words}`));
    this.viewer.on("window", () => this.#showWindow());
    this.viewer.on("view", () => {
      setText(this.zoomWords, percent(this.viewer.view.zoom, 0));
      this.#showHint();
    });
    this.setMap({ opacity: 0.55, showContour: true, ...recallJson(STORED) });
  }

  /**
   * Shows the picture and the map at two addresses. Until the picture is there, no other one stands in its place; with
   * `keepView`, for another slice of the same case, it has a moment.
   *
   * @param {{ pictureUrl: string, mapUrl: string | null, words: string, noMap: string, geometry: Geometry | null }} layers
   *   `words` describe the picture; `noMap` says why there is no map.
   * @param {{ keepView?: boolean }} [options]
   */
  async show({ pictureUrl, mapUrl, words, noMap, geometry }, { keepView = false } = {}) {
    this.#turn += 1;
    const turn = this.#turn;
    this.canvas.setAttribute("aria-label", words);
    setText(this.noMap, noMap);
    if (!keepView) this.#blank("Loading");
    const late = setTimeout(() => turn === this.#turn && this.#blank("Loading"), LOADING_MS);
    const [shown, map] = await Promise.allSettled([picture(pictureUrl), mapUrl ? picture(mapUrl) : null]);
    clearTimeout(late);
    if (turn !== this.#turn) return; // the reader went on
    if (shown.status === "rejected") {
      const isAway = shown.reason instanceof TypeError; // as fetch has it
      const gone = "The server no longer has this picture. Drop the file again to see it.";
      this.say(isAway ? "The server cannot be reached. The page tries again by itself." : gone, words);
      if (isAway) probe();
      return;
    }
    this.message.hidden = true;
    this.sides.forEach((node, place) => setText(node, geometry?.sides[place] ?? ""));
    const { width, height } = shown.value;
    const pixelSize = geometry?.size_mm ? /** @type {[number, number]} */ ([geometry.size_mm[0] / width, geometry.size_mm[1] / height]) : null;
    this.viewer.show({ picture: shown.value, map: map.status === "fulfilled" ? map.value : null, pixelSize }, { keepView });
    this.#showMapTools();
  }

  /**
   * Shows words in place of a picture.
   *
   * @param {string} text
   * @param {string} [words] for screen readers.
   */
  say(text, words = text) {
    this.#turn += 1;
    this.#blank(text);
    this.canvas.setAttribute("aria-label", words);
    this.#showMapTools();
  }

  /** @param {string} text */
  #blank(text) {
    this.viewer.clear();
    setText(this.windowWords, "");
    for (const node of this.sides) setText(node, "");
    setText(this.message, text);
    this.message.hidden = false;
  }

  /** The picture as it is shown, with the letters at its sides. */
  #withSides() {
    const { width, height } = this.canvas;
    const copy = new OffscreenCanvas(width, height);
    const context = contextOf(copy);
    context.drawImage(this.canvas, 0, 0);
    const unit = width / (this.canvas.clientWidth || 1); // of a CSS pixel
    context.font = `650 ${15 * unit}px system-ui, sans-serif`;
    context.textAlign = "center";
    context.textBaseline = "middle";
    context.lineWidth = 3 * unit;
    const gap = 18 * unit;
    const places = [[gap, height / 2], [width - gap, height / 2], [width / 2, gap], [width / 2, height - gap]];
    this.sides.forEach(({ textContent: letters }, side) => {
      const [x, y] = places[side];
      context.strokeText(letters ?? "", x, y); // black, so that the letter is seen on bright pixels
      context.fillStyle = "#fff";
      context.fillText(letters ?? "", x, y);
    });
    return copy;
  }

  /** Puts the picture as it is shown, with its map, on the clipboard. */
  async copy() {
    await navigator.clipboard.write([new ClipboardItem({ "image/png": this.#withSides().convertToBlob({ type: "image/png" }) })]);
    announce("The picture is on the clipboard.");
  }

  /** @param {boolean} yes whether the wheel goes through slices. */
  setScrolls(yes) {
    this.viewer.scrolls = yes;
    this.#showHint();
  }

  #showHint() {
    const { scrolls, view, ruling, pen } = this.viewer;
    const drag = pen?.isOn ? "Drag: draw" : ruling ? "Drag: ruler" : view.zoom > 1 ? "Drag: move · Right button: window" : "Drag: window";
    setText(this.hint, `${scrolls ? "Wheel: slices · Ctrl + wheel: zoom" : "Wheel: zoom"} · ${drag}${pen?.isOn ? "" : " · Double click: fit"}`);
  }

  /** @param {{ opacity?: number, showContour?: boolean, level?: number, inside?: boolean }} look */
  setMap({ opacity = this.viewer.opacity, showContour = this.viewer.showContour, level = this.viewer.level, inside = this.viewer.inside }) {
    const bounded = Math.min(Math.max(opacity, 0), 1);
    if (bounded > 0) this.#before = bounded;
    this.viewer.set({ opacity: bounded, showContour, level, inside });
    this.opacity.show(bounded, percent(bounded, 0));
    this.contour.checked = showContour;
    this.level.show(level, number(level, 2));
    this.inside.checked = inside;
    setVariable(this.legend, "--level", level);
    setText(first(".legend-line", HTMLElement, this.legend), legendWords(level));
    this.emit("look", null);
    remember(STORED, JSON.stringify({ opacity: bounded, showContour })); // the level begins at 0.5 each time
  }

  toggleInverted() {
    this.viewer.set({ inverted: !this.viewer.inverted });
    this.invertButton.setAttribute("aria-pressed", String(this.viewer.inverted));
    this.emit("look", null);
  }

  toggleRuler() {
    this.viewer.ruling = !this.viewer.ruling;
    if (!this.viewer.ruling) this.viewer.ruler = null;
    this.viewer.draw();
    this.canvas.classList.toggle("ruling", this.viewer.ruling);
    this.rulerButton.setAttribute("aria-pressed", String(this.viewer.ruling));
    this.#showHint();
    if (!this.viewer.ruling) return;
    this.canvas.focus({ preventScroll: true });
    announce("Ruler: the arrow keys move its end, with Shift by ten pixels; Enter changes to the other end.");
  }

  /** @param {KeyboardEvent} event */
  #rule(event) {
    const { viewer } = this;
    const { picture, ruling } = viewer;
    if (!ruling || !picture || event.ctrlKey || event.metaKey || event.altKey) return;
    const ruler = rulerAfter(event.key, event.shiftKey, viewer.ruler, picture);
    if (!ruler) return;
    event.preventDefault();
    viewer.ruler = ruler;
    viewer.draw();
    viewer.emit("ruler", lengthInWords(ruler.from, ruler.to, viewer.pixelSize));
  }

  /** @param {boolean} bare without the map, as long as a key is held. */
  setBare(bare) {
    if (bare === this.viewer.bare) return;
    this.viewer.set({ bare });
    this.emit("look", null);
  }

  /** @param {boolean} can whether the volume can be shown in other planes. */
  offerPlanes(can) {
    this.planesButton.hidden = !can;
  }

  /**
   * @param {boolean} yes whether the other planes are shown.
   * @param {boolean} wanted whether the reader wants them.
   */
  showPlanes(yes, wanted) {
    this.views.classList.toggle("with-planes", yes);
    this.planesButton.setAttribute("aria-pressed", String(wanted));
  }

  /** @param {string | null} words the volume of the contour; "" until it is measured, null where there is no volume. */
  showVolume(words) {
    this.volume.hidden = !words;
    this.measureButton.hidden = words === null || words !== "";
    if (words) setText(this.volume, `In the volume: ${words}`);
    if (words || words === null) setText(this.measured, "");
  }

  /** @param {string} words while the volume is measured, or why it cannot be. */
  sayMeasured(words) {
    setText(this.measured, words);
  }

  #showDiameter() {
    const { diameter, pixelSize, hasMap } = this.viewer;
    const unit = pixelSize ? "mm" : "px";
    const why = pixelSize ? "" : " The file does not say how far apart its pixels are.";
    const words = diameter ? `Longest diameter on this slice: ${diameter.length.toFixed(1)}\u00a0${unit}.${why}` : "No contour on this slice.";
    setText(this.diameter, hasMap ? words : "There is no map.");
  }

  toggleMap() {
    const on = this.viewer.opacity > 0 || this.viewer.showContour;
    this.setMap(on ? { opacity: 0, showContour: false } : { opacity: this.#before, showContour: true });
  }

  toggleContour() {
    this.setMap({ showContour: !this.viewer.showContour });
  }

  resetWindow() {
    this.viewer.setWindow(null);
    this.emit("reset", null);
  }

  #setWindow() {
    const { picture } = this.viewer;
    if (!picture) return;
    const { low, span } = rangeOf(picture);
    const [width, level] = [this.width, this.center].map(({ input }) => span * Number(input.value));
    this.viewer.setWindow({ width, level: low + level });
  }

  #showWindow() {
    const { picture } = this.viewer;
    if (!picture) return;
    const { low, span, narrowest, step, inWords, inUnits } = rangeOf(picture);
    const { width, level } = this.viewer.windowOf(picture);
    if (!this.viewer.chosen) this.preset.value = "usual";
    setText(this.windowWords, inUnits ? `W ${inWords(width)} L ${inWords(level)}` : "");
    this.width.show(width / span, inWords(width), { min: narrowest, step });
    this.center.show((level - low) / span, inWords(level), { step });
  }

  #showMapTools() {
    this.tools.hidden = this.zoomTools.hidden = !this.viewer.picture;
    this.mapTools.hidden = !this.viewer.hasMap;
    this.noMap.hidden = this.viewer.hasMap;
  }
}

/** The colors of the map with their values, and where the contour is. */
function legend() {
  return el(
    "div",
    { class: "legend" },
    el("span", { class: "legend-bar", "aria-hidden": "true" }),
    el("span", { class: "legend-ends figures" }, el("span", {}, "0: unlike a tumor"), el("span", {}, "0.5"), el("span", {}, "1: like a tumor")),
    el("span", { class: "legend-line" }),
  );
}

/** @param {number} level of the contour. */
const legendWords = (level) =>
  level === 0.5 ? "On the yellow line, tumor and no tumor are equally likely." : `On the yellow line, the map is ${number(level, 2)}; at 0.50, tumor and no tumor are equally likely.`;
