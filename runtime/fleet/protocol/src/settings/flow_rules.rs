//! From the settings of a fleet to what its devices do under Flow.

use super::{Mode, Train};
use sprig_learn::estimator::Method;
use sprig_learn::flow::{Descent, FlowRules};
use sprig_learn::setting::{Setting, SettingError};

impl Train {
    /// What a device of such a fleet does under Flow.
    ///
    /// # Errors
    /// Settings that Flow has no use for.
    pub fn flow(&self) -> Result<FlowRules, SettingError> {
        let (train, flow, rules) = (&**self, self.flow.unwrap_or_default(), self.rules());
        if train.mode != Mode::PerEpoch {
            let problem =
                format!("Flow's devices take steps of their own; use {}", Setting::Mode.to(Mode::PerEpoch));
            return Err(Setting::Mode.error(train.mode, problem));
        }
        if train.estimator.is_by_differences() {
            let other = Setting::Estimator.to(Method::Reverse);
            return Err(
                Setting::Estimator.error(train.estimator, format!("Flow learns by derivatives; use {other}"))
            );
        }
        let descent = |lr: f32| Descent { rule: rules.local, lr };
        Ok(FlowRules {
            local_epochs: flow.local_epochs.get(),
            shared_epochs: flow.shared_epochs.get(),
            batch: rules.batch,
            gamma: flow.gamma.get(),
            global_loss: flow.global_loss,
            adapters: train.estimator,
            router: flow.router,
            tangents: train.tangents.get() as usize,
            local: descent(flow.local_lr.map_or(rules.lr, |lr| lr.get())),
            global: descent(rules.lr),
            routing: descent(flow.router_lr.get()),
            run_key: rules.run_key,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Flow, Train};
    use super::*;
    use sprig_engine::dual::Pool;
    use sprig_learn::data::Task;

    fn rules(text: &str) -> Result<FlowRules, String> {
        let train = toml::from_str::<Train>(&format!("task = \"lm\"\n{text}")).map_err(|e| e.to_string())?;
        train.flow().map_err(|e| e.to_string())
    }

    #[test]
    fn flow_takes_epochs_and_derivatives() {
        let exact = "mode = \"per-epoch\"\nestimator = \"reverse\"\nadapter = \"b-only\"\nlr = 0.002\n";
        let found = rules(&format!("{exact}[flow]\nlocal_epochs = 3\nlocal_lr = 0.01")).unwrap();
        assert_eq!((found.local_epochs, found.shared_epochs, found.gamma), (3, 1, 0.001));
        assert_eq!([found.local.lr, found.global.lr, found.routing.lr], [0.01, 0.002, 0.2]);
        let refused = rules("mode = \"per-iteration\"\nestimator = \"reverse\"\n[flow]\n").unwrap_err();
        assert!(refused.contains("per-epoch"), "{refused}");
        let refused = rules("mode = \"per-epoch\"\nestimator = \"mezo\"\ndirections = \"shared\"\n[flow]\n")
            .unwrap_err();
        assert!(refused.contains("by derivatives") && refused.contains("reverse"), "{refused}");
        let refused = rules("mode = \"per-epoch\"\n[flow]\ngama = 1").unwrap_err();
        assert!(refused.contains("gama"), "{refused}");
        let routing = Flow::default().routing(Task::Lm);
        assert_eq!((routing.pool, Flow::default().routing(Task::Label).pool), (Pool::Prefix, Pool::Prompt));
    }
}
