"use strict";

/* Draws the evidence that the page carries. The page's numbers come from Python; what is computed
   here is only what depends on a choice: which map, against which class, on which scale. */

const PALETTES = readPalettes();
const settings = { style: "positive", shared: false };
const views = Array.from(document.querySelectorAll(".picture"), createView);

// ---------------------------------------------------------------- the data in the page

function readPalettes() {
  const encoded = JSON.parse(document.getElementById("palettes").textContent);
  return Object.fromEntries(Object.entries(encoded).map(([style, text]) =>
    [style, new Uint32Array(decode(text).buffer)]));
}

function readEvidence(article) {
  const evidence = JSON.parse(article.querySelector(".evidence").textContent);
  for (const entry of evidence.classes) {
    entry.map = Float64Array.from(new Float32Array(decode(entry.map).buffer));
    for (const term of ["logit", "evidence", "bias", "certificate"]) entry[term] ??= NaN;
  }
  return evidence;
}

/** The evidence of a picture is read when it is first needed: most may never be looked at. */
function data(view) {
  view.evidence ??= readEvidence(view.article);
  return view.evidence;
}

// ---------------------------------------------------------------- one picture

function createView(article) {
  const rows = Array.from(article.querySelectorAll(".row"));
  const stage = article.querySelector(".stage");
  const [width, height] = ["width", "height"].map((side) =>
    Number(stage.querySelector("img").getAttribute(side)));
  stage.style.setProperty("--ratio", width / height);
  return {
    article,
    rows,
    stage,
    canvas: article.querySelector(".map"),
    boxes: article.querySelector(".boxes"),
    cellBox: article.querySelector(".cell"),
    scale: article.querySelector(".scale"),
    readout: article.querySelector(".readout"),
    compare: article.querySelector(".compare select"),
    words: rows.map(rowWords),
    haystack: [article.querySelector("h2"), ...article.querySelectorAll(".name bdi")]
      .map((part) => part.textContent).join("\n").toLowerCase(),
    rawLimit: Number(article.dataset.limit),
    unit: article.dataset.unit,
    limit: Number(article.dataset.limit),
    near: false,      // on the screen or close to it: only then it is drawn
    preview: null,    // the class under the pointer
    against: null,    // the class that the evidence is compared with
    cell: null,       // the cell under the pointer, [row, column]
    evidence: null,
  };
}

/** The numbers of a class as Python wrote them, to put back when nothing is compared. */
function rowWords(row) {
  const [terms, certificate] = [".terms", ".certificate"].map((part) => row.querySelector(part));
  return terms && { terms: terms.textContent, certificate: certificate.textContent };
}

function chosen(view) {
  const radio = view.article.querySelector(".row input:checked");
  return radio === null || radio.value === "" ? null : Number(radio.value);
}

/** What is to be drawn: the map of a class, or of one class less another; null for none. */
function currentMap(view) {
  const shown = view.preview === null ? chosen(view) : view.preview.index;
  if (shown === null) return null;
  return comparedMap(view, shown);
}

function comparedMap(view, index) {
  const { classes } = data(view);
  const { map } = classes[index];
  if (view.against === null) return map;
  const other = classes[view.against].map;
  return map.map((value, cell) => value - other[cell]);
}

function limitOf(view) {
  return settings.shared ? Math.max(...views.map((each) => each.limit)) : view.limit;
}

// ---------------------------------------------------------------- drawing

function draw(view) {
  if (!view.near) return;
  const map = currentMap(view);
  const { canvas } = view;
  canvas.width = map === null ? 0 : view.stage.clientWidth;
  canvas.height = map === null ? 0 : view.stage.clientHeight;
  view.scale.hidden = map === null;
  if (canvas.width > 0 && canvas.height > 0) {
    drawMap(view, map);
    drawScale(view);
  }
  drawBoxes(view);
  read(view, map);
}

/** The boxes of the class shown; of one class less another nobody looked for any. */
function drawBoxes(view) {
  const shown = view.preview === null ? chosen(view) : view.preview.index;
  const entry = shown === null || view.against !== null ? {} : data(view).classes[shown];
  const boxes = (entry.boxes ?? []).map(({ box }, place) =>
    createBox(view, box, place === 0 ? entry.name : String(place + 1)));
  view.boxes.replaceChildren(...boxes.reverse());  // the largest lies on top
}

function createBox(view, [x0, y0, x1, y1], name) {
  const { original: [width, height] } = data(view).geometry;
  const [box, label] = [document.createElement("div"), document.createElement("span")];
  label.textContent = name;
  box.className = "box";
  box.append(label);
  Object.assign(box.style, {
    left: `${(100 * x0) / width}%`,
    top: `${(100 * y0) / height}%`,
    width: `${(100 * (x1 - x0)) / width}%`,
    height: `${(100 * (y1 - y0)) / height}%`,
  });
  return box;
}

