// @ts-check
// The pen on the canvas: it draws a mask with brush, eraser and lasso, and shows it as a dashed line.

/** @import { Point } from "./contour.js" */
/** @import { Mask } from "./mask.js" */
/** @import { Picture } from "./pictures.js" */

import { Emitter } from "./emitter.js";

/** @typedef {"brush" | "eraser" | "lasso"} Tool */

const COLOR = "#ff8ae2"; // the contour of the network is yellow and solid
const FILL = "rgb(255 138 226 / 26%)";
const DARK = "rgb(0 0 0 / 75%)";
const WIDTH = 2.25; // CSS pixels
const DASH = [7, 5];
const ERASER_BUTTON = 5; // of a pen, as pointer events have it

/** Tells of a "stroke" that changed the mask. @extends {Emitter<{ stroke: null }>} */
export class Pen extends Emitter {
  /** Whether strokes draw; else the mask is only shown. */
  isOn = false;
  isShown = true;
  /** @type {Tool} */
  tool = "brush";
  /** Diameter of the brush, pixels of the mask. */
  size = 8;
  /** Where the pen is. @type {Point | null} */
  place = null;
  /** @type {Mask | null} */
  #mask = null;
  /** The mask before the stroke that is being drawn. @type {Uint8Array | null} */
  #before = null;
  #erases = false;
  /** @type {Point[]} */
  #lasso = [];
  /** @type {Path2D | null} */
  #path = null;

  /** @param {() => void} redraw */
  constructor(redraw) {
    super();
    this.redraw = redraw;
  }

  get mask() {
    return this.#mask;
  }

  /** @param {Mask | null} mask */
  set mask(mask) {
    this.#mask = mask;
    this.#before = null;
    this.#lasso = [];
    this.#changed();
  }

  get isDown() {
    return this.#before !== null;
  }

  /** Whether a pressed button draws: the left one, or the eraser at the end of a pen. @param {PointerEvent} event */
  takes(event) {
    return this.isOn && this.#mask !== null && (event.button === 0 || event.button === ERASER_BUTTON) && !event.shiftKey;
  }

  /**
   * Begins a stroke.
   *
   * @param {Point} point of the picture.
   * @param {Picture} picture
   * @param {number} [button] of a pointer.
   */
  begin(point, picture, button = 0) {
    if (!this.#mask) return;
    this.#before = this.#mask.bits.slice();
    this.#erases = this.tool === "eraser" || button === ERASER_BUTTON;
    this.place = this.#placed(point, picture);
    this.#lasso = [this.place];
    this.#draw(this.place);
  }

  /**
   * Goes to another place, and draws where a stroke has begun.
   *
   * @param {Point | null} point of the picture; null where the pointer has left it.
   * @param {Picture} picture
   */
  move(point, picture) {
    const before = this.place;
    this.place = point && this.#mask && this.#placed(point, picture);
    if (this.isDown && this.place) this.#draw(before ?? this.place);
    else this.redraw();
  }

  /** Ends a stroke. */
  end() {
    if (!this.#mask || !this.isDown) return;
    if (this.#isLasso && this.#lasso.length > 2) this.#mask.enclose(this.#lasso);
    const isNew = this.#mask.bits.some((bit, place) => bit !== this.#before?.[place]);
    this.#before = null;
    this.#lasso = [];
    this.#changed();
    if (isNew) this.emit("stroke", null);
  }

  /** Takes back the stroke that is being drawn: a second finger has come, and means the picture. */
  cancel() {
    if (this.#mask && this.#before) this.#mask.bits.set(this.#before);
    this.#before = null;
    this.#lasso = [];
    this.#changed();
  }

  /**
   * Draws the mask and the pen.
   *
   * @param {CanvasRenderingContext2D} context in pixels of the picture.
   * @param {Picture} picture
   * @param {number} unit of a CSS pixel.
   */
  draw(context, picture, unit) {
    const mask = this.#mask;
    if (!mask || !(this.isShown || this.isOn)) return;
    context.save();
    context.scale(picture.width / mask.width, picture.height / mask.height);
    const pixel = (unit * mask.width) / picture.width;
    this.#path ??= pathOf(mask.outlines);
    if (this.isOn) {
      context.fillStyle = FILL;
      context.fill(this.#path, "evenodd");
    }
    this.#stroke(context, this.#path, pixel, DASH);
    if (this.#isLasso && this.isDown) this.#stroke(context, pathOf([this.#lasso]), pixel, []);
    if (this.isOn && this.place && this.tool !== "lasso") {
      const ring = new Path2D();
      ring.arc(...this.place, Math.max(this.size / 2, 0.5), 0, 2 * Math.PI);
      this.#stroke(context, ring, pixel / 1.5, this.isDown ? [] : [3, 3]);
    }
    context.restore();
  }

  get #isLasso() {
    return this.tool === "lasso" && !this.#erases;
  }

  /** @param {Point} before */
  #draw(before) {
    const [mask, to] = [this.#mask, this.place];
    if (!mask || !to) return;
    if (this.#isLasso) this.#lasso.push(to);
    else mask.stroke(before, to, this.size / 2, !this.#erases);
    this.#changed();
  }

  #changed() {
    this.#path = null;
    this.redraw();
  }

  /**
   * @param {Point} point
   * @param {Picture} picture
   * @returns {Point} in pixels of the mask.
   */
  #placed([x, y], picture) {
    const mask = /** @type {Mask} */ (this.#mask);
    return [(x * mask.width) / picture.width, (y * mask.height) / picture.height];
  }

  /**
   * @param {CanvasRenderingContext2D} context
   * @param {Path2D} path
   * @param {number} pixel of CSS.
   * @param {number[]} dash CSS pixels.
   */
  #stroke(context, path, pixel, dash) {
    context.lineJoin = "round";
    context.setLineDash([]);
    context.strokeStyle = DARK;
    context.lineWidth = (WIDTH + 2) * pixel;
    context.stroke(path);
    context.setLineDash(dash.map((length) => length * pixel));
    context.strokeStyle = COLOR;
    context.lineWidth = WIDTH * pixel;
    context.stroke(path);
    context.setLineDash([]);
  }
}

/** @param {Point[][]} lines */
function pathOf(lines) {
  const path = new Path2D();
  for (const [first, ...others] of lines) {
    path.moveTo(...first);
    for (const point of others) path.lineTo(...point);
    path.closePath();
  }
  return path;
}
