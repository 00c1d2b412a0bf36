//! Which labels examples were given, for each label that they have: the confusion matrix, and what is read off it.

use crate::data::{DataSet, Labels};

/// Most labels of which every pair is counted: 256 KiB.
pub const MOST_LABELS: usize = 256;

/// Mistakes that are kept one by one: those that cost most.
pub const DEAREST: usize = 20;

/// A confusion matrix, and the mistakes that cost most.
#[derive(Clone, Debug, PartialEq)]
pub struct Confusion {
    labels: usize,
    /// Examples, label by label, and in a label answer by answer.
    counts: Vec<u32>,
    /// By falling loss, [`DEAREST`] at most.
    dearest: Vec<Wrong>,
}

/// An example that was given another label than its own.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Wrong {
    /// Its place in the data, from 0.
    pub example: usize,
    /// The label that it has.
    pub label: usize,
    /// The label that it was given.
    pub given: usize,
    /// Its loss, nats: the surer of another label, the more.
    pub loss: f64,
}

/// What became of the examples of a label.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OfLabel {
    /// Examples that have it.
    pub n: u64,
    /// Examples that were given it, rightly or not.
    pub given: u64,
    /// Examples that have it and were given it.
    pub right: u64,
}

/// Examples of one label that were given another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mistaken {
    /// The label that they have.
    pub label: usize,
    /// The label that they were given.
    pub given: usize,
    /// How many.
    pub n: u32,
}

impl Confusion {
    /// An empty one for `data`; `None` where there are no labels, or more than [`MOST_LABELS`].
    pub fn of(data: &DataSet) -> Option<Self> {
        let labels = count_of(data)?;
        Some(Self { labels, counts: vec![0; labels * labels], dearest: Vec::with_capacity(DEAREST + 1) })
    }

    /// Its heap bytes for `data`.
    pub fn bytes(data: &DataSet) -> usize {
        let dearest = (DEAREST + 1) * size_of::<Wrong>();
        count_of(data).map_or(0, |labels| labels * labels * size_of::<u32>() + dearest)
    }

    /// Counts an example, given its own label or another; labels by their place among [`Labels::names`].
    pub(crate) fn count(&mut self, found: Wrong) {
        let Wrong { label, given, loss, .. } = found;
        self.counts[label * self.labels + given] += 1;
        if label != given {
            let place = self.dearest.partition_point(|known| known.loss.total_cmp(&loss).is_ge());
            self.dearest.insert(place, found);
            self.dearest.truncate(DEAREST);
        }
    }

    /// The mistakes that cost most, the dearest first; of equal ones those that came first.
    pub fn dearest(&self) -> &[Wrong] {
        &self.dearest
    }

    /// Each label, in the order of [`Labels::names`].
    pub fn labels(&self) -> impl Iterator<Item = OfLabel> {
        (0..self.labels).map(|i| OfLabel {
            n: self.row(i).iter().copied().map(u64::from).sum(),
            given: (0..self.labels).map(|label| u64::from(self.row(label)[i])).sum(),
            right: self.row(i)[i].into(),
        })
    }

    /// The `most` most frequent mistakes, the most frequent first.
    pub fn mistakes(&self, most: usize) -> Vec<Mistaken> {
        let cell = |(at, &n): (usize, &u32)| Mistaken { label: at / self.labels, given: at % self.labels, n };
        let cells = self.counts.iter().enumerate().map(cell);
        let mut found: Vec<Mistaken> = cells.filter(|cell| cell.n > 0 && cell.label != cell.given).collect();
        found.sort_by_key(|cell| std::cmp::Reverse(cell.n));
        found.truncate(most);
        found
    }

    /// Mean of the labels' F1 scores, over those that examples have or were given.
    pub fn macro_f1(&self) -> f64 {
        let seen = || self.labels().filter(|label| label.n + label.given > 0);
        seen().map(|label| label.f1()).sum::<f64>() / seen().count().max(1) as f64
    }

    fn row(&self, label: usize) -> &[u32] {
        &self.counts[label * self.labels..][..self.labels]
    }
}

impl OfLabel {
    /// Harmonic mean of recall (right / n) and precision (right / given), 2·right / (n + given); 0 of a label that nobody has and nobody was given.
    pub fn f1(&self) -> f64 {
        2.0 * self.right as f64 / (self.n + self.given).max(1) as f64
    }
}

fn count_of(data: &DataSet) -> Option<usize> {
    let labels = data.labels().map(Labels::names)?.len();
    (labels <= MOST_LABELS).then_some(labels)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two cats, both found; three dogs, of which one is taken for a cat and one for a bird; no bird.
    fn animals() -> Confusion {
        let mut found = Confusion { labels: 3, counts: vec![0; 9], dearest: Vec::new() };
        let examples = [(0, 0, 0.1), (0, 0, 0.2), (1, 1, 0.3), (1, 0, 2.0), (1, 2, 5.0)];
        for (example, (label, given, loss)) in examples.into_iter().enumerate() {
            found.count(Wrong { example, label, given, loss });
        }
        found
    }

    #[test]
    fn the_dearest_mistakes_are_kept_and_no_more_of_them() {
        let mut found = animals();
        let kept = |found: &Confusion| found.dearest().iter().map(|wrong| wrong.example).collect::<Vec<_>>();
        assert_eq!(kept(&found), [4, 3]);
        for example in 5..40 {
            found.count(Wrong { example, label: 2, given: 0, loss: 3.0 });
        }
        let rest: Vec<usize> = [4].into_iter().chain(5..4 + DEAREST).collect();
        assert_eq!(kept(&found), rest);
    }

    #[test]
    fn shares_are_those_of_the_textbook() {
        let labels: Vec<_> = animals().labels().collect();
        let of = |n, given, right| OfLabel { n, given, right };
        assert_eq!(labels, [of(2, 3, 2), of(3, 1, 1), of(0, 1, 0)]);
        // scikit-learn 1.x, f1_score(average="macro"): 0.8, 0.5 and 0.
        assert!((animals().macro_f1() - 1.3 / 3.0).abs() < 1e-12);
    }

    #[test]
    fn mistakes_come_by_how_many() {
        let mut found = animals();
        found.count(Wrong { example: 5, label: 1, given: 2, loss: 1.0 });
        let told = found.mistakes(9);
        assert_eq!(told, [Mistaken { label: 1, given: 2, n: 2 }, Mistaken { label: 1, given: 0, n: 1 }]);
        assert_eq!(found.mistakes(1), told[..1]);
    }
}
