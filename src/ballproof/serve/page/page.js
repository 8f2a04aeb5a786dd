"use strict";
// One input: where it comes from, and what is asked of it.

let facts = null, input = [], shown = null, curve = null;

const norm = () => get("norm").value;
const eps = () => facts.largest[norm()] * get("eps").value / 1000;
const drawable = () => facts.shape.length === 3 && [1, 3].includes(facts.shape[0]);

const look = latest(async () => {
  shown = await ask("look", { given: input, norm: norm(), eps: eps() });
  show();
});
// The curve, a radius a question: first a grid, then halving where proofs end. A newer input ends the walk.
const GRID = 10, HALVINGS = 6;
let walk = 0;

async function follow() {
  const own = ++walk, known = norm(), largest = facts.largest[known];
  const points = [];
  const step = async (radius) => {
    const told = await ask("step", { given: input, norm: known, eps: radius });
    if (own !== walk) return null;
    points.push(told);
    points.sort((a, b) => a.eps - b.eps);
    let least = Infinity;
    for (const point of points) {
      least = point.least = Math.min(least, point.found);
      if (point.proven > 0 && least <= 0) throw new Error(`alarm: radius ${point.eps} is certified, and a point in it breaks it`);
    }
    curve = points;
    show();
    return told;
  };
  try {
    for (let i = 0; i <= GRID; i++) if (!await step(largest * i / GRID)) return;
    let low = Math.max(0, ...points.filter((p) => p.proven > 0).map((p) => p.eps)), high = Math.min(largest, low + largest / GRID);
    for (let i = 0; i < HALVINGS && low < high; i++) {
      const middle = (low + high) / 2, told = await step(middle);
      if (!told) return;
      if (told.proven > 0) low = middle; else high = middle;
    }
  } catch (error) { trouble(error); }
}

function changed() {
  picture(get("input"), input, facts.shape);
  curve = null;
  look();
  follow();
}

function show() {
  if (!shown) return;
  const told = shown, at = short(eps());
  get("eps-told").textContent = at;
  get("verdict").innerHTML = "";
  const line = document.createElement("span");
  line.className = told.certified ? "proven-told" : told.broken ? "broken-told" : "";
  line.textContent = told.certified
    ? `Answer ${told.answer}, proven: no input in the ball changes it. Its logit exceeds every other by at least ${short(told.margin)} (nearest: ${told.against}).`
    : told.broken ? `Answer ${told.answer}, broken: the attack found an input in the ball that is answered ${told.twin_answer}.`
    : `Answer ${told.answer}: neither proven (the bound of the margin to ${told.against} is ${short(told.margin)}) nor broken (the attack came down to ${short(told.attack_margin)}).`;
  get("verdict").append(line);
  bars(get("logits"), told);
  get("logits").setAttribute("aria-label", told.logits.map((_, i) => `logit ${i} in ${short(told.lower[i])} to ${short(told.upper[i])}`).join("; "));
  twins(told);
  layers(told.layers);
  get("time").textContent = `The last answer took ${Math.round(told.milliseconds)} ms.`;
  if (curve) {
    lines(get("curve"), curve.map((p) => p.eps), [{ y: curve.map((p) => p.proven), colour: "--blue" }, { y: curve.map((p) => p.least), colour: "--red" }], eps(), facts.largest[norm()]);
    const proven = curve.filter((p) => p.proven > 0).map((p) => p.eps), broken = curve.filter((p) => p.least <= 0).map((p) => p.eps);
    get("reach").textContent = (proven.length ? `Proven up to ${short(Math.max(...proven))}; ` : "Proven at no radius asked yet; ") + (broken.length ? `broken at ${short(Math.min(...broken))}.` : "not broken at any radius asked.");
    get("curve").setAttribute("aria-label", get("reach").textContent);
  }
}

function twins(told) {
  const change = told.twin.map((v, i) => v - input[i]), largest = Math.max(...change.map(Math.abs));
  picture(get("twin"), told.twin, facts.shape);
  picture(get("change"), change.map((v) => 0.5 + (largest ? 0.5 * v / largest : 0)), facts.shape);
  get("twin-told").textContent = `answered ${told.twin_answer}, margin ${short(told.attack_margin)}`;
  get("twin").setAttribute("aria-label", `attacked input, ${get("twin-told").textContent}`);
  get("change-told").textContent = `difference, shown ×${largest ? short(0.5 / largest) : 1}; grey is no change`;
  get("change").setAttribute("aria-label", `difference, at most ${short(largest)}`);
}

