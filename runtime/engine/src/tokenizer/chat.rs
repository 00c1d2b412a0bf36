//! A model's own chat template: from messages to the text that it was trained to see.

use super::{TokenizerError, methods};
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

/// A template may take this many steps of the template engine for each message (SmolLM2's takes about 40), so
/// that a hostile one ends.
const FUEL_PER_MESSAGE: u64 = 100_000;

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
        let compiled = syntax.and_then(|syntax| {
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
        environment.set_fuel(Some(FUEL_PER_MESSAGE * (1 + messages.len() as u64)));
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

fn explain(error: &minijinja::Error) -> String {
    match error.line() {
        Some(line) => format!("{error} (template line {line})"),
        None => error.to_string(),
    }
}
