// The canvas: a grey picture in a window, a map over it in colour, a contour; zoom, pan, and the mouse.

import { contour } from "./contour.js";
import { bounded, dragged, shadesOf } from "./window.js";

export const MAP_COLOUR = [255, 64, 0]; // as in the pictures of `brainsift predict --heatmaps`
const CONTOUR_COLOUR = "#ffe14d";
const CONTOUR_LEVEL = 127.5;
const MOST_ZOOM = 24;
const CRISP_FROM = 6; // screen pixels a pixel: from here on pixels are shown as they are
const STEP = 1.25;
const UNIT_PX = [1, 40, 800]; // of a wheel event: pixels, lines, pages
const SLICE_PX = 80; // of the wheel: less than a notch of a mouse, many events of a trackpad
const REST_MS = 200; // after it, however little is a notch: some mice begin with a few pixels

const sheet = (width, height) => {
  const canvas = new OffscreenCanvas(width, height);
  return { canvas, context: canvas.getContext("2d") };
};

/** Tells of "window" (another one), "scroll" (detail: slices to go) and "view" (zoom or place). */
export class Viewer extends EventTarget {
  #layers = null;
  #chosen = null; // the window, where the reader chose one
  #pointers = new Map();
  #asked = 0;
  #wheeled = { at: -Infinity, way: 0 };

  constructor(canvas) {
    super();
    this.canvas = canvas;
    this.context = canvas.getContext("2d", { alpha: false });
    this.opacity = 0.55;
    this.showContour = true;
    this.scrolls = false; // the wheel goes through slices instead of zooming
    this.view = { zoom: 1, x: 0, y: 0 };
    new ResizeObserver(() => this.#resize()).observe(canvas);
    this.#listen();
  }

  /** Shows {picture, map}; with `keepView` zoom, place and a chosen window stay, as between slices of a volume. */
  show({ picture, map }, { keepView = false } = {}) {
    this.#layers = { picture, map, grey: sheet(picture.width, picture.height), painted: null, heat: null, outline: null };
    if (map) Object.assign(this.#layers, { heat: heatOf(map), outline: contour(map, CONTOUR_LEVEL) });
    if (!keepView) {
      this.#chosen = null;
      this.fit();
    }
    this.#tell("window");
    this.draw();
  }

  clear() {
    this.#layers = null;
    this.draw();
  }

  get isEmpty() {
    return !this.#layers;
  }

  get hasMap() {
    return Boolean(this.#layers?.map);
  }

  get picture() {
    return this.#layers?.picture ?? null;
  }

  /** The {width, level} in use, in values of the picture: a chosen one holds for all slices with values of its kind. */
  get window() {
    return this.#chosen?.most === this.picture.most ? this.#chosen : this.picture.window;
  }

  /** Chooses a window; null goes back to that of each picture. */
  setWindow(wanted) {
    const { picture } = this;
    this.#chosen = wanted && picture ? { ...bounded(wanted, picture, this.window), most: picture.most } : null;
    this.#tell("window");
    this.draw();
  }

  set({ opacity = this.opacity, showContour = this.showContour }) {
    Object.assign(this, { opacity, showContour });
    this.draw();
  }

  fit() {
    this.view = { zoom: 1, x: 0, y: 0 };
    this.#viewChanged();
  }

  /** Zooms, keeping the place under a point of the canvas (CSS pixels from its middle) where it is. */
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

  panBy(x, y) {
    this.view = { ...this.view, x: this.view.x + x, y: this.view.y + y };
    this.#viewChanged();
  }

  /** Draws with the next frame. */
  draw() {
    cancelAnimationFrame(this.#asked);
    this.#asked = requestAnimationFrame(() => this.#draw());
  }

  #resize() {
    const ratio = window.devicePixelRatio || 1;
    const { clientWidth, clientHeight } = this.canvas;
    this.canvas.width = Math.max(1, Math.round(clientWidth * ratio));
    this.canvas.height = Math.max(1, Math.round(clientHeight * ratio));
    this.#viewChanged();
  }

  /** CSS pixels a pixel of the picture, when it just fits. */
  get #fitScale() {
    const { width, height } = this.#layers.picture;
    return Math.min(this.canvas.clientWidth / width, this.canvas.clientHeight / height) || 1;
  }

  #viewChanged() {
    if (this.#layers) {
      const { width, height } = this.#layers.picture;
      const scale = this.#fitScale * this.view.zoom;
      const [mostX, mostY] = [
        Math.max(0, (width * scale - this.canvas.clientWidth) / 2),
        Math.max(0, (height * scale - this.canvas.clientHeight) / 2),
      ];
      this.view.x = Math.min(Math.max(this.view.x, -mostX), mostX);
      this.view.y = Math.min(Math.max(this.view.y, -mostY), mostY);
    }
    // zoomed out, a finger scrolls the page; zoomed in, it moves the picture
    this.canvas.style.touchAction = this.view.zoom > 1 ? "none" : "pan-y";
    this.#tell("view");
    this.draw();
  }

  #paintGrey() {
    const { picture, grey } = this.#layers;
    const shades = shadesOf(picture, this.window);
    const image = new ImageData(picture.width, picture.height);
    const pixels = new Uint32Array(image.data.buffer);
    for (let place = 0; place < pixels.length; place += 1) {
      pixels[place] = 0xff000000 | (shades[picture.grey[place]] * 0x010101);
    }
    grey.context.putImageData(image, 0, 0);
    this.#layers.painted = this.window;
  }

