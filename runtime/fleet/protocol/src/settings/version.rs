//! Versions of sprig, as devices say theirs and settings name the least.

use serde::{Deserialize, Serialize};
use std::fmt::{self, Display, Formatter};

/// Three numbers, the first of which counts most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Version([u32; 3]);

impl Version {
    /// The version that a device says it has: the last word of what it calls its software, up to any `-` or `+`. `None` where
    /// that is none.
    pub fn of_software(software: &str) -> Option<Self> {
        let word = software.split_whitespace().next_back()?;
        Self::read(word.split(['-', '+']).next()?)
    }

    fn read(text: &str) -> Option<Self> {
        let mut numbers = text.split('.').map(|number| number.parse().ok());
        let mut next = || numbers.next()?;
        let version = Self([next()?, next()?, next()?]);
        numbers.next().is_none().then_some(version)
    }
}

impl Display for Version {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let [major, minor, patch] = self.0;
        write!(f, "{major}.{minor}.{patch}")
    }
}

impl TryFrom<String> for Version {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::read(&text)
            .ok_or_else(|| format!("{text:?} is no version; write three numbers, as in \"0.1.0\""))
    }
}

impl From<Version> for String {
    fn from(version: Version) -> Self {
        version.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_by_their_numbers() {
        let version = |text: &str| Version::try_from(text.to_owned());
        assert!(version("0.10.0").unwrap() > version("0.9.12").unwrap());
        assert_eq!(version("1.2.3").unwrap().to_string(), "1.2.3");
        for wrong in ["", "1", "1.2", "1.2.3.4", "1.2.x", "v1.2.3", "1.2.3-rc"] {
            assert!(version(wrong).unwrap_err().contains("three numbers"), "{wrong}");
        }
        let of = |software| Version::of_software(software).map(|version| version.to_string());
        assert_eq!(of("sprig 0.2.1").as_deref(), Some("0.2.1"));
        assert_eq!(of("0.2.1-rc.1").as_deref(), Some("0.2.1"));
        assert_eq!((of(""), of("sprig"), of("sprig 2")), (None, None, None));
    }
}
