//! Settings of a training that need each other.

use super::*;

#[test]
fn settings_that_contradict_each_other_are_named_with_the_remedy() {
    let labels = vec!["a".to_owned(), "b".to_owned()];
    let labelled = TrainTable { labels, ..TrainTable::default() };
    let catto = TrainTable { objective: Some(Aim::Catto), ..labelled.clone() };
    let cases = [
        (TrainTable::default(), Setting::Labels, "name all labels"),
        (TrainTable { up: Upload::Weights, ..labelled.clone() }, Setting::Up, "per-epoch"),
        (TrainTable { head: Head::Jvp, ..labelled.clone() }, Setting::Head, "use none"),
        (
            TrainTable { task: Task::Lm, objective: Some(Aim::Dpo), ..labelled.clone() },
            Setting::Objective,
            "pair",
        ),
        (TrainTable { lam: Some(NotNegative::of(1.0)), ..labelled.clone() }, Setting::Objective, "need one"),
        (TrainTable { flow: Some(Flow::default()), ..catto.clone() }, Setting::Objective, "train.flow"),
        (TrainTable { objective: Some(Aim::Rcft), ..labelled.clone() }, Setting::Objective, "epoch"),
        (TrainTable { parts: true, ..labelled.clone() }, Setting::Parts, "objective"),
        (TrainTable { parts: true, mode: Mode::PerEpoch, ..catto.clone() }, Setting::Parts, "per-iteration"),
        (TrainTable { parts: true, estimator: Method::Reverse, ..catto.clone() }, Setting::Parts, "forward"),
    ];
    for (table, setting, words) in cases {
        let error = Train::new(table).unwrap_err();
        assert_eq!(error.setting, setting);
        assert!(error.problem.contains(words), "{error}");
    }
    Train::new(TrainTable { up: Upload::Weights, mode: Mode::PerEpoch, ..labelled.clone() }).unwrap();
    Train::new(TrainTable { up: Upload::Auto, ..labelled }).unwrap();
}

/// An objective over pairs is part of what is announced, and what its parts weigh may be decided as a round is closed.
#[test]
fn an_objective_travels_with_the_job() {
    let text = "task = \"pair\"\nobjective = \"catto\"\nlam = 0.3\ninvert = false\nparts = true\n";
    let table: TrainTable = toml::from_str(text).unwrap();
    let train = Train::new(table).unwrap();
    let told = toml::to_string(&train).unwrap();
    assert!(text.lines().all(|line| told.contains(line)), "{told}");
    assert_eq!(toml::from_str::<Train>(&told).unwrap(), train);
    assert_eq!(train.weights(None, None), [1.0, 0.3, 0.0]);
    assert_eq!(train.weights(NotNegative::new(2.0), NotNegative::new(0.5)), [1.0, 2.0, 0.5]);
    // Three numbers for each that is applied.
    let rules = train.rules();
    assert_eq!(rules.sent_count(8), 3 * rules.scalar_count(8));
    // Pairs are learnt by dpo where nothing else is said, and a job says no more than it did.
    let pairs = Train::new(TrainTable { task: Task::Pair, ..TrainTable::default() }).unwrap();
    assert!(pairs.recipe().preference().is_some() && pairs.weights(None, None).is_empty());
    assert!(!toml::to_string(&pairs).unwrap().contains("objective"));
}

/// Exact gradients are local steps where weights travel, and derivatives along the directions where scalars do.
#[test]
fn what_travels_says_what_exact_gradients_are_for() {
    let of = |mode, up| {
        let labels = vec!["a".to_owned(), "b".to_owned()];
        let train = TrainTable { labels, mode, up, estimator: Method::Reverse, ..TrainTable::default() };
        let rules = Train::new(train).unwrap().rules();
        (rules.scalar_count(rules.examples()), up.takes_scalars(&rules), up.takes_weights(&rules))
    };
    assert_eq!(of(Mode::PerEpoch, Upload::Weights), (0, false, true));
    assert_eq!(of(Mode::PerEpoch, Upload::Auto), (0, false, true));
    assert_eq!(of(Mode::PerEpoch, Upload::Scalars), (320, true, false));
    assert_eq!(of(Mode::PerIteration, Upload::Scalars), (32, true, false));
    assert_eq!(of(Mode::PerIteration, Upload::Auto), (32, true, false));
}
