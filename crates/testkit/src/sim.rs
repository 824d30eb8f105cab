//! A session without a kernel: a compiled program in the interpreter, fed with scripted events, printed by the runtime's own decoder.
//!
//! What it does not have: stacks with symbols, names of users and cgroups, `system`, `cat` of real files.

use crate::{events, task};
use fathom_bpf::insn::Insn;
use fathom_bpf::interp::sim::{MapSpec, SimHost};
use fathom_bpf::interp::{Interp, Space};
use fathom_bpf::kinds::{MapKind, ProgKind};
use fathom_codegen::ir::LoadConst;
use fathom_codegen::program::{ActionKind, Attach, MapRole, Program, RelocTarget, RunWhen, Unit};
use fathom_kernel::Root;
use fathom_lang::compile::{self, Options, Source};
use fathom_lang::facts::Facts;
use fathom_probes::facts::{FactsOptions, KernelFacts};
use fathom_report::{MapData, Output, PrintArgs, TextOutput};
use fathom_runtime::actions::{Actions, Flow};
use fathom_runtime::decode::{half, Decoder};
use fathom_runtime::symbols::Names;
use fathom_runtime::user_maps;
use fathom_symbols::syscalls;
use fathom_symbols::tp_format::FieldPlace;
use std::collections::BTreeMap;

/// Bytes of the simulated ring.
const RING_BYTES: u32 = 1 << 18;
/// Bytes of `struct pt_regs` on x86-64.
const PT_REGS_BYTES: usize = 168;
/// Offsets in `struct pt_regs` of the arguments of functions, and of system calls.
const FUNCTION_ARGS: [usize; 6] = [112, 104, 96, 88, 72, 64];
const SYSCALL_ARGS: [usize; 6] = [112, 104, 96, 56, 72, 64];
const RETURN_VALUE: usize = 80;
const SYSCALL_NUMBER: usize = 120;

/// Something that happens in the recorded kernel.
#[derive(Clone, Debug, Default)]
pub struct Event {
    probe: String,
    cpu: usize,
    pid: u32,
    comm: String,
    after_ns: u64,
    numbers: BTreeMap<String, u64>,
    texts: BTreeMap<String, String>,
}

impl Event {
    /// A probe fires, named as the builtin `probe` names it: `tracepoint:sched:sched_switch`, `kprobe:vfs_read`.
    pub fn new(probe: &str) -> Event {
        Event { probe: probe.to_owned(), pid: 100, comm: "bash".into(), ..Event::default() }
    }

    /// On this CPU.
    #[must_use]
    pub fn cpu(mut self, cpu: usize) -> Event {
        self.cpu = cpu;
        self
    }

    /// In this task.
    #[must_use]
    pub fn task(mut self, pid: u32, comm: &str) -> Event {
        self.pid = pid;
        self.comm = comm.to_owned();
        self
    }

    /// So long after the event before.
    #[must_use]
    pub fn after_ns(mut self, ns: u64) -> Event {
        self.after_ns = ns;
        self
    }

    /// A field (or argument `arg0` ..., `retval`, `id`) has this number.
    #[must_use]
    pub fn with(mut self, field: &str, value: i64) -> Event {
        self.numbers.insert(field.to_owned(), value as u64);
        self
    }

    /// A field has this text: inline, or in user memory where the field is a pointer.
    #[must_use]
    pub fn text(mut self, field: &str, text: &str) -> Event {
        self.texts.insert(field.to_owned(), text.to_owned());
        self
    }
}

/// A compiled program with its simulated kernel.
pub struct Sim {
    program: Program,
    host: SimHost,
    fds: Vec<i32>,
    code: Vec<Vec<Insn>>,
    out: Vec<u8>,
    exit: Option<i32>,
}

impl Sim {
    /// Compiles a script for recorded facts.
    ///
    /// # Errors
    /// The rendered diagnostics, or what the simulated kernel lacks.
    pub fn new(script: &str, facts: &dyn Facts) -> Result<Sim, String> {
        Sim::with_options(script, facts, &Options::default())
    }

