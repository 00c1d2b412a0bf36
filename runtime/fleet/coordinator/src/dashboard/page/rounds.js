// Rounds, the last first.
const FEW = 6;
let all = false;
// What evaluating a round's adapter led to.
function gate(r) {
  if (r.state === 'reverted') return 'taken back';
  return missing(r.accuracy) && missing(r.loss_held_out) ? none : 'kept';
}
const roundColumns = [
  ['Round', r => String(r.round), ''],
  ['State', r => r.state, ''],
  ['Reported', r => `${r.reported} of ${r.selected}${r.others ? ` + ${r.others}` : ''}`, 'num'],
  ['Refused', r => count(r.refused), 'num'],
  ['Loss', r => decimals(r.loss), 'num'],
  ['Held-out loss', r => decimals(r.loss_held_out), 'num second'],
  ['Accuracy', r => percent(r.accuracy), 'num'],
  ['Held to it', gate, 'second'],
  ['Confidence off by', r => percent(r.calibration?.ece), 'num second'],
  ['Up', r => bytes(r.bytes_up), 'num third'],
  ['Down', r => bytes(r.bytes_down), 'num third'],
  ['Duration', r => time(r.seconds), 'num third'],
  ['Adapter', r => r.adapter_digest.slice(0, 8), 'second'],
];
const roundRows = new Map();
for (const [name, , kind] of roundColumns) $('rounds').tHead.rows[0].append(make('th', { scope: 'col', className: kind }, name));
$('more').addEventListener('click', () => { all = !all; redraw(); });
function drawRounds(history) {
  const shown = (all ? history : history.slice(-FEW)).reverse();
  const kept = new Set(shown.map(r => r.round));
  for (const [round, row] of roundRows) if (!kept.has(round)) { row.remove(); roundRows.delete(round); }
  const body = $('rounds').tBodies[0];
  let next = body.firstElementChild;
  for (const round of shown) {
    let row = roundRows.get(round.round);
    if (!row) roundRows.set(round.round, row = make('tr', {}, ...roundColumns.map(([, , kind]) => make('td', { className: kind }))));
    roundColumns.forEach(([, cell], at) => say(row.cells[at], cell(round)));
    row.className = round.state;
    row.cells[1].className = round.state === 'closed' ? '' : `stage ${round.state}`;
    row.cells[3].classList.toggle('bad', round.refused > 0);
    if (row === next) next = next.nextElementSibling; else body.insertBefore(row, next);
  }
  $('rounds').hidden = !history.length;
  $('no-rounds').hidden = history.length > 0;
  const more = $('more');
  more.hidden = history.length <= FEW;
  say(more, all ? `Show the last ${FEW}` : `Show all ${count(history.length)}`);
}

// The stream; the browser connects again by itself. A page that was kept brings its view along.
function link(kind, text) {
  $('link').className = `link ${kind}`;
  say($('link'), text);
}
const kept = $('kept');
if (kept) {
  link('', 'as it was kept');
  take(JSON.parse(kept.textContent), true);
} else {
  const stream = new EventSource('events');
  stream.addEventListener('view', event => { link('live', 'live'); take(JSON.parse(event.data), true); });
  stream.addEventListener('patch', event => { link('live', 'live'); take(JSON.parse(event.data), false); });
  stream.onopen = () => link('live', fleet ? 'live' : 'waiting for the coordinator');
  stream.onerror = () => link('lost', stream.readyState === 2 ? 'disconnected; reload the page' : 'connection lost, trying again');
}
