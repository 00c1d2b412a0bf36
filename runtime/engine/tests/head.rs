//! T10: the head streamed over tiles of the vocabulary gives what logits held whole would give, computed here in f64.
#![allow(missing_docs, clippy::unwrap_used)] // helpers of tests may unwrap as tests do

use sprig_budget::Arena;
use sprig_engine::adapter::{Adapter, AdapterSpec, Kind};
use sprig_engine::dual::{Batch, BatchError, Directions, MAX_TANGENTS, Probe, RowStats, TensorId};
use sprig_engine::gguf::{Gguf, Synthetic};
use sprig_engine::kernels::Ctx;
use sprig_engine::model::{
    Checkpoints, Module, Pass, PassError, PassInput, PassLayout, PassSize, Transformer,
};

/// Two examples, of 5 and 4 tokens.
const TOKENS: [u32; 9] = [3, 77, 150, 20, 299, 8, 41, 41, 260];
const STARTS: [usize; 3] = [0, 5, 9];
/// Rows whose logits are wanted, and their targets: the first and the last id are among them.
const WANTED: [usize; 6] = [0, 2, 3, 5, 7, 8];
const TARGETS: [u32; 6] = [77, 0, 299, 41, 150, 7];
const VOCABULARY: usize = 300;

/// Directions whose elements lie in −1..1.
struct Waves;

impl Directions for Waves {
    fn fill(&self, tangent: usize, example: usize, tensor: TensorId, out: &mut [f32]) {
        let seed = 1 + tangent + 3 * example + 17 * tensor.0 as usize;
        out.iter_mut().enumerate().for_each(|(i, v)| *v = ((seed * 7919 + i * i * 31) as f32).sin());
    }
}

/// One row's statistics; tangents one a direction.
#[derive(Debug, Clone, PartialEq)]
struct Row {
    lse: f64,
    target: f64,
    rival: f64,
    rival_id: usize,
    tangents: Vec<[f64; 3]>,
}

/// What a test runs on: the streamed statistics by tile, and the dense reference.
struct Case<'a> {
    bytes: &'a [u8],
    threads: usize,
    tangents: usize,
    targets: [u32; 6],
    /// Rows of the head that stand for tokens.
    used: usize,
    /// Size of the adapter's numbers.
    size: f32,
}

