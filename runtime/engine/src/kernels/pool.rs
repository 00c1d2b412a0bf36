//! A fixed set of threads that share the tasks of one operation at a time.
//!
//! An operation of a decode step lasts some 20 µs, so starting threads for it is out of the question and
//! so is a queue that allocates. Here a run is one atomic word (`gate`) that opens and closes: workers
//! enter while it is open, take task numbers from a counter, and leave. The caller works too, and waits
//! only for those who entered: a sleeping worker never delays it.
#![allow(unsafe_code)]

use std::any::Any;
use std::cell::UnsafeCell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle, Thread};
use std::time::{Duration, Instant};

/// How long an idle thread polls before it sleeps. Longer than the serial stretch between two
/// operations of a decode step, shorter than anyone would notice on a battery.
const SPIN: Duration = Duration::from_micros(30);

/// Threads for the kernels. The caller of [`Pool::run`] is one of them.
#[derive(Debug)]
pub struct Pool {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
    /// Held during a run. A second caller, or a task that calls `run`, finds it taken and works alone.
    turn: Mutex<()>,
}

impl Pool {
    /// A pool of `threads` threads in all; 0 counts as 1, and 1 starts none.
    ///
    /// A thread that the system refuses to start is done without.
    pub fn new(threads: usize) -> Self {
        let workers = threads.max(1) - 1;
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let shared = Arc::new(Shared {
            gate: AtomicU64::new(0),
            next: AtomicUsize::new(0),
            stop: AtomicBool::new(false),
            asleep: (0..workers).map(|_| AtomicBool::new(false)).collect(),
            // Polling only helps while every thread has a core to itself.
            spin: if threads <= cores { SPIN } else { Duration::ZERO },
            job: UnsafeCell::new(None),
            panic: Mutex::new(None),
        });
        let start = |index: usize| {
            let shared = Arc::clone(&shared);
            let thread = thread::Builder::new().name(format!("sprig-{}", index + 1));
            thread.stack_size(256 << 10).spawn(move || shared.serve(index)).ok()
        };
        let workers = (0..workers).map_while(start).collect();
        Self { shared, workers, turn: Mutex::new(()) }
    }

    /// Number of threads, the caller included.
    pub fn threads(&self) -> usize {
        self.workers.len() + 1
    }

    /// Calls `task(i)` once for each `i < tasks`, in any order, and returns when all have returned.
    ///
    /// Allocates nothing. A panic in a task ends the run (tasks not yet begun are dropped) and goes on
    /// in the caller.
    pub fn run(&self, tasks: usize, task: impl Fn(usize) + Sync) {
        self.run_indexed(tasks, |_, i| task(i));
    }

    /// Like [`Pool::run`], with the number of the running thread (below [`Pool::threads`]; no two tasks
    /// that run at the same time get the same one) as the first argument: an index into scratch space.
    pub fn run_indexed(&self, tasks: usize, task: impl Fn(usize, usize) + Sync) {
        let turn = if tasks > 1 && !self.workers.is_empty() { self.turn.try_lock().ok() } else { None };
        if turn.is_none() {
            return (0..tasks).for_each(|i| task(0, i));
        }
        self.shared.open(tasks, &task);
        for (worker, asleep) in self.workers.iter().zip(&self.shared.asleep).take(tasks - 1) {
            if asleep.swap(false, Ordering::SeqCst) {
                worker.thread().unpark();
            }
        }
        self.shared.work(0, tasks, &task);
        let panic = self.shared.close();
        drop(turn);
        if let Some(panic) = panic {
            resume_unwind(panic);
        }
    }
}

impl Default for Pool {
    /// One thread for each core this process may use.
    fn default() -> Self {
        Self::new(thread::available_parallelism().map_or(1, usize::from))
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        for worker in self.workers.drain(..) {
            worker.thread().unpark();
            // A worker catches the panics of tasks, so it has none of its own to report.
            let _ = worker.join();
        }
    }
}

