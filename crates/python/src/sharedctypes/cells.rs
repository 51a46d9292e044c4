//! The simple C types by typecode, and a cell of one as a Python object.
//!
//! Conversions follow ctypes, which multiprocessing's users see: integers wrap around silently, a float given for an
//! integer is a `TypeError`, a character is a bytes or str of length one.

use procession_core::arena::Kind;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PyFloat, PyInt, PyString};
use std::ffi::CStr;
use std::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering};

use crate::arena::{Object, PyArena};
use crate::codec::ints::int;
use crate::mapping::PyMapping;

/// A C type. The number is what the object's header keeps.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Code {
    Char = b'c',
    WideChar = b'u',
    Bool = b'?',
    I8 = b'b',
    U8 = b'B',
    I16 = b'h',
    U16 = b'H',
    I32 = b'i',
    U32 = b'I',
    Long = b'l',
    ULong = b'L',
    I64 = b'q',
    U64 = b'Q',
    F32 = b'f',
    F64 = b'd',
}

/// For messages.
const VALID: &str = "'c' 'u' '?' 'b' 'B' 'h' 'H' 'i' 'I' 'l' 'L' 'q' 'Q' 'f' 'd'";

const ALL: [Code; 15] = [
    Code::Char,
    Code::WideChar,
    Code::Bool,
    Code::I8,
    Code::U8,
    Code::I16,
    Code::U16,
    Code::I32,
    Code::U32,
    Code::Long,
    Code::ULong,
    Code::I64,
    Code::U64,
    Code::F32,
    Code::F64,
];

impl Code {
    /// The type with this number.
    pub fn of(number: u8) -> Option<Self> {
        ALL.into_iter().find(|code| *code as u8 == number)
    }

    /// The type of a typecode. Raises: `ValueError` that lists the valid ones.
    pub fn parse(text: &str) -> PyResult<Self> {
        let code = if text.len() == 1 { Self::of(text.as_bytes()[0]) } else { None };
        code.ok_or_else(|| PyValueError::new_err(format!("no typecode {text:?}; there are {VALID}")))
    }

    /// The typecode.
    pub fn text(self) -> String {
        char::from(self as u8).to_string()
    }

    /// Bytes of a cell.
    #[inline]
    pub fn size(self) -> usize {
        match self {
            Self::Char | Self::Bool | Self::I8 | Self::U8 => 1,
            Self::I16 | Self::U16 => 2,
            Self::WideChar | Self::I32 | Self::U32 | Self::F32 => 4,
            Self::Long | Self::ULong => size_of::<std::ffi::c_long>(),
            Self::I64 | Self::U64 | Self::F64 => 8,
        }
    }

    /// May it be added to?
    pub fn is_integer(self) -> bool {
        !matches!(self, Self::Char | Self::WideChar | Self::Bool | Self::F32 | Self::F64)
    }

    /// The buffer protocol's name of the type.
    pub fn format(self) -> &'static CStr {
        match self {
            Self::Char => c"c",
            Self::WideChar => c"w",
            Self::Bool => c"?",
            Self::I8 => c"b",
            Self::U8 => c"B",
            Self::I16 => c"h",
            Self::U16 => c"H",
            Self::I32 => c"i",
            Self::U32 => c"I",
            Self::Long => c"l",
            Self::ULong => c"L",
            Self::I64 => c"q",
            Self::U64 => c"Q",
            Self::F32 => c"f",
            Self::F64 => c"d",
        }
    }

    fn is_signed(self) -> bool {
        matches!(self, Self::I8 | Self::I16 | Self::I32 | Self::Long | Self::I64)
    }

    /// The Python object for a cell's bits: a new reference, or null with an exception set.
    ///
    /// # Safety
    /// The thread is attached.
    #[inline(always)]
    pub unsafe fn object(self, bits: u64) -> *mut ffi::PyObject {
        // SAFETY: attached; pointers are to locals of the length given.
        unsafe {
            match self {
                Self::I32 => int((bits as i32).into()),
                Self::F64 => ffi::PyFloat_FromDouble(f64::from_bits(bits)),
                Self::Long | Self::ULong | Self::I64 | Self::U64 => self.long(bits),
                Self::I8 => ffi::PyLong_FromLong((bits as i8).into()),
                Self::I16 => int((bits as i16).into()),
                Self::U8 | Self::U16 | Self::U32 => int(bits as i64),
                Self::F32 => ffi::PyFloat_FromDouble(f32::from_bits(bits as u32).into()),
                Self::Bool => ffi::PyBool_FromLong((bits as u8).into()),
                Self::Char => ffi::PyBytes_FromStringAndSize((&raw const bits).cast(), 1),
                Self::WideChar => ffi::PyUnicode_FromOrdinal(bits as i32),
            }
        }
    }

    /// # Safety
    /// The thread is attached.
    #[inline]
    unsafe fn long(self, bits: u64) -> *mut ffi::PyObject {
        // SAFETY: attached.
        unsafe {
            match (self.is_signed(), self.size()) {
                (true, 4) => int((bits as i32).into()),
                (true, _) => int(bits as i64),
                (false, _) => ffi::PyLong_FromUnsignedLongLong(bits),
            }
        }
    }

    /// The bits of a Python object, as ctypes would store it. Raises: `TypeError` as ctypes.
    #[inline]
    pub fn bits(self, value: &Bound<'_, PyAny>) -> PyResult<u64> {
        match self {
            Self::F64 => Ok(float(value)?.to_bits()),
            Self::F32 => Ok((float(value)? as f32).to_bits().into()),
            Self::Char => char(value),
            Self::WideChar => wide_char(value),
            Self::Bool => Ok(value.is_truthy()?.into()),
            _ => integer(value),
        }
    }
}

