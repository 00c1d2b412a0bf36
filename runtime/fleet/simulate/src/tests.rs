//! A simulated fleet against real agents and a real coordinator, on a synthetic model: the same bits.

use super::deal::deal;
use super::earnest::in_earnest;
use super::fleet::{Device, Fleet};
use super::*;
use sprig_agent::{ModelWorker, Opened, Worker};
use sprig_budget::Bytes;
use sprig_engine::gguf::{Mapped, Synthetic};
use sprig_learn::calibration::{Bins, FLEET_BINS, Item};
use sprig_learn::data::{Examples, Target};
use sprig_learn::minibatch::Minibatch;
use sprig_learn::objective::Candidates;
use sprig_learn::outcome::Outcome;
use sprig_learn::recipe::NotNegative;
use sprig_learn::spry::Share;
use sprig_protocol::settings::{DeviceSettings, FleetSettings, Upload};
use sprig_run::{Base, Data, Engine};
use sprig_transport::messages::{Body, Digest, GroupSet, RunId, Task};
use std::path::PathBuf;
use std::sync::Arc;
use tempfile::TempDir;

pub(super) const DEVICES: usize = 3;
const ROUNDS: u32 = 4;
const EPOCH: &str = "mode=per-epoch";
const EXACT: &str = "estimator=reverse";
const PAIRS: &str = "task=pair";
const CATTO: &str = "objective=catto";
const PARTS: &str = "parts=true";

/// A folder with the tiny model and labelled records, and the settings of a fleet on them. What a test opens lives to
/// the end of the process.
pub(super) struct Scene {
    pub(super) folder: TempDir,
    pub(super) study: Study,
    pub(super) base: &'static Base<'static>,
    data: &'static Data,
    shards: &'static [Vec<usize>],
    lines: Vec<String>,
}

