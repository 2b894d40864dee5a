// @ts-check
// The canvas: a gray picture in a window, a map over it in color, a contour; zoom, pan, and the mouse.

/** @import { Point } from "./contour.js" */
/** @import { PixelSize } from "./measure.js" */
/** @import { Pen } from "./pen.js" */
/** @import { Picture, Window } from "./pictures.js" */

import { pathOf, trace } from "./contour.js";
import { el } from "./dom.js";
import { Emitter } from "./emitter.js";
import { lengthInWords, longestDiameter, rings } from "./measure.js";
import { contextOf } from "./pictures.js";
import { Wheel } from "./wheel.js";
import { bounded, dragged, shadesOf } from "./window.js";

const MAP_COLOR = [255, 64, 0]; // as in the pictures of `brainsift predict --heatmaps`
/** Colors and widths in CSS pixels; the dark line below keeps the bright one visible on bright pixels. @type {[string, number][]} */
const CONTOUR = [["rgb(0 0 0 / 70%)", 4], ["#ffe14d", 1.75]];
const LINES = [["rgb(0 0 0 / 75%)", 3.5], ["#7fe3ee", 1.5]]; // crosshair and ruler, likewise
const CROSS_GAP = 9; // CSS pixels around the middle of the crosshair
const CLICK = 4; // CSS pixels: a pointer that moves no further was a click
const MOST_ZOOM = 24;
const CRISP_FROM = 6; // screen pixels per pixel: from here on pixels are shown as they are
const STEP = 1.25;

/**
 * @typedef {object} Layers
 * @property {Picture} picture
 * @property {OffscreenCanvas} gray
 * @property {Window | null} painted the window that `gray` is painted in.
 * @property {Picture | null} map
 * @property {{ level: number, inside: boolean, heat: OffscreenCanvas, lines: [Point, Point][], outline: Path2D } | null} drawn the map, as
 *   it is drawn for a level.
 *
 * @typedef {{ x: number, y: number, way: number, acts: "move" | "window" | "ruler" | "draw" }} Pointer A finger or a pressed
 *   button: how far it went, and what it does.
 */

/**
 * Tells of another "window", how many slices to "scroll", of a new zoom or place, the "view", of the "point" of a picture
 * that was clicked, and of a "contour" and a "ruler" that changed.
 *
 * @extends {Emitter<{ window: null, scroll: number, view: null, point: Point, contour: null, ruler: string }>}
 */
export class Viewer extends Emitter {
  /** @type {Layers | null} */
  #layers = null;
  /** The window, where the reader chose one. @type {(Window & { most: number }) | null} */
  #chosen = null;
  /** @type {Map<number, Pointer>} */
  #pointers = new Map();
  #frame = 0;
  #wheel = new Wheel();

  /** @param {HTMLCanvasElement} canvas */
  constructor(canvas) {
    super();
    this.canvas = canvas;
    this.context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d", { alpha: false }));
    this.opacity = 0.55;
    this.showContour = true;
    this.scrolls = false; // the wheel goes through slices instead of zooming
    this.view = { zoom: 1, x: 0, y: 0 };
    this.level = 0.5; // of the contour
    this.inside = false; // the map has color inside the contour only
    this.inverted = false;
    this.bare = false; // without the map, for as long as a key is held
    this.ruling = false; // dragging draws the ruler
    /** What the reader draws with. @type {Pen | null} */
    this.pen = null;
    /** @type {PixelSize} */
    this.pixelSize = null;
    /** @type {Point | null} */
    this.crosshair = null;
    /** @type {{ from: Point, to: Point } | null} */
    this.ruler = null;
    new ResizeObserver(() => this.#resize()).observe(canvas);
    this.#listen();
  }

  /**
   * Shows a picture with its map.
   *
   * @param {{ picture: Picture, map: Picture | null, pixelSize?: PixelSize }} layers
   * @param {{ keepView?: boolean }} [options] `keepView`: zoom, place and a chosen window stay, as between slices of a
   *   volume.
   */
  show({ picture, map, pixelSize = null }, { keepView = false } = {}) {
    const gray = new OffscreenCanvas(picture.width, picture.height);
    this.#layers = { picture, gray, painted: null, map, drawn: null };
    this.pixelSize = pixelSize;
    this.ruler = null; // it was drawn on another picture
    this.#drawMap();
    if (!keepView) {
      this.#chosen = null;
      this.fit();
    }
    this.emit("window", null);
    this.draw();
  }

  /** Makes the color and the contour of the map for the level in use. */
  #drawMap() {
    const { level, inside } = this;
    if (this.#layers) {
      const { map } = this.#layers;
      const lines = map ? trace(map, 255 * level) : [];
      this.#layers.drawn = map && { level, inside, lines, outline: pathOf(lines), heat: heatOf(map, inside ? 255 * level : 0) };
    }
    this.emit("contour", null);
  }