  #draw() {
    const { context, canvas } = this;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.fillStyle = "#000";
    context.fillRect(0, 0, canvas.width, canvas.height);
    if (!this.#layers) return;
    if (this.#layers.painted !== this.window) this.#paintGrey();
    const { picture, grey, heat, outline } = this.#layers;
    const ratio = canvas.width / (canvas.clientWidth || 1);
    const scale = this.#fitScale * this.view.zoom * ratio;
    const left = canvas.width / 2 + this.view.x * ratio - (picture.width * scale) / 2;
    const top = canvas.height / 2 + this.view.y * ratio - (picture.height * scale) / 2;
    context.setTransform(scale, 0, 0, scale, left, top);
    context.imageSmoothingEnabled = scale < CRISP_FROM * ratio;
    context.imageSmoothingQuality = "high";
    context.drawImage(grey.canvas, 0, 0);
    if (!heat) return;
    context.imageSmoothingEnabled = true;
    context.globalAlpha = this.opacity;
    context.drawImage(heat, 0, 0, picture.width, picture.height);
    context.globalAlpha = 1;
    if (!this.showContour) return;
    context.lineWidth = (1.75 * ratio) / scale;
    context.lineCap = "round";
    context.strokeStyle = CONTOUR_COLOUR;
    context.stroke(outline);
  }

  #listen() {
    const { canvas } = this;
    canvas.addEventListener("wheel", (event) => this.#wheel(event), { passive: false });
    canvas.addEventListener("contextmenu", (event) => event.preventDefault()); // the right button drags the window
    canvas.addEventListener("dblclick", () => this.fit());
    canvas.addEventListener("pointerdown", (event) => this.#down(event));
    canvas.addEventListener("pointermove", (event) => this.#move(event));
    for (const end of ["pointerup", "pointercancel"]) {
      canvas.addEventListener(end, (event) => this.#pointers.delete(event.pointerId));
    }
  }

  #fromMiddle({ clientX, clientY }) {
    const box = this.canvas.getBoundingClientRect();
    return [clientX - box.left - box.width / 2, clientY - box.top - box.height / 2];
  }

  #wheel(event) {
    if (!this.#layers) return;
    event.preventDefault();
    if (this.scrolls && !event.ctrlKey && !event.metaKey) {
      this.#scroll(event);
      return;
    }
    this.zoomBy(Math.exp(-Math.max(-80, Math.min(event.deltaY, 80)) / 320), ...this.#fromMiddle(event));
  }

  #scroll({ deltaY, deltaMode, timeStamp }) {
    const { at, way } = this.#wheeled;
    const more = deltaY * UNIT_PX[deltaMode];
    const begins = timeStamp - at > REST_MS;
    let sum = begins || way * more < 0 ? more : way + more;
    if (begins && Math.abs(sum) < SLICE_PX) sum = Math.sign(sum) * SLICE_PX;
    const slices = Math.trunc(sum / SLICE_PX);
    this.#wheeled = { at: timeStamp, way: slices ? 0 : sum };
    if (slices) this.dispatchEvent(new CustomEvent("scroll", { detail: slices }));
  }

  #down(event) {
    if (!this.#layers) return;
    this.canvas.setPointerCapture(event.pointerId);
    const windows = event.button === 2 || event.shiftKey;
    this.#pointers.set(event.pointerId, { x: event.clientX, y: event.clientY, windows });
  }

  #move(event) {
    const before = this.#pointers.get(event.pointerId);
    if (!before) return;
    const [dx, dy] = [event.clientX - before.x, event.clientY - before.y];
    const others = [...this.#pointers].filter(([id]) => id !== event.pointerId).map(([, pointer]) => pointer);
    Object.assign(before, { x: event.clientX, y: event.clientY });
    if (others.length) this.#pinch(others[0], before, dx, dy);
    else if (before.windows) this.picture && this.setWindow(dragged(this.window, this.picture, dx, dy));
    else this.panBy(dx, dy);
  }

  #pinch(anchor, finger, dx, dy) {
    const now = Math.hypot(finger.x - anchor.x, finger.y - anchor.y);
    const then = Math.hypot(finger.x - dx - anchor.x, finger.y - dy - anchor.y);
    const middle = { clientX: (finger.x + anchor.x) / 2, clientY: (finger.y + anchor.y) / 2 };
    if (then > 0) this.zoomBy(now / then, ...this.#fromMiddle(middle));
  }

  #tell(type) {
    this.dispatchEvent(new Event(type));
  }
}

/** The map as colour that is more opaque where it is stronger. */
export function heatOf({ width, height, grey }) {
  const { canvas, context } = sheet(width, height);
  const image = new ImageData(width, height);
  const pixels = new Uint32Array(image.data.buffer);
  const [red, green, blue] = MAP_COLOUR;
  const colour = red | (green << 8) | (blue << 16);
  for (let place = 0; place < grey.length; place += 1) pixels[place] = colour | (grey[place] << 24);
  context.putImageData(image, 0, 0);
  return canvas;
}
