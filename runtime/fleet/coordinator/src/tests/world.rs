//! A small fleet without network or clock: what the core sends goes to synthetic devices, what they answer goes back.

use crate::core::Core;
use crate::countdown::Millis;
use crate::decision::Outward;
use crate::event::Event;
use crate::incoming;
use crate::ledger::Ledger;
use crate::*;
use sprig_learn::spry::Layout;
use sprig_protocol::settings::{Evaluate, Rounds};
use sprig_simulate as simulate;
use sprig_testkit::power::Disk;
use sprig_transport::messages::{DeviceId, Receipt, RunId, Task, Update, Verdict};
use sprig_transport::topics::{Topic, Topics};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

pub(super) const RUN: RunId = RunId([7; 16]);
pub(super) const GROUPS: usize = 6;
pub(super) const WEIGHTS: usize = 16;

pub(super) fn options(devices: u32, rounds: u32) -> Options {
    let rules = simulate::rules(2);
    let mut options =
        Options::new("test", RUN, "settings".into(), "unused".into(), &Rounds::default(), rules);
    (options.rounds, options.per_round, options.min_devices) = (rounds, devices, devices);
    options.evaluate = Evaluate::Never;
    options.quorum = 1;
    options.deadline = Duration::from_secs(10);
    options.resend = Duration::from_secs(4);
    options.settle = Duration::from_secs(1);
    options
}

/// Evaluations after every so many rounds.
pub(super) fn every(rounds: u32) -> Evaluate {
    Evaluate::every(rounds)
}

pub(super) fn layout() -> Layout {
    Layout::synthetic(GROUPS, WEIGHTS)
}

pub(super) fn core(disk: &Disk, options: &Arc<Options>) -> Core {
    let ledger = Ledger::with_backend(disk.plug(), RUN, &options.settings).unwrap();
    Core::open(ledger, options, layout(), vec![0.5; GROUPS * WEIGHTS]).unwrap()
}

/// Devices that answer every task until they hold a receipt.
pub(super) struct World {
    pub options: Arc<Options>,
    pub topics: Topics,
    pub devices: Vec<DeviceId>,
    /// Updates without a receipt, by device.
    unanswered: BTreeMap<DeviceId, Vec<u8>>,
    /// Receipts of acceptance: device, round.
    pub receipts: Vec<(DeviceId, u32)>,
    pub notices: Vec<Notice>,
    evaluations: VecDeque<Applied>,
    numbers: BTreeMap<DeviceId, u32>,
    pub now: Millis,
    /// Events of one transaction.
    pub group: usize,
    /// How an adapter does on held-out data.
    pub accuracy: fn(Applied) -> f64,
}

impl World {
    pub(super) fn new(options: Options, devices: usize) -> Self {
        World {
            topics: Topics::new(&options.fleet).unwrap(),
            options: Arc::new(options),
            devices: (0..devices).map(|i| DeviceId::parse(&format!("dev-{i}")).unwrap()).collect(),
            unanswered: BTreeMap::new(),
            receipts: Vec::new(),
            notices: Vec::new(),
            evaluations: VecDeque::new(),
            numbers: BTreeMap::new(),
            now: 0,
            group: usize::MAX,
            accuracy: |_| 0.5,
        }
    }

    /// What a device that comes, or comes back, says.
    pub(super) fn presences(&self) -> Vec<Event> {
        let presence = |d: &DeviceId| Event::Presence { device: d.clone(), presence: simulate::presence(1) };
        self.devices.iter().map(presence).collect()
    }

    /// Takes what the core sends.
    pub(super) fn receive(&mut self, ledger: &Ledger, outward: Outward) {
        match outward {
            Outward::Publish { topic, payload, .. } => match self.topics.parse(&topic) {
                Some(Topic::Task(device)) => {
                    let task = Task::decode(&payload).unwrap();
                    let update = simulate::answer(&task, &self.options.rules);
                    self.numbers.insert(device.clone(), task.number);
                    self.unanswered.insert(device, update.encode());
                }
                Some(Topic::Receipt(device)) => {
                    let receipt = Receipt::decode(&payload).unwrap();
                    if receipt.verdict == Verdict::Accepted {
                        // A receipt is sent only for what is in the ledger.
                        let mut found = false;
                        ledger
                            .updates::<LedgerError>(RoundId(receipt.round), |_, _, frame| {
                                let said = Update::decode(frame).unwrap().number;
                                found |= self.numbers.get(&device) == Some(&said);
                                Ok(())
                            })
                            .unwrap();
                        assert!(found, "receipt before commit");
                        self.receipts.push((device.clone(), receipt.round));
                    }
                    self.unanswered.remove(&device);
                }
                _ => {}
            },
            Outward::Evaluate { applied } => self.evaluations.push_back(applied),
            Outward::Tell(notice) => self.notices.push(notice),
            Outward::Ask { .. } | Outward::Serve { .. } => {}
        }
    }

    /// What the devices send now, one at a time, as bytes on a topic that the coordinator parses.
    pub(super) fn send(&mut self) -> Vec<Event> {
        let update = |(device, frame): (&DeviceId, &Vec<u8>)| {
            incoming::event(&self.topics, &self.topics.update(device), frame.clone())
        };
        let mut events: Vec<Event> = self.unanswered.iter().filter_map(update).collect();
        let accuracy = self.accuracy;
        events.extend(self.evaluations.drain(..).map(|applied| {
            let (n, loss) = (applied.0 + 10, 1.0 / f64::from(applied.0 + 1));
            let found = HeldOut { loss, loss_error: None, accuracy: Some(accuracy(applied)), n };
            Event::Evaluated { applied, found: Ok(found) }
        }));
        events.push(Event::Tick);
        events
    }

    /// Runs a core, a group of events at a time, until all is done.
    pub(super) fn run(&mut self, core: &mut Core) -> Result<(), CoordinatorError> {
        self.evaluations.clear();
        let now = self.now;
        core.start(now, &mut |l, o| {
            self.receive(l, o);
            Ok(())
        })?;
        let mut next = vec![Event::Connected];
        next.extend(self.presences());
        for _ in 0..1000 {
            let mut events = next.into_iter().peekable();
            while events.peek().is_some() {
                let group: Vec<Event> = events.by_ref().take(self.group).collect();
                core.take(group, self.now, &mut |ledger, o| {
                    self.receive(ledger, o);
                    Ok(())
                })?;
            }
            if core.machine.finished() {
                return Ok(());
            }
            self.now += 100;
            next = self.send();
        }
        panic!("no progress: {}", core.machine.view(self.now).waiting_for);
    }
}

/// Everything in a ledger that does not depend on when things happened.
pub(super) fn digest(core: &Core, rounds: u32) -> String {
    let ledger = &core.ledger;
    let mut text = String::new();
    for mut row in ledger.history(RoundId::FIRST).unwrap() {
        row.seconds = 0.0;
        text += &format!("{row:?}\n");
    }
    for round in (0..rounds).map(RoundId) {
        text += &format!("{:?} {:?}\n", ledger.result(round).unwrap(), ledger.record(round).unwrap());
        ledger
            .updates::<LedgerError>(round, |n, _, _| {
                text += &format!("left over: {n}\n");
                Ok(())
            })
            .unwrap();
    }
    text += &format!("{:?}\n", ledger.coverage().unwrap());
    for row in ledger.snapshots().unwrap() {
        text += &format!("{row:?} {:?}\n", ledger.snapshot(&row).unwrap());
    }
    let saved = ledger.load(core.closer.digest()).unwrap();
    text + &format!("{:?} {:?} {:?} {:?}", saved.state, saved.devices, saved.before, core.closer.digest())
}
