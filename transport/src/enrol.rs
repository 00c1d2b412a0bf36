//! A device's own key: made on it, never leaving it, certified by the fleet's authority from afar.
//!
//! ```text
//! device.key   made here, for its owner's eyes alone
//! <id>.csr     what the authority is shown
//! device.crt   what it answers, beside its own ca.crt and the device's settings
//! ```

use crate::certificate::{Certificate, CertificateError, fingerprint};
use crate::link::LinkError;
use crate::messages::{DeviceId, NameError};
use crate::tls;
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, PublicKeyData};
use rumqttc::tokio_rustls::rustls::pki_types::{CertificateDer, UnixTime};
use rumqttc::tokio_rustls::rustls::server::WebPkiClientVerifier;
use rumqttc::tokio_rustls::rustls::{self, crypto::ring};
use sprig_ground::{PathError, file};
use std::fs::{self, DirBuilder};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Name of a device's key in its folder.
pub const KEY: &str = "device.key";
/// Name of a device's certificate in its folder.
pub const CERTIFICATE: &str = "device.crt";
/// Name of the authority's certificate in a device's folder.
pub const AUTHORITY: &str = "ca.crt";
/// Name of a device's settings in its folder.
const SETTINGS: &str = "device.toml";
/// Permissions of what only its owner may read.
const SECRET: u32 = 0o600;
/// Permissions of a folder that only its owner may enter.
const PRIVATE: u32 = 0o700;

/// A request that waits to be carried to the authority.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The device's key.
    pub key: PathBuf,
    /// Whether it was made now.
    pub new_key: bool,
    /// What to carry there.
    pub request: PathBuf,
    /// SHA-256 of the public key, hexadecimal: who approves can compare it.
    pub fingerprint: String,
}

/// A certificate in its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installed {
    /// The device it names.
    pub device: DeviceId,
    /// The certificate.
    pub certificate: PathBuf,
    /// The last second in which it holds, since 1970.
    pub not_after: i64,
}

