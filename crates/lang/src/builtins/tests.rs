//! Builtins from script text to the result of the program on a simulated machine, and what they say about wrong arguments.

use super::{rows, Form};
use crate::analyse::tests::fixture::Fixture;
use crate::compile::{compile, Compilation, Mode, Options, Source};
use crate::facts::{Facts, Feature, ProbeRequest, Resolution, TypeSpace};
use crate::types::{CType, CTypeId};
use fathom_bpf::insn::Insn;
use fathom_bpf::interp::sim::{MapSpec, SimHost};
use fathom_bpf::interp::{Interp, Space};
use fathom_codegen::program::{ActionKind, MapRole, Program, RelocTarget};

/// Source register values of `ld_imm64` (include/uapi/linux/bpf.h).
const PSEUDO_MAP_FD: u8 = 1;
const PSEUDO_MAP_VALUE: u8 = 2;
const PSEUDO_KFUNC_CALL: u8 = 2;

/// The recorded world, with the kernel's string functions or without.
struct World {
    base: Fixture,
    kernel_search: bool,
}

impl Facts for World {
    fn find_type(&self, space: TypeSpace, name: &str) -> Option<CTypeId> {
        self.base.find_type(space, name)
    }
    fn c_type(&self, id: CTypeId) -> CType {
        self.base.c_type(id)
    }
    fn find_enum_value(&self, name: &str) -> Option<(CTypeId, i64)> {
        self.base.find_enum_value(name)
    }
    fn has_types(&self) -> bool {
        self.base.has_types()
    }
    fn resolve(&self, request: &ProbeRequest) -> Resolution {
        self.base.resolve(request)
    }
    fn has(&self, feature: Feature) -> bool {
        self.base.has(feature)
    }
    fn kernel_symbol(&self, name: &str) -> Option<u64> {
        self.base.kernel_symbol(name)
    }
    fn user_symbol(&self, path: &str, name: &str) -> Option<(u64, u64)> {
        (name == "main" || name == "counter")
            .then_some((0x1000, 4))
            .or_else(|| self.base.user_symbol(path, name))
    }
    fn cgroup_id(&self, path: &str) -> Result<u64, String> {
        if path == "/none" {
            return Err("No such file or directory".into());
        }
        self.base.cgroup_id(path)
    }
    fn has_kfunc(&self, name: &str) -> bool {
        self.kernel_search && name == "bpf_strstr"
    }
    fn possible_cpus(&self) -> u32 {
        self.base.possible_cpus()
    }
    fn read_import(&self, path: &str, from: Option<&str>) -> Result<Vec<(String, String)>, String> {
        self.base.read_import(path, from)
    }
}

fn compile_in(text: &str, kernel_search: bool) -> Compilation {
    let world = World { base: Fixture::new(), kernel_search };
    let source = Source { name: "stdin".into(), text: text.into() };
    let options = Options {
        mode: Mode::Test,
        allow_unsafe: true,
        positional: vec!["hello".into()],
        ..Options::default()
    };
    compile(&source, &world, &options)
}

/// A machine with a task at the fixture's `struct task_struct`, whose parent is itself.
fn machine() -> SimHost {
    let mut host = SimHost::new(4);
    host.task.comm = "shell".into();
    let mut task = vec![0u8; 96];
    task[0..4].copy_from_slice(&host.task.pid.to_le_bytes());
    task[4..8].copy_from_slice(&host.task.tgid.to_le_bytes());
    task[8..13].copy_from_slice(b"shell");
    task[24..32].copy_from_slice(&host.task.address.to_le_bytes());
    task[32..40].copy_from_slice(&host.task.address.to_le_bytes());
    host.memory.map_at(host.task.address, Space::Kernel, task, false).unwrap();
    let mut registers = vec![0u8; 168];
    registers[136] = 0x33;
    host.memory.map_at(host.task.pt_regs, Space::Kernel, registers, false).unwrap();
    host
}

