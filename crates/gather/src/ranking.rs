//! Putting the entries of an answer in an order: all of them by key, or a few by value.
//!
//! Ascending keys are a permutation of the entries' numbers. Keys of one simple kind are sorted by their first eight
//! bytes as one number, a dense array of pairs, and only where those are equal by the rest; others by a merge sort that
//! stops at the first two keys without an order. (The standard library's sort wants a total order and may panic.)
//! The largest values come from a heap of n over the column: one pass, and keys are looked at only for ties.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use crate::answer::{Answer, Shape};
use crate::item::{Item, Kind, Unorderable};
use crate::segment::Value;

/// Why entries could not be put in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoRanking {
    /// The keys of these two entries have no order.
    Keys(u64, u64),
    /// The value of this entry is no number.
    Value(u64),
    /// This entry cannot be read.
    Damaged(u64),
}

impl Answer {
    /// The numbers of all entries, by ascending key. Takes 16 bytes an entry while it works, 32 for keys of mixed kinds
    /// and tuples.
    pub fn order(&self) -> Result<Vec<u64>, NoRanking> {
        match self.key_kind() {
            Some(Kind::Str | Kind::Bytes) => self.order_by(false, |key| {
                let mut prefix = [0; 8];
                let n = key.bytes.len().min(8);
                prefix[..n].copy_from_slice(&key.bytes[..n]);
                Some(u64::from_be_bytes(prefix))
            }),
            Some(Kind::Int) => self.order_by(true, |key| key.as_int().map(|number| number as u64 ^ 1 << 63)),
            _ => self.order_by_comparing(),
        }
    }

    /// Sort by a number for each key; with `exact`, different keys have different ones.
    fn order_by(&self, exact: bool, number: impl Fn(&Item) -> Option<u64>) -> Result<Vec<u64>, NoRanking> {
        let mut pairs = Vec::with_capacity(self.len() as usize);
        self.each_key(|i, key| {
            pairs.push((number(&key).ok_or(NoRanking::Damaged(i))?, i));
            Ok(())
        })?;
        pairs.sort_unstable_by_key(|pair| pair.0);
        if !exact {
            let mut ties: Vec<(&[u8], u64)> = Vec::new();
            for run in pairs.chunk_by_mut(|a, b| a.0 == b.0).filter(|run| run.len() > 1) {
                ties.clear();
                for (_, i) in &*run {
                    ties.push((self.key(*i).ok_or(NoRanking::Damaged(*i))?.bytes, *i));
                }
                ties.sort_unstable();
                run.iter_mut().zip(&ties).for_each(|(place, tie)| place.1 = tie.1);
            }
        }
        Ok(pairs.into_iter().map(|pair| pair.1).collect())
    }

    fn order_by_comparing(&self) -> Result<Vec<u64>, NoRanking> {
        let mut keys = Vec::with_capacity(self.len() as usize);
        self.each_key(|i, key| {
            keys.push((i, key));
            Ok(())
        })?;
        merge_sort(&mut keys, |a, b| a.1.compare(&b.1).map_err(|Unorderable| NoRanking::Keys(a.0, b.0)))?;
        Ok(keys.into_iter().map(|(i, _)| i).collect())
    }

    /// Call `with` for each key, in storage order.
    pub fn each_key<'a>(
        &'a self,
        mut with: impl FnMut(u64, Item<'a>) -> Result<(), NoRanking>,
    ) -> Result<(), NoRanking> {
        let mut number = 0;
        for view in &self.entries.views {
            for i in 0..view.entries {
                with(number, view.key(self.file(), i).ok_or(NoRanking::Damaged(number))?)?;
                number += 1;
            }
        }
        Ok(())
    }

    /// The kind of all keys. None: there are several, or no keys.
    pub fn key_kind(&self) -> Option<Kind> {
        let mut kinds = self.entries.views.iter().map(|view| view.key_kind);
        let first = kinds.next()??;
        kinds.all(|kind| kind == Some(first)).then_some(first)
    }

    /// The numbers of the n entries with the largest values, the largest first: numbers by size (a NaN is below all),
    /// lists and sets by how many members they have. Ties go to the smaller key, or the earlier entry where keys have
    /// no order.
    pub fn top(&self, n: usize) -> Result<Vec<u64>, NoRanking> {
        let mut best: BinaryHeap<Candidate> = BinaryHeap::new();
        let mut number = 0;
        for view in &self.entries.views {
            for i in 0..view.entries {
                let index = number;
                number += 1;
                let value = view.value(self.file(), i).ok_or(NoRanking::Damaged(index))?;
                let rank = Rank::of(self.shape(), value).ok_or(NoRanking::Value(index))?;
                let full = best.len() >= n;
                if full && best.peek().is_none_or(|worst| rank.compare(&worst.rank).is_lt()) {
                    continue;
                }
                let key = view.key(self.file(), i).ok_or(NoRanking::Damaged(index))?;
                best.push(Candidate { rank, key, index });
                if full {
                    best.pop();
                }
            }
        }
        Ok(best.into_sorted_vec().into_iter().map(|candidate| candidate.index).collect())
    }
}

