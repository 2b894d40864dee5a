// @ts-check
// The menu that saves what the list shows: CSV, JSON, or a report to hand on.

/** @import { Model } from "./api.js" */
/** @import { Cases } from "./cases.js" */
/** @import { List } from "./list.js" */

import { getDicom, getReport } from "./api.js";
import { fail } from "./banner.js";
import { announce, byId, closeByItself, first, save, setText } from "./dom.js";
import { fileName, forReport, toCsv, toJson, volumesToCsv } from "./rows.js";
import { count, counted } from "./words.js";

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
    byId("export-report").addEventListener("click", () => {
      this.#make("report", "text/html", "html", () => getReport(cases.rule.query, forReport(list.shown())));
    });
    byId("export-dicom").addEventListener("click", () => {
      const volumes = forReport(list.shown().filter((one) => one.scored));
      this.#make("DICOM objects", "application/zip", "zip", () => getDicom(cases.rule.query, volumes));
    });
    this.menu.addEventListener("toggle", () => {
      const some = list.shown().length;
      const all = cases.all.length;
      const hasVolumes = list.shown().some((one) => one.scored);
      for (const id of ["export-volumes", "export-dicom"]) byId(id).hidden = !hasVolumes;
      setText(byId("export-what"), some === all ? `All ${counted(all, "case")}` : `${count(some)} of ${counted(all, "case")}, as filtered`);
    });
    closeByItself(this.menu);
  }

  /**
   * @param {BlobPart} content
   * @param {string} type
   * @param {string} what the file holds.
   * @param {string} ending
   */
  #save(content, type, what, ending) {
    save(new Blob([content], { type: `${type};charset=utf-8` }), fileName(`${what.replace(" ", "-")}.${ending}`));
    this.menu.open = false;
    announce(`${ending.toUpperCase()} saved`);
  }

  /**
   * Saves what the service makes.
   *
   * @param {string} what it makes.
   * @param {string} type
   * @param {string} ending
   * @param {() => Promise<BlobPart>} get
   */
  async #make(what, type, ending, get) {
    const summary = first("summary span", HTMLElement, this.menu);
    const before = summary.textContent ?? "";
    this.menu.open = false;
    announce(`Making the ${what}`);
    setText(summary, `Making the ${what}`);
    try {
      this.#save(await get(), type, what, ending);
    } catch (error) {
      fail(error);
    }
    setText(summary, before);
  }
}
