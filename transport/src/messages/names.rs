//! What messages name things by.

use sha2::{Digest as _, Sha256};
use sprig_ground::hex::{self, Hex};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// One training run of a fleet, drawn at random by the coordinator when the run begins, and in its last four bytes its epoch
/// (big-endian): from 1, one more each time that it goes on from a state that the fleet had left behind, such as a restored
/// copy of the ledger. To devices another epoch is another run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunId(pub [u8; 16]);

impl RunId {
    /// A run of this name, in its first epoch.
    pub fn first(name: [u8; 12]) -> Self {
        let mut run = [0; 16];
        run[..12].copy_from_slice(&name);
        run[12..].copy_from_slice(&1u32.to_be_bytes());
        Self(run)
    }

    /// Its epoch.
    pub fn epoch(self) -> u32 {
        let [.., a, b, c, d] = self.0;
        u32::from_be_bytes([a, b, c, d])
    }

    /// Whether the two are epochs of one run.
    pub fn is_epoch_of(self, other: Self) -> bool {
        self.0[..12] == other.0[..12]
    }

    /// The epoch after it.
    #[must_use]
    pub fn next_epoch(self) -> Self {
        let mut run = self.0;
        run[12..].copy_from_slice(&self.epoch().wrapping_add(1).to_be_bytes());
        Self(run)
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Hex(&self.0))
    }
}

impl FromStr for RunId {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        from_hex(text).map(Self)
    }
}

/// SHA-256 of an adapter's values (little-endian f32) or of a blob.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// The digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// The first 8 hexadecimal digits, for people.
    pub fn short(&self) -> String {
        hex::encode(&self.0[..4])
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Hex(&self.0))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({})", self.short())
    }
}

impl FromStr for Digest {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        from_hex(text).map(Self)
    }
}

/// A device's name: one level of a topic, and the common name of its certificate.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceId(Arc<str>);

impl DeviceId {
    /// Bytes of a name at most.
    pub const MAX: usize = 48;

    /// Accepts 1 to 48 of `a`–`z`, `0`–`9` and `-`.
    ///
    /// # Errors
    /// Names the rule.
    pub fn parse(name: &str) -> Result<Self, NameError> {
        check_level(name)?;
        Ok(Self(name.into()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for DeviceId {
    type Err = NameError;

    fn from_str(name: &str) -> Result<Self, NameError> {
        Self::parse(name)
    }
}

/// A device's share of the groups of LoRA weights: `first`, `first + step`, …, `count` of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct GroupSet {
    /// Lowest group.
    pub first: u16,
    /// Distance from one group to the next; at least 1.
    pub step: u16,
    /// How many groups.
    pub count: u16,
}

impl GroupSet {
    /// A set whose groups are all below 65,535.
    ///
    /// # Errors
    /// If `step` is 0 or the last group is too high.
    pub fn new(first: u16, step: u16, count: u16) -> Result<Self, NameError> {
        let last = u32::from(first) + u32::from(step) * u32::from(count.saturating_sub(1));
        if step == 0 || last >= u32::from(u16::MAX) {
            return Err(NameError::Groups { first, step, count });
        }
        Ok(Self { first, step, count })
    }

    /// The groups, ascending.
    pub fn iter(&self) -> Groups {
        Groups { next: u32::from(self.first), step: u32::from(self.step), left: self.count }
    }

    /// Whether `group` is one of them.
    pub fn contains(&self, group: u16) -> bool {
        group.checked_sub(self.first).is_some_and(|distance| {
            distance.checked_rem(self.step) == Some(0) && distance / self.step < self.count
        })
    }
}

impl IntoIterator for &GroupSet {
    type Item = u16;
    type IntoIter = Groups;

    fn into_iter(self) -> Groups {
        self.iter()
    }
}

/// The groups of a [`GroupSet`], ascending.
#[derive(Clone, Debug)]
pub struct Groups {
    next: u32,
    step: u32,
    left: u16,
}

impl Iterator for Groups {
    type Item = u16;

    fn next(&mut self) -> Option<u16> {
        self.left = self.left.checked_sub(1)?;
        let group = u16::try_from(self.next).ok()?;
        self.next += self.step;
        Some(group)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (0, Some(usize::from(self.left)))
    }
}

/// Why a name is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Not a level of a topic.
    #[error("`{0}` is no name: 1 to {max} of a-z, 0-9 and - are", max = DeviceId::MAX)]
    Level(String),
    /// Not the hexadecimal digits that are needed.
    #[error("`{found}` is not {digits} hexadecimal digits in lower case")]
    Hex {
        /// What was given.
        found: String,
        /// Digits needed.
        digits: usize,
    },
    /// Not a set of groups.
    #[error(
        "groups {first}, +{step}, {count} of them: a step of at least 1 and groups below 65535 are needed"
    )]
    Groups {
        /// Lowest group.
        first: u16,
        /// Distance.
        step: u16,
        /// How many.
        count: u16,
    },
}

