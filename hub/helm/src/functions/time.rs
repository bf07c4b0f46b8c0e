//! Instants with a zone, as Go's `time.Time` has them, and durations: fields, methods and printing. Layouts are left to `time_layout`, the functions
//! to `dates`.

use std::any::Any;
use std::rc::Rc;

use hub_gotemplate::{CallError, Object, Text, Value};
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::{TimeZone, TimeZoneDatabase};

use super::time_layout::format;

/// Nanoseconds of a second.
pub(super) const SECOND: i64 = 1_000_000_000;

/// A `time.Time`.
#[derive(Clone)]
pub(crate) struct Time {
    /// Seconds since 1970.
    seconds: i64,
    /// Nanoseconds of the second.
    nanoseconds: u32,
    zone: Zone,
}

/// Where the clock hangs on the wall.
#[derive(Clone, PartialEq)]
pub(super) enum Zone {
    Utc,
    /// Seconds east of UTC, and a name, which may be empty.
    Fixed(i64, String),
    /// A place of the time zone database.
    Place(TimeZone),
}

/// The seconds from the year 1 to 1970: Go's zero time is the former.
const FROM_YEAR_ONE: i64 = 62_135_596_800;

/// Date and time of day on the wall.
pub(super) struct Civil {
    pub(super) year: i64,
    pub(super) month: u8,
    pub(super) day: u8,
    pub(super) hour: u8,
    pub(super) minute: u8,
    pub(super) second: u8,
    pub(super) nanosecond: u32,
    /// From 0 for Sunday.
    pub(super) weekday: u8,
    /// From 1.
    pub(super) year_day: u16,
    /// Seconds east of UTC.
    pub(super) offset: i64,
    /// The name of the zone; empty if it has none.
    pub(super) zone: String,
}

impl Zone {
    /// The place `name`, as `time.LoadLocation`. `Local` is UTC: a hub has no place.
    pub(super) fn named(name: &str) -> Option<Self> {
        if matches!(name, "" | "UTC" | "Local") {
            return Some(Self::Utc);
        }
        let zone = TimeZoneDatabase::bundled().get(name).ok()?;
        // Names are exact in Go.
        (zone.iana_name() == Some(name)).then_some(Self::Place(zone))
    }

    /// Seconds east of UTC and the name at an instant.
    fn at(&self, seconds: i64) -> (i64, String) {
        match self {
            Self::Utc => (0, "UTC".to_owned()),
            Self::Fixed(offset, name) => (*offset, name.clone()),
            Self::Place(zone) => {
                // Beyond the years that the database knows, the zone is as at their end.
                let (least, greatest) = (Timestamp::MIN.as_second(), Timestamp::MAX.as_second());
                let instant = Timestamp::from_second(seconds.clamp(least, greatest)).unwrap_or_default();
                let info = zone.to_offset_info(instant);
                (i64::from(info.offset().seconds()), info.abbreviation().to_owned())
            }
        }
    }
}

impl Time {
    /// The instant `seconds` after 1970 began, in UTC.
    pub(crate) fn of_unix(seconds: i64) -> Self {
        Self { seconds, nanoseconds: 0, zone: Zone::Utc }
    }

    /// Go's zero time: the beginning of the year 1, in UTC.
    pub(super) fn zero() -> Self {
        Self::of_unix(-FROM_YEAR_ONE)
    }

    /// What the clock on the wall shows in `zone`, a date that exists. A moment that a change of the clock leaves out is taken as an hour later,
    /// one that comes twice as the first.
    pub(super) fn of_wall(date: (i64, u8, u8), time: (u8, u8, u8), nanoseconds: u32, zone: Zone) -> Self {
        let (hour, minute, second) = time;
        let wall = days_before(date) * 86_400 + i64::from(hour) * 3600 + i64::from(minute) * 60 + i64::from(second);
        let seconds = match &zone {
            Zone::Utc => wall,
            Zone::Fixed(offset, _) => wall - offset,
            Zone::Place(place) => {
                let civil = i16::try_from(date.0)
                    .ok()
                    .and_then(|year| DateTime::new(year, date.1 as i8, date.2 as i8, hour as i8, minute as i8, second as i8, 0).ok());
                let instant = civil.and_then(|civil| place.to_ambiguous_timestamp(civil).compatible().ok());
                instant.map_or_else(|| wall - zone.at(wall).0, Timestamp::as_second)
            }
        };
        Self { seconds, nanoseconds, zone }
    }

    /// As a value of templates.
    pub(crate) fn value(self) -> Value {
        Value::Object(Rc::new(self))
    }

