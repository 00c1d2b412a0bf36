//! The learner on a synthetic model: what it sends does not depend on the memory it may hold.

use super::*;
use sprig_budget::pressure::Reading;
use sprig_engine::adapter::{Group, Kind};
use sprig_engine::gguf::{Mapped, Synthetic};
use sprig_learn::estimator::Method;
use sprig_learn::recipe::{Positive, Whole};
use sprig_learn::spry::Dealing;
use sprig_protocol::settings::{Flow, Mode, TrainTable};
use sprig_transport::messages::{Body, Digest, GroupSet, RunId};
use std::collections::HashSet;
use std::path::Path;

/// A device's settings, with model and data in `folder`.
pub(crate) fn settings(folder: &Path) -> DeviceSettings {
    Synthetic::tiny().write_atomic(folder.join("tiny.gguf")).unwrap();
    let record = |i: usize| {
        let label = ["a", "t"][i % 2];
        format!(r#"{{"text": "{}birds", "label": "{label}"}}"#, "many ".repeat(i))
    };
    std::fs::write(folder.join("train.jsonl"), (0..7).map(record).collect::<Vec<_>>().join("\n")).unwrap();
    let text = r#"
        [fleet]
        name = "test"
        id = "one"
        broker = "mqtt://localhost"
        [model]
        path = "tiny.gguf"
        budget = "64MiB"
        threads = 2
        [data]
        train = "train.jsonl"
    "#;
    std::fs::write(folder.join("device.toml"), text).unwrap();
    let settings = DeviceSettings::read(&folder.join("device.toml")).unwrap();
    std::fs::create_dir_all(&settings.agent.state).unwrap();
    settings
}

/// What is learnt from those data.
pub(crate) fn task() -> Train {
    Train::new(table()).unwrap()
}

fn table() -> TrainTable {
    TrainTable {
        raw: true,
        template: Some("{text} =".to_owned()),
        labels: vec!["a".to_owned(), "t".to_owned()],
        adapter: Kind::Lora,
        layers: Some("1..3".parse().unwrap()),
        len: Whole::of::<48>(),
        batch: Whole::of::<1>(),
        rank: Whole::of::<2>(),
        ..TrainTable::default()
    }
}

/// A device's part of a round; before step i, the machine is as `readings[i]` says.
fn train(settings: &DeviceSettings, train: &Train, readings: &[Reading]) -> (Trained, Vec<Moved>) {
    let map = Mapped::open(&settings.model.path).unwrap();
    let base = Base::open(&map).unwrap();
    let data = open_data(&base, settings, train, Bytes::ZERO).unwrap();
    let opened = Opened::plan(&base, train, &data, settings).unwrap();
    let engine = base.engine(&opened.planned).unwrap();
    let mut worker = ModelWorker::new(&base, &engine, &opened, &data.train, settings, "digest").unwrap();
    let task = Task {
        run: RunId([1; 16]),
        round: 3,
        attempt: 0,
        number: 7,
        groups: GroupSet { first: 1, step: 1, count: 3 },
        base: worker.digest(),
        seconds: 60,
        word: Vec::new(),
    };
    worker.begin(&task, None).unwrap();
    let (mut moves, mut readings) = (Vec::new(), (0u64..).zip(readings));
    loop {
        if let Some((i, reading)) = readings.next() {
            // Longer than the governor is careful for.
            let clock = Duration::from_secs(100 + 20 * i);
            let moved = worker.running.heed(clock, *reading, &mut worker.session).unwrap();
            moves.extend(worker.follow(moved));
        }
        if let Some(trained) = worker.step().unwrap() {
            return (trained, moves);
        }
    }
}

/// T11, T12: what leaves a device under Flow are the adapter and the routers that it received, as its second half moved
/// them, with as many examples behind them; of its own adapter no number leaves.
#[test]
fn a_device_of_a_flow_fleet_keeps_its_own_adapter() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path());
    for method in [Method::Reverse, Method::Forward] {
        let what = Train::new(TrainTable {
            mode: Mode::PerEpoch,
            estimator: method,
            local_steps: Whole::of::<7>(),
            lr: Positive::of(0.01),
            dealing: Dealing::Unsplit,
            up: Upload::Weights,
            flow: Some(Flow::default()),
            ..table()
        });
        let what = what.unwrap();
        let map = Mapped::open(&settings.model.path).unwrap();
        let base = Base::open(&map).unwrap();
        let data = open_data(&base, &settings, &what, Bytes::ZERO).unwrap();
        let opened = Opened::plan(&base, &what, &data, &settings).unwrap();
        let engine = base.engine(&opened.planned).unwrap();
        let mut worker = ModelWorker::new(&base, &engine, &opened, &data.train, &settings, "digest").unwrap();
        let groups = opened.layout.groups().len();
        let task = Task {
            run: RunId([1; 16]),
            round: 3,
            attempt: 0,
            number: 7,
            groups: GroupSet { first: 0, step: 1, count: groups as u16 },
            base: worker.digest(),
            seconds: 60,
            word: Vec::new(),
        };
        let round = |worker: &mut ModelWorker<'_>| {
            worker.begin(&task, None).unwrap();
            loop {
                if let Some(trained) = worker.step().unwrap() {
                    return trained;
                }
            }
        };
        let trained = round(&mut worker);
        assert_eq!(trained.examples, 4, "of seven, three are the own adapter's");
        assert_eq!(trained.dense.len(), 4 * opened.layout.len());
        let adapter = &worker.adapter;
        let bytes = |values: &[f32]| values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>();
        assert_eq!(trained.dense, bytes(&adapter.shared()));
        let [global, local] =
            [Group::Global, Group::Local].map(|group| &adapter.values()[adapter.range(group)]);
        let frame = [&trained.dense[..], &trained.memory].concat();
        // Two neighbours are long enough not to be there by chance.
        let sent: HashSet<&[u8]> = frame.windows(8).collect();
        let mut own = 0;
        for (global, local) in global.windows(2).zip(local.windows(2)) {
            if global[0] != local[0] && global[1] != local[1] {
                let there = |pair: &[f32]| sent.contains(&bytes(pair)[..]);
                assert!(there(global) && !there(local), "{local:?} left the device");
                own += 1;
            }
        }
        assert!(own > 100, "the own adapter did not move");
        let routers = &adapter.values()[adapter.range(Group::Router)];
        assert!(routers.iter().any(|w| *w != 0.0), "the routers did not move");
        // A round that a power cut ended is the same when it is begun again.
        worker.guard = opened.guard.clone();
        let again = round(&mut worker);
        assert!(again.dense == trained.dense && again.memory == trained.memory, "another update");
    }
    let split = Train::new(TrainTable {
        mode: Mode::PerEpoch,
        estimator: Method::Reverse,
        up: Upload::Weights,
        flow: Some(Flow::default()),
        ..table()
    });
    let map = Mapped::open(&settings.model.path).unwrap();
    let base = Base::open(&map).unwrap();
    let split = split.unwrap();
    let data = open_data(&base, &settings, &split, Bytes::ZERO).unwrap();
    let refused = Opened::plan(&base, &split, &data, &settings).err().unwrap().to_string();
    assert!(refused.contains("dealing") && refused.contains("unsplit"), "{refused}");
}