/// Checks that `name` can be a level of a topic.
pub(crate) fn check_level(name: &str) -> Result<(), NameError> {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if name.is_empty() || name.len() > DeviceId::MAX || !name.bytes().all(allowed) {
        return Err(NameError::Level(shortened(name)));
    }
    Ok(())
}

fn from_hex<const N: usize>(text: &str) -> Result<[u8; N], NameError> {
    hex::decode_array(text).ok_or_else(|| NameError::Hex { found: shortened(text), digits: 2 * N })
}

/// Enough of a hostile name to recognise it.
pub(crate) fn shortened(name: &str) -> String {
    cut(name, 80).to_owned()
}

/// The first `max` bytes of a text, less what would be half a character.
pub(crate) fn cut(text: &str, max: usize) -> &str {
    let end = (0..=max.min(text.len())).rev().find(|&end| text.is_char_boundary(end));
    &text[..end.unwrap_or(0)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn device_names_are_topic_levels() {
        assert_eq!(DeviceId::parse("pi5-kitchen").unwrap().as_str(), "pi5-kitchen");
        for bad in ["", "a/b", "+", "#", "A", "ä", "a b", &"a".repeat(49)] {
            assert!(DeviceId::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn hexadecimal_goes_both_ways() {
        let digest = Digest::of(b"abc");
        assert!(digest.to_string().starts_with("ba7816bf8f01cfea"));
        assert_eq!(digest.short(), "ba7816bf");
        assert_eq!(digest.to_string().parse(), Ok(digest));
        let run = RunId([0x0a; 16]);
        assert_eq!(run.to_string().parse(), Ok(run));
        for bad in ["", "0a", &"0A".repeat(16), &"0a".repeat(17), &"é".repeat(16)] {
            assert!(bad.parse::<RunId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn groups_are_those_of_the_definition() {
        let set = GroupSet::new(2, 3, 4).unwrap();
        assert_eq!(set.iter().collect::<Vec<_>>(), [2, 5, 8, 11]);
        for group in 0..40 {
            assert_eq!(set.contains(group), set.iter().any(|g| g == group), "{group}");
        }
        assert_eq!(GroupSet::new(7, 1, 0).unwrap().iter().count(), 0);
        assert!(!GroupSet::new(7, 1, 0).unwrap().contains(7));
        assert!(GroupSet::new(0, 0, 1).is_err());
        assert!(GroupSet::new(65534, 1, 1).is_ok());
        assert!(GroupSet::new(65534, 1, 2).is_err());
        assert!(GroupSet::new(0, u16::MAX, u16::MAX).is_err());
        // Fields are public: a set that `new` refuses still ends and never panics.
        let odd = GroupSet { first: u16::MAX, step: 0, count: 3 };
        assert!(odd.iter().count() <= 3 && !odd.contains(3));
    }
}
