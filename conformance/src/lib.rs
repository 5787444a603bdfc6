//! Script language, runner, targets, capture differ and reports.

pub mod results;