impl Scene {
    pub(super) fn new(changes: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        Synthetic::tiny().write_atomic(path("tiny.gguf")).unwrap();
        let line = |i: usize| {
            let label = ["down", "up"][i / 2 % 2];
            format!(r#"{{"text": "the {label} side of street {}", "label": "{label}"}}"#, i * i)
        };
        // Answers of one token and of several, some of which begin alike.
        let pair = |i: usize| {
            let (right, wrong) = (["up", "up and on"][i % 2], ["down", "up there", "no"][i % 3]);
            format!(r#"{{"prompt": "street {}", "chosen": "{right}", "rejected": "{wrong}"}}"#, i * i)
        };
        let pairs = changes.contains(&PAIRS);
        let lines: Vec<String> = (0..20).map(|i| if pairs { pair(i) } else { line(i) }).collect();
        std::fs::write(path("all.jsonl"), lines.join("\n")).unwrap();
        let common = [
            "labels=[\"down\", \"up\"]",
            "len=64",
            "batch=2",
            "tangents=2",
            "rank=2",
            "targets=q,v",
            "layers=1..3",
            "lr=0.5",
            "seed=7",
            "local_steps=2",
            "rounds.count=2",
            "rounds.devices=2",
        ];
        let changes: Vec<String> = common.iter().chain(changes).map(|&c| c.to_owned()).collect();
        let mut settings = FleetSettings::simulated(None, Some(&path("tiny.gguf")), None, &changes).unwrap();
        settings.model.threads = Some(1);
        settings.coordinator.state = path("state");
        let study = Study {
            settings,
            devices: DEVICES as u32,
            skew: (!pairs).then_some(Skew::Dirichlet(1.0)),
            data: path("all.jsonl"),
            held_out: path("all.jsonl"),
            personal: false,
            liars: None,
            cache: folder.path().to_owned(),
            out: None,
        };
        let map = leak(Mapped::open(path("tiny.gguf")).unwrap());
        let base = leak(Base::open(map).unwrap());
        let options = study.settings.train.recipe().records.load_options();
        let data = leak(base.data(&[&study.data], &[&study.held_out], options, Bytes::mib(64)).unwrap());
        let shards = deal(&data.train, DEVICES, study.skew, study.settings.train.seed).unwrap();
        let shards = leak(shards).as_slice();
        assert!(shards.iter().all(|ids| ids.len() > 4), "{shards:?}");
        Self { folder, study, base, data, shards, lines }
    }

    pub(super) fn digest(&self) -> String {
        self.base.map.digest_hex().unwrap()
    }

    pub(super) fn fleet(&self) -> Fleet<'static> {
        let opened = leak(self.study.open(self.base, self.data, DEVICES).unwrap());
        let engine: &'static Engine<'static> = leak(self.base.engine(&opened.planned).unwrap());
        let train = &self.study.settings.train;
        let devices = self.shards.iter().map(|ids| {
            let visits = train.noise.map(|set| set.visits(set.dp, ids.len(), &train.rules()).unwrap());
            Device::new(Examples::some(&self.data.train, ids), train.guard()).noised(visits)
        });
        let devices = devices.collect();
        let mut fleet = self.study.fleet(engine, opened, self.data, devices, &self.digest()).unwrap();
        assert!(fleet.refer(&mut |_, _| true).unwrap());
        fleet
    }

    /// The settings and records of a real agent with device `i`'s lines in a file of their own.
    pub(super) fn device(&self, i: usize) -> (&'static DeviceSettings, &'static Data) {
        let path = |name: &str| -> PathBuf { self.folder.path().join(format!("device-{i}{name}")) };
        let lines: Vec<&str> = self.shards[i].iter().map(|&id| self.lines[id].as_str()).collect();
        std::fs::write(path(".jsonl"), lines.join("\n")).unwrap();
        std::fs::create_dir_all(path("")).unwrap();
        let text = format!(
            "[fleet]\nname = \"test\"\nid = \"device-{i}\"\nbroker = \"mqtt://localhost\"\n[model]\npath = \
             \"tiny.gguf\"\nthreads = 1\n[data]\ntrain = \"device-{i}.jsonl\"\n[agent]\nstate = \"device-{i}\"\n"
        );
        std::fs::write(path(".toml"), text).unwrap();
        let settings = leak(DeviceSettings::read(&path(".toml")).unwrap());
        let options = self.study.settings.train.recipe().records.load_options();
        let own = std::slice::from_ref(&settings.data.train);
        (settings, leak(self.base.data(own, &[], options, Bytes::mib(64)).unwrap()))
    }

    /// The learner of a real agent with device `i`'s lines in a file of their own.
    pub(super) fn worker(&self, i: usize) -> ModelWorker<'static> {
        let (settings, data) = self.device(i);
        let train = &self.study.settings.train;
        let opened = leak(Opened::plan(self.base, train, data, settings).unwrap());
        let engine: &'static Engine<'static> = leak(self.base.engine(&opened.planned).unwrap());
        let digest = self.digest();
        let mut worker = ModelWorker::new(self.base, engine, opened, &data.train, settings, &digest).unwrap();
        assert!(worker.refer(|_| true).unwrap());
        worker
    }
}

pub(super) fn leak<T>(value: T) -> &'static mut T {
    Box::leak(Box::new(value))
}

fn bits(scalars: &[f32]) -> Vec<u32> {
    scalars.iter().map(|s| s.to_bits()).collect()
}

/// What a simulated device learns is what an agent learns from the same lines in a file of their own: scalars, loss and
/// examples, bit for bit, in round after round.
#[test]
fn a_simulated_device_is_a_real_one() {
    for changes in [
        &[][..],
        &[EPOCH],
        &[EPOCH, "layers=0..3", "tangents=1", "directions=shared"],
        &[EXACT],
        &[EPOCH, EXACT, "up=scalars"],
        &[CATTO],
        &[PAIRS, CATTO, "lam=1", "label_loss=full"],
        &[PAIRS, CATTO, PARTS],
        &[PAIRS, EPOCH],
    ] {
        let scene = Scene::new(changes);
        let mut fleet = scene.fleet();
        let groups = fleet.server.layout().groups().len() as u16;
        for i in 0..DEVICES {
            let (number, mut worker) = (i as u32 + 1, scene.worker(i));
            for round in 0..ROUNDS {
                let share = Share { first: (round as u16 + i as u16) % (groups - 1), step: 1, count: 2 };
                let task = Task {
                    run: RunId([0; 16]),
                    round,
                    attempt: 0,
                    number,
                    groups: GroupSet { first: share.first, step: share.step, count: share.count },
                    base: Digest(fleet.server.digest()),
                    seconds: 60,
                    word: Vec::new(),
                };
                worker.begin(&task, None).unwrap();
                let trained = loop {
                    if let Some(trained) = worker.step().unwrap() {
                        break trained;
                    }
                };
                let update = fleet.train(round, number, share, &|| false).unwrap().unwrap();
                let Body::Scalars(real) = trained.body else { panic!("weights were sent") };
                assert_eq!(bits(&update.scalars), bits(&real), "{changes:?} device {i} round {round}");
                assert_eq!((update.examples, update.loss as f32), (trained.examples, trained.loss));
                assert_eq!(update.bins.map(|bins| bins.rows()).unwrap_or_default(), trained.bins);
                assert!(real.iter().any(|s| *s != 0.0));
            }
        }
    }
}

