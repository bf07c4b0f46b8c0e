//! Where a Git repository is. Credentials never are part of it: a URL is printed in logs, errors and pages.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// The longest URL: what common HTTP servers accept in a request line.
const URL_LIMIT: usize = 8192;

/// The address of a Git repository, without any secret.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum GitUrl {
    /// `http://` or `https://`.
    Http {
        /// Whether the connection is encrypted.
        secure: bool,
        /// The host name or address; an IPv6 address is in brackets.
        host: String,
        /// The port, if it is not the scheme's own.
        port: Option<u16>,
        /// The path with its leading `/`.
        path: String,
    },
    /// `ssh://` or `user@host:path`.
    Ssh {
        /// The account on the server.
        user: Option<String>,
        /// The host name or address.
        host: String,
        /// The port, if it is not 22.
        port: Option<u16>,
        /// The path as the server gets it.
        path: String,
        /// Whether it was written `host:path`.
        scp: bool,
    },
    /// `git://`, unauthenticated and unencrypted.
    Git {
        /// The host name or address.
        host: String,
        /// The port, if it is not 9418.
        port: Option<u16>,
        /// The path with its leading `/`.
        path: String,
    },
    /// A repository on this machine, written as a `file` URL or an absolute path. It is opened directly.
    Local(PathBuf),
}

/// The text is no address of a Git repository. What was written is not repeated where it could hold a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidUrl {
    /// A user or password in an HTTP URL.
    #[error("the URL of {host} holds a user or password; remove it, and name the credentials in the source's settings")]
    HoldsCredentials {
        /// The host.
        host: String,
    },
    /// A scheme that is not understood.
    #[error("\"{scheme}\" is no way to fetch Git; use https, http, ssh, git, file, user@host:path, or an absolute path")]
    Scheme {
        /// The scheme.
        scheme: String,
    },
    /// A relative path.
    #[error("\"{text}\" is neither a URL nor an absolute path; a path must begin with \"/\"")]
    Relative {
        /// What was written.
        text: String,
    },
    /// Something else.
    #[error("the repository's URL is wrong: {rule}")]
    Malformed {
        /// The rule that it breaks.
        rule: &'static str,
    },
}

impl GitUrl {
    /// Whether the repository is opened directly, without a network.
    pub fn local_path(&self) -> Option<&Path> {
        match self {
            Self::Local(path) => Some(path),
            Self::Http { .. } | Self::Ssh { .. } | Self::Git { .. } => None,
        }
    }

    /// Whether a secret sent there could be read on the way: plain HTTP to anything but this machine.
    pub fn leaks_credentials(&self) -> bool {
        match self {
            Self::Http { secure: false, host, .. } => {
                let address = host.trim_start_matches('[').trim_end_matches(']');
                host != "localhost" && !address.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
            }
            Self::Git { .. } => true,
            Self::Http { .. } | Self::Ssh { .. } | Self::Local(_) => false,
        }
    }

    fn parse_http(secure: bool, rest: &str) -> Result<Self, InvalidUrl> {
        let (authority, path) = split_authority(rest);
        if let Some((_, host)) = authority.rsplit_once('@') {
            return Err(InvalidUrl::HoldsCredentials { host: host.to_owned() });
        }
        let (host, port) = host_and_port(authority)?;
        if path.contains(['?', '#']) {
            return Err(InvalidUrl::Malformed { rule: "a repository has no \"?\" or \"#\" in its URL" });
        }
        Ok(Self::Http { secure, host, port, path: path.to_owned() })
    }

    fn parse_ssh(rest: &str) -> Result<Self, InvalidUrl> {
        let (authority, path) = split_authority(rest);
        let (user, host) = split_user(authority)?;
        let (host, port) = host_and_port(host)?;
        // `ssh://host/~user/x` names a home directory: Git sends it without the slash.
        let path = if path.starts_with("/~") { &path[1..] } else { path };
        safe_for_ssh(user, &host, path)?;
        Ok(Self::Ssh { user: user.map(str::to_owned), host, port, path: path.to_owned(), scp: false })
    }

    fn parse_scp(authority: &str, path: &str) -> Result<Self, InvalidUrl> {
        let (user, host) = split_user(authority)?;
        let (host, _) = host_and_port(host)?;
        if let Some((_, host)) = path.split_once('@').filter(|(_, rest)| rest.contains(':')) {
            return Err(InvalidUrl::HoldsCredentials { host: host.split(':').next().unwrap_or_default().to_owned() });
        }
        safe_for_ssh(user, &host, path)?;
        Ok(Self::Ssh { user: user.map(str::to_owned), host, port: None, path: path.to_owned(), scp: true })
    }

