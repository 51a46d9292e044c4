//! `Combiner`: a worker's table of pairs. It decides nothing but when it is full.

use std::sync::{Mutex, MutexGuard, TryLockError};

use procession_gather::item::Item;
use procession_gather::num::Num;
use procession_gather::reduce::{Combiner, Reducer};
use procession_gather::spool::Spool;
use pyo3::exceptions::{PyRuntimeError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyFloat, PyInt};

use super::failures::{Failure, opened, raised};
use super::feed::Feed;
use super::items::{As, pack_value, payload, shown};

/// What an object kept for `combine` is counted as; nobody knows its size, and `sys.getsizeof` knows little of it.
const OBJECT_BYTES: usize = 100;

/// The reducer of a name. Raises: `ValueError`.
pub fn reducer(name: &str, n: usize) -> PyResult<Reducer> {
    Ok(match name {
        "count" => Reducer::Count,
        "sum" => Reducer::Sum,
        "mean" => Reducer::Mean,
        "min" => Reducer::Min,
        "max" => Reducer::Max,
        "first" => Reducer::First,
        "list" | "reduce" => Reducer::List,
        "set" => Reducer::Set,
        "top" => Reducer::Top(n),
        "combine" => Reducer::Foreign,
        _ => return Err(PyValueError::new_err(format!("no reducer {name:?}"))),
    })
}

/// The table, the objects that `combine` made, and what was written of them.
pub struct Table {
    combiner: Combiner,
    name: String,
    objects: Vec<Option<Py<PyAny>>>,
    combine: Option<Py<PyAny>>,
    spool: Spool,
    limit: usize,
    runs: Vec<Vec<u8>>,
    pairs: u64,
    spilled: u64,
    bytes: Vec<u8>,
    /// A run could not be written: its pairs are lost.
    failed: bool,
    /// The last member of sets and its fingerprint: with an inverted index it is the same file for thousands of words.
    member: Option<(Py<PyAny>, u64)>,
}

impl Table {
    /// What it makes of values.
    pub fn how(&self) -> Reducer {
        self.combiner.how()
    }

    /// The reducer's name, for messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The native side, for pairs that are packed already.
    pub fn native(&mut self) -> &mut Combiner {
        &mut self.combiner
    }

    /// Have the slot of a hash brought nearer.
    #[inline]
    pub fn prefetch(&self, hash: u64) {
        self.combiner.table().prefetch(hash);
    }

    /// Have the entry of a hash brought nearer.
    #[inline]
    pub fn prefetch_entry(&self, hash: u64) {
        self.combiner.table().prefetch_entry(hash);
    }

    /// A key to be counted.
    #[inline]
    pub fn count(&mut self, hash: u64, key: &Item, times: u64) {
        self.combiner.count(hash, key, times);
    }

    /// A pair whose value is an object. Raises: what `combine` raises; `TypeError` for a value the reducer cannot take.
    #[inline]
    pub fn add(&mut self, hash: u64, key: &Item, value: &Bound<'_, PyAny>, order: u64) -> PyResult<()> {
        let py = value.py();
        let done = match self.combiner.how() {
            Reducer::Foreign => self.combine(hash, key, value).map_err(Failure::Raised),
            Reducer::Set => self.member(hash, key, value).map_err(Failure::Raised),
            how if is_numeric(how) && value.is_exact_instance_of::<PyFloat>() => {
                self.combiner.number(hash, key, Num::Float(value.extract()?, 0.0)).map_err(Failure::Gather)
            }
            how if is_numeric(how) && value.is_exact_instance_of::<PyInt>() => match value.extract::<i64>() {
                Ok(int) => self.combiner.number(hash, key, Num::Int(int.into())).map_err(Failure::Gather),
                Err(_) => self.add_packed(hash, key, value, order),
            },
            _ => self.add_packed(hash, key, value, order),
        };
        done.map_err(|failure| raised(py, failure, &self.name, Some(key)))
    }

