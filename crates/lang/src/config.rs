//! Settings of a script: one row per key, with its default, how a value is read, and its documentation.

use fathom_codegen::layout::StackMode;
use fathom_codegen::program::Settings;
use fathom_syntax::ast::{Config as ConfigBlock, ConfigValue};
use fathom_syntax::diag::Diagnostic;

/// What to do with attach points that match nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum MissingProbes {
    /// The script does not start.
    #[default]
    Error,
    /// A warning, and the attach point is left out.
    Warn,
    /// The attach point is left out.
    Ignore,
}

/// How far a feature that may still change is open to scripts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unstable {
    /// Using it is an error.
    Error,
    /// Using it gives a warning.
    Warn,
    /// It may be used.
    Enable,
}

/// How user symbols are remembered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SymbolCache {
    /// One table per program file.
    PerProgram,
    /// One table per process.
    PerPid,
    /// Nothing is kept.
    None,
}

/// All settings with their values.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// `None`: by the circumstances of the run.
    pub cache_user_symbols: Option<SymbolCache>,
    /// Demangle C++ and Rust names.
    pub cpp_demangle: bool,
    /// Resolve user symbols when printed.
    pub lazy_symbolication: bool,
    /// Licence that programs declare.
    pub license: String,
    /// Bytes of verifier log.
    pub log_size: u64,
    /// Most BPF programs.
    pub max_bpf_progs: u64,
    /// Most bytes that `cat` prints.
    pub max_cat_bytes: u64,
    /// Entries of a map.
    pub max_map_keys: u64,
    /// Most probes.
    pub max_probes: u64,
    /// Longest string, with the NUL.
    pub max_strlen: u64,
    /// Attach points without a match.
    pub missing_probes: MissingProbes,
    /// Bytes up to which a value lives on the BPF stack.
    pub on_stack_limit: u64,
    /// Pages of the ring buffer; 0: by the memory of the machine.
    pub perf_rb_pages: u64,
    /// Print all maps at exit.
    pub print_maps_on_exit: bool,
    /// File and line of stack frames.
    pub show_debug_info: bool,
    /// How stacks print unless said otherwise.
    pub stack_mode: StackMode,
    /// What a cut string ends in.
    pub str_trunc_trailer: String,
    /// `tseries`.
    pub unstable_tseries: Unstable,
    /// `dw_ustack`.
    pub unstable_dw_ustack: Unstable,
    /// `typeinfo`.
    pub unstable_typeinfo: Unstable,
    /// `import` inside blocks.
    pub unstable_import_statement: Unstable,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            cache_user_symbols: None,
            cpp_demangle: true,
            lazy_symbolication: true,
            license: "GPL".into(),
            log_size: 1_000_000,
            max_bpf_progs: 1024,
            max_cat_bytes: 10240,
            max_map_keys: 4096,
            max_probes: 1024,
            max_strlen: 1024,
            missing_probes: MissingProbes::Error,
            on_stack_limit: 32,
            perf_rb_pages: 0,
            print_maps_on_exit: true,
            show_debug_info: true,
            stack_mode: StackMode::Bpftrace,
            str_trunc_trailer: "..".into(),
            unstable_tseries: Unstable::Warn,
            unstable_dw_ustack: Unstable::Warn,
            unstable_typeinfo: Unstable::Error,
            unstable_import_statement: Unstable::Error,
        }
    }
}

/// One setting.
pub struct ConfigKey {
    /// As in `config = { key = value }`; the environment variable is `BPFTRACE_` and the name in capitals.
    pub name: &'static str,
    /// What may be given, e.g. `0..1000000` or `error|warn|ignore`.
    pub values: &'static str,
    /// One sentence for the docs.
    pub doc: &'static str,
    /// Reads a value; the error says what is expected.
    pub set: fn(&mut Config, &ConfigValue) -> Result<(), String>,
    /// The value as text.
    pub get: fn(&Config) -> String,
}

fn number(v: &ConfigValue) -> Result<u64, String> {
    match v {
        ConfigValue::Int(n) => Ok(*n),
        _ => Err("expects a number".into()),
    }
}

