//! What a `[train]` table says as far as a device by itself would have it.

use super::TrainTable;
use sprig_learn::recipe::{AdapterRecipe, Preferring, Recipe, Records};

impl TrainTable {
    /// What is learnt and how, as far as a device by itself would have it.
    pub fn recipe(&self) -> Recipe {
        Recipe {
            records: Records {
                raw: self.raw,
                template: self.template.clone(),
                labels: self.labels.clone(),
                label_style: self.label_style,
                ..Records::new(self.task, self.len)
            },
            adapter: AdapterRecipe {
                kind: self.adapter,
                rank: self.rank,
                alpha: self.alpha,
                targets: self.targets.clone(),
                layers: self.layers.clone(),
                method: self.estimator,
            },
            estimator: self.estimator,
            tangents: self.tangents,
            family: self.family,
            directions: self.directions,
            difference_step: self.difference_step,
            variance_limit: self.variance_limit,
            batch: self.batch,
            dropout: self.dropout,
            label_loss: self.label_loss,
            preferring: self.preferring(),
            seed: self.seed,
        }
    }

    /// What is learnt of pairs of answers, if that is what they are.
    pub(super) fn preferring(&self) -> Preferring {
        let Self { objective, beta, lam, sft_weight, smoothing, kappa, .. } = *self;
        let Self { cal_form, invert, stopgrad_z, mask_shared, .. } = *self;
        Preferring {
            objective,
            beta,
            lam,
            sft_weight,
            smoothing,
            kappa,
            cal_form,
            invert,
            stopgrad_z,
            mask_shared,
        }
    }
}
