// Lengths of contours and rulers, and places in the patient.
import assert from "node:assert/strict";
import { test } from "node:test";

import { trace } from "../../src/brainsift/serve/page/contour.js";
import { lengthInWords, longestDiameter, rings, volumeInWords } from "../../src/brainsift/serve/page/measure.js";
import { nearest, toPatient, toPicture } from "../../src/brainsift/serve/page/space.js";

/** A map with filled ellipses. */
function ellipses(size, ...shapes) {
  const gray = new Uint8Array(size * size);
  for (let y = 0; y < size; y += 1) {
    for (let x = 0; x < size; x += 1) {
      for (const [cx, cy, a, b] of shapes) if (((x - cx) / a) ** 2 + ((y - cy) / b) ** 2 <= 1) gray[y * size + x] = 255;
    }
  }
  return { width: size, height: size, gray };
}

test("the longest diameter of a contour is that of its shape within a voxel", () => {
  const found = longestDiameter(rings(trace(ellipses(100, [50, 50, 20, 8]), 127.5)), [1.5, 1.5]);
  assert.ok(Math.abs(found.length - 40 * 1.5) <= 1.5, String(found.length));
});

test("two contours are not measured as one", () => {
  const closed = rings(trace(ellipses(100, [20, 20, 6, 6], [80, 80, 10, 10]), 127.5));
  assert.equal(closed.length, 2);
  assert.ok(Math.abs(longestDiameter(closed, null).length - 20) <= 1);
});

test("pixels of two sizes count as they are", () => {
  const found = longestDiameter(rings(trace(ellipses(100, [50, 50, 10, 10]), 127.5)), [1, 3]);
  assert.ok(Math.abs(found.length - 60) <= 3);
});

test("without a contour there is no diameter", () => {
  assert.equal(longestDiameter(rings(trace(ellipses(20), 127.5)), [1, 1]), null);
});

test("lengths without a distance of the pixels are in pixels", () => {
  assert.equal(lengthInWords([0, 0], [30, 40], [0.5, 0.5]), "25.0\u00a0mm");
  assert.equal(lengthInWords([0, 0], [30, 40], null), "50.0\u00a0px");
  assert.equal(volumeInWords(12345.4), "12,345\u00a0mm³ (12.3\u00a0ml)");
});

test("a point goes into the patient and back", () => {
  const geometry = { center_mm: [10, -20, 30], right: [0, 1, 0], down: [0, 0, -1], size_mm: [240, 120] };
  const size = { width: 120, height: 60 };
  assert.deepEqual(toPatient(geometry, size, [60, 30]), [10, -20, 30]);
  assert.deepEqual(toPatient(geometry, size, [0, 0]), [10, -140, 90]);
  assert.deepEqual(toPicture(geometry, size, [10, -140, 90]), [0, 0]);
});

test("the nearest picture is within the volume", () => {
  assert.equal(nearest([0, 0, 0], [0, 0, 5], 10, [3, 3, 21]), 4);
  assert.equal(nearest([0, 0, 0], [0, 0, -5], 10, [0, 0, -22.6]), 5);
  assert.equal(nearest([0, 0, 0], [0, 0, 5], 10, [0, 0, 900]), 9);
});
