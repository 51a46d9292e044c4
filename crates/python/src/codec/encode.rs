//! The writer for plain values; see the module above for what it takes and `tags` for the bytes.
//!
//! Identity: pickle gives back one list where one list was put twice, so a mutable object may be written here only if it
//! occurs once. A container with a reference count of one is held by its parent alone and needs no look; others are
//! remembered and looked for. The argument fails below a *tuple* that is itself referred to twice (the tuple may occur
//! twice, and its list with it, counted once), so below such a tuple every container is remembered. The outermost object
//! can occur twice only inside itself: it is looked for everywhere. Large str and bytes are
//! remembered as well, not for identity but to be written once.
//!
//! Nothing here runs Python code, so no container can change while it is walked (with a global lock; without one, a
//! private copy is walked).

use pyo3::exceptions::PyUnicodeError;
use pyo3::ffi;
use pyo3::prelude::*;

use super::{Encoder, FREE_THREADED, MAX_DEPTH, MAX_NODES, MAX_SEEN, OUT_OF_BAND, OutOfBand, pickling, tags};

/// Strings and bytes from here on are remembered, so that a message holds them once.
const LARGE: usize = 4096;

/// Why a value was not written.
enum Stop {
    /// It is pickle's: not a plain value, or one that must keep an identity.
    Foreign,
    /// A Python exception is set.
    Raised(PyErr),
}

type Written = Result<(), Stop>;

/// Make `encoder` the message for `obj`, taking its snapshot now. What the encoder held before is dropped.
///
/// Blocks on nothing of ours; pickling may run any Python code. Raises: `errors.PicklingError` naming the part that
/// cannot be pickled; the encoder is then empty.
#[inline]
pub fn encode(py: Python<'_>, obj: &Bound<'_, PyAny>, encoder: &mut Encoder) -> PyResult<()> {
    debug_assert!(encoder.bytes.is_empty() && encoder.buffers.is_empty());
    let mut writer = Writer { py, encoder, nodes: 0, root: obj.as_ptr() };
    // SAFETY: `obj` is alive for the call and we are attached.
    match unsafe { writer.value(obj.as_ptr(), 0, false) } {
        Ok(()) => Ok(()),
        Err(Stop::Foreign) => {
            encoder.clear();
            pickling::encode(py, obj, encoder, pickling::Functions::ByName)
        }
        Err(Stop::Raised(error)) => {
            encoder.clear();
            Err(error)
        }
    }
}

struct Writer<'e, 'py> {
    py: Python<'py>,
    encoder: &'e mut Encoder,
    nodes: u32,
    root: *mut ffi::PyObject,
}

impl Writer<'_, '_> {
    /// Write one value. `shared`: it hangs below a tuple that may occur elsewhere in the message.
    ///
    /// # Safety
    /// `obj` points to a live object that stays alive during the call, and the thread is attached.
    #[inline]
    unsafe fn value(&mut self, obj: *mut ffi::PyObject, depth: u32, shared: bool) -> Written {
        // SAFETY: `obj` is alive by contract; each callee's type condition is the branch it is in.
        unsafe {
            let kind = ffi::Py_TYPE(obj);
            if kind == &raw mut ffi::PyLong_Type {
                self.int(obj)
            } else if kind == &raw mut ffi::PyUnicode_Type {
                self.str(obj)
            } else if kind == &raw mut ffi::PyFloat_Type {
                self.number(tags::FLOAT, ffi::PyFloat_AsDouble(obj).to_bits().to_le_bytes());
                Ok(())
            } else if obj == ffi::Py_None() {
                self.encoder.bytes.push(tags::NONE);
                Ok(())
            } else if kind == &raw mut ffi::PyBool_Type {
                self.encoder.bytes.push(if obj == ffi::Py_True() { tags::TRUE } else { tags::FALSE });
                Ok(())
            } else if kind == &raw mut ffi::PyBytes_Type {
                self.bytes(obj)
            } else if kind == &raw mut ffi::PyDict_Type {
                self.enter(obj, depth, shared)?;
                self.dict(obj, depth + 1, shared)
            } else if kind == &raw mut ffi::PyList_Type {
                self.enter(obj, depth, shared)?;
                self.list(obj, depth + 1, shared)
            } else if kind == &raw mut ffi::PyTuple_Type {
                if depth >= MAX_DEPTH {
                    return Err(Stop::Foreign);
                }
                if obj == self.root && depth > 0 {
                    return Err(Stop::Foreign);
                }
                let shared = shared || FREE_THREADED || (depth > 0 && ffi::Py_REFCNT(obj) > 1);
                self.tuple(obj, depth + 1, shared)
            } else if kind == &raw mut ffi::PyByteArray_Type {
                self.remember(obj)?;
                self.bytearray(obj)
            } else {
                Err(Stop::Foreign)
            }
        }
    }

