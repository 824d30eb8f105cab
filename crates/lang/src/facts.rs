//! Every question the compiler has about the outside world, as one trait: answered by the running kernel (`probes`), or by
//! a recorded one in tests.

use crate::types::{CType, CTypeId};
use fathom_bpf::kinds::{AttachKind, ProgKind};
use fathom_codegen::program::{Attach, BtfTarget, Refusal};
use std::sync::Arc;

/// Namespaces of C type names.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum TypeSpace {
    /// `struct x`
    Struct,
    /// `union x`
    Union,
    /// `enum x`
    Enum,
    /// A typedef or base type (`uint64_t`, `unsigned int`).
    Plain,
}

/// A capability of the kernel that decides how code is generated.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Feature {
    /// BPF ring buffer (5.8).
    RingBuffer,
    /// `may_goto` (6.9).
    MayGoto,
    /// Signed division, sign-extending moves, unconditional byte swap (6.6).
    CpuV4,
    /// Atomic fetch operations (5.12).
    AtomicFetch,
    /// `bpf_for_each_map_elem` (5.13).
    ForEachMapElem,
    /// `bpf_map_lookup_percpu_elem` (5.19).
    LookupPercpuElem,
    /// `bpf_get_attach_cookie` (5.15).
    AttachCookie,
    /// `bpf_get_func_ip`.
    FuncIp,
    /// `bpf_jiffies64`.
    Jiffies64,
    /// `bpf_ktime_get_boot_ns`.
    KtimeBoot,
    /// `bpf_ktime_get_tai_ns`.
    KtimeTai,
    /// `bpf_get_current_task_btf` and direct reads of BTF objects.
    TaskBtf,
    /// `bpf_probe_read_kernel` and `_user` (5.5).
    ProbeReadSpaces,
    /// kprobe_multi.
    KprobeMulti,
    /// kprobe_session.
    KprobeSession,
    /// uprobe_multi.
    UprobeMulti,
}

/// Everything the compiler may ask. All answers may be cached by the implementation; none may fail loudly.
pub trait Facts {
    /// The C type of this name.
    fn find_type(&self, space: TypeSpace, name: &str) -> Option<CTypeId>;
    /// What a C type is, one level deep.
    fn c_type(&self, id: CTypeId) -> CType;
    /// The enumeration constant of this name: its enum and value.
    fn find_enum_value(&self, name: &str) -> Option<(CTypeId, i64)>;
    /// Whether there are kernel types at all.
    fn has_types(&self) -> bool;
    /// What an attach point stands for.
    fn resolve(&self, request: &ProbeRequest) -> Resolution;
    /// Whether the kernel can.
    fn has(&self, feature: Feature) -> bool;
    /// Address of a kernel symbol (function or variable).
    fn kernel_symbol(&self, name: &str) -> Option<u64>;
    /// Address (in the file's own numbering) and size of a symbol of a program or library.
    fn user_symbol(&self, path: &str, name: &str) -> Option<(u64, u64)>;
    /// Id of a cgroup directory; the error is the operating system's text.
    fn cgroup_id(&self, path: &str) -> Result<u64, String>;
    /// Whether the kernel has this function for programs to call.
    fn has_kfunc(&self, name: &str) -> bool;
    /// Whether a program of this kind may call it.
    fn kfunc_allowed(&self, name: &str, kind: ProgKind) -> bool {
        let _ = kind;
        self.has_kfunc(name)
    }
    /// Number of possible CPUs.
    fn possible_cpus(&self) -> u32;
    /// Contents of a file named by `import` or `#include`, relative to `from` (path of the importing file). A directory gives all its files.
    fn read_import(&self, path: &str, from: Option<&str>) -> Result<Vec<(String, String)>, String>;
}

