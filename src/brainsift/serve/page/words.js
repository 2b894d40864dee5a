// @ts-check
// Numbers and predictions in words.

/** @import { Attention } from "./attention.js" */
/** @import { Decision, Rule, Status } from "./decide.js" */

/** @type {Decision[]} */
export const DECISIONS = ["tumor", "no_tumor", "refer", "not_brain_mri", "unreadable"];
/** @type {Record<string, string>} */
const LABELS = { tumor: "Tumor", no_tumor: "No tumor", refer: "Refer", not_brain_mri: "Not a brain MRI", unreadable: "Unreadable", "": "Unreadable", hidden: "Hidden" };
/** A volume that is neither a tumor nor free of suspicion, where there is room for a word only. */
export const SUSPICIOUS = "Suspicious";
/** Sentences that begin with "This" or a noun, for the line of a case. @type {Record<Attention, string>} */
const ATTENTION = {
  unsure: "The prediction is not sure enough for the error rate that you chose.",
  unconfirmed: "Slices of this volume are suspicious, but the volume as a whole stays below its threshold.",
  no_focus: "No focus found: the map points at no place. Such a result is less often right.",
  near: "The probability is near the threshold.",
  child: "The patient is a child. The network is not meant for children.",
  incomplete: "The series is incomplete: slices are missing or cannot be read.",
  other_contrast: "No figure of the model card holds for this kind of image.",
  burned_in: "Letters are part of this picture. They can mislead the network.",
};
/** What `brainsift predict` writes into `detail` where a prediction lies within the abstention margin. */
export const UNSURE = "not sure enough for the wanted share of errors";

/** @param {string} decision */
export const label = (decision) => LABELS[decision] ?? decision;

/** @param {Attention} attention */
export const attentionInWords = (attention) => ATTENTION[attention];

/**
 * What a slice of a volume is called: only the volume as a whole is a tumor or not.
 *
 * @param {{ decision: Decision }} slice
 * @param {Rule} rule
 */
export function sliceLabel({ decision }, { threshold }) {
  if (decision === "tumor") return `Above ${number(threshold)}`;
  return decision === "no_tumor" ? `Below ${number(threshold)}` : label(decision);
}

/**
 * 0.9312 -> "0.931"; a missing number becomes a dash.
 *
 * @param {number | null | undefined} value
 */
export const number = (value, digits = 3) => (isNumber(value) ? value.toFixed(digits) : "–");

/**
 * 0.9312 -> "93.1 %", with a no-break space.
 *
 * @param {number | null | undefined} value
 */
export const percent = (value, digits = 1) => (isNumber(value) ? `${(100 * value).toFixed(digits)}\u00a0%` : "–");

/**
 * @param {unknown} value
 * @returns {value is number}
 */
const isNumber = (value) => Number.isFinite(value);

/**
 * A value with as many digits as tell a thousand values of a span apart.
 *
 * @param {number} value
 * @param {number} span
 */
export const figure = (value, span) => value.toFixed(Math.min(Math.max(2 - Math.floor(Math.log10(span)), 0), 20));

/**
 * The thresholds of a rule: "0.556", or "0.556, volumes 0.967".
 *
 * @param {Rule} rule
 */
export const thresholds = ({ threshold, volumeThreshold = threshold }) =>
  volumeThreshold === threshold ? number(threshold) : `${number(threshold)}, volumes ${number(volumeThreshold)}`;

/** 1200 -> "1,200" @param {number} value */
export const count = (value) => value.toLocaleString("en");

/**
 * (1200, "case") -> "1,200 cases"
 *
 * @param {number} value
 * @param {string} noun
 */
export const counted = (value, noun, plural = `${noun}s`) => `${count(value)} ${value === 1 ? noun : plural}`;

/**
 * Begins with a capital and ends with a full stop.
 *
 * @param {string} text
 */
export const sentence = (text) => {
  const clean = text.trim();
  if (!clean) return "";
  const capital = clean[0].toUpperCase() + clean.slice(1);
  return /[.!?…]$/.test(capital) ? capital : `${capital}.`;
};

