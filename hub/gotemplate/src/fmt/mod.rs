//! Go's `fmt`: how values print, with and without a format. Numbers are in `number`, quoting is in `quote`.

mod number;
mod quote;

pub use quote::{is_digit, is_letter, is_print, quote, quote_bytes, quote_char};

use crate::{CallError, Exceeded, List, Map, Text, Value, kind_name, type_name};
use number::Radix;

/// The longest text that one call makes. A `printf` with a width of a million has to be repeated 64 times for it, and the longest manifest that
/// an API server takes fits 40 times.
pub const LONGEST: usize = 64 << 20;

/// How deep lists and maps may be nested to be printed: a map can contain itself. Charts need about twenty levels.
const DEEPEST: u32 = 512;

/// The largest width or precision that Go takes; a larger one is an error in the output.
const WIDEST: i64 = 1_000_000;

/// The stack that printing one level of nesting takes at most, with room for what an [`crate::Object`] does to print itself.
pub(crate) const RED_ZONE: usize = 128 << 10;

/// How much stack is added at a time.
pub(crate) const STACK_STEP: usize = 1 << 20;

/// As `fmt.Sprint(value)`.
pub fn sprint(value: &Value) -> Result<Text, CallError> {
    if let Value::Text(text) = value {
        return Ok(text.clone());
    }
    made(|printer| printer.value(value, 'v'))
}

/// As `fmt.Sprint(values...)`: a space between two that are no strings.
pub fn sprint_all(values: &[Value]) -> Result<Text, CallError> {
    made(|printer| printer.all(values))
}

/// As `fmt.Sprintln(values...)`: a space between all, and a newline at the end.
pub fn sprintln(values: &[Value]) -> Result<Text, CallError> {
    made(|printer| {
        for (index, value) in values.iter().enumerate() {
            if index > 0 {
                printer.out.push(b' ');
            }
            printer.value(value, 'v')?;
        }
        printer.out.push(b'\n');
        Ok(())
    })
}

/// As `fmt.Sprintf(format, values...)`.
pub fn sprintf(format: &[u8], values: &[Value]) -> Result<Text, CallError> {
    made(|printer| printer.format(format, values))
}

/// Appends what `fmt.Sprint(value)` gives, which may be `longest` bytes long.
pub fn append(out: &mut Vec<u8>, value: &Value, longest: usize) -> Result<(), Exceeded> {
    let mut printer = Printer { longest: out.len().saturating_add(longest), out: std::mem::take(out), flags: Flags::default(), depth: 0 };
    let result = printer.value(value, 'v');
    *out = printer.out;
    result
}

fn made(print: impl FnOnce(&mut Printer) -> Result<(), Exceeded>) -> Result<Text, CallError> {
    let mut printer = Printer { out: Vec::new(), longest: LONGEST, flags: Flags::default(), depth: 0 };
    print(&mut printer)?;
    Ok(Text::from(printer.out))
}

#[derive(Default, Clone, Copy)]
struct Flags {
    minus: bool,
    plus: bool,
    sharp: bool,
    space: bool,
    zero: bool,
    /// `%+v`.
    plus_v: bool,
    /// `%#v`.
    sharp_v: bool,
    width: Option<usize>,
    precision: Option<usize>,
}

struct Printer {
    out: Vec<u8>,
    longest: usize,
    flags: Flags,
    depth: u32,
}

impl Printer {
    fn check(&self) -> Result<(), Exceeded> {
        if self.out.len() > self.longest { Err(Exceeded::Output(self.longest as u64)) } else { Ok(()) }
    }

    fn all(&mut self, values: &[Value]) -> Result<(), Exceeded> {
        let mut after_text = false;
        for (index, value) in values.iter().enumerate() {
            let is_text = kind_name(value) == "string";
            if index > 0 && !is_text && !after_text {
                self.out.push(b' ');
            }
            self.value(value, 'v')?;
            after_text = is_text;
        }
        Ok(())
    }

