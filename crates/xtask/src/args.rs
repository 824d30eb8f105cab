//! Command-line words of a task: flags and options are taken out one by one; what is left is an error.

/// The words that were not taken yet.
pub struct Args {
    words: Vec<String>,
}

impl Args {
    /// All words behind the program's name.
    pub fn new(words: impl Iterator<Item = String>) -> Args {
        Args { words: words.collect() }
    }

    /// The next word.
    pub fn word(&mut self) -> Option<String> {
        (!self.words.is_empty()).then(|| self.words.remove(0))
    }

    /// Whether a flag was given.
    pub fn flag(&mut self, name: &str) -> bool {
        let found = self.words.iter().position(|w| w == name);
        found.map(|at| self.words.remove(at)).is_some()
    }

    /// Value of `--name VALUE` or `--name=VALUE`; the first if there are several.
    pub fn value(&mut self, name: &str) -> Result<Option<String>, String> {
        let Some(at) = self.words.iter().position(|w| is_option(w, name)) else { return Ok(None) };
        let word = self.words.remove(at);
        if let Some((_, value)) = word.split_once('=') {
            return Ok(Some(value.to_owned()));
        }
        if at < self.words.len() {
            return Ok(Some(self.words.remove(at)));
        }
        Err(format!("{name} needs a value"))
    }

    /// Values of an option that may be given several times, or with commas.
    pub fn values(&mut self, name: &str) -> Result<Vec<String>, String> {
        let mut all = Vec::new();
        while let Some(value) = self.value(name)? {
            all.extend(value.split(',').map(str::to_owned));
        }
        Ok(all)
    }

    /// A number, decimal or `0x` and hexadecimal.
    pub fn number(&mut self, name: &str) -> Result<Option<u64>, String> {
        let Some(text) = self.value(name)? else { return Ok(None) };
        let parsed = match text.strip_prefix("0x") {
            Some(hex) => u64::from_str_radix(hex, 16),
            None => text.parse(),
        };
        parsed.map(Some).map_err(|_| format!("{name} needs a number, not `{text}`"))
    }

    /// Everything behind `--`.
    pub fn behind_dashes(&mut self) -> Vec<String> {
        match self.words.iter().position(|w| w == "--") {
            None => Vec::new(),
            Some(at) => self.words.split_off(at).split_off(1),
        }
    }

    /// All words have to be taken by now.
    pub fn done(&self) -> Result<(), String> {
        match self.words.first() {
            None => Ok(()),
            Some(word) => Err(format!("unknown argument `{word}`; see `cargo xtask help`")),
        }
    }
}

fn is_option(word: &str, name: &str) -> bool {
    word.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('='))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_taken_in_any_order() {
        let words = ["--only", "fmt", "--quick", "--only=test,live", "--", "--x"];
        let mut args = Args::new(words.iter().map(|w| (*w).to_owned()));
        assert_eq!(args.behind_dashes(), ["--x"]);
        assert!(args.flag("--quick") && !args.flag("--quick"));
        assert_eq!(args.values("--only"), Ok(vec!["fmt".into(), "test".into(), "live".into()]));
        assert_eq!(args.done(), Ok(()));
    }

    #[test]
    fn what_is_left_or_missing_is_named() {
        let mut args = Args::new(["--seconds".to_owned()].into_iter());
        assert!(args.value("--seconds").is_err_and(|e| e.contains("needs a value")));
        let mut args = Args::new(["--seed=0x1f".to_owned()].into_iter());
        assert_eq!(args.number("--seed"), Ok(Some(31)));
        let mut args = Args::new(["--seconds=x".to_owned(), "y".to_owned()].into_iter());
        assert!(args.number("--seconds").is_err_and(|e| e.contains("`x`")));
        assert!(args.done().is_err_and(|e| e.contains("`y`")));
    }
}
