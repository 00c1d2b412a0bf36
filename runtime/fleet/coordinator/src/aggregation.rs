//! Secure aggregation of a round's sums: what its members have said so far, and when a stage is over. Whose values the total
//! has, and nothing of them, is all that this side learns.

use crate::countdown::Millis;
use crate::ids::{DeviceNumber, RoundId};
use sprig_masking::{
    Collector, MAX_VALUES, MIN_MEMBERS, MaskingError, SEALED, Said, Stage, Terms, Told, Total, Veiled,
};
use sprig_protocol::settings::{AGGREGATED, MOST_HIDDEN};
use sprig_transport::messages::{MAX_WORD, RunId};
use std::collections::BTreeMap;
use std::fmt;

/// Most members: what one says to all others fits into one message.
pub(crate) const MOST: u32 = *AGGREGATED.end();
/// Fewest.
pub(crate) const LEAST: u32 = *AGGREGATED.start();
const _: () = assert!(MAX_VALUES as usize == MOST_HIDDEN);
const _: () = assert!(LEAST == MIN_MEMBERS && 18 + (4 + SEALED) * (MOST as usize - 1) <= MAX_WORD);

/// A row of what was said, as the ledger keeps it: whoever gives the rows again, in the order of stages, has the aggregation
/// again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Word {
    /// Who said it; [`DeviceNumber::NOBODY`] of what the coordinator itself has begun with or closed.
    pub number: DeviceNumber,
    /// The kind of the message: terms 0, keys 1, packages 3, veiled values 5, answers 7; and 2, 4 and 6 once the stage before
    /// was closed.
    pub kind: u8,
    /// The message; of values the update that announced them.
    pub bytes: Vec<u8>,
}

/// What follows a stage.
pub(crate) enum Next {
    /// Another one, and what is to be kept of that.
    Stage(Word),
    /// The total.
    Total(Total),
}

/// The kind of a [`Word`] that began an attempt.
pub(crate) const BEGUN: u8 = 0;
/// Of one that announced values.
pub(crate) const VALUES: u8 = 5;

/// An attempt at a round, under way.
pub(crate) struct Aggregation {
    collector: Collector,
    /// When the present stage began, or something new was heard in it.
    heard: Millis,
    /// Updates whose values are in, as they came.
    updates: BTreeMap<DeviceNumber, Vec<u8>>,
}

impl fmt::Debug for Aggregation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Aggregation").field("at", &self.collector.waiting()).finish_non_exhaustive()
    }
}

impl Aggregation {
    /// One among `members` devices, of `values` numbers each, with what is to be kept of it.
    ///
    /// # Errors
    /// Too few devices, or too many.
    pub(crate) fn begin(
        (run, round, attempt): (RunId, RoundId, u8),
        members: u32,
        values: usize,
        now: Millis,
    ) -> Result<(Self, Word), MaskingError> {
        let of = u64::from(round.0) << 8 | u64::from(attempt);
        let terms = Terms::new(run.0, of, members, values.try_into().unwrap_or(u32::MAX))?;
        let word = Word { number: DeviceNumber::NOBODY, kind: BEGUN, bytes: Told::Terms(terms).to_bytes() };
        Ok((Self::of(terms, now), word))
    }

    /// The one of `run` that `words` are of, which ascend by kind; `values` are those that each device announced. `None` where
    /// they lead to none: another attempt begins then.
    pub(crate) fn again(
        run: RunId,
        words: &[Word],
        mut values: impl FnMut(DeviceNumber) -> Option<Vec<u8>>,
        now: Millis,
    ) -> Option<Self> {
        let (first, rest) = words.split_first()?;
        let Ok(Told::Terms(terms)) = Told::from_bytes(&first.bytes) else { return None };
        // A ledger that was put back goes on as another run, whose devices have other keys.
        if first.kind != BEGUN || terms.run() != run.0 {
            return None;
        }
        let mut this = Self::of(terms, now);
        for Word { number, kind, bytes } in rest {
            match *kind {
                kind if kind % 2 == 0 => drop(this.go_on(now).ok()?),
                VALUES => drop(this.take_values(*number, &values(*number)?, bytes.clone(), now).ok()?),
                _ => drop(this.hear(*number, bytes, now).ok()?),
            }
        }
        Some(this)
    }

