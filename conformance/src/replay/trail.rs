//! What happened last in a replay: the chain of causes that a report shows before a divergence.

use std::collections::VecDeque;

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// A captured frame reached the machine.
    In {
        /// Its number.
        number: u64,
        /// It found its socket held by a call.
        held: bool,
    },
    /// The machine sent a captured frame.
    Out {
        /// Its number.
        number: u64,
    },
    /// A call was made, or ran again after a wake-up.
    Call {
        /// Its place among the case's calls; none for what an administrator did.
        index: Option<usize>,
        /// Its name.
        name: &'static str,
        /// Its line in the trace; 0: it was inferred.
        line: usize,
        /// It had waited.
        again: bool,
    },
    /// A timer ran, by name.
    Timer(&'static str),
}

/// How many events are kept.
const KEPT: usize = 12;

/// The last events with their times, capture clock.
#[derive(Clone, Debug, Default)]
pub(crate) struct Trail {
    events: VecDeque<(u64, Event)>,
    whole: bool,
}

impl Trail {
    /// All events from now on, not the last ones.
    pub(crate) fn whole() -> Self {
        Trail { whole: true, ..Trail::default() }
    }

    /// Adds what happened.
    pub(crate) fn note(&mut self, at_ns: u64, event: Event) {
        if self.events.len() == KEPT && !self.whole {
            self.events.pop_front();
        }
        self.events.push_back((at_ns, event));
    }

    /// The events with their times, oldest first.
    pub(crate) fn into_events(self) -> Vec<(u64, Event)> {
        self.events.into()
    }

    /// One line for each, oldest first. `clock` shows a time.
    pub(crate) fn lines(&self, clock: impl Fn(u64) -> String) -> Vec<String> {
        let line = |(at, e): &(u64, Event)| {
            let what = match e {
                Event::In { number, held: false } => format!("frame {number} came"),
                Event::In { number, held: true } => {
                    format!("frame {number} came while a call held its socket")
                }
                Event::Out { number } => format!("sent frame {number}"),
                Event::Call { name, line: 0, .. } => format!("{name}, inferred"),
                Event::Call { name, line, again: false, .. } => format!("{name} of line {line}"),
                Event::Call { name, line, again: true, .. } => {
                    format!("{name} of line {line} ran again")
                }
                Event::Timer(name) => format!("timer: {name}"),
            };
            format!("{} {what}", clock(*at))
        };
        self.events.iter().map(line).collect()
    }
}
