//! The conformance cases of the language, where a folder with them is at hand: `run.py` and `runtime/`.
//!
//! They belong to another project and are not part of this one, so a checkout without them skips the step.

use super::{Context, Tally};
use serde_json::Value;
use std::path::PathBuf;
use std::process::Stdio;

/// Share of the decidable cases that has to pass.
const WANTED: f64 = 0.75;
/// Names the folder.
const VARIABLE: &str = "FATHOM_CONFORMANCE";

/// Runs the step.
pub fn run(context: &Context) -> Tally {
    let Some(suite) = folder(context) else {
        return Tally::skip(format!("no folder with conformance cases; name one in {VARIABLE}"));
    };
    if let Some(why) = context.environment.obstacle() {
        return Tally::skip(why);
    }
    let Some(python) = &context.environment.python else {
        return Tally::skip("python3 is not installed; the runner of the cases needs it");
    };
    let binary = match context.binary() {
        Ok(binary) => binary,
        Err(e) => return Tally::fail(e),
    };
    let results = context.workspace.target.join("conformance.json");
    // Results of an earlier run must not be taken for this one's.
    let _ = std::fs::remove_file(&results);
    let work = context.workspace.target.join("conformance");
    let status = context
        .workspace
        .command(python)
        .arg(suite.join("run.py"))
        .arg("--suite")
        .arg(&suite)
        .arg("--bin")
        .arg(binary)
        .arg("--work")
        .arg(&work)
        .args(["--retry", "2", "--quiet", "--json"])
        .arg(&results)
        .stdin(Stdio::null())
        .status();
    if let Err(e) = status {
        return Tally::fail(format!("{}: {e}", python.display()));
    }
    match std::fs::read_to_string(&results) {
        Ok(text) => judge(&text),
        Err(e) => Tally::fail(format!("the runner wrote no results: {}: {e}", results.display())),
    }
}

fn folder(context: &Context) -> Option<PathBuf> {
    let named = std::env::var_os(VARIABLE).map(PathBuf::from);
    let beside = context.workspace.root.join("../shared/conformance");
    let folder = named.unwrap_or(beside);
    let is_complete = folder.join("run.py").is_file() && folder.join("runtime").is_dir();
    is_complete.then(|| folder.canonicalize().unwrap_or(folder))
}

/// Counts; cases that fail are failures of the step only below the wanted share, and are listed in any case.
fn judge(text: &str) -> Tally {
    let cases: Vec<Value> = match serde_json::from_str(text) {
        Ok(cases) => cases,
        Err(e) => return Tally::fail(format!("the runner's results cannot be read: {e}")),
    };
    let field =
        |case: &Value, key: &str| case.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let mut tally = Tally::default();
    let mut open = Vec::new();
    for case in &cases {
        match field(case, "status").as_str() {
            "pass" => tally.passed += 1,
            "needs-vm" | "skip" => tally.skipped += 1,
            status => {
                let reason = field(case, "reason");
                open.push(format!(
                    "{status} {}: {}",
                    field(case, "id"),
                    reason.lines().next().unwrap_or_default()
                ));
            }
        }
    }
    let decidable = tally.passed + open.len() as u64;
    if decidable == 0 {
        return Tally::fail("the runner decided no case");
    }
    let share = tally.passed as f64 / decidable as f64;
    println!("   {} of {decidable} decidable cases pass: {:.1} %", tally.passed, share * 100.0);
    let summary = format!(
        "conformance: {:.1} % of the decidable cases pass, {:.0} % are wanted",
        share * 100.0,
        WANTED * 100.0
    );
    if share < WANTED {
        tally.failed = open.len() as u64;
        tally.notes = open;
        tally.notes.push(summary);
    } else {
        tally.skipped += open.len() as u64;
        tally.notes = open.into_iter().map(|o| format!("skipped: open case, {o}")).collect();
    }
    tally
}

#[cfg(test)]
mod tests {
    use super::*;

    fn results(statuses: &[&str]) -> String {
        let cases =
            statuses.iter().map(|s| format!(r#"{{"id":"x.{s}","status":"{s}","reason":"why\nmore"}}"#));
        format!("[{}]", cases.collect::<Vec<_>>().join(","))
    }

    #[test]
    fn the_share_of_decidable_cases_decides() {
        let good = judge(&results(&["pass", "pass", "pass", "fail", "skip", "needs-vm"]));
        assert_eq!((good.passed, good.failed, good.skipped), (3, 0, 3));
        assert_eq!(good.notes, ["skipped: open case, fail x.fail: why"]);
        let bad = judge(&results(&["pass", "pass", "timeout", "skip"]));
        assert_eq!((bad.passed, bad.failed, bad.skipped), (2, 1, 1));
        assert!(judge("[]").failed == 1 && judge("{").failed == 1);
    }
}
