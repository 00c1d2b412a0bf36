//! From records to tokens: the prompts of each task, and what gives way when a record is too long.

use super::chat::Chat;
use super::conversation::{Role, Turn};
use super::encoded::{EncodeError, Encoded, Kind};
use super::error::{Problem, short};
use super::labels::{Labels, letters};
use super::options::LoadOptions;
use super::prompt::{self, Keep, Prompt};
use super::record::{CHOICES, Record};
use crate::setting::Setting;
use sprig_engine::tokenizer::{Specials, Tokenizer, TokenizerError};

const CHOICE_TRAIL: &str = "\n\nAnswer with the letter of the right choice.";
const RAW_CHOICE_TRAIL: &str = "\nAnswer:";

/// Encodes records of one task.
pub(super) struct Encoder<'t> {
    tokenizer: &'t Tokenizer,
    len: usize,
    raw: bool,
    /// Around a prompt that has a completion, or a text that has a label. Made when first needed: a file of plain
    /// texts does without a chat template.
    prompt: Option<Prompt>,
    labels: Option<Labels>,
    /// Token ids of the letters A to Z as answers to a question.
    letters: Vec<u32>,
}

impl<'t> Encoder<'t> {
    /// An encoder for completions, pairs of them, and plain texts.
    pub(super) fn lm(tokenizer: &'t Tokenizer, options: &LoadOptions) -> Self {
        Self {
            tokenizer,
            len: options.len,
            raw: options.raw,
            prompt: None,
            labels: None,
            letters: Vec::new(),
        }
    }

    /// An encoder for questions with choices.
    pub(super) fn choice(tokenizer: &'t Tokenizer, options: &LoadOptions) -> Result<Self, EncodeError> {
        let trail = if options.raw { RAW_CHOICE_TRAIL } else { CHOICE_TRAIL };
        let prompt = Prompt::new(tokenizer, options.raw, "", trail)?;
        let mut ids = Vec::new();
        for letter in letters(*CHOICES.end()) {
            let answer = tokenizer.encode(&prompt.answer(&letter), Specials::Plain);
            match answer[..] {
                [id] if !ids.contains(&id) && (id as usize) < options.rows => ids.push(id),
                _ => {
                    let found = format!("letter {letter} is not one token of this model");
                    return Err(Problem::new(
                        found,
                        format!("use {} with {{\"prompt\", \"completion\"}} records", Setting::Task.to("lm")),
                    )
                    .into());
                }
            }
        }
        Ok(Self { letters: ids, ..Self::lm(tokenizer, options) })
    }

    /// An encoder for texts with one of `labels`, asked by `prompt`.
    pub(super) fn label(
        tokenizer: &'t Tokenizer,
        options: &LoadOptions,
        prompt: Prompt,
        labels: Labels,
    ) -> Self {
        Self { prompt: Some(prompt), labels: Some(labels), ..Self::lm(tokenizer, options) }
    }

    /// The tokens that candidates of examples are taken from, from the first on.
    pub(super) fn candidates(&self) -> &[u32] {
        self.labels.as_ref().map_or(&self.letters, Labels::tokens)
    }

    /// Bytes of the words around a record's texts.
    pub(super) fn words(&self) -> usize {
        self.prompt.as_ref().map_or(CHOICE_TRAIL.len() + 4 * CHOICES.end(), Prompt::words)
    }

    pub(super) fn labels(&self) -> Option<&Labels> {
        self.labels.as_ref()
    }

    pub(super) fn into_labels(self) -> Option<Labels> {
        self.labels
    }

    pub(super) fn encode(&mut self, record: &Record) -> Result<Encoded, EncodeError> {
        match record {
            Record::Text(text) => self.text(text),
            Record::Completion { prompt, completion } => self.completion(prompt, completion),
            Record::Chat(turns) => self.chat(turns),
            Record::Labelled { text, label } => self.labelled(text, label),
            Record::Question { question, choices, answer } => self.question(question, choices, *answer),
            Record::Pair { prompt, chosen, rejected } => self.pair(prompt, [chosen, rejected]),
        }
    }

