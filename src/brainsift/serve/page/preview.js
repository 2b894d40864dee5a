// @ts-check
// The picture of a volume that is being scored, where no case is open: its result comes only after its last slice.

/** @import { Intake } from "./intake.js" */

import { pictureOf } from "./api.js";
import { byId, setText } from "./dom.js";
import { counted } from "./words.js";

/**
 * Shows the middle slice of what is being scored, until there is a case to show.
 *
 * @param {Intake} intake
 */
export function listenForPreview(intake) {
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
    const src = pictureOf(job, Math.floor(total / 2));
    if (image.src !== src) image.src = src;
    image.alt = `Middle slice of ${name}. It has no result yet.`;
    setText(byId("preview-words"), `${name}: ${done} of ${counted(total, "slice")} scored. The result comes after the last one.`);
  });
}
