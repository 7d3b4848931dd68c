"use strict";

/* Maps as numbers and as pixels; nothing here knows the page. */

function decode(text) {
  return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
}

function largest(maps) {
  let limit = 0;
  for (const map of maps) {
    for (const value of map) if (Number.isFinite(value)) limit = Math.max(limit, Math.abs(value));
  }
  return limit;
}

function strongest(map, columns) {
  let best = 0;
  map.forEach((value, index) => {
    if (value > map[best] || Number.isNaN(map[best])) best = index;
  });
  return [Math.floor(best / columns), best % columns];
}

/** For every pixel along one axis (0 across, 1 down): two neighbouring cells and the way between.
    A first cell of -1 marks what the network never saw. */
function sampling(pixels, cells, geometry, along) {
  const low = new Int32Array(pixels).fill(-1);
  const high = new Int32Array(pixels);
  const share = new Float64Array(pixels);
  const [first, last] = [geometry.visible[along], geometry.visible[along + 2]];
  for (let pixel = 0; pixel < pixels; pixel += 1) {
    const original = ((pixel + 0.5) / pixels) * geometry.original[along];
    if (original < first || original >= last) continue;
    const place = inCells(original, cells, geometry, along) - 0.5;
    const inside = Math.min(Math.max(place, 0), cells - 1);
    low[pixel] = Math.floor(inside);
    high[pixel] = Math.min(low[pixel] + 1, cells - 1);
    share[pixel] = inside - low[pixel];
  }
  return { low, high, share };
}

/** From a place on the picture to the place on the grid, in cells, along one axis. */
function inCells(original, cells, { scale, offset, prepared }, along) {
  return ((original * scale[along] + offset[along]) / prepared[along]) * cells;
}

/** And back. */
function inPixels(place, cells, { scale, offset, prepared }, along) {
  return ((place / cells) * prepared[along] - offset[along]) / scale[along];
}

/** Bilinear, half-pixel centres, edges clamped; pixels that the network never saw stay clear. */
function paint(pixels, map, across, down, columns, palette, limit) {
  const [width, height] = [across.low.length, down.low.length];
  const middle = (palette.length - 1) / 2;
  const gain = limit > 0 ? middle / limit : 0;
  const line = new Float64Array(columns);
  for (let y = 0; y < height; y += 1) {
    if (down.low[y] < 0) continue;
    const [upper, lower] = [down.low[y] * columns, down.high[y] * columns];
    for (let x = 0; x < columns; x += 1) {
      line[x] = mix(map[upper + x], map[lower + x], down.share[y]);
    }
    for (let x = 0; x < width; x += 1) {
      if (across.low[x] < 0) continue;
      const value = mix(line[across.low[x]], line[across.high[x]], across.share[x]);
      if (!Number.isFinite(value)) continue;
      const shade = Math.round(middle + value * gain);
      pixels[y * width + x] = palette[Math.min(Math.max(shade, 0), palette.length - 1)];
    }
  }
}

/** Not a + (b - a) * t: at t = 0 a neighbour that is no number must not matter. */
function mix(from, to, share) {
  return share === 0 ? from : from * (1 - share) + to * share;
}
