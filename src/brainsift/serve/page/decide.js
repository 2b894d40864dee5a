// @ts-check
// From what the service scored to decisions, so that a new threshold needs no new scoring. The service owns the rule for
// volumes: it sends their probability, and whether too few slices could be scored; only a threshold is laid against it.

/**
 * @typedef {"ok" | "not_brain_mri" | "unreadable"} Status
 * @typedef {"tumor" | "no_tumor" | "refer" | "not_brain_mri" | "unreadable"} Decision
 *
 * @typedef {object} Scored What the network gave for an image or a slice.
 * @property {Status} status
 * @property {number | null} probability calibrated, of a tumor, six digits; null where the file could not be read.
 * @property {number | null} logit exact log-odds of the probability.
 * @property {string | null} [reason] a code: why it is unreadable, rejected or referred; "" for none.
 *
 * @typedef {object} VolumeScored What the service says of a volume, whatever the threshold.
 * @property {number | null} exact_probability of the volume; null where no slice was scored.
 * @property {Record<string, string>} [findings] the result in words, for each state that a threshold may give.
 * @property {number} n_slices
 * @property {number} n_scored
 * @property {number} n_unreadable
 * @property {string} reason a code; "unsure" depends on the threshold, the others do not.
 * @property {string} detail the reason in words, and the note.
 * @property {string} note how its slices were read.
 *
 * @typedef {object} Rule What decides.
 * @property {number} threshold the smallest probability that is called a tumor.
 * @property {number} [volumeThreshold] the same for volumes as a whole, where it is another.
 * @property {number} [suspicion] the probability from which on a volume is suspicious, where it is no tumor.
 * @property {boolean} [ofMean] whether the probability of a volume is a mean over slices, not calibrated.
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
 * @property {Pick<Thresholds, "thresholds" | "sensitivities"> & { suspicion: number } | null} [volumes] the same of
 *   volumes as a whole; none where the network does not say how they are decided.
 *
 * @typedef {object} Summary The prediction for a volume.
 * @property {Status} status
 * @property {number | null} probability
 * @property {Decision} decision
 * @property {string} reason a code: why it is unreadable or referred; "" for none.
 * @property {string} detail the same in words, where they do not depend on the threshold, and how it was read.
 * @property {string} finding the result in words; "" where nothing was scored.
 */

const SHOWN = 5;
const ALIKE = 4 * Number.EPSILON; // exp() of two languages may differ in the last digit, and a threshold may be a score

/**
 * The logit of a probability, within ±27.6.
 *
 * @param {number} probability
 */
export function logOdds(probability) {
  const clipped = Math.min(Math.max(probability, 1e-12), 1 - 1e-12);
  return Math.log(clipped / (1 - clipped));
}

/** @param {number} logit */
const expit = (logit) => 1 / (1 + Math.exp(-logit));

/**
 * How far from 0.5 the probabilities of the abstention margin reach.
 *
 * @param {Rule} rule
 */
export const halfBand = ({ margin }) => expit(margin) - 0.5;

/**
 * Whether a probability is at or above a threshold.
 *
 * @param {number} probability
 * @param {number} threshold
 */
export const reaches = (probability, threshold) => probability >= threshold * (1 - ALIKE);

/**
 * The rule for volumes as a whole: by default, their threshold is higher than that of slices.
 *
 * @template {Rule} R
 * @param {R} rule
 * @returns {R}
 */
export const ofVolumes = (rule) => ({ ...rule, threshold: rule.volumeThreshold ?? rule.threshold });

/**
 * Whether a volume is neither a tumor nor free of suspicion.
 *
 * @param {{ decision: Decision, probability: number | null }} volume
 * @param {Rule} rule
 */
export const isSuspicious = ({ decision, probability }, { suspicion }) =>
  decision === "no_tumor" && probability !== null && suspicion !== undefined && reaches(probability, suspicion);

/**
 * The decision for one image or slice.
 *
 * @param {Pick<Scored, "status" | "logit">} scored
 * @param {Rule} rule
 * @returns {Decision}
 */
export function decide({ status, logit }, rule) {
  if (status === "unreadable" || logit === null) return "unreadable";
  if (status === "not_brain_mri") return "not_brain_mri";
  if (Math.abs(logit) < rule.margin) return "refer";
  return reaches(expit(logit), rule.threshold) ? "tumor" : "no_tumor";
}

/**
 * The prediction for a volume.
 *
 * @param {VolumeScored} volume
 * @param {Rule} rule of `ofVolumes`.
 * @returns {Summary}
 */
export function decideVolume({ exact_probability: probability, n_slices: all, n_unreadable: unreadable, reason, detail, note, findings = {} }, rule) {
  if (probability === null) {
    const status = unreadable < all ? "not_brain_mri" : "unreadable";
    return { status, probability, decision: status, reason, detail, finding: findings.refer ?? "" };
  }
  if (reason && reason !== "unsure") return { status: "ok", probability, decision: "refer", reason, detail, finding: findings.refer ?? "" };
  const isUnsure = Math.abs(logOdds(probability)) < rule.margin;
  const decision = isUnsure ? "refer" : reaches(probability, rule.threshold) ? "tumor" : "no_tumor";
  const finding = findings[isSuspicious({ decision, probability }, rule) ? "suspicious" : decision] ?? "";
  return { status: "ok", probability, decision, reason: isUnsure ? "unsure" : "", detail: note, finding };
}

/**
 * Places of the slices with the largest probability, the largest first.
 *
 * @param {Pick<Scored, "status" | "probability">[]} slices
 */
export function mostSuspicious(slices) {
  const scored = slices.flatMap(({ status, probability }, place) => (status === "ok" && probability !== null ? [{ place, probability }] : []));
  return scored.sort((a, b) => b.probability - a.probability).slice(0, SHOWN).map(({ place }) => place);
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
  const { thresholds, sensitivities, volumes } = model;
  const { balanced, even } = thresholds;
  /** @type {(own: number, ofVolumes: number | null | undefined) => Pick<Rule, "threshold" | "volumeThreshold" | "suspicion" | "ofMean">} */
  const limits = (own, ofVolumes) =>
    volumes ? { threshold: own, volumeThreshold: ofVolumes ?? own, suspicion: volumes.suspicion } : { threshold: own, suspicion: balanced, ofMean: true };
  if (choice.maxError) {
    const margin = marginFor(choice.maxError, model.margins);
    if (margin === null || even === undefined) return null;
    return { choice, ...limits(even, volumes?.thresholds.even), margin, query: { max_error: choice.maxError } };
  }
  if (choice.sensitivity) {
    const threshold = thresholdFor(choice.sensitivity, sensitivities);
    const ofVolumes = volumes && thresholdFor(choice.sensitivity, volumes.sensitivities);
    return threshold === null ? null : { choice, ...limits(threshold, ofVolumes), margin: 0, query: { sensitivity: choice.sensitivity } };
  }
  if (!choice.name) {
    const ofVolumes = (volumes ?? model).thresholds;
    const volumeThreshold = Math.max(ofVolumes.balanced, ofVolumes.confirm ?? ofVolumes.balanced);
    return { choice, ...limits(balanced, null), volumeThreshold, margin: 0, query: {} };
  }
  const threshold = thresholds[choice.name];
  return threshold === undefined ? null : { choice, ...limits(threshold, volumes?.thresholds[choice.name]), margin: 0, query: { threshold: choice.name } };
}
