// @ts-check
// The probabilities along a volume, one bar per slice; a click or a drag goes there.

/** @import { Slice } from "./cases.js" */
/** @import { Rule } from "./decide.js" */

import { svg } from "./dom.js";
import { Emitter } from "./emitter.js";

const HEIGHT = 48;
/** A slice of a volume is no tumor by itself: it is above or below the threshold. @type {Record<string, string>} */
export const LEVELS = { tumor: "above", no_tumor: "below", refer: "refer" };

/** Tells to which slice to "go". @extends {Emitter<{ go: number }>} */
export class Strip extends Emitter {
  count = 0;

  /** @param {HTMLElement} node where it is drawn. */
  constructor(node) {
    super();
    this.limit = svg("line", { class: "strip-limit" });
    this.bars = svg("g");
    this.here = svg("rect", { class: "strip-here", y: 0, height: HEIGHT });
    const drawing = { class: "strip-chart", preserveAspectRatio: "none", "aria-hidden": "true" };
    this.svg = svg("svg", drawing, this.bars, this.limit, this.here);
    node.append(this.svg);
    this.svg.addEventListener("pointerdown", (event) => this.#go(event, true));
    this.svg.addEventListener("pointermove", (event) => event.buttons && this.#go(event));
  }

  /**
   * @param {Slice[]} slices
   * @param {Rule} rule
   */
  show(slices, rule) {
    this.count = slices.length;
    this.svg.setAttribute("viewBox", `0 0 ${this.count} ${HEIGHT}`);
    this.bars.replaceChildren(...slices.map(bar));
    const y = HEIGHT * (1 - rule.threshold);
    for (const [name, value] of Object.entries({ x1: 0, x2: this.count, y1: y, y2: y })) {
      this.limit.setAttribute(name, String(value));
    }
  }

  /** @param {number} place of the slice that is shown. */
  mark(place) {
    this.here.setAttribute("x", String(place));
    this.here.setAttribute("width", "1");
  }

  /** @param {PointerEvent} event */
  #go(event, starts = false) {
    if (starts) this.svg.setPointerCapture(event.pointerId);
    const box = this.svg.getBoundingClientRect();
    const place = Math.floor(((event.clientX - box.left) / box.width) * this.count);
    this.emit("go", Math.min(Math.max(place, 0), this.count - 1));
  }
}

/**
 * @param {Slice} slice
 * @param {number} place
 */
function bar({ status, probability, decision }, place) {
  const isScored = status === "ok" && probability !== null;
  const tall = isScored ? Math.max(HEIGHT * probability, 1.5) : 3;
  const kind = isScored ? LEVELS[decision] : "unreadable";
  return svg("rect", { class: "strip-bar", "data-decision": kind, x: place + 0.1, width: 0.8, y: HEIGHT - tall, height: tall });
}
