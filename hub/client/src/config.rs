//! What a client needs to know: where the hub is, whom to trust, and the token.

use std::fmt;

/// Where the hub is and how to speak to it.
#[derive(Debug, Clone)]
pub struct ClientConfig {
    /// Its address, as in `https://hub.example.org:8443`. Plain `http` is taken for loopback addresses only, as the token would be seen.
    pub hub: String,
    /// The token.
    pub token: Token,
    /// The certificate authorities to trust, as PEM. Needed for `https`; the system's authorities are not asked.
    pub authorities_pem: Option<Vec<u8>>,
    /// Who asks, for the hub's log: `capstan/0.1.0`.
    pub user_agent: String,
}

/// A bearer token. It cannot be printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

/// The text cannot be a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidToken {
    /// Nothing but white space.
    #[error("the token is empty")]
    Empty,
    /// A space, a line break or something that is not ASCII inside.
    #[error("the token holds characters that no token has; it is one word on one line")]
    NotOneWord,
}

impl Token {
    /// The token in `text`, without the white space around it.
    ///
    /// # Errors
    /// See [`InvalidToken`].
    pub fn parse(text: &str) -> Result<Self, InvalidToken> {
        match text.trim() {
            "" => Err(InvalidToken::Empty),
            token if token.bytes().all(|byte| byte.is_ascii_graphic()) => Ok(Self(token.to_owned())),
            _ => Err(InvalidToken::NotOneWord),
        }
    }

    /// The token, for the header that carries it.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_one_word_and_is_not_printed() {
        let token = Token::parse(" abc-123\n").unwrap();
        assert_eq!((token.expose(), format!("{token:?}").contains("abc")), ("abc-123", false));
        assert_eq!(
            [Token::parse(" \n"), Token::parse("a b"), Token::parse("ä")].map(Result::unwrap_err),
            [InvalidToken::Empty, InvalidToken::NotOneWord, InvalidToken::NotOneWord]
        );
    }
}
