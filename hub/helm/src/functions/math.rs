//! Functions of numbers. Whole numbers are `int64` and wrap around, as in Go.

use hub_gotemplate::{Args, Call, CallError, Function, List, ListType, Type, Value};

use super::conversion::{to_float, to_int};
use super::decimal::Decimal;
use super::{function, numbers, panics, variadic};

use Type::{Any, Float, Int};

pub(super) static FUNCTIONS: &[Function] = &[
    variadic("add", &[], Any, |_, args| Ok(Value::Int64(args.0.iter().fold(0, |sum, value| sum.wrapping_add(to_int(value)))))),
    function("add1", &[Any], |_, args| Ok(Value::Int64(to_int(args.any(0)).wrapping_add(1)))),
    function("add1f", &[Any], |call, args| exactly(call, to_float(args.any(0)), &[Value::Int(1)], |left, right| Ok(left.plus(right)))),
    variadic("addf", &[], Any, |call, args| exactly(call, 0.0, args.0, |left, right| Ok(left.plus(right)))),
    variadic("biggest", &[Any], Any, max),
    function("ceil", &[Any], |_, args| Ok(to_float(args.any(0)).ceil().into())),
    function("div", &[Any, Any], |_, args| match (to_int(args.any(0)), to_int(args.any(1))) {
        (_, 0) => Err(panics::division_by_zero()),
        (dividend, divisor) => Ok(Value::Int64(dividend.wrapping_div(divisor))),
    }),
    variadic("divf", &[Any], Any, |call, args| {
        exactly(call, to_float(args.any(0)), args.rest(1), |left, right| {
            left.over(right).ok_or_else(|| CallError::failed("decimal division by 0"))
        })
    }),
    function("floor", &[Any], |_, args| Ok(to_float(args.any(0)).floor().into())),
    variadic("max", &[Any], Any, max),
    variadic("maxf", &[Any], Any, |_, args| Ok(args.0.iter().map(to_float).reduce(larger).unwrap_or(0.0).into())),
    variadic("min", &[Any], Any, |_, args| Ok(Value::Int64(args.0.iter().map(to_int).min().unwrap_or(0)))),
    variadic("minf", &[Any], Any, |_, args| {
        Ok(args.0.iter().map(to_float).reduce(|left, right| -larger(-left, -right)).unwrap_or(0.0).into())
    }),
    function("mod", &[Any, Any], |_, args| match (to_int(args.any(0)), to_int(args.any(1))) {
        (_, 0) => Err(panics::division_by_zero()),
        (dividend, divisor) => Ok(Value::Int64(dividend.wrapping_rem(divisor))),
    }),
    variadic("mul", &[Any], Any, |_, args| {
        let first = to_int(args.any(0));
        Ok(Value::Int64(args.rest(1).iter().fold(first, |product, value| product.wrapping_mul(to_int(value)))))
    }),
    variadic("mulf", &[Any], Any, |call, args| {
        exactly(call, to_float(args.any(0)), args.rest(1), |left, right| {
            left.times(right).ok_or_else(|| CallError::failed("the product has an exponent that overflows an int32!"))
        })
    }),
    variadic("round", &[Any, Int], Float, |_, args| {
        let half = if args.0.len() > 2 { args.float(2) } else { 0.5 };
        Ok(rounded(to_float(args.any(0)), args.int(1), half).into())
    }),
    variadic("seq", &[], Int, |call, args| Ok(spaced(&sequence(call, args)?).into())),
    function("sub", &[Any, Any], |_, args| Ok(Value::Int64(to_int(args.any(0)).wrapping_sub(to_int(args.any(1)))))),
    variadic("subf", &[Any], Any, |call, args| exactly(call, to_float(args.any(0)), args.rest(1), |left, right| Ok(left.minus(right)))),
    function("until", &[Int], |call, args| {
        let count = args.int(0);
        steps(call, 0, count, if count < 0 { -1 } else { 1 }).map(ints)
    }),
    function("untilStep", &[Int, Int, Int], |call, args| steps(call, args.int(0), args.int(1), args.int(2)).map(ints)),
];

fn max(_: &mut Call<'_>, args: Args<'_>) -> Result<Value, CallError> {
    Ok(Value::Int64(args.0.iter().map(to_int).max().unwrap_or(0)))
}

