// @ts-check
// From probabilities to decisions: the rules of inference/decision.py and inference/volume_decision.py, so that a new
// threshold needs no new scoring.

/**
 * @typedef {"ok" | "not_brain_mri" | "unreadable"} Status
 * @typedef {"tumor" | "no_tumor" | "refer" | "unreadable"} Decision
 *
 * @typedef {object} Scored What the network gave for an image or a slice.
 * @property {Status} status
 * @property {number | null} probability calibrated, of a tumor; null where the file could not be read.
 * @property {string | null} [reason] a code: why it is unreadable, rejected or referred; "" for none.
 *
 * @typedef {object} Rule What decides.
 * @property {number} threshold the smallest probability that is called a tumor.
 * @property {number} [volumeThreshold] the same for volumes as a whole, where it is another.
 * @property {number} margin abstention margin: below this distance of the logit from 0, a prediction is referred.
 *
 * @typedef {object} Choice What the reader chose: one of these, or nothing for the default.
 * @property {string} [name] a threshold by name; "" for the default.
 * @property {number} [sensitivity] that the threshold reached on the validation images.
 * @property {number} [maxError] the share of wrong predictions that may remain; the others are referred.
 *
 * @typedef {Rule & { choice: Choice, query: Record<string, string | number> }} ChosenRule `query` asks the service for
 *   the same rule.
 *
 * @typedef {object} Thresholds What the service says of the network's thresholds.
 * @property {Record<string, number>} thresholds by name.
 * @property {[sensitivity: number, threshold: number][]} sensitivities measured on the validation images.
 * @property {Record<string, { margin: number, referred: number }>} margins by the share of errors that may remain.
 *
 * @typedef {object} Summary The prediction for a volume.
 * @property {Status} status
 * @property {number | null} probability
 * @property {Decision} decision
 * @property {string} reason a code: why it is unreadable or referred; "" for none.
 * @property {string} detail the same in words, where they do not depend on the threshold.
 * @property {number} nScored slices that the network scored.
 * @property {number[]} suspicious places of the slices with the largest probability, the largest first.
 */

const ADJACENT = 3;
const MIN_SCORED_SHARE = 0.5;
const SHOWN = 5;

/**
 * The logit of a probability, within ±27.6.
 *
 * @param {number} probability
 */
export function logOdds(probability) {
  const clipped = Math.min(Math.max(probability, 1e-12), 1 - 1e-12);
  return Math.log(clipped / (1 - clipped));
}

/**
 * How far from 0.5 the probabilities of the abstention margin reach.
 *
 * @param {Rule} rule
 */
export const halfBand = ({ margin }) => 1 / (1 + Math.exp(-margin)) - 0.5;

/**
 * @param {number} probability
 * @param {Rule} rule
 * @returns {Decision}
 */
function decideScored(probability, rule) {
  if (Math.abs(logOdds(probability)) < rule.margin) return "refer";
  return probability >= rule.threshold ? "tumor" : "no_tumor";
}

/**
 * The rule for volumes as a whole: by default, their threshold is higher than that of slices.
 *
 * @template {Rule} R
 * @param {R} rule
 * @returns {R}
 */
export const ofVolumes = (rule) => ({ ...rule, threshold: rule.volumeThreshold ?? rule.threshold });

/**
 * The decision for one image or slice.
 *
 * @param {Scored} scored
 * @param {Rule} rule
 * @returns {Decision}
 */
export function decide({ status, probability }, rule) {
  if (status === "unreadable" || probability === null) return "unreadable";
  return status === "not_brain_mri" ? "refer" : decideScored(probability, rule);
}

/**
 * The prediction for a volume from those for its slices: the largest mean probability of three adjacent slices. Where
 * too few slices could be scored, it is referred.
 *
 * @param {Scored[]} slices in the order of the volume.
 * @param {Rule} rule of `ofVolumes`.
 * @returns {Summary}
 */