    /// The time that `value` is, if it is one.
    pub(super) fn of(value: &Value) -> Option<&Self> {
        match value {
            Value::Object(object) => object.as_any().downcast_ref(),
            _ => None,
        }
    }

    /// Seconds since 1970.
    pub(super) fn unix(&self) -> i64 {
        self.seconds
    }

    /// The same instant elsewhere.
    pub(super) fn in_zone(&self, zone: Zone) -> Self {
        Self { zone, ..self.clone() }
    }

    /// So many nanoseconds later.
    pub(super) fn plus(&self, nanoseconds: i64) -> Self {
        let total = i128::from(self.seconds) * i128::from(SECOND) + i128::from(self.nanoseconds) + i128::from(nanoseconds);
        let second = i128::from(SECOND);
        Self {
            // The sum of seconds and 292 years overflows where Go's does.
            seconds: total.div_euclid(second) as i64,
            nanoseconds: total.rem_euclid(second) as u32,
            zone: self.zone.clone(),
        }
    }

    /// The nanoseconds from `other` to this, at most 292 years.
    pub(super) fn since(&self, other: &Self) -> i64 {
        let total = |time: &Self| i128::from(time.seconds) * i128::from(SECOND) + i128::from(time.nanoseconds);
        (total(self) - total(other)).clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64
    }

    /// The date and the time of day on the wall.
    pub(super) fn civil(&self) -> Civil {
        let (offset, zone) = self.zone.at(self.seconds);
        let wall = self.seconds.saturating_add(offset);
        let (days, second_of_day) = (wall.div_euclid(86_400), wall.rem_euclid(86_400));
        let (year, month, day) = date_of(days);
        Civil {
            year,
            month,
            day,
            hour: (second_of_day / 3600) as u8,
            minute: (second_of_day / 60 % 60) as u8,
            second: (second_of_day % 60) as u8,
            nanosecond: self.nanoseconds,
            // The first of January 1970 was a Thursday.
            weekday: (days + 4).rem_euclid(7) as u8,
            year_day: (days - days_before((year, 1, 1)) + 1) as u16,
            offset,
            zone,
        }
    }

    fn with_added_date(&self, years: i64, months: i64, days: i64) -> Self {
        let civil = self.civil();
        let months = i128::from(civil.month) - 1 + i128::from(months);
        let year = i128::from(civil.year) + i128::from(years) + months.div_euclid(12);
        // Years beyond these are beyond what 64 bits of seconds hold.
        let year = year.clamp(-200_000_000_000, 200_000_000_000) as i64;
        let month = months.rem_euclid(12) as u8 + 1;
        let start = days_before((year, month, 1));
        let day = i128::from(start) + i128::from(civil.day) - 1 + i128::from(days);
        let date = date_of(day.clamp(-(1 << 46), 1 << 46) as i64);
        Self::of_wall(date, (civil.hour, civil.minute, civil.second), self.nanoseconds, self.zone.clone())
    }

    fn is_zero(&self) -> bool {
        self.seconds == -FROM_YEAR_ONE && self.nanoseconds == 0
    }
}

/// The days from 1970 to a date of the Gregorian calendar, which is taken to have held always.
fn days_before((year, month, day): (i64, u8, u8)) -> i64 {
    // Years from March on, so that the leap day is the last of a year; 400 of them are an era of always the same length.
    let year = year - i64::from(month <= 2);
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * ((i64::from(month) + 9) % 12) + 2) / 5 + i64::from(day) - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// The date so many days after 1970 began.
fn date_of(days: i64) -> (i64, u8, u8) {
    let days = days + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = (month_from_march + 2) % 12 + 1;
    (era * 400 + year_of_era + i64::from(month <= 2), month as u8, day as u8)
}

/// The days of a month.
pub(super) fn days_in(month: u8, year: i64) -> u8 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if is_leap(year) => 29,
        2 => 28,
        _ => 31,
    }
}

/// Whether a year has a 29th of February.
pub(super) fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

pub(super) const MONTHS: [&str; 12] =
    ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"];

pub(super) const WEEKDAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

impl Object for Time {
    fn type_name(&self) -> &str {
        "time.Time"
    }