/**
 * An error as sentences: the rule, then the remedy.
 *
 * @param {unknown} error of the service, with `subject`, `rule` and `remedy`, or of the browser.
 */
export const inWords = (error) => {
  const { subject, rule, remedy, message } = /** @type {Record<string, string | undefined>} */ (Object(error));
  const words = subject && rule ? `${subject} ${rule}` : rule || message || String(error);
  return `${sentence(words)} ${sentence(remedy ?? "")}`.trim();
};

/**
 * @typedef {object} Missing Counts of what was added and got no prediction.
 * @property {number} stopped files that were not scored when the reader stopped.
 * @property {number} skipped files that are no images.
 * @property {number} closed files and folders that could not be opened.
 * @property {number} forgotten cases that the server no longer has after a reload.
 * @property {boolean} nothing whether nothing could be scored.
 */

/**
 * What got no prediction and is not in the list either, in sentences; "" where there is nothing of the kind.
 *
 * @param {Missing} missing
 */
export function missingInWords({ stopped, skipped, closed, forgotten, nothing }) {
  /** @type {(count: number, noun: string, does: string) => string} */
  const were = (count, noun, does) => `${counted(count, noun)} ${count === 1 ? "was" : "were"} ${does}`;
  const images = skipped === 1 ? "is not an image and was" : "are not images and were";
  return [
    stopped && `Stopped. ${were(stopped, "file", "not scored")}.`,
    nothing && (skipped ? `No images found: ${were(skipped, "file", "left out")}.` : "No images found."),
    !nothing && skipped && `${counted(skipped, "file")} ${images} left out.`,
    closed && `${counted(closed, "file or folder", "files or folders")} could not be opened.`,
    forgotten && `The server has forgotten ${counted(forgotten, "case")} of this list. Drop the files again to see them.`,
  ]
    .filter(Boolean)
    .join(" ");
}

/**
 * "0078.jpg: Tumor, 0.899"; without a number where that says nothing.
 *
 * @param {string} name
 * @param {{ decision: string, probability: number | null }} prediction
 * @param {string} [called] the decision in words.
 */
export const predicted = (name, { decision, probability }, called = label(decision)) =>
  `${name}: ${called}${probability === null || decision === "not_brain_mri" ? "" : `, ${number(probability)}`}`;

/**
 * "2025-11-25T09:12:33+00:00" -> "25 Nov 2025, 09:12", in the reader's time zone; without the year in this one.
 *
 * @param {string} text ISO 8601.
 */
export function moment(text) {
  const when = new Date(text);
  if (Number.isNaN(when.getTime())) return text;
  const year = when.getFullYear() === new Date().getFullYear() ? undefined : "numeric";
  return when.toLocaleString("en-GB", { day: "numeric", month: "short", year, hour: "2-digit", minute: "2-digit" });
}

/**
 * What a prediction for an image or a slice means, in a sentence.
 *
 * @param {{ status: Status, decision: Decision, probability: number | null, refused: boolean }} prediction
 * @param {Rule} rule
 */
export function explain({ status, decision, probability, refused }, rule) {
  const p = number(probability);
  const limit = number(rule.threshold);
  if (refused) return "This file was not scored.";
  if (status === "unreadable") return "This file could not be read as an image.";
  if (status === "not_brain_mri") {
    return "This image was rejected: it does not look like the brain MRI slices that the network was trained on. It has no result.";
  }
  if (decision === "refer") {
    return `The probability of a tumor, ${p}, is too close to 0.5 to keep the error rate that you chose. A human reader should decide.`;
  }
  if (decision === "tumor") return `The probability of a tumor, ${p}, reaches the threshold of ${limit}.`;
  return `The probability of a tumor, ${p}, stays below the threshold of ${limit}.`;
}

/**
 * The reason for a status, as a sentence: rules of errors begin with their verb, and speak of the file.
 *
 * @param {{ status: Status, detail: string }} prediction
 */
export const because = ({ status, detail }) =>
  sentence(status === "unreadable" && /^[a-z]/.test(detail) ? `The file ${detail}` : detail);