fn type_name(value: &Bound<'_, PyAny>) -> String {
    value.get_type().name().map_or_else(|_| "object".into(), |name| name.to_string())
}

#[inline]
fn integer(value: &Bound<'_, PyAny>) -> PyResult<u64> {
    if value.is_instance_of::<PyInt>() {
        // SAFETY: `value` is a live int: no conversion runs, and the mask takes any size.
        return Ok(unsafe { ffi::PyLong_AsUnsignedLongLongMask(value.as_ptr()) });
    }
    if value.is_instance_of::<PyFloat>() {
        return Err(PyTypeError::new_err("int expected instead of float instance"));
    }
    // SAFETY: `value` is alive; anything that is no int goes through __index__, or fails with an exception.
    let bits = unsafe { ffi::PyLong_AsUnsignedLongLongMask(value.as_ptr()) };
    if bits == u64::MAX
        && let Some(error) = PyErr::take(value.py())
    {
        return Err(error);
    }
    Ok(bits)
}

#[inline]
fn float(value: &Bound<'_, PyAny>) -> PyResult<f64> {
    value.extract::<f64>()
}

fn char(value: &Bound<'_, PyAny>) -> PyResult<u64> {
    let one = |bytes: &[u8]| (bytes.len() == 1).then(|| bytes[0].into());
    let found = if let Ok(bytes) = value.cast::<PyBytes>() {
        one(bytes.as_bytes())
    } else if let Ok(bytes) = value.cast::<PyByteArray>() {
        one(&bytes.to_vec())
    } else {
        value.extract::<u8>().ok().map(u64::from)
    };
    found.ok_or_else(|| PyTypeError::new_err("one character bytes, bytearray or integer expected"))
}

fn wide_char(value: &Bound<'_, PyAny>) -> PyResult<u64> {
    let Ok(text) = value.cast::<PyString>() else {
        let name = type_name(value);
        return Err(PyTypeError::new_err(format!("unicode string expected instead of {name} instance")));
    };
    // SAFETY: `text` is a live str; an index out of range gives an error value, not a read.
    let (length, first) =
        unsafe { (ffi::PyUnicode_GetLength(text.as_ptr()), ffi::PyUnicode_ReadChar(text.as_ptr(), 0)) };
    if length != 1 {
        let _ = PyErr::take(value.py());
        return Err(PyTypeError::new_err("one character unicode string expected"));
    }
    Ok(first.into())
}

/// What stands at the start of a Value or an Array; its cells follow at [`CELLS`].
///
/// | bytes | content |
/// | --- | --- |
/// | 0–3 | typecode |
/// | 8–15 | number of cells |
/// | 64– | the cells |
#[repr(C, align(64))]
pub struct Header {
    code: AtomicU32,
    count: AtomicU64,
}

const CELLS: usize = size_of::<Header>();

/// The cells of one object in shared memory, or in a file.
pub struct Cells {
    /// What others know them by: the object that they lie in; of cells in a file, their lock.
    pub object: Object<u8>,
    pub code: Code,
    pub count: usize,
    start: *mut u8,
    /// The file's span, for as long as the pointer leads there.
    _memory: Option<Py<PyMapping>>,
}

// SAFETY: the pointer is into shared memory that `object` or `_memory` keeps; every access through it is atomic.
unsafe impl Send for Cells {}
// SAFETY: as above.
unsafe impl Sync for Cells {}

