// @ts-check
// The table of two by two: verdicts of the reader against decisions, with sensitivity and specificity.

/** @import { Agreement, Share } from "./agreement.js" */

import { sensitivity, specificity } from "./agreement.js";
import { el, setText } from "./dom.js";
import { count, counted, percent } from "./words.js";

const TRUTHS = /** @type {const} */ ([["onTumor", "You: tumor"], ["onNone", "You: no tumor"]]);
const DECISIONS = /** @type {const} */ (["tumor", "no_tumor"]);

export class TwoByTwo {
  /**
   * @param {HTMLElement} node gets the table.
   * @param {{ prefix: string, at: string }} options `prefix` begins the ids of the cells; `at` says which threshold it is.
   */
  constructor(node, { prefix, at }) {
    this.node = node;
    /** @type {(name: string) => HTMLElement} */
    const cell = (name) => el("td", { id: `${prefix}-${name}` });
    this.cells = TRUTHS.map(([truth]) => DECISIONS.map((decision) => cell(`${truth}-${decision}`)));
    this.shares = ["sensitivity", "specificity"].map((name) => el("dd", { id: `${prefix}-${name}`, class: "figures" }));
    this.leftOut = el("span", { id: `${prefix}-left-out` });
    const heads = ["Network: tumor", "Network: no tumor"].map((words) => el("th", { scope: "col" }, words));
    const rows = TRUTHS.map(([, words], row) => el("tr", {}, el("th", { scope: "row" }, words), this.cells[row]));
    node.replaceChildren(
      el(
        "table",
        { class: "two-by-two" },
        el("caption", { class: "visually-hidden" }, "Your verdicts and the decisions of the network"),
        el("thead", {}, el("tr", {}, el("td"), heads)),
        el("tbody", {}, rows),
      ),
      el("dl", { class: "judged-shares" }, el("dt", {}, "Sensitivity"), this.shares[0], el("dt", {}, "Specificity"), this.shares[1]),
      el("p", { class: "note" }, `With 95\u00a0% intervals, ${at}. `, this.leftOut),
    );
  }

  /** @param {Agreement} found */
  show(found) {
    this.node.hidden = found.judged === 0;
    TRUTHS.forEach(([truth], row) => DECISIONS.forEach((decision, column) => setText(this.cells[row][column], count(found[truth][decision]))));
    [sensitivity(found), specificity(found)].forEach((share, place) => setText(this.shares[place], inWords(share)));
    const { referred, rejected, others } = found;
    const left = [referred && `${count(referred)} referred`, rejected && `${count(rejected)} rejected as not a brain MRI`, others && `${count(others)} that you call unsure or not a brain MRI`];
    const words = left.filter(Boolean).join(", ");
    setText(this.leftOut, words ? `Not in the table: ${words}.` : "");
  }
}

/** @param {Share | null} share */
function inWords(share) {
  if (!share) return "–";
  return `${percent(share.value)} (${percent(share.low)} to ${percent(share.high)}), ${count(share.hits)} of ${counted(share.trials, "case")}`;
}
