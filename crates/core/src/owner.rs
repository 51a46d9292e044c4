//! Who holds a thing, and do they still live?
//!
//! Every process that maps an arena has a place in its [`Processes`] table. An [`OwnerId`] names a place *and* the
//! generation of its use, so it fits into a lock word of 32 bits and never names a later process by mistake. Behind
//! the id stand pid and start time: a pid alone may be reused, and `kill(pid, 0)` succeeds on zombies.

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

    /// A dead process that never had a place: the last generation of the last place, which nobody lives to see.
    pub fn of_nobody() -> Self {
        Self::new(PLACES - 1, GENERATION)
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

    /// The same, as somebody may have found out a few milliseconds ago: for those who ask again and again.
    fn seems_alive(&self, owner: OwnerId) -> bool {
        self.is_alive(owner)
    }
}

/// What finding a dead holder means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// What he held is the finder's, who is told.
    Warn,
    /// It is nobody's until somebody repairs what it guards.
    Raise,
}

/// Who holds something, or held it when he died.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holder {
    /// His place in the table of processes.
    pub owner: OwnerId,
    /// Process id.
    pub pid: u32,
    /// Thread ident; 0 when it is no longer known.
    pub thread: u64,
    /// Since when, in whole seconds since 1970; 0 when it is not known.
    pub since: u32,
}

/// What came of taking a lock or a permit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "an abandoned lock guards state that may be half-done"]
pub enum Taken {
    /// It is the caller's, and was free.
    Free,
    /// It is the caller's; its holder died inside, so what it guards may be half-done.
    Abandoned(Holder),
    /// It is not the caller's: the same, and it stays so until somebody repairs it.
    Refused(Holder),
}

const FREE: u32 = 0;
/// Kept for a process that has not come yet (a child that is being forked, or one that is entering).
const RESERVED: u32 = 1;
const LIVE: u32 = 2;

/// One place: 64 bytes of shared memory; all-zero is a free place.
///
/// | state    | bits 1..0 | bits 16..2 | bits 31..17                         | pid, start time |
/// | -------- | --------- | ---------- | ----------------------------------- | --------------- |
/// | free     | 0         | generation | 0                                   | anything        |
/// | reserved | 1         | generation | second of the keeping (mod 2^15)    | anything        |
/// | live     | 2         | generation | 0                                   | the process's   |
///
/// The second stands in the same word as the state, so that a place is never seen as reserved with the time or the
/// pid of its last user. The generation moves on when a place is freed.
#[repr(C, align(64))]
#[derive(Debug, Default)]
struct Place {
    state: AtomicU32,
    pid: AtomicU32,
    /// In clock ticks since boot; 0 when it could not be found out.
    start_time: AtomicU64,
    /// When it was last seen alive (milliseconds of the machine's clock, wraps around).
    seen: AtomicU32,
    /// How many processes were given a place before it.
    rank: AtomicU32,
    /// The beginning of its name for people, UTF-8, padded with zeros; the rest of the line.
    name: [AtomicU32; NAME / 4],
}

#[cfg(not(loom))]
const _: () = assert!(size_of::<Place>() == 64);

/// Bytes of a process's name that are kept.
const NAME: usize = 40;

/// For how long who was seen alive is taken to be (milliseconds): however many wait for one process, its state is read
/// about once in [`crate::wait::LOOK`].
const FRESH: u32 = 6;

const GENERATION: u32 = 0x7fff;

fn generation_of(state: u32) -> u32 {
    state >> 2 & GENERATION
}

/// The table of processes. Lives in shared memory.
#[repr(C)]
pub struct Processes {
    places: [Place; PLACES],
    given: Given,
}

/// How many places were ever given. A line of its own.
#[repr(C, align(64))]
#[derive(Debug, Default)]
struct Given(AtomicU32);

/// A forked child claims its place within a moment; a reservation older than this (seconds) was for a fork that
/// failed.
const RESERVATION: u32 = 60;

impl Processes {
    /// Keep a place for a child that the calling process is about to fork. None when the table is full.
    pub fn reserve(&self) -> Option<OwnerId> {
        for (index, place) in self.places.iter().enumerate() {
            let state = place.state.load(Ordering::Relaxed);
            if state & 3 == FREE
                && place
                    .state
                    .compare_exchange(state, reserved(generation_of(state)), Ordering::AcqRel, Ordering::Relaxed)
                    .is_ok()
            {
                place.rank.store(self.given.0.fetch_add(1, Ordering::Relaxed), Ordering::Relaxed);
                return Some(OwnerId::new(index, generation_of(state)));
            }
        }
        None
    }

    /// Enter the calling process. None when the table is full.
    pub fn enter(&self) -> Option<OwnerId> {
        self.reserve().filter(|&owner| self.claim(owner))
    }

    /// In the child: the kept place is mine now. False when it came too late and the place is lost.
    pub fn claim(&self, owner: OwnerId) -> bool {
        let place = &self.places[owner.place()];
        let state = place.state.load(Ordering::Relaxed);
        // First the reservation is renewed: nobody frees the place while pid and start time are written. (A place
        // that is live already is one's own in the copy of a private arena that a fork made.)
        let mine = state & 3 != FREE && generation_of(state) == owner.generation();
        let renewed = reserved(owner.generation());
        if !mine || place.state.compare_exchange(state, renewed, Ordering::AcqRel, Ordering::Relaxed).is_err() {
            return false;
        }
        crate::failpoint::step();
        let pid = sys::pid();
        place.start_time.store(sys::start_time(pid).unwrap_or(0), Ordering::Relaxed);
        place.name[0].store(0, Ordering::Relaxed);
        place.pid.store(pid, Ordering::Relaxed);
        // SYNC: Release publishes pid and start time to `identity`.
        place
            .state
            .compare_exchange(renewed, owner.generation() << 2 | LIVE, Ordering::Release, Ordering::Relaxed)
            .is_ok()
    }

