//! Thousands of synthetic devices through a real mosquitto against a coordinator in a process of its own.

// A test ends at the first thing that goes wrong, and says where.
#![allow(clippy::unwrap_used)]

use sprig_simulate::{self as simulate, Plan};
use sprig_testkit::mosquitto::Mosquitto;
use sprig_transport::link::{LinkConfig, LinkError};
use sprig_transport::mqtt::{self, Many, MqttLink};
use std::process::{Child, Command};
use std::sync::atomic::AtomicBool;
use tempfile::TempDir;

/// Tells a process started by this test what it is: the load's name, the broker's URL, and the state folder.
const ROLE: &str = "SPRIG_TEST_LOAD_COORDINATOR";

/// The load of that name.
fn plan(name: &str) -> Plan {
    match name {
        "shared" => Plan::new("load", 2000, 8),
        "own" => Plan { connections: 200, per_round: 50, by_task: true, ..Plan::new("load", 200, 4) },
        other => panic!("no load {other}"),
    }
}

fn link(url: &str, name: &str) -> Result<MqttLink, LinkError> {
    mqtt::connect(&LinkConfig::new(url, name))
}

/// Ends with the test, however that ends.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Not a test of itself: the coordinator's process.
#[test]
fn coordinator_process() {
    let Ok(role) = std::env::var(ROLE) else { return };
    let [name, url, state] = role.split(' ').collect::<Vec<_>>()[..] else { panic!("{role}") };
    let link = link(url, "coordinator").unwrap();
    let stop = AtomicBool::new(false);
    assert!(simulate::coordinate(&plan(name), state.as_ref(), link, Box::new(|_| {}), &stop).unwrap());
}

/// Starts the coordinator of a load.
fn coordinator(name: &str, broker: &Mosquitto, state: &TempDir) -> Process {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "coordinator_process"]);
    command.env(ROLE, format!("{name} {} {}", broker.url(), state.path().display()));
    Process(command.spawn().unwrap())
}

#[test]
fn memory_is_bounded_by_device_and_flat_over_rounds() {
    let (broker, state) = (Mosquitto::open(), tempfile::tempdir().unwrap());
    let (mut coordinator, plan) = (coordinator("shared", &broker, &state), plan("shared"));
    let load = simulate::load(&plan, coordinator.0.id(), |name| link(&broker.url(), name)).unwrap();
    assert!(coordinator.0.wait().unwrap().success());
    // Each device's update of each round is in the ledger once.
    assert_eq!(load.accepted, u64::from(plan.devices * plan.rounds), "{load:#?}");
    // Some 3.5 KB here; messages that pile up while the machine is busy come on top, 512 of them at most.
    assert!(load.bytes_per_device <= 5120.0, "{load:#?}");
    // Means of three rounds, for each has up to 0.7 MB more or less. From one to the other the ledger's cache, 8 MiB, fills up
    // by 0.3 to 1.1 MB; updates that nobody lets go of would be 2.1 MB more.
    let mean = |rounds: &[u64]| rounds.iter().sum::<u64>() / rounds.len() as u64;
    let (before, after) = (mean(&load.rss_rounds[1..4]), mean(&load.rss_rounds[5..8]));
    assert!(after <= before + (3 << 19), "{load:#?}");
    println!("{}", serde_json::to_string_pretty(&load).unwrap());
}

/// Every device has a connection, and none hears of a round without a task; whoever has one is brought the adapter first.
#[test]
fn devices_on_connections_of_their_own_fetch_the_adapter_of_each_task() {
    let (broker, state) = (Mosquitto::open(), tempfile::tempdir().unwrap());
    let (mut coordinator, plan) = (coordinator("own", &broker, &state), plan("own"));
    let many = Many::start().unwrap();
    let connect = |name: &str| many.connect(&LinkConfig::new(&broker.url(), name));
    let load = simulate::load(&plan, coordinator.0.id(), connect).unwrap();
    assert!(coordinator.0.wait().unwrap().success());
    let updates = u64::from(plan.per_round * plan.rounds);
    // A round ends with a part of its updates, while others are at work.
    assert!((updates / 2..=updates).contains(&load.accepted), "{load:#?}");
    assert!((load.accepted..=updates).contains(&load.fetched), "{load:#?}");
}
