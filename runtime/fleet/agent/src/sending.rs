//! What goes out: an update as soon as it is durable, and again until its receipt comes; the account of a round; that we
//! are here.

use super::note::{Note, pack, unpack};
use super::warmth::Warmth;
use super::{Agent, AgentEvent, Trained, Worker};
use sprig_learn::privacy::DELTA;
use sprig_protocol::{FleetError, send};
use sprig_transport::blob::{CHUNK, seal};
use sprig_transport::link::Link;
use sprig_transport::messages::{Body, MAX_REGIONS, Receipt, Report, Task, Update, Verdict};
use std::collections::VecDeque;
use std::time::Duration;

/// Longest time between two sendings of the same update.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Bytes that wait in the link while an update goes out, at most, a piece more or less: at 150 kB/s whatever else is to be said
/// waits two seconds behind them.
pub(super) const WINDOW: usize = 256 << 10;
/// Bytes that may still wait there when an update is sent again: what is under way needs no company.
const DRAINED: usize = 16 << 10;

/// Updates on their way into the link, which may be slow.
#[derive(Default)]
pub(super) struct Outgoing {
    /// Their rounds.
    rounds: VecDeque<u32>,
    /// What of the first is next: the message, then its pieces.
    next: usize,
}

impl Outgoing {
    /// Whether all that was to be sent is in the link.
    pub(super) fn is_done(&self) -> bool {
        self.rounds.is_empty()
    }

    /// Adds a round whose update is new; what is under way stays so.
    fn add(&mut self, round: u32) {
        if self.rounds.front() == Some(&round) {
            self.next = 0;
        } else if !self.rounds.contains(&round) {
            self.rounds.push_back(round);
        }
    }

    fn skip(&mut self) {
        self.rounds.pop_front();
        self.next = 0;
    }
}

/// When what has no receipt is sent again.
pub(super) struct Resend {
    /// Time from one sending to the next.
    pub pause: Duration,
    /// When the next is due.
    pub at: Duration,
}

