//! What is fed: one row per reader of foreign input.

use fathom_lang::compile::{self, Options, Source};
use fathom_symbols::btf::{Btf, Kind};
use fathom_symbols::btf_write::{BtfWriter, IntEncoding, NewMember};
use fathom_symbols::elf::Elf;
use fathom_symbols::tp_format::TpFormat;
use fathom_symbols::{maps, perf_map, usdt};
use fathom_syntax::span::FileId;
use fathom_testkit::{events, seeds, Event, FixtureFacts, Sim};

/// A target.
pub struct Target {
    /// Name.
    pub name: &'static str,
    /// Reads an input; a panic is a finding. True if it was a good one: then further inputs are made from it.
    pub run: fn(&[u8]) -> bool,
    /// Good inputs to start from.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// Pieces that the format is made of.
    pub words: &'static [&'static str],
}

/// All targets.
pub static TARGETS: &[Target] = &[
    Target { name: "parse", run: parse, seeds: scripts, words: SCRIPT_WORDS },
    Target { name: "format", run: format, seeds: scripts, words: SCRIPT_WORDS },
    Target { name: "compile", run: compile, seeds: scripts, words: SCRIPT_WORDS },
    Target { name: "run", run: simulate, seeds: scripts, words: SCRIPT_WORDS },
    Target { name: "btf", run: btf, seeds: btf_seeds, words: &["\0\0\0\0", "\u{1}\0\0\0"] },
    Target { name: "elf", run: elf, seeds: elf_seeds, words: &["\0\0\0\0", "stapsdt", ".symtab"] },
    Target {
        name: "tp_format",
        run: tp_format,
        seeds: tp_seeds,
        words: &["field:", ";", "\tsize:", "[", "]", "__data_loc "],
    },
    Target {
        name: "usdt_args",
        run: usdt_args,
        seeds: usdt_seeds,
        words: &["@", "%rax", "(", ",", "-8", "$1", "8f"],
    },
    Target {
        name: "proc_maps",
        run: proc_maps,
        seeds: maps_seeds,
        words: &["-", "r-xp", " ", "\n", "ffffffffffffffff"],
    },
];

const SCRIPT_WORDS: &[&str] = &[
    "{",
    "}",
    "(",
    ")",
    "[",
    "]",
    ";",
    ",",
    ":",
    "?",
    ".",
    "..",
    "->",
    "=",
    "+=",
    "++",
    "--",
    "+",
    "-",
    "*",
    "/",
    "%",
    "&",
    "&&",
    "|",
    "||",
    "<",
    "<<",
    "==",
    "!",
    "!=",
    "~",
    "\"",
    "'",
    "#",
    "//",
    "/*",
    "*/",
    "@",
    "@x",
    "@y[1]",
    "$x",
    "$1",
    "$#",
    "args",
    "args.id",
    "comm",
    "pid",
    "nsecs",
    "kstack",
    "ustack",
    "curtask",
    "retval",
    "arg0",
    "begin",
    "end",
    "BEGIN",
    "kprobe:vfs_read",
    "tracepoint:raw_syscalls:sys_enter",
    "interval:s:1",
    "if",
    "else",
    "while",
    "for",
    "unroll",
    "return",
    "break",
    "continue",
    "let ",
    "macro ",
    "config = {",
    "import ",
    "struct ",
    "union ",
    "enum ",
    "sizeof",
    "offsetof",
    "typeof",
    "(int8)",
    "(uint64)",
    "(struct task_struct *)",
    "count()",
    "hist(",
    "lhist(",
    "avg(",
    "printf(\"%d\\n\", ",
    "str(",
    "buf(",
    "print(",
    "clear(",
    "delete(",
    "0",
    "1",
    "-1",
    "0x7fffffffffffffff",
    "18446744073709551615",
    "1e9",
    "10ms",
    "\\n",
    "\\x00",
    "%s",
    "%*d",
    "\u{e9}",
    "\n",
    " ",
];

fn scripts() -> Vec<Vec<u8>> {
    let examples = fathom_lang::builtins::rows().map(|b| b.example);
    seeds::SCRIPTS.iter().copied().chain(examples).map(|s| s.as_bytes().to_vec()).collect()
}

fn parse(input: &[u8]) -> bool {
    let text = String::from_utf8_lossy(input);
    let (script, diagnostics) = fathom_syntax::parse(&text, FileId::default());
    let _ = fathom_syntax::dump(&script);
    let mut sources = fathom_syntax::SourceMap::default();
    sources.add_file("stdin", text.as_ref());
    let _ = fathom_syntax::render(&diagnostics, &sources, &fathom_syntax::span::Expansions::default(), true);
    diagnostics.is_empty()
}