    /// As [`Sim::new`], with options of the command line.
    ///
    /// # Errors
    /// As [`Sim::new`].
    pub fn with_options(script: &str, facts: &dyn Facts, options: &Options) -> Result<Sim, String> {
        let source = Source { name: "stdin".into(), text: script.to_owned() };
        let c = compile::compile(&source, facts, options);
        let shown = fathom_syntax::render::render(&c.diagnostics, &c.sources, &c.expansions, false);
        match c.program {
            Some(program) => Sim::of_program(program),
            None => Err(shown),
        }
    }

    /// Prepares a program.
    ///
    /// # Errors
    /// A map or kernel function that the simulated kernel lacks.
    pub fn of_program(program: Program) -> Result<Sim, String> {
        let mut host = SimHost::new(2);
        task::map_task(&mut host);
        let mut fds = Vec::new();
        for def in &program.maps {
            let is_ring = def.role == MapRole::Events && def.kind == MapKind::RINGBUF;
            let entries = if is_ring { RING_BYTES } else { def.max_entries };
            let mut spec = MapSpec::new(def.kind, def.key_size, def.value_size, entries);
            spec.flags = def.flags;
            let fd = host.add_map(spec).map_err(|e| format!("map {}: {e}", def.name))?;
            for (key, value) in &def.init {
                host.update(fd, key, value, 0).map_err(|e| format!("map {}: errno {e}", def.name))?;
            }
            fds.push(fd);
        }
        let code = program.units.iter().map(|u| relocate(u, &host, &fds)).collect::<Result<_, _>>()?;
        Ok(Sim { program, host, fds, code, out: Vec::new(), exit: None })
    }

    /// The simulated kernel, to set memory, task and clock.
    pub fn host(&mut self) -> &mut SimHost {
        &mut self.host
    }

    /// The exit code, once the script has asked for the end.
    pub fn exit_code(&self) -> Option<i32> {
        self.exit
    }

    /// From begin to end: everything that the script prints, its maps last.
    ///
    /// # Errors
    /// The fault of an instruction, which the kernel's verifier would have refused.
    pub fn session(mut self, events: &[Event]) -> Result<String, String> {
        self.moment(&RunWhen::Begin)?;
        for event in events {
            if self.exit.is_some() {
                break;
            }
            self.fire(event)?;
        }
        let asked = self.exit.take();
        self.moment(&RunWhen::End)?;
        self.exit = asked.or(self.exit);
        self.print_maps()?;
        Ok(String::from_utf8_lossy(&self.out).into_owned())
    }

    /// Runs the units of a moment of the session.
    ///
    /// # Errors
    /// As [`Sim::session`].
    pub fn moment(&mut self, when: &RunWhen) -> Result<(), String> {
        for index in 0..self.program.units.len() {
            let Some(unit) = self.program.units.get(index) else { break };
            let is_due = |how: &Attach| matches!(how, Attach::Run(w) if w == when);
            if self.exit.is_none() && unit.attachments.iter().any(|a| is_due(&a.how)) {
                self.run_unit(index, &mut vec![0; 8])?;
            }
        }
        Ok(())
    }

    /// Runs what an event triggers.
    ///
    /// # Errors
    /// As [`Sim::session`].
    pub fn fire(&mut self, event: &Event) -> Result<(), String> {
        self.host.cpu = event.cpu.min(self.host.cpus() - 1);
        self.host.clock.mono_ns += event.after_ns;
        self.host.task.pid = event.pid;
        self.host.task.tgid = event.pid;
        self.host.task.comm = event.comm.clone();
        task::update_task(&mut self.host);
        let carrier = raw_tracepoint_of(&event.probe);
        for index in 0..self.program.units.len() {
            let Some(unit) = self.program.units.get(index) else { break };
            let hit = unit.attachments.iter().find(|a| match (&a.how, carrier) {
                (Attach::RawTracepoint { name }, Some(carrier)) => name == carrier,
                _ => a.name == event.probe,
            });
            if let Some(attachment) = hit {
                self.host.attach_cookie = attachment.cookie;
                let mut ctx = self.context(unit.kind, event);
                self.run_unit(index, &mut ctx)?;
            }
        }
        Ok(())
    }

