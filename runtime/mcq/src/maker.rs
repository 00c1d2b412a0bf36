//! Makes items from a seed: the same bytes on every machine (specification 6.6).

use crate::answer::Answer;
use crate::code::Code;
use crate::draw::{PRESENTATION, between, words};
use crate::family::Family;
use crate::item::{DISTRACTORS, Fault, Item};
use crate::stem::Stem;
use crate::tellings::PARAPHRASES;
use crate::template::Template;
use crate::verdict::{Standing, Verdict};

/// Most stems drawn for one item. The family that is accepted least often, SUB, is so one time in 17: that none of so
/// many is accepted has a chance below 10^-26.
pub const ATTEMPTS: u32 = 1024;

/// How items are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Maker {
    /// The run's seed.
    pub seed: u64,
    /// Fewest distractors of an item: 3 where options are shown, 1 where single errors are asked about.
    pub least: usize,
    /// How errors are told.
    pub wording: Wording,
}

/// How errors are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wording {
    /// By their closed texts.
    Closed,
    /// By a paraphrase, drawn for each error of each item.
    Paraphrased,
}

/// No stem was accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "none of {ATTEMPTS} stems of {family} at index {index} shows {least} distractors; ask for fewer, or take another \
     family or seed"
)]
pub struct NoItem {
    /// The family.
    pub family: Family,
    /// The place in it.
    pub index: u32,
    /// The distractors asked for.
    pub least: usize,
}

impl Maker {
    /// Items of `seed` that have enough distractors for options, errors told by their closed texts.
    pub const fn new(seed: u64) -> Self {
        Self { seed, least: DISTRACTORS, wording: Wording::Closed }
    }

    /// Item `index` of `family`: the first stem drawn there that is accepted.
    pub fn item(&self, family: Family, index: u32) -> Result<Item, NoItem> {
        (0..ATTEMPTS).find_map(|attempt| self.attempt(family, index, attempt)).ok_or(NoItem {
            family,
            index,
            least: self.least,
        })
    }

    fn attempt(&self, family: Family, index: u32, attempt: u32) -> Option<Item> {
        let stem = family.draw(words(self.seed, index, family.number(), attempt))?;
        let verdict = Verdict::of(family, &stem).ok().filter(|verdict| verdict.accepts(self.least))?;
        Some(self.present(family, index, stem, verdict))
    }

    fn present(&self, family: Family, index: u32, stem: Stem, verdict: Verdict) -> Item {
        let [word, ..] = words(self.seed, index, family.number(), PRESENTATION);
        let template = Template::ALL[between(word, 0, Template::ALL.len() as i64 - 1) as usize];
        // A family has four errors at most: one word each.
        let tellings = words(self.seed, index, family.number(), PRESENTATION + 2);
        let wrong = verdict.wrong.into_iter().zip(tellings);
        let shown = wrong.filter(|((.., standing), _)| *standing == Standing::Shown);
        let faults = shown.map(|((code, answer, _), word)| self.fault(code, answer, word)).collect();
        let text = template.tell(family, &stem);
        Item { family, index, stem, template, text, key: verdict.key, faults }
    }

    fn fault(&self, code: Code, answer: Answer, word: u32) -> Fault {
        let text = match self.wording {
            Wording::Closed => code.closed(),
            Wording::Paraphrased => {
                code.paraphrases()[between(word, 0, PARAPHRASES as i64 - 1) as usize].to_owned()
            }
        };
        Fault { code, text, answer }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_item_is_fixed_by_seed_family_and_index() {
        let item = Maker::new(5).item(Family::Fadd, 3).unwrap();
        assert_eq!(Maker::new(5).item(Family::Fadd, 3).as_ref(), Ok(&item));
        assert_ne!(Maker::new(6).item(Family::Fadd, 3).as_ref(), Ok(&item));
        assert_ne!(Maker::new(5 | 1 << 40).item(Family::Fadd, 3).as_ref(), Ok(&item));
    }

    #[test]
    fn paraphrases_change_the_texts_alone() {
        let closed = Maker::new(5);
        let told = Maker { wording: Wording::Paraphrased, ..closed };
        let mut seen = std::collections::HashSet::new();
        for index in 0..50 {
            let (one, mut two) =
                (closed.item(Family::Order, index).unwrap(), told.item(Family::Order, index).unwrap());
            for (fault, plain) in two.faults.iter_mut().zip(&one.faults) {
                assert_eq!(
                    (Code::read(&fault.text), Code::read(&plain.text)),
                    (Some(fault.code), Some(fault.code))
                );
                assert_ne!(fault.text, plain.text);
                seen.insert(std::mem::replace(&mut fault.text, plain.text.clone()));
            }
            assert_eq!(one, two);
        }
        assert_eq!(seen.len(), 9, "three paraphrases of three errors");
    }

    #[test]
    fn more_than_a_family_has_is_refused() {
        let refusal = Maker { least: 4, ..Maker::new(1) }.item(Family::Fdiv, 9).unwrap_err();
        assert_eq!(refusal, NoItem { family: Family::Fdiv, index: 9, least: 4 });
        assert!(refusal.to_string().contains("of FDIV at index 9 shows 4"));
    }

    #[test]
    fn every_template_is_drawn() {
        let items = (0..100).map(|index| Maker::new(2).item(Family::LinMinus, index).unwrap());
        let drawn: std::collections::HashSet<Template> = items.map(|item| item.template).collect();
        assert_eq!(drawn.len(), Template::ALL.len());
    }
}
