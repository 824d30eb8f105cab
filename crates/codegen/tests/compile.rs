//! Whole functions from the builder, or from text, to instructions.

use fathom_bpf::disasm;
use fathom_bpf::helpers::Helper;
use fathom_codegen::ir::parse::parse;
use fathom_codegen::ir::{Cond, Effect, Func, LoadConst, MapId, Size, SrcLoc, Ty, Width};
use fathom_codegen::program::RelocTarget;
use fathom_codegen::{compile_unit, CodegenErrorKind, CodegenOptions, CompiledCode, FuncBuilder};

fn compile(funcs: Vec<Func>) -> CompiledCode {
    compile_unit(funcs, &CodegenOptions::default(), &mut ()).unwrap_or_else(|error| panic!("{error}"))
}

/// The instructions of functions in text form, one per line without labels of their own.
fn listing(text: &str) -> Vec<String> {
    let code = compile(parse(text).unwrap());
    disasm::program(&code.insns).lines().map(|line| line.trim().to_owned()).collect()
}

/// A counter per process: lookup, atomic add if there, else update with 1.
fn count_by_pid() -> Func {
    let mut b = FuncBuilder::new("count", &[Ty::Ptr], SrcLoc(0));
    b.set_loc(SrcLoc(1));
    let key = b.slot(8);
    let value = b.slot(8);
    let pid_tgid = b.call(Helper::GET_CURRENT_PID_TGID, &[], Effect::Once);
    let pid = b.lshr_imm(pid_tgid, 32);
    let key_at = b.slot_addr(key, 0);
    b.store(key_at, 0, Size::B8, pid);
    let map = b.map_ref(MapId(3));
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
    let code = compile(vec![count_by_pid()]);
    assert_eq!(
        disasm::program(&code.insns),
        "    call get_current_pid_tgid
    r0 >>= 32
    *(u64 *)(r10 - 8) = r0
    r1 = map_fd 0
    r2 = r10
    r2 += -8
    call map_lookup_elem
    if r0 == 0 goto L12
    r1 = 1
    lock *(u64 *)(r0 + 0) += r1
    goto L21
L12:
    *(u64 *)(r10 - 16) = 1
    r1 = map_fd 0
    r2 = r10
    r2 += -8
    r3 = r10
    r3 += -16
    r4 = 0
    call map_update_elem
L21:
    r0 = 0
    exit
"
    );
    let relocs: Vec<_> = code.relocs.iter().map(|reloc| (reloc.insn, reloc.target.clone())).collect();
    assert_eq!(relocs, [(3, RelocTarget::Map(MapId(3))), (13, RelocTarget::Map(MapId(3)))]);
    assert_eq!(code.lines, [(0, SrcLoc(1)), (9, SrcLoc(2)), (12, SrcLoc(3)), (21, SrcLoc(4))]);
    assert_eq!(code.stack_bytes, 16);
    assert_eq!((code.funcs[0].insn, code.funcs[0].params), (0, 1));
}

#[test]
fn context_is_read_through_itself() {
    // The kernel refuses `r2 = ctx; r2 += 8; *(r2 + 0)`.
    for optimise in [false, true] {
        let funcs = parse(
            r#"func "f" {
b0(v0: ptr):
  v1 = call.write get_current_pid_tgid
  v2 = const 8
  v3: ptr = add v0, v2
  v4: ptr = add v3, v2
  v5 = load.u8 [v4 + 4]
  return v5
}"#,
        );
        let options = CodegenOptions { optimise, ..CodegenOptions::default() };
        let code = compile_unit(funcs.unwrap(), &options, &mut ()).unwrap();
        let text = disasm::program(&code.insns);
        assert!(text.contains("*(u64 *)(r6 + 20)"), "{text}");
    }
}

#[test]
fn bounds_are_checked_on_the_value_that_is_used() {
    // The register that is compared is the one that is added: no copy is made before the check.
    let lines = listing(
        r#"func "f" {
b0(v0: ptr):
  v1 = load.u4.invariant [v0 + 8]
  v2: ptr = map_value 0
  v3 = const 100
  branch.ult v1, v3, b1, b2
b1:
  v4: ptr = add v2, v1
  v5 = load.u1 [v4 + 3]
  return v5
b2:
  return v3
}"#,
    );
    assert_eq!(
        lines,
        [
            "r2 = *(u32 *)(r1 + 8)",
            "if r2 >= 100 goto L7",
            "r5 = map_value 0 +0",
            "r5 += r2",
            "r0 = *(u8 *)(r5 + 3)",
            "exit",
            "L7:",
            "r0 = 100",
            "exit"
        ]
    );
}