    /// The candidates are the labels' tokens; too long a text loses its tail.
    fn labelled(&mut self, text: &str, label: &str) -> Result<Encoded, EncodeError> {
        let labels = self.labels.as_ref();
        let Some(answer) = labels.and_then(|l| l.index(label)) else {
            let known = labels.map(Labels::told).unwrap_or_default();
            let found = format!("found {}, which is none of the labels in use", short(label));
            return Err(Problem::field("label", found, format!("use one of: {known}")).into());
        };
        let kind = Kind::Pick { candidates: self.candidates().len(), answer };
        let asked = self.ask(text)?;
        Ok(Encoded { tokens: asked.tokens, kind, cut: asked.cut })
    }

    /// The prompt that asks for the label of `text`.
    pub(super) fn ask(&mut self, text: &str) -> Result<prompt::Encoded, EncodeError> {
        let (tokenizer, len) = (self.tokenizer, self.len);
        let prompt = self.prompt()?;
        fits(prompt, 0, len)?;
        Ok(prompt.encode(tokenizer, text, Keep::Head, len)?)
    }

    /// Every token is a target; too long a text loses its tail.
    fn text(&self, text: &str) -> Result<Encoded, EncodeError> {
        let mut tokens: Vec<u32> = self.tokenizer.prefix().into_iter().collect();
        let room = self.len.saturating_sub(tokens.len());
        let (found, more) = self.tokenizer.encode_first(text, Specials::Parse, room);
        let cut = if more { self.tokenizer.count(text, Specials::Parse) - found.len() } else { 0 };
        tokens.extend(found);
        if tokens.len() < 2 {
            let found = format!("found {}, in which no token follows another", short(text));
            return Err(Problem::field("text", found, "write more text, or take the line out").into());
        }
        Ok(Encoded { tokens, kind: Kind::Lm { first: 1 }, cut })
    }

    /// The completion's tokens are the targets, in a chat with the token that ends the turn. When both do not fit,
    /// the prompt loses its beginning; when the completion alone does not, it loses its tail.
    fn completion(&mut self, prompt: &str, completion: &str) -> Result<Encoded, EncodeError> {
        let (tokenizer, len) = (self.tokenizer, self.len);
        let (targets, cut) = self.targets("completion", completion)?;
        let around = self.prompt()?;
        let asked = around.encode(tokenizer, prompt, Keep::Tail, len - targets.len())?;
        let mut tokens = asked.tokens;
        // The first token of all has none before it to be predicted from.
        let first = tokens.len().max(1);
        tokens.extend(targets);
        if tokens.len() < 2 {
            let remedy = "write a prompt, or a longer completion";
            return Err(
                Problem::field("prompt", "found an empty prompt before a single token", remedy).into()
            );
        }
        Ok(Encoded { tokens, kind: Kind::Lm { first }, cut: asked.cut + cut })
    }

    /// What the assistant says is the target, with the tokens that end its turns. A chat that is too long loses its end; one
    /// whose first answer would not be whole then is that answer behind what it answers, as a completion.
    fn chat(&mut self, turns: &[Turn]) -> Result<Encoded, EncodeError> {
        if self.raw {
            let remedy = format!("leave {} out, or write {{\"prompt\", \"completion\"}}", Setting::Raw);
            return Err(Problem::new("a chat without the words of a chat template", remedy).into());
        }
        let chat = Chat::new(self.tokenizer, turns, self.len)?;
        match chat.kind() {
            Some(kind) => Ok(Encoded { tokens: chat.tokens, kind, cut: chat.cut }),
            None => {
                let answer = turns.iter().position(|turn| turn.role == Role::Assistant).unwrap_or(0);
                let asked = turns[..answer].iter().rfind(|turn| turn.role == Role::User);
                let asked = asked.map_or("", |turn| &turn.content);
                let alone = self.completion(asked, &turns[answer].content)?;
                let cut = (chat.whole).saturating_sub(alone.tokens.len()).max(1);
                Ok(Encoded { cut, ..alone })
            }
        }
    }

