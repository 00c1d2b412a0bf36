//! What devices send: who is here, their updates, reports and wishes.

use super::event::{Effect, Entry, Millis, Notice, Unreadable};
use super::machine::Machine;
use super::registry::Arrival;
use super::state::Stage;
use super::validate::{self, Expected, Refusal, Sound};
use sprig_protocol::share_of;
use sprig_transport::blob::{chunk_count, unseal};
use sprig_transport::messages::{
    DeviceId, Digest, GroupSet, Presence, Reason, Receipt, Report, Update, Verdict, Want,
};

/// A device is sent what it misses no more often than this.
const WANTS: Millis = 1000;

/// A dense update whose weights come in pieces.
#[derive(Debug)]
pub(super) struct Pending {
    digest: Digest,
    bytes: u32,
    frame: Vec<u8>,
    /// Which pieces are in the ledger.
    have: Vec<bool>,
    missing: usize,
}

impl Machine {
    pub(super) fn presence(&mut self, id: &DeviceId, presence: Presence, out: &mut Vec<Effect>) {
        let board = presence.board.clone();
        let arrival = self.registry.presence(id, presence);
        let online = self.registry.online();
        match arrival {
            Arrival::New(number) => {
                out.extend(self.registry.row(number).map(|row| Effect::Commit(Entry::Device(row))));
                out.push(Effect::Tell(Notice::Joined { device: id.to_string(), number, board, online }));
            }
            Arrival::Back(number) => {
                out.push(Effect::Tell(Notice::Joined { device: id.to_string(), number, board, online }));
            }
            Arrival::Gone(_) => out.push(Effect::Tell(Notice::Left { device: id.to_string(), online })),
            Arrival::Same => {}
            Arrival::Full => {
                self.strange += 1;
                if !std::mem::replace(&mut self.full, true) {
                    let limit = self.options.max_devices;
                    out.push(Effect::Tell(Notice::TurnedAway { device: id.to_string(), limit }));
                }
            }
        }
    }

    pub(super) fn update(&mut self, id: &DeviceId, update: Update, frame: Vec<u8>, out: &mut Vec<Effect>) {
        // Without a presence a device has no number, hence no task: nothing it sends can be an update of this run.
        let Some(number) = self.registry.number(id) else {
            self.strange += 1;
            return;
        };
        let round = update.round;
        match self.judge(number, &update) {
            Ok(None) => self.receipt(number, round, Verdict::Duplicate, String::new(), out),
            Ok(Some(Sound::Scalars(norm))) => self.accept(number, norm, frame, out),
            Ok(Some(Sound::Dense { digest, bytes })) => self.expect(number, digest, bytes, frame, out),
            Err(refusal) => self.refuse(number, round, refusal, out),
        }
    }

    /// Judges an update; `None` for one that is in the ledger already.
    fn judge(&self, number: u32, update: &Update) -> Result<Option<Sound>, Refusal> {
        let device = self.registry.get(number);
        if let Some(other) = self.registry.get(update.number).filter(|_| update.number != number) {
            return Err((Reason::WrongDevice, format!("number {} is that of {}", update.number, other.id)));
        }
        let same_run = update.run == self.options.run && update.number == number;
        if same_run && device.is_some_and(|d| d.last_accepted == Some(update.round)) {
            return Ok(None);
        }
        let member = self.place(number).map(|at| self.parts[at].member);
        let open = self.state.stage == Stage::Collecting;
        if same_run && !open && update.round == self.state.round {
            let why = if self.state.stage == Stage::Gathering { Reason::NotSelected } else { Reason::Closed };
            return Err((why, format!("round {} takes no updates now", update.round)));
        }
        let expected = Expected {
            run: self.options.run,
            round: self.state.round,
            number,
            member: member.as_ref(),
            base: self.base(),
            rules: &self.options.rules,
            examples: self.options.rules.examples(),
            dense: self.options.dense.then(|| member.map_or(0, |m| self.weights(m.groups))),
            limit: self.limit,
        };
        validate::judge(update, &expected).map(Some)
    }

    /// Bytes of a share's weights.
    fn weights(&self, groups: GroupSet) -> u32 {
        let share = share_of(groups);
        if self.layout.holds(share) { 4 * self.layout.weights(share) as u32 } else { 0 }
    }

    /// Has the ledger take an update, then says so.
    fn accept(&mut self, number: u32, norm: f32, frame: Vec<u8>, out: &mut Vec<Effect>) {
        let round = self.state.round;
        self.cover(number, norm);
        let Some(device) = self.registry.get_mut(number) else { return };
        device.accepted += 1;
        device.last_accepted = Some(round);
        let name = device.id.to_string();
        out.push(Effect::Commit(Entry::Update(round, number, norm, frame)));
        out.extend(self.registry.row(number).map(|row| Effect::Commit(Entry::Device(row))));
        self.receipt(number, round, Verdict::Accepted, String::new(), out);
        out.push(Effect::Tell(Notice::Accepted { round, device: name, reported: self.reported }));
    }

