//! A fleet in earnest: real agents and a real coordinator over a link in memory.

use super::presence;
use super::tests::{DEVICES, Scene, leak};
use sprig_agent::{Agent, Identity, ModelWorker, State};
use sprig_coordinator::{Coordinator, Options, RoundRow};
use sprig_learn::spry::Layout;
use sprig_protocol::settings::JobSettings;
use sprig_transport::link::{Event, Link};
use sprig_transport::memory;
use sprig_transport::messages::{DeviceId, RunId};
use sprig_transport::outbox::Outbox;
use sprig_transport::topics::Topics;
use std::time::{Duration, Instant};

/// The history of a coordinator and agents over a link in memory.
pub(super) fn in_earnest(scene: &Scene) -> Vec<RoundRow> {
    heard_in_earnest(scene).0
}

/// The same, and all that passed the broker.
pub(super) fn heard_in_earnest(scene: &Scene) -> (Vec<RoundRow>, Vec<Vec<u8>>) {
    let (study, hub) = (&scene.study, memory::broker());
    let mut broker = hub.link("broker", None);
    broker.subscribe(&format!("sprig/1/{}/#", study.settings.fleet.name)).unwrap();
    let mut heard = Vec::new();
    let job = JobSettings::new(scene.digest(), study.settings.train.clone());
    let mut options = Options::of(&study.settings, &job, RunId([7; 16]), None);
    std::fs::create_dir_all(&options.state).unwrap();
    options.min_devices = DEVICES as u32;
    options.quorum = options.per_round;
    options.settle = Duration::from_millis(10);
    options.linger = Duration::from_millis(100);
    let spec = study.settings.train.adapter(&scene.base.geometry).unwrap();
    let layout = Layout::new(&spec, &scene.base.geometry).unwrap();
    let start = layout.initial(&spec, &scene.base.geometry, options.rules.run_key);
    let link = hub.link("coordinator", None);
    let mut coordinator = Coordinator::open(options, layout, start, link, None, Box::new(|_| ())).unwrap();
    let began = Instant::now();
    let mut agents = Vec::new();
    for i in 0..DEVICES {
        let outbox = Outbox::open(&scene.folder.path().join(format!("outbox-{i}.redb")), 1 << 20).unwrap();
        let who = Identity {
            device: DeviceId::parse(&format!("device-{i:03}")).unwrap(),
            topics: Topics::new(&study.settings.fleet.name).unwrap(),
            run: RunId([7; 16]),
            presence: presence(1),
            // Nothing is lost on this link.
            resend: Duration::from_secs(30),
            patience: Duration::from_secs(60),
            by_task: None,
        };
        let mut link = hub.link(&format!("device-{i}"), None);
        let mut agent = Agent::new(who, scene.worker(i), leak(outbox), |_| ()).unwrap();
        agent.start(&mut link).unwrap();
        agents.push((agent, link));
        // One after another, so that each has the number of its place.
        while coordinator.view().unwrap().devices_total <= i as u32 {
            turn(&mut coordinator, &mut agents, began);
        }
    }
    while agents.iter().any(|(agent, _)| agent.state() != State::Finished) {
        assert!(began.elapsed() < Duration::from_secs(60), "{:?}", coordinator.view().unwrap());
        turn(&mut coordinator, &mut agents, began);
        while let Some(event) = broker.next(Duration::ZERO).unwrap() {
            if let Event::Message { payload, .. } = event {
                heard.push(payload);
            }
        }
    }
    let rows = coordinator.view().unwrap().history;
    assert!(
        rows.len() == study.settings.rounds.count.as_usize()
            && rows.iter().all(|row| row.reported == study.settings.rounds.devices.get()),
        "{rows:?}"
    );
    (rows, heard)
}

fn turn<L: Link>(
    coordinator: &mut Coordinator<L>,
    agents: &mut [(Agent<'static, ModelWorker<'static>>, L)],
    began: Instant,
) {
    coordinator.turn(Duration::ZERO).unwrap();
    for (agent, link) in agents {
        while let Some(event) = link.next(Duration::ZERO).unwrap() {
            agent.on(event, link, began.elapsed()).unwrap();
        }
        agent.work(link, || began.elapsed()).unwrap();
    }
}
