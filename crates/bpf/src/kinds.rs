//! Kinds of maps, programs, attachments and links, and the flag bits of maps and helpers, as in `include/uapi/linux/bpf.h` of Linux 6.18.

use std::fmt;

/// A kernel release, `(major, minor)`; `(0, 0)` for values that are no facility.
pub type Release = (u8, u8);

macro_rules! kinds {
    ($(#[$doc:meta])* $ty:ident { $($id:ident = $value:literal, $name:literal, $major:literal, $minor:literal;)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub struct $ty(pub u32);

        impl $ty {
            $(
                #[doc = concat!("`", $name, "`, value ", stringify!($value), ", Linux ", stringify!($major), ".", stringify!($minor), ".")]
                pub const $id: $ty = $ty($value);
            )*

            /// Every known kind with its name and the release that brought it.
            pub const ALL: &'static [($ty, &'static str, Release)] = &[$(($ty($value), $name, ($major, $minor)),)*];

            fn row(self) -> Option<&'static ($ty, &'static str, Release)> {
                Self::ALL.iter().find(|row| row.0 == self)
            }

            /// The kernel's name in lower case without its prefix; `None` for a value newer than this table.
            pub fn name(self) -> Option<&'static str> {
                self.row().map(|row| row.1)
            }

            /// The kind of a name as [`Self::name`] gives it.
            pub fn from_name(name: &str) -> Option<$ty> {
                Self::ALL.iter().find(|row| row.1 == name).map(|row| row.0)
            }

            /// The first release that has it.
            pub fn since(self) -> Option<Release> {
                self.row().map(|row| row.2)
            }
        }

        impl fmt::Display for $ty {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self.name() {
                    Some(name) => f.pad(name),
                    None => write!(f, "#{}", self.0),
                }
            }
        }
    };
}

kinds! {
    /// Kind of a map: `enum bpf_map_type`.
    MapKind {
        UNSPEC = 0, "unspec", 0, 0;
        HASH = 1, "hash", 3, 19;
        ARRAY = 2, "array", 3, 19;
        PROG_ARRAY = 3, "prog_array", 4, 2;
        PERF_EVENT_ARRAY = 4, "perf_event_array", 4, 3;
        PERCPU_HASH = 5, "percpu_hash", 4, 6;
        PERCPU_ARRAY = 6, "percpu_array", 4, 6;
        STACK_TRACE = 7, "stack_trace", 4, 6;
        CGROUP_ARRAY = 8, "cgroup_array", 4, 8;
        LRU_HASH = 9, "lru_hash", 4, 10;
        LRU_PERCPU_HASH = 10, "lru_percpu_hash", 4, 10;
        LPM_TRIE = 11, "lpm_trie", 4, 11;
        ARRAY_OF_MAPS = 12, "array_of_maps", 4, 12;
        HASH_OF_MAPS = 13, "hash_of_maps", 4, 12;
        DEVMAP = 14, "devmap", 4, 14;
        SOCKMAP = 15, "sockmap", 4, 14;
        CPUMAP = 16, "cpumap", 4, 15;
        XSKMAP = 17, "xskmap", 4, 18;
        SOCKHASH = 18, "sockhash", 4, 18;
        CGROUP_STORAGE = 19, "cgroup_storage", 4, 19;
        REUSEPORT_SOCKARRAY = 20, "reuseport_sockarray", 4, 19;
        PERCPU_CGROUP_STORAGE = 21, "percpu_cgroup_storage", 4, 20;
        QUEUE = 22, "queue", 4, 20;
        STACK = 23, "stack", 4, 20;
        SK_STORAGE = 24, "sk_storage", 5, 2;
        DEVMAP_HASH = 25, "devmap_hash", 5, 4;
        STRUCT_OPS = 26, "struct_ops", 5, 6;
        RINGBUF = 27, "ringbuf", 5, 8;
        INODE_STORAGE = 28, "inode_storage", 5, 10;
        TASK_STORAGE = 29, "task_storage", 5, 11;
        BLOOM_FILTER = 30, "bloom_filter", 5, 16;
        USER_RINGBUF = 31, "user_ringbuf", 6, 1;
        CGRP_STORAGE = 32, "cgrp_storage", 6, 2;
        ARENA = 33, "arena", 6, 9;
    }
}

