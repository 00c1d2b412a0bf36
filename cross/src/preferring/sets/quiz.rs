//! Multiple-choice questions as their publishers write them, as records {"question", "choices", "answer"} of `sprig`.

use serde_json::{Value, json};
use sprig_ground::random::SplitMix64;

/// A question.
#[derive(Clone, Debug, PartialEq)]
pub struct Question {
    /// What is asked.
    pub question: String,
    /// What may be answered.
    pub choices: Vec<String>,
    /// Place of the right choice.
    pub answer: usize,
}

impl Question {
    /// Of question and choices in one text: `{"instruction": "Please choose the correct answer to the question: ...\n\nAnswer1: ...
    /// Answer2: ...\n\nAnswer format: ...", "answer": "answer2"}`. `None` where it has another form or no right choice.
    pub fn told(record: &Value) -> Option<Self> {
        let text = record["instruction"].as_str()?;
        let (_, text) = text.split_once("question:")?;
        let (question, rest) = text.split_once("Answer1:")?;
        let (mut rest, _) = rest.rsplit_once("Answer format:")?;
        let mut choices = Vec::new();
        for next in 2.. {
            let (choice, behind) = rest.split_once(&format!("Answer{next}:")).unwrap_or((rest, ""));
            choices.push(choice.trim().to_owned());
            if behind.is_empty() {
                break;
            }
            rest = behind;
        }
        let answer =
            record["answer"].as_str()?.strip_prefix("answer")?.parse::<usize>().ok()?.checked_sub(1)?;
        Self { question: question.trim().to_owned(), choices, answer }.whole()
    }

    /// Of a generated item `{"stem", "key", "errors": [{"answer"}]}`: its key and three wrong answers, in an order drawn by `random`.
    pub fn item(record: &Value, random: &mut SplitMix64) -> Option<Self> {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let key = text(&record["key"])?;
        let mut choices = vec![key.clone()];
        for error in record["errors"].as_array()? {
            let wrong = text(&error["answer"])?;
            if choices.len() < 4 && !choices.contains(&wrong) {
                choices.push(wrong);
            }
        }
        random.shuffle(&mut choices);
        let answer = choices.iter().position(|choice| *choice == key)?;
        let question = Self { question: text(&record["stem"])?, choices, answer };
        question.whole().filter(|question| question.choices.len() == 4)
    }

    /// The questions of a file of MMLU-Redux that were found to be right: separated by commas or semicolons, choices as a list of
    /// Python.
    pub fn redux(text: &str) -> Vec<Self> {
        let rows = rows(text);
        let Some((head, rows)) = rows.split_first() else { return Vec::new() };
        let place = |name: &str| head.iter().position(|cell| cell == name);
        let (Some(question), Some(choices), Some(answer), Some(error)) =
            (place("question"), place("choices"), place("answer"), place("error_type"))
        else {
            return Vec::new();
        };
        let of = |row: &Vec<String>| {
            let right = row.get(error)?.trim().eq_ignore_ascii_case("ok");
            let (choices, answer) = (strings(row.get(choices)?), row.get(answer)?.trim().parse().ok()?);
            Self { question: row.get(question)?.trim().to_owned(), choices, answer }.whole().filter(|_| right)
        };
        rows.iter().filter_map(of).collect()
    }

    /// As a record of `sprig`, its answer by its letter, or by its place where a choice is called like that letter; `None` where
    /// one is called like either.
    pub fn record(&self) -> Option<Value> {
        let Self { question, choices, answer } = self;
        let names = |name: &str| choices.iter().enumerate().any(|(i, choice)| i != *answer && choice == name);
        let letter = char::from(b'A' + u8::try_from(*answer).ok().filter(|i| *i < 26)?).to_string();
        let answer = match (names(&letter), names(&answer.to_string())) {
            (false, _) => json!(letter),
            (true, false) => json!(answer),
            (true, true) => return None,
        };
        Some(json!({ "question": question, "choices": choices, "answer": answer }))
    }

    /// About as many tokens as question and choices take, rather more: five letters of a word are one, digits and signs one each.
    pub fn tokens(&self) -> usize {
        std::iter::once(&self.question).chain(&self.choices).map(|text| tokens(text)).sum()
    }

    fn whole(self) -> Option<Self> {
        let texts = self.choices.len() > 1 && self.choices.iter().all(|choice| !choice.trim().is_empty());
        (texts && !self.question.is_empty() && self.answer < self.choices.len()).then_some(self)
    }
}

fn tokens(text: &str) -> usize {
    let (mut tokens, mut letters) = (0, 0);
    for c in text.chars() {
        let letter = c.is_ascii_alphabetic();
        tokens += match () {
            () if letter => usize::from(letters % 5 == 0),
            () if c.is_whitespace() => 0,
            () if c.is_ascii() => 1,
            // Of bytes, in the worst case.
            () => 3,
        };
        letters = if letter { letters + 1 } else { 0 };
    }
    tokens
}