/// An iteration of more scalars than a message holds: they follow it in pieces, within what was planned for them.
#[test]
fn scalars_that_no_message_holds_leave_in_pieces() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path());
    let record = |i: usize| format!(r#"{{"text": "{i}", "label": "{}"}}"#, ["a", "t"][i % 2]);
    let records: Vec<String> = (0..260).map(record).collect();
    std::fs::write(folder.path().join("train.jsonl"), records.join("\n")).unwrap();
    let of = |batch: u64| {
        let (batch, tangents) = (Whole::new(batch).unwrap(), Whole::of::<64>());
        let estimator = Method::Reverse;
        Train::new(TrainTable { batch, tangents, estimator, ..table() }).unwrap()
    };
    let (most, _) = train(&settings, &of(250), &[]);
    assert!(most.dense.is_empty() && matches!(&most.body, Body::Scalars(scalars) if scalars.len() == 16_000));
    let (more, _) = train(&settings, &of(251), &[]);
    assert_eq!(more.dense.len(), 4 * 251 * 64);
    assert_eq!(more.body, Body::Dense { digest: Digest::of(&more.dense), bytes: more.dense.len() as u32 });
    assert!(dense::numbers(&more.dense).all(f32::is_finite) && dense::numbers(&more.dense).any(|s| s != 0.0));
    let planned =
        |trained: &Trained| trained.regions.iter().find(|r| r.name == "scalars in pieces").map(|r| r.planned);
    assert_eq!((planned(&most), planned(&more)), (None, Some(2 * more.dense.len() as u64)));
}

