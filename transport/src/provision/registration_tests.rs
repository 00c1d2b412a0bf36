//! What is approved, renewed, revoked, and what is refused.

use super::*;
use crate::certificate::{Certificate, DAY};
use crate::provision::{Devices, Lifetimes, Request as Wanted, provision};
use rcgen::{CertificateParams, DnType, KeyPair, PKCS_ECDSA_P384_SHA384};
use std::process::Command;

struct Made {
    dir: tempfile::TempDir,
    registration: Registration,
}

fn made() -> Made {
    let dir = tempfile::tempdir().unwrap();
    provision(dir.path(), &wanted()).unwrap();
    let registration = Registration::open(dir.path()).unwrap();
    Made { dir, registration }
}

fn wanted() -> Wanted {
    Wanted {
        fleet: Some("home".to_owned()),
        devices: Devices::Count(1),
        hosts: vec!["broker.lan".to_owned()],
        port: None,
        days: Lifetimes { authority: 1000, ..Lifetimes::default() },
    }
}

fn asked(name: &str, key: &KeyPair) -> Vec<u8> {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.serialize_request(key).unwrap().der().to_vec()
}

fn request(name: &str, key: &KeyPair) -> Request {
    Request::from_der(&asked(name, key)).unwrap()
}

/// What openssl says of a certificate in the fleet's folder, with the list of revocations.
fn verified(dir: &Path, certificate: &str) -> String {
    let mut command = Command::new("openssl");
    command.current_dir(dir).args(["verify", "-crl_check", "-purpose", "sslclient", "-CAfile", "ca/ca.crt"]);
    let output = command.args(["-CRLfile", "broker/revoked.crl", certificate]).output();
    let output = output.expect("cannot run openssl; install the Debian package openssl");
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}

#[test]
fn a_key_made_elsewhere_is_certified_and_the_folder_has_none() {
    let Made { dir, mut registration } = made();
    let key = KeyPair::generate().unwrap();
    let approved = registration.approve(&request("kitchen", &key), 90, false).unwrap();
    assert_eq!(approved.folder, dir.path().join("devices/kitchen"));
    let mut names: Vec<_> = fs::read_dir(&approved.folder)
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["ca.crt", "device.crt", "device.toml"]);
    let certificate = Certificate::read(&approved.folder.join("device.crt")).unwrap();
    assert_eq!((certificate.name(), certificate.days_left(now() + 5)), (Some("kitchen"), 89));
    assert_eq!(crate::certificate::fingerprint(certificate.key()), approved.key);
    assert!(verified(dir.path(), "devices/kitchen/device.crt").contains(": OK"));
    let last = registration.issued().last().unwrap();
    assert_eq!((&*last.id, &last.fingerprint), ("kitchen", &certificate.fingerprint()));
    // Nothing outlasts the authority.
    let long = registration.approve(&request("porch", &key), 30_000, false).unwrap();
    let authority = Certificate::read(&dir.path().join("ca/ca.crt")).unwrap();
    assert_eq!(long.not_after, authority.not_after());
    assert_eq!(authority.days_left(now() + 5), 999);
}

#[test]
fn a_name_that_is_taken_is_given_only_on_purpose_and_the_board_before_is_shut_out() {
    let Made { dir, mut registration } = made();
    let key = KeyPair::generate().unwrap();
    fs::copy(dir.path().join("devices/device-001/device.crt"), dir.path().join("old.crt")).unwrap();
    let error = registration.approve(&request("device-001", &key), 90, false).unwrap_err();
    assert!(matches!(&error, ProvisionError::Taken { id, .. } if id == "device-001"), "{error}");
    assert!(verified(dir.path(), "old.crt").contains(": OK"));
    assert!(dir.path().join("devices/device-001/device.key").exists());

    fs::write(dir.path().join("devices/device-001/device.toml"), "# mine").unwrap();
    assert_eq!(registration.approve(&request("device-001", &key), 90, true).unwrap().revoked, 1);
    assert!(verified(dir.path(), "old.crt").contains("revoked"), "{}", verified(dir.path(), "old.crt"));
    assert!(verified(dir.path(), "devices/device-001/device.crt").contains(": OK"));
    assert!(!dir.path().join("devices/device-001/device.key").exists());
    assert_eq!(fs::read_to_string(dir.path().join("devices/device-001/device.toml")).unwrap(), "# mine");
    // The same key again is nobody else.
    assert_eq!(registration.approve(&request("device-001", &key), 90, false).unwrap().revoked, 0);
}

#[test]
fn what_is_revoked_stays_so_and_its_key_is_not_taken_again() {
    let Made { dir, mut registration } = made();
    let (key, other) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    registration.approve(&request("kitchen", &key), 90, false).unwrap();
    registration.approve(&request("porch", &other), 90, false).unwrap();
    let revoked = registration.revoke("kitchen").unwrap();
    assert_eq!((revoked.count, revoked.heeded), (1, true));
    assert_eq!(revoked.list, dir.path().join("broker/revoked.crl"));
    assert!(verified(dir.path(), "devices/kitchen/device.crt").contains("revoked"));
    assert!(verified(dir.path(), "devices/porch/device.crt").contains(": OK"));
    assert!(matches!(registration.revoke("kitchen"), Err(ProvisionError::Unknown { .. })));
    assert!(matches!(registration.revoke("nobody"), Err(ProvisionError::Unknown { .. })));
    let device = DeviceId::parse("kitchen").unwrap();
    assert!(registration.renew(&device, &request("kitchen", &key), 90).is_err());
    let error = registration.approve(&request("kitchen", &key), 90, true).unwrap_err().to_string();
    assert!(error.contains("was revoked"), "{error}");
    // Another key may have the name; and all of it is known to the next process.
    drop(registration);
    let mut registration = Registration::open(dir.path()).unwrap();
    registration.approve(&request("kitchen", &other), 90, false).unwrap();
    assert!(verified(dir.path(), "devices/kitchen/device.crt").contains(": OK"));
}

