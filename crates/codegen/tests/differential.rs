//! Random functions give the same result evaluated, compiled plainly, and compiled with the optimiser for new and old
//! machines.

use fathom_bpf::helpers::Helper;
use fathom_bpf::interp::{Core, Fault, Host, Interp, Memory};
use fathom_codegen::ir::eval::{self, Memory as EvalMemory};
use fathom_codegen::ir::{
    AtomicOp, BinOp, Cond, Effect, Func, FuncId, Op, Size, Slot, SrcLoc, Ty, Value, Width,
};
use fathom_codegen::{compile_unit, CodegenOptions, FuncBuilder, Var};
use proptest::prelude::*;

const VARS: usize = 9;
/// More than what is copied without a loop, byte by byte.
const SLOT_BYTES: u32 = 96;
const CTX_BYTES: usize = 64;

/// A statement of a random function; indices are taken modulo what there is.
#[derive(Clone, Debug)]
enum Stmt {
    Number(u8, i64),
    Binary { op: u8, wide: bool, to: u8, a: u8, b: u8 },
    BinaryNumber { op: u8, wide: bool, to: u8, a: u8, number: i64 },
    Extend { size: u8, signed: bool, to: u8, a: u8 },
    Swap { size: u8, to: u8, a: u8 },
    Compare { cond: u8, wide: bool, to: u8, a: u8, b: u8 },
    Load { size: u8, signed: bool, at: u8, to: u8 },
    LoadCtx { size: u8, signed: bool, at: u8, to: u8 },
    Store { size: u8, at: u8, a: u8 },
    Atomic { op: u8, fetch: bool, at: u8, to: u8, a: u8 },
    Exchange { at: u8, to: u8, a: u8, b: u8 },
    Copy { at: u8, len: u8 },
    Zero { at: u8, len: u8 },
    Helper { once: bool, to: u8, a: u8, b: u8 },
    Local { to: u8, a: u8, b: u8 },
    If { cond: u8, wide: bool, a: u8, number: Option<i64>, b: u8, then: Vec<Stmt>, otherwise: Vec<Stmt> },
    Repeat { times: u8, guard: bool, body: Vec<Stmt> },
    Return(u8),
}

fn numbers() -> impl Strategy<Value = i64> {
    prop_oneof![
        -9i64..9,
        any::<i64>(),
        any::<i32>().prop_map(i64::from),
        (0u32..64).prop_map(|shift| 1i64 << shift),
        (0u32..64).prop_map(|shift| (1i64 << shift).wrapping_sub(1)),
    ]
}

fn statements() -> impl Strategy<Value = Vec<Stmt>> {
    let i = any::<u8>;
    let bit = any::<bool>;
    let leaf = prop_oneof![
        (i(), numbers()).prop_map(|(to, number)| Stmt::Number(to, number)),
        (i(), bit(), i(), i(), i()).prop_map(|(op, wide, to, a, b)| Stmt::Binary { op, wide, to, a, b }),
        (i(), bit(), i(), i(), numbers()).prop_map(|(op, wide, to, a, number)| Stmt::BinaryNumber {
            op,
            wide,
            to,
            a,
            number
        }),
        (i(), bit(), i(), i()).prop_map(|(size, signed, to, a)| Stmt::Extend { size, signed, to, a }),
        (i(), i(), i()).prop_map(|(size, to, a)| Stmt::Swap { size, to, a }),
        (i(), bit(), i(), i(), i()).prop_map(|(cond, wide, to, a, b)| Stmt::Compare { cond, wide, to, a, b }),
        (i(), bit(), i(), i()).prop_map(|(size, signed, at, to)| Stmt::Load { size, signed, at, to }),
        (i(), bit(), i(), i()).prop_map(|(size, signed, at, to)| Stmt::LoadCtx { size, signed, at, to }),
        (i(), i(), i()).prop_map(|(size, at, a)| Stmt::Store { size, at, a }),
        (i(), bit(), i(), i(), i()).prop_map(|(op, fetch, at, to, a)| Stmt::Atomic { op, fetch, at, to, a }),
        (i(), i(), i(), i()).prop_map(|(at, to, a, b)| Stmt::Exchange { at, to, a, b }),
        (i(), i()).prop_map(|(at, len)| Stmt::Copy { at, len }),
        (i(), i()).prop_map(|(at, len)| Stmt::Zero { at, len }),
        (bit(), i(), i(), i()).prop_map(|(once, to, a, b)| Stmt::Helper { once, to, a, b }),
        (i(), i(), i()).prop_map(|(to, a, b)| Stmt::Local { to, a, b }),
    ];
    let stmt = leaf.prop_recursive(4, 60, 6, move |inner| {
        let body = || prop::collection::vec(inner.clone(), 0..6);
        prop_oneof![
            (any::<u8>(), bit(), i(), prop::option::of(numbers()), i(), body(), body()).prop_map(
                |(cond, wide, a, number, b, then, otherwise)| Stmt::If {
                    cond,
                    wide,
                    a,
                    number,
                    b,
                    then,
                    otherwise
                }
            ),
            (0u8..5, bit(), body()).prop_map(|(times, guard, body)| Stmt::Repeat { times, guard, body }),
            i().prop_map(Stmt::Return),
        ]
    });
    prop::collection::vec(stmt, 1..20)
}

