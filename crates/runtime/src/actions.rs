//! Records of the ring buffer to output: what each action of the program does.

use crate::decode::{half, integer, word, Decoder};
use crate::error::Result;
use crate::notice;
use crate::options::Options;
use crate::repeats::{self, Repeats};
use crate::shell;
use crate::take::Taker;
use crate::user_maps;
use fathom_codegen::layout::Shape;
use fathom_codegen::program::{Action, ActionKind, Location, PrintTo, Program, RecordField};
use fathom_kernel::clock::Clock;
use fathom_kernel::localtime::{self, Zone};
use fathom_kernel::map::Map;
use fathom_report::{Field, Format, Notice, Output, PrintArgs, Value};
use std::collections::BTreeSet;
use std::io::Write;

/// What a record asks of the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// Go on.
    Continue,
    /// End with this exit code.
    Exit(i32),
    /// Detach the watchpoint on this address.
    Unwatch(u64),
}

/// The actions of one program, prepared for the hot path.
pub struct Actions<'a> {
    program: &'a Program,
    maps: &'a [Map],
    decoder: &'a Decoder<'a>,
    options: &'a Options,
    prepared: Vec<Prepared>,
    text: Vec<u8>,
    repeats: Repeats,
    /// Errors that the script reported with `errorf`.
    pub errors_reported: u64,
    taker: Taker,
    /// Scalar maps that were set, and then zeroed: they exist, whatever they hold.
    pub zeroed: BTreeSet<usize>,
}

/// What can be done once per action.
struct Prepared {
    format: Option<Format>,
    /// All fields are numbers or strings, so that nothing has to be copied.
    is_plain: bool,
}

/// `-ENOMEM`.
const NO_MEMORY: i64 = -12;
/// Said of an element that the kernel had no memory for.
const OUT_OF_SPARES: &str =
    "No memory for a new element at that moment; can't update element. The kernel has a few in store and makes more when interrupts are on";

