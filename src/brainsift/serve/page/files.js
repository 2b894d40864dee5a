// What was dropped or picked -> groups of files, one job each.

const IMAGES_A_JOB = 24;
const MEGABYTE = 1024 * 1024;
const NIFTI = /\.nii(\.gz)?$/i;
const ZIP = /\.zip$/i;
const DICOM = /\.(dcm|ima)$/i;
const IMAGE = /\.(jpe?g|png|tiff?|bmp|gif|webp)$/i;
const SKIPPED = /^(\.|dicomdir$|thumbs\.db$|desktop\.ini$)/i;

const inOrder = new Intl.Collator("en", { numeric: true });

async function entriesOf(directory) {
  const reader = directory.createReader();
  const all = [];
  for (;;) {
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject)); // 100 at a time
    if (!some.length) return all;
    all.push(...some);
  }
}

async function walk(entry, folder, found) {
  try {
    if (entry.isDirectory) {
      for (const child of await entriesOf(entry)) await walk(child, `${folder}${entry.name}/`, found);
    } else found.push({ file: await new Promise((resolve, reject) => entry.file(resolve, reject)), folder });
  } catch {
    found.push({ file: null, folder }); // it loses itself, not the others
  }
}

/** Files of a drop, folders walked: [{file, folder}]; `file` is null where one could not be opened. */
export async function filesOfDrop(transfer) {
  // entries and files have to be taken before the first await, when the transfer closes
  const entries = [...transfer.items].filter((item) => item.kind === "file").map((item) => item.webkitGetAsEntry?.());
  if (entries.some((entry) => !entry)) return [...transfer.files].map((file) => ({ file, folder: "" }));
  const found = [];
  for (const entry of entries) await walk(entry, "", found);
  return found;
}

/** Files of a picker; those of a folder know their path. */
export const filesOfPicker = (list) =>
  [...list].map((file) => ({ file, folder: file.webkitRelativePath.slice(0, -file.name.length) }));

async function kindOf({ file, folder }) {
  if (NIFTI.test(file.name)) return "nifti";
  if (ZIP.test(file.name)) return "zip";
  if (DICOM.test(file.name)) return "dicom";
  if (IMAGE.test(file.name)) return "image";
  const head = await file.slice(128, 132).text().catch(() => null); // it is gone: what sends it says so
  if (head === null) return "image";
  if (head === "DICM") return "dicom";
  return folder ? "" : "image"; // of a folder's odd files none is meant; a file that was picked gets its answer
}

function chunks(files, limits) {
  const all = [[]];
  let bytes = 0;
  for (const one of files) {
    const full = all.at(-1).length >= Math.min(limits.count, limits.files) || bytes + one.file.size > limits.bytes;
    if (full && all.at(-1).length) {
      all.push([]);
      bytes = 0;
    }
    all.at(-1).push(one);
    bytes += one.file.size;
  }
  return all.filter((some) => some.length);
}

/**
 * Groups files into jobs: all DICOM files of a folder together, since they may be a series; each volume and archive by
 * itself; images some at a time, so that the first answers come soon.
 *
 * Returns {groups: [{kind, folder, files, tooMany}], skipped, closed}: each file has its `place` among all; `tooMany` of
 * DICOM files that are more than one job takes, and of which parts would get other answers; `skipped` counts files of
 * folders that are not images, `closed` what could not be opened.
 */
export async function grouped(found, { upload_mb: megabytes, files: most }) {
  const limits = { files: most, bytes: megabytes * MEGABYTE, count: Infinity };
  const opened = found.filter(({ file }) => file);
  const wanted = opened.filter(({ file, folder }) => !(folder && SKIPPED.test(file.name)));
  wanted.sort((a, b) => inOrder.compare(a.folder, b.folder) || inOrder.compare(a.file.name, b.file.name));
  const groups = [];
  const series = new Map();
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
    if (kind === "dicom") series.set(one.folder, [...(series.get(one.folder) ?? []), one]);
    else if (kind === "image") images.push(one);
    else groups.push({ kind, folder: one.folder, files: [one] });
  }
  for (const some of chunks(images, { ...limits, count: IMAGES_A_JOB })) groups.push({ kind: "image", folder: "", files: some });
  for (const [folder, files] of series) {
    groups.push({ kind: "dicom", folder, files, tooMany: chunks(files, limits).length > 1 });
  }
  const weight = ({ kind, files }) => (kind === "image" ? -1 : files.reduce((sum, { file }) => sum + file.size, 0));
  groups.sort((a, b) => weight(a) - weight(b)); // images in their order, then the smallest volume
  return { groups, skipped, closed: found.length - opened.length };
}
