//! The flags that a user gave himself: a setting that the way of learning has no use for is refused, a default is not.

use clap::ArgMatches;
use clap::parser::ValueSource;
use sprig_learn::choosing::Use;

/// Flags that not every way of learning has a use for. What is not here every way heeds, or needs no heeding to hold: a
/// limit on files that are not kept, the seed of what is not drawn.
const USES: [(Use, &[&str]); 5] = [
    (
        Use::Steps,
        &[
            "steps",
            "epochs",
            "held_back",
            "eval_every",
            "patience",
            "lr",
            "warmup",
            "decay",
            "momentum",
            "weight_decay",
            "optimizer",
            "dropout",
            "adapter_kind",
            "rank",
            "alpha",
            "targets",
            "layers",
            "from",
            "objective",
        ],
    ),
    (Use::Directions, &["tangents", "directions", "family"]),
    (Use::Differences, &["difference_step"]),
    (Use::Variance, &["variance_limit"]),
    (Use::Sums, &["add_to"]),
];

/// Those of a command's flags that were given.
#[derive(Clone, Debug, Default)]
pub struct Given(Vec<(Use, &'static str)>);

impl Given {
    /// Of a command's arguments.
    pub fn of(matches: &ArgMatches) -> Self {
        let given: Vec<&str> = matches.ids().map(clap::Id::as_str).collect();
        let by_user =
            |id: &&str| given.contains(id) && matches.value_source(id) == Some(ValueSource::CommandLine);
        let all =
            USES.iter().flat_map(|(what, ids)| ids.iter().copied().filter(by_user).map(|id| (*what, id)));
        Self(all.collect())
    }

    /// What has a use for each, and its name.
    pub fn settings(&self) -> Vec<(Use, String)> {
        self.0.iter().map(|(what, id)| (*what, format!("--{}", id.replace('_', "-")))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::Cli;
    use clap::CommandFactory;

    #[test]
    fn flags_count_when_they_were_given() {
        let line =
            ["sprig", "train", "--model", "m", "--task", "label", "--data", "d", "--lr", "1", "--tangents=4"];
        let matches = Cli::command().try_get_matches_from(line).unwrap();
        let given = Given::of(matches.subcommand().unwrap().1).settings();
        assert_eq!(given, [(Use::Steps, "--lr".to_owned()), (Use::Directions, "--tangents".to_owned())]);
    }

    #[test]
    fn every_flag_with_a_use_is_one_of_train() {
        let cli = Cli::command();
        let train = cli.find_subcommand("train").unwrap();
        for id in USES.iter().flat_map(|(_, ids)| *ids) {
            assert!(train.get_arguments().any(|argument| argument.get_id() == id), "{id}");
        }
    }
}
