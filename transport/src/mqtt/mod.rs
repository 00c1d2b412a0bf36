//! A session with an MQTT 5 broker, in a thread of its own.
//!
//! Each connection is a new client with a clean session: what the broker has not acknowledged when a connection
//! ends is sent again on the next. Received messages are acknowledged when they fit into the inbox, so that a slow
//! reader makes the broker wait ([`RECEIVE_MAXIMUM`]) instead of filling memory.

mod address;
mod many;
mod session;
mod shared;
mod state;
#[cfg(test)]
mod tests;
mod trouble;

use crate::link::{Event, Farewell, Link, LinkConfig, LinkError, MAX_PAYLOAD, MAX_TOPIC, Traffic};
use crate::rules;
use crate::tls::Identity;
use address::Address;
pub use many::Many;
use rumqttc::tokio_rustls::rustls::ClientConfig;
use rumqttc::{AckMode, LastWill, MqttOptions, QoS, TlsConfiguration, Transport};
use shared::Shared;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Bytes of an MQTT packet at most, in either direction; the broker is told not to send larger ones. The last part
/// is header and properties.
pub const MAX_PACKET: u32 = (MAX_PAYLOAD + MAX_TOPIC + 1024) as u32;
/// Messages that the broker sends before the first is acknowledged. With a full inbox, so many more are held.
pub const RECEIVE_MAXIMUM: u16 = 32;
/// Messages sent before the first is acknowledged.
pub const SEND_WINDOW: usize = 64;
/// Time for connecting, the TLS handshake and the broker's answer.
pub const CONNECT_TIME: Duration = Duration::from_secs(10);

/// Stack of the link's thread. A TLS handshake is its deepest point.
const STACK_BYTES: usize = 1 << 20;

/// A session with an MQTT 5 broker. Dropped without [`Link::close`], it ends as a killed process does: the broker
/// publishes the will.
pub struct MqttLink {
    shared: Arc<Shared>,
    patience: Duration,
    thread: Option<JoinHandle<()>>,
}

/// Checks the settings and starts connecting; [`Event::Connected`] tells when the session stands.
///
/// # Errors
/// What the user must put right: the address, the files, a plain connection to another machine.
pub fn connect(config: &LinkConfig) -> Result<MqttLink, LinkError> {
    let task = prepared(config)?;
    let shared = task.shared.clone();
    let thread = thread::Builder::new()
        .name("mqtt".to_owned())
        .stack_size(STACK_BYTES)
        .spawn(move || task.run())
        .map_err(|error| LinkError::Closed(format!("its thread cannot be started: {error}")))?;
    Ok(MqttLink { shared, patience: config.patience, thread: Some(thread) })
}

/// A session that is yet to begin.
fn prepared(config: &LinkConfig) -> Result<session::Task, LinkError> {
    let (address, options, identity) = options(config)?;
    Ok(session::Task {
        shared: Arc::new(Shared::new(config.queue_bytes, config.inbox_bytes)),
        options,
        identity,
        broker: address.to_string(),
        first_pause: config.first_pause,
        longest_pause: config.longest_pause,
    })
}

/// Where to connect, how, and, where the connection is encrypted, the files that say who we are and whom we trust.
fn options(config: &LinkConfig) -> Result<(Address, MqttOptions, Option<Identity>), LinkError> {
    let address = Address::parse(&config.url, config.allow_plain)?;
    if config.client_id.is_empty() || config.client_id.len() > 64 {
        let why = format!("client id `{}`: 1 to 64 bytes are accepted", config.client_id);
        return Err(LinkError::Settings(why));
    }
    let keep_alive = u16::try_from(config.keep_alive.as_secs()).ok().filter(|seconds| *seconds > 0);
    let keep_alive = keep_alive.ok_or_else(|| {
        LinkError::Settings(format!("keep_alive {:?}: 1 to 65535 seconds are accepted", config.keep_alive))
    })?;
    let mut options = MqttOptions::new(&config.client_id, (address.name(), address.port));
    if address.name() != address.host {
        // The certificate is looked up by the bare address, which with a port behind it says nothing to a socket.
        let place = address.to_string();
        options
            .set_socket_connector(move |_, network| rumqttc::default_socket_connect(place.clone(), network));
    }
    options
        .set_keep_alive(keep_alive)
        .set_clean_start(true)
        .set_session_expiry_interval(Some(0))
        .set_receive_maximum(Some(RECEIVE_MAXIMUM))
        .set_max_packet_size(Some(MAX_PACKET))
        .set_ack_mode(AckMode::Manual)
        .set_outgoing_inflight_upper_limit(SEND_WINDOW as u16)
        .set_max_request_batch(SEND_WINDOW)
        .set_connect_timeout(CONNECT_TIME);
    if let Some((topic, payload)) = &config.will {
        rules::check_publication(topic, payload)?;
        options.set_last_will(LastWill::new(topic, payload.clone(), QoS::AtLeastOnce, true, None));
    }
    if let Some((user, password)) = &config.login {
        options.set_credentials(user, password.clone().into_bytes());
    }
    let mut identity = None;
    if address.tls {
        let (client, kept) = Identity::open(config)?;
        options.set_transport(transport(client));
        identity = Some(kept);
    } else if config.ca.is_some() || config.identity.is_some() {
        let why =
            format!("broker `{}`: certificates are given, but mqtt:// uses none; use mqtts://", config.url);
        return Err(LinkError::Settings(why));
    }
    Ok((address, options, identity))
}

fn transport(client: Arc<ClientConfig>) -> Transport {
    Transport::tls_with_config(TlsConfiguration::Rustls(client))
}

impl Link for MqttLink {
    fn subscribe(&mut self, filter: &str) -> Result<(), LinkError> {
        rules::check_filter(filter)?;
        self.shared.subscribe(filter)
    }

    fn unsubscribe(&mut self, filter: &str) -> Result<(), LinkError> {
        self.shared.unsubscribe(filter)
    }

    fn publish(&mut self, topic: &str, payload: Vec<u8>, retain: bool) -> Result<(), LinkError> {
        rules::check_publication(topic, &payload)?;
        self.shared.publish(topic, payload, retain, self.patience)
    }

    fn next(&mut self, wait: Duration) -> Result<Option<Event>, LinkError> {
        self.shared.next(Instant::now() + wait)
    }

    fn queued(&self) -> usize {
        self.shared.queued()
    }

    fn traffic(&self) -> Traffic {
        self.shared.traffic()
    }

    fn close(mut self: Box<Self>, farewell: Option<Farewell>) -> Result<(), LinkError> {
        if let Some((topic, payload)) = &farewell {
            rules::check_publication(topic, payload)?;
        }
        let left = self.shared.close(farewell, Instant::now() + self.patience);
        self.end();
        left
    }
}

impl MqttLink {
    fn end(&mut self) {
        self.shared.abandon();
        if let Some(thread) = self.thread.take() {
            // If it panicked, `Shared` says that it has ended.
            let _ = thread.join();
        }
    }
}

impl Drop for MqttLink {
    fn drop(&mut self) {
        self.end();
    }
}
