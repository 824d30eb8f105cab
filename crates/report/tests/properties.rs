//! Properties that hold of any value, map and format.

use fathom_report::{
    Field, Format, Frame, Hist, JsonOutput, Lhist, MapData, MapKind, MapValue, Num, Output, PrintArgs, Stack,
    StackMode, Stats, TextOutput, TimeSeries, Value,
};
use proptest::prelude::*;

fn stack() -> impl Strategy<Value = Stack> {
    let frame = (any::<u64>(), proptest::option::of(".{0,6}"), any::<u64>(), any::<bool>()).prop_map(
        |(address, symbol, offset, inlined)| Frame {
            address,
            symbol: symbol.map(Into::into),
            offset,
            inlined,
            ..Frame::default()
        },
    );
    let mode = prop_oneof![
        Just(StackMode::Bpftrace),
        Just(StackMode::Perf),
        Just(StackMode::Raw),
        Just(StackMode::BuildId)
    ];
    (proptest::collection::vec(frame, 0..4), mode).prop_map(|(frames, mode)| Stack { frames, mode })
}

fn value() -> impl Strategy<Value = Value> {
    let bytes = proptest::collection::vec(any::<u8>(), 0..12);
    let leaf = prop_oneof![
        Just(Value::None),
        any::<i64>().prop_map(Value::Int),
        any::<u64>().prop_map(Value::Uint),
        any::<u64>().prop_map(Value::Ptr),
        any::<bool>().prop_map(Value::Bool),
        bytes.clone().prop_map(Value::Str),
        bytes.prop_map(Value::Buffer),
        ".{0,8}".prop_map(Value::Text),
        (proptest::option::of("[A-Z_]{1,4}"), any::<i64>())
            .prop_map(|(name, v)| Value::Enum { name: name.map(Into::into), value: Num::I(v) }),
        stack().prop_map(Value::Stack),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        let items = proptest::collection::vec(inner.clone(), 0..4);
        prop_oneof![
            items.clone().prop_map(Value::Array),
            items.prop_map(Value::Tuple),
            proptest::collection::vec(("[a-z\"]{1,3}".prop_map(Into::into), inner), 0..4)
                .prop_map(Value::Record),
        ]
    })
}

fn map() -> impl Strategy<Value = MapData> {
    let stats = (any::<u64>(), any::<i64>()).prop_map(|(count, total)| Stats { count, total: Num::I(total) });
    let counts = proptest::collection::vec(any::<u64>(), 0..2000);
    let series = (
        any::<u64>(),
        any::<i64>(),
        any::<i32>(),
        proptest::collection::vec(proptest::option::of(any::<i64>()), 0..5),
    )
        .prop_map(|(interval_ns, start_ns, utc_offset_s, values)| TimeSeries {
            interval_ns,
            start_ns,
            utc_offset_s,
            values: values.into_iter().map(|v| v.map(Num::I)).collect(),
        });
    let entry = prop_oneof![
        value().prop_map(|v| (MapKind::Plain, MapValue::Plain(v))),
        any::<u64>().prop_map(|v| (MapKind::Count, MapValue::Int(Num::U(v)))),
        stats.clone().prop_map(|s| (MapKind::Avg, MapValue::Avg(s))),
        stats.prop_map(|s| (MapKind::Stats, MapValue::Stats(s))),
        (any::<u8>(), counts.clone())
            .prop_map(|(k, counts)| (MapKind::Hist, MapValue::Hist(Hist { k, counts }))),
        (any::<i64>(), any::<i64>(), any::<u64>(), counts).prop_map(|(min, max, step, counts)| {
            (MapKind::Lhist, MapValue::Lhist(Lhist { min, max, step, counts }))
        }),
        series.prop_map(|s| (MapKind::Tseries, MapValue::Tseries(s))),
    ];
    (any::<bool>(), proptest::collection::vec((value(), entry), 0..4)).prop_map(|(keyed, entries)| {
        let kind = entries.first().map_or(MapKind::Plain, |e| e.1 .0);
        let entries = entries.into_iter().map(|(k, (_, v))| (k, v)).collect();
        MapData { name: "@m".into(), keyed, kind, entries }
    })
}

fn parses(text: &[u8]) -> bool {
    text.split(|&b| b == b'\n')
        .filter(|line| !line.is_empty())
        .all(|line| serde_json::from_slice::<serde_json::Value>(line).is_ok_and(|v| v["type"].is_string()))
}

proptest! {
    #[test]
    fn json_always_parses(value in value(), map in map(), top in any::<u64>(), div in any::<u64>()) {
        let mut json = JsonOutput::new(Vec::new());
        json.value(&value).expect("written");
        json.map(&map, PrintArgs { top, div }).expect("written");
        let text = json.into_inner();
        prop_assert!(parses(&text), "{}", String::from_utf8_lossy(&text));
    }

    #[test]
    fn text_takes_anything(value in value(), map in map(), top in any::<u64>(), div in any::<u64>()) {
        let mut text = TextOutput::new(Vec::new(), Vec::new());
        text.value(&value).expect("written");
        text.map(&map, PrintArgs { top, div }).expect("written");
        prop_assert!(text.into_inner().0.ends_with(b"\n"));
    }

    #[test]
    fn strings_come_back(text in proptest::collection::vec(any::<u8>(), 0..40)) {
        let mut json = JsonOutput::new(Vec::new());
        json.printf(&text).expect("written");
        let line: serde_json::Value = serde_json::from_slice(&json.into_inner()).expect("JSON");
        match std::str::from_utf8(&text) {
            Ok(text) => prop_assert_eq!(line["data"].as_str(), Some(text)),
            Err(_) => prop_assert!(line["data"].is_string()),
        }
    }

    #[test]
    fn no_format_panics(text in "[-%+ #0-9.*hljztdiuoxXcpsrg]{0,12}", args in proptest::collection::vec(value(), 0..4)) {
        let mut out = Vec::new();
        match Format::parse(&text) {
            Ok(format) => format.render(&args, &mut out),
            Err(error) => prop_assert!(error.offset + error.len <= text.len()),
        }
    }

    #[test]
    fn numbers_agree_with_the_standard_library(v in any::<i64>(), width in 1usize..30) {
        let text = |format: String| {
            let mut out = Vec::new();
            Format::parse(&format).expect("a format").render_fields(&[Field::Int(v)], &mut out);
            String::from_utf8(out).expect("ASCII")
        };
        prop_assert_eq!(text(format!("%{width}ld")), format!("{v:width$}"));
        prop_assert_eq!(text(format!("%0{width}ld")), format!("{v:0width$}"));
        prop_assert_eq!(text(format!("%-{width}lx")), format!("{v:<width$x}"));
        prop_assert_eq!(text("%u".into()), format!("{}", v as u32));
        prop_assert_eq!(text("%hhd".into()), format!("{}", v as i8));
    }
}
