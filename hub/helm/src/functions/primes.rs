//! The search of primes for RSA keys. Which prime a stream of chance leads to is part of how keys are derived from the secret of a fleet: a change
//! here gives every such key anew. What a prime is decides `crypto-primes`; the quick test here, which costs a fifth of a general one, only says
//! what is not worth to be asked.

use std::sync::LazyLock;

use crypto_bigint::BoxedUint;
use crypto_primes::{Flavor, is_prime};

use crate::chance::Stream;

/// How many odd numbers are looked at from one beginning. Of numbers of 2,048 bits one in 1,420 is prime and of odd ones two, so that none is
/// among these in three of a thousand cases; the search then begins elsewhere.
const WINDOW: usize = 4096;

/// The odd primes below 2^16: one in twenty numbers has none of them as a factor.
static SMALL_PRIMES: LazyLock<Vec<u16>> = LazyLock::new(|| {
    let mut is_composite = vec![false; 1 << 16];
    let mut primes = Vec::new();
    for number in (3..1_usize << 16).step_by(2) {
        if !is_composite[number] {
            primes.extend(u16::try_from(number));
            (number * number..1 << 16).step_by(2 * number).for_each(|multiple| is_composite[multiple] = true);
        }
    }
    primes
});

/// A number of `WORDS` words, the lowest first.
type Number<const WORDS: usize> = [u64; WORDS];

/// A prime of `WORDS` words whose first two bits are set, so that the product of two of them has all its bits.
pub(super) fn prime<const WORDS: usize>(stream: &mut Stream) -> BoxedUint {
    loop {
        let mut start: Number<WORDS> = std::array::from_fn(|_| u64::from_be_bytes(*stream.bytes()));
        start[0] |= 1;
        start[WORDS - 1] |= 3 << 62;
        if let Some(prime) = first_prime(&start) {
            return prime;
        }
    }
}

/// The first prime of the window that begins at `start`.
fn first_prime<const WORDS: usize>(start: &Number<WORDS>) -> Option<BoxedUint> {
    let has_small_factor = sieve(start);
    for index in (0..WINDOW).filter(|index| !has_small_factor[*index]) {
        let candidate = sum(start, 2 * index as u64)?;
        // Where nothing is optimised but the library, it is quicker alone. What comes out is the same: every prime passes both.
        if cfg!(debug_assertions) || Montgomery::new(&candidate).is_probable_prime() {
            let candidate = BoxedUint::from_words(candidate);
            if is_prime(Flavor::Any, &candidate) {
                return Some(candidate);
            }
        }
    }
    None
}

/// Which of the odd numbers from `start` on have a small prime as a factor.
fn sieve<const WORDS: usize>(start: &Number<WORDS>) -> Vec<bool> {
    let mut has_small_factor = vec![false; WINDOW];
    for pair in SMALL_PRIMES.chunks(2) {
        // Two at once, since going through the number is most of the work.
        let product: u64 = pair.iter().map(|prime| u64::from(*prime)).product();
        let of_product = remainder(start, product);
        for prime in pair.iter().map(|prime| u64::from(*prime)) {
            let missing = (prime - of_product % prime) % prime;
            let first = if missing.is_multiple_of(2) { missing / 2 } else { missing.midpoint(prime) };
            has_small_factor.iter_mut().skip(first as usize).step_by(prime as usize).for_each(|has| *has = true);
        }
    }
    has_small_factor
}

/// What `number` leaves, divided by a number of 32 bits.
fn remainder(number: &[u64], divisor: u64) -> u64 {
    number.iter().rev().fold(0, |rest, word| {
        let rest = (rest << 32 | word >> 32) % divisor;
        (rest << 32 | word & u64::from(u32::MAX)) % divisor
    })
}

/// `None` where it needs another word.
fn sum<const WORDS: usize>(number: &Number<WORDS>, more: u64) -> Option<Number<WORDS>> {
    let (mut sum, mut carry) = (*number, more);
    for word in &mut sum {
        let (low, overflows) = word.overflowing_add(carry);
        (*word, carry) = (low, u64::from(overflows));
    }
    (carry == 0).then_some(sum)
}

/// Arithmetic modulo an odd number whose first bit is set, on numbers times 2^(64 · `WORDS`).
struct Montgomery<'n, const WORDS: usize> {
    modulus: &'n Number<WORDS>,
    /// What makes the lowest word vanish: the negative inverse of that of the modulus.
    inverse: u64,
}

impl<'n, const WORDS: usize> Montgomery<'n, WORDS> {
    fn new(modulus: &'n Number<WORDS>) -> Self {
        // Each step of Newton's doubles the right bits, of which any odd number has three in itself.
        let inverse = (0..5).fold(modulus[0], |inverse: u64, _| inverse.wrapping_mul(2_u64.wrapping_sub(modulus[0].wrapping_mul(inverse))));
        Self { modulus, inverse: inverse.wrapping_neg() }
    }

