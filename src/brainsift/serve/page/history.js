// @ts-check
// What was scored before, where the server keeps it: search, open, judge, delete, export.

/** @import { KeptRecord, Model } from "./api.js" */
/** @import { Offer } from "./compare.js" */
/** @import { Decision } from "./decide.js" */
/** @import { RowNodes } from "./dom.js" */

import { compare } from "./agreement.js";
import { ApiError, history as api } from "./api.js";
import { attentionOf } from "./attention.js";
import { blind, isHidden } from "./blind.js";
import { Case } from "./cases.js";
import { contours } from "./correction.js";
import { mostSuspicious } from "./decide.js";
import { announce, arrange, byId, closeByItself, confirm, el, setText, step, throttled } from "./dom.js";
import { HIDDEN, decisionCell, nextUnjudged } from "./list.js";
import { Bar } from "./scale.js";
import { TwoByTwo } from "./two_by_two.js";
import { VERDICTS, verdicts } from "./verdict.js";
import { count, counted, inWords, moment } from "./words.js";

const PAGE = 50;
const PAUSE_MS = 200;
const COUNT_PAUSE_MS = 500;

/** @typedef {RowNodes & { one: KeptRecord, verdict: HTMLElement }} Row */

/** @param {KeptRecord} one */
const ruleOf = ({ threshold, margin }) => ({ threshold, margin });
/** @type {(one: Pick<KeptRecord, "status" | "decision">) => Decision} */
const decisionOf = ({ status, decision }) => (status === "not_brain_mri" ? status : decision || "unreadable");

/** A case of the history: decided as it was when it was scored. */
class KeptCase extends Case {
  /**
   * @param {KeptRecord} whole
   * @param {KeptRecord[]} slices of a volume.
   */
  constructor(whole, slices) {
    super(`kept/${whole.id}`, { name: whole.name });
    this.kept = { whole, slices };
    this.whole = this.record = whole;
    this.records = slices.length ? slices : [whole];
    this.slices = this.records.map((one) => {
      const { id, name, status, probability, reason, volume, map, detail, has_focus, cautions } = one;
      const facts = { note: "", has_map: map, has_focus, cautions, description: "", patient: "", study_date: one.study_date, geometry: one.geometry };
      return { id, name, status, probability, logit: null, reason, volume, detail, decision: decisionOf(one), ...facts };
    });
    this.sliceRule = ruleOf(this.records[0]);
    this.rule = ruleOf(whole);
    this.status = whole.status;
    this.probability = whole.probability;
    this.decision = decisionOf(whole);
    this.reason = whole.reason;
    this.refused = whole.reason === "not_taken";
    this.detail = whole.detail;
    this.suspicious = mostSuspicious(this.slices);
    this.nScored = this.slices.filter((one) => one.status === "ok").length;
    this.attention = attentionOf(this);
  }

  get where() {
    return `${moment(this.whole.created)} · network ${this.whole.model}`;
  }

  get isVolume() {
    return this.whole.slices > 0;
  }

  /** @param {number} place */
  layers(place) {
    const { id, picture, map } = this.records[place];
    return { pictureUrl: picture ? api.picture(id) : null, mapUrl: map ? api.map(id) : null };
  }
}

/**
 * Reads a case with its slices.
 *
 * @param {KeptRecord} one as it is known; it is brought up to date.
 */
async function openKept(one) {
  const [now, slices] = await Promise.all([api.open(one.id), one.slices ? api.slices(one.id) : []]);
  return new KeptCase(Object.assign(one, now), slices);
}

/** What a case is offered as, to compare another one with. @param {KeptRecord} one @returns {Offer} */
export const offerOfKept = (one) => ({ name: one.name, slices: one.slices, studyDate: one.study_date, open: () => openKept(one) });

export class HistoryView {
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  /** @type {AbortController | null} */
  #request = null;
  #opening = 0;
  #judged = 0;
  #count = throttled(() => this.#compare(), COUNT_PAUSE_MS);
  /** @type {Map<number, Row>} */
  rows = new Map();
  /** @type {number | null} */
  selected = null;
  total = 0;

  /**
   * @param {Model} model
   * @param {(one: Case | null) => void} onopen shows a case, or that there is none.
   */
  constructor(model, onopen) {
    this.model = model;
    this.onopen = onopen;
    byId("history-off").hidden = model.history;
    byId("history-on").hidden = !model.history;
    if (!model.history) return;
    this.table = new TwoByTwo(byId("history-judged-results"), { prefix: "history-judged", at: "of the whole history, at the thresholds that decided the cases" });
    closeByItself(byId("history-export", HTMLDetailsElement));
    byId("export-images", HTMLAnchorElement).href = api.table("images");
    byId("export-cases", HTMLAnchorElement).href = api.table("cases");
    byId("export-masks", HTMLAnchorElement).href = api.masks();
    this.#listen();
  }

