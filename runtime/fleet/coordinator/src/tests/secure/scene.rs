//! A coordinator whose rounds' sums are aggregated securely, and members of the real protocol.

use crate::core::Core;
use crate::countdown::Millis;
use crate::decision::Outward;
use crate::event::Event;
use crate::incoming;
use crate::ledger::Ledger;
use crate::tests::world::{GROUPS, RUN, WEIGHTS, layout, options};
use crate::*;
use sprig_ground::random::SplitMix64;
use sprig_learn::readout::fleet::{FleetSums, Shape};
use sprig_learn::spry::{Dealing, Layout};
use sprig_masking::{Member, Said, Told};
use sprig_simulate as simulate;
use sprig_testkit::power::Disk;
use sprig_transport::blob;
use sprig_transport::messages::{Body, DeviceId, Digest, Receipt, Task, Update};
use sprig_transport::topics::{Topic, Topics};
use std::collections::BTreeMap;
use std::io::Read;
use std::sync::Arc;

pub(super) const SHAPE: Shape = Shape { inputs: 9, kept: 3, classes: 2 };
/// Devices of a round.
pub(super) const DEVICES: u32 = 7;

/// The stages, by what a device is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum At {
    Terms,
    Roster,
    Delivery,
    Question,
}

pub(super) const STAGES: [At; 4] = [At::Terms, At::Roster, At::Delivery, At::Question];

pub(super) struct Seeded(SplitMix64);

impl Read for Seeded {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        out.iter_mut().for_each(|byte| *byte = self.0.draw() as u8);
        Ok(out.len())
    }
}

pub(super) struct Scene {
    disk: Disk,
    options: Arc<Options>,
    pub(super) core: Core,
    topics: Topics,
    pub(super) now: Millis,
    deeds: Deeds,
    /// What the coordinator told other fleets, and had the broker keep.
    pub(super) kept: BTreeMap<String, Vec<u8>>,
    pub(super) tasks: BTreeMap<DeviceId, Task>,
    pub(super) receipts: BTreeMap<DeviceId, Receipt>,
    pub(super) members: BTreeMap<DeviceId, Member>,
    pub(super) notices: Vec<Notice>,
    /// All bytes that the coordinator got of devices.
    pub(super) heard: Vec<Vec<u8>>,
    pub(super) random: Seeded,
}

/// Which devices there are, and what they found.
#[derive(Clone, Copy)]
pub(super) struct Deeds {
    pub first: u32,
    pub examples: fn(u32) -> u32,
    pub numbers: fn(u32) -> Vec<i64>,
}

impl Scene {
    pub(super) fn new(options: Options) -> Self {
        Self::of(options, Deeds { first: 0, examples, numbers })
    }

