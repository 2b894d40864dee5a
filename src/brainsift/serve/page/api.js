// The REST service, as the page uses it. Every failure is an ApiError with the rule and the remedy.

const BASE = new URL("api/v1/", document.baseURI);
const WAIT_SECONDS = 20;
const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 8000;
const WATCH_MS = 3000;

export class ApiError extends Error {
  constructor(status, body) {
    super(body.rule);
    Object.assign(this, { status, code: body.code, subject: body.subject, rule: body.rule, remedy: body.remedy });
    this.requestId = body.request_id ?? "";
  }
}

/** Tells when the connection to the server is lost ("lost") and when it is back ("back"). */
export const connection = new EventTarget();
let lost = false;
export const isLost = () => lost;
let watch = null;

function setLost(value) {
  if (lost === value) return;
  lost = value;
  connection.dispatchEvent(new Event(value ? "lost" : "back"));
  if (lost) watch ??= untilBack().finally(() => (watch = null));
}

/** Asks whether the server is there: of what a browser fetches by itself it does not say why it failed. */
export const probe = async () => setLost((await once("GET", "../../healthz")).status === 0);

/** Asks until it is back, since nothing else may be asking. */
async function untilBack() {
  while (lost) {
    await pause(WATCH_MS);
    await probe();
  }
}

export const address = (path, query = {}) => {
  const url = new URL(path, BASE);
  for (const [name, value] of Object.entries(query)) {
    if (value !== "" && value !== null && value !== undefined) url.searchParams.set(name, value);
  }
  return url.href;
};

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

const gone = () =>
  new ApiError(0, {
    code: "connection",
    subject: "The server",
    rule: "does not answer",
    remedy: "Check that `brainsift serve` still runs",
  });

const pause = (ms, signal) =>
  new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, ms);
    signal?.addEventListener("abort", () => (clearTimeout(timer), reject(signal.reason)), { once: true });
  });

/** Repeats what the server was too busy for or did not hear; `attempt` returns {status, text, retryAfter}. */
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

async function once(method, path, { query, body, signal, keepalive } = {}) {
  const headers = body === undefined ? {} : { "Content-Type": "application/json" };
  const text = body === undefined ? undefined : JSON.stringify(body);
  try {
    const reply = await fetch(address(path, query), { method, headers, body: text, signal, keepalive });
    return { status: reply.status, text: await reply.text(), retryAfter: Number(reply.headers.get("Retry-After")) };
  } catch (error) {
    if (signal?.aborted) throw error;
    return { status: 0, text: "" };
  }
}

async function call(method, path, options = {}) {
  const reply = await insist(() => once(method, path, options), options.signal);
  return reply.text ? JSON.parse(reply.text) : null;
}

/** The text of a reply; what the user waits for fails at once when the server is away. */
async function textOnce(method, path, options = {}) {
  const reply = await once(method, path, options);
  setLost(reply.status === 0);
  if (reply.status === 0) throw gone();
  if (reply.status >= 400) throw failure(reply.status, reply.text);
  return reply.text;
}

async function callOnce(method, path, options = {}) {
  const text = await textOnce(method, path, options);
  return text ? JSON.parse(text) : null;
}

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

/** Reads the start of a file. Not of a slice: in Chromium one of a file that is gone is empty, and no error. */
async function begin(file) {
  const reader = file.stream().getReader();
  await reader.read();
  await reader.cancel();
}

async function unreadable(files) {
  const read = await Promise.allSettled(files.map(begin));
  return files.filter((_, place) => read[place].status === "rejected");
}

/** Files that cannot be sent: `files` are those. */
export class GoneError extends ApiError {
  constructor(files) {
    super(0, { code: "gone", subject: "It", rule: "was moved or changed after it was picked", remedy: "Pick it again." });
    this.files = files;
  }
}

export const getModel = () => call("GET", "model");

/** Hands files over; resolves to the job. A GoneError where some are not there any more. */
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

/** The job with its answers from `after` on, as soon as there is news. */
export const follow = (id, after, signal) =>
  call("GET", `jobs/${id}`, { query: { after, wait: WAIT_SECONDS }, signal });

/** The job as it stands; an ApiError with status 404 where it is gone. */
export const look = (id, after = 0) => callOnce("GET", `jobs/${id}`, { query: { after } });

export const forget = (id) => callOnce("DELETE", `jobs/${id}`).catch(() => null);

/** The report on slices of jobs as one HTML file; `query` says how they are decided, as for `submit`. */
export const report = (query, body) => textOnce("POST", "report.html", { query, body });

export const pictureOf = (job, n, query) => address(`jobs/${job}/slices/${n}/picture.png`, query);
export const mapOf = (job, n) => address(`jobs/${job}/slices/${n}/map.png`);

export const history = {
  list: (query, signal) => callOnce("GET", "history", { query, signal }),
  open: (id) => callOnce("GET", `history/${encodeURIComponent(id)}`),
  slices: (id) => callOnce("GET", `history/${encodeURIComponent(id)}/slices`),
  setVerdict: (id, verdict, note) =>
    callOnce("PUT", `history/${encodeURIComponent(id)}/verdict`, { body: { verdict, note }, keepalive: true }), // a reload does not end it
  remove: (id) => callOnce("DELETE", `history/${encodeURIComponent(id)}`),
  removeAll: () => callOnce("DELETE", "history"),
  picture: (id) => address(`history/${encodeURIComponent(id)}/picture.png`),
  map: (id) => address(`history/${encodeURIComponent(id)}/map.png`),
  table: (of) => address("history/export.csv", { of }),
};
