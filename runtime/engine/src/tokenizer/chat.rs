//! A model's own chat template: from messages to the text that it was trained to see.

use super::{TokenizerError, methods, shallow};
use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, ErrorKind, context};

/// One turn of a conversation.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// `system`, `user` or `assistant`.
    pub role: &'a str,
    /// What was said.
    pub content: &'a str,
}

/// Steps of the template engine, each of which also pays for 64 bytes that are made, so that a hostile template ends in
/// little time and memory (a conversation of ten short messages: 320 KiB). The templates of four families
/// (`tests/tests/chats.rs`) take 40 to 80 for the first message, at most 60 for each other and 0.08 for a byte that is said.
const FUEL: u64 = 2_000;
const FUEL_PER_MESSAGE: u64 = 300;
const BYTES_PER_FUEL: u64 = 4;

const NAME: &str = "chat";

/// A model's chat template with the token texts it may name.
pub(super) struct ChatTemplate {
    /// The compiled template, or why it does not compile.
    environment: Result<Environment<'static>, String>,
    bos: String,
    eos: String,
}

impl ChatTemplate {
    pub(super) fn new(template: String, bos: String, eos: String) -> Self {
        let mut environment = Environment::new();
        // Model templates are written for these settings.
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
        environment.add_function("raise_exception", |why: String| -> Result<String, minijinja::Error> {
            Err(minijinja::Error::new(ErrorKind::InvalidOperation, why))
        });
        environment.set_unknown_method_callback(methods::call);
        shallow::limit(&mut environment);
        let compiled = syntax.and_then(|syntax| {
            let template = shallow::guard(template, syntax.clone())?;
            environment.set_syntax(syntax);
            environment.add_template_owned(NAME, template)
        });
        Self { environment: compiled.map(|()| environment).map_err(|e| explain(&e)), bos, eos }
    }

    pub(super) fn render(
        &self,
        messages: &[Message<'_>],
        generation: bool,
    ) -> Result<String, TokenizerError> {
        let fail = |why| TokenizerError::ChatTemplate { why };
        let environment = self.environment.as_ref().map_err(|why| fail(why.clone()))?;
        let mut environment = environment.clone();
        environment.set_fuel(Some(fuel(messages)));
        let messages: Vec<_> =
            messages.iter().map(|m| context! { role => m.role, content => m.content }).collect();
        let template = environment.get_template(NAME).map_err(|e| fail(explain(&e)))?;
        template
            .render(context! {
                messages,
                add_generation_prompt => generation,
                bos_token => &self.bos,
                eos_token => &self.eos,
            })
            .map_err(|e| fail(explain(&e)))
    }
}

fn fuel(messages: &[Message<'_>]) -> u64 {
    let bytes: usize = messages.iter().map(|message| message.content.len()).sum();
    FUEL + FUEL_PER_MESSAGE * messages.len() as u64 + bytes as u64 / BYTES_PER_FUEL
}

fn explain(error: &minijinja::Error) -> String {
    match error.line() {
        Some(line) => format!("{error} (template line {line})"),
        None => error.to_string(),
    }
}
