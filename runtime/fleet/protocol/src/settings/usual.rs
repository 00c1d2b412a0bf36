//! `[train]` where it says nothing.

use super::{Head, Server, TrainTable, Upload};
use sprig_learn::recipe::Targets;
use sprig_learn::recipe::defaults::{self, FLEET, FLEET_LABEL_LOSS};

impl Default for TrainTable {
    fn default() -> Self {
        Self {
            preset: None,
            task: defaults::FLEET_TASK,
            raw: false,
            template: None,
            labels: Vec::new(),
            label_style: defaults::LABEL_STYLE,
            label_loss: FLEET_LABEL_LOSS,
            len: defaults::LEN,
            batch: defaults::BATCH,
            estimator: defaults::ESTIMATOR,
            tangents: FLEET.tangents(defaults::ESTIMATOR),
            adapter: defaults::ADAPTER,
            rank: FLEET.rank(defaults::ADAPTER),
            alpha: None,
            targets: Targets::of(FLEET.targets),
            layers: None,
            head: Head::None,
            family: None,
            directions: defaults::directions(defaults::ESTIMATOR),
            difference_step: None,
            variance_limit: None,
            clip: defaults::CLIP,
            dropout: defaults::DROPOUT,
            seeds: defaults::SEEDS,
            init: None,
            seed: 0,
            mode: defaults::MODE,
            local_steps: defaults::LOCAL_STEPS,
            local_optimizer: defaults::OPTIMISER,
            adamw: defaults::ADAMW,
            lr: defaults::fleet_lr(
                defaults::MODE,
                defaults::OPTIMISER,
                defaults::ESTIMATOR,
                defaults::ADAPTER,
            ),
            server: Server::default(),
            dealing: defaults::DEALING,
            up: Upload::Scalars,
            objective: None,
            beta: None,
            lam: None,
            sft_weight: None,
            smoothing: None,
            kappa: None,
            cal_form: None,
            invert: None,
            stopgrad_z: false,
            mask_shared: None,
            parts: false,
            secure_aggregation: false,
            readout: None,
            noise: None,
            flow: None,
        }
    }
}
