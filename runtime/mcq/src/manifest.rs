//! What a suite consists of, so that another machine can tell that it made the same (specification 6.10).

use crate::code::Code;
use crate::family::Family;
use crate::line::{BadLine, Line};
use crate::suite::{Holdout, Part, Split, Suite};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use sprig_ground::hex;
use std::collections::BTreeMap;

/// The seed, the counts and the hashes of a suite.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The run's seed.
    pub seed: u64,
    /// What is held out.
    pub holdout: Holdout,
    /// One record a part, in the suite's order.
    pub parts: Vec<PartRecord>,
}

/// A part of a suite.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PartRecord {
    /// The split.
    pub split: Split,
    /// The family.
    pub family: Family,
    /// How many items it has.
    pub items: usize,
    /// How often each error is asked about.
    pub asked: BTreeMap<Code, usize>,
    /// SHA-256 of its items' lines, each followed by a tab, the error asked about and a line break.
    pub sha256: String,
}

impl Manifest {
    /// The manifest of `suite`.
    pub fn of(suite: &Suite) -> Result<Self, BadLine> {
        let parts: Result<Vec<PartRecord>, BadLine> = suite.parts.iter().map(PartRecord::of).collect();
        Ok(Self { seed: suite.plan.seed, holdout: suite.plan.holdout, parts: parts? })
    }
}

impl PartRecord {
    fn of(part: &Part) -> Result<Self, BadLine> {
        let mut asked = BTreeMap::new();
        let mut hash = Sha256::new();
        for one in &part.items {
            *asked.entry(one.code).or_default() += 1;
            hash.update(format!("{}\t{}\n", Line::of(&one.item).write()?, one.code));
        }
        let sha256 = hex::encode(&hash.finalize());
        Ok(Self { split: part.split, family: part.family, items: part.items.len(), asked, sha256 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::suite::Plan;

    fn manifest(seed: u64) -> Manifest {
        let plan = Plan { train: 40, dev: 5, test: 20, ..Plan::new(seed) };
        Manifest::of(&plan.carry_out().unwrap()).unwrap()
    }

    #[test]
    fn a_manifest_is_read_as_it_is_written() {
        let made = manifest(u64::MAX);
        let text = serde_json::to_string(&made).unwrap();
        assert_eq!(serde_json::from_str::<Manifest>(&text).unwrap(), made);
        assert!(text.contains("\"split\":\"s-tpl\"") && text.contains("\"asked\":{\"ADDBOTH\":"), "{text}");
    }

    #[test]
    fn another_seed_has_other_hashes_and_the_same_counts() {
        let (one, two) = (manifest(1), manifest(2));
        assert_eq!(one, manifest(1));
        assert_eq!(one.parts.len(), two.parts.len());
        for (one, two) in one.parts.iter().zip(&two.parts) {
            assert_eq!((one.split, one.family, one.items), (two.split, two.family, two.items));
            assert_ne!(one.sha256, two.sha256);
        }
    }
}
