//! Scripts through the whole compiler, run on a simulated machine: what their maps and records hold afterwards.

use crate::analyse::tests::fixture::Fixture;
use crate::compile::{compile, Options, Source};
use crate::facts::*;
use crate::types::{CType, CTypeId};
use fathom_bpf::insn::Insn;
use fathom_bpf::interp::sim::{MapSpec, SimHost};
use fathom_bpf::interp::{Interp, Space};
use fathom_bpf::kinds::{MapKind, ProgKind};
use fathom_codegen::ir::MapId;
use fathom_codegen::program::{ActionKind, Attach, MapRole, Program, RelocTarget};

/// Source register values of `ld_imm64` (include/uapi/linux/bpf.h).
const PSEUDO_MAP_FD: u8 = 1;
const PSEUDO_MAP_VALUE: u8 = 2;

/// The recorded world with some facilities missing and another mechanism.
#[derive(Default)]
struct World {
    missing: Vec<Feature>,
    /// Kind, context and selection of every probe but begin and end.
    carrier: Option<(ProgKind, Context, Option<Select>)>,
}

impl Facts for World {
    fn find_type(&self, space: TypeSpace, name: &str) -> Option<CTypeId> {
        Fixture::new().find_type(space, name)
    }
    fn c_type(&self, id: CTypeId) -> CType {
        Fixture::new().c_type(id)
    }
    fn find_enum_value(&self, name: &str) -> Option<(CTypeId, i64)> {
        Fixture::new().find_enum_value(name)
    }
    fn has_types(&self) -> bool {
        true
    }
    fn resolve(&self, request: &ProbeRequest) -> Resolution {
        let mut resolution = Fixture::new().resolve(request);
        if let Some((kind, context, select)) = &self.carrier {
            for target in resolution.targets.iter_mut().filter(|t| t.provider != "begin") {
                let carrier = &mut target.carriers[0];
                carrier.kind = *kind;
                carrier.context = context.clone();
                carrier.how = Attach::RawTracepoint { name: "sys_enter".into() };
                carrier.select = select.map(|Select::Syscall { number }| Select::Syscall {
                    number: number + u32::from(target.name.contains("execve")),
                });
            }
        }
        resolution
    }
    fn has(&self, feature: Feature) -> bool {
        !self.missing.contains(&feature)
    }
    fn kernel_symbol(&self, _: &str) -> Option<u64> {
        None
    }
    fn user_symbol(&self, _: &str, _: &str) -> Option<(u64, u64)> {
        None
    }
    fn cgroup_id(&self, _: &str) -> Result<u64, String> {
        Ok(1)
    }
    fn has_kfunc(&self, _: &str) -> bool {
        false
    }
    fn possible_cpus(&self) -> u32 {
        4
    }
    fn read_import(&self, _: &str, _: Option<&str>) -> Result<Vec<(String, String)>, String> {
        Err("No such file or directory".into())
    }
}

/// A program with its maps on a machine.
struct Machine {
    program: Program,
    host: SimHost,
    fds: Vec<i32>,
}

impl Machine {
    fn new(text: &str, world: &World) -> Machine {
        Machine::with(text, world, &Options::default())
    }

    fn with(text: &str, world: &World, options: &Options) -> Machine {
        let compilation = compile(&Source { name: "stdin".into(), text: text.into() }, world, options);
        let Some(program) = compilation.program else { panic!("{text}: {:?}", compilation.diagnostics) };
        let mut host = SimHost::new(4);
        let mut fds = Vec::new();
        for def in &program.maps {
            let entries = if def.role == MapRole::Events { 1 << 16 } else { def.max_entries };
            let mut spec = MapSpec::new(def.kind, def.key_size, def.value_size, entries);
            spec.flags = def.flags;
            let fd = host.add_map(spec).unwrap_or_else(|e| panic!("{}: {e}", def.name));
            for (key, value) in &def.init {
                host.update(fd, key, value, 0).unwrap();
            }
            fds.push(fd);
        }
        Machine { program, host, fds }
    }

