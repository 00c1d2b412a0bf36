//! What a coordinator needs of the model where devices share the noise of a read-out: the row that they all measure from.

use crate::FleetError;
use crate::settings::Train;
use sprig_budget::Bytes;
use sprig_learn::minibatch::Minibatch;
use sprig_learn::objective::to_judge;
use sprig_learn::readout::fleet::privacy::{REFERENCE, Reference};
use sprig_learn::readout::fleet::{Gatherer, gathering_needs};
use sprig_learn::workload::{Adapted, Means, Residency, Workload};
use sprig_run::Base;

/// The row, by one pass over one text on `threads` threads, within `budget`; `None` where no noise is shared. The model is let go
/// of afterwards.
///
/// # Errors
/// The budget has no room for a pass.
pub fn reference(
    train: &Train,
    base: &Base<'_>,
    (threads, budget): (usize, Bytes),
) -> Result<Option<Reference>, FleetError> {
    let (Some(readout), Some(shape)) = (train.readout, train.sums(&base.geometry)) else { return Ok(None) };
    let Some(epsilon) = readout.dp.filter(|_| readout.noise_among.is_some()) else { return Ok(None) };
    let text = base.about(REFERENCE, train.recipe().records.load_options())?;
    let (g, means) = (&base.geometry, Means { threads, residency: Residency::Auto });
    let work = Workload::evaluation(to_judge(train.task, train.label_loss), Adapted::Plain, 1, means);
    let (length, candidates) = (text.longest(), train.labels.len());
    let work = Workload { held_elsewhere: gathering_needs(g, shape, 1, true), length, candidates, ..work };
    let planned = base.plan(work, budget, None)?;
    let engine = base.engine(&planned)?;
    let mut session = engine.session(&planned, None)?;
    let gatherer = Gatherer::new(g, shape, 1).private(epsilon, &mut session, Minibatch::new(&text, &[0]))?;
    Ok(gatherer.reference().cloned())
}
