//! Who sends webhooks, and in which headers each proves itself.

use std::str::FromStr;

use sha2::{Digest as _, Sha256};
use warp::http::HeaderMap;

use crate::model::hex;

/// Longest id of a delivery, in characters; those of the providers have 36.
const ID: usize = 128;

/// A kind of server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Provider {
    /// <https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries>
    GitHub,
    /// <https://docs.gitlab.com/user/project/integrations/webhooks/>
    GitLab,
    /// <https://docs.gitea.com/usage/webhooks>; Forgejo sends the same headers.
    Gitea,
    /// <https://support.atlassian.com/bitbucket-cloud/docs/manage-webhooks/>; Bitbucket Data Center signs likewise.
    Bitbucket,
    /// Anything else that can sign: as GitHub does, with headers of titan's own.
    Generic,
}

/// What a sender shows to prove that it knows a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Proof {
    /// HMAC-SHA256 of the body, with the secret as key.
    Signature([u8; 32]),
    /// SHA-256 of the secret itself, which was sent.
    Token([u8; 32]),
}

/// How a proof is written.
enum Scheme {
    /// `sha256=<hexadecimal digits>`; other digests, `sha1=` for one, prove nothing.
    Prefixed,
    Hexadecimal,
    Token,
}

impl FromStr for Provider {
    type Err = ();

    /// The last segment of the route's path.
    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|provider| provider.as_str() == text).ok_or(())
    }
}

impl Provider {
    pub(super) const ALL: [Self; 5] =
        [Self::GitHub, Self::GitLab, Self::Gitea, Self::Bitbucket, Self::Generic];

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::GitHub => "github",
            Self::GitLab => "gitlab",
            Self::Gitea => "gitea",
            Self::Bitbucket => "bitbucket",
            Self::Generic => "generic",
        }
    }

    /// What the sender shows; `None` when that is missing, or no proof of the kind that it must be.
    pub(super) fn proof(self, headers: &HeaderMap) -> Option<Proof> {
        let (name, scheme) = match self {
            Self::GitHub => ("x-hub-signature-256", Scheme::Prefixed),
            Self::GitLab => ("x-gitlab-token", Scheme::Token),
            Self::Gitea => ("x-gitea-signature", Scheme::Hexadecimal),
            Self::Bitbucket => ("x-hub-signature", Scheme::Prefixed),
            Self::Generic => ("x-titan-signature", Scheme::Prefixed),
        };
        let value = only(headers, name)?;
        match scheme {
            Scheme::Prefixed => hex::decode(value.strip_prefix("sha256=")?).map(Proof::Signature),
            Scheme::Hexadecimal => hex::decode(value).map(Proof::Signature),
            Scheme::Token => Some(Proof::Token(Sha256::digest(value).into())),
        }
    }

    /// Headers that tell deliveries apart; the first that is there counts.
    pub(super) fn id_headers(self) -> &'static [&'static str] {
        match self {
            Self::GitHub => &["X-GitHub-Delivery"],
            // Events that an event causes share its UUID; a retry keeps the key.
            Self::GitLab => &["Idempotency-Key", "X-Gitlab-Event-UUID"],
            Self::Gitea => &["X-Gitea-Delivery"],
            Self::Bitbucket => &["X-Request-UUID", "X-Request-Id"],
            Self::Generic => &["X-Titan-Delivery"],
        }
    }

    /// Which delivery this is; a repetition has the same id.
    pub(super) fn delivery(self, headers: &HeaderMap) -> Option<&str> {
        let found = self.id_headers().iter().find(|name| headers.contains_key(**name))?;
        let value = only(headers, found)?;
        let visible = value.bytes().all(|byte| byte.is_ascii_graphic());
        (visible && !value.is_empty() && value.len() <= ID).then_some(value)
    }
}

/// A header's value, when it is there exactly once.
fn only<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?;
    values.next().is_none().then(|| value.to_str().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use warp::http::{HeaderName, HeaderValue};

    use super::*;

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        let parse = |(name, value): &(&'static str, &str)| {
            (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())
        };
        lines.iter().map(parse).fold(HeaderMap::new(), |mut all, (name, value)| {
            all.append(name, value);
            all
        })
    }

    #[test]
    fn each_provider_has_its_scheme() {
        let hex = "0a".repeat(32);
        let (prefixed, upper) = (format!("sha256={hex}"), format!("sha256={}", "0A".repeat(32)));
        let sha1 = format!("sha1={}", "0a".repeat(20));
        let signed = Some(Proof::Signature([0x0a; 32]));
        for (provider, header, value, expected) in [
            (Provider::GitHub, "x-hub-signature-256", prefixed.as_str(), signed),
            (Provider::GitHub, "x-hub-signature-256", &upper, signed),
            (Provider::GitHub, "x-hub-signature-256", &hex, None),
            (Provider::GitHub, "x-hub-signature-256", &sha1, None),
            (Provider::GitHub, "x-hub-signature", &prefixed, None),
            (Provider::GitHub, "x-hub-signature", &sha1, None),
            (Provider::GitHub, "x-hub-signature-256", "", None),
            (Provider::GitHub, "x-hub-signature-256", "sha256=", None),
            (Provider::GitHub, "x-hub-signature-256", &prefixed[..70], None),
            (Provider::Gitea, "x-gitea-signature", &hex, signed),
            (Provider::Gitea, "x-gitea-signature", &prefixed, None),
            (Provider::Bitbucket, "x-hub-signature", &prefixed, signed),
            (Provider::Bitbucket, "x-hub-signature", &sha1, None),
            (Provider::Generic, "x-titan-signature", &prefixed, signed),
            (Provider::Generic, "x-hub-signature-256", &prefixed, None),
            (Provider::GitLab, "x-hub-signature-256", &prefixed, None),
        ] {
            let headers = headers(&[(header, value)]);
            assert_eq!(provider.proof(&headers), expected, "{provider:?} {header}: {value}");
        }
        let token = headers(&[("x-gitlab-token", "abc")]);
        let digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let expected = Proof::Token(hex::decode(digest).unwrap());
        assert_eq!(Provider::GitLab.proof(&token), Some(expected));
        let twice = [("x-gitea-signature", hex.as_str()), ("x-gitea-signature", hex.as_str())];
        assert_eq!(Provider::Gitea.proof(&headers(&twice)), None);
    }

    #[test]
    fn deliveries_have_ids() {
        let id = |provider: Provider, lines: &[(&'static str, &str)]| {
            provider.delivery(&headers(lines)).map(str::to_owned)
        };
        let both = [("x-gitlab-event-uuid", "event"), ("idempotency-key", "key")];
        assert_eq!(id(Provider::GitLab, &both).as_deref(), Some("key"));
        assert_eq!(id(Provider::GitLab, &both[..1]).as_deref(), Some("event"));
        assert_eq!(id(Provider::GitHub, &both), None);
        for bad in ["", "two words", "a\tb", &"x".repeat(129)] {
            assert_eq!(id(Provider::GitHub, &[("x-github-delivery", bad)]), None, "{bad}");
        }
    }

    #[test]
    fn paths_name_them() {
        for text in ["github", "gitlab", "gitea", "bitbucket", "generic"] {
            assert_eq!(text.parse::<Provider>().unwrap().as_str(), text);
        }
        assert!("GitHub".parse::<Provider>().is_err() && "..".parse::<Provider>().is_err());
    }
}
