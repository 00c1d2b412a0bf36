//! What goes out: an update as soon as it is durable, and again until its receipt comes; the account of a round; that we
//! are here.

use super::note::{Note, pack, unpack};
use super::{Agent, AgentEvent, Trained, Worker};
use sprig_protocol::{FleetError, send};
use sprig_transport::blob::chunks;
use sprig_transport::link::Link;
use sprig_transport::messages::{Body, Report, Task, Update};
use std::time::Duration;

/// Longest time between two sendings of the same update.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

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
        let Trained { examples, tokens, loss, body, bins, dense, memory, regions, planned, weights, quiet } =
            trained;
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
        self.outbox.put(task.round, &pack(&update.encode(), &dense), &note.encode())?;
        self.note = Some(note);
        self.unanswered.insert(task.round);
        let seconds = took.as_secs_f32();
        (self.watch)(AgentEvent::Trained { round: task.round, loss, seconds });
        self.resend = Resend { pause: self.who.resend, at: now };
        self.send_pending(link, now)?;
        if quiet {
            return Ok(());
        }
        let status = sprig_budget::process::status();
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
            regions,
        };
        Ok(send(link, &self.who.topics.report(&self.who.device), report.encode(), false)?)
    }

    pub(super) fn send_pending(&mut self, link: &mut dyn Link, now: Duration) -> Result<(), FleetError> {
        for (round, package) in self.outbox.pending()? {
            let Some((message, dense)) = unpack(&package) else {
                self.unanswered.remove(&round);
                self.outbox.remove(round)?; // cannot happen to what we wrote; must not block what follows
                continue;
            };
            // The coordinator takes pieces of an update it knows of: those that came before would have to come again.
            send(link, &self.who.topics.update(&self.who.device), message.to_vec(), false)?;
            if let Ok(Update { body: Body::Dense { digest, .. }, .. }) = Update::decode(message) {
                for (n, chunk) in chunks(dense).enumerate() {
                    send(link, &self.who.topics.up(&self.who.device, &digest, n as u32), chunk, false)?;
                }
            }
            (self.watch)(AgentEvent::Sent { round, bytes: message.len() as u64 });
        }
        self.resend.at = now + self.resend.pause;
        self.resend.pause = (self.resend.pause * 2).min(LONGEST_PAUSE);
        Ok(())
    }

    pub(super) fn say_present(&self, link: &mut dyn Link) -> Result<(), FleetError> {
        let topic = self.who.topics.presence(&self.who.device);
        Ok(send(link, &topic, self.who.presence.encode(), true)?)
    }
}
