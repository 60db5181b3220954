use super::*;
use crate::model::Phase::*;

/// Seconds after an arbitrary start.
fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).unwrap()
}

fn tree(byte: u8) -> TreeId {
    TreeId::from_bytes([byte; 20])
}

fn revision(byte: u8) -> Revision {
    Revision::from_bytes([byte; 20])
}

fn name() -> AssignmentRef {
    "iot/sensor/prod@tim-pi".parse().unwrap()
}

fn origin(byte: u8, committed: i64, published: i64) -> Origin {
    Origin {
        source: revision(byte),
        rendered: revision(byte + 100),
        committed: at(committed),
        published: at(published),
    }
}

/// A status in `phase` since second 10 that wants `desired`.
fn status(phase: Phase, desired: Option<u8>) -> AssignmentStatus {
    let tree = desired.map(tree);
    let wanted = desire(None, &name(), tree, origin(1, 0, 5), Delivery::Agent, at(10)).unwrap();
    let reason = if phase == wanted.phase { "Rendered" } else { "Before" };
    AssignmentStatus { phase, reason: reason.into(), ..wanted }
}

fn report(phase: Phase, tree_byte: Option<u8>) -> AssignmentReport {
    AssignmentReport {
        deployment: name().deployment,
        rendered: revision(101),
        tree: tree_byte.map(tree),
        phase,
        reason: "Told".into(),
        message: "by the host".into(),
        received: None,
        applied: None,
        deployed: None,
    }
}

#[test]
fn a_report_about_what_is_desired_is_believed() {
    // What was, what the host says of the desired tree (7), what is then.
    for (before, told, after) in [
        (Pending, Applying, Applying),
        (Pending, Deployed, Deployed),
        (Applying, Progressing, Progressing),
        (Progressing, Applying, Applying),
        (Progressing, Deployed, Deployed),
        (Deployed, Degraded, Degraded),
        (Degraded, Deployed, Deployed),
        (Applying, Failed, Failed),
        (Failed, Applying, Applying),
        (Failed, Deployed, Deployed),
        (Unknown, Deployed, Deployed),
        (Unknown, Progressing, Progressing),
        (Stalled, Deployed, Deployed),
        (Stalled, Failed, Failed),
        // It has it, and is taking it away again.
        (Deployed, Removing, Pending),
    ] {
        let next = fold(&status(before, Some(7)), &report(told, Some(7)), 3, at(20))
            .unwrap_or_else(|| panic!("{before} {told}"));
        assert_eq!(next.phase, after, "{before} {told}");
        let since = if before == after { at(10) } else { at(20) };
        assert_eq!((next.since, next.last), (since, None), "{before} {told}");
        assert_eq!(next.observed.unwrap().sequence, 3);
    }
}

#[test]
fn a_report_about_another_tree_never_makes_it_deployed() {
    for told in [Applying, Progressing, Deployed, Degraded, Failed] {
        for before in [Pending, Applying, Progressing, Deployed, Degraded, Failed, Unknown] {
            let next = fold(&status(before, Some(7)), &report(told, Some(6)), 3, at(20)).unwrap();
            assert_eq!(next.phase, Pending, "{before} {told}");
            assert_eq!(next.observed.unwrap().tree, Some(tree(6)), "what it has is recorded");
            assert_eq!(next.trail, status(before, Some(7)).trail);
        }
        let stalled = fold(&status(Stalled, Some(7)), &report(told, Some(6)), 3, at(20)).unwrap();
        assert_eq!(stalled.phase, Stalled, "{told}: its deadline passed already");
    }
    let gone = fold(&status(Deployed, Some(7)), &report(Removed, None), 3, at(20)).unwrap();
    assert_eq!((gone.phase, gone.reason.as_str()), (Pending, "NotOnHost"));
    let unreadable = fold(&status(Pending, Some(7)), &report(Failed, None), 3, at(20)).unwrap();
    assert_eq!(unreadable.phase, Failed);
}

#[test]
fn removing_ends_when_the_host_says_so() {
    for (told, has, after) in [
        (Deployed, Some(7), Removing),
        (Removing, Some(7), Removing),
        (Failed, Some(7), Failed),
        (Failed, None, Failed),
        (Removed, None, Removed),
    ] {
        let next = fold(&status(Removing, None), &report(told, has), 3, at(20)).unwrap();
        assert_eq!(next.phase, after, "{told} {has:?}");
    }
    assert_eq!(absent(&status(Removing, None), at(20)).unwrap().phase, Removed);
}

#[test]
fn what_a_host_repeats_is_nothing_new() {
    let first = fold(&status(Pending, Some(7)), &report(Deployed, Some(7)), 3, at(20)).unwrap();
    let mut again = report(Deployed, Some(7));
    assert_eq!(fold(&first, &again, 4, at(30)), None);
    again.rendered = revision(150);
    again.message = "other words".into();
    again.deployed = Some(at(29));
    assert_eq!(fold(&first, &again, 5, at(30)), None, "neither a commit nor a message is news");
    again.reason = "Other".into();
    let next = fold(&first, &again, 6, at(30)).unwrap();
    assert_eq!((next.since, next.message.as_str()), (at(20), "other words"));
    assert_eq!(next.observed.unwrap().sequence, 6);
    assert_eq!(next.trail.deployed, first.trail.deployed, "the first time stays");
}

