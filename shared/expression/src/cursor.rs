//! A place in a text that is being read, and what the readers of both languages do there. What a token means is left to them.

/// The most memory of one compiled pattern: 64 KiB is a hundred times what a name needs.
pub(crate) const PATTERN_LIMIT: usize = 64 << 10;

/// Where a reader is in its text.
pub(crate) struct Cursor<'a> {
    text: &'a str,
    /// In bytes, at the beginning of a character.
    pub(crate) at: usize,
    /// How many bytes at the beginning of a text say nothing.
    blank: fn(&str) -> usize,
}

impl<'a> Cursor<'a> {
    /// At the beginning of `text`.
    pub(crate) fn new(text: &'a str, blank: fn(&str) -> usize) -> Self {
        Self { text, at: 0, blank }
    }

    /// What was read.
    pub(crate) fn before(&self) -> &'a str {
        &self.text[..self.at]
    }

    /// What is left.
    pub(crate) fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    /// Passes over what says nothing.
    pub(crate) fn space(&mut self) {
        self.at += (self.blank)(self.rest());
    }

    /// Whether nothing is left that says anything.
    pub(crate) fn is_at_end(&mut self) -> bool {
        self.space();
        self.rest().is_empty()
    }

    /// Takes `token` if it stands next.
    pub(crate) fn take(&mut self, token: &str) -> bool {
        self.space();
        let found = self.rest().starts_with(token);
        if found {
            self.at += token.len();
        }
        found
    }

    /// Takes the word `word` if it stands next as a whole.
    pub(crate) fn take_word(&mut self, word: &str) -> bool {
        self.space();
        let found = self.rest().strip_prefix(word).is_some_and(|rest| !rest.starts_with(is_word));
        if found {
            self.at += word.len();
        }
        found
    }

    /// Takes the word that begins right here.
    pub(crate) fn word(&mut self) -> Option<&'a str> {
        let rest = self.rest();
        if !rest.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
            return None;
        }
        let end = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
        self.at += end;
        Some(&rest[..end])
    }
}

fn is_word(character: char) -> bool {
    character.is_ascii_alphanumeric() || character == '_'
}

/// A balanced tree of parts, in their order from left to right, so that a long chain is no deep one; `None` of none.
pub(crate) fn balanced<E>(mut parts: Vec<E>, join: fn(Box<E>, Box<E>) -> E) -> Option<E> {
    while parts.len() > 1 {
        let mut joined = Vec::with_capacity(parts.len() / 2 + 1);
        let mut rest = parts.into_iter();
        while let Some(left) = rest.next() {
            joined.push(match rest.next() {
                Some(right) => join(Box::new(left), Box::new(right)),
                None => left,
            });
        }
        parts = joined;
    }
    parts.pop()
}

/// Whether no path from `root` is longer than `limit`, which is how deep evaluating may recurse.
pub(crate) fn is_shallow<'e, E>(root: &'e E, limit: usize, children: fn(&'e E) -> Vec<&'e E>) -> bool {
    let mut pending = vec![(root, 1)];
    while let Some((expr, depth)) = pending.pop() {
        if depth > limit {
            return false;
        }
        pending.extend(children(expr).into_iter().map(|child| (child, depth + 1)));
    }
    true
}
