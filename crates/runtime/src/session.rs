//! A session's life: begin probes, attach, consume until something ends it, detach, end probes, maps.

use crate::actions::{Actions, Flow};
use crate::bench;
use crate::decode::Decoder;
use crate::error::{Error, Result};
use crate::load::{self, Loaded};
use crate::options::{Buffering, Mode, Options};
use crate::symbols::Names;
use crate::user_maps;
use fathom_bpf::kinds::MapKind;
use fathom_codegen::layout::{Shape, StackMode};
use fathom_codegen::program::{Attach, Attachment, Counter, MapRole, Program, Refusal, RunWhen, ValueKind};
use fathom_kernel::bpffs::Pin;
use fathom_kernel::child::Child;
use fathom_kernel::cpu;
use fathom_kernel::link::Link;
use fathom_kernel::perf_ring::PerfBuffers;
use fathom_kernel::poll::PollSet;
use fathom_kernel::proc::PidFd;
use fathom_kernel::prog::{Prog, TestRun};
use fathom_kernel::ringbuf::{RecordSource, RingBuf};
use fathom_kernel::signals::{self, Signals};
use fathom_probes::{attach, KernelFacts};
use fathom_report::{Output, PrintArgs};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

/// How a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Exit status for the tracer.
    pub code: i32,
}

/// Waits between looks at the ring: short while records come, long while none do.
const WAIT_MIN: Duration = Duration::from_millis(1);
const WAIT_MAX: Duration = Duration::from_millis(32);
/// How often losses are looked at while tracing.
const LOSS_INTERVAL: Duration = Duration::from_secs(1);
/// Pages of each CPU's perf buffer, where the kernel has no ring buffer.
const PERF_PAGES: usize = 256;
/// How long records are handled before signals get their turn.
const SLICE: Duration = Duration::from_millis(10);
/// How long what is left in the ring may take after a signal, when records were lost anyway: the tracer cannot keep up, and the user waits.
const REST_WHEN_LOSING: Duration = Duration::from_millis(20);
/// How long it may take otherwise.
const REST_MAX: Duration = Duration::from_secs(1);
const SIGINT: i32 = 2;
const SIGUSR1: i32 = 10;
const SIGTERM: i32 = 15;

/// A loaded program with its attachments.
pub struct Session<'a> {
    program: &'a Program,
    facts: &'a KernelFacts,
    options: &'a Options,
    child: Option<Child>,
}

impl<'a> Session<'a> {
    /// A session of a compiled program. `child` is the stopped command of `-c`.
    pub fn new(
        program: &'a Program,
        facts: &'a KernelFacts,
        options: &'a Options,
        child: Option<Child>,
    ) -> Session<'a> {
        Session { program, facts, options, child }
    }

    /// Runs to the end.
    ///
    /// # Errors
    /// What cannot be loaded or attached; output that cannot be written. Whatever happens, nothing stays attached.
    pub fn run(mut self, out: &mut dyn Output) -> Result<Outcome> {
        // Signals are taken before anything is attached, so that none can end the tracer half-way.
        let signals = Signals::open(&self.signal_numbers())?;
        let loaded = load::load(self.program, self.facts, self.options, self.child.as_ref().map(Child::pid))?;
        let settings = &self.program.settings;
        let names = Names::new(self.facts, settings.demangle, settings.show_debug_info);
        if needs_processes(self.program) && !self.options.dry_run {
            names.follow_processes(self.options.pid);
        }
        let decoder = Decoder::new(self.program, &loaded.maps, &names);
        let mut run = Running {
            program: self.program,
            facts: self.facts,
            options: self.options,
            ring: open_ring(self.program, self.facts, &loaded)?,
            actions: Actions::new(self.program, &loaded.maps, &decoder, self.options),
            decoder: &decoder,
            loaded: &loaded,
            names: &names,
            pins: Vec::new(),
            links: Vec::new(),
            exit: None,
            is_stopped: false,
            is_walking: false,
            left_out: None,
            left_out_count: 0,
            lost_reported: 0,
            dropped: 0,
            interrupted: None,
            print_failed: None,
        };
        let code = run.live(&mut self.child, &signals, out)?;
        Ok(Outcome { code })
    }

    fn signal_numbers(&self) -> Vec<i32> {
        let mut numbers = vec![SIGINT, SIGTERM];
        if self.program.units.iter().any(|u| load::times(u, &RunWhen::Signal(SIGUSR1)) > 0) {
            numbers.push(SIGUSR1);
        }
        numbers
    }
}

