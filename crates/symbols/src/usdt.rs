//! Arguments of USDT probes on x86-64: the operands of assembly that the note of a probe carries.
//!
//! An argument is `[-]SIZE[f]@OPERAND`: a minus for signed values, `f` for floating point, the operand in AT&T
//! syntax (`%edi`, `$5`, `-80(%rbp)`, `8(%rax,%rbx,8)`, `table+16(%rip)`, `%fs:-8`).
//! Grammar: systemtap's `sys/sdt.h` and its wiki page UserSpaceProbeImplementation.

use crate::{Error, Result};

/// A general register of x86-64, or the instruction pointer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the names are those of the machine")]
pub enum Gpr {
    Ax,
    Bx,
    Cx,
    Dx,
    Si,
    Di,
    Bp,
    Sp,
    R8,
    R9,
    R10,
    R11,
    R12,
    R13,
    R14,
    R15,
    Ip,
}

/// One row is one register: name in `pt_regs`, then the names of its 8, 4, 2 and 1 byte parts, then bits 8 to 15.
type Row = (Gpr, &'static str, [&'static str; 5]);

const REGISTERS: [Row; 17] = [
    (Gpr::Ax, "ax", ["rax", "eax", "ax", "al", "ah"]),
    (Gpr::Bx, "bx", ["rbx", "ebx", "bx", "bl", "bh"]),
    (Gpr::Cx, "cx", ["rcx", "ecx", "cx", "cl", "ch"]),
    (Gpr::Dx, "dx", ["rdx", "edx", "dx", "dl", "dh"]),
    (Gpr::Si, "si", ["rsi", "esi", "si", "sil", ""]),
    (Gpr::Di, "di", ["rdi", "edi", "di", "dil", ""]),
    (Gpr::Bp, "bp", ["rbp", "ebp", "bp", "bpl", ""]),
    (Gpr::Sp, "sp", ["rsp", "esp", "sp", "spl", ""]),
    (Gpr::R8, "r8", ["r8", "r8d", "r8w", "r8b", ""]),
    (Gpr::R9, "r9", ["r9", "r9d", "r9w", "r9b", ""]),
    (Gpr::R10, "r10", ["r10", "r10d", "r10w", "r10b", ""]),
    (Gpr::R11, "r11", ["r11", "r11d", "r11w", "r11b", ""]),
    (Gpr::R12, "r12", ["r12", "r12d", "r12w", "r12b", ""]),
    (Gpr::R13, "r13", ["r13", "r13d", "r13w", "r13b", ""]),
    (Gpr::R14, "r14", ["r14", "r14d", "r14w", "r14b", ""]),
    (Gpr::R15, "r15", ["r15", "r15d", "r15w", "r15b", ""]),
    (Gpr::Ip, "ip", ["rip", "eip", "ip", "", ""]),
];

impl Gpr {
    /// The register's name as a field of `struct pt_regs` without `r` or `e`: `ax`, `r8`, `ip`.
    pub fn name(self) -> &'static str {
        REGISTERS.iter().find(|row| row.0 == self).map_or("?", |row| row.1)
    }
}

/// A register or a part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Register {
    /// The whole register.
    pub gpr: Gpr,
    /// Bytes of the part that is named.
    pub bytes: u8,
    /// First bit of the part: 0, or 8 for `ah` and its like.
    pub first_bit: u8,
}

impl Register {
    /// Finds a register by its assembly name without `%`.
    pub fn parse(name: &str) -> Option<Self> {
        const PARTS: [(u8, u8); 5] = [(8, 0), (4, 0), (2, 0), (1, 0), (1, 8)];
        REGISTERS.iter().find_map(|(gpr, _, names)| {
            let part = names.iter().position(|n| *n == name && !n.is_empty())?;
            let (bytes, first_bit) = PARTS[part];
            Some(Self { gpr: *gpr, bytes, first_bit })
        })
    }
}

