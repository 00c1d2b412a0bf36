//! A device and an authority over a broker in memory.

use super::*;
use crate::certificate::DAY;
use crate::link::Event;
use crate::memory::{Hub, broker};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use std::path::Path;

/// A device whose certificate ends in some days, and who signs for it.
struct World {
    folder: tempfile::TempDir,
    issuer: Issuer<'static, KeyPair>,
    hub: Hub,
    id: DeviceId,
    topics: Topics,
}

impl World {
    fn new(days: i64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        enrol::ask(folder.path(), "kitchen").unwrap();
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        std::fs::write(folder.path().join("ca.crt"), params.self_signed(&key).unwrap().pem()).unwrap();
        let (id, topics) = (DeviceId::parse("kitchen").unwrap(), Topics::new("home").unwrap());
        let world = Self { folder, issuer: Issuer::new(params, key), hub: broker(), id, topics };
        std::fs::write(world.at("device.crt"), world.signed("kitchen", days)).unwrap();
        world
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn signed(&self, name: &str, days: i64) -> String {
        let key = KeyPair::from_pem(&std::fs::read_to_string(self.at("device.key")).unwrap()).unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        let end = time::OffsetDateTime::from_unix_timestamp(now() + days * DAY + 60).unwrap();
        params.not_after = end;
        params.signed_by(&key, &self.issuer).unwrap().pem()
    }

    fn renewal(&self) -> Renewal {
        let files = ["device.crt", "device.key", "ca.crt"].map(|name| self.at(name));
        let own = Own::new(self.id.clone(), self.topics.clone(), files);
        Renewal::new(Expiry::of([self.at("device.crt")]), Some(own))
    }
}

/// The next message that a link has, if there is one.
fn heard(link: &mut dyn Link) -> Option<(String, Vec<u8>)> {
    std::iter::from_fn(|| link.next(Duration::ZERO).unwrap()).find_map(|event| match event {
        Event::Message { topic, payload } => Some((topic, payload)),
        _ => None,
    })
}

fn days(path: &Path) -> i64 {
    Certificate::read(path).unwrap().days_left(now())
}

#[test]
fn a_certificate_that_ends_is_asked_for_anew_and_put_in_its_place() {
    let world = World::new(FROM - 1);
    let (mut device, mut authority) = (world.hub.link("kitchen", None), world.hub.link("coordinator", None));
    authority.subscribe(&world.topics.renew(&world.id)).unwrap();
    let mut renewal = world.renewal();
    renewal.begin(&mut device).unwrap();
    // Nobody is told yet, and nothing is asked for without a connection.
    assert_eq!(renewal.turn(&mut device, false).unwrap(), vec![]);
    assert_eq!(heard(&mut authority), None);
    assert_eq!(renewal.turn(&mut device, true).unwrap(), vec![]);
    let (topic, request) = heard(&mut authority).unwrap();
    assert_eq!(world.topics.parse(&topic), Some(Topic::Renew(world.id.clone())));
    let certificate = world.at("device.crt");
    assert!(
        request.len() < REQUEST_BYTES && request.windows(7).any(|part| part == b"kitchen"),
        "{request:?}"
    );
    renewal.turn(&mut device, true).unwrap();
    assert_eq!(heard(&mut authority), None, "asked twice");
    // Nobody answered: it is asked again, later each time.
    let pause = |renewal: &Renewal| renewal.own.as_ref().unwrap().asked.unwrap().1;
    for expected in [2 * SOON, 4 * SOON] {
        let passed = pause(&renewal);
        renewal.own.as_mut().unwrap().asked.as_mut().unwrap().0 -= passed;
        renewal.turn(&mut device, true).unwrap();
        assert!(heard(&mut authority).is_some() && pause(&renewal) == expected);
    }

    let mut answer = |text: String| {
        authority.publish(&world.topics.certificate(&world.id), text.into_bytes(), false).unwrap();
        let (topic, payload) = heard(&mut device).unwrap();
        renewal.hear(&topic, &payload)
    };
    // The one that there is, one of another, one that ends earlier, nothing, and far too much.
    assert_eq!(answer(std::fs::read_to_string(&certificate).unwrap()), None);
    for (wrong, why) in [
        (world.signed("hall", 90), "is for hall"),
        (world.signed("kitchen", FROM - 2), "ends no later"),
        ("hello".to_owned(), "BEGIN CERTIFICATE"),
        ("-".repeat(ANSWER_BYTES + 1), "at most 16384"),
    ] {
        let told = answer(wrong).unwrap();
        assert!(matches!(&told, Told::Failed { problem } if problem.contains(why)), "{told:?}");
        assert!(told.to_string().starts_with("the certificate is not renewed: "));
        assert_eq!(days(&certificate), FROM - 1);
    }
    let told = answer(world.signed("kitchen", 90)).unwrap();
    assert_eq!(pause(&renewal), EVERY);
    assert!(matches!(&told, Told::Renewed { path, .. } if *path == certificate), "{told:?}");
    assert!(told.to_string().contains("is renewed, until 20"), "{told}");
    assert_eq!(days(&certificate), 90);
    // What is said to another is none of ours.
    assert_eq!(renewal.hear(&world.topics.receipt(&world.id), b""), None);
}

#[test]
fn a_certificate_that_holds_is_let_be_and_a_key_that_cannot_be_used_is_told_of() {
    let world = World::new(FROM + 1);
    let mut device = world.hub.link("kitchen", None);
    let mut authority = world.hub.link("coordinator", None);
    authority.subscribe(&world.topics.renew(&world.id)).unwrap();
    assert_eq!(world.renewal().turn(&mut device, true).unwrap(), vec![]);
    assert_eq!(heard(&mut authority), None);

    std::fs::write(world.at("device.crt"), world.signed("kitchen", 20)).unwrap();
    std::fs::remove_file(world.at("device.key")).unwrap();
    let told = world.renewal().turn(&mut device, true).unwrap();
    assert!(matches!(&told[..], [Told::Ending(Ending { days: 20, .. }), Told::Failed { .. }]), "{told:?}");
    assert!(told[0].to_string().contains("device.crt ends in 20 days"), "{}", told[0]);
    assert_eq!(heard(&mut authority), None);
    // Of one without a key of its own nothing is asked for, and its end is told all the same.
    let mut watched = Renewal::new(Expiry::of([world.at("device.crt")]), None);
    watched.begin(&mut device).unwrap();
    assert_eq!(watched.turn(&mut device, true).unwrap().len(), 1);
}
