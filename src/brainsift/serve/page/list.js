// @ts-check
// The table of cases: sort, filter, search. Rows in view are in the document; they stay and are changed in place.

/** @import { Case, Cases } from "./cases.js" */
/** @import { Span } from "./inview.js" */
/** @import { Sort, SortKey } from "./sorting.js" */

import { connection, pictureOf } from "./api.js";
import { isUnconfirmed } from "./attention.js";
import { blind, isHidden } from "./blind.js";
import { all, announce, arrange, byId, el, first, icon, setText, step, throttled } from "./dom.js";
import { spansInView } from "./inview.js";
import { Bar } from "./scale.js";
import { recall, remember } from "./stored.js";
import { VERDICTS } from "./verdict.js";
import { AS_ADDED, NEAREST, filter, nextSort, sort } from "./sorting.js";
import { SUSPICIOUS, attentionInWords, because, count, counted, label } from "./words.js";

const PAUSE_MS = 100;
const FEW = 60; // cases whose rows are all drawn
const KEPT = 300; // rows that are ready again when the reader scrolls back
const ROW = 40; // pixels, until one is measured
const THUMBNAIL = 192; // pixels, also of the grid

const GAP = 8; // pixels between the lines of the grid
const GRID = "brainsift.grid";

export class List {
  /** @type {Map<string, Row>} */
  #rows = new Map();
  /** What can be seen of the list, pixels from its first row, and its columns, as last asked for. */
  #view = { top: 0, height: 0, columns: 1 };
  #scrolled = throttled(() => {
    this.#askView();
    this.#drawRows();
  }, 0);

  /**
   * @param {Cases} cases
   * @param {(one: Case, options?: { steps?: boolean }) => void} onopen
   */
  constructor(cases, onopen) {
    this.cases = cases;
    this.onopen = onopen;
    this.sort = AS_ADDED;
    this.decision = "all"; // or the one to filter by, or "look"
    this.query = "";
    /** The cases that are shown, as long as nothing of them changes. @type {Case[] | null} */
    this.found = null;
    /** The cases in their order, and which order that is. @type {{ sort: Sort, cases: Case[] }} */
    this.sorted = { sort: AS_ADDED, cases: [] };
    this.pitch = ROW;
    this.isMeasured = false;
    this.withMap = false; // the pictures of the grid have their maps over them
    this.body = byId("case-rows");
    this.box = first("#view-cases .table-box");
    const drawSoon = throttled(() => this.#draw(), PAUSE_MS);
    this.refresh = () => {
      this.found = null;
      drawSoon();
    };
    for (const type of /** @type {const} */ (["added", "changed", "removed", "rule", "judged"])) cases.on(type, this.refresh);
    cases.on("removed", () => {
      this.sorted.cases = [];
    });
    blind.on("switched", this.refresh);
    cases.on("selected", () => {
      this.#mark();
      drawSoon();
    });
    connection.on("back", () => this.#rows.forEach((row) => row.showThumb(this.withMap, { again: true })));
    this.#listen();
    this.#setGrid(recall(GRID) === "true");
  }

  /** @param {boolean} yes whether the list is a grid of pictures. */
  #setGrid(yes) {
    byId("grid").setAttribute("aria-pressed", String(yes));
    byId("case-table").classList.toggle("as-grid", yes);
    this.withMap = yes;
    this.#rows.forEach((row) => row.showThumb(yes));
    this.isMeasured = false;
    this.#askView();
    this.#draw();
    remember(GRID, String(yes));
  }

  /** The cases that the filter and the search leave, in their order. */
  shown() {
    if (this.found) return this.found;
    const { isOn } = blind; // then neither the filter nor the order tells a result
    const order = this.decision === "look" && this.sort === AS_ADDED ? NEAREST : this.sort;
    const cases = this.#sorted(isOn && order.by !== "name" ? AS_ADDED : order);
    this.found = filter(cases, { decision: isOn ? "all" : this.decision, query: this.query, ofNames: isOn });
    return this.found;
  }

  /** @param {Sort} order */
  #sorted(order) {
    const isSame = this.sorted.sort === order && this.sorted.cases.length <= this.cases.all.length;
    const known = isSame ? this.sorted.cases : []; // in order already: a few new ones are sorted into them fast
    const cases = isSame ? [...known, ...this.cases.all.slice(known.length)] : this.cases.all;
    this.sorted = { sort: order, cases: sort(cases, order) };
    return this.sorted.cases;
  }

  /** Goes to the next case without a verdict. */
  stepToUnjudged() {
    const shown = this.shown();
    const { selected } = this.cases;
    const next = nextUnjudged(shown, selected ? shown.indexOf(selected) : -1);
    if (next) this.step(shown.indexOf(next) - (selected ? shown.indexOf(selected) : -1));
    else announce("All cases of this list are judged.");
  }

  /**
   * Goes to another case of the list.
   *
   * @param {number} by 1 for the next, -1 for the one before.
   */
  step(by) {
    /** @param {Case} one */
    const open = (one) => this.onopen(one, { steps: true });
    step(this.body, this.shown(), { from: this.cases.selected, by, open, rowOf: (one) => this.#brought(one) });
  }

  /**
   * Brings a case into view, unless the search or the filter hides it.
   *
   * @param {Case} one
   */
  reveal(one) {
    this.#draw();
    if (this.shown().includes(one)) this.#brought(one).node.scrollIntoView({ block: "center" });
  }

  /**
   * The row of a case of the list, in the document wherever the list is scrolled.
   *
   * @param {Case} one
   */
  #brought(one) {
    this.#drawRows([one]);
    return this.#row(one);
  }

  #draw() {
    this.#drawRows();
    setTimeout(() => this.#askView() && this.#drawRows()); // after the frame: asked now, the page would be laid out twice
    this.#showCounts();
    const shown = this.shown();
    const nothing = byId("no-match");
    nothing.hidden = shown.length > 0 || !this.cases.all.length;
    const { selected } = this.cases;
    byId("open-hidden").hidden = !selected || !shown.length || shown.includes(selected); // with none at all, another line says so
    setText(byId("open-hidden-words"), selected ? `The open case, ${selected.name}, is not in this list.` : "");
  }

  /**
   * Puts the rows in view into the document, and those of the open case, of the focus, and of other cases.
   *
   * @param {Case[]} also
   */
  #drawRows(also = []) {
    const shown = this.shown();
    const { columns } = this.#view;
    const lines = Math.ceil(shown.length / columns);
    const focused = [...this.#rows.values()].find(({ button }) => button === document.activeElement);
    const stay = [...also, focused?.one, this.cases.selected].map((one) => (one ? shown.indexOf(one) : -1)).filter((place) => place >= 0);
    /** @type {Span[]} */
    const spans = shown.length <= FEW ? [[0, lines]] : spansInView({ count: lines, pitch: this.pitch, ...this.#view }, stay.map((place) => Math.floor(place / columns)));
    /** @type {HTMLElement[]} */
    const nodes = [];
    /** @type {Row[]} */
    const rows = [];
    let line = 0;
    for (const [from, to] of [...spans, /** @type {Span} */ ([lines, lines])]) {
      if (from > line) nodes.push(gap((from - line) * this.pitch - (this.withMap ? GAP : 0)));
      for (let place = from * columns; place < Math.min(to * columns, shown.length); place += 1) {
        const row = this.#row(shown[place]);
        row.node.ariaRowIndex = String(place + 2); // the names of the columns are the first row
        rows.push(row);
        nodes.push(row.node);
      }
      line = to;
    }
    byId("case-table").ariaRowCount = String(shown.length + 1);
    arrange(this.body, nodes);
    for (const row of rows) row.update(this.withMap);
    this.#mark();
    this.#forget(new Set(rows));
    if (!this.isMeasured) this.#measure(rows);
  }

  /** Asks what can be seen of the list; tells whether that has changed. */
  #askView() {
    const before = this.#view;
    const [box, { top }] = [this.box.getBoundingClientRect(), this.body.getBoundingClientRect()];
    const start = Math.max(box.top, 0);
    const columns = this.withMap ? getComputedStyle(this.body).gridTemplateColumns.split(" ").length : 1;
    this.#view = { top: start - top, height: Math.max(Math.min(box.bottom, innerHeight) - start, 0), columns };
    return before.top !== this.#view.top || before.height !== this.#view.height || before.columns !== columns;
  }

  /** @param {Set<Row>} drawn */
  #forget(drawn) {
    for (const [key, row] of this.#rows) {
      if (drawn.has(row)) continue;
      if (this.#rows.size > KEPT || !this.cases.byKey.has(key)) this.#rows.delete(key);
    }
  }

  /**
   * Takes over how high a line is, once for each layout, because to measure it takes time.
   *
   * @param {Row[]} rows that are drawn.
   */
  #measure([row]) {
    const height = row?.node.offsetHeight;
    if (!height) return;
    this.isMeasured = true;
    this.pitch = height + (this.withMap ? GAP : 0);
    this.#scrolled();
  }

  /** @param {Case} one */
  #row(one) {
    const row = this.#rows.get(one.key) ?? new Row(one, () => this.onopen(one));
    this.#rows.set(one.key, row);
    return row;
  }

  #mark() {
    for (const [key, row] of this.#rows) row.select(this.cases.selected?.key === key);
  }

  #showCounts() {
    const look = this.cases.all.filter((one) => one.attention.length).length;
    /** @type {Record<string, number>} */
    const counts = { all: this.cases.all.length, look, ...this.cases.counts() };
    for (const button of all("#filters button")) {
      const { filter: decision = "all" } = button.dataset;
      setText(first(".count", HTMLElement, button), count(counts[decision]));
      button.setAttribute("aria-pressed", String(decision === this.decision));
      const isRare = ["look", "not_brain_mri", "unreadable"].includes(decision);
      button.hidden = isRare && !counts[decision] && this.decision !== decision;
    }
  }

  #listen() {
    const search = byId("search", HTMLInputElement);
    search.addEventListener("input", () => {
      this.query = search.value;
      this.refresh();
    });
    for (const button of all("#filters button")) {
      button.addEventListener("click", () => {
        this.decision = button.dataset.filter ?? "all";
        this.refresh();
      });
    }
    for (const button of all("[data-resets]")) {
      button.addEventListener("click", () => {
        this.decision = "all";
        this.query = search.value = "";
        this.refresh();
        search.focus();
      });
    }
    byId("grid").addEventListener("click", () => this.#setGrid(byId("grid").getAttribute("aria-pressed") !== "true"));
    this.body.addEventListener("keydown", (event) => this.#leap(event));
    this.box.addEventListener("scroll", this.#scrolled, { passive: true });
    window.addEventListener("scroll", this.#scrolled, { passive: true }); // on a phone the page scrolls
    window.addEventListener("resize", () => {
      this.isMeasured = false;
      this.#scrolled();
    });
    new ResizeObserver(this.#scrolled).observe(this.box); // it was hidden, or what lies above it was folded
    for (const head of all("#case-table th[data-by]")) {
      first("button", HTMLElement, head).addEventListener("click", () => {
        this.sort = nextSort(this.sort, /** @type {SortKey} */ (head.dataset.by));
        this.#showSort();
        this.refresh();
      });
    }
  }

  /**
   * Goes far: a page on or back, to the first or the last case.
   *
   * @param {KeyboardEvent} event
   */
  #leap(event) {
    const page = Math.max(Math.floor(this.#view.height / this.pitch) - 1, 1);
    const { key, ctrlKey } = event;
    const by = ctrlKey ? { Home: -Infinity, End: Infinity }[key] : { PageUp: -page, PageDown: page }[key];
    if (!by) return;
    event.preventDefault();
    this.step(by);
  }

  #showSort() {
    for (const head of all("#case-table th[data-by]")) {
      const here = head.dataset.by === this.sort.by;
      if (here) head.setAttribute("aria-sort", this.sort.isDown ? "descending" : "ascending");
      else head.removeAttribute("aria-sort");
    }
  }
}

/**
 * What stands for the rows that are not in the document.
 *
 * @param {number} height pixels.
 */
function gap(height) {
  const node = el("tr", { class: "gap", "aria-hidden": "true" }, el("td", { colspan: 5 }));
  node.style.height = `${height}px`;
  return node;
}

/** What stands for the decision of a case while its result is hidden. */
export const HIDDEN = "hidden";

/**
 * The next case without a verdict after a place, from the top again at the end; undefined where there is no other.
 *
 * @template {{ status: string, verdict: string | null }} T
 * @param {T[]} cases
 * @param {number} place of the case that is open; -1 for none.
 */
export const nextUnjudged = (cases, place) =>
  [...cases.slice(place + 1), ...cases.slice(0, Math.max(place, 0))].find(({ status, verdict }) => verdict === null && status !== "unreadable");

/**
 * The glyph and the word of a decision; the glyphs differ in shape, not only in color.
 *
 * @param {string} decision
 * @param {string} [words]
 */
export const decisionCell = (decision, words = label(decision)) =>
  el("span", { class: "decision", "data-decision": decision }, icon(decision), el("span", {}, words));

/** The mark of a case that needs a look. @param {string[]} reasons */
const look = (reasons) =>
  el("span", { class: "look", title: reasons.join(" ") }, icon("look"), el("span", { class: "visually-hidden" }, "needs a look"));

class Row {
  #shown = ""; // what of the case the row shows
  #called = ""; // its decision as it is shown
  /** Address of its picture, also where the server has none. @type {string | null} */
  #src = null;

  /**
   * @param {Case} one
   * @param {() => void} open
   */
  constructor(one, open) {
    this.one = one;
    this.bar = new Bar();
    this.thumb = el("span", { class: "thumb" });
    this.name = el("span", { class: "case-name", title: one.folder + one.name }, one.name);
    this.sub = el("span", { class: "case-sub" });
    this.narrowDecision = el("span", { class: "case-decision" }); // where there is no room for its column
    this.button = el("button", { class: "case-open", onclick: open }, this.name);
    this.decision = el("td", { class: "cell-decision" });
    this.slices = el("td", { class: "cell-slices wide-only" });
    this.why = el("span", { class: "why" });
    const words = el("span", { class: "case-words" }, this.button, el("span", { class: "case-line" }, this.narrowDecision, this.sub));
    const first = el("th", { scope: "row", class: "cell-case" }, el("span", { class: "case-cell" }, this.thumb, words));
    this.node = el("tr", {}, first, this.decision, el("td", { class: "cell-probability" }, this.bar.node), this.slices, el("td", { class: "cell-why wide-only" }, this.why));
  }

  /** @param {boolean} withMap whether its picture has the map over it. */
  update(withMap) {
    const { one } = this;
    const { length } = one.slices;
    const hides = isHidden(one);
    const shown = [hides, one.verdict, one.decision, one.probability, one.rule.threshold, length, one.place, ...one.attention].join("/");
    if (shown === this.#shown) return;
    this.#shown = shown;
    const decision = hides ? HIDDEN : one.decision;
    this.bar.show({ probability: hides ? null : one.probability, decision }, one.rule);
    this.node.classList.toggle("unconfirmed", !hides && isUnconfirmed(one));
    this.#call(decision, hides ? [] : one.attention.map(attentionInWords));
    const slices = one.isVolume ? counted(length, "slice") : "";
    const judged = one.verdict ? `you: ${VERDICTS[one.verdict].toLowerCase()}` : "";
    const where = [judged, one.folder.replace(/\/$/, ""), slices].filter(Boolean).join(" · ");
    setText(this.sub, where || (hides ? "" : because(one)));
    this.sub.classList.toggle("is-reason", !where);
    setText(this.slices, one.status === "unreadable" && !one.isVolume ? "–" : count(length));
    const why = hides ? "" : [because(one), ...one.attention.map(attentionInWords)].filter(Boolean).join(" ");
    setText(this.why, why);
    if (this.why.title !== why) this.why.title = why;
    this.showThumb(withMap);
  }

  /**
   * Shows the decision, and the mark of a case that needs a look.
   *
   * @param {string} decision
   * @param {string[]} reasons to look.
   */
  #call(decision, reasons) {
    const called = [decision, ...reasons].join("/");
    if (called === this.#called) return;
    this.#called = called;
    const words = decision !== HIDDEN && isUnconfirmed(this.one) ? SUSPICIOUS : undefined;
    for (const cell of [this.decision, this.narrowDecision]) cell.replaceChildren(decisionCell(decision, words), reasons.length ? look(reasons) : "");
  }

  /** @param {boolean} yes */
  select(yes) {
    if (yes === this.node.classList.contains("selected")) return;
    this.node.classList.toggle("selected", yes);
    if (yes) this.button.setAttribute("aria-current", "true");
    else this.button.removeAttribute("aria-current");
  }

  /**
   * Shows the small picture; one that the server does not have is not asked for again, unless the server was away.
   *
   * @param {boolean} withMap
   * @param {{ again?: boolean }} [options]
   */
  showThumb(withMap, { again = false } = {}) {
    const { one } = this;
    const hides = isHidden(one);
    const { id } = one.slices[hides ? one.place : (one.suspicious[0] ?? one.place)];
    const { job } = one;
    const src = one.status === "unreadable" || job === null || id === null ? "" : pictureOf(job, id, { side: THUMBNAIL, with_map: withMap && !hides ? "true" : null });
    if (this.#src === src && !(again && !this.thumb.firstChild)) return;
    this.#src = src;
    if (!src) {
      this.thumb.replaceChildren(icon("unreadable"));
      return;
    }
    const image = el("img", { src, alt: "", loading: "lazy", decoding: "async", width: 32, height: 32 });
    image.addEventListener("error", () => this.thumb.replaceChildren(), { once: true });
    this.thumb.replaceChildren(image);
  }
}
