//! The compiled script as plain data: what the loader loads, the runtime decodes and `-d` prints.

use crate::ir::{LoadConst, MapId, SrcLoc};
use crate::layout::Shape;
use fathom_bpf::insn::Insn;
use fathom_bpf::kinds::{AttachKind, MapKind, ProgKind};
use std::sync::Arc;

/// A whole compiled script.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Program {
    /// One BPF program each.
    pub units: Vec<Unit>,
    /// All maps; units and shapes refer to them by index ([`MapId`]).
    pub maps: Vec<MapDef>,
    /// What user space does with a record of the ring buffer: the record's first u32 is an index into this.
    pub actions: Vec<Action>,
    /// Source locations that units refer to by [`SrcLoc`].
    pub locations: Vec<Location>,
    /// Settings that the runtime honours.
    pub settings: Settings,
}

/// A place in the script, ready to print.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Location {
    /// File name (`stdin` for -e).
    pub file: String,
    /// Line, from 1.
    pub line: u32,
    /// First column, from 1.
    pub column: u32,
    /// Column behind the last.
    pub column_end: u32,
    /// The source line; of a very long one the part around the place.
    pub text: String,
    /// Column of the first byte of `text`, from 1; 0 counts as 1.
    pub text_column: u32,
    /// Call sites, from the innermost macro expansion outwards.
    pub expanded_from: Vec<Location>,
}

/// Settings of the session that come from the script's configuration, environment and command line.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Print all maps at exit.
    pub print_maps_on_exit: bool,
    /// Licence that programs declare.
    pub license: String,
    /// Ring buffer size in bytes, power of two; 0: the runtime decides.
    pub ring_bytes: u64,
    /// `cat` prints at most this.
    pub max_cat_bytes: u64,
    /// Bytes of the longest string, with its final NUL.
    pub max_strlen: u32,
    /// What a cut string ends in.
    pub str_trunc_trailer: String,
    /// Bytes of verifier log.
    pub log_size: u64,
    /// Demangle C++ and Rust names.
    pub demangle: bool,
    /// Print file and line of stack frames where known.
    pub show_debug_info: bool,
    /// Resolve symbols when printed instead of when seen.
    pub lazy_symbolication: bool,
    /// All settings as (name, value) for `-v` and `--info`.
    pub all: Vec<(String, String)>,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            print_maps_on_exit: true,
            license: "GPL".into(),
            ring_bytes: 0,
            max_cat_bytes: 10240,
            max_strlen: 1024,
            str_trunc_trailer: "..".into(),
            log_size: 1_000_000,
            demangle: true,
            show_debug_info: true,
            lazy_symbolication: true,
            all: Vec::new(),
        }
    }
}

/// One BPF program and what it is attached to.
#[derive(Clone, Debug, PartialEq)]
pub struct Unit {
    /// Name of the program.
    pub name: String,
    /// Program type.
    pub kind: ProgKind,
    /// Expected attach type, where the program type wants one.
    pub attach_kind: Option<AttachKind>,
    /// Kernel BTF object to attach to, for `TRACING` programs.
    pub attach_btf: Option<BtfTarget>,
    /// May sleep (uprobes, iterators).
    pub sleepable: bool,
    /// Entry function first, then callbacks and subprograms.
    pub insns: Vec<Insn>,
    /// What the loader fills in.
    pub relocs: Vec<Reloc>,
    /// Functions by first instruction.
    pub funcs: Vec<FuncInfo>,
    /// First instruction of each source location, ascending.
    pub lines: Vec<(u32, SrcLoc)>,
    /// Bytes of stack of the entry function.
    pub stack_bytes: u32,
    /// What it is attached to.
    pub attachments: Vec<Attachment>,
    /// Which clause of the script, from 0.
    pub clause: u32,
}

/// A function of a unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FuncInfo {
    /// First instruction.
    pub insn: u32,
    /// Name.
    pub name: String,
    /// Number of parameters (all 64 bits wide).
    pub params: u8,
}

/// Something in kernel BTF.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BtfTarget {
    /// Module name, or `vmlinux`.
    pub module: String,
    /// Type id in that module's BTF.
    pub id: u32,
}

