//! A round in memory, for tests: every message goes through its bytes, and is kept as the collector and a broker see it.

use crate::{Answer, Collector, Delivery, Keys, MaskingError, Member, Packages, Question, Roster};
use crate::{Terms, Total, Veiled};
use sprig_ground::random::SplitMix64;
use std::collections::BTreeMap;
use std::io::{self, Read};

/// Randomness that a test can have again.
pub(crate) struct Seeded(SplitMix64);

impl Seeded {
    pub(crate) fn new(seed: u64) -> Self {
        Self(SplitMix64::new(seed))
    }

    pub(crate) fn draw(&mut self) -> u64 {
        self.0.draw()
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0.below(bound)
    }

    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        self.0.shuffle(items);
    }
}

impl Read for Seeded {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        out.iter_mut().for_each(|byte| *byte = self.0.draw() as u8);
        Ok(out.len())
    }
}

/// When a member is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Lost {
    BeforeKeys,
    AfterKeys,
    AfterPackages,
    AfterVeiled,
}

pub(crate) const ALL: [Lost; 4] = [Lost::BeforeKeys, Lost::AfterKeys, Lost::AfterPackages, Lost::AfterVeiled];

/// A collector and members, with what they have said so far.
pub(crate) struct Fleet {
    pub(crate) terms: Terms,
    pub(crate) members: BTreeMap<u32, Member>,
    pub(crate) values: BTreeMap<u32, Vec<i64>>,
    pub(crate) lost: BTreeMap<u32, Lost>,
    pub(crate) collector: Collector,
    pub(crate) keys: Vec<Keys>,
    pub(crate) roster: Option<Roster>,
    pub(crate) packages: Vec<Packages>,
    pub(crate) deliveries: Vec<Delivery>,
    pub(crate) veiled: Vec<Veiled>,
    pub(crate) question: Option<Question>,
    pub(crate) answers: Vec<Answer>,
}

impl Fleet {
    /// So many members under numbers with gaps, each with so many values: small ones, any, and the extremes.
    pub(crate) fn new(members: u32, values: u32, seed: u64) -> Self {
        let terms = Terms::new([7; 16], seed, members, values).unwrap();
        let mut source = Seeded::new(seed);
        let numbers: Vec<u32> = (0..members).map(|at| 5 * at + source.below(5) as u32).collect();
        let drawn =
            numbers.iter().map(|number| (*number, Member::draw(terms, *number, &mut source).unwrap()));
        let drawn = drawn.collect();
        let extremes = [i64::MIN, i64::MAX, -1, 0, 1 << 49, -(1 << 49)];
        let mut value = || match source.below(3) {
            0 => extremes[source.below(extremes.len())],
            1 => source.draw() as i64,
            _ => source.below(200) as i64 - 100,
        };
        let values = numbers.iter().map(|number| (*number, (0..values).map(|_| value()).collect())).collect();
        Self {
            terms,
            members: drawn,
            values,
            lost: BTreeMap::new(),
            collector: Collector::new(terms),
            keys: Vec::new(),
            roster: None,
            packages: Vec::new(),
            deliveries: Vec::new(),
            veiled: Vec::new(),
            question: None,
            answers: Vec::new(),
        }
    }

    pub(crate) fn numbers(&self) -> Vec<u32> {
        self.members.keys().copied().collect()
    }

    /// Who still speaks at a stage that those lost at `when` do not reach.
    pub(crate) fn present(&self, when: Lost) -> Vec<u32> {
        let speaks = |number: &u32| self.lost.get(number).is_none_or(|lost| *lost > when);
        self.numbers().into_iter().filter(speaks).collect()
    }

    pub(crate) fn member(&mut self, number: u32) -> &mut Member {
        self.members.get_mut(&number).unwrap()
    }

    pub(crate) fn keys(&mut self) -> Result<(), MaskingError> {
        for number in self.present(Lost::BeforeKeys) {
            let keys = Keys::from_bytes(&self.member(number).keys().to_bytes())?;
            self.keys.push(keys.clone());
            assert!(self.collector.take_keys(keys)?);
        }
        self.roster = Some(Roster::from_bytes(&self.collector.roster()?.to_bytes())?);
        Ok(())
    }

    pub(crate) fn packages(&mut self) -> Result<(), MaskingError> {
        let roster = self.roster.clone().unwrap();
        for number in self.present(Lost::AfterKeys) {
            let packages = Packages::from_bytes(&self.member(number).deal(&roster)?.to_bytes())?;
            self.packages.push(packages.clone());
            assert!(self.collector.take_packages(packages)?);
        }
        for dealer in self.collector.dealers()? {
            let delivery = Delivery::from_bytes(&self.collector.delivery(dealer)?.to_bytes())?;
            self.deliveries.push(delivery);
        }
        Ok(())
    }

    pub(crate) fn veiled(&mut self) -> Result<(), MaskingError> {
        for number in self.present(Lost::AfterPackages) {
            let veiled = self.veil(number)?;
            self.veiled.push(veiled.clone());
            assert!(self.collector.take_veiled(&veiled)?);
        }
        self.question = Some(Question::from_bytes(&self.collector.question()?.to_bytes())?);
        Ok(())
    }

    /// One member's values under their veils; the collector gets nothing of it.
    pub(crate) fn veil(&mut self, number: u32) -> Result<Veiled, MaskingError> {
        let delivery = self.delivery(number);
        let values = self.values[&number].clone();
        Veiled::from_bytes(&self.member(number).veil(&delivery, &values)?.to_bytes())
    }

    pub(crate) fn delivery(&self, number: u32) -> Delivery {
        self.deliveries.iter().find(|delivery| delivery.member == number).unwrap().clone()
    }

    pub(crate) fn answers(&mut self) -> Result<(), MaskingError> {
        let question = self.question.clone().unwrap();
        for number in self.present(Lost::AfterVeiled) {
            let answer = Answer::from_bytes(&self.member(number).answer(&question)?.to_bytes())?;
            assert!(self.collector.take_answer(&answer)?);
            self.answers.push(answer);
        }
        Ok(())
    }

    /// All stages.
    pub(crate) fn total(&mut self) -> Result<Total, MaskingError> {
        self.keys()?;
        self.packages()?;
        self.veiled()?;
        self.answers()?;
        self.collector.total()
    }

    /// The sum of those whose values arrive, without any veil.
    pub(crate) fn plain(&self) -> Total {
        let members = self.present(Lost::AfterPackages);
        let mut values = vec![0i64; self.terms.values()];
        for number in &members {
            values
                .iter_mut()
                .zip(&self.values[number])
                .for_each(|(sum, value)| *sum = sum.wrapping_add(*value));
        }
        Total { members, values }
    }
}

/// Pearson's χ² of the bytes of words against the uniform distribution: of 255 degrees of freedom, so 255 ± 23.
pub(crate) fn unevenness(words: &[u64]) -> f64 {
    let mut counts = [0u32; 256];
    words.iter().flat_map(|word| word.to_le_bytes()).for_each(|byte| counts[usize::from(byte)] += 1);
    let each = words.len() as f64 * 8.0 / 256.0;
    counts.iter().map(|count| (f64::from(*count) - each).powi(2) / each).sum()
}

/// Whether words look random: six deviations either way.
pub(crate) fn looks_random(words: &[u64]) -> bool {
    let ones: u32 = words.iter().map(|word| word.count_ones()).sum();
    let bits = words.len() as f64 * 64.0;
    let off = (f64::from(ones) - bits / 2.0).abs() / (bits / 4.0).sqrt();
    (120.0..400.0).contains(&unevenness(words)) && off < 6.0
}
