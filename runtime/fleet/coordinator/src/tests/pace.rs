//! Rounds keep their pace: a device that is gone, refused or far slower than usual costs no more than a grace.

use super::rounds::Scene;
use super::world::options;
use crate::countdown::Millis;
use crate::event::Event;
use crate::notice::Passed;
use crate::state::Stage;
use crate::*;
use sprig_simulate as simulate;
use sprig_testkit::power::Disk;
use sprig_transport::messages::{DeviceId, Presence};

/// A round of `per_round` devices that closes with one update; `present` are here.
fn scene(per_round: u32, present: usize) -> Scene {
    let mut options = options(per_round, 1000);
    (options.quorum, options.min_devices, options.attempts) = (1, 1, 3);
    options.deadline = std::time::Duration::from_secs(300);
    Scene::with(options, present, &Disk::default())
}

impl Scene {
    /// Everything but the loss is sound.
    fn answer_badly(&mut self, id: &DeviceId) {
        let update = sprig_transport::messages::Update {
            loss: f32::NAN,
            ..simulate::answer(&self.tasks[id], &self.world.options.rules)
        };
        let frame = update.encode();
        self.take(vec![Event::Update { device: id.clone(), update, frame }]);
    }

    fn say(&mut self, id: &DeviceId, session: u64, online: bool) {
        let presence = Presence { online, ..simulate::presence(session) };
        self.take(vec![Event::Presence { device: id.clone(), presence }]);
    }

    fn passed(&self, id: &DeviceId) -> Option<Passed> {
        self.world.notices.iter().rev().find_map(|notice| match notice {
            Notice::Passed { device, why, .. } if *device == id.to_string() => Some(*why),
            _ => None,
        })
    }

    /// Lets all who are asked but `silent` answer after `ms`, and returns how long the round took from then on.
    fn round(&mut self, ms: Millis, silent: &[DeviceId]) -> Millis {
        let round = self.at().0;
        self.wait(ms);
        for id in self.asked().into_iter().filter(|id| !silent.contains(id)) {
            if self.tasks[&id].round == round && self.at() == (round, Stage::Collecting, 0) {
                self.answer(&id);
            }
        }
        let answered = self.world.now;
        while self.at().0 == round {
            assert!(self.world.now < answered + 300_000, "the round waits for its deadline");
            self.wait(50);
        }
        self.world.now - answered
    }
}

#[test]
fn a_round_closes_once_it_has_a_quorum_and_nobody_is_worth_waiting_for() {
    let mut scene = scene(3, 3);
    let devices = scene.asked();
    // Nothing is known of any yet: the silent one has twice the time of the others, and half of that again.
    assert_eq!(scene.round(8_000, &devices[2..]), 16_000);
    assert_eq!(scene.row(0).reported, 2);
    // It rests now, and nobody waits for it.
    assert_eq!(scene.round(8_000, &devices[2..]), 0);
    assert_eq!(scene.row(1).selected, 2);
    // It is back, and as silent as before.
    assert_eq!(scene.round(8_000, &devices[2..]), 16_000);
    for round in 3..5 {
        assert_eq!(scene.round(8_000, &devices[2..]), 0);
        assert_eq!(scene.row(round).selected, 2);
    }
}

#[test]
fn whoever_is_slow_is_waited_for_as_long_as_it_says_that_it_needs() {
    let mut scene = scene(2, 2);
    let devices = scene.asked();
    let slow = Presence { rate: 10.0, ..simulate::presence(1) };
    scene.take(vec![Event::Presence { device: devices[1].clone(), presence: slow }]);
    scene.wait(4_000);
    scene.answer(&devices[0]);
    // A tenth of the rate: 40 s are expected, twice that, and half of it again, are waited.
    scene.wait(100_000);
    assert_eq!(scene.at(), (0, Stage::Collecting, 0));
    scene.answer(&devices[1]);
    assert_eq!((scene.at().0, scene.row(0).reported), (1, 2));
    // From now on its own time counts: 104 s, and half of that.
    scene.wait(4_000);
    scene.answer(&devices[0]);
    scene.wait(151_000);
    assert_eq!(scene.at(), (1, Stage::Collecting, 0));
    scene.wait(1_000);
    assert_eq!((scene.at().0, scene.row(1).reported), (2, 1));
}

#[test]
fn a_share_that_was_refused_goes_to_another_at_once() {
    let mut scene = scene(2, 3);
    let asked = scene.asked();
    let share = scene.tasks[&asked[0]].groups;
    scene.answer_badly(&asked[0]);
    assert_eq!(scene.passed(&asked[0]), Some(Passed::Refused));
    let other = scene.asked().into_iter().find(|id| !asked.contains(id)).expect("the third is asked");
    assert_eq!((scene.tasks[&other].groups, scene.tasks[&other].attempt), (share, 0));
    scene.answer(&asked[1]);
    assert_eq!(scene.at().0, 0);
    scene.answer(&other);
    let row = scene.row(0);
    assert_eq!((row.selected, row.reported, row.refused), (3, 2, 1));
}

