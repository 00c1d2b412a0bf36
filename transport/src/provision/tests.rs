//! What is made, what is kept, what is refused.

use super::*;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;

fn request(count: u32) -> Request {
    Request {
        fleet: Some("kitchen".to_owned()),
        devices: Devices::Count(count),
        hosts: vec!["broker.lan".to_owned(), "192.168.1.7".to_owned()],
        port: None,
        days: Lifetimes::default(),
    }
}

/// Every file below `dir` with its content.
fn contents(dir: &Path) -> BTreeMap<PathBuf, String> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => files.extend(contents(&path)),
            false => drop(files.insert(path.clone(), fs::read_to_string(&path).unwrap())),
        }
    }
    files
}

#[test]
fn a_whole_fleet_with_private_keys() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("a/fleet");
    let made = provision(&out, &request(2)).unwrap();
    assert_eq!(made.url, "mqtts://broker.lan:8883");
    assert!(made.new_authority);
    assert_eq!(made.devices, [out.join("devices/device-001"), out.join("devices/device-002")]);

    let files = contents(&out);
    let names: Vec<_> = files.keys().map(|path| path.strip_prefix(&out).unwrap().to_str().unwrap()).collect();
    assert_eq!(
        names,
        [
            "broker/acl",
            "broker/ca.crt",
            "broker/mosquitto.conf",
            "broker/revoked.crl",
            "broker/server.crt",
            "broker/server.key",
            "ca/ca.crt",
            "ca/ca.key",
            "ca/identity",
            "ca/issued.jsonl",
            "coordinator/ca.crt",
            "coordinator/coordinator.crt",
            "coordinator/coordinator.key",
            "coordinator/fleet.toml",
            "devices/device-001/ca.crt",
            "devices/device-001/device.crt",
            "devices/device-001/device.key",
            "devices/device-001/device.toml",
            "devices/device-002/ca.crt",
            "devices/device-002/device.crt",
            "devices/device-002/device.key",
            "devices/device-002/device.toml",
        ]
    );
    for path in files.keys() {
        let mode = fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let expected = if path.extension().is_some_and(|e| e == "key") { 0o600 } else { 0o644 };
        assert_eq!(mode, expected, "{}", path.display());
    }
    // Nothing is left of the making.
    assert_eq!(fs::read_dir(dir.path().join("a")).unwrap().count(), 1);
}

#[test]
fn a_second_run_adds_devices_and_touches_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let first = provision(dir.path(), &request(1)).unwrap();
    let before = contents(dir.path());
    let again = Request { hosts: Vec::new(), devices: Devices::Count(3), ..request(3) };
    let second = provision(dir.path(), &again).unwrap();
    assert_eq!((second.new_authority, second.kept, second.devices.len()), (false, 1, 2));
    assert_eq!(second.url, first.url);
    let after = contents(dir.path());
    let register = dir.path().join("ca/issued.jsonl");
    // The register alone grows.
    assert!(after[&register].starts_with(&before[&register]) && after[&register].lines().count() == 5);
    assert!(before.iter().all(|(path, text)| *path == register || after[path] == *text));
    assert_eq!(after.len(), before.len() + 8);

    let named = Request { devices: Devices::Names(vec!["porch".to_owned()]), ..again };
    assert_eq!(provision(dir.path(), &named).unwrap().devices, [dir.path().join("devices/porch")]);
}

#[test]
fn a_deleted_folder_is_made_anew_by_the_same_authority() {
    let dir = tempfile::tempdir().unwrap();
    provision(dir.path(), &request(1)).unwrap();
    let authority = fs::read_to_string(dir.path().join("ca/ca.crt")).unwrap();
    // The broker moves: refused as long as the old one is there.
    let moved = Request { hosts: vec!["new.lan".to_owned()], port: Some(9000), ..request(1) };
    let error = provision(dir.path(), &moved).unwrap_err().to_string();
    assert!(error.contains("broker.lan, 192.168.1.7 on port 8883; to move it"), "{error}");

    fs::remove_dir_all(dir.path().join("broker")).unwrap();
    fs::remove_dir_all(dir.path().join("devices/device-001")).unwrap();
    let made = provision(dir.path(), &moved).unwrap();
    assert_eq!((made.url.as_str(), made.kept), ("mqtts://new.lan:9000", 0));
    let read = |path: &str| fs::read_to_string(dir.path().join(path)).unwrap();
    assert_eq!(read("broker/ca.crt"), authority);
    assert!(read("broker/mosquitto.conf").contains("\nlistener 9000\n"));
    assert!(read("devices/device-001/device.toml").contains("mqtts://new.lan:9000"));
}

