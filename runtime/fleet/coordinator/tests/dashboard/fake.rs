//! Fleets that never were.

use sprig_coordinator::{CertificateView, DeviceView, FleetView, RegionView, RoundId, RoundRow, Standing};

const MIB: u64 = 1 << 20;

/// A fleet of so many devices after so many rounds. The same arguments give the same fleet.
pub fn fleet(devices: u32, rounds: u32) -> FleetView {
    let devices: Vec<_> = (0..devices).map(|n| device(n, rounds)).collect();
    let history: Vec<_> = (0..rounds).map(round).collect();
    FleetView {
        fleet: "kitchen".into(),
        run: "5f0c9a3be2d84e17a6b1f9d20c7e4438".into(),
        epoch: 1,
        state: "collecting".into(),
        waiting_for: format!("round {rounds}: 6 of 10 updates are in, 41 s left"),
        round: rounds,
        rounds: 120,

        learns: "label (down, up) with tiny".into(),
        mode: "per-iteration".into(),
        devices_removed: 0,
        devices_total: devices.len() as u32,
        devices_online: devices.iter().filter(|d| d.online).count() as u32,
        devices,
        history,
        accuracy_before: Some(0.278),
        judged_on: Some(600),
        interval: Some([0.495, 0.574]),
        loss_before: Some(1.908),
        strangers: 3,
        certificates: vec![CertificateView {
            path: "coordinator.crt".into(),
            not_after: 1_900_000_000,
            days: 5,
            near: true,
        }],
        coordinator_rss: 61 * MIB,
        uptime_s: 4521.0 + f64::from(rounds),
    }
}

/// A number in 0..1 that looks like chance.
fn chance(a: u32, b: u32) -> f64 {
    let mixed = (u64::from(a) << 32 | u64::from(b)).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ mixed >> 31).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (mixed >> 40) as f64 / f64::from(1 << 24)
}

fn device(n: u32, rounds: u32) -> DeviceView {
    let boards = [
        ("raspberry-pi-zero-2-w", 184, 9.0),
        ("raspberry-pi-3b", 500, 14.0),
        ("raspberry-pi-4b-2gb", 1100, 38.0),
        ("raspberry-pi-5-8gb", 5600, 131.0),
        ("jetson-orin-nano-8gb", 4700, 188.0),
    ];
    let (board, budget, rate) = boards[n as usize % boards.len()];
    let online = chance(n, 1) > 0.06;
    let began = chance(n, 2) > 0.03;
    let part = 0.55 + 0.42 * chance(n, 3);
    let planned = (budget as f64 * part) as u64 * MIB;
    let peak = (planned as f64 * (0.93 + 0.08 * chance(n, 4))) as u64;
    let shares = [
        ("mapped weights", 0.52),
        ("stacked activations", 0.19),
        ("head tiles", 0.08),
        ("prefix cache window", 0.07),
        ("weight panels", 0.05),
        ("attention tiles", 0.03),
        ("directions", 0.02),
        ("adapters and moments", 0.01),
        ("message buffers", 0.01),
        ("fixed overhead", 0.02),
    ];
    let region = |(name, share): (&str, f64)| RegionView {
        name: name.into(),
        planned: (planned as f64 * share) as u64,
        measured: (name != "fixed overhead").then_some((peak as f64 * share * 0.99) as u64),
    };
    let refused = if chance(n, 5) > 0.97 { 1 + n % 3 } else { 0 };
    DeviceView {
        id: format!("device-{:03}", n + 1),
        number: n,
        board: board.into(),
        software: "sprig 0.1.0".into(),
        online,
        budget_bytes: budget * MIB,
        peak_bytes: began.then_some(peak),
        planned_bytes: began.then_some(planned),
        round_s: began.then_some(12.5),
        celsius: began.then_some(48.0 + n as f32 % 40.0),
        held_back: began.then(|| if n % 9 == 8 { vec!["throttled".to_owned()] } else { Vec::new() }),
        rate: (rate * (0.8 + 0.4 * chance(n, 6))) as f32,
        tangents: if budget < 600 { 1 } else { 4 },
        examples: 120 + (chance(n, 7) * 900.0) as u32,
        last_round: began.then(|| rounds.saturating_sub(1 + n % 19)),
        accepted: if began { rounds / 19 + n % 2 } else { 0 },
        refused,
        last_refusal: (refused > 0).then(|| "wrong round".to_owned()),
        state: if !online {
            "absent"
        } else {
            ["idle", "training", "reported", "idle", "idle"][n as usize % 5]
        }
        .into(),
        standing: Standing::Good,
        heard_s: Some(2.5),
        usual_s: Some(4.0),
        selected: 3,
        missed: 0,
        late: 0,
        failures: 0,
        regions: if began { shares.into_iter().map(region).collect() } else { Vec::new() },
        bytes_up: u64::from(rounds) * 23 + u64::from(n % 7) * 311,
        bytes_down: u64::from(rounds) * 1200 + u64::from(n % 11) * 507,
    }
}

/// Round `n` of the history.
pub fn round(n: u32) -> RoundRow {
    let progress = 1.0 - (-f64::from(n) / 40.0).exp();
    let evaluated = n % 10 == 9;
    let abandoned = n == 23;
    let reported = if abandoned { 0 } else { 10 - u32::from(chance(n, 8) > 0.8) * (1 + n % 3) };
    RoundRow {
        round: RoundId(n),
        state: if abandoned { "abandoned" } else { "closed" }.into(),
        mode: "per-iteration".into(),
        selected: 10,
        reported,
        others: None,
        refused: u32::from(chance(n, 9) > 0.93),
        loss: (!abandoned).then(|| (1.9 - 0.85 * progress + 0.25 * (chance(n, 10) - 0.5)) as f32),
        calibration: None,
        weights: None,
        accuracy: evaluated.then(|| 0.278 + 0.39 * progress + 0.02 * (chance(n, 11) - 0.5)),
        loss_held_out: evaluated.then(|| 1.908 - 0.86 * progress + 0.03 * (chance(n, 12) - 0.5)),
        bytes_up: u64::from(reported) * 412,
        bytes_down: 9_400 + (chance(n, 13) * 2_600.0) as u64,
        seconds: 38.0 + 30.0 * chance(n, 14) + if abandoned { 180.0 } else { 0.0 },
        adapter_digest: format!("{:016x}", (chance(n, 15) * 1e19) as u64).repeat(4),
    }
}
