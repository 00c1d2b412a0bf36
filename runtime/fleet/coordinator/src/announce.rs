//! What the machine tells devices and operators of where the run stands.

use super::event::{Effect, Millis, Notice};
use super::machine::Machine;
use super::state::{Member, Stage};
use sprig_transport::messages::{Job, Phase, Round, Task};

impl Machine {
    /// What is waited for, and how long still.
    pub(super) fn waiting_for(&self, now: Millis) -> String {
        if self.connected.is_none() {
            return "the broker".into();
        }
        match self.state.stage {
            Stage::Finished if self.state.evaluating.is_empty() => "nothing: all rounds are done".into(),
            Stage::Finished => "the last evaluation".into(),
            Stage::Closing => "the round's updates to be applied".into(),
            _ if self.state.paused => "an operator: `sprig fleet resume`".into(),
            Stage::Gathering => format!(
                "devices: {} of {} that are needed are here (min_devices)",
                self.registry.fit(),
                self.options.min_devices
            ),
            Stage::Collecting => format!(
                "updates: {} of {} are in, {} s left of attempt {} of {}",
                self.covered.len() - self.open_slots,
                self.covered.len(),
                self.deadline.left(now).div_ceil(1000),
                self.state.attempt + 1,
                self.options.attempts
            ),
        }
    }

    /// Time left of the round's attempt.
    pub(super) fn left(&self, now: Millis) -> Millis {
        self.deadline.left(now)
    }

    pub(super) fn connect(&mut self, now: Millis, out: &mut Vec<Effect>) {
        self.connected = Some(now);
        out.push(Effect::Tell(Notice::Connected));
        let job = Job { run: self.options.run, settings: self.options.settings.clone() };
        out.push(Effect::Publish { topic: self.topics.job(), payload: job.encode(), retain: true });
        self.announce(now, out);
        self.hand_out(now, |_| true, out);
    }

    /// Publishes where the run stands.
    pub(super) fn announce(&mut self, now: Millis, out: &mut Vec<Effect>) {
        self.resend = now + self.options.resend.as_millis() as Millis;
        let phase = match self.state.stage {
            Stage::Finished => Phase::Finished,
            _ if self.state.paused => Phase::Paused,
            Stage::Gathering => Phase::Gathering,
            Stage::Collecting | Stage::Closing => Phase::Collecting,
        };
        let round = Round {
            run: self.options.run,
            round: self.state.round,
            phase,
            base: self.base(),
            result: self.result.clone(),
        };
        out.push(Effect::Publish { topic: self.topics.round(), payload: round.encode(), retain: true });
    }

    /// Gives members whose shares lack an update their tasks.
    pub(super) fn hand_out(&self, now: Millis, asked: impl Fn(u32) -> bool, out: &mut Vec<Effect>) {
        if self.state.stage != Stage::Collecting || self.state.paused {
            return;
        }
        for part in &self.parts {
            let Member { number, groups, slot } = part.member;
            let open = part.norm.is_none() && !self.covered[slot as usize];
            let Some(device) = self.registry.get(number).filter(|_| open && asked(number)) else { continue };
            let task = Task {
                run: self.options.run,
                round: self.state.round,
                attempt: self.state.attempt,
                number,
                groups,
                base: self.base(),
                seconds: (self.left(now) / 1000).min(u64::from(u32::MAX)) as u32,
            };
            let topic = self.topics.task(&device.id);
            out.push(Effect::Publish { topic, payload: task.encode(), retain: true });
        }
    }
}
