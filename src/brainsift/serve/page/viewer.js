// @ts-check
// The canvas: a gray picture in a window, a map over it in color, a contour; zoom, pan, and the mouse.

/** @import { Picture, Window } from "./pictures.js" */

import { contour } from "./contour.js";
import { Emitter } from "./emitter.js";
import { contextOf } from "./pictures.js";
import { Wheel } from "./wheel.js";
import { bounded, dragged, shadesOf } from "./window.js";

const MAP_COLOR = [255, 64, 0]; // as in the pictures of `brainsift predict --heatmaps`
/** Colors and widths in CSS pixels; the dark line below keeps the bright one visible on bright pixels. @type {[string, number][]} */
const CONTOUR = [["rgb(0 0 0 / 70%)", 4], ["#ffe14d", 1.75]];
const CONTOUR_LEVEL = 127.5;
const MOST_ZOOM = 24;
const CRISP_FROM = 6; // screen pixels per pixel: from here on pixels are shown as they are
const STEP = 1.25;

/**
 * @typedef {object} Layers
 * @property {Picture} picture
 * @property {OffscreenCanvas} gray
 * @property {Window | null} painted the window that `gray` is painted in.
 * @property {{ heat: OffscreenCanvas, outline: Path2D } | null} map
 *
 * @typedef {{ x: number, y: number, windows: boolean }} Pointer A finger or a pressed button; `windows`: it drags the
 *   window, not the picture.
 */

/**
 * Tells of another "window", how many slices to "scroll", and of a new zoom or place, the "view".
 *
 * @extends {Emitter<{ window: null, scroll: number, view: null }>}
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
    new ResizeObserver(() => this.#resize()).observe(canvas);
    this.#listen();
  }

  /**
   * Shows a picture with its map.
   *
   * @param {{ picture: Picture, map: Picture | null }} layers
   * @param {{ keepView?: boolean }} [options] `keepView`: zoom, place and a chosen window stay, as between slices of a
   *   volume.
   */
  show({ picture, map }, { keepView = false } = {}) {
    const gray = new OffscreenCanvas(picture.width, picture.height);
    const drawn = map && { heat: heatOf(map), outline: contour(map, CONTOUR_LEVEL) };
    this.#layers = { picture, gray, painted: null, map: drawn };
    if (!keepView) {
      this.#chosen = null;
      this.fit();
    }
    this.emit("window", null);
    this.draw();
  }

  clear() {
    this.#layers = null;
    this.draw();
  }

  get hasMap() {
    return Boolean(this.#layers?.map);
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

  /** @param {{ opacity?: number, showContour?: boolean }} look of the map. */
  set({ opacity = this.opacity, showContour = this.showContour }) {
    Object.assign(this, { opacity, showContour });
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
    // zoomed out, a finger scrolls the page; zoomed in, it moves the picture
    this.canvas.style.touchAction = this.view.zoom > 1 ? "none" : "pan-y";
    this.emit("view", null);
    this.draw();
  }

  /** @param {Layers} layers */
  #paintGray(layers) {
    const { picture, gray } = layers;
    const window = this.windowOf(picture);
    if (layers.painted === window) return;
    paintGray(gray, picture, shadesOf(picture, window));
    layers.painted = window;
  }

  #draw() {
    const { context, canvas } = this;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.fillStyle = "#000";
    context.fillRect(0, 0, canvas.width, canvas.height);
    if (!this.#layers) return;
    this.#paintGray(this.#layers);
    const { picture, gray, map } = this.#layers;
    const ratio = canvas.width / (canvas.clientWidth || 1);
    const scale = this.#fitScale(picture) * this.view.zoom * ratio;
    const left = canvas.width / 2 + this.view.x * ratio - (picture.width * scale) / 2;
    const top = canvas.height / 2 + this.view.y * ratio - (picture.height * scale) / 2;
    context.setTransform(scale, 0, 0, scale, left, top);
    context.imageSmoothingEnabled = scale < CRISP_FROM * ratio;
    context.imageSmoothingQuality = "high";
    context.drawImage(gray, 0, 0);
    if (!map) return;
    context.imageSmoothingEnabled = true;
    context.globalAlpha = this.opacity;
    context.drawImage(map.heat, 0, 0, picture.width, picture.height);
    context.globalAlpha = 1;
    if (!this.showContour) return;
    context.lineCap = "round";
    for (const [color, width] of CONTOUR) {
      context.strokeStyle = color;
      context.lineWidth = (width * ratio) / scale;
      context.stroke(map.outline);
    }
  }

  #listen() {
    const { canvas } = this;
    canvas.addEventListener("wheel", (event) => this.#turn(event), { passive: false });
    canvas.addEventListener("contextmenu", (event) => event.preventDefault()); // the right button drags the window
    canvas.addEventListener("dblclick", () => this.fit());
    canvas.addEventListener("pointerdown", (event) => this.#down(event));
    canvas.addEventListener("pointermove", (event) => this.#move(event));
    for (const end of /** @type {const} */ (["pointerup", "pointercancel"])) {
      canvas.addEventListener(end, (event) => this.#pointers.delete(event.pointerId));
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

  /** @param {PointerEvent} event */
  #down(event) {
    if (!this.#layers) return;
    this.canvas.setPointerCapture(event.pointerId);
    const windows = event.button === 2 || event.shiftKey;
    this.#pointers.set(event.pointerId, { x: event.clientX, y: event.clientY, windows });
  }

  /** @param {PointerEvent} event */
  #move(event) {
    const before = this.#pointers.get(event.pointerId);
    if (!before) return;
    const [dx, dy] = [event.clientX - before.x, event.clientY - before.y];
    const others = [...this.#pointers].filter(([id]) => id !== event.pointerId).map(([, pointer]) => pointer);
    Object.assign(before, { x: event.clientX, y: event.clientY });
    if (others.length) this.#pinch(others[0], before, dx, dy);
    else if (!before.windows) this.panBy(dx, dy);
    else if (this.picture) this.setWindow(dragged(this.windowOf(this.picture), this.picture, dx, dy));
  }

  /**
   * @param {Pointer} anchor the finger that rests.
   * @param {Pointer} finger the one that moved.
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
 */
export function heatOf({ width, height, gray }) {
  const canvas = new OffscreenCanvas(width, height);
  const image = new ImageData(width, height);
  const pixels = new Uint32Array(image.data.buffer);
  const [red, green, blue] = MAP_COLOR;
  const color = red | (green << 8) | (blue << 16);
  for (let place = 0; place < gray.length; place += 1) pixels[place] = color | (gray[place] << 24);
  contextOf(canvas).putImageData(image, 0, 0);
  return canvas;
}
