//! Compiled code for people: disassembly with the source lines between, as `-d bpf` prints it.

use crate::compile::CompiledCode;
use crate::ir::SrcLoc;
use crate::program::{FuncInfo, Location, MapDef, Program, Reloc, RelocTarget, Unit};
use fathom_bpf::disasm::{program_with, Names};
use fathom_bpf::insn::Insn;
use fathom_bpf::op::walk;
use std::fmt::Write;

/// The instructions of compiled code. Places without known location and maps without definition go by number.
pub fn of_code(code: &CompiledCode, maps: &[MapDef], locations: &[Location]) -> String {
    let CompiledCode { insns, relocs, funcs, lines, .. } = code;
    Parts { insns, relocs, funcs, lines, maps, locations }.text()
}

/// The instructions of a unit of a program.
pub fn of_unit(unit: &Unit, program: &Program) -> String {
    let Unit { insns, relocs, funcs, lines, .. } = unit;
    Parts { insns, relocs, funcs, lines, maps: &program.maps, locations: &program.locations }.text()
}

struct Parts<'a> {
    insns: &'a [Insn],
    relocs: &'a [Reloc],
    funcs: &'a [FuncInfo],
    lines: &'a [(u32, SrcLoc)],
    maps: &'a [MapDef],
    locations: &'a [Location],
}

impl Names for Parts<'_> {
    fn remark(&self, slot: usize) -> Option<String> {
        let reloc = self.relocs.iter().find(|reloc| reloc.insn as usize == slot)?;
        let map = |id: crate::ir::MapId| match self.maps.get(id.0 as usize) {
            Some(map) => map.name.clone(),
            None => format!("map {}", id.0),
        };
        Some(match &reloc.target {
            RelocTarget::Map(id) => map(*id),
            RelocTarget::MapValue(id) => format!("value of {}", map(*id)),
            RelocTarget::Const(which) => format!("{which:?}"),
            RelocTarget::Kfunc(name) => name.clone(),
            RelocTarget::KernelSymbol(name) => format!("&{name}"),
        })
    }
}

impl Parts<'_> {
    fn text(&self) -> String {
        let disassembly = program_with(self.insns, self);
        let mut slots = walk(self.insns).map(|(slot, _)| slot as u32);
        let mut out = String::new();
        // Instructions are indented, labels are not; a label comes before its instruction.
        let mut labels = String::new();
        for line in disassembly.lines() {
            if !line.starts_with(' ') {
                let _ = writeln!(labels, "{line}");
                continue;
            }
            if let Some(slot) = slots.next() {
                self.heading(slot, &mut out);
            }
            out.push_str(&labels);
            labels.clear();
            let _ = writeln!(out, "{}", line.trim_end());
        }
        out
    }

    /// The function and the source line that begin at an instruction.
    fn heading(&self, slot: u32, out: &mut String) {
        for func in self.funcs.iter().filter(|func| func.insn == slot) {
            let _ = writeln!(out, "{}:", func.name);
        }
        let at = self.lines.binary_search_by_key(&slot, |(insn, _)| *insn);
        let Some((_, loc)) = at.ok().and_then(|at| self.lines.get(at)) else { return };
        let _ = match self.locations.get(loc.0 as usize) {
            Some(Location { file, line, column, text, .. }) => {
                writeln!(out, "; {file}:{line}:{column}: {}", text.trim())
            }
            None if *loc == SrcLoc::NONE => Ok(()),
            None => writeln!(out, "; location {}", loc.0),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compile::{compile_unit, CodegenOptions};
    use crate::ir::parse::parse;

    #[test]
    fn shows_source_between_instructions() {
        let funcs = parse(
            r#"func "main" @0 {
b0(v0: ptr):
  v1 = load.u4.invariant [v0 + 8] @0
  v2: ptr = map_value 0 + 8 @1
  store.4 [v2], v1 @1
  return v1 @7
}"#,
        )
        .unwrap();
        let code = compile_unit(funcs, &CodegenOptions::default(), &mut ()).unwrap();
        let location = |line, text: &str| Location {
            file: "x.bt".into(),
            line,
            column: 3,
            text: text.into(),
            ..Location::default()
        };
        let locations = [location(1, "  $a = args.x;"), location(2, "  @ = $a;")];
        assert_eq!(
            of_code(&code, &[], &locations),
            "main:\n\
             ; x.bt:1:3: $a = args.x;\n    r0 = *(u32 *)(r1 + 8)\n\
             ; x.bt:2:3: @ = $a;\n    r4 = map_value 0 +8                      ; value of map 0\n    \
             *(u32 *)(r4 + 0) = r0\n\
             ; location 7\n    exit\n"
        );
    }
}
