//! Go's layouts: the time 2006-01-02 15:04:05 written as another time is to be written or read.

use super::time::{Civil, MONTHS, Time, WEEKDAYS, Zone, days_in, is_leap};

/// What a layout has beside text that stands for itself.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Element {
    LongMonth,
    Month,
    NumMonth,
    ZeroMonth,
    LongWeekday,
    Weekday,
    Day,
    UnderDay,
    ZeroDay,
    UnderYearDay,
    ZeroYearDay,
    Hour,
    Hour12,
    ZeroHour12,
    Minute,
    ZeroMinute,
    Second,
    ZeroSecond,
    LongYear,
    Year,
    UpperPm,
    LowerPm,
    ZoneName,
    Offset {
        zulu: bool,
        form: OffsetForm,
    },
    /// So many digits after `separator`; nines leave zeros at the end out.
    Fraction {
        digits: usize,
        separator: u8,
        nines: bool,
    },
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum OffsetForm {
    Hours,
    Minutes,
    ColonMinutes,
    Seconds,
    ColonSeconds,
}

/// The elements that are there whatever follows, longer ones before those that they begin with.
const ELEMENTS: &[(&str, Element)] = &[
    ("January", Element::LongMonth),
    ("Monday", Element::LongWeekday),
    ("MST", Element::ZoneName),
    ("002", Element::ZeroYearDay),
    ("01", Element::ZeroMonth),
    ("02", Element::ZeroDay),
    ("03", Element::ZeroHour12),
    ("04", Element::ZeroMinute),
    ("05", Element::ZeroSecond),
    ("06", Element::Year),
    ("15", Element::Hour),
    ("1", Element::NumMonth),
    ("2006", Element::LongYear),
    ("2", Element::Day),
    ("__2", Element::UnderYearDay),
    ("_2", Element::UnderDay),
    ("3", Element::Hour12),
    ("4", Element::Minute),
    ("5", Element::Second),
    ("PM", Element::UpperPm),
    ("pm", Element::LowerPm),
    ("-070000", Element::Offset { zulu: false, form: OffsetForm::Seconds }),
    ("-07:00:00", Element::Offset { zulu: false, form: OffsetForm::ColonSeconds }),
    ("-0700", Element::Offset { zulu: false, form: OffsetForm::Minutes }),
    ("-07:00", Element::Offset { zulu: false, form: OffsetForm::ColonMinutes }),
    ("-07", Element::Offset { zulu: false, form: OffsetForm::Hours }),
    ("Z070000", Element::Offset { zulu: true, form: OffsetForm::Seconds }),
    ("Z07:00:00", Element::Offset { zulu: true, form: OffsetForm::ColonSeconds }),
    ("Z0700", Element::Offset { zulu: true, form: OffsetForm::Minutes }),
    ("Z07:00", Element::Offset { zulu: true, form: OffsetForm::ColonMinutes }),
    ("Z07", Element::Offset { zulu: true, form: OffsetForm::Hours }),
];

/// The text before the first element, the element and how it is written, and the rest.
type Found<'l> = (&'l [u8], Element, &'l [u8], &'l [u8]);

fn next_element(layout: &[u8]) -> Option<Found<'_>> {
    (0..layout.len()).find_map(|at| {
        let rest = &layout[at..];
        // Of `_2006` the underscore stands for itself.
        let found = if rest.starts_with(b"_2006") { None } else { element(rest) };
        found.map(|(element, length)| (&layout[..at], element, &rest[..length], &rest[length..]))
    })
}

