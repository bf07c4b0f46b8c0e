//! Scalars of the fast path in block style: plain ones and quoted ones over any number of lines, literal and folded blocks.

use super::super::build::Built;
use super::super::{Place, YamlMode};
use super::Reader;
use super::blocks::LONGEST_KEY;

/// A plain scalar up to the end of its line, or up to the colon if it is a key.
#[derive(Clone, Copy)]
pub(super) struct PlainLine {
    /// Behind its last character.
    pub(super) end: usize,
    /// The line feed, the comment, or the colon.
    pub(super) stop: usize,
    pub(super) is_key: bool,
}

/// What stands in quotes.
#[derive(Clone, Copy)]
pub(super) enum Quoted {
    /// Text as it is, in one line; `end` is the closing quote.
    Plainly { end: usize },
    /// Escapes or line breaks.
    Otherwise,
}

/// The bytes at which a plain scalar may end.
static STOPS: [bool; 256] = table(b":#\n\t");
static SINGLE_STOPS: [bool; 256] = table(b"'\n");
static DOUBLE_STOPS: [bool; 256] = table(b"\"\\\n");

const fn table(bytes: &[u8]) -> [bool; 256] {
    let mut table = [false; 256];
    let mut at = 0;
    while at < bytes.len() {
        table[bytes[at] as usize] = true;
        at += 1;
    }
    table
}

/// The first byte from `at` on at which a plain scalar may end. Descriptions are long, and eight bytes at once are looked at faster.
#[inline]
fn first_stop(bytes: &[u8], mut at: usize) -> Option<usize> {
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    const HIGHEST: u64 = u64::from_le_bytes([0x80; 8]);
    while let Some(chunk) = bytes[at..].first_chunk() {
        let chunk = u64::from_le_bytes(*chunk);
        let stops = [b':', b'#', b'\n', b'\t'].map(|stop| {
            // The highest bit of each byte that is the stop, and perhaps of bytes behind such a one.
            let others = chunk ^ (ONES * u64::from(stop));
            others.wrapping_sub(ONES) & !others
        });
        let found = (stops[0] | stops[1] | stops[2] | stops[3]) & HIGHEST;
        if found != 0 {
            return Some(at + (found.trailing_zeros() / 8) as usize);
        }
        at += 8;
    }
    Some(at + bytes[at..].iter().position(|&byte| STOPS[byte as usize])?)
}

