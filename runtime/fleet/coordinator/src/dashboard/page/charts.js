// Curves.
const HEIGHT = 150, LEFT = 50, RIGHT = 8, TOP = 8, BOTTOM = 20;
function ticks(low, high, wanted) {
  const rough = (high - low) / wanted, power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map(n => n * power).find(s => s >= rough * .999);
  const found = [];
  for (let t = Math.ceil(low / step - 1e-9) * step; t <= high + step * 1e-9; t += step) found.push(Math.abs(t) < step * 1e-9 ? 0 : t);
  return found;
}
function byteTicks(high) {
  let step = 1;
  while (high / step > 4) step *= 2;
  const found = [];
  for (let t = 0; t <= high; t += step) found.push(t);
  return found;
}
// A mean over the rounds around each, as wide as a tenth of the run: single rounds are noisy.
function smooth(points) {
  const half = Math.floor(points.length / 20);
  let sum = 0, from = 0, to = 0;
  return points.map(([x], i) => {
    while (to < Math.min(points.length, i + half + 1)) sum += points[to++][1];
    while (from < i - half) sum -= points[from++][1];
    return [x, sum / (to - from)];
  });
}
let charted = 0;
class Chart {
  constructor(name, format, series, options = {}) {
    Object.assign(this, { name, format, series, options, history: [], width: 0 });
    this.readout = make('output', {});
    this.legend = make('ul', { className: 'legend' });
    this.axes = draw('g');
    this.lines = draw('g');
    this.cursor = draw('line', { class: 'cursor', y1: TOP, y2: HEIGHT - BOTTOM, visibility: 'hidden' });
    const id = `told-${charted++}`;
    this.told = draw('desc', { id });
    this.svg = draw('svg', { role: 'img', height: HEIGHT, 'aria-describedby': id }, this.told, this.axes, this.lines, this.cursor);
    this.table = make('div', { tabIndex: 0 });
    this.details = make('details', {}, make('summary', {}, 'As a table'), this.table);
    this.details.addEventListener('toggle', () => this.list());
    this.box = make('div', { className: 'chart' }, make('div', { className: 'bar' }, make('h2', {}, name), this.readout), this.legend, this.svg, this.details);
    $('charts').append(this.box);
    this.parts = series.map(one => {
      const paths = [draw('path', { class: `line ${one.color}${one.raw ? ' raw' : ''}${one.base ? ' base' : ''}` })];
      if (one.dots) paths.push(draw('path', { class: `point ${one.color}` }));
      this.lines.append(...paths);
      const item = make('li', {}, make('span', { className: `swatch ${one.color}` }), one.name);
      this.legend.append(item);
      return { one, paths, item, points: [] };
    });
    new ResizeObserver(() => {
      if (this.svg.clientWidth !== this.width) this.draw(this.history);
    }).observe(this.svg);
    this.svg.addEventListener('pointermove', event => this.point(event));
    this.svg.addEventListener('pointerleave', () => this.point(null));
  }
  draw(history) {
    this.history = history;
    this.width = this.svg.clientWidth;
    if (!this.width || !fleet) return;
    this.svg.setAttribute('viewBox', `0 0 ${this.width} ${HEIGHT}`);
    let low = Infinity, high = -Infinity;
    for (const part of this.parts) {
      part.points = part.one.points(history).filter(p => !missing(p[1]));
      part.item.hidden = !part.points.length;
      for (const [, y] of part.points) { low = Math.min(low, y); high = Math.max(high, y); }
    }
    const first = history.length ? history[0].round : 0;
    const last = Math.max(first + 1, history.length ? history[history.length - 1].round : 1);
    if (low > high) { low = 0; high = 1; }
    if (this.options.zero) low = 0;
    if (high - low < 1e-9) { const room = Math.abs(high) / 10 || 1; high += room; if (!this.options.zero) low -= room; }
    const room = (high - low) * .06;
    high += room;
    if (!this.options.zero) low -= room;
    this.x = x => LEFT + (x - first) / (last - first) * (this.width - LEFT - RIGHT);
    this.y = y => HEIGHT - BOTTOM - (y - low) / (high - low) * (HEIGHT - TOP - BOTTOM);
    const axes = [];
    for (const t of this.options.bytes ? byteTicks(high) : ticks(low, high, 4)) {
      const y = this.y(t);
      axes.push(draw('line', { class: 'grid', x1: LEFT, x2: this.width - RIGHT, y1: y, y2: y }),
        draw('text', { x: LEFT - 6, y: y + 4, 'text-anchor': 'end' }, (this.options.tick || this.format)(t)));
    }
    for (const t of ticks(first, last, Math.max(2, this.width / 64)).filter(t => Number.isInteger(t))) {
      axes.push(draw('text', { x: Math.min(this.x(t), this.width - RIGHT - 6), y: HEIGHT - 4, 'text-anchor': 'middle' }, String(t)));
    }
    this.axes.replaceChildren(...axes);
    for (const { points, paths } of this.parts) {
      const at = points.map(([x, y]) => `${this.x(x).toFixed(1)} ${this.y(y).toFixed(1)}`);
      paths[0].setAttribute('d', at.length ? `M${at.join('L')}` : '');
      paths[1]?.setAttribute('d', at.map(p => `M${p}m-2.5 0a2.5 2.5 0 1 0 5 0a2.5 2.5 0 1 0 -5 0`).join(''));
    }
    this.svg.setAttribute('aria-label', `${this.name}, last: ${this.read(last).map(span => span.textContent).join(', ')}`);
    say(this.told, this.words());
    this.list();
    if (this.cursor.getAttribute('visibility') === 'hidden') this.rest();
  }
  // The same for who does not see it: where each line begins and ends, and how far it goes.
  words() {
    const all = this.parts.filter(part => part.points.length).map(({ one, points }) => {
      const [first, last] = [points[0], points[points.length - 1]];
      let low = Infinity, high = -Infinity;
      for (const [, y] of points) { low = Math.min(low, y); high = Math.max(high, y); }
      return `${one.name}: ${this.format(first[1])} in round ${first[0]}, ${this.format(last[1])} in round ${last[0]}, from ${this.format(low)} to ${this.format(high)}`;
    });
    return all.length ? `${all.join('; ')}.` : 'No round yet.';
  }
  // Every figure, the last round first; only while somebody looks.
  list() {
    if (!this.details.open) return this.table.replaceChildren();
    const parts = this.parts.filter(part => part.points.length && !part.one.base);
    const values = parts.map(part => new Map(part.points));
    const rows = this.history.filter(r => values.some(v => v.has(r.round))).reverse().map(r => make('tr', {},
      make('th', { scope: 'row' }, String(r.round)), ...values.map(v => make('td', { className: 'num' }, this.format(v.get(r.round))))));
    const head = make('tr', {}, ...['Round', ...parts.map(part => part.one.name)].map(name => make('th', { scope: 'col' }, name)));
    this.table.replaceChildren(make('table', {}, make('caption', {}, this.name), make('thead', {}, head), make('tbody', {}, ...rows)));
  }
  read(round) {
    const last = part => part.points.findLast(p => p[0] <= round)?.[1];
    const parts = this.parts.filter(part => !part.one.base && !part.one.silent && !missing(last(part)));
    return parts.map(part => make('span', { className: part.one.color }, this.format(last(part))));
  }
  // In the colours of the legend.
  show(text, spans) {
    this.readout.replaceChildren(text, ...spans.flatMap(span => [' ', span]));
  }
  rest() {
    this.show(this.history.length ? '' : 'no round yet', this.read(Infinity));
  }
  point(event) {
    const shown = event && this.history.length;
    this.cursor.setAttribute('visibility', shown ? 'visible' : 'hidden');
    if (!shown) return this.rest();
    const mouse = event.clientX - this.svg.getBoundingClientRect().left;
    const near = this.history.reduce((a, b) => Math.abs(this.x(b.round) - mouse) < Math.abs(this.x(a.round) - mouse) ? b : a);
    const x = this.x(near.round);
    this.cursor.setAttribute('x1', x);
    this.cursor.setAttribute('x2', x);
    this.show(`round ${near.round}:`, this.read(near.round));
  }
}
const of = key => history => history.map(r => [r.round, r[key]]);
const before = key => history => missing(fleet[key]) || !history.length ? []
  : [[history[0].round, fleet[key]], [Math.max(history[0].round + 1, history[history.length - 1].round), fleet[key]]];
const charts = [
  new Chart('Loss', decimals, [
    { name: 'training', color: 'c-rest', raw: true, silent: true, points: of('loss') },
    { name: 'mean', color: 'c-blue', points: h => { const p = of('loss')(h).filter(q => !missing(q[1])); return p.length < 20 ? [] : smooth(p); } },
    { name: 'held out', color: 'c-violet', dots: true, points: of('loss_held_out') },
  ]),
  new Chart('Accuracy, held out', percent, [
    { name: 'before', color: 'c-grey', base: true, points: before('accuracy_before') },
    { name: 'after the round', color: 'c-green', dots: true, points: of('accuracy') },
  ], { tick: x => `${+(100 * x).toFixed(1)} %` }),
  new Chart('Bytes a round', bytes, [
    { name: 'up', color: 'c-violet', points: of('bytes_up') },
    { name: 'down', color: 'c-amber', points: of('bytes_down') },
  ], { zero: true, bytes: true, tick: n => bytes(n).replace('.0 ', ' ') }),
  new Chart('Duration of a round', time, [
    { name: 'seconds', color: 'c-blue', points: of('seconds') },
  ], { zero: true, tick: x => `${+x.toFixed(3)} s` }),
];
