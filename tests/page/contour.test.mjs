// The line where a map passes a level.
import assert from "node:assert/strict";
import { test } from "node:test";

import { trace } from "../../src/brainsift/serve/page/contour.js";

const draw = (side, grayAt) => {
  const gray = new Uint8Array(side * side);
  for (let place = 0; place < gray.length; place += 1) gray[place] = grayAt((place % side) + 0.5, Math.floor(place / side) + 0.5);
  return { width: side, height: side, gray };
};

test("a disc is a closed circle of its radius", () => {
  const disc = draw(40, (x, y) => Math.max(0, Math.min(255, 127.5 + 20 * (10 - Math.hypot(x - 20, y - 20)))));
  const lines = trace(disc, 127.5);
  assert.ok(lines.length > 40);
  const ends = new Map();
  for (const point of lines.flat()) {
    assert.ok(Math.abs(Math.hypot(point[0] - 20, point[1] - 20) - 10) < 0.1, String(point));
    const key = point.map((value) => value.toFixed(6)).join();
    ends.set(key, (ends.get(key) ?? 0) + 1);
  }
  assert.deepEqual([...new Set(ends.values())], [2]);
});

test("a step is a straight line at its place, over centers of pixels", () => {
  const lines = trace(draw(4, (x) => (x > 2 ? 200 : 100)), 125);
  assert.deepEqual(lines.map(([from, to]) => [from[0], to[0]]), Array(3).fill([1.75, 1.75]));
  assert.deepEqual(lines.map(([from, to]) => [from[1], to[1]].sort()), [[0.5, 1.5], [1.5, 2.5], [2.5, 3.5]]);
});

test("two corners that touch are one area", () => {
  const square = (...gray) => trace({ width: 2, height: 2, gray: Uint8Array.from(gray) }, 100);
  const [top, right, bottom, left] = [[1, 0.5], [1.5, 1], [1, 1.5], [0.5, 1]];
  assert.deepEqual(square(200, 0, 0, 200), [[left, bottom], [top, right]]);
  assert.deepEqual(square(0, 200, 200, 0), [[top, left], [bottom, right]]);
});

test("an even map has no line", () => {
  for (const level of [0, 100]) assert.deepEqual(trace(draw(5, () => level), 127.5), []);
});
