//! `fathom`: commands, help, exit codes.
//!
//! Called through a link named `bpftrace` it takes that tool's options only; else the first word may be a command.

mod args;
mod commands;
mod exit;
mod output;
mod patient;
mod words;

use std::process::ExitCode;

fn main() -> ExitCode {
    let argv: Vec<std::ffi::OsString> = std::env::args_os().collect();
    let name = args::program_name(&argv);
    let code = match args::parse(&argv, &name) {
        Ok(args::Command::Trace(options)) => commands::trace::run(&options),
        Ok(args::Command::List(options)) => commands::list::run(&options),
        Ok(args::Command::Info(options)) => commands::info::run(&options),
        Ok(args::Command::Format(options)) => commands::format::run(&options),
        Ok(args::Command::Completions(shell)) => commands::generate::completions(&shell),
        Ok(args::Command::Man) => commands::generate::man(),
        Ok(args::Command::Print(text)) => output::print(&text),
        Err(message) => {
            output::complain(message);
            exit::USAGE
        }
    };
    ExitCode::from(code)
}
