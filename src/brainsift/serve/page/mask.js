// @ts-check
// The mask that a reader draws: one bit per pixel of the source image.

/** @import { Point } from "./contour.js" */
/** @import { Picture } from "./pictures.js" */

/** Pixel (0, 0) has its center at (0.5, 0.5). */
export class Mask {
  /**
   * @param {number} width pixels.
   * @param {number} height pixels.
   */
  constructor(width, height) {
    this.width = width;
    this.height = height;
    this.bits = new Uint8Array(width * height);
  }

  /**
   * The mask of runs, row by row from the top left; the first one is outside, and they alternate.
   *
   * @param {number} width
   * @param {number} height
   * @param {number[]} runs
   */
  static ofRuns(width, height, runs) {
    const mask = new Mask(width, height);
    let place = 0;
    runs.forEach((length, number) => {
      if (number % 2) mask.bits.fill(1, place, place + length);
      place += length;
    });
    return mask;
  }

  /**
   * Where a tumor map is above a level; between the pixels of a smaller map it changes evenly, as on the screen.
   *
   * @param {Pick<Picture, "width" | "height" | "gray">} map
   * @param {number} level between 0 and 255.
   * @param {number} width of the mask.
   * @param {number} height
   */
  static ofMap(map, level, width, height) {
    const mask = new Mask(width, height);
    const columns = between(width, map.width);
    const rows = between(height, map.height);
    for (let y = 0; y < height; y += 1) {
      const [top, bottom, down] = rows(y);
      for (let x = 0; x < width; x += 1) {
        const [left, right, across] = columns(x);
        const above = map.gray[top * map.width + left] * (1 - across) + map.gray[top * map.width + right] * across;
        const below = map.gray[bottom * map.width + left] * (1 - across) + map.gray[bottom * map.width + right] * across;
        if (above * (1 - down) + below * down > level) mask.bits[y * width + x] = 1;
      }
    }
    return mask;
  }

  /** The runs of `ofRuns`. @returns {number[]} */
  get runs() {
    const { bits } = this;
    const runs = [];
    let from = 0;
    for (let value = 1; from < bits.length; value = 1 - value) {
      const found = bits.indexOf(value, from);
      const next = found < 0 ? bits.length : found;
      runs.push(next - from);
      from = next;
    }
    return runs;
  }

  /**
   * Draws with a round brush along a line: all pixels whose centers it passes over, and the one below its end.
   *
   * @param {Point} from
   * @param {Point} to
   * @param {number} radius pixels.
   * @param {boolean} inside whether what is drawn lies inside.
   */
  stroke(from, to, radius, inside) {
    const { width, height, bits } = this;
    const value = Number(inside);
    const [dx, dy] = [to[0] - from[0], to[1] - from[1]];
    const square = dx * dx + dy * dy;
    const [left, right] = range(Math.min(from[0], to[0]) - radius, Math.max(from[0], to[0]) + radius, width);
    const [top, bottom] = range(Math.min(from[1], to[1]) - radius, Math.max(from[1], to[1]) + radius, height);
    for (let y = top; y < bottom; y += 1) {
      for (let x = left; x < right; x += 1) {
        const [px, py] = [x + 0.5 - from[0], y + 0.5 - from[1]];
        const along = square ? Math.min(Math.max((px * dx + py * dy) / square, 0), 1) : 0;
        const [ex, ey] = [px - along * dx, py - along * dy];
        if (ex * ex + ey * ey <= radius * radius) bits[y * width + x] = value;
      }
    }
    const [x, y] = [Math.floor(to[0]), Math.floor(to[1])];
    if (x >= 0 && y >= 0 && x < width && y < height) bits[y * width + x] = value;
  }

  /**
   * Adds the inside of a closed line: all pixels whose centers it goes round (even-odd rule).
   *
   * @param {Point[]} points
   */
  enclose(points) {
    const { width, height, bits } = this;
    const ys = points.map(([, y]) => y);
    const [top, bottom] = range(Math.min(...ys), Math.max(...ys), height);
    for (let y = top; y < bottom; y += 1) {
      const middle = y + 0.5;
      /** @type {number[]} */
      const crossed = [];
      points.forEach(([x1, y1], number) => {
        const [x2, y2] = points[(number + 1) % points.length];
        if (y1 <= middle !== y2 <= middle) crossed.push(x1 + ((middle - y1) / (y2 - y1)) * (x2 - x1));
      });
      crossed.sort((one, other) => one - other);
      for (let pair = 0; pair + 1 < crossed.length; pair += 2) {
        const [left, right] = [crossed[pair], crossed[pair + 1]].map((x) => Math.min(Math.max(Math.ceil(x - 0.5), 0), width));
        bits.fill(1, y * width + left, y * width + right);
      }
    }
  }

  /** The closed lines along the edges of its pixels; filled by the even-odd rule they are the mask. @returns {Point[][]} */
  get outlines() {
    const { width, height, bits } = this;
    const wide = width + 1; // of the grid of corners
    const first = bits.indexOf(1);
    if (first < 0) return [];
    /** @type {Map<number, number[]>} */
    const edges = new Map(); // corner to the corners that an edge leads to, with the inside on its right
    /** @type {(from: number, to: number) => void} */
    const add = (from, to) => {
      const known = edges.get(from);
      if (known) known.push(to);
      else edges.set(from, [to]);
    };
    const last = Math.floor(bits.lastIndexOf(1) / width);
    for (let y = Math.floor(first / width); y <= last; y += 1) {
      for (let x = bits.indexOf(1, y * width) - y * width; x >= 0 && x < width; x += 1) {
        const place = y * width + x;
        if (!bits[place]) continue;
        const corner = y * wide + x;
        if (y === 0 || !bits[place - width]) add(corner, corner + 1);
        if (x === width - 1 || !bits[place + 1]) add(corner + 1, corner + 1 + wide);
        if (y === height - 1 || !bits[place + width]) add(corner + 1 + wide, corner + wide);
        if (x === 0 || !bits[place - 1]) add(corner + wide, corner);
      }
    }
    const found = [];
    for (const start of edges.keys()) {
      for (let from = start, step = 0, line = /** @type {Point[]} */ ([]); ; ) {
        const to = edges.get(from)?.pop();
        if (to === undefined) {
          if (line.length) found.push(line);
          break;
        }
        if (to - from !== step) line.push([from % wide, Math.floor(from / wide)]);
        step = to - from;
        from = to;
      }
    }
    return found;
  }
}

/** How many pixels of runs lie inside. @param {number[]} runs */
export const areaOf = (runs) => runs.reduce((sum, length, number) => sum + (number % 2 ? length : 0), 0);

/**
 * The pixels whose centers may lie between two places.
 *
 * @type {(from: number, to: number, count: number) => [first: number, end: number]}
 */
const range = (from, to, count) => [Math.max(0, Math.floor(from)), Math.min(count, Math.ceil(to) + 1)];

/**
 * For pixels of a line of one length: the two pixels of another length that they lie between, and how far.
 *
 * @param {number} count
 * @param {number} other
 * @returns {(place: number) => [one: number, next: number, share: number]}
 */
function between(count, other) {
  return (place) => {
    const at = Math.min(Math.max(((place + 0.5) * other) / count - 0.5, 0), other - 1);
    const one = Math.min(Math.floor(at), Math.max(other - 2, 0));
    return [one, Math.min(one + 1, other - 1), at - one];
  };
}