  /** Reads the newest cases; called whenever the view is opened. */
  refresh() {
    if (!this.model.history) return;
    this.open(this.selected);
    this.#load(0);
  }

  /** Compares all decisions with the verdicts: of the whole history, whatever the list shows. */
  async #compare() {
    const groups = await api.agreement().catch(() => null); // the list says why
    if (!groups) return;
    const found = compare(groups.map((one) => ({ ...one, decision: decisionOf(one) })));
    setText(byId("history-judged-count"), `${count(found.judged)} of ${count(found.total)} judged`);
    byId("history-judged-none").hidden = found.judged > 0;
    this.table?.show(found);
  }

  #listen() {
    byId("history-search").addEventListener("input", () => {
      clearTimeout(this.#timer);
      this.#timer = setTimeout(() => this.#load(0), PAUSE_MS);
    });
    for (const id of ["history-decision", "history-verdicts"]) byId(id).addEventListener("change", () => this.#load(0));
    byId("history-more").addEventListener("click", () => this.#load(this.rows.size));
    byId("delete-case").addEventListener("click", () => this.#remove());
    byId("history-delete-all").addEventListener("click", () => this.#removeAll());
    verdicts.on("saved", (one) => this.#update(one));
    contours.on("saved", (one) => this.#update(one));
    blind.on("switched", () => this.#redraw());
  }

  /**
   * Goes to another case of the list.
   *
   * @param {number} by 1 for the next, -1 for the one before.
   */
  step(by) {
    const [from, ids] = [this.selected, [...this.rows.keys()]];
    step(byId("history-rows"), ids, { from, by, open: (id) => this.open(id), rowOf: (id) => this.rows.get(id) });
  }

  /** Goes to the next case without a verdict. */
  stepToUnjudged() {
    const kept = [...this.rows.values()].map(({ one }) => one);
    const next = nextUnjudged(kept, kept.findIndex(({ id }) => id === this.selected));
    if (next) this.step([...this.rows.keys()].indexOf(next.id) - [...this.rows.keys()].indexOf(this.selected ?? -1));
    else announce("All cases of this list are judged.");
  }

  /**
   * What a case can be compared with: the others of the list.
   *
   * @param {Case} open
   */
  offers(open) {
    return [...this.rows.values()].filter(({ one }) => one.id !== open.record?.id).map(({ one }) => offerOfKept(one));
  }

  /** What narrows the list down: the search and the two filters. */
  #wanted() {
    return {
      query: byId("history-search", HTMLInputElement).value.trim(),
      decision: byId("history-decision", HTMLSelectElement).value,
      verdict: byId("history-verdicts", HTMLSelectElement).value,
    };
  }

  /** @param {number} offset how many cases to leave out at the top. */
  async #load(offset) {
    this.#request?.abort();
    this.#request = new AbortController();
    const { signal } = this.#request;
    try {
      const wanted = this.#wanted();
      const [{ total, cases }, open] = await Promise.all([
        api.list({ ...wanted, limit: PAGE, offset }, signal),
        wanted.verdict ? null : api.list({ ...wanted, verdict: "none", limit: 1 }, signal),
      ]);
      this.#judged = open ? total - open.total : wanted.verdict === "none" ? 0 : total;
      this.#show(total, cases, offset);
    } catch (error) {
      if (!signal.aborted) this.#fail(error);
    }
  }

  /**
   * @param {number} total
   * @param {KeptRecord[]} cases
   * @param {number} offset
   */
  #show(total, cases, offset) {
    const wasMore = offset > 0 && document.activeElement === byId("history-more");
    if (!offset) this.rows.clear();
    for (const one of cases) this.rows.set(one.id, this.#row(one));
    this.total = total;
    byId("history-error").hidden = true;
    arrange(byId("history-rows"), [...this.rows.values()].map((row) => row.node));
    this.#showTotal();
    if (wasMore && byId("history-more").hidden) this.rows.get(cases[0]?.id)?.button.focus();
    if (this.selected && !this.rows.has(this.selected)) this.open(null);
    else this.#mark();
  }

  #showTotal() {
    this.#count();
    setText(byId("history-total"), `${counted(this.total, "case")}, ${count(this.#judged)} judged`);
    byId("history-more").hidden = this.rows.size >= this.total;
    byId("history-empty").hidden = this.total > 0;
    const narrowed = Object.values(this.#wanted()).some(Boolean);
    setText(byId("history-empty"), narrowed ? "No case matches the search and the filters." : "No cases yet. The server keeps what you score from now on.");
    byId("history-delete-all", HTMLButtonElement).disabled = !this.total && !narrowed;
  }

  /**
   * @param {KeptRecord} one
   * @returns {Row}
   */
  #row(one) {
    const bar = new Bar();
    const hides = isHidden(one);
    const decision = hides ? HIDDEN : decisionOf(one);
    bar.show({ probability: hides ? null : one.probability, decision }, ruleOf(one));
    const title = el("span", { class: "case-name", title: one.name }, one.name);
    const button = el("button", { class: "case-open", onclick: () => this.#pick(one.id) }, title);
    const sub = [moment(one.created), one.slices ? counted(one.slices, "slice") : ""].filter(Boolean).join(" · ");
    const line = [el("span", { class: "case-decision" }, decisionCell(decision)), el("span", { class: "case-sub" }, sub)];
    const words = el("span", { class: "case-words" }, button, el("span", { class: "case-line" }, line));
    const verdict = el("td", { class: "cell-verdict" });
    const node = el(
      "tr",
      {},
      el("th", { scope: "row", class: "cell-case" }, words),
      el("td", { class: "cell-probability" }, bar.node),
      verdict,
    );
    const row = { one, node, button, verdict };
    showVerdict(row);
    return row;
  }

  /**
   * Opens a case; picked again, it takes the focus.
   *
   * @param {number} id
   */
  async #pick(id) {
    const again = id === this.selected;
    await this.open(id);
    if (again) byId("case-title").focus();
  }

  /** @param {number | null} id */
  async open(id) {
    this.selected = id;
    this.#opening += 1;
    const turn = this.#opening;
    this.#mark();
    const one = id !== null && this.rows.get(id)?.one;
    if (id === null || !one) {
      this.onopen(null);
      return;
    }
    try {
      const opened = await openKept(one);
      if (turn === this.#opening) this.onopen(opened);
    } catch (error) {
      if (error instanceof ApiError && error.status === 404) this.#drop(id); // deleted elsewhere
      this.#fail(error);
    }
  }

  /** @param {number} id */
  #drop(id) {
    const row = this.rows.get(id);
    if (!row) return;
    row.node.remove();
    this.rows.delete(id);
    this.total -= 1;
    this.#showTotal();
    if (this.selected === id) this.open(null);
  }

  #mark() {
    for (const [id, row] of this.rows) {
      row.node.classList.toggle("selected", id === this.selected);
      if (id === this.selected) row.button.setAttribute("aria-current", "true");
      else row.button.removeAttribute("aria-current");
    }
  }

  /** @param {KeptRecord} saved with its new verdict. */
  #update(saved) {
    const row = this.rows.get(saved.id);
    if (!row) return;
    if ((row.one.verdict === null) !== (saved.verdict === null)) this.#judged += saved.verdict === null ? -1 : 1;
    Object.assign(row.one, saved);
    this.#showTotal();
    if (blind.isOn) this.#redraw();
    else showVerdict(row);
  }

  /** Draws all rows anew: what is hidden has changed. */
  #redraw() {
    for (const [id, { one }] of this.rows) this.rows.set(id, this.#row(one));
    arrange(byId("history-rows"), [...this.rows.values()].map((row) => row.node));
    this.#mark();
  }

  async #remove() {
    const one = this.selected !== null && this.rows.get(this.selected)?.one;
    if (!one) return;
    const text = `“${one.name}” and your verdict on it will be removed from this server. This cannot be undone.`;
    if (!(await confirm({ title: "Delete this case?", text, action: "Delete" }))) return;
    await this.#deleting(async () => {
      await api.remove(one.id);
      announce(`${one.name} deleted`);
    });
  }

  async #removeAll() {
    const text = "All kept cases, images and verdicts will be removed from this server. This cannot be undone.";
    if (!(await confirm({ title: "Delete the whole history?", text, action: "Delete all" }))) return;
    await this.#deleting(async () => {
      const { deleted } = await api.removeAll();
      announce(`${counted(deleted, "case")} deleted`);
    });
  }

  /** @param {() => Promise<void>} act */
  async #deleting(act) {
    try {
      await act();
      this.open(null);
      await this.#load(0);
      byId("history-search").focus();
    } catch (error) {
      this.#fail(error);
    }
  }

  /** @param {unknown} error */
  #fail(error) {
    byId("history-error").hidden = false;
    setText(byId("history-error"), inWords(error));
  }
}

/** @param {Row} row */
function showVerdict({ one, verdict }) {
  const shown = one.verdict ? el("span", { class: "badge", "data-verdict": one.verdict }, VERDICTS[one.verdict]) : "";
  const drawn = one.contours ? el("span", { class: "has-note" }, one.slices ? counted(one.contours, "contour") : "contour") : "";
  verdict.replaceChildren(shown, one.note ? el("span", { class: "has-note", title: one.note }, "note") : "", drawn);
}
