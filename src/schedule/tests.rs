//! Placement as tables: a fleet, what runs now, what shall run.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::schedule;
use crate::model::fixture::FleetBuilder;
use crate::model::{Assignments, DeploymentRef, Fleet, Name, Schedule};

const D: &str = "default/app/d";

fn id(text: &str) -> DeploymentRef {
    text.parse().expect("a deployment")
}

/// `default/app/d` on these hosts.
fn current(hosts: &[&str]) -> Assignments {
    hosts.iter().map(|host| format!("{D}@{host}").parse().expect("an assignment")).collect()
}

fn names(hosts: &BTreeSet<Name>) -> Vec<&str> {
    hosts.iter().map(Name::as_str).collect()
}

fn placed<'a>(schedule: &'a Schedule, deployment: &str) -> Vec<&'a str> {
    names(schedule.assignments.of(&id(deployment)))
}

fn reason(schedule: &Schedule) -> Option<&str> {
    schedule.unplaced.get(&id(D)).map(|unplaced| unplaced.reason.as_str())
}

/// Hosts `h00`…, in regions eu, us and asia in turn.
fn hosts(count: usize) -> FleetBuilder {
    (0..count).fold(FleetBuilder::new(), |fleet, i| {
        let region = ["eu", "us", "asia"][i % 3];
        fleet.host(&format!("h{i:02}"), &format!("region={region},name=h{i:02}"))
    })
}

/// The same schedule whatever ran before: applying it once more changes nothing.
fn settled(fleet: &Fleet, current: &Assignments) -> Schedule {
    let first = schedule(fleet, current);
    let mut all = first.assignments.clone();
    for (deployment, host) in first.kept.iter() {
        all.insert(deployment, host);
    }
    assert_eq!(
        schedule(fleet, &all).assignments,
        first.assignments,
        "a second pass moves something"
    );
    first
}

#[test]
fn without_replicas_every_match_runs_it() {
    let check = |spec: Value, now: &[&str], expected: &[&str], why: Option<&str>| {
        let fleet = FleetBuilder::new()
            .host("a", "region=eu")
            .host("b", "region=eu")
            .host_with("c", "region=us", json!({"cordoned": true}))
            .target("default/eu", json!({"matchLabels": {"region": "eu"}}))
            .target("default/us", json!({"matchLabels": {"region": "us"}}))
            .target("default/moon", json!({"matchLabels": {"region": "moon"}}))
            .deployment(D, spec.clone());
        let schedule = settled(&fleet.fleet, &current(now));
        assert_eq!(placed(&schedule, D), expected, "{spec}");
        assert_eq!(reason(&schedule), why, "{spec}");
        assert!(schedule.recorded.hosts.is_empty(), "nothing is limited, so nothing is recorded");
    };
    check(json!({}), &[], &["a", "b"], None);
    check(json!({}), &["c"], &["a", "b", "c"], None);
    check(json!({"target": "eu"}), &["c", "gone"], &["a", "b"], None);
    check(json!({"target": "us"}), &["c"], &["c"], None);
    check(json!({"target": "us"}), &[], &[], Some("1 host matches, but it is cordoned"));
    check(json!({"target": "moon"}), &["a"], &[], Some("no host matches target `moon`"));
}

#[test]
fn too_few_hosts_are_explained() {
    let check = |replicas: u32, workspace: Value, now: &[&str], count: u32, why: Option<&str>| {
        let fleet = FleetBuilder::new()
            .host("a", "region=eu")
            .host("b", "region=eu")
            .host_with("c", "region=us", json!({"cordoned": true}))
            .workspace("default", workspace)
            .deployment(D, json!({"replicas": replicas}))
            .deployment("default/app/other", json!({"replicas": 1}));
        let schedule = settled(&fleet.fleet, &current(now));
        let unplaced = schedule.unplaced.get(&id(D));
        assert_eq!(reason(&schedule), why);
        assert_eq!(unplaced.map_or(count, |unplaced| unplaced.placed), count);
        assert_eq!(unplaced.map_or(Some(replicas), |unplaced| unplaced.wanted), Some(replicas));
        let hosts = schedule.assignments.of(&id(D)).len();
        assert_eq!(u32::try_from(hosts), Ok(count));
    };
    let any = json!({});
    check(0, any.clone(), &["a"], 0, None);
    check(2, any.clone(), &[], 2, None);
    check(3, any.clone(), &["c"], 3, None);
    check(5, any.clone(), &[], 2, Some("wants 5; 3 hosts match, 1 of them is cordoned"));
    check(5, any, &["c"], 3, Some("wants 5; 3 hosts match"));
    let eu = json!({"hosts": {"matchLabels": {"region": "eu"}}});
    let why = "wants 5; 2 hosts match; 1 more may not be used by workspace `default`";
    check(5, eu, &["c"], 2, Some(why));
    let moon = json!({"hosts": {"matchLabels": {"region": "moon"}}});
    let why = "wants 1; target `all` selects 3 hosts, none of which workspace `default` may use";
    check(1, moon, &["a", "b"], 0, Some(why));
}