    /// Runs unit `index` with this context.
    fn run(&mut self, index: usize, context: &[u8]) -> i64 {
        let unit = &self.program.units[index];
        let mut insns = unit.insns.clone();
        for reloc in &unit.relocs {
            let insn = &mut insns[reloc.insn as usize];
            let fd = |id: MapId| self.fds[id.0 as usize];
            *insn = match &reloc.target {
                RelocTarget::Map(id) => Insn::new(insn.code, insn.dst(), PSEUDO_MAP_FD, 0, fd(*id)),
                RelocTarget::MapValue(id) => Insn::new(insn.code, insn.dst(), PSEUDO_MAP_VALUE, 0, fd(*id)),
                RelocTarget::Const(_) => Insn::new(insn.code, insn.dst(), 0, 0, 77),
                other => panic!("{other:?} is on no machine of these tests"),
            };
        }
        let mut context = context.to_vec();
        let result = Interp::new(&insns, &mut self.host).run_ctx(&mut context, false);
        result.unwrap_or_else(|e| panic!("{e:?}")).cast_signed()
    }

    /// Values of a key, one per CPU.
    fn values(&self, map: &str, key: &[u8]) -> Vec<Vec<u8>> {
        let index = self.program.maps.iter().position(|m| m.name == map).unwrap();
        let size = self.program.maps[index].key_size as usize;
        self.host.lookup(self.fds[index], &key[..size.min(key.len())]).unwrap_or_default()
    }

    /// The 64-bit word at `offset` of the value of a scalar map, added over the CPUs.
    fn word(&self, map: &str, offset: usize) -> i64 {
        self.keyed(map, &[0; 4], offset)
    }

    fn keyed(&self, map: &str, key: &[u8], offset: usize) -> i64 {
        let word = |v: &Vec<u8>| i64::from_le_bytes(v[offset..offset + 8].try_into().unwrap());
        self.values(map, key).iter().map(word).sum()
    }

    /// Kinds and bytes of all records.
    fn records(&mut self) -> Vec<(ActionKind, Vec<u8>)> {
        let index = self.program.maps.iter().position(|m| m.role == MapRole::Events).unwrap();
        let records = self.host.take_records(self.fds[index]);
        let action = |bytes: &[u8]| u32::from_le_bytes(bytes[..4].try_into().unwrap()) as usize;
        records.into_iter().map(|r| (self.program.actions[action(&r.bytes)].kind.clone(), r.bytes)).collect()
    }
}

/// An integer as a key; as many bytes of it are used as the map's keys have.
fn int_key(n: i64) -> [u8; 8] {
    n.to_le_bytes()
}

/// Runs `begin { BODY }` once.
fn begin(body: &str) -> Machine {
    begin_in(body, &World::default())
}

fn begin_in(body: &str, world: &World) -> Machine {
    let mut machine = Machine::new(&format!("begin {{ {body} }}"), world);
    machine.run(0, &[0; 64]);
    machine
}

/// The value of `@` after `begin { BODY }`.
fn at(body: &str) -> i64 {
    begin(body).word("@", 0)
}

#[test]
fn arithmetic_and_control_flow() {
    assert_eq!(at("$x = (int64)5; $y = $x * 3 + 1; @ = $y;"), 16);
    assert_eq!(at("$x = (int64)-7; @ = $x / 2;"), -3);
    assert_eq!(at("$x = (int64)-7; @ = $x % 3;"), -1);
    assert_eq!(at("$x = (int64)-8; @ = $x >> 1;"), -4);
    assert_eq!(at("if (pid > 1 && !(tid == 1)) { @ = 2 } else { @ = 3 }"), 2);
    assert_eq!(at("$i = (int64)0; while ($i < 100) { $i++; if ($i % 2 == 0) { continue; } if ($i > 20) { break; } @ += $i; }"), 100);
    assert_eq!(at("for ($i : 0..10) { for ($j : 0..$i) { @ += $j; } }"), 120);
    assert_eq!(at("unroll(5) { @ += 3; }"), 15);
    assert_eq!(at("let $x; if (pid) { $x = 4; } @ = $x;"), 4);
    assert_eq!(at("$a = pid > 1 ? (1, \"abc\") : (2, \"d\"); @ = $a.0;"), 1);
    assert_eq!(at("@ = pid ?: 3;"), at("@ = pid;"));
}