    /// Before the content of a mutable container: refuse a second visit, and nesting too deep.
    ///
    /// # Safety
    /// `obj` is alive and the thread attached.
    #[inline]
    unsafe fn enter(&mut self, obj: *mut ffi::PyObject, depth: u32, shared: bool) -> Written {
        if depth >= MAX_DEPTH {
            return Err(Stop::Foreign);
        }
        // SAFETY: `obj` is alive. Read while attached, so with a global lock the count is exact.
        if FREE_THREADED || shared || depth == 0 || unsafe { ffi::Py_REFCNT(obj) } > 1 {
            return self.remember(obj);
        }
        Ok(())
    }

    /// Note that `obj` is in the message; `Foreign` if it was before, or if there are too many to look through.
    #[inline]
    fn remember(&mut self, obj: *mut ffi::PyObject) -> Written {
        let seen = &mut self.encoder.seen;
        if seen.len() >= MAX_SEEN || seen.contains(&(obj as usize)) {
            return Err(Stop::Foreign);
        }
        seen.push(obj as usize);
        Ok(())
    }

    /// Count `n` more nodes.
    #[inline]
    fn count(&mut self, n: usize) -> Written {
        self.nodes = self.nodes.saturating_add(u32::try_from(n).unwrap_or(u32::MAX));
        if self.nodes > MAX_NODES { Err(Stop::Foreign) } else { Ok(()) }
    }

    #[inline]
    fn number<const N: usize>(&mut self, tag: u8, bytes: [u8; N]) {
        self.encoder.bytes.reserve(1 + N);
        self.encoder.bytes.push(tag);
        self.encoder.bytes.extend_from_slice(&bytes);
    }

    /// A tag for a count below 256, another for one below 2^32.
    #[inline]
    fn head(&mut self, short: u8, long: u8, n: usize) -> Written {
        if let Ok(n) = u8::try_from(n) {
            self.number(short, [n]);
        } else {
            self.number(long, u32::try_from(n).map_err(|_| Stop::Foreign)?.to_le_bytes());
        }
        Ok(())
    }

    /// # Safety
    /// `obj` is a live exact int and the thread attached.
    #[inline]
    unsafe fn int(&mut self, obj: *mut ffi::PyObject) -> Written {
        let mut overflow = 0;
        // SAFETY: `obj` is an int, so no conversion runs and the only outcome besides a value is the overflow flag.
        let value = unsafe { ffi::PyLong_AsLongLongAndOverflow(obj, &raw mut overflow) };
        if overflow != 0 {
            // SAFETY: `obj` is an int.
            return unsafe { self.large_int(obj, overflow) };
        }
        if (0..128).contains(&value) {
            self.encoder.bytes.push(tags::SMALL_INT | value as u8);
        } else if let Ok(value) = i32::try_from(value) {
            if let Ok(value) = i8::try_from(value) {
                self.number(tags::INT_1, value.to_le_bytes());
            } else {
                self.number(tags::INT_4, value.to_le_bytes());
            }
        } else {
            self.number(tags::INT_8, value.to_le_bytes());
        }
        Ok(())
    }

    /// # Safety
    /// As `int`.
    #[cold]
    unsafe fn large_int(&mut self, obj: *mut ffi::PyObject, overflow: i32) -> Written {
        if overflow < 0 {
            return Err(Stop::Foreign);
        }
        // SAFETY: `obj` is an int; too large a one sets OverflowError, looked at and cleared at once.
        let value = unsafe { ffi::PyLong_AsUnsignedLongLong(obj) };
        if value == u64::MAX && PyErr::take(self.py).is_some() {
            return Err(Stop::Foreign);
        }
        self.number(tags::UINT_8, value.to_le_bytes());
        Ok(())
    }

