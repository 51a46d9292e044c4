//! Who holds a thing, and do they still live?
//!
//! Every process that maps an arena has a place in its [`Processes`] table. An [`OwnerId`] names a place *and* the generation of
//! its use, so it fits into a lock word of 32 bits and never names a later process by mistake. Behind the id stand pid and
//! start time: a pid alone may be reused, and `kill(pid, 0)` succeeds on zombies.

use crate::loom::{AtomicU32, AtomicU64, Ordering};
use crate::sys;

/// How many processes may share one arena at a time. Bounds the holder bits of every object (one bit a process).
pub const PLACES: usize = 1024;

/// A process, as it stands in a lock word: generation (15 bits) over place + 1 (16 bits). Never zero; bit 31 is free.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OwnerId(u32);

impl OwnerId {
    /// The id for a place in its present generation.
    pub fn new(place: usize, generation: u32) -> Self {
        debug_assert!(place < PLACES);
        Self((generation & 0x7fff) << 16 | (place as u32 + 1))
    }

    /// Out of the low 31 bits of a word. None for zero.
    pub fn from_bits(bits: u32) -> Option<Self> {
        let bits = bits & 0x7fff_ffff;
        let place = bits & 0xffff;
        (place != 0 && place as usize <= PLACES).then_some(Self(bits))
    }

    /// The 31 bits that go into a word.
    pub fn bits(self) -> u32 {
        self.0
    }

    /// Which place of the table.
    pub fn place(self) -> usize {
        (self.0 & 0xffff) as usize - 1
    }

    fn generation(self) -> u32 {
        self.0 >> 16
    }
}

/// Tells whether an owner lives. The table below does; a model has its own.
pub trait Liveness {
    /// False only when the process has certainly ended.
    fn is_alive(&self, owner: OwnerId) -> bool;
}

const FREE: u32 = 0;
/// Kept for a child that is being forked; `start_time` then holds the clock (ms) of the keeping.
const RESERVED: u32 = 1;
const LIVE: u32 = 2;

/// One place: 64 bytes of shared memory; all-zero is a free place.
#[repr(C, align(64))]
#[derive(Debug, Default)]
struct Place {
    /// generation << 2 | FREE, RESERVED or LIVE. The generation moves on when a place is freed.
    state: AtomicU32,
    pid: AtomicU32,
    start_time: AtomicU64,
}

/// The table of processes. Lives in shared memory.
#[repr(C)]
pub struct Processes {
    places: [Place; PLACES],
}

/// A forked child claims its place within a moment; a reservation older than this (milliseconds) was for a fork that failed.
const RESERVATION: u64 = 60_000;

impl Processes {
    fn take(&self, with: u32) -> Option<OwnerId> {
        for (index, place) in self.places.iter().enumerate() {
            let state = place.state.load(Ordering::Relaxed);
            if state & 3 == FREE
                && place.state.compare_exchange(state, state | with, Ordering::AcqRel, Ordering::Relaxed).is_ok()
            {
                return Some(OwnerId::new(index, state >> 2));
            }
        }
        None
    }

    /// Enter the calling process. None when the table is full.
    pub fn enter(&self) -> Option<OwnerId> {
        let owner = self.reserve()?;
        self.claim(owner);
        Some(owner)
    }

    /// Keep a place for a child that the calling process is about to fork.
    pub fn reserve(&self) -> Option<OwnerId> {
        let owner = self.take(RESERVED)?;
        let place = &self.places[owner.place()];
        place.pid.store(0, Ordering::Relaxed);
        place.start_time.store(milliseconds(), Ordering::Release);
        Some(owner)
    }

    /// In the child: the kept place is mine now.
    pub fn claim(&self, owner: OwnerId) {
        let place = &self.places[owner.place()];
        let pid = sys::pid();
        place.start_time.store(sys::start_time(pid).unwrap_or(0), Ordering::Relaxed);
        place.pid.store(pid, Ordering::Relaxed);
        // SYNC: Release publishes pid and start time to `identity`.
        place.state.store(owner.generation() << 2 | LIVE, Ordering::Release);
    }

    /// Free the place of a process that has ended. Its holdings must have been taken back before.
    pub fn leave(&self, owner: OwnerId) {
        let place = &self.places[owner.place()];
        place.state.store((owner.generation() + 1 & 0x7fff) << 2 | FREE, Ordering::Release);
    }

    /// Process id and start time of an owner, None once the place is free or another's. The pid of a reserved place is 0.
    pub fn identity(&self, owner: OwnerId) -> Option<(u32, u64)> {
        let place = &self.places[owner.place()];
        let state = place.state.load(Ordering::Acquire);
        let identity = (place.pid.load(Ordering::Relaxed), place.start_time.load(Ordering::Relaxed));
        (state & 3 != FREE && state >> 2 & 0x7fff == owner.generation()).then_some(identity)
    }

    /// Every place in use.
    pub fn owners(&self) -> impl Iterator<Item = OwnerId> + '_ {
        self.places.iter().enumerate().filter_map(|(index, place)| {
            let state = place.state.load(Ordering::Acquire);
            (state & 3 != FREE).then(|| OwnerId::new(index, state >> 2))
        })
    }

    /// Who among the owners is process `pid`.
    pub fn find(&self, pid: u32) -> impl Iterator<Item = OwnerId> + '_ {
        self.owners().filter(move |&owner| self.identity(owner).is_some_and(|(found, _)| found == pid))
    }
}

impl Liveness for Processes {
    fn is_alive(&self, owner: OwnerId) -> bool {
        let Some((pid, start_time)) = self.identity(owner) else { return false };
        if pid == 0 {
            return milliseconds().saturating_sub(start_time) < RESERVATION;
        }
        sys::start_time(pid) == Some(start_time)
    }
}

/// A clock that all processes of the machine share, in milliseconds.
fn milliseconds() -> u64 {
    sys::monotonic().as_millis() as u64
}
