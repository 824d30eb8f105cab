//! The command line: what may be written, and what was.

use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgAction, ArgMatches};
use std::ffi::OsString;
use std::path::PathBuf;

/// What is to be done.
#[derive(Debug)]
pub enum Command {
    /// Compile a script and trace.
    Trace(Box<TraceOptions>),
    /// List probes.
    List(ListOptions),
    /// Say what this kernel can do.
    Info(InfoOptions),
    /// Format a script.
    Format(FormatOptions),
    /// Print completions for a shell.
    Completions(String),
    /// Print the manual page.
    Man,
    /// Print a text (help, version).
    Print(String),
}

/// Where a script comes from.
#[derive(Clone, Debug)]
pub enum Script {
    /// `-e TEXT`.
    Text(String),
    /// A file.
    File(PathBuf),
    /// `-`.
    Stdin,
}

/// Options of tracing.
#[derive(Clone, Debug)]
pub struct TraceOptions {
    /// The script.
    pub script: Script,
    /// `$1 ...`.
    pub positional: Vec<String>,
    /// `--name[=value]` behind `--`.
    pub named: Vec<(String, Option<String>)>,
    /// `-p`.
    pub pid: Option<u32>,
    /// `-c`.
    pub command: Option<String>,
    /// `-o`.
    pub output: Option<PathBuf>,
    /// `-f json`.
    pub json: bool,
    /// `-B`.
    pub buffering: String,
    /// `-q`.
    pub quiet: bool,
    /// `-v`.
    pub verbose: bool,
    /// `-k`.
    pub helper_warnings: bool,
    /// `--no-warnings`.
    pub no_warnings: bool,
    /// `--unsafe`.
    pub allow_unsafe: bool,
    /// `--dry-run`.
    pub dry_run: bool,
    /// `-d STAGE,...`.
    pub dump: Vec<String>,
    /// `--mode`.
    pub mode: String,
    /// `--probe-filter`.
    pub probe_filter: Option<String>,
    /// `--include`.
    pub includes: Vec<String>,
    /// What the kernel is taken to offer.
    pub kernel: KernelOptions,
}

/// Options about the kernel.
#[derive(Clone, Debug, Default)]
pub struct KernelOptions {
    /// `--no-feature`.
    pub disabled: Vec<String>,
    /// `--traceable-functions`.
    pub traceable_functions: Option<PathBuf>,
    /// `-I`.
    pub include_dirs: Vec<PathBuf>,
    /// `--debuginfo`.
    pub debug_dirs: Vec<PathBuf>,
}

/// Options of listing.
#[derive(Clone, Debug)]
pub struct ListOptions {
    /// What to list; `None`: everything.
    pub pattern: Option<String>,
    /// List the probes of this script instead.
    pub script: Option<Script>,
    /// With arguments and types.
    pub verbose: bool,
    /// Of this process.
    pub pid: Option<u32>,
    /// About the kernel.
    pub kernel: KernelOptions,
}

/// Options of `info`.
#[derive(Clone, Debug, Default)]
pub struct InfoOptions {
    /// About the kernel.
    pub kernel: KernelOptions,
}

/// Options of formatting.
#[derive(Clone, Debug)]
pub struct FormatOptions {
    /// What to format.
    pub script: Script,
    /// Write back to the file.
    pub in_place: bool,
    /// Only say whether it is formatted.
    pub check: bool,
}

/// The name the program was called by, without directory.
pub fn program_name(argv: &[OsString]) -> String {
    let first = argv.first().map(PathBuf::from).unwrap_or_default();
    first.file_name().map_or_else(|| "fathom".to_owned(), |n| n.to_string_lossy().into_owned())
}

fn flag(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).action(ArgAction::SetTrue).help(help)
}

fn value(name: &'static str, what: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).value_name(what).action(ArgAction::Set).help(help)
}

/// Options that say something about the kernel or where files lie.
fn kernel_args() -> Vec<Arg> {
    vec![
        value(
            "no-feature",
            "NAME,...",
            "Do without a facility of the kernel: kprobe_multi, kprobe_session, uprobe_multi ...",
        )
        .value_delimiter(',')
        .action(ArgAction::Append),
        value("traceable-functions", "FILE", "Take the list of functions that can be probed from a file"),
        value("debuginfo", "DIR[:DIR]", "Look for debug files there"),
        Arg::new("include-dir")
            .short('I')
            .value_name("DIR")
            .action(ArgAction::Append)
            .help("Look for imported and included files there"),
    ]
}

