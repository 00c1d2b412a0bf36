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

    /// Asks for no more messages of `filter`, exactly as it was subscribed to.
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
    /// [`LinkError::Refused`], [`LinkError::Untrusted`] or [`LinkError::Dates`] each time an attempt to connect ends so (the
    /// link goes on trying: [`LinkError::is_worth_waiting`]), [`LinkError::Closed`] at the end.
    fn next(&mut self, wait: Duration) -> Result<Option<Event>, LinkError>;

    /// Bytes that were published and that the broker has not taken yet, as far as the link knows; 0 of one that keeps none.
    fn queued(&self) -> usize;

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
    /// The broker's certificate does not hold at this time, as far as this machine knows the time.
    #[error(
        "the broker at {broker} is not trusted yet: {why}; set this machine's clock if it is wrong, or give the broker a \
         certificate that holds"
    )]
    Dates {
        /// Host and port.
        broker: String,
        /// What the clock and the certificate say.
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
    /// Whether an attempt to connect that ended so may be followed by one that does not, without anybody's doing here. Where
    /// the broker has let us in before, it is being restarted or its rules are being changed, or a certificate is being
    /// replaced, and what was read before is used meanwhile; and a clock that is wrong at the start of a board is set in time.
    pub fn is_worth_waiting(&self, let_in_before: bool) -> bool {
        match self {
            Self::Dates { .. } => true,
            Self::Refused { .. } | Self::Untrusted { .. } | Self::File { .. } => let_in_before,
            _ => false,
        }
    }

    /// Who can end it.
    pub fn who(&self) -> Who {
        match self {
            Self::Url { .. } | Self::Plain { .. } | Self::File { .. } | Self::Settings(_) => Who::User,
            Self::Untrusted { .. } | Self::Dates { .. } => Who::User,
            Self::Refused { .. } => Who::Broker,
            Self::Busy { .. } => Who::Nobody,
            Self::TooLarge { .. } | Self::Topic { .. } | Self::Closed(_) => Who::Program,
        }
    }
}
