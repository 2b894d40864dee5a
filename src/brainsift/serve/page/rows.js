// @ts-check
// What the exports hold: the table of `brainsift predict --csv`, the same as JSON with the volumes, and what the service
// needs for its report.

/** @import { Model, ReportRequest, VolumePrediction } from "./api.js" */
/** @import { Case } from "./cases.js" */
/** @import { Rule } from "./decide.js" */

import { decideVolume } from "./decide.js";
import { UNSURE } from "./words.js";

/** @typedef {"path" | "status" | "probability" | "decision" | "detail" | "volume" | "reason"} Column */
/** @typedef {Record<Column, string | number | null>} Row */
/** @typedef {Pick<Case, "folder" | "volume" | "slices" | "rule" | "suspicious" | "scored">} Exported */

/** @type {Column[]} */
const COLUMNS = ["path", "status", "probability", "decision", "detail", "volume", "reason"];

/** `brainsift predict` refers what is no brain MRI; the column `status` tells it. @type {Record<string, string>} */
const WRITTEN = { not_brain_mri: "refer", unreadable: "" };

/**
 * One row per slice, decided by the rule in use; names as `brainsift predict` has them.
 *
 * @param {Pick<Exported, "folder" | "slices">[]} cases
 * @returns {Row[]}
 */
export function rowsOf(cases) {
  return cases.flatMap(({ folder, slices }) =>
    slices.map((slice) => ({
      path: folder + slice.name,
      status: slice.status,
      probability: slice.probability,
      decision: WRITTEN[slice.decision] ?? slice.decision,
      detail: [slice.status === "ok" && slice.decision === "refer" ? UNSURE : "", slice.detail].filter(Boolean).join("; "),
      volume: slice.volume ? folder + slice.volume : "",
      reason: slice.status !== "ok" ? (slice.reason ?? "") : slice.decision === "refer" ? "unsure" : "",
    })),
  );
}

/**
 * One cell of the table. No text is taken for a formula by a spreadsheet: names of files and texts of headers come from
 * others. `csv_writer` of the package has the same rule.
 *
 * @param {Column} column
 * @param {string | number | null} value
 */
const cell = (column, value) => {
  const formula = typeof value === "string" && /^[=+\-@\t\r\n]/.test(value);
  const text = `${formula ? (column === "path" ? "./" : "'") : ""}${value ?? ""}`;
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
};

/** @param {Row[]} rows */
export const toCsv = (rows) =>
  [COLUMNS, ...rows.map((row) => COLUMNS.map((name) => cell(name, row[name])))].map((cells) => `${cells.join(",")}\n`).join("");

/**
 * The prediction for a volume, of one slice too, as `brainsift predict --volumes` gives it.
 *
 * @param {Exported & { scored: VolumePrediction }} volume
 */
function volumeOf({ folder, slices, rule, suspicious, scored }) {
  const { decision, probability, reason } = decideVolume(scored, rule);
  const { volume, n_slices, n_scored, n_not_brain_mri, n_unreadable } = scored;
  return {
    volume: folder + volume,
    n_slices,
    probability,
    decision: probability === null ? "refer" : decision,
    threshold: rule.threshold,
    suspicious: (n_scored ? suspicious : []).map((place) => folder + slices[place].name),
    n_scored,
    n_not_brain_mri,
    n_unreadable,
    reason,
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
 * @param {Rule} rule
 * @param {Pick<Model, "name" | "version" | "network_sha256" | "notice">} model
 */
export function toJson(cases, rule, { name, version, network_sha256, notice }) {
  const head = { model: { name, version, network_sha256 }, notice, made: new Date().toISOString() };
  const volumes = cases.filter(isScoredVolume).map(volumeOf);
  const { threshold, margin } = rule;
  return JSON.stringify({ ...head, threshold, margin, answers: rowsOf(cases), volumes }, null, 1);
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
