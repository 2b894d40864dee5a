// The mask that a reader draws.
import assert from "node:assert/strict";
import { test } from "node:test";

import { Mask, areaOf } from "../../src/brainsift/serve/page/mask.js";

const at = (mask, x, y) => mask.bits[y * mask.width + x];

/** The area inside of closed lines, with a sign by their direction. */
const enclosed = (lines) =>
  lines.reduce((sum, line) => sum + line.reduce((part, [x, y], place) => part + x * line[(place + 1) % line.length][1] - y * line[(place + 1) % line.length][0], 0) / 2, 0);

test("a dot of the brush is a disc of its size at its place", () => {
  const mask = new Mask(100, 80);
  mask.stroke([40, 30], [40, 30], 12, true);
  assert.ok(Math.abs(areaOf(mask.runs) / (Math.PI * 144) - 1) < 0.03);
  let [x, y] = [0, 0];
  for (let place = 0; place < mask.bits.length; place += 1) if (mask.bits[place]) [x, y] = [x + (place % 100) + 0.5, y + Math.floor(place / 100) + 0.5];
  assert.deepEqual([x / areaOf(mask.runs), y / areaOf(mask.runs)], [40, 30]);
});

test("the smallest brush draws the pixel below it, and nothing beyond the picture", () => {
  const mask = new Mask(10, 10);
  mask.stroke([3.9, 7.1], [3.9, 7.1], 0.5, true);
  assert.equal(areaOf(mask.runs), 1);
  assert.equal(at(mask, 3, 7), 1);
  mask.stroke([-40, 5], [60, 5], 0.6, true);
  assert.equal(areaOf(mask.runs), 1 + 20); // two rows touch the line
  mask.stroke([-9, -9], [-9, -9], 3, true);
  assert.equal(areaOf(mask.runs), 21);
});

test("the eraser takes away what the brush drew along the same line", () => {
  const mask = new Mask(60, 60);
  mask.stroke([10, 10], [50, 44], 5, true);
  assert.ok(areaOf(mask.runs) > 400);
  mask.stroke([10, 10], [50, 44], 5, false);
  assert.equal(areaOf(mask.runs), 0);
});

test("a lasso encloses the pixels whose centers lie inside", () => {
  const mask = new Mask(50, 50);
  mask.enclose([[10, 10], [30, 10], [30, 25], [10, 25]]);
  assert.equal(areaOf(mask.runs), 20 * 15);
  assert.deepEqual([at(mask, 10, 10), at(mask, 29, 24), at(mask, 30, 24), at(mask, 9, 10)], [1, 1, 0, 0]);
  mask.enclose([[-20, 40], [80, 40], [80, 90], [-20, 90]]);
  assert.equal(areaOf(mask.runs), 300 + 50 * 10);
});

test("runs are the mask, whatever it begins and ends with", () => {
  for (const bits of [[0, 0, 1, 1, 0, 1], [1, 0, 0, 0, 1, 1], [0, 0, 0, 0, 0, 0], [1, 1, 1, 1, 1, 1]]) {
    const mask = new Mask(3, 2);
    mask.bits.set(bits);
    assert.deepEqual([...Mask.ofRuns(3, 2, mask.runs).bits], bits);
    assert.equal(mask.runs.reduce((sum, length) => sum + length, 0), 6);
    assert.equal(areaOf(mask.runs), bits.reduce((sum, bit) => sum + bit, 0));
  }
  assert.deepEqual(new Mask(3, 2).runs, [6]);
});

test("outlines go along the edges of pixels, with holes the other way round", () => {
  const mask = new Mask(20, 20);
  mask.enclose([[4, 5], [14, 5], [14, 11], [4, 11]]);
  assert.deepEqual(mask.outlines, [[[4, 5], [14, 5], [14, 11], [4, 11]]]);
  mask.stroke([9, 8], [9, 8], 1.5, false);
  const lines = mask.outlines;
  assert.equal(lines.length, 2);
  assert.equal(enclosed(lines), areaOf(mask.runs));
  assert.deepEqual(new Mask(4, 4).outlines, []);
});

test("outlines enclose the area of any mask", () => {
  let seed = 7;
  const random = () => (seed = (seed * 16807) % 2147483647) / 2147483647;
  for (let round = 0; round < 30; round += 1) {
    const mask = new Mask(9, 7);
    for (let place = 0; place < mask.bits.length; place += 1) mask.bits[place] = Number(random() < 0.5);
    assert.equal(enclosed(mask.outlines), areaOf(mask.runs));
  }
});

test("the network's contour is where its map is above the level", () => {
  const gray = new Uint8Array(100 * 60);
  for (let place = 0; place < gray.length; place += 1) {
    const far = Math.hypot((place % 100) + 0.5 - 50, Math.floor(place / 100) + 0.5 - 30);
    gray[place] = Math.max(0, Math.min(255, 127.5 + 8 * (15 - far)));
  }
  const map = { width: 100, height: 60, gray };
  assert.ok(Math.abs(areaOf(Mask.ofMap(map, 127.5, 100, 60).runs) / (Math.PI * 225) - 1) < 0.02);
  const larger = Mask.ofMap(map, 127.5, 250, 150); // of an image that was made smaller to be shown
  assert.ok(Math.abs(areaOf(larger.runs) / (Math.PI * 225 * 6.25) - 1) < 0.02);
  assert.equal(at(larger, 125, 75), 1);
  assert.ok(areaOf(Mask.ofMap(map, 200, 100, 60).runs) < areaOf(Mask.ofMap(map, 60, 100, 60).runs));
});
