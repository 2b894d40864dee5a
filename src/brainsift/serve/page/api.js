// @ts-check
// The REST service, as the page uses it. Every failure is an ApiError with the rule and the remedy.

/** @import { Caution } from "./attention.js" */
/** @import { Scored, Thresholds, VolumeScored } from "./decide.js" */

import { Emitter } from "./emitter.js";

/**
 * @typedef {object} Geometry Where a picture lies in the patient; left, posterior and superior are positive.
 * @property {"axial" | "coronal" | "sagittal"} plane the nearest one.
 * @property {[left: string, right: string, top: string, bottom: string]} sides of the patient, as R, L, A, P, S, I.
 * @property {[x: number, y: number, z: number]} center_mm
 * @property {[width: number, height: number] | null} size_mm null where the file does not tell it.
 * @property {[x: number, y: number, z: number]} right unit vector to its right side.
 * @property {[x: number, y: number, z: number]} down unit vector to its bottom.
 *
 * @typedef {object} Planes The planes in which a volume can be shown; only its slices were scored.
 * @property {Geometry["plane"]} scored the plane of its slices.
 * @property {PlaneCut[]} planes
 * @property {number} voxel_mm3
 * @property {number[]} voxels_above number of voxels whose map is above each level from 0 to 255.
 *
 * @typedef {object} PlaneCut
 * @property {Geometry["plane"]} plane
 * @property {number} count number of pictures.
 * @property {Geometry & { size_mm: [number, number] }} first where the first of them lies.
 * @property {[x: number, y: number, z: number]} step_mm from one to the next.
 *
 * @typedef {object} SliceFacts What the service says of a slice beside its scores.
 * @property {string} name
 * @property {number | null} [file] place of its file among those of the job; null where an archive was sent.
 * @property {string} detail why it was not decided, and the note.
 * @property {string} note how it was read.
 * @property {string} volume "" for a plain image.
 * @property {boolean} has_map
 * @property {boolean | null} has_focus whether the map passes 0.5 anywhere; null without a map.
 * @property {Caution[]} cautions
 * @property {string} description of its DICOM series.
 * @property {string} patient a checksum that studies of one patient share; "" where the file does not say who it is.
 * @property {string} study_date ISO 8601, or "".
 * @property {Geometry | null} geometry
 *
 * @typedef {Scored & SliceFacts & { id: number }} Prediction The prediction for one image or slice; `id` counts from 0
 *   within its job.
 * @typedef {VolumeScored & { volume: string, n_not_brain_mri: number }} VolumePrediction
 *
 * @typedef {object} ReportRequest What a report shall show.
 * @property {{ job: string, folder: string, slices: number[] }[]} slices
 * @property {{ name: string, detail: string }[]} refused files that the service did not take.
 *
 * @typedef {object} Job
 * @property {string} id
 * @property {"queued" | "running" | "done" | "cancelled" | "failed"} state
 * @property {number} done slices that were scored.
 * @property {number | null} total null until the files are listed.
 * @property {number[]} cases of the history, one per prediction, as far as they are kept.
 * @property {ErrorBody | null} error
 * @property {Prediction[]} answers
 * @property {VolumePrediction[]} volumes that they belong to.
 *
 * @typedef {object} ErrorBody
 * @property {string} code
 * @property {string} subject
 * @property {string} rule
 * @property {string} remedy
 *
 * @typedef {object} Limits
 * @property {number} upload_mb
 * @property {number} files
 *
 * @typedef {object} Score A figure with its confidence interval.
 * @property {number} value
 * @property {number} low
 * @property {number} high
 *
 * @typedef {"sensitivity" | "specificity" | "roc_auc"} ScoreName
 *
 * @typedef {object} ModelFacts
 * @property {string} name
 * @property {string} version of brainsift.
 * @property {string} network_sha256
 * @property {number} size side of the network's input, pixels.
 * @property {number} temperature
 * @property {Record<string, Score | undefined>} test
 * @property {{ source: string, part: string, n: number, n_tumor: number, n_groups: number, scores: Record<ScoreName, Score | undefined> }[]} figures
 * @property {{ source: string, contrast: string, part: string, label: number, images: number }[]} data
 * @property {Record<string, { n: number, hit?: Score, energy?: Score, overlap?: Score }>} maps
 * @property {string} notice
 * @property {[title: string, text: string][]} card
 * @property {string} volumes_in_words how the probability of a volume comes about.
 * @property {{ parameters?: number, pretrained?: string, commit?: string }} environment
 * @property {boolean} history whether predictions are kept.
 * @property {boolean} keeps_images
 * @property {Limits} limits
 *
 * @typedef {ModelFacts & Thresholds} Model
 *
 * @typedef {"tumor" | "no_tumor" | "unsure" | "not_brain_mri"} Verdict What a reader says that a case shows.
 *
 * @typedef {object} KeptRecord A case of the history: an image, a slice, or a volume as a whole.
 * @property {number} id
 * @property {string} name
 * @property {Scored["status"]} status
 * @property {number | null} probability
 * @property {"tumor" | "no_tumor" | "refer" | ""} decision
 * @property {"tumor" | "no_tumor" | ""} leaning side of the threshold.
 * @property {number} threshold
 * @property {number} margin
 * @property {string | null} reason a code for `detail`; null in old records.
 * @property {string} detail
 * @property {string} model
 * @property {number} slices of a volume as a whole; 0 for an image or a slice.
 * @property {string} volume of a slice; "" for an image.
 * @property {number | null} part_of of a slice of a volume, the record of the volume.
 * @property {string} created ISO 8601.
 * @property {boolean} picture whether the image is kept.
 * @property {boolean} map whether its tumor map is kept.
 * @property {Caution[]} cautions of an image or a slice.
 * @property {boolean | null} has_focus whether its tumor map passes 0.5 anywhere; null where that is not known.
 * @property {Verdict | null} verdict
 * @property {string} note
 * @property {string} study_date of a DICOM study, ISO 8601; or "".
 * @property {Geometry | null} geometry of an image or a slice; null where it is not known.
 * @property {number} contours that a reader corrected: 0 or 1, or of a volume the number of such slices.
 *
 * @typedef {object} DrawnContour What a reader drew, as runs of a mask; see `Mask.ofRuns`.
 * @property {number[]} runs
 * @property {"empty" | "network"} start
 * @property {number | null} level of the network's contour, where it began with that.
 *
 * @typedef {Record<string, string | number | null | undefined>} Query
 *
 * @typedef {{ status: number, text: string, content?: Blob, retryAfter?: number }} Reply `status` is 0 where the server does not
 *   answer; `content` stands for the text of a file that is no text.
 *
 * @typedef {{ query?: Query, body?: unknown, signal?: AbortSignal, keepalive?: boolean, asFile?: boolean }} Options `asFile`: the
 *   reply is no text.
 */

