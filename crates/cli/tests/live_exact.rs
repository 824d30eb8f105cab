//! Counts are exact while all CPUs update the same maps, and what is lost is counted.

mod tracer;

use std::collections::BTreeMap;
use std::os::unix::process::parent_id;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;
use tracer::{live, Tracer};

const THREADS: u64 = 6;
const CALLS: u64 = 40_000;
const LIMIT: Duration = Duration::from_secs(30);

/// The tests take turns: all of them count the system calls of this process.
fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(|e| e.into_inner())
}

/// Runs a script on `sys_enter_getppid` of this process while its threads make calls; gives what it printed.
fn trace(clause: &str, rest: &str, calls: u64) -> (String, String) {
    let pid = std::process::id();
    let script = format!("tracepoint:syscalls:sys_enter_getppid /pid == {pid}/ {{ {clause} }} {rest}");
    let mut tracer = Tracer::attached(&["-e", &script]);
    let load = |_| {
        std::thread::spawn(move || {
            for _ in 0..calls {
                std::hint::black_box(parent_id());
            }
        })
    };
    let threads: Vec<_> = (0..THREADS).map(load).collect();
    for t in threads {
        t.join().unwrap();
    }
    tracer.signal("INT");
    assert!(tracer.wait(LIMIT), "the tracer does not end");
    let output = tracer.output();
    let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

/// Sums of all `@name...: N` lines by name, keys included or not.
fn sums(text: &str) -> BTreeMap<String, u64> {
    let mut all = BTreeMap::new();
    for line in text.lines().filter(|l| l.starts_with('@')) {
        let Some((name, value)) = line.split_once(": ") else { continue };
        let name = name.split('[').next().unwrap_or(name);
        *all.entry(name.to_owned()).or_default() += value.trim().parse::<u64>().unwrap_or(0);
    }
    all
}

/// Sum of the counts of all histogram lines: `[lower, upper)   N |@@@ |`.
fn histogram_counts(text: &str) -> u64 {
    let count = |l: &str| l.split_once([')', ']'])?.1.split('|').next()?.trim().parse::<u64>().ok();
    text.lines().filter(|l| l.starts_with('[')).filter_map(count).sum()
}

#[test]
fn updates_of_all_cpus_are_counted() {
    if !live("updates_of_all_cpus_are_counted") {
        return;
    }
    let _turn = turn();
    let (out, err) = trace(
        "@count = count(); @by_thread[tid] = count(); @sum = sum(3); @steps++; @keyed[pid]++; @added += 2; \
         @taken[comm] -= 1; @hist = hist(tid % 10); @stats = stats(2);",
        "end { @taken_total = -@taken[comm]; }",
        CALLS,
    );
    let n = THREADS * CALLS;
    let sums = sums(&out);
    for (name, want) in
        [("@count", n), ("@by_thread", n), ("@sum", 3 * n), ("@steps", n), ("@keyed", n), ("@added", 2 * n)]
    {
        assert_eq!(sums.get(name), Some(&want), "{name} of {out}\n{err}");
    }
    assert_eq!(histogram_counts(&out), n, "{out}");
    assert!(out.contains(&format!("@stats: {{ .count = {n}, .average = 2, .total = {} }}", 2 * n)), "{out}");
}

#[test]
fn what_is_printed_and_what_is_lost_is_what_was_written() {
    if !live("what_is_printed_and_what_is_lost_is_what_was_written") {
        return;
    }
    let _turn = turn();
    // A small ring, so that some is lost.
    let (out, err) = trace("printf(\"hit %d %s\\n\", tid, comm); @written = count();", "", CALLS);
    let printed = out.lines().filter(|l| l.starts_with("hit ")).count() as u64;
    let lost: u64 = err
        .lines()
        .filter_map(|l| l.strip_prefix("Lost ")?.strip_suffix(" events")?.parse::<u64>().ok())
        .sum();
    assert_eq!(printed + lost, THREADS * CALLS, "{printed} printed, {lost} lost, {err}");
    assert_eq!(sums(&out).get("@written"), Some(&(THREADS * CALLS)));
}

#[test]
fn prints_and_clears_add_up() {
    if !live("prints_and_clears_add_up") {
        return;
    }
    let _turn = turn();
    let (out, err) = trace(
        "@count = count(); @sum = sum(2); @steps++; @hist = hist(tid % 10); @total = count();",
        "interval:ms:5 { print(@count); print(@sum); print(@hist); clear(@count); clear(@sum); clear(@hist); \
         print(@steps); clear(@steps); }",
        CALLS * 2,
    );
    let n = THREADS * CALLS * 2;
    let sums = sums(&out);
    assert_eq!(sums.get("@total"), Some(&n), "{err}");
    for (name, want) in [("@count", n), ("@sum", 2 * n), ("@steps", n)] {
        assert_eq!(sums.get(name), Some(&want), "{name} printed in {} intervals", out.matches(name).count());
    }
    assert_eq!(histogram_counts(&out), n);
}

#[test]
fn prints_and_clears_of_keys_add_up() {
    if !live("prints_and_clears_of_keys_add_up") {
        return;
    }
    let _turn = turn();
    let (out, err) = trace(
        "@by_thread[tid] = count(); @keyed[tid]++; @total = count();",
        "interval:ms:5 { print(@by_thread); print(@keyed); clear(@by_thread); clear(@keyed); }",
        CALLS * 2,
    );
    let n = THREADS * CALLS * 2;
    let sums = sums(&out);
    assert_eq!(sums.get("@total"), Some(&n), "{err}");
    for name in ["@by_thread", "@keyed"] {
        let got = sums.get(name).copied().unwrap_or(0);
        // The kernel frees an element under the feet of a program that has just looked it up: at most one update on
        // each CPU and print can go with it.
        assert!(got <= n && n - got <= out.matches(name).count() as u64, "{name}: {got} of {n}");
        eprintln!("{name}: {} of {n} lost in {} prints of elements", n - got, out.matches(name).count());
    }
}

#[test]
fn a_full_map_tells_how_often() {
    if !live("a_full_map_tells_how_often") {
        return;
    }
    let _turn = turn();
    let pid = std::process::id();
    let script = format!(
        "config = {{ max_map_keys = 4; }} tracepoint:syscalls:sys_enter_getppid /pid == {pid}/ \
         {{ $key = @n % 16; @n++; @kept[$key] = count(); }}"
    );
    let mut tracer = Tracer::attached(&["-e", &script]);
    for _ in 0..1600 {
        std::hint::black_box(parent_id());
    }
    tracer.signal("INT");
    assert!(tracer.wait(LIMIT));
    let output = tracer.output();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let sums = sums(&out);
    assert_eq!((sums.get("@n"), sums.get("@kept")), (Some(&1600), Some(&400)), "{out}\n{err}");
    assert!(err.contains("Map full"), "{err}");
    assert_eq!(warned(&err), 1200, "{err}");
}

/// How many events the warnings of a full map stand for: `(and 5 times more before)` for six, `(5 times more)` at the end for five.
fn warned(err: &str) -> u64 {
    let stands_for = |line: &str| match line.rsplit_once('(').map(|l| l.1).filter(|l| l.ends_with(')')) {
        Some("and once more before)") => 2,
        Some(rest) if rest.contains(" times more") => {
            let (before, number) = match rest.strip_prefix("and ") {
                Some(rest) => (1, rest),
                None => (0, rest),
            };
            before + number.split(' ').next().and_then(|n| n.parse::<u64>().ok()).unwrap_or(0)
        }
        _ => 1,
    };
    err.lines().filter(|l| l.contains("Map full")).map(stands_for).sum()
}
