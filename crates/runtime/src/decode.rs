//! Bytes of records and maps to values, by the layouts that the compiler made.

use crate::symbols::Names;
use fathom_codegen::ir::MapId;
use fathom_codegen::layout::{EnumTable, Field, FieldsKind, Shape, StackMode};
use fathom_codegen::program::{MapRole, Program};
use fathom_kernel::clock::Clock;
use fathom_kernel::localtime::{self, Zone};
use fathom_kernel::map::Map;
use fathom_report::{Num, Value};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

/// `struct bpf_stack_build_id`: i32 status, 20 bytes of id, u64 offset or address.
const BUILD_ID_ENTRY_BYTES: usize = 32;
const BUILD_ID_BYTES: usize = 20;

/// Decodes values of one program.
pub struct Decoder<'a> {
    program: &'a Program,
    maps: &'a [Map],
    /// Names of addresses and the like.
    pub names: &'a Names<'a>,
    /// What `CLOCK_BOOTTIME` needs to become wall-clock time.
    boot_offset_ns: i64,
}

impl<'a> Decoder<'a> {
    /// A decoder over loaded maps.
    pub fn new(program: &'a Program, maps: &'a [Map], names: &'a Names<'a>) -> Decoder<'a> {
        Decoder { program, maps, names, boot_offset_ns: Clock::Boottime.unix_offset_ns() }
    }

    /// The value that `bytes` hold. Bytes that are missing count as zero.
    pub fn value(&self, shape: &Shape, bytes: &[u8]) -> Value {
        match shape {
            Shape::None => Value::None,
            Shape::Bool => Value::Bool(bytes.first().is_some_and(|b| *b != 0)),
            Shape::Int { size, signed } => integer(bytes, *size, *signed),
            Shape::Enum { size, signed, table } => enumerator(integer(bytes, *size, *signed), table),
            Shape::Pointer => Value::Ptr(word(bytes, 0)),
            Shape::Str { capacity } => self.string(bytes.get(..*capacity as usize).unwrap_or(bytes)),
            Shape::TailStr => Value::None,
            Shape::Buffer { capacity } => {
                let len = half(bytes, 0).min(*capacity) as usize;
                let data = bytes.get(4..).unwrap_or(&[]);
                Value::Buffer(data.get(..len).unwrap_or(data).to_vec())
            }
            Shape::Inet => Value::Text(inet(bytes)),
            Shape::Mac => Value::Text(mac(bytes)),
            Shape::Array { elem, elem_size, count } => self.array(elem, *elem_size, *count, bytes),
            Shape::Fields { kind, fields, .. } => self.fields(*kind, fields, bytes),
            Shape::KernelStack { mode, map } => self.kernel_stack(*mode, *map, word(bytes, 0)),
            Shape::UserStack { mode, map } => self.user_stack(*mode, *map, word(bytes, 0), half(bytes, 8)),
            Shape::KernelSym => Value::Symbol(self.names.kernel_symbol(word(bytes, 0))),
            Shape::UserSym => Value::Symbol(self.names.user_symbol(half(bytes, 8), word(bytes, 0))),
            Shape::Username => Value::Text(self.names.user_name(half(bytes, 0))),
            Shape::Timestamp { format } => Value::Text(self.timestamp(word(bytes, 0), format)),
            Shape::CgroupPath { filter } => Value::Text(self.names.cgroup_path(word(bytes, 0), filter)),
            Shape::ErrorName => Value::Text(error_name(word(bytes, 0) as i64)),
            Shape::SignalName => Value::Text(signal_name(word(bytes, 0) as i64)),
            Shape::SyscallName => Value::Text(syscall_name(word(bytes, 0))),
        }
    }

    /// A string up to its NUL, or all of it, with the trailer if it is as long as strings can be.
    pub fn string(&self, bytes: &[u8]) -> Value {
        let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
        let mut text = bytes.get(..end).unwrap_or(bytes).to_vec();
        if self.is_full(end) {
            text.extend_from_slice(self.program.settings.str_trunc_trailer.as_bytes());
        }
        Value::Str(text)
    }

    /// Whether a string of this length fills all room that strings have. Programs do not tell whether more followed, so it counts as cut.
    pub fn is_full(&self, len: usize) -> bool {
        len as u64 + 1 >= u64::from(self.program.settings.max_strlen).max(2)
    }

    fn array(&self, elem: &Shape, elem_size: u32, count: u32, bytes: &[u8]) -> Value {
        let size = (elem_size as usize).max(1);
        let items = (0..count as usize).map(|i| {
            let at = i.saturating_mul(size);
            self.value(elem, bytes.get(at..).unwrap_or(&[]))
        });
        Value::Array(items.collect())
    }

    fn fields(&self, kind: FieldsKind, fields: &[Field], bytes: &[u8]) -> Value {
        let value = |f: &Field| {
            let data = bytes.get(f.offset as usize..).unwrap_or(&[]);
            match f.bits {
                None => self.value(&f.shape, data),
                Some((first, count)) => self.bitfield(&f.shape, data, first, count),
            }
        };
        match kind {
            FieldsKind::Tuple => Value::Tuple(fields.iter().map(value).collect()),
            FieldsKind::Struct | FieldsKind::Record => {
                Value::Record(fields.iter().map(|f| (f.name.clone(), value(f))).collect())
            }
        }
    }

    fn bitfield(&self, shape: &Shape, bytes: &[u8], first: u16, count: u16) -> Value {
        let mut raw = [0u8; 16];
        for (to, from) in raw.iter_mut().zip(bytes) {
            *to = *from;
        }
        let count = u32::from(count).clamp(1, 64);
        let bits = u128::from_le_bytes(raw).checked_shr(u32::from(first)).unwrap_or(0) as u64;
        let unused = 64 - count;
        let signed = matches!(shape, Shape::Int { signed: true, .. } | Shape::Enum { signed: true, .. });
        let value =
            if signed { ((bits << unused) as i64 >> unused) as u64 } else { bits << unused >> unused };
        self.value(shape, &value.to_le_bytes())
    }

    /// Frames of a stack by id: count, then the frames.
    fn stack_entry(&self, map: MapId, id: u64) -> Option<Vec<u8>> {
        if id == 0 {
            return None;
        }
        self.maps.get(map.0 as usize)?.lookup(&id.to_le_bytes()).ok()?
    }

    fn addresses(&self, map: MapId, id: u64) -> Vec<u64> {
        let Some(entry) = self.stack_entry(map, id) else { return Vec::new() };
        let count = word(&entry, 0) as usize;
        entry.chunks_exact(8).skip(1).take(count).map(|c| word(c, 0)).collect()
    }

    fn kernel_stack(&self, mode: StackMode, map: MapId, id: u64) -> Value {
        Value::Stack(self.names.kernel_stack(&self.addresses(map, id), mode))
    }

    fn user_stack(&self, mode: StackMode, map: MapId, id: u64, pid: u32) -> Value {
        let build_id = self
            .program
            .maps
            .get(map.0 as usize)
            .is_some_and(|m| matches!(m.role, MapRole::Stacks { build_id: true, .. }));
        if !build_id {
            return Value::Stack(self.names.user_stack(pid, &self.addresses(map, id), mode));
        }
        let entry = self.stack_entry(map, id).unwrap_or_default();
        let count = word(&entry, 0) as usize;
        let frames = entry.get(8..).unwrap_or(&[]).chunks_exact(BUILD_ID_ENTRY_BYTES).take(count).map(|c| {
            (c.get(4..4 + BUILD_ID_BYTES).unwrap_or(&[]).to_vec(), word(c.get(24..).unwrap_or(&[]), 0))
        });
        Value::Stack(self.names.build_id_stack(&frames.collect::<Vec<_>>()))
    }

    /// A time of `nsecs` (`CLOCK_BOOTTIME`) as local time.
    fn timestamp(&self, ns: u64, format: &str) -> String {
        let unix_ns = self.boot_offset_ns.wrapping_add(ns as i64);
        localtime::format(unix_ns, format, Zone::Local).unwrap_or_else(|e| e.to_string())
    }
}

