use super::*;
use crate::parse::parse;

struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        usize::try_from(self.0 >> 33).expect("31 bits") % bound
    }

    fn of<'a>(&mut self, all: &[&'a str]) -> &'a str {
        all[self.below(all.len())]
    }
}

const HOSTS: &[&str] = &[
    "hosts/a.yaml",
    "hosts/b.yaml",
    "hosts/c.yaml",
    "hosts/eu/a.yaml",
    "hosts/eu/d.yaml",
    "hosts/eu/north/e.yaml",
    // These lie in each other's folders.
    "hosts/eu.yaml",
    "hosts/eu/north.yaml",
    "hosts/us/f.yaml",
];

const OTHERS: &[&str] = &[
    "workspaces/iot/workspace.yaml",
    "workspaces/default/workspace.yaml",
    "workspaces/iot/targets/all.yaml",
    "workspaces/iot/targets/some.yaml",
    "workspaces/iot/workloads/temp/workload.yaml",
    "workspaces/iot/workloads/temp/deployments/x.yaml",
    "workspaces/iot/workloads/temp/deployments/y.yaml",
    "workspaces/iot/workloads/temp/deployments/z.yaml",
    "workspaces/iot/workloads/lost/deployments/x.yaml",
    "templates/web/template.yaml",
    "templates/base/template.yaml",
    "templates/web/files/a.yaml",
    "templates/base/files/b.yaml.tera",
    "workspaces/iot/templates/web/template.yaml",
    "workspaces/iot/templates/own/files/a.yaml",
];

const STRAY: &[&str] = &[
    "hosts/a.yml",
    "hosts/README.md",
    "hosts/notes.txt",
    "hosts/EU/x.yaml",
    "Hosts/q.yaml",
    "hosts",
    "templates/web/a.yaml",
    "workspaces/iot/workload/x.yaml",
    "titan.yml",
    "docs/x.md",
];

