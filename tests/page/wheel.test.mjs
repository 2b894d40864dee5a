// Turns of the wheel and swipes, counted in slices.
import assert from "node:assert/strict";
import { test } from "node:test";

import { Wheel } from "../../src/brainsift/serve/page/wheel.js";

const turned = (...events) => {
  const wheel = new Wheel();
  return events.map(([timeStamp, deltaY, deltaMode = 0]) => wheel.turn({ timeStamp, deltaY, deltaMode }) + 0); // no -0
};

test("a notch of a mouse is a slice, in pixels, lines or pages", () => {
  assert.deepEqual(turned([0, 100], [50, 100], [100, -100]), [1, 1, -1]);
  assert.deepEqual(turned([0, 3, 1], [50, -3, 1]), [1, -1]);
  assert.deepEqual(turned([0, 1, 2]), [10]);
});

test("a swipe is a slice at once, then one for each 80 pixels", () => {
  const swipe = Array.from({ length: 21 }, (_, place) => [place, 8]);
  assert.deepEqual(turned(...swipe).map((by, place) => by && place).filter((place) => place !== 0), [10, 20]);
  assert.equal(turned(...swipe)[0], 1);
});

test("turned round, what was gathered before is forgotten", () => {
  assert.deepEqual(turned([0, -100], [1, -40], [2, 40], [3, 39]), [-1, 0, 0, 0]);
  assert.deepEqual(turned([0, -100], [1, -40], [2, 40], [3, 40]), [-1, 0, 0, 1]);
});

test("after a rest, however little is a notch", () => {
  assert.deepEqual(turned([0, 4], [100, 4], [400, 4]), [1, 0, 1]);
});