#[test]
fn functions_of_the_script() {
    let text = "fn f($a : int64, $b : int64) : int64 { if ($a > 100) { return 100; } return $a + $b; } \
                begin { @ = f(1, 2) * 1000000 + f(101, 1) * 1000 + f(f(1, 1), 3); }";
    let mut machine = Machine::new(text, &World::default());
    machine.run(0, &[0; 64]);
    assert_eq!(machine.word("@", 0), 3_100_005);
    let text = "fn f($a : int64) : int64 { return f($a); } begin { @ = f(1); }";
    let compilation =
        compile(&Source { name: "stdin".into(), text: text.into() }, &World::default(), &Options::default());
    assert!(compilation.failed());
}

#[test]
fn errors_while_running_are_records() {
    let mut machine = begin("$x = 0; @ = 5 / $x; @b = 7 % $x;");
    assert_eq!((machine.word("@", 0), machine.word("@b", 0)), (1, 1));
    let records = machine.records();
    assert_eq!(records.len(), 2);
    assert!(
        matches!(&records[0].0, ActionKind::RuntimeError { message } if message.starts_with("Divide or modulo by 0"))
    );
    let mut machine =
        begin("$a = (uint8[4])(uint32)0x04030201; $i = pid * 0 + 3; @ = $a[$i]; $i = 4; @b = $a[$i + 0];");
    assert_eq!((machine.word("@", 0), machine.word("@b", 0)), (4, 1));
    assert_eq!(machine.records().len(), 1);
}

#[test]
fn scalar_maps_are_cells_with_a_flag() {
    let machine =
        begin("@a = 1; @a++; @a += 10; @b = \"text\"; @c = (uint8)200; @c += 100; @never2 = delete(@a);");
    assert_eq!((machine.word("@a", 0), machine.word("@a", 8)), (0, 0));
    assert_eq!(machine.word("@c", 0), 300);
    let text = machine.values("@b", &[0; 4]).remove(0);
    assert_eq!(&text[..5], b"text\0");
    assert_eq!(machine.word("@b", text.len() - 8), 1);
    assert_eq!(machine.word("@never2", 0), 1);
}

#[test]
fn keyed_maps_keep_every_step() {
    let machine = begin(
        "@[1] = 5; @[1]++; @[2]++; @[2] -= 10; @[1] *= 7; @s[comm, 3] = \"v\"; @d[1] = 1; delete(@d, 1);",
    );
    assert_eq!(machine.keyed("@", &int_key(1), 0), 42);
    assert_eq!(machine.keyed("@", &int_key(2), 0), -9);
    assert!(machine.values("@d", &int_key(1)).is_empty());
}

#[test]
fn a_full_map_is_reported() {
    let mut machine = begin("@[1] = 1; @[2] = 1; ");
    assert!(machine.program.maps.iter().all(|m| m.role != MapRole::Events) || machine.records().is_empty());
    let text = "config = { max_map_keys = 1 } begin { @a[1] = 1; @a[2] = 1; @b[1]++; @b[2]++; @c[1] = count(); @c[2] = count(); }";
    let mut machine = Machine::new(text, &World::default());
    machine.run(0, &[0; 64]);
    let records = machine.records();
    assert_eq!(records.len(), 3);
    for (kind, bytes) in records {
        let ActionKind::HelperError { message, only_verbose: false, .. } = kind else { panic!("{kind:?}") };
        assert!(message.starts_with("Map full; can't update element"));
        assert_eq!(i64::from_le_bytes(bytes[8..16].try_into().unwrap()), -7);
    }
}

