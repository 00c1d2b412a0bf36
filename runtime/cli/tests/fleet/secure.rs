//! Steps that nobody sees but in sum, through processes and a real broker.

use super::scene::Scene;
use super::world::{Setup, World, device};

pub const STEPS: &str = "secure_aggregation = true\nlen = 64\nbatch = 2\ntangents = 2\nrank = 2\ntargets = \"q,v\"\nlayers = \"1..3\"\n";

/// A fleet of three that hide their steps, and send nothing openly: not started.
fn fleet(more: &str) -> World {
    let train = format!("{STEPS}{more}");
    let world = World::with(Scene::new(), &Setup { devices: 3, rounds: 3, train, ..Setup::default() });
    for i in 1..=3 {
        let settings = format!("fleet/devices/{}/device.toml", device(i));
        world.edit(&settings, "[data]\n", "[data]\nsecure_aggregation = true\n");
    }
    world
}

fn start(world: &mut World) {
    world.start("coordinator");
    (1..=3).for_each(|i| world.start(&device(i)));
}

/// By scalars and by weights: every round has all three, the adapter is another than it began with, and the same whether all
/// follow the rounds or act on their tasks alone; nothing of a device's losses is told.
#[test]
fn steps_that_nobody_sees_make_an_adapter() {
    for more in ["", "mode = \"per-epoch\"\nlocal_steps = 2\nestimator = \"reverse\"\n"] {
        let run = |follow: &str| {
            let mut world = fleet(more);
            world.edit(
                "fleet/coordinator/fleet.toml",
                "quorum = 3",
                &format!("quorum = 3\nfollow = {follow:?}"),
            );
            start(&mut world);
            let done = world.finish();
            let rounds: Vec<_> = world.events.iter().filter(|(_, e)| e["event"] == "round").collect();
            assert!(rounds.len() == 3 && rounds.iter().all(|(_, e)| e["reported"] == 3), "{rounds:?}");
            assert!(rounds.iter().all(|(_, e)| e["loss"].is_null()), "{rounds:?}");
            let trained = world.events.iter().filter(|(_, e)| e["event"] == "trained").count();
            assert!(trained >= 9, "{trained}");
            assert_ne!(rounds[0].1["adapter_digest"], rounds[2].1["adapter_digest"]);
            (done["adapter_digest"].clone(), world.adapter())
        };
        assert_eq!(run("all"), run("selected"), "{more}");
    }
}

/// With noise that two of the three have among them.
#[test]
fn steps_with_noise_that_devices_share_are_taken() {
    let mut world = fleet("[train.noise]\ndp = 8.0\nnoise_among = 2\n");
    start(&mut world);
    let done = world.finish();
    assert_eq!((done["rounds"].as_u64(), done["abandoned"].as_u64()), (Some(3), Some(0)), "{done}");
    let spent: Vec<_> = world.events.iter().filter(|(_, e)| e["event"] == "spent").collect();
    assert!(
        !spent.is_empty() && spent.iter().all(|(_, e)| e["epsilon"].as_f64().unwrap() <= 8.0),
        "{spent:?}"
    );
}
