//! Sums of a read-out: what cannot be is refused with its reason and counted, and what is right is taken once.

use super::world::{RUN, options};
use crate::core::Core;
use crate::decision::Outward;
use crate::event::Event;
use crate::incoming;
use crate::ledger::Ledger;
use crate::*;
use sprig_learn::readout::fleet::{FleetSums, Shape};
use sprig_learn::spry::{Dealing, Layout, Robust};
use sprig_simulate as simulate;
use sprig_testkit::power::Disk;
use sprig_transport::blob;
use sprig_transport::messages::{Body, DeviceId, Digest, Reason, Receipt, Task, Update, Verdict};
use sprig_transport::topics::{Topic, Topics};
use std::collections::BTreeMap;
use std::sync::Arc;

const SHAPE: Shape = Shape { inputs: 9, kept: 3, classes: 2 };

struct Scene {
    core: Core,
    topics: Topics,
    tasks: BTreeMap<DeviceId, Task>,
    receipts: Vec<Receipt>,
}

impl Scene {
    fn new(disk: &Disk, options: &Arc<Options>) -> Self {
        let ledger = Ledger::with_backend(disk.plug(), RUN, &options.settings).unwrap();
        let (layout, start) = (Layout::synthetic(1, SHAPE.values()), vec![0.0; SHAPE.values()]);
        let core = Core::open(ledger, options, layout, start).unwrap();
        let topics = Topics::new("test").unwrap();
        let mut scene = Scene { core, topics, tasks: BTreeMap::new(), receipts: Vec::new() };
        let presence = |n| Event::Presence { device: id(n), presence: simulate::presence(1) };
        scene.take(std::iter::once(Event::Connected).chain((0..options.per_round).map(presence)).collect());
        scene
    }

    fn take(&mut self, events: Vec<Event>) {
        let Scene { core, topics, tasks, receipts } = self;
        core.take(events, 0, &mut |_, outward| {
            let Outward::Publish { topic, payload, .. } = outward else { return Ok(()) };
            match topics.parse(&topic) {
                Some(Topic::Task(id)) => drop(tasks.insert(id, Task::decode(&payload).unwrap())),
                Some(Topic::Receipt(_)) => receipts.push(Receipt::decode(&payload).unwrap()),
                _ => {}
            }
            Ok(())
        })
        .unwrap();
    }

    /// Sends `body` of so many examples as device `n`, with the pieces of `sums`; the last receipt.
    fn send(&mut self, n: u32, examples: u32, body: Body, sums: &[u8]) -> Option<Receipt> {
        let task = self.tasks[&id(n)].clone();
        let Task { round, number, groups, base, .. } = task;
        let update =
            Update { run: RUN, round, number, groups, base, examples, loss: 0.0, bins: Vec::new(), body };
        let mut messages = vec![(self.topics.update(&id(n)), update.encode())];
        for (at, chunk) in blob::chunks(sums).enumerate() {
            messages.push((self.topics.up(&id(n), &Digest::of(sums), at as u32), chunk));
        }
        for (topic, bytes) in messages {
            self.take(incoming::event(&self.topics, &topic, bytes).into_iter().collect());
        }
        self.receipts.pop()
    }

    fn sums(&mut self, n: u32, examples: u32, sums: &[u8]) -> Option<Receipt> {
        let body = Body::Dense { digest: Digest::of(sums), bytes: sums.len() as u32 };
        self.send(n, examples, body, sums)
    }
}

fn id(n: u32) -> DeviceId {
    DeviceId::parse(&format!("dev-{n}")).unwrap()
}

fn settings() -> Arc<Options> {
    let mut options = options(2, 1);
    options.readout = Some(ReadOut { shape: SHAPE, min_examples: 3 });
    options.dealing = Dealing::Unsplit;
    Arc::new(options)
}

/// Sums of `n` examples of class `n` mod 2, all φ = (1, 2, 0), with one number changed.
fn sums(n: i64, change: Option<(usize, i64)>) -> Vec<u8> {
    let (mut counts, mut classes) = ([0; 2], [0; 6]);
    let class = n as usize % 2;
    counts[class] = n;
    classes[3 * class..][..3].copy_from_slice(&[n, 2 * n, 0]);
    let mut numbers: Vec<i64> = counts.into_iter().chain([5 * n]).chain(classes).collect();
    numbers.extend([n, 2 * n, 4 * n, 0, 0, 0]);
    if let Some((at, to)) = change {
        numbers[at] = to;
    }
    FleetSums::pack(&numbers)
}

