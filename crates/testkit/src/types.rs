//! C types of the recorded kernel: enough of `task_struct` and its neighbours to walk pointers, arrays, unions and bitfields.

use fathom_codegen::layout::EnumTable;
use fathom_lang::facts::TypeSpace;
use fathom_lang::types::{CType, CTypeId, EnumType, Member, StructDef};
use std::collections::HashMap;
use std::sync::Arc;

/// All types, numbered in the order they were made; 0 is `void`.
pub struct Types {
    all: Vec<CType>,
    names: HashMap<(TypeSpace, String), CTypeId>,
}

/// A member: name, type, offset in bytes.
type Plain<'a> = (&'a str, CTypeId, u32);

impl Types {
    /// The recorded types.
    pub fn recorded() -> Types {
        let mut t = Types { all: vec![CType::Void], names: HashMap::new() };
        let char = t.int("char", 1, true);
        let int = t.int("int", 4, true);
        let uint = t.int("unsigned int", 4, false);
        let long = t.int("long", 8, true);
        let ulong = t.int("unsigned long", 8, false);
        t.int("unsigned char", 1, false);
        t.int("short", 2, true);
        t.int("unsigned short", 2, false);
        t.int("long long", 8, true);
        let u64 = t.int("unsigned long long", 8, false);
        t.boolean("_Bool");
        for (name, of) in [("pid_t", int), ("size_t", ulong), ("ssize_t", long), ("u32", uint), ("u64", u64)]
        {
            t.typedef(name, of);
        }
        for (name, of) in [("umode_t", uint), ("uint32_t", uint), ("uint64_t", u64), ("int64_t", long)] {
            t.typedef(name, of);
        }
        t.enumeration("pid_type", &[(0, "PIDTYPE_PID"), (1, "PIDTYPE_TGID"), (2, "PIDTYPE_PGID")]);
        t.enumeration("skb_drop_reason", &[(1, "SKB_CONSUMED"), (2, "SKB_DROP_REASON_NOT_SPECIFIED")]);
        t.files(char, int, uint);
        t.tasks(char, int, ulong, u64);
        t
    }

    fn files(&mut self, char: CTypeId, int: CTypeId, uint: CTypeId) {
        let text = self.pointer(char);
        let short_name = self.array(char, 32);
        self.structure("qstr", 16, &[("hash", uint, 0), ("len", uint, 4), ("name", text, 8)]);
        let qstr = self.id(TypeSpace::Struct, "qstr");
        self.structure("dentry", 128, &[("d_name", qstr, 32), ("d_iname", short_name, 56)]);
        let dentry = self.id(TypeSpace::Struct, "dentry");
        let dentry = self.pointer(dentry);
        self.structure("path", 16, &[("dentry", dentry, 8)]);
        let path = self.id(TypeSpace::Struct, "path");
        self.structure("file", 192, &[("f_flags", uint, 4), ("f_mode", int, 8), ("f_path", path, 64)]);
    }

    fn tasks(&mut self, char: CTypeId, int: CTypeId, ulong: CTypeId, u64: CTypeId) {
        let comm = self.array(char, 16);
        let cpus = self.array(ulong, 4);
        let file = self.id(TypeSpace::Struct, "file");
        let file = self.pointer(file);
        self.structure("mm_struct", 64, &[("exe_file", file, 16), ("total_vm", ulong, 24)]);
        let mm = self.id(TypeSpace::Struct, "mm_struct");
        let mm = self.pointer(mm);
        // A task refers to tasks: its number is needed before its members are known.
        let task = self.named(TypeSpace::Struct, "task_struct", CType::Void);
        let task_pointer = self.pointer(task);
        let inner = [("utime", u64, 0), ("stime", u64, 8)];
        let times = self.add(definition("", false, 16, inner.map(plain).to_vec()));
        let halves = [("thread_id", int, 0), ("thread_bits", ulong, 0)];
        let shared = self.add(definition("", true, 8, halves.map(plain).to_vec()));
        let mut members: Vec<Member> = [
            ("pid", int, 0),
            ("tgid", int, 4),
            ("comm", comm, 8),
            ("real_parent", task_pointer, 24),
            ("parent", task_pointer, 32),
            ("mm", mm, 40),
            ("prio", int, 48),
            ("cpus", cpus, 56),
            ("", times, 88),
            ("", shared, 104),
            ("start_time", u64, 112),
        ]
        .map(plain)
        .to_vec();
        for (name, at, width) in [("in_execve", 0, 1), ("in_iowait", 1, 1), ("sched_class", 2, 5)] {
            let uint = self.id(TypeSpace::Plain, "unsigned int");
            members.push(Member { name: name.into(), ty: uint, bit_offset: 52 * 8 + at, bit_size: width });
        }
        if let Some(place) = self.all.get_mut(task.0 as usize) {
            *place = definition("task_struct", false, 128, members);
        }
    }