/// The command of tracing: its options are bpftrace's.
fn trace_command(name: &str) -> clap::Command {
    clap::Command::new("fathom")
        .bin_name(name.to_owned())
        .about("See anything that a running Linux system does")
        .disable_version_flag(true)
        .disable_help_flag(true)
        .arg(Arg::new("expression").short('e').value_name("PROGRAM").action(ArgAction::Append).allow_hyphen_values(true).help("The script itself; the last one counts"))
        .arg(Arg::new("list").short('l').long("list").action(ArgAction::SetTrue).help("List probes that match a pattern, or those of a script; with -v their arguments"))
        .arg(value("pid", "PID", "Trace this process only, and end with it").short('p'))
        .arg(value("cmd", "COMMAND", "Start a command, trace it, and end with it").short('c'))
        .arg(value("output", "FILE", "Write output to a file").short('o'))
        .arg(value("format", "FORMAT", "Output as text or json").short('f'))
        .arg(Arg::new("buffering").short('B').value_name("MODE").value_parser(PossibleValuesParser::new(["line", "full", "none"])).help("When output is written"))
        .arg(flag("quiet", "Print nothing but what the script prints").short('q'))
        .arg(Arg::new("verbose").short('v').long("verbose").action(ArgAction::Count).help("Say what is loaded and attached, and how"))
        .arg(Arg::new("warnings").short('k').long("warnings").action(ArgAction::Count).help("Report every failed read and look-up while tracing"))
        .arg(flag("no-warnings", "Do not show warnings"))
        .arg(flag("unsafe", "Allow functions that change the system: system, signal, override, write_user"))
        .arg(flag("dry-run", "Compile, load and attach, then end"))
        .arg(value("mode", "MODE", "run, test, bench or format").value_parser(PossibleValuesParser::new(["run", "test", "bench", "format", "codegen", "compiler-bench"])))
        .arg(flag("test", "Run the script's test: probes"))
        .arg(flag("bench", "Run the script's bench: probes"))
        .arg(flag("fmt", "Print the script formatted"))
        .arg(value("probe-filter", "REGEX", "Attach only probes whose name contains a match"))
        .arg(value("include", "FILE", "Include a header before the script").action(ArgAction::Append))
        .arg(value("debug", "STAGE,...", "Print stages of the compiler: all, ast, types, ir, codegen, codegen-opt, bpf, libbpf, verifier").short('d').value_delimiter(',').action(ArgAction::Append))
        .arg(flag("info", "Say what this kernel can do"))
        .arg(flag("usdt-file-activation", "Accepted for compatibility: semaphores are always handled by the kernel").hide(true))
        .arg(Arg::new("btf").short('b').long("btf").action(ArgAction::SetTrue).hide(true))
        .arg(Arg::new("help").short('h').long("help").action(ArgAction::SetTrue).help("Print this help"))
        .arg(Arg::new("version").short('V').long("version").action(ArgAction::SetTrue).help("Print the version"))
        .args(kernel_args())
        .arg(Arg::new("args").value_name("ARG").num_args(0..).help("The script's file (- for standard input) unless given by -e, then its parameters $1, $2 ..."))
        .arg(Arg::new("script-args").num_args(0..).last(true).allow_hyphen_values(true).help("Parameters and --name=value options of the script"))
}

/// Commands beside tracing.
fn subcommands() -> Vec<clap::Command> {
    let script =
        || Arg::new("script").value_name("FILE").required(true).help("The script, - for standard input");
    vec![
        clap::Command::new("list")
            .about(
                "List probes, with -v their arguments; patterns as in attach points, `struct NAME` for types",
            )
            .arg(Arg::new("pattern").value_name("PATTERN").num_args(0..))
            .arg(
                Arg::new("verbose")
                    .short('v')
                    .long("verbose")
                    .action(ArgAction::SetTrue)
                    .help("With arguments and types"),
            )
            .arg(value("pid", "PID", "Of this process").short('p'))
            .args(kernel_args()),
        clap::Command::new("info").about("Say what this kernel can do").args(kernel_args()),
        clap::Command::new("fmt")
            .about("Format a script")
            .arg(script())
            .arg(flag("in-place", "Write the result back to the file").short('i'))
            .arg(flag("check", "Print nothing; exit with 1 if the script is not formatted")),
        clap::Command::new("completions").about("Print completions for a shell").arg(
            Arg::new("shell").required(true).value_parser(PossibleValuesParser::new([
                "bash",
                "zsh",
                "fish",
                "elvish",
                "powershell",
            ])),
        ),
        clap::Command::new("man").about("Print the manual page"),
    ]
}

