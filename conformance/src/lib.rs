//! Script language, runner, targets, capture differ and reports.

pub mod capture;
pub mod frames;
pub mod results;
pub mod script;
