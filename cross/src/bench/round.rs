//! One pass through the measurements whose times are compared.

use super::Args;
use super::peers::{Backward, Candle, Machine, Peers, Torch};
use super::work::{Bench, Personal, Speed, Work};
use crate::sprig::Done;
use anyhow::Result;
use std::collections::BTreeMap;

/// Blocks of SmolLM2.
pub const BLOCKS: u32 = 30;

/// Tangents a pass.
const TANGENTS: &[u32] = &[1, 2, 4, 8];

/// One pass through the measurements whose times are compared.
pub struct Round {
    /// Training 8 × 64 by the number of tangents.
    pub training: BTreeMap<u32, Done>,
    /// The same work with exact gradients.
    pub exact: Done,
    /// The same work by candle.
    pub candle: Candle,
    /// What the machine can do.
    pub machine: Machine,
    /// Our inference.
    pub inference: Speed,
    /// The same with adapters.
    pub personal: Personal,
    /// The same work by llama.cpp.
    pub llama_cpp: Option<Speed>,
    /// The same training work by PyTorch.
    pub torch: Option<Torch>,
}

impl Round {
    /// Goes through them once.
    pub fn take(bench: &Bench<'_>, peers: &Peers, args: &Args) -> Result<Self> {
        let machine = peers.machine(bench)?;
        let mut training = BTreeMap::new();
        for &tangents in TANGENTS {
            let work = Work { tangents, ..bench.work.clone() };
            training.insert(tangents, bench.train(&bench.model, &work)?);
        }
        let exact = bench.train(&bench.model, &bench.work.clone().exact(BLOCKS))?;
        let candle = peers.candle(bench, bench.work.len, 1, Backward::BySequence)?;
        let tokens = if args.quick { 16 } else { 64 };
        let (inference, personal) = (bench.inference(tokens)?, bench.personal(tokens)?);
        let llama_cpp = args.llama_bench.as_deref().map(|python| bench.llama_cpp(python, 2)).transpose()?;
        let torch = args.torch.as_deref().map(|python| Torch::take(python, bench)).transpose()?;
        Ok(Self { training, exact, candle, machine, inference, personal, llama_cpp, torch })
    }
}
