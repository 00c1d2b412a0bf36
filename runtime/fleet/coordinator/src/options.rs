//! What the coordinator is told when it starts.

use crate::select::Deal;
use sprig_learn::LearnError;
use sprig_learn::privacy::Epsilon;
use sprig_learn::readout::fleet::Shape;
use sprig_learn::readout::fleet::privacy::Reference;
use sprig_learn::recipe::defaults;
use sprig_learn::spry::{Dealing, Robust, Rules, integers};
use sprig_protocol::settings::{
    Downlink, Evaluate, FleetSettings, JobSettings, Rounds, Upload, Version, fewest_members,
};
use sprig_transport::messages::{MAX_TOTAL, RunId};
use std::path::PathBuf;
use std::time::Duration;

/// Settings of one fleet run.
#[derive(Clone, Debug)]
pub struct Options {
    /// Name of the fleet: a level of every topic.
    pub fleet: String,
    /// Name of the run if one begins; a ledger knows its own.
    pub run: RunId,
    /// What every device must know to take part, as TOML: published as the job. A state folder made under other
    /// settings is refused.
    pub settings: String,
    /// What is learnt, for people: the task with its labels, and the model.
    pub learns: String,
    /// Folder of the ledger and the control socket.
    pub state: PathBuf,
    /// Rounds to train.
    pub rounds: u32,
    /// Devices that must be online before a round opens.
    pub min_devices: u32,
    /// Devices selected for a round, at most.
    pub per_round: u32,
    /// Updates with which a round may close at its deadline.
    pub quorum: u32,
    /// Devices act on their tasks alone: no round is told to all.
    pub by_task: bool,
    /// Time that devices have for a round, each attempt.
    pub deadline: Duration,
    /// Devices selected for a round beside those, each with a share that another has too: what comes first will do.
    pub spares: u32,
    /// A device of which nothing was heard for so long is gone.
    pub lease: Duration,
    /// Attempts at a round before it closes with what it has, or is abandoned.
    pub attempts: u8,
    /// How groups are dealt.
    pub dealing: Dealing,
    /// What carries a round's result to the devices.
    pub sync: Downlink,
    /// When the adapter is evaluated.
    pub evaluate: Evaluate,
    /// Whether an adapter that is evaluated is announced only if it is not worse than the best so far.
    pub gate: bool,
    /// What devices compute, and how the coordinator applies it.
    pub rules: Rules,
    /// What devices send.
    pub up: Upload,
    /// What the parts of the loss weigh as rounds are closed, where devices send them one by one; nothing elsewhere.
    pub weights: Vec<f64>,
    /// The sums that devices send instead, once each, for a read-out.
    pub readout: Option<ReadOut>,
    /// Whether what devices send is aggregated securely: nobody sees a device's by itself.
    pub secure: bool,
    /// Devices that share the noise of what each sends; 1 where nobody does.
    pub sharers: u32,
    /// Devices go by other numbers each round, by this key if a run begins; a ledger keeps its own. They keep theirs without one.
    pub numbers: Option<[u8; 32]>,
    /// What a read-out's total is made of once the noise that devices share is together.
    pub settling: Option<Settling>,
    /// Fleets that learn the same adapter: what their devices find in a round is applied with what the own ones find.
    pub fold_with: Vec<String>,
    /// What is done about updates that are far from the others.
    pub robust: Robust,
    /// Devices with the same groups, at least, where the rule puts those together by themselves.
    pub holders: u32,
    /// Seed of selection and dealing.
    pub seed: u64,
    /// Memory budget below which a device is not selected.
    pub min_budget: u64,
    /// Version of sprig below which a device is not selected.
    pub least_agent: Option<Version>,
    /// Devices the coordinator will ever number; presences past it are turned away.
    pub max_devices: u32,
    /// A round's announcement and open tasks are published again after this time: links lose messages.
    pub resend: Duration,
    /// After connecting, time for devices to show up before a round opens with fewer than `per_round`.
    pub settle: Duration,
    /// After the last round, time to go on serving devices that catch up.
    pub linger: Duration,
    /// Bytes of past rounds' records kept for devices that missed them.
    pub keep_records: u64,
    /// Bytes of past adapters kept, by digest.
    pub keep_snapshots: u64,
    /// Files of certificates that are told of before they end.
    pub certificates: Vec<PathBuf>,
    /// Who signs for devices whose certificates end.
    pub renewing: Option<Renewing>,
}

/// The sums of a read-out.
#[derive(Clone, Copy, Debug)]
pub struct ReadOut {
    /// What they are of.
    pub shape: Shape,
    /// Examples below which a device's are refused.
    pub min_examples: u32,
}

/// What all devices of a read-out measure from, and what their noise together is for.
#[derive(Clone, Debug)]
pub struct Settling {
    /// The row that everybody knows.
    pub reference: Reference,
    /// ε of their total.
    pub epsilon: Epsilon,
}

/// The authority that signs for devices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Renewing {
    /// The folder that `sprig provision` made.
    pub authority: PathBuf,
    /// Days for which a certificate holds.
    pub days: u32,
}

/// Most labels that are named where it is said what is learnt.
const LISTED: usize = 8;