const WAIT_SECONDS = 20;
const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 8000;
const WATCH_MS = 3000;

export class ApiError extends Error {
  /**
   * @param {number} status of HTTP; 0 where the server did not answer.
   * @param {ErrorBody} body
   */
  constructor(status, { code, subject, rule, remedy }) {
    super(rule);
    this.status = status;
    this.code = code;
    this.subject = subject;
    this.rule = rule;
    this.remedy = remedy;
  }
}

/**
 * Tells when the connection to the server is lost and when it is back.
 *
 * @type {Emitter<{ lost: null, back: null }>}
 */
export const connection = new Emitter();
let lost = false;
export const isLost = () => lost;
let isWatching = false;

/** @param {boolean} value */
function setLost(value) {
  if (lost === value) return;
  lost = value;
  connection.emit(value ? "lost" : "back", null);
  if (lost && !isWatching) watch();
}

/** Asks whether the server is there: of what a browser fetches by itself it does not say why it failed. */
export const probe = async () => setLost((await once("GET", "../../healthz")).status === 0);

/** Asks until the server is back, since nothing else may be asking. */
async function watch() {
  isWatching = true;
  while (lost) {
    await pause(WATCH_MS);
    await probe();
  }
  isWatching = false;
}

/**
 * The address of a resource of the service.
 *
 * @param {string} path
 * @param {Query} [query]
 */
