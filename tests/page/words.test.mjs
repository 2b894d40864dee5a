// Numbers and predictions in words.
import assert from "node:assert/strict";
import { test } from "node:test";

import {
  attentionInWords, because, counted, explain, figure, inWords, label, missingInWords, moment, number, percent, predicted, sentence,
  sliceLabel, thresholds,
} from "../../src/brainsift/serve/page/words.js";

test("numbers have fixed digits, and a dash stands for none", () => {
  assert.deepEqual([number(0.93125), number(2, 1), number(null), number(NaN), number(undefined)], ["0.931", "2.0", "–", "–", "–"]);
  assert.deepEqual([percent(0.93125), percent(0.5, 0), percent(null)], ["93.1\u00a0%", "50\u00a0%", "–"]);
});

test("a value has as many digits as its span needs", () => {
  assert.deepEqual([figure(2048.4, 4095), figure(12.345, 80), figure(0.12345, 0.5)], ["2048", "12.3", "0.123"]);
});

test("the thresholds of a rule name that of volumes only where it is another", () => {
  assert.equal(thresholds({ threshold: 0.556, margin: 0 }), "0.556");
  assert.equal(thresholds({ threshold: 0.556, volumeThreshold: 0.556, margin: 0 }), "0.556");
  assert.equal(thresholds({ threshold: 0.556, volumeThreshold: 0.967, margin: 0 }), "0.556, volumes 0.967");
});

test("counts take the plural and a comma", () => {
  assert.deepEqual([counted(0, "case"), counted(1, "case"), counted(1200, "case")], ["0 cases", "1 case", "1,200 cases"]);
  assert.equal(counted(2, "file or folder", "files or folders"), "2 files or folders");
});

test("sentences begin and end as sentences do", () => {
  assert.deepEqual(["", " is empty ", "Stop!", "wait…"].map(sentence), ["", "Is empty.", "Stop!", "Wait…"]);
});

test("an error of the service gives its rule and remedy, one of the browser its message", () => {
  assert.equal(inWords({ subject: "queue", rule: "is full", remedy: "try again" }), "Queue is full. Try again.");
  assert.equal(inWords({ rule: "is full" }), "Is full.");
  assert.equal(inWords(new Error("an old one")), "An old one.");
  assert.equal(inWords("gone"), "Gone.");
});

test("what got no prediction is counted in words", () => {
  const none = { stopped: 0, skipped: 0, closed: 0, forgotten: 0, nothing: false };
  assert.equal(missingInWords(none), "");
  assert.equal(missingInWords({ ...none, nothing: true }), "No images found.");
  assert.equal(missingInWords({ ...none, nothing: true, skipped: 2 }), "No images found: 2 files were left out.");
  assert.equal(missingInWords({ ...none, skipped: 1, closed: 1 }), "1 file is not an image and was left out. 1 file or folder could not be opened.");
  assert.equal(missingInWords({ ...none, stopped: 3 }), "Stopped. 3 files were not scored.");
  assert.match(missingInWords({ ...none, forgotten: 1 }), /1 case of this list/);
});

test("a prediction is said in short", () => {
  assert.equal(predicted("a.png", { decision: "tumor", probability: 0.8994 }), "a.png: Tumor, 0.899");
  assert.equal(predicted("a.png", { decision: "", probability: null }), "a.png: Unreadable");
  assert.equal(predicted("a.png", { decision: "not_brain_mri", probability: 0.97 }), "a.png: Not a brain MRI");
  assert.equal(predicted("Slice 3", { decision: "tumor", probability: 0.97 }, "Above 0.460"), "Slice 3: Above 0.460, 0.970");
  assert.equal(label("something new"), "something new");
});

test("a moment of this year has no year", () => {
  const year = new Date().getFullYear();
  assert.match(moment(`${year}-06-15T12:00:00`), /^15 June?,? 12:00$/);
  assert.match(moment("2021-06-15T12:00:00"), /^15 June? 2021,? 12:00$/);
  assert.equal(moment("some day"), "some day");
});

test("each kind of prediction has its own explanation", () => {
  const rule = { threshold: 0.556, margin: 1 };
  const words = ["tumor", "no_tumor", "refer"].map((decision) => explain({ status: "ok", decision, probability: 0.6, refused: false }, rule));
  const others = ["not_brain_mri", "unreadable"].map((status) => explain({ status, decision: "refer", probability: null, refused: false }, rule));
  const refused = explain({ status: "unreadable", decision: "unreadable", probability: null, refused: true }, rule);
  assert.equal(new Set([...words, ...others, refused]).size, 6);
  for (const text of words) assert.match(text, /0\.600/);
  for (const text of words.slice(0, 2)) assert.match(text, /0\.556/);
});

test("a reason speaks of the file", () => {
  assert.equal(because({ status: "unreadable", detail: "is empty: 0 bytes" }), "The file is empty: 0 bytes.");
  assert.equal(because({ status: "unreadable", detail: "The server lost it." }), "The server lost it.");
  assert.equal(because({ status: "not_brain_mri", detail: "has color" }), "Has color.");
});

test("a slice of a volume is above or below the threshold, never a tumor", () => {
  const rule = { threshold: 0.4595, margin: 0 };
  const found = ["tumor", "no_tumor", "refer", "not_brain_mri", "unreadable"].map((decision) => sliceLabel({ decision }, rule));
  assert.deepEqual(found, ["Above 0.460", "Below 0.460", "Refer", "Not a brain MRI", "Unreadable"]);
});

test("each reason to look has its own sentence", () => {
  const names = ["unsure", "unconfirmed", "no_focus", "near", "child", "incomplete", "other_contrast", "burned_in"];
  const words = names.map(attentionInWords);
  assert.equal(new Set(words).size, names.length);
  for (const text of words) assert.match(text, /^[A-Z].*\.$/);
});
