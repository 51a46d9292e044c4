//! `Columns`: wanted columns of CSV text as keys and numbers, found natively.

use procession_gather::item::{Item, Kind};
use procession_gather::text::borders::{Outcome, borders};
use procession_gather::text::csv::{Reader, Record, header, without_mark};
use procession_gather::text::number::{Number, parse_number};
use procession_gather::text::words::SLACK;
use procession_gather::text::{BadText, Invalid, Span};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyIterator, PyList, PyTuple};

use super::sink::{ListSink, PairSink};
use super::text::{Data, Stop};
use crate::codec::OutOfBand;

/// Records handed over at once.
const BATCH: usize = 256;
/// Bytes of keys that are handed over before a batch is full.
const BATCH_BYTES: usize = 64 * 1024;

/// A column as it was named.
#[derive(Clone, FromPyObject)]
enum Column {
    Index(usize),
    Name(String),
}

impl Column {
    fn shown(&self) -> String {
        match self {
            Self::Index(index) => index.to_string(),
            Self::Name(name) => format!("{name:?}"),
        }
    }

    /// Its number, given the names of all (None: they are not known).
    fn find(&self, names: Option<&[String]>) -> PyResult<usize> {
        let count = names.map_or(usize::MAX, <[String]>::len);
        let found = match self {
            Self::Index(index) => vec![*index].into_iter().filter(|index| *index < count).collect(),
            Self::Name(name) => positions(names.unwrap_or_default(), name),
        };
        match found[..] {
            [index] => Ok(index),
            [] => Err(PyValueError::new_err(format!(
                "there is no column {}; the header names {}",
                self.shown(),
                names.unwrap_or_default().iter().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", ")
            ))),
            _ => Err(PyValueError::new_err(format!(
                "{} columns are named {}: give the number of one, counted from 0",
                found.len(),
                self.shown()
            ))),
        }
    }
}

fn positions(names: &[String], wanted: &str) -> Vec<usize> {
    names.iter().enumerate().filter(|(_, name)| *name == wanted).map(|(index, _)| index).collect()
}

/// Columns of CSV text: one or several as keys to count, or with another one as numbers to aggregate. A map function
/// returns it in place of a list of pairs.
///
/// `key` is a column's name or its number from 0, or a tuple of them for tuple keys; `value` one column of numbers, or
/// None. Keys are strings. `header` lists the names; without it the first record of `data` does if a column is named.
/// `skip_header`: is the first record of `data` a header? By default it is if names are taken from it. `delimiter` is
/// one ASCII character. The text is read as `csv.reader` reads it; a byte order mark at the start of a file is skipped.
///
/// A record with too few fields: a missing key is "", a missing value an empty one. A record with an empty value gives
/// no pair. A value is an int if it is written as one and fits 64 bits, else a float.
///
/// `data` is a str or bytes-like (UTF-8; `errors` as for `bytes.decode`, and only keys are looked at); it is kept, and
/// read only when the pairs are taken. Iterating gives a list's worth of them, for tests. Raises then, and when
/// combined: UnicodeDecodeError whose `start` is the offset of the first bad byte of the record in `data`; ValueError
/// for a value that is no number, with `offset` (of the record in `data`, bytes), `column` and `text`; ValueError for
/// a column that is not there.
#[pyclass(frozen, name = "Columns", module = "procession._native")]
pub struct PyColumns {
    data: Data,
    /// Does `data` begin where its file does?
    first: bool,
    keys: Vec<Column>,
    tuples: bool,
    value: Option<Column>,
    delimiter: u8,
    names: Option<Vec<String>>,
    skip_header: bool,
}

#[pymethods]
impl PyColumns {
    #[new]
    #[pyo3(signature = (data, key, value = None, delimiter = ",", header = None, skip_header = None,
                        *, errors = "strict"))]
    #[allow(clippy::too_many_arguments)] // as Python sees it, all but two by name
    fn new(
        data: &Bound<'_, PyAny>,
        key: &Bound<'_, PyAny>,
        value: Option<&Bound<'_, PyAny>>,
        delimiter: &str,
        header: Option<Vec<String>>,
        skip_header: Option<bool>,
        errors: &str,
    ) -> PyResult<Self> {
        let tuples = key.is_instance_of::<PyTuple>();
        let keys = match key.cast::<PyTuple>() {
            Ok(tuple) => tuple.iter().map(|column| column_of(&column)).collect::<PyResult<_>>()?,
            Err(_) => vec![column_of(key)?],
        };
        let value = value.map(column_of).transpose()?;
        let names_needed =
            header.is_none() && keys.iter().chain(&value).any(|column| matches!(column, Column::Name(_)));
        if names_needed && skip_header == Some(false) {
            return Err(PyValueError::new_err(
                "columns are named, but there is neither a header in the data nor a list",
            ));
        }
        let delimiter = delimiter_of(delimiter)?;
        let offset = data.getattr_opt("offset")?.and_then(|offset| offset.extract::<u64>().ok());
        Ok(Self {
            data: Data::of(data, errors)?,
            first: offset.unwrap_or(0) == 0,
            keys,
            tuples,
            value,
            delimiter,
            names: header,
            skip_header: skip_header.unwrap_or(names_needed),
        })
    }

    fn __iter__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyIterator>> {
        let list = PyList::empty(py);
        self.feed(py, &mut ListSink(list.clone()))?;
        list.try_iter()
    }
}

