//! The simulated host: what helpers do to maps, rings, memory and the test's records.

use fathom_bpf::asm::{assemble_with, Name};
use fathom_bpf::interp::sim::{MapSpec, Namespace, Record, SimHost, Symbol, Wakeup};
use fathom_bpf::interp::{Fault, Interp, RunError, Space};
use fathom_bpf::kinds::helper_flags::*;
use fathom_bpf::kinds::{map_flags, MapKind};

/// Runs a text; maps are named `m3`, `m4` by descriptor, kernel functions by their names.
fn run(host: &mut SimHost, text: &str) -> Result<u64, RunError> {
    let resolve = |name: Name<'_>| match name {
        Name::Map(map) => map.strip_prefix('m')?.parse().ok(),
        Name::Kfunc(name) => host.kfunc_id(name),
    };
    let insns = assemble_with(text, &resolve).unwrap_or_else(|error| panic!("{text}: {error}"));
    Interp::new(&insns, host).run(&[])
}

fn errno(number: i64) -> Result<u64, RunError> {
    Ok(-number as u64)
}

fn map(host: &mut SimHost, kind: MapKind, key: u32, value: u32, entries: u32) -> i32 {
    host.add_map(MapSpec::new(kind, key, value, entries)).unwrap()
}

/// r2 = stack address of a 4-byte key.
fn key(number: u32) -> String {
    format!("*(u32 *)(r10 - 4) = {number}\nr2 = r10\nr2 += -4\n")
}

fn update(number: u32, value: u64, flags: u64) -> String {
    format!(
        "{}*(u64 *)(r10 - 16) = {value}\nr3 = r10\nr3 += -16\nr4 = {flags}\nr1 = map_fd m3\ncall map_update_elem\n",
        key(number)
    )
}

fn u64s(values: &[u64]) -> Vec<Vec<u8>> {
    values.iter().map(|value| value.to_le_bytes().to_vec()).collect()
}

#[test]
fn hashes_keep_elements_within_their_limits() {
    let mut host = SimHost::new(2);
    map(&mut host, MapKind::HASH, 4, 8, 2);
    let lookup = format!("{}r1 = map_fd m3\ncall map_lookup_elem\n", key(7));
    assert_eq!(run(&mut host, &format!("{lookup}exit")), Ok(0));
    assert_eq!(run(&mut host, &format!("{}exit", update(7, 5, BPF_EXIST))), errno(2));
    assert_eq!(run(&mut host, &format!("{}exit", update(7, 5, BPF_NOEXIST))), Ok(0));
    assert_eq!(run(&mut host, &format!("{}exit", update(7, 6, BPF_NOEXIST))), errno(17));
    assert_eq!(run(&mut host, &format!("{}exit", update(7, 6, 9))), errno(22));
    let add = format!(
        "{lookup}if r0 == 0 goto out\nr1 = 3\nlock *(u64 *)(r0 + 0) += r1\nr0 = *(u64 *)(r0 + 0)\nout: exit"
    );
    assert_eq!(run(&mut host, &add), Ok(8));
    assert_eq!(run(&mut host, &format!("{}exit", update(8, 1, BPF_ANY))), Ok(0));
    assert_eq!(run(&mut host, &format!("{}exit", update(9, 1, BPF_ANY))), errno(7));
    assert_eq!(
        host.entries(3),
        [(7u32.to_le_bytes().to_vec(), u64s(&[8])), (8u32.to_le_bytes().to_vec(), u64s(&[1])),]
    );
    let delete = format!("{}r1 = map_fd m3\ncall map_delete_elem\nexit", key(7));
    assert_eq!(run(&mut host, &delete), Ok(0));
    assert_eq!(run(&mut host, &delete), errno(2));
    assert_eq!(host.lookup(3, &7u32.to_le_bytes()), None);
}

#[test]
fn a_pointer_outlives_the_element_until_the_run_ends() {
    let mut host = SimHost::new(1);
    map(&mut host, MapKind::HASH, 4, 8, 2);
    host.update(3, &7u32.to_le_bytes(), &5u64.to_le_bytes(), 0).unwrap();
    let text = format!(
        "{k}r1 = map_fd m3\ncall map_lookup_elem\nif r0 == 0 goto out\nr6 = r0\n{u}r0 = *(u64 *)(r6 + 0)\nout: exit",
        k = key(7),
        u = update(7, 99, 0)
    );
    // As in the kernel, the pointer keeps the replaced value.
    assert_eq!(run(&mut host, &text), Ok(5));
    assert_eq!(host.lookup(3, &7u32.to_le_bytes()), Some(u64s(&[99])));
}

