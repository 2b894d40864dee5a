// @ts-check
// From pixels of a picture to places in the patient and back, in mm.

/** @import { Geometry } from "./api.js" */

/** @typedef {[number, number, number]} Vector */
/** @typedef {Geometry & { size_mm: [number, number] }} Placed A geometry whose size is known. */
/** @typedef {{ width: number, height: number }} Size of a picture, pixels. */

/** @type {(one: Vector, other: Vector) => number} */
const dot = (one, other) => one[0] * other[0] + one[1] * other[1] + one[2] * other[2];

/** @type {(from: Vector, along: Vector, by: number) => Vector} */
export const moved = (from, along, by) => [from[0] + by * along[0], from[1] + by * along[1], from[2] + by * along[2]];

/**
 * The place in the patient of a point of a picture.
 *
 * @param {Placed} geometry
 * @param {Size} size
 * @param {[x: number, y: number]} point pixels from the top left corner.
 * @returns {Vector}
 */
export function toPatient({ center_mm, right, down, size_mm }, { width, height }, [x, y]) {
  const across = moved(center_mm, right, (x / width - 0.5) * size_mm[0]);
  return moved(across, down, (y / height - 0.5) * size_mm[1]);
}

/**
 * The point of a picture that lies nearest to a place in the patient.
 *
 * @param {Placed} geometry
 * @param {Size} size
 * @param {Vector} place
 * @returns {[x: number, y: number]} pixels from the top left corner.
 */
export function toPicture({ center_mm, right, down, size_mm }, { width, height }, place) {
  const from = moved(place, center_mm, -1);
  return [(dot(from, right) / size_mm[0] + 0.5) * width, (dot(from, down) / size_mm[1] + 0.5) * height];
}

/**
 * The number of the picture that lies nearest to a place, of pictures at even distances.
 *
 * @param {Vector} first center of the first one.
 * @param {Vector} step from one to the next.
 * @param {number} count
 * @param {Vector} place
 */
export function nearest(first, step, count, place) {
  const number = Math.round(dot(moved(place, first, -1), step) / dot(step, step));
  return Math.min(Math.max(number, 0), count - 1);
}
