//! `sprig model inspect`: what a model file is, and what can be learnt with it in how much memory.

use super::fits::Fits;
use crate::args::{InspectArgs, InspectingArgs, ModelCommand};
use crate::exit::{Exit, Failure};
use crate::open;
use crate::output::line;
use serde::Serialize;
use serde_json::json;
use sprig_budget::Bytes;
use sprig_budget::process::memory_at_hand;
use sprig_engine::gguf::Gguf;
use sprig_engine::tokenizer::Message;
use sprig_run::{Base, threads};
use std::collections::BTreeMap;

/// Budgets that are looked at where none is named.
const BUDGETS: [Bytes; 8] = [
    Bytes::mib(12),
    Bytes::mib(24),
    Bytes::mib(64),
    Bytes::mib(128),
    Bytes::mib(256),
    Bytes::mib(512),
    Bytes::mib(1024),
    Bytes::mib(4096),
];

pub fn run(args: &InspectingArgs) -> Result<Exit, Failure> {
    let ModelCommand::Inspect(args) = &args.what;
    inspect(args)
}

fn inspect(args: &InspectArgs) -> Result<Exit, Failure> {
    let map = open::model(&args.model)?;
    let base = Base::open(&map)?;
    let described = Described::of(&base)?;
    let budgets = match args.budget {
        Some(size) => vec![size.resolve(memory_at_hand().unwrap_or_default())],
        None => BUDGETS.to_vec(),
    };
    let threads = threads(None);
    let fits = budgets.into_iter().map(|budget| Ok((budget, Fits::of(&args.model, budget, threads)?)));
    let fits: Vec<(Bytes, Fits)> = fits.collect::<Result<_, Failure>>()?;
    if args.json {
        let fits = fits.iter().map(|(budget, fits)| json!({ "budget_bytes": budget, "fits": fits }));
        let fits: Vec<_> = fits.collect();
        let mut value = serde_json::to_value(&described).map_err(|e| Failure::new(Exit::Bug, e))?;
        value["file"] = json!(args.model);
        value["fits"] = json!(fits);
        line(value)?;
        return Ok(Exit::Done);
    }
    described.lines().into_iter().try_for_each(line)?;
    match (&fits[..], args.budget) {
        ([(_, fits)], Some(_)) => fits.lines().into_iter().try_for_each(line)?,
        _ => roomiest(&fits).into_iter().try_for_each(line)?,
    }
    Ok(Exit::Done)
}

/// The roomiest way in each budget, and the smallest budget of all.
fn roomiest(fits: &[(Bytes, Fits)]) -> Vec<String> {
    let smallest = fits.iter().map(|(_, fits)| fits.smallest()).min().unwrap_or_default();
    let learns =
        format!("learns    from {smallest} on; in one size, or on a board: --budget, sprig plan --board");
    let rows = fits.iter().filter_map(|(budget, fits)| Some((budget, fits.roomiest()?)));
    std::iter::once(learns)
        .chain(rows.map(|(budget, way)| format!("          {:>9}  {way}", budget.to_string())))
        .collect()
}

/// A model file, in figures.
#[derive(Serialize)]
struct Described {
    name: Option<String>,
    license: Option<String>,
    architecture: &'static str,
    parameters: u64,
    file_bytes: Bytes,
    blocks: usize,
    width: usize,
    feed_forward: usize,
    heads: usize,
    kv_heads: usize,
    head_width: usize,
    vocabulary: usize,
    /// Tokens of the longest text that it was made for.
    context: usize,
    /// Positions that some blocks look back, where not all see everything.
    window: Option<usize>,
    types: BTreeMap<String, OfType>,
    tokenizer: String,
    /// Heap bytes of the tokenizer.
    tokenizer_bytes: Bytes,
    /// What is wrong with the chat template; none where it can be used.
    chat_problem: Option<String>,
}

/// The tensors of a type.
#[derive(Default, Serialize)]
struct OfType {
    tensors: usize,
    bytes: Bytes,
}

impl Described {
    fn of(base: &Base<'_>) -> Result<Self, Failure> {
        let (gguf, g): (&Gguf<'_>, _) = (&base.gguf, &base.geometry);
        let mut types = BTreeMap::<String, OfType>::new();
        for tensor in gguf.tensors() {
            let of = types.entry(tensor.ty.to_string()).or_default();
            of.tensors += 1;
            of.bytes += Bytes(tensor.bytes().unwrap_or_default());
        }
        let text = |key: &str| gguf.str(key).ok().flatten().map(str::to_owned);
        let kinds = ["tokenizer.ggml.model", "tokenizer.ggml.pre"].into_iter().filter_map(text);
        let tokenizer = base.tokenizer()?;
        let hello = [Message { role: "user", content: "hello" }];
        Ok(Self {
            name: text("general.name"),
            license: text("general.license"),
            architecture: g.architecture(),
            parameters: gguf.tensors().map(|tensor| tensor.elements() as u64).sum(),
            file_bytes: Bytes(base.map.bytes().len() as u64),
            blocks: g.blocks,
            width: g.width,
            feed_forward: g.ffn,
            heads: g.heads,
            kv_heads: g.kv_heads,
            head_width: g.head_dim,
            vocabulary: g.vocabulary,
            context: g.context,
            window: g.window.as_ref().map(|window| window.positions),
            types,
            tokenizer: kinds.collect::<Vec<_>>().join(", "),
            tokenizer_bytes: base.tokenizer_bytes(),
            chat_problem: tokenizer.chat(&hello, true).err().map(|e| e.to_string()),
        })
    }

    fn lines(&self) -> Vec<String> {
        let name = self.name.as_deref().unwrap_or("a model without a name");
        let license = self.license.as_deref().unwrap_or("none named");
        let types = self.types.iter().map(|(name, of)| format!("{name} {} in {}", of.bytes, of.tensors));
        let window = self.window.map_or_else(String::new, |n| format!(", some blocks look back {n}"));
        let chat = match &self.chat_problem {
            None => "has a template".to_owned(),
            Some(problem) => format!("{problem} (--raw does without)"),
        };
        vec![
            format!("model     {name}, license: {license}"),
            format!(
                "family    {}, {:.1} million parameters, {} on disk",
                self.architecture,
                self.parameters as f64 / 1e6,
                self.file_bytes
            ),
            format!(
                "shape     {} blocks of width {}, {} heads of {} over {} of keys and values, feed-forward {}",
                self.blocks, self.width, self.heads, self.head_width, self.kv_heads, self.feed_forward
            ),
            format!("context   {} tokens{window}", self.context),
            format!("tensors   {}", types.collect::<Vec<_>>().join("; ")),
            format!("tokens    {} ({}), {} in memory", self.vocabulary, self.tokenizer, self.tokenizer_bytes),
            format!("chats     {chat}"),
        ]
    }
}
