//! `sprig mcq generate`: math questions whose wrong answers follow from named student errors.

use crate::args::{GenerateArgs, McqArgs, McqCommand};
use crate::exit::{Exit, Failure};
use crate::files::{Content, Files, check_writable};
use crate::interrupt::Interrupt;
use crate::output::Output;
use serde_json::json;
use sprig_ground::file;
use sprig_mcq::{Line, Maker, Wording};
use std::io::Write;

pub fn run(args: &McqArgs) -> Result<Exit, Failure> {
    match &args.what {
        McqCommand::Generate(args) => generate(args),
    }
}

fn generate(args: &GenerateArgs) -> Result<Exit, Failure> {
    let repeated = args.family.iter().enumerate().find(|(f, family)| args.family[..*f].contains(family));
    if let Some((_, family)) = repeated {
        return Err(Failure::new(Exit::Usage, format!("--family names {family} twice; name it once")));
    }
    Files::new().writes("--out", args.out.as_path(), Content::Items).check()?;
    check_writable(&args.out, 0)?;
    let (mut output, interrupt) = (Output::new(args.json), Interrupt::listen());
    file::replace(&args.out, |out| write(args, out, &mut output, &interrupt))?;
    let names: Vec<_> = args.family.iter().map(|family| family.name()).collect();
    let items = names.len() * args.n as usize;
    output.event(json!({ "event": "done", "items": items, "families": names, "out": args.out }), || {
        Some(format!("wrote {}: {items} questions of {}", args.out.display(), names.join(", ")))
    });
    Ok(Exit::Done)
}

/// Writes the items to `out`, one a line.
fn write(
    args: &GenerateArgs,
    out: &mut dyn Write,
    output: &mut Output,
    interrupt: &Interrupt,
) -> Result<(), Failure> {
    let wording = if args.paraphrase { Wording::Paraphrased } else { Wording::Closed };
    let maker = Maker { least: args.least.into(), wording, ..Maker::new(args.seed) };
    for &family in &args.family {
        output.begin(family.name(), args.n.into(), 0);
        for index in 0..args.n {
            let item = maker.item(family, index).map_err(|e| Failure::new(Exit::Usage, e))?;
            let text = Line::of(&item).write().map_err(|e| Failure::new(Exit::Bug, e))?;
            writeln!(out, "{text}").map_err(|e| Failure::io("write", &args.out, e))?;
            output.at(u64::from(index) + 1, || family.name().to_owned());
            if interrupt.raised() {
                return Err(Failure::new(Exit::Interrupted, "interrupted; nothing was written"));
            }
        }
        output.end();
    }
    Ok(())
}
