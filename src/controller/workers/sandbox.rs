//! What a worker cannot do: open a file or a socket, start a process, use more memory than a render
//! may, or see the environment that titan runs in.
//!
//! Three walls behind each other, as no kernel is bound to have all of them:
//!
//! | wall | keeps out | where |
//! |---|---|---|
//! | resource limits | memory beyond the limit, any further file descriptor, files, core dumps | every Unix |
//! | Landlock | the file system, TCP, signals to and abstract sockets of others | Linux 5.13 and newer, by and by |
//! | seccomp | every system call but those that memory, time and the two pipes need | Linux on x86-64, arm64, riscv64 |
//!
//! Its environment is empty and its standard error is closed from the start: see `process`.

use std::io;

use rustix::process::{Resource, Rlimit, setrlimit};
use serde::{Deserialize, Serialize};

use crate::model::Size;

/// Which walls stand, beside the resource limits that always do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confinement {
    /// Landlock, as far as the kernel knows it.
    pub landlock: bool,
    pub seccomp: bool,
}

/// What a worker keeps beside the render at hand: the program, templates, a share and its chunk.
const BASE: Size = Size::mib(256);
/// More CPU time than any worker ever takes; the parent counts what a render may take, this ends a
/// worker whose parent is gone.
const LIFETIME: u64 = 3600;

/// Goes into the sandbox; there is no way back.
///
/// # Errors
/// When limits cannot be set.
pub(super) fn enter(memory: Size) -> io::Result<Confinement> {
    // Landlock needs a file descriptor for a moment, and seccomp forbids to set limits.
    let landlock = landlock();
    let limits = [
        (Resource::As, BASE.0.saturating_add(memory.0)),
        (Resource::Cpu, LIFETIME),
        (Resource::Nofile, 0),
        (Resource::Nproc, 0),
        (Resource::Fsize, 0),
        (Resource::Core, 0),
    ];
    for (resource, limit) in limits {
        setrlimit(resource, Rlimit { current: Some(limit), maximum: Some(limit) })?;
    }
    Ok(Confinement { landlock, seccomp: seccomp() })
}

/// Takes away every right that Landlock knows. Whether it holds.
#[cfg(target_os = "linux")]
fn landlock() -> bool {
    use landlock::{ABI, Access, AccessFs, AccessNet, Ruleset, RulesetAttr, RulesetStatus, Scope};
    let newest = ABI::V6;
    let rules = Ruleset::default()
        .handle_access(AccessFs::from_all(newest))
        .and_then(|rules| rules.handle_access(AccessNet::from_all(newest)))
        .and_then(|rules| rules.scope(Scope::from_all(newest)))
        .and_then(|rules| rules.create()?.restrict_self());
    rules.is_ok_and(|status| status.ruleset != RulesetStatus::NotEnforced)
}

/// Forbids all system calls but a few, with `EPERM`. Whether it holds.
#[cfg(target_os = "linux")]
fn seccomp() -> bool {
    use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, apply_filter};
    let forbidden = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    let filter = || -> Result<BpfProgram, Box<dyn std::error::Error>> {
        let arch = std::env::consts::ARCH.try_into()?;
        let filter = SeccompFilter::new(calls()?, forbidden, SeccompAction::Allow, arch)?;
        Ok(filter.try_into()?)
    };
    filter().is_ok_and(|filter| apply_filter(&filter).is_ok())
}

/// The system calls that are left, with what must hold for their arguments.
#[cfg(target_os = "linux")]
fn calls()
-> Result<std::collections::BTreeMap<i64, Vec<seccompiler::SeccompRule>>, seccompiler::BackendError>
{
    use seccompiler::{
        SeccompCmpArgLen::Dword, SeccompCmpOp as Op, SeccompCondition as Condition, SeccompRule,
    };
    let rule =
        |argument, op, value| SeccompRule::new(vec![Condition::new(argument, Dword, op, value)?]);
    let free = [
        // The pipes.
        libc::SYS_read,
        libc::SYS_write,
        libc::SYS_writev,
        libc::SYS_close,
        // Memory.
        libc::SYS_munmap,
        libc::SYS_mremap,
        libc::SYS_madvise,
        libc::SYS_brk,
        // Waiting, time, chance (for hash maps), and the end.
        libc::SYS_futex,
        libc::SYS_sched_yield,
        libc::SYS_clock_gettime,
        libc::SYS_getrandom,
        libc::SYS_restart_syscall,
        libc::SYS_rt_sigreturn,
        libc::SYS_rt_sigaction,
        libc::SYS_rt_sigprocmask,
        libc::SYS_sigaltstack,
        libc::SYS_getpid,
        libc::SYS_gettid,
        libc::SYS_exit,
        libc::SYS_exit_group,
    ];
    let mut calls: std::collections::BTreeMap<i64, _> = free.map(|call| (call, Vec::new())).into();
    // Memory that cannot be executed.
    let executable = libc::PROT_EXEC.unsigned_abs().into();
    for call in [libc::SYS_mmap, libc::SYS_mprotect] {
        calls.insert(call, vec![rule(2, Op::MaskedEq(executable), 0)?]);
    }
    // To abort itself.
    let own = std::process::id().into();
    calls.insert(libc::SYS_tgkill, vec![rule(0, Op::Eq, own)?]);
    Ok(calls)
}

#[cfg(not(target_os = "linux"))]
fn landlock() -> bool {
    false
}

#[cfg(not(target_os = "linux"))]
fn seccomp() -> bool {
    false
}

/// What a worker could do that it should not: nothing, if all is well.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    pub breaches: Vec<String>,
}

/// Tries to break out.
pub(super) fn probe() -> Probe {
    use std::{env, fs, net, process, thread};
    let tries = [
        ("reads a file", fs::read("/proc/self/status").is_ok()),
        ("reads a folder", fs::read_dir("/").is_ok()),
        ("writes a file", fs::write(env::temp_dir().join("titan-breach"), "").is_ok()),
        ("listens", net::TcpListener::bind(("127.0.0.1", 0)).is_ok()),
        ("connects", net::TcpStream::connect(("127.0.0.1", 9)).is_ok()),
        ("has a socket", net::UdpSocket::bind(("127.0.0.1", 0)).is_ok()),
        ("starts a program", process::Command::new("/proc/self/exe").spawn().is_ok()),
        ("starts a thread", thread::Builder::new().spawn(|| ()).is_ok()),
        ("has an environment", env::vars_os().next().is_some()),
    ];
    let breaches = tries.into_iter().filter(|(_, worked)| *worked);
    Probe { breaches: breaches.map(|(what, _)| what.to_owned()).collect() }
}