/// `math.Max`: infinity is larger than what is no number, which is larger than every number; zero is larger than minus zero.
fn larger(left: f64, right: f64) -> f64 {
    if left == f64::INFINITY || right == f64::INFINITY {
        f64::INFINITY
    } else if left.is_nan() || right.is_nan() {
        f64::NAN
    } else if left == right {
        if left.is_sign_negative() { right } else { left }
    } else {
        left.max(right)
    }
}

/// `first`, and one value after another by `operation`, in exact decimal numbers.
fn exactly(
    call: &mut Call<'_>,
    first: f64,
    others: &[Value],
    operation: impl Fn(&Decimal, &Decimal) -> Result<Decimal, CallError>,
) -> Result<Value, CallError> {
    let decimal = |number: f64| {
        let printed = if number.is_nan() {
            "NaN"
        } else if number > 0.0 {
            "+Inf"
        } else {
            "-Inf"
        };
        Decimal::new(number).ok_or_else(|| CallError::failed(format!("Cannot create a Decimal from {printed}")))
    };
    let mut result = decimal(first)?;
    for other in others {
        result = operation(&result, &decimal(to_float(other))?)?;
        call.spend(result.words())?;
    }
    // Printing the digits takes the square of their number.
    call.spend(result.words().saturating_pow(2))?;
    Ok(result.to_float().into())
}

/// `number` with `places` digits after the point, rounded up where what follows is at least `half`.
fn rounded(number: f64, places: i64, half: f64) -> f64 {
    let power = ten_to(places);
    let digits = power * number;
    let up = digits.is_finite() && digits.fract() >= half;
    (if up { digits.ceil() } else { digits.floor() }) / power
}

/// `math.Pow(10, power)`, which Go computes by squaring mantissas; another way differs in the last bit for large powers.
fn ten_to(power: i64) -> f64 {
    let (mut mantissa, mut exponent) = (1.0, 0);
    let (mut square, mut square_exponent) = (10.0 / 16.0, 4_i64);
    let mut left = power.unsigned_abs();
    while left != 0 {
        // Larger exponents than these are infinite or zero, whatever else follows.
        if square_exponent.abs() > 1 << 12 {
            exponent += square_exponent;
            break;
        }
        if left & 1 == 1 {
            mantissa *= square;
            exponent += square_exponent;
        }
        square *= square;
        square_exponent *= 2;
        if square < 0.5 {
            square += square;
            square_exponent -= 1;
        }
        left >>= 1;
    }
    if power < 0 { numbers::scaled(1.0 / mantissa, -exponent) } else { numbers::scaled(mantissa, exponent) }
}

/// The numbers from `start` on by `step`, up to `stop` but without it.
fn steps(call: &mut Call<'_>, start: i64, stop: i64, step: i64) -> Result<Vec<i64>, CallError> {
    let distance = i128::from(stop) - i128::from(start);
    if distance == 0 || step == 0 || (distance < 0) != (step < 0) {
        return Ok(Vec::new());
    }
    let count = usize::try_from(distance.unsigned_abs().div_ceil(step.unsigned_abs().into())).unwrap_or(usize::MAX);
    call.spend(count)?;
    call.make(count.saturating_mul(size_of::<Value>()))?;
    Ok((0..count as i64).map(|index| start.wrapping_add(index.wrapping_mul(step))).collect())
}

fn ints(numbers: Vec<i64>) -> Value {
    List::of(ListType::Int, numbers.into_iter().map(Value::Int).collect()).into()
}

/// The numbers of `seq LAST`, `seq FIRST LAST` or `seq FIRST STEP LAST`, with the last.
fn sequence(call: &mut Call<'_>, args: Args<'_>) -> Result<Vec<i64>, CallError> {
    let (first, step, last) = match args.0.len() {
        1 => (1, None, args.int(0)),
        2 => (args.int(0), None, args.int(1)),
        3 => (args.int(0), Some(args.int(1)), args.int(2)),
        _ => return Ok(Vec::new()),
    };
    let direction = if last < first { -1 } else { 1 };
    match step {
        Some(step) if direction < 0 && step > 0 => Ok(Vec::new()),
        step => steps(call, first, last.wrapping_add(direction), step.unwrap_or(direction)),
    }
}

fn spaced(numbers: &[i64]) -> String {
    let mut out = String::with_capacity(numbers.len() * 4);
    for (index, number) in numbers.iter().enumerate() {
        if index > 0 {
            out.push(' ');
        }
        out.push_str(&number.to_string());
    }
    out
}
