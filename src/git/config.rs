//! The user's git configuration, as git itself puts it together.

use anyhow::{Result, bail};

use super::{Git, Repository};
use crate::run::Text;

/// All settings in force, in git's order: of several values for a key the last one counts.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Config {
    entries: Vec<(String, Option<Text>)>,
}

impl Config {
    /// Reads the settings of every level, included files and `git -c` on the command line among them.
    ///
    /// # Errors
    /// git's own message if a configuration file is corrupt.
    pub fn load(repo: &Repository) -> Result<Config> {
        let config = Config::list(Git::new().git_dir(&repo.git_dir))?;
        repo.remember_config(&config);
        Ok(config)
    }

    /// The settings that are in force outside of any repository.
    ///
    /// # Errors
    /// As for [`Config::load`].
    pub fn outside() -> Result<Config> {
        Config::list(Git::new())
    }

    /// As [`Config::load`], without what [`super::SharedGuard`] has pinned.
    pub(super) fn load_unpinned(repo: &Repository) -> Result<Config> {
        Config::list(Git::new().unpinned().git_dir(&repo.git_dir))
    }

    /// These settings, each `KEY=VALUE`.
    #[cfg(test)]
    pub fn of(settings: &[&str]) -> Config {
        let lines: Vec<String> = settings.iter().map(|line| line.replacen('=', "\n", 1) + "\0").collect();
        parse(lines.concat().as_bytes())
    }

    /// As `git` sees them.
    pub(super) fn list(git: Git) -> Result<Config> {
        Ok(parse(&git.args(["config", "--list", "-z"]).ok()?))
    }

    /// The value of a key, if it is set. A key without `=` counts as empty.
    pub fn string(&self, key: &str) -> Option<Text> {
        self.last(key).map(|value| value.cloned().unwrap_or_default())
    }

    /// Every value of a key that may be set several times. As for git's own lists of this kind, an empty
    /// value forgets those before it.
    pub fn all(&self, key: &str) -> Vec<Text> {
        let mut values = Vec::new();
        for value in self.values(key) {
            match value {
                Some(value) if !value.as_bstr().is_empty() => values.push(value.clone()),
                _ => values.clear(),
            }
        }
        values
    }

    /// A truth value: what `git config --type=bool` takes for one.
    ///
    /// # Errors
    /// Names key and value if it is not one.
    pub fn bool(&self, key: &str) -> Result<Option<bool>> {
        let Some(value) = self.last(key) else { return Ok(None) };
        let Some(value) = value else { return Ok(Some(true)) };
        match value.to_string().to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" => Ok(Some(true)),
            "false" | "no" | "off" | "" => Ok(Some(false)),
            other => match parse_int(other) {
                Some(number) => Ok(Some(number != 0)),
                None => bail!("bad boolean config value '{value}' for '{key}'"),
            },
        }
    }

    /// A number, with git's suffixes `k`, `m` and `g`.
    ///
    /// # Errors
    /// Names key and value if it is not one.
    pub fn int(&self, key: &str) -> Result<Option<i64>> {
        let Some(value) = self.last(key) else { return Ok(None) };
        let value = value.cloned().unwrap_or_default();
        match parse_int(&value.to_string()) {
            Some(number) => Ok(Some(number)),
            None => bail!("bad numeric config value '{value}' for '{key}'"),
        }
    }

    /// What stands between this prefix (in lower case, with its last dot) and the name of the variable, for
    /// every key that begins so: each once, in the order in which they come up.
    pub fn subsections(&self, prefix: &str) -> Vec<&str> {
        let mut found = Vec::new();
        for (key, _) in &self.entries {
            let name = key.strip_prefix(prefix).and_then(|rest| rest.rsplit_once('.')).map(|(name, _)| name);
            found.extend(name.filter(|name| !found.contains(name)));
        }
        found
    }

    /// Every key that begins so, as often as it is set.
    pub(super) fn keys(&self, prefix: &str) -> impl Iterator<Item = &str> {
        self.entries.iter().map(|(key, _)| key.as_str()).filter(move |key| key.starts_with(prefix))
    }

    /// Whether any key of this section is set.
    pub(super) fn has_section(&self, section: &str) -> bool {
        self.entries.iter().any(|(key, _)| key.split('.').next() == Some(section))
    }

    fn last(&self, key: &str) -> Option<Option<&Text>> {
        self.values(key).last()
    }

    fn values(&self, key: &str) -> impl Iterator<Item = Option<&Text>> {
        let key = fold(key);
        self.entries.iter().filter(move |(name, _)| *name == key).map(|(_, value)| value.as_ref())
    }
}

/// Entries are `key LF value NUL`; a key without a value has no line feed.
fn parse(bytes: &[u8]) -> Config {
    let entries = super::command::split_nul(bytes).map(|entry| {
        let mut parts = entry.splitn(2, |&byte| byte == b'\n');
        let key = String::from_utf8_lossy(parts.next().unwrap_or_default()).into_owned();
        (fold(&key), parts.next().map(Text::from))
    });
    Config { entries: entries.collect() }
}

/// Section and variable without regard to case, the subsection between them as it is.
fn fold(key: &str) -> String {
    let (Some(first), Some(last)) = (key.find('.'), key.rfind('.')) else { return key.to_lowercase() };
    let (section, variable) = (key[..first].to_lowercase(), key[last..].to_lowercase());
    format!("{section}{}{variable}", &key[first..last])
}

fn parse_int(text: &str) -> Option<i64> {
    let (digits, unit) = match text.trim().char_indices().last()? {
        (at, 'k' | 'K') => (&text.trim()[..at], 1 << 10),
        (at, 'm' | 'M') => (&text.trim()[..at], 1 << 20),
        (at, 'g' | 'G') => (&text.trim()[..at], 1 << 30),
        _ => (text.trim(), 1),
    };
    digits.parse::<i64>().ok()?.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::testing::Sandbox;

    #[test]
    fn values_are_typed_as_git_types_them() {
        let config = parse(b"parallel.jobs\n2k\0parallel.confirm\0a.Sub.Key\nx\ny\0a.b\n1\0a.b\n0\0n.o\n\0");
        assert_eq!(config.int("parallel.Jobs").unwrap(), Some(2048));
        assert_eq!(config.bool("parallel.confirm").unwrap(), Some(true));
        assert_eq!(config.string("A.Sub.kEY"), Some("x\ny".into()));
        assert_eq!(config.string("a.sub.key"), None);
        assert_eq!(config.bool("a.b").unwrap(), Some(false));
        assert_eq!(config.bool("n.o").unwrap(), Some(false));
        assert_eq!(config.bool("not.there").unwrap(), None);
        assert_eq!(config.subsections("a."), ["Sub"]);
        assert_eq!(config.all("a.b"), ["1".into(), "0".into()]);
        let error = config.bool("a.Sub.key").unwrap_err().to_string();
        assert_eq!(error, "bad boolean config value 'x\ny' for 'a.Sub.key'");
        assert!(config.int("n.o").unwrap_err().to_string().contains("'n.o'"));
    }

    #[test]
    fn a_corrupt_file_is_told_in_gits_words() {
        let sandbox = Sandbox::new();
        let repo = sandbox.repository();
        sandbox.git(&["config", "parallel.jobs", "5"]);
        assert_eq!(Config::load(&repo).unwrap().int("parallel.jobs").unwrap(), Some(5));
        sandbox.write(".git/config", "[core\nx");
        let error = Config::load(&repo).unwrap_err().to_string();
        assert!(error.contains("bad config line 1"), "{error}");
    }
}
