//! Where the System V ABI of x86-64 puts a function's arguments at its first instruction.
//!
//! Rules: System V Application Binary Interface, AMD64 Architecture Processor Supplement, section 3.2.3.

use crate::btf::{Btf, BtfType, Composite};
use crate::usdt::Gpr;
use crate::Result;

/// Integer argument registers in order.
pub const ARGUMENT_REGISTERS: [Gpr; 6] = [Gpr::Di, Gpr::Si, Gpr::Dx, Gpr::Cx, Gpr::R8, Gpr::R9];
/// Vector argument registers: xmm0 to xmm7.
const VECTORS: u8 = 8;
/// The return address lies between the stack pointer and the first argument on the stack.
const FIRST_STACK_OFFSET: u32 = 8;
/// Deeper nesting than this cannot fit in the 16 bytes that are passed in registers.
const DEPTH_MAX: usize = 16;
/// Members looked at per argument; the small structs that matter have few.
const MEMBERS_MAX: u32 = 4096;

/// Eight bytes of an argument in a register.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// In a general register.
    Gpr(Gpr),
    /// In the low half of a vector register, which BPF cannot read.
    Vector(u8),
}

/// Where an argument is when the function begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ArgPlace {
    /// In registers, eight bytes each; two for small structs.
    Registers(Vec<Part>),
    /// On the stack, this many bytes above the stack pointer.
    Stack(u32),
    /// Behind a pointer that is passed instead: a C++ object that cannot be copied bit by bit.
    Behind(Box<ArgPlace>),
    /// Nowhere: an empty struct.
    Nowhere,
    /// Not known, because its type or that of an argument before it has no size here.
    Unknown,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    None,
    Integer,
    Sse,
    Memory,
}

impl Class {
    fn merge(self, other: Self) -> Self {
        match (self, other) {
            (Self::Memory, _) | (_, Self::Memory) => Self::Memory,
            (Self::None, class) | (class, Self::None) => class,
            (Self::Integer, _) | (_, Self::Integer) => Self::Integer,
            _ => Self::Sse,
        }
    }
}

/// Places the arguments of a function. `indirect` says of a type that its values are passed by a hidden pointer.
pub fn place_arguments<B: AsRef<[u8]>>(
    btf: &Btf<B>,
    params: &[u32],
    ret: u32,
    indirect: impl Fn(u32) -> bool,
) -> Result<Vec<ArgPlace>> {
    let mut state = State { gprs: 0, vectors: 0, stack: FIRST_STACK_OFFSET, lost: false };
    if ret != 0 && (indirect(ret) || returns_in_memory(btf, ret)?) {
        // The caller passes the place for the result as a first argument.
        state.gprs = 1;
    }
    params
        .iter()
        .map(|&ty| {
            if indirect(ty) {
                return Ok(ArgPlace::Behind(Box::new(state.take([Class::Integer, Class::None], 8, 8))));
            }
            match classify(btf, ty)? {
                Some((classes, size, align)) => Ok(state.take(classes, size, align)),
                None => {
                    state.lost = true;
                    Ok(ArgPlace::Unknown)
                }
            }
        })
        .collect()
}

/// Whether a function returns values of this type in memory that its caller provides.
pub fn returns_in_memory<B: AsRef<[u8]>>(btf: &Btf<B>, ret: u32) -> Result<bool> {
    // long double comes back on the x87 stack, although it is passed in memory.
    if matches!(btf.resolve(ret)?.1, BtfType::Float { .. }) {
        return Ok(false);
    }
    Ok(matches!(classify(btf, ret)?, Some(([Class::Memory, _], ..))))
}

struct State {
    gprs: usize,
    vectors: u8,
    stack: u32,
    lost: bool,
}

impl State {
    fn take(&mut self, classes: [Class; 2], size: u64, align: u32) -> ArgPlace {
        if self.lost {
            return ArgPlace::Unknown;
        }
        let count = |class| classes.iter().filter(|c| **c == class).count();
        let (integers, floats) = (count(Class::Integer), count(Class::Sse));
        if classes[0] == Class::None && classes[1] == Class::None {
            return ArgPlace::Nowhere;
        }
        let fits =
            self.gprs + integers <= ARGUMENT_REGISTERS.len() && usize::from(self.vectors) + floats <= 8;
        if classes[0] == Class::Memory || !fits {
            return self.take_stack(size, align);
        }
        let parts = classes.iter().filter_map(|class| match class {
            Class::Integer => {
                let register = ARGUMENT_REGISTERS.get(self.gprs).copied();
                self.gprs += 1;
                register.map(Part::Gpr)
            }
            Class::Sse if self.vectors < VECTORS => {
                self.vectors += 1;
                Some(Part::Vector(self.vectors - 1))
            }
            _ => None,
        });
        ArgPlace::Registers(parts.collect())
    }

