// From probabilities to decisions. That they are those of Python is tested in test_threshold.py.
import assert from "node:assert/strict";
import { test } from "node:test";

import {
  decide, decideVolume, halfBand, logOdds, makeRule, marginFor, mostSuspicious, ofVolumes, reaches, sensitivityOf, thresholdFor,
} from "../../src/brainsift/serve/page/decide.js";

const RULE = { threshold: 0.6, margin: 0 };
const MODEL = {
  thresholds: { balanced: 0.55, confirm: 0.9, even: 0.5 },
  sensitivities: [[0.9, 0.8], [0.95, 0.6], [0.99, 0.1]],
  margins: { 0.01: { margin: 3, referred: 0.3 }, 0.05: { margin: 1, referred: 0.1 } },
};
const scored = (probability) => ({ status: "ok", probability, logit: logOdds(probability) });
const unreadable = { status: "unreadable", probability: null, logit: null };
const other = { ...scored(0.99), status: "not_brain_mri" };
const volume = (exact_probability, more = {}) => ({ exact_probability, n_slices: 5, n_scored: 5, n_unreadable: 0, reason: "", detail: "", note: "", ...more });

test("the threshold itself is a tumor", () => {
  assert.equal(decide(scored(0.6), RULE), "tumor");
  assert.equal(decide(scored(0.5999999), RULE), "no_tumor");
});

test("only what was scored is decided", () => {
  assert.equal(decide(unreadable, RULE), "unreadable");
  assert.equal(decide(other, RULE), "not_brain_mri");
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

test("the exact logit decides, not the six digits of the probability", () => {
  const logit = logOdds(0.5999996);
  assert.equal(decide({ status: "ok", probability: 0.6, logit }, RULE), "no_tumor");
});

test("a threshold that is the score of an image reaches it, whatever the last digit of exp() is", () => {
  for (let step = 1; step < 2000; step += 1) {
    const logit = (step - 1000) / 97;
    const probability = 1 / (1 + Math.exp(-logit));
    assert.ok(reaches(probability * (1 - Number.EPSILON), probability) && !reaches(probability - 1e-12, probability));
  }
});

test("a volume is laid against its threshold", () => {
  const found = [0.6, 0.5999].map((p) => decideVolume(volume(p, { note: "read in part", detail: "read in part" }), RULE));
  assert.deepEqual(found.map(({ status, decision, reason, detail }) => [status, decision, reason, detail]), [
    ["ok", "tumor", "", "read in part"],
    ["ok", "no_tumor", "", "read in part"],
  ]);
});

test("a volume with too few slices stays referred; one within the margin is referred as long as there is one", () => {
  const few = volume(0.9, { reason: "too_few_slices", detail: "only 3 of 7" });
  assert.deepEqual(decideVolume(few, RULE), { status: "ok", probability: 0.9, decision: "refer", reason: "too_few_slices", detail: "only 3 of 7", finding: "" });
  const unsure = volume(0.5, { reason: "unsure", detail: "not sure enough", note: "" });
  const { decision, reason, detail } = decideVolume(unsure, { threshold: 0.5, margin: 1 });
  assert.deepEqual([decision, reason, detail], ["refer", "unsure", ""]);
  assert.equal(decideVolume(unsure, RULE).decision, "no_tumor");
});

test("a volume from its suspicion to its threshold is suspicious, in the words of the service", () => {
  const findings = { tumor: "tumor", suspicious: "suspicious, look at slices 2, 3, 4", no_tumor: "no tumor found", refer: "refer" };
  const rule = { threshold: 0.6, margin: 0, suspicion: 0.4 };
  const found = [0.6, 0.59, 0.4, 0.39].map((p) => decideVolume(volume(p, { findings }), rule));
  assert.deepEqual(found.map(({ decision, finding }) => [decision, finding]), [
    ["tumor", "tumor"],
    ["no_tumor", "suspicious, look at slices 2, 3, 4"],
    ["no_tumor", "suspicious, look at slices 2, 3, 4"],
    ["no_tumor", "no tumor found"],
  ]);
  assert.equal(decideVolume(volume(0.59, { findings, reason: "too_few_slices" }), rule).finding, "refer");
  assert.equal(decideVolume(volume(0.55, { findings }), { ...rule, margin: 1 }).finding, "refer");
});

test("a volume without a scored slice is no brain MRI, without a readable one it is unreadable", () => {
  const nothing = { n_scored: 0, reason: "no_usable_slice", detail: "no slice could be scored" };
  const found = [0, 5].map((unread) => decideVolume(volume(null, { ...nothing, n_unreadable: unread }), RULE));
  assert.deepEqual(found.map(({ status, decision }) => [status, decision]), [["not_brain_mri", "not_brain_mri"], ["unreadable", "unreadable"]]);
});

test("the most suspicious slices are the five largest of those that were scored", () => {
  assert.deepEqual(mostSuspicious([0.1, 0.9, 0.6, 0.95, 0.3, 0.2].map(scored).concat(unreadable, other)), [3, 1, 2, 4, 5]);
  assert.deepEqual(mostSuspicious([unreadable, other]), []);
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

test("volumes of a network that says how they are decided have thresholds of their own, whatever is chosen", () => {
  const volumes = { thresholds: { balanced: 0.7, confirm: 0.95, even: 0.5 }, sensitivities: [[0.95, 0.3]], suspicion: 0.25 };
  const choices = [{}, { name: "confirm" }, { sensitivity: 0.95 }, { maxError: 0.05 }];
  const found = choices.map((choice) => makeRule(choice, { ...MODEL, volumes }));
  assert.deepEqual(found.map((rule) => [rule.threshold, ofVolumes(rule).threshold, ofVolumes(rule).suspicion]), [[0.55, 0.95, 0.25], [0.9, 0.95, 0.25], [0.6, 0.3, 0.25], [0.5, 0.5, 0.25]]);
});

test("a choice that this network does not have makes no rule", () => {
  for (const choice of [{ name: "screening" }, { sensitivity: 0.999 }, { maxError: 0.001 }]) assert.equal(makeRule(choice, MODEL), null);
});