    fn run_unit(&mut self, index: usize, ctx: &mut Vec<u8>) -> Result<(), String> {
        let Some(code) = self.code.get(index) else { return Ok(()) };
        let name = self.program.units.get(index).map_or("", |u| u.name.as_str()).to_owned();
        let done = Interp::new(code, &mut self.host).run_ctx(ctx, false);
        done.map_err(|e| format!("{name}: instruction {}: {}: {}", e.slot, e.text, e.fault))?;
        self.drain()
    }

    /// What a program finds behind r1.
    fn context(&mut self, kind: ProgKind, event: &Event) -> Vec<u8> {
        match kind {
            ProgKind::TRACEPOINT => self.record(event),
            ProgKind::KPROBE => self.registers(event, &FUNCTION_ARGS, &numbered("arg")),
            ProgKind::RAW_TRACEPOINT | ProgKind::TRACING => match raw_tracepoint_of(&event.probe) {
                Some(carrier) => self.syscall(event, carrier),
                None => (0..8).flat_map(|i| self.value(event, &format!("arg{i}")).to_le_bytes()).collect(),
            },
            _ => vec![0; 256],
        }
    }

    /// A field's number; a text is put into user memory, and its address is the number.
    fn value(&mut self, event: &Event, field: &str) -> u64 {
        let Some(text) = event.texts.get(field) else {
            return event.numbers.get(field).copied().unwrap_or(0);
        };
        let mut bytes = text.as_bytes().to_vec();
        bytes.push(0);
        // Far apart, so that each field has pages of its own.
        let place = 0x10_0000 * (1 + field.bytes().fold(7u64, |h, b| (h * 31 + u64::from(b)) % 4096));
        self.host.memory.unmap(place);
        match self.host.memory.map_at(place, Space::User, bytes, true) {
            Ok(()) => place,
            Err(_) => 0,
        }
    }

    /// `struct pt_regs` with the named values in the registers at `places`.
    fn registers(&mut self, event: &Event, places: &[usize; 6], names: &[String]) -> Vec<u8> {
        let mut regs = vec![0; PT_REGS_BYTES];
        let mut set = |at: usize, value: u64| {
            if let Some(place) = regs.get_mut(at..at + 8) {
                place.copy_from_slice(&value.to_le_bytes());
            }
        };
        for (place, name) in places.iter().zip(names) {
            set(*place, self.value(event, name));
        }
        set(RETURN_VALUE, self.value(event, "retval"));
        set(SYSCALL_NUMBER, number_of(event));
        regs
    }

    /// Context of raw `sys_enter` and `sys_exit`.
    fn syscall(&mut self, event: &Event, carrier: &str) -> Vec<u8> {
        let names = match recorded(&event.probe).and_then(events::Recorded::parsed) {
            Some(format) if event.probe.contains(":syscalls:") => {
                let own = format.fields.into_iter().filter(|f| !f.is_common && f.name != "__syscall_nr");
                own.map(|f| f.name).collect()
            }
            _ => numbered("arg"),
        };
        let regs = self.registers(event, &SYSCALL_ARGS, &names);
        let regs = self.host.memory.map(Space::Kernel, regs, false);
        let second = if carrier == "sys_enter" { number_of(event) } else { self.value(event, "ret") };
        [regs, second].iter().flat_map(|w| w.to_le_bytes()).collect()
    }

    /// A tracefs record.
    fn record(&mut self, event: &Event) -> Vec<u8> {
        let Some(format) = recorded(&event.probe).and_then(events::Recorded::parsed) else {
            return vec![0; 64];
        };
        let mut bytes = vec![0; format.record_size() as usize];
        for field in format.fields.iter().filter(|f| !f.is_common) {
            let (at, size) = (field.offset as usize, field.size as usize);
            let text = event.texts.get(&field.name);
            let raw = match (field.place, text) {
                (FieldPlace::Inline, Some(text)) if field.array_len.is_some() => text.as_bytes().to_vec(),
                (FieldPlace::Inline, _) => self.value(event, &field.name).to_le_bytes().to_vec(),
                (_, text) => {
                    let start = bytes.len() as u32;
                    bytes.extend_from_slice(text.map_or("", String::as_str).as_bytes());
                    bytes.push(0);
                    let len = bytes.len() as u32 - start;
                    (len << 16 | start).to_le_bytes().to_vec()
                }
            };
            for (to, from) in bytes.iter_mut().skip(at).take(size).zip(raw) {
                *to = from;
            }
        }
        bytes
    }

