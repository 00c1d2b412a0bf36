//! Rounds whose updates are aggregated securely: keys, packages, veiled values, answers, and the total of those that reported.
//! An update counts once the total is out: before that nothing of it is of use, and its device keeps it.

use super::Machine;
use crate::aggregation::{Aggregation, MOST, Next, Word};
use crate::countdown::Millis;
use crate::decision::{Decision, Entry};
use crate::ids::DeviceNumber;
use crate::notice::Notice;
use crate::options::{ReadOut, Settling};
use crate::state::Saved;
use crate::validate::Refusal;
use sprig_learn::readout::fleet::privacy::settle;
use sprig_learn::readout::fleet::{Flaw, FleetSums};
use sprig_masking::{MaskingError, Stage, Total};
use sprig_transport::blob::CHUNK;
use sprig_transport::messages::{Digest, Reason, RunId, Update, Verdict};

/// Resends after which a stage goes on without those of whom nothing was heard meanwhile.
const RESENDS: u64 = 3;

/// The aggregation that a ledger was left in, if a round is under way in one.
pub(super) fn left(run: RunId, saved: &Saved) -> Option<Aggregation> {
    let values = |number| saved.values.iter().find(|(of, _)| *of == number).map(|(_, bytes)| bytes.clone());
    Aggregation::again(run, &saved.words, values, 0)
}

impl Machine {
    /// Moves a round on whose updates are aggregated securely.
    pub(super) fn aggregate(&mut self, now: Millis, out: &mut Decision) {
        self.round.run(now);
        let late = self.round.left(now) == 0;
        if self.aggregation.is_none() && !self.begin_again(late, now, out) {
            return;
        }
        let silence = RESENDS * self.options.resend.as_millis() as Millis;
        while let Some(aggregation) = &mut self.aggregation {
            let over = match aggregation.stage() {
                Stage::Keys => late,
                _ => now >= aggregation.heard().saturating_add(silence),
            };
            if !over && self.round.present().any(|number| aggregation.awaits(number)) {
                return;
            }
            match aggregation.go_on(now) {
                Ok(Next::Stage(word)) => {
                    out.commit(Entry::Word(word));
                    self.hand_out(now, out);
                }
                Ok(Next::Total(total)) => return self.opened(&total, out),
                Err(MaskingError::TooFew { .. }) if !over => return,
                Err(why) => return self.fail(&why.to_string(), now, out),
            }
        }
    }

    /// Begins the aggregation of an attempt that opens, where there is one and enough devices are here.
    pub(super) fn begin_aggregation(&mut self, now: Millis, out: &mut Decision) {
        let Some(values) = self.options.hidden(self.layout.len()) else { return };
        let of = (self.options.run, self.round.id(), self.round.attempt());
        let members = self.round.present().count() as u32;
        out.commit(Entry::Unsay);
        let begun = Aggregation::begin(of, members, values, now);
        self.aggregation = begun.ok().map(|(aggregation, word)| {
            out.commit(Entry::Word(word));
            aggregation
        });
    }

    /// Takes what a device says on the way to its update.
    pub(super) fn word(&mut self, number: DeviceNumber, word: &[u8], now: Millis, out: &mut Decision) {
        let Some(aggregation) = &mut self.aggregation else { return };
        let heard = aggregation.hear(number, word, now);
        self.said(number, heard, now, out);
    }

    /// Whether the pieces of this update are wanted now; those of another stage or attempt say nothing.
    pub(super) fn wants_values(&self, number: DeviceNumber) -> bool {
        let wants = |at: &Aggregation| at.stage() == Stage::Veiled && at.awaits(number);
        !self.options.secure || self.aggregation.as_ref().is_some_and(wants)
    }

    /// A device's veiled values are whole.
    pub(super) fn gathered(
        &mut self,
        number: DeviceNumber,
        digest: Digest,
        values: Result<Vec<u8>, Refusal>,
        now: Millis,
        out: &mut Decision,
    ) {
        if self.round.pieces(number).is_none_or(|pieces| pieces.digest() != digest) {
            return;
        }
        let Some(pieces) = self.round.take_pieces(number) else { return };
        let Some(aggregation) = &mut self.aggregation else { return };
        let heard = match values {
            Ok(values) => aggregation.take_values(number, &values, pieces.into_frame(), now),
            Err(refusal) => {
                out.commit(Entry::Discard { number });
                return self.refuse(number, Some(self.round.id().0), refusal, now, out);
            }
        };
        if matches!(heard, Ok(Some(_))) {
            self.round.cover(number, 0.0, None);
        } else {
            out.commit(Entry::Discard { number });
        }
        self.said(number, heard, now, out);
    }

