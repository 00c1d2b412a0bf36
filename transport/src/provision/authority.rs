//! The fleet's certificate authority.

use super::register::{Issued, Role};
use super::{ProvisionError, files};
use crate::certificate::{Certificate, DAY, now};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, PublicKeyData,
    RevokedCertParams, SanType, SerialNumber, date_time_ymd,
};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;
use time::OffsetDateTime;

/// Bytes of a certificate's number: 127 bits that nobody can foresee.
const SERIAL: usize = 16;

/// Signs certificates of brokers and clients, and the list of those that hold no more.
pub(super) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: String,
    /// The last second in which it holds, since 1970.
    not_after: i64,
}

/// Whom a certificate is for.
pub(super) struct Subject<'a> {
    /// Its common name.
    pub name: &'a str,
    pub role: Role,
    /// Names and addresses of a broker; nothing of a client.
    pub hosts: &'a [String],
    /// Days it holds, or until the authority ends.
    pub days: u32,
}

impl Authority {
    pub(super) fn create(fleet: &str, days: u32) -> Result<Self, ProvisionError> {
        let key = KeyPair::generate()?;
        let mut params = parameters(fleet);
        params.not_after = end(days)?;
        params.serial_number = Some(serial()?);
        let not_after = params.not_after.unix_timestamp();
        let certificate = params.self_signed(&key)?.pem();
        Ok(Self { issuer: Issuer::new(params, key), certificate, not_after })
    }

    /// The authority whose files are in `dir`. Its subject follows from the fleet's name.
    pub(super) fn load(fleet: &str, dir: &Path) -> Result<Self, ProvisionError> {
        let (key, path) = (dir.join("ca.key"), dir.join("ca.crt"));
        let damaged =
            |path: &Path, problem: String| ProvisionError::Damaged { path: path.to_owned(), problem };
        let pair = KeyPair::from_pem(&files::read(&key)?)
            .map_err(|error| damaged(&key, format!("not the key of an authority: {error}")))?;
        let certificate = files::read(&path)?;
        let own = Certificate::from_pem(certificate.as_bytes()).map_err(|problem| damaged(&path, problem))?;
        if own.key() != pair.subject_public_key_info() {
            return Err(damaged(&path, "it is of another key than ca.key".to_owned()));
        }
        let not_after = own.not_after();
        Ok(Self { issuer: Issuer::new(parameters(fleet), pair), certificate, not_after })
    }

    /// Its certificate, PEM.
    pub(super) fn certificate(&self) -> &str {
        &self.certificate
    }

    /// Its key, PEM.
    pub(super) fn key(&self) -> String {
        self.issuer.key().serialize_pem()
    }

    /// Certifies a public key: the certificate, PEM, and its line in the register.
    pub(super) fn sign(
        &self,
        subject: &Subject<'_>,
        key: &impl PublicKeyData,
    ) -> Result<(String, Issued), ProvisionError> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, subject.name);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        params.serial_number = Some(serial()?);
        // A board without a battery starts in 1970 and must reach its broker before it learns the time. The
        // start of validity protects nothing here: the authority signs for nobody but this fleet.
        params.not_before = date_time_ymd(1970, 1, 1);
        params.not_after = end(subject.days)?.min(at(self.not_after)?);
        match subject.role {
            Role::Broker => {
                params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
                params.subject_alt_names = alternatives(subject.hosts)?;
            }
            Role::Coordinator | Role::Device => {
                params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
            }
        }
        let signed = params.signed_by(key, &self.issuer)?;
        let read = Certificate::from_der(signed.der()).map_err(|_| rcgen::Error::CouldNotParseCertificate)?;
        Ok((signed.pem(), Issued::of(&read, subject.role, now())))
    }

    /// The list of certificates that hold no more, PEM: their numbers, and when they were revoked. A later list has a
    /// greater `number`.
    ///
    /// It ends with the authority and begins when 1970 did: a broker takes a list that has ended, or has not begun by its
    /// clock, for a reason to let nobody in. Of two lists that a running broker has loaded, OpenSSL goes by the one that
    /// begins later, so each begins as many seconds after 1970 as its number says.
    pub(super) fn revocations(
        &self,
        revoked: impl Iterator<Item = (Vec<u8>, i64)>,
        number: u64,
    ) -> Result<String, ProvisionError> {
        let one = |(serial, when): (Vec<u8>, i64)| -> Result<_, ProvisionError> {
            let (serial_number, revocation_time) = (SerialNumber::from(serial), at(when)?);
            Ok(RevokedCertParams { serial_number, revocation_time, reason_code: None, invalidity_date: None })
        };
        let list = CertificateRevocationListParams {
            this_update: at(i64::try_from(number).unwrap_or(i64::MAX))?,
            next_update: at(self.not_after)?,
            crl_number: SerialNumber::from(number),
            issuing_distribution_point: None,
            revoked_certs: revoked.map(one).collect::<Result<_, _>>()?,
            key_identifier_method: KeyIdMethod::Sha256,
        };
        Ok(list.signed_by(&self.issuer)?.pem()?)
    }
}

fn parameters(fleet: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, format!("sprig fleet {fleet}"));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.not_before = date_time_ymd(1970, 1, 1);
    params
}

/// The moment that many days from now.
fn end(days: u32) -> Result<OffsetDateTime, ProvisionError> {
    at(now().saturating_add(i64::from(days) * DAY))
}

fn at(seconds: i64) -> Result<OffsetDateTime, ProvisionError> {
    OffsetDateTime::from_unix_timestamp(seconds).map_err(|_| rcgen::Error::Time.into())
}

fn serial() -> Result<SerialNumber, ProvisionError> {
    let mut bytes = [0; SERIAL];
    getrandom::getrandom(&mut bytes).map_err(|e| ProvisionError::Random(e.to_string()))?;
    // Positive, and as long as any other.
    bytes[0] = bytes[0] & 0x7f | 0x40;
    Ok(SerialNumber::from_slice(&bytes))
}

/// The hosts and the machine's own names.
fn alternatives(hosts: &[String]) -> Result<Vec<SanType>, ProvisionError> {
    let mut names = Vec::new();
    let own = [IpAddr::from(Ipv4Addr::LOCALHOST), IpAddr::from(Ipv6Addr::LOCALHOST)];
    for host in hosts.iter().map(String::as_str).chain(["localhost"]) {
        names.push(match host.parse::<IpAddr>() {
            Ok(address) => SanType::IpAddress(address),
            Err(_) => SanType::DnsName(host.try_into()?),
        });
    }
    names.extend(own.map(SanType::IpAddress));
    let mut unique: Vec<SanType> = Vec::new();
    names.into_iter().for_each(|name| {
        if !unique.contains(&name) {
            unique.push(name);
        }
    });
    Ok(unique)
}