fn number_in(v: &ConfigValue, min: u64, max: u64) -> Result<u64, String> {
    match number(v)? {
        n if n >= min && n <= max => Ok(n),
        n => Err(format!("expects a number from {min} to {max}, not {n}")),
    }
}

fn truth(v: &ConfigValue) -> Result<bool, String> {
    match v {
        ConfigValue::Bool(b) => Ok(*b),
        ConfigValue::Int(0) => Ok(false),
        ConfigValue::Int(1) => Ok(true),
        ConfigValue::Word(w) | ConfigValue::Str(w) if w.eq_ignore_ascii_case("true") => Ok(true),
        ConfigValue::Word(w) | ConfigValue::Str(w) if w.eq_ignore_ascii_case("false") => Ok(false),
        _ => Err("expects true or false".into()),
    }
}

fn text(v: &ConfigValue) -> String {
    match v {
        ConfigValue::Int(n) => n.to_string(),
        ConfigValue::Bool(b) => b.to_string(),
        ConfigValue::Str(s) | ConfigValue::Word(s) => s.clone(),
    }
}

/// The value that a word stands for.
fn choice<T: Copy>(v: &ConfigValue, choices: &[(&str, T)]) -> Result<T, String> {
    let word = text(v);
    choices.iter().find(|(name, _)| name.eq_ignore_ascii_case(&word)).map(|(_, t)| *t).ok_or_else(|| {
        let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
        format!("expects one of {}, not '{word}'", names.join(", "))
    })
}

fn name_of<T: PartialEq>(value: &T, choices: &[(&str, T)]) -> String {
    choices.iter().find(|(_, t)| t == value).map_or_else(String::new, |(name, _)| (*name).to_string())
}

const MISSING: &[(&str, MissingProbes)] =
    &[("error", MissingProbes::Error), ("warn", MissingProbes::Warn), ("ignore", MissingProbes::Ignore)];
const UNSTABLE: &[(&str, Unstable)] =
    &[("error", Unstable::Error), ("warn", Unstable::Warn), ("enable", Unstable::Enable)];
const CACHE: &[(&str, SymbolCache)] = &[
    ("PER_PROGRAM", SymbolCache::PerProgram),
    ("PER_PID", SymbolCache::PerPid),
    ("NONE", SymbolCache::None),
];
const STACK_MODES: &[(&str, StackMode)] = &[
    ("bpftrace", StackMode::Bpftrace),
    ("perf", StackMode::Perf),
    ("raw", StackMode::Raw),
    ("build_id", StackMode::BuildId),
];
/// Licences that the kernel accepts as GPL compatible.
const LICENSES: &[&str] =
    &["GPL", "GPL v2", "GPL and additional rights", "Dual BSD/GPL", "Dual MIT/GPL", "Dual MPL/GPL"];

fn license(v: &ConfigValue) -> Result<String, String> {
    let given = text(v);
    LICENSES
        .iter()
        .find(|l| **l == given)
        .map(|l| (*l).to_string())
        .ok_or_else(|| format!("expects one of {}, not '{given}'", LICENSES.join(", ")))
}

macro_rules! key {
    ($field:ident, $values:literal, $doc:literal, $read:expr, $show:expr) => {
        ConfigKey {
            name: stringify!($field),
            values: $values,
            doc: $doc,
            set: |c, v| {
                c.$field = $read(v)?;
                Ok(())
            },
            get: |c| $show(&c.$field),
        }
    };
}

fn show<T: ToString>(t: &T) -> String {
    t.to_string()
}

