//! Sixty-four bytes at a time: a flag for each byte, then a bit for each.
//!
//! Written so that the compiler makes vector instructions of it on any processor (SSE2 at the least on x86-64): loops
//! of a fixed length over bytes without branches, flags of 0 and 1, and one multiplication that gathers eight flags
//! into eight bits. That keeps `unsafe` out of the scanners; intrinsics would save the multiplications.

/// Bytes looked at at once.
pub const BLOCK: usize = 64;

/// Bit i of the result is flag i. Flags are 0 or 1.
#[inline(always)]
pub fn gather(flags: &[u8; BLOCK]) -> u64 {
    // Flag i is bit 8i of its word; times 2^(56 - 7i) it becomes bit 56 + i, and no two of the 64 products meet there.
    const SPREAD: u64 = 0x0102_0408_1020_4080;
    let mut bits = 0;
    for (i, eight) in flags.chunks_exact(8).enumerate() {
        let word = u64::from_le_bytes(eight.try_into().unwrap_or([0; 8]));
        bits |= (word.wrapping_mul(SPREAD) >> 56) << (8 * i);
    }
    bits
}

/// The bits of those bytes for which `test` gives true.
#[inline(always)]
pub fn mask(block: &[u8; BLOCK], test: impl Fn(u8) -> bool) -> u64 {
    let mut flags = [0; BLOCK];
    for (flag, &byte) in flags.iter_mut().zip(block) {
        *flag = u8::from(test(byte));
    }
    gather(&flags)
}

/// The block that begins at `at`, filled up with `filler` where the data ends first.
#[inline(always)]
pub fn block(data: &[u8], at: usize, filler: u8) -> [u8; BLOCK] {
    if let Some(whole) = data.get(at..at + BLOCK) {
        return whole.try_into().unwrap_or([filler; BLOCK]);
    }
    let mut padded = [filler; BLOCK];
    let rest = data.get(at..).unwrap_or(&[]);
    padded[..rest.len()].copy_from_slice(rest);
    padded
}