/// Whether the program shows names of user addresses, whose processes may have ended by then.
fn needs_processes(program: &Program) -> bool {
    fn has_names(shape: &Shape) -> bool {
        match shape {
            Shape::UserSym => true,
            Shape::UserStack { mode, .. } => !matches!(mode, StackMode::Raw | StackMode::BuildId),
            Shape::Array { elem, .. } => has_names(elem),
            Shape::Fields { fields, .. } => fields.iter().any(|f| has_names(&f.shape)),
            _ => false,
        }
    }
    let in_map = |role: &MapRole| match role {
        MapRole::User(map) => {
            map.key.as_ref().is_some_and(has_names)
                || matches!(&map.value, ValueKind::Plain(shape) if has_names(shape))
        }
        _ => false,
    };
    program.maps.iter().any(|m| in_map(&m.role))
        || program.actions.iter().any(|a| a.fields.iter().any(|f| has_names(&f.shape)))
}

/// The source of records, or none for programs that never write one.
type Ring = Option<Box<dyn RecordSource>>;

fn open_ring(program: &Program, facts: &KernelFacts, loaded: &Loaded) -> Result<Ring> {
    let Some(at) = program.maps.iter().position(|m| m.role == MapRole::Events) else { return Ok(None) };
    let Some(map) = loaded.maps.get(at) else { return Ok(None) };
    if map.kind() == MapKind::RINGBUF {
        return Ok(Some(Box::new(RingBuf::open(map)?)));
    }
    let cpus = cpu::online(facts.root())?;
    Ok(Some(Box::new(PerfBuffers::open(map, &cpus, PERF_PAGES)?)))
}

/// What came of a look into the ring.
#[derive(Clone, Copy, Default)]
struct Drained {
    records: usize,
    /// The time was over before the records.
    is_cut: bool,
}

/// A session between loading and its end.
pub(crate) struct Running<'a, 'd> {
    pub(crate) program: &'a Program,
    facts: &'a KernelFacts,
    options: &'a Options,
    ring: Ring,
    actions: Actions<'d>,
    decoder: &'d Decoder<'d>,
    pub(crate) loaded: &'d Loaded,
    names: &'d Names<'a>,
    /// Removed before the links they hold.
    pins: Vec<Pin>,
    links: Vec<(usize, Link)>,
    /// Exit code, once something asked for the end.
    exit: Option<i32>,
    /// The script asked for the end: what other probes still wrote is dropped.
    is_stopped: bool,
    /// An iterator runs: an exit ends the session behind its last object.
    is_walking: bool,
    /// Why the first attachment was left out that the kernel refused, until all are attached.
    left_out: Option<Error>,
    /// Attachments that the kernel refused.
    left_out_count: usize,
    lost_reported: u64,
    /// Records that were in the ring at the end and were not handled.
    dropped: u64,
    /// When a signal asked for the end.
    interrupted: Option<Instant>,
    print_failed: Option<Error>,
}

impl Running<'_, '_> {
    fn live(&mut self, child: &mut Option<Child>, signals: &Signals, out: &mut dyn Output) -> Result<i32> {
        if self.options.dry_run {
            self.attach_all()?;
            return Ok(0);
        }
        match self.options.mode {
            Mode::Run => self.trace(child, signals, out)?,
            Mode::Test => return self.tests(out),
            Mode::Bench => self.benches(out)?,
        }
        self.pins.clear();
        self.links.clear();
        if self.is_stopped {
            self.discard();
        }
        self.drain_rest(signals, out)?;
        let asked = self.exit.take();
        self.run_units(&RunWhen::End, out)?;
        self.report_losses(out)?;
        self.actions.report_held(out)?;
        if self.program.settings.print_maps_on_exit {
            self.print_maps(out)?;
        }
        out.flush()?;
        Ok(self.exit.or(asked).unwrap_or(0))
    }