impl<B: Built> Reader<'_, B> {
    /// Reads on from `start` in a plain scalar.
    #[inline]
    pub(super) fn plain_line(&self, start: usize) -> Option<PlainLine> {
        let mut at = start;
        loop {
            at = first_stop(self.bytes, at)?;
            match self.bytes[at] {
                b'\n' => return Some(PlainLine { end: self.before_spaces(start, at), stop: at, is_key: false }),
                b':' if matches!(self.bytes[at + 1], b' ' | b'\n') => {
                    // Blanks before the colon, no text at all, and keys that are too long are left to the general path.
                    let named = at > start && self.bytes[at - 1] != b' ' && at - start <= LONGEST_KEY;
                    return named.then_some(PlainLine { end: at, stop: at, is_key: true });
                }
                b'#' if at > start && self.bytes[at - 1] == b' ' => {
                    return Some(PlainLine { end: self.before_spaces(start, at), stop: at, is_key: false });
                }
                b'\t' => return None,
                _ => at += 1,
            }
        }
    }

    #[inline]
    fn before_spaces(&self, start: usize, mut end: usize) -> usize {
        while end > start && self.bytes[end - 1] == b' ' {
            end -= 1;
        }
        end
    }

    /// The plain scalar that starts with `line`, and the lines deeper than `parent` that continue it.
    #[inline]
    pub(super) fn plain_or_folded(&mut self, parent: isize, start: usize, line: PlainLine) -> Option<B> {
        let place = self.place(start);
        let commented = self.bytes[line.stop] == b'#';
        self.end_line(line.end)?;
        self.advance()?;
        if self.column <= parent {
            let text = self.text;
            return self.plain_value(place, &text[start..line.end]);
        }
        if commented {
            return None;
        }
        let folded = self.fold_plain(parent, start, line.end)?;
        let value = self.plain_value(place, &folded);
        self.folded = folded;
        value
    }

    /// A single line break becomes a space, of several each but the first stays.
    fn fold_plain(&mut self, parent: isize, start: usize, end: usize) -> Option<String> {
        let mut folded = self.clean_text();
        folded.push_str(&self.text[start..end]);
        while self.column > parent {
            if self.commented {
                return None;
            }
            push_break(&mut folded, self.blanks);
            let line = self.plain_line(self.at)?;
            if line.is_key {
                return None;
            }
            folded.push_str(&self.text[self.at..line.end]);
            let commented = self.bytes[line.stop] == b'#';
            self.end_line(line.end)?;
            self.advance()?;
            if commented && self.column > parent {
                return None;
            }
        }
        Some(folded)
    }

    fn clean_text(&mut self) -> String {
        let mut text = std::mem::take(&mut self.folded);
        text.clear();
        text
    }

    /// Looks for the closing quote of the quote at `start`.
    #[inline]
    pub(super) fn quoted_in_one_piece(&self, start: usize, quote: u8) -> Quoted {
        let stops = if quote == b'"' { &DOUBLE_STOPS } else { &SINGLE_STOPS };
        let Some(length) = self.bytes[start + 1..].iter().position(|&byte| stops[byte as usize]) else { return Quoted::Otherwise };
        let end = start + 1 + length;
        let doubled = quote == b'\'' && self.bytes[end] == quote && self.bytes[end + 1] == quote;
        if self.bytes[end] == quote && !doubled { Quoted::Plainly { end } } else { Quoted::Otherwise }
    }

    /// The scalar in quotes at `start`.
    pub(super) fn quoted_value(&mut self, parent: isize, start: usize, quote: u8, quoted: Quoted) -> Option<B> {
        let place = self.place(start);
        match quoted {
            Quoted::Plainly { end } => {
                self.end_line(end + 1)?;
                self.advance()?;
                let text = self.text;
                self.text_of_quoted(place, &text[start + 1..end])
            }
            Quoted::Otherwise => {
                let (text, end) = self.unquote(Some(parent), start, quote)?;
                self.end_line(end + 1)?;
                self.advance()?;
                let value = self.text_of_quoted(place, &text);
                self.folded = text;
                value
            }
        }
    }

    /// The text in the quotes at `start`, and where the closing quote is. Continuation lines stand deeper than `parent`; without one they are
    /// left to the general path.
    pub(super) fn unquote(&mut self, parent: Option<isize>, start: usize, quote: u8) -> Option<(String, usize)> {
        let double = quote == b'"';
        let mut text = self.clean_text();
        // What stands from `run` on is taken as it is.
        let (mut run, mut at) = (start + 1, start + 1);
        loop {
            match *self.bytes.get(at)? {
                b'\'' if !double && self.bytes[at + 1] == b'\'' => {
                    text.push_str(&self.text[run..=at]);
                    at += 2;
                    run = at;
                }
                byte if byte == quote => {
                    text.push_str(&self.text[run..at]);
                    return Some((text, at));
                }
                b'\\' if double => {
                    text.push_str(&self.text[run..at]);
                    if self.bytes[at + 1] == b'\n' {
                        let (breaks, next) = self.continuation(parent?, at + 1)?;
                        text.extend(std::iter::repeat_n('\n', breaks));
                        at = next;
                    } else {
                        let (meant, next) = self.escape(at + 1)?;
                        text.push(meant);
                        at = next;
                    }
                    run = at;
                }
                b'\n' => {
                    text.push_str(self.text[run..at].trim_end_matches([' ', '\t']));
                    let (breaks, next) = self.continuation(parent?, at)?;
                    push_break(&mut text, breaks);
                    at = next;
                    run = at;
                }
                _ => at += 1,
            }
        }
    }

    /// From the line feed at `end` over empty lines to a line deeper than `parent`; how many lines were empty and where the text goes on.
    fn continuation(&mut self, parent: isize, end: usize) -> Option<(usize, usize)> {
        self.next_line(end);
        let mut breaks = 0;
        loop {
            let at = self.after_spaces(self.at);
            match self.bytes.get(at)? {
                b'\n' => {
                    self.next_line(at);
                    breaks += 1;
                }
                b'\t' => return None,
                _ => return ((at - self.line_start) as isize > parent).then_some((breaks, at)),
            }
        }
    }

    /// The character that an escape means whose letter is at `at`, and where the text goes on.
    fn escape(&self, at: usize) -> Option<(char, usize)> {
        let digits = match self.bytes[at] {
            b'n' => return Some(('\n', at + 1)),
            b't' => return Some(('\t', at + 1)),
            b'r' => return Some(('\r', at + 1)),
            b'0' => return Some(('\0', at + 1)),
            b'a' => return Some(('\x07', at + 1)),
            b'b' => return Some(('\x08', at + 1)),
            b'v' => return Some(('\x0b', at + 1)),
            b'f' => return Some(('\x0c', at + 1)),
            b'e' => return Some(('\x1b', at + 1)),
            letter @ (b' ' | b'"' | b'/' | b'\\') => return Some((char::from(letter), at + 1)),
            b'x' => 2,
            b'u' => 4,
            _ => return None,
        };
        let end = at + 1 + digits;
        let hex = self.bytes.get(at + 1..end)?;
        let value = hex.iter().try_fold(0, |value, &digit| Some(value * 16 + char::from(digit).to_digit(16)?))?;
        // The halves of a surrogate pair are no characters.
        Some((char::from_u32(value)?, end))
    }

    /// A literal or folded block whose indicator is at `start`.
    pub(super) fn block_scalar(&mut self, parent: isize, start: usize, literal: bool) -> Option<B> {
        let header = self.block_header(start)?;
        self.end_line(header.end)?;
        let mut text = self.clean_text();
        let mut widest = 0;
        let first = loop {
            let content = self.after_spaces(self.at);
            match *self.bytes.get(content)? {
                b'\n' => {
                    widest = widest.max(content - self.at);
                    text.push('\n');
                    self.next_line(content);
                }
                _ => break content,
            }
        };
        let indent = match header.increment {
            0 => first - self.at,
            increment => usize::try_from(parent).ok()? + increment,
        };
        // A block without content, as a sample that nobody has filled in.
        if !B::PLACED && header.increment == 0 && header.chomp != Chomp::Keep && indent as isize <= parent && widest == 0 {
            text.clear();
            self.folded = text;
            self.advance()?;
            return self.text_of_quoted(Place { line: self.line, column: 1 }, "");
        }
        // Others of them and those that begin with lines of too many blanks are left to the general path.
        if indent as isize <= parent || first - self.at < indent || widest > indent {
            return None;
        }
        let place = self.place(self.at + indent);
        if literal {
            self.literal_lines(indent, &mut text);
        } else {
            self.folded_lines(indent, &mut text);
        }
        let kept = text.trim_end_matches('\n').len();
        match header.chomp {
            Chomp::Strip => text.truncate(kept),
            Chomp::Clip => text.truncate(kept + 1),
            Chomp::Keep => {}
        }
        if self.at == self.bytes.len() && !self.survey.ended {
            // What a last line of blanks means is left to the general path.
            if self.text[..self.at - 1].trim_end_matches(' ').ends_with('\n') {
                return None;
            }
            if self.mode == YamlMode::Kustomize && header.chomp != Chomp::Strip {
                text.pop();
            }
        }
        self.advance()?;
        let value = self.text_of_quoted(place, &text);
        self.folded = text;
        value
    }

    /// Appends lines from the first content on, each with its line feed.
    fn literal_lines(&mut self, indent: usize, text: &mut String) {
        while let Some(line) = self.block_line(indent) {
            if let Some(content) = line.content {
                text.push_str(&self.text[content..=line.end]);
            } else {
                text.push('\n');
            }
            self.next_line(line.end);
        }
    }

    /// As [`Self::literal_lines`], but a line break between two lines of text becomes a space; around deeper lines and empty ones they stay.
    fn folded_lines(&mut self, indent: usize, text: &mut String) {
        // Empty lines since the last content; `None` before the first.
        let mut empty = None;
        let mut was_deeper = false;
        while let Some(line) = self.block_line(indent) {
            if let Some(content) = line.content {
                let deeper = matches!(self.bytes[content], b' ' | b'\t');
                if let Some(breaks) = empty {
                    if deeper || was_deeper {
                        text.push('\n');
                        text.extend(std::iter::repeat_n('\n', breaks));
                    } else {
                        push_break(text, breaks);
                    }
                }
                text.push_str(&self.text[content..line.end]);
                empty = Some(0);
                was_deeper = deeper;
            } else {
                empty = empty.map(|breaks| breaks + 1);
            }
            self.next_line(line.end);
        }
        text.extend(std::iter::repeat_n('\n', 1 + empty.unwrap_or(0)));
    }

    /// The line ahead, if it belongs to a block of this indentation.
    #[inline]
    fn block_line(&self, indent: usize) -> Option<BlockLine> {
        let content = self.after_spaces(self.at);
        let deep = content - self.at;
        match self.bytes.get(content)? {
            b'\n' if deep <= indent => Some(BlockLine { content: None, end: content }),
            _ if deep < indent => None,
            _ => Some(BlockLine { content: Some(self.at + indent), end: self.line_end(content) }),
        }
    }

    fn block_header(&self, start: usize) -> Option<Header> {
        let mut header = Header { chomp: Chomp::Clip, increment: 0, end: start + 1 };
        loop {
            match self.bytes[header.end] {
                b'-' if header.chomp == Chomp::Clip => header.chomp = Chomp::Strip,
                b'+' if header.chomp == Chomp::Clip => header.chomp = Chomp::Keep,
                digit @ b'1'..=b'9' if header.increment == 0 => header.increment = usize::from(digit - b'0'),
                b' ' | b'\n' => return Some(header),
                _ => return None,
            }
            header.end += 1;
        }
    }
}