/// The whole command line, for help, completions and the manual page.
pub fn whole_command() -> clap::Command {
    trace_command("fathom")
        .version(env!("CARGO_PKG_VERSION"))
        .subcommands(subcommands())
        .subcommand_negates_reqs(true)
        .after_help(AFTER_HELP)
}

/// The state of bpftrace's language that scripts can count on.
const LANGUAGE_VERSION: &str = "0.27.1";

const AFTER_HELP: &str = "\
Exit codes: 0 success, or the n of the script's exit(n); 1 wrong usage or script; 255 the kernel refused to load or attach.

Examples:
    fathom -e 'tracepoint:syscalls:sys_enter_openat { printf(\"%s %s\\n\", comm, str(args.filename)) }'
    fathom -e 'tracepoint:raw_syscalls:sys_enter { @[comm] = count() }'
    fathom -e 'profile:hz:99 { @[kstack] = count() }'
    fathom list 'uprobe:libc:mem*'
    fathom script.bt -- --pid 42";

/// The usage text that goes with an error.
fn usage(name: &str) -> String {
    let commands: Vec<String> =
        subcommands().iter().map(|c| format!("    {name} {} ...", c.get_name())).collect();
    let mut text = format!(
        "USAGE:\n    {name} [OPTIONS] FILE [ARG]... [-- [ARG | --NAME[=VALUE]]...]\n    {name} [OPTIONS] -e PROGRAM [ARG]... [-- [ARG | --NAME[=VALUE]]...]\n    {name} [OPTIONS] - [ARG]...\n"
    );
    if name != "bpftrace" {
        text.push_str(&commands.join("\n"));
        text.push('\n');
    }
    text.push_str(&format!("\nTry `{name} --help`."));
    text
}

/// Reads the command line.
///
/// # Errors
/// What to print before ending with [`crate::exit::USAGE`].
pub fn parse(argv: &[OsString], name: &str) -> Result<Command, String> {
    if name != "bpftrace" {
        let first = argv.get(1).and_then(|a| a.to_str()).unwrap_or_default();
        if let Some(command) = subcommands().into_iter().find(|c| c.get_name() == first) {
            return parse_subcommand(argv, name, first, &command);
        }
        if first == "help" {
            return Ok(Command::Print(help(name)));
        }
    }
    let matches = trace_command(name)
        .try_get_matches_from(argv)
        .map_err(|e| format!("ERROR: {}\n{}", reason(&e), usage(name)))?;
    if matches.get_flag("help") {
        return Ok(Command::Print(help(name)));
    }
    if matches.get_flag("version") {
        let own = concat!("fathom ", env!("CARGO_PKG_VERSION"));
        // By its other name, scripts ask for the version of the language.
        let text = if name == "bpftrace" {
            format!("bpftrace v{LANGUAGE_VERSION} ({own})\n")
        } else {
            format!("{own}\n")
        };
        return Ok(Command::Print(text));
    }
    if matches.get_flag("info") {
        return Ok(Command::Info(InfoOptions { kernel: kernel_options(&matches) }));
    }
    trace_options(&matches, name)
}

/// Clap's message without its own usage text.
fn reason(e: &clap::Error) -> String {
    let text = e.render().to_string();
    let text = text.strip_prefix("error: ").unwrap_or(&text);
    text.split("\n\nUsage:").next().unwrap_or(text).trim_end().to_owned()
}

fn help(name: &str) -> String {
    let mut command =
        if name == "bpftrace" { trace_command(name).after_help(AFTER_HELP) } else { whole_command() };
    let text = command.render_long_help().to_string();
    text.replacen("Usage:", "USAGE:\n   ", 1)
}

