//! Two answers to one prompt as a pass found them: rows of their tokens, or logits of their labels.

use crate::data::{Example, Target};
use crate::objective::{Ask, Dual, Found, Row};
use std::ops::Range;

/// Log-probabilities of a pair's answers under the policy before training; of labels those among the labels.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Reference {
    /// R⁺, of the preferred answer.
    pub chosen: f32,
    /// R⁻, of the other one.
    pub rejected: f32,
    /// Of a question, the wrong answer that stands against the right one: the likeliest before training.
    pub negative: Option<u16>,
}

/// The preferred answer and the other one.
pub(super) struct Pair<'f> {
    pub(super) chosen: Answer<'f>,
    pub(super) rejected: Answer<'f>,
    /// What the two had before training.
    pub(super) reference: Reference,
}

/// One answer.
#[derive(Clone, Copy)]
pub(super) struct Answer<'f> {
    found: &'f Found<'f>,
    /// Its rows among those of the example; none of a label that is known by its logit.
    rows: (usize, usize),
    /// A label by its logit, where the vocabulary is the labels.
    label: Option<Row>,
    /// Tokens at its beginning and its end that the other answer has as well.
    shared: (usize, usize),
}

impl<'f> Pair<'f> {
    /// Of `example`, whose found rows, if it has labels, are those of its two answers.
    pub(super) fn of(example: &Example<'_>, reference: Reference, found: &'f Found<'f>) -> Self {
        let answer =
            |rows: Range<usize>, label, shared| Answer { found, rows: (rows.start, rows.end), label, shared };
        match example.target {
            Target::Pair { .. } => {
                let (chosen, rejected) = completions(example);
                let shared = shared(chosen, rejected);
                let (n, all) = (chosen.len(), found.rows().len());
                Self { chosen: answer(0..n, None, shared), rejected: answer(n..all, None, shared), reference }
            }
            Target::Label { .. } | Target::Lm { .. } => {
                let (right, wrong) = labels(example, &reference);
                let all = found.rows().len();
                let side = |i: usize, label| {
                    answer(all.min(i)..all.min(i + 1), Some(among_labels(found, label)), (0, 0))
                };
                Self { chosen: side(0, right), rejected: side(1, wrong), reference }
            }
        }
    }
}

impl Answer<'_> {
    /// Statistics of each of its tokens: over the whole vocabulary where rows were asked for.
    pub(super) fn tokens(&self) -> impl Iterator<Item = Row> + Clone {
        let (from, to) = self.rows;
        let label = self.label.filter(|_| from == to);
        label.into_iter().chain(self.found.rows().skip(from).take(to - from))
    }

    /// The same without those that the other answer has as well.
    pub(super) fn own(&self) -> impl Iterator<Item = Row> + Clone {
        let (before, after) = self.shared;
        let all = self.tokens().count();
        self.tokens().skip(before).take(all.saturating_sub(before + after))
    }

    /// S: the logarithm of its probability, a sum over its tokens; of a label that among the labels.
    pub(super) fn log_probability(&self) -> Dual {
        match self.label {
            Some(label) => label.target - label.lse,
            None => self.tokens().map(|row| row.target - row.lse).sum(),
        }
    }

    /// Mean cross-entropy of its tokens.
    pub(super) fn cross_entropy(&self) -> Dual {
        let (sum, n) = self
            .tokens()
            .fold((Dual::constant(0.0), 0u32), |(sum, n), row| (sum + (row.lse - row.target), n + 1));
        sum.over(f64::from(n.max(1)))
    }
}

/// Asks for the rows of both completions of `example`, of which the first goes on from the prompt as the second does.
pub(in crate::objective) fn ask_both(example: &Example<'_>, ask: &mut Ask<'_>) {
    let Target::Pair { first, second } = example.target else { return };
    let (chosen, rejected) = completions(example);
    ask.branch(second);
    for (start, tokens) in [(first, chosen), (second, rejected)] {
        // The first token of either follows the prompt.
        let before = |i: usize| if i == 0 { first } else { start + i };
        tokens.iter().enumerate().for_each(|(i, &token)| ask.row(before(i) - 1, token));
    }
}

/// The log-probabilities of both completions of `example`.
pub(in crate::objective) fn of_both(example: &Example<'_>, found: &Found<'_>) -> [Dual; 2] {
    let pair = Pair::of(example, Reference::default(), found);
    [pair.chosen.log_probability(), pair.rejected.log_probability()]
}

/// Places of the right answer and of the other one of a pair among the candidates of `example`.
pub(super) fn labels(example: &Example<'_>, reference: &Reference) -> (usize, usize) {
    match example.target {
        Target::Label { answer, candidates, .. } => {
            let other = (0..candidates.len()).find(|&i| i != answer).unwrap_or(answer);
            (answer, reference.negative.map_or(other, usize::from))
        }
        Target::Lm { .. } | Target::Pair { .. } => (0, 0),
    }
}

/// Tokens of the two completions of `example`.
fn completions<'e>(example: &Example<'e>) -> (&'e [u32], &'e [u32]) {
    match example.target {
        Target::Pair { first, second } => (&example.tokens[first..second], &example.tokens[second..]),
        Target::Lm { .. } | Target::Label { .. } => (&[], &[]),
    }
}

/// Tokens that two answers begin with, and that what is left of them ends with.
fn shared(a: &[u32], b: &[u32]) -> (usize, usize) {
    let before = a.iter().zip(b).take_while(|(a, b)| a == b).count();
    let rest = a[before..].iter().rev().zip(b[before..].iter().rev());
    (before, rest.take_while(|(a, b)| a == b).count())
}

/// A label's statistics where the labels are all there is.
fn among_labels(found: &Found<'_>, label: usize) -> Row {
    let shift = Dual::constant(found.logits().map(|l| l.v).fold(f64::NEG_INFINITY, f64::max));
    let sum = found.logits().fold(Dual::constant(0.0), |sum, l| sum + (l - shift).exp());
    let others = found.logits().enumerate().filter(|&(i, _)| i != label);
    let lowest = (0, Dual::constant(f64::NEG_INFINITY));
    let (rival, best) = others.fold(lowest, |best, (i, l)| if l.v > best.1.v { (i, l) } else { best });
    Row { lse: sum.ln() + shift, target: found.logit(label), rival: best, rival_id: rival as u32 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_both_answers_have_is_theirs_at_both_ends_but_not_twice() {
        assert_eq!(shared(&[1, 2, 3, 9], &[1, 5, 9]), (1, 1));
        assert_eq!(shared(&[1, 1, 1], &[1, 1]), (2, 0));
        assert_eq!(shared(&[4, 4], &[4, 4]), (2, 0));
        assert_eq!(shared(&[1], &[2]), (0, 0));
    }
}
