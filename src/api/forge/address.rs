//! Which forge, and which repository there.

use std::path::PathBuf;
use std::str::FromStr;

use reqwest::Url;

use super::token::{TokenError, TokenFile};
use crate::git::Location;
use crate::model::url::is_secure_url;

/// Kinds of forges, by the API that they have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ForgeKind {
    GitHub,
    GitLab,
    /// Forgejo too.
    Gitea,
}

/// What the operator says of the forge; the rest is read from the fleet's address.
#[derive(Debug, Clone, Default)]
pub struct ForgePlace {
    pub kind: Option<ForgeKind>,
    /// The forge's own address, such as `https://git.example`.
    pub url: Option<String>,
    /// `owner/name`; at GitLab with all groups.
    pub repository: Option<String>,
}

/// Where pull requests are opened.
#[derive(Debug, Clone)]
pub struct Forge {
    pub(super) kind: ForgeKind,
    /// Below it lies the REST API.
    pub(super) api: Url,
    /// The parts of the repository's name.
    pub(super) repository: Vec<String>,
    pub(super) token: TokenFile,
}

/// Why it is not known where pull requests go. No variant carries an address, as it may hold a secret.
#[derive(Debug, thiserror::Error)]
pub enum ForgeError {
    #[error("a forge is `github`, `gitlab` or `gitea` (Forgejo too)")]
    Word,
    #[error("the fleet's address does not tell what kind of forge it is; fix: give `--forge`")]
    Kind,
    #[error("the fleet's address does not tell where the forge is; fix: give `--forge-url`")]
    NoUrl,
    #[error(
        "the forge's address cannot be trusted with a token; fix: an `https` URL without user, query and fragment (`http` only on loopback)"
    )]
    Url,
    #[error(
        "the repository at the forge has a name such as `owner/name` (at GitLab with all groups); fix: give `--forge-repository`"
    )]
    Repository,
    #[error("the forge's token: {0}")]
    Token(#[from] TokenError),
}

impl FromStr for ForgeKind {
    type Err = ForgeError;

    fn from_str(text: &str) -> Result<Self, ForgeError> {
        match text.to_ascii_lowercase().as_str() {
            "github" => Ok(Self::GitHub),
            "gitlab" => Ok(Self::GitLab),
            "gitea" | "forgejo" => Ok(Self::Gitea),
            _ => Err(ForgeError::Word),
        }
    }
}

impl ForgeKind {
    /// What the host tells by its name.
    fn of_host(host: &str) -> Option<Self> {
        match host {
            "github.com" => Some(Self::GitHub),
            "gitlab.com" => Some(Self::GitLab),
            "codeberg.org" | "gitea.com" => Some(Self::Gitea),
            host if host.ends_with(".ghe.com") => Some(Self::GitHub),
            _ => None,
        }
    }
}

impl Forge {
    /// The forge of `fleet`, as far as `place` does not say otherwise. The token is read once, to see that
    /// it can be.
    ///
    /// # Errors
    /// [`ForgeError`].
    pub fn new(fleet: &Location, place: ForgePlace, token: PathBuf) -> Result<Self, ForgeError> {
        let hint = match fleet {
            Location::Remote(url) => hint(url),
            Location::Local(_) => None,
        };
        let (own, path) = hint.unzip();
        let url = place.url.or(own).ok_or(ForgeError::NoUrl)?;
        let url = url.trim_end_matches('/');
        let parsed = Url::parse(url).ok().filter(|_| is_secure_url(url)).ok_or(ForgeError::Url)?;
        let host = parsed.host_str().ok_or(ForgeError::Url)?.to_owned();
        let kind = place.kind.or_else(|| ForgeKind::of_host(&host)).ok_or(ForgeError::Kind)?;
        let path = place.repository.or(path).ok_or(ForgeError::Repository)?;
        let repository = parts(kind, &path).ok_or(ForgeError::Repository)?;
        let token = TokenFile::new(token);
        token.read()?;
        Ok(Self { kind, api: api(kind, parsed, &host), repository, token })
    }
}

/// Where the REST API of a forge lies.
fn api(kind: ForgeKind, mut url: Url, host: &str) -> Url {
    let below = match kind {
        ForgeKind::GitHub if host == "github.com" || host.ends_with(".ghe.com") => {
            let own = Url::parse(&format!("https://api.{host}"));
            return own.expect("because the host is one");
        }
        ForgeKind::GitHub => ["api", "v3"],
        ForgeKind::GitLab => ["api", "v4"],
        ForgeKind::Gitea => ["api", "v1"],
    };
    let mut segments = url.path_segments_mut().expect("because it has a host");
    segments.pop_if_empty().extend(below);
    drop(segments);
    url
}

