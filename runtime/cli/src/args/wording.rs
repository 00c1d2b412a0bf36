//! How messages call a setting: by its flag where it was given on the command line, by its key where it came from a
//! settings file.

use super::Command;
use sprig_learn::setting::{Setting, Wording};

/// The wording of a command's messages.
pub fn wording(command: &Command) -> Wording {
    match command {
        Command::Plan(_)
        | Command::Train(_)
        | Command::Lookalike(_)
        | Command::Eval(_)
        | Command::Calibrate(_)
        | Command::Classify(_)
        | Command::Infer(_)
        | Command::Chat(_) => flags,
        #[cfg(feature = "coordinator")]
        Command::Data(_) => flags,
        _ => sprig_protocol::settings::keys,
    }
}

/// `--len` or `--len 96`; a setting that has no flag, by its key.
pub(super) fn flags(setting: Setting, value: Option<&str>) -> String {
    let flag = match setting {
        Setting::Adapter => "adapter-kind".to_owned(),
        Setting::Optimizer => "optimizer".to_owned(),
        Setting::WeightDecay => "weight-decay".to_owned(),
        _ => setting.key().replace('_', "-"),
    };
    match value {
        None | Some("true") => format!("--{flag}"),
        Some(value) => format!("--{flag} {value}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::Cli;
    use clap::CommandFactory;

    /// What only a fleet chooses.
    const WITHOUT_FLAG: [Setting; 20] = [
        Setting::Beta1,
        Setting::Beta2,
        Setting::Epsilon,
        Setting::Head,
        Setting::Mode,
        Setting::LocalSteps,
        Setting::Seeds,
        Setting::Noise,
        Setting::NoiseAmong,
        Setting::ReadOutNoiseAmong,
        Setting::Dealing,
        Setting::Up,
        Setting::Parts,
        Setting::SecureAggregation,
        Setting::ServerRule,
        Setting::ServerEta,
        Setting::ServerBeta1,
        Setting::ServerBeta2,
        Setting::ServerTau,
        Setting::ServerDecayRounds,
    ];

    #[test]
    fn each_setting_of_a_training_is_a_flag_of_train() {
        let cli = Cli::command();
        let train = cli.find_subcommand("train").unwrap();
        let known: Vec<_> = train.get_arguments().filter_map(|a| a.get_long()).collect();
        for setting in Setting::ALL.iter().filter(|s| !WITHOUT_FLAG.contains(s)) {
            let flag = flags(*setting, None);
            assert!(known.contains(&&flag[2..]), "{flag} is no flag of sprig train");
        }
        assert_eq!(flags(Setting::Len, Some("96")), "--len 96");
        assert_eq!(flags(Setting::Raw, Some("true")), "--raw");
    }
}
