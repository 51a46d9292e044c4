//! Messages on their way: encoded objects into a ring, with their large parts in blocks, and out of it again.

use crate::arena::{Object, handle_of};
use crate::blocks::PyBlock;
use crate::codec::{self, Encoder, OUT_OF_BAND};
use crate::errors;
use procession_core::arena::{Handle, Kind};
use procession_core::error::{ArenaError, GetError};
use procession_core::ring::{ClaimCell, Message, Ring, Side, Wait};
use pyo3::prelude::*;

/// Bytes of messages that `get_many` copies out in one go, so that other getters are not kept waiting.
pub const BATCH_BYTES: usize = 1 << 20;

/// The bytes and blocks of messages on their way into a ring.
#[derive(Default)]
pub struct Outgoing {
    pub bytes: Vec<u8>,
    pub attachments: Vec<u64>,
    /// Keeps what `attachments` names alive until the ring does.
    pub handles: Vec<Handle>,
    /// Where each message ends in `bytes` and `attachments`.
    pub ends: Vec<(usize, usize)>,
}

impl Outgoing {
    /// Move an encoded message in; its large parts are copied into blocks.
    pub fn add(&mut self, py: Python<'_>, object: &Object<Ring>, encoder: &Encoder) -> PyResult<()> {
        self.add_with_header(py, object, encoder, &[]).map(|_| ())
    }

    /// The same behind a few bytes that are not the codec's. Returns the bytes of the message and its blocks.
    pub fn add_with_header(
        &mut self,
        py: Python<'_>,
        object: &Object<Ring>,
        encoder: &Encoder,
        header: &[u8],
    ) -> PyResult<u64> {
        let mut total = header.len() + encoder.bytes.len();
        self.bytes.extend_from_slice(header);
        if encoder.bytes.len() >= OUT_OF_BAND {
            // An empty payload says: the message is in the first block.
            self.attach_copy(py, object, &encoder.bytes)?;
        } else {
            self.bytes.extend_from_slice(&encoder.bytes);
        }
        for buffer in &encoder.buffers {
            self.attach_copy(py, object, buffer.as_slice())?;
            total += buffer.len();
        }
        for carried in &encoder.carried {
            self.handles
                .extend(handle_of(carried.bind(py)).filter(|handle| std::ptr::eq(handle.arena(), object.home())));
        }
        self.attachments.extend(self.handles[self.attachments.len()..].iter().map(Handle::offset));
        self.ends.push((self.bytes.len(), self.attachments.len()));
        Ok(total as u64)
    }

    fn attach_copy(&mut self, py: Python<'_>, object: &Object<Ring>, bytes: &[u8]) -> PyResult<()> {
        let home = object.home();
        let copied = py.detach(|| -> Result<Handle, ArenaError> {
            let handle = home.allocate(Kind::Block, bytes.len() as u64)?;
            handle.fill(bytes);
            Ok(handle)
        });
        self.handles.push(copied.map_err(|error| errors::arena(py, &error))?);
        Ok(())
    }

    /// Forget the messages, keep the room.
    pub fn clear(&mut self) {
        if self.bytes.capacity() > 2 * BATCH_BYTES {
            self.bytes = Vec::new();
        }
        self.bytes.clear();
        self.attachments.clear();
        self.handles.clear();
        self.ends.clear();
    }

    pub fn messages(&self) -> Vec<Message<'_>> {
        let starts = std::iter::once(&(0, 0)).chain(&self.ends);
        let message = |(from, to): (&(usize, usize), &(usize, usize))| Message {
            payload: &self.bytes[from.0..to.0],
            attachments: &self.attachments[from.1..to.1],
        };
        starts.zip(&self.ends).map(message).collect()
    }
}

/// The bytes and blocks of messages on their way out of a ring.
#[derive(Default)]
pub struct Incoming {
    pub bytes: Vec<u8>,
    pub handles: Vec<Handle>,
    pub messages: Vec<Received>,
}

/// A message among those that were taken together.
#[derive(Clone, Copy)]
pub struct Received {
    /// Where it ends in the bytes and in the handles.
    end: (usize, usize),
    /// How many messages were put before it.
    number: u32,
    /// How often it was delivered.
    pub deliveries: u32,
}

thread_local! {
    static INCOMING: std::cell::Cell<Option<Box<Incoming>>> = const { std::cell::Cell::new(None) };
}

impl Incoming {
    #[allow(clippy::unnecessary_box_returns)] // it stays in its box from call to call
    pub fn take() -> Box<Self> {
        INCOMING.with(std::cell::Cell::take).unwrap_or_default()
    }

