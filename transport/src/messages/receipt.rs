//! What became of an update.

use super::RunId;
use super::codec::{self, FRAME, Fields, Map};
use super::error::Fault;
use minicbor::Decoder;

/// Bytes of the text at most.
const TEXT: usize = 160;

/// Sent to `receipt/<device>`: the update is in the ledger, or never will be.
#[derive(Clone, Debug, PartialEq)]
pub struct Receipt {
    /// The run.
    pub run: RunId,
    /// Number of the round.
    pub round: u32,
    /// What became of the update.
    pub verdict: Verdict,
    /// The same for people, at most 160 bytes.
    pub text: String,
}

/// What became of an update.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// It is in the ledger.
    Accepted,
    /// It was in the ledger already.
    Duplicate,
    /// It is not, and sending it again changes nothing.
    Refused(Reason),
}

/// Why an update is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Reason {
    /// Not an update at all.
    Malformed = 0,
    /// Of another version of the messages.
    Version = 1,
    /// For another run.
    WrongRun = 2,
    /// For another round.
    WrongRound = 3,
    /// The device was not selected in this round.
    NotSelected = 4,
    /// Groups other than those of its task.
    WrongGroups = 5,
    /// Started from another adapter.
    WrongBase = 6,
    /// Carries the number of another device.
    WrongNumber = 7,
    /// Of a device the coordinator does not know.
    WrongDevice = 8,
    /// Not as many scalars as the settings ask for.
    ScalarCount = 9,
    /// Holds a value that is infinite or not a number.
    NotFinite = 10,
    /// Its norm is far from those of the others.
    Norm = 11,
    /// Not as many examples as the settings ask for.
    Examples = 12,
    /// More bytes than are accepted.
    TooLarge = 13,
    /// The round is closed.
    Closed = 14,
    /// The fleet is paused.
    Paused = 15,
    /// Its blob is missing, incomplete or not what its digest says.
    Blob = 16,
}

impl Reason {
    /// Every reason, by its code.
    pub const ALL: [Self; 17] = [
        Self::Malformed,
        Self::Version,
        Self::WrongRun,
        Self::WrongRound,
        Self::NotSelected,
        Self::WrongGroups,
        Self::WrongBase,
        Self::WrongNumber,
        Self::WrongDevice,
        Self::ScalarCount,
        Self::NotFinite,
        Self::Norm,
        Self::Examples,
        Self::TooLarge,
        Self::Closed,
        Self::Paused,
        Self::Blob,
    ];

    /// In words, as `MESSAGES.md` names it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Version => "version",
            Self::WrongRun => "wrong run",
            Self::WrongRound => "wrong round",
            Self::NotSelected => "not selected",
            Self::WrongGroups => "wrong groups",
            Self::WrongBase => "wrong base",
            Self::WrongNumber => "wrong number",
            Self::WrongDevice => "wrong device",
            Self::ScalarCount => "scalar count",
            Self::NotFinite => "not finite",
            Self::Norm => "norm",
            Self::Examples => "examples",
            Self::TooLarge => "too large",
            Self::Closed => "round closed",
            Self::Paused => "paused",
            Self::Blob => "blob missing or wrong",
        }
    }
}

super::message!(Receipt, FRAME + 18 + 6 + 2 + 3 + (3 + TEXT));

impl Receipt {
    fn write(&self, map: &mut Map<'_>) {
        map.bytes(1, &self.run.0);
        map.uint(2, self.round);
        match self.verdict {
            Verdict::Accepted => map.uint(3, 0u8),
            Verdict::Duplicate => map.uint(3, 1u8),
            Verdict::Refused(reason) => {
                map.uint(3, 2u8);
                map.uint(4, reason as u8);
            }
        }
        map.text(5, &self.text, TEXT);
    }

    fn read(f: &mut Fields<'_, '_>) -> Result<Self, Fault> {
        Ok(Self {
            run: f.need(1, "run", codec::run)?,
            round: f.need(2, "round", codec::u32)?,
            verdict: match f.need(3, "verdict", codec::u8)? {
                0 => Verdict::Accepted,
                1 => Verdict::Duplicate,
                2 => Verdict::Refused(f.need(4, "reason", Reason::read)?),
                other => return Err(Fault::new(format!("{other} is no verdict (0 to 2)")).within("verdict")),
            },
            text: f.need(5, "text", codec::text(TEXT))?,
        })
    }
}

impl Reason {
    fn read(d: &mut Decoder<'_>) -> Result<Self, Fault> {
        let code = codec::u8(d)?;
        let reason = Self::ALL.get(usize::from(code)).copied();
        reason.ok_or_else(|| Fault::new(format!("{code} is no reason (0 to {})", Self::ALL.len() - 1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_stand_at_their_codes() {
        for (code, reason) in Reason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, code);
        }
    }

    #[test]
    fn reasons_have_the_names_of_the_format_document() {
        let text = include_str!("../../MESSAGES.md");
        for (code, reason) in Reason::ALL.into_iter().enumerate() {
            let named = format!("{code} {}", reason.name());
            assert!(text.contains(&named), "MESSAGES.md does not have \"{named}\"");
        }
    }
}