/// Down the ladder and up again between the iterations of a round: the same scalars, the same weights.
#[test]
fn stepping_aside_changes_no_bit_of_an_update() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path());
    let reading = |mib: u64| Reading {
        room: Some(Bytes::mib(mib)),
        stalled: Some(0.0),
        at_hand: Some(Bytes::mib(512)),
    };
    let readings = [100, 1, 1, 400, 400, 1].map(reading);
    let shared =
        TrainTable { mode: Mode::PerEpoch, local_steps: Whole::of::<7>(), lr: Positive::of(0.01), ..table() };
    let ways =
        [Upload::Scalars, Upload::Weights].map(|up| [Method::Forward, Method::Reverse].map(|e| (up, e)));
    for (up, estimator) in ways.into_iter().flatten() {
        let what = Train::new(TrainTable { up, estimator, ..shared.clone() }).unwrap();
        let (calm, moves) = train(&settings, &what, &[]);
        assert!(moves.is_empty());
        let (moved, moves) = train(&settings, &what, &readings);
        let totals: Vec<u64> = moves.iter().map(|m| m.plan.total().0).collect();
        assert!(totals.iter().any(|t| *t < calm.planned), "{totals:?} of {}", calm.planned);
        assert!(totals.windows(2).any(|w| w[1] > w[0]), "never up again: {totals:?}");
        assert!(moves.iter().any(|m| m.tuning.streamed) || moves.iter().any(|m| m.tuning.cut.tangents < 4));
        // The report tells the plan as it stood at the end.
        assert_eq!(moved.planned, *totals.last().unwrap());
        assert_eq!(moved.regions.iter().map(|r| r.planned).sum::<u64>(), moved.planned);
        let update = |t: Trained| (t.examples, t.loss.to_bits(), t.body, t.dense, t.memory);
        assert_eq!(calm.examples, 7);
        assert!(update(calm) == update(moved), "another update");
    }
}

/// A snapshot that arrives, its frame and what that says, is in the plan: it may come while a part is under way.
#[test]
fn catching_up_is_in_the_plan() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path());
    let map = Mapped::open(&settings.model.path).unwrap();
    let base = Base::open(&map).unwrap();
    let train = task();
    let data = open_data(&base, &settings, &train, Bytes::ZERO).unwrap();
    let opened = Opened::plan(&base, &train, &data, &settings).unwrap();
    let plan = &opened.planned.plan;
    let planned = plan.regions.iter().find(|region| region.name == crate::held::ARRIVES).unwrap().bytes;
    let (values, moments) = (opened.layout.len(), opened.layout.len() * opened.rules.server.moments());
    let (values, moments) = (vec![0.0; values], vec![0.0; moments]);
    let after = Digest([0; 32]);
    let frame = Snapshot { run: RunId([1; 16]), round: 0, after, values, moments }.checked().unwrap();
    // Its head is a few dozen bytes.
    assert!(planned.0 + 2 * 128 > 2 * frame.len() as u64, "{planned} for {} bytes", frame.len());
    assert!(opened.rules.server.moments() > 0);
}
