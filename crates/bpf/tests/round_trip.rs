//! Text and bits lead back to each other.

mod common;

use fathom_bpf::asm::assemble;
use fathom_bpf::disasm;
use fathom_bpf::op::Op;
use proptest::prelude::*;

proptest! {
    #[test]
    fn an_instruction_survives_encoding_and_text(op in common::op()) {
        let encoded = op.encode();
        prop_assert_eq!(Op::decode(encoded.as_slice(), 0), Ok(op));
        prop_assert_eq!(encoded.as_slice().len(), op.slots());
        let text = op.to_string();
        let insns = assemble(&text);
        prop_assert_eq!(insns.as_deref(), Ok(encoded.as_slice()), "{}", text);
    }

    #[test]
    fn a_program_survives_text(insns in prop::collection::vec(common::bits(), 0..60)) {
        let text = disasm::program(&insns);
        let again = assemble(&text);
        prop_assert_eq!(again.as_ref(), Ok(&insns), "{}", text);
    }

    #[test]
    fn near_jumps_become_labels_and_lead_back(ops in prop::collection::vec((common::op(), -9i16..9), 1..40)) {
        let mut insns = Vec::new();
        for (op, near) in ops {
            let op = match op {
                Op::Branch { width, cond, dst, src, .. } => Op::Branch { width, cond, dst, src, off: near },
                Op::Goto { long, .. } => Op::Goto { off: near.into(), long },
                Op::CallLocal { .. } => Op::CallLocal { off: near.into() },
                other => other,
            };
            insns.extend_from_slice(op.encode().as_slice());
        }
        let text = disasm::program(&insns);
        let again = assemble(&text);
        prop_assert_eq!(again.as_ref(), Ok(&insns), "{}", text);
    }

    #[test]
    fn no_text_breaks_the_assembler(text in "[a-z0-9 =+*()\\[\\],:.<>&|-]{0,40}") {
        let _ = assemble(&text);
    }
}
