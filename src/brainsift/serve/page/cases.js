// @ts-check
// The cases on the page, and the rule that decides them.

/** @import { ErrorBody, KeptRecord, Prediction, SliceFacts, VolumePrediction } from "./api.js" */
/** @import { Attention } from "./attention.js" */
/** @import { ChosenRule, Decision, Rule, Scored, Status } from "./decide.js" */

import { mapOf, pictureOf } from "./api.js";
import { attentionOf } from "./attention.js";
import { isHidden } from "./blind.js";
import { decide, decideVolume, mostSuspicious, ofVolumes } from "./decide.js";
import { Emitter } from "./emitter.js";
import { inWords } from "./words.js";

/**
 * @typedef {Scored & SliceFacts & { id: number | null }} SliceRecord `id` is null where the server does not know it.
 * @typedef {SliceRecord & { decision: Decision }} Slice its `detail` is what does not depend on the threshold.
 *
 * @typedef {Prediction & { folder: string, order: number }} PlacedPrediction with the folder of its file, and the order
 *   of its file among all that were added.
 *
 * @typedef {Pick<ErrorBody, "subject" | "rule" | "remedy">} ErrorWords
 * @typedef {{ name: string, folder: string, order: number, error: ErrorWords }} Refusal A file that was not scored.
 */

/** @typedef {{ whole: KeptRecord, slices: KeptRecord[] }} Kept What the history has of a case. */

/** One row of the list: an image, or a volume with its slices. */
export class Case {
  /** What the service says of the volume as a whole. @type {VolumePrediction | null} */
  scored = null;
  /** In the order of the volume. @type {Slice[]} */
  slices = [];
  /** For the case as a whole. @type {Rule} */
  rule = { threshold: 0.5, margin: 0 };
  /** For a single slice. @type {Rule} */
  sliceRule = this.rule;
  /** @type {Status} */
  status = "unreadable";
  /** @type {number | null} */
  probability = null;
  /** @type {Decision} */
  decision = "unreadable";
  /** A code: why the case is unreadable, rejected or referred. @type {string | null} */
  reason = "";
  /** The result of a volume in words; "" where the service gave none. */
  finding = "";
  /** The same in words, where they do not depend on the threshold. */
  detail = "";
  nScored = 0;
  /** Why a reader should look himself. @type {Attention[]} */
  attention = [];
  /** Places of slices, the most suspicious first. @type {number[]} */
  suspicious = [];
  /** Place of the slice that the reader went to. @type {number | null} */
  chosen = null;
  /** In the list: that of its file among all that were added. */
  order = 0;
  /** Whether it was not scored at all. */
  refused = false;
  /** Where it comes from the history: what that has of it. @type {Kept | null} */
  kept = null;
  /** What the history has of the case as a whole, as soon as it is known. @type {KeptRecord | null} */
  record = null;
  #isNew = true; // whether slices came since the last decision

  /**
   * @param {string} key
   * @param {{ name: string, folder?: string, job?: string | null, volume?: string }} file `volume` names the volume, ""
   *   for a plain image.
   */
  constructor(key, { name, folder = "", job = null, volume = "" }) {
    this.key = key;
    this.name = name;
    this.folder = folder;
    this.job = job;
    this.volume = volume;
  }

  /**
   * Takes what is known of a slice, in the order of the slices.
   *
   * @param {SliceRecord} record
   */
  push(record) {
    const detail = record.status === "ok" ? record.note : record.detail;
    this.slices.push({ ...record, detail, decision: "unreadable" });
    this.#isNew = true;
  }

