// @ts-check
// The case: picture, map, prediction in words; for a volume its slices.

/** @import { KeptRecord, Verdict } from "./api.js" */
/** @import { Case, Kept, Slice } from "./cases.js" */
/** @import { Rule } from "./decide.js" */

import { connection, getMapVolume, history, look } from "./api.js";
import { isUnconfirmed } from "./attention.js";
import { fail } from "./banner.js";
import { Beside } from "./beside.js";
import { blind, isHidden, pictureWords } from "./blind.js";
import { Correction } from "./correction.js";
import { isSuspicious } from "./decide.js";
import { all, announce, byId, el, save, setText, throttled } from "./dom.js";
import { decisionCell } from "./list.js";
import { picture, prefetch } from "./pictures.js";
import { position, sliceDistance, spacing } from "./places.js";
import { Cine } from "./cine.js";
import { PlanesView } from "./planes.js";
import { fileName } from "./rows.js";
import { Scale } from "./scale.js";
import { Stage } from "./stage.js";
import { LEVELS, Strip } from "./strip.js";
import { VerdictForm, verdicts } from "./verdict.js";
import { SUSPICIOUS, attentionInWords, because, explain, number, predicted, sentence, sliceLabel } from "./words.js";

const AHEAD = 3; // slices on each side that are loaded before they are asked for
const KEPT_TRIES = 10;
const KEPT_WAIT_MS = 500;
const SAID_MS = 600; // slices go by faster than they can be said

export class CaseView {
  /** @type {Case | null} */
  one = null;
  /** @type {Kept | null} */
  #kept = null;
  /** Whether the reader wants to see the map and the number of what was rejected. */
  #anyway = false;

  /** @param {{ hasHistory: boolean }} server whether it keeps what it scores. */
  constructor({ hasHistory }) {
    this.hasHistory = hasHistory;
    this.stage = new Stage();
    this.planes = new PlanesView(this.stage, (place) => this.go(place));
    this.beside = new Beside(this.stage, { step: (by) => this.step(by), onend: () => this.#showCompared() });
    this.cine = new Cine(byId("cine", HTMLButtonElement), () => this.#advance());
    this.strip = new Strip(byId("strip"));
    this.scale = new Scale();
    this.sliceScale = new Scale();
    this.verdict = new VerdictForm();
    this.sliceVerdict = new VerdictForm();
    this.saySlice = throttled(() => this.#saySlice(), SAID_MS);
    this.correction = new Correction(this.stage, { hasHistory });
    byId("stage").prepend(this.stage.node, this.correction.bar);
    this.stage.tools.firstElementChild?.after(this.correction.node);
    byId("prediction-scale").append(this.scale.node);
    byId("slice-scale").append(this.sliceScale.node);
    byId("case-tools").append(this.stage.tools);
    byId("case-verdict").prepend(this.verdict.node);
    byId("slice-verdict").append(this.sliceVerdict.node);
    this.#listen();
  }

  /**
   * Shows a case, or that there is none.
   *
   * @param {Case | null} one
   */
  show(one) {
    if (one !== this.one) {
      this.cine.stop();
      this.beside.end();
      this.correction.leave();
      byId("case-pane").scrollTop = 0;
      this.#anyway = false;
    }
    this.one = one;
    byId("case-none").hidden = Boolean(one);
    byId("case-body").hidden = !one;
    byId("case-verdict").hidden = true;
    this.verdict.leave();
    this.sliceVerdict.leave();
    if (!one) {
      this.stage.viewer.clear();
      this.planes.follow(null, 0);
      return;
    }
    this.update();
    this.#loadVerdicts(one);
    this.#showSlice(one, { keepView: false });
  }

  /**
   * Goes to a slice of the volume that is shown.
   *
   * @param {number} place from 0; beyond an end, the slice at that end.
   */
  go(place) {
    const { one } = this;
    if (!one?.isVolume) return;
    one.chosen = Math.min(Math.max(place, 0), one.slices.length - 1);
    this.#showSlice(one, { keepView: true });
    this.saySlice();
  }

  /**
   * Shows another case beside this one.
   *
   * @param {Case} other
   */
  compareWith(other) {
    if (!this.one || this.one === other) return;
    this.planes.follow(null, 0); // there is no room for them
    this.beside.start(this.one, other);
    this.#showCompared();
  }

  /** The button says whether there are two; when the second one goes, the other planes may come back. */
  #showCompared() {
    byId("compare").setAttribute("aria-pressed", String(this.beside.isOn));
    if (!this.beside.isOn && this.one) this.planes.follow(this.one, this.one.place);
  }

  /** Plays the slices of the volume, or stops. */
  play() {
    if (this.one?.isVolume) this.cine.toggle();
  }

  async #advance() {
    const { one } = this;
    if (!one?.isVolume) return;
    one.chosen = (one.place + 1) % one.slices.length;
    await this.#showSlice(one, { keepView: true });
  }

  #saySlice() {
    const { one } = this;
    if (!one?.isVolume || document.activeElement === byId("slice-slider")) return; // the slider says it itself
    const words = `Slice ${one.place + 1} of ${one.slices.length}`;
    announce(isHidden(one) ? words : predicted(words, one.slice, sliceLabel(one.slice, one.sliceRule)));
  }

  /** @param {number} by slices. */
  step(by) {
    if (this.one) this.go(this.one.place + by);
  }

  /**
   * Judges the case that is shown.
   *
   * @param {Verdict} verdict
   * @returns {boolean} whether it can be judged: it is kept, and not unreadable.
   */
  judge(verdict) {
    return this.verdict.choose(verdict) !== null;
  }

  /** What was hidden is shown, or the other way round. */
  #reveal() {
    this.update();
    if (this.one) this.#showSlice(this.one, { keepView: true });
  }

