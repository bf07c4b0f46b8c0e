//! The time functions of sprig. The present is an instant of the fleet, the same for every render, and is asked of the host only where it counts.

use hub_gotemplate::{Args, Call, CallError, Function, Type, Value};

use super::function;
use super::time::{Duration, SECOND, Time, Zone, rounded};
use super::time_layout::{format, parse, quoted};
use crate::host::Host;

const TIME: Type = Type::Named("time.Time");

/// Times and durations.
pub(super) const FUNCTIONS: &[Function] = &[
    function("now", &[], |call, _| now(call, "now").map(Time::value)),
    function("ago", &[Type::Any], ago),
    function("date", &[Type::Text, Type::Any], |call, args| written(call, "date", args, 0, 1, "Local")),
    function("htmlDate", &[Type::Any], |call, args| html_date(call, "htmlDate", args.any(0), "Local")),
    function("htmlDateInZone", &[Type::Any, Type::Text], |call, args| {
        html_date(call, "htmlDateInZone", args.any(0), &args.text(1).to_str())
    }),
    function("dateInZone", &[Type::Text, Type::Any, Type::Text], date_in_zone),
    function("date_in_zone", &[Type::Text, Type::Any, Type::Text], date_in_zone),
    function("dateModify", &[Type::Text, TIME], date_modify),
    function("date_modify", &[Type::Text, TIME], date_modify),
    function("mustDateModify", &[Type::Text, TIME], must_date_modify),
    function("must_date_modify", &[Type::Text, TIME], must_date_modify),
    function("duration", &[Type::Any], duration),
    function("durationRound", &[Type::Any], duration_round),
    function("toDate", &[Type::Text, Type::Text], |_, args| Ok(parse(args.text(0), args.text(1)).unwrap_or_else(|_| Time::zero()).value())),
    function("mustToDate", &[Type::Text, Type::Text], |_, args| {
        parse(args.text(0), args.text(1)).map(Time::value).map_err(CallError::Failed)
    }),
    function("unixEpoch", &[TIME], |_, args| Ok(Value::text(time(args, 0)?.unix().to_string()))),
];

/// The present, for `function`.
fn now(call: &Call<'_>, function: &'static str) -> Result<Time, CallError> {
    Host::of(call).calendar(function).map(|calendar| Time::of_unix(calendar.anchor))
}

fn time<'a>(args: Args<'a>, index: usize) -> Result<&'a Time, CallError> {
    Time::of(args.any(index)).ok_or_else(|| CallError::failed("a time.Time is wanted"))
}

/// The time that `value` is, or the seconds after 1970 that it counts; for all else the present.
fn time_or_now(call: &Call<'_>, function: &'static str, value: &Value) -> Result<Time, CallError> {
    match value {
        Value::Int(seconds) | Value::Int64(seconds) => Ok(Time::of_unix(*seconds)),
        other => Time::of(other).cloned().map_or_else(|| now(call, function), Ok),
    }
}

fn written(
    call: &mut Call<'_>,
    function: &'static str,
    args: Args<'_>,
    layout: usize,
    date: usize,
    zone: &str,
) -> Result<Value, CallError> {
    let layout = args.text(layout);
    call.spend(layout.len())?;
    in_zone(call, function, args.any(date), &layout.to_str(), zone)
}

fn in_zone(call: &Call<'_>, function: &'static str, date: &Value, layout: &str, zone: &str) -> Result<Value, CallError> {
    let time = time_or_now(call, function, date)?.in_zone(Zone::named(zone).unwrap_or(Zone::Utc));
    Ok(Value::text(format(&time.civil(), layout)))
}

fn html_date(call: &Call<'_>, function: &'static str, date: &Value, zone: &str) -> Result<Value, CallError> {
    in_zone(call, function, date, "2006-01-02", zone)
}

fn date_in_zone(call: &mut Call<'_>, args: Args<'_>) -> Result<Value, CallError> {
    written(call, "dateInZone", args, 0, 1, &args.text(2).to_str())
}

fn date_modify(_: &mut Call<'_>, args: Args<'_>) -> Result<Value, CallError> {
    let time = time(args, 1)?;
    Ok(parse_duration(args.text(0)).map_or_else(|_| time.clone(), |span| time.plus(span)).value())
}

fn must_date_modify(_: &mut Call<'_>, args: Args<'_>) -> Result<Value, CallError> {
    let span = parse_duration(args.text(0)).map_err(CallError::Failed)?;
    Ok(time(args, 1)?.plus(span).value())
}

fn ago(call: &mut Call<'_>, args: Args<'_>) -> Result<Value, CallError> {
    let present = now(call, "ago")?;
    let then = match args.any(0) {
        Value::Int(seconds) | Value::Int64(seconds) => Time::of_unix(*seconds),
        other => Time::of(other).cloned().unwrap_or_else(|| present.clone()),
    };
    Ok(Value::text(Duration(rounded(present.since(&then), SECOND)).written()))
}

