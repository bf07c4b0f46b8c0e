//! Matching of names: Go's `filepath.Match`, which `.helmignore` and `--show-only` use, and the patterns of `.Files.Glob`. No pattern takes longer
//! than its length times that of the name.

/// A pattern that is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("syntax error in pattern")]
pub(crate) struct BadPattern;

/// One step of a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    /// This character.
    One(char),
    /// A character that is no separator.
    AnyOne,
    /// Any characters that are no separators.
    Any,
    /// Any characters.
    AnyPath,
    /// A character in one of the ranges, or in none of them.
    Set { ranges: Vec<(char, char)>, negated: bool },
    /// One of these.
    Either(Vec<Vec<Part>>),
}

/// A compiled pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Glob(Vec<Part>);

impl Glob {
    /// A pattern of `filepath.Match`: `*`, `?`, `[a-z]`, `[^a]` and `\` before a character; the first two do not match `/`.
    pub(crate) fn path(pattern: &str) -> Result<Self, BadPattern> {
        let mut letters = pattern.chars().peekable();
        let mut parts = Vec::new();
        while let Some(letter) = letters.next() {
            parts.push(match letter {
                '*' => Part::Any,
                '?' => Part::AnyOne,
                '\\' => Part::One(letters.next().ok_or(BadPattern)?),
                '[' => {
                    let negated = letters.next_if_eq(&'^').is_some();
                    let mut ranges = Vec::new();
                    loop {
                        if letters.peek() == Some(&']') && !ranges.is_empty() {
                            letters.next();
                            break;
                        }
                        let low = set_letter(&mut letters)?;
                        let high = if letters.next_if_eq(&'-').is_some() { set_letter(&mut letters)? } else { low };
                        ranges.push((low, high));
                    }
                    Part::Set { ranges, negated }
                }
                other => Part::One(other),
            });
        }
        Ok(Self(parts))
    }

    /// A pattern of `.Files.Glob`: as shells have it, with `**` for anything and `{a,b}`; `/` separates.
    pub(crate) fn files(pattern: &str) -> Result<Self, BadPattern> {
        let letters: Vec<char> = pattern.chars().collect();
        let mut at = 0;
        let parts = sequence(&letters, &mut at, 0)?;
        if at == letters.len() { Ok(Self(parts)) } else { Err(BadPattern) }
    }

    /// Whether `name` as a whole is what the pattern says.
    pub(crate) fn matches(&self, name: &str) -> bool {
        // Most names begin or end otherwise than the pattern.
        if matches!(self.0.first(), Some(Part::One(first)) if !name.starts_with(*first))
            || matches!(self.0.last(), Some(Part::One(last)) if !name.ends_with(*last))
        {
            return false;
        }
        if name.is_ascii() && !self.0.iter().any(|part| matches!(part, Part::AnyPath | Part::Either(_))) {
            return self.matches_simply(name.as_bytes());
        }
        let letters: Vec<char> = name.chars().collect();
        let mut reached = vec![false; letters.len() + 1];
        reached[0] = true;
        advance(&self.0, &letters, reached)[letters.len()]
    }
}

impl Glob {
    /// The same for an ordinary name and a pattern in which only `*` stands for several characters: where something does not match, only the
    /// last star can be what has to grow.
    fn matches_simply(&self, name: &[u8]) -> bool {
        let parts = &self.0;
        let (mut part, mut at) = (0, 0);
        // Where to go on once the last star takes one character more.
        let mut star = None;
        loop {
            let fits = match (parts.get(part), name.get(at)) {
                (None, None) => return true,
                (Some(Part::Any), _) => {
                    part += 1;
                    star = Some((part, at));
                    continue;
                }
                (Some(one), Some(letter)) => one.is(char::from(*letter)),
                _ => false,
            };
            if fits {
                (part, at) = (part + 1, at + 1);
                continue;
            }
            match star {
                Some((after, from)) if name.get(from).is_some_and(|letter| *letter != b'/') => {
                    star = Some((after, from + 1));
                    (part, at) = (after, from + 1);
                }
                _ => return false,
            }
        }
    }
}

impl Part {
    /// Whether it stands for the one character `letter`.
    fn is(&self, letter: char) -> bool {
        match self {
            Self::One(wanted) => letter == *wanted,
            Self::AnyOne => letter != '/',
            Self::Set { ranges, negated } => ranges.iter().any(|(low, high)| (*low..=*high).contains(&letter)) != *negated,
            Self::Any | Self::AnyPath | Self::Either(_) => false,
        }
    }
}

