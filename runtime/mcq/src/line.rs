//! An item as one line of JSON.

use crate::code::Code;
use crate::family::Family;
use crate::item::{Fault, Item};
use crate::maker::{Maker, NoItem};
use crate::template::Template;
use serde::{Deserialize, Serialize};

/// Longest line that is read, in bytes: ten times the longest that is written.
pub const MAX_LINE: usize = 16_384;

/// An item's line. Answers are in their rendered form.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Line {
    /// The family.
    pub family: Family,
    /// The item's place in it.
    pub index: u32,
    /// The question's text.
    pub stem: String,
    /// The right answer.
    pub key: String,
    /// The errors it is used with.
    pub errors: Vec<LineError>,
}

/// An error in an item's line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LineError {
    /// The error.
    pub code: Code,
    /// How it is told.
    pub text: String,
    /// The wrong answer it leads to.
    pub answer: String,
}

/// What is wrong with a line.
#[derive(Debug, thiserror::Error)]
pub enum BadLine {
    /// It is longer than any item's.
    #[error("the line has {0} bytes, and an item's has {MAX_LINE} at most; give one item a line")]
    TooLong(usize),
    /// It is not an item's JSON.
    #[error("the line is no item: {0}; write family, index, stem, key and errors")]
    Json(#[from] serde_json::Error),
    /// No such item can be made.
    #[error(transparent)]
    NoItem(#[from] NoItem),
    /// What stands in it is not what the seed makes.
    #[error(
        "{field} of item {index} of {family} is not what the seed makes; give the seed that the file was made with"
    )]
    OtherSeed {
        /// The family.
        family: Family,
        /// The item's place in it.
        index: u32,
        /// The field.
        field: &'static str,
    },
}

impl Line {
    /// The line of `item`.
    pub fn of(item: &Item) -> Self {
        let error = |fault: &Fault| LineError {
            code: fault.code,
            text: fault.text.clone(),
            answer: fault.answer.render(),
        };
        Self {
            family: item.family,
            index: item.index,
            stem: item.text.clone(),
            key: item.key.render(),
            errors: item.faults.iter().map(error).collect(),
        }
    }

    /// Reads one line.
    pub fn read(text: &str) -> Result<Self, BadLine> {
        if text.len() > MAX_LINE {
            return Err(BadLine::TooLong(text.len()));
        }
        Ok(serde_json::from_str(text)?)
    }

    /// The line's text, without a line break.
    pub fn write(&self) -> Result<String, BadLine> {
        Ok(serde_json::to_string(self)?)
    }

