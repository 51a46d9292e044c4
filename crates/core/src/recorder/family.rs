//! What a recording's processes share: the header, a page of its directory.

use crate::loom::{AtomicU32, AtomicU64, Ordering};
use crate::sys;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// The first bytes of the header and of each file of records.
pub(super) const MAGIC: u64 = u64::from_le_bytes(*b"PROCREC\n");
/// Of the layout, of header and records. A reader of another version says so.
pub const VERSION: u32 = 1;
/// Bytes of records that a family may write where nobody says otherwise: 16 million records.
pub const DEFAULT_LIMIT: u64 = 1 << 30;
const HEADER_BYTES: usize = 4096;
/// In the place of an errno: the family's own bound is the reason.
const LIMIT_REACHED: u32 = u32::MAX;
/// Bytes of labels that one process may write: what is beyond it has no place.
pub(super) const MOST_LABEL_BYTES: u64 = 64 << 20;

/// The layout of the file `header`.
#[repr(C, align(64))]
struct Header {
    magic: AtomicU64,
    version: AtomicU32,
    what: AtomicU32,
    /// When it was made: nanoseconds of the machine's clock, and since 1970.
    monotonic: AtomicU64,
    realtime: AtomicU64,
    limit: AtomicU64,
    creator: AtomicU32,
    _pad: [u32; 5],
    /// The next ticket, on a line of its own.
    ticket: AtomicU64,
    _pad2: [u64; 7],
    /// Bytes that the family's files of records have reserved.
    reserved: AtomicU64,
    /// Records that had no place.
    dropped: AtomicU64,
    /// The errno for which the first of them had none, or [`LIMIT_REACHED`].
    stopped: AtomicU32,
    stopped_pid: AtomicU32,
    _pad3: [u64; 5],
}

const _: () = assert!(size_of::<Header>() == 192);

/// A recording as one process has it.
pub(super) struct Family {
    directory: PathBuf,
    header: &'static Header,
}

fn user_file() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o600).custom_flags(libc::O_CLOEXEC | libc::O_NOFOLLOW);
    options
}

/// Open a file of one's own that is there.
pub(super) fn open_own(path: &Path) -> io::Result<File> {
    user_file().open(path)
}

/// Make a file that is not there.
pub(super) fn create_own(path: &Path) -> io::Result<File> {
    user_file().create_new(true).open(path)
}

impl Family {
    /// Make the header under a passing name and then give it its own, so that it is there whole or not at all.
    pub(super) fn create(directory: &Path, what: u32, limit: u64) -> io::Result<()> {
        let passing = directory.join(format!("header.{}.{}", sys::pid(), sys::monotonic().as_nanos()));
        let mut file = create_own(&passing)?;
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos() as u64;
        let mut bytes = vec![0u8; HEADER_BYTES];
        let numbers = [
            MAGIC,
            u64::from(VERSION) | u64::from(what) << 32,
            sys::monotonic().as_nanos() as u64,
            since_1970,
            if limit == 0 { DEFAULT_LIMIT } else { limit },
            u64::from(sys::pid()),
        ];
        for (place, number) in numbers.iter().enumerate() {
            bytes[8 * place..8 * place + 8].copy_from_slice(&number.to_le_bytes());
        }
        bytes[64..72].copy_from_slice(&1u64.to_le_bytes());
        let made = file.write_all(&bytes).and_then(|()| std::fs::hard_link(&passing, directory.join("header")));
        std::fs::remove_file(&passing)?;
        match made {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            other => other,
        }
    }

