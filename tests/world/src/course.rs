//! The course of a world: trouble, then calm in which the run has to come to its end.

use crate::board::{Around, Board};
use crate::fate::Deed;
use crate::judge::Judge;
use crate::lead::{Lead, is_disk};
use crate::learner::Desk;
use crate::plan::Plan;
use crate::time::{Time, Watch};
use serde::Serialize;
use sprig_agent::AgentEvent;
use sprig_coordinator::{Act, CoordinatorError};
use sprig_ground::random::SplitMix64;
use sprig_protocol::FleetError;
use sprig_transport::faults::Faults;
use sprig_transport::link::LinkError;
use sprig_transport::memory::{self, Hub};
use sprig_transport::outbox::Outbox;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::rc::Rc;
use typed_arena::Arena;

/// Milliseconds in which a world without faults must come to its end: some hours, whatever the deadlines are.
const CALM: u64 = 12 * 3_600_000;

/// What a world went through.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Steps of the coordinator and the devices.
    pub steps: u64,
    /// Rounds that were closed.
    pub rounds: u32,
    /// Epochs of the run.
    pub epochs: u32,
    /// How often each deed was done.
    pub deeds: BTreeMap<Deed, u64>,
    /// Messages that met a fault: dropped, doubled, reordered, damaged.
    pub messages: u64,
    /// Seconds of virtual time.
    pub seconds: u64,
    /// Bytes that a device's process had at once, at most.
    pub held: u64,
    /// A number of everything that happened, in order.
    pub course: u64,
}

/// What did not hold.
#[derive(Clone, Debug)]
pub struct Failure {
    /// What.
    pub what: String,
    /// Seconds of virtual time until then.
    pub seconds: u64,
    /// What happened last, the latest at the end.
    pub last: Vec<String>,
}

/// Runs the world of a seed to its end.
///
/// # Errors
/// [`Failure`] if something that must hold does not.
pub fn run(seed: u64) -> Result<Report, Box<Failure>> {
    let stores = Arena::new();
    let events = RefCell::new(Vec::new());
    let hub = memory::broker();
    let mut random = SplitMix64::new(seed);
    let plan = Plan::draw(&mut random);
    let mut world = World::new(&plan, random, &hub, &stores, &events);
    let done = world.course();
    // Stores that were left in a hurry would be closed now, over what came after them.
    world.lead.ends(0);
    world.boards.iter_mut().for_each(|board| board.ends(0));
    let wrong = world.judge.borrow_mut().wrong.take();
    world.report.held = world.judge.borrow().most.0;
    match done.and(wrong.map_or(Ok(()), Err)) {
        Ok(()) => Ok(world.report),
        Err(what) => {
            let seconds = world.time.now() / 1000;
            Err(Box::new(Failure { what, seconds, last: world.last.into() }))
        }
    }
}

/// A world under way.
pub(crate) struct World<'a> {
    plan: &'a Plan,
    pub(crate) random: SplitMix64,
    pub(crate) hub: &'a Hub,
    stores: &'a Arena<Outbox>,
    events: &'a RefCell<Vec<(usize, AgentEvent)>>,
    pub(crate) time: Time,
    pub(crate) lead: Lead,
    pub(crate) boards: Vec<Board<'a>>,
    pub(crate) judge: Rc<RefCell<Judge>>,
    faults: Faults,
    /// When the broker comes back, if it is away.
    pub(crate) broker: Option<u64>,
    /// When an operator has the fleet go on.
    pub(crate) paused: Option<u64>,
    /// When the coordinator's disk works again.
    pub(crate) mended: Option<u64>,
    course: DefaultHasher,
    last: std::collections::VecDeque<String>,
    pub(crate) report: Report,
}

