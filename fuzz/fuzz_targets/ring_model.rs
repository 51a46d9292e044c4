//! A ring and a `VecDeque` do what the input says; both must give the same. The cursors start where the input says, so that
//! positions wrap around.
#![no_main]

use libfuzzer_sys::fuzz_target;
use procession_core::arena::{Arena, Kind};
use procession_core::ring::{Message, Ring, Wait};
use std::collections::VecDeque;
use std::sync::OnceLock;

fn arena() -> &'static Arena {
    static ARENA: OnceLock<&'static Arena> = OnceLock::new();
    ARENA.get_or_init(|| Arena::private().expect("an arena"))
}

fuzz_target!(|input: &[u8]| {
    let [bound, bytes, a, b, c, d, steps @ ..] = input else { return };
    let start = u32::from_le_bytes([*a, *b, *c, *d]);
    let most = u32::from(*bound % 8);
    let arena = arena();
    let handle = arena.allocate(Kind::Ring, size_of::<Ring>() as u64).expect("room");
    let place = handle.contents().cast::<Ring>();
    // SAFETY: fresh, large enough, aligned; the handle outlives the reference.
    let ring = unsafe {
        place.write(Ring::new_at(most, u64::from(*bytes) * 64, start.wrapping_mul(7), start));
        &*place
    };
    let mut model: VecDeque<Vec<u8>> = VecDeque::new();
    for (index, step) in steps.chunks_exact(2).enumerate() {
        let count = 1 + usize::from(step[0] >> 5);
        if step[0] & 1 == 0 {
            let payloads: Vec<Vec<u8>> = (0..count)
                .map(|number| vec![(index + number) as u8; usize::from(step[1]) * (1 + usize::from(step[0] & 30) * number)])
                .collect();
            let messages: Vec<_> = payloads.iter().map(|payload| Message { payload, attachments: &[] }).collect();
            let put = arena.put(ring, &messages, Wait::Never).map_or(0, |(put, _)| put);
            model.extend(payloads.into_iter().take(put));
            assert!(most == 0 || model.len() <= most as usize);
        } else {
            let mut got = Vec::new();
            let taken = ring.get(&arena, count, Wait::Never, None, |_, payload, _| {
                got.push(payload.to_vec());
                true
            });
            assert_eq!(taken.unwrap_or(0), count.min(model.len()));
            assert!(got.into_iter().eq(model.drain(..count.min(model.len()))));
        }
        assert_eq!(ring.len() as usize, model.len());
    }
    drop(handle);
    arena.check().expect("lists and counters agree");
    assert_eq!(arena.usage().objects, 0);
});