/// Little-endian u64 at an offset; missing bytes are zero.
pub fn word(bytes: &[u8], at: usize) -> u64 {
    let mut raw = [0u8; 8];
    for (to, from) in raw.iter_mut().zip(bytes.get(at..).unwrap_or(&[])) {
        *to = *from;
    }
    u64::from_le_bytes(raw)
}

/// Little-endian u32 at an offset; missing bytes are zero.
pub fn half(bytes: &[u8], at: usize) -> u32 {
    word(bytes, at) as u32
}

/// An integer of 1, 2, 4 or 8 bytes, extended.
pub fn integer(bytes: &[u8], size: u8, signed: bool) -> Value {
    let raw = word(bytes, 0);
    match (size, signed) {
        (1, true) => Value::Int(i64::from(raw as i8)),
        (2, true) => Value::Int(i64::from(raw as i16)),
        (4, true) => Value::Int(i64::from(raw as i32)),
        (_, true) => Value::Int(raw as i64),
        (1, false) => Value::Uint(raw & 0xff),
        (2, false) => Value::Uint(raw & 0xffff),
        (4, false) => Value::Uint(raw & 0xffff_ffff),
        (_, false) => Value::Uint(raw),
    }
}

fn enumerator(number: Value, table: &EnumTable) -> Value {
    let value = match number {
        Value::Int(v) => Num::I(v),
        Value::Uint(v) => Num::U(v),
        _ => Num::U(0),
    };
    let name = table.values.iter().find(|(v, _)| *v == value.bits()).map(|(_, n)| Arc::from(n.as_str()));
    Value::Enum { name, value }
}

