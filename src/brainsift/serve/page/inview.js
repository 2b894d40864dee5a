// @ts-check
// Which lines of a long list are in the document: those in view with some more above and below, and a few that have to
// stay. The others are gaps, as high as the lines they stand for.

/** @typedef {[from: number, to: number]} Span Lines; `to` is the first that no longer belongs. */

const LEAST = 4; // lines more than those in view, above and below

/**
 * The lines to draw, in their order.
 *
 * @param {object} list
 * @param {number} list.count lines.
 * @param {number} list.pitch from one line to the next, pixels.
 * @param {number} list.top how far the list is scrolled, pixels; below 0 where it begins further down.
 * @param {number} list.height of what can be seen of it, pixels.
 * @param {number[]} stay lines that stay, each with its neighbors, so that Tab leads on from them.
 * @returns {Span[]} without overlaps.
 */
export function spansInView({ count, pitch, top, height }, stay = []) {
  const more = Math.max(height / 2, LEAST * pitch);
  const start = Math.min(Math.max(top, 0), Math.max(count * pitch - height, 0)); // it may just have become shorter
  /** @type {Span[]} */
  const wanted = [[Math.floor((start - more) / pitch), Math.ceil((start + height + more) / pitch)], ...stay.map((line) => /** @type {Span} */ ([line - 1, line + 2]))];
  /** @type {Span[]} */
  const spans = [];
  for (const [from, to] of wanted.sort(([one], [other]) => one - other)) {
    const span = /** @type {Span} */ ([Math.max(from, 0), Math.min(to, count)]);
    const last = spans.at(-1);
    if (last && span[0] <= last[1]) last[1] = Math.max(last[1], span[1]);
    else if (span[0] < span[1]) spans.push(span);
  }
  return spans;
}
