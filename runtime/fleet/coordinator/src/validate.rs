//! Validating an update: the coordinator trusts no number. Each check names what it saw and what it expected.

use crate::ids::{DeviceNumber, RoundId};
use crate::options::ReadOut;
use crate::rows::Member;
use sprig_learn::calibration::{Bins, FLEET_BINS};
use sprig_learn::readout::fleet::most_bytes;
use sprig_learn::spry::Rules;
use sprig_masking::Veiled;
use sprig_transport::messages::{Body, Digest, GroupSet, MAX_SCALARS, Reason, RunId, Update};

/// Why something is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// In a word.
    pub reason: Reason,
    /// More exactly.
    pub text: String,
}

impl Refusal {
    pub(crate) fn new(reason: Reason, text: impl Into<String>) -> Self {
        Self { reason, text: text.into() }
    }
}

/// What an update must be like.
pub(super) struct Expected<'a> {
    pub run: RunId,
    pub round: RoundId,
    /// Whose topic it came on.
    pub number: DeviceNumber,
    pub member: Option<&'a Member>,
    pub base: Digest,
    pub rules: &'a Rules,
    /// Examples of a full round of steps.
    pub examples: u32,
    /// What sums are like, where those are what is sent.
    pub readout: Option<ReadOut>,
    /// Numbers that each device hides among the others', where what is sent is aggregated securely.
    pub hidden: Option<usize>,
    /// Whether it may be scalars.
    pub scalars: bool,
    /// Bytes of the share's weights where it may be those: pieces have scalars otherwise.
    pub weights: Option<u32>,
    /// Largest norm of scalars.
    pub limit: f32,
}

/// An update that may stay.
#[derive(Debug, PartialEq)]
pub(super) enum Sound {
    /// All of it is here; its root mean square.
    Scalars { norm: f32 },
    /// Its numbers are to come in pieces.
    Dense { digest: Digest, bytes: u32 },
    /// What is said at a stage of secure aggregation.
    Word,
}

/// Whether an update is what its task asked for.
pub(super) fn update(update: &Update, expected: &Expected<'_>) -> Result<Sound, Refusal> {
    addressed(update, expected)?;
    counted(update)?;
    let refuse = |reason, text: String| Err(Refusal::new(reason, text));
    if let Some(readout) = expected.readout {
        return sums(update, readout, expected.hidden);
    }
    if update.examples == 0 || update.examples > expected.examples {
        let text = format!("{} examples; a round has 1 to {}", update.examples, expected.examples);
        return refuse(Reason::Examples, text);
    }
    if !update.loss.is_finite() {
        return refuse(Reason::NotFinite, format!("loss {}", update.loss));
    }
    if let Some(numbers) = expected.hidden {
        return hidden(update, numbers);
    }
    let want = expected.rules.sent_count(update.examples);
    match (&update.body, expected.weights) {
        (Body::Scalars(scalars), _) if expected.scalars => {
            if scalars.len() != want {
                let text = format!("{} scalars; {} examples make {want}", scalars.len(), update.examples);
                return refuse(Reason::ScalarCount, text);
            }
            let norm = root_mean_square(scalars.iter().copied())?;
            within(norm, expected.limit)?;
            Ok(Sound::Scalars { norm })
        }
        (&Body::Dense { digest, bytes }, Some(want)) => {
            if bytes != want {
                return refuse(Reason::Blob, format!("{bytes} bytes of weights; the share has {want}"));
            }
            Ok(Sound::Dense { digest, bytes })
        }
        (Body::Scalars(_), _) => refuse(Reason::ScalarCount, "scalars; this run takes weights".into()),
        (Body::Word(_), _) => refuse(Reason::Blob, "a word of secure aggregation; this run has none".into()),
        (Body::Dense { .. }, None) if want <= MAX_SCALARS => {
            refuse(Reason::Blob, "weights; this run takes scalars".into())
        }
        (&Body::Dense { digest, bytes }, None) => {
            let wanted = want * size_of::<f32>();
            if bytes as usize != wanted {
                return refuse(Reason::Blob, format!("{bytes} bytes of scalars; its examples make {wanted}"));
            }
            Ok(Sound::Dense { digest, bytes })
        }
    }
}

/// Whether its bins, if it has some, can be counts of its examples, and of all of them.
fn counted(update: &Update) -> Result<(), Refusal> {
    let refuse = |text: String| Err(Refusal::new(Reason::Examples, text));
    if update.bins.is_empty() {
        return Ok(());
    }
    match Bins::of_rows(&update.bins).filter(|_| update.bins.len() == FLEET_BINS) {
        None => refuse(format!("{} bins that are no counts in {FLEET_BINS}", update.bins.len())),
        Some(bins) if bins.n() != u64::from(update.examples) => {
            refuse(format!("bins of {} answers; {} examples", bins.n(), update.examples))
        }
        Some(_) => Ok(()),
    }
}

