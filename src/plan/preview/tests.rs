use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::*;
use crate::model::fixture::FleetBuilder;
use crate::model::{Assignments, Manifests, Name, RepoPath};
use crate::schedule::schedule;

const FILE: &str = "image: \"r.example/app:{{ values.tag }}\"\nnode: {{ host.name }}\n";

/// Hosts with the label `region`, and the deployment `default/app/prod`.
fn fleet(hosts: &[(&str, &str)], file: &str, deployment: Value) -> FleetBuilder {
    let mut builder = FleetBuilder::new().template(
        "app",
        json!({"defaults": {"tag": "1.4"}}),
        &[("a.txt.tera", file)],
    );
    for (host, region) in hosts {
        let object = json!({"runtime": "directory"});
        builder = builder.host_with(host, &format!("region={region}"), object);
    }
    builder.deployment("default/app/prod", deployment)
}

const THREE: [(&str, &str); 3] = [("aix", "eu"), ("bonn", "eu"), ("cork", "us")];

fn preview(before: &FleetBuilder, after: &FleetBuilder) -> Preview {
    preview_with(before, after, &Assignments::default(), &|_| None)
}

fn preview_with(
    before: &FleetBuilder,
    after: &FleetBuilder,
    current: &Assignments,
    old: Old<'_>,
) -> Preview {
    let was = schedule(&before.fleet, current);
    let mut current = was.assignments.clone();
    for (deployment, host) in was.kept.iter() {
        current.insert(deployment, host);
    }
    let is = schedule(&after.fleet, &current);
    let before = Side { fleet: &before.fleet, schedule: &was };
    super::preview(before, Side { fleet: &after.fleet, schedule: &is }, old)
}

/// `kind hosts summary`, a line for each group.
fn groups(preview: &Preview) -> Vec<String> {
    let line = |group: &Group| {
        let summary = group.summary.as_deref().unwrap_or("-");
        let varies = if group.varies { " (varies)" } else { "" };
        format!("{:?} {} {} {summary}{varies}", group.kind, group.file, group.hosts)
    };
    preview.groups.iter().map(line).collect()
}

fn names(names: &[Name]) -> Vec<&str> {
    names.iter().map(Name::as_str).collect()
}

#[test]
fn nothing_changes_where_nothing_changes() {
    let one = fleet(&THREE, FILE, json!({}));
    let found = preview(&one, &fleet(&THREE, FILE, json!({})));
    assert!(found.is_empty());
    assert_eq!((found.counts.before, found.counts.after), (3, 3));
}

#[test]
fn equal_changes_are_one_group() {
    let before = fleet(&THREE, FILE, json!({}));
    let after = fleet(&THREE, FILE, json!({"values": {"tag": "1.5"}}));
    let found = preview(&before, &after);
    assert_eq!(groups(&found), ["Changed a.txt 3 image 1.4 → 1.5"]);
    assert_eq!(found.counts.changed, 3);
    let group = &found.groups[0];
    assert_eq!(group.example.to_string(), "default/app/prod@aix");
    assert_eq!(
        group.diff,
        "@@ -1,2 +1,2 @@\n-image: \"r.example/app:1.4\"\n+image: \"r.example/app:1.5\"\n node: aix\n"
    );
    assert_eq!(found.deployments[0].changed, 3);
}

#[test]
fn what_is_a_host_s_own_does_not_tell_changes_apart() {
    let before = fleet(&THREE, FILE, json!({}));
    let file = FILE.replace("node: {{ host.name }}", "node: {{ host.name }}.example");
    let after = fleet(&THREE, &file, json!({}));
    let found = preview(&before, &after);
    let expected = "Changed a.txt 3 node {host.name} → {host.name}.example (varies)";
    assert_eq!(groups(&found), [expected]);
}

#[test]
fn a_label_that_stands_in_a_change_by_chance_does_not_split_it() {
    let hosts = [("aix", "north"), ("bonn", "south"), ("cork", "south")];
    let before = fleet(&hosts, "way: here\n", json!({}));
    let after = fleet(&hosts, "way: north\n", json!({}));
    assert_eq!(groups(&preview(&before, &after)), ["Changed a.txt 3 way here → north"]);
}

#[test]
fn overrides_make_different_changes() {
    let before = fleet(&THREE, FILE, json!({}));
    let eu = json!({"selector": {"matchLabels": {"region": "eu"}}, "values": {"tag": "2.0"}});
    let values = json!({"values": {"tag": "1.5"}, "overrides": [eu]});
    let found = preview(&before, &fleet(&THREE, FILE, values));
    let expected = ["Changed a.txt 2 image 1.4 → 2.0", "Changed a.txt 1 image 1.4 → 1.5"];
    assert_eq!(groups(&found), expected);
}