/// An attach point with `$N` already replaced.
#[derive(Clone, Debug, Default)]
pub struct ProbeRequest {
    /// As written.
    pub raw: String,
    /// The parts between `:`; the first is the provider (any case, alias, or a wildcard).
    pub parts: Vec<String>,
    /// `-p PID`.
    pub pid: Option<u32>,
    /// `--unsafe` was given.
    pub allow_unsafe: bool,
    /// What the clause names: types that cost much to find are looked for only then.
    pub names: ArgNames,
}

/// What a clause names of its probe's arguments.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ArgNames {
    /// `args`
    pub args: bool,
    /// `retval`
    pub retval: bool,
}

/// What an attach point stands for.
#[derive(Clone, Debug, Default)]
pub struct Resolution {
    /// The probes; empty if nothing matches.
    pub targets: Vec<Target>,
    /// Why the attach point is malformed or impossible: an error in any case.
    pub error: Option<ProbeError>,
    /// Text for "nothing matches": `No matches for tracepoint syscalls:nonsense.`; an error, warning or nothing by `missing_probes`.
    pub missing: Option<String>,
    /// Further warnings, e.g. `nonsense is not traceable ...`.
    pub warnings: Vec<String>,
}

/// A malformed or impossible attach point.
#[derive(Clone, Debug)]
pub struct ProbeError {
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
}

/// One probe.
#[derive(Clone, Debug)]
pub struct Target {
    /// Full name as the builtin `probe` gives it: `tracepoint:sched:sched_switch`, `begin`, `interval:s:1`.
    pub name: String,
    /// Canonical provider name: `tracepoint`, `kprobe`, `begin`, ...
    pub provider: &'static str,
    /// Value of the builtin `probetype`: `tracepoint`, `special`, ...
    pub probe_type: &'static str,
    /// What becomes of the session when the kernel refuses to attach to it. Providers leave it as it is: the compiler decides.
    pub refusal: Refusal,
    /// Value of the builtin `func` where it is known when compiling.
    pub func: Option<String>,
    /// The arguments that `args` has, the same whichever carrier is used.
    pub args: Arc<ArgSet>,
    /// Mechanisms that deliver this probe, cheapest first. The first that gives what the clause uses is taken.
    pub carriers: Vec<Carrier>,
}

/// The named arguments of a probe.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ArgSet {
    /// In order. Printed by `-lv`.
    pub args: Vec<Arg>,
    /// Type of `retval` where it is typed (fexit, DWARF).
    pub ret: Option<ArgType>,
    /// Why there are none, for the diagnostic when `args` is used.
    pub unavailable: Option<String>,
    /// Where each argument lies when the context is [`Context::Registers`]; empty: one register or stack slot each, in order.
    pub places: Vec<ArgPlace>,
}

/// Where an argument of a function lies at the function's first instruction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ArgPlace {
    /// In registers, eight bytes each, by their offsets into `struct pt_regs`. Two for small structs.
    Registers(Vec<u16>),
    /// In memory, this many bytes above the stack pointer.
    Stack(u32),
    /// In memory that a pointer in this place points to.
    Behind(Box<ArgPlace>),
    /// Where programs cannot read it, and why.
    Unreadable(&'static str),
}

/// A named argument.
#[derive(Clone, Debug, PartialEq)]
pub struct Arg {
    /// Its name.
    pub name: Arc<str>,
    /// Its type.
    pub ty: ArgType,
    /// A string or array whose place is given by a u32 (offset in the low, length in the high half), relative to the record.
    pub data_loc: bool,
}

/// Type of an argument.
#[derive(Clone, Debug, PartialEq)]
pub enum ArgType {
    /// Known to `Facts`.
    C(CTypeId),
    /// C text such as `const char *`, `char[16]`, `unsigned long[6]`, with size and signedness for when the text names an unknown type.
    Text {
        /// As tracefs gives it.
        text: String,
        /// Bytes.
        size: u32,
        /// Two's complement.
        signed: bool,
    },
}

