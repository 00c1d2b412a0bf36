//! What draws a confidence to a correctness, token by token: c = max p is the confidence, z its target, and the loss of an
//! answer the mean of their distance over its tokens. Marks as in docs/preferences.md: of CATTO's formulas only what several
//! readers of the paper report is known.
//!
//! - CATTO: z = σ(κ·(p_target − p_rival)) on the preferred answer and 1 − z on the other one; ż = κ·z(1 − z)(ṗ_target − ṗ_rival).
//! - DPO+BCE: z = 1 where the top token is the target, else 0; turned about on the other answer; held.
//! - penalty: the confidence itself.

use super::pair::{Answer, Pair};
use super::terms::{Aim, Distance, Terms};
use crate::objective::{Dual, Row};

/// The sum of both answers' means.
pub(super) fn loss(aim: Aim, pair: &Pair<'_>, terms: &Terms) -> Dual {
    mean(&pair.chosen, terms, |row| token(aim, row, false, terms))
        + mean(&pair.rejected, terms, |row| token(aim, row, terms.invert, terms))
}

/// The mean over an answer's tokens; 0 where there are none.
fn mean(answer: &Answer<'_>, terms: &Terms, token: impl Fn(&Row) -> Dual) -> Dual {
    let sum = |rows: &mut dyn Iterator<Item = Row>| {
        let (sum, n) = rows.fold((Dual::constant(0.0), 0), |(sum, n), row| (sum + token(&row), n + 1));
        sum.over(f64::from(n.max(1)))
    };
    match terms.mask_shared {
        true => sum(&mut answer.own()),
        false => sum(&mut answer.tokens()),
    }
}

/// The loss of one token; `turned`: the target is turned about.
pub(super) fn token(aim: Aim, row: &Row, turned: bool, terms: &Terms) -> Dual {
    // Equal to its rival, the target is not on top: a model that cannot tell has not found it.
    let right = row.target.v > row.rival.v;
    let top = if right { row.target } else { row.rival } - row.lse;
    let z = match aim {
        Aim::Sft | Aim::Dpo | Aim::CalDpo | Aim::Rcft => return Dual::constant(0.0),
        Aim::Penalty => return top.exp(),
        Aim::DpoBce => Dual::constant(f64::from(u8::from(right))),
        Aim::Catto => {
            let margin = (row.target - row.lse).exp() - (row.rival - row.lse).exp();
            let soft = margin.times(terms.kappa).logistic();
            if terms.hold_target { soft.held() } else { soft }
        }
    };
    let z = if turned { Dual::constant(1.0) - z } else { z };
    let distance = if aim == Aim::DpoBce { Distance::Bce } else { terms.distance };
    apart(top, z, distance)
}

/// How far the confidence of log-probability `top` is from `z`.
fn apart(top: Dual, z: Dual, distance: Distance) -> Dual {
    let away = || top.exp() - z;
    match distance {
        Distance::L1 => away().abs(),
        Distance::L2 => away() * away(),
        Distance::Bce => -(z * top + (Dual::constant(1.0) - z) * top.ln_rest()),
    }
}