/// A place in the instructions that is filled in when loading.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reloc {
    /// Instruction index: the first half of a 64-bit load, or a call.
    pub insn: u32,
    /// With what.
    pub target: RelocTarget,
}

/// What a relocation stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RelocTarget {
    /// File descriptor of a map.
    Map(MapId),
    /// Address into the value of an array map; the offset is already in the second half's immediate.
    MapValue(MapId),
    /// A number known at load time.
    Const(LoadConst),
    /// A kernel function.
    Kfunc(String),
    /// A kernel variable.
    KernelSymbol(String),
}

/// One attach target of a unit.
#[derive(Clone, Debug, PartialEq)]
pub struct Attachment {
    /// Full name as `probe` prints it: `tracepoint:sched:sched_switch`.
    pub name: String,
    /// How.
    pub how: Attach,
    /// Value of `bpf_get_attach_cookie`, where the mechanism has it.
    pub cookie: u64,
    /// What happens when the kernel refuses it.
    pub refusal: Refusal,
}

/// What becomes of the session when the kernel refuses an attachment.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Refusal {
    /// It ends.
    #[default]
    Error,
    /// The attachment is left out, with a warning: a pattern found it, or the script says so.
    Warn,
    /// The attachment is left out.
    Ignore,
}

/// Mechanisms of attaching. Addresses, offsets and ids are resolved; the `probes` crate carries them out.
#[derive(Clone, Debug, PartialEq)]
pub enum Attach {
    /// Run once by `BPF_PROG_TEST_RUN`: begin, end, self, test, bench.
    Run(RunWhen),
    /// `BPF_RAW_TRACEPOINT_OPEN` by name.
    RawTracepoint {
        /// Tracepoint.
        name: String,
    },
    /// `TRACING` program attached by link (tp_btf, fentry, fexit): the target is in [`Unit::attach_btf`].
    Tracing,
    /// Perf event of a tracefs event.
    Tracepoint {
        /// Category.
        category: String,
        /// Event.
        event: String,
    },
    /// kprobe or kretprobe by perf event.
    Kprobe {
        /// Function name; empty if by address.
        symbol: String,
        /// Module, if given.
        module: Option<String>,
        /// Offset, or the address.
        offset: u64,
        /// At return.
        ret: bool,
    },
    /// One link for many functions.
    KprobeMulti {
        /// (function, cookie).
        symbols: Vec<(String, u64)>,
        /// At return.
        ret: bool,
        /// Entry and return in one program.
        session: bool,
    },
    /// uprobe or uretprobe by perf event, also USDT.
    Uprobe {
        /// File.
        path: String,
        /// File offset of the instruction.
        offset: u64,
        /// File offset of the semaphore; 0: none.
        ref_ctr_offset: u64,
        /// Only this process.
        pid: Option<u32>,
        /// At return.
        ret: bool,
    },
    /// One link for many places of one file.
    UprobeMulti {
        /// File.
        path: String,
        /// The places.
        sites: Vec<UprobeSite>,
        /// Only this process.
        pid: Option<u32>,
        /// At return.
        ret: bool,
        /// Entry and return in one program.
        session: bool,
    },
    /// Any perf event, opened on the CPUs named.
    Perf {
        /// `type` of `perf_event_attr`.
        event_type: u32,
        /// `config`.
        config: u64,
        /// Every `n` events, or ns of a clock event.
        period: u64,
        /// `period` is a frequency in Hz instead.
        is_freq: bool,
        /// Which CPUs.
        cpus: PerfCpus,
        /// Only this process.
        pid: Option<u32>,
    },
    /// Hardware breakpoint.
    Watchpoint {
        /// Address.
        address: u64,
        /// 1, 2, 4 or 8.
        len: u8,
        /// Read, write, execute bits of `HW_BREAKPOINT_*`.
        mode: u32,
        /// Process whose threads are watched; `None`: kernel address on all CPUs.
        pid: Option<u32>,
    },
    /// BPF iterator; its link is read to the end, or pinned.
    Iter {
        /// What is walked: `task`, `bpf_map`, ...
        object: String,
        /// Path below /sys/fs/bpf.
        pin: Option<String>,
        /// Only this process, where the object belongs to one.
        pid: Option<u32>,
    },
}