fn column_of(object: &Bound<'_, PyAny>) -> PyResult<Column> {
    object.extract().map_err(|_| {
        let shown = super::items::shown(object);
        PyTypeError::new_err(format!("a column is a name or a number from 0 on, not {shown}"))
    })
}

fn delimiter_of(text: &str) -> PyResult<u8> {
    match text.as_bytes() {
        [byte] if byte.is_ascii() && !b"\"\r\n".contains(byte) => Ok(*byte),
        _ => Err(PyValueError::new_err("delimiter must be one ASCII character, no quote and no newline")),
    }
}

/// A state at the end (inside quotes?), and where the first record begins.
type PyOutcome = (bool, Option<usize>);

/// Where records begin in a chunk of a CSV file that was cut behind any newline byte: `(outcome if it begins outside of
/// quotes, outcome if inside)`, an outcome being `(ends inside quotes, offset of the first record or None)`.
///
/// So that chunks can be scanned in any order and chained: the first of a file begins outside. Releases the GIL.
#[pyfunction]
#[pyo3(signature = (data, delimiter = ","))]
pub fn csv_borders(data: &Bound<'_, PyAny>, delimiter: &str) -> PyResult<(PyOutcome, PyOutcome)> {
    let (delimiter, held) = (delimiter_of(delimiter)?, OutOfBand::of(data)?);
    let found = data.py().detach(|| borders(held.as_slice(), delimiter));
    let outcome = |outcome: Outcome| (outcome.ends_quoted, outcome.first_record);
    Ok((outcome(found.plain), outcome(found.quoted)))
}

/// The fields of the first record of a CSV file's bytes, and the offset of what follows it; None: there is no record. A
/// byte order mark before it is skipped.
///
/// Raises: UnicodeDecodeError, its `start` counting in the name.
#[pyfunction]
#[pyo3(signature = (data, delimiter = ","))]
pub fn csv_header(data: &Bound<'_, PyAny>, delimiter: &str) -> PyResult<Option<(Vec<Py<PyAny>>, usize)>> {
    let (delimiter, held) = (delimiter_of(delimiter)?, OutOfBand::of(data)?);
    let whole = without_mark(held.as_slice());
    let Some((names, end)) = header(whole, delimiter) else { return Ok(None) };
    let decode = |name: &Vec<u8>| PyBytes::new(data.py(), name).call_method0("decode").map(Bound::unbind);
    let names = names.iter().map(decode).collect::<PyResult<_>>()?;
    Ok(Some((names, held.len() - whole.len() + end)))
}

impl PyColumns {
    /// Does it give pairs, rather than keys?
    pub fn has_values(&self) -> bool {
        self.value.is_some()
    }

    /// Hand everything over, some hundred records at a time. After an error some that were before it have been.
    pub fn feed(&self, py: Python<'_>, sink: &mut dyn PairSink) -> PyResult<()> {
        self.data.read(py, |data, invalid| {
            let whole = if self.first { without_mark(data) } else { data };
            let mut body = whole;
            let mut own_names = None;
            if self.skip_header {
                let Some((names, end)) = header(whole, self.delimiter) else { return Ok(()) };
                own_names = Some(names.iter().map(|name| String::from_utf8_lossy(name).into_owned()).collect());
                body = &whole[end..];
            }
            let names: Option<&Vec<String>> = self.names.as_ref().or(own_names.as_ref());
            let find = |column: &Column| column.find(names.map(Vec::as_slice));
            let wanted = self.keys.iter().chain(&self.value).map(find).collect::<PyResult<Vec<_>>>()?;
            let mut batch = Batch::new(self, body, data.len() - body.len(), invalid, sink);
            Reader::new(self.delimiter, &wanted).for_each(body, |record| batch.add(py, record))?;
            batch.flush()
        })
    }
}

