//! A span of a file on disk, mapped for reading and writing together with all who map it.
//!
//! Other than a [`crate::segment::Segment`] it is unmapped with its last user, and can be cut off: who makes the file
//! shorter while it is mapped makes every access beyond its new end a SIGBUS, here as everywhere. That is looked after
//! when the span is mapped; afterwards nothing can be done against it, and files that are homes are only made longer.
//!
//! To write it to the disk is the file's business (`fdatasync`), of which Linux keeps one copy, mapped or not.

use std::io;
use std::os::fd::RawFd;

const PAGE: u64 = 4096;

/// A mapped span of a file.
#[derive(Debug)]
pub struct Mapping {
    base: *mut u8,
    length: usize,
}

// SAFETY: the memory is shared by design; every access goes through atomics or a buffer export, as for a segment.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Map `length` bytes from `offset` (whole pages) on. The descriptor stays the caller's, and may be closed.
    ///
    /// # Errors
    /// `InvalidInput` when the offset is no page's start; `UnexpectedEof` when the file ends before the span does; what
    /// the system says.
    pub fn of_file(fd: RawFd, offset: u64, length: u64) -> io::Result<Self> {
        if !offset.is_multiple_of(PAGE) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the offset is not a multiple of 4096"));
        }
        // SAFETY: `status` is written by fstat before it is read.
        let size = unsafe {
            let mut status: libc::stat = std::mem::zeroed();
            if libc::fstat(fd, &raw mut status) != 0 {
                return Err(io::Error::last_os_error());
            }
            status.st_size as u64
        };
        if offset.checked_add(length).is_none_or(|end| end > size) {
            let text = format!("the file has {size} bytes: {length} from {offset} on are not there");
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, text));
        }
        if length == 0 {
            return Ok(Self { base: std::ptr::without_provenance_mut(PAGE as usize), length: 0 }); // aligned, never used
        }
        let length = length as usize;
        // SAFETY: a fresh mapping at an address of the kernel's choice touches nothing that exists.
        let base = unsafe {
            let access = libc::PROT_READ | libc::PROT_WRITE;
            libc::mmap(std::ptr::null_mut(), length, access, libc::MAP_SHARED, fd, offset as libc::off_t)
        };
        if base == libc::MAP_FAILED { Err(io::Error::last_os_error()) } else { Ok(Self { base: base.cast(), length }) }
    }

    /// Where it is mapped.
    pub fn base(&self) -> *mut u8 {
        self.base
    }

    /// Bytes.
    pub fn length(&self) -> usize {
        self.length
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        if self.length > 0 {
            // SAFETY: mapped by `of_file`, and whoever has `base` has `self`.
            unsafe { libc::munmap(self.base.cast(), self.length) };
        }
    }
}

#[cfg(test)]
#[cfg(not(miri))] // which maps no files
mod tests {
    use super::*;
    use std::io::{Read, Seek, Write};
    use std::os::fd::AsRawFd;

    fn file(bytes: &[u8]) -> std::fs::File {
        let path = std::env::temp_dir().join(format!("procession-mapping-{}-{}", std::process::id(), bytes.len()));
        let mut file = std::fs::File::options().read(true).write(true).create(true).truncate(true).open(&path).unwrap();
        std::fs::remove_file(path).unwrap();
        file.write_all(bytes).unwrap();
        file
    }

    #[test]
    fn what_is_written_to_it_stands_in_the_file() {
        let mut file = file(&[7; 5000]);
        let mapping = Mapping::of_file(file.as_raw_fd(), 4096, 904).unwrap();
        // SAFETY: within the mapping, and nobody else has it.
        unsafe {
            assert_eq!(*mapping.base().add(903), 7);
            *mapping.base() = 9;
        }
        let mut bytes = Vec::new();
        file.seek(io::SeekFrom::Start(4096)).unwrap();
        file.read_to_end(&mut bytes).unwrap();
        assert_eq!((bytes[0], bytes[1], bytes.len()), (9, 7, 904));
    }

    #[test]
    fn beyond_the_end_nothing_is_mapped() {
        let file = file(&[0; 5001]);
        let at = |offset, length| Mapping::of_file(file.as_raw_fd(), offset, length).map(|_| ()).map_err(|e| e.kind());
        assert_eq!(at(4096, 906), Err(io::ErrorKind::UnexpectedEof));
        assert_eq!(at(4096, u64::MAX), Err(io::ErrorKind::UnexpectedEof));
        assert_eq!(at(1, 1), Err(io::ErrorKind::InvalidInput));
        assert_eq!(at(4096, 0), Ok(()));
    }
}
