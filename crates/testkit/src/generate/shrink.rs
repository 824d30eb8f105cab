//! Makes a script smaller while it still shows what is wrong.

use super::node::{Node, Part, Ty};
use super::Script;

/// The smallest script found, in at most `tries` tries, for which `is_bad` still says yes.
pub fn shrink(script: &Script, tries: u32, mut is_bad: impl FnMut(&Script) -> bool) -> Script {
    let mut best = script.clone();
    let mut left = tries;
    let mut at = 0;
    let mut changed = false;
    while left > 0 {
        let Some(smaller) = edited(&best, at) else {
            if !changed {
                break;
            }
            (at, changed) = (0, false);
            continue;
        };
        left -= 1;
        if smaller.text().len() < best.text().len() && is_bad(&smaller) {
            best = smaller;
            changed = true;
        } else {
            at += 1;
        }
    }
    best
}

/// The script after its edit number `at`; `None` when there are fewer.
fn edited(script: &Script, at: usize) -> Option<Script> {
    let mut out = script.clone();
    let mut left = at;
    let done = edit_block(&mut out.begin, &mut left)
        || edit_block(&mut out.end, &mut left)
        || edit_block(&mut out.head, &mut left);
    done.then_some(out)
}

/// Whether this edit's turn has come.
fn turn(left: &mut usize) -> bool {
    if *left == 0 {
        return true;
    }
    *left -= 1;
    false
}

/// Applies the edit number `left` of a block, or counts its edits off.
fn edit_block(body: &mut Vec<Node>, left: &mut usize) -> bool {
    let len = body.len();
    let mut chunk = len;
    while chunk > 0 {
        for start in (0..len).step_by(chunk) {
            if turn(left) {
                body.drain(start..(start + chunk).min(len));
                return true;
            }
        }
        chunk /= 2;
    }
    for i in 0..len {
        let blocks: Vec<Vec<Node>> = body[i].parts.iter().filter_map(block_of).cloned().collect();
        for block in blocks {
            if turn(left) {
                body.splice(i..=i, block);
                return true;
            }
        }
    }
    body.iter_mut().any(|node| edit_node(node, left))
}

fn block_of(part: &Part) -> Option<&Vec<Node>> {
    match part {
        Part::Block(body) => Some(body),
        _ => None,
    }
}

fn edit_node(node: &mut Node, left: &mut usize) -> bool {
    if node.ty != Ty::Stmt {
        if let Some(plain) = plain(&node.ty) {
            if turn(left) {
                *node = Node::leaf(node.ty.clone(), true, plain);
                return true;
            }
        }
        let mut below = Vec::new();
        same_below(node, &node.ty, &mut below);
        for inner in below {
            if turn(left) {
                *node = inner;
                return true;
            }
        }
    }
    node.parts.iter_mut().any(|part| match part {
        Part::Text(_) => false,
        Part::Node(inner) => edit_node(inner, left),
        Part::Block(body) => edit_block(body, left),
    })
}

/// The nearest pieces of the same type within a piece.
fn same_below(node: &Node, ty: &Ty, out: &mut Vec<Node>) {
    for part in &node.parts {
        if let Part::Node(inner) = part {
            match inner.ty == *ty {
                true => out.push(inner.clone()),
                false => same_below(inner, ty, out),
            }
        }
    }
}

/// The plainest value of a type.
fn plain(ty: &Ty) -> Option<String> {
    Some(match ty {
        Ty::Int => "1".into(),
        Ty::Bool => "true".into(),
        Ty::Str => "\"a\"".into(),
        Ty::Tuple(members) => {
            let members: Option<Vec<String>> = members.iter().map(plain).collect();
            format!("({})", members?.join(", "))
        }
        _ => return None,
    })
}
