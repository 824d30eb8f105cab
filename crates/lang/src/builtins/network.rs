//! Network addresses and byte order: ntop, pton, macaddr, bswap, socket_cookie.

use super::bytes::{raw_bytes, read_bytes};
use super::{check, Builtin, Form};
use crate::analyse::call::CallContext;
use crate::lower::{Lower, LowerError, Operand};
use crate::types::{Space, Type};
use fathom_bpf::helpers::Helper;
use fathom_bpf::kinds::ProgKind;
use fathom_codegen::ir::{Cond, Effect, Size, Ty};
use fathom_syntax::ast::Expr;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

/// `AF_INET` of include/linux/socket.h.
const AF_INET: i64 = 2;
/// `AF_INET6`.
const AF_INET6: i64 = 10;

/// The family.
pub(super) static ROWS: &[Builtin] = &[
    Builtin {
        name: "ntop",
        form: Form::Function,
        signature: "inet ntop([int64 af, ]int | char[4] | char[16] addr)",
        args: (1, 2),
        is_unsafe: false,
        pure_value: true,
        infer: infer_ntop,
        lower: lower_ntop,
        doc: "An IPv4 or IPv6 address in network byte order, printed as text. The family (`AF_INET` 2, `AF_INET6` 10) follows from the \
              size unless it is given.",
        example: "begin { printf(\"%s\\n\", ntop(0x0100007f)); }",
    },
    Builtin {
        name: "pton",
        form: Form::Function,
        signature: "char[4] | char[16] pton(\"address\")",
        args: (1, 1),
        is_unsafe: false,
        pure_value: true,
        infer: infer_pton,
        lower: lower_pton,
        doc: "The bytes of an IPv4 or IPv6 address given as text, in network byte order.",
        example: "begin { print(ntop(pton(\"::1\"))); }",
    },
    Builtin {
        name: "macaddr",
        form: Form::Function,
        signature: "macaddr_t macaddr(char[6] mac)",
        args: (1, 1),
        is_unsafe: false,
        pure_value: true,
        infer: infer_macaddr,
        lower: lower_macaddr,
        doc: "Six bytes, printed as a hardware address `00:1B:44:11:3A:B7`.",
        example: "struct link { char address[6]; }; begin { print(macaddr(((struct link *)0).address)); }",
    },
    Builtin {
        name: "bswap",
        form: Form::Function,
        signature: "uintN bswap(intN n)",
        args: (1, 1),
        is_unsafe: false,
        pure_value: true,
        infer: infer_bswap,
        lower: lower_bswap,
        doc: "The number with its bytes in reverse order, of the size of its type.",
        example: "begin { printf(\"%x\\n\", bswap((uint16)0x1234)); }",
    },
    Builtin {
        name: "socket_cookie",
        form: Form::Function,
        signature: "uint64 socket_cookie(struct sock *sk)",
        args: (1, 1),
        is_unsafe: false,
        pure_value: true,
        infer: infer_socket_cookie,
        lower: lower_socket_cookie,
        doc: "The number by which the kernel tells sockets apart. Where the program may not ask for it, the number that the socket has already is \
              read; it is 0 for sockets that were never asked.",
        example: "rawtracepoint:sock_send_length { print(socket_cookie((struct sock *)arg0)); exit(); }",
    },
];

/// Bytes of an address argument of this type, where the type tells.
fn address_size(ty: &Type) -> Option<u32> {
    match ty {
        Type::Int { .. } | Type::Enum(_) => Some(4),
        Type::Array { elem, count, .. } if check::is_byte(elem) => Some(*count),
        Type::Array { elem, count, .. } => match **elem {
            Type::Int { size, .. } => count.checked_mul(u32::from(size)),
            _ => None,
        },
        Type::Str { capacity } => Some(*capacity),
        Type::Struct { def, .. } => Some(def.size),
        _ => None,
    }
}

