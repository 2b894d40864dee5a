// @ts-check
// A second case beside the one that is open: scrolled with it, in a window of its own, with its own result.

/** @import { Case } from "./cases.js" */
/** @import { Stage } from "./stage.js" */

import { isUnconfirmed } from "./attention.js";
import { isHidden, pictureWords } from "./blind.js";
import { announce, el, iconButton, setText } from "./dom.js";
import { HIDDEN, decisionCell } from "./list.js";
import { intervalInWords, pair } from "./pairing.js";
import { picture, prefetch } from "./pictures.js";
import { position } from "./places.js";
import { Viewer, canvasWithSides } from "./viewer.js";
import { SUSPICIOUS, number, sliceLabel } from "./words.js";

const AHEAD = 2; // slices on each side that are loaded before they are asked for
const MATCHED = { mm: "matched by position in mm", share: "matched by share of the stack" };

/** What stands above a side: the case, its result, the slice. */
class Head {
  /** @param {string} side @param {HTMLElement[]} tools */
  constructor(side, tools = []) {
    this.name = el("strong", { class: "case-name" });
    this.decision = el("span", { class: "side-decision" });
    this.slice = el("p", { class: "side-slice figures" });
    const line = el("p", { class: "side-line" }, this.name, this.decision);
    this.node = el("div", { class: `side-head ${side}` }, el("div", { class: "side-words" }, line, this.slice), ...tools);
  }

  /**
   * @param {Case} one
   * @param {number} place of the slice that is shown.
   * @param {string} more words.
   */
  show(one, place, more) {
    const hides = isHidden(one);
    const slice = one.slices[place];
    setText(this.name, one.name);
    this.name.title = one.folder + one.name;
    const isScored = !hides && one.status === "ok" && one.probability !== null;
    this.decision.replaceChildren(decisionCell(hides ? HIDDEN : one.decision, !hides && isUnconfirmed(one) ? SUSPICIOUS : undefined), isScored ? ` ${number(one.probability)}` : "");
    this.decision.classList.toggle("unconfirmed", !hides && isUnconfirmed(one));
    const isSliceScored = !hides && slice.status === "ok" && slice.probability !== null;
    const parts = [
      one.studyDate && `study of ${one.studyDate}`,
      one.isVolume && `slice ${place + 1} / ${one.slices.length}`,
      one.isVolume && !hides && `${sliceLabel(slice, one.sliceRule).toLowerCase()}${isSliceScored ? `: ${number(slice.probability)}` : ""}`,
      slice.geometry && position(slice.geometry),
      more,
    ];
    setText(this.slice, parts.filter(Boolean).join(" · "));
  }
}

export class Beside {
  /** @type {Case | null} */
  #main = null;
  /** @type {Case | null} */
  #other = null;
  /** @type {ReturnType<typeof pair>} */
  #pairing = pair([null], [null]);
  #shift = 0; // slices that the other case was moved alone
  #place = 0; // of its slice that is shown
  #turn = 0;

