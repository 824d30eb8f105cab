//! ELF files as probes need them: functions and their file offsets, build id, USDT notes, first instructions.
//!
//! Only 64-bit little-endian files are read. Nothing is copied; names borrow from the file's bytes.

use object::elf::{self, FileHeader64, ProgramHeader64, Sym64};
use object::read::elf::{FileHeader, ProgramHeader, SectionHeader, SectionTable, Sym, SymbolTable};
use object::LittleEndian;

use crate::{Error, Result};

const LE: LittleEndian = LittleEndian;
type Header = FileHeader64<LittleEndian>;

fn bad(what: &str, cause: impl std::fmt::Display) -> Error {
    Error::new("ELF", format!("{what}: {cause}"))
}

/// What kind of file it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ElfKind {
    /// An executable at fixed addresses.
    Executable,
    /// A shared library or a position-independent executable.
    Dynamic,
    /// An object file; nothing in it can be probed.
    Object,
    /// Core dump or other.
    Other,
}

/// What a symbol names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SymbolKind {
    /// A function.
    Function,
    /// A function that chooses the real one at load time (`memcpy` in libc); probing it sees only the choosing.
    IndirectFunction,
    /// A variable.
    Object,
    /// A thread-local variable; its address is an offset.
    ThreadLocal,
    /// Without a type, as hand-written assembly is.
    Untyped,
}

/// A defined symbol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ElfSymbol<'d> {
    /// Name as in the file (mangled), without a version.
    pub name: &'d str,
    /// Address in the file's own address space.
    pub address: u64,
    /// Bytes, 0 if the file does not say.
    pub size: u64,
    /// What it names.
    pub kind: SymbolKind,
    /// Visible outside of its file.
    pub is_global: bool,
}

/// A function and where a probe on it goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Function<'d> {
    /// Its symbol.
    pub symbol: ElfSymbol<'d>,
    /// Offset in the file of its first instruction, as uprobes want it.
    pub file_offset: u64,
}

/// One USDT probe site. A probe with several sites has several of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UsdtProbe<'d> {
    /// Provider, bpftrace's namespace.
    pub provider: &'d str,
    /// Probe name.
    pub name: &'d str,
    /// Address of the probed instruction in the file's address space, corrected for prelinking.
    pub address: u64,
    /// Offset of that instruction in the file.
    pub file_offset: u64,
    /// Address of the semaphore, 0 if the probe has none.
    pub semaphore: u64,
    /// Offset of the semaphore in the file, as `ref_ctr_offset` wants it.
    pub semaphore_offset: Option<u64>,
    /// Arguments in the grammar of [`crate::usdt`].
    pub args: &'d str,
}

/// What stands at a function's entry, as far as it changes the cost of a probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// Bytes of a leading `endbr64`, 0 or 4; a probe behind it sees the same registers.
    pub endbr_bytes: u8,
    /// Whether the kernel emulates the instruction there (`push`, `nop`) instead of single-stepping it.
    pub is_emulated: bool,
}

/// An ELF file.
pub struct Elf<'d> {
    data: &'d [u8],
    header: &'d Header,
    segments: &'d [ProgramHeader64<LittleEndian>],
    sections: SectionTable<'d, Header>,
}

impl<'d> Elf<'d> {
    /// Reads the headers of a file.
    ///
    /// Errors: not ELF, not 64-bit little-endian, damaged headers.
    pub fn parse(data: &'d [u8]) -> Result<Self> {
        if !data.starts_with(&elf::ELFMAG) {
            return Err(Error::at("ELF", 0, "the file does not begin with \\x7fELF; is it a script?"));
        }
        if data.get(4) != Some(&2) || data.get(5) != Some(&1) {
            return Err(Error::at(
                "ELF",
                4,
                "the file is not 64-bit little-endian; 32-bit programs are not supported",
            ));
        }
        let header = Header::parse(data).map_err(|e| bad("header", e))?;
        let segments = header.program_headers(LE, data).map_err(|e| bad("program headers", e))?;
        let sections = header.sections(LE, data).map_err(|e| bad("section headers", e))?;
        Ok(Self { data, header, segments, sections })
    }

