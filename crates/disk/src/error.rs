//! What can go wrong, each cause once.

use procession_core::error::WaitError;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// Why a queue did not do what it was asked for. The queue is as it was before, unless a variant says otherwise.
#[derive(Debug)]
pub enum Error {
    /// No room before the deadline.
    Full,
    /// Nothing came before the deadline.
    Empty,
    /// The deadline passed.
    TimedOut,
    /// A signal arrived or a slice of waiting ended: look after signals, then call again for what is left.
    Interrupted,
    /// Shut down: nothing may be put, and nothing is left to take.
    ShutDown,
    /// Larger than the queue may ever hold.
    TooLarge {
        /// Bytes of the record.
        size: u64,
        /// Bytes that the queue may hold.
        limit: u64,
    },
    /// The files are not what was written: changed by somebody else, or by the disk. Nothing was changed.
    Damaged {
        /// What cannot be as it is.
        what: &'static str,
        /// In which file.
        file: PathBuf,
        /// At which byte of it.
        at: u64,
    },
    /// A system call failed: a full disk, a directory that is gone or not ours.
    System {
        /// The call.
        call: &'static str,
        /// On which file.
        file: PathBuf,
        /// What the system answered.
        error: io::Error,
    },
    /// The disk once failed to take what was written, and it is not known what of it is there. Nothing more is put or
    /// taken until every process has closed the queue and somebody has opened it again.
    Poisoned,
}

impl Error {
    /// A failed call, for `map_err`.
    pub(crate) fn of(call: &'static str, file: &Path) -> impl FnOnce(io::Error) -> Self {
        move |error| Self::System { call, file: file.to_owned(), error }
    }

    /// Whether a file was not there.
    pub(crate) fn is_not_found(&self) -> bool {
        matches!(self, Self::System { error, .. } if error.kind() == io::ErrorKind::NotFound)
    }
}

impl From<WaitError> for Error {
    fn from(error: WaitError) -> Self {
        match error {
            WaitError::TimedOut => Self::TimedOut,
            WaitError::Interrupted => Self::Interrupted,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => out.write_str("the queue is full"),
            Self::Empty => out.write_str("the queue is empty"),
            Self::TimedOut => out.write_str("the time is over"),
            Self::Interrupted => out.write_str("interrupted"),
            Self::ShutDown => out.write_str("the queue is shut down"),
            Self::TooLarge { size, limit } => {
                write!(out, "an item takes {size} bytes on disk, the queue holds at most {limit}")
            }
            Self::Damaged { what, file, at } => {
                write!(out, "{} is damaged at byte {at}: {what}", file.display())
            }
            Self::System { call, file, error } => write!(out, "{call} {}: {error}", file.display()),
            Self::Poisoned => out.write_str(
                "the disk failed to take what was written to this queue; close it in every process, see to the disk, \
                 and open it again",
            ),
        }
    }
}

impl std::error::Error for Error {}
