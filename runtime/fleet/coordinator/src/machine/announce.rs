//! What the machine tells devices and operators of where the run stands.

use super::Machine;
use crate::countdown::Millis;
use crate::decision::{Decision, Outward};
use crate::legacy::MOST_LEFT;
use crate::notice::Notice;
use crate::rows::Member;
use crate::state::Stage;
use sprig_transport::messages::{BlobKind, Digest, Job, Phase, Round, RoundResult, Task};

/// Time after which the broker is asked again whether it keeps the job: an echo may have been of a copy before the last.
const ASK: Millis = 60_000;

impl Machine {
    /// What is waited for, and how long still.
    pub(super) fn waiting_for(&self, now: Millis) -> String {
        if self.connected.is_none() {
            return "the broker".into();
        }
        match self.round.stage() {
            Stage::Finished if self.evaluations.under_way().is_empty() => {
                format!("nothing: all {} rounds are done", self.options.rounds)
            }
            Stage::Finished => "the last evaluation".into(),
            Stage::Closing if self.is_judging() => "the evaluation of what the round made".into(),
            Stage::Closing if let Some(words) = self.waits_for_fleets() => words,
            Stage::Closing => "the round's updates to be applied".into(),
            _ if self.paused => "an operator: `sprig fleet resume`".into(),
            Stage::Gathering => format!(
                "devices: {} of {} that are needed are here (min_devices)",
                self.registry.fit(),
                self.needed()
            ),
            Stage::Collecting if let Some(words) = self.waits_for_words() => words,
            Stage::Collecting => {
                let (covered, all) = self.round.shares();
                format!(
                    "updates: {covered} of {all} are in, {} s left of attempt {} of {}",
                    self.round.left(now).div_ceil(1000),
                    self.round.attempt() + 1,
                    self.options.attempts
                )
            }
        }
    }

    pub(super) fn connect(&mut self, now: Millis, out: &mut Decision) {
        self.connected = Some(now);
        self.registry.renew(now);
        self.ask_again(now);
        out.tell(Notice::Connected);
        self.job_kept = false;
        self.job_asked = now;
        self.announce_again(now, out);
        self.tell_totals(out);
    }

    /// Publishes all that those who come later need, as far as the broker is not known to have it.
    pub(super) fn announce_again(&mut self, now: Millis, out: &mut Decision) {
        if !self.job_kept {
            self.publish_job(out);
        } else if now >= self.job_asked + ASK {
            // No answer is one too: the job is published again with the next announcement.
            self.job_kept = false;
            self.job_asked = now;
            out.out(Outward::Ask { topic: self.topics.job() });
        }
        self.announce(now, out);
        // While rounds go on, whoever lacks one is told when the next one waits for it.
        if self.over() {
            self.tell_totals(out);
        }
        self.hand_out(now, out);
    }

    /// Publishes where the run stands.
    pub(super) fn announce(&mut self, now: Millis, out: &mut Decision) {
        self.resend = now + self.options.resend.as_millis() as Millis;
        let phase = match self.round.stage() {
            Stage::Finished => Phase::Finished,
            _ if self.paused => Phase::Paused,
            Stage::Gathering => Phase::Gathering,
            Stage::Collecting | Stage::Closing => Phase::Collecting,
        };
        let round = self.standing(phase);
        out.publish(self.topics.round(), round.encode(), true);
        if self.options.by_task && phase == Phase::Finished && self.told_over != Some(round.clone()) {
            self.told_over = Some(round);
            self.publish_job(out);
        }
    }

    /// Where the run stands, as all are told. Devices that act on their tasks ask for what they lack, and are told of no record.
    fn standing(&self, phase: Phase) -> Round {
        let result = self.result.clone().filter(|_| !self.options.by_task || phase == Phase::Finished);
        // A record of the last round would lead nobody further who has not followed.
        let is_last =
            |result: &RoundResult| matches!(result, RoundResult::Blob { kind: BlobKind::Snapshot, .. });
        let result = result.filter(|result| !self.options.by_task || is_last(result));
        Round { run: self.options.run, round: self.round.id().0, phase, base: self.round.base(), result }
    }

    fn publish_job(&self, out: &mut Decision) {
        let over = (self.options.by_task && self.over()).then(|| self.standing(Phase::Finished));
        let job = Job { run: self.options.run, settings: self.options.settings.clone(), over };
        out.publish(self.topics.job(), job.encode(), true);
    }

    /// Says where the last adapter is from now on: with the broker, for whoever comes late, or here alone.
    pub(super) fn left(&mut self, digest: Digest, bytes: u32, kept: bool, now: Millis, out: &mut Decision) {
        if !self.over() {
            return;
        }
        if !kept {
            let (limit, seconds) = (MOST_LEFT, self.options.linger.as_secs_f64());
            return out.tell(Notice::NotKept { bytes, limit, seconds });
        }
        let kind = BlobKind::Snapshot;
        let left = Some(RoundResult::Blob { digest, bytes, kind });
        if self.result != left || !self.left {
            (self.result, self.left) = (left, true);
            out.tell(Notice::Kept { bytes });
        }
        if self.connected.is_some() {
            self.announce(now, out);
        }
    }

    /// Gives members whose shares lack an update their tasks.
    pub(super) fn hand_out(&self, now: Millis, out: &mut Decision) {
        if self.round.stage() == Stage::Collecting && !self.paused {
            match self.options.secure {
                true => self.hand_out_to(self.round.members(), now, out),
                false => self.hand_out_to(self.round.asked(), now, out),
            }
        }
    }

    /// Gives these members their tasks.
    pub(super) fn hand_out_to<'m>(
        &self,
        members: impl IntoIterator<Item = &'m Member>,
        now: Millis,
        out: &mut Decision,
    ) {
        for &Member { number, groups, .. } in members {
            let Some(device) = self.registry.get(number) else { continue };
            let word = self.aggregation.as_ref().and_then(|at| at.told(number));
            // Nothing is asked of it at this stage.
            if word.is_none() && self.options.secure {
                continue;
            }
            let task = Task {
                run: self.options.run,
                round: self.round.id().0,
                attempt: self.round.attempt(),
                number: self.aliases.of(self.round.id(), number),
                groups,
                base: self.round.base(),
                seconds: (self.round.left(now) / 1000).min(u64::from(u32::MAX)) as u32,
                word: word.unwrap_or_default(),
            };
            // Who acts on tasks alone could not tell one that the broker kept from a new one.
            out.publish(self.topics.task(device.id()), task.encode(), !self.options.by_task);
        }
    }
}
