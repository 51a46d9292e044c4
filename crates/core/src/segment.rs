//! A segment: a span of memory, from an anonymous memfd that other processes can map too, or from this process's own heap.
//! Knows no structure inside.
//!
//! A memfd has no name: nothing stands in /dev/shm, and the kernel takes the memory back when the last process that has it
//! open or mapped ends, however it ends. It is sparse: a segment of a terabyte costs what was touched of it.
//!
//! Its mode is 0600, so that of other users not even those get in who find a way to the descriptor, and its length is
//! sealed: were it cut off, every access beyond would be a SIGBUS in all that have it mapped.

use crate::error::{ArenaError, Corrupted};
use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

const PAGE: u64 = 4096;
const SEALS: libc::c_int = libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_SEAL;

/// A mapped span of memory. Never unmapped: addresses in it stay valid for the life of the process.
#[derive(Debug)]
pub struct Segment {
    base: *mut u8,
    length: u64,
    fd: Option<OwnedFd>,
}

// SAFETY: the memory is shared by design; every access goes through atomics or is guarded by a lock in the memory itself.
unsafe impl Send for Segment {}
// SAFETY: as above.
unsafe impl Sync for Segment {}

fn failed(call: &'static str) -> ArenaError {
    ArenaError::System { call, error: io::Error::last_os_error() }
}

fn map(length: u64, fd: RawFd) -> Result<*mut u8, ArenaError> {
    let kind = if fd < 0 { libc::MAP_PRIVATE | libc::MAP_ANONYMOUS } else { libc::MAP_SHARED };
    // SAFETY: a fresh mapping at an address of the kernel's choice touches nothing that exists.
    let base = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            length as usize,
            libc::PROT_READ | libc::PROT_WRITE,
            kind | libc::MAP_NORESERVE,
            fd,
            0,
        )
    };
    if base == libc::MAP_FAILED {
        return Err(failed("mmap"));
    }
    // Core dumps would be as large as the arena. Advice only: a failure changes nothing.
    // SAFETY: the range was mapped just now.
    unsafe { libc::madvise(base, length as usize, libc::MADV_DONTDUMP) };
    Ok(base.cast())
}

impl Segment {
    /// A span of zeroes of at most `length` bytes (less where address space is limited) that other processes can map.
    pub fn shared(length: u64) -> Result<Self, ArenaError> {
        Self::named(length, c"procession-arena")
    }

