//! `tracepoint:CATEGORY:EVENT`: static events of the kernel as tracefs names them.
//!
//! Mechanisms, cheapest first:
//! - `syscalls:sys_enter_X` and `sys_exit_X` have no tracepoint of their own; all share raw `sys_enter`/`sys_exit` and are told apart
//!   by number. Their arguments are the caller's registers, so nothing of the tracefs record is needed.
//! - Any other event whose tracepoint BTF knows (`btf_trace_EVENT`) can be a raw tracepoint, if the clause reads no arguments: the raw
//!   arguments are not those of the record.
//! - Else a perf event, whose program reads the record that tracefs's `format` file describes.

use crate::facts::KernelFacts;
use crate::provider::{Listing, Provider, Request, Side};
use crate::wildcard;
use fathom_bpf::kinds::{AttachKind, ProgKind};
use fathom_codegen::program::{Attach, BtfTarget, Refusal};
use fathom_lang::facts::{Arg, ArgSet, ArgType, Carrier, Context, Resolution, Select, SyscallArg, Target};
use fathom_symbols::syscalls;
use fathom_symbols::tp_format::{Field, FieldPlace, TpFormat};
use std::sync::Arc;

/// `tracepoint:CATEGORY:EVENT`.
pub static TRACEPOINT: Provider = Provider {
    name: "tracepoint",
    aliases: &["t"],
    probe_type: "tracepoint",
    side: Side::Kernel,
    forms: &["tracepoint:CATEGORY:EVENT"],
    doc: "Static events of the kernel. Fields of the event are read as args.NAME.",
    resolve,
    list,
};

fn list(facts: &KernelFacts, listing: &Listing<'_>) -> Vec<String> {
    let (category, event) = match listing.parts {
        [] => ("*", "*"),
        [one] => {
            // `t:*x*` looks at the joined name.
            let mut found = events(facts, "*", "*");
            found.retain(|(c, e)| wildcard::matches(one, &format!("{c}:{e}")));
            return found.into_iter().map(|(c, e)| format!("{c}:{e}")).collect();
        }
        [category, event, ..] => (category.as_str(), event.as_str()),
    };
    events(facts, category, event).into_iter().map(|(c, e)| format!("{c}:{e}")).collect()
}

/// Events whose category and name fit, sorted. Events of tracefs itself (`ftrace:*`) are no tracepoints.
fn events(facts: &KernelFacts, category: &str, event: &str) -> Vec<(String, String)> {
    let Some(tracefs) = facts.tracefs() else { return Vec::new() };
    let categories = match wildcard::is_pattern(category) {
        false => vec![category.to_owned()],
        true => tracefs.categories().unwrap_or_default(),
    };
    let mut found = Vec::new();
    for c in categories.into_iter().filter(|c| c != "ftrace" && wildcard::matches(category, c)) {
        if !wildcard::is_pattern(event) {
            if tracefs.has_event(&c, event) {
                found.push((c, event.to_owned()));
            }
            continue;
        }
        let names = tracefs.events(&c).unwrap_or_default();
        found.extend(names.into_iter().filter(|e| wildcard::matches(event, e)).map(|e| (c.clone(), e)));
    }
    found
}

fn resolve(facts: &KernelFacts, request: &Request<'_>) -> Resolution {
    let (category, event) = match request.parts {
        [category, event] if !category.is_empty() && !event.is_empty() => (category, event),
        _ => return request.malformed("tracepoint probe must have a category and an event"),
    };
    if let Err(why) = facts.find_tracefs() {
        let text = format!("tracepoint:{category}:{event}: {why}");
        return crate::provider::error(text, None);
    }
    let targets: Vec<Target> =
        events(facts, category, event).iter().filter_map(|(c, e)| target(facts, request, c, e)).collect();
    if targets.is_empty() {
        return request.no_match();
    }
    Resolution { targets, ..Resolution::default() }
}

/// Which half of a system call an event is, and its number.
fn syscall_of(category: &str, event: &str) -> Option<(bool, u32)> {
    if category != "syscalls" {
        return None;
    }
    let (enter, name) = match event.strip_prefix("sys_enter_") {
        Some(name) => (true, name),
        None => (false, event.strip_prefix("sys_exit_")?),
    };
    Some((enter, syscalls::number_of_tracepoint(name)?))
}

/// Arguments of an event and their offsets in its record.
fn arguments(facts: &KernelFacts, category: &str, event: &str) -> Option<(Vec<Arg>, Vec<u32>)> {
    let format = facts.tracefs()?.event_format(category, event).ok()?;
    let format = TpFormat::parse(&format).ok()?;
    let fields = format.fields.iter().filter(|f| !f.is_common).map(|field| {
        let arg = Arg {
            name: field.name.as_str().into(),
            ty: ArgType::Text { text: type_text(field), size: field.size, signed: field.is_signed },
            data_loc: field.place != FieldPlace::Inline,
        };
        (arg, field.offset)
    });
    Some(fields.unzip())
}