impl<'a> Actions<'a> {
    /// Parses the formats.
    pub fn new(
        program: &'a Program,
        maps: &'a [Map],
        decoder: &'a Decoder<'a>,
        options: &'a Options,
    ) -> Actions<'a> {
        let prepared = program.actions.iter().map(|a| {
            let format = match &a.kind {
                ActionKind::Printf { format, .. }
                | ActionKind::System { format }
                | ActionKind::Cat { format } => Format::parse(format).ok(),
                _ => None,
            };
            Prepared { format, is_plain: a.fields.iter().all(|f| is_plain(&f.shape)) }
        });
        let prepared = prepared.collect();
        Actions {
            program,
            maps,
            decoder,
            options,
            prepared,
            text: Vec::with_capacity(4096),
            repeats: Repeats::default(),
            errors_reported: 0,
            taker: Taker::default(),
            zeroed: BTreeSet::new(),
        }
    }

    /// Whether a string of the record fills its room, so that it gets a trailer, which the fast path does not print.
    fn is_cut(&self, field: &RecordField, record: &[u8]) -> bool {
        let bytes = record.get(field.offset as usize..).unwrap_or(&[]);
        match field.shape {
            Shape::TailStr => self.decoder.is_full(half(bytes, 0) as usize),
            Shape::Str { capacity } => {
                let room = bytes.get(..capacity as usize).unwrap_or(bytes);
                self.decoder.is_full(room.len())
                    && self.decoder.is_full(room.iter().position(|b| *b == 0).unwrap_or(room.len()))
            }
            _ => false,
        }
    }

    /// Handles one record.
    ///
    /// # Errors
    /// Output that cannot be written. Damaged records are passed over: the kernel makes none.
    pub fn handle(&mut self, record: &[u8], out: &mut dyn Output) -> Result<Flow> {
        let index = half(record, 0) as usize;
        let program = self.program;
        let Some(action) = program.actions.get(index) else { return Ok(Flow::Continue) };
        match &action.kind {
            ActionKind::Printf { to, .. } => self.printf(index, action, *to, record, out)?,
            ActionKind::System { .. } => self.system(index, action, record, out)?,
            ActionKind::Cat { .. } => self.cat(index, action, record, out)?,
            ActionKind::Time { format } => {
                let now = Clock::Realtime.now_ns() as i64;
                let text = localtime::format(now, format, Zone::Local).unwrap_or_else(|e| e.to_string());
                out.time(text.as_bytes())?;
            }
            ActionKind::Join { separator } => self.join(action, separator, record, out)?,
            ActionKind::PrintValue => {
                let value = self.values(action, record).into_iter().next().unwrap_or_default();
                out.value(&value)?;
            }
            ActionKind::PrintMap { map, top, div, take } => {
                let args = PrintArgs { top: u64::from(*top), div: u64::from(*div) };
                self.print_map(map.0 as usize, args, *take, action, out)?
            }
            ActionKind::PrintMapElement { map } => self.print_element(map.0 as usize, action, record, out)?,
            ActionKind::Clear { map } => {
                self.zeroed.remove(&(map.0 as usize));
                if !self.taker.is_cleared(map.0 as usize) {
                    self.change_map(map.0 as usize, action, out, user_maps::clear)?;
                }
            }
            ActionKind::Zero { map } => self.zero(map.0 as usize, action, out)?,
            ActionKind::Exit => return Ok(Flow::Exit(first_number(action, record) as i32)),
            ActionKind::HelperError { helper, message, only_verbose } => {
                if !only_verbose || self.options.helper_warnings {
                    if let Some(held) = self.repeats.admit(index) {
                        let retcode = first_number(action, record);
                        self.helper_error(helper, message, action, retcode, held, out)?;
                    }
                }
            }
            ActionKind::RuntimeError { message } => {
                if let Some(held) = self.repeats.admit(index) {
                    self.warn(&format!("{message}{}", repeats::note(held)), action, out)?;
                }
            }
            ActionKind::Unwatch => return Ok(Flow::Unwatch(first_number(action, record) as u64)),
            ActionKind::Packet { path } => self.packet(path, action, record, out)?,
        }
        Ok(Flow::Continue)
    }

    /// Whether a record ends the session.
    pub fn is_exit(&self, record: &[u8]) -> bool {
        let action = self.program.actions.get(half(record, 0) as usize);
        action.is_some_and(|a| a.kind == ActionKind::Exit)
    }

    fn location(&self, action: &Action) -> Option<&'a Location> {
        self.program.locations.get(action.loc.0 as usize)
    }

    /// All fields of a record as values.
    fn values(&self, action: &Action, record: &[u8]) -> Vec<Value> {
        let mut tail = action.fixed_size as usize;
        let value = |f: &RecordField| {
            let bytes = record.get(f.offset as usize..).unwrap_or(&[]);
            if f.shape != Shape::TailStr {
                return self.decoder.value(&f.shape, bytes);
            }
            self.decoder.string(tail_string(record, half(bytes, 0), &mut tail))
        };
        action.fields.iter().map(value).collect()
    }

    /// Formats the fields into `self.text`.
    fn format(&mut self, index: usize, action: &Action, record: &[u8]) {
        self.text.clear();
        let Some(prepared) = self.prepared.get(index) else { return };
        let Some(format) = &prepared.format else { return };
        if !prepared.is_plain || action.fields.iter().any(|f| self.is_cut(f, record)) {
            let values = self.values(action, record);
            format.render(&values, &mut self.text);
            return;
        }
        let mut tail = action.fixed_size as usize;
        let mut fields = action.fields.iter().map(|f| plain_field(f, record, &mut tail));
        format.render_from(&mut fields, &mut self.text);
    }

    fn printf(
        &mut self,
        index: usize,
        action: &Action,
        to: PrintTo,
        record: &[u8],
        out: &mut dyn Output,
    ) -> Result<()> {
        self.format(index, action, record);
        match to {
            PrintTo::Out => out.printf(&self.text)?,
            PrintTo::Error => {
                self.errors_reported += 1;
                let message = String::from_utf8_lossy(&self.text).into_owned();
                let location = self.location(action);
                let rendered = notice::render(location, "ERROR", &message, self.options.color);
                out.errorf(&notice_of(location, &message, &rendered))?;
            }
            PrintTo::Warning => {
                let message = String::from_utf8_lossy(&self.text).into_owned();
                let location = self.location(action);
                let rendered = notice::render(location, "WARNING", &message, self.options.color);
                out.warnf(&notice_of(location, &message, &rendered))?;
            }
        }
        Ok(())
    }

    fn system(&mut self, index: usize, action: &Action, record: &[u8], out: &mut dyn Output) -> Result<()> {
        self.format(index, action, record);
        // What was printed before stands before what the command prints.
        out.flush()?;
        match shell::run(&self.text) {
            Ok(printed) => out.syscall(&printed)?,
            Err(message) => self.warn(&message, action, out)?,
        }
        Ok(())
    }

    fn cat(&mut self, index: usize, action: &Action, record: &[u8], out: &mut dyn Output) -> Result<()> {
        use std::io::Read;
        use std::os::unix::ffi::OsStrExt;
        self.format(index, action, record);
        let path = std::path::Path::new(std::ffi::OsStr::from_bytes(&self.text)).to_owned();
        let mut content = Vec::new();
        let limit = self.program.settings.max_cat_bytes;
        let read = std::fs::File::open(&path).and_then(|f| f.take(limit).read_to_end(&mut content));
        match read {
            Ok(_) => out.cat(&content)?,
            Err(e) => {
                let reason = fathom_kernel::error::errno_text(e.raw_os_error().unwrap_or(0));
                out.flush()?;
                let message = format!("failed to open file '{}' ({reason})", path.display());
                let rendered = notice::render(None, "ERROR", &message, self.options.color);
                out.errorf(&notice_of(self.location(action), &message, &rendered))?;
            }
        }
        Ok(())
    }

    fn join(&mut self, action: &Action, separator: &str, record: &[u8], out: &mut dyn Output) -> Result<()> {
        let values = self.values(action, record);
        let count = values.first().and_then(Value::as_num).map_or(0, |n| n.bits()) as usize;
        let mut text = Vec::new();
        for (i, v) in values.iter().skip(1).take(count).enumerate() {
            if i > 0 {
                text.extend_from_slice(separator.as_bytes());
            }
            if let Value::Str(s) = v {
                text.extend_from_slice(s);
            }
        }
        out.join(&text)?;
        Ok(())
    }

    fn print_map(
        &mut self,
        index: usize,
        args: PrintArgs,
        take: bool,
        action: &Action,
        out: &mut dyn Output,
    ) -> Result<()> {
        let Some((def, user, map)) = self.user_map(index) else { return Ok(()) };
        let read = match take {
            true => self.taker.take(index, def, user, map, self.decoder),
            false => user_maps::read(def, user, map, self.decoder),
        };
        match read {
            Ok(mut data) => {
                if data.entries.is_empty() && user.key.is_none() {
                    data.entries.push(user_maps::zero_entry(user, self.decoder));
                }
                out.map(&data, args)?;
            }
            Err(e) => self.warn(&e.to_string(), action, out)?,
        }
        Ok(())
    }

    fn print_element(
        &mut self,
        index: usize,
        action: &Action,
        record: &[u8],
        out: &mut dyn Output,
    ) -> Result<()> {
        let Some((def, user, map)) = self.user_map(index) else { return Ok(()) };
        let size = def.key_size as usize;
        let offset = action.fields.first().map_or(record.len(), |f| f.offset as usize);
        let mut key = vec![0u8; size];
        for (to, from) in key.iter_mut().zip(record.get(offset..).unwrap_or(&[])) {
            *to = *from;
        }
        match user_maps::read_one(def, user, map, &key, self.decoder) {
            Ok(data) => out.map(&data, PrintArgs::default())?,
            Err(e) => self.warn(&e.to_string(), action, out)?,
        }
        Ok(())
    }

    fn user_map(
        &self,
        index: usize,
    ) -> Option<(&'a fathom_codegen::program::MapDef, &'a fathom_codegen::program::UserMap, &'a Map)> {
        let def = self.program.maps.get(index)?;
        Some((def, user_maps::user_map(def)?, self.maps.get(index)?))
    }

    /// Sets values to zero. A scalar aggregation does not tell zero from unset, so that is remembered here.
    fn zero(&mut self, index: usize, action: &Action, out: &mut dyn Output) -> Result<()> {
        if let Some((def, user, map)) = self.user_map(index).filter(|(_, user, _)| user.key.is_none()) {
            if user_maps::read(def, user, map, self.decoder).is_ok_and(|data| !data.entries.is_empty()) {
                self.zeroed.insert(index);
            }
        }
        self.change_map(index, action, out, user_maps::zero)
    }

    fn change_map(
        &mut self,
        index: usize,
        action: &Action,
        out: &mut dyn Output,
        change: fn(&fathom_codegen::program::UserMap, &Map) -> fathom_kernel::Result<()>,
    ) -> Result<()> {
        let Some((_, user, map)) = self.user_map(index) else { return Ok(()) };
        if let Err(e) = change(user, map) {
            self.warn(&e.to_string(), action, out)?;
        }
        Ok(())
    }

    /// Tells of warnings that were held back until now.
    pub fn report_held(&mut self, out: &mut dyn Output) -> Result<()> {
        for (index, held) in self.repeats.take_held() {
            let program = self.program;
            let Some(action) = program.actions.get(index) else { continue };
            match &action.kind {
                ActionKind::HelperError { message, helper, .. } => {
                    let what = if message.is_empty() { helper } else { &**message };
                    self.warn(&format!("{what} ({held} times more)"), action, out)?;
                }
                ActionKind::RuntimeError { message } => {
                    self.warn(&format!("{message} ({held} times more)"), action, out)?
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn helper_error(
        &mut self,
        helper: &str,
        message: &str,
        action: &Action,
        retcode: i64,
        held: u64,
        out: &mut dyn Output,
    ) -> Result<()> {
        if self.options.no_warnings {
            return Ok(());
        }
        let reason = fathom_kernel::error::errno_text(retcode.unsigned_abs() as i32);
        let message = match (message, retcode) {
            ("", _) => reason,
            (full, NO_MEMORY) if full.starts_with("Map full") => OUT_OF_SPARES.to_owned(),
            (message, _) => message.to_owned(),
        };
        let message = format!("{message}{}", repeats::note(held));
        let location = self.location(action);
        let rendered = notice::render(location, "WARNING", &message, self.options.color);
        out.helper_error(&notice_of(location, &message, &rendered), helper, retcode)?;
        Ok(())
    }

    fn warn(&mut self, message: &str, action: &Action, out: &mut dyn Output) -> Result<()> {
        if self.options.no_warnings {
            return Ok(());
        }
        let location = self.location(action);
        let rendered = notice::render(location, "WARNING", message, self.options.color);
        out.runtime_error(&notice_of(location, message, &rendered))?;
        Ok(())
    }

    /// Appends a packet to a capture file (pcap, nanosecond variant).
    fn packet(&mut self, path: &str, action: &Action, record: &[u8], out: &mut dyn Output) -> Result<()> {
        let values = self.values(action, record);
        let (Some(Value::Buffer(data)), Some(time)) = (values.get(1), values.first().and_then(Value::as_num))
        else {
            return Ok(());
        };
        let unix_ns = Clock::Boottime.unix_offset_ns().wrapping_add(time.bits() as i64) as u64;
        if let Err(e) = append_packet(path, unix_ns, data) {
            self.warn(&format!("cannot write the packet to {path}: {e}"), action, out)?;
        }
        Ok(())
    }
}

fn append_packet(path: &str, unix_ns: u64, data: &[u8]) -> std::io::Result<()> {
    const MAGIC_NS: u32 = 0xa1b2_3c4d;
    const LINKTYPE_ETHERNET: u32 = 1;
    const SNAP_BYTES: u32 = 65535;
    let mut file = std::fs::OpenOptions::new().append(true).create(true).open(path)?;
    let mut bytes = Vec::with_capacity(data.len() + 40);
    if file.metadata()?.len() == 0 {
        for word in [MAGIC_NS, 2 | 4 << 16, 0, 0, SNAP_BYTES, LINKTYPE_ETHERNET] {
            bytes.extend_from_slice(&word.to_le_bytes());
        }
    }
    let (s, ns) = ((unix_ns / 1_000_000_000) as u32, (unix_ns % 1_000_000_000) as u32);
    for word in [s, ns, data.len() as u32, data.len() as u32] {
        bytes.extend_from_slice(&word.to_le_bytes());
    }
    bytes.extend_from_slice(data);
    file.write_all(&bytes)
}

fn notice_of<'n>(location: Option<&'n Location>, msg: &'n str, rendered: &'n str) -> Notice<'n> {
    match location {
        Some(l) => Notice { msg, filename: &l.file, line: l.line, col: l.column, rendered },
        None => Notice { msg, rendered, ..Notice::default() },
    }
}

/// The i64 of field 0.
fn first_number(action: &Action, record: &[u8]) -> i64 {
    let offset = action.fields.first().map_or(record.len(), |f| f.offset as usize);
    let size = action.fields.first().map_or(8, |f| f.shape.size()) as u8;
    integer(record.get(offset..).unwrap_or(&[]), size, true).as_num().map_or(0, |n| n.bits() as i64)
}

fn is_plain(shape: &Shape) -> bool {
    matches!(shape, Shape::Bool | Shape::Int { .. } | Shape::Pointer | Shape::Str { .. } | Shape::TailStr)
}

/// The next string of the tail.
fn tail_string<'r>(record: &'r [u8], len: u32, tail: &mut usize) -> &'r [u8] {
    let start = (*tail).min(record.len());
    let end = start.saturating_add(len as usize).min(record.len());
    *tail = end;
    record.get(start..end).unwrap_or(&[])
}

