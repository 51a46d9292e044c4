//! What the tests of arenas and rings share: reproducible randomness, processes, and objects in an arena.

#![allow(dead_code)] // each test file uses its part

use procession_core::arena::{Arena, Handle, Kind};
use procession_core::ring::{Message, Ring, Wait};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// A child that is still there after so many seconds is ended: the test fails and does not hang.
pub const CHILD_PATIENCE_S: u32 = 100;

/// xorshift64*: small, and the same everywhere.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        (self.next() >> 16) % bound
    }

    /// Sizes as programs have them: mostly small, sometimes large.
    pub fn size(&mut self, most: u64) -> usize {
        let most = match self.below(10) {
            0..=5 => 40.min(most),
            6..=8 => 3000.min(most),
            _ => most,
        };
        self.below(most + 1) as usize
    }
}

/// The seed: `CRASH_SEED` or the clock. Printed, so that a failure can be run again.
pub fn seed() -> u64 {
    let clock = || std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos() as u64;
    let seed = std::env::var("CRASH_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or_else(clock);
    println!("CRASH_SEED={seed}");
    seed | 1
}

/// Tests that fork run one at a time: a fork concerns every arena of the process.
pub fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Run `work` in a child; its pid.
pub fn fork(work: impl FnOnce()) -> u32 {
    // SAFETY: the child runs `work` alone and leaves by _exit; what it uses of other threads' state is made for that.
    unsafe {
        let pid = libc::fork();
        assert!(pid >= 0, "fork: {}", std::io::Error::last_os_error());
        if pid > 0 {
            return pid as u32;
        }
        libc::alarm(CHILD_PATIENCE_S);
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
        libc::_exit(if result.is_ok() { 0 } else { 101 });
    }
}

/// Wait for a child: its exit code, or minus the signal that ended it.
pub fn wait(pid: u32) -> i32 {
    let mut status = 0;
    // SAFETY: writes into `status` only.
    let waited = unsafe { libc::waitpid(pid as i32, &raw mut status, 0) };
    assert_eq!(waited, pid as i32);
    if libc::WIFSIGNALED(status) { -libc::WTERMSIG(status) } else { libc::WEXITSTATUS(status) }
}

pub fn kill(pid: u32) {
    // SAFETY: a child of ours that was not waited for, or this process: the pid is its own.
    unsafe { libc::kill(pid as i32, libc::SIGKILL) };
}

/// An object of `T` in an arena. The reference is good as long as the handle.
pub fn place<T>(arena: &'static Arena, kind: Kind, value: T) -> (Handle, &'static T) {
    let handle = arena.allocate(kind, size_of::<T>() as u64).unwrap();
    let place = handle.contents().cast::<T>();
    // SAFETY: fresh, large enough, aligned to 64; the caller keeps the handle.
    unsafe {
        place.write(value);
        (handle, &*place)
    }
}

pub fn ring_at(arena: &'static Arena, ring: Ring) -> (Handle, &'static Ring) {
    place(arena, Kind::Ring, ring)
}

/// A block filled with `byte`.
pub fn block(arena: &'static Arena, size: usize, byte: u8) -> Handle {
    let handle = arena.allocate(Kind::Block, size as u64).unwrap();
    handle.fill(&vec![byte; size]);
    handle
}

/// What a block contains.
pub fn contents(handle: &Handle) -> &[u8] {
    // SAFETY: the handle keeps the block, and the tests fill every byte before they hand it on.
    unsafe { std::slice::from_raw_parts(handle.contents(), handle.size() as usize) }
}

pub fn put(arena: &'static Arena, ring: &Ring, payload: &[u8], attached: &[&Handle]) {
    let attachments: Vec<u64> = attached.iter().map(|handle| handle.offset()).collect();
    let message = Message { payload, attachments: &attachments };
    loop {
        match arena.put(ring, &[message], Wait::Until(Some(Instant::now() + Duration::from_secs(5)))) {
            Ok(_) => return,
            Err(procession_core::error::PutError::Interrupted) => {}
            Err(error) => panic!("{error:?}"),
        }
    }
}

/// One message and handles on what came with it; None when there is none.
pub fn take(arena: &'static Arena, ring: &Ring, patience: Duration) -> Option<(Vec<u8>, Vec<Handle>)> {
    let (mut bytes, mut handles) = (Vec::new(), Vec::new());
    let end = Instant::now() + patience;
    loop {
        let taken = ring.get(&arena, 1, Wait::Until(Some(end)), None, |_, payload, attachments| {
            bytes.extend_from_slice(payload);
            arena.receive(attachments, &mut handles);
            false
        });
        match taken {
            Ok(_) => return Some((bytes, handles)),
            Err(procession_core::error::GetError::Interrupted) => {}
            Err(_) => return None,
        }
    }
}

/// A payload that tells when it is torn: its number, then bytes that follow from it.
pub fn payload(number: u64, size: usize) -> Vec<u8> {
    let mut bytes = number.to_le_bytes().to_vec();
    bytes.extend((0..size).map(|index| (number as usize).wrapping_mul(31).wrapping_add(index) as u8));
    bytes
}

/// The number of a payload that must be whole.
pub fn number_of(bytes: &[u8]) -> u64 {
    let number = u64::from_le_bytes(bytes[..8].try_into().unwrap());
    assert_eq!(bytes, payload(number, bytes.len() - 8), "torn message {number}");
    number
}

/// Whether a descriptor is readable now.
pub fn readable(fd: std::os::fd::RawFd) -> bool {
    readable_within(fd, Duration::ZERO)
}

/// Whether a descriptor is readable within so long.
pub fn readable_within(fd: std::os::fd::RawFd, patience: Duration) -> bool {
    let mut wanted = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
    // SAFETY: one entry, which is written.
    unsafe { libc::poll(&raw mut wanted, 1, patience.as_millis() as i32) == 1 }
}