    /// Fermat's test with base 2, which all primes pass and hardly anything else.
    fn is_probable_prime(&self) -> bool {
        // 2^(64 · WORDS), of which the modulus goes off once because its first bit is set.
        let one = self.less(&[0; WORDS]).0;
        let mut power = self.doubled(&one);
        // The exponent is one less than the modulus: the same bits but for the last. The first one is done.
        for bit in (0..64 * WORDS - 1).rev() {
            power = self.squared(&power);
            if bit > 0 && self.modulus[bit / 64] >> (bit % 64) & 1 == 1 {
                power = self.doubled(&power);
            }
        }
        power == one
    }

    /// `number` less the modulus, and whether it was less than that.
    fn less(&self, number: &Number<WORDS>) -> (Number<WORDS>, bool) {
        let (mut difference, mut borrows) = ([0; WORDS], false);
        for index in 0..WORDS {
            (difference[index], borrows) = number[index].borrowing_sub(self.modulus[index], borrows);
        }
        (difference, borrows)
    }

    /// `number`, which has a bit above its words if it `overflows`, modulo the modulus, of which it is less than twice.
    fn reduced(&self, number: &Number<WORDS>, overflows: bool) -> Number<WORDS> {
        let (difference, is_less) = self.less(number);
        if is_less && !overflows { *number } else { difference }
    }

    fn doubled(&self, number: &Number<WORDS>) -> Number<WORDS> {
        let (mut double, mut carry) = ([0; WORDS], 0);
        for (double, word) in double.iter_mut().zip(number) {
            (*double, carry) = (word << 1 | carry, word >> 63);
        }
        self.reduced(&double, carry == 1)
    }

    fn squared(&self, number: &Number<WORDS>) -> Number<WORDS> {
        let mut square = [[0; WORDS]; 2];
        let square = square.as_flattened_mut();
        // Every product of two different words once,
        for (index, word) in number.iter().enumerate() {
            let mut carry = 0;
            for (sum, other) in square[2 * index + 1..].iter_mut().zip(&number[index + 1..]) {
                (*sum, carry) = word.carrying_mul_add(*other, *sum, carry);
            }
            square[index + WORDS] = carry;
        }
        // twice that, and every word by itself.
        let (mut shifted, mut carries) = (0, false);
        for (sums, word) in square.as_chunks_mut::<2>().0.iter_mut().zip(number) {
            let (low, high) = word.carrying_mul(*word, 0);
            let doubled = [sums[0] << 1 | shifted, sums[1] << 1 | sums[0] >> 63];
            shifted = sums[1] >> 63;
            (sums[0], carries) = doubled[0].carrying_add(low, carries);
            (sums[1], carries) = doubled[1].carrying_add(high, carries);
        }
        // Multiples of the modulus make the lower half vanish.
        let mut overflows = false;
        for index in 0..WORDS {
            let factor = square[index].wrapping_mul(self.inverse);
            let mut carry = 0;
            for (sum, word) in square[index..].iter_mut().zip(self.modulus) {
                (*sum, carry) = factor.carrying_mul_add(*word, *sum, carry);
            }
            (square[index + WORDS], overflows) = square[index + WORDS].carrying_add(carry, overflows);
        }
        let upper = std::array::from_fn(|index| square[index + WORDS]);
        self.reduced(&upper, overflows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The number of so many bits less `less`.
    fn below_power<const WORDS: usize>(less: u64) -> Number<WORDS> {
        let mut number = [u64::MAX; WORDS];
        number[0] -= less - 1;
        number
    }

    #[test]
    fn the_quick_test_knows_primes_and_others() {
        // The largest primes below 2^64, 2^128 and 2^1024.
        assert!(Montgomery::new(&below_power::<1>(59)).is_probable_prime());
        assert!(Montgomery::new(&below_power::<2>(159)).is_probable_prime());
        assert!(Montgomery::new(&below_power::<16>(105)).is_probable_prime());
        for less in (1..59).step_by(2) {
            assert!(!Montgomery::new(&below_power::<1>(less)).is_probable_prime(), "{less}");
            assert!(!Montgomery::new(&below_power::<16>(less)).is_probable_prime(), "{less}");
        }
    }

    #[test]
    fn the_sieve_leaves_out_multiples_of_small_primes_alone() {
        let start = below_power::<4>(3 * WINDOW as u64 - 1);
        let sieved = sieve(&start);
        for (index, has_small_factor) in sieved.iter().enumerate() {
            let number = sum(&start, 2 * index as u64).unwrap();
            let divides = |prime: &u16| remainder(&number, u64::from(*prime)) == 0;
            assert_eq!(*has_small_factor, SMALL_PRIMES.iter().any(divides), "{index}");
        }
        assert_eq!((SMALL_PRIMES.len(), SMALL_PRIMES[0], SMALL_PRIMES.last()), (6541, 3, Some(&65_521)));
        assert_eq!(sum(&[u64::MAX; 2], 1), None);
    }
}