    /// Prints what is in the ring.
    fn drain(&mut self) -> Result<(), String> {
        let rings = self.program.maps.iter().zip(&self.fds).filter(|(def, _)| def.role == MapRole::Events);
        let fds: Vec<i32> = rings.map(|(_, fd)| *fd).collect();
        for fd in fds {
            for record in self.host.take_records(fd) {
                if self.exit.is_none() {
                    self.handle(&record.bytes)?;
                }
            }
        }
        Ok(())
    }

    fn handle(&mut self, record: &[u8]) -> Result<(), String> {
        let action = self.program.actions.get(half(record, 0) as usize).cloned();
        let Some(action) = action else { return Err("a record of no action".into()) };
        match action.kind {
            ActionKind::PrintMap { map, top, div, take: _ } => {
                self.print_map(map.0 as usize, PrintArgs { top: top.into(), div: div.into() }, None)
            }
            ActionKind::PrintMapElement { map } => {
                let key = action.fields.first().and_then(|f| record.get(f.offset as usize..)).unwrap_or(&[]);
                self.print_map(map.0 as usize, PrintArgs::default(), Some(key.to_vec()))
            }
            ActionKind::Clear { map } => self.change(map.0 as usize, false),
            ActionKind::Zero { map } => self.change(map.0 as usize, true),
            _ => {
                let exit = with_decoder(&self.program, |decoder| {
                    let options = fathom_runtime::Options::default();
                    let mut out = TextOutput::new(&mut self.out, std::io::sink());
                    let mut actions = Actions::new(&self.program, &[], decoder, &options);
                    let flow = actions.handle(record, &mut out).map_err(|e| e.to_string())?;
                    out.flush().map_err(|e| e.to_string())?;
                    Ok::<_, String>(flow)
                })?;
                if let Flow::Exit(code) = exit {
                    self.exit = Some(code);
                }
                Ok(())
            }
        }
    }

    /// Clears a map or sets its values to zero.
    fn change(&mut self, index: usize, keep_keys: bool) -> Result<(), String> {
        let (Some(def), Some(fd)) = (self.program.maps.get(index), self.fds.get(index)) else {
            return Ok(());
        };
        for (key, _) in self.host.entries(*fd) {
            let done = match !keep_keys && def.kind.is_hash() {
                true => self.host.delete(*fd, &key),
                false => self.host.update(*fd, &key, &vec![0; def.value_size as usize], 0),
            };
            done.map_err(|e| format!("map {}: errno {e}", def.name))?;
        }
        Ok(())
    }

    fn print_map(&mut self, index: usize, args: PrintArgs, key: Option<Vec<u8>>) -> Result<(), String> {
        let Some(data) = self.map_data(index, key) else { return Ok(()) };
        let mut out = TextOutput::new(&mut self.out, std::io::sink());
        out.map(&data, args).and_then(|()| out.flush()).map_err(|e| e.to_string())
    }

    fn map_data(&self, index: usize, key: Option<Vec<u8>>) -> Option<MapData> {
        let (def, fd) = (self.program.maps.get(index)?, *self.fds.get(index)?);
        let user = user_maps::user_map(def)?;
        let mut elements = self.host.entries(fd);
        if let Some(key) = key {
            elements.retain(|(k, _)| key.starts_with(k));
        }
        let cells = elements.iter().map(|(k, values)| {
            let used = if user.per_cpu { values.len() } else { 1 };
            (k.as_slice(), values.iter().take(used).map(Vec::as_slice).collect())
        });
        Some(with_decoder(&self.program, |decoder| user_maps::decode(def, user, cells, decoder)))
    }

