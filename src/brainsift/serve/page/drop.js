// Files come in: dropped anywhere on the page, picked, or pasted.

import { byId } from "./dom.js";
import { filesOfDrop, filesOfPicker } from "./files.js";

/** Calls `onfiles` with a promise of [{file, folder}]. */
export function listenForFiles(onfiles) {
  for (const id of ["pick-files", "pick-folder"]) {
    const input = byId(id);
    input.addEventListener("change", () => {
      const found = filesOfPicker(input.files);
      input.value = ""; // so that the same file can be picked again
      onfiles(Promise.resolve(found));
    });
    for (const button of document.querySelectorAll(`[data-opens=${id}]`)) button.addEventListener("click", () => input.click());
  }
  listenForDrops(onfiles);
  document.addEventListener("paste", (event) => {
    const files = [...event.clipboardData.files];
    if (files.length) onfiles(Promise.resolve(files.map((file) => ({ file, folder: "" }))));
  });
}

function listenForDrops(onfiles) {
  let depth = 0; // dragenter and dragleave come for every child
  const hasFiles = (event) => [...event.dataTransfer.types].includes("Files");
  const show = (yes) => document.body.classList.toggle("dragging", yes);
  document.addEventListener("dragenter", (event) => {
    if (!hasFiles(event)) return;
    depth += 1;
    show(true);
  });
  document.addEventListener("dragleave", (event) => {
    if (!hasFiles(event)) return;
    depth = Math.max(depth - 1, 0);
    show(depth > 0);
  });
  document.addEventListener("dragover", (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    event.dataTransfer.dropEffect = "copy";
  });
  document.addEventListener("drop", (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    depth = 0;
    show(false);
    onfiles(filesOfDrop(event.dataTransfer));
  });
}