const BINARY: [BinOp; 13] = [
    BinOp::Add,
    BinOp::Sub,
    BinOp::Mul,
    BinOp::UDiv,
    BinOp::SDiv,
    BinOp::UMod,
    BinOp::SMod,
    BinOp::And,
    BinOp::Or,
    BinOp::Xor,
    BinOp::Shl,
    BinOp::LShr,
    BinOp::AShr,
];
const CONDS: [Cond; 11] = [
    Cond::Eq,
    Cond::Ne,
    Cond::Ult,
    Cond::Ule,
    Cond::Ugt,
    Cond::Uge,
    Cond::Slt,
    Cond::Sle,
    Cond::Sgt,
    Cond::Sge,
    Cond::Test,
];
const SIZES: [Size; 4] = [Size::B1, Size::B2, Size::B4, Size::B8];
const ATOMICS: [AtomicOp; 5] = [AtomicOp::Add, AtomicOp::And, AtomicOp::Or, AtomicOp::Xor, AtomicOp::Xchg];

fn pick<T: Copy>(from: &[T], index: u8) -> T {
    from[usize::from(index) % from.len()]
}

fn width(wide: bool) -> Width {
    if wide {
        Width::W64
    } else {
        Width::W32
    }
}

/// Makes a function of statements.
struct Maker {
    b: FuncBuilder,
    vars: Vec<Var>,
    slots: [Slot; 2],
}

impl Maker {
    fn get(&mut self, var: u8) -> Value {
        let var = pick(&self.vars, var);
        self.b.use_var(var)
    }

    fn set(&mut self, var: u8, value: Value) {
        let var = pick(&self.vars, var);
        self.b.def_var(var, value);
    }

    /// A place in one of the slots, for `size` bytes.
    fn place(&mut self, at: u8, size: u32) -> (Value, i32) {
        let slot = self.slots[usize::from(at & 1)];
        let places = SLOT_BYTES / size;
        let offset = (u32::from(at >> 1) % places) * size;
        (self.b.slot_addr(slot, 0), offset as i32)
    }

    fn stmts(&mut self, stmts: &[Stmt]) {
        for stmt in stmts {
            self.stmt(stmt);
        }
    }

    fn stmt(&mut self, stmt: &Stmt) {
        match *stmt {
            Stmt::Number(to, number) => {
                let value = self.b.iconst(number);
                self.set(to, value);
            }
            Stmt::Binary { op, wide, to, a, b } => {
                let (a, b) = (self.get(a), self.get(b));
                let value = self.b.binary(pick(&BINARY, op), width(wide), a, b);
                self.set(to, value);
            }
            Stmt::BinaryNumber { op, wide, to, a, number } => {
                let a = self.get(a);
                let value = self.b.binary_imm(pick(&BINARY, op), width(wide), a, number);
                self.set(to, value);
            }
            Stmt::Extend { size, signed, to, a } => {
                let a = self.get(a);
                let value = self.b.extend(pick(&SIZES, size), signed, a);
                self.set(to, value);
            }
            Stmt::Swap { size, to, a } => {
                let a = self.get(a);
                let value = self.b.bswap(pick(&SIZES[1..], size), a);
                self.set(to, value);
            }
            Stmt::Compare { cond, wide, to, a, b } => {
                let (a, b) = (self.get(a), self.get(b));
                let value = self.b.compare(pick(&CONDS, cond), width(wide), a, b);
                self.set(to, value);
            }
            Stmt::Local { to, a, b } => {
                let args = [self.get(a), self.get(b)];
                let value = self.b.call_local(FuncId(1), &args);
                self.set(to, value);
            }
            Stmt::Helper { once, to, a, b } => {
                let value = if once {
                    self.b.call(Helper::GET_CURRENT_PID_TGID, &[], Effect::Once)
                } else {
                    let args = [self.get(a), self.get(b)];
                    self.b.call(Helper::REDIRECT, &args, Effect::Write)
                };
                self.set(to, value);
            }
            Stmt::If { cond, wide, a, number, b, ref then, ref otherwise } => {
                let a = self.get(a);
                let b = match number {
                    Some(number) => self.b.iconst(number),
                    None => self.get(b),
                };
                let (yes, no, done) = (self.b.new_block(), self.b.new_block(), self.b.new_block());
                self.b.branch(pick(&CONDS, cond), width(wide), a, b, (yes, &[]), (no, &[]));
                for (block, body) in [(yes, then), (no, otherwise)] {
                    self.b.seal(block);
                    self.b.switch_to(block);
                    self.stmts(body);
                    self.b.jump(done, &[]);
                }
                self.b.seal(done);
                self.b.switch_to(done);
            }
            Stmt::Repeat { times, guard, ref body } => self.repeat(times, guard, body),
            Stmt::Return(a) => {
                let value = self.get(a);
                self.b.ret(value);
            }
            _ => self.memory(stmt),
        }
    }