#[test]
fn times_lie_between_the_stage_before_and_now() {
    for (told, expected) in [
        // Rendered at 5, heard at 20.
        ([Some(6), Some(7), Some(8)], [Some(6), Some(7), Some(8)]),
        ([Some(-90), Some(7), Some(900)], [Some(5), Some(7), Some(20)]),
        ([Some(15), Some(7), Some(8)], [Some(15), Some(15), Some(15)]),
        ([None, None, None], [None, None, Some(20)]),
        ([Some(6), None, Some(3)], [Some(6), None, Some(6)]),
    ] {
        let mut report = report(Deployed, Some(7));
        [report.received, report.applied, report.deployed] = told.map(|time| time.map(at));
        let trail = fold(&status(Pending, Some(7)), &report, 3, at(20)).unwrap().trail;
        assert_eq!([trail.received, trail.applied, trail.deployed], expected.map(|t| t.map(at)));
    }
}

#[test]
fn a_stage_is_added_to_the_trail_without_a_change_of_phase() {
    let mut told = report(Applying, Some(7));
    told.received = Some(at(11));
    let first = fold(&status(Pending, Some(7)), &told, 3, at(20)).unwrap();
    told.applied = Some(at(21));
    let next = fold(&first, &told, 4, at(22)).unwrap();
    assert_eq!((next.trail.received, next.trail.applied), (Some(at(11)), Some(at(21))));
    assert_eq!((next.phase, next.since, next.trail.deployed), (Applying, at(20), None));
}

#[test]
fn a_new_desired_state_starts_a_new_trail() {
    let deployed = fold(&status(Pending, Some(7)), &report(Deployed, Some(7)), 3, at(20)).unwrap();
    let wish = |tree, delivery| {
        desire(Some(&deployed), &name(), tree, origin(2, 30, 31), delivery, at(32))
    };
    assert_eq!(wish(Some(tree(7)), Delivery::Agent), None);

    let next = wish(Some(tree(8)), Delivery::Agent).unwrap();
    assert_eq!((next.phase, next.since, next.desired.source), (Pending, at(32), revision(2)));
    assert_eq!((next.trail.committed, next.trail.rendered), (Some(at(30)), Some(at(31))));
    assert_eq!((next.trail.deployed, next.observed), (None, deployed.observed.clone()));

    let gone = wish(None, Delivery::Agent).unwrap();
    assert_eq!((gone.phase, gone.desired.tree), (Removing, None));
    let again = desire(Some(&gone), &name(), None, origin(3, 40, 41), Delivery::Agent, at(42));
    assert_eq!(again, None);

    let external = wish(Some(tree(7)), Delivery::External).unwrap();
    assert_eq!((external.phase, external.reason.as_str()), (Unknown, EXTERNAL));
    assert!(external.message.contains("Flux or Argo CD"));
    assert_eq!(fold(&external, &report(Deployed, Some(7)), 4, at(50)), None);
}

#[test]
fn commits_from_the_future_were_made_before_they_were_rendered() {
    let next =
        desire(None, &name(), Some(tree(1)), origin(2, 900, 950), Delivery::Agent, at(32)).unwrap();
    assert_eq!((next.trail.committed, next.trail.rendered), (Some(at(32)), Some(at(32))));
}

#[test]
fn only_waiting_phases_expire_and_only_progress_revives_them() {
    for phase in Phase::ALL {
        let next = expire(&status(phase, Some(7)), at(99));
        let expected = phase.is_waiting().then_some((Stalled, Some(phase), at(99)));
        assert_eq!(next.map(|next| (next.phase, next.last, next.since)), expected, "{phase}");
    }
    let stalled = expire(&status(Applying, Some(7)), at(99)).unwrap();
    let heard = fold(&stalled, &report(Applying, Some(7)), 3, at(100)).unwrap();
    assert_eq!((heard.phase, heard.last, heard.since), (Stalled, Some(Applying), at(99)));
    assert_eq!(fold(&heard, &report(Applying, Some(7)), 4, at(101)), None);
    let moved = fold(&heard, &report(Progressing, Some(7)), 5, at(102)).unwrap();
    assert_eq!((moved.phase, moved.last), (Progressing, None));
}

#[test]
fn a_silent_host_leaves_nothing_known_but_what_was() {
    for phase in Phase::ALL {
        let next = silence(&status(phase, Some(7)), at(99));
        let expected = (phase != Unknown).then_some((Unknown, Some(phase)));
        assert_eq!(next.map(|next| (next.phase, next.last)), expected, "{phase}");
    }
    let silent = silence(&status(Deployed, Some(7)), at(99)).unwrap();
    let back = fold(&silent, &report(Deployed, Some(7)), 9, at(120)).unwrap();
    assert_eq!((back.phase, back.last, back.since), (Deployed, None, at(120)));
}

#[test]
fn what_a_full_report_leaves_out_is_not_there() {
    for (before, after) in [
        (Deployed, Some(Pending)),
        (Failed, Some(Pending)),
        (Unknown, Some(Pending)),
        (Pending, None),
        (Stalled, None),
    ] {
        let next = absent(&status(before, Some(7)), at(20));
        assert_eq!(next.map(|next| next.phase), after, "{before}");
    }
}

#[test]
fn text_of_hosts_cannot_play_tricks() {
    assert_eq!(clean("  \u{1b}[31mred\u{7}\tx\u{202e}\r\ny \n"), "[31mred x\ny");
    assert_eq!(clean(&"é".repeat(2000)).chars().count(), 1024);
}
