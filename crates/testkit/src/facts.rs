//! The recorded kernel as the compiler sees it: [`FixtureFacts`] answers every question the same way on every machine.

use crate::events;
use crate::types::Types;
use fathom_bpf::kinds::ProgKind;
use fathom_codegen::program::{Attach, PerfCpus, Refusal, RunWhen};
use fathom_lang::facts::{
    Arg, ArgSet, ArgType, Carrier, Context, Facts, Feature, ProbeError, ProbeRequest, Resolution, Select,
    SyscallArg, Target, TypeSpace,
};
use fathom_lang::types::{CType, CTypeId};
use fathom_symbols::syscalls;
use fathom_symbols::tp_format::FieldPlace;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

/// Address of every known kernel symbol, further ones follow.
const SYMBOLS_START: u64 = 0xffff_ffff_8100_0000;
/// A parameter of a function: name, C type, bytes.
type Parameter = (&'static str, &'static str, u32);
/// Functions that can be probed.
const FUNCTIONS: &[(&str, &[Parameter])] = &[
    ("do_nanosleep", &[("t", "struct hrtimer_sleeper *", 8), ("mode", "int", 4)]),
    ("vfs_open", &[("path", "const struct path *", 8), ("file", "struct file *", 8)]),
    (
        "vfs_read",
        &[("file", "struct file *", 8), ("buf", "char *", 8), ("count", "size_t", 8), ("pos", "u64 *", 8)],
    ),
    (
        "vfs_write",
        &[
            ("file", "struct file *", 8),
            ("buf", "const char *", 8),
            ("count", "size_t", 8),
            ("pos", "u64 *", 8),
        ],
    ),
];

/// The recorded kernel.
pub struct FixtureFacts {
    types: Types,
    /// Files that `import` and `#include` find: name to text.
    pub files: BTreeMap<String, String>,
    /// Features that the kernel lacks.
    pub missing: HashSet<Feature>,
}

impl Default for FixtureFacts {
    fn default() -> FixtureFacts {
        FixtureFacts::new()
    }
}

impl FixtureFacts {
    /// A kernel with every feature and no files.
    pub fn new() -> FixtureFacts {
        FixtureFacts { types: Types::recorded(), files: BTreeMap::new(), missing: HashSet::new() }
    }
}

/// How a kind of probe is resolved: parts behind the provider's name.
type Resolve = fn(&Kind, &[String]) -> Resolution;

/// A kind of probe.
struct Kind {
    name: &'static str,
    aliases: &'static [&'static str],
    probe_type: &'static str,
    resolve: Resolve,
}

const fn kind(
    name: &'static str,
    aliases: &'static [&'static str],
    probe_type: &'static str,
    resolve: Resolve,
) -> Kind {
    Kind { name, aliases, probe_type, resolve }
}

static KINDS: &[Kind] = &[
    kind("begin", &[], "special", |k, _| run(k, "begin", RunWhen::Begin)),
    kind("end", &[], "special", |k, _| run(k, "end", RunWhen::End)),
    kind("test", &[], "special", |k, p| run(k, &format!("test:{}", p.join(":")), RunWhen::Test)),
    kind("bench", &[], "special", |k, p| run(k, &format!("bench:{}", p.join(":")), RunWhen::Bench)),
    kind("self", &[], "special", |k, p| run(k, &format!("self:{}", p.join(":")), RunWhen::Signal(10))),
    kind("interval", &["i"], "interval", timer),
    kind("profile", &["p"], "profile", timer),
    kind("software", &["s"], "software", timer),
    kind("tracepoint", &["t"], "tracepoint", tracepoint),
    kind("rawtracepoint", &["rt"], "rawtracepoint", raw_tracepoint),
    kind("kprobe", &["k"], "kprobe", |k, p| function(k, p, false)),
    kind("kretprobe", &["kr"], "kprobe", |k, p| function(k, p, true)),
    kind("fentry", &["kfunc"], "fentry", fentry),
    kind("uprobe", &["u"], "uprobe", |k, p| user_function(k, p, false)),
    kind("uretprobe", &["ur"], "uprobe", |k, p| user_function(k, p, true)),
];

