// @ts-check
// Which cases the list shows, and in what order.

/** @import { Case } from "./cases.js" */

import { distance } from "./attention.js";
import { DECISIONS, label } from "./words.js";

/**
 * @typedef {"order" | "name" | "decision" | "probability" | "distance"} SortKey "order": as the files were added;
 *   "distance": how near to the threshold.
 */
/** @typedef {{ by: SortKey, isDown: boolean }} Sort */
/** @typedef {Pick<Case, "name" | "folder" | "status" | "decision" | "detail" | "probability" | "order" | "rule" | "attention">} Listed */

const collator = new Intl.Collator("en", { numeric: true, sensitivity: "base" });

/** Of what was rejected, the probability says nothing. @param {Listed} one */
const suspicion = (one) => (one.status === "ok" ? (one.probability ?? -1) : -1);

/** @type {Record<SortKey, (a: Listed, b: Listed) => number>} */
const COMPARE = {
  order: (a, b) => a.order - b.order,
  name: (a, b) => collator.compare(a.folder + a.name, b.folder + b.name),
  decision: (a, b) => DECISIONS.indexOf(a.decision) - DECISIONS.indexOf(b.decision) || suspicion(b) - suspicion(a),
  probability: (a, b) => suspicion(a) - suspicion(b),
  distance: (a, b) => distance(a) - distance(b) || 0, // of two that are infinitely far
};

/** @type {Sort} */
export const AS_ADDED = { by: "order", isDown: false };
/** The order of the cases that need a look. @type {Sort} */
export const NEAREST = { by: "distance", isDown: false };

/**
 * The cases with a decision whose names, decisions or reasons hold all words of a query.
 *
 * @template {Listed} T
 * @param {T[]} cases
 * @param {{ decision: string, query: string, ofNames?: boolean }} wanted `decision` "all" for any, "look" for what needs a
 *   look; `ofNames`: search the names alone.
 */
export function filter(cases, { decision, query, ofNames = false }) {
  const words = query.toLowerCase().split(/\s+/).filter(Boolean);
  return cases.filter((one) => {
    const fits = decision === "look" ? one.attention.length > 0 : decision === "all" || one.decision === decision;
    if (!fits || !words.length) return fits;
    const result = ofNames ? "" : ` ${label(one.decision)} ${one.detail}`;
    const text = `${one.folder}${one.name}${result}`.toLowerCase();
    return words.every((word) => text.includes(word));
  });
}

/**
 * The cases in an order.
 *
 * @template {Listed} T
 * @param {T[]} cases
 * @param {Sort} sort
 */
export function sort(cases, { by, isDown }) {
  const sign = isDown ? -1 : 1;
  return [...cases].sort((a, b) => sign * COMPARE[by](a, b) || a.order - b.order);
}

/**
 * The order after a click on a column. First click: the most telling end first; second: the other; third: as added.
 *
 * @param {Sort} now
 * @param {SortKey} by the column.
 * @returns {Sort}
 */
export function nextSort(now, by) {
  const isDown = by === "probability";
  if (now.by !== by) return { by, isDown };
  return now.isDown === isDown ? { by, isDown: !isDown } : AS_ADDED;
}
