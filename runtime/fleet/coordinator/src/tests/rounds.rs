//! Rounds in which not all goes well: deadlines, stragglers, absent devices, pauses and outages.

use super::world::{World, core, options};
use crate::core::Core;
use crate::countdown::Millis;
use crate::decision::Outward;
use crate::event::Event;
use crate::state::Stage;
use crate::*;
use sprig_simulate as simulate;
use sprig_testkit::power::Disk;
use sprig_transport::messages::{DeviceId, Phase, Round, Task};
use sprig_transport::topics::Topic;
use std::collections::BTreeMap;

/// Attempts of 10 s.
pub(super) struct Scene {
    pub world: World,
    pub core: Core,
    pub tasks: BTreeMap<DeviceId, Task>,
    round: Option<Round>,
}

impl Scene {
    /// `present` devices are online; a round asks `per_round` and closes with `quorum` at its deadline.
    fn new(per_round: u32, quorum: u32, attempts: u8, present: usize) -> Self {
        let mut options = options(per_round, 5);
        (options.quorum, options.attempts) = (quorum, attempts);
        Self::with(options, present, &Disk::default())
    }

    /// The same with these options and this disk.
    pub(super) fn with(options: Options, present: usize, disk: &Disk) -> Self {
        let per_round = options.per_round + options.spares;
        let world = World::new(options, present);
        let core = core(disk, &world.options.clone());
        let mut scene = Scene { world, core, tasks: BTreeMap::new(), round: None };
        let mut events = vec![Event::Connected];
        events.extend(scene.world.presences());
        scene.take(events);
        if present < per_round as usize {
            scene.wait(1_000);
        }
        assert_eq!(scene.tasks.len(), (per_round as usize).min(present));
        scene
    }

    pub(super) fn take(&mut self, events: Vec<Event>) {
        let Scene { world, core, tasks, round } = self;
        core.take(events, world.now, &mut |_, outward| {
            match outward {
                Outward::Publish { topic, payload, .. } if !payload.is_empty() => {
                    match world.topics.parse(&topic) {
                        Some(Topic::Task(id)) => drop(tasks.insert(id, Task::decode(&payload).unwrap())),
                        Some(Topic::Round) => *round = Some(Round::decode(&payload).unwrap()),
                        _ => {}
                    }
                }
                Outward::Tell(notice) => world.notices.push(notice),
                _ => {}
            }
            Ok(())
        })
        .unwrap();
    }

    pub(super) fn wait(&mut self, ms: Millis) {
        self.world.now += ms;
        self.take(vec![Event::Tick]);
    }

    pub(super) fn answer(&mut self, id: &DeviceId) {
        let update = simulate::answer(&self.tasks[id], &self.world.options.rules);
        let frame = update.encode();
        self.take(vec![Event::Update { device: id.clone(), update, frame }]);
    }

    pub(super) fn asked(&self) -> Vec<DeviceId> {
        self.tasks.keys().cloned().collect()
    }

    pub(super) fn row(&self, round: u32) -> RoundRow {
        self.core.ledger.row(RoundId(round)).unwrap().expect("the round is closed")
    }

    pub(super) fn at(&self) -> (u32, Stage, u8) {
        let state = self.core.machine.state();
        (state.round.0, state.stage, state.attempt)
    }
}

#[test]
fn without_a_quorum_a_round_waits_for_its_deadline() {
    let mut scene = Scene::new(4, 2, 3, 4);
    let asked = scene.asked();
    scene.wait(9_000);
    scene.answer(&asked[0]);
    scene.wait(999);
    assert_eq!(scene.at(), (0, Stage::Collecting, 0));
    scene.answer(&asked[2]);
    scene.wait(1);
    assert_eq!(scene.at(), (1, Stage::Collecting, 0));
    let row = scene.row(0);
    assert_eq!((row.selected, row.reported, row.state.as_str()), (4, 2, "closed"));
    // Everybody, stragglers as well, has a task of the next round.
    assert!(asked.iter().all(|id| scene.tasks[id].round == 1));
}

#[test]
fn others_take_the_shares_of_the_absent_and_stragglers_still_count() {
    let mut scene = Scene::new(3, 3, 3, 5);
    let first = scene.asked();
    scene.answer(&first[0]);
    scene.wait(10_000);
    assert_eq!(scene.at(), (0, Stage::Collecting, 1));
    // Two devices that were free have the very shares of the two that did not report.
    let second: Vec<DeviceId> = scene.asked().into_iter().filter(|id| !first.contains(id)).collect();
    assert_eq!(second.len(), 2);
    let shares = |scene: &Scene, ids: &[DeviceId]| {
        let mut shares: Vec<_> = ids.iter().map(|id| scene.tasks[id].groups.first).collect();
        shares.sort_unstable();
        shares
    };
    assert_eq!(shares(&scene, &first[1..]), shares(&scene, &second));
    assert!(second.iter().all(|id| scene.tasks[id].attempt == 1));
    scene.answer(&first[1]);
    assert_eq!(scene.at(), (0, Stage::Collecting, 1));
    // The share that is left has an update: the round closes without its second holder.
    let open = scene.tasks[&first[2]].groups;
    let other = second.iter().find(|id| scene.tasks[*id].groups == open).unwrap().clone();
    scene.answer(&other);
    let row = scene.row(0);
    assert_eq!((row.selected, row.reported), (5, 3));
}