fn one(kind: &Kind, name: String, func: Option<String>, args: ArgSet, carriers: Vec<Carrier>) -> Resolution {
    let target = Target {
        name,
        provider: kind.name,
        probe_type: kind.probe_type,
        refusal: Refusal::default(),
        func,
        args: Arc::new(args),
        carriers,
    };
    Resolution { targets: vec![target], ..Resolution::default() }
}

fn error(message: String) -> Resolution {
    Resolution { error: Some(ProbeError { message, hint: None }), ..Resolution::default() }
}

fn missing(kind: &Kind, parts: &[String]) -> Resolution {
    let text = format!("No matches for {} {}.", kind.name, parts.join(":"));
    Resolution { missing: Some(text), ..Resolution::default() }
}

fn carrier(prog: ProgKind, how: Attach, context: Context) -> Carrier {
    Carrier {
        kind: prog,
        attach_kind: None,
        attach_btf: None,
        sleepable: false,
        how,
        context,
        select: None,
        has_cookie: true,
        mechanism: "recorded",
    }
}

fn no_args(kind: &Kind) -> ArgSet {
    ArgSet { unavailable: Some(format!("{} probes have no arguments", kind.name)), ..ArgSet::default() }
}

fn run(kind: &Kind, name: &str, when: RunWhen) -> Resolution {
    let carrier = Carrier {
        has_cookie: false,
        ..carrier(ProgKind::RAW_TRACEPOINT, Attach::Run(when), Context::Opaque)
    };
    one(kind, name.to_owned(), None, no_args(kind), vec![carrier])
}

fn timer(kind: &Kind, parts: &[String]) -> Resolution {
    const PERF_TYPE_SOFTWARE: u32 = 1;
    if parts.is_empty() || parts.len() > 2 {
        return error(format!("{} probe must have unit of time and a number", kind.name));
    }
    let how = Attach::Perf {
        event_type: PERF_TYPE_SOFTWARE,
        config: 0,
        period: 1_000_000,
        is_freq: false,
        cpus: if kind.name == "interval" { PerfCpus::One } else { PerfCpus::All },
        pid: None,
    };
    let carrier = carrier(ProgKind::PERF_EVENT, how, Context::PerfEvent);
    one(kind, format!("{}:{}", kind.name, parts.join(":")), None, no_args(kind), vec![carrier])
}

fn fits(pattern: &str, name: &str) -> bool {
    fathom_probes::wildcard::matches(pattern, name)
}

fn tracepoint(kind: &Kind, parts: &[String]) -> Resolution {
    let [category, event] = parts else {
        return error("tracepoint probe must have a category and an event".into());
    };
    let found = events::EVENTS.iter().filter(|e| fits(category, e.category) && fits(event, e.event));
    let targets: Vec<Target> = found.filter_map(tracepoint_target).collect();
    if targets.is_empty() {
        return missing(kind, parts);
    }
    Resolution { targets, ..Resolution::default() }
}

fn tracepoint_target(recorded: &events::Recorded) -> Option<Target> {
    let format = recorded.parsed()?;
    let fields: Vec<_> = format.fields.iter().filter(|f| !f.is_common).collect();
    let args: Vec<Arg> = fields
        .iter()
        .map(|f| {
            let text = match (f.place, f.array_len) {
                (FieldPlace::Inline, None) => f.ty.clone(),
                (FieldPlace::Inline, Some(len)) => format!("{}[{len}]", f.ty),
                _ => format!("{}[]", f.ty),
            };
            let ty = ArgType::Text { text, size: f.size, signed: f.is_signed };
            Arg { name: f.name.as_str().into(), ty, data_loc: f.place != FieldPlace::Inline }
        })
        .collect();
    let (category, event) = (recorded.category.to_owned(), recorded.event.to_owned());
    let mut carriers: Vec<Carrier> = syscall_carrier(recorded, &args).into_iter().collect();
    let offsets = fields.iter().map(|f| f.offset).collect();
    let how = Attach::Tracepoint { category: category.clone(), event: event.clone() };
    carriers.push(carrier(ProgKind::TRACEPOINT, how, Context::Record { offsets }));
    Some(Target {
        name: format!("tracepoint:{category}:{event}"),
        provider: "tracepoint",
        probe_type: "tracepoint",
        refusal: Refusal::default(),
        func: None,
        args: Arc::new(ArgSet { args, ..ArgSet::default() }),
        carriers,
    })
}