#[test]
fn one_deployments_lack_touches_no_other() {
    let fleet = |greedy: u32| {
        hosts(4)
            .deployment("default/app/greedy", json!({"replicas": greedy}))
            .deployment("default/app/modest", json!({"replicas": 2}))
            .deployment("default/app/everywhere", json!({}))
            .fleet
    };
    let none = Assignments::default();
    let (before, after) = (schedule(&fleet(1), &none), schedule(&fleet(50), &none));
    for other in ["default/app/modest", "default/app/everywhere"] {
        assert_eq!(placed(&before, other), placed(&after, other));
    }
    assert_eq!(after.unplaced.keys().collect::<Vec<_>>(), [&id("default/app/greedy")]);
}

#[test]
fn counting_up_and_down_keeps_who_stays() {
    for spread in [json!({}), json!({"spread": "region"}), json!({"spread": "nobody-has-it"})] {
        let fleet = |replicas: usize| {
            let mut spec = spread.clone();
            spec["replicas"] = replicas.into();
            hosts(11).deployment(D, spec).fleet
        };
        let mut now = Assignments::default();
        let mut chosen = BTreeMap::new();
        for replicas in (0..=11).chain((0..=11).rev()).chain([7, 2, 9, 3]) {
            let before = now.of(&id(D)).clone();
            now = settled(&fleet(replicas), &now).assignments;
            let after = now.of(&id(D)).clone();
            assert_eq!(after.len(), replicas);
            assert!(before.is_subset(&after) || after.is_subset(&before), "{before:?} → {after:?}");
            let first = chosen.entry(replicas).or_insert_with(|| after.clone());
            assert_eq!(*first, after, "the same count means the same hosts, up or down");
        }
    }
}

#[test]
fn spread_balances_and_a_missing_label_is_a_value() {
    let fleet = hosts(9).host("x0", "").host("x1", "");
    let regions = |schedule: &Schedule| {
        let mut counts = BTreeMap::new();
        for host in schedule.assignments.of(&id(D)) {
            let region = fleet.fleet.hosts[host].labels.get("region").map_or("", String::as_str);
            *counts.entry(region.to_owned()).or_insert(0) += 1;
        }
        counts.into_values().collect::<Vec<i32>>()
    };
    let check = |replicas: u32, now: &[&str], expected: &[i32]| {
        let spec = json!({"replicas": replicas, "spread": "region"});
        let fleet = FleetBuilder { fleet: fleet.fleet.clone() }.deployment(D, spec).fleet;
        let mut counts = regions(&settled(&fleet, &current(now)));
        counts.sort_unstable();
        assert_eq!(counts, expected, "{replicas} of {now:?}");
    };
    check(4, &[], &[1, 1, 1, 1]);
    check(6, &[], &[1, 1, 2, 2]);
    check(10, &[], &[2, 2, 3, 3]);
    // Three in one region already run it: they stay, and the new ones go elsewhere.
    check(6, &["h00", "h03", "h06"], &[1, 1, 1, 3]);
    // Down again: the crowded region gives up first.
    check(4, &["h00", "h03", "h06", "h01", "h02", "x0"], &[1, 1, 1, 1]);
}

