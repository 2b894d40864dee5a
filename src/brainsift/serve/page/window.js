// @ts-check
// The window: which values of a picture are black, which are white, and the grays between them.

/** @import { Picture, Window } from "./pictures.js" */

import { figure, percent } from "./words.js";

const WIDEST = 2; // of the range of the picture
const WHOLE_DRAG = 300; // CSS pixels for the width of the window that a picture begins with
const FINEST_DRAG = 0.1; // of what such a drag does with 8 bits

/**
 * The range of a picture, how fine a window in it can be set (shares of the range), and its values in words.
 *
 * @param {Pick<Picture, "most" | "values">} picture
 */
export function rangeOf({ most, values: [start, end] }) {
  const [low, span, inUnits] = [Math.min(start, end), Math.abs(end - start), most > 255];
  /** @type {(value: number) => string} */
  const inWords = inUnits ? (value) => figure(value, span) : (value) => percent(value, 0);
  return { low, span, inUnits, narrowest: inUnits ? 0.001 : 0.02, step: inUnits ? 0.001 : 0.01, inWords };
}

/**
 * A window within the range of the picture. One from another slice may lie beyond, but goes no further.
 *
 * @param {Window} wanted
 * @param {Pick<Picture, "most" | "values">} picture
 * @param {Window} now the window in use.
 * @returns {Window}
 */
export function bounded({ width, level }, picture, now) {
  const { low, span, narrowest } = rangeOf(picture);
  return {
    width: within(width, narrowest * span, WIDEST * span, now.width),
    level: within(level, low, low + span, now.level),
  };
}

/** @type {(value: number, least: number, most: number, now: number) => number} */
const within = (value, least, most, now) => Math.min(Math.max(value, Math.min(least, now)), Math.max(most, now));

/**
 * The window after a drag: to the right it is wider, downwards darker; with 16 bits, a narrow one moves more finely.
 *
 * @param {Window} window
 * @param {Pick<Picture, "most" | "window">} picture
 * @param {number} dx CSS pixels.
 * @param {number} dy CSS pixels.
 * @returns {Window}
 */
export function dragged({ width, level }, picture, dx, dy) {
  const whole = picture.window.width;
  const reach = picture.most === 255 ? whole : Math.min(Math.max(width, FINEST_DRAG * whole), whole);
  return { width: width + (dx * reach) / WHOLE_DRAG, level: level + (dy * reach) / WHOLE_DRAG };
}

/**
 * What each gray of a picture looks like.
 *
 * @param {Pick<Picture, "most" | "values">} picture
 * @param {Window} window
 * @returns {Uint8ClampedArray} 0 to 255 by gray.
 */
export function shadesOf({ most, values: [start, end] }, { width, level }) {
  const shades = new Uint8ClampedArray(most + 1);
  const sign = Math.sign(end - start); // in some files the least value is white
  for (let gray = 0; gray <= most; gray += 1) {
    shades[gray] = 255 * (sign * ((start + (gray / most) * (end - start) - level) / width) + 0.5);
  }
  return shades;
}

/**
 * Windows to begin with, by what they show well; in shares of the range of the first window.
 *
 * @type {[name: string, words: string, low: number, high: number][]}
 */
export const PRESETS = [
  ["usual", "As opened", 0, 1],
  ["t1", "T1: gray and white matter", 0.25, 0.85],
  ["t1-post", "T1 with contrast agent: enhancement", 0.2, 1.4],
  ["t2", "T2: fluid and edema", 0.1, 1.15],
  ["flair", "FLAIR: edema", 0.3, 1.1],
  ["dark", "Dark tissue", 0, 0.5],
];

/**
 * The window of a preset on a picture.
 *
 * @param {string} name
 * @param {Pick<Picture, "window">} picture
 * @returns {Window | null} null for the window as opened.
 */
export function presetOf(name, { window: { width, level } }) {
  const [, , low, high] = PRESETS.find(([known]) => known === name) ?? PRESETS[0];
  if (low === 0 && high === 1) return null;
  return { width: width * (high - low), level: level + width * ((low + high) / 2 - 0.5) };
}
