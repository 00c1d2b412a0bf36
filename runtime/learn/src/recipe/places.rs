//! Which linear layers of which blocks are adapted, as it is written. The words are kept beside what they mean: they travel
//! to devices and stay in ledgers, where the same settings have to be the same text.

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sprig_engine::model::Module;
use sprig_ground::names::NameError;
use std::fmt::{self, Display, Formatter};
use std::ops::Range;
use std::str::FromStr;
use thiserror::Error;

/// Linear layers: `q,v`, or `all` of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Targets {
    text: String,
    modules: Vec<Module>,
}

/// Blocks: `22..30` for 22 to 29, or `all` of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layers {
    text: String,
    /// All that a model has if none are named.
    blocks: Option<Range<usize>>,
}

/// A text that names no linear layers.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0}, separated by commas, or `all`")]
pub struct TargetsError(#[from] NameError);

/// A text that is no range of blocks.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0:?} is no range of blocks; write FROM..TO, such as 22..30 for blocks 22 to 29, or all")]
pub struct LayersError(String);

impl Targets {
    /// `modules` of every adapted block.
    pub fn of(modules: &[Module]) -> Self {
        let names: Vec<_> = modules.iter().map(|m| m.name()).collect();
        Self { text: names.join(","), modules: sorted(modules.to_vec()) }
    }

    /// The modules, in canonical order, without repeats; at least one.
    pub fn modules(&self) -> &[Module] {
        &self.modules
    }
}

impl Layers {
    /// All blocks.
    pub fn all() -> Self {
        Self { text: "all".to_owned(), blocks: None }
    }

    /// The blocks, of a model with `blocks` blocks; at least one.
    pub fn of(&self, blocks: usize) -> Range<usize> {
        self.blocks.clone().unwrap_or(0..blocks)
    }
}

impl FromStr for Targets {
    type Err = TargetsError;

    fn from_str(text: &str) -> Result<Self, TargetsError> {
        let modules = match text {
            "all" => Module::ALL.to_vec(),
            list => list.split(',').map(|name| name.trim().parse()).collect::<Result<_, _>>()?,
        };
        Ok(Self { text: text.to_owned(), modules: sorted(modules) })
    }
}

impl FromStr for Layers {
    type Err = LayersError;

    fn from_str(text: &str) -> Result<Self, LayersError> {
        if text == "all" {
            return Ok(Self::all());
        }
        let ends = text.split_once("..");
        let blocks = ends.and_then(|(from, to)| Some(from.trim().parse().ok()?..to.trim().parse().ok()?));
        match blocks.filter(|blocks| !blocks.is_empty()) {
            Some(blocks) => Ok(Self { text: text.to_owned(), blocks: Some(blocks) }),
            None => Err(LayersError(text.chars().take(40).collect())),
        }
    }
}

fn sorted(mut modules: Vec<Module>) -> Vec<Module> {
    modules.sort();
    modules.dedup();
    modules
}

/// What is read from one text and written as that text.
macro_rules! written {
    ($($written:ident: $expected:literal;)+) => {$(
        impl Display for $written {
            fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
                f.pad(&self.text)
            }
        }

        impl Serialize for $written {
            fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.serialize_str(&self.text)
            }
        }

        impl<'de> Deserialize<'de> for $written {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                struct Text;

                impl Visitor<'_> for Text {
                    type Value = $written;

                    fn expecting(&self, f: &mut Formatter<'_>) -> fmt::Result {
                        f.write_str($expected)
                    }

                    fn visit_str<E: Error>(self, text: &str) -> Result<$written, E> {
                        text.parse().map_err(E::custom)
                    }
                }

                from.deserialize_str(Text)
            }
        }
    )+};
}

written! {
    Targets: "some of q, k, v, o, gate, up and down, separated by commas, or `all`";
    Layers: "blocks as FROM..TO, or `all`";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_sorted_and_keep_their_words() {
        let targets: Targets = "v, q,q".parse().unwrap();
        assert_eq!((targets.modules(), &*targets.to_string()), (&[Module::Q, Module::V][..], "v, q,q"));
        assert_eq!("all".parse::<Targets>().unwrap().modules(), Module::ALL);
        assert_eq!(Targets::of(&[Module::Q, Module::O]).to_string(), "q,o");
        for text in ["", "q,x", "q,", "ALL"] {
            let message = text.parse::<Targets>().unwrap_err().to_string();
            assert!(
                message.ends_with("use q, k, v, o, gate, up or down, separated by commas, or `all`"),
                "{message}"
            );
        }
    }

    #[test]
    fn layers_are_a_range_that_holds_something() {
        let layers: Layers = " 22 .. 30".parse().unwrap();
        assert_eq!((layers.of(30), &*layers.to_string()), (22..30, " 22 .. 30"));
        assert_eq!(("all".parse::<Layers>().unwrap().of(30), &*Layers::all().to_string()), (0..30, "all"));
        for text in ["9", "3..3", "4..2", "..4", "a..b", "1..2..3", "-1..2"] {
            assert!(text.parse::<Layers>().unwrap_err().to_string().contains("write FROM..TO"), "{text}");
        }
    }
}