export const address = (path, query = {}) => {
  const url = new URL(path, new URL("api/v1/", document.baseURI));
  for (const [name, value] of Object.entries(query)) {
    if (value !== "" && value !== null && value !== undefined) url.searchParams.set(name, String(value));
  }
  return url.href;
};

/**
 * @param {number} status
 * @param {string} text
 */
function failure(status, text) {
  try {
    const body = JSON.parse(text);
    if (body && body.rule) return new ApiError(status, body);
  } catch {
    // not from the service: a proxy, perhaps
  }
  const remedy = status === 401 ? "Open the page with the address that `brainsift serve` printed." : "Try again.";
  return new ApiError(status, { code: "http", subject: "The server", rule: `answered with status ${status}`, remedy });
}

const notReached = () =>
  new ApiError(0, {
    code: "connection",
    subject: "The server",
    rule: "does not answer",
    remedy: "Check that `brainsift serve` is still running",
  });

/**
 * @param {number} ms
 * @param {AbortSignal} [signal]
 * @returns {Promise<void>}
 */
const pause = (ms, signal) =>
  new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, ms);
    signal?.addEventListener("abort", () => (clearTimeout(timer), reject(signal.reason)), { once: true });
  });

/**
 * Repeats what the server was too busy for or did not get.
 *
 * @param {() => Promise<Reply>} attempt
 * @param {AbortSignal} [signal]
 */
async function insist(attempt, signal) {
  for (let wait = FIRST_PAUSE_MS; ; wait = Math.min(2 * wait, LONGEST_PAUSE_MS)) {
    signal?.throwIfAborted();
    const reply = await attempt();
    setLost(reply.status === 0);
    if (reply.status === 429) await pause(1000 * Math.max(reply.retryAfter || 1, 0.2), signal);
    else if (reply.status === 0 || (reply.status === 503 && reply.retryAfter)) await pause(wait, signal);
    else if (reply.status >= 400) throw failure(reply.status, reply.text);
    else return reply;
  }
}

/**
 * @param {string} method
 * @param {string} path
 * @param {Options} [options]
 * @returns {Promise<Reply>}
 */
async function once(method, path, { query, body, signal, keepalive, asFile = false } = {}) {
  /** @type {HeadersInit} */
  const headers = body === undefined ? {} : { "Content-Type": "application/json" };
  const text = body === undefined ? undefined : JSON.stringify(body);
  try {
    const reply = await fetch(address(path, query), { method, headers, body: text, signal, keepalive });
    const retryAfter = Number(reply.headers.get("Retry-After"));
    if (asFile && reply.ok) return { status: reply.status, text: "", content: await reply.blob(), retryAfter };
    return { status: reply.status, text: await reply.text(), retryAfter };
  } catch (error) {
    if (signal?.aborted) throw error;
    return { status: 0, text: "" };
  }
}

/**
 * @param {string} method
 * @param {string} path
 * @param {Options} [options]
 */
async function call(method, path, options = {}) {
  const reply = await insist(() => once(method, path, options), options.signal);
  return reply.text ? JSON.parse(reply.text) : null;
}

/**
 * A reply; what the user waits for fails at once when the server is away.
 *
 * @param {string} method
 * @param {string} path
 * @param {Options} [options]
 */
