//! Conversations as chat files write them: `messages` of a role and a content, ShareGPT's `conversations` of a `from` and a
//! `value`, or either with the other's names.

use super::error::{Problem, short};
use super::fields::Value;
use serde::Deserialize;
use serde_json::value::RawValue;

/// Most turns of a conversation.
pub(super) const MAX_TURNS: usize = 1024;

/// Who says something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    System,
    User,
    Assistant,
}

/// What somebody says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Turn {
    pub(super) role: Role,
    pub(super) content: String,
}

/// A turn as it is written.
#[derive(Deserialize)]
struct Said<'a> {
    #[serde(alias = "from")]
    role: String,
    #[serde(borrow, alias = "value")]
    content: Option<&'a RawValue>,
}

/// A part of a content.
#[derive(Deserialize)]
struct Part {
    text: Option<String>,
}

impl Role {
    /// As chat templates call it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::User => "user",
            Self::Assistant => "assistant",
        }
    }

    fn of(name: &str) -> Option<Self> {
        match name {
            "system" | "developer" => Some(Self::System),
            "user" | "human" => Some(Self::User),
            "assistant" | "gpt" | "model" | "bot" | "chatgpt" => Some(Self::Assistant),
            _ => None,
        }
    }
}

/// The turns in `field`, up to the last that somebody can learn to say.
pub(super) fn turns(field: &'static str, value: Value<'_>) -> Result<Vec<Turn>, Problem> {
    let said: Vec<Said<'_>> = serde_json::from_str(value.get()).map_err(|e| {
        let told = e.to_string();
        let what = told.rsplit_once(" at line ").map_or(told.as_str(), |(what, _)| what);
        let remedy = "write an array of {\"role\", \"content\"} or {\"from\", \"value\"}";
        Problem::field(field, format!("not a list of messages: {what}"), remedy)
    })?;
    if said.len() > MAX_TURNS {
        let found = format!("found {} messages", said.len());
        return Err(Problem::field(field, found, format!("split it: {MAX_TURNS} are read")));
    }
    let mut turns = said.iter().map(|said| turn(field, said)).collect::<Result<Vec<_>, _>>()?;
    let Some(last) = turns.iter().rposition(|turn| turn.role == Role::Assistant) else {
        let found = "no message of the role assistant, which is what is learnt";
        return Err(Problem::field(field, found, "add the answer, or take the record out"));
    };
    turns.truncate(last + 1);
    Ok(turns)
}

fn turn(field: &'static str, said: &Said<'_>) -> Result<Turn, Problem> {
    let wrong = |found: String, remedy: &str| Problem::field(field, found, remedy);
    let Some(role) = Role::of(&said.role) else {
        let remedy = "the roles are system, user (human) and assistant (gpt); take other messages out";
        return Err(wrong(format!("found the role {}", short(&said.role)), remedy));
    };
    let who = role.name();
    let Some(content) = said.content else {
        let remedy = "write the text that was said; calls of tools are not read";
        return Err(wrong(format!("a message of the {who} has no content"), remedy));
    };
    let content = match serde_json::from_str::<String>(content.get()) {
        Ok(text) => text,
        Err(_) => {
            let parts: Option<Vec<Part>> = serde_json::from_str(content.get()).ok();
            let texts =
                parts.map(|parts| parts.into_iter().map(|part| part.text).collect::<Option<String>>());
            texts.flatten().ok_or_else(|| {
                let found = format!("{} for what the {who} says", Value::Json(content).found());
                wrong(found, "write text; pictures and other parts are not read")
            })?
        }
    };
    if role == Role::Assistant && content.trim().is_empty() {
        return Err(wrong(
            "the assistant says nothing".to_owned(),
            "write its answer, or take the message out",
        ));
    }
    Ok(Turn { role, content })
}
