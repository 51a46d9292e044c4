//! Where batches of pairs go: into a combiner, or into a list for whoever tests a job.
//!
//! A call per batch of some hundred keys, because one through a `dyn` for each word would cost as much as finding it.

use procession_gather::item::{Item, Kind};
use procession_gather::text::Span;
use procession_gather::text::number::Number;
use pyo3::prelude::*;
use pyo3::types::PyList;

use super::items::item_to_python;

/// Takes keys, or pairs, that a scanner found. All keys of a batch are of one kind, their payloads are spans of `text`,
/// and `text` goes on for `procession_gather::text::words::SLACK` bytes behind the last.
pub trait PairSink {
    /// Keys without values.
    fn keys(&mut self, kind: Kind, text: &[u8], spans: &[Span]) -> PyResult<()>;

    /// Keys with the same value each.
    fn keys_with(&mut self, kind: Kind, text: &[u8], spans: &[Span], value: Item<'_>) -> PyResult<()>;

    /// Keys with a number each, none of them `Empty` or `Bad`.
    fn numbers(&mut self, kind: Kind, text: &[u8], spans: &[Span], numbers: &[Number]) -> PyResult<()>;
}

/// A list of keys, or of pairs.
pub struct ListSink<'py>(pub Bound<'py, PyList>);

impl ListSink<'_> {
    fn pairs(
        &self,
        kind: Kind,
        text: &[u8],
        spans: &[Span],
        value: impl Fn(usize) -> PyResult<Py<PyAny>>,
    ) -> PyResult<()> {
        for (i, span) in spans.iter().enumerate() {
            let key = item_to_python(self.0.py(), Item { kind, bytes: span.of(text) })?;
            self.0.append((key, value(i)?))?;
        }
        Ok(())
    }
}

impl PairSink for ListSink<'_> {
    fn keys(&mut self, kind: Kind, text: &[u8], spans: &[Span]) -> PyResult<()> {
        for span in spans {
            self.0.append(item_to_python(self.0.py(), Item { kind, bytes: span.of(text) })?)?;
        }
        Ok(())
    }

    fn keys_with(&mut self, kind: Kind, text: &[u8], spans: &[Span], value: Item<'_>) -> PyResult<()> {
        let value = item_to_python(self.0.py(), value)?;
        self.pairs(kind, text, spans, |_| Ok(value.clone_ref(self.0.py())))
    }

    fn numbers(&mut self, kind: Kind, text: &[u8], spans: &[Span], numbers: &[Number]) -> PyResult<()> {
        let py = self.0.py();
        self.pairs(kind, text, spans, |i| {
            Ok(match numbers[i] {
                Number::Int(int) => int.into_pyobject(py)?.into_any().unbind(),
                Number::Float(float) => float.into_pyobject(py)?.into_any().unbind(),
                Number::Empty | Number::Bad => py.None(),
            })
        })
    }
}
