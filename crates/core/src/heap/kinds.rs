//! What blocks contain, and how large they are.

/// What a block contains.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u16)]
#[allow(missing_docs)]
pub enum Kind {
    Free = 0,
    Lock,
    RLock,
    Semaphore,
    Event,
    Condition,
    Barrier,
    Ring,
    /// The storage of a ring.
    Buffer,
    /// A large payload.
    Block,
    Value,
    Array,
    Claim,
    /// What the users of a queue on disk share beside its files.
    DiskQueue,
}

impl Kind {
    /// For messages to people.
    pub fn name(number: u32) -> &'static str {
        const NAMES: [&str; 14] = [
            "nothing",
            "a Lock",
            "an RLock",
            "a Semaphore",
            "an Event",
            "a Condition",
            "a Barrier",
            "a queue",
            "a buffer",
            "a block",
            "a Value",
            "an Array",
            "a Claim",
            "a queue on disk",
        ];
        NAMES.get(number as usize).copied().unwrap_or("garbage")
    }
}

/// What a block serves as where its kind does not say: for people alone, nothing depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
#[allow(missing_docs)]
pub enum Role {
    /// What its kind says.
    Plain = 0,
    Queue,
    JoinableQueue,
    SimpleQueue,
    /// One direction of a pipe: from the second end to the first, and the other way.
    PipeBack,
    PipeForth,
    /// The bytes beside those of a pipe.
    PipeFlags,
    BoundedSemaphore,
    /// Something inside another object.
    Inside,
    /// What a pool tells of itself (`pool/registration.py`).
    Pool,
}

impl Role {
    /// The role with that number; what is none is plain.
    pub fn of(number: u32) -> Self {
        const ROLES: [Role; 10] = [
            Role::Plain,
            Role::Queue,
            Role::JoinableQueue,
            Role::SimpleQueue,
            Role::PipeBack,
            Role::PipeForth,
            Role::PipeFlags,
            Role::BoundedSemaphore,
            Role::Inside,
            Role::Pool,
        ];
        ROLES.get(number as usize).copied().unwrap_or(Role::Plain)
    }
}

pub(super) const LEAST_BLOCK: u64 = 256;
pub(super) const CLASSES: usize = 136;

/// Bytes of a block of a class, header included.
pub(super) fn class_size(class: u32) -> u64 {
    (4 + class as u64 % 4) << (6 + class / 4)
}

/// The smallest class for a block of `bytes`, header included.
pub(super) fn class_of(bytes: u64) -> u32 {
    let bytes = bytes.max(LEAST_BLOCK);
    let doubling = (bytes - 1).ilog2().max(8) - 2; // log2 of the step between classes
    let class = ((doubling - 6) as u64 * 4) + (bytes.div_ceil(1 << doubling) - 4);
    class as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_hold_what_they_are_chosen_for_and_waste_at_most_a_quarter() {
        assert_eq!(class_size(0), LEAST_BLOCK);
        for bytes in (1..10_000).chain((14..40).flat_map(|n| [(1 << n) - 1, 1 << n, (1 << n) + 1])) {
            let class = class_of(bytes);
            assert!(class_size(class) >= bytes, "{bytes} in class {class}");
            assert!(class == 0 || class_size(class - 1) < bytes, "{bytes} fits below class {class}");
            assert!((class as usize) < CLASSES);
        }
    }
}
