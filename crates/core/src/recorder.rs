//! The recorder: what a family of processes did, written where it outlives them.
//!
//! A recording is a directory. In it each process has a file of fixed records ([`writer`]) and a file of texts
//! ([`labels`]), and the family has one header ([`family`]) with the counter of tickets and the bound on disk use. The
//! files are mapped and shared, so what was written stays when the writer is killed at whatever instruction: the
//! page cache is the kernel's. The reader is `python/procession/_recording.py`; the byte tables are in
//! `docs/reference/memory.md`.
//!
//! It is off unless somebody asked for it ([`join`]): then [`is_on`] is one relaxed load of a word that nobody writes.
//! When on, a record costs the clock, an addition and eight stores. Threads of a process take places by that addition and
//! wait for nobody; only the growth of the file, seldom and in steps that double, is one thread's work at a time.
//!
//! **Tickets** ([`ticket`]) give the synchronisation of different processes an order that agrees with cause and effect: who
//! releases something takes one *before* the release, who acquires it one *after* the acquisition. So a release has a lower
//! ticket than the acquisition that saw it, whichever clocks and CPUs were involved. Clocks alone do not promise that.
//!
//! A process made by fork writes a file of its own, from its first record on. Nothing here keeps a descriptor, for programs
//! close all of theirs (and then open others, which must not be written to): files are opened by their absolute path for
//! the moment in which they grow.
//!
//! A recording that cannot go on, because the disk is full or the bound is reached, stops: the program goes on, what is
//! dropped is counted, and one line on standard error says so. Space is reserved before it is mapped for use, so a
//! full disk is an error code and never a SIGBUS.

mod family;
mod labels;
mod writer;

use crate::loom::{AtomicPtr, AtomicU32, Ordering};
use crate::sys;
use family::Family;
pub use family::{DEFAULT_LIMIT, VERSION};
use std::cell::Cell;
use std::io;
use std::path::Path;
use std::sync::Once;
use writer::Writer;

/// A bit of what is recorded: lives, tasks and waits, for the timeline.
pub const TRACE: u32 = 1;
/// A bit of what is recorded: accesses and synchronisation, for the race detector.
pub const CHECK: u32 = 2;

/// What this process records: [`TRACE`] and [`CHECK`], 0 for nothing.
pub static RECORDING: AtomicU32 = AtomicU32::new(0);

/// Whether any of `what` is recorded.
#[inline(always)]
pub fn is_on(what: u32) -> bool {
    RECORDING.load(Ordering::Relaxed) & what != 0
}

/// Kinds of records. `_recording.py` has the same names; what `object`, `a`, `b` and `extra` mean is told here.
///
/// 1 to 15 lives, 16 to 31 tasks, 32 to 63 waits; from 64 on synchronisation and accesses, which the
/// race detector gives their meaning.
pub mod kind {
    /// The first record of each process. `a`: its parent's pid; `b`: its start time, as [`crate::sys::start_time`] has it.
    pub const PROCESS: u16 = 1;
    /// The process is called `site`; with flag 1 the calling thread is.
    pub const NAME: u16 = 2;
    /// The process reaches its end. `a`: exit code, if known.
    pub const EXIT: u16 = 3;
    /// The process started a child. `a`: its pid; `site`: where.
    pub const STARTED: u16 = 4;
    /// The process learnt that a child had ended. `a`: its pid; `b`: its exit code, as a signed number.
    pub const ENDED: u16 = 5;

    /// A task begins. `object`: the pool's ring of tasks; `a`: the task's number; `b`: its items, 0 for a single call;
    /// `site`: the function.
    pub const TASK: u16 = 16;
    /// It is done. `a`: its number; `b`: its items that failed.
    pub const TASK_DONE: u16 = 17;
    /// Tasks were handed in. `object`: the ring; `a`: the first one's number; `b`: how many; `site`: where.
    pub const SUBMITTED: u16 = 18;
    /// A worker is ready for tasks of a pool. `object`: the ring.
    pub const WORKER: u16 = 19;

    /// A thread begins to wait. `object`: for what (a pid if it waits for the end of one); `a`: the action, as
    /// [`crate::waits::Action`] numbers them; `b`: that one's detail; `site`: where; `extra`: the label of what the
    /// object is called.
    pub const WAIT: u16 = 32;
    /// It waits no longer. `extra`: 1 if its time was over before it got what it
    /// waited for; the others as before.
    pub const WAIT_DONE: u16 = 33;
}

/// Flag of a record: its object lies in one process's own memory, so that its offset means something there only.
pub const PRIVATE: u16 = 1 << 15;

/// What is written, beside the time and the thread.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Event {
    /// One of [`kind`]. 0 is none.
    pub kind: u16,
    /// The kind's own, and [`PRIVATE`].
    pub flags: u16,
    /// Names the object's arena: the low half of its token's first word. 0: none.
    pub arena: u32,
    /// An offset in that arena.
    pub object: u64,
    /// The kind's own.
    pub a: u64,
    /// The kind's own.
    pub b: u64,
    /// From [`label`]: where in the user's program, 0 if that is not known.
    pub site: u32,
    /// From [`label_stack`], 0 for none.
    pub stack: u32,
    /// From [`ticket`], 0 for none.
    pub ticket: u64,
    /// The kind's own.
    pub extra: u32,
}

