//! Tracepoints of the recorded kernel: the `format` files of a 6.18 kernel for x86-64.

use fathom_symbols::tp_format::TpFormat;

/// One tracepoint.
pub struct Recorded {
    /// Category.
    pub category: &'static str,
    /// Event.
    pub event: &'static str,
    /// The `format` file.
    pub format: &'static str,
}

macro_rules! recorded {
    ($category:literal, $event:literal) => {
        Recorded {
            category: $category,
            event: $event,
            format: include_str!(concat!("../kernel/events/", $event, ".format")),
        }
    };
}

/// All tracepoints.
pub static EVENTS: &[Recorded] = &[
    recorded!("raw_syscalls", "sys_enter"),
    recorded!("raw_syscalls", "sys_exit"),
    recorded!("sched", "sched_process_exec"),
    recorded!("sched", "sched_switch"),
    recorded!("skb", "kfree_skb"),
    recorded!("syscalls", "sys_enter_openat"),
    recorded!("syscalls", "sys_enter_read"),
    recorded!("syscalls", "sys_exit_openat"),
    recorded!("timer", "hrtimer_start"),
];

impl Recorded {
    /// The parsed file; one that does not parse has no fields.
    pub fn parsed(&self) -> Option<TpFormat> {
        TpFormat::parse(self.format).ok()
    }
}

/// The tracepoint of this name.
pub fn find(category: &str, event: &str) -> Option<&'static Recorded> {
    EVENTS.iter().find(|e| e.category == category && e.event == event)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_recorded_format_parses_and_names_its_event() {
        for e in EVENTS {
            let format = e.parsed().unwrap_or_else(|| panic!("{}", e.event));
            let own = [e.event, e.event.trim_start_matches("sys_")];
            assert!(own.contains(&format.name.as_str()), "{} is {}", e.event, format.name);
            assert!(format.fields.iter().any(|f| !f.is_common), "{}", e.event);
        }
    }
}
