//! The product's preferences, over pairs of completions and over labels.

use super::world::*;
use super::{CUT, IDS, check_derivatives, judging, losses};
use sprig_engine::adapter::Kind;
use sprig_engine::dual::Probe;
use sprig_learn::calibration::{Bins, Item};
use sprig_learn::data::{DataSet, Target};
use sprig_learn::directions::{Family, Sharing};
use sprig_learn::estimator::{Iteration, ScalarEstimator};
use sprig_learn::minibatch::Minibatch;
use sprig_learn::objective::{
    Aim, Candidates, Distance, LabelLoss, Objective, Preference, Reckoned, Reference, Terms, references,
};
use sprig_learn::outcome::Outcome;
use std::f64::consts::LN_2;
use std::sync::Arc;

const AIMS: [Aim; 7] = [Aim::Sft, Aim::Dpo, Aim::DpoBce, Aim::CalDpo, Aim::Catto, Aim::Penalty, Aim::Rcft];
const BOTH: [LabelLoss; 2] = [LabelLoss::Full, LabelLoss::Labels];

/// Every objective's terms count.
fn terms() -> Terms {
    Terms { beta: 0.5, lambda: 0.7, sft: 0.3, smoothing: 0.1, ..Terms::default() }
}

fn sets() -> [&'static DataSet; 2] {
    [&WORLD.pair, &WORLD.label]
}

/// What the untouched model gives the answers of `data`.
fn measured(data: &DataSet) -> Vec<Reference> {
    let spec = spec(Kind::Lora, 0..3);
    let candidates = Candidates::new(data.candidates(0));
    let mut session = judging(candidates.clone(), data, &spec);
    let found = references(&mut session, &fresh_adapter(&spec), data, (&candidates, CUT.examples), |_| true);
    found.unwrap().unwrap()
}

/// What an epoch of `data` is reckoned to, `at_once` examples at a time.
fn reckoned(objective: &Preference, data: &DataSet, at_once: usize) -> Reckoned {
    let spec = spec(Kind::Lora, 0..3);
    let mut session = judging(objective.clone(), data, &spec);
    let pass = (&mut session, &adapter(&spec));
    let what = (Arc::new(objective.clone()) as Arc<dyn Objective>, 0);
    Reckoned::of(pass, data.into(), at_once, what, &mut |_| true).unwrap().unwrap()
}

/// However an epoch is cut, and judged by the scores of the same examples.
#[test]
fn an_epoch_is_reckoned_by_the_accuracy_of_like_confidences() {
    let spec = spec(Kind::Lora, 0..3);
    for data in sets() {
        let rcft = Preference::new(Aim::Rcft, terms(), LabelLoss::Full);
        let found = reckoned(&rcft, data, CUT.examples);
        assert_eq!(found, reckoned(&rcft, data, 1));
        if data.candidates(0) == 0 {
            continue;
        }
        let candidates = Candidates::new(data.candidates(0));
        let mut session = judging(candidates.clone(), data, &spec);
        let mut bins = Bins::new(10);
        for id in 0..data.len() {
            session.judge(&adapter(&spec), Minibatch::new(data, &[id]), &mut [Outcome::default()]).unwrap();
            let example = data.example(id);
            let Target::Label { answer, .. } = example.target else { panic!("no label") };
            let logits = candidates.scores(session.parts(), 0, &example).collect();
            let (confidence, right) = Item { logits, answer }.confidence(1.0);
            bins.add(confidence, right);
        }
        assert!((found.error() - bins.ece()).abs() < 1e-9, "{} and {}", found.error(), bins.ece());
    }
}

#[test]
fn preferences_have_their_derivatives() {
    for data in sets() {
        let references = measured(data);
        for (aim, vocabulary) in AIMS.into_iter().flat_map(|aim| BOTH.map(|whole| (aim, whole))) {
            println!("{aim}, {vocabulary}");
            check_derivatives(Preference::new(aim, terms(), vocabulary).against(references.clone()), data);
        }
        let rcft = Preference::new(Aim::Rcft, terms(), LabelLoss::Labels);
        check_derivatives(rcft.clone().drawn_to(reckoned(&rcft, data, CUT.examples)), data);
        for distance in [Distance::L2, Distance::Bce] {
            let terms = Terms { distance, kappa: 2.0, invert: false, mask_shared: false, ..terms() };
            check_derivatives(Preference::new(Aim::Catto, terms, LabelLoss::Full), data);
        }
    }
}