fn infer_ntop(cx: &mut CallContext<'_>) -> Type {
    let last = cx.args.len().saturating_sub(1);
    if last == 1 {
        check::integer(cx, 0);
    }
    let Some(ty) = cx.arg_types.get(last).cloned() else { return Type::Inet };
    match (&ty, address_size(&ty)) {
        (Type::Unknown, _) | (_, Some(4 | 16)) => {}
        (Type::Pointer { .. }, _) if last == 1 => match cx.const_int(0) {
            Some(AF_INET | AF_INET6) => {}
            _ => {
                cx.error(cx.arg_span(0), "ntop() of a pointer expects AF_INET or AF_INET6 as first argument")
            }
        },
        (Type::Array { .. } | Type::Str { .. } | Type::Struct { .. }, Some(n)) => {
            cx.error(cx.arg_span(last), format!("ntop() invalid array of {n} bytes: an address has 4 or 16"));
        }
        _ => {
            cx.error(
                cx.arg_span(last),
                format!("ntop() expects an integer or array as address ('{ty}' provided)"),
            );
        }
    }
    Type::Inet
}

fn lower_ntop(l: &mut Lower<'_>, call: &Expr, args: &[Expr]) -> Result<Operand, LowerError> {
    let Some(addr) = args.last() else { return Ok(Operand::Void) };
    let given = match args {
        [af, _] => Some((l.const_int(af), l.scalar(af)?)),
        _ => None,
    };
    let ty = l.ty(addr);
    let size = match (address_size(&ty), &given) {
        (Some(size), _) => size,
        (None, Some((Some(AF_INET6), _))) => 16,
        _ => 4,
    };
    let operand = l.expr(addr)?;
    let from = raw_bytes(l, operand, size, Space::Kernel, call.span)?;
    let place = l.alloc(20)?;
    l.zero(place, 20);
    let af = match given {
        Some((_, af)) => af,
        None => l.b.iconst(if size == 16 { AF_INET6 } else { AF_INET }),
    };
    l.b.store(place.ptr, place.offset, Size::B4, af);
    l.copy(place.at(4), from, size.min(16));
    Ok(Operand::memory(place, Type::Inet))
}

/// The bytes of an address given as text.
fn parse_address(text: &str) -> Option<Vec<u8>> {
    if text.contains(':') {
        text.parse::<Ipv6Addr>().ok().map(|a| a.octets().to_vec())
    } else {
        text.parse::<Ipv4Addr>().ok().map(|a| a.octets().to_vec())
    }
}

fn pton_type(len: usize) -> Type {
    Type::Array { elem: Arc::new(Type::uint(1)), count: len as u32, space: Space::Program }
}

fn infer_pton(cx: &mut CallContext<'_>) -> Type {
    let Some(text) = check::string_literal(cx, 0) else { return Type::Unknown };
    match parse_address(&text) {
        Some(bytes) => pton_type(bytes.len()),
        None => {
            let kind = if text.parse::<IpAddr>().is_ok() { "address" } else { "IPv4 or IPv6 address" };
            cx.error(cx.arg_span(0), format!("pton() expects a string literal of an {kind}, got '{text}'"));
            Type::Unknown
        }
    }
}

fn lower_pton(l: &mut Lower<'_>, _: &Expr, args: &[Expr]) -> Result<Operand, LowerError> {
    let text = args.first().and_then(|a| l.const_str(a)).unwrap_or_default();
    let bytes = parse_address(&String::from_utf8_lossy(&text)).unwrap_or_default();
    let ty = pton_type(bytes.len());
    Ok(Operand::Literal { bytes: bytes.into(), ty })
}

fn infer_macaddr(cx: &mut CallContext<'_>) -> Type {
    let ty = cx.arg_types.first().cloned().unwrap_or_default();
    match &ty {
        Type::Array { elem, count: 6, .. } if check::is_byte(elem) => {}
        Type::Str { capacity: 6 } | Type::Pointer { .. } | Type::Mac | Type::Unknown => {}
        _ => cx.error(cx.arg_span(0), format!("macaddr() expects an array of 6 bytes ('{ty}' provided)")),
    }
    Type::Mac
}

