// @ts-check
// What the exports hold: the table of `brainsift predict --csv`, the same as JSON with the volumes, and what the service
// needs for its report.

/** @import { Model, ReportRequest, VolumePrediction } from "./api.js" */
/** @import { Case } from "./cases.js" */
/** @import { ChosenRule } from "./decide.js" */

import { decideVolume, ofVolumes } from "./decide.js";
import { UNSURE } from "./words.js";

/** @typedef {Record<string, string | number | null>} Row */
/** @typedef {Pick<Model, "name" | "version" | "network_sha256" | "notice">} Network */
/** @typedef {Pick<Case, "folder" | "volume" | "slices" | "rule" | "sliceRule" | "suspicious" | "scored">} Exported */

/** Of `brainsift predict --csv`; what made the table follows. */
const COLUMNS = ["path", "status", "probability", "decision", "detail", "volume", "reason", "threshold"];
/** Of `brainsift predict --volumes`. */
const VOLUME_COLUMNS = ["volume", "n_slices", "probability", "decision", "finding", "threshold", "suspicious", "n_scored", "n_not_brain_mri", "n_unreadable", "reason", "detail"];
const ORIGIN = ["rule", "margin", "network", "network_sha256", "version", "made"];

/**
 * What made a table, for each of its rows, so that it stands alone.
 *
 * @param {ChosenRule} rule
 * @param {Network} model
 * @param {Date} when
 */
const originOf = ({ choice, margin }, { name, version, network_sha256 }, when) => ({
  rule: ruleInWords(choice),
  margin,
  network: name,
  network_sha256,
  version,
  made: localTime(when),
});

/** @param {ChosenRule["choice"]} choice */
export function ruleInWords({ name, sensitivity, maxError }) {
  if (maxError) return `max_error ${maxError}`;
  return sensitivity ? `sensitivity ${sensitivity}` : name || "default";
}

/**
 * "2026-03-02T09:30:00+01:00", in the reader's time zone.
 *
 * @param {Date} when
 */
export function localTime(when) {
  const offset = -when.getTimezoneOffset();
  const local = new Date(when.getTime() + 60_000 * offset).toISOString().slice(0, 19);
  const [hours, minutes] = [Math.floor(Math.abs(offset) / 60), Math.abs(offset) % 60].map((part) => String(part).padStart(2, "0"));
  return `${local}${offset < 0 ? "-" : "+"}${hours}:${minutes}`;
}

let lastNamed = 0;

/**
 * "brainsift-2026-03-02-093000-123-slices.csv": in the reader's time; no two files of a page have the same name.
 *
 * @param {string} what the file holds, with its ending.
 * @param {Date} [now]
 */
export function fileName(what, now = new Date()) {
  lastNamed = Math.max(now.getTime(), lastNamed + 1);
  const when = new Date(lastNamed);
  const milliseconds = String(when.getMilliseconds()).padStart(3, "0");
  return `brainsift-${localTime(when).slice(0, 19).replace("T", "-").replaceAll(":", "")}-${milliseconds}-${what}`;
}

/** As `brainsift predict` writes it: an image that is not a brain MRI has the decision `refer`; see `status`. @type {Record<string, string>} */
const WRITTEN = { not_brain_mri: "refer", unreadable: "" };

/**
 * One row per slice, decided by the rule in use; names as `brainsift predict` has them.
 *
 * @param {Pick<Exported, "folder" | "slices" | "sliceRule">[]} cases
 * @returns {Row[]}
 */
export function rowsOf(cases) {
  return cases.flatMap(({ folder, slices, sliceRule }) =>
    slices.map((slice) => ({
      path: folder + slice.name,
      status: slice.status,
      probability: slice.probability,
      decision: WRITTEN[slice.decision] ?? slice.decision,
      detail: [slice.status === "ok" && slice.decision === "refer" ? UNSURE : "", slice.detail].filter(Boolean).join("; "),
      volume: slice.volume ? folder + slice.volume : "",
      reason: slice.status !== "ok" ? (slice.reason ?? "") : slice.decision === "refer" ? "unsure" : "",
      threshold: sliceRule.threshold,
    })),
  );
}

