//! Questions to BTF: find by name, look through typedefs, sizes, members and member paths.

use memchr::memmem;

use super::{word_at, Btf, BtfType, EnumValue, Int, Kind, Params, DEPTH_MAX};
use crate::{Error, Result};

/// Members looked at before a search gives up on a damaged blob whose structs contain themselves.
const MEMBERS_MAX: u32 = 1 << 20;

/// A member as seen from the struct that was asked, through any anonymous structs and unions between.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FoundMember {
    /// Type of the member.
    pub ty: u32,
    /// Offset from the start of the struct that was asked, in bits.
    pub bit_offset: u64,
    /// Width of a bitfield in bits, 0 for a plain member.
    pub bitfield_bits: u32,
}

/// One hop of a member path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PathStep {
    /// Whether a pointer is followed to reach the struct that holds this member.
    pub through_pointer: bool,
    /// The struct or union that holds it.
    pub holder: u32,
    /// The member.
    pub member: FoundMember,
}

impl<B: AsRef<[u8]>> Btf<B> {
    /// String offsets at which `name` stands, as names of types give them; exact strings before shared tails.
    fn name_offsets(&self, name: &str) -> Vec<u32> {
        if name.is_empty() || name.contains('\0') {
            return Vec::new();
        }
        let sections =
            [(self.base().map(|b| b.string_bytes()), 0), (Some(self.string_bytes()), self.first_string)];
        let needle = format!("\0{name}\0");
        let collect = |needle: &str, skip: u32| -> Vec<u32> {
            let finder = memmem::Finder::new(needle);
            let hits = sections.iter().filter_map(|(bytes, first)| Some(((*bytes)?, *first)));
            hits.flat_map(|(bytes, first)| {
                finder.find_iter(bytes).map(move |at| (at as u32).wrapping_add(first))
            })
            .map(|at| at.wrapping_add(skip))
            .collect()
        };
        let exact = collect(&needle, 1);
        if !exact.is_empty() {
            return exact;
        }
        // Writers that merge tails let "task" point into "my_task".
        collect(&needle[1..], 0)
    }

    /// Own ids whose record satisfies `want(name_offset, kind_number)`.
    fn scan<'s>(&'s self, mut want: impl FnMut(u32, u32) -> bool + 's) -> impl Iterator<Item = u32> + 's {
        let bytes = self.data.as_ref();
        let first = self.first_id;
        (0u32..).zip(&self.offsets).filter_map(move |(index, &at)| {
            let head = bytes.get(at as usize..)?.first_chunk::<8>()?;
            let name = u32::from_le_bytes([head[0], head[1], head[2], head[3]]);
            want(name, u32::from(head[7] & 0x1f)).then(|| first.wrapping_add(index))
        })
    }

    /// The first type of this kind with this name; own types come before those of the base.
    pub fn find(&self, name: &str, kind: Kind) -> Option<u32> {
        let names = self.name_offsets(name);
        self.find_offset(&names, kind)
    }

    fn find_offset(&self, names: &[u32], kind: Kind) -> Option<u32> {
        let number = kind as u32;
        let own = match names {
            [] => return None,
            [one] => self.scan(|name, k| name == *one && k == number).next(),
            many => self.scan(|name, k| k == number && many.contains(&name)).next(),
        };
        own.or_else(|| self.base()?.find_offset(names, kind))
    }

    /// All types with this name, of any kind.
    pub fn find_all(&self, name: &str) -> Vec<u32> {
        let names = self.name_offsets(name);
        if names.is_empty() {
            return Vec::new();
        }
        let mut ids: Vec<u32> = self.scan(|name, _| names.contains(&name)).collect();
        if let Some(base) = self.base() {
            ids.extend(base.scan(|name, _| names.contains(&name)));
        }
        ids
    }

