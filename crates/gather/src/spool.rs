//! A file without a name to which several processes append: sorted runs on their way, or the segments of an answer.
//!
//! The file is made by somebody else, in memory (memfd) or on disk (unlinked), and goes away with its last descriptor,
//! so a death leaves nothing behind. Whoever appends opens it anew, with `O_APPEND`: the kernel then finds the end and
//! writes in one step, and the position of the descriptor, shared with nobody, tells where it was. What a process was
//! writing when it died is never mentioned by anyone; it is lost space until the file goes.
//!
//! The first page is kept for a header.

use std::fs::{File, OpenOptions};
use std::io::{self, IoSlice, Seek, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::FileExt;

/// Where the first block may lie.
pub const HEADER: usize = 4096;

/// Blocks start at multiples of this.
pub const ALIGNED: u64 = 8;

/// The largest block: Linux writes at most 2 GiB less a page (of up to 64 KiB) at once.
pub const LARGEST: usize = 0x7fff_0000;

/// One process's way into the file. One thread at a time appends.
pub struct Spool {
    file: File,
}

impl Spool {
    /// Open the file behind a descriptor of this process. `NotFound` where /proc is not mounted.
    pub fn open(descriptor: RawFd) -> io::Result<Self> {
        let path = format!("/proc/self/fd/{descriptor}");
        let opened = OpenOptions::new().read(true).append(true).open(&path);
        let file = opened.map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => io::Error::new(
                error.kind(),
                format!("{path} is not there: what is gathered by key needs /proc mounted"),
            ),
            _ => error,
        })?;
        Ok(Self { file })
    }

    /// Write the header's page, empty. Once, by whoever made the file.
    pub fn init(&self) -> io::Result<()> {
        (&self.file).write_all(&[0; HEADER])
    }

    /// Append a block, which is not empty, in one piece; gives its offset. Zeros follow, up to a multiple of
    /// [`ALIGNED`].
    ///
    /// `ENOSPC` if the disk (or memory) is full; `FileTooLarge` for a block above [`LARGEST`].
    pub fn append(&self, block: &[u8]) -> io::Result<u64> {
        let whole = block.len().next_multiple_of(ALIGNED as usize);
        if whole > LARGEST {
            let message = "what is gathered for one key takes 2 GiB or more: an answer cannot hold that";
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
        }
        let zeros = [0; ALIGNED as usize];
        let slices = [IoSlice::new(block), IoSlice::new(&zeros[..whole - block.len()])];
        loop {
            let written = match (&self.file).write_vectored(&slices) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                written => written? as u64,
            };
            let start = (&self.file).stream_position()? - written;
            if written == whole as u64 && start.is_multiple_of(ALIGNED) {
                return Ok(start);
            }
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            // Cut short, by a disk nearly full say: the rest may not be a neighbour. The next attempt says why.
            let end = start + written;
            let missing = (ALIGNED - end % ALIGNED) % ALIGNED;
            (&self.file).write_all(&zeros[..missing as usize])?;
        }
    }

    /// Give back the memory (or disk) of a stretch, as far as it covers whole pages. It reads as zeros afterwards.
    pub fn punch(&self, offset: u64, length: u64) {
        let (start, end) = (offset.next_multiple_of(HEADER as u64), (offset + length) / HEADER as u64 * HEADER as u64);
        if start < end {
            // SAFETY: the descriptor is our file's. A file system that cannot do it (an error) keeps what it has.
            unsafe {
                libc::fallocate(
                    self.file.as_raw_fd(),
                    libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE,
                    start as libc::off_t,
                    (end - start) as libc::off_t,
                );
            }
        }
    }

    /// Read exactly this stretch.
    pub fn read(&self, into: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_exact_at(into, offset)
    }
}
