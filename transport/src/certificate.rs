//! What a certificate says: whose it is, which key it is for, and how long it lasts.
//!
//! The TLS library verifies certificates and tells nobody their dates, so the few fields that people and the register need
//! are read here. Nothing is trusted for having been read.

use crate::messages::Digest;
use crate::tls::{self, read};
use rumqttc::tokio_rustls::rustls::pki_types::{CertificateDer, pem::PemObject};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use time::OffsetDateTime;
use yasna::{ASN1Error, ASN1ErrorKind, ASN1Result, BERReader, Tag};

/// Days before the end of a certificate at which it is told of.
pub const NOTICES: [i64; 3] = [30, 7, 1];
/// Seconds of a day.
pub const DAY: i64 = 86_400;

/// Object identifier of a common name: 2.5.4.3.
const COMMON_NAME: &[u64] = &[2, 5, 4, 3];

/// A certificate, read but not verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    der: Vec<u8>,
    name: Option<String>,
    serial: Vec<u8>,
    key: Vec<u8>,
    not_before: i64,
    not_after: i64,
}

/// Why a file is no certificate.
#[derive(Debug, thiserror::Error)]
#[error("certificate {}: {problem}", path.display())]
pub struct CertificateError {
    path: PathBuf,
    problem: String,
}

impl Certificate {
    /// Reads the first certificate of a PEM file.
    ///
    /// # Errors
    /// It cannot be read, or holds none.
    pub fn read(path: &Path) -> Result<Self, CertificateError> {
        let error = |problem: String| CertificateError { path: path.to_owned(), problem };
        let pem = read(path, "certificate").map_err(|e| match e {
            crate::link::LinkError::File { why, .. } => error(why),
            other => error(other.to_string()),
        })?;
        Self::from_pem(&pem).map_err(error)
    }

    /// Reads the first certificate of a PEM text; an error says what is wrong with it.
    ///
    /// # Errors
    /// There is none in it, or it is not one.
    pub fn from_pem(pem: &[u8]) -> Result<Self, String> {
        let der = CertificateDer::from_pem_slice(pem).map_err(|e| tls::pem_problem(&e, "CERTIFICATE"))?;
        Self::from_der(&der)
    }

    /// Reads a certificate of X.509, DER.
    ///
    /// # Errors
    /// It is none.
    pub fn from_der(der: &[u8]) -> Result<Self, String> {
        yasna::parse_der(der, |reader| certificate(reader, der))
            .map_err(|e| format!("it is not a certificate of X.509 ({e})"))
    }

    /// The common name of its subject: who it is for.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Its bytes.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// Its number among those of its authority, big-endian.
    pub fn serial(&self) -> &[u8] {
        &self.serial
    }

    /// SHA-256 of the certificate, hexadecimal.
    pub fn fingerprint(&self) -> String {
        fingerprint(&self.der)
    }

    /// The public key it is for: a SubjectPublicKeyInfo, DER.
    pub fn key(&self) -> &[u8] {
        &self.key
    }

    /// The first second in which it holds, since 1970.
    pub fn not_before(&self) -> i64 {
        self.not_before
    }

    /// The last second in which it holds, since 1970.
    pub fn not_after(&self) -> i64 {
        self.not_after
    }

    /// Whole days until it ends, seen at `now` in seconds since 1970; below 0 once it has ended.
    pub fn days_left(&self, now: i64) -> i64 {
        (self.not_after - now).div_euclid(DAY)
    }
}

/// SHA-256, hexadecimal: what people compare.
pub fn fingerprint(bytes: &[u8]) -> String {
    Digest::of(bytes).to_string()
}

/// This machine's clock, seconds since 1970.
pub fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

/// The moment `seconds` after 1970 began, as people write it: `2027-12-31 23:59:59 UTC`.
pub fn moment(seconds: i64) -> String {
    match OffsetDateTime::from_unix_timestamp(seconds) {
        Ok(at) => {
            format!("{} {:02}:{:02}:{:02} UTC", at.date(), at.hour(), at.minute(), at.second())
        }
        Err(_) => format!("{seconds} s after 1970"),
    }
}

/// RFC 5280, 4.1. `whole` is what `reader` reads.
fn certificate(reader: BERReader<'_, '_>, whole: &[u8]) -> ASN1Result<Certificate> {
    reader.read_sequence(|reader| {
        let found = reader.next().read_sequence(|tbs| {
            tbs.read_optional(|reader| reader.read_tagged(Tag::context(0), |reader| reader.read_i64()))?;
            let (serial, _) = tbs.next().read_bigint_bytes()?;
            tbs.next().read_der()?; // the signature's algorithm
            tbs.next().read_der()?; // the issuer
            let (not_before, not_after) =
                tbs.next().read_sequence(|dates| Ok((date(dates.next())?, date(dates.next())?)))?;
            let name = common_name(tbs.next())?;
            let key = tbs.next().read_der()?;
            while tbs.read_optional(|reader| reader.read_der())?.is_some() {} // extensions
            Ok(Certificate { der: whole.to_vec(), name, serial, key, not_before, not_after })
        })?;
        reader.next().read_der()?;
        reader.next().read_der()?;
        Ok(found)
    })
}

