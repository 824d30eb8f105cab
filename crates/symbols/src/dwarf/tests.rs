//! Debug information that is written here and read back.

use gimli::write::{
    Address, AttributeValue as Value, DwarfUnit, EndianVec, LineProgram, LineString, Sections, UnitEntryId,
};
use gimli::{constants as c, Encoding, Format, LineEncoding};
use proptest::prelude::*;

use super::*;
use crate::abi::Part;
use crate::btf::BtfType;
use crate::elf::tests::with_sections;
use crate::usdt::Gpr;

struct Maker {
    dwarf: DwarfUnit,
}

impl Maker {
    fn add(
        &mut self,
        parent: UnitEntryId,
        tag: gimli::DwTag,
        name: &str,
        attrs: Vec<(gimli::DwAt, Value)>,
    ) -> UnitEntryId {
        let id = self.dwarf.unit.add(parent, tag);
        let entry = self.dwarf.unit.get_mut(id);
        if !name.is_empty() {
            entry.set(c::DW_AT_name, Value::String(name.into()));
        }
        for (attr, value) in attrs {
            entry.set(attr, value);
        }
        id
    }
}

/// `int work(struct node *node, double ratio, struct node by_value, ...)` at 0x1200, inside of namespace-like
/// noise, and `struct node { struct node *next; unsigned a:3, b:5; enum color color; char name[4][8]; }`.
fn sample() -> Vec<u8> {
    let encoding = Encoding { format: Format::Dwarf32, version: 5, address_size: 8 };
    let mut dwarf = DwarfUnit::new(encoding);
    let (dir, file) = (LineString::String(b"/src".to_vec()), LineString::String(b"lib/list.c".to_vec()));
    let mut lines = LineProgram::new(encoding, LineEncoding::default(), dir, None, file.clone(), None);
    let directory = lines.default_directory();
    let file = lines.add_file(file, directory, None);
    lines.begin_sequence(Some(Address::Constant(0x1200)));
    for (offset, line, column) in [(0, 10, 1), (4, 11, 5), (8, 11, 9), (12, 12, 1), (16, 11, 5)] {
        let row = lines.row();
        (row.file, row.address_offset, row.line, row.column) = (file, offset, line, column);
        lines.generate_row();
    }
    lines.end_sequence(0x20);
    dwarf.unit.line_program = lines;
    let root = dwarf.unit.root();
    dwarf.unit.get_mut(root).set(c::DW_AT_comp_dir, Value::String(b"/src".to_vec()));
    let mut m = Maker { dwarf };

    let base = |size: u8, encoding| {
        vec![(c::DW_AT_byte_size, Value::Data1(size)), (c::DW_AT_encoding, Value::Encoding(encoding))]
    };
    let uint = m.add(root, c::DW_TAG_base_type, "unsigned int", base(4, c::DW_ATE_unsigned));
    let char_ = m.add(root, c::DW_TAG_base_type, "char", base(1, c::DW_ATE_signed_char));
    let double = m.add(root, c::DW_TAG_base_type, "double", base(8, c::DW_ATE_float));
    let rows = m.add(root, c::DW_TAG_array_type, "", vec![(c::DW_AT_type, Value::UnitRef(char_))]);
    m.add(rows, c::DW_TAG_subrange_type, "", vec![(c::DW_AT_upper_bound, Value::Udata(3))]);
    m.add(rows, c::DW_TAG_subrange_type, "", vec![(c::DW_AT_count, Value::Udata(8))]);
    let color = m.add(root, c::DW_TAG_enumeration_type, "color", vec![(c::DW_AT_byte_size, Value::Data1(4))]);
    m.add(color, c::DW_TAG_enumerator, "RED", vec![(c::DW_AT_const_value, Value::Sdata(1))]);
    m.add(color, c::DW_TAG_enumerator, "BLUE", vec![(c::DW_AT_const_value, Value::Sdata(-2))]);
    let node = m.add(root, c::DW_TAG_structure_type, "node", vec![(c::DW_AT_byte_size, Value::Udata(48))]);
    let pointer = m.add(root, c::DW_TAG_pointer_type, "", vec![(c::DW_AT_type, Value::UnitRef(node))]);
    let at = |ty, offset| {
        vec![(c::DW_AT_type, Value::UnitRef(ty)), (c::DW_AT_data_member_location, Value::Udata(offset))]
    };
    let bits = |ty, at, len| {
        let place = (c::DW_AT_data_bit_offset, Value::Udata(at));
        vec![(c::DW_AT_type, Value::UnitRef(ty)), place, (c::DW_AT_bit_size, Value::Udata(len))]
    };
    m.add(node, c::DW_TAG_member, "next", at(pointer, 0));
    m.add(node, c::DW_TAG_member, "a", bits(uint, 64, 3));
    m.add(node, c::DW_TAG_member, "b", bits(uint, 67, 5));
    m.add(node, c::DW_TAG_member, "color", at(color, 12));
    m.add(node, c::DW_TAG_member, "name", at(rows, 16));
    let node_t = m.add(root, c::DW_TAG_typedef, "node_t", vec![(c::DW_AT_type, Value::UnitRef(node))]);

    // The declaration carries names and types, the compiled copy only refers to it.
    let declared = m.add(root, c::DW_TAG_subprogram, "work", vec![(c::DW_AT_type, Value::UnitRef(uint))]);
    let mut params = Vec::new();
    for (name, ty) in [("node", pointer), ("ratio", double), ("by_value", node_t)] {
        params.push(m.add(
            declared,
            c::DW_TAG_formal_parameter,
            name,
            vec![(c::DW_AT_type, Value::UnitRef(ty))],
        ));
    }
    let place = vec![
        (c::DW_AT_abstract_origin, Value::UnitRef(declared)),
        (c::DW_AT_low_pc, Value::Address(Address::Constant(0x1200))),
        (c::DW_AT_high_pc, Value::Udata(0x20)),
    ];
    let compiled = m.add(root, c::DW_TAG_subprogram, "", place);
    for param in params {
        m.add(
            compiled,
            c::DW_TAG_formal_parameter,
            "",
            vec![(c::DW_AT_abstract_origin, Value::UnitRef(param))],
        );
    }
    m.add(compiled, c::DW_TAG_unspecified_parameters, "", Vec::new());

    let mut sections = Sections::new(EndianVec::new(LittleEndian));
    m.dwarf.write(&mut sections).unwrap();
    let mut named = Vec::new();
    sections
        .for_each(|id, data| {
            if !data.slice().is_empty() {
                named.push((id.name(), data.slice().to_vec()));
            }
            Ok::<_, gimli::write::Error>(())
        })
        .unwrap();
    let rows: Vec<(&str, &[u8])> = named.iter().map(|(name, data)| (*name, data.as_slice())).collect();
    with_sections(&rows)
}

