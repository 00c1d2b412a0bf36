//! What must hold of a fleet whatever the numbers are: device and coordinator reach the same bits, however a device cuts
//! its batches, and only the share of a device moves. On a synthetic model.
// Nobody imports a test: `pub` is between its modules.
#![allow(unreachable_pub)]
#![allow(missing_docs, clippy::unwrap_used)] // helpers of tests may unwrap as tests do

#[allow(dead_code)] // shared with the other tests
#[path = "invariants/world.rs"]
mod world;

use sprig_engine::adapter::{AdapterSpec, Kind};
use sprig_learn::data::DataSet;
use sprig_learn::directions::{Family, Sharing};
use sprig_learn::dropout::Dropout;
use sprig_learn::estimator::{AnyEstimator, Cut, Differences, Forward, FwdLlm};
use sprig_learn::guard::Guard;
use sprig_learn::optimiser::{Decay, Rule, Schedule};
use sprig_learn::spry::{
    Assignment, Body, Dealing, Exchange, Layout, LocalRound, LocalUpdate, Member, Rules, Seeds, Server,
    ServerRule, Share, Terms, deal,
};
use sprig_learn::trainer::{Settings, Trainer};
use world::*;

const AVG: ServerRule = ServerRule::Avg { eta: 1.0 };
const YOGI: ServerRule = ServerRule::Yogi { eta: 0.02, beta1: 0.9, beta2: 0.99, tau: 1e-3 };
const EXCHANGES: [Exchange; 2] = [Exchange::PerIteration, Exchange::PerEpoch { steps: 2 }];
const KEY: [u32; 2] = [42, 0];
const FORWARD: AnyEstimator = AnyEstimator::Forward(Forward {
    family: Family::Walsh,
    sharing: Sharing::PerExample,
    tangents: 4,
    run_key: KEY,
});
const DIFFERENCES: AnyEstimator =
    AnyEstimator::Differences(Differences { family: Family::Gaussian, pairs: 2, step: 1e-3, run_key: KEY });
const FWDLLM: AnyEstimator = AnyEstimator::FwdLlm(FwdLlm {
    family: Family::Gaussian,
    pairs: 2,
    step: 1e-2,
    variance_limit: None,
    run_key: KEY,
});
/// Arguments of a session and a cut for whole batches.
const WHOLE: Cut = Cut { tangents: 4, examples: 4 };

fn terms(exchange: Exchange, server: ServerRule) -> Terms {
    Terms {
        exchange,
        batch: 3,
        estimator: FORWARD,
        dropout: Dropout::NONE,
        run_key: KEY,
        seeds: Seeds::Own,
        local: ADAMW,
        lr: 0.02,
        server,
        decay: 0,
    }
}

fn rules(exchange: Exchange, server: ServerRule) -> Rules {
    Rules::new(terms(exchange, server)).unwrap()
}

fn server(spec: &AdapterSpec, rules: Rules) -> Server {
    let layout = Layout::new(spec, WORLD.model.geometry()).unwrap();
    let values = adapter(spec).values().to_vec();
    Server::new(layout, rules, values).unwrap()
}

/// A device's round on two threads, and the weights its adapter ends with.
fn train(
    server: &Server,
    spec: &AdapterSpec,
    data: &DataSet,
    assignment: Assignment,
    cuts: &[Cut],
) -> (LocalUpdate, Vec<f32>) {
    let mut adapter = fresh_adapter(spec);
    let mut session = session(ctx(2), data, spec, WHOLE, None);
    let mut round = LocalRound::new(server, &mut adapter, data, assignment).unwrap();
    let mut guard = Guard::default();
    let mut cuts = cuts.iter().cycle();
    while round.step(&mut session, &mut adapter, *cuts.next().unwrap(), &mut guard).unwrap() {}
    (round.finish(), adapter.values().to_vec())
}

