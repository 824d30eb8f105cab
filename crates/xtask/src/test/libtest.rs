//! Test executables: run them and read exact counts from what they print.

use super::{process, Tally};
use crate::workspace::Executable;
use std::process::Command;
use std::time::Duration;

/// What the tests of one executable may take.
const LIMIT: Duration = Duration::from_secs(300);

/// Runs an executable; `serial` runs its tests one after the other.
///
/// A test that cannot run here prints a line `skipped: why` and returns; it is counted as skipped.
pub fn run(test: &Executable, serial: bool) -> Tally {
    let mut command = Command::new(&test.path);
    command.arg("--show-output").current_dir(&test.folder).env("CARGO_MANIFEST_DIR", &test.folder);
    if serial {
        command.arg("--test-threads=1");
    }
    let label = format!("{} {}", test.package, test.name);
    let done = match process::run(&mut command, LIMIT) {
        Ok(done) => done,
        Err(e) => return Tally::fail(format!("{label}: {}: {e}", test.path.display())),
    };
    let mut tally = read(&done.text, &label);
    if done.code != 0 {
        println!("{}", done.text);
        let why = match done.timed_out {
            true => format!("not done after {} s", LIMIT.as_secs()),
            false => format!("exit code {}", done.code),
        };
        if done.timed_out || tally.failed == 0 {
            // Ended before it could count.
            tally.add(Tally::fail(format!("{label}: {why}")));
        }
    }
    println!("   {label}: {}", tally.line());
    tally
}

/// Counts in the output of one or several runs of libtest.
pub fn read(text: &str, label: &str) -> Tally {
    let mut tally = Tally::default();
    for line in text.lines() {
        if let Some(counts) = line.strip_prefix("test result: ") {
            tally.passed += count(counts, "passed");
            tally.failed += count(counts, "failed");
            tally.skipped += count(counts, "ignored");
        } else if let Some(why) = line.trim_start().strip_prefix("skipped: ") {
            tally.notes.push(format!("skipped: {label}: {why}"));
        } else if let Some(name) = line.strip_prefix("test ").and_then(|l| l.strip_suffix(" ... FAILED")) {
            tally.notes.push(format!("{label}: {name}"));
        }
    }
    let said = tally.notes.iter().filter(|n| n.starts_with("skipped: ")).count() as u64;
    let moved = said.min(tally.passed);
    tally.passed -= moved;
    tally.skipped += moved;
    tally
}

/// The number before a word in `ok. 5 passed; 0 failed; 1 ignored; ...`.
fn count(counts: &str, word: &str) -> u64 {
    let part = counts.split(';').find_map(|p| p.trim().strip_suffix(word));
    let number = part.and_then(|p| p.split_whitespace().last());
    number.and_then(|n| n.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_summed_and_skips_are_no_passes() {
        let text = "running 3 tests\ntest a ... ok\ntest b ... FAILED\n\nsuccesses:\n\n---- a stdout ----\nskipped: no root\n\n\
                    test result: FAILED. 2 passed; 1 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s\n\
                    test result: ok. 4 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s\n";
        let tally = read(text, "x");
        assert_eq!((tally.passed, tally.failed, tally.skipped), (5, 1, 2));
        assert_eq!(tally.notes, ["x: b", "skipped: x: no root"]);
    }

    #[test]
    fn nothing_is_read_from_other_text() {
        assert_eq!(read("test result: nonsense\n", "x"), Tally::default());
    }
}