impl<W: Worker> Agent<'_, W> {
    pub(super) fn finish(
        &mut self,
        task: &Task,
        trained: Trained,
        took: Duration,
        link: &mut dyn Link,
        now: Duration,
    ) -> Result<(), FleetError> {
        let Trained { examples, tokens, loss, body, bins, dense, memory, regions, planned, .. } = trained;
        let Trained { weights, quiet, spent, .. } = trained;
        let update = Update {
            run: self.who.run,
            round: task.round,
            number: task.number,
            groups: task.groups,
            base: task.base,
            examples,
            loss,
            bins,
            body,
        };
        let note = Note { run: self.who.run, round: task.round, memory };
        // Durable before it is sent: after a power cut the same bytes go out, not a second training.
        let message =
            update.checked().map_err(|e| FleetError::Bug(format!("an update nobody can read: {e}")))?;
        self.outbox.put(task.round, &pack(&message, &dense), &note.encode())?;
        self.note = Some(note);
        self.unanswered.insert(task.round);
        let seconds = took.as_secs_f32();
        (self.watch)(AgentEvent::Trained {
            round: task.round,
            loss: spent.is_none().then_some(loss),
            seconds,
        });
        if let Some(epsilon) = spent {
            (self.watch)(AgentEvent::Spent { round: task.round, epsilon, delta: DELTA });
        }
        self.resend = Resend { pause: self.who.resend, at: now };
        self.outgoing.add(task.round);
        self.send_on(link, now)?;
        if quiet || !self.is_reported(now) {
            return Ok(());
        }
        let status = sprig_budget::process::status();
        let warmth = Warmth::here();
        let (before, all) = (self.counted, link.traffic());
        self.counted = all;
        let report = Report {
            run: self.who.run,
            round: task.round,
            budget: self.who.presence.budget,
            planned,
            peak: status.peak_rss.map_or(0, |b| b.0),
            heap_peak: sprig_budget::alloc::peak().0,
            weights,
            seconds,
            tokens,
            up: all.up - before.up,
            down: all.down - before.down,
            regions: regions.into_iter().take(MAX_REGIONS).collect(),
            celsius: warmth.celsius,
            held_back: warmth.held_back,
        };
        Ok(send(link, &self.who.topics.report(&self.who.device), report.encode(), false)?)
    }

    /// Whether an update is on its way into the link, which has room for more of it at any moment.
    pub(crate) fn is_sending(&self) -> bool {
        !self.outgoing.is_done()
    }

    /// Whether what has no receipt is to be sent now: its time has come, and nothing of it is still under way.
    pub(super) fn is_due(&self, link: &dyn Link, now: Duration) -> bool {
        let waits = self.outgoing.is_done() && !self.unanswered.is_empty();
        waits && now >= self.resend.at && link.queued() <= DRAINED
    }

    /// Begins to send all that has no receipt.
    pub(super) fn send_pending(&mut self, link: &mut dyn Link, now: Duration) -> Result<(), FleetError> {
        self.outgoing = Outgoing { rounds: self.unanswered.iter().copied().collect(), next: 0 };
        self.send_on(link, now)
    }

    /// Goes on with what is on its way, as far as the link has room: it never waits for that, so that receipts are heard and
    /// a stop is noticed while a slow link is busy. The next time is counted from the end.
    pub(super) fn send_on(&mut self, link: &mut dyn Link, now: Duration) -> Result<(), FleetError> {
        if self.outgoing.is_done() {
            return Ok(());
        }
        while let Some(&round) = self.outgoing.rounds.front() {
            if link.queued() >= WINDOW {
                return Ok(());
            }
            let waits = self.unanswered.contains(&round);
            let package = if waits { self.outbox.message(round)? } else { None };
            let Some(package) = package else {
                self.outgoing.skip(); // its receipt came, or it gave way to later ones
                continue;
            };
            let Some((message, dense)) = unpack(&package) else {
                self.unanswered.remove(&round);
                self.outbox.remove(round)?; // cannot happen to what we wrote; must not block what follows
                continue;
            };
            if !self.send_package((message, dense), link)? {
                return Ok(());
            }
            (self.watch)(AgentEvent::Sent { round, bytes: message.len() as u64 });
            self.outgoing.skip();
        }
        self.resend.at = now + self.resend.pause;
        self.resend.pause = (self.resend.pause * 2).min(LONGEST_PAUSE);
        Ok(())
    }

    /// Sends what is left of an update; whether that is all.
    fn send_package(
        &mut self,
        (message, dense): (&[u8], &[u8]),
        link: &mut dyn Link,
    ) -> Result<bool, FleetError> {
        let (topics, device) = (&self.who.topics, &self.who.device);
        // The coordinator takes pieces of an update it knows of: those that came before would have to come again.
        if self.outgoing.next == 0 {
            send(link, &topics.update(device), message.to_vec(), false)?;
            self.outgoing.next = 1;
        }
        let Ok(Update { body: Body::Dense { digest, .. }, .. }) = Update::decode(message) else {
            return Ok(true);
        };
        for (n, piece) in dense.chunks(CHUNK).enumerate().skip(self.outgoing.next - 1) {
            if link.queued() >= WINDOW {
                return Ok(false);
            }
            send(link, &topics.up(device, &digest, n as u32), seal(piece), false)?;
            self.outgoing.next += 1;
        }
        Ok(true)
    }

    /// What the coordinator says of an update.
    pub(super) fn receipt(&mut self, receipt: &Receipt) -> Result<(), FleetError> {
        // Of a message that the coordinator could not read: which round it was for, it does not know. Sent again at once
        // it would be refused again; the next round, or another connection, may find a coordinator that can.
        if let (u32::MAX, Verdict::Refused(reason)) = (receipt.round, receipt.verdict) {
            let (reason, text) = (reason.name(), receipt.text.clone());
            (self.watch)(AgentEvent::Unread { reason, text });
            (self.outgoing, self.resend.at) = (Outgoing::default(), Duration::MAX);
            return Ok(());
        }
        let verdict = match receipt.verdict {
            Verdict::Accepted => "accepted".to_owned(),
            Verdict::Duplicate => "duplicate".to_owned(),
            Verdict::Refused(reason) => format!("refused: {}: {}", reason.name(), receipt.text),
        };
        if self.unanswered.remove(&receipt.round) {
            self.hidden.take_if(|hidden| hidden.round == receipt.round);
            self.outbox.remove(receipt.round)?;
            self.accepted =
                matches!(receipt.verdict, Verdict::Accepted | Verdict::Duplicate).then_some(receipt.round);
            self.ask_anew();
            (self.watch)(AgentEvent::Receipt { round: receipt.round, verdict });
        }
        Ok(())
    }

    /// Counts from now on how often a task is given.
    pub(super) fn ask_anew(&mut self) {
        self.task.iter_mut().for_each(|asked| asked.times = 0);
    }

    pub(super) fn say_present(&self, link: &mut dyn Link) -> Result<(), FleetError> {
        let topic = self.who.topics.presence(&self.who.device);
        Ok(send(link, &topic, self.who.presence.encode(), true)?)
    }
}
