//! Items dealt into what is learnt from and what judges (specification 6.10): new parameters, a telling, an error and
//! a family that are held out.

use crate::code::Code;
use crate::family::Family;
use crate::item::{Fault, Item};
use crate::maker::{Maker, NoItem, Wording};
use crate::share::Share;
use crate::stem::Stem;
use crate::template::Template;
use serde::{Deserialize, Serialize};
use sprig_ground::names;
use std::collections::{HashMap, HashSet};

/// What a part is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Split {
    /// To learn from.
    Train,
    /// To choose settings with.
    Dev,
    /// S-ID: new parameters, all else as learnt.
    Parameters,
    /// S-TPL: the held-out telling.
    Telling,
    /// S-ERR: the held-out error, never learnt, told by its text.
    Error,
    /// S-FAM: the held-out family.
    Family,
}

names!(
    Split,
    "split",
    [Train = "train", Dev = "dev", Parameters = "s-id", Telling = "s-tpl", Error = "s-err", Family = "s-fam",]
);

/// What is kept from training, if anything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holdout {
    /// A telling, of every family.
    pub template: Option<Template>,
    /// An error.
    pub code: Option<Code>,
    /// A family.
    pub family: Option<Family>,
}

/// What a suite is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The run's seed.
    pub seed: u64,
    /// The families, a held-out one among them.
    pub families: Vec<Family>,
    /// What is held out.
    pub holdout: Holdout,
    /// How errors are told.
    pub wording: Wording,
    /// Items to learn from, a family.
    pub train: usize,
    /// Items to choose settings with, a family.
    pub dev: usize,
    /// Items of each judging split, a family.
    pub test: usize,
}

/// An item and the error of it that is asked about.
#[derive(Clone, Debug, PartialEq)]
pub struct Asked {
    /// The item.
    pub item: Item,
    /// One of its errors.
    pub code: Code,
}

/// The items of a family in a split.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    /// The split.
    pub split: Split,
    /// The family.
    pub family: Family,
    /// Of unlike stems.
    pub items: Vec<Asked>,
}

/// All parts that a plan makes.
#[derive(Clone, Debug, PartialEq)]
pub struct Suite {
    /// The plan.
    pub plan: Plan,
    /// The parts, by split and in it by family.
    pub parts: Vec<Part>,
}

/// A plan that cannot be carried out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadPlan {
    /// A held-out family is not one of the plan's, or it is the only one.
    #[error("the held-out family {0} is one of a plan's, and not the only one; name another beside it")]
    HeldOut(Family),
    /// A family is named twice, or none is.
    #[error("a plan has families, each once; name them so")]
    Families,
    /// No family that is learnt from has the held-out error.
    #[error("no family to learn from has the held-out error {0}; hold out another")]
    Code(Code),
    /// A family has fewer stems for a split than are asked for.
    #[error(
        "{split} of {family} has {found} items of unlike stems, and {wanted} are asked for; ask for fewer"
    )]
    TooFewStems {
        /// The split.
        split: Split,
        /// The family.
        family: Family,
        /// Items found.
        found: usize,
        /// Items asked for.
        wanted: usize,
    },
    /// An item could not be made.
    #[error(transparent)]
    NoItem(#[from] NoItem),
}

