//! What an adapter's file may hold, and what loading it takes.

use super::*;
use crate::gguf::{Synthetic, Writer};

const DIGEST: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// A model of three blocks.
fn geometry() -> Geometry {
    let bytes = Synthetic::tiny().bytes().unwrap();
    Geometry::read(&Gguf::parse(&bytes).unwrap()).unwrap()
}

fn header(kind: &str) -> Writer<'static> {
    Writer::new()
        .metadata("general.type", "adapter")
        .metadata("general.architecture", "llama")
        .metadata("adapter.type", kind)
        .metadata("adapter.lora.alpha", 16.0f32)
        .metadata("unknown.key", 1u32)
}

/// A pair of rank 2 on `tensor`, each weight `value`.
fn pair<'s>(writer: Writer<'s>, tensor: &str, shape: (usize, usize), values: &'s [f32]) -> Writer<'s> {
    let (out, inp) = shape;
    writer.tensor_f32(format!("{tensor}{A}"), &[inp as u64, 2], &values[..2 * inp]).tensor_f32(
        format!("{tensor}{B}"),
        &[2, out as u64],
        &values[..2 * out],
    )
}

fn written(writer: Writer<'_>) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.gguf");
    writer.write_atomic(&path).unwrap();
    (dir, path)
}

#[test]
fn the_header_tells_what_loading_takes() {
    let (g, values) = (geometry(), vec![0.25; 4096]);
    let (q, down) = (Module::Q.shape(&g), Module::Down.shape(&g));
    let writer = header("lora").metadata(DIGEST_KEY, DIGEST);
    let writer = pair(writer, "blk.1.ffn_down.weight", down, &values);
    let (_dir, path) = written(pair(writer, "blk.0.attn_q.weight", q, &values));
    let file = AdapterFile::open(&path).unwrap();
    assert_eq!((file.rank(), file.alpha(), file.pairs().len()), (2, 16.0, 2));
    assert_eq!(file.meta().base_digest.as_deref(), Some(DIGEST));
    let adapter = file.load(&g).unwrap();
    assert_eq!(adapter.numbers(), 2 * (q.0 + q.1 + down.0 + down.1));
    let heap = file.heap_bytes(&g).0 as usize;
    assert!((4 * adapter.numbers()..4 * adapter.numbers() + 2048).contains(&heap), "{heap}");
    assert!(file.load_bytes(&g) > file.heap_bytes(&g));
    let site = adapter.site(0, Module::Q, false).unwrap();
    assert_eq!((site.rank, site.scale, site.down.values), (2, 8.0, &values[..2 * q.1]));
    assert!(adapter.site(1, Module::Q, false).is_none());
}

#[test]
fn another_base_is_refused_with_both_digests() {
    let (other, values) = ("f".repeat(64), vec![0.0; 4096]);
    let (_dir, path) = written(pair(header("lora").metadata(DIGEST_KEY, DIGEST), "x", (8, 8), &values));
    let own = AdapterFile::open(&path).unwrap();
    own.check_base(DIGEST).unwrap();
    own.check_base(&DIGEST.to_uppercase()).unwrap();
    let message = own.check_base(&other).unwrap_err().to_string();
    assert!(message.contains(DIGEST) && message.contains(&other), "{message}");
    let (_dir, path) = written(pair(header("lora"), "x", (8, 8), &values));
    let foreign = AdapterFile::open(&path).unwrap();
    assert_eq!(foreign.meta().asking, None);
    assert!(foreign.check_base(&other).unwrap_err().to_string().contains("names no base"));
}

#[test]
fn what_the_model_does_not_have_and_what_diverged_is_not_loaded() {
    let g = geometry();
    let q = Module::Q.shape(&g);
    let mut values = vec![0.5; 4096];
    let refused = |tensor: &str, shape: (usize, usize), values: &[f32]| {
        let (_dir, path) = written(pair(header("lora"), tensor, shape, values));
        let error = AdapterFile::open(&path).unwrap().load(&g).unwrap_err();
        assert!(!error.is_io());
        error.to_string()
    };
    for tensor in ["blk.9.attn_q.weight", "blk.00.attn_q.weight", "blk.0.attn_z.weight", "output.weight"] {
        let message = refused(tensor, q, &values);
        assert!(message.contains(tensor) && message.contains("use the base model"), "{message}");
    }
    assert!(refused("blk.0.attn_q.weight", (q.0 + 1, q.1), &values).contains("does not have"));
    values[3] = f32::INFINITY;
    assert!(refused("blk.0.attn_q.weight", q, &values).contains("a weight that is inf"));
}

#[test]
fn files_that_are_no_lora_adapters_are_refused() {
    let refused = |writer: Writer<'_>| {
        let (_dir, path) = written(writer);
        let error = AdapterFile::open(&path).unwrap_err();
        assert!(!error.is_io());
        error.to_string()
    };
    let zeros = vec![0.0; 4096];
    let shaped = |kind: &str, name: &str, a: &[u64], b: &[u64]| {
        let take = |dims: &[u64]| &zeros[..dims.iter().product::<u64>() as usize];
        let writer = header(kind).tensor_f32(format!("{name}.lora_a"), a, take(a));
        refused(writer.tensor_f32("w.lora_b", b, take(b)))
    };
    assert!(shaped("aLoRA", "w", &[8, 2], &[2, 8]).contains("adapter.type is `aLoRA`"));
    assert!(shaped("lora", "w", &[8, 2], &[3, 8]).contains("rank 2 in .lora_a but 3"));
    assert!(shaped("lora", "w", &[8], &[2, 8]).contains("two matrices"));
    assert!(shaped("lora", "w", &[1, 1025], &[1025, 1]).contains("rank 1025"));
    assert!(shaped("lora", "other", &[8, 2], &[2, 8]).contains("other.lora_b"));
    assert!(refused(header("lora").metadata(DIGEST_KEY, "x")).contains("64 hexadecimal"));
    let long = Asking { task: "x".repeat(200 << 10), ..Asking::default() };
    assert!(refused(long.write(header("lora"))).contains("131072 bytes"));
    assert!(refused(Synthetic::tiny().writer().unwrap()).contains("general.type is `model`"));
    assert!(AdapterFile::open("/nowhere/a.gguf").unwrap_err().is_io());
}
