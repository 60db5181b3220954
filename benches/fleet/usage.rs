//! Memory of a process and all that it started.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// Looks at a tree of processes until it is asked.
#[derive(Debug)]
pub(crate) struct Watch {
    done: Arc<AtomicBool>,
    thread: JoinHandle<u64>,
}

const PAUSE: Duration = Duration::from_millis(20);

impl Watch {
    pub(crate) fn of(process: u32) -> Self {
        let done = Arc::new(AtomicBool::new(false));
        let stop = Arc::clone(&done);
        let thread = std::thread::spawn(move || {
            let mut peak = 0;
            while !stop.load(Ordering::Relaxed) {
                peak = peak.max(resident(process));
                std::thread::sleep(PAUSE);
            }
            peak
        });
        Self { done, thread }
    }

    /// The most bytes that were resident: the peaks (`VmHWM`) of all processes that lived at the same
    /// time, added up. That is never less than what was resident at any moment.
    pub(crate) fn peak(self) -> u64 {
        self.done.store(true, Ordering::Relaxed);
        self.thread.join().unwrap_or(0)
    }
}

/// The peaks of a process and its descendants, as far as they are alive.
fn resident(root: u32) -> u64 {
    let parents = parents();
    let belongs = |process: u32| {
        let mut at = process;
        while at != root {
            match parents.get(&at) {
                Some(parent) if *parent > 1 => at = *parent,
                _ => return false,
            }
        }
        true
    };
    parents.keys().filter(|process| belongs(**process)).filter_map(|process| peak(*process)).sum()
}

/// Process → its parent.
fn parents() -> BTreeMap<u32, u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let numbers = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let parent = |process: u32| {
        let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
        // The name, in parentheses, may hold anything.
        stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()
    };
    numbers.filter_map(|process| Some((process, parent(process)?))).collect()
}

fn peak(process: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
}
