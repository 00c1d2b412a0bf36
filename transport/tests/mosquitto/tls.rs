//! TLS with mosquitto: the right certificates, and each way they can be wrong.

use super::refusal;
use super::sessions::{config, connected};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose,
    date_time_ymd,
};
use sprig_testkit::mosquitto::Mosquitto;
use sprig_transport::link::{Event, Link, LinkConfig, LinkError, Who};
use sprig_transport::mqtt::connect;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority(name: &str) -> Authority {
    let mut params = CertificateParams::new(vec![]).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// Writes `<name>.pem` and `<name>.key`.
fn issue(authority: &Authority, folder: &Path, name: &str, host: &str) {
    issue_for(authority, folder, (name, host), (1975, 4096));
}

/// The same for a certificate that holds in these years.
fn issue_for(authority: &Authority, folder: &Path, (name, host): (&str, &str), (from, to): (i32, i32)) {
    let mut params = CertificateParams::new(vec![host.to_owned()]).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    (params.not_before, params.not_after) = (date_time_ymd(from, 1, 1), date_time_ymd(to, 1, 1));
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, authority).unwrap();
    fs::write(folder.join(format!("{name}.pem")), certificate.pem()).unwrap();
    fs::write(folder.join(format!("{name}.key")), key.serialize_pem()).unwrap();
}

/// A broker that wants client certificates of its own authority, and whose certificate names `host`.
fn broker(host: &str) -> Mosquitto {
    Mosquitto::with(|folder| {
        let (ours, others) = (authority("ours"), authority("others"));
        fs::write(folder.join("ca.pem"), ours.pem()).unwrap();
        fs::write(folder.join("other-ca.pem"), others.pem()).unwrap();
        issue(&ours, folder, "broker", host);
        issue(&ours, folder, "pi", "pi");
        issue(&others, folder, "stranger", "stranger");
        let at = |name: &str| folder.join(name).display().to_string();
        format!(
            "allow_anonymous false\ncafile {}\ncertfile {}\nkeyfile {}\nrequire_certificate true\n\
             use_identity_as_username true\n",
            at("ca.pem"),
            at("broker.pem"),
            at("broker.key")
        )
    })
}

fn client(broker: &Mosquitto, ca: &str, name: &str) -> LinkConfig {
    let mut config = config(&broker.tls_url(), name);
    config.ca = Some(broker.file(ca));
    config.identity = Some((broker.file(&format!("{name}.pem")), broker.file(&format!("{name}.key"))));
    config
}

#[test]
fn client_certificates_let_in_and_keep_out() {
    let broker = broker("localhost");
    connected(&client(&broker, "ca.pem", "pi"));
    assert!(broker.log().contains("'pi'"), "the certificate's name is the user's: {}", broker.log());

    let error = refusal(&client(&broker, "ca.pem", "stranger"));
    assert!(
        matches!(error, LinkError::Refused { .. }) && error.to_string().contains("certificate"),
        "{error}"
    );

    let mut none = client(&broker, "ca.pem", "pi");
    none.identity = None;
    let error = refusal(&none);
    assert!(
        matches!(error, LinkError::Refused { .. }) && error.to_string().contains("certificate"),
        "{error}"
    );
}

#[test]
fn a_broker_of_another_authority_is_not_trusted() {
    let broker = broker("localhost");
    let error = refusal(&client(&broker, "other-ca.pem", "pi"));
    assert!(matches!(error, LinkError::Untrusted { .. }) && error.who() == Who::User, "{error}");
    assert!(error.to_string().contains("ca"), "{error}");
}

#[test]
fn a_broker_of_another_name_is_not_trusted() {
    let broker = broker("broker.example");
    let error = refusal(&client(&broker, "ca.pem", "pi"));
    assert!(matches!(error, LinkError::Untrusted { .. }), "{error}");
    assert!(error.to_string().contains("localhost"), "{error}");
}

/// Whether the clock here or the certificate is wrong, only one of them has to be mended: the same link gets in then.
#[test]
fn dates_that_do_not_hold_are_named_and_waited_out() {
    for (years, valid, told) in [
        ((1975, 2001), (1975, 4096), "is valid until 2001-01-01 00:00:00 UTC, and the clock here says 2"),
        ((3000, 4096), (1975, 4096), "is valid from 3000-01-01 00:00:00 UTC on, and the clock here says 2"),
    ] {
        let mut ours = None;
        let broker = Mosquitto::with(|folder| {
            let authority = ours.insert(authority("ours"));
            fs::write(folder.join("ca.pem"), authority.pem()).unwrap();
            issue_for(authority, folder, ("broker", "localhost"), years);
            issue(authority, folder, "pi", "pi");
            let at = |name: &str| folder.join(name).display().to_string();
            let (ca, cert, key) = (at("ca.pem"), at("broker.pem"), at("broker.key"));
            format!(
                "cafile {ca}\ncertfile {cert}\nkeyfile {key}\nrequire_certificate true\nuse_identity_as_username true\n"
            )
        });
        let mut link = connect(&client(&broker, "ca.pem", "pi")).unwrap();
        let until = Instant::now() + Duration::from_secs(30);
        let mut next = || {
            assert!(Instant::now() < until, "{}", broker.log());
            link.next(Duration::from_millis(100))
        };
        let error = loop {
            if let Err(error) = next() {
                break error;
            }
        };
        assert!(matches!(error, LinkError::Dates { .. }) && error.is_worth_waiting(false), "{error:?}");
        assert!(error.to_string().contains(told), "{error}");
        issue_for(&ours.unwrap(), broker.file("").as_path(), ("broker", "localhost"), valid);
        broker.reload();
        while !matches!(next(), Ok(Some(Event::Connected))) {}
    }
}
