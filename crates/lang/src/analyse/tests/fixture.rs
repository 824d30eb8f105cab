//! A small recorded world for tests: a few kernel types, probes and symbols.

use crate::facts::*;
use crate::types::*;
use fathom_bpf::kinds::ProgKind;
use fathom_codegen::layout::EnumTable;
use fathom_codegen::program::{Attach, Refusal, RunWhen};
use std::collections::HashMap;
use std::sync::Arc;

/// The world.
pub struct Fixture {
    types: Vec<CType>,
    names: HashMap<(TypeSpace, String), CTypeId>,
    /// Files that `import` finds.
    pub files: HashMap<String, String>,
}

impl Fixture {
    fn add(&mut self, ty: CType) -> CTypeId {
        self.types.push(ty);
        CTypeId(self.types.len() as u64 - 1)
    }
    fn named(&mut self, space: TypeSpace, name: &str, ty: CType) -> CTypeId {
        let id = self.add(ty);
        self.names.insert((space, name.into()), id);
        id
    }
    fn int(&mut self, name: &str, size: u32, signed: bool) -> CTypeId {
        let ty = CType::Int { name: name.into(), size, signed, is_char: name == "char", is_bool: false };
        self.named(TypeSpace::Plain, name, ty)
    }
    fn structure(&mut self, name: &str, size: u32, members: &[(&str, CTypeId, u32, u32)]) -> CTypeId {
        let members = members
            .iter()
            .map(|&(name, ty, bit_offset, bit_size)| Member { name: name.into(), ty, bit_offset, bit_size })
            .collect();
        let def = StructDef { name: name.into(), is_union: false, size, members };
        match self.names.get(&(TypeSpace::Struct, name.to_string())).copied() {
            Some(id) => {
                self.types[id.0 as usize] = CType::Struct(Arc::new(def));
                id
            }
            None if name.is_empty() => self.add(CType::Struct(Arc::new(def))),
            None => self.named(TypeSpace::Struct, name, CType::Struct(Arc::new(def))),
        }
    }

    /// A world with `task_struct`, `file`, `timer_list` and a few enums.
    pub fn new() -> Fixture {
        let mut f = Fixture { types: vec![CType::Void], names: HashMap::new(), files: HashMap::new() };
        let char = f.int("char", 1, true);
        let int = f.int("int", 4, true);
        let uint = f.int("unsigned int", 4, false);
        let ulong = f.int("unsigned long", 8, false);
        let pointer = |to, user| CType::Pointer { to, user };
        let comm = f.add(CType::Array { elem: char, count: 16 });
        let task = f.named(TypeSpace::Struct, "task_struct", CType::Void);
        let task_p = f.add(pointer(task, false));
        let user_p = f.add(pointer(char, true));
        let prio = f.add(CType::Array { elem: int, count: 4 });
        let inner = f.structure("", 8, &[("ax", uint, 0, 0), ("flag", uint, 32, 3), ("rest", uint, 35, 29)]);
        f.structure(
            "task_struct",
            96,
            &[
                ("pid", int, 0, 0),
                ("tgid", int, 32, 0),
                ("comm", comm, 64, 0),
                ("real_parent", task_p, 192, 0),
                ("group_leader", task_p, 256, 0),
                ("name_user", user_p, 320, 0),
                ("prio", prio, 384, 0),
                ("", inner, 512, 0),
                ("start", ulong, 576, 0),
            ],
        );
        f.structure("thread_info", 8, &[("status", ulong, 0, 0)]);
        let func = f.add(CType::Function);
        let func_p = f.add(pointer(func, false));
        f.structure("timer_list", 16, &[("function", func_p, 0, 0), ("expires", ulong, 64, 0)]);
        let table = |name: &str, values: &[(u64, &str)]| {
            let values = values.iter().map(|(n, s)| (*n, (*s).to_string())).collect();
            Arc::new(EnumTable { name: name.into(), values })
        };
        let reason = table("skb_drop_reason", &[(1, "NOT_SPECIFIED"), (2, "NO_SOCKET")]);
        f.named(
            TypeSpace::Enum,
            "skb_drop_reason",
            CType::Enum(EnumType { size: 4, signed: false, table: reason }),
        );
        let linkage = table("", &[(0, "BTF_VAR_STATIC")]);
        f.named(
            TypeSpace::Enum,
            "btf_linkage",
            CType::Enum(EnumType { size: 4, signed: false, table: linkage }),
        );
        f.structure("sockptr", 16, &[("at", ulong, 0, 0), ("is_kernel", uint, 64, 0)]);
        let size_t = f.add(CType::Typedef { name: "size_t".into(), to: ulong });
        f.names.insert((TypeSpace::Plain, "size_t".into()), size_t);
        f
    }