    /// Free the place of a process that has ended. Its holdings must have been taken back before. False, and
    /// nothing is changed, when the place is free or another's: of two who see the same process dead only one frees
    /// its place.
    pub fn leave(&self, owner: OwnerId) -> bool {
        let place = &self.places[owner.place()];
        let state = place.state.load(Ordering::Relaxed);
        let next = ((owner.generation() + 1) & GENERATION) << 2 | FREE;
        state & 3 != FREE
            && generation_of(state) == owner.generation()
            && place.state.compare_exchange(state, next, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    /// As if every reservation were too old: for tests, while nobody forks.
    #[doc(hidden)]
    pub fn expire_reservations(&self) {
        let reserved = self.places.iter().filter(|place| place.state.load(Ordering::Relaxed) & 3 == RESERVED);
        reserved.for_each(|place| {
            place.state.fetch_sub(RESERVATION << 17, Ordering::Relaxed);
        });
    }

    /// Process id and start time of an owner, None once the place is free or another's. The pid of a reserved place
    /// is 0.
    pub fn identity(&self, owner: OwnerId) -> Option<(u32, u64)> {
        let place = &self.places[owner.place()];
        let state = place.state.load(Ordering::Acquire);
        if state & 3 == FREE || generation_of(state) != owner.generation() {
            return None;
        }
        if state & 3 == RESERVED {
            return Some((0, 0));
        }
        Some((place.pid.load(Ordering::Relaxed), place.start_time.load(Ordering::Relaxed)))
    }

    /// What to call the process with this place, for people.
    pub fn introduce(&self, owner: OwnerId, name: &str) {
        let mut bytes = [0; NAME];
        let length = (0..=NAME.min(name.len())).rev().find(|&end| name.is_char_boundary(end)).unwrap_or(0);
        bytes[..length].copy_from_slice(&name.as_bytes()[..length]);
        let words = bytes.chunks_exact(4).map(|word| u32::from_ne_bytes([word[0], word[1], word[2], word[3]]));
        for (word, value) in self.places[owner.place()].name.iter().zip(words) {
            word.store(value, Ordering::Relaxed);
        }
    }

    /// The name of process `pid`, which has or had this place. None: it never said, or another has the place now.
    pub fn name(&self, owner: OwnerId, pid: u32) -> Option<String> {
        let place = &self.places[owner.place()];
        let bytes: Vec<u8> = place.name.iter().flat_map(|word| word.load(Ordering::Relaxed).to_ne_bytes()).collect();
        let name = bytes.split(|&byte| byte == 0).next().filter(|name| !name.is_empty())?;
        // The pid afterwards: a new user of the place clears the name before it enters its own.
        (place.pid.load(Ordering::Acquire) == pid).then(|| String::from_utf8_lossy(name).into_owned())
    }

    /// How many processes were given a place, ever.
    pub fn entered(&self) -> u32 {
        self.given.0.load(Ordering::Relaxed)
    }

    /// How many processes were given a place before this one.
    pub fn rank(&self, owner: OwnerId) -> u32 {
        self.places[owner.place()].rank.load(Ordering::Relaxed)
    }

    /// Every place in use.
    pub fn owners(&self) -> impl Iterator<Item = OwnerId> + '_ {
        self.places.iter().enumerate().filter_map(|(index, place)| {
            let state = place.state.load(Ordering::Acquire);
            (state & 3 != FREE).then(|| OwnerId::new(index, generation_of(state)))
        })
    }

    /// Who among the owners is process `pid`.
    pub fn find(&self, pid: u32) -> impl Iterator<Item = OwnerId> + '_ {
        self.owners().filter(move |&owner| self.identity(owner).is_some_and(|(found, _)| found == pid))
    }
}

impl Liveness for Processes {
    fn is_alive(&self, owner: OwnerId) -> bool {
        match self.identity(owner) {
            None => false,
            Some((0, _)) => {
                let state = self.places[owner.place()].state.load(Ordering::Relaxed);
                state & 3 == LIVE || (second().wrapping_sub(state >> 17)) & GENERATION < RESERVATION
            }
            Some((pid, start_time)) => !sys::has_ended(pid, start_time),
        }
    }

    fn seems_alive(&self, owner: OwnerId) -> bool {
        let seen = &self.places[owner.place()].seen;
        let now = sys::monotonic().as_millis() as u32;
        if self.identity(owner).is_some() && now.wrapping_sub(seen.load(Ordering::Relaxed)) < FRESH {
            return true;
        }
        let alive = self.is_alive(owner);
        if alive {
            seen.store(now, Ordering::Relaxed);
        }
        alive
    }
}

fn reserved(generation: u32) -> u32 {
    second() << 17 | generation << 2 | RESERVED
}

/// A clock that all processes of the machine share, in seconds mod 2^15.
fn second() -> u32 {
    sys::monotonic().as_secs() as u32 & GENERATION
}