/// What parses can be formatted, and formatting again changes nothing.
fn format(input: &[u8]) -> bool {
    let text = String::from_utf8_lossy(input);
    let Ok(once) = fathom_syntax::format(&text) else { return false };
    match fathom_syntax::format(&once) {
        Ok(twice) => assert!(once == twice, "formatting is not stable:\n{once}\n--- again:\n{twice}"),
        Err(e) => panic!("formatted text does not parse: {:?}\n{once}", e.first().map(|d| &d.message)),
    }
    true
}

fn compile(input: &[u8]) -> bool {
    let source = Source { name: "stdin".into(), text: String::from_utf8_lossy(input).into_owned() };
    let options =
        Options { positional: vec!["7".into(), "text".into()], allow_unsafe: true, ..Options::default() };
    let c = compile::compile(&source, &FixtureFacts::new(), &options);
    let _ = fathom_syntax::render(&c.diagnostics, &c.sources, &c.expansions, false);
    assert!(c.program.is_some() || c.failed(), "neither a program nor an error");
    c.program.is_some()
}

/// What compiles runs: a fault of the interpreter would be a refusal by the kernel's verifier.
fn simulate(input: &[u8]) -> bool {
    let facts = FixtureFacts::new();
    let Ok(mut sim) = Sim::new(&String::from_utf8_lossy(input), &facts) else { return false };
    // Endless loops end soon enough.
    sim.host().may_goto_fuel = 32;
    let names = [
        "tracepoint:raw_syscalls:sys_enter",
        "tracepoint:sched:sched_switch",
        "kprobe:vfs_read",
        "tracepoint:syscalls:sys_enter_openat",
    ];
    let events = names.map(|n| {
        Event::new(n).with("id", 1).with("arg2", -7).text("filename", "/etc/motd").text("prev_comm", "sh")
    });
    match sim.session(&events) {
        Ok(_) => true,
        Err(e) if TOLERATED.iter().any(|t| e.contains(t)) => false,
        Err(e) => panic!("{e}"),
    }
}

/// Faults that say something about the simulated machine, not about the program.
const TOLERATED: &[&str] =
    &["the host has no", "the budget of", "does not support", "a map of more than", "a map with keys of"];

fn btf(input: &[u8]) -> bool {
    let Ok(btf) = Btf::parse(input.to_vec()) else { return false };
    for id in 0..btf.type_count().min(2000) {
        let _ = (
            btf.get(id).is_ok(),
            btf.size_of(id),
            btf.type_name(id),
            btf.declaration(id),
            btf.resolve(id).is_ok(),
        );
        let _ = (btf.member(id, "pid"), btf.member_path(id, ["parent", "pid"]), btf.decl_tags(id).is_ok());
    }
    for kind in [Kind::Struct, Kind::Func, Kind::Typedef] {
        let _ = (btf.find("task_struct", kind), btf.iter_kind(kind).count());
    }
    let _ = (
        btf.find_func("f").is_some(),
        btf.find_raw_tracepoint("x").is_some(),
        btf.find_enumerator("A").is_some(),
    );
    true
}

/// A small blob: integers, a struct that points to itself, an enumeration, a function.
fn btf_seeds() -> Vec<Vec<u8>> {
    let mut w = BtfWriter::new();
    let int = w.int("int", 4, IntEncoding::Signed);
    let char = w.int("char", 1, IntEncoding::Char);
    let comm = w.array(char, int, 16);
    let task = w.reserve("task_struct", false);
    let pointer = w.ptr(task);
    let member = |name, ty, bit_offset, bitfield_bits| NewMember { name, ty, bit_offset, bitfield_bits };
    let members = [
        member("pid", int, 0, 0),
        member("comm", comm, 32, 0),
        member("parent", pointer, 192, 0),
        member("flag", int, 256, 3),
    ];
    let _ = w.define(task, Kind::Struct, "task_struct", 40, &members);
    let proto = w.func_proto(&[("task", pointer), ("how", int)], int);
    if let Ok(proto) = proto {
        w.func("f", proto, true);
    }
    w.typedef("pid_t", int);
    w.forward("file", false);
    vec![w.to_bytes()]
}

fn elf(input: &[u8]) -> bool {
    let Ok(elf) = Elf::parse(input) else { return false };
    let _ = (elf.build_id(), elf.debug_link(), elf.interpreter(), elf.is_x86_64(), elf.kind());
    let _ = (elf.symbols().take(2000).count(), elf.functions().take(2000).count(), elf.function("main"));
    let _ =
        (elf.usdt_probes().is_ok(), elf.file_offset(0x1000), elf.address_of_offset(64), elf.entry(0x1000));
    if let Ok(Some(dwarf)) = fathom_symbols::dwarf::DebugInfo::open(&elf) {
        let _ = (dwarf.function_at(0x1000).is_ok(), dwarf.functions_named("main").is_ok());
    }
    true
}

/// The head and the tail of this very program: real headers and tables, without its megabytes of code.
fn elf_seeds() -> Vec<Vec<u8>> {
    vec![small_elf()]
}