fn kernel_options(m: &ArgMatches) -> KernelOptions {
    let many = |name: &str| -> Vec<String> {
        m.get_many::<String>(name).map(|v| v.cloned().collect()).unwrap_or_default()
    };
    KernelOptions {
        disabled: many("no-feature"),
        traceable_functions: m.get_one::<String>("traceable-functions").map(PathBuf::from),
        include_dirs: many("include-dir").into_iter().map(PathBuf::from).collect(),
        debug_dirs: m
            .get_one::<String>("debuginfo")
            .map(|d| d.split(':').map(PathBuf::from).collect())
            .unwrap_or_default(),
    }
}

fn pid(m: &ArgMatches) -> Result<Option<u32>, String> {
    let Some(text) = m.get_one::<String>("pid") else { return Ok(None) };
    let problem = |why: &str| Err(format!("ERROR: Failed to parse pid: {why}: {text}"));
    match text.parse::<i64>() {
        Ok(n) if n > 0 && n <= 0x3f_ffff => Ok(Some(n as u32)),
        Ok(_) => problem("pid out of range (1 to 4194303)"),
        Err(_) => problem("invalid integer"),
    }
}

fn parse_subcommand(
    argv: &[OsString],
    name: &str,
    first: &str,
    command: &clap::Command,
) -> Result<Command, String> {
    let bin = format!("{name} {first}");
    let parsed = command.clone().bin_name(bin).try_get_matches_from(argv.iter().skip(1));
    let m = match parsed {
        Ok(m) => m,
        Err(e) if e.kind() == clap::error::ErrorKind::DisplayHelp => {
            return Ok(Command::Print(e.render().to_string()))
        }
        Err(e) => return Err(format!("ERROR: {}\n\nTry `{name} {first} --help`.", reason(&e))),
    };
    Ok(match first {
        "list" => {
            let patterns: Vec<&String> =
                m.get_many::<String>("pattern").map(Iterator::collect).unwrap_or_default();
            let pattern = (!patterns.is_empty())
                .then(|| patterns.iter().map(|p| p.as_str()).collect::<Vec<_>>().join(","));
            Command::List(ListOptions {
                pattern,
                script: None,
                verbose: m.get_flag("verbose"),
                pid: pid(&m)?,
                kernel: kernel_options(&m),
            })
        }
        "info" => Command::Info(InfoOptions { kernel: kernel_options(&m) }),
        "fmt" => Command::Format(FormatOptions {
            script: script_file(m.get_one::<String>("script").map_or("-", String::as_str)),
            in_place: m.get_flag("in-place"),
            check: m.get_flag("check"),
        }),
        "completions" => Command::Completions(m.get_one::<String>("shell").cloned().unwrap_or_default()),
        _ => Command::Man,
    })
}

fn script_file(text: &str) -> Script {
    if text == "-" {
        Script::Stdin
    } else {
        Script::File(PathBuf::from(text))
    }
}

fn trace_options(m: &ArgMatches, name: &str) -> Result<Command, String> {
    let many = |name: &str| -> Vec<String> {
        m.get_many::<String>(name).map(|v| v.cloned().collect()).unwrap_or_default()
    };
    let mut positional = many("args");
    let expression = many("expression").pop();
    let kernel = kernel_options(m);
    let pid = pid(m)?;
    if m.get_flag("list") {
        return Ok(list_command(expression, positional, m, pid, kernel));
    }
    let script = match expression {
        Some(text) => Script::Text(text),
        None if positional.is_empty() => return Err(format!("ERROR: no script was given\n{}", usage(name))),
        None => script_file(&positional.remove(0)),
    };
    let mode = script_mode(m);
    if mode == "format" {
        return Ok(Command::Format(FormatOptions { script, in_place: false, check: false }));
    }
    let json = match m.get_one::<String>("format").map(String::as_str) {
        None | Some("text") => false,
        Some("json") => true,
        Some(other) => {
            return Err(format!("ERROR: Invalid output format \"{other}\"\nValid formats: 'text', 'json'"))
        }
    };
    let (behind, named) = script_arguments(many("script-args"));
    positional.extend(behind);
    Ok(Command::Trace(Box::new(TraceOptions {
        script,
        positional,
        named,
        pid,
        command: m.get_one::<String>("cmd").cloned(),
        output: m.get_one::<String>("output").map(PathBuf::from),
        json,
        buffering: m.get_one::<String>("buffering").cloned().unwrap_or_else(|| "line".into()),
        quiet: m.get_flag("quiet"),
        verbose: m.get_count("verbose") > 0,
        helper_warnings: m.get_count("warnings") > 0,
        no_warnings: m.get_flag("no-warnings"),
        allow_unsafe: m.get_flag("unsafe"),
        dry_run: m.get_flag("dry-run") || mode == "codegen" || mode == "compiler-bench",
        dump: many("debug"),
        mode,
        probe_filter: m.get_one::<String>("probe-filter").cloned(),
        includes: many("include"),
        kernel,
    })))
}