    /// The same, called something else in `/proc`, for who searches that.
    pub fn named(mut length: u64, name: &CStr) -> Result<Self, ArenaError> {
        // SAFETY: the name is NUL-terminated; the descriptor is owned from here on.
        let fd = unsafe {
            let flags = libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING;
            let fd = libc::syscall(libc::SYS_memfd_create, name.as_ptr(), flags) as RawFd; // by number: see `sys/linux.rs`
            if fd < 0 {
                return Err(failed("memfd_create"));
            }
            OwnedFd::from_raw_fd(fd)
        };
        // SAFETY: a plain call on a descriptor of ours.
        if unsafe { libc::fchmod(fd.as_raw_fd(), 0o600) } != 0 {
            return Err(failed("fchmod"));
        }
        loop {
            // SAFETY: a plain call on a descriptor of ours.
            if unsafe { libc::ftruncate(fd.as_raw_fd(), length as libc::off_t) } != 0 {
                return Err(failed("ftruncate"));
            }
            match map(length, fd.as_raw_fd()) {
                Ok(base) => {
                    // SAFETY: a plain call on a descriptor of ours.
                    if unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_ADD_SEALS, SEALS) } != 0 {
                        return Err(failed("fcntl"));
                    }
                    return Ok(Self { base, length, fd: Some(fd) });
                }
                Err(error) if length <= 1 << 26 => return Err(error),
                Err(_) => length /= 2, // RLIMIT_AS, say
            }
        }
    }

    /// A span of zeroes in this process's own memory.
    pub fn private(mut length: u64) -> Result<Self, ArenaError> {
        loop {
            match map(length, -1) {
                Ok(base) => return Ok(Self { base, length, fd: None }),
                Err(error) if length <= 1 << 26 => return Err(error),
                Err(_) => length /= 2,
            }
        }
    }

    /// Map another process's segment. `fd` stays the caller's.
    pub fn attach(fd: RawFd) -> Result<Self, ArenaError> {
        // SAFETY: plain calls on a descriptor; `status` is written by fstat before it is read.
        let (copy, length) = unsafe {
            let copy = libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, 3);
            if copy < 0 {
                return Err(failed("fcntl"));
            }
            let copy = OwnedFd::from_raw_fd(copy);
            let mut status: libc::stat = std::mem::zeroed();
            if libc::fstat(copy.as_raw_fd(), &raw mut status) != 0 {
                return Err(failed("fstat"));
            }
            (copy, status.st_size as u64)
        };
        if length < 1 << 20 {
            return Err(ArenaError::NotAnArena("the descriptor's file is too small"));
        }
        // SAFETY: a plain call on a descriptor of ours; what knows no seals answers -1.
        let seals = unsafe { libc::fcntl(copy.as_raw_fd(), libc::F_GET_SEALS) };
        if seals < 0 || seals & SEALS != SEALS {
            return Err(ArenaError::NotAnArena("the descriptor's file could be cut off"));
        }
        let base = map(length, copy.as_raw_fd())?;
        Ok(Self { base, length, fd: Some(copy) })
    }

    /// Where it is mapped in this process.
    pub fn base(&self) -> *mut u8 {
        self.base
    }

    /// Bytes.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// The descriptor, -1 for a private one.
    pub fn fd(&self) -> RawFd {
        self.fd.as_ref().map_or(-1, AsRawFd::as_raw_fd)
    }

    /// Where a span of it is mapped: the one place where a number from shared memory becomes a pointer. `what` it is
    /// goes into the error, when it does not lie in the segment or is not aligned to its words.
    #[inline]
    pub fn span(&self, offset: u64, length: u64, what: &'static str) -> Result<*mut u8, Corrupted> {
        if offset.is_multiple_of(8) && length <= self.length && offset <= self.length - length {
            // SAFETY: the span lies within the mapping.
            return Ok(unsafe { self.base.add(offset as usize) });
        }
        Err(Corrupted { what, offset })
    }

    /// Give the memory of a range back to the system; it reads as zeroes afterwards. `offset` and `length` in whole pages.
    pub fn punch(&self, offset: u64, length: u64) {
        debug_assert!(offset + length <= self.length);
        // SAFETY: the range lies within the segment; its owner has said that nobody needs its contents. A failure keeps the
        // memory, which is allowed.
        unsafe {
            if let Some(fd) = &self.fd {
                let mode = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
                libc::fallocate(fd.as_raw_fd(), mode, offset as libc::off_t, length as libc::off_t);
            } else {
                libc::madvise(self.base.add(offset as usize).cast(), length as usize, libc::MADV_DONTNEED);
            }
        }
    }

    /// Let the pages of a range exist and be mapped for writing, all at once: advice, for who is about to write there.
    pub fn populate(&self, offset: u64, length: u64) {
        let (from, to) = (offset / PAGE * PAGE, (offset + length).next_multiple_of(PAGE).min(self.length));
        // SAFETY: the range lies within the segment; no contents change. An older kernel knows no such advice.
        unsafe {
            let start = self.base.add(from as usize).cast();
            libc::madvise(start, (to - from) as usize, libc::MADV_POPULATE_WRITE);
        }
    }

    /// Write into fresh pages through the descriptor, which spares a fault for every page. False: copy by hand.
    pub fn write_at(&self, offset: u64, bytes: &[u8]) -> bool {
        let Some(fd) = &self.fd else { return false };
        let mut done = 0;
        while done < bytes.len() {
            let rest = &bytes[done..];
            let at = (offset + done as u64) as libc::off_t;
            // SAFETY: reads `rest` only; the kernel checks the target range against the file.
            let wrote = unsafe { libc::pwrite(fd.as_raw_fd(), rest.as_ptr().cast(), rest.len(), at) };
            if wrote <= 0 {
                return false;
            }
            done += wrote as usize;
        }
        true
    }
}
