//! The small BTF that goes with each program: its functions and source lines, so that the kernel accepts callbacks and shows script lines.

use fathom_codegen::ir::SrcLoc;
use fathom_codegen::program::{Program, Unit};
use fathom_symbols::btf_write::{line_col, BtfWriter, IntEncoding};

/// BTF and the records that refer to it, as `BPF_PROG_LOAD` takes them.
pub struct ProgramTypes {
    /// The blob.
    pub btf: Vec<u8>,
    /// `struct bpf_func_info` records.
    pub func_info: Vec<u8>,
    /// `struct bpf_line_info` records.
    pub line_info: Vec<u8>,
}

/// Describes a unit. `None` if the description cannot be made (then the program is loaded without).
pub fn describe(program: &Program, unit: &Unit) -> Option<ProgramTypes> {
    let mut w = BtfWriter::new();
    let int = w.int("int", 4, IntEncoding::Signed);
    let void_ptr = w.ptr(0);
    let mut func_info = Vec::new();
    for f in &unit.funcs {
        let params: Vec<(&str, u32)> =
            PARAM_NAMES.iter().take(usize::from(f.params)).map(|n| (*n, void_ptr)).collect();
        let proto = w.func_proto(&params, int).ok()?;
        let id = w.func(&identifier(&f.name), proto, f.insn == 0);
        func_info.extend_from_slice(&f.insn.to_le_bytes());
        func_info.extend_from_slice(&id.to_le_bytes());
    }
    let mut line_info = Vec::new();
    for (insn, loc) in lines(unit) {
        let place = program.locations.get(loc.0 as usize).or_else(|| program.locations.first());
        let (file, text, line, column) = match place {
            // Parts of long lines would make the blob larger than the kernel takes.
            Some(l) if l.text_column > 1 => (l.file.as_str(), "", l.line, l.column),
            Some(l) => (l.file.as_str(), l.text.trim(), l.line, l.column),
            None => ("script", "", 1, 1),
        };
        for word in [insn, w.string(file), w.string(text), line_col(line, column)] {
            line_info.extend_from_slice(&word.to_le_bytes());
        }
    }
    Some(ProgramTypes { btf: w.to_bytes(), func_info, line_info })
}

const PARAM_NAMES: [&str; 5] = ["ctx", "a", "b", "c", "d"];

/// One line per instruction at most, ascending, and one at the start of each function, as the kernel demands.
fn lines(unit: &Unit) -> Vec<(u32, SrcLoc)> {
    let mut all: Vec<(u32, SrcLoc)> =
        unit.lines.iter().copied().filter(|(_, loc)| *loc != SrcLoc::NONE).collect();
    for f in &unit.funcs {
        let near = unit.lines.iter().rev().find(|(at, _)| *at <= f.insn).or(unit.lines.first());
        all.push((f.insn, near.map_or(SrcLoc::NONE, |n| n.1)));
    }
    // A stable sort keeps the unit's own line in front of the one added for the function.
    all.sort_by_key(|l| l.0);
    all.dedup_by_key(|l| l.0);
    // The second half of a 64-bit load is no instruction of its own.
    all.retain(|(at, _)| unit.insns.get(*at as usize).is_some_and(|i| i.code != 0));
    all
}

/// A name that BTF accepts.
fn identifier(name: &str) -> String {
    let fixed: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '_' }).collect();
    match fixed.chars().next() {
        Some(c) if !c.is_ascii_digit() => fixed,
        _ => format!("_{fixed}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_identifiers() {
        assert_eq!(identifier("kprobe:vfs_read"), "kprobe_vfs_read");
        assert_eq!(identifier("1x"), "_1x");
        assert_eq!(identifier(""), "_");
    }
}
