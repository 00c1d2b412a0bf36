//! An agent's life over several runs, against the real coordinator on a link in memory.

use super::*;
use crate::model::tests::{settings, task};
use sprig_budget::process;
use sprig_coordinator::{Coordinator, FleetView, Options};
use sprig_learn::privacy::Epsilon;
use sprig_learn::spry::Layout;
use sprig_protocol::settings::{DeviceSettings, Rounds, Seconds};
use sprig_transport::link::{Farewell, Link};
use sprig_transport::memory::{self, Hub, HubLink};
use sprig_transport::messages::{Digest, Phase, RunId};
use sprig_transport::topics::Topics;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

/// A device in a thread of its own.
pub(crate) struct Device {
    pub(crate) thread: JoinHandle<Result<Ended, FleetError>>,
    pub(crate) stop: Arc<AtomicBool>,
    pub(crate) events: Arc<Mutex<Vec<AgentEvent>>>,
}

pub(crate) struct World {
    pub(crate) hub: Hub,
    pub(crate) folder: tempfile::TempDir,
    pub(crate) settings: DeviceSettings,
}

impl World {
    pub(crate) fn new(stay: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut settings = settings(folder.path());
        (settings.agent.stay, settings.agent.resend_seconds) = (stay, Seconds::of(0.1));
        Self { hub: memory::broker(), folder, settings }
    }

    pub(crate) fn device(&self) -> Device {
        let (hub, settings) = (self.hub.clone(), self.settings.clone());
        let (stop, events): (Arc<AtomicBool>, Arc<Mutex<Vec<_>>>) = Default::default();
        let (asked, seen) = (stop.clone(), events.clone());
        let thread = std::thread::spawn(move || {
            let topic = Topics::new("test").unwrap().presence(&settings.fleet.device().unwrap());
            let mut link = hub.link("one", Some((topic, absent(1).encode()) as Farewell));
            let mut host = Host {
                settings: &settings,
                link: &mut link,
                session: 1,
                stop: &|| asked.load(Relaxed),
                connected: false,
                renewal: settings.fleet.renewal().unwrap(),
            };
            run(&mut host, &mut |event| seen.lock().unwrap().push(event))
        });
        Device { thread, stop, events }
    }

    /// The coordinator of run `number`, which has its own state.
    pub(crate) fn coordinator(&self, number: u8, rounds: u32) -> Coordinator<HubLink> {
        let train = task();
        let map = Mapped::open(&self.settings.model.path).unwrap();
        let base = Base::open(&map).unwrap();
        let (spec, rules) = (train.adapter(&base.geometry).unwrap(), train.rules());
        let job = JobSettings::new(map.digest_hex().unwrap(), train);
        let state = self.folder.path().join(format!("coordinator-{number}"));
        let run = RunId([number; 16]);
        let mut options = Options::new("test", run, job.to_text(), state, &Rounds::default(), rules);
        (options.rounds, options.per_round) = (rounds, 1);
        options.deadline = Duration::from_secs(600);
        options.settle = Duration::from_millis(10);
        options.linger = Duration::from_millis(100);
        options.resend = Duration::from_millis(100);
        let layout = Layout::new(&spec, &base.geometry).unwrap();
        let start = layout.initial(&spec, &base.geometry, rules.run_key);
        let link = self.hub.link("coordinator", None);
        Coordinator::open(options, layout, start, link, None, Box::new(|_| ())).unwrap()
    }

    /// Has a coordinator work until `done`, and goes on with the device.
    pub(crate) fn work(
        &self,
        coordinator: &mut Coordinator<HubLink>,
        done: impl Fn(&FleetView) -> bool,
    ) -> FleetView {
        let limit = Instant::now() + Duration::from_secs(60);
        loop {
            coordinator.turn(Duration::from_millis(5)).unwrap();
            let view = coordinator.view().unwrap();
            if done(&view) {
                return view;
            }
            assert!(Instant::now() < limit, "{view:?}");
        }
    }

    /// Publishes, as somebody who is not of this run, that a round of another one is open.
    fn mislead(&self) {
        let topics = Topics::new("test").unwrap();
        let (run, base) = (RunId([77; 16]), Digest([0; 32]));
        let round = Round { run, round: 5, phase: Phase::Collecting, base, result: None };
        self.hub.link("stranger", None).publish(&topics.round(), round.encode(), true).unwrap();
    }
}

impl Device {
    pub(crate) fn finished(&self) -> Vec<String> {
        let digest = |event: &AgentEvent| match event {
            AgentEvent::Finished { digest, .. } => Some(digest.clone()),
            _ => None,
        };
        self.events.lock().unwrap().iter().filter_map(digest).collect()
    }
}

pub(crate) fn all_done(view: &FleetView) -> bool {
    view.state == "finished"
}

