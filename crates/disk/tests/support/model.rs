//! A disk that knows what was written and not synced: segments in memory, each as everybody sees it and as it would be
//! found after a power cut, in sectors of 512 bytes; and names, with what was done to them since they were synced.

use super::Random;
use procession_disk::segment::Start;
use procession_disk::storage::{Span, Storage};
use procession_disk::{Error, Options, Queue, State};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::rc::Rc;

const SECTOR: usize = 512;
/// The name of the file that is to be the next segment.
const SPARE: u64 = u64::MAX;

/// A file. Its bytes never move, so that they can be lent.
struct File {
    seen: RefCell<Box<[u64]>>,
    /// What a power cut leaves for sure. Empty: nothing was synced, not even how long it is.
    synced: RefCell<Vec<u8>>,
}

impl File {
    fn length(&self) -> usize {
        self.seen.borrow().len() * 8
    }

    fn start(&self) -> *mut u8 {
        self.seen.borrow_mut().as_mut_ptr().cast()
    }

    fn bytes(&self) -> Vec<u8> {
        // SAFETY: so many bytes are there; the one thread that there is does not write meanwhile.
        unsafe { std::slice::from_raw_parts(self.start(), self.length()) }.to_vec()
    }

    fn new(length: usize) -> Rc<Self> {
        Rc::new(Self { seen: RefCell::new(vec![0; length / 8].into_boxed_slice()), synced: RefCell::default() })
    }

    fn write(&self, bytes: &[u8]) {
        assert!(bytes.len() <= self.length());
        // SAFETY: there is room, and nobody else is at it.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), self.start(), bytes.len()) };
    }

    fn of(bytes: &[u8]) -> Rc<Self> {
        let mut seen = vec![0u64; bytes.len() / 8].into_boxed_slice();
        for (word, bytes) in seen.iter_mut().zip(bytes.chunks(8)) {
            *word = u64::from_ne_bytes(bytes.try_into().unwrap());
        }
        Rc::new(Self { seen: RefCell::new(seen), synced: RefCell::new(bytes.to_vec()) })
    }
}

type Names = BTreeMap<u64, Rc<File>>;
/// The files of names, from now on; two for a renaming.
type Change = Vec<(u64, Option<Rc<File>>)>;
type Look = Box<dyn FnMut(&Model)>;

#[derive(Default)]
struct Inside {
    names: RefCell<Names>,
    synced: RefCell<Names>,
    /// What was done to names since then.
    pending: RefCell<Vec<Change>>,
    on_step: RefCell<Option<Look>>,
    syncs: Cell<u64>,
    /// How many more segments can be made before the disk is full.
    room: Cell<Option<u32>>,
    /// Syncing fails.
    failing: Cell<bool>,
}

/// A directory on the disk. Clones are the same one.
#[derive(Clone, Default)]
pub struct Model(Rc<Inside>);

/// What of the unsynced a power cut leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    Nothing,
    Everything,
    /// Each sector as the dice fall, and of what was done to names a beginning.
    Some(u64),
}

impl Model {
    /// Call `look` after each store, from now on.
    pub fn on_step(&self, look: impl FnMut(&Model) + 'static) {
        *self.0.on_step.borrow_mut() = Some(Box::new(look));
    }

    /// No longer.
    pub fn unwatched(&self) {
        *self.0.on_step.borrow_mut() = None;
    }

    pub fn syncs(&self) -> u64 {
        self.0.syncs.get()
    }

    pub fn set_room(&self, segments: Option<u32>) {
        self.0.room.set(segments);
    }

    pub fn set_failing(&self, failing: bool) {
        self.0.failing.set(failing);
    }

    /// Change one byte of the oldest segment.
    pub fn damage(&self, at: usize) {
        let names = self.0.names.borrow();
        let file = names.values().next().unwrap();
        assert!(at < file.length());
        // SAFETY: within the file.
        unsafe { *file.start().add(at) ^= 0x10 };
    }

    /// The segments' names.
    pub fn names(&self) -> Vec<u64> {
        self.segments().unwrap()
    }

    /// Take a segment away.
    pub fn lose(&self, name: u64) {
        self.0.names.borrow_mut().remove(&name).unwrap();
    }