/// A place in a file for uprobes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UprobeSite {
    /// File offset.
    pub offset: u64,
    /// Semaphore file offset or 0.
    pub ref_ctr_offset: u64,
    /// Cookie.
    pub cookie: u64,
}

/// On which CPUs a perf event is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PerfCpus {
    /// Every online CPU.
    All,
    /// One.
    One,
}

/// When a [`Attach::Run`] unit runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunWhen {
    /// Before anything is attached.
    Begin,
    /// After everything is detached.
    End,
    /// When the tracer gets this signal.
    Signal(i32),
    /// In `--test` mode.
    Test,
    /// In `--bench` mode.
    Bench,
}

/// A map to create.
#[derive(Clone, Debug, PartialEq)]
pub struct MapDef {
    /// Name: with `@` for maps of the script.
    pub name: String,
    /// Map type.
    pub kind: MapKind,
    /// Bytes of a key.
    pub key_size: u32,
    /// Bytes of a value.
    pub value_size: u32,
    /// Entries (bytes for ring buffers; 0: the runtime decides).
    pub max_entries: u32,
    /// `BPF_F_*` of map creation.
    pub flags: u32,
    /// What it is for.
    pub role: MapRole,
    /// Elements to write before anything runs (for a read-only array: whole value under key 0).
    pub init: Vec<(Vec<u8>, Vec<u8>)>,
}

/// What a map is for.
#[derive(Clone, Debug, PartialEq)]
pub enum MapRole {
    /// A map of the script, printed at exit.
    User(UserMap),
    /// The ring buffer (or perf buffer) of records.
    Events,
    /// Array of u64 by [`Counter`] slot: what was lost.
    Counters(Vec<Counter>),
    /// Stacks by id: key u64 (a hash of the frames), value u64 count of frames, then the frames as u64 each
    /// (for `build_id`: 32 bytes each, `struct bpf_stack_build_id`).
    Stacks {
        /// Most frames.
        frames: u32,
        /// User stacks with build ids.
        build_id: bool,
    },
    /// Per-CPU working memory.
    Scratch,
    /// Constants.
    ReadOnly,
    /// Anything that only the programs use.
    Internal,
}

/// What a slot of the counters map counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Counter {
    /// Records that found the ring full, by clause.
    LostRecords {
        /// Which clause.
        clause: u32,
    },
}

/// How a map of the script is read and printed.
#[derive(Clone, Debug, PartialEq)]
pub struct UserMap {
    /// Key; `None` for scalar maps. A tuple key's members are printed as `k1, k2`.
    pub key: Option<Shape>,
    /// Value.
    pub value: ValueKind,
    /// Values are per CPU and to be combined.
    pub per_cpu: bool,
    /// For scalar maps: how to tell that the map was set. Keyed maps have an entry or none.
    pub presence: Presence,
}

/// How a scalar map tells that it holds something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// A present element is a value (keyed maps).
    Always,
    /// The u64 at this offset of the value is non-zero (on any CPU).
    NonZero(u32),
}

/// What the value of a map is, with its byte layout.
#[derive(Clone, Debug, PartialEq)]
pub enum ValueKind {
    /// Any value at offset 0.
    Plain(Shape),
    /// u64 at 0; CPUs are added.
    Count,
    /// 64-bit sum at 0, u64 "set" at 8; CPUs are added.
    Sum {
        /// Prints signed.
        signed: bool,
    },
    /// 64-bit minimum at 0, u64 "set" at 8.
    Min {
        /// Compares signed.
        signed: bool,
    },
    /// 64-bit maximum at 0, u64 "set" at 8.
    Max {
        /// Compares signed.
        signed: bool,
    },
    /// 64-bit total at 0, u64 count at 8; prints the average.
    Avg {
        /// Divides signed.
        signed: bool,
    },
    /// Like `Avg`; prints count, average, total.
    Stats {
        /// Signed.
        signed: bool,
    },
    /// u64 per bucket; see `hist_buckets` in `lang` for the numbering: bucket 0 negative, 1 zero, then log2 with `2^k` parts.
    Hist {
        /// Bits of sub-buckets, 0..=5.
        k: u8,
        /// Number of buckets.
        buckets: u32,
    },
    /// u64 per bucket: 0 underflow, then `(max - min) / step`, last overflow.
    Lhist {
        /// First bucket's lower bound.
        min: i64,
        /// Upper bound.
        max: i64,
        /// Width.
        step: i64,
        /// Number of buckets with under- and overflow.
        buckets: u32,
    },
    /// Ring of intervals: `count` times { u64 epoch (time / interval; 0: never), i64 value, i64 meta (number of values for avg, set flag otherwise) }.
    Tseries {
        /// Length of an interval, ns.
        interval_ns: u64,
        /// Intervals.
        count: u32,
        /// How values of one interval combine.
        agg: TseriesAgg,
        /// Values are signed.
        signed: bool,
    },
}

