//! Queueing disciplines (Linux `net/sched/`).