kinds! {
    /// Kind of a program: `enum bpf_prog_type`.
    ProgKind {
        UNSPEC = 0, "unspec", 0, 0;
        SOCKET_FILTER = 1, "socket_filter", 3, 19;
        KPROBE = 2, "kprobe", 4, 1;
        SCHED_CLS = 3, "sched_cls", 4, 1;
        SCHED_ACT = 4, "sched_act", 4, 1;
        TRACEPOINT = 5, "tracepoint", 4, 7;
        XDP = 6, "xdp", 4, 8;
        PERF_EVENT = 7, "perf_event", 4, 9;
        CGROUP_SKB = 8, "cgroup_skb", 4, 10;
        CGROUP_SOCK = 9, "cgroup_sock", 4, 10;
        LWT_IN = 10, "lwt_in", 4, 10;
        LWT_OUT = 11, "lwt_out", 4, 10;
        LWT_XMIT = 12, "lwt_xmit", 4, 10;
        SOCK_OPS = 13, "sock_ops", 4, 13;
        SK_SKB = 14, "sk_skb", 4, 14;
        CGROUP_DEVICE = 15, "cgroup_device", 4, 15;
        SK_MSG = 16, "sk_msg", 4, 17;
        RAW_TRACEPOINT = 17, "raw_tracepoint", 4, 17;
        CGROUP_SOCK_ADDR = 18, "cgroup_sock_addr", 4, 17;
        LWT_SEG6LOCAL = 19, "lwt_seg6local", 4, 18;
        LIRC_MODE2 = 20, "lirc_mode2", 4, 18;
        SK_REUSEPORT = 21, "sk_reuseport", 4, 19;
        FLOW_DISSECTOR = 22, "flow_dissector", 4, 20;
        CGROUP_SYSCTL = 23, "cgroup_sysctl", 5, 2;
        RAW_TRACEPOINT_WRITABLE = 24, "raw_tracepoint_writable", 5, 2;
        CGROUP_SOCKOPT = 25, "cgroup_sockopt", 5, 3;
        TRACING = 26, "tracing", 5, 5;
        STRUCT_OPS = 27, "struct_ops", 5, 6;
        EXT = 28, "ext", 5, 6;
        LSM = 29, "lsm", 5, 7;
        SK_LOOKUP = 30, "sk_lookup", 5, 9;
        SYSCALL = 31, "syscall", 5, 14;
        NETFILTER = 32, "netfilter", 6, 4;
    }
}

