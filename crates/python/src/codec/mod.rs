//! Objects to messages and back.
//!
//! A message is bytes plus a few *out-of-band buffers*: contents of 64 KiB and more, which travel as shared blocks and
//! are copied once. Two writers make the bytes:
//!
//! - [`encode`] writes the exact types int, float, bool, None, str, bytes, bytearray and trees of exact tuple, list and
//!   dict itself: a tag and raw little-endian bytes each (the table is in [`tags`]). It runs no Python code and costs
//!   about a tenth of pickle.
//! - [`pickling`] hands everything else to pickle, protocol 5: subclasses, sets, instances, huge integers, strings with
//!   lone surrogates, trees deeper or larger than the limits below, and every tree in which a mutable object occurs
//!   twice, because only pickle keeps identities. The whole message then is one pickle.
//!
//! What is decided once per message: the first byte says which of the two wrote it. Reading never trusts a length: any
//! bytes give an object or an error, and nesting is bounded.
//!
//! Large bytes and bytearrays become new objects at the receiver (one copy); what pickle handed over as a buffer (a numpy
//! array, a memoryview, a `PickleBuffer`) arrives as a view on the shared block, without a copy.

#![allow(clippy::cast_possible_wrap, clippy::cast_sign_loss)] // Python's sizes are signed, never negative, and fit memory

mod buffers;
mod decode;
mod encode;
mod functions;
pub mod ints;
mod keys;
mod pickling;
mod tags;

use pyo3::ffi;
use pyo3::prelude::*;

pub use buffers::OutOfBand;
pub use decode::{decode, shows_blocks};
pub use encode::encode;
pub use functions::add_to_module;
pub use pickling::{encode_function, is_interruption};
pub use tags::FRAMED;

/// The error for bytes that are no message, for who looks at them before the decoder.
pub fn corrupt(py: Python<'_>, why: &str) -> PyErr {
    pickling::decoding_failed(py, why, None)
}

/// Contents of this many bytes and more become an out-of-band buffer.
pub const OUT_OF_BAND: usize = 64 * 1024;

/// Nested containers that are still written without pickle. Deeper ones are rare, and pickle guards its own recursion.
const MAX_DEPTH: u32 = 16;

/// Nodes of a tree that are still written without pickle: beyond it pickle is as fast, and it shares repeated strings.
const MAX_NODES: u32 = 4096;

/// Objects remembered while looking for one that occurs twice; a linear search, so a short one.
const MAX_SEEN: usize = 64;

/// Is this build one without a global lock? There a reference count is no proof that nobody else holds an object. The
/// object header is two words with the lock, and four without.
pub const FREE_THREADED: bool = size_of::<ffi::PyObject>() != 2 * size_of::<usize>();

/// Something the message mentions that must stay alive while it is in flight.
pub type Carried = Py<PyAny>;

/// One message being made. Keep it for the next: its vectors keep their room.
#[derive(Default)]
pub struct Encoder {
    /// The message.
    pub bytes: Vec<u8>,
    /// Contents that travel as shared blocks, in the order the message refers to them.
    pub buffers: Vec<OutOfBand>,
    /// Shared objects mentioned in the message.
    pub carried: Vec<Carried>,
    /// Mutable or large objects met so far, to notice one that occurs twice.
    seen: Vec<usize>,
}

impl Encoder {
    /// Forget the message; give back room beyond what ordinary messages need.
    pub fn clear(&mut self) {
        if self.bytes.capacity() > 4 * OUT_OF_BAND {
            self.bytes = Vec::new();
        }
        self.bytes.clear();
        self.buffers.clear();
        self.carried.clear();
        self.seen.clear();
    }

    /// An encoder for this thread: the one it used last, or a new one while that is in use (a `__reduce__` that puts
    /// something on a queue). Pair with [`Encoder::give_back`].
    #[inline]
    #[allow(clippy::unnecessary_box_returns)] // it is kept in its box
    pub fn take() -> Box<Self> {
        SPARE.with(std::cell::Cell::take).unwrap_or_default()
    }

    /// Clear the encoder and keep it for the thread's next message.
    #[inline]
    pub fn give_back(mut self: Box<Self>) {
        self.clear();
        SPARE.with(|spare| spare.set(Some(self)));
    }
}

thread_local! {
    static SPARE: std::cell::Cell<Option<Box<Encoder>>> = const { std::cell::Cell::new(None) };
}