impl Options {
    /// Settings of a run whose rounds go as `rounds` says.
    pub fn new(
        fleet: &str,
        run: RunId,
        settings: String,
        state: PathBuf,
        rounds: &Rounds,
        rules: Rules,
    ) -> Self {
        Options {
            fleet: fleet.to_owned(),
            run,
            settings,
            learns: String::new(),
            state,
            rounds: rounds.count.get(),
            min_devices: rounds.min_devices.get(),
            per_round: rounds.devices.get(),
            quorum: rounds.quorum.get(),
            by_task: rounds.follow.is_by_task(),
            deadline: rounds.deadline_seconds.duration(),
            spares: rounds.spares.get(),
            lease: rounds.lease_seconds.duration(),
            attempts: rounds.attempts.get() as u8, // at most 255
            dealing: defaults::DEALING,
            sync: rounds.down,
            evaluate: rounds.evaluate_every,
            gate: rounds.gate,
            rules,
            up: Upload::Scalars,
            weights: Vec::new(),
            readout: None,
            secure: false,
            sharers: 1,
            numbers: None,
            settling: None,
            fold_with: Vec::new(),
            robust: Robust::Clip,
            holders: 1,
            seed: 0,
            min_budget: 0,
            least_agent: None,
            max_devices: 20_000,
            resend: Duration::from_secs(10),
            settle: Duration::from_secs(3),
            linger: Duration::from_secs(5),
            keep_records: 64 << 20,
            keep_snapshots: 256 << 20,
            certificates: Vec::new(),
            renewing: None,
        }
    }

    /// What `settings` say, for the training `job`, with sums of `shape` for a read-out; `run` names the run if one begins.
    pub fn of(settings: &FleetSettings, job: &JobSettings, run: RunId, shape: Option<Shape>) -> Self {
        let FleetSettings { rounds, train, coordinator, fleet, .. } = settings;
        Options {
            learns: learns(settings),
            // Everybody's sums are of all there is.
            dealing: if shape.is_some() { Dealing::Unsplit } else { train.dealing },
            up: train.up,
            weights: train.weights(coordinator.lam, coordinator.sft_weight),
            readout: shape
                .zip(train.readout)
                .map(|(shape, set)| ReadOut { shape, min_examples: set.min_examples.get() }),
            secure: train.is_secure(),
            fold_with: coordinator.fold_with.iter().map(ToString::to_string).collect(),
            sharers: train.sharers(),
            robust: train.server.robust,
            holders: train.server.holders.get(),
            seed: train.seed,
            linger: coordinator.linger_seconds.duration(),
            least_agent: coordinator.least_agent,
            certificates: settings.certificates(),
            renewing: coordinator
                .authority
                .clone()
                .map(|authority| Renewing { authority, days: coordinator.certificate_days.get() }),
            ..Options::new(&fleet.name, run, job.to_text(), coordinator.state.clone(), rounds, train.rules())
        }
    }

    /// How `groups` groups are dealt.
    pub(crate) fn deal(&self, groups: usize) -> Deal {
        let team = if self.robust.has_teams() { self.holders as usize } else { 1 };
        Deal { dealing: self.dealing, groups, team, seed: self.seed }
    }

    /// Devices that a round takes, at least.
    pub(crate) fn fewest(&self) -> u32 {
        if self.secure { fewest_members(self.sharers) } else { 1 }
    }

    /// Numbers that each device hides among the others', of an adapter of `weights` weights; `None` where nothing is hidden.
    pub(crate) fn hidden(&self, weights: usize) -> Option<usize> {
        let numbers =
            || self.readout.map_or_else(|| integers(&self.rules, weights), |set| set.shape.numbers());
        self.secure.then(numbers)
    }

    /// Refuses to fold with other fleets more numbers than a message of an adapter of `weights` weights has.
    ///
    /// # Errors
    /// [`LearnError::Settings`], with both numbers.
    pub(crate) fn check_folding(&self, weights: usize) -> Result<(), LearnError> {
        let numbers = self.hidden(weights).unwrap_or_default();
        if self.fold_with.is_empty() || (1..=MAX_TOTAL).contains(&numbers) {
            return Ok(());
        }
        Err(LearnError::Settings(format!(
            "{numbers} numbers a round are folded with other fleets; 1 to {MAX_TOTAL} can be, of steps that are aggregated \
             securely: train a smaller adapter, or by scalars (per iteration)"
        )))
    }

    /// Whether an update may be weights: then numbers that come in pieces are those, else scalars.
    pub(crate) fn takes_weights(&self) -> bool {
        self.up.takes_weights(&self.rules)
    }

    /// `per-iteration`, `per-epoch` or `readout`.
    pub fn mode(&self) -> &'static str {
        if self.readout.is_some() { "readout" } else { self.rules.exchange.mode().name() }
    }
}

/// What a fleet with these settings learns, for people.
fn learns(settings: &FleetSettings) -> String {
    let FleetSettings { train, model, .. } = settings;
    let labels = match &train.labels[..] {
        [] => String::new(),
        all if all.len() <= LISTED => format!(" ({})", all.join(", ")),
        all => format!(" ({}, … {} in all)", all[..LISTED].join(", "), all.len()),
    };
    let name = model.path.file_stem().unwrap_or_default().to_string_lossy();
    format!("{}{labels} with {name}", train.task)
}
