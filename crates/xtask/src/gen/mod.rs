//! `cargo xtask gen`: documents that are made from the tables of the code, so that they cannot differ from what it does.

mod language;
mod probes;

use crate::args::Args;
use crate::workspace::Workspace;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// A generated document.
pub struct Document {
    /// Where it belongs.
    pub path: PathBuf,
    /// What it has to say.
    pub text: String,
}

impl Document {
    /// Whether the file says this.
    pub fn is_up_to_date(&self) -> bool {
        std::fs::read_to_string(&self.path).is_ok_and(|found| found == self.text)
    }

    fn write(&self) -> Result<(), String> {
        let folder = self.path.parent().unwrap_or(Path::new("."));
        std::fs::create_dir_all(folder)
            .and_then(|()| std::fs::write(&self.path, &self.text))
            .map_err(|e| format!("{}: {e}", self.path.display()))
    }
}

/// Shells and the names of their completion files.
const SHELLS: &[(&str, &str)] = &[("bash", "fathom.bash"), ("zsh", "_fathom"), ("fish", "fathom.fish")];

/// Runs the task.
pub fn run(args: &mut Args) -> Result<ExitCode, String> {
    let check = args.flag("--check");
    args.done()?;
    let workspace = Workspace::find()?;
    let made = workspace.build(&["build", "-p", "fathom"])?;
    let binary =
        made.into_iter().find(|e| e.name == "fathom" && e.kind == "bin").ok_or("cargo made no `fathom`")?;
    let mut stale = 0;
    for document in documents(&workspace, &binary.path)? {
        if document.is_up_to_date() {
            continue;
        }
        stale += 1;
        println!("{} {}", if check { "out of date:" } else { "written:" }, document.path.display());
        if !check {
            document.write()?;
        }
    }
    Ok(if check && stale > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// All documents; `binary` is any build of fathom.
///
/// # Errors
/// If the binary cannot be run.
pub fn documents(workspace: &Workspace, binary: &Path) -> Result<Vec<Document>, String> {
    let docs = workspace.root.join("docs");
    let mut all = vec![
        Document { path: docs.join("language.md"), text: language::text() },
        Document { path: docs.join("probes.md"), text: probes::text() },
        Document { path: docs.join("man/fathom.1"), text: printed(binary, &["man"])? },
    ];
    for (shell, file) in SHELLS {
        let text = printed(binary, &["completions", shell])?;
        all.push(Document { path: docs.join("completions").join(file), text });
    }
    Ok(all)
}

fn printed(binary: &Path, args: &[&str]) -> Result<String, String> {
    let output =
        Command::new(binary).args(args).output().map_err(|e| format!("{}: {e}", binary.display()))?;
    if !output.status.success() {
        return Err(format!("{} {}: {}", binary.display(), args.join(" "), output.status));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The first line of every document.
pub fn notice() -> &'static str {
    "<!-- Made by `cargo xtask gen` from the tables in the code; edit those. -->\n"
}

/// Text for a cell of a Markdown table.
pub fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}
