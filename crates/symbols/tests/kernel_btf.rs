//! The BTF of the running kernel, where there is one: every type decodes, prints and resolves.
#![allow(clippy::print_stdout, reason = "a test says why it was skipped")]

use fathom_symbols::btf::{Btf, BtfType, Kind};

fn vmlinux() -> Option<Btf<Vec<u8>>> {
    match std::fs::read("/sys/kernel/btf/vmlinux") {
        Ok(bytes) => Some(Btf::parse(bytes).expect("the kernel's own BTF parses")),
        Err(error) => {
            println!("skipped: /sys/kernel/btf/vmlinux: {error}");
            None
        }
    }
}

#[test]
fn a_long_path_resolves() {
    let Some(btf) = vmlinux() else { return };
    let task = btf.find("task_struct", Kind::Struct).unwrap();
    let path = btf.member_path(task, ["mm", "exe_file", "f_path", "dentry", "d_name", "name"]).unwrap();
    assert_eq!(path.iter().filter(|p| p.through_pointer).count(), 3);
    assert_eq!(btf.type_name(path[5].member.ty).unwrap(), "const unsigned char *");
    let (_, args) = btf.find_raw_tracepoint("sys_enter").unwrap();
    let args: Vec<String> = args.iter().map(|a| btf.declare(a.ty, a.name).unwrap()).collect();
    assert_eq!(args.len(), 2);
    assert_eq!(args[0], "struct pt_regs *regs");
    assert_eq!(btf.find_enumerator("BPF_MAP_TYPE_HASH").unwrap().1.value, 1);
    assert!(btf.find_func("vfs_read").is_some());
}

#[test]
fn every_type_decodes_and_prints() {
    let Some(btf) = vmlinux() else { return };
    let mut declared = 0;
    for id in 0..btf.type_count() {
        let ty = btf.get(id).unwrap();
        match ty {
            BtfType::Struct(c) | BtfType::Union(c) => {
                assert_eq!(c.members.iter().filter(|m| m.is_ok()).count(), c.members.len(), "{id}");
                btf.declaration(id).unwrap();
                declared += 1;
            }
            BtfType::Datasec { .. } | BtfType::DeclTag { .. } => {}
            _ => {
                btf.type_name(id).unwrap();
            }
        }
    }
    assert!(declared > 1000, "{declared}");
}