    fn of(terms: Terms, now: Millis) -> Self {
        Self { collector: Collector::new(terms), heard: now, updates: BTreeMap::new() }
    }

    /// What is waited for.
    pub(crate) fn stage(&self) -> Stage {
        self.collector.waiting().0
    }

    /// Members that are needed at each stage.
    pub(crate) fn needed(&self) -> usize {
        self.collector.terms().threshold()
    }

    /// Members that have said what the present stage waits for.
    pub(crate) fn have(&self) -> usize {
        self.collector.waiting().1
    }

    /// Whether it waits for this device.
    pub(crate) fn awaits(&self, number: DeviceNumber) -> bool {
        self.collector.awaits(number.0)
    }

    /// Whose values are in.
    pub(crate) fn reported(&self) -> impl Iterator<Item = DeviceNumber> {
        self.updates.keys().copied()
    }

    /// What this device is told, if something is waited for from it.
    pub(crate) fn told(&self, number: DeviceNumber) -> Option<Vec<u8>> {
        self.collector.told(number.0).as_ref().map(Told::to_bytes)
    }

    /// Since when nothing new was heard.
    pub(crate) fn heard(&self) -> Millis {
        self.heard
    }

    /// Something of a device is on its way.
    pub(crate) fn hears(&mut self, now: Millis) {
        self.heard = now;
    }

    /// Takes what a device says; what is to be kept of it, unless it has said so before.
    ///
    /// # Errors
    /// What cannot be, by who is to blame; [`MaskingError::Late`] of what came late or for another attempt.
    pub(crate) fn hear(
        &mut self,
        number: DeviceNumber,
        bytes: &[u8],
        now: Millis,
    ) -> Result<Option<Word>, MaskingError> {
        let said = Said::from_bytes(bytes)?;
        if matches!(said, Said::Veiled(_)) {
            return Err(MaskingError::Member {
                member: number.0,
                why: "values as a word: they come as an update's blob".into(),
            });
        }
        let fresh = self.say(number, said, now)?;
        Ok(fresh.then(|| Word { number, kind: bytes[0], bytes: bytes.to_vec() }))
    }

    /// Takes a device's veiled values and the update that announced them; what is to be kept of that.
    ///
    /// # Errors
    /// As of [`hear`](Self::hear).
    pub(crate) fn take_values(
        &mut self,
        number: DeviceNumber,
        values: &[u8],
        update: Vec<u8>,
        now: Millis,
    ) -> Result<Option<Word>, MaskingError> {
        if !self.say(number, Said::Veiled(Veiled::from_bytes(values)?), now)? {
            return Ok(None);
        }
        self.updates.insert(number, update.clone());
        Ok(Some(Word { number, kind: VALUES, bytes: update }))
    }

    /// The present stage is over.
    ///
    /// # Errors
    /// As [`Collector::go_on`].
    pub(crate) fn go_on(&mut self, now: Millis) -> Result<Next, MaskingError> {
        let kind = match self.stage() {
            Stage::Keys => 2,
            Stage::Packages => 4,
            Stage::Veiled | Stage::Answers => 6,
        };
        Ok(match self.collector.go_on()? {
            Some(total) => Next::Total(total),
            None => {
                self.heard = now;
                Next::Stage(Word { number: DeviceNumber::NOBODY, kind, bytes: Vec::new() })
            }
        })
    }

    /// The updates of those whose values are in.
    pub(crate) fn into_updates(self) -> BTreeMap<DeviceNumber, Vec<u8>> {
        self.updates
    }

    fn say(&mut self, number: DeviceNumber, said: Said, now: Millis) -> Result<bool, MaskingError> {
        // Who speaks is known by the topic; a name within a message is only what its sender says.
        if said.member() != number.0 {
            let why = format!("the words of member {}", said.member());
            return Err(MaskingError::Member { member: number.0, why });
        }
        let fresh = self.collector.hear(said)?;
        if fresh {
            self.heard = now;
        }
        Ok(fresh)
    }
}
