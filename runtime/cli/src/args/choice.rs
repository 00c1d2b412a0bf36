//! Choices on the command line, by the names that their types have: help lists them, and a slip is told the nearest.

use clap::builder::{PossibleValuesParser, TypedValueParser};
use sprig_ground::names::{NameError, Named};
use std::str::FromStr;

/// Parses one of the names of `T`.
pub(super) fn choice<T>() -> impl TypedValueParser<Value = T>
where
    T: Named + FromStr<Err = NameError> + Send + Sync,
{
    PossibleValuesParser::new(T::NAMES).try_map(|name| name.parse())
}
