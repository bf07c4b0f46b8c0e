//! A Go string: bytes that are mostly, but not always, UTF-8 (`trunc` cuts where it is told to, `b64dec` gives what was encoded).

use std::borrow::{Borrow, Cow};
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Deref;
use std::sync::Arc;

/// Texts of so many bytes live in the value itself: with one byte for the length and one that says so they fill the three words that a
/// [`crate::Value`] has. Names, keys, image tags, numbers and ports are shorter.
const INLINE: usize = 22;

/// Immutable bytes that are cheap to copy and may be shared between threads, so that a parsed template can hold them.
#[derive(Clone)]
pub struct Text(Repr);

#[derive(Clone)]
enum Repr {
    Inline { length: u8, bytes: [u8; INLINE] },
    Static(&'static [u8]),
    Shared(Arc<[u8]>),
}

impl Text {
    /// The text with these bytes.
    pub fn new(bytes: impl AsRef<[u8]>) -> Self {
        let bytes = bytes.as_ref();
        Self::inline(bytes).unwrap_or_else(|| Self(Repr::Shared(bytes.into())))
    }

    /// A text that lives as long as the program; it costs nothing to make.
    pub const fn of_static(bytes: &'static [u8]) -> Self {
        Self(Repr::Static(bytes))
    }

    /// The text with these bytes if they are few enough to be in the value itself.
    pub(crate) fn inline(bytes: &[u8]) -> Option<Self> {
        let mut inline = [0; INLINE];
        inline.get_mut(..bytes.len())?.copy_from_slice(bytes);
        Some(Self(Repr::Inline { length: bytes.len() as u8, bytes: inline }))
    }

    /// The bytes.
    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            Repr::Inline { length, bytes } => &bytes[..usize::from(*length)],
            Repr::Static(bytes) => bytes,
            Repr::Shared(bytes) => bytes,
        }
    }

    #[inline(never)]
    fn compare_bytes(&self, other: &Self) -> Ordering {
        self.as_bytes().cmp(other.as_bytes())
    }

    /// The text as UTF-8; every invalid byte becomes U+FFFD, as where Go ranges over the characters of a string.
    pub fn to_str(&self) -> Cow<'_, str> {
        // Most text is UTF-8, which is quick to see.
        self.as_str().map_or_else(|| String::from_utf8_lossy(self), Cow::Borrowed)
    }

    /// The text if it is UTF-8.
    pub fn as_str(&self) -> Option<&str> {
        std::str::from_utf8(self).ok()
    }
}

/// The bytes as numbers in the same order: two keys of a map mostly differ in the first. The last two share a few bytes.
#[inline]
fn words(bytes: &[u8; INLINE]) -> [u64; 3] {
    [0, 8, INLINE - 8].map(|start| u64::from_be_bytes(std::array::from_fn(|at| bytes[start + at])))
}

impl Deref for Text {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl Borrow<[u8]> for Text {
    fn borrow(&self) -> &[u8] {
        self
    }
}

impl AsRef<[u8]> for Text {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl PartialEq for Text {
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for Text {}

impl PartialOrd for Text {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Text {
    #[inline]
    fn cmp(&self, other: &Self) -> Ordering {
        match (&self.0, &other.0) {
            // Behind the end of a short text there are zeros, so that the longer of two that differ in nothing else is the greater one.
            (Repr::Inline { length, bytes }, Repr::Inline { length: others_length, bytes: others }) => {
                words(bytes).cmp(&words(others)).then(length.cmp(others_length))
            }
            _ => self.compare_bytes(other),
        }
    }
}

impl Hash for Text {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_bytes().hash(state);
    }
}

impl Default for Text {
    fn default() -> Self {
        Self::of_static(b"")
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl From<&[u8]> for Text {
    fn from(bytes: &[u8]) -> Self {
        Self::new(bytes)
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self::from(text.into_bytes())
    }
}

impl From<Vec<u8>> for Text {
    fn from(bytes: Vec<u8>) -> Self {
        Self::new(bytes)
    }
}

impl From<Arc<[u8]>> for Text {
    /// Long bytes are shared, not copied.
    fn from(bytes: Arc<[u8]>) -> Self {
        Self::inline(&bytes).unwrap_or(Self(Repr::Shared(bytes)))
    }
}

impl From<Cow<'_, str>> for Text {
    fn from(text: Cow<'_, str>) -> Self {
        Self::new(text.as_bytes())
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.to_str())
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_in_the_order_of_their_bytes_however_they_are_kept() {
        let mut all: Vec<Vec<u8>> = vec![vec![]];
        for length in [1, 7, 8, 9, 14, 15, 16, 17, 21, 22, 23, 30] {
            for last in [0, 1, b'a', 0x7f, 0x80, 0xff] {
                all.push([vec![b'a'; length - 1], vec![last]].concat());
                all.push([vec![0; length - 1], vec![last]].concat());
            }
        }
        for one in &all {
            for other in &all {
                assert_eq!(Text::new(one).cmp(&Text::new(other)), one.cmp(other), "{one:?} {other:?}");
                assert_eq!(Text::new(one) == Text::new(other), one == other);
            }
        }
    }
}