    fn args_of(&self, event: &str) -> Option<ArgSet> {
        let text = |name: &str, text: &str, size, signed| Arg {
            name: name.into(),
            ty: ArgType::Text { text: text.into(), size, signed },
            data_loc: false,
        };
        let args = match event {
            "syscalls:sys_enter_openat" => vec![
                text("dfd", "int", 8, true),
                text("filename", "const char *", 8, false),
                text("flags", "int", 8, true),
            ],
            "syscalls:sys_enter_execve" => vec![
                text("filename", "const char *", 8, false),
                text("argv", "const char *const *", 8, false),
            ],
            "syscalls:sys_exit_openat" => vec![text("ret", "long", 8, true)],
            "sched:sched_switch" => vec![
                text("prev_comm", "char[16]", 16, true),
                text("prev_pid", "pid_t", 4, true),
                text("prev_prio", "int", 4, true),
            ],
            "irq:irq_handler_entry" => {
                vec![Arg { data_loc: true, ..text("name", "char[]", 4, true) }, text("irq", "int", 4, true)]
            }
            "sock:setsockopt" => {
                let by_value = ArgType::C(*self.names.get(&(TypeSpace::Struct, "sockptr".into()))?);
                vec![
                    text("level", "int", 4, true),
                    Arg { name: "optval".into(), ty: by_value, data_loc: false },
                    text("optlen", "int", 4, true),
                ]
            }
            "skb:kfree_skb" => vec![text("reason", "enum skb_drop_reason", 4, false)],
            _ => return None,
        };
        Some(ArgSet { args, ..ArgSet::default() })
    }

    fn target(&self, name: &str, provider: &'static str, args: ArgSet) -> Target {
        let carrier = Carrier {
            kind: ProgKind::RAW_TRACEPOINT,
            attach_kind: None,
            attach_btf: None,
            sleepable: false,
            how: Attach::Run(RunWhen::Begin),
            context: Context::Opaque,
            select: None,
            has_cookie: false,
            mechanism: "test",
        };
        Target {
            name: name.into(),
            provider,
            probe_type: provider,
            refusal: Refusal::default(),
            func: None,
            args: Arc::new(args),
            carriers: vec![carrier],
        }
    }
}

impl Facts for Fixture {
    fn find_type(&self, space: TypeSpace, name: &str) -> Option<CTypeId> {
        self.names.get(&(space, name.to_string())).copied()
    }
    fn c_type(&self, id: CTypeId) -> CType {
        self.types.get(id.0 as usize).cloned().unwrap_or(CType::Void)
    }
    fn find_enum_value(&self, name: &str) -> Option<(CTypeId, i64)> {
        self.types.iter().enumerate().find_map(|(i, t)| match t {
            CType::Enum(e) => {
                let (n, _) = e.table.values.iter().find(|(_, v)| v == name)?;
                Some((CTypeId(i as u64), *n as i64))
            }
            _ => None,
        })
    }
    fn has_types(&self) -> bool {
        true
    }
    fn resolve(&self, request: &ProbeRequest) -> Resolution {
        let parts: Vec<&str> = request.parts.iter().map(String::as_str).collect();
        let one = |t| Resolution { targets: vec![t], ..Resolution::default() };
        let none = ArgSet::default;
        let provider = parts.first().map(|p| p.to_ascii_lowercase()).unwrap_or_default();
        let rest = parts.get(1..).unwrap_or(&[]).join(":");
        match provider.as_str() {
            "begin" => one(self.target("begin", "begin", none())),
            "end" => one(self.target("end", "end", none())),
            "test" => one(self.target(&format!("test:{rest}"), "test", none())),
            "i" | "interval" => one(self.target(&format!("interval:{rest}"), "interval", none())),
            "kprobe" | "k" if rest.starts_with("vfs_") => {
                one(self.target(&format!("kprobe:{rest}"), "kprobe", none()))
            }
            "uprobe" | "u" => one(self.target(&format!("uprobe:{rest}"), "uprobe", none())),
            "tracepoint" | "t" => match self.args_of(&rest) {
                Some(args) => one(self.target(&format!("tracepoint:{rest}"), "tracepoint", args)),
                None => Resolution {
                    missing: Some(format!("No matches for tracepoint {rest}.")),
                    ..Resolution::default()
                },
            },
            "kprobe" | "k" => Resolution {
                missing: Some(format!("No matches for kprobe {rest}.")),
                ..Resolution::default()
            },
            other => Resolution {
                error: Some(ProbeError { message: format!("Invalid provider: '{other}'"), hint: None }),
                ..Resolution::default()
            },
        }
    }
    fn has(&self, _: Feature) -> bool {
        true
    }
    fn kernel_symbol(&self, name: &str) -> Option<u64> {
        (name == "process_counts").then_some(0xffff_ffff_8100_0000)
    }
    fn user_symbol(&self, _: &str, _: &str) -> Option<(u64, u64)> {
        None
    }
    fn cgroup_id(&self, _: &str) -> Result<u64, String> {
        Ok(1)
    }
    fn has_kfunc(&self, _: &str) -> bool {
        false
    }
    fn possible_cpus(&self) -> u32 {
        4
    }
    fn read_import(&self, path: &str, _: Option<&str>) -> Result<Vec<(String, String)>, String> {
        match self.files.get(path) {
            Some(text) => Ok(vec![(path.to_string(), text.clone())]),
            None => Err("No such file or directory".into()),
        }
    }
}
