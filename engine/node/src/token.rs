//! What the control plane's clients must know.

use std::fmt;
use std::io;
use std::path::Path;

use imstorm_control::TOKEN_BYTES_MIN;

/// A token, as a file holds it. Not shown in debug output.
#[derive(Clone)]
pub struct Token(String);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}

impl Token {
    /// Reads a token's file; white space around the token is no part of it.
    ///
    /// # Errors
    /// Where the file can't be read, or (`InvalidData`) holds no token of at least [`TOKEN_BYTES_MIN`] visible ASCII characters.
    pub fn read(path: &Path) -> io::Result<Self> {
        let text = std::fs::read_to_string(path)?;
        let token = text.trim();
        if token.len() < TOKEN_BYTES_MIN || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            let problem =
                format!("expected a token of at least {TOKEN_BYTES_MIN} visible ASCII characters");
            return Err(io::Error::new(io::ErrorKind::InvalidData, problem));
        }
        Ok(Self(token.to_owned()))
    }

    /// The token.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_trimmed_and_long_enough_and_never_shown() {
        let path = std::env::temp_dir().join(format!("imstorm-token-{}", std::process::id()));
        std::fs::write(&path, "  0123456789abcdef\n").unwrap();
        let token = Token::read(&path).unwrap();
        assert_eq!(
            (token.as_str(), format!("{token:?}")),
            ("0123456789abcdef", "Token".to_owned())
        );
        for bad in ["0123456789abcde\n", "", "0123456789 abcdef", "0123456789abcdé"] {
            std::fs::write(&path, bad).unwrap();
            assert_eq!(Token::read(&path).unwrap_err().kind(), io::ErrorKind::InvalidData, "{bad}");
        }
        std::fs::remove_file(&path).unwrap();
        assert_eq!(Token::read(&path).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