async function replyOnce(method, path, options = {}) {
  const reply = await once(method, path, options);
  setLost(reply.status === 0);
  if (reply.status === 0) throw notReached();
  if (reply.status >= 400) throw failure(reply.status, reply.text);
  return reply;
}

/**
 * As `call`, but fails at once when the server is away.
 *
 * @param {string} method
 * @param {string} path
 * @param {Options} [options]
 */
async function callOnce(method, path, options = {}) {
  const { text } = await replyOnce(method, path, options);
  return text ? JSON.parse(text) : null;
}

/**
 * @param {string} url
 * @param {FormData} form
 * @param {(share: number) => void} onprogress
 * @param {AbortSignal} signal
 * @returns {Promise<Reply>}
 */
function send(url, form, onprogress, signal) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest(); // fetch tells no progress of an upload
    request.open("POST", url);
    request.upload.onprogress = (event) => event.lengthComputable && onprogress(event.loaded / event.total);
    request.onload = () => {
      const retryAfter = Number(request.getResponseHeader("Retry-After"));
      resolve({ status: request.status, text: request.responseText, retryAfter });
    };
    request.onerror = () => resolve({ status: 0, text: "" });
    request.onabort = () => reject(signal.reason);
    signal.addEventListener("abort", () => request.abort(), { once: true });
    request.send(form);
  });
}

/**
 * Reads the start of a file itself. In Chromium, a slice of a file that has gone is empty, without an error.
 *
 * @param {File} file
 */
async function begin(file) {
  const reader = file.stream().getReader();
  await reader.read();
  await reader.cancel();
}

/** @param {File[]} files */
async function unreadable(files) {
  const read = await Promise.allSettled(files.map(begin));
  return files.filter((_, place) => read[place].status === "rejected");
}

/** Some files cannot be sent: `files`. */
export class GoneError extends ApiError {
  /** @param {File[]} files */
  constructor(files) {
    super(0, { code: "gone", subject: "The file", rule: "was moved or changed after you picked it", remedy: "Pick it again." });
    this.files = files;
  }
}

/** @type {() => Promise<Model>} */
export const getModel = () => call("GET", "model");

/**
 * Uploads files.
 *
 * @param {File[]} files
 * @param {Query} query
 * @param {{ onprogress: (share: number) => void, signal: AbortSignal }} options
 * @returns {Promise<Job>}
 * @throws {GoneError} if some files are not there any more.
 */
export async function submit(files, query, { onprogress, signal }) {
  const form = new FormData();
  for (const file of files) form.append("files", file, file.name);
  const attempt = async () => {
    const reply = await send(address("jobs", query), form, onprogress, signal);
    const gone = reply.status === 0 ? await unreadable(files) : []; // to a browser the same as a server that is away
    if (gone.length) throw new GoneError(gone);
    return reply;
  };
  const reply = await insist(attempt, signal);
  return JSON.parse(reply.text);
}

/**
 * The job with its predictions from `after` on, as soon as there is news.
 *
 * @type {(id: string, after: number, signal: AbortSignal) => Promise<Job>}
 */
export const follow = (id, after, signal) =>
  call("GET", `jobs/${id}`, { query: { after, wait: WAIT_SECONDS }, signal });

/**
 * The job as it stands; an ApiError with status 404 where the server no longer has it.
 *
 * @type {(id: string, after?: number) => Promise<Job>}
 */
export const look = (id, after = 0) => callOnce("GET", `jobs/${id}`, { query: { after } });

/** @param {string} id of a job. */
export const forget = (id) => callOnce("DELETE", `jobs/${id}`).catch(() => null);

/**
 * The report on slices of jobs as one HTML file; `query` says how they are decided, as for `submit`.
 *
 * @type {(query: Query, body: ReportRequest) => Promise<string>}
 */
export const getReport = async (query, body) => (await replyOnce("POST", "report.html", { query, body })).text;