/// All settings.
pub static KEYS: &[ConfigKey] = &[
    key!(
        cache_user_symbols,
        "PER_PROGRAM|PER_PID|NONE",
        "How the symbols of processes are remembered.",
        |v: &_| choice(v, CACHE).map(Some),
        |c: &Option<SymbolCache>| c.as_ref().map_or_else(String::new, |c| name_of(c, CACHE))
    ),
    key!(cpp_demangle, "true|false", "Show C++ and Rust names in readable form.", truth, show),
    key!(lazy_symbolication, "true|false", "Name user addresses when they are printed.", truth, show),
    key!(
        license,
        "a GPL compatible licence",
        "Licence that the BPF programs declare.",
        license,
        String::clone
    ),
    key!(
        log_size,
        "bytes",
        "Size of the buffer for the kernel's verifier log.",
        |v: &_| number_in(v, 1024, 1 << 30),
        show
    ),
    key!(max_bpf_progs, "number", "Most BPF programs a script may become.", number, show),
    key!(max_cat_bytes, "bytes", "Most bytes that cat() prints of a file.", number, show),
    key!(max_map_keys, "number", "Entries of a map.", |v: &_| number_in(v, 1, u64::from(u32::MAX)), show),
    key!(max_probes, "number", "Most probes a script may attach.", number, show),
    key!(max_strlen, "bytes", "Longest string, with its final NUL.", |v: &_| number_in(v, 1, 1 << 20), show),
    key!(
        missing_probes,
        "error|warn|ignore",
        "What to do with attach points that match nothing.",
        |v: &_| choice(v, MISSING),
        |m: &_| name_of(m, MISSING)
    ),
    key!(
        on_stack_limit,
        "bytes",
        "Largest value that is kept on the BPF stack.",
        |v: &_| number_in(v, 0, 512),
        show
    ),
    key!(
        perf_rb_pages,
        "pages",
        "Size of the ring buffer; chosen by the machine's memory unless given.",
        number,
        show
    ),
    key!(print_maps_on_exit, "true|false", "Print all maps when the script ends.", truth, show),
    key!(show_debug_info, "true|false", "Show file and line of stack frames where known.", truth, show),
    key!(
        stack_mode,
        "bpftrace|perf|raw|build_id",
        "How stacks are printed unless a call says otherwise.",
        |v: &_| choice(v, STACK_MODES),
        |m: &_| name_of(m, STACK_MODES)
    ),
    key!(
        str_trunc_trailer,
        "text",
        "What is printed behind a string that was cut.",
        |v: &_| Ok::<String, String>(text(v)),
        String::clone
    ),
    key!(unstable_tseries, "error|warn|enable", "Use of tseries().", |v: &_| choice(v, UNSTABLE), |m: &_| {
        name_of(m, UNSTABLE)
    }),
    key!(
        unstable_dw_ustack,
        "error|warn|enable",
        "Use of dw_ustack().",
        |v: &_| choice(v, UNSTABLE),
        |m: &_| name_of(m, UNSTABLE)
    ),
    key!(
        unstable_typeinfo,
        "error|warn|enable",
        "Use of typeinfo().",
        |v: &_| choice(v, UNSTABLE),
        |m: &_| name_of(m, UNSTABLE)
    ),
    key!(
        unstable_import_statement,
        "error|warn|enable",
        "import inside a block.",
        |v: &_| choice(v, UNSTABLE),
        |m: &_| name_of(m, UNSTABLE)
    ),
];

/// Keys of older versions, without effect, with what is said about them.
const RETIRED: &[(&str, &str)] = &[
    ("symbol_source", "it has no effect any more"),
    ("max_type_res_iterations", "it has no effect any more"),
    ("max_ast_nodes", "it has no effect any more"),
    ("unstable_addr", "the feature is stable now"),
    ("unstable_import", "the feature is stable now"),
    ("unstable_macro", "the feature is stable now"),
    ("unstable_map_decl", "the feature is stable now"),
    ("use_blazesym", "it has no effect any more"),
];

fn clamp(n: u64) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

/// The row of a key; a `BPFTRACE_` prefix and capitals are accepted.
pub fn find(name: &str) -> Option<&'static ConfigKey> {
    let name = name.to_ascii_lowercase();
    let name = name.strip_prefix("bpftrace_").unwrap_or(&name);
    KEYS.iter().find(|k| k.name == name)
}

impl Config {
    /// Bytes up to which a value lives on the BPF stack.
    pub fn on_stack_limit(&self) -> u32 {
        clamp(self.on_stack_limit)
    }
    /// Longest string, with the NUL.
    pub fn max_strlen(&self) -> u32 {
        clamp(self.max_strlen)
    }
    /// Entries of a map.
    pub fn max_map_keys(&self) -> u32 {
        clamp(self.max_map_keys)
    }
    /// How stacks print unless said otherwise.
    pub fn stack_mode(&self) -> StackMode {
        self.stack_mode
    }
    /// The value of a key as text.
    pub fn get(&self, key: &str) -> Option<String> {
        find(key).map(|k| (k.get)(self))
    }

