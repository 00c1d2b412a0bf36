//! The machine that the coordinator runs on.

use crate::judge::Judge;
use crate::learner::{initial, layout};
use crate::time::Watch;
use sprig_coordinator::{
    Applied, Coordinator, CoordinatorError, Evaluator, Handle, HeldOut, LedgerError, Notice, Options,
    Surroundings,
};
use sprig_ground::random::SplitMix64;
use sprig_protocol::settings::Evaluate;
use sprig_testkit::power::Disk;
use sprig_transport::faults::{Faults, Faulty};
use sprig_transport::memory::{Hub, HubLink};
use sprig_transport::messages::{Digest, RunId};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A link with faults to the broker in memory.
pub(crate) type Wire = Faulty<HubLink>;

/// The coordinator's name at the broker.
pub(crate) const NAME: &str = "coordinator";

/// A coordinator's machine.
pub(crate) struct Lead {
    options: Options,
    pub(crate) disk: Disk,
    pub(crate) watch: Watch,
    running: Option<Coordinator<Wire>>,
    /// Its ear: the operator's.
    pub(crate) handle: Option<Handle>,
    /// When it is started, if it does not run.
    pub(crate) starts: u64,
    /// Until when it stands still.
    pub(crate) still: u64,
    /// What it told and nobody looked at.
    told: Arc<Mutex<Vec<Notice>>>,
    /// Its run, which a restored ledger renews.
    pub(crate) run: RunId,
    /// The round that it was last in.
    pub(crate) round: u32,
    /// It has a ledger.
    pub(crate) was_started: bool,
    /// Messages that met a fault in processes that have ended.
    met: u64,
    /// A copy of its ledger: of which run, in which round.
    pub(crate) copy: Option<(RunId, u32, Vec<u8>)>,
}

impl Lead {
    pub(crate) fn new(options: Options, watch: Watch, seed: u64) -> Self {
        let run = options.run;
        Self {
            options,
            disk: Disk::seeded(seed),
            watch,
            running: None,
            handle: None,
            starts: 0,
            still: 0,
            told: Arc::default(),
            run,
            round: 0,
            was_started: false,
            met: 0,
            copy: None,
        }
    }

    /// Its process ends, in whatever it was about.
    pub(crate) fn ends(&mut self, starts: u64) {
        self.disk.unplug();
        self.met = self.met();
        self.met = self.met();
        (self.running, self.handle, self.starts) = (None, None, starts);
    }

    /// Messages that met a fault.
    pub(crate) fn met(&mut self) -> u64 {
        self.met + self.running.as_mut().map_or(0, |running| running.link().met().all())
    }

    /// Whether it runs.
    pub(crate) fn is_up(&self) -> bool {
        self.running.is_some()
    }

    /// Whether all rounds are done and left with the broker.
    pub(crate) fn is_over(&self) -> bool {
        self.running.as_ref().is_some_and(Coordinator::is_over)
    }

    /// What messages to and from it meet from now on.
    pub(crate) fn meets(&mut self, faults: Faults) {
        if let Some(running) = &mut self.running {
            running.link().set(faults);
        }
    }

    /// The running coordinator.
    pub(crate) fn coordinator(&self) -> Option<&Coordinator<Wire>> {
        self.running.as_ref()
    }

    /// Does what there is to do. What it ended over, if it did.
    pub(crate) fn step(
        &mut self,
        hub: &Hub,
        faults: Faults,
        random: &mut SplitMix64,
        judge: &Rc<RefCell<Judge>>,
    ) -> Result<(), CoordinatorError> {
        if self.running.is_none() {
            self.start(hub, faults, random.draw())?;
        }
        let Some(running) = &mut self.running else { return Ok(()) };
        let turned = running.turn(Duration::ZERO);
        (self.run, self.round) = running.at();
        for notice in std::mem::take(&mut *self.told.lock().unwrap_or_else(|e| e.into_inner())) {
            judge.borrow_mut().told(self.run, &notice);
        }
        turned
    }

    fn start(&mut self, hub: &Hub, faults: Faults, seed: u64) -> Result<(), CoordinatorError> {
        let link = Faulty::new(hub.link(NAME, None), faults, seed);
        let watch = self.watch.clone();
        let begun = watch.now();
        let clock = Box::new(move || watch.now() - begun);
        let evaluator: Option<Box<dyn Evaluator>> = match self.options.evaluate {
            Evaluate::Never => None,
            _ => Some(Box::new(Chance::default())),
        };
        self.disk
            .begin(|aside| Surroundings::within(&self.options, aside, Box::new(Duration::default), None))?;
        let around = Surroundings::within(&self.options, self.disk.plug(), clock, evaluator)?;
        let told = Arc::clone(&self.told);
        let tell = move |notice: &Notice| {
            told.lock().unwrap_or_else(|e| e.into_inner()).push(notice.clone());
        };
        let beginning = (layout(), initial());
        let running = Coordinator::open_in(around, self.options.clone(), beginning, link, Box::new(tell))?;
        self.was_started = true;
        self.handle = Some(running.handle());
        self.running = Some(running);
        Ok(())
    }
}

/// Whether a coordinator's machine does not work, which is no fault of the coordinator's.
pub(crate) fn is_disk(error: &CoordinatorError) -> bool {
    matches!(error, CoordinatorError::Ledger(LedgerError::Io(_)))
}

/// Evaluates by chance, which the weights decide: better or worse, with nothing behind it.
#[derive(Debug, Default)]
struct Chance(Mutex<VecDeque<(Applied, HeldOut)>>);

impl Evaluator for Chance {
    fn ask(&self, applied: Applied, values: Vec<f32>) -> bool {
        let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        let share = f64::from(Digest::of(&bytes).0[0]) / 255.0;
        let found = HeldOut { loss: 1.0, loss_error: None, accuracy: Some(0.4 + 0.2 * share), n: 200 };
        self.0.lock().unwrap_or_else(|e| e.into_inner()).push_back((applied, found));
        true
    }

    fn done(&self) -> Option<(Applied, Result<HeldOut, String>)> {
        let (applied, found) = self.0.lock().unwrap_or_else(|e| e.into_inner()).pop_front()?;
        Some((applied, Ok(found)))
    }
}
