//! A barrier for a fixed number of parties, with the meaning of `threading.Barrier`.
//!
//! One 64-bit word holds everything that decides, so every step is one compare-exchange and a death leaves no half
//! step:
//!
//! | bits   | field      | meaning                                                                        |
//! | ------ | ---------- | ------------------------------------------------------------------------------ |
//! | 0..12  | arrived    | how many parties of this generation wait                                       |
//! | 12..14 | status     | FILLING, CLOSING (all are here, the last one runs the action) or BROKEN        |
//! | 14..32 | history    | how the last 18 generations ended, newest lowest: 1 broken, 0 released         |
//! | 32..64 | generation | moves on when the parties are released, and when a broken barrier is reset     |
//!
//! A new generation fills while the parties of the last one are still on their way out: they compare the generation
//! that they noted, and read from the history how it ended. One that is more than 18 generations late takes it for
//! broken.
//!
//! Death. Each party notes itself in `present` on arrival, and takes itself out when it withdraws. Who waits looks through
//! it every [`LOOK`]: if one has died, the barrier breaks and names it, as it does when the last party dies within the
//! action. A party that dies before it arrives is not known here: use a timeout. Only 64 parties are noted.

#![allow(clippy::needless_pass_by_value)] // a party is used up by what ends its wait

use crate::error::WaitError;
use crate::failpoint::step;
use crate::loom::{AtomicU32, AtomicU64, Ordering};
use crate::owner::{Holder, Liveness, OwnerId};
use crate::sys;
use crate::wait::{self, ALL, LOOK, Signal};
use std::time::Instant;

/// As many parties as the word can count.
pub const PARTIES_MAX: u32 = 4000;

/// How many parties are looked after.
const PRESENT: usize = if cfg!(loom) { 2 } else { 64 };

const HISTORY: u32 = 18;

/// A process id: Linux has none beyond these 22 bits.
const PID: u32 = 0x3f_ffff;

/// A pid as it is noted: with the lowest bits of the generation, for a party that dies as it notes itself leaves that of
/// an earlier one in its place.
fn tagged(pid: u32, generation: u32) -> u32 {
    pid & PID | (generation & 0x3ff) << 22
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Status {
    Filling,
    Closing,
    Broken,
}

/// The word, unpacked.
#[derive(Debug, Clone, Copy)]
struct State {
    arrived: u32,
    status: Status,
    history: u32,
    generation: u32,
}

impl State {
    fn unpack(word: u64) -> Self {
        let status = match word >> 12 & 3 {
            0 => Status::Filling,
            1 => Status::Closing,
            _ => Status::Broken,
        };
        Self {
            arrived: word as u32 & 0xfff,
            status,
            history: (word >> 14) as u32 & ((1 << HISTORY) - 1),
            generation: (word >> 32) as u32,
        }
    }

    fn pack(self) -> u64 {
        u64::from(self.arrived)
            | (self.status as u64) << 12
            | u64::from(self.history) << 14
            | u64::from(self.generation) << 32
    }

    /// The next generation; `broken` tells how this one ended.
    fn advanced(self, broken: bool) -> Self {
        Self {
            arrived: 0,
            status: Status::Filling,
            history: (self.history << 1 | u32::from(broken)) & ((1 << HISTORY) - 1),
            generation: self.generation.wrapping_add(1),
        }
    }

    /// How the generation `noted` ended, None while it has not.
    fn outcome(self, noted: u32) -> Option<Outcome> {
        let ago = self.generation.wrapping_sub(noted);
        let broken = match ago {
            0 if self.status == Status::Broken => true,
            0 => return None,
            1..=HISTORY => self.history >> (ago - 1) & 1 == 1,
            _ => true,
        };
        Some(if broken { Outcome::Broken } else { Outcome::Released })
    }
}

/// How a generation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// All parties came.
    Released,
    /// A timeout, `abort`, `reset`, a failed action or a death came first.
    Broken,
}

/// What an arrival leads to.
#[derive(Debug)]
#[must_use = "an arrival must be parked, released, broken or withdrawn"]
pub enum Arrival {
    /// Not the last: `park`.
    Waiting(Party),
    /// The last: run the action, then `release` (or `break_up` if it failed).
    Last(Party),
    /// The barrier is broken.
    Broken,
}

/// One party of one generation.
#[derive(Debug)]
pub struct Party {
    generation: u32,
    index: u32,
    /// Where it is noted.
    place: Option<usize>,
}

impl Party {
    /// Which arrival of its generation it is, from 0.
    pub fn index(&self) -> u32 {
        self.index
    }
}

/// A barrier: 808 bytes of shared memory.
#[repr(C)]
#[derive(Debug)]
pub struct Barrier {
    /// See the table above.
    state: AtomicU64,
    /// Never changes.
    parties: AtomicU32,
    /// Process id of whose death broke it last; 0 where it did not come to noting it.
    killed_pid: AtomicU32,
    /// How often its parties were released (wraps around).
    released: AtomicU32,
    signal: Signal,
    /// Whose death broke it last: generation << 32 | owner.
    killed: AtomicU64,
    /// Who arrived as which: generation << 32 | owner.
    present: [AtomicU64; PRESENT],
    /// Their process ids, `tagged`: the table of processes forgets them.
    pids: [AtomicU32; PRESENT],
}