    fn add_packed(&mut self, hash: u64, key: &Item, value: &Bound<'_, PyAny>, order: u64) -> Result<(), Failure> {
        let mut bytes = std::mem::take(&mut self.bytes);
        bytes.clear();
        let kind = match self.combiner.how() {
            // What comes back must be what went in, whatever it is
            Reducer::First | Reducer::List => {
                pack_value(value, &mut bytes)?;
                let mut input = &bytes[..];
                let Some(item) = Item::unpack(&mut input) else { return Ok(()) };
                self.combiner.add(hash, key, &item, order)?;
                self.bytes = bytes;
                return Ok(());
            }
            // What is compared goes by value, as a key does
            _ => payload(value, As::Key, &mut bytes)?.ok_or_else(|| self.not_taken(value))?,
        };
        self.combiner.add(hash, key, &Item { kind, bytes: &bytes }, order)?;
        self.bytes = bytes;
        Ok(())
    }

    #[inline]
    fn member(&mut self, hash: u64, key: &Item, value: &Bound<'_, PyAny>) -> PyResult<()> {
        let fingerprint = match &self.member {
            Some((member, fingerprint)) if value.is(member) => *fingerprint,
            _ => {
                let mut bytes = std::mem::take(&mut self.bytes);
                bytes.clear();
                let kind = payload(value, As::Key, &mut bytes)?.ok_or_else(|| self.not_taken(value))?;
                let fingerprint = self.combiner.enter_member(&Item { kind, bytes: &bytes });
                self.bytes = bytes;
                self.member = Some((value.clone().unbind(), fingerprint));
                fingerprint
            }
        };
        self.combiner.member(hash, key, fingerprint);
        Ok(())
    }

    #[cold]
    fn not_taken(&self, value: &Bound<'_, PyAny>) -> PyErr {
        let takes = if is_numeric(self.how()) { "int and float" } else { "str, bytes, numbers and tuples of these" };
        let kind = value.get_type().fully_qualified_name().map_or_else(|_| "?".into(), |name| name.to_string());
        let name = &self.name;
        let shown = shown(value);
        PyTypeError::new_err(format!("{name} takes {takes}, not {kind} ({shown}): or give combine= a function"))
    }

    fn combine(&mut self, hash: u64, key: &Item, value: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = value.py();
        let (state, new) = self.combiner.foreign(hash, key);
        if new {
            *state = self.objects.len() as u64;
            self.objects.push(Some(value.clone().unbind()));
            return Ok(());
        }
        let place = &mut self.objects[*state as usize];
        if let (Some(so_far), Some(combine)) = (place.take(), &self.combine) {
            *place = Some(combine.call1(py, (so_far, value))?);
        }
        Ok(())
    }

    /// So many pairs were taken: write a run if there is no more room.
    #[inline]
    pub fn taken(&mut self, py: Python<'_>, pairs: usize) -> PyResult<()> {
        self.pairs += pairs as u64;
        if self.size() >= self.limit { self.spill(py) } else { Ok(()) }
    }

    fn size(&self) -> usize {
        self.combiner.size() + self.objects.len() * OBJECT_BYTES
    }

    #[cold]
    fn spill(&mut self, py: Python<'_>) -> PyResult<()> {
        let size = self.flush(py)?;
        self.spilled += size;
        Ok(())
    }

    fn flush(&mut self, py: Python<'_>) -> PyResult<u64> {
        if self.combiner.is_empty() {
            return Ok(0);
        }
        self.member = None; // the run takes it along
        let (combiner, spool) = (&mut self.combiner, &self.spool);
        let written = if combiner.how() == Reducer::Foreign {
            let objects = std::mem::take(&mut self.objects);
            combiner.flush(spool, |index, _, out| match &objects[index as usize] {
                Some(object) => Ok(pack_value(object.bind(py), out)?),
                None => Err(Failure::Raised(PyRuntimeError::new_err("combine raised before; this table is of no use"))),
            })
        } else {
            py.detach(|| combiner.flush(spool, |_, _, _| Ok::<(), Failure>(())))
        };
        self.failed = written.is_err();
        let (entries, members) = written.map_err(|failure| raised(py, failure, &self.name, None))?;
        let mut run = Vec::new();
        entries.write(&mut run);
        members.write(&mut run);
        self.runs.push(run);
        Ok(entries.length() + members.length())
    }
}