#[test]
fn lru_hashes_push_out_what_was_used_least_recently() {
    let mut host = SimHost::new(1);
    map(&mut host, MapKind::LRU_HASH, 4, 8, 2);
    for (number, value) in [(1, 10), (2, 20)] {
        assert_eq!(run(&mut host, &format!("{}exit", update(number, value, 0))), Ok(0));
    }
    run(&mut host, &format!("{}r1 = map_fd m3\ncall map_lookup_elem\nr0 = 0\nexit", key(1))).unwrap();
    assert_eq!(run(&mut host, &format!("{}exit", update(3, 30, 0))), Ok(0));
    let keys: Vec<u8> = host.entries(3).iter().map(|(key, _)| key[0]).collect();
    assert_eq!(keys, [1, 3]);
}

#[test]
fn per_cpu_maps_have_a_value_for_each_cpu() {
    for kind in [MapKind::PERCPU_ARRAY, MapKind::PERCPU_HASH] {
        let mut host = SimHost::new(3);
        map(&mut host, kind, 4, 8, 4);
        let value = update(2, 7, 0);
        for cpu in [0, 2] {
            host.cpu = cpu;
            assert_eq!(run(&mut host, &format!("{value}exit")), Ok(0));
        }
        assert_eq!(host.lookup(3, &2u32.to_le_bytes()), Some(u64s(&[7, 0, 7])));
        let other = |cpu: u32| {
            format!(
                "{}r1 = map_fd m3\nr3 = {cpu}\ncall map_lookup_percpu_elem\nif r0 == 0 goto o\nr0 = *(u64 *)(r0 + 0)\nexit\no: r0 = -1\nexit",
                key(2)
            )
        };
        assert_eq!(run(&mut host, &other(0)), Ok(7));
        assert_eq!(run(&mut host, &other(1)), Ok(0));
        assert_eq!(run(&mut host, &other(3)), Ok(u64::MAX));
    }
}

#[test]
fn arrays_exist_from_the_start() {
    let mut host = SimHost::new(1);
    map(&mut host, MapKind::ARRAY, 4, 8, 2);
    let lookup = |number| format!("{}r1 = map_fd m3\ncall map_lookup_elem\n", key(number));
    assert_eq!(run(&mut host, &format!("{}r0 = *(u64 *)(r0 + 0)\nexit", lookup(1))), Ok(0));
    assert_eq!(run(&mut host, &format!("{}exit", lookup(2))), Ok(0));
    assert_eq!(run(&mut host, &format!("{}exit", update(1, 5, BPF_NOEXIST))), errno(17));
    assert_eq!(run(&mut host, &format!("{}exit", update(2, 5, 0))), errno(7));
    let delete = format!("{}r1 = map_fd m3\ncall map_delete_elem\nexit", key(1));
    assert_eq!(run(&mut host, &delete), errno(22));
    let over = run(&mut host, &format!("{}r0 = *(u64 *)(r0 + 4)\nexit", lookup(1))).unwrap_err();
    assert!(matches!(over.fault, Fault::Access { .. }));
}

#[test]
fn direct_values_and_read_only_maps() {
    let mut host = SimHost::new(1);
    map(&mut host, MapKind::ARRAY, 4, 16, 1);
    let spec = MapSpec { flags: map_flags::BPF_F_RDONLY_PROG, ..MapSpec::new(MapKind::ARRAY, 4, 8, 1) };
    assert_eq!(host.add_map(spec), Ok(4));
    let text =
        "r1 = map_value m3 + 8\n*(u64 *)(r1 + 0) = 5\nr2 = map_value m3 + 0\nr0 = *(u64 *)(r2 + 8)\nexit";
    assert_eq!(run(&mut host, text), Ok(5));
    assert_eq!(host.lookup(3, &[0; 4]).unwrap()[0][8..], 5u64.to_le_bytes());
    let refused = run(&mut host, "r1 = map_value m4\n*(u8 *)(r1 + 0) = 5\nexit").unwrap_err();
    assert!(matches!(refused.fault, Fault::ReadOnly { .. }));
}

