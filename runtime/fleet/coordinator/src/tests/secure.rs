//! Rounds whose sums are aggregated securely, with members of the real protocol: the total is that of the plain sums, whoever
//! is lost and when, and whenever the power goes.

use super::world::{RUN, options};
use crate::core::Core;
use crate::countdown::Millis;
use crate::decision::Outward;
use crate::event::Event;
use crate::incoming;
use crate::ledger::Ledger;
use crate::*;
use sprig_ground::random::SplitMix64;
use sprig_learn::readout::fleet::{FleetSums, Shape};
use sprig_learn::spry::{Dealing, Layout};
use sprig_masking::{Member, Said, Told};
use sprig_simulate as simulate;
use sprig_testkit::power::Disk;
use sprig_transport::blob;
use sprig_transport::messages::{Body, DeviceId, Digest, Receipt, Task, Update, Verdict};
use sprig_transport::topics::{Topic, Topics};
use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::sync::Arc;

const SHAPE: Shape = Shape { inputs: 9, kept: 3, classes: 2 };
/// Devices of a round.
const DEVICES: u32 = 7;

/// The stages, by what a device is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum At {
    Terms,
    Roster,
    Delivery,
    Question,
}

const STAGES: [At; 4] = [At::Terms, At::Roster, At::Delivery, At::Question];

struct Seeded(SplitMix64);

impl Read for Seeded {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        out.iter_mut().for_each(|byte| *byte = self.0.draw() as u8);
        Ok(out.len())
    }
}

struct Scene {
    disk: Disk,
    options: Arc<Options>,
    core: Core,
    topics: Topics,
    now: Millis,
    tasks: BTreeMap<DeviceId, Task>,
    receipts: BTreeMap<DeviceId, Receipt>,
    members: BTreeMap<DeviceId, Member>,
    notices: Vec<Notice>,
    /// All bytes that the coordinator got of devices.
    heard: Vec<Vec<u8>>,
    random: Seeded,
}

impl Scene {
    fn new(options: Options) -> Self {
        let (disk, options) = (Disk::default(), Arc::new(options));
        let core = open(&disk, &options);
        let mut scene = Scene {
            disk,
            options,
            core,
            topics: Topics::new("test").unwrap(),
            now: 0,
            tasks: BTreeMap::new(),
            receipts: BTreeMap::new(),
            members: BTreeMap::new(),
            notices: Vec::new(),
            heard: Vec::new(),
            random: Seeded(SplitMix64::new(5)),
        };
        scene.arrive();
        scene
    }

    /// The broker and all devices are there.
    fn arrive(&mut self) {
        let presence = |n| Event::Presence { device: id(n), presence: simulate::presence(1) };
        self.take(
            std::iter::once(Event::Connected).chain((0..self.options.per_round).map(presence)).collect(),
        );
    }

    /// The coordinator lost its power, and is back.
    fn restart(&mut self) {
        self.disk.cut();
        self.core = open(&self.disk, &self.options);
        let now = self.now;
        self.now = 0;
        let Scene { core, .. } = self;
        core.start(0, &mut |_, _| Ok(())).unwrap();
        self.arrive();
        self.now = now;
    }

    fn take(&mut self, events: Vec<Event>) {
        let Scene { core, topics, tasks, receipts, notices, now, .. } = self;
        core.take(events, *now, &mut |_, outward| {
            match outward {
                Outward::Publish { topic, payload, .. } => match topics.parse(&topic) {
                    Some(Topic::Task(id)) => drop(tasks.insert(id, Task::decode(&payload).unwrap())),
                    Some(Topic::Receipt(id)) => drop(receipts.insert(id, Receipt::decode(&payload).unwrap())),
                    _ => {}
                },
                Outward::Tell(notice) => notices.push(notice),
                _ => {}
            }
            Ok(())
        })
        .unwrap();
    }

    /// Has every device that was given a task do what it says, but for those that are lost at that stage, until nobody has one.
    fn run(&mut self, lost: &BTreeMap<u32, At>) {
        while let Some((device, task)) = self.tasks.pop_first() {
            let n = number(&device);
            let told = Told::from_bytes(&task.word).unwrap();
            if lost.get(&n).is_some_and(|when| stage(&told) >= *when) {
                continue;
            }
            let said = self.say(&device, &task, told);
            self.send(&device, &task, said);
        }
    }

