//! An encoded message as one run of bytes, its buffers included: on disk there are no blocks beside it.
//!
//! A message without buffers stands there as the codec wrote it. One with buffers begins with a tag that the codec does
//! not use:
//!
//! | offset | bytes | |
//! | --- | --- | --- |
//! | 0 | 1 | [`FRAMED`] |
//! | 1 | 3 | zeros |
//! | 4 | 4 | `n`, how many buffers |
//! | 8 | 8 (`n` + 1) | bytes of the message and of each buffer |
//! | | | the message, then the buffers; each begins at a multiple of [`ALIGNED`] |
//!
//! A message that is got is one vector, and the buffers are views of it: an array arrives writable and without a
//! second copy, and the vector goes with the last of them.

use crate::codec::{self, Encoder, FRAMED, OutOfBand};
use pyo3::ffi;
use pyo3::prelude::*;
use std::ops::Range;
use std::sync::Arc;

/// What numpy wants of its numbers; as much as the system's allocator gives.
const ALIGNED: usize = 16;
const ZEROS: [u8; ALIGNED] = [0; ALIGNED];

/// Bytes to fill up before the next part.
fn gap(length: usize) -> usize {
    length.next_multiple_of(ALIGNED) - length
}

/// The words before the parts of a message with buffers.
pub fn head(encoder: &Encoder) -> Vec<u8> {
    let mut head = vec![FRAMED, 0, 0, 0];
    head.extend_from_slice(&(encoder.buffers.len() as u32).to_le_bytes());
    for length in std::iter::once(encoder.bytes.len()).chain(encoder.buffers.iter().map(OutOfBand::len)) {
        head.extend_from_slice(&(length as u64).to_le_bytes());
    }
    head
}

/// What to write one after another: `head`, the message and its buffers, and what lies between.
pub fn parts<'a>(head: &'a [u8], encoder: &'a Encoder) -> Vec<&'a [u8]> {
    let buffers = encoder.buffers.iter().map(OutOfBand::as_slice);
    let mut parts = vec![head];
    for part in std::iter::once(&encoder.bytes[..]).chain(buffers) {
        let before = parts.last().map_or(0, |last| gap(last.len()));
        parts.extend([&ZEROS[..before], part]);
    }
    parts
}

/// The same at the end of `bytes`, where others may stand before: alignment is from its own start.
pub fn append(bytes: &mut Vec<u8>, encoder: &Encoder) {
    if encoder.buffers.is_empty() {
        bytes.extend_from_slice(&encoder.bytes);
    } else {
        for part in parts(&head(encoder), encoder) {
            bytes.extend_from_slice(part);
        }
    }
}

/// Where message and buffers lie in the bytes of a message with buffers. None: it is none.
fn ranges(bytes: &[u8]) -> Option<Vec<Range<usize>>> {
    let count = u32::from_le_bytes(bytes.get(4..8)?.try_into().ok()?) as usize;
    let lengths = bytes.get(8..)?.get(..count.checked_add(1)?.checked_mul(8)?)?;
    let mut at = 8 + lengths.len();
    let range = |length: &[u8]| {
        let length = usize::try_from(u64::from_le_bytes(length.try_into().ok()?)).ok()?;
        let from = at + gap(at);
        at = from.checked_add(length)?;
        (at <= bytes.len()).then_some(from..at)
    };
    lengths.chunks_exact(8).map(range).collect()
}

/// A buffer of a message that was got: a writable span of the vector that the message arrived in.
#[pyclass(frozen, name = "Part", module = "procession._native")]
pub struct Part {
    /// Into the vector.
    start: *mut u8,
    length: usize,
    _whole: Arc<Vec<u8>>,
}

// SAFETY: the span is this object's alone (`ranges` are disjoint), and as any buffer it is its users' to share.
unsafe impl Send for Part {}
// SAFETY: as above.
unsafe impl Sync for Part {}

/// The message and its buffers. Raises: UnpicklingError for bytes that are none.
pub fn split(py: Python<'_>, mut whole: Vec<u8>) -> PyResult<(Vec<u8>, Vec<Py<PyAny>>)> {
    let Some((message, buffers)) = ranges(&whole).map(|mut ranges| (ranges.remove(0), ranges)) else {
        return Err(codec::corrupt(py, "its buffers are not where it says"));
    };
    let message = whole[message].to_vec(); // as a rule short: what is large is in the buffers
    let first = whole.as_mut_ptr();
    let whole = Arc::new(whole); // moves the vector, not what it points to
    let part = |range: &Range<usize>| {
        // SAFETY: `ranges` has seen that it lies within the vector.
        let start = unsafe { first.add(range.start) };
        Ok(Py::new(py, Part { start, length: range.len(), _whole: whole.clone() })?.into_any())
    };
    Ok((message, buffers.iter().map(part).collect::<PyResult<_>>()?))
}

#[pymethods]
impl Part {
    fn __len__(&self) -> usize {
        self.length
    }

    /// # Safety
    /// Called by Python through the buffer protocol with a `view` to fill.
    unsafe fn __getbuffer__(slf: &Bound<'_, Self>, view: *mut ffi::Py_buffer, flags: std::ffi::c_int) -> PyResult<()> {
        let part = slf.get();
        // SAFETY:
        // - `view` is Python's to fill.
        // - The vector is neither moved nor freed while `slf` holds it, which the view keeps alive.
        // - No reference to its bytes is made any more, so that whoever has the view may write.
        let status =
            unsafe { ffi::PyBuffer_FillInfo(view, slf.as_ptr(), part.start.cast(), part.length as isize, 0, flags) };
        if status == 0 { Ok(()) } else { Err(PyErr::fetch(slf.py())) }
    }
}
