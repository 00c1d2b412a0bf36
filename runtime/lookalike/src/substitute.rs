//! What stands for a mined negative in the controls (specification 5): a random number or error, or the gold answer to
//! another question about the same item. Neither asks the model.

use crate::ask::Task;
use crate::wrong::{Kind, Wrong, wrong_answer, wrong_name};
use sprig_ground::names;
use sprig_ground::philox::philox;
use sprig_mcq::{Answer, Asked, Code};

/// Where the rejected answers of pairs come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Negatives {
    /// The model's own inconsistent answers.
    #[default]
    Own,
    /// Random wrong numbers and errors.
    Random,
    /// Gold answers of other errors of the item: the data's, not the model's.
    Swapped,
}

names!(Negatives, "source of negatives", [Own = "own", Random = "random", Swapped = "swapped"]);

/// Marks counters of draws, apart from those of directions, masks, items and tokens.
const DRAWS: u32 = 5;

/// Draws until a random answer is given up.
const TRIES: u32 = 64;

/// A rejected answer to `task` about `asked`, drawn under `key` at `place`; `None` where there is none, and of the model's
/// own, which are mined.
pub fn substitute(
    negatives: Negatives,
    task: Task,
    asked: &Asked,
    (key, place): ([u32; 2], u32),
) -> Option<(Kind, String)> {
    let shown = &asked.fault()?.answer;
    let wrong = |text: String| match judged(task, asked, shown, &text) {
        Wrong::So(kind, _) => Some((kind, text)),
        Wrong::Not | Wrong::Malformed => None,
    };
    (0..TRIES).find_map(|attempt| {
        let words = philox(key, [place, attempt, task as u32, DRAWS]);
        match negatives {
            Negatives::Own => None,
            Negatives::Random => wrong(random(task, shown, words)?).filter(|(kind, _)| *kind != Kind::Key),
            Negatives::Swapped => {
                let others: Vec<_> = asked.item.faults.iter().filter(|f| f.code != asked.code).collect();
                let other = others.get(below(words[0], others.len()))?;
                wrong(if task == Task::Naming { other.text.clone() } else { other.answer.render() })
            }
        }
    })
}

fn judged(task: Task, asked: &Asked, shown: &Answer, text: &str) -> Wrong {
    match task {
        Task::Distractor => wrong_answer(&asked.item, asked.code, text),
        Task::Naming => wrong_name(&asked.item, shown, text),
        Task::Options => Wrong::Malformed,
    }
}

/// Of the size and form of the gold answer, or any error of the library.
fn random(task: Task, gold: &Answer, words: [u32; 4]) -> Option<String> {
    if task == Task::Naming {
        return Code::ALL.get(below(words[0], Code::ALL.len())).map(|code| code.closed());
    }
    let value = gold.number()?.value();
    let (top, bottom) = (value.top().unsigned_abs() as usize, value.bottom().unsigned_abs() as usize);
    let negative = value.top() < 0 && words[2].is_multiple_of(2);
    let top = (1 + below(words[0], 2 * top + 9)) as i128;
    let bottom = if bottom == 1 { 1 } else { (2 + below(words[1], 2 * bottom)) as i128 };
    Answer::lowest(if negative { -top } else { top }, bottom).map(|answer| answer.render())
}

/// A place among `count`, of a random word.
fn below(word: u32, count: usize) -> usize {
    ((u64::from(word) * count as u64) >> 32) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wrong::tests::item;
    use std::collections::BTreeSet;

    fn drawn(negatives: Negatives, task: Task) -> Vec<(Kind, String)> {
        let asked = Asked { item: item(), code: Code::AddSame };
        (0..200).filter_map(|place| substitute(negatives, task, &asked, ([1, 2], place))).collect()
    }

    #[test]
    fn random_ones_are_wrong_and_of_no_one_kind_of_number() {
        let numbers = drawn(Negatives::Random, Task::Distractor);
        assert_eq!(numbers.len(), 200);
        assert!(numbers.iter().all(|(kind, text)| *kind != Kind::Key && text != "-8"));
        assert!(numbers.iter().map(|(_, text)| text).collect::<BTreeSet<_>>().len() > 15);
        let errors = drawn(Negatives::Random, Task::Naming);
        assert_eq!(errors.len(), 200);
        assert!(errors.iter().all(|(kind, text)| *kind == Kind::Cycle && !text.starts_with("E24")));
    }

    #[test]
    fn swapped_ones_are_the_items_own() {
        let texts =
            |task| drawn(Negatives::Swapped, task).into_iter().map(|(_, text)| text).collect::<BTreeSet<_>>();
        assert_eq!(texts(Task::Distractor), ["5", "-80", "24"].map(str::to_owned).into());
        let codes = [Code::DropNeg, Code::MulDiv2, Code::SubCoef2].map(Code::closed);
        assert_eq!(texts(Task::Naming), codes.into());
        assert!(drawn(Negatives::Swapped, Task::Distractor).iter().all(|(kind, _)| *kind == Kind::Swap));
        assert!(drawn(Negatives::Own, Task::Distractor).is_empty());
    }
}
