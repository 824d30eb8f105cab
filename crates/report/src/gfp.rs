//! Names of the kernel's memory allocation flags (`gfp_t`).

use crate::num::push_hex;

/// Names of combinations and single flags, combinations first and larger ones before those they contain
/// (`include/linux/gfp_types.h`; the names are those of the kernel's own trace output). Bits from 24 on differ
/// between configurations and are written as a number.
const FLAGS: &[(u64, &str)] = &[
    (0x1c_24ca, "GFP_TRANSHUGE"),
    (0x1c_20ca, "GFP_TRANSHUGE_LIGHT"),
    (0x10_0cca, "GFP_HIGHUSER_MOVABLE"),
    (0x10_0cc2, "GFP_HIGHUSER"),
    (0x10_0cc0, "GFP_USER"),
    (0x40_0cc0, "GFP_KERNEL_ACCOUNT"),
    (0xcc0, "GFP_KERNEL"),
    (0xc40, "GFP_NOFS"),
    (0x820, "GFP_ATOMIC"),
    (0xc00, "GFP_NOIO"),
    (0x800, "GFP_NOWAIT"),
    (0x1, "GFP_DMA"),
    (0x4, "GFP_DMA32"),
    (0x2, "__GFP_HIGHMEM"),
    (0x8, "__GFP_MOVABLE"),
    (0x10, "__GFP_RECLAIMABLE"),
    (0x20, "__GFP_HIGH"),
    (0x40, "__GFP_IO"),
    (0x80, "__GFP_FS"),
    (0x100, "__GFP_ZERO"),
    // Until Linux 6.3.
    (0x200, "__GFP_ATOMIC"),
    (0x400, "__GFP_DIRECT_RECLAIM"),
    (0x1000, "__GFP_WRITE"),
    (0x2000, "__GFP_NOWARN"),
    (0x4000, "__GFP_RETRY_MAYFAIL"),
    (0x8000, "__GFP_NOFAIL"),
    (0x1_0000, "__GFP_NORETRY"),
    (0x2_0000, "__GFP_MEMALLOC"),
    (0x4_0000, "__GFP_COMP"),
    (0x8_0000, "__GFP_NOMEMALLOC"),
    (0x10_0000, "__GFP_HARDWALL"),
    (0x20_0000, "__GFP_THISNODE"),
    (0x40_0000, "__GFP_ACCOUNT"),
    (0x80_0000, "__GFP_ZEROTAGS"),
];

/// Appends the names of the flags in `flags`, separated by `|`; what has no name is written in hexadecimal.
pub fn write(flags: u64, out: &mut Vec<u8>) {
    if flags == 0 {
        return out.extend_from_slice(b"none");
    }
    let (mut left, mut first) = (flags, true);
    for &(mask, name) in FLAGS {
        if left & mask == mask {
            left &= !mask;
            separate(&mut first, out);
            out.extend_from_slice(name.as_bytes());
        }
    }
    if left != 0 {
        separate(&mut first, out);
        out.extend_from_slice(b"0x");
        push_hex(out, left);
    }
}

fn separate(first: &mut bool, out: &mut Vec<u8>) {
    if !*first {
        out.push(b'|');
    }
    *first = false;
}

#[cfg(test)]
mod tests {
    fn text(flags: u64) -> String {
        let mut out = Vec::new();
        super::write(flags, &mut out);
        String::from_utf8(out).expect("ASCII")
    }

    #[test]
    fn combinations_come_before_single_flags() {
        assert_eq!(text(0x1), "GFP_DMA");
        assert_eq!(text(0xcc0), "GFP_KERNEL");
        assert_eq!(text(0xdc0), "GFP_KERNEL|__GFP_ZERO");
        assert_eq!(text(0x820), "GFP_ATOMIC");
        assert_eq!(text(0x10_0cca), "GFP_HIGHUSER_MOVABLE");
        assert_eq!(text(0x2800), "GFP_NOWAIT|__GFP_NOWARN");
        assert_eq!(text(0), "none");
        assert_eq!(text(0x8000_0000_0000_0100), "__GFP_ZERO|0x8000000000000000");
    }
}
