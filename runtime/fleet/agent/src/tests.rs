//! Agents against the real coordinator, over a link in memory.

use super::*;
use sprig_coordinator::{Coordinator, FleetView, Options};
use sprig_learn::spry::{self, Layout, Rules, Server, Share};
use sprig_protocol::settings::Rounds;
use sprig_simulate as simulate;
use sprig_transport::faults::{Faults, Faulty};
use sprig_transport::memory::{self, Hub};
use sprig_transport::messages::{Digest, Record, Snapshot, Verdict};
use std::cell::RefCell;
use std::path::Path;
use std::rc::Rc;
use std::time::Instant;

const GROUPS: usize = 6;
const WEIGHTS: usize = 16;
const ROUNDS: u32 = 6;

/// Scalars that are a function of the task, as a device's are of its data, and the real replay.
pub(super) struct Synthetic {
    server: Server,
    rules: Rules,
    round: u32,
    task: Option<Task>,
    trained: Rc<RefCell<Vec<u32>>>,
}

impl Synthetic {
    pub(super) fn new(rules: Rules, trained: Rc<RefCell<Vec<u32>>>) -> Self {
        let start = vec![0.5; GROUPS * WEIGHTS];
        let server = Server::new(Layout::synthetic(GROUPS, WEIGHTS), rules, start).unwrap();
        Self { server, rules, round: 0, task: None, trained }
    }
}

impl Worker for Synthetic {
    fn round(&self) -> u32 {
        self.round
    }

    fn digest(&self) -> Digest {
        Digest(self.server.digest())
    }

    fn replay(&mut self, record: &Record) -> Result<(), FleetError> {
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
        self.task = Some(task.clone());
        Ok(Begun::Part)
    }