fn element(rest: &[u8]) -> Option<(Element, usize)> {
    if let Some((name, element)) = ELEMENTS.iter().find(|(name, _)| rest.starts_with(name.as_bytes())) {
        return Some((*element, name.len()));
    }
    // A month or a day is no part of a longer word.
    let ends_word = !rest.get(3).is_some_and(u8::is_ascii_lowercase);
    match rest {
        [b'J', b'a', b'n', ..] if ends_word => Some((Element::Month, 3)),
        [b'M', b'o', b'n', ..] if ends_word => Some((Element::Weekday, 3)),
        [separator @ (b'.' | b','), digit @ (b'0' | b'9'), ..] => {
            let digits = rest[1..].iter().take_while(|byte| *byte == digit).count();
            let is_fraction = !rest.get(1 + digits).is_some_and(u8::is_ascii_digit);
            is_fraction.then_some((Element::Fraction { digits, separator: *separator, nines: *digit == b'9' }, 1 + digits))
        }
        _ => None,
    }
}

/// `time` as `layout` tells.
pub(super) fn format(time: &Civil, layout: &str) -> String {
    let mut out = String::new();
    let mut rest = layout.as_bytes();
    while let Some((before, element, _, after)) = next_element(rest) {
        // Elements are ASCII, so that the text between them is whole characters.
        out.push_str(&String::from_utf8_lossy(before));
        push(&mut out, time, element);
        rest = after;
    }
    out.push_str(&String::from_utf8_lossy(rest));
    out
}

fn push(out: &mut String, time: &Civil, element: Element) {
    let month = MONTHS[usize::from(time.month - 1)];
    let weekday = WEEKDAYS[usize::from(time.weekday)];
    let hour12 = if time.hour.is_multiple_of(12) { 12 } else { time.hour % 12 };
    out.push_str(&match element {
        Element::LongMonth => month.to_owned(),
        Element::Month => month[..3].to_owned(),
        Element::NumMonth => time.month.to_string(),
        Element::ZeroMonth => format!("{:02}", time.month),
        Element::LongWeekday => weekday.to_owned(),
        Element::Weekday => weekday[..3].to_owned(),
        Element::Day => time.day.to_string(),
        Element::UnderDay => format!("{:2}", time.day),
        Element::ZeroDay => format!("{:02}", time.day),
        Element::UnderYearDay => format!("{:3}", time.year_day),
        Element::ZeroYearDay => format!("{:03}", time.year_day),
        Element::Hour => format!("{:02}", time.hour),
        Element::Hour12 => hour12.to_string(),
        Element::ZeroHour12 => format!("{hour12:02}"),
        Element::Minute => time.minute.to_string(),
        Element::ZeroMinute => format!("{:02}", time.minute),
        Element::Second => time.second.to_string(),
        Element::ZeroSecond => format!("{:02}", time.second),
        Element::LongYear if time.year < 0 => format!("-{:04}", time.year.unsigned_abs()),
        Element::LongYear => format!("{:04}", time.year),
        Element::Year => format!("{:02}", time.year.max(0) % 100),
        Element::UpperPm => if time.hour >= 12 { "PM" } else { "AM" }.to_owned(),
        Element::LowerPm => if time.hour >= 12 { "pm" } else { "am" }.to_owned(),
        Element::ZoneName if time.zone.is_empty() => offset(time.offset, OffsetForm::Minutes),
        Element::ZoneName => time.zone.clone(),
        Element::Offset { zulu: true, .. } if time.offset == 0 => "Z".to_owned(),
        Element::Offset { form, .. } => offset(time.offset, form),
        Element::Fraction { digits, separator, nines } => {
            let all = format!("{:09}", time.nanosecond);
            let kept = &all[..digits.min(9)];
            let kept = if nines { kept.trim_end_matches('0') } else { kept };
            if nines && kept.is_empty() { String::new() } else { format!("{}{kept}", char::from(separator)) }
        }
    });
}

