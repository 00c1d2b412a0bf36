//! Checkpoints: everything a run needs to go on bit for bit, in one GGUF file replaced atomically.
//!
//! Metadata `sprig.checkpoint.version`, `.fingerprint` (what the run depends on, as JSON), `.state` (step, guard),
//! `.notes` (opaque text of the caller) and `.sha256` of all these texts and tensors, each with its length before it;
//! tensors `values` and `moments`, F32, and `last` of estimators that look at the last update. A run that keeps its best adapter
//! has that in the tensor `best`, and how it stands in `.state`: version 3. Others are written as version 2, and both are read.

use crate::error::LearnError;
use crate::guard::Guard;
use crate::judging::{Judged, Standing};
use crate::recipe::Way;
use crate::trainer::State;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use sprig_engine::gguf::{Gguf, GgufError, Mapped, TensorType, Writer};
use sprig_ground::{PathError, hex};
use std::collections::BTreeMap;
use std::fmt::Display;
use std::path::Path;

/// Of a run that is not judged on its way; and of one that is.
const VERSIONS: [u32; 2] = [2, 3];
/// Largest checkpoint read: rank 256 on every linear of a 7B model, with Adam's moments, is 8 GiB; boards stop far
/// below.
const MAX_BYTES: u64 = 8 << 30;

/// Bytes of a checkpoint that are read at a time.
const READ: usize = 256 << 10;

/// Name of the model file's digest in a [`Fingerprint`].
pub const MODEL: &str = "model";
/// Name of the training data's digest.
pub const DATA: &str = "data";
/// Name of the digest of the adapter that the run goes on from, if it does.
pub const FROM: &str = "from";
/// Name of the number of steps. A run may be resumed for more of them.
pub const STEPS: &str = "steps";
/// Name of the estimator.
pub const ESTIMATOR: &str = "estimator";
/// Name of the digest of the data that the run is judged by, where there are any.
pub const HELD_OUT: &str = "held-out";

/// What a run depends on, by name. A checkpoint resumes only under an equal fingerprint.
pub type Fingerprint = BTreeMap<String, String>;

/// A checkpoint as read.
pub struct Checkpoint {
    /// Trainable numbers.
    pub values: Vec<f32>,
    /// Optimiser state, step and guard.
    pub state: State,
    /// The best adapter so far, where the run is judged on its way.
    pub judged: Option<Judged>,
    /// The caller's text.
    pub notes: String,
}

#[derive(Serialize, Deserialize)]
struct Header {
    step: u64,
    guard: Guard,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    standing: Option<Standing>,
}

/// Writes a checkpoint: temporary file, fsync, rename, fsync of the directory.
pub fn save(
    path: &Path,
    fingerprint: &Fingerprint,
    values: &[f32],
    state: &State,
    judged: Option<&Judged>,
    notes: &str,
) -> Result<(), LearnError> {
    let json = |problem: serde_json::Error| bad(path, problem.to_string());
    let standing = judged.and_then(|judged| judged.standing);
    let header = Header { step: state.step, guard: state.guard.clone(), standing };
    let fingerprint = serde_json::to_string(fingerprint).map_err(json)?;
    let header = serde_json::to_string(&header).map_err(json)?;
    let best = judged.map(|judged| &*judged.values);
    let sha256 = digest([&fingerprint, &header, notes], [values, &state.moments], [best, found(&state.last)]);
    let mut writer = Writer::new()
        .metadata("general.type", "sprig.checkpoint")
        .metadata("sprig.checkpoint.version", VERSIONS[usize::from(judged.is_some())])
        .metadata("sprig.checkpoint.fingerprint", fingerprint.as_str())
        .metadata("sprig.checkpoint.state", header.as_str())
        .metadata("sprig.checkpoint.notes", notes)
        .metadata("sprig.checkpoint.sha256", sha256.as_str())
        .tensor_f32("values", &[values.len() as u64], values);
    if !state.moments.is_empty() {
        writer = writer.tensor_f32("moments", &[state.moments.len() as u64], &state.moments);
    }
    if let Some(best) = best.filter(|best| !best.is_empty()) {
        writer = writer.tensor_f32("best", &[best.len() as u64], best);
    }
    if let Some(last) = found(&state.last) {
        writer = writer.tensor_f32("last", &[last.len() as u64], last);
    }
    writer.write_atomic(path).map_err(|e| match e {
        GgufError::Io(e) => e.into(),
        refused => bad(path, refused.to_string()),
    })
}

