//! The command line: what can be typed, one file a command. This room turns arguments into
//! plain values and prints what a person reads at the start; it runs nothing itself.

pub mod server;
pub mod stub;
pub mod summary;

use clap::{Parser, Subcommand};

/// The whole command line. Without a command it is that of `server`.
#[derive(Debug, Parser)]
#[command(
    name = "ringkeeper",
    version,
    about = "A coordination server that speaks ZooKeeper's protocols",
    args_conflicts_with_subcommands = true
)]
pub struct Cli {
    /// The command, if one was given.
    #[command(subcommand)]
    command: Option<Command>,
    /// The arguments of `server`, which may be given without its name.
    #[command(flatten)]
    server: server::ServerArgs,
}

/// The commands. A new one is a file beside this one and a line here.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the server (the default).
    Server(Box<server::ServerArgs>),
    /// Answer every request alike: what the network driver alone can do, to measure against.
    Stub(stub::Args),
    /// Print the version.
    Version,
}

impl Cli {
    /// The command to run.
    pub fn into_command(self) -> Command {
        self.command.unwrap_or_else(|| Command::Server(Box::new(self.server)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(line: &str) -> Result<Command, clap::Error> {
        let words = line.split_whitespace();
        Cli::try_parse_from(std::iter::once("ringkeeper").chain(words)).map(Cli::into_command)
    }

    #[test]
    fn the_definition_is_sound() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }

    #[test]
    fn server_is_the_default() {
        for line in ["", "server"] {
            let Command::Server(args) = command(line).unwrap() else { panic!("{line}") };
            assert_eq!(*args, server::ServerArgs::default());
        }
        for line in ["--client-port 7", "server --client-port 7"] {
            let Command::Server(args) = command(line).unwrap() else { panic!("{line}") };
            assert_eq!(args.client_port.as_deref(), Some("7"));
        }
        assert!(matches!(command("version"), Ok(Command::Version)));
        assert!(command("--client-port 7 server").is_err());
        assert!(command("--no-such-flag").is_err());
    }

    #[test]
    fn a_flag_that_is_misspelt_is_named() {
        use clap::CommandFactory;
        let flags = Cli::command();
        let long = flags.get_arguments().filter_map(clap::Arg::get_long);
        for flag in long.filter(|flag| flag.len() > 4) {
            // A letter less, and two changed with each other.
            let at = flag.len() / 2;
            let (front, back) = flag.split_at(at);
            for slip in [format!("{}{back}", &front[..at - 1]), format!("{}x{}", front, &back[1..])]
            {
                let said = command(&format!("--{slip}")).unwrap_err().to_string();
                assert!(said.contains(&format!("'--{flag}")), "--{slip}, for --{flag}: {said}");
            }
        }
    }
}
