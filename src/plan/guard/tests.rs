use std::sync::Arc;

use super::*;
use crate::model::fixture::FleetBuilder;
use crate::model::{Assignments, TreeId};

/// Deployment `default/app/prod` on `hosts`, with what was there before.
struct Scene {
    fleet: Fleet,
    schedule: Schedule,
    empty: Pairs,
    trees: Trees,
    folders: BTreeMap<Name, RepoPath>,
    held: Option<usize>,
}

fn pair(host: &str) -> AssignmentRef {
    format!("default/app/prod@{host}").parse().expect("a pair")
}

impl Scene {
    /// `before` hosts are rendered; the first `wanted` of them still run the deployment.
    fn new(before: usize, wanted: usize, most: &str) -> Self {
        let mut builder = FleetBuilder::new();
        let name = |n: usize| format!("h{n:02}");
        for n in 0..before {
            builder = builder.host(&name(n), "");
        }
        let mut fleet = builder.fleet;
        fleet.settings.guards.max_removals = match most.parse() {
            Ok(count) => Removals::Count(count),
            Err(_) => Removals::Percent(most.into()),
        };
        let assignments = (0..wanted).map(|n| pair(&name(n))).collect::<Assignments>();
        let folder = |n| RepoPath::new(&format!("hosts/{}", name(n))).expect("a path");
        Self {
            trees: (0..before).map(|n| (pair(&name(n)), TreeId::from_bytes([1; 20]))).collect(),
            folders: (0..before)
                .map(|n| (Name::new(&name(n)).expect("a name"), folder(n)))
                .collect(),
            fleet,
            schedule: Schedule { assignments, ..Schedule::default() },
            empty: Pairs::default(),
            held: None,
        }
    }

    fn guard(&self, trailers: &[&str]) -> Option<HeldRemovals> {
        let trailers: Vec<_> =
            trailers.iter().map(|value| (ALLOW_TRAILER.to_owned(), (*value).to_owned())).collect();
        let before = Before { trees: &self.trees, folders: &self.folders, held: self.held };
        let after = After { fleet: &self.fleet, schedule: &self.schedule, empty: &self.empty };
        let all = self.trees.iter().map(|(deployment, host, _)| (deployment, host));
        guard(&before, &after, &pending(&before, &after, all), &trailers)
    }
}

#[test]
fn budgets() {
    let percent = |text: &str| Removals::Percent(text.into());
    for (most, all, expected) in [
        (Removals::Count(0), 40, 0),
        (Removals::Count(3), 40, 3),
        (percent("20%"), 40, 8),
        (percent("20%"), 41, 9),
        (percent("20%"), 1, 1),
        (percent("1%"), 3, 1),
        (percent("0%"), 40, 0),
        (percent("100%"), 40, 40),
        (percent("x"), 40, 0),
    ] {
        assert_eq!(budget(&most, all), expected, "{most:?} of {all}");
    }
}

#[test]
fn allowances() {
    let of = |values: &[(&str, &str)]| {
        let own = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        Allowance::of(&values.iter().map(own).collect::<Vec<_>>())
    };
    let key = ALLOW_TRAILER;
    assert_eq!(of(&[("Reviewed-by", "all")]), Allowance::Nothing);
    assert_eq!(of(&[(key, "12")]), Allowance::UpTo(12));
    assert_eq!(of(&[("titan-allow-removals", " ALL ")]), Allowance::All);
    assert_eq!(of(&[(key, "3"), (key, "12"), (key, "x")]), Allowance::UpTo(12));
    assert_eq!(of(&[(key, "all"), (key, "1")]), Allowance::All);
    for bad in ["", "-1", "many", "1.5", "99999999999999999999999"] {
        assert_eq!(of(&[(key, bad)]), Allowance::Nothing, "{bad}");
    }
}

#[test]
fn removals_within_the_budget_go() {
    // before, wanted, budget, held before, trailers → held
    for (before, wanted, most, held, trailers, expected) in [
        (40, 32, "20%", None, &[][..], None),
        (40, 31, "20%", None, &[], Some((9, 40))),
        (40, 31, "9", None, &[], None),
        (40, 39, "0", None, &[], Some((1, 40))),
        (1, 0, "20%", None, &[], None),
        (40, 28, "20%", None, &["12"], None),
        (40, 28, "20%", None, &["11"], Some((12, 40))),
        (40, 0, "20%", None, &["all"], None),
        // Held already: the budget is that of then, and no longer enough by itself.
        (60, 57, "20%", Some(40), &[], Some((3, 40))),
        (60, 57, "20%", Some(40), &["3"], None),
        (60, 60, "20%", Some(40), &[], None),
    ] {
        let mut scene = Scene::new(before, wanted, most);
        scene.held = held;
        let guarded = scene.guard(trailers);
        let found = guarded.as_ref().map(|held| (held.count, held.of));
        assert_eq!(found, expected, "{before} {wanted} {most} {held:?} {trailers:?}");
        let kept = guarded.map_or(0, |held| held.kept.count());
        assert_eq!(kept, expected.map_or(0, |(count, _)| count), "the rest goes on");
    }
}

#[test]
fn the_reason_says_how_to_go_on() {
    let reason = |scene: &Scene, trailers| scene.guard(trailers).expect("held").reason;
    let scene = Scene::new(40, 28, "20%");
    assert_eq!(
        reason(&scene, &[]),
        "12 of 40 assignments would be removed, 8 may be; the first is default/app/prod@h28; \
         fix: commit with trailer Titan-Allow-Removals: 12"
    );
    assert!(reason(&scene, &["5"]).contains("8 may be; this commit allows 5;"));
    let mut scene = Scene::new(40, 39, "20%");
    scene.held = Some(40);
    assert!(reason(&scene, &[]).contains("held since an earlier commit"));
}

#[test]
fn a_moved_host_stays_and_is_rendered_on() {
    let mut scene = Scene::new(10, 10, "1");
    for n in 0..2 {
        let name = Name::new(&format!("h{n:02}")).expect("a name");
        let host = scene.fleet.hosts.get_mut(&name).expect("it is there");
        Arc::make_mut(host).path = RepoPath::new(&format!("hosts/eu/{name}.yaml")).expect("a path");
    }
    let held = scene.guard(&[]).expect("held");
    assert_eq!((held.count, held.unmoved.len()), (2, 2));
    assert!(held.untouched.is_empty() && held.kept.is_empty(), "both are rendered as ever");
}

#[test]
fn a_template_that_gives_nothing_any_more_removes() {
    let mut scene = Scene::new(10, 10, "1");
    for host in scene.folders.keys() {
        let AssignmentRef { deployment, host } = pair(host.as_str());
        scene.empty.insert(&deployment, &host);
    }
    let held = scene.guard(&[]).expect("held");
    assert_eq!((held.count, held.untouched.count()), (10, 10), "the old ones stay");
    assert!(held.kept.is_empty(), "they are scheduled");
}

#[test]
fn what_is_broken_is_no_removal() {
    let mut scene = Scene::new(10, 0, "1");
    let hold = crate::model::Hold { code: "x".into(), reason: "x".into() };
    scene.fleet.held.deployments.insert("default/app/prod".parse().expect("a name"), hold);
    assert_eq!(scene.guard(&[]), None);
}
