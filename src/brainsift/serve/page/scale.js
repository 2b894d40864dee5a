// @ts-check
// Probabilities drawn against the threshold in use.

/** @import { Case } from "./cases.js" */
/** @import { Rule } from "./decide.js" */

import { halfBand, ofVolumes } from "./decide.js";
import { el, setVariable, svg } from "./dom.js";
import { label, number } from "./words.js";

/** @typedef {{ probability: number | null, decision: string }} Drawn */

/** A thin bar for a row of the list. */
export class Bar {
  constructor() {
    this.value = el("span", { class: "bar-value" });
    this.track = el("span", { class: "bar-track", "aria-hidden": "true" });
    this.node = el("span", { class: "bar" }, this.value, this.track);
  }

  /**
   * @param {Drawn} prediction
   * @param {Rule} rule
   */
  show({ probability, decision }, rule) {
    const isScored = probability !== null && decision !== "not_brain_mri";
    this.value.textContent = isScored ? number(probability) : "–";
    this.node.dataset.decision = decision;
    this.track.hidden = !isScored;
    setVariable(this.track, "--probability", probability ?? 0);
    setVariable(this.track, "--threshold", rule.threshold);
  }
}

/** The large scale of the case view: 0 to 1, the threshold, the abstention margin around 0.5, and the prediction. */
export class Scale {
  constructor() {
    this.band = el("span", { class: "scale-band" });
    this.fill = el("span", { class: "scale-fill" });
    this.limit = el("span", { class: "scale-limit" });
    this.limitWords = el("span", { class: "scale-words" });
    const track = el("span", { class: "scale-track" }, this.band, this.fill, this.limit);
    const ends = el("span", { class: "scale-ends" }, el("span", {}, "0"), this.limitWords, el("span", {}, "1"));
    this.node = el("div", { class: "scale", role: "img" }, track, ends);
  }

  /**
   * @param {Drawn} prediction
   * @param {Rule} rule
   * @param {string} [called] the decision in words.
   */
  show({ probability, decision }, rule, called = label(decision)) {
    this.node.hidden = probability === null;
    if (probability === null) return;
    this.node.dataset.decision = decision;
    setVariable(this.node, "--probability", probability);
    setVariable(this.node, "--threshold", rule.threshold);
    setVariable(this.node, "--margin", halfBand(rule));
    this.band.hidden = rule.margin <= 0;
    this.limitWords.textContent = `threshold ${number(rule.threshold)}`;
    const words = `Probability of a tumor ${number(probability)}, threshold ${number(rule.threshold)}: ${called}`;
    this.node.setAttribute("aria-label", words);
  }
}

const WIDTH = 1000;
const HEIGHT = 30;
const STROKE = 2; // the width of a stroke, about a pixel of the screen

/** All cases as strokes on one axis, with the threshold that separates them. */
export class Rug {
  /** @param {HTMLElement} node where it is drawn. */
  constructor(node) {
    this.marks = svg("g");
    this.band = svg("rect", { class: "rug-band", y: 0, height: HEIGHT });
    this.limit = svg("line", { class: "rug-limit", y1: 0, y2: HEIGHT });
    this.volumeLimit = svg("line", { class: "rug-limit of-volumes", y1: 0, y2: HEIGHT });
    const drawing = { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", "aria-hidden": "true" };
    this.svg = svg("svg", { class: "rug", ...drawing }, this.band, this.marks, this.limit, this.volumeLimit);
    const ends = el("span", { class: "rug-ends", "aria-hidden": "true" }, el("span", {}, "0"), el("span", {}, "all cases, by probability"), el("span", {}, "1"));
    node.append(this.svg, ends);
  }

  /**
   * @param {Case[]} cases
   * @param {Rule} rule
   */
  show(cases, rule) {
    /** @param {number} probability */
    const x = (probability) => String(2 + probability * (WIDTH - 4));
    /** @type {Map<string, Set<number>>} */
    const strokes = new Map(); // one path per decision, and one stroke per place: thousands would take their time
    for (const { probability, status, decision } of cases) {
      if (probability === null || status !== "ok") continue;
      const places = strokes.get(decision) ?? new Set();
      strokes.set(decision, places.add(STROKE * Math.round((2 + probability * (WIDTH - 4)) / STROKE)));
    }
    const path = (/** @type {Set<number>} */ places) => [...places].map((place) => `M${place} 7v${HEIGHT - 14}`).join("");
    this.marks.replaceChildren(...[...strokes].map(([decision, places]) => svg("path", { class: "rug-mark", "data-decision": decision, d: path(places) })));
    const half = halfBand(rule);
    this.band.setAttribute("x", x(0.5 - half));
    this.band.setAttribute("width", String(Math.max(0, 2 * half * (WIDTH - 4))));
    const { threshold: volumeThreshold } = ofVolumes(rule);
    for (const end of ["x1", "x2"]) {
      this.limit.setAttribute(end, x(rule.threshold));
      this.volumeLimit.setAttribute(end, x(volumeThreshold));
    }
    this.volumeLimit.toggleAttribute("hidden", !cases.some((one) => one.isVolume));
  }
}
