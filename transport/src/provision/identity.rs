//! What a fleet and its broker are called: kept beside the authority, so that a later run knows.

use super::{PORT, ProvisionError, Request};
use std::net::IpAddr;
use std::path::Path;

/// Fleet, hosts and port, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub fleet: String,
    /// At least one.
    pub hosts: Vec<String>,
    pub port: u16,
}

impl Identity {
    pub(super) fn new(request: &Request) -> Self {
        let fleet = request.fleet.clone().unwrap_or_else(|| "fleet".to_owned());
        let none = Self { fleet, hosts: vec!["localhost".to_owned()], port: PORT };
        none.updated(request)
    }

    /// With the hosts and the port of the request, where it names them.
    pub(super) fn updated(&self, request: &Request) -> Self {
        let hosts = if request.hosts.is_empty() { self.hosts.clone() } else { request.hosts.clone() };
        Self { fleet: self.fleet.clone(), hosts, port: request.port.unwrap_or(self.port) }
    }

    /// `mqtts://host:port` of the first host.
    pub(super) fn url(&self) -> String {
        let host = &self.hosts[0];
        match host.contains(':') {
            true => format!("mqtts://[{host}]:{}", self.port),
            false => format!("mqtts://{host}:{}", self.port),
        }
    }

    /// For messages: all hosts and the port.
    pub(super) fn place(&self) -> String {
        format!("{} on port {}", self.hosts.join(", "), self.port)
    }

    pub(super) fn to_text(&self) -> String {
        let hosts: String = self.hosts.iter().map(|host| format!("host {host}\n")).collect();
        format!("fleet {}\nport {}\n{hosts}", self.fleet, self.port)
    }

    pub(super) fn read(path: &Path) -> Result<Self, ProvisionError> {
        let text = super::files::read(path)?;
        let fields = |key| text.lines().filter_map(move |line| line.strip_prefix(key)?.strip_prefix(' '));
        let fleet = fields("fleet").next().filter(|name| is_level(name)).map(str::to_owned);
        let port = fields("port").next().and_then(|port| port.parse().ok());
        let hosts: Vec<_> = fields("host").filter(|host| is_host(host)).map(str::to_owned).collect();
        match (fleet, port) {
            (Some(fleet), Some(port)) if !hosts.is_empty() => Ok(Self { fleet, hosts, port }),
            _ => Err(ProvisionError::Damaged {
                path: path.to_owned(),
                problem: "expected lines `fleet NAME`, `port NUMBER` and `host NAME`".to_owned(),
            }),
        }
    }
}

/// Whether it can be a level of a topic: the rule of device and fleet names.
pub(super) fn is_level(name: &str) -> bool {
    crate::messages::DeviceId::parse(name).is_ok()
}

/// A host name or an address: what goes unquoted into a URL, a certificate and a configuration.
pub(super) fn is_host(host: &str) -> bool {
    let label = |l: &str| {
        (1..=63).contains(&l.len())
            && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
            && !l.starts_with('-')
    };
    host.parse::<IpAddr>().is_ok() || (host.len() <= 253 && host.split('.').all(label))
}