#[test]
fn aggregations_combine_over_cpus() {
    let text = "begin { @c = count(); @s = sum(-5); @mi = min((int64)cpu - 2); @ma = max(cpu); @av = avg(cpu * 10); \
                @k[1] = count(); @r = @c; @avg = @av; @min = @mi; if (@k[1] > 1) { @two = 1; } }";
    let mut machine = Machine::new(text, &World::default());
    for cpu in 0..4 {
        machine.host.cpu = cpu;
        machine.run(0, &[0; 64]);
    }
    assert_eq!(machine.word("@c", 0), 4);
    assert_eq!((machine.word("@s", 0), machine.word("@s", 8)), (-20, 4));
    assert_eq!((machine.word("@av", 0), machine.word("@av", 8)), (60, 4));
    assert_eq!(machine.keyed("@k", &int_key(1), 0), 4);
    assert_eq!((machine.word("@r", 0), machine.word("@avg", 0), machine.word("@min", 0)), (4, 15, -2));
    assert_eq!(machine.word("@two", 0), 1);
}

#[test]
fn histograms_count_where_the_report_looks() {
    for k in 0..=5u8 {
        for n in [-5i64, -1, 0, 1, 2, 3, 7, 8, 100, 1 << 31, (1 << 31) + 12345, i64::MAX] {
            let machine = begin(&format!("@ = hist((int64){n}, {k});"));
            let bucket = fathom_report::hist::bucket_of(n.cast_unsigned(), n < 0, k);
            assert_eq!(machine.word("@", bucket as usize * 8), 1, "hist({n}, {k})");
        }
        assert_eq!(super::aggregate::hist_buckets(k) as usize, fathom_report::hist::bucket_count(k) as usize);
    }
    for (n, bucket) in [(-1, 0), (0, 1), (9, 1), (10, 2), (99, 10), (100, 11), (5000, 11)] {
        assert_eq!(begin(&format!("@ = lhist({n}, 0, 100, 10);")).word("@", bucket * 8), 1, "lhist({n})");
    }
}

#[test]
fn loops_over_maps_share_the_variables_of_the_probe() {
    assert_eq!(
        at("@m[1] = 10; @m[2] = 20; $s = (int64)0; for ($kv : @m) { $s += $kv.0 * $kv.1; } @ = $s;"),
        50
    );
    assert_eq!(at("@m[1] = 1; @m[2] = 1; @n[3] = 5; $s = (int64)0; for ($a : @m) { for ($b : @n) { $s += $a.1 * $b.1; } } @ = $s;"), 10);
    assert_eq!(at("@m[1] = 1; @m[2] = 1; @ = 0; for ($kv : @m) { @++; break; }"), 1);
    assert_eq!(at("@m[1] = 1; @ = 7; for ($kv : @m) { return; } @ = 8;"), 7);
    assert_eq!(
        at("@m[1, \"x\"] = count(); @m[1, \"x\"] = count(); for ($kv : @m) { @ = $kv.1 + $kv.0.0; }"),
        3
    );
}

#[test]
fn records_carry_values_and_tails() {
    let mut machine = begin("printf(\"%d %s %s\", (int64)-3, comm, \"x\");");
    let fields = machine.program.actions[0].fields.clone();
    let (kind, bytes) = machine.records().remove(0);
    assert!(matches!(kind, ActionKind::Printf { .. }));
    let at = fields[0].offset as usize;
    assert_eq!(i64::from_le_bytes(bytes[at..at + 8].try_into().unwrap()), -3);
    assert_eq!(bytes[fields[2].offset as usize], b'x');

    let long = "0123456789".repeat(9);
    let mut machine = begin(&format!("$s = \"{long}\"; printf(\"%s%s\", $s, str(0)); "));
    let action =
        machine.program.actions.iter().position(|a| matches!(a.kind, ActionKind::Printf { .. })).unwrap();
    let action = machine.program.actions[action].clone();
    let (_, bytes) = machine.records().remove(0);
    let length = |i: usize| {
        let at = action.fields[i].offset as usize;
        u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
    };
    assert_eq!((length(0), length(1)), (90, 0));
    assert_eq!(&bytes[action.fixed_size as usize..], long.as_bytes());
}

