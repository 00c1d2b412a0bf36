//! Which keys of a text this program knows: those that its own settings have as fields.

use serde::de::{Deserialize, Deserializer, Error as _, Visitor, value::Error};
use serde::forward_to_deserialize_any;
use toml::{Table, Value};

/// A table of a text: where it stands, empty for the text itself, and the names of its keys.
pub(super) type Known = (&'static str, &'static [&'static str]);

/// The names of the fields of a struct whose reader is derived.
pub(super) fn fields<'de, T: Deserialize<'de>>() -> &'static [&'static str] {
    let mut found: &'static [&'static str] = &[];
    // It ends with an error in any case: nothing is there to be read.
    drop(T::deserialize(Asked(&mut found)));
    found
}

/// Takes out of `table`, which stands at `at`, the keys that `known` does not have, and names them.
pub(super) fn take_unknown(table: &mut Table, at: &str, known: &[Known]) -> Vec<String> {
    let Some((_, keys)) = known.iter().find(|(place, _)| *place == at) else { return Vec::new() };
    let below = |key: &str| if at.is_empty() { key.to_owned() } else { format!("{at}.{key}") };
    let mut found = Vec::new();
    table.retain(|key, _| {
        let stays = keys.contains(&key);
        if !stays {
            found.push(below(key));
        }
        stays
    });
    for (key, value) in table.iter_mut() {
        if let Value::Table(inner) = value {
            found.extend(take_unknown(inner, &below(key), known));
        }
    }
    found
}

/// Is asked for a struct, and notes its fields.
struct Asked<'a>(&'a mut &'static [&'static str]);

impl<'de> Deserializer<'de> for Asked<'_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Error> {
        Err(Error::custom("there is nothing to read"))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        *self.0 = fields;
        self.deserialize_any(visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(serde::Deserialize)]
    #[expect(dead_code, reason = "only their names are asked for")]
    struct Outer {
        a: u8,
        b: Inner,
    }

    #[derive(serde::Deserialize)]
    #[expect(dead_code, reason = "only their names are asked for")]
    struct Inner {
        c: u8,
    }

    #[test]
    fn what_is_not_known_is_taken_out_and_named() {
        let known = [("", fields::<Outer>()), ("b", fields::<Inner>())];
        assert_eq!(known, [("", &["a", "b"][..]), ("b", &["c"])]);
        let mut table: Table = "a = 1\nd = 2\nb = { c = 3, e = { f = 4 } }".parse().unwrap();
        assert_eq!(take_unknown(&mut table, "", &known), ["d", "b.e"]);
        assert_eq!(table, "a = 1\nb = { c = 3 }".parse().unwrap());
        assert_eq!(fields::<u8>(), &[] as &[&str]);
    }
}
