//! Mosquitto's configuration and who may say what.

use super::{COORDINATOR, identity::Identity};
use crate::messages::Update;
use std::net::IpAddr;

/// Bytes of a packet at most.
const MAX_PACKET: usize = 64 << 10;
// The largest message must pass, with a topic of some 130 bytes and MQTT's framing.
const _: () = assert!(Update::MAX + 512 <= MAX_PACKET);
/// Name of the list of revoked certificates in the broker's folder.
pub(super) const REVOCATIONS: &str = "revoked.crl";

/// `mosquitto.conf`. Its paths are relative, so that the folder can be copied anywhere.
pub(super) fn configuration(identity: &Identity) -> String {
    let Identity { fleet, port, hosts } = identity;
    let loopback = |host: &String| host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
    // A name may have addresses that this machine does not listen on, with which mosquitto would not start.
    let only = if hosts.iter().all(loopback) { format!(" {}", hosts[0]) } else { String::new() };
    format!(
        "# Broker of the fleet {fleet}. Start it in this folder: mosquitto -c mosquitto.conf
# Started as root, mosquitto becomes the user `mosquitto`, who must then own this folder.

listener {port}{only}
cafile ca.crt
certfile server.crt
keyfile server.key
# Whose certificates hold no more: `sprig fleet revoke` writes it, and mosquitto reads it again when it gets a SIGHUP.
crlfile {REVOCATIONS}

# Who a client is, its certificate says: its name is its user name and its client identifier, so nobody can
# speak as another or push another off the broker.
allow_anonymous false
require_certificate true
use_identity_as_username true
use_username_as_clientid true
acl_file acl

# The fleet's truth is in the coordinator's ledger; what the broker loses is announced again.
persistence false

# What one client can cost. The coordinator hears every device at once: 20000 messages may wait for it.
max_packet_size {MAX_PACKET}
max_queued_messages 20000
max_queued_bytes 16777216
max_inflight_messages 100
persistent_client_expiration 1h

set_tcp_nodelay true
log_dest stderr
log_type error
log_type warning
log_type notice
"
    )
}

/// Whether a broker with this configuration looks at the list of revoked certificates.
pub(super) fn heeds_revocations(configuration: &str) -> bool {
    configuration.lines().any(|line| line.trim_start().starts_with("crlfile "))
}

/// The access control list. Its patterns hold for every device, so a new one needs no new list.
pub(super) fn access(fleet: &str) -> String {
    let base = format!("sprig/1/{fleet}");
    let mut text = format!(
        "# Who may say and hear what in the fleet {fleet}; %u is the name in the client's certificate.
# To shut a device out for a while, add these lines and send mosquitto a SIGHUP; for good: sprig fleet revoke.
#   user device-001
#   topic deny #
# mosquitto warns of the patterns without %u: they are what all devices hear.

user {COORDINATOR}
topic readwrite {base}/#

"
    );
    for own in ["presence/%u", "update/%u", "report/%u", "want/%u", "up/%u/#", "answer/%u/#", "renew/%u"] {
        text += &format!("pattern write {base}/{own}\n");
    }
    for heard in ["job", "round", "blob/#", "task/%u", "receipt/%u", "offer/%u", "ask/%u", "certificate/%u"] {
        text += &format!("pattern read {base}/{heard}\n");
    }
    text
}
