//! What a coordinator counts of its fleet.

use super::{Exposition, Pulse};
use sprig_coordinator::{FleetView, Handle, Notice, RoundRow};
use sprig_serve::status::Status;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Longest time that a scrape waits for the coordinator; while a round is closed it has none, and the view before stands.
const PATIENCE: Duration = Duration::from_secs(1);
/// A view as young as this is not asked for anew, however often somebody scrapes.
const FRESH: Duration = Duration::from_secs(1);

/// The states of a device, as a view has them.
const STATES: [&str; 7] = ["idle", "training", "reported", "resting", "outdated", "quarantined", "absent"];

/// What a coordinator counts, from what it tells, and what it can be asked.
pub struct FleetFigures {
    pulse: Arc<Pulse>,
    counts: Mutex<Counts>,
    view: Mutex<Seen>,
}

/// Since the start of the process.
#[derive(Default)]
struct Counts {
    closed: u64,
    abandoned: u64,
    reverted: u64,
    accepted: u64,
    refused: u64,
    /// Seconds of the rounds that ended.
    seconds: f64,
    /// What the evaluation may hold.
    budget: Option<u64>,
    rounds: (u32, u32),
    online: u32,
}

/// The coordinator, and what it said last.
#[derive(Default)]
struct Seen {
    handle: Option<Handle>,
    last: Option<(Instant, FleetView)>,
}

impl FleetFigures {
    /// None yet.
    pub fn new(pulse: Arc<Pulse>) -> Self {
        Self { pulse, counts: Mutex::default(), view: Mutex::default() }
    }

    /// Asks this coordinator from now on, whose evaluation may hold `budget` bytes.
    pub fn follow(&self, handle: Handle, budget: Option<u64>) {
        locked(&self.view).handle = Some(handle);
        locked(&self.counts).budget = budget;
    }

    /// Counts what happened, and tells the supervisor how it goes.
    pub fn add(&self, notice: &Notice) {
        let mut counts = locked(&self.counts);
        match notice {
            Notice::Closed(row) => counts.ended(row),
            Notice::Accepted { .. } => counts.accepted += 1,
            Notice::Opened { round, rounds, .. } => counts.rounds = (round.0, *rounds),
            Notice::Joined { online, .. } | Notice::Left { online, .. } | Notice::Unheard { online, .. } => {
                counts.online = *online;
            }
            Notice::Finished { .. } => return self.pulse.supervisor.status("finished"),
            _ => return,
        }
        let ((round, rounds), online) = (counts.rounds, counts.online);
        drop(counts);
        self.pulse.supervisor.status(&format!("round {round} of {rounds}, {online} devices online"));
    }

    /// The fleet now, or as it was last seen.
    fn view(&self) -> Option<FleetView> {
        let mut seen = locked(&self.view);
        if seen.last.as_ref().is_none_or(|(at, _)| at.elapsed() >= FRESH)
            && let Some(view) = seen.handle.as_ref().and_then(|handle| handle.view_within(PATIENCE))
        {
            seen.last = Some((Instant::now(), view));
        }
        seen.last.as_ref().map(|(_, view)| view.clone())
    }
}

impl Counts {
    /// A round is over.
    fn ended(&mut self, row: &RoundRow) {
        match row.state.as_str() {
            "abandoned" => self.abandoned += 1,
            "reverted" => self.reverted += 1,
            _ => self.closed += 1,
        }
        // Refusals are told one by one only as long as there are few.
        self.refused += u64::from(row.refused);
        self.seconds += row.seconds;
        self.rounds.0 = row.round.0.saturating_add(1);
    }
}

impl Status for FleetFigures {
    fn health(&self) -> Result<(), String> {
        self.pulse.health()
    }

    fn metrics(&self) -> String {
        let view = self.view();
        let mut text = Exposition::default();
        let counts = locked(&self.counts);
        let states =
            [("closed", counts.closed), ("abandoned", counts.abandoned), ("reverted", counts.reverted)];
        text.counters("sprig_rounds", "Rounds that ended since the start.", "state", &states);
        let rounds = states.iter().map(|(_, n)| n).sum();
        text.summary("sprig_round_seconds", "Time that those rounds took.", (rounds, counts.seconds));
        let verdicts = [("accepted", counts.accepted), ("refused", counts.refused)];
        text.counters(
            "sprig_updates",
            "Updates in the ledger since the start; messages refused, as of the last round that ended.",
            "verdict",
            &verdicts,
        );
        if let Some(view) = &view {
            fleet(&mut text, view);
        }
        text.service(&self.pulse, counts.budget);
        text.finish()
    }
}

/// What a view says.
fn fleet(text: &mut Exposition, view: &FleetView) {
    text.gauge("sprig_round", "The round under way, from 0.", view.round);
    text.gauge("sprig_rounds_planned", "Rounds of the run.", view.rounds);
    let of = |state: &str| view.devices.iter().filter(|device| device.state == state).count() as u64;
    let states = STATES.map(|state| (state, of(state)));
    text.gauges("sprig_devices", "Devices by state, of the first 1000.", "state", &states);
    text.gauge("sprig_devices_online", "Devices that are here.", view.devices_online);
    text.gauge("sprig_devices_known", "Devices ever seen.", view.devices_total);
    text.certificates(view.certificates.iter().map(|certificate| certificate.not_after));
    text.counter("sprig_strangers", "Messages that no known device sent.", view.strangers);
    let last = |of: fn(&RoundRow) -> Option<f64>| view.history.iter().rev().find_map(of);
    let accuracy = last(|row| row.accuracy).or(view.accuracy_before);
    text.gauge_if("sprig_accuracy_ratio", "Share of held-out examples answered right, last.", accuracy);
    let loss = last(|row| row.loss_held_out).or(view.loss_before);
    text.gauge_if("sprig_held_out_loss", "Mean loss of held-out examples, last.", loss);
    let training = last(|row| row.loss.map(f64::from));
    text.gauge_if("sprig_training_loss", "Mean training loss of the last round.", training);
}

fn locked<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}
