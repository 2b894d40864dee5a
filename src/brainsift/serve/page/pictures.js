// @ts-check
// Pictures and maps of slices, decoded once; the last few stay in memory so that scrolling is smooth.

/**
 * @typedef {{ width: number, level: number }} Window The range of values shown from black to white, and its middle.
 *
 * @typedef {object} Picture
 * @property {number} width pixels.
 * @property {number} height pixels.
 * @property {Uint8Array | Uint16Array} gray row by row.
 * @property {number} most the largest gray: 255 or 65535.
 * @property {[number, number]} values what gray 0 and gray `most` stand for: 0 and 1, or with 16 bits the file's own.
 * @property {Window} window to begin with, in such values.
 */

const KEPT = 64;
/** @type {ImageBitmapOptions} */
const RAW = { colorSpaceConversion: "none", premultiplyAlpha: "none" }; // bytes are values, not colors
/** @type {Map<string, Promise<Picture>>} */
const kept = new Map();

/**
 * @param {string} url
 * @returns {Promise<Picture>}
 */
async function load(url) {
  const reply = await fetch(url);
  if (!reply.ok) throw new Error(`status ${reply.status}`);
  const bitmap = await createImageBitmap(await reply.blob(), RAW);
  const { width, height } = bitmap;
  const context = contextOf(new OffscreenCanvas(width, height), { willReadFrequently: true });
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  const { data } = context.getImageData(0, 0, width, height);
  const [values, window] = [pair(reply, "X-Values"), pair(reply, "X-Window")];
  return { width, height, ...(values && window ? deep(data, values, window) : shallow(data)) };
}

/**
 * The context of a canvas that nobody else uses.
 *
 * @param {OffscreenCanvas} canvas
 * @param {CanvasRenderingContext2DSettings} [settings]
 */
export const contextOf = (canvas, settings) =>
  /** @type {OffscreenCanvasRenderingContext2D} */ (canvas.getContext("2d", settings));

/**
 * @param {Response} reply
 * @param {string} name
 */
function pair(reply, name) {
  const numbers = reply.headers.get(name)?.split(",").map(Number);
  return numbers && /** @type {[number, number]} */ (numbers);
}

/** @typedef {Omit<Picture, "width" | "height">} Grays */

/**
 * 8 bits; there is nothing to see beyond the window that the server chose.
 *
 * @param {Uint8ClampedArray} data RGBA.
 * @returns {Grays}
 */
function shallow(data) {
  const gray = new Uint8Array(data.length / 4);
  for (let place = 0; place < gray.length; place += 1) gray[place] = data[4 * place];
  return { gray, most: 255, values: [0, 1], window: { width: 1, level: 0.5 } };
}

/**
 * 16 bits: red is the high byte, green the low one.
 *
 * @param {Uint8ClampedArray} data RGBA.
 * @param {[number, number]} values
 * @param {[number, number]} window
 * @returns {Grays}
 */
function deep(data, values, [black, white]) {
  const gray = new Uint16Array(data.length / 4);
  for (let place = 0; place < gray.length; place += 1) gray[place] = (data[4 * place] << 8) | data[4 * place + 1];
  return { gray, most: 65535, values, window: { width: Math.abs(white - black), level: (black + white) / 2 } };
}

/**
 * The picture at an address; rejects where the server has no such picture.
 *
 * @param {string} url
 */
export function picture(url) {
  const known = kept.get(url);
  if (known) {
    kept.delete(url);
    kept.set(url, known);
    return known;
  }
  const loading = load(url);
  loading.catch(() => kept.delete(url));
  kept.set(url, loading);
  if (kept.size > KEPT) kept.delete(/** @type {string} */ (kept.keys().next().value));
  return loading;
}

/**
 * Loads what will likely be asked for next.
 *
 * @param {string[]} urls
 */
export const prefetch = (urls) => urls.forEach((url) => picture(url).catch(() => null));
