//! Devices that mean harm, or are broken: each message costs a counted refusal and nothing else.

use super::world::{World, core, options};
use crate::core::Core;
use crate::decision::Outward;
use crate::event::Event;
use crate::state::Stage;
use crate::*;
use crate::{incoming, registry};
use sprig_learn::spry::{Robust, Rules, Seeds, Terms};
use sprig_simulate as simulate;
use sprig_testkit::power::Disk;
use sprig_transport::messages::{
    Body, DeviceId, Digest, GroupSet, Presence, Reason, Receipt, RunId, Task, Update, Verdict, Want,
};
use sprig_transport::topics::Topic;
use std::collections::BTreeMap;

/// A fleet whose first round is open.
struct Scene {
    world: World,
    core: Core,
    tasks: BTreeMap<DeviceId, Task>,
    receipts: Vec<(DeviceId, Receipt)>,
    published: usize,
    disk: Disk,
}

impl Scene {
    fn new(devices: usize, rounds: u32) -> Self {
        Self::of(options(devices as u32, rounds), devices)
    }

    fn of(options: Options, devices: usize) -> Self {
        let (disk, world) = (Disk::default(), World::new(options, devices));
        let core = core(&disk, &world.options.clone());
        let (tasks, receipts) = (BTreeMap::new(), Vec::new());
        let mut scene = Scene { world, core, tasks, receipts, published: 0, disk };
        let mut events = vec![Event::Connected];
        events.extend(scene.world.presences());
        scene.take(events);
        assert_eq!(scene.tasks.len(), devices);
        scene
    }

    fn take(&mut self, events: Vec<Event>) {
        let Scene { world, core, tasks, receipts, published, .. } = self;
        core.take(events, world.now, &mut |_, outward| {
            let Outward::Publish { topic, payload, .. } = outward else { return Ok(()) };
            *published += 1;
            match world.topics.parse(&topic) {
                Some(Topic::Task(id)) => drop(tasks.insert(id, Task::decode(&payload).unwrap())),
                Some(Topic::Receipt(id)) => receipts.push((id, Receipt::decode(&payload).unwrap())),
                _ => {}
            }
            Ok(())
        })
        .unwrap();
    }

    /// Sends bytes on the update topic of device `at`; the receipt that comes back.
    fn send(&mut self, at: usize, frame: Vec<u8>) -> Option<Receipt> {
        let topic = self.world.topics.update(&self.world.devices[at]);
        self.receipts.clear();
        self.take(incoming::event(&self.world.topics, &topic, frame).into_iter().collect());
        assert!(self.receipts.iter().all(|(id, _)| *id == self.world.devices[at]), "answered to another");
        self.receipts.pop().map(|(_, receipt)| receipt)
    }

    /// The power goes, and comes back.
    fn cut(&mut self) {
        self.disk.cut();
        self.core = core(&self.disk, &self.world.options.clone());
        let mut events = vec![Event::Connected];
        events.extend(self.world.presences());
        self.take(events);
    }

    fn update(&self, at: usize) -> Update {
        simulate::answer(&self.tasks[&self.world.devices[at]], &self.world.options.rules)
    }

    fn refused(&self, at: usize) -> u32 {
        let registry = self.core.machine.registry();
        let number = registry.number(&self.world.devices[at]).unwrap();
        registry.get(number).unwrap().refused()
    }

    /// All devices send what they should; the round closes.
    fn finish_round(&mut self) -> RoundRow {
        let before = self.core.machine.state().round;
        let round: Vec<usize> = (0..self.world.devices.len()).collect();
        for at in round {
            let frame = self.update(at).encode();
            self.send(at, frame);
        }
        let row = self.core.ledger.row(before).unwrap();
        row.expect("the round closed")
    }
}

fn scalars(update: &mut Update) -> &mut Vec<f32> {
    let Body::Scalars(scalars) = &mut update.body else { panic!("scalars") };
    scalars
}

