//! The port between the fleet and whatever carries its messages: MQTT, a hub in memory, or a faulty link.

use std::path::PathBuf;
use std::time::Duration;

/// Bytes of one message's payload at most, in either direction.
pub const MAX_PAYLOAD: usize = 64 << 10;
/// Bytes of a topic or filter at most; the longest of a fleet has 192.
pub const MAX_TOPIC: usize = 256;

/// A topic and a payload that go out, retained, when a session ends: the last will, or a farewell.
pub type Farewell = (String, Vec<u8>);

/// What a link tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The session stands and every subscription is in place. Sessions are clean: what was sent before and is
    /// not retained is gone, and retained messages arrive anew.
    Connected,
    /// The session is gone, and why; the link is already trying again.
    Disconnected(String),
    /// A message that a subscription matches.
    Message {
        /// Where it was published.
        topic: String,
        /// Its bytes, at most [`MAX_PAYLOAD`].
        payload: Vec<u8>,
    },
}

/// Bytes of PUBLISH packets: topic, payload and header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Sent.
    pub up: u64,
    /// Received.
    pub down: u64,
}

/// A session with a broker. QoS 1 throughout; a publication counts as done only when the fleet's own receipt says so.
pub trait Link: Send {
    /// Asks for messages of topics that `filter` matches (`+` one level, `#` the rest). Remembered, and renewed
    /// after every reconnect before [`Event::Connected`] is delivered.
    ///
    /// # Errors
    /// If the filter is none, or the link is closed.
    fn subscribe(&mut self, filter: &str) -> Result<(), LinkError>;

    /// No longer asks for what [`subscribe`](Self::subscribe) asked for with the same filter.
    ///
    /// # Errors
    /// If the link is closed.
    fn unsubscribe(&mut self, filter: &str) -> Result<(), LinkError>;

    /// Queues a message; the broker keeps it for later subscribers if `retain` is set (an empty payload ends that).
    /// At the queue's bound it blocks for [`LinkConfig::patience`] at most.
    ///
    /// # Errors
    /// [`LinkError::Busy`] when that time has passed; [`LinkError::TooLarge`] and [`LinkError::Topic`] of what
    /// no broker would take.
    fn publish(&mut self, topic: &str, payload: Vec<u8>, retain: bool) -> Result<(), LinkError>;

    /// The next event; none when `wait` has passed without one.
    ///
    /// # Errors
    /// [`LinkError::Refused`] or [`LinkError::Untrusted`] each time an attempt to connect ends so (the link goes on
    /// trying: whether that is worth waiting for is the caller's to decide), [`LinkError::Closed`] at the end.
    fn next(&mut self, wait: Duration) -> Result<Option<Event>, LinkError>;

    /// What has travelled so far.
    fn traffic(&self) -> Traffic;

    /// Sends what is queued and the farewell (retained), then ends the session so that no will is sent.
    ///
    /// # Errors
    /// [`LinkError::Busy`] if that takes longer than [`LinkConfig::patience`]: what was left is lost.
    fn close(self: Box<Self>, farewell: Option<Farewell>) -> Result<(), LinkError>;
}

/// How to reach a broker.
#[derive(Clone, Debug)]
pub struct LinkConfig {
    /// `mqtt://host[:1883]` or `mqtts://host[:8883]`.
    pub url: String,
    /// The session's name at the broker; a second session of that name ends the first.
    pub client_id: String,
    /// Published by the broker, retained, when this session ends without farewell.
    pub will: Option<Farewell>,
    /// User name and password.
    pub login: Option<(String, String)>,
    /// PEM file of the authorities that may have signed the broker's certificate; without one, the system's are trusted.
    pub ca: Option<PathBuf>,
    /// PEM files of this client's certificate and its key.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// Allows `mqtt://` to another machine, where anyone on the way can read and change what travels.
    pub allow_plain: bool,
    /// A session this long without any packet is given up by the broker after half as much again.
    pub keep_alive: Duration,
    /// Bytes of messages that wait to be sent.
    pub queue_bytes: usize,
    /// Bytes of messages that wait to be taken by [`Link::next`]; beyond it, the broker is asked to wait.
    pub inbox_bytes: usize,
    /// How long [`Link::publish`] waits for room in the queue, and [`Link::close`] for the queue to empty.
    pub patience: Duration,
    /// First pause before connecting again; doubles up to [`LinkConfig::longest_pause`], each time less a random part.
    pub first_pause: Duration,
    /// Longest pause before connecting again.
    pub longest_pause: Duration,
}

