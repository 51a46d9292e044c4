//! What several test files need.

use std::fs::File;
use std::os::fd::{AsRawFd, FromRawFd};

use procession_gather::spool::Spool;

/// An anonymous file in memory, and a way into it as a spool, ready to be appended to.
pub fn memory_file() -> (File, Spool) {
    // SAFETY: the name is a constant with a NUL; the result is a new descriptor of ours, or -1.
    let descriptor = unsafe { libc::memfd_create(c"test".as_ptr(), libc::MFD_CLOEXEC) };
    assert!(descriptor >= 0);
    // SAFETY: nobody else has this descriptor.
    let file = unsafe { File::from_raw_fd(descriptor) };
    let spool = Spool::open(file.as_raw_fd()).unwrap();
    spool.init().unwrap();
    (file, spool)
}
