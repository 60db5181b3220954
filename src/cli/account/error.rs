//! What can go wrong around an account, with exit code and way out.

use std::path::PathBuf;

use super::super::exit::Exit;

/// No variant carries a token.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AccountError {
    #[error("there is no folder for titan's settings: neither XDG_CONFIG_HOME nor HOME is set")]
    NoHome,
    #[error("`{}` holds tokens, and others can read it", .0.display())]
    Readable(PathBuf),
    #[error("the folder `{}` holds tokens, and others can write into it", .0.display())]
    Writable(PathBuf),
    #[error("`{}` cannot be understood: {problem}", path.display())]
    Malformed { path: PathBuf, problem: String },
    #[error("cannot {what} `{}`", path.display())]
    Io { what: &'static str, path: PathBuf, source: std::io::Error },
    #[error("another titan holds `{}` for too long", .0.display())]
    Locked(PathBuf),
    #[error("the system gives no random numbers")]
    Random,
    #[error("{what} is not a URL of the form `https://…` (`http` is for this machine only)")]
    Url { what: &'static str },
    #[error("cannot {what}: {problem}")]
    Network { what: &'static str, problem: String },
    #[error("cannot {what}: {problem}")]
    Answer { what: &'static str, problem: String },
    #[error("the provider calls itself `{said}`, not `{issuer}`")]
    Issuer { issuer: String, said: String },
    #[error("the provider has no {0}")]
    Lacks(&'static str),
    #[error("the provider refuses to {what}: {code}{}", said(.detail))]
    Refused { what: &'static str, code: String, detail: String },
    #[error("the login was denied")]
    Denied,
    #[error("nobody confirmed the login in time")]
    TimedOut,
    #[error("the code is no longer good, as nobody confirmed it in time")]
    CodeExpired,
    #[error("the provider's ID token is not good: {0}")]
    IdToken(String),
    #[error("the session at `{server}` has ended")]
    Ended { server: String },
    #[error("nobody is logged in at `{server}`")]
    NotLoggedIn { server: String },
}

fn said(detail: &str) -> String {
    if detail.is_empty() { String::new() } else { format!(", {detail}") }
}

impl AccountError {
    pub(crate) fn io(
        what: &'static str,
        path: &std::path::Path,
    ) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::Io { what, path: path.to_owned(), source }
    }

    #[must_use]
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Network { .. } | Self::Answer { .. } => Exit::Git,
            Self::TimedOut | Self::CodeExpired | Self::Locked(_) => Exit::Pending,
            _ => Exit::No,
        }
    }

    /// The way out.
    #[must_use]
    pub(crate) fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::NoHome => "set XDG_CONFIG_HOME to a folder of yours".into(),
            Self::Readable(path) => format!(
                "`chmod 600 {}`; if they may have read it, `titan logout` and log in again",
                path.display()
            ),
            Self::Writable(path) => format!("`chmod 700 {}`", path.display()),
            Self::Malformed { path, .. } => {
                format!("remove `{}` and log in again", path.display())
            }
            Self::Network { .. } | Self::Locked(_) => "this may pass: try again".into(),
            Self::Answer { .. } => "is the address that of the issuer?".into(),
            Self::Issuer { said, .. } => {
                format!(
                    "give its own name: `--issuer {said}` (of one tenant, where it has several)"
                )
            }
            Self::Lacks("device authorization endpoint") => {
                "log in with `titan login --browser`".into()
            }
            Self::Refused { code, .. } => return refused(code).map(str::to_owned),
            Self::Denied | Self::TimedOut | Self::CodeExpired => {
                "`titan login` starts again".into()
            }
            Self::IdToken(_) => {
                "are issuer and client id those of titan, and is this machine's clock right?".into()
            }
            Self::Ended { server } | Self::NotLoggedIn { server } => {
                format!("`titan login --server {server}`")
            }
            Self::Io { .. } | Self::Random | Self::Url { .. } | Self::Lacks(_) => return None,
        };
        Some(hint)
    }
}

/// The remedy for an error code of OAuth 2.0 (RFC 6749, 5.2 and 4.1.2.1).
fn refused(code: &str) -> Option<&'static str> {
    Some(match code {
        "invalid_client" => "is `--client-id` that of a public client, without a secret?",
        "unauthorized_client" | "unsupported_grant_type" => {
            "allow the client this flow at the provider, or try `--device` or `--browser`"
        }
        "invalid_scope" => "choose the scopes with `--scope`",
        "invalid_grant" => "`titan login` starts again",
        "temporarily_unavailable" | "server_error" => "this may pass: try again",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_of_a_person_has_a_way_out() {
        let refused = |code: &str| AccountError::Refused {
            what: "log in",
            code: code.into(),
            detail: String::new(),
        };
        let server = || "https://titan.example".to_owned();
        let check = |error: AccountError, exit, hint: &str| {
            assert_eq!(error.exit(), exit, "{error}");
            let found = error.hint().unwrap_or_default();
            assert!(found.contains(hint), "{error}: {found}");
        };
        check(AccountError::Readable("/x/servers.json".into()), Exit::No, "chmod 600 /x/servers");
        check(AccountError::Writable("/x".into()), Exit::No, "chmod 700 /x");
        check(AccountError::NotLoggedIn { server: server() }, Exit::No, "titan login --server");
        check(AccountError::Ended { server: server() }, Exit::No, "titan login --server");
        check(AccountError::TimedOut, Exit::Pending, "titan login");
        check(AccountError::CodeExpired, Exit::Pending, "titan login");
        check(AccountError::Denied, Exit::No, "titan login");
        check(AccountError::Lacks("device authorization endpoint"), Exit::No, "--browser");
        check(refused("invalid_client"), Exit::No, "--client-id");
        check(refused("invalid_scope"), Exit::No, "--scope");
        let network = AccountError::Network { what: "ask", problem: "refused".into() };
        check(network, Exit::Git, "try again");
    }

    #[test]
    fn what_a_provider_says_is_told() {
        let error = AccountError::Refused {
            what: "log in",
            code: "invalid_client".into(),
            detail: "no such client".into(),
        };
        let text = "the provider refuses to log in: invalid_client, no such client";
        assert_eq!(error.to_string(), text);
    }
}