#[test]
fn what_is_not_a_fleet_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("thesis.tex"), "x").unwrap();
    assert!(matches!(provision(dir.path(), &request(1)), Err(ProvisionError::Occupied(_))));
    assert_eq!(contents(dir.path()).len(), 1);

    let other = tempfile::tempdir().unwrap();
    provision(other.path(), &request(1)).unwrap();
    let garden = Request { fleet: Some("garden".to_owned()), ..request(1) };
    assert!(matches!(provision(other.path(), &garden), Err(ProvisionError::OtherFleet { .. })));
    let porch = Request { fleet: None, devices: Devices::Names(vec!["porch".to_owned()]), ..request(1) };
    assert_eq!(provision(other.path(), &porch).unwrap().devices, [other.path().join("devices/porch")]);
    fs::write(other.path().join("ca/identity"), "fleet ../x\n").unwrap();
    assert!(matches!(provision(other.path(), &request(1)), Err(ProvisionError::Damaged { .. })));
}

#[test]
fn a_failed_first_run_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("fleet");
    // Fails at the very end: a folder cannot take the place of a link.
    std::os::unix::fs::symlink("nowhere", &out).unwrap();
    assert!(matches!(provision(&out, &request(1)), Err(ProvisionError::Io { .. })));
    let left: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["fleet"]);
}

#[test]
fn wrong_requests_name_what_is_wrong() {
    let dir = tempfile::tempdir().unwrap();
    let names = |name: &str| Devices::Names(vec![name.to_owned()]);
    let host = |host: &str| vec![host.to_owned()];
    let long = "a".repeat(49);
    for (wrong, expected) in [
        (Request { fleet: Some("Kitchen".to_owned()), ..request(1) }, "fleet name \"Kitchen\""),
        (Request { devices: names("a/b"), ..request(1) }, "device name \"a/b\""),
        (Request { devices: names(&long), ..request(1) }, "1 to 48"),
        (Request { devices: names("coordinator"), ..request(1) }, "not `coordinator`"),
        (Request { devices: Devices::Count(0), ..request(1) }, "0 devices"),
        (Request { devices: Devices::Count(100_001), ..request(1) }, "100001 devices"),
        (Request { hosts: host("mqtt://x"), ..request(1) }, "broker host \"mqtt://x\""),
        (Request { hosts: host("x\nlistener 1883"), ..request(1) }, "broker host"),
        (Request { hosts: host(""), ..request(1) }, "broker host"),
        (Request { days: Lifetimes { devices: 0, ..Default::default() }, ..request(1) }, "0 days"),
        (Request { days: Lifetimes { servers: 0, ..Default::default() }, ..request(1) }, "0 days"),
        (Request { days: Lifetimes { authority: 36_526, ..Default::default() }, ..request(1) }, "36526 days"),
    ] {
        let error = provision(&dir.path().join("x"), &wrong).unwrap_err().to_string();
        assert!(error.contains(expected), "{error} has no {expected}");
    }
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn an_address_of_version_6_is_bracketed_in_urls() {
    let dir = tempfile::tempdir().unwrap();
    let made = provision(dir.path(), &Request { hosts: vec!["fd00::7".to_owned()], ..request(1) }).unwrap();
    assert_eq!(made.url, "mqtts://[fd00::7]:8883");
}

#[test]
fn a_broker_for_this_machine_alone_listens_to_it_alone() {
    let dir = tempfile::tempdir().unwrap();
    for (hosts, line) in [
        (vec!["127.0.0.1"], "listener 8883 127.0.0.1\n"),
        (vec!["127.0.0.1", "broker.lan"], "listener 8883\n"),
    ] {
        let hosts: Vec<_> = hosts.into_iter().map(str::to_owned).collect();
        let made = provision(&dir.path().join(hosts.join("-")), &Request { hosts, ..request(1) }).unwrap();
        assert!(fs::read_to_string(made.broker.join("mosquitto.conf")).unwrap().contains(line));
    }
}