    /// The maps as at the end of a session: by name, empty ones left out.
    fn print_maps(&mut self) -> Result<(), String> {
        if !self.program.settings.print_maps_on_exit {
            return Ok(());
        }
        let mut all: Vec<MapData> = (0..self.fds.len())
            .filter_map(|i| self.map_data(i, None))
            .filter(|d| !d.entries.is_empty())
            .collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        let mut out = TextOutput::new(&mut self.out, std::io::sink());
        let print = |out: &mut dyn Output| {
            out.end_of_run()?;
            all.iter().try_for_each(|data| out.map(data, PrintArgs::default()))?;
            out.flush()
        };
        print(&mut out).map_err(|e| e.to_string())
    }
}

/// Lends a decoder over a system without anything in it.
fn with_decoder<R>(program: &Program, use_it: impl FnOnce(&Decoder<'_>) -> R) -> R {
    let facts = KernelFacts::new(Root::at("/nonexistent"), FactsOptions::default());
    let names = Names::new(&facts, true, false);
    use_it(&Decoder::new(program, &[], &names))
}

fn numbered(prefix: &str) -> Vec<String> {
    (0..6).map(|i| format!("{prefix}{i}")).collect()
}

fn recorded(probe: &str) -> Option<&'static events::Recorded> {
    let mut parts = probe.strip_prefix("tracepoint:")?.split(':');
    events::find(parts.next()?, parts.next()?)
}

/// Number of the system call that an event is about.
fn number_of(event: &Event) -> u64 {
    let named = event.probe.rsplit(':').next().unwrap_or_default();
    let name = named.strip_prefix("sys_enter_").or_else(|| named.strip_prefix("sys_exit_"));
    match name.and_then(syscalls::number_of_tracepoint) {
        Some(number) => number.into(),
        None => event.numbers.get("id").copied().unwrap_or(0),
    }
}

/// The raw tracepoint that system call events come from.
fn raw_tracepoint_of(probe: &str) -> Option<&'static str> {
    let event =
        probe.strip_prefix("tracepoint:raw_syscalls:").or_else(|| probe.strip_prefix("tracepoint:syscalls:"));
    match event.or_else(|| probe.strip_prefix("rawtracepoint:vmlinux:"))? {
        e if e.starts_with("sys_enter") => Some("sys_enter"),
        e if e.starts_with("sys_exit") => Some("sys_exit"),
        _ => None,
    }
}

fn relocate(unit: &Unit, host: &SimHost, fds: &[i32]) -> Result<Vec<Insn>, String> {
    const PSEUDO_MAP_FD: u8 = 1;
    const PSEUDO_MAP_VALUE: u8 = 2;
    const PSEUDO_KFUNC_CALL: u8 = 2;
    let mut insns = unit.insns.clone();
    for reloc in &unit.relocs {
        let at = reloc.insn as usize;
        let fd = |map: fathom_codegen::ir::MapId| fds.get(map.0 as usize).copied().ok_or("no such map");
        let (source, imm, wide) = match &reloc.target {
            RelocTarget::Map(map) => (PSEUDO_MAP_FD, fd(*map)?, None),
            RelocTarget::MapValue(map) => (PSEUDO_MAP_VALUE, fd(*map)?, None),
            RelocTarget::Kfunc(name) => {
                let id = host.kfunc_id(name).ok_or_else(|| format!("no kernel function {name}"))?;
                (PSEUDO_KFUNC_CALL, id, None)
            }
            RelocTarget::Const(which) => {
                let value = constant(*which);
                (0, value as u32 as i32, Some((value >> 32) as i32))
            }
            RelocTarget::KernelSymbol(_) => (0, 0, Some(0)),
        };
        if let Some(insn) = insns.get_mut(at) {
            *insn = Insn::new(insn.code, insn.dst(), source, 0, imm);
        }
        if let (Some(high), Some(second)) = (wide, insns.get_mut(at + 1)) {
            second.imm = high;
        }
    }
    Ok(insns)
}

/// Numbers of a simulated session: it began a second after boot.
fn constant(which: LoadConst) -> u64 {
    match which {
        LoadConst::StartTimeNs | LoadConst::StartBootTimeNs => 1_000_000_000,
        LoadConst::ChildPid => 0,
        LoadConst::OwnPid => 4242,
        LoadConst::PidNsDev => 4,
        LoadConst::PidNsIno => 4_026_531_836,
    }
}