pub(crate) fn digest(view: &FleetView) -> String {
    assert!(view.history.iter().all(|row| row.reported == 1), "{:?}", view.history);
    view.history.last().unwrap().adapter_digest.clone()
}

/// Finished, the agent lets go of its model and is there for the next run; each begins from its own start.
#[test]
fn an_agent_that_stays_takes_part_in_one_run_after_another() {
    let unguarded = process::data_limit();
    let world = World::new(true);
    let device = world.device();
    let mut digests = Vec::new();
    for (number, rounds) in [(1, 3), (2, 3)] {
        let mut coordinator = world.coordinator(number, rounds);
        let view = world.work(&mut coordinator, |view| {
            if view.round == 1 {
                world.mislead();
            }
            all_done(view)
        });
        digests.push(digest(&view));
        world.work(&mut coordinator, |view| {
            device.finished().len() == digests.len() && view.devices_online == 0
        });
        assert!(!device.thread.is_finished());
    }
    assert_eq!(device.finished(), digests);
    // The same data, weights and seeds: nothing of the first run is left in the second.
    assert_eq!(digests[0], digests[1]);
    device.stop.store(true, Relaxed);
    assert_eq!(device.thread.join().unwrap().unwrap(), Ended::Interrupted);
    assert_eq!(process::data_limit(), unguarded, "a guard outlived its plan");
}

/// A coordinator whose state is gone begins anew while devices hold the run before.
#[test]
fn a_new_run_takes_the_place_of_one_that_was_given_up() {
    let world = World::new(false);
    let device = world.device();
    let mut first = world.coordinator(1, 1000);
    world.work(&mut first, |view| view.round >= 3);
    drop(first);
    let mut second = world.coordinator(2, 4);
    let view = world.work(&mut second, |view| all_done(view) && device.thread.is_finished());
    assert_eq!(device.finished(), [digest(&view)]);
    assert_eq!(device.thread.join().unwrap().unwrap(), Ended::Finished);
}

/// A job that needs a later program is waited past, and told once; its device is here all the while, for whoever looks.
#[test]
fn a_job_of_a_later_program_is_waited_past() {
    let world = World::new(false);
    let topics = Topics::new("test").unwrap();
    let settings = "format = 9\nleast = 9\nmodel = \"ab\"\n[train]\ncolour = \"red\"\n".to_owned();
    let later = |run| Job { run: RunId([run; 16]), settings: settings.clone(), over: None }.encode();
    let mut link = world.hub.link("later", None);
    link.subscribe(&topics.presence(&world.settings.fleet.device().unwrap())).unwrap();
    link.publish(&topics.job(), later(8), true).unwrap();
    let device = world.device();
    let here = std::iter::repeat_with(|| link.next(Duration::from_secs(10)).unwrap()).find_map(|event| {
        let Some(Event::Message { payload, .. }) = event else { return None };
        Presence::decode(&payload).ok()
    });
    let here = here.unwrap();
    assert_eq!((here.online, here.tangents, &*here.software), (true, 0, SOFTWARE));
    for run in [8, 9] {
        link.publish(&topics.job(), later(run), true).unwrap();
    }
    let mut coordinator = world.coordinator(1, 2);
    let view = world.work(&mut coordinator, |view| all_done(view) && device.thread.is_finished());
    assert_eq!(device.finished(), [digest(&view)]);
    let unreadable = |event: &AgentEvent| match event {
        AgentEvent::Unreadable { problem, .. } => Some(problem.clone()),
        _ => None,
    };
    let told: Vec<_> = device.events.lock().unwrap().iter().filter_map(unreadable).collect();
    assert!(told.len() == 1 && told[0].contains("format 9") && told[0].contains("train.colour"), "{told:?}");
    assert_eq!(device.thread.join().unwrap().unwrap(), Ended::Finished);
}

/// Whoever asks for noise sends nothing that has none.
#[test]
fn a_device_that_adds_noise_takes_part_in_read_outs_alone() {
    let mut world = World::new(false);
    world.settings.data.dp = Epsilon::new(2.0);
    let device = world.device();
    let mut coordinator = world.coordinator(1, 3);
    let view = world.work(&mut coordinator, |_| device.thread.is_finished());
    assert!(view.history.is_empty());
    let refused = device.thread.join().unwrap().unwrap_err().to_string();
    assert!(refused.contains("[data] dp = 2") && refused.contains("[train.readout]"), "{refused}");
}

/// Whoever hides its numbers sends none openly.
#[test]
fn a_device_that_hides_its_numbers_takes_part_in_nothing_else() {
    let mut world = World::new(false);
    world.settings.data.secure_aggregation = true;
    let device = world.device();
    let mut coordinator = world.coordinator(1, 3);
    let view = world.work(&mut coordinator, |_| device.thread.is_finished());
    assert!(view.history.is_empty());
    let refused = device.thread.join().unwrap().unwrap_err().to_string();
    assert!(refused.contains("[data] secure_aggregation = true"), "{refused}");
}
