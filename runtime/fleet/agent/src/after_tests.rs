//! What a device has of a run when it is over, and what becomes of one that comes then.

use super::run::tests::{Device, World, all_done, digest};
use super::*;
use sprig_coordinator::{Coordinator, FleetView, control};
use sprig_engine::adapter::Adapter;
use sprig_engine::gguf::Mapped;
use sprig_engine::kernels::Ctx;
use sprig_learn::directions::initial_normals;
use sprig_protocol::export::{Export, labels};
use sprig_protocol::settings::{AdapterWhen, Seconds};
use sprig_run::Base;
use sprig_transport::link::Link;
use sprig_transport::memory::HubLink;
use sprig_transport::messages::{Digest, Job};
use std::path::PathBuf;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

const SHORT: f64 = 0.5;

fn world(stay: bool) -> (World, PathBuf) {
    let mut world = World::new(stay);
    let out = world.folder.path().join("adapter.gguf");
    world.settings.agent.adapter = Some(out.clone());
    (world, out)
}

/// Works until the coordinator has left what it leaves, and ends it.
fn end(world: &World, mut coordinator: Coordinator<HubLink>, done: impl Fn() -> bool) -> String {
    let view = world.work(&mut coordinator, |view| all_done(view) && done());
    for _ in 0..50 {
        coordinator.turn(Duration::from_millis(5)).unwrap();
    }
    coordinator.close().unwrap();
    digest(&view)
}

/// The file that the coordinator of run `number` exports.
fn exported(world: &World, number: u8) -> Vec<u8> {
    let last = control::adapter(&world.folder.path().join(format!("coordinator-{number}")), None).unwrap();
    let map = Mapped::open(&world.settings.model.path).unwrap();
    let base = Base::open(&map).unwrap();
    let train = model::tests::task();
    let (model, ctx, key) = (base.model(true).unwrap(), Ctx::new(1).unwrap(), train.rules().run_key);
    let spec = train.adapter(&base.geometry).unwrap();
    let mut adapter = Adapter::new(&spec, &model, &ctx, |id, out| initial_normals(key, id, out)).unwrap();
    let (labels, digest) = (labels(&train, &base).unwrap(), map.digest_hex().unwrap());
    let export = Export { train: &train, geometry: &base.geometry, model: &digest, labels: labels.as_ref() };
    export.fill(&mut adapter, &last.values, &model, &ctx).unwrap();
    let out = world.folder.path().join("exported.gguf");
    export.write(&adapter, &last.values, &out).unwrap();
    std::fs::read(out).unwrap()
}

fn told(device: &Device, wanted: impl Fn(&AgentEvent) -> bool) -> Vec<AgentEvent> {
    device.events.lock().unwrap().iter().filter(|e| wanted(e)).cloned().collect()
}

fn written(device: &Device) -> Vec<u32> {
    let events = told(device, |e| matches!(e, AgentEvent::Adapter { .. }));
    events
        .iter()
        .filter_map(|e| if let AgentEvent::Adapter { round, .. } = e { Some(*round) } else { None })
        .collect()
}

