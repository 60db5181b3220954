//! Members, admins and issuers of identity.

use super::*;

const WORKSPACE: &str = "workspaces/iot/workspace.yaml";

/// Checks the members of a workspace; `place` is a column of its one line of members.
#[track_caller]
fn members(list: &str, expected: &[(&str, u32)]) {
    let text = format!("apiVersion: titan.dev/v1\nkind: Workspace\nspec:\n  members: {list}\n");
    check(WORKSPACE, &text, "4", expected);
}

/// Checks the settings.
#[track_caller]
fn settings(field: &str, list: &str, expected: &[(&str, u32)]) {
    let text = format!("apiVersion: titan.dev/v1\nkind: Fleet\nspec:\n  {field}: {list}\n");
    check("titan.yaml", &text, "4", expected);
}

#[track_caller]
fn check(path: &str, text: &str, line: &str, expected: &[(&str, u32)]) {
    let places: Vec<String> =
        expected.iter().map(|(_, column)| format!("{path}:{line}:{column}")).collect();
    let expected: Vec<(&str, &str)> =
        expected.iter().zip(&places).map(|((code, _), place)| (*code, place.as_str())).collect();
    let parsed = Scene::good().file(path, text).problems(&expected);
    let held = !parsed.fleet.deployments.contains_key(&good());
    let everything = parsed.fleet.held.all.is_some();
    assert_eq!(held || everything, !expected.is_empty(), "{text}");
}

#[test]
fn an_entry_says_who_is_meant() {
    members(
        "[{user: ada, role: owner}, {group: ops, role: viewer}, {ci: release, role: deployer}]",
        &[],
    );
    members("[{user: ada, role: owner}, {user: ada, issuer: partners, role: viewer}]", &[]);
    members("[{role: owner}]", &[("access/who", 13)]);
    members("[{user: ada, group: ops, role: owner}]", &[("access/who", 13)]);
    members("[{user: '', role: owner}]", &[("access/who", 20)]);
    members("[{group: ' ops', role: owner}]", &[("access/who", 21)]);
    members("[{group: \"a\\nb\", role: owner}]", &[("access/who", 21)]);
    members("[{ci: release, issuer: forge, role: owner}]", &[("access/who", 27)]);
    members("[{user: ada, role: root}]", &[("field/value", 31)]);
    members("[{user: ada}]", &[("field/required", 13)]);
    members("[{user: 7, role: owner}]", &[("field/type", 20)]);
    members("[{user: ada, rle: owner, role: owner}]", &[("field/unknown", 25)]);
    members("[{user: ada, role: owner}, {user: ada, role: viewer}]", &[("access/duplicate", 39)]);
    settings("admins", "[{user: ada}, {group: platform}]", &[]);
    settings("admins", "[{}]", &[("access/who", 12)]);
    settings("admins", "[{user: ada}, {user: ada}]", &[("access/duplicate", 25)]);
    settings("admins", "[{user: ada, role: owner}]", &[("field/unknown", 24)]);
}

#[test]
fn issuers_can_be_trusted() {
    let issuer = |name: &str, rest: &str| {
        format!("{{name: {name}, issuer: https://{name}.example, audience: titan{rest}}}")
    };
    let one = |rest: &str, expected: &[(&str, u32)]| {
        settings("identity", &format!("[{}]", issuer("a", rest)), expected);
    };
    one("", &[]);
    one(", subjectClaim: oid, groupsClaim: roles, algorithms: [PS256, EdDSA]", &[]);
    one(", jwksUri: https://keys.example/x", &[]);
    let column = 68;
    one(", algorithms: [HS256]", &[("field/value", column + 13)]);
    one(", algorithms: [none]", &[("field/value", column + 13)]);
    one(", algorithms: []", &[("access/issuer", column + 12)]);
    one(", jwksUri: http://keys.example/x", &[("access/url", column + 9)]);
    one(", subjectClaim: preferred_username", &[("access/issuer", column + 14)]);
    one(", groupsClaim: ''", &[("access/issuer", column + 13)]);
    one(", kind: ci", &[("access/issuer", 14)]);
    one(", kind: robots", &[("field/value", column + 6)]);
    one(", jobs: [{name: x, match: {sub: y}}]", &[("access/issuer", 14)]);
    for url in [
        "http://login.example",
        "https://u:p@login.example",
        "ftp://login.example",
        "https://login.example?a=b",
    ] {
        let list = format!("[{{name: a, audience: titan, issuer: '{url}'}}]");
        settings("identity", &list, &[("access/url", 49)]);
    }
    settings("identity", "[{name: a, audience: titan, issuer: http://127.0.0.1:3000}]", &[]);
    let two = format!("[{}, {}]", issuer("a", ""), issuer("a", ""));
    settings("identity", &two, &[("access/duplicate", 76), ("access/duplicate", 87)]);
}

#[test]
fn jobs_have_an_owner() {
    let job = |claims: &str| {
        format!(
            "[{{kind: ci, name: a, issuer: https://a.example, audience: titan, jobs: [{{name: x, match: {claims}}}]}}]"
        )
    };
    let column = 102;
    settings("identity", &job("{repository: iot/sensor, ref: refs/heads/main}"), &[]);
    settings("identity", &job("{project_path: iot/sensor}"), &[]);
    settings("identity", &job("{}"), &[("access/job", column)]);
    settings("identity", &job("{ref: refs/heads/main}"), &[("access/job", column)]);
    settings("identity", &job("{repository_visibility: public}"), &[("access/job", column)]);
    settings("identity", &job("{repository: ''}"), &[("access/job", column + 13)]);
    settings("identity", &job("{repository_id: 74}"), &[("field/type", column + 16)]);
}
