//! A panic of what is being tested is a finding, not the end of the run.

use std::cell::RefCell;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;

thread_local! {
    static WATCHED: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Runs `body`; a panic inside comes back as its message with the place, and nothing is printed.
///
/// What `body` borrowed may be half changed after a panic: look at it no more.
pub(crate) fn caught<T>(body: impl FnOnce() -> T) -> Result<T, String> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let default = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            let watched = WATCHED.with_borrow_mut(|slot| match slot {
                Some(message) => {
                    *message = match info.location() {
                        Some(at) => format!("panicked at {at}: {}", payload(info.payload())),
                        None => format!("panicked: {}", payload(info.payload())),
                    };
                    true
                }
                None => false,
            });
            if !watched {
                default(info);
            }
        }));
    });
    WATCHED.set(Some(String::new()));
    let result = panic::catch_unwind(AssertUnwindSafe(body));
    let message = WATCHED.take().unwrap_or_default();
    result.map_err(|_| message)
}

fn payload(payload: &dyn std::any::Any) -> &str {
    payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("(no message)")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_its_message_and_place() {
        assert_eq!(caught(|| 7), Ok(7));
        let message = caught(|| panic!("ring {} is {}", 3, "full")).unwrap_err();
        assert!(message.contains("panics.rs:"), "{message}");
        assert!(message.ends_with("ring 3 is full"), "{message}");
    }
}
