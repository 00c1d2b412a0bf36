//! Whether another coordinator leads this fleet, or led it further than this ledger knows: what the broker keeps of rounds, and
//! what is announced beside this coordinator's own, says so.

use crate::ids::RoundId;
use sprig_transport::messages::{Digest, Phase, Round, RunId};

/// What this coordinator knows of others.
#[derive(Debug)]
pub(super) struct Rivals {
    run: RunId,
    /// The run of another coordinator that was under way when this one came.
    found: Option<RunId>,
    /// An announcement was heard.
    looked: bool,
    /// One of this coordinator's own was: the broker keeps no other now, and whoever is heard after it is there.
    own: bool,
    /// It was told that there is another one.
    told: bool,
}

/// What an announcement means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// Nothing: it is this coordinator's own, or one before it.
    Nothing,
    /// The fleet has gone further than this ledger: it is a restored copy. It goes on as the epoch `next`.
    Ahead {
        /// The round that was announced.
        seen: RoundId,
        /// The epoch after all that were heard of.
        next: RunId,
    },
    /// The run goes on elsewhere, in a later epoch.
    Later {
        /// That one.
        epoch: u32,
    },
    /// Another run was under way when this coordinator came.
    Other {
        /// Its name.
        run: RunId,
    },
    /// Its coordinator is still there, and was first.
    First {
        /// Its run.
        run: RunId,
    },
    /// Another coordinator has come to this fleet.
    Second {
        /// Its run.
        run: RunId,
    },
}

impl Rivals {
    /// Nothing is known yet of others beside the coordinator of `run`.
    pub(crate) fn new(run: RunId) -> Self {
        Self { run, found: None, looked: false, own: false, told: false }
    }

    /// Hears an announcement, while this coordinator is in round `here`, which begins with the adapter `base`.
    pub(crate) fn hear(&mut self, round: &Round, here: RoundId, base: Digest) -> Heard {
        let first = !std::mem::replace(&mut self.looked, true);
        let (run, seen) = (round.run, RoundId(round.round));
        if run.is_epoch_of(self.run) {
            let ahead = seen > here || seen == here && round.base != base;
            self.own |= run == self.run;
            return match run.epoch().cmp(&self.run.epoch()) {
                std::cmp::Ordering::Less => Heard::Nothing,
                // Whoever starts from a copy means to: it is the running one that stands down.
                std::cmp::Ordering::Greater if first => Heard::Ahead { seen, next: run.next_epoch() },
                std::cmp::Ordering::Greater => Heard::Later { epoch: run.epoch() },
                std::cmp::Ordering::Equal if ahead => Heard::Ahead { seen, next: run.next_epoch() },
                std::cmp::Ordering::Equal => Heard::Nothing,
            };
        }
        if first {
            self.found = (round.phase != Phase::Finished).then_some(run);
            return self.found.map_or(Heard::Nothing, |run| Heard::Other { run });
        }
        if self.found.is_some_and(|found| found.is_epoch_of(run)) {
            return if self.own { Heard::First { run } } else { Heard::Nothing };
        }
        if std::mem::replace(&mut self.told, true) { Heard::Nothing } else { Heard::Second { run } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUN: RunId = RunId([7; 16]);
    const BASE: Digest = Digest([1; 32]);

    fn said(run: RunId, round: u32, base: Digest, phase: Phase) -> Round {
        Round { run, round, phase, base, result: None }
    }

    fn hear(rivals: &mut Rivals, run: RunId, round: u32) -> Heard {
        rivals.hear(&said(run, round, BASE, Phase::Collecting), RoundId(5), BASE)
    }

    #[test]
    fn a_ledger_that_is_behind_is_a_restored_copy() {
        for (round, base) in [(6, BASE), (5, Digest([2; 32]))] {
            let heard = Rivals::new(RUN).hear(&said(RUN, round, base, Phase::Finished), RoundId(5), BASE);
            assert_eq!(heard, Heard::Ahead { seen: RoundId(round), next: RUN.next_epoch() });
        }
        assert_eq!(hear(&mut Rivals::new(RUN), RUN, 5), Heard::Nothing);
        assert_eq!(hear(&mut Rivals::new(RUN), RUN, 4), Heard::Nothing);
        // A copy from before the epoch of another copy: the last one that was put back counts.
        let next = RUN.next_epoch().next_epoch();
        let heard = hear(&mut Rivals::new(RUN), RUN.next_epoch(), 2);
        assert_eq!(heard, Heard::Ahead { seen: RoundId(2), next });
    }

    #[test]
    fn the_older_epoch_stands_down() {
        let mut running = Rivals::new(RUN);
        assert_eq!(hear(&mut running, RUN, 5), Heard::Nothing);
        assert_eq!(hear(&mut running, RUN.next_epoch(), 3), Heard::Later { epoch: RUN.epoch() + 1 });
        let mut copy = Rivals::new(RUN.next_epoch());
        assert_eq!(hear(&mut copy, RUN, 9), Heard::Nothing);
    }

    #[test]
    fn of_two_runs_the_second_coordinator_stands_down() {
        let other = RunId([9; 16]);
        let mut second = Rivals::new(RUN);
        assert_eq!(hear(&mut second, other, 3), Heard::Other { run: other });
        assert_eq!(
            hear(&mut second, other, 3),
            Heard::Nothing,
            "the broker keeps it: nothing reached it yet"
        );
        assert_eq!(hear(&mut second, RUN, 0), Heard::Nothing);
        assert_eq!(hear(&mut second, other, 4), Heard::First { run: other });
        let mut first = Rivals::new(other);
        assert_eq!(hear(&mut first, other, 3), Heard::Nothing);
        assert_eq!(hear(&mut first, RUN, 0), Heard::Second { run: RUN });
        assert_eq!(hear(&mut first, RUN, 1), Heard::Nothing, "told once");
        // A run that is over is nobody's.
        let heard = Rivals::new(RUN).hear(&said(other, 9, BASE, Phase::Finished), RoundId(5), BASE);
        assert_eq!(heard, Heard::Nothing);
    }
}
