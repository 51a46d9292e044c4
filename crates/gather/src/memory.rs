//! Large vectors on huge pages, and reading ahead: hints to the machine, without effect on any result.

use bytemuck::Zeroable;

/// Vectors of this many bytes ask for huge pages: a table of 100 MiB in pages of 4 KiB costs 25,000 page faults, and
/// misses the translation cache at every look-up.
const HUGE: usize = 8 << 20;

/// Have the cache line of `place` brought nearer.
#[inline]
pub fn prefetch<T>(place: &T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: the address is a reference's, and a prefetch reads nothing as far as the program can tell.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(std::ptr::from_ref(place).cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = place;
}

/// A vector of zeros.
pub fn zeroed<T: Zeroable + Clone>(length: usize) -> Vec<T> {
    let vector: Vec<T> = bytemuck::zeroed_vec(length);
    advise(&vector);
    vector
}

/// Room for `more` elements, doubling.
pub fn reserve<T>(vector: &mut Vec<T>, more: usize) {
    vector.reserve(more);
    advise(vector);
}

fn advise<T>(vector: &Vec<T>) {
    let bytes = vector.capacity() * size_of::<T>();
    if bytes < HUGE {
        return;
    }
    let page = 4096;
    let start = (vector.as_ptr() as usize).next_multiple_of(page);
    let end = (vector.as_ptr() as usize + bytes) / page * page;
    // SAFETY:
    // - the range lies within memory that the vector owns;
    // - MADV_HUGEPAGE changes how memory is backed, never what it holds; an error (no huge pages here) changes nothing.
    unsafe {
        libc::madvise(start as *mut libc::c_void, end - start, libc::MADV_HUGEPAGE);
    }
}