impl Case<'_> {
    /// Runs the blocks and hands the pass to `read`, whose layout has tiles of `head_tile` rows.
    fn pass<T>(&self, head_tile: usize, read: impl FnOnce(&mut Pass<'_>) -> T) -> T {
        let gguf = Gguf::parse(self.bytes).unwrap();
        let model = Transformer::load(&gguf).unwrap();
        let ctx = Ctx::new(self.threads).unwrap();
        let spec = AdapterSpec {
            kind: Kind::BOnly,
            rank: 4,
            alpha: 4.0,
            targets: vec![Module::Q, Module::V, Module::Down],
            layers: 1..3,
            kept: Vec::new(),
            routing: None,
        };
        let wave = |id: TensorId, out: &mut [f32]| Waves.fill(9, 9, id, out);
        let mut adapter = Adapter::new(&spec, &model, &ctx, wave).unwrap();
        adapter.values_mut().iter_mut().enumerate().for_each(|(i, v)| *v = self.size * (i as f32).sin());
        let layout = PassLayout::new(
            model.geometry(),
            PassSize {
                positions: TOKENS.len(),
                tangents: self.tangents,
                wanted: WANTED.len(),
                candidates: WANTED.len() * VOCABULARY,
                rank: spec.rank,
                largest_tensor: spec.largest_tensor(model.geometry()),
                masked: 0,
                kept: Checkpoints::NONE,
                threads: self.threads,
                panel_rows: ctx.panel_rows(),
                head_tile,
                routes: None,
            },
        );
        let rope = model.rope(TOKENS.len());
        let mut arena = Arena::new(layout.bytes()).unwrap();
        // What an earlier pass may have left.
        let left = arena.size().0 as usize / size_of::<f32>();
        arena.stack().take(left).unwrap().fill(1468.0);
        let batch = Batch::new(&TOKENS, &STARTS, VOCABULARY).unwrap();
        let probe = Probe { directions: &Waves, tangents: self.tangents, first_example: 0 };
        let batch = if self.tangents > 0 { batch.along(probe) } else { batch.plain() };
        let input = PassInput { batch, adapter: Some(&adapter), integer: false };
        let mut pass = Pass::new(&model, &rope, &ctx, layout, arena.stack(), input).unwrap();
        pass.embed();
        pass.blocks(0..model.geometry().blocks).unwrap();
        read(&mut pass)
    }

    fn streamed(&self, head_tile: usize) -> Vec<Row> {
        self.pass(head_tile, |pass| {
            let s = pass.row_statistics(&WANTED, &self.targets).unwrap();
            let row = |i: usize| {
                let tangent = |k: usize| {
                    let at = i * self.tangents + k;
                    [s.d_lse[at], s.d_target[at], s.d_rival[at]].map(f64::from)
                };
                Row {
                    lse: s.lse[i].into(),
                    target: s.target[i].into(),
                    rival: s.rival[i].into(),
                    rival_id: s.rival_id[i] as usize,
                    tangents: (0..self.tangents).map(tangent).collect(),
                }
            };
            (0..WANTED.len()).map(row).collect()
        })
    }

    /// All logits of each wanted row; then all their tangents, K for each id.
    fn dense(&self) -> (Vec<Vec<f32>>, Vec<Vec<f32>>) {
        self.pass(VOCABULARY, |pass| {
            let mut logits = vec![vec![0.0; VOCABULARY]; WANTED.len()];
            WANTED.iter().zip(&mut logits).for_each(|(&at, out)| pass.logits(at, out));
            let all: Vec<u32> = (0..self.used as u32).collect();
            let lists = WANTED.iter().map(|&at| (at, &all[..]));
            let duals = pass.read(&[], &[], lists).unwrap().logits;
            let group = 1 + self.tangents;
            let tangents = duals.chunks_exact(self.used * group).map(|row| {
                let of_one = row.chunks_exact(group).flat_map(|dual| &dual[1..]);
                of_one.copied().collect()
            });
            (logits, tangents.collect())
        })
    }

    fn reference(&self) -> Vec<Row> {
        let (logits, tangents) = self.dense();
        let rows = logits.iter().zip(&tangents).zip(self.targets);
        rows.map(|((logits, tangents), target)| {
            let target = target as usize;
            let logit = |v: usize| f64::from(logits[v]);
            let lse = logits[..self.used].iter().map(|&l| f64::from(l).exp()).sum::<f64>().ln();
            let others = (0..self.used).filter(|&v| v != target);
            let rival_id = others.fold(None, |best: Option<usize>, v| match best {
                Some(b) if logit(b) >= logit(v) => best,
                _ => Some(v),
            });
            let rival_id = rival_id.unwrap();
            let tangent = |k: usize| {
                let moved = |v: usize| f64::from(tangents[v * self.tangents + k]);
                let d_lse = (0..self.used).map(|v| (logit(v) - lse).exp() * moved(v)).sum();
                [d_lse, moved(target), moved(rival_id)]
            };
            let tangents = (0..self.tangents).map(tangent).collect();
            Row { lse, target: logit(target), rival: logit(rival_id), rival_id, tangents }
        })
        .collect()
    }
}

/// Largest difference over all numbers of `found` and `want`, each relative to the largest of its sort.
fn worst(found: &[Row], want: &[Row]) -> f64 {
    let numbers = |row: &Row, sort: usize| match sort {
        0 => vec![row.lse],
        1 => vec![row.target, row.rival],
        _ => row.tangents.iter().flatten().copied().collect(),
    };
    let mut worst = 0.0f64;
    for sort in 0..3 {
        let all = |rows: &[Row]| rows.iter().flat_map(|r| numbers(r, sort)).collect::<Vec<_>>();
        let (found, want) = (all(found), all(want));
        let scale = want.iter().fold(0.0f64, |s, v| s.max(v.abs()));
        for (f, w) in found.iter().zip(&want) {
            worst = worst.max((f - w).abs() / scale);
        }
    }
    worst
}

#[test]
fn every_tile_gives_what_dense_logits_give() {
    let bytes = Synthetic::tiny().bytes().unwrap();
    for tangents in [0, 2] {
        for threads in [1, 3] {
            let case =
                Case { bytes: &bytes, threads, tangents, targets: TARGETS, used: VOCABULARY, size: 0.1 };
            let want = case.reference();
            assert!(want.iter().flat_map(|r| &r.tangents).all(|t| t.iter().all(|d| d.abs() > 1e-6)));
            for tile in [1, 7, 64, VOCABULARY, 512] {
                let found = case.streamed(tile);
                let error = worst(&found, &want);
                println!("K {tangents}, {threads} threads, tile {tile}: {error:.1e}");
                assert!(error < 1e-6, "tile {tile}: {error:.1e}\n{found:?}\n{want:?}");
                let ids = |rows: &[Row]| rows.iter().map(|r| r.rival_id).collect::<Vec<_>>();
                assert_eq!(ids(&found), ids(&want), "tile {tile}");
            }
        }
    }
}