    fn take_stack(&mut self, size: u64, align: u32) -> ArgPlace {
        let padding = if align > 8 { (FIRST_STACK_OFFSET.wrapping_sub(self.stack)) & (align - 1) } else { 0 };
        let place = self.stack.saturating_add(padding);
        match u32::try_from(size.div_ceil(8).saturating_mul(8)).ok().and_then(|size| place.checked_add(size))
        {
            Some(next) => {
                self.stack = next;
                ArgPlace::Stack(place)
            }
            None => {
                self.lost = true;
                ArgPlace::Unknown
            }
        }
    }
}

/// Classes of the two eight-byte halves, size and stack alignment of a type; `None` if it has no size.
fn classify<B: AsRef<[u8]>>(btf: &Btf<B>, ty: u32) -> Result<Option<([Class; 2], u64, u32)>> {
    let (id, resolved) = btf.resolve(ty)?;
    let Ok(size) = btf.size_of(id) else { return Ok(None) };
    let memory = [Class::Memory, Class::None];
    Ok(Some(match resolved {
        BtfType::Struct(_) | BtfType::Union(_) => {
            if size > 16 {
                return Ok(Some((memory, size, 8)));
            }
            let mut classes = [Class::None; 2];
            let mut left = MEMBERS_MAX;
            if !fill(btf, id, 0, &mut classes, DEPTH_MAX, &mut left)? || classes.contains(&Class::Memory) {
                (memory, size, 8)
            } else {
                (classes, size, 8)
            }
        }
        BtfType::Float { .. } if size <= 8 => ([Class::Sse, Class::None], size, 8),
        BtfType::Float { .. } => (memory, size, 16),
        BtfType::Int(_) if size == 16 => ([Class::Integer, Class::Integer], size, 16),
        _ if size <= 8 => ([Class::Integer, Class::None], size, 8),
        _ => (memory, size, 8),
    }))
}

/// Merges the classes of what lies at `bit` into the halves; false if it does not fit there.
fn fill<B: AsRef<[u8]>>(
    btf: &Btf<B>,
    ty: u32,
    bit: u64,
    classes: &mut [Class; 2],
    depth: usize,
    left: &mut u32,
) -> Result<bool> {
    let (id, resolved) = btf.resolve(ty)?;
    let Some(depth) = depth.checked_sub(1).filter(|_| *left > 0) else { return Ok(false) };
    *left -= 1;
    let class = match resolved {
        BtfType::Struct(Composite { members, .. }) | BtfType::Union(Composite { members, .. }) => {
            for member in members.iter() {
                let member = member?;
                let at = bit.saturating_add(u64::from(member.bit_offset));
                let fits = if member.bitfield_bits > 0 {
                    let last = at.saturating_add(u64::from(member.bitfield_bits) - 1);
                    mark(classes, at / 64, Class::Integer) && mark(classes, last / 64, Class::Integer)
                } else {
                    fill(btf, member.ty, at, classes, depth, left)?
                };
                if !fits {
                    return Ok(false);
                }
            }
            return Ok(true);
        }
        BtfType::Array { elem, len, .. } => {
            let bits = btf.size_of(elem).unwrap_or(0).saturating_mul(8);
            // More than 16 elements of a byte or more do not fit; elements without size need no look.
            for index in 0..u64::from(len.min(17)) {
                if bits > 0 && !fill(btf, elem, bit.saturating_add(index * bits), classes, depth, left)? {
                    return Ok(false);
                }
            }
            return Ok(true);
        }
        BtfType::Float { size, .. } if size <= 8 => Class::Sse,
        BtfType::Float { .. } => Class::Memory,
        _ => Class::Integer,
    };
    let bits = btf.size_of(id).unwrap_or(8).saturating_mul(8);
    if bits == 0 || !bit.is_multiple_of(bits.min(64)) {
        // Unaligned members are passed in memory.
        return Ok(false);
    }
    Ok(mark(classes, bit / 64, class) && (bits <= 64 || mark(classes, bit / 64 + 1, class)))
}

