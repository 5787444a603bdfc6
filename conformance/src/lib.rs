//! Script language, runner, targets, capture differ, fuzz bodies and reports.

pub mod capture;
pub mod frames;
pub mod fuzz;
pub mod oracle;
pub mod replay;
pub mod report;
pub mod results;
pub mod run;
pub mod script;
pub mod target;
