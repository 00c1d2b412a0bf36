//! A device that trains nothing: it takes part in the protocol and makes up its scalars. A few tens of bytes each.

use sprig_learn::calibration::{Bins, FLEET_BINS};
use sprig_learn::directions::{Family, Sharing};
use sprig_learn::dropout::Dropout;
use sprig_learn::estimator::{AnyEstimator, Forward};
use sprig_learn::optimiser::Rule;
use sprig_learn::spry::{Exchange, Rules, Seeds, ServerRule, Terms};
use sprig_transport::messages::{Body, Presence, Task, Update};

const RUN_KEY: [u32; 2] = [0x5EED, 0x0F1E];

/// Rules of a fleet that trains nothing: one batch of `batch` examples a round, each with its own direction.
pub fn rules(batch: usize) -> Rules {
    let terms = Terms {
        exchange: Exchange::PerIteration,
        batch,
        estimator: AnyEstimator::Forward(Forward {
            family: Family::Rademacher,
            sharing: Sharing::PerExample,
            tangents: 1,
            run_key: RUN_KEY,
        }),
        dropout: Dropout::NONE,
        run_key: RUN_KEY,
        seeds: Seeds::Own,
        local: Rule::Sgd { momentum: 0.0 },
        lr: 0.01,
        server: ServerRule::Adam { eta: 0.01, beta1: 0.9, beta2: 0.99, tau: 1e-3 },
        decay: 0,
    };
    Rules::new(terms).expect("constants within their limits, and a batch that the caller has kept to its own")
}

/// The update that a synthetic device answers a task with: a function of the task alone.
pub fn answer(task: &Task, rules: &Rules) -> Update {
    let examples = rules.examples();
    let mut state = u64::from(task.number) << 32 | u64::from(task.round);
    // Knuth's generator, high bits: -1 to 1.
    let mut scalar = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    };
    let scalars: Vec<f32> = (0..rules.sent_count(examples)).map(|_| scalar()).collect();
    // Surer from example to example, and right every other time.
    let answer = |i: u32| (f64::from((task.number + task.round + i) % 17) / 16.0, i.is_multiple_of(2));
    let bins = Bins::of(FLEET_BINS, (0..examples).map(answer));
    Update {
        run: task.run,
        round: task.round,
        number: task.number,
        groups: task.groups,
        base: task.base,
        examples,
        loss: 1.0 + scalar() / 2.0,
        bins: bins.rows(),
        body: Body::Scalars(scalars),
    }
}

/// What a synthetic device says of itself.
pub fn presence(session: u64) -> Presence {
    Presence {
        online: true,
        session,
        board: "synthetic".into(),
        software: concat!("sprig ", env!("CARGO_PKG_VERSION")).into(),
        budget: 64 << 20,
        rate: 100.0,
        tangents: 1,
        examples: 1000,
    }
}
