//! What a map function gave, taken apart into keys and pairs.
//!
//! Pairs go into the table in blocks: first all keys of a block are hashed and their slots asked for, then the entries,
//! and only then is anything compared, so that the memory's latency is paid once for a block instead of twice for a key.

use procession_gather::item::{Item, Kind};
use procession_gather::reduce::Reducer;
use pyo3::exceptions::{PyRuntimeError, PyTypeError, PyValueError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PyDict, PyIterator, PyList, PyString, PyTuple};

use crate::codec::FREE_THREADED;

use super::combiner::Table;
use super::items::{As, no_key, payload, shown, utf8};

/// Pairs in a block: enough to overlap the latencies, few enough for the first-level cache.
const BLOCK: usize = 32;

/// A key of a block: its hash and where its payload is.
#[derive(Clone, Copy)]
struct Place {
    hash: u64,
    kind: Kind,
    length: usize,
    start: Start,
}

#[derive(Clone, Copy)]
enum Start {
    /// In the str that the block holds.
    Text(*const u8),
    /// In the scratch buffer, from here on.
    Scratch(usize),
}

type Entry<'py> = (Bound<'py, PyAny>, Bound<'py, PyAny>);

enum Values<'py> {
    /// One for each key of the block.
    Each(Vec<Bound<'py, PyAny>>),
    /// The same for all keys.
    Same(Bound<'py, PyAny>),
    /// How often each key of the block was met.
    Times(Vec<u64>),
    /// Once each.
    Once,
}

/// One batch on its way into a table.
pub struct Feed<'a, 'py> {
    py: Python<'py>,
    table: &'a mut Table,
    order: u64,
    keys: Vec<Bound<'py, PyAny>>,
    values: Values<'py>,
    places: Vec<Place>,
    scratch: Vec<u8>,
}

impl<'a, 'py> Feed<'a, 'py> {
    /// A batch from the item with this order.
    pub fn new(py: Python<'py>, table: &'a mut Table, order: u64) -> Self {
        let values = if table.how() == Reducer::Count { Values::Once } else { Values::Each(Vec::new()) };
        Self { py, table, order, keys: Vec::with_capacity(BLOCK), values, places: Vec::new(), scratch: Vec::new() }
    }

    /// Take it all. Raises: see `Combiner.add`.
    pub fn produced(mut self, produced: &Bound<'py, PyAny>) -> PyResult<()> {
        if produced.is_none() {
            return Ok(());
        }
        if let Some(done) = super::scanned::feed(produced, self.table, self.order) {
            return done;
        }
        let text = produced.is_instance_of::<PyString>() || produced.is_instance_of::<PyBytes>();
        if text || produced.is_instance_of::<PyByteArray>() {
            return Err(self.garbage(produced));
        }
        let counts = self.table.how() == Reducer::Count;
        if let Ok(mapping) = produced.cast::<PyDict>() {
            self.mapping(mapping, counts)?;
        } else if counts {
            self.keys(&column(produced)?)?;
        } else if let Ok(columns) = produced.cast::<PyTuple>() {
            self.columns(columns)?;
        } else {
            self.pairs(produced)?;
        }
        self.block()
    }

    fn garbage(&self, produced: &Bound<'_, PyAny>) -> PyErr {
        let kind = produced.get_type().name().map_or_else(|_| "?".into(), |name| name.to_string());
        let wanted = if self.table.how() == Reducer::Count {
            "a list or an iterator of keys, or a dict from key to count"
        } else {
            "(key, value) pairs, a dict, or a tuple of two columns"
        };
        PyTypeError::new_err(format!("a map function gives {wanted}, not {kind} ({})", shown(produced)))
    }

    fn mapping(&mut self, mapping: &Bound<'py, PyDict>, counts: bool) -> PyResult<()> {
        if !counts {
            return entries(mapping).try_for_each(|entry| entry.and_then(|(key, value)| self.pair(key, value)));
        }
        self.values = Values::Times(Vec::with_capacity(BLOCK));
        for entry in entries(mapping) {
            let (key, times) = entry?;
            let Ok(number) = times.extract::<u64>() else {
                return Err(PyTypeError::new_err(format!(
                    "count adds how often each key of a dict occurs, an int of 0 or more, not {} (at key {})",
                    shown(&times),
                    shown(&key)
                )));
            };
            if let Values::Times(all) = &mut self.values {
                all.push(number);
            }
            self.key(key)?;
        }
        Ok(())
    }

    fn keys(&mut self, keys: &Bound<'py, PyAny>) -> PyResult<()> {
        if let Ok(list) = keys.cast_exact::<PyList>() {
            let counted = if matches!(self.values, Values::Once) { self.count_texts(list)? } else { 0 };
            return list.iter().skip(counted).try_for_each(|key| self.key(key));
        }
        for key in iterator(keys).map_err(|_| self.garbage(keys))? {
            self.key(key?)?;
        }
        Ok(())
    }

    /// Count keys from the front of a list for as long as they are strs: the commonest batch of all, and a tenth faster
    /// when no reference is counted. Gives how many.
    fn count_texts(&mut self, list: &Bound<'py, PyList>) -> PyResult<usize> {
        let mut found: [(u64, &[u8]); BLOCK] = [(0, &[]); BLOCK];
        let mut counted = 0;
        while !FREE_THREADED && list.len() - counted >= BLOCK {
            for (index, place) in found.iter_mut().enumerate() {
                // SAFETY: the index is within the list. The str stays there, and its bytes with it, until the end of the
                // block: no Python code runs before, and no other thread, which would need the GIL.
                let Some(bytes) = (unsafe { text_at(list, counted + index) }) else { return Ok(counted) };
                let hash = Item { kind: Kind::Str, bytes }.hash();
                self.table.prefetch(hash);
                *place = (hash, bytes);
            }
            for (hash, _) in &found {
                self.table.prefetch_entry(*hash);
            }
            for (hash, bytes) in &found {
                self.table.count(*hash, &Item { kind: Kind::Str, bytes }, 1);
            }
            counted += BLOCK;
            self.table.taken(self.py, BLOCK)?;
        }
        Ok(counted)
    }

    fn columns(&mut self, columns: &Bound<'py, PyTuple>) -> PyResult<()> {
        let (Ok((keys, values)), 2) = (columns.extract::<(Bound<'py, PyAny>, Bound<'py, PyAny>)>(), columns.len())
        else {
            return Err(self.garbage(columns));
        };
        if keys.is_instance_of::<PyTuple>() && values.is_instance_of::<PyTuple>() {
            return Err(PyTypeError::new_err(
                "a map function gave two tuples, and two tuples may be two columns or two pairs: give lists for columns, \
                 or a list of pairs",
            ));
        }
        let keys = column(&keys)?;
        if values.get_type().fully_qualified_name()? == "itertools.repeat" {
            self.values = Values::Same(iterator(&values)?.next().ok_or_else(|| self.garbage(columns))??);
            return self.keys(&keys);
        }
        let values = column(&values)?;
        let (Ok(keys), Ok(values)) = (keys.cast::<PyList>(), values.cast::<PyList>()) else {
            return Err(self.garbage(columns));
        };
        if keys.len() != values.len() {
            return Err(PyValueError::new_err(format!(
                "a map function gave columns of different length: {} keys and {} values",
                keys.len(),
                values.len()
            )));
        }
        keys.iter().zip(values).try_for_each(|(key, value)| self.pair(key, value))
    }

    fn pairs(&mut self, pairs: &Bound<'py, PyAny>) -> PyResult<()> {
        for pair in iterator(pairs).map_err(|_| self.garbage(pairs))? {
            let pair = pair?;
            let two = match pair.cast::<PyTuple>() {
                Ok(tuple) if tuple.len() == 2 => Some((tuple.get_item(0)?, tuple.get_item(1)?)),
                _ => match pair.cast::<PyList>() {
                    Ok(list) if list.len() == 2 => Some((list.get_item(0)?, list.get_item(1)?)),
                    _ => None,
                },
            };
            let Some((key, value)) = two else {
                return Err(PyTypeError::new_err(format!(
                    "a map function yields (key, value) pairs, not {}{}",
                    shown(&pair),
                    if pair.is_instance_of::<PyString>() { "; reduce='count' takes keys alone" } else { "" }
                )));
            };
            self.pair(key, value)?;
        }
        Ok(())
    }

    #[inline]
    fn pair(&mut self, key: Bound<'py, PyAny>, value: Bound<'py, PyAny>) -> PyResult<()> {
        if let Values::Each(values) = &mut self.values {
            values.push(value);
        }
        self.key(key)
    }

    #[inline]
    fn key(&mut self, key: Bound<'py, PyAny>) -> PyResult<()> {
        self.keys.push(key);
        if self.keys.len() == BLOCK { self.block() } else { Ok(()) }
    }

    fn block(&mut self) -> PyResult<()> {
        self.places.clear();
        self.scratch.clear();
        for key in &self.keys {
            let place = place(key, &mut self.scratch)?;
            self.table.prefetch(place.hash);
            self.places.push(place);
        }
        for place in &self.places {
            self.table.prefetch_entry(place.hash);
        }
        for (index, place) in self.places.iter().enumerate() {
            let bytes = match place.start {
                // SAFETY: the bytes are those of a str's UTF-8 form, which lives as long as the str; `self.keys` holds it
                // until the end of the block.
                Start::Text(start) => unsafe { std::slice::from_raw_parts(start, place.length) },
                Start::Scratch(start) => &self.scratch[start..start + place.length],
            };
            let item = Item { kind: place.kind, bytes };
            match &self.values {
                Values::Once => self.table.count(place.hash, &item, 1),
                Values::Times(times) => self.table.count(place.hash, &item, times[index]),
                Values::Each(values) => self.table.add(place.hash, &item, &values[index], self.order)?,
                Values::Same(value) => self.table.add(place.hash, &item, value, self.order)?,
            }
        }
        let pairs = self.keys.len();
        self.keys.clear();
        match &mut self.values {
            Values::Each(values) => values.clear(),
            Values::Times(times) => times.clear(),
            Values::Same(_) | Values::Once => {}
        }
        self.table.taken(self.py, pairs)
    }
}

/// The UTF-8 of the exact str at this place of a list; None for anything else.
///
/// # Safety
/// The index is within the list. Nothing may change the list while the bytes are used.
#[inline]
unsafe fn text_at<'a>(list: &'a Bound<'_, PyList>, index: usize) -> Option<&'a [u8]> {
    // SAFETY: a live list and an index within it give a borrowed reference, which the list keeps alive by contract.
    unsafe {
        let object = ffi::PyList_GetItem(list.as_ptr(), index as ffi::Py_ssize_t);
        if ffi::Py_TYPE(object) != &raw mut ffi::PyUnicode_Type {
            return None;
        }
        let mut length: ffi::Py_ssize_t = 0;
        let start = ffi::PyUnicode_AsUTF8AndSize(object, &raw mut length);
        if start.is_null() {
            ffi::PyErr_Clear(); // lone surrogates: for whoever looks at it more closely
            return None;
        }
        Some(std::slice::from_raw_parts(start.cast(), length as usize))
    }
}

#[inline]
fn place(key: &Bound<'_, PyAny>, scratch: &mut Vec<u8>) -> PyResult<Place> {
    if let Ok(text) = key.cast_exact::<PyString>()
        && let Some(bytes) = utf8(text)
    {
        let hash = Item { kind: Kind::Str, bytes }.hash();
        return Ok(Place { hash, kind: Kind::Str, length: bytes.len(), start: Start::Text(bytes.as_ptr()) });
    }
    let start = scratch.len();
    let kind = payload(key, As::Key, scratch)?.ok_or_else(|| no_key(key))?;
    let hash = Item { kind, bytes: &scratch[start..] }.hash();
    Ok(Place { hash, kind, length: scratch.len() - start, start: Start::Scratch(start) })
}

/// The entries of a dict; an error when it was changed meanwhile, by `combine` or another thread. PyO3's iterator would
/// panic: when the length is another one, or when there turn out to be more entries than that.
fn entries<'a, 'py>(mapping: &'a Bound<'py, PyDict>) -> impl Iterator<Item = PyResult<Entry<'py>>> + 'a {
    let (length, mut inner) = (mapping.len(), mapping.iter());
    (0..length).map_while(move |_| {
        if mapping.len() == length {
            inner.next().map(Ok)
        } else {
            Some(Err(PyRuntimeError::new_err("the dict that a map function gave was changed while it was taken")))
        }
    })
}

/// An array of numpy, Arrow or polars as a list; anything else as it is.
fn column<'py>(values: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    if values.is_exact_instance_of::<PyList>() {
        return Ok(values.clone());
    }
    for method in ["tolist", "to_pylist", "to_list"] {
        if let Some(method) = values.getattr_opt(method)? {
            return method.call0();
        }
    }
    if values.is_instance_of::<PyTuple>() {
        Ok(values.cast::<PyTuple>()?.to_list().into_any())
    } else {
        Ok(values.clone())
    }
}

fn iterator<'py>(values: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyIterator>> {
    values.try_iter()
}
