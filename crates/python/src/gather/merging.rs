//! `merge`: one range of the space of hashes from all runs, into an answer; and how runs come from other machines.

use procession_gather::item::Item;
use procession_gather::merge::{Fold, Members, Native, merge as merge_runs, scalar};
use procession_gather::parcel::{Packing, unpack};
use procession_gather::reduce::{Reducer, packed};
use procession_gather::run::{Run, SLOTS};
use procession_gather::segment::{SegmentRef, Value};
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList};

use super::combiner::reducer;
use super::failures::{Failure, opened, raised};
use super::items::{item_to_python, items_to_python, pack_value};
use crate::errors;

fn runs_of(run: &[u8]) -> PyResult<(Run, Run)> {
    let mut input = run;
    let damaged = || PyValueError::new_err("these bytes describe no run");
    Ok((Run::read(&mut input).ok_or_else(damaged)?, Run::read(&mut input).ok_or_else(damaged)?))
}

/// How many bytes a run has in each of the 256 slots of the space of hashes: of entries (0), or of members of sets (1).
#[pyfunction]
#[pyo3(signature = (run, which = 0))]
pub fn run_slots(run: &[u8], which: u8) -> PyResult<Vec<u64>> {
    let (entries, members) = runs_of(run)?;
    let run = if which == 0 { entries } else { members };
    Ok((0..SLOTS).map(|slot| run.size(slot, slot + 1)).collect())
}

/// Make a new, empty file ready for runs or for an answer. Once, before anyone else opens it.
#[pyfunction]
pub fn spool_init(spool: i32) -> PyResult<()> {
    opened(spool)?.init().map_err(|error| errors::system(&error))
}

/// Slots of runs as bytes, to be carried to another machine: one parcel for each range between neighbouring borders.
/// Raises: `OSError`.
#[pyfunction]
#[allow(clippy::needless_pass_by_value)] // PyO3 makes them
pub fn pack_runs(
    py: Python<'_>,
    spool: i32,
    runs: Vec<Vec<u8>>,
    borders: Vec<usize>,
) -> PyResult<Vec<Bound<'_, PyBytes>>> {
    let runs = runs.iter().map(|run| runs_of(run)).collect::<PyResult<Vec<_>>>()?;
    let spool = opened(spool)?;
    let parcel = |range: &[usize]| {
        check_slots(range[0], range[1])?;
        let packing = Packing::of(&runs, range[0], range[1]);
        PyBytes::new_with(py, packing.size(), |into| {
            py.detach(|| packing.fill(&spool, into)).map_err(|error| raised(py, error.into(), "", None))
        })
    };
    borders.windows(2).map(parcel).collect()
}

/// Append a parcel's runs to a spool; their descriptions, for `merge`. Raises: `OSError`; `RuntimeError` for what is no
/// parcel.
#[pyfunction]
pub fn unpack_runs<'py>(py: Python<'py>, spool: i32, parcel: &[u8]) -> PyResult<Vec<Bound<'py, PyBytes>>> {
    let spool = opened(spool)?;
    let runs = py.detach(|| unpack(parcel, &spool)).map_err(|error| raised(py, error.into(), "", None))?;
    let described = runs.iter().map(|(entries, members)| {
        let mut run = Vec::new();
        entries.write(&mut run);
        members.write(&mut run);
        PyBytes::new(py, &run)
    });
    Ok(described.collect())
}

/// Give back the memory of slots `low` to `high` (excluded) of a run: they have been merged, for good. `which` as below.
#[pyfunction]
pub fn forget_slots(spool: i32, run: &[u8], low: usize, high: usize, which: u8) -> PyResult<()> {
    let (entries, members) = runs_of(run)?;
    let spool = opened(spool)?;
    check_slots(low, high)?;
    let run = if which == 0 { entries } else { members };
    run.stretches(low, high).into_iter().for_each(|(offset, length)| spool.punch(offset, length));
    Ok(())
}

fn check_slots(low: usize, high: usize) -> PyResult<()> {
    if low <= high && high <= SLOTS { Ok(()) } else { Err(PyValueError::new_err("slots are numbered from 0 to 256")) }
}

