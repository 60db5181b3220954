//! Addresses of repositories, and the ones that titan refuses.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Why an address of a repository is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    #[error("the address has a scheme other than `https` or `ssh`")]
    Scheme,
    #[error("the address starts with `-`, or has a host or user that does")]
    Option,
    #[error("the address has white space or control characters")]
    Character,
    #[error("the address holds a password or token")]
    Credentials,
    #[error("the address has no host")]
    Host,
    #[error("the address leads to a private network")]
    Private,
}

impl UrlError {
    /// The diagnostic's code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        if *self == Self::Private { "git/url-private" } else { "git/url" }
    }
}

/// Which addresses are fine.
#[derive(Debug, Clone, Copy, Default)]
pub struct UrlRules {
    /// `file://` and plain paths.
    pub files: bool,
    /// `http://`, and hosts in private, loopback and link-local networks.
    pub private: bool,
}

/// Checks the address of a repository: `https://host/path`, `ssh://[user@]host/path` or
/// `[user@]host:path`. The address itself never stands in an error, as it may hold a secret.
///
/// # Errors
/// The first rule that the address breaks.
pub fn check_repository_url(url: &str, rules: UrlRules) -> Result<(), UrlError> {
    if url.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err(UrlError::Character);
    }
    if url.is_empty() {
        return Err(UrlError::Host);
    }
    if url.starts_with('-') {
        return Err(UrlError::Option);
    }
    if url.contains("::") && !url.contains('[') {
        return Err(UrlError::Scheme);
    }
    let Some((scheme, rest)) = url.split_once("://") else {
        return check_scp_form(url, rules);
    };
    match scheme {
        "https" => check_authority(rest, rules, false),
        "ssh" => check_authority(rest, rules, true),
        "http" if rules.private => check_authority(rest, rules, false),
        "file" if rules.files => Ok(()),
        _ => Err(UrlError::Scheme),
    }
}

/// Whether `url` is one whose answers can be trusted: `https`, or `http` to this machine, without user,
/// query and fragment.
#[must_use]
pub fn is_secure_url(url: &str) -> bool {
    let rules = UrlRules { files: false, private: true };
    let Some((scheme, rest)) = url.split_once("://") else { return false };
    let plain = !url.contains(['?', '#', '\\']) && check_repository_url(url, rules).is_ok();
    plain && (scheme == "https" || (scheme == "http" && is_loopback(host_of(rest))))
}

/// Whether a host name or address is this machine's own.
#[must_use]
pub fn is_loopback(host: &str) -> bool {
    let address = host.parse::<IpAddr>();
    address.map_or(host.eq_ignore_ascii_case("localhost"), |address| address.is_loopback())
}

/// The host in what follows `://`, without user, port and brackets.
#[must_use]
pub fn host_of(rest: &str) -> &str {
    let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
    let address = authority.rsplit_once('@').map_or(authority, |(_, address)| address);
    match address.strip_prefix('[').and_then(|inner| inner.split_once(']')) {
        Some((inner, _)) => inner,
        None => address.split(':').next().unwrap_or(address),
    }
}

/// `[user@]host:path`, or a plain path.
fn check_scp_form(url: &str, rules: UrlRules) -> Result<(), UrlError> {
    match url.split_once(':') {
        Some((authority, path)) if !authority.contains('/') => {
            if path.starts_with('-') {
                return Err(UrlError::Option);
            }
            check_authority(authority, rules, true)
        }
        _ if rules.files => Ok(()),
        _ => Err(UrlError::Scheme),
    }
}

fn check_authority(rest: &str, rules: UrlRules, user_allowed: bool) -> Result<(), UrlError> {
    let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
    let user = authority.rsplit_once('@').map(|(user, _)| user);
    if let Some(user) = user {
        if user.starts_with('-') {
            return Err(UrlError::Option);
        }
        if !user_allowed || user.contains(':') {
            return Err(UrlError::Credentials);
        }
    }
    let host = host_of(rest);
    if host.is_empty() {
        return Err(UrlError::Host);
    }
    if host.starts_with('-') {
        return Err(UrlError::Option);
    }
    if !rules.private && is_private(host) {
        return Err(UrlError::Private);
    }
    Ok(())
}

