// @ts-check
// Lengths, areas and volumes, in mm where the file tells the distance of its pixels, in pixels otherwise.

/** @import { Point } from "./contour.js" */

/** @typedef {[x: number, y: number] | null} PixelSize mm; null where the file does not tell it. */

/**
 * The closed lines that the short lines of `trace` make.
 *
 * @param {[from: Point, to: Point][]} lines
 * @returns {Point[][]} the points of each.
 */
export function rings(lines) {
  /** @type {Map<string, number[]>} */
  const at = new Map(); // point to the lines that end there
  lines.forEach((line, number) => line.forEach((point) => at.set(String(point), [...(at.get(String(point)) ?? []), number])));
  const found = [];
  const used = new Set();
  for (let start = 0; start < lines.length; start += 1) {
    /** @type {Point[]} */
    const ring = [];
    let number = /** @type {number | undefined} */ (start);
    let [, point] = lines[start];
    while (number !== undefined && !used.has(number)) {
      used.add(number);
      ring.push(point);
      number = at.get(String(point))?.find((other) => !used.has(other));
      if (number !== undefined) point = lines[number].find((other) => String(other) !== String(point)) ?? point;
    }
    if (ring.length) found.push(ring);
  }
  return found;
}

/**
 * The longest straight line between two points of one closed line.
 *
 * @param {Point[][]} closed
 * @param {PixelSize} size
 * @returns {{ from: Point, to: Point, length: number } | null} null where there is no line.
 */
export function longestDiameter(closed, size) {
  const [width, height] = size ?? [1, 1];
  let longest = null;
  for (const ring of closed) {
    for (let one = 0; one < ring.length; one += 1) {
      for (let other = one + 1; other < ring.length; other += 1) {
        const length = Math.hypot((ring[one][0] - ring[other][0]) * width, (ring[one][1] - ring[other][1]) * height);
        if (!longest || length > longest.length) longest = { from: ring[one], to: ring[other], length };
      }
    }
  }
  return longest;
}

/**
 * "23.4 mm", or "31.2 px" where the file does not tell the distance of its pixels.
 *
 * @param {Point} from
 * @param {Point} to
 * @param {PixelSize} size
 */
export function lengthInWords(from, to, size) {
  const [width, height] = size ?? [1, 1];
  const length = Math.hypot((to[0] - from[0]) * width, (to[1] - from[1]) * height);
  return `${length.toFixed(1)}\u00a0${size ? "mm" : "px"}`;
}

/**
 * "12,345 mm³ (12.3 ml)"
 *
 * @param {number} mm3
 */
export const volumeInWords = (mm3) => `${Math.round(mm3).toLocaleString("en")}\u00a0mm³ (${(mm3 / 1000).toFixed(1)}\u00a0ml)`;