    /// One operand of a format.
    fn operand(&mut self, value: &Value, verb: char) -> Result<(), Exceeded> {
        match (verb, value) {
            ('T', Value::Nil) => self.pad(b"<nil>"),
            ('T', _) => {
                let name = type_name(value).into_owned();
                self.text(name.as_bytes(), 's')?;
            }
            ('w', _) => self.bad_verb(value, verb)?,
            _ => self.value(value, verb)?,
        }
        self.check()
    }

    fn value(&mut self, value: &Value, verb: char) -> Result<(), Exceeded> {
        match value {
            Value::Nil if verb == 'v' && self.depth == 0 => self.pad(b"<nil>"),
            Value::Nil if self.depth == 0 => self.bad_verb(value, verb)?,
            Value::Nil if self.flags.sharp_v => self.out.extend_from_slice(b"interface {}(nil)"),
            Value::Nil => self.out.extend_from_slice(b"<nil>"),
            Value::Bool(truth) => match verb {
                't' | 'v' => self.pad(if *truth { b"true" } else { b"false" }),
                _ => self.bad_verb(value, verb)?,
            },
            Value::Int(number) | Value::Int64(number) => {
                if !self.integer(*number as u64, true, verb) {
                    self.bad_verb(value, verb)?;
                }
            }
            Value::Float(number) => {
                if !self.float(*number, verb) {
                    self.bad_verb(value, verb)?;
                }
            }
            Value::Text(text) => {
                if !self.text(text, verb)? {
                    self.bad_verb(value, verb)?;
                }
            }
            Value::List(list) => self.nested(|printer| printer.list(list, verb))?,
            Value::Map(map) => self.nested(|printer| printer.map(map, verb))?,
            Value::Object(object) => self.object(&**object, value, verb)?,
        }
        self.check()
    }

    fn nested(&mut self, print: impl FnOnce(&mut Self) -> Result<(), Exceeded>) -> Result<(), Exceeded> {
        if self.depth == DEEPEST {
            return Err(Exceeded::Depth(DEEPEST));
        }
        self.depth += 1;
        let result = stacker::maybe_grow(RED_ZONE, STACK_STEP, || print(self));
        self.depth -= 1;
        result
    }

    fn list(&mut self, list: &List, verb: char) -> Result<(), Exceeded> {
        let separator: &[u8] = if self.flags.sharp_v { b", " } else { b" " };
        if self.flags.sharp_v {
            self.out.extend_from_slice(list.type_name().as_bytes());
        }
        self.out.push(if self.flags.sharp_v { b'{' } else { b'[' });
        for (index, item) in list.items().iter().enumerate() {
            if index > 0 {
                self.out.extend_from_slice(separator);
            }
            self.value(item, verb)?;
        }
        self.out.push(if self.flags.sharp_v { b'}' } else { b']' });
        Ok(())
    }

    fn map(&mut self, map: &Map, verb: char) -> Result<(), Exceeded> {
        let (open, separator, close): (_, &[u8], _) =
            if self.flags.sharp_v { (format!("{}{{", map.type_name()), b", ", b'}') } else { ("map[".to_owned(), b" ", b']') };
        self.out.extend_from_slice(open.as_bytes());
        for (index, (key, item)) in map.entries().iter().enumerate() {
            if index > 0 {
                self.out.extend_from_slice(separator);
            }
            self.value(&Value::Text(key.clone()), verb)?;
            self.out.push(b':');
            self.value(item, verb)?;
        }
        self.out.push(close);
        Ok(())
    }

    fn object(&mut self, object: &dyn crate::Object, value: &Value, verb: char) -> Result<(), Exceeded> {
        // A plain number is not of a type with a name, and does not print itself.
        let is_number = object.type_name() == object.kind() && object.kind().contains("int");
        let plain = match verb {
            _ if is_number => Some(object.plain()),
            'v' if !self.flags.sharp_v => None,
            's' | 'q' | 'x' | 'X' if !object.kind().contains("int") => None,
            _ => Some(object.plain()),
        };
        match plain {
            // What prints itself does so as a string; a `[]byte` is one for these verbs.
            None => match object.plain() {
                Value::Text(bytes) if object.kind() == "slice" && verb != 'v' => self.text(&bytes, verb).map(|_| ()),
                _ => self.text(&object.print(), if verb == 'v' { 's' } else { verb }).map(|_| ()),
            },
            Some(Value::Int(number) | Value::Int64(number)) if object.kind().starts_with("uint") => {
                if !self.integer(number as u64, false, verb) {
                    self.bad_verb(value, verb)?;
                }
                Ok(())
            }
            Some(number @ (Value::Int(_) | Value::Int64(_) | Value::Float(_) | Value::Bool(_))) => self.value(&number, verb),
            Some(Value::List(list)) => self.nested(|printer| printer.list(&list, verb)),
            Some(Value::Map(map)) => self.nested(|printer| printer.map(&map, verb)),
            Some(_) => self.bad_verb(value, verb),
        }
    }

