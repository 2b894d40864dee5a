// The cases on the page, and the rule that decides them.

import { mapOf, pictureOf } from "./api.js";
import { decide, ofVolumes, summarise } from "./decide.js";
import { UNSURE, inWords, reason } from "./words.js";

/** One row of the list: an image, or a volume with its slices. */
export class Case {
  constructor(key, { name, folder = "", job = null, volume = "" }) {
    Object.assign(this, { key, name, folder, job, volume });
    this.answers = [];
    this.chosen = null; // place of the slice that the reader went to
    this.order = 0; // in the list: that of its file among all that were added
    this.refused = false;
  }

  /** Takes what is known of a slice, in the order of the slices. */
  push(answer) {
    this.answers.push(answer);
  }

  decide(rule) {
    this.sliceRule = rule;
    this.rule = this.isVolume ? ofVolumes(rule) : rule;
    this.slices = this.answers.map((answer) => ({ ...answer, decision: decide(answer, rule), detail: reason(answer.detail) }));
    if (this.isVolume) {
      Object.assign(this, summarise(this.answers, this.rule));
      this.detail = this.status === "ok" ? this.why : this.slices[0].detail;
      return;
    }
    const { status, probability, decision, detail } = this.slices[0];
    Object.assign(this, { status, probability, decision, detail, suspicious: [0] });
  }

  get where() {
    return this.folder.replace(/\/$/, "");
  }

  /** Addresses of the picture and the map of a slice; null where there is none. */
  layers({ id, has_map: mapped }) {
    return { pictureUrl: pictureOf(this.job, id, { depth: 16 }), mapUrl: mapped === false ? null : mapOf(this.job, id) };
  }

  get isVolume() {
    return this.answers.length > 1;
  }

  /** The place of the slice that stands for the case: the one chosen, else the most suspicious. */
  get place() {
    return this.chosen ?? this.suspicious[0] ?? Math.floor(this.answers.length / 2);
  }

  get slice() {
    return this.slices[this.place];
  }
}

/** Tells of "added" and "removed" cases, "changed" ones, and of a new "rule". */
export class Cases extends EventTarget {
  constructor() {
    super();
    this.all = [];
    this.rule = null;
    this.selected = null;
    this.byKey = new Map();
  }

  /** Adds the answers of a job to their cases: slices of one volume are one case. */
  take(job, answers) {
    const touched = new Map();
    for (const answer of answers) {
      const key = answer.volume ? `${job}/v/${answer.volume}` : `${job}/${answer.id}`;
      const known = this.byKey.get(key);
      const one = known ?? new Case(key, { name: answer.volume || answer.name, folder: answer.folder, job, volume: answer.volume });
      if (!known) this.#put(one, answer.order);
      one.push(answer);
      touched.set(one, touched.get(one) ?? !known);
    }
    for (const one of touched.keys()) one.decide(this.rule); // all of them, before anyone looks at the list
    for (const [one, isNew] of touched) this.#tell(isNew ? "added" : "changed", one);
  }

  /** Adds a file that the server did not take, with the reason. */
  refuse({ name, folder, order, error }) {
    const one = new Case(`refused/${crypto.randomUUID()}`, { name, folder });
    one.refused = true;
    const answer = { id: null, name, status: "unreadable", probability: null, reason: "not_taken", detail: inWords(error) };
    one.push({ ...answer, volume: "", has_map: false });
    this.#put(one, order);
    one.decide(this.rule);
    this.#tell("added", one);
  }

  setRule(rule) {
    this.rule = rule;
    for (const one of this.all) one.decide(rule);
    this.#tell("rule", null);
  }

  select(one) {
    if (this.selected === one) return;
    this.selected = one;
    this.#tell("selected", one);
  }

  remove(cases) {
    const away = new Set(cases);
    this.all = this.all.filter((one) => !away.has(one));
    for (const one of away) this.byKey.delete(one.key);
    this.#tell("removed", null);
    if (away.has(this.selected)) this.select(null);
  }

  counts() {
    const counts = { tumor: 0, no_tumor: 0, refer: 0, unreadable: 0 };
    for (const one of this.all) counts[one.decision] += 1;
    return counts;
  }

  #put(one, order) {
    one.order = order;
    this.all.push(one);
    this.byKey.set(one.key, one);
  }

  #tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}

/** Rows for a table or JSON: an answer a slice, decided by the rule in use; names as `brainsift predict` has them. */
export function rowsOf(cases) {
  return cases.flatMap((one) =>
    one.slices.map((slice) => ({
      path: one.folder + slice.name,
      status: slice.status,
      probability: slice.probability,
      decision: slice.decision === "unreadable" ? "" : slice.decision,
      detail: [slice.status === "ok" && slice.decision === "refer" ? UNSURE : "", slice.detail].filter(Boolean).join("; "),
      volume: slice.volume ? one.folder + slice.volume : "",
      reason: slice.status !== "ok" ? slice.reason : slice.decision === "refer" ? "unsure" : "",
    })),
  );
}
