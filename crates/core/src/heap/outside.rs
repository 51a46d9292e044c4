//! A heap as somebody reads it who has no part in it: no place in the table of processes, no lock, no store.
//!
//! What is read may be changed meanwhile, or be damaged. Everything is copied first and checked in the copy; what makes
//! no sense ends the walk, and what was found before that is told. So the answer is of a moment that never quite was:
//! each block is as it stood at some time during the reading.

use super::{
    BLOCK_HEADER, BlockHeader, CLASSES, HEADER_SIZE, Header, Kind, LABELS, MAGIC, Role, START, Usage, WAITS, class_size,
};
use crate::error::{ArenaError, Corrupted};
use crate::labels::Labels;
use crate::loom::Ordering::Relaxed;
use crate::owner::{PLACES, Processes};
use crate::source::{Plain, Source};
use crate::waits::{Entry, Waits};

// SAFETY: structures of atomics, as is said where they are defined.
unsafe impl Plain for Header {}
// SAFETY: as above.
unsafe impl Plain for BlockHeader {}
// SAFETY: as above.
unsafe impl Plain for Processes {}
// SAFETY: as above.
unsafe impl Plain for Labels {}
// SAFETY: as above.
unsafe impl Plain for Waits {}

/// What a block's header says.
#[derive(Debug, Clone)]
pub struct Block {
    /// Where it is.
    pub offset: u64,
    /// Its kind, as a number.
    pub kind: u32,
    /// What it serves as.
    pub role: Role,
    /// The offset of what it is a part of; 0: nothing.
    pub part_of: u64,
    /// The second half of its address.
    pub serial: u64,
    /// Bytes asked for; no more than there are.
    pub size: u64,
    /// Who made it.
    pub creator: u32,
    /// Messages that refer to it.
    pub in_flight: u32,
    /// The label of the line that made it.
    pub site: u32,
    /// The label of its name.
    pub name: u32,
    /// One bit a process, by place.
    pub holders: [u64; PLACES / 64],
}

/// A heap, looked at from outside. Each `look` is a new picture.
pub struct Outside {
    source: Source,
    header: Header,
}

impl std::fmt::Debug for Outside {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Outside").field("source", &self.source).field("usage", &self.usage()).finish_non_exhaustive()
    }
}

impl Outside {
    /// The heap in a source, if there is one.
    pub fn open(mut source: Source) -> Result<Self, ArenaError> {
        let Some(header) = source.copy::<Header>(0).filter(|_| source.length() >= START) else {
            return Err(ArenaError::NotAnArena("it is too small, or cannot be read"));
        };
        if header.magic.load(Relaxed) != MAGIC {
            return Err(ArenaError::NotAnArena("wrong magic or version"));
        }
        if header.capacity.load(Relaxed) != source.length() {
            return Err(ArenaError::NotAnArena("its length is not what its header says"));
        }
        Ok(Self { source, header })
    }

    /// What distinguishes it from all others.
    pub fn token(&self) -> [u64; 2] {
        [self.header.token[0].load(Relaxed), self.header.token[1].load(Relaxed)]
    }

    /// How much was in use at the last look.
    pub fn usage(&self) -> Usage {
        let header = &self.header;
        Usage {
            capacity: self.source.length(),
            limit: header.limit.load(Relaxed),
            used: header.used.load(Relaxed),
            warm: header.warm.load(Relaxed),
            objects: header.objects.load(Relaxed),
        }
    }

    /// The table of processes, now. None: it cannot be read any more.
    pub fn processes(&self) -> Option<Box<Processes>> {
        self.source.copy_large(HEADER_SIZE, size_of::<Processes>())
    }

    /// The names and places, now: asked for after what refers to them.
    pub fn labels(&self) -> Option<Box<Labels>> {
        let head: Box<Labels> = self.source.copy_large(LABELS, Labels::HEAD)?;
        self.source.copy_large(LABELS, head.extent())
    }

    /// Who waits for what, now. A slot's sequence is of no use in a copy, which may be torn where it was made; so there
    /// are two, and what is the same in both was so in between.
    pub fn waits(&self) -> Vec<Entry> {
        let copy = || self.source.copy_large::<Waits>(WAITS, size_of::<Waits>());
        let (Some(first), Some(second)) = (copy(), copy()) else { return Vec::new() };
        let same = |&(slot, sequence, entry): &(usize, u32, Entry)| second.entry(slot) == Some((sequence, entry));
        first.entries().filter(same).map(|(_, _, entry)| entry).collect()
    }

    /// Show `visit` every block in use, with something to read its contents from. Gives what made it stop, if
    /// something did.
    pub fn look(&mut self, mut visit: impl FnMut(&Block, &mut Source)) -> Option<Corrupted> {
        const GONE: Corrupted = Corrupted { what: "the memory, which cannot be read", offset: 0 };
        self.source.begin(self.source.length());
        let Some(header) = self.source.copy::<Header>(0) else { return Some(GONE) };
        self.header = header;
        let top = self.header.top.load(Relaxed);
        self.source.begin(top);
        let mut offset = START;
        while offset < top {
            let Some(block) = self.source.copy::<BlockHeader>(offset) else {
                return Some(Corrupted { what: "the end of the blocks", offset });
            };
            // Never touched, so `top` is wrong.
            if block.serial.load(Relaxed) == 0 && block.cold.load(Relaxed) == 0 {
                return Some(Corrupted { what: "the end of the blocks", offset });
            }
            let class = block.class.load(Relaxed);
            let next = ((class as usize) < CLASSES).then(|| offset.checked_add(class_size(class))).flatten();
            let Some(next) = next.filter(|&next| next <= self.source.length()) else {
                return Some(Corrupted { what: "the class of a block", offset });
            };
            if block.kind.load(Relaxed) != Kind::Free as u32 && block.undertaker.load(Relaxed) == 0 {
                visit(&block.told(offset, next - offset - BLOCK_HEADER), &mut self.source);
            }
            offset = next;
        }
        None
    }
}

impl BlockHeader {
    fn told(&self, offset: u64, room: u64) -> Block {
        Block {
            offset,
            kind: self.kind.load(Relaxed),
            role: Role::of(self.role.load(Relaxed)),
            part_of: u64::from(self.part_of.load(Relaxed)) * 64,
            serial: self.serial.load(Relaxed),
            size: self.size.load(Relaxed).min(room),
            creator: self.creator.load(Relaxed),
            in_flight: self.in_flight.load(Relaxed),
            site: self.site.load(Relaxed),
            name: self.name.load(Relaxed),
            holders: std::array::from_fn(|word| self.holders[word].load(Relaxed)),
        }
    }
}