function drawMap(view, map) {
  const { canvas } = view;
  const { grid: [rows, columns], geometry } = data(view);
  const context = canvas.getContext("2d");
  const image = context.createImageData(canvas.width, canvas.height);
  const across = sampling(canvas.width, columns, geometry, 0);
  const down = sampling(canvas.height, rows, geometry, 1);
  const pixels = new Uint32Array(image.data.buffer);
  paint(pixels, map, across, down, columns, PALETTES[settings.style], limitOf(view));
  context.putImageData(image, 0, 0);
}

function drawScale(view) {
  const bar = view.scale.querySelector("canvas");
  const palette = PALETTES[settings.style];
  const context = bar.getContext("2d");
  const image = context.createImageData(bar.width, 1);
  const pixels = new Uint32Array(image.data.buffer);
  const start = settings.style === "signed" ? 0 : (palette.length - 1) / 2;
  for (let x = 0; x < bar.width; x += 1) {
    pixels[x] = palette[Math.round(start + (x / (bar.width - 1)) * (palette.length - 1 - start))];
  }
  context.putImageData(image, 0, 0);
  labelScale(view);
}

function labelScale(view) {
  const limit = limitOf(view);
  const labels = settings.style === "signed"
    ? [plain(-limit), "0", plain(limit) + view.unit]
    : ["0", plain(limit / 2), plain(limit) + view.unit];
  view.scale.querySelectorAll(".ticks span").forEach((tick, place) => {
    tick.textContent = limit > 0 ? labels[place] : ["", "no evidence", ""][place];
  });
}

// ---------------------------------------------------------------- reading

function read(view, map) {
  const { grid } = data(view);
  const cell = map === null ? null : view.cell ?? strongest(map, grid[1]);
  const value = cell === null ? NaN : map[cell[0] * grid[1] + cell[1]];
  view.readout.textContent = cell === null ? "" : readoutText(view, cell, value);
  outlineCell(view, view.cell === null || map === null ? null : view.cell);
  pinValue(view, view.cell === null ? NaN : value);
}

function readoutText(view, [row, column], value) {
  const where = `row ${row + 1}, column ${column + 1}`;
  const amount = Number.isFinite(value) ? signed(value) + view.unit : "no number";
  if (view.cell !== null) return `${amount} in ${where}`;
  if (!(value > 0)) return "No cell speaks for this class";
  return `Strongest: ${amount} in ${where}`;
}

/** Outline a cell on the picture; a cell that lies partly outside is cut off there. */
function outlineCell(view, cell) {
  view.cellBox.hidden = cell === null;
  if (cell === null) return;
  const { style } = view.cellBox;
  [[style.left, style.width], [style.top, style.height]] = [1, 0].map((which, along) => {
    const [start, end] = cellEdges(data(view), cell[which], along);
    return [`${100 * start}%`, `${100 * (end - start)}%`];
  });
}

/** Both edges of a cell along one axis, in shares of the picture, the smaller one first. */
function cellEdges({ grid, geometry }, place, along) {
  return [place, place + 1]
    .map((edge) => inPixels(edge, grid[1 - along], geometry, along))
    .map((pixel) => pixel / geometry.original[along])
    .map((share) => Math.min(Math.max(share, 0), 1))
    .sort((one, other) => one - other);
}

/** Mark the value under the pointer on the colour scale. */
function pinValue(view, value) {
  const pin = view.scale.querySelector(".pin");
  const place = value / limitOf(view);
  const along = settings.style === "signed" ? (place + 1) / 2 : Math.max(place, 0);
  pin.hidden = !Number.isFinite(along);
  if (!pin.hidden) pin.style.left = `${100 * Math.min(Math.max(along, 0), 1)}%`;
}

function cellAt(view, event) {
  const { grid, geometry } = data(view);
  const frame = view.stage.getBoundingClientRect();
  const shares = [(event.clientX - frame.left) / frame.width,
    (event.clientY - frame.top) / frame.height];
  const [column, row] = shares.map((share, along) =>
    Math.floor(inCells(share * geometry.original[along], grid[1 - along], geometry, along)));
  return row >= 0 && row < grid[0] && column >= 0 && column < grid[1] ? [row, column] : null;
}

const STEPS = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };

/** The next cell in the direction that the key shows on the picture, flipped or not. */
function stepCell(view, key) {
  const { grid, geometry } = data(view);
  const map = currentMap(view);
  if (map === null) return null;
  if (view.cell === null) return strongest(map, grid[1]);
  return view.cell.map((place, along) => {
    const step = STEPS[key][along] * Math.sign(geometry.scale[1 - along]);
    return Math.min(Math.max(place + step, 0), grid[along] - 1);
  });
}

// ---------------------------------------------------------------- comparing

