//! What the model knows of items: each answered greedily and judged by execution (specification 6.9).

use crate::ask::{Asking, Task};
use crate::scribe::Scribe;
use serde::{Deserialize, Serialize};
use sprig_engine::model::GenerateError;
use sprig_mcq::{Asked, Code, agree, canon, metrics};

/// Shares over items, as whole numbers: of those asked about answers (T1), errors (T2) and letters (T5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scores {
    /// Items asked for the wrong answer that follows from an error.
    pub t1: u64,
    /// Of these, answers that the error leads to.
    pub t1_exact: u64,
    /// Wrong answers that some error leads to.
    pub t1_near: u64,
    /// Wrong answers that another error leads to, and not the one asked about.
    pub t1_swap: u64,
    /// Copies of the right answer.
    pub key: u64,
    /// Answers with a canonical form.
    pub parse: u64,
    /// Items asked for the error that leads to a wrong answer.
    pub t2: u64,
    /// Of these, errors that lead to it: as many as give CYC-d within the library.
    pub t2_exact: u64,
    /// The error that it was made with.
    pub t2_gold: u64,
    /// Errors of the library.
    pub t2_parse: u64,
    /// Errors for which the model itself gives that wrong answer again.
    pub cyc_m: u64,
    /// Items asked for the letter of the right option.
    pub t5: u64,
    /// Of these, right ones.
    pub t5_right: u64,
}

/// What the model answered about one item.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Answers {
    /// To T1.
    pub wrong_answer: Option<String>,
    /// To T2.
    pub error: Option<String>,
    /// The wrong answer that it gives for that error.
    pub again: Option<String>,
    /// Probabilities of the letters, and which is right.
    pub letters: Option<(Vec<f64>, usize)>,
}

/// Has `scribe` answer `tasks` about an item. `letters` are the tokens of A to D, behind a space; options are in the order of
/// `seed`.
///
/// # Errors
/// A text longer than was planned.
pub fn answer(
    scribe: &mut Scribe<'_>,
    asking: Asking,
    tasks: &[Task],
    asked: &Asked,
    (letters, seed): (&[u32], u64),
) -> Result<Answers, GenerateError> {
    let mut answers = Answers::default();
    for &task in tasks {
        let Some(question) = asking.question(task, asked, seed) else { continue };
        scribe.read(&question.prompt)?;
        match task {
            Task::Distractor => answers.wrong_answer = Some(scribe.greedy()?.text),
            Task::Options => {
                let right = "ABCD".find(question.answer.trim()).unwrap_or(0);
                answers.letters = Some((scribe.among(letters), right));
            }
            Task::Naming => {
                let named = scribe.greedy()?.text;
                if let Some(code) = Code::read(&named) {
                    scribe.read(&asking.about_error(&asked.item, &code.closed()))?;
                    answers.again = Some(scribe.greedy()?.text);
                }
                answers.error = Some(named);
            }
        }
    }
    Ok(answers)
}

/// Judges `answers` about `asked`: one item's scores.
pub fn judge(asked: &Asked, answers: &Answers) -> Scores {
    let mut scores = Scores::default();
    if let Some(text) = &answers.wrong_answer {
        let found = metrics::distractor(&asked.item, asked.code, text);
        scores.t1 = 1;
        scores.t1_exact = found.exact.into();
        scores.t1_near = found.near.into();
        scores.t1_swap = found.swap.into();
        scores.key = found.key.into();
        scores.parse = found.parsed.into();
    }
    if let (Some(text), Some(fault)) = (&answers.error, asked.fault()) {
        let found = metrics::naming(&asked.item, asked.code, &fault.answer, text);
        let again = answers.again.as_deref().and_then(|text| canon(text).ok());
        scores.t2 = 1;
        scores.t2_exact = found.exact.into();
        scores.t2_gold = found.gold.into();
        scores.t2_parse = found.parsed.into();
        scores.cyc_m = again.is_some_and(|again| agree(&asked.item.stem, &again, &fault.answer)).into();
    }
    if let Some((letters, right)) = &answers.letters {
        let first = (0, f64::NEG_INFINITY);
        let top =
            letters.iter().enumerate().fold(first, |best, (i, &p)| if p > best.1 { (i, p) } else { best });
        scores.t5 = 1;
        scores.t5_right = (top.0 == *right).into();
    }
    scores
}

impl Scores {
    /// Adds another item's, or many items'.
    pub fn add(&mut self, other: &Self) {
        for (own, more) in self.counts_mut().into_iter().zip({ *other }.counts_mut()) {
            *own += *more;
        }
    }

    /// Share of `hits` among the items of its task; `None` of none.
    pub fn share(hits: u64, of: u64) -> Option<f64> {
        (of > 0).then(|| hits as f64 / of as f64)
    }

    /// T1-exact among parsable answers that are not the key (L4).
    pub fn t1_exact_of_wrong(&self) -> Option<f64> {
        Self::share(self.t1_exact, self.parse.saturating_sub(self.key))
    }

    fn counts_mut(&mut self) -> [&mut u64; 13] {
        let Self {
            t1,
            t1_exact,
            t1_near,
            t1_swap,
            key,
            parse,
            t2,
            t2_exact,
            t2_gold,
            t2_parse,
            cyc_m,
            t5,
            t5_right,
        } = self;
        [t1, t1_exact, t1_near, t1_swap, key, parse, t2, t2_exact, t2_gold, t2_parse, cyc_m, t5, t5_right]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wrong::tests::item;

    fn answers(wrong_answer: &str, error: &str, again: &str) -> Answers {
        Answers {
            wrong_answer: Some(wrong_answer.into()),
            error: Some(error.into()),
            again: Some(again.into()),
            letters: Some((vec![0.1, 0.6, 0.2, 0.1], 1)),
        }
    }

    /// V7 and V8: an oracle scores 1 everywhere, one that copies the key only KEY.
    #[test]
    fn an_oracle_scores_everywhere_and_a_copier_nowhere() {
        let asked = Asked { item: item(), code: Code::DropNeg };
        let oracle =
            judge(&asked, &answers(" 5\n", " E26 loses the minus sign of the coefficient\n", " 5\n"));
        let Scores { t1_exact, t1_near, t1_swap, key, parse, .. } = oracle;
        assert_eq!((t1_exact, t1_near, t1_swap, key, parse), (1, 1, 0, 0, 1));
        let Scores { t2_exact, t2_gold, t2_parse, cyc_m, t5_right, .. } = oracle;
        assert_eq!((t2_exact, t2_gold, t2_parse, cyc_m, t5_right), (1, 1, 1, 1, 1));
        let copier = judge(&asked, &answers(" -5\n", " nothing\n", " -5\n"));
        assert_eq!(
            (copier.key, copier.parse, copier.t1_exact, copier.t1_near, copier.cyc_m),
            (1, 1, 0, 0, 0)
        );
        assert_eq!((copier.t2, copier.t2_parse, copier.t2_exact), (1, 0, 0));
        let mut both = oracle;
        both.add(&copier);
        assert_eq!((both.t1, both.t1_exact, both.key, both.t5), (2, 1, 1, 2));
        assert_eq!(both.t1_exact_of_wrong(), Some(1.0));
        assert_eq!(Scores::default().t1_exact_of_wrong(), None);
    }
}
