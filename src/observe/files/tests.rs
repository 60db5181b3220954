use std::collections::BTreeMap;

use insta::assert_snapshot;

use super::*;
use crate::model::{
    AssignmentStatus, Connection, Desired, Diagnostic, DiagnosticsFile, FleetStatus, HostStatus,
    Observed, Phase, Revision, Span, Timestamp, Trail, TreeId,
};

fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn assignment(message: &str) -> AssignmentStatus {
    AssignmentStatus {
        api_version: "titan.dev/v1".into(),
        kind: "AssignmentStatus".into(),
        assignment: "iot/temperature-sensor/prod@tim-pi".parse().unwrap(),
        desired: Desired {
            source: Revision::from_bytes([0xa1; 20]),
            rendered: Revision::from_bytes([0xb2; 20]),
            tree: Some(TreeId::from_bytes([0xc3; 20])),
        },
        observed: Some(Observed {
            rendered: Revision::from_bytes([0xb2; 20]),
            tree: Some(TreeId::from_bytes([0xc3; 20])),
            sequence: 42,
        }),
        phase: Phase::Deployed,
        reason: "HealthCheckPassed".into(),
        message: message.into(),
        since: time("2026-11-20T16:20:11Z"),
        last: None,
        trail: Trail {
            committed: Some(time("2026-11-20T16:20:01Z")),
            rendered: Some(time("2026-11-20T16:20:02.125Z")),
            ..Trail::default()
        },
    }
}

