//! A read-out over a fleet, against the real coordinator on a link in memory: one round, the same bits however the
//! examples are dealt.

use super::*;
use crate::{Agent, AgentEvent, Identity, State, absent};
use sprig_coordinator::{Coordinator, Options, RoundRow, Settling, control};
use sprig_engine::gguf::{Mapped, Synthetic};
use sprig_learn::privacy::Epsilon;
use sprig_learn::recipe::Whole;
use sprig_protocol::settings::{JobSettings, ReadOut, Rounds, TrainTable};
use sprig_protocol::{beginning, limits, reference};
use sprig_transport::link::Link;
use sprig_transport::memory::{self, Hub, HubLink};
use sprig_transport::messages::{DeviceId, Presence, RunId};
use sprig_transport::outbox::Outbox;
use sprig_transport::topics::Topics;
use std::cell::RefCell;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::rc::Rc;

pub(super) const RUN: RunId = RunId([5; 16]);
pub(super) const RECORDS: usize = 18;

/// A fleet's folder, its base model and what is learnt. What a test opens lives to the end of the process.
pub(super) struct Scene {
    folder: tempfile::TempDir,
    pub base: &'static Base<'static>,
    pub train: Train,
    pub hub: Hub,
    /// How often the coordinator says again what is waited for.
    pub resend: Duration,
    began: Instant,
}

pub(super) struct Device {
    pub agent: Agent<'static, SumsWorker<'static>>,
    pub link: HubLink,
    pub events: Rc<RefCell<Vec<AgentEvent>>>,
}

pub(super) fn leak<T>(value: T) -> &'static mut T {
    Box::leak(Box::new(value))
}

impl Scene {
    fn new(min_examples: u32) -> Self {
        Self::with(min_examples, None)
    }

    /// Of a fleet in which every device adds noise for `dp`.
    pub(super) fn with(min_examples: u32, dp: Option<f64>) -> Self {
        let dp = dp.map(|dp| Epsilon::new(dp).unwrap());
        Self::of(ReadOut { min_examples: toml_of(min_examples), dp, ..ReadOut::default() })
    }