/// Pairs on their way to the sink.
struct Batch<'a> {
    columns: &'a PyColumns,
    data: &'a [u8],
    /// Of `data`, in what the caller gave.
    offset: usize,
    invalid: Invalid,
    sink: &'a mut dyn PairSink,
    text: Vec<u8>,
    spans: Vec<Span>,
    numbers: Vec<Number>,
}

impl<'a> Batch<'a> {
    fn new(
        columns: &'a PyColumns,
        data: &'a [u8],
        offset: usize,
        invalid: Invalid,
        sink: &'a mut dyn PairSink,
    ) -> Self {
        let (text, spans, numbers) = (Vec::new(), Vec::new(), Vec::new());
        Self { columns, data, offset, invalid, sink, text, spans, numbers }
    }

    #[inline]
    fn add(&mut self, py: Python<'_>, record: &Record) -> Result<(), Stop> {
        if self.columns.value.is_some() {
            let field = record.get(self.columns.keys.len()).unwrap_or_default();
            match parse_number(field) {
                Number::Empty => return Ok(()),
                Number::Bad => return Err(self.not_a_number(py, record, field).into()),
                number => self.numbers.push(number),
            }
        }
        let start = self.text.len();
        for i in 0..self.columns.keys.len() {
            self.key(record, record.get(i).unwrap_or_default())?;
        }
        let (Ok(start), Ok(end)) = (u32::try_from(start), u32::try_from(self.text.len() + SLACK)) else {
            return Err(BadText::TooLong { offset: self.offset + record.offset }.into());
        };
        self.spans.push(Span { start, end: end - SLACK as u32 });
        if self.spans.len() >= BATCH || self.text.len() >= BATCH_BYTES {
            self.flush()?;
        }
        Ok(())
    }

    #[inline]
    fn key(&mut self, record: &Record, field: &[u8]) -> Result<(), Stop> {
        let decoded;
        let mut field = field;
        if !field.is_ascii() {
            decoded = self.decode(record, field)?;
            field = &decoded;
        }
        if self.columns.tuples {
            Item { kind: Kind::Str, bytes: field }.pack(&mut self.text);
        } else {
            self.text.extend_from_slice(field);
        }
        Ok(())
    }

    /// A field as UTF-8.
    fn decode(&self, record: &Record, field: &[u8]) -> Result<Vec<u8>, BadText> {
        Ok(match self.invalid {
            Invalid::Keep => field.to_vec(),
            Invalid::Ignore => field.utf8_chunks().flat_map(|chunk| chunk.valid().bytes()).collect(),
            Invalid::Replace => String::from_utf8_lossy(field).into_owned().into_bytes(),
            Invalid::Strict if std::str::from_utf8(field).is_ok() => field.to_vec(),
            Invalid::Strict => {
                let bad = std::str::from_utf8(&self.data[record.offset..record.end]);
                let within = bad.map_or_else(|error| error.valid_up_to(), |_| 0);
                return Err(BadText::NotUtf8 { offset: self.offset + record.offset + within });
            }
        })
    }

    fn flush(&mut self) -> Result<(), Stop> {
        let kind = if self.columns.tuples { Kind::Tuple } else { Kind::Str };
        self.text.resize(self.text.len() + SLACK, 0);
        if self.columns.value.is_some() {
            self.sink.numbers(kind, &self.text, &self.spans, &self.numbers)?;
        } else {
            self.sink.keys(kind, &self.text, &self.spans)?;
        }
        self.text.clear();
        self.spans.clear();
        self.numbers.clear();
        Ok(())
    }

    #[cold]
    fn not_a_number(&self, py: Python<'_>, record: &Record, field: &[u8]) -> PyErr {
        let offset = self.offset + record.offset;
        let column = self.columns.value.as_ref().map_or_else(String::new, Column::shown);
        let text = String::from_utf8_lossy(field).into_owned();
        let short: String = text.chars().take(80).collect();
        let error = PyValueError::new_err(format!(
            "in the record at byte {offset}, column {column} is not a number: {short:?}"
        ));
        let named = match &self.columns.value {
            Some(Column::Index(index)) => index.into_pyobject(py).map(|index| index.into_any().unbind()).ok(),
            Some(Column::Name(name)) => name.into_pyobject(py).map(|name| name.into_any().unbind()).ok(),
            None => None,
        };
        let facts = error.value(py);
        let noted = facts
            .setattr("offset", offset)
            .and_then(|()| facts.setattr("column", named))
            .and_then(|()| facts.setattr("text", text));
        noted.map_or_else(|failed| failed, |()| error)
    }
}
