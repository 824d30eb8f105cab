//! Puts the code of blocks in a row: removes empty blocks, closes jumps, chooses short or long ones.

use crate::emit::{CodeBlock, End, Pending, Right};
use crate::ir::SrcLoc;
use fathom_bpf::insn::Insn;

/// A function's code with its jumps closed.
#[derive(Clone, Debug, Default)]
pub(crate) struct PlacedCode {
    pub(crate) insns: Vec<Insn>,
    pub(crate) lines: Vec<(u32, SrcLoc)>,
    pub(crate) pending: Vec<(u32, Pending)>,
}

/// A jump is farther than the machine can go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooFar {
    /// Instructions of the function.
    pub(crate) insns: usize,
}

/// Places the blocks in their order.
pub(crate) fn place(mut blocks: Vec<CodeBlock>, loc: SrcLoc, long_jumps: bool) -> Result<PlacedCode, TooFar> {
    thread_jumps(&mut blocks);
    let mut order = reached(&blocks);
    if !long_jumps {
        build_islands(&mut blocks, &mut order)?;
    }
    let far = choose_far(&blocks, &order).map_err(|insns| TooFar { insns })?;
    let (starts, total) = starts(&blocks, &order, &far);
    let mut code = PlacedCode { insns: Vec::with_capacity(total as usize), ..PlacedCode::default() };
    for (i, at) in order.iter().enumerate() {
        let block = &blocks[*at];
        let start = code.insns.len() as u32;
        for (offset, line) in &block.lines {
            push_line(&mut code.lines, start + offset, *line);
        }
        code.pending.extend(block.pending.iter().map(|(offset, pending)| (start + offset, pending.clone())));
        code.insns.extend_from_slice(&block.insns);
        push_line(&mut code.lines, code.insns.len() as u32, block.end_loc);
        let next = order.get(i + 1).copied();
        end_insns(block.end, next, far[*at], |insn, target| {
            let from = code.insns.len() as i64 + 1;
            let offset = target.map(|target| i64::from(starts[target]) - from);
            code.insns.push(match offset {
                Some(offset) if far[*at] && insn.code == Insn::gotol(0).code => Insn::gotol(offset as i32),
                Some(offset) => Insn { off: offset as i16, ..insn },
                None => insn,
            });
        });
    }
    code.lines.retain(|(at, _)| (*at as usize) < code.insns.len());
    // The kernel wants a line for the first instruction of each function.
    if code.lines.first().is_none_or(|(at, _)| *at != 0) {
        let first = if loc == SrcLoc::NONE { code.lines.first().map_or(loc, |(_, line)| *line) } else { loc };
        code.lines.insert(0, (0, first));
    }
    Ok(code)
}

fn push_line(lines: &mut Vec<(u32, SrcLoc)>, at: u32, loc: SrcLoc) {
    if loc == SrcLoc::NONE || lines.last().is_some_and(|(_, last)| *last == loc) {
        return;
    }
    match lines.last_mut() {
        Some((last_at, last)) if *last_at == at => *last = loc,
        _ => lines.push((at, loc)),
    }
}

/// Jumps to a block that only jumps on go to its target; those to one that only exits become the exit.
fn thread_jumps(blocks: &mut [CodeBlock]) {
    let through: Vec<usize> = (0..blocks.len()).map(|at| final_target(blocks, at)).collect();
    let exits: Vec<bool> =
        blocks.iter().map(|block| block.end == End::Exit && block.insns.len() == 1).collect();
    for block in blocks {
        block.end = match block.end {
            End::Jump(target) if exits[through[target]] => {
                block.insns.push(Insn::exit());
                End::Exit
            }
            End::Jump(target) => End::Jump(through[target]),
            End::Branch { then, otherwise, .. } if through[then] == through[otherwise] => {
                End::Jump(through[then])
            }
            End::Branch { cond, width, left, right, then, otherwise } => {
                End::Branch { cond, width, left, right, then: through[then], otherwise: through[otherwise] }
            }
            End::Guard { body, exhausted } => {
                End::Guard { body: through[body], exhausted: through[exhausted] }
            }
            End::Exit => End::Exit,
        };
    }
}