  /** The longest diameter of the contour on this picture; null where there is no contour. */
  get diameter() {
    const drawn = this.#layers?.drawn;
    return drawn ? longestDiameter(rings(drawn.lines), this.pixelSize) : null;
  }

  clear() {
    this.#layers = null;
    this.draw();
  }

  get hasMap() {
    return Boolean(this.#layers?.map);
  }

  get map() {
    return this.#layers?.map ?? null;
  }

  get picture() {
    return this.#layers?.picture ?? null;
  }

  /**
   * The window in use for a picture: a chosen one holds for all slices with values of its kind.
   *
   * @param {Picture} picture
   * @returns {Window}
   */
  windowOf({ most, window }) {
    return this.#chosen?.most === most ? this.#chosen : window;
  }

  /**
   * Chooses a window; null goes back to that of each picture.
   *
   * @param {Window | null} wanted
   */
  setWindow(wanted) {
    const { picture } = this;
    this.#chosen = wanted && picture && { ...bounded(wanted, picture, this.windowOf(picture)), most: picture.most };
    this.emit("window", null);
    this.draw();
  }

  /** The window that the reader chose. @returns {Window | null} */
  get chosen() {
    return this.#chosen;
  }

  /**
   * How the picture and its map look.
   *
   * @param {{ opacity?: number, showContour?: boolean, level?: number, inside?: boolean, inverted?: boolean, bare?: boolean, crosshair?: Point | null }} look
   */
  set(look) {
    const { level, inside, inverted } = this;
    Object.assign(this, look);
    if (level !== this.level || inside !== this.inside) this.#drawMap();
    if (inverted !== this.inverted && this.#layers) this.#layers.painted = null;
    this.draw();
  }

  fit() {
    this.view = { zoom: 1, x: 0, y: 0 };
    this.#viewChanged();
  }

  /**
   * Zooms, keeping the place under a point of the canvas where it is.
   *
   * @param {number} factor
   * @param {number} [x] CSS pixels from the middle of the canvas.
   * @param {number} [y]
   */
  zoomBy(factor, x = 0, y = 0) {
    const zoom = Math.min(Math.max(this.view.zoom * factor, 1), MOST_ZOOM);
    const share = zoom / this.view.zoom;
    this.view = { zoom, x: x - (x - this.view.x) * share, y: y - (y - this.view.y) * share };
    this.#viewChanged();
  }

  zoomIn() {
    this.zoomBy(STEP);
  }

  zoomOut() {
    this.zoomBy(1 / STEP);
  }

  /**
   * @param {number} x CSS pixels.
   * @param {number} y CSS pixels.
   */
  panBy(x, y) {
    this.view = { ...this.view, x: this.view.x + x, y: this.view.y + y };
    this.#viewChanged();
  }

  /** Draws with the next frame. */
  draw() {
    cancelAnimationFrame(this.#frame);
    this.#frame = requestAnimationFrame(() => this.#draw());
  }

  #resize() {
    const ratio = window.devicePixelRatio || 1;
    const { clientWidth, clientHeight } = this.canvas;
    this.canvas.width = Math.max(1, Math.round(clientWidth * ratio));
    this.canvas.height = Math.max(1, Math.round(clientHeight * ratio));
    this.#viewChanged();
  }

  /**
   * CSS pixels per pixel of the picture, when it just fits.
   *
   * @param {Picture} picture
   */
  #fitScale({ width, height }) {
    return Math.min(this.canvas.clientWidth / width, this.canvas.clientHeight / height) || 1;
  }

  #viewChanged() {
    if (this.#layers) {
      const { picture } = this.#layers;
      const scale = this.#fitScale(picture) * this.view.zoom;
      const [mostX, mostY] = [
        Math.max(0, (picture.width * scale - this.canvas.clientWidth) / 2),
        Math.max(0, (picture.height * scale - this.canvas.clientHeight) / 2),
      ];
      this.view.x = Math.min(Math.max(this.view.x, -mostX), mostX);
      this.view.y = Math.min(Math.max(this.view.y, -mostY), mostY);
    }
    this.fitTouch();
    this.emit("view", null);
    this.draw();
  }

