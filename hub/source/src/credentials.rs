//! How a source proves itself to a Git server. Reading the files that hold the secrets is left to the process that composes a source.

use std::fmt;
use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// A text that cannot be printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Takes the text; an ending line break, which files have, is no part of it.
    pub fn new(text: &str) -> Self {
        Self(text.trim_end_matches(['\r', '\n']).to_owned())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// What a source shows to a Git server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credentials {
    /// A user with a password or token, for HTTP.
    Basic {
        /// The user; hosts of Git take any text beside a token.
        user: Secret,
        /// The password or token.
        password: Secret,
    },
    /// A token by itself, for HTTP.
    Bearer(Secret),
    /// A private key for ssh, without a passphrase.
    Ssh {
        /// The file with the key; `ssh` insists that only its owner can read it.
        key: PathBuf,
        /// The file that names the keys of known hosts; without it, that of the user who runs the hub.
        known_hosts: Option<PathBuf>,
    },
}

impl Credentials {
    /// A user and a password or token.
    pub fn basic(user: &str, password: &str) -> Self {
        Self::Basic { user: Secret::new(user), password: Secret::new(password) }
    }

    /// A token.
    pub fn bearer(token: &str) -> Self {
        Self::Bearer(Secret::new(token))
    }

    /// The HTTP header that carries them; ssh has none.
    pub(crate) fn http_header(&self) -> Option<String> {
        match self {
            Self::Basic { user, password } => {
                Some(format!("Authorization: Basic {}", STANDARD.encode(format!("{}:{}", user.0, password.0))))
            }
            Self::Bearer(token) => Some(format!("Authorization: Bearer {}", token.0)),
            Self::Ssh { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_cannot_be_printed() {
        for credentials in [Credentials::basic("ann", "hunter2\n"), Credentials::bearer("hunter2")] {
            let printed = format!("{credentials:?}");
            assert!(!printed.contains("hunter2") && !printed.contains("ann"), "{printed}");
        }
        assert_eq!(Credentials::basic("ann", "hunter2\n"), Credentials::basic("ann", "hunter2"));
    }
}