/// Puts the maps on the machine and their descriptors into the instructions.
fn install(program: &Program, host: &mut SimHost) -> (Vec<Insn>, Option<i32>) {
    let mut events = None;
    let mut fds = Vec::new();
    for def in &program.maps {
        let entries = if def.role == MapRole::Events { 1 << 20 } else { def.max_entries };
        let mut spec = MapSpec::new(def.kind, def.key_size, def.value_size, entries);
        spec.flags = def.flags;
        let fd = host.add_map(spec).unwrap_or_else(|e| panic!("{}: {e}", def.name));
        for (key, value) in &def.init {
            host.update(fd, key, value, 0).unwrap();
        }
        if def.role == MapRole::Events {
            events = Some(fd);
        }
        fds.push(fd);
    }
    let unit = &program.units[0];
    let mut insns = unit.insns.clone();
    for reloc in &unit.relocs {
        let insn = &mut insns[reloc.insn as usize];
        let fd = |id: fathom_codegen::ir::MapId| fds[id.0 as usize];
        *insn = match &reloc.target {
            RelocTarget::Map(id) => Insn::new(insn.code, insn.dst(), PSEUDO_MAP_FD, 0, fd(*id)),
            RelocTarget::MapValue(id) => Insn::new(insn.code, insn.dst(), PSEUDO_MAP_VALUE, 0, fd(*id)),
            RelocTarget::Kfunc(name) => {
                let id = host.kfunc_id(name).unwrap();
                Insn::new(insn.code, insn.dst(), PSEUDO_KFUNC_CALL, 0, id)
            }
            RelocTarget::Const(_) => Insn::new(insn.code, insn.dst(), 0, 0, 77),
            RelocTarget::KernelSymbol(name) => panic!("{name} is on no machine of these tests"),
        };
    }
    (insns, events)
}

/// Runs `test:t { BODY }`; its result and the records it sent.
fn run_in(body: &str, kernel_search: bool) -> (i64, Program, Vec<Vec<u8>>) {
    let text = format!("test:t {{ {body} }}");
    let compilation = compile_in(&text, kernel_search);
    let program = match compilation.program {
        Some(program) => program,
        None => panic!("{text}: {:?}", compilation.diagnostics),
    };
    let mut host = machine();
    let (insns, events) = install(&program, &mut host);
    let mut context = vec![0u8; 64];
    let result = Interp::new(&insns, &mut host).run_ctx(&mut context, false);
    let result = result.unwrap_or_else(|e| panic!("{text}: {e:?}"));
    let records = events.map_or_else(Vec::new, |fd| host.take_records(fd));
    (result.cast_signed(), program, records.into_iter().map(|r| r.bytes).collect())
}

/// Result of `return BODY`.
fn value(expression: &str) -> i64 {
    body(&format!("return {expression};"))
}

fn body(body: &str) -> i64 {
    run_in(body, false).0
}

/// The first error about `begin { BODY }`.
fn error(body: &str) -> String {
    let text = format!("begin {{ {body} }}");
    let compilation = compile_in(&text, false);
    match compilation.diagnostics.iter().find(|d| d.is_error()) {
        Some(d) => d.message.clone(),
        None => panic!("no error in {text}"),
    }
}

#[test]
fn lengths_of_text() {
    assert_eq!(value("strlen(comm)"), 5);
    assert_eq!(value("strlen(\"\")"), 0);
    assert_eq!(body("$a = \"hello\"; $a = \"hi\"; return strlen($a);"), 2);
    assert_eq!(value("strcap(comm)"), 16);
    assert_eq!(value("strlen(str((uint64)curtask + 8))"), 5);
    assert_eq!(value("strlen(str((uint64)curtask + 8, 3))"), 3);
    assert_eq!(body("$n = (uint64)cpu + 2; return strlen(str((uint64)curtask + 8, $n));"), 2);
    assert_eq!(body("$n = (uint64)cpu - 1; return strlen(str((uint64)curtask + 8, $n));"), 5);
    assert_eq!(value("strlen(str(0))"), 0);
    assert_eq!(value("strlen(str($1))"), 5);
    assert_eq!(value("strlen(str($1 + 2))"), 3);
    assert_eq!(value("strlen(str($2))"), 0);
    assert_eq!(value("strlen(str(buf(\"hello\", 3)))"), 3);
    assert_eq!(value("strlen(curtask.comm)"), 5);
    assert_eq!(value("len(comm) + len((1, 2)) + len(buf(\"abc\", 2))"), 9);
    assert_eq!(value("default_str_length()"), 1024);
}