/// A mechanism that delivers a probe.
#[derive(Clone, Debug, PartialEq)]
pub struct Carrier {
    /// Program type.
    pub kind: ProgKind,
    /// Expected attach type.
    pub attach_kind: Option<AttachKind>,
    /// For `TRACING` programs.
    pub attach_btf: Option<BtfTarget>,
    /// May use sleeping helpers.
    pub sleepable: bool,
    /// How it is attached.
    pub how: Attach,
    /// What the program's context is, so where arguments come from.
    pub context: Context,
    /// The mechanism fires for more than this target: the program has to look.
    pub select: Option<Select>,
    /// The attachment can carry a number (cookie).
    pub has_cookie: bool,
    /// Short name for `-v`: `raw tracepoint`, `perf tracepoint`, `uprobe_multi`.
    pub mechanism: &'static str,
}

/// How a shared mechanism tells which target fired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Select {
    /// The system call number: u64 argument 1 of raw `sys_enter`; `orig_ax` of the registers in argument 0 of raw `sys_exit`.
    Syscall {
        /// The number.
        number: u32,
    },
}

/// What a program's context is.
#[derive(Clone, Debug, PartialEq)]
pub enum Context {
    /// Nothing can be read from it.
    Opaque,
    /// A tracefs record: argument i of the [`ArgSet`] lies at `offsets[i]`. Fields are read from the context directly.
    Record {
        /// By argument.
        offsets: Vec<u32>,
    },
    /// An array of u64: argument i is element i (raw tracepoints, `TRACING` programs). `trusted`: pointers to BTF structs may be
    /// read directly. For fexit the return value is element `args.len()`.
    Array {
        /// Pointers may be read directly.
        trusted: bool,
    },
    /// `struct pt_regs`: argN, reg(), named arguments by the calling convention.
    Registers {
        /// At function return: `retval` instead of arguments.
        at_return: bool,
    },
    /// Registers, with USDT arguments described one by one.
    Usdt {
        /// The places.
        args: Vec<UsdtArg>,
    },
    /// Raw `sys_enter`: element 0 is a kernel pointer to the caller's `struct pt_regs`, element 1 the number. Argument i of the [`ArgSet`] is
    /// given by `args[i]`.
    SyscallEnter {
        /// By argument of the [`ArgSet`].
        args: Vec<SyscallArg>,
    },
    /// Raw `sys_exit`: element 0 is a kernel pointer to the caller's `struct pt_regs`, element 1 the return value.
    SyscallExit {
        /// By argument of the [`ArgSet`].
        args: Vec<SyscallArg>,
    },
    /// A struct known to BTF, such as `bpf_iter__task`; `ctx` has this type and its members may be read directly.
    Typed {
        /// The struct.
        ty: CTypeId,
    },
    /// `struct bpf_perf_event_data`: registers first, then sample period and address.
    PerfEvent,
}

/// Where a system call tracepoint's argument comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyscallArg {
    /// The system call number.
    Number,
    /// The n-th argument register of the system call, from 0.
    Arg(u8),
    /// All six arguments (`args` of `raw_syscalls:sys_enter`).
    AllArgs,
    /// The return value.
    Return,
}

/// Where a USDT argument lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsdtArg {
    /// Bytes.
    pub size: u8,
    /// Sign-extended.
    pub signed: bool,
    /// Its place.
    pub place: UsdtPlace,
}

/// Operand of a USDT argument. Registers are byte offsets into `struct pt_regs`; `part` is the byte offset within the register (`%ah`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UsdtPlace {
    /// A constant.
    Const(i64),
    /// A register.
    Register {
        /// Offset in `pt_regs`.
        offset: u16,
        /// Byte within the register.
        part: u8,
    },
    /// Memory at base + index * scale + displacement.
    Memory {
        /// Offset of the base register in `pt_regs`.
        base: Option<u16>,
        /// Offset of the index register.
        index: Option<u16>,
        /// Factor of the index.
        scale: u8,
        /// Displacement.
        displacement: i64,
    },
}
