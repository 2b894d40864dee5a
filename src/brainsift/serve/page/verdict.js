// A reader's own verdict on a kept case: agree, disagree or unsure, with a note; saved as it is made.

import { history } from "./api.js";
import { announce, el, setText } from "./dom.js";
import { inWords } from "./words.js";

const CHOICES = [["agree", "Agree"], ["disagree", "Disagree"], ["unsure", "Unsure"]];
const NOTE_PAUSE_MS = 800;
let forms = 0;

export class VerdictForm {
  #timer = 0;

  constructor(onsaved = () => {}) {
    this.onsaved = onsaved;
    forms += 1;
    this.name = `verdict-${forms}`;
    this.state = el("span", { class: "save-state", "aria-live": "polite" });
    this.note = el("textarea", { rows: 2, maxlength: 2000, placeholder: "What you saw, or why you disagree" });
    this.leaning = el("p", { class: "note" });
    this.clear = el("button", { type: "button", class: "link-button", onclick: () => this.#clear() }, "Clear");
    this.radios = CHOICES.map(([value, words]) => this.#radio(value, words));
    const segments = el("div", { class: "segments" }, this.radios);
    const fieldset = el("fieldset", {}, el("legend", {}, "Your verdict"), this.leaning, segments);
    const note = el("label", { class: "field" }, el("span", {}, "Note"), this.note);
    this.node = el("form", { class: "verdict" }, fieldset, note, el("div", { class: "verdict-foot" }, this.state, this.clear));
    this.node.addEventListener("submit", (event) => event.preventDefault());
    this.note.addEventListener("input", () => this.#soon());
    this.note.addEventListener("change", () => this.#save());
  }

  show(one) {
    this.#flush();
    this.one = one;
    this.note.value = one.note ?? "";
    const seen = one.leaning === "tumor" ? "a tumor" : one.leaning === "no_tumor" ? "no tumor" : "nothing";
    setText(this.leaning, one.decision === "refer" ? `The network leans to ${seen}.` : `The network sees ${seen}.`);
    setText(this.state, "");
    this.#check(one.verdict);
  }

  #radio(value, words) {
    const input = el("input", { type: "radio", name: this.name, value, onchange: () => this.#save() });
    return el("label", { class: "segment" }, input, el("span", {}, words));
  }

  #check(verdict) {
    for (const input of this.node.querySelectorAll("input")) input.checked = input.value === verdict;
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
    const { one } = this;
    const verdict = this.node.querySelector("input:checked")?.value ?? null;
    setText(this.state, "Saving");
    try {
      const saved = await history.setVerdict(one.id, verdict, this.note.value);
      this.onsaved(saved);
      if (this.one !== one) return;
      this.clear.hidden = !verdict;
      setText(this.state, "Saved");
    } catch (error) {
      setText(this.state, `Not saved. ${inWords(error)}`);
      announce(`The verdict was not saved. ${inWords(error)}`);
    }
  }
}