  goToMostSuspicious() {
    if (this.one && isHidden(this.one)) return;
    if (this.one?.suspicious.length) this.go(this.one.suspicious[0]);
  }

  #listen() {
    const { stage, strip } = this;
    const slider = byId("slice-slider", HTMLInputElement);
    connection.on("back", () => this.one && this.#showSlice(this.one, { keepView: true }));
    stage.viewer.on("scroll", (by) => this.step(by));
    strip.on("go", (place) => this.go(place));
    slider.addEventListener("input", () => this.go(Number(slider.value) - 1));
    byId("previous-slice").addEventListener("click", () => this.step(-1));
    byId("next-slice").addEventListener("click", () => this.step(1));
    byId("show-anyway").addEventListener("click", () => {
      this.#anyway = !this.#anyway;
      this.update();
      if (this.one) this.#showSlice(this.one, { keepView: true });
    });
    blind.on("switched", () => this.#reveal());
    verdicts.on("saved", (saved) => blind.isOn && this.one?.record?.id === saved.id && this.#reveal());
    stage.on("save", () => this.#saveMap().catch(fail));
    byId("most-suspicious").addEventListener("click", () => this.goToMostSuspicious());
  }

  /** Saves the tumor maps of the volume that is shown. */
  async #saveMap() {
    const { one } = this;
    if (!one || one.job === null || one.slice.id === null) return;
    save(await getMapVolume(one.job, one.slice.id), fileName("tumor-map.nii.gz"));
    announce("The map of the volume is saved.");
  }

  /** Shows what has changed: more slices, or another threshold. */
  update() {
    const { one } = this;
    if (!one) return;
    const { rule } = one;
    byId("case-body").toggleAttribute("data-hides-result", isHidden(one));
    setText(byId("case-title"), one.name);
    byId("case-title").title = one.folder + one.name;
    setText(byId("case-where"), one.where);
    byId("prediction").dataset.decision = one.decision;
    setText(byId("prediction-kind"), one.isVolume ? `Volume, ${one.slices.length} slices` : one.status === "unreadable" ? "File" : "Slice");
    byId("prediction-decision").replaceChildren(decisionCell(one.decision, isUnconfirmed(one) ? SUSPICIOUS : undefined));
    byId("prediction").classList.toggle("unconfirmed", isUnconfirmed(one));
    setText(byId("prediction-number"), this.#shows(one) ? number(one.probability) : "");
    byId("prediction").classList.toggle("doubtful", one.status === "not_brain_mri");
    this.#showAnyway(one);
    this.#showAttention(one);
    setText(byId("prediction-words"), one.isVolume ? volumeWords(one, rule) : explain(one, rule));
    showReason(byId("prediction-reason"), one);
    this.scale.show(one, rule);
    this.scale.node.hidden = !this.#shows(one);
    byId("volume-bar").hidden = !one.isVolume;
    byId("slice-prediction").hidden = !one.isVolume;
    if (one.isVolume) this.#showVolume(one);
    this.beside.update();
  }

  /**
   * Whether there is a number to show: of what was rejected it says nothing, unless the reader wants it.
   *
   * @param {Pick<Slice, "probability" | "decision">} prediction
   */
  #shows({ probability, decision }) {
    return probability !== null && (decision !== "not_brain_mri" || this.#anyway);
  }

  /** @param {Case} one */
  #showAnyway(one) {
    byId("show-anyway").hidden = !one.slices.some(({ status }) => status === "not_brain_mri") || (one.isVolume && one.status === "ok");
    setText(byId("show-anyway"), this.#anyway ? "Hide the map and the probability" : "Show the map and the probability anyway");
  }

  /** @param {Case} one */
  #showAttention({ attention }) {
    byId("attention").replaceChildren(...attention.map((name) => el("li", { "data-attention": name }, attentionInWords(name))));
    byId("attention").hidden = !attention.length;
  }

  /** @param {Case} one */
  #showVolume(one) {
    byId("slice-slider", HTMLInputElement).max = String(one.slices.length);
    this.strip.show(one.slices, one.sliceRule);
    byId("most-suspicious", HTMLButtonElement).disabled = !one.suspicious.length;
    const buttons = one.suspicious.map((place) => this.#suspiciousButton(place, one.slices[place]));
    byId("suspicious").replaceChildren(...buttons);
    byId("suspicious-head").hidden = !one.suspicious.length;
    this.#showSlicePrediction(one);
  }

  /**
   * @param {number} place
   * @param {Slice} slice
   */
  #suspiciousButton(place, { probability }) {
    const words = `Slice ${place + 1}, probability ${number(probability)}`;
    const onclick = () => this.go(place);
    const parts = [el("span", {}, `Slice ${place + 1}`), el("span", { class: "figures" }, number(probability))];
    const button = el("button", { type: "button", class: "jump", "aria-label": words, "data-place": place, onclick }, parts);
    return el("li", {}, button);
  }

  /** @param {Case} one */
  #showSlicePrediction(one) {
    const { slice, place } = one;
    const count = one.slices.length;
    this.strip.mark(place);
    byId("slice-slider", HTMLInputElement).value = String(place + 1);
    const called = sliceLabel(slice, one.sliceRule);
    byId("slice-slider").setAttribute("aria-valuetext", `Slice ${place + 1} of ${count}${isHidden(one) ? "" : `, ${called}`}`);
    setText(byId("slice-number"), `${place + 1} / ${count}`);
    setText(byId("slice-title"), `Slice ${place + 1}`);
    const level = LEVELS[slice.decision] ?? slice.decision;
    byId("slice-decision").replaceChildren(decisionCell(level, called));
    setText(byId("slice-probability"), this.#shows(slice) ? number(slice.probability) : "");
    this.sliceScale.show({ ...slice, decision: level }, one.sliceRule, called);
    this.sliceScale.node.hidden = !this.#shows(slice);
    const isSaidAbove = one.status === "ok" && slice.status === "ok" && slice.detail === one.detail;
    showReason(byId("slice-reason"), isSaidAbove ? { status: slice.status, detail: "" } : slice);
    for (const button of all("#suspicious button")) {
      button.setAttribute("aria-current", String(Number(button.dataset.place) === place));
    }
  }

  /**
   * @param {Case} one
   * @param {{ keepView: boolean }} options
   */
  async #showSlice(one, { keepView }) {
    const { slice, place, refused } = one;
    if (one.isVolume) this.#showSlicePrediction(one);
    this.beside.follow();
    if (!slice.geometry) setText(byId("place"), "");
    this.stage.setScrolls(one.isVolume);
    this.stage.saveButton.hidden = !one.isVolume || one.job === null || one.status !== "ok" || isHidden(one);
    this.#showSliceVerdict(one);
    this.correction.hide();
    const { pictureUrl, mapUrl } = one.layers(place);
    const hides = isHidden(one);
    const isRejected = slice.status === "not_brain_mri" && !this.#anyway;
    const noMap = hides ? "The map is hidden until you judge this case." : isRejected ? "No map is shown: this image was rejected." : "There is no tumor map for this image.";
    if (slice.status === "unreadable") {
      this.stage.say(`There is no picture: the file ${refused ? "was not scored" : "could not be read"}.`);
    } else if (!pictureUrl) {
      this.stage.say("The image was not kept. To keep images, start the server with --keep-images.");
    } else {
      const layers = { pictureUrl, mapUrl: isRejected || hides ? null : mapUrl, words: pictureWords(one), noMap, geometry: slice.geometry };
      await this.stage.show(layers, { keepView });
      if (this.one === one && one.slice === slice) {
        this.planes.follow(this.beside.isOn ? null : one, place);
        this.correction.follow(one, place);
      }
      await this.#showPlace(one, slice, pictureUrl);
      if (this.one === one && one.isVolume) prefetch(around(one));
    }
  }

