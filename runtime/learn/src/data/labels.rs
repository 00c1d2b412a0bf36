//! Labels, and the one token that stands for each.

use super::error::{Problem, short};
use super::prompt::Prompt;
use super::record::Task;
use crate::setting::Setting;
use sprig_engine::tokenizer::{Specials, Tokenizer, TokenizerError};
use sprig_ground::names;
use std::collections::BTreeSet;

/// Most labels a file may have: more hints at a field that is no class.
pub const MAX_LABELS: usize = 1024;

/// Labels that the usual words list: the names of more take more tokens than most texts, and are learnt all the same. As many as
/// there could be before more were taken, so that what a fleet leaves out means the same to boards of every version.
pub(super) const LISTED_LABELS: usize = 64;

/// Names that a message tells.
const SHOWN: usize = 16;

/// What the model is asked to answer with for a label.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LabelStyle {
    /// The label's own name, or the word given for it.
    #[default]
    Word,
    /// A letter: A for the first label in order. At most 26 labels.
    Letter,
}

names!(LabelStyle, "label style", [Word = "word", Letter = "letter"]);

/// The labels of a data set in sorted order, each with the one token that stands for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Labels {
    names: Vec<String>,
    words: Vec<String>,
    tokens: Vec<u32>,
    style: LabelStyle,
    /// Whether the usual words around a text list them.
    listed: bool,
}

/// What is said of so many different labels.
pub(super) fn too_many(n: usize) -> Problem {
    let found = format!("found {n} different labels, and {MAX_LABELS} are the most");
    Problem::field("label", found, a_class())
}

/// What to do about labels that are no classes.
pub(super) fn a_class() -> String {
    format!("use a field that names a class, or {} for free answers", Setting::Task.to(Task::Lm))
}

impl Labels {
    /// The names, in the order of the candidates of every example.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The token id that stands for each name.
    pub fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    /// How the model answers.
    pub fn style(&self) -> LabelStyle {
        self.style
    }

    /// Whether the usual words around a text list them: not if they are many, or leave no room for a text.
    pub(super) fn are_listed(&self) -> bool {
        self.listed
    }

    /// The same, and whether they are listed.
    pub(super) fn with_listed(self, listed: bool) -> Self {
        Self { listed, ..self }
    }

    /// Each name with the word that the model answers with.
    pub fn pairs(&self) -> Vec<(String, String)> {
        self.names.iter().cloned().zip(self.words.iter().cloned()).collect()
    }

    pub(super) fn index(&self, name: &str) -> Option<usize> {
        self.names.binary_search_by(|n| n.as_str().cmp(name)).ok()
    }

    /// How the prompt lists the options.
    pub(super) fn options<'a>(
        names: impl Iterator<Item = &'a String>,
        words: &[String],
        style: LabelStyle,
    ) -> String {
        match style {
            LabelStyle::Word => words.join(", "),
            LabelStyle::Letter => {
                let listed: Vec<_> =
                    words.iter().zip(names).map(|(letter, name)| format!("{letter}. {name}")).collect();
                listed.join(", ")
            }
        }
    }

    /// The word that stands for each of `names`: the given one, the name itself, or a letter.
    pub(super) fn words(
        names: &BTreeSet<String>,
        style: LabelStyle,
        given: &[(String, String)],
    ) -> Result<Vec<String>, Problem> {
        if let Some((name, _)) = given.iter().find(|(name, _)| !names.contains(name)) {
            let known: Vec<_> = names.iter().take(8).map(|n| short(n)).collect();
            return Err(Problem::new(
                format!("{} names {}, which is no label of the file", Setting::LabelTokens, short(name)),
                format!("the labels are {}", known.join(", ")),
            ));
        }
        match style {
            LabelStyle::Letter if names.len() > 26 => Err(Problem::new(
                format!("{} labels are too many for letters", names.len()),
                format!("use {}", Setting::LabelStyle.to(LabelStyle::Word)),
            )),
            LabelStyle::Letter => Ok(letters(names.len())),
            LabelStyle::Word => {
                let word = |name: &String| {
                    given.iter().find(|(n, _)| n == name).map_or(name, |(_, word)| word).clone()
                };
                Ok(names.iter().map(word).collect())
            }
        }
    }

    /// Finds the token that begins each word as an answer to `prompt`.
    pub(super) fn resolve(
        names: BTreeSet<String>,
        words: Vec<String>,
        style: LabelStyle,
        prompt: &Prompt,
        tokenizer: &Tokenizer,
        rows: usize,
    ) -> Result<Result<Self, Problem>, TokenizerError> {
        let names: Vec<String> = names.into_iter().collect();
        let letter = Setting::LabelStyle.to(LabelStyle::Letter);
        let remedy = format!("name another word in {}, or use {letter}", Setting::LabelTokens);
        let mut tokens = Vec::with_capacity(words.len());
        for (i, word) in words.iter().enumerate() {
            let (ids, _) = tokenizer.encode_first(&prompt.answer(word), Specials::Plain, 1);
            let Some(&token) = ids.first().filter(|_| !word.trim().is_empty()) else {
                let found = format!("label {} has no token", short(&names[i]));
                return Ok(Err(Problem::new(found, &*remedy)));
            };
            if token as usize >= rows {
                let found = format!(
                    "label {} begins with token {token}, but the model's head has {rows} rows",
                    short(&names[i])
                );
                return Ok(Err(Problem::new(found, &*remedy)));
            }
            if let Some(j) = tokens.iter().position(|&t| t == token) {
                let found = format!(
                    "labels {} and {} begin with the same token {}",
                    short(&names[j]),
                    short(&names[i]),
                    short(&tokenizer.decode(&[token]))
                );
                return Ok(Err(Problem::new(found, &*remedy)));
            }
            tokens.push(token);
        }
        Ok(Ok(Self { names, words, tokens, style, listed: true }))
    }

    /// Their names for a message, of many the first.
    pub fn told(&self) -> String {
        let names = self.names.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
        match self.names.len().saturating_sub(SHOWN) {
            0 => names,
            more => format!("{names} and {more} others"),
        }
    }

    /// The labels that are answered by another word than their name.
    pub fn renamed(&self) -> impl Iterator<Item = (&str, &str)> {
        let pairs = self.names.iter().zip(&self.words).filter(|(name, word)| name != word);
        pairs.map(|(name, word)| (name.as_str(), word.as_str()))
    }

    /// How the prompt lists them.
    pub(super) fn list(&self) -> String {
        Self::options(self.names.iter(), &self.words, self.style)
    }
}

/// `A`, `B`, … for up to 26 choices.
pub(super) fn letters(n: usize) -> Vec<String> {
    ('A'..='Z').take(n).map(String::from).collect()
}
