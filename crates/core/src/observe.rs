//! An arena seen from outside: what every object is at, without any part in it.
//!
//! What is shown is decoded from the state itself, copied out of the memory (`source.rs`), by the same functions that
//! the objects' own users call: nothing is logged for it, and who is looked at does not notice. None of those functions
//! waits or follows an offset, so damaged memory gives odd numbers at worst.

use crate::barrier::Barrier;
use crate::condition::Condition;
use crate::error::{ArenaError, Corrupted};
use crate::event::Event;
use crate::heap::{BLOCK_HEADER, Block, Kind, Outside, Usage};
use crate::labels::Labels;
use crate::loom::{AtomicU32, AtomicU64, Ordering::Relaxed};
use crate::mutex::{Mutex, MutexStatistics};
use crate::owner::{Holder, OwnerId, PLACES, Processes};
use crate::ring::{ClaimCell, Ring};
use crate::semaphore::Semaphore;
use crate::source::{Plain, Source};
use crate::sys;
use crate::wait::Signal;
use crate::waits::Entry;

// SAFETY: structures of atomics (and unused integers) in shared memory, as is said where they are defined.
unsafe impl Plain for Mutex {}
// SAFETY: as above.
unsafe impl Plain for Semaphore {}
// SAFETY: as above.
unsafe impl Plain for Event {}
// SAFETY: as above.
unsafe impl Plain for Condition {}
// SAFETY: as above.
unsafe impl Plain for Barrier {}
// SAFETY: as above.
unsafe impl Plain for Ring {}
// SAFETY: as above.
unsafe impl Plain for ClaimCell {}
// SAFETY: as above.
unsafe impl Plain for Cells {}
// SAFETY: as above.
unsafe impl Plain for Log {}

/// What stands at the start of a Value or an Array (`sharedctypes/cells.rs` of the extension), and its first cell.
#[repr(C, align(64))]
struct Cells {
    code: AtomicU32,
    count: AtomicU64,
    _unused: [AtomicU64; 6],
    first: AtomicU64,
}

/// Who has how much of a queue on disk: the `State` of the crate `disk`, which knows the whole of it, up to what is read.
#[repr(C, align(64))]
struct Log {
    _made: AtomicU32,
    joinable: AtomicU32,
    _settings: [AtomicU32; 10],
    shut: AtomicU32,
    _put: [AtomicU64; 9],
    tail: LogSpot,
    _get: [AtomicU64; 8],
    head: LogSpot,
    _low: LogSpot,
    _open: AtomicU64,
    returned: AtomicU64,
    _rest: [AtomicU64; 14],
    items: Signal,
    space: Signal,
}

/// Its `Spot`.
#[repr(C, align(64))]
struct LogSpot {
    turn: AtomicU64,
    copies: [[AtomicU64; 4]; 2],
}

impl LogSpot {
    /// Records and bytes before it.
    fn before(&self) -> [u64; 2] {
        let [_place, _segment, count, bytes] = &self.copies[(self.turn.load(Relaxed) & 1) as usize];
        [count.load(Relaxed), bytes.load(Relaxed)]
    }
}

/// Where `Log` has what it reads: joinable, shut, tail, head, returned, items. The crate that it copies asserts it.
pub const LOG: [usize; 6] = [
    std::mem::offset_of!(Log, joinable),
    std::mem::offset_of!(Log, shut),
    std::mem::offset_of!(Log, tail),
    std::mem::offset_of!(Log, head),
    std::mem::offset_of!(Log, returned),
    std::mem::offset_of!(Log, items),
];

/// Cells of a claim that are read: a pool has seven for each worker.
const CLAIMS: u64 = 1 << 14;

