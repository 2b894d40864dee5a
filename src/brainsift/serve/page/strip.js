// The probabilities along a volume, a bar a slice; a click or a drag goes there.

import { svg } from "./dom.js";

const HEIGHT = 48;

export class Strip extends EventTarget {
  constructor(node) {
    super();
    this.node = node;
    this.limit = svg("line", { class: "strip-limit" });
    this.bars = svg("g");
    this.here = svg("rect", { class: "strip-here", y: 0, height: HEIGHT });
    const drawing = { class: "strip-chart", preserveAspectRatio: "none", "aria-hidden": "true" };
    this.svg = svg("svg", drawing, this.bars, this.limit, this.here);
    node.append(this.svg);
    this.svg.addEventListener("pointerdown", (event) => this.#go(event, true));
    this.svg.addEventListener("pointermove", (event) => event.buttons && this.#go(event));
  }

  show(slices, rule) {
    this.count = slices.length;
    this.svg.setAttribute("viewBox", `0 0 ${this.count} ${HEIGHT}`);
    this.bars.replaceChildren(...slices.map(bar));
    const y = HEIGHT * (1 - rule.threshold);
    for (const [name, value] of Object.entries({ x1: 0, x2: this.count, y1: y, y2: y })) this.limit.setAttribute(name, value);
  }

  mark(place) {
    this.here.setAttribute("x", place);
    this.here.setAttribute("width", 1);
  }

  #go(event, starts = false) {
    if (starts) this.svg.setPointerCapture(event.pointerId);
    const box = this.svg.getBoundingClientRect();
    const place = Math.floor(((event.clientX - box.left) / box.width) * this.count);
    const detail = Math.min(Math.max(place, 0), this.count - 1);
    this.dispatchEvent(new CustomEvent("go", { detail }));
  }
}

function bar(slice, place) {
  const judged = slice.status === "ok";
  const tall = judged ? Math.max(HEIGHT * slice.probability, 1.5) : 3;
  const kind = judged ? slice.decision : "unreadable";
  return svg("rect", { class: "strip-bar", "data-decision": kind, x: place + 0.1, width: 0.8, y: HEIGHT - tall, height: tall });
}
