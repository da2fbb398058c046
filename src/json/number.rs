//! Numbers, compared by value.

use std::borrow::Cow;

/// Value of a JSON number. Integers are exact; all others are the nearest double.
#[derive(Debug, PartialEq)]
pub(super) enum Number<'a> {
    Integer(i128),
    /// An integer beyond `i128`.
    Large(Box<Large<'a>>),
    Double(f64),
}

/// The integer `digits` × 10^`exponent`; `digits` neither begin nor end with 0.
#[derive(Debug, PartialEq)]
pub(super) struct Large<'a> {
    pub(super) negative: bool,
    pub(super) digits: Cow<'a, str>,
    pub(super) exponent: i128,
}

/// First integer that shares its double with another one.
const FIRST_INEXACT: f64 = 9_007_199_254_740_992.0;

impl<'a> Number<'a> {
    /// Reads the JSON number `text`.
    pub(super) fn read(text: &'a str) -> Self {
        let (negative, unsigned) = match text.strip_prefix('-') {
            Some(unsigned) => (true, unsigned),
            None => (false, text),
        };
        let (mantissa, exponent) = unsigned.split_once(['e', 'E']).unwrap_or((unsigned, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let fraction = fraction.trim_end_matches('0');
        let all = match fraction {
            "" => Cow::Borrowed(whole),
            _ => Cow::Owned(format!("{whole}{fraction}")),
        };
        let significant = all.trim_matches('0');
        if significant.is_empty() {
            return Self::Integer(0);
        }
        let zeros = all.len() - all.trim_end_matches('0').len();
        let Ok(power) = exponent.parse::<i128>() else {
            // The number has 10^38 digits. No program computes with it, so it equals only its own
            // spelling.
            return if exponent.starts_with('-') {
                Self::double(text)
            } else {
                Self::large(negative, Cow::Borrowed(unsigned), i128::MAX)
            };
        };
        let power = power.saturating_add(length(zeros)).saturating_sub(length(fraction.len()));
        if power < 0 {
            return Self::double(text);
        }
        if let Some(integer) = integer(significant, power) {
            return Self::Integer(if negative { -integer } else { integer });
        }
        let significant = significant.to_owned();
        Self::large(negative, Cow::Owned(significant), power)
    }

    /// Returns the value of a double, or `None` if only the text has the exact number.
    pub(super) fn of_double(double: f64) -> Option<Self> {
        (double.abs() < FIRST_INEXACT).then(|| Self::of_exact(double))
    }

    /// Returns an integer for an integral double, so that 1.0 and 1 are equal.
    #[expect(clippy::cast_possible_truncation, reason = "the range is checked")]
    fn of_exact(double: f64) -> Self {
        if double.fract() == 0.0 && double.abs() < FIRST_INEXACT {
            Self::Integer(double as i128)
        } else {
            Self::Double(double)
        }
    }

    fn double(text: &str) -> Self {
        // A number that serde_json calls out of range is larger than all doubles.
        Self::of_exact(serde_json::from_str(text).unwrap_or(f64::INFINITY))
    }

    fn large(negative: bool, digits: Cow<'a, str>, exponent: i128) -> Self {
        Self::Large(Box::new(Large { negative, digits, exponent }))
    }
}

fn integer(digits: &str, power: i128) -> Option<i128> {
    let factor = 10i128.checked_pow(u32::try_from(power).ok()?)?;
    digits.parse::<i128>().ok()?.checked_mul(factor)
}

fn length(len: usize) -> i128 {
    i128::try_from(len).unwrap_or(i128::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c147_a_number_is_its_value_whatever_its_size_and_spelling() {
        let spellings = [
            &["0", "-0", "0.0", "0e9", "-0.00E-7", "0e999999999999999999999999999999999999999999"]
                [..],
            &["1", "1.0", "10e-1", "0.1e1", "1E+0", "0.0001e4"],
            &["-1", "-1.0"],
            &["9007199254740992", "9007199254740992.0"],
            &["9007199254740993", "9007199254740993.0", "900719925474099.3e1"],
            &["18446744073709551616", "1844674407370955161.6e1"],
            &["18446744073709551617"],
            &["-18446744073709551617"],
            &["100000000000000000000", "1e20", "1E+20", "100000000000000000000.0", "10e19"],
            &["1e39", "1000000000000000000000000000000000000000", "0.1e40"],
            &["-1e39"],
            &["1e40"],
            &["123456789012345678901234567890123456789012345"],
            &["123456789012345678901234567890123456789012346"],
            &["1e999999999999", "10e999999999998", "0.1e1000000000000"],
            &["1e999999999998"],
            &["1e99999999999999999999999999999999999999999999"],
            &["0.5", "5e-1", "0.50"],
        ];
        for (i, a) in spellings.iter().enumerate() {
            for (j, b) in spellings.iter().enumerate() {
                for (a, b) in a.iter().flat_map(|a| b.iter().map(move |b| (a, b))) {
                    assert_eq!(Number::read(a) == Number::read(b), i == j, "{a} {b}");
                }
            }
        }
    }

    #[test]
    fn what_is_no_integer_is_a_double() {
        assert_eq!(Number::read("1e-999999999999"), Number::Integer(0));
        assert_eq!(Number::read("1.5"), Number::Double(1.5));
        assert_eq!(Number::read("-1.5e-3"), Number::Double(-0.0015));
        let huge = format!("{}.5", "9".repeat(400));
        assert_eq!(Number::read(&huge), Number::Double(f64::INFINITY));
    }
}