    /// The disk as it is found when the power is back.
    pub fn after_cut(&self, kept: Kept) -> Self {
        let mut random = Random(if let Kept::Some(seed) = kept { seed | 1 } else { 1 });
        let mut names = self.0.synced.borrow().clone();
        let pending = self.0.pending.borrow();
        let count = match kept {
            Kept::Nothing => 0,
            Kept::Everything => pending.len(),
            Kept::Some(_) => random.below(pending.len() as u64 + 1) as usize,
        };
        for (name, file) in pending[..count].iter().flatten() {
            match file {
                Some(file) => names.insert(*name, Rc::clone(file)),
                None => names.remove(name),
            };
        }
        let mut torn = |file: &File| {
            let (seen, mut bytes) = (file.bytes(), file.synced.borrow().clone());
            if bytes.is_empty() && (kept == Kept::Everything || matches!(kept, Kept::Some(_)) && random.below(2) == 0) {
                bytes = vec![0; seen.len()];
            }
            for (new, old) in seen.chunks(SECTOR).zip(bytes.chunks_mut(SECTOR)) {
                if new != old && (kept == Kept::Everything || kept != Kept::Nothing && random.below(2) == 0) {
                    old.copy_from_slice(new);
                }
            }
            bytes
        };
        let found: Names = names.iter().map(|(name, file)| (*name, File::of(&torn(file)))).collect();
        let after = Self::default();
        *after.0.names.borrow_mut() = found.clone();
        *after.0.synced.borrow_mut() = found;
        after
    }

    /// The queue in it. (What is damaged is told with its error.)
    pub fn open(&self, options: &Options, state: &'static State) -> Result<Queue<super::Played, Self>, Error> {
        Queue::make_in(self.clone(), options, state, super::Played(1))
    }

    fn change(&self, changes: Change) {
        let mut names = self.0.names.borrow_mut();
        for (name, file) in &changes {
            match file {
                Some(file) => names.insert(*name, Rc::clone(file)),
                None => names.remove(name),
            };
        }
        self.0.pending.borrow_mut().push(changes);
    }

    fn file(&self, name: u64) -> Result<Rc<File>, Error> {
        let found = self.0.names.borrow().get(&name).cloned();
        found.ok_or_else(|| failed(&self.path(name), io::ErrorKind::NotFound.into()))
    }
}

fn failed(path: &std::path::Path, error: io::Error) -> Error {
    Error::System { call: "model", file: path.to_owned(), error }
}

impl std::fmt::Debug for Model {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "a model with the segments {:?}", self.names())
    }
}

impl Storage for Model {
    fn segments(&self) -> Result<Vec<u64>, Error> {
        Ok(self.0.names.borrow().keys().copied().filter(|&name| name != SPARE).collect())
    }

    fn clear(&self) -> Result<(), Error> {
        if self.0.names.borrow().contains_key(&SPARE) {
            self.change(vec![(SPARE, None)]);
        }
        Ok(())
    }

    fn create(&self, start: &Start) -> Result<(), Error> {
        let first = start.first;
        match self.0.room.get() {
            Some(0) => return Err(failed(&self.path(first), io::Error::from_raw_os_error(libc::ENOSPC))),
            room => self.0.room.set(room.map(|left| left - 1)),
        }
        let spare = self.0.names.borrow().get(&SPARE).cloned();
        let spare = spare.filter(|spare| (start.size..=2 * start.size).contains(&(spare.length() as u64)));
        let file = spare.clone().unwrap_or_else(|| File::new(start.size as usize));
        file.write(&Start { size: file.length() as u64, ..*start }.to_bytes());
        self.step();
        let mut changes = vec![(first, Some(file))];
        changes.extend(spare.map(|_| (SPARE, None)));
        self.change(changes);
        self.step();
        Ok(())
    }

    fn map(&self, first: u64) -> Result<Span, Error> {
        let file = self.file(first)?;
        Ok(Span::Lent(file.start(), file.length() as u64))
    }

    fn sync(&self, first: u64) -> Result<u64, Error> {
        let file = self.file(first)?;
        if self.0.failing.get() {
            return Err(failed(&self.path(first), io::Error::from_raw_os_error(libc::EIO)));
        }
        self.0.syncs.set(self.0.syncs.get() + 1);
        *file.synced.borrow_mut() = file.bytes();
        self.step();
        Ok(file.length() as u64)
    }

    fn remove(&self, first: u64, keep: u64) -> Result<u64, Error> {
        let file = self.file(first)?;
        let length = file.length() as u64;
        let mut changes = vec![(first, None)];
        if length <= keep && !self.0.names.borrow().contains_key(&SPARE) {
            changes.push((SPARE, Some(file)));
        }
        self.change(changes);
        self.step();
        Ok(length)
    }

    fn sync_names(&self) -> Result<(), Error> {
        *self.0.synced.borrow_mut() = self.0.names.borrow().clone();
        self.0.pending.borrow_mut().clear();
        self.step();
        Ok(())
    }

    fn path(&self, first: u64) -> PathBuf {
        format!("{first:020}.log").into()
    }

    fn step(&self) {
        let look = self.0.on_step.borrow_mut().take();
        if let Some(mut look) = look {
            look(self);
            *self.0.on_step.borrow_mut() = Some(look);
        }
    }
}
