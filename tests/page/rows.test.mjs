// What the exports hold.
import assert from "node:assert/strict";
import { test } from "node:test";

import { fileName, forReport, localTime, rowsOf, toCsv, toJson, volumesToCsv } from "../../src/brainsift/serve/page/rows.js";
import { UNSURE } from "../../src/brainsift/serve/page/words.js";

const slice = (name, probability, more = {}) => ({ id: 0, name, status: "ok", probability, decision: "tumor", reason: "", detail: "", volume: "", has_map: true, ...more });
const rule = { threshold: 0.6, margin: 0, choice: {}, query: {} };
const model = { name: "lite0", version: "0.1.0", network_sha256: "4d5d", notice: "Research use only." };
const WHEN = new Date("2026-03-02T09:30:00Z");
const ORIGIN = `default,0,lite0,4d5d,0.1.0,${localTime(WHEN)}`;
const HEAD = "path,status,probability,decision,detail,volume,reason,threshold,rule,margin,network,network_sha256,version,made";
const image = { folder: "a/", scored: null, rule, sliceRule: rule, slices: [slice("x.png", 0.91)] };
const broken = { folder: "", scored: null, rule, sliceRule: rule, slices: [slice("y.png", null, { status: "unreadable", decision: "unreadable", reason: "broken_file", detail: 'is, "odd"' })] };
const scored = { volume: "v.nii", exact_probability: 1.9 / 3, n_slices: 3, n_scored: 3, n_not_brain_mri: 0, n_unreadable: 0, reason: "", detail: "", note: "", findings: { tumor: "tumor", refer: "refer to a human" } };
const volume = { folder: "b/", scored, suspicious: [1, 2, 0], rule, sliceRule: rule, slices: [0.2, 0.9, 0.8].map((p, place) => slice(`v.nii#${place + 1}`, p, { volume: "v.nii" })) };

test("one row per slice, with the folder of its file", () => {
  assert.deepEqual(rowsOf([image, volume]).map(({ path, volume: of }) => [path, of]), [
    ["a/x.png", ""],
    ["b/v.nii#1", "b/v.nii"],
    ["b/v.nii#2", "b/v.nii"],
    ["b/v.nii#3", "b/v.nii"],
  ]);
});

test("what the margin refers says so before all else", () => {
  const referred = { ...image, slices: [slice("x.png", 0.5, { decision: "refer", detail: "is nearly empty" })] };
  const rejected = { ...image, slices: [slice("x.png", 0.5, { status: "not_brain_mri", decision: "not_brain_mri", reason: "colored", detail: "has color" })] };
  const found = rowsOf([referred, rejected, image]).map(({ detail, reason }) => [detail, reason]);
  assert.deepEqual(found, [[`${UNSURE}; is nearly empty`, "unsure"], ["has color", "colored"], ["", ""]]);
});

test("what is no brain MRI is referred in the table, as the command line has it", () => {
  const rejected = { ...image, slices: [slice("x.png", 0.97, { status: "not_brain_mri", decision: "not_brain_mri" })] };
  assert.deepEqual(rowsOf([rejected, broken]).map(({ status, decision }) => [status, decision]), [["not_brain_mri", "refer"], ["unreadable", ""]]);
});

test("the table quotes what needs it, and leaves out what is not there", () => {
  const lines = [HEAD, `a/x.png,ok,0.91,tumor,,,,0.6,${ORIGIN}`, `y.png,unreadable,,,"is, ""odd""",,broken_file,0.6,${ORIGIN}`];
  assert.equal(toCsv([image, broken], rule, model, WHEN), lines.map((line) => `${line}\n`).join(""));
  assert.equal(toCsv([], rule, model), `${HEAD}\n`);
});

test("no name or text is a formula for a spreadsheet", () => {
  const named = { ...image, folder: "", slices: [slice("=1+1.png", -0.5, { detail: "@x", volume: "-v" })] };
  assert.equal(toCsv([named], rule, model, WHEN).split("\n")[1], `./=1+1.png,ok,-0.5,tumor,'@x,'-v,,0.6,${ORIGIN}`);
});

