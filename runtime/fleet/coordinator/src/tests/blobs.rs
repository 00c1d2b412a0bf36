//! Devices that missed rounds are brought up to date.

use super::served::{coordinator_of, run, settings, swarm};
use super::world::RUN;
use crate::*;
use sprig_learn::spry::{self, Layout, Server, Share};
use sprig_protocol::settings::Downlink;
use sprig_simulate as simulate;
use sprig_transport::blob::Assembler;
use sprig_transport::link::{Event, Link};
use sprig_transport::memory::{self, Hub, HubLink};
use sprig_transport::messages::{
    BlobKind, DeviceId, Digest, Offer, Record, Round, RoundResult, Snapshot, Want, split_records,
};
use sprig_transport::topics::{Topic, Topics};
use std::time::Duration;

/// A device that only catches up.
struct Late {
    link: HubLink,
    topics: Topics,
    id: DeviceId,
    offers: Vec<Offer>,
    blob: Option<(Digest, Assembler)>,
    chunks: u32,
    round: Option<Round>,
    /// Chunks it does not get.
    deaf: Vec<u32>,
}

impl Late {
    fn new(hub: &Hub, name: &str) -> Self {
        let (topics, id) = (Topics::new("test").unwrap(), DeviceId::parse(name).unwrap());
        let mut link = hub.link(name, None);
        for filter in [topics.round(), topics.offer(&id), topics.all_chunks()] {
            link.subscribe(&filter).unwrap();
        }
        // It is known but holds no examples: it is not selected.
        let presence = sprig_transport::messages::Presence { examples: 0, ..simulate::presence(1) };
        link.publish(&topics.presence(&id), presence.encode(), true).unwrap();
        Late { link, topics, id, offers: vec![], blob: None, chunks: 0, round: None, deaf: vec![] }
    }

    fn want(&mut self, round: u32, base: Digest, resume: Option<(Digest, u32)>) {
        let want = Want { run: RUN, round, base, resume };
        self.link.publish(&self.topics.want(&self.id), want.encode(), false).unwrap();
    }

    fn hear(&mut self) {
        while let Some(event) = self.link.next(Duration::ZERO).unwrap() {
            let Event::Message { topic, payload } = event else { continue };
            match self.topics.parse(&topic) {
                Some(Topic::Round) => self.round = Some(Round::decode(&payload).unwrap()),
                Some(Topic::Offer(_)) => {
                    let offer = Offer::decode(&payload).unwrap();
                    if offer.blob.is_none() {
                        self.expect(offer.digest, offer.bytes);
                    }
                    self.offers.push(offer);
                }
                Some(Topic::Blob { digest, chunk }) => {
                    self.chunks += 1;
                    let Some((wanted, blob)) = &mut self.blob else { continue };
                    if *wanted == digest && !self.deaf.contains(&chunk) {
                        blob.take(chunk, &payload).unwrap();
                    }
                }
                _ => {}
            }
        }
    }

    fn expect(&mut self, digest: Digest, bytes: u32) {
        self.blob = Some((digest, Assembler::new(digest, bytes, 2 << 20).unwrap()));
    }

    fn first_missing(&self) -> u32 {
        self.blob.as_ref().unwrap().1.first_missing()
    }

    fn is_complete(&self) -> bool {
        self.blob.as_ref().is_some_and(|(_, blob)| blob.is_complete())
    }

    fn blob(&mut self) -> Vec<u8> {
        self.blob.take().unwrap().1.finish().unwrap()
    }
}

fn turns<L: Link>(coordinator: &mut Coordinator<L>, late: &mut [&mut Late], turns: u32) {
    for _ in 0..turns {
        coordinator.turn(Duration::from_millis(1)).unwrap();
        late.iter_mut().for_each(|l| l.hear());
    }
}

fn initial(layout: &Layout) -> Server {
    Server::new(layout.clone(), simulate::rules(2), vec![0.5; layout.len()]).unwrap()
}

fn replay(server: &mut Server, record: &Record) {
    let mut step = server.begin(record.round);
    for c in &record.contributions {
        let share = Share { first: c.groups.first, step: c.groups.step, count: c.groups.count };
        step.add(c.number, share, c.examples, spry::Body::Scalars(&c.scalars)).unwrap();
    }
    step.finish();
    assert_eq!(server.digest(), record.after.0, "round {}", record.round);
}

