//! Facts about control flow: order of blocks, predecessors, dominators.

use super::{Block, Func, Jump, Terminator};

/// Reachable blocks of a function in reverse postorder, with dominators.
pub struct Flow {
    /// Reachable blocks; the entry first, a block before what it dominates.
    pub order: Vec<Block>,
    /// Position in `order` of each block; `None` for blocks that are never reached.
    pub position: Vec<Option<u32>>,
    /// Incoming edges of each block, from reachable blocks, as (block, index of the jump).
    pub preds: Vec<Vec<(Block, u8)>>,
    /// Immediate dominator of each block; the entry and unreachable blocks have themselves.
    pub idom: Vec<Block>,
    /// Numbers of a walk over the dominator tree, first of the block and behind the last below it.
    subtree: Vec<(u32, u32)>,
}

impl Flow {
    /// Looks at a function.
    pub fn of(func: &Func) -> Flow {
        let count = func.blocks.len();
        let order = reverse_postorder(func);
        let mut position = vec![None; count];
        for (at, block) in order.iter().enumerate() {
            position[block.0 as usize] = Some(at as u32);
        }
        let mut preds = vec![Vec::new(); count];
        for block in &order {
            let terminator = func.blocks[block.0 as usize].terminator.as_ref();
            for (edge, target) in terminator.into_iter().flat_map(Terminator::successors).enumerate() {
                preds[target.0 as usize].push((*block, edge as u8));
            }
        }
        let idom = dominators(&order, &position, &preds);
        let subtree = subtrees(&order, &idom);
        Flow { order, position, preds, idom, subtree }
    }

    /// Whether the block is reached at all.
    pub fn is_reached(&self, block: Block) -> bool {
        self.position.get(block.0 as usize).is_some_and(Option::is_some)
    }

    /// Whether every way to `b` leads through `a`; true for equal blocks. Both are reachable.
    pub fn dominates(&self, a: Block, b: Block) -> bool {
        let (outer, inner) = (self.subtree[a.0 as usize], self.subtree[b.0 as usize]);
        outer.0 <= inner.0 && inner.1 <= outer.1
    }

    /// For each block the blocks that it dominates immediately, in `order`.
    pub fn dominator_children(&self) -> Vec<Vec<Block>> {
        let mut children = vec![Vec::new(); self.idom.len()];
        for block in self.order.iter().skip(1) {
            children[self.idom[block.0 as usize].0 as usize].push(*block);
        }
        children
    }
}

/// Reachable blocks; of two successors the first comes first.
fn reverse_postorder(func: &Func) -> Vec<Block> {
    let mut seen = vec![false; func.blocks.len()];
    let mut order = Vec::with_capacity(func.blocks.len());
    // A block is on the stack with the number of successors still to visit: the last is visited first, so that the
    // first stands right behind the block.
    let mut stack: Vec<(Block, Vec<Block>)> = Vec::new();
    let successors = |block: Block| {
        let terminator = func.blocks[block.0 as usize].terminator.as_ref();
        terminator.into_iter().flat_map(Terminator::successors).collect::<Vec<_>>()
    };
    if let Some(first) = seen.first_mut() {
        *first = true;
        stack.push((Block(0), successors(Block(0))));
    }
    while let Some((block, left)) = stack.last_mut() {
        match left.pop() {
            Some(next) if !std::mem::replace(&mut seen[next.0 as usize], true) => {
                stack.push((next, successors(next)));
            }
            Some(_) => {}
            None => {
                order.push(*block);
                stack.pop();
            }
        }
    }
    order.reverse();
    order
}

/// Cooper, Harvey, Kennedy: "A Simple, Fast Dominance Algorithm" (2001).
fn dominators(order: &[Block], position: &[Option<u32>], preds: &[Vec<(Block, u8)>]) -> Vec<Block> {
    const NONE: u32 = u32::MAX;
    let mut idom = vec![NONE; order.len()];
    if let Some(entry) = idom.first_mut() {
        *entry = 0;
    }
    let mut changed = true;
    while changed {
        changed = false;
        for at in 1..order.len() {
            let mut new = NONE;
            for (pred, _) in &preds[order[at].0 as usize] {
                let Some(pred) = position[pred.0 as usize] else { continue };
                if idom[pred as usize] == NONE {
                    continue;
                }
                new = if new == NONE { pred } else { meet(&idom, new, pred) };
            }
            if new != NONE && idom[at] != new {
                idom[at] = new;
                changed = true;
            }
        }
    }
    let mut result: Vec<Block> = (0..position.len() as u32).map(Block).collect();
    for (at, block) in order.iter().enumerate() {
        if idom[at] != NONE {
            result[block.0 as usize] = order[idom[at] as usize];
        }
    }
    result
}

/// The numbers of a walk over the tree, without walking: a block follows its dominator in `order`.
fn subtrees(order: &[Block], idom: &[Block]) -> Vec<(u32, u32)> {
    let mut size = vec![1u32; idom.len()];
    for block in order.iter().skip(1).rev() {
        size[idom[block.0 as usize].0 as usize] += size[block.0 as usize];
    }
    let mut subtree = vec![(0, 0); idom.len()];
    let mut next = vec![0u32; idom.len()];
    for (at, block) in order.iter().enumerate() {
        let parent = idom[block.0 as usize].0 as usize;
        let first = if at == 0 { 0 } else { next[parent] };
        next[parent] = first + size[block.0 as usize];
        next[block.0 as usize] = first + 1;
        subtree[block.0 as usize] = (first, first + size[block.0 as usize]);
    }
    subtree
}

fn meet(idom: &[u32], mut a: u32, mut b: u32) -> u32 {
    while a != b {
        while a > b {
            a = idom[a as usize];
        }
        while b > a {
            b = idom[b as usize];
        }
    }
    a
}

/// Gives every edge from a block with two ways out its own block, where the target has other ways in or takes
/// arguments: moves for the arguments then have a place.
pub(crate) fn split_critical_edges(func: &mut Func) {
    let mut incoming = vec![0u32; func.blocks.len()];
    for block in &func.blocks {
        for target in block.terminator.iter().flat_map(Terminator::successors) {
            incoming[target.0 as usize] += 1;
        }
    }
    for at in 0..func.blocks.len() {
        let mut next = func.blocks.len() as u32;
        let mut edges = Vec::new();
        let block = &mut func.blocks[at];
        let loc = block.terminator_loc;
        if let Some(terminator @ (Terminator::Branch { .. } | Terminator::LoopGuard { .. })) =
            &mut block.terminator
        {
            for jump in terminator.jumps_mut() {
                if incoming[jump.block.0 as usize] > 1 || !jump.args.is_empty() {
                    edges.push(std::mem::replace(jump, Jump { block: Block(next), args: Vec::new() }));
                    next += 1;
                }
            }
        }
        for jump in edges {
            func.blocks.push(super::BlockData {
                terminator: Some(Terminator::Jump(jump)),
                terminator_loc: loc,
                ..super::BlockData::default()
            });
        }
    }
}