fn final_target(blocks: &[CodeBlock], start: usize) -> usize {
    let mut at = start;
    // A ring of empty blocks is an endless loop: it stays as it is.
    for _ in 0..blocks.len() {
        match blocks[at].end {
            End::Jump(next) if blocks[at].insns.is_empty() => at = next,
            _ => return at,
        }
    }
    start
}

/// Blocks that are reached, in their order.
fn reached(blocks: &[CodeBlock]) -> Vec<usize> {
    let mut seen = vec![false; blocks.len()];
    let mut stack = vec![0];
    while let Some(at) = stack.pop() {
        if at >= blocks.len() || std::mem::replace(&mut seen[at], true) {
            continue;
        }
        match blocks[at].end {
            End::Jump(target) => stack.push(target),
            End::Branch { then, otherwise, .. } => stack.extend([then, otherwise]),
            End::Guard { body, exhausted } => stack.extend([body, exhausted]),
            End::Exit => {}
        }
    }
    (0..blocks.len()).filter(|at| seen[*at]).collect()
}

/// First instruction of each block, and the number of all.
fn starts(blocks: &[CodeBlock], order: &[usize], far: &[bool]) -> (Vec<u32>, u32) {
    let mut starts = vec![0u32; blocks.len()];
    let mut total = 0u32;
    for (i, at) in order.iter().enumerate() {
        starts[*at] = total;
        let mut count = blocks[*at].insns.len() as u32;
        end_insns(blocks[*at].end, order.get(i + 1).copied(), far[*at], |_, _| count += 1);
        total = total.saturating_add(count);
    }
    (starts, total)
}

/// For each block whether its jumps need the long form. Long forms make the code longer, so that it is done again until
/// nothing changes.
fn choose_far(blocks: &[CodeBlock], order: &[usize]) -> Result<Vec<bool>, usize> {
    let mut far = vec![false; blocks.len()];
    loop {
        let (starts, total) = starts(blocks, order, &far);
        if total as usize > fathom_bpf::isa::MAX_INSNS {
            return Err(total as usize);
        }
        let mut changed = false;
        for (i, at) in order.iter().enumerate().filter(|(_, at)| !far[**at]).collect::<Vec<_>>() {
            let mut from = i64::from(starts[*at]) + blocks[*at].insns.len() as i64;
            let mut out_of_reach = false;
            end_insns(blocks[*at].end, order.get(i + 1).copied(), false, |_, target| {
                from += 1;
                let offset = target.map_or(0, |target| i64::from(starts[target]) - from);
                out_of_reach |= i16::try_from(offset).is_err();
            });
            if out_of_reach {
                far[*at] = true;
                changed = true;
            }
        }
        if !changed {
            return Ok(far);
        }
    }
}

/// How far from a jump its island is put, in instructions: what is inserted later must not push it out of reach.
const ISLAND_DISTANCE: i64 = 28_000;
/// Most times that islands are put in; each leads all jumps one island on.
const ISLAND_ROUNDS_MAX: usize = 64;