/// The parts of a repository's name.
fn parts(kind: ForgeKind, path: &str) -> Option<Vec<String>> {
    let path = path.trim_matches('/');
    let path = path.strip_suffix(".git").unwrap_or(path);
    let parts: Vec<String> = path.split('/').map(str::to_owned).collect();
    let fine = |part: &String| {
        let word = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        !part.is_empty() && part.chars().all(word) && !part.chars().all(|c| c == '.')
    };
    let count = match kind {
        ForgeKind::GitLab => parts.len() >= 2,
        ForgeKind::GitHub | ForgeKind::Gitea => parts.len() == 2,
    };
    (count && parts.iter().all(fine)).then_some(parts)
}

/// The web address and the repository's path of a remote, which is `https://host/path`,
/// `ssh://[user@]host[:port]/path` or `[user@]host:path`.
fn hint(remote: &str) -> Option<(String, String)> {
    let Some((scheme, rest)) = remote.split_once("://") else {
        let (authority, path) = remote.split_once(':')?;
        return Some((web(authority), path.to_owned()));
    };
    let (authority, path) = rest.split_once('/')?;
    let url = match scheme {
        "https" | "http" => format!("{scheme}://{authority}"),
        // Its port is that of ssh.
        "ssh" => web(authority.rsplit_once(':').map_or(authority, |(host, _)| host)),
        _ => return None,
    };
    Some((url, path.to_owned()))
}

fn web(authority: &str) -> String {
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    // GitHub has ssh at port 443 of this name, for networks that let nothing else out.
    let host = if host == "ssh.github.com" { "github.com" } else { host };
    format!("https://{host}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forge(fleet: &str, place: ForgePlace) -> Result<String, String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&file, "s3cret").unwrap();
        let fleet = fleet.parse().unwrap();
        let made = Forge::new(&fleet, place, file.path().to_owned());
        let made = made.map_err(|error| error.to_string())?;
        Ok(format!("{:?} {} {}", made.kind, made.api, made.repository.join("|")))
    }

    #[test]
    fn the_fleets_address_tells() {
        let check = |fleet: &str, expected: &str| {
            assert_eq!(forge(fleet, ForgePlace::default()), Ok(expected.to_owned()), "{fleet}");
        };
        let github = "GitHub https://api.github.com/ iot|fleet";
        check("https://github.com/iot/fleet.git", github);
        check("https://github.com/iot/fleet/", github);
        check("git@github.com:iot/fleet.git", github);
        check("ssh://git@ssh.github.com:443/iot/fleet.git", github);
        check("https://acme.ghe.com/iot/fleet", "GitHub https://api.acme.ghe.com/ iot|fleet");
        check("https://gitlab.com/a/b/fleet.git", "GitLab https://gitlab.com/api/v4 a|b|fleet");
        check("git@codeberg.org:a/fleet.git", "Gitea https://codeberg.org/api/v1 a|fleet");
    }

    #[test]
    fn the_operator_says_the_rest() {
        let place = |kind: &str, url: &str, repository: &str| ForgePlace {
            kind: kind.parse().ok(),
            url: Some(url.to_owned()).filter(|url| !url.is_empty()),
            repository: Some(repository.to_owned()).filter(|name| !name.is_empty()),
        };
        let own = "ssh://git@git.example:2222/iot/fleet.git";
        assert_eq!(
            forge(own, place("forgejo", "", "")),
            Ok("Gitea https://git.example/api/v1 iot|fleet".into())
        );
        assert_eq!(
            forge(own, place("github", "https://git.example:8443", "")),
            Ok("GitHub https://git.example:8443/api/v3 iot|fleet".into())
        );
        assert_eq!(
            forge("/srv/fleet.git", place("gitlab", "https://x.example/gitlab/", "a/b/c")),
            Ok("GitLab https://x.example/gitlab/api/v4 a|b|c".into())
        );
        for (fleet, place, part) in [
            (own, place("", "", ""), "--forge`"),
            ("/srv/fleet.git", place("gitea", "", ""), "--forge-url`"),
            ("/srv/fleet.git", place("gitea", "https://git.example", ""), "--forge-repository`"),
            (own, place("gitea", "", "a/b/c"), "--forge-repository`"),
            (own, place("gitlab", "", "../x"), "--forge-repository`"),
            (own, place("gitlab", "", "a/b?x=1"), "--forge-repository`"),
            (own, place("gitea", "http://git.example", ""), "cannot be trusted"),
            (own, place("gitea", "https://me:s3cret@git.example", ""), "cannot be trusted"),
            ("http://10.0.0.1/a/b", place("gitea", "", ""), "cannot be trusted"),
        ] {
            let error = forge(fleet, place).unwrap_err();
            assert!(error.contains(part) && !error.contains("s3cret"), "{error}");
        }
        assert!("bitbucket".parse::<ForgeKind>().is_err());
    }
}
