//! A program to be traced: functions, static probes, a watched variable, threads. The live tests start it.
//!
//! `live_target ROUNDS PAUSE_US` calls its functions in rounds and prints what its probes' semaphore says; `live_target threads` lets
//! two threads write one variable for some seconds. The first line tells the addresses of variable and function.
#![allow(clippy::print_stdout, reason = "it talks to the tests by standard output")]

use std::hint::black_box;
use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

static CELL: AtomicU64 = AtomicU64::new(0);

#[inline(never)]
extern "C" fn traced_add(a: i32, b: i64, text: *const std::ffi::c_char) -> i64 {
    black_box(text);
    black_box(i64::from(a) + b)
}

#[allow(clippy::too_many_arguments, reason = "some have to be passed on the stack")]
#[inline(never)]
extern "C" fn traced_many(a: u64, b: u64, c: u64, d: u64, e: u64, f: u64, g: u64, h: u64) -> u64 {
    black_box(a + b + c + d + e + f + g + h)
}

#[inline(never)]
extern "C" fn traced_write() -> u64 {
    CELL.fetch_add(1, Ordering::Relaxed)
}

fn round(number: u64) -> bool {
    black_box(traced_add(black_box(-7), black_box(40), c"hello".as_ptr()));
    black_box(traced_many(1, 2, 3, 4, 5, 6, 7, 8));
    traced_write();
    probe::probe!(live_target, round, number, c"from a probe".as_ptr());
    probe::probe!(live_target, twice, 1);
    probe::probe!(live_target, twice, 2);
    probe::probe_lazy!(live_target, guarded, number)
}

fn rounds(count: u64, pause: Duration) {
    let mut was_on = None;
    for number in 0..count {
        let is_on = round(number);
        if was_on != Some(is_on) {
            was_on = Some(is_on);
            say(if is_on { "guarded on" } else { "guarded off" });
        }
        if !pause.is_zero() {
            std::thread::sleep(pause);
        }
    }
}

fn say(line: &str) {
    println!("{line}");
    // A test that has ended reads no more.
    let _ = std::io::stdout().flush();
}

fn main() {
    let args: Vec<String> = std::env::args().collect();
    say(&format!("cell={:#x} function={:#x}", CELL.as_ptr() as usize, traced_write as *const () as usize));
    let number = |at: usize| args.get(at).and_then(|a| a.parse().ok()).unwrap_or(0u64);
    if args.get(1).is_some_and(|a| a == "threads") {
        let write = || {
            for _ in 0..500 {
                traced_write();
                std::thread::sleep(Duration::from_millis(5));
            }
        };
        let first = std::thread::spawn(write);
        std::thread::sleep(Duration::from_millis(600));
        let second = std::thread::spawn(write);
        let _ = (first.join(), second.join());
    } else {
        rounds(number(1), Duration::from_micros(number(2)));
    }
}