type Task<'a> = dyn Fn(usize, usize) + Sync + 'a;

/// One run as the workers see it.
struct Job {
    tasks: usize,
    /// Borrowed from the caller of `run`, who does not return before every worker has left.
    task: *const Task<'static>,
    caller: Thread,
}

struct Shared {
    /// Bits 0..16: workers inside. Bit 16: open. Above: number of the run.
    gate: AtomicU64,
    next: AtomicUsize,
    stop: AtomicBool,
    asleep: Box<[AtomicBool]>,
    spin: Duration,
    job: UnsafeCell<Option<Job>>,
    panic: Mutex<Option<Box<dyn Any + Send>>>,
}

const INSIDE: u64 = (1 << 16) - 1;
const OPEN: u64 = 1 << 16;
const RUN: u64 = 1 << 17;

// SAFETY: `job` is written only by the holder of `Pool::turn` while the gate is shut and nobody is inside,
// and read only by those inside; the gate's acquire and release operations order the two. The task it
// points to is `Sync`.
unsafe impl Sync for Shared {}
// SAFETY: as above; nothing in `Shared` is tied to the thread that made it.
unsafe impl Send for Shared {}

impl Shared {
    fn open(&self, tasks: usize, task: &Task<'_>) {
        let task: *const Task<'_> = task;
        // SAFETY: only the lifetime changes. `close` shuts the gate and waits until nobody is inside before
        // `run_indexed` returns, so the pointer is never used after the borrow it came from.
        let task = unsafe { std::mem::transmute::<*const Task<'_>, *const Task<'static>>(task) };
        // SAFETY: the gate is shut and empty, and this thread holds `turn`: nobody else touches `job`.
        unsafe { *self.job.get() = Some(Job { tasks, task, caller: thread::current() }) };
        self.next.store(0, Ordering::Relaxed);
        let run = self.gate.load(Ordering::Relaxed) & !(OPEN | INSIDE);
        self.gate.store(run.wrapping_add(RUN) | OPEN, Ordering::SeqCst);
    }

    /// Takes tasks until none is left; keeps the first panic and drops the tasks not yet begun.
    fn work(&self, index: usize, tasks: usize, task: &Task<'_>) {
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            loop {
                let i = self.next.fetch_add(1, Ordering::Relaxed);
                if i >= tasks {
                    break;
                }
                task(index, i);
            }
        }));
        if let Err(panic) = outcome {
            self.next.store(tasks, Ordering::Relaxed);
            self.panic.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(panic);
        }
    }

    /// Shuts the gate and waits for those inside.
    fn close(&self) -> Option<Box<dyn Any + Send>> {
        self.gate.fetch_and(!OPEN, Ordering::SeqCst);
        let empty = || self.gate.load(Ordering::Acquire) & INSIDE == 0;
        if !poll(self.spin, &empty) {
            while !empty() {
                thread::park();
            }
        }
        self.panic.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// The life of worker `index`.
    fn serve(&self, index: usize) {
        let mut done = 0;
        loop {
            let news = || {
                let gate = self.gate.load(Ordering::SeqCst);
                (gate & OPEN != 0 && gate / RUN != done) || self.stop.load(Ordering::SeqCst)
            };
            if !poll(self.spin, &news) {
                loop {
                    // Say so, look again, then sleep: a run that opens in between sees the flag and unparks.
                    self.asleep[index].store(true, Ordering::SeqCst);
                    if news() {
                        break;
                    }
                    thread::park();
                }
                self.asleep[index].store(false, Ordering::SeqCst);
            }
            if self.stop.load(Ordering::SeqCst) {
                return;
            }
            let gate = self.gate.load(Ordering::Relaxed);
            if gate & OPEN == 0 || gate / RUN == done {
                continue;
            }
            if self.gate.compare_exchange(gate, gate + 1, Ordering::Acquire, Ordering::Relaxed).is_err() {
                continue;
            }
            done = gate / RUN;
            self.attend(index);
        }
    }

    /// Works inside the gate and leaves it.
    fn attend(&self, index: usize) {
        // SAFETY: this thread is inside the gate, so `job` is not written until it leaves below.
        let Some(job) = (unsafe { &*self.job.get() }) else { unreachable!("an open gate has a job") };
        // SAFETY: the caller of `run_indexed` keeps the task borrowed until nobody is inside.
        self.work(index + 1, job.tasks, unsafe { &*job.task });
        // Cloned (a reference count) because `job` may be replaced as soon as the count reaches zero.
        let caller = job.caller.clone();
        let before = self.gate.fetch_sub(1, Ordering::Release);
        if before & (OPEN | INSIDE) == 1 {
            caller.unpark();
        }
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("gate", &self.gate).finish_non_exhaustive()
    }
}

