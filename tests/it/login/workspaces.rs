//! Whose workspaces these are: a server that knows who is logged in.

use super::{Browser, Person, Provider, Will};
use crate::scenario::support::{ConfigRepo, eventually, free_address};

/// Members by workspace.
const WORKSPACES: [(&str, &str); 4] = [
    ("default", "{group: dev, role: viewer}"),
    ("iot", "{user: ann, role: owner}, {group: dev, role: viewer}"),
    ("secret", "{user: eve, role: editor}"),
    ("web", "{group: nobody, role: owner}"),
];

fn fleet(issuer: &str) -> ConfigRepo {
    let head = "apiVersion: titan.dev/v1\nkind: ";
    let identity = format!("{{name: sso, issuer: \"{issuer}\", audience: titan, clientId: titan}}");
    let mut repository = ConfigRepo::new()
        .host("a", "")
        .file("titan.yaml", &format!("{head}Fleet\nspec:\n  identity:\n    - {identity}\n"));
    for (name, members) in WORKSPACES {
        let text = format!("{head}Workspace\nspec: {{members: [{members}]}}\n");
        repository.edit(&format!("workspaces/{name}/workspace.yaml"), text);
    }
    repository.commit("the fleet");
    repository
}

#[test]
fn everybody_sees_their_own_workspaces() {
    let Some(provider) = Provider::start("{}") else { return };
    let (repository, address) = (fleet(&provider.issuer), free_address());
    let _controller = repository.controller(&address);
    eventually("the first pass", || repository.head("titan/rendered").is_some());
    eventually("the listener", || std::net::TcpStream::connect(&address).is_ok());
    let server = format!("http://{address}");
    let ann = Person::new();
    let log_in = |who| {
        let mut login = ann.login(&["--browser", "--server", &server]);
        Browser::new().walk(&login.url(), Will::LogIn(who));
        login.end().code(0);
    };
    log_in("ann");
    let mine = ann.titan(&["get", "workspaces"]).code(0).says(&format!("as `{server}` has it"));
    insta::assert_snapshot!(mine.out, @r"
    NAME      ROLE
    default   viewer
    iot       owner
    ");
    let named = ann.titan(&["get", "ws", "-o", "name", "--server", &server]).code(0);
    assert_eq!((named.out.as_str(), named.err.as_str()), ("default\niot\n", ""));
    ann.titan(&["get", "workspace", "secret"]).code(1).says("that you have access to");
    // Whoever names the repository reads it.
    let path = repository.path.display().to_string();
    let all = ann.titan(&["get", "ws", "-o", "name", "--fleet", &path]).code(0);
    assert_eq!(all.out, "default\niot\nsecret\nweb\n");

    log_in("eve");
    let hers = ann.titan(&["get", "workspaces", "-q"]).code(0);
    insta::assert_snapshot!(hers.out, @r"
    NAME      ROLE
    default   viewer
    iot       viewer
    secret    editor
    ");
    ann.titan(&["logout"]).code(0);
    ann.titan(&["get", "workspaces"]).code(1).says("no config repository");
}