  /**
   * Shows what the file says of where the slice lies.
   *
   * @param {Case} one
   * @param {Slice} slice
   * @param {string} pictureUrl
   */
  async #showPlace(one, slice, pictureUrl) {
    const { geometry } = slice;
    const drawn = geometry && (await picture(pictureUrl).catch(() => null));
    if (this.one !== one || one.slice !== slice) return; // the reader went on
    const known = drawn && [
      `${geometry.plane[0].toUpperCase()}${geometry.plane.slice(1)}`,
      position(geometry),
      spacing(geometry, drawn, sliceDistance(one.slices.map((other) => other.geometry))),
    ];
    setText(byId("place"), known ? known.filter(Boolean).join(" · ") : "");
  }

  /** @param {Case} one */
  async #loadVerdicts(one) {
    this.#kept = null;
    byId("slice-verdict").hidden = true;
    if (!this.hasHistory || one.status === "unreadable") return;
    if (one.record) this.#showVerdict(one.record); // at once: a key judges it
    const kept = one.kept ?? (await keptOf(one, () => this.one === one).catch(() => null));
    if (!kept || this.one !== one) return;
    this.#kept = kept;
    if (one.record !== kept.whole) this.#showVerdict((one.record = kept.whole));
    byId("slice-verdict").hidden = !kept.slices.length;
    this.#showSliceVerdict(one);
    this.correction.know(one, kept);
  }

  /** @param {KeptRecord} record */
  #showVerdict(record) {
    this.verdict.show(record);
    byId("case-verdict").hidden = false;
  }

  /** @param {Case} one */
  #showSliceVerdict(one) {
    const record = this.#kept?.slices[one.place];
    if (!record) return;
    setText(byId("slice-verdict-title"), `Verdict on slice ${one.place + 1} only`);
    this.sliceVerdict.show(record);
  }
}

