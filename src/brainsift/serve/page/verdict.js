// @ts-check
// The reader's own verdict on a kept case: agree, disagree or unsure, with a note; saved as it is made.

/** @import { KeptRecord, Verdict } from "./api.js" */

import { history } from "./api.js";
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
export const VERDICTS = { agree: "Agree", disagree: "Disagree", unsure: "Unsure" };
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
    this.note = el("textarea", { rows: 2, maxlength: 2000, placeholder: "What you saw, or why you disagree" });
    this.leaning = el("p", { class: "note" });
    this.clear = el("button", { type: "button", class: "link-button", onclick: () => this.#clear() }, "Clear");
    this.radios = Object.entries(VERDICTS).map(([value, words]) => this.#radio(value, words));
    const segments = el("div", { class: "segments" }, this.radios);
    const fieldset = el("fieldset", {}, el("legend", {}, "Your verdict"), this.leaning, segments);
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
    setText(this.leaning, subject(one));
    setText(this.state, "");
    this.#check(one.verdict);
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
      announce(`The verdict on ${one.name} was not saved. ${inWords(error)}`);
      if (this.#one !== one) return;
      this.#check(one.verdict);
      setText(this.state, `Not saved. ${inWords(error)}`);
      this.state.scrollIntoView({ block: "nearest" });
    }
  }
}

/**
 * What the verdict is on.
 *
 * @param {KeptRecord} one
 */
function subject({ status, decision, leaning, slices }) {
  if (status === "not_brain_mri") return slices ? "The network could score no slice of this volume." : "The network rejected this image: it does not look like a brain MRI slice.";
  const seen = leaning === "tumor" ? "a tumor" : "no tumor";
  return `The network ${decision === "refer" ? "leans toward" : "predicts"} ${seen}${slices ? " in this volume" : ""}.`;
}