  /** @param {Rule} rule */
  decide(rule) {
    this.sliceRule = rule;
    for (const one of this.slices) one.decision = decide(one, rule);
    this.rule = this.isVolume ? ofVolumes(rule) : rule;
    const [first] = this.slices;
    const whole = this.isVolume && this.scored ? decideVolume(this.scored, this.rule) : first;
    this.reason = whole.reason ?? "";
    this.status = whole.status;
    this.probability = whole.probability;
    this.decision = whole.decision;
    this.finding = this.isVolume && "finding" in whole ? whole.finding : "";
    if (this.#isNew) this.suspicious = this.isVolume ? mostSuspicious(this.slices) : [0]; // whatever the threshold
    this.#isNew = false;
    this.nScored = this.scored?.n_scored ?? 0;
    this.detail = this.status === "ok" ? whole.detail : first.detail;
    this.attention = attentionOf(this);
  }

  /** Where the case comes from, for its head. */
  get where() {
    const { description } = this.slices[0];
    return [this.folder.replace(/\/$/, ""), this.name.includes(description) ? "" : description].filter(Boolean).join(" · ");
  }

  /**
   * Addresses of the picture and the map of a slice; null where there is none.
   *
   * @param {number} place
   * @returns {{ pictureUrl: string | null, mapUrl: string | null }}
   */
  layers(place) {
    const { id, has_map: hasMap } = this.slices[place];
    if (this.job === null || id === null) return { pictureUrl: null, mapUrl: null };
    return { pictureUrl: pictureOf(this.job, id, { depth: 16 }), mapUrl: hasMap ? mapOf(this.job, id) : null };
  }

  /** A checksum that studies of one patient share; "" where that is not known. */
  get patient() {
    return this.slices[0].patient;
  }

  /** ISO 8601; "" where the file does not tell it. */
  get studyDate() {
    return this.slices[0].study_date;
  }

  get isVolume() {
    return this.slices.length > 1;
  }

  /** What the reader says that it shows; null without a verdict. */
  get verdict() {
    return this.record?.verdict ?? null;
  }

  /** The place of the slice that stands for the case: the one chosen, else the most suspicious. */
  get place() {
    const middle = Math.floor(this.slices.length / 2);
    return this.chosen ?? (isHidden(this) ? middle : (this.suspicious[0] ?? middle));
  }

  get slice() {
    return this.slices[this.place];
  }
}

/**
 * Tells of cases, and with "judged" that verdicts on them have changed or have become known.
 *
 * @extends {Emitter<{ added: Case, changed: Case, removed: null, rule: null, judged: null, selected: Case | null }>}
 */
export class Cases extends Emitter {
  /** @type {Case[]} */
  all = [];
  /** @type {Case | null} */
  selected = null;
  /** @type {Map<string, Case>} */
  byKey = new Map();
  #refusals = 0; // crypto.randomUUID is missing where the page comes from another machine without TLS

  /** @param {ChosenRule} rule */
  constructor(rule) {
    super();
    this.rule = rule;
  }

  /**
   * Adds the predictions of a job to their cases: slices of one volume are one case.
   *
   * @param {string} job
   * @param {PlacedPrediction[]} predictions those of a volume all at once.
   * @param {VolumePrediction[]} volumes that they belong to.
   */
  take(job, predictions, volumes) {
    /** @type {Map<Case, boolean>} */
    const touched = new Map(); // to whether they are new
    for (const { folder, order, ...prediction } of predictions) {
      const { volume, name, id } = prediction;
      const key = volume ? `${job}/v/${volume}` : `${job}/${id}`;
      const known = this.byKey.get(key);
      const one = known ?? new Case(key, { name: volume || name, folder, job, volume });
      if (!known) this.#put(one, order);
      one.push(prediction);
      touched.set(one, touched.get(one) ?? !known);
    }
    for (const volume of volumes) {
      const one = this.byKey.get(`${job}/v/${volume.volume}`);
      if (one) one.scored = volume;
    }
    for (const one of touched.keys()) one.decide(this.rule); // all of them, before anyone looks at the list
    for (const [one, isNew] of touched) this.emit(isNew ? "added" : "changed", one);
  }

  /**
   * Adds a file that the server did not take, with the reason.
   *
   * @param {Refusal} refusal
   */
  refuse({ name, folder, order, error }) {
    this.#refusals += 1;
    const one = new Case(`refused/${this.#refusals}`, { name, folder });
    one.refused = true;
    const facts = { note: "", volume: "", has_map: false, has_focus: null, cautions: [], description: "", patient: "", study_date: "", geometry: null };
    const words = { reason: "not_taken", detail: inWords(error) };
    one.push({ id: null, name, status: "unreadable", probability: null, logit: null, ...words, ...facts });
    this.#put(one, order);
    one.decide(this.rule);
    this.emit("added", one);
  }

  /** @param {ChosenRule} rule */
  setRule(rule) {
    this.rule = rule;
    for (const one of this.all) one.decide(rule);
    this.emit("rule", null);
  }

  /** @param {Case | null} one */
  select(one) {
    if (this.selected === one) return;
    this.selected = one;
    this.emit("selected", one);
  }

  /** @param {Iterable<Case>} cases */
  remove(cases) {
    const away = new Set(cases);
    this.all = this.all.filter((one) => !away.has(one));
    for (const one of away) this.byKey.delete(one.key);
    this.emit("removed", null);
    if (this.selected && away.has(this.selected)) this.select(null);
  }

  /** How many cases have each decision. */
  counts() {
    const counts = { tumor: 0, no_tumor: 0, refer: 0, not_brain_mri: 0, unreadable: 0 };
    for (const one of this.all) counts[one.decision] += 1;
    return counts;
  }

  /**
   * @param {Case} one
   * @param {number} order
   */
  #put(one, order) {
    one.order = order;
    this.all.push(one);
    this.byKey.set(one.key, one);
  }
}