    /// Applies the `config` block of a script.
    pub fn apply_block(&mut self, block: &ConfigBlock, diags: &mut Vec<Diagnostic>) {
        for entry in &block.entries {
            if let Some(key) = find(&entry.key) {
                if let Err(why) = (key.set)(self, &entry.value) {
                    diags.push(Diagnostic::error(
                        entry.span,
                        format!("Invalid value for {}: {why}", entry.key),
                    ));
                }
            } else if let Some((_, why)) = RETIRED.iter().find(|(k, _)| *k == entry.key) {
                diags.push(Diagnostic::warning(entry.span, format!("{} is deprecated: {why}", entry.key)));
            } else {
                let d =
                    Diagnostic::error(entry.key_span, format!("Unrecognized config variable: {}", entry.key));
                let names = KEYS.iter().map(|k| k.name);
                diags.push(match crate::analyse::nearest(&entry.key, names) {
                    Some(near) => d.hint(format!("did you mean '{near}'?")),
                    None => d,
                });
            }
        }
    }

    /// Applies settings given outside the script (environment); they win over the script's. `value` is text.
    pub fn apply_text(&mut self, key: &str, value: &str, diags: &mut Vec<Diagnostic>) {
        let Some(row) = find(key) else { return };
        let parsed = match value.parse::<u64>() {
            Ok(n) => ConfigValue::Int(n),
            Err(_) => ConfigValue::Str(value.to_string()),
        };
        if let Err(why) = (row.set)(self, &parsed) {
            let name = format!("BPFTRACE_{}", row.name.to_ascii_uppercase());
            diags.push(Diagnostic::error_anywhere(format!("Invalid value for {name}: {why}")));
        }
    }

    /// What the runtime needs of it.
    pub fn settings(&self) -> Settings {
        Settings {
            print_maps_on_exit: self.print_maps_on_exit,
            license: self.license.clone(),
            ring_bytes: self
                .perf_rb_pages
                .checked_mul(4096)
                .and_then(u64::checked_next_power_of_two)
                .unwrap_or(0)
                * u64::from(self.perf_rb_pages != 0),
            max_cat_bytes: self.max_cat_bytes,
            max_strlen: self.max_strlen(),
            str_trunc_trailer: self.str_trunc_trailer.clone(),
            log_size: self.log_size,
            demangle: self.cpp_demangle,
            show_debug_info: self.show_debug_info,
            lazy_symbolication: self.lazy_symbolication,
            all: KEYS.iter().map(|k| (k.name.to_string(), (k.get)(self))).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_read_back_as_written() {
        let config = Config::default();
        for key in KEYS {
            let text = (key.get)(&config);
            if text.is_empty() {
                continue;
            }
            let mut other = Config::default();
            let mut diags = Vec::new();
            other.apply_text(key.name, &text, &mut diags);
            assert!(diags.is_empty(), "{}: {diags:?}", key.name);
            assert_eq!(other, config, "{}", key.name);
        }
    }

    #[test]
    fn environment_values_are_checked() {
        let mut config = Config::default();
        let mut diags = Vec::new();
        config.apply_text("BPFTRACE_MAX_STRLEN", "9999", &mut diags);
        assert_eq!((config.max_strlen, diags.len()), (9999, 0));
        config.apply_text("max_strlen", "many", &mut diags);
        assert_eq!(diags[0].message, "Invalid value for BPFTRACE_MAX_STRLEN: expects a number");
        config.apply_text("print_maps_on_exit", "0", &mut diags);
        assert!(!config.print_maps_on_exit);
    }

    #[test]
    fn ring_size_is_a_power_of_two() {
        let mut config = Config::default();
        assert_eq!(config.settings().ring_bytes, 0);
        config.perf_rb_pages = 3;
        assert_eq!(config.settings().ring_bytes, 16384);
        config.perf_rb_pages = u64::MAX;
        assert_eq!(config.settings().ring_bytes, 0);
    }
}
