// Where a slice lies in the patient.
import assert from "node:assert/strict";
import { test } from "node:test";

import { position, sidesInWords, sliceDistance, spacing } from "../../src/brainsift/serve/page/places.js";

const at = (x, y, z, plane = "axial") => ({ plane, sides: ["R", "L", "A", "P"], center_mm: [x, y, z], size_mm: [240, 120] });

test("the position is along the axis that the plane is cut across, with its side", () => {
  const found = [at(3, -4, 12.46), at(3, -4, -7), at(3, -4, 9, "coronal"), at(-3, 4, 9, "coronal"), at(3, 0, 0, "sagittal"), at(-3, 0, 0, "sagittal")];
  assert.deepEqual(found.map(position), ["S 12.5 mm", "I 7.0 mm", "A 4.0 mm", "P 4.0 mm", "L 3.0 mm", "R 3.0 mm"].map((text) => text.replaceAll(" ", "\u00a0")));
});

test("the distance of slices is the usual one, oblique or with a gap", () => {
  assert.equal(sliceDistance([at(0, 0, 0), at(0, 3, 4), at(0, 6, 8), at(0, 12, 16)]), 5);
  assert.equal(sliceDistance([at(0, 0, 0), null, at(0, 0, 5)]), null);
  assert.equal(sliceDistance([at(0, 0, 0)]), null);
});

test("spacing has the pixels of the picture, and the slices where there are several", () => {
  const picture = { width: 240, height: 60 };
  assert.equal(spacing(at(0, 0, 0), picture, 5), "1.00 × 2.00 × 5.00\u00a0mm");
  assert.equal(spacing(at(0, 0, 0), picture, null), "1.00 × 2.00\u00a0mm");
  assert.equal(spacing({ ...at(0, 0, 0), size_mm: null }, picture, 5), "");
});

test("the sides are said in words", () => {
  assert.equal(sidesInWords(at(0, 0, 0)), "the patient's right is on the left of the picture, anterior is at its top");
});