/// A study ends with the adapter of a real coordinator whose real agents train on the same lines, and counts the bytes
/// that travelled there.
#[test]
fn a_simulated_fleet_is_a_real_one() {
    for changes in [
        &["rounds.count=4"][..],
        &[EPOCH, "rounds.down=scalars"],
        &[EPOCH, "up=weights"],
        &[EPOCH, "up=auto"],
        &[EXACT],
        &[EPOCH, EXACT, "dealing=unsplit"],
        &[CATTO, "rounds.count=4"],
        &[PAIRS, EPOCH, "objective=cal-dpo", "sft_weight=0.5"],
        &[PAIRS, EPOCH, EXACT, CATTO, "kappa=2"],
        &[CATTO, PARTS, "rounds.count=4", "sft_weight=0.5"],
        &[PAIRS, CATTO, PARTS, "directions=shared"],
        &["server.robust=none"],
        &["server.robust=median", "rounds.count=4"],
        &["server.robust=trimmed", "seeds=shared", "rounds.count=4"],
        &[EPOCH, "server.robust=median"],
        &[EPOCH, EXACT, "server.robust=median", "dealing=unsplit"],
    ] {
        let scene = Scene::new(changes);
        let rounds = scene.study.settings.rounds.count.get();
        let mut fleet = scene.fleet();
        let turns: Vec<_> =
            (0..rounds).map(|round| fleet.round(round, false, &|| false).unwrap().unwrap()).collect();
        let rows = in_earnest(&scene);
        let last = &rows[rows.len() - 1];
        assert_eq!(Digest(fleet.server.digest()).to_string(), last.adapter_digest, "{changes:?}");
        for (turn, row) in turns.iter().zip(&rows) {
            // A coordinator has the mean of what devices say in single precision.
            let apart = turn.loss as f32 - row.loss.unwrap();
            assert!(turn.applied == row.reported && apart.abs() < 1e-6, "{changes:?}: {turn:?} {row:?}");
            let bins = row.calibration.as_ref().map(|found| found.bins.clone()).unwrap_or_default();
            let labelled = !changes.contains(&PAIRS);
            assert_eq!(bins, if labelled { turn.bins.rows() } else { Vec::new() }, "{changes:?}");
        }
        // Nothing else goes up in a round; down, the broker multiplies the announcement.
        let (up, down) = fleet.wire.per_device_round();
        let (real_up, real_down) = (last.bytes_up as f64 / 2.0, last.bytes_down as f64 / 2.0);
        // Devices that end in the same turn have a report each in their round, and the one of the round before came late.
        // Where a median of weights goes down, devices ask for it.
        let asked = changes.contains(&"server.robust=median");
        if scene.study.settings.train.up == Upload::Scalars && !changes.contains(&PAIRS) && !asked {
            assert!((up / real_up - 1.0).abs() < 0.02, "{changes:?}: {up} and {real_up} bytes up");
            assert!(
                (0.5 * down..down).contains(&real_down),
                "{changes:?}: {down} and {real_down} bytes down"
            );
        }
    }
}

