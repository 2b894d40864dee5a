// Files become groups, one job each.
import assert from "node:assert/strict";
import { test } from "node:test";

import { filesOfPicker, groupFiles } from "../../src/brainsift/serve/page/files.js";

const LIMITS = { files: 100, upload_mb: 1 };
const found = (name, { folder = "", size = 10, head = "" } = {}) => {
  const content = new Uint8Array(size);
  if (head) content.set(new TextEncoder().encode(head), 128);
  return { folder, file: Object.assign(new Blob([content]), { name }) };
};
const names = ({ files }) => files.map(({ file }) => file.name);

test("images go together, volumes and archives alone, a series by its folder; the smallest volume first", async () => {
  const files = [
    found("large.nii.gz", { size: 900 }), found("b10.png"), found("b9.PNG"), found("study.zip", { size: 300 }),
    found("2.dcm", { folder: "s/" }), found("IM1", { folder: "s/", size: 200, head: "DICM" }),
  ];
  const { groups, skipped, closed } = await groupFiles(files, LIMITS);
  assert.deepEqual(groups.map((one) => [one.kind, one.folder, names(one)]), [
    ["image", "", ["b9.PNG", "b10.png"]],
    ["dicom", "s/", ["2.dcm", "IM1"]],
    ["zip", "", ["study.zip"]],
    ["nifti", "", ["large.nii.gz"]],
  ]);
  assert.deepEqual([skipped, closed], [0, 0]);
  assert.deepEqual(groups.flatMap(({ files: placed }) => placed.map(({ place }) => place)).sort(), [0, 1, 2, 3, 4, 5]);
});

test("a folder's other files are left out, a picked file never is; what could not be opened is counted", async () => {
  const files = [
    found("notes.txt", { folder: "s/" }), found(".DS_Store", { folder: "s/" }), found("DICOMDIR", { folder: "s/", size: 200, head: "DICM" }),
    found("a.png", { folder: "s/" }), found("plain"), null,
  ];
  const { groups, skipped, closed } = await groupFiles(files, LIMITS);
  assert.deepEqual(groups.map(names), [["plain", "a.png"]]);
  assert.deepEqual([skipped, closed], [3, 1]);
});

test("a file that is gone counts as an image: what sends it says so", async () => {
  const gone = found("plain");
  gone.file.slice = () => ({ text: () => Promise.reject(new DOMException("gone", "NotFoundError")) });
  assert.deepEqual((await groupFiles([gone], LIMITS)).groups.map((one) => one.kind), ["image"]);
});

test("images are split by number and by bytes; each file is in one job", async () => {
  const many = Array.from({ length: 50 }, (_, place) => found(`${place}.png`));
  assert.deepEqual((await groupFiles(many, LIMITS)).groups.map(({ files }) => files.length), [24, 24, 2]);
  assert.deepEqual((await groupFiles(many, { ...LIMITS, files: 20 })).groups.map(({ files }) => files.length), [20, 20, 10]);
  const large = ["a.png", "b.png", "c.png"].map((name) => found(name, { size: 600_000 }));
  assert.deepEqual((await groupFiles(large, LIMITS)).groups.map(names), [["a.png"], ["b.png"], ["c.png"]]);
  const mixed = [large[0], found("d.png", { size: 900_000 }), found("e.png"), found("f.png")];
  assert.deepEqual((await groupFiles(mixed, LIMITS)).groups.map(names), [["a.png"], ["d.png", "e.png", "f.png"]]);
  assert.deepEqual((await groupFiles([found("a.png", { size: 2 ** 21 })], LIMITS)).groups.map(names), [["a.png"]]);
});

test("a series that is more than one upload stays whole, and says so", async () => {
  const series = Array.from({ length: 3 }, (_, place) => found(`${place}.dcm`, { folder: "s/", size: 400_000 }));
  for (const [limits, tooMany] of [[LIMITS, true], [{ ...LIMITS, upload_mb: 2 }, false], [{ files: 2, upload_mb: 2 }, true]]) {
    const { groups } = await groupFiles(series, limits);
    assert.deepEqual(groups.map((one) => [one.files.length, one.tooMany]), [[3, tooMany]]);
  }
});

test("files of a picked folder know their folder", () => {
  const files = [{ name: "a.png", webkitRelativePath: "s/t/a.png" }, { name: "b.png", webkitRelativePath: "" }];
  assert.deepEqual(filesOfPicker(files).map(({ folder }) => folder), ["s/t/", ""]);
});
