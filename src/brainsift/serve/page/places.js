// @ts-check
// Where a slice lies in the patient, in words: plane, position, spacing, side by side with its neighbors.

/** @import { Geometry } from "./api.js" */

const AXES = { axial: 2, coronal: 1, sagittal: 0 }; // of the patient, across which a plane is cut
const LETTERS = ["LR", "PA", "SI"]; // of each axis, the side that it points to and the other one

/**
 * "S 12.5 mm": how far the middle of the picture lies from the origin of the scanner, along the axis that its plane is cut
 * across, and on which side.
 *
 * @param {Geometry} geometry
 */
export function position({ plane, center_mm: center }) {
  const axis = AXES[plane];
  const value = center[axis];
  return `${LETTERS[axis][value < 0 ? 1 : 0]}\u00a0${Math.abs(value).toFixed(1)}\u00a0mm`;
}

/**
 * The usual distance of two neighbors in mm; null where fewer than two of them say where they lie.
 *
 * @param {(Geometry | null)[]} geometries in the order of the slices.
 */
export function sliceDistance(geometries) {
  const steps = [];
  for (let place = 1; place < geometries.length; place += 1) {
    const [one, other] = [geometries[place - 1], geometries[place]];
    if (one && other) steps.push(Math.hypot(...one.center_mm.map((value, axis) => value - other.center_mm[axis])));
  }
  steps.sort((a, b) => a - b);
  return steps.length ? steps[steps.length >> 1] : null;
}

/**
 * "0.94 × 0.94 × 5.00 mm": between the pixels of a picture, and between the slices where there are several.
 *
 * @param {Geometry} geometry
 * @param {{ width: number, height: number }} picture pixels.
 * @param {number | null} distance of the slices.
 */
export function spacing({ size_mm: size }, { width, height }, distance) {
  if (!size) return "";
  const parts = [size[0] / width, size[1] / height, ...(distance === null ? [] : [distance])];
  return `${parts.map((part) => part.toFixed(2)).join(" × ")}\u00a0mm`;
}

/** What the letters at the sides mean. @type {Record<string, string>} */
const NAMES = { R: "right", L: "left", A: "anterior", P: "posterior", S: "superior", I: "inferior" };

/**
 * "the patient's right is on the left of the picture", for screen readers.
 *
 * @param {Geometry} geometry
 */
export const sidesInWords = ({ sides: [left, , top] }) =>
  `the patient's ${NAMES[left[0]]} is on the left of the picture, ${NAMES[top[0]]} is at its top`;