#[test]
fn comparisons_of_text_end_at_the_nul() {
    assert_eq!(value("strncmp(\"wow\", comm, 17)"), 1);
    assert_eq!(value("strncmp(\"one\", \"one \", 4)"), 1);
    assert_eq!(value("strncmp(comm, \"shell\", 17)"), 0);
    assert_eq!(value("strncmp(comm, \"shells\", 5)"), 0);
    assert_eq!(value("strncmp(comm, \"shells\", 6)"), 1);
    assert_eq!(value("strncmp(comm, \"shellshellshellshell\", 20)"), 1);
    assert_eq!(value("strncmp(comm, \"\", 0)"), 0);
    assert_eq!(body("$a = comm; $b = str((uint64)curtask + 8, 4); return strncmp($a, $b, 4);"), 0);
    assert_eq!(body("$a = comm; $b = str((uint64)curtask + 8, 4); return strncmp($a, $b, 5);"), 1);
    assert_eq!(body("$a = comm; $b = comm; return strncmp($a, $b, 99);"), 0);
    assert_eq!(value("memcmp(\"abc\", \"abd\", 2)"), 0);
    assert_eq!(value("memcmp(\"abc\", \"abd\", 3)"), -1);
    assert_eq!(value("memcmp((int8 *)((uint64)curtask + 8), comm, 3)"), 0);
    assert_eq!(value("memcmp(buf(\"xy\", 2), buf(\"xa\", 2), 2)"), i64::from(b'y') - i64::from(b'a'));
}

/// Every way to search gives the same: constants folded, the kernel's function, a table of bits.
#[test]
fn searches_agree() {
    let cases: &[(&str, &str, i64)] = &[
        ("hello-test-world", "world", 11),
        ("", "", 0),
        ("hello", "", 0),
        ("", "test", -1),
        ("ababac", "abac", 2),
        ("aaab", "aab", 1),
        ("hello", "hello", 0),
        ("hello", "hello!", -1),
        ("ab", "b", 1),
        ("xaxbxc", "xd", -1),
    ];
    for (hay, needle, index) in cases {
        let folded = format!("return strstr(\"{hay}\", \"{needle}\");");
        let half = format!("$h = \"{hay}\"; return strstr($h, \"{needle}\");");
        let whole = format!("$h = \"{hay}\"; $n = \"{needle}\"; return strstr($h, $n);");
        for script in [&folded, &half, &whole] {
            for kernel_search in [false, true] {
                assert_eq!(run_in(script, kernel_search).0, *index, "{script} {kernel_search}");
            }
        }
        let contains = format!("$h = \"{hay}\"; return strcontains($h, \"{needle}\");");
        assert_eq!(body(&contains), i64::from(*index >= 0), "{contains}");
    }
}

#[test]
fn long_needles_need_the_kernels_search() {
    let script = "$n = str((uint64)curtask + 8); return strstr(comm, $n);";
    assert_eq!(run_in(script, true).0, 0);
    let compilation = compile_in(&format!("test:t {{ {script} }}"), false);
    let error = compilation.diagnostics.iter().find(|d| d.is_error()).unwrap();
    assert!(error.message.contains("needs Linux 6.17"), "{}", error.message);
}

#[test]
fn concatenation() {
    assert_eq!(value("strlen(str_concat(comm, \"-\", comm))"), 11);
    assert_eq!(value("strncmp(str_concat(comm, \"-\", comm), \"shell-shell\", 20)"), 0);
    assert_eq!(value("strlen(str_concat(\"\", \"\"))"), 0);
    assert_eq!(value("strncmp(str_concat(str(0), comm), \"shell\", 9)"), 0);
}

#[test]
fn the_task_and_its_relatives() {
    assert_eq!(value("ppid"), 1000);
    assert_eq!(value("leader_tid"), 1001);
    assert_eq!(value("pcomm == \"shell\" && leader_comm == \"shell\""), 1);
    assert_eq!(value("curtask.tgid"), 1000);
    assert_eq!(value("usermode"), 1);
    assert_eq!(value("ncpus"), 4);
    assert_eq!(value("has_cpid"), 1);
    assert_eq!(value("cgroup"), 1);
    assert_eq!(value("container_of((uint64)curtask + 4, struct task_struct, tgid) == curtask"), 1);
}