function compareWith(view, other) {
  view.against = other;
  const { classes } = data(view);
  if (other !== null && chosen(view) === other) {
    view.rows[other === 0 ? 1 : 0].querySelector("input").checked = true;
  }
  classes.forEach((_, index) => writeSum(view, index));
  view.limit = other === null
    ? view.rawLimit
    : largest(classes.map((_, index) => comparedMap(view, index)));
  redraw(settings.shared ? views : [view]);
}

function writeSum(view, index) {
  const row = view.rows[index];
  const isOther = index === view.against;
  row.classList.toggle("other", isOther);
  row.querySelector("input").disabled = isOther;
  const words = isOther
    ? { terms: "the class compared with", certificate: "" }
    : view.against === null ? view.words[index] : marginWords(data(view).classes, index, view.against);
  row.querySelector(".terms").textContent = words.terms;
  row.querySelector(".certificate").textContent = words.certificate;
}

function marginWords(classes, index, against) {
  const [one, other] = [classes[index], classes[against]];
  const terms = ["logit", "evidence", "bias"].map((term) => one[term] - other[term]);
  const digits = decimals(...terms);
  const [margin, evidence, bias] = rounded(...terms, digits);
  // Two deviations on the scale of the same logits: their sum bounds that of the difference.
  const bound = one.certificate + other.certificate;
  return {
    terms: `margin ${number(margin, digits)} = evidence ${number(evidence, digits)} + bias ${number(bias, digits)}`,
    certificate: deviation(bound),
  };
}

// ---------------------------------------------------------------- what the reader does

function redraw(some) {
  some.forEach(draw);
}

function preview(view, index) {
  view.preview = index === undefined ? null : { index };
  draw(view);
}

function point(view, cell) {
  view.cell = cell;
  read(view, currentMap(view));
}

function listenToRows(view) {
  view.rows.forEach((row) => {
    const { value } = row.querySelector("input");
    const index = value === "" ? null : Number(value);
    row.addEventListener("pointerenter", (event) => {
      const comparedWith = index !== null && index === view.against;
      if (event.pointerType === "mouse" && !comparedWith) preview(view, index);
    });
    row.addEventListener("pointerleave", () => preview(view));
    row.addEventListener("change", () => preview(view));
  });
}

function listenToStage(view) {
  const follow = (event) => point(view, cellAt(view, event));
  view.stage.addEventListener("pointermove", follow);
  view.stage.addEventListener("pointerdown", follow);
  view.stage.addEventListener("pointerleave", (event) => {
    if (event.pointerType === "mouse") point(view, null);
  });
  view.stage.addEventListener("blur", () => point(view, null));
  view.stage.addEventListener("keydown", (event) => {
    if (event.key === "Escape") point(view, null);
    if (!(event.key in STEPS)) return;
    event.preventDefault();
    point(view, stepCell(view, event.key));
  });
}

function listenToControls() {
  for (const radio of document.querySelectorAll("input[name=style]")) {
    radio.addEventListener("change", () => {
      settings.style = radio.value;
      redraw(views);
    });
  }
  const opacity = document.getElementById("opacity");
  const fade = () => document.documentElement.style.setProperty("--opacity", opacity.value / 100);
  opacity.addEventListener("input", fade);
  fade();
  document.getElementById("shared").addEventListener("change", (event) => {
    settings.shared = event.target.checked;
    redraw(views);
  });
  document.getElementById("search").addEventListener("input", (event) => find(event.target.value));
}

function find(query) {
  const words = query.toLowerCase().split(/\s+/).filter(Boolean);
  let found = 0;
  for (const view of views) {
    view.article.hidden = !words.every((word) => view.haystack.includes(word));
    found += view.article.hidden ? 0 : 1;
  }
  document.getElementById("found").textContent = words.length === 0 ? ""
    : `${found} of ${views.length} pictures`;
}

/** Draw what comes near the screen; give back the memory of what leaves it, and redraw what is
    resized. */
function watchScreen() {
  const owner = new Map(views.flatMap((view) => [[view.article, view], [view.stage, view]]));
  const near = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) {
      const view = owner.get(target);
      view.near = isIntersecting;
      if (isIntersecting) draw(view);
      else view.canvas.width = 0;
    }
  }, { rootMargin: "50% 0px" });
  const resized = new ResizeObserver((entries) => {
    for (const { target } of entries) draw(owner.get(target));
  });
  for (const view of views) {
    near.observe(view.article);
    resized.observe(view.stage);
  }
}

function begin() {
  for (const view of views) {
    listenToRows(view);
    listenToStage(view);
    view.compare?.addEventListener("change", () =>
      compareWith(view, view.compare.value === "" ? null : Number(view.compare.value)));
  }
  listenToControls();
  const controls = document.getElementById("controls");
  controls.hidden = views.length === 0;
  controls.querySelector(".finding").hidden = views.length < 2;
  watchScreen();
}

begin();
