//! `run.json`: everything a finished run says about itself.

use crate::by_label::ByLabel;
use serde::{Deserialize, Deserializer, Serialize};
use sprig_budget::{Bytes, Plan, Sample};
use sprig_ground::{PathError, file};
use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

/// The version written, and the only one read.
pub const VERSION: u32 = 1;

/// What messages call it.
pub(crate) const WHAT: &str = "run record";

/// A record is read whole; a million steps take about 100 MB.
const MAX_RECORD: Bytes = Bytes::mib(256);

/// One training run, from command line to last evaluation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunRecord {
    /// [`VERSION`].
    pub version: u32,
    /// Version of the program.
    pub sprig_version: String,
    /// The command line, as it could be typed again.
    pub command: String,
    /// Start, in seconds since 1970 (UTC).
    pub started: u64,
    /// End, likewise.
    pub ended: u64,
    /// Run seed.
    pub seed: u64,
    /// `lm`, `choice` or `label`.
    pub task: String,
    /// What it was made of.
    pub model: Model,
    /// What it was trained on.
    pub train_data: DataSet,
    /// What it was judged on, if anything.
    pub eval_data: Option<DataSet>,
    /// What was trained.
    pub adapter: Adapter,
    /// Every setting of the run by name, in the order to show them.
    pub settings: Vec<(String, String)>,
    /// The budget, the regions and the rungs taken.
    pub plan: Plan,
    /// What was seen.
    pub measured: Measured,
    /// Heap and resident memory over time.
    pub timeline: Vec<Sample>,
    /// The steps that are kept.
    pub steps: Vec<Step>,
    /// Moves up and down the ladder for memory pressure.
    #[serde(default)]
    pub moves: Vec<Moved>,
    /// How it was judged on its way, by examples that it did not learn from.
    #[serde(default)]
    pub judged: Vec<Judged>,
    /// Quality before the first step.
    pub eval_before: Option<Evaluation>,
    /// Quality after the last.
    pub eval_after: Option<Evaluation>,
    /// How fast it went.
    pub speed: Speed,
    /// Directional derivatives.
    pub scalars: Scalars,
    /// Use of the prefix cache; none where the lowest block is trained, or none was counted.
    #[serde(default)]
    pub prefix: Option<Prefix>,
    /// Worker threads.
    pub threads: u32,
    /// Kernels chosen ("avx2+fma", "neon+dotprod").
    pub isa: String,
    /// Where it ran.
    pub machine: Machine,
}

/// The frozen base model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Model {
    /// Its own name, else the file's.
    pub name: String,
    /// SHA-256 of the file, in hexadecimal.
    pub sha256: String,
    /// Size of the file.
    pub bytes: Bytes,
    /// `general.architecture`.
    pub architecture: String,
    /// Type of most weights ("Q4_1").
    pub quantisation: String,
    /// Numbers in all its tensors.
    pub weights: u64,
    /// Blocks.
    pub layers: u32,
    /// Width of the residual stream.
    pub width: u32,
    /// Query heads.
    pub heads: u32,
    /// Key and value heads.
    pub kv_heads: u32,
    /// Tokens it knows.
    pub vocabulary: u32,
}

/// A file of examples.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DataSet {
    /// Name of the file.
    pub name: String,
    /// Examples in it.
    pub n: u64,
    /// SHA-256 of the file, in hexadecimal.
    pub sha256: String,
    /// Examples longer than the sequence length, and so cut.
    pub cut: u64,
}

/// The trained weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Adapter {
    /// "lora", "lora-xs", "b-only", "lora-xs-seeded".
    pub kind: String,
    /// Rank of each pair.
    pub rank: u32,
    /// Scale: alpha / rank.
    pub alpha: f64,
    /// Names of the adapted linears ("q", "v").
    pub targets: Vec<String>,
    /// First adapted layer and one past the last.
    pub layers: (u32, u32),
    /// Trained values.
    pub trainable: u64,
}

