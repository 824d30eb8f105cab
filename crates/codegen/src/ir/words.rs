//! The words of the text form: one table per kind, read both ways by printer and parser.

use super::{AtomicOp, BinOp, Cond, Effect, LoadConst};

/// Arithmetic.
pub(super) const BINARY: &[(BinOp, &str)] = &[
    (BinOp::Add, "add"),
    (BinOp::Sub, "sub"),
    (BinOp::Mul, "mul"),
    (BinOp::UDiv, "udiv"),
    (BinOp::SDiv, "sdiv"),
    (BinOp::UMod, "umod"),
    (BinOp::SMod, "smod"),
    (BinOp::And, "and"),
    (BinOp::Or, "or"),
    (BinOp::Xor, "xor"),
    (BinOp::Shl, "shl"),
    (BinOp::LShr, "lshr"),
    (BinOp::AShr, "ashr"),
];

/// Conditions.
pub(super) const CONDITIONS: &[(Cond, &str)] = &[
    (Cond::Eq, "eq"),
    (Cond::Ne, "ne"),
    (Cond::Ult, "ult"),
    (Cond::Ule, "ule"),
    (Cond::Ugt, "ugt"),
    (Cond::Uge, "uge"),
    (Cond::Slt, "slt"),
    (Cond::Sle, "sle"),
    (Cond::Sgt, "sgt"),
    (Cond::Sge, "sge"),
    (Cond::Test, "test"),
];

/// Effects of calls.
pub(super) const EFFECTS: &[(Effect, &str)] =
    &[(Effect::Once, "once"), (Effect::Read, "read"), (Effect::Write, "write")];

/// Atomic operations.
pub(super) const ATOMICS: &[(AtomicOp, &str)] = &[
    (AtomicOp::Add, "add"),
    (AtomicOp::And, "and"),
    (AtomicOp::Or, "or"),
    (AtomicOp::Xor, "xor"),
    (AtomicOp::Xchg, "xchg"),
];

/// Numbers known at load time.
pub(super) const LOAD_CONSTS: &[(LoadConst, &str)] = &[
    (LoadConst::StartTimeNs, "start_time_ns"),
    (LoadConst::StartBootTimeNs, "start_boot_time_ns"),
    (LoadConst::ChildPid, "child_pid"),
    (LoadConst::OwnPid, "own_pid"),
    (LoadConst::PidNsDev, "pid_ns_dev"),
    (LoadConst::PidNsIno, "pid_ns_ino"),
];

/// The word of a value of a table.
pub(super) fn word<T: PartialEq>(table: &'static [(T, &'static str)], value: &T) -> &'static str {
    table.iter().find(|row| row.0 == *value).map_or("?", |row| row.1)
}

/// The value of a word of a table.
pub(super) fn value<T: Copy>(table: &[(T, &str)], word: &str) -> Option<T> {
    table.iter().find(|row| row.1 == word).map(|row| row.0)
}
