//! Preprocessor lines: `#define`s become constants or macros, `#include`s of own headers are read; constants of system headers come from a table.

use super::lex;
use super::Declarations;
use crate::analyse::infer::Define;
use crate::analyse::store::TypeStore;
use crate::facts::Facts;
use fathom_syntax::ast::{CItem, CItemKind};
use fathom_syntax::diag::Diagnostic;
use fathom_syntax::span::Span;
use std::collections::{HashMap, HashSet};

/// Headers of the C language and of POSIX, which count as known whether or not a C library is installed.
const STANDARD: &[&str] = &[
    "assert.h",
    "ctype.h",
    "dirent.h",
    "elf.h",
    "endian.h",
    "errno.h",
    "fcntl.h",
    "float.h",
    "grp.h",
    "inttypes.h",
    "limits.h",
    "locale.h",
    "math.h",
    "netdb.h",
    "poll.h",
    "pthread.h",
    "pwd.h",
    "sched.h",
    "semaphore.h",
    "setjmp.h",
    "signal.h",
    "stdarg.h",
    "stdatomic.h",
    "stdbool.h",
    "stddef.h",
    "stdint.h",
    "stdio.h",
    "stdlib.h",
    "string.h",
    "strings.h",
    "time.h",
    "uchar.h",
    "unistd.h",
    "vmlinux.h",
    "wchar.h",
];