    fn say(&mut self, device: &DeviceId, task: &Task, told: Told) -> Said {
        let random = &mut self.random;
        if let Told::Terms(terms) = told {
            let known = self.members.get(device).is_some_and(|member| *member.terms() == terms);
            if !known {
                let drawn = Member::draw(terms, task.number, random).unwrap();
                self.members.insert(device.clone(), drawn);
            }
        }
        let member = self.members.get_mut(device).unwrap();
        match told {
            Told::Terms(_) => Said::Keys(member.keys()),
            Told::Roster(roster) => Said::Packages(member.deal(&roster).unwrap()),
            Told::Delivery(delivery) => {
                Said::Veiled(member.veil(&delivery, &numbers(number(device))).unwrap())
            }
            Told::Question(question) => Said::Answer(member.answer(&question).unwrap()),
        }
    }

    fn send(&mut self, device: &DeviceId, task: &Task, said: Said) {
        let bytes = said.to_bytes();
        let (body, blob) = match said {
            Said::Veiled(_) => {
                (Body::Dense { digest: Digest::of(&bytes), bytes: bytes.len() as u32 }, Some(bytes))
            }
            _ => (Body::Word(bytes), None),
        };
        self.update(device, task, body, blob.as_deref());
    }

    fn update(&mut self, device: &DeviceId, task: &Task, body: Body, blob: Option<&[u8]>) {
        let &Task { round, number, groups, base, .. } = task;
        let examples = examples(self::number(device));
        let bins = Vec::new();
        let update = Update { run: RUN, round, number, groups, base, examples, loss: 0.0, bins, body };
        let mut messages = vec![(self.topics.update(device), update.encode())];
        let blob = blob.unwrap_or_default();
        for (at, chunk) in blob::chunks(blob).enumerate().filter(|_| !blob.is_empty()) {
            messages.push((self.topics.up(device, &Digest::of(blob), at as u32), chunk));
        }
        for (topic, bytes) in messages {
            self.heard.push(bytes.clone());
            self.take(incoming::event(&self.topics, &topic, bytes).into_iter().collect());
        }
    }

    /// Time goes by, and nothing is heard.
    fn wait(&mut self, millis: Millis) {
        self.now += millis;
        self.take(vec![Event::Tick]);
    }

    /// Runs until a round is over, patient with those who are lost.
    fn finish(&mut self, lost: &BTreeMap<u32, At>) {
        for _ in 0..40 {
            self.run(lost);
            if self.core.machine.round().id() > RoundId::FIRST {
                return;
            }
            self.wait(10_000);
        }
        panic!("round 0 is not over: {:?}", self.notices);
    }

    fn total(&self) -> FleetSums {
        FleetSums::from_values(SHAPE, &self.core.closer.snapshot().values).unwrap()
    }
}

fn open(disk: &Disk, options: &Arc<Options>) -> Core {
    let ledger = Ledger::with_backend(disk.plug(), RUN, &options.settings).unwrap();
    Core::open(ledger, options, Layout::synthetic(1, SHAPE.values()), vec![0.0; SHAPE.values()]).unwrap()
}

fn settings(devices: u32) -> Options {
    let mut options = options(devices, 1);
    options.readout = Some(ReadOut { shape: SHAPE, min_examples: 3, secure: true });
    options.dealing = Dealing::Unsplit;
    (options.attempts, options.resend) = (3, std::time::Duration::from_secs(5));
    options.deadline = std::time::Duration::from_secs(60);
    options
}

fn id(n: u32) -> DeviceId {
    DeviceId::parse(&format!("dev-{n}")).unwrap()
}

fn number(device: &DeviceId) -> u32 {
    device.to_string()[4..].parse().unwrap()
}

fn stage(told: &Told) -> At {
    match told {
        Told::Terms(_) => At::Terms,
        Told::Roster(_) => At::Roster,
        Told::Delivery(_) => At::Delivery,
        Told::Question(_) => At::Question,
    }
}

fn examples(device: u32) -> u32 {
    4 + device
}

