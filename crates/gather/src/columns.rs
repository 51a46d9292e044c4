//! The entries of an answer as a few long arrays, for libraries that compute on columns (numpy, Arrow).
//!
//! All in storage order, so that rows of one column belong to the same row of another. They are copies: an answer has
//! many segments, and columns are in one piece.

use crate::answer::Answer;
use crate::item::Kind;
use crate::view::Column;

/// A column of an answer.
#[derive(Debug, PartialEq, Eq)]
pub enum Array {
    /// i64, little endian.
    Ints(Vec<u8>),
    /// f64, little endian.
    Floats(Vec<u8>),
    /// Text or bytes: n + 1 offsets (i64, little endian), and what they point into.
    Packed(Vec<u8>, Vec<u8>),
}

impl Answer {
    /// All keys. None: they are not all int, all float, all str or all bytes, or the file is damaged.
    pub fn keys_array(&self) -> Option<Array> {
        let views = || self.entries.views.iter();
        match self.key_kind()? {
            kind @ (Kind::Int | Kind::Float) => {
                let mut numbers = Vec::with_capacity(8 * self.len() as usize);
                views().for_each(|view| numbers.extend_from_slice(view.key_bytes(self.file())));
                let whole = numbers.len() as u64 == 8 * self.len();
                whole.then_some(if kind == Kind::Int { Array::Ints(numbers) } else { Array::Floats(numbers) })
            }
            Kind::Str | Kind::Bytes => {
                let mut offsets = Vec::with_capacity(8 * (self.len() as usize + 1));
                let mut bytes = Vec::with_capacity(views().map(|view| view.key_bytes(self.file()).len()).sum());
                offsets.extend_from_slice(&[0; 8]);
                self.each_key(|_, key| {
                    bytes.extend_from_slice(key.bytes);
                    offsets.extend_from_slice(&(bytes.len() as i64).to_le_bytes());
                    Ok(())
                })
                .ok()?;
                Some(Array::Packed(offsets, bytes))
            }
            _ => None,
        }
    }

    /// All values. None: they are not all int or all float.
    pub fn values_array(&self) -> Option<Array> {
        let views = || self.entries.views.iter();
        let kind = views().next()?.values;
        if !matches!(kind, Column::Ints | Column::Floats) || !views().all(|view| view.values == kind) {
            return None;
        }
        let mut numbers = Vec::with_capacity(8 * self.len() as usize);
        views().for_each(|view| numbers.extend_from_slice(view.numbers(self.file())));
        Some(if kind == Column::Ints { Array::Ints(numbers) } else { Array::Floats(numbers) })
    }
}
