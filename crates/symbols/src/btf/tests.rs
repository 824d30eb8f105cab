//! Reading BTF: whole blobs, split ones, damaged ones.

use super::*;
use crate::btf_write::{BtfWriter, IntEncoding, NewMember};
use proptest::prelude::*;

fn member(name: &str, ty: u32, bit_offset: u32, bitfield_bits: u32) -> NewMember<'_> {
    NewMember { name, ty, bit_offset, bitfield_bits }
}

/// A blob with every kind, and the ids of the types that tests ask for.
struct Sample {
    writer: BtfWriter,
    task: u32,
    callback: u32,
    color: u32,
    func: u32,
    uint: u32,
}

fn sample() -> Sample {
    let mut w = BtfWriter::new();
    let int = w.int("int", 4, IntEncoding::Signed);
    let uint = w.int("unsigned int", 4, IntEncoding::Unsigned);
    let char_ = w.int("char", 1, IntEncoding::Char);
    let name16 = w.array(char_, uint, 16);
    let u32_ = w.typedef("u32", uint);
    let task = w.reserve("task", false);
    let task_ptr = w.ptr(task);
    let const_char = w.modifier(Kind::Const, char_);
    let text = w.ptr(const_char);
    let const_text = w.modifier(Kind::Const, text);
    let const_text_ptr = w.ptr(const_text);
    let proto = w.func_proto(&[("task", task_ptr), ("flags", u32_), ("", 0)], int).unwrap();
    let callback = w.ptr(proto);
    let inner = w.structure("", 8, &[member("low", uint, 0, 0), member("high", uint, 32, 0)]).unwrap();
    let both = w.union("", 8, &[member("whole", text, 0, 0), member("", inner, 0, 0)]).unwrap();
    let color = w.enumeration("color", 4, true, &[("RED", 0), ("BLUE", -2)]).unwrap();
    let wide = w.enumeration("", 8, false, &[("HUGE", u64::MAX as i64)]).unwrap();
    let members = [
        member("parent", task_ptr, 0, 0),
        member("", both, 64, 0),
        member("on", uint, 128, 1),
        member("cpu", uint, 129, 7),
        member("comm", name16, 160, 0),
        member("fn", callback, 320, 0),
        member("argv", const_text_ptr, 384, 0),
        member("color", color, 448, 0),
        member("wide", wide, 512, 0),
    ];
    w.define(task, Kind::Struct, "task", 72, &members).unwrap();
    let func = w.func("wake", proto, true);
    w.float("double", 8);
    w.forward("opaque", true);
    let var = w.var("jiffies", u32_, true);
    w.datasec(".data", 4, &[(var, 0, 4)]).unwrap();
    Sample { writer: w, task, callback, color, func, uint }
}

#[test]
fn names_sizes_and_kinds() {
    let s = sample();
    let btf = Btf::parse(s.writer.to_bytes()).unwrap();
    assert_eq!(btf.find("task", Kind::Struct), Some(s.task));
    assert_eq!(btf.find("task", Kind::Union), None);
    assert_eq!(btf.find("", Kind::Struct), None);
    assert_eq!(btf.find("tas", Kind::Struct), None);
    assert_eq!(btf.find_all("unsigned int"), [s.uint]);
    assert_eq!(btf.size_of(s.task).unwrap(), 72);
    assert_eq!(btf.size_of(s.callback).unwrap(), 8);
    assert!(btf.size_of(0).unwrap_err().reason.contains("void has no size"));
    assert_eq!(btf.kind(s.color).unwrap(), Kind::Enum);
    assert_eq!(btf.name(s.func).unwrap(), "wake");
    let (id, params, ret) = btf.find_func("wake").unwrap();
    assert_eq!((id, params.len(), btf.type_name(ret).unwrap().as_str()), (s.func, 3, "int"));
    let (enum_id, value) = btf.find_enumerator("BLUE").unwrap();
    assert_eq!((enum_id, value.value), (s.color, -2));
    assert_eq!(btf.find_enumerator("HUGE").unwrap().1.value as u64, u64::MAX);
    assert_eq!(btf.iter_kind(Kind::Enum64).count(), 1);
    assert!(btf.get(9999).unwrap_err().reason.contains("9999"));
}

