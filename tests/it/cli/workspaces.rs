//! `titan get workspaces` of a server that lets everybody in; tests/it/login/ has one that does not.

use super::Done;
use crate::scenario::support::{ConfigRepo, Process, eventually, free_address};

const IOT: &str = "apiVersion: titan.dev/v1\nkind: Workspace\nmetadata: {labels: {tier: edge}}\n\
    spec: {hosts: {matchLabels: {region: eu}}, members: [{user: ann, role: owner}]}\n";

struct World {
    repository: ConfigRepo,
    address: String,
    url: String,
    _controller: Process,
}

impl World {
    fn start(options: &[&str]) -> Self {
        let mut repository =
            ConfigRepo::new().quick().file("workspaces/iot/workspace.yaml", IOT).host("a", "");
        repository.commit("the fleet");
        let address = free_address();
        let listen = ["controller", "--listen", &address];
        let controller = repository.spawn("controller", &[&listen, options].concat());
        let url = format!("http://{address}");
        let world = Self { repository, address, url, _controller: controller };
        eventually("the first pass", || world.repository.head("titan/rendered").is_some());
        eventually("the listener", || std::net::TcpStream::connect(&world.address).is_ok());
        world
    }

    fn get(&self, arguments: &[&str]) -> Done {
        let server = ["get", "--server", &self.url];
        Done::of(self.repository.titan(&[&server, arguments].concat()))
    }
}

#[test]
fn a_server_lists_the_workspaces_that_are_mine() {
    let world = World::start(&["--insecure-development"]);
    insta::assert_snapshot!(world.get(&["workspaces"]).fine().out, @r"
    NAME      ROLE
    default   admin
    iot       admin
    ");
    insta::assert_snapshot!(world.get(&["ws", "-o", "wide", "-l", "tier=edge"]).fine().out, @r"
    NAME   ROLE    MEMBERS   ALLOWED-HOSTS
    iot    admin   1         region=eu
    ");
    assert_eq!(world.get(&["ws", "-o", "name"]).fine().out, "default\niot\n");
    let list = world.get(&["ws", "-o", "json"]).fine().json();
    assert_eq!(list["kind"], "List");
    assert_eq!(list["items"][1]["metadata"]["name"], "iot");
    assert_eq!(list["items"][1]["role"], "admin");
    let one = world.get(&["ws", "iot", "-o", "json"]).fine().json();
    assert_eq!(
        (&one["kind"], &one["spec"]["members"][0]["user"]),
        (&"Workspace".into(), &"ann".into())
    );
    world.get(&["ws", "nobody"]).code(1).says("there is no workspace `nobody`");
    world.get(&["hosts"]).code(2).says("workspaces only");
}

#[test]
fn a_server_that_refuses_or_is_away_is_told() {
    let world = World::start(&[]);
    world.get(&["ws"]).code(1).says("nobody is logged in").says("titan login --server");
    let ask = |server: &str| {
        let arguments = ["get", "workspaces", "--server", server];
        Done::of(world.repository.titan(&arguments))
    };
    ask("http://127.0.0.1:9").code(3).says("ask the server");
    ask("http://titan.example").code(1).says("https");
    // Without a server it is the repository, all of it.
    let all = Done::of(world.repository.titan(&["get", "workspaces", "-o", "name"])).fine();
    assert_eq!(all.out, "default\niot\n");
}