    /// # Safety
    /// `obj` is a live exact str and the thread attached.
    #[inline]
    unsafe fn str(&mut self, obj: *mut ffi::PyObject) -> Written {
        // SAFETY: `obj` is a str.
        if unsafe { ffi::PyUnicode_GetLength(obj) } >= LARGE as isize {
            // SAFETY: `obj` is a str.
            return unsafe { self.large_str(obj) };
        }
        let mut len = 0;
        // SAFETY: `obj` is a str; the pointer stays valid while it lives. Runs no Python code.
        let utf8 = unsafe { ffi::PyUnicode_AsUTF8AndSize(obj, &raw mut len) };
        if utf8.is_null() {
            return Err(self.not_utf8());
        }
        // SAFETY: `len` bytes at `utf8`, owned by the live `obj`.
        let utf8 = unsafe { std::slice::from_raw_parts(utf8.cast::<u8>(), len as usize) };
        self.encoder.bytes.reserve(5 + utf8.len());
        if utf8.len() < 64 {
            self.encoder.bytes.push(tags::SHORT_STR | utf8.len() as u8);
        } else {
            self.number(tags::STR, (utf8.len() as u32).to_le_bytes());
        }
        self.encoder.bytes.extend_from_slice(utf8);
        Ok(())
    }

    /// The UTF-8 form of a long str goes through a temporary: asking the str itself would make it keep a second copy.
    ///
    /// # Safety
    /// As `str`.
    #[cold]
    unsafe fn large_str(&mut self, obj: *mut ffi::PyObject) -> Written {
        self.remember(obj)?;
        // SAFETY: `obj` is a str; the result is a new reference or null with an exception set.
        let utf8 = unsafe { Bound::from_owned_ptr_or_opt(self.py, ffi::PyUnicode_AsUTF8String(obj)) };
        let Some(utf8) = utf8 else { return Err(self.not_utf8()) };
        let utf8 = utf8.cast::<pyo3::types::PyBytes>().map_err(|_| Stop::Foreign)?.as_bytes();
        self.number(tags::STR, u32::try_from(utf8.len()).map_err(|_| Stop::Foreign)?.to_le_bytes());
        self.encoder.bytes.extend_from_slice(utf8);
        Ok(())
    }

    /// After a failed conversion: lone surrogates are pickle's, anything else (no memory) is an error.
    #[cold]
    fn not_utf8(&self) -> Stop {
        let error = PyErr::fetch(self.py);
        if error.is_instance_of::<PyUnicodeError>(self.py) { Stop::Foreign } else { Stop::Raised(error) }
    }

    /// # Safety
    /// `obj` is a live exact bytes and the thread attached.
    #[inline]
    unsafe fn bytes(&mut self, obj: *mut ffi::PyObject) -> Written {
        // SAFETY: `obj` is a bytes; both only read it.
        let (len, start) = unsafe { (ffi::PyBytes_Size(obj) as usize, ffi::PyBytes_AsString(obj)) };
        if len >= LARGE {
            self.remember(obj)?;
        }
        if len >= OUT_OF_BAND {
            // SAFETY: `obj` is alive.
            return unsafe { self.out_of_band(tags::BYTES_OUT, obj) };
        }
        self.head(tags::BYTES_1, tags::BYTES_4, len)?;
        // SAFETY: `len` bytes at `start`, owned by the live and immutable `obj`.
        self.encoder.bytes.extend_from_slice(unsafe { std::slice::from_raw_parts(start.cast::<u8>(), len) });
        Ok(())
    }

    /// # Safety
    /// `obj` is a live exact bytearray and the thread attached.
    #[cold]
    unsafe fn bytearray(&mut self, obj: *mut ffi::PyObject) -> Written {
        // SAFETY: `obj` is a bytearray.
        if unsafe { ffi::PyByteArray_Size(obj) } >= OUT_OF_BAND as isize {
            // SAFETY: `obj` is alive.
            return unsafe { self.out_of_band(tags::BYTEARRAY_OUT, obj) };
        }
        // SAFETY: `obj` is alive.
        let object = unsafe { Bound::from_borrowed_ptr(self.py, obj) };
        let content = OutOfBand::of(&object).map_err(Stop::Raised)?;
        self.number(tags::BYTEARRAY, u32::try_from(content.len()).map_err(|_| Stop::Foreign)?.to_le_bytes());
        self.encoder.bytes.extend_from_slice(content.as_slice());
        Ok(())
    }

