//! What the coordinator is told when it starts.

use sprig_learn::spry::{Dealing, Rules};
use sprig_protocol::settings::{Downlink, FleetSettings, JobSettings, SettingsError, Upload};
use sprig_transport::messages::RunId;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

/// Settings of one fleet run. The defaults of [`Options::new`] are those of a small fleet.
#[derive(Clone, Debug)]
pub struct Options {
    /// Name of the fleet: a level of every topic.
    pub fleet: String,
    /// Name of the run if one begins; a ledger knows its own.
    pub run: RunId,
    /// What every device must know to take part, as TOML: published as the job. A state folder made under other
    /// settings is refused.
    pub settings: String,
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
    /// Time that devices have for a round, each attempt.
    pub deadline: Duration,
    /// Attempts at a round before it closes with what it has, or is abandoned.
    pub attempts: u8,
    /// How groups are dealt.
    pub dealing: Dealing,
    /// What carries a round's result to the devices.
    pub sync: Downlink,
    /// When the adapter is evaluated.
    pub evaluate: Evaluate,
    /// What devices compute, and how the coordinator applies it.
    pub rules: Rules,
    /// Whether devices send the weights of their share instead of scalars.
    pub dense: bool,
    /// Seed of selection and dealing.
    pub seed: u64,
    /// Memory budget below which a device is not selected.
    pub min_budget: u64,
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
}

/// When the adapter is evaluated on held-out data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evaluate {
    /// Never.
    Never,
    /// Before the first round and after the last.
    Ends,
    /// Then, and after every so many rounds.
    Every(NonZeroU32),
}

impl Options {
    /// Settings of a run of `rounds` rounds with up to `per_round` devices each.
    pub fn new(
        fleet: &str,
        run: RunId,
        settings: String,
        state: PathBuf,
        rounds: u32,
        per_round: u32,
        rules: Rules,
    ) -> Self {
        Options {
            fleet: fleet.to_owned(),
            run,
            settings,
            state,
            rounds,
            min_devices: per_round,
            per_round,
            quorum: per_round.div_ceil(2),
            deadline: Duration::from_secs(600),
            attempts: 3,
            dealing: Dealing::Contiguous,
            sync: Downlink::Auto,
            evaluate: Evaluate::Never,
            rules,
            dense: false,
            seed: 0,
            min_budget: 0,
            max_devices: 20_000,
            resend: Duration::from_secs(10),
            settle: Duration::from_secs(3),
            linger: Duration::from_secs(5),
            keep_records: 64 << 20,
            keep_snapshots: 256 << 20,
        }
    }

    /// What `settings` say, for the training `job`; `run` names the run if one begins.
    ///
    /// # Errors
    /// [`SettingsError::Value`], naming the setting.
    pub fn of(settings: &FleetSettings, job: &JobSettings, run: RunId) -> Result<Self, SettingsError> {
        let FleetSettings { rounds: r, train, .. } = settings;
        let state = settings.coordinator.state.clone();
        Ok(Options {
            min_devices: r.min_devices,
            quorum: r.quorum,
            deadline: Duration::from_secs_f64(r.deadline_seconds),
            attempts: r.attempts,
            dealing: train.dealing()?,
            sync: r.down,
            evaluate: NonZeroU32::new(r.evaluate_every).map_or(Evaluate::Ends, Evaluate::Every),
            dense: train.up == Upload::Weights,
            seed: train.seed,
            ..Options::new(
                &settings.fleet.name,
                run,
                job.to_text(),
                state,
                r.count,
                r.devices,
                train.rules()?,
            )
        })
    }

    /// `per-iteration` or `per-epoch`.
    pub fn mode(&self) -> &'static str {
        self.rules.exchange.mode().name()
    }
}
