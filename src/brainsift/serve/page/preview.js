// @ts-check
// The picture of a volume that is being scored: its result comes only after its last slice.

/** @import { Intake } from "./intake.js" */

import { pictureOf } from "./api.js";
import { byId, setText } from "./dom.js";
import { count, counted } from "./words.js";

/**
 * Shows the middle slice of what is being scored, until its case is there: large where no case is open, else above the list.
 *
 * @param {Intake} intake
 * @param {() => boolean} hasRoom whether there is room for it where cases are shown.
 */
export function listenForPreview(intake, hasRoom) {
  const [figure, image] = [byId("preview"), byId("preview-image", HTMLImageElement)];
  image.addEventListener("load", () => {
    figure.hidden = !intake.pending;
  });
  image.addEventListener("error", () => {
    figure.hidden = true; // it cannot be read: the case says why
  });
  intake.on("progress", () => {
    const { pending } = intake;
    if (!pending) {
      figure.hidden = true;
      image.removeAttribute("src");
      return;
    }
    const { job, name, done, total } = pending;
    const place = byId(hasRoom() ? "case-none" : "pending");
    if (figure.parentElement !== place) place.append(figure);
    const src = pictureOf(job, Math.floor(total / 2));
    if (image.src !== src) image.src = src;
    image.alt = `Middle slice of ${name}. It has no result yet.`;
    setText(byId("preview-words"), `${name}: ${count(done)} of ${counted(total, "slice")} scored. The result comes after the last one.`);
  });
}
