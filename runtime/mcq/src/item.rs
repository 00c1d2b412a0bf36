//! One item: a question, its right answer, and the wrong ones that its family's errors lead to.

use crate::answer::Answer;
use crate::code::Code;
use crate::draw::{PRESENTATION, between, words};
use crate::family::Family;
use crate::stem::Stem;
use crate::template::Template;

/// Wrong options of an item with options.
pub const DISTRACTORS: usize = 3;

/// A question whose wrong answers are known with their errors.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    /// Its family.
    pub family: Family,
    /// Its place among the items of the family.
    pub index: u32,
    /// What is asked.
    pub stem: Stem,
    /// How it is told.
    pub template: Template,
    /// The text in which it is told.
    pub text: String,
    /// The right answer.
    pub key: Answer,
    /// The errors it is used with, in the order of the family: answers of no two are the same, and none is right.
    pub faults: Vec<Fault>,
}

/// An error of an item and what it leads to.
#[derive(Clone, Debug, PartialEq)]
pub struct Fault {
    /// The error.
    pub code: Code,
    /// How it is told.
    pub text: String,
    /// The wrong answer.
    pub answer: Answer,
}

/// An item has too few distractors for options.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "item {index} of {family} has {found} distractors, and options need {DISTRACTORS}; use it without options, or \
     make items of at least {DISTRACTORS}"
)]
pub struct TooFew {
    /// The family.
    pub family: Family,
    /// The item's place in it.
    pub index: u32,
    /// Its distractors.
    pub found: usize,
}

/// The lettered options of an item.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// In the order in which they are shown; the right one comes of no error.
    pub shown: Vec<(Option<Code>, Answer)>,
    /// Place of the right one.
    pub right: usize,
}

impl Item {
    /// What the error leads to; `None` where the item is not used with it.
    pub fn fault(&self, code: Code) -> Option<&Fault> {
        self.faults.iter().find(|fault| fault.code == code)
    }

    /// The same item in other words.
    pub fn told(self, template: Template) -> Self {
        Self { text: template.tell(self.family, &self.stem), template, ..self }
    }

    /// The right answer and three wrong ones in an order drawn under `seed`.
    pub fn options(&self, seed: u64) -> Result<Options, TooFew> {
        let found = self.faults.len();
        if found < DISTRACTORS {
            return Err(TooFew { family: self.family, index: self.index, found });
        }
        let order = words(seed, self.index, self.family.number(), PRESENTATION + 1);
        let mut wrong: Vec<&Fault> = self.faults.iter().collect();
        // A family has four errors at most: three words put them in order and one is left for the right answer.
        for (end, word) in (1..found).rev().zip(order) {
            wrong.swap(end, between(word, 0, end as i64) as usize);
        }
        let mut shown: Vec<_> =
            wrong.iter().take(DISTRACTORS).map(|fault| (Some(fault.code), fault.answer.clone())).collect();
        let right = between(order[3], 0, DISTRACTORS as i64) as usize;
        shown.insert(right, (None, self.key.clone()));
        Ok(Options { shown, right })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(faults: usize) -> Item {
        let fault = |i: usize| Fault {
            code: Code::ALL[i],
            text: String::new(),
            answer: Answer::whole(i as i128 + 1).unwrap(),
        };
        Item {
            family: Family::Sub0,
            index: 7,
            stem: Stem::Columns { a: 2, b: 2 },
            template: Template::Bare,
            text: String::new(),
            key: Answer::whole(0).unwrap(),
            faults: (0..faults).map(fault).collect(),
        }
    }

    #[test]
    fn options_are_four_unlike_answers_in_every_order() {
        let mut places = [0; 4];
        let mut left_out = [0; 4];
        for index in 0..400 {
            let options = Item { index, ..item(4) }.options(1).unwrap();
            let mut values: Vec<String> = options.shown.iter().map(|(_, answer)| answer.render()).collect();
            assert_eq!(values[options.right], "0");
            places[options.right] += 1;
            left_out[(1..=4).find(|i| !values.contains(&i.to_string())).unwrap() - 1] += 1;
            values.sort_unstable();
            values.dedup();
            assert_eq!(values.len(), 4);
        }
        assert!(
            places.iter().chain(&left_out).all(|count| (70..130).contains(count)),
            "{places:?} {left_out:?}"
        );
    }

    #[test]
    fn three_distractors_do_and_two_are_refused() {
        assert_eq!(item(3).options(1).unwrap().shown.len(), 4);
        let refusal = item(2).options(1).unwrap_err().to_string();
        assert!(refusal.contains("item 7 of SUB0 has 2") && refusal.contains("need 3"), "{refusal}");
    }
}