/// What a value counts for.
#[derive(Clone, Copy)]
enum Rank<'a> {
    Int(i64),
    Float(f64),
    Big(Item<'a>),
}

impl<'a> Rank<'a> {
    #[inline]
    fn of(shape: Shape, value: Value<'a>) -> Option<Self> {
        let bytes = match value {
            Value::Int(number) => return Some(Self::Int(number)),
            Value::Float(number) => return Some(Self::Float(number)),
            Value::Bytes(bytes) => bytes,
        };
        let mut rest = bytes;
        match shape {
            Shape::Set => Some(Self::Int((bytes.len() / 8) as i64)),
            Shape::List => {
                let mut count = 0;
                while !rest.is_empty() {
                    Item::unpack(&mut rest)?;
                    count += 1;
                }
                Some(Self::Int(count))
            }
            Shape::Scalar => {
                let item = Item::unpack(&mut rest)?;
                match item.kind {
                    Kind::BigInt => Some(Self::Big(item)),
                    Kind::Float => item.as_float().map(Self::Float),
                    _ => item.as_int().map(Self::Int),
                }
            }
        }
    }

    #[inline]
    fn compare(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Int(a), Self::Int(b)) => a.cmp(b),
            _ => self.with_item(|a| other.with_item(|b| a.compare(&b))).unwrap_or_else(|Unorderable| {
                other.is_nan().cmp(&self.is_nan()) // a NaN is below all else
            }),
        }
    }

    fn is_nan(&self) -> bool {
        matches!(self, Self::Float(number) if number.is_nan())
    }

    fn with_item<R>(&self, with: impl FnOnce(Item) -> R) -> R {
        match self {
            Self::Int(number) => with(Item { kind: Kind::Int, bytes: &number.to_le_bytes() }),
            Self::Float(number) => with(Item { kind: Kind::Float, bytes: &number.to_le_bytes() }),
            Self::Big(item) => with(*item),
        }
    }
}

/// An entry that may be among the largest. The worse one is the greater, because a heap shows its greatest.
struct Candidate<'a> {
    rank: Rank<'a>,
    key: Item<'a>,
    index: u64,
}

impl Ord for Candidate<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        let keys = || self.key.compare(&other.key).unwrap_or(Ordering::Equal);
        other.rank.compare(&self.rank).then_with(keys).then_with(|| self.index.cmp(&other.index))
    }
}

impl PartialOrd for Candidate<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Candidate<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Candidate<'_> {}

/// Sort from the bottom up, stable; ends at the first comparison that fails. Any two neighbours of the result have been
/// compared, so elements without an order are always found.
fn merge_sort<T: Copy, E>(items: &mut Vec<T>, compare: impl Fn(&T, &T) -> Result<Ordering, E>) -> Result<(), E> {
    let mut from = std::mem::take(items);
    let mut into = Vec::with_capacity(from.len());
    let mut width = 1;
    while width < from.len() {
        into.clear();
        for pair in from.chunks(2 * width) {
            let (mut left, mut right) = pair.split_at(width.min(pair.len()));
            while let ([a, left_rest @ ..], [b, right_rest @ ..]) = (left, right) {
                if compare(a, b)?.is_gt() {
                    into.push(*b);
                    right = right_rest;
                } else {
                    into.push(*a);
                    left = left_rest;
                }
            }
            into.extend_from_slice(left);
            into.extend_from_slice(right);
        }
        std::mem::swap(&mut from, &mut into);
        width *= 2;
    }
    *items = from;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_merge_sort_sorts_and_is_stable() {
        let mut state = 7u64;
        for n in 0..200usize {
            let mut items: Vec<(u64, usize)> = (0..n)
                .map(|i| {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    (state >> 60, i)
                })
                .collect();
            let mut expected = items.clone();
            expected.sort_by_key(|item| item.0);
            assert_eq!(merge_sort(&mut items, |a, b| Ok::<_, ()>(a.0.cmp(&b.0))), Ok(()));
            assert_eq!(items, expected);
        }
        assert_eq!(merge_sort(&mut vec![1, 2], |_, _| Err("no order")), Err("no order"));
    }

    #[test]
    fn a_nan_ranks_below_everything() {
        let nan = Rank::Float(f64::NAN);
        for other in [Rank::Int(i64::MIN), Rank::Float(f64::NEG_INFINITY)] {
            assert!(nan.compare(&other).is_lt() && other.compare(&nan).is_gt());
        }
        assert!(nan.compare(&nan).is_eq());
        assert!(Rank::Int((1 << 53) + 1).compare(&Rank::Float(9_007_199_254_740_992.0)).is_gt());
    }
}
