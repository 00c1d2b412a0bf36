//! Secure aggregation on the device's side: its numbers are made once, and leave it only under veils that come off the total of
//! many (sprig-masking).
//!
//! Nothing of this is kept over a restart: a device that forgot its keys is one that was lost, which the others make up for;
//! one that remembered its keys and not what it answered could be asked a second time, and otherwise.

use super::randomness::System;
use super::{Agent, AgentEvent, Trained, Worker};
use sprig_learn::readout::fleet::FleetSums;
use sprig_masking::{MaskingError, Member, Said, Terms, Told};
use sprig_protocol::{FleetError, send};
use sprig_transport::link::Link;
use sprig_transport::messages::{Body, Digest, Task, Update};
use std::time::Duration;

/// A device's part of a round, done, whose sums are to be hidden.
pub(super) struct Hidden {
    /// The round that it is of.
    pub(super) round: u32,
    trained: Trained,
    took: Duration,
    /// In the present attempt.
    member: Option<Member>,
    /// The attempt whose veiled sums are in the outbox.
    stored: Option<u64>,
    /// It has said what opens a total that its sums may be in: a second one, without some other device, would tell the sums of
    /// that.
    answered: bool,
}

impl Hidden {
    /// What is to be said to what the coordinator tells; nothing where that is of an attempt which this device is not in.
    fn hear(&mut self, task: &Task) -> Result<Option<Said>, MaskingError> {
        let told = Told::from_bytes(&task.word)?;
        if let Told::Terms(terms) = told {
            return self
                .join(task, terms)
                .map(|()| self.member.as_ref().map(|member| Said::Keys(member.keys())));
        }
        let Some(member) = &mut self.member else { return Ok(None) };
        Ok(Some(match told {
            Told::Terms(_) => return Ok(None),
            Told::Roster(roster) => Said::Packages(member.deal(&roster)?),
            Told::Delivery(delivery) => {
                let values = FleetSums::unpack(&self.trained.dense, member.terms().values());
                let values = values.ok_or_else(|| refused("it asks for other numbers than this run has"))?;
                Said::Veiled(member.veil(&delivery, &values)?)
            }
            Told::Question(question) => {
                let answer = member.answer(&question)?;
                self.answered = true;
                Said::Answer(answer)
            }
        }))
    }

    /// Takes part in an attempt under `terms`, with keys of its own, unless it does already.
    fn join(&mut self, task: &Task, terms: Terms) -> Result<(), MaskingError> {
        if self.member.as_ref().is_some_and(|member| *member.terms() == terms) {
            return Ok(());
        }
        if self.answered {
            return Err(refused(
                "another total, after this device has helped to open one that its sums may be in",
            ));
        }
        let of = (task.run.0, u64::from(task.round) << 8 | u64::from(task.attempt));
        if (terms.run(), terms.round()) != of {
            return Err(refused("terms of another round than the task's"));
        }
        if terms.threshold() < Terms::new(of.0, of.1, terms.members() as u32, 1)?.threshold() {
            return Err(refused("terms by which fewer than two in three devices open a total"));
        }
        let sharers = self.trained.sharers as usize;
        if terms.threshold() < sharers {
            let why = format!("totals of {} devices, and {sharers} share the noise", terms.threshold());
            return Err(refused(&why));
        }
        self.member = Some(Member::draw(terms, task.number, &mut System)?);
        Ok(())
    }
}

impl<W: Worker> Agent<'_, W> {
    /// Keeps what was learnt for a round that is aggregated securely, and says what is asked for now.
    pub(super) fn hide(
        &mut self,
        round: u32,
        trained: Trained,
        took: Duration,
        link: &mut dyn Link,
        now: Duration,
    ) -> Result<(), FleetError> {
        self.hidden = Some(Hidden { round, trained, took, member: None, stored: None, answered: false });
        self.speak(link, now)
    }

    /// Whether its part of this round is done, and waits to be sent under veils.
    pub(super) fn is_hiding(&self, round: u32) -> bool {
        self.hidden.as_ref().is_some_and(|hidden| hidden.round == round)
    }

    /// Says what the present task asks for, as far as its own part is done.
    pub(super) fn speak(&mut self, link: &mut dyn Link, now: Duration) -> Result<(), FleetError> {
        let Some(asked) = self.task.as_ref().filter(|asked| !asked.task.word.is_empty()) else {
            return Ok(());
        };
        let Some(hidden) = self.hidden.as_mut().filter(|hidden| hidden.round == asked.task.round) else {
            return Ok(());
        };
        let task = asked.task.clone();
        let said = match hidden.hear(&task) {
            Ok(Some(said)) => said,
            Ok(None) => return Ok(()),
            Err(why) => {
                (self.watch)(AgentEvent::Passed { round: task.round, why: why.to_string() });
                return Ok(());
            }
        };
        let attempt = hidden.member.as_ref().map(|member| member.terms().round());
        match said {
            Said::Veiled(_) if hidden.stored == attempt => Ok(()), // on its way
            Said::Veiled(veiled) => {
                hidden.stored = attempt;
                let (dense, took) = (veiled.to_bytes(), hidden.took);
                let body = Body::Dense { digest: Digest::of(&dense), bytes: dense.len() as u32 };
                let trained = Trained { body, dense, ..hidden.trained.clone() };
                self.finish(&task, trained, took, link, now)
            }
            said => {
                // Who is asked about the others has its own values there: they need not go out again.
                if matches!(said, Said::Answer(_)) {
                    self.resend.at = Duration::MAX;
                }
                // What was veiled for an attempt before is of no use any more.
                if matches!(said, Said::Keys(_)) && self.unanswered.remove(&task.round) {
                    self.outbox.remove(task.round)?;
                }
                let update = Update {
                    run: self.who.run,
                    round: task.round,
                    number: task.number,
                    groups: task.groups,
                    base: task.base,
                    examples: hidden.trained.examples,
                    loss: 0.0,
                    bins: Vec::new(),
                    body: Body::Word(said.to_bytes()),
                };
                Ok(send(link, &self.who.topics.update(&self.who.device), update.encode(), false)?)
            }
        }
    }
}

fn refused(why: &str) -> MaskingError {
    MaskingError::Collector { why: why.to_owned() }
}
