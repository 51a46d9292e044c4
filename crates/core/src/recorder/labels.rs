//! A process's texts, numbered: where in the user's program something happened, names, and whole stacks.
//!
//! The file has a line for each, and the number is that of the line, from 1 on: `=` and a text, in which a backslash or
//! a new line is escaped, or `@` and the numbers of a stack's frames, innermost first. A line is written in one
//! piece before anybody knows its number; a last one without its end is one whose writer died.

use super::family::{MOST_LABEL_BYTES, create_own, open_own};
use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::{self, Seek, Write};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

#[derive(Default)]
struct Table {
    numbers: HashMap<Box<str>, u32>,
    bytes: u64,
    failed: bool,
}

/// The table of one process.
pub(super) struct Labels {
    path: PathBuf,
    table: Mutex<Table>,
}

impl Labels {
    pub(super) fn create(path: PathBuf) -> io::Result<Self> {
        create_own(&path)?;
        Ok(Self { path, table: Mutex::default() })
    }

    pub(super) fn discard(&self) {
        let _ = std::fs::remove_file(&self.path);
    }

    /// The number of a text, 0 when the file cannot grow.
    pub(super) fn label(&self, text: &str) -> u32 {
        let mut line = String::with_capacity(text.len() + 2);
        line.push('=');
        for character in text.chars() {
            match character {
                '\\' => line.push_str("\\\\"),
                '\n' => line.push_str("\\n"),
                '\r' => line.push_str("\\r"),
                other => line.push(other),
            }
        }
        self.number(line)
    }

    /// The number of a stack.
    pub(super) fn stack(&self, frames: &[u32]) -> u32 {
        let mut line = String::with_capacity(6 * frames.len());
        for (place, frame) in frames.iter().enumerate() {
            let _ = write!(line, "{}{frame}", if place == 0 { '@' } else { ' ' });
        }
        if line.is_empty() { 0 } else { self.number(line) }
    }

    fn number(&self, mut line: String) -> u32 {
        // Not held across a fork: the child has a table of its own. A panic inside leaves the table as good as it was.
        let mut table: MutexGuard<'_, Table> = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(&number) = table.numbers.get(line.as_str()) {
            return number;
        }
        line.push('\n');
        if table.failed || table.bytes + line.len() as u64 > MOST_LABEL_BYTES || self.append(&line).is_err() {
            table.failed = true; // half a line may have been written: no other may follow
            return 0;
        }
        table.bytes += line.len() as u64;
        line.pop();
        let number = table.numbers.len() as u32 + 1;
        table.numbers.insert(line.into(), number);
        number
    }

    fn append(&self, line: &str) -> io::Result<()> {
        let mut file = open_own(&self.path)?;
        file.seek(io::SeekFrom::End(0))?;
        file.write_all(line.as_bytes())
    }
}