fn is_numeric(how: Reducer) -> bool {
    matches!(how, Reducer::Sum | Reducer::Mean | Reducer::Min | Reducer::Max)
}

/// A worker's pairs, combined by key; written as runs, sorted, to a spool.
#[pyclass(frozen, module = "procession._native", name = "Combiner")]
pub struct PyCombiner(Mutex<Table>);

fn useless() -> PyErr {
    PyRuntimeError::new_err("this Combiner failed before, and lost what it held")
}

impl PyCombiner {
    fn lock(&self) -> PyResult<MutexGuard<'_, Table>> {
        self.0.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => PyRuntimeError::new_err("this Combiner is in use: each worker has its own"),
            TryLockError::Poisoned(_) => useless(),
        })
    }

    /// For what adds or writes.
    fn whole(&self) -> PyResult<MutexGuard<'_, Table>> {
        let table = self.lock()?;
        if table.failed { Err(useless()) } else { Ok(table) }
    }
}

#[pymethods]
impl PyCombiner {
    #[new]
    #[pyo3(signature = (reducer, n, combine, spool, limit_bytes))]
    fn new(reducer: &str, n: usize, combine: Option<Py<PyAny>>, spool: i32, limit_bytes: usize) -> PyResult<Self> {
        Ok(Self(Mutex::new(Table {
            combiner: Combiner::new(self::reducer(reducer, n)?),
            name: reducer.to_owned(),
            objects: Vec::new(),
            combine,
            spool: opened(spool)?,
            limit: limit_bytes,
            runs: Vec::new(),
            pairs: 0,
            spilled: 0,
            bytes: Vec::new(),
            failed: false,
            member: None,
        })))
    }

    /// Take what a map function gave for the item with this order; how many pairs that was.
    ///
    /// Raises: `TypeError` for anything that is no batch of keys or pairs, and naming the key, for a value the reducer
    /// cannot take; `OSError` (`ENOSPC`) when a run cannot be written; what an iterator or `combine` raises. What was
    /// taken before stays in the table: after an error it is of no use.
    fn add(&self, py: Python<'_>, produced: &Bound<'_, PyAny>, order: u64) -> PyResult<u64> {
        let mut table = self.whole()?;
        let before = table.pairs;
        Feed::new(py, &mut table, order).produced(produced)?;
        Ok(table.pairs - before)
    }

    /// Write what is in the table as a run. Nothing happens if it is empty. Raises: `OSError`, `PicklingError`.
    fn flush(&self, py: Python<'_>) -> PyResult<()> {
        self.whole()?.flush(py).map(drop)
    }

    /// Descriptions of the runs written so far, for `merge`.
    #[getter]
    fn runs<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyBytes>>> {
        Ok(self.lock()?.runs.iter().map(|run| PyBytes::new(py, run)).collect())
    }

    /// Bytes the table takes.
    #[getter]
    fn nbytes(&self) -> PyResult<usize> {
        Ok(self.lock()?.size())
    }

    /// Pairs ever taken.
    #[getter]
    fn pairs(&self) -> PyResult<u64> {
        Ok(self.lock()?.pairs)
    }

    /// Different keys in the table.
    #[getter]
    fn keys(&self) -> PyResult<usize> {
        Ok(self.lock()?.combiner.len())
    }

    /// Bytes written because the table was full.
    #[getter]
    fn spilled_bytes(&self) -> PyResult<u64> {
        Ok(self.lock()?.spilled)
    }
}
