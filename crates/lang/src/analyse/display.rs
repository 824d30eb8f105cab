//! Types as text, in the language's own spelling.

use crate::types::{Agg, Type};
use std::fmt;

impl fmt::Display for Agg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, signed) = match self {
            Agg::Count => ("count_t", true),
            Agg::Sum { signed } => ("sum_t", *signed),
            Agg::Min { signed } => ("min_t", *signed),
            Agg::Max { signed } => ("max_t", *signed),
            Agg::Avg { signed } => ("avg_t", *signed),
            Agg::Stats { signed } => ("stats_t", *signed),
            Agg::Hist { .. } => ("hist_t", true),
            Agg::Lhist { .. } => ("lhist_t", true),
            Agg::Tseries { .. } => ("tseries_t", true),
        };
        write!(f, "{}{name}", if signed { "" } else { "u" })
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Type::Unknown => f.write_str("none"),
            Type::Void => f.write_str("void"),
            Type::Bool => f.write_str("bool"),
            Type::Int { size, signed } => {
                write!(f, "{}int{}", if *signed { "" } else { "u" }, u32::from(*size) * 8)
            }
            Type::Enum(e) if e.table.name.is_empty() => f.write_str("enum"),
            Type::Enum(e) => write!(f, "enum {}", e.table.name),
            Type::Pointer { to, .. } => match to.as_ref() {
                Type::Pointer { .. } => write!(f, "{to}*"),
                Type::Unknown => f.write_str("void *"),
                _ => write!(f, "{to} *"),
            },
            Type::Array { elem, count, .. } => write!(f, "{elem}[{count}]"),
            Type::Struct { def, .. } => {
                let tag = if def.is_union { "union" } else { "struct" };
                write!(f, "{tag} {}", if def.name.is_empty() { "<anonymous>" } else { &def.name })
            }
            Type::Str { capacity } => write!(f, "string[{capacity}]"),
            Type::Buffer { capacity } => write!(f, "buffer[{capacity}]"),
            Type::Tuple(members) => {
                f.write_str("(")?;
                for (i, m) in members.iter().enumerate() {
                    write!(f, "{}{m}", if i == 0 { "" } else { "," })?;
                }
                f.write_str(")")
            }
            Type::Record(members) => {
                f.write_str("(")?;
                for (i, (name, m)) in members.iter().enumerate() {
                    write!(f, "{}{name}={m}", if i == 0 { "" } else { "," })?;
                }
                f.write_str(")")
            }
            Type::Inet => f.write_str("inet"),
            Type::Mac => f.write_str("macaddr_t"),
            Type::KernelStack { .. } => f.write_str("kstack_t"),
            Type::UserStack { .. } => f.write_str("ustack_t"),
            Type::KernelSym => f.write_str("ksym_t"),
            Type::UserSym => f.write_str("usym_t"),
            Type::Username => f.write_str("username_t"),
            Type::Timestamp(_) => f.write_str("timestamp"),
            Type::CgroupPath(_) => f.write_str("cgroup_path_t"),
            Type::ErrorName => f.write_str("strerror_t"),
            Type::SignalName => f.write_str("signal_name_t"),
            Type::SyscallName => f.write_str("syscall_name_t"),
            Type::Aggregation(a) => write!(f, "{a}"),
            Type::Args => f.write_str("args"),
            Type::TypeValue(t) => write!(f, "typeof({t})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Space;

    #[test]
    fn types_read_as_they_are_written() {
        let tuple = Type::Tuple([Type::int(1), Type::Str { capacity: 2 }].into());
        assert_eq!(tuple.to_string(), "(int8,string[2])");
        assert_eq!(
            Type::pointer(Type::pointer(Type::U64, Space::User), Space::User).to_string(),
            "uint64 **"
        );
        assert_eq!(Type::Aggregation(Agg::Sum { signed: false }).to_string(), "usum_t");
    }
}
