//! A running coordinator on a hub in memory, with devices that train nothing.

use super::world::{GROUPS, RUN, WEIGHTS, every, layout, options};
use crate::control;
use crate::*;
use sprig_learn::spry::Layout;
use sprig_protocol::settings::Evaluate;
use sprig_simulate::{Habits, Kind, Swarm, Trouble, rules};
use sprig_transport::faults::{Faults, Faulty};
use sprig_transport::link::Link;
use sprig_transport::memory::{self, Hub};
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const RESEND: Duration = Duration::from_millis(50);

/// Evaluates any adapter to the sum of its values.
fn sums() -> EvaluationThread {
    let body = |ready: Ready<()>| {
        ready.say(()).evaluate(|values| {
            let loss = f64::from(values.iter().sum::<f32>());
            Ok::<_, String>(HeldOut { loss, loss_error: None, accuracy: Some(0.25), n: 8 })
        });
        Ok::<_, String>(())
    };
    EvaluationThread::start(body).unwrap().unwrap().0
}

pub(super) fn settings(devices: u32, rounds: u32, state: &Path) -> Options {
    let mut options = options(devices, rounds);
    options.state = state.to_owned();
    options.resend = RESEND;
    options.deadline = Duration::from_secs(2);
    options.settle = Duration::from_millis(100);
    options.linger = Duration::ZERO;
    options.attempts = 10;
    options
}

/// A coordinator and what it told.
pub(super) fn coordinator<L: Link>(options: Options, link: L) -> (Coordinator<L>, Arc<Mutex<Vec<Notice>>>) {
    coordinator_of(layout(), options, link)
}

/// The same with another adapter.
pub(super) fn coordinator_of<L: Link>(
    layout: Layout,
    options: Options,
    link: L,
) -> (Coordinator<L>, Arc<Mutex<Vec<Notice>>>) {
    let told = Arc::new(Mutex::new(Vec::new()));
    let hear = Arc::clone(&told);
    let tell = Box::new(move |notice: &Notice| hear.lock().unwrap().push(notice.clone()));
    let evaluation = (options.evaluate != Evaluate::Never).then(sums);
    let initial = vec![0.5; layout.len()];
    (Coordinator::open(options, layout, initial, link, evaluation, tell).unwrap(), told)
}

/// Runs a coordinator to its end beside a swarm.
pub(super) fn run<L: Link, M: Link>(coordinator: &mut Coordinator<L>, swarm: &mut Swarm<M>) {
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let served = scope.spawn(|| coordinator.run(&stop));
        let begun = Instant::now();
        while !served.is_finished() {
            swarm.turn(Duration::from_millis(5)).unwrap();
            if begun.elapsed() > Duration::from_secs(60) {
                stop.store(true, std::sync::atomic::Ordering::Relaxed);
            }
        }
        assert!(served.join().unwrap().unwrap(), "not finished in a minute");
    });
}

pub(super) fn swarm(hub: &Hub, devices: u32) -> Swarm<memory::HubLink> {
    Swarm::new(hub.link("swarm", None), "test", 0..devices, Kind::new(rules(2), RESEND)).unwrap()
}

#[test]
fn rounds_go_on_whatever_is_wrong_with_some_devices() {
    for trouble in [Trouble::Dead, Trouble::Hung, Trouble::Refusing, Trouble::Slow] {
        let (dir, hub) = (tempfile::tempdir().unwrap(), memory::broker());
        let settle = Duration::from_secs(20);
        let options = Options { quorum: 3, min_devices: 4, settle, ..settings(6, 3, dir.path()) };
        let (mut coordinator, _told) = coordinator(options, hub.link("coordinator", None));
        let habits = Habits { work: 0.01, trouble: Some(trouble), troubled: 2 };
        let kind = Kind { habits, ..Kind::new(rules(2), RESEND) };
        let mut swarm = Swarm::new(hub.link("swarm", None), "test", 0..6, kind).unwrap();
        run(&mut coordinator, &mut swarm);
        let view = coordinator.view().unwrap();
        let closed = |row: &RoundRow| row.state == "closed" && row.reported >= 4;
        assert!(view.history.len() == 3 && view.history.iter().all(closed), "{trouble:?} {:?}", view.history);
        assert_eq!(view.history.iter().any(|row| row.refused > 0), trouble == Trouble::Refusing);
        let gone = view.devices.iter().filter(|device| !device.online).count();
        assert_eq!(gone, if trouble == Trouble::Dead { 2 } else { 0 }, "{trouble:?}");
    }
}

