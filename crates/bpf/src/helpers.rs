//! The kernel's helper functions: number, name, arguments, result, first release (`include/uapi/linux/bpf.h`).

use crate::kinds::Release;
use std::fmt;

/// What a helper wants in an argument register (`enum bpf_arg_type`, coarser).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Arg {
    /// Any number.
    Scalar,
    /// Any number, which the helper takes for an address and reads safely.
    Addr,
    /// The program's context.
    Ctx,
    /// A map.
    Map,
    /// Readable memory of the map's key size.
    MapKey,
    /// Readable memory of the map's value size.
    MapValue,
    /// Writable memory of the map's value size.
    MapValueOut,
    /// Readable memory; the next argument is its length.
    MemIn,
    /// As [`Arg::MemIn`], or null.
    MemInOrNull,
    /// Memory that the helper fills; the next argument is its length.
    MemOut,
    /// As [`Arg::MemOut`], or null.
    MemOutOrNull,
    /// Length in bytes of the argument before, at least 1.
    Len,
    /// Length in bytes of the argument before.
    LenOrZero,
    /// Memory of so many bytes.
    Fixed(u8),
    /// Address of a static function of the program.
    Func,
    /// Pointer that is handed to the callback: stack memory or null.
    CallbackCtx,
    /// Zero-terminated text in a read-only map.
    ConstStr,
    /// Pointer to a kernel object, typed by BTF.
    KernelPtr,
    /// A socket of any flavour.
    Socket,
    /// Record that `ringbuf_reserve` gave.
    Record,
    /// Initialised dynptr on the stack.
    Dynptr,
    /// Uninitialised dynptr on the stack.
    DynptrOut,
    /// `struct bpf_timer` in a map value.
    Timer,
    /// `struct bpf_spin_lock` in a map value.
    SpinLock,
    /// Kernel pointer field in a map value.
    KptrSlot,
}

/// What a helper leaves in r0.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Ret {
    /// A number (often 0 or a negative errno).
    Scalar,
    /// Nothing: r0 is unreadable.
    Void,
    /// Pointer to a map value, or null.
    MapValueOrNull,
    /// Pointer to memory.
    Mem,
    /// Pointer to memory, or null.
    MemOrNull,
    /// Pointer to a ring-buffer record of the size that was asked for, or null.
    RecordOrNull,
    /// Pointer to a socket, or null.
    SocketOrNull,
    /// Pointer to a kernel object, typed by BTF.
    KernelPtr,
    /// Pointer to a kernel object, or null.
    KernelPtrOrNull,
}

/// One helper.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HelperRow {
    /// Its number.
    pub helper: Helper,
    /// Its name without `bpf_`.
    pub name: &'static str,
    /// Its arguments, r1 first; at most 5. `trace_printk` may be called with fewer.
    pub args: &'static [Arg],
    /// Its result.
    pub ret: Ret,
    /// The first kernel that has it.
    pub since: Release,
}

/// Number of a helper, `BPF_FUNC_*`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Helper(pub i32);

macro_rules! helpers {
    ($($id:ident = $value:literal, $name:literal, [$($arg:expr),*], $ret:ident, ($major:literal, $minor:literal);)*) => {
        impl Helper {
            $(
                #[doc = concat!("`bpf_", $name, "`, Linux ", stringify!($major), ".", stringify!($minor), ".")]
                pub const $id: Helper = Helper($value);
            )*
        }

        /// Every helper, in the order of the numbers from 1.
        pub const HELPERS: &[HelperRow] = {
            use Arg::*;
            &[$(HelperRow {
                helper: Helper($value),
                name: $name,
                args: &[$($arg),*],
                ret: Ret::$ret,
                since: ($major, $minor),
            },)*]
        };
    };
}

