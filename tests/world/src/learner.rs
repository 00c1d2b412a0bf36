//! A device's learner: its scalars are a function of its task, as a real one's are of its data; it replays what is announced
//! with the real mathematics, and takes its time.

use crate::judge::Judge;
use crate::time::Watch;
use sprig_agent::{Begun, Trained, Worker, following};
use sprig_budget::Bytes;
use sprig_learn::spry::{self, Layout, Rules, Server, Share};
use sprig_protocol::FleetError;
use sprig_simulate as simulate;
use sprig_transport::messages::{Digest, Record, RunId, Snapshot, Task};
use std::cell::{Cell, RefCell};
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

/// The adapter of every world: groups, and weights of each.
const GROUPS: usize = 6;
const WEIGHTS: usize = 16;

/// What a world's fleet trains.
pub(crate) fn layout() -> Layout {
    Layout::synthetic(GROUPS, WEIGHTS)
}

/// The weights that it begins with.
pub(crate) fn initial() -> Vec<f32> {
    vec![0.5; GROUPS * WEIGHTS]
}

/// What a device's plan has for following the fleet.
pub(crate) fn planned(rules: &Rules) -> Bytes {
    following(&layout(), rules).iter().map(|(_, bytes)| *bytes).sum()
}

/// What a learner stands on.
#[derive(Clone)]
pub(crate) struct Desk {
    pub(crate) device: String,
    pub(crate) rules: Rules,
    pub(crate) watch: Watch,
    /// Milliseconds that a part of a round takes.
    pub(crate) pace: u64,
    /// There is no memory for the next step.
    pub(crate) short: Rc<Cell<bool>>,
    pub(crate) judge: Rc<RefCell<Judge>>,
}

pub(crate) struct Learner {
    desk: Desk,
    run: RunId,
    server: Server,
    round: u32,
    task: Option<(Task, Duration)>,
}

impl Learner {
    pub(crate) fn new(desk: Desk, run: RunId) -> Result<Self, FleetError> {
        let server = Server::new(layout(), desk.rules, initial())?;
        Ok(Self { desk, run, server, round: 0, task: None })
    }

    pub(crate) fn values(&self) -> &[f32] {
        self.server.values()
    }
}

impl Worker for Learner {
    fn round(&self) -> u32 {
        self.round
    }

    fn digest(&self) -> Digest {
        Digest(self.server.digest())
    }

    fn replay(&mut self, record: &Record) -> Result<(), FleetError> {
        self.desk.judge.borrow_mut().replayed(record, &self.desk.rules);
        let mut step = self.server.begin(record.round);
        for c in &record.contributions {
            let share = Share { first: c.groups.first, step: c.groups.step, count: c.groups.count };
            step.add(c.number, share, c.examples, spry::Body::Scalars(&c.scalars))?;
        }
        step.finish();
        self.round = record.round + 1;
        Ok(())
    }

    fn restore(&mut self, snapshot: &Snapshot) -> Result<(), FleetError> {
        self.server.restore(snapshot.values.clone(), snapshot.moments.clone())?;
        self.round = snapshot.round;
        Ok(())
    }

    fn begin(&mut self, task: &Task, _: Option<&[u8]>) -> Result<Begun, FleetError> {
        let mut judge = self.desk.judge.borrow_mut();
        judge.begun(self.run, task.round, &self.desk.device, task.number);
        self.task = Some((task.clone(), self.desk.watch.now() + Duration::from_millis(self.desk.pace)));
        Ok(Begun::Part)
    }

    fn step(&mut self) -> Result<Option<Trained>, FleetError> {
        if self.desk.short.take() {
            return Err(FleetError::Bug("no memory for a step".to_owned()));
        }
        let now = self.desk.watch.now();
        let Some((task, _)) = self.task.take_if(|(_, until)| now >= *until) else { return Ok(None) };
        let update = simulate::answer(&task, &self.desk.rules);
        Ok(Some(Trained {
            examples: update.examples,
            tokens: 0,
            loss: update.loss,
            body: update.body,
            bins: update.bins,
            dense: Vec::new(),
            memory: task.round.to_le_bytes().to_vec(),
            regions: Vec::new(),
            planned: 0,
            weights: 0,
            quiet: false,
            sharers: 1,
            spent: None,
        }))
    }

    fn abandon(&mut self) {
        self.task = None;
    }

    fn write(&mut self, _: &Path) -> Result<(), FleetError> {
        Ok(())
    }
}
