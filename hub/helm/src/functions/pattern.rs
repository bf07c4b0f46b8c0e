//! Go's regular expressions as those of `regex-automata`: read by the rules of Go's `regexp/syntax`, with its errors, and written so that every
//! construct means the same. Matching is left to `search`.

/// A regular expression of Go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pattern {
    /// In the syntax of `regex-syntax`.
    pub(super) source: String,
    /// The names of the groups, from that of the whole match on; empty for those without.
    pub(super) names: Vec<String>,
    /// How large the compiled expression is, about, in states.
    pub(super) size: usize,
}

/// Why a text is no regular expression, in Go's words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("error parsing regexp: {problem}: `{part}`")]
pub(super) struct InvalidPattern {
    problem: &'static str,
    part: String,
}

impl InvalidPattern {
    /// Too large for the bounds of this module or of `search`, which are lower than Go's.
    pub(super) fn too_large(pattern: &str) -> Self {
        invalid("expression too large", pattern)
    }
}

fn invalid(problem: &'static str, part: &str) -> InvalidPattern {
    InvalidPattern { problem, part: part.into() }
}

/// How often the innermost part may be repeated by all counted repetitions around it: Go's bound.
const MOST_REPETITIONS: u64 = 1000;

/// How deep groups may be nested. Go's bound is 1000; `regex-syntax` counts up to 250 levels, at most two of them for a group.
const DEEPEST_GROUP: usize = 100;

/// The largest expression in states: ten times the largest in public charts, and compiled in a few milliseconds.
const LARGEST: u64 = 5_000;

/// About how many states a class of non-ASCII characters takes in UTF-8.
const CLASS_SIZE: u64 = 10;

/// About how many states a Unicode category takes in UTF-8: letters take the most.
const CATEGORY_SIZE: u64 = 300;

/// Reads the expression `source`.
pub(super) fn translate(source: &[u8]) -> Result<Pattern, InvalidPattern> {
    let source =
        std::str::from_utf8(source).map_err(|error| invalid("invalid UTF-8", &String::from_utf8_lossy(&source[error.valid_up_to()..])))?;
    let mut reader = Reader {
        source,
        rest: source,
        out: String::with_capacity(source.len() + 16),
        names: vec![String::new()],
        flags: Flags::default(),
        groups: vec![Group::default()],
    };
    reader.expression()?;
    let size = reader.groups[0].size as usize;
    Ok(Pattern { source: reader.out, names: reader.names, size })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Flags {
    fold_case: bool,
    multi_line: bool,
    dot_all: bool,
    swap_greed: bool,
}

impl Flags {
    fn list(self) -> [(char, bool); 4] {
        [('i', self.fold_case), ('m', self.multi_line), ('s', self.dot_all), ('U', self.swap_greed)]
    }

    /// What has to be written between `(?` and `)` or `:` to have these flags after `before`.
    fn changes_from(self, before: Self) -> String {
        let changed =
            |wanted: bool| self.list().into_iter().zip(before.list()).filter(move |(now, then)| now.1 != then.1 && now.1 == wanted);
        let off: String = changed(false).map(|(now, _)| now.0).collect();
        let on: String = changed(true).map(|(now, _)| now.0).collect();
        if off.is_empty() { on } else { format!("{on}-{off}") }
    }
}

/// What a repetition applies to.
#[derive(Debug, Clone, Copy)]
struct Atom {
    /// Where it ends in what was written.
    end: usize,
    /// How often its innermost part is repeated.
    repetitions: u64,
    size: u64,
    /// Whether it was read where operators are lazy and `?` makes them greedy.
    swap_greed: bool,
}

/// An open group, or the whole expression.
#[derive(Debug, Clone, Copy, Default)]
struct Group {
    flags_before: Flags,
    last: Option<Atom>,
    repetitions: u64,
    size: u64,
}

struct Reader<'s> {
    source: &'s str,
    rest: &'s str,
    out: String,
    names: Vec<String>,
    flags: Flags,
    groups: Vec<Group>,
}

