//! What can go wrong, one enum per family of operations.

/// Why a wait ended without what was waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WaitError {
    /// The deadline passed.
    TimedOut,
    /// A signal arrived or a slice of waiting ended: look after signals, then call again for what is left.
    Interrupted,
}

/// Something in shared memory that cannot be as it stands there: it was written over, by a process that shares it.
/// What is found so is left alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Corrupted {
    /// What it is.
    pub what: &'static str,
    /// Where in the segment, or what was taken for a place in it.
    pub offset: u64,
}

/// Why the arena gave nothing.
#[derive(Debug)]
pub enum ArenaError {
    /// A system call failed.
    System {
        /// The call that failed.
        call: &'static str,
        /// What the system answered.
        error: std::io::Error,
    },
    /// `asked` bytes would take the arena over its limit.
    Full {
        /// Bytes asked for.
        asked: u64,
        /// Bytes in use.
        used: u64,
        /// Bytes the arena may use.
        limit: u64,
    },
    /// More processes than the arena has places for.
    TooManyProcesses {
        /// How many places there are.
        limit: u32,
    },
    /// The descriptor is not an arena, or another one than the token names.
    NotAnArena(&'static str),
    /// No object of that kind lives at the address any more.
    Gone {
        /// The offset that was looked up.
        offset: u64,
        /// What was found there.
        found: &'static str,
    },
    /// It was written over.
    Corrupted(Corrupted),
}

impl From<Corrupted> for ArenaError {
    fn from(found: Corrupted) -> Self {
        Self::Corrupted(found)
    }
}

/// Why a ring took nothing.
#[derive(Debug)]
pub enum PutError {
    /// No room before the deadline.
    Full,
    /// Larger than the ring may ever hold.
    TooLarge {
        /// Bytes of the message.
        size: u64,
        /// Bytes the ring may hold.
        limit: u64,
    },
    /// Closed for putters.
    Closed,
    /// A signal arrived or a slice ended: look after signals, then call again.
    Interrupted,
    /// The arena had no room to grow into.
    Arena(ArenaError),
}

/// Why a ring gave nothing.
#[derive(Debug)]
pub enum GetError {
    /// Nothing came before the deadline.
    Empty,
    /// Closed, and nothing is left.
    Closed,
    /// A signal arrived or a slice ended: look after signals, then call again.
    Interrupted,
    /// The arena had no room to note what is taken, or what was to be taken is damaged. It is still there.
    Arena(ArenaError),
}

impl std::fmt::Display for Corrupted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "shared memory is damaged: {} (offset {}) cannot be as it stands there. A process that shares the arena has \
             written where it should not, most likely an extension module; start the program anew",
            self.what, self.offset
        )
    }
}

impl std::fmt::Display for ArenaError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::System { call, error } => write!(f, "{call}: {error}"),
            Self::Full { asked, used, limit } => write!(
                f,
                "the arena is full: {asked} bytes asked for, {used} of {limit} bytes are in use; \
                 drop what is no longer needed or set PROCESSION_ARENA_LIMIT (bytes)"
            ),
            Self::TooManyProcesses { limit } => {
                write!(f, "at most {limit} processes can share one arena at a time")
            }
            Self::NotAnArena(why) => write!(f, "not an arena of this program: {why}"),
            Self::Gone { offset, found } => write!(
                f,
                "the shared object at offset {offset} is gone (found: {found}): every process had dropped it; \
                 keep a reference in the sender until the receiver has it"
            ),
            Self::Corrupted(found) => found.fmt(f),
        }
    }
}

/// Why a lock or semaphore was not given back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReleaseError {
    /// It was free already, or its value at the maximum: nothing was changed.
    TooOften,
    /// Only its holder may release it, and the calling thread is not: nothing was changed.
    NotOwner,
}
