//! The call-path recorder: which of the functions marked `#[traced]` called which.
//!
//! With the crate's feature `trace` off, the mark expands to nothing and [`record`] returns an
//! empty list. The recorder is per thread, outside of any machine, so that a snapshot of a
//! kernel never holds half a recording.

/// One recorded entry of a function and what it called, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// The function's own name, as the compiler saw it.
    pub name: &'static str,
    /// Marked functions that it called.
    pub calls: Vec<Node>,
}

/// Whether this build records anything.
pub const ENABLED: bool = cfg!(feature = "trace");

#[cfg(feature = "trace")]
mod recorder {
    use super::Node;
    use std::cell::RefCell;

    struct Recorder {
        /// Functions entered and not yet left, outermost first.
        open: Vec<Node>,
        roots: Vec<Node>,
    }

    thread_local! {
        static RECORDER: RefCell<Option<Recorder>> = const { RefCell::new(None) };
    }

    /// Leaves the function when it is dropped.
    #[must_use]
    pub(crate) struct Entered(());

    pub(crate) fn enter(name: &'static str) -> Entered {
        RECORDER.with_borrow_mut(|r| {
            if let Some(r) = r {
                r.open.push(Node { name, calls: Vec::new() });
            }
        });
        Entered(())
    }

    impl Drop for Entered {
        fn drop(&mut self) {
            RECORDER.with_borrow_mut(|r| {
                let Some(r) = r else { return };
                let Some(done) = r.open.pop() else { return };
                match r.open.last_mut() {
                    Some(caller) => caller.calls.push(done),
                    None => r.roots.push(done),
                }
            });
        }
    }

    pub(super) fn record<T>(run: impl FnOnce() -> T) -> (T, Vec<Node>) {
        RECORDER.set(Some(Recorder { open: Vec::new(), roots: Vec::new() }));
        let value = run();
        let roots = RECORDER.take().map(|r| r.roots).unwrap_or_default();
        (value, roots)
    }
}

#[cfg(feature = "trace")]
pub(crate) use recorder::enter;

/// Runs `run` and returns what it returned, with the call trees that were recorded meanwhile.
pub fn record<T>(run: impl FnOnce() -> T) -> (T, Vec<Node>) {
    #[cfg(feature = "trace")]
    return recorder::record(run);
    #[cfg(not(feature = "trace"))]
    (run(), Vec::new())
}
