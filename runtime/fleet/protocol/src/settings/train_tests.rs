//! Settings of a training that need each other.

use super::*;

#[test]
fn settings_that_contradict_each_other_are_named_with_the_remedy() {
    let labels = vec!["a".to_owned(), "b".to_owned()];
    let labelled = TrainTable { labels, ..TrainTable::default() };
    let cases = [
        (TrainTable::default(), Setting::Labels, "name all labels"),
        (TrainTable { up: Upload::Weights, ..labelled.clone() }, Setting::Up, "per-epoch"),
        (TrainTable { head: Head::Jvp, ..labelled.clone() }, Setting::Head, "use none"),
    ];
    for (table, setting, words) in cases {
        let error = Train::new(table).unwrap_err();
        assert_eq!(error.setting, setting);
        assert!(error.problem.contains(words), "{error}");
    }
    Train::new(TrainTable { up: Upload::Weights, mode: Mode::PerEpoch, ..labelled.clone() }).unwrap();
    Train::new(TrainTable { up: Upload::Auto, ..labelled }).unwrap();
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