/**
 * One cell of the table. No text is taken for a formula by a spreadsheet: names of files and texts of headers come from
 * others. `csv_writer` of the package has the same rule.
 *
 * @param {string} column
 * @param {string | number | null} value
 */
const cell = (column, value) => {
  const formula = typeof value === "string" && /^[=+\-@\t\r\n]/.test(value);
  const text = `${formula ? (column === "path" ? "./" : "'") : ""}${value ?? ""}`;
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
};

/**
 * @param {string[]} columns
 * @param {Row[]} rows
 */
const csv = (columns, rows) =>
  [columns, ...rows.map((row) => columns.map((name) => cell(name, row[name])))].map((cells) => `${cells.join(",")}\n`).join("");

/**
 * The table of the images and slices.
 *
 * @param {Exported[]} cases
 * @param {ChosenRule} rule
 * @param {Network} model
 */
export function toCsv(cases, rule, model, when = new Date()) {
  const origin = originOf(rule, model, when);
  return csv([...COLUMNS, ...ORIGIN], rowsOf(cases).map((row) => ({ ...row, ...origin })));
}

/**
 * The table of the volumes.
 *
 * @param {Exported[]} cases
 * @param {ChosenRule} rule
 * @param {Network} model
 */
export function volumesToCsv(cases, rule, model, when = new Date()) {
  const origin = originOf(rule, model, when);
  const rows = cases.filter(isScoredVolume).map(volumeOf);
  return csv([...VOLUME_COLUMNS, ...ORIGIN], rows.map((row) => ({ ...row, suspicious: row.suspicious.join("; "), ...origin })));
}

/**
 * The prediction for a volume, of one slice too, as `brainsift predict --volumes` gives it.
 *
 * @param {Exported & { scored: VolumePrediction }} volume
 */
function volumeOf({ folder, slices, rule, suspicious, scored }) {
  const { decision, probability, reason, detail, finding } = decideVolume(scored, rule);
  const { volume, n_slices, n_scored, n_not_brain_mri, n_unreadable } = scored;
  return {
    volume: folder + volume,
    n_slices,
    probability,
    decision: probability === null ? "refer" : decision,
    finding,
    threshold: rule.threshold,
    suspicious: (n_scored ? suspicious : []).map((place) => folder + slices[place].name),
    n_scored,
    n_not_brain_mri,
    n_unreadable,
    reason,
    detail: [reason === "unsure" ? UNSURE : "", detail].filter(Boolean).join("; "),
  };
}

/**
 * @param {Exported} one
 * @returns {one is Exported & { scored: VolumePrediction }}
 */
const isScoredVolume = (one) => one.scored !== null;

/**
 * The predictions with all that is needed to understand them.
 *
 * @param {Exported[]} cases
 * @param {ChosenRule} rule
 * @param {Network} model
 */
export function toJson(cases, rule, model, when = new Date()) {
  const { name, version, network_sha256, notice } = model;
  const head = { model: { name, version, network_sha256 }, notice, made: localTime(when), rule: ruleInWords(rule.choice) };
  const volumes = cases.filter(isScoredVolume).map(volumeOf);
  const { threshold, margin } = rule;
  const limits = { threshold, volume_threshold: ofVolumes(rule).threshold, margin };
  return JSON.stringify({ ...head, ...limits, answers: rowsOf(cases), volumes }, null, 1);
}

/**
 * Cases as the service takes them for a report: slices by job and folder, and the files that it did not take.
 *
 * @param {Pick<Case, "job" | "folder" | "name" | "detail" | "slices">[]} cases
 * @returns {ReportRequest}
 */
export function forReport(cases) {
  /** @type {Map<string, ReportRequest["slices"][number]>} */
  const parts = new Map();
  /** @type {ReportRequest["refused"]} */
  const refused = [];
  for (const { job, folder, name, detail, slices } of cases) {
    if (job === null) {
      refused.push({ name: folder + name, detail });
      continue;
    }
    const key = `${job}/${folder}`;
    const part = parts.get(key) ?? { job, folder, slices: [] };
    parts.set(key, part);
    for (const { id } of slices) if (id !== null) part.slices.push(id);
  }
  return { slices: [...parts.values()], refused };
}