#[test]
fn loads_stay_behind_their_null_check() {
    let lines = listing(
        r#"func "f" {
b0(v0: ptr):
  v1: ptr = load.u8.invariant [v0]
  v2 = const 0
  branch.eq v1, v2, b2(v2), b1
b1:
  v3 = load.u8.invariant [v1 + 8]
  branch.eq v1, v2, b2(v2), b3
b3:
  v4 = load.u8.invariant [v1 + 8]
  v5 = add v3, v4
  jump b2(v5)
b2(v6):
  return v6
}"#,
    );
    assert_eq!(
        lines,
        [
            "r2 = *(u64 *)(r1 + 0)",
            "if r2 != 0 goto L4",
            "r0 = 0",
            "exit",
            "L4:",
            "r0 = *(u64 *)(r2 + 8)",
            "r0 += r0",
            "exit"
        ]
    );
}

#[test]
fn long_copies_and_clears_are_loops() {
    let lines = listing(
        r#"func "f" {
b0(v0: ptr):
  v1: ptr = map_value 0
  v2: ptr = map_value 1
  zero [v1], 4100, align 8
  copy [v2 + 4], [v1], 260, align 1
  v3 = const 0
  return v3
}"#,
    );
    assert!(lines.len() < 60, "{lines:#?}");
    assert!(lines.iter().any(|line| line.starts_with("if r") && line.contains("!= 0 goto")), "{lines:#?}");
}

#[test]
fn guarded_loops() {
    let text = r#"func "f" {
b0(v0: ptr):
  v1 = const 0
  jump b1(v1)
b1(v2):
  guard b2, b3
b2:
  v3 = call.write get_prandom_u32
  v4 = add v2, v3
  v5 = const 1000
  branch.ult v4, v5, b1(v4), b3
b3:
  return v2
}"#;
    let lines = listing(text);
    assert!(lines.iter().any(|line| line.starts_with("may_goto")), "{lines:#?}");
    let options = CodegenOptions { may_goto: false, ..CodegenOptions::default() };
    let code = compile_unit(parse(text).unwrap(), &options, &mut ()).unwrap();
    assert!(!disasm::program(&code.insns).contains("may_goto"));
}

#[test]
fn frames_are_limited() {
    let mut b = FuncBuilder::new("large", &[Ty::Ptr], SrcLoc::NONE);
    let (first, second) = (b.slot(300), b.slot(216));
    for slot in [first, second] {
        let addr = b.slot_addr(slot, 0);
        b.call(Helper::GET_CURRENT_COMM, &[addr, addr], Effect::Write);
    }
    let addr = b.slot_addr(first, 0);
    let word = b.load(addr, 0, Size::B8, false);
    b.ret(word);
    let error = compile_unit(vec![b.finish()], &CodegenOptions::default(), &mut ()).unwrap_err();
    assert_eq!(error.kind, CodegenErrorKind::StackTooLarge { used: 520, limit: 512 });
    assert!(error.to_string().starts_with("large: 520 bytes of stack are needed, 512 are there"), "{error}");
}

#[test]
fn frames_of_callees_count() {
    let func = |name: &str, callee: Option<u32>| {
        let mut b = FuncBuilder::new(name, &[Ty::Ptr], SrcLoc::NONE);
        let slot = b.slot(288);
        let addr = b.slot_addr(slot, 0);
        b.call(Helper::GET_CURRENT_COMM, &[addr, addr], Effect::Write);
        let result = match callee {
            Some(callee) => b.call_local(fathom_codegen::ir::FuncId(callee), &[addr]),
            None => b.iconst(0),
        };
        b.ret(result);
        b.finish()
    };
    let options = CodegenOptions::default();
    let error = compile_unit(vec![func("a", Some(1)), func("b", None)], &options, &mut ()).unwrap_err();
    assert_eq!(error.kind, CodegenErrorKind::StackTooLarge { used: 576, limit: 512 });
    let error = compile_unit(vec![func("a", Some(0))], &options, &mut ()).unwrap_err();
    assert_eq!(error.kind, CodegenErrorKind::CallsTooDeep);
    // A function that nobody calls is left out.
    let code = compile_unit(vec![func("a", None), func("b", None)], &options, &mut ()).unwrap();
    assert_eq!(code.funcs.len(), 1);
}

