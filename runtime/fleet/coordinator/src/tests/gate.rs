//! The gate: what a round made is announced only if it is not worse, on held-out data, than the best so far.

use super::world::{World, core, every, options};
use crate::core::Core;
use crate::rows::HeldOut;
use crate::*;
use sprig_testkit::power::Disk;

fn run(rounds: u32, accuracy: fn(Applied) -> f64, change: impl Fn(&mut Options)) -> (World, Core) {
    let mut options = options(3, rounds);
    options.evaluate = every(1);
    change(&mut options);
    let mut world = World::new(options, 3);
    world.accuracy = accuracy;
    let mut core = core(&Disk::default(), &world.options.clone());
    world.run(&mut core).unwrap();
    (world, core)
}

fn rows(core: &Core) -> Vec<RoundRow> {
    core.ledger.history(RoundId::FIRST).unwrap()
}

/// What a round made is worse than what the one before it made: that comes back, with its moments, is what devices are sent,
/// and the next round begins with it.
#[test]
fn a_round_that_makes_it_worse_is_taken_back() {
    let (world, core) = run(4, |applied| if applied == Applied(3) { 0.1 } else { 0.6 }, |_| {});
    let rows = rows(&core);
    let states: Vec<_> = rows.iter().map(|row| row.state.as_str()).collect();
    assert_eq!(states, ["closed", "closed", "reverted", "closed"]);
    assert_eq!(rows[2].adapter_digest, rows[1].adapter_digest);
    assert_ne!(rows[3].adapter_digest, rows[1].adapter_digest);
    assert_eq!((rows[2].reported, rows[2].accuracy), (3, Some(0.6)), "what is there now");
    let [good, back] = [2, 3].map(|applied| {
        let row = core.ledger.snapshot_row(Applied(applied)).unwrap().unwrap();
        core.ledger.snapshot(&row).unwrap()
    });
    assert_eq!((good.values, good.moments), (back.values, back.moments));
    assert!(core.ledger.record(RoundId(2)).unwrap().is_none(), "nothing that leads to the other");
    let told: Vec<String> = world.notices.iter().map(Notice::to_string).collect();
    let expected = "round 2 is not announced: held out loss 0.2500, 10.0 % of 13, which is worse than loss 0.3333, 60.0 % of 12; \
                    the adapter after 2 rounds comes back";
    assert!(told.iter().any(|line| line == expected), "{told:?}");
    assert_eq!(core.ledger.reverted().unwrap(), 1);
}

/// A slow decline, each step within the interval of the one before, is measured by the best of all.
#[test]
fn a_decline_in_small_steps_is_seen() {
    let (_, core) = run(6, |applied| 0.9 - 0.12 * f64::from(applied.0), |_| {});
    let states: Vec<_> = rows(&core).into_iter().map(|row| row.state).collect();
    assert_eq!(states[..2], ["closed", "closed"]);
    assert_eq!(states[3..], ["reverted"; 3]);
}

#[test]
fn without_the_gate_rounds_go_on_meanwhile() {
    let (_, core) = run(3, |applied| 0.9 / f64::from(applied.0 + 1), |options| options.gate = false);
    assert!(rows(&core).iter().all(|row| row.state == "closed" && row.accuracy.is_some()));
}

#[test]
fn worse_is_beyond_the_interval_of_the_best() {
    let labels = |accuracy, n| HeldOut { loss: 1.0, loss_error: None, accuracy: Some(accuracy), n };
    // 81 of 263: 0.2553 to 0.3662.
    assert!(labels(0.25, 263).is_worse(&labels(81.0 / 263.0, 263)));
    assert!(!labels(0.26, 263).is_worse(&labels(81.0 / 263.0, 263)));
    // Tokens: by the loss, whatever their accuracy.
    let text = |loss, accuracy| HeldOut { loss, loss_error: Some(0.03), accuracy: Some(accuracy), n: 9000 };
    assert!(!text(2.08, 0.1).is_worse(&text(2.0, 0.5)));
    assert!(text(2.09, 0.5).is_worse(&text(2.0, 0.5)) && text(f64::NAN, 0.5).is_worse(&text(2.0, 0.5)));
}