#[cfg(not(loom))]
const _: () = assert!(size_of::<Barrier>() == 808); // as docs/reference/memory.md has it

impl Barrier {
    /// For `parties` parties, 1 to [`PARTIES_MAX`].
    pub fn new(parties: u32) -> Self {
        debug_assert!((1..=PARTIES_MAX).contains(&parties));
        Self {
            state: AtomicU64::new(0),
            parties: AtomicU32::new(parties),
            killed_pid: AtomicU32::new(0),
            released: AtomicU32::new(0),
            signal: Signal::new(),
            killed: AtomicU64::new(0),
            present: std::array::from_fn(|_| AtomicU64::new(0)),
            pids: std::array::from_fn(|_| AtomicU32::new(0)),
        }
    }

    fn load(&self) -> State {
        // SYNC: Acquire pairs with the Release in `change`: what the parties did before they arrived is seen by all
        // of them.
        State::unpack(self.state.load(Ordering::Acquire))
    }

    /// Replace the state by what `next` makes of it, unless that is None. Gives the state before.
    fn change(&self, next: impl Fn(State) -> Option<State>) -> Result<State, State> {
        let next = |word| next(State::unpack(word)).map(State::pack);
        let result = self.state.fetch_update(Ordering::AcqRel, Ordering::Acquire, next);
        result.map(State::unpack).map_err(State::unpack)
    }

    /// How many parties it is for.
    pub fn parties(&self) -> u32 {
        self.parties.load(Ordering::Relaxed)
    }

    /// How many wait.
    pub fn waiting(&self) -> u32 {
        let state = self.load();
        if state.status == Status::Broken { 0 } else { state.arrived }
    }

    /// Whether it is broken.
    pub fn is_broken(&self) -> bool {
        self.load().status == Status::Broken
    }

    /// Whose death broke it, if it is broken and a death did that. The pid is 0 where nobody knows it.
    pub fn killed(&self) -> Option<Holder> {
        let word = self.killed.load(Ordering::Acquire);
        let state = self.load();
        let now = state.status == Status::Broken && (word >> 32) as u32 == state.generation;
        let owner = OwnerId::from_bits(word as u32).filter(|_| now)?;
        Some(Holder { owner, pid: self.killed_pid.load(Ordering::Relaxed), thread: 0, since: 0 })
    }

    /// How often its parties were released.
    pub fn times_released(&self) -> u32 {
        self.released.load(Ordering::Relaxed)
    }

    /// Arrive. Waits only while the last party of the generation before runs its action, at most about one slice
    /// (then `Interrupted`: call again).
    pub fn arrive(&self, me: OwnerId, life: &impl Liveness, deadline: Option<Instant>) -> Result<Arrival, WaitError> {
        let parties = self.parties();
        loop {
            let State { generation, arrived, status, .. } = self.load();
            match status {
                Status::Broken => return Ok(Arrival::Broken),
                Status::Closing => self.sleep(generation, me, life, deadline)?,
                Status::Filling => {
                    let place = self.note(generation, arrived, me);
                    step();
                    let counted = self.change(|state| {
                        let last = state.arrived + 1 == parties;
                        let status = if last { Status::Closing } else { Status::Filling };
                        let open = state.status == Status::Filling && state.generation == generation;
                        open.then_some(State { arrived: state.arrived + 1, status, ..state })
                    });
                    step();
                    if let Ok(State { arrived: index, .. }) = counted {
                        let party = Party { generation, index, place };
                        return Ok(if index + 1 == parties { Arrival::Last(party) } else { Arrival::Waiting(party) });
                    }
                    self.forget(generation, place);
                }
            }
        }
    }

    /// Wait for the others, at most until `deadline` and about one slice (then `Interrupted`: call again). Once all
    /// have arrived the deadline no longer counts.
    pub fn park(
        &self,
        party: &Party,
        me: OwnerId,
        life: &impl Liveness,
        deadline: Option<Instant>,
    ) -> Result<Outcome, WaitError> {
        loop {
            let state = self.load();
            if let Some(outcome) = state.outcome(party.generation) {
                return Ok(outcome);
            }
            let deadline = deadline.filter(|_| state.status == Status::Filling);
            self.sleep(party.generation, me, life, deadline)?;
        }
    }