    /// Of a fleet with that read-out, of 16 directions.
    pub(super) fn of(readout: ReadOut) -> Self {
        let folder = tempfile::tempdir().unwrap();
        Synthetic::tiny().write_atomic(folder.path().join("tiny.gguf")).unwrap();
        let table = TrainTable {
            raw: true,
            template: Some("{text} =".to_owned()),
            labels: vec!["a".to_owned(), "t".to_owned()],
            len: Whole::of::<48>(),
            batch: Whole::of::<4>(),
            readout: Some(ReadOut { directions: Whole::of::<16>(), ..readout }),
            ..TrainTable::default()
        };
        let map = leak(Mapped::open(folder.path().join("tiny.gguf")).unwrap());
        let base = leak(Base::open(map).unwrap());
        let train = Train::new(table).unwrap();
        Self {
            folder,
            base,
            train,
            hub: memory::broker(),
            resend: Duration::from_millis(100),
            began: Instant::now(),
        }
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(super) fn coordinator(&self, rounds: u32, devices: u32) -> Coordinator<HubLink> {
        let job = JobSettings::new(self.base.map.digest_hex().unwrap(), self.train.clone());
        let (layout, start) = beginning(&self.train, &self.base.geometry).unwrap();
        limits::check(&self.train, &layout).unwrap();
        let rules = self.train.rules();
        let state = self.path("coordinator");
        std::fs::create_dir_all(&state).unwrap();
        let mut options = Options::new("test", RUN, job.to_text(), state, &Rounds::default(), rules);
        let shape = self.train.sums(&self.base.geometry).unwrap();
        let secure = self.train.is_secure();
        options.readout = Some(sprig_coordinator::ReadOut { shape, min_examples: 1 });
        options.secure = secure;
        options.settling = reference(&self.train, self.base, (1, Bytes::mib(64)))
            .unwrap()
            .zip(self.train.readout.and_then(|readout| readout.dp))
            .map(|(reference, epsilon)| Settling { reference, epsilon });
        options.dealing = sprig_learn::spry::Dealing::Unsplit;
        (options.rounds, options.per_round, options.min_devices, options.quorum) =
            (rounds, devices, devices, devices);
        options.deadline = Duration::from_secs(600);
        options.settle = Duration::from_millis(10);
        options.linger = Duration::from_millis(100);
        options.resend = self.resend;
        let link = self.hub.link("coordinator", None);
        Coordinator::open(options, layout, start, link, None, Box::new(|_| ())).unwrap()
    }

    /// The device `name` with the records `of`.
    pub(super) fn opened(
        &self,
        name: &str,
        of: Range<usize>,
    ) -> Result<(OpenedSums, DeviceSettings, &'static Data), FleetError> {
        let record = |i: usize| {
            let label = ["a", "t"][i / 2 % 2];
            format!(r#"{{"text": "{}bird {}", "label": "{label}"}}"#, "many ".repeat(i % 5), i * i)
        };
        let lines: Vec<String> = of.map(record).collect();
        std::fs::write(self.path(&format!("{name}.jsonl")), lines.join("\n")).unwrap();
        let text = format!(
            "[fleet]\nname = \"test\"\nid = {name:?}\nbroker = \"mqtt://localhost\"\n[model]\npath = \
             \"tiny.gguf\"\nbudget = \"64MiB\"\nthreads = 1\n[data]\ntrain = \"{name}.jsonl\"\n[agent]\nstate = {name:?}\n"
        );
        std::fs::write(self.path(&format!("{name}.toml")), text).unwrap();
        let settings = DeviceSettings::read(&self.path(&format!("{name}.toml"))).unwrap();
        std::fs::create_dir_all(&settings.agent.state).unwrap();
        let data: &'static Data =
            leak(crate::model::open_data(self.base, &settings, &self.train, Bytes::ZERO).unwrap());
        let shape = self.train.sums(&self.base.geometry).unwrap();
        let opened = OpenedSums::plan(self.base, (&self.train, shape), data, &settings)?;
        Ok((opened, settings, data))
    }

    pub(super) fn device(&self, name: &str, of: Range<usize>) -> Device {
        let (opened, settings, data) = self.opened(name, of).unwrap();
        let opened = leak(opened);
        let engine: &'static Engine<'static> = leak(self.base.engine(&opened.planned).unwrap());
        let worker = SumsWorker::new(self.base, engine, opened, &data.train, &settings, "digest").unwrap();
        self.join(name, worker, data.train.len(), &settings.agent.state)
    }

    pub(super) fn join(
        &self,
        name: &str,
        worker: SumsWorker<'static>,
        examples: usize,
        state: &Path,
    ) -> Device {
        let outbox = leak(Outbox::open(&state.join("outbox.redb"), 1 << 20).unwrap());
        let who = Identity {
            device: DeviceId::parse(name).unwrap(),
            topics: Topics::new("test").unwrap(),
            run: RUN,
            presence: Presence {
                online: true,
                budget: 1 << 26,
                rate: 1.0,
                tangents: 1,
                examples: examples as u32,
                ..absent(1)
            },
            resend: Duration::from_millis(100),
            patience: Duration::from_secs(60),
            by_task: None,
        };
        let events: Rc<RefCell<Vec<AgentEvent>>> = Rc::default();
        let seen = events.clone();
        let mut link = self.hub.link(name, None);
        let mut agent = Agent::new(who, worker, outbox, move |event| seen.borrow_mut().push(event)).unwrap();
        agent.start(&mut link).unwrap();
        Device { agent, link, events }
    }

    pub(super) fn turn(&self, coordinator: &mut Coordinator<HubLink>, devices: &mut [Device]) {
        coordinator.turn(Duration::from_millis(1)).unwrap();
        for Device { agent, link, .. } in devices {
            while let Some(event) = link.next(Duration::ZERO).unwrap() {
                agent.on(event, link, self.began.elapsed()).unwrap();
            }
            agent.work(link, || self.began.elapsed()).unwrap();
        }
        assert!(self.began.elapsed() < Duration::from_secs(100), "{:?}", coordinator.view().unwrap());
    }

    /// Has everybody work until all rounds are done and known; the history and the total.
    pub(super) fn finish(
        &self,
        mut coordinator: Coordinator<HubLink>,
        devices: &mut [Device],
    ) -> (Vec<RoundRow>, FleetSums) {
        while devices.iter().any(|device| device.agent.state() != State::Finished) {
            self.turn(&mut coordinator, devices);
        }
        let rows = coordinator.view().unwrap().history;
        drop(coordinator);
        let kept = control::adapter(&self.path("coordinator"), None).unwrap();
        let shape = self.train.sums(&self.base.geometry).unwrap();
        let total = FleetSums::from_values(shape, &kept.values).unwrap();
        for device in devices {
            assert_eq!(*device.agent.worker().total(), total, "a device knows another total");
        }
        (rows, total)
    }
}

pub(super) fn toml_of<T: for<'de> serde::Deserialize<'de>>(number: u32) -> T {
    serde_json::from_value(number.into()).unwrap()
}

/// History and total of a round in which devices have these records.
pub(super) fn dealt(parts: &[Range<usize>]) -> (Vec<RoundRow>, FleetSums) {
    let scene = Scene::new(1);
    let coordinator = scene.coordinator(1, parts.len() as u32);
    let mut devices: Vec<Device> =
        parts.iter().enumerate().map(|(i, of)| scene.device(&format!("device-{i}"), of.clone())).collect();
    scene.finish(coordinator, &mut devices)
}

#[test]
fn the_total_is_the_same_bits_however_examples_are_dealt() {
    let (rows, whole) = dealt(std::slice::from_ref(&(0..RECORDS)));
    assert_eq!((rows.len(), rows[0].reported, &*rows[0].mode), (1, 1, "readout"));
    assert_eq!(whole.examples(), RECORDS as u64);
    for parts in [[0..5, 5..9, 9..16, 16..18], [12..18, 0..1, 1..2, 2..12]] {
        let (rows, total) = dealt(&parts);
        assert_eq!((rows[0].reported, rows[0].refused), (4, 0));
        assert_eq!(total, whole);
        assert_eq!(rows[0].adapter_digest, Digest(whole.digest()).to_string());
    }
}

/// Three devices are a round; the fourth comes later, and is a round of its own. Nobody sends twice.
#[test]
fn sums_of_a_device_that_comes_late_are_added() {
    let (_, whole) = dealt(std::slice::from_ref(&(0..RECORDS)));
    let scene = Scene::new(1);
    let mut coordinator = scene.coordinator(2, 3);
    let parts = [0..5, 5..9, 9..16];
    let mut devices: Vec<Device> =
        (0..3).map(|i| scene.device(&format!("device-{i}"), parts[i].clone())).collect();
    while coordinator.view().unwrap().round == 0 {
        scene.turn(&mut coordinator, &mut devices);
    }
    // Those who are done do not make another round.
    for _ in 0..50 {
        scene.turn(&mut coordinator, &mut devices);
    }
    assert_eq!(coordinator.view().unwrap().state, "gathering");
    devices.push(scene.device("device-late", 16..18));
    let (rows, total) = scene.finish(coordinator, &mut devices);
    assert_eq!(rows.iter().map(|row| row.reported).collect::<Vec<_>>(), [3, 1]);
    assert_eq!(total, whole);
    // Of five examples, four are a pass.
    let read = AgentEvent::Read { round: 0, examples: 4, of: 5 };
    assert!(devices[0].events.borrow().contains(&read));
    for device in &devices {
        let sent = device.events.borrow().iter().filter(|e| matches!(e, AgentEvent::Trained { .. })).count();
        assert_eq!(sent, 1);
    }
}

/// Killed in the middle of its pass, a device makes the same sums anew; killed after it, it sends those it made.
#[test]
fn a_killed_device_sends_its_sums_once_all_the_same() {
    let (_, whole) = dealt(std::slice::from_ref(&(0..RECORDS)));
    for finished in [false, true] {
        let scene = Scene::new(1);
        let mut coordinator = scene.coordinator(1, 2);
        let mut devices = vec![scene.device("device-0", 0..8), scene.device("device-1", 8..RECORDS)];
        let seen = |device: &Device| {
            device.events.borrow().iter().any(|event| match finished {
                false => matches!(event, AgentEvent::Training { .. }),
                true => matches!(event, AgentEvent::Sent { .. }),
            })
        };
        while !seen(&devices[1]) {
            scene.turn(&mut coordinator, &mut devices);
        }
        let killed = devices.pop().unwrap();
        // Its store is free again once it is gone.
        drop(killed);
        let (opened, settings, data) = scene.opened("device-1", 8..RECORDS).unwrap();
        let opened = leak(opened);
        let engine: &'static Engine<'static> = leak(scene.base.engine(&opened.planned).unwrap());
        let worker = SumsWorker::new(scene.base, engine, opened, &data.train, &settings, "digest").unwrap();
        let state = scene.path("device-1");
        // The store of the killed one is still open in this process: a copy is what the disk holds.
        let copy = scene.path("device-1-again");
        std::fs::create_dir_all(&copy).unwrap();
        std::fs::copy(state.join("outbox.redb"), copy.join("outbox.redb")).unwrap();
        devices.push(scene.join("device-1", worker, data.train.len(), &copy));
        let (rows, total) = scene.finish(coordinator, &mut devices);
        assert_eq!((rows[0].reported, total == whole), (2, true), "finished: {finished}");
        let again = devices[1].events.borrow().iter().any(|e| matches!(e, AgentEvent::Trained { .. }));
        assert_eq!(again, !finished);
    }
}

#[test]
fn too_few_examples_are_never_summed_up() {
    let scene = Scene::new(10);
    let refused = scene.opened("device-0", 0..9).map(|_| ()).unwrap_err().to_string();
    assert!(refused.contains("[data] train = 9 examples") && refused.contains("fewer than 10"), "{refused}");
    assert!(scene.opened("device-1", 0..10).is_ok());
}
