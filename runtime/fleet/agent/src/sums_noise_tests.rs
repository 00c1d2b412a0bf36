//! Sums with noise, against the real coordinator.

use super::tests::{Device, RECORDS, RUN, Scene, leak};
use super::*;
use sprig_learn::readout::fleet::adapt;
use sprig_transport::messages::GroupSet;

/// The total of a fleet whose devices add noise is another each time, and every time one that all checks take. Of a device
/// the coordinator has nothing but its sums.
#[test]
fn noisy_sums_of_a_fleet_are_taken_and_nothing_else_is_told() {
    let total = |dp: Option<f64>| {
        let scene = Scene::with(1, dp);
        let mut coordinator = scene.coordinator(1, 3);
        let mut devices: Vec<Device> = [0..7, 7..11, 11..RECORDS]
            .into_iter()
            .enumerate()
            .map(|(i, of)| scene.device(&format!("device-{i}"), of))
            .collect();
        while coordinator.view().unwrap().round == 0 {
            scene.turn(&mut coordinator, &mut devices);
        }
        let told = coordinator.view().unwrap().devices.iter().filter(|d| d.planned_bytes.is_some()).count();
        let (rows, total) = scene.finish(coordinator, &mut devices);
        assert_eq!((rows[0].reported, rows[0].refused, total.examples()), (3, 0, RECORDS as u64));
        (told, total)
    };
    let (told, plain) = total(None);
    assert_eq!(told, 3);
    let noisy = [total(Some(4.0)), total(Some(4.0))];
    assert_eq!((noisy[0].0, noisy[1].0), (0, 0));
    assert!(noisy[0].1 != noisy[1].1 && noisy[0].1 != plain);
}

/// Asked for a run again, a device gives what it drew for it; for another run it draws anew.
#[test]
fn noise_is_drawn_once_a_run() {
    let scene = Scene::with(1, Some(8.0));
    let (opened, settings, data) = scene.opened("device-0", 0..9).unwrap();
    assert!(opened.epsilon() == Epsilon::new(8.0));
    let opened = leak(opened);
    let engine: &'static Engine<'static> = leak(scene.base.engine(&opened.planned).unwrap());
    let mut worker = SumsWorker::new(scene.base, engine, opened, &data.train, &settings, "digest").unwrap();
    let groups = GroupSet { first: 0, step: 1, count: 1 };
    let task = Task {
        run: RUN,
        round: 0,
        number: 1,
        groups,
        base: worker.digest(),
        attempt: 0,
        seconds: 60,
        word: Vec::new(),
    };
    let mut trained = |memory: Option<&[u8]>| {
        worker.begin(&task, memory).unwrap();
        loop {
            if let Some(trained) = worker.step().unwrap() {
                return trained;
            }
        }
    };
    let first = trained(None);
    let again = trained(Some(&first.memory));
    assert!(first.quiet && again.quiet);
    assert_eq!((&again.dense, &again.memory, again.examples), (&first.dense, &first.memory, 9));
    assert_ne!(trained(None).dense, first.dense);
}

/// Whatever noise makes of a few examples can be fitted.
#[test]
fn a_fit_of_hardly_anything_but_noise_is_finite() {
    for dp in [0.01, 1.0, 8.0] {
        let scene = Scene::with(1, Some(dp));
        let mut coordinator = scene.coordinator(1, 2);
        let mut devices = vec![scene.device("device-0", 0..5), scene.device("device-1", 5..RECORDS)];
        while coordinator.view().unwrap().round == 0 {
            scene.turn(&mut coordinator, &mut devices);
        }
        let (_, total) = scene.finish(coordinator, &mut devices);
        let (opened, _, data) = scene.opened("device-0", 0..5).unwrap();
        let engine = scene.base.engine(&opened.planned).unwrap();
        let spec = scene.train.adapter(&scene.base.geometry).unwrap();
        let mut adapter = engine.adapter(&spec, [0; 2]).unwrap();
        let labels = data.train.labels().unwrap().tokens();
        let fitted = (&*total.values(), total.shape());
        adapt(&mut adapter, fitted, labels, &engine.model, &engine.ctx).unwrap();
        let values = adapter.values();
        assert!(values.iter().all(|v| v.is_finite()) && values.iter().any(|&v| v != 0.0), "ε {dp}");
    }
}

#[test]
fn the_most_private_of_fleet_and_device_holds() {
    let epsilon = |fleet: Option<f64>, device: Option<f64>| {
        let scene = Scene::with(1, fleet);
        let (_, mut settings, data) = scene.opened("device-0", 0..9).unwrap();
        settings.data.dp = device.and_then(Epsilon::new);
        let shape = scene.train.sums(&scene.base.geometry).unwrap();
        let opened = OpenedSums::plan(scene.base, (&scene.train, shape), data, &settings).unwrap();
        opened.epsilon().map(Epsilon::get)
    };
    assert_eq!(epsilon(None, None), None);
    assert_eq!(epsilon(Some(4.0), None), Some(4.0));
    assert_eq!(epsilon(Some(4.0), Some(2.0)), Some(2.0));
    assert_eq!(epsilon(Some(4.0), Some(9.0)), Some(4.0));
}
