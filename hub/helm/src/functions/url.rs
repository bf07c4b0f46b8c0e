//! URLs taken apart and put together as Go's `net/url` does it.

use std::net::Ipv6Addr;

use hub_gotemplate::fmt::quote;
use hub_gotemplate::{Args, Call, CallError, Function, Map, Text, Type, Value, kind_name};

use super::function;

/// The URL functions of sprig.
pub(super) const FUNCTIONS: &[Function] = &[function("urlParse", &[Type::Text], url_parse), function("urlJoin", &[Type::Map], url_join)];

fn url_parse(call: &mut Call<'_>, args: Args<'_>) -> Result<Value, CallError> {
    call.spend(2 * args.text(0).len())?;
    let url = Url::parse(args.text(0)).map_err(|error| CallError::failed(format!("unable to parse url: {error}")))?;
    let text = |bytes: &[u8]| Value::Text(Text::new(bytes));
    let userinfo = url.user.as_ref().map(UserInfo::written).unwrap_or_default();
    Ok(Value::Map(Map::new(
        [
            ("scheme", text(&url.scheme)),
            ("host", text(&url.host)),
            ("hostname", text(hostname(&url.host))),
            ("path", text(&url.path)),
            ("query", text(&url.query)),
            ("opaque", text(&url.opaque)),
            ("fragment", text(&url.fragment)),
            ("userinfo", text(&userinfo)),
        ]
        .map(|(key, value)| (Text::from(key), value))
        .into(),
    )))
}

fn url_join(call: &mut Call<'_>, args: Args<'_>) -> Result<Value, CallError> {
    let entries = args.map(0);
    let mut entry = |key: &str| match entries.get(key.as_bytes()) {
        None => Ok(Vec::new()),
        Some(Value::Text(text)) => {
            call.spend(text.len())?;
            Ok(text.as_bytes().to_vec())
        }
        // The kind of a nil interface is asked for, which has none.
        Some(Value::Nil) => Err(super::panics::nil_dereference()),
        Some(other) => {
            Err(CallError::failed(format!("unable to parse {key} key, must be of type string, but {} found", kind_name(&other))))
        }
    };
    let mut url = Url {
        scheme: entry("scheme")?,
        host: entry("host")?,
        path: entry("path")?,
        query: entry("query")?,
        opaque: entry("opaque")?,
        fragment: entry("fragment")?,
        ..Url::default()
    };
    let userinfo = entry("userinfo")?;
    if !userinfo.is_empty() {
        let with_user = [b"proto://", userinfo.as_slice(), b"@host"].concat();
        let parsed = Url::parse(&with_user).map_err(|error| CallError::failed(format!("unable to parse userinfo in dict: {error}")))?;
        url.user = parsed.user;
    }
    Ok(Value::Text(Text::from(url.written())))
}

#[derive(Default)]
struct Url {
    scheme: Vec<u8>,
    opaque: Vec<u8>,
    user: Option<UserInfo>,
    host: Vec<u8>,
    path: Vec<u8>,
    query: Vec<u8>,
    fragment: Vec<u8>,
}

struct UserInfo {
    name: Vec<u8>,
    password: Option<Vec<u8>>,
}

impl UserInfo {
    fn written(&self) -> Vec<u8> {
        let mut text = escaped(&self.name, Part::User);
        if let Some(password) = &self.password {
            text.push(b':');
            text.extend(escaped(password, Part::User));
        }
        text
    }
}

/// The part of a URL that a text stands in: each has its own characters that stand for themselves.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Path,
    User,
    Host,
    Zone,
    Fragment,
}

impl Url {
    /// `net/url.Parse`; an error is its message.
    fn parse(text: &[u8]) -> Result<Self, String> {
        let (before, fragment) = cut(text, b'#');
        let mut url = Self::without_fragment(before).map_err(|error| format!("parse {}: {error}", quote(before)))?;
        url.fragment = unescaped(fragment, Part::Fragment).map_err(|error| format!("parse {}: {error}", quote(text)))?;
        Ok(url)
    }