    fn repeat(&mut self, times: u8, guard: bool, body: &[Stmt]) {
        let count = self.b.declare_var(Ty::Int);
        let start = self.b.iconst(i64::from(times));
        self.b.def_var(count, start);
        let (head, inner, done) = (self.b.new_block(), self.b.new_block(), self.b.new_block());
        self.b.jump(head, &[]);
        self.b.switch_to(head);
        if guard {
            let test = self.b.new_block();
            self.b.loop_guard(test, done);
            self.b.seal(test);
            self.b.switch_to(test);
        }
        let left = self.b.use_var(count);
        self.b.branch_imm(Cond::Ne, Width::W64, left, 0, (inner, &[]), (done, &[]));
        self.b.seal(inner);
        self.b.switch_to(inner);
        let left = self.b.sub_imm(left, 1);
        self.b.def_var(count, left);
        self.stmts(body);
        self.b.jump(head, &[]);
        self.b.seal(head);
        self.b.seal(done);
        self.b.switch_to(done);
    }

    fn memory(&mut self, stmt: &Stmt) {
        match *stmt {
            Stmt::Load { size, signed, at, to } => {
                let size = pick(&SIZES, size);
                let (ptr, offset) = self.place(at, size.bytes());
                let value = self.b.load(ptr, offset, size, signed);
                self.set(to, value);
            }
            Stmt::LoadCtx { size, signed, at, to } => {
                let size = pick(&SIZES, size);
                let ctx = self.b.param(0);
                let offset = (u32::from(at) % (CTX_BYTES as u32 / size.bytes()) * size.bytes()) as i64;
                // Half of the offset comes through an addition.
                let ptr = self.b.add_imm(ctx, offset / 2);
                let value = self.b.load_invariant(ptr, (offset - offset / 2) as i32, size, signed);
                self.set(to, value);
            }
            Stmt::Store { size, at, a } => {
                let size = pick(&SIZES, size);
                let value = self.get(a);
                let (ptr, offset) = self.place(at, size.bytes());
                self.b.store(ptr, offset, size, value);
            }
            Stmt::Atomic { op, fetch, at, to, a } => {
                let size = pick(&SIZES[2..], op / 5);
                let op = pick(&ATOMICS, op);
                let value = self.get(a);
                let (ptr, offset) = self.place(at, size.bytes());
                let fetch = fetch || op == AtomicOp::Xchg;
                let op = Op::Atomic { op, ptr, offset, size, value, fetch };
                if fetch {
                    let old = self.b.push(op);
                    self.set(to, old);
                } else {
                    self.b.push_void(op);
                }
            }
            Stmt::Exchange { at, to, a, b } => {
                let (expected, new) = (self.get(a), self.get(b));
                let (ptr, offset) = self.place(at, 8);
                let old = self.b.compare_exchange(ptr, offset, Size::B8, expected, new);
                self.set(to, old);
            }
            Stmt::Copy { at, len } => {
                let len = u32::from(len) % (SLOT_BYTES + 1);
                let dst = self.b.slot_addr(self.slots[usize::from(at & 1)], 0);
                let src = self.b.slot_addr(self.slots[usize::from(!at & 1)], 0);
                self.b.mem_copy(dst, 0, src, 0, len, pick(&[1, 2, 4, 8], at >> 1));
            }
            Stmt::Zero { at, len } => {
                let (ptr, offset) = self.place(at, 8);
                let len = u32::from(len) % (SLOT_BYTES - offset as u32 + 1);
                self.b.mem_zero(ptr, offset, len, pick(&[1, 2, 4, 8], at));
            }
            _ => {}
        }
    }
}

