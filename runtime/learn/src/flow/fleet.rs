//! A device's part of a fleet's round under Flow (specification 6.8): it receives the global adapter and the routers, derives
//! its local adapter, and sends back what it received as its own examples moved it. The local adapter is in no update.

use super::round::{FlowRound, FlowTask};
use super::rules::FlowRules;
use crate::data::{DataSet, Shuffle};
use crate::error::LearnError;
use crate::spry::{Assignment, Layout, LocalUpdate, Rules, Server};
use sprig_budget::Bytes;
use sprig_engine::adapter::Adapter;
use sprig_ground::random::mix;

/// Begins the part from `server`'s numbers. Of its examples a device takes as many for each half as the fleet's `rules` let
/// a round have; one with more takes others in each round. Halves and order are functions of the run and the device's number,
/// so that a round which a power cut ended is the same when it is begun again.
///
/// # Errors
/// [`LearnError::Settings`] if the server or the share is not of the adapter's layout, or there are no examples.
pub fn begin<'d>(
    rules: FlowRules,
    server: &Server,
    adapter: &mut Adapter,
    data: &'d DataSet,
    assignment: Assignment,
) -> Result<FlowRound<'d>, LearnError> {
    let Assignment { round, number, share } = assignment;
    let layout = server.layout();
    let whole = share.count as usize == layout.groups().len() && layout.holds(share);
    if !whole || adapter.shared().len() != server.values().len() {
        let problem =
            "Flow trains a whole adapter and its routers at each device; have the fleet deal all of both";
        return Err(LearnError::Settings(problem.to_owned()));
    }
    let [low, high] = server.rules().run_key.map(u64::from);
    let seed = mix(mix(high << 32 | low) ^ u64::from(number));
    let all: Vec<usize> = (0..data.len()).collect();
    let ids = taken(&all, server.rules(), seed, round);
    adapter.set_shared(server.values());
    FlowRound::new(rules, adapter, data, &ids, FlowTask { round, number, seed, global: true })
}

/// What to send once the round's last step is done: `examples` are those that what is shared learnt from.
pub fn finish(round: &FlowRound<'_>, adapter: &Adapter) -> LocalUpdate {
    let (loss, tokens) = round.sums();
    LocalUpdate {
        examples: round.shared_examples().try_into().unwrap_or(u32::MAX),
        tokens,
        loss,
        scalars: Vec::new(),
        sums: Vec::new(),
        bins: None,
        weights: adapter.shared(),
    }
}

/// Heap bytes of a round with `numbers` of an adapter of two, and with `examples` examples of a device.
pub fn heap_bytes(layout: &Layout, rules: (&Rules, &FlowRules), numbers: usize, examples: usize) -> Bytes {
    let (fleet, flow) = rules;
    let moving = numbers * (1 + flow.global.rule.moments());
    let scalars = flow.needs(layout.groups().len()).bytes(flow.batch, 0);
    // What is sent, as numbers and as bytes.
    let sent = 2 * layout.len();
    let ids = 3 * examples.min(2 * fleet.examples() as usize);
    Bytes::of::<f32>(moving + sent) + Bytes::of::<usize>(ids) + scalars
}

/// Which of the examples `all` of a device a round has: for each half as many as `rules` let it have. They stay in order.
pub fn taken(all: &[usize], rules: &Rules, seed: u64, round: u32) -> Vec<usize> {
    let most = 2 * rules.examples() as usize;
    let Some(order) = Shuffle::new(seed, all.len()).filter(|_| all.len() > most) else { return all.to_vec() };
    let first = u64::from(round) * most as u64;
    let mut ids: Vec<usize> = (first..first + most as u64).map(|at| all[order.at(at)]).collect();
    ids.sort_unstable();
    ids.dedup(); // where one pass over the data ends and the next begins
    ids
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spry::Terms;

    #[test]
    fn rounds_take_all_examples_in_turn() {
        let rules = Rules::new(Terms { batch: 4, ..Terms::paper([0; 2], 1) }).unwrap();
        let taken = |len: usize, round| taken(&(0..len).collect::<Vec<_>>(), &rules, 1, round);
        assert_eq!(taken(7, 3), (0..7).collect::<Vec<_>>());
        let rounds: Vec<Vec<usize>> = (0..5).map(|round| taken(40, round)).collect();
        assert!(rounds.iter().all(|ids| ids.len() == 8 && ids.is_sorted()));
        let mut all = rounds.concat();
        all.sort_unstable();
        assert_eq!(all, (0..40).collect::<Vec<_>>());
        // Eight of twelve: the second round has the last four and some of the next pass, none twice.
        let second = taken(12, 1);
        assert!(second.len() <= 8 && second.windows(2).all(|w| w[0] < w[1]), "{second:?}");
    }
}
