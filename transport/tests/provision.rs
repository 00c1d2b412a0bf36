//! What `provision` makes, on the real broker: Debian's mosquitto.

#![allow(clippy::unwrap_used)] // A failed unwrap is a failed test.

use sprig_testkit::mosquitto::{Mosquitto, free_port};
use sprig_transport::link::{Event, Link, LinkConfig};
use sprig_transport::mqtt::connect;
use sprig_transport::provision::{Devices, Lifetimes, Registration, Request, provision};
use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(20);

/// A process that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

struct Fleet {
    dir: tempfile::TempDir,
    request: Request,
    broker: Mosquitto,
}

fn start(command: &mut Command, package: &str) -> Child {
    let program = command.get_program().to_owned();
    command.spawn().unwrap_or_else(|error| {
        panic!("cannot run {}: {error}; install the Debian package {package}", program.display())
    })
}

fn wait_until(what: &str, mut met: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !met() {
        assert!(Instant::now() < end, "waited {PATIENCE:?} for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

impl Fleet {
    /// Two devices and a broker that runs.
    fn new() -> Fleet {
        let dir = tempfile::tempdir().unwrap();
        let port = free_port();
        let request = Request {
            fleet: Some("kitchen".to_owned()),
            devices: Devices::Count(2),
            hosts: vec!["localhost".to_owned()],
            port: Some(port),
            days: Lifetimes { devices: 30, servers: 30, authority: 60 },
        };
        let made = provision(&dir.path().join("fleet"), &request).unwrap();
        let broker = Mosquitto::configured(&made.broker, port);
        Fleet { dir, request, broker }
    }

    fn path(&self, path: &str) -> PathBuf {
        self.dir.path().join("fleet").join(path)
    }

    /// Folder and certificate of a client.
    fn identity(&self, who: &str) -> (PathBuf, &'static str) {
        match who {
            "coordinator" => (self.path("coordinator"), "coordinator"),
            device => (self.path("devices").join(device), "device"),
        }
    }

    fn client(&self, program: &str, who: &str) -> Command {
        let (folder, stem) = self.identity(who);
        let mut command = Command::new(program);
        let port = self.broker.port().to_string();
        command.args(["-V", "mqttv5", "-q", "1", "-i", who, "-h", "localhost", "-p", &port]).arg("--cafile");
        command.arg(folder.join("ca.crt")).arg("--cert").arg(folder.join(format!("{stem}.crt")));
        command.arg("--key").arg(folder.join(format!("{stem}.key")));
        command
    }

    fn publish(&self, who: &str, topic: &str, payload: &str) -> Output {
        let mut command = self.client("mosquitto_pub", who);
        command.args(["-t", &format!("sprig/1/kitchen/{topic}"), "-m", payload]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        start(&mut command, "mosquitto-clients").wait_with_output().unwrap()
    }

    /// Listens to all of the fleet that it may hear. Returns once its subscription stands: a message that
    /// it may hear has come from `prober` (another: a second session of its own would end the first).
    fn listen(&self, who: &str, prober: &str, probe: &str) -> Ear {
        let log = self.dir.path().join(format!("{who}.heard"));
        let mut command = self.client("mosquitto_sub", who);
        command.args(["-v", "-t", "sprig/1/kitchen/#"]).stdout(File::create(&log).unwrap());
        let ear = Ear { _client: Running(start(&mut command, "mosquitto-clients")), log };
        wait_until("a subscription", || {
            assert!(self.publish(prober, probe, "probe").status.success());
            ear.heard().contains("probe")
        });
        ear
    }
}

struct Ear {
    _client: Running,
    log: PathBuf,
}

impl Ear {
    fn heard(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }
}

#[test]
fn a_device_may_write_only_its_own_topics() {
    let fleet = Fleet::new();
    let ear = fleet.listen("coordinator", "device-002", "want/device-002");
    let elsewhere = [
        "update/device-002",
        "presence/device-002",
        "report/device-002",
        "want/device-002",
        "up/device-002/aa/0",
        "renew/device-002",
        "certificate/device-001",
        "receipt/device-001",
        "task/device-001",
        "offer/device-001",
        "round",
        "job",
        "blob/aa/0",
    ];
    let own = [
        "presence/device-001",
        "report/device-001",
        "want/device-001",
        "up/device-001/aa/0",
        "renew/device-001",
        "update/device-001",
    ];
    elsewhere.iter().for_each(|topic| drop(fleet.publish("device-001", topic, "forged")));
    own.iter().for_each(|topic| drop(fleet.publish("device-001", topic, "own")));
    wait_until("the last message", || ear.heard().contains("update/device-001 own"));
    assert!(!ear.heard().contains("forged"), "{}", ear.heard());
    for topic in own {
        assert!(ear.heard().contains(&format!("sprig/1/kitchen/{topic} own")), "{topic}: {}", ear.heard());
    }
}

#[test]
fn a_device_hears_what_is_for_all_or_for_itself() {
    let fleet = Fleet::new();
    let ear = fleet.listen("device-001", "coordinator", "job");
    for kind in ["task", "receipt", "certificate", "offer", "update"] {
        let topic = &format!("{kind}/device-002");
        assert!(fleet.publish("coordinator", topic, "another's").status.success());
    }
    fleet.publish("device-002", "report/device-002", "another's");
    let own = [
        "round",
        "blob/aa/0",
        "task/device-001",
        "receipt/device-001",
        "certificate/device-001",
        "offer/device-001",
    ];
    own.iter().for_each(|topic| drop(fleet.publish("coordinator", topic, "own")));
    wait_until("the last message", || ear.heard().contains("offer/device-001 own"));
    assert!(!ear.heard().contains("another's"), "{}", ear.heard());
    assert!(own.iter().all(|topic| ear.heard().contains(&format!("{topic} own"))), "{}", ear.heard());
}

#[test]
fn a_client_must_show_a_certificate_of_this_fleet() {
    let fleet = Fleet::new();
    assert!(fleet.publish("device-001", "update/device-001", "x").status.success());

    let port = fleet.broker.port().to_string();
    let bare = Command::new("mosquitto_pub")
        .args(["-h", "localhost", "-p", &port, "-t", "sprig/1/kitchen/job", "-m", "x", "--cafile"])
        .arg(fleet.path("coordinator/ca.crt"))
        .output()
        .unwrap();
    assert!(!bare.status.success());

    // Same names, another authority.
    let other = fleet.dir.path().join("other");
    provision(&other, &fleet.request).unwrap();
    for file in ["device.crt", "device.key"] {
        fs::copy(other.join("devices/device-001").join(file), fleet.path("devices/device-002").join(file))
            .unwrap();
    }
    assert!(!fleet.publish("device-002", "update/device-001", "x").status.success());

    // And a device takes no broker of another authority for its own.
    fs::copy(other.join("ca/ca.crt"), fleet.path("devices/device-001/ca.crt")).unwrap();
    assert!(!fleet.publish("device-001", "update/device-001", "x").status.success());
}

#[test]
fn a_device_pushes_no_other_off_the_broker() {
    let fleet = Fleet::new();
    let ear = fleet.listen("device-001", "coordinator", "job");
    let mut thief = fleet.client("mosquitto_pub", "device-002");
    thief.args(["-i", "device-001", "-t", "sprig/1/kitchen/update/device-002", "-m", "x"]);
    assert!(start(&mut thief, "mosquitto-clients").wait().unwrap().success());
    assert!(fleet.publish("coordinator", "round", "still here").status.success());
    wait_until("the next message", || ear.heard().contains("still here"));
    let log = fleet.broker.log();
    assert!(!log.contains("device-001 already connected"), "{log}");
}

#[test]
fn packets_beyond_the_limit_are_refused() {
    let fleet = Fleet::new();
    let ear = fleet.listen("coordinator", "device-002", "want/device-002");
    let large = "x".repeat(sprig_transport::messages::Update::MAX);
    fleet.publish("device-001", "update/device-001", &"y".repeat(64 << 10));
    fleet.publish("device-001", "update/device-001", &large);
    wait_until("the largest message", || ear.heard().contains(&large));
    assert!(!ear.heard().contains('y'), "a packet of 64 KiB came through");
}

#[test]
fn our_own_link_takes_these_certificates() {
    let fleet = Fleet::new();
    let link = |who: &str, host: &str| {
        let (folder, stem) = fleet.identity(who);
        let identity = Some((folder.join(format!("{stem}.crt")), folder.join(format!("{stem}.key"))));
        // Addresses are certified as well as the name.
        let url = format!("mqtts://{host}:{}", fleet.broker.port());
        connect(&LinkConfig { ca: Some(folder.join("ca.crt")), identity, ..LinkConfig::new(&url, who) })
            .unwrap()
    };
    let mut coordinator = link("coordinator", "127.0.0.1");
    coordinator.subscribe("sprig/1/kitchen/update/+").unwrap();
    wait_until("the coordinator", || matches!(coordinator.next(PATIENCE).unwrap(), Some(Event::Connected)));
    let mut device = link("device-001", "[::1]");
    device.publish("sprig/1/kitchen/update/device-001", b"own".to_vec(), false).unwrap();
    let heard = coordinator.next(PATIENCE).unwrap();
    assert!(matches!(&heard, Some(Event::Message { payload, .. }) if payload == b"own"), "{heard:?}");
}

#[test]
fn a_new_device_joins_a_broker_that_runs() {
    let fleet = Fleet::new();
    let more = Request { devices: Devices::Names(vec!["porch".to_owned()]), ..fleet.request.clone() };
    provision(&fleet.path(""), &more).unwrap();
    let ear = fleet.listen("coordinator", "device-002", "want/device-002");
    assert!(fleet.publish("porch", "update/porch", "hello").status.success());
    wait_until("the newcomer", || ear.heard().contains("update/porch hello"));
}

#[test]
fn certificates_hold_on_a_machine_whose_clock_starts_in_1970() {
    let fleet = Fleet::new();
    let chain = |time: u64, certificate: &str, purpose: &str| {
        let mut command = Command::new("openssl");
        command.args(["verify", "-attime", &time.to_string(), "-purpose", purpose, "-CAfile"]);
        command.arg(fleet.path("ca/ca.crt")).arg(fleet.path(certificate));
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        start(&mut command, "openssl").wait_with_output().unwrap()
    };
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    for time in [10, now, now + 29 * 86_400] {
        for (certificate, purpose) in [
            ("devices/device-001/device.crt", "sslclient"),
            ("coordinator/coordinator.crt", "sslclient"),
            ("broker/server.crt", "sslserver"),
        ] {
            let output = chain(time, certificate, purpose);
            assert!(output.status.success(), "{certificate} at {time}: {output:?}");
        }
    }
    assert!(!chain(now + 31 * 86_400, "broker/server.crt", "sslserver").status.success());
    assert!(!chain(now, "broker/server.crt", "sslclient").status.success());
}

#[test]
fn a_revoked_device_is_refused_by_a_broker_that_runs_and_the_others_are_not() {
    let fleet = Fleet::new();
    let gets_in = |who: &str| fleet.publish(who, &format!("update/{who}"), "x").status.success();
    assert!(gets_in("device-001") && gets_in("device-002"));
    let mut registration = Registration::open(&fleet.path("")).unwrap();
    assert!(registration.revoke("device-001").unwrap().heeded);
    fleet.broker.reload();
    wait_until("the list", || !gets_in("device-001"));
    assert!(gets_in("device-002") && gets_in("coordinator"));
    // A later list takes the place of the one that it has.
    registration.revoke("device-002").unwrap();
    fleet.broker.reload();
    wait_until("the later list", || !gets_in("device-002"));
    assert!(!gets_in("device-001") && gets_in("coordinator"));
    drop(registration);
    let more = Request { devices: Devices::Names(vec!["porch".to_owned()]), ..fleet.request.clone() };
    provision(&fleet.path(""), &more).unwrap();
    assert!(gets_in("porch"));
}

#[test]
fn a_session_that_stands_goes_on_until_the_broker_is_started_again() {
    let mut fleet = Fleet::new();
    let ear = fleet.listen("device-001", "coordinator", "job");
    let mut registration = Registration::open(&fleet.path("")).unwrap();
    registration.revoke("device-001").unwrap();
    registration.revoke("device-002").unwrap();
    fleet.broker.reload();
    // Asked of the other: another session of the first would end the one that stands.
    wait_until("the list", || !fleet.publish("device-002", "update/device-002", "x").status.success());
    assert!(fleet.publish("coordinator", "round", "still heard").status.success());
    wait_until("what it still hears", || ear.heard().contains("still heard"));
    fleet.broker.kill();
    fleet.broker.start();
    assert!(fleet.publish("coordinator", "round", "after").status.success());
    assert!(!fleet.publish("device-001", "update/device-001", "x").status.success());
    assert!(!ear.heard().contains("after"), "{}", ear.heard());
}
