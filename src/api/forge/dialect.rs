//! What each forge calls a pull request.
//!
//! GitHub: <https://docs.github.com/en/rest/pulls/pulls>. GitLab: <https://docs.gitlab.com/api/merge_requests/>.
//! Gitea and Forgejo: `/api/swagger` of each server.

use reqwest::Url;
use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};

use super::address::{Forge, ForgeKind};
use super::text::Text;
use super::token::Token;

/// Longest address of a pull request that is passed on.
const LONGEST: usize = 2000;

/// Which branch is to be merged into which.
#[derive(Debug, Clone, Copy)]
pub(super) struct Branches<'a> {
    pub(super) head: &'a str,
    pub(super) base: &'a str,
}

impl Forge {
    /// Headers of every request.
    pub(super) fn headers(&self, token: &Token) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let json = HeaderValue::from_static("application/json");
        match self.kind {
            ForgeKind::GitHub => {
                let json = HeaderValue::from_static("application/vnd.github+json");
                let version = HeaderValue::from_static("2022-11-28");
                headers.insert(ACCEPT, json);
                headers.insert(HeaderName::from_static("x-github-api-version"), version);
                headers.insert(AUTHORIZATION, token.header("Bearer "));
            }
            ForgeKind::GitLab => {
                headers.insert(ACCEPT, json);
                headers.insert(HeaderName::from_static("private-token"), token.header(""));
            }
            ForgeKind::Gitea => {
                headers.insert(ACCEPT, json);
                headers.insert(AUTHORIZATION, token.header("token "));
            }
        }
        headers
    }

    /// Where pull requests are.
    fn requests(&self) -> Url {
        let mut url = self.api.clone();
        let mut segments = url.path_segments_mut().expect("because it has a host");
        segments.pop_if_empty();
        match self.kind {
            ForgeKind::GitLab => {
                segments.extend(["projects", &self.repository.join("/"), "merge_requests"]);
            }
            ForgeKind::GitHub | ForgeKind::Gitea => {
                segments.push("repos").extend(&self.repository).push("pulls");
            }
        }
        drop(segments);
        url
    }

    /// What is asked, to see whether there is one already, open or not: who closed it meant it.
    pub(super) fn finding(&self, Branches { head, base }: Branches<'_>) -> Url {
        let mut url = self.requests();
        match self.kind {
            ForgeKind::GitHub => {
                let owner = &self.repository[0];
                url.query_pairs_mut()
                    .append_pair("state", "all")
                    .append_pair("head", &format!("{owner}:{head}"))
                    .append_pair("base", base);
            }
            ForgeKind::GitLab => {
                url.query_pairs_mut()
                    .append_pair("state", "all")
                    .append_pair("scope", "all")
                    .append_pair("source_branch", head)
                    .append_pair("target_branch", base);
            }
            ForgeKind::Gitea => {
                let mut segments = url.path_segments_mut().expect("because it has a host");
                segments.push(base).extend(head.split('/'));
            }
        }
        url
    }

    /// The address of the one that was asked for, if it is in the answer. Those of forks are others'.
    pub(super) fn found(
        &self,
        answer: &Value,
        Branches { head, base }: Branches<'_>,
    ) -> Option<String> {
        let list = match answer {
            Value::Array(list) => list.as_slice(),
            one => std::slice::from_ref(one),
        };
        let same = |one: &Value, this: &str, that: &str| {
            let (this, that) = (one.pointer(this), one.pointer(that));
            this.is_some_and(|this| !this.is_null()) && this == that
        };
        let fits = |one: &&Value| match self.kind {
            ForgeKind::GitLab => {
                one["source_branch"] == head
                    && one["target_branch"] == base
                    && same(one, "/source_project_id", "/target_project_id")
            }
            ForgeKind::GitHub | ForgeKind::Gitea => {
                one["head"]["ref"] == head
                    && one["base"]["ref"] == base
                    && same(one, "/head/repo/id", "/base/repo/id")
            }
        };
        list.iter().find(fits).and_then(|one| self.address(one))
    }

    /// What is sent to open one, and where to.
    pub(super) fn opening(&self, branches: Branches<'_>, text: &Text) -> (Url, Value) {
        let (Branches { head, base }, Text { title, body }) = (branches, text);
        let request = match self.kind {
            ForgeKind::GitLab => json!({
                "source_branch": head, "target_branch": base, "title": title, "description": body,
            }),
            ForgeKind::GitHub | ForgeKind::Gitea => {
                json!({"head": head, "base": base, "title": title, "body": body})
            }
        };
        (self.requests(), request)
    }

    /// Where people see it.
    pub(super) fn address(&self, one: &Value) -> Option<String> {
        let field = match self.kind {
            ForgeKind::GitLab => "web_url",
            ForgeKind::GitHub | ForgeKind::Gitea => "html_url",
        };
        let text = one[field].as_str().filter(|text| text.len() <= LONGEST)?;
        let url = Url::parse(text).ok()?;
        matches!(url.scheme(), "https" | "http").then(|| url.to_string())
    }
}

/// What a forge says of a refusal: `message` is a text, or several, or several by field; GitHub tells
/// more in `errors`.
pub(super) fn said(answer: &Value) -> String {
    let mut words = Vec::new();
    for field in ["message", "error", "errors"] {
        collect(&answer[field], &mut words);
    }
    words.dedup();
    words.join(", ")
}

fn collect(value: &Value, words: &mut Vec<String>) {
    match value {
        Value::String(text) => words.push(text.clone()),
        Value::Array(list) => list.iter().for_each(|one| collect(one, words)),
        Value::Object(fields) if fields.contains_key("message") => {
            collect(&fields["message"], words);
        }
        Value::Object(fields) => fields.values().for_each(|one| collect(one, words)),
        _ => {}
    }
}
