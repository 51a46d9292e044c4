//! Numbered steps at which a process may be killed or kept waiting, to see what the others make of it.
//!
//! [`step`] stands between any two stores of which a death must not separate what belongs together. It is a fence for
//! the compiler: a process killed between two instructions has done all the stores before in program order and none
//! after, provided that the compiler kept that order. (The processor does: a killed process's stores are all seen by
//! whoever learns of its death through the kernel.) Beside that it is one load of a word that nobody writes, and a
//! branch, in every build: users test their programs with the steps that our own tests die at.
//!
//! Two uses:
//!
//! - **Counting** ([`arm`]): a thread counts its steps, and dies by SIGKILL at the one that it was told. A test counts the
//!   steps of a scenario in one run, then runs it once for each.
//! - **Chaos** ([`unleash`]): at each step of a process something may happen. Whether and what follows from the seed, the
//!   process's rank (how many entered the arena before it) and the number of the step, and from nothing else, so
//!   that the same seed does the same again as far as processes start and take steps in the same order. Who unleashes it
//!   is spared, and so is a forked child until it has its place: its parent could not tell that it ever was.

/// What chaos does to a process at a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deeds {
    /// End it by SIGKILL.
    Kill = 1,
    /// Let it sleep for up to 5 ms.
    Delay = 2,
    /// One or the other, as often.
    Both = 3,
}

#[cfg(loom)]
mod modelled {
    /// A step.
    #[inline]
    pub fn step() {
        std::sync::atomic::compiler_fence(std::sync::atomic::Ordering::SeqCst);
    }
}

#[cfg(loom)]
pub use modelled::step;

#[cfg(not(loom))]
mod real {
    use super::Deeds;
    use crate::loom::{AtomicU32, AtomicU64, Ordering};
    use std::cell::Cell;
    use std::ffi::{CStr, c_char};
    use std::io::Write;
    use std::panic::Location;
    use std::sync::atomic::{AtomicPtr, compiler_fence};
    use std::time::Duration;

    const COUNTED: u32 = 1;
    const CHAOTIC: u32 = 2;
    /// Whether a step is more than a fence: by counting threads, by chaos.
    static WATCHED: AtomicU32 = AtomicU32::new(0);

    thread_local! {
        /// Steps taken since `arm`, and the one to die at (`None`: not counting, 0: count only).
        static STEPS: Cell<(u64, Option<u64>)> = const { Cell::new((0, None)) };
    }

    // What `unleash` was told. Copied by a fork, as all statics are.
    static SEED: AtomicU64 = AtomicU64::new(0);
    /// A draw below it is an event: the rate, in 2^64ths. 0: no chaos.
    static BAR: AtomicU64 = AtomicU64::new(0);
    static DEEDS: AtomicU32 = AtomicU32::new(0);
    static FIRST: AtomicU32 = AtomicU32::new(0);
    static LOG: AtomicPtr<c_char> = AtomicPtr::new(std::ptr::null_mut());
    // This process's draws.
    static STREAM: AtomicU64 = AtomicU64::new(0);
    static DRAWN: AtomicU64 = AtomicU64::new(0);

    const LONGEST_DELAY_US: u64 = 5000; // arbitrary: longer than anyone spins, short against a test

    /// A step.
    #[inline(always)]
    #[track_caller]
    pub fn step() {
        compiler_fence(Ordering::SeqCst);
        if WATCHED.load(Ordering::Relaxed) != 0 {
            taken(Location::caller());
        }
    }

    #[cold]
    #[inline(never)]
    fn taken(place: &'static Location<'static>) {
        count();
        if WATCHED.load(Ordering::Relaxed) & CHAOTIC != 0 {
            draw(place);
        }
    }

    fn die() {
        // SAFETY: plain calls; the process ends in the second.
        unsafe {
            libc::kill(libc::getpid(), libc::SIGKILL);
            libc::pause();
        }
    }

    // --- counting --------------------------------------------------------------------------------------------------

    /// Count the calling thread's steps from now on, and die at step `at` (from 1; 0: never).
    pub fn arm(at: u64) {
        STEPS.set((0, Some(at)));
        WATCHED.fetch_or(COUNTED, Ordering::Relaxed);
    }

    /// Stop counting; tells how many steps there were.
    pub fn disarm() -> u64 {
        STEPS.replace((0, None)).0
    }

    /// Do something whose steps do not count.
    pub fn paused<R>(work: impl FnOnce() -> R) -> R {
        let steps = STEPS.replace((0, None));
        let result = work();
        STEPS.set(steps);
        result
    }

