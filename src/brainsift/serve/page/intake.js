// Files -> jobs -> cases: a few jobs at a time, answers as they come, again after a reload of the page.

import * as api from "./api.js";
import { grouped } from "./files.js";

const AT_A_TIME = 2;
const KEEP_ALIVE_MS = 10 * 60 * 1000; // a job that nobody touches is forgotten by the server after 30 minutes
const STORED = "brainsift.jobs";
const REFUSED = "brainsift.refused";

/** Tells of "progress" and of "trouble" (detail: an error). */
export class Intake extends EventTarget {
  #waiting = [];
  #running = new Set();
  #jobs = new Map(); // id -> {folder, order, places}
  #refused = []; // {name, folder, order, error}
  #order = 0; // of the next file in the list

  constructor(cases, model) {
    super();
    this.cases = cases;
    this.limits = model.limits;
    this.fresh = {}; // {order, alone}: of the first file that was added last, and whether it was the only one
    this.#begin();
    setInterval(() => this.#touch(), KEEP_ALIVE_MS);
  }

  get busy() {
    return this.#running.size + this.#waiting.length > 0;
  }

  /** What is being uploaded, as a share, where nothing else happens; else null. */
  get sending() {
    const shares = [...this.#running].map((group) => group.sent);
    return shares.length && shares.every((share) => share < 1) ? shares.reduce((a, b) => a + b) / shares.length : null;
  }

  async add(found) {
    const { groups, skipped, closed } = await grouped(found, this.limits);
    if (!this.busy) this.#begin();
    this.skipped += skipped;
    this.closed += closed;
    this.nothing = !groups.length && !this.busy;
    const files = groups.flatMap((group) => group.files);
    for (const file of files) file.order = this.#order + file.place;
    this.fresh = { order: this.#order, alone: files.length === 1 };
    this.#order += files.length;
    for (const group of groups) Object.assign(group, { order: group.files[0].order, expected: group.files.length });
    this.total += files.length;
    this.#waiting.push(...groups);
    this.#start();
  }

  /** Drops what waits and what has no answer yet; images that are being scored come to their end. */
  cancel() {
    for (const group of this.#waiting) this.total -= group.expected;
    const unheard = [...this.#running].filter((group) => !group.taken);
    for (const group of unheard) group.stop.abort(new DOMException("cancelled", "AbortError"));
    for (const group of [...this.#waiting, ...unheard]) this.stopped += sizeOf(group);
    this.#waiting = [];
    this.#tell();
  }

  /** Forgets all cases, here and on the server. */
  async clear() {
    this.cancel();
    for (const group of this.#running) group.stop.abort(new DOMException("cleared", "AbortError"));
    const ids = [...this.#jobs.keys()];
    this.#jobs.clear();
    this.#refused = [];
    this.#store();
    this.#forgive();
    this.cases.remove(this.cases.all);
    this.#tell();
    await Promise.all(ids.map(api.forget));
  }

  /** Brings back the jobs, and what was refused, that this tab had before it was reloaded. */
  async restore() {
    for (const { name, folder, order, error } of stored(REFUSED)) this.#list({ file: { name }, folder, order }, error);
    for (const { id, folder, order, places } of stored(STORED)) {
      const group = { kind: "known", folder, order, places, files: [] };
      for (const one of [group, ...(places ?? [])]) this.#order = Math.max(this.#order, (one.order ?? 0) + 1);
      try {
        const job = await api.look(id);
        this.#jobs.set(id, { folder, order, places });
        this.#waiting.push({ ...group, job, expected: job.total ?? job.answers.length });
        this.total += job.total ?? job.answers.length;
      } catch {
        this.forgotten += sizeOf(group); // expired, or another server
      }
    }
    this.#store();
    this.#start();
  }

  #begin() {
    this.total = this.done = 0;
    this.#forgive();
  }

  /** From here on there is nothing without an answer to tell of. */
  #forgive() {
    this.skipped = this.closed = this.stopped = this.forgotten = 0;
    this.nothing = false; // whether an addition had nothing to score
  }

  #start() {
    while (this.#running.size < AT_A_TIME && this.#waiting.length) {
      const group = this.#waiting.shift();
      Object.assign(group, { stop: new AbortController(), sent: group.job ? 1 : 0, taken: 0, scored: 0 });
      this.#running.add(group);
      this.#run(group).finally(() => {
        this.#running.delete(group);
        this.#start();
        this.#tell();
      });
    }
    this.#tell();
  }

  async #run(group) {
    try {
      const job = group.job ?? (await this.#submit(group));
      await this.#collect(group, job);
    } catch (error) {
      if (group.stop.signal.aborted) {
        this.total -= group.expected - group.taken;
        this.done -= group.scored - group.taken;
        if (group.id && !group.taken) await this.#forget(group.id);
      } else if (error.status === 404 && group.files.length && !group.again) this.#sendAgain(group);
      else if (error instanceof api.ApiError) this.#refuse(group, error.status === 404 ? LOST : error);
      else throw error;
    }
  }

  async #submit(group) {
    if (group.tooMany) throw new api.ApiError(0, tooMany(group.files.length, this.limits));
    const { signal } = group.stop;
    const onprogress = (share) => {
      group.sent = share;
      this.#tell();
    };
    const files = group.files.map(({ file }) => file);
    let job;
    try {
      job = await api.submit(files, this.cases.rule.query, { onprogress, signal });
    } catch (error) {
      if (!(error instanceof api.GoneError) || error.files.length === files.length) throw error;
      this.#leaveOut(group, error);
      return this.#submit(group);
    }
    group.sent = 1;
    group.id = job.id;
    if (group.kind === "image") group.places = group.files.map(({ file, folder, order }) => ({ folder, order, name: file.name }));
    this.#jobs.set(job.id, { folder: group.folder, order: group.order, places: group.places });
    this.#store();
    return job;
  }

  async #collect(group, first) {
    const { signal } = group.stop;
    let job = first;
    for (;;) {
      this.#take(group, job);
      if (job.state === "failed" || job.state === "cancelled") throw new api.ApiError(0, job.error ?? STOPPED);
      if (job.state === "done") break;
      job = await api.follow(job.id, group.taken, signal);
    }
    this.#expect(group, group.taken);
  }

  #take(group, job) {
    if (job.total !== null) this.#expect(group, Math.max(job.total, group.taken));
    const placed = group.places?.length === job.total ? group.places : []; // one answer a file, in their order
    const fresh = job.answers.filter(({ id }) => id >= group.taken).map((answer) => at(answer, group, placed[answer.id]));
    group.taken += fresh.length;
    const scored = Math.max(job.done, group.taken); // answers for a volume come when all of its slices are scored
    this.done += scored - group.scored;
    group.scored = scored;
    this.cases.take(job.id, fresh);
    this.#tell();
  }

  #expect(group, count) {
    this.total += count - group.expected;
    group.expected = count;
  }