/// Polls `ready` for at most `limit`; says whether it came true.
fn poll(limit: Duration, ready: &impl Fn() -> bool) -> bool {
    if ready() {
        return true;
    }
    if limit.is_zero() {
        return false;
    }
    let start = Instant::now();
    while start.elapsed() < limit {
        for _ in 0..16 {
            if ready() {
                return true;
            }
            std::hint::spin_loop();
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_task_runs_once_whatever_the_threads() {
        for threads in [0, 1, 2, 3, 8] {
            let pool = Pool::new(threads);
            assert_eq!(pool.threads(), threads.max(1));
            for tasks in [0, 1, 2, 7, 100] {
                let counts: Vec<AtomicUsize> = (0..tasks).map(|_| AtomicUsize::new(0)).collect();
                pool.run(tasks, |i| {
                    counts[i].fetch_add(1, Ordering::Relaxed);
                });
                assert!(counts.iter().all(|n| n.load(Ordering::Relaxed) == 1), "{threads} threads");
            }
        }
    }

    #[test]
    fn no_two_running_tasks_share_a_thread_number() {
        let pool = Pool::new(4);
        let busy: Vec<AtomicBool> = (0..4).map(|_| AtomicBool::new(false)).collect();
        for _ in 0..2_000 {
            pool.run_indexed(9, |thread, _| {
                assert!(!busy[thread].swap(true, Ordering::SeqCst));
                std::hint::black_box(());
                busy[thread].store(false, Ordering::SeqCst);
            });
        }
    }

    #[test]
    fn a_panic_reaches_the_caller_and_the_pool_lives_on() {
        let pool = Pool::new(3);
        for bad in [0, 5, 63] {
            let run = || pool.run(64, |i| assert_ne!(i, bad, "task {i} fails"));
            let panic = catch_unwind(AssertUnwindSafe(run)).unwrap_err();
            let text = panic.downcast_ref::<String>().unwrap();
            assert!(text.contains("fails"), "{text}");
            let sum = AtomicUsize::new(0);
            pool.run(10, |i| {
                sum.fetch_add(i, Ordering::Relaxed);
            });
            assert_eq!(sum.into_inner(), 45);
        }
    }

    #[test]
    fn a_task_may_run_tasks() {
        let pool = Pool::new(2);
        let sum = AtomicUsize::new(0);
        pool.run(4, |_| {
            pool.run(5, |j| {
                sum.fetch_add(j, Ordering::Relaxed);
            });
        });
        assert_eq!(sum.into_inner(), 40);
    }

    #[test]
    fn sleeping_workers_wake() {
        let pool = Pool::new(2);
        for _ in 0..20 {
            thread::sleep(SPIN * 3);
            let seen = [AtomicBool::new(false), AtomicBool::new(false)];
            // Neither task ends before both have begun: a worker must come.
            pool.run_indexed(2, |thread, _| {
                seen[thread].store(true, Ordering::SeqCst);
                while !seen.iter().all(|s| s.load(Ordering::SeqCst)) {
                    thread::yield_now();
                }
            });
        }
    }
}
