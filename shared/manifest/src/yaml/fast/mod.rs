//! The style in which nearly all manifests are written, read from bytes to values in one pass: block maps and lists, plain and quoted scalars,
//! block scalars, flow collections without surprises. Whatever else stands in a text, whatever is doubtful, every error and every breach of a
//! budget is left to the general path: a reading that is given here is the one that the general path gives too.
//!
//! `blocks` knows the structure, `scalars` the scalars of block style, `flow` brackets and braces; here is the text, its documents, and what
//! all of them need. Every function starts at the first byte of what it reads and ends where `advance` has found the next content.

mod blocks;
mod flow;
mod scalars;

use std::borrow::Cow;

use super::build::Built;
use super::scalar::{self, Plain};
use super::{Place, YamlBudget, YamlMode};

/// Lines and columns are 32 bits wide, so longer texts (4 GiB) are not for this path.
const LONGEST: usize = u32::MAX as usize - 1;

/// The column where no content is ahead in this document.
const NONE_AHEAD: isize = -1;

/// All documents with the place of their first value, or `None` if the general path must decide.
pub(super) fn read<B: Built>(text: &str, mode: YamlMode, budget: YamlBudget) -> Option<Vec<(B, Place)>> {
    if text.len() > budget.bytes.min(LONGEST) {
        return None;
    }
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let survey = Survey::of(text)?;
    let mut lines = Cow::Borrowed(text);
    if survey.carriage_returns {
        lines = Cow::Owned(text.replace("\r\n", "\n"));
        if memchr::memchr(b'\r', lines.as_bytes()).is_some() {
            return None;
        }
    }
    if !survey.ended {
        lines = Cow::Owned([&lines, "\n"].concat());
    }
    Reader::new(&lines, survey, mode, budget).documents()
}

/// What is to be known before reading.
struct Survey {
    /// Whether a byte is a character.
    ascii: bool,
    /// Whether there are any; where each stands before a line feed they mean nothing.
    carriage_returns: bool,
    /// Whether the last line ends with a line feed by itself.
    ended: bool,
}

impl Survey {
    /// `None` if there are characters that YAML forbids or that need care: control characters but for tabs and line ends, byte order marks,
    /// line separators, U+FFFE, U+FFFF.
    fn of(text: &str) -> Option<Self> {
        let (mut controls, mut carriage_returns, mut high) = (false, false, 0);
        for &byte in text.as_bytes() {
            controls |= ((byte < b' ') & (byte != b'\n') & (byte != b'\t') & (byte != b'\r')) | (byte == 0x7f);
            carriage_returns |= byte == b'\r';
            high |= byte;
        }
        let ascii = high < 0x80;
        let doubtful = |at: usize| match text.as_bytes()[at..] {
            [0xc2, second, ..] => second < 0xa0,
            [0xe2, 0x80, third, ..] => matches!(third, 0xa8 | 0xa9),
            [0xef, 0xbb, 0xbf, ..] => true,
            [0xef, 0xbf, third, ..] => third >= 0xbe,
            _ => false,
        };
        if controls || !ascii && memchr::memchr3_iter(0xc2, 0xe2, 0xef, text.as_bytes()).any(doubtful) {
            return None;
        }
        Some(Self { ascii, carriage_returns, ended: text.ends_with('\n') })
    }
}

/// A text that ends with a line feed, while it is read.
struct Reader<'t, B: Built> {
    text: &'t str,
    bytes: &'t [u8],
    survey: Survey,
    mode: YamlMode,
    /// What of the budget is left.
    nodes: usize,
    scalar_bytes: usize,
    documents: usize,
    depth: usize,
    /// The next byte to read, its line, and where that line starts.
    at: usize,
    line: u32,
    line_start: usize,
    /// How many characters of that line stand before a byte, for the last byte whose place was asked for.
    counted: (usize, u32),
    /// The column of the content at `at`, from 0, or [`NONE_AHEAD`]: then a `---` line or the end of the text is at `at`.
    column: isize,
    /// Empty lines before that content, and whether comment lines are among them.
    blanks: usize,
    commented: bool,
    /// Items and entries of the open lists and maps.
    items: Vec<B>,
    entries: Vec<(B::Key, B)>,
    /// The text of a scalar that is not in one piece in the source.
    folded: String,
}

