// What the list shows -> CSV, JSON, or a report to hand on.

import { rowsOf } from "./cases.js";
import { summarise } from "./decide.js";
import { announce, byId, closing, save, setText } from "./dom.js";
import { writeReport } from "./report.js";
import { counted } from "./words.js";

const COLUMNS = ["path", "status", "probability", "decision", "detail", "volume"];

const quoted = (value) => {
  const text = value === null ? "" : String(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
};

/** The table of `brainsift predict --csv`. */
export const toCsv = (rows) => `${[COLUMNS, ...rows.map((row) => COLUMNS.map((name) => quoted(row[name])))].map((row) => row.join(",")).join("\n")}\n`;

/** The answer for a volume, of one slice too, as `brainsift predict --volumes` gives it. */
function volumeOf({ folder, volume, answers, rule }) {
  const { nScored, probability, decision, suspicious } = summarise(answers, rule);
  return {
    volume: folder + volume,
    n_slices: nScored,
    probability,
    decision: nScored ? decision : "refer",
    threshold: rule.threshold,
    suspicious: suspicious.map((place) => folder + answers[place].name),
  };
}

/** The answers with all that is needed to understand them. */
export function toJson(cases, rule, model) {
  const volumes = cases.filter((one) => one.volume).map(volumeOf);
  const { name, version, network_sha256 } = model;
  const head = { model: { name, version, network_sha256 }, notice: model.notice, made: new Date().toISOString() };
  return JSON.stringify({ ...head, threshold: rule.threshold, margin: rule.margin, answers: rowsOf(cases), volumes }, null, 1);
}

const stamp = () => new Date().toISOString().slice(0, 16).replace(/[-:]/g, "").replace("T", "-");

export class ExportMenu {
  constructor(cases, list, model) {
    this.menu = byId("export");
    const current = () => [list.shown(), cases.rule, model];
    byId("export-csv").addEventListener("click", () => this.#save(toCsv(rowsOf(list.shown())), "text/csv", "csv"));
    byId("export-json").addEventListener("click", () => this.#save(toJson(...current()), "application/json", "json"));
    byId("export-report").addEventListener("click", () => this.#report(...current()));
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

  async #report(shown, rule, model) {
    const summary = this.menu.querySelector("summary span");
    const before = summary.textContent;
    this.menu.open = false;
    announce("Making the report");
    const text = await writeReport(shown, rule, model, (done, total) => setText(summary, `Report ${done} / ${total}`));
    setText(summary, before);
    this.#save(text, "text/html", "html");
  }
}