#[test]
fn numbers_and_addresses() {
    assert_eq!(value("bswap((uint16)0x1234)"), 0x3412);
    assert_eq!(value("bswap((int32)0x12345678)"), 0x7856_3412);
    assert_eq!(value("bswap((int8)0x12)"), 0x12);
    assert_eq!(body("$x = (uint64)0x1122334455667788; return bswap($x) == 0x8877665544332211;"), 1);
    assert_eq!(value("is_err((int8 *)-2)"), 1);
    assert_eq!(value("is_err((int8 *)-4096)"), 0);
    assert_eq!(value("kaddr(\"process_counts\") == 0xffffffff81000000"), 1);
    assert_eq!(body("$p = pton(\"1.2.3.4\"); return $p[3];"), 4);
    assert_eq!(value("cgroupid(\"/sys\")"), 1);
}

#[test]
fn maps_and_their_elements() {
    assert_eq!(body("@a[1] = 1; @a[2] = 1; return len(@a);"), 2);
    assert_eq!(body("@a[1] = 1; delete(@a, 1); return len(@a);"), 0);
    assert_eq!(body("@a[1] = 1; return delete(@a[1]);"), 1);
    assert_eq!(body("@a[1] = 1; return delete(@a, 2);"), 0);
    assert_eq!(body("@a = 7; return delete(@a);"), 1);
    assert_eq!(body("@a = 7; delete(@a); return @a;"), 0);
    assert_eq!(body("@a[\"x\"] = 1; return has_key(@a, \"x\") && !has_key(@a, \"y\");"), 1);
    assert_eq!(body("@a[1] = 5; let $x; if (find(@a, 1, $x)) { return $x; } return 0;"), 5);
    assert_eq!(body("@a[1] = 5; let $x; if (find(@a, 2, $x)) { return 1; } return $x;"), 0);
    assert_eq!(body("@a[1] = \"ab\"; let $x; find(@a, 1, $x); return strlen($x);"), 2);
    assert_eq!(body("@a[1] = sum(5); @a[1] = sum(6); let $x; find(@a, 1, $x); return $x;"), 11);
}

#[test]
fn deleting_what_is_not_there_is_told_when_nobody_asks() {
    let warnings = |script: &str| run_in(script, false).2.len();
    assert_eq!(warnings("@a[1] = 1; delete(@a, 2);"), 1);
    assert_eq!(warnings("@a[1] = 1; delete(@a, 1);"), 0);
    assert_eq!(warnings("@a[1] = 1; $x = delete(@a, 2); return $x;"), 0);
    assert_eq!(warnings("@a[1] = 1; if (cpu < 9) { delete(@a, 2) }"), 1);
    assert_eq!(warnings("@a[1] = 1; if (delete(@a, 2)) { @a[1] = 2; }"), 0);
}

#[test]
fn records_carry_what_the_action_needs() {
    let (_, program, records) = run_in("cat(\"/proc/%d/%s\", pid, comm);", false);
    let action = &program.actions[0];
    assert!(matches!(&action.kind, ActionKind::Cat { format } if &**format == "/proc/%d/%s"));
    assert_eq!((records.len(), action.fields.len()), (1, 2));
    let at = action.fields[0].offset as usize;
    assert_eq!(records[0][at..at + 4], 1000u32.to_le_bytes());
    let (_, program, records) = run_in("print(ntop((uint32)0x0100007f));", false);
    let at = program.actions[0].fields[0].offset as usize;
    assert_eq!(records[0][at..at + 8], [2, 0, 0, 0, 127, 0, 0, 1]);
    let (_, program, records) = run_in("printf(\"%r\", buf(comm, 4));", false);
    let at = program.actions[0].fields[0].offset as usize;
    assert_eq!(records[0][at..at + 8], [4, 0, 0, 0, b's', b'h', b'e', b'l']);
}

#[test]
fn questions_are_answered_when_compiling() {
    for (question, answer) in [
        ("is_str(comm)", 1),
        ("is_str(1)", 0),
        ("is_ptr(curtask)", 1),
        ("is_array(pton(\"::1\"))", 1),
        ("is_integer(-1)", 1),
        ("is_unsigned_integer(-1)", 0),
        ("is_unsigned_integer(pid)", 1),
        ("is_literal(-1)", 1),
        ("is_literal(pid)", 0),
        ("kfunc_exist(\"nothing\")", 0),
    ] {
        assert_eq!(value(question), answer, "{question}");
    }
}

