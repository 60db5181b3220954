//! A browser without a screen: cookies, redirects, and forms that somebody fills in.

use std::collections::BTreeMap;

use reqwest::header::{CONTENT_TYPE, COOKIE, LOCATION, SET_COOKIE};
use reqwest::{Client, RequestBuilder, Url, redirect};
use tokio::runtime::Runtime;

/// More pages than any login has.
const PAGES: usize = 30;

pub(super) struct Browser {
    runtime: Runtime,
    client: Client,
    cookies: BTreeMap<String, String>,
}

/// What the person wants.
#[derive(Clone, Copy)]
pub(super) enum Will {
    LogIn(&'static str),
    Deny,
}

struct Page {
    status: u16,
    location: Option<String>,
    body: String,
}

impl Browser {
    pub(super) fn new() -> Self {
        let builder = Client::builder().redirect(redirect::Policy::none()).no_proxy();
        Self {
            runtime: Runtime::new().expect("a runtime"),
            client: builder.build().expect("a client"),
            cookies: BTreeMap::new(),
        }
    }

    pub(super) fn get(&mut self, url: &str) -> (u16, String) {
        let page = self.send(self.client.get(url));
        (page.status, page.body)
    }

    pub(super) fn post(&mut self, url: &str, form: &[(&str, &str)]) -> (u16, String) {
        let page = self.send(self.form(url, form));
        (page.status, page.body)
    }

    /// Follows redirects and forms to a page that has neither.
    pub(super) fn walk(&mut self, url: &str, will: Will) -> String {
        let mut url = Url::parse(url).expect("a URL");
        let mut page = self.send(self.client.get(url.clone()));
        let mut denied = false;
        for _ in 0..PAGES {
            let next = if let Some(location) = &page.location {
                url = url.join(location).expect("a URL");
                self.client.get(url.clone())
            } else if denied {
                return page.body;
            } else if let (Will::Deny, Some(link)) = (will, abort(&page.body)) {
                denied = true;
                url = url.join(&link).expect("a URL");
                self.client.get(url.clone())
            } else if let Some((action, fields)) = form(&page.body, will) {
                url = url.join(&action).expect("a URL");
                denied = fields.iter().any(|(name, _)| name == "abort");
                let fields: Vec<_> = fields.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
                self.form(url.as_str(), &fields)
            } else {
                return page.body;
            };
            page = self.send(next);
        }
        panic!("no end of pages: {}", page.body);
    }

    fn form(&self, url: &str, fields: &[(&str, &str)]) -> RequestBuilder {
        let mut encoded = Url::parse("form:").expect("a URL");
        encoded.query_pairs_mut().extend_pairs(fields);
        let request = self.client.post(url).body(encoded.query().unwrap_or_default().to_owned());
        request.header(CONTENT_TYPE, "application/x-www-form-urlencoded")
    }

    fn send(&mut self, request: RequestBuilder) -> Page {
        let cookies: Vec<_> = self.cookies.iter().map(|(n, v)| format!("{n}={v}")).collect();
        let request = request.header(COOKIE, cookies.join("; "));
        let (page, set) = self.runtime.block_on(async {
            let response = request.send().await.expect("an answer");
            let text = |value: &reqwest::header::HeaderValue| {
                value.to_str().expect("plain text").to_owned()
            };
            let set: Vec<_> = response.headers().get_all(SET_COOKIE).iter().map(text).collect();
            let location = response.headers().get(LOCATION).map(text);
            let status = response.status().as_u16();
            let body = response.text().await.expect("a text");
            (Page { status, location, body }, set)
        });
        for cookie in set {
            let pair = cookie.split(';').next().unwrap_or_default();
            let (name, value) = pair.split_once('=').expect("a cookie has a value");
            match value {
                "" => self.cookies.remove(name),
                value => self.cookies.insert(name.to_owned(), value.to_owned()),
            };
        }
        page
    }
}

/// A parameter of a URL.
pub(super) fn parameter(url: &str, name: &str) -> String {
    let url = Url::parse(url).expect("a URL");
    let found = url.query_pairs().find(|(known, _)| known == name);
    found.expect("it is there").1.into_owned()
}

/// The page's form, as the person fills it in: where it goes, and its fields.
fn form(page: &str, will: Will) -> Option<(String, Vec<(String, String)>)> {
    let start = page.find("<form")?;
    let action = attribute(&page[start..], "action")?;
    let mut fields = Vec::new();
    for input in page.split("<input").skip(1) {
        let input = &input[..input.find('>').unwrap_or(input.len())];
        let Some(name) = attribute(input, "name") else { continue };
        let value = match (name.as_str(), will) {
            ("login", Will::LogIn(who)) => who.to_owned(),
            ("password", _) => "any".to_owned(),
            ("confirm", Will::Deny) => {
                fields.push(("abort".into(), "yes".into()));
                continue;
            }
            _ => attribute(input, "value").unwrap_or_default(),
        };
        fields.push((name, value));
    }
    Some((action, fields))
}

/// The link of a login page for who changes their mind.
fn abort(page: &str) -> Option<String> {
    page.split("href=\"")
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
        .find_map(|link| link.ends_with("/abort").then(|| link.to_owned()))
}

fn attribute(tag: &str, name: &str) -> Option<String> {
    let start = tag.find(&format!("{name}=\""))? + name.len() + 2;
    let value = &tag[start..];
    Some(value[..value.find('"')?].replace("&amp;", "&"))
}