#[test]
fn each_spoilt_update_is_refused_for_its_reason_and_changes_nothing() {
    let mut sound = Scene::new(3, 2);
    let expected = sound.finish_round();

    type Spoil = fn(&mut Update);
    let attacks: [(Reason, Spoil); 22] = [
        (Reason::WrongRun, |u| u.run = RunId([0; 16])),
        (Reason::WrongRound, |u| u.round += 1),
        (Reason::WrongRound, |u| u.round = u32::MAX),
        (Reason::WrongDevice, |u| u.number = 2),
        (Reason::WrongNumber, |u| u.number = 0),
        (Reason::WrongNumber, |u| u.number = 4_000_000_000),
        (Reason::WrongGroups, |u| u.groups = GroupSet { first: 0, step: 1, count: 6 }),
        (Reason::WrongGroups, |u| u.groups.step = 9),
        (Reason::WrongBase, |u| u.base = Digest([1; 32])),
        (Reason::Examples, |u| u.examples = 0),
        (Reason::Examples, |u| u.examples = u32::MAX),
        // One answer more, more right than there are, more than sure, and in other bins than others count in.
        (Reason::Examples, |u| u.bins[14] = [u.bins[14][0] + 1, 0, u.bins[14][2] + (1 << 32)]),
        (Reason::Examples, |u| u.bins[0][1] = u.bins[0][0] + 1),
        (Reason::Examples, |u| u.bins[14][2] = u64::MAX),
        (Reason::Examples, |u| u.bins[1] = [0, 0, 7]),
        (Reason::Examples, |u| u.bins.truncate(1)),
        (Reason::ScalarCount, |u| scalars(u).clear()),
        (Reason::ScalarCount, |u| scalars(u).push(0.0)),
        (Reason::NotFinite, |u| scalars(u)[1] = f32::NAN),
        (Reason::NotFinite, |u| u.loss = f32::INFINITY),
        (Reason::Norm, |u| scalars(u)[0] = 1e30),
        (Reason::Blob, |u| u.body = Body::Dense { digest: Digest([2; 32]), bytes: 64 }),
    ];
    for (reason, spoil) in attacks {
        let mut scene = Scene::new(3, 2);
        let mut update = scene.update(0);
        spoil(&mut update);
        let receipt = scene.send(0, update.encode()).unwrap();
        assert_eq!(receipt.verdict, Verdict::Refused(reason), "{update:?}");
        assert_eq!(receipt.round, update.round);
        assert!(!receipt.text.is_empty() && receipt.text.len() <= 160, "{}", receipt.text);
        assert_eq!(scene.refused(0), 1);
        // The device may still send what it should, and the round ends as if nothing had happened.
        let row = scene.finish_round();
        assert_eq!((row.refused, row.reported), (1, 3));
        assert_eq!(RoundRow { refused: 0, seconds: row.seconds, ..row }, expected, "{reason:?}");
    }
}

#[test]
fn unreadable_bytes_are_counted_and_only_whole_ones_answered() {
    let mut scene = Scene::new(3, 1);
    let good = scene.update(0).encode();
    // Damaged on the way: counted, but not answered, for it comes again.
    let mut damaged = good.clone();
    damaged[20] ^= 1;
    for frame in [damaged, good[..good.len() - 1].to_vec(), Vec::new(), vec![0xff; 300], b"hello".to_vec()] {
        assert_eq!(scene.send(0, frame), None);
    }
    assert_eq!(scene.refused(0), 5);
    // Whole, but no update: another message, and more bytes than one may have.
    let want = Want { run: super::world::RUN, round: 0, base: Digest([0; 32]), resume: None };
    let verdict = |receipt: Option<Receipt>| receipt.map(|r| (r.verdict, r.round));
    let refused = |reason| Some((Verdict::Refused(reason), u32::MAX));
    assert_eq!(verdict(scene.send(1, want.encode())), refused(Reason::Malformed));
    assert_eq!(verdict(scene.send(1, vec![0; Update::MAX + 1])), refused(Reason::TooLarge));
    assert_eq!(scene.finish_round().refused, 7);
}

/// A refusal is in the ledger with the next transaction, or after two seconds without one.
#[test]
fn refusals_survive_a_crash() {
    let mut scene = Scene::new(3, 2);
    let late = Update { round: 1, ..scene.update(0) }.encode();
    scene.send(0, late.clone()).unwrap();
    scene.cut();
    assert_eq!(scene.refused(0), 0, "a refusal alone is no transaction");
    // With another device's update.
    scene.send(0, late.clone()).unwrap();
    let sound = scene.update(1).encode();
    assert_eq!(scene.send(1, sound).unwrap().verdict, Verdict::Accepted);
    scene.cut();
    assert_eq!(scene.refused(0), 1);
    // With nothing, after a while.
    scene.send(0, late).unwrap();
    scene.world.now += 2000;
    scene.take(vec![Event::Tick]);
    scene.cut();
    assert_eq!(scene.refused(0), 2);
    assert_eq!(scene.finish_round().refused, 2);
}

