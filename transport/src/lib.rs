//! How a fleet talks: messages, topics, MQTT sessions, a durable outbox and chunked blobs. Knows no machine learning.

pub mod blob;
#[cfg(feature = "broker")]
pub mod broker;
pub mod certificate;
pub mod enrol;
pub mod expiry;
pub mod faults;
pub mod link;
pub mod memory;
pub mod messages;
pub mod mqtt;
pub mod outbox;
#[cfg(feature = "provision")]
pub mod provision;
pub mod renewal;
mod rules;
pub mod tls;
pub mod token;
pub mod topics;

pub use rules::packet_bytes;
