//! What a model's output is worth, by execution (specification 6.9). Each figure is that of one output; [`Mean`] adds
//! them up over items, each (stem, error) or (stem, wrong answer) once.

use crate::answer::Answer;
use crate::canon::canon;
use crate::code::Code;
use crate::errors::{apply, explain};
use crate::item::Item;
use crate::key::agree;
use std::collections::BTreeSet;

/// An output to "which wrong answer follows from this error" (T1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Distractor {
    /// PARSE: it has a canonical form.
    pub parsed: bool,
    /// KEY: it is the right answer.
    pub key: bool,
    /// T1-exact: it is what the error leads to.
    pub exact: bool,
    /// T1-near: it is wrong, and some error of the library leads to it.
    pub near: bool,
    /// T1-swap: another error leads to it, and the one asked about does not.
    pub swap: bool,
}

/// An output to "which error leads to this wrong answer" (T2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Naming {
    /// PARSE: it tells an error of the library.
    pub parsed: bool,
    /// T2-exact: that error is one of those that lead to the wrong answer.
    pub exact: bool,
    /// T2-gold: it is the error that the wrong answer was made with.
    pub gold: bool,
    /// CYC-d: carried out, that error leads to the wrong answer.
    pub cycle: bool,
}

/// Judges the answer `output` to `item` asked with the error `asked`.
pub fn distractor(item: &Item, asked: Code, output: &str) -> Distractor {
    let Ok(given) = canon(output) else { return Distractor::default() };
    let exact = apply(asked, &item.stem).is_ok_and(|wanted| agree(&item.stem, &given, &wanted));
    let makers = explain(&item.stem, &given);
    Distractor {
        parsed: true,
        key: agree(&item.stem, &given, &item.key),
        exact,
        near: !makers.is_empty(),
        swap: !exact && makers.iter().any(|code| *code != asked),
    }
}

/// Judges the error that `output` tells for the wrong answer `shown`, which `gold` was made with.
pub fn naming(item: &Item, gold: Code, shown: &Answer, output: &str) -> Naming {
    let Some(told) = Code::read(output) else { return Naming::default() };
    Naming {
        parsed: true,
        exact: explain(&item.stem, shown).contains(&told),
        gold: told == gold,
        cycle: apply(told, &item.stem).is_ok_and(|answer| agree(&item.stem, &answer, shown)),
    }
}

/// COV: how many different errors `outputs` tell that make a wrong answer of the item (T3).
pub fn coverage<'a>(item: &Item, outputs: impl IntoIterator<Item = &'a str>) -> usize {
    let wrong =
        |code: &Code| apply(*code, &item.stem).is_ok_and(|answer| !agree(&item.stem, &answer, &item.key));
    outputs.into_iter().filter_map(Code::read).filter(wrong).collect::<BTreeSet<Code>>().len()
}

/// A share of outputs, as whole numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mean {
    /// Outputs it is true of.
    pub hits: u64,
    /// All of them.
    pub of: u64,
}

impl Mean {
    /// Counts one more output.
    pub fn add(&mut self, hit: bool) {
        self.hits += u64::from(hit);
        self.of += 1;
    }

    /// The share; `None` of no outputs.
    pub fn share(self) -> Option<f64> {
        (self.of > 0).then(|| self.hits as f64 / self.of as f64)
    }
}

impl FromIterator<bool> for Mean {
    fn from_iter<T: IntoIterator<Item = bool>>(outputs: T) -> Self {
        let mut mean = Self::default();
        outputs.into_iter().for_each(|hit| mean.add(hit));
        mean
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::family::Family;
    use crate::stem::Stem;
    use crate::template::Template;

    /// 5 + 3 * 4 - 2: right 15, LTR 30, SUBFIRST 11, BOTHFIRST 16.
    fn item() -> Item {
        Item {
            family: Family::Order,
            index: 0,
            stem: Stem::Order { a: 5, b: 3, c: 4, d: Some(2) },
            template: Template::Bare,
            text: String::new(),
            key: Answer::whole(15).unwrap(),
            faults: Vec::new(),
        }
    }

    #[test]
    fn an_answer_is_one_of_exact_swapped_right_and_other() {
        let parsed = Distractor { parsed: true, ..Distractor::default() };
        for (output, judged) in [
            ("x = 30", Distractor { exact: true, near: true, ..parsed }),
            ("11", Distractor { near: true, swap: true, ..parsed }),
            ("30/2", Distractor { key: true, ..parsed }),
            ("12", parsed),
            ("thirty", Distractor::default()),
        ] {
            assert_eq!(distractor(&item(), Code::Ltr, output), judged, "{output}");
        }
    }

    #[test]
    fn a_second_error_with_the_same_answer_is_exact_and_not_gold() {
        let stem = Stem::TwoStep { a: -4, b: 6, c: 26 };
        let item = Item { stem, key: Answer::whole(-5).unwrap(), ..item() };
        let named = |output: &str| naming(&item, Code::DropNeg, &Answer::whole(5).unwrap(), output);
        let all = Naming { parsed: true, exact: true, gold: true, cycle: true };
        assert_eq!(named(&Code::DropNeg.closed()), all);
        assert_eq!(named(&Code::RevSub.closed()), Naming { gold: false, ..all });
        assert_eq!(named(Code::AddSame.paraphrases()[0]), Naming { parsed: true, ..Naming::default() });
        assert_eq!(named("E99"), Naming::default());
    }

    #[test]
    fn coverage_counts_each_error_of_the_stem_once() {
        let [ltr, first] = [Code::Ltr.closed(), Code::SubFirst.paraphrases()[1].to_owned()];
        assert_eq!(coverage(&item(), [&*ltr, "E21", &*first, "E05", "nothing"]), 2);
        assert_eq!(coverage(&item(), []), 0);
    }

    #[test]
    fn a_share_of_nothing_is_none() {
        let mean: Mean = [true, false, true, true].into_iter().collect();
        assert_eq!((mean.share(), Mean::default().share()), (Some(0.75), None));
    }
}
