//! The adjoint of the output head.

use super::*;

/// What a loss by log-sum-exp, target and rival of the logits gives the hidden row, and by a few candidates.
#[test]
fn head() {
    const D: usize = 24;
    const V: usize = 90;
    let (w, hidden, slopes) = (noise(14, V * D), noise(15, 2 * D), noise(16, 6));
    let targets = [7u32, 88];
    let logits = |x: &[f64]| -> Vec<f64> { w.chunks(D).map(|row| dot(row, x)).collect() };
    let rival = |x: &[f64], target: u32| {
        let logits = logits(x);
        (0..V).filter(|v| *v != target as usize).max_by(|a, b| logits[*a].total_cmp(&logits[*b])).unwrap()
    };
    let rivals: Vec<usize> = hidden.chunks(D).zip(targets).map(|(x, t)| rival(x, t)).collect();
    let f = |x: &[f64]| -> Vec<f64> {
        let row = |(i, x): (usize, &[f64])| {
            let l = logits(x);
            [l.iter().map(|l| l.exp()).sum::<f64>().ln(), l[targets[i] as usize], l[rivals[i]]]
        };
        x.chunks(D).enumerate().flat_map(row).collect()
    };
    let formula: Vec<f64> = (0..2)
        .flat_map(|i| {
            let (l, s) = (logits(&hidden[i * D..][..D]), &slopes[3 * i..]);
            let z: f64 = l.iter().map(|l| l.exp()).sum();
            let row = |v: usize| &w[v * D..][..D];
            let column = |j: usize| {
                let mean: f64 = (0..V).map(|v| l[v].exp() / z * row(v)[j]).sum();
                s[0] * mean + s[1] * row(targets[i] as usize)[j] + s[2] * row(rivals[i])[j]
            };
            (0..D).map(column).collect::<Vec<_>>()
        })
        .collect();
    holds("head", f, &hidden, &slopes, &formula);
    let weights = single(&w);
    let (ctx, weight) = (Ctx::new(2).unwrap(), Matrix::from_f32(V, D, &weights).unwrap());
    let head = Head { ctx: &ctx, weight: &weight, keeper: &Nobody };
    for tile in [16, 64, V] {
        let mut pull = vec![f32::NAN; 2 * D];
        let mut buffers = [2 * tile, tile * D, 2, 8 * D, 2 * 64 * D].map(|n| vec![0.0f32; n]);
        let [logits, weights, z, rows, panels] = &mut buffers;
        let mut numbers = [0.0f32; 8];
        let (lse, rest) = numbers.split_at_mut(2);
        let (target, rest) = rest.split_at_mut(2);
        let (rival, rival_id) = rest.split_at_mut(2);
        let (d_lse, d_target, d_rival) = (&mut [][..], &mut [][..], &mut [][..]);
        let mut stats = RowStats { lse, target, rival, rival_id, d_lse, d_target, d_rival };
        let mut scratch = HeadScratch { logits, weights, pull: &mut pull, z, rows, panels };
        head.statistics(read(&single(&hidden), D), &targets, &mut stats, &mut scratch);
        assert_eq!(rivals, stats.rival_id.iter().map(|id| *id as usize).collect::<Vec<_>>());
        head.statistics_adjoint(&targets, stats.rival_id, &single(&slopes), &mut pull, &mut vec![0.0; 8 * D]);
        close("head", &pull, &formula);
    }
    let (candidates, mut found) = ([3u32, 50, 3], vec![0.0f32; D]);
    head.candidates_adjoint(&candidates, &single(&slopes[..3]), &mut found, &mut [0.0; D]);
    let of = |j: usize| candidates.iter().zip(&slopes).map(|(c, s)| s * w[*c as usize * D + j]).sum();
    close("candidates", &found, &(0..D).map(of).collect::<Vec<f64>>());
}