/// Cells of a table in text; what the first line has more of separates them.
fn rows(text: &str) -> Vec<Vec<String>> {
    let first = text.lines().next().unwrap_or_default();
    let separator = if first.matches(';').count() > first.matches(',').count() { ';' } else { ',' };
    let (mut rows, mut row, mut cell) = (Vec::new(), Vec::new(), String::new());
    let (mut quoted, mut chars) = (false, text.trim_start_matches('\u{feff}').chars().peekable());
    while let Some(c) = chars.next() {
        match c {
            // Twice within quotes is one of them.
            '"' if quoted && chars.peek() == Some(&'"') => cell.extend(chars.next()),
            // Elsewhere than around a whole cell it is a character like others.
            '"' if quoted || cell.is_empty() => quoted = !quoted,
            '\r' if !quoted => {}
            '\n' if !quoted => {
                row.push(std::mem::take(&mut cell));
                rows.push(std::mem::take(&mut row));
            }
            _ if c == separator && !quoted => row.push(std::mem::take(&mut cell)),
            _ => cell.push(c),
        }
    }
    if !row.is_empty() || !cell.is_empty() {
        row.push(cell);
        rows.push(row);
    }
    rows
}

/// The strings of a list of Python, `['a', "b's"]`.
fn strings(list: &str) -> Vec<String> {
    let (mut found, mut chars) = (Vec::new(), list.chars());
    while let Some(quote) = chars.find(|c| matches!(c, '\'' | '"')) {
        let mut text = String::new();
        while let Some(c) = chars.next().filter(|c| *c != quote) {
            if c != '\\' {
                text.push(c);
                continue;
            }
            match chars.next() {
                Some('n') => text.push('\n'),
                Some('t') => text.push('\t'),
                Some('x') => {
                    let code: String = chars.by_ref().take(2).collect();
                    text.extend(u8::from_str_radix(&code, 16).map(char::from));
                }
                other => text.extend(other),
            }
        }
        found.push(text);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_named_so_that_it_means_one_choice() {
        let record = |choices: &[&str], answer| {
            let choices = choices.iter().map(|&choice| choice.to_owned()).collect();
            Question { question: "?".to_owned(), choices, answer }
                .record()
                .map(|record| record["answer"].clone())
        };
        assert_eq!(record(&["2", "1", "0"], 1), Some(json!("B")), "a place would mean two");
        assert_eq!(record(&["B", "C"], 1), Some(json!(1)));
        assert_eq!(record(&["A", "B"], 1), Some(json!("B")));
        assert_eq!(record(&["B", "C", "1"], 1), None);
    }

    #[test]
    fn tokens_are_counted_from_above() {
        let tokens = ["a", "photosynthesis", "in 1970, x", "∫ π", ""].map(tokens);
        assert_eq!(tokens, [1, 3, 1 + 4 + 1 + 1, 6, 0]);
    }

    #[test]
    fn a_question_in_one_text_is_taken_apart() {
        let text = "Please choose the correct answer to the question: Which question: this or that?\n\nAnswer1: a cat. Answer2: \
                    a dog Answer3: 4, 5\n\nAnswer format: answer1/answer2/answer3";
        let told = Question::told(&json!({ "instruction": text, "input": "", "answer": "answer2" })).unwrap();
        assert_eq!((told.question.as_str(), told.answer), ("Which question: this or that?", 1));
        assert_eq!(told.choices, ["a cat.", "a dog", "4, 5"]);
        for answer in ["answer4", "answer0", "b", ""] {
            assert_eq!(Question::told(&json!({ "instruction": text, "answer": answer })), None, "{answer}");
        }
        let hollow = text.replace(" a dog", "");
        assert_eq!(Question::told(&json!({ "instruction": hollow, "answer": "answer2" })), None);
    }

    #[test]
    fn an_item_becomes_four_choices_in_an_order_of_its_seed() {
        let error = |answer: &str| json!({ "code": "X", "text": "by mistake", "answer": answer });
        let item = json!({ "stem": "305 − 17", "key": "288", "errors": [error("312"), error("312"), error("298"), error("1"), error("2")] });
        let drawn = |seed| Question::item(&item, &mut SplitMix64::new(seed)).unwrap();
        let mut places = std::collections::BTreeSet::new();
        for seed in 0..20 {
            let question = drawn(seed);
            assert_eq!(question.choices[question.answer], "288");
            let mut choices = question.choices.clone();
            choices.sort();
            assert_eq!(choices, ["1", "288", "298", "312"]);
            places.insert(question.answer);
        }
        assert_eq!((places.len(), drawn(3)), (4, drawn(3)));
        let few = json!({ "stem": "1", "key": "2", "errors": [error("3"), error("4"), error("2")] });
        assert_eq!(Question::item(&few, &mut SplitMix64::new(1)), None);
    }

    #[test]
    fn tables_with_lists_of_python_become_questions() {
        let semicolons = "question;choices;answer;error_type;source\n\
                          \"A \"\"dished; face\"\" is\";['it\\'s', \"b's\", 'c\\nd', '\\xa0e'];3; Ok ;x\n\
                          wrong;['a', 'b'];0;wrong groundtruth;\n";
        let found = Question::redux(semicolons);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].question.as_str(), found[0].answer), ("A \"dished; face\" is", 3));
        assert_eq!(found[0].choices, ["it's", "b's", "c\nd", "\u{a0}e"]);
        let commas =
            "question,choices,answer,correct_answer,error_type\r\n\"two\nlines\",\"['a', 'b, c']\",1,,ok";
        let found = Question::redux(commas);
        assert_eq!((found[0].question.as_str(), &*found[0].choices[1]), ("two\nlines", "b, c"));
        assert!(Question::redux("no,table\n1,2\n").is_empty() && Question::redux("").is_empty());
    }
}
