// Which cases need a look, and how near they are to the threshold.
import assert from "node:assert/strict";
import { test } from "node:test";

import { attentionOf, distance, isUnconfirmed, lacksFocus } from "../../src/brainsift/serve/page/attention.js";

const slice = (more = {}) => ({ status: "ok", has_focus: true, cautions: [], ...more });
const rule = { threshold: 0.5, margin: 0 };
const image = (probability, decision, more = {}) => ({ slices: [slice()], isVolume: false, status: "ok", decision, probability, rule, sliceRule: rule, suspicious: [0], ...more });
const volume = (probability, decision, more = {}) =>
  image(probability, decision, { isVolume: true, slices: [slice(), slice(), slice()], rule: { ...rule, threshold: 0.97, suspicion: 0.5 }, ...more });

test("what is far from the threshold, with a focus and without a caution, needs no look", () => {
  assert.deepEqual(attentionOf(image(0.95, "tumor")), []);
  assert.deepEqual(attentionOf(image(0.05, "no_tumor")), []);
});

test("near means within one logit of the threshold", () => {
  assert.deepEqual([0.26, 0.28, 0.72, 0.74].map((p) => attentionOf(image(p, "tumor")).includes("near")), [false, true, true, false]);
  assert.equal(distance(image(0.5, "tumor")), 0);
  assert.equal(distance({ status: "not_brain_mri", probability: 0.5, rule }), Infinity);
});

test("a volume between suspicion and its threshold is not confirmed; without a suspicion none is", () => {
  assert.equal(isUnconfirmed(volume(0.6, "no_tumor", { rule })), false);
  assert.deepEqual([0.4, 0.6, 0.98].map((p) => isUnconfirmed(volume(p, p < 0.97 ? "no_tumor" : "tumor"))), [false, true, false]);
  assert.equal(isUnconfirmed(image(0.6, "no_tumor")), false);
});

test("a tumor without a place on the map has no focus; of a volume, its most suspicious slices count", () => {
  const bare = slice({ has_focus: false });
  assert.equal(lacksFocus(image(0.95, "tumor", { slices: [bare] })), true);
  assert.equal(lacksFocus(image(0.05, "no_tumor", { slices: [bare] })), false);
  assert.equal(lacksFocus(image(0.95, "tumor", { slices: [slice({ has_focus: null })] })), false);
  assert.equal(lacksFocus(volume(0.98, "tumor", { slices: [bare, bare, slice()], suspicious: [0, 1] })), true);
  assert.equal(lacksFocus(volume(0.98, "tumor", { slices: [bare, bare, slice()], suspicious: [0, 2] })), false);
});

test("cautions of the slices count once, and a slice that cannot be read makes a volume incomplete", () => {
  const child = slice({ cautions: ["child"] });
  assert.deepEqual(attentionOf(volume(0.999, "tumor", { slices: [child, child] })), ["child"]);
  assert.deepEqual(attentionOf(volume(0.999, "tumor", { slices: [slice(), slice({ status: "unreadable" })] })), ["incomplete"]);
});

test("what was rejected needs no look", () => {
  assert.deepEqual(attentionOf(image(0.5, "not_brain_mri", { status: "not_brain_mri" })), []);
});
