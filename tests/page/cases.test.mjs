// The cases on the page: predictions become rows, and another rule decides them anew.
import assert from "node:assert/strict";
import { test } from "node:test";

import { Cases } from "../../src/brainsift/serve/page/cases.js";
import { logOdds } from "../../src/brainsift/serve/page/decide.js";

const RULE = { threshold: 0.5, volumeThreshold: 0.9, margin: 0, choice: {}, query: {} };
const prediction = (id, probability, more = {}) => ({ id, name: `${id}.png`, status: "ok", probability, logit: probability === null ? null : logOdds(probability), detail: "", note: "", volume: "", has_map: true, has_focus: true, cautions: [], folder: "", order: id, ...more });
const volume = (exact_probability, more = {}) => ({ volume: "v.nii", exact_probability, n_slices: 3, n_scored: 3, n_unreadable: 0, reason: "", detail: "", note: "", ...more });
const slice = (id, probability) => prediction(id, probability, { name: `v.nii#${id + 1}`, volume: "v.nii", order: 0 });

function watched() {
  const [cases, events] = [new Cases(RULE), []];
  for (const type of ["added", "changed", "removed", "rule", "selected"]) cases.on(type, (one) => events.push(one ? `${type} ${one.name}` : type));
  return [cases, events];
}

test("slices of one volume are one case, decided as the service scored the volume", () => {
  const [cases, events] = watched();
  cases.take("job", [slice(0, 0.6), slice(1, 0.7), slice(2, 0.95), prediction(3, 0.1)], [volume(0.75), volume(0.9, { volume: "later.nii" })]);
  const [whole, image] = cases.all;
  assert.deepEqual([whole.name, whole.slices.length, whole.probability, whole.decision, whole.place], ["v.nii", 3, 0.75, "no_tumor", 2]);
  assert.deepEqual([image.decision, image.isVolume, image.place], ["no_tumor", false, 0]);
  assert.deepEqual(events, ["added v.nii", "added 3.png"]);
});

test("the same volume in another job is another case", () => {
  const [cases, events] = watched();
  for (const job of ["job", "again"]) cases.take(job, [slice(0, 0.6), slice(1, 0.7)], [volume(0.65)]);
  assert.deepEqual(cases.all.map(({ job, slices }) => [job, slices.length]), [["job", 2], ["again", 2]]);
  assert.deepEqual(events, ["added v.nii", "added v.nii"]);
});

test("what was rejected or is unreadable is neither a tumor nor to refer, and needs no look", () => {
  const [cases] = watched();
  cases.take("job", [prediction(0, 0.97, { status: "not_brain_mri", detail: "has color" }), prediction(1, null, { status: "unreadable" })], []);
  assert.deepEqual(cases.all.map(({ decision, attention }) => [decision, attention]), [["not_brain_mri", []], ["unreadable", []]]);
});

test("another rule decides all cases anew", () => {
  const [cases, events] = watched();
  cases.take("job", [prediction(0, 0.6), prediction(1, 0.4), prediction(2, null, { status: "unreadable", detail: "is empty" })], []);
  assert.deepEqual(cases.counts(), { tumor: 1, no_tumor: 1, refer: 0, not_brain_mri: 0, unreadable: 1 });
  cases.setRule({ ...RULE, threshold: 0.3 });
  assert.deepEqual(cases.counts(), { tumor: 2, no_tumor: 0, refer: 0, not_brain_mri: 0, unreadable: 1 });
  cases.setRule({ ...RULE, margin: 1 });
  assert.deepEqual(cases.counts(), { tumor: 0, no_tumor: 0, refer: 2, not_brain_mri: 0, unreadable: 1 });
  assert.deepEqual(events.slice(3), ["rule", "rule"]);
});

test("refused files are cases of their own, with the reason, and need no secure context", () => {
  const known = Object.getOwnPropertyDescriptor(globalThis, "crypto");
  Object.defineProperty(globalThis, "crypto", { value: undefined, configurable: true });
  try {
    const [cases, events] = watched();
    const error = { subject: "It", rule: "was moved", remedy: "Pick it again." };
    for (const name of ["a.png", "a.png"]) cases.refuse({ name, folder: "f/", order: 4, error });
    const [one, other] = cases.all;
    assert.notEqual(one.key, other.key);
    assert.deepEqual([one.decision, one.refused, one.detail, one.where], ["unreadable", true, "It was moved. Pick it again.", "f"]);
    assert.deepEqual(one.layers(0), { pictureUrl: null, mapUrl: null });
    assert.deepEqual(events, ["added a.png", "added a.png"]);
  } finally {
    if (known) Object.defineProperty(globalThis, "crypto", known);
    else delete globalThis.crypto;
  }
});

test("what is removed is no longer selected", () => {
  const [cases, events] = watched();
  cases.take("job", [prediction(0, 0.6), prediction(1, 0.4)], []);
  cases.select(cases.all[0]);
  cases.select(cases.all[0]);
  cases.remove([cases.all[0]]);
  assert.equal(cases.selected, null);
  assert.deepEqual(cases.all.map((one) => one.name), ["1.png"]);
  assert.deepEqual(events.slice(2), ["selected 0.png", "removed", "selected"]);
});