fn case(bytes: &[u8], targets: [u32; 6]) -> Case<'_> {
    Case { bytes, threads: 2, tangents: 2, targets, used: VOCABULARY, size: 0.1 }
}

/// The best row of the head, copied to two other ids: in one tile and in several, the smallest id is the rival; when
/// that is the target, the next one is, and the margin is exactly nought.
#[test]
fn of_equal_rivals_the_smallest_id_wins() {
    // A separate head, so that copying its rows leaves the embeddings as they are.
    let mut bytes = Synthetic { tied: false, ..Synthetic::tiny() }.bytes().unwrap();
    let best = case(&bytes, TARGETS).reference()[1].rival_id;
    let (row_bytes, head) = {
        let gguf = Gguf::parse(&bytes).unwrap();
        let data = gguf.data(gguf.require_tensor("output.weight").unwrap()).unwrap();
        (data.len() / VOCABULARY, data.as_ptr() as usize - bytes.as_ptr() as usize)
    };
    // Ids 10 and 12 share a tile of 7, 290 is tiles away.
    let mut equal = vec![10, 12, 290, best];
    for &copy in &equal[..3] {
        let from = head + best * row_bytes;
        bytes.copy_within(from..from + row_bytes, head + copy * row_bytes);
    }
    equal.sort_unstable();
    equal.dedup();
    let mut with_tie_as_target = TARGETS;
    with_tie_as_target[1] = equal[0] as u32;
    for (targets, rival) in [(TARGETS, equal[0]), (with_tie_as_target, equal[1])] {
        let case = case(&bytes, targets);
        let (want, (logits, _)) = (case.reference(), case.dense());
        assert!(equal.iter().all(|&id| logits[1][id] == logits[1][best]), "no tie to judge");
        assert_eq!(want[1].rival_id, rival);
        for tile in [1, 7, 64, VOCABULARY] {
            let found = case.streamed(tile);
            for (i, (found, want)) in found.iter().zip(&want).enumerate() {
                assert_eq!(found.rival_id, want.rival_id, "row {i}, tile {tile}");
            }
            if targets[1] as usize == equal[0] {
                assert_eq!(found[1].target, found[1].rival, "tile {tile}");
            }
            assert!(worst(&found, &want) < 1e-6, "tile {tile}");
        }
    }
}

/// A vocabulary that is padded: the last rows of the head stand for no token, and are as if they were not there.
#[test]
fn padded_rows_have_no_share_and_are_no_rivals() {
    const USED: usize = 290;
    // Each wanted row's rival is among the padding, or its probability would hardly show that it is left out.
    let mut bytes = Synthetic { tied: false, ..Synthetic::tiny() }.bytes().unwrap();
    let targets = TARGETS.map(|target| target.min(USED as u32 - 1));
    let whole = case(&bytes, targets).reference();
    let (row_bytes, head) = {
        let gguf = Gguf::parse(&bytes).unwrap();
        let data = gguf.data(gguf.require_tensor("output.weight").unwrap()).unwrap();
        (data.len() / VOCABULARY, data.as_ptr() as usize - bytes.as_ptr() as usize)
    };
    for (i, row) in whole.iter().enumerate() {
        let from = head + row.rival_id * row_bytes;
        bytes.copy_within(from..from + row_bytes, head + (USED + i) * row_bytes);
        bytes[from..from + row_bytes].fill(0);
    }
    // Type 5, after the key, two types and a count.
    let key = b"tokenizer.ggml.token_type";
    let types = bytes.windows(key.len()).position(|text| text == key).unwrap() + key.len() + 16;
    let padded = |token: usize| types + 4 * token..types + 4 * (token + 1);
    (USED..VOCABULARY).for_each(|token| bytes[padded(token)].copy_from_slice(&5i32.to_le_bytes()));
    let padded = Case { used: USED, ..case(&bytes, targets) };
    let want = padded.reference();
    for tile in [1, 7, 64, USED, 512] {
        let found = padded.streamed(tile);
        assert!(worst(&found, &want) < 1e-6, "tile {tile}: {found:?}\n{want:?}");
        let ids = |rows: &[Row]| rows.iter().map(|r| r.rival_id).collect::<Vec<_>>();
        assert!(ids(&found) == ids(&want) && ids(&found).iter().all(|&id| id < USED), "tile {tile}");
    }
    let (logits, _) = padded.dense();
    assert!(logits.iter().all(|row| row[USED..].iter().all(|&l| l == f32::NEG_INFINITY)));
    padded.pass(7, |pass| {
        let refused = pass.row_statistics(&[0], &[USED as u32]).err();
        let unknown = BatchError::Answer { token: USED as u32, vocabulary: USED };
        assert!(matches!(refused, Some(PassError::Batch(e)) if e == unknown));
    });
}