    fn parse_git(rest: &str) -> Result<Self, InvalidUrl> {
        let (authority, path) = split_authority(rest);
        if authority.contains('@') {
            return Err(InvalidUrl::Malformed { rule: "git:// knows no users" });
        }
        let (host, port) = host_and_port(authority)?;
        Ok(Self::Git { host, port, path: path.to_owned() })
    }

    fn parse_file(rest: &str) -> Result<Self, InvalidUrl> {
        let path = rest.strip_prefix("localhost").unwrap_or(rest);
        if !path.starts_with('/') {
            return Err(InvalidUrl::Malformed { rule: "a file URL is written file:///absolute/path" });
        }
        Ok(Self::Local(PathBuf::from(percent_decoded(path)?)))
    }
}

impl FromStr for GitUrl {
    type Err = InvalidUrl;

    fn from_str(text: &str) -> Result<Self, InvalidUrl> {
        if text.is_empty() || text.len() > URL_LIMIT {
            return Err(InvalidUrl::Malformed { rule: "it has 1 to 8192 bytes" });
        }
        if text.chars().any(|c| c.is_control()) {
            return Err(InvalidUrl::Malformed { rule: "it holds no control characters" });
        }
        if text.starts_with('/') {
            return Ok(Self::Local(PathBuf::from(text)));
        }
        if let Some((scheme, rest)) = text.split_once("://") {
            return match scheme.to_ascii_lowercase().as_str() {
                "https" => Self::parse_http(true, rest),
                "http" => Self::parse_http(false, rest),
                "ssh" | "git+ssh" | "ssh+git" => Self::parse_ssh(rest),
                "git" => Self::parse_git(rest),
                "file" => Self::parse_file(rest),
                _ => Err(InvalidUrl::Scheme { scheme: scheme.chars().take(20).collect() }),
            };
        }
        // `ext::command` is how Git runs a program of the URL's choice.
        if let Some((scheme, _)) = text.split_once("::") {
            return Err(InvalidUrl::Scheme { scheme: scheme.chars().take(20).collect() });
        }
        match text.split_once(':') {
            Some((authority, path)) if !authority.contains('/') => Self::parse_scp(authority, path),
            _ => Err(InvalidUrl::Relative { text: text.chars().take(80).collect() }),
        }
    }
}

impl fmt::Display for GitUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let authority = |f: &mut fmt::Formatter<'_>, host: &str, port: Option<u16>| match port {
            Some(port) => write!(f, "{host}:{port}"),
            None => f.write_str(host),
        };
        match self {
            Self::Http { secure, host, port, path } => {
                f.write_str(if *secure { "https://" } else { "http://" })?;
                authority(f, host, *port)?;
                f.write_str(path)
            }
            Self::Ssh { user, host, port, path, scp } => {
                f.write_str(if *scp { "" } else { "ssh://" })?;
                if let Some(user) = user {
                    write!(f, "{user}@")?;
                }
                authority(f, host, *port)?;
                let separator = if *scp {
                    ":"
                } else if path.starts_with('~') {
                    "/"
                } else {
                    ""
                };
                write!(f, "{separator}{path}")
            }
            Self::Git { host, port, path } => {
                f.write_str("git://")?;
                authority(f, host, *port)?;
                f.write_str(path)
            }
            Self::Local(path) => write!(f, "{}", path.display()),
        }
    }
}

fn split_authority(rest: &str) -> (&str, &str) {
    rest.find('/').map_or((rest, "/"), |slash| rest.split_at(slash))
}

fn split_user(authority: &str) -> Result<(Option<&str>, &str), InvalidUrl> {
    match authority.rsplit_once('@') {
        None => Ok((None, authority)),
        Some((user, host)) if user.contains(':') => Err(InvalidUrl::HoldsCredentials { host: host.to_owned() }),
        Some((user, host)) => Ok((Some(user), host)),
    }
}