/// Constants of system headers that are macros there, so that no type information has them.
const SYSTEM: &[(&str, i64)] = &[
    ("EPERM", 1),
    ("ENOENT", 2),
    ("ESRCH", 3),
    ("EINTR", 4),
    ("EIO", 5),
    ("ENXIO", 6),
    ("E2BIG", 7),
    ("ENOEXEC", 8),
    ("EBADF", 9),
    ("ECHILD", 10),
    ("EAGAIN", 11),
    ("EWOULDBLOCK", 11),
    ("ENOMEM", 12),
    ("EACCES", 13),
    ("EFAULT", 14),
    ("ENOTBLK", 15),
    ("EBUSY", 16),
    ("EEXIST", 17),
    ("EXDEV", 18),
    ("ENODEV", 19),
    ("ENOTDIR", 20),
    ("EISDIR", 21),
    ("EINVAL", 22),
    ("ENFILE", 23),
    ("EMFILE", 24),
    ("ENOTTY", 25),
    ("ETXTBSY", 26),
    ("EFBIG", 27),
    ("ENOSPC", 28),
    ("ESPIPE", 29),
    ("EROFS", 30),
    ("EMLINK", 31),
    ("EPIPE", 32),
    ("EDOM", 33),
    ("ERANGE", 34),
    ("EDEADLK", 35),
    ("ENAMETOOLONG", 36),
    ("ENOLCK", 37),
    ("ENOSYS", 38),
    ("ENOTEMPTY", 39),
    ("ELOOP", 40),
    ("ENODATA", 61),
    ("ETIME", 62),
    ("EPROTO", 71),
    ("EOVERFLOW", 75),
    ("EILSEQ", 84),
    ("EUSERS", 87),
    ("ENOTSOCK", 88),
    ("EMSGSIZE", 90),
    ("EOPNOTSUPP", 95),
    ("ENOTSUP", 95),
    ("EAFNOSUPPORT", 97),
    ("EADDRINUSE", 98),
    ("EADDRNOTAVAIL", 99),
    ("ENETDOWN", 100),
    ("ENETUNREACH", 101),
    ("ECONNABORTED", 103),
    ("ECONNRESET", 104),
    ("ENOBUFS", 105),
    ("EISCONN", 106),
    ("ENOTCONN", 107),
    ("ETIMEDOUT", 110),
    ("ECONNREFUSED", 111),
    ("EHOSTUNREACH", 113),
    ("EALREADY", 114),
    ("EINPROGRESS", 115),
    ("ESTALE", 116),
    ("EDQUOT", 122),
    ("ECANCELED", 125),
    ("ERESTARTSYS", 512),
    ("SIGHUP", 1),
    ("SIGINT", 2),
    ("SIGQUIT", 3),
    ("SIGILL", 4),
    ("SIGTRAP", 5),
    ("SIGABRT", 6),
    ("SIGBUS", 7),
    ("SIGFPE", 8),
    ("SIGKILL", 9),
    ("SIGUSR1", 10),
    ("SIGSEGV", 11),
    ("SIGUSR2", 12),
    ("SIGPIPE", 13),
    ("SIGALRM", 14),
    ("SIGTERM", 15),
    ("SIGCHLD", 17),
    ("SIGCONT", 18),
    ("SIGSTOP", 19),
    ("SIGTSTP", 20),
    ("AF_UNSPEC", 0),
    ("AF_UNIX", 1),
    ("AF_LOCAL", 1),
    ("AF_INET", 2),
    ("AF_INET6", 10),
    ("AF_NETLINK", 16),
    ("AF_PACKET", 17),
    ("AF_VSOCK", 40),
    ("AF_XDP", 44),
    ("O_RDONLY", 0),
    ("O_WRONLY", 1),
    ("O_RDWR", 2),
    ("O_ACCMODE", 3),
    ("O_CREAT", 0o100),
    ("O_EXCL", 0o200),
    ("O_NOCTTY", 0o400),
    ("O_TRUNC", 0o1000),
    ("O_APPEND", 0o2000),
    ("O_NONBLOCK", 0o4000),
    ("O_DSYNC", 0o10000),
    ("O_DIRECT", 0o40000),
    ("O_LARGEFILE", 0o100_000),
    ("O_DIRECTORY", 0o200_000),
    ("O_NOFOLLOW", 0o400_000),
    ("O_NOATIME", 0o1_000_000),
    ("O_CLOEXEC", 0o2_000_000),
    ("O_SYNC", 0o4_010_000),
    ("O_PATH", 0o10_000_000),
    ("S_IFMT", 0o170_000),
    ("S_IFSOCK", 0o140_000),
    ("S_IFLNK", 0o120_000),
    ("S_IFREG", 0o100_000),
    ("S_IFBLK", 0o60_000),
    ("S_IFDIR", 0o40_000),
    ("S_IFCHR", 0o20_000),
    ("S_IFIFO", 0o10_000),
    ("IPPROTO_ICMP", 1),
    ("IPPROTO_TCP", 6),
    ("IPPROTO_UDP", 17),
    ("IPPROTO_IPV6", 41),
    ("IPPROTO_ICMPV6", 58),
    ("PROT_READ", 1),
    ("PROT_WRITE", 2),
    ("PROT_EXEC", 4),
    ("MAP_SHARED", 1),
    ("MAP_PRIVATE", 2),
    ("MAP_FIXED", 0x10),
    ("MAP_ANONYMOUS", 0x20),
    ("PAGE_SIZE", 4096),
    ("PAGE_SHIFT", 12),
    ("NSEC_PER_SEC", 1_000_000_000),
    ("BLK_MAX_CDB", 16),
    ("TASK_COMM_LEN", 16),
    ("PATH_MAX", 4096),
    ("NULL", 0),
    ("TASK_RUNNING", 0),
    ("TASK_INTERRUPTIBLE", 1),
    ("TASK_UNINTERRUPTIBLE", 2),
    ("TASK_STOPPED", 4),
    ("MINORBITS", 20),
    ("MINORMASK", 0xf_ffff),
    ("REQ_OP_MASK", 0xff),
    ("PF_KTHREAD", 0x20_0000),
    ("CLONE_VM", 0x100),
    ("CLONE_FS", 0x200),
    ("CLONE_FILES", 0x400),
    ("CLONE_SIGHAND", 0x800),
    ("CLONE_THREAD", 0x10000),
    ("CLONE_NEWNS", 0x20000),
    ("CLONE_NEWPID", 0x2000_0000),
    ("CLONE_NEWNET", 0x4000_0000),
];

/// A constant of the system headers.
pub fn system_constant(name: &str) -> Option<i128> {
    SYSTEM.iter().find(|(n, _)| *n == name).map(|(_, v)| i128::from(*v))
}

/// A `#define` that is no constant: an expression with parameters, to be made a macro.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextMacro {
    /// Name.
    pub name: String,
    /// Parameters.
    pub params: Vec<String>,
    /// The text.
    pub body: String,
    /// Where it stands.
    pub span: Span,
}

/// What came of the preprocessor lines.
#[derive(Debug, Default)]
pub struct Preprocessed {
    /// Constants.
    pub defines: HashMap<String, Define>,
    /// Everything else.
    pub macros: Vec<TextMacro>,
}

/// Reads the C part of a script.
pub struct Headers<'s, 'f> {
    /// Where types go.
    pub store: &'s mut TypeStore<'f>,
    /// Reads files.
    pub facts: &'s dyn Facts,
    /// Reports.
    pub diags: &'s mut Vec<Diagnostic>,
    /// Result.
    pub out: Preprocessed,
    /// Headers that were read.
    pub seen: HashSet<String>,
    /// Headers of the system were included: they define every type of the kernel.
    pub has_system: bool,
    /// Open `#if`s: whether the text counts now, and whether a branch was taken already.
    pub conditions: Vec<(bool, bool)>,
}

