//! Times the kernel's BTF: open with index, find a struct, resolve a path of six hops, and other look-ups.
#![allow(clippy::print_stdout, reason = "this is a program that prints its measurements")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use fathom_symbols::btf::{Btf, Kind};

fn median<T>(mut run: impl FnMut() -> T) -> Duration {
    let mut times: Vec<Duration> = (0..41)
        .map(|_| {
            let start = Instant::now();
            black_box(run());
            start.elapsed()
        })
        .collect();
    times.sort();
    times[times.len() / 2]
}

fn main() {
    let Ok(bytes) = std::fs::read("/sys/kernel/btf/vmlinux") else {
        println!("skipped: /sys/kernel/btf/vmlinux cannot be read");
        return;
    };
    let path = ["mm", "exe_file", "f_path", "dentry", "d_name", "name"];
    let whole = median(|| {
        let btf = Btf::parse(bytes.as_slice()).unwrap();
        let task = btf.find("task_struct", Kind::Struct).unwrap();
        btf.member_path(task, path).unwrap()
    });
    let open = median(|| Btf::parse(bytes.as_slice()).unwrap());
    let btf = Btf::parse(bytes.as_slice()).unwrap();
    let task = btf.find("task_struct", Kind::Struct).unwrap();
    println!("{} types in {} bytes", btf.type_count(), bytes.len());
    println!("open, find, path  {whole:?}");
    println!("open and index    {open:?}");
    println!("find task_struct  {:?}", median(|| btf.find("task_struct", Kind::Struct)));
    println!("find last func    {:?}", median(|| btf.find("zswap_writeback_entry", Kind::Func)));
    println!("find nothing      {:?}", median(|| btf.find("no_such_thing", Kind::Func)));
    println!("path of six       {:?}", median(|| btf.member_path(task, path)));
    println!("sys_enter         {:?}", median(|| btf.find_raw_tracepoint("sys_enter")));
    println!("enumerator        {:?}", median(|| btf.find_enumerator("BPF_MAP_TYPE_HASH")));
    println!("all functions     {:?}", median(|| btf.iter_kind(Kind::Func).count()));
    println!("print task_struct {:?}", median(|| btf.declaration(task)));
}
