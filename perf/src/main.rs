//! Side-by-side measurements of ringkeeper, Apache ZooKeeper and constant-answer stubs.
//! `README.md` says what each scenario does and how to read the tables.

mod cli;
mod error;
mod load;
mod process;
mod report;
mod runner;
mod scenario;
mod stats;
mod stub;
mod sys;
mod target;
mod wire;

use std::process::ExitCode;

fn main() -> ExitCode {
    match cli::run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("ringkeeper-perf: {error}");
            ExitCode::FAILURE
        }
    }
}
