//! The import rule of the crate docs, checked on the sources.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Modules by layer: a module may import from lower layers only. `plan` composes the stages beside
/// it, and therefore stands above them.
const LAYERS: [&[&str]; 7] = [
    &["model", "parallel"],
    &["parse", "schedule", "render"],
    &["plan"],
    &["git", "proof"],
    &["publish", "deliver", "observe", "change"],
    &["controller", "agent", "api"],
    &["cli"],
];

/// Outside crates, and the only modules that may name them.
const OWNERS: [(&str, &[&str]); 40] = [
    ("gix", &["git"]),
    ("hashbrown", &["git"]),
    ("imara_diff", &["plan"]),
    ("notify", &["git"]),
    ("tera", &["render"]),
    ("warp", &["api"]),
    ("hyper_util", &["api"]),
    ("tokio_rustls", &["api"]),
    ("aws_lc_rs", &["api", "proof"]),
    ("prometheus_client", &["observe"]),
    ("granit_parser", &["parse", "change"]),
    ("serde_saphyr", &["parse", "render", "publish", "observe", "change", "cli"]),
    ("jsonschema", &["parse", "render"]),
    ("schemars", &["model", "parse", "change"]),
    ("reqwest", &["agent", "api", "cli"]),
    ("jsonwebtoken", &["proof", "api", "cli"]),
    ("anyhow", &["cli"]),
    ("clap", &["cli"]),
    ("clap_complete", &["cli"]),
    ("comfy_table", &["cli"]),
    ("annotate_snippets", &["cli"]),
    ("anstream", &["cli"]),
    ("anstyle", &["cli"]),
    ("include_dir", &["cli"]),
    ("tempfile", &["git", "cli"]),
    ("tracing_subscriber", &["cli"]),
    ("subtle", &["api"]),
    ("strsim", &["model", "parse"]),
    // Digests, and the hosts' order in a spread.
    ("sha2", &["schedule", "git", "proof", "deliver", "observe", "api", "cli"]),
    ("jiff", &["model"]),
    ("getrandom", &["git", "proof", "change", "agent", "cli"]),
    ("rustix", &["git", "deliver", "controller", "cli"]),
    ("tokio", &["git", "deliver", "observe", "controller", "agent", "api", "cli"]),
    ("tracing", &["git", "deliver", "controller", "agent", "api", "cli"]),
    (
        "serde_json",
        &[
            "model",
            "parse",
            "schedule",
            "render",
            "plan",
            "publish",
            "deliver",
            "change",
            "controller",
            "agent",
            "api",
            "cli",
        ],
    ),
    ("kube", &["deliver"]),
    // The sandbox of the worker processes.
    ("landlock", &["controller"]),
    ("seccompiler", &["controller"]),
    ("libc", &["controller"]),
    ("walkdir", &["git", "deliver", "change", "cli"]),
];

/// What L0 and L1 may not name: files, environment, clock, threads, logs.
const IMPURE: [&str; 10] = [
    "std::fs",
    "std::env",
    "std::net::Tcp",
    "std::net::Udp",
    "ToSocketAddrs",
    "std::process",
    "SystemTime",
    "Instant::now",
    "Timestamp::now",
    "tracing::",
];

/// The last layer that may only compute.
const PURE: usize = 2;

/// One source file: its top module and its code without comments, tests and strings.
struct Source {
    path: PathBuf,
    module: String,
    code: String,
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("the folder is readable") {
            let path = entry.expect("the entry is readable").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                let below = path.strip_prefix(&root).expect("it lies below src").to_owned();
                let first = below.iter().next().expect("it has a name").to_string_lossy();
                let module = first.trim_end_matches(".rs").to_owned();
                let is_test = below.iter().any(|part| part == "tests.rs" || part == "tests");
                if !is_test {
                    let text = fs::read_to_string(&path).expect("sources are text");
                    found.push(Source { path: below, module, code: strip(&text) });
                }
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

/// Drops comments and the inline test module; what stands behind that is code again.
fn strip(text: &str) -> String {
    const TESTS: &str = "#[cfg(test)]\nmod tests {";
    let mut code = text.to_owned();
    while let Some(start) = code.find(TESTS) {
        let rest = &code[start + TESTS.len()..];
        // Formatted code closes a module of the file at the start of a line, or on the same line.
        let one_line = rest.find('\n').unwrap_or(rest.len());
        let length = match rest[..one_line].trim_end().ends_with('}') {
            true => one_line,
            false => rest.find("\n}").map_or(rest.len(), |end| end + "\n}".len()),
        };
        code.replace_range(start..start + TESTS.len() + length, "");
    }
    let lines = code.lines().map(|line| line.split("//").next().unwrap_or(""));
    lines.collect::<Vec<_>>().join("\n")
}

/// The modules that `code` names behind `crate::`, in braces (`use crate::{a, b::c}`) too, or
/// behind `super::`.
fn imports(code: &str) -> Vec<String> {
    let behind_super = code.match_indices("super::").map(|(at, word)| &code[at + word.len()..]);
    let mut found: Vec<String> = behind_super.map(identifier).collect();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        let Some(list) = rest.strip_prefix('{') else {
            found.push(identifier(rest));
            continue;
        };
        let (mut depth, mut expects_name) = (1, true);
        for (place, c) in list.char_indices() {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                ',' if depth == 1 => expects_name = true,
                c if expects_name && depth == 1 && !c.is_whitespace() => {
                    found.push(identifier(&list[place..]));
                    expects_name = false;
                }
                _ => {}
            }
            if depth == 0 {
                break;
            }
        }
    }
    found
}