#[test]
fn a_replayed_update_is_a_duplicate_and_an_older_one_late() {
    let mut scene = Scene::new(3, 3);
    let (old, other) = (scene.update(0).encode(), scene.update(0));
    assert_eq!(scene.send(0, old.clone()).unwrap().verdict, Verdict::Accepted);
    assert_eq!(scene.send(0, old.clone()).unwrap().verdict, Verdict::Duplicate);
    // Another update of the same round is not taken instead.
    let mut changed = other;
    scalars(&mut changed)[0] += 0.25;
    assert_eq!(scene.send(0, changed.encode()).unwrap().verdict, Verdict::Duplicate);
    // On another device's topic it is what that device did not make.
    assert_eq!(scene.send(1, old.clone()).unwrap().verdict, Verdict::Refused(Reason::WrongDevice));
    scene.finish_round();
    assert_eq!(scene.send(0, old.clone()).unwrap().verdict, Verdict::Duplicate);
    scene.finish_round();
    assert_eq!(scene.send(0, old).unwrap().verdict, Verdict::Refused(Reason::Closed));
    assert_eq!(scene.core.ledger.history(RoundId::FIRST).unwrap().iter().map(|r| r.reported).sum::<u32>(), 6);
}

#[test]
fn outliers_are_set_aside_before_there_is_a_median_and_refused_after() {
    let mut scene = Scene::new(8, 2);
    let mut wild = scene.update(0);
    scalars(&mut wild).fill(9e5);
    assert_eq!(scene.send(0, wild.encode()).unwrap().verdict, Verdict::Accepted);
    let row = scene.finish_round();
    assert_eq!((row.reported, row.refused), (7, 1));
    assert!(scene.core.closer.snapshot().values.iter().all(|v| (0.3..0.7).contains(v)));
    let mut wild = scene.update(0);
    scalars(&mut wild).fill(50.0);
    assert_eq!(scene.send(0, wild.encode()).unwrap().verdict, Verdict::Refused(Reason::Norm));
}

/// A device that sends fifteen times what it found counts as one that sends three medians of its round; so does one that lies
/// about its loss.
#[test]
fn what_is_too_large_counts_as_three_medians() {
    let after = |robust, spoil: &dyn Fn(&mut Scene) -> Update| {
        let mut options = options(5, 2);
        options.robust = robust;
        let mut scene = Scene::of(options, 5);
        let lie = spoil(&mut scene);
        assert_eq!(scene.send(0, lie.encode()).unwrap().verdict, Verdict::Accepted);
        let row = scene.finish_round();
        (scene.core.closer.digest(), row.loss.unwrap())
    };
    let norm = |update: &Update| {
        let Body::Scalars(scalars) = &update.body else { panic!("scalars") };
        (scalars.iter().map(|s| f64::from(s * s)).sum::<f64>() / scalars.len() as f64).sqrt() as f32
    };
    let times = |update: &mut Update, factor: f32| scalars(update).iter_mut().for_each(|s| *s *= factor);
    let far = |scene: &mut Scene| {
        let mut lie = scene.update(0);
        times(&mut lie, 15.0);
        lie.loss = 1e30;
        lie
    };
    // What it comes to: the lie among the others' norms, and the factor as the coordinator finds it.
    let near = |scene: &mut Scene| {
        let mut lie = far(scene);
        let mut norms: Vec<f32> = (1..5).map(|at| norm(&scene.update(at))).chain([norm(&lie)]).collect();
        norms.sort_unstable_by(f32::total_cmp);
        let factor = 3.0 * norms[2] / norm(&lie);
        times(&mut lie, factor);
        let mut losses: Vec<f32> = (1..5).map(|at| scene.update(at).loss).chain([lie.loss]).collect();
        losses.sort_unstable_by(f32::total_cmp);
        lie.loss = 3.0 * losses[2];
        lie
    };
    assert_eq!(after(Robust::Clip, &far), after(Robust::None, &near));
    assert_ne!(after(Robust::None, &far).0, after(Robust::None, &near).0);
}

/// Devices with the same groups come to their median: a lie beyond all others' numbers counts as the nearest of theirs,
/// however far it is.
#[test]
fn a_team_comes_to_its_median() {
    let after = |robust, factor: f32| {
        let mut options = options(5, 2);
        (options.robust, options.holders, options.rules) = (robust, 5, shared());
        let mut scene = Scene::of(options, 5);
        let tasks: Vec<GroupSet> = scene.tasks.values().map(|task| task.groups).collect();
        assert!(
            tasks.iter().all(|groups| *groups == GroupSet { first: 0, step: 1, count: 6 })
                || robust == Robust::Clip
        );
        let mut lie = scene.update(0);
        // As large as the others' at most, so that nothing is cut down.
        let mut next = scene.update(1);
        let sign: Vec<f32> = scalars(&mut next).iter().map(|s| s.signum()).collect();
        let mut most = vec![0.0f32; sign.len()];
        for at in 1..5 {
            let mut other = scene.update(at);
            most.iter_mut().zip(scalars(&mut other)).for_each(|(most, s)| *most = most.max(s.abs()));
        }
        *scalars(&mut lie) = most.iter().zip(&sign).map(|(most, sign)| most * sign * factor).collect();
        scene.send(0, lie.encode());
        scene.finish_round();
        scene.core.closer.digest()
    };
    for robust in [Robust::Median, Robust::Trimmed] {
        assert_eq!(after(robust, 1.01), after(robust, 1.4), "{robust}");
    }
    assert_ne!(after(Robust::Clip, 1.01), after(Robust::Clip, 1.4));
}

