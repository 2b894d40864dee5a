// @ts-check
// What the exports hold: the table of `brainsift predict --csv`, the same as JSON with the volumes, and what the service
// needs for its report.

/** @import { Model, ReportRequest } from "./api.js" */
/** @import { Case } from "./cases.js" */
/** @import { Rule } from "./decide.js" */

import { summarize } from "./decide.js";
import { UNSURE } from "./words.js";

/** @typedef {"path" | "status" | "probability" | "decision" | "detail" | "volume" | "reason"} Column */
/** @typedef {Record<Column, string | number | null>} Row */
/** @typedef {Pick<Case, "folder" | "volume" | "slices" | "rule">} Exported */

/** @type {Column[]} */
const COLUMNS = ["path", "status", "probability", "decision", "detail", "volume", "reason"];

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
      decision: slice.decision === "unreadable" ? "" : slice.decision,
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
 * @param {Exported} volume
 */
function volumeOf({ folder, volume, slices, rule }) {
  const { nScored, probability, decision, suspicious, reason } = summarize(slices, rule);
  const nUnreadable = slices.filter(({ status }) => status === "unreadable").length;
  return {
    volume: folder + volume,
    n_slices: slices.length,
    probability,
    decision: nScored ? decision : "refer",
    threshold: rule.threshold,
    suspicious: suspicious.map((place) => folder + slices[place].name),
    n_scored: nScored,
    n_not_brain_mri: slices.length - nScored - nUnreadable,
    n_unreadable: nUnreadable,
    reason,
  };
}

/**
 * The predictions with all that is needed to understand them.
 *
 * @param {Exported[]} cases
 * @param {Rule} rule
 * @param {Pick<Model, "name" | "version" | "network_sha256" | "notice">} model
 */
export function toJson(cases, rule, { name, version, network_sha256, notice }) {
  const head = { model: { name, version, network_sha256 }, notice, made: new Date().toISOString() };
  const volumes = cases.filter((one) => one.volume).map(volumeOf);
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
