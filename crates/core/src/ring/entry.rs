//! One message in a ring's ledger: whose it is, and its bytes. See the table in `ledger.rs`.

#![allow(clippy::cast_ptr_alignment)] // blocks are aligned to 64 bytes, and bodies count words

use super::Storage;
use crate::error::Corrupted;
use crate::failpoint::step;
use crate::loom::{AtomicU32, AtomicU64, Ordering};
use crate::owner::OwnerId;
use Ordering::Relaxed;

/// In a claim, in the place of the owner.
const RETURNED: u32 = 1 << 31;
/// Words of a message that need no buffer.
pub(super) const WITHIN: usize = 11;

/// One message. Zero is unused.
#[repr(C)]
pub(super) struct Entry {
    /// Count of messages before it (upper half); an `OwnerId` or `RETURNED` (lower). See the table above.
    pub(super) claim: AtomicU64,
    /// Where the message is when it is too long for `within`: offset | log2(capacity), 0: nowhere. Stays when unused.
    pub(super) buffer: AtomicU64,
    /// How often it was handed to a getter. One too high when a getter died at it.
    pub(super) deliveries: AtomicU32,
    pub(super) size: AtomicU32,
    pub(super) attachments: AtomicU32,
    /// Entry + 1 with the next higher number, or the next unused; and with the next lower.
    pub(super) next: AtomicU32,
    pub(super) before: AtomicU32,
    _reserved: AtomicU32,
    /// Attachments, then the payload.
    within: [AtomicU64; WITHIN],
}

#[cfg(not(loom))]
const _: () = assert!(size_of::<Entry>() == 128);

impl Entry {
    pub(super) fn new() -> Self {
        let zero = || AtomicU32::new(0);
        Self {
            claim: AtomicU64::new(0),
            buffer: AtomicU64::new(0),
            deliveries: zero(),
            size: zero(),
            attachments: zero(),
            next: zero(),
            before: zero(),
            _reserved: zero(),
            within: std::array::from_fn(|_| AtomicU64::new(0)),
        }
    }

    pub(super) fn number(&self) -> u32 {
        (self.claim.load(Relaxed) >> 32) as u32
    }

    /// Who took it; None for an unused or a returned one.
    pub(super) fn owner(&self) -> Option<OwnerId> {
        let low = self.claim.load(Relaxed) as u32;
        OwnerId::from_bits(low).filter(|_| low & RETURNED == 0)
    }

    pub(super) fn is_returned(&self) -> bool {
        self.claim.load(Relaxed) as u32 & RETURNED != 0
    }

    pub(super) fn is_used(&self) -> bool {
        self.claim.load(Relaxed) != 0
    }

    /// Let the owner have it, or, without one, the next getter.
    pub(super) fn pass_to(&self, number: u32, owner: Option<OwnerId>) {
        let claim = claim_of(number, owner);
        // SYNC: Release: who finds the claim after the owner's death finds the message as well.
        self.claim.store(claim, Ordering::Release);
        step();
    }
}

pub(super) fn claim_of(number: u32, owner: Option<OwnerId>) -> u64 {
    u64::from(number) << 32 | u64::from(owner.map_or(RETURNED, OwnerId::bits))
}

pub(super) fn words(size: usize, attachments: usize) -> usize {
    attachments + size.div_ceil(8)
}

pub(super) fn at(entries: &[Entry], link: u32) -> Option<&Entry> {
    entries.get((link as usize).wrapping_sub(1))
}

/// Where the message of an entry lies, and for how many words there is room.
pub(super) fn body<S: Storage>(storage: &S, entry: &Entry) -> Result<(*mut u8, usize), Corrupted> {
    let (size, count) = (entry.size.load(Relaxed) as usize, entry.attachments.load(Relaxed) as usize);
    match entry.buffer.load(Relaxed) {
        word if words(size, count) <= WITHIN || word == 0 => Ok((entry.within.as_ptr().cast_mut().cast(), WITHIN)),
        word => {
            let capacity = 1 << (word & 63);
            Ok((storage.bytes(word & !63, capacity)?, capacity as usize / 8))
        }
    }
}

/// The payload and the attachments of an entry in use. Valid until it is freed, which takes the get lock.
pub(super) fn message<'a, S: Storage>(storage: &S, entry: &Entry) -> Result<(&'a [u8], &'a [u64]), Corrupted> {
    let (body, room) = body(storage, entry)?;
    let (size, count) = (entry.size.load(Relaxed) as usize, entry.attachments.load(Relaxed) as usize);
    if words(size, count) > room {
        return Err(Corrupted { what: "a message that a queue keeps", offset: entry.claim.load(Relaxed) });
    }
    // SAFETY: within the body by the comparison, which only holders of the get lock write into.
    let (payload, attachments) = unsafe {
        let payload = std::slice::from_raw_parts(body.add(count * 8), size);
        (payload, std::slice::from_raw_parts(body.cast::<u64>(), count))
    };
    storage.check(attachments)?;
    Ok((payload, attachments))
}
