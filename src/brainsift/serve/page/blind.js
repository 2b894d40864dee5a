// @ts-check
// Blind mode: the result of a case stays hidden until the reader has judged it. Whoever sees a result first tends to
// agree with it (anchoring).

/** @import { Case } from "./cases.js" */

import { Emitter } from "./emitter.js";
import { sidesInWords } from "./places.js";
import { recall, remember } from "./stored.js";
import { label, number, predicted, sliceLabel } from "./words.js";

const STORED = "brainsift.blind";

/** @typedef {Pick<Case, "status" | "verdict">} Judged */

/** Tells when it is "switched". @extends {Emitter<{ switched: null }>} */
class Blind extends Emitter {
  isOn = false;

  /** Takes up what the reader chose before; without a history there are no verdicts, and nothing is ever hidden. */
  restore() {
    this.set(recall(STORED) === "true");
  }

  /** @param {boolean} yes */
  set(yes) {
    this.isOn = yes;
    remember(STORED, String(yes));
    this.emit("switched", null);
  }
}

export const blind = new Blind();

/**
 * Whether the result of a case is hidden; of a file that could not be read there is none.
 *
 * @param {Judged} one
 */
export const isHidden = ({ status, verdict }) => blind.isOn && status !== "unreadable" && verdict === null;

/**
 * A case in words for screen readers: with its result, unless that is hidden.
 *
 * @param {Pick<Case, "name" | "decision" | "probability"> & Judged} one
 */
export const said = (one) => (isHidden(one) ? one.name : predicted(one.name, one));

/**
 * Describes the picture of a slice for screen readers, with its result unless that is hidden.
 *
 * @param {Case} one
 * @param {number} [place] of the slice; by default the one that is shown.
 */
export function pictureWords(one, place = one.place) {
  const { name, slices, isVolume, sliceRule } = one;
  const slice = slices[place];
  const which = isVolume ? `${name}, slice ${place + 1} of ${slices.length}` : name;
  const isScored = slice.probability !== null && slice.status === "ok";
  const called = isVolume ? sliceLabel(slice, sliceRule) : label(slice.decision);
  const sides = slice.geometry ? `; ${sidesInWords(slice.geometry)}` : "";
  if (isHidden(one)) return `${which}${sides}`;
  return `${which}: ${called}${isScored ? `, probability of a tumor ${number(slice.probability)}` : ""}${sides}`;
}
