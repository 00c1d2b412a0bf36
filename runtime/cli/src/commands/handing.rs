//! `sprig export`: an adapter for other programs, in the weights of its model or as Python's peft has it.

use crate::args::HandingArgs;
use crate::exit::{Exit, Failure};
use crate::files::{Content, Files, check_writable};
use crate::open::adapter;
use crate::output::Output;
use serde_json::json;
use sprig_budget::{BudgetError, Bytes, Kind, Plan, Region, process};
use sprig_engine::adapter::{AdapterFile, Merge, Merged, PEFT_CONFIG, PEFT_WEIGHTS};
use sprig_engine::gguf::Mapped;
use sprig_run::{Base, Guards};
use std::path::Path;

/// Least share of an update that has to be in what is written for it to go without a warning.
const MOST: f64 = 0.9;

pub fn run(args: &HandingArgs) -> Result<Exit, Failure> {
    check_files(args)?;
    let map = Mapped::open(&args.model)?;
    let base = Base::open(&map)?;
    let file = adapter(&args.adapter, &base)?;
    let output = Output::new(args.json);
    if let Some(out) = args.out.as_deref() {
        merge(args, &base, &file, out, &output)?;
    }
    if let Some(folder) = args.peft.as_deref() {
        let _guards = held(args, &base, file.peft_bytes(), file.peft_bytes())?;
        file.write_peft(folder, &base.geometry, args.base_name.as_deref())?;
        let event =
            json!({ "event": "exported", "form": "peft", "out": folder, "tensors": 2 * file.pairs().len() });
        output.event(event, || Some(for_python(folder, &file)));
    }
    Ok(Exit::Done)
}

fn check_files(args: &HandingArgs) -> Result<(), Failure> {
    let files = Files::new()
        .reads("--model", args.model.as_path())
        .reads("--adapter", args.adapter.as_path())
        .writes("--out", args.out.as_deref(), Content::Merged);
    let files = args.peft.iter().fold(files, |files, folder| {
        files
            .keeps("the numbers in --peft", &folder.join(PEFT_WEIGHTS))
            .keeps("the settings in --peft", &folder.join(PEFT_CONFIG))
    });
    files.check()
}

fn merge(
    args: &HandingArgs,
    base: &Base<'_>,
    file: &AdapterFile,
    out: &Path,
    output: &Output,
) -> Result<(), Failure> {
    // What is not adapted keeps its bytes; of another type an adapted weight has four at most.
    let adapted: usize = file.pairs().iter().map(|pair| 4 * pair.in_features * pair.out_features).sum();
    check_writable(out, base.map.bytes().len() as u64 + args.ty.map_or(0, |_| adapted as u64))?;
    let merge = Merge::new((base.map, &base.gguf, &base.geometry), file, args.ty)?;
    let _guards = held(args, base, merge.bytes(), merge.mapped_bytes())?;
    let found = merge.write(out)?;
    let Merged { tensors, kept, rounding } = found;
    let event = json!({
        "event": "exported", "form": "merged", "out": out, "tensors": tensors, "kept": kept, "rounding": rounding,
        "type": args.ty.map(|ty| ty.name()), "peak_rss_bytes": process::status().peak_rss,
    });
    output.event(event, || Some(merged_line(out, found, args.ty.is_some())));
    Ok(())
}

/// Plans and guards what is held beside the program.
fn held(args: &HandingArgs, base: &Base<'_>, heap: Bytes, mapped: Bytes) -> Result<Guards, Failure> {
    let budget = sprig_run::budget(args.budget, None)?;
    let mut regions = vec![
        Region::new("program", Kind::Fixed, base.machine.program()),
        Region::new("model tables", Kind::Heap, base.size()?.header),
        Region::new("header and factors", Kind::Heap, heap),
        Region::new("pieces of the files", Kind::Mapped, mapped),
    ];
    regions.extend(base.machine.group().map(|group| Region::new("control group", Kind::Fixed, group)));
    let plan = Plan::new(budget, regions);
    if !plan.fits() {
        let smallest = plan.total();
        return Err(BudgetError::TooSmall { budget, smallest, plan: Box::new(plan) }.into());
    }
    Ok(Guards::set(&plan, None)?)
}

fn merged_line(out: &Path, found: Merged, typed: bool) -> String {
    let Merged { tensors, kept, rounding } = found;
    let mut line = format!(
        "wrote {}: {tensors} tensors with {:.1} % of the update in them, and rounding of {:.2} % of the weights",
        out.display(),
        100.0 * kept,
        100.0 * rounding
    );
    if kept < MOST && !typed {
        line += "\nthe model's own types are too coarse for this update; --type Q8_0 or --type F16 keeps more of it";
    }
    line
}

fn for_python(folder: &Path, file: &AdapterFile) -> String {
    let shown = folder.display();
    format!(
        "wrote {shown}: {} layers as plain LoRA\n  Python: PeftModel.from_pretrained(model, \"{shown}\")",
        file.pairs().len()
    )
}
