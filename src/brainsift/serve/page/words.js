// Numbers and answers -> words.

export const DECISIONS = ["tumor", "no_tumor", "refer", "unreadable"];
const LABELS = { tumor: "Tumor", no_tumor: "No tumor", refer: "Refer", unreadable: "Unreadable", "": "Unreadable" };
export const UNSURE = "not sure enough for the wanted share of errors";

export const label = (decision) => LABELS[decision] ?? decision;

/** 0.9312 -> "0.931"; what is no number becomes a dash. */
export const number = (value, digits = 3) => (Number.isFinite(value) ? value.toFixed(digits) : "–");

/** 0.9312 -> "93.1 %", with a no-break space. */
export const percent = (value, digits = 1) => (Number.isFinite(value) ? `${(100 * value).toFixed(digits)}\u00a0%` : "–");

/** A value with as many digits as tell a thousand values of a span apart. */
export const figure = (value, span) => value.toFixed(Math.min(Math.max(2 - Math.floor(Math.log10(span)), 0), 20));

/** The thresholds of a rule: "0.556", or "0.556, volumes 0.967". */
export const thresholds = ({ threshold, volumeThreshold = threshold }) =>
  volumeThreshold === threshold ? number(threshold) : `${number(threshold)}, volumes ${number(volumeThreshold)}`;

export const counted = (count, noun, plural = `${noun}s`) =>
  `${count.toLocaleString("en")} ${count === 1 ? noun : plural}`;

export const sentence = (text) => {
  const clean = text.trim();
  if (!clean) return "";
  const first = clean[0].toUpperCase() + clean.slice(1);
  return /[.!?…]$/.test(first) ? first : `${first}.`;
};

/** An error as sentences: the rule, then the remedy. */
export const inWords = (error) => {
  const rule = error.subject && error.rule ? `${error.subject} ${error.rule}` : error.rule || error.message || String(error);
  return `${sentence(rule)} ${sentence(error.remedy ?? "")}`.trim();
};

/** What came to no answer and is not in the list either, in sentences; "" where there is nothing of the kind. */
export function unanswered({ stopped, skipped, closed, forgotten, nothing }) {
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

/** "0078.jpg: Tumor, 0.899" */
export const answered = (name, { decision, probability }) =>
  `${name}: ${label(decision)}${Number.isFinite(probability) ? `, ${number(probability)}` : ""}`;

/** "2025-11-25T09:12:33+00:00" -> "25 Nov 2025, 09:12", in the reader's time zone; without the year in this one. */
export function moment(text) {
  const when = new Date(text);
  if (Number.isNaN(when.getTime())) return text;
  const year = when.getFullYear() === new Date().getFullYear() ? undefined : "numeric";
  return when.toLocaleString("en-GB", { day: "numeric", month: "short", year, hour: "2-digit", minute: "2-digit" });
}

/** What the answer says, in a sentence. */
export function explain(answer, rule) {
  const p = number(answer.probability);
  const limit = number(rule.threshold);
  if (answer.refused) return "This file was not scored.";
  if (answer.status === "unreadable") return "This file could not be read as an image.";
  if (answer.status === "not_brain_mri") {
    return "The network cannot judge this image: it does not look like a brain MRI slice of the kind it has learned from. Its probability means little here.";
  }
  if (answer.decision === "refer") {
    return `Too close to even odds: with probability ${p}, the wanted share of wrong answers cannot be kept. A reader should decide.`;
  }
  if (answer.decision === "tumor") return `The probability of a tumor, ${p}, reaches the threshold of ${limit}.`;
  return `The probability of a tumor, ${p}, stays below the threshold of ${limit}.`;
}

/** Why, as a sentence: rules of errors begin with their verb, and speak of the file. */
export const because = ({ status, detail }) => sentence(status === "unreadable" && /^[a-z]/.test(detail) ? `The file ${detail}` : detail);

/** Why an answer was referred or what else to know, without what depends on the threshold in use. */
export const reason = (detail) =>
  detail
    .split("; ")
    .filter((part) => part && part !== UNSURE)
    .join("; ");
