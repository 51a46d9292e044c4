//! An answer made of a mapping that exists already: to save it for others, and to test what reads answers.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt;

use procession_gather::answer::{Answer, FIRST_PAGE, Shape};
use procession_gather::item::{Item, Kind};
use procession_gather::segment::{SegmentRef, SegmentWriter, Value};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyFloat, PyInt};

use super::items::{self, As};
use crate::errors;

/// A segment of about so many bytes is written, and the next one begun; arbitrary.
const SEGMENT: usize = 16 << 20;

/// A key, and where its value is.
struct Entry {
    hash: u64,
    kind: Kind,
    key: (usize, usize),
    value: Place,
}

enum Place {
    Int(i64),
    Float(f64),
    Bytes(usize, usize),
}

/// Pairs as they came, packed.
struct Pairs {
    shape: Shape,
    entries: Vec<Entry>,
    bytes: Vec<u8>,
    members: BTreeMap<u64, Vec<u8>>,
}

impl Pairs {
    fn add(&mut self, key: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>) -> PyResult<()> {
        let start = self.bytes.len();
        let kind = items::payload(key, As::Key, &mut self.bytes)?.ok_or_else(|| items::no_key(key))?;
        let end = self.bytes.len();
        let hash = Item { kind, bytes: &self.bytes[start..end] }.hash();
        let value = self.value(value)?;
        self.entries.push(Entry { hash, kind, key: (start, end), value });
        Ok(())
    }

    fn value(&mut self, value: &Bound<'_, PyAny>) -> PyResult<Place> {
        let start = self.bytes.len();
        match self.shape {
            Shape::Scalar => {
                if let Some(int) = value.cast_exact::<PyInt>().ok().and_then(|int| int.extract().ok()) {
                    return Ok(Place::Int(int));
                }
                if let Ok(float) = value.cast_exact::<PyFloat>() {
                    return Ok(Place::Float(float.value()));
                }
                items::pack_value(value, &mut self.bytes)?;
            }
            Shape::List => {
                for element in value.try_iter()? {
                    items::pack_value(&element?, &mut self.bytes)?;
                }
            }
            Shape::Set => {
                let mut fingerprints = Vec::new();
                for member in value.try_iter()? {
                    fingerprints.push(self.member(&member?)?);
                }
                fingerprints.sort_unstable();
                for hash in fingerprints {
                    self.bytes.extend_from_slice(&hash.to_le_bytes());
                }
            }
        }
        Ok(Place::Bytes(start, self.bytes.len()))
    }

    fn member(&mut self, member: &Bound<'_, PyAny>) -> PyResult<u64> {
        let mut packed = Vec::new();
        items::pack_value(member, &mut packed)?;
        let hash = unpacked(&packed)?.hash();
        if self.members.entry(hash).or_insert_with(|| packed.clone()) != &packed {
            return Err(PyValueError::new_err("two members of sets have the same fingerprint"));
        }
        Ok(hash)
    }

    fn key(&self, entry: &Entry) -> Item<'_> {
        Item { kind: entry.kind, bytes: &self.bytes[entry.key.0..entry.key.1] }
    }

    fn sort(&mut self) -> Result<(), usize> {
        let bytes = &self.bytes;
        let order = |entry: &Entry| (entry.hash, entry.kind, &bytes[entry.key.0..entry.key.1]);
        self.entries.sort_unstable_by(|a, b| order(a).cmp(&order(b)));
        let twice = self.entries.windows(2).position(|pair| order(&pair[0]) == order(&pair[1]));
        twice.map_or(Ok(()), Err)
    }

    fn write(&self, file: &File, meta: &[u8]) -> PyResult<()> {
        let mut out = Segments { file, end: FIRST_PAGE, writer: SegmentWriter::new(), refs: Vec::new() };
        for entry in &self.entries {
            let value = match &entry.value {
                Place::Int(number) => Value::Int(*number),
                Place::Float(number) => Value::Float(*number),
                Place::Bytes(start, end) => Value::Bytes(&self.bytes[*start..*end]),
            };
            out.push(entry.hash, self.key(entry), value)?;
        }
        let entries = out.finish()?;
        for (hash, packed) in &self.members {
            out.push(*hash, unpacked(packed)?, Value::Bytes(&[]))?;
        }
        let members = out.finish()?;
        Answer::seal(file, self.shape, meta, &entries, &members).map_err(|error| errors::system(&error))
    }
}

fn unpacked(packed: &[u8]) -> PyResult<Item<'_>> {
    Item::unpack(&mut &packed[..]).ok_or_else(|| PyValueError::new_err("a packed item is damaged"))
}

/// Writes segments one after another.
struct Segments<'a> {
    file: &'a File,
    end: u64,
    writer: SegmentWriter,
    refs: Vec<SegmentRef>,
}

impl Segments<'_> {
    fn push(&mut self, hash: u64, key: Item, value: Value) -> PyResult<()> {
        self.writer.push(hash, key, value);
        if self.writer.size() >= SEGMENT { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> PyResult<()> {
        let Some((bytes, segment)) = self.writer.take() else { return Ok(()) };
        self.file.write_all_at(&bytes, self.end).map_err(|error| errors::system(&error))?;
        self.refs.push(SegmentRef { offset: self.end, ..segment });
        self.end += segment.length;
        Ok(())
    }

    fn finish(&mut self) -> PyResult<Vec<SegmentRef>> {
        self.flush()?;
        Ok(std::mem::take(&mut self.refs))
    }
}

/// Write `pairs` (an iterable of key and value) to an empty file, as an answer.
pub fn build(file: &File, shape: Shape, meta: &[u8], pairs: &Bound<'_, PyAny>) -> PyResult<()> {
    let mut packed = Pairs { shape, entries: Vec::new(), bytes: Vec::new(), members: BTreeMap::new() };
    for (i, pair) in pairs.try_iter()?.enumerate() {
        let (key, value): (Bound<'_, PyAny>, Bound<'_, PyAny>) = pair?.extract()?;
        packed.add(&key, &value)?;
        if i % (1 << 16) == 0 {
            pairs.py().check_signals()?;
        }
    }
    if let Err(i) = packed.sort() {
        let key = items::item_to_python(pairs.py(), packed.key(&packed.entries[i]))?;
        return Err(PyValueError::new_err(format!(
            "two keys are stored alike: {}",
            items::shown(key.bind(pairs.py()))
        )));
    }
    pairs.py().detach(|| packed.write(file, meta))
}
