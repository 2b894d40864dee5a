// Cases -> one self-contained HTML file with a picture each, decided by the threshold in use.

import { mapOf, pictureOf } from "./api.js";
import { contour } from "./contour.js";
import { el } from "./dom.js";
import { picture } from "./pictures.js";
import { heatOf } from "./viewer.js";
import { because, counted, explain, label, moment, number, thresholds } from "./words.js";

const PICTURES = 400; // a page with more is slow to open
const SIDE = 240;
const STYLE = `
:root { color-scheme: light dark; --ink: #1b1e23; --paper: #fafaf8; --muted: #5d6570; --line: #dfe2e5; --tumor: #b04300; --no_tumor: #0067a3; --refer: #7a5600; --unreadable: #5d6570; }
@media (prefers-color-scheme: dark) { :root { --ink: #e5e8ec; --paper: #14171b; --muted: #9aa3ae; --line: #2e343c; --tumor: #f5915a; --no_tumor: #58b0e6; --refer: #ecb842; --unreadable: #9aa3ae; } }
body { margin: 0 auto; max-width: 1180px; padding: 2rem 1.25rem; background: var(--paper); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.6rem; margin: 0 0 .25rem; } p { margin: .25rem 0; } .muted { color: var(--muted); }
ul { list-style: none; margin: 1.5rem 0 0; padding: 0; display: grid; gap: 1.25rem; grid-template-columns: repeat(auto-fill, minmax(200px, 1fr)); }
li { border-top: 1px solid var(--line); padding-top: .75rem; break-inside: avoid; overflow-wrap: anywhere; }
img, .missing { display: block; width: 100%; aspect-ratio: 1; object-fit: contain; background: #000; border-radius: 4px; margin-bottom: .5rem; }
.missing { display: grid; place-items: center; color: #aaa; font-size: .8rem; }
h2 { font-size: .95rem; margin: 0; } .decision { font-weight: 650; } .figures { font-variant-numeric: tabular-nums; }
.tumor { color: var(--tumor); } .no_tumor { color: var(--no_tumor); } .refer { color: var(--refer); } .unreadable { color: var(--unreadable); }
`;

/** Returns the text of the file; `onprogress(done, total)` is called as pictures are drawn. */
export async function writeReport(cases, rule, model, onprogress) {
  const page = document.implementation.createHTMLDocument(`brainsift: ${counted(cases.length, "case")}`);
  page.documentElement.lang = "en";
  page.head.prepend(el("meta", { charset: "utf-8" }), el("meta", { name: "viewport", content: "width=device-width, initial-scale=1" }));
  page.body.append(...head(cases, rule, model), el("ul"));
  const list = page.body.querySelector("ul");
  const order = [...cases].sort((a, b) => (b.probability ?? -1) - (a.probability ?? -1));
  for (const [place, one] of order.entries()) {
    onprogress(place, order.length);
    list.append(item(one, place < PICTURES ? await drawn(one) : ""));
  }
  // as text: the policy of this page would not let it make a <style>
  const styled = page.documentElement.outerHTML.replace("</head>", () => `<style>${STYLE}</style></head>`);
  return `<!doctype html>\n${styled}\n`;
}

function head(cases, rule, model) {
  const counts = {};
  for (const one of cases) counts[one.decision] = (counts[one.decision] ?? 0) + 1;
  const said = Object.entries(counts).map(([decision, count]) => `${label(decision)} ${count}`);
  const made = `${moment(new Date().toISOString())}, brainsift ${model.version}, network ${model.name} ${model.network_sha256.slice(0, 12)}`;
  const margin = rule.margin > 0 ? `, answers nearer than ${number(rule.margin, 2)} logits to even odds referred` : "";
  return [
    el("h1", {}, `Tumor or not: ${counted(cases.length, "case")}`),
    el("p", { class: "muted" }, made),
    el("p", {}, `${said.join(" · ")}. Threshold ${thresholds(rule)}${margin}.`),
    el("p", {}, el("strong", {}, model.notice)),
    el("p", { class: "muted" }, "Most suspicious first. Orange: where the network sees a tumor; the line where both answers are as likely."),
  ];
}

function item(one, source) {
  const shown = source ? el("img", { src: source, alt: `${one.name} with the tumor map` }) : el("span", { class: "missing" }, "no picture");
  const slice = one.isVolume ? `, slice ${one.place + 1} of ${one.answers.length}` : "";
  const probability = one.probability === null ? "" : ` ${number(one.probability)}`;
  return el(
    "li",
    {},
    shown,
    el("h2", {}, one.folder + one.name + slice),
    el("p", { class: `figures ${one.decision}` }, el("span", { class: "decision" }, label(one.decision)), probability),
    el("p", { class: "muted" }, one.detail ? because(one) : one.isVolume ? volumeWords(one) : explain(one, one.rule)),
  );
}

const volumeWords = (one) => `Largest mean over three adjacent slices, threshold ${number(one.rule.threshold)}.`;

async function drawn(one) {
  const { slice } = one;
  if (!one.job || slice.status === "unreadable") return "";
  try {
    const grey = await picture(pictureOf(one.job, slice.id));
    const map = slice.has_map === false ? null : await picture(mapOf(one.job, slice.id)).catch(() => null);
    return compose(grey, map);
  } catch {
    return ""; // gone since it was scored: the answer stands without a picture
  }
}

function compose(grey, map) {
  const scale = SIDE / Math.max(grey.width, grey.height);
  const canvas = el("canvas", { width: Math.round(grey.width * scale), height: Math.round(grey.height * scale) });
  const context = canvas.getContext("2d");
  context.scale(scale, scale);
  context.imageSmoothingQuality = "high";
  context.drawImage(greyOf(grey), 0, 0);
  if (map) {
    context.globalAlpha = 0.55;
    context.drawImage(heatOf(map), 0, 0);
    context.globalAlpha = 1;
    context.lineWidth = 1.5 / scale;
    context.strokeStyle = "#ffe14d";
    context.stroke(contour(map, 127.5));
  }
  return canvas.toDataURL("image/jpeg", 0.85);
}

function greyOf({ width, height, grey }) {
  const canvas = new OffscreenCanvas(width, height);
  const image = new ImageData(width, height);
  const pixels = new Uint32Array(image.data.buffer);
  for (let place = 0; place < pixels.length; place += 1) pixels[place] = 0xff000000 | (grey[place] * 0x010101);
  canvas.getContext("2d").putImageData(image, 0, 0);
  return canvas;
}
