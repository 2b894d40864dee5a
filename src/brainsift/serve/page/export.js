// What the list shows -> CSV, JSON, or a report to hand on.

import { report } from "./api.js";
import { rowsOf } from "./cases.js";
import { summarise } from "./decide.js";
import { announce, byId, closing, save, setText } from "./dom.js";
import { counted, inWords } from "./words.js";

const COLUMNS = ["path", "status", "probability", "decision", "detail", "volume", "reason"];

const quoted = (value) => {
  const text = value === null ? "" : String(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
};

/** The table of `brainsift predict --csv`. */
export const toCsv = (rows) => `${[COLUMNS, ...rows.map((row) => COLUMNS.map((name) => quoted(row[name])))].map((row) => row.join(",")).join("\n")}\n`;

/** The result for a volume, of one slice too, as `brainsift predict --volumes` gives it. */
function volumeOf({ folder, volume, answers, rule }) {
  const { nScored, probability, decision, suspicious, reason } = summarise(answers, rule);
  const nUnreadable = answers.filter(({ status }) => status === "unreadable").length;
  return {
    volume: folder + volume,
    n_slices: answers.length,
    probability,
    decision: nScored ? decision : "refer",
    threshold: rule.threshold,
    suspicious: suspicious.map((place) => folder + answers[place].name),
    n_scored: nScored,
    n_not_brain_mri: answers.length - nScored - nUnreadable,
    n_unreadable: nUnreadable,
    reason,
  };
}

/** The answers with all that is needed to understand them. */
export function toJson(cases, rule, model) {
  const volumes = cases.filter((one) => one.volume).map(volumeOf);
  const { name, version, network_sha256 } = model;
  const head = { model: { name, version, network_sha256 }, notice: model.notice, made: new Date().toISOString() };
  return JSON.stringify({ ...head, threshold: rule.threshold, margin: rule.margin, answers: rowsOf(cases), volumes }, null, 1);
}

/** Cases as the service takes them for a report: slices by job and folder, and the files that it did not take. */
export function reported(cases) {
  const parts = new Map();
  const refused = [];
  for (const { job, folder, name, detail, answers } of cases) {
    if (!job) {
      refused.push({ name: folder + name, detail });
      continue;
    }
    const key = `${job}/${folder}`;
    if (!parts.has(key)) parts.set(key, { job, folder, slices: [] });
    parts.get(key).slices.push(...answers.map(({ id }) => id));
  }
  return { slices: [...parts.values()], refused };
}

const stamp = () => new Date().toISOString().slice(0, 16).replace(/[-:]/g, "").replace("T", "-");

export class ExportMenu {
  constructor(cases, list, model) {
    this.menu = byId("export");
    const current = () => [list.shown(), cases.rule, model];
    byId("export-csv").addEventListener("click", () => this.#save(toCsv(rowsOf(list.shown())), "text/csv", "csv"));
    byId("export-json").addEventListener("click", () => this.#save(toJson(...current()), "application/json", "json"));
    byId("export-report").addEventListener("click", () => this.#report(list.shown(), cases.rule));
    this.menu.addEventListener("toggle", () => {
      const some = list.shown().length;
      const all = cases.all.length;
      setText(byId("export-what"), some === all ? `All ${counted(all, "case")}` : `${some} of ${counted(all, "case")}, as filtered`);
    });
    closing(this.menu);
  }

  #save(text, type, ending) {
    save(new Blob([text], { type: `${type};charset=utf-8` }), `brainsift-${stamp()}.${ending}`);
    this.menu.open = false;
    announce(`${ending.toUpperCase()} saved`);
  }

  async #report(shown, rule) {
    const summary = this.menu.querySelector("summary span");
    const before = summary.textContent;
    this.menu.open = false;
    announce("Making the report");
    setText(summary, "Making the report");
    try {
      this.#save(await report(rule.query, reported(shown)), "text/html", "html");
    } catch (error) {
      announce(`The report was not made. ${inWords(error)}`);
    }
    setText(summary, before);
  }
}
