//! What the code base promises about itself: who depends on whom, where unsafe code is, how files begin and how long they are, what documents name.

use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Crates and what each may depend on (`docs/adr/` has the reasons). The arrows go one way; nothing else is allowed.
const ARROWS: &[(&str, &[&str])] = &[
    ("bpf", &[]),
    ("syntax", &[]),
    ("symbols", &[]),
    ("report", &[]),
    ("codegen", &["bpf"]),
    ("kernel", &["bpf"]),
    ("lang", &["bpf", "codegen", "report", "syntax"]),
    ("probes", &["bpf", "codegen", "kernel", "lang", "symbols"]),
    ("runtime", &["bpf", "codegen", "kernel", "lang", "probes", "report", "symbols"]),
    ("tools", &["lang", "report", "runtime"]),
    (
        "cli",
        &["bpf", "codegen", "kernel", "lang", "probes", "report", "runtime", "symbols", "syntax", "tools"],
    ),
    ("testkit", &["bpf", "codegen", "kernel", "lang", "probes", "report", "runtime", "symbols", "syntax"]),
    ("xtask", &["bpf", "kernel", "lang", "probes", "symbols", "syntax", "testkit"]),
];

/// Dependencies of tests alone, beyond the arrows.
const TEST_ARROWS: &[(&str, &[&str])] = &[("cli", &["testkit"]), ("runtime", &["testkit"])];

/// Most lines of a source file.
const LINES_MAX: usize = 800;
/// Longer files, each with its reason; the number may only fall.
const LONG_FILES: &[(&str, usize, &str)] = &[];

/// Texts that belong to one machine, or to none that a reader has.
const FORBIDDEN: &[&str] =
    &["/work/", "/tmp/brief", "registry.invalid", "localhost:", "http://127.", "http://10."];
/// Files that may have them: this list itself.
const FORBIDDEN_EXEMPT: &[&str] = &["crates/xtask/tests/tidy.rs"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// Tracked files, relative to the root; `None` outside a git checkout.
fn tracked() -> Option<Vec<String>> {
    let output = Command::new("git").args(["ls-files", "-z"]).current_dir(root()).output().ok()?;
    if !output.status.success() {
        return None;
    }
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    // A file that was just deleted is still in the index.
    Some(text.split('\0').filter(|f| !f.is_empty() && root().join(f).is_file()).map(str::to_owned).collect())
}

fn sources() -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut folders = vec![root().join("crates")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let name = path.strip_prefix(root()).unwrap().display().to_string();
                found.push((name, std::fs::read_to_string(&path).unwrap()));
            }
        }
    }
    found.sort();
    found
}

fn metadata() -> Value {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--no-deps", "--format-version", "1"])
        .current_dir(root())
        .output()
        .unwrap();
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Own packages: short name (the folder) to its own dependencies, as (short name, only for tests).
fn packages() -> BTreeMap<String, Vec<(String, bool)>> {
    let metadata = metadata();
    let text = |v: &Value, key: &str| v[key].as_str().unwrap_or_default().to_owned();
    let short = |manifest: &str| {
        let folder = Path::new(manifest).parent().and_then(Path::file_name);
        folder.unwrap().to_string_lossy().into_owned()
    };
    let all = metadata["packages"].as_array().unwrap();
    let own: BTreeMap<String, String> =
        all.iter().map(|p| (text(p, "name"), short(&text(p, "manifest_path")))).collect();
    let dependencies = |p: &Value| -> Vec<(String, bool)> {
        let listed = p["dependencies"].as_array().unwrap().iter();
        listed.filter_map(|d| Some((own.get(&text(d, "name"))?.clone(), text(d, "kind") == "dev"))).collect()
    };
    all.iter().map(|p| (short(&text(p, "manifest_path")), dependencies(p))).collect()
}

fn row<'t>(table: &'t [(&str, &'t [&'t str])], name: &str) -> &'t [&'t str] {
    table.iter().find(|r| r.0 == name).map_or(&[], |r| r.1)
}

