//! What `README.md` says is so: its tour runs as written and shows what is printed, its tables are
//! those of the command line.

use std::collections::BTreeSet;
use std::process::Command;

#[path = "../../benches/fleet/gates.rs"]
#[expect(dead_code, reason = "only the titles are needed here")]
mod gates;

/// Longest time for the tour, which takes a second or two.
const PATIENCE: &str = "120";

/// A block of commands, and what the page says they print.
struct Block {
    commands: String,
    printed: Option<String>,
}

fn readme() -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");
    std::fs::read_to_string(path).expect("there is a README")
}

/// The text below a heading, up to the next of its level.
fn section<'a>(text: &'a str, heading: &str) -> &'a str {
    let start = text.find(&format!("\n## {heading}\n")).expect("the heading is there");
    let rest = &text[start + heading.len() + 5..];
    rest.find("\n## ").map_or(rest, |end| &rest[..end])
}

fn blocks(text: &str) -> Vec<Block> {
    let mut found: Vec<Block> = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find("```") {
        let (kind, body) = rest[start + 3..].split_once('\n').expect("a fence ends its line");
        let end = body.find("```").expect("a fence is closed");
        match (kind, found.last_mut()) {
            ("sh", _) => found.push(Block { commands: body[..end].to_owned(), printed: None }),
            ("text", Some(block)) => block.printed = Some(body[..end].to_owned()),
            _ => panic!("a fence of another kind: `{kind}`"),
        }
        rest = &body[end + 3..];
    }
    found
}

/// A word without what differs from run to run: ids, times, numbers of reports.
fn stable(word: &str) -> &str {
    let bare = word.trim_matches(|c: char| !c.is_ascii_alphanumeric());
    let hex =
        bare.len() >= 7 && bare.bytes().all(|b| b.is_ascii_hexdigit() && !b.is_ascii_uppercase());
    let date = bare.len() >= 20 && bare.starts_with("20") && bare.ends_with('Z');
    if hex || date || word.starts_with('+') { "…" } else { word }
}

/// Lines of words: how wide columns are depends on the times in them.
fn normal(text: &str) -> Vec<String> {
    let line = |line: &str| line.split_whitespace().map(stable).collect::<Vec<_>>().join(" ");
    let lines = text.trim().lines().map(line);
    lines
        .map(|line| if line.starts_with("sequence:") { "sequence: …".into() } else { line })
        .collect()
}