impl<'t, B: Built> Reader<'t, B> {
    fn new(text: &'t str, survey: Survey, mode: YamlMode, budget: YamlBudget) -> Self {
        Self {
            text,
            bytes: text.as_bytes(),
            survey,
            mode,
            nodes: budget.nodes,
            scalar_bytes: budget.scalar_bytes,
            documents: budget.documents,
            depth: budget.depth.min(YamlBudget::DEPTH_CEILING),
            at: 0,
            line: 1,
            line_start: 0,
            counted: (0, 0),
            column: NONE_AHEAD,
            blanks: 0,
            commented: false,
            items: Vec::new(),
            entries: Vec::new(),
            folded: String::new(),
        }
    }

    fn documents(mut self) -> Option<Vec<(B, Place)>> {
        let mut documents = Vec::new();
        self.advance()?;
        if self.column != NONE_AHEAD {
            documents.push(self.document()?);
        }
        while self.at < self.bytes.len() {
            self.end_line(self.at + "---".len())?;
            self.advance()?;
            if self.column != NONE_AHEAD {
                documents.push(self.document()?);
            } else {
                // A document without content is counted and left out.
                self.documents = self.documents.checked_sub(1)?;
                self.count_node()?;
            }
        }
        Some(documents)
    }

    fn document(&mut self) -> Option<(B, Place)> {
        self.documents = self.documents.checked_sub(1)?;
        let place = self.place(self.at);
        let root = self.root()?;
        (self.column == NONE_AHEAD).then_some((root, place))
    }

    /// From the start of a line to the next content, over empty lines and comments.
    #[inline]
    fn advance(&mut self) -> Option<()> {
        self.blanks = 0;
        self.commented = false;
        loop {
            self.line_start = self.at;
            self.at = self.after_spaces(self.at);
            match self.bytes.get(self.at) {
                None => {
                    self.column = NONE_AHEAD;
                    return Some(());
                }
                Some(b'\n') => {
                    self.blanks += 1;
                    self.next_line(self.at);
                }
                Some(b'#') => {
                    self.commented = true;
                    self.skip_comment(self.at);
                }
                Some(b'\t') => return None,
                Some(&first) => {
                    self.column = (self.at - self.line_start) as isize;
                    if self.column == 0 {
                        self.check_line_start(first)?;
                    }
                    return Some(());
                }
            }
        }
    }

    /// Document markers and directives stand at the start of a line only.
    fn check_line_start(&mut self, first: u8) -> Option<()> {
        let rest = &self.bytes[self.at..];
        match first {
            b'-' if rest.starts_with(b"---") => match rest[3] {
                b' ' | b'\n' => self.column = NONE_AHEAD,
                b'\t' => return None,
                _ => {}
            },
            b'.' if rest.starts_with(b"...") => return None,
            b'%' => return None,
            _ => {}
        }
        Some(())
    }

    /// From behind a value to the next line; only blanks and a comment may stand between.
    #[inline]
    fn end_line(&mut self, at: usize) -> Option<()> {
        if self.bytes[at] == b'\n' {
            self.next_line(at);
            return Some(());
        }
        let end = self.after_spaces(at);
        match self.bytes[end] {
            b'\n' => self.next_line(end),
            b'#' if end > at => self.skip_comment(end),
            _ => return None,
        }
        Some(())
    }

    /// `end` is the line feed.
    #[inline]
    fn next_line(&mut self, end: usize) {
        self.at = end + 1;
        self.line_start = self.at;
        self.line += 1;
    }

    fn skip_comment(&mut self, at: usize) {
        self.next_line(self.line_end(at));
    }

    /// The line feed that ends the line of `at`.
    fn line_end(&self, at: usize) -> usize {
        memchr::memchr(b'\n', &self.bytes[at..]).map_or(self.bytes.len() - 1, |length| at + length)
    }

    /// The first byte from `at` on that is no space.
    #[inline]
    fn after_spaces(&self, mut at: usize) -> usize {
        const SPACES: u64 = u64::from_le_bytes([b' '; 8]);
        while let Some(chunk) = self.bytes[at..].first_chunk() {
            let others = u64::from_le_bytes(*chunk) ^ SPACES;
            if others != 0 {
                return at + (others.trailing_zeros() / 8) as usize;
            }
            at += 8;
        }
        while self.bytes.get(at) == Some(&b' ') {
            at += 1;
        }
        at
    }

