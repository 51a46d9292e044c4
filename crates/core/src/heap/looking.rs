//! What can be said of blocks: for people, and for who looks after the memory.

use super::{BLOCK_HEADER, Heap, Kind, Role, Usage};
use crate::loom::Ordering::Relaxed;

impl Heap {
    /// Kind, serial and size of a block that this process holds. A size that leads out of the segment, which was
    /// another when the block was opened, is one that leads to its end.
    pub fn describe(&self, offset: u64) -> (u32, u64, u64) {
        let block = self.held(offset);
        let most = self.segment.length() - offset - BLOCK_HEADER;
        (block.kind.load(Relaxed), block.serial.load(Relaxed), block.size.load(Relaxed).min(most))
    }

    /// Every block in use: offset, kind, serial, size, creator's pid. A snapshot without the lock.
    pub fn objects(&self) -> Vec<(u64, u32, u64, u64, u32)> {
        self.blocks()
            .map(|(offset, block)| {
                let (kind, serial, size) = self.describe(offset);
                (offset, kind, serial, size, block.creator.load(Relaxed))
            })
            .filter(|object| object.1 != Kind::Free as u32)
            .collect()
    }

    /// Show `visit` the contents of every block of a kind. Allocates nothing.
    pub fn each_of(&self, kind: Kind, visit: impl Fn(*mut u8)) {
        self.blocks()
            .filter(|(_, block)| block.kind.load(Relaxed) == kind as u32)
            .for_each(|(offset, _)| visit(self.contents(offset)));
    }

    /// How much is in use.
    pub fn usage(&self) -> Usage {
        let header = self.header();
        Usage {
            capacity: self.segment.length(),
            limit: header.limit.load(Relaxed),
            used: header.used.load(Relaxed),
            warm: header.warm.load(Relaxed),
            objects: header.objects.load(Relaxed),
        }
    }

    /// Say of a block that the caller holds where in the program it was made (a label).
    pub fn set_site(&self, offset: u64, label: u32) {
        self.held(offset).site.store(label, Relaxed);
    }

    /// Give a block that the caller holds a name (a label; 0: none).
    pub fn set_name(&self, offset: u64, label: u32) {
        self.held(offset).name.store(label, Relaxed);
    }

    /// Say what a block that the caller holds serves as, and which block it is a part of (0: none).
    pub fn set_role(&self, offset: u64, role: Role, part_of: u64) {
        let block = self.held(offset);
        block.part_of.store(u32::try_from(part_of / 64).unwrap_or(0), Relaxed);
        block.role.store(role as u32, Relaxed);
    }

    /// The labels of a block that the caller holds: where it was made, and its name.
    pub fn labels_of(&self, offset: u64) -> (u32, u32) {
        let block = self.held(offset);
        (block.site.load(Relaxed), block.name.load(Relaxed))
    }

    /// What a block is called, for people: `Lock 'accounts'`, or by the line that made it `Lock at bank.py:12`. Its serial
    /// number comes along, since an offset is used again. None when there is no such block.
    pub fn called(&self, offset: u64) -> Option<(u64, String)> {
        let block = self.block(offset).ok()?;
        let (kind, role) = (block.kind.load(Relaxed), Role::of(block.role.load(Relaxed)));
        let what = match role {
            Role::Queue => "Queue",
            Role::JoinableQueue => "JoinableQueue",
            Role::SimpleQueue => "SimpleQueue",
            Role::PipeBack | Role::PipeForth | Role::PipeFlags => "Pipe",
            Role::BoundedSemaphore => "BoundedSemaphore",
            Role::Pool => "Pool",
            Role::Plain | Role::Inside => Kind::name(kind).trim_start_matches("an ").trim_start_matches("a "),
        };
        let text = |label: u32| self.labels().text(label);
        let told = if let Some(name) = text(block.name.load(Relaxed)) {
            format!("{what} '{name}'")
        } else if let Some(site) = text(block.site.load(Relaxed)) {
            let place = site.split(" in ").next().unwrap_or("");
            format!("{what} at {}", place.rsplit('/').next().unwrap_or(place))
        } else {
            what.to_owned()
        };
        Some((block.serial.load(Relaxed), told))
    }

    /// The serial number of a block, which changes when its place is used again; 0 when there is none.
    pub fn serial(&self, offset: u64) -> u64 {
        self.block(offset).map_or(0, |block| block.serial.load(Relaxed))
    }
}
