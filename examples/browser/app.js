// A picture in, its evidence map out; all of it here. The model was made by `seewhy export --graft`.
import * as ort from "./node_modules/onnxruntime-web/dist/ort.wasm.min.mjs";

const $ = (id) => document.getElementById(id);
ort.env.wasm.wasmPaths = new URL("node_modules/onnxruntime-web/dist/", location.href).href;
ort.env.wasm.numThreads = 1; // more of them take headers that a plain server does not send

const bytes = new Uint8Array(await (await fetch("model.onnx")).arrayBuffer());
const facts = metadata(bytes);
const how = JSON.parse(
  facts["seewhy.preprocess"] ??
    '{"size":[224,224],"crop":0.875,"mode":"crop","mean":[0.485,0.456,0.406],"std":[0.229,0.224,0.225]}',
);
const names = JSON.parse(facts["seewhy.class_names"] ?? "[]");
const outputs = JSON.parse(facts["seewhy.outputs"]);
const session = await ort.InferenceSession.create(bytes);
const [width, height] = how.size;
const prepared = new OffscreenCanvas(width, height);
const pen = prepared.getContext("2d", { willReadFrequently: true });
let seen = null;
let chosen = 0;
$("status").textContent = "Choose a picture.";

$("file").onchange = async ({ target }) => explain(await createImageBitmap(target.files[0]));
$("camera").onclick = async () => {
  const video = $("video");
  video.srcObject = await navigator.mediaDevices.getUserMedia({ video: true });
  await video.play();
  for (;;) {
    await explain(await createImageBitmap(video));
    await new Promise(requestAnimationFrame);
  }
};

async function explain(picture) {
  prepare(picture);
  const start = performance.now();
  const input = new ort.Tensor("float32", pixels(), [1, how.mean.length, height, width]);
  const found = await session.run({ [session.inputNames[0]]: input });
  const [maps, bias] = [found[outputs.maps], found[outputs.bias].data];
  const [, count, rows, columns] = maps.dims;
  const cells = rows * columns;
  seen = [...found[outputs.classes].data].map((id, place) => {
    const map = maps.data.slice(place * cells, (place + 1) * cells);
    const evidence = map.reduce((sum, value) => sum + value, 0) / cells;
    return { id: Number(id), map, rows, columns, evidence, bias: bias[place] };
  });
  chosen = Math.min(chosen, count - 1);
  $("status").textContent = `${(performance.now() - start).toFixed(0)} ms`;
  show();
}

// As seewhy prepares it: to `size / crop`, by the shorter side (crop), both (squash), the longer (pad).
function prepare(picture) {
  const full = [width / how.crop, height / how.crop];
  const scales = [full[0] / picture.width, full[1] / picture.height];
  const one = how.mode === "pad" ? Math.min(...scales) : Math.max(...scales);
  const [x, y] = how.mode === "squash" ? scales : [one, one];
  pen.fillStyle = `rgb(${how.mean.map((value) => Math.round(255 * value)).join(" ")})`;
  pen.fillRect(0, 0, width, height);
  pen.imageSmoothingQuality = "high";
  const size = [picture.width * x, picture.height * y];
  pen.drawImage(picture, (width - size[0]) / 2, (height - size[1]) / 2, ...size);
}

// Channels first, standardised.
function pixels() {
  const { data } = pen.getImageData(0, 0, width, height);
  const area = width * height;
  return Float32Array.from({ length: how.mean.length * area }, (_, index) => {
    const channel = Math.floor(index / area);
    return (data[4 * (index % area) + channel] / 255 - how.mean[channel]) / how.std[channel];
  });
}

function show() {
  const rows = seen.map((each, place) => {
    const row = document.createElement("tr");
    row.setAttribute("aria-selected", place === chosen);
    row.dataset.id = each.id;
    const numbers = [each.evidence + each.bias, each.evidence, each.bias];
    const texts = [names[each.id] ?? `class ${each.id}`, ...numbers.map((n) => n.toFixed(2))];
    row.append(...texts.map((text) => Object.assign(document.createElement("td"), { textContent: text })));
    row.onclick = () => {
      chosen = place;
      show();
    };
    return row;
  });
  $("classes").replaceChildren(...rows);
  draw(seen[chosen]);
}

// Positive evidence only, on the scale of all classes shown; none is drawn as none.
function draw({ map, rows, columns }) {
  const limit = Math.max(...seen.flatMap((each) => [...each.map]), 0);
  const small = new OffscreenCanvas(columns, rows);
  const image = new ImageData(columns, rows);
  map.forEach((value, cell) => {
    const share = limit > 0 ? Math.max(value, 0) / limit : 0;
    image.data.set([255, 60, 0, 200 * share], 4 * cell);
  });
  small.getContext("2d").putImageData(image, 0, 0);
  const view = $("view").getContext("2d");
  view.imageSmoothingQuality = "high";
  view.drawImage(prepared, 0, 0, view.canvas.width, view.canvas.height);
  view.drawImage(small, 0, 0, view.canvas.width, view.canvas.height);
  $("scale").textContent = limit > 0 ? `strongest: ${limit.toFixed(2)} logits` : "no evidence for it";
}

// metadata_props of an ONNX file: field 14 of its protobuf, each with a key (1) and a value (2).
function metadata(file) {
  const found = {};
  for (const [field, content] of fields(file)) {
    if (field !== 14) continue;
    const entry = Object.fromEntries(fields(content));
    found[new TextDecoder().decode(entry[1])] = new TextDecoder().decode(entry[2]);
  }
  return found;
}

function* fields(message) {
  let at = 0;
  const number = () => {
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      const byte = message[at++];
      value += (byte & 127) * scale;
      if (byte < 128) return value;
    }
  };
  while (at < message.length) {
    const tag = number();
    const kind = tag & 7;
    if (kind === 0) number();
    else if (kind === 2) {
      const length = number();
      yield [tag >>> 3, message.subarray(at, (at += length))];
    } else at += kind === 1 ? 8 : 4;
  }
}