#[test]
fn long_strings_are_cut_and_say_so() {
    let mut machine = Machine::new("begin { printf(\"%s\", str((uint64)0x1000)); }", &World::default());
    machine.host.memory.map_at(0x1000, Space::User, vec![b'y'; 4096], false).unwrap();
    // In begin, plain addresses are kernel addresses: user memory is read with uptr.
    machine.run(0, &[0; 64]);
    let mut machine = Machine::new("begin { printf(\"%s\", str(uptr((uint64)0x1000))); }", &World::default());
    machine.host.memory.map_at(0x1000, Space::User, vec![b'y'; 4096], false).unwrap();
    machine.run(0, &[0; 64]);
    let (_, bytes) = machine.records().remove(0);
    let at = machine.program.actions[0].fields[0].offset as usize;
    assert_eq!(u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()), 1023 | 1 << 31);
    assert_eq!(bytes.len(), machine.program.actions[0].fixed_size as usize + 1023);
}

#[test]
fn kernels_without_newer_facilities() {
    let old = World {
        missing: vec![
            Feature::RingBuffer,
            Feature::MayGoto,
            Feature::AtomicFetch,
            Feature::LookupPercpuElem,
            Feature::CpuV4,
        ],
        ..World::default()
    };
    let mut machine = begin_in(
        "for ($i : 0..10) { @ += $i; } $n = @++; @n = $n; @k[1] = 1; @c = count(); @r = @c; printf(\"%d\", 1); $x = (int64)-9; @d = $x / 2;",
        &World { missing: old.missing.clone(), ..World::default() },
    );
    assert_eq!((machine.word("@n", 0), machine.word("@r", 0), machine.word("@d", 0)), (45, 1, -4));
    assert!(machine.program.maps.iter().any(|m| m.kind == MapKind::PERF_EVENT_ARRAY));
    assert_eq!(machine.records().len(), 1);
}

#[test]
fn many_variables_and_large_values_fit() {
    let sets: String = (0..200).map(|i| format!("$v{i} = (int64)pid * 0 + {i}; ")).collect();
    let sum: Vec<String> = (0..200).map(|i| format!("$v{i}")).collect();
    assert_eq!(at(&format!("{sets} @ = {};", sum.join(" + "))), 19900);
    let text = "config = { max_strlen = 50000 } begin { $s = str(0); @x = $s; @ = 3; }";
    let mut machine = Machine::new(text, &World::default());
    machine.run(0, &[0; 64]);
    assert_eq!(machine.word("@", 0), 3);
    assert!(machine.program.maps.iter().any(|m| m.name == "bigscratch" && m.max_entries == 4));
}

/// A context of u64 words.
fn words(words: &[u64]) -> Vec<u8> {
    words.iter().flat_map(|w| w.to_le_bytes()).collect()
}

#[test]
fn records_of_tracepoints_are_read_directly() {
    let context = Context::Record { offsets: vec![8, 24, 28] };
    let world = World { carrier: Some((ProgKind::TRACEPOINT, context, None)), ..World::default() };
    let mut machine = Machine::new(
        "tracepoint:sched:sched_switch { @[args.prev_comm] = sum(args.prev_prio); @p = args.prev_pid; }",
        &world,
    );
    let mut record = vec![0u8; 64];
    record[8..11].copy_from_slice(b"abc");
    record[24..28].copy_from_slice(&(-5i32).to_le_bytes());
    record[28..32].copy_from_slice(&120i32.to_le_bytes());
    machine.run(0, &record);
    assert_eq!(machine.word("@p", 0), -5);
    let mut key = [0u8; 16];
    key[..3].copy_from_slice(b"abc");
    assert_eq!(machine.keyed("@", &key, 0), 120);
}

#[test]
fn structs_by_value_take_two_elements() {
    let context = Context::Array { trusted: true };
    let world = World { carrier: Some((ProgKind::TRACING, context, None)), ..World::default() };
    let text = "tracepoint:sock:setsockopt { @ = args.optlen; @at = args.optval.at; @k = args.optval.is_kernel; @n = arg2; }";
    let mut machine = Machine::new(text, &world);
    machine.run(0, &words(&[1, 0x7000, 1, 4]));
    assert_eq!((machine.word("@", 0), machine.word("@n", 0)), (4, 4));
    assert_eq!((machine.word("@at", 0), machine.word("@k", 0)), (0x7000, 1));
}