    /// Both completions behind the same prompt, each with the token that ends the turn: the prompt loses its beginning by what
    /// the longer one takes.
    fn pair(&mut self, prompt: &str, completions: [&str; 2]) -> Result<Encoded, EncodeError> {
        let (tokenizer, len) = (self.tokenizer, self.len);
        let (chosen, cut) = self.targets("chosen", completions[0])?;
        let (rejected, more) = self.targets("rejected", completions[1])?;
        if chosen == rejected {
            let found = match cut + more {
                0 => "both completions are the same".to_owned(),
                _ => format!("both completions begin with the same {} tokens", chosen.len()),
            };
            let remedy = "write a completion that is worse than `chosen`, or take the line out";
            return Err(Problem::field("rejected", found, remedy).into());
        }
        let room = len - chosen.len().max(rejected.len());
        let asked = self.prompt()?.encode(tokenizer, prompt, Keep::Tail, room)?;
        if asked.tokens.is_empty() {
            let remedy = "write a prompt: its last token is what the first of a completion follows";
            return Err(Problem::field("prompt", "found an empty prompt", remedy).into());
        }
        let (first, second) = (asked.tokens.len(), asked.tokens.len() + chosen.len());
        let tokens = [asked.tokens, chosen, rejected].concat();
        Ok(Encoded { tokens, kind: Kind::Pair { first, second }, cut: asked.cut + cut + more })
    }

    /// The tokens of the completion in `field`, which leave room for the words around a prompt, and how many were cut off.
    fn targets(&mut self, field: &'static str, completion: &str) -> Result<(Vec<u32>, usize), EncodeError> {
        let (tokenizer, len) = (self.tokenizer, self.len);
        let (mut targets, more) = tokenizer.encode_first(completion, Specials::Parse, len);
        if !self.raw && !more {
            targets.extend(tokenizer.end_of_turn());
        }
        if targets.is_empty() {
            let remedy = "write the text to learn, or take the line out";
            return Err(Problem::field(field, "found an empty completion", remedy).into());
        }
        let around = self.prompt()?;
        fits(around, 1, len)?;
        let most = len - around.overhead().max(1);
        let all = if more { tokenizer.count(completion, Specials::Parse) } else { targets.len() };
        targets.truncate(most);
        let cut = all - targets.len();
        Ok((targets, cut))
    }

    /// The candidates are the letters; too long a question loses its beginning, since what is asked ends it.
    fn question(&self, question: &str, choices: &[String], answer: usize) -> Result<Encoded, EncodeError> {
        let lines: String = letters(choices.len())
            .iter()
            .zip(choices)
            .map(|(letter, choice)| format!("\n{letter}. {choice}"))
            .collect();
        let trail = if self.raw { RAW_CHOICE_TRAIL } else { CHOICE_TRAIL };
        let prompt = Prompt::new(self.tokenizer, self.raw, "", &format!("{lines}{trail}"))?;
        fits(&prompt, 0, self.len)?;
        let asked = prompt.encode(self.tokenizer, question, Keep::Tail, self.len)?;
        let kind = Kind::Pick { candidates: choices.len(), answer };
        Ok(Encoded { tokens: asked.tokens, kind, cut: asked.cut })
    }

    fn prompt(&mut self) -> Result<&Prompt, TokenizerError> {
        match self.prompt {
            Some(ref prompt) => Ok(prompt),
            None => Ok(self.prompt.insert(Prompt::new(self.tokenizer, self.raw, "", "")?)),
        }
    }
}

/// Refuses a record whose fixed part leaves no room for `more` tokens.
fn fits(prompt: &Prompt, more: usize, len: usize) -> Result<(), Problem> {
    let need = prompt.overhead() + more;
    if need <= len {
        return Ok(());
    }
    let found = format!("the prompt without the record's text takes {need} tokens of {len}");
    Err(Problem::new(found, format!("use {} or more", Setting::Len.to(need))))
}
