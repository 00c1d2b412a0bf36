//! Every message: there and back, at its limits, damaged, and with fields of a later version.

use super::*;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use xxhash_rust::xxh3::xxh3_64;

/// What is asked of every kind of message.
trait Wire: Sized + std::fmt::Debug {
    const SIZE: usize;
    fn to_wire(&self) -> Vec<u8>;
    fn from_wire(bytes: &[u8]) -> Result<Self, MessageError>;
}

macro_rules! wire {
    ($($name:ident)*) => { $(
        impl Wire for $name {
            const SIZE: usize = $name::MAX;
            fn to_wire(&self) -> Vec<u8> { self.encode() }
            fn from_wire(bytes: &[u8]) -> Result<Self, MessageError> { Self::decode(bytes) }
        }
    )* };
}
wire!(Presence Job Round Task Update Receipt Report Record Snapshot Want Offer FleetTotal);

/// The frame of a map made by hand.
fn frame(map: &[u8]) -> Vec<u8> {
    [map, &xxh3_64(map).to_le_bytes()].concat()
}

/// The map of a message without its check sum.
fn body(bytes: &[u8]) -> &[u8] {
    &bytes[..bytes.len() - 8]
}

fn check<T: Wire>(message: &T) -> Result<(), TestCaseError> {
    let bytes = message.to_wire();
    prop_assert!(bytes.len() <= T::SIZE, "{} bytes of {}", bytes.len(), T::SIZE);
    let back = T::from_wire(&bytes).map_err(|e| TestCaseError::fail(e.to_string()))?;
    // Compared as bytes: NaN is not equal to itself.
    prop_assert_eq!(&back.to_wire(), &bytes);

    // Long ones are damaged at a sample of places.
    let stride = 1 + bytes.len() / 600;
    for end in (0..bytes.len()).step_by(stride) {
        prop_assert!(T::from_wire(&bytes[..end]).is_err(), "cut at {end}");
        if end < bytes.len() - 8 {
            // Cut before the check sum was made: the map itself must be whole.
            prop_assert!(T::from_wire(&frame(&bytes[..end])).is_err(), "map cut at {end}");
        }
        for bit in 0..8 {
            let mut damaged = bytes.clone();
            damaged[end] ^= 1 << bit;
            prop_assert!(T::from_wire(&damaged).is_err(), "bit {bit} of byte {end}");
            // With a check sum that fits: any answer but a panic.
            let _ = T::from_wire(&frame(body(&damaged)));
        }
    }
    let mut longer = body(&bytes).to_vec();
    longer.push(0);
    prop_assert!(T::from_wire(&frame(&longer)).is_err());

    // A later version's field, holding a little of everything, is skipped.
    let mut extended = body(&bytes).to_vec();
    extended[0] += 1;
    extended.extend([0x18, 200, 0x84, 0xa1, 0x61, b'x', 0xc0, 0x80, 0xf9, 0, 0, 0x20, 0x41, 7]);
    let back = T::from_wire(&frame(&extended)).map_err(|e| TestCaseError::fail(e.to_string()))?;
    prop_assert_eq!(&back.to_wire(), &bytes);

    let mut other = body(&bytes).to_vec();
    prop_assert_eq!(&other[1..3], &[0, VERSION][..]);
    other[2] = VERSION + 1;
    let refused = T::from_wire(&frame(&other));
    prop_assert!(matches!(refused, Err(MessageError::Version { found: 2, .. })), "{refused:?}");
    Ok(())
}

fn run() -> impl Strategy<Value = RunId> {
    any::<[u8; 16]>().prop_map(RunId)
}

fn digest() -> impl Strategy<Value = Digest> {
    any::<[u8; 32]>().prop_map(Digest)
}

fn float() -> impl Strategy<Value = f32> {
    any::<u32>().prop_map(f32::from_bits)
}

