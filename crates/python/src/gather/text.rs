//! `Words`: the words of a text as keys, found natively; and what it shares with `Columns`: a text held for later.

use procession_gather::item::{Item, Kind};
use procession_gather::text::unique::Unique;
use procession_gather::text::words::{Cut, Scanner};
use procession_gather::text::{BadText, Invalid};
use pyo3::exceptions::{PyOverflowError, PyUnicodeDecodeError, PyUnicodeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyIterator, PyList, PyString};

use super::items::{pack_value, utf8};
use super::sink::{ListSink, PairSink};
use crate::codec::OutOfBand;

/// What stops a scan.
pub enum Stop {
    /// The text.
    Bad(BadText),
    /// Whoever takes what is found.
    Raised(PyErr),
}

impl From<BadText> for Stop {
    fn from(bad: BadText) -> Self {
        Self::Bad(bad)
    }
}

impl From<PyErr> for Stop {
    fn from(error: PyErr) -> Self {
        Self::Raised(error)
    }
}

impl Stop {
    /// As an exception; offsets count from the start of `data`.
    pub fn into_error(self, py: Python<'_>, data: &[u8]) -> PyErr {
        match self {
            Self::Raised(error) => error,
            Self::Bad(BadText::NotUtf8 { offset }) => not_utf8(py, data, offset).unwrap_or_else(|error| error),
            Self::Bad(BadText::TooLong { offset }) => {
                PyOverflowError::new_err(format!("from byte {offset} on there is a word or field of 2 GiB or more"))
            }
        }
    }
}

/// The error that `bytes.decode` raises, without decoding what is before the bad bytes.
fn not_utf8(py: Python<'_>, data: &[u8], offset: usize) -> PyResult<PyErr> {
    let near = PyBytes::new(py, &data[offset..data.len().min(offset + 4)]);
    let Err(error) = near.call_method1("decode", ("utf-8",)) else {
        return Ok(PyUnicodeError::new_err(format!("byte {offset} is not utf-8; the data changed meanwhile")));
    };
    let reason: String = error.value(py).getattr("reason")?.extract()?;
    let end = offset + error.value(py).getattr("end")?.extract::<usize>()?;
    let reason = std::ffi::CString::new(reason)?;
    Ok(PyErr::from_value(PyUnicodeDecodeError::new(py, c"utf-8", data, offset..end, &reason)?.into_any()))
}

/// A text that is read only when it is asked for: the object that holds it, and what to do with bytes that are not
/// UTF-8.
pub enum Data {
    /// A bytes-like object, pinned.
    Bytes(OutOfBand, Invalid),
    /// A string.
    Text(Py<PyString>),
}

impl Data {
    /// Of a str or a bytes-like object. `errors` as for `bytes.decode`; a name that only Python knows (or that somebody
    /// registered) makes Python decode it now.
    ///
    /// Raises: TypeError, BufferError, LookupError for an unknown name of `errors`.
    pub fn of(object: &Bound<'_, PyAny>, errors: &str) -> PyResult<Self> {
        if let Ok(text) = object.cast::<PyString>() {
            return Ok(Self::Text(text.clone().unbind()));
        }
        let invalid = match errors {
            "strict" => Invalid::Strict,
            "replace" => Invalid::Replace,
            "ignore" => Invalid::Ignore,
            other => {
                object.py().import("codecs")?.call_method1("lookup_error", (other,))?;
                let text = object.py().get_type::<PyString>().call1((object, "utf-8", other))?;
                return Ok(Self::Text(text.cast_into::<PyString>()?.unbind()));
            }
        };
        Ok(Self::Bytes(OutOfBand::of(object)?, invalid))
    }

    /// Call `reader` with the bytes.
    pub fn read(&self, py: Python<'_>, reader: impl FnOnce(&[u8], Invalid) -> Result<(), Stop>) -> PyResult<()> {
        let read = |data: &[u8], invalid| reader(data, invalid).map_err(|stop| stop.into_error(py, data));
        match self {
            Self::Bytes(bytes, invalid) => read(bytes.as_slice(), *invalid),
            Self::Text(text) => {
                let text = text.bind(py);
                if text.call_method0("isascii")?.is_truthy()? {
                    return read(utf8(text).unwrap_or_default(), Invalid::Keep);
                }
                // Not the string's own UTF-8 form, which it would keep for good.
                let bytes = text.call_method1("encode", ("utf-8", "surrogatepass"))?;
                read(bytes.cast::<PyBytes>()?.as_bytes(), Invalid::Keep)
            }
        }
    }
}

/// The words of a text, as keys to count, or each with the same value. A map function returns it in place of a list.
///
/// A word is a run of letters, in lower case; with `split=True` what `str.split()` gives. `data` is a str or bytes-like
/// (UTF-8; `errors` as for `bytes.decode`); it is kept, and read only when the pairs are taken. With `value` the pairs
/// (word, value) are handed over. `unique=True`: each word once, however often it occurs in `data`.
///
/// Iterating gives a list's worth of them, for tests. Raises then, and when combined: UnicodeDecodeError whose `start`
/// is the offset of the first bad byte in `data`.
#[pyclass(frozen, name = "Words", module = "procession._native")]
pub struct PyWords {
    data: Data,
    cut: Cut,
    value: Option<Py<PyAny>>,
    unique: bool,
}

#[pymethods]
impl PyWords {
    #[new]
    #[pyo3(signature = (data, errors = "strict", split = false, value = None, *, unique = false))]
    fn new(
        data: &Bound<'_, PyAny>,
        errors: &str,
        split: bool,
        value: Option<Py<PyAny>>,
        unique: bool,
    ) -> PyResult<Self> {
        let cut = if split { Cut::Blanks } else { Cut::Letters };
        Ok(Self { data: Data::of(data, errors)?, cut, value, unique })
    }

    fn __iter__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyIterator>> {
        let list = PyList::empty(py);
        self.feed(py, &mut ListSink(list.clone()))?;
        list.try_iter()
    }
}

impl PyWords {
    /// Does it give pairs, rather than keys?
    pub fn has_values(&self) -> bool {
        self.value.is_some()
    }

    /// Hand everything over. After an error the words before it have been handed over.
    pub fn feed(&self, py: Python<'_>, sink: &mut dyn PairSink) -> PyResult<()> {
        let mut packed = Vec::new();
        if let Some(value) = &self.value {
            pack_value(value.bind(py), &mut packed)?;
        }
        let value = Item::unpack(&mut &packed[..]);
        let (mut seen, mut fresh) = (Unique::default(), Vec::new());
        self.data.read(py, |data, invalid| {
            Scanner::new(self.cut, invalid).scan(data, |text, spans| {
                let mut spans = spans;
                if self.unique {
                    fresh.clear();
                    fresh.extend_from_slice(spans);
                    if !seen.filter(text, &mut fresh) {
                        return Err(PyValueError::new_err("more than 4 GiB of different words in one text").into());
                    }
                    spans = &fresh;
                }
                match value {
                    Some(value) => sink.keys_with(Kind::Str, text, spans, value)?,
                    None => sink.keys(Kind::Str, text, spans)?,
                }
                Ok(())
            })
        })
    }
}
