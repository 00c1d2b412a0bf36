//! The gate: a round whose adapter is evaluated is announced only then, and not if that is worse than the best so far.

use super::Machine;
use crate::countdown::Millis;
use crate::decision::{Decision, Outward, Work};
use crate::event::Outcome;
use crate::ids::Applied;
use crate::notice::Notice;
use crate::rows::{Best, HeldOut};

/// What is known of an adapter when its round ends.
#[derive(Clone, Copy, Debug)]
pub(super) enum Judged {
    /// It was not evaluated.
    Not,
    /// It was to be, and could not.
    InVain,
    /// It did like this.
    As(HeldOut),
}

impl Machine {
    /// Holds what a round gave back until its adapter is evaluated, if it is to be; returns what need not wait. After a crash
    /// the round is applied already, and is held again.
    pub(super) fn hold(&mut self, outcome: Outcome, out: &mut Decision) -> Option<Outcome> {
        let judged = outcome.reverted.is_none() && outcome.applied > 0;
        if !self.options.gate || !judged || !self.is_evaluated(outcome.round) {
            return Some(outcome);
        }
        out.out(Outward::Evaluate { applied: outcome.round.applied_after() });
        self.held = Some(outcome);
        None
    }

    /// Ends a round whose adapter did as `found` says, or has the best one back. An adapter that cannot be evaluated passes.
    pub(super) fn judge(
        &mut self,
        outcome: Outcome,
        found: Result<HeldOut, String>,
        now: Millis,
        out: &mut Decision,
    ) {
        let applied = outcome.round.applied_after();
        let found = match found {
            Ok(found) => found,
            Err(reason) => {
                out.tell(Notice::NotEvaluated { applied, reason });
                return self.conclude(outcome, Judged::InVain, now, out);
            }
        };
        match self.best.filter(|best| found.is_worse(&best.found)) {
            Some(best) => {
                let (round, to) = (outcome.round, best.applied);
                out.tell(Notice::Reverted { round, found, to, best: best.found });
                out.work(Work::Revert { round, to, bytes: (outcome.bytes_up, outcome.bytes_down) });
            }
            None => {
                self.keep_best(applied, found);
                out.tell(Notice::Evaluated { applied, found });
                self.conclude(outcome, Judged::As(found), now, out);
            }
        }
    }

    /// Remembers the adapter after so many rounds if none did better.
    pub(super) fn keep_best(&mut self, applied: Applied, found: HeldOut) {
        if self.options.gate && self.best.is_none_or(|best| found.is_as_good(&best.found)) {
            self.best = Some(Best { applied, found });
        }
    }
}
