// Tables: a column is a heading, a sort key and a cell; cells change only where their text does.
const columns = [
  { name: 'Device', key: d => d.id, cell: d => d.id },
  { name: 'State', key: d => d.state, cell: d => d.state },
  { name: 'Peak of budget', key: d => d.budget_bytes ? (d.peak_bytes ?? -1) / d.budget_bytes : -1, cell: d => ofBudget(d.peak_bytes, d.budget_bytes) },
  { name: 'Tokens/s', key: d => d.rate, cell: d => missing(d.rate) || d.rate <= 0 ? none : d.rate < 9.95 ? d.rate.toFixed(1) : count(Math.round(d.rate)), kind: 'num third' },
  { name: 'K', title: 'Tangents one pass carries', key: d => d.tangents, cell: d => String(d.tangents), kind: 'num second' },
  { name: 'Examples', key: d => d.examples, cell: d => count(d.examples), kind: 'num second' },
  { name: '°C', title: 'Hottest sensor after its last round; red where something held its board back', key: d => d.celsius ?? -1, cell: d => missing(d.celsius) ? none : d.celsius.toFixed(0), kind: 'num second', bad: d => (d.held_back ?? []).length > 0 },
  { name: 'Last round', key: d => d.last_round ?? -1, cell: d => missing(d.last_round) ? none : String(d.last_round), kind: 'num third' },
  { name: 'Selected', title: 'Rounds it was selected for, those that are over', key: d => d.selected, cell: d => count(d.selected), kind: 'num second' },
  { name: 'In time', title: 'Updates in the ledger', key: d => d.accepted, cell: d => count(d.accepted), kind: 'num second' },
  { name: 'Late', title: 'Updates that came after their round was over', key: d => d.late, cell: d => count(d.late), kind: 'num second' },
  { name: 'Refused', key: d => d.refused, cell: d => count(d.refused), kind: 'num third', bad: d => d.refused > 0 },
  { name: 'Up', key: d => d.bytes_up, cell: d => bytes(d.bytes_up), kind: 'num second' },
  { name: 'Down', key: d => d.bytes_down, cell: d => bytes(d.bytes_down), kind: 'num second' },
];
// Who took a device out, and why.
function standing(d) {
  if (d.standing === 'quarantined') return 'taken out by an operator, until allowed';
  if (d.standing === 'failing') return `quarantined until allowed: failed in ${count(d.failures)} rounds in a row${d.last_refusal ? `, last refusal: ${d.last_refusal}` : ''}`;
  if (d.standing === 'removed') return 'removed';
  return d.state === 'resting' ? `may take part; rests after ${count(d.failures)} failures` : 'may take part';
}
// How warm its board was after its last round, and what held it back.
function heat(d) {
  const warm = missing(d.celsius) ? 'no temperature told' : `${d.celsius.toFixed(1)} °C`;
  if (!d.held_back) return `${warm}; its board does not tell of throttling`;
  return d.held_back.length ? `${warm}; held back: ${d.held_back.join(', ')}` : `${warm}; nothing held it back`;
}
const chosen = { sort: 0, down: false, text: '', chip: 'all' };
const chips = {
  all: ['All', () => true],
  online: ['Online', d => d.online],
  absent: ['Absent', d => !d.online],
  refused: ['Refused', d => d.refused > 0],
  out: ['Quarantined', d => d.standing !== 'good'],
};
let opened = null;
const body = $('devices').tBodies[0];
const detail = make('tr', { className: 'detail' }, make('td', { colSpan: columns.length }));

columns.forEach((column, at) => {
  const button = make('button', { type: 'button', title: column.title || '' }, column.name);
  button.addEventListener('click', () => {
    // Figures are sought from the largest, names from the first.
    chosen.down = chosen.sort === at ? !chosen.down : !!column.kind || at === 2;
    chosen.sort = at;
    redraw();
  });
  column.head = make('th', { scope: 'col', className: column.kind || '' }, button);
  $('devices').tHead.rows[0].append(column.head);
});
for (const [key, [name]] of Object.entries(chips)) {
  const button = make('button', { type: 'button' }, name);
  button.addEventListener('click', () => { chosen.chip = key; redraw(); });
  chips[key].push(button);
  $('chips').append(button);
}
$('filter').addEventListener('input', event => { chosen.text = event.target.value.trim().toLowerCase(); redraw(); });
body.addEventListener('click', event => {
  const row = event.target.closest('tr.device');
  if (row) row.dataset.id === opened ? close() : open(row.dataset.id);
});

