// Pictures and maps of slices, decoded once; the last few stay in memory so that scrolling is smooth.

const KEPT = 64;
const RAW = { colorSpaceConversion: "none", premultiplyAlpha: "none" }; // bytes are values, not colours
const kept = new Map();

async function load(url) {
  const reply = await fetch(url);
  if (!reply.ok) throw new Error(`status ${reply.status}`);
  const bitmap = await createImageBitmap(await reply.blob(), RAW);
  const { width, height } = bitmap;
  const context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  const { data } = context.getImageData(0, 0, width, height);
  const values = pair(reply, "X-Values");
  return { width, height, ...(values ? deep(data, values, pair(reply, "X-Window")) : shallow(data)) };
}

const pair = (reply, name) => reply.headers.get(name)?.split(",").map(Number);

/** 8 bits; there is nothing to see beyond the window that the server chose. */
function shallow(data) {
  const grey = new Uint8Array(data.length / 4);
  for (let place = 0; place < grey.length; place += 1) grey[place] = data[4 * place];
  return { grey, most: 255, values: [0, 1], window: { width: 1, level: 0.5 } };
}

/** 16 bits: red is the high byte, green the low one. */
function deep(data, values, [black, white]) {
  const grey = new Uint16Array(data.length / 4);
  for (let place = 0; place < grey.length; place += 1) grey[place] = (data[4 * place] << 8) | data[4 * place + 1];
  return { grey, most: 65535, values, window: { width: Math.abs(white - black), level: (black + white) / 2 } };
}

/**
 * Resolves to {width, height, grey, most, values, window}; rejects where the server has no such picture. Grey 0 stands for
 * `values[0]`, grey `most` for `values[1]`: shares of 1, or with 16 bits the file's own; so is the `window` to begin with.
 */
export function picture(url) {
  const known = kept.get(url);
  if (known) {
    kept.delete(url);
    kept.set(url, known);
    return known;
  }
  const made = load(url);
  made.catch(() => kept.delete(url));
  kept.set(url, made);
  if (kept.size > KEPT) kept.delete(kept.keys().next().value);
  return made;
}

/** Loads what will likely be asked for next. */
export const prefetch = (urls) => urls.forEach((url) => picture(url).catch(() => null));
