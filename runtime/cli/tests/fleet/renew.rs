//! A device's certificate that ends: told of, renewed over the connection, and used from the next one on.

use super::world::{World, device};
use serde_json::json;
use std::time::{SystemTime, UNIX_EPOCH};

/// Seconds of a day.
const DAY: u64 = 86_400;

/// Appends a line to the register as the authority does.
fn enter(world: &World, line: &str) {
    let register = String::from_utf8(world.scene.bytes("fleet/ca/issued.jsonl")).unwrap();
    world.scene.write("fleet/ca/issued.jsonl", &format!("{register}{line}\n"));
}

/// Of the certificates that the register has of `id`, the number and the last second of each.
fn issued(world: &World, id: &str) -> Vec<(String, u64)> {
    let register = String::from_utf8(world.scene.bytes("fleet/ca/issued.jsonl")).unwrap();
    let lines = register.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let of = lines.filter(|line| line["issued"]["id"] == *id);
    of.map(|line| {
        let issued = &line["issued"];
        (issued["serial"].as_str().unwrap().to_owned(), issued["not_after"].as_u64().unwrap())
    })
    .collect()
}

#[test]
fn a_certificate_that_ends_is_renewed_over_the_connection_and_used_from_the_next_one_on() {
    let mut world = World::new("");
    let scene = &world.scene;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let fleet = String::from_utf8(scene.bytes("fleet/coordinator/fleet.toml")).unwrap();
    scene.write("fleet/coordinator/fleet.toml", &(fleet + "authority = \"..\"\ncertificate_days = 100\n"));
    scene.done("enrol --id kitchen --dir kitchen");
    scene.done("fleet approve kitchen/kitchen.csr --days 20");
    scene.done("enrol --dir kitchen --install fleet/devices/kitchen/device.crt");
    let (key, first) = (scene.bytes("kitchen/device.key"), scene.bytes("kitchen/device.crt"));
    // It was signed two months ago, and is in the last third of its life.
    let register = String::from_utf8(scene.bytes("fleet/ca/issued.jsonl")).unwrap();
    let (before, last) = register.trim_end().rsplit_once('\n').unwrap();
    let mut last: serde_json::Value = serde_json::from_str(last).unwrap();
    last["issued"]["signed"] = json!(now - 60 * DAY);
    scene.write("fleet/ca/issued.jsonl", &format!("{before}\n{last}\n"));
    // It stands in for the second device, and stays when the run is over.
    let settings = String::from_utf8(scene.bytes("fleet/devices/device-002/device.toml")).unwrap();
    let settings = settings
        .replace(&device(2), "kitchen")
        .replace("\"device.", "\"../../../kitchen/device.")
        .replace("[agent]\n", "[agent]\nstay = true\n");
    scene.write("fleet/devices/kitchen/device.toml", &settings);
    world.start("coordinator");
    world.until("connected", |who, e| who == "coordinator" && e["event"] == "connected");
    world.start(&device(1));
    world.start("kitchen");
    world.until("end", |who, e| who == "coordinator" && e["event"] == "done");

    let of = |who: &str, name: &str| {
        let events = world.events.iter().filter(|(from, e)| from == who && e["event"] == *name);
        events.map(|(_, e)| e.clone()).collect::<Vec<_>>()
    };
    let told = of("kitchen", "expiring");
    assert!(
        told.len() == 1 && told[0]["problem"].as_str().unwrap().contains("kitchen/device.crt ends in "),
        "{told:?}"
    );
    assert_eq!(of(&device(1), "expiring").len() + of("coordinator", "expiring").len(), 0);
    let (renewed, signed) = (of("kitchen", "renewed"), of("coordinator", "renewed"));
    assert!(renewed.len() == 1 && signed.len() == 1 && signed[0]["device"] == "kitchen", "{signed:?}");
    let [(old, _), (new, end)] = &issued(&world, "kitchen")[..] else { panic!("not signed once more") };
    assert_eq!((&renewed[0]["not_after"], &signed[0]["until"]), (&json!(end), &json!(end)));
    assert!(end.abs_diff(now + 100 * DAY) < 600 && old != new, "{end} {now}");
    let scene = &world.scene;
    assert_eq!(scene.bytes("kitchen/device.key"), key);
    let second = scene.bytes("kitchen/device.crt");
    assert!(second != first && second == scene.bytes("fleet/devices/kitchen/device.crt"));

    // The first one holds no more; the list is written when the next one is revoked.
    enter(&world, &json!({ "revoked": { "serial": old, "at": now } }).to_string());
    world.scene.done("fleet revoke device-002");
    world.stop_broker();
    world.until("parting", |who, e| who == "kitchen" && e["event"] == "disconnected");
    world.start_broker();
    let back = world.until("return", |who, e| {
        who == "kitchen" && (e["event"] == "connected" || e.to_string().contains("CertificateRevoked"))
    });
    assert_eq!(back["event"], "connected", "{back}");
    // Somebody is about to put another one there by hand: it is told of, and the one that was read before serves meanwhile.
    let half = String::from_utf8(second[..second.len() / 2].to_vec()).unwrap();
    world.scene.write("kitchen/device.crt", &half);
    world.stop_broker();
    world.until("what is wrong", |who, e| who == "kitchen" && e.to_string().contains("kitchen/device.crt"));
    world.start_broker();
    world.until("return", |who, e| who == "kitchen" && e["event"] == "connected");
    world.kill("kitchen");
    // With the first one nobody is let in.
    let settings = String::from_utf8(world.scene.bytes("fleet/devices/kitchen/device.toml")).unwrap();
    world.scene.write("kitchen/first.crt", &String::from_utf8(first).unwrap());
    let settings = settings.replace("kitchen/device.crt", "kitchen/first.crt");
    world.scene.write("fleet/devices/kitchen/device.toml", &settings);
    world.scene.fails(6, "agent --config fleet/devices/kitchen/device.toml", &["CertificateRevoked"]);
}