#[test]
fn after_all_attempts_a_round_closes_with_what_it_has_or_is_abandoned() {
    let mut scene = Scene::new(3, 3, 2, 3);
    let base = scene.round.as_ref().unwrap().base;
    scene.wait(10_000);
    assert_eq!(scene.at(), (0, Stage::Collecting, 1));
    scene.wait(10_000);
    let row = scene.row(0);
    assert_eq!((row.state.as_str(), row.reported, row.loss), ("abandoned", 0, None));
    // The adapter is the one before, and devices are told so by an empty record.
    let round = scene.round.clone().unwrap();
    assert_eq!((round.round, round.base), (1, base));
    let asked = scene.asked();
    scene.answer(&asked[1]);
    scene.wait(10_000);
    scene.wait(10_000);
    let row = scene.row(1);
    assert_eq!((row.state.as_str(), row.reported), ("closed", 1));
    assert_ne!(scene.round.as_ref().unwrap().base, base);
}

#[test]
fn a_pause_and_an_outage_stop_the_clock() {
    let mut scene = Scene::new(2, 2, 1, 2);
    for (stop, go) in
        [(Event::Pause, Event::Resume), (Event::Disconnected { reason: "gone".into() }, Event::Connected)]
    {
        scene.wait(4_000);
        scene.take(vec![stop]);
        scene.wait(60_000);
        assert_eq!(scene.at(), (0, Stage::Collecting, 0));
        scene.take(vec![go]);
    }
    // What was trained meanwhile is taken while paused, but nothing new begins.
    scene.take(vec![Event::Pause]);
    assert_eq!(scene.round.as_ref().unwrap().phase, Phase::Paused);
    let asked = scene.asked();
    asked.iter().for_each(|id| scene.answer(id));
    assert_eq!(scene.at(), (0, Stage::Collecting, 0));
    scene.take(vec![Event::Resume]);
    assert_eq!(scene.at(), (1, Stage::Collecting, 0));
    assert_eq!(scene.row(0).reported, 2);
}

#[test]
fn the_clock_goes_on_where_it_stopped() {
    let mut scene = Scene::new(2, 2, 1, 2);
    scene.wait(6_000);
    scene.take(vec![Event::Pause]);
    scene.wait(60_000);
    scene.take(vec![Event::Resume]);
    scene.wait(3_999);
    assert_eq!(scene.at().0, 0);
    scene.wait(1);
    assert_eq!(scene.at().0, 1);
}

#[test]
fn a_will_of_an_earlier_session_does_not_take_a_device_away() {
    let mut scene = Scene::new(2, 2, 1, 2);
    let id = scene.world.devices[0].clone();
    let presence =
        |session, online| sprig_transport::messages::Presence { online, ..simulate::presence(session) };
    let online = |scene: &Scene| scene.core.machine.registry().online();
    scene.take(vec![
        Event::Presence { device: id.clone(), presence: presence(2, true) },
        Event::Presence { device: id.clone(), presence: presence(1, false) },
    ]);
    assert_eq!(online(&scene), 2);
    scene.take(vec![Event::Presence { device: id.clone(), presence: presence(2, false) }]);
    assert_eq!(online(&scene), 1);
    scene.take(vec![
        Event::Presence { device: id.clone(), presence: presence(2, false) },
        Event::Presence { device: id, presence: presence(3, true) },
    ]);
    assert_eq!(online(&scene), 2);
}

#[test]
fn what_is_lost_is_said_again() {
    let mut scene = Scene::new(2, 2, 3, 2);
    let asked = scene.asked();
    scene.answer(&asked[0]);
    (scene.tasks, scene.round) = (BTreeMap::new(), None);
    scene.wait(3_999);
    assert!(scene.tasks.is_empty() && scene.round.is_none());
    scene.wait(1);
    assert!(scene.round.is_some());
    assert_eq!(scene.asked(), [asked[1].clone()]);
    assert_eq!(scene.tasks[&asked[1]].seconds, 6);
}

/// What was heard may have been a copy before the one that the broker keeps.
#[test]
fn a_job_that_the_broker_kept_is_looked_for_again() {
    let mut scene = Scene::new(2, 2, 3, 0);
    let mut turn = |events: Vec<Event>| {
        let (mut published, mut asked) = (0, 0);
        scene.world.now += 10_000;
        scene
            .core
            .take(events, scene.world.now, &mut |_, outward| {
                match outward {
                    Outward::Publish { topic, .. } if topic == scene.world.topics.job() => published += 1,
                    Outward::Ask { topic } if topic == scene.world.topics.job() => asked += 1,
                    _ => {}
                }
                Ok(())
            })
            .unwrap();
        (published, asked)
    };
    // Nobody says that it is kept: it is published with each announcement.
    assert_eq!(turn(vec![Event::Tick]), (1, 0));
    let answered: Vec<_> = (0..6).map(|_| turn(vec![Event::Job { ours: true }])).collect();
    assert_eq!(answered, [(0, 0), (0, 0), (0, 0), (0, 0), (0, 1), (0, 0)]);
    // No answer, or another's job, is one too.
    assert_eq!(turn(vec![Event::Job { ours: false }]), (1, 0));
    let silent: Vec<_> = (0..6).map(|_| turn(vec![Event::Tick])).collect();
    assert!(silent.iter().all(|turn| *turn == (1, 0)), "{silent:?}");
}

#[test]
fn notices_have_a_json_and_a_text_form() {
    let mut scene = Scene::new(2, 2, 1, 2);
    scene.asked().iter().for_each(|id| scene.answer(id));
    for notice in &scene.world.notices {
        let json = serde_json::to_value(notice).unwrap();
        assert!(json["event"].is_string() && !notice.to_string().is_empty(), "{json}");
    }
    let closed = scene.world.notices.iter().find(|n| matches!(n, Notice::Closed(_))).unwrap();
    let json = serde_json::to_value(closed).unwrap();
    let keys = "round state mode selected reported refused loss calibration accuracy bytes_up bytes_down seconds \
                adapter_digest";
    assert!(keys.split(' ').all(|key| json.get(key).is_some()), "{json}");
}