/// A pass that diverged: its statistics are not numbers, and its rivals are tokens of the model all the same.
#[test]
fn rows_that_are_not_numbers_have_rivals_in_the_vocabulary() {
    let bytes = Synthetic::tiny().bytes().unwrap();
    for tile in [7, VOCABULARY] {
        let rows = Case { size: f32::NAN, ..case(&bytes, TARGETS) }.streamed(tile);
        let lost: Vec<&Row> = rows.iter().filter(|row| row.target.is_nan()).collect();
        assert!(!lost.is_empty(), "{rows:?}");
        assert!(lost.iter().all(|row| row.rival_id == 0 && row.rival == f64::NEG_INFINITY), "{rows:?}");
    }
}

#[test]
fn answers_without_a_logit_are_refused() {
    let bytes = Synthetic::tiny().bytes().unwrap();
    case(&bytes, TARGETS).pass(7, |pass| {
        let unknown = BatchError::Answer { token: 300, vocabulary: VOCABULARY };
        let refused = |error: Option<PassError>| matches!(error, Some(PassError::Batch(e)) if e == unknown);
        assert!(refused(pass.row_statistics(&[1, 2], &[299, 300]).err()));
        let lists = [(1, &[4, 299][..]), (3, &[2, 300, 7])];
        assert!(refused(pass.read(&[], &[], lists.into_iter()).err()));
        assert!(pass.read(&[0], &[1], lists[..1].iter().copied()).is_ok());
        // More than was laid out, which is a row for each of six and all logits of each.
        let all: Vec<u32> = (0..VOCABULARY as u32).collect();
        let lists = (0..8).map(|at| (at, &all[..]));
        assert!(matches!(pass.read(&[], &[], lists).err(), Some(PassError::Budget(_))));
    });
}

/// Both sorts in one read are what each is alone.
#[test]
fn statistics_and_candidates_do_not_disturb_each_other() {
    let bytes = Synthetic::tiny().bytes().unwrap();
    let lists = || [(2, &[5, 6, 299][..]), (8, &[0])].into_iter();
    case(&bytes, TARGETS).pass(64, |pass| {
        let alone = (bits(pass.row_statistics(&WANTED, &TARGETS).unwrap()), {
            pass.read(&[], &[], lists()).unwrap().logits.to_vec()
        });
        let both = pass.read(&WANTED, &TARGETS, lists()).unwrap();
        assert_eq!((both.logits.to_vec(), bits(both.stats)), (alone.1, alone.0));
    });
}

fn bits(stats: RowStats<'_>) -> Vec<u32> {
    let all = [&*stats.lse, stats.target, stats.rival, stats.d_lse, stats.d_target, stats.d_rival].concat();
    all.iter().map(|v| v.to_bits()).collect()
}

#[test]
fn more_tangents_than_attention_holds_are_refused() {
    let bytes = Synthetic::tiny().bytes().unwrap();
    let (gguf, ctx) = (Gguf::parse(&bytes).unwrap(), Ctx::new(1).unwrap());
    let model = Transformer::load(&gguf).unwrap();
    let rope = model.rope(TOKENS.len());
    let tangents = MAX_TANGENTS + 1;
    let size = PassSize {
        positions: TOKENS.len(),
        tangents,
        wanted: 0,
        candidates: 0,
        rank: 0,
        largest_tensor: 0,
        masked: 0,
        kept: Checkpoints::NONE,
        threads: 1,
        panel_rows: ctx.panel_rows(),
        head_tile: VOCABULARY,
        routes: None,
    };
    let layout = PassLayout::new(model.geometry(), size);
    let mut arena = Arena::new(layout.bytes()).unwrap();
    let probe = Probe { directions: &Waves, tangents, first_example: 0 };
    let batch = Batch::new(&TOKENS, &STARTS, VOCABULARY).unwrap().along(probe);
    let input = PassInput { batch, adapter: None, integer: false };
    let refused = Pass::new(&model, &rope, &ctx, layout, arena.stack(), input).err();
    assert!(matches!(refused, Some(PassError::Batch(BatchError::Tangents(65)))));
}
