//! What either side says at a stage, whichever message that is: the first byte of each tells which.

use super::{Answer, Delivery, Keys, Packages, Question, Roster, Veiled};
use crate::{MaskingError, Terms};

/// What a collector tells a member, a stage after another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// What is agreed on: the member draws its keys under it.
    Terms(Terms),
    /// Who takes part.
    Roster(Roster),
    /// The packages for it.
    Delivery(Delivery),
    /// What became of the others.
    Question(Question),
}

/// What a member says, a stage after another.
#[derive(Clone, PartialEq, Eq)]
pub enum Said {
    /// Its public keys.
    Keys(Keys),
    /// Its packages for the others.
    Packages(Packages),
    /// Its values under their veils.
    Veiled(Veiled),
    /// Its pieces of the others' secrets.
    Answer(Answer),
}

impl Told {
    /// The bytes on the wire.
    pub fn to_bytes(&self) -> Vec<u8> {
        match self {
            Self::Terms(terms) => terms.to_message(),
            Self::Roster(roster) => roster.to_bytes(),
            Self::Delivery(delivery) => delivery.to_bytes(),
            Self::Question(question) => question.to_bytes(),
        }
    }

    /// Reads what came over the wire.
    ///
    /// # Errors
    /// [`Bytes`](MaskingError::Bytes), with what is wrong and the limit.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, MaskingError> {
        match bytes.first() {
            Some(&Terms::KIND) => Terms::from_message(bytes).map(Self::Terms),
            Some(2) => Roster::from_bytes(bytes).map(Self::Roster),
            Some(4) => Delivery::from_bytes(bytes).map(Self::Delivery),
            Some(6) => Question::from_bytes(bytes).map(Self::Question),
            found => Err(unknown("a collector's message", found)),
        }
    }
}

impl Said {
    /// The bytes on the wire.
    pub fn to_bytes(&self) -> Vec<u8> {
        match self {
            Self::Keys(keys) => keys.to_bytes(),
            Self::Packages(packages) => packages.to_bytes(),
            Self::Veiled(veiled) => veiled.to_bytes(),
            Self::Answer(answer) => answer.to_bytes(),
        }
    }

    /// Reads what came over the wire.
    ///
    /// # Errors
    /// As of [`Told::from_bytes`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, MaskingError> {
        match bytes.first() {
            Some(1) => Keys::from_bytes(bytes).map(Self::Keys),
            Some(3) => Packages::from_bytes(bytes).map(Self::Packages),
            Some(5) => Veiled::from_bytes(bytes).map(Self::Veiled),
            Some(7) => Answer::from_bytes(bytes).map(Self::Answer),
            found => Err(unknown("a member's message", found)),
        }
    }

    /// Whose it says it is.
    pub fn member(&self) -> u32 {
        match self {
            Self::Keys(keys) => keys.member,
            Self::Packages(packages) => packages.member,
            Self::Veiled(veiled) => veiled.member,
            Self::Answer(answer) => answer.member,
        }
    }
}

fn unknown(message: &'static str, found: Option<&u8>) -> MaskingError {
    let why = found.map_or_else(|| "no bytes".to_owned(), |kind| format!("kind {kind} is none of its"));
    MaskingError::Bytes { message, why }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Fleet;

    #[test]
    fn each_stage_is_told_by_its_first_byte_and_says_whose_it_is() {
        let mut fleet = Fleet::new(4, 3, 1);
        fleet.total().unwrap();
        let terms = Told::Terms(fleet.terms);
        let told = [
            terms,
            Told::Roster(fleet.roster.clone().unwrap()),
            Told::Delivery(fleet.deliveries[0].clone()),
            Told::Question(fleet.question.clone().unwrap()),
        ];
        for message in told {
            assert_eq!(Told::from_bytes(&message.to_bytes()), Ok(message.clone()));
            assert!(Said::from_bytes(&message.to_bytes()).is_err(), "{message:?}");
        }
        let said = [
            Said::Keys(fleet.keys[0].clone()),
            Said::Packages(fleet.packages[0].clone()),
            Said::Veiled(fleet.veiled[0].clone()),
            Said::Answer(fleet.answers[0].clone()),
        ];
        for message in said {
            assert_eq!(message.member(), fleet.keys[0].member);
            let bytes = message.to_bytes();
            assert!(Said::from_bytes(&bytes).is_ok_and(|read| read == message), "kind {}", bytes[0]);
            assert!(Told::from_bytes(&bytes).is_err(), "kind {}", bytes[0]);
        }
        for bytes in [&[][..], &[9, 1], &[0]] {
            assert!(Told::from_bytes(bytes).is_err() && Said::from_bytes(bytes).is_err());
        }
    }

    #[test]
    fn terms_out_of_their_limits_are_refused_on_the_wire() {
        let mut bytes = Told::Terms(Terms::new([1; 16], 2, 3, 4).unwrap()).to_bytes();
        assert_eq!(bytes.len(), 2 + Terms::BYTES);
        bytes[2 + 24] = 2; // members
        let error = Told::from_bytes(&bytes).unwrap_err().to_string();
        assert!(error.starts_with("terms: ") && error.contains("3 to 1024 are possible"), "{error}");
    }
}
