// @ts-check
// The menu that saves what the list shows: CSV, JSON, or a report to hand on.

/** @import { Model } from "./api.js" */
/** @import { Case, Cases } from "./cases.js" */
/** @import { ChosenRule } from "./decide.js" */
/** @import { List } from "./list.js" */

import { getReport } from "./api.js";
import { fail } from "./banner.js";
import { announce, byId, closeByItself, first, save, setText } from "./dom.js";
import { forReport, localTime, toCsv, toJson, volumesToCsv } from "./rows.js";
import { counted } from "./words.js";

/** "2026-03-02-093000", in the reader's time. */
const stamp = () => localTime(new Date()).slice(0, 19).replace("T", "-").replaceAll(":", "");

export class ExportMenu {
  /**
   * @param {Cases} cases
   * @param {List} list
   * @param {Model} model
   */
  constructor(cases, list, model) {
    this.menu = byId("export", HTMLDetailsElement);
    byId("export-csv").addEventListener("click", () => this.#save(toCsv(list.shown(), cases.rule, model), "text/csv", "slices", "csv"));
    byId("export-volumes").addEventListener("click", () => {
      this.#save(volumesToCsv(list.shown(), cases.rule, model), "text/csv", "volumes", "csv");
    });
    byId("export-json").addEventListener("click", () => {
      this.#save(toJson(list.shown(), cases.rule, model), "application/json", "predictions", "json");
    });
    byId("export-report").addEventListener("click", () => this.#report(list.shown(), cases.rule));
    this.menu.addEventListener("toggle", () => {
      const some = list.shown().length;
      const all = cases.all.length;
      byId("export-volumes").hidden = !list.shown().some((one) => one.scored);
      setText(byId("export-what"), some === all ? `All ${counted(all, "case")}` : `${some} of ${counted(all, "case")}, as filtered`);
    });
    closeByItself(this.menu);
  }

  /**
   * @param {string} text
   * @param {string} type
   * @param {string} what the file holds.
   * @param {string} ending
   */
  #save(text, type, what, ending) {
    save(new Blob([text], { type: `${type};charset=utf-8` }), `brainsift-${stamp()}-${what}.${ending}`);
    this.menu.open = false;
    announce(`${ending.toUpperCase()} saved`);
  }

  /**
   * @param {Case[]} shown
   * @param {ChosenRule} rule
   */
  async #report(shown, rule) {
    const summary = first("summary span", HTMLElement, this.menu);
    const before = summary.textContent ?? "";
    this.menu.open = false;
    announce("Making the report");
    setText(summary, "Making the report");
    try {
      this.#save(await getReport(rule.query, forReport(shown)), "text/html", "report", "html");
    } catch (error) {
      fail(error);
    }
    setText(summary, before);
  }
}