#[test]
fn a_fleet_trains_to_the_end() {
    let (dir, hub) = (tempfile::tempdir().unwrap(), memory::broker());
    let mut options = settings(4, 5, dir.path());
    options.evaluate = every(2);
    let (mut coordinator, told) = coordinator(options, hub.link("coordinator", None));
    let mut swarm = swarm(&hub, 6);
    run(&mut coordinator, &mut swarm);
    let view = coordinator.view().unwrap();
    assert_eq!((view.state.as_str(), view.round, view.history.len()), ("finished", 5, 5));
    for row in &view.history {
        assert_eq!((row.selected, row.reported, row.refused), (4, 4, 0), "{row:?}");
        assert!(row.bytes_up > 400 && row.bytes_down > 400, "{row:?}");
        // After two and four rounds, and after the last.
        assert_eq!(row.accuracy.is_some(), [1, 3, 4].contains(&row.round.0), "{row:?}");
    }
    assert_eq!(view.accuracy_before, Some(0.25));
    assert_eq!(view.loss_before, Some(0.5 * (GROUPS * WEIGHTS) as f64));
    let accepted: u32 = view.devices.iter().map(|d| d.accepted).sum();
    assert_eq!((view.devices.len(), accepted), (6, 20));
    let reported = view.devices.iter().find(|d| d.accepted > 0).unwrap();
    assert_eq!((reported.peak_bytes, reported.regions.len()), (Some(58 << 20), 8));
    assert_eq!((reported.round_s, reported.celsius), (Some(1.0), Some(48.5)));
    assert_eq!(reported.held_back, Some(Vec::new()));
    let told = told.lock().unwrap();
    let last = |what: fn(&Notice) -> bool| told.iter().rposition(what);
    let finished = last(|notice| matches!(notice, Notice::Finished { .. }));
    // The last adapter was let through first.
    assert!(finished.is_some() && finished > last(|notice| matches!(notice, Notice::Evaluated { .. })));
}

#[test]
fn twenty_percent_loss_and_worse_cost_no_round() {
    let faults = Faults { drop: 0.2, duplicate: 0.1, reorder: 0.1, corrupt: 0.1, ..Faults::default() };
    for seed in 0..3 {
        let (dir, hub) = (tempfile::tempdir().unwrap(), memory::broker());
        let link = Faulty::new(hub.link("coordinator", None), faults, seed);
        let (mut coordinator, _) = coordinator(settings(4, 6, dir.path()), link);
        let link = Faulty::new(hub.link("swarm", None), faults, 100 + seed);
        let mut swarm = Swarm::new(link, "test", 0..4, Kind::new(rules(2), RESEND)).unwrap();
        run(&mut coordinator, &mut swarm);
        let met = swarm.link().met();
        assert!(met.dropped > 5 && met.duplicated > 2 && met.reordered > 2 && met.corrupted > 2, "{met:?}");
        let view = coordinator.view().unwrap();
        // Each device's update of each round is applied once, although many arrived twice.
        assert!(
            view.history.iter().all(|row| row.reported == 4 && row.state == "closed"),
            "{:?}",
            view.history
        );
        assert!(view.devices.iter().all(|d| d.accepted == 6), "{:?}", view.devices);
        // The same updates on a sound link make the same adapter.
        let (dir, hub) = (tempfile::tempdir().unwrap(), memory::broker());
        let (mut sound, _) = self::coordinator(settings(4, 6, dir.path()), hub.link("coordinator", None));
        run(&mut sound, &mut self::swarm(&hub, 4));
        let adapter = |v: &FleetView| v.history.last().unwrap().adapter_digest.clone();
        let order = |v: &FleetView| v.devices.iter().map(|d| d.id.clone()).collect::<Vec<_>>();
        // Numbers go by arrival, which faults change; a synthetic answer is a function of the number.
        assert_eq!(order(&view).len(), order(&sound.view().unwrap()).len());
        assert_eq!(adapter(&view), adapter(&sound.view().unwrap()));
    }
}