/**
 * The DICOM objects of the series that slices of jobs belong to, as a ZIP; `query` as for `getReport`.
 *
 * @type {(query: Query, body: ReportRequest) => Promise<Blob>}
 */
export const getDicom = async (query, body) => {
  const { content } = await replyOnce("POST", "dicom.zip", { query, body, asFile: true });
  return /** @type {Blob} */ (content);
};

/** @type {(job: string, n: number, query?: Query) => string} */
export const pictureOf = (job, n, query) => address(`jobs/${job}/slices/${n}/picture.png`, query);

/** @type {(job: string, n: number) => string} */
export const mapOf = (job, n) => address(`jobs/${job}/slices/${n}/map.png`);

/** The tumor maps of the volume of a slice, as NIfTI. @type {(job: string, n: number) => Promise<Blob>} */
export const getMapVolume = async (job, n) => {
  const { content } = await replyOnce("GET", `jobs/${job}/slices/${n}/map.nii.gz`, { asFile: true });
  return /** @type {Blob} */ (content);
};

/** @type {(job: string, n: number) => Promise<Planes>} */
export const getPlanes = (job, n) => callOnce("GET", `jobs/${job}/slices/${n}/planes`);

/** @type {(job: string, n: number, plane: string, number: number, what: "picture" | "map") => string} */
export const planeOf = (job, n, plane, number, what) => address(`jobs/${job}/slices/${n}/planes/${plane}/${number}/${what}.png`);

export const history = {
  /** @type {(query: Query, signal: AbortSignal) => Promise<{ total: number, cases: KeptRecord[] }>} */
  list: (query, signal) => callOnce("GET", "history", { query, signal }),
  /** @type {(id: number) => Promise<KeptRecord>} */
  open: (id) => callOnce("GET", `history/${id}`),
  /** @type {(id: number) => Promise<KeptRecord[]>} */
  slices: (id) => callOnce("GET", `history/${id}/slices`),
  /** @type {() => Promise<(Pick<KeptRecord, "status" | "decision" | "verdict"> & { count: number })[]>} */
  agreement: () => callOnce("GET", "history/agreement"),
  /** Earlier studies of the same patient, the latest first. @type {(id: number) => Promise<KeptRecord[]>} */
  earlier: (id) => callOnce("GET", `history/${id}/earlier`),
  /** @type {(numbers: number[]) => Promise<Record<string, KeptRecord>>} */
  lookup: (numbers) => callOnce("POST", "history/lookup", { body: { numbers } }),
  /** @type {(id: number, verdict: Verdict | null, note: string) => Promise<KeptRecord>} */
  setVerdict: (id, verdict, note) =>
    callOnce("PUT", `history/${id}/verdict`, { body: { verdict, note }, keepalive: true }), // a reload does not end it
  /** @type {(id: number) => Promise<{ size: [number, number] | null, contour: DrawnContour | null }>} */
  contour: (id) => callOnce("GET", `history/${id}/contour`),
  /** @type {(id: number, body: DrawnContour & { width: number, height: number }, keepalive: boolean) => Promise<null>} */
  setContour: (id, body, keepalive) => callOnce("PUT", `history/${id}/contour`, { body, keepalive }),
  /** @type {(id: number) => Promise<null>} */
  removeContour: (id) => callOnce("DELETE", `history/${id}/contour`, { keepalive: true }),
  /** @type {(id: number) => Promise<null>} */
  remove: (id) => callOnce("DELETE", `history/${id}`),
  /** @type {() => Promise<{ deleted: number }>} */
  removeAll: () => callOnce("DELETE", "history"),
  /** @type {(id: number) => string} */
  picture: (id) => address(`history/${id}/picture.png`),
  /** @type {(id: number) => string} */
  map: (id) => address(`history/${id}/map.png`),
  /** @type {(of: "images" | "cases") => string} */
  table: (of) => address("history/export.csv", { of }),
  /** @type {() => string} */
  masks: () => address("history/masks.zip"),
};
