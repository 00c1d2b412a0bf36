//! Streams of a size that half floats do not hold.

use super::world::*;
use sprig_budget::Bytes;
use sprig_engine::adapter::{Adapter, Kind};
use sprig_engine::gguf::{Gguf, Synthetic, TensorType};
use sprig_engine::kernels::Isa;
use sprig_engine::model::Transformer;
use sprig_learn::directions::initial_normals;
use sprig_learn::estimator::Cut;
use sprig_learn::evaluate::{evaluate, evaluate_from_prefix};
use sprig_learn::prefix::{Origin, PrefixCache};
use sprig_learn::session::Session;
use sprig_learn::workload::Tuning;

/// The embeddings of a model, a million times as large: some families multiply theirs, and all streams grow by block.
fn large() -> Transformer<'static> {
    let shape = Synthetic { tied: false, ..Synthetic::tiny().of_type(TensorType::F32) };
    let mut bytes = shape.bytes().unwrap();
    let (from, len) = {
        let gguf = Gguf::parse(&bytes).unwrap();
        let data = gguf.data(gguf.require_tensor("token_embd.weight").unwrap()).unwrap();
        (data.as_ptr() as usize - bytes.as_ptr() as usize, data.len())
    };
    for value in bytes[from..from + len].as_chunks_mut::<4>().0 {
        *value = (f32::from_le_bytes(*value) * 1e6).to_le_bytes();
    }
    Transformer::load(&Gguf::parse(Box::leak(bytes.into_boxed_slice())).unwrap()).unwrap()
}

#[test]
fn a_stream_beyond_half_floats_is_kept_in_the_prefix_cache() {
    let dir = tempfile::tempdir().unwrap();
    let (model, ctx, spec) = (Box::leak(Box::new(large())), ctx(2), spec(Kind::BOnly, 2..3));
    let cut = Cut { tangents: 1, examples: 4 };
    for data in objectives() {
        let adapter = Adapter::new(&spec, model, ctx, |id, out| initial_normals([1, 2], id, out)).unwrap();
        let origin = Origin { model: "large", data: data.digest(), blocks: 2, width: 64, isa: Isa::Scalar };
        let cache = PrefixCache::open(&dir.path().join("a.prefix"), Bytes::mib(1), &origin, data.longest());
        let tuning = Tuning { cut, panel_rows: ctx.panel_rows(), streamed: false, run: 1 };
        let room = room(data, layout(ctx, data, &spec, &tuning), cut.examples);
        let mut session = Session::new(model, ctx, room, objective(data), Some(cache)).unwrap();
        let whole = evaluate(&mut session, Some(&adapter), data, 4, |_| true).unwrap().unwrap();
        // Computed and kept, then served.
        for hits in [0, 8] {
            let kept =
                evaluate_from_prefix(&mut session, &adapter, data.into(), 4, |_| true).unwrap().unwrap();
            println!("{} from a pass, {} from the cache", whole.loss, kept.loss);
            assert!(whole.loss.is_finite() && (kept.loss / whole.loss - 1.0).abs() < 1e-3);
            assert_eq!(session.prefix().unwrap().counts().hits, hits);
        }
    }
}