/// A line of a block; one without content is empty or has blanks only.
struct BlockLine {
    content: Option<usize>,
    end: usize,
}

/// What stands behind `|` or `>`; `end` is behind it.
struct Header {
    chomp: Chomp,
    increment: usize,
    end: usize,
}

/// What becomes of the line breaks at the end of a block.
#[derive(PartialEq, Eq)]
enum Chomp {
    Strip,
    Clip,
    Keep,
}

/// What a line break and the empty lines behind it become.
fn push_break(text: &mut String, empty: usize) {
    if empty == 0 {
        text.push(' ');
    } else {
        text.extend(std::iter::repeat_n('\n', empty));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_stop_is_found_wherever_it_stands() {
        for length in 0..20 {
            for stop in *b":#\n\t" {
                for before in [b'a', stop - 1, stop + 1, stop ^ 0x80, 0, 0xff] {
                    if STOPS[usize::from(before)] {
                        continue;
                    }
                    let text = [vec![before; length], vec![stop], vec![stop + 1; 9], vec![b':']].concat();
                    for at in 0..=length {
                        assert_eq!(first_stop(&text, at), Some(length), "{text:?} from {at}");
                    }
                }
            }
        }
        assert_eq!((first_stop(b"abc", 0), first_stop(b"abcdefghij", 3)), (None, None));
    }
}
