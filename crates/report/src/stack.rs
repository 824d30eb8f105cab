//! Call stacks and their text in the four modes of the language.

use crate::num::{pad, push_hex, push_u64};
use std::sync::Arc;

/// How the frames of a stack are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum StackMode {
    /// `symbol+offset` per line.
    #[default]
    Bpftrace,
    /// `address symbol+offset (module)` per line, as `perf script` has it.
    Perf,
    /// The address in hexadecimal per line.
    Raw,
    /// `build-id 0xoffset` per line, for symbolising elsewhere.
    BuildId,
}

/// One frame of a stack, as far as it could be resolved.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Frame {
    /// The instruction address.
    pub address: u64,
    /// The function's name, when one was found.
    pub symbol: Option<Arc<str>>,
    /// Distance of the address from the symbol's start, in bytes.
    pub offset: u64,
    /// The module (kernel) or file (user) which holds the address.
    pub module: Option<Arc<str>>,
    /// Source file and line, when debug information gave them.
    pub source: Option<(Arc<str>, u32)>,
    /// True for a function that was inlined at this address into the frame after it.
    pub inlined: bool,
    /// Build id of the mapped file and the address' offset in that file.
    pub build_id: Option<(Vec<u8>, u64)>,
}

impl Frame {
    /// A frame of which only the address is known.
    pub fn at(address: u64) -> Frame {
        Frame { address, ..Frame::default() }
    }

    /// A frame inside a function.
    pub fn named(address: u64, symbol: impl Into<Arc<str>>, offset: u64) -> Frame {
        Frame { address, symbol: Some(symbol.into()), offset, ..Frame::default() }
    }

    fn write_name(&self, out: &mut Vec<u8>) {
        if self.inlined {
            out.extend_from_slice(b"[inlined] ");
        }
        match &self.symbol {
            Some(symbol) => {
                out.extend_from_slice(symbol.as_bytes());
                if !self.inlined {
                    out.push(b'+');
                    push_u64(out, self.offset);
                }
            }
            None => {
                out.extend_from_slice(b"0x");
                push_hex(out, self.address);
            }
        }
        if let Some((file, line)) = &self.source {
            out.push(b'@');
            out.extend_from_slice(file.as_bytes());
            out.push(b':');
            push_u64(out, u64::from(*line));
        }
    }

    /// Appends the frame's text, without indentation or newline.
    pub fn write(&self, mode: StackMode, out: &mut Vec<u8>) {
        match mode {
            StackMode::Bpftrace => self.write_name(out),
            StackMode::Perf => {
                push_hex(out, self.address);
                out.push(b' ');
                match self.symbol {
                    Some(_) => self.write_name(out),
                    None => out.extend_from_slice(b"[unknown]"),
                }
                if let Some(module) = &self.module {
                    out.extend_from_slice(b" (");
                    out.extend_from_slice(module.as_bytes());
                    out.push(b')');
                }
            }
            StackMode::Raw => push_hex(out, self.address),
            StackMode::BuildId => match &self.build_id {
                Some((id, offset)) => {
                    for &byte in id {
                        push_hex_byte(out, byte);
                    }
                    out.extend_from_slice(b" 0x");
                    push_hex(out, *offset);
                }
                None => {
                    out.extend_from_slice(b"0x");
                    push_hex(out, self.address);
                }
            },
        }
    }
}

/// Appends two lower-case hexadecimal digits.
#[inline]
pub(crate) fn push_hex_byte(out: &mut Vec<u8>, byte: u8) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.push(HEX[usize::from(byte >> 4)]);
    out.push(HEX[usize::from(byte & 15)]);
}

/// A call stack, innermost frame first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Stack {
    /// The frames; inlined functions come before the frame they were inlined into.
    pub frames: Vec<Frame>,
    /// How it is written.
    pub mode: StackMode,
}

impl Stack {
    /// Appends a newline, then each frame on a line of its own behind `indent` spaces.
    pub fn write(&self, indent: usize, out: &mut Vec<u8>) {
        out.push(b'\n');
        for frame in &self.frames {
            pad(out, b' ', indent);
            frame.write(self.mode, out);
            out.push(b'\n');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(frames: Vec<Frame>, mode: StackMode) -> String {
        let mut out = Vec::new();
        Stack { frames, mode }.write(4, &mut out);
        String::from_utf8(out).expect("UTF-8")
    }

    #[test]
    fn each_mode_has_its_lines() {
        let f = vec![
            Frame::named(0xffff_ffff_8100_0010, "do_syscall_64", 16),
            Frame { module: Some("nf_tables".into()), ..Frame::named(0xa0, "nft_do", 0) },
            Frame::at(0x7ffd),
        ];
        assert_eq!(
            text(f.clone(), StackMode::Bpftrace),
            "\n    do_syscall_64+16\n    nft_do+0\n    0x7ffd\n"
        );
        assert_eq!(
            text(f.clone(), StackMode::Perf),
            "\n    ffffffff81000010 do_syscall_64+16\n    a0 nft_do+0 (nf_tables)\n    7ffd [unknown]\n"
        );
        assert_eq!(text(f, StackMode::Raw), "\n    ffffffff81000010\n    a0\n    7ffd\n");
    }

    #[test]
    fn build_ids_sources_and_inlined_functions_show() {
        let id = Frame { build_id: Some((vec![0x0a, 0xff], 0x40)), ..Frame::at(1) };
        assert_eq!(text(vec![id, Frame::at(2)], StackMode::BuildId), "\n    0aff 0x40\n    0x2\n");
        let inner = Frame { inlined: true, source: Some(("a.c".into(), 3)), ..Frame::named(9, "inl", 1) };
        let outer = Frame { source: Some(("a.c".into(), 9)), ..Frame::named(9, "main", 5) };
        assert_eq!(
            text(vec![inner, outer], StackMode::Bpftrace),
            "\n    [inlined] inl@a.c:3\n    main+5@a.c:9\n"
        );
    }

    #[test]
    fn an_empty_stack_is_one_newline() {
        assert_eq!(text(Vec::new(), StackMode::Bpftrace), "\n");
    }
}
