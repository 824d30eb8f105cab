//! The argument structs of bpf(2) and perf_event_open(2), as `include/uapi/linux/{bpf,perf_event}.h` lay them out.
//!
//! Every padding is a named field, so that no uninitialised byte reaches the kernel (it refuses non-zero bytes behind
//! the fields it knows). Structs may be longer than an old kernel's as long as the new fields are zero.
#![allow(missing_docs, reason = "fields carry the kernel's names; the header documents them")]

/// Commands of bpf(2) (`enum bpf_cmd`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i32)]
pub enum Cmd {
    MapCreate = 0,
    MapLookupElem = 1,
    MapUpdateElem = 2,
    MapDeleteElem = 3,
    MapGetNextKey = 4,
    ProgLoad = 5,
    ObjPin = 6,
    ObjGet = 7,
    ProgTestRun = 10,
    ProgGetNextId = 11,
    MapGetNextId = 12,
    ProgGetFdById = 13,
    MapGetFdById = 14,
    ObjGetInfoByFd = 15,
    RawTracepointOpen = 17,
    BtfLoad = 18,
    BtfGetFdById = 19,
    MapLookupAndDeleteElem = 21,
    MapFreeze = 22,
    BtfGetNextId = 23,
    MapLookupBatch = 24,
    MapLookupAndDeleteBatch = 25,
    MapDeleteBatch = 27,
    LinkCreate = 28,
    LinkGetFdById = 30,
    LinkGetNextId = 31,
    EnableStats = 32,
    IterCreate = 33,
}

#[derive(Debug, Clone, Copy, Default)]
#[repr(C)]
pub struct MapCreate {
    pub map_type: u32,
    pub key_size: u32,
    pub value_size: u32,
    pub max_entries: u32,
    pub map_flags: u32,
    pub inner_map_fd: u32,
    pub numa_node: u32,
    pub map_name: [u8; 16],
    pub map_ifindex: u32,
    pub btf_fd: u32,
    pub btf_key_type_id: u32,
    pub btf_value_type_id: u32,
    pub btf_vmlinux_value_type_id: u32,
    pub map_extra: u64,
}

#[derive(Debug, Clone, Copy, Default)]
#[repr(C)]
pub struct MapElem {
    pub map_fd: u32,
    pub pad: u32,
    pub key: u64,
    /// Value, or next key for `MapGetNextKey`.
    pub value: u64,
    pub flags: u64,
}

#[derive(Debug, Clone, Copy, Default)]
#[repr(C)]
pub struct MapBatch {
    pub in_batch: u64,
    pub out_batch: u64,
    pub keys: u64,
    pub values: u64,
    pub count: u32,
    pub map_fd: u32,
    pub elem_flags: u64,
    pub flags: u64,
}

#[derive(Debug, Clone, Copy, Default)]
#[repr(C)]
pub struct ProgLoad {
    pub prog_type: u32,
    pub insn_cnt: u32,
    pub insns: u64,
    pub license: u64,
    pub log_level: u32,
    pub log_size: u32,
    pub log_buf: u64,
    pub kern_version: u32,
    pub prog_flags: u32,
    pub prog_name: [u8; 16],
    pub prog_ifindex: u32,
    pub expected_attach_type: u32,
    pub prog_btf_fd: u32,
    pub func_info_rec_size: u32,
    pub func_info: u64,
    pub func_info_cnt: u32,
    pub line_info_rec_size: u32,
    pub line_info: u64,
    pub line_info_cnt: u32,
    pub attach_btf_id: u32,
    /// `attach_prog_fd` or `attach_btf_obj_fd`.
    pub attach_fd: u32,
    pub core_relo_cnt: u32,
    pub fd_array: u64,
    pub core_relos: u64,
    pub core_relo_rec_size: u32,
    pub log_true_size: u32,
}

#[derive(Debug, Clone, Copy, Default)]
#[repr(C)]
pub struct Obj {
    pub pathname: u64,
    pub bpf_fd: u32,
    pub file_flags: u32,
}

#[derive(Debug, Clone, Copy, Default)]
#[repr(C)]
pub struct TestRun {
    pub prog_fd: u32,
    pub retval: u32,
    pub data_size_in: u32,
    pub data_size_out: u32,
    pub data_in: u64,
    pub data_out: u64,
    pub repeat: u32,
    pub duration: u32,
    pub ctx_size_in: u32,
    pub ctx_size_out: u32,
    pub ctx_in: u64,
    pub ctx_out: u64,
    pub flags: u32,
    pub cpu: u32,
}

#[derive(Debug, Clone, Copy, Default)]
#[repr(C)]
pub struct GetId {
    /// Start id, or the id to open.
    pub id: u32,
    pub next_id: u32,
    pub open_flags: u32,
}

#[derive(Debug, Clone, Copy, Default)]
#[repr(C)]
pub struct Info {
    pub bpf_fd: u32,
    pub info_len: u32,
    pub info: u64,
}

