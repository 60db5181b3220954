//! titan places workloads on a fleet of hosts. **A Git repository is its only state**: people change
//! YAML objects by pull request, a controller renders what every host must run into a generated
//! branch, hosts pull it, and what they report comes back as status files in Git.
//!
//! ```text
//!  people, CI, CLI                              Flux · Argo CD · titan agent
//!        │ commits                                    │ pull         │ report
//!        ▼                                            │              ▼
//!  ┌──────────────┐  parse → schedule → render  ┌─────┴─────────┐  observe  ┌──────────────┐
//!  │ config branch│ ──────────────────────────▶ │ titan/rendered │ ◀──────── │ titan/status │
//!  │ (people)     │          publish            │ (controller)   │           │ (controller) │
//!  └──────────────┘                             └───────────────┘           └──────────────┘
//! ```
//!
//! Three branches, one kind of writer each. Between them lies a pure function, around it a thin shell
//! that talks to Git, hosts and people.
//!
//! # One way through the code
//! Modules stand below in the order in which data flows. A module may import only from lower layers,
//! never from its own; stages meet in [`model`] and are composed in `controller/reconcile.rs` and
//! `agent/mod.rs`. `tests/it/architecture.rs` reads the sources and fails when this is broken.
//!
//! | layer | modules | may do |
//! |---|---|---|
//! | L0 | [`model`], [`parallel`] | nothing: plain data, and work shared out to threads |
//! | L1 | [`parse`], [`schedule`], [`render`], [`plan`] (which may call the other three) | compute: no file, clock, environment or log |
//! | L2 | [`git`] | Git: the only gix, notify and `git(1)` |
//! | L2 | [`proof`] | keys of hosts: sign and verify |
//! | L3 | [`publish`], [`deliver`], [`observe`], [`change`] | one effect each, time comes in as an argument |
//! | L4 | [`controller`], [`agent`], [`api`] | loops, clocks, sockets |
//! | L5 | [`cli`] | arguments, output, exit codes |
//!
//! # The life of a change
//! 1. A commit lands on the config branch: by pull request, or made by [`change`] for `titan create`,
//!    `set` and `delete`.
//! 2. [`controller`] notices it (a watch is a hint, polling decides) and walks the first-parent chain
//!    from the last rendered source commit to the head.
//! 3. For each of these commits, [`parse`] reads a [`model::Fleet`] and diagnostics, [`schedule`]
//!    decides what runs where, [`render`] fills the templates, and [`publish`] edits the previous
//!    rendered tree into the next and writes a commit. The branch moves once, to the last of them.
//! 4. [`agent`] sees that its host's folder has another tree id, lets [`deliver`] apply it, and reports.
//! 5. [`api`] takes the report, [`observe`] folds it into the assignment's status and commits it in batches.
//!
//! # Cost follows change
//! A controller keeps what it knows between passes (`controller/known.rs`), all of which follows from Git:
//! - `git::Sources` tells which source files differ; `parse::Parser` reads only those, and objects that are
//!   equal keep their `Arc`s;
//! - `plan::Core` finds by comparing fleets what has to be rendered, and what else may differ; the scheduler
//!   keeps the hosts of each target and patches them;
//! - `controller::workers` render in processes that may be killed, into chunks of one pack;
//! - [`publish`] edits the previous tree where something differs, and keeps `Rendered` up to date;
//! - [`observe`] is told what was touched.
//!
//! After a restart it reads the rendered head and goes on from there; what was rendered before is rendered
//! again behind it and compared, a few hosts at a time. `tests/it/scenario/incremental.rs` shows that who
//! keeps, who forgets and who comes late write the same commits.
//!
//! # Invariants
//! Each has a test that would fail without it.
//! - **I1** An accepted change appears in history exactly once.
//! - **I2** titan's branches move only forward, by compare-and-swap on the old value. Any number of
//!   controllers may run; a lost race is read again and redone, never forced.
//! - **I3** The rendered tree is a pure function of the source history, the renderer version and the
//!   recorded assignments: byte-identical on every machine. Commit dates come from the source commit.
//! - **I4** Generations on the rendered branch never go back.
//! - **I5** When nothing changes, nothing is written: no commit, no apply, no status.
//! - **I6** A problem stays where it is. A broken object holds back only what depends on it, which keeps
//!   its last good manifests; it is never read as a deletion. Prune touches only the own inventory, and
//!   an empty, unreadable or foreign desired state prunes nothing.
//! - **I7** A host speaks only for itself; a workspace changes only its own ([`model::access`]).
//! - **I8** Memory, queues, sizes and times are bounded: see [`model::Limits`].
//! - **I9** No manual repair: after any crash a restart converges. Local clones are caches; stale lock
//!   files of dead processes are cleared.
//! - **I10** Bad input gets a [`model::Diagnostic`] (code, file:line:column, what is wrong, how to fix
//!   it), an exit code or a 4xx; never a panic, a partial write or a secret in the message.
//!
//! # Errors
//! User mistakes are [`model::Diagnostic`]s, all at once. Effects have one error enum for each module,
//! and [`model::Recovery`] says what a loop does about one: retry, refresh or wait for a fix. `anyhow`
//! stays in [`cli`], which maps kinds to exit codes.

pub mod model;
pub mod parallel;

pub mod parse;
pub mod plan;
pub mod render;
pub mod schedule;

pub mod git;
pub mod proof;

pub mod change;
pub mod deliver;
pub mod observe;
pub mod publish;

pub mod agent;
pub mod api;
pub mod controller;

pub mod cli;
