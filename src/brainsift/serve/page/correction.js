// @ts-check
// Correcting the contour: a reader draws it on a slice; it is saved with the case as it is drawn.

/** @import { KeptRecord } from "./api.js" */
/** @import { Case, Kept } from "./cases.js" */
/** @import { Stage } from "./stage.js" */
/** @import { Tool } from "./pen.js" */

import { history } from "./api.js";
import { fail } from "./banner.js";
import { isHidden } from "./blind.js";
import { announce, el, icon, setText } from "./dom.js";
import { Emitter } from "./emitter.js";
import { Mask, areaOf } from "./mask.js";
import { Pen } from "./pen.js";
import { inWords, number } from "./words.js";

/**
 * Tells which case has another number of corrected contours.
 *
 * @type {Emitter<{ saved: KeptRecord }>}
 */
export const contours = new Emitter();

/**
 * @typedef {{ runs: number[], start: "empty" | "network", level: number | null }} Drawn A mask and where it began.
 *
 * @typedef {object} Session What was done with one image or slice.
 * @property {KeptRecord} record
 * @property {KeptRecord} whole the case that is listed.
 * @property {[width: number, height: number] | null} size of the source; null where it is not known.
 * @property {Drawn | null} now null where nobody corrected the contour.
 * @property {(Drawn | null)[]} past
 * @property {(Drawn | null)[]} future
 * @property {string} fault why the last change was not saved; "" where it was.
 */

/** @type {Record<Tool, string>} */
const TOOLS = { brush: "Brush", eraser: "Eraser", lasso: "Lasso" };
const STEPS = 50; // that can be undone
const SAVE_MS = 250;
const FAR = 10; // pixels that the arrow keys move with Shift
const FIRST_SIZE = 0.05; // of the longer side
const LARGEST_SIZE = 0.4;
const SMALL = 60_000; // bytes that a browser sends after the page was closed
/** @type {Record<string, [x: number, y: number]>} */
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

export class Correction {
  /** @type {Case | null} */
  #one = null;
  #place = 0;
  /** @type {Kept | null} */
  #kept = null;
  /** By the number of the record. @type {Map<number, Session>} */
  #sessions = new Map();
  /** @type {Session | null} */
  #session = null;
  #turn = 0;
  /** Whether drawing begins as soon as the picture is there. */
  #isAwaited = false;
  /** Why nothing can be drawn. */
  #fault = "";
  /** What is to be saved, by record. @type {Map<number, Session>} */
  #unsaved = new Map();
  #timer = 0;
  /** What is being saved. @type {Session | null} */
  #sending = null;

