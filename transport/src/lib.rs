//! How a fleet talks: messages, topics, MQTT sessions, a durable outbox and chunked blobs. Knows no machine learning.

pub mod messages;
pub mod topics;
