//! Texts in quotes that go on in a line that is not indented: `sigs.k8s.io/yaml` and `kyaml` take them, the parser does not. As blanks at the
//! beginning of such a line mean nothing, it gets more of them, and the text is read again. The reading is left to the rest.

use super::{YamlError, YamlProblem};

/// How many lines of a text are mended; each costs another reading. The longest such text of a public chart has five.
pub(super) const MOST_LINES: usize = 64;

/// The longest text that is mended: to read 128 KiB 64 times takes a third of a second.
const LONGEST: usize = 128 << 10;

/// What the parser says of such a line.
const NOT_DEEP_ENOUGH: &str = "invalid indentation in multiline quoted scalar";

/// `text` with the line that `error` tells of deeper than all that it can lie in; `None` if it tells of something else.
pub(super) fn deeper(text: &str, error: &YamlError) -> Option<String> {
    let YamlProblem::Syntax { message } = &error.problem else { return None };
    if !message.contains(NOT_DEEP_ENOUGH) || text.len() > LONGEST {
        return None;
    }
    // What a text in quotes lies in begins in no column behind its first quote.
    let column = text.lines().filter_map(|line| line.find(['"', '\''])).max()? + 1;
    let before = (error.line as usize).checked_sub(2)?;
    let start = text.match_indices('\n').nth(before)?.0 + 1;
    // To them the document ends here, in quotes or not.
    let ends_document = |rest: &str| rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n']);
    if ["---", "..."].iter().any(|marker| text[start..].strip_prefix(marker).is_some_and(ends_document)) {
        return None;
    }
    Some([&text[..start], &" ".repeat(column), &text[start..]].concat())
}
