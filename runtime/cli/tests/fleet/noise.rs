//! Steps by scalars with noise, through processes and a real broker.

use super::scene::Scene;
use super::world::{Setup, World};

const NOISE: &str = "len = 64\nbatch = 2\ntangents = 2\nrank = 2\ntargets = \"q,v\"\nlayers = \"1..3\"\n";

/// Each device says what it spends, round by round, up to the run's ε; nothing else of its examples leaves: no loss, no report,
/// no speed. With `rounds` spent, devices sit the rest out, and its rounds are abandoned.
#[test]
fn a_fleet_with_noise_tells_what_it_spends_and_nothing_else() {
    let train = format!("{NOISE}[train.noise]\ndp = 8.0\n");
    let mut world = World::with(Scene::new(), &Setup { rounds: 6, train, ..Setup::default() });
    world.start_all();
    let done = world.finish();
    assert_eq!(done["rounds"].as_u64(), Some(6), "{done}");
    let of = |event: &str| -> Vec<_> { world.events.iter().filter(|(_, e)| e["event"] == event).collect() };
    let spent: Vec<f64> = of("spent").iter().map(|(_, e)| e["epsilon"].as_f64().unwrap()).collect();
    assert_eq!(spent.len(), 12, "{spent:?}");
    assert!(spent.iter().all(|&e| e > 0.5 && e <= 8.0), "{spent:?}");
    // Twelve examples, two a round: six rounds are one pass, which spends all of it at once.
    assert!(spent.iter().all(|&e| e > 7.9), "{spent:?}");
    assert!(of("noise").len() == 2 && of("noise").iter().all(|(_, e)| e["epsilon"] == 8.0));
    assert!(of("trained").iter().all(|(_, e)| e["loss"].is_null()), "{:?}", of("trained"));
    let closed = of("round");
    assert!(closed.len() == 6 && closed.iter().all(|(_, e)| e["loss"].is_null()), "{closed:?}");
    assert!(of("joined").iter().all(|(_, e)| e["rate"].as_f64().unwrap_or(0.0) == 0.0));
}

/// Whoever trained for a run shorter than it is takes part no more, says so, and the fleet ends by itself.
#[test]
fn devices_that_have_spent_it_all_sit_the_rest_out() {
    let train = format!("{NOISE}[train.noise]\ndp = 8.0\nrounds = 2\n");
    let mut world = World::with(Scene::new(), &Setup { rounds: 8, train, ..Setup::default() });
    let config = "fleet/coordinator/fleet.toml";
    let text = std::fs::read_to_string(world.folder(config)).unwrap();
    let text = text.replace("deadline_seconds = 60", "deadline_seconds = 2.0\nattempts = 1");
    world.scene.write(config, &text);
    world.start_all();
    let done = world.finish();
    let passed: Vec<_> = world.events.iter().filter(|(_, e)| e["event"] == "passed").collect();
    assert!(passed.len() >= 2, "{passed:?}");
    assert!(passed.iter().all(|(_, e)| e["why"].as_str().unwrap().contains("is spent")), "{passed:?}");
    assert_eq!(done["rounds"].as_u64(), Some(8), "{done}");
    assert_eq!(done["abandoned"].as_u64(), Some(2), "{done}");
}