/// Reads and checks a checkpoint; `None` when there is none.
pub fn load(path: &Path, fingerprint: &Fingerprint) -> Result<Option<Checkpoint>, LearnError> {
    let damaged = |e: &dyn Display| damaged(path, e);
    let Some(file) = open(path)? else { return Ok(None) };
    let gguf = Gguf::parse(file.bytes()).map_err(|e| damaged(&e))?;
    let text = |key: &str| gguf.require_str(&format!("sprig.checkpoint.{key}")).map_err(|e| damaged(&e));
    let version = gguf.require_u32("sprig.checkpoint.version").map_err(|e| damaged(&e))?;
    if !VERSIONS.contains(&version) {
        let [first, last] = VERSIONS;
        let problem = format!("format version {version}, this program reads {first} and {last}");
        return Err(bad(path, format!("{problem}; finish the run with the program that began it")));
    }
    let tensor = |name: &str| -> Result<Vec<f32>, LearnError> {
        let Some(tensor) = gguf.tensor(name) else { return Ok(Vec::new()) };
        if tensor.ty != TensorType::F32 {
            return Err(damaged(&format!("tensor `{name}` is {}", tensor.ty)));
        }
        let range = gguf.data_range(tensor).map_err(|e| damaged(&e))?;
        let mut numbers = Vec::with_capacity(range.len() / 4);
        // What is copied is released, so that the file and the numbers are never both in memory.
        for from in range.clone().step_by(READ) {
            let part = from..range.end.min(from + READ);
            numbers
                .extend(file.bytes()[part.clone()].as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)));
            file.release(0..part.end).map_err(|e| damaged(&e))?;
        }
        Ok(numbers)
    };
    let (values, moments) = (tensor("values")?, tensor("moments")?);
    let (best, last) = (tensor("best")?, tensor("last")?);
    let judged = version == VERSIONS[1];
    let (theirs, state, notes) = (text("fingerprint")?, text("state")?, text("notes")?);
    let more = [judged.then_some(&*best), found(&last)];
    if digest([theirs, state, notes], [&values, &moments], more) != text("sha256")? {
        return Err(damaged(&"its content does not match its checksum"));
    }
    let theirs: Fingerprint = serde_json::from_str(theirs).map_err(|e| damaged(&e))?;
    if let Some(difference) = differences(&theirs, fingerprint) {
        return Err(bad(
            path,
            format!("{difference}; resume with the same settings, or delete the checkpoint to start anew"),
        ));
    }
    let header: Header = serde_json::from_str(state).map_err(|e| damaged(&e))?;
    let state = State { step: header.step, moments, last, guard: header.guard };
    let judged = judged.then_some(Judged { standing: header.standing, values: best });
    Ok(Some(Checkpoint { values, state, judged, notes: notes.to_owned() }))
}

/// The estimator of the run that a checkpoint is of; `None` when there is none, or it does not say.
///
/// # Errors
/// The file cannot be read, or is damaged.
pub fn estimator(path: &Path) -> Result<Option<Way>, LearnError> {
    let Some(file) = open(path)? else { return Ok(None) };
    let gguf = Gguf::parse(file.bytes()).map_err(|e| damaged(path, &e))?;
    let text = gguf.require_str("sprig.checkpoint.fingerprint").map_err(|e| damaged(path, &e))?;
    let theirs: Fingerprint = serde_json::from_str(text).map_err(|e| damaged(path, &e))?;
    Ok(theirs.get(ESTIMATOR).and_then(|name| name.parse().ok()))
}