fn inet(bytes: &[u8]) -> String {
    const AF_INET: u32 = 2;
    const AF_INET6: u32 = 10;
    let address = bytes.get(4..20).unwrap_or(&[]);
    match (half(bytes, 0), address.first_chunk::<4>(), address.first_chunk::<16>()) {
        (AF_INET, Some(v4), _) => Ipv4Addr::from(*v4).to_string(),
        (AF_INET6, _, Some(v6)) => Ipv6Addr::from(*v6).to_string(),
        _ => String::new(),
    }
}

fn mac(bytes: &[u8]) -> String {
    let parts: Vec<String> = bytes.iter().take(6).map(|b| format!("{b:02X}")).collect();
    parts.join(":")
}

fn error_name(number: i64) -> String {
    fathom_kernel::error::errno_text(number.unsigned_abs() as i32)
}

fn signal_name(number: i64) -> String {
    fathom_kernel::signals::name(i32::try_from(number).unwrap_or(0))
}

fn syscall_name(number: u64) -> String {
    let name = u32::try_from(number).ok().and_then(fathom_symbols::syscalls::name);
    name.map_or_else(|| format!("[unknown: {number}]"), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_extended_by_size_and_sign() {
        let bytes = [0xff; 8];
        assert!(matches!(integer(&bytes, 1, true), Value::Int(-1)));
        assert!(matches!(integer(&bytes, 2, false), Value::Uint(0xffff)));
        assert!(matches!(integer(&bytes, 4, true), Value::Int(-1)));
        assert!(matches!(integer(&[1], 8, false), Value::Uint(1)));
    }

    #[test]
    fn addresses_print_by_family() {
        let mut v4 = vec![2, 0, 0, 0, 127, 0, 0, 1];
        v4.resize(20, 0);
        assert_eq!(inet(&v4), "127.0.0.1");
        let mut v6 = vec![10, 0, 0, 0];
        v6.extend([0u8; 15]);
        v6.push(1);
        assert_eq!(inet(&v6), "::1");
        assert_eq!(inet(&[]), "");
        assert_eq!(mac(&[1, 2, 3, 0xab, 0, 255]), "01:02:03:AB:00:FF");
    }

    #[test]
    fn unknown_system_calls_show_their_number() {
        assert_eq!(syscall_name(0), "read");
        assert_eq!(syscall_name(99999), "[unknown: 99999]");
    }
}
