//! The runs that are to be made: a base for each set and seed, then the ways from it; several at a time, each part of one kept as
//! soon as it is there.

use super::arm::{Arm, BASE};
use super::bench::Bench;
use super::found::{Fact, Found, Key, Verdict};
use super::sets::Set;
use anyhow::Result;
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Makes all runs of `seeds` on the sets called `taught`, adds what comes of them to `found`, and returns what went wrong.
pub fn all(
    bench: &Bench<'_>,
    taught: &[String],
    seeds: Range<u64>,
    found: &Mutex<Found>,
) -> Result<Vec<String>> {
    let mut waiting = Vec::new();
    for seed in seeds {
        for (set, own) in bench.sets.iter().enumerate() {
            own.write(&bench.cut(seed, own), seed, bench.sizes)?;
            if own.teaches() && taught.contains(&own.name) {
                let arms = std::iter::once(None).chain(bench.arms.iter().copied().map(Some));
                waiting.extend(arms.map(|arm| Job { set, seed, arm }));
            }
        }
    }
    let queue = Mutex::new(Queue { waiting, bases: Vec::new(), notes: Vec::new() });
    let worker = Worker { bench, queue: &queue, found, start: Instant::now() };
    thread::scope(|scope| {
        for _ in 0..bench.course.jobs.max(1) {
            scope.spawn(|| worker.work());
        }
    });
    Ok(queue.into_inner().unwrap_or_else(PoisonError::into_inner).notes)
}

/// A run that is to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Job {
    set: usize,
    seed: u64,
    /// A base without.
    arm: Option<Arm>,
}

/// Jobs that nobody does yet, and bases that are under way.
struct Queue {
    waiting: Vec<Job>,
    bases: Vec<Job>,
    notes: Vec<String>,
}

impl Queue {
    /// The first job whose base is there; none while all wait for one.
    fn next(&mut self) -> Option<Job> {
        let ready = |job: &Job| !self.bases.contains(&Job { arm: None, ..*job });
        let job = self.waiting.iter().position(ready).map(|first| self.waiting.remove(first))?;
        self.bases.extend(job.arm.is_none().then_some(job));
        Some(job)
    }

    /// A job is over; without a base no way can be gone from it.
    fn end(&mut self, job: Job, failed: Option<String>) {
        self.bases.retain(|base| *base != job);
        if failed.is_some() && job.arm.is_none() {
            self.waiting.retain(|other| (other.set, other.seed) != (job.set, job.seed));
        }
        self.notes.extend(failed);
    }
}

/// One of those who do them.
struct Worker<'a> {
    bench: &'a Bench<'a>,
    queue: &'a Mutex<Queue>,
    found: &'a Mutex<Found>,
    start: Instant,
}

impl Worker<'_> {
    /// Does one job after another until there are none.
    fn work(&self) {
        loop {
            let (job, left) = {
                let mut queue = locked(self.queue);
                (queue.next(), queue.waiting.len())
            };
            match job {
                Some(job) => {
                    let failed =
                        self.job(job).err().map(|error| format!("{}: {error:#}", self.key(job).file()));
                    failed.iter().for_each(|note| eprintln!("{note}"));
                    locked(self.queue).end(job, failed);
                }
                None if left == 0 => return,
                None => thread::sleep(Duration::from_millis(200)),
            }
        }
    }

    /// What of a run is not there yet. Ends early, and well, when time is up.
    fn job(&self, job: Job) -> Result<()> {
        let (key, own, bench) = (self.key(job), &self.bench.sets[job.set], self.bench);
        if locked(self.found).trained(&key).is_none() {
            if self.is_late() {
                return Ok(());
            }
            let trained = bench.trained(&key, own, job.arm)?;
            eprintln!("{}: {} steps, {:.0} s", key.file(), trained.steps, trained.seconds);
            locked(self.found).push(&key, Fact::Trained(trained))?;
        }
        // Its own set first: the temperature for the others is fitted there.
        let mut fitted = None;
        for set in std::iter::once(own).chain(self.others(own)) {
            let known = locked(self.found).verdict(&key, &set.name).map(|verdict| verdict.fitted);
            if known.is_none() && self.is_late() {
                return Ok(());
            }
            fitted = match known {
                Some(known) => Some(known),
                None => Some(self.judge(&key, (own, set), fitted)?),
            };
        }
        let asked =
            matches!(job.arm, Some(Arm::Dpo | Arm::Catto)) && locked(self.found).best_of(&key).is_none();
        if let Some(k) = bench.course.best_of.filter(|_| asked && !self.is_late()) {
            let best_of = bench.best_of(&key, own, k)?;
            locked(self.found).push(&key, Fact::BestOf(best_of))?;
        }
        Ok(())
    }

    /// Judges what learnt `own` on `set`, and returns the temperature that was fitted.
    fn judge(&self, key: &Key, (own, set): (&Set, &Set), fitted: Option<f64>) -> Result<f64> {
        let verdict = self.bench.judged(key, (own, set), fitted)?;
        let Verdict { scores, scaled, fitted, .. } = &verdict;
        let [right, error, scaled] = [scores.accuracy, scores.ece15, *scaled].map(|share| 100.0 * share);
        eprintln!("{} on {}: {right:.1} % right, error {error:.1}, scaled {scaled:.1}", key.file(), set.name);
        let fitted = *fitted;
        locked(self.found).push(key, Fact::Judged(verdict))?;
        Ok(fitted)
    }

    /// The other sets whose questions can be answered by what learnt `own`.
    fn others(&self, own: &Set) -> impl Iterator<Item = &Set> {
        self.bench.sets.iter().filter(|set| set.name != own.name && own.asks_like(set))
    }

    fn is_late(&self) -> bool {
        self.bench.course.minutes.is_some_and(|minutes| self.start.elapsed().as_secs_f64() > 60.0 * minutes)
    }

    fn key(&self, job: Job) -> Key {
        let arm = job.arm.map_or(BASE, Arm::name).to_owned();
        Key { set: self.bench.sets[job.set].name.clone(), seed: job.seed, arm }
    }
}

fn locked<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ways_wait_for_their_base_and_go_with_it() {
        let job = |seed, arm| Job { set: 0, seed, arm };
        let waiting = vec![
            job(1, None),
            job(1, Some(Arm::Dpo)),
            job(2, None),
            job(2, Some(Arm::Dpo)),
            job(2, Some(Arm::Catto)),
        ];
        let mut queue = Queue { waiting, bases: Vec::new(), notes: Vec::new() };
        assert_eq!(queue.next(), Some(job(1, None)));
        assert_eq!(queue.next(), Some(job(2, None)), "the way has to wait");
        assert_eq!(queue.next(), None);
        queue.end(job(1, None), None);
        assert_eq!(queue.next(), Some(job(1, Some(Arm::Dpo))));
        queue.end(job(2, None), Some("no".to_owned()));
        assert_eq!((queue.next(), queue.waiting.len(), queue.notes.len()), (None, 0, 1));
    }
}