impl Headers<'_, '_> {
    /// One item of the C part; `file` is the path of the file it stands in.
    pub fn item(&mut self, item: &CItem, file: &str) {
        if item.kind == CItemKind::Directive && self.conditional(&item.text, item.span) {
            return;
        }
        if !self.active() {
            return;
        }
        match item.kind {
            CItemKind::Declaration => self.declarations(&item.text, item.span),
            CItemKind::Directive => self.directive(&item.text, item.span),
            CItemKind::Include => self.include(&item.text, item.span, file),
        }
    }

    fn declarations(&mut self, text: &str, span: Span) {
        Declarations::read(text, span, self.store, &self.out.defines, self.has_system, self.diags);
    }

    fn include(&mut self, text: &str, span: Span, file: &str) {
        let target = text.trim_start().trim_start_matches('#').trim_start();
        let target = target.strip_prefix("include").unwrap_or(target).trim();
        // Headers of the system have nothing that type information and the table of constants lack.
        if let Some(path) = target.strip_prefix('"').and_then(|t| t.split('"').next()) {
            self.header(path, Some(span), file);
            return;
        }
        let path = target.strip_prefix('<').and_then(|t| t.split('>').next()).unwrap_or(target);
        if path.contains('/') || STANDARD.contains(&path) || self.is_installed(path) {
            self.has_system = true;
        } else {
            self.header(path, Some(span), file);
        }
    }

    /// Whether the machine has the header among those of its C library.
    fn is_installed(&self, path: &str) -> bool {
        self.facts.read_import(&format!("/usr/include/{path}"), None).is_ok()
    }

    /// Reads a header file. Headers of the system need not exist.
    pub fn header(&mut self, path: &str, span: Option<Span>, file: &str) {
        if !self.seen.insert(path.to_string()) {
            return;
        }
        match self.facts.read_import(path, Some(file)) {
            Ok(files) => {
                for (name, text) in files {
                    self.text(&text, span.unwrap_or_default(), &name);
                }
            }
            Err(why) => {
                let is_system = path.contains('/') && !path.starts_with(['.', '/']);
                if is_system || STANDARD.contains(&path) || self.is_installed(path) {
                    return;
                }
                let text = format!("'{path}' file not found: {why}");
                self.diags.push(match span {
                    Some(span) => Diagnostic::error(span, text),
                    None => Diagnostic::error_anywhere(text),
                });
            }
        }
    }

    /// A whole header: preprocessor lines (conditions by what is defined), the rest as declarations.
    pub fn text(&mut self, text: &str, span: Span, file: &str) {
        let text = text.replace("\\\n", " ");
        let mut code = String::new();
        let outer = std::mem::take(&mut self.conditions);
        for line in text.lines() {
            let trimmed = line.trim_start();
            if !trimmed.starts_with('#') {
                if self.active() {
                    code.push_str(line);
                    code.push('\n');
                }
                continue;
            }
            self.declarations(&std::mem::take(&mut code), span);
            if self.conditional(trimmed, span) || !self.active() {
                continue;
            }
            match directive_of(trimmed) {
                ("include", _) => self.include(trimmed, span, file),
                _ => self.directive(trimmed, span),
            }
        }
        self.conditions = outer;
        self.declarations(&code, span);
    }

    fn active(&self) -> bool {
        self.conditions.iter().all(|c| c.0)
    }

    /// Handles `#if` and its relatives; false for any other directive.
    fn conditional(&mut self, text: &str, span: Span) -> bool {
        let (word, rest) = directive_of(text);
        let taken = match word {
            "ifdef" => self.is_defined(rest),
            "ifndef" => !self.is_defined(rest),
            "if" => self.holds(rest, span),
            "elif" => self.conditions.last().is_some_and(|c| !c.1) && self.holds(rest, span),
            "else" => self.conditions.last().is_some_and(|c| !c.1),
            "endif" => {
                self.conditions.pop();
                return true;
            }
            _ => return false,
        };
        if matches!(word, "else" | "elif") {
            if let Some(c) = self.conditions.last_mut() {
                *c = (taken, c.1 || taken);
            }
        } else {
            self.conditions.push((taken, taken));
        }
        true
    }