    fn kind(&self) -> &'static str {
        "struct"
    }

    fn field(&self, name: &str) -> Option<Result<Value, CallError>> {
        let civil = || self.civil();
        let total = || i128::from(self.seconds) * i128::from(SECOND) + i128::from(self.nanoseconds);
        Some(Ok(match name {
            "Year" => Value::Int(civil().year),
            "Month" => Counted::value("time.Month", MONTHS[usize::from(civil().month - 1)], i64::from(civil().month)),
            "Day" => Value::Int(i64::from(civil().day)),
            "Hour" => Value::Int(i64::from(civil().hour)),
            "Minute" => Value::Int(i64::from(civil().minute)),
            "Second" => Value::Int(i64::from(civil().second)),
            "Nanosecond" => Value::Int(i64::from(self.nanoseconds)),
            "Weekday" => Counted::value("time.Weekday", WEEKDAYS[usize::from(civil().weekday)], i64::from(civil().weekday)),
            "YearDay" => Value::Int(i64::from(civil().year_day)),
            "Unix" => Value::Int64(self.seconds),
            // They overflow as Go's do.
            "UnixMilli" => Value::Int64((total() / 1_000_000) as i64),
            "UnixMicro" => Value::Int64((total() / 1_000) as i64),
            "UnixNano" => Value::Int64(total() as i64),
            "UTC" | "Local" => self.in_zone(Zone::Utc).value(),
            "IsZero" => Value::Bool(self.is_zero()),
            "IsDST" => Value::Bool(match &self.zone {
                Zone::Place(zone) => Timestamp::from_second(self.seconds).is_ok_and(|instant| zone.to_offset_info(instant).dst().is_dst()),
                _ => false,
            }),
            "String" => Value::Text(self.print()),
            _ => return None,
        }))
    }

    fn method(&self, name: &str, arguments: &[Value]) -> Option<Result<Value, CallError>> {
        let other = |at: usize| match arguments.get(at).map(|value| (value, Self::of(value))) {
            Some((_, Some(time))) => Ok(time),
            Some((value, None)) => Err(wrong_type(name, "time.Time", value)),
            None => Err(wrong_count(name, at + 1, arguments)),
        };
        let span = |at: usize| match arguments.get(at) {
            Some(value) => Duration::of(value).ok_or_else(|| wrong_type(name, "time.Duration", value)),
            None => Err(wrong_count(name, at + 1, arguments)),
        };
        let int = |at: usize| match arguments.get(at) {
            Some(Value::Int(number) | Value::Int64(number)) => Ok(*number),
            Some(value) => Err(wrong_type(name, "int", value)),
            None => Err(wrong_count(name, 3, arguments)),
        };
        Some(match name {
            "Format" => match arguments {
                [Value::Text(layout)] => Ok(Value::text(format(&self.civil(), &layout.to_str()))),
                [value] => Err(wrong_type(name, "string", value)),
                _ => Err(wrong_count(name, 1, arguments)),
            },
            "Add" => span(0).map(|span| self.plus(span).value()),
            "Sub" => other(0).map(|other| Duration(self.since(other)).value()),
            "Before" => other(0).map(|other| Value::Bool((self.seconds, self.nanoseconds) < (other.seconds, other.nanoseconds))),
            "After" => other(0).map(|other| Value::Bool((self.seconds, self.nanoseconds) > (other.seconds, other.nanoseconds))),
            "Equal" => other(0).map(|other| Value::Bool((self.seconds, self.nanoseconds) == (other.seconds, other.nanoseconds))),
            "AddDate" => int(0)
                .and_then(|years| Ok((years, int(1)?, int(2)?)))
                .map(|(years, months, days)| self.with_added_date(years, months, days).value()),
            "Truncate" => span(0).map(|span| self.truncated(span).value()),
            _ => return None,
        })
    }

    fn plain(&self) -> Value {
        Value::text(format(&self.civil(), "2006-01-02T15:04:05.999999999Z07:00"))
    }

    fn print(&self) -> Text {
        Text::from(format(&self.civil(), "2006-01-02 15:04:05.999999999 -0700 MST"))
    }

    fn is_true(&self) -> bool {
        true
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl Time {
    /// Down to a multiple of `span` since Go's zero time.
    fn truncated(&self, span: i64) -> Self {
        if span <= 0 {
            return self.clone();
        }
        let total = (i128::from(self.seconds) + i128::from(FROM_YEAR_ONE)) * i128::from(SECOND) + i128::from(self.nanoseconds);
        self.plus(-(total.rem_euclid(i128::from(span)) as i64))
    }
}

fn wrong_type(method: &str, wanted: &str, value: &Value) -> CallError {
    CallError::failed(format!("wrong type for {method}: want {wanted}, got {}", hub_gotemplate::type_name(value)))
}

fn wrong_count(method: &str, wanted: usize, arguments: &[Value]) -> CallError {
    CallError::failed(format!("wrong number of args for {method}: want {wanted} got {}", arguments.len()))
}

/// A `time.Duration` in nanoseconds.
#[derive(Clone, Copy)]
pub(super) struct Duration(pub(super) i64);

impl Duration {
    /// As a value of templates.
    pub(super) fn value(self) -> Value {
        Value::Object(Rc::new(self))
    }

    fn of(value: &Value) -> Option<i64> {
        match value {
            Value::Object(object) => object.as_any().downcast_ref::<Self>().map(|duration| duration.0),
            Value::Int(number) | Value::Int64(number) => Some(*number),
            _ => None,
        }
    }

    /// As Go prints it: `72h3m0.5s`.
    pub(super) fn written(self) -> String {
        let sign = if self.0 < 0 { "-" } else { "" };
        let total = self.0.unsigned_abs();
        let fraction = |nanoseconds: u64, unit: u64, digits: usize| {
            let (whole, rest) = (nanoseconds / unit, nanoseconds % unit);
            let rest = format!("{rest:0digits$}");
            let rest = rest.trim_end_matches('0');
            if rest.is_empty() { whole.to_string() } else { format!("{whole}.{rest}") }
        };
        match total {
            0 => "0s".to_owned(),
            1..1_000 => format!("{sign}{total}ns"),
            1_000..1_000_000 => format!("{sign}{}µs", fraction(total, 1_000, 3)),
            1_000_000..1_000_000_000 => format!("{sign}{}ms", fraction(total, 1_000_000, 6)),
            _ => {
                let minutes = total / 60_000_000_000;
                let seconds = fraction(total % 60_000_000_000, 1_000_000_000, 9);
                match (minutes / 60, minutes % 60) {
                    (0, 0) => format!("{sign}{seconds}s"),
                    (0, minutes) => format!("{sign}{minutes}m{seconds}s"),
                    (hours, minutes) => format!("{sign}{hours}h{minutes}m{seconds}s"),
                }
            }
        }
    }
}

impl Object for Duration {
    fn type_name(&self) -> &str {
        "time.Duration"
    }

    fn kind(&self) -> &'static str {
        "int64"
    }

    fn field(&self, name: &str) -> Option<Result<Value, CallError>> {
        let units = |unit: i64| self.0 as f64 / unit as f64;
        Some(Ok(match name {
            "Nanoseconds" => Value::Int64(self.0),
            "Microseconds" => Value::Int64(self.0 / 1_000),
            "Milliseconds" => Value::Int64(self.0 / 1_000_000),
            "Seconds" => Value::Float(units(SECOND)),
            "Minutes" => Value::Float(units(60 * SECOND)),
            "Hours" => Value::Float(units(3600 * SECOND)),
            "Abs" => Self(self.0.saturating_abs()).value(),
            "String" => Value::text(self.written()),
            _ => return None,
        }))
    }

    fn method(&self, name: &str, arguments: &[Value]) -> Option<Result<Value, CallError>> {
        let (rounds, truncates) = (name == "Round", name == "Truncate");
        if !rounds && !truncates {
            return None;
        }
        Some(match arguments {
            [value] => match Self::of(value) {
                Some(unit) if unit <= 0 => Ok(self.value()),
                Some(unit) if truncates => Ok(Self(self.0 - self.0 % unit).value()),
                Some(unit) => Ok(Self(rounded(self.0, unit)).value()),
                None => Err(wrong_type(name, "time.Duration", value)),
            },
            _ => Err(wrong_count(name, 1, arguments)),
        })
    }

    fn plain(&self) -> Value {
        Value::Int64(self.0)
    }

    fn print(&self) -> Text {
        Text::from(self.written())
    }

    fn is_true(&self) -> bool {
        self.0 != 0
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// To the nearest multiple of `unit`, halves away from zero.
pub(super) fn rounded(nanoseconds: i64, unit: i64) -> i64 {
    let rest = nanoseconds % unit;
    let down = nanoseconds - rest;
    if rest.unsigned_abs() < unit.unsigned_abs().div_ceil(2) { down } else { down.saturating_add(unit * rest.signum()) }
}

/// A number with a name: a `time.Month` or a `time.Weekday`.
struct Counted {
    type_name: &'static str,
    name: &'static str,
    number: i64,
}

impl Counted {
    fn value(type_name: &'static str, name: &'static str, number: i64) -> Value {
        Value::Object(Rc::new(Self { type_name, name, number }))
    }
}

impl Object for Counted {
    fn type_name(&self) -> &str {
        self.type_name
    }

    fn kind(&self) -> &'static str {
        "int"
    }

    fn field(&self, name: &str) -> Option<Result<Value, CallError>> {
        (name == "String").then(|| Ok(Value::text(self.name)))
    }

    fn method(&self, _: &str, _: &[Value]) -> Option<Result<Value, CallError>> {
        None
    }

    fn plain(&self) -> Value {
        Value::Int(self.number)
    }

    fn print(&self) -> Text {
        Text::from(self.name)
    }

    fn is_true(&self) -> bool {
        self.number != 0
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
