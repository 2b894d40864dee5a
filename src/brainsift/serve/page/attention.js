// @ts-check
// Why a reader should look at a case himself, and how near it is to the threshold.

/** @import { Case } from "./cases.js" */

import { isSuspicious, logOdds } from "./decide.js";

/**
 * @typedef {"child" | "incomplete" | "other_contrast" | "burned_in"} Caution What the header says; as the service has it.
 * @typedef {"unsure" | "unconfirmed" | "no_focus" | "near" | Caution} Attention
 * @typedef {Pick<Case, "slices" | "isVolume" | "status" | "decision" | "probability" | "rule" | "sliceRule" | "suspicious">} Seen
 */

const NEAR = 1; // logits: at a threshold of 0.5, probabilities of 0.27 to 0.73

/**
 * How far the probability is from the threshold, in logits; Infinity where it has none.
 *
 * @param {Pick<Seen, "status" | "probability" | "rule">} seen
 */
export const distance = ({ status, probability, rule }) =>
  status === "ok" && probability !== null ? Math.abs(logOdds(probability) - logOdds(rule.threshold)) : Infinity;

/**
 * Whether a case is a volume that is neither a tumor nor free of suspicion.
 *
 * @param {Pick<Seen, "isVolume" | "decision" | "probability" | "rule">} seen
 */
export const isUnconfirmed = (seen) => seen.isVolume && isSuspicious(seen, seen.rule);

/**
 * Whether a case is called a tumor although the map points at no place. Of a volume, its most suspicious slices count.
 *
 * @param {Pick<Seen, "slices" | "decision" | "suspicious">} seen
 */
export const lacksFocus = ({ slices, decision, suspicious }) =>
  decision === "tumor" && suspicious.length > 0 && suspicious.every((place) => slices[place].has_focus === false);

/**
 * Why a reader should look, the most telling reason first; none for what was rejected or could not be read.
 *
 * @param {Seen} seen
 * @returns {Attention[]}
 */
export function attentionOf(seen) {
  /** @type {Attention[]} */
  const found = []; // built up, because each new threshold asks for it again for thousands of cases
  if (seen.status !== "ok") return found;
  if (seen.decision === "refer") found.push("unsure");
  if (isUnconfirmed(seen)) found.push("unconfirmed");
  if (lacksFocus(seen)) found.push("no_focus");
  if (distance(seen) < NEAR) found.push("near");
  for (const { cautions } of seen.slices) for (const one of cautions) if (!found.includes(one)) found.push(one);
  const isIncomplete = seen.isVolume && seen.slices.some(({ status }) => status === "unreadable");
  if (isIncomplete && !found.includes("incomplete")) found.push("incomplete");
  return found;
}