/// Few rounds: their records. A device that replays them has the coordinator's adapter, bit for bit.
#[test]
fn missed_rounds_are_replayed() {
    let (dir, hub) = (tempfile::tempdir().unwrap(), memory::broker());
    let layout = Layout::synthetic(6, 100);
    let (mut coordinator, _) =
        coordinator_of(layout.clone(), settings(3, 4, dir.path()), hub.link("c", None));
    run(&mut coordinator, &mut swarm(&hub, 3));
    let mut late = Late::new(&hub, "late");
    let mut server = initial(&layout);
    late.want(0, Digest(server.digest()), None);
    turns(&mut coordinator, &mut [&mut late], 10);
    let offer = late.offers.pop().expect("an offer");
    assert_eq!((offer.kind, offer.from, offer.to), (BlobKind::Records, 0, 4));
    let blob = late.blob();
    for record in split_records(&blob) {
        replay(&mut server, &Record::decode(record.unwrap()).unwrap());
    }
    assert_eq!(Digest(server.digest()), late.round.unwrap().base);
}

/// Who is new, was on another adapter or is ahead gets the adapter; who has it gets nothing.
#[test]
fn whoever_cannot_replay_gets_the_adapter() {
    let (dir, hub) = (tempfile::tempdir().unwrap(), memory::broker());
    let layout = Layout::synthetic(6, 100);
    let (mut coordinator, _) =
        coordinator_of(layout.clone(), settings(3, 4, dir.path()), hub.link("c", None));
    run(&mut coordinator, &mut swarm(&hub, 3));
    let base = Digest(initial(&layout).digest());
    for (n, (round, base)) in
        [(u32::MAX, base), (0, Digest([1; 32])), (7, base), (4, base)].into_iter().enumerate()
    {
        let mut late = Late::new(&hub, &format!("late-{n}"));
        late.want(round, base, None);
        turns(&mut coordinator, &mut [&mut late], 10);
        let offer = late.offers.pop().expect("an offer");
        assert_eq!((offer.kind, offer.to), (BlobKind::Snapshot, 4), "round {round}");
        let snapshot = Snapshot::decode(&late.blob()).unwrap();
        let round = late.round.as_ref().unwrap();
        assert_eq!((snapshot.round, snapshot.after), (round.round, round.base));
        let mut server = initial(&layout);
        server.restore(snapshot.values, snapshot.moments).unwrap();
        assert_eq!(server.digest(), snapshot.after.0);
        // Now it has everything.
        let mut again = Late::new(&hub, &format!("again-{n}"));
        again.want(4, snapshot.after, None);
        turns(&mut coordinator, &mut [&mut again], 10);
        assert!(again.offers.is_empty());
    }
}

/// Two devices share one sending; a third that missed chunks gets the rest of it.
#[test]
fn a_blob_of_many_chunks_is_shared_and_resumed() {
    let (dir, hub) = (tempfile::tempdir().unwrap(), memory::broker());
    // 1.15 MB with moments: 71 chunks, several turns of the carousel, and too large to be left with the broker.
    let layout = Layout::synthetic(6, 16_000);
    let mut options = settings(3, 2, dir.path());
    options.sync = Downlink::Weights;
    let (mut coordinator, _) = coordinator_of(layout.clone(), options, hub.link("c", None));
    run(&mut coordinator, &mut swarm(&hub, 3));
    let names = ["one", "two", "three"];
    let [mut one, mut two, mut three] = names.map(|name| Late::new(&hub, name));
    turns(&mut coordinator, &mut [&mut one, &mut two, &mut three], 3);
    // The announcement says what to fetch.
    let Some(RoundResult::Blob { digest, bytes, kind: BlobKind::Snapshot }) =
        one.round.clone().unwrap().result
    else {
        panic!("{:?}", one.round)
    };
    let total = bytes.div_ceil(16 << 10);
    assert_eq!(total, 71);
    one.expect(digest, bytes);
    two.expect(digest, bytes);
    one.want(1, Digest([0; 32]), Some((digest, 0)));
    turns(&mut coordinator, &mut [&mut one, &mut two], 1);
    assert!((1..total).contains(&one.chunks), "{}", one.chunks);
    two.want(u32::MAX, Digest([0; 32]), None);
    three.deaf = vec![20, 21, 52];
    three.expect(digest, bytes);
    turns(&mut coordinator, &mut [&mut one, &mut two, &mut three], 30);
    assert!(one.is_complete() && two.is_complete(), "{} {}", one.first_missing(), two.first_missing());
    // One sending, and what had passed by when the second asked.
    assert!((total..2 * total).contains(&one.chunks), "{} chunks", one.chunks);
    assert_eq!(three.first_missing(), 20);
    (three.chunks, three.deaf) = (0, vec![]);
    three.want(1, Digest([0; 32]), Some((digest, 20)));
    turns(&mut coordinator, &mut [&mut three], 30);
    assert!(three.is_complete());
    assert_eq!(three.chunks, total - 20);
    for late in [&mut one, &mut two, &mut three] {
        let snapshot = Snapshot::decode(&late.blob()).unwrap();
        assert_eq!(snapshot.after, late.round.as_ref().unwrap().base);
    }
}