#[test]
fn a_certificate_is_renewed_for_its_own_device_and_key_in_its_last_third() {
    let Made { dir, mut registration } = made();
    let (key, other) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let kitchen = DeviceId::parse("kitchen").unwrap();
    let porch = DeviceId::parse("porch").unwrap();
    registration.approve(&request("kitchen", &key), 90, false).unwrap();
    let file = dir.path().join("devices/kitchen/device.crt");
    let first = fs::read_to_string(&file).unwrap();
    // Too early: the same again, whoever lost it.
    assert_eq!(registration.renew(&kitchen, &request("kitchen", &key), 90).unwrap(), first);
    assert!(registration.renew(&kitchen, &request("kitchen", &other), 90).is_err());
    let error = registration.renew(&porch, &request("kitchen", &key), 90).unwrap_err().to_string();
    assert!(error.contains("porch asks for a certificate of kitchen"), "{error}");
    drop(registration);

    // Sixty-one days later, as far as the register says.
    let path = dir.path().join("ca/issued.jsonl");
    let lines = fs::read_to_string(&path).unwrap();
    let last = lines.lines().last().unwrap();
    let signed: i64 = last.split("\"signed\":").nth(1).unwrap().split(',').next().unwrap().parse().unwrap();
    let earlier = |field: &str, by: i64| {
        let at: i64 = last.split(field).nth(1).unwrap().split(',').next().unwrap().parse().unwrap();
        (format!("{field}{at}"), format!("{field}{}", at - by))
    };
    let mut aged = lines.clone();
    for (from, to) in [earlier("\"signed\":", 61 * DAY), earlier("\"not_after\":", 61 * DAY)] {
        aged = aged.replace(&from, &to);
    }
    assert!(signed > 0 && aged != lines);
    fs::write(&path, aged).unwrap();
    let mut registration = Registration::open(dir.path()).unwrap();
    let renewed = registration.renew(&kitchen, &request("kitchen", &key), 90).unwrap();
    assert_ne!(renewed, first);
    assert_eq!(fs::read_to_string(&file).unwrap(), renewed);
    assert!(verified(dir.path(), "devices/kitchen/device.crt").contains(": OK"));
    assert_eq!(registration.renew(&kitchen, &request("kitchen", &key), 90).unwrap(), renewed);
}

#[test]
fn an_answer_that_is_lost_is_given_again_where_the_folder_was_taken_to_the_device() {
    let Made { dir, mut registration } = made();
    let key = KeyPair::generate().unwrap();
    let kitchen = DeviceId::parse("kitchen").unwrap();
    registration.approve(&request("kitchen", &key), 90, false).unwrap();
    fs::remove_dir_all(dir.path().join("devices/kitchen")).unwrap();
    // What holds is nowhere to be read, so there is a new one, once.
    let first = registration.renew(&kitchen, &request("kitchen", &key), 90).unwrap();
    let signed = registration.issued().len();
    drop(registration);
    let mut registration = Registration::open(dir.path()).unwrap();
    assert_eq!(registration.renew(&kitchen, &request("kitchen", &key), 90).unwrap(), first);
    assert_eq!(registration.issued().len(), signed);
    assert!(!dir.path().join("devices/kitchen").exists());
}

#[test]
fn a_fleet_without_a_register_gets_one_of_what_lies_in_its_folders() {
    let Made { dir, registration } = made();
    let before: Vec<_> = registration.issued().iter().map(|i| (i.id.clone(), i.serial.clone())).collect();
    drop(registration);
    fs::remove_file(dir.path().join("ca/issued.jsonl")).unwrap();
    fs::remove_file(dir.path().join("broker/revoked.crl")).unwrap();
    let conf = dir.path().join("broker/mosquitto.conf");
    let text = fs::read_to_string(&conf).unwrap().replace("crlfile", "#crlfile");
    fs::write(&conf, text).unwrap();
    let mut registration = Registration::open(dir.path()).unwrap();
    let found: Vec<_> = registration.issued().iter().map(|i| (i.id.clone(), i.serial.clone())).collect();
    assert_eq!((found, before.len()), (before, 3));
    assert!(!registration.revoke("device-001").unwrap().heeded);
    assert!(verified(dir.path(), "devices/device-001/device.crt").contains("revoked"));
}

#[test]
fn requests_that_should_not_be_are_named() {
    let key = KeyPair::generate().unwrap();
    let other = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap();
    let mut forged = asked("kitchen", &key);
    let at = forged.windows(7).position(|w| w == b"kitchen").unwrap();
    forged[at] = b'x';
    for (der, expected) in [
        (asked("kitchen", &other), "P-256"),
        (asked("coordinator", &key), "not `coordinator`"),
        (asked("Kitchen", &key), "\"Kitchen\""),
        (asked("a/b", &key), "\"a/b\""),
        (forged, "not by its own key"),
        (b"nonsense".to_vec(), "not a request"),
    ] {
        let error = Request::from_der(&der).unwrap_err().to_string();
        assert!(error.contains(expected), "{error} has no {expected}");
    }
    let dir = tempfile::tempdir().unwrap();
    assert!(matches!(Registration::open(dir.path()), Err(ProvisionError::NoAuthority(_))));
    let file = dir.path().join("x.csr");
    fs::write(&file, "hello").unwrap();
    let error = Request::read(&file).unwrap_err().to_string();
    assert!(error.contains("x.csr: it is not a request"), "{error}");
}
