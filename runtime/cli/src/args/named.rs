//! A file that may have a name of its own before it.

use std::path::{Path, PathBuf};
use std::str::FromStr;

/// `FILE`, or `NAME=FILE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedFile {
    /// What it is called, if that was said.
    pub name: Option<String>,
    /// Where it is.
    pub path: PathBuf,
}

/// Characters of a name at most.
const LONGEST: usize = 64;

impl FromStr for NamedFile {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let plain = || Ok(Self { name: None, path: text.into() });
        let Some((name, path)) = text.split_once('=') else { return plain() };
        if Path::new(text).exists() {
            return plain(); // a file that has the sign in its name
        }
        let known = |b: u8| b.is_ascii_alphanumeric() || b"._:-/".contains(&b);
        if !(1..=LONGEST).contains(&name.len()) || !name.bytes().all(known) {
            return Err(format!("`{name}` is no name: use up to {LONGEST} letters, digits and . _ : - /"));
        }
        if path.is_empty() {
            return Err("there is no file after the name".to_owned());
        }
        Ok(Self { name: Some(name.to_owned()), path: path.into() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_what_stands_before_the_first_sign() {
        let read = |text: &str| text.parse::<NamedFile>();
        let named =
            |name: Option<&str>, path: &str| NamedFile { name: name.map(str::to_owned), path: path.into() };
        assert_eq!(read("a/b.gguf"), Ok(named(None, "a/b.gguf")));
        assert_eq!(read("desks:1=a=b.gguf"), Ok(named(Some("desks:1"), "a=b.gguf")));
        for wrong in ["=a.gguf", "with space=a", "name=", &format!("{}=a", "x".repeat(65))] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