kinds! {
    /// Kind of attachment: `enum bpf_attach_type`.
    AttachKind {
        CGROUP_INET_INGRESS = 0, "cgroup_inet_ingress", 4, 10;
        CGROUP_INET_EGRESS = 1, "cgroup_inet_egress", 4, 10;
        CGROUP_INET_SOCK_CREATE = 2, "cgroup_inet_sock_create", 4, 10;
        CGROUP_SOCK_OPS = 3, "cgroup_sock_ops", 4, 13;
        SK_SKB_STREAM_PARSER = 4, "sk_skb_stream_parser", 4, 14;
        SK_SKB_STREAM_VERDICT = 5, "sk_skb_stream_verdict", 4, 14;
        CGROUP_DEVICE = 6, "cgroup_device", 4, 15;
        SK_MSG_VERDICT = 7, "sk_msg_verdict", 4, 17;
        CGROUP_INET4_BIND = 8, "cgroup_inet4_bind", 4, 17;
        CGROUP_INET6_BIND = 9, "cgroup_inet6_bind", 4, 17;
        CGROUP_INET4_CONNECT = 10, "cgroup_inet4_connect", 4, 17;
        CGROUP_INET6_CONNECT = 11, "cgroup_inet6_connect", 4, 17;
        CGROUP_INET4_POST_BIND = 12, "cgroup_inet4_post_bind", 4, 17;
        CGROUP_INET6_POST_BIND = 13, "cgroup_inet6_post_bind", 4, 17;
        CGROUP_UDP4_SENDMSG = 14, "cgroup_udp4_sendmsg", 4, 18;
        CGROUP_UDP6_SENDMSG = 15, "cgroup_udp6_sendmsg", 4, 18;
        LIRC_MODE2 = 16, "lirc_mode2", 4, 18;
        FLOW_DISSECTOR = 17, "flow_dissector", 4, 20;
        CGROUP_SYSCTL = 18, "cgroup_sysctl", 5, 2;
        CGROUP_UDP4_RECVMSG = 19, "cgroup_udp4_recvmsg", 5, 2;
        CGROUP_UDP6_RECVMSG = 20, "cgroup_udp6_recvmsg", 5, 2;
        CGROUP_GETSOCKOPT = 21, "cgroup_getsockopt", 5, 3;
        CGROUP_SETSOCKOPT = 22, "cgroup_setsockopt", 5, 3;
        TRACE_RAW_TP = 23, "trace_raw_tp", 5, 5;
        TRACE_FENTRY = 24, "trace_fentry", 5, 5;
        TRACE_FEXIT = 25, "trace_fexit", 5, 5;
        MODIFY_RETURN = 26, "modify_return", 5, 7;
        LSM_MAC = 27, "lsm_mac", 5, 7;
        TRACE_ITER = 28, "trace_iter", 5, 8;
        CGROUP_INET4_GETPEERNAME = 29, "cgroup_inet4_getpeername", 5, 8;
        CGROUP_INET6_GETPEERNAME = 30, "cgroup_inet6_getpeername", 5, 8;
        CGROUP_INET4_GETSOCKNAME = 31, "cgroup_inet4_getsockname", 5, 8;
        CGROUP_INET6_GETSOCKNAME = 32, "cgroup_inet6_getsockname", 5, 8;
        XDP_DEVMAP = 33, "xdp_devmap", 5, 8;
        CGROUP_INET_SOCK_RELEASE = 34, "cgroup_inet_sock_release", 5, 9;
        XDP_CPUMAP = 35, "xdp_cpumap", 5, 9;
        SK_LOOKUP = 36, "sk_lookup", 5, 9;
        XDP = 37, "xdp", 5, 9;
        SK_SKB_VERDICT = 38, "sk_skb_verdict", 5, 13;
        SK_REUSEPORT_SELECT = 39, "sk_reuseport_select", 5, 14;
        SK_REUSEPORT_SELECT_OR_MIGRATE = 40, "sk_reuseport_select_or_migrate", 5, 14;
        PERF_EVENT = 41, "perf_event", 5, 15;
        TRACE_KPROBE_MULTI = 42, "trace_kprobe_multi", 5, 18;
        LSM_CGROUP = 43, "lsm_cgroup", 6, 0;
        STRUCT_OPS = 44, "struct_ops", 6, 4;
        NETFILTER = 45, "netfilter", 6, 4;
        TCX_INGRESS = 46, "tcx_ingress", 6, 6;
        TCX_EGRESS = 47, "tcx_egress", 6, 6;
        TRACE_UPROBE_MULTI = 48, "trace_uprobe_multi", 6, 6;
        CGROUP_UNIX_CONNECT = 49, "cgroup_unix_connect", 6, 7;
        CGROUP_UNIX_SENDMSG = 50, "cgroup_unix_sendmsg", 6, 7;
        CGROUP_UNIX_RECVMSG = 51, "cgroup_unix_recvmsg", 6, 7;
        CGROUP_UNIX_GETPEERNAME = 52, "cgroup_unix_getpeername", 6, 7;
        CGROUP_UNIX_GETSOCKNAME = 53, "cgroup_unix_getsockname", 6, 7;
        NETKIT_PRIMARY = 54, "netkit_primary", 6, 7;
        NETKIT_PEER = 55, "netkit_peer", 6, 7;
        TRACE_KPROBE_SESSION = 56, "trace_kprobe_session", 6, 10;
        TRACE_UPROBE_SESSION = 57, "trace_uprobe_session", 6, 13;
    }
}

kinds! {
    /// Kind of a link: `enum bpf_link_type`.
    LinkKind {
        UNSPEC = 0, "unspec", 0, 0;
        RAW_TRACEPOINT = 1, "raw_tracepoint", 5, 7;
        TRACING = 2, "tracing", 5, 7;
        CGROUP = 3, "cgroup", 5, 7;
        ITER = 4, "iter", 5, 8;
        NETNS = 5, "netns", 5, 8;
        XDP = 6, "xdp", 5, 9;
        PERF_EVENT = 7, "perf_event", 5, 15;
        KPROBE_MULTI = 8, "kprobe_multi", 5, 18;
        STRUCT_OPS = 9, "struct_ops", 6, 4;
        NETFILTER = 10, "netfilter", 6, 4;
        TCX = 11, "tcx", 6, 6;
        UPROBE_MULTI = 12, "uprobe_multi", 6, 6;
        NETKIT = 13, "netkit", 6, 7;
        SOCKMAP = 14, "sockmap", 6, 10;
    }
}

