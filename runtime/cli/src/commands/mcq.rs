//! `sprig mcq generate`: math questions whose wrong answers follow from named student errors.

use crate::args::{GenerateArgs, McqArgs, McqCommand};
use crate::exit::{Exit, Failure};
use crate::files::{Content, Files, check_writable};
use crate::interrupt::Interrupt;
use crate::output::Output;
use serde_json::json;
use sprig_ground::file;
use sprig_mcq::{Line, Maker, Wording};

/// Most bytes of items that are held before they are written.
const MOST: usize = 1 << 30;

pub fn run(args: &McqArgs) -> Result<Exit, Failure> {
    match &args.what {
        McqCommand::Generate(args) => generate(args),
    }
}

fn generate(args: &GenerateArgs) -> Result<Exit, Failure> {
    Files::new().writes("--out", args.out.as_path(), Content::Items).check()?;
    check_writable(&args.out, 0)?;
    let wording = if args.paraphrase { Wording::Paraphrased } else { Wording::Closed };
    let maker = Maker { least: args.least.into(), wording, ..Maker::new(args.seed) };
    let (mut output, interrupt) = (Output::new(args.json), Interrupt::listen());
    let mut text = String::new();
    for (f, &family) in args.family.iter().enumerate() {
        if args.family[..f].contains(&family) {
            return Err(Failure::new(Exit::Usage, format!("--family names {family} twice; name it once")));
        }
        output.begin(family.name(), args.n.into(), 0);
        for index in 0..args.n {
            let item = maker.item(family, index).map_err(|e| Failure::new(Exit::Usage, e))?;
            text += &Line::of(&item).write().map_err(|e| Failure::new(Exit::Bug, e))?;
            text.push('\n');
            output.at(u64::from(index) + 1, || family.name().to_owned());
            if text.len() > MOST {
                let message = format!("the items take more than {} GiB; make fewer at a time", MOST >> 30);
                return Err(Failure::new(Exit::Usage, message));
            }
            if interrupt.raised() {
                return Err(Failure::new(Exit::Interrupted, "interrupted; nothing was written"));
            }
        }
        output.end();
    }
    file::write(&args.out, text.as_bytes())?;
    let (items, names) = (text.lines().count(), args.family.iter().map(|family| family.name()));
    let names: Vec<_> = names.collect();
    output.event(json!({ "event": "done", "items": items, "families": names, "out": args.out }), || {
        Some(format!("wrote {}: {items} questions of {}", args.out.display(), names.join(", ")))
    });
    Ok(Exit::Done)
}
