//! What a render may use up: steps, and bytes of output. Both are counted, not timed, so that the
//! same template meets its limit on every machine alike.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use tera::value::ValueKind;
use tera::{Error, Kwargs, State, Tera, Value};

use super::filters::mismatch;
use super::scan::{EACH, TICK};
use crate::model::Limits;

/// Steps for each millisecond of `limits.renderTime`: a loop's round takes about a microsecond.
const STEPS_PER_MS: u64 = 1000;

/// The steps that are left to a render, shared with the functions that its templates call.
#[derive(Debug, Default)]
pub(super) struct Fuel {
    left: AtomicU64,
    empty: AtomicBool,
    thrown: AtomicBool,
}

impl Fuel {
    /// Puts the meters into `tera`. Its functions cannot be reached by any name that titan documents.
    pub(super) fn install(tera: &mut Tera) -> Arc<Self> {
        let fuel = Arc::new(Self::default());
        let meter = Arc::clone(&fuel);
        tera.register_filter(EACH, move |items: Value, _: Kwargs, _: &State<'_>| {
            match items.kind() {
                ValueKind::Array | ValueKind::Map | ValueKind::String | ValueKind::Bytes => {
                    meter.take(items.len().unwrap_or(1))?;
                    Ok(items)
                }
                _ => Err(mismatch("array, map or string", &items)),
            }
        });
        let meter = Arc::clone(&fuel);
        tera.register_function(TICK, move |_: Kwargs, _: &State<'_>| {
            meter.take(1)?;
            Ok::<_, Error>("")
        });
        // Tera's own, but so that a template's own complaint is told apart from a mistake in it.
        let meter = Arc::clone(&fuel);
        tera.register_function("throw", move |arguments: Kwargs, _: &State<'_>| {
            let message = arguments.must_get::<String>("message")?;
            meter.thrown.store(true, Relaxed);
            Err::<bool, _>(Error::message(message))
        });
        fuel
    }

    /// How many steps the limits allow.
    pub(super) fn steps(limits: &Limits) -> u64 {
        let ms = limits.render_time.duration().as_millis();
        u64::try_from(ms).unwrap_or(u64::MAX).saturating_mul(STEPS_PER_MS)
    }

    pub(super) fn refill(&self, steps: u64) {
        self.left.store(steps, Relaxed);
        self.empty.store(false, Relaxed);
        self.thrown.store(false, Relaxed);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.empty.load(Relaxed)
    }

    /// Whether the template itself called `throw`.
    pub(super) fn has_thrown(&self) -> bool {
        self.thrown.load(Relaxed)
    }

    fn take(&self, steps: usize) -> Result<(), Error> {
        let steps = u64::try_from(steps).unwrap_or(u64::MAX);
        let left = self.left.load(Relaxed).checked_sub(steps);
        self.left.store(left.unwrap_or(0), Relaxed);
        if left.is_none() {
            self.empty.store(true, Relaxed);
            return Err(Error::message("too many steps"));
        }
        Ok(())
    }
}

/// Collects output, until it is more than `limit` bytes.
#[derive(Debug)]
pub(super) struct Output {
    pub(super) bytes: Vec<u8>,
    pub(super) full: bool,
    limit: usize,
}

impl Output {
    /// With room for so many bytes, which may become more.
    pub(super) fn new(room: usize, limit: usize) -> Self {
        Self { bytes: Vec::with_capacity(room.min(limit)), full: false, limit }
    }
}

impl io::Write for &mut Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + bytes.len() > self.limit {
            self.full = true;
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