#[test]
fn members_through_anonymous_types_and_pointers() {
    let s = sample();
    let btf = Btf::parse(s.writer.to_bytes()).unwrap();
    let high = btf.member(s.task, "high").unwrap().unwrap();
    assert_eq!((high.bit_offset, high.bitfield_bits), (96, 0));
    let cpu = btf.member(s.task, "cpu").unwrap().unwrap();
    assert_eq!((cpu.bit_offset, cpu.bitfield_bits), (129, 7));
    assert_eq!(btf.member(s.task, "nothing").unwrap(), None);
    let path = btf.member_path(s.task, ["parent", "parent", "comm"]).unwrap();
    let hops: Vec<_> = path.iter().map(|p| (p.through_pointer, p.member.bit_offset)).collect();
    assert_eq!(hops, [(false, 0), (true, 0), (true, 160)]);
    let error = btf.member_path(s.task, ["parent", "father"]).unwrap_err();
    assert_eq!(error.reason, "struct task has no member father");
    let error = btf.member_path(s.task, ["comm", "x"]).unwrap_err();
    assert_eq!(error.reason, "char[16] is no struct, so it has no member x");
}

#[test]
fn prints_c() {
    let s = sample();
    let btf = Btf::parse(s.writer.to_bytes()).unwrap();
    assert_eq!(
        btf.declaration(s.task).unwrap(),
        "struct task {\n\
         \tstruct task *parent;\n\
         \tunion {\n\t\tconst char *whole;\n\t\tstruct {\n\t\t\tunsigned int low;\n\t\t\tunsigned int high;\n\t\t};\n\t};\n\
         \tunsigned int on: 1;\n\
         \tunsigned int cpu: 7;\n\
         \tchar comm[16];\n\
         \tint (*fn)(struct task *task, u32 flags, ...);\n\
         \tconst char *const *argv;\n\
         \tenum color color;\n\
         \tenum {\n\t\tHUGE = 18446744073709551615,\n\t} wide;\n\
         };"
    );
    assert_eq!(btf.declaration(s.color).unwrap(), "enum color {\n\tRED = 0,\n\tBLUE = -2,\n};");
    assert_eq!(btf.declaration(s.func).unwrap(), "int wake(struct task *task, u32 flags, ...);");
    assert_eq!(
        btf.declaration(btf.find("u32", Kind::Typedef).unwrap()).unwrap(),
        "typedef unsigned int u32;"
    );
    assert_eq!(btf.type_name(s.callback).unwrap(), "int (*)(struct task *task, u32 flags, ...)");
    assert_eq!(btf.type_name(0).unwrap(), "void");
}

#[test]
fn pointers_to_arrays_and_functions_returning_them() {
    let mut w = BtfWriter::new();
    let int = w.int("int", 4, IntEncoding::Signed);
    let row = w.array(int, int, 3);
    let matrix = w.array(row, int, 2);
    let to_row = w.ptr(row);
    let getter = w.func_proto(&[], to_row).unwrap();
    let getter_ptr = w.ptr(getter);
    let volatile = w.modifier(Kind::Volatile, int);
    let flexible = w.array(volatile, int, 0);
    let btf = Btf::parse(w.to_bytes()).unwrap();
    assert_eq!(btf.declare(matrix, "m").unwrap(), "int m[2][3]");
    assert_eq!(btf.declare(to_row, "p").unwrap(), "int (*p)[3]");
    assert_eq!(btf.declare(getter_ptr, "f").unwrap(), "int (*(*f)(void))[3]");
    assert_eq!(btf.declare(flexible, "d").unwrap(), "volatile int d[]");
    assert_eq!(btf.type_name(to_row).unwrap(), "int (*)[3]");
    assert_eq!(btf.size_of(matrix).unwrap(), 24);
}

#[test]
fn a_split_blob_goes_on_where_its_base_ends() {
    let s = sample();
    let base = Arc::new(Btf::parse(s.writer.to_bytes()).unwrap());
    let (base_types, base_strings) = (base.type_count(), base.section_sizes().1 as u32);
    // A writer counts from 1 and from string 0, so build the module's blob by hand.
    let task_name = base.name_offset_for_tests("task");
    let strings = b"\0ext_fn\0";
    let mut types = Vec::new();
    let ptr_info = 2u32 << 24;
    for word in [0, ptr_info, s.task, base_strings + 1, 12 << 24, base_types, task_name, 4 << 24, 8] {
        types.extend(word.to_le_bytes());
    }
    let mut blob = vec![0x9f, 0xeb, 1, 0];
    for word in [24, 0, types.len() as u32, types.len() as u32, strings.len() as u32] {
        blob.extend(word.to_le_bytes());
    }
    blob.extend(&types);
    blob.extend(strings);
    let module = Btf::parse_split(blob, base.clone()).unwrap();
    assert_eq!((module.first_id(), module.type_count()), (base_types, base_types + 3));
    assert_eq!(module.type_name(base_types).unwrap(), "struct task *");
    assert_eq!(module.find("ext_fn", Kind::Func), Some(base_types + 1));
    // The module's own struct of the same name comes first; both are listed.
    assert_eq!(module.find("task", Kind::Struct), Some(base_types + 2));
    assert_eq!(module.find_all("task"), [base_types + 2, s.task]);
    assert_eq!(module.find("color", Kind::Enum), Some(s.color));
    assert_eq!(module.iter_own_kind(Kind::Struct).collect::<Vec<_>>(), [base_types + 2]);
    assert!(Btf::parse_split(s.writer.to_bytes(), Arc::new(module)).is_err());
}

