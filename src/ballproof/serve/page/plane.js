"use strict";
// The plane: decision regions, boxes and what is proven of them, while a network learns.

let plane = null, view = null, training = false;

const kind = () => document.querySelector("input[name=kind]:checked").value;
const reach = () => plane.largest * get("plane-eps").value / 1000;

const update = latest(async (train = false, restart = false) => {
  view = await ask("plane", { kind: kind(), eps: reach(), train, restart });
  map();
  if (training) setTimeout(() => update(training), 30);
});

function map() {
  if (!view) return;
  const [pen, width, height] = paper(get("plane")), cell = width / plane.cells;
  const px = (x) => x * width, py = (y) => height - y * height;
  view.regions.forEach((row, j) => [...row].forEach((won, i) => {
    pen.fillStyle = colour(won === "1" ? "--one" : "--zero");
    pen.fillRect(i * cell, height - (j + 1) * cell, cell + 1, cell + 1);
  }));
  plane.points.forEach(([x, y], i) => {
    const size = 2 * view.eps * width, broken = view.broken[i];
    pen.strokeStyle = colour(view.proven[i] ? "--blue" : broken ? "--red" : "--soft");
    pen.lineWidth = view.proven[i] ? 2 : 3;
    pen.setLineDash(view.proven[i] || broken ? [] : [5, 4]);
    pen.strokeRect(px(x) - size / 2, py(y) - size / 2, size, size);
    pen.setLineDash([]);
    pen.fillStyle = colour("--ink");
    pen.beginPath();
    if (plane.labels[i]) pen.rect(px(x) - 4, py(y) - 4, 8, 8); else pen.arc(px(x), py(y), 5, 0, 7);
    pen.fill();
    if (broken) { pen.fillStyle = colour("--red"); pen.beginPath(); pen.arc(px(broken[0]), py(broken[1]), 4, 0, 7); pen.fill(); }
  });
  const proven = view.proven.filter(Boolean).length, broken = view.broken.filter(Boolean).length, count = plane.points.length;
  get("plane-told").textContent = short(reach());
  get("plane-verdict").textContent = `After ${view.steps} steps: ${proven} of ${count} boxes proven, ${broken} broken, ${count - proven - broken} neither.`;
  get("plane").setAttribute("aria-label", get("plane-verdict").textContent);
}

function teach(on) {
  training = on;
  get("train").textContent = on ? "Pause" : "Train";
  update(on);
}

async function open() {
  plane = await ask("plane_about", {});
  get("plane-eps").value = 1000 * plane.radius / plane.largest;
  get("plane-eps").addEventListener("input", () => update(training));
  get("train").addEventListener("click", () => teach(!training));
  get("restart").addEventListener("click", () => update(training, true));
  for (const choice of document.querySelectorAll("input[name=kind]")) choice.addEventListener("change", () => update(training));
  addEventListener("resize", map);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", map);
  update();
}
open().catch(trouble);