    /// # Safety
    /// `obj` is a live exporter of a contiguous buffer and the thread attached.
    #[cold]
    unsafe fn out_of_band(&mut self, tag: u8, obj: *mut ffi::PyObject) -> Written {
        // SAFETY: `obj` is alive.
        let object = unsafe { Bound::from_borrowed_ptr(self.py, obj) };
        self.encoder.buffers.push(OutOfBand::of(&object).map_err(Stop::Raised)?);
        self.encoder.bytes.push(tag);
        Ok(())
    }

    /// # Safety
    /// `obj` is a live exact tuple and the thread attached.
    #[inline]
    unsafe fn tuple(&mut self, obj: *mut ffi::PyObject, depth: u32, shared: bool) -> Written {
        // SAFETY: `obj` is a tuple, which cannot change; it holds its items; `i` is below its size.
        unsafe {
            let n = ffi::PyTuple_Size(obj);
            self.count(n as usize)?;
            self.head(tags::TUPLE_1, tags::TUPLE_4, n as usize)?;
            for i in 0..n {
                self.value(ffi::PyTuple_GetItem(obj, i), depth, shared)?;
            }
        }
        Ok(())
    }

    /// # Safety
    /// `obj` is a live exact list and the thread attached.
    unsafe fn list(&mut self, obj: *mut ffi::PyObject, depth: u32, shared: bool) -> Written {
        if FREE_THREADED {
            // SAFETY: `obj` is a list; the result is a new tuple or null with an exception set.
            let copy = unsafe { Bound::from_owned_ptr_or_err(self.py, ffi::PyList_AsTuple(obj)) };
            let copy = copy.map_err(Stop::Raised)?;
            let start = self.encoder.bytes.len();
            // SAFETY: `copy` is a live tuple.
            unsafe { self.tuple(copy.as_ptr(), depth, shared) }?;
            self.encoder.bytes[start] += tags::LIST_1 - tags::TUPLE_1;
            return Ok(());
        }
        // SAFETY: `obj` is a list; with the global lock held and no Python code run it cannot change, and it holds its
        // items; `i` is below its size.
        unsafe {
            let n = ffi::PyList_Size(obj);
            self.count(n as usize)?;
            self.head(tags::LIST_1, tags::LIST_4, n as usize)?;
            for i in 0..n {
                self.value(ffi::PyList_GetItem(obj, i), depth, shared)?;
            }
        }
        Ok(())
    }

    /// # Safety
    /// `obj` is a live exact dict and the thread attached.
    unsafe fn dict(&mut self, obj: *mut ffi::PyObject, depth: u32, shared: bool) -> Written {
        if FREE_THREADED {
            // SAFETY: `obj` is a dict; the result is a new dict or null with an exception set.
            let copy = unsafe { Bound::from_owned_ptr_or_err(self.py, ffi::PyDict_Copy(obj)) };
            let copy = copy.map_err(Stop::Raised)?;
            // SAFETY: `copy` is a live dict that nobody else knows.
            return unsafe { self.items(copy.as_ptr(), depth, shared) };
        }
        // SAFETY: with the global lock held and no Python code run the dict cannot change.
        unsafe { self.items(obj, depth, shared) }
    }

    /// # Safety
    /// `obj` is a live exact dict that does not change during the call, and the thread is attached.
    #[inline]
    unsafe fn items(&mut self, obj: *mut ffi::PyObject, depth: u32, shared: bool) -> Written {
        let (mut at, mut key, mut value) = (0, std::ptr::null_mut(), std::ptr::null_mut());
        // SAFETY: `obj` is a dict that does not change, so the positions stay good and it holds what it lends.
        unsafe {
            let n = ffi::PyDict_Size(obj) as usize;
            self.count(2 * n)?;
            self.head(tags::DICT_1, tags::DICT_4, n)?;
            while ffi::PyDict_Next(obj, &raw mut at, &raw mut key, &raw mut value) != 0 {
                self.value(key, depth, shared)?;
                self.value(value, depth, shared)?;
            }
        }
        Ok(())
    }
}