#[derive(Debug, Clone, Copy, Default)]
#[repr(C)]
pub struct BtfLoad {
    pub btf: u64,
    pub btf_log_buf: u64,
    pub btf_size: u32,
    pub btf_log_size: u32,
    pub btf_log_level: u32,
    pub btf_log_true_size: u32,
}

#[derive(Debug, Clone, Copy, Default)]
#[repr(C)]
pub struct RawTracepoint {
    pub name: u64,
    pub prog_fd: u32,
    pub pad: u32,
    /// Since 6.10; must be 0 before.
    pub cookie: u64,
}

/// `link_create` without a union member.
#[derive(Debug, Clone, Copy, Default)]
#[repr(C)]
pub struct LinkHead {
    pub prog_fd: u32,
    pub target_fd: u32,
    pub attach_type: u32,
    pub flags: u32,
}

#[derive(Debug, Clone, Copy, Default)]
#[repr(C)]
pub struct LinkTracing {
    pub head: LinkHead,
    pub target_btf_id: u32,
    pub pad: u32,
    pub cookie: u64,
}

#[derive(Debug, Clone, Copy, Default)]
#[repr(C)]
pub struct LinkIter {
    pub head: LinkHead,
    pub iter_info: u64,
    pub iter_info_len: u32,
    pub pad: u32,
}

#[derive(Debug, Clone, Copy, Default)]
#[repr(C)]
pub struct LinkPerfEvent {
    pub head: LinkHead,
    pub cookie: u64,
}

#[derive(Debug, Clone, Copy, Default)]
#[repr(C)]
pub struct LinkKprobeMulti {
    pub head: LinkHead,
    pub flags: u32,
    pub cnt: u32,
    pub syms: u64,
    pub addrs: u64,
    pub cookies: u64,
}

#[derive(Debug, Clone, Copy, Default)]
#[repr(C)]
pub struct LinkUprobeMulti {
    pub head: LinkHead,
    pub path: u64,
    pub offsets: u64,
    pub ref_ctr_offsets: u64,
    pub cookies: u64,
    pub cnt: u32,
    pub flags: u32,
    pub pid: u32,
    pub pad: u32,
}

/// `struct bpf_prog_info` up to `verified_insns` (5.16); the kernel fills as much as both sides know.
#[derive(Debug, Clone, Copy, Default)]
#[repr(C)]
pub struct ProgInfo {
    pub prog_type: u32,
    pub id: u32,
    pub tag: [u8; 8],
    pub jited_prog_len: u32,
    pub xlated_prog_len: u32,
    pub jited_prog_insns: u64,
    pub xlated_prog_insns: u64,
    pub load_time: u64,
    pub created_by_uid: u32,
    pub nr_map_ids: u32,
    pub map_ids: u64,
    pub name: [u8; 16],
    pub ifindex: u32,
    pub gpl_compatible: u32,
    pub netns_dev: u64,
    pub netns_ino: u64,
    pub nr_jited_ksyms: u32,
    pub nr_jited_func_lens: u32,
    pub jited_ksyms: u64,
    pub jited_func_lens: u64,
    pub btf_id: u32,
    pub func_info_rec_size: u32,
    pub func_info: u64,
    pub nr_func_info: u32,
    pub nr_line_info: u32,
    pub line_info: u64,
    pub jited_line_info: u64,
    pub nr_jited_line_info: u32,
    pub line_info_rec_size: u32,
    pub jited_line_info_rec_size: u32,
    pub nr_prog_tags: u32,
    pub prog_tags: u64,
    pub run_time_ns: u64,
    pub run_cnt: u64,
    pub recursion_misses: u64,
    pub verified_insns: u32,
    pub attach_btf_obj_id: u32,
    pub attach_btf_id: u32,
    pub pad: u32,
}

/// `struct bpf_map_info`.
#[derive(Debug, Clone, Copy, Default)]
#[repr(C)]
pub struct MapInfo {
    pub map_type: u32,
    pub id: u32,
    pub key_size: u32,
    pub value_size: u32,
    pub max_entries: u32,
    pub map_flags: u32,
    pub name: [u8; 16],
    pub ifindex: u32,
    pub btf_vmlinux_value_type_id: u32,
    pub netns_dev: u64,
    pub netns_ino: u64,
    pub btf_id: u32,
    pub btf_key_type_id: u32,
    pub btf_value_type_id: u32,
    pub btf_vmlinux_id: u32,
    pub map_extra: u64,
}

/// `struct bpf_btf_info`.
#[derive(Debug, Clone, Copy, Default)]
#[repr(C)]
pub struct BtfInfo {
    pub btf: u64,
    pub btf_size: u32,
    pub id: u32,
    pub name: u64,
    pub name_len: u32,
    pub kernel_btf: u32,
}