#[test]
fn relabelled_deleted_added_and_cordoned_hosts() {
    let spec = json!({"replicas": 3, "target": "eu"});
    let build = |fleet: FleetBuilder| {
        fleet
            .target("default/eu", json!({"matchLabels": {"region": "eu"}}))
            .deployment(D, spec.clone())
            .fleet
    };
    let five = |odd: &str, labels: &str, object: Value| {
        let names = ["a", "b", "c", "d", "e"];
        names.iter().fold(FleetBuilder::new(), |fleet, name| {
            if *name == odd {
                return fleet.host_with(name, labels, object.clone());
            }
            fleet.host(name, "region=eu")
        })
    };
    let start = settled(&build(five("", "", json!({}))), &Assignments::default());
    let chosen = placed(&start, D);
    let (first, rest) = (chosen[0], &chosen[1..]);

    let relabelled = settled(&build(five(first, "region=us", json!({}))), &start.assignments);
    let mut deleted = build(five("", "", json!({})));
    deleted.hosts.remove(first);
    let deleted = settled(&deleted, &start.assignments);
    for moved in [&relabelled, &deleted] {
        let now = placed(moved, D);
        assert_eq!(now.len(), 3);
        assert!(!now.contains(&first) && rest.iter().all(|host| now.contains(host)), "{now:?}");
    }

    let added = build(five("", "", json!({})).host("f", "region=eu").host("g", "region=eu"));
    assert_eq!(placed(&settled(&added, &start.assignments), D), chosen, "new hosts move nothing");
    let cordoned = build(five(first, "region=eu", json!({"cordoned": true})));
    assert_eq!(placed(&settled(&cordoned, &start.assignments), D), chosen, "what is there stays");
    let fresh = settled(&cordoned, &Assignments::default());
    assert!(!placed(&fresh, D).contains(&first), "nothing new on a cordoned host");
}

#[test]
fn held_and_suspended_things_stay_as_they_are() {
    let check = |fleet: &Fleet, now: &[&str], rendered: &[&str], kept: &[&str]| {
        let schedule = settled(fleet, &current(now));
        assert_eq!(placed(&schedule, D), rendered);
        assert_eq!(names(schedule.kept.of(&id(D))), kept);
        let limited = fleet.deployments.get(&id(D)).is_some_and(|d| d.spec.replicas.is_some());
        let all: Vec<_> =
            rendered.iter().chain(kept).copied().collect::<BTreeSet<_>>().into_iter().collect();
        let recorded = schedule.recorded.hosts.get(&id(D)).map(names);
        assert_eq!(recorded, limited.then_some(all));
    };
    let fleet = |spec: Value| hosts(3).deployment(D, spec);
    // Suspended: what exists stays, nothing comes, even where it does not match.
    let suspended = json!({"suspend": true, "replicas": 3});
    check(&fleet(suspended.clone()).fleet, &["h00", "gone"], &[], &["h00"]);
    check(&fleet(suspended).hold("h00").fleet, &["h00"], &[], &["h00"]);
    // A held deployment is in no map, and stays on every host that exists.
    check(
        &fleet(json!({})).hold(D).hold("h01").fleet,
        &["h00", "h01", "gone"],
        &[],
        &["h00", "h01"],
    );
    // A held host keeps what it has, which counts; it gets nothing new.
    let two = json!({"replicas": 2});
    let held = fleet(two.clone()).hold("h00").fleet;
    check(&held, &["h00", "h01"], &["h01"], &["h00"]);
    check(&held, &["h01"], &["h01", "h02"], &[]);
    check(&fleet(json!({"replicas": 1})).hold("h00").fleet, &["h00", "h01"], &[], &["h00"]);
    check(&fleet(json!({"replicas": 0})).hold("h00").fleet, &["h00", "h01"], &[], &["h00"]);
    check(&fleet(json!({})).hold("h00").fleet, &["h00"], &["h01", "h02"], &["h00"]);
    // A deleted deployment keeps its place on a held host, whose folder is not touched.
    check(&hosts(3).hold("h00").fleet, &["h00", "h01"], &[], &["h00"]);
    check(&hosts(3).fleet, &["h00", "h01"], &[], &[]);
    // Everything held: everything stays.
    let mut all = fleet(two).fleet;
    all.held.all = Some(crate::model::Hold { code: "object/size".into(), reason: "broken".into() });
    check(&all, &["h02", "gone"], &[], &["gone", "h02"]);
}

#[test]
fn a_held_hosts_share_is_told() {
    let fleet = hosts(2).deployment(D, json!({"replicas": 4})).hold("h00").fleet;
    let schedule = schedule(&fleet, &current(&["h00"]));
    assert_eq!(reason(&schedule), Some("wants 4; 1 host matches; 1 place is on a held host"));
    assert_eq!(schedule.unplaced[&id(D)].placed, 2);
}

