// @ts-check
// What the reader says that a kept case shows, with a note; saved as it is made.

/** @import { KeptRecord, Verdict } from "./api.js" */

import { history } from "./api.js";
import { fail } from "./banner.js";
import { all, announce, el, setText } from "./dom.js";
import { Emitter } from "./emitter.js";
import { inWords } from "./words.js";

/**
 * Tells which case has a new verdict.
 *
 * @type {Emitter<{ saved: KeptRecord }>}
 */
export const verdicts = new Emitter();

/** @type {Record<Verdict, string>} */
export const VERDICTS = { tumor: "Tumor", no_tumor: "No tumor", unsure: "Unsure", not_brain_mri: "Not a brain MRI" };
const NOTE_PAUSE_MS = 800;
let forms = 0;

export class VerdictForm {
  #timer = 0;
  /** @type {KeptRecord | null} */
  #one = null;

  constructor() {
    forms += 1;
    this.name = `verdict-${forms}`;
    this.state = el("span", { class: "save-state", "aria-live": "polite" });
    this.note = el("textarea", { rows: 2, maxlength: 2000, placeholder: "What you saw" });
    this.clear = el("button", { type: "button", class: "link-button", onclick: () => this.#clear() }, "Clear");
    this.radios = Object.entries(VERDICTS).map(([value, words]) => this.#radio(value, words));
    const segments = el("div", { class: "segments" }, this.radios);
    const fieldset = el("fieldset", {}, el("legend", {}, "What do you see?"), segments);
    const note = el("label", { class: "field" }, el("span", {}, "Note"), this.note);
    this.node = el("form", { class: "verdict" }, fieldset, note, el("div", { class: "verdict-foot" }, this.state, this.clear));
    this.node.addEventListener("submit", (event) => event.preventDefault());
    this.note.addEventListener("input", () => this.#soon());
    this.note.addEventListener("change", () => this.#save());
    window.addEventListener("pagehide", () => this.#flush());
  }

  /** @param {KeptRecord} one */
  show(one) {
    this.#flush();
    this.#one = one;
    this.note.value = one.note ?? "";
    setText(this.state, "");
    this.#check(one.verdict);
  }

  /**
   * Gives a verdict, as a click does.
   *
   * @param {Verdict} verdict
   * @returns {Promise<void> | null} null where there is no case to judge.
   */
  choose(verdict) {
    if (!this.#one) return null;
    this.#check(verdict);
    return this.#save();
  }

  /** Forgets the case, until another one is shown. */
  leave() {
    this.#flush();
    this.#one = null;
  }

  /**
   * @param {string} value
   * @param {string} words
   */
  #radio(value, words) {
    const input = el("input", { type: "radio", name: this.name, value, onchange: () => this.#save() });
    return el("label", { class: "segment" }, input, el("span", {}, words));
  }

  /** @param {Verdict | null} verdict */
  #check(verdict) {
    for (const input of all("input", HTMLInputElement, this.node)) input.checked = input.value === verdict;
    this.clear.hidden = !verdict;
  }

  #clear() {
    this.#check(null);
    this.#save();
  }

  #soon() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#save(), NOTE_PAUSE_MS);
  }

  /** A note that was being typed belongs to the case that is left. */
  #flush() {
    if (!this.#timer) return;
    this.#save();
  }

  async #save() {
    clearTimeout(this.#timer);
    this.#timer = 0;
    const one = this.#one;
    if (!one) return;
    const [chosen] = all("input:checked", HTMLInputElement, this.node);
    const verdict = /** @type {Verdict | null} */ (chosen?.value ?? null);
    setText(this.state, "Saving");
    try {
      Object.assign(one, await history.setVerdict(one.id, verdict, this.note.value));
      verdicts.emit("saved", one);
      if (this.#one !== one) return;
      this.clear.hidden = !verdict;
      setText(this.state, "Saved");
    } catch (error) {
      const message = `The verdict on ${one.name} was not saved. ${inWords(error)}`;
      announce(message);
      if (this.#one !== one) {
        fail({ message }); // the reader is on another case
        return;
      }
      this.#check(one.verdict);
      setText(this.state, `Not saved. ${inWords(error)}`);
      this.state.scrollIntoView({ block: "nearest" });
    }
  }
}