/// What the run was seen to hold.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// VmHWM of the whole process.
    pub peak_rss: Bytes,
    /// The most the counting allocator saw.
    pub peak_heap: Bytes,
    /// Most resident pages of mapped files.
    pub mapped: Bytes,
    /// Measured peak of a region of the plan, by its name; those that cannot be told apart are left out.
    #[serde(default)]
    pub regions: BTreeMap<String, Bytes>,
}

/// A judgement on the way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Judged {
    /// After so many steps.
    pub step: u64,
    /// Mean loss, in nats.
    #[serde(deserialize_with = "null_is_nan")]
    pub loss: f64,
    /// Share answered rightly; of a language model, of its tokens.
    pub accuracy: f64,
}

/// A move up or down the ladder while the run was under way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Moved {
    /// Steps taken before it.
    pub step: u64,
    /// Bytes planned from then on.
    pub plan: Bytes,
    /// Rungs taken, or that there are none.
    pub what: String,
}

/// One optimiser step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Number of the step, from 1.
    pub step: u64,
    /// Mean training loss of the batch, in nats; null if it was not finite.
    #[serde(deserialize_with = "null_is_nan")]
    pub loss: f64,
    /// Learning rate.
    pub lr: f64,
    /// Wall time.
    pub ms: f64,
}

/// Quality on held-out data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// Examples judged.
    pub n: u64,
    /// Mean loss, in nats.
    #[serde(deserialize_with = "null_is_nan")]
    pub loss: f64,
    /// Share answered rightly, for tasks with an answer.
    pub accuracy: Option<f64>,
    /// 95 % interval of the accuracy, low and high.
    pub interval: Option<(f64, f64)>,
    /// Share of examples that are answered with an answer, right or wrong, when they are asked greedily.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answered: Option<f64>,
    /// What became of each label's examples, for tasks with labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by_label: Option<ByLabel>,
}

/// How fast it went.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Speed {
    /// Tokens trained on in a second.
    pub tokens_per_s: f64,
    /// Median time of a step.
    pub step_ms_median: f64,
    /// 95th percentile of it.
    pub step_ms_p95: f64,
    /// One plain forward pass of the same batch.
    pub forward_ms_median: Option<f64>,
}

/// The directional derivatives that made the updates.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Scalars {
    /// How many there were.
    pub total: u64,
    /// Not finite, and so left out.
    pub skipped: u64,
    /// Over the clip, and so cut to it.
    pub clipped: u64,
}

/// Visits to examples at the lowest trained block, since the last start of the run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Prefix {
    /// Served from the cache.
    pub hits: u64,
    /// Computed.
    pub misses: u64,
    /// Those computed because their slot was damaged.
    pub corrupt: u64,
    /// Why less was kept than was allowed.
    pub error: Option<String>,
}

/// Where it ran.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// Name of the processor.
    pub cpu: String,
    /// Processors the run might use.
    pub cores: u32,
    /// Memory the kernel manages.
    pub ram: Bytes,
    /// Name and release of the kernel.
    pub kernel: String,
}

/// Why a record cannot be shown.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The file cannot be read.
    #[error(transparent)]
    Io(#[from] PathError),
    /// The file is no record: too long, not JSON, a field missing or of another type.
    #[error("{path} is not a {what}: {why}", path = path.display())]
    Bad {
        /// The file.
        path: PathBuf,
        /// What it was taken for: a run record or a profile.
        what: &'static str,
        /// What is wrong, with the field and the line and column.
        why: String,
    },
    /// A record of another version of the format.
    #[error(
        "{path} is a {what} of version {found}, this program reads version {VERSION}; use the program that made it", path = path.display()
    )]
    Version {
        /// The file.
        path: PathBuf,
        /// What it is: a run record or a profile.
        what: &'static str,
        /// Its version.
        found: u64,
    },
}

