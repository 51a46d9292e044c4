//! The reader: the inverse of `encode`, for bytes from anywhere. Every length is checked against what is left, nesting
//! against a limit, and the message must end where the value does.

use pyo3::ffi;
use pyo3::prelude::*;

use super::{MAX_DEPTH, OutOfBand, ints, keys, pickling, tags};

/// Copies from here on let other threads of this process run meanwhile.
const LARGE_COPY: usize = 1 << 20;

/// Why there is no object.
enum Fault {
    /// The bytes are no message; what is wrong with them.
    Corrupt(&'static str),
    /// Python raised: no memory, or a key that cannot be one.
    Raised,
}

type Read = Result<*mut ffi::PyObject, Fault>;

/// Whether the object of this message may be a view of its blocks, not a copy.
pub fn shows_blocks(bytes: &[u8]) -> bool {
    bytes.first() == Some(&tags::PICKLE)
}

/// The object of a message. `blocks` are the message's out-of-band buffers in order: objects that export a buffer, kept
/// alive by the views on them for as long as those live.
///
/// Blocks on nothing of ours; a pickle may run any Python code. Raises: `errors.UnpicklingError` with the cause.
#[inline]
pub fn decode(py: Python<'_>, bytes: &[u8], blocks: &[Py<PyAny>]) -> PyResult<Py<PyAny>> {
    if bytes.first() == Some(&tags::PICKLE) {
        return pickling::decode(py, &bytes[1..], blocks);
    }
    let mut reader = Reader { py, rest: bytes, blocks };
    // SAFETY: we are attached.
    match unsafe { reader.value(0) } {
        Ok(object) => {
            // SAFETY: `value` returned a new reference.
            let object = unsafe { Bound::from_owned_ptr(py, object) }.unbind();
            if reader.rest.is_empty() && reader.blocks.is_empty() {
                return Ok(object);
            }
            Err(pickling::decoding_failed(py, "the message is longer than its value", None))
        }
        Err(Fault::Corrupt(why)) => Err(pickling::decoding_failed(py, why, None)),
        Err(Fault::Raised) => Err(pickling::decoding_failed(py, "", Some(PyErr::fetch(py)))),
    }
}

struct Reader<'a, 'py> {
    py: Python<'py>,
    rest: &'a [u8],
    blocks: &'a [Py<PyAny>],
}

/// The pointer, or the exception that the null one announces.
#[inline]
fn made(object: *mut ffi::PyObject) -> Read {
    if object.is_null() { Err(Fault::Raised) } else { Ok(object) }
}

impl<'a> Reader<'a, '_> {
    #[inline]
    fn take(&mut self, n: usize) -> Result<&'a [u8], Fault> {
        let Some((head, rest)) = self.rest.split_at_checked(n) else {
            return Err(Fault::Corrupt("the message ends too early"));
        };
        self.rest = rest;
        Ok(head)
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let Some((head, rest)) = self.rest.split_first_chunk::<N>() else {
            return Err(Fault::Corrupt("the message ends too early"));
        };
        self.rest = rest;
        Ok(*head)
    }

    /// A length of 4 bytes.
    #[inline]
    fn long(&mut self) -> Result<usize, Fault> {
        Ok(u32::from_le_bytes(self.array()?) as usize)
    }

    /// A length of one byte if `tag` is the short form, else of 4.
    #[inline]
    fn length(&mut self, tag: u8, short: u8) -> Result<usize, Fault> {
        if tag == short { Ok(self.array::<1>()?[0] as usize) } else { self.long() }
    }

    /// How many values follow: each takes at least a byte, so a larger number is a lie, found before any allocation.
    #[inline]
    fn items(&mut self, tag: u8, short: u8, bytes_each: usize, depth: u32) -> Result<usize, Fault> {
        let n = self.length(tag, short)?;
        if n > self.rest.len() / bytes_each {
            return Err(Fault::Corrupt("the message ends too early"));
        }
        if depth >= MAX_DEPTH {
            return Err(Fault::Corrupt("values are nested too deep"));
        }
        Ok(n)
    }

    /// Read one value: a new reference.
    ///
    /// # Safety
    /// The thread is attached.
    #[inline]
    unsafe fn value(&mut self, depth: u32) -> Read {
        let tag = self.array::<1>()?[0];
        if tag >= tags::SMALL_INT {
            // SAFETY: attached.
            return made(unsafe { ffi::PyLong_FromLong((tag & 0x7F).into()) });
        }
        if tag >= tags::SHORT_STR {
            let utf8 = self.take((tag & 0x3F) as usize)?;
            // SAFETY: attached.
            return made(unsafe { keys::decode(utf8) });
        }
        // SAFETY: in all branches: attached; slices are readable for the length given with them.
        unsafe {
            match tag {
                tags::NONE => Ok(ffi::Py_NewRef(ffi::Py_None())),
                tags::FALSE => Ok(ffi::Py_NewRef(ffi::Py_False())),
                tags::TRUE => Ok(ffi::Py_NewRef(ffi::Py_True())),
                tags::INT_1 => made(ffi::PyLong_FromLong(i8::from_le_bytes(self.array()?).into())),
                tags::INT_4 => made(ints::int(i32::from_le_bytes(self.array()?).into())),
                tags::INT_8 => made(ffi::PyLong_FromLongLong(i64::from_le_bytes(self.array()?))),
                tags::UINT_8 => made(ffi::PyLong_FromUnsignedLongLong(u64::from_le_bytes(self.array()?))),
                tags::FLOAT => made(ffi::PyFloat_FromDouble(f64::from_le_bytes(self.array()?))),
                tags::STR => {
                    let n = self.long()?;
                    made(keys::decode(self.take(n)?))
                }
                tags::BYTES_1 | tags::BYTES_4 => {
                    let n = self.length(tag, tags::BYTES_1)?;
                    let content = self.take(n)?;
                    made(ffi::PyBytes_FromStringAndSize(content.as_ptr().cast(), n as isize))
                }
                tags::BYTEARRAY => {
                    let n = self.long()?;
                    let content = self.take(n)?;
                    made(ffi::PyByteArray_FromStringAndSize(content.as_ptr().cast(), n as isize))
                }
                tags::BYTES_OUT | tags::BYTEARRAY_OUT => self.out_of_band(tag),
                tags::TUPLE_1 | tags::TUPLE_4 => {
                    let n = self.items(tag, tags::TUPLE_1, 1, depth)?;
                    self.tuple(n, depth + 1)
                }
                tags::LIST_1 | tags::LIST_4 => {
                    let n = self.items(tag, tags::LIST_1, 1, depth)?;
                    self.list(n, depth + 1)
                }
                tags::DICT_1 | tags::DICT_4 => {
                    let n = self.items(tag, tags::DICT_1, 2, depth)?;
                    self.dict(n, depth + 1)
                }
                _ => Err(Fault::Corrupt("an unknown tag")),
            }
        }
    }

    /// # Safety
    /// The thread is attached.
    unsafe fn tuple(&mut self, n: usize, depth: u32) -> Read {
        // SAFETY: a new tuple is filled at each index once, stealing a new reference; dropping it half-filled is allowed.
        unsafe {
            let tuple = made(ffi::PyTuple_New(n as isize))?;
            for i in 0..n {
                match self.value(depth) {
                    Ok(item) => ffi::PyTuple_SetItem(tuple, i as isize, item),
                    Err(fault) => {
                        ffi::Py_DECREF(tuple);
                        return Err(fault);
                    }
                };
            }
            Ok(tuple)
        }
    }

    /// # Safety
    /// The thread is attached.
    unsafe fn list(&mut self, n: usize, depth: u32) -> Read {
        // SAFETY: as for the tuple.
        unsafe {
            let list = made(ffi::PyList_New(n as isize))?;
            for i in 0..n {
                match self.value(depth) {
                    Ok(item) => ffi::PyList_SetItem(list, i as isize, item),
                    Err(fault) => {
                        ffi::Py_DECREF(list);
                        return Err(fault);
                    }
                };
            }
            Ok(list)
        }
    }

    /// # Safety
    /// The thread is attached.
    unsafe fn dict(&mut self, n: usize, depth: u32) -> Read {
        // SAFETY: `entry` puts references of its own into the live dict.
        unsafe {
            let dict = made(ffi::PyDict_New())?;
            for _ in 0..n {
                if let Err(fault) = self.entry(dict, depth) {
                    ffi::Py_DECREF(dict);
                    return Err(fault);
                }
            }
            Ok(dict)
        }
    }

    /// Read a key and a value into `dict`.
    ///
    /// # Safety
    /// `dict` is a live dict and the thread attached.
    #[inline]
    unsafe fn entry(&mut self, dict: *mut ffi::PyObject, depth: u32) -> Result<(), Fault> {
        // SAFETY: both references are new, lent to the dict, and dropped here.
        unsafe {
            let key = match self.rest.first() {
                Some(&tag) if (tags::SHORT_STR..tags::SMALL_INT).contains(&tag) => {
                    made(keys::key(&self.take(1 + (tag & 0x3F) as usize)?[1..]))?
                }
                _ => self.value(depth)?,
            };
            let value = match self.value(depth) {
                Ok(value) => value,
                Err(fault) => {
                    ffi::Py_DECREF(key);
                    return Err(fault);
                }
            };
            let done = ffi::PyDict_SetItem(dict, key, value);
            ffi::Py_DECREF(key);
            ffi::Py_DECREF(value);
            if done == 0 { Ok(()) } else { Err(Fault::Raised) }
        }
    }

    /// A new bytes or bytearray with the content of the next buffer.
    #[cold]
    fn out_of_band(&mut self, tag: u8) -> Read {
        let Some((block, rest)) = self.blocks.split_first() else {
            return Err(Fault::Corrupt("a buffer of the message is missing"));
        };
        self.blocks = rest;
        match copy_block(self.py, tag, block.bind(self.py)) {
            Ok(object) => Ok(object.into_ptr()),
            Err(error) => {
                error.restore(self.py);
                Err(Fault::Raised)
            }
        }
    }
}

fn copy_block<'py>(py: Python<'py>, tag: u8, block: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let content = OutOfBand::of(block)?;
    let content = content.as_slice();
    let n = content.len() as isize;
    // SAFETY: a null source asks for uninitialised room of `n` bytes in a new object; at once filled below.
    let (object, room) = unsafe {
        if tag == tags::BYTES_OUT {
            let object = Bound::from_owned_ptr_or_err(py, ffi::PyBytes_FromStringAndSize(std::ptr::null(), n))?;
            let room = ffi::PyBytes_AsString(object.as_ptr());
            (object, room)
        } else {
            let object = Bound::from_owned_ptr_or_err(py, ffi::PyByteArray_FromStringAndSize(std::ptr::null(), n))?;
            let room = ffi::PyByteArray_AsString(object.as_ptr());
            (object, room)
        }
    };
    // SAFETY: the new object has room for `n` bytes, and nobody else has a reference to it yet.
    let room = unsafe { std::slice::from_raw_parts_mut(room.cast::<u8>(), content.len()) };
    if content.len() >= LARGE_COPY {
        py.detach(|| room.copy_from_slice(content));
    } else {
        room.copy_from_slice(content);
    }
    Ok(object)
}