/// A segment register with a base of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Segment {
    /// Thread-local storage.
    Fs,
    /// Unused in user space of Linux.
    Gs,
}

/// Where an argument is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A constant.
    Const(i64),
    /// In a register.
    Register(Register),
    /// In a vector register, whose content the kernel does not keep in `pt_regs`.
    Vector(u8),
    /// In memory, at segment + symbol + disp + base + index * scale.
    Memory(Memory),
}

/// An address made of parts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Memory {
    /// Segment whose base is added.
    pub segment: Option<Segment>,
    /// Symbol whose address is added; with base `%rip` it is the address itself.
    pub symbol: Option<String>,
    /// Constant part.
    pub disp: i64,
    /// Base register.
    pub base: Option<Gpr>,
    /// Index register and scale (1, 2, 4 or 8).
    pub index: Option<(Gpr, u8)>,
}

impl Memory {
    /// For an operand with a symbol, its distance from the probe: what to add to the run-time address of the probe,
    /// whose address in the file is `pc`. `address_of` finds symbols of the same file (see `Elf::symbol`).
    ///
    /// `None` if there is no symbol. Errors: the symbol is not in the file.
    pub fn distance_from(&self, pc: u64, address_of: impl Fn(&str) -> Option<u64>) -> Result<Option<i64>> {
        let Some(symbol) = &self.symbol else { return Ok(None) };
        let address = address_of(symbol).ok_or_else(|| {
            Error::new("USDT argument", format!("symbol {symbol} is not in the file's symbol tables"))
        })?;
        Ok(Some((address as i64).wrapping_add(self.disp).wrapping_sub(pc as i64)))
    }
}

/// One argument of a probe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsdtArg {
    /// Bytes of the value: 1, 2, 4 or 8.
    pub size: u8,
    /// Signed integer.
    pub is_signed: bool,
    /// Floating point.
    pub is_float: bool,
    /// Where it is.
    pub place: Place,
}

fn bad(argument: &str, reason: &str) -> Error {
    Error::new("USDT argument", format!("'{argument}': {reason}"))
}

/// Parses all arguments of a probe, in order.
///
/// Errors name the argument and what is wrong with it.
pub fn parse_args(text: &str) -> Result<Vec<UsdtArg>> {
    split_args(text).into_iter().map(parse_arg).collect()
}

/// Splits at blanks that stand outside of parentheses.
fn split_args(text: &str) -> Vec<&str> {
    let (mut args, mut start, mut depth) = (Vec::new(), None, 0i32);
    for (at, c) in text.char_indices() {
        match c {
            '(' => depth = depth.saturating_add(1),
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        match start {
            None if !c.is_whitespace() => start = Some(at),
            Some(from) if c.is_whitespace() && depth <= 0 => {
                args.push(&text[from..at]);
                start = None;
            }
            _ => {}
        }
    }
    args.extend(start.map(|from| text[from..].trim_end()));
    args
}

/// Parses one argument, such as `-4@%edi`.
pub fn parse_arg(text: &str) -> Result<UsdtArg> {
    let (prefix, operand) = match text.split_once('@') {
        Some((prefix, operand)) => (Some(prefix), operand),
        None => (None, text),
    };
    let place = parse_operand(text, operand)?;
    let Some(prefix) = prefix else {
        // Without a size, the operand's own width.
        let size = if let Place::Register(register) = &place { register.bytes } else { 8 };
        return Ok(UsdtArg { size, is_signed: false, is_float: false, place });
    };
    let (is_float, digits) = match prefix.strip_suffix('f') {
        Some(digits) => (true, digits),
        None => (false, prefix),
    };
    let (minus, digits) = match digits.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, digits),
    };
    let size = match digits {
        "1" => 1,
        "2" => 2,
        "4" => 4,
        "8" => 8,
        _ => return Err(bad(text, "the size is not 1, 2, 4 or 8")),
    };
    Ok(UsdtArg { size, is_signed: minus && !is_float, is_float, place })
}

