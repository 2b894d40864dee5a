// From probabilities to decisions: the rules of inference/decision.py and inference/volume_decision.py, so that a new
// threshold needs no new scoring.

const ADJACENT = 3;
const MIN_SCORED_SHARE = 0.5;
const SHOWN = 5;

/** The logit of a probability, within ±27.6. */
export function logOdds(probability) {
  const clipped = Math.min(Math.max(probability, 1e-12), 1 - 1e-12);
  return Math.log(clipped / (1 - clipped));
}

const side = (probability, rule) => {
  if (Math.abs(logOdds(probability)) < rule.margin) return "refer";
  return probability >= rule.threshold ? "tumor" : "no_tumor";
};

/** The rule for a volume as a whole: without a wish of the reader, it has a higher threshold than a slice. */
export const ofVolumes = (rule) => ({ ...rule, threshold: rule.volumeThreshold ?? rule.threshold });

/** "tumor", "no_tumor", "refer" or "unreadable" of one slice. */
export function decide(answer, rule) {
  if (answer.status === "unreadable" || answer.probability === null) return "unreadable";
  return answer.status === "not_brain_mri" ? "refer" : side(answer.probability, rule);
}

/**
 * The answer for the slices of a volume, by the rule of `ofVolumes`: the largest mean of probabilities over three
 * adjacent slices.
 * `suspicious` holds the places of the slices with the largest probability, the largest first.
 */
export function summarise(answers, rule) {
  const scored = answers
    .map((answer, place) => ({ ...answer, place }))
    .filter((answer) => answer.status === "ok" && answer.probability !== null);
  if (!scored.length) {
    const readable = answers.find((answer) => answer.status !== "unreadable");
    const status = readable ? "not_brain_mri" : "unreadable";
    const decision = readable ? "refer" : "unreadable";
    return { status, probability: null, decision, nScored: 0, suspicious: [], reason: "no_usable_slice", why: "" };
  }
  const width = Math.min(ADJACENT, scored.length);
  let largest = 0;
  for (let start = 0; start + width <= scored.length; start += 1) {
    const sum = scored.slice(start, start + width).reduce((total, one) => total + one.probability, 0);
    largest = Math.max(largest, sum / width);
  }
  const nHead = answers.filter(({ reason }) => reason !== "hardly_any_head").length;
  const tooFew = scored.length < Math.max(MIN_SCORED_SHARE * nHead, Math.min(nHead - 1, ADJACENT));
  const decision = tooFew ? "refer" : side(largest, rule);
  const suspicious = [...scored].sort((a, b) => b.probability - a.probability).slice(0, SHOWN);
  return {
    status: "ok",
    probability: largest,
    decision,
    reason: tooFew ? "too_few_slices" : decision === "refer" ? "unsure" : "",
    why: tooFew ? `only ${scored.length} of ${nHead} slices with some of the head could be scored` : "",
    nScored: scored.length,
    suspicious: suspicious.map((one) => one.place),
  };
}

/** The largest threshold that reached the wanted sensitivity on validation data; null where none did. */
export function thresholdFor(sensitivity, pairs) {
  const reached = pairs.filter(([known]) => known >= sensitivity - 1e-9).map(([, threshold]) => threshold);
  return reached.length ? Math.max(...reached) : null;
}

/** The sensitivity on validation data of a threshold: the inverse of `thresholdFor`; null where unknown. */
export function sensitivityOf(threshold, pairs) {
  const reached = pairs.filter(([, known]) => known >= threshold - 1e-12).map(([sensitivity]) => sensitivity);
  return reached.length ? Math.max(...reached) : null;
}

/** How far the logit has to be from 0 so that at most this share of the answers is wrong; null where unknown. */
export function marginFor(maxError, margins) {
  const promised = Object.entries(margins)
    .filter(([share]) => Number(share) <= maxError + 1e-9)
    .map(([, found]) => found.margin);
  return promised.length ? Math.min(...promised) : null;
}

/**
 * What decides, made from what the reader chose: `{ name }`, `{ sensitivity }`, `{ maxError }`, or nothing.
 * `query` is the same for the server.
 */
export function makeRule(choice, model) {
  if (choice.maxError) {
    const margin = marginFor(choice.maxError, model.margins);
    return { choice, threshold: model.thresholds.even, margin, query: { max_error: choice.maxError } };
  }
  if (choice.sensitivity) {
    const threshold = thresholdFor(choice.sensitivity, model.sensitivities);
    return { choice, threshold, margin: 0, query: { sensitivity: choice.sensitivity } };
  }
  const { balanced, confirm = balanced } = model.thresholds;
  if (!choice.name) return { choice, threshold: balanced, volumeThreshold: Math.max(balanced, confirm), margin: 0, query: {} };
  return { choice, threshold: model.thresholds[choice.name], margin: 0, query: { threshold: choice.name } };
}
