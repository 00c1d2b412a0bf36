//! The read-out: its sums are the same whoever makes them and however, and what is fitted to them is answered.

use crate::world::*;
use sprig_engine::adapter::{Adapter, AdapterFile, AdapterMeta};
use sprig_learn::data::DataSet;
use sprig_learn::estimator::Cut;
use sprig_learn::evaluate::evaluate;
use sprig_learn::minibatch::Minibatch;
use sprig_learn::objective::{LabelLoss, to_judge};
use sprig_learn::readout::file::{Origin, Seen, SumsFile, write};
use sprig_learn::readout::{self, Classes, Collector, Directions, Fit, Sample, Sums, Through};
use sprig_learn::session::Session;
use std::ops::Range;

/// Sums and sample of some examples, `pass` at a time, over `kept` directions.
fn collected(threads: usize, pass: usize, of: Range<usize>, kept: usize) -> (Sums, Sample) {
    let (data, g) = (&WORLD.label, WORLD.model.geometry());
    let spec = readout::spec(g, data.candidates(0));
    let mut session = session(ctx(threads), data, &spec, Cut { tangents: 0, examples: pass }, None);
    let sums = Sums::new(Directions { inputs: g.ffn, kept }, data.candidates(0));
    let mut collector = Collector::new(g, sums, Sample::new(g, data.len()), pass);
    let ids: Vec<usize> = of.collect();
    for ids in ids.chunks(pass) {
        collector.take(&mut session, Minibatch::new(data, ids)).unwrap();
    }
    collector.finish()
}

/// The adapter that a read-out of all examples makes.
fn fitted() -> (Adapter, readout::Chosen) {
    let (data, model, ctx) = (&WORLD.label, &WORLD.model, ctx(2));
    let classes = Classes::of(data).unwrap();
    let outward = readout::outward(model, ctx, &classes.tokens).unwrap();
    let through = Through { model, ctx, labels: &classes.tokens, outward: &outward };
    let (sums, sample) = collected(2, 3, 0..data.len(), model.geometry().ffn);
    let Fit { down, up, chosen } = readout::fit(sums, &sample, through, |_| {});
    let mut adapter = fresh_adapter(&readout::spec(model.geometry(), classes.tokens.len()));
    let (a, b) = adapter.values_mut().split_at_mut(down.len());
    a.copy_from_slice(&down);
    b.copy_from_slice(&up);
    (adapter, chosen)
}

/// A session that judges answers over the whole vocabulary.
fn judging(data: &DataSet, rank: usize) -> Session<'static> {
    let spec = readout::spec(WORLD.model.geometry(), rank);
    let mut work = workload(data, &spec, 4, 0, 2);
    work.objective = to_judge(sprig_learn::data::Task::Label, LabelLoss::Full);
    let tuning = sprig_learn::workload::Tuning::widest(&work);
    let pass = tuning.pass(WORLD.model.geometry(), &work);
    let layout = sprig_engine::model::PassLayout::new(WORLD.model.geometry(), pass);
    Session::new(&WORLD.model, ctx(2), work.room(layout), work.objective.clone(), None).unwrap()
}

#[test]
fn sums_are_the_same_whatever_the_cut_the_threads_and_the_dealing() {
    let n = WORLD.label.len();
    for kept in [WORLD.model.geometry().ffn, 50] {
        let (whole, _) = collected(1, 1, 0..n, kept);
        assert!(whole.examples() == n as u64 && whole.products.iter().any(|&sum| sum != 0));
        for (threads, pass) in [(1, 3), (2, 8), (3, 2), (5, 5)] {
            assert_eq!(collected(threads, pass, 0..n, kept).0, whole, "{threads} threads, {pass} a pass");
        }
        let mut dealt = collected(2, 2, 5..n, kept).0;
        dealt.merge(&collected(1, 3, 0..2, kept).0).unwrap();
        dealt.merge(&collected(3, 1, 2..5, kept).0).unwrap();
        assert_eq!(dealt, whole);
    }
}

#[test]
fn what_was_fitted_is_answered_and_above_all_other_words() {
    let (adapter, chosen) = fitted();
    let data = &WORLD.label;
    let mut session = judging(data, adapter.rank());
    let found = evaluate(&mut session, Some(&adapter), data, 4, |_| true).unwrap().unwrap();
    let plain = evaluate(&mut session, None, data, 4, |_| true).unwrap().unwrap();
    assert_eq!(found.answered, Some(1.0), "{chosen:?}");
    assert!(plain.answered < Some(0.5) && found.loss < plain.loss, "{plain:?}");
    assert!(found.accuracy >= 0.8 && found.accuracy > plain.accuracy, "{found:?}, {plain:?}");

    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.gguf");
    adapter.write(&path, &AdapterMeta::of(WORLD.model.geometry(), &"0".repeat(64))).unwrap();
    let read = AdapterFile::open(&path).unwrap().load(WORLD.model.geometry()).unwrap();
    let again = evaluate(&mut session, Some(&read), data, 4, |_| true).unwrap().unwrap();
    assert_eq!(again, found);
}

