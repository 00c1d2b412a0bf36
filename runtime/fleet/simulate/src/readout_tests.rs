//! A simulated read-out against the learners of real agents: the same sums.

use super::tests::{Scene, leak};
use super::*;
use sprig_agent::{OpenedSums, SumsWorker, Worker};
use sprig_budget::Plan;
use sprig_learn::readout::fleet::FleetSums;
use sprig_protocol::FleetError;
use sprig_transport::messages::{Digest, GroupSet, RunId, Task};

/// Keeps what it is told.
#[derive(Default)]
struct Notes {
    dealt: Option<Dealt>,
    points: Vec<Point>,
}

impl Follower for Notes {
    fn stop(&self) -> bool {
        false
    }

    fn planned(&mut self, _: &Plan) -> Result<(), FleetError> {
        Ok(())
    }

    fn dealt(&mut self, dealt: &Dealt) {
        self.dealt = Some(*dealt);
    }

    fn evaluating(&mut self, _: usize, _: usize) {}

    fn point(&mut self, point: &Point) {
        self.points.push(*point);
    }
}

fn findings(changes: &[&str]) -> (Scene, Findings, Notes) {
    let scene = Scene::new(&[&["readout.directions=8", "readout.min_examples=2"], changes].concat());
    let mut notes = Notes::default();
    let found = scene.study.run(&mut notes).unwrap();
    (scene, found, notes)
}

#[test]
fn a_simulated_read_out_is_a_real_one() {
    let (scene, found, notes) = findings(&["rounds.count=5"]);
    let train = &scene.study.settings.train;
    let shape = train.sums(&scene.base.geometry).unwrap();
    let mut total = FleetSums::new(shape);
    for i in 0..3 {
        let (settings, data) = scene.device(i);
        let opened = leak(OpenedSums::plan(scene.base, (train, shape), data, settings).unwrap());
        let engine = leak(scene.base.engine(&opened.planned).unwrap());
        let mut worker =
            SumsWorker::new(scene.base, engine, opened, &data.train, settings, &scene.digest()).unwrap();
        let task = Task {
            run: RunId([0; 16]),
            round: 0,
            attempt: 0,
            number: i as u32 + 1,
            groups: GroupSet { first: 0, step: 1, count: 1 },
            base: Digest(FleetSums::new(shape).digest()),
            seconds: 60,
            word: Vec::new(),
        };
        worker.begin(&task, None).unwrap();
        let trained = loop {
            if let Some(trained) = worker.step().unwrap() {
                break trained;
            }
        };
        let own = FleetSums::unpacked(shape, &trained.dense, trained.examples.into()).unwrap();
        total.merge(&own).unwrap();
    }
    assert_eq!(Digest(total.digest()).to_string(), found.adapter_digest);
    // Two of three devices give theirs in the first round, the third in the second, and nobody is left then.
    assert_eq!((found.rounds, found.mode, found.stopped), (2, "readout", false));
    assert_eq!(found.coverage.iter().flatten().sum::<u64>(), 20);
    let rounds: Vec<_> = notes.points.iter().map(|point| (point.round, point.found.is_some())).collect();
    assert_eq!(rounds, [(0, true), (1, false), (2, false), (2, true)]);
    let last = notes.points.last().unwrap();
    assert!(last.bytes_up_per_device_round > 100.0 && last.passes > 3.0, "{last:?}");
}

/// What a study has kept of its examples serves the next one, to the bit; a study that saw only some of them keeps nothing.
#[test]
fn rows_that_are_kept_make_the_same_sums() {
    let (scene, found, _) = findings(&["rounds.count=1"]);
    let kept = scene.study.cache.join("train.rows");
    assert!(!kept.exists() && found.coverage.iter().flatten().sum::<u64>() < 20);
    let (mut scene, found, _) = findings(&["rounds.devices=3", "readout.dp=8"]);
    let kept = scene.study.cache.join("train.rows");
    let bytes = std::fs::read(&kept).unwrap();
    let run = |study: &Study| study.run(&mut Notes::default()).unwrap().adapter_digest;
    assert_eq!(run(&scene.study), found.adapter_digest);
    // They are read: with others on the disk the sums are others.
    let mut other = bytes.clone();
    other[300..].chunks_exact_mut(4).for_each(|number| number[3] ^= 0x80);
    std::fs::write(&kept, other).unwrap();
    assert_ne!(run(&scene.study), found.adapter_digest);
    std::fs::write(&kept, bytes).unwrap();
    // For another noise, and devices that have other shares.
    scene.study.devices = 2;
    let fewer = run(&scene.study);
    std::fs::remove_file(&kept).unwrap();
    assert_eq!(run(&scene.study), fewer);
}

#[test]
fn noise_is_another_for_another_seed_and_devices_with_too_few_records_stay_out() {
    let digest = |changes: &[&str]| findings(changes).1.adapter_digest;
    let noisy = |seed: &str| digest(&["rounds.devices=3", "readout.dp=8", seed]);
    assert_eq!(noisy("seed=7"), noisy("seed=7"));
    assert_ne!(noisy("seed=7"), digest(&["rounds.devices=3"]));
    assert_ne!(noisy("seed=7"), noisy("seed=8"));
    let (_, found, notes) = findings(&["rounds.devices=3", "readout.min_examples=7"]);
    let dealt = notes.dealt.unwrap();
    assert_eq!((dealt.devices + dealt.excluded, found.devices), (3, dealt.devices));
    assert!(dealt.excluded > 0 && dealt.fewest >= 7, "{dealt:?}");
    let scene = Scene::new(&["readout.min_examples=21"]);
    let error = scene.study.run(&mut Notes::default()).unwrap_err().to_string();
    assert!(error.contains("no device has 21 examples"), "{error}");
}