    /// The item it was written of, made anew by `maker`: with the template and the errors that the line has.
    pub fn item(&self, maker: &Maker) -> Result<Item, BadLine> {
        let other = |field| BadLine::OtherSeed { family: self.family, index: self.index, field };
        let item = maker.item(self.family, self.index)?;
        let told =
            Template::ALL.into_iter().find(|template| template.tell(item.family, &item.stem) == self.stem);
        let mut item = item.told(told.ok_or_else(|| other("stem"))?);
        if item.key.render() != self.key {
            return Err(other("key"));
        }
        let fault = |error: &LineError| {
            let fault = item.fault(error.code).filter(|fault| fault.answer.render() == error.answer)?;
            Some(Fault { text: error.text.clone(), ..fault.clone() })
        };
        let faults: Option<Vec<Fault>> = self.errors.iter().map(fault).collect();
        item.faults = faults.ok_or_else(|| other("errors"))?;
        Ok(item)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sha2::{Digest, Sha256};
    use sprig_ground::hex;

    /// V2: SHA-256 of the lines of items 0 to 999 of each family under [`SEED`].
    const DIGESTS: [(Family, &str); 8] = [
        (Family::Sub, "0862eb9f7e6a9e1f05e7432a74333dedd04703751b4771415cb7799a99b6820d"),
        (Family::Sub0, "03f76e0ec0f85f42b47734553cebfe3d0bb26d984af2855787ca365facd7d15b"),
        (Family::Fadd, "1f8b95e8905c762d22aeaf0968244757be47314cdad15600899558e7cf13b8de"),
        (Family::Fdiv, "ff67ca4631a9577bdb6ef4b93faab390e1eb1a0dd4a771e5314799c8f6351b25"),
        (Family::LinPlus, "bfd17133770916778fb4d5574102d92786ac6a850f553641982928daabebaf1e"),
        (Family::LinMinus, "d4eefd11571c7a1b01963248b09abf4254a0d04598827818c287615599991560"),
        (Family::Order, "bb2038c4ba2c0222df29664575df0afb8f1f21fd02088d58b523d89fbb011905"),
        (Family::PctOf, "3ba8a9e713a6c6442e771bccb82a32b57cd9d11c9490545bb7ea56246c4b6e37"),
    ];

    const SEED: u64 = 20_260_101;

    #[test]
    fn a_thousand_items_of_each_family_are_these_bytes() {
        let digest = |family| {
            let mut hash = Sha256::new();
            for index in 0..1000 {
                let item = Maker::new(SEED).item(family, index).unwrap();
                hash.update(Line::of(&item).write().unwrap());
                hash.update("\n");
            }
            hex::encode(&hash.finalize())
        };
        let found: Vec<(Family, String)> =
            DIGESTS.iter().map(|(family, _)| (*family, digest(*family))).collect();
        let pinned: Vec<(Family, String)> =
            DIGESTS.iter().map(|(f, text)| (*f, (*text).to_owned())).collect();
        assert_eq!(found, pinned);
    }

    #[test]
    fn a_line_has_the_fields_that_are_agreed() {
        let item = Maker::new(1).item(Family::Fadd, 0).unwrap();
        let text = Line::of(&item).write().unwrap();
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        let fields = |value: &serde_json::Value| {
            let mut names: Vec<String> = value.as_object().unwrap().keys().cloned().collect();
            names.sort();
            names
        };
        assert_eq!(fields(&json), ["errors", "family", "index", "key", "stem"]);
        assert_eq!(fields(&json["errors"][0]), ["answer", "code", "text"]);
        assert!(text.starts_with("{\"family\":\"FADD\",\"index\":0,\"stem\":\""), "{text}");
    }

    #[test]
    fn an_item_comes_back_from_its_line() {
        let maker = Maker::new(3);
        for family in Family::ALL {
            for index in 0..20 {
                let mut item = maker.item(family, index).unwrap().told(Template::Money);
                item.faults.remove(0);
                let text = Line::of(&item).write().unwrap();
                assert!(text.len() < MAX_LINE / 10, "{text}");
                assert_eq!(Line::read(&text).unwrap().item(&maker).unwrap(), item);
            }
        }
    }

    #[test]
    fn a_line_of_another_seed_is_refused_by_the_field() {
        let maker = Maker::new(3);
        let line = Line::of(&maker.item(Family::Order, 0).unwrap());
        let refused = |line: &Line, maker: &Maker| line.item(maker).unwrap_err().to_string();
        assert!(refused(&line, &Maker::new(4)).starts_with("stem of item 0 of ORDER"));
        let mut bad = line.clone();
        bad.key.push('0');
        assert!(refused(&bad, &maker).starts_with("key of"));
        let mut bad = line;
        bad.errors[0].answer.push('0');
        assert!(refused(&bad, &maker).starts_with("errors of"));
    }

    #[test]
    fn hostile_lines_are_refused() {
        for text in ["", "{}", "[]", "{\"family\":\"SUM\"}", "null", "\u{1F600}"] {
            assert!(matches!(Line::read(text), Err(BadLine::Json(_))), "{text}");
        }
        assert!(matches!(Line::read(&"[".repeat(MAX_LINE + 1)), Err(BadLine::TooLong(_))));
    }
}