    fn add(&mut self, ty: CType) -> CTypeId {
        self.all.push(ty);
        CTypeId(self.all.len() as u64 - 1)
    }

    fn named(&mut self, space: TypeSpace, name: &str, ty: CType) -> CTypeId {
        let id = self.add(ty);
        self.names.insert((space, name.to_owned()), id);
        id
    }

    fn int(&mut self, name: &str, size: u32, signed: bool) -> CTypeId {
        let is_char = name == "char" || name == "unsigned char";
        self.named(
            TypeSpace::Plain,
            name,
            CType::Int { name: name.into(), size, signed, is_char, is_bool: false },
        )
    }

    fn boolean(&mut self, name: &str) -> CTypeId {
        let ty = CType::Int { name: name.into(), size: 1, signed: false, is_char: false, is_bool: true };
        self.named(TypeSpace::Plain, name, ty)
    }

    fn typedef(&mut self, name: &str, to: CTypeId) {
        self.named(TypeSpace::Plain, name, CType::Typedef { name: name.into(), to });
    }

    fn pointer(&mut self, to: CTypeId) -> CTypeId {
        self.add(CType::Pointer { to, user: false })
    }

    fn array(&mut self, elem: CTypeId, count: u32) -> CTypeId {
        self.add(CType::Array { elem, count })
    }

    fn structure(&mut self, name: &str, size: u32, members: &[Plain<'_>]) {
        let members = members.iter().copied().map(plain).collect();
        self.named(TypeSpace::Struct, name, definition(name, false, size, members));
    }

    fn enumeration(&mut self, name: &str, values: &[(u64, &str)]) {
        let values = values.iter().map(|(n, text)| (*n, (*text).to_owned())).collect();
        let table = Arc::new(EnumTable { name: name.to_owned(), values });
        self.named(TypeSpace::Enum, name, CType::Enum(EnumType { size: 4, signed: false, table }));
    }

    fn id(&self, space: TypeSpace, name: &str) -> CTypeId {
        self.find(space, name).unwrap_or(CTypeId(0))
    }

    /// The type of this name.
    pub fn find(&self, space: TypeSpace, name: &str) -> Option<CTypeId> {
        self.names.get(&(space, name.to_owned())).copied()
    }

    /// What a type is; `void` for a number that is none.
    pub fn get(&self, id: CTypeId) -> CType {
        usize::try_from(id.0).ok().and_then(|at| self.all.get(at)).cloned().unwrap_or(CType::Void)
    }

    /// The enumeration that has a constant of this name, and its value.
    pub fn enumerator(&self, name: &str) -> Option<(CTypeId, i64)> {
        (0..).zip(&self.all).find_map(|(id, ty)| {
            let CType::Enum(e) = ty else { return None };
            let (value, _) = e.table.values.iter().find(|(_, text)| text == name)?;
            Some((CTypeId(id), *value as i64))
        })
    }
}

fn plain((name, ty, offset): Plain<'_>) -> Member {
    Member { name: name.into(), ty, bit_offset: offset * 8, bit_size: 0 }
}

fn definition(name: &str, is_union: bool, size: u32, members: Vec<Member>) -> CType {
    CType::Struct(Arc::new(StructDef { name: name.into(), is_union, size, members }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn structs_hold_their_members() {
        let types = Types::recorded();
        for name in ["task_struct", "mm_struct", "file", "path", "dentry", "qstr"] {
            let id = types.find(TypeSpace::Struct, name).unwrap();
            let CType::Struct(def) = types.get(id) else { panic!("{name} is no struct") };
            for m in &def.members {
                assert!(m.bit_offset < def.size * 8, "{name}.{}", m.name);
                assert_ne!(types.get(m.ty), CType::Void, "{name}.{}", m.name);
            }
        }
        assert_eq!(types.enumerator("PIDTYPE_PGID").map(|e| e.1), Some(2));
    }
}
