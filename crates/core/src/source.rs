//! The bytes of an arena as somebody outside reads them: copied out through a descriptor, never mapped.
//!
//! Who only looks needs no mapping, and is better off without: what was copied cannot change between its check and its
//! use, a file that is no arena cannot end the reader by SIGBUS, and reading a hole of a sparse file takes no memory
//! (through a mapping it would, page by page, of the program that is looked at). The same calls read the memory of
//! another process through `/proc/PID/mem`, where its user's arenas for threads lie.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Bytes read at once: blocks are mostly smaller, and copying costs less than asking.
const WINDOW: usize = 64 * 1024;

/// What any bytes are a valid value of: structures of atomics and integers.
///
/// # Safety
/// That must be true of the type.
pub unsafe trait Plain {}

/// Something to read an arena from.
#[derive(Debug)]
pub struct Source {
    file: File,
    /// Where in the file it begins.
    base: u64,
    length: u64,
    /// Nothing is read from here on: nobody has written there.
    end: u64,
    window: Box<[u8]>,
    start: u64,
    filled: usize,
}

impl Source {
    /// The file behind another process's descriptor, `/proc/PID/fd/N`.
    pub fn of_file(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let length = file.metadata()?.len();
        Ok(Self::new(file, 0, length))
    }

    /// A span of another process's memory, where the system lets this one look at it.
    pub fn of_memory(pid: u32, start: u64, length: u64) -> io::Result<Self> {
        Ok(Self::new(File::open(format!("/proc/{pid}/mem"))?, start, length))
    }

    fn new(file: File, base: u64, length: u64) -> Self {
        Self { file, base, length, end: length, window: vec![0; WINDOW].into_boxed_slice(), start: 0, filled: 0 }
    }

    /// Bytes.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Forget what was read, and read nothing beyond `end` from now on.
    pub fn begin(&mut self, end: u64) {
        (self.filled, self.end) = (0, end.min(self.length));
    }

    /// `length` bytes at an offset, whatever it is. None: they are not there, or are more than is read at once.
    pub fn bytes(&mut self, offset: u64, length: usize) -> Option<&[u8]> {
        let end = offset.checked_add(length as u64)?;
        if end > self.end || length > WINDOW {
            return None;
        }
        if offset < self.start || end > self.start + self.filled as u64 {
            let most = usize::try_from(self.end - offset).map_or(WINDOW, |most| most.min(WINDOW));
            (self.start, self.filled) = (offset, 0);
            while self.filled < most {
                match self.file.read_at(&mut self.window[self.filled..most], self.base + offset + self.filled as u64) {
                    Ok(0) => break,
                    Ok(read) => self.filled += read,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(_) => break,
                }
            }
        }
        let from = (offset - self.start) as usize;
        (length <= self.filled.saturating_sub(from)).then(|| &self.window[from..from + length])
    }

    /// A copy of the `T` at an offset.
    pub fn copy<T: Plain>(&mut self, offset: u64) -> Option<T> {
        let bytes = self.bytes(offset, size_of::<T>())?;
        // SAFETY: so many bytes are there, read as unaligned; any bytes are a `T`.
        Some(unsafe { bytes.as_ptr().cast::<T>().read_unaligned() })
    }

    /// A `T` too large to be copied about, of which only the first `length` bytes are read; the rest is zero.
    pub fn copy_large<T: Plain>(&self, offset: u64, length: usize) -> Option<Box<T>> {
        if offset.checked_add(size_of::<T>() as u64)? > self.length || length > size_of::<T>() {
            return None;
        }
        let mut made = Box::new(std::mem::MaybeUninit::<T>::zeroed());
        // SAFETY: the bytes of `made`, all initialised, of which nobody else has a reference.
        let bytes = unsafe { std::slice::from_raw_parts_mut(made.as_mut_ptr().cast::<u8>(), length) };
        self.file.read_exact_at(bytes, self.base + offset).ok()?;
        // SAFETY: any bytes are a `T`.
        Some(unsafe { Box::from_raw(Box::into_raw(made).cast()) })
    }
}
