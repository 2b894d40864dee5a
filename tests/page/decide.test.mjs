// From probabilities to decisions. That they are those of Python is tested in test_threshold.py.
import assert from "node:assert/strict";
import { test } from "node:test";

import {
  decide, halfBand, logOdds, makeRule, marginFor, ofVolumes, sensitivityOf, summarize, thresholdFor,
} from "../../src/brainsift/serve/page/decide.js";

const RULE = { threshold: 0.6, margin: 0 };
const MODEL = {
  thresholds: { balanced: 0.55, confirm: 0.9, even: 0.5 },
  sensitivities: [[0.9, 0.8], [0.95, 0.6], [0.99, 0.1]],
  margins: { 0.01: { margin: 3, referred: 0.3 }, 0.05: { margin: 1, referred: 0.1 } },
};
const scored = (probability) => ({ status: "ok", probability });
const unreadable = { status: "unreadable", probability: null };
const other = { status: "not_brain_mri", probability: 0.99 };

test("the threshold itself is a tumor", () => {
  assert.equal(decide(scored(0.6), RULE), "tumor");
  assert.equal(decide(scored(0.5999999), RULE), "no_tumor");
});

test("only what was scored is decided", () => {
  assert.equal(decide(unreadable, RULE), "unreadable");
  assert.equal(decide(other, RULE), "refer");
});

test("within the abstention margin, a prediction is referred; at its edge it is not", () => {
  const rule = { threshold: 0.5, margin: logOdds(0.8) };
  assert.deepEqual([0.19, 0.21, 0.5, 0.79, 0.8].map((p) => decide(scored(p), rule)), ["no_tumor", "refer", "refer", "refer", "tumor"]);
  assert.ok(Math.abs(0.5 + halfBand(rule) - 0.8) < 1e-12);
  assert.equal(halfBand(RULE), 0);
});

test("certain probabilities have a finite logit", () => {
  assert.ok(logOdds(1) > 27 && logOdds(1) < 28);
  assert.ok(Math.abs(logOdds(0) + logOdds(1)) < 1e-3);
  assert.equal(logOdds(0.5), 0);
});

test("a volume is the largest mean of three adjacent scored slices", () => {
  const slices = [scored(0.1), scored(0.9), unreadable, scored(0.6), scored(0.9), other, scored(0.3)];
  const { probability, decision, reason, nScored, suspicious } = summarize(slices, RULE);
  assert.ok(Math.abs(probability - 0.8) < 1e-12);
  assert.deepEqual([decision, reason, nScored, suspicious], ["tumor", "", 5, [1, 4, 3, 6, 0]]);
});

test("a volume is referred where it is within the margin, or fewer than half or three of its slices could be scored", () => {
  const summary = (...slices) => {
    const { decision, reason, detail } = summarize(slices, RULE);
    return [decision, reason, detail];
  };
  const few = (scoredSlices, all) => ["refer", "too_few_slices", `only ${scoredSlices} of ${all} slices with some of the head could be scored`];
  const high = scored(0.9);
  assert.deepEqual(summary(high, high, high, other, other, unreadable), ["tumor", "", ""]);
  assert.deepEqual(summary(high, high, high, other, other, unreadable, other), few(3, 7));
  assert.deepEqual(summary(high, high, other), ["tumor", "", ""]);
  assert.deepEqual(summary(high, other, other), few(1, 3));
  assert.deepEqual(summary(high, high, unreadable, other), few(2, 4));
  const end = { ...other, reason: "hardly_any_head" };
  assert.deepEqual(summary(end, end, high, high, high, end, end), ["tumor", "", ""]);
  const { decision, reason } = summarize([scored(0.5), scored(0.5)], { threshold: 0.5, margin: 1 });
  assert.deepEqual([decision, reason], ["refer", "unsure"]);
});

test("fewer than three slices are averaged as they are", () => {
  assert.ok(Math.abs(summarize([scored(0.9), scored(0.2)], RULE).probability - 0.55) < 1e-12);
});

test("a volume without a scored slice is referred, without a readable one it is unreadable", () => {
  const nothing = { probability: null, reason: "no_usable_slice", detail: "", nScored: 0, suspicious: [] };
  assert.deepEqual(summarize([unreadable, other], RULE), { ...nothing, status: "not_brain_mri", decision: "refer" });
  assert.deepEqual(summarize([unreadable], RULE), { ...nothing, status: "unreadable", decision: "unreadable" });
});

test("the threshold for a sensitivity is the largest that reached it, and back", () => {
  assert.equal(thresholdFor(0.95, MODEL.sensitivities), 0.6);
  assert.equal(thresholdFor(0.951, MODEL.sensitivities), 0.1);
  assert.equal(thresholdFor(0.995, MODEL.sensitivities), null);
  assert.equal(sensitivityOf(0.6, MODEL.sensitivities), 0.95);
  assert.equal(sensitivityOf(0.81, MODEL.sensitivities), null);
});

test("the margin for a share of errors is the smallest that keeps it", () => {
  assert.deepEqual([0.05, 0.1, 0.02, 0.001].map((share) => marginFor(share, MODEL.margins)), [1, 1, 3, null]);
});

test("by default volumes have a higher threshold than slices", () => {
  const rule = makeRule({}, MODEL);
  assert.equal(rule.threshold, 0.55);
  assert.equal(ofVolumes(rule).threshold, 0.9);
  assert.deepEqual(rule.query, {});
  assert.equal(ofVolumes(makeRule({}, { ...MODEL, thresholds: { balanced: 0.55, confirm: 0.3 } })).threshold, 0.55);
});

test("a choice holds for slices and volumes, and asks the service for the same", () => {
  const found = [{ name: "confirm" }, { sensitivity: 0.95 }, { maxError: 0.05 }].map((choice) => makeRule(choice, MODEL));
  assert.deepEqual(found.map((rule) => [rule.threshold, ofVolumes(rule).threshold, rule.margin]), [[0.9, 0.9, 0], [0.6, 0.6, 0], [0.5, 0.5, 1]]);
  assert.deepEqual(found.map((rule) => rule.query), [{ threshold: "confirm" }, { sensitivity: 0.95 }, { max_error: 0.05 }]);
});

test("a choice that this network does not have makes no rule", () => {
  for (const choice of [{ name: "screening" }, { sensitivity: 0.999 }, { maxError: 0.001 }]) assert.equal(makeRule(choice, MODEL), null);
});
