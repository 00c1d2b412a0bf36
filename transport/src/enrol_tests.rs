//! Requests, what comes back, and what must not be installed.

use super::*;
use crate::certificate::now;
use rcgen::{BasicConstraints, IsCa, Issuer, KeyUsagePurpose, date_time_ymd};

/// An authority of its own, whose certificate is in the folder `at`.
struct Signer {
    issuer: Issuer<'static, KeyPair>,
    at: PathBuf,
}

impl Signer {
    fn new(at: &Path) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        fs::create_dir_all(at).unwrap();
        fs::write(at.join(AUTHORITY), params.self_signed(&key).unwrap().pem()).unwrap();
        Self { issuer: Issuer::new(params, key), at: at.to_owned() }
    }

    fn sign(&self, name: &str, key: &Path, year: i32) -> PathBuf {
        let key = KeyPair::from_pem(&fs::read_to_string(key).unwrap()).unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params.not_before = date_time_ymd(1970, 1, 1);
        params.not_after = date_time_ymd(year, 1, 1);
        let path = self.at.join("device.crt");
        fs::write(&path, params.signed_by(&key, &self.issuer).unwrap().pem()).unwrap();
        path
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn a_key_is_made_once_and_only_its_owner_reads_it() {
    let dir = tempfile::tempdir().unwrap();
    let own = dir.path().join("sprig");
    let first = ask(&own, "kitchen").unwrap();
    assert!(first.new_key && mode(&first.key) == 0o600 && mode(&own) == 0o700);
    assert_eq!(first.request, own.join("kitchen.csr"));
    let key = fs::read(&first.key).unwrap();
    let again = ask(&own, "kitchen").unwrap();
    assert_eq!((again.new_key, &again.fingerprint), (false, &first.fingerprint));
    assert_eq!(fs::read(&first.key).unwrap(), key);
    assert!(matches!(ask(&own, "a/b"), Err(EnrolError::Name(_))));

    fs::set_permissions(&first.key, PermissionsExt::from_mode(0o640)).unwrap();
    let error = ask(&own, "kitchen").unwrap_err().to_string();
    assert!(error.contains("mode 640") && error.contains("chmod 600"), "{error}");
    fs::remove_file(&first.key).unwrap();
    file::replace_with_mode(&first.key, 0o600, |out| {
        out.write_all(b"hello").map_err(PathError::at("write", &first.key))
    })
    .unwrap();
    assert!(matches!(ask(&own, "kitchen"), Err(EnrolError::Key { .. })));
    assert_eq!(fs::read(&first.key).unwrap(), b"hello", "it was there");
}

#[test]
fn a_certificate_is_installed_if_it_is_for_the_key_and_by_the_authority() {
    let dir = tempfile::tempdir().unwrap();
    let (own, elsewhere) = (dir.path().join("own"), dir.path().join("elsewhere"));
    let (ours, others) = (Signer::new(&dir.path().join("ours")), Signer::new(&dir.path().join("others")));
    fs::create_dir(&own).unwrap();
    let good = |_: &()| install(&own, &ours.at.join("device.crt"));
    assert!(matches!(install(&own, &own.join("none.crt")), Err(EnrolError::Certificate(_))));
    let (mine, stranger) = (ask(&own, "kitchen").unwrap(), ask(&elsewhere, "kitchen").unwrap());
    ours.sign("kitchen", &stranger.key, 2035);
    let error = good(&()).unwrap_err().to_string();
    assert!(error.contains("another key"), "{error}");
    ours.sign("Not A Device", &mine.key, 2035);
    assert!(good(&()).unwrap_err().to_string().contains("no device's name"));

    fs::write(ours.at.join("device.toml"), "# offered").unwrap();
    // One that has ended is installed all the same: the clock here may be wrong.
    ours.sign("kitchen", &mine.key, 2001);
    let installed = good(&()).unwrap();
    assert!(installed.not_after < now() && installed.device.as_str() == "kitchen");
    assert_eq!(fs::read(own.join("ca.crt")).unwrap(), fs::read(ours.at.join("ca.crt")).unwrap());
    assert_eq!(fs::read_to_string(own.join("device.toml")).unwrap(), "# offered");

    // From now on that authority is the one.
    let before = fs::read(&installed.certificate).unwrap();
    let other = others.sign("kitchen", &mine.key, 2035);
    let error = install(&own, &other).unwrap_err().to_string();
    assert!(error.contains("not signed by the authority"), "{error}");
    assert_eq!(fs::read(&installed.certificate).unwrap(), before);
    fs::write(own.join("device.toml"), "# mine").unwrap();
    ours.sign("kitchen", &mine.key, 2035);
    good(&()).unwrap();
    assert_eq!(fs::read_to_string(own.join("device.toml")).unwrap(), "# mine");
}

#[test]
fn a_renewed_certificate_takes_the_place_of_the_one_before_alone() {
    let dir = tempfile::tempdir().unwrap();
    let own = dir.path().join("own");
    let (ours, others) = (Signer::new(&dir.path().join("ours")), Signer::new(&dir.path().join("others")));
    let mine = ask(&own, "kitchen").unwrap();
    ours.sign("kitchen", &mine.key, 2035);
    install(&own, &ours.at.join("device.crt")).unwrap();
    let (place, authority) = (own.join(CERTIFICATE), own.join(AUTHORITY));
    let before = fs::read(&place).unwrap();
    for (signer, name, year, expected) in [
        (&others, "kitchen", 2040, "not signed by"),
        (&ours, "porch", 2040, "is for porch"),
        (&ours, "kitchen", 2035, "no later"),
        (&ours, "kitchen", 2030, "no later"),
    ] {
        let pem = fs::read(signer.sign(name, &mine.key, year)).unwrap();
        let error = renew(&place, &mine.key, &authority, &pem).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
        assert_eq!(fs::read(&place).unwrap(), before);
    }
    assert!(renew(&place, &mine.key, &authority, b"hello").is_err());
    let pem = fs::read(ours.sign("kitchen", &mine.key, 2040)).unwrap();
    let end = renew(&place, &mine.key, &authority, &pem).unwrap();
    assert_eq!((end, fs::read(&place).unwrap()), (date_time_ymd(2040, 1, 1).unix_timestamp(), pem));
    assert!(!renewal(&place, &mine.key).unwrap().is_empty());
}