impl Cells {
    /// New cells, all zero.
    pub fn create(arena: &Bound<'_, PyArena>, kind: Kind, code: Code, count: usize) -> PyResult<Self> {
        let size = count.checked_mul(code.size()).and_then(|size| size.checked_add(CELLS));
        let size = size.ok_or_else(|| PyValueError::new_err(format!("{count} cells are more than memory can hold")))?;
        let object = Object::<Header>::create_sized(arena, kind, size as u64)?;
        object.get().code.store(code as u32, Ordering::Relaxed);
        object.get().count.store(count as u64, Ordering::Relaxed);
        Ok(Self::of(object, code, count))
    }

    /// The cells at an address. Raises: `ObjectGone`.
    pub fn open(arena: &Bound<'_, PyArena>, kind: Kind, address: (u64, u64)) -> PyResult<Self> {
        let object = Object::<Header>::open(arena, kind, address)?;
        let (code, count) = (object.get().code.load(Ordering::Relaxed), object.get().count.load(Ordering::Relaxed));
        let code = u8::try_from(code).ok().and_then(Code::of);
        let room = object.handle().size().saturating_sub(CELLS as u64);
        match code {
            Some(code) if (kind != Kind::Value || count == 1) && count <= room / code.size() as u64 => {
                Ok(Self::of(object, code, count as usize))
            }
            _ => Err(PyValueError::new_err("the shared object is damaged: its header makes no sense")),
        }
    }

    fn of(object: Object<Header>, code: Code, count: usize) -> Self {
        // SAFETY: the object is at least CELLS bytes large.
        let start = unsafe { object.handle().contents().add(CELLS) };
        Self { object: object.untyped(), code, count, start, _memory: None }
    }

    /// All the cells that a file's span has room for, as they stand there; known as `object` is.
    pub fn over(memory: &Bound<'_, PyMapping>, code: Code, object: Object<u8>) -> Self {
        let mapping = &memory.get().mapping;
        let (start, count) = (mapping.base(), mapping.length() / code.size());
        Self { object, code, count, start, _memory: Some(memory.clone().unbind()) }
    }

    /// Bytes of all cells.
    pub fn size(&self) -> usize {
        self.count * self.code.size()
    }

    /// Where the cells are, for a buffer export.
    pub fn start(&self) -> *mut u8 {
        self.start
    }

    /// Atomically read cell `i`. Panics beyond the end.
    #[inline]
    pub fn load(&self, i: usize) -> u64 {
        assert!(i < self.count);
        // SAFETY: inside the object by the assertion; aligned, as cells follow a 64-byte header or begin a page; atomics of shared memory.
        unsafe {
            match self.code.size() {
                1 => (*self.start.cast::<AtomicU8>().add(i)).load(Ordering::Acquire).into(),
                2 => (*self.start.cast::<AtomicU16>().add(i)).load(Ordering::Acquire).into(),
                4 => (*self.start.cast::<AtomicU32>().add(i)).load(Ordering::Acquire).into(),
                _ => (*self.start.cast::<AtomicU64>().add(i)).load(Ordering::Acquire),
            }
        }
    }

    /// Atomically write the low bits into cell `i`. Panics beyond the end.
    #[inline]
    pub fn store(&self, i: usize, bits: u64) {
        assert!(i < self.count);
        // SAFETY: as in `load`.
        unsafe {
            match self.code.size() {
                1 => (*self.start.cast::<AtomicU8>().add(i)).store(bits as u8, Ordering::Release),
                2 => (*self.start.cast::<AtomicU16>().add(i)).store(bits as u16, Ordering::Release),
                4 => (*self.start.cast::<AtomicU32>().add(i)).store(bits as u32, Ordering::Release),
                _ => (*self.start.cast::<AtomicU64>().add(i)).store(bits, Ordering::Release),
            }
        }
    }

    /// Append the bits of `n` cells, from `start` on in steps. Panics beyond the end.
    pub fn load_many(&self, start: isize, step: isize, n: usize, bits: &mut Vec<u64>) {
        macro_rules! each {
            ($Atomic:ident) => {{
                let cell = |i: usize| {
                    let i = (start + step * i as isize) as usize;
                    assert!(i < self.count);
                    // SAFETY: as in `load`.
                    u64::from(unsafe { (*self.start.cast::<$Atomic>().add(i)).load(Ordering::Relaxed) })
                };
                bits.extend((0..n).map(cell));
            }};
        }
        match self.code.size() {
            1 => each!(AtomicU8),
            2 => each!(AtomicU16),
            4 => each!(AtomicU32),
            _ => each!(AtomicU64),
        }
    }
}
