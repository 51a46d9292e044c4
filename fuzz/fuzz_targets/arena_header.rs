//! A header of arbitrary bytes is refused or opened, and addresses out of the input are refused or held: never a wild access.
#![no_main]

use libfuzzer_sys::fuzz_target;
use procession_core::heap::{Heap, Kind};
use procession_core::segment::Segment;

const LENGTH: u64 = 1 << 21;

fuzz_target!(|input: &[u8]| {
    // A sound heap first, so that the input's bytes change one that would be opened.
    let sound = Heap::create(Segment::shared(LENGTH).expect("memory"), LENGTH / 2, [1, 2]);
    let me = sound.processes().enter().expect("a place");
    let offset = sound.allocate(me, Kind::Block, 100).expect("room");
    let serial = sound.describe(offset).1;
    let (addresses, header) = input.split_at(input.len().min(16));
    for (index, &byte) in header.iter().take(48).enumerate() {
        // SAFETY: within the segment's header, which nobody else uses.
        unsafe { *sound.segment().base().add(index) ^= byte };
    }
    let copy = Segment::attach(sound.segment().fd()).expect("the same memory");
    let bases = [sound.segment().base(), copy.base()];
    let changed = header.iter().take(32).any(|&byte| byte != 0);
    assert_eq!(Heap::open(copy, [1, 2]).is_err(), changed);
    for bytes in addresses.chunks_exact(8) {
        let wild = u64::from_le_bytes(bytes.try_into().expect("eight bytes"));
        let _ = sound.hold(me, wild % (LENGTH * 2), serial, Some(Kind::Block));
        let _ = sound.hold(me, wild, wild, None);
    }
    assert!(sound.hold(me, offset, serial, Some(Kind::Block)).is_ok());
    // A segment is never unmapped, by design; here that would use up the mappings a process may have.
    // SAFETY: both are this run's own and used no longer.
    let _ = bases.map(|base| unsafe { munmap(base, LENGTH as usize) });
});

unsafe extern "C" {
    fn munmap(base: *mut u8, length: usize) -> i32;
}
