//! The forge's token: read from its file each time that it is used, so that a new one counts at once.

use std::fmt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use reqwest::header::HeaderValue;

/// Longest token, in bytes.
const LONGEST: usize = 4096;
/// Others may not read, write or run it. A group may: that is how secrets are given to containers.
const OTHERS: u32 = 0o007;

/// Where the token is.
#[derive(Debug, Clone)]
pub(super) struct TokenFile(PathBuf);

/// A token. Never shown.
#[derive(Clone)]
pub(super) struct Token(String);

/// Why there is no token. No variant carries any of it.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    #[error("cannot read `{path}`: {source}")]
    Read {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("everybody on this machine may read or replace `{0}`; fix: `chmod 600` or `chmod 640`")]
    Readable(PathBuf),
    #[error("`{0}` does not hold one word; fix: put the token into it, and nothing else")]
    Word(PathBuf),
}

impl TokenFile {
    pub(super) fn new(path: PathBuf) -> Self {
        Self(path)
    }

    /// # Errors
    /// When it cannot be read, others can, or it holds no token.
    pub(super) fn read(&self) -> Result<Token, TokenError> {
        let path: &Path = &self.0;
        let failed = |source| TokenError::Read { path: path.to_owned(), source };
        let mode = std::fs::metadata(path).map_err(failed)?.permissions().mode();
        if mode & OTHERS != 0 {
            return Err(TokenError::Readable(path.to_owned()));
        }
        let text = std::fs::read_to_string(path).map_err(failed)?;
        let token = text.trim();
        let fine = token.len() <= LONGEST && token.bytes().all(|byte| byte.is_ascii_graphic());
        if token.is_empty() || !fine {
            return Err(TokenError::Word(path.to_owned()));
        }
        Ok(Token(token.to_owned()))
    }
}

impl Token {
    /// For a header, behind a word such as `Bearer `.
    pub(super) fn header(&self, before: &str) -> HeaderValue {
        let value = HeaderValue::from_str(&format!("{before}{}", self.0));
        let mut value = value.expect("because it is visible ASCII");
        value.set_sensitive(true);
        value
    }

    /// A text without the token.
    pub(super) fn hide(&self, text: &str) -> String {
        text.replace(&self.0, "…")
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{Permissions, set_permissions};

    use super::*;

    #[test]
    fn a_token_is_one_word_that_others_cannot_read() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let token = TokenFile::new(file.path().to_owned());
        let put = |text: &str| std::fs::write(&file, text).unwrap();
        put(" s3cret\n");
        let read = token.read().unwrap();
        assert_eq!(format!("{read:?} {:?}", read.header("Bearer ")), "Token(…) Sensitive");
        assert_eq!(read.header("token "), "token s3cret");
        assert_eq!(read.hide("no s3cret here"), "no … here");
        for text in ["", "\n", "s3cret s3cret", "s3cret\ns3cret", "s3cr\u{e9}t", &"s".repeat(5000)]
        {
            put(text);
            let error = token.read().unwrap_err();
            assert!(!format!("{error} {error:?}").contains("s3c"), "{error}");
        }
        put("s3cret");
        for (mode, fine) in [(0o600, true), (0o440, true), (0o604, false), (0o602, false)] {
            set_permissions(&file, Permissions::from_mode(mode)).unwrap();
            assert_eq!(token.read().is_ok(), fine, "{mode:o}");
        }
        let gone = TokenFile::new("/nowhere/token".into()).read().unwrap_err();
        assert!(gone.to_string().contains("/nowhere/token"), "{gone}");
    }
}
