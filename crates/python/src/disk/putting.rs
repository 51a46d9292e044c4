//! Into a queue on disk: encode, see that nothing in it lives in memory, put, settle.

use super::{BATCH_BYTES, BATCH_ITEMS, How, PyDiskQueue, frame};
use crate::codec::{self, Encoder};
use crate::{check, errors};
use procession_core::waits::Action;
use pyo3::prelude::*;

impl PyDiskQueue {
    pub(super) fn put_object(&self, py: Python<'_>, obj: &Bound<'_, PyAny>, how: How) -> PyResult<()> {
        let mut encoder = Encoder::take();
        let put = self.encode(py, obj, &mut encoder).and_then(|()| {
            if encoder.buffers.is_empty() {
                return self.put_parts(py, &[&encoder.bytes], how);
            }
            let head = frame::head(&encoder);
            self.put_parts(py, &frame::parts(&head, &encoder), how)
        });
        encoder.give_back();
        put
    }

    /// Put every object of a sequence, or as many as there is room for before the deadline.
    pub(super) fn put_objects(&self, py: Python<'_>, objects: &Bound<'_, PyAny>, how: How) -> PyResult<usize> {
        let mut objects = objects.try_iter()?;
        let mut encoder = Encoder::take();
        let (mut total, mut bytes, mut ends) = (0, Vec::new(), Vec::new());
        let mut put = || loop {
            let next = objects.next().transpose()?;
            if let Some(object) = &next {
                self.encode(py, object, &mut encoder)?;
                frame::append(&mut bytes, &encoder);
                encoder.clear();
                ends.push(bytes.len());
                if ends.len() < BATCH_ITEMS && bytes.len() < BATCH_BYTES {
                    continue;
                }
            }
            let put = match self.put_batch(py, &bytes, &ends, how) {
                Err(error) if total > 0 && errors::is(py, &error, "Full") => 0,
                put => put?,
            };
            total += put;
            if next.is_none() || put < ends.len() {
                return Ok(total);
            }
            bytes.clear();
            ends.clear();
        };
        let result = put();
        encoder.give_back();
        result
    }

    fn encode(&self, py: Python<'_>, obj: &Bound<'_, PyAny>, encoder: &mut Encoder) -> PyResult<()> {
        codec::encode(py, obj, encoder)?;
        if encoder.carried.is_empty() { Ok(()) } else { Err(self.not_durable(py, obj, encoder)) }
    }

    /// The error for an object that mentions one that lives in memory.
    #[cold]
    fn not_durable(&self, py: Python<'_>, obj: &Bound<'_, PyAny>, encoder: &Encoder) -> PyErr {
        let carried = encoder.carried[0].bind(py);
        let made = PyModule::import(py, "procession._disk.queues")
            .and_then(|module| module.call_method1("not_durable", (obj, carried, &self.path)));
        made.map_or_else(|error| error, PyErr::from_value)
    }

    fn put_parts(&self, py: Python<'_>, parts: &[&[u8]], how: How) -> PyResult<()> {
        check::synchronised(py, check::RELEASE, &self.state, 0);
        let ticket = self.attempt(py, Action::Put, how, |deadline| self.queue.put(parts, deadline))?;
        self.settle(py, ticket)
    }

    /// Put all messages that lie one behind the other in `bytes`; how many before the deadline. Raises Full when none.
    fn put_batch(&self, py: Python<'_>, bytes: &[u8], ends: &[usize], how: How) -> PyResult<usize> {
        check::synchronised(py, check::RELEASE, &self.state, 0);
        let starts = std::iter::once(&0).chain(ends);
        let messages: Vec<[&[u8]; 1]> = starts.zip(ends).map(|(&from, &to)| [&bytes[from..to]]).collect();
        let records: Vec<&[&[u8]]> = messages.iter().map(<[_; 1]>::as_slice).collect();
        let mut put = 0;
        while put < records.len() {
            let rest = &records[put..];
            let more = match self.attempt(py, Action::Put, how, |deadline| self.queue.put_many(rest, deadline)) {
                Err(error) if put > 0 && errors::is(py, &error, "Full") => break,
                more => more?,
            };
            self.settle(py, more.1)?;
            put += more.0;
        }
        Ok(put)
    }
}