    fn without_fragment(text: &[u8]) -> Result<Self, String> {
        if text.iter().any(|byte| byte.is_ascii_control()) {
            return Err("net/url: invalid control character in URL".to_owned());
        }
        if text == b"*" {
            return Ok(Self { path: text.to_vec(), ..Self::default() });
        }
        let (scheme, rest) = split_scheme(text)?;
        let (rest, query) = cut(rest, b'?');
        let mut url = Self { scheme: scheme.to_ascii_lowercase(), query: query.to_vec(), ..Self::default() };
        if !rest.starts_with(b"/") {
            if !scheme.is_empty() {
                url.opaque = rest.to_vec();
                return Ok(url);
            }
            if cut(rest, b'/').0.contains(&b':') {
                return Err("first path segment in URL cannot contain colon".to_owned());
            }
        }
        let mut path = rest;
        if let Some(authority) = rest.strip_prefix(b"//")
            && (!scheme.is_empty() || !rest.starts_with(b"///"))
        {
            let end = authority.iter().position(|&byte| byte == b'/').unwrap_or(authority.len());
            let (authority, after) = authority.split_at(end);
            path = after;
            url.set_authority(authority)?;
        }
        url.path = unescaped(path, Part::Path)?;
        Ok(url)
    }

    fn set_authority(&mut self, authority: &[u8]) -> Result<(), String> {
        let at = authority.iter().rposition(|&byte| byte == b'@');
        self.host = host(&self.scheme, at.map_or(authority, |at| &authority[at + 1..]))?;
        let Some(userinfo) = at.map(|at| &authority[..at]) else { return Ok(()) };
        if !userinfo.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-._:~!$&'()*+,;=%@".contains(byte)) {
            return Err("net/url: invalid userinfo".to_owned());
        }
        let (name, password) = cut(userinfo, b':');
        let name = unescaped(name, Part::User)?;
        let password = if userinfo.contains(&b':') { Some(unescaped(password, Part::User)?) } else { None };
        self.user = Some(UserInfo { name, password });
        Ok(())
    }

    /// `net/url.URL.String` of a URL that was put together.
    fn written(&self) -> Vec<u8> {
        let mut text = Vec::new();
        if !self.scheme.is_empty() {
            text.extend(&self.scheme);
            text.push(b':');
        }
        if self.opaque.is_empty() {
            let has_authority = !self.host.is_empty() || self.user.is_some();
            if has_authority || !self.scheme.is_empty() && !self.path.is_empty() {
                text.extend(b"//");
            }
            if let Some(user) = &self.user {
                text.extend(user.written());
                text.push(b'@');
            }
            text.extend(escaped(&self.host, Part::Host));
            let path = if self.path == b"*" { self.path.clone() } else { escaped(&self.path, Part::Path) };
            if !path.is_empty() && path[0] != b'/' && !self.host.is_empty() {
                text.push(b'/');
            }
            if text.is_empty() && cut(&path, b'/').0.contains(&b':') {
                text.extend(b"./");
            }
            text.extend(path);
        } else {
            text.extend(&self.opaque);
        }
        for (mark, part) in [(b'?', self.query.clone()), (b'#', escaped(&self.fragment, Part::Fragment))] {
            if !part.is_empty() {
                text.push(mark);
                text.extend(part);
            }
        }
        text
    }
}

/// What stands before and after the first `mark`.
fn cut(text: &[u8], mark: u8) -> (&[u8], &[u8]) {
    match text.iter().position(|&byte| byte == mark) {
        Some(at) => (&text[..at], &text[at + 1..]),
        None => (text, b""),
    }
}

fn split_scheme(text: &[u8]) -> Result<(&[u8], &[u8]), String> {
    let end = text.iter().position(|byte| !(byte.is_ascii_alphanumeric() || b"+-.".contains(byte)));
    match end {
        Some(0) if text[0] == b':' => Err("missing protocol scheme".to_owned()),
        Some(end) if text[end] == b':' && text[0].is_ascii_alphabetic() => Ok((&text[..end], &text[end + 1..])),
        _ => Ok((b"", text)),
    }
}

