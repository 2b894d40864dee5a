// The table of cases: sort, filter, search; rows stay and are changed in place.

import { connection, pictureOf } from "./api.js";
import { arrange, byId, el, icon, setText, step, unhurried } from "./dom.js";
import { Bar } from "./scale.js";
import { DECISIONS, because, counted, label } from "./words.js";

const PAUSE_MS = 100;
const PAGE = 200; // rows at once; a button shows more
const THUMBNAIL = 96;
const collator = new Intl.Collator("en", { numeric: true, sensitivity: "base" });

const suspicion = (one) => one.probability ?? -1;
const KEYS = {
  order: (a, b) => a.order - b.order,
  name: (a, b) => collator.compare(a.folder + a.name, b.folder + b.name),
  decision: (a, b) => DECISIONS.indexOf(a.decision) - DECISIONS.indexOf(b.decision) || suspicion(b) - suspicion(a),
  probability: (a, b) => suspicion(a) - suspicion(b),
};

export class List {
  #rows = new Map();

  constructor(cases, onopen) {
    this.cases = cases;
    this.onopen = onopen;
    this.sort = { by: "order", down: false };
    this.filter = "all";
    this.query = "";
    this.most = PAGE;
    this.body = byId("case-rows");
    this.refresh = unhurried(() => this.#draw(), PAUSE_MS);
    for (const type of ["added", "changed", "removed", "rule"]) cases.addEventListener(type, () => this.refresh());
    cases.addEventListener("selected", () => this.#mark());
    connection.addEventListener("back", () => this.#rows.forEach((row) => row.showThumb()));
    this.#listen();
  }

  /** The cases that the filter and the search leave, in their order. */
  shown() {
    const words = this.query.toLowerCase().split(/\s+/).filter(Boolean);
    const fits = (one) => {
      const text = `${one.folder}${one.name} ${label(one.decision)} ${one.detail}`.toLowerCase();
      return (this.filter === "all" || one.decision === this.filter) && words.every((word) => text.includes(word));
    };
    const sign = this.sort.down ? -1 : 1;
    return this.cases.all.filter(fits).sort((a, b) => sign * KEYS[this.sort.by](a, b) || a.order - b.order);
  }

  /** Goes to the next (1) or the last (-1) case of the list. */
  step(by) {
    const open = (one) => this.onopen(one, { steps: true });
    step(this.body, this.shown(), { from: this.cases.selected, by, open, rowOf: ({ key }) => this.#rows.get(key) });
  }

  /** Brings a case into view, unless the search or the filter hides it. */
  reveal(one) {
    const place = this.shown().indexOf(one);
    this.most = Math.max(this.most, Math.ceil((place + 1) / PAGE) * PAGE);
    this.#draw();
    if (place >= 0) this.#rows.get(one.key).node.scrollIntoView({ block: "center" });
  }

  #draw() {
    const shown = this.shown();
    const rows = shown.slice(0, this.most).map((one) => this.#row(one));
    arrange(this.body, rows.map((row) => row.node));
    for (const key of this.#rows.keys()) if (!this.cases.byKey.has(key)) this.#rows.delete(key);
    for (const row of rows) row.update();
    this.#mark();
    this.#showCounts();
    const left = shown.length - rows.length;
    if (!left && document.activeElement === byId("more")) rows[this.most - PAGE]?.button.focus(); // the first new one
    byId("more").hidden = left === 0;
    setText(byId("more"), `Show ${Math.min(left, PAGE)} more of ${left}`);
    const nothing = byId("no-match");
    nothing.hidden = shown.length > 0 || !this.cases.all.length;
  }

  #row(one) {
    if (!this.#rows.has(one.key)) this.#rows.set(one.key, new Row(one, () => this.onopen(one)));
    return this.#rows.get(one.key);
  }

  #mark() {
    for (const [key, row] of this.#rows) row.select(this.cases.selected?.key === key);
  }

  #showCounts() {
    const counts = { all: this.cases.all.length, ...this.cases.counts() };
    for (const chip of document.querySelectorAll("#filters button")) {
      const { filter } = chip.dataset;
      setText(chip.querySelector(".count"), counts[filter].toLocaleString("en"));
      chip.setAttribute("aria-pressed", String(filter === this.filter));
      chip.hidden = filter === "unreadable" && !counts.unreadable && this.filter !== filter;
    }
  }

  #listen() {
    byId("search").addEventListener("input", (event) => {
      this.query = event.target.value;
      this.most = PAGE;
      this.refresh();
    });
    byId("filters").addEventListener("click", (event) => {
      const chip = event.target.closest("button");
      if (!chip) return;
      this.filter = chip.dataset.filter;
      this.most = PAGE;
      this.refresh();
    });
    byId("reset-filters").addEventListener("click", () => {
      this.filter = "all";
      this.query = byId("search").value = "";
      this.refresh();
      byId("search").focus();
    });
    byId("more").addEventListener("click", () => {
      this.most += PAGE;
      this.refresh();
    });
    for (const head of document.querySelectorAll("#case-table th[data-by]")) {
      head.querySelector("button").addEventListener("click", () => this.#sortBy(head.dataset.by));
    }
  }

  /** First click: the most telling end first; second: the other; third: the order of arrival. */
  #sortBy(by) {
    const first = by === "probability";
    if (this.sort.by !== by) this.sort = { by, down: first };
    else if (this.sort.down === first) this.sort = { by, down: !first };
    else this.sort = { by: "order", down: false };
    for (const head of document.querySelectorAll("#case-table th[data-by]")) {
      const here = head.dataset.by === this.sort.by;
      if (here) head.setAttribute("aria-sort", this.sort.down ? "descending" : "ascending");
      else head.removeAttribute("aria-sort");
    }
    this.refresh();
  }
}

/** The glyph and the word of a decision; the glyphs differ in shape, not only in colour. */
export const decisionCell = (decision) =>
  el("span", { class: "decision", "data-decision": decision }, icon(decision), el("span", {}, label(decision)));

class Row {
  constructor(one, open) {
    this.one = one;
    this.bar = new Bar();
    this.thumb = el("span", { class: "thumb" });
    this.name = el("span", { class: "case-name", title: one.folder + one.name }, one.name);
    this.sub = el("span", { class: "case-sub" });
    this.told = el("span", { class: "case-told" }); // the decision, where there is no room for its column
    this.button = el("button", { class: "case-open", onclick: open }, this.name);
    this.decision = el("td", { class: "cell-decision" });
    this.slices = el("td", { class: "cell-slices wide-only" });
    this.why = el("td", { class: "cell-why wide-only" });
    const words = el("span", { class: "case-words" }, this.button, el("span", { class: "case-line" }, this.told, this.sub));
    const first = el("th", { scope: "row", class: "cell-case" }, el("span", { class: "case-cell" }, this.thumb, words));
    this.node = el("tr", {}, first, this.decision, el("td", { class: "cell-probability" }, this.bar.node), this.slices, this.why);
  }

  update() {
    const { one } = this;
    const said = `${one.decision}/${one.probability}/${one.rule.threshold}/${one.answers.length}/${one.place}`;
    if (said === this.said) return;
    this.said = said;
    this.bar.show(one, one.rule);
    this.decision.replaceChildren(decisionCell(one.decision));
    this.told.replaceChildren(decisionCell(one.decision));
    const slices = one.isVolume ? counted(one.answers.length, "slice") : "";
    const where = [one.folder.replace(/\/$/, ""), slices].filter(Boolean).join(" · ");
    setText(this.sub, where || because(one));
    this.sub.classList.toggle("is-reason", !where);
    setText(this.slices, one.status === "unreadable" && !one.isVolume ? "–" : String(one.answers.length));
    setText(this.why, because(one));
    this.showThumb();
  }

  select(yes) {
    this.node.classList.toggle("selected", yes);
    if (yes) this.button.setAttribute("aria-current", "true");
    else this.button.removeAttribute("aria-current");
  }

  showThumb() {
    const { one } = this;
    if (one.status === "unreadable" || !one.job) {
      this.thumb.replaceChildren(icon("unreadable"));
      return;
    }
    const src = pictureOf(one.job, one.answers[one.suspicious[0] ?? one.place].id, { side: THUMBNAIL });
    if (this.thumb.firstChild?.src === src) return;
    const image = el("img", { src, alt: "", loading: "lazy", decoding: "async", width: 44, height: 44 });
    image.addEventListener("error", () => this.thumb.replaceChildren(), { once: true });
    this.thumb.replaceChildren(image);
  }
}