function newRow(entry) {
  const row = make('tr', { className: 'device' });
  row.dataset.id = entry.data.id;
  const cells = columns.map(column => make('td', { className: column.kind || '' }));
  entry.dot = make('span', { className: 'dot' });
  entry.who = make('button', { type: 'button', className: 'who' }, entry.data.id);
  entry.board = make('small', {});
  cells[0].append(entry.dot, entry.who, entry.board);
  entry.peak = draw('rect', { class: 'm-peak', height: 8, rx: 2 });
  entry.tick = draw('rect', { class: 'm-tick', width: 1.5, height: 8 });
  entry.figure = make('span', {});
  const bar = draw('svg', { viewBox: '0 0 96 8', 'aria-hidden': 'true' }, draw('rect', { class: 'm-track', width: 96, height: 8, rx: 2 }), entry.peak, entry.tick);
  cells[2].append(make('div', { className: 'memory', title: 'Measured peak of the budget; the mark is the plan' }, bar, entry.figure));
  row.append(...cells);
  return Object.assign(entry, { row, cells });
}
function fill(entry) {
  const d = entry.data;
  entry.dot.className = `dot${d.online ? ' on' : ''}`;
  entry.dot.title = d.online ? 'online' : 'offline';
  say(entry.board, d.board);
  say(entry.figure, columns[2].cell(d));
  const share = d.budget_bytes ? (d.peak_bytes ?? 0) / d.budget_bytes : 0;
  // What a large budget leaves of a bar is still seen.
  entry.peak.setAttribute('width', share ? Math.max(2, 96 * Math.min(1, share)) : 0);
  entry.peak.setAttribute('class', `m-peak${share > 1 ? ' over' : share > .95 ? ' tight' : ''}`);
  entry.tick.setAttribute('visibility', d.planned_bytes && d.budget_bytes ? 'visible' : 'hidden');
  entry.tick.setAttribute('x', 94.5 * Math.min(1, (d.planned_bytes ?? 0) / (d.budget_bytes || 1)));
  columns.forEach((column, at) => {
    if (at === 1) Object.assign(entry.cells[at], { className: `stage ${d.state}`, title: standing(d) });
    if (at !== 0 && at !== 2) say(entry.cells[at], column.cell(d));
    if (column.bad) entry.cells[at].classList.toggle('bad', column.bad(d));
  });
  entry.search = `${d.id} ${d.board} ${d.software} ${d.state} ${d.standing}`.toLowerCase();
  entry.stale = false;
}
function drawDevices() {
  const counts = Object.fromEntries(Object.keys(chips).map(key => [key, 0]));
  const shown = [];
  for (const entry of devices.values()) {
    if (entry.stale) {
      fill(entry.row ? entry : newRow(entry));
      if (entry.data.id === opened) drawDetail(entry.data);
    }
    for (const key in chips) if (chips[key][1](entry.data)) counts[key]++;
    if (chips[chosen.chip][1](entry.data) && entry.search.includes(chosen.text)) shown.push(entry);
    else entry.row.remove();
  }
  for (const [key, [name, , button]] of Object.entries(chips)) {
    say(button, `${name} ${count(counts[key])}`);
    button.setAttribute('aria-pressed', chosen.chip === key);
  }
  const key = columns[chosen.sort].key, sign = chosen.down ? -1 : 1;
  shown.sort((a, b) => {
    const [x, y] = [key(a.data), key(b.data)];
    const order = typeof x === 'string' ? collator.compare(x, y) : x - y;
    return sign * order || collator.compare(a.data.id, b.data.id);
  });
  columns.forEach((column, at) => column.head.setAttribute('aria-sort', at !== chosen.sort ? 'none' : chosen.down ? 'descending' : 'ascending'));
  // Rows already in place stay; only those out of order move.
  let next = body.firstElementChild;
  const place = node => { if (node === next) next = next.nextElementSibling; else body.insertBefore(node, next); };
  let open = false;
  for (const { row } of shown) {
    place(row);
    if (row.dataset.id === opened) { place(detail); open = true; }
  }
  if (!open) detail.remove();
  const empty = $('no-devices');
  empty.hidden = shown.length > 0;
  say(empty, devices.size ? 'No device matches.' : 'No device has joined yet.');
  const unlisted = fleet.devices_total - devices.size;
  if (unlisted > 0) { empty.hidden = false; say(empty, `${count(unlisted)} more are not listed.`); }
}