/// A host with its port, checked and unescaped.
fn host(scheme: &[u8], host: &[u8]) -> Result<Vec<u8>, String> {
    let check_port = |port: &[u8]| if is_port(port) { Ok(()) } else { Err(format!("invalid port {} after host", quote(port))) };
    match host.iter().rposition(|&byte| byte == b'[') {
        Some(0) => {
            let end = host.iter().rposition(|&byte| byte == b']').ok_or("missing ']' in host")?;
            check_port(&host[end + 1..])?;
            let port = unescaped(&host[end + 1..], Part::Host)?;
            let name = &host[1..end];
            let zone = name.windows(3).position(|window| window == b"%25").unwrap_or(name.len());
            let mut name = [unescaped(&name[..zone], Part::Host)?, unescaped(&name[zone..], Part::Zone)?].concat();
            check_address(&name)?;
            name.insert(0, b'[');
            name.push(b']');
            name.extend(port);
            return Ok(name);
        }
        Some(_) => return Err("invalid IP-literal".to_owned()),
        None => {}
    }
    if let Some(first) = host.iter().position(|&byte| byte == b':') {
        let last = host.iter().rposition(|&byte| byte == b':').unwrap_or(first);
        check_port(&host[if scheme == b"http" || scheme == b"https" { first } else { last }..])?;
    }
    unescaped(host, Part::Host)
}

/// Whether a name in brackets is an address of IPv6, with or without a zone.
fn check_address(name: &[u8]) -> Result<(), String> {
    let text = String::from_utf8_lossy(name);
    if text.parse::<std::net::Ipv4Addr>().is_ok() {
        return Err("invalid IP-literal".to_owned());
    }
    let (address, zone) = text.split_once('%').map_or((text.as_ref(), None), |(address, zone)| (address, Some(zone)));
    if zone == Some("") {
        return Err(format!("invalid host: ParseAddr({}): zone must be a non-empty string", quote(name)));
    }
    match address.parse::<Ipv6Addr>() {
        Ok(_) => Ok(()),
        Err(_) => Err(format!("invalid host: ParseAddr({}): unable to parse IP", quote(name))),
    }
}

/// Nothing, or a colon and digits.
fn is_port(port: &[u8]) -> bool {
    port.strip_prefix(b":").map_or(port.is_empty(), |digits| digits.iter().all(u8::is_ascii_digit))
}

/// A host without its port and brackets.
fn hostname(host: &[u8]) -> &[u8] {
    let name = match host.iter().rposition(|&byte| byte == b':') {
        Some(colon) if is_port(&host[colon..]) => &host[..colon],
        _ => host,
    };
    name.strip_prefix(b"[").and_then(|inner| inner.strip_suffix(b"]")).unwrap_or(name)
}

/// Whether `byte` stands for itself in `part`.
fn is_literal(byte: u8, part: Part) -> bool {
    byte.is_ascii_alphanumeric()
        || b"-_.~".contains(&byte)
        || match part {
            Part::Host | Part::Zone => b"!$&'()*+,;=:[]<>\"".contains(&byte),
            Part::Path => b"$&+,/:;=@".contains(&byte),
            Part::User => b"$&+,;=".contains(&byte),
            Part::Fragment => b"$&+,/:;=?@!()*".contains(&byte),
        }
}

fn escaped(text: &[u8], part: Part) -> Vec<u8> {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let mut escaped = Vec::with_capacity(text.len());
    for &byte in text {
        if is_literal(byte, part) {
            escaped.push(byte);
        } else {
            escaped.extend([b'%', DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 0xF)]]);
        }
    }
    escaped
}

fn unescaped(text: &[u8], part: Part) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'%' {
            if matches!(part, Part::Host | Part::Zone) && byte < 0x80 && !is_literal(byte, part) {
                return Err(format!("invalid character {} in host name", quote(&[byte])));
            }
            bytes.push(byte);
            continue;
        }
        let invalid = || {
            let shown = &text[text.len() - after.len() - 1..];
            Err(format!("invalid URL escape {}", quote(&shown[..shown.len().min(3)])))
        };
        let digit = |at: usize| after.get(at).and_then(|&byte| char::from(byte).to_digit(16));
        let (Some(high), Some(low)) = (digit(0), digit(1)) else { return invalid() };
        // Two hexadecimal digits are a byte.
        let decoded = (high << 4 | low) as u8;
        let allowed = match part {
            Part::Host => high >= 8 || decoded == b'%',
            Part::Zone => decoded == b'%' || decoded == b' ' || is_literal(decoded, Part::Host),
            _ => true,
        };
        if !allowed {
            return invalid();
        }
        bytes.push(decoded);
        rest = &after[2..];
    }
    Ok(bytes)
}

/// Whether `text` is taken apart and put together without an error.
#[cfg(test)]
pub(super) fn is_url(text: &[u8]) -> bool {
    Url::parse(text).is_ok_and(|url| Url::parse(&url.written()).is_ok())
}
