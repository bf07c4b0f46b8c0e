//! Flow collections of the fast path, JSON among them: brackets, braces, and scalars that stand in one line each.

use super::super::build::Built;
use super::blocks::LONGEST_KEY;
use super::scalars::Quoted;
use super::{Reader, is_blank, is_flow};

impl<B: Built> Reader<'_, B> {
    /// The flow list or map at `at`, in block style: nothing else stands behind it in its line.
    pub(super) fn flow_value(&mut self) -> Option<B> {
        let value = self.flow_node()?;
        self.end_line(self.at)?;
        self.advance()?;
        Some(value)
    }

    /// The value at `at`; ends behind it.
    fn flow_node(&mut self) -> Option<B> {
        let start = self.at;
        match self.bytes[start] {
            b'[' => self.flow_list(),
            b'{' => self.flow_map(),
            quote @ (b'"' | b'\'') => {
                let place = self.place(start);
                match self.quoted_in_one_piece(start, quote) {
                    Quoted::Plainly { end } => {
                        self.at = end + 1;
                        let text = self.text;
                        self.text_of_quoted(place, &text[start + 1..end])
                    }
                    Quoted::Otherwise => {
                        let (text, end) = self.unquote(None, start, quote)?;
                        self.at = end + 1;
                        let value = self.text_of_quoted(place, &text);
                        self.folded = text;
                        value
                    }
                }
            }
            _ => {
                let end = self.flow_plain(start)?;
                let place = self.place(start);
                self.at = end;
                let text = self.text;
                self.plain_value(place, &text[start..end])
            }
        }
    }

    fn flow_list(&mut self) -> Option<B> {
        self.enter()?;
        let place = self.place(self.at);
        let first = self.items.len();
        self.at += 1;
        self.flow_space()?;
        if self.bytes[self.at] != b']' {
            loop {
                let item = self.flow_node()?;
                self.items.push(item);
                if !self.flow_goes_on(b']')? {
                    break;
                }
            }
        }
        self.at += 1;
        Some(self.close_list(place, first))
    }

    fn flow_map(&mut self) -> Option<B> {
        self.enter()?;
        let place = self.place(self.at);
        let first = self.entries.len();
        self.at += 1;
        self.flow_space()?;
        if self.bytes[self.at] != b'}' {
            loop {
                let key = self.flow_key()?;
                let value = self.flow_node()?;
                self.entries.push((key, value));
                if !self.flow_goes_on(b'}')? {
                    break;
                }
            }
        }
        self.at += 1;
        self.close_map(place, first)
    }

    /// A key and its colon; ends at the value.
    fn flow_key(&mut self) -> Option<B::Key> {
        let token = self.at;
        let (start, end, colon, plain) = match self.bytes[token] {
            quote @ (b'"' | b'\'') => match self.quoted_in_one_piece(token, quote) {
                Quoted::Plainly { end } => (token + 1, end, end + 1, false),
                Quoted::Otherwise => return None,
            },
            _ => {
                let end = self.flow_plain(token)?;
                (token, end, end, true)
            }
        };
        // Behind quotes, a value may follow the colon at once, as in JSON.
        if self.bytes[colon] != b':' || plain && !is_blank(self.bytes[colon + 1]) || colon - token > LONGEST_KEY {
            return None;
        }
        let text = self.text;
        let place = self.place(token);
        let key = self.key(place, &text[start..end], plain)?;
        self.at = colon + 1;
        self.flow_space()?;
        Some(key)
    }

    /// Behind a value: whether another follows, which is then at `at`; else the closing byte is.
    fn flow_goes_on(&mut self, close: u8) -> Option<bool> {
        self.flow_space()?;
        match self.bytes[self.at] {
            b',' => {
                self.at += 1;
                self.flow_space()?;
                // A comma may stand behind the last value too.
                Some(self.bytes[self.at] != close)
            }
            byte if byte == close => Some(false),
            _ => None,
        }
    }

    /// Over spaces, line breaks and comments.
    #[inline]
    fn flow_space(&mut self) -> Option<()> {
        loop {
            self.at = self.after_spaces(self.at);
            match self.bytes[self.at] {
                b'\n' => self.next_line(self.at),
                b'#' if is_blank(self.bytes[self.at - 1]) => self.skip_comment(self.at),
                _ => return Some(()),
            }
            // What may be a marker or a directive at the start of a line is left to the general path, and so is an end without a bracket.
            if matches!(self.bytes.get(self.at), None | Some(b'-' | b'.' | b'%')) {
                return None;
            }
        }
    }

    /// Where the plain scalar at `start` ends: at a comma, a bracket, a colon behind a key, or the line break.
    fn flow_plain(&self, start: usize) -> Option<usize> {
        if !self.starts_plain(start) || matches!(self.bytes[start], b'-' | b':') && is_flow(self.bytes[start + 1]) {
            return None;
        }
        let mut at = start;
        loop {
            match self.bytes[at] {
                b',' | b']' | b'}' => break,
                b'\n' => {
                    // The scalar may go on in the next line.
                    let next = self.after_spaces(at + 1);
                    if !matches!(self.bytes.get(next), Some(b',' | b']' | b'}')) {
                        return None;
                    }
                    break;
                }
                b':' if is_blank(self.bytes[at + 1]) => {
                    return (at > start && self.bytes[at - 1] != b' ').then_some(at);
                }
                b':' if is_flow(self.bytes[at + 1]) => return None,
                b'#' if at > start && self.bytes[at - 1] == b' ' => break,
                b'[' | b'{' | b'\t' => return None,
                _ => at += 1,
            }
        }
        while self.bytes[at - 1] == b' ' {
            at -= 1;
        }
        Some(at)
    }
}