    fn step(&mut self) -> Result<Option<Trained>, FleetError> {
        let Some(task) = self.task.take() else { return Ok(None) };
        self.trained.borrow_mut().push(task.round);
        let update = simulate::answer(&task, &self.rules);
        Ok(Some(Trained {
            examples: update.examples,
            tokens: 0,
            loss: update.loss,
            body: update.body,
            bins: update.bins,
            dense: Vec::new(),
            memory: Vec::new(),
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

type Wire = Faulty<memory::HubLink>;

/// A fleet in one thread: every call of [`turn`](Self::turn) lets everyone do a little.
struct Fleet {
    hub: Hub,
    rules: Rules,
    options: Options,
    folder: tempfile::TempDir,
    faults: Faults,
    coordinator: Option<Coordinator<Wire>>,
    devices: Vec<Device>,
    began: Instant,
}

struct Device {
    id: DeviceId,
    agent: Option<(Agent<'static, Synthetic>, Wire)>,
    trained: Rc<RefCell<Vec<u32>>>,
    events: Rc<RefCell<Vec<AgentEvent>>>,
}

impl Fleet {
    fn new(devices: usize, faults: Faults) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let rules = simulate::rules(2);
        let state = folder.path().join("coordinator");
        let mut options =
            Options::new("test", RunId([7; 16]), "job".into(), state, &Rounds::default(), rules);
        let all = devices as u32;
        (options.rounds, options.per_round, options.min_devices) = (ROUNDS, all, all);
        options.quorum = devices as u32;
        options.deadline = Duration::from_secs(60);
        options.resend = Duration::from_millis(20);
        options.settle = Duration::from_millis(10);
        options.linger = Duration::from_millis(100);
        let device = |i: usize| Device {
            id: DeviceId::parse(&format!("device-{i}")).unwrap(),
            agent: None,
            trained: Rc::default(),
            events: Rc::default(),
        };
        Self {
            hub: memory::broker(),
            rules,
            options,
            folder,
            faults,
            coordinator: None,
            devices: (0..devices).map(device).collect(),
            began: Instant::now(),
        }
    }

    fn link(&self, id: &str, seed: u64) -> Wire {
        Faulty::new(self.hub.link(id, None), self.faults, seed)
    }

    fn start_coordinator(&mut self) {
        let link = self.link("coordinator", 1);
        let start = vec![0.5; GROUPS * WEIGHTS];
        let layout = Layout::synthetic(GROUPS, WEIGHTS);
        self.coordinator = Some(
            Coordinator::open(self.options.clone(), layout, start, link, None, Box::new(|_| ())).unwrap(),
        );
    }

    /// Starts device `i` from what is on its disk.
    fn start_device(&mut self, i: usize) {
        let mut link =
            self.link(&format!("device-{i}"), 100 + i as u64 + self.began.elapsed().subsec_nanos() as u64);
        let device = &mut self.devices[i];
        let outbox = open_outbox(self.folder.path(), i);
        let events = device.events.clone();
        let who = Identity {
            device: device.id.clone(),
            topics: Topics::new("test").unwrap(),
            run: RunId([7; 16]),
            presence: simulate::presence(1),
            resend: Duration::from_millis(20),
            patience: Duration::from_secs(60),
            by_task: None,
        };
        let worker = Synthetic::new(self.rules, device.trained.clone());
        // One agent at a time holds the file; it lives as long as the test.
        let outbox = Box::leak(Box::new(outbox));
        let mut agent = Agent::new(who, worker, outbox, move |e| events.borrow_mut().push(e)).unwrap();
        agent.start(&mut link).unwrap();
        self.devices[i].agent = Some((agent, link));
    }

    fn start(&mut self) {
        self.start_coordinator();
        (0..self.devices.len()).for_each(|i| self.start_device(i));
    }

    fn turn(&mut self) {
        if let Some(coordinator) = &mut self.coordinator {
            coordinator.turn(Duration::ZERO).unwrap();
        }
        let began = self.began;
        for (agent, link) in self.devices.iter_mut().filter_map(|d| d.agent.as_mut()) {
            while let Some(event) = link.next(Duration::ZERO).unwrap() {
                agent.on(event, link, began.elapsed()).unwrap();
            }
            agent.work(link, || began.elapsed()).unwrap();
        }
    }

    fn until(&mut self, what: &str, mut done: impl FnMut(&mut Self) -> bool) {
        let limit = Instant::now() + Duration::from_secs(60);
        while !done(self) {
            self.turn();
            assert!(Instant::now() < limit, "{what}: {:?}, {:?}", self.view().waiting_for, self.last());
            std::thread::sleep(Duration::from_micros(200));
        }
    }

    fn view(&self) -> FleetView {
        self.coordinator.as_ref().unwrap().view().unwrap()
    }

    /// What each device did last, the latest first.
    fn last(&self) -> Vec<Vec<AgentEvent>> {
        let told = |event: &&AgentEvent| !matches!(event, AgentEvent::Dropped { .. });
        let last =
            |device: &Device| device.events.borrow().iter().rev().filter(told).take(9).cloned().collect();
        self.devices.iter().map(last).collect()
    }

    fn finish(&mut self) -> String {
        self.until("all finish", |f| {
            f.devices.iter().all(|d| d.agent.as_ref().is_some_and(|(a, _)| a.state() == State::Finished))
        });
        let view = self.view();
        assert_eq!(view.history.len(), ROUNDS as usize);
        assert!(
            view.history.iter().all(|r| r.reported as usize == self.devices.len()),
            "{:?}, {:?}",
            view.history,
            self.last()
        );
        let digest = view.history.last().unwrap().adapter_digest.clone();
        for device in &self.devices {
            let (agent, _) = device.agent.as_ref().unwrap();
            assert_eq!(agent.worker().digest().to_string(), digest);
        }
        digest
    }
}

fn open_outbox(folder: &Path, i: usize) -> Outbox {
    Outbox::open(&folder.join(format!("outbox-{i}.redb")), 1 << 20).unwrap()
}

fn undisturbed() -> String {
    let mut fleet = Fleet::new(3, Faults::default());
    fleet.start();
    fleet.finish()
}

#[test]
fn a_fleet_trains_and_everyone_ends_with_the_same_adapter() {
    let mut fleet = Fleet::new(3, Faults::default());
    fleet.start();
    fleet.finish();
    for device in &fleet.devices {
        assert_eq!(*device.trained.borrow(), (0..ROUNDS).collect::<Vec<_>>());
    }
}

/// 10 % lost at each end, 10 % twice, some in another order, some damaged: the same adapter, nothing applied twice. One message
/// in four does not come through; that an update does not in nine sendings, when its round would close without it, is rarer than
/// one such run in five thousand.
#[test]
fn faults_cost_time_and_nothing_else() {
    let faults = Faults { drop: 0.1, duplicate: 0.1, reorder: 0.1, corrupt: 0.05, ..Faults::default() };
    let mut fleet = Fleet::new(3, faults);
    fleet.start();
    assert_eq!(fleet.finish(), undisturbed());
}

/// A device that comes late, and one that was away for some rounds, catch up without training them.
#[test]
fn whoever_missed_rounds_catches_up() {
    let mut fleet = Fleet::new(3, Faults::default());
    fleet.options.min_devices = 1;
    fleet.options.per_round = 2;
    fleet.options.quorum = 1;
    fleet.options.deadline = Duration::from_millis(300);
    fleet.start_coordinator();
    fleet.start_device(0);
    fleet.until("two rounds alone", |f| f.view().round >= 2);
    fleet.start_device(1);
    fleet.until("the second is level", |f| {
        let agent = &f.devices[1].agent.as_ref().unwrap().0;
        agent.worker().round() >= 2
    });
    fleet.start_device(2);
    fleet.until("all finish", |f| {
        f.devices.iter().all(|d| d.agent.as_ref().is_some_and(|(a, _)| a.state() == State::Finished))
    });
    let digest = fleet.view().history.last().unwrap().adapter_digest.clone();
    for device in &fleet.devices {
        assert_eq!(device.agent.as_ref().unwrap().0.worker().digest().to_string(), digest);
    }
    assert!(!fleet.devices[1].trained.borrow().contains(&0));
}

/// What was trained for one run is kept until another one has a round, and then it is gone.
#[test]
fn the_outbox_is_cleared_once_its_run_is_known_to_be_over() {
    let folder = tempfile::tempdir().unwrap();
    let mut outbox = open_outbox(folder.path(), 0);
    let note = Note { run: RunId([1; 16]), round: 4, memory: vec![5] };
    outbox.put(4, b"update", &note.encode()).unwrap();
    let mut link = memory::broker().link("device-0", None);
    let who = |run: RunId| Identity {
        device: DeviceId::parse("device-0").unwrap(),
        topics: Topics::new("test").unwrap(),
        run,
        presence: simulate::presence(1),
        resend: Duration::from_millis(20),
        patience: Duration::from_secs(60),
        by_task: None,
    };
    let worker = || Synthetic::new(simulate::rules(2), Rc::default());
    // A job that nobody has rounds for, and a round of the first run that the broker kept.
    let mut agent = Agent::new(who(RunId([2; 16])), worker(), &mut outbox, |_| ()).unwrap();
    let topic = agent.who.topics.round();
    let mut hear = |agent: &mut Agent<'_, Synthetic>, run: RunId| {
        let base = agent.worker().digest();
        let payload = Round { run, round: 0, phase: Phase::Gathering, base, result: None }.encode();
        agent.on(Event::Message { topic: topic.clone(), payload }, &mut link, Duration::ZERO).unwrap();
    };
    hear(&mut agent, RunId([1; 16]));
    drop(agent);
    assert_eq!(outbox.pending().unwrap(), [(4, b"update".to_vec())]);
    let mut agent = Agent::new(who(RunId([2; 16])), worker(), &mut outbox, |_| ()).unwrap();
    hear(&mut agent, RunId([2; 16]));
    drop(agent);
    assert!(outbox.pending().unwrap().is_empty() && outbox.note().unwrap().is_none());
}

/// A round whose update was accepted is done once more when the coordinator goes on asking for it: what it had is lost. What
/// the broker delivers by itself, once a connection, is not that.
#[test]
fn a_round_that_a_restored_ledger_asks_for_is_done_again() {
    let folder = tempfile::tempdir().unwrap();
    let mut outbox = open_outbox(folder.path(), 0);
    let mut link = memory::broker().link("device-0", None);
    let (run, trained, events) = (RunId([2; 16]), Rc::default(), Rc::new(RefCell::new(Vec::new())));
    let who = Identity {
        device: DeviceId::parse("device-0").unwrap(),
        topics: Topics::new("test").unwrap(),
        run,
        presence: simulate::presence(1),
        resend: Duration::from_millis(20),
        patience: Duration::from_secs(60),
        by_task: None,
    };
    let (topics, device) = (who.topics.clone(), who.device.clone());
    let (worker, told) = (Synthetic::new(simulate::rules(2), Rc::clone(&trained)), Rc::clone(&events));
    let mut agent = Agent::new(who, worker, &mut outbox, move |e| told.borrow_mut().push(e)).unwrap();
    let base = agent.worker().digest();
    let round = Round { run, round: 0, phase: Phase::Collecting, base, result: None }.encode();
    let groups = sprig_transport::messages::GroupSet { first: 0, step: 1, count: 2 };
    let task =
        Task { run, round: 0, attempt: 0, number: 1, groups, base, seconds: 60, word: Vec::new() }.encode();
    let receipt = Receipt { run, round: 0, verdict: Verdict::Accepted, text: String::new() }.encode();
    let mut hear = |topic: String, payload: &[u8]| {
        let message = Event::Message { topic, payload: payload.to_vec() };
        agent.on(message, &mut link, Duration::ZERO).unwrap();
        agent.work(&mut link, || Duration::ZERO).unwrap();
        agent.work(&mut link, || Duration::ZERO).unwrap();
        trained.borrow().len()
    };
    assert_eq!(hear(topics.round(), &round), 0);
    assert_eq!((hear(topics.task(&device), &task), hear(topics.task(&device), &task)), (1, 1));
    assert_eq!(hear(topics.receipt(&device), &receipt), 1);
    assert_eq!(hear(topics.task(&device), &task), 1, "kept by the broker");
    assert_eq!(hear(topics.task(&device), &task), 2);
    assert!(events.borrow().iter().any(|e| matches!(e, AgentEvent::AskedAgain { round: 0 })));
    assert_eq!(hear(topics.task(&device), &task), 2, "under way, as far as we know");
}
