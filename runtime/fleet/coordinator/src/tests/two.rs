//! Two of what there should be one of: a ledger that was put back, a second coordinator.

use super::served::{coordinator, run, settings, swarm};
use super::world::{GROUPS, RUN, WEIGHTS, layout};
use crate::*;
use sprig_simulate::Swarm;
use sprig_transport::memory;
use sprig_transport::messages::RunId;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

/// A ledger that was copied after five rounds and is put back after nine goes on from the copy as another epoch, with devices
/// that have done those rounds once; a second coordinator on the same copy has the first stand down.
#[test]
fn a_ledger_that_was_put_back_goes_on_as_another_epoch() {
    let (dir, copy, hub) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), memory::broker());
    let rounds = 12;
    let open = |dir: &Path, name: &str| coordinator(settings(3, rounds, dir), hub.link(name, None)).0;
    let until = |coordinator: &mut Coordinator<_>, swarm: &mut Swarm<_>, round: u32| {
        let begun = Instant::now();
        while coordinator.view().unwrap().round < round {
            coordinator.turn(Duration::from_millis(2)).unwrap();
            swarm.turn(Duration::from_millis(2)).unwrap();
            assert!(begun.elapsed() < Duration::from_secs(60), "no progress");
        }
    };
    let mut devices = swarm(&hub, 3);
    let mut first = open(dir.path(), "coordinator");
    until(&mut first, &mut devices, 5);
    drop(first);
    std::fs::copy(dir.path().join("ledger.redb"), copy.path().join("ledger.redb")).unwrap();
    let mut on = open(dir.path(), "coordinator");
    until(&mut on, &mut devices, 9);
    let far = on.view().unwrap();

    // Put to work elsewhere: it sees that the fleet has gone further.
    let mut behind = open(copy.path(), "elsewhere");
    let stop = AtomicBool::new(false);
    let restored = behind.run(&stop).unwrap_err();
    let CoordinatorError::Restored { seen, here, epoch, .. } = &restored else { panic!("{restored}") };
    assert_eq!((seen.0, here.0, *epoch), (far.round, 5, RUN.epoch() + 1));
    assert!(restored.to_string().contains("is older than what the fleet has done"), "{restored}");
    drop(behind);
    let mut again = open(copy.path(), "elsewhere");
    again.turn(Duration::from_millis(2)).unwrap();
    // The one that was running hears of it, and stands down.
    let stood = (0..500).find_map(|_| {
        again.turn(Duration::from_millis(2)).unwrap();
        on.turn(Duration::from_millis(2)).err()
    });
    let Some(CoordinatorError::StoodDown { own, epoch, .. }) = stood else { panic!("{stood:?}") };
    assert_eq!((own, epoch), (RUN.epoch(), RUN.epoch() + 1));
    drop(on);
    // Whatever starts it again, it stays down.
    let starting = |dir: &Path| {
        let told = Box::new(|_: &Notice| ());
        let (options, link) = (settings(3, rounds, dir), hub.link("coordinator", None));
        Coordinator::open(options, layout(), vec![0.5; GROUPS * WEIGHTS], link, None, told).err()
    };
    let down = starting(dir.path());
    let Some(CoordinatorError::StandsDown { other, .. }) = down else { panic!("{down:?}") };
    assert_eq!(other, RUN.next_epoch());
    run(&mut again, &mut devices);
    let view = again.view().unwrap();
    assert_eq!(view.run, RUN.next_epoch().to_string());
    assert_eq!((view.state.as_str(), view.history.len()), ("finished", rounds as usize));
    assert!(view.history.iter().all(|row| row.reported == 3), "{:?}", view.history);
    // What both did alike is alike; nothing of the other's rounds is left.
    assert_eq!(
        view.history[..5].iter().map(|row| &row.adapter_digest).collect::<Vec<_>>(),
        far.history[..5].iter().map(|row| &row.adapter_digest).collect::<Vec<_>>()
    );
    // Until an operator says that it leads.
    assert_eq!(control::take_over(dir.path()).unwrap(), Some(other));
    assert_eq!(control::take_over(dir.path()).unwrap(), None);
    assert!(starting(dir.path()).is_none());
}

/// Two coordinators of different runs on one fleet: the one that came second says so and ends, the first goes on.
#[test]
fn of_two_coordinators_the_second_stands_down() {
    let (dir, other, hub) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), memory::broker());
    let mut devices = swarm(&hub, 3);
    let (mut first, told) = coordinator(settings(3, 400, dir.path()), hub.link("coordinator-1", None));
    for _ in 0..20 {
        first.turn(Duration::from_millis(2)).unwrap();
        devices.turn(Duration::from_millis(2)).unwrap();
    }
    let options = Options { run: RunId([9; 16]), ..settings(3, 400, other.path()) };
    let (mut second, heard) = coordinator(options, hub.link("coordinator-2", None));
    let ended = (0..2000).find_map(|_| {
        first.turn(Duration::from_millis(2)).unwrap();
        devices.turn(Duration::from_millis(2)).unwrap();
        second.turn(Duration::from_millis(2)).err()
    });
    let Some(CoordinatorError::Second { run, .. }) = &ended else { panic!("{ended:?}") };
    assert_eq!(*run, RUN);
    first.turn(Duration::from_millis(2)).unwrap();
    assert!(heard.lock().unwrap().iter().any(|n| matches!(n, Notice::TakenOver { .. })));
    assert!(told.lock().unwrap().iter().any(|n| matches!(n, Notice::Rival { .. })));
}
