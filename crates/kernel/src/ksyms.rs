//! Names of kernel addresses from the kernel itself: `bpf_snprintf("%pS")` in a syscall program (5.14).
//!
//! No symbol table is read: opening costs about 0.1 ms, an address 1 to 2 µs, and BPF programs and modules have names,
//! too, whatever `kptr_restrict` says. Where [`KernelNames::open`] fails as unsupported, callers read `/proc/kallsyms`.

use std::os::fd::{AsFd, AsRawFd};

use fathom_bpf::helpers::Helper;
use fathom_bpf::insn::Insn;
use fathom_bpf::isa::{Alu, Cond, Reg, Size, Width};
use fathom_bpf::kinds::{map_flags, prog_flags, MapKind, ProgKind};

use crate::error::Result;
use crate::map::{Map, MapMemory, MapSpec, Update};
use crate::prog::{Prog, ProgSpec, TestRun};

/// Addresses per run of the program.
const BATCH: usize = 32;
/// Bytes for a name with offset and module: the kernel's longest symbol has 512.
const SLOT_BYTES: usize = 640;
/// Layout of the shared value: count, addresses, names.
const ADDRESSES_AT: usize = 8;
const NAMES_AT: usize = ADDRESSES_AT + 8 * BATCH;
const VALUE_BYTES: usize = NAMES_AT + SLOT_BYTES * BATCH;

/// A kernel address by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KernelName<'a> {
    /// The symbol.
    pub symbol: &'a str,
    /// Bytes behind the symbol's start.
    pub offset: u64,
    /// Bytes of the symbol.
    pub size: u64,
    /// The module, where it is not the kernel itself.
    pub module: Option<&'a str>,
}

/// Asks the kernel for names.
#[derive(Debug)]
pub struct KernelNames {
    prog: Prog,
    memory: MapMemory,
    /// Held for the program's reference; the memory needs the first, too.
    _maps: [Map; 2],
}

impl KernelNames {
    /// Loads the program. Needs CAP_BPF and CAP_PERFMON, and Linux 5.14.
    pub fn open() -> Result<KernelNames> {
        let format = Map::create(
            &MapSpec::new("ksym_format", MapKind::ARRAY, 4, 8, 1).flags(map_flags::BPF_F_RDONLY_PROG),
        )?;
        format.update(&0u32.to_ne_bytes(), b"%pS\0\0\0\0\0", Update::Any)?;
        format.freeze()?;
        let shared = Map::create(
            &MapSpec::new("ksym_names", MapKind::ARRAY, 4, VALUE_BYTES as u32, 1)
                .flags(map_flags::BPF_F_MMAPABLE),
        )?;
        let memory = shared.memory(true)?;
        let insns = program(format.as_fd().as_raw_fd(), shared.as_fd().as_raw_fd());
        // The kernel takes syscall programs only as sleepable ones.
        let spec = ProgSpec {
            flags: prog_flags::BPF_F_SLEEPABLE,
            ..ProgSpec::new("ksym", ProgKind::SYSCALL, &insns)
        };
        let prog = Prog::load(&spec)?;
        Ok(KernelNames { prog, memory, _maps: [shared, format] })
    }

    /// Names addresses in order: `each` gets the index and the name, `None` for an address without a symbol.
    pub fn resolve(
        &mut self,
        addresses: &[u64],
        each: &mut dyn FnMut(usize, Option<KernelName<'_>>),
    ) -> Result<()> {
        let mut slot = [0u8; SLOT_BYTES];
        for (batch, chunk) in addresses.chunks(BATCH).enumerate() {
            self.memory.store_u64(0, chunk.len() as u64);
            for (i, address) in chunk.iter().enumerate() {
                self.memory.store_u64(ADDRESSES_AT + 8 * i, *address);
            }
            self.prog.test_run(&mut TestRun::default())?;
            for i in 0..chunk.len() {
                self.memory.read(NAMES_AT + SLOT_BYTES * i, &mut slot);
                let end = slot.iter().position(|b| *b == 0).unwrap_or(0);
                let text = slot.get(..end).and_then(|b| std::str::from_utf8(b).ok()).unwrap_or("");
                each(batch * BATCH + i, parse(text));
            }
        }
        Ok(())
    }

    /// The name of one address as `symbol+0x3`, ` [module]` behind it for modules.
    pub fn name(&mut self, address: u64) -> Result<Option<String>> {
        let mut out = None;
        self.resolve(&[address], &mut |_, name| {
            out = name.map(|n| match n.module {
                Some(module) => format!("{}+{:#x} [{module}]", n.symbol, n.offset),
                None => format!("{}+{:#x}", n.symbol, n.offset),
            });
        })?;
        Ok(out)
    }
}

/// Parses what `%pS` writes: `symbol+0x3/0x20 [module]`; `None` for a bare address.
pub fn parse(text: &str) -> Option<KernelName<'_>> {
    let (place, module) = match text.split_once(" [") {
        Some((place, rest)) => (place, rest.split([']', ' ']).next()),
        None => (text, None),
    };
    let (symbol, numbers) = place.rsplit_once('+')?;
    let (offset, size) = numbers.split_once('/')?;
    let hex = |s: &str| u64::from_str_radix(s.strip_prefix("0x").unwrap_or(s), 16).ok();
    if symbol.is_empty() {
        return None;
    }
    Some(KernelName {
        symbol,
        offset: hex(offset)?,
        size: hex(size)?,
        module: module.filter(|m| !m.is_empty()),
    })
}