    /// What came of something that a device said.
    fn said(
        &mut self,
        number: DeviceNumber,
        heard: Result<Option<Word>, MaskingError>,
        now: Millis,
        out: &mut Decision,
    ) {
        match heard {
            Ok(Some(word)) => out.commit(Entry::Word(word)),
            // Said again, or of an attempt before, or too late for this one: the next asks for it.
            Ok(None) | Err(MaskingError::Late { .. } | MaskingError::Ours { .. }) => {}
            Err(why) => {
                let refusal = Refusal::new(Reason::Malformed, why.to_string());
                self.refuse(number, Some(self.round.id().0), refusal, now, out);
            }
        }
    }

    /// Begins another attempt, once enough devices are here; whether one is under way then.
    fn begin_again(&mut self, late: bool, now: Millis, out: &mut Decision) -> bool {
        if late || self.round.attempt() == u8::MAX {
            self.close(out);
        } else if self.round.present().count() >= self.options.fewest() as usize {
            self.round.begin_anew(now, self.options.deadline);
            self.open_attempt(now, out);
        }
        self.aggregation.is_some()
    }

    /// An attempt led to no total.
    fn fail(&mut self, why: &str, now: Millis, out: &mut Decision) {
        let (round, attempt) = (self.round.id(), self.round.attempt());
        out.tell(Notice::NotAggregated { round, attempt, why: why.to_owned() });
        self.aggregation = None;
        out.commit(Entry::Unsay);
        self.round.begin_anew(now, self.options.deadline);
        match u32::from(attempt) + 1 >= u32::from(self.options.attempts) {
            true => self.close(out),
            false => self.open_attempt(now, out),
        }
    }

    /// The total is out: the updates that are in it count, if such sums can be.
    fn opened(&mut self, total: &Total, out: &mut Decision) {
        let Some(aggregation) = self.aggregation.take() else { return };
        let round = self.round.id();
        let updates = aggregation.into_updates();
        let examples = |frame: &Vec<u8>| Update::decode(frame).map_or(0, |update| u64::from(update.examples));
        let said = updates.values().map(examples).sum();
        out.commit(Entry::Unsay);
        let numbers = match self.settled(&total.values, said) {
            Ok(numbers) => numbers,
            Err(flaw) => {
                let (attempt, why) = (self.round.attempt(), format!("one of its devices sent none: {flaw}"));
                out.tell(Notice::NotAggregated { round, attempt, why });
                return self.close(out);
            }
        };
        for (number, frame) in updates {
            let Some((id, row)) = self.registry.accept(number, round) else { continue };
            out.commit(Entry::Update { round, number, norm: 0.0, frame });
            out.commit(Entry::Device(row));
            self.receipt(number, round.0, Verdict::Accepted, String::new(), out);
            let reported = self.round.reported();
            out.tell(Notice::Accepted { round, device: id.to_string(), reported });
        }
        let bytes: Vec<u8> = numbers.iter().flat_map(|value| value.to_le_bytes()).collect();
        for (n, piece) in (0..).zip(bytes.chunks(CHUNK)) {
            out.commit(Entry::Chunk { number: DeviceNumber::NOBODY, n, data: piece.to_vec() });
        }
        self.close(out);
    }

    /// A total of `said` examples as the ledger keeps it, if it can be one. Of steps that shows as they are taken.
    fn settled(&self, total: &[i64], said: u64) -> Result<Vec<i64>, Flaw> {
        let Some(ReadOut { shape, .. }) = self.options.readout else { return Ok(total.to_vec()) };
        match &self.options.settling {
            None => FleetSums::from_numbers(shape, total, said).map(|_| total.to_vec()),
            Some(Settling { reference, epsilon }) => {
                Ok(settle((shape, total), said, reference, *epsilon)?.numbers().collect())
            }
        }
    }

    /// What is waited for, in words.
    pub(super) fn waits_for_words(&self) -> Option<String> {
        let Some(aggregation) = &self.aggregation else {
            let (here, most) = (self.round.present().count(), MOST);
            let least = self.options.fewest();
            let text = format!("devices to aggregate among: {here} are here, {least} to {most} can be");
            return self.options.secure.then_some(text);
        };
        let what = match aggregation.stage() {
            Stage::Keys => "keys, which come once a device's part is done",
            Stage::Packages => "pieces of keys, should somebody be lost",
            Stage::Veiled => "veiled numbers",
            Stage::Answers => "what opens their total",
        };
        let (have, needed) = (aggregation.have(), aggregation.needed());
        Some(format!("{what}: {have} devices have sent theirs, {needed} are needed"))
    }
}
