//! `/etc/ld.so.cache`: where the loader finds a shared library by its name.
//!
//! The format is that of glibc since 2.2 (`sysdeps/generic/dl-cache.h`): a table of (name, path) with string
//! offsets that count from the start of the table's header, after an older table in old files.

use std::path::Path;

use crate::{Error, Result};

const MAGIC: &[u8] = b"glibc-ld.so.cache1.1";
const OLD_MAGIC: &[u8] = b"ld.so-1.7.0\0";
const HEADER_LEN: usize = 48;
const ENTRY_LEN: usize = 24;
const OLD_ENTRY_LEN: usize = 12;
/// `FLAG_X8664_LIB64 | FLAG_ELF_LIBC6`.
const FLAGS_X86_64: u32 = 0x0303;

/// One library of the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Library<'a> {
    /// The name programs ask for: `libssl.so.3`.
    pub soname: &'a str,
    /// The file.
    pub path: &'a Path,
    /// For x86-64 and the usual C library.
    pub is_x86_64: bool,
    /// Built for a processor with certain abilities; the loader takes it only there.
    pub needs_hwcap: bool,
}

/// A parsed cache.
#[derive(Debug, Clone, Copy)]
pub struct LdCache<'a> {
    data: &'a [u8],
    count: usize,
}

fn word(data: &[u8], at: usize) -> Option<u32> {
    data.get(at..)?.first_chunk().map(|b| u32::from_le_bytes(*b))
}

impl<'a> LdCache<'a> {
    /// Opens the bytes of a cache file.
    pub fn parse(file: &'a [u8]) -> Result<Self> {
        let bad = |at: usize, reason: String| Error::at("ld.so.cache", at as u64, reason);
        let start = match file.strip_prefix(OLD_MAGIC) {
            None => 0,
            Some(rest) => {
                let count = word(rest, 0).ok_or_else(|| bad(12, "the header is cut off".into()))? as usize;
                let end = 16 + count.saturating_mul(OLD_ENTRY_LEN);
                end.saturating_add(7) & !7
            }
        };
        let data = file.get(start..).unwrap_or(&[]);
        if !data.starts_with(MAGIC) {
            return Err(bad(
                start,
                "the table does not begin with glibc-ld.so.cache1.1; only that format is read".into(),
            ));
        }
        let count = word(data, 20).ok_or_else(|| bad(start + 20, "the header is cut off".into()))? as usize;
        if count > data.len().saturating_sub(HEADER_LEN) / ENTRY_LEN {
            return Err(bad(start + 20, format!("{count} libraries do not fit in {} bytes", data.len())));
        }
        Ok(Self { data, count })
    }

    fn text(&self, at: u32) -> Option<&'a str> {
        let tail = self.data.get(at as usize..)?;
        std::str::from_utf8(&tail[..memchr::memchr(0, tail)?]).ok()
    }

    /// All libraries in file order; damaged entries are left out.
    pub fn iter(self) -> impl Iterator<Item = Library<'a>> {
        (0..self.count).filter_map(move |index| {
            let at = HEADER_LEN + index * ENTRY_LEN;
            Some(Library {
                soname: self.text(word(self.data, at + 4)?)?,
                path: Path::new(self.text(word(self.data, at + 8)?)?),
                is_x86_64: word(self.data, at)? == FLAGS_X86_64,
                needs_hwcap: word(self.data, at + 16)? != 0 || word(self.data, at + 20)? != 0,
            })
        })
    }

    /// Finds `libssl.so.3` by its exact name, or `libc`, `c` or `libc.so` by the name before the version.
    ///
    /// The generic build is preferred to one for certain processors.
    pub fn find(self, name: &str) -> Option<&'a Path> {
        let fits = |soname: &str, stem: &str| {
            soname == stem
                || soname.strip_prefix(stem).is_some_and(|rest| rest.starts_with(".so"))
                || (stem.ends_with(".so")
                    && soname.strip_prefix(stem).is_some_and(|rest| rest.starts_with('.')))
        };
        let long = format!("lib{name}");
        let candidates = [name, long.as_str()];
        let stems = candidates.iter().filter(|stem| !stem.is_empty());
        for stem in stems {
            let mut found: Vec<Library<'a>> =
                self.iter().filter(|l| l.is_x86_64 && fits(l.soname, stem)).collect();
            // Exact names before versions, generic before special; the file is sorted, highest version first.
            found.sort_by_key(|l| (l.soname != *stem, l.needs_hwcap));
            if let Some(library) = found.first() {
                return Some(library.path);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cache(rows: &[(u32, &str, &str, u64)], old_prefix: bool) -> Vec<u8> {
        let mut strings = Vec::new();
        let mut table = Vec::new();
        let base = HEADER_LEN + rows.len() * ENTRY_LEN;
        for (flags, soname, path, hwcap) in rows {
            let mut offset = |text: &str| {
                let at = (base + strings.len()) as u32;
                strings.extend_from_slice(text.as_bytes());
                strings.push(0);
                at
            };
            for word in [*flags, offset(soname), offset(path), 0] {
                table.extend(word.to_le_bytes());
            }
            table.extend(hwcap.to_le_bytes());
        }
        let mut file = Vec::new();
        if old_prefix {
            file.extend_from_slice(OLD_MAGIC);
            file.extend(1u32.to_le_bytes());
            file.extend([0; OLD_ENTRY_LEN + 4]);
        }
        file.extend_from_slice(MAGIC);
        file.extend((rows.len() as u32).to_le_bytes());
        file.extend((strings.len() as u32).to_le_bytes());
        file.extend([0; HEADER_LEN - 28]);
        file.extend(table);
        file.extend(strings);
        file
    }

    const ROWS: &[(u32, &str, &str, u64)] = &[
        (FLAGS_X86_64, "libssl.so.3", "/lib/libssl.so.3", 0),
        (FLAGS_X86_64, "libcrypt.so.1", "/lib/libcrypt.so.1", 0),
        (3, "libc.so.6", "/lib32/libc.so.6", 0),
        (FLAGS_X86_64, "libc.so.6", "/v3/libc.so.6", 1 << 62),
        (FLAGS_X86_64, "libc.so.6", "/lib/libc.so.6", 0),
    ];

    #[test]
    fn finds_as_users_write_it() {
        for old_prefix in [false, true] {
            let file = cache(ROWS, old_prefix);
            let cache = LdCache::parse(&file).unwrap();
            let libc = Some(Path::new("/lib/libc.so.6"));
            for name in ["libc", "c", "libc.so", "libc.so.6"] {
                assert_eq!(cache.find(name), libc, "{name}");
            }
            assert_eq!(cache.find("libssl.so.3"), Some(Path::new("/lib/libssl.so.3")));
            assert_eq!(cache.find("libs"), None);
            assert_eq!(cache.find(""), None);
        }
    }

    #[test]
    fn damage_is_an_error_or_a_missing_row() {
        let file = cache(ROWS, true);
        for len in 0..file.len() {
            if let Ok(cache) = LdCache::parse(&file[..len]) {
                let _ = cache.iter().count();
            }
        }
        assert!(LdCache::parse(b"elf?").unwrap_err().reason.contains("glibc"));
    }
}
