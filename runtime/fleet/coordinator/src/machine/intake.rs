//! What devices send: who is here, their updates, reports and wishes.

use super::Machine;
use crate::countdown::Millis;
use crate::decision::{Decision, Entry, Outward, Work};
use crate::event::Unreadable;
use crate::ids::{DeviceNumber, RoundId};
use crate::norms::Norms;
use crate::notice::Notice;
use crate::options::Options;
use crate::pieces::Pieces;
use crate::registry::{Arrival, Device};
use crate::round::Hope;
use crate::state::Stage;
use crate::validate::{self, Expected, Refusal, Sound};
use sprig_protocol::share_of;
use sprig_transport::messages::{
    Body, DeviceId, Digest, GroupSet, Presence, Reason, Receipt, Report, Update, Verdict, Want,
};

impl Machine {
    pub(super) fn presence(&mut self, id: &DeviceId, presence: Presence, now: Millis, out: &mut Decision) {
        let board = presence.board.clone();
        let arrival = self.registry.presence(id, presence, now);
        let (device, online) = (id.to_string(), self.registry.online());
        match arrival {
            Arrival::New(number) => {
                if let Some(row) = self.registry.row(number) {
                    out.commit(Entry::Device(row));
                }
                out.tell(Notice::Joined { device, number, board, online });
                self.check_version(number, out);
            }
            Arrival::Back(number) => {
                self.welcome(number, now);
                out.tell(Notice::Joined { device, number, board, online });
                self.check_version(number, out);
            }
            Arrival::Twin(number) => {
                self.welcome(number, now);
                out.tell(Notice::Twins { device, board });
                self.check_version(number, out);
            }
            Arrival::Gone(number) => {
                out.tell(Notice::Left { device, online });
                self.pass(number, Hope::Gone, now, out);
            }
            Arrival::Same => {}
            Arrival::Full { first } => {
                self.strangers += 1;
                if first {
                    out.tell(Notice::TurnedAway { device, limit: self.options.max_devices });
                }
            }
        }
    }

    /// Tells a device that came with too old a version, and the operator, that it is not selected.
    fn check_version(&self, number: DeviceNumber, out: &mut Decision) {
        let outdated = |device: &&Device| self.registry.is_outdated(device);
        let Some(device) = self.registry.get(number).filter(outdated) else { return };
        let (Some(least), Some(presence)) = (self.options.least_agent, device.presence()) else { return };
        let software = presence.software.clone();
        let text =
            format!("it has {software:?}; this fleet is for {least} and later: upgrade sprig on this device");
        self.receipt(number, u32::MAX, Verdict::Refused(Reason::Version), text, out);
        out.tell(Notice::Outdated { device: device.id().to_string(), software, least: least.to_string() });
    }

    pub(super) fn update(
        &mut self,
        id: &DeviceId,
        update: Update,
        frame: Vec<u8>,
        now: Millis,
        out: &mut Decision,
    ) {
        // Without a presence a device has no number, hence no task: nothing it sends can be an update of this run.
        let Some(number) = self.registry.number(id) else {
            self.strangers += 1;
            return;
        };
        let round = update.round;
        match self.validate(number, &update) {
            Ok(None) => self.receipt(number, round, Verdict::Duplicate, String::new(), out),
            Ok(Some(Sound::Scalars { norm })) => self.accept(number, norm, frame, now, out),
            Ok(Some(Sound::Word)) => {
                if let Body::Word(word) = &update.body {
                    self.word(number, word, now, out);
                }
            }
            Ok(Some(Sound::Dense { .. })) if !self.wants_values(number) => {}
            Ok(Some(Sound::Dense { digest, bytes })) => {
                self.expect(number, digest, Pieces::new(digest, bytes, update.examples, frame), out);
            }
            Err(refusal) => self.refuse(number, Some(round), refusal, now, out),
        }
    }

    /// Whether an update may stay; `None` for one that is in the ledger already.
    fn validate(&self, number: DeviceNumber, update: &Update) -> Result<Option<Sound>, Refusal> {
        let (other, goes_by) = (DeviceNumber(update.number), self.aliases.of(RoundId(update.round), number));
        let theirs = self.registry.get(other).filter(|_| other != number && !self.aliases.are_drawn());
        if let Some(device) = theirs {
            let text = format!("number {other} is that of {}", device.id());
            return Err(Refusal::new(Reason::WrongDevice, text));
        }
        let ours = update.run == self.options.run && update.number == goes_by;
        let last = self.registry.get(number).and_then(|device| device.last_accepted());
        if ours && last.is_some_and(|last| last.0 == update.round) {
            return Ok(None);
        }
        let (round, stage) = (self.round.id(), self.round.stage());
        if ours && stage != Stage::Collecting && update.round == round.0 {
            let why = if stage == Stage::Gathering { Reason::NotSelected } else { Reason::Closed };
            return Err(Refusal::new(why, format!("round {round} takes no updates now")));
        }
        let member = self.round.member(number);
        let Options { rules, up, .. } = &*self.options;
        let weights = self.options.takes_weights();
        let expected = Expected {
            run: self.options.run,
            round,
            number: DeviceNumber(goes_by),
            member,
            base: self.round.base(),
            rules,
            examples: rules.examples(),
            readout: self.options.readout,
            hidden: self.options.hidden(self.layout.len()),
            scalars: up.takes_scalars(rules),
            weights: weights.then(|| member.map_or(0, |m| self.weights(m.groups))),
            limit: self.round.limits()[0],
        };
        validate::update(update, &expected).map(Some)
    }