/// Leads jumps that are too far for 16 bits over islands: blocks between others that only jump on.
fn build_islands(blocks: &mut Vec<CodeBlock>, order: &mut Vec<usize>) -> Result<(), TooFar> {
    for _ in 0..ISLAND_ROUNDS_MAX {
        let (starts, total) = starts(blocks, order, &vec![false; blocks.len()]);
        let total = total as usize;
        let far = far_jumps(blocks, order, &starts);
        if far.is_empty() {
            return Ok(());
        }
        let places: Vec<i64> = order.iter().map(|at| i64::from(starts[*at])).collect();
        // New blocks by the position in `order` that they come before.
        let mut islands: Vec<(usize, usize)> = Vec::new();
        for (source, target) in far {
            let (from, to) = (i64::from(starts[source]), i64::from(starts[target]));
            let wanted = if to > from { from + ISLAND_DISTANCE } else { from - ISLAND_DISTANCE };
            // Forwards the last place before the wanted one, backwards the first behind it.
            let behind = places.partition_point(|place| *place < wanted);
            let position = if to > from { behind.saturating_sub(1) } else { behind };
            let distance = places.get(position).map_or(i64::MAX, |place| (place - from).abs());
            if distance == 0 || distance > ISLAND_DISTANCE + 1000 {
                return Err(TooFar { insns: total });
            }
            // One that an earlier jump to the same target got will do, when it brings this one on, too.
            let shared = islands.iter().find(|(at, island)| {
                let ahead = places.get(*at).map_or(0, |place| (place - from) * (to - from).signum());
                blocks[*island].end == End::Jump(target)
                    && (ISLAND_DISTANCE / 2..=ISLAND_DISTANCE).contains(&ahead)
            });
            let island = shared.map_or(blocks.len(), |(_, island)| *island);
            if island == blocks.len() {
                blocks.push(CodeBlock {
                    insns: Vec::new(),
                    lines: Vec::new(),
                    pending: Vec::new(),
                    end: End::Jump(target),
                    end_loc: SrcLoc::NONE,
                });
                islands.push((position, island));
            }
            blocks[source].end = retargeted(blocks[source].end, target, island);
        }
        islands.sort_unstable_by_key(|(position, _)| std::cmp::Reverse(*position));
        for (position, island) in islands {
            order.insert(position, island);
        }
    }
    Err(TooFar { insns: starts(blocks, order, &vec![false; blocks.len()]).1 as usize })
}

/// Jumps that do not fit, or nearly so, as (block, target).
fn far_jumps(blocks: &[CodeBlock], order: &[usize], starts: &[u32]) -> Vec<(usize, usize)> {
    let mut far = Vec::new();
    for (i, at) in order.iter().enumerate() {
        let from = i64::from(starts[*at]) + blocks[*at].insns.len() as i64;
        end_insns(blocks[*at].end, order.get(i + 1).copied(), false, |_, target| {
            let is_far = |target: &usize| (i64::from(starts[*target]) - from).abs() > ISLAND_DISTANCE + 2000;
            far.extend(target.filter(is_far).map(|target| (*at, target)));
        });
    }
    far
}

fn retargeted(end: End, from: usize, to: usize) -> End {
    let new = |target| if target == from { to } else { target };
    match end {
        End::Jump(target) => End::Jump(new(target)),
        End::Branch { cond, width, left, right, then, otherwise } => {
            End::Branch { cond, width, left, right, then: new(then), otherwise: new(otherwise) }
        }
        End::Guard { body, exhausted } => End::Guard { body: new(body), exhausted: new(exhausted) },
        End::Exit => End::Exit,
    }
}

