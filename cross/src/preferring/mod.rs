//! `cargo xtask prefer`: how well ways to learn preferences keep confidence honest, on several sets and seeds (CATTO's tables and
//! claims).

mod arm;
mod bench;
mod best_of;
mod claims;
mod found;
mod page;
mod score;
mod sets;
mod table;
mod work;

use crate::model;
use crate::sprig::Sprig;
use crate::sys;
use anyhow::{Context, Result, bail};
use arm::Arm;
use bench::{Bench, Course};
use clap::ValueEnum;
use found::{Cell, Found};
use serde_json::json;
use sets::{Set, Sizes};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};

/// Arguments of `cargo xtask prefer`.
#[derive(clap::Args)]
pub struct Args {
    /// Folders of sets: of questions (train.json and test.json), of MMLU-Redux (its tables, to be judged by alone), or of records
    /// of labels or choices (train.jsonl, held_out.jsonl and task.json, as `learn` takes them)
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    data: Vec<PathBuf>,
    /// Families of generated questions, SUB0 or FADD and so on, each a set of its own
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    families: Vec<String>,
    /// Learn these sets only; all of them are judged on [default: all there is something to learn from]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    sets: Vec<String>,
    /// Ways to try [default: all but CATTO's other settings]
    #[arg(long, value_enum, value_name = "LIST", value_delimiter = ',')]
    arms: Vec<Arm>,
    /// Seeds, from 1: of the choice of records and of training
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=100))]
    seeds: u64,
    /// The first of them
    #[arg(long, value_name = "S", default_value_t = 1)]
    first_seed: u64,
    #[command(flatten)]
    sizes: Sizes,
    #[command(flatten)]
    course: Course,
    /// A `sprig` that is built already
    #[arg(long, value_name = "FILE")]
    sprig: Option<PathBuf>,
    /// The model [default: SmolLM2-135M, fetched where it is not there]
    #[arg(long, value_name = "FILE")]
    model: Option<PathBuf>,
    /// Folder for preferring.json, its table and page, and what they are made of; what is in there already is not measured again
    /// [default: target/preferring]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Print the results as one JSON object on standard output
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub fn run(args: &Args) -> Result<ExitCode> {
    let out = std::path::absolute(args.out.clone().unwrap_or_else(|| sys::target_dir().join("preferring")))?;
    fs::create_dir_all(&out).with_context(|| format!("cannot create {}", out.display()))?;
    let found = Mutex::new(Found::read(&out)?);
    let model = match &args.model {
        Some(path) => std::path::absolute(path)?,
        None => model::fetch("smollm2")?.path,
    };
    let sprig = match &args.sprig {
        Some(path) => Sprig::at(std::path::absolute(path)?),
        None => Sprig::build()?,
    };
    let sets = args.sets(&sprig, &out)?;
    let arms: Vec<Arm> = match args.arms.is_empty() {
        true => Arm::value_variants().iter().copied().filter(|arm| arm.is_usual()).collect(),
        false => args.arms.clone(),
    };
    let bench = Bench {
        sprig: &sprig,
        model: &model,
        out: &out,
        course: &args.course,
        sizes: &args.sizes,
        sets: &sets,
        arms: &arms,
    };
    let notes =
        work::all(&bench, &args.taught(&sets)?, args.first_seed..args.first_seed + args.seeds, &found)?;
    let found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
    args.tell(&found, &bench.dumps()?, &out, &notes)
}

impl Args {
    fn sets(&self, sprig: &Sprig, out: &Path) -> Result<Vec<Set>> {
        let mut sets = Vec::new();
        for folder in &self.data {
            sets.push(Set::read(&std::path::absolute(folder)?, &self.sizes)?);
        }
        for family in &self.families {
            sets.push(Set::generated(family, sprig, out, &self.sizes)?);
        }
        if sets.is_empty() {
            bail!("there is nothing to learn; give --data a folder, or --families SUB0");
        }
        Ok(sets)
    }

    /// Names of the sets that are learnt.
    fn taught(&self, sets: &[Set]) -> Result<Vec<String>> {
        let all: Vec<String> = sets.iter().filter(|set| set.teaches()).map(|set| set.name.clone()).collect();
        if let Some(other) = self.sets.iter().find(|name| !all.contains(name)) {
            bail!("nothing can be learnt from {other:?}; there are {}", all.join(", "));
        }
        Ok(if self.sets.is_empty() { all } else { self.sets.clone() })
    }

    /// Writes the page, the table and the claims, and prints them.
    fn tell(&self, found: &Found, dumps: &Path, out: &Path, notes: &[String]) -> Result<ExitCode> {
        let cells = Cell::all(found, dumps)?;
        let (rows, claims) = (table::rows(&cells, found), claims::claims(&cells, found));
        let mut text = format!("{}\n{}", table::text(&rows), table::claimed(&claims));
        for note in notes {
            text.push_str(&format!("\nNot measured: {}\n", note.replace('\n', " ")));
        }
        fs::write(out.join("preferring.md"), &text)?;
        fs::write(out.join("preferring.html"), page::page(&cells, &rows, &claims))?;
        if self.json {
            println!(
                "{}",
                json!({ "results": found.json(), "rows": rows, "claims": claims, "notes": notes })
            );
            eprint!("{text}");
        } else {
            print!("{text}");
            println!("\n{}", out.join("preferring.html").display());
        }
        Ok(ExitCode::SUCCESS)
    }
}