#[test]
fn arguments_and_types_of_a_function() {
    let file = sample();
    let info = DebugInfo::open(&Elf::parse(&file).unwrap()).unwrap().unwrap();
    assert!(info.function_at(0x1204).unwrap().is_none());
    let by_name = info.functions_named("work").unwrap();
    assert_eq!(by_name.len(), 1);
    let work = info.function_at(0x1200).unwrap().unwrap();
    assert_eq!((work.name.as_str(), work.address, work.is_variadic), ("work", 0x1200, true));
    let texts: Vec<_> = work.args.iter().map(|a| work.types.declare(a.ty, &a.name).unwrap()).collect();
    assert_eq!(texts, ["struct node *node", "double ratio", "node_t by_value"]);
    let places: Vec<_> = work.args.iter().map(|a| a.place.clone()).collect();
    assert_eq!(
        places,
        [
            ArgPlace::Registers(vec![Part::Gpr(Gpr::Di)]),
            ArgPlace::Registers(vec![Part::Vector(0)]),
            ArgPlace::Stack(8),
        ]
    );
    assert_eq!(work.types.type_name(work.ret).unwrap(), "unsigned int");
    let (node, _) = work.types.resolve(work.args[2].ty).unwrap();
    assert_eq!(
        work.types.declaration(node).unwrap(),
        "struct node {\n\tstruct node *next;\n\tunsigned int a: 3;\n\tunsigned int b: 5;\n\tenum color color;\n\tchar name[4][8];\n};"
    );
    let path = work.types.member_path(work.args[0].ty, ["next", "b"]).unwrap();
    assert_eq!((path[1].member.bit_offset, path[1].member.bitfield_bits), (67, 5));
    let (types, id) = info.type_named("node_t").unwrap().unwrap();
    assert!(matches!(types.get(id).unwrap(), BtfType::Typedef { name: "node_t", .. }));
    assert!(info.type_named("nothing").unwrap().is_none());
}

#[test]
fn lines_both_ways() {
    let file = sample();
    let info = DebugInfo::open(&Elf::parse(&file).unwrap()).unwrap().unwrap();
    let addresses = |file, line, column| {
        let found = info.addresses_of_line(file, line, column).unwrap();
        found.iter().map(|f| f.address).collect::<Vec<_>>()
    };
    assert_eq!(addresses("list.c", 11, None), [0x1204, 0x1210]);
    assert_eq!(addresses("lib/list.c", 11, Some(9)), [0x1208]);
    assert_eq!(addresses("/src/lib/list.c", 12, None), [0x120c]);
    assert!(addresses("ist.c", 11, None).is_empty() && addresses("list.c", 99, None).is_empty());
    let place = info.line_at(0x120a).unwrap().unwrap();
    assert_eq!((place.file.as_path(), place.line, place.column), (Path::new("/src/lib/list.c"), 11, 9));
    assert_eq!(info.line_at(0x1220).unwrap(), None);
}