#[test]
fn sums_that_cannot_be_are_refused_and_counted() {
    let (disk, options) = (Disk::default(), settings());
    let mut scene = Scene::new(&disk, &options);
    let mut refused = 0;
    let mut expect = |scene: &mut Scene, receipt: Option<Receipt>, reason, words: &str| {
        let receipt = receipt.unwrap();
        assert_eq!(receipt.verdict, Verdict::Refused(reason), "{receipt:?}");
        assert!(receipt.text.contains(words), "{receipt:?}");
        refused += 1;
        assert_eq!(scene.core.machine.round().refused(), refused);
        assert_eq!(scene.core.machine.round().reported(), 0);
    };
    for (examples, change, reason, words) in [
        (2, None, Reason::Examples, "2 examples; sums are taken of 3 and more"),
        (7, Some((0, 4)), Reason::Examples, "sums of 11 examples; the message says 7"),
        (7, Some((9, -1)), Reason::Norm, "a sum of squares of -1"),
        (7, Some((11, 1 << 40)), Reason::Norm, "a sum of squares"),
        (7, Some((10, 16)), Reason::Norm, "a sum of products of 16"),
        (7, Some((6, -9)), Reason::Norm, "a sum of a class of -9"),
        (7, Some((2, -1)), Reason::Norm, "a size of the stream of -1"),
    ] {
        let bytes = sums(i64::from(examples), change);
        let receipt = scene.sums(0, examples, &bytes);
        expect(&mut scene, receipt, reason, words);
    }
    let good = sums(7, None);
    let receipt = scene.sums(0, 7, &good[..good.len() - 1]);
    expect(&mut scene, receipt, Reason::Blob, "not the sums that this run takes");
    // Of one device and round, the first eight are answered; whatever comes is counted.
    let receipt = scene.send(1, 7, Body::Scalars(vec![1.0]), &[]);
    expect(&mut scene, receipt, Reason::ScalarCount, "this run takes sums");
    let large = vec![1; 4096];
    let receipt = scene.sums(1, 7, &large);
    expect(&mut scene, receipt, Reason::Blob, "4096 bytes of sums");
    // And what is right is taken after all, once.
    assert_eq!(scene.sums(0, 7, &good).unwrap().verdict, Verdict::Accepted);
    assert_eq!(scene.sums(0, 7, &good).unwrap().verdict, Verdict::Duplicate);
}

#[test]
fn the_total_is_that_of_all_in_any_order_and_survives_a_restart() {
    let total = |order: [(u32, i64); 2]| {
        let (disk, options) = (Disk::default(), settings());
        let mut scene = Scene::new(&disk, &options);
        for (at, (device, n)) in order.into_iter().enumerate() {
            if at == 1 {
                disk.cut();
                drop(scene);
                scene = Scene::new(&disk, &options);
            }
            assert_eq!(scene.sums(device, n as u32, &sums(n, None)).unwrap().verdict, Verdict::Accepted);
        }
        let snapshot = scene.core.closer.snapshot();
        assert_eq!((snapshot.round, snapshot.moments.len()), (1, 0));
        let row = scene.core.ledger.row(RoundId::FIRST).unwrap().unwrap();
        assert_eq!((row.reported, row.mode), (2, "readout".to_owned()));
        snapshot.values
    };
    let first = total([(0, 7), (1, 4)]);
    let found = FleetSums::from_values(SHAPE, &first).unwrap();
    assert_eq!((found.examples(), found.counts()), (11, &[4, 7][..]));
    assert_eq!(first, total([(1, 4), (0, 7)]));
    assert_eq!(first, total([(0, 4), (1, 7)]));
}

/// A device says that it has a hundred times as many examples as the others: they count as three times as many.
#[test]
fn nobody_has_more_of_a_total_than_three_medians() {
    for (robust, examples) in [(Robust::Clip, 4 * 4 + 5 + 12), (Robust::Median, 33), (Robust::None, 721)] {
        let disk = Disk::default();
        let readout = Some(ReadOut { shape: SHAPE, min_examples: 3 });
        let options = Options { robust, readout, dealing: Dealing::Unsplit, ..options(6, 1) };
        let mut scene = Scene::new(&disk, &Arc::new(options));
        for (device, n) in [(0, 4), (1, 700), (2, 4), (3, 4), (4, 5), (5, 4)] {
            assert_eq!(scene.sums(device, n as u32, &sums(n, None)).unwrap().verdict, Verdict::Accepted);
        }
        let values = scene.core.closer.snapshot().values;
        assert_eq!(FleetSums::from_values(SHAPE, &values).unwrap().examples(), examples, "{robust}");
        assert_eq!(scene.core.ledger.row(RoundId::FIRST).unwrap().unwrap().reported, 6);
    }
}