/// Two devices and a coordinator, three rounds: each applies the updates itself, and all end in the same bits.
#[test]
fn devices_and_coordinator_end_in_the_same_bits() {
    let spec = spec(Kind::Xs, 0..3);
    let members = [Member { number: 4, strength: 1.0 }, Member { number: 9, strength: 2.0 }];
    for (exchange, rule, dealing, estimator) in EXCHANGES.into_iter().flat_map(|e| {
        [
            (e, AVG, Dealing::Cyclic, FORWARD),
            (e, YOGI, Dealing::Contiguous, FORWARD),
            (e, YOGI, Dealing::DeviceAware, FORWARD),
            (e, YOGI, Dealing::Unsplit, DIFFERENCES),
            // After the first round there is a last update to choose by.
            (e, AVG, Dealing::Unsplit, FWDLLM),
            (e, AVG, Dealing::Cyclic, FWDLLM),
        ]
    }) {
        let rules = Rules::new(Terms { estimator, ..terms(exchange, rule) }).unwrap();
        let mut parties = [(); 3].map(|()| server(&spec, rules));
        let before = parties[0].digest();
        for round in 0..3 {
            let shares = deal(dealing, parties[0].layout().groups().len(), &members, 8, round);
            let updates: Vec<LocalUpdate> = (0..2)
                .map(|i| {
                    let assignment = Assignment { round, number: members[i].number, share: shares[i] };
                    train(&parties[i], &spec, objectives()[i], assignment, &[WHOLE]).0
                })
                .collect();
            for party in &mut parties {
                let mut step = party.begin(round);
                for ((member, share), update) in members.iter().zip(&shares).zip(&updates) {
                    step.add(member.number, *share, update.examples, Body::Scalars(&update.scalars)).unwrap();
                }
                step.finish();
            }
        }
        let digests = parties.map(|p| p.digest());
        assert!(digests[0] == digests[1] && digests[1] == digests[2] && digests[0] != before);
    }
}

/// What a device's own optimiser leads to is what every party replays; outside of its share nothing moves.
#[test]
fn a_devices_own_weights_are_those_of_the_replay() {
    for (data, kind) in objectives().into_iter().flat_map(|d| KINDS.map(|k| (d, k))) {
        let spec = spec(kind, 0..3);
        for rule in [ADAMW, Rule::Sgd { momentum: 0.0 }] {
            let rules =
                Rules::new(Terms { local: rule, ..terms(Exchange::PerEpoch { steps: 2 }, AVG) }).unwrap();
            let server = server(&spec, rules);
            let assignment = Assignment { round: 1, number: 6, share: Share { first: 5, step: 4, count: 3 } };
            let (update, own) = train(&server, &spec, data, assignment, &[WHOLE]);
            let part = server.layout().part(assignment.share);
            let mut replayed = server.values().to_vec();
            part.scatter(&update.weights, &mut replayed);
            assert_eq!(bits(&own), bits(&replayed), "{kind:?}: the share is not where it was sent from");
            let finish = |body: Body<'_>| {
                let mut party = self::server(&spec, rules);
                let mut step = party.begin(1);
                step.add(6, assignment.share, update.examples, body).unwrap();
                step.finish();
                party.digest()
            };
            let (scalars, dense) =
                (finish(Body::Scalars(&update.scalars)), finish(Body::Dense(&update.weights)));
            assert_eq!(scalars, dense, "{kind:?}: the scalars lead elsewhere");
            assert_ne!(scalars, server.digest());
            let moved = |i: &usize| own[*i].to_bits() != server.values()[*i].to_bits();
            assert!((0..own.len()).filter(moved).all(|i| part.places.iter().any(|p| p.contains(&i))));
        }
    }
}

