//! What the model is asked about an item, in words (the LookAlike specification, 2 and 6.7).

use serde_json::json;
use sprig_engine::tokenizer::{Specials, Tokenizer};
use sprig_ground::names;
use sprig_mcq::{Asked, Item};

/// Letters of options.
const LETTERS: &str = "ABCD";

/// What is asked. The last word of a prompt tells which it is: one adapter learns all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Task {
    /// T1: the wrong answer that follows from an error.
    Distractor,
    /// T2: the error that a wrong answer follows from.
    Naming,
    /// T5: the letter of the right one of four options.
    Options,
}

names!(Task, "task", [Distractor = "t1", Naming = "t2", Options = "t5"]);

/// A prompt and what is to be written behind it, as they stand in the data: no chat template is around them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// The prompt; no space ends it.
    pub prompt: String,
    /// The gold answer, from its leading space to the end of the line.
    pub answer: String,
}

/// How numbers are put before the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asking {
    /// Whether the digits of numbers are spaced out, each to be a token of its own.
    spaced: bool,
}

impl Asking {
    /// As `tokenizer` needs it: digit by digit where it would make one token of several.
    pub fn of(tokenizer: &Tokenizer) -> Self {
        let apart = |digits: &str| tokenizer.encode(digits, Specials::Plain).len() == digits.len();
        Self { spaced: !["10", "47", "503", "2600", "99999"].into_iter().all(apart) }
    }

    /// The question of `task` about `asked`; `None` where the item has too few wrong answers for options, whose order is drawn
    /// under `seed`.
    pub fn question(self, task: Task, asked: &Asked, seed: u64) -> Option<Question> {
        let (item, fault) = (&asked.item, asked.fault()?);
        let answer = fault.answer.render();
        match task {
            Task::Distractor => Some(self.pair(self.about_error(item, &fault.text), &self.told(&answer))),
            Task::Naming => Some(self.pair(self.about_answer(item, &answer), &fault.text)),
            Task::Options => {
                let options = item.options(seed).ok()?;
                let line = |(answer, letter): (&String, char)| format!("\n{letter}. {answer}");
                let answers: Vec<String> =
                    options.shown.iter().map(|(_, a)| self.told(&a.render())).collect();
                let lines: String = answers.iter().zip(LETTERS.chars()).map(line).collect();
                let letter = LETTERS.get(options.right..=options.right)?;
                Some(self.pair(format!("{}{lines}\nLetter:", self.told(&item.text)), letter))
            }
        }
    }

    /// The prompt that asks for the wrong answer that follows from the error `text`.
    pub fn about_error(self, item: &Item, text: &str) -> String {
        format!("{}\nMistake: {text}\nWrong answer:", self.known(item))
    }

    /// The prompt that asks for the error that leads to `answer`.
    pub fn about_answer(self, item: &Item, answer: &str) -> String {
        format!("{}\nWrong answer: {}\nMistake:", self.known(item), self.told(answer))
    }

    /// An answer as it stands behind a prompt.
    pub fn written(self, answer: &str) -> String {
        format!(" {answer}\n")
    }

    fn pair(self, prompt: String, answer: &str) -> Question {
        Question { prompt, answer: self.written(answer) }
    }

    fn known(self, item: &Item) -> String {
        self.told(&format!("{}\nRight answer: {}", item.text, item.key.render()))
    }

    /// A text whose digits the tokenizer keeps apart.
    fn told(self, text: &str) -> String {
        if !self.spaced {
            return text.to_owned();
        }
        let mut told = String::with_capacity(2 * text.len());
        let mut digit = false;
        for c in text.chars() {
            if digit && c.is_ascii_digit() {
                told.push(' ');
            }
            digit = c.is_ascii_digit();
            told.push(c);
        }
        told
    }
}

impl Question {
    /// Its line among records of `sprig train --task lm --raw`.
    pub fn line(&self) -> String {
        json!({ "prompt": self.prompt, "completion": self.answer }).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sprig_mcq::{Code, Family, Maker};

    fn asked() -> Asked {
        let item = (0..).map(|i| Maker::new(3).item(Family::Fadd, i).unwrap());
        let item = item.into_iter().find(|item| item.text.starts_with("1/2")).unwrap();
        Asked { item, code: Code::AddBoth }
    }

    #[test]
    fn each_task_ends_its_prompt_in_a_word_of_its_own() {
        let (asking, asked) = (Asking { spaced: false }, asked());
        let answer = asked.fault().unwrap().answer.render();
        let [t1, t2, t5] = Task::ALL.map(|task| asking.question(task, &asked, 1).unwrap());
        assert!(t1.prompt.ends_with("\nMistake: E05 adds both parts\nWrong answer:"), "{}", t1.prompt);
        assert_eq!(t1.answer, format!(" {answer}\n"));
        assert!(t2.prompt.ends_with(&format!("\nWrong answer: {answer}\nMistake:")), "{}", t2.prompt);
        assert_eq!(t2.answer, " E05 adds both parts\n");
        let options = asked.item.options(1).unwrap();
        assert_eq!(t5.prompt.lines().count(), 6);
        assert_eq!(t5.answer.trim(), ["A", "B", "C", "D"][options.right]);
        assert!(t1.prompt.contains(&format!("\nRight answer: {}\n", asked.item.key.render())));
        assert!(!t5.prompt.contains("Right answer"));
        assert!(t1.line().starts_with("{\"completion\":\" "), "{}", t1.line());
    }

    #[test]
    fn digits_are_spaced_out_in_numbers_alone() {
        let spaced = Asking { spaced: true };
        assert_eq!(spaced.told("503 - 247 = 25.6"), "5 0 3 - 2 4 7 = 2 5.6");
        let asked = asked();
        let t2 = spaced.question(Task::Naming, &asked, 1).unwrap();
        assert_eq!(t2.answer, " E05 adds both parts\n");
    }
}
