// @ts-check
// What was dropped or picked -> groups of files, one job each.

/** @import { Limits } from "./api.js" */

import { seriesOf } from "./dicom.js";

/**
 * @typedef {{ file: File, folder: string }} Found A file, and the folder that it was in, ending with "/"; or "".
 * @typedef {Found & { place: number }} PlacedFile with its place among all files that were added together.
 *
 * @typedef {object} Group Files for one job.
 * @property {"image" | "nifti" | "zip" | "dicom"} kind
 * @property {string} folder
 * @property {PlacedFile[]} files
 * @property {boolean} [tooMany] whether these DICOM files are more than one job takes. Parts of them would get other
 *   predictions.
 */

const IMAGES_PER_JOB = 24;
export const MEGABYTE = 1024 * 1024;
const NIFTI = /\.nii(\.gz)?$/i;
const ZIP = /\.zip$/i;
const DICOM = /\.(dcm|ima)$/i;
const IMAGE = /\.(jpe?g|png|tiff?|bmp|gif|webp)$/i;
const SKIPPED = /^(\.|dicomdir$|thumbs\.db$|desktop\.ini$)/i;

const inOrder = new Intl.Collator("en", { numeric: true });

/** @param {FileSystemDirectoryEntry} directory */
async function entriesOf(directory) {
  const reader = directory.createReader();
  /** @type {FileSystemEntry[]} */
  const all = [];
  for (;;) {
    /** @type {FileSystemEntry[]} */
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject)); // 100 at a time
    if (!some.length) return all;
    all.push(...some);
  }
}

/**
 * Lists the files of an entry and of the folders in it; null for each that could not be opened.
 *
 * @param {FileSystemEntry} entry
 * @param {string} folder
 * @returns {Promise<(Found | null)[]>}
 */
async function walk(entry, folder) {
  try {
    if (!isDirectory(entry)) {
      const file = await new Promise((resolve, reject) => /** @type {FileSystemFileEntry} */ (entry).file(resolve, reject));
      return [{ file, folder }];
    }
    const found = [];
    for (const child of await entriesOf(entry)) found.push(...(await walk(child, `${folder}${entry.name}/`)));
    return found;
  } catch {
    return [null];
  }
}

/**
 * @param {FileSystemEntry} entry
 * @returns {entry is FileSystemDirectoryEntry}
 */
const isDirectory = (entry) => entry.isDirectory;

/**
 * Files of a drop, folders walked; null for each file or folder that could not be opened.
 *
 * @param {DataTransfer} transfer
 * @returns {Promise<(Found | null)[]>}
 */
export async function filesOfDrop(transfer) {
  // entries and files have to be taken before the first await, when the transfer closes
  const entries = [...transfer.items].filter((item) => item.kind === "file").map((item) => item.webkitGetAsEntry?.());
  const files = [...transfer.files].map((file) => ({ file, folder: "" }));
  const found = [];
  for (const entry of entries) {
    if (!entry) return files;
    found.push(...(await walk(entry, "")));
  }
  return found;
}

/**
 * Files of a picker; those of a folder know their path.
 *
 * @param {Iterable<File>} list
 * @returns {Found[]}
 */
export const filesOfPicker = (list) =>
  [...list].map((file) => ({ file, folder: file.webkitRelativePath.slice(0, -file.name.length) }));

/**
 * @param {Found} found
 * @returns {Promise<Group["kind"] | null>} null if the file is not an image.
 */
async function kindOf({ file, folder }) {
  if (NIFTI.test(file.name)) return "nifti";
  if (ZIP.test(file.name)) return "zip";
  if (DICOM.test(file.name)) return "dicom";
  if (IMAGE.test(file.name)) return "image";
  const head = await file.slice(128, 132).text().catch(() => null); // it is gone: what sends it says so
  if (head === null) return "image";
  if (head === "DICM") return "dicom";
  return folder ? null : "image"; // nobody meant the odd files of a folder; a file that was picked gets its prediction
}

/**
 * Splits files into parts within a number of files and of bytes; a larger file is a part by itself.
 *
 * @param {PlacedFile[]} files
 * @param {number} most
 * @param {number} mostBytes
 */
function split(files, most, mostBytes) {
  /** @type {PlacedFile[][]} */
  const parts = [];
  /** @type {PlacedFile[]} */
  let part = [];
  let bytes = 0;
  for (const one of files) {
    if (!part.length || part.length >= most || bytes + one.file.size > mostBytes) {
      part = [];
      parts.push(part);
      bytes = 0;
    }
    part.push(one);
    bytes += one.file.size;
  }
  return parts;
}

/**
 * The innermost folder that holds all of the files.
 *
 * @param {PlacedFile[]} files
 */
function commonFolder([first, ...others]) {
  let { folder } = first;
  while (!others.every((one) => one.folder.startsWith(folder))) folder = folder.replace(/[^/]*\/$/, "");
  return folder;
}

/**
 * Groups files into jobs: DICOM files that may be one series together, in whichever folders they lie; each volume and
 * archive by itself; images some at a time, so that the first predictions come soon.
 *
 * @param {(Found | null)[]} found null for what could not be opened.
 * @param {Limits} limits
 * @returns {Promise<{ groups: Group[], skipped: number, closed: number }>} `skipped` counts files of folders that are
 *   not images, `closed` what could not be opened.
 */
export async function groupFiles(found, { upload_mb: megabytes, files: most }) {
  const mostBytes = megabytes * MEGABYTE;
  const opened = found.filter((one) => one !== null);
  const wanted = opened.filter(({ file, folder }) => !(folder && SKIPPED.test(file.name)));
  wanted.sort((a, b) => inOrder.compare(a.folder, b.folder) || inOrder.compare(a.file.name, b.file.name));
  /** @type {Group[]} */
  const groups = [];
  /** @type {Map<string, PlacedFile[]>} */
  const series = new Map();
  /** @type {PlacedFile[]} */
  const images = [];
  let skipped = opened.length - wanted.length;
  let place = 0;
  for (const file of wanted) {
    const kind = await kindOf(file);
    if (!kind) {
      skipped += 1;
      continue;
    }
    const one = { ...file, place };
    place += 1;
    if (kind === "dicom") {
      const key = await seriesOf(one.file, one.folder);
      series.set(key, [...(series.get(key) ?? []), one]);
    } else if (kind === "image") images.push(one);
    else groups.push({ kind, folder: one.folder, files: [one] });
  }
  for (const files of split(images, Math.min(IMAGES_PER_JOB, most), mostBytes)) groups.push({ kind: "image", folder: "", files });
  for (const files of series.values()) {
    groups.push({ kind: "dicom", folder: commonFolder(files), files, tooMany: split(files, most, mostBytes).length > 1 });
  }
  /** @type {(group: Group) => number} */
  const weight = ({ kind, files }) => (kind === "image" ? -1 : files.reduce((sum, { file }) => sum + file.size, 0));
  groups.sort((a, b) => weight(a) - weight(b)); // images in their order, then the smallest volume
  return { groups, skipped, closed: found.length - opened.length };
}