/// Dates up to 2049 have two digits for the year, later ones four.
fn date(reader: BERReader<'_, '_>) -> ASN1Result<i64> {
    let short = reader.lookahead_tag()? == yasna::tags::TAG_UTCTIME;
    let at =
        if short { *reader.read_utctime()?.datetime() } else { *reader.read_generalized_time()?.datetime() };
    Ok(at.unix_timestamp())
}

/// The first common name of a distinguished name.
fn common_name(reader: BERReader<'_, '_>) -> ASN1Result<Option<String>> {
    let mut name = None;
    reader.read_sequence_of(|set| {
        set.read_set_of(|attribute| {
            let (kind, value) = attribute.read_sequence(|pair| {
                let kind = pair.next().read_oid()?;
                Ok((kind, pair.next().read_tagged_der()?))
            })?;
            if kind.components()[..] == *COMMON_NAME && name.is_none() {
                let text = std::str::from_utf8(value.value());
                name = Some(text.map_err(|_| ASN1Error::new(ASN1ErrorKind::Invalid))?.to_owned());
            }
            Ok(())
        })
    })?;
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{
        CertificateParams, DistinguishedName, DnType, KeyPair, PublicKeyData, SerialNumber, date_time_ymd,
    };
    use sprig_ground::hex;
    use std::process::Command;

    fn made(name: &str, from: i32, to: i32) -> (KeyPair, rcgen::Certificate) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, "somebody");
        params.distinguished_name.push(DnType::CommonName, name);
        params.serial_number = Some(SerialNumber::from_slice(&[0x7a, 0, 0xff]));
        params.not_before = date_time_ymd(from, 2, 3);
        params.not_after = date_time_ymd(to, 12, 31);
        let certificate = params.self_signed(&key).unwrap();
        (key, certificate)
    }

    #[test]
    fn what_was_certified_is_read_back() {
        // Years up to 2049 are written otherwise than later ones.
        for (from, to) in [(1970, 2049), (2026, 2050), (2049, 9999)] {
            let (key, made) = made("kitchen", from, to);
            let found = Certificate::from_pem(made.pem().as_bytes()).unwrap();
            assert_eq!(found.name(), Some("kitchen"));
            assert_eq!(found.serial(), [0x7a, 0, 0xff]);
            assert_eq!(found.key(), key.subject_public_key_info());
            assert_eq!(found.not_before(), date_time_ymd(from, 2, 3).unix_timestamp());
            assert_eq!(found.not_after(), date_time_ymd(to, 12, 31).unix_timestamp());
            assert_eq!(found.der(), made.der().as_ref());
            assert_eq!(found.days_left(found.not_after() - 1), 0);
            assert_eq!(found.days_left(found.not_after() + 1), -1);
        }
    }

    #[test]
    fn openssl_reads_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("x.crt");
        let openssl = |args: &[&str]| {
            let output = Command::new("openssl").args(args).current_dir(dir.path()).output();
            let output = output.expect("cannot run openssl; install the Debian package openssl");
            assert!(output.status.success(), "{output:?}");
            String::from_utf8(output.stdout).unwrap()
        };
        // Not one of ours: RSA, an authority, several names, other string types.
        openssl(&[
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-keyout",
            "x.key",
            "-out",
            "x.crt",
            "-days",
            "77",
            "-subj",
            "/C=DE/O=somebody/CN=porch",
        ]);
        let found = Certificate::read(&file).unwrap();
        assert_eq!(found.name(), Some("porch"));
        let told =
            openssl(&["x509", "-in", "x.crt", "-noout", "-serial", "-fingerprint", "-sha256", "-enddate"]);
        // DER puts a zero before a first bit that is set, which openssl leaves out.
        let serial = hex::encode(found.serial()).to_uppercase();
        assert!(
            told.contains(&format!("serial={}\n", serial.strip_prefix("00").unwrap_or(&serial))),
            "{told}"
        );
        let print: Vec<_> = told.lines().filter_map(|l| l.split_once("ingerprint=")).collect();
        assert_eq!(print[0].1.replace(':', "").to_lowercase(), found.fingerprint());
        assert_eq!(found.days_left(now() + 5), 76);
        let year = moment(found.not_after());
        assert!(told.contains(&format!("{} GMT", &year[..4])), "{told} {year}");
    }

    #[test]
    fn what_is_none_is_refused_in_words() {
        let (_, good) = made("x", 2020, 2030);
        let der = good.der().to_vec();
        for end in 0..der.len() {
            assert!(Certificate::from_der(&der[..end]).is_err(), "{end}");
        }
        for at in 0..der.len() {
            let mut wrong = der.clone();
            wrong[at] ^= 0x41;
            drop(Certificate::from_der(&wrong)); // whatever it says, it ends
        }
        let message = Certificate::from_pem(b"hello\n").unwrap_err();
        assert!(message.contains("CERTIFICATE"), "{message}");
        let message = Certificate::read(Path::new("none.crt")).unwrap_err().to_string();
        assert!(message.contains("none.crt: No such file"), "{message}");
    }

    #[test]
    fn moments_are_written_for_people() {
        assert_eq!(moment(0), "1970-01-01 00:00:00 UTC");
        assert_eq!(moment(1_830_297_599), "2027-12-31 23:59:59 UTC");
        assert_eq!(moment(i64::MAX), "9223372036854775807 s after 1970");
    }
}
