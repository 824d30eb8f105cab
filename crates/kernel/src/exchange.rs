//! Takes values out of an array and leaves zeros, each word in one atomic step: what programs add meanwhile is neither lost nor seen twice.
//!
//! Reading and then writing zeros by bpf(2) loses the updates in between. Here a syscall program (5.14, for per-CPU arrays 5.19) exchanges
//! the words. About 1 µs per CPU.

use std::os::fd::{AsFd, AsRawFd};

use fathom_bpf::helpers::Helper;
use fathom_bpf::insn::Insn;
use fathom_bpf::isa::{Alu, AtomicOp, Cond, Reg, Size, Width};
use fathom_bpf::kinds::{map_flags, prog_flags, MapKind, ProgKind};

use crate::cpu;
use crate::error::{Error, Result};
use crate::map::{Map, MapMemory, MapSpec};
use crate::prog::{Prog, ProgSpec, TestRun};

/// Largest value in bytes: the program visits each word, and the verifier each visit.
const VALUE_BYTES_MAX: usize = 16 << 10;
/// Layout of the shared memory: CPU, key, then the value.
const KEY_AT: usize = 8;
const VALUE_AT: usize = 16;

/// Takes values out of one array.
#[derive(Debug)]
pub struct Exchange {
    prog: Prog,
    memory: MapMemory,
    /// Held for the memory.
    _shared: Map,
    value_size: usize,
    cpus: Option<usize>,
}

impl Exchange {
    /// Prepares the program for an array or per-CPU array whose values are whole words of 8 bytes.
    ///
    /// # Errors
    /// Other maps; a kernel without syscall programs or (for per-CPU arrays) without `bpf_map_lookup_percpu_elem`.
    pub fn open(map: &Map) -> Result<Exchange> {
        let value_size = map.value_size();
        let fits = value_size.is_multiple_of(8) && (8..=VALUE_BYTES_MAX).contains(&value_size);
        if !matches!(map.kind(), MapKind::ARRAY | MapKind::PERCPU_ARRAY) || !fits {
            let why = "only arrays of values of whole words up to 16 KiB can be exchanged";
            return Err(Error::other("exchange values of", format!("`{}`", map.name()), why));
        }
        let shared = Map::create(
            &MapSpec::new("exchange", MapKind::ARRAY, 4, (VALUE_AT + value_size) as u32, 1)
                .flags(map_flags::BPF_F_MMAPABLE),
        )?;
        let memory = shared.memory(true)?;
        let is_percpu = map.kind().is_percpu();
        let fds = (map.as_fd().as_raw_fd(), shared.as_fd().as_raw_fd());
        let insns = program(fds, is_percpu, value_size as i32);
        let spec = ProgSpec {
            flags: prog_flags::BPF_F_SLEEPABLE,
            ..ProgSpec::new("exchange", ProgKind::SYSCALL, &insns)
        };
        let prog = Prog::load(&spec)?;
        let cpus = is_percpu.then(cpu::possible_count);
        Ok(Exchange { prog, memory, _shared: shared, value_size, cpus })
    }

    /// The value of an element, as [`Map::lookup`] gives it; zeros are in its place. `None` when there is no such element.
    ///
    /// # Errors
    /// The kernel's.
    pub fn take(&mut self, key: u32) -> Result<Option<Vec<u8>>> {
        let mut out = vec![0; self.value_size * self.cpus.unwrap_or(1)];
        self.memory.store_u64(KEY_AT, u64::from(key));
        for (cpu, value) in out.chunks_mut(self.value_size).enumerate() {
            self.memory.store_u64(0, cpu as u64);
            if self.prog.test_run(&mut TestRun::default())?.retval == 0 {
                return Ok(None);
            }
            self.memory.read(VALUE_AT, value);
        }
        Ok(Some(out))
    }
}

/// `value = lookup(map, key, cpu); for each word: shared[word] = exchange(value[word], 0)`. Returns whether there is a value.
fn program((map_fd, shared_fd): (i32, i32), is_percpu: bool, value_size: i32) -> Vec<Insn> {
    use Reg as R;
    let mut p = Vec::new();
    p.extend(Insn::ld_map_value(R::R6, shared_fd, 0)); //  r6 = shared memory
    p.push(Insn::ldx(Size::W, R::R1, R::R6, KEY_AT as i16));
    p.push(Insn::stx(Size::W, R::R10, -4, R::R1));
    p.extend(Insn::ld_map_fd(R::R1, map_fd));
    p.push(Insn::mov64_reg(R::R2, R::R10));
    p.push(Insn::alu64_imm(Alu::Add, R::R2, -4));
    p.push(Insn::ldx(Size::W, R::R3, R::R6, 0));
    let lookup = if is_percpu { Helper::MAP_LOOKUP_PERCPU_ELEM } else { Helper::MAP_LOOKUP_ELEM };
    p.push(Insn::call(lookup));
    p.push(Insn::jmp_imm(Width::W64, Cond::Ne, R::R0, 0, 1));
    p.push(Insn::exit()); //                               no value: r0 is 0
    p.push(Insn::mov64_imm(R::R7, 0)); //                  r7 = offset
    let top = p.len();
    p.push(Insn::mov64_reg(R::R2, R::R0));
    p.push(Insn::alu64_reg(Alu::Add, R::R2, R::R7));
    p.push(Insn::mov64_imm(R::R3, 0));
    p.push(Insn::atomic(AtomicOp::Xchg, Size::DW, R::R2, 0, R::R3));
    p.push(Insn::mov64_reg(R::R4, R::R6));
    p.push(Insn::alu64_reg(Alu::Add, R::R4, R::R7));
    p.push(Insn::stx(Size::DW, R::R4, VALUE_AT as i16, R::R3));
    p.push(Insn::alu64_imm(Alu::Add, R::R7, 8));
    let back = top as i16 - p.len() as i16 - 1;
    p.push(Insn::jmp_imm(Width::W64, Cond::Lt, R::R7, value_size, back));
    p.extend([Insn::mov64_imm(R::R0, 1), Insn::exit()]);
    p
}
