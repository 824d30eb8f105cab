//! Patterns with `*`, the only wildcard of attach points.

/// Whether the text has a wildcard.
pub fn is_pattern(text: &str) -> bool {
    text.contains('*')
}

/// Whether the whole of `text` fits `pattern`; `*` stands for any number of any characters. Linear in practice: only the last `*` is
/// ever tried again.
pub fn matches(pattern: &str, text: &str) -> bool {
    let (p, t) = (pattern.as_bytes(), text.as_bytes());
    let (mut pi, mut ti) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    while ti < t.len() {
        match p.get(pi) {
            Some(b'*') => {
                retry = Some((pi, ti));
                pi += 1;
            }
            Some(c) if *c == t[ti] => {
                pi += 1;
                ti += 1;
            }
            _ => match retry {
                Some((rp, rt)) => {
                    pi = rp + 1;
                    ti = rt + 1;
                    retry = Some((rp, rt + 1));
                }
                None => return false,
            },
        }
    }
    p[pi..].iter().all(|c| *c == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_match_anything_and_the_rest_is_literal() {
        for (pattern, text, want) in [
            ("vfs_*", "vfs_read", true),
            ("vfs_*", "xfs_read", false),
            ("*read*", "vfs_read_iter", true),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-b-b-d", false),
            ("", "", true),
            ("*", "", true),
            ("exact", "exactly", false),
            ("[a]*", "[a]b", true),
        ] {
            assert_eq!(matches(pattern, text), want, "{pattern} against {text}");
        }
    }
}