fn text(max: usize) -> impl Strategy<Value = String> {
    vec(any::<char>(), 0..max).prop_map(move |chars| {
        let text: String = chars.into_iter().collect();
        names::cut(&text, max).to_owned()
    })
}

fn groups() -> impl Strategy<Value = GroupSet> {
    (0..1000u16, 1..60u16, 0..1000u16).prop_map(|(f, s, c)| GroupSet::new(f, s, c).unwrap())
}

fn kind(a: BlobKind, b: BlobKind) -> impl Strategy<Value = BlobKind> {
    prop_oneof![Just(a), Just(b)]
}

prop_compose! {
    fn contributions()(parts in vec((groups(), any::<u32>(), vec(float(), 0..20)), 0..6)) -> Vec<Contribution> {
        parts.into_iter().enumerate().map(|(i, (groups, examples, scalars))| {
            Contribution { number: 3 * i as u32, groups, examples, scalars }
        }).collect()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn presence(online: bool, session: u64, board in text(64), software in text(32), budget: u64,
                rate in float(), tangents: u8, examples: u32) {
        check(&Presence { online, session, board, software, budget, rate, tangents, examples })?;
    }

    #[test]
    fn job(run in run(), settings in text(300), over in option::of((any::<u32>(), digest(), option::of((digest(), any::<u32>()))))) {
        let over = over.map(|(round, base, blob_at)| {
            let blob = |(digest, bytes)| RoundResult::Blob { digest, bytes, kind: BlobKind::Snapshot };
            Round { run, round, phase: Phase::Finished, base, result: blob_at.map(blob) }
        });
        check(&Job { run, settings, over })?;
    }

    #[test]
    fn round(run in run(), round: u32, phase in 0..4usize, base in digest(), result in option::of(prop_oneof![
        vec(any::<u8>(), 0..300).prop_map(RoundResult::Inline),
        (digest(), any::<u32>(), kind(BlobKind::Record, BlobKind::Snapshot))
            .prop_map(|(digest, bytes, kind)| RoundResult::Blob { digest, bytes, kind }),
    ])) {
        let phase = [Phase::Gathering, Phase::Collecting, Phase::Paused, Phase::Finished][phase];
        check(&Round { run, round, phase, base, result })?;
    }

    #[test]
    fn task(run in run(), round: u32, attempt: u8, number: u32, groups in groups(), base in digest(), seconds: u32,
            word in vec(any::<u8>(), 0..100)) {
        check(&Task { run, round, attempt, number, groups, base, seconds, word })?;
    }

    #[test]
    fn update(run in run(), round: u32, number: u32, groups in groups(), base in digest(), examples: u32,
              loss in float(), body in prop_oneof![
        vec(float(), 0..100).prop_map(Body::Scalars),
        (digest(), any::<u32>()).prop_map(|(digest, bytes)| Body::Dense { digest, bytes }),
        vec(any::<u8>(), 0..100).prop_map(Body::Word),
    ], bins in vec(option::of(any::<(u32, u32, u64)>()), 0..16)) {
        let bins = bins.into_iter().map(Option::unwrap_or_default);
        let bins = bins.map(|(n, hits, sum)| [n.into(), hits.into(), sum]).collect();
        check(&Update { run, round, number, groups, base, examples, loss, bins, body })?;
    }

    #[test]
    fn receipt(run in run(), round: u32, verdict in 0..19usize, text in text(160)) {
        let verdict = match verdict {
            0 => Verdict::Accepted,
            1 => Verdict::Duplicate,
            n => Verdict::Refused(Reason::ALL[n - 2]),
        };
        check(&Receipt { run, round, verdict, text })?;
    }

    #[test]
    fn report(run in run(), round: u32, sizes: [u64; 7], seconds in float(), tokens: u32,
              regions in vec((text(32), any::<u64>(), any::<Option<u64>>()), 0..8),
              celsius in option::of(float()), held_back in any::<Option<u8>>()) {
        let regions = regions.into_iter()
            .map(|(name, planned, measured)| Region { name, planned, measured }).collect();
        let [budget, planned, peak, heap_peak, weights, up, down] = sizes;
        check(&Report {
            run, round, budget, planned, peak, heap_peak, weights, seconds, tokens, up, down, regions, celsius, held_back,
        })?;
    }

    #[test]
    fn record(run in run(), round: u32, base in digest(), after in digest(), contributions in contributions()) {
        check(&Record { run, round, base, after, contributions })?;
    }

    #[test]
    fn snapshot(run in run(), round: u32, after in digest(), values in vec(float(), 0..50),
                moments in vec(float(), 0..50)) {
        check(&Snapshot { run, round, after, values, moments })?;
    }

    #[test]
    fn want(run in run(), round: u32, base in digest(), resume in option::of((digest(), any::<u32>()))) {
        check(&Want { run, round, base, resume })?;
    }

    #[test]
    fn offer(run in run(), kind in kind(BlobKind::Records, BlobKind::Snapshot), digest in digest(), bytes: u32,
             from: u32, to: u32, blob in option::of(vec(any::<u8>(), 0..100))) {
        check(&Offer { run, kind, digest, bytes, from, to, blob })?;
    }

    #[test]
    fn fleet_total(run in run(), round: u32, base in digest(), settings in digest(), devices: u32, examples: u64,
                   numbers in vec(any::<i64>(), 0..50), partners in vec(run(), 0..5)) {
        check(&FleetTotal { run, round, base, settings, devices, examples, numbers, partners })?;
    }

    #[test]
    fn any_bytes_with_a_check_sum_that_fits(map in vec(any::<u8>(), 0..200)) {
        let bytes = frame(&map);
        let _ = (Presence::decode(&bytes), Job::decode(&bytes), Round::decode(&bytes), Task::decode(&bytes));
        let _ = (Update::decode(&bytes), Receipt::decode(&bytes), Report::decode(&bytes));
        let _ = (Record::decode(&bytes), Snapshot::decode(&bytes), Want::decode(&bytes), Offer::decode(&bytes));
        let _ = FleetTotal::decode(&bytes);
    }
}

/// The largest message of each kind that its limits allow.
#[test]
fn the_largest_messages_fit_and_are_accepted() {
    let (run, base, round, number) = (RunId([255; 16]), Digest([255; 32]), u32::MAX, u32::MAX);
    let groups = GroupSet::new(65_000, 256, 1).unwrap();
    let exact = |bytes: Vec<u8>, max: usize| assert_eq!(bytes.len() + codec::SPARE, max);
    let presence = Presence {
        online: true,
        session: u64::MAX,
        board: "b".repeat(64),
        software: "s".repeat(32),
        budget: u64::MAX,
        rate: 1.0,
        tangents: 255,
        examples: u32::MAX,
    };
    assert_eq!(Presence::decode(&presence.encode()).unwrap(), presence);
    exact(presence.encode(), Presence::MAX);
    let last = Some(RoundResult::Blob { digest: base, bytes: u32::MAX, kind: BlobKind::Snapshot });
    let over = Some(Round { run, round, phase: Phase::Finished, base, result: last });
    let job = Job { run, settings: "#".repeat(MAX_SETTINGS), over };
    assert_eq!(Job::decode(&job.encode()).unwrap(), job);
    exact(job.encode(), Job::MAX);
    let result = Some(RoundResult::Inline(vec![9; MAX_INLINE]));
    let message = Round { run, round, phase: Phase::Finished, base, result };
    assert_eq!(Round::decode(&message.encode()).unwrap(), message);
    exact(message.encode(), Round::MAX);
    let word = vec![9; MAX_WORD];
    let mut task = Task { run, round, attempt: 255, number, groups, base, seconds: u32::MAX, word };
    assert!(Task::decode(&task.encode()).is_ok() && task.encode().len() <= Task::MAX);
    task.word.push(9);
    assert!(Task::decode(&task.encode()).is_err());
    let mut update = Update {
        run,
        round,
        number,
        groups,
        base,
        examples: u32::MAX,
        loss: 0.5,
        bins: vec![[u64::from(u32::MAX), 0, u64::MAX]; MAX_BINS],
        body: Body::Scalars(vec![1.0; MAX_SCALARS]),
    };
    assert_eq!(Update::decode(&update.encode()).unwrap(), update);
    const { assert!(Update::MAX <= 64 << 10) };
    update.body = Body::Scalars(vec![1.0; MAX_SCALARS + 1]);
    assert!(Update::decode(&update.encode()).is_err());
    update.body = Body::Word(vec![9; MAX_WORD]);
    assert_eq!(Update::decode(&update.encode()).unwrap(), update);
    update.body = Body::Word(vec![9; MAX_WORD + 1]);
    assert!(Update::decode(&update.encode()).is_err());
    update.body = Body::Scalars(Vec::new());
    update.bins.push([0; 3]);
    assert!(Update::decode(&update.encode()).is_err());
    let verdict = Verdict::Refused(Reason::Blob);
    let receipt = Receipt { run, round, verdict, text: "t".repeat(160) };
    assert_eq!(Receipt::decode(&receipt.encode()).unwrap(), receipt);
    let region = Region { name: "n".repeat(32), planned: u64::MAX, measured: Some(u64::MAX) };
    let [budget, planned, peak, heap_peak, weights, up, down] = [u64::MAX; 7];
    let (seconds, tokens, regions) = (1.0, u32::MAX, vec![region; MAX_REGIONS]);
    let (celsius, held_back) = (Some(80.0), Some(u8::MAX));
    let mut report = Report {
        run,
        round,
        budget,
        planned,
        peak,
        heap_peak,
        weights,
        seconds,
        tokens,
        up,
        down,
        regions,
        celsius,
        held_back,
    };
    exact(report.encode(), Report::MAX);
    assert_eq!(Report::decode(&report.encode()).unwrap(), report);
    assert!(holds(u8::MAX).eq(HOLDS), "bits beyond the words are skipped");
    assert!(holds(6).eq(["clock capped", "throttled"]));
    report.regions.push(Region { name: String::new(), planned: 0, measured: None });
    report.regions.iter_mut().for_each(|region| region.name.clear());
    let refused = Report::decode(&report.encode()).unwrap_err().to_string();
    assert!(refused.contains("regions") && refused.contains("at most 32"), "{refused}");
    let resume = Some((base, u32::MAX));
    exact(Want { run, round, base, resume }.encode(), Want::MAX);
    let blob = Some(vec![9; MAX_BROUGHT]);
    let offer =
        Offer { run, kind: BlobKind::Snapshot, digest: base, bytes: round, from: round, to: round, blob };
    exact(offer.encode(), Offer::MAX);
    let numbers = vec![i64::MIN; MAX_TOTAL];
    let (settings, devices, examples) = (base, u32::MAX, u64::MAX);
    let partners = vec![run; MAX_FOLDED];
    let mut total = FleetTotal { run, round, base, settings, devices, examples, numbers, partners };
    exact(total.encode(), FleetTotal::MAX);
    assert_eq!(FleetTotal::decode(&total.encode()).unwrap(), total);
    total.numbers.push(0);
    assert!(FleetTotal::decode(&total.encode()).is_err());
}

#[test]
fn texts_over_their_limit_are_cut_at_a_character() {
    let text = format!("{}ß", "x".repeat(159));
    let receipt = Receipt { run: RunId([0; 16]), round: 0, verdict: Verdict::Accepted, text };
    assert_eq!(Receipt::decode(&receipt.encode()).unwrap().text, "x".repeat(159));
}

#[test]
fn hostile_maps_are_refused_with_the_field_at_fault() {
    let run = [&[1, 0x50][..], &[7; 16]].concat();
    let start = |entries: u8| [&[0xa0 | entries, 0, 1][..], &run].concat();
    let with = |entries: u8, rest: &[u8]| frame(&[&start(entries), rest].concat());
    let refusals = [
        (Job::decode(&with(2, &[])).map(drop), "absent"),
        (Job::decode(&with(3, &[2, 0x7b, 255, 255, 255, 255, 255, 255, 255, 255])).map(drop), "settings"),
        (Job::decode(&with(3, &[2, 0x7f, 0x61, b'a', 0xff])).map(drop), "settings"),
        (Job::decode(&with(3, &[2, 0x62, 0xc3, 0x28])).map(drop), "settings"),
        (Job::decode(&with(3, &[1, 0x60])).map(drop), "does not ascend"),
        (Job::decode(&with(3, &[0x61, b'a', 0x60])).map(drop), "expected"),
        (Job::decode(&frame(&[0xbf, 0, 1, 0xff])).map(drop), "not stated"),
        // An unknown field of 2^64 − 1 items, and one nested as deep as the message is long.
        (Job::decode(&with(4, &[2, 0x60, 4, 0x9b, 255, 255, 255, 255, 255, 255, 255, 255])).map(drop), "end"),
        (Job::decode(&with(4, &[&[2, 0x60, 4][..], &vec![0x81; 16_000]].concat())).map(drop), "end"),
        (Job::decode(&with(4, &[2, 0x60, 4, 0x9f, 0xff])).map(drop), "not stated"),
        (Job::decode(&with(4, &[2, 0x60, 3, 0x43, 1, 2, 3])).map(drop), "over"),
        (Job::decode(&vec![0; Job::MAX + 1]).map(drop), "at most"),
        (Job::decode(&[]).map(drop), "check sum"),
        (Task::decode(&with(6, &[2, 0, 3, 0, 4, 0, 5, 0x83, 0, 0, 1])).map(drop), "step of at least 1"),
        (Task::decode(&with(6, &[2, 0, 3, 0, 4, 0, 5, 0x82, 0, 0])).map(drop), "array of 3"),
        (Task::decode(&with(4, &[2, 0, 3, 0x19, 1, 0])).map(drop), "attempt"),
        (Receipt::decode(&with(4, &[2, 0, 3, 3])).map(drop), "no verdict"),
        (Receipt::decode(&with(5, &[2, 0, 3, 2, 4, 17])).map(drop), "no reason"),
        (Round::decode(&with(4, &[2, 0, 3, 4])).map(drop), "no phase"),
    ];
    for (i, (result, expected)) in refusals.into_iter().enumerate() {
        let error = result.unwrap_err().to_string();
        assert!(error.contains(expected), "case {i}: {error}");
    }
}

#[test]
fn records_must_be_in_the_order_of_their_devices() {
    let part = |number| Contribution {
        number,
        groups: GroupSet::new(0, 1, 1).unwrap(),
        examples: 8,
        scalars: vec![1.0],
    };
    let (run, base) = (RunId([1; 16]), Digest([2; 32]));
    let record = |contributions| Record { run, round: 1, base, after: base, contributions };
    assert!(Record::decode(&record(vec![part(1), part(2)]).encode()).is_ok());
    assert!(Record::decode(&record(vec![part(2), part(1)]).encode()).is_err());
    assert!(Record::decode(&record(vec![part(1), part(1)]).encode()).is_err());
}

/// The bar for scalar mode: a default update (batch 8, one direction an example) is far below 2 KB.
#[test]
fn an_update_of_eight_scalars_takes_little_more_than_a_hundred_bytes() {
    let update = Update {
        run: RunId([1; 16]),
        round: 1000,
        number: 10,
        groups: GroupSet::new(3, 8, 1).unwrap(),
        base: Digest([2; 32]),
        examples: 8,
        loss: 0.5,
        bins: Vec::new(),
        body: Body::Scalars(vec![0.25; 8]),
    };
    assert_eq!(update.encode().len(), 118);
}
