//! Pipes as bells: readable while a byte is in, and reachable from other processes through /proc.
//!
//! A pipe can be opened again by whoever may look into the owner's /proc entry; an eventfd cannot. An end opened again
//! is opened for both directions: writing into it never raises SIGPIPE, whoever has gone.

use super::Bell;
use std::io::{self, Write};
use std::mem::ManuallyDrop;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

/// A pipe of one's own. Both ends are closed with it, unless somebody else's file has taken their place.
#[derive(Debug)]
pub struct Pipe {
    reading: ManuallyDrop<OwnedFd>,
    writing: ManuallyDrop<OwnedFd>,
    inode: u64,
}

/// Another process's pipe, opened again.
#[derive(Debug)]
pub struct Reopened(OwnedFd);

impl Pipe {
    /// A new pipe, close-on-exec, that never blocks.
    pub fn new() -> io::Result<Self> {
        let mut ends = [-1; 2];
        // SAFETY: writes two descriptors into `ends`, which are ours from here on.
        let (reading, writing) = unsafe {
            if libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC | libc::O_NONBLOCK) != 0 {
                return Err(io::Error::last_os_error());
            }
            (OwnedFd::from_raw_fd(ends[0]), OwnedFd::from_raw_fd(ends[1]))
        };
        let inode = pipe_inode(reading.as_raw_fd()).ok_or_else(io::Error::last_os_error)?;
        Ok(Self { reading: ManuallyDrop::new(reading), writing: ManuallyDrop::new(writing), inode })
    }

    /// The descriptor to wait for.
    pub fn fd(&self) -> RawFd {
        self.reading.as_raw_fd()
    }

    /// What tells this pipe from every other while one end of it is open.
    pub fn inode(&self) -> u64 {
        self.inode
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        for end in [&mut self.reading, &mut self.writing] {
            // A program that closed all its descriptors, as daemons do, may have others under these numbers.
            if pipe_inode(end.as_raw_fd()) == Some(self.inode) {
                // SAFETY: dropped here and nowhere else.
                unsafe { ManuallyDrop::drop(end) };
            }
        }
    }
}

impl Bell for Pipe {
    fn ring(&self) {
        write_byte(self.writing.as_raw_fd());
    }

    fn rings(&self) -> bool {
        let mut there: libc::c_int = 0;
        // SAFETY: writes one int.
        unsafe { libc::ioctl(self.fd(), libc::FIONREAD, &raw mut there) == 0 && there > 0 }
    }

    fn silence(&self) {
        let mut bytes = [0u8; 64];
        // SAFETY: reads at most that many bytes into `bytes`; the descriptor does not block.
        while unsafe { libc::read(self.fd(), bytes.as_mut_ptr().cast(), bytes.len()) } == bytes.len() as isize {}
    }
}

impl Reopened {
    /// The pipe that process `pid` has under the number `fd`, if it is the one with that inode. None: it is gone, or
    /// that process may not be looked into (another user's, or not dumpable).
    pub fn new(pid: u32, fd: RawFd, inode: u64) -> Option<Self> {
        let mut path = [0u8; 40];
        write!(&mut path[..39], "/proc/{pid}/fd/{fd}").ok()?;
        // Opening a stranger that has taken the number might be noticed by it: look at the name first.
        let mut name = [0u8; 32];
        // SAFETY: `path` ends in a NUL; at most `name.len()` bytes are written.
        let length = unsafe { libc::readlink(path.as_ptr().cast(), name.as_mut_ptr().cast(), name.len()) };
        let name = name.get(..usize::try_from(length).ok()?)?;
        let named = std::str::from_utf8(name).ok()?.strip_prefix("pipe:[")?.strip_suffix(']')?;
        if named.parse() != Ok(inode) {
            return None;
        }
        // SAFETY: `path` ends in a NUL; the descriptor is ours from here on.
        let end = unsafe {
            let end = libc::open(path.as_ptr().cast(), libc::O_RDWR | libc::O_NONBLOCK | libc::O_CLOEXEC);
            (end >= 0).then(|| OwnedFd::from_raw_fd(end))?
        };
        (pipe_inode(end.as_raw_fd()) == Some(inode)).then_some(Self(end))
    }

    /// Make it readable.
    pub fn ring(&self) {
        write_byte(self.0.as_raw_fd());
    }
}

/// One byte; a full pipe is readable enough.
fn write_byte(fd: RawFd) {
    // SAFETY: reads one byte; the descriptor does not block.
    unsafe { libc::write(fd, c"".as_ptr().cast(), 1) };
}

/// The inode of a pipe, None if the descriptor is no pipe's.
pub fn pipe_inode(fd: RawFd) -> Option<u64> {
    // SAFETY: an all-zero stat is valid; the call writes into it only.
    unsafe {
        let mut status: libc::stat = std::mem::zeroed();
        let pipe = libc::fstat(fd, &raw mut status) == 0 && status.st_mode & libc::S_IFMT == libc::S_IFIFO;
        pipe.then_some(status.st_ino as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg_attr(miri, ignore = "miri knows no ioctl on pipes, and no /proc/PID/fd")]
    fn a_bell_rings_until_it_is_silenced() {
        let pipe = Pipe::new().unwrap();
        assert!(!pipe.rings());
        Reopened::new(super::super::pid(), pipe.fd(), pipe.inode()).unwrap().ring();
        pipe.ring();
        assert!(pipe.rings());
        pipe.silence();
        assert!(!pipe.rings());
    }

    #[test]
    #[cfg_attr(miri, ignore = "miri knows no ioctl on pipes, and no /proc/PID/fd")]
    fn a_reused_number_is_not_taken_for_the_pipe() {
        let (gone, other) = (Pipe::new().unwrap(), Pipe::new().unwrap());
        assert!(Reopened::new(super::super::pid(), other.fd(), gone.inode()).is_none());
        assert!(Reopened::new(super::super::pid(), 1 << 20, gone.inode()).is_none());
        assert!(Reopened::new(u32::MAX / 2, gone.fd(), gone.inode()).is_none());
    }
}