    /// Write down that `me` is here: before it is counted, so that nobody is who might die unknown. None: no room.
    fn note(&self, generation: u32, index: u32, me: OwnerId) -> Option<usize> {
        let first = index as usize % PRESENT;
        let noted = (0..PRESENT).map(|at| (first + at) % PRESENT).find(|&place| {
            let present = &self.present[place];
            let before = present.load(Ordering::Relaxed);
            let free = before as u32 == 0 || (before >> 32) as u32 != generation;
            let mine = u64::from(generation) << 32 | u64::from(me.bits());
            free && present.compare_exchange(before, mine, Ordering::AcqRel, Ordering::Relaxed).is_ok()
        })?;
        step();
        self.pids[noted].store(tagged(sys::pid(), generation), Ordering::Relaxed);
        Some(noted)
    }

    /// Who was noted at `place` is not counted, or no longer.
    fn forget(&self, generation: u32, place: Option<usize>) {
        let Some(place) = place else { return };
        let pid = tagged(sys::pid(), generation);
        let _ = self.pids[place].compare_exchange(pid, 0, Ordering::Relaxed, Ordering::Relaxed);
        let nobody = u64::from(generation) << 32;
        // In a later generation the place may be another's.
        let mine = |now: u64| (now >> 32 == nobody >> 32).then_some(nobody);
        let _ = self.present[place].fetch_update(Ordering::AcqRel, Ordering::Relaxed, mine);
    }

    /// Until the generation ended or a slice did; looks after the parties meanwhile.
    fn sleep(
        &self,
        generation: u32,
        me: OwnerId,
        life: &impl Liveness,
        deadline: Option<Instant>,
    ) -> Result<(), WaitError> {
        let ended = || self.load().outcome(generation).is_some();
        if ended() || wait::spin(ended) {
            return Ok(());
        }
        let look = || {
            self.look_after(me, life);
            LOOK
        };
        match self.signal.sleep_and_look(ended, look, deadline) {
            // All arrived while this one's time ran out: it waits on for the action.
            Err(WaitError::TimedOut) if self.load().status == Status::Closing => Err(WaitError::Interrupted),
            result => result,
        }
    }

    /// Break the barrier if a party of the present generation has died.
    fn look_after(&self, me: OwnerId, life: &impl Liveness) {
        let generation = self.load().generation;
        for (present, pid) in self.present.iter().zip(&self.pids) {
            let word = present.load(Ordering::Acquire);
            let Some(owner) = OwnerId::from_bits(word as u32) else { continue };
            if (word >> 32) as u32 == generation && owner != me && !life.seems_alive(owner) {
                // Who leaves takes its note away, or breaks the barrier, before it can die. So what is true of the
                // dead now was true when they died.
                let State { generation: now, status, .. } = self.load();
                if now != generation || status == Status::Broken {
                    return;
                }
                if present.load(Ordering::Acquire) != word {
                    continue;
                }
                let pid = pid.load(Ordering::Relaxed);
                let known = if tagged(pid, generation) == pid { pid & PID } else { 0 };
                self.killed_pid.store(known, Ordering::Relaxed);
                // SYNC: Release publishes the pid. Before the break, whose victims ask at once.
                self.killed.store(word, Ordering::Release);
                self.break_generation(generation);
                return;
            }
        }
    }

    fn break_generation(&self, generation: u32) -> bool {
        let broken = self.change(|state| {
            let open = state.generation == generation && state.status != Status::Broken;
            open.then_some(State { status: Status::Broken, ..state })
        });
        if broken.is_ok() {
            self.signal.notify(ALL);
        }
        broken.is_ok()
    }

    /// The last party lets the others go. Broken if somebody broke or reset it during the action.
    pub fn release(&self, party: Party) -> Outcome {
        let closed = self.change(|state| {
            let mine = state.generation == party.generation && state.status == Status::Closing;
            mine.then(|| state.advanced(false))
        });
        if closed.is_err() {
            return Outcome::Broken;
        }
        self.released.fetch_add(1, Ordering::Relaxed);
        self.signal.notify(ALL);
        Outcome::Released
    }

    /// A party whose time is over, or whose action failed, breaks the barrier for all, unless its generation ended
    /// before.
    pub fn break_up(&self, party: Party) -> Outcome {
        loop {
            if let Some(outcome) = self.load().outcome(party.generation) {
                return outcome;
            }
            self.break_generation(party.generation);
        }
    }

    /// A party that goes away because of an exception takes its arrival back.
    pub fn withdraw(&self, party: Party) {
        let _ = self.change(|state| {
            let open = state.generation == party.generation && state.status == Status::Filling;
            open.then(|| State { arrived: state.arrived - 1, ..state })
        });
        step();
        self.forget(party.generation, party.place);
    }

    /// Break it: those who wait, and all who come, get `Broken` until `reset`.
    pub fn abort(&self) {
        let broken = self.change(|state| Some(State { status: Status::Broken, ..state }));
        debug_assert!(broken.is_ok());
        self.signal.notify(ALL);
    }

    /// Back to empty; those who wait get `Broken`.
    pub fn reset(&self) {
        let changed = self.change(|state| {
            let idle = state.status == Status::Filling && state.arrived == 0;
            (!idle).then(|| state.advanced(true))
        });
        if changed.is_ok() {
            self.signal.notify(ALL);
        }
    }
}