    /// Ids of one kind, those of the base first.
    pub fn iter_kind(&self, kind: Kind) -> impl Iterator<Item = u32> + '_ {
        let number = kind as u32;
        let base = self.base().into_iter().flat_map(move |b| b.scan(move |_, k| k == number));
        base.chain(self.scan(move |_, k| k == number))
    }

    /// Ids of one kind that this blob itself defines, which for a module are the module's own.
    pub fn iter_own_kind(&self, kind: Kind) -> impl Iterator<Item = u32> + '_ {
        let number = kind as u32;
        self.scan(move |_, k| k == number)
    }

    /// The enum that declares this enumerator, and its value.
    pub fn find_enumerator(&self, name: &str) -> Option<(u32, EnumValue<'_>)> {
        let names = self.name_offsets(name);
        if names.is_empty() {
            return None;
        }
        self.iter_kind(Kind::Enum).chain(self.iter_kind(Kind::Enum64)).find_map(|id| {
            let Ok(BtfType::Enum(e)) = self.get(id) else { return None };
            let index = e.values.name_offsets().position(|off| names.contains(&off))?;
            Some((id, e.values.get(index)?.ok()?))
        })
    }

    /// A function's id, parameters and return type.
    pub fn find_func(&self, name: &str) -> Option<(u32, Params<'_>, u32)> {
        let id = self.find(name, Kind::Func)?;
        let BtfType::Func { proto, .. } = self.get(id).ok()? else { return None };
        let BtfType::FuncProto { params, ret } = self.get(proto).ok()? else { return None };
        Some((id, params, ret))
    }

    /// The id of the typedef `btf_trace_NAME` that attaches to a raw tracepoint, and its parameters after the
    /// first, which is the tracing core's own data pointer.
    ///
    /// The typedef itself has no parameter names; they come from the functions that the kernel generates for each
    /// tracepoint (`DEFINE_TRACE_FN` in `include/linux/tracepoint.h`), and are empty where it has none of these.
    pub fn find_raw_tracepoint(&self, name: &str) -> Option<(u32, Vec<super::Param<'_>>)> {
        let id = self.find(&format!("btf_trace_{name}"), Kind::Typedef)?;
        let BtfType::Ptr(proto) = self.resolve(id).ok()?.1 else { return None };
        let BtfType::FuncProto { params, .. } = self.get(proto).ok()? else { return None };
        let named = ["__probestub_", "__traceiter_", "__bpf_trace_"].iter().find_map(|prefix| {
            let (_, named, _) = self.find_func(&format!("{prefix}{name}"))?;
            (named.len() == params.len()).then_some(named)
        });
        let params = named.unwrap_or(params);
        Some((id, params.iter().skip(1).collect::<Result<Vec<_>>>().ok()?))
    }

    /// Looks through `const`, `volatile`, `restrict` and type tags.
    pub fn skip_modifiers(&self, id: u32) -> Result<(u32, BtfType<'_>)> {
        self.look_through(id, |ty| ty.below_modifier())
    }

    /// Looks through modifiers and typedefs.
    pub fn resolve(&self, id: u32) -> Result<(u32, BtfType<'_>)> {
        self.look_through(id, |ty| match ty {
            BtfType::Typedef { ty, .. } => Some(*ty),
            other => other.below_modifier(),
        })
    }

    fn look_through(
        &self,
        id: u32,
        below: impl Fn(&BtfType<'_>) -> Option<u32>,
    ) -> Result<(u32, BtfType<'_>)> {
        let mut at = id;
        for _ in 0..DEPTH_MAX {
            let ty = self.get(at)?;
            match below(&ty) {
                Some(next) => at = next,
                None => return Ok((at, ty)),
            }
        }
        Err(Error::new("BTF", format!("type {id} is a chain of more than {DEPTH_MAX} typedefs or modifiers")))
    }

    /// Whether a tag (`user`, `percpu`, `rcu`) stands among the modifiers of a type or, for a pointer, of its target.
    pub fn has_tag(&self, id: u32, tag: &str) -> Result<bool> {
        let (mut at, mut pointers) = (id, 0);
        for _ in 0..DEPTH_MAX {
            at = match self.get(at)? {
                BtfType::TypeTag { name, .. } if name == tag => return Ok(true),
                BtfType::Typedef { ty, .. } => ty,
                BtfType::Ptr(ty) if pointers == 0 => {
                    pointers = 1;
                    ty
                }
                other => match other.below_modifier() {
                    Some(ty) => ty,
                    None => return Ok(false),
                },
            };
        }
        Ok(false)
    }

    /// Size in bytes; an error for what has none (`void`, functions, forward declarations).
    pub fn size_of(&self, id: u32) -> Result<u64> {
        let mut factor = 1u64;
        let mut at = id;
        for _ in 0..DEPTH_MAX {
            let size = match self.resolve(at)?.1 {
                BtfType::Int(Int { size, .. })
                | BtfType::Float { size, .. }
                | BtfType::Datasec { size, .. } => size,
                BtfType::Struct(c) | BtfType::Union(c) => c.size,
                BtfType::Enum(e) => e.size,
                BtfType::Ptr(_) => 8,
                BtfType::Var { ty, .. } => {
                    at = ty;
                    continue;
                }
                BtfType::Array { elem, len, .. } => {
                    factor = factor.checked_mul(u64::from(len)).ok_or_else(|| {
                        Error::new("BTF", format!("array type {id} is larger than 2^64 bytes"))
                    })?;
                    at = elem;
                    continue;
                }
                other => {
                    let name = self.type_name(at).unwrap_or_else(|_| other.name().to_owned());
                    return Err(Error::new("BTF", format!("{name} has no size")));
                }
            };
            return factor
                .checked_mul(u64::from(size))
                .ok_or_else(|| Error::new("BTF", format!("array type {id} is larger than 2^64 bytes")));
        }
        Err(Error::new("BTF", format!("type {id} is an array of more than {DEPTH_MAX} dimensions")))
    }

    /// Finds a member by name in a struct or union (or a typedef of one), also inside anonymous members.
    pub fn member(&self, id: u32, name: &str) -> Result<Option<FoundMember>> {
        if name.is_empty() {
            return Ok(None);
        }
        let mut left = MEMBERS_MAX;
        self.member_below(id, name, DEPTH_MAX, &mut left)
    }

    fn member_below(&self, id: u32, name: &str, depth: usize, left: &mut u32) -> Result<Option<FoundMember>> {
        let (BtfType::Struct(composite) | BtfType::Union(composite)) = self.resolve(id)?.1 else {
            return Ok(None);
        };
        for member in composite.members.iter() {
            let member = member?;
            if depth == 0 || *left == 0 {
                return Err(Error::new("BTF", format!("type {id} nests anonymous structs without end")));
            }
            *left -= 1;
            let bit_offset = u64::from(member.bit_offset);
            if member.name == name {
                return self.found(member.ty, bit_offset, member.bitfield_bits).map(Some);
            }
            if member.name.is_empty() {
                if let Some(inner) = self.member_below(member.ty, name, depth - 1, left)? {
                    return Ok(Some(FoundMember {
                        bit_offset: bit_offset.saturating_add(inner.bit_offset),
                        ..inner
                    }));
                }
            }
        }
        Ok(None)
    }

    /// Old compilers put the bitfield's place in the integer type instead of the member.
    pub(super) fn found(&self, ty: u32, bit_offset: u64, bitfield_bits: u32) -> Result<FoundMember> {
        if bitfield_bits == 0 {
            if let BtfType::Int(int) = self.resolve(ty)?.1 {
                if int.bits != 0 && u64::from(int.bits) < u64::from(int.size) * 8 && !int.is_bool {
                    let bit_offset = bit_offset.saturating_add(u64::from(int.bit_offset));
                    return Ok(FoundMember { ty, bit_offset, bitfield_bits: int.bits });
                }
            }
        }
        Ok(FoundMember { ty, bit_offset, bitfield_bits })
    }

    /// Resolves `mm.exe_file.f_path` hop by hop; pointers to structs are followed, as `->` does.
    ///
    /// Errors name the hop that does not exist and the struct in which it was looked for.
    pub fn member_path<'p>(&self, id: u32, path: impl IntoIterator<Item = &'p str>) -> Result<Vec<PathStep>> {
        let mut steps = Vec::new();
        let mut at = id;
        for name in path {
            let (mut holder, mut ty) = self.resolve(at)?;
            let through_pointer = match ty {
                BtfType::Ptr(target) => {
                    (holder, ty) = self.resolve(target)?;
                    true
                }
                _ => false,
            };
            if !matches!(ty, BtfType::Struct(_) | BtfType::Union(_)) {
                let what = self.type_name(at)?;
                return Err(Error::new("BTF", format!("{what} is no struct, so it has no member {name}")));
            }
            let Some(member) = self.member(holder, name)? else {
                let what = self.type_name(holder)?;
                return Err(Error::new("BTF", format!("{what} has no member {name}")));
            };
            at = member.ty;
            steps.push(PathStep { through_pointer, holder, member });
        }
        Ok(steps)
    }

    /// Tags on a function, variable, struct or typedef: (tag, component index or -1). Scans all tags once.
    pub fn decl_tags(&self, id: u32) -> Result<Vec<(&str, i32)>> {
        let mut tags = Vec::new();
        for tag in self.iter_kind(Kind::DeclTag) {
            let Some((owner, at)) = self.locate(tag)? else { continue };
            if word_at(owner.bytes(), at + 8) == Some(id) {
                if let BtfType::DeclTag { name, component, .. } = owner.decode(at)? {
                    tags.push((name, component));
                }
            }
        }
        Ok(tags)
    }
}
