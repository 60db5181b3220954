//! Requests that a browser makes for somebody else's page.
//!
//! titan sets no cookies and believes none. A request with a cookie and a foreign origin comes from a page
//! that hopes otherwise, and is refused before anything else. In development, where no token is asked for,
//! every foreign origin is refused, and so is a host name that only pretends to be this machine's.

use warp::http::{HeaderMap, header};
use warp::{Filter, Rejection};

use super::Refused;
use crate::model::url::{host_of, is_loopback};

/// Lets through what no foreign page sends with a cookie.
pub(in crate::api) fn same_origin() -> impl Filter<Extract = (), Error = Rejection> + Clone {
    warp::header::headers_cloned()
        .and_then(|headers: HeaderMap| async move { check(&headers).map_err(warp::reject::custom) })
        .untuple_one()
}

fn check(headers: &HeaderMap) -> Result<(), Refused> {
    let with_cookie = headers.contains_key(header::COOKIE);
    if with_cookie && headers.contains_key(header::ORIGIN) && !is_same(headers) {
        return Err(Refused::ForeignOrigin);
    }
    Ok(())
}

fn text<'a>(headers: &'a HeaderMap, name: &header::HeaderName) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// Whether all origins are the host that is asked (RFC 6454, 7).
fn is_same(headers: &HeaderMap) -> bool {
    let host = text(headers, &header::HOST);
    headers.get_all(header::ORIGIN).iter().all(|origin| {
        let origin = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
        origin.is_some_and(|(_, authority)| authority.eq_ignore_ascii_case(host))
    })
}

/// Whether a request without a token can only come from this machine's own programs.
pub(super) fn check_local(headers: &HeaderMap) -> Result<(), Refused> {
    let foreign = headers.contains_key(header::ORIGIN) && !is_same(headers);
    let local = is_loopback(host_of(text(headers, &header::HOST)));
    if foreign || !local { Err(Refused::ForeignOrigin) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn cookies_of_foreign_pages_are_refused() {
        let host = ("host", "titan.example:7878");
        let cookie = ("cookie", "a=b");
        for (origin, fine) in [
            ("https://titan.example:7878", true),
            ("https://TITAN.example:7878", true),
            ("https://titan.example", false),
            ("https://evil.example", false),
            ("null", false),
            ("", false),
        ] {
            let origin = ("origin", origin);
            assert_eq!(check(&headers(&[host, cookie, origin])).is_ok(), fine, "{origin:?}");
            assert_eq!(check(&headers(&[host, origin])), Ok(()), "without a cookie");
        }
        assert_eq!(check(&headers(&[host, cookie])), Ok(()), "without an origin");
        let two = [host, cookie, ("origin", "https://titan.example:7878"), ("origin", "null")];
        assert_eq!(check(&headers(&two)), Err(Refused::ForeignOrigin));
    }

    #[test]
    fn development_is_for_this_machine() {
        for (host, origin, fine) in [
            ("127.0.0.1:7878", None, true),
            ("localhost:7878", None, true),
            ("[::1]:7878", None, true),
            ("localhost:7878", Some("http://localhost:7878"), true),
            ("localhost:7878", Some("http://localhost:3000"), false),
            ("localhost:7878", Some("null"), false),
            ("evil.example:7878", None, false),
            ("evil.example:7878", Some("http://evil.example:7878"), false),
            ("localhost.evil.example", None, false),
            ("", None, false),
        ] {
            let mut lines = vec![("host", host)];
            lines.extend(origin.map(|origin| ("origin", origin)));
            assert_eq!(check_local(&headers(&lines)).is_ok(), fine, "{host} {origin:?}");
        }
    }
}