impl LinkConfig {
    /// No will, no login, the system's authorities, no plain connection to another machine, and bounds that suit
    /// a board: 1 MiB each way.
    pub fn new(url: &str, client_id: &str) -> Self {
        Self {
            url: url.to_owned(),
            client_id: client_id.to_owned(),
            will: None,
            login: None,
            ca: None,
            identity: None,
            allow_plain: false,
            keep_alive: Duration::from_secs(30),
            queue_bytes: 1 << 20,
            inbox_bytes: 1 << 20,
            patience: Duration::from_secs(5),
            first_pause: Duration::from_millis(200),
            longest_pause: Duration::from_secs(30),
        }
    }
}

/// Who can end an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// The user of this machine: settings or files.
    User,
    /// Whoever runs the broker.
    Broker,
    /// Nobody: it passes.
    Nobody,
    /// The program that calls.
    Program,
}

/// Why a link does not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The broker's address is none.
    #[error("broker `{url}`: {why}; give mqtts://HOST[:PORT] or mqtt://HOST[:PORT]")]
    Url {
        /// As given.
        url: String,
        /// What is wrong with it.
        why: String,
    },
    /// A plain connection to another machine.
    #[error(
        "broker `{url}`: mqtt:// to another machine is neither private nor protected against changes; \
         use mqtts://, or allow it with `allow_plain = true`"
    )]
    Plain {
        /// As given.
        url: String,
    },
    /// A certificate or key cannot be used.
    #[error("{what} {}: {why}", path.display())]
    File {
        /// What the file should hold.
        what: &'static str,
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// The settings contradict each other or are outside their limits.
    #[error("{0}")]
    Settings(String),
    /// The broker does not let this client in.
    #[error(
        "the broker at {broker} refuses this client: {why}; check the user name, password, certificate and access rules"
    )]
    Refused {
        /// Host and port.
        broker: String,
        /// What it said.
        why: String,
    },
    /// The broker cannot show that it is the right one.
    #[error(
        "the broker at {broker} is not trusted: {why}; check the `ca` file and the host name in the broker's certificate"
    )]
    Untrusted {
        /// Host and port.
        broker: String,
        /// What is wrong.
        why: String,
    },
    /// More than a message may have.
    #[error("a message of {bytes} bytes to {topic}; at most {limit} travel in one: send a blob")]
    TooLarge {
        /// Where it should have gone.
        topic: String,
        /// Its bytes.
        bytes: usize,
        /// [`MAX_PAYLOAD`].
        limit: usize,
    },
    /// Not a topic, or not a filter.
    #[error("`{topic}` is no {kind}: {why}")]
    Topic {
        /// As given, shortened.
        topic: String,
        /// `topic` or `filter`.
        kind: &'static str,
        /// Which rule it breaks.
        why: &'static str,
    },
    /// The queue stayed full.
    #[error(
        "{queued} bytes wait to be sent (limit {limit}) and none went in {waited:?}; the broker is slow or away, try later"
    )]
    Busy {
        /// Bytes in the queue.
        queued: usize,
        /// Bytes the queue may hold.
        limit: usize,
        /// How long this call waited.
        waited: Duration,
    },
    /// The session has ended for good.
    #[error("the link is closed: {0}")]
    Closed(String),
}

impl LinkError {
    /// Who can end it.
    pub fn who(&self) -> Who {
        match self {
            Self::Url { .. } | Self::Plain { .. } | Self::File { .. } | Self::Settings(_) => Who::User,
            Self::Untrusted { .. } => Who::User,
            Self::Refused { .. } => Who::Broker,
            Self::Busy { .. } => Who::Nobody,
            Self::TooLarge { .. } | Self::Topic { .. } | Self::Closed(_) => Who::Program,
        }
    }
}

