//! Devices that are not what they seem: one that died with the broker, one whose updates are refused, one that is two.

use super::client::Client;
use super::pace::{CONFIG, devices, three_report, world};
use super::world::{World, device};
use serde_json::Value;
use sprig_transport::link::{Event, Link};
use sprig_transport::messages::{Body, DeviceId, Presence, Task, Update};
use sprig_transport::topics::{Topic, Topics};
use std::time::Duration;

/// A fleet of three whose devices have all reported once.
fn three(rounds: usize, quorum: usize) -> World {
    let mut world = world(3, rounds);
    let file = "fleet/coordinator/fleet.toml";
    let settings = std::fs::read_to_string(world.folder(file)).unwrap();
    world.scene.write(file, &settings.replace("quorum = 1", &format!("quorum = {quorum}")));
    three_report(&mut world);
    world
}

/// The rounds, none of which took as long as its deadline of 300 seconds.
fn rounds(world: &World) -> Vec<Value> {
    let rows = world.scene.done(&format!("fleet history --json {CONFIG}")).events();
    assert!(rows.iter().all(|row| row["seconds"].as_f64().unwrap() < 100.0), "{rows:#?}");
    rows
}

/// The broker cannot say that it is gone.
#[test]
fn a_board_that_dies_with_the_broker_is_asked_less_and_less() {
    let mut world = three(9, 1);
    world.scene.done(&format!("fleet pause {CONFIG}"));
    world.stop_broker();
    world.kill(&device(3));
    world.start_broker();
    for who in ["coordinator", &device(1), &device(2)] {
        let back = |at: &str, e: &Value| at == who && e["event"] == "connected";
        let seen = world.events.iter().rev().take_while(|(_, e)| e["event"] != "disconnected");
        if !seen.into_iter().any(|(at, e)| back(at, e)) {
            world.until("its return", back);
        }
    }
    let ghost = devices(&world).into_iter().find(|d| d["id"] == *device(3)).unwrap();
    assert_ne!(ghost["state"], "absent", "nobody said that it is gone: {ghost}");
    world.scene.done(&format!("fleet resume {CONFIG}"));
    world.finish();
    let rows = rounds(&world);
    // After the first, of the seven or eight rounds that follow it is asked in the first, third and sixth at most.
    assert!(rows.iter().filter(|row| row["selected"] == 3).count() <= 4, "{rows:#?}");
}

/// Every round needs three updates, and one of three devices sends what is no number: others do its share.
#[test]
fn a_device_whose_updates_are_refused_holds_up_no_round_and_is_quarantined() {
    let mut world = three(30, 3);
    let rogue = device(3);
    world.kill(&rogue);
    let (id, topics) = (DeviceId::parse(&rogue).unwrap(), Topics::new("test").unwrap());
    let mut client = Client::enter(&world, &rogue);
    let here = Presence {
        online: true,
        session: 7,
        board: "rogue".into(),
        software: "sprig 0.1.0".into(),
        budget: 1 << 30,
        rate: 1e6,
        tangents: 2,
        examples: 12,
    };
    client.say(&topics.presence(&id), &here.encode());
    let mut sent = 0;
    let quarantined = |world: &World| world.events.iter().any(|(_, e)| e["event"] == "quarantined");
    while !quarantined(&world) {
        while world.next(Duration::ZERO).is_some() {}
        let Some(Event::Message { topic, payload }) = client.link.next(Duration::from_millis(50)).unwrap()
        else {
            continue;
        };
        if topics.parse(&topic) != Some(Topic::Task(id.clone())) {
            continue;
        }
        let Ok(Task { run, round, number, groups, base, .. }) = Task::decode(&payload) else { continue };
        let body = Body::Scalars(vec![f32::NAN; 4]);
        let update = Update { run, round, number, groups, base, examples: 2, loss: 1.0, bins: vec![], body };
        client.say(&topics.update(&id), &update.encode());
        sent += 1;
    }
    client.leave();
    let done = world.finish();
    assert_eq!((done["rounds"].as_u64(), done["abandoned"].as_u64()), (Some(30), Some(0)), "{done}");
    let rows = rounds(&world);
    let refused = rows.iter().map(|row| row["refused"].as_u64().unwrap()).sum::<u64>();
    assert!(sent >= 5 && refused >= 5, "{sent} {refused}");
    assert!(rows.iter().all(|row| row["reported"].as_u64() >= Some(2)), "{rows:#?}");
}

/// A card was copied: two boards have one name and one certificate, and push each other off the broker.
#[test]
fn two_boards_of_one_name_are_told_of_by_name() {
    let mut world = three(40, 1);
    let settings = String::from_utf8(world.scene.bytes("fleet/devices/device-003/device.toml")).unwrap();
    for file in ["ca.crt", "device.crt", "device.key"] {
        let from = world.folder(&format!("fleet/devices/device-003/{file}"));
        std::fs::create_dir_all(world.folder("fleet/devices/clone")).unwrap();
        std::fs::copy(from, world.folder(&format!("fleet/devices/clone/{file}"))).unwrap();
    }
    world.scene.write("fleet/devices/clone/device.toml", &settings);
    world.start("clone");
    let told = world.until("that there are two", |_, e| e["event"] == "twins");
    assert_eq!(told["device"], *device(3), "{told}");
    world.kill("clone");
    world.finish();
}