/// Whether it announces sums of enough examples, in as many bytes as they can have.
fn sums(update: &Update, readout: ReadOut, secure: Option<usize>) -> Result<Sound, Refusal> {
    let ReadOut { shape, min_examples } = readout;
    let refuse = |reason, text: String| Err(Refusal::new(reason, text));
    if update.examples < min_examples {
        let text = format!("{} examples; sums are taken of {min_examples} and more", update.examples);
        return refuse(Reason::Examples, text);
    }
    if !update.loss.is_finite() {
        return refuse(Reason::NotFinite, format!("loss {}", update.loss));
    }
    if let Some(numbers) = secure {
        return hidden(update, numbers);
    }
    let most = most_bytes(shape.numbers());
    match update.body {
        Body::Dense { digest, bytes } if (1..=most).contains(&(bytes as usize)) => {
            Ok(Sound::Dense { digest, bytes })
        }
        Body::Dense { bytes, .. } => {
            refuse(Reason::Blob, format!("{bytes} bytes of sums; they take up to {most}"))
        }
        Body::Scalars(_) => refuse(Reason::ScalarCount, "scalars; this run takes sums".into()),
        Body::Word(_) => {
            refuse(Reason::Blob, "a word of secure aggregation; this run takes sums as they are".into())
        }
    }
}

/// Whether it is a word of secure aggregation, or announces so many numbers under veils.
fn hidden(update: &Update, numbers: usize) -> Result<Sound, Refusal> {
    let refuse = |reason, text: String| Err(Refusal::new(reason, text));
    let veiled = Veiled::bytes(numbers);
    match update.body {
        Body::Word(_) => Ok(Sound::Word),
        Body::Dense { digest, bytes } if bytes as usize == veiled => Ok(Sound::Dense { digest, bytes }),
        Body::Dense { bytes, .. } => {
            refuse(Reason::Blob, format!("{bytes} bytes; numbers under veils are {veiled} in this run"))
        }
        Body::Scalars(_) => {
            refuse(Reason::ScalarCount, "scalars; this run takes numbers under veils alone".into())
        }
    }
}

/// Whether it is for this run and round, from this device, for its groups and from its adapter.
fn addressed(update: &Update, expected: &Expected<'_>) -> Result<(), Refusal> {
    let Expected { run, round, number, base, .. } = *expected;
    let refuse = |reason, text: String| Err(Refusal::new(reason, text));
    if update.run != run {
        return refuse(Reason::WrongRun, format!("this is run {run}"));
    }
    if update.number != number.0 {
        let text = format!("number {}; this device is {number}", update.number);
        return refuse(Reason::WrongNumber, text);
    }
    if update.round < round.0 {
        let text = format!("round {} is closed; this is round {round}", update.round);
        return refuse(Reason::Closed, text);
    }
    if update.round > round.0 {
        return refuse(Reason::WrongRound, format!("round {}; this is round {round}", update.round));
    }
    let Some(member) = expected.member else {
        return refuse(Reason::NotSelected, format!("not selected for round {round}"));
    };
    if update.groups != member.groups {
        let text = format!("groups {}; its task was {}", of(update.groups), of(member.groups));
        return refuse(Reason::WrongGroups, text);
    }
    if update.base != base {
        let (theirs, ours) = (update.base.short(), base.short());
        return refuse(Reason::WrongBase, format!("trained from {theirs}; round {round} begins at {ours}"));
    }
    Ok(())
}

fn of(groups: GroupSet) -> String {
    format!("{} + {} × {}", groups.first, groups.step, groups.count)
}

/// Refuses a norm above the limit.
pub(super) fn within(norm: f32, limit: f32) -> Result<(), Refusal> {
    if norm > limit {
        Err(Refusal::new(Reason::Norm, format!("norm {norm:.3e}; the limit is {limit:.3e}")))
    } else {
        Ok(())
    }
}

/// Root mean square, in f64: squares of f32 overflow f32. 0 for nothing.
pub(super) fn root_mean_square(numbers: impl Iterator<Item = f32>) -> Result<f32, Refusal> {
    let (mut sum, mut count) = (0.0f64, 0u64);
    for (at, number) in numbers.enumerate() {
        if !number.is_finite() {
            return Err(Refusal::new(Reason::NotFinite, format!("number {at} is {number}")));
        }
        sum += f64::from(number) * f64::from(number);
        count += 1;
    }
    Ok(if count == 0 { 0.0 } else { (sum / count as f64).sqrt() as f32 })
}
