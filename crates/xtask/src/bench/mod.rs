//! `cargo xtask bench`: what tracing costs, against hand-made programs and another tracer, in one run; prints Markdown.
//!
//! Sides alternate within each round, so that what else the machine does hits all of them; figures are medians. Nothing here is a test: a
//! figure depends on the machine, a ratio of one run is what to compare.

pub mod child;
mod compiling;
mod cost;
mod handmade;
mod startup;
mod stats;
mod throughput;
mod tracer;

use crate::args::Args;
use crate::workspace::Workspace;
use std::path::PathBuf;
use std::process::ExitCode;
use tracer::Tracer;

/// What sections share.
pub struct Setting {
    /// Ours.
    fathom: Tracer,
    /// The other tracer.
    peer: Option<Tracer>,
    /// Fewer rounds.
    quick: bool,
    /// CPU for what is measured; the last one.
    cpu: u32,
    /// CPU for tracers.
    tracer_cpu: u32,
    /// Folder for output files.
    scratch: PathBuf,
}

impl Setting {
    /// Number of rounds: fewer when quick.
    fn rounds(&self, full: usize) -> usize {
        if self.quick {
            (full / 4).max(1)
        } else {
            full
        }
    }

    /// Both tracers, ours first.
    fn tracers(&self) -> impl Iterator<Item = &Tracer> {
        std::iter::once(&self.fathom).chain(&self.peer)
    }
}

/// A section of the report.
struct Section {
    name: &'static str,
    title: &'static str,
    run: fn(&Setting) -> Result<String, String>,
}

static SECTIONS: &[Section] = &[
    Section { name: "startup", title: "Start, memory, attach, exit, size", run: startup::run },
    Section { name: "cost", title: "Added cost per event", run: cost::run },
    Section { name: "throughput", title: "Events printed to a file", run: throughput::run },
    Section { name: "compile", title: "Compile time", run: compiling::run },
];

/// Runs the task.
pub fn run(args: &mut Args) -> Result<ExitCode, String> {
    let peer = args.value("--peer")?;
    let binary = args.value("--bin")?;
    let quick = args.flag("--quick");
    let only = args.values("--only")?;
    args.done()?;
    if let Some(wrong) = only.iter().find(|o| SECTIONS.iter().all(|s| s.name != **o)) {
        let names: Vec<&str> = SECTIONS.iter().map(|s| s.name).collect();
        return Err(format!("no section `{wrong}`; sections are {}", names.join(", ")));
    }
    let workspace = Workspace::find()?;
    let path = match binary {
        Some(path) => PathBuf::from(path),
        None => workspace.release_binary()?,
    };
    if !fathom_kernel::caps::is_root() {
        return Err(
            "tracing needs root; run as root, or build with `cargo build --release` and use sudo with --bin"
                .into(),
        );
    }
    let cpus = u32::try_from(fathom_kernel::cpu::possible_count()).unwrap_or(1);
    let scratch = workspace.target.join("bench");
    std::fs::create_dir_all(&scratch).map_err(|e| format!("{}: {e}", scratch.display()))?;
    let setting = Setting {
        fathom: Tracer::open("fathom", path)?,
        peer: peer.map(|p| Tracer::open("bpftrace", PathBuf::from(p))).transpose()?,
        quick,
        cpu: cpus - 1,
        tracer_cpu: 0,
        scratch,
    };
    print!("{}", head(&setting, cpus));
    let mut failed = false;
    for section in SECTIONS.iter().filter(|s| only.is_empty() || only.iter().any(|o| o == s.name)) {
        println!("\n## {}\n", section.title);
        match (section.run)(&setting) {
            Ok(text) => print!("{text}"),
            Err(e) => {
                failed = true;
                println!("not measured: {e}");
            }
        }
    }
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Whether this process, and so all that it starts, is scheduled before all others (`chrt -f`), as makes sense on a busy machine.
fn is_realtime() -> bool {
    const SCHED_FIFO: &str = "1";
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The policy is field 41; the name, field 2, ends with the last parenthesis.
    let fields = stat.rsplit_once(')').map_or("", |s| s.1);
    fields.split_whitespace().nth(38) == Some(SCHED_FIFO)
}

/// Machine, versions, command.
fn head(setting: &Setting, cpus: u32) -> String {
    let kernel = fathom_kernel::uname::Uname::of_host();
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|l| l.strip_prefix("model name")).unwrap_or_default();
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split_whitespace().next().unwrap_or("?").to_owned();
    let mut out = String::from("# Benchmarks\n\n");
    let peer = if setting.peer.is_some() { " --peer /usr/bin/bpftrace" } else { "" };
    let quick = if setting.quick { " --quick" } else { "" };
    let first = if is_realtime() { "chrt -f 10 " } else { "" };
    out.push_str(&format!(
        "Made by `{first}cargo xtask bench{peer}{quick}` as root. Medians; sides alternate within a run.\n\n"
    ));
    out.push_str(&format!(
        "{cpus} CPUs {}, Linux {}, load average at the start {load}. {}{}\n",
        model.trim_start_matches([' ', '\t', ':']),
        kernel.release,
        setting.fathom.version,
        setting.peer.as_ref().map_or(String::new(), |p| format!(" against {}", p.version))
    ));
    out
}
