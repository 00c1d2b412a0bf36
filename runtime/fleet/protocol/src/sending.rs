//! Messages that may be lost on the way.

use sprig_transport::link::{Link, LinkError};

/// Queues a message that is sent again until it is answered, or asked for again: a full queue is no failure.
///
/// # Errors
/// As [`Link::publish`], but for [`LinkError::Busy`].
pub fn send<L: Link + ?Sized>(
    link: &mut L,
    topic: &str,
    payload: Vec<u8>,
    retain: bool,
) -> Result<(), LinkError> {
    match link.publish(topic, payload, retain) {
        Err(LinkError::Busy { .. }) => Ok(()),
        other => other,
    }
}
