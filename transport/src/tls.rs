//! From PEM files to a TLS client, and to a server. TLS 1.3 only, unless a build has others too.

use crate::link::{LinkConfig, LinkError};
pub use rumqttc::tokio_rustls::TlsAcceptor;
use rumqttc::tokio_rustls::rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    crypto::ring,
    pki_types::{
        CertificateDer, PrivateKeyDer,
        pem::{self, PemObject},
    },
};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

/// Bytes of a PEM file at most: a system's whole list of authorities takes about 250 KB.
const PEM_BYTES: u64 = 1 << 20;

/// The files of a connection, and what they were when they were read last.
pub(crate) struct Identity {
    config: LinkConfig,
    seen: Vec<Option<Seen>>,
}

/// By what a file is known to be another one.
type Seen = (SystemTime, u64, u64);

impl Identity {
    /// Reads the files that `config` names.
    pub(crate) fn open(config: &LinkConfig) -> Result<(Arc<ClientConfig>, Self), LinkError> {
        let seen = seen(config);
        Ok((client(config)?, Self { config: config.clone(), seen }))
    }

    /// What they say now, if any is another than it was.
    pub(crate) fn renewed(&mut self) -> Result<Option<Arc<ClientConfig>>, LinkError> {
        let seen = seen(&self.config);
        if seen == self.seen {
            return Ok(None);
        }
        self.seen = seen;
        client(&self.config).map(Some)
    }
}

fn seen(config: &LinkConfig) -> Vec<Option<Seen>> {
    let files =
        config.ca.iter().chain(config.identity.iter().flat_map(|(certificate, key)| [certificate, key]));
    let look = |path: &PathBuf| {
        let found = fs::metadata(path).ok()?;
        Some((found.modified().ok()?, found.len(), found.ino()))
    };
    files.map(look).collect()
}

/// What the settings ask for.
fn client(config: &LinkConfig) -> Result<Arc<ClientConfig>, LinkError> {
    let roots = match &config.ca {
        Some(path) => roots_of(path)?,
        None => system_roots()?,
    };
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| LinkError::Settings(error.to_string()))?
        .with_root_certificates(roots);
    let client = match &config.identity {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let chain = certificates(certificate, "client certificate")?;
            let private = private_key(key)?;
            builder.with_client_auth_cert(chain, private).map_err(|error| {
                let why = format!("it does not go with the certificate {}: {error}", certificate.display());
                file("private key", key, why)
            })?
        }
    };
    Ok(Arc::new(client))
}

/// What accepts encrypted connections with a certificate, those between it and its authority after it, and its key (PEM).
///
/// # Errors
/// A file that cannot be read, or two that do not go together.
pub fn acceptor(certificate: &Path, key: &Path) -> Result<TlsAcceptor, LinkError> {
    let chain = certificates(certificate, "certificate")?;
    let private = private_key(key)?;
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| LinkError::Settings(error.to_string()))?
        .with_no_client_auth()
        .with_single_cert(chain, private)
        .map_err(|error| {
            let why = format!("it does not go with the certificate {}: {error}", certificate.display());
            file("private key", key, why)
        })?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// The authorities in a PEM file.
pub(crate) fn roots_of(path: &Path) -> Result<RootCertStore, LinkError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path, "CA certificate")? {
        roots.add(certificate).map_err(|error| file("CA certificate", path, error.to_string()))?;
    }
    Ok(roots)
}

fn system_roots() -> Result<RootCertStore, LinkError> {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let why = "the system has no certificate authorities (package `ca-certificates`); name the broker's in `ca`";
        return Err(LinkError::Settings(why.to_owned()));
    }
    Ok(roots)
}

