//! Whether an event may be about the config branch. Only what is clear counts; in doubt it may.

use serde::Deserialize;

/// What is read of an event, whoever sends it.
#[derive(Deserialize)]
struct Event {
    /// A push of GitHub, GitLab or Gitea.
    #[serde(rename = "ref")]
    pushed: Option<String>,
    /// A push of Bitbucket.
    push: Option<Push>,
}

#[derive(Deserialize)]
struct Push {
    changes: Vec<Change>,
}

#[derive(Deserialize)]
struct Change {
    old: Option<Pushed>,
    new: Option<Pushed>,
}

#[derive(Deserialize)]
struct Pushed {
    name: String,
}

/// `false`: the body tells of a push to other branches than `branch`, titan's own for example.
pub(super) fn may_concern(branch: &str, body: &[u8]) -> bool {
    let Ok(event) = serde_json::from_slice::<Event>(body) else { return true };
    if let Some(push) = event.push.filter(|push| !push.changes.is_empty()) {
        let sides = push.changes.into_iter().map(|change| [change.old, change.new]);
        let mut names = sides.flatten().flatten().map(|side| side.name);
        return names.any(|name| name == branch);
    }
    // A name without `refs/` belongs to another event, or to an unknown server.
    let pushed = event.pushed.filter(|name| name.starts_with("refs/"));
    pushed.is_none_or(|name| name.strip_prefix("refs/heads/") == Some(branch))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_pushes_elsewhere_are_let_go() {
        let bitbucket = |old: &str, new: &str| {
            format!(r#"{{"push":{{"changes":[{{"old":{old},"new":{new}}}]}},"actor":{{}}}}"#)
        };
        let (main, other) = (r#"{"name":"main","type":"branch"}"#, r#"{"name":"titan/status"}"#);
        for (body, expected) in [
            (r#"{"ref":"refs/heads/main","commits":[{"id":"x"}]}"#, true),
            (r#"{"ref":"refs/heads/titan/rendered"}"#, false),
            (r#"{"ref":"refs/heads/main2"}"#, false),
            (r#"{"ref":"refs/tags/main"}"#, false),
            (r#"{"ref":"topic","ref_type":"branch"}"#, true),
            (r#"{"ref":{"id":"refs/heads/x"}}"#, true),
            (r#"{"ref":"refs/heads/x","ref":"refs/heads/main"}"#, true),
            (r#"{"zen":"Keep it logically awesome."}"#, true),
            (&bitbucket(main, main), true),
            (&bitbucket("null", main), true),
            (&bitbucket(main, "null"), true),
            (&bitbucket(other, other), false),
            (r#"{"push":{"changes":[]}}"#, true),
            (r#"{"push":true}"#, true),
            ("payload=%7B%22ref%22", true),
            ("", true),
            (&"[".repeat(10_000), true),
            (&format!(r#"{{"x":{}"#, "[".repeat(10_000)), true),
        ] {
            assert_eq!(may_concern("main", body.as_bytes()), expected, "{body}");
        }
    }
}