    fn is_defined(&self, name: &str) -> bool {
        let name = name.trim();
        let known = self.out.defines.contains_key(name) || self.out.macros.iter().any(|m| m.name == name);
        known || (name == "BPFTRACE_HAVE_BTF" && self.facts.has_types())
    }

    /// Whether the condition of an `#if` is a constant other than 0; `defined(X)` is answered first.
    fn holds(&mut self, condition: &str, span: Span) -> bool {
        let mut text = strip_comments(condition);
        while let Some(at) = text.find("defined") {
            let rest = text.get(at + "defined".len()..).unwrap_or("").trim_start();
            let (open, rest) = rest.strip_prefix('(').map_or((false, rest), |r| (true, r.trim_start()));
            let len = rest.bytes().take_while(|b| b.is_ascii_alphanumeric() || *b == b'_').count();
            let (name, rest) = rest.split_at(len);
            let rest = if open { rest.trim_start().strip_prefix(')').unwrap_or(rest) } else { rest };
            let value = i32::from(self.is_defined(name));
            text = format!("{} {value} {rest}", text.get(..at).unwrap_or(""));
        }
        matches!(self.constant(&text, span), Some(Define::Int(n)) if n != 0)
    }

    /// The value of a text that is a constant expression.
    fn constant(&mut self, text: &str, span: Span) -> Option<Define> {
        let mut p = Declarations {
            store: &mut *self.store,
            defines: &self.out.defines,
            diags: &mut *self.diags,
            span,
            toks: lex::tokens(text),
            pos: 0,
            depth: 0,
            replaces: false,
            has_headers: true,
        };
        p.whole()
    }

    fn directive(&mut self, text: &str, span: Span) {
        let text = text.replace("\\\n", " ");
        let text = text.trim_start().trim_start_matches('#').trim_start();
        if let Some(name) = text.strip_prefix("undef") {
            self.out.defines.remove(name.trim());
            self.out.macros.retain(|m| m.name != name.trim());
            return;
        }
        let Some(rest) = text.strip_prefix("define") else { return };
        let rest = rest.trim_start();
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
        let (name, rest) = rest.split_at(end);
        let (params, body) = match rest.strip_prefix('(') {
            Some(r) => match r.split_once(')') {
                Some((params, body)) => (Some(params), body),
                None => return,
            },
            None => (None, rest),
        };
        let body = strip_comments(body);
        if let Some(params) = params {
            let params = params.split(',').map(|p| p.trim().to_string()).filter(|p| !p.is_empty()).collect();
            self.out.macros.push(TextMacro { name: name.into(), params, body, span });
            return;
        }
        let value = if body.is_empty() { Some(Define::Int(1)) } else { self.constant(&body, span) };
        match value {
            Some(v) => {
                self.out.defines.insert(name.to_string(), v);
            }
            None => self.out.macros.push(TextMacro { name: name.into(), params: Vec::new(), body, span }),
        }
    }
}

/// The word of a preprocessor line and what follows it.
fn directive_of(text: &str) -> (&str, &str) {
    let text = text.trim_start().trim_start_matches('#').trim_start();
    let end = text.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(text.len());
    let (word, rest) = text.split_at(end);
    (word, rest.trim())
}

fn strip_comments(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(start) = rest.find("/*") {
        out.push_str(rest.get(..start).unwrap_or(""));
        rest = rest.get(start..).and_then(|r| r.find("*/").and_then(|e| r.get(e + 2..))).unwrap_or("");
    }
    out.push_str(rest);
    // a `//` inside a string is no comment
    let mut quoted = false;
    let bytes = out.as_bytes();
    let cut = (0..bytes.len()).find(|&i| {
        quoted ^= bytes.get(i) == Some(&b'"');
        !quoted && bytes.get(i..i + 2) == Some(b"//")
    });
    if let Some(cut) = cut {
        out.truncate(cut);
    }
    out.trim().to_string()
}

#[cfg(test)]
mod tests {
    use super::lex::Tok;
    use super::*;

    #[test]
    fn comments_go_but_not_in_strings() {
        assert_eq!(strip_comments(" 5 /* x */ + 1 // y"), "5  + 1");
        assert_eq!(strip_comments("\"http://x\""), "\"http://x\"");
    }

    #[test]
    fn words_of_the_table_are_unique() {
        let names: HashSet<&str> = SYSTEM.iter().map(|(n, _)| *n).collect();
        assert_eq!(names.len(), SYSTEM.len());
    }

    #[test]
    fn tokens_are_what_they_look_like() {
        assert_eq!(lex::tokens("#"), [Tok::Punct("#")]);
    }
}
