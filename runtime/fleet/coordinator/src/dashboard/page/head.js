// Header, tiles, footer.
const tiles = {};
function tile(key, name, value, below, title, bad) {
  const at = tiles[key] ||= (() => {
    const parts = { value: make('div', { className: 'value' }), below: make('div', { className: 'below' }) };
    parts.box = make('div', { className: 'tile', title: title || '' }, make('div', { className: 'name' }, name), parts.value, parts.below);
    $('tiles').append(parts.box);
    return parts;
  })();
  say(at.value, value);
  say(at.below, below);
  at.box.classList.toggle('bad', !!bad);
}
// Within what of so many answers an accuracy may lie.
function within(ends, n) {
  if (!ends || !n) return '';
  const [least, most] = ends.map(end => (100 * end).toFixed(1));
  return `; ${least} to ${most} by ${count(n)} answers`;
}
function drawHead(history) {
  document.title = `${fleet.fleet}: ${fleet.round} of ${fleet.rounds} rounds`;
  say($('fleet'), fleet.fleet);
  const state = $('state');
  // When a run is over its devices are free to go.
  document.body.classList.toggle('over', fleet.state === 'finished');
  say(state, fleet.state);
  state.className = `pill ${fleet.state}`;
  state.hidden = false;
  say($('mode'), `, ${fleet.mode}`);
  say($('learns'), fleet.learns ? `Learns ${fleet.learns}.` : '');
  say($('waiting'), fleet.waiting_for);
  const ends = ({ path, days }) => days < 0 ? `The certificate ${path} has ended.` : `The certificate ${path} ends in ${count(days)} days.`;
  say($('certificates'), (fleet.certificates || []).filter(c => c.near).map(ends).join(' '));
  const part = fleet.rounds ? Math.min(1, fleet.round / fleet.rounds) : 0;
  $('progress').style.width = `${100 * part}%`;
  const bar = $('progress').parentNode;
  bar.setAttribute('aria-valuenow', fleet.round);
  bar.setAttribute('aria-valuemax', fleet.rounds);

  const last = key => history.findLast(r => !missing(r[key]))?.[key];
  const accuracy = last('accuracy'), held = last('loss_held_out');
  let out = 0;
  for (const device of devices.values()) if (device.data.standing !== 'good') out++;
  const more = (n, word) => n ? `, ${count(n)} ${word}` : '';
  tile('devices', 'Devices online', count(fleet.devices_online),
    `of ${count(fleet.devices_total)}${more(out, 'quarantined')}${more(fleet.devices_removed, 'removed')}`);
  const ended = state => history.filter(r => r.state === state).length;
  tile('rounds', 'Rounds done', count(fleet.round),
    `of ${count(fleet.rounds)}${more(ended('abandoned'), 'abandoned')}${more(ended('reverted'), 'taken back')}`);
  tile('accuracy', 'Held-out accuracy', percent(accuracy),
    missing(fleet.accuracy_before) ? 'not evaluated yet' : `${percent(fleet.accuracy_before)} before${within(fleet.interval, fleet.judged_on)}`,
    'With the 95 % interval (Wilson) of as many answers as were judged');
  tile('loss', 'Held-out loss', decimals(held),
    missing(fleet.loss_before) ? 'not evaluated yet' : `${decimals(fleet.loss_before)} before`);
  const recent = history.filter(r => r.reported > 0).slice(-10);
  const sum = key => recent.reduce((total, r) => total + r[key], 0);
  tile('up', 'Up per update', recent.length ? bytes(sum('bytes_up') / sum('reported')) : none,
    recent.length ? `${bytes(sum('bytes_down') / recent.length)} down` : 'no round yet',
    'Mean of the last ten rounds: bytes received by the coordinator for each update, and bytes it sent in a round');
  let refused = 0;
  for (const device of devices.values()) refused += device.data.refused;
  tile('refused', 'Refused', count(refused), fleet.strange ? `${count(fleet.strange)} from strangers` : 'of all messages', '', refused > 0);
  tile('memory', 'Coordinator holds', bytes(fleet.coordinator_rss), `up for ${time(Math.floor(fleet.uptime_s))}`);
  say($('footer'), `Run ${fleet.run}, epoch ${fleet.epoch}`);
}