impl<'s> Reader<'s> {
    fn expression(&mut self) -> Result<(), InvalidPattern> {
        // What the last repetition began with, if it is what was read last.
        let mut last_repetition: Option<&'s str> = None;
        while let Some(next) = self.rest.chars().next() {
            let before = self.rest;
            let after_repetition = last_repetition.take();
            match next {
                '(' => self.open()?,
                ')' => self.close()?,
                '|' => {
                    self.skip(1);
                    self.out.push('|');
                    self.group().last = None;
                }
                '^' | '$' => {
                    self.skip(1);
                    self.atom(if next == '^' { "^" } else { "$" }, 1);
                }
                '.' => {
                    self.skip(1);
                    self.atom(".", CLASS_SIZE);
                }
                '[' => self.class()?,
                '*' | '+' | '?' => {
                    self.skip(1);
                    self.repeat(next.into(), None, before, after_repetition)?;
                    last_repetition = Some(before);
                }
                '{' => match counted(before) {
                    Some((least, most, after)) => {
                        let written = &before[..before.len() - after.len()];
                        let most_is_less = most.is_some_and(|most| least > most);
                        if least > MOST_REPETITIONS || most.is_some_and(|most| most > MOST_REPETITIONS) || most_is_less {
                            return Err(invalid("invalid repeat count", written));
                        }
                        self.rest = after;
                        self.repeat(written.into(), Some((least, most)), before, after_repetition)?;
                        last_repetition = Some(before);
                    }
                    None => {
                        self.skip(1);
                        self.literal('{');
                    }
                },
                '\\' => self.escape()?,
                other => {
                    self.skip(other.len_utf8());
                    self.literal(other);
                }
            }
            if self.groups[0].size > LARGEST {
                return Err(InvalidPattern::too_large(self.source));
            }
        }
        if self.groups.len() > 1 { Err(invalid("missing closing )", self.source)) } else { Ok(()) }
    }

    fn skip(&mut self, bytes: usize) {
        self.rest = &self.rest[bytes..];
    }

    /// The innermost group that is open.
    #[expect(clippy::expect_used, reason = "the group of the whole expression is never closed")]
    fn group(&mut self) -> &mut Group {
        self.groups.last_mut().expect("the whole expression is a group")
    }

    /// Writes something that can be repeated.
    fn atom(&mut self, written: &str, size: u64) {
        self.out.push_str(written);
        self.end_atom(1, size);
    }

    fn end_atom(&mut self, repetitions: u64, size: u64) {
        let (end, swap_greed) = (self.out.len(), self.flags.swap_greed);
        let group = self.group();
        group.last = Some(Atom { end, repetitions, size, swap_greed });
        group.repetitions = group.repetitions.max(repetitions);
        group.size = group.size.saturating_add(size);
    }

    fn literal(&mut self, character: char) {
        // `\<` and `\>` would be boundaries of words.
        if character.is_ascii_punctuation() && !matches!(character, '<' | '>') {
            self.out.push('\\');
        }
        self.out.push(character);
        self.end_atom(1, character.len_utf8() as u64);
    }

    /// Writes the operator `written` after the last atom. `before` is the source from the operator on, `after_repetition` the source from the
    /// repetition on that it follows.
    fn repeat(
        &mut self,
        mut written: String,
        count: Option<(u64, Option<u64>)>,
        before: &str,
        after_repetition: Option<&str>,
    ) -> Result<(), InvalidPattern> {
        let mut lazy = self.flags.swap_greed;
        if self.rest.starts_with('?') {
            self.skip(1);
            lazy = !lazy;
        }
        let read_from = |start: &str| start[..start.len() - self.rest.len()].to_owned();
        if let Some(start) = after_repetition {
            return Err(invalid("invalid nested repetition operator", &read_from(start)));
        }
        let expression = read_from(before);
        let group = self.group();
        let Some(atom) = &mut group.last else {
            return Err(invalid("missing argument to repetition operator", &expression));
        };
        let mut added = 2;
        match count {
            Some((_, Some(0))) => atom.repetitions = 1,
            Some((least, most)) => {
                let times = most.unwrap_or(least).max(1);
                added = times.saturating_mul(atom.size);
                atom.repetitions = atom.repetitions.saturating_mul(times);
                if atom.repetitions > MOST_REPETITIONS && (least >= 2 || most.is_some_and(|most| most >= 2)) {
                    return Err(invalid("invalid repeat count", &expression));
                }
            }
            None => {}
        }
        if lazy != atom.swap_greed {
            written.push('?');
        }
        let end = atom.end;
        atom.end += written.len();
        atom.size = atom.size.saturating_add(added);
        group.repetitions = group.repetitions.max(atom.repetitions);
        group.size = group.size.saturating_add(added);
        // Between the atom and its operator there can be a change of flags.
        self.out.insert_str(end, &written);
        Ok(())
    }

