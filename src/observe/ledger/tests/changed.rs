//! Being told what changed leads where comparing everything does.

use std::collections::BTreeMap;

use super::*;

/// The same numbers every time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

const NAMES: [&str; 4] = ["a", "b", "c", "d"];
const DEPLOYMENTS: [&str; 3] = ["iot/sensor/prod", "iot/sensor/test", "web/shop/prod"];

/// Something happens to the fleet; what may differ is noted.
fn happen(story: &mut Story, dice: &mut Dice, changed: &mut Changed) {
    let name = NAMES[usize::try_from(dice.roll(4)).unwrap()];
    let deployment: DeploymentRef =
        DEPLOYMENTS[usize::try_from(dice.roll(3)).unwrap()].parse().unwrap();
    let host = host(name);
    match dice.roll(9) {
        0 => {
            let folder = ["hosts", "hosts/eu"][usize::try_from(dice.roll(2)).unwrap()];
            story.folders.insert(host.clone(), RepoPath::new(&format!("{folder}/{name}")).unwrap());
            changed.hosts.insert(host);
        }
        1 => {
            story.folders.remove(&host);
            for gone in DEPLOYMENTS {
                story.trees.set(&gone.parse().unwrap(), &host, None);
            }
            changed.hosts.insert(host);
        }
        2 => {
            story.deliver(name, Delivery::External);
            changed.hosts.insert(host);
        }
        3 => {
            story.deliver(name, Delivery::Agent);
            changed.hosts.insert(host);
        }
        4 => {
            story.fleet.hosts.remove(&host);
            changed.hosts.insert(host);
        }
        5 => {
            story.trees.set(&deployment, &host, None);
            changed.pairs.insert(&deployment, &host);
        }
        _ if story.folders.contains_key(&host) => {
            let tree = u8::try_from(dice.roll(3)).unwrap() + 1;
            story.trees.set(&deployment, &host, Some(TreeId::from_bytes([tree; 20])));
            changed.pairs.insert(&deployment, &host);
        }
        _ => {}
    }
}

type State = (
    BTreeMap<String, bool>,
    Option<FleetStatus>,
    Vec<Option<HostStatus>>,
    Vec<Option<AssignmentStatus>>,
    Option<Timestamp>,
);

fn state(ledger: &Ledger) -> State {
    let pairs =
        NAMES.iter().flat_map(|host| DEPLOYMENTS.map(|id| assignment(&format!("{id}@{host}"))));
    (
        pending(ledger),
        ledger.fleet(),
        NAMES.iter().map(|name| ledger.host(&host(name)).cloned()).collect(),
        pairs.map(|pair| ledger.assignment(&pair)).collect(),
        ledger.next_deadline(),
    )
}

#[test]
fn what_is_told_leads_where_comparing_leads() {
    for seed in 0..60 {
        let mut dice = Dice(seed);
        let mut asked = NAMES.iter().fold(Story::new(), |story, n| story.host(n, Delivery::Agent));
        let mut told = Ledger::empty(&asked.limits, at(0));
        for now in 1..80 {
            let mut changed = Changed::default();
            for _ in 0..dice.roll(4) {
                happen(&mut asked, &mut dice, &mut changed);
            }
            asked.commit += 1;
            asked.reconcile(now * 10);
            let ledger = std::mem::replace(&mut asked.ledger, told);
            asked.reconcile_with(Some(&changed), now * 10);
            told = std::mem::replace(&mut asked.ledger, ledger);

            let name = NAMES[usize::try_from(dice.roll(4)).unwrap()];
            let tree = u8::try_from(dice.roll(4)).unwrap();
            let phase = [Deployed, Applying, Failed, Removing][usize::from(tree)];
            let report = asked.report(name, dice.roll(2) == 0, &[(PROD, phase, tree)]);
            let time = at(now * 10 + 1);
            let answer = asked.ledger.report(&report, time, |_| true);
            assert_eq!(told.report(&report, time, |_| true), answer);
            let late = at(now * 10 + i64::try_from(dice.roll(40)).unwrap());
            asked.ledger.tick(late);
            told.tick(late);

            assert_eq!(state(&told), state(&asked.ledger), "seed {seed}, step {now}");
            if dice.roll(3) == 0 {
                written(&mut asked.ledger);
                written(&mut told);
            }
        }
    }
}

#[test]
fn nothing_is_compared_that_nobody_names() {
    let mut story = two_hosts();
    story.dirty();
    story.trees = Trees::default();
    let mut changed = Changed::default();
    changed.pairs.insert(&PROD.parse().unwrap(), &host("a"));
    story.reconcile_with(Some(&changed), 20);
    assert_eq!((story.phase(A), story.phase(B)), (None, Some(Pending)));
    // Unless nobody knows what was missed.
    story.ledger.distrust();
    story.reconcile_with(Some(&Changed::default()), 30);
    assert_eq!(story.phase(B), None);
}

/// After a restart, what was not tried yet is held as before.
#[test]
fn a_status_is_not_rosier_than_what_was_checked() {
    let mut story = two_hosts();
    let found = |what: &str| Diagnostic::error("render/undefined", what);
    let all = [found("x"), found("y"), Diagnostic::error("yaml/tab", "z")];
    let held = |pairs: &[(&str, usize)]| -> BTreeMap<String, String> {
        pairs
            .iter()
            .map(|(name, at)| (format!("assignment {name}"), all[*at].to_string()))
            .collect()
    };
    story.held = held(&[(A, 0), (B, 1)]);
    story.diagnostics = all.to_vec();
    story.reconcile(20);
    (story.held, story.diagnostics) = (BTreeMap::new(), Vec::new());

    let codes = |story: &Story| -> Vec<String> {
        let file = story.ledger.diagnostics.as_ref().unwrap();
        assert_eq!(file.errors as usize, file.diagnostics.len());
        file.diagnostics.iter().map(|found| found.message.clone()).collect()
    };
    story.unchecked = true;
    story.reconcile(30);
    assert_eq!(story.ledger.fleet().unwrap().held, held(&[(A, 0), (B, 1)]));
    assert_eq!(codes(&story), ["x", "y"], "what parsing finds is known");

    let mut changed = Changed::default();
    changed.pairs.insert(&PROD.parse().unwrap(), &host("a"));
    story.reconcile_with(Some(&changed), 40);
    assert_eq!(story.ledger.fleet().unwrap().held, held(&[(B, 1)]), "this one was tried");
    assert_eq!(codes(&story), ["y"]);

    story.unchecked = false;
    story.reconcile(50);
    assert_eq!((story.ledger.fleet().unwrap().held, codes(&story)), (BTreeMap::new(), Vec::new()));
}
