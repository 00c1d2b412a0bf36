//! What devices did is kept, and what an operator decides about them holds.

use super::rounds::Scene;
use super::world::options;
use crate::event::{Act, Event};
use crate::*;
use sprig_simulate as simulate;
use sprig_testkit::power::Disk;
use sprig_transport::messages::{DeviceId, Presence, Update};

fn scene(disk: &Disk, present: usize) -> Scene {
    let mut options = options(present as u32, 1000);
    (options.quorum, options.min_devices) = (1, 1);
    Scene::with(options, present, disk)
}

impl Scene {
    fn decide(&mut self, id: &DeviceId, act: Act) {
        assert_eq!(self.core.machine.objection(id, act), None);
        self.take(vec![Event::Standing { device: id.clone(), act }]);
    }

    fn device(&self, id: &str) -> DeviceView {
        let view = self.core.machine.view(self.world.now);
        view.devices.into_iter().find(|device| device.id == id).expect("it is known")
    }

    /// All who have a task of this round answer, the first of the devices with what no number is.
    fn turn(&mut self) {
        let (round, liar) = (self.at().0, self.world.devices[0].clone());
        for id in self.asked().into_iter().rev() {
            if self.tasks[&id].round == round {
                let answer = simulate::answer(&self.tasks[&id], &self.world.options.rules);
                let update = if id == liar { Update { loss: f32::INFINITY, ..answer } } else { answer };
                let frame = update.encode();
                self.take(vec![Event::Update { device: id, update, frame }]);
            }
        }
        self.wait(50);
    }
}

#[test]
fn a_device_that_fails_again_and_again_is_taken_out_until_it_is_allowed() {
    let disk = Disk::default();
    let mut scene = scene(&disk, 3);
    for _ in 0..20 {
        scene.turn();
    }
    // One round missed, two, four, eight: in rounds 0, 2, 5, 10 and 19 it was asked.
    let device = scene.device("dev-0");
    assert_eq!((device.selected, device.failures, device.refused), (5, 5, 5));
    assert_eq!((device.standing, device.state.as_str()), (Standing::Failing, "quarantined"));
    assert!(scene.world.notices.iter().any(|n| matches!(n, Notice::Quarantined { rounds: 5, .. })));
    let other = scene.device("dev-1");
    assert_eq!((other.selected, other.accepted, other.missed, other.failures), (20, 20, 0, 0));
    // A coordinator that is started again knows as much.
    let again = super::world::core(&Disk::holding(disk.image()), &scene.world.options.clone());
    let kept = again.machine.view(0).devices[0].clone();
    assert_eq!((kept.selected, kept.failures, kept.standing), (5, 5, Standing::Failing));
    for _ in 0..80 {
        scene.turn();
    }
    assert_eq!(scene.device("dev-0").selected, 5);
    let id = scene.world.devices[0].clone();
    scene.decide(&id, Act::Allow);
    // The round under way is open already.
    scene.turn();
    scene.turn();
    assert_eq!(scene.device("dev-0").selected, 6);
}

#[test]
fn a_quarantined_device_is_not_asked_and_its_share_goes_to_others() {
    let mut scene = scene(&Disk::default(), 2);
    let id = scene.world.devices[1].clone();
    scene.decide(&id, Act::Quarantine);
    assert!(scene.world.notices.iter().any(|n| matches!(n, Notice::Passed { .. })));
    scene.wait(50);
    assert_eq!(scene.device("dev-1").state, "quarantined");
    for _ in 0..3 {
        scene.turn();
    }
    // The round that was open when it was taken out is the last that it was asked in.
    assert_eq!(scene.device("dev-1").selected, 1);
}

#[test]
fn a_name_that_is_freed_can_be_used_again() {
    let disk = Disk::default();
    let mut scene = scene(&disk, 2);
    let id = scene.world.devices[1].clone();
    let here = scene.core.machine.objection(&id, Act::Remove).expect("it is here");
    assert!(here.contains("dev-1 is here"), "{here}");
    let nobody = scene.core.machine.objection(&DeviceId::parse("nobody").unwrap(), Act::Allow).unwrap();
    assert!(nobody.contains("sprig fleet devices"), "{nobody}");
    let say = |session, online| Event::Presence {
        device: id.clone(),
        presence: Presence { online, ..simulate::presence(session) },
    };
    scene.take(vec![say(1, false)]);
    scene.decide(&id, Act::Remove);
    let view = scene.core.machine.view(0);
    assert_eq!((view.devices.len(), view.devices_total), (1, 1));
    // The ledger keeps its number, and knows that it is gone.
    let again =
        super::world::core(&Disk::holding(disk.image()), &scene.world.options.clone()).machine.view(0);
    assert_eq!((again.devices.len(), again.devices_total), (1, 1));
    scene.take(vec![say(7, true)]);
    assert_eq!((scene.device("dev-1").number, scene.device("dev-1").online), (3, true));
    let again =
        super::world::core(&Disk::holding(disk.image()), &scene.world.options.clone()).machine.view(0);
    assert_eq!((again.devices[1].number, again.devices_total), (3, 2));
}

#[test]
fn of_a_board_that_was_replaced_nothing_counts() {
    let mut scene = scene(&Disk::default(), 2);
    let id = scene.world.devices[1].clone();
    for _ in 0..3 {
        scene.turn();
    }
    scene.decide(&id, Act::Replace);
    assert_eq!((scene.device("dev-1").selected, scene.device("dev-1").online), (0, false));
    let say = |session| Event::Presence { device: id.clone(), presence: simulate::presence(session) };
    scene.take(vec![say(1)]);
    assert!(!scene.device("dev-1").online, "the board that was replaced still talks");
    scene.take(vec![say(2)]);
    assert!(scene.device("dev-1").online);
}

#[test]
fn two_boards_of_one_name_are_told() {
    let mut scene = scene(&Disk::default(), 2);
    let id = scene.world.devices[1].clone();
    let say = |scene: &mut Scene, session| {
        scene.take(vec![Event::Presence { device: id.clone(), presence: simulate::presence(session) }]);
    };
    let told =
        |scene: &Scene| scene.world.notices.iter().filter(|n| matches!(n, Notice::Twins { .. })).count();
    // A board that is started again and again has a session of its own each time.
    for session in 2..6 {
        say(&mut scene, session);
    }
    assert_eq!(told(&scene), 0);
    say(&mut scene, 4);
    assert_eq!(told(&scene), 1);
    let text =
        scene.world.notices.iter().rev().find(|n| matches!(n, Notice::Twins { .. })).unwrap().to_string();
    assert!(text.contains("two boards call themselves dev-1") && text.contains("cloned"), "{text}");
}

#[test]
fn what_comes_late_is_counted() {
    let mut scene = scene(&Disk::default(), 2);
    let id = scene.world.devices[1].clone();
    let update = simulate::answer(&scene.tasks[&id], &scene.world.options.rules);
    let first = scene.world.devices[0].clone();
    scene.wait(1_000);
    scene.answer(&first);
    for _ in 0..100 {
        scene.wait(50);
    }
    assert_eq!(scene.at().0, 1);
    let frame = update.encode();
    scene.take(vec![Event::Update { device: id, update, frame }]);
    let device = scene.device("dev-1");
    assert_eq!((device.selected, device.missed, device.late, device.failures), (1, 1, 1, 1));
}
