// @ts-check
// Files -> jobs -> cases: a few jobs at a time, predictions as they come, again after a reload of the page.

/** @import { Job, Limits } from "./api.js" */
/** @import { Cases, PlacedPrediction, Refusal } from "./cases.js" */
/** @import { Found, Group, PlacedFile } from "./files.js" */

import * as api from "./api.js";
import { Emitter } from "./emitter.js";
import { MEGABYTE, groupFiles } from "./files.js";

/**
 * @typedef {PlacedFile & { order: number }} OrderedFile with its order among all files of the list.
 * @typedef {{ folder: string, order: number, name: string }} Place What the server does not know of a file.
 * @typedef {{ folder: string, order: number, kind: Group["kind"], places?: Place[] }} KnownJob A job of this list, by its
 *   folder and the order of its first file; `places` of its files where they are single images or lie in several folders.
 *
 * @typedef {object} State What becomes of a batch.
 * @property {string} id of its job; "" before it has one.
 * @property {AbortController} stop
 * @property {number} sent share of its bytes that were uploaded.
 * @property {boolean} [listed] whether the server knows its slices.
 * @property {number} taken predictions that are in the list.
 * @property {number} scored slices that were scored.
 * @property {number} expected slices, as far as it is known.
 *
 * @typedef {object} Work
 * @property {OrderedFile[]} files none of a job of before the page was reloaded.
 * @property {boolean} [tooMany]
 * @property {Job} [job] where it is known.
 * @property {boolean} [isAgain] whether it is sent once more.
 *
 * @typedef {KnownJob & Work & State} Batch Files that are sent together.
 */

const AT_A_TIME = 2;
const KEEP_ALIVE_MS = 10 * 60 * 1000; // a job that nobody touches is forgotten by the server after 30 minutes
const STORED = "brainsift.jobs";
const REFUSED = "brainsift.refused";

/** Tells of "progress". @extends {Emitter<{ progress: null }>} */
export class Intake extends Emitter {
  /** @type {Batch[]} */
  #waiting = [];
  /** @type {Set<Batch>} */
  #running = new Set();
  /** @type {Map<string, KnownJob>} */
  #jobs = new Map();
  /** @type {Refusal[]} */
  #refused = [];
  #keeps = true; // whether a reload finds the jobs
  #order = 0; // of the next file in the list
  /** Slices to score, since nothing ran the last time; of them, `done` are scored. */
  total = 0;
  done = 0;
  /** See `Missing` in words.js. */
  skipped = 0;
  closed = 0;
  stopped = 0;
  forgotten = 0;
  nothing = false;
  /** Of the first file that was added last: its order, and whether it was the only one. */
  fresh = { order: -1, alone: false };