#[test]
fn impossible_maps_are_refused_with_the_reason() {
    let mut host = SimHost::new(1);
    for (spec, want) in [
        (MapSpec::new(MapKind::ARRAY, 8, 8, 1), "4 bytes"),
        (MapSpec::new(MapKind::HASH, 0, 8, 1), "keys of 0"),
        (MapSpec::new(MapKind::HASH, 4, 0, 1), "value_size"),
        (MapSpec::new(MapKind::HASH, 4, 8, 0), "max_entries"),
        (MapSpec::new(MapKind::RINGBUF, 0, 0, 5000), "power of two"),
        (MapSpec::new(MapKind::ARRAY, 4, 1 << 20, 1 << 20), "more than"),
        (MapSpec::new(MapKind::STACK_TRACE, 4, 12, 1), "multiple of 8"),
    ] {
        let error = host.add_map(spec).unwrap_err();
        assert!(error.contains(want), "{error}");
    }
}

#[test]
fn rings_deliver_records_in_the_order_of_reservation() {
    let mut host = SimHost::new(1);
    map(&mut host, MapKind::RINGBUF, 0, 0, 4096);
    let text = "r1 = map_fd m3\nr2 = 8\nr3 = 0\ncall ringbuf_reserve\nif r0 == 0 goto out\nr6 = r0\n\
        *(u64 *)(r10 - 8) = 77\nr1 = map_fd m3\nr2 = r10\nr2 += -8\nr3 = 8\nr4 = 2\ncall ringbuf_output\nr7 = r0\n\
        *(u64 *)(r6 + 0) = 1\nr1 = r6\nr2 = 1\ncall ringbuf_submit\n\
        r1 = map_fd m3\nr2 = 16\nr3 = 0\ncall ringbuf_reserve\nr1 = r0\nr2 = 0\ncall ringbuf_discard\n\
        r1 = map_fd m3\nr2 = 0\ncall ringbuf_query\nout: exit";
    assert_eq!(run(&mut host, text), Ok(16 + 16 + 24));
    let record = |value: u64, wakeup| Record { cpu: 0, bytes: value.to_le_bytes().to_vec(), wakeup };
    assert_eq!(host.take_records(3), [record(1, Wakeup::Never), record(77, Wakeup::Always)]);
    assert_eq!(host.take_records(3), []);
    assert_eq!(host.unsubmitted(3), 0);
}

#[test]
fn a_full_ring_refuses_and_counts() {
    let mut host = SimHost::new(1);
    map(&mut host, MapKind::RINGBUF, 0, 0, 4096);
    let output = "r1 = map_fd m3\nr2 = r10\nr2 += -248\nr3 = 248\nr4 = 0\ncall ringbuf_output\nexit";
    for _ in 0..15 {
        assert_eq!(run(&mut host, output), Ok(0));
    }
    assert_eq!(run(&mut host, output), errno(11));
    assert_eq!(host.dropped(3), 1);
    assert_eq!(host.take_records(3).len(), 15);
    assert_eq!(run(&mut host, output), Ok(0));
    let leak = "r1 = map_fd m3\nr2 = 8\nr3 = 0\ncall ringbuf_reserve\nr0 = 0\nexit";
    assert_eq!(run(&mut host, leak), Ok(0));
    assert_eq!(host.unsubmitted(3), 1);
    let twice = "r1 = r10\nr2 = 0\ncall ringbuf_submit\nr0 = 0\nexit";
    assert!(matches!(run(&mut host, twice).unwrap_err().fault, Fault::Misuse { .. }));
}

#[test]
fn perf_events_go_to_the_running_cpu() {
    let mut host = SimHost::new(2);
    map(&mut host, MapKind::PERF_EVENT_ARRAY, 4, 4, 2);
    host.cpu = 1;
    let text = |flags| {
        format!(
            "*(u64 *)(r10 - 8) = 9\nr1 = 0\nr2 = map_fd m3\nr3 = {flags} ll\nr4 = r10\nr4 += -8\nr5 = 8\ncall perf_event_output\nexit"
        )
    };
    assert_eq!(run(&mut host, &text(BPF_F_CURRENT_CPU)), Ok(0));
    assert_eq!(run(&mut host, &text(5)), errno(7));
    assert_eq!(run(&mut host, &text(1 << 40)), errno(22));
    let records = host.take_records(3);
    assert_eq!((records.len(), records[0].cpu, records[0].bytes[0]), (1, 1, 9));
}