/// Sums of a device's examples, all of one class.
fn numbers(device: u32) -> Vec<i64> {
    let n = i64::from(examples(device));
    let (mut counts, mut classes) = ([0; 2], [0; 6]);
    let class = device as usize % 2;
    counts[class] = n;
    classes[3 * class..][..3].copy_from_slice(&[n, 2 * n, 0]);
    let numbers = counts.into_iter().chain([5 * n]).chain(classes);
    numbers.chain([n, 2 * n, 4 * n, 0, 0, 0]).collect()
}

/// Sums of these devices, added up as they are.
fn plain(devices: impl IntoIterator<Item = u32>) -> FleetSums {
    let mut total = FleetSums::new(SHAPE);
    for device in devices {
        let own = FleetSums::from_numbers(SHAPE, &numbers(device), examples(device).into()).unwrap();
        total.merge(&own).unwrap();
    }
    total
}

#[test]
fn the_total_is_the_plain_one_with_thirty_percent_lost_at_each_stage() {
    for lost in [None, Some(At::Terms), Some(At::Roster), Some(At::Delivery), Some(At::Question)] {
        let mut scene = Scene::new(settings(DEVICES));
        // Two of seven: five are the threshold.
        let away: BTreeMap<u32, At> = lost.into_iter().flat_map(|at| [(1, at), (4, at)]).collect();
        scene.finish(&away);
        // Who is lost after its values are in is in the total.
        let counts = |n: &u32| !away.contains_key(n) || lost == Some(At::Question);
        let reported: BTreeSet<u32> = (0..DEVICES).filter(counts).collect();
        assert_eq!(scene.total(), plain(reported.iter().copied()), "{lost:?}");
        let row = scene.core.ledger.row(RoundId::FIRST).unwrap().unwrap();
        assert_eq!((row.state.as_str(), row.reported), ("closed", reported.len() as u32), "{lost:?}");
        let accepted = scene.receipts.iter().filter(|(_, receipt)| receipt.verdict == Verdict::Accepted);
        assert!(accepted.map(|(id, _)| number(id)).eq(reported), "{lost:?}: {:?}", scene.receipts);
        assert!(scene.core.ledger.words().unwrap().is_empty());
    }
}

/// Sixty members, of which a third is lost, some at each stage: as many as may be.
#[test]
fn a_third_of_many_is_made_up_for() {
    let mut scene = Scene::new(settings(60));
    let away: BTreeMap<u32, At> = (0..20).map(|n| (3 * n, STAGES[n as usize % 4])).collect();
    scene.finish(&away);
    let reported = (0..60).filter(|n| away.get(n).is_none_or(|at| *at == At::Question));
    assert_eq!(scene.total(), plain(reported));
}

/// Nothing that came from devices holds the sums of one, neither as they are nor as a read-out would pack them, and what took
/// their place is not the same twice.
#[test]
fn nothing_that_the_coordinator_hears_holds_a_devices_sums() {
    let mut scene = Scene::new(settings(DEVICES));
    scene.finish(&BTreeMap::new());
    let holds = |needle: &[u8]| {
        scene.heard.iter().any(|bytes| bytes.windows(needle.len()).any(|window| window == needle))
    };
    for device in 0..DEVICES {
        let numbers = numbers(device);
        let words: Vec<u8> = numbers[2..5].iter().flat_map(|n| n.to_le_bytes()).collect();
        assert!(!holds(&words) && !holds(&FleetSums::pack(&numbers)), "device {device}");
    }
    // The search finds what is there: each device's examples are said openly, its number beside them.
    assert!(holds(&scene.members[&id(3)].keys().sealing));
}

#[test]
fn too_few_begin_again_and_give_up_at_last() {
    let mut scene = Scene::new(settings(DEVICES));
    let away: BTreeMap<u32, At> = [(1, At::Delivery), (4, At::Delivery), (5, At::Delivery)].into();
    scene.finish(&away);
    let row = scene.core.ledger.row(RoundId::FIRST).unwrap().unwrap();
    assert_eq!((row.state.as_str(), row.reported), ("abandoned", 0));
    assert_eq!(scene.total(), plain([]));
    let told: Vec<String> = scene.notices.iter().map(ToString::to_string).collect();
    let failed: Vec<_> = told.iter().filter(|text| text.contains("no total of the devices' sums")).collect();
    assert_eq!(failed.len(), 3, "{told:#?}");
    assert!(failed[2].contains("attempt 3: ") && failed[2].contains("1 fewer than the 5"), "{failed:?}");
    // Whoever is back in time makes the next attempt whole.
    let mut scene = Scene::new(settings(DEVICES));
    scene.run(&away);
    while scene.core.machine.round().attempt() == 0 {
        scene.wait(5_000);
    }
    scene.finish(&BTreeMap::new());
    assert_eq!(scene.total(), plain(0..DEVICES));
}

