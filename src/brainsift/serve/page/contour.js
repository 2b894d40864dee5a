// @ts-check
// The line where a map passes a level (marching squares).

/** @import { Picture } from "./pictures.js" */

/**
 * For each combination of corners above the level: pairs of edges to join. Edges: 0 top, 1 right, 2 bottom, 3 left.
 *
 * @type {[number, number][][]}
 */
const JOINS = [
  [], [[3, 2]], [[2, 1]], [[3, 1]], [[0, 1]], [[0, 3], [2, 1]], [[0, 2]], [[0, 3]],
  [[3, 0]], [[0, 2]], [[3, 2], [0, 1]], [[0, 1]], [[3, 1]], [[2, 1]], [[3, 2]], [],
];

/** @typedef {[x: number, y: number]} Point Pixels from the top left corner of the picture. */

/**
 * Traces a gray picture.
 *
 * @param {Pick<Picture, "width" | "height" | "gray">} map
 * @param {number} level between 0 and 255.
 * @returns {[from: Point, to: Point][]} short lines; none where no place reaches the level.
 */
export function trace({ width, height, gray }, level) {
  /** @type {[Point, Point][]} */
  const lines = [];
  /** @type {(from: number, to: number) => number} */
  const along = (from, to) => (level - from) / (to - from) + 0.5; // grays belong to the centers of pixels
  for (let y = 0; y + 1 < height; y += 1) {
    for (let x = 0; x + 1 < width; x += 1) {
      const place = y * width + x;
      const [a, b, c, d] = [gray[place], gray[place + 1], gray[place + width + 1], gray[place + width]];
      const corners = Number(a > level) * 8 + Number(b > level) * 4 + Number(c > level) * 2 + Number(d > level);
      if (corners === 0 || corners === 15) continue;
      /** @type {(() => Point)[]} */
      const edges = [
        () => [x + along(a, b), y + 0.5],
        () => [x + 1.5, y + along(b, c)],
        () => [x + along(d, c), y + 1.5],
        () => [x + 0.5, y + along(a, d)],
      ];
      for (const [from, to] of JOINS[corners]) lines.push([edges[from](), edges[to]()]);
    }
  }
  return lines;
}

/**
 * The lines of `trace` as a path.
 *
 * @param {[from: Point, to: Point][]} lines
 */
export function pathOf(lines) {
  const path = new Path2D();
  for (const [from, to] of lines) {
    path.moveTo(...from);
    path.lineTo(...to);
  }
  return path;
}