/// The file, if it is there.
fn open(path: &Path) -> Result<Option<Mapped>, LearnError> {
    let unreadable = PathError::at("read", path);
    match std::fs::metadata(path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(unreadable(e).into()),
        Ok(meta) if meta.len() > MAX_BYTES => {
            return Err(bad(path, format!("{} bytes exceed the limit of {MAX_BYTES}", meta.len())));
        }
        Ok(_) => {}
    }
    let file = Mapped::open(path).map_err(|e| match e {
        GgufError::Io(e) => unreadable(e.source).into(),
        locked => bad(path, locked.to_string()),
    })?;
    file.divide_evenly();
    Ok(Some(file))
}

/// Everything that differs, for one who must find the setting or the file that was changed.
fn differences(theirs: &Fingerprint, ours: &Fingerprint) -> Option<String> {
    let keys: std::collections::BTreeSet<&String> = theirs.keys().chain(ours.keys()).collect();
    let found: Vec<String> = keys
        .into_iter()
        .map(|key| (key, theirs.get(key).map(String::as_str), ours.get(key).map(String::as_str)))
        .filter(|(key, theirs, ours)| theirs != ours && !(*key == STEPS && is_more(*theirs, *ours)))
        .map(|(key, theirs, ours)| difference(key, theirs, ours))
        .collect();
    (!found.is_empty()).then(|| found.join(", "))
}

/// Whether `ours` is a larger number than `theirs`.
fn is_more(theirs: Option<&str>, ours: Option<&str>) -> bool {
    let number = |text: Option<&str>| text.and_then(|text| text.parse::<u64>().ok());
    number(theirs).zip(number(ours)).is_some_and(|(theirs, ours)| ours > theirs)
}

/// Two values of `key` that differ, in words: of a file a digest would tell nobody anything.
fn difference(key: &str, theirs: Option<&str>, ours: Option<&str>) -> String {
    match (key, theirs, ours) {
        (MODEL, ..) => "the model file has changed".to_owned(),
        (DATA, ..) => "the training data have changed, or the words around them".to_owned(),
        (HELD_OUT, None, _) => "it was made without held-out data, this run has some".to_owned(),
        (HELD_OUT, _, None) => "it was made with held-out data, this run has none".to_owned(),
        (FROM, None, _) => "it began with no adapter, this run with one".to_owned(),
        (FROM, _, None) => "it went on from an adapter, this run does not".to_owned(),
        (FROM, ..) => "the adapter that it went on from has changed".to_owned(),
        (HELD_OUT, ..) => "the held-out data have changed, or the words around them".to_owned(),
        _ => {
            let [theirs, ours] = [theirs, ours].map(|value| value.unwrap_or("unset"));
            format!("it was made with {key} = {theirs}, this run has {key} = {ours}")
        }
    }
}

/// A tensor that files have only where there is something in it.
fn found(tensor: &[f32]) -> Option<&[f32]> {
    (!tensor.is_empty()).then_some(tensor)
}

fn digest(texts: [&str; 3], tensors: [&[f32]; 2], more: [Option<&[f32]>; 2]) -> String {
    let mut hash = Sha256::new();
    for text in texts {
        hash.update((text.len() as u64).to_le_bytes());
        hash.update(text);
    }
    for tensor in tensors.into_iter().chain(more.into_iter().flatten()) {
        hash.update((tensor.len() as u64).to_le_bytes());
        tensor.iter().for_each(|v| hash.update(v.to_le_bytes()));
    }
    hex::encode(&hash.finalize())
}

fn damaged(path: &Path, problem: &dyn Display) -> LearnError {
    bad(path, format!("{problem}; delete it to start anew"))
}

