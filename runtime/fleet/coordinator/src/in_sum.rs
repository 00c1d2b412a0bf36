//! The step of a round of whose updates the sum alone is known.

use crate::ids::{DeviceNumber, RoundId};
use crate::step::{Sum, Updates};
use sprig_learn::LearnError;
use sprig_learn::spry::Server;
use sprig_protocol::share_of;
use sprig_transport::messages::{Contribution, GroupSet};

/// What updates come to in whole numbers.
#[derive(Clone, Debug)]
pub struct InSum {
    /// The sums.
    pub numbers: Vec<i64>,
    /// Devices of other fleets whose numbers are in them too, and their examples, where fleets are folded.
    pub others: Option<(u32, u64)>,
}

/// Has `server` take the step of `round` by the `total` of its updates, which say whose they are and of how many examples; a
/// record of it may have `limit` bytes.
///
/// # Errors
/// When the updates cannot be read.
pub fn step_by_sum<U: Updates>(
    server: &mut Server,
    limit: usize,
    updates: &U,
    total: &InSum,
    round: RoundId,
) -> Result<Sum, U::Error> {
    let (others, examples) = total.others.unzip();
    let (mut sum, mut examples) = (Sum::new(limit), examples.unwrap_or(0));
    sum.others = others;
    updates.each(
        |_| true,
        |number, _, update| {
            examples += u64::from(update.examples);
            sum.count(number, &update);
            Ok(())
        },
    )?;
    if examples == 0 {
        return Ok(sum);
    }
    // Every device has all groups, of which a layout has 65,535 at most.
    let groups = GroupSet { first: 0, step: 1, count: server.layout().groups().len() as u16 };
    let mut step = server.begin(round.0);
    match step.add_sum(share_of(groups), examples, &total.numbers) {
        Ok(Some((examples, scalars))) => {
            let number = DeviceNumber::NOBODY.0;
            sum.record_part(Contribution { number, groups, examples, scalars });
        }
        Ok(None) => sum.parts = None,
        // It leads nowhere finite: the round goes on without it.
        Err(LearnError::Update { .. }) => return Ok(Sum::new(limit)),
        Err(other) => return Err(other.into()),
    }
    step.finish();
    Ok(sum)
}