fn target(facts: &KernelFacts, request: &Request<'_>, category: &str, event: &str) -> Option<Target> {
    let names = request.whole.names;
    // A file has to be read for each event: hundreds for a pattern.
    let (args, offsets) = match names.args || names.retval {
        true => arguments(facts, category, event)?,
        false => (Vec::new(), Vec::new()),
    };
    let syscall = syscall_of(category, event);
    let mut carriers = Vec::new();
    if let Some((enter, number)) = syscall {
        carriers.extend(syscall_carriers(facts, enter, Some(number), syscall_args(&args, enter)));
    } else if category == "raw_syscalls" {
        let enter = event == "sys_enter";
        carriers.extend(syscall_carriers(facts, enter, None, raw_syscall_args(&args)));
    } else if facts.raw_tracepoint(event).is_some() {
        carriers.push(Carrier {
            kind: ProgKind::RAW_TRACEPOINT,
            attach_kind: None,
            attach_btf: None,
            sleepable: false,
            how: Attach::RawTracepoint { name: event.to_owned() },
            context: Context::Opaque,
            select: None,
            has_cookie: facts.has_raw_tracepoint_cookie(),
            mechanism: "raw tracepoint",
        });
    }
    carriers.push(Carrier {
        kind: ProgKind::TRACEPOINT,
        attach_kind: None,
        attach_btf: None,
        sleepable: false,
        how: Attach::Tracepoint { category: category.to_owned(), event: event.to_owned() },
        context: Context::Record { offsets },
        select: None,
        has_cookie: true,
        mechanism: "perf tracepoint",
    });
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

/// C text of a field's type without its name.
fn type_text(field: &Field) -> String {
    match (field.place, field.array_len) {
        (FieldPlace::Inline, Some(len)) => format!("{}[{len}]", field.ty),
        (FieldPlace::Inline, None) => field.ty.clone(),
        _ => format!("{}[]", field.ty),
    }
}

/// Arguments of `syscalls:sys_*`: the number, then the registers in order; or the return value.
fn syscall_args(args: &[Arg], enter: bool) -> Vec<SyscallArg> {
    let mut next = 0;
    let mut place = |arg: &Arg| match &*arg.name {
        "__syscall_nr" => SyscallArg::Number,
        _ if !enter => SyscallArg::Return,
        _ => {
            next += 1;
            SyscallArg::Arg(next - 1)
        }
    };
    args.iter().map(&mut place).collect()
}

fn raw_syscall_args(args: &[Arg]) -> Vec<SyscallArg> {
    let place = |arg: &Arg| match &*arg.name {
        "id" => SyscallArg::Number,
        "args" => SyscallArg::AllArgs,
        _ => SyscallArg::Return,
    };
    args.iter().map(place).collect()
}

/// Carriers over raw `sys_enter` or `sys_exit`. With BTF the registers are read without a helper call; a program that needs no register does
/// without BTF, which need not even be opened then.
fn syscall_carriers(
    facts: &KernelFacts,
    enter: bool,
    number: Option<u32>,
    args: Vec<SyscallArg>,
) -> Vec<Carrier> {
    let name = if enter { "sys_enter" } else { "sys_exit" };
    let context = match enter {
        true => Context::SyscallEnter { args },
        false => Context::SyscallExit { args },
    };
    let select = number.map(|number| Select::Syscall { number });
    let mut carriers = Vec::new();
    if number.is_some() {
        if let Some(id) = facts.raw_tracepoint(name) {
            carriers.push(Carrier {
                kind: ProgKind::TRACING,
                attach_kind: Some(AttachKind::TRACE_RAW_TP),
                attach_btf: Some(BtfTarget { module: "vmlinux".into(), id }),
                sleepable: false,
                how: Attach::Tracing,
                context: context.clone(),
                select,
                has_cookie: false,
                mechanism: "BTF raw tracepoint of all system calls",
            });
        }
    }
    carriers.push(Carrier {
        kind: ProgKind::RAW_TRACEPOINT,
        attach_kind: None,
        attach_btf: None,
        sleepable: false,
        how: Attach::RawTracepoint { name: name.to_owned() },
        context,
        select,
        has_cookie: false,
        mechanism: "raw tracepoint",
    });
    carriers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn system_calls_are_recognised_by_event_name() {
        assert_eq!(syscall_of("syscalls", "sys_enter_openat"), Some((true, 257)));
        assert_eq!(syscall_of("syscalls", "sys_exit_newstat"), Some((false, 4)));
        assert_eq!(syscall_of("syscalls", "sys_enter_nonsense"), None);
        assert_eq!(syscall_of("sched", "sys_enter_openat"), None);
    }

    #[test]
    fn syscall_arguments_are_registers_in_order() {
        let arg = |name: &str| Arg {
            name: name.into(),
            ty: ArgType::Text { text: "int".into(), size: 4, signed: true },
            data_loc: false,
        };
        let args = [arg("__syscall_nr"), arg("dfd"), arg("filename")];
        assert_eq!(syscall_args(&args, true), [SyscallArg::Number, SyscallArg::Arg(0), SyscallArg::Arg(1)]);
        let args = [arg("__syscall_nr"), arg("ret")];
        assert_eq!(syscall_args(&args, false), [SyscallArg::Number, SyscallArg::Return]);
    }
}
