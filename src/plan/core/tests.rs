//! Random fleets under random edits: what is rendered step by step is what is rendered as a whole.

mod branch;
mod world;

use serde_json::json;

use super::*;
use crate::model::fixture::FleetBuilder;
use crate::schedule::schedule;
use branch::Branch;
use world::{Dice, World};

/// Pairs of `current` that differ, and some that do not.
fn moved(before: &Assignments, after: &Assignments, dice: &mut Dice) -> Pairs {
    let mut moved = Pairs::default();
    for (a, b) in [(before, after), (after, before)] {
        for (id, host) in a.iter() {
            if !b.contains(id, host) || dice.roll(20) == 0 {
                moved.insert(id, host);
            }
        }
    }
    moved
}

#[test]
fn step_by_step_is_as_from_scratch() {
    for seed in 1..=16 {
        let mut dice = Dice::new(seed);
        let mut world = World::new(&mut dice);
        let (mut core, mut branch) = (Core::new(), Branch::default());
        // The fleet that the branch was made from, what the core knows as current, and pairs that were
        // broken on the branch since.
        let (mut base, mut known) = (None::<Arc<Fleet>>, Assignments::default());
        let mut broken = Pairs::default();
        for step in 0..50 {
            let context = format!("seed {seed} step {step}");
            world.edit(&mut dice);
            let fleet = world.snapshot(&mut dice);
            let current = branch.current();
            let moved = moved(&known, &current, &mut dice);
            let step = core.advance(Arc::clone(&fleet), &current, &moved);
            assert_eq!(*core.schedule(), schedule(&fleet, &current), "{context}");
            let mut stepwise = branch.clone();
            stepwise.follow(&fleet, core.schedule(), &step);
            assert_eq!(stepwise, branch.clone().publish(&fleet), "{context}\n{step:#?}");
            known = current;
            let lost = dice.roll(12) == 0;
            if !lost {
                branch = stepwise;
                if fleet.held.all.is_none() {
                    (base, broken) = (Some(fleet), Pairs::default());
                }
            }
            if dice.roll(12) == 0 {
                let pairs = branch.vandalise(&mut dice);
                core.doubt_pairs(&pairs);
                broken.extend(&pairs);
            }
            // After a lost race, or a restart, nothing is left of what the core knew.
            if lost || dice.roll(12) == 0 {
                known = branch.current();
                let resume = |base| Core::resume(base, &known);
                core = base.clone().map_or_else(Core::new, resume);
                core.doubt_pairs(&broken);
            } else if dice.roll(12) == 0 {
                core.doubt();
            }
        }
    }
}

#[test]
fn one_edit_touches_its_own_pairs_only() {
    let deployments = |fleet: FleetBuilder| {
        let eu = json!({"matchLabels": {"region": "eu"}});
        ["a", "b", "c"].iter().fold(fleet.target("default/eu", eu), |fleet, name| {
            fleet
                .deployment(&format!("default/app/{name}"), json!({}))
                .deployment(&format!("default/app/{name}-eu"), json!({"target": "eu"}))
                .deployment(&format!("default/app/{name}-two"), json!({"replicas": 2}))
        })
    };
    let hosts = (0..9).fold(FleetBuilder::new(), |fleet, n| {
        fleet.host(&format!("h{n}"), ["region=eu", "region=us"][n % 2])
    });
    let before = Arc::new(deployments(hosts).fleet);
    let scheduled = schedule(&before, &Assignments::default()).assignments;
    // The region, what else differs, and how many pairs are rendered and otherwise touched.
    let check = |edit: &dyn Fn(FleetBuilder) -> FleetBuilder, render: &str, others: &str| {
        let mut core = Core::resume(Arc::clone(&before), &scheduled);
        let after = edit(FleetBuilder { fleet: (*before).clone() }).fleet;
        let step = core.advance(Arc::new(after), &scheduled, &Pairs::default());
        let drawn = |pairs: &Pairs| {
            let all = pairs.iter().map(|(id, host)| format!("{}@{host}", id.name));
            all.collect::<Vec<_>>().join(" ")
        };
        assert_eq!((drawn(&step.render).as_str(), drawn(&step.others).as_str()), (render, others));
        assert!(!step.everything);
    };
    let on = |host: &str| -> Vec<String> {
        let all = scheduled.iter().filter(|(_, on)| on.as_str() == host);
        all.map(|(id, host)| format!("{}@{host}", id.name)).collect()
    };
    // Everything on the host shows its labels; nobody but it gains or loses anything.
    let stays: Vec<_> = on("h0").into_iter().filter(|pair| !pair.contains("-eu")).collect();
    let goes = "a-eu@h0 b-eu@h0 c-eu@h0";
    check(&|fleet| fleet.host("h0", "region=us"), &stays.join(" "), goes);
    check(&|fleet| fleet.host("h0", "region=eu"), "", "");
    check(&|fleet| fleet.host_with("h0", "region=eu", json!({"cordoned": true})), "", "");
    let new = "a@new a-eu@new b@new b-eu@new c@new c-eu@new";
    check(&|fleet| fleet.host("new", "region=eu"), new, "");
    let all = (0..9).map(|n| format!("a@h{n}")).collect::<Vec<_>>().join(" ");
    let spec = json!({"values": {"x": 1}});
    check(&|fleet| fleet.deployment("default/app/a", spec.clone()), &all, "");
    check(&|fleet| fleet.deployment("default/app/a", json!({"suspend": true})), "", &all);
    let us = json!({"matchLabels": {"region": "us"}});
    let pairs = |numbers: &[usize]| {
        let pair = |n: &usize| ["a", "b", "c"].map(|name| format!("{name}-eu@h{n}")).join(" ");
        numbers.iter().map(pair).collect::<Vec<_>>().join(" ")
    };
    let (came, left) = (pairs(&[1, 3, 5, 7]), pairs(&[0, 2, 4, 6, 8]));
    check(&|fleet| fleet.target("default/eu", us.clone()), &came, &left);
}
