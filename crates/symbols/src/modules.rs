//! `/proc/modules`: names and addresses of the loaded kernel modules.

/// One loaded module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Module {
    /// Its name, with underscores.
    pub name: String,
    /// Bytes.
    pub size: u64,
    /// Load address, 0 if hidden.
    pub address: u64,
}

/// Parses the text of `/proc/modules`; lines of another shape are passed over.
pub fn parse(text: &str) -> Vec<Module> {
    // name size references dependents state address [taint]
    let module = |line: &str| {
        let mut words = line.split_ascii_whitespace();
        let name = words.next()?.to_owned();
        let size = words.next()?.parse().ok()?;
        let address =
            words.nth(3).and_then(|a| u64::from_str_radix(a.strip_prefix("0x")?, 16).ok()).unwrap_or(0);
        Some(Module { name, size, address })
    };
    text.lines().filter_map(module).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_names_and_addresses() {
        let modules =
            parse("xfs 2129920 1 - Live 0xffffffffc0800000\nfuse 1 0 a,b, Live 0x0 (E)\n\nbroken\n");
        assert_eq!(modules.len(), 2);
        assert_eq!((modules[0].name.as_str(), modules[0].address), ("xfs", 0xffff_ffff_c080_0000));
        assert_eq!(modules[1].size, 1);
    }
}