/// For each address of the shared value: snprintf(slot, "%pS", address).
fn program(format_fd: i32, shared_fd: i32) -> Vec<Insn> {
    use Reg as R;
    let mut p = Vec::new();
    p.extend(Insn::ld_map_value(R::R6, shared_fd, 0)); // r6 = shared value
    p.push(Insn::mov64_imm(R::R7, 0)); //                 r7 = index
    let top = p.len();
    p.push(Insn::ldx(Size::DW, R::R1, R::R6, 0)); //     leave at the count or the end of the array
    let exits = [p.len(), p.len() + 1];
    p.push(Insn::jmp_reg(Width::W64, Cond::Ge, R::R7, R::R1, 0));
    p.push(Insn::jmp_imm(Width::W64, Cond::Ge, R::R7, BATCH as i32, 0));
    p.push(Insn::mov64_reg(R::R2, R::R7)); //             stack[-8] = address[index]
    p.push(Insn::alu64_imm(Alu::Lsh, R::R2, 3));
    p.push(Insn::alu64_reg(Alu::Add, R::R2, R::R6));
    p.push(Insn::ldx(Size::DW, R::R3, R::R2, ADDRESSES_AT as i16));
    p.push(Insn::stx(Size::DW, R::R10, -8, R::R3));
    p.push(Insn::mov64_reg(R::R1, R::R7)); //             r1 = slot[index], emptied
    p.push(Insn::alu64_imm(Alu::Mul, R::R1, SLOT_BYTES as i32));
    p.push(Insn::alu64_imm(Alu::Add, R::R1, NAMES_AT as i32));
    p.push(Insn::alu64_reg(Alu::Add, R::R1, R::R6));
    p.push(Insn::st(Size::B, R::R1, 0, 0));
    p.push(Insn::mov64_imm(R::R2, SLOT_BYTES as i32));
    p.extend(Insn::ld_map_value(R::R3, format_fd, 0));
    p.push(Insn::mov64_reg(R::R4, R::R10));
    p.push(Insn::alu64_imm(Alu::Add, R::R4, -8));
    p.push(Insn::mov64_imm(R::R5, 8));
    p.push(Insn::call(Helper::SNPRINTF));
    p.push(Insn::alu64_imm(Alu::Add, R::R7, 1));
    p.push(Insn::ja((top as i16) - (p.len() as i16) - 1));
    let end = p.len() as i16;
    for at in exits {
        if let Some(jump) = p.get_mut(at) {
            jump.off = end - at as i16 - 1;
        }
    }
    p.extend([Insn::mov64_imm(R::R0, 0), Insn::exit()]);
    p
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernel_texts_are_parsed() {
        let n = parse("do_sys_open+0x3/0x20 [mod]").unwrap();
        assert_eq!((n.symbol, n.offset, n.size, n.module), ("do_sys_open", 3, 32, Some("mod")));
        let n = parse("bpf_prog_ab+cd_x+0x0/0x10 [bpf]").unwrap();
        assert_eq!((n.symbol, n.module), ("bpf_prog_ab+cd_x", Some("bpf")));
        assert_eq!(parse("f+0x1/0x2").unwrap().module, None);
        assert_eq!(parse("0xffffffff81000000"), None);
        assert_eq!(parse(""), None);
        assert_eq!(parse("+0x1/0x2"), None);
    }
}
