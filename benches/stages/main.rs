//! What the pure stages cost, one by one: the retail example with its hosts copied until there are a
//! thousand. For the whole, with Git and all, see `benches/fleet`.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::path::Path;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use titan::git::directory_files;
use titan::model::{Assignments, Content, Fleet, SourceFile};
use titan::parse::{self, parse};
use titan::plan::evaluate;
use titan::render::Renderer;
use titan::schedule::schedule;

const HOSTS: usize = 1000;

/// The files of the example; each host's as often as needed.
fn files() -> Vec<SourceFile> {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/retail");
    let files = directory_files(&example, parse::limits).expect("the example is there");
    let (hosts, mut all): (Vec<_>, Vec<_>) =
        files.into_iter().partition(|file| file.path.as_str().starts_with("hosts/"));
    all.extend((0..HOSTS).map(|number| copy(&hosts[number % hosts.len()], number)));
    all.sort_by(|a, b| a.path.cmp(&b.path));
    all
}

fn copy(host: &SourceFile, number: usize) -> SourceFile {
    let Content::Bytes(bytes) = &host.content else { panic!("`{}` is a file", host.path) };
    let name = host.path.file_name().trim_end_matches(".yaml");
    let renamed = |text: &str| text.replace(name, &format!("{name}-{number:04}"));
    let text = renamed(std::str::from_utf8(bytes).expect("it is text"));
    let path = renamed(host.path.as_str()).parse().expect("it is a path");
    SourceFile::regular(path, text.into_bytes())
}

fn fleet(files: &[SourceFile]) -> Fleet {
    let parsed = parse(None, files);
    assert!(parsed.diagnostics.is_empty(), "the example is fine: {:?}", parsed.diagnostics);
    std::sync::Arc::unwrap_or_clone(parsed.fleet)
}

fn stages(criterion: &mut Criterion) {
    let files = files();
    let fleet = fleet(&files);
    let none = Assignments::default();
    let current = schedule(&fleet, &none).assignments;

    let mut group = criterion.benchmark_group("1000 hosts");
    group.sample_size(10);
    group.bench_function("parse", |bencher| bencher.iter(|| parse(None, black_box(&files))));
    group.bench_function("schedule from nothing", |bencher| {
        bencher.iter(|| schedule(black_box(&fleet), &none));
    });
    group.bench_function("schedule again", |bencher| {
        bencher.iter(|| schedule(black_box(&fleet), &current));
    });
    group.bench_function("schedule and render", |bencher| {
        bencher.iter(|| evaluate(black_box(&fleet), &current));
    });
    group.finish();
    render(criterion, &fleet, &current);
}

/// One assignment of each template, whatever was prepared before.
fn render(criterion: &mut Criterion, fleet: &Fleet, current: &Assignments) {
    let mut of_template = BTreeMap::new();
    for (id, host) in current.iter() {
        let deployment = &fleet.deployments[id];
        of_template.entry(&deployment.template).or_insert((deployment, &fleet.hosts[host]));
    }
    let mut group = criterion.benchmark_group("render");
    for (template, (deployment, host)) in of_template {
        let mut renderer = Renderer::new(fleet);
        group.bench_function(template.to_string(), |bencher| {
            bencher.iter(|| renderer.render(black_box(deployment), host).expect("it renders"));
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    // Short: these are for comparing one's work with what was before, not for gates.
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2));
    targets = stages
}
criterion_main!(benches);
