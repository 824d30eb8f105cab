//! What all units of a program share while it is written: maps, actions, source locations, counters.

use crate::typed::{DeclaredKind, MapIndex, MapInfo, Typed};
use crate::types::{Agg, Type};
use fathom_bpf::kinds::{map_flags, MapKind};
use fathom_codegen::ir::{MapId, SrcLoc};
use fathom_codegen::layout::Shape;
use fathom_codegen::program::{
    Action, ActionKind, Counter, Location, MapDef, MapRole, Presence, Program, RecordField, Unit, UserMap,
    ValueKind,
};
use fathom_syntax::source::SourceMap;
use fathom_syntax::span::{Expansions, Span};
use std::collections::HashMap;

/// Largest value of a per-CPU map (`PCPU_MIN_UNIT_SIZE` of the kernel).
const PERCPU_VALUE_MAX: u32 = 32 * 1024;

/// How a map of the script is kept.
#[derive(Clone, Debug)]
pub struct MapStore {
    /// The map.
    pub id: MapId,
    /// Type of the key; `None` for scalar maps.
    pub key: Option<Type>,
    /// Bytes of a key.
    pub key_size: u32,
    /// Bytes of a value, of which the u64 at `presence` tells whether a scalar map is set.
    pub value_size: u32,
    /// Offset of the presence flag of scalar maps.
    pub presence: Option<u32>,
    /// Each CPU has a value of its own.
    pub per_cpu: bool,
}

/// Maps, actions, locations of the program that is being written.
pub struct Output {
    maps: Vec<MapDef>,
    actions: Vec<Action>,
    locations: Vec<Location>,
    location_ids: HashMap<Span, SrcLoc>,
    by_name: HashMap<String, MapId>,
    user: HashMap<MapIndex, MapStore>,
    counters: Vec<Counter>,
    counters_map: Option<MapId>,
    scratch_size: u32,
    big_scratch_size: u32,
    /// The unit being written needs more scratch than a per-CPU map element can hold.
    pub(super) big: bool,
    unit_scratch: u32,
    constants: HashMap<(Vec<u8>, u32), MapId>,
}

impl Output {
    /// Nothing yet.
    pub(super) fn new() -> Output {
        Output {
            maps: Vec::new(),
            actions: Vec::new(),
            locations: Vec::new(),
            location_ids: HashMap::new(),
            by_name: HashMap::new(),
            user: HashMap::new(),
            counters: Vec::new(),
            counters_map: None,
            scratch_size: 0,
            big_scratch_size: 0,
            big: false,
            unit_scratch: 0,
            constants: HashMap::new(),
        }
    }

    /// Adds a map.
    pub fn add_map(&mut self, def: MapDef) -> MapId {
        self.maps.push(def);
        MapId(self.maps.len() as u32 - 1)
    }

    /// The map of this name that no script sees; made when first asked for.
    pub fn named_map(&mut self, name: &str, def: impl FnOnce() -> MapDef) -> MapId {
        if let Some(id) = self.by_name.get(name) {
            return *id;
        }
        let id = self.add_map(MapDef { name: name.to_string(), ..def() });
        self.by_name.insert(name.to_string(), id);
        id
    }

    /// A map made so far.
    pub fn map(&self, id: MapId) -> Option<&MapDef> {
        self.maps.get(id.0 as usize)
    }

    /// A read-only array with one value.
    pub fn constant_bytes(&mut self, bytes: &[u8], len: u32) -> MapId {
        let key = (bytes.to_vec(), len);
        if let Some(id) = self.constants.get(&key) {
            return *id;
        }
        let mut value = bytes.to_vec();
        value.resize(len as usize, 0);
        let id = self.read_only(&format!("const{}", self.constants.len()), 1, vec![value]);
        self.constants.insert(key, id);
        id
    }

