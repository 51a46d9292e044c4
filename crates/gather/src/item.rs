//! Packed keys and values: a kind and its bytes, the same in a table, in a run and in an answer.
//!
//! | kind | payload |
//! | --- | --- |
//! | None | nothing |
//! | Bool | one byte, 0 or 1 |
//! | Int | i64, little endian |
//! | BigInt | beyond i64: two's complement, little endian, as few bytes as hold the sign |
//! | Float | f64, little endian; -0.0 is stored as 0.0, and there is one NaN |
//! | Str | UTF-8; a lone surrogate as its three bytes |
//! | Bytes | as they are |
//! | Tuple | its elements, packed, one after another |
//! | Object | a message of the Python codec; values only, never a key |
//!
//! Packed inside something else, an item is its kind (one byte), the payload's length (LEB128) and the payload.
//!
//! Two keys are the same if kind and payload are: 1, 1.0 and True are three keys here, though one in a Python dict. There
//! the first that came decides what the key looks like, and with several workers nobody can say which one came first.
//!
//! The hash is XXH3 (64 bits, Yann Collet) with the kind as seed; it is part of the file format.

use std::cmp::Ordering;

use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Tuples within tuples go no deeper: whoever packs or reads them recurses, and the stack has an end.
pub const DEPTH: usize = 64;

/// What a payload is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Kind {
    /// Nothing follows.
    None = 0,
    /// One byte.
    Bool = 1,
    /// Eight bytes.
    Int = 2,
    /// An integer beyond 64 bits.
    BigInt = 3,
    /// Eight bytes.
    Float = 4,
    /// Text.
    Str = 5,
    /// Raw bytes.
    Bytes = 6,
    /// Packed elements.
    Tuple = 7,
    /// A message of the Python codec.
    Object = 8,
}

impl Kind {
    /// The kind with this number.
    #[inline]
    pub fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            0 => Self::None,
            1 => Self::Bool,
            2 => Self::Int,
            3 => Self::BigInt,
            4 => Self::Float,
            5 => Self::Str,
            6 => Self::Bytes,
            7 => Self::Tuple,
            8 => Self::Object,
            _ => return None,
        })
    }

    fn is_number(self) -> bool {
        matches!(self, Self::Bool | Self::Int | Self::BigInt | Self::Float)
    }
}

/// A kind and its payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Item<'a> {
    /// What the payload is.
    pub kind: Kind,
    /// The payload.
    pub bytes: &'a [u8],
}

/// Two items between which Python knows no order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unorderable;

impl<'a> Item<'a> {
    /// Text.
    #[inline]
    pub fn str(text: &'a str) -> Self {
        Self { kind: Kind::Str, bytes: text.as_bytes() }
    }

    /// The hash that places this key, in a table and in an answer.
    #[inline]
    pub fn hash(&self) -> u64 {
        xxh3_64_with_seed(self.bytes, self.kind as u64)
    }

    /// Append the packed form.
    pub fn pack(&self, out: &mut Vec<u8>) {
        out.push(self.kind as u8);
        write_length(self.bytes.len(), out);
        out.extend_from_slice(self.bytes);
    }

    /// Take the next packed item from the front of `input`. None: it is no packed item.
    #[inline]
    pub fn unpack(input: &mut &'a [u8]) -> Option<Self> {
        let (&kind, rest) = input.split_first()?;
        *input = rest;
        let kind = Kind::from_byte(kind)?;
        let length = read_length(input)?;
        let (bytes, rest) = input.split_at_checked(length)?;
        *input = rest;
        Some(Self { kind, bytes })
    }

    /// The value of an Int. None: it is something else.
    #[inline]
    pub fn as_int(&self) -> Option<i64> {
        match self.kind {
            Kind::Int => Some(i64::from_le_bytes(self.bytes.try_into().ok()?)),
            Kind::Bool => Some(i64::from(*self.bytes.first()?)),
            _ => None,
        }
    }

    /// The value of a Float. None: it is something else.
    #[inline]
    pub fn as_float(&self) -> Option<f64> {
        match self.kind {
            Kind::Float => Some(f64::from_le_bytes(self.bytes.try_into().ok()?)),
            _ => None,
        }
    }

    /// Python's order: numbers among themselves, text by code point, bytes, tuples element by element.
    pub fn compare(&self, other: &Self) -> Result<Ordering, Unorderable> {
        self.compare_within(other, DEPTH)
    }

    fn compare_within(&self, other: &Self, depth: usize) -> Result<Ordering, Unorderable> {
        match (self.kind, other.kind) {
            (a, b) if a.is_number() && b.is_number() => compare_numbers(self, other),
            (Kind::Str, Kind::Str) | (Kind::Bytes, Kind::Bytes) => Ok(self.bytes.cmp(other.bytes)),
            (Kind::Tuple, Kind::Tuple) if depth > 0 => compare_tuples(self.bytes, other.bytes, depth - 1),
            _ => Err(Unorderable),
        }
    }
}

