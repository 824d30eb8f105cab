//! Which kernel runs: uname(2).

use crate::sys::call::text_of;

/// What uname(2) says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Uname {
    /// `Linux`.
    pub sysname: String,
    /// Host name.
    pub nodename: String,
    /// Release, e.g. `6.18.44`.
    pub release: String,
    /// Build number and date.
    pub version: String,
    /// Machine, e.g. `x86_64`.
    pub machine: String,
}

impl Uname {
    /// Of the running kernel.
    pub fn of_host() -> Uname {
        // SAFETY: utsname is arrays of bytes; zeros are valid.
        let mut raw: libc::utsname = unsafe { std::mem::zeroed() };
        // SAFETY: the struct lives for the call.
        if unsafe { libc::uname(&mut raw) } != 0 {
            return Uname::default();
        }
        let text = |field: &[libc::c_char]| text_of(&field.iter().map(|c| *c as u8).collect::<Vec<u8>>());
        Uname {
            sysname: text(&raw.sysname),
            nodename: text(&raw.nodename),
            release: text(&raw.release),
            version: text(&raw.version),
            machine: text(&raw.machine),
        }
    }

    /// Major, minor and patch number of the release; only for messages, never to decide on features.
    pub fn numbers(&self) -> (u32, u32, u32) {
        let mut parts = self.release.split(|c: char| !c.is_ascii_digit()).map(|p| p.parse().unwrap_or(0));
        (parts.next().unwrap_or(0), parts.next().unwrap_or(0), parts.next().unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_have_numbers() {
        let u = Uname { release: "5.10.0-27-amd64".into(), ..Default::default() };
        assert_eq!(u.numbers(), (5, 10, 0));
        assert_eq!(Uname::default().numbers(), (0, 0, 0));
        assert_eq!(Uname::of_host().sysname, "Linux");
    }
}
