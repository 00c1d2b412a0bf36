//! What a round of a simulated fleet would have put on the wire: its messages, encoded and counted.

use sprig_budget::{Kind, Plan};
use sprig_protocol::FleetError;
use sprig_protocol::settings::Downlink;
use sprig_transport::blob::chunks;
use sprig_transport::messages::{
    BlobKind, DeviceId, Digest, MAX_INLINE, Phase, Receipt, Region, Report, Round, RoundResult, RunId,
    Snapshot, Task, Update, Verdict,
};
use sprig_transport::packet_bytes;
use sprig_transport::topics::Topics;

/// Regions of a study's plan that a real device does not have.
pub(super) const OURS: [&str; 3] = ["messages of a round", "devices", "window of held-out activations"];

/// Counts the PUBLISH packets of a fleet in which nothing is lost or sent twice: up a device's update and memory report,
/// down its task, the announcement with the round's result, and its receipt.
pub(crate) struct Wire {
    topics: Topics,
    device: DeviceId,
    run: RunId,
    sync: Downlink,
    report: Report,
    up: u64,
    down: u64,
    updates: u64,
}

/// What a round led to, as it goes down.
pub(crate) struct Brought {
    /// Digest of the state that it leads to.
    pub after: Digest,
    /// A record of the round, or the state itself.
    pub kind: BlobKind,
    /// Its bytes.
    pub frame: Vec<u8>,
}

/// One device's update, as it would have travelled.
pub(crate) struct Sent {
    /// The message.
    pub update: Update,
    /// Bytes of the blob it names, if it does.
    pub dense: Vec<u8>,
    /// Root mean square of its scalars, or of what its weights change, as [`Norms`](sprig_coordinator::norms::Norms) tells them apart.
    pub norm: f32,
}

impl Wire {
    /// Nothing so far. `plan` is what a device would report of itself.
    pub(crate) fn new(fleet: &str, sync: Downlink, plan: &Plan) -> Result<Self, FleetError> {
        let wrong = |e: sprig_transport::messages::NameError| FleetError::Bug(e.to_string());
        let (run, planned) = (RunId([0; 16]), plan.total().0);
        let region =
            |name: &str, bytes: u64, measured| Region { name: name.to_owned(), planned: bytes, measured };
        let theirs =
            plan.regions.iter().filter(|r| r.kind != Kind::Arena && !OURS.contains(&r.name.as_str()));
        let mut regions: Vec<_> = theirs
            .map(|r| region(&r.name, r.bytes.0, (r.kind == Kind::Mapped).then_some(r.bytes.0)))
            .collect();
        regions.push(region("arena", plan.arena().0, Some(plan.arena().0)));
        regions.push(region("link and outbox", 4 << 20, None));
        regions.push(region("the fleet's adapter as it arrives", 1 << 16, None));
        let report = Report {
            run,
            round: 0,
            budget: plan.budget.0,
            planned,
            peak: planned,
            heap_peak: plan.heap().0,
            weights: plan.mapped().0,
            seconds: 1.0,
            tokens: 1000,
            up: 1000,
            down: 1000,
            regions,
            // Not every board tells them; of one that does a report is 8 bytes longer.
            celsius: None,
            held_back: None,
        };
        let (topics, device) =
            (Topics::new(fleet).map_err(wrong)?, DeviceId::parse("device-001").map_err(wrong)?);
        Ok(Self { topics, device, run, sync, report, up: 0, down: 0, updates: 0 })
    }

    /// The run's name in messages.
    pub(crate) fn run(&self) -> RunId {
        self.run
    }

    /// What carries results down.
    pub(crate) fn sync(&self) -> Downlink {
        self.sync
    }

    /// Counts a round, by its number, that went on from a base by the updates `sent`, which ascend by number, to what `result`
    /// brings devices.
    pub(crate) fn count(&mut self, (round, base): (u32, Digest), sent: &[Sent], result: &Brought) {
        for Sent { update, dense, .. } in sent {
            self.up += packet_bytes(&self.topics.update(&self.device), &update.encode());
            let report = Report { round, ..self.report.clone() };
            self.up += packet_bytes(&self.topics.report(&self.device), &report.encode());
            let digest = Digest::of(dense);
            for (n, chunk) in (0..).zip(chunks(dense)) {
                self.up += packet_bytes(&self.topics.up(&self.device, &digest, n), &chunk);
            }
            let Update { run, number, groups, .. } = *update;
            let task = Task { run, round, attempt: 0, number, groups, base, seconds: 300, word: Vec::new() };
            let receipt = Receipt { run, round, verdict: Verdict::Accepted, text: String::new() };
            self.down += packet_bytes(&self.topics.task(&self.device), &task.encode());
            self.down += packet_bytes(&self.topics.receipt(&self.device), &receipt.encode());
        }
        self.updates += sent.len() as u64;
        self.down += sent.len() as u64 * self.result(round, result);
    }

    /// Mean bytes (up, down) of a device in a round.
    pub(crate) fn per_device_round(&self) -> (f64, f64) {
        let n = self.updates.max(1) as f64;
        (self.up as f64 / n, self.down as f64 / n)
    }

    /// What brings devices `values` and `moments` after `round`.
    pub(crate) fn snapshot(&self, round: u32, after: Digest, values: Vec<f32>, moments: Vec<f32>) -> Brought {
        let frame = Snapshot { run: self.run, round: round + 1, after, values, moments }.encode();
        Brought { after, kind: BlobKind::Snapshot, frame }
    }

    /// Bytes that bring one device the result of `round`.
    fn result(&self, round: u32, Brought { after, kind, frame }: &Brought) -> u64 {
        let digest = Digest::of(frame);
        let (result, apart) = match kind {
            BlobKind::Record if frame.len() <= MAX_INLINE => (RoundResult::Inline(frame.clone()), &[][..]),
            &kind => (RoundResult::Blob { digest, bytes: frame.len() as u32, kind }, &frame[..]),
        };
        let next = Round {
            run: self.run,
            round: round + 1,
            phase: Phase::Collecting,
            base: *after,
            result: Some(result),
        };
        let pieces =
            (0..).zip(chunks(apart)).map(|(n, chunk)| packet_bytes(&self.topics.blob(&digest, n), &chunk));
        packet_bytes(&self.topics.round(), &next.encode()) + pieces.sum::<u64>()
    }
}