  /**
   * @param {Cases} cases
   * @param {{ limits: Limits }} model
   */
  constructor(cases, { limits }) {
    super();
    this.cases = cases;
    this.limits = limits;
    setInterval(() => this.#touch(), KEEP_ALIVE_MS);
  }

  get busy() {
    return this.#running.size + this.#waiting.length > 0;
  }

  /** What is being uploaded, as a share, where nothing else happens; else null. */
  get sending() {
    const shares = [...this.#running].map((batch) => batch.sent);
    return shares.length && shares.every((share) => share < 1) ? shares.reduce((a, b) => a + b) / shares.length : null;
  }

  /**
   * The volume that is scored and has no prediction yet; null for none.
   *
   * @returns {{ job: string, name: string, done: number, total: number } | null}
   */
  get pending() {
    const batch = [...this.#running].find(({ id, kind, listed, taken, expected }) => id && kind !== "image" && listed && !taken && expected > 1);
    if (!batch) return null;
    const name = batch.files.length === 1 ? batch.files[0].file.name : batch.folder.replace(/\/$/, "") || "The series";
    return { job: batch.id, name, done: batch.scored, total: batch.expected };
  }

  /** @param {(Found | null)[]} found null for what could not be opened. */
  async add(found) {
    const { groups, skipped, closed } = await groupFiles(found, this.limits);
    if (!this.busy) this.#begin();
    this.skipped += skipped;
    this.closed += closed;
    this.nothing = !groups.length && !this.busy;
    const start = this.#order;
    const batches = groups.map((group) => {
      const files = group.files.map((one) => ({ ...one, order: start + one.place }));
      return makeBatch({ ...group, files, order: files[0].order }, files.length);
    });
    const count = batches.reduce((sum, { files }) => sum + files.length, 0);
    this.fresh = { order: start, alone: count === 1 };
    this.#order += count;
    this.total += count;
    this.#waiting.push(...batches);
    this.#start();
  }

  /** Drops what waits and what has no prediction yet; images that are being scored come to their end. */
  cancel() {
    for (const batch of this.#waiting) this.total -= batch.expected;
    const silent = [...this.#running].filter((batch) => !batch.taken);
    for (const batch of silent) batch.stop.abort(new DOMException("cancelled", "AbortError"));
    for (const batch of [...this.#waiting, ...silent]) this.stopped += sizeOf(batch);
    this.#waiting = [];
    this.emit("progress", null);
  }

  /** Forgets all cases, here and on the server. */
  async clear() {
    this.cancel();
    for (const batch of this.#running) batch.stop.abort(new DOMException("cleared", "AbortError"));
    const ids = [...this.#jobs.keys()];
    this.#jobs.clear();
    this.#refused = [];
    this.#store();
    this.#forgive();
    this.cases.remove(this.cases.all);
    this.emit("progress", null);
    await Promise.all(ids.map(api.forget));
  }

  /**
   * Brings back the jobs, and what was refused, that this tab had before it was reloaded; or one job alone.
   *
   * @param {string | null} alone its id.
   */
  async restore(alone = null) {
    this.#keeps = alone === null;
    /** @type {(KnownJob & { id: string })[]} */
    const jobs = alone === null ? /** @type {any} */ (stored(STORED)) : [{ id: alone, folder: "", order: 0, kind: "image" }];
    for (const refusal of /** @type {Refusal[]} */ (this.#keeps ? stored(REFUSED) : [])) this.#list(refusal);
    for (const { id, ...known } of jobs) {
      for (const { order } of [known, ...(known.places ?? [])]) this.#order = Math.max(this.#order, order + 1);
      try {
        const job = await api.look(id);
        this.#jobs.set(id, known);
        const batch = makeBatch({ ...known, files: [], job }, job.total ?? job.answers.length);
        this.#waiting.push(batch);
        this.total += batch.expected;
      } catch {
        this.forgotten += sizeOf({ ...known, files: [] }); // expired, or another server
      }
    }
    this.#store();
    this.#start();
  }

  #begin() {
    this.total = this.done = 0;
    this.#forgive();
  }

  /** From here on there is nothing without a prediction to tell of. */
  #forgive() {
    this.skipped = this.closed = this.stopped = this.forgotten = 0;
    this.nothing = false;
  }

  #start() {
    while (this.#running.size < AT_A_TIME && this.#waiting.length) {
      const [batch] = this.#waiting.splice(0, 1);
      this.#running.add(batch);
      this.#run(batch).finally(() => {
        this.#running.delete(batch);
        this.#start();
        this.emit("progress", null);
      });
    }
    this.emit("progress", null);
  }

  /** @param {Batch} batch */
  async #run(batch) {
    try {
      const job = batch.job ?? (await this.#submit(batch));
      await this.#collect(batch, job);
    } catch (error) {
      if (batch.stop.signal.aborted) {
        this.total -= batch.expected - batch.taken;
        this.done -= batch.scored - batch.taken;
        if (batch.id && !batch.taken) await this.#forget(batch.id);
      } else if (!(error instanceof api.ApiError)) throw error;
      else if (error.status === 404 && batch.files.length && !batch.isAgain) this.#sendAgain(batch);
      else this.#refuse(batch, error.status === 404 ? LOST : error);
    }
  }

  /**
   * @param {Batch} batch
   * @returns {Promise<Job>}
   */
  async #submit(batch) {
    if (batch.tooMany) throw new api.ApiError(0, tooMany(batch.files, this.limits));
    const [one, ...others] = batch.files;
    if (!others.length && one.file.size > this.limits.upload_mb * MEGABYTE) throw new api.ApiError(0, tooLarge(one.file, this.limits));
    const { signal } = batch.stop;
    /** @param {number} share */
    const onprogress = (share) => {
      batch.sent = share;
      this.emit("progress", null);
    };
    const files = batch.files.map(({ file }) => file);
    let job;
    try {
      job = await api.submit(files, this.cases.rule.query, { onprogress, signal });
    } catch (error) {
      if (!(error instanceof api.GoneError) || error.files.length === files.length) throw error;
      this.#leaveOut(batch, error);
      return this.#submit(batch);
    }
    batch.sent = 1;
    batch.id = job.id;
    const { kind, folder, order } = batch;
    if (kind === "image" || batch.files.some((one) => one.folder !== folder)) {
      batch.places = batch.files.map((one) => ({ folder: one.folder, order: one.order, name: one.file.name }));
    }
    this.#jobs.set(job.id, { folder, order, kind, places: batch.places });
    this.#store();
    return job;
  }

  /**
   * @param {Batch} batch
   * @param {Job} start the job as it stood first.
   */
  async #collect(batch, start) {
    const { signal } = batch.stop;
    let job = start;
    for (;;) {
      this.#take(batch, job);
      if (job.state === "failed" || job.state === "cancelled") throw new api.ApiError(0, job.error ?? STOPPED);
      if (job.state === "done") break;
      job = await api.follow(job.id, batch.taken, signal);
    }
    this.#expect(batch, batch.taken);
  }

  /**
   * @param {Batch} batch
   * @param {Job} job
   */
  #take(batch, { id: job, total, done, answers, volumes }) {
    batch.listed = total !== null;
    if (total !== null) this.#expect(batch, Math.max(total, batch.taken));
    const fresh = answers.filter(({ id }) => id >= batch.taken).map((one) => withPlace(one, batch, batch.places?.[one.file ?? -1]));
    batch.taken += fresh.length;
    const scored = Math.max(done, batch.taken); // predictions for a volume come when all of its slices are scored
    this.done += scored - batch.scored;
    batch.scored = scored;
    this.cases.take(job, fresh, volumes);
    this.emit("progress", null);
  }

  /**
   * @param {Batch} batch
   * @param {number} count
   */
  #expect(batch, count) {
    this.total += count - batch.expected;
    batch.expected = count;
  }

  /**
   * The server lost the job, perhaps because it was started anew: what has no prediction goes there once more.
   *
   * @param {Batch} batch
   */
  #sendAgain(batch) {
    const { kind, folder, order, id, places } = batch;
    const oneEach = kind === "image" && batch.expected === batch.files.length;
    const kept = oneEach ? batch.taken : 0;
    const files = batch.files.slice(kept);
    if (kept) this.#jobs.set(id, { folder, order, kind, places: places?.slice(0, kept) });
    else this.#jobs.delete(id);
    this.#store();
    if (!oneEach) this.cases.remove(this.cases.all.filter((one) => one.job === id));
    this.total += kept + files.length - batch.expected;
    this.done += kept - batch.scored;
    this.#waiting.unshift(makeBatch({ kind, folder, order, files, isAgain: true }, files.length));
  }

  /**
   * @param {Batch} batch
   * @param {api.ApiError} error
   */
  #refuse(batch, error) {
    const { kind, folder, order, files, taken } = batch;
    const open = kind === "image" ? files.slice(taken) : taken ? [] : files;
    if (kind === "dicom" && open.length > 1) {
      this.#list({ name: folder || `${open.length} DICOM files`, folder: "", order, error });
    } else {
      for (const one of open) this.#list({ name: one.file.name, folder: one.folder, order: one.order, error });
    }
    if (!files.length) this.forgotten += Math.max(sizeOf(batch) - taken, 0);
    this.#store();
    this.done += batch.expected - batch.scored;
  }

