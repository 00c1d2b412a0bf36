//! The stages one after another, for a caller to whom it is all the same which is which.

use super::{Collector, Total};
use crate::MaskingError;
use crate::error::Stage;
use crate::messages::{Said, Told};

impl Collector {
    /// Whether the present stage waits for this member. Whoever sends keys in time is one: before the list is closed all may
    /// be waited for.
    pub fn awaits(&self, member: u32) -> bool {
        match (&self.listed, &self.dealt, &self.asked) {
            (None, ..) => !self.keys.contains_key(&member),
            (_, None, _) => self.keys.contains_key(&member) && !self.packages.contains_key(&member),
            (_, Some((dealers, _)), None) => {
                dealers.binary_search(&member).is_ok() && !self.reported.contains_key(&member)
            }
            (.., Some((question, _))) => {
                question.reported.binary_search(&member).is_ok() && !self.answers.contains_key(&member)
            }
        }
    }

    /// What a member is told that the present stage waits for; others are told nothing.
    pub fn told(&self, member: u32) -> Option<Told> {
        if !self.awaits(member) {
            return None;
        }
        match (&self.listed, &self.dealt, &self.asked) {
            (None, ..) => Some(Told::Terms(self.terms)),
            (Some((roster, _)), None, _) => Some(Told::Roster(roster.clone())),
            (_, Some(_), None) => self.delivery(member).ok().map(Told::Delivery),
            (.., Some((question, _))) => Some(Told::Question(question.clone())),
        }
    }

    /// Takes what a member says; false if it has said so before.
    ///
    /// # Errors
    /// Those of the message's stage.
    pub fn hear(&mut self, said: Said) -> Result<bool, MaskingError> {
        match said {
            Said::Keys(keys) => self.take_keys(keys),
            Said::Packages(packages) => self.take_packages(packages),
            Said::Veiled(veiled) => self.take_veiled(&veiled),
            Said::Answer(answer) => self.take_answer(&answer),
        }
    }

    /// The present stage is over: the next begins, or the total comes out.
    ///
    /// # Errors
    /// [`TooFew`](MaskingError::TooFew) below the threshold: the stage stays open. Of the last stage those of
    /// [`total`](Self::total).
    pub fn go_on(&mut self) -> Result<Option<Total>, MaskingError> {
        match self.waiting().0 {
            Stage::Keys => drop(self.roster()?),
            Stage::Packages => drop(self.dealers()?),
            Stage::Veiled => drop(self.question()?),
            Stage::Answers => return self.total().map(Some),
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Seeded;
    use crate::{Member, Terms};
    use std::collections::BTreeMap;

    /// Members that are told what the collector has for them, and say what follows.
    fn say(member: &mut Member, told: Told, values: &[i64]) -> Said {
        match told {
            Told::Terms(terms) => {
                assert_eq!(terms, *member.terms());
                Said::Keys(member.keys())
            }
            Told::Roster(roster) => Said::Packages(member.deal(&roster).unwrap()),
            Told::Delivery(delivery) => Said::Veiled(member.veil(&delivery, values).unwrap()),
            Told::Question(question) => Said::Answer(member.answer(&question).unwrap()),
        }
    }

    /// One of six is lost at each of the first two stages; the total is that of the four others.
    #[test]
    fn told_and_heard_until_nobody_is_waited_for_the_total_comes_out() {
        let (terms, mut source) = (Terms::new([3; 16], 1, 6, 2).unwrap(), Seeded::new(4));
        let mut members: BTreeMap<u32, Member> =
            (1..=6).map(|n| (n, Member::draw(terms, n, &mut source).unwrap())).collect();
        let mut collector = Collector::new(terms);
        let total = loop {
            for (number, member) in &mut members {
                let Some(told) = collector.told(*number) else { continue };
                let values = [i64::from(*number), -1];
                let said = say(member, told, &values);
                assert!(collector.awaits(*number));
                assert!(collector.hear(said.clone()).unwrap() && !collector.hear(said).unwrap());
                assert!(!collector.awaits(*number) && collector.told(*number).is_none());
            }
            let lost = match collector.waiting().0 {
                Stage::Keys => 6,
                Stage::Packages => 1,
                _ => 0,
            };
            members.remove(&lost);
            if let Some(total) = collector.go_on().unwrap() {
                break total;
            }
        };
        // The first dealt pieces and the last sent keys: one's values are missed, the other's never asked for.
        assert_eq!((total.members, total.values), (vec![2, 3, 4, 5], vec![14, -4]));
    }
}