  /**
   * @param {Stage} stage
   * @param {{ hasHistory: boolean }} server whether it keeps what is drawn.
   */
  constructor(stage, { hasHistory }) {
    this.stage = stage;
    this.pen = new Pen(() => stage.viewer.draw());
    stage.viewer.pen = this.pen;
    /** @type {(words: string, onclick: () => void) => HTMLButtonElement} */
    const button = (words, onclick) => el("button", { class: "button small", type: "button", onclick }, words);
    this.tools = Object.entries(TOOLS).map(([value, words]) => this.#radio(value, words));
    this.size = el("input", { type: "range", min: 1, step: 1 });
    this.sizeWords = el("span", { class: "slider-value", "aria-hidden": "true" });
    this.undoButton = button("Undo", () => this.undo());
    this.redoButton = button("Redo", () => this.redo());
    this.networkButton = button("Network’s contour", () => this.#takeNetwork());
    this.clearButton = button("Clear", () => this.#clear());
    this.discardButton = button("Discard", () => this.#apply(null));
    this.saved = el("span", { class: "save-state", role: "status" });
    this.barWords = el("p", { class: "draw-words" });
    this.bar = el(
      "div",
      { class: "draw-bar", role: "group", "aria-label": "Correct the contour", hidden: true },
      el("fieldset", { class: "draw-tools" }, el("legend", { class: "visually-hidden" }, "Draw with"), el("div", { class: "segments" }, this.tools)),
      el("label", { class: "slider draw-size" }, el("span", { class: "slider-name" }, "Size"), this.sizeWords, this.size),
      this.undoButton,
      this.redoButton,
      this.networkButton,
      this.clearButton,
      this.discardButton,
      el("span", { class: "push" }),
      this.saved,
      button("Done", () => this.stop()),
      this.barWords,
    );
    this.words = el("p", { class: "note" });
    this.shown = el("input", { type: "checkbox", role: "switch", class: "switch", checked: true });
    this.shownRow = el("label", { class: "switch-row" }, el("span", {}, swatch(), "Drawn by a reader (dashed)"), this.shown);
    this.openButton = el("button", { class: "button small", type: "button", onclick: () => this.toggle() }, "Correct the contour");
    this.node = el("section", { class: "tool correction" }, el("h3", {}, "Corrected contour"), this.words, this.shownRow, hasHistory && this.openButton);
    this.hasHistory = hasHistory;
    const words = "Correct the contour (X)";
    const properties = { class: "icon-button", type: "button", "aria-label": words, "aria-pressed": "false", title: words };
    this.stageButton = el("button", { ...properties, onclick: () => this.toggle() }, icon("pencil"));
    if (hasHistory) stage.zoomTools.append(this.stageButton);
    this.#listen();
    this.#show();
  }

  get isOn() {
    return this.pen.isOn;
  }

  #listen() {
    const { canvas } = this.stage;
    this.size.addEventListener("input", () => this.setSize(Number(this.size.value)));
    this.shown.addEventListener("change", () => {
      this.pen.isShown = this.shown.checked;
      this.stage.viewer.draw();
    });
    this.pen.on("stroke", () => this.#drew());
    canvas.addEventListener("keydown", (event) => this.#key(event));
    canvas.addEventListener("blur", () => this.pen.end());
    document.addEventListener("keydown", (event) => {
      if (!this.isOn || !(event.ctrlKey || event.metaKey) || event.target instanceof HTMLTextAreaElement) return;
      const key = event.key.toLowerCase();
      if (key !== "z" && key !== "y") return;
      event.preventDefault();
      if (key === "y" || event.shiftKey) this.redo();
      else this.undo();
    });
    window.addEventListener("pagehide", () => this.#send());
  }

  /**
   * @param {string} value
   * @param {string} words
   */
  #radio(value, words) {
    const checked = value === "brush";
    const input = el("input", { type: "radio", name: "draw-tool", value, checked, onchange: () => this.setTool(/** @type {Tool} */ (value)) });
    return el("label", { class: "segment" }, input, el("span", {}, words));
  }

  /** @param {Tool} tool */
  setTool(tool) {
    this.pen.tool = tool;
    for (const label of this.tools) {
      const input = /** @type {HTMLInputElement} */ (label.firstElementChild);
      input.checked = input.value === tool;
    }
    this.stage.viewer.draw();
  }

  /** With one key: from the brush to the eraser and back. */
  swapTool() {
    if (!this.isOn) return;
    this.setTool(this.pen.tool === "eraser" ? "brush" : "eraser");
    announce(TOOLS[this.pen.tool]);
  }

  /** @param {number} size pixels. */
  setSize(size) {
    this.pen.size = Math.min(Math.max(size, 1), Number(this.size.max));
    this.size.value = String(this.pen.size);
    const words = `${this.pen.size}\u00a0px`;
    this.size.setAttribute("aria-valuetext", words);
    setText(this.sizeWords, words);
    this.stage.viewer.draw();
  }

  /** @param {number} by pixels. */
  stepSize(by) {
    if (this.isOn) this.setSize(this.pen.size + by);
  }

  /** Begins or ends drawing. */
  toggle() {
    if (this.isOn) this.stop();
    else this.#start();
  }

  #start() {
    const fault = this.hasHistory ? "There is no picture to draw on yet." : "Start the server with --keep to correct contours.";
    this.#isAwaited = this.hasHistory && !this.stage.viewer.picture;
    if (!this.hasHistory || this.#isAwaited) {
      announce(fault);
      return;
    }
    if (this.stage.viewer.ruling) this.stage.toggleRuler();
    this.pen.isOn = true;
    this.#switched();
    this.#load();
    announce("Drawing. Arrow keys move the brush on the picture, the space bar draws, X ends.");
  }

  /** Ends drawing; tells whether the reader was drawing. */
  stop() {
    if (!this.isOn) return false;
    this.pen.end();
    this.pen.isOn = false;
    this.pen.place = null;
    this.#switched();
    this.#send();
    this.#show();
    return true;
  }

  /** What dragging does has changed. */
  #switched() {
    this.stage.viewer.fitTouch();
    this.stage.viewer.emit("view", null);
  }

  /** The picture changes: what is drawn belongs to the last one. */
  hide() {
    this.#turn += 1;
    this.pen.cancel();
    this.pen.mask = null;
    this.#session = null;
    this.#fault = "";
    this.#show();
  }

  /** Another case is shown, or none. */
  leave() {
    this.#isAwaited = false;
    this.stop();
    this.hide();
    this.#one = this.#kept = null;
    this.#sessions.clear();
  }

  /**
   * The picture of a slice is shown.
   *
   * @param {Case} one
   * @param {number} place of the slice.
   */
  follow(one, place) {
    this.#one = one;
    this.#place = place;
    if (this.#isAwaited) this.#start();
    else this.#load();
  }

  /**
   * What the history has of the case is known.
   *
   * @param {Case} one
   * @param {Kept} kept
   */
  know(one, kept) {
    this.#one ??= one;
    this.#kept = kept;
    this.#load();
  }

  get #record() {
    return this.#kept && (this.#kept.slices[this.#place] ?? (this.#kept.slices.length ? null : this.#kept.whole));
  }

  /** Reads what was drawn on the slice, where there is something, or something is to be drawn. */
  async #load() {
    this.#turn += 1;
    const turn = this.#turn;
    const [one, record, kept] = [this.#one, this.#record, this.#kept];
    this.#fault = "";
    if (!one || !record || !kept || !this.stage.viewer.picture || !(record.contours || this.isOn)) {
      if (this.isOn && !record) this.#fault = "This case cannot be corrected yet. It is not in the history.";
      this.#show();
      return;
    }
    try {
      if (!this.#sessions.has(record.id)) {
        const { size, contour } = await history.contour(record.id);
        this.#sessions.set(record.id, { record, whole: kept.whole, size, now: contour, past: [], future: [], fault: "" });
      }
    } catch (error) {
      if (turn === this.#turn) this.#fault = inWords(error);
    }
    if (turn !== this.#turn) return; // the reader went on
    const session = this.#sessions.get(record.id) ?? null;
    if (session && !session.size) this.#fault = "The size of the image is not known any more. Score it again to correct its contour.";
    if (isHidden(one) && session?.now?.start === "network") this.#fault = "The corrected contour is hidden until you judge this case: it began with that of the network.";
    this.#session = this.#fault ? null : session;
    this.#draw();
  }

  /** Shows the mask of the session. */
  #draw() {
    const session = this.#session;
    const [width, height] = session?.size ?? [0, 0];
    const runs = session?.now?.runs ?? [width * height];
    this.pen.mask = session && (this.isOn || session.now) ? Mask.ofRuns(width, height, runs) : null;
    const most = Math.max(4, Math.round(LARGEST_SIZE * Math.max(width, height)));
    if (session && Number(this.size.max) !== most) {
      this.size.max = String(most);
      this.setSize(Math.max(1, Math.round(FIRST_SIZE * Math.max(width, height))));
    }
    this.#show();
  }

  /** A stroke has changed the mask. */
  #drew() {
    const { now } = this.#session ?? {};
    if (this.pen.mask) this.#apply({ runs: this.pen.mask.runs, start: now?.start ?? "empty", level: now?.level ?? null });
  }

  #takeNetwork() {
    const { map, level } = this.stage.viewer;
    const size = this.#session?.size;
    if (map && size) this.#apply({ runs: Mask.ofMap(map, 255 * level, ...size).runs, start: "network", level });
  }

  #clear() {
    const size = this.#session?.size;
    if (size) this.#apply({ runs: [size[0] * size[1]], start: "empty", level: null });
  }

  /** @param {Drawn | null} drawn null takes the correction away. */
  #apply(drawn) {
    const session = this.#session;
    if (!session) return;
    session.past = [...session.past, session.now].slice(-STEPS);
    session.future = [];
    this.#become(session, drawn);
  }

