//! The command line.

use std::io::Write;

use clap::Parser;
use ringkeeper::cli::{Cli, Command};

// The address sanitizer knows the system's allocator only.
#[cfg(not(ringkeeper_system_allocator))]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    let outcome = match Cli::parse().into_command() {
        Command::Server(args) => ringkeeper::server::command(&args),
        Command::Stub(args) => ringkeeper::cli::stub::run(args).map_err(|e| e.to_string()),
        Command::Version => {
            println!("ringkeeper {}", env!("CARGO_PKG_VERSION"));
            Ok(())
        }
    };
    match outcome {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(why) => {
            // Whether or not anybody hears it.
            let _ = writeln!(std::io::stderr(), "ringkeeper: {why}");
            std::process::ExitCode::FAILURE
        }
    }
}
