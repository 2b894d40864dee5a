import assert from "node:assert/strict";
import { test } from "node:test";

import { earlierOf, intervalInWords, pair } from "../../src/brainsift/serve/page/pairing.js";

const axial = { right: [1, 0, 0], down: [0, 1, 0] };
const coronal = { right: [1, 0, 0], down: [0, 0, -1] };
const stack = (start, step, count, plane = axial) =>
  Array.from({ length: count }, (_, place) => ({ ...plane, center_mm: plane === axial ? [7, -9, start + place * step] : [7, start + place * step, 3] }));
const places = ({ partnerOf }, count) => Array.from({ length: count }, (_, place) => partnerOf(place));

test("slices are matched by position in mm, whatever their distances and directions", () => {
  const found = pair(stack(0, 5, 5), stack(-10, 2.5, 20));
  assert.equal(found.way, "mm");
  assert.deepEqual(places(found, 5), [4, 6, 8, 10, 12]);
  assert.deepEqual(places(pair(stack(0, 5, 5), stack(20, -5, 5)), 5), [4, 3, 2, 1, 0]); // the other way round
  assert.deepEqual(places(pair(stack(0, 5, 5), stack(5, 5, 3)), 5), [0, 0, 1, 2, 2]); // beyond its ends
});

test("a tilted plane is matched along the normal of the first one", () => {
  const [c, s] = [Math.cos(0.2), Math.sin(0.2)];
  const tilted = Array.from({ length: 5 }, (_, place) => ({ right: [1, 0, 0], down: [0, c, s], center_mm: [0, -s * 5 * place, c * 5 * place] }));
  assert.deepEqual(pair(stack(0, 5, 5), tilted).way, "mm");
  assert.deepEqual(places(pair(stack(0, 5, 5), tilted), 5), [0, 1, 2, 3, 4]);
});

test("without common positions, slices are matched by their share of the stack", () => {
  for (const theirs of [[null, null, null], stack(0, 5, 3, coronal), stack(400, 5, 3), [...stack(0, 5, 2), null]]) {
    const found = pair(stack(0, 5, 5), theirs);
    assert.equal(found.way, "share");
    assert.deepEqual(places(found, 5), [0, 1, 1, 2, 2]);
  }
  assert.deepEqual(places(pair([null], [null, null, null, null, null]), 1), [2]); // of an image, the middle
  assert.deepEqual(places(pair([null, null], [null]), 2), [0, 0]);
});

test("earlier studies are those of the same patient from days before, never by name", () => {
  const study = (patient, studyDate) => ({ name: "Doe", patient, studyDate });
  const others = [study("a", "2024-01-02"), study("a", "2025-03-01"), study("a", "2026-01-01"), study("b", "2020-01-01"), study("", "2020-01-01"), study("a", "")];
  assert.deepEqual(earlierOf(study("a", "2026-01-01"), others), [others[1], others[0]]);
  assert.deepEqual(earlierOf(study("", "2026-01-01"), others), []);
  assert.deepEqual(earlierOf(study("a", ""), others), []);
});

test("intervals are said in words and in days", () => {
  assert.equal(intervalInWords("2026-03-01", "2026-03-02"), "1 day");
  assert.equal(intervalInWords("2026-02-27", "2026-03-02"), "3 days");
  assert.equal(intervalInWords("2026-01-01", "2026-02-05"), "5 weeks (35 days)");
  assert.equal(intervalInWords("2025-07-01", "2026-03-03"), "8 months (245 days)");
  assert.equal(intervalInWords("2020-03-02", "2026-03-02"), "6.0 years (2,191 days)");
});
