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