fn host_and_port(authority: &str) -> Result<(String, Option<u16>), InvalidUrl> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (address, rest) = rest.split_once(']').ok_or(InvalidUrl::Malformed { rule: "\"[\" has no \"]\"" })?;
            if address.parse::<std::net::Ipv6Addr>().is_err() {
                return Err(InvalidUrl::Malformed { rule: "brackets hold an IPv6 address" });
            }
            (format!("[{address}]"), rest.strip_prefix(':'))
        }
        None => match authority.split_once(':') {
            Some((host, port)) => (host.to_owned(), Some(port)),
            None => (authority.to_owned(), None),
        },
    };
    let named = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    if !host.starts_with('[') && (host.is_empty() || host.starts_with(['-', '.']) || !host.chars().all(named)) {
        return Err(InvalidUrl::Malformed { rule: "a host has letters, digits, \"-\", \".\" and does not begin with \"-\"" });
    }
    let port = port.map(|port| port.parse::<u16>().ok().filter(|port| *port > 0));
    match port {
        Some(None) => Err(InvalidUrl::Malformed { rule: "a port is a number from 1 to 65535" }),
        Some(Some(port)) => Ok((host, Some(port))),
        None => Ok((host, None)),
    }
}

/// `ssh` reads an argument that begins with `-` as an option, and options can run programs.
fn safe_for_ssh(user: Option<&str>, host: &str, path: &str) -> Result<(), InvalidUrl> {
    let named = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | '+');
    if user.is_some_and(|user| user.is_empty() || user.starts_with('-') || !user.chars().all(named)) {
        return Err(InvalidUrl::Malformed { rule: "a user has letters, digits, \"-\", \".\", \"_\" and does not begin with \"-\"" });
    }
    if host.starts_with('-') || path.is_empty() || path.trim_start().starts_with('-') {
        return Err(InvalidUrl::Malformed { rule: "host and path of an ssh URL must not be empty or begin with \"-\"" });
    }
    Ok(())
}

fn percent_decoded(text: &str) -> Result<String, InvalidUrl> {
    let broken = InvalidUrl::Malformed { rule: "\"%\" is followed by two hexadecimal digits, and the path is UTF-8" };
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let digit = |byte: Option<u8>| byte.and_then(|b| char::from(b).to_digit(16));
        match digit(bytes.next()).zip(digit(bytes.next())) {
            Some((high, low)) => out.push((high * 16 + low) as u8),
            None => return Err(broken),
        }
    }
    String::from_utf8(out).ok().filter(|path| !path.contains('\0')).ok_or(broken)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_printed_as_it_was_written() {
        for text in [
            "https://git.example.com/fleet.git",
            "http://127.0.0.1:8080/a/b",
            "https://[::1]:8443/x",
            "ssh://git@git.example.com:2222/fleet.git",
            "ssh://git@git.example.com/~ops/fleet.git",
            "git@github.com:acme/fleet.git",
            "host:fleet",
            "git://localhost:9418/fleet",
            "/srv/git/fleet.git",
        ] {
            assert_eq!(text.parse::<GitUrl>().map(|url| url.to_string()), Ok(text.to_owned()));
        }
        assert_eq!("file:///srv/a%20b".parse(), Ok(GitUrl::Local("/srv/a b".into())));
    }

    #[test]
    fn nothing_that_could_run_a_command_or_hold_a_secret_is_an_address() {
        for text in [
            "ssh://-oProxyCommand=touch%20x/y",
            "ssh://git@-oProxyCommand=x/y",
            "ssh://-oProxyCommand=x@host/y",
            "-oProxyCommand=x:y",
            "host:-upload-pack=x",
            "ssh://host/ -x\n",
            "ext::sh -c touch% x",
            "ext::sh:x",
            "ftp://host/x",
            "git+ssh://a b/x",
            "https://user:hunter2@host/x",
            "https://hunter2@host/x",
            "ssh://git:hunter2@host/x",
            "git:hunter2@host:x",
            "http://host:0/x",
            "http://host:port/x",
            "http:///x",
            "fleet.git",
            "./fleet:x",
            "",
        ] {
            let error = text.parse::<GitUrl>().map(|url| url.to_string()).expect_err(text);
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn a_secret_goes_in_clear_text_to_this_machine_only() {
        for (url, leaks) in [
            ("http://127.0.0.1:1/x", false),
            ("http://[::1]/x", false),
            ("http://localhost/x", false),
            ("http://localhost.evil.example/x", true),
            ("http://10.0.0.1/x", true),
            ("https://git.example.com/x", false),
            ("git://localhost/x", true),
        ] {
            assert_eq!(url.parse::<GitUrl>().expect(url).leaks_credentials(), leaks, "{url}");
        }
    }
}