impl RunRecord {
    /// Reads a record from a file.
    ///
    /// # Errors
    /// [`RecordError`], naming the file and where in it.
    pub fn read(path: &Path) -> Result<RunRecord, RecordError> {
        RunRecord::parse(&content(path, WHAT)?, path)
    }

    /// Writes `run.json`, whole or not at all.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn write(&self, path: &Path) -> Result<(), PathError> {
        let text = serde_json::to_vec_pretty(self).map_err(|e| PathError::new("write", path, e.into()))?;
        file::write(path, &text)
    }

    /// Reads a record from memory; `path` only names it in errors.
    pub(crate) fn parse(bytes: &[u8], path: &Path) -> Result<RunRecord, RecordError> {
        #[derive(Deserialize)]
        struct Head {
            version: u64,
        }
        let bad =
            |e: serde_json::Error| RecordError::Bad { path: path.into(), what: WHAT, why: e.to_string() };
        // The version first: fields of another version would only be called missing.
        let head: Head = serde_json::from_slice(bytes).map_err(bad)?;
        if head.version != u64::from(VERSION) {
            return Err(RecordError::Version { path: path.into(), what: WHAT, found: head.version });
        }
        serde_json::from_slice(bytes).map_err(bad)
    }
}

/// The content of a file that is taken for a `what`, at most [`MAX_RECORD`] of it.
pub(crate) fn content(path: &Path, what: &'static str) -> Result<Vec<u8>, RecordError> {
    let failed = PathError::at("read", path);
    let file = std::fs::File::open(path).map_err(&failed)?;
    let mut bytes = Vec::new();
    file.take(MAX_RECORD.0 + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > MAX_RECORD.0 {
        return Err(RecordError::Bad {
            path: path.into(),
            what,
            why: format!("it is longer than {MAX_RECORD}"),
        });
    }
    Ok(bytes)
}

/// JSON has no NaN: a loss that was not finite is written as null.
fn null_is_nan<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or(f64::NAN))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::page::sample;
    use serde_json::{Value, json};

    fn parse(value: &Value) -> Result<RunRecord, RecordError> {
        RunRecord::parse(&serde_json::to_vec_pretty(value).unwrap(), Path::new("run.json"))
    }

    #[test]
    fn reads_back_what_it_wrote_and_a_lost_loss_as_nan() {
        let record = sample::record();
        let mut value = serde_json::to_value(&record).unwrap();
        assert!(parse(&value).unwrap() == record);
        value["steps"][0]["loss"] = Value::Null;
        assert!(parse(&value).unwrap().steps[0].loss.is_nan());
    }

    #[test]
    fn errors_name_the_field_and_the_place() {
        let whole = serde_json::to_value(sample::record()).unwrap();
        for field in ["seed", "plan", "machine", "version"] {
            let mut value = whole.clone();
            value.as_object_mut().unwrap().remove(field);
            let err = parse(&value).unwrap_err().to_string();
            assert!(
                err.contains(&format!("missing field `{field}` at line")) && err.contains("run.json"),
                "{err}"
            );
        }
        let mut value = whole.clone();
        value["model"]["layers"] = json!("thirty");
        let err = parse(&value).unwrap_err().to_string();
        assert!(err.contains("\"thirty\", expected u32 at line"), "{err}");

        let mut value = whole;
        value["version"] = json!(99);
        assert!(matches!(parse(&value), Err(RecordError::Version { found: 99, .. })));
    }

    #[test]
    fn what_is_no_json_or_not_there_is_an_error() {
        for text in ["", "{", "[1]", "\u{feff}{}", &"[".repeat(100_000)] {
            let got = RunRecord::parse(text.as_bytes(), Path::new("x"));
            assert!(matches!(got, Err(RecordError::Bad { .. })), "{text:.9}");
        }
        assert!(matches!(RunRecord::read(Path::new("/no/such/run.json")), Err(RecordError::Io { .. })));
    }
}