fn offset(seconds: i64, form: OffsetForm) -> String {
    // The sign is that of whole minutes.
    let sign = if seconds / 60 < 0 { '-' } else { '+' };
    let magnitude = seconds.unsigned_abs();
    let (hours, minutes, seconds) = (magnitude / 3600, magnitude / 60 % 60, magnitude % 60);
    match form {
        OffsetForm::Hours => format!("{sign}{hours:02}"),
        OffsetForm::Minutes => format!("{sign}{hours:02}{minutes:02}"),
        OffsetForm::ColonMinutes => format!("{sign}{hours:02}:{minutes:02}"),
        OffsetForm::Seconds => format!("{sign}{hours:02}{minutes:02}{seconds:02}"),
        OffsetForm::ColonSeconds => format!("{sign}{hours:02}:{minutes:02}:{seconds:02}"),
    }
}

/// The time that `text` is in the layout `layout`, in UTC if it names no zone. An error is Go's message.
pub(super) fn parse(layout: &[u8], text: &[u8]) -> Result<Time, String> {
    let mut reading = Reading { layout, text, ..Reading::default() };
    reading.read()?;
    reading.time()
}

/// What was read so far.
#[derive(Default)]
struct Reading<'a> {
    layout: &'a [u8],
    text: &'a [u8],
    year: i64,
    month: Option<u8>,
    day: Option<u16>,
    year_day: Option<u16>,
    hour: u8,
    minute: u8,
    second: u8,
    nanosecond: u32,
    is_pm: bool,
    is_am: bool,
    utc: bool,
    offset: Option<i64>,
    zone: String,
}

/// Why an element cannot be read.
enum Misread {
    /// The text is of another form.
    Form,
    /// A number is too large or too small.
    Range(&'static str),
}

impl Reading<'_> {
    fn read(&mut self) -> Result<(), String> {
        let (mut layout, mut text) = (self.layout, self.text);
        while let Some((before, element, written, after)) = next_element(layout) {
            text = self.skip(text, before)?;
            layout = after;
            let hold = text;
            match self.element(element, &mut text, layout) {
                Ok(()) => {}
                Err(Misread::Range(what)) => return Err(self.message(&format!("{what} out of range"))),
                Err(Misread::Form) => return Err(self.mismatch(written, hold)),
            }
        }
        text = self.skip(text, layout)?;
        if text.is_empty() { Ok(()) } else { Err(self.message(&format!("extra text: {}", quoted(text)))) }
    }

    fn message(&self, what: &str) -> String {
        format!("parsing time {}: {what}", quoted(self.text))
    }

    fn mismatch(&self, wanted: &[u8], found: &[u8]) -> String {
        let (text, layout) = (quoted(self.text), quoted(self.layout));
        format!("parsing time {text} as {layout}: cannot parse {} as {}", quoted(found), quoted(wanted))
    }

