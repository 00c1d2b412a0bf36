//! What a finished run leaves with the broker, and what becomes of it.

use super::served::{coordinator, coordinator_of, run, settings, swarm};
use super::world::RUN;
use crate::*;
use sprig_learn::spry::Layout;
use sprig_transport::blob::Assembler;
use sprig_transport::link::{Event, Link};
use sprig_transport::memory::{self, Hub};
use sprig_transport::messages::{BlobKind, Digest, Phase, Round, RoundResult, RunId, Snapshot};
use sprig_transport::topics::{Topic, Topics};
use std::time::Duration;

/// A piece of a blob: whose, which, and its bytes.
type Piece = (Digest, u32, Vec<u8>);

/// What the broker keeps: the announcement and all pieces of blobs.
fn kept(hub: &Hub) -> (Option<Round>, Vec<Piece>) {
    let topics = Topics::new("test").unwrap();
    let mut link = hub.link("late", None);
    link.subscribe(&topics.round()).unwrap();
    link.subscribe(&topics.all_chunks()).unwrap();
    let (mut round, mut pieces) = (None, Vec::new());
    while let Some(event) = link.next(Duration::from_millis(100)).unwrap() {
        let Event::Message { topic, payload } = event else { continue };
        match topics.parse(&topic) {
            Some(Topic::Round) => round = Some(Round::decode(&payload).unwrap()),
            Some(Topic::Blob { digest, chunk }) => pieces.push((digest, chunk, payload)),
            _ => {}
        }
    }
    (round, pieces)
}

#[test]
fn whoever_comes_late_finds_the_last_adapter_with_the_broker() {
    let (dir, hub) = (tempfile::tempdir().unwrap(), memory::broker());
    let (mut first, told) = coordinator(settings(2, 3, dir.path()), hub.link("coordinator", None));
    run(&mut first, &mut swarm(&hub, 2));
    let history = first.view().unwrap().history;
    first.close().unwrap();
    assert!(told.lock().unwrap().iter().any(|n| matches!(n, Notice::Kept { .. })));
    let (round, pieces) = kept(&hub);
    let round = round.unwrap();
    assert_eq!((round.phase, round.round), (Phase::Finished, 3));
    let Some(RoundResult::Blob { digest, bytes, kind: BlobKind::Snapshot }) = round.result else {
        panic!("{round:?}");
    };
    let mut parts = Assembler::new(digest, bytes, MOST_LEFT).unwrap();
    pieces.iter().for_each(|(of, n, piece)| {
        assert_eq!(*of, digest);
        parts.take(*n, piece).unwrap();
    });
    let snapshot = Snapshot::decode(&parts.finish().unwrap()).unwrap();
    assert_eq!((snapshot.round, snapshot.after), (3, round.base));
    assert_eq!(snapshot.after.to_string(), history[2].adapter_digest);
    // Started again it leaves the same; asked for more rounds it takes it back, and leaves another in the end.
    let (mut again, _) = coordinator(settings(2, 3, dir.path()), hub.link("coordinator", None));
    run(&mut again, &mut swarm(&hub, 2));
    again.close().unwrap();
    assert_eq!(kept(&hub).1, pieces);
    let (mut longer, _) = coordinator(settings(2, 5, dir.path()), hub.link("coordinator", None));
    for _ in 0..20 {
        longer.turn(Duration::from_millis(2)).unwrap();
    }
    let (round, between) = kept(&hub);
    assert!(round.unwrap().phase != Phase::Finished && between.is_empty());
    run(&mut longer, &mut swarm(&hub, 2));
    assert_eq!(longer.view().unwrap().history.len(), 5);
    longer.close().unwrap();
    let (_, last) = kept(&hub);
    assert!(!last.is_empty() && last.iter().all(|(of, ..)| *of != digest));
    // Fewer than there were are refused.
    let fewer = Coordinator::open(
        settings(2, 4, dir.path()),
        super::world::layout(),
        vec![0.5; super::world::GROUPS * super::world::WEIGHTS],
        hub.link("coordinator", None),
        None,
        Box::new(|_| ()),
    );
    let refused = fewer.err().unwrap().to_string();
    assert!(refused.contains("5 rounds are done") && refused.contains("more than 5"), "{refused}");
    // Another run takes what this one left.
    let other = tempfile::tempdir().unwrap();
    let mut options = settings(2, 2, other.path());
    options.run = RunId([RUN.0[0] + 1; 16]);
    let (mut next, _) = coordinator(options, hub.link("coordinator", None));
    for _ in 0..20 {
        next.turn(Duration::from_millis(2)).unwrap();
    }
    assert!(kept(&hub).1.is_empty());
}

/// What is too large for a broker's memory is not left there, and the operator is told.
#[test]
fn a_large_adapter_is_not_left() {
    let (dir, hub) = (tempfile::tempdir().unwrap(), memory::broker());
    let layout = Layout::synthetic(super::world::GROUPS, MOST_LEFT as usize / 4 / super::world::GROUPS + 1);
    let (mut coordinator, told) =
        coordinator_of(layout, settings(2, 1, dir.path()), hub.link("coordinator", None));
    run(&mut coordinator, &mut swarm(&hub, 2));
    coordinator.close().unwrap();
    let told = told.lock().unwrap();
    let said: Vec<_> = told.iter().filter(|n| matches!(n, Notice::NotKept { .. })).collect();
    assert!(said.len() == 1 && said[0].to_string().contains("linger_seconds"), "{said:?}");
    assert!(kept(&hub).1.is_empty());
}

/// A broker that forgets while the coordinator is still there is given it again.
#[test]
fn a_broker_that_forgot_is_given_the_adapter_again() {
    let (dir, hub) = (tempfile::tempdir().unwrap(), memory::broker());
    let (mut coordinator, _) = coordinator(settings(2, 1, dir.path()), hub.link("coordinator", None));
    run(&mut coordinator, &mut swarm(&hub, 2));
    let before = kept(&hub).1;
    hub.stop();
    hub.forget();
    hub.start();
    for _ in 0..20 {
        coordinator.turn(Duration::from_millis(5)).unwrap();
    }
    assert_eq!(kept(&hub).1, before);
}
