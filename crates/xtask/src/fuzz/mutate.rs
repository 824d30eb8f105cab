//! Changes to an input: bytes flipped, pieces cut, doubled, moved, taken from another seed, words put in.

use super::rng::Rng;

/// Largest input; what grows beyond is cut.
const BYTES_MAX: usize = 1 << 16;
/// Numbers that boundaries are made of.
const NUMBERS: &[u64] = &[
    0,
    1,
    0x7f,
    0x80,
    0xff,
    0x7fff,
    0xffff,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    0x7fff_ffff_ffff_ffff,
    u64::MAX,
];

/// One change.
type Change = fn(&mut Rng, &mut Vec<u8>, &[Vec<u8>], &[&str]);

static CHANGES: &[Change] = &[
    |rng, bytes, _, _| flip(rng, bytes),
    |rng, bytes, _, _| set(rng, bytes),
    |rng, bytes, _, _| number(rng, bytes),
    |rng, bytes, _, _| swap(rng, bytes),
    cut,
    double,
    splice,
    nest,
    // Twice: words make the most of a text.
    word,
    word,
    replace,
    replace,
];

/// A new input: a seed after one to eight changes.
pub fn input(rng: &mut Rng, seeds: &[Vec<u8>], words: &[&str]) -> Vec<u8> {
    let mut bytes = rng.pick(seeds).cloned().unwrap_or_default();
    // Mostly few: what is damaged in many places fails early.
    for _ in 0..=rng.below(8).min(rng.below(8)) {
        if let Some(change) = rng.pick(CHANGES) {
            change(rng, &mut bytes, seeds, words);
        }
        bytes.truncate(BYTES_MAX);
    }
    bytes
}

/// A range of at most `most` bytes.
fn range(rng: &mut Rng, len: usize, most: usize) -> std::ops::Range<usize> {
    let start = rng.below(len + 1);
    start..start + rng.below((len - start).min(most) + 1)
}

fn insert(bytes: &mut Vec<u8>, at: usize, piece: &[u8]) {
    let rest = bytes.split_off(at.min(bytes.len()));
    bytes.extend_from_slice(piece);
    bytes.extend_from_slice(&rest);
}

fn flip(rng: &mut Rng, bytes: &mut [u8]) {
    let (at, bit) = (rng.below(bytes.len()), rng.below(8));
    if let Some(byte) = bytes.get_mut(at) {
        *byte ^= 1 << bit;
    }
}

fn set(rng: &mut Rng, bytes: &mut [u8]) {
    let (at, value) = (rng.below(bytes.len()), rng.next() as u8);
    if let Some(byte) = bytes.get_mut(at) {
        *byte = value;
    }
}

fn cut(rng: &mut Rng, bytes: &mut Vec<u8>, _: &[Vec<u8>], _: &[&str]) {
    let range = range(rng, bytes.len(), 64);
    bytes.drain(range);
}

fn double(rng: &mut Rng, bytes: &mut Vec<u8>, _: &[Vec<u8>], _: &[&str]) {
    let range = range(rng, bytes.len(), 256);
    let piece = bytes.get(range.clone()).unwrap_or(&[]).repeat(1 + rng.below(3));
    insert(bytes, range.end, &piece);
}

fn word(rng: &mut Rng, bytes: &mut Vec<u8>, _: &[Vec<u8>], words: &[&str]) {
    let at = rng.below(bytes.len() + 1);
    let piece = rng.pick(words).copied().unwrap_or("0");
    insert(bytes, at, piece.as_bytes());
}

/// Puts a word in the place of another.
fn replace(rng: &mut Rng, bytes: &mut Vec<u8>, _: &[Vec<u8>], words: &[&str]) {
    let is_word = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'@' | b'$' | b'.');
    let at = rng.below(bytes.len());
    let start = bytes.iter().take(at).rposition(|b| !is_word(b)).map_or(0, |p| p + 1);
    let len = bytes.iter().skip(start).take_while(|b| is_word(b)).count();
    let piece = rng.pick(words).copied().unwrap_or("0");
    bytes.splice(start..start + len, piece.bytes());
}

fn splice(rng: &mut Rng, bytes: &mut Vec<u8>, seeds: &[Vec<u8>], _: &[&str]) {
    let other = rng.pick(seeds).cloned().unwrap_or_default();
    let range = range(rng, other.len(), 512);
    let at = rng.below(bytes.len() + 1);
    insert(bytes, at, other.get(range).unwrap_or(&[]));
}

/// A boundary number over some bytes, as binary formats have them.
fn number(rng: &mut Rng, bytes: &mut [u8]) {
    let value = rng.pick(NUMBERS).copied().unwrap_or(0).to_le_bytes();
    let size = 1 << rng.below(4);
    let at = rng.below(bytes.len() + 1);
    for (to, from) in bytes.iter_mut().skip(at).zip(value.iter().take(size)) {
        *to = *from;
    }
}

/// The same piece many times: depth that a recursive reader has to bear.
fn nest(rng: &mut Rng, bytes: &mut Vec<u8>, _: &[Vec<u8>], words: &[&str]) {
    let piece = rng.pick(words).copied().unwrap_or("(");
    let count = 1 << rng.below(12);
    let at = rng.below(bytes.len() + 1);
    insert(bytes, at, piece.repeat(count).as_bytes());
}

fn swap(rng: &mut Rng, bytes: &mut [u8]) {
    let (a, b) = (rng.below(bytes.len()), rng.below(bytes.len()));
    if a < bytes.len() && b < bytes.len() {
        bytes.swap(a, b);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inputs_are_bounded_and_repeat() {
        let seeds = vec![b"begin { exit() }".to_vec(), Vec::new()];
        let make = |seed| -> Vec<Vec<u8>> {
            let mut rng = Rng::new(seed);
            (0..200).map(|_| input(&mut rng, &seeds, &["{", "@x"])).collect()
        };
        let inputs = make(3);
        assert_eq!(inputs, make(3));
        assert!(inputs.iter().all(|i| i.len() <= BYTES_MAX));
        assert!(inputs.iter().any(|i| *i != seeds[0]));
    }
}
