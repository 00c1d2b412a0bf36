//! `sprig chat`: a conversation in the terminal, or a line a turn through a pipe.

mod history;
mod said;

use crate::args::ChatArgs;
use crate::exit::{Exit, Failure};
use crate::interrupt::Interrupt;
use crate::output::{Output, line, problem};
use crate::worn::Worn;
use history::{History, Told};
use said::{MOST_LINE, Said};
use serde_json::json;
use sprig_budget::{Bytes, alloc, process};
use sprig_engine::adapter::Adapter;
use sprig_engine::model::Generator;
use sprig_engine::tokenizer::{Message, Tokenizer};
use sprig_learn::sampling::{Chooser, Decoding, Stops, Writing};
use sprig_learn::workload::Workload;
use sprig_run::Base;
use std::io::{IsTerminal, Write, stdin, stdout};
use std::path::{Path, PathBuf};

const HELP: &str = "/adapter FILE  answer with another adapter; without a file with the model as it is
/reset         forget what was said
/help          this
/bye           leave, as Ctrl-D does; Ctrl-C stops an answer
//...           a message that begins with /";

pub fn run(args: &ChatArgs) -> Result<Exit, Failure> {
    let decoding = args.decoding.asked().map_err(|e| Failure::new(Exit::Usage, e))?;
    let terminal = stdin().is_terminal();
    let mut chat = Chat {
        args,
        decoding,
        history: History::new(args.system.clone()),
        interrupt: if terminal { Interrupt::of_answers() } else { Interrupt::listen() },
        output: Output::new(args.model.json),
        terminal: terminal && !args.model.json,
        turn: 0,
        before: None,
    };
    let mut adapter = args.adapter.clone();
    loop {
        match chat.wearing(adapter.as_deref()) {
            Ok(Left::Over(exit)) => return Ok(exit),
            Ok(Left::For(other)) => chat.before = Some(std::mem::replace(&mut adapter, other)),
            // What cannot be worn is not; what was worn before can.
            Err(failure) => match chat.before.take() {
                Some(worn) => {
                    chat.wrong(&failure.to_string())?;
                    adapter = worn;
                }
                None => return Err(failure),
            },
        }
    }
}

/// How a part of the conversation ended.
enum Left {
    /// With all of it.
    Over(Exit),
    /// For another adapter.
    For(Option<PathBuf>),
}

/// A conversation, whatever the model wears.
struct Chat<'a> {
    args: &'a ChatArgs,
    decoding: (Decoding, Stops),
    history: History,
    interrupt: Interrupt,
    output: Output,
    /// Whether somebody sits there.
    terminal: bool,
    /// Questions so far: each is drawn for by a seed of its own.
    turn: u64,
    /// What was worn before, as long as it is not known whether something else can be.
    before: Option<Option<PathBuf>>,
}

/// What answers, and the tokens that it has read.
struct Speaker<'m> {
    generator: Generator<'m>,
    chooser: Chooser,
    tokenizer: &'m Tokenizer,
    context: usize,
    read: Vec<u32>,
}