#[test]
fn callbacks_run_in_the_interpreter() {
    let mut host = SimHost::new(1);
    map(&mut host, MapKind::HASH, 4, 8, 8);
    // The callback adds the index to the caller's stack and stops after index 4.
    let text = "*(u64 *)(r10 - 8) = 0\nr6 = 55\nr1 = 100\nr2 = func cb\nr3 = r10\nr3 += -8\nr4 = 0\ncall loop\n\
        r1 = *(u64 *)(r10 - 8)\nr0 <<= 16\nr0 |= r1\nr6 -= 55\nr0 += r6\nexit\n\
        cb: r6 = 9\nr3 = *(u64 *)(r2 + 0)\nr3 += r1\n*(u64 *)(r2 + 0) = r3\nr0 = 0\nif r1 < 4 goto o\nr0 = 1\no: exit";
    assert_eq!(run(&mut host, text), Ok((5 << 16) | 10));
    for (number, value) in [(1u32, 10u64), (2, 20), (3, 30)] {
        host.update(3, &number.to_le_bytes(), &value.to_le_bytes(), 0).unwrap();
    }
    // Sums keys and values; deletes the element with key 3 when it is at key 1.
    let text = "*(u64 *)(r10 - 8) = 0\nr1 = map_fd m3\nr2 = func cb\nr3 = r10\nr3 += -8\nr4 = 0\ncall for_each_map_elem\n\
        r1 = *(u64 *)(r10 - 8)\nr0 <<= 16\nr0 |= r1\nexit\n\
        cb: r5 = *(u64 *)(r4 + 0)\nr0 = *(u32 *)(r2 + 0)\nr3 = *(u64 *)(r3 + 0)\nr5 += r3\nr5 += r0\n*(u64 *)(r4 + 0) = r5\n\
        if r0 != 1 goto o\n*(u32 *)(r10 - 4) = 3\nr2 = r10\nr2 += -4\ncall map_delete_elem\no: r0 = 0\nexit";
    assert_eq!(run(&mut host, text), Ok((2 << 16) | 33));
    let too_many = "r1 = 0x800001\nr2 = func f\nr3 = 0\nr4 = 0\ncall loop\nexit\nf: r0 = 0\nexit";
    assert_eq!(run(&mut host, too_many), errno(7));
    let no_function = "r1 = 1\nr2 = 5\nr3 = 0\nr4 = 0\ncall loop\nexit";
    assert_eq!(run(&mut host, no_function).unwrap_err().fault, Fault::BadFunction(5));
}

#[test]
fn time_task_and_cpu_are_what_was_set() {
    let mut host = SimHost::new(4);
    host.clock.step_ns = 5;
    host.clock.boot_offset_ns = 100;
    (host.cpu, host.numa_node, host.jiffies, host.attach_cookie) = (3, 1, 42, 77);
    (host.task.tgid, host.task.pid, host.task.uid, host.task.gid) = (10, 11, 12, 13);
    host.task.cgroup_ids = vec![1, 50, 60];
    host.task.comm = "a-name-longer-than-fits".to_owned();
    host.task.namespaces = vec![Namespace { dev: 4, ino: 5, pid: 2, tgid: 1 }];
    for (text, want) in [
        ("call ktime_get_ns", 1_000_000_000),
        ("call ktime_get_boot_ns", 1_000_000_105),
        ("call jiffies64", 42),
        ("call get_current_pid_tgid", (10 << 32) | 11),
        ("call get_current_uid_gid", (13 << 32) | 12),
        ("call get_smp_processor_id", 3),
        ("call get_numa_node_id", 1),
        ("call get_current_cgroup_id", 60),
        ("r1 = 1\ncall get_current_ancestor_cgroup_id", 50),
        ("r1 = 9\ncall get_current_ancestor_cgroup_id", 0),
        ("r1 = 0\ncall get_attach_cookie", 77),
        ("r1 = r10\nr1 += -16\nr2 = 16\ncall get_current_comm\nr0 = *(u64 *)(r10 - 8)", u64::from_le_bytes(*b"onger-t\0")),
        ("r1 = 4\nr2 = 5\nr3 = r10\nr3 += -8\nr4 = 8\ncall get_ns_current_pid_tgid\nr0 = *(u64 *)(r10 - 8)", (1 << 32) | 2),
        ("r1 = 4\nr2 = 6\nr3 = r10\nr3 += -8\nr4 = 8\ncall get_ns_current_pid_tgid", -22i64 as u64),
        ("r1 = 9\ncall send_signal", 0),
    ] {
        assert_eq!(run(&mut host, &format!("{text}\nexit")), Ok(want), "{text}");
    }
    assert_eq!(host.signals, [(9, false)]);
    let mut draw = || run(&mut host, "call get_prandom_u32\nexit").unwrap();
    let (first, second) = (draw(), draw());
    assert!(first != second && first <= u32::MAX.into());
    host.seed = SimHost::new(1).seed;
    assert_eq!(run(&mut host, "call get_prandom_u32\nexit"), Ok(first));
}

