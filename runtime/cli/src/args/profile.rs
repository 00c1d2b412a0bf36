//! The command line of a profile.

use super::ModelArgs;
use super::choice::choice;
use clap::Args;
use sprig_budget::Size;
use sprig_learn::data::Task;
use sprig_learn::recipe::{Batch, Len, Rank, Steps, Tangents, Way};
use sprig_learn::workload::Residency;
use std::path::PathBuf;

#[derive(Debug, Args)]
pub struct ProfileArgs {
    /// Model file (GGUF)
    #[arg(long, value_name = "FILE")]
    pub model: PathBuf,
    /// Most bytes the process of each setting may hold: 300MiB, 1GB, 80% (of the memory at hand) [default: the board's
    /// share of its memory, as `sprig device` shows it]
    #[arg(long, value_name = "SIZE")]
    pub budget: Option<Size>,
    /// Measure a grid of settings instead of one: every combination of the lists given; without any list a few around the
    /// middle of a grid that suits small boards
    #[arg(long)]
    pub sweep: bool,
    /// Most tokens of an example; with --sweep a list: 64,128,256 [default: 128]
    #[arg(long, value_name = "T", value_delimiter = ',')]
    pub len: Vec<Len>,
    /// Examples of an optimiser step; with --sweep a list [default: 8]
    #[arg(long, value_name = "B", value_delimiter = ',')]
    pub batch: Vec<Batch>,
    /// Directions (K) of an estimator that takes any; with --sweep a list [default: as `sprig train`]
    #[arg(long, value_name = "K", value_delimiter = ',')]
    pub tangents: Vec<Tangents>,
    /// Rank of the adapter; with --sweep a list [default: as `sprig train`]
    #[arg(long, value_name = "R", value_delimiter = ',')]
    pub rank: Vec<Rank>,
    /// Where the weights are between their uses; with --sweep a list [default: auto]
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = choice::<Residency>())]
    pub weights: Vec<Residency>,
    /// How an adapter is learnt, by steps; with --sweep a list [default: auto; forward where --tangents is given]
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = choice::<Way>())]
    pub estimator: Vec<Way>,
    /// Optimiser steps of each setting
    #[arg(long, value_name = "N", default_value = "3")]
    pub steps: Steps,
    /// Data to learn from (JSONL) [default: texts made of common words, each as long as --len]
    #[arg(long, value_name = "FILE")]
    pub data: Option<PathBuf>,
    /// What is learnt from --data
    #[arg(long, value_parser = choice::<Task>(), default_value_t = Task::Lm)]
    pub task: Task,
    /// Threads [default: all cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    pub threads: Option<u16>,
    /// Profile to write, anew after each setting
    #[arg(short, long, value_name = "FILE", default_value = "profile.json")]
    pub out: PathBuf,
    /// Page to write [default: beside --out, as .html]
    #[arg(long, value_name = "FILE")]
    pub page: Option<PathBuf>,
    /// Keep what --out has of the same model, budget and board already, and measure the rest
    #[arg(long)]
    pub resume: bool,
    /// Print JSON instead of text
    #[arg(long)]
    pub json: bool,
    /// Further flags of `sprig train` for every setting, behind --
    #[arg(last = true, value_name = "FLAGS")]
    pub train: Vec<String>,
}

impl ProfileArgs {
    /// The model and what of the machine may be used, as other commands take them.
    pub fn model(&self) -> ModelArgs {
        let (model, weights) = (self.model.clone(), Residency::Auto);
        ModelArgs { model, budget: self.budget, weights, threads: self.threads, json: self.json }
    }

    /// Where the page goes.
    pub fn page(&self) -> PathBuf {
        self.page.clone().unwrap_or_else(|| self.out.with_extension("html"))
    }
}