fn parse_operand(text: &str, operand: &str) -> Result<Place> {
    let operand = operand.trim();
    if let Some(constant) = operand.strip_prefix('$') {
        let value = parse_int(constant).ok_or_else(|| bad(text, "the constant is not a number"))?;
        return Ok(Place::Const(value));
    }
    let (segment, rest) = match operand.split_once(':') {
        Some(("%fs", rest)) => (Some(Segment::Fs), rest),
        Some(("%gs", rest)) => (Some(Segment::Gs), rest),
        Some(_) => return Err(bad(text, "only the segments %fs and %gs are known")),
        None => (None, operand),
    };
    if let (None, Some(name)) = (segment, rest.strip_prefix('%')) {
        if let Some(register) = Register::parse(name) {
            return Ok(Place::Register(register));
        }
        let vector =
            ["xmm", "ymm", "zmm"].iter().find_map(|kind| name.strip_prefix(kind)?.parse::<u8>().ok());
        return match vector {
            Some(number) if number < 32 => Ok(Place::Vector(number)),
            _ => Err(bad(text, "there is no such register")),
        };
    }
    parse_memory(text, segment, rest).map(Place::Memory)
}

fn parse_memory(text: &str, segment: Option<Segment>, operand: &str) -> Result<Memory> {
    let mut memory = Memory { segment, ..Memory::default() };
    let displacement = match operand.split_once('(') {
        None => operand,
        Some((displacement, rest)) => {
            let inner = rest.strip_suffix(')').ok_or_else(|| bad(text, "a ')' is missing"))?;
            let mut parts = inner.split(',').map(str::trim);
            let register = |part: Option<&str>| -> Result<Option<Gpr>> {
                match part {
                    None | Some("") => Ok(None),
                    Some(part) => {
                        let register = part.strip_prefix('%').and_then(Register::parse);
                        match register.filter(|r| r.bytes >= 4) {
                            Some(register) => Ok(Some(register.gpr)),
                            None => Err(bad(text, &format!("{part} cannot be part of an address"))),
                        }
                    }
                }
            };
            memory.base = register(parts.next())?;
            let index = register(parts.next())?;
            let scale = match parts.next() {
                None | Some("" | "1") => 1,
                Some("2") => 2,
                Some("4") => 4,
                Some("8") => 8,
                Some(_) => return Err(bad(text, "the scale is not 1, 2, 4 or 8")),
            };
            if parts.next().is_some() {
                return Err(bad(text, "an address has at most a base, an index and a scale"));
            }
            memory.index = index.map(|index| (index, scale));
            displacement
        }
    };
    parse_displacement(text, displacement.trim(), &mut memory)?;
    if operand.is_empty() {
        return Err(bad(text, "there is no operand"));
    }
    Ok(memory)
}

/// Sums the terms of `sym+16-4`.
fn parse_displacement(text: &str, displacement: &str, memory: &mut Memory) -> Result<()> {
    let mut rest = displacement;
    while !rest.is_empty() {
        let (minus, term) = match rest.strip_prefix('-') {
            Some(term) => (true, term),
            None => (false, rest.strip_prefix('+').unwrap_or(rest)),
        };
        let len = term.find(['+', '-']).unwrap_or(term.len());
        let (term, tail) = term.split_at(len);
        let term = term.trim();
        match parse_int(term) {
            Some(value) => {
                memory.disp = memory.disp.wrapping_add(if minus { value.wrapping_neg() } else { value })
            }
            None if !minus && memory.symbol.is_none() && is_symbol(term) => {
                // `sym@GOTPCREL` and its like name the same symbol.
                memory.symbol = Some(term.to_owned());
            }
            None => return Err(bad(text, &format!("'{term}' is neither a number nor a symbol"))),
        }
        rest = tail;
    }
    Ok(())
}