fn make(stmts: &[Stmt]) -> Vec<Func> {
    let mut b = FuncBuilder::new("random", &[Ty::Ptr, Ty::Int, Ty::Int], SrcLoc(0));
    let slots = [b.slot(SLOT_BYTES), b.slot(SLOT_BYTES)];
    for slot in slots {
        let addr = b.slot_addr(slot, 0);
        b.mem_zero(addr, 0, SLOT_BYTES, 8);
    }
    let vars: Vec<Var> = (0..VARS).map(|_| b.declare_var(Ty::Int)).collect();
    // The last variables are left without definition.
    for (i, var) in vars.iter().enumerate().take(2) {
        let param = b.param(i + 1);
        b.def_var(*var, param);
    }
    let mut maker = Maker { b, vars, slots };
    maker.stmts(stmts);
    let mut sum = maker.b.iconst(17);
    for i in 0..VARS {
        let value = maker.get(i as u8);
        let times = maker.b.mul_imm(sum, 31);
        sum = maker.b.add(times, value);
    }
    for at in 0..(SLOT_BYTES / 8 * 2) as u8 {
        let (ptr, offset) = maker.place(at, 8);
        let word = maker.b.load(ptr, offset, Size::B8, false);
        let times = maker.b.mul_imm(sum, 37);
        sum = maker.b.xor(times, word);
    }
    maker.b.ret(sum);
    let mut local = FuncBuilder::new("local", &[Ty::Int, Ty::Int], SrcLoc(1));
    let (a, b) = (local.param(0), local.param(1));
    let product = local.mul(a, b);
    let result = local.sub(product, a);
    local.ret(result);
    vec![maker.b.finish(), local.finish()]
}

/// The helpers of the random functions; what they give depends on how often they were called.
#[derive(Default)]
struct World {
    memory: Memory,
    calls: i64,
}

impl World {
    fn helper_result(&mut self, helper: Helper, a: i64, b: i64) -> Option<i64> {
        if helper == Helper::GET_CURRENT_PID_TGID {
            return Some(0x1234_0000_5678);
        }
        self.calls += 1;
        (helper == Helper::REDIRECT).then(|| a.wrapping_mul(7).wrapping_add(b).wrapping_mul(self.calls))
    }
}

impl eval::Host for World {
    fn operation(&mut self, _memory: &mut EvalMemory, op: &Op, args: &[i64]) -> Option<i64> {
        let Op::Call { helper, .. } = op else { return None };
        let arg = |i| args.get(i).copied().unwrap_or(0);
        self.helper_result(*helper, arg(0), arg(1))
    }
}

impl Host for World {
    fn memory(&mut self) -> &mut Memory {
        &mut self.memory
    }
    fn map(&mut self, _fd: i32) -> Option<u64> {
        None
    }
    fn map_value(&mut self, _fd: i32) -> Option<u64> {
        None
    }
    fn helper(&mut self, _core: &mut Core, helper: Helper, args: [u64; 5]) -> Result<u64, Fault> {
        let result = self.helper_result(helper, args[0] as i64, args[1] as i64);
        result.map(|result| result as u64).ok_or_else(|| Fault::misuse("helper", "unknown"))
    }
    fn kfunc(&mut self, _core: &mut Core, _id: i32, _fd: i16, _args: [u64; 5]) -> Result<u64, Fault> {
        Err(Fault::misuse("kfunc", "unknown"))
    }
}

fn context() -> Vec<u8> {
    (0..CTX_BYTES as u8).map(|i| i.wrapping_mul(73).wrapping_add(5)).collect()
}

/// The result of compiled code, with the number of helper calls.
fn run_compiled(funcs: &[Func], options: &CodegenOptions, args: [i64; 2]) -> Result<(i64, i64), String> {
    let code = compile_unit(funcs.to_vec(), options, &mut ()).map_err(|error| error.to_string())?;
    let mut world = World { memory: Memory::new(), calls: 0 };
    let ctx = world.memory.map(fathom_bpf::interp::Space::Ctx, context(), false);
    let result = Interp::new(&code.insns, &mut world).run(&[ctx, args[0] as u64, args[1] as u64]);
    let listing = || fathom_bpf::disasm::program(&code.insns);
    let result = result.map_err(|error| format!("{error}\n{}", listing()))?;
    Ok((result as i64, world.calls))
}

fn agree(stmts: &[Stmt], args: [i64; 2]) -> Result<(), TestCaseError> {
    let funcs = make(stmts);
    let mut world = World { memory: Memory::new(), calls: 0 };
    let mut memory = EvalMemory::default();
    let ctx = memory.add(context());
    let result = eval::run(&funcs, &[ctx as i64, args[0], args[1]], &mut memory, &mut world, 1_000_000);
    let wanted = (result.map_err(|error| TestCaseError::fail(error.to_string()))?, world.calls);
    for (optimise, cpu_v4, may_goto) in [(false, true, true), (true, true, true), (true, false, false)] {
        let options = CodegenOptions { optimise, cpu_v4, may_goto, verify: true };
        let got = run_compiled(&funcs, &options, args);
        prop_assert_eq!(got, Ok(wanted), "{:?}\n{}", options, funcs[0]);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, max_shrink_iters: 20_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn compiled_code_does_what_the_function_says(stmts in statements(), a in numbers(), b in numbers()) {
        agree(&stmts, [a, b])?;
    }
}