    fn bad_verb(&mut self, value: &Value, verb: char) -> Result<(), Exceeded> {
        self.out.extend_from_slice(b"%!");
        self.push_char(verb);
        self.out.push(b'(');
        match value {
            Value::Nil => self.out.extend_from_slice(b"<nil>"),
            _ => {
                let name = type_name(value).into_owned();
                self.out.extend_from_slice(name.as_bytes());
                self.out.push(b'=');
                if verb != 'v' {
                    self.value(value, 'v')?;
                }
            }
        }
        self.out.push(b')');
        Ok(())
    }

    fn push_char(&mut self, char: char) {
        self.out.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
    }

    fn padding(&mut self, count: usize) {
        let filler = if self.flags.zero && !self.flags.minus { b'0' } else { b' ' };
        self.out.resize(self.out.len() + count, filler);
    }

    fn pad(&mut self, bytes: &[u8]) {
        let missing = match self.flags.width {
            None | Some(0) => 0,
            Some(width) => width.saturating_sub(count_chars(bytes)),
        };
        if self.flags.minus {
            self.out.extend_from_slice(bytes);
            self.padding(missing);
        } else {
            self.padding(missing);
            self.out.extend_from_slice(bytes);
        }
    }

    fn pad_with_spaces(&mut self, bytes: &[u8]) {
        let zero = std::mem::take(&mut self.flags.zero);
        self.pad(bytes);
        self.flags.zero = zero;
    }

