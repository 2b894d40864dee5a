// @ts-check
// Files come in: dropped anywhere on the page, picked, or pasted.

/** @import { Found } from "./files.js" */

import { all, byId } from "./dom.js";
import { filesOfDrop, filesOfPicker } from "./files.js";

/** @typedef {(found: Promise<(Found | null)[]>) => void} OnFiles called with null for what could not be opened. */

/** @param {OnFiles} onfiles */
export function listenForFiles(onfiles) {
  for (const id of ["pick-files", "pick-folder"]) {
    const input = byId(id, HTMLInputElement);
    input.addEventListener("change", () => {
      const found = filesOfPicker(input.files ?? []);
      input.value = ""; // so that the same file can be picked again
      onfiles(Promise.resolve(found));
    });
    for (const button of all(`[data-opens=${id}]`)) button.addEventListener("click", () => input.click());
  }
  listenForDrops(onfiles);
  document.addEventListener("paste", (event) => {
    const files = [...(event.clipboardData?.files ?? [])];
    if (files.length) onfiles(Promise.resolve(files.map((file) => ({ file, folder: "" }))));
  });
}

/** @param {OnFiles} onfiles */
function listenForDrops(onfiles) {
  let depth = 0; // dragenter and dragleave come for every child
  /** @type {(event: DragEvent) => DataTransfer | null} */
  const filesIn = ({ dataTransfer }) => (dataTransfer?.types.includes("Files") ? dataTransfer : null);
  /** @param {boolean} yes */
  const show = (yes) => document.body.classList.toggle("dragging", yes);
  document.addEventListener("dragenter", (event) => {
    if (!filesIn(event)) return;
    depth += 1;
    show(true);
  });
  document.addEventListener("dragleave", (event) => {
    if (!filesIn(event)) return;
    depth = Math.max(depth - 1, 0);
    show(depth > 0);
  });
  document.addEventListener("dragover", (event) => {
    const files = filesIn(event);
    if (!files) return;
    event.preventDefault();
    files.dropEffect = "copy";
  });
  document.addEventListener("drop", (event) => {
    const files = filesIn(event);
    if (!files) return;
    event.preventDefault();
    depth = 0;
    show(false);
    onfiles(filesOfDrop(files));
  });
}