    /// From the begin probes to whatever ends tracing.
    fn trace(&mut self, child: &mut Option<Child>, signals: &Signals, out: &mut dyn Output) -> Result<()> {
        let begun = self.begin()?;
        if !begun.iter().any(|r| self.actions.is_exit(r)) {
            self.attach_all()?;
        }
        self.announce(out)?;
        for record in &begun {
            self.print_record(record, out)?;
            if self.exit.is_some() {
                return Ok(());
            }
        }
        out.flush()?;
        if let Some(child) = child {
            child.release()?;
        }
        self.run_iterators(out)?;
        if child.is_none() && !self.has_anything_to_wait_for() {
            return Ok(());
        }
        self.consume(child, signals, out)
    }

    /// Runs the begin probes, in order, up to one that exits. What they print is kept: it stands behind the announcement, which comes when
    /// everything is attached.
    fn begin(&mut self) -> Result<Vec<Vec<u8>>> {
        let mut records: Vec<Vec<u8>> = Vec::new();
        for (unit, prog) in self.program.units.iter().zip(&self.loaded.progs) {
            for _ in 0..load::times(unit, &RunWhen::Begin) {
                run_once(prog)?;
                if let Some(ring) = &mut self.ring {
                    ring.consume(&mut |record| records.push(record.to_vec()));
                }
                if records.iter().any(|r| self.actions.is_exit(r)) {
                    return Ok(records);
                }
            }
        }
        Ok(records)
    }

    /// Prints one kept record.
    fn print_record(&mut self, record: &[u8], out: &mut dyn Output) -> Result<()> {
        match self.actions.handle(record, out)? {
            Flow::Continue => {}
            Flow::Exit(code) => (self.exit, self.is_stopped) = (Some(code), true),
            Flow::Unwatch(address) => unwatch(self.program, &mut self.links, address),
        }
        Ok(())
    }

    fn announce(&mut self, out: &mut dyn Output) -> Result<()> {
        if !self.options.quiet {
            let count: usize = self.program.units.iter().map(|u| u.attachments.len()).sum();
            out.attached_probes(count.saturating_sub(self.left_out_count))?;
        }
        if let Some(word) = &self.options.notify_attached {
            out.flush()?;
            use std::io::Write;
            writeln!(std::io::stdout(), "{word}")?;
        }
        out.flush()?;
        Ok(())
    }

    /// Whether something other than the tracer's own begin and end can still happen.
    fn has_anything_to_wait_for(&self) -> bool {
        let waits = |a: &Attachment| {
            matches!(a.how, Attach::Run(RunWhen::Signal(_)) | Attach::Iter { pin: Some(_), .. })
        };
        self.program.units.iter().any(|u| load::is_hot(u) || u.attachments.iter().any(waits))
    }

    /// Attaches everything, in the order of the script.
    fn attach_all(&mut self) -> Result<()> {
        for (index, (unit, prog)) in self.program.units.iter().zip(&self.loaded.progs).enumerate() {
            for attachment in attach::merged(&unit.attachments) {
                let started = Instant::now();
                let links = match attach::attach(self.facts, prog, &attachment) {
                    Ok(links) => links,
                    Err(e) if self.leaves_out(&attachment) => {
                        self.leave_out(&attachment, e);
                        continue;
                    }
                    Err(e) => return Err(refused(&attachment, e)),
                };
                if self.options.verbose && !links.is_empty() {
                    tell(format_args!(
                        "attached {} in {} us",
                        attachment.name,
                        started.elapsed().as_micros()
                    ));
                }
                if let Attach::Iter { pin: Some(name), .. } = &attachment.how {
                    for link in &links {
                        self.pin(link, name, &attachment.name)?;
                    }
                }
                self.links.extend(links.into_iter().map(|l| (index, l)));
            }
        }
        match self.left_out.take() {
            // A script without any probe would wait for nothing.
            Some(first) if self.links.is_empty() => Err(first),
            _ => Ok(()),
        }
    }