static FAMILY: AtomicPtr<Family> = AtomicPtr::new(std::ptr::null_mut());
static WRITER: AtomicPtr<Writer> = AtomicPtr::new(std::ptr::null_mut());
/// Moves on whenever labels become invalid: at a fork, and with another recording.
static GENERATION: AtomicU32 = AtomicU32::new(1);
/// The generation in which this process could not have a file.
static REFUSED: AtomicU32 = AtomicU32::new(0);
static AT_FORK: Once = Once::new();

thread_local! {
    /// The generation, and the calling thread's id in it.
    static THREAD: Cell<(u32, u32)> = const { Cell::new((0, 0)) };
}

/// Make a recording in `directory`, which exists, unless there is one. `what` is recorded there by whoever joins;
/// `limit` bounds the family's records, in bytes.
pub fn create(directory: &Path, what: u32, limit: u64) -> io::Result<()> {
    Family::create(directory, what, limit)
}

/// Take part in the recording in `directory` from now on. Returns what is recorded there.
pub fn join(directory: &Path) -> io::Result<u32> {
    let family = Box::leak(Box::new(Family::open(directory)?));
    let what = family.what();
    // SAFETY: the handler is a plain function that lives as long as the program; this library is never unloaded.
    AT_FORK.call_once(|| unsafe {
        libc::pthread_atfork(None, None, Some(after_fork_in_child));
    });
    RECORDING.store(0, Ordering::Relaxed);
    // The old ones are never freed: another thread may be writing. There is one per call, and a program calls once.
    WRITER.store(std::ptr::null_mut(), Ordering::Release);
    FAMILY.store(family, Ordering::Release);
    GENERATION.fetch_add(1, Ordering::Relaxed);
    RECORDING.store(what, Ordering::Relaxed);
    Ok(what)
}

/// Take part no longer.
pub fn leave() {
    RECORDING.store(0, Ordering::Relaxed);
}

/// The child has its parent's mapping, and records into a file of its own. Allocates nothing.
extern "C" fn after_fork_in_child() {
    GENERATION.fetch_add(1, Ordering::Relaxed);
    let writer = WRITER.swap(std::ptr::null_mut(), Ordering::AcqRel);
    // SAFETY: null or leaked by `writer()`; the forking thread was not recording, and there is no other one here.
    if let Some(writer) = unsafe { writer.as_ref() } {
        writer.unmap();
    }
}

fn family() -> Option<&'static Family> {
    // SAFETY: null, or leaked in `join` and never freed. SYNC: Acquire pairs with the Release there.
    unsafe { FAMILY.load(Ordering::Acquire).as_ref() }
}

#[inline]
fn writer() -> Option<&'static Writer> {
    // SAFETY: null, or leaked in `open_writer` and never freed. SYNC: Acquire pairs with the exchange there.
    unsafe { WRITER.load(Ordering::Acquire).as_ref() }.or_else(open_writer)
}

/// The calling process's file, made now. Of two threads that come here at once one writes into the other's.
#[cold]
fn open_writer() -> Option<&'static Writer> {
    let family = family()?;
    if REFUSED.load(Ordering::Relaxed) == generation() {
        return None;
    }
    let writer = match Writer::create(family) {
        Ok(writer) => Box::into_raw(Box::new(writer)),
        Err(error) => {
            family.stop(&error);
            REFUSED.store(generation(), Ordering::Relaxed);
            return None;
        }
    };
    match WRITER.compare_exchange(std::ptr::null_mut(), writer, Ordering::AcqRel, Ordering::Acquire) {
        Ok(_) => {
            // SAFETY: just leaked, and from now on never freed.
            let writer = unsafe { &*writer };
            let (a, b) = (u64::from(sys::parent_pid()), sys::start_time(sys::pid()).unwrap_or(0));
            writer.write(
                sys::monotonic().as_nanos() as u64,
                thread(),
                &Event { kind: kind::PROCESS, a, b, ..Event::default() },
            );
            Some(writer)
        }
        Err(theirs) => {
            // SAFETY: nobody else has seen ours; theirs was leaked by another thread.
            unsafe {
                Box::from_raw(writer).discard();
                theirs.as_ref()
            }
        }
    }
}

/// The calling thread's id in the kernel, which costs a system call once.
fn thread() -> u32 {
    let generation = GENERATION.load(Ordering::Relaxed);
    let (known, id) = THREAD.get();
    if known == generation {
        return id;
    }
    let id = sys::native_thread();
    THREAD.set((generation, id));
    id
}

/// Write a record. Drops and counts it when the recording is full.
pub fn record(event: &Event) {
    record_at(sys::monotonic().as_nanos() as u64, event);
}

/// The same of a moment that was noted before: nanoseconds of the machine's clock.
pub fn record_at(nanos: u64, event: &Event) {
    match writer() {
        Some(writer) => writer.write(nanos, thread(), event),
        None => _ = family().inspect(|family| family.dropped()),
    }
}

/// The next ticket of the family; see the module. 0 while nothing is recorded.
#[inline]
pub fn ticket() -> u64 {
    family().map_or(0, Family::ticket)
}

/// Changes whenever labels become invalid: whoever keeps one asks anew then.
#[inline]
pub fn generation() -> u32 {
    GENERATION.load(Ordering::Relaxed)
}

/// The number of a text in this process's table; 0 when there is no more room.
pub fn label(text: &str) -> u32 {
    writer().map_or(0, |writer| writer.labels.label(text))
}

/// The number of a stack in this process's table: labels of its frames, innermost first.
pub fn label_stack(frames: &[u32]) -> u32 {
    writer().map_or(0, |writer| writer.labels.stack(frames))
}
