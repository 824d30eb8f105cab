//! Whole functions from the builder to instructions.

use fathom_bpf::disasm;
use fathom_bpf::helpers::Helper;
use fathom_codegen::ir::{Effect, MapId, Size, SrcLoc, Ty};
use fathom_codegen::{compile_unit, CodegenOptions, FuncBuilder};

/// A counter per process: lookup, atomic add if there, else update with 1.
fn count_by_pid() -> fathom_codegen::ir::Func {
    let mut b = FuncBuilder::new("count", &[Ty::Ptr], SrcLoc(0));
    b.set_loc(SrcLoc(1));
    let key = b.slot(8);
    let value = b.slot(8);
    let pid_tgid = b.call(Helper::GET_CURRENT_PID_TGID, &[], Effect::Once);
    let pid = b.lshr_imm(pid_tgid, 32);
    let key_at = b.slot_addr(key, 0);
    b.store(key_at, 0, Size::B8, pid);
    let map = b.map_ref(MapId(0));
    let found = b.call_ptr(Helper::MAP_LOOKUP_ELEM, &[map, key_at], Effect::Read);
    let (there, absent, done) = (b.new_block(), b.new_block(), b.new_block());
    b.branch_nonzero(found, (there, &[]), (absent, &[]));
    b.seal(there);
    b.seal(absent);
    b.switch_to(there);
    b.set_loc(SrcLoc(2));
    let one = b.iconst(1);
    b.atomic_add(found, 0, Size::B8, one);
    b.jump(done, &[]);
    b.switch_to(absent);
    b.set_loc(SrcLoc(3));
    let one = b.iconst(1);
    let value_at = b.slot_addr(value, 0);
    b.store(value_at, 0, Size::B8, one);
    let flags = b.iconst(0);
    b.call(Helper::MAP_UPDATE_ELEM, &[map, key_at, value_at, flags], Effect::Write);
    b.jump(done, &[]);
    b.seal(done);
    b.switch_to(done);
    b.set_loc(SrcLoc(4));
    let zero = b.iconst(0);
    b.ret(zero);
    b.finish()
}

#[test]
fn counts() {
    let code = compile_unit(vec![count_by_pid()], &CodegenOptions::default(), &mut ()).unwrap();
    println!("{}", disasm::program(&code.insns));
    println!("{:?} {:?} {}", code.relocs, code.lines, code.stack_bytes);
}
