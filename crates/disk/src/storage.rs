//! The seam below which files are: a directory of segments. [`Files`] is one; tests have a model that knows what was
//! written and not synced.

use crate::error::Error;
use crate::segment::{START, Start};
use memmap2::{MmapOptions, MmapRaw};
use procession_core::failpoint;
use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

/// A segment's bytes, mapped as long as this lives.
#[derive(Debug)]
pub enum Span {
    /// A mapped file.
    Mapped(Arc<MmapRaw>),
    /// Memory that somebody keeps longer than this.
    Lent(*mut u8, u64),
}

impl Span {
    /// Its first byte.
    pub fn start(&self) -> *mut u8 {
        match self {
            Self::Mapped(map) => map.as_mut_ptr(),
            Self::Lent(start, _) => *start,
        }
    }

    /// How many bytes there are.
    pub fn length(&self) -> u64 {
        match self {
            Self::Mapped(map) => map.len() as u64,
            Self::Lent(_, length) => *length,
        }
    }
}

/// Where segments are. What is written to a [`Span`] is seen at once by all who map it, and survives every process; it
/// survives a power cut when `sync` has returned. Names survive one when `sync_names` has.
pub trait Storage {
    /// First places of all segments, ascending.
    fn segments(&self) -> Result<Vec<u64>, Error>;
    /// Remove what is kept for the next segment, or was left by a creator that died. Nobody creates meanwhile.
    fn clear(&self) -> Result<(), Error>;
    /// A new segment that starts so, of the size that this says or up to twice that. Its room is reserved: writing to
    /// it cannot fail. What follows the start is anything, but not under this start's salt. It appears under its name
    /// whole, in the place of one of that name if there is one. (Not synced: a power cut may leave its name and no
    /// start, or another's.)
    fn create(&self, start: &Start) -> Result<(), Error>;
    /// For a salvage, before anything is mapped: remove what has the name of a segment and not the start of one, without
    /// which none of its records can be told from garbage, and give the others the length that their start says.
    fn restore(&self) -> Result<(), Error> {
        Ok(())
    }
    /// Map a segment.
    fn map(&self, first: u64) -> Result<Span, Error>;
    /// What was written to a segment is on the disk when this returns. Its length.
    fn sync(&self, first: u64) -> Result<u64, Error>;
    /// Remove a segment. If it is not longer than `keep` its room may be kept for the next one, else it is given back,
    /// even if others have it mapped still. Its length.
    fn remove(&self, first: u64, keep: u64) -> Result<u64, Error>;
    /// What was created and removed is so on the disk when this returns.
    fn sync_names(&self) -> Result<(), Error>;
    /// The file of a segment, for people.
    fn path(&self, first: u64) -> PathBuf;
    /// A store is done. Here a test may kill, or cut the power.
    fn step(&self);
}

/// Segments as files of a directory.
#[derive(Debug)]
pub struct Files {
    directory: PathBuf,
    mapped: Mutex<VecDeque<(u64, Arc<MmapRaw>)>>,
}

/// How many mapped files are remembered, by inode. Both sides of a queue use one mapping of a segment then, and one
/// that is a new segment has its pages mapped already: a first touch costs more than what is put on the page. (As long
/// as a file is mapped, no other has its inode.)
const REMEMBERED: usize = 3;

const SUFFIX: &str = ".log";
/// What a segment is called until it is whole. There is one creator at a time, so that there is one at most.
const UNBORN: &str = "new-segment";
/// What one is called that was removed and is to be the next: its room is reserved, its pages are in memory and on the
/// disk have their places, which costs more to get than all else that is done with a segment.
const SPARE: &str = "spare-segment";

impl Files {
    /// The segments in a directory that exists.
    pub fn new(directory: &Path) -> Self {
        Self { directory: directory.to_owned(), mapped: Mutex::default() }
    }

    /// A file under the name of one to be made, with room for `size` bytes: the spare one, if it fits.
    fn unborn(&self, unborn: &Path, size: u64) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.read(true).write(true);
        if fs::rename(self.directory.join(SPARE), unborn).is_ok() {
            let file = options.open(unborn)?;
            if (size..=2 * size).contains(&file.metadata()?.len()) {
                return Ok(file);
            }
        }
        // Never one that is there: it may have been a segment, which others have mapped.
        match fs::remove_file(unborn) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let file = options.create_new(true).mode(0o600).open(unborn)?;
        reserve(&file, size)?;
        Ok(file)
    }

    fn remembered(&self, file: &File) -> io::Result<Arc<MmapRaw>> {
        // Only tried: it is no loss if another thread is at it, or was in the parent when a child was forked.
        let Ok(mut mapped) = self.mapped.try_lock() else { return MmapOptions::new().map_raw(file).map(Arc::new) };
        let inode = file.metadata()?.ino();
        let (inode, map) = match mapped.iter().position(|&(other, _)| other == inode) {
            Some(place) => mapped.remove(place).ok_or(io::ErrorKind::NotFound)?,
            None => (inode, Arc::new(MmapOptions::new().map_raw(file)?)),
        };
        mapped.truncate(REMEMBERED - 1);
        mapped.push_front((inode, Arc::clone(&map)));
        Ok(map)
    }

    fn open(&self, first: u64) -> Result<(PathBuf, File), Error> {
        let path = self.path(first);
        let file = OpenOptions::new().read(true).write(true).open(&path).map_err(Error::of("open", &path))?;
        Ok((path, file))
    }
}