    /// A read-only array with these values, all of one size.
    pub fn read_only(&mut self, name: &str, entries: u32, values: Vec<Vec<u8>>) -> MapId {
        let value_size = values.first().map_or(8, Vec::len) as u32;
        let init = values.into_iter().zip(0u32..).map(|(v, i)| (i.to_le_bytes().to_vec(), v)).collect();
        self.add_map(MapDef {
            name: name.to_string(),
            kind: MapKind::ARRAY,
            key_size: 4,
            value_size: value_size.max(1),
            max_entries: entries.max(1),
            flags: map_flags::BPF_F_RDONLY_PROG,
            role: MapRole::ReadOnly,
            init,
        })
    }

    /// A value of so many zero bytes that programs may read.
    pub fn zeros(&mut self, len: u32) -> MapId {
        let id = self.named_map("zeros", || MapDef {
            name: String::new(),
            kind: MapKind::ARRAY,
            key_size: 4,
            value_size: 8,
            max_entries: 1,
            flags: map_flags::BPF_F_RDONLY_PROG,
            role: MapRole::ReadOnly,
            init: Vec::new(),
        });
        if let Some(def) = self.maps.get_mut(id.0 as usize) {
            def.value_size = def.value_size.max(len.checked_next_multiple_of(8).unwrap_or(len));
        }
        id
    }

    /// An array of one u64 that is always 0, which the verifier can't know.
    pub fn unknown_zero(&mut self) -> MapId {
        self.named_map("zero", || MapDef {
            name: String::new(),
            kind: MapKind::ARRAY,
            key_size: 4,
            value_size: 8,
            max_entries: 1,
            flags: 0,
            role: MapRole::Internal,
            init: Vec::new(),
        })
    }

    /// The scratch map, and whether it is the one for large values (an array with an element for each unit and CPU).
    pub(super) fn scratch_map(&mut self) -> (MapId, bool) {
        let big = self.big;
        let (name, kind) =
            if big { ("bigscratch", MapKind::ARRAY) } else { ("scratch", MapKind::PERCPU_ARRAY) };
        let id = self.named_map(name, || MapDef {
            name: String::new(),
            kind,
            key_size: 4,
            value_size: 8,
            max_entries: 1,
            flags: 0,
            role: MapRole::Scratch,
            init: Vec::new(),
        });
        (id, big)
    }

    /// The unit being written uses this many bytes of scratch.
    pub(super) fn grow_scratch(&mut self, bytes: u32) {
        self.unit_scratch = self.unit_scratch.max(bytes);
    }

    /// A unit begins; gives what [`Output::rewind`] takes to undo it.
    pub(super) fn begin_unit(&mut self) -> usize {
        self.unit_scratch = 0;
        self.actions.len()
    }

    /// Forgets the unit that began there.
    pub(super) fn rewind(&mut self, actions: usize) {
        self.actions.truncate(actions);
        self.unit_scratch = 0;
    }

    /// Bytes of scratch that the unit used, if they are more than its scratch map can hold.
    pub(super) fn scratch_overflow(&self) -> Option<u32> {
        let limit = if self.big { 1 << 22 } else { PERCPU_VALUE_MAX };
        (self.unit_scratch > limit).then_some(self.unit_scratch)
    }

    /// The unit is written.
    pub(super) fn end_unit(&mut self) {
        let size = if self.big { &mut self.big_scratch_size } else { &mut self.scratch_size };
        *size = (*size).max(self.unit_scratch);
    }

    /// The stacks map for stacks of at most `frames` frames.
    pub fn stacks_map(&mut self, frames: u32, build_id: bool) -> MapId {
        let name = if build_id { format!("bstacks{frames}") } else { format!("stacks{frames}") };
        let entry = if build_id { 32 } else { 8 };
        self.named_map(&name, || MapDef {
            name: String::new(),
            kind: MapKind::HASH,
            key_size: 8,
            value_size: frames.saturating_mul(entry).saturating_add(8),
            max_entries: 65536,
            flags: map_flags::BPF_F_NO_PREALLOC,
            role: MapRole::Stacks { frames, build_id },
            init: Vec::new(),
        })
    }