impl MapKind {
    /// Whether each CPU has a value of its own.
    pub const fn is_percpu(self) -> bool {
        matches!(
            self,
            MapKind::PERCPU_HASH
                | MapKind::PERCPU_ARRAY
                | MapKind::LRU_PERCPU_HASH
                | MapKind::PERCPU_CGROUP_STORAGE
        )
    }

    /// Whether keys are hashed: any key is possible, elements come and go.
    pub const fn is_hash(self) -> bool {
        matches!(
            self,
            MapKind::HASH
                | MapKind::PERCPU_HASH
                | MapKind::LRU_HASH
                | MapKind::LRU_PERCPU_HASH
                | MapKind::HASH_OF_MAPS
        )
    }

    /// Whether keys are the indices `0..max_entries` and every element always exists.
    pub const fn is_array(self) -> bool {
        matches!(self, MapKind::ARRAY | MapKind::PERCPU_ARRAY)
    }
}

/// Flag bits of `BPF_MAP_CREATE` (`map_flags`).
pub mod map_flags {
    /// Allocate elements when they are inserted.
    pub const BPF_F_NO_PREALLOC: u32 = 1;
    /// Use one LRU list per CPU.
    pub const BPF_F_NO_COMMON_LRU: u32 = 1 << 1;
    /// Allocate on `numa_node`.
    pub const BPF_F_NUMA_NODE: u32 = 1 << 2;
    /// User space may only read.
    pub const BPF_F_RDONLY: u32 = 1 << 3;
    /// User space may only write.
    pub const BPF_F_WRONLY: u32 = 1 << 4;
    /// A stack map holds build ids and offsets instead of addresses.
    pub const BPF_F_STACK_BUILD_ID: u32 = 1 << 5;
    /// Hash with seed 0 (tests only).
    pub const BPF_F_ZERO_SEED: u32 = 1 << 6;
    /// Programs may only read.
    pub const BPF_F_RDONLY_PROG: u32 = 1 << 7;
    /// Programs may only write.
    pub const BPF_F_WRONLY_PROG: u32 = 1 << 8;
    /// Clone socket storage to accepted sockets.
    pub const BPF_F_CLONE: u32 = 1 << 9;
    /// User space may map an array's (or arena's) values into memory.
    pub const BPF_F_MMAPABLE: u32 = 1 << 10;
    /// Keep perf events when the map's descriptor closes.
    pub const BPF_F_PRESERVE_ELEMS: u32 = 1 << 11;
    /// An inner array may differ in size from its template.
    pub const BPF_F_INNER_MAP: u32 = 1 << 12;
    /// A struct_ops map is attached by a link.
    pub const BPF_F_LINK: u32 = 1 << 13;
    /// A path is relative to a descriptor.
    pub const BPF_F_PATH_FD: u32 = 1 << 14;
    /// `value_type_btf_obj_fd` is given.
    pub const BPF_F_VTYPE_BTF_OBJ_FD: u32 = 1 << 15;
    /// A token descriptor is given.
    pub const BPF_F_TOKEN_FD: u32 = 1 << 16;
    /// User faults on an absent arena page are SIGSEGV.
    pub const BPF_F_SEGV_ON_FAULT: u32 = 1 << 17;
    /// No translation of arena pointers to user addresses.
    pub const BPF_F_NO_USER_CONV: u32 = 1 << 18;
}

/// Flags of `BPF_PROG_LOAD` (`prog_flags`) and of multi-probe links.
pub mod prog_flags {
    /// Verify strict alignment.
    pub const BPF_F_STRICT_ALIGNMENT: u32 = 1;
    /// Allow any alignment.
    pub const BPF_F_ANY_ALIGNMENT: u32 = 1 << 1;
    /// Randomise upper halves that the verifier calls dead (tests only).
    pub const BPF_F_TEST_RND_HI32: u32 = 1 << 2;
    /// Verify every state from scratch (tests only).
    pub const BPF_F_TEST_STATE_FREQ: u32 = 1 << 3;
    /// The program may sleep.
    pub const BPF_F_SLEEPABLE: u32 = 1 << 4;
    /// XDP fragments are handled.
    pub const BPF_F_XDP_HAS_FRAGS: u32 = 1 << 5;
    /// `kprobe_multi` link: probe the returns.
    pub const BPF_F_KPROBE_MULTI_RETURN: u32 = 1;
    /// `uprobe_multi` link: probe the returns.
    pub const BPF_F_UPROBE_MULTI_RETURN: u32 = 1;
}