    /// Bytes of a share's weights.
    fn weights(&self, groups: GroupSet) -> u32 {
        let share = share_of(groups);
        if self.layout.holds(share) { 4 * self.layout.weights(share) as u32 } else { 0 }
    }

    /// Has the ledger take an update, then says so.
    fn accept(&mut self, number: DeviceNumber, norm: f32, frame: Vec<u8>, now: Millis, out: &mut Decision) {
        let round = self.round.id();
        if let Some(took) = self.round.cover(number, norm, Some(now)) {
            self.registry.took(number, took);
            self.round.took(took, self.registry.strength(number));
        }
        let Some((id, row)) = self.registry.accept(number, round) else { return };
        out.commit(Entry::Update { round, number, norm, frame });
        out.commit(Entry::Device(row));
        self.receipt(number, round.0, Verdict::Accepted, String::new(), out);
        let reported = self.round.reported();
        out.tell(Notice::Accepted { round, device: id.to_string(), reported });
    }

    /// Takes note of an update whose pieces may come now.
    fn expect(&mut self, number: DeviceNumber, digest: Digest, coming: Pieces, out: &mut Decision) {
        if self.round.pieces(number).is_some_and(|pieces| pieces.digest() == digest) {
            return;
        }
        if self.round.expect(number, coming) {
            out.commit(Entry::Discard { number });
        }
    }

    /// Takes a piece of an update; whether it is one that was waited for.
    pub(super) fn chunk(
        &mut self,
        id: &DeviceId,
        digest: Digest,
        n: u32,
        frame: &[u8],
        out: &mut Decision,
    ) -> bool {
        let Some(number) = self.registry.number(id) else { return false };
        // The update itself was lost, or is in the ledger already: the device sends both again, or has its receipt.
        let Some(pieces) = self.round.pieces(number).filter(|pieces| pieces.digest() == digest) else {
            return false;
        };
        let Some(data) = pieces.take(n, frame) else { return false };
        out.commit(Entry::Chunk { number, n, data });
        if pieces.are_whole() {
            let (bytes, examples) = (pieces.bytes(), pieces.examples());
            if let Some(groups) = self.round.member(number).map(|member| member.groups) {
                out.work(Work::Check { number, digest, bytes, examples, groups });
            }
        }
        true
    }

    pub(super) fn checked(
        &mut self,
        number: DeviceNumber,
        digest: Digest,
        norm: Result<f32, Refusal>,
        now: Millis,
        out: &mut Decision,
    ) {
        if self.round.pieces(number).is_none_or(|pieces| pieces.digest() != digest) {
            return;
        }
        let Some(pieces) = self.round.take_pieces(number) else { return };
        let weights = self.options.takes_weights();
        let limit = self.round.limits()[usize::from(weights)];
        match norm.and_then(|norm| validate::within(norm, limit).map(|()| norm)) {
            Ok(norm) => {
                let norm = if weights { Norms::of_weights(norm) } else { norm };
                self.accept(number, norm, pieces.into_frame(), now, out);
            }
            Err(refusal) => {
                out.commit(Entry::Discard { number });
                self.refuse(number, Some(self.round.id().0), refusal, now, out);
            }
        }
    }

    pub(super) fn report(&mut self, id: &DeviceId, report: &Report, frame: Vec<u8>, out: &mut Decision) {
        let Some(number) = self.registry.number(id) else {
            self.strangers += 1;
            return;
        };
        let ours = report.run == self.options.run && report.round <= self.round.id().0;
        if ours && self.registry.report(number, report) {
            out.commit(Entry::Report { number, frame });
        }
    }

    pub(super) fn want(&mut self, device: DeviceId, want: Want, now: Millis, out: &mut Decision) {
        let Some(number) = self.registry.number(&device).filter(|_| want.run == self.options.run) else {
            self.strangers += 1;
            return;
        };
        if self.registry.serve(number, now) {
            out.out(Outward::Serve { device, want });
        }
    }

    pub(super) fn unreadable(
        &mut self,
        id: Option<DeviceId>,
        why: Unreadable,
        now: Millis,
        out: &mut Decision,
    ) {
        let Some(number) = id.and_then(|id| self.registry.number(&id)) else {
            self.strangers += 1;
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
        self.refuse(number, round, Refusal::new(reason, text), now, out);
    }

    /// Counts a refusal; answers (for the round that the message named, if it did) and tells the first few of a device
    /// and round.
    pub(super) fn refuse(
        &mut self,
        number: DeviceNumber,
        named: Option<u32>,
        refusal: Refusal,
        now: Millis,
        out: &mut Decision,
    ) {
        let Refusal { reason, text } = refusal;
        let round = self.round.id();
        self.round.refuse();
        // What was damaged on its way comes again, sound.
        if named.is_some() {
            self.failed(number, reason, now, out);
        }
        if !self.registry.refuse(number, round, reason) {
            return;
        }
        if let Some(named) = named {
            self.receipt(number, named, Verdict::Refused(reason), text.clone(), out);
        }
        if let Some(device) = self.registry.get(number) {
            let (device, reason) = (device.id().to_string(), reason.name().to_owned());
            out.tell(Notice::Refused { round, device, reason, text });
        }
    }

    pub(super) fn receipt(
        &self,
        number: DeviceNumber,
        round: u32,
        verdict: Verdict,
        text: String,
        out: &mut Decision,
    ) {
        let Some(device) = self.registry.get(number) else { return };
        let receipt = Receipt { run: self.options.run, round, verdict, text };
        out.publish(self.topics.receipt(device.id()), receipt.encode(), false);
    }
}