/**
 * Shows the reason for a prediction, or nothing.
 *
 * @param {HTMLElement} node
 * @param {Pick<Slice, "status" | "detail">} prediction
 */
function showReason(node, { status, detail }) {
  node.hidden = !detail;
  const heads = { unreadable: "Reason", not_brain_mri: "Reason", ok: "Note" };
  node.replaceChildren(el("strong", {}, heads[status]), ` ${because({ status, detail })}`);
}

/**
 * Asks what the history has of a case, until it is there: predictions are kept soon after they were made.
 *
 * @param {Case} one
 * @param {() => boolean} isWanted
 * @returns {Promise<Kept | null>} null where the history has nothing.
 */
async function keptOf({ job, slices: shown, record }, isWanted) {
  if (record) return { whole: record, slices: record.slices ? await history.slices(record.id) : [] };
  let known = 0;
  const place = shown[shown.length - 1].id;
  for (let left = KEPT_TRIES; left && job !== null && place !== null && isWanted(); ) {
    const { cases, state } = await look(job, Number.MAX_SAFE_INTEGER);
    const id = cases[place];
    if (id) {
      const last = await history.open(id);
      if (!last.part_of) return { whole: last, slices: [] };
      const [whole, slices] = await Promise.all([history.open(last.part_of), history.slices(last.part_of)]);
      return { whole, slices };
    }
    if (cases.length > known) [left, known] = [KEPT_TRIES, cases.length]; // a long volume takes its time
    else if (state !== "queued" && state !== "running") left -= 1; // it is kept when all of its job is scored
    await new Promise((resolve) => setTimeout(resolve, KEPT_WAIT_MS));
  }
  return null;
}

/**
 * Addresses of the pictures and maps of the slices around the one that is shown.
 *
 * @param {Case} one
 */
function around(one) {
  const near = [];
  for (let by = 1; by <= AHEAD; by += 1) near.push(one.place + by, one.place - by);
  return near
    .filter((place) => one.slices[place] && one.slices[place].status !== "unreadable")
    .flatMap((place) => Object.values(one.layers(place)).filter((url) => url !== null));
}

/**
 * What the prediction for a volume means, in a sentence.
 *
 * @param {Case} one
 * @param {Rule} rule
 */
function volumeWords(one, rule) {
  if (one.status !== "ok") return "No slice of this volume could be scored.";
  const what = rule.ofMean ? "largest mean probability of three adjacent slices" : "probability of a tumor in this volume";
  const lead = isSuspicious(one, rule) ? sentence(one.finding) : ""; // else the head of the case says it
  const mean = `${lead} The ${what}, ${number(one.probability)}`.trim();
  const slice = number(one.sliceRule.threshold);
  const isHigher = rule.ofMean && rule.threshold > one.sliceRule.threshold;
  const why = isHigher ? ` That is higher than the threshold for a single slice, ${slice}, because each of many slices can give a false alarm.` : "";
  if (one.reason === "too_few_slices") return "Too few slices of this volume could be scored. A human reader should decide.";
  const end = ` ${one.nScored} of ${one.slices.length} slices were scored.`;
  if (one.decision === "refer") return `${mean}, is too close to 0.5 to keep the error rate that you chose. A human reader should decide.${end}`;
  const against = one.decision === "tumor" ? "reaches" : "stays below";
  return `${mean}, ${against} the threshold for volumes, ${number(rule.threshold)}.${why}${end}`;
}
