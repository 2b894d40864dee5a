// @ts-check
// The dialog that offers what a case can be compared with: earlier studies of the same patient, and the others of the list.

/** @import { Case } from "./cases.js" */

import { fail } from "./banner.js";
import { byId, el, setText } from "./dom.js";
import { intervalInWords } from "./pairing.js";
import { count, counted } from "./words.js";

const MOST = 30; // cases that are offered at once; the search finds the others

/**
 * @typedef {object} Offer
 * @property {string} name
 * @property {number} slices of a volume; 0 or 1 for an image.
 * @property {string} studyDate ISO 8601, or "".
 * @property {() => Promise<Case>} open
 */

export class CompareDialog {
  #turn = 0;
  /** @type {Offer[]} */
  #offers = [];
  /** @type {((other: Case) => void) | null} */
  #choose = null;

  constructor() {
    this.dialog = byId("compare-dialog", HTMLDialogElement);
    this.search = byId("compare-search", HTMLInputElement);
    this.search.addEventListener("input", () => this.#showOffers());
    this.search.addEventListener("keydown", (event) => {
      if (event.key !== "Enter") return;
      event.preventDefault(); // it would close the dialog
      this.dialog.querySelector("#compare-cases button")?.dispatchEvent(new MouseEvent("click"));
    });
  }

  /**
   * Asks what to compare a case with.
   *
   * @param {Case} one
   * @param {{ offers: Offer[], earlier: Promise<Offer[]>, onchoose: (other: Case) => void }} options
   */
  async open(one, { offers, earlier, onchoose }) {
    this.#turn += 1;
    const turn = this.#turn;
    this.#offers = offers;
    this.#choose = onchoose;
    this.search.value = "";
    byId("compare-earlier").hidden = true;
    this.#showOffers();
    this.dialog.showModal();
    const found = await earlier;
    if (turn !== this.#turn) return; // it was opened for another case
    byId("compare-earlier").hidden = !found.length;
    byId("compare-earlier-cases").replaceChildren(
      ...found.map((offer) => this.#button(offer, `${offer.studyDate}, ${intervalInWords(offer.studyDate, one.studyDate)} earlier`)),
    );
  }

  #showOffers() {
    const words = this.search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const found = this.#offers.filter(({ name }) => words.every((word) => name.toLowerCase().includes(word)));
    const shown = found.slice(0, MOST);
    byId("compare-cases").replaceChildren(
      ...shown.map((offer) => this.#button(offer, [offer.studyDate, offer.slices > 1 ? counted(offer.slices, "slice") : ""].filter(Boolean).join(", "))),
    );
    const left = found.length - shown.length;
    setText(byId("compare-more"), !found.length ? "There is no other case with such a name in this list." : left ? `${count(left)} more: search for a name.` : "");
  }

  /**
   * @param {Offer} offer
   * @param {string} words
   */
  #button(offer, words) {
    const onclick = async () => {
      const choose = this.#choose;
      this.dialog.close();
      try {
        choose?.(await offer.open());
      } catch (error) {
        fail(error); // it was deleted elsewhere, or the server is away
      }
    };
    return el("li", {}, el("button", { type: "button", class: "jump", onclick }, el("span", { class: "case-name" }, offer.name), el("span", { class: "note" }, words)));
  }
}