    /// Takes note of a dense update whose pieces may come now.
    fn expect(&mut self, number: u32, digest: Digest, bytes: u32, frame: Vec<u8>, out: &mut Vec<Effect>) {
        if self.pending.get(&number).is_some_and(|p| p.digest == digest) {
            return;
        }
        let chunks = chunk_count(bytes) as usize;
        let pending = Pending { digest, bytes, frame, have: vec![false; chunks], missing: chunks };
        if self.pending.insert(number, pending).is_some() {
            out.push(Effect::Commit(Entry::Discard(number)));
        }
    }

    pub(super) fn chunk(
        &mut self,
        id: &DeviceId,
        digest: Digest,
        n: u32,
        frame: &[u8],
        out: &mut Vec<Effect>,
    ) {
        let pending =
            self.registry.number(id).and_then(|number| Some((number, self.pending.get_mut(&number)?)));
        // The update itself was lost, or is in the ledger already: the device sends both again, or has its receipt.
        let Some((number, pending)) = pending.filter(|(_, p)| p.digest == digest) else { return };
        // A damaged piece comes again.
        let Ok(data) = unseal(frame, n, pending.bytes) else { return };
        let Some(have) = pending.have.get_mut(n as usize).filter(|have| !**have) else { return };
        *have = true;
        pending.missing -= 1;
        let (missing, bytes) = (pending.missing, pending.bytes);
        out.push(Effect::Commit(Entry::Chunk(number, n, data.to_vec())));
        if missing == 0 {
            out.push(Effect::Check { number, digest, bytes });
        }
    }

    pub(super) fn checked(
        &mut self,
        number: u32,
        digest: Digest,
        verdict: Result<f32, Refusal>,
        out: &mut Vec<Effect>,
    ) {
        if self.pending.get(&number).is_none_or(|p| p.digest != digest) {
            return;
        }
        let Some(pending) = self.pending.remove(&number) else { return };
        match verdict.and_then(|norm| validate::within(norm, self.limit).map(|()| norm)) {
            Ok(norm) => self.accept(number, norm, pending.frame, out),
            Err(refusal) => {
                out.push(Effect::Commit(Entry::Discard(number)));
                self.refuse(number, self.state.round, refusal, out);
            }
        }
    }

    pub(super) fn report(&mut self, id: &DeviceId, report: &Report, frame: Vec<u8>, out: &mut Vec<Effect>) {
        let Some(number) = self.registry.number(id) else {
            self.strange += 1;
            return;
        };
        if report.run == self.options.run
            && report.round <= self.state.round
            && self.registry.report(number, report)
        {
            out.push(Effect::Commit(Entry::Report(number, frame)));
        }
    }

    pub(super) fn want(&mut self, id: DeviceId, want: Want, now: Millis, out: &mut Vec<Effect>) {
        let device = self.registry.number(&id).and_then(|number| self.registry.get_mut(number));
        let Some(device) = device.filter(|_| want.run == self.options.run) else {
            self.strange += 1;
            return;
        };
        if device.wanted.is_none_or(|last| now >= last + WANTS) {
            device.wanted = Some(now);
            out.push(Effect::Serve(id, want));
        }
    }

    pub(super) fn unreadable(&mut self, id: Option<DeviceId>, why: Unreadable, out: &mut Vec<Effect>) {
        let Some(number) = id.and_then(|id| self.registry.number(&id)) else {
            self.strange += 1;
            return;
        };
        let (reason, text) = match why {
            Unreadable::Damaged => (Reason::Malformed, "checksum does not match"),
            Unreadable::Malformed => (Reason::Malformed, "no message of this protocol"),
            Unreadable::Version => (Reason::Version, "another version of the protocol"),
            Unreadable::TooLarge => (Reason::TooLarge, "longer than such a message may be"),
        };
        // Which round it was for cannot be known, and a damaged message comes again: a receipt that names the current
        // round could make a device drop an update that is sound.
        let round = if why == Unreadable::Damaged { None } else { Some(u32::MAX) };
        self.count(number, round, (reason, text.into()), out);
    }

    fn refuse(&mut self, number: u32, round: u32, refusal: Refusal, out: &mut Vec<Effect>) {
        self.count(number, Some(round), refusal, out);
    }

    /// Counts a refusal; answers and tells the first few of a device and round.
    fn count(&mut self, number: u32, answer: Option<u32>, (reason, text): Refusal, out: &mut Vec<Effect>) {
        self.state.refused = self.state.refused.saturating_add(1);
        self.counted = true;
        if !self.registry.refuse(number, self.state.round, reason) {
            return;
        }
        if let Some(round) = answer {
            self.receipt(number, round, Verdict::Refused(reason), text.clone(), out);
        }
        if let Some(device) = self.registry.get(number) {
            out.push(Effect::Tell(Notice::Refused {
                round: self.state.round,
                device: device.id.to_string(),
                reason: format!("{reason:?}"),
                text,
            }));
        }
    }

    fn receipt(&self, number: u32, round: u32, verdict: Verdict, text: String, out: &mut Vec<Effect>) {
        let Some(device) = self.registry.get(number) else { return };
        let receipt = Receipt { run: self.options.run, round, verdict, text };
        let topic = self.topics.receipt(&device.id);
        out.push(Effect::Publish { topic, payload: receipt.encode(), retain: false });
    }
}
