//! Every row of `bad-input.md` that the parser answers: the exact code, its place, in time, and
//! nothing that does not depend on it is held.

mod access;
mod fields;
mod git;
mod names;
mod objects;
mod references;
mod shown;
mod templates;
mod yaml;

use std::time::{Duration, Instant};

use titan::model::{Content, DeploymentRef, Diagnostic, RepoPath, SourceFile};
use titan::parse::{Parsed, parse};

/// A small fleet in which all is well.
const GOOD: &[(&str, &str)] = &[
    (
        "hosts/pi.yaml",
        "apiVersion: titan.dev/v1\nkind: Host\nmetadata: {labels: {name: pi}}\nspec: {}\n",
    ),
    ("templates/web/template.yaml", "apiVersion: titan.dev/v1\nkind: Template\nspec: {}\n"),
    ("templates/web/files/a.yaml", "a: 1\n"),
    ("workspaces/iot/workspace.yaml", "apiVersion: titan.dev/v1\nkind: Workspace\nspec: {}\n"),
    (
        "workspaces/iot/targets/all.yaml",
        "apiVersion: titan.dev/v1\nkind: Target\nspec: {selector: {}}\n",
    ),
    (
        "workspaces/iot/workloads/temp/workload.yaml",
        "apiVersion: titan.dev/v1\nkind: Workload\nspec: {template: web}\n",
    ),
    (
        "workspaces/iot/workloads/temp/deployments/good.yaml",
        "apiVersion: titan.dev/v1\nkind: Deployment\nspec: {target: all}\n",
    ),
];

/// A deployment beside the good one.
const BAD: &str = "workspaces/iot/workloads/temp/deployments/bad.yaml";

/// The good fleet, with other files laid over it.
struct Scene {
    files: Vec<SourceFile>,
}

impl Scene {
    fn good() -> Self {
        let mut scene = Self { files: Vec::new() };
        for (path, text) in GOOD {
            scene = scene.file(path, text);
        }
        scene
    }

    fn file(self, path: &str, bytes: impl AsRef<[u8]>) -> Self {
        self.entry(path, Content::Bytes(bytes.as_ref().into()))
    }

    fn entry(mut self, path: &str, content: Content) -> Self {
        let path = RepoPath::new(path).expect("the path is one");
        self.files.retain(|file| file.path != path);
        self.files.push(SourceFile { path, content });
        self.files.sort_by(|a, b| a.path.cmp(&b.path));
        self
    }

    fn without(mut self, path: &str) -> Self {
        self.files.retain(|file| file.path.as_str() != path);
        self
    }

    fn parse(&self) -> Parsed {
        let start = Instant::now();
        let parsed = parse(None, &self.files);
        assert!(start.elapsed() < Duration::from_secs(1), "took {:?}", start.elapsed());
        parsed
    }

    /// Asserts that exactly these problems are found, and that the good deployment goes on.
    #[track_caller]
    fn expect(self, expected: &[(&str, &str)]) -> Parsed {
        let parsed = self.problems(expected);
        assert!(parsed.fleet.deployments.contains_key(&good()), "{:?}", parsed.fleet.held);
        assert_eq!(parsed.fleet.held.all, None);
        parsed
    }

    /// Asserts that exactly these problems are found, as codes and places.
    #[track_caller]
    fn problems(self, expected: &[(&str, &str)]) -> Parsed {
        let parsed = self.parse();
        let found: Vec<(&str, String)> =
            parsed.diagnostics.iter().map(|found| (found.code.as_str(), found.place())).collect();
        let found: Vec<(&str, &str)> =
            found.iter().map(|(code, place)| (*code, place.as_str())).collect();
        assert_eq!(found, expected, "{:#?}", parsed.diagnostics);
        for diagnostic in &parsed.diagnostics {
            check_message(diagnostic);
        }
        parsed
    }