  undo() {
    const session = this.#session;
    if (!session?.past.length || !this.isOn) return;
    session.future.push(session.now);
    this.#become(session, session.past.pop() ?? null);
  }

  redo() {
    const session = this.#session;
    if (!session?.future.length || !this.isOn) return;
    session.past.push(session.now);
    this.#become(session, session.future.pop() ?? null);
  }

  /**
   * @param {Session} session
   * @param {Drawn | null} drawn
   */
  #become(session, drawn) {
    session.now = drawn;
    this.#unsaved.set(session.record.id, session);
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#send(), SAVE_MS);
    this.#draw();
  }

  /** Saves what is not saved, one after the other: the last one counts. */
  async #send() {
    clearTimeout(this.#timer);
    if (this.#sending) return;
    for (const [id, session] of this.#unsaved) {
      this.#unsaved.delete(id);
      this.#sending = session;
      const { record, whole, size, now } = session;
      try {
        if (now && size) {
          const body = { width: size[0], height: size[1], ...now };
          await history.setContour(id, body, JSON.stringify(body).length < SMALL);
        } else if (record.contours) await history.removeContour(id);
        const count = Number(now !== null) - record.contours;
        record.contours += count;
        if (whole !== record) whole.contours += count;
        contours.emit("saved", whole);
        session.fault = "";
      } catch (error) {
        session.fault = `Not saved. ${inWords(error)}`;
        fail({ message: `The contour on ${record.name} was not saved. ${inWords(error)}` });
      }
    }
    this.#sending = null;
    this.#show();
  }

  /** On the picture, the arrow keys move the pen, and the space bar draws. @param {KeyboardEvent} event */
  #key(event) {
    const { picture } = this.stage.viewer;
    const { mask } = this.pen;
    if (!this.isOn || !picture || !mask || event.ctrlKey || event.metaKey || event.altKey) return;
    const way = ARROWS[event.key];
    if (!way && event.key !== " ") return;
    event.preventDefault();
    const [x, y] = this.pen.place ?? [mask.width / 2, mask.height / 2];
    /** @type {(x: number, y: number) => [number, number]} */
    const inPicture = (column, row) => [(column * picture.width) / mask.width, (row * picture.height) / mask.height];
    if (event.key === " ") {
      if (event.repeat) return;
      if (this.pen.isDown) this.pen.end();
      else this.pen.begin(inPicture(x, y), picture);
      announce(this.pen.isDown ? "Pen down" : "Pen up");
      return;
    }
    const far = event.shiftKey ? FAR : 1;
    const [column, row] = [Math.min(Math.max(x + far * way[0], 0.5), mask.width - 0.5), Math.min(Math.max(y + far * way[1], 0.5), mask.height - 0.5)];
    this.pen.move(inPicture(column, row), picture);
    announce(`Column ${Math.ceil(column)}, row ${Math.ceil(row)}`);
  }

  #show() {
    const [session, { viewer }] = [this.#session, this.stage];
    const isReady = Boolean(this.isOn && session && this.pen.mask);
    this.bar.hidden = !this.isOn;
    this.stage.canvas.classList.toggle("drawing", isReady);
    this.stageButton.setAttribute("aria-pressed", String(this.isOn));
    setText(this.openButton, this.isOn ? "End drawing" : "Correct the contour");
    this.undoButton.disabled = !isReady || !session?.past.length;
    this.redoButton.disabled = !isReady || !session?.future.length;
    this.networkButton.disabled = !isReady || !viewer.hasMap;
    this.clearButton.disabled = !isReady;
    this.discardButton.disabled = !isReady || !session?.now;
    this.shownRow.hidden = !session?.now;
    const isSaving = session && (this.#unsaved.has(session.record.id) || this.#sending === session);
    setText(this.saved, isSaving ? "Saving" : session?.fault || (session?.now || session?.past.length || session?.future.length ? "Saved" : ""));
    const words = this.#fault || (session?.now ? this.#inWords(session, session.now) : this.#without());
    setText(this.words, words);
    setText(this.barWords, isReady && !session?.now ? "Draw, or take the network’s contour and change it." : words);
  }

  /** Where there is no correction. */
  #without() {
    if (!this.hasHistory) return "To correct contours, start the server with --keep.";
    const { whole, slices } = this.#kept ?? {};
    const count = slices?.length && whole?.contours ? ` ${whole.contours} of ${slices.length} slices of this volume have one.` : "";
    return `Nobody corrected the contour ${this.#one?.isVolume ? "of this slice" : "of this image"}.${count}`;
  }

  /**
   * @param {Session} session
   * @param {Drawn} drawn
   */
  #inWords({ size }, { runs, start, level }) {
    const pixels = areaOf(runs);
    if (!pixels) return "The corrected contour is empty: it says that there is no tumor here.";
    const { pixelSize, picture } = this.stage.viewer;
    const share = picture && size ? (picture.width / size[0]) * (picture.height / size[1]) : 1;
    const area = pixelSize ? `${(pixels * share * pixelSize[0] * pixelSize[1]).toFixed(0)}\u00a0mm²` : `${pixels.toLocaleString("en")}\u00a0pixels`;
    const begun = start === "network" ? `It began with the network’s contour at ${number(level, 2)}.` : "It began with nothing.";
    return `Drawn by a reader. ${begun} Area: ${area}.`;
  }
}

/** The line as it is drawn. */
const swatch = () => el("span", { class: "drawn-swatch", "aria-hidden": "true" });