    /// Goes over text that stands for itself; any number of spaces for any number.
    fn skip<'t>(&self, mut text: &'t [u8], expected: &[u8]) -> Result<&'t [u8], String> {
        let mut rest = expected;
        while let Some((&byte, after)) = rest.split_first() {
            if byte == b' ' {
                if !text.is_empty() && text[0] != b' ' {
                    return Err(self.mismatch(expected, text));
                }
                rest = rest.trim_ascii_start_of_spaces();
                text = text.trim_ascii_start_of_spaces();
                continue;
            }
            text = text.strip_prefix(&[byte]).ok_or_else(|| self.mismatch(expected, text))?;
            rest = after;
        }
        Ok(text)
    }

    fn element(&mut self, element: Element, text: &mut &[u8], layout: &[u8]) -> Result<(), Misread> {
        let within = |number: u16, limit: u16, what| if number <= limit { Ok(number as u8) } else { Err(Misread::Range(what)) };
        match element {
            Element::Year => {
                let year = digits(text, 2)?;
                self.year = if year >= 69 { year + 1900 } else { year + 2000 };
            }
            Element::LongYear => self.year = digits(text, 4)?,
            Element::Month => self.month = Some(name(text, MONTHS.map(|month| &month[..3]))?),
            Element::LongMonth => self.month = Some(name(text, MONTHS)?),
            Element::NumMonth | Element::ZeroMonth => {
                let month = number(text, element == Element::ZeroMonth)?;
                self.month = Some(if month == 0 { return Err(Misread::Range("month")) } else { within(month, 12, "month")? });
            }
            Element::Weekday => drop(name(text, WEEKDAYS.map(|day| &day[..3]))?),
            Element::LongWeekday => drop(name(text, WEEKDAYS)?),
            Element::Day | Element::UnderDay | Element::ZeroDay => {
                if element == Element::UnderDay {
                    *text = text.strip_prefix(b" ").unwrap_or(text);
                }
                self.day = Some(number(text, element == Element::ZeroDay)?);
            }
            Element::UnderYearDay | Element::ZeroYearDay => {
                for _ in 0..2 {
                    if element == Element::UnderYearDay {
                        *text = text.strip_prefix(b" ").unwrap_or(text);
                    }
                }
                self.year_day = Some(number_of_three(text, element == Element::ZeroYearDay)?);
            }
            Element::Hour => self.hour = within(number(text, false)?, 23, "hour")?,
            Element::Hour12 | Element::ZeroHour12 => self.hour = within(number(text, element == Element::ZeroHour12)?, 12, "hour")?,
            Element::Minute | Element::ZeroMinute => self.minute = within(number(text, element == Element::ZeroMinute)?, 59, "minute")?,
            Element::Second | Element::ZeroSecond => {
                self.second = within(number(text, element == Element::ZeroSecond)?, 59, "second")?;
                // A fraction is read also where the layout has none.
                let is_told = matches!(next_element(layout), Some((_, Element::Fraction { .. }, ..)));
                if !is_told && matches!(text, [b'.' | b',', b'0'..=b'9', ..]) {
                    self.fraction(text)?;
                }
            }
            Element::UpperPm | Element::LowerPm => {
                let mark = text.get(..2).ok_or(Misread::Form)?;
                match (mark, element) {
                    (b"PM", Element::UpperPm) | (b"pm", Element::LowerPm) => self.is_pm = true,
                    (b"AM", Element::UpperPm) | (b"am", Element::LowerPm) => self.is_am = true,
                    _ => return Err(Misread::Form),
                }
                *text = &text[2..];
            }
            Element::Offset { zulu: true, .. } if text.first() == Some(&b'Z') => {
                *text = &text[1..];
                self.utc = true;
            }
            Element::Offset { form, .. } => self.offset = Some(read_offset(text, form)?),
            Element::ZoneName => match text.strip_prefix(b"UTC") {
                Some(rest) => {
                    self.utc = true;
                    *text = rest;
                }
                None => {
                    let length = zone_name(text).ok_or(Misread::Form)?;
                    self.zone = String::from_utf8_lossy(&text[..length]).into_owned();
                    *text = &text[length..];
                }
            },
            Element::Fraction { digits, nines: false, .. } => {
                let written = text.get(..=digits).ok_or(Misread::Form)?;
                if !matches!(written[0], b'.' | b',') || !written[1..].iter().all(u8::is_ascii_digit) {
                    return Err(Misread::Form);
                }
                let mut fraction = written;
                self.fraction(&mut fraction)?;
                *text = &text[1 + digits..];
            }
            Element::Fraction { .. } => {
                if matches!(text, [b'.' | b',', b'0'..=b'9', ..]) {
                    self.fraction(text)?;
                }
            }
        }
        Ok(())
    }

    /// A separator and digits, of which nine count.
    fn fraction(&mut self, text: &mut &[u8]) -> Result<(), Misread> {
        let digits = text[1..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        let counted = digits.min(9);
        let value = text[1..=counted].iter().fold(0, |value, byte| value * 10 + u32::from(byte - b'0'));
        self.nanosecond = value * 10_u32.pow(9 - counted as u32);
        *text = &text[1 + digits..];
        Ok(())
    }

    fn time(&self) -> Result<Time, String> {
        let hour = match self.hour {
            hour if self.is_pm && hour < 12 => hour + 12,
            12 if self.is_am => 0,
            hour => hour,
        };
        let (month, day) = match self.year_day {
            None => (self.month.unwrap_or(1), self.day.unwrap_or(1)),
            Some(year_day) => self.date_of_year_day(year_day)?,
        };
        if day < 1 || day > u16::from(days_in(month, self.year)) {
            return Err(self.message("day out of range"));
        }
        let wall = |zone| Time::of_wall((self.year, month, day as u8), (hour, self.minute, self.second), self.nanosecond, zone);
        if self.utc {
            return Ok(wall(Zone::Utc));
        }
        if let Some(offset) = self.offset {
            let is_utc = offset == 0 && matches!(self.zone.as_str(), "" | "UTC");
            return Ok(wall(if is_utc { Zone::Utc } else { Zone::Fixed(offset, self.zone.clone()) }));
        }
        if self.zone.is_empty() {
            return Ok(wall(Zone::Utc));
        }
        // A name without an offset means nothing in UTC but GMT+3; the time is taken as it is.
        let hours: i64 = self.zone.strip_prefix("GMT").and_then(|hours| hours.parse().ok()).unwrap_or(0);
        let named = wall(Zone::Fixed(0, self.zone.clone()));
        Ok(named.in_zone(Zone::Fixed(hours * 3600, self.zone.clone())))
    }

    fn date_of_year_day(&self, year_day: u16) -> Result<(u8, u16), String> {
        if year_day < 1 || year_day > 365 + u16::from(is_leap(self.year)) {
            return Err(self.message("day-of-year out of range"));
        }
        let (mut month, mut day) = (1, year_day);
        while day > u16::from(days_in(month, self.year)) {
            day -= u16::from(days_in(month, self.year));
            month += 1;
        }
        if self.month.is_some_and(|told| told != month) {
            return Err(self.message("day-of-year does not match month"));
        }
        if self.day.is_some_and(|told| told != day) {
            return Err(self.message("day-of-year does not match day"));
        }
        Ok((month, day))
    }
}

