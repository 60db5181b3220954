//! Where the browser ends: a page on a random port of this machine, which takes one answer.

use std::collections::BTreeMap;
use std::time::Duration;

use reqwest::Url;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::http::plain;
use super::{AccountError, Secret};

const PATH: &str = "/callback";
/// Longest request of a browser that is read.
const REQUEST: usize = 16 << 10;
/// Time for a request; a browser may open connections that it does not use.
const PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(100);
/// Most connections at a time.
const CONNECTIONS: usize = 16;

/// A listener for the redirect of one login.
#[derive(Debug)]
pub(super) struct Loopback {
    listener: TcpListener,
    port: u16,
    expected: Expected,
}

/// What tells the redirect of this login from others.
#[derive(Debug, Clone)]
struct Expected {
    state: String,
    issuer: String,
}

/// What the provider sends through the browser.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Redirect {
    Code(Secret),
    Refused { code: String, detail: String },
}

/// What a request is.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Arrival {
    Ours(Redirect),
    /// An answer to another login, or to none.
    Stray,
    /// A browser looking for an icon, and the like.
    Other,
}

impl Loopback {
    pub(super) async fn open(state: &str, issuer: &str) -> Result<Self, AccountError> {
        let fail = |error: std::io::Error| AccountError::Network {
            what: "listen on 127.0.0.1",
            problem: error.to_string(),
        };
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.map_err(fail)?;
        let port = listener.local_addr().map_err(fail)?.port();
        let expected = Expected { state: state.to_owned(), issuer: issuer.to_owned() };
        Ok(Self { listener, port, expected })
    }

    /// What the provider redirects to.
    pub(super) fn address(&self) -> String {
        format!("http://127.0.0.1:{}{PATH}", self.port)
    }

    /// Waits for this login's answer.
    pub(super) async fn redirect(&self, mut stray: impl FnMut()) -> Result<Redirect, AccountError> {
        let mut open = JoinSet::new();
        loop {
            tokio::select! {
                accepted = self.listener.accept(), if open.len() < CONNECTIONS => {
                    let Ok((stream, _)) = accepted else {
                        // The system is short of something; it may pass.
                        sleep(PAUSE).await;
                        continue;
                    };
                    let expected = self.expected.clone();
                    open.spawn(async move {
                        timeout(PATIENCE, serve(stream, &expected)).await.unwrap_or(Arrival::Other)
                    });
                }
                Some(done) = open.join_next() => match done {
                    Ok(Arrival::Ours(redirect)) => return Ok(redirect),
                    Ok(Arrival::Stray) => stray(),
                    _ => {}
                },
            }
        }
    }
}

/// Answers one request.
async fn serve(mut stream: TcpStream, expected: &Expected) -> Arrival {
    let Some(target) = target(&mut stream).await else { return Arrival::Other };
    let arrival = judge(&target, expected);
    let (status, text) = match &arrival {
        Arrival::Ours(Redirect::Code(_)) => (
            "200 OK",
            "titan has its answer. You can close this page; the terminal says how it went.",
        ),
        Arrival::Ours(Redirect::Refused { .. }) => {
            ("200 OK", "The login was refused. You can close this page; the terminal says more.")
        }
        Arrival::Stray => (
            "400 Bad Request",
            "This answer belongs to another login. Start again with titan login, in a new page.",
        ),
        Arrival::Other => ("404 Not Found", "There is nothing here."),
    };
    // A browser that is gone needs no page.
    drop(stream.write_all(page(status, text).as_bytes()).await);
    drop(stream.shutdown().await);
    arrival
}

/// What a `GET` asks for.
async fn target(stream: &mut TcpStream) -> Option<String> {
    let mut request = Vec::new();
    while !request.windows(4).any(|bytes| bytes == b"\r\n\r\n") {
        let mut part = [0; 2048];
        let length = stream.read(&mut part).await.ok().filter(|length| *length > 0)?;
        request.extend_from_slice(&part[..length]);
        if request.len() > REQUEST {
            return None;
        }
    }
    let line = request.split(|byte| *byte == b'\r').next()?;
    let mut words = std::str::from_utf8(line).ok()?.split(' ');
    let target = words.next().filter(|method| *method == "GET").and(words.next())?;
    Some(target.to_owned())
}

fn judge(target: &str, expected: &Expected) -> Arrival {
    let url = Url::parse("http://127.0.0.1").expect("it is a URL");
    let Some(url) = url.join(target).ok().filter(|url| url.path() == PATH) else {
        return Arrival::Other;
    };
    let mut fields = BTreeMap::new();
    for (name, value) in url.query_pairs() {
        if fields.insert(name.into_owned(), value.into_owned()).is_some() {
            return Arrival::Stray;
        }
    }
    let ours = fields.get("state") == Some(&expected.state);
    // RFC 9207: who answers is who was asked.
    let asked = fields.get("iss").is_none_or(|issuer| *issuer == expected.issuer);
    if !ours || !asked {
        return Arrival::Stray;
    }
    let shown = |name: &str| fields.get(name).map(|text| plain(text)).unwrap_or_default();
    match (fields.get("error"), fields.get("code")) {
        (Some(_), _) => {
            let (code, detail) = (shown("error"), shown("error_description"));
            Arrival::Ours(Redirect::Refused { code, detail })
        }
        (None, Some(code)) => Arrival::Ours(Redirect::Code(Secret::new(code))),
        (None, None) => Arrival::Stray,
    }
}

fn page(status: &str, text: &str) -> String {
    let body = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>titan</title><p>{text}</p></html>\n"
    );
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: {}\r\n\
         Cache-Control: no-store\r\nReferrer-Policy: no-referrer\r\n\
         Content-Security-Policy: default-src 'none'\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_answer_to_this_login_counts() {
        let expected = Expected { state: "s1".into(), issuer: "https://login.example".into() };
        let check = |target: &str, arrival: Arrival| {
            assert_eq!(judge(target, &expected), arrival, "{target}");
        };
        let code = || Arrival::Ours(Redirect::Code(Secret::new("c")));
        check("/callback?code=c&state=s1", code());
        check("/callback?code=c&state=s1&iss=https%3A%2F%2Flogin.example", code());
        check("/callback?code=c&state=s1&session_state=x", code());
        check("/callback?code=c&state=s2", Arrival::Stray);
        check("/callback?code=c", Arrival::Stray);
        check("/callback?state=s1", Arrival::Stray);
        check("/callback?code=c&state=s1&state=s1", Arrival::Stray);
        check("/callback?code=c&state=s1&iss=https://evil.example", Arrival::Stray);
        check("/callback?error=access_denied&state=s2", Arrival::Stray);
        let refused = Redirect::Refused { code: "access_denied".into(), detail: "no [31m".into() };
        check(
            "/callback?error=access_denied&error_description=no%1b[31m&state=s1",
            Arrival::Ours(refused),
        );
        check("/favicon.ico", Arrival::Other);
        check("/", Arrival::Other);
        check("//evil.example/callbac", Arrival::Other);
    }
}