impl<B: AsRef<[u8]>> Btf<B> {
    fn name_offset_for_tests(&self, name: &str) -> u32 {
        let needle = format!("\0{name}\0");
        memchr::memmem::find(self.string_bytes(), needle.as_bytes()).unwrap() as u32 + 1
    }
}

#[test]
fn damage_is_named_with_its_offset() {
    let error = |bytes: &[u8]| Btf::parse(bytes.to_vec()).unwrap_err();
    assert!(error(b"").reason.contains("too few"));
    assert!(error(b"\x7fELF").reason.contains("magic"));
    assert!(error(&[0xeb, 0x9f, 1, 0]).reason.contains("big-endian"));
    let good = sample().writer.to_bytes();
    assert_eq!(error(&good[..good.len() - 1]).offset, Some(16));
    let mut unknown = good.clone();
    unknown[24 + 7] = 31;
    let btf = Btf::parse(unknown).unwrap();
    assert!(btf.get(1).unwrap_err().reason.contains("kind 31"));
    let mut cut = good;
    let types_len = u32::from_le_bytes([cut[12], cut[13], cut[14], cut[15]]);
    cut[12..16].copy_from_slice(&(types_len - 3).to_le_bytes());
    assert!(error(&cut).reason.contains("passes the type section"));
}

#[test]
fn types_that_contain_themselves_end_in_an_error() {
    let mut w = BtfWriter::new();
    let a = w.reserve("", false);
    let twice = [member("", a, 0, 0), member("", a, 0, 0)];
    w.define(a, Kind::Struct, "", 8, &twice).unwrap();
    let next = w.len() + 1;
    let array = w.array(next, a, 2);
    let typedef = w.typedef("loop", w.len() + 1);
    let btf = Btf::parse(w.to_bytes()).unwrap();
    assert!(btf.member(a, "x").unwrap_err().reason.contains("without end"));
    assert!(btf.declaration(a).is_err());
    assert!(btf.size_of(array).is_err());
    assert!(btf.resolve(typedef).is_err() && btf.type_name(array).is_err());
}

/// Asks everything that can be asked of each type.
fn interrogate<B: AsRef<[u8]>>(btf: &Btf<B>) {
    for id in 0..btf.type_count().min(200) + 1 {
        let _ = (btf.kind(id), btf.name(id), btf.size_of(id), btf.has_tag(id, "user"), btf.decl_tags(id));
        let _ = (btf.type_name(id), btf.declaration(id), btf.resolve(id).map(|_| ()));
        let _ = (btf.member(id, "high"), btf.member_path(id, ["parent", "comm"]));
        if let Ok(BtfType::Datasec { vars, .. }) = btf.get(id) {
            let _ = vars.iter().count();
        }
    }
    let _ = (
        btf.find_enumerator("BLUE"),
        btf.find_func("wake"),
        btf.find_all("int"),
        btf.find_raw_tracepoint("x"),
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn damaged_blobs_never_panic(changes in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..12)) {
        let mut bytes = sample().writer.to_bytes();
        for (index, value) in changes {
            let at = index.index(bytes.len());
            bytes[at] = value;
        }
        if let Ok(btf) = Btf::parse(bytes) {
            interrogate(&btf);
        }
    }

    #[test]
    fn random_types_never_panic(types in proptest::collection::vec(any::<u32>(), 0..60), kinds in proptest::collection::vec(0u32..20, 60)) {
        let mut words = types;
        for (word, kind) in words.chunks_mut(3).zip(kinds) {
            if let Some(info) = word.get_mut(1) {
                *info = kind << 24 | *info & 0x8000_0003;
            }
            for reference in word {
                *reference &= 0xff00_003f;
            }
        }
        let types: Vec<u8> = words.iter().flat_map(|w| w.to_le_bytes()).collect();
        let mut blob = vec![0x9f, 0xeb, 1, 0];
        for word in [24, 0, types.len() as u32, types.len() as u32, 6] {
            blob.extend(word.to_le_bytes());
        }
        blob.extend(types);
        blob.extend(b"\0high\0");
        if let Ok(btf) = Btf::parse(blob) {
            interrogate(&btf);
        }
    }
}