fn titan(arguments: &[&str]) -> String {
    let output =
        Command::new(env!("CARGO_BIN_EXE_titan")).args(arguments).output().expect("it runs");
    assert!(output.status.success(), "titan {arguments:?}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// Runs the blocks as one script in a folder that holds the examples; returns what each printed.
fn run(blocks: &[Block]) -> Vec<String> {
    let dir = tempfile::tempdir().expect("a folder");
    let examples = concat!(env!("CARGO_MANIFEST_DIR"), "/examples");
    let copied = Command::new("cp").args(["-R", examples, "."]).current_dir(&dir).status();
    assert!(copied.expect("cp runs").success());
    // Nobody else may be on the port that the page names.
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = free.local_addr().expect("it is bound").to_string();
    drop(free);
    let mut script =
        "set -eu; exec 2>&1; trap 'kill ${controller-} ${agent-} 2>/dev/null || :' EXIT\n"
            .to_owned();
    for block in blocks {
        script += &format!("echo @@@\n{}", block.commands.replace("127.0.0.1:7878", &address));
    }
    let bin = std::path::Path::new(env!("CARGO_BIN_EXE_titan")).parent().expect("a folder");
    let path = std::env::var("PATH").unwrap_or_default();
    // `timeout` ends the whole group: a tour that hangs leaves no controller behind.
    let output = Command::new("timeout")
        .args([PATIENCE, "sh", "-c", &script])
        .current_dir(&dir)
        .env_clear()
        .env("PATH", format!("{}:{path}", bin.display()))
        .env("HOME", dir.path())
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("TITAN_LISTEN", &address)
        .envs(["AUTHOR", "COMMITTER"].map(|who| (format!("GIT_{who}_NAME"), "Ann")))
        .envs(["AUTHOR", "COMMITTER"].map(|who| (format!("GIT_{who}_EMAIL"), "ann@example.com")))
        .output()
        .expect("sh runs");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(output.status.success(), "the tour stops with {}:\n{text}", output.status);
    text.split("@@@\n").skip(1).map(str::to_owned).collect()
}

#[test]
fn the_tour_runs_as_written() {
    runs_as_written("Ten minutes");
}

#[test]
fn the_way_over_http_runs_as_written() {
    runs_as_written("Over HTTP");
}

#[test]
fn the_way_of_a_host_to_its_key_runs_as_written() {
    runs_as_written("Keys of hosts");
}

fn runs_as_written(heading: &str) {
    let text = readme();
    let blocks = blocks(section(&text, heading));
    assert!(blocks.len() >= 5, "`{heading}` is short: {} blocks", blocks.len());
    for (block, printed) in blocks.iter().zip(run(&blocks)) {
        let shown = block.printed.as_deref().unwrap_or_default();
        assert_eq!(normal(&printed), normal(shown), "of\n{}", block.commands);
    }
}

#[test]
fn the_exit_codes_are_those_of_titan() {
    let text = readme();
    let rows = section(&text, "Commands").lines().filter_map(|line| {
        let (code, meaning) = line.strip_prefix("| ")?.strip_suffix(" |")?.split_once(" | ")?;
        Some((code.parse::<u8>().ok()?, meaning.to_owned()))
    });
    let help = titan(&["help", "exit-codes"]);
    let lines = help.lines().filter_map(|line| {
        let (code, meaning) = line.trim().split_once("  ")?;
        Some((code.parse::<u8>().ok()?, meaning.to_owned()))
    });
    let codes: Vec<_> = lines.collect();
    assert_eq!(codes.len(), 8);
    assert_eq!(rows.collect::<Vec<_>>(), codes);
}

/// The commands below a command, as its help lists them.
fn subcommands(of: &[&str]) -> BTreeSet<String> {
    let help = titan(&[&["help"], of].concat());
    let Some((_, list)) = help.split_once("\nCommands:\n") else { return BTreeSet::new() };
    let list = list.split("\n\n").next().unwrap_or_default();
    // A text that is too long goes on in a line of its own, further in.
    let names = list.lines().filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    names.filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}

#[test]
fn the_commands_are_those_of_titan() {
    let mut expected = BTreeSet::new();
    for name in subcommands(&[]) {
        let below = subcommands(&[&name]);
        if below.is_empty() {
            expected.insert(name);
        } else {
            expected.extend(below.iter().map(|sub| format!("{name} {sub}")));
        }
    }
    let text = readme();
    let mut listed = BTreeSet::new();
    for line in section(&text, "Commands").lines().filter(|line| line.starts_with("| `titan ")) {
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        let words: Vec<&str> = cells[0].trim_matches('`').split(' ').skip(1).collect();
        let plain = |word: &&str| word.chars().all(|c| c.is_ascii_lowercase());
        let command: Vec<&str> = words.into_iter().take_while(plain).collect();
        let help = titan(&[&["help"], command.as_slice()].concat());
        for option in cells[2].split(|c: char| !c.is_ascii_lowercase() && c != '-') {
            let known = !option.starts_with('-')
                || help.contains(&format!("{option} "))
                || help.contains(&format!("{option}\n"))
                || help.contains(&format!("{option},"));
            assert!(known, "`titan {}` has no `{option}`", command.join(" "));
        }
        listed.insert(command.join(" "));
    }
    assert_eq!(listed, expected);
}

/// The values come from a run; the rows are those of the harness.
#[test]
fn the_gates_are_those_of_the_benchmark() {
    let text = readme();
    let (_, table) = text.split_once("<!-- bench -->\n").expect("the table is marked");
    let (table, _) = table.split_once("<!-- /bench -->").expect("its end is marked");
    let rows = table.lines().skip(2).map(|row| {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        (cells[0].to_owned(), cells[2].to_owned())
    });
    let gates = gates::GATES.iter().map(|gate| (gate.title(gates::Sizes::USUAL), gate.bound()));
    assert_eq!(
        rows.collect::<Vec<_>>(),
        gates.collect::<Vec<_>>(),
        "`make bench README=1` writes it"
    );
}