    /// Whether the session goes on without an attachment. Many at once are not dispensable.
    fn leaves_out(&self, attachment: &Attachment) -> bool {
        let is_one = !matches!(attachment.how, Attach::KprobeMulti { .. } | Attach::UprobeMulti { .. });
        attachment.refusal != Refusal::Error && is_one
    }

    /// Goes on without an attachment that the kernel refused.
    fn leave_out(&mut self, attachment: &Attachment, cause: fathom_kernel::Error) {
        if attachment.refusal == Refusal::Warn && !self.options.no_warnings {
            tell(format_args!("WARNING: Unable to attach probe: {}: {cause}. Skipping.", attachment.name));
        }
        self.left_out_count += 1;
        self.left_out.get_or_insert_with(|| refused(attachment, cause));
    }

    /// Gives an iterator a name, for others to read it as long as the session lasts.
    fn pin(&mut self, link: &Link, name: &str, probe: &str) -> Result<()> {
        let pin = Pin::link(self.facts.root(), link, name)
            .map_err(|cause| Error::Attach { probe: probe.to_owned(), cause: Box::new(cause) })?;
        if !self.options.quiet {
            tell(format_args!("{probe} is pinned to {}: reading that file runs it", pin.path().display()));
        }
        self.pins.push(pin);
        Ok(())
    }