    fn open(&mut self) -> Result<(), InvalidPattern> {
        let Some(inner) = self.rest.strip_prefix("(?") else {
            self.skip(1);
            return self.open_group("(", Some(String::new()));
        };
        let Some(name) = inner.strip_prefix("P<").or_else(|| inner.strip_prefix('<')) else {
            return self.open_with_flags(inner);
        };
        let Some((name, after)) = name.split_once('>') else {
            return Err(invalid("invalid named capture", self.rest));
        };
        if name.is_empty() || !name.bytes().all(|byte| byte == b'_' || byte.is_ascii_alphanumeric()) {
            return Err(invalid("invalid named capture", &self.rest[..self.rest.len() - after.len()]));
        }
        self.rest = after;
        self.open_group("(", Some(name.to_owned()))
    }

    /// Opens a group; it captures if it has a name, which can be empty. Names are kept here, as Go allows one for several groups.
    fn open_group(&mut self, written: &str, name: Option<String>) -> Result<(), InvalidPattern> {
        if self.groups.len() > DEEPEST_GROUP {
            return Err(invalid("expression nests too deeply", self.source));
        }
        self.names.extend(name);
        self.out.push_str(written);
        self.groups.push(Group { flags_before: self.flags, repetitions: 1, ..Group::default() });
        Ok(())
    }

    /// `(?flags)` or `(?flags:`, of which `inner` is what follows the `(?`.
    fn open_with_flags(&mut self, inner: &'s str) -> Result<(), InvalidPattern> {
        let mut flags = self.flags;
        let mut on = true;
        let mut seen = false;
        for (at, character) in inner.char_indices() {
            let flag = match character {
                'i' => &mut flags.fold_case,
                'm' => &mut flags.multi_line,
                's' => &mut flags.dot_all,
                'U' => &mut flags.swap_greed,
                '-' if on => {
                    (on, seen) = (false, false);
                    continue;
                }
                ':' | ')' if on || seen => {
                    self.rest = &inner[at + 1..];
                    let changes = flags.changes_from(self.flags);
                    if character == ':' {
                        self.open_group(&format!("(?{changes}:"), None)?;
                    } else if !changes.is_empty() {
                        self.out.push_str(&format!("(?{changes})"));
                    }
                    self.flags = flags;
                    return Ok(());
                }
                other => return Err(invalid("invalid or unsupported Perl syntax", &self.rest[.."(?".len() + at + other.len_utf8()])),
            };
            *flag = on;
            seen = true;
        }
        Err(invalid("invalid or unsupported Perl syntax", self.rest))
    }

    fn close(&mut self) -> Result<(), InvalidPattern> {
        if self.groups.len() == 1 {
            return Err(invalid("unexpected )", self.source));
        }
        self.skip(1);
        if let Some(group) = self.groups.pop() {
            self.out.push(')');
            self.flags = group.flags_before;
            self.end_atom(group.repetitions, group.size.saturating_add(1));
        }
        Ok(())
    }

    fn escape(&mut self) -> Result<(), InvalidPattern> {
        let Some(escaped) = self.rest[1..].chars().next() else {
            return Err(invalid("trailing backslash at end of expression", ""));
        };
        let written = match escaped {
            'A' => "\\A",
            'z' => "\\z",
            // Words are those of ASCII.
            'b' => "(?-u:\\b)",
            'B' => "(?-u:\\B)",
            'C' => return Err(invalid("invalid escape sequence", "\\C")),
            'Q' => {
                let quoted = &self.rest[2..];
                let (quoted, after) = quoted.split_once("\\E").unwrap_or((quoted, ""));
                self.rest = after;
                for character in quoted.chars() {
                    self.literal(character);
                }
                return Ok(());
            }
            'p' | 'P' => {
                let category = self.category()?;
                self.atom(&category, CATEGORY_SIZE);
                return Ok(());
            }
            _ => match perl_class(escaped) {
                Some((class, negated)) => {
                    self.skip(2);
                    self.atom(&format!("[{}{class}]", if negated { "^" } else { "" }), if negated { CLASS_SIZE } else { 1 });
                    return Ok(());
                }
                None => {
                    match char::from_u32(self.escaped_character()?) {
                        Some(character) => self.literal(character),
                        None => self.atom(NOTHING, 1),
                    }
                    return Ok(());
                }
            },
        };
        self.skip(2);
        self.atom(written, 1);
        Ok(())
    }

