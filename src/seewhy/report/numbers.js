"use strict";

/* Numbers as text, the way markup.py writes them. */

const MINUS = "\u2212";

function number(value, digits = 2) {
  if (!Number.isFinite(value)) return Number.isNaN(value) ? "not a number" : "infinite";
  const text = value.toFixed(digits);
  return Number(text) === 0 ? text.replace("-", "") : text.replace("-", MINUS);
}

function decimals(...values) {
  const largestOne = Math.max(...values.filter(Number.isFinite).map(Math.abs), 0);
  return largestOne > 0 ? Math.min(8, Math.max(2, 2 - Math.floor(Math.log10(largestOne)))) : 2;
}

// As results.rounded: what is shown adds up, where it really does.
function rounded(total, evidence, bias, digits) {
  const unit = 10 ** -digits;
  const parts = [total, evidence, bias];
  if (!parts.every(Number.isFinite) || Math.abs(total - evidence - bias) > unit / 10) return parts;
  const shown = parts.map((value) => Math.round(value / unit));
  const gap = shown[0] - shown[1] - shown[2];
  const lost = parts.map((value, place) => gap * (value / unit - shown[place]));
  shown[lost[1] >= lost[2] ? 1 : 2] += gap;
  return shown.map((value) => value * unit);
}

function deviation(certificate) {
  if (!Number.isFinite(certificate)) return "not shown to add up";
  if (certificate === 0) return "adds up exactly";
  const [digit, power] = certificate.toExponential(0).split("e");
  return `adds up to ${digit}e${power[0]}${power.slice(1).padStart(2, "0")}`;
}

/** Three significant digits, for scales and single cells. */
function plain(value) {
  if (value === 0) return "0";
  const size = Math.abs(value);
  const text = size >= 100 ? size.toFixed(0) : size < 1e-3 ? size.toExponential(1) : size.toPrecision(3);
  return value < 0 ? `${MINUS}${text}` : text;
}

function signed(value) {
  return value > 0 ? `+${plain(value)}` : plain(value);
}
