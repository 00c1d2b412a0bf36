//! Mined pairs as a file: one record of `sprig train --task pair --raw` a line, with where it comes from and what both answers
//! had when it was mined.

use crate::ask::Task;
use crate::wrong::Kind;
use serde::{Deserialize, Serialize};
use sprig_learn::objective::Reference;
use sprig_mcq::{Code, Family};

/// Longest line that is read, in bytes: some thirty times the longest that is written.
const MAX_LINE: usize = 16_384;

/// A mined pair.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MinedPair {
    /// The prompt.
    pub prompt: String,
    /// The gold answer.
    pub chosen: String,
    /// The model's own inconsistent one.
    pub rejected: String,
    /// What was asked.
    pub task: Task,
    /// How the rejected answer is wrong.
    pub kind: Kind,
    /// The item's family,
    pub family: Family,
    /// its place there,
    pub index: u32,
    /// and the error.
    pub code: Code,
    /// Log-probabilities of both before preferences were learnt.
    pub reference: [f32; 2],
}

/// A line that is no pair.
#[derive(Debug, thiserror::Error)]
#[error("line {line}: {problem}")]
pub struct BadPairs {
    /// Its number, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub problem: String,
}

impl MinedPair {
    /// What both answers had.
    pub fn reference(&self) -> Reference {
        let [chosen, rejected] = self.reference;
        Reference { chosen, rejected, negative: None }
    }
}

/// The lines of `pairs`.
///
/// # Errors
/// A number that is not finite.
pub fn write(pairs: &[MinedPair]) -> Result<String, BadPairs> {
    let mut text = String::new();
    for (i, pair) in pairs.iter().enumerate() {
        let finite = pair.reference.iter().all(|r| r.is_finite());
        let line = serde_json::to_string(pair).map_err(|e| e.to_string());
        let line = line
            .and_then(|line| if finite { Ok(line) } else { Err("a log-probability is not finite".into()) });
        text.push_str(&line.map_err(|problem| BadPairs { line: i + 1, problem })?);
        text.push('\n');
    }
    Ok(text)
}

/// Reads what was written.
///
/// # Errors
/// A line that is none of these.
pub fn read(text: &str) -> Result<Vec<MinedPair>, BadPairs> {
    let read = |(i, line): (usize, &str)| {
        let bad = |problem| BadPairs { line: i + 1, problem };
        match line.len() {
            0..=MAX_LINE => serde_json::from_str(line).map_err(|e| bad(e.to_string())),
            n => Err(bad(format!("{n} bytes, and a pair has {MAX_LINE} at most"))),
        }
    };
    text.lines().enumerate().map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_read_as_they_are_written() {
        let pair = |reference| MinedPair {
            prompt: "1 + 1 = ?\nWrong answer:".into(),
            chosen: " 2\n".into(),
            rejected: " \"3\n".into(),
            task: Task::Distractor,
            kind: Kind::Mismatch,
            family: Family::Fadd,
            index: 7,
            code: Code::AddBoth,
            reference,
        };
        let pairs = vec![pair([-0.1, -12.345_678]), pair([f32::MIN_POSITIVE, -1e-30])];
        let text = write(&pairs).unwrap();
        assert_eq!(text.lines().count(), 2);
        assert_eq!(read(&text).unwrap(), pairs);
        assert_eq!(read(&format!("{text}{{}}")).unwrap_err().line, 3);
        assert_eq!(write(&[pair([f32::NAN, 0.0])]).unwrap_err().line, 1);
    }
}