fn certificates(path: &Path, what: &'static str) -> Result<Vec<CertificateDer<'static>>, LinkError> {
    let pem = read(path, what)?;
    let parsed: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let certificates = parsed.map_err(|error| file(what, path, error.to_string()))?;
    if certificates.is_empty() {
        return Err(file(what, path, "no `BEGIN CERTIFICATE` in it".to_owned()));
    }
    Ok(certificates)
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, LinkError> {
    PrivateKeyDer::from_pem_slice(&read(path, "private key")?)
        .map_err(|error| file("private key", path, pem_problem(&error, "PRIVATE KEY")))
}

/// Why a PEM text has no section of that name.
pub(crate) fn pem_problem(error: &pem::Error, section: &str) -> String {
    match error {
        pem::Error::NoItemsFound => format!("no `BEGIN {section}` in it"),
        error => error.to_string(),
    }
}

/// Reads a small file.
pub(crate) fn read(path: &Path, what: &'static str) -> Result<Vec<u8>, LinkError> {
    let failed = |error: std::io::Error| file(what, path, error.to_string());
    let bytes = fs::metadata(path).map_err(failed)?.len();
    if bytes > PEM_BYTES {
        return Err(file(what, path, format!("{bytes} bytes; at most {PEM_BYTES} are read")));
    }
    fs::read(path).map_err(failed)
}

fn file(what: &'static str, path: &Path, why: String) -> LinkError {
    LinkError::File { what, path: path.to_owned(), why }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_name_the_file_and_what_is_wrong() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let pair = || rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap();
        let (one, two) = (pair(), pair());
        fs::write(at("ca.pem"), one.cert.pem()).unwrap();
        fs::write(at("key.pem"), one.signing_key.serialize_pem()).unwrap();
        fs::write(at("other.pem"), two.signing_key.serialize_pem()).unwrap();
        fs::write(at("empty.pem"), "").unwrap();
        fs::write(at("cut.pem"), &one.cert.pem()[..200]).unwrap();
        fs::write(at("large.pem"), vec![b'\n'; PEM_BYTES as usize + 1]).unwrap();
        let try_with = |ca: &str, identity: Option<(&str, &str)>| {
            let mut config = LinkConfig::new("mqtts://localhost", "x");
            config.ca = Some(at(ca));
            config.identity = identity.map(|(certificate, key)| (at(certificate), at(key)));
            client(&config)
        };
        assert!(try_with("ca.pem", None).is_ok());
        assert!(try_with("ca.pem", Some(("ca.pem", "key.pem"))).is_ok());
        for (ca, identity, expected) in [
            ("none.pem", None, "none.pem: No such file"),
            ("empty.pem", None, "empty.pem: no `BEGIN CERTIFICATE`"),
            ("cut.pem", None, "cut.pem"),
            ("large.pem", None, "at most 1048576"),
            ("key.pem", None, "CA certificate"),
            ("ca.pem", Some(("ca.pem", "none.pem")), "private key"),
            ("ca.pem", Some(("ca.pem", "ca.pem")), "no `BEGIN PRIVATE KEY`"),
            ("ca.pem", Some(("ca.pem", "other.pem")), "does not go with the certificate"),
        ] {
            let error = try_with(ca, identity).unwrap_err();
            assert!(error.to_string().contains(expected), "{error}");
            assert!(matches!(&error, LinkError::File { path, .. } if path != &PathBuf::new()), "{error:?}");
        }
    }

    #[test]
    fn files_are_read_again_when_they_are_others() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let write = |name: &str, text: &str| sprig_ground::file::write(&at(name), text.as_bytes()).unwrap();
        let pair = || rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap();
        let (one, two) = (pair(), pair());
        write("a.pem", &one.cert.pem());
        write("key.pem", &one.signing_key.serialize_pem());
        let mut config = LinkConfig::new("mqtts://localhost", "x");
        (config.ca, config.identity) = (Some(at("a.pem")), Some((at("a.pem"), at("key.pem"))));
        let (_, mut identity) = Identity::open(&config).unwrap();
        assert!(identity.renewed().unwrap().is_none());
        write("a.pem", &one.cert.pem()); // the same text, in another file
        assert!(identity.renewed().unwrap().is_some() && identity.renewed().unwrap().is_none());
        write("a.pem", &two.cert.pem());
        assert!(identity.renewed().is_err() && identity.renewed().unwrap().is_none(), "told once");
        write("key.pem", &two.signing_key.serialize_pem());
        assert!(identity.renewed().unwrap().is_some());
    }
}
