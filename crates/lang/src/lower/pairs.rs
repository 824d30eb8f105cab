//! `print(@m); ... clear(@m);`: finds the prints whose map is cleared for sure behind them, so that both can be one step.

use super::walk::{self, Node};
use fathom_syntax::ast::{Block, Expr, ExprKind, NodeId, StmtKind};

/// The calls of `print` in this block (not in blocks within it) that a `clear` of the same map follows, with nothing between them but calls
/// that come back and do not use the map.
pub(super) fn printed_and_cleared(block: &Block) -> Vec<NodeId> {
    let calls: Vec<Option<&Expr>> = block
        .stmts
        .iter()
        .map(|s| match &s.kind {
            StmtKind::Expr(e) => Some(e),
            _ => None,
        })
        .chain([block.value.as_deref()])
        .collect();
    let mut found = Vec::new();
    for (i, call) in calls.iter().enumerate() {
        let Some((print, map)) = call.and_then(|e| whole_map(e, "print").map(|m| (e, m))) else { continue };
        for behind in calls.iter().skip(i + 1) {
            match behind {
                Some(e) if whole_map(e, "clear") == Some(map) => {
                    found.push(print.id);
                    break;
                }
                Some(e) if comes_back(e) && !mentions(e, map) => {}
                _ => break,
            }
        }
    }
    found
}

/// The map of `NAME(@map ...)`.
fn whole_map<'e>(e: &'e Expr, name: &str) -> Option<&'e str> {
    match &e.kind {
        ExprKind::Call { name: called, args, .. } if called == name => match &args.first()?.kind {
            ExprKind::Map(map) => Some(map),
            _ => None,
        },
        _ => None,
    }
}

/// A call behind which the program goes on.
fn comes_back(e: &Expr) -> bool {
    matches!(&e.kind, ExprKind::Call { name, .. } if name != "exit")
}

fn mentions(e: &Expr, map: &str) -> bool {
    let mut found = false;
    walk::expr(e, &mut |node| {
        found |= matches!(node, Node::Expr(Expr { kind: ExprKind::Map(name), .. }) if name == map);
    });
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use fathom_syntax::ast::Item;
    use fathom_syntax::span::FileId;

    /// How many prints of the first clause are taken for pairs.
    fn pairs(body: &str) -> usize {
        let (script, errors) = fathom_syntax::parse(&format!("begin {{ {body} }}"), FileId::default());
        assert!(errors.is_empty(), "{errors:?}");
        let probe = |item: &Item| match item {
            Item::Probe(p) => printed_and_cleared(&p.body).len(),
            _ => 0,
        };
        script.items.iter().map(probe).sum()
    }

    #[test]
    fn prints_right_before_clears_are_found() {
        assert_eq!(pairs("print(@a); clear(@a);"), 1);
        assert_eq!(pairs("time(); print(@a, 5); print(@b); printf(\"\\n\"); clear(@a); clear(@b)"), 2);
        // The last print before the clear takes; the ones before see everything, too.
        assert_eq!(pairs("print(@a, 5); print(@a); clear(@a);"), 1);
    }

    #[test]
    fn clears_that_may_not_come_or_come_later_do_not_count() {
        for body in [
            "print(@a); clear(@b);",
            "clear(@a); print(@a);",
            "print(@a); if (pid) { clear(@a); }",
            "print(@a); exit(); clear(@a);",
            "print(@a); @a[1] = 2; clear(@a);",
            "print(@a); printf(\"%d\", @a[1]); clear(@a);",
            "print(@a); return; clear(@a);",
            "print(@a[1]); clear(@a);",
        ] {
            assert_eq!(pairs(body), 0, "{body}");
        }
    }
}