fn bad(path: &Path, problem: impl Into<String>) -> LearnError {
    LearnError::Checkpoint { path: path.to_owned(), problem: problem.into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::estimator::Method;

    fn fingerprint(seed: &str) -> Fingerprint {
        BTreeMap::from([("seed".to_owned(), seed.to_owned())])
    }

    #[test]
    fn round_trip_and_refusals() {
        let standing =
            Standing { first: 2.0, last: 1.5, step: 7, best: 1.25, best_step: 4, since: 3, taken: 7 };
        round_trip(None);
        round_trip(Some(Judged { standing: Some(standing), values: vec![0.75] }));
        round_trip(Some(Judged::default()));
    }

    #[test]
    fn a_run_goes_on_for_more_steps_and_not_for_fewer() {
        let of = |steps: &str| Fingerprint::from([(STEPS.to_owned(), steps.to_owned())]);
        assert_eq!(differences(&of("30"), &of("40")), None);
        assert_eq!(differences(&of("30"), &of("30")), None);
        assert!(differences(&of("30"), &of("20")).unwrap().contains("steps = 30"));
        assert!(differences(&Fingerprint::new(), &of("20")).is_some());
    }

    #[test]
    fn a_checkpoint_tells_its_estimator() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run.ckpt");
        assert_eq!(estimator(&path).unwrap(), None);
        let state = State { step: 1, moments: Vec::new(), last: Vec::new(), guard: Guard::default() };
        let of = |name: &str| BTreeMap::from([(ESTIMATOR.to_owned(), name.to_owned())]);
        for (name, way) in [("forward", Some(Way::Steps(Method::Forward))), ("of another program", None)] {
            save(&path, &of(name), &[0.5], &state, None, "").unwrap();
            assert_eq!(estimator(&path).unwrap(), way);
        }
        std::fs::write(&path, "no checkpoint").unwrap();
        assert!(estimator(&path).unwrap_err().to_string().contains("delete it"));
    }

    fn round_trip(judged: Option<Judged>) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run.ckpt");
        let mut guard = Guard::default();
        guard.clipped = 3;
        let state = State { step: 7, moments: vec![1.5, -2.5], last: vec![-0.5], guard };
        assert!(load(&path, &fingerprint("1")).unwrap().is_none());
        save(&path, &fingerprint("1"), &[0.25], &state, judged.as_ref(), "note").unwrap();
        let back = load(&path, &fingerprint("1")).unwrap().unwrap();
        assert_eq!((back.values, back.state, back.notes), (vec![0.25], state.clone(), "note".to_owned()));
        assert_eq!(back.judged, judged);
        let other = load(&path, &fingerprint("2")).err().unwrap().to_string();
        assert!(other.contains("seed = 1, this run has seed = 2"), "{other}");
        for (key, words) in
            [(MODEL, "the model file"), (DATA, "the training data"), (HELD_OUT, "held-out data")]
        {
            let ours =
                BTreeMap::from([("seed".to_owned(), "1".to_owned()), (key.to_owned(), "f00d".to_owned())]);
            let other = load(&path, &ours).err().unwrap().to_string();
            assert!(other.contains(words) && !other.contains("f00d"), "{other}");
        }

        let whole = std::fs::read(&path).unwrap();
        for end in 0..whole.len() {
            std::fs::write(&path, &whole[..end]).unwrap();
            // What is cut off may be padding; numbers that come back must be the numbers that were saved.
            if let Ok(Some(same)) = load(&path, &fingerprint("1")) {
                assert_eq!((same.values, same.state.moments), (vec![0.25], vec![1.5, -2.5]), "cut at {end}");
                assert_eq!(same.judged, judged, "cut at {end}");
                assert!(whole.len() - end < 32, "cut at {end}");
            }
        }
        for flip in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[flip] ^= 1;
            std::fs::write(&path, &bytes).unwrap();
            // A flip in the padding between tensors, or in a key that is not read, changes nothing.
            if let Ok(Some(same)) = load(&path, &fingerprint("1")) {
                assert_eq!(same.judged, judged);
                assert_eq!(
                    (same.values, same.state, same.notes),
                    (vec![0.25], state.clone(), "note".to_owned())
                );
            }
        }
    }
}