    fn count() {
        let (taken, Some(at)) = STEPS.get() else { return };
        STEPS.set((taken + 1, Some(at)));
        if taken + 1 == at {
            die();
        }
    }

    // --- chaos -----------------------------------------------------------------------------------------------------

    /// From now on something happens at `rate` (0 to 1) of the steps of those who [`enter`]; 0: nothing any more. Each
    /// kill and delay appends a line to the file `log`. Ranks are counted from `first`. The calling process itself is
    /// spared.
    pub fn unleash(seed: u64, rate: f64, deeds: Deeds, log: Option<&CStr>, first: u32) {
        SEED.store(seed, Ordering::Relaxed);
        BAR.store((rate * 2f64.powi(64)) as u64, Ordering::Relaxed); // a cast of what is too large gives the most
        DEEDS.store(deeds as u32, Ordering::Relaxed);
        FIRST.store(first, Ordering::Relaxed);
        // Never given back: another thread may be about to read it.
        let log = log.map_or(std::ptr::null_mut(), |path| path.to_owned().into_raw());
        LOG.store(log, Ordering::Relaxed);
        spare();
    }

    /// The calling process is spared, until it is said to [`enter`].
    pub fn spare() {
        WATCHED.fetch_and(!CHAOTIC, Ordering::Relaxed);
    }

    /// The calling process takes part, as the one before whom `rank` others entered.
    pub fn enter(rank: u32) {
        if BAR.load(Ordering::Relaxed) == 0 {
            return;
        }
        let rank = u64::from(rank.wrapping_sub(FIRST.load(Ordering::Relaxed)));
        STREAM.store(mix(SEED.load(Ordering::Relaxed) ^ mix(rank + 1)), Ordering::Relaxed);
        DRAWN.store(0, Ordering::Relaxed);
        WATCHED.fetch_or(CHAOTIC, Ordering::Relaxed);
    }

    fn draw(place: &Location<'_>) {
        let number = DRAWN.fetch_add(1, Ordering::Relaxed) + 1;
        // SplitMix64 (Steele, Lea, Flood 2014), whose n-th number can be asked for without the ones before.
        let drawn = mix(STREAM.load(Ordering::Relaxed).wrapping_add(number.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
        if drawn >= BAR.load(Ordering::Relaxed) {
            return;
        }
        let (choice, deeds) = (mix(drawn), DEEDS.load(Ordering::Relaxed));
        let kill = deeds == Deeds::Kill as u32 || (deeds == Deeds::Both as u32 && choice & 1 == 0);
        note(if kill { "kill" } else { "delay" }, number, place);
        if kill {
            die();
        }
        std::thread::sleep(Duration::from_micros((choice >> 1) % LONGEST_DELAY_US));
    }

    fn mix(mut word: u64) -> u64 {
        word = (word ^ word >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ word >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ word >> 31
    }

    /// One line in one write, so that those of several processes do not mix. Allocates nothing: a step may be anywhere.
    fn note(deed: &str, number: u64, place: &Location<'_>) {
        let path = LOG.load(Ordering::Relaxed);
        if path.is_null() {
            return;
        }
        let mut line = [0u8; 256];
        let mut rest = &mut line[..];
        let _ = writeln!(rest, "{} {deed} step {number} {}:{}", std::process::id(), place.file(), place.line());
        let left = rest.len();
        // SAFETY: `path` is a C string that is never freed; the line is read for its length; the descriptor is ours.
        unsafe {
            let flags = libc::O_WRONLY | libc::O_APPEND | libc::O_CREAT | libc::O_CLOEXEC;
            let fd = libc::open(path, flags, 0o600);
            if fd >= 0 {
                libc::write(fd, line.as_ptr().cast(), line.len() - left);
                libc::close(fd);
            }
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn draws_are_spread_evenly_and_differ_from_rank_to_rank() {
            let draws = |rank: u64| (1..=10_000u64).map(move |n| mix(mix(mix(rank)).wrapping_add(n << 33 | n)));
            let share = draws(1).filter(|&draw| draw < u64::MAX / 10).count();
            assert!((800..1200).contains(&share), "{share} of 10000 draws below a tenth");
            assert!(draws(1).zip(draws(2)).all(|(one, other)| one != other));
        }
    }
}

#[cfg(not(loom))]
pub use real::{arm, disarm, enter, paused, spare, step, unleash};