/// The specs of a kind: right ones, and such that are wrong by themselves or by what they refer to.
fn specs(path: &str) -> (&'static str, &'static [&'static str]) {
    if path.starts_with("hosts/") {
        ("Host", &["{}", "{}", "{cordoned: true}", "{values: {a: 1}}", "{runtime: moon}"])
    } else if path.ends_with("/workspace.yaml") {
        ("Workspace", &["{}", "{values: {a: 1}}", "{hosts: {matchLabels: {a: b}}}", "{x: 1}"])
    } else if path.contains("/targets/") {
        ("Target", &["{selector: {}}", "{selector: {matchLabels: {a: b}}}", "{}"])
    } else if path.ends_with("/workload.yaml") {
        ("Workload", &["{template: web}", "{}", "{template: base}", "{template: wbe}", "{repo: 1}"])
    } else if path.ends_with("/template.yaml") {
        ("Template", &["{}", "{extends: base}", "{extends: web}", "{defaults: {a: 1}}", "{x: 1}"])
    } else {
        (
            "Deployment",
            &[
                "{target: all}",
                "{target: some, template: web}",
                "{target: all, template: own}",
                "{target: al}",
                "{target: all, replicas: -1}",
            ],
        )
    }
}

fn content(random: &mut Random, path: &str) -> Content {
    match random.below(40) {
        0 => return Content::Symlink,
        1 => return Content::Submodule,
        2 => return Content::TooLarge { bytes: 7 },
        3 => return Content::Malformed { reason: "bad".into() },
        4 => return Content::Bytes((*b"a: [").into()),
        _ => {}
    }
    if path.contains("/files/") {
        return Content::Bytes(format!("a: {}\n", random.below(3)).into_bytes().into());
    }
    if path == SETTINGS {
        let text = random.of(&[
            "{}",
            "{guards: {removals: {percent: 7}}}",
            "{limits: {hosts: 3}}",
            "{limits: {objects: 4}}",
            "{limits: {yamlSize: 90}}",
            "{limits: {yamlDepth: 2}}",
            "{x: 1}",
        ]);
        return Content::Bytes(
            format!("apiVersion: titan.dev/v1\nkind: Fleet\nspec: {text}\n").into_bytes().into(),
        );
    }
    let (kind, specs) = specs(path);
    let comment = "# note\n".repeat(random.below(3));
    let labels = random.of(&["", "metadata: {labels: {a: b}}\n"]);
    let spec = random.of(specs);
    let text = format!("{comment}apiVersion: titan.dev/v1\nkind: {kind}\n{labels}spec: {spec}\n");
    Content::Bytes(text.into_bytes().into())
}

/// A fleet to begin with, in which little is wrong.
fn start() -> BTreeMap<RepoPath, Content> {
    let good = |path: &&str| {
        let (kind, specs) = specs(path);
        let text = format!("apiVersion: titan.dev/v1\nkind: {kind}\nspec: {}\n", specs[0]);
        (RepoPath::new(path).expect("a path"), Content::Bytes(text.into_bytes().into()))
    };
    HOSTS[..3].iter().chain(OTHERS).map(good).collect()
}

/// One step: mostly hosts, so that hosts alone change often.
fn step(random: &mut Random) -> (RepoPath, Option<Content>) {
    let path = match random.below(20) {
        0 => SETTINGS,
        1 | 2 => random.of(STRAY),
        3..10 => random.of(OTHERS),
        _ => random.of(HOSTS),
    };
    // What stands in a wrong place is mostly taken away again.
    let stays = if STRAY.contains(&path) || path == SETTINGS { 2 } else { 5 };
    let content = (random.below(stays) > 0).then(|| content(random, path));
    (RepoPath::new(path).expect("a path"), content)
}

#[track_caller]
fn assert_same(found: &Parsed, full: &Parsed) {
    assert_eq!(found.diagnostics, full.diagnostics);
    let (found, full) = (&found.fleet, &full.fleet);
    assert_eq!(found.revision, full.revision);
    assert_eq!(found.settings, full.settings);
    assert_eq!(found.held, full.held);
    assert_eq!(found.hosts, full.hosts);
    assert_eq!(found.workspaces, full.workspaces);
    assert_eq!(found.templates, full.templates);
    assert_eq!(found.targets, full.targets);
    assert_eq!(found.workloads, full.workloads);
    assert_eq!(found.deployments, full.deployments);
}

/// What equals the object before must be that very object.
#[track_caller]
fn assert_shared<K: Ord, V: PartialEq>(
    before: &BTreeMap<K, Arc<V>>,
    after: &BTreeMap<K, Arc<V>>,
) -> usize {
    let mut kept = 0;
    for (key, value) in after {
        if let Some(known) = before.get(key).filter(|known| **known == *value) {
            assert!(Arc::ptr_eq(known, value), "an equal object is another one");
            kept += 1;
        }
    }
    kept
}

fn all_shared(before: &Fleet, after: &Fleet) -> usize {
    assert_shared(&before.hosts, &after.hosts)
        + assert_shared(&before.workspaces, &after.workspaces)
        + assert_shared(&before.templates, &after.templates)
        + assert_shared(&before.targets, &after.targets)
        + assert_shared(&before.workloads, &after.workloads)
        + assert_shared(&before.deployments, &after.deployments)
}

#[test]
fn step_by_step_gives_what_all_at_once_gives() {
    let (mut open, mut shared, mut good) = (0, 0, 0);
    for seed in 0..60 {
        let mut random = Random(seed);
        let mut parser = Parser::default();
        let mut files: BTreeMap<RepoPath, Content> = BTreeMap::new();
        let mut before = Parsed::default();
        for number in 0..40u8 {
            let mut changes = BTreeMap::new();
            if number == 0 {
                files = start();
                changes =
                    files.iter().map(|(path, file)| (path.clone(), Some(file.clone()))).collect();
            }
            for _ in 0..=random.below(2) {
                let (path, content) = step(&mut random);
                match content.clone() {
                    Some(content) => drop(files.insert(path.clone(), content)),
                    None => drop(files.remove(&path)),
                }
                changes.insert(path, content);
            }
            let list: Vec<SourceFile> = files
                .iter()
                .map(|(path, content)| SourceFile { path: path.clone(), content: content.clone() })
                .collect();
            let all = random.below(5) == 0;
            let changes =
                if all { SourceChanges::All(list.clone()) } else { SourceChanges::Some(changes) };
            let revision = Some(Revision::from_bytes([number; 20]));
            let full = parse(revision, &list);
            let found = parser.update(revision, changes);
            assert_same(&found, &full);
            shared += all_shared(&before.fleet, &found.fleet);
            open += usize::from(parser.open);
            good += full.fleet.deployments.len();
            before = found;
        }
    }
    assert!(open > 400 && shared > 8000 && good > 300, "{open} {shared} {good}");
}

#[test]
fn hosts_alone_are_patched_into_the_fleet() {
    let host = |spec: &str| {
        let text = format!("apiVersion: titan.dev/v1\nkind: Host\nspec: {spec}\n");
        Some(Content::Bytes(text.into_bytes().into()))
    };
    let change = |path: &str, content: Option<Content>| -> BTreeMap<RepoPath, Option<Content>> {
        BTreeMap::from([(RepoPath::new(path).expect("a path"), content)])
    };
    // The steps, and whether the fleet is resolved anew.
    let steps = [
        (change("hosts/a.yaml", host("{}")), true),
        (change("hosts/b.yaml", host("{}")), false),
        (change("hosts/b.yaml", host("{cordoned: true}")), false),
        (change("hosts/b.yaml", host("{cordoned: true} # so")), false),
        (change("hosts/eu/c.yaml", host("{}")), false),
        (change("hosts/eu.yaml", host("{}")), true),
        (change("hosts/eu.yaml", None), true),
        (change("hosts/eu/b.yaml", host("{}")), true),
        (change("hosts/b.yaml", None), true),
        (change("hosts/eu/b.yaml", None), false),
        (change("hosts/a.yaml", host("{x: 1}")), true),
        (change("hosts/a.yaml", host("{}")), true),
        (change("hosts/a.yml", host("{}")), true),
        (change("hosts/b.yaml", host("{}")), true),
    ];
    let mut parser = Parser::default();
    for (number, (changes, anew)) in steps.into_iter().enumerate() {
        let changed = parser.replace_all(SourceChanges::Some(changes));
        parser.read_settings();
        parser.read();
        let patched = parser.patch(&changed);
        assert_eq!(patched.is_none(), anew, "step {number}");
        let fleet = patched.unwrap_or_else(|| parser.build(None));
        parser.last.fleet = Arc::new(fleet);
    }
}