fn plain_field<'r>(field: &RecordField, record: &'r [u8], tail: &mut usize) -> Field<'r> {
    let bytes = record.get(field.offset as usize..).unwrap_or(&[]);
    match &field.shape {
        Shape::Bool => Field::Bool(bytes.first().is_some_and(|b| *b != 0)),
        Shape::Int { size, signed } => match integer(bytes, *size, *signed) {
            Value::Int(v) => Field::Int(v),
            Value::Uint(v) => Field::Uint(v),
            _ => Field::Uint(0),
        },
        Shape::Pointer => Field::Ptr(word(bytes, 0)),
        Shape::Str { capacity } => {
            let all = bytes.get(..*capacity as usize).unwrap_or(bytes);
            let end = all.iter().position(|b| *b == 0).unwrap_or(all.len());
            Field::Str(all.get(..end).unwrap_or(all))
        }
        _ => Field::Str(tail_string(record, half(bytes, 0), tail)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tails_are_read_in_order_and_never_past_the_record() {
        let record = b"xxxxabcde";
        let mut tail = 4;
        assert_eq!(tail_string(record, 3, &mut tail), b"abc");
        assert_eq!(tail_string(record, 2, &mut tail), b"de");
        assert_eq!(tail_string(record, 100, &mut tail), b"");
    }

    #[test]
    fn plain_fields_point_into_the_record() {
        let record = [1, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, b'h', b'i', 0, b'x'];
        let field = |offset, shape| RecordField { offset, shape };
        let mut tail = 0;
        let f = field(4, Shape::Int { size: 4, signed: true });
        assert!(matches!(plain_field(&f, &record, &mut tail), Field::Int(-1)));
        let f = field(8, Shape::Str { capacity: 4 });
        assert!(matches!(plain_field(&f, &record, &mut tail), Field::Str(b"hi")));
        let f = field(100, Shape::Str { capacity: 4 });
        assert!(matches!(plain_field(&f, &record, &mut tail), Field::Str(b"")));
    }
}
