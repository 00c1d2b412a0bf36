//! Rounds of fleets that learn one adapter: a round that takes no more updates waits for what the others' devices found.

use super::Machine;
use crate::countdown::Millis;
use crate::decision::{Decision, Entry, Work};
use crate::folding::Tidings;
use crate::state::Stage;

impl Machine {
    /// Has the round's updates applied, once all that belongs to them is there.
    pub(super) fn apply(&self, out: &mut Decision) {
        let (round, bounds) = (self.round.id(), self.round.bounds());
        let Some(folding) = &self.folding else {
            return out.work(Work::Close { round, bounds, total: None });
        };
        match folding.own(round, self.round.base()) {
            None => out.work(Work::Total { round }),
            Some(own) => {
                if let Ok(total) = folding.fold(own) {
                    out.work(Work::Close { round, bounds, total: Some(total) });
                }
            }
        }
    }

    /// What the own devices found in the round that is closing is together.
    pub(super) fn totalled(&mut self, numbers: Vec<i64>, said: (u32, u64), out: &mut Decision) {
        let at = (self.round.id(), self.round.base());
        let Some(folding) = self.folding.as_mut().filter(|_| self.round.stage() == Stage::Closing) else {
            return;
        };
        let total = folding.total(at, said, numbers);
        folding.keep(total.clone());
        // From here on it is the same whenever it is sent: others may have used it.
        out.commit(Entry::Total(total));
        self.tell_totals(out);
        self.apply(out);
    }

    /// Takes what the coordinator of another fleet says.
    pub(super) fn tidings(&mut self, fleet: &str, tidings: Tidings, out: &mut Decision) {
        let Some(folding) = &mut self.folding else { return };
        if folding.hear(fleet, tidings) {
            self.tell_totals(out);
        }
        if self.round.stage() == Stage::Closing {
            self.apply(out);
        }
    }

    /// Tells the other fleets what the own devices found, if the broker can be reached.
    pub(super) fn tell_totals(&self, out: &mut Decision) {
        let Some(folding) = self.folding.as_ref().filter(|_| self.connected.is_some()) else { return };
        for total in folding.told() {
            out.publish(self.topics.total(total.round), total.encode(), true);
        }
    }

    /// The same again, and in which run: messages can be lost, and so can what a broker keeps.
    pub(super) fn wait_for_fleets(&mut self, now: Millis, out: &mut Decision) {
        self.announce(now, out);
        self.tell_totals(out);
        self.wait(now, out);
    }

    /// Which fleets are waited for, and why, in words.
    pub(super) fn waits_for_fleets(&self) -> Option<String> {
        let folding = self.folding.as_ref()?;
        let own = folding.own(self.round.id(), self.round.base())?;
        let lacking = folding.fold(own).err()?;
        Some(format!("what the devices of other fleets found: {lacking}"))
    }
}