/// Bins of all devices, put together on the coordinator, are those of all devices' items in one list, whose confidences were
/// found by the scores of their candidates: the error of the whole is exact, and no text has left a device.
#[test]
fn pooled_bins_are_those_of_all_items() {
    let scene = Scene::new(&[CATTO, "batch=20", "rounds.count=1", "rounds.devices=3"]);
    let row = in_earnest(&scene).remove(0);
    let mut fleet = scene.fleet();
    let data = &scene.data.train;
    let candidates = Candidates::new(2);
    fleet.session.learn_by(Arc::new(candidates.clone()));
    let items: Vec<(f64, bool)> = (0..data.len())
        .map(|id| {
            let batch = Minibatch::new(data, std::slice::from_ref(&id));
            fleet.session.judge(&fleet.adapter, batch, &mut [Outcome::default()]).unwrap();
            let (_, example) = batch.examples().next().unwrap();
            let Target::Label { answer, .. } = example.target else { panic!("{example:?}") };
            let logits = candidates.scores(fleet.session.parts(), 0, &example).collect();
            Item { logits, answer }.confidence(1.0)
        })
        .collect();
    let direct = Bins::of(FLEET_BINS, items);
    let found = row.calibration.unwrap();
    assert_eq!(Bins::of_rows(&found.bins), Some(direct.clone()));
    let (found, direct) = (found.summary, direct.summary());
    assert!(
        found.n == 20 && direct.ece > 0.01 && (found.ece - direct.ece).abs() < 1e-12,
        "{found:?} {direct:?}"
    );
}

/// What is sent part by part and weighed as the round is closed is what devices that weigh it themselves would send, up to
/// the rounding of single precision, and no bit else where one part alone counts; other weights lead elsewhere.
#[test]
fn parts_are_weighed_as_the_round_is_closed() {
    let digest = |changes: &[&str], lam: Option<f32>| {
        let mut scene = Scene::new(&[&[CATTO, "rounds.count=1"], changes].concat());
        scene.study.settings.coordinator.lam = lam.and_then(NotNegative::new);
        let mut fleet = scene.fleet();
        fleet.round(0, false, &|| false).unwrap().unwrap();
        (Digest(fleet.server.digest()).to_string(), fleet.server.values().to_vec())
    };
    assert_eq!(digest(&["lam=0"], None), digest(&["lam=0", PARTS], None));
    let (whole, parts) = (digest(&["lam=2"], None).1, digest(&["lam=0.1", PARTS], Some(2.0)).1);
    let near = |(a, b): (&f32, &f32)| (a - b).abs() <= 1e-4 * a.abs().max(1e-3);
    assert!(whole.iter().zip(&parts).all(near), "{whole:?} {parts:?}");
    assert_ne!(digest(&[PARTS], Some(2.0)).0, digest(&[PARTS], None).0);
}

/// Acc_p is of the weights a device ends its local training with, Acc_g of those of the server after the round.
#[test]
fn devices_are_evaluated_with_their_own_models_and_with_the_servers() {
    let scene = Scene::new(&[EPOCH, "rounds.devices=1", "lr=0.1"]);
    let mut fleet = scene.fleet();
    let all = Examples::from(&scene.data.train);
    fleet.devices.iter_mut().for_each(|d| d.test = Some(all));
    let turn = fleet.round(0, true, &|| false).unwrap().unwrap();
    let [number] = turn.chosen[..] else { panic!("{turn:?}") };
    let acc_p = turn.acc_p.unwrap().0;
    let acc_g = fleet.acc_g(&turn.chosen).unwrap().unwrap().0;
    assert_eq!((acc_p.n, acc_g.n), (20, 20));
    // The server takes over the mean of the one device, with a step length of 1: its own model, up to rounding.
    assert!((acc_p.loss - acc_g.loss).abs() < 1e-4, "{acc_p:?} {acc_g:?}");
    let before = scene.fleet().acc_g(&[number]);
    assert!(before.unwrap().is_none(), "no test part, no figure");
    let mut before = scene.fleet();
    before.devices[number as usize - 1].test = Some(all);
    let before = before.acc_g(&[number]).unwrap().unwrap().0;
    assert!((before.loss - acc_g.loss).abs() > 1e-3, "{before:?} {acc_g:?}");
}
