// What was scored before, where the server keeps it: search, open, judge, delete, export.

import { history as api } from "./api.js";
import { Case } from "./cases.js";
import { summarise } from "./decide.js";
import { announce, arrange, byId, closing, confirmed, el, setText, step } from "./dom.js";
import { decisionCell } from "./list.js";
import { Bar } from "./scale.js";
import { counted, inWords, moment, reason } from "./words.js";

const PAGE = 50;
const PAUSE_MS = 200;
const VERDICTS = { agree: "Agree", disagree: "Disagree", unsure: "Unsure" };

const ruleOf = ({ threshold, margin }) => ({ threshold, margin });
const decisionOf = ({ decision }) => decision || "unreadable";

/** A case of the history: decided as it was when it was scored. */
class KeptCase extends Case {
  constructor(whole, slices) {
    super(`kept/${whole.id}`, { name: whole.name });
    this.kept = Promise.resolve({ whole, slices });
    this.whole = whole;
    this.answers = slices.length ? slices : [whole];
    this.slices = this.answers.map((one) => ({ ...one, decision: decisionOf(one), detail: reason(one.detail) }));
    this.sliceRule = ruleOf(this.answers[0]);
    this.rule = ruleOf(whole);
    const { status, probability } = whole;
    Object.assign(this, { status, probability, decision: decisionOf(whole), detail: reason(whole.detail) });
    const { suspicious, nScored } = summarise(this.answers, this.rule);
    Object.assign(this, { suspicious, nScored });
  }

  get where() {
    return `${moment(this.whole.created)} · network ${this.whole.model}`;
  }

  get isVolume() {
    return this.whole.slices > 0;
  }

  layers({ id, picture, map }) {
    return { pictureUrl: picture ? api.picture(id) : null, mapUrl: map ? api.map(id) : null };
  }
}

export class HistoryView {
  #timer = 0;
  #asked = null;
  #opening = 0;

  /** `onopen(case)` shows a case, or with null that there is none. */
  constructor(model, onopen) {
    this.model = model;
    this.onopen = onopen;
    this.rows = new Map();
    this.selected = null;
    this.total = 0;
    byId("history-off").hidden = model.history;
    byId("history-on").hidden = !model.history;
    if (!model.history) return;
    closing(byId("history-export"));
    byId("export-images").href = api.table("images");
    byId("export-cases").href = api.table("cases");
    this.#listen();
  }

  /** Reads the newest cases; called whenever the view is opened. */
  refresh() {
    if (!this.model.history) return undefined;
    this.open(this.selected);
    return this.#load(0);
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
    document.addEventListener("judged", ({ detail }) => this.#judged(detail));
  }

  /** Goes to the next (1) or the last (-1) case of the list. */
  step(by) {
    const open = (id) => this.open(id);
    step(byId("history-rows"), [...this.rows.keys()], { from: this.selected, by, open, rowOf: (id) => this.rows.get(id) });
  }

  async #load(offset) {
    this.#asked?.abort();
    this.#asked = new AbortController();
    const query = {
      query: byId("history-search").value.trim(),
      decision: byId("history-decision").value,
      verdict: byId("history-verdicts").value,
      limit: PAGE,
      offset,
    };
    try {
      const { total, cases } = await api.list(query, this.#asked.signal);
      this.#show(total, cases, offset);
    } catch (error) {
      if (error.name !== "AbortError") this.#fail(error);
    }
  }

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
    setText(byId("history-total"), counted(this.total, "case"));
    byId("history-more").hidden = this.rows.size >= this.total;
    byId("history-empty").hidden = this.total > 0;
    const narrowed = ["history-search", "history-decision", "history-verdicts"].some((id) => byId(id).value);
    setText(byId("history-empty"), narrowed ? "No kept case fits." : "Nothing yet. What you score from now on is kept here.");
    byId("history-delete-all").disabled = !this.total && !narrowed;
  }

  #row(one) {
    const bar = new Bar();
    bar.show(one, ruleOf(one));
    const title = el("span", { class: "case-name", title: one.name }, one.name);
    const button = el("button", { class: "case-open", onclick: () => this.#pick(one.id) }, title);
    const sub = [moment(one.created), one.slices ? counted(one.slices, "slice") : ""].filter(Boolean).join(" · ");
    const told = el("span", { class: "case-told" }, decisionCell(decisionOf(one)));
    const words = el("span", { class: "case-words" }, button, el("span", { class: "case-line" }, told, el("span", { class: "case-sub" }, sub)));
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

  /** Opens a case; picked again, it takes the focus. */
  async #pick(id) {
    const again = id === this.selected;
    await this.open(id);
    if (again) byId("case-title").focus();
  }

  async open(id) {
    this.selected = id;
    this.#opening += 1;
    const turn = this.#opening;
    this.#mark();
    if (!id) return this.onopen(null);
    const { one } = this.rows.get(id);
    try {
      const [now, slices] = await Promise.all([api.open(id), one.slices ? api.slices(id) : []]);
      if (turn === this.#opening) this.onopen(new KeptCase(Object.assign(one, now), slices));
    } catch (error) {
      if (error.status === 404) this.#drop(id); // deleted elsewhere
      this.#fail(error);
    }
    return undefined;
  }

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

  #judged(saved) {
    const row = this.rows.get(saved.id);
    if (!row) return;
    Object.assign(row.one, saved);
    showVerdict(row);
  }

  async #remove() {
    const one = this.rows.get(this.selected)?.one;
    if (!one) return;
    const text = `“${one.name}” and your verdict on it are removed from this server. This cannot be undone.`;
    if (!(await confirmed({ title: "Delete this case?", text, action: "Delete" }))) return;
    await this.#deleting(async () => {
      await api.remove(one.id);
      announce(`${one.name} deleted`);
    });
  }

  async #removeAll() {
    const text = "All kept cases, images and verdicts are removed from this server. This cannot be undone.";
    if (!(await confirmed({ title: "Delete the whole history?", text, action: "Delete all" }))) return;
    await this.#deleting(async () => {
      const { deleted } = await api.removeAll();
      announce(`${counted(deleted, "case")} deleted`);
    });
  }

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

  #fail(error) {
    byId("history-error").hidden = false;
    setText(byId("history-error"), inWords(error));
  }
}

function showVerdict({ one, verdict }) {
  const shown = one.verdict ? el("span", { class: "badge", "data-verdict": one.verdict }, VERDICTS[one.verdict]) : "";
  verdict.replaceChildren(shown, one.note ? el("span", { class: "has-note", title: one.note }, "note") : "");
}
