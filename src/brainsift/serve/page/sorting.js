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

/** What the cases are ordered by, as a number; names are compared as texts. @type {Record<Exclude<SortKey, "name">, (one: Listed) => number>} */
const KEYS = {
  order: ({ order }) => order,
  decision: (one) => 4 * DECISIONS.indexOf(one.decision) - suspicion(one), // of one decision, the most suspicious first
  probability: suspicion,
  distance,
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
 * The cases in an order; those that are equal in it, as they were added.
 *
 * @template {Listed} T
 * @param {T[]} cases
 * @param {Sort} sort
 */
export function sort(cases, { by, isDown }) {
  const sign = isDown ? -1 : 1;
  if (by === "name") {
    return [...cases].sort((a, b) => sign * collator.compare(a.folder + a.name, b.folder + b.name) || a.order - b.order);
  }
  const keys = Float64Array.from(cases, KEYS[by]); // once per case, not once per comparison
  const places = Uint32Array.from(cases.keys());
  places.sort((a, b) => sign * (keys[a] - keys[b]) || cases[a].order - cases[b].order); // of two infinities, NaN
  return Array.from(places, (place) => cases[place]);
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
