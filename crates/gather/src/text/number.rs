//! A field as a number.

/// What a field says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Number {
    /// A whole number of 64 bits, written without point and exponent.
    Int(i64),
    /// Any other number, the nearest float; also a whole number beyond 64 bits.
    Float(f64),
    /// Nothing, or only blanks.
    Empty,
    /// Something that is no number.
    Bad,
}

/// Powers of ten that a float holds exactly.
const TENS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20,
    1e21, 1e22,
];

/// Read a number as Python's `int` and `float` do, with blanks around it, a sign, an exponent, `inf` and `nan` in any
/// case; but in ASCII digits only and without underscores. No separators between thousands.
#[inline]
pub fn parse_number(field: &[u8]) -> Number {
    plain(field).unwrap_or_else(|| careful(field))
}

/// Digits with at most one point, and a minus: exact while they fit 53 bits and the point is near (Clinger's fast
/// path).
#[inline]
fn plain(field: &[u8]) -> Option<Number> {
    const EXACT: u64 = 1 << 53;
    let (negative, digits) = match field {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    let (value, decimals) = if digits.len() <= 8 { few_digits(digits)? } else { many_digits(digits)? };
    let Some(decimals) = decimals else {
        let value = value as i64;
        return Some(Number::Int(if negative { -value } else { value }));
    };
    if digits.len() == 1 || value > EXACT {
        return None;
    }
    #[allow(clippy::cast_precision_loss)] // it fits, as was just asked
    let float = value as f64 / TENS[decimals];
    Some(Number::Float(if negative { -float } else { float }))
}

/// Up to eight digits and a point, all at once and without a branch for any of them: the value without the point, and
/// how many digits are behind it.
#[inline]
fn few_digits(digits: &[u8]) -> Option<(u64, Option<usize>)> {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const ZEROS: u64 = b'0' as u64 * ONES;
    let length = digits.len();
    // The digits as the upper bytes of a word, the last one uppermost, zeros before them.
    let mut word = match *digits {
        [] => return None,
        [a] => u64::from(a),
        [a, b] => u64::from(a) | u64::from(b) << 8,
        [a, b, c] => u64::from(a) | u64::from(b) << 8 | u64::from(c) << 16,
        [a, b, c, d, ..] => {
            let last =
                u32::from_le_bytes([digits[length - 4], digits[length - 3], digits[length - 2], digits[length - 1]]);
            u64::from(u32::from_le_bytes([a, b, c, d])) | u64::from(last) << (8 * (length - 4))
        }
    };
    if length < 8 {
        word = word << (64 - 8 * length) | ZEROS >> (8 * length);
    }
    let mut decimals = None;
    let other = word ^ (u64::from(b'.') * ONES);
    let point = !(((other & (0x7f * ONES)) + 0x7f * ONES) | other) & (0x80 * ONES); // 0x80 where there is one
    if point != 0 {
        let at = point.trailing_zeros() & !7; // bits below it
        decimals = Some(7 - at as usize / 8);
        let before = word & ((1 << at) - 1);
        let behind = word & !(((1 << at) - 1) | 0xff << at);
        word = behind | before << 8 | u64::from(b'0');
    }
    let digits = word ^ ZEROS;
    if (digits | digits.wrapping_add(0x06 * ONES)) & (0xf0 * ONES) != 0 {
        return None; // a second point, or anything else
    }
    let pairs = (digits * 10 + (digits >> 8)) & 0x00ff_00ff_00ff_00ff;
    let fours = (pairs * 100 + (pairs >> 16)) & 0x0000_ffff_0000_ffff;
    Some(((fours * 10_000 + (fours >> 32)) & 0xffff_ffff, decimals))
}

fn many_digits(digits: &[u8]) -> Option<(u64, Option<usize>)> {
    if digits.len() > 18 {
        return None;
    }
    let (mut value, mut point) = (0u64, None);
    for (i, &byte) in digits.iter().enumerate() {
        let digit = byte.wrapping_sub(b'0');
        if digit < 10 {
            value = value * 10 + u64::from(digit);
        } else if byte == b'.' && point.is_none() {
            point = Some(i);
        } else {
            return None;
        }
    }
    Some((value, point.map(|point| digits.len() - point - 1)))
}

#[cold]
fn careful(field: &[u8]) -> Number {
    let field = field.trim_ascii();
    if field.is_empty() {
        return Number::Empty;
    }
    let Ok(text) = std::str::from_utf8(field) else { return Number::Bad };
    if let Ok(int) = text.parse() {
        return Number::Int(int);
    }
    text.parse().map_or(Number::Bad, Number::Float)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_as_python_reads_them() {
        for (text, number) in [
            ("0", Number::Int(0)),
            ("-7", Number::Int(-7)),
            ("+7", Number::Int(7)),
            (" 42\t", Number::Int(42)),
            ("9223372036854775807", Number::Int(i64::MAX)),
            ("-9223372036854775808", Number::Int(i64::MIN)),
            ("9223372036854775808", Number::Float(9_223_372_036_854_775_808.0)),
            ("1.5", Number::Float(1.5)),
            ("-.5", Number::Float(-0.5)),
            ("5.", Number::Float(5.0)),
            ("1e3", Number::Float(1000.0)),
            ("-Infinity", Number::Float(f64::NEG_INFINITY)),
            ("", Number::Empty),
            ("  ", Number::Empty),
        ] {
            assert_eq!(parse_number(text.as_bytes()), number, "{text:?}");
        }
        assert!(matches!(parse_number(b"NaN"), Number::Float(nan) if nan.is_nan()));
        for text in [".", "-", "+", "1,000", "1 000", "1_000", "0x10", "1.2.3", "--1", "abc", "1e", "\u{661}"] {
            assert_eq!(parse_number(text.as_bytes()), Number::Bad, "{text:?}");
        }
        assert_eq!(parse_number(b"\xff"), Number::Bad);
    }

    #[test]
    fn short_decimals_are_the_nearest_float() {
        let mut state = 1u64;
        for _ in 0..200_000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let digits = format!("{}", state >> (state >> 58));
            let cut = (state >> 32) as usize % (digits.len() + 1);
            let text = format!("-{}.{}", &digits[..cut], &digits[cut..]);
            let Number::Float(float) = parse_number(text.as_bytes()) else { panic!("{text}") };
            assert_eq!(float.to_bits(), text.parse::<f64>().expect("a float").to_bits(), "{text}");
        }
    }
    #[test]
    fn the_fast_way_gives_what_the_careful_one_gives_or_nothing() {
        let mut state = 7u64;
        let mut fast = 0;
        for round in 0..400_000u64 {
            let alphabet: &[u8] =
                if round % 2 == 0 { b"0123456789.-" } else { b"0123456789012345678901234567890.-+e \xca\xff:/" };
            let mut field = Vec::new();
            for _ in 0..round / 2 % 20 {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                field.push(alphabet[(state >> 33) as usize % alphabet.len()]);
            }
            if let Some(number) = plain(&field) {
                assert_eq!(number, careful(&field), "{}", field.escape_ascii());
                fast += 1;
            }
        }
        assert!(fast > 50_000, "{fast}");
    }
}