#[test]
fn wrong_arguments_are_explained() {
    for (body, message) in [
        ("str((1, 2));", "str() expects an integer, a pointer or an array of characters as first argument ('(int8,int8)' provided)"),
        ("buf(1);", "buf() expects a length argument for non-array type int8"),
        ("strlen(1);", "strlen() expects a string as first argument ('int8' provided)"),
        ("strncmp(\"a\", \"b\", pid);", "strncmp() expects an integer literal as third argument"),
        ("strncmp(\"a\", \"b\", -1);", "strncmp() expects a number from 0 to 4294967295 as third argument, not -1"),
        ("strcontains(\"a\", 1);", "strcontains() expects a string as second argument ('int8' provided)"),
        ("memcmp(\"a\", \"b\", 9);", "memcmp() compares 9 bytes, but 'string[2]' has only 2"),
        ("@ = 1; len(@);", "call to len() expects a map with explicit keys (non-scalar map)"),
        ("@ = 1; has_key(@, 1);", "call to has_key() expects a map with explicit keys (non-scalar map)"),
        ("@[1] = 1; delete(@);", "call to delete() expects a map without explicit keys (scalar map)"),
        ("delete(1);", "delete() expects a map to be provided as first argument"),
        ("@[1] = 1; find(@, 1, 2);", "find() expects a variable as third argument"),
        ("kaddr(comm);", "kaddr() expects a string literal as first argument"),
        ("kaddr(\"nothing\");", "Failed to resolve kernel symbol: nothing"),
        ("percpu_kaddr(\"nothing\");", "Could not resolve the per-CPU variable: nothing"),
        ("uaddr(\"x\");", "uaddr() can only be used with uprobes, uretprobes and USDT probes"),
        ("pton(\"1.2.3\");", "pton() expects a string literal of an IPv4 or IPv6 address, got '1.2.3'"),
        ("ntop(\"abcd\");", "ntop() invalid array of 5 bytes: an address has 4 or 16"),
        ("macaddr(1);", "macaddr() expects an array of 6 bytes ('int8' provided)"),
        ("signal(99);", "signal() expects a signal from 1 to 64, not 99"),
        ("signal(\"SIGNONE\");", "SIGNONE is not a signal"),
        ("override(1);", "override() can only be used with kprobes"),
        ("cat(\"%d\");", "cat: Not enough arguments for format string (1 expected, 0 found)"),
        ("system(\"%d\", comm);", "system: %d specifier expects an integer or pointer ('string[16]' supplied)"),
        ("debugf(\"%.2d\", 1);", "debugf: the kernel knows no precision, '#' or '*' in formats"),
        ("cgroupid(\"/none\");", "cgroupid(): no cgroup '/none': No such file or directory"),
        ("reg(\"zz\");", "'zz' is not a valid register on this architecture (x86_64)"),
        ("fail(\"no %s %d\", \"way\", 1);", "no way 1"),
        ("static_assert(1 == 2, \"sums\");", "static_assert failed: sums"),
        ("container_of(1, struct task_struct, nothing);", "Struct/union of type 'struct task_struct' does not contain a field named 'nothing'"),
        ("assert_str(1);", "assert_str() expects a string as first argument ('int8' provided)"),
        ("path(1);", "path() expects a pointer to struct path as first argument"),
    ] {
        let got = error(body);
        assert!(got.starts_with(message.trim_end()), "{body}\n  got  {got}\n  want {message}");
    }
}

#[test]
fn rows_are_complete_and_names_unique() {
    let mut names = std::collections::HashSet::new();
    for row in rows() {
        assert!(names.insert(row.name), "{} stands twice", row.name);
        assert!(row.doc.ends_with('.') && row.doc.len() > 10, "{}: {}", row.name, row.doc);
        let name = if row.name == "argN" { "arg0" } else { row.name };
        assert!(row.example.contains(name), "{}: {}", row.name, row.example);
        assert!(row.args.0 <= row.args.1 && (row.form != Form::Value || row.args.1 == 0), "{}", row.name);
    }
}

/// Examples are run where the tracer runs; here they have to be scripts, and those of begin to compile.
#[test]
fn examples_are_scripts() {
    for row in rows() {
        let (_, diagnostics) = fathom_syntax::parse(row.example, fathom_syntax::span::FileId(0));
        assert!(diagnostics.is_empty(), "{}: {diagnostics:?}", row.name);
        // The symbol of this one is none of the recorded world's.
        if row.example.starts_with("begin") && row.name != "ksym" && row.name != "kaddr" {
            let compilation = compile_in(row.example, true);
            assert!(compilation.program.is_some(), "{}: {:?}", row.name, compilation.diagnostics);
        }
    }
}