export function summarize(slices, rule) {
  const scored = slices.flatMap(({ status, probability }, place) =>
    status === "ok" && probability !== null ? [{ place, probability }] : [],
  );
  if (!scored.length) {
    const readable = slices.some(({ status }) => status !== "unreadable");
    const status = readable ? "not_brain_mri" : "unreadable";
    const decision = readable ? "refer" : "unreadable";
    return { status, probability: null, decision, reason: "no_usable_slice", detail: "", nScored: 0, suspicious: [] };
  }
  const width = Math.min(ADJACENT, scored.length);
  let largest = 0;
  for (let start = 0; start + width <= scored.length; start += 1) {
    const sum = scored.slice(start, start + width).reduce((total, one) => total + one.probability, 0);
    largest = Math.max(largest, sum / width);
  }
  const nHead = slices.filter(({ reason }) => reason !== "hardly_any_head").length;
  const tooFew = scored.length < Math.max(MIN_SCORED_SHARE * nHead, Math.min(nHead - 1, ADJACENT));
  const decision = tooFew ? "refer" : decideScored(largest, rule);
  const suspicious = [...scored].sort((a, b) => b.probability - a.probability).slice(0, SHOWN);
  return {
    status: "ok",
    probability: largest,
    decision,
    reason: tooFew ? "too_few_slices" : decision === "refer" ? "unsure" : "",
    detail: tooFew ? `only ${scored.length} of ${nHead} slices with some of the head could be scored` : "",
    nScored: scored.length,
    suspicious: suspicious.map((one) => one.place),
  };
}

/**
 * The largest threshold that reached a sensitivity on the validation images; null where none did.
 *
 * @param {number} sensitivity
 * @param {Thresholds["sensitivities"]} pairs
 */
export function thresholdFor(sensitivity, pairs) {
  const reached = pairs.filter(([known]) => known >= sensitivity - 1e-9).map(([, threshold]) => threshold);
  return reached.length ? Math.max(...reached) : null;
}

/**
 * The sensitivity of a threshold on the validation images: the inverse of `thresholdFor`; null where it is unknown.
 *
 * @param {number} threshold
 * @param {Thresholds["sensitivities"]} pairs
 */
export function sensitivityOf(threshold, pairs) {
  const reached = pairs.filter(([, known]) => known >= threshold - 1e-12).map(([sensitivity]) => sensitivity);
  return reached.length ? Math.max(...reached) : null;
}

/**
 * The abstention margin that leaves at most this share of the predictions wrong; null where it is unknown.
 *
 * @param {number} maxError
 * @param {Thresholds["margins"]} margins
 */
export function marginFor(maxError, margins) {
  const promised = Object.entries(margins)
    .filter(([share]) => Number(share) <= maxError + 1e-9)
    .map(([, found]) => found.margin);
  return promised.length ? Math.min(...promised) : null;
}

/**
 * Makes the rule that the reader chose; null where this network has none of the kind.
 *
 * @param {Choice} choice
 * @param {Thresholds} model
 * @returns {ChosenRule | null}
 */
export function makeRule(choice, model) {
  const { balanced, confirm = balanced, even } = model.thresholds;
  if (choice.maxError) {
    const margin = marginFor(choice.maxError, model.margins);
    if (margin === null || even === undefined) return null;
    return { choice, threshold: even, margin, query: { max_error: choice.maxError } };
  }
  if (choice.sensitivity) {
    const threshold = thresholdFor(choice.sensitivity, model.sensitivities);
    return threshold === null ? null : { choice, threshold, margin: 0, query: { sensitivity: choice.sensitivity } };
  }
  if (!choice.name) return { choice, threshold: balanced, volumeThreshold: Math.max(balanced, confirm), margin: 0, query: {} };
  const threshold = model.thresholds[choice.name];
  return threshold === undefined ? null : { choice, threshold, margin: 0, query: { threshold: choice.name } };
}
