//! Fleets whose steps nobody sees: a simulated one is a real one, and what they sum up is what they would send.

use super::earnest::{heard_in_earnest, in_earnest};
use super::tests::{DEVICES, Scene};
use sprig_learn::spry::Share;
use sprig_transport::messages::Digest;

const EPOCH: &str = "mode=per-epoch";
const SECURE: &str = "secure_aggregation=true";

/// Over the real coordinator and agents with their keys: the same bits.
#[test]
fn a_simulated_fleet_that_hides_its_steps_is_a_real_one() {
    for changes in [
        &["rounds.count=3"][..],
        &[EPOCH],
        &[EPOCH, "estimator=reverse"],
        &["rounds.count=3", "objective=catto", "rounds.down=weights"],
    ] {
        let scene = Scene::new(&[&[SECURE, "rounds.devices=3"], changes].concat());
        let mut fleet = scene.fleet();
        let start = fleet.server.digest();
        for round in 0..scene.study.settings.rounds.count.get() {
            let turn = fleet.round(round, false, &|| false).unwrap().unwrap();
            assert_eq!(turn.applied, 3);
        }
        let rows = in_earnest(&scene);
        let last = rows.last().unwrap();
        assert_eq!(Digest(fleet.server.digest()).to_string(), last.adapter_digest, "{changes:?}");
        assert_ne!(fleet.server.digest(), start);
        // Neither how large their losses were nor how sure they are leaves the devices.
        assert!(rows.iter().all(|row| row.loss.is_none() && row.calibration.is_none()), "{rows:?}");
        let (up, _) = fleet.wire.per_device_round();
        assert!(last.bytes_up as f64 / 3.0 > 0.9 * up, "{} {up}", last.bytes_up);
    }
}

/// The same devices that are seen one by one end within a rounding of the adapter of their sum.
#[test]
fn what_is_hidden_is_what_would_be_seen() {
    for changes in [&["seeds=shared", "directions=shared"][..], &[EPOCH, "up=weights"]] {
        let common = ["dealing=unsplit", "rounds.devices=3", "server.robust=none"];
        let values = |more: &[&str]| {
            let scene = Scene::new(&[&common[..], changes, more].concat());
            let mut fleet = scene.fleet();
            (0..2).for_each(|round| drop(fleet.round(round, false, &|| false).unwrap().unwrap()));
            fleet.server.values().to_vec()
        };
        let (seen, hidden) = (values(&[]), values(&[SECURE]));
        let furthest = seen.iter().zip(&hidden).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(furthest < 1e-4, "{changes:?}: {furthest}");
        let moved = seen.iter().map(|v| v.abs()).fold(0.0, f32::max);
        assert!(moved > 1e-2, "{changes:?}: {moved}");
    }
}

/// Of all that passes the broker no message has a device's scalars or weights, neither as they would be sent openly nor as the
/// whole numbers that are hidden, though the same search finds them in a fleet that sends them.
#[test]
fn no_message_holds_what_a_device_found() {
    for changes in [&["seeds=shared", "directions=shared"][..], &[EPOCH, "up=weights"]] {
        for hidden in [true, false] {
            let common = ["dealing=unsplit", "rounds.devices=3", "rounds.count=1", "server.robust=none"];
            let secure = if hidden { &[SECURE][..] } else { &[] };
            let scene = Scene::new(&[&common[..], changes, secure].concat());
            let mut fleet = scene.fleet();
            let groups = fleet.server.layout().groups().len() as u16;
            let share = Share { first: 0, step: 1, count: groups };
            let base = fleet.server.part(share);
            let (_, heard) = heard_in_earnest(&scene);
            let holds =
                |needle: &[u8]| heard.iter().any(|b| b.windows(needle.len()).any(|window| window == needle));
            for number in 1..=DEVICES as u32 {
                let update = fleet.train(0, number, share, &|| false).unwrap().unwrap();
                let numbers = if update.weights.is_empty() { &update.scalars } else { &update.weights };
                let open: Vec<u8> = numbers[..2].iter().flat_map(|v| v.to_le_bytes()).collect();
                let whole = update.integers(fleet.server.rules(), &base).unwrap();
                let whole: Vec<u8> = whole[..2].iter().flat_map(|v| v.to_le_bytes()).collect();
                assert_eq!((holds(&open), holds(&whole)), (!hidden, false), "{changes:?} {number}");
            }
        }
    }
}

/// Noise that devices share is less of it in the sum than if each adds all: over many scalars, by about as many as they are.
#[test]
fn shared_noise_is_less_noise_in_all() {
    let scalars = |more: &[&str]| -> f64 {
        let common = [
            "rounds.devices=3",
            "tangents=32",
            "noise.dp=1",
            "noise.rounds=50",
            "lr=0.05",
            "server.rule=avg",
            SECURE,
            "batch=4",
            "rounds.down=scalars",
        ];
        let scene = Scene::new(&[&common[..], more].concat());
        let mut fleet = scene.fleet();
        let square = |round| {
            let before = fleet.server.values().to_vec();
            fleet.round(round, false, &|| false).unwrap().unwrap();
            let moved = fleet.server.values().iter().zip(&before).map(|(a, b)| f64::from(a - b).powi(2));
            moved.sum::<f64>()
        };
        (0..12).map(square).sum::<f64>().sqrt()
    };
    let (alone, shared) = (scalars(&[]), scalars(&["noise.noise_among=2"]));
    // Three parts of a half instead of three wholes: √2 less, and a signal that is little beside either.
    assert!(shared < 0.85 * alone && shared > 0.57 * alone, "{shared} {alone}");
}
