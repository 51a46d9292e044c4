//! Numbers being added up or compared: three words, exact for integers, nearly so for floats.
//!
//! | word | meaning |
//! | --- | --- |
//! | 0 | bits 0..8: the tag; above: how many values were taken |
//! | 1, 2 | an i128, low word first; or two f64, the sum and what rounding took from it |
//!
//! A sum of floats keeps the rounding error of each addition (Neumaier, 1974), so it hardly depends on the order in
//! which workers added; a sum of integers is exact up to 127 bits. A sum of both is a float, as in Python.

use std::cmp::Ordering;

use crate::error::GatherError;
use crate::item::{Item, Kind, canonical, compare_int_float, shorten};

/// What words 1 and 2 hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tag {
    Empty = 0,
    Int = 1,
    Float = 2,
}

const TAG_BITS: u32 = 8;

/// The three words, taken apart.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Num {
    /// No value yet.
    Empty,
    /// Integers only so far.
    Int(i128),
    /// The sum, and the error of it.
    Float(f64, f64),
}

/// The number of words a number takes.
pub(crate) const WORDS: usize = 3;

impl Num {
    /// A value as a number: an int (up to 127 bits), a float or a bool.
    pub fn of(item: &Item) -> Result<Self, GatherError> {
        let wrong = || {
            let mut packed = Vec::new();
            item.pack(&mut packed);
            GatherError::NotANumber(packed)
        };
        match item.kind {
            Kind::Float => item.as_float().map(|value| Self::Float(value, 0.0)).ok_or_else(wrong),
            Kind::BigInt if item.bytes.len() > 16 => Err(GatherError::Overflow),
            Kind::BigInt => {
                let sign = if item.bytes.last().is_some_and(|byte| byte & 0x80 != 0) { 0xff } else { 0 };
                let mut bytes = [sign; 16];
                bytes[..item.bytes.len()].copy_from_slice(item.bytes);
                Ok(Self::Int(i128::from_le_bytes(bytes)))
            }
            _ => item.as_int().map(|value| Self::Int(value.into())).ok_or_else(wrong),
        }
    }

    /// The number in three words, and how many values it was made of.
    #[inline]
    pub fn load(words: &[u64]) -> (Self, u64) {
        let count = words[0] >> TAG_BITS;
        let num = match words[0] & ((1 << TAG_BITS) - 1) {
            1 => Self::Int((u128::from(words[1]) | u128::from(words[2]) << 64) as i128),
            2 => Self::Float(f64::from_bits(words[1]), f64::from_bits(words[2])),
            _ => Self::Empty,
        };
        (num, count)
    }

    /// Write it into three words.
    #[inline]
    pub fn store(self, count: u64, words: &mut [u64]) {
        let tag = match self {
            Self::Empty => Tag::Empty,
            Self::Int(value) => {
                words[1] = value as u64;
                words[2] = (value >> 64) as u64;
                Tag::Int
            }
            Self::Float(sum, error) => {
                words[1] = sum.to_bits();
                words[2] = error.to_bits();
                Tag::Float
            }
        };
        words[0] = count << TAG_BITS | tag as u64;
    }

    /// The sum of two.
    #[inline]
    pub fn plus(self, other: Self) -> Result<Self, GatherError> {
        Ok(match (self, other) {
            (Self::Empty, any) | (any, Self::Empty) => any,
            (Self::Int(a), Self::Int(b)) => Self::Int(a.checked_add(b).ok_or(GatherError::Overflow)?),
            (a, b) => {
                let ((a, lost_a), (b, lost_b)) = (a.as_floats(), b.as_floats());
                let (sum, lost) = two_sum(a, b);
                if sum.is_finite() { Self::Float(sum, lost + lost_a + lost_b) } else { Self::Float(sum, 0.0) }
            }
        })
    }

    /// The smaller (or the larger) of two; a NaN loses against everything.
    #[inline]
    #[must_use]
    pub fn pick(self, other: Self, wanted: Ordering) -> Self {
        match self.compare(other) {
            Some(order) if order == wanted || order == Ordering::Equal => self,
            Some(_) => other,
            None if self.is_nan() || self == Self::Empty => other,
            None => self,
        }
    }