/// A record too large for the announcement, but smaller than the adapter, is a blob of its own.
#[test]
fn a_large_record_is_fetched_by_the_digest_announced() {
    let (dir, hub) = (tempfile::tempdir().unwrap(), memory::broker());
    // An adapter too large to be left with the broker, whose announcement would be of that.
    let layout = Layout::synthetic(6, 16_000);
    let mut options = settings(3, 1, dir.path());
    options.rules = simulate::rules(3000);
    let (rules, link) = (options.rules, hub.link("c", None));
    let (mut coordinator, _) = coordinator_of(layout.clone(), options, link);
    let swarm = hub.link("swarm", None);
    let kind = simulate::Kind { reports: false, ..simulate::Kind::new(rules, Duration::from_millis(50)) };
    let mut swarm = simulate::Swarm::new(swarm, "test", 0..3, kind).unwrap();
    run(&mut coordinator, &mut swarm);
    let mut late = Late::new(&hub, "late");
    turns(&mut coordinator, &mut [&mut late], 3);
    let Some(RoundResult::Blob { digest, bytes, kind: BlobKind::Record }) =
        late.round.clone().unwrap().result
    else {
        panic!("{:?}", late.round)
    };
    late.expect(digest, bytes);
    late.want(0, Digest([0; 32]), Some((digest, 0)));
    turns(&mut coordinator, &mut [&mut late], 10);
    let record = Record::decode(&late.blob()).unwrap();
    assert_eq!(record.contributions.len(), 3);
    let mut server = Server::new(layout.clone(), rules, vec![0.5; layout.len()]).unwrap();
    assert_eq!(record.base.0, server.digest());
    replay(&mut server, &record);
}

/// Where devices act on their tasks alone, each is brought what is small, and only that.
#[test]
fn a_small_blob_comes_with_its_offer_to_devices_that_act_on_tasks() {
    for (weights, brought) in [(100, true), (16_000, false)] {
        let (dir, hub) = (tempfile::tempdir().unwrap(), memory::broker());
        let layout = Layout::synthetic(6, weights);
        let mut options = settings(3, 2, dir.path());
        options.by_task = true;
        let (mut coordinator, _) = coordinator_of(layout.clone(), options, hub.link("c", None));
        run(&mut coordinator, &mut swarm(&hub, 3));
        let [mut one, mut two] = ["one", "two"].map(|name| Late::new(&hub, name));
        turns(&mut coordinator, &mut [&mut one, &mut two], 3);
        let chunks = one.chunks;
        for late in [&mut one, &mut two] {
            late.want(u32::MAX, Digest([0; 32]), None);
        }
        turns(&mut coordinator, &mut [&mut one, &mut two], 30);
        for late in [&mut one, &mut two] {
            let offer = late.offers.pop().expect("an offer");
            assert_eq!((offer.kind, offer.blob.is_some()), (BlobKind::Snapshot, brought), "{weights}");
            let blob = offer.blob.unwrap_or_else(|| late.blob());
            assert_eq!((blob.len() as u32, Digest::of(&blob)), (offer.bytes, offer.digest));
            assert_eq!(Snapshot::decode(&blob).unwrap().after, late.round.as_ref().unwrap().base);
            assert!(late.offers.is_empty() && brought == (late.chunks == chunks), "{weights}");
        }
    }
}
