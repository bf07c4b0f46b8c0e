//! Reading an object as the server's own types read and write it: unknown fields fall away, zero values that are not written fall
//! away, quantities become canonical, declared defaults appear. Defaults that follow from other fields are in `defaults`.

use serde_json::{Map, Value};

use crate::schema::{MapShape, Scalar, Ty, Type};

/// An object as the server would write it back, and the fields that it does not know.
#[derive(Debug)]
pub(crate) struct Decoded {
    pub(crate) object: Value,
    pub(crate) unknown: Vec<String>,
}

/// Reads `v` through `ty`. The error is the real decoder's, without its prefix.
/// A custom resource (`custom`) keeps values of a wrong type, which its schema's validation refuses later.
pub(crate) fn decode(ty: Ty<'_>, v: &Value, custom: bool) -> Result<Decoded, String> {
    let mut unknown = Vec::new();
    let object = read(ty, v, &mut Place { custom, ..Place::default() }, &mut unknown)?;
    Ok(Decoded { object, unknown })
}

/// Where the reader is: the dotted path for messages and the innermost struct.
#[derive(Default)]
struct Place {
    path: String,
    holder: String,
    custom: bool,
}

impl Place {
    fn enter<T>(&mut self, step: &str, f: impl FnOnce(&mut Self) -> T) -> T {
        let len = self.path.len();
        if !self.path.is_empty() && !step.starts_with('[') {
            self.path.push('.');
        }
        self.path.push_str(step);
        let out = f(self);
        self.path.truncate(len);
        out
    }

    fn is_custom(&self) -> bool {
        self.custom && !self.path.starts_with("metadata")
    }

    fn mismatch(&self, v: &Value, go: &str) -> String {
        let kind = match v {
            Value::Null => "null".into(),
            Value::Bool(_) => "bool".into(),
            Value::Number(n) if go.starts_with("int") => format!("number {n}"),
            Value::Number(_) => "number".into(),
            Value::String(_) => "string".into(),
            Value::Array(_) => "array".into(),
            Value::Object(_) => "object".to_owned(),
        };
        // The real decoder leaves list positions out of the path.
        let path: String = self.path.split('[').map(|p| p.split_once(']').map_or(p, |(_, r)| r)).collect();
        format!("json: cannot unmarshal {kind} into Go struct field {}.{path} of type {go}", self.holder)
    }
}

fn read(ty: Ty<'_>, v: &Value, at: &mut Place, unknown: &mut Vec<String>) -> Result<Value, String> {
    match ty.shape() {
        Type::Deduced | Type::Opaque => Ok(v.clone()),
        Type::Scalar(s) => match scalar(*s, v, at) {
            Err(_) if at.is_custom() => Ok(v.clone()),
            read => read,
        },
        Type::List { .. } => match (v, ty.item()) {
            (Value::Array(items), Some(item)) => items
                .iter()
                .enumerate()
                .map(|(i, x)| at.enter(&format!("[{i}]"), |at| read(item, x, at, unknown)))
                .collect::<Result<_, _>>()
                .map(Value::Array),
            (Value::Null, _) => Ok(Value::Null),
            _ if at.is_custom() => Ok(v.clone()),
            _ => Err(at.mismatch(v, &go_name(ty))),
        },
        Type::Map(m) => match v {
            Value::Object(fields) => structure(ty, m, fields, at, unknown).map(Value::Object),
            Value::Null => Ok(Value::Null),
            _ if at.is_custom() => Ok(v.clone()),
            _ => Err(at.mismatch(v, &go_name(ty))),
        },
    }
}

fn go_name(ty: Ty<'_>) -> String {
    match ty.shape() {
        Type::Scalar(Scalar::Int32) => "int32".into(),
        Type::Scalar(Scalar::Int64) => "int64".into(),
        Type::Scalar(Scalar::Number) => "float64".into(),
        Type::Scalar(Scalar::Bool) => "bool".into(),
        Type::Scalar(_) => "string".into(),
        Type::List { .. } => format!("[]{}", ty.item().map(go_name).unwrap_or_default()),
        Type::Map(m) if m.name.is_empty() => {
            format!("map[string]{}", m.elem.map(|e| go_name(ty.follow(e))).unwrap_or_default())
        }
        Type::Map(m) => format!("v1.{}", m.name),
        Type::Deduced | Type::Opaque => "interface {}".into(),
    }
}