#[test]
fn packed_sections_are_unpacked() {
    use std::io::Write;
    let plain = sample();
    let elf = Elf::parse(&plain).unwrap();
    let text = elf.section(".debug_info").unwrap();
    let mut packed = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
    packed.write_all(text).unwrap();
    let header =
        |kind: u32, size: u64| [&kind.to_le_bytes()[..], &[0; 4], &size.to_le_bytes(), &[0; 8]].concat();
    let unpack = |kind, size, body: &[u8]| {
        let mut file = with_sections(&[(".debug_info", &[header(kind, size), body.to_vec()].concat())]);
        // Section 1 is ours; its flags are the second word of its header, at 8.
        let table = u64::from_le_bytes(*file[40..].first_chunk().unwrap()) as usize;
        file[table + 64 + 8..table + 64 + 16].copy_from_slice(&0x800u64.to_le_bytes());
        section(&Elf::parse(&file).unwrap(), ".debug_info").map(Cow::into_owned)
    };
    let packed = packed.finish().unwrap();
    assert_eq!(unpack(1, text.len() as u64, &packed).unwrap(), text);
    assert!(unpack(2, 10, &packed).unwrap_err().reason.contains("method 2"));
    assert!(unpack(1, u64::MAX, &packed).unwrap_err().reason.contains("limit"));
    assert!(unpack(1, 10, b"junk").unwrap_err().reason.contains("unpacking"));
}

#[test]
fn where_debug_files_are_looked_for() {
    let file = crate::elf::tests::sample();
    let elf = Elf::parse(&file).unwrap();
    let names = debug_file_candidates(&elf, Path::new("/usr/bin/prog"));
    let names: Vec<_> = names.iter().map(|p| p.to_str().unwrap()).collect();
    assert_eq!(
        names,
        [
            "/usr/lib/debug/.build-id/de/adbeef.debug",
            "/usr/bin/a.debug",
            "/usr/bin/.debug/a.debug",
            "/usr/lib/debug/usr/bin/a.debug",
        ]
    );
    assert!(function_args(&elf, None, "alpha").unwrap().is_none());
}

/// C++ as the machine's own compiler writes it, where there is one.
#[test]
fn classes_that_are_passed_by_a_hidden_pointer() {
    const SOURCE: &str = "struct base { int id; virtual ~base() {} };\n\
        struct text : base { unsigned len : 7; const char *bytes; };\n\
        struct holder { text inner; };\n\
        struct plain { long a; double b; };\n\
        extern \"C\" int work(text t, holder h, plain p, const text &r, int n) { return t.id + h.inner.id + p.a + r.len + n; }\n";
    let dir = std::env::temp_dir().join(format!("fathom-dwarf-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let (source, object) = (dir.join("a.cpp"), dir.join("a.so"));
    std::fs::write(&source, SOURCE).unwrap();
    for version in ["-gdwarf-4", "-gdwarf-5"] {
        let flags =
            ["-g", version, "-fdebug-types-section", "-femit-class-debug-always", "-shared", "-fPIC", "-o"];
        let built = std::process::Command::new("c++").args(flags).arg(&object).arg(&source).output();
        if !built.is_ok_and(|out| out.status.success()) {
            continue;
        }
        let bytes = std::fs::read(&object).unwrap();
        let work = function_args(&Elf::parse(&bytes).unwrap(), None, "work").unwrap().unwrap();
        let at = |gpr| ArgPlace::Registers(vec![Part::Gpr(gpr)]);
        let places: Vec<_> = work.args.iter().map(|a| a.place.clone()).collect();
        assert_eq!(
            places,
            [
                ArgPlace::Behind(Box::new(at(Gpr::Di))),
                ArgPlace::Behind(Box::new(at(Gpr::Si))),
                ArgPlace::Registers(vec![Part::Gpr(Gpr::Dx), Part::Vector(0)]),
                at(Gpr::Cx),
                at(Gpr::R8),
            ],
            "{version}"
        );
        // Members of base classes are found by their own names.
        let reference = work.args[3].ty;
        let id = work.types.member_path(reference, ["id"]).unwrap();
        assert_eq!((id[0].through_pointer, id[0].member.bit_offset), (true, 64));
    }
    std::fs::remove_dir_all(&dir).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn damaged_files_never_panic(changes in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..8)) {
        let mut file = sample();
        for (index, value) in changes {
            // Behind the ELF header and segments, so that mostly the debug sections are hit.
            let at = 0x340 + index.index(file.len() - 0x340);
            file[at] = value;
        }
        if let Ok(Some(info)) = Elf::parse(&file).and_then(|elf| DebugInfo::open(&elf)) {
            let _ = (info.function_at(0x1200), info.functions_named("work"), info.type_named("node_t"));
            let _ = (info.addresses_of_line("list.c", 11, None), info.line_at(0x120a));
        }
    }
}
