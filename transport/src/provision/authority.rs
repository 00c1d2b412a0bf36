//! The fleet's certificate authority.

use super::{ProvisionError, files};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, SanType, date_time_ymd,
};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;
use time::{Duration, OffsetDateTime};

/// Signs certificates of brokers and clients.
pub(super) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: String,
}

/// What a certificate is for.
pub(super) enum Role<'a> {
    /// A broker under these names and addresses.
    Server(&'a [String]),
    /// A coordinator or a device.
    Client,
}

impl Authority {
    pub(super) fn create(fleet: &str) -> Result<Self, ProvisionError> {
        let key = KeyPair::generate()?;
        let params = parameters(fleet);
        let certificate = params.self_signed(&key)?.pem();
        Ok(Self { issuer: Issuer::new(params, key), certificate })
    }

    /// The authority whose files are in `dir`. Its subject follows from the fleet's name.
    pub(super) fn load(fleet: &str, dir: &Path) -> Result<Self, ProvisionError> {
        let key = dir.join("ca.key");
        let problem = |error: rcgen::Error| ProvisionError::Damaged {
            path: key.clone(),
            problem: format!("not the key of an authority: {error}"),
        };
        let pair = KeyPair::from_pem(&files::read(&key)?).map_err(problem)?;
        let certificate = files::read(&dir.join("ca.crt"))?;
        Ok(Self { issuer: Issuer::new(parameters(fleet), pair), certificate })
    }

    /// Its certificate, PEM.
    pub(super) fn certificate(&self) -> &str {
        &self.certificate
    }

    /// Its key, PEM.
    pub(super) fn key(&self) -> String {
        self.issuer.key().serialize_pem()
    }

    /// A new certificate and its key, PEM.
    pub(super) fn issue(
        &self,
        name: &str,
        role: Role<'_>,
        days: u32,
    ) -> Result<(String, String), ProvisionError> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        // A board without a battery starts in 1970 and must reach its broker before it learns the time. The
        // start of validity protects nothing here: the authority signs for nobody but this fleet.
        params.not_before = date_time_ymd(1970, 1, 1);
        params.not_after = OffsetDateTime::now_utc() + Duration::days(days.into());
        match role {
            Role::Server(hosts) => {
                params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
                params.subject_alt_names = alternatives(hosts)?;
            }
            Role::Client => params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth],
        }
        let key = KeyPair::generate()?;
        Ok((params.signed_by(&key, &self.issuer)?.pem(), key.serialize_pem()))
    }
}

fn parameters(fleet: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, format!("sprig fleet {fleet}"));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.not_before = date_time_ymd(1970, 1, 1);
    // RFC 5280, 4.1.2.5: no well-defined end. Boards outlive any that would be chosen, and a root ends by
    // being taken out of the folders that trust it.
    params.not_after = date_time_ymd(9999, 12, 31) + Duration::seconds(86_399);
    params
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