fn length(file: &File, path: &Path) -> Result<u64, Error> {
    Ok(file.metadata().map_err(Error::of("fstat", path))?.len())
}

/// Room for `size` bytes, or an error now instead of a SIGBUS later.
fn reserve(file: &File, size: u64) -> io::Result<()> {
    // SAFETY: takes plain numbers; the descriptor is open.
    let error = unsafe { libc::posix_fallocate(file.as_raw_fd(), 0, size as libc::off_t) };
    if error == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(error)) }
}

impl Storage for Files {
    fn segments(&self) -> Result<Vec<u64>, Error> {
        let failed = || Error::of("readdir", &self.directory);
        let mut segments = Vec::new();
        for entry in fs::read_dir(&self.directory).map_err(failed())? {
            let name = entry.map_err(failed())?.file_name();
            let number = name.to_str().and_then(|name| name.strip_suffix(SUFFIX));
            segments.extend(number.filter(|number| number.len() == 20).and_then(|number| number.parse::<u64>().ok()));
        }
        segments.sort_unstable();
        Ok(segments)
    }

    fn clear(&self) -> Result<(), Error> {
        for path in [UNBORN, SPARE].map(|name| self.directory.join(name)) {
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(Error::of("unlink", &path)(error)),
                _ => {}
            }
        }
        Ok(())
    }

    fn create(&self, start: &Start) -> Result<(), Error> {
        let (unborn, path) = (self.directory.join(UNBORN), self.path(start.first));
        let made = self.unborn(&unborn, start.size).map_err(Error::of("fallocate", &path)).and_then(|file| {
            self.step();
            let size = length(&file, &path)?;
            file.write_all_at(&Start { size, ..*start }.to_bytes(), 0).map_err(Error::of("write", &path))?;
            self.step();
            Ok(())
        });
        if let Err(error) = made.and_then(|()| fs::rename(&unborn, &path).map_err(Error::of("rename", &path))) {
            let _ = fs::remove_file(&unborn); // the room that was had before
            return Err(error);
        }
        self.step();
        Ok(())
    }

    fn restore(&self) -> Result<(), Error> {
        for first in self.segments()? {
            let (path, file) = self.open(first)?;
            let mut start = [0; START as usize];
            match file.read_exact_at(&mut start, 0).ok().and_then(|()| Start::of(&start)) {
                Some(start) if start.size != length(&file, &path)? => {
                    file.set_len(start.size).map_err(Error::of("ftruncate", &path))?;
                    reserve(&file, start.size).map_err(Error::of("fallocate", &path))?;
                }
                Some(_) => {}
                None => fs::remove_file(&path).map_err(Error::of("unlink", &path))?,
            }
        }
        Ok(())
    }

    fn map(&self, first: u64) -> Result<Span, Error> {
        let (path, file) = self.open(first)?;
        if length(&file, &path)? == 0 {
            return Ok(Span::Lent(std::ptr::NonNull::dangling().as_ptr(), 0)); // nothing can be mapped
        }
        self.remembered(&file).map(Span::Mapped).map_err(Error::of("mmap", &path))
    }

    fn sync(&self, first: u64) -> Result<u64, Error> {
        let (path, file) = self.open(first)?;
        file.sync_data().map_err(Error::of("fdatasync", &path))?;
        length(&file, &path)
    }

    fn remove(&self, first: u64, keep: u64) -> Result<u64, Error> {
        let (path, file) = self.open(first)?;
        let length = length(&file, &path)?;
        let spare = self.directory.join(SPARE);
        if length > keep || spare.exists() {
            let hole = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
            // SAFETY: takes plain numbers; the descriptor is open. Where holes are not known the room comes back later.
            unsafe { libc::fallocate(file.as_raw_fd(), hole, 0, length as libc::off_t) };
            self.step();
            fs::remove_file(&path).map_err(Error::of("unlink", &path))?;
        } else {
            fs::rename(&path, &spare).map_err(Error::of("rename", &path))?;
        }
        self.step();
        Ok(length)
    }

    fn sync_names(&self) -> Result<(), Error> {
        let synced = File::open(&self.directory).and_then(|directory| directory.sync_all());
        synced.map_err(Error::of("fsync", &self.directory))
    }

    fn path(&self, first: u64) -> PathBuf {
        self.directory.join(format!("{first:020}{SUFFIX}"))
    }

    #[inline(always)]
    #[track_caller]
    fn step(&self) {
        failpoint::step();
    }
}