/// How values of one interval of a time series combine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TseriesAgg {
    /// The latest.
    Last,
    /// Mean.
    Avg,
    /// Largest.
    Max,
    /// Smallest.
    Min,
    /// Sum.
    Sum,
}

/// A value within a record.
#[derive(Clone, Debug, PartialEq)]
pub struct RecordField {
    /// Byte offset in the record (the action's u32 included, so the first is at 4 or more).
    pub offset: u32,
    /// What it is.
    pub shape: Shape,
}

/// What user space does with a record. Every record begins with the u32 index of its action; fields follow at fixed
/// offsets; bytes of [`Shape::TailStr`] fields follow behind `fixed_size`, in order.
#[derive(Clone, Debug, PartialEq)]
pub struct Action {
    /// Bytes of the fixed part (with the leading u32).
    pub fixed_size: u32,
    /// The values.
    pub fields: Vec<RecordField>,
    /// What to do.
    pub kind: ActionKind,
    /// For which source text.
    pub loc: SrcLoc,
    /// Which clause produced it.
    pub clause: u32,
}

/// What user space does with a record.
#[derive(Clone, Debug, PartialEq)]
pub enum ActionKind {
    /// Formats the fields.
    Printf {
        /// Where to.
        to: PrintTo,
        /// printf format.
        format: Arc<str>,
    },
    /// Runs a shell command made of format and fields.
    System {
        /// Format.
        format: Arc<str>,
    },
    /// Prints a file whose name is made of format and fields.
    Cat {
        /// Format.
        format: Arc<str>,
    },
    /// Prints the wall-clock time.
    Time {
        /// strftime format.
        format: Arc<str>,
    },
    /// Joins the fields (strings) up to the first empty one after the end marker: field 0 is the u32 count of strings.
    Join {
        /// Between the strings.
        separator: Arc<str>,
    },
    /// Prints field 0.
    PrintValue,
    /// Prints a whole map.
    PrintMap {
        /// Which.
        map: MapId,
        /// Only the last n; 0: all.
        top: u32,
        /// Divide by; 0 or 1: as is.
        div: u32,
        /// A [`ActionKind::Clear`] of the map follows for sure: what is printed is taken out in the same step, so that no update in
        /// between is lost.
        take: bool,
    },
    /// Prints one element: field 0 is the key (absent for scalar maps), field 1 the value (layout of the map's [`ValueKind`], combined
    /// over CPUs by user space: the program sends only the key).
    PrintMapElement {
        /// Which.
        map: MapId,
    },
    /// Removes all elements.
    Clear {
        /// Which.
        map: MapId,
    },
    /// Sets all values to zero.
    Zero {
        /// Which.
        map: MapId,
    },
    /// Ends the session; field 0 is the exit code (i64). Records behind it are still printed only if older.
    Exit,
    /// A failed helper: field 0 is the i64 return code.
    HelperError {
        /// Name of the helper.
        helper: String,
        /// What the user should know, e.g. `Map full; can't update element`; empty: only the error's own text.
        message: Arc<str>,
        /// Shown only with `-k`.
        only_verbose: bool,
    },
    /// Something else that went wrong while running (division by zero, index out of bounds).
    RuntimeError {
        /// What.
        message: Arc<str>,
    },
    /// Stops watching the address in field 0.
    Unwatch,
    /// Appends a packet to a pcap file: field 0 u64 time (ns), field 1 a buffer.
    Packet {
        /// File.
        path: Arc<str>,
    },
}

/// Destination of formatted text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PrintTo {
    /// Standard output.
    Out,
    /// `errorf`: as an error with location.
    Error,
    /// `warnf`: as a warning with location.
    Warning,
}