    pub(super) fn open(directory: &Path) -> io::Result<Self> {
        let directory = std::path::absolute(directory)?;
        let file = open_own(&directory.join("header"))?;
        if file.metadata()?.len() != HEADER_BYTES as u64 {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "its header is damaged"));
        }
        let base = map(&file, HEADER_BYTES)?;
        #[allow(clippy::cast_ptr_alignment)] // a mapping begins at a page
        // SAFETY: a page that is mapped for ever and as long as a header; made of atomics, for which any bytes are valid.
        let header = unsafe { &*base.cast::<Header>() };
        if header.magic.load(Ordering::Relaxed) != MAGIC {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "its header is damaged"));
        }
        let version = header.version.load(Ordering::Relaxed);
        if version != VERSION {
            let message = format!("it has version {version}, and this is version {VERSION}");
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        }
        Ok(Self { directory, header })
    }

    pub(super) fn what(&self) -> u32 {
        self.header.what.load(Ordering::Relaxed)
    }

    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// SYNC: a relaxed addition does. Who acquires has seen the release, so the releaser's addition happened before, and
    /// additions to one word that happen one after the other are so in its order of modification.
    #[inline]
    pub(super) fn ticket(&self) -> u64 {
        self.header.ticket.fetch_add(1, Ordering::Relaxed)
    }

    /// Count `bytes` as reserved. False: that would be beyond the bound.
    pub(super) fn reserve(&self, bytes: u64) -> bool {
        let before = self.header.reserved.fetch_add(bytes, Ordering::Relaxed);
        let fits = before + bytes <= self.header.limit.load(Ordering::Relaxed);
        if !fits {
            self.give_back(bytes);
        }
        fits
    }

    pub(super) fn give_back(&self, bytes: u64) {
        self.header.reserved.fetch_sub(bytes, Ordering::Relaxed);
    }

    pub(super) fn limit(&self) -> u64 {
        self.header.limit.load(Ordering::Relaxed)
    }

    /// One record had no place.
    pub(super) fn dropped(&self) {
        self.header.dropped.fetch_add(1, Ordering::Relaxed);
    }

    /// The recording cannot go on. The first who finds that says so.
    #[cold]
    pub(super) fn stop(&self, error: &io::Error) {
        let errno = error.raw_os_error().map_or(LIMIT_REACHED, |errno| errno as u32);
        if self.header.stopped.compare_exchange(0, errno, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            self.header.stopped_pid.store(sys::pid(), Ordering::Relaxed);
            let directory = self.directory.display();
            let message = format!(
                "procession: the recording in {directory} has ended here ({error}); the program goes on without it\n"
            );
            // SAFETY: reads the message only; standard error may be anything, or closed.
            unsafe { libc::write(2, message.as_ptr().cast(), message.len()) };
        }
    }
}

/// Map the first `length` bytes of a file, whether or not there are as many.
pub(super) fn map(file: &File, length: usize) -> io::Result<*mut u8> {
    let access = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: a fresh mapping at an address of the kernel's choice touches nothing that exists.
    let base = unsafe {
        libc::mmap(std::ptr::null_mut(), length, access, libc::MAP_SHARED | libc::MAP_NORESERVE, file.as_raw_fd(), 0)
    };
    if base == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    // Advice only: core dumps would be as large as the recording.
    // SAFETY: the range was mapped just now.
    unsafe { libc::madvise(base, length, libc::MADV_DONTDUMP) };
    Ok(base.cast())
}

/// Make sure that bytes `from..to` of a file have a place on the disk.
pub(super) fn reserve(file: &File, from: u64, to: u64) -> io::Result<()> {
    // Beyond this the kernel would send SIGXFSZ, which ends who does not expect it.
    // SAFETY: writes into `most` only.
    let most = unsafe {
        let mut limit: libc::rlimit = std::mem::zeroed();
        libc::getrlimit(libc::RLIMIT_FSIZE, &raw mut limit);
        limit.rlim_cur
    };
    if to > most {
        return Err(io::Error::from_raw_os_error(libc::EFBIG));
    }
    loop {
        // SAFETY: a plain call on a descriptor of ours. (Where a file system cannot do it, libc writes into each block:
        // only one thread is here at a time, and nobody writes there before it is done.)
        match unsafe { libc::posix_fallocate(file.as_raw_fd(), from as libc::off_t, (to - from) as libc::off_t) } {
            0 => return Ok(()),
            libc::EINTR => {}
            errno => return Err(io::Error::from_raw_os_error(errno)),
        }
    }
}