fn identifier(text: &str) -> String {
    text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

/// Whether `code` names the outside crate `name` as a path (`name::…`) or in a `use`.
fn names_crate(code: &str, name: &str) -> bool {
    code.match_indices(name).any(|(at, _)| {
        let before = code[..at].chars().next_back();
        let after = &code[at + name.len()..];
        let starts =
            before.is_none_or(|c| !c.is_alphanumeric() && c != '_' && c != ':' && c != '.');
        let used = code[..at].trim_end().ends_with("use") && after.starts_with([';', ' ']);
        starts && (after.starts_with("::") || used)
    })
}

fn layer(module: &str) -> Option<usize> {
    LAYERS.iter().position(|modules| modules.contains(&module))
}

/// Every breach of the rule in one file, as a sentence.
fn breaches(source: &Source) -> Vec<String> {
    let mut found = Vec::new();
    let mut complain = |what: String| found.push(format!("{}: {what}", source.path.display()));
    let Some(own) = layer(&source.module) else {
        if !matches!(source.module.as_str(), "lib" | "main") {
            complain(format!("module `{}` has no layer", source.module));
        }
        return found;
    };
    for import in imports(&source.code) {
        match layer(&import) {
            Some(other) if import != source.module && other >= own => {
                complain(format!("`{}` may not import `{import}`", source.module));
            }
            _ => {}
        }
    }
    for (name, owners) in OWNERS {
        if !owners.contains(&source.module.as_str()) && names_crate(&source.code, name) {
            complain(format!("`{name}` belongs to {owners:?}"));
        }
    }
    if own <= PURE {
        for word in IMPURE.iter().filter(|word| source.code.contains(**word)) {
            complain(format!("L{own} may not name `{word}`"));
        }
    }
    found
}

#[test]
fn imports_go_downwards_only() {
    let found: Vec<String> = sources().iter().flat_map(breaches).collect();
    assert!(found.is_empty(), "the import rule is broken:\n{}", found.join("\n"));
}

#[test]
fn every_module_has_a_layer_and_every_layer_exists() {
    let mut modules: BTreeMap<String, usize> = BTreeMap::new();
    for source in sources() {
        *modules.entry(source.module).or_default() += 1;
    }
    for module in LAYERS.concat() {
        assert!(modules.contains_key(module), "`{module}` is gone; take it out of the table");
    }
}

/// The rule is only worth something if it fails when it is broken: plant each kind of breach.
#[test]
fn planted_breaches_are_caught() {
    let check = |module: &str, code: &str, caught: bool| {
        let source = Source { path: "planted.rs".into(), module: module.into(), code: strip(code) };
        assert_eq!(!breaches(&source).is_empty(), caught, "{module}: {code}");
    };
    check("schedule", "use crate::render::Renderer;", true);
    check("schedule", "use crate::{model::Fleet, parse::{Parsed, layout}};", true);
    check("schedule", "use crate::{\n    model::{Fleet, Host},\n    git,\n};", true);
    check("api", "fn f() { crate::controller::run(); }", true);
    check("git", "use crate::publish::publish;", true);
    check("schedule", "use super::render::Renderer;", true);
    check("schedule", "use super::super::git::Repository;", true);
    check("parse", "let now = std::time::SystemTime::now();", true);
    check("render", "std::fs::read(path)", true);
    check("render", "tracing::info!(\"x\");", true);
    check("render", "use tokio::sync::mpsc;", true);
    check("api", "use gix::Repository;", true);
    check("agent", "let digest = sha2::Sha256::new();", true);
    check("observe", "use jiff::Zoned;", true);
    check("controller", "fn f() -> anyhow::Result<()> {}", true);
    check("mystery", "", true);
    check("schedule", "use crate::model::{Fleet, Assignments};", false);
    check("cli", "use crate::{controller, agent, api, git};", false);
    check("git", "use gix::ObjectId;", false);
    check("parse", "// std::fs is named in a comment", false);
    check("schedule", "#[cfg(test)]\nmod tests { use crate::parse::parse; }", false);
    check("schedule", "#[cfg(test)]\nmod tests {\n    use crate::parse::parse;\n}\n", false);
    check("schedule", "#[cfg(test)]\nmod tests;\nuse crate::git::Repository;", true);
    check("schedule", "#[cfg(test)]\nmod tests {\n}\nuse crate::git::Repository;", true);
}
