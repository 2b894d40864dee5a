// Pictures and maps of slices, decoded once; the last few stay in memory so that scrolling is smooth.

const KEPT = 64;
const kept = new Map();

async function load(url) {
  const reply = await fetch(url);
  if (!reply.ok) throw new Error(`status ${reply.status}`);
  const bitmap = await createImageBitmap(await reply.blob(), { colorSpaceConversion: "none" });
  const { width, height } = bitmap;
  const context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  const { data } = context.getImageData(0, 0, width, height);
  const grey = new Uint8Array(width * height);
  for (let place = 0; place < grey.length; place += 1) grey[place] = data[4 * place];
  return { width, height, grey };
}

/** Resolves to {width, height, grey}; rejects where the server has no such picture. */
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
