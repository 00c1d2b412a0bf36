//! Keeps the values of a chat template shallow and small. The template engine lets go of lists within lists, compares them
//! and writes them by recursion, up to 1.2 KB of stack a level, and counts its steps but not their depth: a template that
//! puts a list into itself in a loop fills a stack. And it counts what a list makes as a text once that is made:
//! `messages * 4200000` took five minutes and 820 MB. So what is kept (`set`) is bounded, lists are not multiplied, and an
//! expression, its filters, and loops and macros within each other can add little to that.

use minijinja::machinery::{Span, Token, tokenize};
use minijinja::syntax::SyntaxConfig;
use minijinja::value::ValueKind;
use minijinja::{Environment, Error, ErrorKind, Value};

/// Levels of lists and maps of a value that is kept; a conversation has two.
const MOST_LEVELS: usize = 16;
/// Values within one that is kept, 64 bytes of a text being one (4 MiB): each is looked at whenever it is kept.
const MOST_VALUES: usize = 1 << 16;
/// Brackets within brackets, of any kind, in an expression; the templates of four families (`tests/tests/chats.rs`) have
/// two.
const MOST_BRACKETS: usize = 8;
/// Tokens of an expression or a statement; those templates have up to 40.
const MOST_TOKENS: usize = 1_000;
/// `elif`s of a template, which are compiled by recursion; a list of roles has a few.
const MOST_ELIFS: usize = 200;
/// Loops, `with` blocks and macros (four each) within each other; those templates have two. With two levels for each
/// bracket (`{'a': x}|items`) and 16: 336 levels, 400 KB of stack.
const MOST_FRAMES: usize = 20;
/// Bytes of a template; those have 1 KB, the longest with tools a few ten.
const LONGEST: usize = 128 << 10;

/// Filters that put values one level deeper in a word, or one behind the other without end; none of those templates uses
/// them.
const REMOVED: [&str; 6] = ["batch", "slice", "groupby", "zip", "chain", "pprint"];

/// Behind what a variable or a namespace keeps, and behind what is multiplied: the filters that look at it.
const KEPT: &str = ")|shallow";
const ATTRIBUTE: &str = ")|attribute";
const MULTIPLIED: &str = "|single";

/// Limits what templates of this environment can do in one expression.
pub(super) fn limit(environment: &mut Environment<'_>) {
    environment.set_recursion_limit(MOST_FRAMES);
    for filter in REMOVED {
        environment.remove_filter(filter);
    }
    environment.remove_global("debug");
    environment.add_filter("shallow", |value: Value| match is_shallow(&value) {
        true => Ok(value),
        false => Err(refused(format!(
            "only values are kept, of at most {MOST_LEVELS} levels of lists and {MOST_VALUES} values in all"
        ))),
    });
    // A namespace in its own attribute has no end of levels, and nobody who looks before it is there sees that.
    environment.add_filter("attribute", |value: Value| match is_shallow(&value) && !is_namespace(&value) {
        true => Ok(value),
        false => Err(refused(format!(
            "a namespace keeps no namespaces, and at most {MOST_LEVELS} levels of lists and {MOST_VALUES} values in all"
        ))),
    });
    environment.add_filter("single", |value: Value| match is_compound(&value) {
        false => Ok(value),
        true => Err(refused("lists are not multiplied".to_owned())),
    });
}

/// The template with a look at everything that it keeps or multiplies: `{% set a.b = c * 2 %}` becomes
/// `{% set a.b = (c|single * 2)|attribute %}`.
pub(super) fn guard(template: String, syntax: SyntaxConfig) -> Result<String, Error> {
    if template.len() > LONGEST {
        return Err(refused(format!("it has {} bytes, of which {LONGEST} are read", template.len())));
    }
    let mut out = String::with_capacity(template.len() + 64);
    let mut copied = 0;
    let mut put = |out: &mut String, at: u32, text: &str| {
        // Spans lie in the template, at its characters.
        out.push_str(template.get(copied..at as usize).unwrap_or_default());
        out.push_str(text);
        copied = at as usize;
    };
    let (mut block, mut last, mut elifs) = (Block::default(), Span::default(), 0);
    for token in tokenize(&template, false, syntax) {
        let (token, span) = token?;
        put(&mut out, last.end_offset, block.before(&token));
        put(&mut out, span.end_offset, block.take(&token)?);
        last = span;
        elifs += usize::from(matches!(token, Token::Ident("elif")));
    }
    if elifs > MOST_ELIFS {
        return Err(refused(format!("it has {elifs} times `elif`, at most {MOST_ELIFS} are read")));
    }
    put(&mut out, template.len() as u32, "");
    Ok(out)
}

