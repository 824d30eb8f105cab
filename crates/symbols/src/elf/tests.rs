//! ELF files that are made here, and damaged ones.

use super::*;
use proptest::prelude::*;

/// A position-independent file with one code segment, a symbol table, a build id and two USDT notes.
pub(crate) fn sample() -> Vec<u8> {
    Builder::default().build()
}

/// A file with nothing but these sections.
pub(crate) fn with_sections(sections: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = Builder::default();
    builder.head();
    builder.section("", 0, 0, b"", 0, 0);
    for (name, data) in sections {
        builder.section(name, 1, 0, data, 0, 0);
    }
    builder.finish()
}

#[derive(Default)]
struct Builder {
    out: Vec<u8>,
    sections: Vec<[u64; 8]>,
    names: Vec<u8>,
}

impl Builder {
    fn put(&mut self, words: &[(u64, usize)]) {
        for (value, bytes) in words {
            self.out.extend(&value.to_le_bytes()[..*bytes]);
        }
    }

    /// Adds a section: name, type, flags, address, data, link, entry size.
    fn section(&mut self, name: &str, kind: u64, address: u64, data: &[u8], link: u64, entry: u64) {
        while !self.out.len().is_multiple_of(8) {
            self.out.push(0);
        }
        let name_at = self.names.len() as u64;
        self.names.extend(name.as_bytes());
        self.names.push(0);
        self.sections.push([
            name_at,
            kind,
            address,
            self.out.len() as u64,
            data.len() as u64,
            link,
            4,
            entry,
        ]);
        self.out.extend(data);
    }