    /// The buffer of records: a ring buffer, or a perf buffer where the kernel has no ring buffers.
    pub fn events_map(&mut self, ring: bool) -> MapId {
        self.named_map("events", || MapDef {
            name: String::new(),
            kind: if ring { MapKind::RINGBUF } else { MapKind::PERF_EVENT_ARRAY },
            key_size: if ring { 0 } else { 4 },
            value_size: if ring { 0 } else { 4 },
            max_entries: 0,
            flags: 0,
            role: MapRole::Events,
            init: Vec::new(),
        })
    }

    /// The map of counters and the offset of one; made when first asked for.
    pub fn counter(&mut self, counter: &Counter) -> (MapId, u32) {
        let slot = match self.counters.iter().position(|c| c == counter) {
            Some(i) => i,
            None => {
                self.counters.push(counter.clone());
                self.counters.len() - 1
            }
        };
        let id = match self.counters_map {
            Some(id) => id,
            None => {
                let id = self.add_map(MapDef {
                    name: "counters".into(),
                    kind: MapKind::ARRAY,
                    key_size: 4,
                    value_size: 8,
                    max_entries: 1,
                    flags: 0,
                    role: MapRole::Counters(Vec::new()),
                    init: Vec::new(),
                });
                self.counters_map = Some(id);
                id
            }
        };
        (id, slot as u32 * 8)
    }

    /// Adds an action; gives its index.
    pub fn add_action(&mut self, action: Action) -> u32 {
        // Errors of one place share an action.
        let same = |a: &Action| {
            a.clause == action.clause
                && a.loc == action.loc
                && a.kind == action.kind
                && a.fields == action.fields
        };
        if let Some(i) = self.actions.iter().position(same) {
            return i as u32;
        }
        self.actions.push(action);
        self.actions.len() as u32 - 1
    }

    /// An action whose record has one i64 at offset 8.
    pub(super) fn number_action(&mut self, kind: ActionKind, loc: SrcLoc, clause: u32) -> u32 {
        let fields = vec![RecordField { offset: 8, shape: Shape::Int { size: 8, signed: true } }];
        self.add_action(Action { fixed_size: 16, fields, kind, loc, clause })
    }

    /// The location of a span.
    pub fn location(&mut self, sources: &SourceMap, expansions: &Expansions, span: Span) -> SrcLoc {
        if let Some(loc) = self.location_ids.get(&span) {
            return *loc;
        }
        let mut location = place_of(sources, span);
        let calls = expansions.chain(span.expansion);
        location.expanded_from = calls.iter().map(|e| place_of(sources, e.call)).collect();
        self.locations.push(location);
        let loc = SrcLoc(self.locations.len() as u32 - 1);
        self.location_ids.insert(span, loc);
        loc
    }

    /// How a map of the script is kept.
    pub fn user_map(&self, index: MapIndex) -> Option<&MapStore> {
        self.user.get(&index)
    }

