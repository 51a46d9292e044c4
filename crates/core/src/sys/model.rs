//! The system as loom sees it: one queue of sleepers per execution, and time that never passes.
//!
//! A timed wait in a model is an untimed one: a wake-up that the algorithm loses then shows as a deadlock, which loom
//! reports with the interleaving that led to it. That is stricter than reality, where every sleep ends by itself.

use super::FutexWait;
use crate::loom::{AtomicU32, Ordering};
use loom::sync::{Condvar, Mutex};
use std::time::Duration;

/// Who sleeps: (word's address, ticket), oldest first, and how often time has passed.
#[derive(Default)]
struct Sleepers {
    queue: Vec<(usize, u64)>,
    tickets: u64,
}

loom::lazy_static! {
    static ref SLEEPERS: (Mutex<Sleepers>, Condvar) = (Mutex::new(Sleepers::default()), Condvar::new());
}

fn address(word: &AtomicU32) -> usize {
    std::ptr::from_ref(word) as usize
}

/// Sleep while `word` holds `expected`, until a wake names this sleeper.
pub fn futex_wait(word: &AtomicU32, expected: u32, _timeout: Duration) -> FutexWait {
    let (lock, condvar) = &*SLEEPERS;
    let mut sleepers = lock.lock().unwrap();
    // An RMW reads the newest value in a model, as the kernel does under its bucket lock.
    if word.fetch_add(0, Ordering::SeqCst) != expected {
        return FutexWait::Woken;
    }
    let ticket = sleepers.tickets;
    sleepers.tickets += 1;
    sleepers.queue.push((address(word), ticket));
    loop {
        sleepers = condvar.wait(sleepers).unwrap();
        if !sleepers.queue.iter().any(|&(_, other)| other == ticket) {
            return FutexWait::Woken;
        }
    }
}

/// Wake exactly the `count` oldest sleepers on `word`; tells how many there were.
pub fn futex_wake(word: &AtomicU32, count: u32) -> u32 {
    let (lock, condvar) = &*SLEEPERS;
    let mut sleepers = lock.lock().unwrap();
    let mut woken = 0;
    sleepers.queue.retain(|&(place, _)| {
        let wake = place == address(word) && woken < count;
        woken += u32::from(wake);
        !wake
    });
    condvar.notify_all();
    woken
}

/// Let another thread of the model run.
pub fn yield_now() {
    loom::thread::yield_now();
}

/// A model does not spin: spinning only multiplies the interleavings.
pub fn cpus() -> usize {
    1
}

/// One process per model.
pub fn pid() -> u32 {
    1
}

/// A number for the calling thread of the model.
pub fn thread_ident() -> u64 {
    use std::hash::{Hash, Hasher};
    let mut hasher = std::collections::hash_map::DefaultHasher::new();
    loom::thread::current().id().hash(&mut hasher);
    hasher.finish()
}

/// Time stands still in a model.
pub fn monotonic() -> Duration {
    Duration::ZERO
}

/// Time stands still in a model.
pub fn seconds() -> u32 {
    0
}

/// Time stands still in a model.
pub fn coarse_time() -> Duration {
    Duration::ZERO
}

/// In a model the one process lives.
pub fn start_time(_pid: u32) -> Option<u64> {
    Some(1)
}

/// In a model the one process lives.
pub fn has_ended(_pid: u32, _started: u64) -> bool {
    false
}
