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

/** A DICOM header, explicit and little endian: pairs of tag and value, in order. */
function header(elements, { syntax = "1.2.840.10008.1.2.1" } = {}) {
  const bytes = [];
  const put = (group, element, kind, value) => {
    const text = value.length % 2 ? `${value}\0` : value;
    bytes.push(group & 255, group >> 8, element & 255, element >> 8, ...new TextEncoder().encode(kind));
    bytes.push(text.length & 255, text.length >> 8, ...new TextEncoder().encode(text));
  };
  put(2, 0x10, "UI", syntax);
  const implicit = syntax === "1.2.840.10008.1.2";
  for (const [group, element, kind, value] of elements) {
    if (Array.isArray(value)) bytes.push(group & 255, group >> 8, element & 255, element >> 8, ...value);
    else if (!implicit) put(group, element, kind, value);
    else {
      const text = value.length % 2 ? `${value}\0` : value;
      bytes.push(group & 255, group >> 8, element & 255, element >> 8, text.length, 0, 0, 0, ...new TextEncoder().encode(text));
    }
  }
  return new Uint8Array([...new Uint8Array(128), ...new TextEncoder().encode("DICM"), ...bytes]);
}
const dicom = (name, folder, elements, options) => ({ folder, file: Object.assign(new Blob([header(elements, options)]), { name }) });
/** A sequence without a length, with the same tag inside: it says nothing of the file. */
const NESTED = [0x53, 0x51, 0, 0, 255, 255, 255, 255, 0xfe, 0xff, 0, 0xe0, 255, 255, 255, 255, 0x20, 0, 0x0e, 0, 0x55, 0x49, 2, 0, 0x39, 0, 0xfe, 0xff, 0x0d, 0xe0, 0, 0, 0, 0, 0xfe, 0xff, 0xdd, 0xe0, 0, 0, 0, 0];

test("the files of one series are one job, in whichever folders they lie, and those of another are another", async () => {
  const uid = (value) => [[0x20, 0x0d, "UI", "1.1"], [0x20, 0x0e, "UI", value]];
  const files = [
    dicom("1", "study/a/", uid("1.2")), dicom("2", "study/b/", [[8, 0x1140, "SQ", NESTED], ...uid("1.2")]), dicom("3", "study/b/", uid("1.3")),
    dicom("4", "study/c/", uid("1.2"), { syntax: "1.2.840.10008.1.2" }),
  ];
  const { groups } = await groupFiles(files, LIMITS);
  assert.deepEqual(groups.map((one) => [one.folder, names(one)]), [["study/b/", ["3"]], ["study/", ["1", "2", "4"]]]);
});

test("without an identifier, a person keeps files together, else the folder", async () => {
  const named = (name, folder) => dicom(name, folder, [[0x10, 0x20, "LO", "7731"], [0x28, 0x10, "US", "xx"]]);
  const bare = (name, folder) => dicom(name, folder, [[0x28, 0x10, "US", "xx"]]);
  const { groups } = await groupFiles([named("1", "a/"), named("2", "b/"), bare("3", "a/"), bare("4", "b/")], LIMITS);
  assert.deepEqual(groups.map((one) => [one.folder, names(one)]), [["a/", ["3"]], ["b/", ["4"]], ["", ["1", "2"]]]);
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
