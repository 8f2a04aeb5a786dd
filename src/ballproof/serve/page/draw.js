"use strict";
// Canvases: pictures of inputs, lines and bars. No state; colours are those of the style sheet.

const get = (id) => document.getElementById(id);
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const short = (x) => Math.abs(x) >= 100 ? x.toFixed(0) : Number(x.toPrecision(3)).toString();

async function ask(question, members) {
  const answer = await fetch(question, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(members) });
  const told = await answer.json();
  if (!answer.ok) throw new Error(told.error);
  return told;
}

function trouble(error) {
  get("trouble").hidden = !error;
  get("trouble").textContent = error ? (error instanceof TypeError ? "ballproof does not answer: is `ballproof serve` still running?" : error.message) : "";
}

// Keeps one question under way; of those that come meanwhile only the last one is asked.
function latest(work) {
  let busy = false, waiting = null;
  return async function run(...given) {
    if (busy) { waiting = given; return; }
    busy = true;
    try { await work(...given); trouble(null); } catch (error) { trouble(error); }
    busy = false;
    if (waiting) { const next = waiting; waiting = null; run(...next); }
  };
}

// A canvas in real pixels, cleared; its context counts in CSS pixels.
function paper(canvas) {
  const box = canvas.getBoundingClientRect(), scale = window.devicePixelRatio || 1;
  canvas.width = Math.max(1, Math.round(box.width * scale));
  canvas.height = Math.max(1, Math.round(box.height * scale));
  const pen = canvas.getContext("2d");
  pen.scale(scale, scale);
  pen.font = "12px system-ui, sans-serif";
  return [pen, box.width, box.height];
}

// Numbers in [0, 1] as a picture of shape (channels, height, width); other shapes as one line of cells.
function picture(canvas, numbers, shape) {
  const [channels, height, width] = shape.length === 3 && [1, 3].includes(shape[0]) ? shape : [1, 1, numbers.length];
  canvas.width = width;
  canvas.height = height;
  canvas.style.aspectRatio = height === 1 ? "6" : `${width} / ${height}`;
  const pen = canvas.getContext("2d"), image = pen.createImageData(width, height), plane = height * width;
  for (let i = 0; i < plane; i++) {
    for (let c = 0; c < 3; c++) image.data[4 * i + c] = 255 * numbers[i + (channels === 3 ? c * plane : 0)];
    image.data[4 * i + 3] = 255;
  }
  pen.putImageData(image, 0, 0);
}

// Lines over the same x, with 0 marked and a place of interest.
function lines(canvas, x, curves, at, largest) {
  const [pen, width, height] = paper(canvas), left = 46, bottom = 20;
  const all = curves.flatMap((curve) => curve.y), high = Math.max(0.01, ...all), low = Math.max(Math.min(-0.01, ...all), -3 * high);
  const px = (v) => left + (width - left - 6) * v / largest, py = (v) => 6 + (height - bottom - 8) * (high - Math.max(v, low)) / (high - low);
  pen.strokeStyle = colour("--soft");
  pen.fillStyle = colour("--soft");
  pen.beginPath(); pen.moveTo(left, py(0)); pen.lineTo(width - 6, py(0)); pen.stroke();
  pen.textAlign = "right"; pen.fillText("0", left - 4, py(0) + 4); pen.fillText(short(high), left - 4, 15);
  pen.fillText(`${short(largest)}`, width - 6, height - 5); pen.textAlign = "left"; pen.fillText("eps 0", left, height - 5);
  pen.setLineDash([3, 3]); pen.beginPath(); pen.moveTo(px(at), 4); pen.lineTo(px(at), height - bottom); pen.stroke(); pen.setLineDash([]);
  for (const curve of curves) {
    pen.strokeStyle = colour(curve.colour);
    pen.lineWidth = 2;
    pen.beginPath();
    x.forEach((v, i) => i ? pen.lineTo(px(v), py(curve.y[i])) : pen.moveTo(px(v), py(curve.y[i])));
    pen.stroke();
  }
}

// One bar a class from its proven lower to its proven upper end, with a dot at the value.
function bars(canvas, told) {
  const [pen, width, height] = paper(canvas), left = 26, count = told.logits.length, step = height / count;
  const low = Math.min(...told.lower), high = Math.max(...told.upper), px = (v) => left + (width - left - 8) * (v - low) / (high - low || 1);
  for (let i = 0; i < count; i++) {
    const y = (i + 0.5) * step;
    pen.fillStyle = colour("--soft");
    pen.fillText(String(i), 6, y + 4);
    pen.fillStyle = colour(i === told.answer ? "--blue" : "--grey");
    pen.fillRect(px(told.lower[i]), y - step * 0.3, Math.max(2, px(told.upper[i]) - px(told.lower[i])), step * 0.6);
    pen.fillStyle = colour("--ink");
    pen.beginPath(); pen.arc(px(told.logits[i]), y, 4, 0, 7); pen.fill();
  }
}