    /// Runs the units of one moment, in order, and prints what they wrote.
    fn run_units(&mut self, when: &RunWhen, out: &mut dyn Output) -> Result<()> {
        for (unit, prog) in self.program.units.iter().zip(&self.loaded.progs) {
            // A unit may stand for several `begin`s in one list of attach points.
            let times =
                unit.attachments.iter().filter(|a| matches!(&a.how, Attach::Run(w) if w == when)).count();
            for _ in 0..times {
                let value = run_once(prog)?;
                self.drain(out)?;
                if *when == RunWhen::End && value != 0 && self.exit.is_none() {
                    self.exit = Some(value as i32);
                }
                if self.exit.is_some() && *when == RunWhen::Begin {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Iterators run once, now. The kernel walks to the end before the first record is seen here, so that an exit stops only those that follow.
    fn run_iterators(&mut self, out: &mut dyn Output) -> Result<()> {
        let links = std::mem::take(&mut self.links);
        let mut text = Vec::new();
        for (index, link) in &links {
            let is_iter = self.program.units.get(*index).is_some_and(|u| {
                u.attachments.iter().any(|a| matches!(a.how, Attach::Iter { pin: None, .. }))
            });
            if is_iter && self.exit.is_none() {
                link.read_iter(&mut text)?;
                self.is_walking = true;
                let drained = self.drain(out);
                self.is_walking = false;
                drained?;
            }
        }
        self.links = links;
        Ok(())
    }

    /// Reads records until something ends the session.
    fn consume(&mut self, child: &mut Option<Child>, signals: &Signals, out: &mut dyn Output) -> Result<()> {
        let process = match (&*child, self.options.pid) {
            (Some(child), _) => Some(PidFd::open(child.pid())?),
            (None, Some(pid)) => Some(PidFd::open(pid)?),
            (None, None) => None,
        };
        let mut poll = PollSet::new();
        let signal_slot = poll.add(signals.as_fd());
        let process_slot = process.as_ref().map(|p| poll.add(p.as_fd()));
        self.names.descriptors(&mut |fd| {
            poll.add(fd);
        });
        let mut wait = WAIT_MIN;
        let mut losses_seen = Instant::now();
        while self.exit.is_none() {
            poll.wait(Some(wait))?;
            let drained = self.drain_for(SLICE, out)?;
            wait = match drained {
                Drained { is_cut: true, .. } => Duration::ZERO,
                Drained { records: 0, .. } => (wait * 2).clamp(WAIT_MIN, WAIT_MAX),
                _ => WAIT_MIN,
            };
            if poll.is_ready(signal_slot) {
                self.take_signals(signals, out)?;
            }
            if process_slot.is_some_and(|slot| poll.is_ready(slot)) {
                // Whatever the process did last is in the ring by now.
                self.drain(out)?;
                break;
            }
            if losses_seen.elapsed() > LOSS_INTERVAL {
                losses_seen = Instant::now();
                self.report_losses(out)?;
            }
        }
        if let Some(child) = child {
            if let (true, Ok(Some(status))) = (self.options.verbose, child.try_wait()) {
                tell(format_args!("the command has ended: {status}"));
            }
            if self.exit.is_some() {
                // A command that still runs ends with the session; one that has ended takes no signal.
                let _ = child.signal(SIGTERM);
            }
        }
        Ok(())
    }

    fn take_signals(&mut self, signals: &Signals, out: &mut dyn Output) -> Result<()> {
        while let Some(arrived) = signals.next() {
            if arrived.number == SIGUSR1 {
                self.run_units(&RunWhen::Signal(SIGUSR1), out)?;
            } else {
                if self.options.verbose {
                    tell(format_args!("ended by {}", signals::name(arrived.number)));
                }
                self.exit = Some(self.exit.unwrap_or(0));
                self.interrupted = Some(Instant::now());
            }
        }
        Ok(())
    }

    /// Prints what was in the ring when everything was detached. Where that takes too long after a signal, or another signal comes, the rest
    /// counts as lost.
    fn drain_rest(&mut self, signals: &Signals, out: &mut dyn Output) -> Result<()> {
        while self.drain_for(SLICE, out)?.is_cut {
            let Some(since) = self.interrupted else { continue };
            let again = std::iter::from_fn(|| signals.next()).any(|s| s.number != SIGUSR1);
            let limit = if self.lost() > 0 { REST_WHEN_LOSING } else { REST_MAX };
            if again || since.elapsed() > limit {
                let rest = self.ring.as_mut().map_or(0, |ring| ring.consume(&mut |_| {}));
                self.dropped = self.dropped.saturating_add(rest as u64);
                break;
            }
        }
        Ok(())
    }

    /// Prints all records that are in the ring. Records behind an exit are dropped. Returns how many there were.
    pub(crate) fn drain(&mut self, out: &mut dyn Output) -> Result<usize> {
        self.drain_for(Duration::MAX, out).map(|d| d.records)
    }

    /// Prints records that are in the ring, for about this long.
    fn drain_for(&mut self, time: Duration, out: &mut dyn Output) -> Result<Drained> {
        self.names.follow();
        let started = Instant::now();
        let mut drained = Drained::default();
        let Some(ring) = &mut self.ring else { return Ok(drained) };
        let (actions, exit, failed, links) =
            (&mut self.actions, &mut self.exit, &mut self.print_failed, &mut self.links);
        let stopped = &mut self.is_stopped;
        let flush_each = self.options.buffering == Buffering::None;
        let keeps_all = exit.is_some() || self.is_walking;
        let mut is_cut = false;
        drained.records = ring.consume_while(&mut |record| {
            if failed.is_some() || (exit.is_some() && !keeps_all) {
                return true;
            }
            match actions.handle(record, out) {
                Ok(Flow::Continue) => {}
                Ok(Flow::Exit(code)) => (*exit, *stopped) = (Some(code), true),
                Ok(Flow::Unwatch(address)) => unwatch(self.program, links, address),
                Err(e) => *failed = Some(e),
            }
            if flush_each {
                if let Err(e) = out.flush() {
                    *failed = Some(Error::Output(e));
                }
            }
            is_cut = started.elapsed() > time;
            !is_cut
        });
        drained.is_cut = is_cut;
        if let Some(e) = self.print_failed.take() {
            return Err(e);
        }
        if drained.records > 0 && self.options.buffering != Buffering::Full {
            out.flush()?;
        }
        Ok(drained)
    }

    /// Drops all records that are in the ring.
    fn discard(&mut self) {
        if let Some(ring) = &mut self.ring {
            ring.consume(&mut |_| {});
        }
    }

    /// Tells of records that found the ring full since the last time.
    fn report_losses(&mut self, out: &mut dyn Output) -> Result<()> {
        let lost = self.lost().saturating_add(self.dropped);
        let new = lost.saturating_sub(self.lost_reported);
        if new > 0 {
            self.lost_reported = lost;
            out.lost_events(new)?;
            out.flush()?;
        }
        Ok(())
    }

    /// Sum of all counters of lost records.
    fn lost(&self) -> u64 {
        let mut sum = self.ring.as_ref().map_or(0, |r| r.lost());
        for (def, map) in self.program.maps.iter().zip(&self.loaded.maps) {
            let MapRole::Counters(slots) = &def.role else { continue };
            for (index, slot) in slots.iter().enumerate() {
                let Counter::LostRecords { .. } = slot;
                let value = map.lookup(&(index as u32).to_le_bytes()).ok().flatten().unwrap_or_default();
                for cell in map.cpu_values(&value) {
                    sum = sum.saturating_add(crate::decode::word(cell, 0));
                }
            }
        }
        sum
    }

    fn print_maps(&mut self, out: &mut dyn Output) -> Result<()> {
        out.end_of_run()?;
        let maps = self.program.maps.iter().zip(&self.loaded.maps).enumerate();
        let mut shown: Vec<_> = maps
            .filter_map(|(index, (def, map))| Some((def, user_maps::user_map(def)?, map, index)))
            .collect();
        shown.sort_by(|a, b| a.0.name.cmp(&b.0.name));
        for (def, user, map, index) in shown {
            let mut data = user_maps::read(def, user, map, self.decoder)?;
            if data.entries.is_empty() && self.actions.zeroed.contains(&index) {
                data.entries.push(user_maps::zero_entry(user, self.decoder));
            }
            if !data.entries.is_empty() {
                out.map(&data, PrintArgs::default())?;
            }
        }
        Ok(())
    }

    /// Runs `test:` probes, each with its own verdict.
    fn tests(&mut self, out: &mut dyn Output) -> Result<i32> {
        self.run_units(&RunWhen::Begin, out)?;
        let mut failures = 0;
        for (index, unit) in self.program.units.iter().enumerate() {
            for attachment in unit.attachments.iter().filter(|a| a.how == Attach::Run(RunWhen::Test)) {
                if !bench::run_test(self, index, &attachment.name, out)? {
                    failures += 1;
                }
            }
        }
        self.exit = None;
        self.run_units(&RunWhen::End, out)?;
        out.flush()?;
        Ok(i32::from(failures > 0))
    }

    /// Runs `bench:` probes.
    fn benches(&mut self, out: &mut dyn Output) -> Result<()> {
        self.run_units(&RunWhen::Begin, out)?;
        self.announce(out)?;
        let mut results = Vec::new();
        for (index, unit) in self.program.units.iter().enumerate() {
            for attachment in unit.attachments.iter().filter(|a| a.how == Attach::Run(RunWhen::Bench)) {
                let Some(prog) = self.loaded.progs.get(index) else { continue };
                results.push((attachment.name.clone(), bench::measure(prog)?));
                self.drain(out)?;
            }
        }
        bench::print(&results, out)?;
        Ok(())
    }

    /// Takes the exit code that something asked for.
    pub(crate) fn take_exit(&mut self) -> Option<i32> {
        self.exit.take()
    }

    /// Number of errors that the script has reported.
    pub(crate) fn errors_reported(&self) -> u64 {
        self.actions.errors_reported
    }
}

/// Prints a line to standard error; nothing can be done where that is closed.
fn tell(line: std::fmt::Arguments<'_>) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}

fn refused(attachment: &Attachment, cause: fathom_kernel::Error) -> Error {
    Error::Attach { probe: attachment.name.clone(), cause: Box::new(cause) }
}

/// Detaches watchpoints on an address.
fn unwatch(program: &Program, links: &mut Vec<(usize, Link)>, address: u64) {
    links.retain(|(index, _)| {
        let attachments = program.units.get(*index).map_or(&[][..], |u| &u.attachments);
        !attachments.iter().any(|a| matches!(a.how, Attach::Watchpoint { address: at, .. } if at == address))
    });
}

/// Runs a program of the tracer itself once; gives what it returned.
pub(crate) fn run_once(prog: &Prog) -> Result<u32> {
    let mut ctx = [0u8; 8];
    let mut run = TestRun { ctx: &mut ctx, ..TestRun::default() };
    Ok(prog.test_run(&mut run)?.retval)
}