// A device's memory report.
function open(id) {
  close();
  opened = id;
  const entry = devices.get(id);
  entry.row.classList.add('open');
  entry.who.setAttribute('aria-expanded', 'true');
  drawDetail(entry.data);
  entry.row.after(detail);
}
function close() {
  const entry = devices.get(opened);
  entry?.row?.classList.remove('open');
  entry?.who?.setAttribute('aria-expanded', 'false');
  opened = null;
  detail.remove();
}
function drawDetail(d) {
  const fact = (name, value) => make('div', {}, make('dt', {}, name), make('dd', {}, value));
  const of = n => missing(n) || !d.budget_bytes ? bytes(n) : `${bytes(n)} (${(100 * n / d.budget_bytes).toFixed(1)} %)`;
  const facts = make('dl', {},
    fact('Board', d.board || none), fact('Software', d.software || none), fact('Number', String(d.number)),
    fact('Budget', bytes(d.budget_bytes)), fact('Planned', of(d.planned_bytes)), fact('Measured peak', of(d.peak_bytes)),
    fact('Last round', missing(d.round_s) ? none : time(d.round_s)), fact('Heat', heat(d)),
    fact('Speed', `${columns[3].cell(d)} tokens/s, K = ${d.tangents}`), fact('Examples', count(d.examples)),
    fact('Standing', `${d.online ? 'online' : 'gone'}; ${standing(d)}`),
    fact('Heard', missing(d.heard_s) ? 'not since the coordinator began' : `${time(d.heard_s)} ago`),
    fact('Rounds', `${count(d.selected)} selected, ${count(d.missed)} missed, ${count(d.late)} late`),
    fact('Updates', `${count(d.accepted)} in time, last in round ${d.last_round ?? none}`),
    fact('Refused', d.refused ? `${count(d.refused)}${d.last_refusal ? `, last: ${d.last_refusal}` : ''}` : 'none'),
    fact('Travelled', `${bytes(d.bytes_up)} up, ${bytes(d.bytes_down)} down`));
  const most = Math.max(1, ...d.regions.flatMap(r => [r.planned, r.measured ?? 0]));
  const rows = d.regions.map(r => {
    const bar = draw('svg', { viewBox: '0 0 300 12', height: 12, preserveAspectRatio: 'none', 'aria-hidden': 'true' },
      draw('rect', { class: 'm-planned', width: 300 * r.planned / most, height: 5 }),
      draw('rect', { class: `m-peak${r.measured > r.planned ? ' tight' : ''}`, y: 6, width: 300 * (r.measured ?? 0) / most, height: 5 }));
    return make('tr', {}, make('td', { className: 'name' }, r.name), make('td', {}, bar),
      make('td', { className: 'num' }, bytes(r.planned)), make('td', { className: 'num' }, bytes(r.measured)));
  });
  const heading = (color, text) => make('th', { className: 'num' }, make('span', { className: `swatch ${color}` }), text);
  const head = make('tr', {}, make('th', {}, 'Region'), make('th', {}), heading('c-rest', 'Planned'), heading('c-green', 'Measured'));
  const report = rows.length ? make('table', { className: 'regions' }, make('thead', {}, head), make('tbody', {}, ...rows))
    : make('p', { className: 'none' }, 'No memory report yet: a device sends one with each round it trains.');
  const box = make('div', { className: 'columns' }, make('div', {}, make('h3', {}, d.id), facts), make('div', {}, make('h3', {}, 'Memory, planned and measured'), report));
  detail.cells[0].replaceChildren(box);
}
