//! Devices with keys of their own: enrolled, taking part, and shut out for good.

use super::world::{World, device};
use std::fs;
use std::os::unix::fs::PermissionsExt;

/// Enrols `id` in a folder of its own, as on another machine; returns the key's fingerprint.
fn ask(world: &World, id: &str) -> String {
    let asked = world.scene.done(&format!("enrol --id {id} --dir {id} --json")).last();
    assert_eq!(asked["new_key"], true, "{asked}");
    asked["fingerprint"].as_str().unwrap().to_owned()
}

#[test]
fn a_device_with_a_key_of_its_own_takes_part_until_it_is_revoked() {
    let mut world = World::new("");
    let scene = &world.scene;
    let fingerprint = ask(&world, "kitchen");
    assert_eq!(fs::metadata(scene.path("kitchen/device.key")).unwrap().permissions().mode() & 0o777, 0o600);
    let key = scene.bytes("kitchen/device.key");
    let again = scene.done("enrol --id kitchen --dir kitchen --json").last();
    assert_eq!((&again["new_key"], &again["fingerprint"]), (&false.into(), &fingerprint.clone().into()));
    assert_eq!(scene.bytes("kitchen/device.key"), key);

    let approved = scene.done("fleet approve kitchen/kitchen.csr --days 20 --json").last();
    assert_eq!((&approved["device"], &approved["fingerprint"]), (&"kitchen".into(), &fingerprint.into()));
    assert!(!scene.has("fleet/devices/kitchen/device.key"));
    let installed =
        scene.done("enrol --dir kitchen --install fleet/devices/kitchen/device.crt --json").last();
    assert_eq!((&installed["device"], &installed["not_after"]), (&"kitchen".into(), &approved["not_after"]));
    assert_eq!(scene.bytes("kitchen/device.crt"), scene.bytes("fleet/devices/kitchen/device.crt"));
    assert!(scene.has("kitchen/ca.crt") && scene.has("kitchen/device.toml"));

    // It stands in for the second device, whose settings it gets; its key was never at the authority.
    let settings = String::from_utf8(scene.bytes("fleet/devices/device-002/device.toml")).unwrap();
    scene.write("fleet/devices/kitchen/device.toml", &settings.replace(&device(2), "kitchen"));
    fs::copy(scene.path("kitchen/device.key"), scene.path("fleet/devices/kitchen/device.key")).unwrap();
    world.start("coordinator");
    world.start(&device(1));
    world.start("kitchen");
    let done = world.finish();
    assert_eq!(done["rounds"], 4, "{done}");
    let (mut taken, mut shown) = (0, String::new());
    for (who, e) in world.events.iter().filter(|(_, e)| e["event"] == "receipt") {
        taken += usize::from(who == "kitchen" && e["verdict"] == "accepted");
        shown += &format!("{who} {e}\n");
    }
    assert!(taken > 0, "{shown}");
    // Its end is near, and told once; those of the others are not.
    let told: Vec<_> = world.events.iter().filter(|(_, e)| e["event"] == "expiring").collect();
    assert!(
        told.len() == 1 && told[0].0 == "kitchen" && (19..=20).contains(&told[0].1["days"].as_i64().unwrap()),
        "{told:?}"
    );

    let revoked = world.scene.done("fleet revoke kitchen --json").last();
    assert_eq!((&revoked["revoked"], &revoked["heeded"]), (&1.into(), &true.into()));
    world.reload_broker();
    let refused = |world: &mut World| {
        world.start("kitchen");
        loop {
            if let Some(ended) = world.ended("kitchen") {
                return ended;
            }
            world.next(std::time::Duration::from_millis(50));
        }
    };
    // The broker reads its list between two messages.
    let mut ended = refused(&mut world);
    for _ in 0..20 {
        if ended.0 == Some(6) {
            break;
        }
        ended = refused(&mut world);
    }
    assert!(ended.0 == Some(6) && ended.1.contains("CertificateRevoked"), "{ended:?}");
    let listed = world.scene.done("fleet certificates").out;
    assert!(listed.lines().last().unwrap().starts_with("kitchen"), "{listed}");
    assert!(listed.lines().last().unwrap().contains("revoked"), "{listed}");
}

#[test]
fn requests_wait_for_a_word_and_expected_ones_need_none() {
    let world = World::new("");
    let scene = &world.scene;
    let asked = ["attic", "porch", "shed"].map(|id| ask(&world, id));
    fs::create_dir(scene.path("fleet/requests")).unwrap();
    for id in ["attic", "porch", "shed"] {
        let file = format!("fleet/requests/{id}.csr");
        fs::copy(scene.path(&format!("{id}/{id}.csr")), scene.path(&file)).unwrap();
    }
    scene.write("fleet/requests/junk.csr", "hello");
    let shown = scene.done("fleet requests").out;
    assert!(asked.iter().all(|print| shown.contains(print)) && shown.contains("junk.csr"), "{shown}");

    // One is expected by name, one by another key, one not at all.
    scene.write("ids.txt", &format!("# tonight\nattic\n\nporch {}\n", asked[2]));
    let ran = scene.done("fleet approve --expected ids.txt --json").events();
    let approved: Vec<_> = ran.iter().filter_map(|e| e["device"].as_str()).collect();
    assert_eq!(approved, ["attic"], "{ran:?}");
    assert_eq!(ran.iter().filter(|e| e.get("left").is_some()).count(), 3, "{ran:?}");
    assert!(!scene.has("fleet/requests/attic.csr") && scene.has("fleet/requests/porch.csr"));
    scene.write("ids.txt", &format!("porch {}\n", asked[1].to_uppercase()));
    let ran = scene.done("fleet approve --expected ids.txt --json").events();
    assert!(ran.iter().any(|e| e["device"] == "porch"), "{ran:?}");

    scene.done("fleet reject shed");
    scene.fails(5, "fleet approve shed", &["shed.csr"]);
    scene.done("fleet approve shed/shed.csr");
    scene.fails(3, "fleet approve fleet/requests/junk.csr", &["junk.csr: it is not a request"]);
    scene.write("ids.txt", "not/a/name\n");
    scene.fails(3, "fleet approve --expected ids.txt", &["ids.txt: line 1"]);
    // A name that is taken, and a board that takes its place.
    scene.done("enrol --id porch --dir other");
    scene.fails(2, "fleet approve other/porch.csr", &["porch has a certificate of another key", "--replace"]);
    let replaced = scene.done("fleet approve other/porch.csr --replace --json").last();
    assert_eq!(replaced["revoked"], 1, "{replaced}");
    scene.fails(3, "enrol --dir porch --install fleet/devices/porch/device.crt", &["of another key"]);
    scene.fails(2, "fleet revoke nobody", &["nobody has no certificate"]);
    scene.fails(2, "fleet requests --authority other", &["holds no fleet's authority"]);
    scene.fails(2, "enrol --dir nowhere --install fleet/devices/porch/device.crt", &["sprig enrol --id"]);
    scene.fails(2, "enrol --id A/B", &["A/B"]);
}