#[test]
fn labels_directions_move_their_own_logits_alone() {
    let (model, classes) = (&WORLD.model, Classes::of(&WORLD.label).unwrap());
    let outward = readout::outward(model, ctx(1), &classes.tokens).unwrap();
    assert_eq!(outward, readout::outward(model, ctx(3), &classes.tokens).unwrap());
    let (head, d) = (model.head(), model.geometry().width);
    let mut rows = vec![0.0f32; head.rows() * d];
    sprig_engine::dual::unpack(ctx(1), head, &mut rows);
    let moved = |word: usize, step: &[f64]| -> f64 {
        let row = rows[word * d..][..d].iter().zip(model.final_norm());
        row.zip(step).map(|((w, gain), s)| f64::from(w * gain) * s).sum()
    };
    for (class, step) in outward.chunks_exact(d).enumerate() {
        for (other, &token) in classes.tokens.iter().enumerate() {
            let want = f64::from(u8::from(other == class));
            assert!((moved(token as usize, step) - want).abs() < 1e-5, "label {other} by step {class}");
        }
        let rest = (0..head.rows()).filter(|&w| !classes.tokens.contains(&(w as u32)));
        let most = rest.map(|word| moved(word, step).abs()).fold(0.0, f64::max);
        assert!(most < 1.0, "another word by {most}");
    }
}

#[test]
fn a_file_of_sums_is_read_as_it_was_written_or_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.sums");
    let (sums, sample) = collected(1, 4, 0..WORLD.label.len(), 5);
    let (g, n) = (WORLD.model.geometry(), sample.len());
    let origin = Origin { model: "m".into(), asking: "a".into(), len: 12, tokens: vec![7, 8, 9] };
    let data = vec!["d".to_owned()];
    let seen = Seen { sets: data.clone(), taken: None };
    write(&path, &origin, &seen, &sums, &sample).unwrap();
    let file = SumsFile::open(&path).unwrap();
    file.check(&origin).unwrap();
    assert_eq!((file.data(), file.directions()), (&data[..], sums.directions));
    // Beside three examples of its own a sample has room for all of these, beside many for fewer, and for none.
    for (own, room) in [(3, n), (125, 3), (500, 0)] {
        let mut filled = Sample::new(g, own);
        assert_eq!(SumsFile::open(&path).unwrap().load(&mut filled).unwrap(), sums);
        assert_eq!(filled.len(), room, "beside {own}");
        assert!((0..room).all(|i| (0..n).any(|j| filled.gated(i) == sample.gated(j)
            && filled.stream(i) == sample.stream(j)
            && filled.answers()[i] == sample.answers()[j])));
    }
    file.check_whole().unwrap();
    assert!(SumsFile::is_at(&path) && file.taken(&data).is_err());
    drop(file);
    // A checkpoint gives back the whole sample, to the pass that it is of and to no other.
    let under_way = dir.path().join("a.ckpt");
    write(&under_way, &origin, &Seen { taken: Some(4), ..seen }, &sums, &sample).unwrap();
    let file = SumsFile::open(&under_way).unwrap();
    assert_eq!(file.taken(&data).unwrap(), 4);
    assert!(file.check_whole().is_err() && file.taken(&["other".to_owned()]).is_err());
    let mut filled = Sample::new(g, 500);
    assert_eq!(file.load(&mut filled).unwrap(), sums);
    assert!((0..n).all(|i| filled.gated(i) == sample.gated(i)) && filled.answers() == sample.answers());
    type Change = fn(&mut Origin);
    let others: [(&str, Change); 4] = [
        ("another model", |o| o.model.push('x')),
        ("other words", |o| o.asking.push('x')),
        ("other answers", |o| o.tokens[0] = 1),
        ("another --len", |o| o.len = 13),
    ];
    for (words, change) in others {
        let mut other = origin.clone();
        change(&mut other);
        let refused = SumsFile::open(&path).unwrap().check(&other).unwrap_err().to_string();
        assert!(refused.contains(words), "{refused}");
    }
    let whole = std::fs::read(&path).unwrap();
    let read = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        SumsFile::open(&path)
            .and_then(|file| file.check(&origin).and_then(|()| file.load(&mut Sample::new(g, 3))))
    };
    // Every byte of the header, and some of each part behind it.
    let places = || (0..200).chain((200..whole.len()).step_by(211)).chain(whole.len() - 40..whole.len());
    for end in places() {
        assert!(read(&whole[..end]).is_err(), "cut at {end}");
    }
    for flip in places() {
        let mut bytes = whole.clone();
        bytes[flip] ^= 4;
        assert!(read(&bytes).is_err(), "flipped at {flip}");
    }
    assert!(read(&[&whole[..], b"x"].concat()).is_err());
    assert_eq!(read(&whole).unwrap(), sums);
}