/// Flags of the helpers.
pub mod helper_flags {
    /// Create or replace an element.
    pub const BPF_ANY: u64 = 0;
    /// Only create an element: -EEXIST when there is one.
    pub const BPF_NOEXIST: u64 = 1;
    /// Only replace an element: -ENOENT when there is none.
    pub const BPF_EXIST: u64 = 2;
    /// Take the value's spin lock.
    pub const BPF_F_LOCK: u64 = 4;
    /// Stack helpers: mask of the number of frames to skip.
    pub const BPF_F_SKIP_FIELD_MASK: u64 = 0xff;
    /// Stack helpers: the user stack instead of the kernel's.
    pub const BPF_F_USER_STACK: u64 = 1 << 8;
    /// `get_stackid`: compare by hash only.
    pub const BPF_F_FAST_STACK_CMP: u64 = 1 << 9;
    /// `get_stackid`: replace another stack that has the same id.
    pub const BPF_F_REUSE_STACKID: u64 = 1 << 10;
    /// `get_stack`: build ids and offsets instead of addresses.
    pub const BPF_F_USER_BUILD_ID: u64 = 1 << 11;
    /// Perf event arrays: mask of the index.
    pub const BPF_F_INDEX_MASK: u64 = 0xffff_ffff;
    /// Perf event arrays: the index of the running CPU.
    pub const BPF_F_CURRENT_CPU: u64 = 0xffff_ffff;
    /// `perf_event_output`: mask of the length of appended context.
    pub const BPF_F_CTXLEN_MASK: u64 = 0xfffff << 32;
    /// Ring buffer: submit without waking the reader.
    pub const BPF_RB_NO_WAKEUP: u64 = 1;
    /// Ring buffer: submit and always wake the reader.
    pub const BPF_RB_FORCE_WAKEUP: u64 = 2;
    /// `ringbuf_query`: bytes not read yet.
    pub const BPF_RB_AVAIL_DATA: u64 = 0;
    /// `ringbuf_query`: size of the ring in bytes.
    pub const BPF_RB_RING_SIZE: u64 = 1;
    /// `ringbuf_query`: the consumer's position.
    pub const BPF_RB_CONS_POS: u64 = 2;
    /// `ringbuf_query`: the producer's position.
    pub const BPF_RB_PROD_POS: u64 = 3;
    /// Local storage: create the element when absent.
    pub const BPF_LOCAL_STORAGE_GET_F_CREATE: u64 = 1;
    /// `timer_start`: the time is absolute.
    pub const BPF_F_TIMER_ABS: u64 = 1;
    /// `timer_start`: run on the CPU that starts it.
    pub const BPF_F_TIMER_CPU_PIN: u64 = 1 << 1;
    /// `read_branch_records`: return the size only.
    pub const BPF_F_GET_BRANCH_RECORDS_SIZE: u64 = 1;
    /// `copy_from_user_str`: fill the rest with zeros.
    pub const BPF_F_PAD_ZEROS: u64 = 1;
    /// Most iterations of `bpf_loop` (and of the number iterator).
    pub const BPF_MAX_LOOPS: u64 = 8 * 1024 * 1024;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_back_to_their_kind() {
        for (kind, name, _) in MapKind::ALL {
            assert_eq!(MapKind::from_name(name), Some(*kind));
        }
        for (kind, name, _) in ProgKind::ALL {
            assert_eq!(ProgKind::from_name(name), Some(*kind));
        }
        for (kind, name, _) in AttachKind::ALL {
            assert_eq!(AttachKind::from_name(name), Some(*kind));
        }
        for (kind, name, _) in LinkKind::ALL {
            assert_eq!(LinkKind::from_name(name), Some(*kind));
        }
    }

    #[test]
    fn tables_are_dense_and_end_where_the_header_ends() {
        assert_eq!(MapKind::ALL.len(), 34);
        assert_eq!(ProgKind::ALL.len(), 33);
        assert_eq!(AttachKind::ALL.len(), 58);
        assert_eq!(LinkKind::ALL.len(), 15);
        assert!(MapKind::ALL.iter().zip(0..).all(|(row, i)| row.0 .0 == i));
        assert!(AttachKind::ALL.iter().zip(0..).all(|(row, i)| row.0 .0 == i));
        assert_eq!(MapKind(99).to_string(), "#99");
        assert_eq!(AttachKind::TRACE_UPROBE_SESSION.to_string(), "trace_uprobe_session");
    }
}