/// System call events are raw `sys_enter` and `sys_exit`, told apart by number.
fn syscall_carrier(recorded: &events::Recorded, args: &[Arg]) -> Option<Carrier> {
    let (enter, number) = match (recorded.category, recorded.event) {
        ("raw_syscalls", event) => (event == "sys_enter", None),
        ("syscalls", event) => match event.strip_prefix("sys_enter_") {
            Some(name) => (true, Some(syscalls::number_of_tracepoint(name)?)),
            None => (false, Some(syscalls::number_of_tracepoint(event.strip_prefix("sys_exit_")?)?)),
        },
        _ => return None,
    };
    let mut register = 0;
    let mut place = |arg: &Arg| match &*arg.name {
        "id" | "__syscall_nr" => SyscallArg::Number,
        "args" => SyscallArg::AllArgs,
        _ if !enter => SyscallArg::Return,
        _ => {
            register += 1;
            SyscallArg::Arg(register - 1)
        }
    };
    let args = args.iter().map(&mut place).collect();
    let name = if enter { "sys_enter" } else { "sys_exit" };
    let context = if enter { Context::SyscallEnter { args } } else { Context::SyscallExit { args } };
    let select = number.map(|number| Select::Syscall { number });
    let raw = carrier(ProgKind::RAW_TRACEPOINT, Attach::RawTracepoint { name: name.into() }, context);
    Some(Carrier { select, has_cookie: false, ..raw })
}

fn raw_tracepoint(kind: &Kind, parts: &[String]) -> Resolution {
    let event = parts.last().map_or("", String::as_str);
    let names: &[&str] = match event {
        "sys_enter" => &["regs", "id"],
        "sys_exit" => &["regs", "ret"],
        _ => return missing(kind, parts),
    };
    let ty = || ArgType::Text { text: "long".into(), size: 8, signed: true };
    let args = names.iter().map(|n| Arg { name: (*n).into(), ty: ty(), data_loc: false }).collect();
    let how = Attach::RawTracepoint { name: event.to_owned() };
    let carrier = carrier(ProgKind::RAW_TRACEPOINT, how, Context::Array { trusted: false });
    let args = ArgSet { args, ..ArgSet::default() };
    one(kind, format!("rawtracepoint:vmlinux:{event}"), None, args, vec![carrier])
}

fn typed_args(parameters: &[Parameter]) -> Vec<Arg> {
    let arg = |(name, text, size): &Parameter| Arg {
        name: (*name).into(),
        ty: ArgType::Text { text: (*text).to_owned(), size: *size, signed: *size == 4 },
        data_loc: false,
    };
    parameters.iter().map(arg).collect()
}

fn function(kind: &Kind, parts: &[String], ret: bool) -> Resolution {
    let pattern = parts.last().map_or("", String::as_str);
    let found = FUNCTIONS.iter().filter(|f| fits(pattern, f.0));
    let targets = found.flat_map(|(name, parameters)| {
        let how = Attach::Kprobe { symbol: (*name).to_owned(), module: None, offset: 0, ret };
        let carrier = carrier(ProgKind::KPROBE, how, Context::Registers { at_return: ret });
        let args =
            if ret { no_args(kind) } else { ArgSet { args: typed_args(parameters), ..ArgSet::default() } };
        one(kind, format!("{}:{name}", kind.name), Some((*name).to_owned()), args, vec![carrier]).targets
    });
    let targets: Vec<Target> = targets.collect();
    if targets.is_empty() {
        return missing(kind, parts);
    }
    Resolution { targets, ..Resolution::default() }
}