/// Checks what is about to be published.
pub(crate) fn check_publication(topic: &str, payload: &[u8]) -> Result<(), LinkError> {
    check_name(topic, "topic")?;
    if topic.contains(['+', '#']) {
        return Err(topic_error(topic, "topic", "it has a wildcard"));
    }
    if payload.len() > MAX_PAYLOAD {
        return Err(LinkError::TooLarge {
            topic: topic.to_owned(),
            bytes: payload.len(),
            limit: MAX_PAYLOAD,
        });
    }
    Ok(())
}

/// Checks what is about to be subscribed to.
pub(crate) fn check_filter(filter: &str) -> Result<(), LinkError> {
    check_name(filter, "filter")?;
    let levels: Vec<_> = filter.split('/').collect();
    for (i, level) in levels.iter().enumerate() {
        if level.contains('#') && (level.len() > 1 || i + 1 < levels.len()) {
            return Err(topic_error(filter, "filter", "`#` stands alone, at the end"));
        }
        if level.contains('+') && level.len() > 1 {
            return Err(topic_error(filter, "filter", "`+` stands alone in its level"));
        }
    }
    Ok(())
}

fn check_name(name: &str, kind: &'static str) -> Result<(), LinkError> {
    if name.is_empty() || name.len() > MAX_TOPIC {
        return Err(topic_error(name, kind, "1 to 256 bytes are accepted"));
    }
    if name.contains(char::is_control) {
        return Err(topic_error(name, kind, "it has a control character"));
    }
    Ok(())
}

fn topic_error(topic: &str, kind: &'static str, why: &'static str) -> LinkError {
    LinkError::Topic { topic: crate::messages::shortened(topic), kind, why }
}

/// Bytes of a PUBLISH packet of MQTT 5 at QoS 1 without properties.
pub(crate) fn packet_bytes(topic: &str, payload: &[u8]) -> u64 {
    let rest = 2 + topic.len() + 2 + 1 + payload.len();
    let length = match rest {
        0..0x80 => 1,
        0x80..0x4000 => 2,
        0x4000..0x20_0000 => 3,
        _ => 4,
    };
    (1 + length + rest) as u64
}

/// Whether a filter matches a topic, by the rules of MQTT.
pub(crate) fn matches(filter: &str, topic: &str) -> bool {
    if topic.starts_with('$') && filter.starts_with(['+', '#']) {
        return false;
    }
    let mut levels = topic.split('/');
    for wanted in filter.split('/') {
        if wanted == "#" {
            return true;
        }
        match levels.next() {
            Some(level) if wanted == "+" || wanted == level => {}
            _ => return false,
        }
    }
    levels.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_match_as_mqtt_says() {
        for (filter, topic, expected) in [
            ("a/b", "a/b", true),
            ("a/b", "a/b/c", false),
            ("a/+", "a/b", true),
            ("a/+", "a", false),
            ("a/+", "a/", true),
            ("a/+/c", "a/b/c", true),
            ("a/#", "a/b/c", true),
            ("a/#", "a", true),
            ("#", "a/b", true),
            ("#", "$SYS/x", false),
            ("+/x", "$SYS/x", false),
            ("$SYS/#", "$SYS/x", true),
            ("a/b", "a/B", false),
        ] {
            assert_eq!(matches(filter, topic), expected, "{filter} {topic}");
        }
    }

    #[test]
    fn what_no_broker_takes_is_refused_here() {
        for bad in ["", "a/+b", "a/#/b", "#a", "a\0", &"x".repeat(257)] {
            assert!(check_filter(bad).is_err(), "{bad}");
        }
        for bad in ["", "a/+", "#", "a\n"] {
            assert!(check_publication(bad, &[]).is_err(), "{bad}");
        }
        assert!(check_publication("a", &vec![0; MAX_PAYLOAD]).is_ok());
        let large = check_publication("a", &vec![0; MAX_PAYLOAD + 1]).unwrap_err();
        assert!(large.to_string().contains("65537") && large.who() == Who::Program, "{large}");
    }

    #[test]
    fn packets_are_counted_to_the_byte() {
        assert_eq!(packet_bytes("a", &[]), 2 + 3 + 2 + 1);
        // The remaining length takes a second byte from 128 on.
        assert_eq!(packet_bytes("a", &[0; 121]), 2 + 127);
        assert_eq!(packet_bytes("a", &[0; 122]), 3 + 128);
    }
}
