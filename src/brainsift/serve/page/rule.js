// @ts-check
// The ruler by keyboard: one end moves pixel by pixel, Enter changes to the other end.

/** @import { Point } from "./contour.js" */

/** @typedef {{ from: Point, to: Point }} Ruler In pixels of the picture. */

/** @type {Record<string, [x: number, y: number]>} */
const WAYS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const FAR = 10; // pixels with Shift

/**
 * The ruler after a key; null where the key does nothing. Without a ruler, it begins in the middle of the picture.
 *
 * @param {string} key
 * @param {boolean} isFar
 * @param {Ruler | null} ruler
 * @param {{ width: number, height: number }} picture
 * @returns {Ruler | null}
 */
export function rulerAfter(key, isFar, ruler, { width, height }) {
  const middle = /** @type {Point} */ ([width / 2, height / 2]);
  const { from, to } = ruler ?? { from: middle, to: middle };
  if (key === "Enter") return { from: to, to: from };
  const way = WAYS[key];
  if (!way) return null;
  const step = isFar ? FAR : 1;
  /** @type {(value: number, most: number) => number} */
  const within = (value, most) => Math.min(Math.max(value, 0), most);
  return { from, to: [within(to[0] + step * way[0], width), within(to[1] + step * way[1], height)] };
}
