//! Paths as texts, by the rules of Go's `path` and of `path/filepath` on Linux, where they are the same.

use hub_gotemplate::{Function, Text, Type, Value};

use super::function;

/// The path functions of sprig.
pub(super) const FUNCTIONS: &[Function] = &[
    function("base", &[Type::Text], |_, args| Ok(text(base(args.text(0))))),
    function("dir", &[Type::Text], |_, args| Ok(text(dir(args.text(0))))),
    function("clean", &[Type::Text], |_, args| Ok(text(clean(args.text(0))))),
    function("ext", &[Type::Text], |_, args| Ok(text(ext(args.text(0))))),
    function("isAbs", &[Type::Text], |_, args| Ok(Value::Bool(args.text(0).starts_with(b"/")))),
    function("osBase", &[Type::Text], |_, args| Ok(text(base(args.text(0))))),
    function("osDir", &[Type::Text], |_, args| Ok(text(dir(args.text(0))))),
    function("osClean", &[Type::Text], |_, args| Ok(text(clean(args.text(0))))),
    function("osExt", &[Type::Text], |_, args| Ok(text(ext(args.text(0))))),
    function("osIsAbs", &[Type::Text], |_, args| Ok(Value::Bool(args.text(0).starts_with(b"/")))),
];

fn text(bytes: impl AsRef<[u8]>) -> Value {
    Value::Text(Text::new(bytes))
}

/// The last part.
fn base(path: &[u8]) -> &[u8] {
    if path.is_empty() {
        return b".";
    }
    let end = path.iter().rposition(|&byte| byte != b'/').map_or(0, |last| last + 1);
    let start = path[..end].iter().rposition(|&byte| byte == b'/').map_or(0, |slash| slash + 1);
    if end == 0 { b"/" } else { &path[start..end] }
}

/// All but the last part.
fn dir(path: &[u8]) -> Vec<u8> {
    clean(path.iter().rposition(|&byte| byte == b'/').map_or(b"", |slash| &path[..=slash]))
}

/// From the last point of the last part on.
fn ext(path: &[u8]) -> &[u8] {
    match path.iter().rposition(|&byte| byte == b'.' || byte == b'/') {
        Some(at) if path[at] == b'.' => &path[at..],
        _ => b"",
    }
}

/// The shortest path that means the same.
fn clean(path: &[u8]) -> Vec<u8> {
    let is_rooted = path.first() == Some(&b'/');
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in path.split(|&byte| byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => match parts.last() {
                Some(&last) if last != b".." => {
                    parts.pop();
                }
                _ if is_rooted => {}
                _ => parts.push(part),
            },
            _ => parts.push(part),
        }
    }
    let mut cleaned = if is_rooted { b"/".to_vec() } else { Vec::new() };
    cleaned.extend(parts.join(&b'/'));
    if cleaned.is_empty() { b".".to_vec() } else { cleaned }
}
