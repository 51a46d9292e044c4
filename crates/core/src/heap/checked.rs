//! What shared memory says of blocks, checked before it is believed.
//!
//! An offset, a class or a size that was read in shared memory may have been written over. Here it becomes a block, or
//! `Corrupted`; the comparison with the segment itself is `Segment::span`. Only what this process was given by these
//! functions and keeps to itself (the offset in a handle) is believed later.

use super::{BLOCK_HEADER, BlockHeader, CLASSES, Heap, START, class_size};
use crate::error::Corrupted;
use crate::loom::Ordering::Relaxed;

impl Heap {
    /// The header at an offset that was read in shared memory.
    pub(super) fn block(&self, offset: u64) -> Result<&BlockHeader, Corrupted> {
        const WHAT: &str = "a reference to a block";
        if offset < START || !offset.is_multiple_of(64) {
            return Err(Corrupted { what: WHAT, offset });
        }
        let place = self.segment.span(offset, BLOCK_HEADER, WHAT)?;
        // SAFETY: within the segment, aligned by what was asked just now; all fields are atomics.
        Ok(unsafe { &*place.cast::<BlockHeader>() })
    }

    /// The header of a block that this process holds: its offset was checked when it came to it.
    pub(super) fn held(&self, offset: u64) -> &BlockHeader {
        self.block(offset).expect("a handle's offset is a block's")
    }

    /// Bytes of a block, header included, by the class in its header.
    pub(super) fn extent(&self, offset: u64) -> Result<u64, Corrupted> {
        let class = self.block(offset)?.class.load(Relaxed);
        let bytes = if (class as usize) < CLASSES { class_size(class) } else { u64::MAX };
        self.segment.span(offset, bytes, "the class of a block")?;
        Ok(bytes)
    }

    /// The header at an offset that was read in shared memory, if what it says of the block's size can be.
    pub(super) fn sound(&self, offset: u64) -> Result<&BlockHeader, Corrupted> {
        let block = self.block(offset)?;
        let room = self.extent(offset)? - BLOCK_HEADER;
        let corrupted = Corrupted { what: "the size of a block", offset };
        if block.size.load(Relaxed) <= room { Ok(block) } else { Err(corrupted) }
    }

    /// Kind and serial number of the block at an offset that came from anywhere; None: none is in use there.
    pub fn identify(&self, offset: u64) -> Option<(u32, u64)> {
        let top = self.header().top.load(crate::loom::Ordering::Acquire);
        let block = self.block(offset).ok().filter(|_| offset.saturating_add(BLOCK_HEADER) <= top)?;
        let kind = block.kind.load(Relaxed);
        (kind != 0).then(|| (kind, block.serial.load(Relaxed)))
    }

    /// Bytes of a block whose offset was read in shared memory; 0 when it cannot be one.
    pub fn room(&self, offset: u64) -> u64 {
        self.sound(offset).map_or(0, |block| block.size.load(Relaxed))
    }

    /// The first `length` bytes of a block whose offset was read in shared memory.
    #[inline]
    pub fn bytes(&self, offset: u64, length: u64) -> Result<*mut u8, Corrupted> {
        self.segment.span(offset.wrapping_add(BLOCK_HEADER), length, "a reference to a buffer")
    }

    /// Every block, with its header. What lies behind a damaged one cannot be found, and is kept.
    pub(super) fn blocks(&self) -> impl Iterator<Item = (u64, &BlockHeader)> {
        let top = self.header().top.load(crate::loom::Ordering::Acquire);
        let mut offset = START;
        std::iter::from_fn(move || {
            if offset >= top {
                return None;
            }
            let (here, block) = (offset, self.block(offset).ok()?);
            // Never touched, so `top` is wrong: to go on would touch all there is.
            if block.serial.load(Relaxed) == 0 && block.cold.load(Relaxed) == 0 {
                return None;
            }
            offset += self.extent(here).ok()?;
            Some((here, block))
        })
    }
}
