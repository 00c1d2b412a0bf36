//! A device's request for a certificate: what must hold of it before anybody is asked.

use super::COORDINATOR;
use super::files;
use crate::certificate::fingerprint;
use crate::messages::DeviceId;
use rcgen::{
    CertificateSigningRequestParams, DnType, DnValue, PKCS_ECDSA_P256_SHA256, PublicKey, PublicKeyData,
};
use std::path::{Path, PathBuf};

/// Bytes of a public key on P-256 that is not compressed.
const POINT: usize = 65;

/// A request whose signature shows that who made it has the key.
#[derive(Clone, Debug)]
pub struct Request {
    /// The device it names.
    pub device: DeviceId,
    pub(super) key: PublicKey,
}

/// Why a request is refused.
#[derive(Debug, thiserror::Error)]
#[error("request{}: {problem}", path.as_ref().map_or_else(String::new, |path| format!(" {}", path.display())))]
pub struct RequestError {
    path: Option<PathBuf>,
    problem: String,
}

impl Request {
    /// Reads a PEM file as `sprig enrol` or `openssl req` writes it.
    ///
    /// # Errors
    /// It cannot be read, is damaged, is not signed by its own key, has a key of another kind than P-256, or names nobody
    /// that a device can be.
    pub fn read(path: &Path) -> Result<Self, super::ProvisionError> {
        let text = files::read(path)?;
        let about = |problem: String| RequestError { path: Some(path.to_owned()), problem };
        let parsed = CertificateSigningRequestParams::from_pem(&text);
        Ok(checked(parsed).map_err(about)?)
    }

    /// The same of DER, as it travels.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn from_der(der: &[u8]) -> Result<Self, RequestError> {
        let parsed = CertificateSigningRequestParams::from_der(&der.into());
        checked(parsed).map_err(|problem| RequestError { path: None, problem })
    }

    /// SHA-256 of the public key, hexadecimal: what `sprig enrol` printed on the device.
    pub fn fingerprint(&self) -> String {
        fingerprint(&self.key.subject_public_key_info())
    }
}

impl RequestError {
    pub(super) fn new(problem: impl Into<String>) -> Self {
        Self { path: None, problem: problem.into() }
    }
}

fn checked(parsed: Result<CertificateSigningRequestParams, rcgen::Error>) -> Result<Request, String> {
    let CertificateSigningRequestParams { params, public_key: key } = parsed.map_err(|e| match e {
        rcgen::Error::InvalidCertificationRequestSignature => {
            "its signature is not by its own key; have the device make a new one".to_owned()
        }
        e => format!("it is not a request for a certificate ({e})"),
    })?;
    let algorithm = PublicKeyData::algorithm(&key);
    let is_point = key.der_bytes().len() == POINT && key.der_bytes()[0] == 4;
    if *algorithm != PKCS_ECDSA_P256_SHA256 || !is_point {
        return Err("its key is not of the kind ECDSA P-256, which `sprig enrol` makes".to_owned());
    }
    let name = match params.distinguished_name.get(&DnType::CommonName) {
        Some(DnValue::Utf8String(name)) => name.clone(),
        Some(DnValue::PrintableString(name)) => name.as_str().to_owned(),
        _ => return Err("it names no device (its subject has no common name)".to_owned()),
    };
    match DeviceId::parse(&name) {
        Ok(device) if name != COORDINATOR => Ok(Request { device, key }),
        _ => Err(format!(
            "it names {name:?}: a device has 1 to 48 of a-z, 0-9 and -, and is not `{COORDINATOR}`"
        )),
    }
}