    /// Whether the verb is one for strings.
    fn text(&mut self, text: &[u8], verb: char) -> Result<bool, Exceeded> {
        if self.out.len() + text.len() > self.longest {
            return Err(Exceeded::Output(self.longest as u64));
        }
        match verb {
            'v' if self.flags.sharp_v => self.quoted(text),
            'v' | 's' => self.pad(cut(text, self.flags.precision)),
            'x' => self.hexadecimal(text, b"0123456789abcdef", b'x'),
            'X' => self.hexadecimal(text, b"0123456789ABCDEF", b'X'),
            'q' => self.quoted(text),
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn quoted(&mut self, text: &[u8]) {
        let text = cut(text, self.flags.precision);
        if self.flags.sharp && quote::can_be_raw(text) {
            let raw = [b"`", text, b"`"].concat();
            self.pad(&raw);
        } else {
            let quoted = quote::quote_with(text, b'"', self.flags.plus);
            self.pad(&quoted);
        }
    }

    fn hexadecimal(&mut self, text: &[u8], digits: &[u8; 16], mark: u8) {
        let text = &text[..text.len().min(self.flags.precision.unwrap_or(usize::MAX))];
        let mut made = Vec::with_capacity(text.len() * 2);
        for (index, byte) in text.iter().enumerate() {
            if self.flags.space && index > 0 {
                made.push(b' ');
            }
            if self.flags.sharp && (self.flags.space || index == 0) {
                made.extend_from_slice(&[b'0', mark]);
            }
            made.extend_from_slice(&[digits[usize::from(byte >> 4)], digits[usize::from(byte & 15)]]);
        }
        self.pad(&made);
    }

    /// Whether the verb is one for integers.
    fn integer(&mut self, number: u64, signed: bool, verb: char) -> bool {
        match verb {
            'v' if self.flags.sharp_v && !signed => {
                self.flags.sharp = true;
                self.digits(number, false, Radix::Hex, verb);
                self.flags.sharp = false;
            }
            'v' | 'd' => self.digits(number, signed, Radix::Decimal, verb),
            'b' => self.digits(number, signed, Radix::Binary, verb),
            'o' | 'O' => self.digits(number, signed, Radix::Octal, verb),
            'x' => self.digits(number, signed, Radix::Hex, verb),
            'X' => self.digits(number, signed, Radix::UpperHex, verb),
            'c' => {
                let char = char_of(number);
                self.pad(char.encode_utf8(&mut [0; 4]).as_bytes());
            }
            'q' => {
                let quoted = quote::quote_char_with(char_of(number), self.flags.plus);
                self.pad(&quoted);
            }
            'U' => {
                let mut made = format!("U+{number:0width$X}", width = self.flags.precision.unwrap_or(4).clamp(4, 1000)).into_bytes();
                if let Some(missing) = self.flags.precision.and_then(|precision| precision.checked_sub(1000)) {
                    made.splice(2..2, std::iter::repeat_n(b'0', missing));
                }
                if let Some(char) = u32::try_from(number).ok().and_then(char::from_u32).filter(|char| self.flags.sharp && is_print(*char)) {
                    made.extend_from_slice(format!(" '{char}'").as_bytes());
                }
                self.pad_with_spaces(&made);
            }
            _ => return false,
        }
        true
    }

    fn digits(&mut self, number: u64, signed: bool, radix: Radix, verb: char) {
        let negative = signed && (number as i64) < 0;
        let magnitude = if negative { number.wrapping_neg() } else { number };
        let Flags { plus, space, zero, minus, sharp, width, precision, .. } = self.flags;
        if radix == Radix::Decimal && width.is_none() && precision.is_none() && !plus && !space {
            number::append_decimal(&mut self.out, magnitude, negative);
            return;
        }
        let least = match precision {
            Some(0) if number == 0 => {
                let zero = std::mem::take(&mut self.flags.zero);
                self.padding(width.unwrap_or(0));
                self.flags.zero = zero;
                return;
            }
            Some(precision) => precision,
            None if zero && !minus => width.unwrap_or(0).saturating_sub(usize::from(negative || plus || space)),
            None => 0,
        };
        let mut made = number::reversed_digits(magnitude, radix);
        if made.len() < least {
            made.resize(least, b'0');
        }
        if sharp {
            match radix {
                Radix::Binary => made.extend_from_slice(b"b0"),
                Radix::Octal if made.last() != Some(&b'0') => made.push(b'0'),
                Radix::Hex => made.extend_from_slice(b"x0"),
                Radix::UpperHex => made.extend_from_slice(b"X0"),
                Radix::Octal | Radix::Decimal => {}
            }
        }
        if verb == 'O' {
            made.extend_from_slice(b"o0");
        }
        if negative {
            made.push(b'-');
        } else if plus {
            made.push(b'+');
        } else if space {
            made.push(b' ');
        }
        made.reverse();
        self.pad_with_spaces(&made);
    }

    /// Whether the verb is one for floating point numbers.
    fn float(&mut self, number: f64, verb: char) -> bool {
        let (style, precision) = match verb {
            'v' => (b'g', None),
            'b' | 'g' | 'G' | 'x' | 'X' => (verb as u8, None),
            'f' | 'e' | 'E' => (verb as u8, Some(6)),
            'F' => (b'f', Some(6)),
            _ => return false,
        };
        let precision = self.flags.precision.or(precision);
        // The sign comes first, also a plus.
        let mut made = number::format_float(number, style, precision);
        if !made.starts_with(b"-") && !made.starts_with(b"+") {
            made.insert(0, b'+');
        }
        if self.flags.space && made[0] == b'+' && !self.flags.plus {
            made[0] = b' ';
        }
        if number.is_nan() || number.is_infinite() {
            if number.is_nan() && !self.flags.space && !self.flags.plus {
                made.remove(0);
            }
            self.pad_with_spaces(&made);
            return true;
        }
        if self.flags.sharp && style != b'b' {
            number::keep_point(&mut made, style, precision);
        }
        if !self.flags.plus && made[0] == b'+' {
            self.pad(&made[1..]);
        } else if self.flags.zero && !self.flags.minus && self.flags.width.is_some_and(|width| width > made.len()) {
            // The sign stands before the zeros.
            self.out.push(made[0]);
            self.padding(self.flags.width.unwrap_or(0) - made.len());
            self.out.extend_from_slice(&made[1..]);
        } else {
            self.pad(&made);
        }
        true
    }

    fn format(&mut self, format: &[u8], values: &[Value]) -> Result<(), Exceeded> {
        let mut cursor = Cursor { format, at: 0, next: 0, count: values.len(), reordered: false, good: true, after_index: false };
        while let Some(percent) = format[cursor.at..].iter().position(|byte| *byte == b'%') {
            self.out.extend_from_slice(&format[cursor.at..cursor.at + percent]);
            cursor.at += percent + 1;
            cursor.good = true;
            self.flags = Flags::default();
            self.read_flags(&mut cursor);
            cursor.index();
            self.read_width(&mut cursor, values);
            self.read_precision(&mut cursor, values);
            if !cursor.after_index {
                cursor.index();
            }
            let Some((verb, size)) = next_char(&format[cursor.at..]) else {
                self.out.extend_from_slice(b"%!(NOVERB)");
                break;
            };
            cursor.at += size;
            match values.get(cursor.next) {
                _ if verb == '%' => self.out.push(b'%'),
                _ if !cursor.good => self.complain(verb, "(BADINDEX)"),
                None => self.complain(verb, "(MISSING)"),
                Some(value) => {
                    if verb == 'v' {
                        self.flags.sharp_v = std::mem::take(&mut self.flags.sharp);
                        self.flags.plus_v = std::mem::take(&mut self.flags.plus);
                    }
                    self.operand(value, verb)?;
                    cursor.next += 1;
                }
            }
            self.check()?;
        }
        if cursor.at < format.len() {
            self.out.extend_from_slice(&format[cursor.at..]);
        }
        if !cursor.reordered && cursor.next < values.len() {
            self.flags = Flags::default();
            self.out.extend_from_slice(b"%!(EXTRA ");
            for (index, value) in values[cursor.next..].iter().enumerate() {
                if index > 0 {
                    self.out.extend_from_slice(b", ");
                }
                if !matches!(value, Value::Nil) {
                    let name = type_name(value).into_owned();
                    self.out.extend_from_slice(name.as_bytes());
                    self.out.push(b'=');
                }
                self.value(value, 'v')?;
            }
            self.out.push(b')');
        }
        self.check()
    }

    fn complain(&mut self, verb: char, what: &str) {
        self.out.extend_from_slice(b"%!");
        self.push_char(verb);
        self.out.extend_from_slice(what.as_bytes());
    }

    fn read_flags(&mut self, cursor: &mut Cursor<'_>) {
        while let Some(byte) = cursor.byte() {
            match byte {
                b'#' => self.flags.sharp = true,
                b'0' => self.flags.zero = true,
                b'+' => self.flags.plus = true,
                b'-' => self.flags.minus = true,
                b' ' => self.flags.space = true,
                _ => break,
            }
            cursor.at += 1;
        }
    }

    fn read_width(&mut self, cursor: &mut Cursor<'_>, values: &[Value]) {
        if cursor.byte() == Some(b'*') {
            cursor.at += 1;
            let width = cursor.number_of_argument(values);
            if width.is_none() {
                self.out.extend_from_slice(b"%!(BADWIDTH)");
            }
            if width.is_some_and(|width| width < 0) {
                self.flags.minus = true;
                self.flags.zero = false;
            }
            self.flags.width = width.map(|width| width.unsigned_abs() as usize);
            cursor.after_index = false;
        } else {
            self.flags.width = cursor.number();
            if cursor.after_index && self.flags.width.is_some() {
                cursor.good = false;
            }
        }
    }

    fn read_precision(&mut self, cursor: &mut Cursor<'_>, values: &[Value]) {
        if cursor.byte() != Some(b'.') || cursor.at + 1 >= cursor.format.len() {
            return;
        }
        cursor.at += 1;
        if cursor.after_index {
            cursor.good = false;
        }
        cursor.index();
        if cursor.byte() == Some(b'*') {
            cursor.at += 1;
            self.flags.precision = cursor.number_of_argument(values).and_then(|precision| usize::try_from(precision).ok());
            if self.flags.precision.is_none() {
                self.out.extend_from_slice(b"%!(BADPREC)");
            }
            cursor.after_index = false;
        } else {
            self.flags.precision = Some(cursor.number().unwrap_or(0));
        }
    }
}

/// Where the reading of a format stands.
struct Cursor<'a> {
    format: &'a [u8],
    at: usize,
    /// The next operand.
    next: usize,
    /// How many operands there are.
    count: usize,
    /// An operand was named by its number.
    reordered: bool,
    good: bool,
    after_index: bool,
}

impl Cursor<'_> {
    fn byte(&self) -> Option<u8> {
        self.format.get(self.at).copied()
    }