/// Append a length, seven bits a byte, the lowest first.
#[inline]
pub fn write_length(mut length: usize, out: &mut Vec<u8>) {
    while length >= 0x80 {
        out.push(length as u8 | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
}

/// Take a length from the front of `input`. None: it does not end, or is beyond any memory.
#[inline]
pub fn read_length(input: &mut &[u8]) -> Option<usize> {
    let mut length = 0usize;
    for shift in (0..63).step_by(7) {
        let (&byte, rest) = input.split_first()?;
        *input = rest;
        length |= usize::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(length);
        }
    }
    None
}

/// A float as it is stored: one zero, one NaN.
#[inline]
pub fn canonical(value: f64) -> f64 {
    if value == 0.0 {
        0.0
    } else if value.is_nan() {
        f64::NAN
    } else {
        value
    }
}

fn compare_tuples(mut left: &[u8], mut right: &[u8], depth: usize) -> Result<Ordering, Unorderable> {
    loop {
        match (left.is_empty(), right.is_empty()) {
            (true, true) => return Ok(Ordering::Equal),
            (true, false) => return Ok(Ordering::Less),
            (false, true) => return Ok(Ordering::Greater),
            (false, false) => {}
        }
        let a = Item::unpack(&mut left).ok_or(Unorderable)?;
        let b = Item::unpack(&mut right).ok_or(Unorderable)?;
        if a == b {
            continue; // as Python: equal elements need no order
        }
        match a.compare_within(&b, depth)? {
            Ordering::Equal => {}
            unequal => return Ok(unequal),
        }
    }
}

/// Exact, across kinds: no integer is rounded to a float.
fn compare_numbers(left: &Item, right: &Item) -> Result<Ordering, Unorderable> {
    let of = |item: &Item| match item.kind {
        Kind::Float => item.as_float().map(Number::Float),
        Kind::BigInt => Some(Number::Big),
        _ => item.as_int().map(Number::Int),
    };
    let (a, b) = (of(left).ok_or(Unorderable)?, of(right).ok_or(Unorderable)?);
    match (a, b) {
        (Number::Int(a), Number::Int(b)) => Ok(a.cmp(&b)),
        (Number::Float(a), Number::Float(b)) => a.partial_cmp(&b).ok_or(Unorderable),
        (Number::Int(a), Number::Float(b)) => compare_int_float(i128::from(a), b),
        (Number::Float(a), Number::Int(b)) => compare_int_float(i128::from(b), a).map(Ordering::reverse),
        (Number::Big, Number::Big) => Ok(compare_big(left.bytes, right.bytes)),
        (Number::Big, Number::Int(_)) => Ok(if negative(left.bytes) { Ordering::Less } else { Ordering::Greater }),
        (Number::Int(_), Number::Big) => Ok(if negative(right.bytes) { Ordering::Greater } else { Ordering::Less }),
        (Number::Big, Number::Float(b)) => compare_big_float(left.bytes, b),
        (Number::Float(a), Number::Big) => compare_big_float(right.bytes, a).map(Ordering::reverse),
    }
}

enum Number {
    Int(i64),
    Float(f64),
    Big,
}

/// An integer against a float, exactly. An `Err` is a NaN.
pub(crate) fn compare_int_float(int: i128, float: f64) -> Result<Ordering, Unorderable> {
    const BEYOND: f64 = 1.701_411_834_604_692_3e38; // 2**127
    if float.is_nan() {
        return Err(Unorderable);
    }
    if float >= BEYOND {
        return Ok(Ordering::Less);
    }
    if float < -BEYOND {
        return Ok(Ordering::Greater);
    }
    let whole = float.trunc();
    Ok(int.cmp(&(whole as i128)).then_with(|| 0.0f64.partial_cmp(&(float - whole)).unwrap_or(Ordering::Equal)))
}

fn negative(big: &[u8]) -> bool {
    big.last().is_some_and(|byte| byte & 0x80 != 0)
}

fn compare_big(left: &[u8], right: &[u8]) -> Ordering {
    match (negative(left), negative(right)) {
        (false, true) => Ordering::Greater,
        (true, false) => Ordering::Less,
        (sign, _) => {
            let longer = left.len().cmp(&right.len());
            let longer = if sign { longer.reverse() } else { longer };
            longer.then_with(|| left.iter().rev().cmp(right.iter().rev()))
        }
    }
}

/// A big integer against a float: a float of that size is a whole number, so its bits are shifted into place.
fn compare_big_float(big: &[u8], float: f64) -> Result<Ordering, Unorderable> {
    if float.is_nan() {
        return Err(Unorderable);
    }
    let sign = if negative(big) { Ordering::Less } else { Ordering::Greater };
    if float.is_infinite() {
        return Ok(if float > 0.0 { Ordering::Less } else { Ordering::Greater });
    }
    if float.abs() < 9_223_372_036_854_775_808.0 {
        return Ok(sign); // a BigInt is beyond i64 by definition
    }
    Ok(compare_big(big, &float_to_big(float)))
}

/// A whole float of 2**63 or more as a BigInt's payload.
fn float_to_big(float: f64) -> Vec<u8> {
    let bits = float.abs().to_bits();
    let exponent = (bits >> 52) as usize - 1075; // at least 11 here
    let mantissa = bits & ((1 << 52) - 1) | 1 << 52;
    let mut bytes = vec![0u8; exponent / 8];
    bytes.extend_from_slice(&(u128::from(mantissa) << (exponent % 8)).to_le_bytes());
    if float < 0.0 {
        let mut carry = true;
        for byte in &mut bytes {
            let (flipped, overflow) = (!*byte).overflowing_add(u8::from(carry));
            (*byte, carry) = (flipped, overflow);
        }
    }
    shorten(&mut bytes);
    bytes
}

/// Drop leading bytes that only repeat the sign.
pub fn shorten(bytes: &mut Vec<u8>) {
    while let [.., before, last] = bytes[..] {
        let repeats = (last == 0 && before & 0x80 == 0) || (last == 0xff && before & 0x80 != 0);
        if !repeats {
            break;
        }
        bytes.pop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn int(value: i64) -> Vec<u8> {
        value.to_le_bytes().to_vec()
    }

    fn big(value: i128) -> Vec<u8> {
        let mut bytes = value.to_le_bytes().to_vec();
        shorten(&mut bytes);
        bytes
    }

    #[test]
    fn packing_gives_back_what_was_packed() {
        let mut out = Vec::new();
        let long = "x".repeat(300);
        for item in [Item::str("word"), Item::str(&long), Item { kind: Kind::None, bytes: &[] }] {
            item.pack(&mut out);
        }
        let mut input = &out[..];
        assert_eq!(Item::unpack(&mut input), Some(Item::str("word")));
        assert_eq!(Item::unpack(&mut input), Some(Item::str(&long)));
        assert_eq!(Item::unpack(&mut input).map(|item| item.kind), Some(Kind::None));
        assert!(input.is_empty());
        assert_eq!(Item::unpack(&mut &[9u8, 0][..]), None);
        assert_eq!(Item::unpack(&mut &[5u8, 4, b'a'][..]), None);
    }

    #[test]
    fn numbers_compare_exactly_across_kinds() {
        let two53 = int((1 << 53) + 1);
        let float = ((1u64 << 53) as f64).to_le_bytes();
        let (a, b) = (Item { kind: Kind::Int, bytes: &two53 }, Item { kind: Kind::Float, bytes: &float });
        assert_eq!(a.compare(&b), Ok(Ordering::Greater));
        for exponent in 63..126 {
            let float = 2f64.powi(exponent).to_le_bytes();
            let same = big(1i128 << exponent);
            let more = big((1i128 << exponent) + 1);
            let f = Item { kind: Kind::Float, bytes: &float };
            assert_eq!(Item { kind: Kind::BigInt, bytes: &same }.compare(&f), Ok(Ordering::Equal), "{exponent}");
            assert_eq!(Item { kind: Kind::BigInt, bytes: &more }.compare(&f), Ok(Ordering::Greater));
            let (float, less) = ((-2f64.powi(exponent)).to_le_bytes(), big(-(1i128 << exponent) - 1));
            let f = Item { kind: Kind::Float, bytes: &float };
            assert_eq!(Item { kind: Kind::BigInt, bytes: &less }.compare(&f), Ok(Ordering::Less));
        }
        let values = [-(1i128 << 90), -(1i128 << 70) - 1, -(1i128 << 70), 1i128 << 64, (1i128 << 64) + 1, 1i128 << 100];
        for (i, a) in values.iter().enumerate() {
            for (j, b) in values.iter().enumerate() {
                let (left, right) = (big(*a), big(*b));
                let (left, right) =
                    (Item { kind: Kind::BigInt, bytes: &left }, Item { kind: Kind::BigInt, bytes: &right });
                assert_eq!(left.compare(&right), Ok(i.cmp(&j)), "{a} {b}");
            }
        }
    }

    #[test]
    fn what_python_cannot_order_is_an_error() {
        let nan = f64::NAN.to_le_bytes();
        let nan = Item { kind: Kind::Float, bytes: &nan };
        assert_eq!(nan.compare(&nan), Err(Unorderable));
        assert_eq!(Item::str("a").compare(&Item { kind: Kind::Bytes, bytes: b"a" }), Err(Unorderable));
        let none = Item { kind: Kind::None, bytes: &[] };
        assert_eq!(none.compare(&none), Err(Unorderable));
    }

    #[test]
    fn tuples_compare_element_by_element() {
        let tuple = |items: &[Item]| {
            let mut out = Vec::new();
            for item in items {
                item.pack(&mut out);
            }
            out
        };
        let (one, two) = (int(1), int(2));
        let (one, two) = (Item { kind: Kind::Int, bytes: &one }, Item { kind: Kind::Int, bytes: &two });
        let (a, b, c) = (tuple(&[Item::str("a"), two]), tuple(&[Item::str("b"), one]), tuple(&[Item::str("a")]));
        let of = |bytes| Item { kind: Kind::Tuple, bytes };
        assert_eq!(of(&a).compare(&of(&b)), Ok(Ordering::Less));
        assert_eq!(of(&a).compare(&of(&c)), Ok(Ordering::Greater));
        assert_eq!(of(&a).compare(&of(&a)), Ok(Ordering::Equal));
    }
}
