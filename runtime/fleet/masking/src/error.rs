//! Why a stage did not go on, and who has to act.

/// Who has to act on an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// The member of that number sent what no honest one sends, or what was damaged on the way.
    Member(u32),
    /// The collector did what no honest one does. A member takes no further part in the round.
    Collector,
    /// This program: a bug, its disk or its randomness.
    Ourselves,
    /// Whoever sent these bytes; whose they are is the caller's to know.
    Sender,
    /// Nobody: too many were lost. Another round may do.
    Nobody,
}

/// What a stage waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Members' public keys.
    Keys,
    /// Packages of pieces.
    Packages,
    /// Veiled values.
    Veiled,
    /// Answers to the collector's question.
    Answers,
}

/// Why a stage did not go on. [`blame`](Self::blame) says who has to act.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MaskingError {
    /// Too few were left. Nothing can be opened, and nothing is given away.
    #[error("{have} members, {missing} fewer than the {need} that are needed, are left: {stage:?}", missing = need - have)]
    TooFew {
        /// What was waited for.
        stage: Stage,
        /// Members that are left.
        have: usize,
        /// The threshold.
        need: usize,
    },
    /// A member sent what cannot be.
    #[error("member {member}: {why}")]
    Member {
        /// Which.
        member: u32,
        /// What is wrong.
        why: String,
    },
    /// A member's message of another attempt, or of a stage that went on without it: late, in all likelihood.
    #[error("member {member}: {what}")]
    Late {
        /// Which.
        member: u32,
        /// Of what, after what.
        what: &'static str,
    },
    /// The collector sent what cannot be.
    #[error("the collector: {why}: no further part is taken in this round")]
    Collector {
        /// What is wrong.
        why: String,
    },
    /// A secret that was put together from its pieces is not the one that its owner promised.
    #[error(
        "the secret of member {owner} is not what it promised: it dealt wrong pieces, or one of {givers:?} gave one"
    )]
    Unopened {
        /// Whose secret.
        owner: u32,
        /// Whose pieces were used.
        givers: Vec<u32>,
    },
    /// This program asked for what cannot be.
    #[error("a bug of this program: {why}")]
    Ours {
        /// What is wrong.
        why: String,
    },
    /// The source of randomness failed.
    #[error("randomness: {0}")]
    Randomness(String),
    /// A stored state is damaged, or of another version.
    #[error("stored state of a member: {why}: begin another round")]
    Stored {
        /// What is wrong.
        why: String,
    },
    /// Bytes that are not the message they should be.
    #[error("{message}: {why}")]
    Bytes {
        /// Which message.
        message: &'static str,
        /// What is wrong, with the limit.
        why: String,
    },
}

impl MaskingError {
    /// Who has to act.
    pub fn blame(&self) -> Blame {
        match self {
            Self::TooFew { .. } => Blame::Nobody,
            Self::Member { member, .. } | Self::Late { member, .. } => Blame::Member(*member),
            // The dealer in all likelihood: a wrong giver shows in everybody's secrets.
            Self::Unopened { owner, .. } => Blame::Member(*owner),
            Self::Collector { .. } => Blame::Collector,
            Self::Ours { .. } | Self::Randomness(_) | Self::Stored { .. } => Blame::Ourselves,
            Self::Bytes { .. } => Blame::Sender,
        }
    }

    pub(crate) fn member(member: u32, why: impl Into<String>) -> Self {
        Self::Member { member, why: why.into() }
    }

    pub(crate) fn collector(why: impl Into<String>) -> Self {
        Self::Collector { why: why.into() }
    }

    pub(crate) fn ours(why: impl Into<String>) -> Self {
        Self::Ours { why: why.into() }
    }

    pub(crate) fn stored(why: impl Into<String>) -> Self {
        Self::Stored { why: why.into() }
    }
}
