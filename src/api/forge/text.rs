//! What a pull request says: what its commit says, and who asked.

use crate::change::ID_TRAILER;
use crate::git::CommitInfo;

/// Longest title: forges take 255 characters.
const LONGEST_TITLE: usize = 200;

/// Title and body of a pull request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Text {
    pub(super) title: String,
    pub(super) body: String,
}

impl Text {
    /// Of the commit on `head`, which is to be merged into `base`.
    ///
    /// The message stands in a fence: it is not the forge's business to mention people, close issues or, as
    /// GitLab does with lines such as `/approve`, to obey it with the rights of titan's token.
    pub(super) fn of(commit: &CommitInfo, base: &str, head: &str) -> Self {
        let mut body = String::new();
        let message = message(commit);
        if !message.is_empty() {
            let fence = fence(message);
            body.push_str(&format!("{fence}text\n{message}\n{fence}\n\n"));
        }
        if let Some(actor) = commit.trailer("Titan-Actor") {
            body.push_str(&format!("Asked for by {} through titan's API.\n", code(actor)));
        }
        body.push_str(&format!("{} shows what it does.\n", code(&plan(base, head))));
        if let Some(id) = commit.trailer(ID_TRAILER) {
            body.push_str(&format!("\n{ID_TRAILER}: {}\n", code(id)));
        }
        Self { title: title(&commit.subject), body }
    }
}

fn plan(base: &str, head: &str) -> String {
    format!("titan plan {base}...{head}")
}

fn title(subject: &str) -> String {
    let subject: String = subject.chars().filter(|c| !c.is_control()).collect();
    if subject.chars().count() <= LONGEST_TITLE {
        return subject;
    }
    let start: String = subject.chars().take(LONGEST_TITLE - 1).collect();
    format!("{}…", start.trim_end())
}

/// What follows the subject, without titan's own trailers, which are the last paragraph.
fn message(commit: &CommitInfo) -> &str {
    let body = commit.body.trim();
    if commit.trailers.is_empty() {
        return body;
    }
    body.rsplit_once("\n\n").map_or("", |(own, _)| own.trim())
}

/// A fence that nothing in the text closes.
fn fence(text: &str) -> String {
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    "`".repeat(longest.max(2) + 1)
}

fn code(text: &str) -> String {
    let plain: String = text.chars().filter(|c| *c != '`' && !c.is_control()).collect();
    format!("`{plain}`")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::Signature;
    use crate::model::{Revision, TreeId};

    fn text(subject: &str, body: &str) -> Text {
        let signature =
            Signature { name: "anna".into(), email: "a@example.com".into(), seconds: 1, offset: 0 };
        let trailers = [("Titan-Actor", "anna@example.com"), ("Titan-Request-Id", "r1")];
        let trailers: Vec<(String, String)> =
            trailers.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        let lines: String =
            trailers.iter().map(|(key, value)| format!("{key}: {value}\n")).collect();
        let commit = CommitInfo {
            id: Revision::NONE,
            tree: "0".repeat(40).parse::<TreeId>().unwrap(),
            parents: Vec::new(),
            author: signature.clone(),
            committer: signature,
            subject: subject.into(),
            body: format!("{body}{lines}"),
            trailers,
        };
        Text::of(&commit, "main", "titan/change/r1")
    }

    #[test]
    fn it_says_who_asked_for_what() {
        let plain = text("create host a", "");
        assert_eq!(plain.title, "create host a");
        insta::assert_snapshot!(plain.body, @r"
        Asked for by `anna@example.com` through titan's API.
        `titan plan main...titan/change/r1` shows what it does.

        Titan-Request-Id: `r1`
        ");
        let long = text(&"a".repeat(300), "");
        assert_eq!(long.title.chars().count(), LONGEST_TITLE);
        assert!(long.title.ends_with('…'));
    }

    #[test]
    fn a_message_gives_no_orders() {
        let hostile = text("x", "/approve\n/merge\n```\n/approve\n@everybody fixes #1\n\n");
        insta::assert_snapshot!(hostile.body, @r"
        ````text
        /approve
        /merge
        ```
        /approve
        @everybody fixes #1
        ````

        Asked for by `anna@example.com` through titan's API.
        `titan plan main...titan/change/r1` shows what it does.

        Titan-Request-Id: `r1`
        ");
    }
}