  /** The server lost the job, since it was started anew perhaps: what has no answer goes there once more. */
  #sendAgain(group) {
    const oneEach = group.kind === "image" && group.expected === group.files.length;
    const kept = oneEach ? group.taken : 0;
    const files = group.files.slice(kept);
    if (kept) this.#jobs.set(group.id, { ...this.#jobs.get(group.id), places: group.places.slice(0, kept) });
    else this.#jobs.delete(group.id);
    this.#store();
    if (!oneEach) this.cases.remove(this.cases.all.filter((one) => one.job === group.id));
    this.total += kept + files.length - group.expected;
    this.done += kept - group.scored;
    const { kind, folder, order } = group;
    this.#waiting.unshift({ kind, folder, order, files, expected: files.length, again: true });
  }

  #refuse(group, error) {
    const open = group.kind === "image" ? group.files.slice(group.taken) : group.taken ? [] : group.files;
    const whole = { file: { name: group.folder || `${open.length} DICOM files` }, folder: "", order: group.order };
    for (const one of group.kind === "dicom" && open.length > 1 ? [whole] : open) this.#list(one, error);
    if (!group.files.length) this.forgotten += Math.max(sizeOf(group) - group.taken, 0);
    this.#store();
    this.done += group.expected - group.scored;
    this.dispatchEvent(new CustomEvent("trouble", { detail: error }));
  }

  /** Lists what was refused, now and after a reload. */
  #list({ file: { name }, folder, order }, { subject, rule, remedy }) {
    const refused = { name, folder, order, error: { subject, rule, remedy } };
    this.#refused.push(refused);
    this.#order = Math.max(this.#order, (order ?? 0) + 1);
    this.cases.refuse(refused);
  }

  /** Refuses the files of an error; the others of the group go on without them. */
  #leaveOut(group, error) {
    const [out, left] = [[], []];
    for (const one of group.files) (error.files.includes(one.file) ? out : left).push(one);
    for (const one of out) this.#list(one, error);
    this.#store();
    group.files = left;
    group.expected -= out.length;
    this.done += out.length;
    this.dispatchEvent(new CustomEvent("trouble", { detail: error }));
  }

  async #forget(id) {
    this.#jobs.delete(id);
    this.#store();
    await api.forget(id);
  }

  #touch() {
    for (const id of this.#jobs.keys()) api.look(id, Number.MAX_SAFE_INTEGER).catch(() => null);
  }

  #store() {
    const jobs = [...this.#jobs].map(([id, known]) => ({ id, ...known }));
    try {
      sessionStorage.setItem(STORED, JSON.stringify(jobs));
      sessionStorage.setItem(REFUSED, JSON.stringify(this.#refused));
    } catch {
      // storage is refused: a reload starts empty
    }
  }

  #tell() {
    this.dispatchEvent(new Event("progress"));
  }
}

/** An answer with the folder and the order of its file; the server does not know folders, and counts files of the same name. */
function at(answer, group, place) {
  const name = place && answer.name.startsWith(place.name) ? place.name : answer.name;
  const { folder, order } = place ?? group;
  return { ...answer, name, folder, order };
}

/** Of how many files it is; of a restored volume nobody knows, it counts as one. */
const sizeOf = ({ files, places }) => files.length || (places?.length ?? 1);

const LOST = new api.ApiError(404, { code: "lost", subject: "The server", rule: "lost it before it was scored", remedy: "Drop it again." });
const STOPPED = { code: "stopped", subject: "The server", rule: "stopped this job", remedy: "Drop the files again." };

const tooMany = (count, { upload_mb: megabytes, files }) => ({
  code: "upload",
  subject: `These ${count} DICOM files`,
  rule: `are more than one upload takes, ${files} files or ${megabytes} MB`,
  remedy: "Start `brainsift serve` with a larger --files or --upload-mb, or hand over one series at a time.",
});

function stored(key) {
  try {
    return JSON.parse(sessionStorage.getItem(key) ?? "[]");
  } catch {
    return [];
  }
}