    /// The place of `at` in the current line.
    #[inline]
    fn place(&mut self, at: usize) -> Place {
        if !B::PLACED {
            return Place { line: self.line, column: 1 };
        }
        let before = if self.survey.ascii { (at - self.line_start) as u32 } else { self.characters_before(at) };
        Place { line: self.line, column: before + 1 }
    }

    /// Goes on counting where it ended, since a line may be as long as the text.
    fn characters_before(&mut self, at: usize) -> u32 {
        let (from, count) = self.counted;
        let (from, count) = if (self.line_start..=at).contains(&from) { (from, count) } else { (self.line_start, 0) };
        self.counted = (at, count + self.text[from..at].chars().count() as u32);
        self.counted.1
    }

    #[inline]
    fn count_node(&mut self) -> Option<()> {
        self.nodes = self.nodes.checked_sub(1)?;
        Some(())
    }

    #[inline]
    fn count_text(&mut self, text: &str) -> Option<()> {
        self.scalar_bytes = self.scalar_bytes.checked_sub(text.len())?;
        Some(())
    }

    /// Opens a list or map.
    #[inline]
    fn enter(&mut self) -> Option<()> {
        self.depth = self.depth.checked_sub(1)?;
        self.count_node()
    }

    fn close_list(&mut self, place: Place, first: usize) -> B {
        self.depth += 1;
        B::list(place, self.items.drain(first..))
    }

    fn close_map(&mut self, place: Place, first: usize) -> Option<B> {
        self.depth += 1;
        B::map(place, self.entries.drain(first..))
    }

    /// A key. Merge keys, null, and what kustomize refuses are left to the general path, and so is what kubectl spells in a way of its own but
    /// for booleans: `y` and `n` are frequent, and so are ports.
    #[inline]
    fn key(&mut self, place: Place, text: &str, plain: bool) -> Option<B::Key> {
        let mut spelled = text;
        if plain && !scalar::is_text_at_sight(text) {
            spelled = match (scalar::resolve(text, self.mode), self.mode) {
                (Plain::Text, _) => text,
                (Plain::Bool(claim), YamlMode::Kubernetes) => {
                    if claim {
                        "true"
                    } else {
                        "false"
                    }
                }
                (Plain::Int(number), YamlMode::Kubernetes) if number.as_u64().is_some_and(|number| number.to_string() == text) => text,
                _ => return None,
            };
        }
        self.count_text(spelled)?;
        Some(B::key(place, spelled))
    }

    /// Text in quotes or in a block.
    #[inline]
    fn text_of_quoted(&mut self, place: Place, text: &str) -> Option<B> {
        self.count_node()?;
        self.count_text(text)?;
        Some(B::quoted(place, text))
    }

    /// Plain text.
    #[inline]
    fn text_value(&mut self, place: Place, text: &str) -> Option<B> {
        self.count_node()?;
        self.count_text(text)?;
        Some(B::text(place, text))
    }

    /// A plain scalar; an empty one is null.
    #[inline]
    fn plain_value(&mut self, place: Place, text: &str) -> Option<B> {
        if scalar::is_text_at_sight(text) {
            return self.text_value(place, text);
        }
        self.count_node()?;
        self.count_text(text)?;
        B::plain(place, scalar::resolve(text, self.mode), text)
    }
}

/// What can stand where a plain scalar starts, by byte.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Start {
    /// A plain scalar whatever follows.
    Plain,
    /// A plain scalar if no blank follows: `-`, `:`.
    Indicator,
    /// Something else.
    Other,
}

static STARTS: [Start; 256] = {
    let mut starts = [Start::Plain; 256];
    let mut byte = 0;
    while byte < 256 {
        if byte <= 0x20 || byte == 0x7f {
            starts[byte] = Start::Other;
        }
        byte += 1;
    }
    let others = b"[]{},#&*!|>'\"%@`?";
    let mut at = 0;
    while at < others.len() {
        starts[others[at] as usize] = Start::Other;
        at += 1;
    }
    starts[b'-' as usize] = Start::Indicator;
    starts[b':' as usize] = Start::Indicator;
    starts
};

/// A plain scalar in a flow collection ends with them.
const fn is_flow(byte: u8) -> bool {
    matches!(byte, b',' | b'[' | b']' | b'{' | b'}')
}

const fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n')
}
