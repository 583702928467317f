//! What is said of a panic in a stage.
//!
//! Rust prints a panic's message to standard error, where nobody takes secrets out of it. While stages run here
//! their panics become lines of their logs instead, which go the way of everything that a stage says: through
//! the redaction of its attempt. Standard error has the place alone.

use std::any::Any;
use std::backtrace::{Backtrace, BacktraceStatus};
use std::cell::RefCell;
use std::panic::PanicHookInfo;
use std::sync::{Arc, Mutex, Once, PoisonError, TryLockError};
use std::thread::Thread;

use marquetry_plugin::StageEvents;
use marquetry_types::{LogLevel, LogLine, Timestamp};

/// The name of the threads on which stages run.
pub(crate) const THREAD_NAME: &str = "stage";

type Voice = Arc<dyn StageEvents>;

/// The stages that run in this process.
static OPEN: Mutex<Vec<Voice>> = Mutex::new(Vec::new());
static INSTALLED: Once = Once::new();

thread_local! {
    /// The stage that this thread drives.
    static DRIVEN: RefCell<Option<Voice>> = const { RefCell::new(None) };
}

/// From here on panics of stages are said by their voices. Others are said as they were.
pub(crate) fn install() {
    INSTALLED.call_once(|| {
        let others = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if is_of_stage(&std::thread::current()) {
                tell(panic);
            } else {
                others(panic);
            }
        }));
    });
}

/// A stage that this thread drives, for as long as this lives.
pub(crate) struct Driving {
    voice: Voice,
}

impl Driving {
    pub(crate) fn begin(voice: &Voice) -> Self {
        let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        open.push(Arc::clone(voice));
        DRIVEN.set(Some(Arc::clone(voice)));
        Self {
            voice: Arc::clone(voice),
        }
    }
}

impl Drop for Driving {
    fn drop(&mut self) {
        DRIVEN.set(None);
        let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|voice| !Arc::ptr_eq(voice, &self.voice));
    }
}

/// Threads that a stage starts have no name, unless it gives them one. Those of the coordinator, of the
/// worker and of tests have.
fn is_of_stage(thread: &Thread) -> bool {
    thread.name().is_none_or(|name| name == THREAD_NAME)
}

/// Whose panic it is: that of the stage which the thread drives, or of the only one that there is.
fn voice() -> Option<Voice> {
    // A thread that ends has no such value any more.
    let driven = DRIVEN.try_with(|driven| driven.borrow().clone());
    if let Ok(Some(voice)) = driven {
        return Some(voice);
    }
    // A panic must not wait for whoever holds the list.
    let open = match OPEN.try_lock() {
        Ok(open) => open,
        Err(TryLockError::Poisoned(open)) => open.into_inner(),
        Err(TryLockError::WouldBlock) => return None,
    };
    match open.as_slice() {
        [only] => Some(Arc::clone(only)),
        _ => None,
    }
}

fn tell(panic: &PanicHookInfo<'_>) {
    let place = panic
        .location()
        .map_or_else(|| "an unknown place".to_owned(), ToString::to_string);
    let backtrace = Backtrace::capture();
    let backtrace = match backtrace.status() {
        BacktraceStatus::Captured => Some(tracing::field::display(backtrace)),
        _ => None,
    };
    // Not its message, which may hold a secret.
    tracing::error!(place, backtrace, "a stage panicked");
    if let Some(voice) = voice() {
        let what = message(panic.payload());
        voice.log(LogLine {
            at: Timestamp::now(),
            level: LogLevel::Error,
            message: format!("it panicked at {place}: {what}"),
            fields: [("place".to_owned(), place.into())].into(),
        });
    }
}

/// What a panic says.
pub(crate) fn message(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| payload.downcast_ref::<&'static str>().copied())
        .unwrap_or("it gave no reason")
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

    use std::panic::panic_any;

    use marquetry_types::Progress;

    use super::*;

    #[derive(Default)]
    struct Heard(Mutex<Vec<String>>);

    impl StageEvents for Heard {
        fn progress(&self, _: Progress) {}

        fn log(&self, line: LogLine) {
            self.0.lock().unwrap().push(line.message);
        }
    }

    fn on_stage_thread(work: impl FnOnce() + Send + 'static) {
        let thread = std::thread::Builder::new().name(THREAD_NAME.to_owned());
        assert!(thread.spawn(work).unwrap().join().is_err());
    }

    /// One test: what runs in a process at the same time is part of what is decided.
    #[test]
    fn a_panic_is_said_by_the_stage_that_it_is_of() {
        install();
        let (one, other) = (Arc::new(Heard::default()), Arc::new(Heard::default()));
        let heard = |stage: &Heard| std::mem::take(&mut *stage.0.lock().unwrap());
        // A thread that drives a stage, while another runs.
        let others: Voice = other.clone();
        let beside = Driving::begin(&others);
        let voice: Voice = one.clone();
        on_stage_thread(move || {
            let _driving = Driving::begin(&voice);
            panic_any("alas".to_owned());
        });
        let lines = heard(&one);
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(
            lines[0].contains("panics.rs") && lines[0].ends_with(": alas"),
            "{lines:?}"
        );
        assert_eq!(heard(&other), [""; 0], "it is none of its");
        // A thread of a stage's own, while only that one runs.
        assert!(std::thread::spawn(|| panic_any("beside")).join().is_err());
        assert!(heard(&other)[0].ends_with(": beside"));
        drop(beside);
        on_stage_thread(|| panic_any("nobody's"));
        assert_eq!((heard(&one), heard(&other)), (vec![], vec![]));
    }
}
