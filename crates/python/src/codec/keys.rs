//! The dict keys that arrived lately.
//!
//! Messages repeat their keys. A hit gives the interned str made before: no decoding, no hashing, no second copy in
//! memory. The cache is one table for the process, looked up by a hash of the bytes; a new key takes the place of the old
//! one. Each slot owns one reference. Under the global lock that is all; without it a slot, once filled, stays as it is,
//! because another thread may be between reading the pointer and counting its reference.

use std::sync::atomic::{AtomicPtr, Ordering};

use pyo3::ffi;

use super::FREE_THREADED;

/// Slots; a power of two. 8 bytes each, and at most this many short strings kept alive.
const SLOTS: usize = 1024;

/// Longer keys are not worth the comparison.
const MAX_BYTES: usize = 40;

static KEYS: [AtomicPtr<ffi::PyObject>; SLOTS] = [const { AtomicPtr::new(std::ptr::null_mut()) }; SLOTS];

/// A str with this UTF-8 content: a new reference, or null with an exception set (not UTF-8, or no memory).
///
/// # Safety
/// The thread is attached.
#[inline]
pub unsafe fn key(utf8: &[u8]) -> *mut ffi::PyObject {
    if utf8.len() > MAX_BYTES {
        // SAFETY: attached, and the slice is what it says.
        return unsafe { decode(utf8) };
    }
    let slot = &KEYS[hash(utf8) % SLOTS];
    // SYNC: acquire pairs with the release in `replace`; the str is complete before its pointer is seen.
    let cached = slot.load(Ordering::Acquire);
    // SAFETY: the slot's reference keeps `cached` alive: under the global lock nobody replaces it meanwhile, and without
    // that lock nobody ever does. It is a str, as everything that `replace` stores.
    unsafe {
        if !cached.is_null() && content(cached) == utf8 {
            ffi::Py_INCREF(cached);
            return cached;
        }
        let mut fresh = decode(utf8);
        if !fresh.is_null() {
            ffi::PyUnicode_InternInPlace(&raw mut fresh);
            replace(slot, cached, fresh);
        }
        fresh
    }
}

/// # Safety
/// `fresh` is a live str, `cached` was just read from `slot`, and the thread is attached.
#[cold]
unsafe fn replace(slot: &AtomicPtr<ffi::PyObject>, cached: *mut ffi::PyObject, fresh: *mut ffi::PyObject) {
    if FREE_THREADED && !cached.is_null() {
        return;
    }
    // SAFETY: the reference taken here is the slot's own, given back if another thread was first. The old str is
    // dropped by the one who exchanged it out; dropping a str runs no Python code.
    unsafe {
        ffi::Py_INCREF(fresh);
        // SYNC: release pairs with the acquire in `key`.
        match slot.compare_exchange(cached, fresh, Ordering::AcqRel, Ordering::Relaxed) {
            Ok(old) => ffi::Py_XDECREF(old),
            Err(_) => ffi::Py_DECREF(fresh),
        }
    }
}

/// # Safety
/// `string` is a live str whose UTF-8 form exists or can be made, and the thread is attached.
#[inline]
unsafe fn content<'a>(string: *mut ffi::PyObject) -> &'a [u8] {
    let mut len = 0;
    // SAFETY: `string` is a live str; the bytes belong to it. It was made from UTF-8, so this fails for want of memory
    // only, and then reads as empty (the error is dropped: the caller decodes afresh).
    unsafe {
        let start = ffi::PyUnicode_AsUTF8AndSize(string, &raw mut len);
        if start.is_null() {
            ffi::PyErr_Clear();
            return &[];
        }
        std::slice::from_raw_parts(start.cast::<u8>(), len as usize)
    }
}

/// # Safety
/// The thread is attached.
#[inline]
pub unsafe fn decode(utf8: &[u8]) -> *mut ffi::PyObject {
    // SAFETY: the slice is readable for its length; no error handler means strict.
    unsafe { ffi::PyUnicode_DecodeUTF8(utf8.as_ptr().cast(), utf8.len() as isize, std::ptr::null()) }
}

/// First and last eight bytes and the length, mixed: keys of one program rarely agree in all three.
#[inline]
fn hash(bytes: &[u8]) -> usize {
    let n = bytes.len();
    let (first, last) = if n >= 8 {
        (word(&bytes[..8]), word(&bytes[n - 8..]))
    } else if n >= 4 {
        (half(&bytes[..4]), half(&bytes[n - 4..]))
    } else {
        (bytes.iter().fold(0, |all, byte| all << 8 | u64::from(*byte)), 0)
    };
    let mixed = (first ^ last.rotate_left(23) ^ n as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (mixed >> 40) as usize
}

fn word(bytes: &[u8]) -> u64 {
    bytes.try_into().map_or(0, u64::from_le_bytes)
}

fn half(bytes: &[u8]) -> u64 {
    bytes.try_into().map_or(0, |bytes| u64::from(u32::from_le_bytes(bytes)))
}