#[test]
fn a_broker_that_stops_delays_and_does_not_harm() {
    let (dir, hub) = (tempfile::tempdir().unwrap(), memory::broker());
    let rounds = 40;
    let (mut coordinator, told) = coordinator(settings(4, rounds, dir.path()), hub.link("coordinator", None));
    let mut swarm = swarm(&hub, 4);
    // However fast the rounds are, the first outage meets them.
    hub.stop();
    std::thread::scope(|scope| {
        let outages = scope.spawn(|| {
            for forget in [false, true, false, true] {
                std::thread::sleep(Duration::from_millis(100));
                if forget {
                    hub.forget();
                }
                hub.start();
                std::thread::sleep(Duration::from_millis(30));
                hub.stop();
            }
            hub.start();
        });
        run(&mut coordinator, &mut swarm);
        outages.join().unwrap();
    });
    let view = coordinator.view().unwrap();
    assert!(view.history.iter().all(|row| row.reported == 4 && row.state == "closed"), "{:?}", view.history);
    assert!(view.devices.iter().all(|d| d.accepted == rounds));
    let told = told.lock().unwrap();
    assert!(told.iter().any(|n| matches!(n, Notice::Disconnected { .. })), "no outage met the run");
}

#[test]
fn it_answers_on_its_socket_pauses_and_resumes() {
    let (dir, hub) = (tempfile::tempdir().unwrap(), memory::broker());
    let (mut coordinator, _) = coordinator(settings(2, 3, dir.path()), hub.link("coordinator", None));
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let served = scope.spawn(|| coordinator.run(&stop));
        control::pause(dir.path()).unwrap();
        let mut swarm = swarm(&hub, 2);
        for _ in 0..100 {
            swarm.turn(Duration::from_millis(5)).unwrap();
        }
        let status = control::status(dir.path()).unwrap();
        assert_eq!((status.state.as_str(), status.round, status.devices.len()), ("paused", 0, 2));
        control::resume(dir.path()).unwrap();
        while !served.is_finished() {
            swarm.turn(Duration::from_millis(5)).unwrap();
        }
        assert!(served.join().unwrap().unwrap());
    });
    let view = coordinator.view().unwrap();
    // What can be asked of a running coordinator but for a turn of its loop can be asked of its ledger.
    drop(coordinator);
    let gone = control::status(dir.path()).unwrap_err().to_string();
    assert!(gone.contains("no coordinator is running"), "{gone}");
    assert_eq!(control::history(dir.path()).unwrap(), view.history);
    let none = control::history(&dir.path().join("elsewhere")).unwrap_err().to_string();
    assert!(none.contains("there is no run"), "{none}");
}