/// A number of seconds: an `int64`, or text. Everything else is none, `int` too.
fn duration(_: &mut Call<'_>, args: Args<'_>) -> Result<Value, CallError> {
    let seconds = match args.any(0) {
        Value::Int64(seconds) => *seconds,
        Value::Text(text) => parse_seconds(text),
        _ => 0,
    };
    Ok(Value::text(Duration(seconds.wrapping_mul(SECOND)).written()))
}

/// A whole number; the nearest of 64 bits if it is beyond them, and 0 if it is none.
fn parse_seconds(text: &[u8]) -> i64 {
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return 0;
    }
    digits.iter().fold(0_i64, |value, byte| {
        let digit = i64::from(byte - b'0');
        value.saturating_mul(10).saturating_add(if negative { -digit } else { digit })
    })
}

/// The largest unit of a duration alone.
fn duration_round(call: &mut Call<'_>, args: Args<'_>) -> Result<Value, CallError> {
    const HOUR: u64 = 3600 * SECOND as u64;
    const UNITS: [(u64, &str); 6] =
        [(HOUR * 24 * 365, "y"), (HOUR * 24 * 30, "mo"), (HOUR * 24, "d"), (HOUR, "h"), (HOUR / 60, "m"), (HOUR / 3600, "s")];
    let span = match args.any(0) {
        Value::Int64(span) => *span,
        Value::Text(text) => parse_duration(text).unwrap_or(0),
        other => match Time::of(other) {
            Some(time) => now(call, "durationRound")?.since(time),
            None => 0,
        },
    };
    let span = span.unsigned_abs();
    // Exactly one of a unit is still told in the next smaller one.
    let found = UNITS.into_iter().find(|(unit, _)| span > *unit);
    Ok(Value::text(found.map_or_else(|| "0s".to_owned(), |(unit, name)| format!("{}{name}", span / unit))))
}

/// Nanoseconds of a text such as `-1.5h` or `2h45m`. An error is Go's message.
pub(super) fn parse_duration(text: &[u8]) -> Result<i64, String> {
    const GREATEST: u64 = 1 << 63;
    let invalid = || format!("time: invalid duration {}", quoted(text));
    let (negative, mut rest) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    if rest == b"0" {
        return Ok(0);
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    let mut total = 0_u64;
    while !rest.is_empty() {
        let whole_digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (whole, after) = rest.split_at(whole_digits);
        let whole = whole.iter().try_fold(0_u64, |value, byte| value.checked_mul(10)?.checked_add(u64::from(byte - b'0')));
        let whole = whole.filter(|&whole| whole <= GREATEST).ok_or_else(invalid)?;
        let (fraction, scale, fraction_digits, after) = leading_fraction(after);
        if whole_digits + fraction_digits == 0 {
            return Err(invalid());
        }
        let unit_length = after.iter().take_while(|byte| !(byte.is_ascii_digit() || **byte == b'.')).count();
        let (unit, after) = after.split_at(unit_length);
        let nanoseconds: u64 = match unit {
            b"" => return Err(format!("time: missing unit in duration {}", quoted(text))),
            b"ns" => 1,
            b"us" | b"\xC2\xB5s" | b"\xCE\xBCs" => 1_000,
            b"ms" => 1_000_000,
            b"s" => 1_000_000_000,
            b"m" => 60_000_000_000,
            b"h" => 3_600_000_000_000,
            _ => return Err(format!("time: unknown unit {} in duration {}", quoted(unit), quoted(text))),
        };
        let part = whole.checked_mul(nanoseconds).filter(|&part| part <= GREATEST).ok_or_else(invalid)?;
        // The fraction is less than an hour of nanoseconds.
        let part = part + (fraction * (nanoseconds as f64 / scale)) as u64;
        total = total.checked_add(part).filter(|&total| total <= GREATEST).ok_or_else(invalid)?;
        rest = after;
    }
    if negative {
        return Ok(0_i64.wrapping_sub_unsigned(total));
    }
    i64::try_from(total).map_err(|_| invalid())
}

/// The digits after a point, their scale and number, and what follows. Digits beyond 63 bits do not count.
fn leading_fraction(text: &[u8]) -> (f64, f64, usize, &[u8]) {
    let Some(after) = text.strip_prefix(b".") else { return (0.0, 1.0, 0, text) };
    let count = after.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (mut value, mut scale) = (0_u64, 1.0);
    for byte in &after[..count] {
        let next = value.checked_mul(10).and_then(|value| value.checked_add(u64::from(byte - b'0')));
        let Some(next) = next.filter(|&next| next <= 1 << 63) else { break };
        value = next;
        scale *= 10.0;
    }
    (value as f64, scale, count, &after[count..])
}
