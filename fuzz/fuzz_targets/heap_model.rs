//! Blocks are taken and given back as the input says: none overlap, all come back, the counters agree.
#![no_main]

use libfuzzer_sys::fuzz_target;
use procession_core::arena::{Arena, Handle, Kind};
use std::sync::OnceLock;

fn arena() -> &'static Arena {
    static ARENA: OnceLock<&'static Arena> = OnceLock::new();
    ARENA.get_or_init(|| Arena::private().expect("an arena"))
}

fn spans_apart(live: &[(Handle, u64)]) -> bool {
    let mut spans: Vec<_> = live.iter().map(|(handle, size)| (handle.contents() as u64, *size)).collect();
    spans.sort_unstable();
    spans.windows(2).all(|pair| pair[0].0 + pair[0].1 <= pair[1].0)
}

fuzz_target!(|input: &[u8]| {
    let arena = arena();
    let mut live: Vec<(Handle, u64)> = Vec::new();
    for step in input.chunks_exact(3) {
        let size = (u64::from(step[0]) + 1) << (step[1] % 14);
        if step[2] & 1 == 0 || live.is_empty() {
            live.push((arena.allocate(Kind::Block, size).expect("room"), size));
        } else {
            live.swap_remove(usize::from(step[2] >> 1) % live.len());
        }
        assert_eq!(arena.usage().objects, live.len() as u64);
    }
    assert!(spans_apart(&live));
    arena.check().expect("lists and counters agree");
    drop(live);
    assert_eq!((arena.usage().objects, arena.usage().used), (0, 0));
});
