//! What a device with noise says, says again, and says no more.

use super::*;
use crate::model::tests::{settings, task as plain};
use crate::model::{ModelWorker, Opened, open_data};
use crate::{Begun, Trained, Worker};
use sprig_engine::gguf::Mapped;
use sprig_learn::directions::Sharing;
use sprig_learn::recipe::Whole;
use sprig_protocol::settings::{NoiseTable, TrainTable};
use sprig_run::Base;
use sprig_transport::messages::{Body, GroupSet, RunId};

/// Seven records, one a round: twelve rounds are two passes.
fn noisy(dp: f64) -> Train {
    let noise =
        NoiseTable { dp: Epsilon::new(dp).unwrap(), rounds: Some(Whole::of::<12>()), noise_among: None };
    Train::new(TrainTable { noise: Some(noise), directions: Sharing::Shared, ..plain().into() }).unwrap()
}

fn ask(worker: &ModelWorker<'_>, round: u32, first: u16) -> Task {
    Task {
        run: RunId([1; 16]),
        round,
        attempt: 0,
        number: 7,
        groups: GroupSet { first, step: 1, count: 3 },
        base: worker.digest(),
        seconds: 60,
        word: Vec::new(),
    }
}

fn answer(
    worker: &mut ModelWorker<'_>,
    (round, first): (u32, u16),
    memory: Option<&[u8]>,
) -> Result<Trained, String> {
    let task = ask(worker, round, first);
    match worker.begin(&task, memory).unwrap() {
        Begun::Declined(why) => Err(why),
        Begun::Part => loop {
            if let Some(trained) = worker.step().unwrap() {
                return Ok(trained);
            }
        },
    }
}

/// Runs `with` on workers of a device, each of which has nothing but the disk of the one before.
fn on_devices<T>(
    train: &Train,
    dp: Option<f64>,
    with: impl for<'m> Fn(&mut dyn FnMut() -> ModelWorker<'m>) -> T,
) -> T {
    let folder = tempfile::tempdir().unwrap();
    let mut settings = settings(folder.path());
    settings.data.dp = dp.and_then(Epsilon::new);
    let map = Mapped::open(&settings.model.path).unwrap();
    let base = Base::open(&map).unwrap();
    let data = open_data(&base, &settings, train, Bytes::ZERO).unwrap();
    let opened = Opened::plan(&base, train, &data, &settings).unwrap();
    let engines: Vec<_> = (0..3).map(|_| base.engine(&opened.planned).unwrap()).collect();
    let mut engines = engines.iter();
    let mut next = || {
        let engine = engines.next().unwrap();
        ModelWorker::new(&base, engine, &opened, &data.train, &settings, "digest").unwrap()
    };
    with(&mut next)
}

/// After a power cut the same bytes go out; of another share of the same round, or an earlier round, nothing does.
#[test]
fn an_update_with_noise_is_drawn_once() {
    on_devices(&noisy(4.0), None, |device| {
        let mut worker = device();
        let first = answer(&mut worker, (3, 1), None).unwrap();
        assert!(first.quiet && first.bins.is_empty() && first.loss == 0.0);
        assert!(matches!(&first.body, Body::Scalars(scalars) if scalars.len() == 4), "{:?}", first.body);
        let mut again = device();
        let memory = Some(&*first.memory);
        let said = answer(&mut again, (3, 1), memory).unwrap();
        assert_eq!((&said.body, said.examples, &said.memory), (&first.body, first.examples, &first.memory));
        let other = answer(&mut again, (3, 0), memory).unwrap_err();
        assert!(other.contains("another share"), "{other}");
        let earlier = answer(&mut again, (2, 1), memory).unwrap_err();
        assert!(earlier.contains("later round"), "{earlier}");
        let unread = answer(&mut again, (4, 1), Some(b"{")).unwrap_err();
        assert!(unread.contains("cannot be read"), "{unread}");
        // Whoever forgot, draws anew: never the same noise.
        let mut fresh = device();
        let drawn = answer(&mut fresh, (3, 1), None).unwrap();
        assert_ne!(drawn.body, first.body);
    });
}

/// The account grows with each pass over the data that is begun, to the ε of the fleet or the smaller one of the device; then the
/// device takes no part any more, after a restart neither.
#[test]
fn a_device_that_has_spent_its_epsilon_takes_no_part() {
    for (fleet, device, most) in [(4.0, None, 4.0), (4.0, Some(1.0), 1.0), (2.0, Some(50.0), 2.0)] {
        on_devices(&noisy(fleet), device, |devices| {
            let mut worker = devices();
            let (mut memory, mut spent) = (None::<Vec<u8>>, Vec::new());
            for round in 0..14 {
                let trained = answer(&mut worker, (round, 1), memory.as_deref()).unwrap();
                spent.push(trained.spent.unwrap());
                memory = Some(trained.memory);
            }
            assert!(spent[0] < 0.8 * most && spent[6] == spent[0], "one pass: {spent:?}");
            assert!(spent[7] > spent[6] && spent[13] <= most && spent[13] > 0.99 * most, "two: {spent:?}");
            let why = answer(&mut worker, (14, 1), memory.as_deref()).unwrap_err();
            assert!(why.contains("is spent") && why.contains("rounds"), "{why}");
            let mut later = devices();
            assert!(answer(&mut later, (15, 1), memory.as_deref()).is_err());
        });
    }
}
