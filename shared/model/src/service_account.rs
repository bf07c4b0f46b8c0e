//! Whose rights an app is applied with: a service account of the cluster. Who may be named is left to projects (hub) and the guardrail (agent).

use std::fmt;
use std::str::FromStr;

/// The longest name of a service account: a DNS subdomain.
const NAME_LIMIT: usize = 253;
/// The longest name of a namespace: a DNS label.
const NAMESPACE_LIMIT: usize = 63;

/// A service account of a cluster.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServiceAccount {
    namespace: String,
    name: String,
}

/// The text names no service account.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "\"{text}\" names no service account: write NAME, or NAMESPACE:NAME, each of lower-case letters, digits and '-', the name also with '.'"
)]
pub struct InvalidServiceAccount {
    /// What was read, cut to 80 characters.
    pub text: String,
}

impl ServiceAccount {
    /// The account that `text` names: `NAMESPACE:NAME`, or `NAME` in the namespace `home`.
    ///
    /// # Errors
    /// A part is none of Kubernetes' names, or there is neither a namespace nor a home.
    pub fn parse(text: &str, home: Option<&str>) -> Result<Self, InvalidServiceAccount> {
        let (namespace, name) = match text.split_once(':') {
            Some((namespace, name)) => (Some(namespace), name),
            None => (home, text),
        };
        let invalid = || InvalidServiceAccount { text: text.chars().take(80).collect() };
        let namespace = namespace.filter(|namespace| namespace.len() <= NAMESPACE_LIMIT && is_label(namespace)).ok_or_else(invalid)?;
        if name.len() > NAME_LIMIT || !name.split('.').all(is_label) {
            return Err(invalid());
        }
        Ok(Self { namespace: namespace.to_owned(), name: name.to_owned() })
    }

    /// Its namespace.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its name as a user of the API server.
    pub fn user(&self) -> String {
        format!("system:serviceaccount:{}:{}", self.namespace, self.name)
    }
}

fn is_label(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let edges = [text.bytes().next(), text.bytes().next_back()];
    edges.into_iter().all(|edge| edge.is_some_and(plain)) && text.bytes().all(|byte| plain(byte) || byte == b'-')
}

/// `NAMESPACE:NAME`, as [`FromStr`] reads it.
impl fmt::Display for ServiceAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.namespace, self.name)
    }
}

impl FromStr for ServiceAccount {
    type Err = InvalidServiceAccount;

    fn from_str(text: &str) -> Result<Self, InvalidServiceAccount> {
        Self::parse(text, None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_read_in_its_namespace_or_in_the_one_at_home() {
        let full: ServiceAccount = "team-a:deployer.v1".parse().expect("valid");
        assert_eq!((full.namespace(), full.name(), full.to_string().as_str()), ("team-a", "deployer.v1", "team-a:deployer.v1"));
        assert_eq!(full.user(), "system:serviceaccount:team-a:deployer.v1");
        assert_eq!(ServiceAccount::parse("deployer", Some("team-a")), "team-a:deployer".parse());
        assert_eq!(ServiceAccount::parse("team-b:x", Some("team-a")), "team-b:x".parse());
    }

    #[test]
    fn what_could_name_another_user_is_none() {
        let long = format!("{}:x", "a".repeat(64));
        for text in [
            "",
            "deployer",
            ":x",
            "a:",
            "a:b:c",
            "system:serviceaccount:a:b",
            "a:B",
            "a:b\r\nImpersonate-Group: x",
            "-a:b",
            "a:b..c",
            &long,
        ] {
            assert!(text.parse::<ServiceAccount>().is_err(), "{text:?}");
        }
        assert!(ServiceAccount::parse("x", None).is_err(), "nowhere at home");
    }
}
