//! What an agent asks of its learner. The agent moves messages and keeps promises; the worker does the mathematics.

use sprig_protocol::FleetError;
use sprig_run::Moved;
use sprig_transport::messages::{Body, Digest, Record, Region, Snapshot, Task};
use std::path::Path;
use std::time::Duration;

/// One device's learner.
pub trait Worker {
    /// The first round it has not applied yet: 0 before any.
    fn round(&self) -> u32;

    /// Digest of the adapter as it stands before that round.
    fn digest(&self) -> Digest;

    /// Replays a round. The caller has checked that it is the next one and starts from [`digest`](Self::digest).
    fn replay(&mut self, record: &Record) -> Result<(), FleetError>;

    /// Takes over a state of the coordinator's.
    fn restore(&mut self, snapshot: &Snapshot) -> Result<(), FleetError>;

    /// Begins its part of a round. `memory` is what [`Trained::memory`] of the last round was.
    fn begin(&mut self, task: &Task, memory: Option<&[u8]>) -> Result<Begun, FleetError>;

    /// Trains for one iteration, some seconds at most; `Some` once the part is done.
    fn step(&mut self) -> Result<Option<Trained>, FleetError>;

    /// Of what [`begin`](Self::begin) began, examples read and all, now and then.
    fn progress(&self) -> Option<(usize, usize)> {
        None
    }

    /// Between two steps, looks whether others need memory, and holds less or, when that is over, more. `clock` is a
    /// time that only moves forward. Results do not depend on it.
    fn look(&mut self, _clock: Duration) -> Result<Option<Moved>, FleetError> {
        Ok(None)
    }

    /// Gives up the part under way.
    fn abandon(&mut self);

    /// Writes the adapter as it stands in the place of the file at `out`. The caller has no part under way.
    fn write(&mut self, out: &Path) -> Result<(), FleetError>;
}

/// What became of a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Begun {
    /// Its part is under way.
    Part,
    /// The device takes no part in that round, for that reason.
    Declined(String),
}

/// One device's part of a round, done.
#[derive(Clone, Debug, PartialEq)]
pub struct Trained {
    /// Examples behind it.
    pub examples: u32,
    /// Tokens of those.
    pub tokens: u32,
    /// Mean loss before the round's steps, nats.
    pub loss: f32,
    /// Scalars, or weights whose bytes are in `dense`.
    pub body: Body,
    /// How sure the model was of its answers to the examples, and whether rightly, as an update has it.
    pub bins: Vec<[u64; 3]>,
    /// Weights of the share, f32 little-endian, if `body` says so.
    pub dense: Vec<u8>,
    /// What must survive until the next round; committed together with the update.
    pub memory: Vec<u8>,
    /// Memory by region: planned, and measured where it is known.
    pub regions: Vec<Region>,
    /// Bytes planned in all.
    pub planned: u64,
    /// Bytes of weights among them.
    pub weights: u64,
    /// Whether the update is all that may be told of the examples: no report follows it.
    pub quiet: bool,
    /// Devices that share the noise of it, so many of which have to be in a total before it is opened; 1 where it has all of it, or
    /// none.
    pub sharers: u32,
    /// ε of differential privacy that the device has spent of its records, with this; `None` where nothing has noise.
    pub spent: Option<f64>,
}
