//! A device in a memory control group whose limit is its budget, with no swap: what the kernel would kill on a board.

use super::scene::{Scene, model};
use super::world::{Setup, World, device};
use sprig_testkit::group::Group;
use std::fs;
use std::process::Command;

/// Less than the model's file and what training holds beside it: weights come and go.
const BUDGET: u64 = 120 << 20;
const ROUNDS: usize = 2;

#[test]
fn real_model_rounds_are_completed_in_a_group_that_holds_no_more_than_the_budget() {
    let group = match Group::new("agent", BUDGET) {
        Ok(group) => group,
        Err(why) => {
            println!("SKIPPED: no memory control group can be made here: {why}");
            return;
        }
    };
    let scene = Scene::new();
    // A copy for each, the device's with pages that nobody has read: they are charged to the group, as on a board.
    for name in ["coordinator.gguf", "device.gguf"] {
        let copy = scene.path(name);
        fs::copy(model(), &copy).unwrap();
        fs::File::open(&copy).unwrap().sync_all().unwrap();
        let mut forget = Command::new("dd");
        forget.arg(format!("if={}", copy.display())).args(["iflag=nocache", "count=0"]);
        assert!(forget.output().unwrap().status.success());
    }
    let train = "len = 96\nbatch = 8\ntangents = 4\nrank = 8\ntargets = \"q,v,o\"\nlayers = \"22..30\"\n";
    let models = ["coordinator.gguf", "device.gguf"];
    let train = train.to_owned();
    let setup = Setup { devices: 1, rounds: ROUNDS, train, models, budget: "120MiB", ..Setup::default() };
    let mut world = World::with(scene, &setup);
    world.group = Some(group.members());
    world.start("coordinator");
    world.start(&device(1));
    let done = world.finish();
    assert_eq!(
        (done["rounds"].as_u64(), done["updates"].as_f64()),
        (Some(ROUNDS as u64), Some(ROUNDS as f64))
    );
    let planned = world.events.iter().find(|(_, e)| e["event"] == "planned").unwrap().1["plan_bytes"].clone();
    let (charged, killed) = group.usage();
    println!(
        "budget {BUDGET}, planned {planned}, peak {}, charged at most {charged}, at the limit {} times",
        done["peak_rss_bytes_max"],
        group.times_full()
    );
    assert!(killed == 0 && charged <= BUDGET, "{killed} killed, {charged} charged");
    assert!(
        planned.as_u64() <= Some(BUDGET) && done["peak_rss_bytes_max"].as_u64() <= Some(BUDGET),
        "{done}"
    );
}
