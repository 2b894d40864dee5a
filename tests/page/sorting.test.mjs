// Which cases the list shows, and in what order.
import assert from "node:assert/strict";
import { test } from "node:test";

import { AS_ADDED, NEAREST, filter, nextSort, sort } from "../../src/brainsift/serve/page/sorting.js";

const listed = (name, decision, probability, order, more = {}) => ({ name, folder: "", detail: "", status: "ok", decision, probability, order, rule: { threshold: 0.5, margin: 0 }, attention: [], ...more });
const CASES = [
  listed("scan10.png", "tumor", 0.9, 0),
  listed("scan9.png", "no_tumor", 0.2, 1),
  listed("photo.png", "refer", 0.6, 2, { detail: "has color" }),
  listed("broken.png", "unreadable", null, 3),
  listed("scan1.png", "tumor", 0.95, 4, { folder: "study/" }),
];
const names = (cases) => cases.map((one) => one.name.replace(".png", ""));

test("as added, then by name with numbers as numbers", () => {
  assert.deepEqual(names(sort([...CASES].reverse(), AS_ADDED)), names(CASES));
  assert.deepEqual(names(sort(CASES, { by: "name", isDown: false })), ["broken", "photo", "scan9", "scan10", "scan1"]);
});

test("by probability what has none comes last or first; the list itself stays", () => {
  const before = names(CASES);
  assert.deepEqual(names(sort(CASES, { by: "probability", isDown: true })), ["scan1", "scan10", "photo", "scan9", "broken"]);
  assert.deepEqual(names(sort(CASES, { by: "probability", isDown: false })), ["broken", "scan9", "photo", "scan10", "scan1"]);
  assert.deepEqual(names(CASES), before);
});

test("by decision the most suspicious first, ties as added", () => {
  assert.deepEqual(names(sort(CASES, { by: "decision", isDown: false })), ["scan1", "scan10", "scan9", "photo", "broken"]);
  const same = [listed("b", "refer", 0.5, 1), listed("a", "refer", 0.5, 0)];
  assert.deepEqual(names(sort(same, { by: "probability", isDown: true })), ["a", "b"]);
});

test("three clicks on a column lead back to as added", () => {
  const clicks = (by) => {
    const seen = [AS_ADDED];
    for (let click = 0; click < 3; click += 1) seen.push(nextSort(seen.at(-1), by));
    return seen.slice(1);
  };
  assert.deepEqual(clicks("name"), [{ by: "name", isDown: false }, { by: "name", isDown: true }, AS_ADDED]);
  assert.deepEqual(clicks("probability"), [{ by: "probability", isDown: true }, { by: "probability", isDown: false }, AS_ADDED]);
  assert.deepEqual(nextSort({ by: "name", isDown: true }, "decision"), { by: "decision", isDown: false });
});

test("what was rejected ranks last, however large its number", () => {
  const cases = [listed("xray", "not_brain_mri", 0.99, 0, { status: "not_brain_mri" }), listed("a", "no_tumor", 0.01, 1)];
  assert.deepEqual(names(sort(cases, { by: "probability", isDown: true })), ["a", "xray"]);
});

test("what needs a look comes the nearest to the threshold first, what has no number last", () => {
  const look = (name, probability, order, more = {}) => listed(name, "tumor", probability, order, { attention: ["near"], ...more });
  const cases = [look("far", 0.99, 0), look("none", null, 1), look("below", 0.45, 2), look("near", 0.52, 3), look("other", null, 4), listed("sure", "tumor", 0.9, 5)];
  assert.deepEqual(names(sort(filter(cases, { query: "", decision: "look" }), NEAREST)), ["near", "below", "far", "none", "other"]);
});

test("the filter takes one decision, the search all of its words", () => {
  const found = (query, decision = "all") => names(filter(CASES, { query, decision }));
  assert.deepEqual(found("", "tumor"), ["scan10", "scan1"]);
  assert.deepEqual(found("SCAN tumor"), ["scan10", "scan9", "scan1"]); // "No tumor", too
  assert.deepEqual(found("color refer"), ["photo"]);
  assert.deepEqual(found("study"), ["scan1"]);
  assert.deepEqual(found("study", "refer"), []);
});
