//! `sprig infer --data`: the prompts of files answered one after another, in a file that a run which was stopped goes on with.

use super::answers::Answers;
use crate::args::InferArgs;
use crate::exit::{Exit, Failure};
use crate::files::{Content, Files, all, beside, check_writable, shown};
use crate::interrupt::Interrupt;
use crate::output::Output;
use crate::worn::Worn;
use serde_json::{Value, json};
use sprig_budget::{Bytes, alloc, process};
use sprig_engine::model::Generator;
use sprig_engine::tokenizer::Tokenizer;
use sprig_learn::data::{MAX_TEXT, Texts, prompt};
use sprig_learn::sampling::{Chooser, Decoding, Stops, Writing};
use sprig_learn::workload::Workload;
use sprig_run::Base;
use std::path::{Path, PathBuf};

/// Answers all of `args.data` into `out`; each as it would be answered alone.
pub fn run(args: &InferArgs, decoding: &(Decoding, Stops), out: &Path) -> Result<Exit, Failure> {
    check_files(args, out)?;
    let interrupt = Interrupt::listen();
    let map = args.model.open()?;
    let base = Base::open(&map)?;
    let worn = Worn::open(args.adapter.as_deref(), &args.personal, &base)?;
    let tokenizer = base.tokenizer()?;
    let files = all(&args.data)?;
    let (rows, capacity) = measure(args, &files, &tokenizer, base.geometry.context)?;
    let work = Workload::generation(worn.adapted(&base), capacity, args.model.means());
    let held_elsewhere = vec![
        ("choice of tokens", Chooser::bytes(base.geometry.vocabulary)),
        ("texts under way", Bytes((Texts::BYTES + 3 * MAX_TEXT) as u64)),
    ];
    let planned = base.plan(Workload { held_elsewhere, ..work }, args.model.budget()?, None)?;
    let engine = base.engine(&planned)?;
    let adapter = worn.load(&engine)?;
    let generator = Generator::new(&engine.model, adapter.as_ref(), &engine.ctx, capacity, !args.exact)?;
    let chooser = Chooser::new(base.geometry.vocabulary);
    let writer = Writer { args, tokenizer: &tokenizer, decoding, generator, chooser };
    writer.answer(&files, rows, out, &interrupt)
}

/// Rows of all files, each of which has a prompt, and the tokens of the longest with its answer: what is wrong with one is told
/// before any is answered.
fn measure(
    args: &InferArgs,
    files: &[PathBuf],
    tokenizer: &Tokenizer,
    context: usize,
) -> Result<(u64, usize), Failure> {
    let (mut rows, mut longest) = (0, 0);
    for path in files {
        let mut texts = Texts::open(path, args.columns())?;
        while let Some(text) = texts.next()? {
            rows += 1;
            let tokens = prompt(tokenizer, args.raw, &text)?.len();
            let at = || format!("{}: row {rows}", path.display());
            if tokens == 0 {
                let message = format!("{}: the prompt is empty; write one, or take the row out", at());
                return Err(Failure::new(Exit::BadFile, message));
            }
            let most = capacity(tokens, args.max_tokens, context);
            longest = most.map_err(|e| Failure::new(e.exit, format!("{}: {e}", at())))?.max(longest);
        }
    }
    match rows {
        0 => Err(Failure::new(Exit::BadFile, format!("{}: no rows", shown(&args.data)))),
        _ => Ok((rows, longest)),
    }
}

/// Who writes answers.
struct Writer<'w> {
    args: &'w InferArgs,
    tokenizer: &'w Tokenizer,
    decoding: &'w (Decoding, Stops),
    generator: Generator<'w>,
    chooser: Chooser,
}

impl Writer<'_> {
    fn answer(
        mut self,
        files: &[PathBuf],
        rows: u64,
        out: &Path,
        interrupt: &Interrupt,
    ) -> Result<Exit, Failure> {
        let mut output = Output::new(self.args.model.json);
        let mut answers = Answers::open(&beside(out, "part"))?;
        let known = answers.rows();
        answers.tell(&output);
        output.begin("answering", rows, known);
        let mut row = 0;
        for path in files {
            let mut texts = Texts::open(path, self.args.columns())?;
            while let Some(text) = texts.next()? {
                row += 1;
                // The last that was answered is asked once more: it tells whether these are the same prompts and settings.
                if row < known {
                    continue;
                }
                let answer = self.write(row, &text)?;
                answers.take(row, &answer)?;
                answers.flush()?;
                output.at(row, || "answering".to_owned());
                if interrupt.raised() {
                    output.end();
                    return Err(answers.interrupted());
                }
            }
        }
        output.end();
        answers.finish(row, out)?;
        let event =
            json!({ "event": "done", "rows": row, "out": out, "peak_rss_bytes": process::status().peak_rss });
        output.event(event, || Some(format!("wrote {}: {row} answers", out.display())));
        Ok(Exit::Done)
    }

    /// The answer to one prompt.
    fn write(&mut self, row: u64, text: &str) -> Result<Value, Failure> {
        let tokens = prompt(self.tokenizer, self.args.raw, text)?;
        self.generator.restart();
        self.generator.feed(&tokens)?;
        let (decoding, most) = (self.decoding.clone(), self.args.max_tokens);
        let mut writing = Writing::begin(self.tokenizer, &mut self.chooser, decoding, &tokens, most);
        let mut written = String::new();
        let end = loop {
            let step = writing.step(self.generator.logits());
            written.push_str(&step.text);
            alloc::check()?;
            if let Some(end) = step.end {
                break end.name();
            }
            self.generator.feed(&[step.token])?;
        };
        Ok(
            json!({ "row": row, "prompt": text, "text": written, "tokens": writing.tokens(), "finish_reason": end }),
        )
    }
}

/// Tokens of prompt and answer in all, which have to fit the model's context.
pub fn capacity(have: usize, more: u32, limit: usize) -> Result<usize, Failure> {
    let capacity = have + more as usize;
    if capacity > limit {
        let and = if more > 0 { format!(" and --max-tokens {more}") } else { String::new() };
        let message = format!("a prompt of {have} tokens{and} exceeds the model's context of {limit} tokens");
        return Err(Failure::new(Exit::Usage, message));
    }
    Ok(capacity)
}

/// No result over what is read, nor over another.
fn check_files(args: &InferArgs, out: &Path) -> Result<(), Failure> {
    Files::new()
        .reads("--model", args.model.model.as_path())
        .reads("--adapter", args.adapter.as_deref())
        .reads("--personal", args.personal.personal.as_deref())
        .reads_all("--data", &args.data)
        .writes("--out", out, Content::Answers)
        .writes("answers so far", beside(out, "part").as_path(), Content::Answers)
        .check()?;
    check_writable(out, 0)
}