/// Without the spaces at the beginning.
trait WithoutSpaces {
    fn trim_ascii_start_of_spaces(&self) -> &Self;
}

impl WithoutSpaces for [u8] {
    fn trim_ascii_start_of_spaces(&self) -> &Self {
        &self[self.iter().take_while(|byte| **byte == b' ').count()..]
    }
}

/// Exactly so many digits.
fn digits(text: &mut &[u8], count: usize) -> Result<i64, Misread> {
    let written = text.get(..count).filter(|written| written.iter().all(u8::is_ascii_digit)).ok_or(Misread::Form)?;
    *text = &text[count..];
    Ok(written.iter().fold(0, |value, byte| value * 10 + i64::from(byte - b'0')))
}

/// One or two digits, or exactly two.
fn number(text: &mut &[u8], fixed: bool) -> Result<u16, Misread> {
    let (value, rest) = match **text {
        [a @ b'0'..=b'9', b @ b'0'..=b'9', ref rest @ ..] => (u16::from(a - b'0') * 10 + u16::from(b - b'0'), rest),
        [a @ b'0'..=b'9', ref rest @ ..] if !fixed => (u16::from(a - b'0'), rest),
        _ => return Err(Misread::Form),
    };
    *text = &text[text.len() - rest.len()..];
    Ok(value)
}

/// Up to three digits, or exactly three.
fn number_of_three(text: &mut &[u8], fixed: bool) -> Result<u16, Misread> {
    let count = text.iter().take(3).take_while(|byte| byte.is_ascii_digit()).count();
    if count == 0 || fixed && count != 3 {
        return Err(Misread::Form);
    }
    let value = text[..count].iter().fold(0, |value, byte| value * 10 + u16::from(byte - b'0'));
    *text = &text[count..];
    Ok(value)
}