    /// Reads `[2]`, if that comes.
    fn index(&mut self) {
        self.after_index = false;
        if self.byte() != Some(b'[') {
            return;
        }
        self.reordered = true;
        let rest = &self.format[self.at..];
        let Some(close) = rest.iter().position(|byte| *byte == b']').filter(|_| rest.len() >= 3) else {
            self.at += 1;
            self.good = false;
            return;
        };
        let start = self.at + 1;
        self.at += close + 1;
        let mut inner = Cursor { format: &self.format[..start + close - 1], at: start, ..*self };
        let number = inner.number().filter(|_| inner.at == inner.format.len());
        self.after_index = number.is_some();
        match number {
            Some(number) if (1..=self.count).contains(&number) => self.next = number - 1,
            _ => self.good = false,
        }
    }

    /// Reads a decimal number, if one comes.
    fn number(&mut self) -> Option<usize> {
        let mut number = None;
        while let Some(digit @ b'0'..=b'9') = self.byte() {
            if number.unwrap_or(0) > WIDEST as usize {
                self.at = self.format.len();
                return None;
            }
            number = Some(number.unwrap_or(0) * 10 + usize::from(digit - b'0'));
            self.at += 1;
        }
        number
    }

    /// Takes the next operand for a width or a precision.
    fn number_of_argument(&mut self, values: &[Value]) -> Option<i64> {
        let value = values.get(self.next)?;
        self.next += 1;
        let plain = match value {
            Value::Object(object) if object.kind().contains("int") => object.plain(),
            other => other.clone(),
        };
        match plain {
            Value::Int(number) | Value::Int64(number) if (-WIDEST..=WIDEST).contains(&number) => Some(number),
            _ => None,
        }
    }
}