    fn compare(self, other: Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Int(a), Self::Int(b)) => Some(a.cmp(&b)),
            (Self::Float(a, _), Self::Float(b, _)) => a.partial_cmp(&b),
            (Self::Int(a), Self::Float(b, _)) => compare_int_float(a, b).ok(),
            (Self::Float(a, _), Self::Int(b)) => compare_int_float(b, a).ok().map(Ordering::reverse),
            _ => None,
        }
    }

    fn is_nan(self) -> bool {
        matches!(self, Self::Float(value, _) if value.is_nan())
    }

    /// As a float, and what the float lacks.
    fn as_floats(self) -> (f64, f64) {
        match self {
            Self::Empty => (0.0, 0.0),
            Self::Int(value) => {
                let near = value as f64;
                (near, value.checked_sub(near as i128).unwrap_or(0) as f64)
            }
            Self::Float(sum, lost) => (sum, lost),
        }
    }

    /// Divided by a number of values.
    pub fn mean(self, count: u64) -> f64 {
        let (sum, lost) = self.as_floats();
        canonical((sum + lost) / count as f64)
    }

    /// What it comes to: an i64, an f64, or packed when it is larger.
    pub fn total(self, scratch: &mut Vec<u8>) -> Total<'_> {
        match self {
            Self::Empty => Total::Int(0),
            Self::Int(value) => {
                if let Ok(value) = i64::try_from(value) {
                    return Total::Int(value);
                }
                let mut bytes = value.to_le_bytes().to_vec();
                shorten(&mut bytes);
                scratch.clear();
                Item { kind: Kind::BigInt, bytes: &bytes }.pack(scratch);
                Total::Packed(scratch)
            }
            Self::Float(sum, lost) => Total::Float(canonical(sum + lost)),
        }
    }
}

/// See [`Num::total`].
#[derive(Debug, PartialEq)]
pub enum Total<'a> {
    /// Fits.
    Int(i64),
    /// A float.
    Float(f64),
    /// A packed BigInt.
    Packed(&'a [u8]),
}

/// The rounded sum and what the rounding took (Knuth).
#[inline]
fn two_sum(a: f64, b: f64) -> (f64, f64) {
    let sum = a + b;
    let part = sum - a;
    (sum, (a - (sum - part)) + (b - part))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(values: &[Num]) -> Num {
        values.iter().try_fold(Num::Empty, |sum, value| sum.plus(*value)).unwrap()
    }

    #[test]
    fn a_sum_of_floats_loses_nothing_to_rounding() {
        let values: Vec<Num> = [1e100, 1.0, -1e100].iter().map(|value| Num::Float(*value, 0.0)).collect();
        assert_eq!(add(&values).total(&mut Vec::new()), Total::Float(1.0));
        let tenths = vec![Num::Float(0.1, 0.0); 10];
        assert_eq!(add(&tenths).total(&mut Vec::new()), Total::Float(1.0));
    }

    #[test]
    fn a_sum_of_ints_is_exact_and_one_beyond_127_bits_is_an_error() {
        let large = add(&[Num::Int(i64::MAX.into()), Num::Int(1)]);
        let mut scratch = Vec::new();
        let Total::Packed(packed) = large.total(&mut scratch) else { panic!("must not fit") };
        let item = Item::unpack(&mut &*packed).unwrap();
        assert_eq!((item.kind, item.bytes.len()), (Kind::BigInt, 9));
        assert_eq!(Num::of(&item).unwrap(), large);
        assert!(matches!(Num::Int(i128::MAX).plus(Num::Int(1)), Err(GatherError::Overflow)));
    }

    #[test]
    fn infinities_and_nans_go_on_as_in_python() {
        let inf = Num::Float(f64::INFINITY, 0.0);
        assert_eq!(add(&[inf, Num::Float(1.0, 0.0), Num::Int(3)]).total(&mut Vec::new()), Total::Float(f64::INFINITY));
        let Total::Float(nan) = add(&[inf, Num::Float(f64::NEG_INFINITY, 0.0)]).total(&mut Vec::new()) else {
            panic!()
        };
        assert!(nan.is_nan());
    }

    #[test]
    fn the_smaller_is_picked_and_a_nan_loses() {
        let (one, half, nan) = (Num::Int(1), Num::Float(0.5, 0.0), Num::Float(f64::NAN, 0.0));
        assert_eq!(one.pick(half, Ordering::Less), half);
        assert_eq!(one.pick(half, Ordering::Greater), one);
        assert_eq!(nan.pick(one, Ordering::Less), one);
        assert_eq!(one.pick(nan, Ordering::Less), one);
        assert_eq!(Num::Empty.pick(one, Ordering::Less), one);
        let (more, less) = (Num::Int((1 << 53) + 1), Num::Float(9_007_199_254_740_992.0, 0.0));
        assert_eq!(more.pick(less, Ordering::Less), less);
    }

    #[test]
    fn three_words_hold_all_of_it() {
        for num in [Num::Empty, Num::Int(-5), Num::Int(i128::MIN), Num::Float(1.5, -0.25)] {
            let mut words = [0; WORDS];
            num.store(77, &mut words);
            assert_eq!(Num::load(&words), (num, 77));
        }
    }
}
