//! The little of DER that keys and certificates need: writing values, and walking through those of others. What they mean is left to `keys` and
//! `certificates`.

/// Tags of values.
pub(super) const BOOLEAN: u8 = 0x01;
pub(super) const INTEGER: u8 = 0x02;
pub(super) const BIT_STRING: u8 = 0x03;
pub(super) const OCTET_STRING: u8 = 0x04;
pub(super) const NULL: u8 = 0x05;
pub(super) const OBJECT_IDENTIFIER: u8 = 0x06;
pub(super) const UTF8_STRING: u8 = 0x0C;
pub(super) const PRINTABLE_STRING: u8 = 0x13;
pub(super) const UTC_TIME: u8 = 0x17;
pub(super) const GENERALIZED_TIME: u8 = 0x18;
pub(super) const SEQUENCE: u8 = 0x30;
pub(super) const SET: u8 = 0x31;

/// The tag of a part that a type numbers itself: a value, or values within.
pub(super) const fn context(number: u8, constructed: bool) -> u8 {
    0x80 | number | if constructed { 0x20 } else { 0 }
}

/// A value.
pub(super) fn value(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut der = vec![tag];
    // Lengths above 127 are their bytes, with the number of these before them.
    if content.len() < 0x80 {
        der.push(content.len() as u8);
    } else {
        let length = content.len().to_be_bytes();
        let significant = &length[length.iter().take_while(|byte| **byte == 0).count()..];
        der.push(0x80 | significant.len() as u8);
        der.extend(significant);
    }
    der.extend(content);
    der
}

/// A sequence of values that are DER already.
pub(super) fn sequence<const N: usize>(parts: [&[u8]; N]) -> Vec<u8> {
    value(SEQUENCE, &parts.concat())
}

/// An integer that is not negative, from its bytes.
pub(super) fn unsigned(bytes: &[u8]) -> Vec<u8> {
    let significant = &bytes[bytes.iter().take_while(|byte| **byte == 0).count()..];
    let needs_zero = significant.first().is_none_or(|byte| *byte >= 0x80);
    let content = if needs_zero { [&[0], significant].concat() } else { significant.to_vec() };
    value(INTEGER, &content)
}

/// A string of whole bytes as bits.
pub(super) fn bits(bytes: &[u8]) -> Vec<u8> {
    value(BIT_STRING, &[&[0], bytes].concat())
}

/// A value that was read.
#[derive(Clone, Copy)]
pub(super) struct Element<'d> {
    pub(super) tag: u8,
    pub(super) content: &'d [u8],
    /// With tag and length.
    pub(super) whole: &'d [u8],
}

/// Values one after another.
#[derive(Clone, Copy)]
pub(super) struct Elements<'d>(pub(super) &'d [u8]);

impl<'d> Elements<'d> {
    /// The next value, if it has this tag; otherwise it stays.
    pub(super) fn take(&mut self, tag: u8) -> Option<Element<'d>> {
        let (element, rest) = first(self.0)?;
        if element.tag != tag {
            return None;
        }
        self.0 = rest;
        Some(element)
    }

    /// The values within the next one, if it has this tag.
    pub(super) fn enter(&mut self, tag: u8) -> Option<Self> {
        self.take(tag).map(|element| Self(element.content))
    }

    /// The bytes of the next value, which must be an integer that is not negative.
    pub(super) fn unsigned(&mut self) -> Option<&'d [u8]> {
        let content = self.take(INTEGER)?.content;
        if *content.first()? >= 0x80 {
            return None;
        }
        Some(&content[content.iter().take_while(|byte| **byte == 0).count()..])
    }
}

fn first(der: &[u8]) -> Option<(Element<'_>, &[u8])> {
    let (&tag, rest) = der.split_first()?;
    let (&length, rest) = rest.split_first()?;
    let (length, rest) = if length < 0x80 {
        (usize::from(length), rest)
    } else {
        let count = usize::from(length & 0x7F);
        // Four bytes are lengths of 4 GiB; none at all is a form that DER does not have.
        if count == 0 || count > 4 {
            return None;
        }
        let (bytes, rest) = rest.split_at_checked(count)?;
        (bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((Element { tag, content, whole: &der[..der.len() - rest.len()] }, rest))
}