/// Whether a host name or address belongs to this machine or a private network. Names are judged by
/// their text alone; nothing is resolved here.
fn is_private(host: &str) -> bool {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    if host == "localhost" || host.ends_with(".localhost") || host.ends_with(".internal") {
        return true;
    }
    if let Ok(address) = host.parse::<IpAddr>() {
        return is_private_address(address);
    }
    // `0x7f000001`, `2130706433` and `127.1` are addresses to C libraries.
    let part = |text: &str| text.starts_with("0x") || text.bytes().all(|b| b.is_ascii_digit());
    host.split('.').all(|text| !text.is_empty() && part(text))
}

fn is_private_address(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_private_v4(address),
        IpAddr::V6(address) => is_private_v6(address),
    }
}

fn is_private_v4(address: Ipv4Addr) -> bool {
    let [a, b, ..] = address.octets();
    address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_unspecified()
        || address.is_multicast()
        || address.is_broadcast()
        || (a == 100 && (64..128).contains(&b))
}

fn is_private_v6(address: Ipv6Addr) -> bool {
    if let Some(mapped) = address.to_ipv4_mapped() {
        return is_private_v4(mapped);
    }
    address.is_loopback()
        || address.is_unspecified()
        || address.is_unique_local()
        || address.is_unicast_link_local()
        || address.is_multicast()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_judged() {
        let check = |url: &str, expected: Result<(), UrlError>| {
            assert_eq!(check_repository_url(url, UrlRules::default()), expected, "{url}");
        };
        check("https://github.com/timfpark/temp-sensor", Ok(()));
        check("ssh://git@example.com/x.git", Ok(()));
        check("git@example.com:team/x.git", Ok(()));
        check("ext::sh -c id", Err(UrlError::Character));
        check("ext::id", Err(UrlError::Scheme));
        check("file:///etc", Err(UrlError::Scheme));
        check("/etc", Err(UrlError::Scheme));
        check("http://example.com/x", Err(UrlError::Scheme));
        check("--upload-pack=touch", Err(UrlError::Option));
        check("ssh://-oProxyCommand=id/x", Err(UrlError::Option));
        check("git@-x:y", Err(UrlError::Option));
        check("https://user:pw@example.com/x", Err(UrlError::Credentials));
        check("https://token@example.com/x", Err(UrlError::Credentials));
        check("https://example.com/\nx", Err(UrlError::Character));
        for private in [
            "169.254.169.254",
            "127.0.0.1",
            "10.1.2.3",
            "localhost",
            "[::1]",
            "[::ffff:127.0.0.1]",
            "2130706433",
            "0x7f000001",
            "127.1",
        ] {
            check(&format!("https://{private}/x"), Err(UrlError::Private));
        }
        let local = UrlRules { files: true, private: true };
        for fine in
            ["/srv/fleet.git", "./fleet", "file:///srv/fleet.git", "http://127.0.0.1:3000/x"]
        {
            assert_eq!(check_repository_url(fine, local), Ok(()), "{fine}");
        }
        assert_eq!(check_repository_url("ext::id", local), Err(UrlError::Scheme));
    }

    #[test]
    fn secure_addresses_are_told_apart() {
        for good in [
            "https://login.example",
            "https://login.example/tenant/v2.0",
            "https://10.0.0.1:8443/x",
            "http://localhost:3000",
            "http://127.0.0.1:3000/x",
            "http://[::1]:3000",
        ] {
            assert!(is_secure_url(good), "{good}");
        }
        for bad in [
            "",
            "login.example",
            "http://login.example",
            "http://localhost.example",
            "http://127.0.0.1@login.example",
            "http://localhost:x@login.example/",
            "https://user@login.example",
            "https://login.example?x=1",
            "https://login.example#x",
            "https:///x",
            "https://login.example/\n",
            "http://login.example\\@localhost",
            "ssh://localhost",
            "file:///etc",
        ] {
            assert!(!is_secure_url(bad), "{bad:?}");
        }
    }
}
