// @ts-check
// Judging at speed: the verdicts on the cases of the list, how many are judged, and how the decisions compare with them.

/** @import { KeptRecord, Model } from "./api.js" */
/** @import { Case, Cases } from "./cases.js" */
/** @import { Intake } from "./intake.js" */

import { compare } from "./agreement.js";
import { history, look } from "./api.js";
import { blind } from "./blind.js";
import { byId, setText, throttled } from "./dom.js";
import { TwoByTwo } from "./two_by_two.js";
import { verdicts } from "./verdict.js";
import { count } from "./words.js";

const PAUSE_MS = 500;
const TRIES = 10;
const AT_ONCE = 500; // numbers in one request

export class Judging {
  #isReading = false;
  show = throttled(() => this.#show(), PAUSE_MS);

  /**
   * @param {Cases} cases
   * @param {Intake} intake
   * @param {Model} model
   */
  constructor(cases, intake, model) {
    this.cases = cases;
    this.table = new TwoByTwo(byId("judged-results"), { prefix: "judged", at: "at the threshold in use" });
    if (!model.history) return;
    byId("judging").hidden = false;
    byId("judged-export", HTMLAnchorElement).href = history.table("images");
    for (const type of /** @type {const} */ (["added", "changed", "removed", "rule"])) cases.on(type, this.show);
    verdicts.on("saved", (record) => this.#take(record));
    intake.on("progress", () => !intake.busy && this.#read());
    const box = byId("blind", HTMLInputElement);
    box.addEventListener("change", () => blind.set(box.checked));
    blind.on("switched", () => {
      box.checked = blind.isOn;
      document.body.toggleAttribute("data-blind", blind.isOn);
    });
    blind.restore();
    this.#show();
  }

  /** Reads what the history has of the cases: of those that were there before a reload, too. */
  async #read() {
    if (this.#isReading) return;
    this.#isReading = true;
    try {
      for (let left = TRIES, known = -1; left; left -= 1) {
        const unknown = this.cases.all.filter((one) => one.job !== null && one.record === null);
        if (!unknown.length) break;
        if (unknown.length !== known) [left, known] = [TRIES, unknown.length]; // a long volume takes its time
        await this.#find(unknown);
        await new Promise((resolve) => setTimeout(resolve, PAUSE_MS)); // they are kept soon after they were scored
      }
    } catch {
      // the server is away: the page says so, and what is opened asks again
    } finally {
      this.#isReading = false;
    }
  }

  /** @param {Case[]} unknown */
  async #find(unknown) {
    /** @type {Map<number, Case>} */
    const byNumber = new Map();
    for (const job of new Set(unknown.map((one) => one.job))) {
      const { cases: numbers } = await look(/** @type {string} */ (job), Number.MAX_SAFE_INTEGER);
      for (const one of unknown) {
        const place = one.slices[one.slices.length - 1].id;
        if (one.job === job && place !== null && numbers[place]) byNumber.set(numbers[place], one);
      }
    }
    const numbers = [...byNumber.keys()];
    for (let start = 0; start < numbers.length; start += AT_ONCE) {
      const records = await history.lookup(numbers.slice(start, start + AT_ONCE));
      for (const [number, record] of Object.entries(records)) {
        const one = byNumber.get(Number(number));
        if (one) one.record ??= record; // it may have been opened meanwhile
      }
    }
    this.cases.emit("judged", null);
    this.show();
  }

  /** @param {KeptRecord} saved with its new verdict; it may come from the history. */
  #take(saved) {
    for (const { record } of this.cases.all) if (record?.id === saved.id && record !== saved) Object.assign(record, saved);
    this.cases.emit("judged", null);
    this.show();
  }

  #show() {
    const found = compare(this.cases.all);
    setText(byId("judged-count"), `${count(found.judged)} of ${count(found.total)} judged`);
    byId("judged-none").hidden = found.judged > 0;
    this.table.show(found);
  }
}
