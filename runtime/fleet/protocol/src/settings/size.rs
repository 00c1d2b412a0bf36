//! Sizes as a person writes them: `"300MiB"`, `"80%"`.

use serde::de::{Error, Visitor};
use serde::{Deserializer, Serializer};
use sprig_budget::Size;
use std::fmt::{self, Formatter};

/// Reads one.
pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Size, D::Error> {
    from.deserialize_str(SizeVisitor)
}

/// Writes one.
pub(super) fn serialize<S: Serializer>(size: &Size, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(size)
}

/// The same where there need not be one.
pub(super) mod option {
    use super::{Deserializer, Serializer, Size};

    /// Reads one that is there.
    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Size>, D::Error> {
        super::deserialize(from).map(Some)
    }

    /// Writes one, if there is one.
    pub(crate) fn serialize<S: Serializer>(size: &Option<Size>, to: S) -> Result<S::Ok, S::Error> {
        match size {
            Some(size) => super::serialize(size, to),
            None => to.serialize_none(),
        }
    }
}

struct SizeVisitor;

impl Visitor<'_> for SizeVisitor {
    type Value = Size;

    fn expecting(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("a size such as \"300MiB\", \"1GB\" or \"80%\" of the memory at hand")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Size, E> {
        text.parse().map_err(E::custom)
    }
}
