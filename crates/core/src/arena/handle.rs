//! An open object.

use super::{Arena, Kind, Role};
use crate::failpoint::step;

/// An object that this process has open. The object lives at least as long.
#[derive(Debug)]
pub struct Handle {
    pub(super) arena: &'static Arena,
    pub(super) offset: u64,
}

impl Handle {
    /// The arena it lives in.
    pub fn arena(&self) -> &'static Arena {
        self.arena
    }

    /// Where in the arena, and the serial number that tells it from a later object there.
    pub fn address(&self) -> (u64, u64) {
        (self.offset, self.arena.heap.describe(self.offset).1)
    }

    /// Where in the arena.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Whether it is an object of that kind.
    pub fn is(&self, kind: Kind) -> bool {
        self.arena.heap.describe(self.offset).0 == kind as u32
    }

    /// Bytes asked for at its creation.
    pub fn size(&self) -> u64 {
        self.arena.heap.describe(self.offset).2
    }

    /// Its contents in this process's address space, valid while the handle lives.
    pub fn contents(&self) -> *mut u8 {
        self.arena.heap.contents(self.offset)
    }

    /// Say where in the program it was made: a label of its arena.
    pub fn set_site(&self, label: u32) {
        self.arena.heap.set_site(self.offset, label);
    }

    /// Where in the program it was made.
    pub fn site(&self) -> Option<String> {
        self.arena.label_text(self.arena.heap.labels_of(self.offset).0)
    }

    /// Give it a name, for people; None takes it away. What is new has none when the table of labels is full.
    pub fn set_name(&self, name: Option<&str>) {
        self.arena.heap.set_name(self.offset, name.map_or(0, |name| self.arena.label(name)));
    }

    /// The name it was given, by whoever has it open.
    pub fn name(&self) -> Option<String> {
        self.arena.label_text(self.arena.heap.labels_of(self.offset).1)
    }

    /// Say what it serves as, and which object's part it is (by its offset; 0: nobody's).
    pub fn set_role(&self, role: Role, part_of: u64) {
        self.arena.heap.set_role(self.offset, role, part_of);
    }

    /// Copy `bytes` to the start of a block that nobody else has seen yet.
    pub fn fill(&self, bytes: &[u8]) {
        self.arena.heap.fill(self.arena.me(), self.offset, bytes);
    }
}

impl Clone for Handle {
    fn clone(&self) -> Self {
        self.arena.local.with(|handles| *handles.entry(self.offset).or_insert(0) += 1);
        Self { arena: self.arena, offset: self.offset }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // The count and the hold change together, so that a handle opened meanwhile by another thread keeps its hold.
        let duty = self.arena.local.with(|handles| {
            let count = handles.get_mut(&self.offset)?;
            *count -= 1;
            if *count > 0 {
                return None;
            }
            step();
            handles.remove(&self.offset);
            // SAFETY: the local lock is held, as for the map.
            unsafe { (*self.arena.local.bells.get()).forget(self.contents() as usize) };
            Some(self.arena.heap.drop_hold(self.arena.me(), self.offset))
        });
        step();
        if let Some(duty) = duty {
            self.arena.undertake(duty, self.offset);
        }
    }
}
