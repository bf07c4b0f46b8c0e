//! What `write_yaml` prints reads back as it was, but for three things that it prints as kustomize does. Here they are told apart, so that
//! everything else is held to it.

use shared_manifest::{Tree, Value};

/// Whether the tree has neither a key `<<`, which is printed without quotes, nor one of the characters that
/// are line breaks in YAML 1.1 only, which are printed as such.
pub(crate) fn is_exact(tree: &Tree) -> bool {
    let text_is_exact = |text: &str| !text.contains(['\u{85}', '\u{2028}', '\u{2029}']);
    match tree {
        Tree::List(items) => items.iter().all(is_exact),
        Tree::Map(map) => map.iter().all(|(key, value)| key != "<<" && text_is_exact(key) && is_exact(value)),
        _ => tree.written().is_none_or(|text| text_is_exact(text)),
    }
}

/// Whether both are the same, where numbers may have lost digits: what was written with a fraction or an exponent is printed with no more
/// digits than tell it apart from other floats, also if it is an integer.
pub(crate) fn is_same(before: &Value, back: &Value) -> bool {
    match (before, back) {
        (Value::Array(before), Value::Array(back)) => {
            before.len() == back.len() && before.iter().zip(back).all(|(before, back)| is_same(before, back))
        }
        (Value::Object(before), Value::Object(back)) => {
            before.len() == back.len() && before.iter().zip(back).all(|((key, before), (name, back))| key == name && is_same(before, back))
        }
        (Value::Number(before), Value::Number(back)) => before == back || before.as_f64() == back.as_f64(),
        _ => before == back,
    }
}