/// An adapter that changes nothing yet is its own reference: no preference, and ln 2 a pair (the derivative of which is
/// -β/2 times that of the difference).
#[test]
fn before_training_nothing_is_preferred() {
    let spec = spec(Kind::Lora, 0..3);
    let adapter = fresh_adapter(&spec);
    let tensors = tensors(&adapter);
    let directions =
        forward(Family::Rademacher, Sharing::PerExample, 2).directions(&tensors, Iteration::of_step(0));
    for data in sets() {
        let dpo = Preference::new(Aim::Dpo, Terms::default(), LabelLoss::Full).against(measured(data));
        let candidates = Candidates::new(data.candidates(0));
        let batch = Minibatch::new(data, &IDS);
        let slopes = |objective: Arc<dyn sprig_learn::objective::Objective>| {
            let needs =
                sprig_learn::estimator::Needs { tangents: 2, ..sprig_learn::estimator::Needs::NOTHING };
            let work = super::work(objective.clone(), data, &spec, IDS.len(), needs);
            let g = WORLD.model.geometry();
            let tuning = sprig_learn::workload::Tuning::widest(&work);
            let layout = sprig_engine::model::PassLayout::new(g, tuning.pass(g, &work));
            let mut session =
                sprig_learn::session::Session::new(&WORLD.model, ctx(1), work.room(layout), objective, None)
                    .unwrap();
            let (mut outcomes, mut found) = ([Outcome::default(); 4], [0.0; 8]);
            let probe = Probe { directions: &directions, tangents: 2, first_example: 0 };
            session.run(Some(&adapter), Some(probe), batch, &mut outcomes, &mut found).unwrap();
            (outcomes, session.parts().to_vec())
        };
        let (outcomes, parts) = slopes(Arc::new(dpo));
        outcomes.iter().for_each(|o| assert!((o.loss - LN_2).abs() < 1e-6, "{o:?}"));
        if !data.is_lm() && data.candidates(0) == 0 {
            let (_, scores) = slopes(Arc::new(candidates));
            for (dpo, scores) in parts.chunks(3).zip(scores.chunks(3)) {
                let wanted = -0.05 * (scores[1].d - scores[2].d);
                assert!((dpo[0].d - wanted).abs() < 1e-6 * (1.0 + wanted.abs()), "{} {wanted}", dpo[0].d);
            }
        }
    }
}

/// λ = 0 is DPO bit for bit; and whatever is trained, one pass gives the same three parts.
#[test]
fn one_pass_gives_what_three_give() {
    let spec = spec(Kind::Lora, 0..3);
    let adapter = adapter(&spec);
    for data in sets() {
        let references = measured(data);
        let run = |aim, terms| {
            let objective = Preference::new(aim, terms, LabelLoss::Labels).against(references.clone());
            let mut session = judging(objective, data, &spec);
            let losses: Vec<f64> = losses(&mut session, &adapter, data).iter().map(|o| o.loss).collect();
            (losses, session.parts().iter().map(|part| part.v).collect::<Vec<_>>())
        };
        let terms = Terms::default();
        let (all, parts) = run(Aim::Catto, terms);
        let (dpo, _) = run(Aim::Dpo, terms);
        assert_eq!(run(Aim::Catto, Terms { lambda: 0.0, ..terms }).0, dpo);
        assert_eq!(dpo, parts.iter().step_by(3).copied().collect::<Vec<_>>());
        assert_eq!(run(Aim::Sft, terms).0, parts.iter().skip(2).step_by(3).copied().collect::<Vec<_>>());
        for ((all, dpo), calibration) in all.iter().zip(&dpo).zip(parts.iter().skip(1).step_by(3)) {
            assert!(*calibration > 0.0 && (all - dpo - 0.1 * calibration).abs() < 1e-12);
        }
    }
}

/// The answer that stands against the right one is the likeliest wrong one.
#[test]
fn references_name_the_likeliest_wrong_answer() {
    use sprig_learn::data::Target;
    let (data, spec) = (&WORLD.label, spec(Kind::Lora, 0..3));
    let references = measured(data);
    let candidates = Candidates::new(data.candidates(0));
    let mut session = judging(candidates.clone(), data, &spec);
    losses(&mut session, &fresh_adapter(&spec), data);
    for (e, &id) in IDS.iter().enumerate() {
        let example = data.example(id);
        let Target::Label { answer, .. } = example.target else { panic!("no label") };
        let scores: Vec<f64> = candidates.scores(session.parts(), e, &example).collect();
        let negative = usize::from(references[id].negative.unwrap());
        assert_ne!(negative, answer);
        assert!((0..scores.len()).all(|i| i == answer || scores[i] <= scores[negative]));
        let difference = f64::from(references[id].chosen - references[id].rejected);
        assert!((difference - (scores[answer] - scores[negative])).abs() < 1e-5);
    }
}

/// What either completion gets is what it gets alone behind the prompt.
#[test]
fn completions_do_not_see_each_other() {
    use sprig_learn::data::Target;
    let (data, spec) = (&WORLD.pair, spec(Kind::Lora, 0..3));
    let adapter = adapter(&spec);
    let candidates = Candidates::new(2);
    let mut session = judging(candidates.clone(), data, &spec);
    losses(&mut session, &adapter, data);
    for (e, &id) in IDS.iter().enumerate() {
        let example = data.example(id);
        let Target::Pair { first, second } = example.target else { panic!("no pair") };
        let (prompt, scores) = (&example.tokens[..first], candidates.scores(session.parts(), e, &example));
        for (tokens, score) in
            [&example.tokens[first..second], &example.tokens[second..]].into_iter().zip(scores)
        {
            let alone = super::objectives::likelihood(&adapter, &[prompt, tokens].concat());
            let alone = super::objectives::likelihood(&adapter, prompt) - alone;
            assert!((score - alone).abs() < 1e-5, "example {id}: {score} and {alone}");
        }
    }
}