/// A small deterministic generator (xorshift), so that a failure can be repeated by its seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % sides as u64).expect("it is smaller than `sides`")
    }
}

/// What the property test plays with: hosts by number, with region and cordon, and a count.
#[derive(Clone)]
struct World {
    hosts: BTreeMap<usize, (usize, bool)>,
    replicas: usize,
}

impl World {
    fn fleet(&self, reversed: bool) -> Fleet {
        let mut hosts: Vec<_> = self.hosts.iter().collect();
        if reversed {
            hosts.reverse();
        }
        let add = |fleet: FleetBuilder, (host, (region, cordoned)): &(&usize, &(usize, bool))| {
            let region = ["region=eu", "region=us", "region=asia", ""][*region];
            fleet.host_with(&format!("h{host}"), region, json!({"cordoned": cordoned}))
        };
        hosts
            .iter()
            .fold(FleetBuilder::new(), add)
            .target("default/known", json!({"matchExpressions": [{"key": "region", "operator": "NotIn", "values": ["asia"]}]}))
            .deployment(D, json!({"replicas": self.replicas, "spread": "region", "target": "known"}))
            .fleet
    }

    fn matches(&self, host: usize) -> bool {
        self.hosts.get(&host).is_some_and(|(region, _)| *region != 2)
    }

    /// One change of one thing.
    fn change(&mut self, dice: &mut Dice) {
        let host = dice.roll(12);
        match dice.roll(5) {
            0 => drop(self.hosts.remove(&host)),
            1 => drop(self.hosts.entry(host).or_insert((dice.roll(4), false))),
            2 => self.hosts.entry(host).or_insert((0, false)).0 = dice.roll(4),
            3 => self.hosts.entry(host).or_insert((0, false)).1 ^= true,
            _ => self.replicas = dice.roll(9),
        }
    }
}

#[test]
fn any_single_change_moves_only_what_it_must() {
    for seed in 1..=40 {
        let mut dice = Dice(0x9E37_79B9_7F4A_7C15_u64.wrapping_mul(seed));
        let mut world = World { hosts: BTreeMap::new(), replicas: 3 };
        let mut now = Assignments::default();
        for step in 0..60 {
            world.change(&mut dice);
            let next = settled(&world.fleet(false), &now);
            assert_eq!(
                next,
                schedule(&world.fleet(true), &now),
                "order of input, seed {seed} step {step}"
            );
            let of = |all: &Assignments| -> BTreeSet<usize> {
                let number = |name: &Name| name.as_str()[1..].parse().expect("a number");
                all.of(&id(D)).iter().map(number).collect()
            };
            let (before, after) = (of(&now), of(&next.assignments));
            let may_stay: BTreeSet<_> =
                before.iter().copied().filter(|h| world.matches(*h)).collect();
            let open = |h: &usize| world.matches(*h) && (before.contains(h) || !world.hosts[h].1);
            let available = world.hosts.keys().filter(|h| open(h)).count();
            let context = format!("seed {seed} step {step}: {before:?} → {after:?}");
            assert!(after.iter().all(open), "{context}");
            assert_eq!(after.len(), world.replicas.min(available), "{context}");
            assert_eq!(next.unplaced.is_empty(), after.len() == world.replicas, "{context}");
            // Either nobody who may stay leaves, or nobody comes.
            assert!(may_stay.is_subset(&after) || after.is_subset(&may_stay), "{context}");
            now = next.assignments;
        }
    }
}

#[test]
fn a_new_host_takes_only_its_own_share() {
    // Rendezvous hashing: placed from scratch, a further host changes few of many deployments.
    let place = |count: usize| {
        let fleet = (0..200).fold(hosts(count), |fleet, i| {
            fleet.deployment(&format!("default/app/d{i}"), json!({"replicas": 2}))
        });
        schedule(&fleet.fleet, &Assignments::default()).assignments
    };
    let (before, after) = (place(9), place(10));
    let newcomer = Name::new("h09").expect("a name");
    let moved = before.hosts.iter().filter(|(id, hosts)| after.of(id) != *hosts).count();
    let taken = after.hosts.values().filter(|hosts| hosts.contains(&newcomer)).count();
    assert_eq!(moved, taken, "a deployment moves only to the new host");
    assert!((15..75).contains(&moved), "about a fifth of 200: {moved}");
}