#[test]
fn without_another_a_round_goes_on_with_what_it_has() {
    let mut scene = scene(3, 3);
    let asked = scene.asked();
    scene.answer_badly(&asked[0]);
    scene.say(&asked[1], 1, false);
    assert_eq!(scene.passed(&asked[1]), Some(Passed::Gone));
    scene.answer(&asked[2]);
    assert_eq!((scene.at().0, scene.row(0).reported), (1, 1));
}

#[test]
fn a_quorum_that_nobody_is_left_for_is_not_waited_for() {
    let mut options = options(3, 1000);
    options.min_devices = 1;
    (options.quorum, options.attempts) = (3, 3);
    options.deadline = std::time::Duration::from_secs(300);
    let mut scene = Scene::with(options, 3, &Disk::default());
    let asked = scene.asked();
    scene.answer_badly(&asked[0]);
    scene.answer(&asked[1]);
    scene.answer(&asked[2]);
    let begun = scene.world.now;
    while scene.at().0 == 0 {
        scene.wait(50);
    }
    // Three attempts of a grace each, in which another device might come.
    assert_eq!((scene.world.now - begun, scene.row(0).reported), (6_100, 2));
}

#[test]
fn whoever_was_refused_is_not_waited_for_when_it_comes_back() {
    let mut scene = scene(1, 1);
    let id = scene.asked()[0].clone();
    scene.answer_badly(&id);
    scene.say(&id, 1, false);
    scene.say(&id, 2, true);
    for _ in 0..130 {
        scene.wait(50);
    }
    assert_eq!((scene.at().0, scene.row(0).state.as_str()), (1, "abandoned"));
}

#[test]
fn whoever_comes_back_is_waited_for_again() {
    let mut scene = scene(1, 1);
    let id = scene.asked()[0].clone();
    scene.say(&id, 1, false);
    // All that the round has went away: it does not burn its attempts.
    scene.wait(60_000);
    assert_eq!(scene.at(), (0, Stage::Collecting, 0));
    scene.say(&id, 2, true);
    scene.answer(&id);
    assert_eq!(scene.row(0).reported, 1);
}

#[test]
fn a_device_that_comes_takes_a_share_that_nobody_is_asked_for() {
    let mut options = options(2, 1000);
    (options.quorum, options.min_devices) = (2, 1);
    let mut scene = Scene::with(options, 1, &Disk::default());
    // Only one was here when the round opened; it leaves, and another one comes.
    let first = scene.asked()[0].clone();
    scene.say(&first, 1, false);
    let other = DeviceId::parse("late").unwrap();
    scene.say(&other, 1, true);
    scene.wait(1_000);
    assert_eq!(scene.tasks[&other].groups, scene.tasks[&first].groups);
}

#[test]
fn spares_share_what_others_have_and_the_first_will_do() {
    let mut options = options(2, 1000);
    options.spares = 1;
    let mut scene = Scene::with(options, 3, &Disk::default());
    let asked = scene.asked();
    assert_eq!(asked.len(), 3);
    let same = |a: usize, b: usize| scene.tasks[&asked[a]].groups == scene.tasks[&asked[b]].groups;
    let (twice, alone) = if same(0, 1) {
        ([0, 1], 2)
    } else if same(0, 2) {
        ([0, 2], 1)
    } else {
        ([1, 2], 0)
    };
    assert!(same(twice[0], twice[1]) && !same(twice[0], alone));
    scene.answer(&asked[twice[1]]);
    scene.answer(&asked[alone]);
    let row = scene.row(0);
    assert_eq!((row.selected, row.reported), (3, 2));
    // The other was not needed: that is none of its failures.
    let view = scene.core.machine.view(0);
    assert!(view.devices.iter().all(|device| (device.missed, device.failures) == (0, 0)));
}

#[test]
fn whoever_is_not_heard_for_its_lease_is_gone() {
    let mut options = options(2, 1000);
    options.min_devices = 1;
    options.deadline = std::time::Duration::from_secs(3_000);
    let mut scene = Scene::with(options, 2, &Disk::default());
    let asked = scene.asked();
    for _ in 0..6 {
        scene.wait(29_000);
        scene.say(&asked[0], 1, true);
    }
    assert_eq!(scene.core.machine.view(scene.world.now).devices_online, 2);
    scene.wait(6_000);
    let view = scene.core.machine.view(scene.world.now);
    assert_eq!(view.devices_online, 1);
    let dead = view.devices.iter().find(|device| !device.online).unwrap();
    assert_eq!((dead.id.as_str(), dead.heard_s), (asked[1].as_str(), Some(180.0)));
    assert_eq!(scene.passed(&asked[1]), Some(Passed::Gone));
    // While the broker is away nobody can be heard.
    scene.take(vec![Event::Disconnected { reason: "gone".into() }]);
    scene.wait(1_000_000);
    scene.take(vec![Event::Connected]);
    scene.wait(179_000);
    assert_eq!(scene.core.machine.view(scene.world.now).devices_online, 1);
    scene.wait(1_000);
    assert_eq!(scene.core.machine.view(scene.world.now).devices_online, 0);
}