#[test]
fn probe_reads_give_zeros_and_an_error_where_nothing_is() {
    let mut host = SimHost::new(1);
    host.memory.map_at(0x5000, Space::User, b"hello\0rest".to_vec(), true).unwrap();
    host.memory.map_at(0xffff_9999_0000_0000, Space::Kernel, b"kernel\0".to_vec(), false).unwrap();
    let read = |helper: &str, addr: u64, len: u64| {
        format!(
            "*(u64 *)(r10 - 8) = -1\nr1 = r10\nr1 += -8\nr2 = {len}\nr3 = {addr:#x} ll\ncall {helper}\nr6 = *(u64 *)(r10 - 8)\n"
        )
    };
    let text = |bytes: &[u8; 8]| u64::from_le_bytes(*bytes);
    const KERNEL: u64 = 0xffff_9999_0000_0000;
    for (helper, addr, len, result, left) in [
        ("probe_read_user", 0x5000, 4, 0, text(b"hell\xff\xff\xff\xff")),
        ("probe_read_user", 0x5005, 8, -14, 0),
        ("probe_read_user", KERNEL, 4, -14, text(b"\0\0\0\0\xff\xff\xff\xff")),
        ("probe_read_kernel", 0x5000, 4, -34, text(b"\0\0\0\0\xff\xff\xff\xff")),
        ("probe_read_kernel", 0, 8, -34, 0),
        ("probe_read_kernel", KERNEL, 6, 0, text(b"kernel\xff\xff")),
        ("probe_read_kernel", KERNEL + 4096, 8, -14, 0),
        ("probe_read", 0x5000, 2, 0, text(b"he\xff\xff\xff\xff\xff\xff")),
        ("probe_read_user_str", 0x5000, 8, 6, text(b"hello\0\xff\xff")),
        ("probe_read_user_str", 0x5000, 3, 3, text(b"he\0\xff\xff\xff\xff\xff")),
        ("probe_read_user_str", 0x5006, 8, -14, 0),
        ("probe_read_user_str", 0x5000, 1, 1, text(b"\0\xff\xff\xff\xff\xff\xff\xff")),
        ("probe_read_kernel_str", KERNEL, 8, 7, text(b"kernel\0\xff")),
        ("probe_read_kernel_str", 0x5000, 8, -34, 0),
        ("probe_read_str", 0x5001, 8, 5, text(b"ello\0\xff\xff\xff")),
        ("probe_read_user", 0x5000, 0, 0, u64::MAX),
        ("probe_read_user", 0x7fff_ffff_f000, 0, 0, u64::MAX),
    ] {
        let call = read(helper, addr, len);
        let label = format!("{helper} {addr:#x} {len}");
        assert_eq!(run(&mut host, &format!("{call}exit")), Ok(result as u64), "{label}");
        assert_eq!(run(&mut host, &format!("{call}r0 = r6\nexit")), Ok(left), "{label}");
    }
    let refused = run(&mut host, "r1 = 0x5000\nr0 = *(u8 *)(r1 + 0)\nexit").unwrap_err();
    assert!(matches!(refused.fault, Fault::Access { .. }));
    host.memory.lenient_loads = true;
    assert_eq!(run(&mut host, "r1 = 0x5000\nr0 = *(u8 *)(r1 + 0)\nexit"), Ok(0));
}