    /// Adds a map of the script. `key` and `value` are its shapes; sizes in bytes.
    pub(super) fn add_user_map(
        &mut self,
        index: MapIndex,
        info: &MapInfo,
        key: Option<(Shape, u32)>,
        value: ValueKind,
        value_size: u32,
        entries: u32,
    ) {
        let aggregates = info.agg().is_some();
        let (kind, entries, flags) = match (&info.declared, &key) {
            (Some((declared, entries)), Some(_)) => {
                let (kind, flags) = match declared {
                    DeclaredKind::Hash => (MapKind::HASH, map_flags::BPF_F_NO_PREALLOC),
                    DeclaredKind::PercpuHash => (MapKind::PERCPU_HASH, map_flags::BPF_F_NO_PREALLOC),
                    DeclaredKind::LruHash => (MapKind::LRU_HASH, 0),
                    DeclaredKind::PercpuLruHash => (MapKind::LRU_PERCPU_HASH, 0),
                };
                (kind, *entries, flags)
            }
            (None, Some(_)) if aggregates => (MapKind::PERCPU_HASH, entries, map_flags::BPF_F_NO_PREALLOC),
            (None, Some(_)) => (MapKind::HASH, entries, map_flags::BPF_F_NO_PREALLOC),
            (_, None) if aggregates => (MapKind::PERCPU_ARRAY, 1, 0),
            (_, None) => (MapKind::ARRAY, 1, 0),
        };
        let mut value_size = value_size.max(1).checked_next_multiple_of(8).unwrap_or(u32::MAX);
        // A per-CPU value that the kernel can't allocate is shared by the CPUs instead.
        let kind = match kind {
            MapKind::PERCPU_ARRAY if value_size > PERCPU_VALUE_MAX - 8 => MapKind::ARRAY,
            MapKind::PERCPU_HASH if value_size > PERCPU_VALUE_MAX => MapKind::HASH,
            MapKind::LRU_PERCPU_HASH if value_size > PERCPU_VALUE_MAX => MapKind::LRU_HASH,
            kind => kind,
        };
        let presence = match (&key, info.agg()) {
            (Some(_), _) => None,
            (
                None,
                Some(
                    Agg::Sum { .. } | Agg::Min { .. } | Agg::Max { .. } | Agg::Avg { .. } | Agg::Stats { .. },
                ),
            ) => Some(8),
            (None, Some(Agg::Count)) => Some(0),
            (None, _) => {
                let at = value_size;
                value_size = value_size.saturating_add(8);
                Some(at)
            }
        };
        let per_cpu = kind.is_percpu();
        let key_size = key.as_ref().map_or(4, |k| k.1.max(1));
        let id = self.add_map(MapDef {
            name: info.name.clone(),
            kind,
            key_size,
            value_size,
            max_entries: entries.max(1),
            flags,
            role: MapRole::User(UserMap {
                key: key.map(|k| k.0),
                value,
                per_cpu,
                presence: presence.map_or(Presence::Always, Presence::NonZero),
            }),
            init: Vec::new(),
        });
        let key = info.key.clone();
        self.user.insert(index, MapStore { id, key, key_size, value_size, presence, per_cpu });
    }

    /// The program.
    pub(super) fn finish(mut self, units: Vec<Unit>, typed: &Typed, cpus: u32) -> Program {
        let count = units.len() as u32;
        for (name, size, per_unit) in
            [("scratch", self.scratch_size, 1), ("bigscratch", self.big_scratch_size, cpus)]
        {
            if let Some(def) = self.by_name.get(name).and_then(|id| self.maps.get_mut(id.0 as usize)) {
                def.value_size = size.max(8);
                def.max_entries = count.max(1).saturating_mul(per_unit.max(1));
            }
        }
        if let Some(def) = self.counters_map.and_then(|id| self.maps.get_mut(id.0 as usize)) {
            def.value_size = (self.counters.len() as u32).max(1).saturating_mul(8);
            def.role = MapRole::Counters(self.counters);
        }
        Program {
            units,
            maps: self.maps,
            actions: self.actions,
            locations: self.locations,
            settings: typed.config.settings(),
        }
    }
}

fn place_of(sources: &SourceMap, span: Span) -> Location {
    let (start, end) = (sources.start(span), sources.end(span));
    let text = sources.file(span.file).map_or("", |f| f.line(start.line));
    let column_end = if end.line == start.line { end.column } else { text.len() + 1 };
    let (text, text_column) = window(text, start.column);
    Location {
        file: sources.name(span).to_string(),
        line: start.line as u32,
        column: start.column as u32,
        column_end: column_end as u32,
        text: text.to_string(),
        text_column: text_column as u32,
        expanded_from: Vec::new(),
    }
}

/// A line, or the part of a long one around a column, with the column that it begins at: a script may be one line of a megabyte.
fn window(line: &str, column: usize) -> (&str, usize) {
    const WHOLE: usize = 512;
    const BEFORE: usize = 100;
    const BEHIND: usize = 200;
    if line.len() <= WHOLE {
        return (line, 1);
    }
    let boundary = |mut at: usize| {
        at = at.min(line.len());
        while !line.is_char_boundary(at) {
            at -= 1;
        }
        at
    };
    let from = boundary(column.saturating_sub(BEFORE));
    let to = boundary(column.saturating_add(BEHIND));
    (line.get(from..to).unwrap_or(""), from + 1)
}