helpers! {
    MAP_LOOKUP_ELEM = 1, "map_lookup_elem", [Map, MapKey], MapValueOrNull, (3, 19);
    MAP_UPDATE_ELEM = 2, "map_update_elem", [Map, MapKey, MapValue, Scalar], Scalar, (3, 19);
    MAP_DELETE_ELEM = 3, "map_delete_elem", [Map, MapKey], Scalar, (3, 19);
    PROBE_READ = 4, "probe_read", [MemOut, LenOrZero, Addr], Scalar, (4, 1);
    KTIME_GET_NS = 5, "ktime_get_ns", [], Scalar, (4, 1);
    TRACE_PRINTK = 6, "trace_printk", [MemIn, Len, Scalar, Scalar, Scalar], Scalar, (4, 1);
    GET_PRANDOM_U32 = 7, "get_prandom_u32", [], Scalar, (4, 1);
    GET_SMP_PROCESSOR_ID = 8, "get_smp_processor_id", [], Scalar, (4, 1);
    SKB_STORE_BYTES = 9, "skb_store_bytes", [Ctx, Scalar, MemIn, Len, Scalar], Scalar, (4, 1);
    L3_CSUM_REPLACE = 10, "l3_csum_replace", [Ctx, Scalar, Scalar, Scalar, Scalar], Scalar, (4, 1);
    L4_CSUM_REPLACE = 11, "l4_csum_replace", [Ctx, Scalar, Scalar, Scalar, Scalar], Scalar, (4, 1);
    TAIL_CALL = 12, "tail_call", [Ctx, Map, Scalar], Scalar, (4, 2);
    CLONE_REDIRECT = 13, "clone_redirect", [Ctx, Scalar, Scalar], Scalar, (4, 2);
    GET_CURRENT_PID_TGID = 14, "get_current_pid_tgid", [], Scalar, (4, 2);
    GET_CURRENT_UID_GID = 15, "get_current_uid_gid", [], Scalar, (4, 2);
    GET_CURRENT_COMM = 16, "get_current_comm", [MemOut, Len], Scalar, (4, 2);
    GET_CGROUP_CLASSID = 17, "get_cgroup_classid", [Ctx], Scalar, (4, 3);
    SKB_VLAN_PUSH = 18, "skb_vlan_push", [Ctx, Scalar, Scalar], Scalar, (4, 3);
    SKB_VLAN_POP = 19, "skb_vlan_pop", [Ctx], Scalar, (4, 3);
    SKB_GET_TUNNEL_KEY = 20, "skb_get_tunnel_key", [Ctx, MemOut, Len, Scalar], Scalar, (4, 3);
    SKB_SET_TUNNEL_KEY = 21, "skb_set_tunnel_key", [Ctx, MemIn, Len, Scalar], Scalar, (4, 3);
    PERF_EVENT_READ = 22, "perf_event_read", [Map, Scalar], Scalar, (4, 3);
    REDIRECT = 23, "redirect", [Scalar, Scalar], Scalar, (4, 4);
    GET_ROUTE_REALM = 24, "get_route_realm", [Ctx], Scalar, (4, 4);
    PERF_EVENT_OUTPUT = 25, "perf_event_output", [Ctx, Map, Scalar, MemIn, LenOrZero], Scalar, (4, 4);
    SKB_LOAD_BYTES = 26, "skb_load_bytes", [Ctx, Scalar, MemOut, Len], Scalar, (4, 5);
    GET_STACKID = 27, "get_stackid", [Ctx, Map, Scalar], Scalar, (4, 6);
    CSUM_DIFF = 28, "csum_diff", [MemInOrNull, LenOrZero, MemInOrNull, LenOrZero, Scalar], Scalar, (4, 6);
    SKB_GET_TUNNEL_OPT = 29, "skb_get_tunnel_opt", [Ctx, MemOut, Len], Scalar, (4, 6);
    SKB_SET_TUNNEL_OPT = 30, "skb_set_tunnel_opt", [Ctx, MemIn, Len], Scalar, (4, 6);
    SKB_CHANGE_PROTO = 31, "skb_change_proto", [Ctx, Scalar, Scalar], Scalar, (4, 8);
    SKB_CHANGE_TYPE = 32, "skb_change_type", [Ctx, Scalar], Scalar, (4, 8);
    SKB_UNDER_CGROUP = 33, "skb_under_cgroup", [Ctx, Map, Scalar], Scalar, (4, 8);
    GET_HASH_RECALC = 34, "get_hash_recalc", [Ctx], Scalar, (4, 8);
    GET_CURRENT_TASK = 35, "get_current_task", [], Scalar, (4, 8);
    PROBE_WRITE_USER = 36, "probe_write_user", [Addr, MemIn, Len], Scalar, (4, 8);
    CURRENT_TASK_UNDER_CGROUP = 37, "current_task_under_cgroup", [Map, Scalar], Scalar, (4, 9);
    SKB_CHANGE_TAIL = 38, "skb_change_tail", [Ctx, Scalar, Scalar], Scalar, (4, 9);
    SKB_PULL_DATA = 39, "skb_pull_data", [Ctx, Scalar], Scalar, (4, 9);
    CSUM_UPDATE = 40, "csum_update", [Ctx, Scalar], Scalar, (4, 9);
    SET_HASH_INVALID = 41, "set_hash_invalid", [Ctx], Void, (4, 9);
    GET_NUMA_NODE_ID = 42, "get_numa_node_id", [], Scalar, (4, 10);
    SKB_CHANGE_HEAD = 43, "skb_change_head", [Ctx, Scalar, Scalar], Scalar, (4, 10);
    XDP_ADJUST_HEAD = 44, "xdp_adjust_head", [Ctx, Scalar], Scalar, (4, 10);
    PROBE_READ_STR = 45, "probe_read_str", [MemOut, LenOrZero, Addr], Scalar, (4, 11);
    GET_SOCKET_COOKIE = 46, "get_socket_cookie", [Ctx], Scalar, (4, 12);
    GET_SOCKET_UID = 47, "get_socket_uid", [Ctx], Scalar, (4, 12);
    SET_HASH = 48, "set_hash", [Ctx, Scalar], Scalar, (4, 13);
    SETSOCKOPT = 49, "setsockopt", [Ctx, Scalar, Scalar, MemIn, Len], Scalar, (4, 13);
    SKB_ADJUST_ROOM = 50, "skb_adjust_room", [Ctx, Scalar, Scalar, Scalar], Scalar, (4, 13);
    REDIRECT_MAP = 51, "redirect_map", [Map, Scalar, Scalar], Scalar, (4, 14);
    SK_REDIRECT_MAP = 52, "sk_redirect_map", [Ctx, Map, Scalar, Scalar], Scalar, (4, 14);
    SOCK_MAP_UPDATE = 53, "sock_map_update", [Ctx, Map, MapKey, Scalar], Scalar, (4, 14);
    XDP_ADJUST_META = 54, "xdp_adjust_meta", [Ctx, Scalar], Scalar, (4, 15);
    PERF_EVENT_READ_VALUE = 55, "perf_event_read_value", [Map, Scalar, MemOut, Len], Scalar, (4, 15);
    PERF_PROG_READ_VALUE = 56, "perf_prog_read_value", [Ctx, MemOut, Len], Scalar, (4, 15);
    GETSOCKOPT = 57, "getsockopt", [Ctx, Scalar, Scalar, MemOut, Len], Scalar, (4, 15);
    OVERRIDE_RETURN = 58, "override_return", [Ctx, Scalar], Scalar, (4, 16);
    SOCK_OPS_CB_FLAGS_SET = 59, "sock_ops_cb_flags_set", [Ctx, Scalar], Scalar, (4, 16);
    MSG_REDIRECT_MAP = 60, "msg_redirect_map", [Ctx, Map, Scalar, Scalar], Scalar, (4, 17);
    MSG_APPLY_BYTES = 61, "msg_apply_bytes", [Ctx, Scalar], Scalar, (4, 17);
    MSG_CORK_BYTES = 62, "msg_cork_bytes", [Ctx, Scalar], Scalar, (4, 17);
    MSG_PULL_DATA = 63, "msg_pull_data", [Ctx, Scalar, Scalar, Scalar], Scalar, (4, 17);
    BIND = 64, "bind", [Ctx, MemIn, Len], Scalar, (4, 17);
    XDP_ADJUST_TAIL = 65, "xdp_adjust_tail", [Ctx, Scalar], Scalar, (4, 18);
    SKB_GET_XFRM_STATE = 66, "skb_get_xfrm_state", [Ctx, Scalar, MemOut, Len, Scalar], Scalar, (4, 18);
    GET_STACK = 67, "get_stack", [Ctx, MemOut, LenOrZero, Scalar], Scalar, (4, 18);
    SKB_LOAD_BYTES_RELATIVE = 68, "skb_load_bytes_relative", [Ctx, Scalar, MemOut, Len, Scalar], Scalar, (4, 18);
    FIB_LOOKUP = 69, "fib_lookup", [Ctx, MemIn, Len, Scalar], Scalar, (4, 18);
    SOCK_HASH_UPDATE = 70, "sock_hash_update", [Ctx, Map, MapKey, Scalar], Scalar, (4, 18);
    MSG_REDIRECT_HASH = 71, "msg_redirect_hash", [Ctx, Map, MapKey, Scalar], Scalar, (4, 18);
    SK_REDIRECT_HASH = 72, "sk_redirect_hash", [Ctx, Map, MapKey, Scalar], Scalar, (4, 18);
    LWT_PUSH_ENCAP = 73, "lwt_push_encap", [Ctx, Scalar, MemIn, Len], Scalar, (4, 18);
    LWT_SEG6_STORE_BYTES = 74, "lwt_seg6_store_bytes", [Ctx, Scalar, MemIn, Len], Scalar, (4, 18);
    LWT_SEG6_ADJUST_SRH = 75, "lwt_seg6_adjust_srh", [Ctx, Scalar, Scalar], Scalar, (4, 18);
    LWT_SEG6_ACTION = 76, "lwt_seg6_action", [Ctx, Scalar, MemIn, Len], Scalar, (4, 18);
    RC_REPEAT = 77, "rc_repeat", [Ctx], Scalar, (4, 18);
    RC_KEYDOWN = 78, "rc_keydown", [Ctx, Scalar, Scalar, Scalar], Scalar, (4, 18);
    SKB_CGROUP_ID = 79, "skb_cgroup_id", [Ctx], Scalar, (4, 18);
    GET_CURRENT_CGROUP_ID = 80, "get_current_cgroup_id", [], Scalar, (4, 18);
    GET_LOCAL_STORAGE = 81, "get_local_storage", [Map, Scalar], MemOrNull, (4, 19);
    SK_SELECT_REUSEPORT = 82, "sk_select_reuseport", [Ctx, Map, MapKey, Scalar], Scalar, (4, 19);
    SKB_ANCESTOR_CGROUP_ID = 83, "skb_ancestor_cgroup_id", [Ctx, Scalar], Scalar, (4, 19);
    SK_LOOKUP_TCP = 84, "sk_lookup_tcp", [Ctx, MemIn, Len, Scalar, Scalar], SocketOrNull, (4, 20);
    SK_LOOKUP_UDP = 85, "sk_lookup_udp", [Ctx, MemIn, Len, Scalar, Scalar], SocketOrNull, (4, 20);
    SK_RELEASE = 86, "sk_release", [Socket], Scalar, (4, 20);
    MAP_PUSH_ELEM = 87, "map_push_elem", [Map, MapValue, Scalar], Scalar, (4, 20);
    MAP_POP_ELEM = 88, "map_pop_elem", [Map, MapValueOut], Scalar, (4, 20);
    MAP_PEEK_ELEM = 89, "map_peek_elem", [Map, MapValueOut], Scalar, (4, 20);
    MSG_PUSH_DATA = 90, "msg_push_data", [Ctx, Scalar, Scalar, Scalar], Scalar, (4, 20);
    MSG_POP_DATA = 91, "msg_pop_data", [Ctx, Scalar, Scalar, Scalar], Scalar, (5, 0);
    RC_POINTER_REL = 92, "rc_pointer_rel", [Ctx, Scalar, Scalar], Scalar, (5, 0);
    SPIN_LOCK = 93, "spin_lock", [SpinLock], Void, (5, 1);
    SPIN_UNLOCK = 94, "spin_unlock", [SpinLock], Void, (5, 1);
    SK_FULLSOCK = 95, "sk_fullsock", [Socket], SocketOrNull, (5, 1);
    TCP_SOCK = 96, "tcp_sock", [Socket], SocketOrNull, (5, 1);
    SKB_ECN_SET_CE = 97, "skb_ecn_set_ce", [Ctx], Scalar, (5, 1);
    GET_LISTENER_SOCK = 98, "get_listener_sock", [Socket], SocketOrNull, (5, 1);
    SKC_LOOKUP_TCP = 99, "skc_lookup_tcp", [Ctx, MemIn, Len, Scalar, Scalar], SocketOrNull, (5, 2);
    TCP_CHECK_SYNCOOKIE = 100, "tcp_check_syncookie", [Socket, MemIn, Len, MemIn, Len], Scalar, (5, 2);
    SYSCTL_GET_NAME = 101, "sysctl_get_name", [Ctx, MemOut, Len, Scalar], Scalar, (5, 2);
    SYSCTL_GET_CURRENT_VALUE = 102, "sysctl_get_current_value", [Ctx, MemOut, Len], Scalar, (5, 2);
    SYSCTL_GET_NEW_VALUE = 103, "sysctl_get_new_value", [Ctx, MemOut, Len], Scalar, (5, 2);
    SYSCTL_SET_NEW_VALUE = 104, "sysctl_set_new_value", [Ctx, MemIn, Len], Scalar, (5, 2);
    STRTOL = 105, "strtol", [MemIn, Len, Scalar, Fixed(8)], Scalar, (5, 2);
    STRTOUL = 106, "strtoul", [MemIn, Len, Scalar, Fixed(8)], Scalar, (5, 2);
    SK_STORAGE_GET = 107, "sk_storage_get", [Map, Socket, MapValue, Scalar], MapValueOrNull, (5, 2);
    SK_STORAGE_DELETE = 108, "sk_storage_delete", [Map, Socket], Scalar, (5, 2);
    SEND_SIGNAL = 109, "send_signal", [Scalar], Scalar, (5, 3);
    TCP_GEN_SYNCOOKIE = 110, "tcp_gen_syncookie", [Socket, MemIn, Len, MemIn, Len], Scalar, (5, 4);
    SKB_OUTPUT = 111, "skb_output", [KernelPtr, Map, Scalar, MemIn, LenOrZero], Scalar, (5, 5);
    PROBE_READ_USER = 112, "probe_read_user", [MemOut, LenOrZero, Addr], Scalar, (5, 5);
    PROBE_READ_KERNEL = 113, "probe_read_kernel", [MemOut, LenOrZero, Addr], Scalar, (5, 5);
    PROBE_READ_USER_STR = 114, "probe_read_user_str", [MemOut, LenOrZero, Addr], Scalar, (5, 5);
    PROBE_READ_KERNEL_STR = 115, "probe_read_kernel_str", [MemOut, LenOrZero, Addr], Scalar, (5, 5);
    TCP_SEND_ACK = 116, "tcp_send_ack", [KernelPtr, Scalar], Scalar, (5, 6);
    SEND_SIGNAL_THREAD = 117, "send_signal_thread", [Scalar], Scalar, (5, 6);
    JIFFIES64 = 118, "jiffies64", [], Scalar, (5, 6);
    READ_BRANCH_RECORDS = 119, "read_branch_records", [Ctx, MemOutOrNull, LenOrZero, Scalar], Scalar, (5, 7);
    GET_NS_CURRENT_PID_TGID = 120, "get_ns_current_pid_tgid", [Scalar, Scalar, MemOut, Len], Scalar, (5, 7);
    XDP_OUTPUT = 121, "xdp_output", [KernelPtr, Map, Scalar, MemIn, LenOrZero], Scalar, (5, 7);
    GET_NETNS_COOKIE = 122, "get_netns_cookie", [Ctx], Scalar, (5, 7);
    GET_CURRENT_ANCESTOR_CGROUP_ID = 123, "get_current_ancestor_cgroup_id", [Scalar], Scalar, (5, 7);
    SK_ASSIGN = 124, "sk_assign", [Ctx, Socket, Scalar], Scalar, (5, 7);
    KTIME_GET_BOOT_NS = 125, "ktime_get_boot_ns", [], Scalar, (5, 8);
    SEQ_PRINTF = 126, "seq_printf", [KernelPtr, MemIn, Len, MemInOrNull, LenOrZero], Scalar, (5, 8);
    SEQ_WRITE = 127, "seq_write", [KernelPtr, MemIn, LenOrZero], Scalar, (5, 8);
    SK_CGROUP_ID = 128, "sk_cgroup_id", [Socket], Scalar, (5, 8);
    SK_ANCESTOR_CGROUP_ID = 129, "sk_ancestor_cgroup_id", [Socket, Scalar], Scalar, (5, 8);
    RINGBUF_OUTPUT = 130, "ringbuf_output", [Map, MemIn, LenOrZero, Scalar], Scalar, (5, 8);
    RINGBUF_RESERVE = 131, "ringbuf_reserve", [Map, Scalar, Scalar], RecordOrNull, (5, 8);
    RINGBUF_SUBMIT = 132, "ringbuf_submit", [Record, Scalar], Void, (5, 8);
    RINGBUF_DISCARD = 133, "ringbuf_discard", [Record, Scalar], Void, (5, 8);
    RINGBUF_QUERY = 134, "ringbuf_query", [Map, Scalar], Scalar, (5, 8);
    CSUM_LEVEL = 135, "csum_level", [Ctx, Scalar], Scalar, (5, 8);
    SKC_TO_TCP6_SOCK = 136, "skc_to_tcp6_sock", [Socket], KernelPtrOrNull, (5, 9);
    SKC_TO_TCP_SOCK = 137, "skc_to_tcp_sock", [Socket], KernelPtrOrNull, (5, 9);
    SKC_TO_TCP_TIMEWAIT_SOCK = 138, "skc_to_tcp_timewait_sock", [Socket], KernelPtrOrNull, (5, 9);
    SKC_TO_TCP_REQUEST_SOCK = 139, "skc_to_tcp_request_sock", [Socket], KernelPtrOrNull, (5, 9);
    SKC_TO_UDP6_SOCK = 140, "skc_to_udp6_sock", [Socket], KernelPtrOrNull, (5, 9);
    GET_TASK_STACK = 141, "get_task_stack", [KernelPtr, MemOut, LenOrZero, Scalar], Scalar, (5, 9);
    LOAD_HDR_OPT = 142, "load_hdr_opt", [Ctx, MemOut, Len, Scalar], Scalar, (5, 10);
    STORE_HDR_OPT = 143, "store_hdr_opt", [Ctx, MemIn, Len, Scalar], Scalar, (5, 10);
    RESERVE_HDR_OPT = 144, "reserve_hdr_opt", [Ctx, Scalar, Scalar], Scalar, (5, 10);
    INODE_STORAGE_GET = 145, "inode_storage_get", [Map, KernelPtr, MapValue, Scalar], MapValueOrNull, (5, 10);
    INODE_STORAGE_DELETE = 146, "inode_storage_delete", [Map, KernelPtr], Scalar, (5, 10);
    D_PATH = 147, "d_path", [KernelPtr, MemOut, LenOrZero], Scalar, (5, 10);
    COPY_FROM_USER = 148, "copy_from_user", [MemOut, LenOrZero, Addr], Scalar, (5, 10);
    SNPRINTF_BTF = 149, "snprintf_btf", [MemOut, Len, MemIn, Len, Scalar], Scalar, (5, 10);
    SEQ_PRINTF_BTF = 150, "seq_printf_btf", [KernelPtr, MemIn, Len, Scalar], Scalar, (5, 10);
    SKB_CGROUP_CLASSID = 151, "skb_cgroup_classid", [Ctx], Scalar, (5, 10);
    REDIRECT_NEIGH = 152, "redirect_neigh", [Scalar, MemIn, Len, Scalar], Scalar, (5, 10);
    PER_CPU_PTR = 153, "per_cpu_ptr", [KernelPtr, Scalar], MemOrNull, (5, 10);
    THIS_CPU_PTR = 154, "this_cpu_ptr", [KernelPtr], Mem, (5, 10);
    REDIRECT_PEER = 155, "redirect_peer", [Scalar, Scalar], Scalar, (5, 10);
    TASK_STORAGE_GET = 156, "task_storage_get", [Map, KernelPtr, MapValue, Scalar], MapValueOrNull, (5, 11);
    TASK_STORAGE_DELETE = 157, "task_storage_delete", [Map, KernelPtr], Scalar, (5, 11);
    GET_CURRENT_TASK_BTF = 158, "get_current_task_btf", [], KernelPtr, (5, 11);
    BPRM_OPTS_SET = 159, "bprm_opts_set", [KernelPtr, Scalar], Scalar, (5, 11);
    KTIME_GET_COARSE_NS = 160, "ktime_get_coarse_ns", [], Scalar, (5, 11);
    IMA_INODE_HASH = 161, "ima_inode_hash", [KernelPtr, MemOut, Len], Scalar, (5, 11);
    SOCK_FROM_FILE = 162, "sock_from_file", [KernelPtr], KernelPtrOrNull, (5, 11);
    CHECK_MTU = 163, "check_mtu", [Ctx, Scalar, Fixed(4), Scalar, Scalar], Scalar, (5, 12);
    FOR_EACH_MAP_ELEM = 164, "for_each_map_elem", [Map, Func, CallbackCtx, Scalar], Scalar, (5, 13);
    SNPRINTF = 165, "snprintf", [MemOutOrNull, LenOrZero, ConstStr, MemInOrNull, LenOrZero], Scalar, (5, 13);
    SYS_BPF = 166, "sys_bpf", [Scalar, MemIn, Len], Scalar, (5, 14);
    BTF_FIND_BY_NAME_KIND = 167, "btf_find_by_name_kind", [MemIn, Len, Scalar, Scalar], Scalar, (5, 14);
    SYS_CLOSE = 168, "sys_close", [Scalar], Scalar, (5, 14);
    TIMER_INIT = 169, "timer_init", [Timer, Map, Scalar], Scalar, (5, 15);
    TIMER_SET_CALLBACK = 170, "timer_set_callback", [Timer, Func], Scalar, (5, 15);
    TIMER_START = 171, "timer_start", [Timer, Scalar, Scalar], Scalar, (5, 15);
    TIMER_CANCEL = 172, "timer_cancel", [Timer], Scalar, (5, 15);
    GET_FUNC_IP = 173, "get_func_ip", [Ctx], Scalar, (5, 15);
    GET_ATTACH_COOKIE = 174, "get_attach_cookie", [Ctx], Scalar, (5, 15);
    TASK_PT_REGS = 175, "task_pt_regs", [KernelPtr], KernelPtr, (5, 15);
    GET_BRANCH_SNAPSHOT = 176, "get_branch_snapshot", [MemOut, LenOrZero, Scalar], Scalar, (5, 16);
    TRACE_VPRINTK = 177, "trace_vprintk", [MemIn, Len, MemInOrNull, LenOrZero], Scalar, (5, 16);
    SKC_TO_UNIX_SOCK = 178, "skc_to_unix_sock", [Socket], KernelPtrOrNull, (5, 16);
    KALLSYMS_LOOKUP_NAME = 179, "kallsyms_lookup_name", [MemIn, LenOrZero, Scalar, Fixed(8)], Scalar, (5, 16);
    FIND_VMA = 180, "find_vma", [KernelPtr, Scalar, Func, CallbackCtx, Scalar], Scalar, (5, 17);
    LOOP = 181, "loop", [Scalar, Func, CallbackCtx, Scalar], Scalar, (5, 17);
    STRNCMP = 182, "strncmp", [MemIn, Len, ConstStr], Scalar, (5, 17);
    GET_FUNC_ARG = 183, "get_func_arg", [Ctx, Scalar, Fixed(8)], Scalar, (5, 17);
    GET_FUNC_RET = 184, "get_func_ret", [Ctx, Fixed(8)], Scalar, (5, 17);
    GET_FUNC_ARG_CNT = 185, "get_func_arg_cnt", [Ctx], Scalar, (5, 17);
    GET_RETVAL = 186, "get_retval", [], Scalar, (5, 18);
    SET_RETVAL = 187, "set_retval", [Scalar], Scalar, (5, 18);
    XDP_GET_BUFF_LEN = 188, "xdp_get_buff_len", [Ctx], Scalar, (5, 18);
    XDP_LOAD_BYTES = 189, "xdp_load_bytes", [Ctx, Scalar, MemOut, Len], Scalar, (5, 18);
    XDP_STORE_BYTES = 190, "xdp_store_bytes", [Ctx, Scalar, MemIn, Len], Scalar, (5, 18);
    COPY_FROM_USER_TASK = 191, "copy_from_user_task", [MemOut, LenOrZero, Addr, KernelPtr, Scalar], Scalar, (5, 18);
    SKB_SET_TSTAMP = 192, "skb_set_tstamp", [Ctx, Scalar, Scalar], Scalar, (5, 18);
    IMA_FILE_HASH = 193, "ima_file_hash", [KernelPtr, MemOut, Len], Scalar, (5, 18);
    KPTR_XCHG = 194, "kptr_xchg", [KptrSlot, KernelPtr], KernelPtrOrNull, (5, 19);
    MAP_LOOKUP_PERCPU_ELEM = 195, "map_lookup_percpu_elem", [Map, MapKey, Scalar], MapValueOrNull, (5, 19);
    SKC_TO_MPTCP_SOCK = 196, "skc_to_mptcp_sock", [Socket], KernelPtrOrNull, (5, 19);
    DYNPTR_FROM_MEM = 197, "dynptr_from_mem", [MemOut, LenOrZero, Scalar, DynptrOut], Scalar, (5, 19);
    RINGBUF_RESERVE_DYNPTR = 198, "ringbuf_reserve_dynptr", [Map, Scalar, Scalar, DynptrOut], Scalar, (5, 19);
    RINGBUF_SUBMIT_DYNPTR = 199, "ringbuf_submit_dynptr", [Dynptr, Scalar], Void, (5, 19);
    RINGBUF_DISCARD_DYNPTR = 200, "ringbuf_discard_dynptr", [Dynptr, Scalar], Void, (5, 19);
    DYNPTR_READ = 201, "dynptr_read", [MemOut, LenOrZero, Dynptr, Scalar, Scalar], Scalar, (5, 19);
    DYNPTR_WRITE = 202, "dynptr_write", [Dynptr, Scalar, MemIn, LenOrZero, Scalar], Scalar, (5, 19);
    DYNPTR_DATA = 203, "dynptr_data", [Dynptr, Scalar, Scalar], MemOrNull, (5, 19);
    TCP_RAW_GEN_SYNCOOKIE_IPV4 = 204, "tcp_raw_gen_syncookie_ipv4", [Fixed(20), MemIn, Len], Scalar, (6, 0);
    TCP_RAW_GEN_SYNCOOKIE_IPV6 = 205, "tcp_raw_gen_syncookie_ipv6", [Fixed(40), MemIn, Len], Scalar, (6, 0);
    TCP_RAW_CHECK_SYNCOOKIE_IPV4 = 206, "tcp_raw_check_syncookie_ipv4", [Fixed(20), Fixed(20)], Scalar, (6, 0);
    TCP_RAW_CHECK_SYNCOOKIE_IPV6 = 207, "tcp_raw_check_syncookie_ipv6", [Fixed(40), Fixed(20)], Scalar, (6, 0);
    KTIME_GET_TAI_NS = 208, "ktime_get_tai_ns", [], Scalar, (6, 1);
    USER_RINGBUF_DRAIN = 209, "user_ringbuf_drain", [Map, Func, CallbackCtx, Scalar], Scalar, (6, 1);
    CGRP_STORAGE_GET = 210, "cgrp_storage_get", [Map, KernelPtr, MapValue, Scalar], MapValueOrNull, (6, 2);
    CGRP_STORAGE_DELETE = 211, "cgrp_storage_delete", [Map, KernelPtr], Scalar, (6, 2);
}