/// What an object is at.
#[derive(Debug, Clone)]
#[allow(missing_docs)]
pub enum State {
    Mutex {
        owner: Option<Holder>,
        count: u32,
        statistics: MutexStatistics,
    },
    Semaphore {
        value: u32,
        maximum: u32,
        held: u32,
        waiters: u32,
    },
    Event {
        is_set: bool,
        times_set: u32,
        waiters: u32,
    },
    Condition {
        waiters: u32,
        notified: u32,
    },
    Barrier {
        parties: u32,
        waiters: u32,
        broken: bool,
        released: u32,
    },
    Ring {
        depth: u32,
        bytes: u64,
        put: u32,
        taken: u32,
        waiters: u32,
        closed: bool,
        storage: u64,
    },
    /// A queue on disk.
    Log {
        joinable: bool,
        depth: u64,
        bytes: u64,
        put: u64,
        taken: u64,
        waiters: u32,
        closed: bool,
    },
    Cells {
        code: u32,
        count: u64,
        first: u64,
    },
    Claims(Vec<u64>),
    /// Bytes that say nothing of themselves.
    Memory,
}

/// A process that has or had a place.
#[derive(Debug, Clone)]
pub struct Member {
    /// Its place.
    pub owner: OwnerId,
    /// Process id.
    pub pid: u32,
    /// Clock ticks since boot; 0: not known.
    pub start_time: u64,
    /// What it is called.
    pub name: Option<String>,
    /// How many were given a place before it.
    pub rank: u32,
    /// Whether it has not ended.
    pub alive: bool,
}

/// An arena at a moment.
#[derive(Debug)]
pub struct Picture {
    /// What distinguishes the arena from all others.
    pub token: [u64; 2],
    /// How much is in use.
    pub usage: Usage,
    /// Who shares it, by place; those that have died and were not found yet as well.
    pub members: Vec<Member>,
    /// Every object.
    pub objects: Vec<(Block, State)>,
    /// Who waits for what; who holds what, where deadlocks are looked for.
    pub waits: Vec<Entry>,
    /// What made no sense; what lies behind it is missing.
    pub damaged: Option<Corrupted>,
    labels: Option<Box<Labels>>,
}

impl Picture {
    /// The text of a label.
    pub fn label(&self, label: u32) -> Option<String> {
        self.labels.as_ref()?.text(label)
    }

    /// The member with a place, if it had that at the moment.
    pub fn member(&self, place: usize) -> Option<&Member> {
        let at = self.members.binary_search_by_key(&place, |member| member.owner.place()).ok()?;
        self.members.get(at)
    }
}

/// Someone who looks at one arena.
#[derive(Debug)]
pub struct Observer {
    heap: Outside,
}

impl Observer {
    /// Of the arena in a source.
    pub fn new(source: Source) -> Result<Self, ArenaError> {
        Outside::open(source).map(|heap| Self { heap })
    }

    /// What distinguishes the arena from all others.
    pub fn token(&self) -> [u64; 2] {
        self.heap.token()
    }

    /// Who shares it: cheaper than a picture.
    pub fn members(&self) -> Vec<Member> {
        self.heap.processes().map_or_else(Vec::new, |processes| members(&processes))
    }

    /// The texts of labels that stand in objects' contents.
    pub fn texts(&self, labels: &[u32]) -> Vec<Option<String>> {
        let known = self.heap.labels();
        labels.iter().map(|&label| known.as_ref()?.text(label)).collect()
    }

    /// The arena as it is now. Takes some milliseconds for ten thousand objects.
    pub fn look(&mut self) -> Picture {
        // Before the objects: what is waited for is there, and if a wait ended meanwhile its object tells.
        let waits = self.heap.waits();
        let mut objects = Vec::new();
        let damaged = self.heap.look(|block, source| {
            let state = state_of(block, source).unwrap_or(State::Memory);
            objects.push((block.clone(), state));
        });
        // Afterwards: whatever a block refers to is there by now.
        let (members, labels) = (self.members(), self.heap.labels());
        Picture { token: self.token(), usage: self.heap.usage(), members, objects, waits, damaged, labels }
    }
}