    /// The file's bytes.
    pub fn data(&self) -> &'d [u8] {
        self.data
    }

    /// What kind of file it is.
    pub fn kind(&self) -> ElfKind {
        match self.header.e_type(LE) {
            elf::ET_EXEC => ElfKind::Executable,
            elf::ET_DYN => ElfKind::Dynamic,
            elf::ET_REL => ElfKind::Object,
            _ => ElfKind::Other,
        }
    }

    /// Whether the code is for x86-64.
    pub fn is_x86_64(&self) -> bool {
        self.header.e_machine(LE) == elf::EM_X86_64
    }

    /// The program loader the file asks for; `None` for libraries and static programs.
    pub fn interpreter(&self) -> Option<&'d str> {
        let segment = self.segments.iter().find(|s| s.p_type(LE) == elf::PT_INTERP)?;
        let raw = segment.data(LE, self.data).ok()?;
        std::str::from_utf8(raw.split(|&b| b == 0).next()?).ok()
    }

    /// The bytes of a section by name; `None` if it is missing, empty of file data, or damaged.
    pub fn section(&self, name: &str) -> Option<&'d [u8]> {
        self.sections.section_by_name(LE, name.as_bytes())?.1.data(LE, self.data).ok()
    }

    /// The address of a section by name.
    pub fn section_address(&self, name: &str) -> Option<u64> {
        Some(self.sections.section_by_name(LE, name.as_bytes())?.1.sh_addr(LE))
    }

    /// Whether a section's data is compressed (`SHF_COMPRESSED`).
    pub fn section_is_compressed(&self, name: &str) -> bool {
        let section = self.sections.section_by_name(LE, name.as_bytes());
        section.is_some_and(|(_, s)| s.sh_flags(LE).contains(elf::SHF_COMPRESSED))
    }

    fn loads(&self) -> impl Iterator<Item = &'d ProgramHeader64<LittleEndian>> {
        self.segments.iter().filter(|s| s.p_type(LE) == elf::PT_LOAD)
    }

    /// The file offset of an address; `None` if no loaded segment of the file holds it (`.bss` has no file offset).
    pub fn file_offset(&self, address: u64) -> Option<u64> {
        self.loads().find_map(|s| {
            let into = address.checked_sub(s.p_vaddr(LE))?;
            (into < s.p_filesz(LE)).then(|| s.p_offset(LE).checked_add(into))?
        })
    }

    /// The address of a file offset, from the executable segment if several hold it.
    pub fn address_of_offset(&self, offset: u64) -> Option<u64> {
        let hits = || {
            self.loads().filter_map(move |s| {
                let into = offset.checked_sub(s.p_offset(LE))?;
                (into < s.p_filesz(LE)).then(|| Some((s, s.p_vaddr(LE).checked_add(into)?)))?
            })
        };
        let executable = hits().find(|(s, _)| s.p_flags(LE).contains(elf::PF_X));
        executable.or_else(|| hits().next()).map(|(_, address)| address)
    }

    /// Whether an address lies in an executable segment.
    pub fn is_code(&self, address: u64) -> bool {
        self.loads().any(|s| {
            let inside = address.checked_sub(s.p_vaddr(LE)).is_some_and(|into| into < s.p_memsz(LE));
            inside && s.p_flags(LE).contains(elf::PF_X)
        })
    }

    fn table(&self, kind: elf::SectionType) -> SymbolTable<'d, Header> {
        self.sections.symbols(LE, self.data, kind).unwrap_or_default()
    }

    fn decode(table: &SymbolTable<'d, Header>, raw: &'d Sym64<LittleEndian>) -> Option<ElfSymbol<'d>> {
        if raw.st_shndx(LE) == elf::SHN_UNDEF || raw.st_name(LE) == 0 {
            return None;
        }
        let kind = match raw.st_type() {
            elf::STT_FUNC => SymbolKind::Function,
            elf::STT_GNU_IFUNC => SymbolKind::IndirectFunction,
            elf::STT_OBJECT => SymbolKind::Object,
            elf::STT_TLS => SymbolKind::ThreadLocal,
            elf::STT_NOTYPE => SymbolKind::Untyped,
            _ => return None,
        };
        let name = table.symbol_name(LE, raw).ok()?;
        let version = memchr::memchr(b'@', name).filter(|&at| at > 0).unwrap_or(name.len());
        Some(ElfSymbol {
            name: std::str::from_utf8(&name[..version]).ok()?,
            address: raw.st_value(LE),
            size: raw.st_size(LE),
            kind,
            is_global: raw.st_bind() != elf::STB_LOCAL,
        })
    }

    /// All defined symbols: those of `.symtab`, or of `.dynsym` if the file is stripped.
    pub fn symbols(&self) -> impl Iterator<Item = ElfSymbol<'d>> + 'd {
        self.tables()
            .flat_map(|table| table.symbols().iter().filter_map(move |raw| Self::decode(&table, raw)))
    }

    /// All functions that can be probed, in file order. Two names at one address are two functions.
    pub fn functions(&self) -> impl Iterator<Item = Function<'d>> + '_ {
        self.symbols().filter_map(|symbol| self.as_function(symbol))
    }

    fn as_function(&self, symbol: ElfSymbol<'d>) -> Option<Function<'d>> {
        let code = match symbol.kind {
            SymbolKind::Function | SymbolKind::IndirectFunction => true,
            SymbolKind::Untyped => symbol.is_global && self.is_code(symbol.address),
            _ => false,
        };
        code.then(|| Some(Function { symbol, file_offset: self.file_offset(symbol.address)? }))?
    }

    fn tables(&self) -> impl Iterator<Item = SymbolTable<'d, Header>> {
        let (full, dynamic) = (self.table(elf::SHT_SYMTAB), self.table(elf::SHT_DYNSYM));
        // A linker's .symtab repeats every dynamic symbol; one that is shorter was cut down by strip.
        let dynamic = if full.len() >= dynamic.len() { SymbolTable::default() } else { dynamic };
        [full, dynamic].into_iter()
    }

    fn named(&self, name: &str) -> Vec<ElfSymbol<'d>> {
        let mut found = Vec::new();
        for table in self.tables() {
            let section = self.sections.section(table.string_section());
            let Ok(strings) = section.and_then(|s| s.data(LE, self.data)) else { continue };
            // Compared in place: a large library has half a million names, and finding their ends takes the time.
            let fits = |raw: &&'d Sym64<LittleEndian>| {
                let rest =
                    strings.get(raw.st_name(LE) as usize..).and_then(|s| s.strip_prefix(name.as_bytes()));
                rest.is_some_and(|rest| matches!(rest.first(), Some(0 | b'@')))
            };
            found.extend(table.symbols().iter().filter(fits).filter_map(|raw| Self::decode(&table, raw)));
        }
        found
    }

    /// The symbol with this name, global ones first.
    pub fn symbol(&self, name: &str) -> Option<ElfSymbol<'d>> {
        let mut found = self.named(name);
        found.sort_by_key(|s| !s.is_global);
        found.first().copied()
    }

    /// The function with this name, global ones first; see [`Self::functions_named`] for static namesakes.
    pub fn function(&self, name: &str) -> Option<Function<'d>> {
        self.functions_named(name).first().copied()
    }

    /// All functions with this name at different addresses, global ones first.
    pub fn functions_named(&self, name: &str) -> Vec<Function<'d>> {
        let mut found: Vec<Function<'d>> =
            self.named(name).into_iter().filter_map(|s| self.as_function(s)).collect();
        found.sort_by_key(|f| (!f.symbol.is_global, f.symbol.address));
        let mut seen = Vec::new();
        found.retain(|f| {
            let new = !seen.contains(&f.symbol.address);
            seen.push(f.symbol.address);
            new
        });
        found
    }

    /// The function that covers an address, and the offset in it.
    pub fn function_at(&self, address: u64) -> Option<(Function<'d>, u64)> {
        let covers = |f: &Function<'d>| {
            let into = address.checked_sub(f.symbol.address);
            into.is_some_and(|into| into < f.symbol.size || into == 0)
        };
        let best = self.functions().filter(covers).max_by_key(|f| (f.symbol.address, f.symbol.is_global))?;
        Some((best, address - best.symbol.address))
    }

    /// What stands at this file offset, for choosing the place of a probe at a function's entry.
    pub fn entry(&self, file_offset: u64) -> Entry {
        let at = usize::try_from(file_offset).unwrap_or(usize::MAX);
        let code = self.data.get(at..).unwrap_or(&[]);
        let (endbr_bytes, code) = match code.strip_prefix(b"\xf3\x0f\x1e\xfa") {
            Some(rest) => (4, rest),
            None => (0, code),
        };
        // push reg, with or without REX.B; nop; the multi-byte nop 0f 1f.
        let is_emulated =
            matches!(code, [0x50..=0x57 | 0x90, ..] | [0x41, 0x50..=0x57, ..] | [0x0f, 0x1f, ..]);
        Entry { endbr_bytes, is_emulated }
    }

    fn notes(&self) -> impl Iterator<Item = (elf::NoteType, &'d [u8], &'d [u8])> + '_ {
        let data = self.data;
        let from_segments = self.segments.iter().filter_map(move |s| s.notes(LE, data).ok().flatten());
        let from_sections = self.sections.iter().filter_map(move |s| s.notes(LE, data).ok().flatten());
        let all = from_segments.chain(from_sections);
        all.flat_map(|mut notes| {
            std::iter::from_fn(move || notes.next().ok().flatten())
                .map(|n| (n.n_type(LE), n.name(), n.desc()))
        })
    }

    /// The build id, usually 20 bytes.
    pub fn build_id(&self) -> Option<&'d [u8]> {
        let mut notes = self.notes();
        notes.find(|(kind, name, _)| *kind == elf::NT_GNU_BUILD_ID && *name == b"GNU").map(|(_, _, id)| id)
    }

    /// The file name and checksum of a separate debug file.
    pub fn debug_link(&self) -> Option<(&'d str, u32)> {
        let raw = self.section(".gnu_debuglink")?;
        let end = memchr::memchr(0, raw)?;
        let crc = raw.get((end + 4) & !3..)?.first_chunk().map(|b| u32::from_le_bytes(*b))?;
        Some((std::str::from_utf8(&raw[..end]).ok()?, crc))
    }

    /// The USDT probes of the file, in file order; empty if it has none.
    ///
    /// Errors: a damaged note. Format: systemtap's `sys/sdt.h`.
    pub fn usdt_probes(&self) -> Result<Vec<UsdtProbe<'d>>> {
        let Some((_, section)) = self.sections.section_by_name(LE, b".note.stapsdt") else {
            return Ok(Vec::new());
        };
        let notes = section.notes(LE, self.data).map_err(|e| bad(".note.stapsdt", e))?;
        let Some(mut notes) = notes else { return Ok(Vec::new()) };
        let base = self.section_address(".stapsdt.base").unwrap_or(0);
        let mut probes = Vec::new();
        while let Some(note) = notes.next().map_err(|e| bad(".note.stapsdt", e))? {
            if note.name() == b"stapsdt" && note.n_type(LE).0 == 3 {
                let probe = self.usdt_probe(note.desc(), base);
                let damaged = || bad(".note.stapsdt", format!("note {} is damaged", probes.len() + 1));
                probes.push(probe.ok_or_else(damaged)?);
            }
        }
        Ok(probes)
    }

    fn usdt_probe(&self, desc: &'d [u8], base_address: u64) -> Option<UsdtProbe<'d>> {
        let word = |at: usize| desc.get(at..)?.first_chunk().map(|b| u64::from_le_bytes(*b));
        let (pc, base, semaphore) = (word(0)?, word(8)?, word(16)?);
        let mut texts = desc.get(24..)?.split(|&b| b == 0);
        let mut text = || std::str::from_utf8(texts.next()?).ok();
        let (provider, name, args) = (text()?, text()?, text()?);
        // Prelink moves addresses but not the note; the base tells by how much.
        let moved = if base_address == 0 { 0 } else { base_address.wrapping_sub(base) };
        let address = pc.wrapping_add(moved);
        let semaphore = if semaphore == 0 { 0 } else { semaphore.wrapping_add(moved) };
        let semaphore_offset = if semaphore == 0 { None } else { self.file_offset(semaphore) };
        let file_offset = self.file_offset(address)?;
        Some(UsdtProbe { provider, name, address, file_offset, semaphore, semaphore_offset, args })
    }
}

#[cfg(test)]
pub(crate) mod tests;