/// Why a device is not enrolled. Nothing that was there has changed.
#[derive(Debug, thiserror::Error)]
pub enum EnrolError {
    /// The device's name cannot be one.
    #[error(transparent)]
    Name(#[from] NameError),
    /// A certificate cannot be read.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// The device has no key.
    #[error("there is no {}; make it with `sprig enrol --id NAME` first", .0.display())]
    NoKey(PathBuf),
    /// A key cannot be used.
    #[error("key {}: {problem}", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// The certificate is not for this device.
    #[error("certificate {}: {problem}", path.display())]
    Other {
        /// The file.
        path: PathBuf,
        /// What does not go together.
        problem: String,
    },
    /// A file cannot be read or written.
    #[error(transparent)]
    Io(#[from] PathError),
    /// The request cannot be made.
    #[error("cannot make a request: {0}")]
    Request(#[from] rcgen::Error),
}

/// Makes a key in the folder `dir`, unless there is one, and a request for a certificate of the device `id`.
///
/// # Errors
/// The name cannot be a device's, the key there is none or others may read it, or the disk fails.
pub fn ask(dir: &Path, id: &str) -> Result<Asked, EnrolError> {
    let device = DeviceId::parse(id)?;
    let made = DirBuilder::new().recursive(true).mode(PRIVATE).create(dir);
    made.map_err(PathError::at("make the folder", dir))?;
    let path = dir.join(KEY);
    let new_key = !path.exists();
    if new_key {
        let text = KeyPair::generate()?.serialize_pem();
        file::replace_with_mode(&path, SECRET, |out| {
            out.write_all(text.as_bytes()).map_err(PathError::at("write", &path))
        })?;
    }
    let key = key(&path)?;
    let request = dir.join(format!("{device}.csr"));
    file::write(&request, asked(&device, &key)?.pem()?.as_bytes())?;
    Ok(Asked { key: path, new_key, request, fingerprint: fingerprint(&key.subject_public_key_info()) })
}

/// A request for another certificate of the device and key that `certificate` and `key` hold: DER.
///
/// # Errors
/// Either cannot be read, or the certificate names no device.
pub fn renewal(certificate: &Path, key_file: &Path) -> Result<Vec<u8>, EnrolError> {
    let device = named(&Certificate::read(certificate)?, certificate)?;
    Ok(asked(&device, &key(key_file)?)?.der().to_vec())
}

/// Puts a certificate that came back for the key in `dir` in its place, with the authority's own, and the settings beside
/// it where the device has none.
///
/// # Errors
/// It is for another key, or not signed by the authority in `dir`, or where there is none, by the one beside it.
pub fn install(dir: &Path, certificate: &Path) -> Result<Installed, EnrolError> {
    let beside = file::folder_of(certificate);
    let own = dir.join(AUTHORITY);
    let authority = if own.exists() { own.clone() } else { beside.join(AUTHORITY) };
    let found = Certificate::read(certificate)?;
    let device = fitting(&found, certificate, &dir.join(KEY), &authority)?;
    let pem = |path: &Path| fs::read(path).map_err(PathError::at("read", path));
    if !own.exists() {
        file::write(&own, &pem(&authority)?)?;
    }
    let (settings, offered) = (dir.join(SETTINGS), beside.join(SETTINGS));
    if !settings.exists() && offered.exists() {
        file::write(&settings, &pem(&offered)?)?;
    }
    // Last, so that whoever finds it finds the rest.
    let place = dir.join(CERTIFICATE);
    file::write(&place, &pem(certificate)?)?;
    Ok(Installed { device, certificate: place, not_after: found.not_after() })
}

/// Puts a renewed certificate in the place of the one that `place` holds, in one step; the key stays. Returns the last
/// second in which it holds.
///
/// # Errors
/// It is for another device or key, signed by another authority, or ends no later; the one that is there stays.
pub fn renew(place: &Path, key: &Path, authority: &Path, pem: &[u8]) -> Result<i64, EnrolError> {
    let other = |problem: String| EnrolError::Other { path: place.to_owned(), problem };
    let renewed = Certificate::from_pem(pem).map_err(|e| other(format!("the renewed one: {e}")))?;
    let present = Certificate::read(place)?;
    let device = fitting(&renewed, place, key, authority)?;
    if named(&present, place)? != device {
        return Err(other(format!("the renewed one is for {device}")));
    }
    if renewed.not_after() <= present.not_after() {
        return Err(other("the renewed one ends no later".to_owned()));
    }
    file::write(place, pem)?;
    Ok(renewed.not_after())
}

fn asked(device: &DeviceId, key: &KeyPair) -> Result<rcgen::CertificateSigningRequest, EnrolError> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, device.as_str());
    Ok(params.serialize_request(key)?)
}

fn key(path: &Path) -> Result<KeyPair, EnrolError> {
    let wrong = |problem: String| EnrolError::Key { path: path.to_owned(), problem };
    let mode = match fs::metadata(path) {
        Ok(found) => found.permissions().mode(),
        Err(e) if e.kind() == ErrorKind::NotFound => return Err(EnrolError::NoKey(path.to_owned())),
        Err(e) => return Err(PathError::new("look at", path, e).into()),
    };
    if mode & 0o077 != 0 {
        return Err(wrong(format!("others may read it (mode {:o}); chmod 600 it", mode & 0o777)));
    }
    let text = tls::read(path, "private key").map_err(|e: LinkError| wrong(e.to_string()))?;
    KeyPair::from_pem(&String::from_utf8_lossy(&text)).map_err(|e| wrong(format!("it is none ({e})")))
}

/// The device that a certificate is for, if it is for this key and signed by that authority.
fn fitting(
    certificate: &Certificate,
    path: &Path,
    key_file: &Path,
    authority: &Path,
) -> Result<DeviceId, EnrolError> {
    let other = |problem: String| EnrolError::Other { path: path.to_owned(), problem };
    if certificate.key() != key(key_file)?.subject_public_key_info() {
        return Err(other(format!("it is of another key than {}", key_file.display())));
    }
    let device = named(certificate, path)?;
    signed_by(certificate, authority)
        .map_err(|why| other(format!("it is not signed by the authority {}: {why}", authority.display())))?;
    Ok(device)
}

fn named(certificate: &Certificate, path: &Path) -> Result<DeviceId, EnrolError> {
    let name = certificate.name().unwrap_or_default();
    DeviceId::parse(name).map_err(|_| {
        let problem = format!("it names {name:?}, which is no device's name");
        EnrolError::Other { path: path.to_owned(), problem }
    })
}

/// Checks the signature. The board's clock may be wrong, so that dates are looked at when the broker is: here both hold at
/// a moment in which they can.
fn signed_by(certificate: &Certificate, authority: &Path) -> Result<(), String> {
    let own = Certificate::read(authority).map_err(|e| e.to_string())?;
    let roots = tls::roots_of(authority).map_err(|e| e.to_string())?;
    let provider = Arc::new(ring::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
    let verifier = verifier.map_err(|e| e.to_string())?;
    let at = certificate.not_before().max(own.not_before()).max(0).unsigned_abs();
    let at = UnixTime::since_unix_epoch(Duration::from_secs(at));
    let der = CertificateDer::from(certificate.der());
    let verified = verifier.verify_client_cert(&der, &[], at);
    verified.map(drop).map_err(|e: rustls::Error| e.to_string())
}

#[cfg(test)]
#[path = "enrol_tests.rs"]
mod tests;