/// However a device cuts its batches, and whatever it ran before, its update is the same bits.
#[test]
fn cuts_change_no_bit_of_an_update() {
    for (data, sharing) in objectives().into_iter().flat_map(|d| SHARINGS.map(|s| (d, s))) {
        for exchange in EXCHANGES {
            let spec = spec(Kind::Lora, 1..3);
            let mut terms = terms(exchange, YOGI);
            terms.estimator = AnyEstimator::Forward(forward(Family::Walsh, sharing, 4));
            let rules = Rules::new(terms).unwrap();
            let server = server(&spec, rules);
            let assignment = Assignment { round: 2, number: 6, share: Share { first: 9, step: 1, count: 4 } };
            let whole = train(&server, &spec, data, assignment, &[WHOLE]).0;
            assert_eq!(whole.scalars.len(), rules.scalar_count(whole.examples));
            assert!(whole.scalars.iter().all(|s| s.is_finite() && *s != 0.0) && whole.loss > 0.0);
            let small = [(1, 3), (4, 1), (2, 2)].map(|(tangents, examples)| Cut { tangents, examples });
            assert_eq!(train(&server, &spec, data, assignment, &small).0, whole, "{sharing:?}");
        }
    }
}

/// Tangents start at the share: its derivatives are those of a pass that perturbs everything along a direction that is
/// zero elsewhere, so they are what one device with the whole adapter would have found for these groups.
#[test]
fn a_share_of_all_groups_is_the_single_devices_step() {
    for data in objectives() {
        let spec = spec(Kind::Lora, 0..3);
        let rules = Rules::new(Terms { batch: 4, ..terms(Exchange::PerEpoch { steps: 1 }, AVG) }).unwrap();
        let server = server(&spec, rules);
        let share = Share::all(server.layout().groups().len());
        let assignment = Assignment { round: 0, number: 0, share };
        let own = train(&server, &spec, data, assignment, &[WHOLE]).1;
        // The single device's step from the same weights over the same examples: one seed for both orders.
        let settings = Settings {
            estimator: rules.estimator,
            rule: ADAMW,
            schedule: Schedule { peak: 0.02, warmup: 0, steps: 1, decay: Decay::Constant },
            batch: 4,
            dropout: Dropout::NONE,
            seed: 42,
        };
        let mut trainer =
            Trainer::new(session(ctx(2), data, &spec, WHOLE, None), adapter(&spec), data, settings, WHOLE)
                .unwrap();
        trainer.step().unwrap();
        assert_eq!(bits(trainer.adapter().values()), bits(&own));
    }
}

/// A device with fewer examples than a round asks for visits each of them once.
#[test]
fn a_small_data_set_makes_a_short_round() {
    let spec = spec(Kind::Xs, 2..3);
    let rules = Rules::new(Terms { batch: 3, ..terms(Exchange::PerEpoch { steps: 4 }, AVG) }).unwrap();
    let server = server(&spec, rules);
    let data = &WORLD.label;
    let mut adapter = fresh_adapter(&spec);
    let mut session = session(ctx(1), data, &spec, WHOLE, None);
    let share = Share { first: 2, step: 1, count: 2 };
    let assignment = Assignment { round: 3, number: 1, share };
    let mut round = LocalRound::new(&server, &mut adapter, data, assignment).unwrap();
    let mut progress = Vec::new();
    while round.step(&mut session, &mut adapter, WHOLE, &mut Guard::default()).unwrap() {
        progress.push(round.progress());
    }
    assert_eq!(progress, [(1, 3), (2, 3), (3, 3)]);
    let update = round.finish();
    let tokens: usize = (0..8).map(|id| data.example(id).tokens.len()).sum();
    assert_eq!((update.examples, update.tokens, update.scalars.len()), (8, tokens as u64, 32));
}

#[test]
fn a_round_that_does_not_fit_is_refused() {
    let server = server(&spec(Kind::Xs, 0..3), rules(EXCHANGES[0], AVG));
    let refusal = |spec: &AdapterSpec, share: Share| {
        let assignment = Assignment { round: 0, number: 0, share };
        LocalRound::new(&server, &mut fresh_adapter(spec), &WORLD.lm, assignment).unwrap_err().to_string()
    };
    let all = Share::all(21);
    assert!(refusal(&spec(Kind::Xs, 0..2), all).contains("another than the fleet's"));
    assert!(refusal(&spec(Kind::Lora, 0..3), all).contains("another than the fleet's"));
    assert!(refusal(&spec(Kind::Xs, 0..3), Share { first: 1, ..all }).contains("the adapter's 21 groups"));
}