/// The number, from 1, of the name that the text begins with, in capitals or not.
fn name<const N: usize>(text: &mut &[u8], names: [&str; N]) -> Result<u8, Misread> {
    let found = names.iter().position(|name| text.get(..name.len()).is_some_and(|written| written.eq_ignore_ascii_case(name.as_bytes())));
    let place = found.ok_or(Misread::Form)?;
    *text = &text[names[place].len()..];
    Ok(place as u8 + 1)
}

fn read_offset(text: &mut &[u8], form: OffsetForm) -> Result<i64, Misread> {
    let (length, places): (usize, &[usize]) = match form {
        OffsetForm::Hours => (3, &[1]),
        OffsetForm::Minutes => (5, &[1, 3]),
        OffsetForm::ColonMinutes => (6, &[1, 4]),
        OffsetForm::Seconds => (7, &[1, 3, 5]),
        OffsetForm::ColonSeconds => (9, &[1, 4, 7]),
    };
    let written = text.get(..length).ok_or(Misread::Form)?;
    let colons: &[usize] = match form {
        OffsetForm::ColonMinutes => &[3],
        OffsetForm::ColonSeconds => &[3, 6],
        _ => &[],
    };
    if colons.iter().any(|&at| written[at] != b':') {
        return Err(Misread::Form);
    }
    let mut parts = [0; 3];
    let mut is_number = true;
    for (part, &at) in parts.iter_mut().zip(places) {
        match number(&mut &written[at..at + 2], true) {
            Ok(value) => *part = i64::from(value),
            Err(_) => is_number = false,
        }
    }
    let [hours, minutes, seconds] = parts;
    for (value, limit, what) in
        [(hours, 24, "time zone offset hour"), (minutes, 60, "time zone offset minute"), (seconds, 60, "time zone offset second")]
    {
        if value > limit {
            return Err(Misread::Range(what));
        }
    }
    let offset = (hours * 60 + minutes) * 60 + seconds;
    let offset = match written[0] {
        b'+' => offset,
        b'-' => -offset,
        _ => return Err(Misread::Form),
    };
    *text = &text[length..];
    if is_number { Ok(offset) } else { Err(Misread::Form) }
}

/// How long the abbreviation of a zone is that the text begins with.
fn zone_name(text: &[u8]) -> Option<usize> {
    if text.len() < 3 {
        return None;
    }
    if text.starts_with(b"ChST") || text.starts_with(b"MeST") {
        return Some(4);
    }
    if let Some(after) = text.strip_prefix(b"GMT") {
        return Some(3 + signed_hours(after));
    }
    if matches!(text[0], b'+' | b'-') {
        return Some(signed_hours(text)).filter(|&length| length > 0);
    }
    match text.iter().take(6).take_while(|byte| byte.is_ascii_uppercase()).count() {
        3 => Some(3),
        4 if text[3] == b'T' || text.starts_with(b"WITA") => Some(4),
        5 if text[4] == b'T' => Some(5),
        _ => None,
    }
}

/// The length of a sign and hours up to 23; 0 if there are none.
fn signed_hours(text: &[u8]) -> usize {
    if !matches!(text.first(), Some(b'+' | b'-')) {
        return 0;
    }
    let digits = text[1..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let hours = text[1..=digits].iter().fold(0_u32, |hours, byte| hours.saturating_mul(10).saturating_add(u32::from(byte - b'0')));
    if digits == 0 || hours > 23 { 0 } else { 1 + digits }
}

/// As messages of Go's `time` quote.
pub(super) fn quoted(text: &[u8]) -> String {
    let mut out = String::from("\"");
    for &byte in text {
        match byte {
            b'"' | b'\\' => out.extend(['\\', char::from(byte)]),
            b' '..=0x7F => out.push(char::from(byte)),
            _ => out.push_str(&format!("\\x{byte:02x}")),
        }
    }
    out.push('"');
    out
}
