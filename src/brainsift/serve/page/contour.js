// The line where a map passes a level (marching squares), in pixels of the image.

// For each combination of corners above the level: pairs of edges to join. Edges: 0 top, 1 right, 2 bottom, 3 left.
const JOINS = [
  [], [[3, 2]], [[2, 1]], [[3, 1]], [[0, 1]], [[0, 3], [2, 1]], [[0, 2]], [[0, 3]],
  [[3, 0]], [[0, 2]], [[3, 2], [0, 1]], [[0, 1]], [[3, 1]], [[2, 1]], [[3, 2]], [],
];

/**
 * Traces a grey picture.
 *
 * @param {{width: number, height: number, grey: Uint8Array}} map
 * @param {number} level between 0 and 255.
 * @returns {Path2D} empty where no place reaches the level.
 */
export function contour({ width, height, grey }, level) {
  const path = new Path2D();
  const along = (from, to) => (level - from) / (to - from);
  for (let y = 0; y + 1 < height; y += 1) {
    for (let x = 0; x + 1 < width; x += 1) {
      const place = y * width + x;
      const [a, b, c, d] = [grey[place], grey[place + 1], grey[place + width + 1], grey[place + width]];
      const corners = (a > level) * 8 + (b > level) * 4 + (c > level) * 2 + (d > level);
      if (corners === 0 || corners === 15) continue;
      const edges = [
        () => [x + along(a, b), y],
        () => [x + 1, y + along(b, c)],
        () => [x + along(d, c), y + 1],
        () => [x, y + along(a, d)],
      ];
      for (const [from, to] of JOINS[corners]) {
        const [x0, y0] = edges[from]();
        const [x1, y1] = edges[to]();
        path.moveTo(x0 + 0.5, y0 + 0.5); // grey values belong to the centres of pixels
        path.lineTo(x1 + 0.5, y1 + 0.5);
      }
    }
  }
  return path;
}
