//! What the tests of the primitives share: processes that live or have died, and waiting in slices.
#![allow(dead_code)] // no test uses all of it
#![allow(clippy::unnecessary_wraps)] // a deadline is an Option wherever it is used

use procession_core::error::WaitError;
use procession_core::owner::{Liveness, OwnerId};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Bit `place` is set when that process has died.
#[derive(Default)]
pub struct Life(AtomicU64);

impl Life {
    pub fn kill(&self, owner: OwnerId) {
        self.0.fetch_or(1 << owner.place(), Ordering::SeqCst);
    }
}

impl Liveness for Life {
    fn is_alive(&self, owner: OwnerId) -> bool {
        self.0.load(Ordering::SeqCst) >> owner.place() & 1 == 0
    }
}

pub fn process(place: usize) -> OwnerId {
    OwnerId::new(place, 0)
}

/// What the binding does: again and again until it is there.
pub fn until<T>(mut attempt: impl FnMut() -> Result<T, WaitError>) -> T {
    loop {
        match attempt() {
            Ok(value) => return value,
            Err(WaitError::Interrupted) => {}
            Err(WaitError::TimedOut) => panic!("there was no deadline"),
        }
    }
}

pub fn soon() -> Option<Instant> {
    Some(Instant::now() + Duration::from_millis(20))
}

/// Until `ready`, with a limit that only a hang reaches.
pub fn wait_for(ready: impl Fn() -> bool) {
    let limit = Instant::now() + Duration::from_secs(20);
    while !ready() {
        assert!(Instant::now() < limit, "hangs");
        std::thread::yield_now();
    }
}
