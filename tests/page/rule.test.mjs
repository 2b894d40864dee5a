// The ruler by keyboard.
import assert from "node:assert/strict";
import { test } from "node:test";

import { rulerAfter } from "../../src/brainsift/serve/page/rule.js";

const PICTURE = { width: 100, height: 60 };

test("it begins in the middle, and the arrow keys move one end", () => {
  let ruler = rulerAfter("ArrowRight", false, null, PICTURE);
  assert.deepEqual(ruler, { from: [50, 30], to: [51, 30] });
  ruler = rulerAfter("ArrowUp", true, ruler, PICTURE);
  assert.deepEqual(ruler, { from: [50, 30], to: [51, 20] });
});

test("Enter changes to the other end", () => {
  const ruler = rulerAfter("Enter", false, { from: [1, 2], to: [3, 4] }, PICTURE);
  assert.deepEqual(ruler, { from: [3, 4], to: [1, 2] });
});

test("it ends at the edge of the picture; other keys do nothing", () => {
  assert.deepEqual(rulerAfter("ArrowLeft", true, { from: [9, 9], to: [4, 9] }, PICTURE), { from: [9, 9], to: [0, 9] });
  assert.deepEqual(rulerAfter("ArrowDown", true, { from: [9, 9], to: [9, 55] }, PICTURE), { from: [9, 9], to: [9, 60] });
  assert.equal(rulerAfter("t", false, null, PICTURE), null);
});