fn is_symbol(term: &str) -> bool {
    let starts = |c: char| c.is_ascii_alphabetic() || matches!(c, '_' | '.' | '$');
    term.starts_with(starts) && term.chars().all(|c| starts(c) || c.is_ascii_digit() || c == '@')
}

fn parse_int(text: &str) -> Option<i64> {
    let (minus, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let value = match digits.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).ok()?,
        None => digits.parse::<u64>().ok()?,
    };
    let value = value as i64;
    Some(if minus { value.wrapping_neg() } else { value })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn memory(disp: i64, base: Option<Gpr>) -> Memory {
        Memory { disp, base, ..Memory::default() }
    }

    #[test]
    fn every_form_of_operand() {
        let args = parse_args(
            "-4@%edi 8@-80(%rbp) 4@$5 8@sym(%rip) 8@(%rax,%rbx,8) 1@%ah 8f@%xmm3 -8@$-0x10 8@%fs:-8 \
             2@table+16-4(,%rcx,2) 8@4096 %r9d",
        )
        .unwrap();
        let places: Vec<Place> = args.iter().map(|a| a.place.clone()).collect();
        let register = |gpr, bytes, first_bit| Place::Register(Register { gpr, bytes, first_bit });
        assert_eq!(
            places,
            [
                register(Gpr::Di, 4, 0),
                Place::Memory(memory(-80, Some(Gpr::Bp))),
                Place::Const(5),
                Place::Memory(Memory { symbol: Some("sym".into()), ..memory(0, Some(Gpr::Ip)) }),
                Place::Memory(Memory { index: Some((Gpr::Bx, 8)), ..memory(0, Some(Gpr::Ax)) }),
                register(Gpr::Ax, 1, 8),
                Place::Vector(3),
                Place::Const(-16),
                Place::Memory(Memory { segment: Some(Segment::Fs), ..memory(-8, None) }),
                Place::Memory(Memory {
                    symbol: Some("table".into()),
                    index: Some((Gpr::Cx, 2)),
                    ..memory(12, None)
                }),
                Place::Memory(memory(4096, None)),
                register(Gpr::R9, 4, 0),
            ]
        );
        let sizes: Vec<_> = args.iter().map(|a| (a.size, a.is_signed, a.is_float)).collect();
        assert_eq!(&sizes[..3], [(4, true, false), (8, false, false), (4, false, false)]);
        assert_eq!((sizes[6], sizes[11]), ((8, false, true), (4, false, false)));
    }

    #[test]
    fn symbols_are_measured_from_the_probe() {
        let Place::Memory(operand) = parse_arg("8@global+8(%rip)").unwrap().place else { panic!() };
        let found = operand.distance_from(0x1000, |name| (name == "global").then_some(0x4000)).unwrap();
        assert_eq!(found, Some(0x3008));
        assert!(operand.distance_from(0, |_| None).unwrap_err().reason.contains("global"));
    }

    #[test]
    fn errors_quote_the_argument() {
        for text in [
            "3@%eax",
            "8@%zax",
            "8@(%al)",
            "8@8(%rax",
            "8@",
            "4@$x",
            "8@%cs:4",
            "8@(%rax,%rbx,3)",
            "8@a+b",
            "@",
        ] {
            let error = parse_arg(text).unwrap_err();
            assert!(error.reason.starts_with(&format!("'{text}'")), "{error}");
        }
        assert_eq!(parse_args("  ").unwrap(), []);
        assert_eq!(parse_args("8@(%rax, %rbx) 4@%eax").unwrap().len(), 2);
    }

    #[test]
    fn register_names_are_unique() {
        for (gpr, name, parts) in REGISTERS {
            assert_eq!(gpr.name(), name);
            for part in parts.iter().filter(|p| !p.is_empty()) {
                assert_eq!(Register::parse(part).unwrap().gpr, gpr);
            }
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[-0-9a-z@%$(),.:+ é]{0,40}") {
            let _ = parse_args(&text);
        }
    }
}
