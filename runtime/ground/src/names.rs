//! Choices that have names: one list a type, from which the command line, settings files, records and messages all read.

use serde::de::{self, Visitor};
use std::fmt::{self, Formatter};
use std::marker::PhantomData;
use std::str::FromStr;

/// A closed choice each of whose alternatives has one name; [`names!`](crate::names) makes one.
pub trait Named: Copy + 'static {
    /// What is chosen, as a message calls it: `adapter kind`.
    const WHAT: &'static str;
    /// The names, in the order in which help lists them.
    const NAMES: &'static [&'static str];
}

/// A word that is the name of no alternative.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no {what} {found:?}; use {}", listed(.known))]
pub struct NameError {
    /// What is chosen.
    pub what: &'static str,
    /// The word, or its beginning.
    pub found: String,
    /// The names there are.
    pub known: &'static [&'static str],
}

impl NameError {
    /// `found` names no `T`.
    pub fn of<T: Named>(found: &str) -> Self {
        Self { what: T::WHAT, found: found.chars().take(40).collect(), known: T::NAMES }
    }
}

/// Reads a `T` by its name.
pub struct NameVisitor<T>(PhantomData<T>);

impl<T> NameVisitor<T> {
    /// One.
    #[allow(clippy::new_without_default, reason = "for `names!` alone")]
    pub fn new() -> Self {
        Self(PhantomData)
    }
}

impl<T: Named + FromStr<Err = NameError>> Visitor<'_> for NameVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&listed(T::NAMES))
    }

    fn visit_str<E: de::Error>(self, name: &str) -> Result<T, E> {
        name.parse().map_err(E::custom)
    }
}

fn listed(names: &[&str]) -> String {
    match names {
        [most @ .., last] if !most.is_empty() => format!("{} or {last}", most.join(", ")),
        _ => names.concat(),
    }
}

/// Gives the alternatives of an enum their names: `ALL`, `name()`, and what reads and writes it, as text and through
/// serde, by these names alone.
///
/// `names!(Family, "distribution", [Walsh = "walsh", Gaussian = "gaussian"]);`
#[macro_export]
macro_rules! names {
    ($choice:ident, $what:literal, [$($alternative:ident = $name:literal),+ $(,)?]) => {
        // The choice itself may be private.
        #[allow(unreachable_pub)]
        impl $choice {
            /// All of them, in the order in which help lists them.
            pub const ALL: [Self; [$($name),+].len()] = [$(Self::$alternative),+];

            /// The word for it on the command line, in settings, records and messages.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$alternative => $name),+
                }
            }
        }

        impl $crate::names::Named for $choice {
            const WHAT: &'static str = $what;
            const NAMES: &'static [&'static str] = &[$($name),+];
        }

        impl ::std::fmt::Display for $choice {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.pad(self.name())
            }
        }

        impl ::std::str::FromStr for $choice {
            type Err = $crate::names::NameError;

            fn from_str(name: &str) -> ::std::result::Result<Self, Self::Err> {
                match name {
                    $($name => Ok(Self::$alternative),)+
                    _ => Err($crate::names::NameError::of::<Self>(name)),
                }
            }
        }

        impl ::serde::Serialize for $choice {
            fn serialize<S: ::serde::Serializer>(&self, to: S) -> ::std::result::Result<S::Ok, S::Error> {
                to.serialize_str(self.name())
            }
        }

        impl<'de> ::serde::Deserialize<'de> for $choice {
            fn deserialize<D: ::serde::Deserializer<'de>>(from: D) -> ::std::result::Result<Self, D::Error> {
                from.deserialize_str($crate::names::NameVisitor::new())
            }
        }
    };
}

#[cfg(test)]
mod tests {
    #[derive(Clone, Copy, Debug, PartialEq)]
    enum Fruit {
        Apple,
        BloodOrange,
    }
    names!(Fruit, "fruit", [BloodOrange = "blood-orange", Apple = "apple"]);

    #[test]
    fn a_choice_is_written_as_it_is_read() {
        for (fruit, name) in [(Fruit::Apple, "apple"), (Fruit::BloodOrange, "blood-orange")] {
            assert_eq!((name.parse(), fruit.to_string(), fruit.name()), (Ok(fruit), name.to_owned(), name));
            let json = serde_json::to_string(&fruit).unwrap();
            assert_eq!(
                (json.as_str(), serde_json::from_str(&json).ok()),
                (&*format!("{name:?}"), Some(fruit))
            );
        }
        assert_eq!(Fruit::ALL, [Fruit::BloodOrange, Fruit::Apple]);
    }

    #[test]
    fn another_word_is_refused_with_the_names_there_are() {
        let message = "there is no fruit \"Apple\"; use blood-orange or apple";
        assert_eq!("Apple".parse::<Fruit>().unwrap_err().to_string(), message);
        assert!(serde_json::from_str::<Fruit>("\"Apple\"").unwrap_err().to_string().contains(message));
        assert!("x".repeat(1000).parse::<Fruit>().unwrap_err().to_string().len() < 100);
    }
}
