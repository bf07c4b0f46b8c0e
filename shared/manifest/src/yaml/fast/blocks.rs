//! Block maps and lists of the fast path: who belongs to whom by indentation.

use super::super::Place;
use super::super::build::Built;
use super::scalars::Quoted;
use super::{Reader, STARTS, Start, is_blank};

/// A key as found: where its token starts, its text, and its colon.
#[derive(Clone, Copy)]
pub(super) struct Name {
    token: usize,
    start: usize,
    end: usize,
    colon: usize,
    plain: bool,
}

/// The longest key here in bytes; from 1024 characters on it is none to YAML.
pub(super) const LONGEST_KEY: usize = 1000;

impl<B: Built> Reader<'_, B> {
    /// The value of a document: a list or a map.
    pub(super) fn root(&mut self) -> Option<B> {
        match self.bytes[self.at] {
            b'[' | b'{' => self.flow_value(),
            b'-' if self.is_dash(self.at) => self.block_list(false),
            _ => {
                let name = self.name()?;
                self.block_map(name)
            }
        }
    }

    /// The value ahead, which stands deeper than `parent`, the column of the list or map that it belongs to.
    fn node(&mut self, parent: isize) -> Option<B> {
        let start = self.at;
        match self.bytes[start] {
            b'-' if self.is_dash(start) => self.block_list(false),
            quote @ (b'"' | b'\'') => match self.quoted_in_one_piece(start, quote) {
                Quoted::Plainly { end } if self.bytes[end + 1] == b':' => {
                    let name = self.quoted_name(start, end)?;
                    self.block_map(name)
                }
                quoted => self.quoted_value(parent, start, quote, quoted),
            },
            _ if self.starts_plain(start) => {
                let line = self.plain_line(start)?;
                if line.is_key {
                    self.block_map(Name { token: start, start, end: line.end, colon: line.stop, plain: true })
                } else {
                    self.plain_or_folded(parent, start, line)
                }
            }
            _ => self.value(parent),
        }
    }

    /// The value at `at`, which is no block list or map.
    fn value(&mut self, parent: isize) -> Option<B> {
        let start = self.at;
        match self.bytes[start] {
            quote @ (b'"' | b'\'') => {
                let quoted = self.quoted_in_one_piece(start, quote);
                self.quoted_value(parent, start, quote, quoted)
            }
            b'|' => self.block_scalar(parent, start, true),
            b'>' => self.block_scalar(parent, start, false),
            b'[' | b'{' => self.flow_value(),
            _ if self.starts_plain(start) => {
                let line = self.plain_line(start)?;
                if line.is_key { None } else { self.plain_or_folded(parent, start, line) }
            }
            _ => None,
        }
    }

    /// The map whose first key is `name`.
    fn block_map(&mut self, mut name: Name) -> Option<B> {
        self.enter()?;
        let column = (name.token - self.line_start) as isize;
        let place = self.place(name.token);
        let first = self.entries.len();
        loop {
            let text = self.text;
            let key_place = self.place(name.token);
            let key = self.key(key_place, &text[name.start..name.end], name.plain)?;
            let value = self.value_of_key(column, name.colon)?;
            self.entries.push((key, value));
            if self.column != column {
                break;
            }
            name = self.name()?;
        }
        if self.column > column {
            return None;
        }
        self.close_map(place, first)
    }

    /// What stands behind the colon or in the lines below.
    #[inline]
    fn value_of_key(&mut self, column: isize, colon: usize) -> Option<B> {
        let start = self.after_spaces(colon + 1);
        match self.bytes[start] {
            b'\n' | b'#' => {
                let nothing = self.place(colon);
                self.end_line(colon + 1)?;
                self.advance()?;
                if self.column > column {
                    self.node(column)
                } else if self.column == column && self.is_dash(self.at) {
                    self.block_list(true)
                } else {
                    self.plain_value(nothing, "")
                }
            }
            _ => {
                self.at = start;
                self.value(column)
            }
        }
    }

    /// The list whose first dash is ahead. `beside_keys`: it stands at the column of the map that it belongs to.
    fn block_list(&mut self, beside_keys: bool) -> Option<B> {
        self.enter()?;
        let column = (self.at - self.line_start) as isize;
        let mut place = self.place(self.at);
        let mut unplaced = beside_keys;
        let first = self.items.len();
        loop {
            let dash = self.at;
            let start = self.after_spaces(dash + 1);
            let inline = !matches!(self.bytes[start], b'\n' | b'#');
            // The parser has the place of an entry behind the blanks and the comment that follow the dash.
            let entry = self.entry_place(start);
            if std::mem::take(&mut unplaced) {
                place = entry;
            }
            let item = if inline {
                self.at = start;
                self.column = (start - self.line_start) as isize;
                self.node(column)?
            } else {
                self.end_line(dash + 1)?;
                self.advance()?;
                if self.column > column { self.node(column)? } else { self.plain_value(entry, "")? }
            };
            self.items.push(item);
            if self.column != column || !self.is_dash(self.at) {
                break;
            }
        }
        if self.column > column {
            return None;
        }
        Some(self.close_list(place, first))
    }

    #[inline]
    fn entry_place(&mut self, start: usize) -> Place {
        if B::PLACED && self.bytes[start] == b'#' { self.place(self.line_end(start)) } else { self.place(start) }
    }

    /// A dash that starts an item.
    #[inline]
    fn is_dash(&self, at: usize) -> bool {
        self.bytes[at] == b'-' && matches!(self.bytes[at + 1], b' ' | b'\n')
    }

    #[inline]
    pub(super) fn starts_plain(&self, at: usize) -> bool {
        match STARTS[self.bytes[at] as usize] {
            Start::Plain => true,
            Start::Indicator => !is_blank(self.bytes[at + 1]),
            Start::Other => false,
        }
    }

    /// The key ahead.
    #[inline]
    fn name(&self) -> Option<Name> {
        let token = self.at;
        match self.bytes[token] {
            quote @ (b'"' | b'\'') => match self.quoted_in_one_piece(token, quote) {
                Quoted::Plainly { end } => self.quoted_name(token, end),
                Quoted::Otherwise => None,
            },
            _ if self.starts_plain(token) => {
                let line = self.plain_line(token)?;
                let name = Name { token, start: token, end: line.end, colon: line.stop, plain: true };
                (line.is_key && line.end - token <= LONGEST_KEY).then_some(name)
            }
            _ => None,
        }
    }

    /// A key in quotes; `end` is the closing quote.
    fn quoted_name(&self, token: usize, end: usize) -> Option<Name> {
        let colon = end + 1;
        let is_key = self.bytes[colon] == b':' && matches!(self.bytes[colon + 1], b' ' | b'\n') && end - token <= LONGEST_KEY;
        is_key.then_some(Name { token, start: token + 1, end, colon, plain: false })
    }
}