function layers(found) {
  const place = get("layers");
  place.textContent = "";
  for (const layer of found) {
    const line = document.createElement("div"), bar = document.createElement("div");
    line.className = "layer";
    line.textContent = `${layer.kind} ${layer.name}: ${layer.on} on, ${layer.off} off, ${layer.undecided} undecided`;
    bar.className = "bar";
    for (const [key, count] of [["on", layer.on], ["off", layer.off], ["open", layer.undecided]]) {
      const part = document.createElement("i");
      part.className = key;
      part.style.width = `${100 * count / layer.neurons}%`;
      bar.append(part);
    }
    line.append(bar);
    place.append(line);
  }
}

async function pick(index) {
  get("label").textContent = "…";
  const told = await ask("example", { index: Math.min(Math.max(0, index || 0), facts.examples - 1) });
  if (get("label").textContent !== "…") return; // something was drawn meanwhile
  get("index").value = index;
  get("label").textContent = `labelled ${told.label}`;
  input = told.input;
  changed();
}
const choose = latest(pick);

function paint(event) {
  if (!drawable() || !(event.buttons & 1)) return;
  const [channels, height, width] = facts.shape, box = get("input").getBoundingClientRect();
  const x = (event.clientX - box.left) / box.width * width, y = (event.clientY - box.top) / box.height * height;
  const ink = Number(document.querySelector("input[name=brush]:checked").value), size = Math.max(0.9, width / 24);
  for (let row = 0; row < height; row++) for (let column = 0; column < width; column++) {
    const share = Math.max(0, Math.min(1, 1.6 - Math.hypot(column + 0.5 - x, row + 0.5 - y) / size));
    for (let c = 0; c < channels; c++) {
      const i = (c * height + row) * width + column;
      input[i] = ink ? Math.max(input[i], share) : Math.min(input[i], 1 - share);
    }
  }
  get("label").textContent = "drawn by you";
  changed();
}

function read(file) {
  const image = new Image();
  image.onload = () => {
    const [channels, height, width] = facts.shape, page = document.createElement("canvas");
    page.width = width; page.height = height;
    const pen = page.getContext("2d");
    pen.drawImage(image, 0, 0, width, height);
    const data = pen.getImageData(0, 0, width, height).data, plane = width * height;
    const light = (i) => (0.299 * data[4 * i] + 0.587 * data[4 * i + 1] + 0.114 * data[4 * i + 2]) / 255;
    input = Array.from({ length: channels * plane }, (_, i) => channels === 1 ? Math.min(1, light(i)) : data[4 * (i % plane) + Math.floor(i / plane)] / 255);
    get("label").textContent = "your image, resized";
    URL.revokeObjectURL(image.src);
    changed();
  };
  image.onerror = () => trouble(new Error("that file is no image that this browser reads"));
  image.src = URL.createObjectURL(file);
}

async function begin() {
  facts = await ask("about", {});
  get("model").textContent = facts.name;
  get("method").textContent = facts.method;
  get("index").max = facts.examples - 1;
  document.title = `ballproof: ${facts.name}`;
  if (!drawable()) { get("brushes").hidden = get("file-row").hidden = true; }
  get("eps").addEventListener("input", () => { get("eps-told").textContent = short(eps()); look(); });
  get("norm").addEventListener("change", () => { curve = null; look(); follow(); });
  get("index").addEventListener("change", () => choose(Number(get("index").value)));
  get("before").addEventListener("click", () => choose(Math.max(0, Number(get("index").value) - 1)));
  get("after").addEventListener("click", () => choose(Math.min(facts.examples - 1, Number(get("index").value) + 1)));
  get("clear").addEventListener("click", () => { input = input.map(() => 0); get("label").textContent = "empty"; changed(); });
  get("file").addEventListener("change", (event) => event.target.files.length && read(event.target.files[0]));
  get("input").addEventListener("pointerdown", paint);
  get("input").addEventListener("pointermove", paint);
  addEventListener("resize", show);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", show);
  await pick(0);
}
begin().catch(trouble);