impl<'a> World<'a> {
    fn new(
        plan: &'a Plan,
        mut random: SplitMix64,
        hub: &'a Hub,
        stores: &'a Arena<Outbox>,
        events: &'a RefCell<Vec<(usize, AgentEvent)>>,
    ) -> Self {
        let (time, judge) = (Time::default(), Rc::<RefCell<Judge>>::default());
        let lead = Lead::new(plan.options.clone(), Watch::new(&time), random.draw());
        let desk = |at: usize| Desk {
            device: format!("device-{at}"),
            rules: plan.options.rules,
            watch: Watch::new(&time),
            pace: plan.pace[at],
            short: Rc::new(Cell::new(false)),
            judge: Rc::clone(&judge),
        };
        let boards = (0..plan.devices)
            .map(|at| Board::new(at, desk(at), random.draw()).expect("a name of letters and digits"))
            .collect();
        Self {
            mended: None,
            plan,
            random,
            hub,
            stores,
            events,
            time,
            lead,
            boards,
            judge,
            faults: plan.faults,
            broker: None,
            paused: None,
            course: DefaultHasher::new(),
            last: Default::default(),
            report: Report::default(),
        }
    }

    fn course(&mut self) -> Result<(), String> {
        while self.time.now() < self.plan.trouble {
            let ms = 1 + self.random.below(400) as u64;
            self.time.pass(ms);
            for (deed, hourly) in &self.plan.hourly {
                if self.random.chance(hourly * ms as f64 / 3_600_000.0) {
                    self.does(*deed);
                }
            }
            self.step()?;
        }
        self.calms();
        let until = self.time.now() + CALM;
        while !self.is_over() {
            self.time.pass(1 + self.random.below(1000) as u64);
            self.step()?;
            if self.time.now() > until {
                return Err(format!("it does not end: {}", self.standing()));
            }
        }
        self.conclude()
    }

    /// Everybody does a little, in any order; then what must hold is looked at.
    fn step(&mut self) -> Result<(), String> {
        self.passes();
        let mut order: Vec<usize> = (0..=self.boards.len()).collect();
        self.random.shuffle(&mut order);
        for at in order {
            self.report.steps += 1;
            if at == self.boards.len() { self.lead_steps()? } else { self.board_steps(at)? }
        }
        for (at, event) in std::mem::take(&mut *self.events.borrow_mut()) {
            self.note(|| format!("device-{at}: {event:?}"));
        }
        self.judge.borrow_mut().wrong.take().map_or(Ok(()), Err)
    }

    /// What ends with time: outages, pauses, broken disks.
    fn passes(&mut self) {
        let now = self.time.now();
        let due = |at: &mut Option<u64>| at.take_if(|at| *at <= now).is_some();
        if due(&mut self.broker) {
            self.hub.start();
        }
        if due(&mut self.paused)
            && let Some(handle) = &self.lead.handle
        {
            handle.resume();
        }
        if due(&mut self.mended) {
            self.lead.disk.works();
        }
        for board in &mut self.boards {
            if due(&mut board.mended) {
                board.disk.works();
            }
        }
        self.boards.retain(|board| board.leaves.is_none_or(|leaves| now < leaves));
    }

    fn lead_steps(&mut self) -> Result<(), String> {
        let now = self.time.now();
        if now < self.lead.still || !self.lead.is_up() && now < self.lead.starts {
            return Ok(());
        }
        let before = (self.lead.run, self.lead.round);
        let done = self.lead.step(self.hub, self.faults, &mut self.random, &self.judge);
        if before != (self.lead.run, self.lead.round) {
            let (run, round) = (self.lead.run, self.lead.round);
            self.note(|| format!("coordinator: epoch {} round {round}", run.epoch()));
        }
        let Err(error) = done else { return Ok(()) };
        self.note(|| format!("coordinator ends: {error}"));
        match &error {
            // It opens its ledger anew at once.
            CoordinatorError::Restored { here, .. } => {
                self.judge.borrow_mut().put_back(before.0, here.0);
                self.lead.ends(now);
                Ok(())
            }
            error if is_disk(error) => {
                self.lead.ends(now + self.random.below(30_000) as u64);
                Ok(())
            }
            error => Err(format!("the coordinator ended: {error}")),
        }
    }