#[test]
fn slots_share_memory_when_they_are_not_alive_together() {
    let mut b = FuncBuilder::new("f", &[Ty::Ptr], SrcLoc::NONE);
    for _ in 0..100 {
        let slot = b.slot(64);
        let addr = b.slot_addr(slot, 0);
        let len = b.iconst(64);
        b.call(Helper::GET_CURRENT_COMM, &[addr, len], Effect::Write);
    }
    let zero = b.iconst(0);
    b.ret(zero);
    assert_eq!(compile(vec![b.finish()]).stack_bytes, 64);
}

#[test]
fn pressure_spills_to_the_stack() {
    let mut b = FuncBuilder::new("f", &[Ty::Ptr], SrcLoc::NONE);
    let values: Vec<_> = (0..20).map(|_| b.call(Helper::KTIME_GET_NS, &[], Effect::Write)).collect();
    let mut sum = b.iconst(0);
    for value in values {
        sum = b.add(sum, value);
    }
    b.ret(sum);
    let code = compile(vec![b.finish()]);
    assert!((80..=160).contains(&code.stack_bytes), "{}", code.stack_bytes);
}

#[test]
fn calls_between_functions_and_callbacks() {
    let text = r#"func "main" {
b0(v0: ptr):
  v1 = const 10
  v2: ptr = func 2
  v3 = const 0
  v4 = call.write loop(v1, v2, v3, v3)
  v5 = call_local 1(v4)
  return v5
}
func "twice" {
b0(v0):
  v1 = add v0, v0
  return v1
}
func "body" {
b0(v0, v1: ptr):
  v2 = const 0
  return v2
}"#;
    let code = compile(parse(text).unwrap());
    let starts: Vec<u32> = code.funcs.iter().map(|func| func.insn).collect();
    let call = code.insns.iter().position(|insn| insn.code == 0x85 && insn.src() == 1).unwrap();
    assert_eq!(call as i64 + 1 + i64::from(code.insns[call].imm), i64::from(starts[1]));
    let load = code.insns.iter().position(|insn| insn.code == 0x18 && insn.src() == 4).unwrap();
    assert_eq!(load as i64 + 1 + i64::from(code.insns[load].imm), i64::from(starts[2]));
}

#[test]
fn numbers_known_at_load_time_are_relocated() {
    let mut b = FuncBuilder::new("f", &[Ty::Ptr], SrcLoc::NONE);
    let start = b.load_const(LoadConst::StartTimeNs);
    let now = b.call(Helper::KTIME_GET_NS, &[], Effect::Read);
    let elapsed = b.sub(now, start);
    b.ret(elapsed);
    let code = compile(vec![b.finish()]);
    assert_eq!(code.relocs.len(), 1);
    assert_eq!(code.relocs[0].target, RelocTarget::Const(LoadConst::StartTimeNs));
    assert_eq!(code.insns[code.relocs[0].insn as usize].code, 0x18);
}

#[test]
fn malformed_functions_are_reported() {
    let text = "func \"f\" {\nb0(v0: ptr):\n  v1 = add v2, v0\n  v2 = const 1\n  return v1\n}";
    let error = compile_unit(parse(text).unwrap(), &CodegenOptions::default(), &mut ()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "bug in the compiler: f is malformed after lower: block 0, operation 0: \
         the definition of v2 does not dominate its use"
    );
}

#[test]
fn variables_become_values() {
    // sum of 0..10 with a loop over variables.
    let mut b = FuncBuilder::new("f", &[Ty::Ptr], SrcLoc::NONE);
    let (sum, i) = (b.declare_var(Ty::Int), b.declare_var(Ty::Int));
    let zero = b.iconst(0);
    b.def_var(sum, zero);
    b.def_var(i, zero);
    let (head, body, done) = (b.new_block(), b.new_block(), b.new_block());
    b.jump(head, &[]);
    b.switch_to(head);
    let at = b.use_var(i);
    b.branch_imm(Cond::Slt, Width::W64, at, 10, (body, &[]), (done, &[]));
    b.seal(body);
    b.switch_to(body);
    let (old, at) = (b.use_var(sum), b.use_var(i));
    let new = b.add(old, at);
    b.def_var(sum, new);
    let next = b.add_imm(at, 1);
    b.def_var(i, next);
    b.jump(head, &[]);
    b.seal(head);
    b.seal(done);
    b.switch_to(done);
    let result = b.use_var(sum);
    b.ret(result);
    let func = b.finish();
    assert_eq!(
        func.to_string().lines().filter(|line| line.starts_with('b')).collect::<Vec<_>>().len(),
        4,
        "{func}"
    );
    let head = func.to_string().lines().find(|line| line.starts_with("b1")).map(str::to_owned);
    assert_eq!(head.map(|line| line.matches('v').count()), Some(2), "{func}");
}