    /// The character that the escape sequence at the beginning of the rest stands for; it can be a surrogate, which no text contains.
    fn escaped_character(&mut self) -> Result<u32, InvalidPattern> {
        let start = self.rest;
        let mut characters = start[1..].chars();
        let Some(first) = characters.next() else {
            return Err(invalid("trailing backslash at end of expression", ""));
        };
        let problem = |rest: &str| invalid("invalid escape sequence", &start[..start.len() - rest.len()]);
        let character = match first {
            'a' => 0x07,
            'f' => 0x0c,
            'n' => 0x0a,
            'r' => 0x0d,
            't' => 0x09,
            'v' => 0x0b,
            '0'..='7' => {
                let digits = &start[1..];
                let length = digits.bytes().take(3).take_while(|byte| (b'0'..=b'7').contains(byte)).count();
                if first != '0' && length == 1 {
                    // A reference to a group, which Go does not have.
                    return Err(problem(characters.as_str()));
                }
                characters = digits[length..].chars();
                digits[..length].bytes().fold(0, |number, digit| number * 8 + u32::from(digit - b'0'))
            }
            'x' => match characters.next() {
                Some('{') => {
                    let mut number = 0;
                    let mut digits = 0;
                    loop {
                        match characters.next() {
                            Some('}') if digits > 0 => break number,
                            Some(digit) if digit.is_ascii_hexdigit() => number = number * 16 + digit.to_digit(16).unwrap_or(0),
                            _ => return Err(problem(characters.as_str())),
                        }
                        digits += 1;
                        if number > u32::from(char::MAX) {
                            return Err(problem(characters.as_str()));
                        }
                    }
                }
                Some(high) => match (high.to_digit(16), characters.next().and_then(|low| low.to_digit(16))) {
                    (Some(high), Some(low)) => high * 16 + low,
                    _ => return Err(problem(characters.as_str())),
                },
                None => return Err(problem("")),
            },
            other if other.is_ascii() && !other.is_ascii_alphanumeric() => other.into(),
            _ => return Err(problem(characters.as_str())),
        };
        self.rest = characters.as_str();
        Ok(character)
    }