fn members(processes: &Processes) -> Vec<Member> {
    let member = |owner: OwnerId| {
        let (pid, start_time) = processes.identity(owner).filter(|&(pid, _)| pid != 0)?;
        let (name, rank) = (processes.name(owner, pid), processes.rank(owner));
        Some(Member { owner, pid, start_time, name, rank, alive: !sys::has_ended(pid, start_time) })
    };
    processes.owners().filter(|owner| owner.place() < PLACES).filter_map(member).collect()
}

fn state_of(block: &Block, source: &mut Source) -> Option<State> {
    fn contents<T: Plain>(block: &Block, source: &mut Source) -> Option<T> {
        let room = block.size >= size_of::<T>() as u64;
        room.then(|| source.copy(block.offset + BLOCK_HEADER)).flatten()
    }
    let kind = block.kind;
    let is = |wanted: Kind| kind == wanted as u32;
    if is(Kind::Lock) || is(Kind::RLock) {
        let mutex: Mutex = contents(block, source)?;
        let count = if mutex.is_locked() { mutex.depth() } else { 0 };
        return Some(State::Mutex { owner: mutex.owner(), count, statistics: mutex.statistics() });
    }
    if is(Kind::Semaphore) {
        let semaphore: Semaphore = contents(block, source)?;
        let (value, maximum) = (semaphore.value(), semaphore.maximum());
        return Some(State::Semaphore { value, maximum, held: semaphore.held(), waiters: semaphore.waiters() });
    }
    if is(Kind::Event) {
        let event: Event = contents(block, source)?;
        return Some(State::Event { is_set: event.is_set(), times_set: event.times_set(), waiters: event.waiters() });
    }
    if is(Kind::Condition) {
        let condition: Condition = contents(block, source)?;
        return Some(State::Condition { waiters: condition.waiters(), notified: condition.notified() });
    }
    if is(Kind::Barrier) {
        let barrier: Barrier = contents(block, source)?;
        let (parties, waiters, released) = (barrier.parties(), barrier.waiting(), barrier.times_released());
        return Some(State::Barrier { parties, waiters, broken: barrier.is_broken(), released });
    }
    if is(Kind::Ring) {
        let ring: Ring = contents(block, source)?;
        let (taken, put) = ring.position();
        let (getters, putters, _joiners) = ring.has_sleepers();
        return Some(State::Ring {
            depth: ring.len(),
            bytes: ring.bytes(),
            put,
            taken,
            waiters: u32::from(getters) + u32::from(putters),
            closed: ring.is_closed(),
            storage: ring.storage_bytes(),
        });
    }
    if is(Kind::DiskQueue) {
        let log: Log = contents(block, source)?;
        let ([put, put_bytes], [taken, taken_bytes]) = (log.tail.before(), log.head.before());
        return Some(State::Log {
            joinable: log.joinable.load(Relaxed) != 0,
            depth: put.saturating_sub(taken) + log.returned.load(Relaxed),
            bytes: put_bytes.saturating_sub(taken_bytes),
            put,
            taken,
            waiters: u32::from(log.items.has_sleepers()) + u32::from(log.space.has_sleepers()),
            closed: log.shut.load(Relaxed) != 0,
        });
    }
    if is(Kind::Value) || is(Kind::Array) {
        // The first cell may be shorter than a word; what follows it in the block is cut off by who shows it.
        let cells: Cells = source.copy(block.offset + BLOCK_HEADER)?;
        let (code, count, first) = (cells.code.load(Relaxed), cells.count.load(Relaxed), cells.first.load(Relaxed));
        return Some(State::Cells { code, count, first });
    }
    if is(Kind::Claim) {
        let cell = size_of::<ClaimCell>() as u64;
        let places = (0..(block.size / cell).min(CLAIMS)).map(|index| block.offset + BLOCK_HEADER + index * cell);
        return places
            .map(|place| source.copy::<ClaimCell>(place).map(|cell| cell.get()))
            .collect::<Option<_>>()
            .map(State::Claims);
    }
    None
}