#[test]
fn stacks_are_stored_once_and_copied() {
    let mut host = SimHost::new(1);
    map(&mut host, MapKind::STACK_TRACE, 4, 24, 64);
    host.kernel_stack = vec![0xffff_ffff_8100_0001, 0xffff_ffff_8100_0002, 3, 4];
    host.user_stack = vec![0x1111];
    let id = |flags: u64| format!("r1 = 0\nr2 = map_fd m3\nr3 = {flags}\ncall get_stackid\nexit");
    let first = run(&mut host, &id(0)).unwrap();
    assert_eq!(run(&mut host, &id(0)), Ok(first));
    assert!(first < 64);
    let frames = host.lookup(3, &(first as u32).to_le_bytes()).unwrap().concat();
    assert_eq!((frames.len(), &frames[16..]), (24, &3u64.to_le_bytes()[..]));
    let user = run(&mut host, &id(BPF_F_USER_STACK)).unwrap();
    assert_ne!(user, first);
    assert_eq!(run(&mut host, &id(BPF_F_USER_STACK | 1)), errno(14));
    assert_eq!(run(&mut host, &id(1 << 20)), errno(22));
    let copy = |flags: u64, len: u32| {
        format!("r1 = 0\nr2 = r10\nr2 += -64\nr3 = {len}\nr4 = {flags}\ncall get_stack\n")
    };
    assert_eq!(run(&mut host, &format!("{}exit", copy(2, 64))), Ok(16));
    assert_eq!(run(&mut host, &format!("{}r0 = *(u64 *)(r10 - 56)\nexit", copy(2, 64))), Ok(4));
    assert_eq!(run(&mut host, &format!("{}r0 = *(u64 *)(r10 - 48)\nexit", copy(2, 64))), Ok(0));
    assert_eq!(run(&mut host, &format!("{}exit", copy(0, 12))), errno(22));
    assert_eq!(run(&mut host, &format!("{}exit", copy(BPF_F_USER_STACK | 5, 64))), errno(14));
    let build_id =
        format!("{}r0 = *(u64 *)(r10 - 40)\nexit", copy(BPF_F_USER_STACK | BPF_F_USER_BUILD_ID, 64));
    assert_eq!(run(&mut host, &build_id), Ok(0x1111));
}

#[test]
fn text_is_formatted_compared_and_parsed() {
    let mut host = SimHost::new(1);
    map(&mut host, MapKind::ARRAY, 4, 32, 1);
    let put = |host: &mut SimHost, text: &[u8]| {
        let mut value = text.to_vec();
        value.resize(32, 0);
        host.update(3, &[0; 4], &value, 0).unwrap();
    };
    host.symbols.push(Symbol { address: 0xffff_ffff_8100_0000, size: 16, name: "f".to_owned() });
    put(&mut host, b"%d:%pS");
    let text = "r1 = -7\n*(u64 *)(r10 - 16) = r1\nr1 = 0xffffffff81000004 ll\n*(u64 *)(r10 - 8) = r1\n\
        r1 = r10\nr1 += -48\nr2 = 8\nr3 = map_value m3\nr4 = r10\nr4 += -16\nr5 = 16\ncall snprintf\n";
    assert_eq!(run(&mut host, &format!("{text}exit")), Ok(14));
    let left = run(&mut host, &format!("{text}r0 = *(u64 *)(r10 - 48)\nexit"));
    assert_eq!(left, Ok(u64::from_le_bytes(*b"-7:f+0x\0")));
    put(&mut host, b"pid %d\0");
    let print = "r1 = map_value m3\nr2 = 7\nr3 = 12\nr4 = 0\nr5 = 0\ncall trace_printk\nexit";
    assert_eq!(run(&mut host, print), Ok(6));
    assert_eq!(host.printed, ["pid 12"]);
    put(&mut host, b"abc\0abd\0  -0x1Fz\0");
    let compare = |left: u32, len: u32, right: u32| {
        format!("r1 = map_value m3 + {left}\nr2 = {len}\nr3 = map_value m3 + {right}\ncall strncmp\nexit")
    };
    assert_eq!(run(&mut host, &compare(0, 4, 4)), Ok(-1i64 as u64));
    assert_eq!(run(&mut host, &compare(4, 4, 0)), Ok(1));
    assert_eq!(run(&mut host, &compare(0, 2, 4)), Ok(0));
    assert_eq!(run(&mut host, &compare(0, 8, 0)), Ok(0));
    let parse = "r1 = map_value m3 + 8\nr2 = 9\nr3 = 0\nr4 = r10\nr4 += -8\ncall strtol\n";
    assert_eq!(run(&mut host, &format!("{parse}exit")), Ok(7));
    assert_eq!(run(&mut host, &format!("{parse}r0 = *(u64 *)(r10 - 8)\nexit")), Ok(-31i64 as u64));
}