  /**
   * Lists what was refused, now and after a reload.
   *
   * @param {Refusal} refusal
   */
  #list({ name, folder, order, error: { subject, rule, remedy } }) {
    const refusal = { name, folder, order, error: { subject, rule, remedy } };
    this.#refused.push(refusal);
    this.#order = Math.max(this.#order, order + 1);
    this.cases.refuse(refusal);
  }

  /**
   * Refuses the files of an error; the others of the batch go on without them.
   *
   * @param {Batch} batch
   * @param {api.GoneError} error
   */
  #leaveOut(batch, error) {
    const out = batch.files.filter(({ file }) => error.files.includes(file));
    for (const { file, folder, order } of out) this.#list({ name: file.name, folder, order, error });
    this.#store();
    batch.files = batch.files.filter((one) => !out.includes(one));
    batch.expected -= out.length;
    this.done += out.length;
  }

  /** @param {string} id of a job. */
  async #forget(id) {
    this.#jobs.delete(id);
    this.#store();
    await api.forget(id);
  }

  #touch() {
    for (const id of this.#jobs.keys()) api.look(id, Number.MAX_SAFE_INTEGER).catch(() => null);
  }

  #store() {
    if (!this.#keeps) return; // the frames of a notebook have one storage
    const jobs = [...this.#jobs].map(([id, known]) => ({ id, ...known }));
    try {
      sessionStorage.setItem(STORED, JSON.stringify(jobs));
      sessionStorage.setItem(REFUSED, JSON.stringify(this.#refused));
    } catch {
      // storage is refused: a reload starts empty
    }
  }
}

/**
 * @param {KnownJob & Work} work
 * @param {number} expected
 * @returns {Batch}
 */
const makeBatch = (work, expected) => ({
  ...work,
  expected,
  id: "",
  stop: new AbortController(),
  sent: work.job ? 1 : 0,
  taken: 0,
  scored: 0,
});

/**
 * A prediction with the folder and the order of its file; the server does not know folders, and numbers files of the
 * same name.
 *
 * @param {api.Prediction} prediction
 * @param {KnownJob} batch
 * @param {Place} [place]
 * @returns {PlacedPrediction}
 */
function withPlace(prediction, batch, place) {
  const { folder, order, kind } = batch;
  if (!place) return { ...prediction, folder, order };
  const frame = /#\d+$/.exec(prediction.name)?.[0] ?? "";
  if (kind === "image" && !prediction.volume) return { ...prediction, name: place.name, folder: place.folder, order: place.order };
  if (kind === "image") return { ...prediction, folder: place.folder, order: place.order };
  return { ...prediction, name: `${place.folder.slice(folder.length)}${place.name}${frame}`, folder, order };
}

/**
 * How many files it is of; of a restored volume nobody knows, it counts as one.
 *
 * @param {{ files: unknown[], places?: Place[] }} batch
 */
const sizeOf = ({ files, places }) => files.length || (places?.length ?? 1);

const LOST = new api.ApiError(404, { code: "lost", subject: "The server", rule: "lost this file before it was scored", remedy: "Drop it again." });
const STOPPED = { code: "stopped", subject: "The server", rule: "stopped this job", remedy: "Drop the files again." };

/** @param {number} bytes */
const inMegabytes = (bytes) => `${(bytes / MEGABYTE).toFixed(1)} MB`;

/**
 * A file that the server would refuse is not sent.
 *
 * @param {File} file
 * @param {Limits} limits
 */
const tooLarge = ({ size }, { upload_mb: megabytes }) => ({
  code: "upload",
  subject: "This file",
  rule: `has ${inMegabytes(size)}, more than the ${megabytes} MB of one upload, and was not sent`,
  remedy: "Start `brainsift serve` with a larger --upload-mb, or make the file smaller.",
});

/**
 * @param {OrderedFile[]} sent
 * @param {Limits} limits
 */
const tooMany = (sent, { upload_mb: megabytes, files }) => ({
  code: "upload",
  subject: `These ${sent.length} DICOM files of ${inMegabytes(sent.reduce((sum, { file }) => sum + file.size, 0))}`,
  rule: `exceed the limit for one upload: ${files} files or ${megabytes} MB`,
  remedy: "Start `brainsift serve` with a larger --files or --upload-mb, or drop one series at a time.",
});

/**
 * @param {string} key
 * @returns {unknown[]}
 */
function stored(key) {
  try {
    return JSON.parse(sessionStorage.getItem(key) ?? "[]");
  } catch {
    return [];
  }
}