fn structure(
    ty: Ty<'_>,
    m: &MapShape,
    fields: &Map<String, Value>,
    at: &mut Place,
    unknown: &mut Vec<String>,
) -> Result<Map<String, Value>, String> {
    let mut out = Map::new();
    let free = m.fields.is_empty();
    let holder = if free { at.holder.clone() } else { std::mem::replace(&mut at.holder, m.name.clone()) };
    for (name, v) in fields {
        match ty.member(name) {
            Some(t) => {
                let declared = m.fields.get(name);
                let kept = at.custom && declared.is_some_and(|f| f.default.is_none());
                if v.is_null() && !free && declared.is_some() && !kept {
                    continue;
                }
                let v = at.enter(name, |at| read(t, v, at, unknown))?;
                if !(declared.is_some_and(|f| f.drop_zero) && is_zero(&v)) {
                    out.insert(name.clone(), v);
                }
            }
            None if m.preserve_unknown => {
                out.insert(name.clone(), v.clone());
            }
            None => unknown.push(at.enter(name, |at| at.path.clone())),
        }
    }
    for (name, f) in &m.fields {
        if out.contains_key(name) {
            continue;
        }
        if let Some(d) = &f.default {
            let v = at.enter(name, |at| read(ty.follow(f.ty), d, at, unknown))?;
            out.insert(name.clone(), v);
        } else if f.null_when_absent {
            out.insert(name.clone(), Value::Null);
        }
    }
    at.holder = holder;
    Ok(out)
}

fn is_zero(v: &Value) -> bool {
    match v {
        Value::Null => true,
        Value::Bool(b) => !b,
        Value::Number(n) => n.as_f64() == Some(0.0),
        Value::String(s) => s.is_empty(),
        Value::Array(a) => a.is_empty(),
        Value::Object(m) => m.is_empty(),
    }
}

fn scalar(s: Scalar, v: &Value, at: &Place) -> Result<Value, String> {
    match (s, v) {
        (Scalar::Text, Value::Null) => Ok(Value::String(String::new())),
        (_, Value::Null) => Ok(Value::Null),
        (Scalar::Text | Scalar::Time, Value::String(_)) | (Scalar::Bool, Value::Bool(_)) | (Scalar::Number, Value::Number(_)) => {
            Ok(v.clone())
        }
        (Scalar::Int32, Value::Number(n)) if n.as_i64().is_some_and(|i| i32::try_from(i).is_ok()) => Ok(v.clone()),
        (Scalar::Int64, Value::Number(n)) if n.is_i64() => Ok(v.clone()),
        (Scalar::IntOrString, Value::String(_) | Value::Number(_)) => Ok(v.clone()),
        (Scalar::Quantity, Value::String(t)) => quantity(t).map(Value::String),
        (Scalar::Quantity, Value::Number(n)) => quantity(&n.to_string()).map(Value::String),
        (Scalar::Bytes, Value::String(t)) => match base64_fault(t) {
            None => Ok(v.clone()),
            Some(i) => Err(format!("illegal base64 data at input byte {i}")),
        },
        (Scalar::Int32, _) => Err(at.mismatch(v, "int32")),
        (Scalar::Int64, _) => Err(at.mismatch(v, "int64")),
        (Scalar::Number, _) => Err(at.mismatch(v, "float64")),
        (Scalar::Bool, _) => Err(at.mismatch(v, "bool")),
        (Scalar::Bytes, _) => Err(at.mismatch(v, "[]uint8")),
        _ => Err(at.mismatch(v, "string")),
    }
}

/// The position of the first byte that is not base64, or of the end when padding is wrong.
fn base64_fault(text: &str) -> Option<usize> {
    let body = text.trim_end_matches('=');
    let bad = body.bytes().position(|b| !(b.is_ascii_alphanumeric() || b == b'+' || b == b'/'));
    let padded = text.len() - body.len() <= 2 && text.len().is_multiple_of(4);
    bad.or_else(|| (!padded).then_some(text.len()))
}

/// Encodes bytes as standard base64.
pub(crate) fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let n = chunk.iter().fold(0u32, |n, b| n << 8 | u32::from(*b)) << (8 * (3 - chunk.len()));
        for i in 0..4 {
            let index = (n >> (18 - 6 * i) & 63) as usize;
            out.push(if i <= chunk.len() { char::from(ALPHABET[index]) } else { '=' });
        }
    }
    out
}

const QUANTITY_FAULT: &str = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";