    pub(super) fn of(options: Options, deeds: Deeds) -> Self {
        let (disk, options) = (Disk::default(), Arc::new(options));
        let core = open(&disk, &options);
        let mut scene = Scene {
            disk,
            core,
            topics: Topics::new(&options.fleet).unwrap(),
            options,
            now: 0,
            deeds,
            kept: BTreeMap::new(),
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
    pub(super) fn arrive(&mut self) {
        let presence = |n| Event::Presence { device: id(n), presence: simulate::presence(1) };
        let first = self.deeds.first;
        let devices = (first..first + self.options.per_round).map(presence);
        self.take(std::iter::once(Event::Connected).chain(devices).collect());
    }

    /// The coordinator lost its power, and is back.
    pub(super) fn restart(&mut self) {
        self.disk.cut();
        self.core = open(&self.disk, &self.options);
        let now = self.now;
        self.now = 0;
        let Scene { core, .. } = self;
        core.start(0, &mut |_, _| Ok(())).unwrap();
        self.arrive();
        self.now = now;
    }

    pub(super) fn take(&mut self, events: Vec<Event>) {
        let Scene { core, topics, tasks, receipts, notices, now, kept, .. } = self;
        core.take(events, *now, &mut |_, outward| {
            match outward {
                Outward::Publish { topic, payload, .. } => match topics.parse(&topic) {
                    Some(Topic::Task(id)) => drop(tasks.insert(id, Task::decode(&payload).unwrap())),
                    Some(Topic::Receipt(id)) => drop(receipts.insert(id, Receipt::decode(&payload).unwrap())),
                    Some(Topic::Round | Topic::Total) => drop(kept.insert(topic, payload)),
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
    pub(super) fn run(&mut self, lost: &BTreeMap<u32, At>) {
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

    pub(super) fn say(&mut self, device: &DeviceId, task: &Task, told: Told) -> Said {
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
                Said::Veiled(member.veil(&delivery, &(self.deeds.numbers)(number(device))).unwrap())
            }
            Told::Question(question) => Said::Answer(member.answer(&question).unwrap()),
        }
    }

    pub(super) fn send(&mut self, device: &DeviceId, task: &Task, said: Said) {
        let bytes = said.to_bytes();
        let (body, blob) = match said {
            Said::Veiled(_) => {
                (Body::Dense { digest: Digest::of(&bytes), bytes: bytes.len() as u32 }, Some(bytes))
            }
            _ => (Body::Word(bytes), None),
        };
        self.update(device, task, body, blob.as_deref());
    }

    pub(super) fn update(&mut self, device: &DeviceId, task: &Task, body: Body, blob: Option<&[u8]>) {
        let &Task { round, number, groups, base, .. } = task;
        let examples = (self.deeds.examples)(self::number(device));
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
    pub(super) fn wait(&mut self, millis: Millis) {
        self.now += millis;
        self.take(vec![Event::Tick]);
    }

    /// Runs until a round is over, patient with those who are lost.
    pub(super) fn finish(&mut self, lost: &BTreeMap<u32, At>) {
        for _ in 0..40 {
            self.run(lost);
            if self.core.machine.round().id() > RoundId::FIRST {
                return;
            }
            self.wait(10_000);
        }
        panic!("round 0 is not over: {:?}", self.notices);
    }

    pub(super) fn total(&self) -> FleetSums {
        FleetSums::from_values(SHAPE, &self.core.closer.snapshot().values).unwrap()
    }
}

pub(super) fn open(disk: &Disk, options: &Arc<Options>) -> Core {
    let ledger = Ledger::with_backend(disk.plug(), RUN, &options.settings).unwrap();
    let (layout, start) = match options.readout {
        Some(_) => (Layout::synthetic(1, SHAPE.values()), vec![0.0; SHAPE.values()]),
        None => (layout(), vec![0.5; GROUPS * WEIGHTS]),
    };
    Core::open(ledger, options, layout, start).unwrap()
}

pub(super) fn settings(devices: u32) -> Options {
    let mut options = options(devices, 1);
    options.readout = Some(ReadOut { shape: SHAPE, min_examples: 3 });
    options.secure = true;
    options.dealing = Dealing::Unsplit;
    (options.attempts, options.resend) = (3, std::time::Duration::from_secs(5));
    options.deadline = std::time::Duration::from_secs(60);
    options
}

pub(super) fn id(n: u32) -> DeviceId {
    DeviceId::parse(&format!("dev-{n}")).unwrap()
}

pub(super) fn number(device: &DeviceId) -> u32 {
    device.to_string()[4..].parse().unwrap()
}

pub(super) fn stage(told: &Told) -> At {
    match told {
        Told::Terms(_) => At::Terms,
        Told::Roster(_) => At::Roster,
        Told::Delivery(_) => At::Delivery,
        Told::Question(_) => At::Question,
    }
}

pub(super) fn examples(device: u32) -> u32 {
    4 + device
}

/// Sums of a device's examples, all of one class.
pub(super) fn numbers(device: u32) -> Vec<i64> {
    let n = i64::from(examples(device));
    let (mut counts, mut classes) = ([0; 2], [0; 6]);
    let class = device as usize % 2;
    counts[class] = n;
    classes[3 * class..][..3].copy_from_slice(&[n, 2 * n, 0]);
    let numbers = counts.into_iter().chain([5 * n]).chain(classes);
    numbers.chain([n, 2 * n, 4 * n, 0, 0, 0]).collect()
}

/// Sums of these devices, added up as they are.
pub(super) fn plain(devices: impl IntoIterator<Item = u32>) -> FleetSums {
    let mut total = FleetSums::new(SHAPE);
    for device in devices {
        let own = FleetSums::from_numbers(SHAPE, &numbers(device), examples(device).into()).unwrap();
        total.merge(&own).unwrap();
    }
    total
}