/// Gives `push` the instructions of a block's end, each with the block that it jumps to. Those without a block are
/// complete. `next` is the block behind.
fn end_insns(end: End, next: Option<usize>, far: bool, mut push: impl FnMut(Insn, Option<usize>)) {
    let go = if far { Insn::gotol(0) } else { Insn::ja(0) };
    match end {
        End::Exit => {}
        End::Jump(target) => {
            if next != Some(target) {
                push(go, Some(target));
            }
        }
        End::Guard { body, exhausted } if far => {
            // may_goto 1; goto body; goto exhausted
            push(Insn::may_goto(1), None);
            push(go, Some(body));
            if next != Some(exhausted) {
                push(go, Some(exhausted));
            }
        }
        End::Guard { body, exhausted } => {
            push(Insn::may_goto(0), Some(exhausted));
            if next != Some(body) {
                push(go, Some(body));
            }
        }
        End::Branch { cond, width, left, right, then, otherwise } => {
            let jump = |cond| match right {
                Right::Reg(right) => Insn::jmp_reg(width, cond, left, right, 0),
                Right::Imm(imm) => Insn::jmp_imm(width, cond, left, imm, 0),
            };
            if far {
                // if cond goto +1; goto otherwise; goto then
                push(Insn { off: 1, ..jump(cond) }, None);
                push(go, Some(otherwise));
                if next != Some(then) {
                    push(go, Some(then));
                }
                return;
            }
            match cond.inverse() {
                Some(inverse) if next == Some(then) => push(jump(inverse), Some(otherwise)),
                _ => {
                    push(jump(cond), Some(then));
                    if next != Some(otherwise) {
                        push(go, Some(otherwise));
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fathom_bpf::isa::{Cond, Reg, Width};

    fn block(insns: usize, end: End) -> CodeBlock {
        let mut code = vec![Insn::mov64_imm(Reg::R0, 0); insns];
        if end == End::Exit {
            code.push(Insn::exit());
        }
        CodeBlock { insns: code, lines: Vec::new(), pending: Vec::new(), end, end_loc: SrcLoc::NONE }
    }

    fn branch(then: usize, otherwise: usize) -> End {
        let (cond, width, left, right) = (Cond::Eq, Width::W64, Reg::R1, Right::Imm(0));
        End::Branch { cond, width, left, right, then, otherwise }
    }

    #[test]
    fn falls_through_where_it_can() {
        let blocks = vec![block(0, branch(1, 2)), block(1, End::Jump(2)), block(1, End::Exit)];
        let code = place(blocks, SrcLoc(3), true).unwrap();
        assert_eq!(
            code.insns,
            [
                Insn::jmp_imm(Width::W64, Cond::Ne, Reg::R1, 0, 1),
                Insn::mov64_imm(Reg::R0, 0),
                Insn::mov64_imm(Reg::R0, 0),
                Insn::exit()
            ]
        );
        assert_eq!(code.lines, [(0, SrcLoc(3))]);
    }

    #[test]
    fn jumps_through_empty_blocks() {
        let blocks =
            vec![block(1, branch(1, 2)), block(0, End::Jump(3)), block(2, End::Exit), block(0, End::Jump(2))];
        let code = place(blocks, SrcLoc::NONE, true).unwrap();
        assert_eq!(code.insns.len(), 1 + 2 + 1, "{:?}", code.insns);
    }

    #[test]
    fn far_jumps_are_long() {
        let blocks = || vec![block(0, branch(2, 1)), block(40_000, End::Jump(0)), block(1, End::Exit)];
        let code = place(blocks(), SrcLoc::NONE, true).unwrap();
        assert_eq!(code.insns[0], Insn::jmp_imm(Width::W64, Cond::Eq, Reg::R1, 0, 1));
        assert_eq!(code.insns[1], Insn::gotol(1));
        assert_eq!(code.insns[2], Insn::gotol(40_001));
        assert_eq!(code.insns[3 + 40_000], Insn::gotol(-40_004));
        // Nothing can be put into the one block of 40,000.
        assert_eq!(place(blocks(), SrcLoc::NONE, false).unwrap_err(), TooFar { insns: 40_005 });
    }

    #[test]
    fn far_jumps_go_over_islands() {
        let mut blocks = vec![block(0, branch(201, 1))];
        blocks.extend(
            (1..=200).map(|at| block(499, if at == 200 { End::Jump(0) } else { branch(201, at + 1) })),
        );
        blocks.push(block(7, End::Exit));
        let code = place(blocks, SrcLoc::NONE, false).unwrap();
        assert!(code.insns.len() > 100_000 && code.insns.len() < 100_220, "{}", code.insns.len());
        fathom_bpf::check::check(&code.insns).unwrap();
        let end = code.insns.len() - 8;
        // From the first branch over islands to the end.
        let mut at = 1 + i64::from(code.insns[0].off);
        let mut hops = 0;
        while (at as usize) < end {
            assert_eq!(code.insns[at as usize].code, Insn::ja(0).code);
            at += 1 + i64::from(code.insns[at as usize].off);
            hops += 1;
        }
        assert_eq!(at as usize, end);
        assert!((3..=6).contains(&hops), "{hops}");
    }
}