#[test]
fn files_and_deployments_come_and_go() {
    let before = fleet(&THREE, FILE, json!({}));
    let after = fleet(&THREE, FILE, json!({})).template(
        "app",
        json!({"defaults": {"tag": "1.4"}}),
        &[("b.txt", "new\n")],
    );
    let found = preview(&before, &after);
    assert_eq!(groups(&found), ["Removed a.txt 3 - (varies)", "Added b.txt 3 -"]);
    let mut after = fleet(&THREE, FILE, json!({})).deployment("default/app/next", json!({}));
    after.fleet.deployments.remove(&"default/app/prod".parse().expect("a name"));
    let found = preview(&before, &after);
    let transitions: Vec<_> =
        found.deployments.iter().map(|one| (one.deployment.to_string(), one.transition)).collect();
    assert_eq!(
        transitions,
        [
            ("default/app/next".to_owned(), Some(Transition::Added)),
            ("default/app/prod".to_owned(), Some(Transition::Removed)),
        ]
    );
    assert_eq!((found.counts.removed, found.counts.added), (3, 3));
    assert_eq!(groups(&found), ["New a.txt 3 - (varies)"]);
}

#[test]
fn replicas_move_from_a_host_that_goes() {
    let before = fleet(&THREE, FILE, json!({"replicas": 2}));
    let chosen = schedule(&before.fleet, &Assignments::default()).assignments;
    let id = "default/app/prod".parse().expect("a name");
    let gone = chosen.of(&id).first().expect("two are chosen").clone();
    let free = THREE.iter().map(|(name, _)| Name::new(name).expect("a name"));
    let free = free.into_iter().find(|name| !chosen.of(&id).contains(name)).expect("one is free");
    let mut after = fleet(&THREE, FILE, json!({"replicas": 2}));
    after.fleet.hosts.remove(&gone);
    let found = preview(&before, &after);
    let one = &found.deployments[0];
    assert_eq!(one.moved, [Move { from: gone.clone(), to: free }]);
    assert!(one.lost.is_empty() && one.gained.is_empty());
    assert_eq!(found.hosts.removed, [RemovedHost { name: gone, assignments: 1 }]);
    assert_eq!((found.counts.removed, found.counts.added, found.counts.after), (1, 1, 2));
}

#[test]
fn a_target_that_loses_hosts() {
    let before = fleet(&THREE, FILE, json!({}));
    let eu = json!({"matchLabels": {"region": "eu"}});
    let found = preview(&before, &fleet(&THREE, FILE, json!({})).target("default/all", eu));
    assert_eq!(names(&found.deployments[0].lost), ["cork"]);
    let none = json!({"matchLabels": {"region": "mars"}});
    let found = preview(&before, &fleet(&THREE, FILE, json!({})).target("default/all", none));
    let lacking = found.deployments[0].lacking.as_ref().expect("it runs nowhere");
    assert_eq!(lacking.reason, "no host matches target `all`");
}

#[test]
fn what_cannot_be_rendered_is_held_once_for_all_hosts() {
    let before = fleet(&THREE, FILE, json!({}));
    let broken = fleet(&THREE, "{{ values.nothing }}\n", json!({}));
    let found = preview(&before, &broken);
    let [held] = &found.held[..] else { panic!("{:?}", found.held) };
    assert_eq!((held.what.as_str(), held.assignments), ("deployment default/app/prod", 3));
    assert!(!held.known && held.reason.contains("render/undefined"), "{}", held.reason);
    assert_eq!(found.diagnostics.len(), 1);
    assert_eq!((found.counts.held, found.counts.changed, found.groups.len()), (3, 0, 0));
    assert!(!found.is_empty());
    // Broken in the same way before: nothing new. What is there was made earlier.
    let still = fleet(&THREE, "{{ values.nothing }} \n", json!({}));
    let found = preview(&broken, &still);
    assert!(found.held[0].known && found.diagnostics.is_empty() && found.is_empty());
    let made = |_: &AssignmentRef| {
        let path = RepoPath::new("a.txt").expect("a path");
        Some(Manifests { files: BTreeMap::from([(path, (*b"image: 0\n").into())]) })
    };
    let repaired = fleet(&THREE, "image: 1\n", json!({}));
    let found = preview_with(&broken, &repaired, &Assignments::default(), &made);
    assert_eq!(groups(&found), ["Changed a.txt 3 image 0 → 1"]);
}

#[test]
fn what_parsing_holds_is_told_with_what_stays() {
    let before = fleet(&THREE, FILE, json!({}));
    let found = preview(&before, &fleet(&THREE, FILE, json!({})).hold("default/app/prod"));
    assert_eq!((found.held[0].assignments, found.counts.removed), (3, 0));
    assert_eq!(found.deployments[0].transition, Some(Transition::Held));
    let found = preview(&before, &fleet(&THREE, FILE, json!({})).hold("cork"));
    assert_eq!((found.held[0].what.as_str(), found.held[0].assignments), ("host cork", 1));
    assert!(found.hosts.is_empty(), "a broken host has not left");
    let held = fleet(&THREE, FILE, json!({})).hold("cork");
    let found = preview(&held, &fleet(&THREE, FILE, json!({"values": {"tag": "2"}})).hold("cork"));
    assert!(found.held[0].known);
}