fn lower_macaddr(l: &mut Lower<'_>, call: &Expr, args: &[Expr]) -> Result<Operand, LowerError> {
    let [mac] = args else { return Ok(Operand::Void) };
    let operand = l.expr(mac)?;
    let place = raw_bytes(l, operand, 6, Space::Kernel, call.span)?;
    Ok(Operand::memory(place, Type::Mac))
}

fn infer_bswap(cx: &mut CallContext<'_>) -> Type {
    match cx.arg_types.first() {
        Some(Type::Int { size, .. }) => Type::uint(*size),
        Some(Type::Enum(e)) => Type::uint(e.size),
        _ => {
            check::integer(cx, 0);
            Type::U64
        }
    }
}

fn lower_bswap(l: &mut Lower<'_>, call: &Expr, args: &[Expr]) -> Result<Operand, LowerError> {
    let [number] = args else { return Ok(Operand::Void) };
    let ty = l.ty(call);
    let value = l.scalar(number)?;
    let size = match ty {
        Type::Int { size: 1, .. } => None,
        Type::Int { size: 2, .. } => Some(Size::B2),
        Type::Int { size: 4, .. } => Some(Size::B4),
        _ => Some(Size::B8),
    };
    let value = match size {
        Some(size) => l.b.bswap(size, value),
        None => l.b.extend(Size::B1, false, value),
    };
    Ok(Operand::scalar(value, ty))
}

fn infer_socket_cookie(cx: &mut CallContext<'_>) -> Type {
    let ty = cx.arg_types.first().cloned().unwrap_or_default();
    let is_sock = match &ty {
        Type::Unknown => true,
        Type::Pointer { to, .. } => {
            matches!(&**to, Type::Struct { def, .. } if matches!(&*def.name, "sock" | "sock_common" | "tcp_sock" | "inet_sock"))
        }
        _ => false,
    };
    if !is_sock {
        cx.error(
            cx.arg_span(0),
            format!("socket_cookie() expects a pointer to struct sock as first argument ('{ty}' provided)"),
        );
    }
    Type::U64
}

fn lower_socket_cookie(l: &mut Lower<'_>, call: &Expr, args: &[Expr]) -> Result<Operand, LowerError> {
    let [sock] = args else { return Ok(Operand::Void) };
    let value = l.scalar(sock)?;
    if l.unit.kind == ProgKind::TRACING && l.b.ty(value) == Ty::Ptr {
        let null = l.b.iconst(0);
        let cookie = l.choose(
            Cond::Ne,
            value,
            null,
            |l| Ok(l.b.call(Helper::GET_SOCKET_COOKIE, &[value], Effect::Read)),
            |l| Ok(l.b.iconst(0)),
        )?;
        return Ok(Operand::scalar(cookie, Type::U64));
    }
    // `skc_cookie` is an `atomic64_t` of struct sock_common, which every socket begins with.
    let offset = match l.store.struct_type("sock_common", Space::Kernel) {
        Some(Type::Struct { def, .. }) => l.store.field(&def, "skc_cookie", Space::Kernel, Space::Kernel),
        _ => None,
    };
    let Some(field) = offset else {
        return Err(LowerError::new(call.span, "socket_cookie() needs the kernel's type information here"));
    };
    let addr = l.number(value);
    let addr = l.b.add_imm(addr, i64::from(field.bit_offset / 8));
    let place = read_bytes(l, addr, 8, Space::Kernel, call.span)?;
    let cookie = l.b.load(place.ptr, place.offset, Size::B8, false);
    Ok(Operand::scalar(cookie, Type::U64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_in_network_order() {
        assert_eq!(parse_address("127.0.0.1"), Some(vec![127, 0, 0, 1]));
        assert_eq!(parse_address("::1").map(|b| (b.len(), b[15])), Some((16, 1)));
        assert_eq!(parse_address("127.0.0"), None);
        assert_eq!(parse_address("fe80::zz"), None);
    }
}