    /// Asserts that the deployment [`BAD`] has this one problem, at `line:column`, and is held for it.
    #[track_caller]
    fn expect_bad(self, code: &str, place: &str) {
        let parsed = self.expect(&[(code, &format!("{BAD}:{place}"))]);
        let hold = parsed.fleet.held.deployments.get(&deployment("bad")).expect("it is held");
        assert_eq!(hold.code, code);
        assert!(!parsed.fleet.deployments.contains_key(&deployment("bad")));
    }
}

/// Messages are lower-case fragments with a fix, and show no secret.
#[track_caller]
fn check_message(diagnostic: &Diagnostic) {
    let message = &diagnostic.message;
    assert!(!message.ends_with('.'), "{message}");
    assert!(!message.starts_with(|c: char| c.is_uppercase() && c != 'G'), "{message}");
    assert!(!message.contains('\u{1b}'), "{message}");
    if diagnostic.code != "yaml/syntax" {
        assert!(diagnostic.fix.is_some(), "{diagnostic} has no fix");
    }
    let shown = format!("{diagnostic:?}");
    assert!(!shown.contains("hunter2"), "{shown}");
}

fn deployment(name: &str) -> DeploymentRef {
    format!("iot/temp/{name}").parse().expect("a deployment's name")
}

fn good() -> DeploymentRef {
    deployment("good")
}

#[test]
fn the_good_fleet_has_no_problem() {
    let parsed = Scene::good().expect(&[]);
    assert_eq!(parsed.fleet.hosts.len(), 1);
    assert_eq!(parsed.fleet.templates.len(), 1);
    let names: Vec<&str> = parsed.fleet.workspaces.keys().map(|name| name.as_str()).collect();
    assert_eq!(names, ["default", "iot"]);
}
/// Whatever a file holds, it is answered in time: each piece again and again, up to the limit of size.
#[test]
fn repetition_costs_nothing() {
    let pieces = [
        "? ",
        "- ",
        ": ",
        "a: ",
        "a:\n",
        "- a\n",
        "[",
        "{",
        "]",
        "[[]],",
        "{a: [",
        "\"",
        "'",
        "&a ",
        "*a ",
        "!a ",
        "!<a> ",
        "# x\n",
        "|\n",
        ">\n x\n",
        "%A b\n",
        "---\n",
        "...\n",
        "\t",
        "\r",
        "\n",
        " ",
        ",",
        "a,",
        "a ",
        "\\",
        "<<: *a\n",
        "a: &a b\n",
        "? a\n: b\n",
        "ä",
        "\u{202e}",
        "\"\\u",
        "@",
        "`",
        "[a]: b\n",
        "{}: ",
        "k: {k: 1}\nk: 2\n",
        "- - a\n",
        "!!a &b ",
        "\0",
    ];
    for piece in pieces {
        for head in ["", "a: [", "a: \""] {
            let count = (300 << 10) / piece.len();
            let text = format!("{head}{}", piece.repeat(count));
            let parsed = Scene::good().file(BAD, &text).parse();
            assert!(!parsed.diagnostics.is_empty(), "{head:?} {piece:?}");
            assert!(parsed.fleet.deployments.contains_key(&good()));
        }
    }
}

/// Valid files with some bytes changed, in an order that is always the same.
#[test]
fn no_change_of_a_file_makes_it_panic() {
    let mut state: u64 = 0x2545_f491_4f6c_dd1d;
    let mut next = |below: usize| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    let alphabet = b"a1 :-[]{},&*!|>'\"%@`#\n\t\r\\?.~\xff\xc3\x00<";
    let mut refused = 0;
    for _ in 0..3000 {
        let (path, text) = GOOD[next(GOOD.len())];
        let mut bytes = text.as_bytes().to_vec();
        for _ in 0..=next(4) {
            let at = next(bytes.len());
            bytes[at] = alphabet[next(alphabet.len())];
        }
        refused += Scene::good().file(path, bytes).parse().diagnostics.len().min(1);
    }
    assert!(refused > 1000, "{refused}");
}