impl Plan {
    /// The specification's: 2,000 items to learn from and 500 to judge with a family. Held out are stories of money,
    /// MULDIV2, which two families have, and percentages.
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            families: Family::ALL.into_iter().filter(|family| *family != Family::Sub).collect(),
            holdout: Holdout {
                template: Some(Template::Money),
                code: Some(Code::MulDiv2),
                family: Some(Family::PctOf),
            },
            wording: Wording::Closed,
            train: 2000,
            dev: 200,
            test: 500,
        }
    }

    /// Makes all items.
    pub fn carry_out(self) -> Result<Suite, BadPlan> {
        self.check()?;
        let mut parts = Vec::new();
        for split in Split::ALL {
            for &family in self.families.iter().filter(|family| self.has(split, **family)) {
                parts.push(Part { split, family, items: self.fill(split, family)? });
            }
        }
        Ok(Suite { plan: self, parts })
    }

    fn check(&self) -> Result<(), BadPlan> {
        let Holdout { code, family, .. } = self.holdout;
        let unlike: HashSet<&Family> = self.families.iter().collect();
        if unlike.len() != self.families.len() || unlike.is_empty() {
            return Err(BadPlan::Families);
        }
        let amiss = |family: &Family| unlike.len() < 2 || !unlike.contains(family);
        if let Some(family) = family.filter(amiss) {
            return Err(BadPlan::HeldOut(family));
        }
        let unused = |_: &Code| !self.families.iter().any(|family| self.has(Split::Error, *family));
        code.filter(unused).map_or(Ok(()), |code| Err(BadPlan::Code(code)))
    }

    /// Whether a split has items of a family.
    fn has(&self, split: Split, family: Family) -> bool {
        let Holdout { template, code, family: held } = self.holdout;
        let held = held == Some(family);
        match split {
            Split::Family => held,
            Split::Error => !held && code.is_some_and(|code| family.codes().contains(&code)),
            Split::Telling => !held && template.is_some(),
            Split::Train | Split::Dev | Split::Parameters => !held,
        }
    }

    fn fill(&self, split: Split, family: Family) -> Result<Vec<Asked>, BadPlan> {
        let (share, wanted) = match split {
            Split::Train => (Share::Train, self.train),
            Split::Dev => (Share::Dev, self.dev),
            _ => (Share::Test, self.test),
        };
        let maker = Maker { wording: self.wording, ..Maker::new(self.seed) };
        let mut items: Vec<Asked> = Vec::new();
        let mut stems: HashSet<Stem> = HashSet::new();
        let mut asked: HashMap<Code, usize> = HashMap::new();
        for index in 0..most_draws(wanted) {
            if items.len() == wanted {
                break;
            }
            let item = maker.item(family, index)?;
            if Share::of(&item.stem) != share || stems.contains(&item.stem) {
                continue;
            }
            let Some(item) = self.fit(split, item) else { continue };
            let codes = item.faults.iter().map(|fault| fault.code);
            let open = codes.filter(|code| split != Split::Error || Some(*code) == self.holdout.code);
            // The error asked about least often so far: in the end all are asked about as often.
            let Some(code) = open.min_by_key(|code| asked.get(code).copied().unwrap_or(0)) else { continue };
            *asked.entry(code).or_default() += 1;
            stems.insert(item.stem);
            items.push(Asked { item, code });
        }
        match items.len() {
            found if found < wanted => Err(BadPlan::TooFewStems { split, family, found, wanted }),
            _ => Ok(items),
        }
    }

    /// The item as the split has it: told in its way, with its errors.
    fn fit(&self, split: Split, mut item: Item) -> Option<Item> {
        let Holdout { template, code, .. } = self.holdout;
        if let Some(template) = template.filter(|_| split == Split::Telling) {
            item = item.told(template);
        } else if Some(item.template) == template {
            // By the index, so that the others are told equally often.
            let others: Vec<Template> =
                Template::ALL.into_iter().filter(|other| Some(*other) != template).collect();
            let other = others[item.index as usize % others.len()];
            item = item.told(other);
        }
        if split != Split::Error {
            item.faults.retain(|fault| Some(fault.code) != code);
        }
        (!item.faults.is_empty()).then_some(item)
    }
}

impl Asked {
    /// The error asked about, its text and what it leads to.
    pub fn fault(&self) -> Option<&Fault> {
        self.item.fault(self.code)
    }
}

impl Suite {
    /// The parts of a split.
    pub fn split(&self, split: Split) -> impl Iterator<Item = &Part> {
        self.parts.iter().filter(move |part| part.split == split)
    }
}

/// Items drawn before a family is said to have too few stems: a tenth of all stems, drawn down to the last tenth of
/// them, needs 25 draws an item.
fn most_draws(wanted: usize) -> u32 {
    u32::try_from(wanted).unwrap_or(u32::MAX).saturating_mul(64).saturating_add(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_that_cannot_be_is_refused() {
        let plan = || Plan { train: 20, dev: 5, test: 10, ..Plan::new(1) };
        let held = |family| Holdout { family: Some(family), ..plan().holdout };
        let alone = Plan { families: vec![Family::PctOf], ..plan() };
        assert_eq!(alone.carry_out(), Err(BadPlan::HeldOut(Family::PctOf)));
        let foreign = Plan { holdout: held(Family::Sub), ..plan() };
        assert_eq!(foreign.carry_out(), Err(BadPlan::HeldOut(Family::Sub)));
        let twice = Plan { families: vec![Family::PctOf, Family::LinPlus, Family::LinPlus], ..plan() };
        assert_eq!(twice.carry_out(), Err(BadPlan::Families));
        let holdout = Holdout { code: Some(Code::PTimesN), ..plan().holdout };
        assert_eq!(Plan { holdout, ..plan() }.carry_out(), Err(BadPlan::Code(Code::PTimesN)));
        let greedy = Plan { dev: 1000, families: vec![Family::LinPlus, Family::PctOf], ..plan() };
        let refusal = greedy.carry_out().unwrap_err();
        assert!(
            matches!(refusal, BadPlan::TooFewStems { split: Split::Dev, found: 300..420, wanted: 1000, .. }),
            "{refusal}"
        );
    }

    #[test]
    fn a_plan_that_holds_nothing_out_judges_new_parameters_alone() {
        let plan = Plan {
            families: vec![Family::Fadd],
            holdout: Holdout::default(),
            train: 60,
            dev: 5,
            test: 10,
            ..Plan::new(1)
        };
        let suite = plan.carry_out().unwrap();
        let splits: Vec<Split> = suite.parts.iter().map(|part| part.split).collect();
        assert_eq!(splits, [Split::Train, Split::Dev, Split::Parameters]);
        let told = suite.parts[0].items.iter().map(|one| one.item.template);
        assert_eq!(told.collect::<HashSet<_>>().len(), Template::ALL.len());
    }

    #[test]
    fn a_plan_of_nothing_is_empty_parts() {
        let suite = Plan { train: 0, dev: 0, test: 0, ..Plan::new(1) }.carry_out().unwrap();
        assert_eq!(suite.split(Split::Train).count(), 6);
        assert!(suite.parts.iter().all(|part| part.items.is_empty()));
    }
}