/// Rules of a round whose scalars are along the same directions on all devices.
fn shared() -> Rules {
    let rules = simulate::rules(2);
    Rules::new(Terms { seeds: Seeds::Shared, ..*rules }).unwrap()
}

#[test]
fn strangers_are_counted_and_neither_numbered_nor_answered() {
    let mut scene = Scene::new(2, 1);
    let frame = scene.update(0).encode();
    let topics = scene.world.topics.clone();
    let stranger = DeviceId::parse("stranger").unwrap();
    let published = scene.published;
    let want = Want { run: super::world::RUN, round: 0, base: Digest([0; 32]), resume: None }.encode();
    let base = topics.job().trim_end_matches("job").to_owned();
    let messages = [
        (topics.update(&stranger), frame.clone()),
        (topics.want(&stranger), want),
        (topics.report(&stranger), frame.clone()),
        (format!("{base}update/Not A Name"), frame.clone()),
        (format!("{base}nothing/x"), frame.clone()),
        ("elsewhere".into(), frame),
    ];
    let events: Vec<Event> =
        messages.iter().filter_map(|(topic, bytes)| incoming::event(&topics, topic, bytes.clone())).collect();
    assert_eq!(events.len(), messages.len());
    scene.take(events);
    assert_eq!(scene.core.machine.strangers(), 6);
    assert_eq!((scene.core.machine.registry().present(), scene.published), (2, published));
}

/// A flood of rubbish: bounded tables, few answers, no disk writes, no growth.
#[test]
fn a_flood_costs_no_memory() {
    let mut options = options(3, 1);
    options.max_devices = 1000;
    let disk = Disk::default();
    let mut world = World::new(options, 3);
    let mut core = core(&disk, &world.options.clone());
    let mut events = vec![Event::Connected];
    events.extend(world.presences());
    core.take(events, 0, &mut |_, _| Ok(())).unwrap();
    let (mut published, mut told) = (0, 0);
    let topics = world.topics.clone();
    let mut flood = |core: &mut Core, from: u32, count: u32| {
        for n in from..from + count {
            let fake = DeviceId::parse(&format!("fake-{n}")).unwrap();
            let known = &world.devices[n as usize % 3];
            let noise: Vec<u8> = (0..n % 97).map(|i| (i * n) as u8).collect();
            let chunk = topics.up(known, &Digest([n as u8; 32]), n);
            let mut events = vec![Event::Presence {
                device: fake.clone(),
                presence: Presence { rate: f32::NAN, ..simulate::presence(1) },
            }];
            for topic in [topics.update(known), topics.want(known), topics.report(&fake), chunk] {
                events.extend(incoming::event(&topics, &topic, noise.clone()));
            }
            core.take(events, 0, &mut |_, outward| {
                match outward {
                    Outward::Publish { .. } => published += 1,
                    Outward::Tell(_) => told += 1,
                    _ => {}
                }
                Ok(())
            })
            .unwrap();
        }
    };
    flood(&mut core, 0, 2000);
    let rss = || sprig_budget::process::status().anon.unwrap().get();
    let before = rss();
    flood(&mut core, 2000, 30_000);
    let grown = rss().saturating_sub(before);
    assert!(grown < 1 << 20, "{grown} bytes");
    assert_eq!(core.machine.registry().present(), 1000);
    // Those that were numbered joined, and sent one report that was refused.
    let limit = 3 * usize::from(registry::ANSWERED) + 2 * 1000 + 1;
    assert!(published == 0 && told <= limit, "{published} answers, {told} notices");
    // The fleet still does what it is for.
    world.now = 20_000;
    let next: Vec<Event> = world.presences();
    core.take(next, world.now, &mut |ledger, o| {
        world.receive(ledger, o);
        Ok(())
    })
    .unwrap();
    assert_eq!(core.machine.state().stage, Stage::Collecting);
}
