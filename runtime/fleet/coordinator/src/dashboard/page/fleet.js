'use strict';
// Fed by server-sent events: `view` is the fleet whole, `patch` what has changed since. Text from devices only ever
// becomes text nodes.

const $ = id => document.getElementById(id);
const SVG = 'http://www.w3.org/2000/svg';
const collator = new Intl.Collator('en', { numeric: true });

function make(tag, props, ...children) {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(props || {})) key in node ? node[key] = value : node.setAttribute(key, value);
  node.append(...children);
  return node;
}
function draw(tag, attributes, ...children) {
  const node = document.createElementNS(SVG, tag);
  for (const [key, value] of Object.entries(attributes || {})) node.setAttribute(key, value);
  node.append(...children);
  return node;
}
function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

// Figures for people.
const none = '–';
const missing = x => x === null || x === undefined || !Number.isFinite(x);
function bytes(n) {
  if (missing(n)) return none;
  let unit = 0;
  for (; n >= 1023.5 && unit < 4; unit++) n /= 1024;
  return `${unit && n < 99.95 ? n.toFixed(1) : Math.round(n)} ${['B', 'KiB', 'MiB', 'GiB', 'TiB'][unit]}`;
}
// Both in the unit of the budget: "151.8 / 200 MiB".
function ofBudget(n, budget) {
  const [figure, unit] = bytes(budget).split(' ');
  const size = 1024 ** ['B', 'KiB', 'MiB', 'GiB', 'TiB'].indexOf(unit);
  return `${missing(n) ? none : n / size < 99.95 && size > 1 ? (n / size).toFixed(1) : Math.round(n / size)} / ${figure} ${unit}`;
}
const percent = x => missing(x) ? none : `${(100 * x).toFixed(1)} %`;
const decimals = x => missing(x) ? none : Math.abs(x) >= 100 ? x.toFixed(0) : Math.abs(x) >= 10 ? x.toFixed(1) : x.toFixed(3);
const count = n => missing(n) ? none : n.toLocaleString('en').replaceAll(',', '\u2009');
function time(s) {
  if (missing(s)) return none;
  if (s < 60) return `${s < 9.95 ? s.toFixed(1) : Math.round(s)} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${Math.round(s % 60)} s`;
  return s < 86400 ? `${Math.floor(s / 3600)} h ${Math.floor(s % 3600 / 60)} min` : `${Math.floor(s / 86400)} d ${Math.floor(s % 86400 / 3600)} h`;
}

// The fleet as told so far.
let fleet = null;
const devices = new Map();
const rounds = new Map();

function take(view, whole) {
  if (whole) {
    for (const id of [...devices.keys()]) forget(id);
    rounds.clear();
  }
  for (const id of view.gone || []) forget(id);
  for (const device of view.devices) {
    const known = devices.get(device.id);
    if (known) Object.assign(known, { data: device, stale: true });
    else devices.set(device.id, { data: device, stale: true, row: null });
  }
  for (const round of view.history) rounds.set(round.round, round);
  fleet = view;
  redraw();
}
function forget(id) {
  devices.get(id)?.row?.remove();
  devices.delete(id);
  if (opened === id) close();
}

let due = false;
function redraw() {
  if (due) return;
  due = true;
  requestAnimationFrame(() => {
    due = false;
    if (!fleet) return;
    const history = [...rounds.values()].sort((a, b) => a.round - b.round);
    drawHead(history);
    for (const chart of charts) chart.draw(history);
    drawDevices();
    drawRounds(history);
  });
}
