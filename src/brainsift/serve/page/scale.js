// Probabilities drawn against the threshold in use.

import { ofVolumes } from "./decide.js";
import { el, setVariable, svg } from "./dom.js";
import { label, number } from "./words.js";

/** A thin bar for a row of the list. */
export class Bar {
  constructor() {
    this.value = el("span", { class: "bar-value" });
    this.track = el("span", { class: "bar-track", "aria-hidden": "true" });
    this.node = el("span", { class: "bar" }, this.value, this.track);
  }

  show({ probability, decision, status }, rule) {
    const known = probability !== null;
    this.value.textContent = number(known ? probability : NaN);
    this.node.dataset.decision = status === "not_brain_mri" ? "unreadable" : decision;
    this.track.hidden = !known;
    setVariable(this.track, "--probability", known ? probability : 0);
    setVariable(this.track, "--threshold", rule.threshold);
  }
}

/** The large scale of the case view: 0 to 1, the threshold, what is referred around even odds, and the answer. */
export class Scale {
  constructor() {
    this.band = el("span", { class: "scale-band" });
    this.fill = el("span", { class: "scale-fill" });
    this.mark = el("span", { class: "scale-mark" });
    this.limit = el("span", { class: "scale-limit" });
    this.limitWords = el("span", { class: "scale-words" });
    const track = el("span", { class: "scale-track" }, this.band, this.fill, this.limit, this.mark);
    const ends = el("span", { class: "scale-ends" }, el("span", {}, "0"), this.limitWords, el("span", {}, "1"));
    this.node = el("div", { class: "scale", role: "img" }, track, ends);
  }

  show({ probability, decision, status }, rule) {
    const known = probability !== null;
    this.node.hidden = !known;
    if (!known) return;
    this.node.dataset.decision = status === "not_brain_mri" ? "unreadable" : decision;
    setVariable(this.node, "--probability", probability);
    setVariable(this.node, "--threshold", rule.threshold);
    const half = 1 / (1 + Math.exp(-rule.margin)) - 0.5;
    setVariable(this.node, "--margin", half);
    this.band.hidden = !(half > 0);
    this.limitWords.textContent = `threshold ${number(rule.threshold)}`;
    const words = `Probability of a tumor ${number(probability)}, threshold ${number(rule.threshold)}: ${label(decision)}`;
    this.node.setAttribute("aria-label", words);
  }
}

const WIDTH = 1000;
const HEIGHT = 30;

/** All cases as strokes on one axis: what a threshold parts, at a glance. */
export class Rug {
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

  show(cases, rule) {
    const x = (probability) => 2 + probability * (WIDTH - 4);
    const known = cases.filter((one) => one.probability !== null);
    this.marks.replaceChildren(
      ...known.map((one) => {
        const at = x(one.probability).toFixed(1);
        const kind = one.status === "not_brain_mri" ? "unreadable" : one.decision;
        return svg("line", { class: "rug-mark", "data-decision": kind, x1: at, x2: at, y1: 7, y2: HEIGHT - 7 });
      }),
    );
    const half = 1 / (1 + Math.exp(-rule.margin)) - 0.5;
    this.band.setAttribute("x", x(0.5 - half));
    this.band.setAttribute("width", Math.max(0, 2 * half * (WIDTH - 4)));
    for (const [line, { threshold }] of [[this.limit, rule], [this.volumeLimit, ofVolumes(rule)]]) {
      for (const end of ["x1", "x2"]) line.setAttribute(end, x(threshold));
    }
    this.volumeLimit.toggleAttribute("hidden", !cases.some((one) => one.isVolume));
  }
}
