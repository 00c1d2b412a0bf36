//! Updates that are weights, or more scalars than a message holds: they come in pieces, and are taken when all of them are there.

use super::world::{GROUPS, RUN, WEIGHTS, core, layout, options};
use crate::core::Core;
use crate::decision::Outward;
use crate::event::Event;
use crate::incoming;
use crate::*;
use sprig_learn::spry::{self, Exchange, Rules, Server, Terms};
use sprig_protocol::settings::Upload;
use sprig_protocol::share_of;
use sprig_simulate as simulate;
use sprig_testkit::power::Disk;
use sprig_transport::blob;
use sprig_transport::messages::{Body, DeviceId, Digest, Reason, Receipt, Task, Update, Verdict};
use sprig_transport::topics::{Topic, Topics};
use std::collections::BTreeMap;
use std::sync::Arc;

struct Scene {
    core: Core,
    topics: Topics,
    tasks: BTreeMap<DeviceId, Task>,
    receipts: Vec<Receipt>,
}

impl Scene {
    fn new(disk: &Disk, options: &Arc<Options>) -> Self {
        let topics = Topics::new("test").unwrap();
        let mut scene =
            Scene { core: core(disk, options), topics, tasks: BTreeMap::new(), receipts: Vec::new() };
        let presence = |n| Event::Presence { device: id(n), presence: simulate::presence(1) };
        scene.take(vec![Event::Connected, presence(0), presence(1)]);
        assert!(!scene.tasks.is_empty());
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

    fn send(&mut self, topic: &str, bytes: Vec<u8>) {
        self.take(incoming::event(&self.topics, topic, bytes).into_iter().collect());
    }

    /// Announces `weights` as the update of device `n`.
    fn announce(&mut self, n: u32, weights: &[u8], digest: Digest) {
        self.announce_of(2, n, weights, digest);
    }

    fn announce_of(&mut self, examples: u32, n: u32, pieces: &[u8], digest: Digest) {
        let task = self.tasks[&id(n)].clone();
        let update = Update {
            run: RUN,
            round: task.round,
            number: task.number,
            groups: task.groups,
            base: task.base,
            examples,
            loss: 1.0,
            bins: Vec::new(),
            body: Body::Dense { digest, bytes: pieces.len() as u32 },
        };
        self.send(&self.topics.update(&id(n)), update.encode());
    }

    fn chunk(&mut self, n: u32, weights: &[u8], digest: Digest, chunk: usize) {
        let frame = blob::chunks(weights).nth(chunk).unwrap();
        self.send(&self.topics.up(&id(n), &digest, chunk as u32), frame);
    }
}

fn id(n: u32) -> DeviceId {
    DeviceId::parse(&format!("dev-{n}")).unwrap()
}

fn settings(up: Upload) -> Arc<Options> {
    let mut options = options(2, 1);
    options.up = up;
    let terms = Terms { exchange: Exchange::PerEpoch { steps: 1 }, ..*options.rules };
    options.rules = Rules::new(terms).unwrap();
    Arc::new(options)
}

fn weights(value: f32) -> Vec<u8> {
    std::iter::repeat_n(value.to_le_bytes(), GROUPS / 2 * WEIGHTS).flatten().collect()
}

#[test]
fn weights_are_taken_when_all_pieces_are_there_and_survive_a_restart() {
    let (disk, options) = (Disk::default(), settings(Upload::Weights));
    let mut scene = Scene::new(&disk, &options);
    let (first, second) = (weights(1.0), weights(0.25));
    let digests = [Digest::of(&first), Digest::of(&second)];
    // A piece before its announcement is nobody's.
    scene.chunk(0, &first, digests[0], 0);
    scene.announce(0, &first, digests[0]);
    assert!(scene.receipts.is_empty());
    scene.chunk(0, &first, digests[0], 0);
    assert_eq!(scene.receipts.pop().unwrap().verdict, Verdict::Accepted);
    scene.announce(0, &first, digests[0]);
    assert_eq!(scene.receipts.pop().unwrap().verdict, Verdict::Duplicate);
    // Announced only: lost in the cut, and announced again.
    scene.announce(1, &second, digests[1]);
    disk.cut();
    drop(scene);
    let mut scene = Scene::new(&disk, &options);
    scene.announce(1, &second, digests[1]);
    scene.chunk(1, &second, digests[1], 0);
    assert!(scene.receipts.iter().any(|r| r.verdict == Verdict::Accepted));
    // Both halves of the adapter moved towards what their holders sent.
    let values = scene.core.closer.snapshot().values;
    let up = values.iter().filter(|v| **v > 0.5).count();
    let down = values.iter().filter(|v| **v < 0.5).count();
    assert_eq!((up, down), (GROUPS / 2 * WEIGHTS, GROUPS / 2 * WEIGHTS));
    let row = &scene.core.ledger.row(RoundId::FIRST).unwrap().unwrap();
    assert_eq!((row.reported, row.refused), (2, 0));
    // A round of weights cannot be replayed: devices get the adapter.
    assert_eq!(scene.core.ledger.result(RoundId::FIRST).unwrap().unwrap().record, None);
}

/// Scalars in pieces survive a restart, are measured as scalars are, and lead to the bits that they would in a message; the
/// round is announced by its adapter.
#[test]
fn scalars_that_no_message_holds_come_in_pieces() {
    for exchange in [Exchange::PerIteration, Exchange::PerEpoch { steps: 1 }] {
        scalars_come_in_pieces(exchange);
    }
}

fn scalars_come_in_pieces(exchange: Exchange) {
    const BATCH: u32 = 16_500;
    let (disk, mut options) = (Disk::default(), options(2, 1));
    options.rules = Rules::new(Terms { exchange, ..*simulate::rules(BATCH as usize) }).unwrap();
    let options = Arc::new(options);
    let mut scene = Scene::new(&disk, &options);
    let mut server = Server::new(layout(), options.rules, scene.core.closer.snapshot().values).unwrap();
    let mut step = server.begin(RoundId::FIRST.0);
    let bytes = [0, 1].map(|n| {
        let Update { number, groups, body, .. } = simulate::answer(&scene.tasks[&id(n)], &options.rules);
        let Body::Scalars(scalars) = body else { panic!("scalars") };
        step.add(number, share_of(groups), BATCH, spry::Body::Scalars(&scalars)).unwrap();
        scalars.iter().flat_map(|s| s.to_le_bytes()).collect::<Vec<u8>>()
    });
    step.finish();
    let send = |scene: &mut Scene, n: u32, bytes: &[u8]| {
        let digest = Digest::of(bytes);
        scene.announce_of(BATCH, n, bytes, digest);
        let chunks = blob::chunk_count(bytes.len() as u32) as usize;
        (0..chunks).for_each(|chunk| scene.chunk(n, bytes, digest, chunk));
        scene.receipts.pop().unwrap().verdict
    };
    // What fits a message comes in one; pieces are of all the examples behind them.
    for (examples, length, words) in [(16_000, 64_000, "takes scalars"), (BATCH, 65_996, "make 66000")] {
        scene.announce_of(examples, 0, &bytes[0][..length], Digest([1; 32]));
        let Receipt { verdict, text, .. } = scene.receipts.pop().unwrap();
        assert!(verdict == Verdict::Refused(Reason::Blob) && text.contains(words), "{text}");
    }
    let huge: Vec<u8> = std::iter::repeat_n(1e7f32.to_le_bytes(), BATCH as usize).flatten().collect();
    assert_eq!(send(&mut scene, 0, &huge), Verdict::Refused(Reason::Norm));
    assert_eq!(send(&mut scene, 0, &bytes[0]), Verdict::Accepted);
    disk.cut();
    drop(scene);
    let mut scene = Scene::new(&disk, &options);
    assert_eq!(send(&mut scene, 1, &bytes[1]), Verdict::Accepted);
    assert_eq!(scene.core.closer.digest().0, server.digest());
    assert_eq!(scene.core.ledger.result(RoundId::FIRST).unwrap().unwrap().record, None);
}

#[test]
fn weights_that_are_not_what_was_announced_are_refused() {
    let (disk, options) = (Disk::default(), settings(Upload::Weights));
    let mut scene = Scene::new(&disk, &options);
    let good = weights(1.0);
    let mut expect = |bytes: &[u8], digest, reason| {
        scene.announce(0, bytes, digest);
        if scene.receipts.is_empty() {
            scene.chunk(0, bytes, digest, 0);
        }
        assert_eq!(scene.receipts.pop().unwrap().verdict, Verdict::Refused(reason));
        let mut left = 0;
        scene
            .core
            .ledger
            .chunks(DeviceNumber(1), |_| {
                left += 1;
                Ok(())
            })
            .unwrap();
        assert_eq!(left, 0, "pieces of a refused update stay");
    };
    expect(&good, Digest([3; 32]), Reason::Blob);
    expect(&good[4..], Digest::of(&good[4..]), Reason::Blob);
    let nan = weights(f32::NAN);
    expect(&nan, Digest::of(&nan), Reason::NotFinite);
    let huge = weights(1e9);
    expect(&huge, Digest::of(&huge), Reason::Norm);
    // And what is right is taken after all.
    let digest = Digest::of(&good);
    scene.announce(0, &good, digest);
    let mut damaged = blob::seal(&good);
    damaged[5] ^= 1;
    scene.send(&scene.topics.up(&id(0), &digest, 0), damaged);
    assert!(scene.receipts.is_empty());
    scene.chunk(0, &good, digest, 0);
    assert_eq!(scene.receipts.pop().unwrap().verdict, Verdict::Accepted);
}

/// Where each device sends whichever is fewer bytes, a round takes both, and neither is measured by the other's norms.
#[test]
fn a_round_takes_scalars_of_one_device_and_weights_of_another() {
    let (disk, options) = (Disk::default(), settings(Upload::Auto));
    let mut scene = Scene::new(&disk, &options);
    let small = weights(1e-4);
    let digest = Digest::of(&small);
    scene.announce(0, &small, digest);
    scene.chunk(0, &small, digest, 0);
    assert_eq!(scene.receipts.pop().unwrap().verdict, Verdict::Accepted);
    let scalars = simulate::answer(&scene.tasks[&id(1)], &options.rules);
    scene.send(&scene.topics.update(&id(1)), scalars.encode());
    assert!(scene.receipts.iter().any(|r| r.verdict == Verdict::Accepted));
    let row = &scene.core.ledger.row(RoundId::FIRST).unwrap().unwrap();
    assert_eq!((row.reported, row.refused), (2, 0));
    assert_eq!(scene.core.ledger.result(RoundId::FIRST).unwrap().unwrap().record, None);
    // Two examples of each device, behind the half of the groups that it had.
    let mut behind = vec![0; GROUPS];
    for row in scene.core.ledger.coverage().unwrap() {
        assert!(
            row.examples.iter().all(|n| [0, 2].contains(n))
                && row.examples.iter().sum::<u64>() == GROUPS as u64
        );
        row.examples.iter().enumerate().for_each(|(group, n)| behind[group] += n);
    }
    assert_eq!(behind, [2; GROUPS]);
}