#[test]
fn a_coordinator_goes_on_after_a_power_cut_at_each_stage() {
    for cut in STAGES {
        let mut scene = Scene::new(settings(DEVICES));
        // The last device is a stage behind the others: the stage is open when the power goes.
        scene.run(&[(6, cut)].into());
        scene.restart();
        assert_eq!(scene.core.machine.round().attempt(), 0, "{cut:?}");
        // Nothing is asked of the others again that they have said.
        let asked: Vec<u32> = scene.tasks.keys().map(number).collect();
        assert_eq!(asked, [6], "{cut:?}");
        scene.finish(&BTreeMap::new());
        assert_eq!(scene.total(), plain(0..DEVICES), "{cut:?}");
        assert_eq!(scene.core.ledger.row(RoundId::FIRST).unwrap().unwrap().reported, DEVICES);
    }
}

#[test]
fn what_cannot_be_is_refused_and_the_others_go_on() {
    let mut scene = Scene::new(settings(DEVICES));
    let task = scene.tasks[&id(2)].clone();
    let refused = |scene: &mut Scene, body: Body, blob: Option<&[u8]>, words: &str| {
        scene.receipts.clear();
        scene.update(&id(2), &task, body, blob);
        let receipt = scene.receipts.get(&id(2)).expect(words);
        assert!(matches!(receipt.verdict, Verdict::Refused(_)), "{receipt:?}");
        assert!(receipt.text.contains(words), "{receipt:?}");
    };
    refused(&mut scene, Body::Word(vec![9, 1]), None, "kind 9");
    refused(&mut scene, Body::Scalars(vec![1.0]), None, "scalars");
    let sums = FleetSums::pack(&numbers(2));
    let body = Body::Dense { digest: Digest::of(&sums), bytes: sums.len() as u32 };
    refused(&mut scene, body, Some(&sums), "veiled sums of this run are");
    // In the words of another.
    let theirs = Member::draw(*terms(&scene), task.number + 1, &mut scene.random).unwrap().keys().to_bytes();
    refused(&mut scene, Body::Word(theirs), None, "the words of member");
    // It is waited for no longer, and the six others are enough.
    scene.finish(&[(2, At::Terms)].into());
    assert_eq!(scene.total(), plain((0..DEVICES).filter(|n| *n != 2)));
}

fn terms(scene: &Scene) -> &'static sprig_masking::Terms {
    let Told::Terms(terms) = Told::from_bytes(&scene.tasks[&id(2)].word).unwrap() else {
        panic!("the first stage is past");
    };
    Box::leak(Box::new(terms))
}

/// A device whose sums no examples can have spoils the total, and is not found out; but nothing is learnt of it either.
#[test]
fn a_total_that_cannot_be_is_dropped_and_told_of() {
    let mut scene = Scene::new(Options { attempts: 1, ..settings(3) });
    let mut wrong = true;
    while let Some((device, task)) = scene.tasks.pop_first() {
        let told = Told::from_bytes(&task.word).unwrap();
        let said = match told {
            Told::Delivery(delivery) if std::mem::take(&mut wrong) => {
                let mut numbers = numbers(number(&device));
                numbers[0] += 1;
                Said::Veiled(scene.members.get_mut(&device).unwrap().veil(&delivery, &numbers).unwrap())
            }
            told => scene.say(&device, &task, told),
        };
        scene.send(&device, &task, said);
    }
    let row = scene.core.ledger.row(RoundId::FIRST).unwrap().unwrap();
    assert_eq!((row.state.as_str(), row.reported), ("abandoned", 0));
    assert_eq!(scene.total(), plain([]));
    let told: Vec<String> = scene.notices.iter().map(ToString::to_string).collect();
    assert!(
        told.iter().any(|text| text.contains("one of its devices sent none: sums of 16 examples")),
        "{told:#?}"
    );
}