impl Chat<'_> {
    /// The conversation as long as the model wears one adapter, planned for it.
    fn wearing(&mut self, adapter: Option<&Path>) -> Result<Left, Failure> {
        let (args, map) = (self.args, self.args.model.open()?);
        let base = Base::open(&map)?;
        let worn = Worn::open(adapter, &Default::default(), &base)?;
        let tokenizer = base.tokenizer()?;
        let context = (args.context as usize).min(base.geometry.context);
        let work = Workload::generation(worn.adapted(&base), context, args.model.means());
        let vocabulary = base.geometry.vocabulary;
        // A line, and the conversation as text and as tokens while it is told: of a context 8 bytes and 4 a token, twice.
        let talk = Bytes((4 * MOST_LINE + 24 * context) as u64);
        let held = vec![("choice of tokens", Chooser::bytes(vocabulary)), ("conversation", talk)];
        let work = Workload { held_elsewhere: held, ..work };
        let planned = base.plan(work, args.model.budget()?, None)?;
        let engine = base.engine(&planned)?;
        let adapter_read: Option<Adapter> = worn.load(&engine)?;
        let generator =
            Generator::new(&engine.model, adapter_read.as_ref(), &engine.ctx, context, !args.exact)?;
        // A model without a template is told of before anybody has said a word.
        tokenizer.chat(&[Message { role: "user", content: "a" }], true)?;
        self.before = None;
        let event = json!({
            "event": "chat", "adapter": adapter, "context": context, "plan_bytes": planned.plan.total(),
            "budget_bytes": planned.plan.budget,
        });
        self.tell(event, || {
            let with = adapter.map(|path| format!(" with {}", path.display())).unwrap_or_default();
            format!(
                "{}{with}, {context} tokens of conversation; /help for commands",
                args.model.model.display()
            )
        })?;
        let chooser = Chooser::new(vocabulary);
        let mut speaker = Speaker { generator, chooser, tokenizer: &tokenizer, context, read: Vec::new() };
        loop {
            if self.terminal {
                let _ = write!(stdout(), "> ").and_then(|()| stdout().flush());
            }
            let said = Said::read(&mut stdin().lock());
            let said = said.map_err(|e| Failure::io("read", Path::new("standard input"), e))?;
            if !self.terminal && self.interrupt.raised() {
                return Ok(Left::Over(Exit::Interrupted));
            }
            match said {
                None | Some(Said::Bye) => return Ok(Left::Over(Exit::Done)),
                Some(Said::Adapter(other)) => return Ok(Left::For(other)),
                Some(Said::Help) => {
                    self.tell(json!({ "event": "help", "text": HELP }), || HELP.to_owned())?
                }
                Some(Said::Reset) => {
                    self.history.reset();
                    self.tell(json!({ "event": "reset" }), || "forgotten".to_owned())?;
                }
                Some(Said::Wrong(why)) => self.wrong(&why)?,
                Some(Said::Message(text)) => {
                    self.answer(&mut speaker, text)?;
                    if !self.terminal && self.interrupt.raised() {
                        return Ok(Left::Over(Exit::Interrupted));
                    }
                }
            }
        }
    }

    /// Answers a message.
    fn answer(&mut self, speaker: &mut Speaker<'_>, text: String) -> Result<(), Failure> {
        self.history.say(text);
        let most = (self.args.max_tokens as usize).min(speaker.context / 2);
        let room = speaker.context - most;
        let Some(Told { tokens, dropped }) = self.history.tell(speaker.tokenizer, room)? else {
            self.history.unsay();
            return self.wrong(&format!(
                "the message is longer than the {room} tokens that {} of conversation leave beside an answer of {most}; \
                 shorten it, or begin with a larger --context",
                speaker.context
            ));
        };
        if dropped > 0 {
            let event = json!({ "event": "dropped", "turns": dropped });
            self.tell(event, || {
                format!("(the oldest {dropped} turns are dropped: no room is left for them)")
            })?;
        }
        self.interrupt.lower();
        let (how, stops) = self.decoding.clone();
        let how = Decoding { seed: how.seed.wrapping_add(self.turn), ..how };
        self.turn += 1;
        let (written, end, count) = self.write(speaker, &tokens, (how, stops), most as u32)?;
        let event = json!({
            "event": "answer", "text": written, "finish_reason": end, "prompt_tokens": tokens.len(),
            "completion_tokens": count, "peak_rss_bytes": process::status().peak_rss,
        });
        self.history.say(written);
        self.output.event(event, || None);
        Ok(())
    }

    /// Writes an answer as it comes; its text, why it ended, and its tokens.
    fn write(
        &self,
        speaker: &mut Speaker<'_>,
        tokens: &[u32],
        how: (Decoding, Stops),
        most: u32,
    ) -> Result<(String, &'static str, u32), Failure> {
        speaker.read(tokens)?;
        let Speaker { generator, chooser, tokenizer, read, .. } = speaker;
        let mut writing = Writing::begin(tokenizer, chooser, how, tokens, most);
        let (mut text, mut end) = (String::new(), "interrupted");
        while !self.interrupt.raised() {
            let step = writing.step(generator.logits());
            self.show(&step.text);
            text.push_str(&step.text);
            alloc::check()?;
            if let Some(why) = step.end {
                end = why.name();
                break;
            }
            generator.feed(&[step.token])?;
            read.push(step.token);
        }
        if end == "interrupted" {
            let rest = writing.rest();
            self.show(&rest);
            text.push_str(&rest);
        }
        self.show("\n");
        Ok((text, end, writing.tokens()))
    }

    fn show(&self, text: &str) {
        if !self.args.model.json {
            let mut stdout = stdout();
            // Nobody reads on: the next line finds that out.
            let _ = write!(stdout, "{text}").and_then(|()| stdout.flush());
        }
    }

    /// Says something that is no answer: beside the answers.
    fn tell(&self, event: serde_json::Value, text: impl FnOnce() -> String) -> Result<(), Failure> {
        if self.args.model.json {
            return line(event);
        }
        problem(text());
        Ok(())
    }

    fn wrong(&self, why: &str) -> Result<(), Failure> {
        self.tell(json!({ "event": "refused", "reason": why }), || why.to_owned())
    }
}

impl Speaker<'_> {
    /// Reads what of `tokens` was not read yet; at least the last, whose logits are wanted.
    fn read(&mut self, tokens: &[u32]) -> Result<(), Failure> {
        let same = self.read.iter().zip(tokens).take_while(|(a, b)| a == b).count();
        let same = same.min(tokens.len().saturating_sub(1));
        self.generator.rewind(same);
        self.read.truncate(same);
        self.generator.feed(&tokens[same..])?;
        self.read.extend_from_slice(&tokens[same..]);
        Ok(())
    }
}