#[test]
fn dependencies_follow_the_arrows() {
    let packages = packages();
    let known: Vec<&str> = ARROWS.iter().map(|r| r.0).collect();
    for (name, dependencies) in &packages {
        assert!(
            known.contains(&name.as_str()),
            "crate {name} is not in the list of arrows: one more crate is one more ADR"
        );
        for (on, only_tests) in dependencies {
            let allowed = row(ARROWS, name).contains(&on.as_str())
                || *only_tests && (row(TEST_ARROWS, name).contains(&on.as_str()) || on == name);
            assert!(allowed, "{name} must not depend on {on}");
        }
    }
    for name in known {
        assert!(packages.contains_key(name), "crate {name} is gone: take it out of the arrows");
    }
}

#[test]
fn only_the_kernel_crate_has_unsafe_code() {
    // Spelled apart, so that this file does not name itself.
    let word = concat!("un", "safe");
    let forms =
        [format!("{word} {{"), format!("{word} fn"), format!("{word} impl"), format!("{word} extern")];
    for (name, text) in sources() {
        if name.starts_with("crates/kernel/") {
            continue;
        }
        for (number, line) in (1..).zip(text.lines()) {
            let code = line.split("//").next().unwrap_or_default();
            let stands_alone =
                |at: usize| !code[..at].ends_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
            let found = forms.iter().any(|f| code.match_indices(f.as_str()).any(|(at, _)| stands_alone(at)));
            assert!(!found, "{name}:{number}: {line}");
        }
    }
}

#[test]
fn every_file_says_first_what_it_is_about() {
    for (name, text) in sources() {
        assert!(
            text.starts_with("//! "),
            "{name}: the first line has to be a `//!` comment that names its subject"
        );
    }
}

#[test]
fn files_are_short() {
    for (name, text) in sources() {
        let lines = text.lines().count();
        let limit = LONG_FILES.iter().find(|f| f.0 == name).map_or(LINES_MAX, |f| f.1);
        assert!(lines <= limit, "{name} has {lines} lines, at most {limit}: split it by subject");
    }
}

#[test]
fn no_machine_is_named() {
    let Some(files) = tracked() else {
        eprintln!("skipped: not a git checkout");
        return;
    };
    for name in files.iter().filter(|f| !FORBIDDEN_EXEMPT.contains(&f.as_str())) {
        let Ok(text) = std::fs::read_to_string(root().join(name)) else { continue };
        for word in FORBIDDEN {
            if let Some(at) = text.find(word) {
                let line = text.get(..at).unwrap_or_default().lines().count().max(1);
                panic!("{name}:{line}: `{word}` belongs to one machine");
            }
        }
    }
}

#[test]
fn the_architecture_names_every_crate_and_folder() {
    let text = std::fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    for name in packages().keys() {
        assert!(text.contains(&format!("`crates/{name}`")), "ARCHITECTURE.md does not name `crates/{name}`");
        let mut folders: Vec<PathBuf> = Vec::new();
        for entry in std::fs::read_dir(root().join("crates").join(name).join("src")).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            }
        }
        for folder in folders {
            let short = folder.file_name().unwrap().to_string_lossy().into_owned();
            if short == "tests" {
                continue;
            }
            assert!(
                text.contains(&format!("`{short}/`")),
                "ARCHITECTURE.md does not name `{short}/` of `crates/{name}`"
            );
        }
    }
}

#[test]
fn every_decision_is_in_the_index() {
    let folder = root().join("docs/adr");
    let index = std::fs::read_to_string(folder.join("README.md")).unwrap();
    for entry in std::fs::read_dir(&folder).unwrap() {
        let name = entry.unwrap().file_name().to_string_lossy().into_owned();
        if name != "README.md" {
            assert!(index.contains(&name), "docs/adr/README.md does not list {name}");
        }
    }
}

#[test]
fn the_readme_has_its_two_commands() {
    let text = std::fs::read_to_string(root().join("README.md")).unwrap();
    for command in ["cargo run --release -- -e", "cargo xtask test"] {
        assert!(text.contains(command), "README.md lacks `{command}`");
    }
}
