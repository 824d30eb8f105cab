//! Memory of the recorded kernel that programs walk: the running task's `task_struct`, its registers, its program file.

use crate::types::Types;
use fathom_bpf::interp::sim::SimHost;
use fathom_bpf::interp::Space;
use fathom_lang::facts::TypeSpace;
use fathom_lang::types::CType;

/// Bytes of `struct pt_regs` on x86-64.
const PT_REGS_BYTES: usize = 168;

/// A struct's bytes, written by member name.
struct Image<'t> {
    types: &'t Types,
    name: &'static str,
    bytes: Vec<u8>,
}

impl<'t> Image<'t> {
    fn new(types: &'t Types, name: &'static str) -> Image<'t> {
        let size = definition(types, name).map_or(0, |d| d.size as usize);
        Image { types, name, bytes: vec![0; size] }
    }

    fn set(&mut self, member: &str, value: &[u8]) {
        let Some(offset) = offset(self.types, self.name, member) else { return };
        for (to, from) in self.bytes.iter_mut().skip(offset).zip(value) {
            *to = *from;
        }
    }

    fn map(self, host: &mut SimHost) -> u64 {
        host.memory.map(Space::Kernel, self.bytes, false)
    }
}

fn definition(types: &Types, name: &str) -> Option<std::sync::Arc<fathom_lang::types::StructDef>> {
    match types.get(types.find(TypeSpace::Struct, name)?) {
        CType::Struct(def) => Some(def),
        _ => None,
    }
}

/// Offset in bytes of a member.
fn offset(types: &Types, name: &str, member: &str) -> Option<usize> {
    let def = definition(types, name)?;
    let found = def.members.iter().find(|m| &*m.name == member)?;
    Some(found.bit_offset as usize / 8)
}

/// Gives the running task memory: its own parent, with a program file named `bash`.
pub fn map_task(host: &mut SimHost) {
    let types = Types::recorded();
    let name = host.memory.map(Space::Kernel, b"bash\0".to_vec(), false);
    let mut dentry = Image::new(&types, "dentry");
    let name_at =
        offset(&types, "dentry", "d_name").zip(offset(&types, "qstr", "name")).map_or(0, |(a, b)| a + b);
    if let Some(place) = dentry.bytes.get_mut(name_at..name_at + 8) {
        place.copy_from_slice(&name.to_le_bytes());
    }
    dentry.set("d_iname", b"bash");
    let dentry = dentry.map(host);
    let mut file = Image::new(&types, "file");
    let dentry_at =
        offset(&types, "file", "f_path").zip(offset(&types, "path", "dentry")).map_or(0, |(a, b)| a + b);
    if let Some(place) = file.bytes.get_mut(dentry_at..dentry_at + 8) {
        place.copy_from_slice(&dentry.to_le_bytes());
    }
    let file = file.map(host);
    let mut mm = Image::new(&types, "mm_struct");
    mm.set("exe_file", &file.to_le_bytes());
    mm.set("total_vm", &1000u64.to_le_bytes());
    let mm = mm.map(host);
    let mut task = Image::new(&types, "task_struct");
    let address = host.task.address;
    for (member, pointer) in [("real_parent", address), ("parent", address), ("mm", mm)] {
        task.set(member, &pointer.to_le_bytes());
    }
    task.set("prio", &120u32.to_le_bytes());
    // Fresh hosts have nothing at these places.
    let _ = host.memory.map_at(address, Space::Kernel, task.bytes, false);
    let _ = host.memory.map_at(host.task.pt_regs, Space::Kernel, vec![0; PT_REGS_BYTES], false);
}

/// Writes the host's task into its `task_struct`.
pub fn update_task(host: &mut SimHost) {
    let types = Types::recorded();
    let task = host.task.clone();
    let Some(bytes) = host.memory.region_mut(task.address) else { return };
    let mut put = |member: &str, value: &[u8]| {
        let at = offset(&types, "task_struct", member).unwrap_or(0);
        for (to, from) in bytes.iter_mut().skip(at).zip(value) {
            *to = *from;
        }
    };
    put("pid", &task.pid.to_le_bytes());
    put("tgid", &task.tgid.to_le_bytes());
    let mut comm = [0u8; 16];
    for (to, from) in comm.iter_mut().take(15).zip(task.comm.bytes()) {
        *to = from;
    }
    put("comm", &comm);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_task_can_be_walked() {
        let mut host = SimHost::new(1);
        map_task(&mut host);
        host.task.pid = 9;
        host.task.comm = "a-name-that-is-too-long".into();
        update_task(&mut host);
        let address = host.task.address;
        assert_eq!(host.memory.read(address, 4).unwrap(), 9u32.to_le_bytes());
        assert_eq!(host.memory.read(address + 8, 16).unwrap(), b"a-name-that-is-\0");
        assert_eq!(host.memory.read(address + 24, 8).unwrap(), address.to_le_bytes());
    }
}