#[test]
fn kernel_functions() {
    let mut host = SimHost::new(1);
    map(&mut host, MapKind::ARRAY, 4, 32, 1);
    let mut value = b"needle in a haystack\0a h\0".to_vec();
    value.resize(32, 0);
    host.update(3, &[0; 4], &value, 0).unwrap();
    let sum = "r6 = r10\nr6 += -8\nr7 = 0\nr1 = r6\nr2 = -2\nr3 = 5\ncall kfunc bpf_iter_num_new\n\
        l: r1 = r6\ncall kfunc bpf_iter_num_next\nif r0 == 0 goto out\nr1 = *(s32 *)(r0 + 0)\nr7 += r1\ngoto l\n\
        out: r1 = r6\ncall kfunc bpf_iter_num_destroy\nr0 = r7\nexit";
    assert_eq!(run(&mut host, sum), Ok(7));
    let new = |start: i64, end: i64| {
        format!("r1 = r10\nr1 += -8\nr2 = {start}\nr3 = {end}\ncall kfunc bpf_iter_num_new\nexit")
    };
    assert_eq!(run(&mut host, &new(5, 4)), errno(22));
    assert_eq!(run(&mut host, &new(i32::MIN.into(), i32::MAX.into())), errno(7));
    let text = "r1 = map_value m3\nr2 = map_value m3 + 21\n";
    for (call, want) in [
        ("call kfunc bpf_strstr", 10),
        ("r3 = 12\ncall kfunc bpf_strnstr", -2),
        ("r3 = 13\ncall kfunc bpf_strnstr", 10),
        ("call kfunc bpf_strlen", 20),
        ("r2 = 6\ncall kfunc bpf_strnlen", 6),
        ("r2 = 0x69\ncall kfunc bpf_strchr", 7),
        ("r2 = 0x61\ncall kfunc bpf_strrchr", 17),
        ("r2 = 0x7a\ncall kfunc bpf_strchr", -2),
        ("r2 = 0x7a\ncall kfunc bpf_strchrnul", 20),
        ("r2 = 3\nr3 = 0x64\ncall kfunc bpf_strnchr", -2),
        ("call kfunc bpf_strcspn", 6),
        ("call kfunc bpf_strcmp", 1),
        ("r2 = 0\ncall kfunc bpf_strstr", -34),
        ("r2 = r1\ncall kfunc bpf_strcmp", 0),
    ] {
        assert_eq!(run(&mut host, &format!("{text}{call}\nexit")), Ok(want as u64), "{call}");
    }
    host.set_session_cookie(41);
    let text =
        "call kfunc bpf_session_cookie\nr1 = *(u64 *)(r0 + 0)\nr1 += 1\n*(u64 *)(r0 + 0) = r1\nr0 = r1\nexit";
    assert_eq!(run(&mut host, text), Ok(42));
    assert_eq!(host.session_cookie(), 42);
    assert!(host.bind_kfunc(500, "bpf_strlen") && !host.bind_kfunc(501, "no_such"));
    assert_eq!(run(&mut host, "r1 = map_value m3\ncall kfunc 500\nexit"), Ok(20));
}

#[test]
fn misuse_is_named() {
    let mut host = SimHost::new(1);
    map(&mut host, MapKind::ARRAY, 4, 8, 1);
    for (text, want) in [
        ("r1 = 5\nr2 = r10\nr2 += -4\ncall map_lookup_elem", "`map_lookup_elem`: 0x5 is no map"),
        ("r1 = map_fd m3\nr2 = 8\nr3 = 0\ncall ringbuf_reserve", "takes a ringbuf map, not array"),
        ("r1 = r10\nr1 += -8\nr2 = 0\ncall get_current_comm", "the length in r2 is 0"),
        ("r1 = 0\nr2 = 0\ncall tail_call", "r3 is read before it is set"),
        ("r1 = 0\nr2 = 0\nr3 = 0\ncall tail_call", "no helper `tail_call`"),
    ] {
        let error = run(&mut host, &format!("{text}\nexit")).unwrap_err().to_string();
        assert!(error.contains(want), "{error}");
    }
}