/// `struct bpf_link_info`: the head, and the union as words (its meaning depends on the kind).
#[derive(Debug, Clone, Copy, Default)]
#[repr(C)]
pub struct LinkInfo {
    pub kind: u32,
    pub id: u32,
    pub prog_id: u32,
    pub pad: u32,
    pub body: [u64; 8],
}

/// `struct perf_event_attr`, version 7 (128 bytes).
#[derive(Debug, Clone, Copy, Default)]
#[repr(C)]
pub struct PerfEventAttr {
    pub kind: u32,
    pub size: u32,
    pub config: u64,
    /// Period or frequency.
    pub sample_period: u64,
    pub sample_type: u64,
    pub read_format: u64,
    /// The bit field `disabled`, `inherit`, ...: see [`perf_flag`].
    pub flags: u64,
    /// `wakeup_events` or `wakeup_watermark`.
    pub wakeup: u32,
    pub bp_type: u32,
    /// `bp_addr`, `kprobe_func`, `uprobe_path`, `config1`.
    pub config1: u64,
    /// `bp_len`, `kprobe_addr`, `probe_offset`, `config2`.
    pub config2: u64,
    pub branch_sample_type: u64,
    pub sample_regs_user: u64,
    pub sample_stack_user: u32,
    pub clockid: i32,
    pub sample_regs_intr: u64,
    pub aux_watermark: u32,
    pub sample_max_stack: u16,
    pub reserved_2: u16,
    pub aux_sample_size: u32,
    pub reserved_3: u32,
    pub sig_data: u64,
}

/// Bits of `PerfEventAttr::flags`.
pub mod perf_flag {
    pub const DISABLED: u64 = 1;
    pub const INHERIT: u64 = 1 << 1;
    /// Only to threads, not to processes (5.13).
    pub const INHERIT_THREAD: u64 = 1 << 35;
    pub const EXCLUDE_USER: u64 = 1 << 4;
    pub const EXCLUDE_KERNEL: u64 = 1 << 5;
    pub const EXCLUDE_HV: u64 = 1 << 6;
    pub const MMAP: u64 = 1 << 8;
    pub const COMM: u64 = 1 << 9;
    pub const FREQ: u64 = 1 << 10;
    pub const TASK: u64 = 1 << 13;
    pub const WATERMARK: u64 = 1 << 14;
    pub const SAMPLE_ID_ALL: u64 = 1 << 18;
    pub const MMAP2: u64 = 1 << 23;
    pub const COMM_EXEC: u64 = 1 << 24;
    pub const USE_CLOCKID: u64 = 1 << 25;
    pub const BUILD_ID: u64 = 1 << 34;
}

/// Bits of `PerfEventAttr::sample_type`.
pub mod perf_sample {
    pub const TID: u64 = 1 << 1;
    pub const TIME: u64 = 1 << 2;
    pub const CPU: u64 = 1 << 7;
    pub const RAW: u64 = 1 << 10;
}

/// Requests of ioctl(2) on a perf event.
pub mod perf_ioc {
    pub const ENABLE: u64 = 0x2400;
    pub const DISABLE: u64 = 0x2401;
    pub const RESET: u64 = 0x2403;
    pub const PERIOD: u64 = 0x4008_2404;
    pub const ID: u64 = 0x8008_2407;
    pub const SET_BPF: u64 = 0x4004_2408;
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::mem::{offset_of, size_of};

    /// Sizes and offsets taken from the uapi headers: a wrong one would hand the kernel shifted fields.
    #[test]
    fn layouts_are_those_of_the_headers() {
        assert_eq!(size_of::<MapCreate>(), 72);
        assert_eq!(offset_of!(MapCreate, map_extra), 64);
        assert_eq!(offset_of!(MapBatch, count), 32);
        assert_eq!(size_of::<MapBatch>(), 56);
        assert_eq!(offset_of!(ProgLoad, prog_name), 48);
        assert_eq!(offset_of!(ProgLoad, attach_btf_id), 108);
        assert_eq!(offset_of!(ProgLoad, fd_array), 120);
        assert_eq!(size_of::<ProgLoad>(), 144);
        assert_eq!(size_of::<TestRun>(), 72);
        assert_eq!(size_of::<RawTracepoint>(), 24);
        assert_eq!(offset_of!(LinkTracing, cookie), 24);
        assert_eq!(offset_of!(LinkKprobeMulti, syms), 24);
        assert_eq!(offset_of!(LinkUprobeMulti, path), 16);
        assert_eq!(offset_of!(LinkUprobeMulti, cnt), 48);
        assert_eq!(offset_of!(ProgInfo, run_time_ns), 192);
        assert_eq!(size_of::<ProgInfo>(), 232);
        assert_eq!(offset_of!(MapInfo, map_extra), 80);
        assert_eq!(size_of::<BtfInfo>(), 32);
        assert_eq!(size_of::<PerfEventAttr>(), 128);
    }
}