#[test]
fn an_assignment_is_readable_yaml() {
    let text = String::from_utf8(write(&assignment("3/3 replicas ready"))).unwrap();
    assert_snapshot!(text, @r#"
    apiVersion: titan.dev/v1
    kind: AssignmentStatus
    assignment: iot/temperature-sensor/prod@tim-pi
    desired:
      source: a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1
      rendered: b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2
      tree: c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3
    observed:
      rendered: b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2
      tree: c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3
      sequence: 42
    phase: Deployed
    reason: HealthCheckPassed
    message: 3/3 replicas ready
    since: "2026-11-20T16:20:11Z"
    trail:
      committed: "2026-11-20T16:20:01Z"
      rendered: "2026-11-20T16:20:02.125Z"
    "#);
}

#[test]
fn what_is_written_reads_back_the_same() {
    let messages = [
        "",
        "a: b",
        "# no comment",
        "- not a list\n- really",
        "two\n\nlines\n",
        " edges ",
        "yes",
        "null",
        "0x10",
        "'\"\\",
        "%TAG",
        "@x",
        "tab\there",
        "ünïcödé 🚀",
        "{a}",
        "[b",
        "| c",
        "> d",
        "---",
        "...",
        "12:30:45",
        "\u{1b}[31mred",
        "a\r\nb",
        "\u{2028}x",
        "x \n y",
        "\n",
        "\n\n  indented\n",
    ];
    let long = "word ".repeat(200);
    for message in messages.into_iter().chain([long.as_str(), long.trim()]) {
        let status = assignment(message);
        let bytes = write(&status);
        assert!(bytes.ends_with(b"\n") && !bytes.contains(&b'\r'), "{message:?}");
        let back: AssignmentStatus =
            read(&bytes).unwrap_or_else(|error| panic!("{message:?}: {error}"));
        assert_eq!(back, status, "{message:?}");
        assert_eq!(write(&back), bytes, "{message:?}");
        assert_eq!(kind(&bytes), Some("AssignmentStatus"));
    }
}

#[test]
fn ids_that_look_like_numbers_stay_ids() {
    for digits in ["1".repeat(40), "0".repeat(40), format!("{}e{}", "1".repeat(20), "2".repeat(19))]
    {
        let mut status = assignment("");
        status.desired.source = digits.parse().unwrap();
        assert_eq!(read::<AssignmentStatus>(&write(&status)).unwrap(), status);
    }
}

#[test]
fn fleet_host_and_diagnostics_are_readable_too() {
    let fleet = FleetStatus {
        api_version: "titan.dev/v1".into(),
        kind: FLEET_KIND.into(),
        source: Revision::from_bytes([0xab; 20]),
        rendered: None,
        hosts: 3,
        assignments: 5,
        phases: BTreeMap::from([(Phase::Deployed, 4), (Phase::Pending, 1)]),
        held: BTreeMap::from([("host a".to_owned(), "hosts/a.yaml:3:1: unknown field".to_owned())]),
        unplaced: BTreeMap::new(),
    };
    let bytes = write(&fleet);
    assert_eq!(read::<FleetStatus>(&bytes).unwrap(), fleet);
    assert_snapshot!(String::from_utf8(bytes).unwrap(), @r#"
    apiVersion: titan.dev/v1
    kind: FleetStatus
    source: abababababababababababababababababababab
    hosts: 3
    assignments: 5
    phases:
      Pending: 1
      Deployed: 4
    held:
      host a: "hosts/a.yaml:3:1: unknown field"
    "#);

    let host = HostStatus {
        api_version: "titan.dev/v1".into(),
        kind: HOST_KIND.into(),
        host: Name::new("tim-pi").unwrap(),
        connection: Connection::Online,
        since: time("2026-11-20T16:20:11Z"),
        sequence: 7,
        rendered: None,
        generation: Some(3),
        agent: Some("0.1.0".into()),
        message: None,
    };
    assert_eq!(read::<HostStatus>(&write(&host)).unwrap(), host);

    let path = RepoPath::new("hosts/a.yaml").unwrap();
    let span = Span { line: 1, column: 1, length: 3 };
    let diagnostic = Diagnostic::error("field/unknown", "unknown field `x`: y").at(&path);
    let file = DiagnosticsFile {
        api_version: "titan.dev/v1".into(),
        kind: DIAGNOSTICS_KIND.into(),
        source: Revision::from_bytes([0xab; 20]),
        errors: 1,
        warnings: 0,
        diagnostics: vec![diagnostic.span(span, "x: {").fix("remove it")],
    };
    let bytes = write(&file);
    assert_eq!(read::<DiagnosticsFile>(&bytes).unwrap(), file);
    assert_eq!(kind(&bytes), Some(DIAGNOSTICS_KIND));
}

#[test]
fn paths_tell_their_host_and_back() {
    let folder = RepoPath::new("hosts/eu/tim-pi").unwrap();
    let assignment: AssignmentRef = "iot/sensor/prod@tim-pi".parse().unwrap();
    let path = assignment_path(&folder, &assignment.deployment).unwrap();
    assert_eq!(path.as_str(), "hosts/eu/tim-pi/iot/sensor/prod.yaml");
    assert_eq!(folder_of_assignment(&path, &assignment), Some(folder.clone()));
    let path = host_path(&folder).unwrap();
    assert_eq!(folder_of_host(&path, &assignment.host), Some(folder));
    for (path, wrong) in [
        ("hosts/eu/other/iot/sensor/prod.yaml", "another host"),
        ("eu/tim-pi/iot/sensor/prod.yaml", "not below hosts"),
        ("hosts/tim-pi/iot/sensor/test.yaml", "another deployment"),
    ] {
        let path = RepoPath::new(path).unwrap();
        assert_eq!(folder_of_assignment(&path, &assignment), None, "{wrong}");
    }
}

#[test]
fn foreign_files_are_errors_not_panics() {
    for bytes in [&b"\xff\xfe"[..], b"", b"kind: AssignmentStatus\n", b"[", b"a: *x"] {
        assert!(read::<AssignmentStatus>(bytes).is_err(), "{bytes:?}");
    }
}

/// The fast way gives what the library gives, for all that it takes.
#[test]
fn plain_files_are_what_the_library_writes_and_reads() {
    let mut plain_ones = 0;
    let mut check = |status: &AssignmentStatus| {
        let bytes = write(status);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some(plain) = plain::write(status) {
            assert_eq!(String::from_utf8_lossy(&plain), text);
            plain_ones += 1;
        }
        let mut names = Names::default();
        if let Some(back) = plain::read(&bytes, &mut names) {
            assert_eq!(back, *status, "{text}");
        }
        assert_eq!(
            plain::read(&bytes, &mut names).is_some(),
            plain::write(status).is_some(),
            "{text}"
        );
        assert_eq!(read_assignment(&bytes, &mut names).unwrap(), *status);
        assert_eq!(write_assignment(status), bytes);
    };
    let times = ["2026-11-20T16:20:11Z", "2026-11-20T16:20:02.125Z", "-000001-01-01T00:00:00Z"];
    let ids = ["1".repeat(40), format!("{}e{}", "1".repeat(20), "2".repeat(19)), "c".repeat(40)];
    let binary = format!("0b{}", "1".repeat(38));
    for phase in Phase::ALL {
        for reason in super::super::fold::REASONS.into_iter().chain(["Yes", "Other", "a: b", ""]) {
            let mut status = assignment("");
            (status.phase, status.reason, status.last) = (phase, reason.to_owned(), Some(phase));
            check(&status);
            status.observed = None;
            status.desired.tree = None;
            check(&status);
        }
    }
    for id in ids.iter().chain([&binary]) {
        let mut status = assignment("");
        status.desired.source = id.parse().unwrap();
        check(&status);
        status.observed.as_mut().unwrap().tree = id.parse().ok();
        status.observed.as_mut().unwrap().sequence = u64::MAX;
        check(&status);
    }
    for text in times {
        let mut status = assignment("");
        status.since = time(text);
        (status.trail.built, status.trail.deployed) = (Some(time(text)), Some(time(text)));
        check(&status);
        status.trail = Trail::default();
        check(&status);
    }
    for name in ["0/1/2@3", "1e5/0x1/y@n", "a-b/c/d@e", "true/no/1@0"] {
        let mut status = assignment("");
        status.assignment = name.parse().unwrap();
        check(&status);
    }
    check(&assignment("3/3 replicas ready"));
    assert!(plain_ones > 300, "{plain_ones}");
}

/// What only resembles titan's form is left to the library, which has the last word.
#[test]
fn other_spellings_are_read_as_the_library_reads_them() {
    let mut status = assignment("");
    status.reason = "Applied".into();
    let text = String::from_utf8(write(&status)).unwrap();
    let check = |text: &str, fast: bool| {
        let mut names = Names::default();
        assert_eq!(plain::read(text.as_bytes(), &mut names).is_some(), fast, "{text}");
        let (ours, theirs) = (
            read_assignment(text.as_bytes(), &mut names),
            read::<AssignmentStatus>(text.as_bytes()),
        );
        assert_eq!(ours.ok(), theirs.ok(), "{text}");
    };
    check(&text, true);
    check(&text.replace("sequence: 42", "sequence: 042"), false);
    check(&text.replace("sequence: 42", "sequence: +42"), false);
    check(&text.replace("sequence: 42", "sequence: 42 # why"), false);
    check(&text.replace("phase: Deployed", "phase: deployed"), false);
    check(&text.replace("a1a1", "A1A1"), false);
    check(&text.replace("\n", "\r\n"), false);
    check(&text.replace("since: \"", "since: \"\\x32"), false);
    check(&format!("{text}more: x\n"), false);
    check(text.trim_end(), false);
    check(&text.replace("2026-11-20T16:20:11Z", "2026-11-20T17:20:11+01:00"), true);
    check(&text.replace("2026-11-20T16:20:11Z", "never"), false);
}