fn set_letter(letters: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Result<char, BadPattern> {
    match letters.next() {
        None | Some('-' | ']') => Err(BadPattern),
        Some('\\') => letters.next().ok_or(BadPattern),
        Some(letter) => Ok(letter),
    }
}

/// The deepest braces in braces.
const BRACES_LIMIT: usize = 16;

fn sequence(letters: &[char], at: &mut usize, depth: usize) -> Result<Vec<Part>, BadPattern> {
    let mut parts = Vec::new();
    while let Some(letter) = letters.get(*at) {
        match letter {
            ',' | '}' if depth > 0 => break,
            _ => {}
        }
        *at += 1;
        parts.push(match letter {
            '*' if letters.get(*at) == Some(&'*') => {
                *at += 1;
                Part::AnyPath
            }
            '*' => Part::Any,
            '?' => Part::AnyOne,
            '\\' => {
                *at += 1;
                Part::One(*letters.get(*at - 1).ok_or(BadPattern)?)
            }
            '[' => set(letters, at)?,
            '{' if depth < BRACES_LIMIT => {
                let mut choices = Vec::new();
                loop {
                    choices.push(sequence(letters, at, depth + 1)?);
                    *at += 1;
                    match letters.get(*at - 1) {
                        Some(',') => {}
                        Some('}') => break,
                        _ => return Err(BadPattern),
                    }
                }
                Part::Either(choices)
            }
            '{' => return Err(BadPattern),
            other => Part::One(*other),
        });
    }
    Ok(parts)
}

/// A set of `.Files.Glob`: a list of characters or one range, never both.
fn set(letters: &[char], at: &mut usize) -> Result<Part, BadPattern> {
    let end = letters[*at..].iter().position(|letter| *letter == ']').ok_or(BadPattern)? + *at;
    let mut inside = &letters[*at..end];
    *at = end + 1;
    let negated = inside.first() == Some(&'!');
    if negated {
        inside = &inside[1..];
    }
    let ranges = match inside {
        [] => return Err(BadPattern),
        [low, '-', high] if low <= high => vec![(*low, *high)],
        [_, '-', _] => return Err(BadPattern),
        list => list.iter().map(|letter| (*letter, *letter)).collect(),
    };
    Ok(Part::Set { ranges, negated })
}

/// The places of `letters` that are reached from those `reached` by `parts`.
fn advance(parts: &[Part], letters: &[char], mut reached: Vec<bool>) -> Vec<bool> {
    for part in parts {
        reached = match part {
            Part::One(_) | Part::AnyOne | Part::Set { .. } => {
                let mut next = vec![false; reached.len()];
                for (at, letter) in letters.iter().enumerate() {
                    next[at + 1] = reached[at] && part.is(*letter);
                }
                next
            }
            Part::Any | Part::AnyPath => {
                let mut next = reached.clone();
                for (at, letter) in letters.iter().enumerate() {
                    next[at + 1] |= next[at] && (*part == Part::AnyPath || *letter != '/');
                }
                next
            }
            Part::Either(choices) => {
                let mut next = vec![false; reached.len()];
                for choice in choices {
                    for (place, here) in next.iter_mut().zip(advance(choice, letters, reached.clone())) {
                        *place |= here;
                    }
                }
                next
            }
        };
    }
    reached
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_match_as_in_go() {
        let cases = [
            ("abc", "abc", true),
            ("*", "abc", true),
            ("*c", "abc", true),
            ("a*/b", "abc/b", true),
            ("a*/b", "a/c/b", false),
            ("a*b?c*x", "abxbbxdbxebxczzx", true),
            ("ab[c]", "abc", true),
            ("ab[^e-g]", "abc", true),
            ("a\\*b", "a*b", true),
            ("a???b", "aα☺Дb", true),
            ("*x", "x/x", false),
            ("templates/.?*", "templates/.hidden", true),
            ("templates/.?*", "templates/.", false),
            ("a*b*c", "a/b/c", false),
            ("*b*", "ab/c", false),
            ("*a*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaa", false),
            ("*", "", true),
            ("**", "ab", true),
        ];
        for (pattern, name, expected) in cases {
            assert_eq!(Glob::path(pattern).map(|glob| glob.matches(name)), Ok(expected), "{pattern} {name}");
            // A letter beyond ASCII takes the other way.
            let longer = (format!("ü{pattern}"), format!("ü{name}"));
            assert_eq!(Glob::path(&longer.0).map(|glob| glob.matches(&longer.1)), Ok(expected), "{longer:?}");
        }
        for pattern in ["[", "[]a]", "[a-", "[-]", "a\\", "[^", "[x-]"] {
            assert_eq!(Glob::path(pattern), Err(BadPattern), "{pattern}");
        }
    }

    #[test]
    fn files_match_with_stars_and_braces() {
        let cases = [
            ("config/*", "config/a.yaml", true),
            ("config/*", "config/a/b.yaml", false),
            ("config/**", "config/a/b.yaml", true),
            ("**.yaml", "a/b.yaml", true),
            ("{a,b/*}.txt", "b/x.txt", true),
            ("{a,b/*}.txt", "c.txt", false),
            ("[!a]?", "bc", true),
            ("[a-c]x", "dx", false),
        ];
        for (pattern, name, expected) in cases {
            assert_eq!(Glob::files(pattern).map(|glob| glob.matches(name)), Ok(expected), "{pattern} {name}");
        }
        assert_eq!(Glob::files("{a"), Err(BadPattern));
    }
}
