// @ts-check
// Verdicts of a reader against decisions: the table of two by two, and what follows from it.

/** @import { Case } from "./cases.js" */

/**
 * @typedef {object} Share
 * @property {number} hits
 * @property {number} trials
 * @property {number} value
 * @property {number} low end of the 95 % interval.
 * @property {number} high
 *
 * @typedef {object} Agreement
 * @property {number} total cases that can be judged.
 * @property {number} judged
 * @property {{ tumor: number, no_tumor: number }} onTumor decisions on cases with a tumor, as the reader says.
 * @property {{ tumor: number, no_tumor: number }} onNone the same on cases without one.
 * @property {number} referred cases with a tumor or without one that the rule refers.
 * @property {number} rejected the same, of those that the network rejected.
 * @property {number} others cases that the reader is not sure about, or calls no brain MRI.
 */

const Z = 1.959963984540054; // the 97.5th percentile of the normal distribution

/**
 * Wilson's score interval of a proportion, as `brainsift.stats.metrics.wilson` has it; null without a trial.
 *
 * @param {number} hits
 * @param {number} trials
 * @returns {Share | null}
 */
export function wilson(hits, trials) {
  if (!trials) return null;
  const value = hits / trials;
  const squared = Z * Z;
  const center = (value + squared / (2 * trials)) / (1 + squared / trials);
  const half = (Z / (1 + squared / trials)) * Math.sqrt((value * (1 - value)) / trials + squared / (4 * (trials * trials)));
  return { hits, trials, value, low: Math.min(Math.max(0, center - half), value), high: Math.max(Math.min(1, center + half), value) };
}

/**
 * Counts verdicts against the decisions of the rule in use. Of a file that could not be read there is no verdict.
 *
 * @param {(Pick<Case, "status" | "verdict" | "decision"> & { count?: number })[]} cases `count` says of how many it stands.
 * @returns {Agreement}
 */
export function compare(cases) {
  const found = { total: 0, judged: 0, onTumor: { tumor: 0, no_tumor: 0 }, onNone: { tumor: 0, no_tumor: 0 }, referred: 0, rejected: 0, others: 0 };
  for (const { status, verdict, decision, count = 1 } of cases) {
    if (status === "unreadable") continue;
    found.total += count;
    if (verdict === null) continue;
    found.judged += count;
    if (verdict !== "tumor" && verdict !== "no_tumor") found.others += count;
    else if (decision === "refer") found.referred += count;
    else if (decision === "tumor" || decision === "no_tumor") found[verdict === "tumor" ? "onTumor" : "onNone"][decision] += count;
    else found.rejected += count;
  }
  return found;
}

/** @param {Agreement} found */
export const sensitivity = ({ onTumor }) => wilson(onTumor.tumor, onTumor.tumor + onTumor.no_tumor);

/** @param {Agreement} found */
export const specificity = ({ onNone }) => wilson(onNone.no_tumor, onNone.tumor + onNone.no_tumor);
