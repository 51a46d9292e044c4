//! What can go wrong while pairs are combined, written and merged.

use std::fmt;
use std::io;

/// Each cause once.
#[derive(Debug)]
pub enum GatherError {
    /// A file could not be written or read; `ENOSPC` is the disk of a spool that is full.
    Io(io::Error),
    /// A value is none that the reducer takes: what it is, packed.
    NotANumber(Vec<u8>),
    /// Two values of one key have no order: both, packed.
    Unorderable(Vec<u8>, Vec<u8>),
    /// An int is beyond 127 bits, or a count beyond 63.
    Overflow,
    /// A run is not what was written: a bug of ours, or a file changed by somebody else.
    Corrupt(&'static str),
    /// Two different members of sets have the same fingerprint of 64 bits.
    Collision,
}

impl From<io::Error> for GatherError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl fmt::Display for GatherError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(out, "{error}"),
            Self::NotANumber(_) => out.write_str("a value is not a number"),
            Self::Unorderable(..) => out.write_str("two values of one key have no order"),
            Self::Overflow => out.write_str("a number is too large"),
            Self::Corrupt(what) => write!(out, "a run is damaged: {what}"),
            Self::Collision => out.write_str("two members of sets have the same fingerprint"),
        }
    }
}

impl std::error::Error for GatherError {}
