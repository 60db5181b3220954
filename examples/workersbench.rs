use std::path::PathBuf;
use std::time::Instant;
use titan::controller::workers::Workers;
use titan::git::Repository;
use titan::model::*;
use titan::parse::parse;
use titan::schedule::schedule;

fn fleet(hosts: usize, deployments: usize, extra: Option<&str>) -> Fleet {
    let mut files = Vec::new();
    let mut add = |path: String, text: String| {
        files.push(SourceFile {
            path: RepoPath::new(&path).unwrap(),
            content: Content::Bytes(text.into_bytes().into()),
        });
    };
    let object = |kind: &str, rest: &str| format!("apiVersion: titan.dev/v1\nkind: {kind}\n{rest}");
    for host in 0..hosts {
        add(
            format!("hosts/h{host}.yaml"),
            object(
                "Host",
                &format!(
                    "metadata: {{labels: {{ring: r{}, region: eu}}}}\nspec:\n  values: {{number: {host}, address: 10.0.{}.{}}}\n",
                    host % 3,
                    host / 250,
                    host % 250
                ),
            ),
        );
    }
    for t in 0..10 {
        add(
            format!("templates/t{t}/template.yaml"),
            object("Template", "spec: {defaults: {image: nginx, replicas: 2}}\n"),
        );
        for kind in ["Deployment", "Service"] {
            let mut text = format!(
                "apiVersion: apps/v1\nkind: {kind}\nmetadata:\n  name: {{{{ deployment.name }}}}\n  labels:\n    host: {{{{ host.name }}}}\nspec:\n  replicas: {{{{ values.replicas }}}}\n  image: {{{{ values.image }}}}\n  address: {{{{ host.values.address }}}}\n"
            );
            for i in 0..30 {
                text.push_str(&format!("  setting{i}: value of setting {i} here\n"));
            }
            add(format!("templates/t{t}/files/{kind}.yaml.tera"), text);
        }
    }
    if let Some(text) = extra {
        add("templates/evil/template.yaml".into(), object("Template", "spec: {}\n"));
        add("templates/evil/files/a.yaml.tera".into(), text.into());
        add(
            "workspaces/w/workloads/evil/workload.yaml".into(),
            object("Workload", "spec: {template: evil}\n"),
        );
        add(
            "workspaces/w/workloads/evil/deployments/d.yaml".into(),
            object("Deployment", "spec: {target: all}\n"),
        );
    }
    add("workspaces/w/workspace.yaml".into(), object("Workspace", "spec: {}\n"));
    add("workspaces/w/targets/all.yaml".into(), object("Target", "spec: {selector: {}}\n"));
    for d in 0..deployments {
        add(
            format!("workspaces/w/workloads/l{d}/workload.yaml"),
            object("Workload", &format!("spec: {{template: t{}}}\n", d % 10)),
        );
        add(
            format!("workspaces/w/workloads/l{d}/deployments/d.yaml"),
            object(
                "Deployment",
                &format!("spec: {{target: all, values: {{image: \"nginx:{d}\"}}}}\n"),
            ),
        );
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    let parsed = parse(None, &files);
    assert!(parsed.diagnostics.is_empty(), "{:?}", parsed.diagnostics);
    parsed.fleet
}

fn all(fleet: &Fleet, hosts: impl Fn(&str) -> bool) -> Pairs {
    let mut pairs = Pairs::default();
    for (d, h) in schedule(fleet, &Assignments::default()).assignments.iter() {
        if hosts(h.as_str()) {
            pairs.insert(d, h);
        }
    }
    pairs
}

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let hosts: usize = args[1].parse().unwrap();
    let program = PathBuf::from(&args[2]);
    let fleet_ = fleet(hosts, 50, None);
    let pairs = all(&fleet_, |_| true);
    println!("{} pairs", pairs.count());
    let root = tempfile::tempdir().unwrap();
    let run = |name: &str, workers: &Workers, fleet: &Fleet, pairs: &Pairs| {
        let path = root.path().join(name);
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir(&path).unwrap();
        let repository = Repository::init(&path, "main").unwrap();
        let objects = repository.begin();
        let start = Instant::now();
        let outcomes = workers.render(fleet, pairs, Some(&objects)).unwrap();
        let rendered = start.elapsed();
        objects.finish().unwrap();
        println!(
            "{name}: render {rendered:?}, with finish {:?}; made {} failed {}",
            start.elapsed(),
            outcomes.made.len(),
            outcomes.failed.len()
        );
        outcomes
    };
    for round in 0..3 {
        let threads = Workers::threads();
        let a = run(&format!("threads{round}"), &threads, &fleet_, &pairs);
        let processes = Workers::processes_of(program.clone());
        let b = run(&format!("processes{round}"), &processes, &fleet_, &pairs);
        assert!(a == b);
        run(&format!("processes-warm{round}"), &processes, &fleet_, &pairs);
    }
    let processes = Workers::processes_of(program.clone());
    let one = all(&fleet_, |h| h == "h7");
    let mut f = fleet_.clone();
    let mut times = Vec::new();
    for i in 0..30 {
        let name = Name::new("h7").unwrap();
        let mut host = (*f.hosts[&name]).clone();
        host.labels.insert("change".into(), format!("c{i}"));
        f.hosts.insert(name, std::sync::Arc::new(host));
        let start = Instant::now();
        let outcomes = processes.render(&f, &one, None).unwrap();
        times.push(start.elapsed());
        assert_eq!(outcomes.made.len(), 50);
    }
    println!("one host (50 pairs), first {:?}, second {:?}", times[0], times[1]);
    times.sort();
    println!("one host processes: median {:?} max-1 {:?}", times[15], times[28]);
    let threads = Workers::threads();
    let mut times: Vec<_> = (0..30)
        .map(|_| {
            let s = Instant::now();
            threads.render(&f, &one, None).unwrap();
            s.elapsed()
        })
        .collect();
    times.sort();
    println!("one host threads (cold renderer): median {:?}", times[15]);
    let d1: Pairs = {
        let mut p = Pairs::default();
        p.insert(&"w/l1/d".parse().unwrap(), &Name::new("h7").unwrap());
        p
    };
    let mut times: Vec<_> = (0..100)
        .map(|_| {
            let s = Instant::now();
            processes.render(&f, &d1, None).unwrap();
            s.elapsed()
        })
        .collect();
    times.sort();
    println!("one pair processes: median {:?}", times[50]);
    for (what, text) in [
        ("loops", "{% for x in range(end=99999) %}{% for y in range(end=99999) %}{% endfor %}{% endfor %}".to_string()),
        ("doubling", format!("{{% set a = \"0123456789abcdef\" %}}{}", "{% set a = a ~ a %}".repeat(40))),
        ("slow steps", "{% set a = \"0123456789abcdef\" %}{% for i in range(end=16) %}{% set_global a = a ~ a %}{% endfor %}{% for x in range(end=99999) %}{% set b = a | upper | title | replace(from=\"0\", to=\"1\") %}{% endfor %}".to_string()),
    ] {
        let f = fleet(hosts, 50, Some(&text));
        let pairs = all(&f, |_| true);
        let processes = Workers::processes_of(program.clone());
        let o = run(&format!("evil {what}"), &processes, &f, &pairs);
        println!("   {:?}", o.failed.values().next().map(|d| d[0].to_string()));
        let start = Instant::now();
        processes.render(&f, &one, None).unwrap();
        println!("   good host after that {:?}", start.elapsed());
    }
}
