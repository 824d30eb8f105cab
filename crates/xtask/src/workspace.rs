//! Where things lie in the checkout, and cargo as a tool: builds, test executables, metadata.

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The checkout.
pub struct Workspace {
    /// Its root.
    pub root: PathBuf,
    /// Where cargo builds.
    pub target: PathBuf,
}

/// An executable that cargo made.
pub struct Executable {
    /// Path.
    pub path: PathBuf,
    /// Name of the target: of the library, binary or integration test.
    pub name: String,
    /// Name of the package.
    pub package: String,
    /// Folder of the package.
    pub folder: PathBuf,
    /// `lib`, `bin`, `test`, ...
    pub kind: String,
    /// Made to run tests.
    pub is_test: bool,
}

impl Workspace {
    /// Asks cargo.
    ///
    /// # Errors
    /// If cargo cannot be run.
    pub fn find() -> Result<Workspace, String> {
        let metadata = metadata()?;
        let path = |key: &str| {
            metadata
                .get(key)
                .and_then(Value::as_str)
                .map(PathBuf::from)
                .ok_or(format!("cargo metadata has no {key}"))
        };
        Ok(Workspace { root: path("workspace_root")?, target: path("target_directory")? })
    }

    /// A command in the checkout.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.root);
        command
    }

    /// Cargo in the checkout.
    pub fn cargo(&self) -> Command {
        let mut command = self.command(cargo());
        // Set by `cargo run` for this program; they would be taken for another package's.
        for name in ["CARGO_MANIFEST_DIR", "CARGO_PKG_NAME", "CARGO_MANIFEST_PATH"] {
            command.env_remove(name);
        }
        command
    }

    /// Builds, and gives the executables that were made; the error, if any, comes with those that could be made.
    pub fn build_what_can_be(&self, args: &[&str]) -> (Vec<Executable>, Option<String>) {
        let output = self
            .cargo()
            .args(args)
            .args(["--quiet", "--message-format=json-render-diagnostics"])
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
            .output();
        match output {
            Ok(output) => {
                let made = executables(&String::from_utf8_lossy(&output.stdout));
                let failed = (!output.status.success())
                    .then(|| format!("cargo {}: {}", args.join(" "), output.status));
                (made, failed)
            }
            Err(e) => (Vec::new(), Some(format!("cannot run cargo: {e}"))),
        }
    }

    /// Builds, and gives the executables that were made.
    ///
    /// # Errors
    /// If it does not build; the compiler's messages went to standard error.
    pub fn build(&self, args: &[&str]) -> Result<Vec<Executable>, String> {
        match self.build_what_can_be(args) {
            (made, None) => Ok(made),
            (_, Some(error)) => Err(error),
        }
    }

    /// The release binary, built if it has to be.
    ///
    /// # Errors
    /// As [`Workspace::build`].
    pub fn release_binary(&self) -> Result<PathBuf, String> {
        let made = self.build(&["build", "--release", "-p", "fathom"])?;
        let binary = made.into_iter().find(|e| e.name == "fathom" && e.kind == "bin");
        binary.map(|e| e.path).ok_or_else(|| "cargo made no binary `fathom`".into())
    }
}

fn cargo() -> String {
    std::env::var("CARGO").unwrap_or_else(|_| "cargo".into())
}

/// `cargo metadata --no-deps`.
///
/// # Errors
/// If cargo cannot be run or prints something else.
pub fn metadata() -> Result<Value, String> {
    let mut command = Command::new(cargo());
    command.args(["metadata", "--no-deps", "--format-version", "1"]);
    let output = command.output().map_err(|e| format!("cannot run cargo: {e}"))?;
    serde_json::from_slice(&output.stdout).map_err(|e| format!("cargo metadata: {e}"))
}

/// Executables named in cargo's messages.
fn executables(messages: &str) -> Vec<Executable> {
    let parsed = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    parsed.filter_map(|m| executable(&m)).collect()
}

fn executable(message: &Value) -> Option<Executable> {
    let path = PathBuf::from(message.get("executable")?.as_str()?);
    let target = message.get("target")?;
    let manifest = Path::new(message.get("manifest_path")?.as_str()?);
    let folder = manifest.parent()?.to_owned();
    // The folder is the crate's short name; the package id's spelling differs between cargo versions.
    let package = folder.file_name()?.to_string_lossy().into_owned();
    Some(Executable {
        path,
        name: target.get("name")?.as_str()?.to_owned(),
        package,
        folder,
        kind: target.get("kind")?.get(0)?.as_str()?.to_owned(),
        is_test: message.get("profile").and_then(|p| p.get("test")).and_then(Value::as_bool).unwrap_or(false),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn executables_are_read_from_messages() {
        let messages = concat!(
            r#"{"reason":"compiler-artifact","manifest_path":"/x/crates/bpf/Cargo.toml","target":{"kind":["test"],"name":"sim"},"executable":"/t/sim-1"}"#,
            "\n",
            r#"{"reason":"compiler-artifact","manifest_path":"/x/crates/bpf/Cargo.toml","target":{"kind":["lib"],"name":"fathom_bpf"},"executable":null}"#,
            "\nnot json\n",
        );
        let found = executables(messages);
        assert_eq!(found.len(), 1);
        assert_eq!(
            (found[0].name.as_str(), found[0].kind.as_str(), found[0].package.as_str()),
            ("sim", "test", "bpf")
        );
    }
}