fn char_of(number: u64) -> char {
    u32::try_from(number).ok().and_then(char::from_u32).unwrap_or(char::REPLACEMENT_CHARACTER)
}

/// The first character and its length in bytes; an invalid byte is U+FFFD of one byte, as in Go.
pub(crate) fn next_char(bytes: &[u8]) -> Option<(char, usize)> {
    let first = *bytes.first()?;
    if first < 0x80 {
        return Some((char::from(first), 1));
    }
    let head = &bytes[..bytes.len().min(4)];
    let valid = match std::str::from_utf8(head) {
        Ok(text) => text,
        Err(error) => std::str::from_utf8(&head[..error.valid_up_to()]).unwrap_or_default(),
    };
    Some(valid.chars().next().map_or((char::REPLACEMENT_CHARACTER, 1), |char| (char, char.len_utf8())))
}

fn count_chars(mut bytes: &[u8]) -> usize {
    if let Ok(text) = std::str::from_utf8(bytes) {
        return text.chars().count();
    }
    let mut count = 0;
    while let Some((_, size)) = next_char(bytes) {
        bytes = &bytes[size..];
        count += 1;
    }
    count
}

/// The first `precision` characters.
fn cut(text: &[u8], precision: Option<usize>) -> &[u8] {
    let Some(precision) = precision else { return text };
    let mut rest = text;
    for _ in 0..precision {
        let Some((_, size)) = next_char(rest) else { return text };
        rest = &rest[size..];
    }
    &text[..text.len() - rest.len()]
}
