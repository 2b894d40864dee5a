// What was scored before, where the server keeps it: search, open, judge, delete, export.

import { history as api } from "./api.js";
import { announce, byId, confirmed, el, setText } from "./dom.js";
import { decisionCell } from "./list.js";
import { Bar, Scale } from "./scale.js";
import { Stage } from "./stage.js";
import { VerdictForm } from "./verdict.js";
import { because, counted, explain, inWords, moment, number, reason } from "./words.js";

const PAGE = 50;
const PAUSE_MS = 200;
const VERDICTS = { agree: "Agree", disagree: "Disagree", unsure: "Unsure" };

export class HistoryView {
  #timer = 0;
  #asked = null;

  constructor(model) {
    this.model = model;
    this.rows = new Map();
    this.selected = null;
    this.total = 0;
    byId("history-off").hidden = model.history;
    byId("history-on").hidden = !model.history;
    if (!model.history) return;
    this.stage = new Stage();
    this.stage.setScrolls(false);
    this.scale = new Scale();
    this.verdict = new VerdictForm((saved) => this.#saved(saved));
    byId("history-stage").append(this.stage.node);
    byId("history-scale").append(this.scale.node);
    byId("history-tools").append(this.stage.tools);
    byId("history-verdict").append(this.verdict.node);
    byId("history-export").href = api.table();
    this.#listen();
  }

  /** Reads the newest cases; called whenever the view is opened. */
  refresh() {
    return this.model.history ? this.#load(0) : undefined;
  }

  #listen() {
    byId("history-search").addEventListener("input", () => {
      clearTimeout(this.#timer);
      this.#timer = setTimeout(() => this.#load(0), PAUSE_MS);
    });
    for (const id of ["history-decision", "history-verdicts"]) byId(id).addEventListener("change", () => this.#load(0));
    byId("history-more").addEventListener("click", () => this.#load(this.rows.size));
    byId("history-delete").addEventListener("click", () => this.#remove());
    byId("history-delete-all").addEventListener("click", () => this.#removeAll());
    byId("history-back").addEventListener("click", () => this.#open(null));
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
    if (!offset) this.rows.clear();
    for (const one of cases) this.rows.set(one.id, this.#row(one));
    this.total = total;
    byId("history-error").hidden = true;
    byId("history-rows").replaceChildren(...[...this.rows.values()].map((row) => row.node));
    this.#showTotal();
    if (this.selected && !this.rows.has(this.selected.id)) this.#open(null);
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
    bar.show(one, { threshold: one.threshold, margin: 0 });
    const title = el("span", { class: "case-name", title: one.name }, one.name);
    const button = el("button", { class: "case-open", onclick: () => this.#open(one.id) }, title);
    const words = el("span", { class: "case-words" }, button, el("span", { class: "case-sub" }, moment(one.created)));
    const verdict = el("td", { class: "cell-verdict" });
    const node = el(
      "tr",
      {},
      el("th", { scope: "row", class: "cell-case" }, words),
      el("td", { class: "cell-decision" }, decisionCell(one.decision || "unreadable")),
      el("td", { class: "cell-probability" }, bar.node),
      verdict,
    );
    const row = { one, node, button, verdict };
    showVerdict(row);
    return row;
  }

  async #open(id) {
    this.selected = id ? this.rows.get(id).one : null;
    this.#mark();
    byId("history-on").dataset.pane = id ? "case" : "list";
    byId("history-none").hidden = Boolean(id);
    byId("history-body").hidden = !id;
    if (!id) return;
    const { selected: one } = this;
    this.#showCase(one);
    if (!one.picture) {
      this.stage.say("Its image was not kept. The server keeps images when it is started with --keep-images.");
      return;
    }
    const mapUrl = one.map === false ? null : api.map(id);
    await this.stage.show({ pictureUrl: api.picture(id), mapUrl, words: one.name });
  }

  #showCase(one) {
    const rule = { threshold: one.threshold, margin: 0 };
    const decision = one.decision || "unreadable";
    setText(byId("history-title"), one.name);
    byId("history-title").title = one.name;
    setText(byId("history-when"), `${moment(one.created)} · network ${one.model}`);
    byId("history-answer").dataset.decision = decision;
    byId("history-decision-word").replaceChildren(decisionCell(decision));
    setText(byId("history-number"), one.probability === null ? "" : number(one.probability));
    setText(byId("history-words"), explain({ ...one, decision }, rule));
    const why = reason(one.detail ?? "");
    byId("history-reason").hidden = !why;
    setText(byId("history-reason"), because({ status: one.status, detail: why }));
    this.scale.show({ ...one, decision }, rule);
    byId("history-verdict").hidden = one.status === "unreadable";
    this.verdict.show(one);
  }

  #mark() {
    for (const [id, row] of this.rows) {
      row.node.classList.toggle("selected", id === this.selected?.id);
      if (id === this.selected?.id) row.button.setAttribute("aria-current", "true");
      else row.button.removeAttribute("aria-current");
    }
  }

  #saved(saved) {
    const row = this.rows.get(saved.id);
    if (!row) return;
    Object.assign(row.one, saved);
    showVerdict(row);
  }

  async #remove() {
    const { selected: one } = this;
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
      this.#open(null);
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
