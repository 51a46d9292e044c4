//! What a scanner found (words, columns of a CSV file), into a table.

use procession_gather::item::{Item, Kind, canonical};
use procession_gather::num::Num;
use procession_gather::reduce::Reducer;
use procession_gather::text::Span;
use procession_gather::text::number::Number;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;

use super::combiner::Table;
use super::csv::PyColumns;
use super::failures::{Failure, raised};
use super::sink::PairSink;
use super::text::PyWords;

/// Spans in a block; see `feed`.
const BLOCK: usize = 32;

/// If `produced` is a scanner's batch: take it all.
pub fn feed(produced: &Bound<'_, PyAny>, table: &mut Table, order: u64) -> Option<PyResult<()>> {
    let py = produced.py();
    if let Ok(words) = produced.cast::<PyWords>() {
        let words = words.get();
        return Some(
            suits(table, "Words", words.has_values()).and_then(|()| words.feed(py, &mut Sink { py, table, order })),
        );
    }
    let columns = produced.cast::<PyColumns>().ok()?.get();
    Some(suits(table, "Columns", columns.has_values()).and_then(|()| columns.feed(py, &mut Sink { py, table, order })))
}

fn suits(table: &Table, what: &str, has_values: bool) -> PyResult<()> {
    match table.how() {
        Reducer::Foreign => Err(PyTypeError::new_err(format!("{what} cannot be given to combine=: name a reducer"))),
        Reducer::Count => Ok(()),
        _ if has_values => Ok(()),
        _ => {
            Err(PyTypeError::new_err(format!("{what} without a value has keys alone: only reduce='count' takes them")))
        }
    }
}

struct Sink<'a, 'py> {
    py: Python<'py>,
    table: &'a mut Table,
    order: u64,
}

impl Sink<'_, '_> {
    #[inline]
    fn blocks(
        &mut self,
        kind: Kind,
        text: &[u8],
        spans: &[Span],
        mut each: impl FnMut(&mut Table, u64, &Item, usize) -> Result<(), Failure>,
    ) -> PyResult<()> {
        let mut hashes = [0; BLOCK];
        let mut done = 0;
        for block in spans.chunks(BLOCK) {
            for (hash, span) in hashes.iter_mut().zip(block) {
                *hash = Item { kind, bytes: span.of(text) }.hash();
                self.table.prefetch(*hash);
            }
            for hash in &hashes[..block.len()] {
                self.table.prefetch_entry(*hash);
            }
            for (index, span) in block.iter().enumerate() {
                let key = Item { kind, bytes: span.of(text) };
                each(self.table, hashes[index], &key, done + index)
                    .map_err(|failure| raised(self.py, failure, self.table.name(), Some(&key)))?;
            }
            done += block.len();
            self.table.taken(self.py, block.len())?;
        }
        Ok(())
    }
}

impl PairSink for Sink<'_, '_> {
    fn keys(&mut self, kind: Kind, text: &[u8], spans: &[Span]) -> PyResult<()> {
        self.blocks(kind, text, spans, |table, hash, key, _| {
            table.count(hash, key, 1);
            Ok(())
        })
    }

    fn keys_with(&mut self, kind: Kind, text: &[u8], spans: &[Span], value: Item<'_>) -> PyResult<()> {
        let order = self.order;
        match self.table.how() {
            Reducer::Count => self.keys(kind, text, spans),
            Reducer::Set => {
                let fingerprint = value.hash();
                self.blocks(kind, text, spans, |table, hash, key, index| {
                    // Again for each block: a run written in between has taken the member along
                    if index.is_multiple_of(BLOCK) {
                        table.native().enter_member(&value);
                    }
                    table.native().member(hash, key, fingerprint);
                    Ok(())
                })
            }
            _ => self
                .blocks(kind, text, spans, |table, hash, key, _| Ok(table.native().add(hash, key, &value, order)?)),
        }
    }

    fn numbers(&mut self, kind: Kind, text: &[u8], spans: &[Span], numbers: &[Number]) -> PyResult<()> {
        let (order, how) = (self.order, self.table.how());
        self.blocks(kind, text, spans, |table, hash, key, index| {
            let number = match numbers[index] {
                Number::Int(int) => Num::Int(int.into()),
                Number::Float(float) => Num::Float(float, 0.0),
                Number::Empty | Number::Bad => return Ok(()),
            };
            match how {
                Reducer::Count => table.count(hash, key, 1),
                Reducer::Sum | Reducer::Mean | Reducer::Min | Reducer::Max => {
                    table.native().number(hash, key, number)?;
                }
                _ => {
                    let (kind, bytes) = match numbers[index] {
                        // The members of a set are found by their bytes, as keys are
                        Number::Float(float) if how == Reducer::Set => (Kind::Float, canonical(float).to_le_bytes()),
                        Number::Float(float) => (Kind::Float, float.to_le_bytes()),
                        Number::Int(int) => (Kind::Int, int.to_le_bytes()),
                        Number::Empty | Number::Bad => return Ok(()),
                    };
                    table.native().add(hash, key, &Item { kind, bytes: &bytes }, order)?;
                }
            }
            Ok(())
        })
    }
}