    fn head(&mut self) {
        // ELF header, then one PT_LOAD: file 0x200..0x300 at 0x1200, and one for data: 0x300..0x340 at 0x3300.
        self.out.extend(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0");
        self.put(&[
            (3, 2),
            (62, 2),
            (1, 4),
            (0x1200, 8),
            (64, 8),
            (0, 8),
            (0, 4),
            (64, 2),
            (56, 2),
            (2, 2),
            (64, 2),
        ]);
        self.put(&[(0, 2), (0, 2)]);
        for (flags, offset, address, len) in [(5, 0x200, 0x1200, 0x100), (6, 0x300, 0x3300, 0x40)] {
            self.put(&[
                (1, 4),
                (flags, 4),
                (offset, 8),
                (address, 8),
                (address, 8),
                (len, 8),
                (len, 8),
                (0x1000, 8),
            ]);
        }
        self.out.resize(0x340, 0xcc);
    }

    fn build(mut self) -> Vec<u8> {
        self.head();
        self.out[0x200..0x206].copy_from_slice(b"\xf3\x0f\x1e\xfa\x55\x48");
        self.out[0x220..0x224].copy_from_slice(b"\x48\x83\xec\x08");
        self.section("", 0, 0, b"", 0, 0);
        let strings = b"\0alpha\0beta@@V1\0table\0beta_cold\0";
        self.section(".strtab", 3, 0, strings, 0, 0);
        let mut symbols = vec![0; 24];
        // (name, info, section, address, size): a global and a weak function, a variable, a local function.
        for (name, info, section, address, size) in [
            (1, 0x12, 1, 0x1200, 16),
            (7, 0x22, 1, 0x1220, 8),
            (16, 0x11, 1, 0x3300, 8),
            (22, 2, 1, 0x1228, 8),
        ] {
            symbols.extend(u32::to_le_bytes(name));
            symbols.extend([info, 0]);
            symbols.extend(u16::to_le_bytes(section));
            symbols.extend(u64::to_le_bytes(address));
            symbols.extend(u64::to_le_bytes(size));
        }
        self.section(".symtab", 2, 0, &symbols, 1, 24);
        self.section(
            ".note.gnu.build-id",
            7,
            0,
            b"\x04\0\0\0\x04\0\0\0\x03\0\0\0GNU\0\xde\xad\xbe\xef",
            0,
            0,
        );
        self.section(".gnu_debuglink", 1, 0, b"a.debug\0\x78\x56\x34\x12", 0, 0);
        self.section(".stapsdt.base", 1, 0x2010, b"\0", 0, 0);
        let mut notes = note(0x1210, 0x2000, 0x3300, "app", "hit", "-4@%edi 8@%rsi");
        notes.extend(note(0x1214, 0x2000, 0, "app", "miss", ""));
        self.section(".note.stapsdt", 7, 0, &notes, 0, 0);
        self.finish()
    }

    fn finish(mut self) -> Vec<u8> {
        let names_at = self.names.len();
        self.names.extend(b".shstrtab\0");
        let all_names = self.names.clone();
        self.names.truncate(names_at);
        self.section(".shstrtab", 3, 0, &all_names, 0, 0);
        while !self.out.len().is_multiple_of(8) {
            self.out.push(0);
        }
        let table = self.out.len() as u64;
        let rows = std::mem::take(&mut self.sections);
        let count = rows.len() as u64;
        for [name, kind, address, offset, size, link, align, entry] in rows {
            let head =
                [(name, 4), (kind, 4), (0, 8), (address, 8), (offset, 8), (size, 8), (link, 4), (0, 4)];
            self.put(&head);
            self.put(&[(align, 8), (entry, 8)]);
        }
        self.out[40..48].copy_from_slice(&table.to_le_bytes());
        self.out[60..62].copy_from_slice(&(count as u16).to_le_bytes());
        self.out[62..64].copy_from_slice(&(count as u16 - 1).to_le_bytes());
        self.out
    }
}

fn note(pc: u64, base: u64, semaphore: u64, provider: &str, name: &str, args: &str) -> Vec<u8> {
    let mut desc: Vec<u8> = [pc, base, semaphore].iter().flat_map(|w| w.to_le_bytes()).collect();
    desc.extend(format!("{provider}\0{name}\0{args}\0").as_bytes());
    let mut out: Vec<u8> = [8, desc.len() as u32, 3].iter().flat_map(|w: &u32| w.to_le_bytes()).collect();
    out.extend(b"stapsdt\0");
    out.extend(desc);
    while !out.len().is_multiple_of(4) {
        out.push(0);
    }
    out
}

#[test]
fn symbols_offsets_and_entries() {
    let file = sample();
    let elf = Elf::parse(&file).unwrap();
    assert_eq!((elf.kind(), elf.is_x86_64(), elf.interpreter()), (ElfKind::Dynamic, true, None));
    let alpha = elf.function("alpha").unwrap();
    assert_eq!((alpha.symbol.address, alpha.symbol.size, alpha.file_offset), (0x1200, 16, 0x200));
    assert_eq!(elf.function("beta").unwrap().symbol.name, "beta");
    assert_eq!(elf.function("bet"), None);
    assert_eq!(elf.function("table"), None);
    assert_eq!(elf.symbol("table").unwrap().kind, SymbolKind::Object);
    let names: Vec<_> = elf.functions().map(|f| f.symbol.name).collect();
    assert_eq!(names, ["alpha", "beta", "beta_cold"]);
    assert_eq!(elf.function_at(0x1229).map(|(f, into)| (f.symbol.name, into)), Some(("beta_cold", 1)));
    assert_eq!(elf.function_at(0x1218), None);
    assert_eq!((elf.file_offset(0x12ff), elf.file_offset(0x1300)), (Some(0x2ff), None));
    assert_eq!((elf.address_of_offset(0x300), elf.address_of_offset(0x400)), (Some(0x3300), None));
    assert!(elf.is_code(0x1200) && !elf.is_code(0x3300));
    assert_eq!(elf.entry(0x200), Entry { endbr_bytes: 4, is_emulated: true });
    assert_eq!(elf.entry(0x220), Entry { endbr_bytes: 0, is_emulated: false });
    assert_eq!(elf.entry(u64::MAX), Entry { endbr_bytes: 0, is_emulated: false });
    assert_eq!(elf.build_id(), Some(&b"\xde\xad\xbe\xef"[..]));
    assert_eq!(elf.debug_link(), Some(("a.debug", 0x1234_5678)));
}

#[test]
fn usdt_notes_are_moved_to_where_the_file_is() {
    let file = sample();
    let probes = Elf::parse(&file).unwrap().usdt_probes().unwrap();
    assert_eq!(probes.len(), 2);
    let hit = probes[0];
    assert_eq!((hit.provider, hit.name, hit.args), ("app", "hit", "-4@%edi 8@%rsi"));
    assert_eq!((hit.address, hit.file_offset), (0x1220, 0x220));
    assert_eq!((hit.semaphore, hit.semaphore_offset), (0x3310, Some(0x310)));
    assert_eq!((probes[1].semaphore, probes[1].semaphore_offset), (0, None));
    assert_eq!(crate::usdt::parse_args(hit.args).unwrap().len(), 2);
}

#[test]
fn what_is_not_elf_is_said() {
    let error = |bytes: &[u8]| Elf::parse(bytes).err().unwrap().to_string();
    assert!(error(b"#!/bin/sh").contains("script"));
    assert!(error(b"\x7fELF\x01\x01").contains("64-bit"));
    assert!(error(b"\x7fELF\x02\x01").contains("header"));
}

#[test]
fn libc_of_this_machine() {
    let Ok(cache) = std::fs::read("/etc/ld.so.cache") else { return };
    let Some(path) = crate::ldcache::LdCache::parse(&cache).unwrap().find("libc") else { return };
    let bytes = std::fs::read(path).unwrap();
    let elf = Elf::parse(&bytes).unwrap();
    assert_eq!(elf.kind(), ElfKind::Dynamic);
    let getppid = elf.function("getppid").unwrap();
    let (function, into) = elf.function_at(getppid.symbol.address + 1).unwrap();
    assert!(function.symbol.name.ends_with("getppid") && into == 1);
    assert_eq!(elf.address_of_offset(getppid.file_offset), Some(getppid.symbol.address));
    assert!(elf.functions().count() > 1000);
    for probe in elf.usdt_probes().unwrap() {
        crate::usdt::parse_args(probe.args).unwrap();
    }
}

proptest! {
    #[test]
    fn damaged_files_never_panic(changes in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..10), cut in 0usize..3000) {
        let mut file = sample();
        for (index, value) in changes {
            let at = index.index(file.len());
            file[at] = value;
        }
        file.truncate(cut.max(64));
        if let Ok(elf) = Elf::parse(&file) {
            let _ = (elf.functions().count(), elf.usdt_probes(), elf.build_id(), elf.debug_link(), elf.interpreter());
            let _ = (elf.function("alpha"), elf.function_at(0x1229), elf.file_offset(0x1210), elf.symbol("table"));
        }
    }
}
