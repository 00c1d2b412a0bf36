//! `mqtt://` and `mqtts://` addresses.

use crate::link::LinkError;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

/// Where a broker is.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) tls: bool,
    /// An IPv6 address is in brackets.
    pub(super) host: String,
    pub(super) port: u16,
}

impl Address {
    /// Parses `url`; a plain connection to another machine needs `allow_plain`.
    pub(super) fn parse(url: &str, allow_plain: bool) -> Result<Self, LinkError> {
        let wrong = |why: &str| LinkError::Url { url: url.to_owned(), why: why.to_owned() };
        let (tls, rest) = match url.split_once("://") {
            Some(("mqtts", rest)) => (true, rest),
            Some(("mqtt", rest)) => (false, rest),
            _ => return Err(wrong("neither mqtts:// nor mqtt://")),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        if rest.contains('@') {
            return Err(wrong("user name and password have settings of their own"));
        }
        let colon = match rest.rfind(']') {
            Some(bracket) => rest[bracket..].find(':').map(|at| bracket + at),
            None => rest.rfind(':'),
        };
        let (host, port) = match colon {
            None => (rest, if tls { 8883 } else { 1883 }),
            Some(at) => {
                let port = rest[at + 1..].parse().ok().filter(|port| *port > 0);
                (&rest[..at], port.ok_or_else(|| wrong("the port is not 1 to 65535"))?)
            }
        };
        let address = Self { tls, host: host.to_owned(), port };
        if let Some(inner) = host.strip_prefix('[') {
            if inner.strip_suffix(']').and_then(|ip| ip.parse::<Ipv6Addr>().ok()).is_none() {
                return Err(wrong("no IPv6 address in the brackets"));
            }
        } else if host.is_empty() || !host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b)) {
            return Err(wrong("no host name"));
        }
        if !tls && !allow_plain && !address.is_this_machine() {
            return Err(LinkError::Plain { url: url.to_owned() });
        }
        Ok(address)
    }

    /// The name that the broker's certificate has: without brackets.
    pub(super) fn name(&self) -> &str {
        self.host.trim_start_matches('[').trim_end_matches(']')
    }

    fn is_this_machine(&self) -> bool {
        let host = self.name();
        host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_parsed() {
        for (url, tls, host, port) in [
            ("mqtts://broker.home", true, "broker.home", 8883),
            ("mqtts://10.0.0.1:1", true, "10.0.0.1", 1),
            ("mqtt://localhost/", false, "localhost", 1883),
            ("mqtt://127.0.0.9:77", false, "127.0.0.9", 77),
            ("mqtt://[::1]:77", false, "[::1]", 77),
            ("mqtt://[::1]", false, "[::1]", 1883),
            ("mqtts://[fd00::7]:8883", true, "[fd00::7]", 8883),
        ] {
            let expected = Address { tls, host: host.to_owned(), port };
            assert_eq!(Address::parse(url, false).unwrap(), expected, "{url}");
        }
        for url in [
            "",
            "localhost",
            "http://x",
            "mqtt://",
            "mqtt://:1",
            "mqtt://a b",
            "mqtt://localhost:0",
            "mqtt://localhost:65536",
            "mqtt://localhost:",
            "mqtt://u:p@localhost",
            "mqtt://[::1",
            "mqtt://[x]:1",
            "mqtts://[::1",
            "mqtt://localhost/path",
            "mqtt://::1",
            "mqtt://ho\u{301}st",
        ] {
            assert!(matches!(Address::parse(url, true), Err(LinkError::Url { .. })), "{url}");
        }
    }

    #[test]
    fn a_plain_connection_to_another_machine_must_be_allowed() {
        for url in ["mqtt://broker.home", "mqtt://10.0.0.1", "mqtt://[fe80::1]", "mqtt://localhost.evil.org"]
        {
            let error = Address::parse(url, false).unwrap_err();
            assert!(error.to_string().contains("allow_plain = true"), "{error}");
            assert!(Address::parse(url, true).is_ok());
        }
    }
}