/// Merge slots `low` to `high` (excluded) of the runs, given in the order in which they count; each is the index of its
/// spool and its description; about `memory` bytes are taken. `which`: the entries (0) or the members of sets (1). Writes segments into `answer` and
/// returns where they are, for `seal_answer`.
///
/// Raises: `OSError`; what `combine` or `reduce` raises, with a note that names the key; `TypeError` for values that the
/// reducer cannot take. What was written by then is forgotten with the file.
#[pyfunction]
#[allow(clippy::too_many_arguments, clippy::needless_pass_by_value)] // PyO3 makes them
pub fn merge<'py>(
    py: Python<'py>,
    reducer: &str,
    n: usize,
    combine: Option<Py<PyAny>>,
    reduce: Option<Py<PyAny>>,
    spools: Vec<i32>,
    runs: Vec<(usize, Vec<u8>)>,
    low: usize,
    high: usize,
    which: u8,
    answer: i32,
    memory: usize,
) -> PyResult<Bound<'py, PyBytes>> {
    let spools = spools.into_iter().map(opened).collect::<PyResult<Vec<_>>>()?;
    let described = runs.iter().map(|(_, run)| runs_of(run)).collect::<PyResult<Vec<_>>>()?;
    let mut pairs = Vec::new();
    for ((spool, _), run) in runs.iter().zip(&described) {
        let spool = spools.get(*spool).ok_or_else(|| PyValueError::new_err("a run names a spool that is not there"))?;
        pairs.push((spool, if which == 0 { &run.0 } else { &run.1 }));
    }
    check_slots(low, high)?;
    let answer = opened(answer)?;
    let how = self::reducer(reducer, n)?;
    let segments = if which == 1 {
        blamed(py, reducer, Members::default(), |fold| {
            py.detach(|| merge_runs(&pairs, low, high, fold, &answer, memory))
        })
    } else if let Some(combine) = combine {
        let fold = Combine { py, function: combine, first: Vec::new(), total: None, packed: Vec::new() };
        blamed(py, reducer, fold, |fold| merge_runs(&pairs, low, high, fold, &answer, memory))
    } else if let Some(reduce) = reduce {
        let fold = Grouped { py, values: Native::new(Reducer::List), reduce, packed: Vec::new() };
        blamed(py, reducer, fold, |fold| merge_runs(&pairs, low, high, fold, &answer, memory))
    } else if how == Reducer::Foreign {
        Err(PyRuntimeError::new_err("this reducer needs a function"))
    } else {
        blamed(py, reducer, Native::new(how), |fold| py.detach(|| merge_runs(&pairs, low, high, fold, &answer, memory)))
    }?;
    let bytes: Vec<u8> = segments.iter().flat_map(SegmentRef::to_bytes).collect();
    Ok(PyBytes::new(py, &bytes))
}

/// Run a merge whose fold remembers the key at which it failed.
fn blamed<F: Fold, R>(
    py: Python<'_>,
    how: &str,
    fold: F,
    run: impl FnOnce(&mut Blamed<F>) -> Result<R, F::Error>,
) -> PyResult<R>
where
    Failure: From<F::Error>,
{
    let mut fold = Blamed { fold, key: None };
    run(&mut fold).map_err(|error| {
        let key = fold.key.take();
        let key = key.as_ref().and_then(|packed| Item::unpack(&mut &packed[..]));
        raised(py, error.into(), how, key.as_ref())
    })
}

struct Blamed<F> {
    fold: F,
    key: Option<Vec<u8>>,
}

impl<F: Fold> Fold for Blamed<F> {
    type Error = F::Error;

    #[inline]
    fn absorb(&mut self, key: &Item, state: &[u8]) -> Result<(), F::Error> {
        self.fold.absorb(key, state).inspect_err(|_| self.key = Some(packed(key)))
    }

    #[inline]
    fn finish(&mut self, key: &Item) -> Result<Value<'_>, F::Error> {
        self.fold.finish(key).inspect_err(|_| self.key = Some(packed(key)))
    }
}

/// `combine(a, b)` in Python. A key that occurs in one run only is passed on as it is.
struct Combine<'py> {
    py: Python<'py>,
    function: Py<PyAny>,
    first: Vec<u8>,
    total: Option<Py<PyAny>>,
    packed: Vec<u8>,
}

impl Combine<'_> {
    fn unpack(&self, packed: &[u8]) -> PyResult<Py<PyAny>> {
        let item = Item::unpack(&mut &*packed).ok_or_else(|| PyRuntimeError::new_err("a run is damaged"))?;
        item_to_python(self.py, item)
    }
}

impl Fold for Combine<'_> {
    type Error = Failure;

    fn absorb(&mut self, _key: &Item, state: &[u8]) -> Result<(), Failure> {
        if self.first.is_empty() {
            self.first.extend_from_slice(state);
            return Ok(());
        }
        let so_far = match self.total.take() {
            Some(total) => total,
            None => self.unpack(&self.first)?,
        };
        self.total = Some(self.function.call1(self.py, (so_far, self.unpack(state)?))?);
        Ok(())
    }

    fn finish(&mut self, _key: &Item) -> Result<Value<'_>, Failure> {
        self.packed.clear();
        match self.total.take() {
            Some(total) => {
                pack_value(total.bind(self.py), &mut self.packed)?;
                self.first.clear();
            }
            None => self.packed.append(&mut self.first),
        }
        Ok(scalar(&self.packed))
    }
}

/// `reduce(key, values)` in Python.
struct Grouped<'py> {
    py: Python<'py>,
    values: Native,
    reduce: Py<PyAny>,
    packed: Vec<u8>,
}

impl Fold for Grouped<'_> {
    type Error = Failure;

    fn absorb(&mut self, key: &Item, state: &[u8]) -> Result<(), Failure> {
        Ok(self.values.absorb(key, state)?)
    }

    fn finish(&mut self, key: &Item) -> Result<Value<'_>, Failure> {
        let values = match self.values.finish(key)? {
            Value::Bytes(packed) => items_to_python(self.py, packed)?,
            _ => Vec::new(),
        };
        let values = PyList::new(self.py, values)?;
        let made = self.reduce.call1(self.py, (item_to_python(self.py, *key)?, values))?;
        self.packed.clear();
        pack_value(made.bind(self.py), &mut self.packed)?;
        Ok(scalar(&self.packed))
    }
}
