//! What every training begins with, whichever way it takes: its files checked, the model's header and the data read.

use crate::args::TrainArgs;
use crate::asking;
use crate::exit::{Exit, Failure};
use crate::files::{self, Content, Files, beside, check_writable};
use crate::open::adapter;
use sprig_budget::Bytes;
use sprig_engine::adapter::{AdapterFile, Asking, Place};
use sprig_run::{Base, Data};

/// A training before anything is planned.
pub struct Opening<'a> {
    /// The model's file.
    pub base: &'a Base<'a>,
    /// The examples.
    pub data: Data,
    /// How they are asked.
    pub asking: Asking,
    /// The adapter to go on from.
    pub from: Option<AdapterFile>,
    /// Its layers.
    pub kept: Vec<Place>,
    /// Most bytes of the process.
    pub budget: Bytes,
}

impl<'a> Opening<'a> {
    /// Reads the data of a training of the model `base`.
    pub fn read(args: &TrainArgs, base: &'a Base<'a>) -> Result<Self, Failure> {
        let options = asking::by_flags(&args.records, args.shape.len)?;
        let budget = args.model.budget()?;
        check_writable(&args.out, 0)?;
        check_writable(&args.record(), 0)?;
        let from = args.from.as_deref().map(|path| adapter(path, base)).transpose()?;
        let kept = from.as_ref().map(|file| file.places(&base.geometry)).transpose()?.unwrap_or_default();
        let train = files::data("--data", &args.data, asking::reads_labels(&options))?;
        let held_out = args.eval_data.as_deref();
        let held_out = held_out.map(|path| files::data("--eval-data", path, false)).transpose()?;
        let data = base.data(&train, held_out.as_deref(), options.clone(), budget)?;
        let asking = options.asking(data.train.labels());
        asking.check().map_err(|e| Failure::new(Exit::Usage, e))?;
        Ok(Self { base, data, asking, from, kept, budget })
    }
}

/// No result over what is read, nor over another.
pub fn check_files(args: &TrainArgs) -> Result<(), Failure> {
    let sums = beside(&args.out, "sums");
    // Sums may be added to in place: they are read whole before they are written.
    let other = args.add_to.as_deref().filter(|path| *path != sums);
    Files::new()
        .reads("--model", args.model.model.as_path())
        .reads("--data", args.data.as_path())
        .reads("--config", args.config.as_deref())
        .reads("--eval-data", args.eval_data.as_deref())
        .reads("--add-to", other)
        .reads("--from", args.from.as_deref())
        .writes("--out", args.out.as_path(), Content::Adapter)
        .writes("--run", args.record().as_path(), Content::Record)
        .keeps("the checkpoint of --out", &beside(&args.out, "ckpt"))
        .keeps("the activations kept for --out", &beside(&args.out, "prefix"))
        .keeps("what preferences of --out are measured against", &beside(&args.out, "references"))
        .keeps("the sums of --out", &sums)
        .check()
}