fn fentry(kind: &Kind, parts: &[String]) -> Resolution {
    let wanted = parts.last().map_or("", String::as_str);
    let Some((name, parameters)) = FUNCTIONS.iter().find(|f| f.0 == wanted) else {
        return missing(kind, parts);
    };
    let how = Attach::Tracing;
    let carrier = carrier(ProgKind::TRACING, how, Context::Array { trusted: true });
    let args = ArgSet { args: typed_args(parameters), ..ArgSet::default() };
    one(kind, format!("fentry:vmlinux:{name}"), Some((*name).to_owned()), args, vec![carrier])
}

fn user_function(kind: &Kind, parts: &[String], ret: bool) -> Resolution {
    let [path, function] = parts else {
        return error(format!("{} probe must have a target and a function", kind.name));
    };
    let how = Attach::Uprobe { path: path.clone(), offset: 0x1000, ref_ctr_offset: 0, pid: None, ret };
    let carrier = carrier(ProgKind::KPROBE, how, Context::Registers { at_return: ret });
    one(
        kind,
        format!("{}:{path}:{function}", kind.name),
        Some(function.clone()),
        no_args(kind),
        vec![carrier],
    )
}

impl Facts for FixtureFacts {
    fn find_type(&self, space: TypeSpace, name: &str) -> Option<CTypeId> {
        self.types.find(space, name)
    }

    fn c_type(&self, id: CTypeId) -> CType {
        self.types.get(id)
    }

    fn find_enum_value(&self, name: &str) -> Option<(CTypeId, i64)> {
        self.types.enumerator(name)
    }

    fn has_types(&self) -> bool {
        true
    }

    fn resolve(&self, request: &ProbeRequest) -> Resolution {
        let Some((first, rest)) = request.parts.split_first() else {
            return error("Invalid probe type: ".into());
        };
        let name = first.to_ascii_lowercase();
        match KINDS.iter().find(|k| k.name == name || k.aliases.contains(&name.as_str())) {
            Some(kind) => (kind.resolve)(kind, rest),
            None => error(format!("Invalid probe type: {first}")),
        }
    }

    fn has(&self, feature: Feature) -> bool {
        !self.missing.contains(&feature)
    }

    fn kernel_symbol(&self, name: &str) -> Option<u64> {
        let at = FUNCTIONS.iter().position(|f| f.0 == name)?;
        Some(SYMBOLS_START + 4096 * at as u64)
    }

    fn user_symbol(&self, _: &str, name: &str) -> Option<(u64, u64)> {
        (name == "main").then_some((0x1000, 64))
    }

    fn cgroup_id(&self, path: &str) -> Result<u64, String> {
        match path {
            "/sys/fs/cgroup" => Ok(1),
            _ => Err("No such file or directory".into()),
        }
    }

    fn has_kfunc(&self, name: &str) -> bool {
        fathom_bpf::interp::sim::SimHost::new(1).kfunc_id(name).is_some()
    }

    fn possible_cpus(&self) -> u32 {
        2
    }

    fn read_import(&self, path: &str, _: Option<&str>) -> Result<Vec<(String, String)>, String> {
        match self.files.get(path) {
            Some(text) => Ok(vec![(path.to_owned(), text.clone())]),
            None => Err("No such file or directory".into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(text: &str) -> Resolution {
        let parts = text.split(':').map(str::to_owned).collect();
        FixtureFacts::new().resolve(&ProbeRequest { raw: text.into(), parts, ..ProbeRequest::default() })
    }

    #[test]
    fn attach_points_resolve_to_targets() {
        assert_eq!(resolve("BEGIN").targets[0].name, "begin");
        assert_eq!(resolve("k:vfs_*").targets.len(), 3);
        assert_eq!(resolve("t:syscalls:sys_*_openat").targets.len(), 2);
        assert!(resolve("t:sched:nothing").missing.is_some());
        assert!(resolve("nonsense:x").error.is_some());
    }

    #[test]
    fn system_calls_are_selected_by_number() {
        let r = resolve("tracepoint:syscalls:sys_enter_openat");
        let first = &r.targets[0].carriers[0];
        assert_eq!(first.select, Some(Select::Syscall { number: 257 }));
        let Context::SyscallEnter { args } = &first.context else { panic!("{:?}", first.context) };
        assert_eq!(args[..3], [SyscallArg::Number, SyscallArg::Arg(0), SyscallArg::Arg(1)]);
    }
}
