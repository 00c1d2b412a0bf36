//! Why bytes are not a message.

/// Why bytes are not the message they should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// More bytes than the message may have; nothing was read.
    #[error("{message}: {bytes} bytes; at most {limit} are accepted")]
    TooLarge {
        /// Which message.
        message: &'static str,
        /// Bytes that came.
        bytes: usize,
        /// Bytes accepted.
        limit: usize,
    },
    /// The check sum does not fit the bytes: damaged on the way, or cut short.
    #[error("{message}: {bytes} bytes that do not match their check sum; sent again, it may arrive whole")]
    Corrupt {
        /// Which message.
        message: &'static str,
        /// Bytes that came.
        bytes: usize,
    },
    /// Sent by software that speaks another version.
    #[error("{message}: version {found}; this software speaks version {known}: update the older side", known = super::VERSION)]
    Version {
        /// Which message.
        message: &'static str,
        /// The version that came.
        found: u64,
    },
    /// A field is absent, of another type, or outside its limits.
    #[error("{message}: field `{field}`: {why}")]
    Field {
        /// Which message.
        message: &'static str,
        /// Which field, with the fields around it; empty for the message itself.
        field: String,
        /// What is wrong, with the limit.
        why: String,
    },
}

/// What the readers of fields return; becomes a [`MessageError`] where the message's name is known.
#[derive(Debug)]
pub(crate) enum Fault {
    Version(u64),
    Field { path: String, why: String },
}

impl Fault {
    pub(crate) fn new(why: impl Into<String>) -> Self {
        Self::Field { path: String::new(), why: why.into() }
    }

    /// Puts the field's name before the path.
    pub(crate) fn within(self, field: &str) -> Self {
        match self {
            Self::Field { path, why } if path.is_empty() => Self::Field { path: field.to_owned(), why },
            Self::Field { path, why } => Self::Field { path: format!("{field}.{path}"), why },
            version @ Self::Version(_) => version,
        }
    }

    pub(crate) fn of(self, message: &'static str) -> MessageError {
        match self {
            Self::Version(found) => MessageError::Version { message, found },
            Self::Field { path, why } => MessageError::Field { message, field: path, why },
        }
    }
}

impl From<minicbor::decode::Error> for Fault {
    fn from(error: minicbor::decode::Error) -> Self {
        Self::new(error.to_string())
    }
}