/// An ELF file with a section table, a symbol table with one function, and a note.
fn small_elf() -> Vec<u8> {
    const HEADER: usize = 64;
    let strings = b"\0main\0";
    let names = b"\0.symtab\0.strtab\0.shstrtab\0.note.stapsdt\0.text\0";
    let mut symbols = vec![0u8; 24];
    // name 1, FUNC GLOBAL, section 5, value 0x1000, size 16
    symbols.extend([1, 0, 0, 0, 0x12, 0, 5, 0]);
    symbols.extend(0x1000u64.to_le_bytes());
    symbols.extend(16u64.to_le_bytes());
    let mut note = Vec::new();
    let body = [&[0u8; 24][..], b"provider\0name\0-4@%edi 8@-16(%rbp)\0"].concat();
    for word in [8, body.len() as u32, 3] {
        note.extend(word.to_le_bytes());
    }
    note.extend(b"stapsdt\0");
    note.extend(&body);
    note.resize(note.len().next_multiple_of(4), 0);
    let text = [0xc3u8; 16];
    /// Bytes, place of the name, type, address, link, size of an entry.
    type Section<'a> = (&'a [u8], u32, u32, u64, u32, u64);
    let parts: [Section<'_>; 5] = [
        (&symbols, 1, 2, 0, 2, 24),
        (strings, 9, 3, 0, 0, 0),
        (names, 17, 3, 0, 0, 0),
        (&note, 27, 7, 0, 0, 0),
        (&text, 41, 1, 0x1000, 0, 0),
    ];
    let mut data = Vec::new();
    let mut sections = vec![0u8; 64];
    for (bytes, name, kind, address, link, entry) in parts {
        let offset = (HEADER + data.len()) as u64;
        sections.extend(name.to_le_bytes());
        sections.extend(kind.to_le_bytes());
        for word in [0, address, offset, bytes.len() as u64] {
            sections.extend(word.to_le_bytes());
        }
        sections.extend(link.to_le_bytes());
        sections.extend(1u32.to_le_bytes());
        for word in [4, entry] {
            sections.extend(word.to_le_bytes());
        }
        data.extend(bytes);
        data.resize(data.len().next_multiple_of(8), 0);
    }
    let mut file = vec![0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    file.extend([3, 0, 62, 0, 1, 0, 0, 0]);
    for word in [0x1000, 0, (HEADER + data.len()) as u64] {
        file.extend(word.to_le_bytes());
    }
    file.extend([0, 0, 0, 0, 64, 0, 56, 0, 0, 0, 64, 0, 6, 0, 3, 0]);
    file.extend(data);
    file.extend(sections);
    file
}

fn tp_format(input: &[u8]) -> bool {
    let Ok(format) = TpFormat::parse(&String::from_utf8_lossy(input)) else { return false };
    let _ = format.record_size();
    for field in &format.fields {
        let _ = (field.declaration(), field.element_size());
    }
    true
}

fn tp_seeds() -> Vec<Vec<u8>> {
    events::EVENTS.iter().map(|e| e.format.as_bytes().to_vec()).collect()
}

fn usdt_args(input: &[u8]) -> bool {
    usdt::parse_args(&String::from_utf8_lossy(input)).is_ok()
}

fn usdt_seeds() -> Vec<Vec<u8>> {
    let texts = ["-4@%edi 8@%rsi", "8@-80(%rbp) 4@$17", "1@8(%rax,%rcx,4) -8@%r12", "8f@%xmm0 8@x(%rip)"];
    texts.iter().map(|t| t.as_bytes().to_vec()).collect()
}

fn proc_maps(input: &[u8]) -> bool {
    for mapping in maps::MapTable::parse(input).iter() {
        let _ = (mapping.path(), mapping.file_offset(0x1000));
    }
    let _ = perf_map::PerfMap::parse(input).find(0x1000);
    let _ = fathom_symbols::kallsyms::Kallsyms::read(input, |_| true)
        .map(|k| (k.len(), k.by_address(0x1000).is_some()));
    let _ = fathom_symbols::modules::parse(&String::from_utf8_lossy(input));
    let _ = fathom_symbols::demangle::demangle(&String::from_utf8_lossy(input));
    false
}

fn maps_seeds() -> Vec<Vec<u8>> {
    let maps = "55d0c8a00000-55d0c8a21000 r-xp 00002000 fe:01 1835 /usr/bin/cat\n7ffd1000-7ffd2000 rw-p 00000000 00:00 0 [stack]\n";
    let kallsyms = "ffffffff81000000 T _stext\nffffffffc0000000 t helper\t[module]\n";
    let perf = "7f00 20 jit_function\n7f20 10 _ZN3foo3barEv\n";
    [maps, kallsyms, perf].iter().map(|t| t.as_bytes().to_vec()).collect()
}