#[test]
fn adapters_can_be_had_by_digest_from_a_running_and_a_stopped_coordinator() {
    let (dir, hub) = (tempfile::tempdir().unwrap(), memory::broker());
    let (mut coordinator, _) = coordinator(settings(2, 3, dir.path()), hub.link("coordinator", None));
    run(&mut coordinator, &mut swarm(&hub, 2));
    let history = coordinator.view().unwrap().history;
    let digest = |round: usize| &history[round].adapter_digest[..12];
    let stop = AtomicBool::new(false);
    let take = |from: &str| {
        let last = control::adapter(dir.path(), None).unwrap();
        assert_eq!((last.round, last.after.to_string()), (3, history[2].adapter_digest.clone()), "{from}");
        let second = control::adapter(dir.path(), Some(digest(1))).unwrap();
        assert_eq!((second.round, second.values.len()), (2, GROUPS * WEIGHTS), "{from}");
        let none = control::adapter(dir.path(), Some("zz")).unwrap_err().to_string();
        assert!(none.contains("no kept adapter has") && none.contains(&digest(2)[..8]), "{from}: {none}");
    };
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                coordinator.turn(Duration::from_millis(5)).unwrap();
            }
        });
        // Also ends the other thread when an assertion fails.
        struct Stop<'a>(&'a AtomicBool);
        impl Drop for Stop<'_> {
            fn drop(&mut self) {
                self.0.store(true, std::sync::atomic::Ordering::Relaxed);
            }
        }
        let _stop = Stop(&stop);
        take("running");
    });
    drop(coordinator);
    take("stopped");
}

/// Whoever asks is told what a coordinator says that it cannot do.
#[test]
fn an_error_of_the_coordinator_is_passed_on() {
    use std::io::{BufRead, BufReader, Write};
    let dir = tempfile::tempdir().unwrap();
    let listener = std::os::unix::net::UnixListener::bind(dir.path().join("control.sock")).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            BufReader::new(&stream).read_line(&mut String::new()).unwrap();
            stream.write_all(b"{\"error\":\"it has ended\"}\n").unwrap();
        }
    });
    let failed = [
        control::status(dir.path()).unwrap_err(),
        control::pause(dir.path()).unwrap_err(),
        control::history(dir.path()).unwrap_err(),
        control::adapter(dir.path(), None).unwrap_err(),
    ];
    for error in failed {
        assert!(error.to_string().contains("it has ended"), "{error}");
    }
}

#[test]
fn a_nonsense_command_is_answered_with_an_error() {
    use std::io::{BufRead, BufReader, Write};
    let (dir, hub) = (tempfile::tempdir().unwrap(), memory::broker());
    let (_coordinator, _) = coordinator(settings(2, 3, dir.path()), hub.link("coordinator", None));
    for nonsense in ["\n", "{}\n", "{\"command\":\"format\"}\n", "\u{fffd}\n"] {
        let mut stream = std::os::unix::net::UnixStream::connect(dir.path().join("control.sock")).unwrap();
        stream.write_all(nonsense.as_bytes()).unwrap();
        let mut answer = String::new();
        BufReader::new(stream).read_line(&mut answer).unwrap();
        assert!(answer.starts_with("{\"error\":\"no command"), "{answer}");
    }
}

#[test]
fn restarts_in_the_middle_go_on_with_the_same_round() {
    let (dir, hub) = (tempfile::tempdir().unwrap(), memory::broker());
    let mut swarm = swarm(&hub, 3);
    let rounds = 12;
    let (mut starts, mut turns) = (0, 3);
    let view = loop {
        let (mut coordinator, _) =
            coordinator(settings(3, rounds, dir.path()), hub.link("coordinator", None));
        starts += 1;
        turns += 1;
        for _ in 0..turns {
            coordinator.turn(Duration::from_millis(2)).unwrap();
            swarm.turn(Duration::from_millis(2)).unwrap();
        }
        let view = coordinator.view().unwrap();
        if view.state == "finished" {
            break view;
        }
        assert!(starts < 300, "no progress: {view:?}");
    };
    assert!(starts > 3, "{starts} starts");
    assert_eq!(view.run, RUN.to_string());
    assert!(view.history.iter().all(|row| row.reported == 3), "{:?}", view.history);
    assert!(view.devices.iter().all(|d| d.accepted == rounds));
    assert_eq!(swarm.counts.accepted + swarm.counts.duplicates, u64::from(3 * rounds));
}