fn until(what: &str, done: impl Fn() -> bool) {
    let limit = Instant::now() + Duration::from_secs(60);
    while !done() {
        assert!(Instant::now() < limit, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Once at the end, or after each round that it followed; the bytes are those of the coordinator's file.
#[test]
fn a_device_writes_the_file_that_the_coordinator_exports() {
    for when in [AdapterWhen::End, AdapterWhen::Round] {
        let (mut world, out) = world(false);
        world.settings.agent.adapter_when = when;
        let device = world.device();
        let last = end(&world, world.coordinator(1, 3), || device.thread.is_finished());
        let rounds = written(&device);
        match when {
            AdapterWhen::End => assert_eq!(rounds, [3]),
            AdapterWhen::Round => {
                assert!(rounds.ends_with(&[2, 3]) || rounds.ends_with(&[3]) && rounds.len() > 1)
            }
        }
        let events = told(&device, |e| matches!(e, AgentEvent::Adapter { digest, .. } if *digest == last));
        assert_eq!(events.len(), 1);
        assert_eq!(device.thread.join().unwrap().unwrap(), Ended::Finished);
        assert_eq!(std::fs::read(out).unwrap(), exported(&world, 1));
    }
}

/// A write that fails is told. It ends no device that stays; one that ends with the run says why it has nothing.
#[test]
fn a_write_that_fails_is_told_and_costs_no_round() {
    for stay in [false, true] {
        let (mut world, _) = world(stay);
        world.settings.agent.adapter = Some(world.folder.path().join("nowhere/adapter.gguf"));
        world.settings.agent.adapter_when = AdapterWhen::Round;
        let device = world.device();
        end(&world, world.coordinator(1, 3), || !device.finished().is_empty());
        let failed = told(&device, |e| matches!(e, AgentEvent::AdapterFailed { .. }));
        assert!(failed.len() > 1 && format!("{failed:?}").contains("nowhere/adapter.gguf"), "{failed:?}");
        if stay {
            assert!(!device.thread.is_finished());
            device.stop.store(true, Relaxed);
            assert_eq!(device.thread.join().unwrap().unwrap(), Ended::Interrupted);
        } else {
            let error = device.thread.join().unwrap().unwrap_err();
            assert!(matches!(&error, FleetError::Adapter(e) if e.is_io()), "{error}");
        }
    }
}

/// Nobody but the broker is there, and no data are.
#[test]
fn whoever_comes_late_has_the_adapter_from_the_broker() {
    let (mut world, out) = world(false);
    let device = world.device();
    let last = end(&world, world.coordinator(1, 2), || device.thread.is_finished());
    let first = std::fs::read(&out).unwrap();
    std::fs::remove_file(&out).unwrap();
    std::fs::remove_file(&world.settings.data.train).unwrap();
    world.settings.agent.state = world.folder.path().join("reborn");
    // So long it also waits for another run.
    world.settings.agent.patience_seconds = Seconds::of(3.0);
    let late = world.device();
    until("its end", || late.thread.is_finished());
    assert_eq!((late.finished(), written(&late)), (vec![last], vec![2]));
    assert_eq!(std::fs::read(&out).unwrap(), first);
    assert_eq!(late.thread.join().unwrap().unwrap(), Ended::Finished);
    // One that keeps no adapter has nothing to wait for.
    world.settings.agent.adapter = None;
    let other = world.device();
    until("its end", || other.thread.is_finished());
    assert!(written(&other).is_empty() && other.finished().len() == 1);
}

/// A run is announced as over, and its adapter is nowhere.
fn forgotten(world: &World) {
    let topics = Topics::new("test").unwrap();
    let map = Mapped::open(&world.settings.model.path).unwrap();
    let job = sprig_protocol::settings::JobSettings::new(map.digest_hex().unwrap(), model::tests::task());
    let (run, base) = (RunId([9; 16]), Digest([3; 32]));
    let mut link = world.hub.link("stranger", None);
    link.publish(&topics.job(), Job { run, settings: job.to_text(), over: None }.encode(), true).unwrap();
    let round = Round { run, round: 7, phase: Phase::Finished, base, result: None };
    link.publish(&topics.round(), round.encode(), true).unwrap();
}

#[test]
fn nobody_waits_for_ever_for_an_adapter_that_nobody_sends() {
    let (mut world, _) = world(false);
    world.settings.agent.patience_seconds = Seconds::of(SHORT);
    forgotten(&world);
    let device = world.device();
    until("its end", || device.thread.is_finished());
    let error = device.thread.join().unwrap().unwrap_err();
    assert!(matches!(error, FleetError::Unserved { rounds: 7, .. }), "{error}");
    assert!(error.to_string().contains("start `sprig coordinate`"), "{error}");
    // One that stays says so once.
    world.settings.agent.stay = true;
    let device = world.device();
    let unserved = || told(&device, |e| matches!(e, AgentEvent::Unserved { .. })).len();
    until("what it says", || unserved() > 0);
    std::thread::sleep(Duration::from_secs_f64(3.0 * SHORT));
    assert_eq!((unserved(), device.thread.is_finished()), (1, false));
    // And takes part in what comes next.
    end(&world, world.coordinator(1, 2), || device.finished().len() == 1);
    device.stop.store(true, Relaxed);
    assert_eq!(device.thread.join().unwrap().unwrap(), Ended::Interrupted);
}

/// A device that ends with its run comes before the next one begins: it is the next one that it came for.
#[test]
fn whoever_comes_between_two_runs_waits_for_the_next() {
    let mut world = World::new(false);
    forgotten(&world);
    let lingers = |device: &Device| told(device, |e| matches!(e, AgentEvent::Lingers { .. })).len();
    let device = world.device();
    until("its wait", || lingers(&device) > 0);
    end(&world, world.coordinator(1, 2), || device.finished().len() == 2);
    until("its end", || device.thread.is_finished());
    assert_eq!((lingers(&device), device.thread.join().unwrap().unwrap()), (1, Ended::Finished));
    // Of that run it knows that it was there, and has nothing to wait for.
    let device = world.device();
    until("its end", || device.thread.is_finished());
    assert_eq!((lingers(&device), device.thread.join().unwrap().unwrap()), (0, Ended::Finished));
    // A new card knows nothing of it, and waits; nobody comes.
    world.settings.agent.patience_seconds = Seconds::of(SHORT);
    std::fs::remove_dir_all(&world.settings.agent.state).unwrap();
    let (device, begun) = (world.device(), Instant::now());
    until("its end", || device.thread.is_finished());
    assert!(begun.elapsed().as_secs_f64() >= SHORT);
    assert_eq!((lingers(&device), device.thread.join().unwrap().unwrap()), (1, Ended::Finished));
}

/// A finished ledger is asked for more rounds: a device that stayed, and one that came late and stayed, take part again.
#[test]
fn a_run_that_goes_on_has_its_devices_back() {
    let (world, out) = world(true);
    let device = world.device();
    end(&world, world.coordinator(1, 2), || device.finished().len() == 1);
    let last = end(&world, world.coordinator(1, 5), || device.finished().len() == 2);
    assert_eq!(device.finished().last(), Some(&last));
    assert_eq!(written(&device), [2, 5]);
    assert_eq!(std::fs::read(&out).unwrap(), exported(&world, 1));
    device.stop.store(true, Relaxed);
    assert_eq!(device.thread.join().unwrap().unwrap(), Ended::Interrupted);
    // The same as a run of five rounds from the beginning.
    let (whole, _) = self::world(false);
    let device = whole.device();
    assert_eq!(end(&whole, whole.coordinator(1, 5), || device.thread.is_finished()), last);
    let again = world.device();
    until("the end it came for", || again.finished() == [last.clone()]);
    end(&world, world.coordinator(1, 6), || again.finished().len() == 2);
    again.stop.store(true, Relaxed);
    assert_eq!(again.thread.join().unwrap().unwrap(), Ended::Interrupted);
}

/// New records are learnt from without a restart, those of a new file in a folder too; bad ones are told with their line, and
/// the old ones stay.
#[test]
fn data_that_change_are_read_again_between_rounds() {
    let (mut world, _) = world(false);
    let folder = world.folder.path().join("records");
    std::fs::create_dir(&folder).unwrap();
    std::fs::rename(&world.settings.data.train, folder.join("a.jsonl")).unwrap();
    world.settings.data.train = folder.clone();
    let device = world.device();
    let mut coordinator = world.coordinator(1, 1_000_000);
    let at = |view: &FleetView| view.devices.first().map_or(0, |d| d.examples);
    let begun = world.work(&mut coordinator, |view| view.round >= 2 && at(view) == 7);
    std::fs::write(folder.join("b.jsonl"), "{\"text\": \"one more\", \"label\": \"t\"}\n").unwrap();
    let more = world.work(&mut coordinator, |view| view.round > begun.round && at(view) == 8);
    let read = told(&device, |e| matches!(e, AgentEvent::Data { examples: 8, before: 7 }));
    assert_eq!(read.len(), 1);
    std::fs::write(folder.join("c.jsonl"), "{\"text\": \"fine\", \"label\": \"a\"}\n{\n").unwrap();
    let refused = || told(&device, |e| matches!(e, AgentEvent::DataRefused { .. }));
    let bad = world.work(&mut coordinator, |_| !refused().is_empty());
    assert!(format!("{:?}", refused()).contains("c.jsonl:2"), "{:?}", refused());
    // It goes on with the eight that it has, and takes the mended file.
    let on = world.work(&mut coordinator, |view| view.round > bad.round + 2);
    assert_eq!((at(&on), refused().len()), (8, 1));
    std::fs::write(folder.join("c.jsonl"), "{\"text\": \"fine\", \"label\": \"a\"}\n").unwrap();
    world.work(&mut coordinator, |view| view.round > on.round && at(view) == 9);
    assert!(more.history.iter().all(|row| row.state == "closed"), "{:?}", more.history);
    device.stop.store(true, Relaxed);
    world.work(&mut coordinator, |_| device.thread.is_finished());
    assert_eq!(device.thread.join().unwrap().unwrap(), Ended::Interrupted);
}

/// A device whose last receipt was lost does not wait for a coordinator that has gone.
#[test]
fn an_update_without_a_receipt_holds_up_no_end() {
    let (mut world, _) = world(false);
    world.settings.agent.patience_seconds = Seconds::of(SHORT);
    let first = world.device();
    end(&world, world.coordinator(1, 1), || first.thread.is_finished());
    let state = &world.settings.agent.state;
    let mut outbox = sprig_transport::outbox::Outbox::open(&state.join("outbox.redb"), 1 << 20).unwrap();
    let note = Note { run: RunId([1; 16]), round: 0, memory: Vec::new() };
    outbox.put(0, &note::pack(b"update", b""), &note.encode()).unwrap();
    drop(outbox);
    let device = world.device();
    until("its end", || device.thread.is_finished());
    assert_eq!(device.thread.join().unwrap().unwrap(), Ended::Finished);
}
