//! procession-disk: a queue whose records lie in files, for any number of processes of which any may be killed at any
//! instruction, on a machine whose power may fail. No Python in here. A module uses only those above it in this list:
//!
//! - [`error`]: what can go wrong.
//! - [`record`]: how a record lies in a segment, and how one tells that it is whole.
//! - [`storage`]: the seam below which files are: a directory of segments, or a test's model of one.
//! - [`segment`]: the start of a segment, and looking at records in it.
//! - [`state`]: what the processes share beside the files, and lose with the last of them.
//! - `window`: the segments that this process has mapped.
//! - [`queue`]: one queue as this process has it: locks, waiting, questions. Its parts: `put`, `get`, `lease` (what is
//!   taken and not done), `space` (segments made and given back), `commit` (what is safe from a power cut), `recover`.
//!
//! A *place* is a byte's number in the log, counted from the first byte that was ever written; it never falls. A
//! segment is a file with a stretch of the log, named by its first place. Of a record all is decided by one word: it
//! exists when the tail has moved past it, and is gone when its mark says so.

pub mod error;
pub mod queue;
pub mod record;
pub mod segment;
pub mod state;
pub mod storage;
mod window;

pub use error::Error;
pub use queue::{Got, Options, Process, Queue, Ticket};
pub use state::State;
pub use storage::{Files, Storage};
