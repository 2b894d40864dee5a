// @ts-check
// Which slice of one volume belongs to which of another, and which studies of a patient came before.

/** @import { Geometry } from "./api.js" */

const ALIGNED = 0.94; // cosine between the normals of two planes: within 20 degrees
const LEAST_COMMON = 0.5; // of the shorter volume has to lie beside the other one; else their zeros are not the same
const DAY_MS = 86_400_000;

/** @typedef {[number, number, number]} Vector */
/** @typedef {"mm" | "share"} Way by position in mm, or by share of the stack. */

/** @type {(one: Vector, other: Vector) => number} */
const dot = (one, other) => one[0] * other[0] + one[1] * other[1] + one[2] * other[2];

/** @type {(geometry: Geometry) => Vector} */
const normalOf = ({ right: [a, b, c], down: [x, y, z] }) => [b * z - c * y, c * x - a * z, a * y - b * x];

/**
 * Where slices lie along the normal of the first one, mm; null where one of them does not say it.
 *
 * @param {(Geometry | null)[]} slices
 * @param {Vector} normal
 */
function positions(slices, normal) {
  const known = slices.filter((one) => one !== null);
  return known.length === slices.length ? known.map((one) => dot(one.center_mm, normal)) : null;
}

/**
 * How much of the shorter of two rows of positions lies beside the other one, 0 to 1.
 *
 * @param {number[]} one
 * @param {number[]} other
 */
function common(one, other) {
  const [least, most, first, last] = [Math.min(...one), Math.max(...one), Math.min(...other), Math.max(...other)];
  const shorter = Math.min(most - least, last - first);
  const shared = Math.min(most, last) - Math.max(least, first);
  if (shorter > 0) return shared / shorter;
  return shared >= 0 ? 1 : 0;
}

/**
 * How slices of two volumes are matched: by their positions in mm where all of them say where they lie, in planes that are
 * nearly parallel and beside each other; else by share of the stack.
 *
 * @param {(Geometry | null)[]} mine in the order of the slices.
 * @param {(Geometry | null)[]} theirs
 * @returns {{ way: Way, partnerOf: (place: number) => number }} `partnerOf` gives the place of the slice of theirs that
 *   belongs to one of mine.
 */
export function pair(mine, theirs) {
  const [first, other] = [mine[0], theirs[0]];
  const last = theirs.length - 1;
  if (first && other && Math.abs(dot(normalOf(first), normalOf(other))) >= ALIGNED) {
    const [own, found] = [positions(mine, normalOf(first)), positions(theirs, normalOf(first))];
    if (own && found && common(own, found) >= LEAST_COMMON) {
      return { way: "mm", partnerOf: (place) => nearestTo(own[place], found) };
    }
  }
  const steps = Math.max(mine.length - 1, 1);
  return { way: "share", partnerOf: (place) => (mine.length === 1 ? last >> 1 : Math.round((place / steps) * last)) };
}

/**
 * @param {number} wanted
 * @param {number[]} found
 */
function nearestTo(wanted, found) {
  let best = 0;
  for (let place = 1; place < found.length; place += 1) {
    if (Math.abs(found[place] - wanted) < Math.abs(found[best] - wanted)) best = place;
  }
  return best;
}

/**
 * The studies of the same patient from days before, the latest first. Nothing where the file does not say who the patient
 * is: a name is not enough.
 *
 * @template {{ patient: string, studyDate: string }} T
 * @param {{ patient: string, studyDate: string }} one
 * @param {T[]} others
 * @returns {T[]}
 */
export function earlierOf({ patient, studyDate }, others) {
  if (!patient || !studyDate) return [];
  const found = others.filter((other) => other.patient === patient && other.studyDate && other.studyDate < studyDate);
  return found.sort((a, b) => (a.studyDate < b.studyDate ? 1 : a.studyDate > b.studyDate ? -1 : 0));
}

/**
 * "8 months (245 days)": how long after one day another one is.
 *
 * @param {string} from ISO 8601.
 * @param {string} to
 */
export function intervalInWords(from, to) {
  const days = Math.round((Date.parse(to) - Date.parse(from)) / DAY_MS);
  const exact = `${days.toLocaleString("en")} ${days === 1 ? "day" : "days"}`;
  if (days < 14) return exact;
  const [count, unit] = days < 60 ? [days / 7, "weeks"] : days < 730 ? [days / 30.44, "months"] : [days / 365.25, "years"];
  return `${count.toFixed(unit === "years" ? 1 : 0)} ${unit} (${exact})`;
}
