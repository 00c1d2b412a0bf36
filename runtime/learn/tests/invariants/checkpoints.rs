//! Fewer block inputs than blocks, on a model that is deep enough to gain by it.

use crate::settings;
use crate::world::*;
use sprig_budget::{Bytes, Kind as Memory, Machine};
use sprig_engine::adapter::{Adapter, Kind};
use sprig_engine::gguf::{Gguf, Synthetic};
use sprig_engine::kernels::Ctx;
use sprig_engine::model::Transformer;
use sprig_learn::data::DataSet;
use sprig_learn::directions::initial_normals;
use sprig_learn::estimator::{AnyEstimator, Estimator as _, Reverse};
use sprig_learn::planner::{Fitted, ModelSize, plan};
use sprig_learn::session::Session;
use sprig_learn::trainer::{Settings, Trainer};
use sprig_learn::workload::{Means, Residency, Workload};

const BATCH: usize = 4;

#[test]
fn fewer_block_inputs_are_a_rung_that_changes_no_bit() {
    let bytes: &'static [u8] = Synthetic { blocks: 9, ..Synthetic::tiny() }.bytes().unwrap().leak();
    let model: &'static Transformer<'static> =
        Box::leak(Box::new(Transformer::load(&Gguf::parse(bytes).unwrap()).unwrap()));
    let size = ModelSize { geometry: model.geometry(), ..model_size() };
    let machine = Machine { limit: None, code: Bytes::mib(8), divided: true };
    let spec = spec(Kind::Lora, 1..9);
    for data in objectives() {
        let means = Means { threads: 2, residency: Residency::Resident };
        let work = Workload { needs: Reverse.needs(), means, ..workload(data, &spec, BATCH, 1, 2) };
        let fit = |budget| plan(&size, &work, &machine, budget).unwrap();
        let roomy = fit(Bytes(1 << 30));
        let tight = fit(roomy.plan.smallest_budget);
        let kept = |fitted: &Fitted| fitted.layout.size().kept.inputs();
        assert_eq!((kept(&roomy), kept(&tight)), (8, 5), "{}", tight.plan);
        assert!(tight.plan.ladder.iter().any(|rung| rung.rung == "fewer block inputs"), "{}", tight.plan);
        // The pass backwards goes through three of eight blocks once more.
        let (more, fewer) =
            (work.passes(size.geometry, &tight.tuning), work.passes(size.geometry, &roomy.tuning));
        assert!((more - fewer - BATCH as f64 * 3.0 / 9.0).abs() < 1e-9, "{more} and {fewer} passes");
        let adapter =
            || Adapter::new(&spec, model, ctx(1), |id, out| initial_normals([1, 2], id, out)).unwrap();
        let [whole, few] = [&roomy, &tight].map(|fitted| learnt(model, data, fitted, adapter()));
        assert_ne!(whole, bits(adapter().values()), "nothing was learnt");
        assert!(whole == few, "other bits");
    }
}

/// What three steps make of `adapter`, in an arena of exactly the planned size.
fn learnt(
    model: &'static Transformer<'static>,
    data: &'static DataSet,
    fitted: &Fitted,
    adapter: Adapter,
) -> Vec<u32> {
    let Fitted { tuning, layout, plan } = fitted;
    let ctx: &'static Ctx =
        Box::leak(Box::new(Ctx::new(2).unwrap().with_panel_rows(tuning.panel_rows).unwrap()));
    let session = Session::new(model, ctx, room(data, *layout, BATCH), objective(data), None).unwrap();
    let settings = Settings { batch: BATCH, estimator: AnyEstimator::Reverse(Reverse), ..settings(ADAMW) };
    let mut trainer = Trainer::new(session, adapter, data, settings, tuning.cut).unwrap();
    for _ in 0..3 {
        trainer.step().unwrap();
    }
    let arena = plan.regions.iter().filter(|region| region.kind == Memory::Arena);
    let planned: Bytes = arena.map(|region| region.bytes).sum();
    assert_eq!(trainer.session().0.arena_high_water(), (planned, planned), "{tuning:?}");
    bits(trainer.adapter().values())
}