    /// `\pN`, `\p{Greek}` or `\P{^Greek}` at the beginning of the rest.
    fn category(&mut self) -> Result<String, InvalidPattern> {
        let start = self.rest;
        let mut negated = start.starts_with("\\P");
        let (name, after) = match start[2..].chars().next() {
            Some('{') => match start[3..].split_once('}') {
                Some(parts) => parts,
                None => return Err(invalid("invalid character class range", start)),
            },
            Some(letter) => start[2..].split_at(letter.len_utf8()),
            None => ("", ""),
        };
        let name = name.strip_prefix('^').inspect(|_| negated = !negated).unwrap_or(name);
        self.rest = after;
        if !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b' ')) {
            for kind in ["gc", "sc"] {
                let class = format!("\\{}{{{kind}={name}}}", if negated { 'P' } else { 'p' });
                if regex_automata::util::syntax::parse(&class).is_ok() {
                    return Ok(class);
                }
            }
        }
        Err(invalid("invalid character class range", &start[..start.len() - after.len()]))
    }

    /// `[…]` at the beginning of the rest.
    fn class(&mut self) -> Result<(), InvalidPattern> {
        let start = self.rest;
        self.skip(1);
        let mut class = String::from("[");
        let mut size = 1;
        if self.rest.starts_with('^') {
            self.skip(1);
            class.push('^');
            size = CLASS_SIZE;
        }
        let mut first = true;
        while first || !self.rest.starts_with(']') {
            first = false;
            if self.rest.len() > 2
                && let Some(name) = self.rest.strip_prefix("[:")
                && let Some((name, after)) = name.split_once(":]")
            {
                let written = &self.rest[..self.rest.len() - after.len()];
                if !POSIX_CLASSES.contains(&name.strip_prefix('^').unwrap_or(name)) {
                    return Err(invalid("invalid character class range", written));
                }
                class.push_str(written);
                self.rest = after;
                continue;
            }
            let mut characters = self.rest.chars();
            if characters.next() == Some('\\') {
                match characters.next() {
                    Some('p' | 'P') => {
                        class.push_str(&self.category()?);
                        size += CATEGORY_SIZE;
                        continue;
                    }
                    Some(escaped) if let Some((perl, negated)) = perl_class(escaped) => {
                        class.push_str(&if negated { format!("[^{perl}]") } else { perl.to_owned() });
                        size += CLASS_SIZE;
                        self.skip(2);
                        continue;
                    }
                    _ => {}
                }
            }
            let range = self.rest;
            let low = self.class_character(start)?;
            let mut high = low;
            if self.rest.starts_with('-') && self.rest.len() >= 2 && !self.rest[1..].starts_with(']') {
                self.skip(1);
                high = self.class_character(start)?;
                if high < low {
                    return Err(invalid("invalid character class range", &range[..range.len() - self.rest.len()]));
                }
            }
            size += if high < 0x80 { 1 } else { CLASS_SIZE };
            push_range(&mut class, low, high);
        }
        self.skip(1);
        class.push(']');
        // A class of surrogates alone is empty, and Go's empty class matches nothing.
        self.atom(
            if class == "[]" {
                NOTHING
            } else if class == "[^]" {
                "(?s:.)"
            } else {
                &class
            },
            size,
        );
        Ok(())
    }

    fn class_character(&mut self, class: &str) -> Result<u32, InvalidPattern> {
        let Some(character) = self.rest.chars().next() else {
            return Err(invalid("missing closing ]", class));
        };
        if character == '\\' {
            return self.escaped_character();
        }
        self.skip(character.len_utf8());
        Ok(character.into())
    }
}

/// A class without characters.
const NOTHING: &str = "[^\\x{0}-\\x{10FFFF}]";

const POSIX_CLASSES: [&str; 14] =
    ["alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space", "upper", "word", "xdigit"];

/// What is between the brackets for `\d` and its like, and whether it is all other characters that are meant.
fn perl_class(escaped: char) -> Option<(&'static str, bool)> {
    let class = match escaped.to_ascii_lowercase() {
        'd' => "0-9",
        's' => "\\t\\n\\x0C\\r ",
        'w' => "0-9A-Za-z_",
        _ => return None,
    };
    Some((class, escaped.is_ascii_uppercase()))
}

/// Writes the characters from `low` to `high`, without surrogates.
fn push_range(class: &mut String, low: u32, high: u32) {
    let low = if (0xd800..0xe000).contains(&low) { 0xe000 } else { low };
    let high = if (0xd800..0xe000).contains(&high) { 0xd7ff } else { high };
    if low < high {
        class.push_str(&format!("\\x{{{low:X}}}-\\x{{{high:X}}}"));
    } else if low == high {
        class.push_str(&format!("\\x{{{low:X}}}"));
    }
}

/// `{least}`, `{least,}` or `{least,most}` at the beginning of `text`, and what follows; `None` if it is nothing of these, and so a literal brace.
/// Numbers beyond every bound are [`u64::MAX`].
fn counted(text: &str) -> Option<(u64, Option<u64>, &str)> {
    let (least, rest) = number(text.strip_prefix('{')?)?;
    if let Some(rest) = rest.strip_prefix('}') {
        return Some((least, Some(least), rest));
    }
    let rest = rest.strip_prefix(',')?;
    if let Some(rest) = rest.strip_prefix('}') {
        return Some((least, None, rest));
    }
    let (most, rest) = number(rest)?;
    Some((least, Some(most), rest.strip_prefix('}')?))
}

/// A number without leading zeros.
fn number(text: &str) -> Option<(u64, &str)> {
    let length = text.bytes().take_while(u8::is_ascii_digit).count();
    let (digits, rest) = text.split_at(length);
    if length == 0 || length > 1 && digits.starts_with('0') {
        return None;
    }
    Some((digits.parse().unwrap_or(u64::MAX), rest))
}