/// A resource quantity in its canonical form.
pub(crate) fn quantity(text: &str) -> Result<String, String> {
    let fault = || QUANTITY_FAULT.to_owned();
    let text = text.trim();
    let (negative, rest) = match text.strip_prefix('-') {
        Some(r) => (true, r),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let split = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
    let (digits, suffix) = rest.split_at(split);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') || digits.len() > 30 {
        return Err(fault());
    }
    let mut mantissa: i128 = format!("{whole}{fraction}").parse().map_err(|_| fault())?;
    let mut exponent = -i32::try_from(fraction.len()).map_err(|_| fault())?;
    let binary = ["Ki", "Mi", "Gi", "Ti", "Pi", "Ei"].iter().position(|s| *s == suffix);
    let mut scientific = false;
    match suffix {
        _ if binary.is_some() => {
            let power = u32::try_from(binary.unwrap_or(0)).unwrap_or(0) + 1;
            mantissa = mantissa.checked_mul(1024i128.pow(power)).ok_or_else(fault)?;
        }
        "n" => exponent -= 9,
        "u" => exponent -= 6,
        "m" => exponent -= 3,
        "" => {}
        "k" => exponent += 3,
        "M" => exponent += 6,
        "G" => exponent += 9,
        "T" => exponent += 12,
        "P" => exponent += 15,
        "E" => exponent += 18,
        s if s.starts_with(['e', 'E']) => {
            exponent += s[1..].parse::<i32>().map_err(|_| fault())?;
            scientific = true;
        }
        _ => return Err(fault()),
    }
    if mantissa == 0 {
        return Ok("0".into());
    }
    let sign = if negative { "-" } else { "" };
    while mantissa % 10 == 0 {
        mantissa /= 10;
        exponent += 1;
    }
    if binary.is_some() && exponent >= 0 {
        let mut n = mantissa * 10i128.pow(exponent.unsigned_abs());
        if n >= 1024 {
            let mut i = 0;
            while n % 1024 == 0 && i < 6 {
                n /= 1024;
                i += 1;
            }
            return Ok(format!("{sign}{n}{}", ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"][i]));
        }
    }
    // Nothing is finer than a nano; what is, is rounded up.
    while exponent < -9 {
        mantissa = mantissa / 10 + i128::from(mantissa % 10 != 0);
        exponent += 1;
    }
    while exponent.rem_euclid(3) != 0 {
        mantissa *= 10;
        exponent -= 1;
    }
    if scientific && exponent != 0 {
        return Ok(format!("{sign}{mantissa}e{exponent}"));
    }
    while exponent > 18 {
        mantissa *= 1000;
        exponent -= 3;
    }
    let suffix = ["n", "u", "m", "", "k", "M", "G", "T", "P", "E"][usize::try_from(exponent / 3 + 3).unwrap_or(3)];
    Ok(format!("{sign}{mantissa}{suffix}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::builtin;
    use serde_json::json;

    #[test]
    fn quantities_become_canonical() {
        for (given, canonical) in [
            ("1000m", "1"),
            ("0.5", "500m"),
            ("1024Mi", "1Gi"),
            ("1.5Gi", "1536Mi"),
            ("100", "100"),
            ("2000", "2k"),
            ("0", "0"),
            ("512Ki", "512Ki"),
            ("1e3", "1e3"),
            ("-1500m", "-1500m"),
            ("0.1Ki", "102400m"),
        ] {
            assert_eq!(quantity(given).as_deref(), Ok(canonical), "{given}");
        }
        assert!(quantity("ten").is_err());
    }

    #[test]
    fn an_empty_deployment_reads_as_the_server_writes_it() {
        let s = builtin("apps", "v1", "Deployment").expect("a built-in kind");
        let d = decode(s.root(), &json!({"spec": {"paused": false, "replicas": 0, "nope": 1}}), false).expect("it decodes");
        assert_eq!(
            d.object,
            json!({"metadata": {}, "spec": {"replicas": 0, "selector": null, "strategy": {}, "template": {"metadata": {}, "spec": {"containers": null}}}, "status": {}})
        );
        assert_eq!(d.unknown, ["spec.nope"]);
        let e = decode(s.root(), &json!({"spec": {"replicas": "2"}}), false).expect_err("a type error");
        assert_eq!(e, "json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32");
    }

    #[test]
    fn base64_is_standard() {
        assert_eq!([base64(b"a"), base64(b"ab"), base64(b"abc")], ["YQ==", "YWI=", "YWJj"]);
    }
}