#[test]
fn what_was_suspended_is_compared_with_what_is_there() {
    let current: Assignments = ["aix", "bonn"]
        .iter()
        .map(|host| format!("default/app/prod@{host}").parse().expect("a pair"))
        .collect();
    let before = fleet(&THREE, FILE, json!({"suspend": true}));
    let after = fleet(&THREE, "image: 2\n", json!({}));
    let made = |pair: &AssignmentRef| {
        let text: &[u8] = if pair.host.as_str() == "aix" { b"image: 2\n" } else { b"image: 1\n" };
        let path = RepoPath::new("a.txt").expect("a path");
        Some(Manifests { files: BTreeMap::from([(path, text.into())]) })
    };
    let found = preview_with(&before, &after, &current, &made);
    assert_eq!(groups(&found), ["Changed a.txt 1 image 1 → 2", "New a.txt 1 -"]);
    assert_eq!(names(&found.deployments[0].gained), ["cork"]);
    assert_eq!(found.deployments[0].transition, Some(Transition::Resumed));
}

#[test]
fn a_template_that_gives_nothing_any_more_removes() {
    let before = fleet(&THREE, FILE, json!({}));
    let after = fleet(&THREE, FILE, json!({})).template("app", json!({}), &[]);
    let found = preview(&before, &after);
    assert_eq!((found.counts.removed, found.counts.changed, found.emptied.len()), (3, 0, 3));
    assert_eq!(groups(&found), ["Removed a.txt 3 - (varies)"]);
}

/// What a template cannot see is not rendered for, and shows as what it is.
#[test]
fn hosts_that_move_or_are_cordoned() {
    let before = fleet(&THREE, FILE, json!({}));
    let mut after = fleet(&THREE, FILE, json!({}));
    let aix = after.fleet.hosts.get_mut("aix").expect("it is there");
    let aix = std::sync::Arc::make_mut(aix);
    aix.path = RepoPath::new("hosts/eu/aix.yaml").expect("a path");
    aix.spec.cordoned = true;
    let found = preview(&before, &after);
    assert_eq!(names(&found.hosts.cordoned), ["aix"]);
    assert_eq!(found.hosts.moved[0].to.as_str(), "hosts/eu/aix");
    assert!(found.groups.is_empty() && found.deployments.is_empty());
}

mod guards {
    use super::*;
    use crate::model::Removals;

    fn rule(before: &FleetBuilder, after: &mut FleetBuilder, trailer: &str) -> RemovalGuard {
        after.fleet.settings.guards.max_removals = Some(Removals::Count(1));
        let was = schedule(&before.fleet, &Assignments::default());
        let is = schedule(&after.fleet, &was.assignments);
        let before = Side { fleet: &before.fleet, schedule: &was };
        let after = Side { fleet: &after.fleet, schedule: &is };
        let preview = super::super::preview(before, after, &|_| None);
        let trailers = [("Titan-Allow-Removals".to_owned(), trailer.to_owned())];
        removals(before, after, &preview, None, &trailers)
    }

    #[test]
    fn the_guard_itself_is_asked() {
        let before = fleet(&THREE, FILE, json!({}));
        let target = |region: &str| {
            let selector = json!({"matchLabels": {"region": region}});
            fleet(&THREE, FILE, json!({})).target("default/all", selector)
        };
        let same = rule(&before, &mut fleet(&THREE, FILE, json!({})), "");
        assert_eq!((same.ruling, same.removals, same.of), (Ruling::Nothing, 0, 3));
        let one = rule(&before, &mut target("eu"), "");
        assert_eq!((one.ruling, one.removals, one.budget), (Ruling::Within, 1, 1));
        let two = rule(&before, &mut target("us"), "1");
        assert_eq!((two.ruling, two.removals), (Ruling::Held, 2));
        assert_eq!(two.trailer.as_deref(), Some("Titan-Allow-Removals: 2"));
        let reason = two.reason.expect("it is held");
        assert!(reason.contains("2 of 3 assignments would be removed, 1 may be"), "{reason}");
        assert_eq!(rule(&before, &mut target("us"), "2").ruling, Ruling::Allowed);
    }

    #[test]
    fn moved_hosts_and_empty_manifests_are_removals() {
        let before = fleet(&THREE, FILE, json!({}));
        let mut after = fleet(&THREE, FILE, json!({}));
        for name in ["aix", "bonn"] {
            let host = after.fleet.hosts.get_mut(name).expect("it is there");
            let path = format!("hosts/eu/{name}.yaml");
            std::sync::Arc::make_mut(host).path = RepoPath::new(&path).expect("a path");
        }
        assert_eq!(rule(&before, &mut after, "").ruling, Ruling::Held);
        let mut after = fleet(&THREE, FILE, json!({})).template("app", json!({}), &[]);
        assert_eq!(rule(&before, &mut after, "").removals, 3);
    }
}
