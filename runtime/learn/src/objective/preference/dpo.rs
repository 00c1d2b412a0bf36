//! Direct preference optimisation: with S the summed log-probability of an answer under the policy and R that before
//! training, h = β[(S⁺ − R⁺) − (S⁻ − R⁻)] and f = ln(1 + e⁻ʰ); ḟ = −β·σ(−h)·(Ṡ⁺ − Ṡ⁻). With label smoothing ε,
//! f = −(1 − ε) ln σ(h) − ε ln σ(−h). Cal-DPO adds (u⁺ − 1/(2β))² + (u⁻ + 1/(2β))² with u = S − R.

use super::pair::Pair;
use super::terms::Terms;
use crate::objective::Dual;

/// The loss of a pair.
pub(super) fn loss(pair: &Pair<'_>, terms: &Terms) -> Dual {
    let h = margin(pair).times(terms.beta);
    match terms.smoothing {
        0.0 => (-h).softplus(),
        e => (-h).softplus().times(1.0 - e) + h.softplus().times(e),
    }
}

/// What Cal-DPO adds.
pub(super) fn drawn(pair: &Pair<'_>, terms: &Terms) -> Dual {
    let goal = Dual::constant(0.5 / terms.beta);
    let [chosen, rejected] = rewards(pair);
    let (above, below) = (chosen - goal, rejected + goal);
    above * above + below * below
}

/// What the preferred answer has gained over the other one since training began, in nats.
pub(super) fn margin(pair: &Pair<'_>) -> Dual {
    let [chosen, rejected] = rewards(pair);
    chosen - rejected
}

fn rewards(pair: &Pair<'_>) -> [Dual; 2] {
    let known = [pair.reference.chosen, pair.reference.rejected].map(|r| Dual::constant(r.into()));
    [pair.chosen.log_probability() - known[0], pair.rejected.log_probability() - known[1]]
}