test("JSON holds the volumes, the rule and the network", () => {
  const found = JSON.parse(toJson([image, broken, volume], rule, model, WHEN));
  assert.deepEqual([found.rule, found.volume_threshold, new Date(found.made).getTime()], ["default", 0.6, WHEN.getTime()]);
  assert.deepEqual(found.model, { name: "lite0", version: "0.1.0", network_sha256: "4d5d" });
  assert.deepEqual([found.notice, found.threshold, found.margin, found.answers.length], ["Research use only.", 0.6, 0, 5]);
  const [{ probability, ...of }] = found.volumes;
  assert.ok(Math.abs(probability - 1.9 / 3) < 1e-12);
  const suspicious = ["b/v.nii#2", "b/v.nii#3", "b/v.nii#1"];
  const counts = { n_slices: 3, n_scored: 3, n_not_brain_mri: 0, n_unreadable: 0 };
  assert.deepEqual(of, { volume: "b/v.nii", ...counts, decision: "tumor", finding: "tumor", threshold: 0.6, reason: "", detail: "", suspicious });
});

test("volumes have a table of their own, with what made it", () => {
  const [head, line, end] = volumesToCsv([image, volume], { ...rule, choice: { name: "confirm" } }, model, WHEN).split("\n");
  assert.equal(head, "volume,n_slices,probability,decision,finding,threshold,suspicious,n_scored,n_not_brain_mri,n_unreadable,reason,detail,rule,margin,network,network_sha256,version,made");
  assert.equal(line, `b/v.nii,3,${1.9 / 3},tumor,tumor,0.6,b/v.nii#2; b/v.nii#3; b/v.nii#1,3,0,0,,,confirm,0,lite0,4d5d,0.1.0,${localTime(WHEN)}`);
  assert.equal(end, "");
});

test("a time has its zone", () => {
  assert.match(localTime(WHEN), /^2026-03-\d\dT\d\d:\d\d:00[+-]\d\d:\d\d$/);
  assert.equal(new Date(localTime(WHEN)).getTime(), WHEN.getTime());
});

test("a volume that was not scored is referred", () => {
  const nothing = { ...scored, exact_probability: null, n_slices: 1, n_scored: 0, n_unreadable: 1, reason: "no_usable_slice" };
  const unread = { ...volume, scored: nothing, slices: [slice("v.nii#1", null, { status: "unreadable", volume: "v.nii" })] };
  const [found] = JSON.parse(toJson([unread], rule, model)).volumes;
  assert.deepEqual([found.n_slices, found.n_scored, found.n_unreadable, found.n_not_brain_mri], [1, 0, 1, 0]);
  assert.deepEqual([found.probability, found.decision, found.finding, found.reason, found.suspicious], [null, "refer", "refer to a human", "no_usable_slice", []]);
});

test("the service is asked for a report by job and folder, with what it did not take", () => {
  const of = (job, folder, ...ids) => ({ job, folder, name: "n", detail: "d", slices: ids.map((id) => ({ id })) });
  assert.deepEqual(forReport([of("one", "", 3, 4), of(null, "f/", null), of("two", "", 0), of("one", "f/", 1), of("one", "", 7)]), {
    slices: [{ job: "one", folder: "", slices: [3, 4, 7] }, { job: "two", folder: "", slices: [0] }, { job: "one", folder: "f/", slices: [1] }],
    refused: [{ name: "f/n", detail: "d" }],
  });
});

test("files have the local time in their names, and two of one moment have two names", () => {
  const now = new Date(2099, 2, 2, 9, 30, 0, 41);
  assert.equal(fileName("slices.csv", now), "brainsift-2099-03-02-093000-041-slices.csv");
  assert.equal(fileName("slices.csv", now), "brainsift-2099-03-02-093000-042-slices.csv");
});
