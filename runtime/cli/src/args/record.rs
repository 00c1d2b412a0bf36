//! How a row of data is read.

use super::choice::choice;
use clap::Args;
use sprig_learn::data::{Columns, LabelStyle, Task};

/// How records become tokens.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Records")]
pub struct RecordArgs {
    /// What is learnt: lm = next token of answers in {messages}, {conversations}, {instruction, input, output} or {prompt,
    /// completion}, or of {text}; choice = {question, choices, answer}; label = {text, label}; pair = {prompt, chosen, rejected}
    #[arg(long, value_parser = choice::<Task>())]
    pub task: Task,
    /// The field or column that is the text, where it is not called text
    #[arg(long, value_name = "NAME")]
    pub text_column: Option<String>,
    /// The field or column that is the label, where it is not called label
    #[arg(long, value_name = "NAME")]
    pub label_column: Option<String>,
    /// Do not wrap prompts in the model's chat template
    #[arg(long)]
    pub raw: bool,
    /// Words around a text to be labelled; {text} and {options} are filled in
    #[arg(long, value_name = "TEXT")]
    pub template: Option<String>,
    /// What stands for a label in the answer [default: word]
    #[arg(long, value_parser = choice::<LabelStyle>())]
    pub label_style: Option<LabelStyle>,
    /// All labels there are, of which data may lack some [default: those of the adapter or of the data]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    pub labels: Vec<String>,
    /// Words that stand for labels: name=word,name=word
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = parse_pair)]
    pub label_tokens: Vec<(String, String)>,
}

impl RecordArgs {
    /// What the data call text and label.
    pub fn columns(&self) -> Columns {
        Columns { text: self.text_column.clone(), label: self.label_column.clone() }
    }
}

fn parse_pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, word)) if !name.is_empty() && !word.is_empty() => Ok((name.to_owned(), word.to_owned())),
        _ => Err(format!("`{text}` is not name=word")),
    }
}