  /** Zoomed out, a finger scrolls the page; zoomed in, it moves the picture; or it draws. */
  fitTouch() {
    this.canvas.style.touchAction = this.view.zoom > 1 || this.pen?.isOn ? "none" : "pan-y";
  }

  /** @param {Layers} layers */
  #paintGray(layers) {
    const { picture, gray } = layers;
    const window = this.windowOf(picture);
    if (layers.painted === window) return;
    const shades = shadesOf(picture, window);
    paintGray(gray, picture, this.inverted ? shades.map((shade) => 255 - shade) : shades);
    layers.painted = window;
  }

  #draw() {
    const { context, canvas } = this;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.fillStyle = "#000";
    context.fillRect(0, 0, canvas.width, canvas.height);
    if (!this.#layers) return;
    this.#paintGray(this.#layers);
    const { picture, gray, drawn } = this.#layers;
    const { ratio, scale, left, top } = this.#placed(picture);
    context.setTransform(scale, 0, 0, scale, left, top);
    context.imageSmoothingEnabled = scale < CRISP_FROM * ratio;
    context.imageSmoothingQuality = "high";
    context.drawImage(gray, 0, 0);
    if (drawn && !this.bare) {
      context.imageSmoothingEnabled = true;
      context.globalAlpha = this.opacity;
      context.drawImage(drawn.heat, 0, 0, picture.width, picture.height);
      context.globalAlpha = 1;
      if (this.showContour) this.#stroke(drawn.outline, CONTOUR, ratio / scale);
    }
    if (!this.bare) this.pen?.draw(context, picture, ratio / scale);
    if (this.crosshair) this.#stroke(this.#cross(this.crosshair, picture, (CROSS_GAP * ratio) / scale), LINES, ratio / scale);
    if (this.ruler) this.#drawRuler(this.ruler, { ratio, scale, left, top });
  }

  /**
   * Where the picture lies on the canvas, in its own pixels.
   *
   * @param {Picture} picture
   */
  #placed(picture) {
    const { canvas } = this;
    const ratio = canvas.width / (canvas.clientWidth || 1);
    const scale = this.#fitScale(picture) * this.view.zoom * ratio;
    const left = canvas.width / 2 + this.view.x * ratio - (picture.width * scale) / 2;
    const top = canvas.height / 2 + this.view.y * ratio - (picture.height * scale) / 2;
    return { ratio, scale, left, top };
  }

  /**
   * @param {Path2D} path
   * @param {[color: string, width: number][] | (string | number)[][]} styles CSS pixels.
   * @param {number} unit of a CSS pixel.
   */
  #stroke(path, styles, unit) {
    const { context } = this;
    context.lineCap = "round";
    for (const [color, width] of styles) {
      context.strokeStyle = String(color);
      context.lineWidth = Number(width) * unit;
      context.stroke(path);
    }
  }

  /**
   * @param {Point} point
   * @param {Picture} picture
   * @param {number} gap
   */
  #cross([x, y], { width, height }, gap) {
    const path = new Path2D();
    for (const [from, to] of [[0, x - gap], [x + gap, width]]) if (from < to) (path.moveTo(from, y), path.lineTo(to, y));
    for (const [from, to] of [[0, y - gap], [y + gap, height]]) if (from < to) (path.moveTo(x, from), path.lineTo(x, to));
    return path;
  }

  /**
   * @param {{ from: Point, to: Point }} ruler
   * @param {{ ratio: number, scale: number, left: number, top: number }} placed
   */
  #drawRuler({ from, to }, { ratio, scale, left, top }) {
    const { context } = this;
    const path = new Path2D();
    path.moveTo(...from);
    path.lineTo(...to);
    this.#stroke(path, LINES, ratio / scale);
    const words = lengthInWords(from, to, this.pixelSize);
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.font = `600 ${13 * ratio}px system-ui, sans-serif`;
    const [x, y] = [left + to[0] * scale + 8 * ratio, top + to[1] * scale - 8 * ratio];
    const wide = context.measureText(words).width;
    const start = Math.min(Math.max(x, 6 * ratio), this.canvas.width - wide - 10 * ratio);
    const base = Math.min(Math.max(y, 18 * ratio), this.canvas.height - 8 * ratio);
    context.fillStyle = "rgb(12 17 20 / 82%)";
    context.fillRect(start - 4 * ratio, base - 14 * ratio, wide + 8 * ratio, 19 * ratio);
    context.fillStyle = "#d8f7fa";
    context.fillText(words, start, base);
  }

  #listen() {
    const { canvas } = this;
    canvas.addEventListener("wheel", (event) => this.#turn(event), { passive: false });
    canvas.addEventListener("contextmenu", (event) => event.preventDefault()); // the right button drags the window
    canvas.addEventListener("dblclick", () => this.pen?.isOn || this.fit());
    canvas.addEventListener("pointerleave", () => this.picture && this.pen?.move(null, this.picture));
    canvas.addEventListener("pointerdown", (event) => this.#down(event));
    canvas.addEventListener("pointermove", (event) => this.#move(event));
    for (const end of /** @type {const} */ (["pointerup", "pointercancel"])) {
      canvas.addEventListener(end, (event) => this.#up(event));
    }
  }

  /**
   * @param {{ clientX: number, clientY: number }} point
   * @returns {[x: number, y: number]} CSS pixels from the middle of the canvas.
   */
  #fromMiddle({ clientX, clientY }) {
    const box = this.canvas.getBoundingClientRect();
    return [clientX - box.left - box.width / 2, clientY - box.top - box.height / 2];
  }

  /** @param {WheelEvent} event */
  #turn(event) {
    if (!this.#layers) return;
    event.preventDefault();
    if (this.scrolls && !event.ctrlKey && !event.metaKey) {
      const slices = this.#wheel.turn(event);
      if (slices) this.emit("scroll", slices);
      return;
    }
    this.zoomBy(Math.exp(-Math.max(-80, Math.min(event.deltaY, 80)) / 320), ...this.#fromMiddle(event));
  }

  /**
   * The point of the picture under the mouse, pixels from its top left corner.
   *
   * @param {PointerEvent} event
   * @param {Picture} picture
   * @returns {Point}
   */
  #pointAt(event, picture) {
    const box = this.canvas.getBoundingClientRect();
    const { ratio, scale, left, top } = this.#placed(picture);
    return [((event.clientX - box.left) * ratio - left) / scale, ((event.clientY - box.top) * ratio - top) / scale];
  }

  /** @param {PointerEvent} event */
  #down(event) {
    const { picture } = this;
    if (!picture) return;
    this.canvas.setPointerCapture(event.pointerId);
    const windows = event.button === 2 || event.shiftKey || (event.pointerType === "mouse" && this.view.zoom === 1);
    const [draws, isSecond] = [this.pen?.takes(event), this.#pointers.size > 0];
    if (draws && isSecond) this.#stopDrawing();
    const acts = draws ? (isSecond ? "move" : "draw") : this.ruling && event.button === 0 ? "ruler" : windows ? "window" : "move";
    if (acts === "draw") this.pen?.begin(this.#pointAt(event, picture), picture, event.button);
    if (acts === "ruler") {
      const from = this.#pointAt(event, picture);
      this.ruler = { from, to: from };
    }
    this.#pointers.set(event.pointerId, { x: event.clientX, y: event.clientY, way: 0, acts });
  }

  /** @param {PointerEvent} event */
  #move(event) {
    const before = this.#pointers.get(event.pointerId);
    const { picture } = this;
    if (picture && this.pen?.isOn && (!before || before.acts === "draw")) this.#draws(event, picture);
    if (!before || !picture || before.acts === "draw") return;
    const [dx, dy] = [event.clientX - before.x, event.clientY - before.y];
    const others = [...this.#pointers].filter(([id]) => id !== event.pointerId).map(([, pointer]) => pointer);
    Object.assign(before, { x: event.clientX, y: event.clientY, way: before.way + Math.hypot(dx, dy) });
    if (before.acts === "ruler" && this.ruler) {
      this.ruler.to = this.#pointAt(event, picture);
      this.draw();
    } else if (others.length) this.#pinch(others[0], before, dx, dy);
    else if (before.acts === "move") this.panBy(dx, dy);
    else if (before.way >= CLICK) this.setWindow(dragged(this.windowOf(picture), picture, dx, dy));
  }

  /**
   * The pen follows the pointer, through all places that it passed since the last event.
   *
   * @param {PointerEvent} event
   * @param {Picture} picture
   */
  #draws(event, picture) {
    const passed = event.getCoalescedEvents?.() ?? [];
    for (const one of passed.length ? passed : [event]) this.pen?.move(this.#pointAt(one, picture), picture);
  }

  /** Two fingers move and zoom the picture. */
  #stopDrawing() {
    this.pen?.cancel();
    for (const pointer of this.#pointers.values()) if (pointer.acts === "draw") pointer.acts = "move";
  }

  /** @param {PointerEvent} event */
  #up(event) {
    const pointer = this.#pointers.get(event.pointerId);
    this.#pointers.delete(event.pointerId);
    const { picture } = this;
    if (pointer?.acts === "draw") {
      if (event.type === "pointerup") this.pen?.end();
      else this.pen?.cancel();
      return;
    }
    if (!pointer || !picture || event.type !== "pointerup") return;
    if (pointer.acts === "ruler") {
      const { ruler } = this;
      if (ruler && pointer.way < CLICK) this.ruler = null;
      else if (ruler) this.emit("ruler", lengthInWords(ruler.from, ruler.to, this.pixelSize));
      this.draw();
    } else if (pointer.way < CLICK && event.button === 0) {
      const [x, y] = this.#pointAt(event, picture);
      if (x >= 0 && y >= 0 && x <= picture.width && y <= picture.height) this.emit("point", [x, y]);
    }
  }

  /**
   * @param {{ x: number, y: number }} anchor the finger that rests.
   * @param {{ x: number, y: number }} finger the one that moved.
   * @param {number} dx CSS pixels.
   * @param {number} dy CSS pixels.
   */
  #pinch(anchor, finger, dx, dy) {
    const now = Math.hypot(finger.x - anchor.x, finger.y - anchor.y);
    const then = Math.hypot(finger.x - dx - anchor.x, finger.y - dy - anchor.y);
    const middle = { clientX: (finger.x + anchor.x) / 2, clientY: (finger.y + anchor.y) / 2 };
    if (then > 0) this.zoomBy(now / then, ...this.#fromMiddle(middle));
  }
}

/** A canvas for a viewer, and the letters of the sides around it: left, right, top, bottom. */
export const canvasWithSides = () => ({
  canvas: el("canvas", { class: "canvas", tabindex: 0, role: "img", "aria-label": "No image" }),
  sides: ["left", "right", "top", "bottom"].map((side) => el("span", { class: "side", "data-side": side, "aria-hidden": "true" })),
});

/**
 * Paints a picture on a canvas of its size.
 *
 * @param {OffscreenCanvas} canvas
 * @param {Picture} picture
 * @param {ArrayLike<number>} shades 0 to 255 by gray.
 */
export function paintGray(canvas, { width, height, gray }, shades) {
  const image = new ImageData(width, height);
  const pixels = new Uint32Array(image.data.buffer);
  for (let place = 0; place < pixels.length; place += 1) pixels[place] = 0xff000000 | (shades[gray[place]] * 0x010101);
  contextOf(canvas).putImageData(image, 0, 0);
}

/**
 * The map as a color that is more opaque where it is stronger.
 *
 * @param {Picture} map
 * @param {number} [from] the least gray that has a color.
 */
export function heatOf({ width, height, gray }, from = 0) {
  const canvas = new OffscreenCanvas(width, height);
  const image = new ImageData(width, height);
  const pixels = new Uint32Array(image.data.buffer);
  const [red, green, blue] = MAP_COLOR;
  const color = red | (green << 8) | (blue << 16);
  for (let place = 0; place < gray.length; place += 1) {
    if (gray[place] >= from) pixels[place] = color | (gray[place] << 24);
  }
  contextOf(canvas).putImageData(image, 0, 0);
  return canvas;
}
