//! BTF types as C text: type names for messages and signatures, whole declarations for listings.

use super::{Btf, BtfType, Composite, Enum, Params, DEPTH_MAX};
use crate::{Error, Result};

/// Declarators, members and parameters that one text may take, so that a damaged blob with types that contain
/// themselves ends in an error; the largest declaration of the kernel needs a few thousand.
const STEPS_MAX: u32 = 1 << 18;

impl<B: AsRef<[u8]>> Btf<B> {
    /// The type as written in a cast: `struct task_struct *`, `unsigned int`, `char[16]`.
    pub fn type_name(&self, id: u32) -> Result<String> {
        self.declare(id, "")
    }

    /// The type with a declared name: `int (*fn)(void *)`, `char comm[16]`.
    pub fn declare(&self, id: u32, name: &str) -> Result<String> {
        Printer { btf: self, left: STEPS_MAX }.declarator(id, name.to_owned(), 0, DEPTH_MAX)
    }

    /// The whole C declaration of a struct, union, enum, typedef, function or variable, ending in `;`.
    pub fn declaration(&self, id: u32) -> Result<String> {
        let mut printer = Printer { btf: self, left: STEPS_MAX };
        let text = match self.get(id)? {
            BtfType::Struct(c) => printer.composite_body("struct", &c, 0, DEPTH_MAX)?,
            BtfType::Union(c) => printer.composite_body("union", &c, 0, DEPTH_MAX)?,
            BtfType::Enum(e) => enum_body(&e, 0)?,
            BtfType::Typedef { name, ty } => {
                format!("typedef {}", printer.declarator(ty, name.to_owned(), 0, DEPTH_MAX)?)
            }
            BtfType::Func { name, proto, .. } => self.declare(proto, name)?,
            BtfType::Var { name, ty, .. } => self.declare(ty, name)?,
            _ => self.type_name(id)?,
        };
        Ok(text + ";")
    }
}

struct Printer<'b, B> {
    btf: &'b Btf<B>,
    left: u32,
}

impl<B: AsRef<[u8]>> Printer<'_, B> {
    fn step(&mut self, depth: usize) -> Result<usize> {
        self.left = self.left.saturating_sub(1);
        match depth.checked_sub(1) {
            Some(depth) if self.left > 0 => Ok(depth),
            _ => Err(Error::new("BTF", "a type contains itself, or is nested without end")),
        }
    }

    /// Builds a declarator inside out: `inner` is what was declared so far, `id` the type that goes around it.
    fn declarator(&mut self, id: u32, mut inner: String, tabs: usize, depth: usize) -> Result<String> {
        let btf = self.btf;
        let (mut id, mut depth) = (id, depth);
        let mut qualifiers = String::new();
        loop {
            depth = self.step(depth)?;
            let ty = btf.get(id)?;
            match &ty {
                BtfType::TypeTag { ty, .. } => id = *ty,
                BtfType::Const(below) | BtfType::Volatile(below) | BtfType::Restrict(below) => {
                    let word = match &ty {
                        BtfType::Const(_) => "const",
                        BtfType::Volatile(_) => "volatile",
                        _ => "restrict",
                    };
                    if matches!(btf.skip_modifiers(*below)?.1, BtfType::Ptr(_)) {
                        let gap = if inner.is_empty() || inner.starts_with('[') { "" } else { " " };
                        inner = format!("{word}{gap}{inner}");
                    } else {
                        qualifiers += word;
                        qualifiers.push(' ');
                    }
                    id = *below;
                }
                BtfType::Ptr(target) => {
                    inner = match btf.skip_modifiers(*target)?.1 {
                        BtfType::Array { .. } | BtfType::FuncProto { .. } => format!("(*{inner})"),
                        _ => format!("*{inner}"),
                    };
                    id = *target;
                }
                BtfType::Array { elem, len, .. } => {
                    inner += &if *len == 0 { "[]".to_owned() } else { format!("[{len}]") };
                    id = *elem;
                }
                BtfType::FuncProto { params, ret } => {
                    inner = format!("{inner}({})", self.parameters(params, depth)?);
                    id = *ret;
                }
                other => {
                    let base = self.base_name(other, tabs, depth)?;
                    let gap = if inner.is_empty() || inner.starts_with('[') { "" } else { " " };
                    return Ok(format!("{qualifiers}{base}{gap}{inner}"));
                }
            }
        }
    }

    fn parameters(&mut self, params: &Params<'_>, depth: usize) -> Result<String> {
        if params.is_empty() {
            return Ok("void".to_owned());
        }
        let texts = params.iter().map(|param| {
            let param = param?;
            match (param.ty, param.name) {
                (0, "") => Ok("...".to_owned()),
                (ty, name) => self.declarator(ty, name.to_owned(), 0, depth),
            }
        });
        Ok(texts.collect::<Result<Vec<_>>>()?.join(", "))
    }

    fn base_name(&mut self, ty: &BtfType<'_>, tabs: usize, depth: usize) -> Result<String> {
        Ok(match ty {
            BtfType::Void => "void".to_owned(),
            BtfType::Struct(c) if c.name.is_empty() => self.composite_body("struct", c, tabs, depth)?,
            BtfType::Union(c) if c.name.is_empty() => self.composite_body("union", c, tabs, depth)?,
            BtfType::Enum(e) if e.name.is_empty() => enum_body(e, tabs)?,
            BtfType::Struct(c) => format!("struct {}", c.name),
            BtfType::Union(c) => format!("union {}", c.name),
            BtfType::Enum(e) => format!("enum {}", e.name),
            BtfType::Fwd { name, is_union: false } => format!("struct {name}"),
            BtfType::Fwd { name, is_union: true } => format!("union {name}"),
            other => other.name().to_owned(),
        })
    }

    fn composite_body(&mut self, word: &str, c: &Composite<'_>, tabs: usize, depth: usize) -> Result<String> {
        let gap = if c.name.is_empty() { "" } else { " " };
        let indent = "\t".repeat(tabs);
        let mut text = format!("{word}{gap}{} {{\n", c.name);
        for member in c.members.iter() {
            let member = member?;
            let declared = self.declarator(member.ty, member.name.to_owned(), tabs + 1, depth)?;
            let declared = declared.trim_end();
            text += &match self.btf.found(member.ty, 0, member.bitfield_bits)?.bitfield_bits {
                0 => format!("{indent}\t{declared};\n"),
                bits => format!("{indent}\t{declared}: {bits};\n"),
            };
        }
        Ok(text + &indent + "}")
    }
}

fn enum_body(e: &Enum<'_>, tabs: usize) -> Result<String> {
    let gap = if e.name.is_empty() { "" } else { " " };
    let indent = "\t".repeat(tabs);
    let mut text = format!("enum{gap}{} {{\n", e.name);
    for value in e.values.iter() {
        let value = value?;
        text += &if e.is_signed {
            format!("{indent}\t{} = {},\n", value.name, value.value)
        } else {
            format!("{indent}\t{} = {},\n", value.name, value.value as u64)
        };
    }
    Ok(text + &indent + "}")
}
