// @ts-check
// Which DICOM files may belong to one series: what the header says of it, by the rule of volumes/dicom.py. The service
// decides for itself; here files are only kept together that it has to see together.

const START = 132; // the mark DICM ends there
const HEADS = [64 * 1024, 2 * 1024 * 1024]; // bytes that are read, more where the header is longer
const LAST = 0x0020000e; // of the tags that are wanted
/** Patient's name, number, birthday; study; series. */
const WANTED = [0x00100010, 0x00100020, 0x00100030, 0x0020000d, LAST];
const LONG = new Set(["OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"]);
const ITEM = 0xfffee000;
const ITEM_END = 0xfffee00d;
const SEQUENCE_END = 0xfffee0dd;
const OPEN = 0xffffffff;

/**
 * Reads the wanted tags of a header; null where it goes on beyond the bytes, or is none that is read here.
 *
 * @param {DataView} view
 * @returns {Map<number, string> | null}
 */
function read(view) {
  const hasMark = view.byteLength >= START && text(view, 128, 4) === "DICM";
  let at = hasMark ? START : 0;
  let [isExplicit, little, depth] = [true, true, 0];
  let syntax = "";
  let isMeta = hasMark;
  /** @type {Map<number, string>} */
  const found = new Map();
  while (at + 8 <= view.byteLength) {
    if (isMeta && view.getUint16(at, true) !== 2) {
      isMeta = false;
      if (syntax.endsWith(".1.99")) return null; // deflated
      isExplicit = syntax !== "1.2.840.10008.1.2";
      little = syntax !== "1.2.840.10008.1.2.2";
    }
    const tag = view.getUint16(at, little) * 0x10000 + view.getUint16(at + 2, little);
    if (!depth && tag > LAST) return found;
    let size = view.getUint32(at + 4, little);
    let head = 8;
    const kind = text(view, at + 4, 2);
    if (isExplicit && tag < ITEM) {
      if (!/^[A-Z]{2}$/.test(kind)) return null;
      if (!LONG.has(kind)) size = view.getUint16(at + 6, little);
      else if (at + 12 <= view.byteLength) [size, head] = [view.getUint32(at + 8, little), 12];
      else return null;
    }
    at += head;
    if (tag === ITEM_END || tag === SEQUENCE_END) depth -= 1;
    else if (size === OPEN) depth += 1;
    else {
      if (at + size > view.byteLength) return null;
      const value = !depth && (isMeta || WANTED.includes(tag)) ? text(view, at, Math.min(size, 256)).replace(/[\0 ]+$/, "") : "";
      if (isMeta && tag === 0x00020010) syntax = value;
      else if (value) found.set(tag, value);
      at += size;
    }
    if (tag === LAST && !depth) return found;
  }
  return null;
}

/**
 * @param {DataView} view
 * @param {number} at
 * @param {number} size
 */
const text = (view, at, size) => {
  let letters = "";
  for (let place = at; place < Math.min(at + size, view.byteLength); place += 1) letters += String.fromCharCode(view.getUint8(place));
  return letters;
};

/**
 * What files have in common that may be one series: its identifier; without one, that somebody is named; else the folder.
 *
 * @param {Blob} file
 * @param {string} folder
 * @returns {Promise<string>}
 */
export async function seriesOf(file, folder) {
  for (const size of HEADS) {
    const content = await file.slice(0, size).arrayBuffer().catch(() => null);
    const found = content && read(new DataView(content));
    if (found) {
      const uid = found.get(LAST);
      return uid ? `series ${uid}` : found.size ? "somebody" : `folder ${folder}`;
    }
    if (file.size <= size) break;
  }
  return `folder ${folder}`;
}