#[test]
fn system_calls_share_a_program_that_looks_at_the_number() {
    let context =
        Context::SyscallEnter { args: vec![SyscallArg::Arg(0), SyscallArg::Arg(1), SyscallArg::Arg(3)] };
    let select = Some(Select::Syscall { number: 257 });
    let world = World { carrier: Some((ProgKind::RAW_TRACEPOINT, context, select)), ..World::default() };
    let regs = 0xffff_8880_1000_0000u64;
    let mut pt_regs = vec![0u8; 168];
    pt_regs[112..120].copy_from_slice(&7u64.to_le_bytes());
    pt_regs[56..64].copy_from_slice(&0x24u64.to_le_bytes());
    let mut machine =
        Machine::new("tracepoint:syscalls:sys_enter_openat { @ = args.dfd; @f = args.flags; }", &world);
    machine.host.memory.map_at(regs, Space::Kernel, pt_regs, false).unwrap();
    machine.run(0, &words(&[regs, 256]));
    assert_eq!(machine.word("@", 8), 0);
    machine.run(0, &words(&[regs, 257]));
    assert_eq!((machine.word("@", 0), machine.word("@f", 0)), (7, 0x24));

    let text =
        "tracepoint:syscalls:sys_enter_openat, tracepoint:syscalls:sys_enter_execve { @[probe] = count(); }";
    let mut machine = Machine::new(text, &world);
    assert_eq!((machine.program.units.len(), machine.program.units[0].attachments.len()), (1, 2));
    for number in [256, 257, 258, 258, 100_000] {
        machine.run(0, &words(&[regs, number]));
    }
    let entries = |machine: &Machine| {
        let index = machine.program.maps.iter().position(|m| m.name == "@").unwrap();
        machine.host.entries(machine.fds[index])
    };
    let mut counts: Vec<(String, i64)> = entries(&machine)
        .into_iter()
        .map(|(key, values)| {
            let name = String::from_utf8_lossy(&key).trim_end_matches('\0').to_string();
            (name, values.iter().map(|v| i64::from_le_bytes(v[..8].try_into().unwrap())).sum())
        })
        .collect();
    counts.sort();
    let wanted = [("tracepoint:syscalls:sys_enter_execve", 2), ("tracepoint:syscalls:sys_enter_openat", 1)];
    assert_eq!(counts, wanted.map(|(n, c)| (n.to_string(), c)));
}

#[test]
fn arguments_by_the_calling_convention() {
    let context = Context::Registers { at_return: false };
    let world = World { carrier: Some((ProgKind::KPROBE, context, None)), ..World::default() };
    let mut machine = Machine::new("kprobe:vfs_read { @a = arg0; @b = arg5; @c = arg7; }", &world);
    let stack = 0xffff_c900_0000_0000u64;
    machine.host.memory.map_at(stack, Space::Kernel, words(&[1, 2, 3, 4]), false).unwrap();
    let mut regs = vec![0u8; 168];
    regs[112..120].copy_from_slice(&11u64.to_le_bytes());
    regs[64..72].copy_from_slice(&16u64.to_le_bytes());
    regs[152..160].copy_from_slice(&stack.to_le_bytes());
    machine.run(0, &regs);
    assert_eq!((machine.word("@a", 0), machine.word("@b", 0), machine.word("@c", 0)), (11, 16, 3));
}

#[test]
fn a_process_filter_comes_first() {
    let world = World::default();
    let options = Options { pid: Some(4242), ..Options::default() };
    let mut machine = Machine::with("kprobe:vfs_read { @ = 1; }", &world, &options);
    machine.run(0, &[0; 168]);
    assert_eq!(machine.word("@", 8), 0);
    machine.host.task.tgid = 4242;
    machine.run(0, &[0; 168]);
    assert_eq!(machine.word("@", 8), 1);
}

#[test]
fn pointers_are_numbers_outside_of_additions() {
    assert_eq!(at("$p = (int32 *)0x1237; @ = ($p & 0xff) + ((uint64)($p + 1) - 0x1237);"), 0x37 + 4);
    assert_eq!(at("$p = (int32 *)0x1240; $q = (int32 *)0x1230; @ = $p - $q;"), 4);
}