fn mark(classes: &mut [Class; 2], half: u64, class: Class) -> bool {
    match usize::try_from(half).ok().and_then(|half| classes.get_mut(half)) {
        Some(slot) => {
            *slot = slot.merge(class);
            true
        }
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::btf_write::{BtfWriter, IntEncoding, NewMember};

    fn member(ty: u32, bit_offset: u32) -> NewMember<'static> {
        NewMember { name: "m", ty, bit_offset, bitfield_bits: 0 }
    }

    fn gprs(registers: &[Gpr]) -> ArgPlace {
        ArgPlace::Registers(registers.iter().map(|&gpr| Part::Gpr(gpr)).collect())
    }

    #[test]
    fn registers_vectors_structs_and_stack() {
        let mut w = BtfWriter::new();
        let long = w.int("long", 8, IntEncoding::Signed);
        let char_ = w.int("char", 1, IntEncoding::Signed);
        let wide = w.int("__int128", 16, IntEncoding::Signed);
        let double = w.float("double", 8);
        let extended = w.float("long double", 16);
        let ptr = w.ptr(long);
        let pair = w.structure("pair", 16, &[member(ptr, 0), member(double, 64)]).unwrap();
        let two = w.structure("two", 16, &[member(long, 0), member(char_, 64)]).unwrap();
        let big = w.structure("big", 24, &[member(long, 0), member(two, 64)]).unwrap();
        let empty = w.structure("empty", 0, &[]).unwrap();
        let packed = w.structure("packed", 9, &[member(char_, 0), member(long, 8)]).unwrap();
        let opaque = w.forward("opaque", false);
        let btf = Btf::parse(w.to_bytes()).unwrap();
        let place = |params: &[u32], ret| place_arguments(&btf, params, ret, |_| false).unwrap();

        use Gpr::{Cx, Di, Dx, Si, R8, R9};
        assert_eq!(
            place(&[ptr, double, char_], 0),
            [gprs(&[Di]), ArgPlace::Registers(vec![Part::Vector(0)]), gprs(&[Si])]
        );
        let mixed = ArgPlace::Registers(vec![Part::Gpr(Di), Part::Vector(0)]);
        assert_eq!(place(&[pair, two], long), [mixed, gprs(&[Si, Dx])]);
        // A struct in memory leaves the registers for what follows; its result place takes the first one.
        assert_eq!(place(&[big, long], big), [ArgPlace::Stack(8), gprs(&[Si])]);
        assert_eq!(place(&[packed, empty, long], 0), [ArgPlace::Stack(8), ArgPlace::Nowhere, gprs(&[Di])]);
        // The pair no longer fits in registers as a whole, but the last register is still taken by what comes next.
        let many = place(&[long, long, long, long, long, two, long, long], 0);
        assert_eq!(many[..5], [gprs(&[Di]), gprs(&[Si]), gprs(&[Dx]), gprs(&[Cx]), gprs(&[R8])]);
        assert_eq!(many[5..], [ArgPlace::Stack(8), gprs(&[R9]), ArgPlace::Stack(24)]);
        assert_eq!(place(&[wide, extended, char_], 0), [gprs(&[Di, Si]), ArgPlace::Stack(8), gprs(&[Dx])]);
        assert_eq!(place(&[opaque, long], 0), [ArgPlace::Unknown, ArgPlace::Unknown]);
        assert!(!returns_in_memory(&btf, extended).unwrap() && returns_in_memory(&btf, big).unwrap());
        let hidden = place_arguments(&btf, &[two, long], 0, |ty| ty == two).unwrap();
        assert_eq!(hidden, [ArgPlace::Behind(Box::new(gprs(&[Di]))), gprs(&[Si])]);
    }

    #[test]
    fn a_struct_that_contains_itself_ends() {
        let mut w = BtfWriter::new();
        let a = w.reserve("a", false);
        let row = w.array(a, 0, u32::MAX);
        w.define(a, crate::btf::Kind::Struct, "a", 16, &[member(a, 0), member(a, 0), member(row, 0)])
            .unwrap();
        let btf = Btf::parse(w.to_bytes()).unwrap();
        assert_eq!(place_arguments(&btf, &[a], a, |_| false).unwrap(), [ArgPlace::Stack(8)]);
    }
}