  /**
   * @param {Stage} stage shows the case that is open.
   * @param {{ step: (by: number) => void, onend: () => void }} acts `step` goes through its slices.
   */
  constructor(stage, { step, onend }) {
    this.stage = stage;
    this.onend = onend;
    const { canvas, sides } = canvasWithSides();
    this.canvas = canvas;
    this.sides = sides;
    this.message = el("p", { class: "stage-message", hidden: true });
    this.node = el("div", { class: "canvas-box other" }, this.canvas, this.sides, this.message);
    this.viewer = new Viewer(this.canvas);
    this.back = iconButton("left", "Other case: previous slice, alone", () => this.#move(-1));
    this.on = iconButton("right", "Other case: next slice, alone", () => this.#move(1));
    this.heads = [new Head("of-this"), new Head("of-other", [this.back, this.on, iconButton("unreadable", "End the comparison (2)", () => this.end())])];
    this.viewer.on("scroll", step);
    stage.on("look", () => this.#look());
    stage.on("reset", () => this.viewer.setWindow(null));
  }

  get isOn() {
    return this.#other !== null;
  }

  /**
   * Shows another case beside the one that is open.
   *
   * @param {Case} main
   * @param {Case} other
   */
  start(main, other) {
    [this.#main, this.#other, this.#shift] = [main, other, 0];
    this.#pairing = pair(main.slices.map(({ geometry }) => geometry), other.slices.map(({ geometry }) => geometry));
    this.viewer.scrolls = main.isVolume;
    this.back.hidden = this.on.hidden = !other.isVolume;
    this.stage.views.append(...this.heads.map(({ node }) => node), this.node);
    this.stage.views.classList.add("with-other");
    this.#look();
    this.#show({ keepView: false });
    announce(`${other.name} beside ${main.name}. ${this.#interval()}`);
  }

  end() {
    if (!this.isOn) return;
    this.#turn += 1;
    [this.#main, this.#other] = [null, null];
    this.viewer.clear();
    for (const node of [...this.heads.map((head) => head.node), this.node]) node.remove();
    this.stage.views.classList.remove("with-other");
    this.onend();
  }

  /** Follows the case that is open to the slice that the reader went to. */
  follow() {
    if (this.isOn) this.#show({ keepView: true });
  }

  /** Shows another threshold, or what was hidden. */
  update() {
    const [main, other] = [this.#main, this.#other];
    if (!main || !other) return;
    this.heads[0].show(main, main.place, "");
    const shift = this.#shift ? `moved by ${this.#shift > 0 ? "+" : "−"}${Math.abs(this.#shift)}` : "";
    const isMatched = main.isVolume && other.isVolume;
    this.heads[1].show(other, this.#place, [this.#interval(), isMatched ? MATCHED[this.#pairing.way] : "", shift].filter(Boolean).join(" · "));
  }

  /** How far apart the studies are. */
  #interval() {
    const [mine, theirs] = [this.#main?.studyDate, this.#other?.studyDate];
    if (!mine || !theirs) return "";
    if (mine === theirs) return "same day";
    return mine > theirs ? `${intervalInWords(theirs, mine)} earlier` : `${intervalInWords(mine, theirs)} later`;
  }

  /** @param {number} by slices. */
  #move(by) {
    const before = this.#place;
    this.#shift += by;
    this.#show({ keepView: true });
    if (this.#place === before) this.#shift -= by; // it was the last one
    else announce(`Other case: slice ${this.#place + 1} of ${this.#other?.slices.length}`);
    this.update();
  }

  /** @param {{ keepView: boolean }} options */
  async #show({ keepView }) {
    const [main, other] = [this.#main, this.#other];
    if (!main || !other) return;
    this.#turn += 1;
    const turn = this.#turn;
    this.#place = this.#within(this.#pairing.partnerOf(main.place) + this.#shift);
    this.update();
    this.canvas.setAttribute("aria-label", pictureWords(other, this.#place));
    const slice = other.slices[this.#place];
    const { pictureUrl, mapUrl } = other.layers(this.#place);
    const hasMap = mapUrl !== null && slice.status !== "not_brain_mri" && !isHidden(other);
    const hasPicture = pictureUrl !== null && slice.status !== "unreadable";
    const [shown, map] = await Promise.all([hasPicture ? load(pictureUrl) : null, hasMap ? load(mapUrl) : null]);
    if (turn !== this.#turn) return; // the reader went on
    this.message.hidden = Boolean(shown);
    this.sides.forEach((node, side) => setText(node, (shown && slice.geometry?.sides[side]) || ""));
    if (!shown) {
      this.viewer.clear();
      setText(this.message, hasPicture ? "The server no longer has this picture." : "There is no picture of this case.");
      return;
    }
    const size = slice.geometry?.size_mm;
    this.viewer.show({ picture: shown, map, pixelSize: size ? [size[0] / shown.width, size[1] / shown.height] : null }, { keepView });
    if (other.isVolume) prefetch(this.#around(other));
  }

  /** @param {number} place */
  #within(place) {
    return Math.min(Math.max(place, 0), (this.#other?.slices.length ?? 1) - 1);
  }

  /**
   * Addresses of the pictures of the slices around the one that is shown.
   *
   * @param {Case} other
   */
  #around(other) {
    const near = Array.from({ length: 2 * AHEAD + 1 }, (_, place) => this.#place + place - AHEAD);
    return near.flatMap((place) => (other.slices[place] ? (other.layers(place).pictureUrl ?? []) : []));
  }

  /** The map of both sides looks alike; the windows are their own. */
  #look() {
    const { opacity, showContour, level, inside, inverted, bare } = this.stage.viewer;
    if (this.isOn) this.viewer.set({ opacity, showContour, level, inside, inverted, bare });
  }
}

/** @param {string} url */
const load = (url) => picture(url).catch(() => null);