fn script_mode(m: &ArgMatches) -> String {
    let by_flag =
        ["test", "bench"].into_iter().find(|f| m.get_flag(f)).or(m.get_flag("fmt").then_some("format"));
    let mode = by_flag.map(str::to_owned).or_else(|| m.get_one::<String>("mode").cloned());
    mode.unwrap_or_else(|| "run".into())
}

fn list_command(
    expression: Option<String>,
    positional: Vec<String>,
    m: &ArgMatches,
    pid: Option<u32>,
    kernel: KernelOptions,
) -> Command {
    let first = positional.into_iter().next();
    let script = match (&expression, &first) {
        (Some(text), _) => Some(Script::Text(text.clone())),
        (None, Some(file)) if PathBuf::from(file).is_file() => Some(Script::File(PathBuf::from(file))),
        _ => None,
    };
    Command::List(ListOptions { pattern: first, script, verbose: m.get_count("verbose") > 0, pid, kernel })
}

/// Words behind `--`: `--name[=value]` options apart from the rest.
fn script_arguments(words: Vec<String>) -> (Vec<String>, Vec<(String, Option<String>)>) {
    let (mut positional, mut named) = (Vec::new(), Vec::new());
    for word in words {
        match word.strip_prefix("--").filter(|n| !n.is_empty()) {
            None => positional.push(word),
            Some(option) => named.push(match option.split_once('=') {
                Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
                None => (option.to_owned(), None),
            }),
        }
    }
    (positional, named)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(words: &[&str]) -> Result<Command, String> {
        let argv: Vec<OsString> = words.iter().map(OsString::from).collect();
        parse(&argv, &program_name(&argv))
    }

    fn traced(words: &[&str]) -> TraceOptions {
        match parsed(words) {
            Ok(Command::Trace(options)) => *options,
            other => panic!("not a trace: {other:?}"),
        }
    }

    #[test]
    fn definitions_are_consistent() {
        whole_command().debug_assert();
        trace_command("bpftrace").debug_assert();
    }

    #[test]
    fn parameters_stand_on_both_sides_of_the_dashes() {
        let o = traced(&["fathom", "-e", "begin {}", "one", "--", "--aa=20", "two", "--dd"]);
        assert_eq!(o.positional, ["one", "two"]);
        assert_eq!(o.named, [("aa".into(), Some("20".into())), ("dd".into(), None)]);
    }

    #[test]
    fn the_script_is_the_first_word_without_e() {
        let o = traced(&["fathom", "a.bt", "5", "-v"]);
        assert!(matches!(&o.script, Script::File(f) if f.ends_with("a.bt")));
        assert_eq!(o.positional, ["5"]);
        assert!(o.verbose);
    }

    #[test]
    fn errors_show_the_usage() {
        let e = parsed(&["bpftrace", "-idonotexist"]).unwrap_err();
        assert!(e.contains("\nUSAGE:\n"), "{e}");
        assert!(parsed(&["fathom", "-e", "begin {}", "--aa=20"]).unwrap_err().contains("USAGE:"));
        assert!(parsed(&["fathom", "-p", "x", "-e", "y"])
            .unwrap_err()
            .starts_with("ERROR: Failed to parse pid: invalid integer: x"));
        assert!(parsed(&["fathom", "-f", "jsonx", "-e", "y"])
            .unwrap_err()
            .starts_with("ERROR: Invalid output format \"jsonx\""));
    }

    #[test]
    fn the_old_name_has_no_commands() {
        let o = traced(&["/usr/bin/bpftrace", "list"]);
        assert!(matches!(&o.script, Script::File(f) if f.ends_with("list")));
        assert!(matches!(parsed(&["fathom", "list"]), Ok(Command::List(_))));
    }
}
