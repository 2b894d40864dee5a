// The window: which values of a picture are black, which are white, and the greys between them.

import { figure, percent } from "./words.js";

const WIDEST = 2; // of the range of the picture
const WHOLE_DRAG = 300; // CSS pixels for the width of the window that a picture begins with
const FINEST_DRAG = 0.1; // of what such a drag does with 8 bits

/** The range of a picture, how fine a window in it can be set (shares of the range), and its values in words. */
export function rangeOf({ most, values: [first, last] }) {
  const [low, span, inUnits] = [Math.min(first, last), Math.abs(last - first), most > 255];
  if (!inUnits) return { low, span, inUnits, narrowest: 0.02, step: 0.01, inWords: (value) => percent(value, 0) };
  return { low, span, inUnits, narrowest: 0.001, step: 0.001, inWords: (value) => figure(value, span) };
}

/** The window that is wanted, within the range of the picture; one from another slice may lie beyond, but goes no further. */
export function bounded({ width, level }, picture, now) {
  const { low, span, narrowest } = rangeOf(picture);
  return {
    width: within(width, narrowest * span, WIDEST * span, now.width),
    level: within(level, low, low + span, now.level),
  };
}

const within = (value, least, most, now) => Math.min(Math.max(value, Math.min(least, now)), Math.max(most, now));

/** The window after a drag: to the right it is wider, downwards darker; with 16 bits, a narrow one moves more finely. */
export function dragged({ width, level }, picture, dx, dy) {
  const whole = picture.window.width;
  const reach = picture.most === 255 ? whole : Math.min(Math.max(width, FINEST_DRAG * whole), whole);
  return { width: width + (dx * reach) / WHOLE_DRAG, level: level + (dy * reach) / WHOLE_DRAG };
}

/** What each grey of a picture looks like, 0 to 255. */
export function shadesOf({ most, values: [first, last] }, { width, level }) {
  const shades = new Uint8ClampedArray(most + 1);
  const sign = Math.sign(last - first); // in some files the least value is white
  for (let grey = 0; grey <= most; grey += 1) {
    shades[grey] = 255 * (sign * ((first + (grey / most) * (last - first) - level) / width) + 0.5);
  }
  return shades;
}