    fn board_steps(&mut self, at: usize) -> Result<(), String> {
        let now = self.time.now();
        let board = &mut self.boards[at];
        if now < board.still || !board.is_up() && now < board.starts {
            return Ok(());
        }
        let around =
            Around { hub: self.hub, stores: self.stores, events: self.events, faults: self.faults, now };
        let Err(error) = board.step(around, &mut self.random) else { return Ok(()) };
        board.ends(now + self.random.below(30_000) as u64);
        self.note(|| format!("device-{at} ends: {error}"));
        match &error {
            FleetError::Outbox(_) | FleetError::Link(LinkError::Busy { .. } | LinkError::Closed(_)) => Ok(()),
            FleetError::Bug(why) if why.starts_with("no memory") => Ok(()),
            error => Err(format!("device-{at} ended: {error}")),
        }
    }

    /// Faults end, and an operator lets everybody take part.
    fn calms(&mut self) {
        self.note(|| "calm".to_owned());
        self.faults = Faults::default();
        self.lead.meets(self.faults);
        self.boards.iter_mut().for_each(|board| board.meets(Faults::default()));
        let now = self.time.now();
        let soon = |at: &mut Option<u64>| *at = at.map(|_| now);
        soon(&mut self.broker);
        soon(&mut self.mended);
        for board in &mut self.boards {
            soon(&mut board.mended);
            soon(&mut board.leaves);
        }
        self.passes();
    }

    /// Whether all is done. What an operator does about a fleet that stands still is done here too.
    fn is_over(&mut self) -> bool {
        if self.random.chance(0.01)
            && let Some(handle) = &self.lead.handle
        {
            handle.resume();
            for board in &self.boards {
                handle.ask_to_decide(&board.id, Act::Allow);
            }
        }
        let run = self.lead.run;
        self.lead.is_over() && self.boards.iter().all(|board| board.is_done(run))
    }

    fn conclude(&mut self) -> Result<(), String> {
        let coordinator = self.lead.coordinator().ok_or("the coordinator is gone")?;
        let view = coordinator.view().map_err(|e| e.to_string())?;
        let history = coordinator.history().map_err(|e| e.to_string())?;
        let rounds: Vec<u32> = history.iter().map(|row| row.round.0).collect();
        if rounds != (0..self.plan.options.rounds).collect::<Vec<_>>() {
            return Err(format!("the history has the rounds {rounds:?}"));
        }
        let last = history.last().map(|row| row.adapter_digest.clone()).unwrap_or_default();
        let mut values: Option<Vec<u32>> = None;
        for board in self.boards.iter().filter(|board| board.keeps()) {
            let worker = board.agent().ok_or("a device is gone")?.worker();
            let bits: Vec<u32> = worker.values().iter().map(|v| v.to_bits()).collect();
            let digest = sprig_agent::Worker::digest(worker).to_string();
            if digest != last || values.get_or_insert_with(|| bits.clone()) != &bits {
                return Err(format!("{} has the adapter {digest}, the coordinator {last}", board.id));
            }
        }
        self.report.messages += self.lead.met() + self.boards.iter().map(Board::met).sum::<u64>();
        self.judge.borrow_mut().conclude();
        self.judge.borrow_mut().wrong.take().map_or(Ok(()), Err)?;
        self.report.rounds = view.round;
        self.report.epochs = self.lead.run.epoch();
        self.report.seconds = self.time.now() / 1000;
        self.report.course = self.course.finish();
        Ok(())
    }

    fn standing(&self) -> String {
        let lead = match self.lead.coordinator().map(|c| c.view()) {
            Some(Ok(view)) => {
                format!("{} in round {}, waits for {:?}", view.state, view.round, view.waiting_for)
            }
            _ => "no coordinator".to_owned(),
        };
        let board = |board: &Board<'_>| match board.agent() {
            Some(agent) => format!("{} {:?}", board.id, agent.state()),
            None => format!("{} has no job", board.id),
        };
        let boards: Vec<String> = self.boards.iter().map(board).collect();
        format!("{lead}; {}", boards.join(", "))
    }

    /// Something happened.
    pub(crate) fn note(&mut self, what: impl FnOnce() -> String) {
        let line = format!("{:>9} ms  {}", self.time.now(), what());
        line.hash(&mut self.course);
        if self.last.len() == 400 {
            self.last.pop_front();
        }
        self.last.push_back(line);
    }
}
