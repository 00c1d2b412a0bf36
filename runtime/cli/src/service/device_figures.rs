//! What a device counts of its part in a fleet.

use super::{Exposition, Pulse};
use sprig_agent::AgentEvent;
use sprig_serve::status::Status;
use sprig_transport::expiry::Expiry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What an agent counts, from what it tells.
pub struct DeviceFigures {
    pulse: Arc<Pulse>,
    certificates: Expiry,
    counts: Mutex<Counts>,
}

/// Since the start of the process.
#[derive(Clone, Copy, Default)]
struct Counts {
    trained: u64,
    /// Seconds of the rounds that were trained.
    seconds: f64,
    sent: u64,
    accepted: u64,
    duplicate: u64,
    refused: u64,
    abandoned: u64,
    round: Option<u32>,
    loss: Option<f32>,
    plan: Option<u64>,
    budget: Option<u64>,
}

impl DeviceFigures {
    /// None yet, of a device with these certificates.
    pub fn new(pulse: Arc<Pulse>, certificates: Expiry) -> Self {
        Self { pulse, certificates, counts: Mutex::default() }
    }

    /// Counts what happened, and tells the supervisor `line`, which says it to people.
    pub fn add(&self, event: &AgentEvent, line: Option<&str>) {
        let mut counts = self.counts();
        match event {
            AgentEvent::Planned { plan_bytes, budget_bytes } => {
                (counts.plan, counts.budget) = (Some(*plan_bytes), Some(*budget_bytes));
            }
            AgentEvent::Pressure { plan_bytes, .. } => counts.plan = Some(*plan_bytes),
            AgentEvent::Synced { round, .. } | AgentEvent::Training { round, .. } => {
                counts.round = Some(*round);
            }
            AgentEvent::Trained { loss, seconds, .. } => {
                counts.trained += 1;
                counts.seconds += f64::from(*seconds);
                counts.loss = *loss;
            }
            AgentEvent::Sent { .. } => counts.sent += 1,
            AgentEvent::Receipt { verdict, .. } => match verdict.as_str() {
                "accepted" => counts.accepted += 1,
                "duplicate" => counts.duplicate += 1,
                _ => counts.refused += 1,
            },
            AgentEvent::Unread { .. } => counts.refused += 1,
            AgentEvent::Abandoned { .. } => counts.abandoned += 1,
            _ => {}
        }
        if let Some(line) = line {
            self.pulse.supervisor.status(line);
        }
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Status for DeviceFigures {
    fn health(&self) -> Result<(), String> {
        self.pulse.health()
    }

    fn metrics(&self) -> String {
        let counts = *self.counts();
        let mut text = Exposition::default();
        text.gauge_if("sprig_round", "The round that it is at, from 0.", counts.round);
        text.counter("sprig_rounds_trained", "Rounds trained since the start.", counts.trained);
        text.counter("sprig_rounds_abandoned", "Rounds that ended without it.", counts.abandoned);
        text.summary(
            "sprig_training_seconds",
            "Time that its part of a round took.",
            (counts.trained, counts.seconds),
        );
        text.gauge_if("sprig_training_loss", "Mean loss of its examples in the last round.", counts.loss);
        text.counter("sprig_updates_sent", "Updates sent, each time counted.", counts.sent);
        let verdicts =
            [("accepted", counts.accepted), ("duplicate", counts.duplicate), ("refused", counts.refused)];
        text.counters("sprig_updates", "Updates by what the coordinator said.", "verdict", &verdicts);
        text.gauge_if("sprig_planned_bytes", "What its plan holds.", counts.plan);
        text.certificates(self.certificates.all().iter().map(|certificate| certificate.not_after));
        text.service(&self.pulse, counts.budget);
        text.finish()
    }
}