    /// Forget the messages, keep the room.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.handles.clear();
        self.messages.clear();
    }

    pub fn give_back(mut self: Box<Self>) {
        self.clear();
        if self.bytes.capacity() <= 2 * BATCH_BYTES {
            INCOMING.with(|spare| spare.set(Some(self)));
        }
    }

    pub fn receive(
        &mut self,
        object: &Object<Ring>,
        most: usize,
        wait: Wait,
        claim: Option<&ClaimCell>,
    ) -> Result<usize, GetError> {
        let home = object.home();
        let received = object.get().take(&home, most, wait, claim, |message| {
            self.bytes.extend_from_slice(message.payload);
            if !message.attachments.is_empty() {
                home.receive(message.attachments, &mut self.handles);
            }
            let end = (self.bytes.len(), self.handles.len());
            self.messages.push(Received { end, number: message.number, deliveries: message.deliveries });
            self.bytes.len() < BATCH_BYTES
        });
        home.settle_watch(object.get(), Side::Items);
        received
    }

    /// Messages put before the first that was taken.
    pub fn first(&self) -> u32 {
        self.messages.first().map_or(0, |message| message.number)
    }

    /// Give messages back to the ring: they are the next to be taken.
    pub fn put_back(&self, object: &Object<Ring>, messages: std::ops::Range<usize>) -> Result<(), ArenaError> {
        messages.into_iter().try_for_each(|index| {
            let (from, first) = self.start(index);
            let (to, last) = self.messages[index].end;
            let attachments: Vec<_> = self.handles[first..last].iter().map(Handle::offset).collect();
            object.get().put_back(&object.home(), self.messages[index].number, &self.bytes[from..to], &attachments)
        })
    }

    /// Where message `index` begins in `bytes` and `handles`.
    fn start(&self, index: usize) -> (usize, usize) {
        if index == 0 { (0, 0) } else { self.messages[index - 1].end }
    }

    /// Decode message `index`; its blocks' handles move to the objects that show them.
    pub fn decode(&mut self, py: Python<'_>, object: &Object<Ring>, index: usize) -> PyResult<Py<PyAny>> {
        self.decode_behind(py, object, index, 0)
    }

    /// Bytes of message `index` and its blocks.
    pub fn weight(&self, index: usize) -> u64 {
        let (from, first) = self.start(index);
        let (to, last) = self.messages[index].end;
        (to - from) as u64 + self.handles[first..last].iter().map(Handle::size).sum::<u64>()
    }

    /// The first bytes of message `index`, which are not the codec's; None when it is shorter.
    pub fn header(&self, index: usize, bytes: usize) -> Option<&[u8]> {
        let (from, _) = self.start(index);
        self.bytes[from..self.messages[index].end.0].get(..bytes)
    }

    /// The same, behind a header of so many bytes.
    pub fn decode_behind(
        &mut self,
        py: Python<'_>,
        object: &Object<Ring>,
        index: usize,
        header: usize,
    ) -> PyResult<Py<PyAny>> {
        let (from, first) = self.start(index);
        let (to, last) = self.messages[index].end;
        let from = (from + header).min(to); // a message shorter than its header is none
        if first == last {
            return codec::decode(py, &self.bytes[from..to], &[]);
        }
        self.decode_with_blocks(py, object, from..to, first..last)
    }

    /// Not part of the above, which is to stay small.
    #[inline(never)]
    fn decode_with_blocks(
        &self,
        py: Python<'_>,
        object: &Object<Ring>,
        bytes: std::ops::Range<usize>,
        handles: std::ops::Range<usize>,
    ) -> PyResult<Py<PyAny>> {
        let handles = &self.handles[handles];
        let (payload, buffers) = if bytes.is_empty() { (handles.first(), &handles[1..]) } else { (None, handles) };
        let bytes = payload.map_or(&self.bytes[bytes], content_of);
        // The ring keeps the message, so that what the receiver may change must be the receiver's own.
        let is_kept = object.keeps_taken() && codec::shows_blocks(bytes);
        let block = |handle: &Handle| {
            let handle = if is_kept { copy_of(py, handle)? } else { handle.clone() };
            Ok(Py::new(py, PyBlock::received(object.arena(py), handle))?.into_any())
        };
        let blocks = buffers.iter().map(block).collect::<PyResult<Vec<_>>>()?;
        codec::decode(py, bytes, &blocks)
    }
}

/// What a block that came with a message contains.
fn content_of(handle: &Handle) -> &[u8] {
    // SAFETY: the block was filled before it was sent, and `handle` keeps it.
    unsafe { std::slice::from_raw_parts(handle.contents(), handle.size() as usize) }
}

/// A copy of a block with a large payload; another shared object that a message mentions is itself.
fn copy_of(py: Python<'_>, handle: &Handle) -> PyResult<Handle> {
    if !handle.is(Kind::Block) {
        return Ok(handle.clone());
    }
    let copied = py.detach(|| -> Result<Handle, ArenaError> {
        let copy = handle.arena().allocate(Kind::Block, handle.size())?;
        copy.fill(content_of(handle));
        Ok(copy)
    });
    copied.map_err(|error| errors::arena(py, &error))
}