impl Helper {
    /// The row of the table; `None` for a number newer than it.
    pub fn row(self) -> Option<&'static HelperRow> {
        let index = usize::try_from(self.0).ok()?.checked_sub(1)?;
        HELPERS.get(index)
    }

    /// Name without `bpf_`.
    pub fn name(self) -> Option<&'static str> {
        self.row().map(|row| row.name)
    }

    /// The helper of a name, with or without `bpf_`.
    pub fn from_name(name: &str) -> Option<Helper> {
        let name = name.strip_prefix("bpf_").unwrap_or(name);
        HELPERS.iter().find(|row| row.name == name).map(|row| row.helper)
    }
}

impl fmt::Display for Helper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.pad(name),
            None => write!(f, "#{}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_numbered_from_one_and_names_lead_back() {
        assert_eq!(HELPERS.len(), 211);
        for (row, number) in HELPERS.iter().zip(1..) {
            assert_eq!(row.helper, Helper(number), "{}", row.name);
            assert_eq!(Helper::from_name(row.name), Some(row.helper));
            assert!(row.args.len() <= 5);
        }
        assert_eq!(Helper::from_name("bpf_loop"), Some(Helper::LOOP));
        assert_eq!(Helper(0).row(), None);
        assert_eq!(Helper(-1).row(), None);
        assert_eq!(Helper(212).to_string(), "#212");
    }

    #[test]
    fn lengths_follow_memory() {
        for row in HELPERS {
            for (at, arg) in row.args.iter().enumerate() {
                let sized = matches!(arg, Arg::MemIn | Arg::MemInOrNull | Arg::MemOut | Arg::MemOutOrNull);
                let next = row.args.get(at + 1);
                assert_eq!(
                    sized,
                    matches!(next, Some(Arg::Len | Arg::LenOrZero)),
                    "{} argument {at}",
                    row.name
                );
            }
        }
    }

    #[test]
    fn releases_never_decrease_by_more_than_backports_do() {
        assert!(HELPERS.windows(2).all(|pair| pair[0].since <= pair[1].since));
    }
}