/// Where in a block of a template its tokens are.
#[derive(Default)]
struct Block {
    /// Tokens since it began.
    tokens: usize,
    /// Brackets that are open.
    brackets: usize,
    /// Whether the last was a bracket or a comma, behind which `*` spreads a list over arguments.
    begins: bool,
    /// Whether the last was a `*` that multiplies.
    times: bool,
    /// Whether what it keeps is an attribute of a namespace, or one of several.
    attribute: bool,
    keeps: Keeps,
}

/// How far a block says that it keeps a value.
#[derive(Default, PartialEq)]
enum Keeps {
    #[default]
    Nothing,
    /// It has said `set`.
    Target,
    /// What follows is the value.
    Value,
}

impl Block {
    /// What is to stand before this token, behind the last.
    fn before(&self, token: &Token<'_>) -> &'static str {
        match token {
            Token::BlockEnd if self.keeps == Keeps::Value && self.attribute => ATTRIBUTE,
            Token::BlockEnd if self.keeps == Keeps::Value => KEPT,
            Token::Mul if !self.begins => MULTIPLIED,
            _ => "",
        }
    }

    /// Takes the next token; what is to stand behind it.
    fn take(&mut self, token: &Token<'_>) -> Result<&'static str, Error> {
        if self.times && !matches!(token, Token::Int(_) | Token::Float(_)) {
            return Err(refused(
                "it multiplies by what is no number; write the number behind the `*`".to_owned(),
            ));
        }
        self.tokens += 1;
        self.times = matches!(token, Token::Mul) && !self.begins;
        self.begins = matches!(token, Token::ParenOpen | Token::Comma);
        match token {
            Token::BlockStart | Token::VariableStart => *self = Self::default(),
            Token::Ident("set") if self.tokens == 1 => self.keeps = Keeps::Target,
            Token::Dot | Token::Comma if self.keeps == Keeps::Target => self.attribute = true,
            Token::Assign if self.keeps == Keeps::Target && self.brackets == 0 => {
                self.keeps = Keeps::Value;
                return Ok("(");
            }
            Token::BracketOpen | Token::ParenOpen | Token::BraceOpen => self.brackets += 1,
            Token::BracketClose | Token::ParenClose | Token::BraceClose => {
                self.brackets = self.brackets.saturating_sub(1);
            }
            _ => {}
        }
        if self.brackets > MOST_BRACKETS {
            return Err(refused(format!("it has more than {MOST_BRACKETS} brackets within each other")));
        }
        if self.tokens > MOST_TOKENS {
            return Err(refused(format!("it has a block of more than {MOST_TOKENS} words and signs")));
        }
        Ok("")
    }
}

/// Whether `value` has few levels and values, and no namespace within it.
fn is_shallow(value: &Value) -> bool {
    levels(value, MOST_LEVELS, &mut MOST_VALUES.clone())
}

fn is_namespace(value: &Value) -> bool {
    value.as_object().is_some_and(|object| object.type_name().ends_with("::Namespace"))
}

/// Whether `value` has at most that many levels of lists and maps, and values within it.
fn levels(value: &Value, most: usize, values: &mut usize) -> bool {
    let counted = 1 + value.as_str().map_or(0, str::len) / 64;
    let Some(left) = values.checked_sub(counted) else { return false };
    *values = left;
    if !is_compound(value) {
        return true;
    }
    let Some(most) = most.checked_sub(1) else { return false };
    let map = value.kind() == ValueKind::Map;
    // What does not tell what it holds is not kept. Macros say theirs: they hold nothing of where they were made, but its
    // number.
    let Ok(mut within) = value.try_iter() else { return false };
    within.all(|item| {
        let held = if map { value.get_item(&item).unwrap_or_default() } else { Value::UNDEFINED };
        let mut small = |value| !is_namespace(value) && levels(value, most, values);
        small(&item) && small(&held)
    })
}

/// Whether `value` is made of others.
fn is_compound(value: &Value) -> bool {
    matches!(value.kind(), ValueKind::Seq | ValueKind::Map | ValueKind::Iterable | ValueKind::Plain)
}

fn refused(why: String) -> Error {
    Error::new(ErrorKind::InvalidOperation, why)
}
