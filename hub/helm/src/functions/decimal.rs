//! Exact decimal numbers for `addf` and its like, with the rounding of shopspring's decimal 1.4.0: sums and products are exact, quotients have 16
//! digits after the point.

use num_bigint::{BigInt, Sign};

/// `digits` times ten to the power of `exponent`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Decimal {
    digits: BigInt,
    exponent: i32,
}

/// How many digits a quotient has after the point.
const QUOTIENT_PLACES: i32 = 16;

impl Decimal {
    /// The shortest decimal number that is read as `number`; `None` for infinities and what is no number.
    pub(super) fn new(number: f64) -> Option<Self> {
        if number == 0.0 {
            return Some(Self { digits: BigInt::ZERO, exponent: 0 });
        }
        if !number.is_finite() {
            return None;
        }
        let shortest = format!("{number:e}");
        let (mantissa, exponent) = shortest.split_once('e')?;
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let digits: i64 = format!("{whole}{fraction}").parse().ok()?;
        Some(Self { digits: digits.into(), exponent: exponent.parse::<i32>().ok()? - fraction.len() as i32 })
    }

    /// The nearest `f64`.
    pub(super) fn to_float(&self) -> f64 {
        format!("{}e{}", self.digits, self.exponent).parse().unwrap_or(f64::NAN)
    }

    /// How many machine words its digits take: what an operation with it costs.
    pub(super) fn words(&self) -> usize {
        self.digits.bits() as usize / 64 + 1
    }

    /// The digits of both at the smaller exponent of the two.
    fn aligned(&self, other: &Self) -> (BigInt, BigInt, i32) {
        let exponent = self.exponent.min(other.exponent);
        let digits = |number: &Self| &number.digits * ten_to(number.exponent - exponent);
        (digits(self), digits(other), exponent)
    }

    pub(super) fn plus(&self, other: &Self) -> Self {
        let (left, right, exponent) = self.aligned(other);
        Self { digits: left + right, exponent }
    }

    pub(super) fn minus(&self, other: &Self) -> Self {
        let (left, right, exponent) = self.aligned(other);
        Self { digits: left - right, exponent }
    }

    /// `None` if there are more digits after the point than can be counted.
    pub(super) fn times(&self, other: &Self) -> Option<Self> {
        Some(Self { digits: &self.digits * &other.digits, exponent: self.exponent.checked_add(other.exponent)? })
    }

    /// The quotient, of which the last digit is rounded away from zero from a half on; `None` for a quotient by zero.
    pub(super) fn over(&self, other: &Self) -> Option<Self> {
        if other.digits.sign() == Sign::NoSign {
            return None;
        }
        let shift = self.exponent - other.exponent + QUOTIENT_PLACES;
        let dividend = &self.digits * ten_to(shift.max(0));
        let divisor = &other.digits * ten_to((-shift).max(0));
        let mut digits = &dividend / &divisor;
        let rest = dividend.magnitude() % divisor.magnitude();
        if rest << 1_u8 >= *divisor.magnitude() {
            let away = if dividend.sign() == divisor.sign() { 1 } else { -1 };
            digits += away;
        }
        Some(Self { digits, exponent: -QUOTIENT_PLACES })
    }
}

fn ten_to(power: i32) -> BigInt {
    BigInt::from(10).pow(power.unsigned_abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decimal(number: f64) -> Decimal {
        Decimal::new(number).unwrap()
    }

    #[test]
    fn sums_are_those_of_decimal_digits() {
        assert_eq!(decimal(0.1).plus(&decimal(0.2)).to_float(), 0.3);
        assert_eq!(decimal(1.0).minus(&decimal(0.9)).to_float(), 0.1);
        assert_eq!(decimal(1.1).times(&decimal(1.1)).unwrap().to_float(), 1.21);
        assert_eq!(decimal(1e308).plus(&decimal(5e-324)).to_float(), 1e308);
    }

    #[test]
    fn quotients_are_rounded_away_from_zero_at_the_sixteenth_place() {
        assert_eq!(decimal(2.0).over(&decimal(3.0)).unwrap().to_float(), 0.666_666_666_666_666_7);
        assert_eq!(decimal(-2.0).over(&decimal(3.0)).unwrap().to_float(), -0.666_666_666_666_666_7);
        assert_eq!(decimal(1.0).over(&decimal(1e300)).unwrap().to_float(), 0.0);
        assert_eq!(decimal(1.0).over(&decimal(0.0)), None);
    }

    #[test]
    fn there_is_no_decimal_for_infinities() {
        assert_eq!(Decimal::new(f64::INFINITY), None);
    }
}
