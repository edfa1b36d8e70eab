//! Which repositories are out of the ordinary, and are left to git.

use std::os::unix::fs::MetadataExt;

use anyhow::{Context, Result, bail};

use crate::git::{Config, Repository};
use crate::run::Text;

/// Settings that, if true, change how files are written.
const MUST_BE_FALSE: [&str; 4] =
    ["core.sparsecheckout", "core.splitindex", "core.ignorecase", "core.precomposeunicode"];
/// Settings that do so if they are false.
const MUST_BE_TRUE: [&str; 2] = ["core.symlinks", "core.filemode"];
/// Extensions that mean nothing here. `worktreeConfig` is looked at worktree by worktree.
const KNOWN_EXTENSIONS: [&str; 6] = [
    "extensions.objectformat",
    "extensions.compatobjectformat",
    "extensions.worktreeconfig",
    "extensions.noop",
    "extensions.preciousobjects",
    "extensions.relativeworktrees",
];

/// What the configuration says of files and index.
#[derive(PartialEq, Eq, Debug)]
pub(super) struct Settings {
    /// The version of a new index, 2 or 4: without flags of the rarer kind, 3 is 2.
    pub(super) index_version: u32,
    /// An index goes without its checksum.
    pub(super) skip_hash: bool,
    /// The filters that are configured.
    pub(super) filters: Vec<String>,
    /// Where the user keeps attributes.
    attributes_file: Option<Text>,
}

/// The attributes that are in the repository, but not in its commits: as the kernel tells them from others.
#[derive(PartialEq, Eq, Debug)]
pub(super) struct Attributes(Option<[i64; 5]>);

impl Attributes {
    pub(super) fn of(repo: &Repository) -> Attributes {
        let meta = std::fs::metadata(repo.common_dir.join("info/attributes"));
        let look = |meta: std::fs::Metadata| {
            let (inode, size) = (meta.ino().cast_signed(), meta.size().cast_signed());
            [inode, size, meta.mtime(), meta.ctime(), meta.ctime_nsec()]
        };
        Attributes(meta.ok().map(look))
    }
}

impl Settings {
    /// The settings of a repository.
    ///
    /// # Errors
    /// Why its worktrees are left to git.
    pub(super) fn of(repo: &Repository) -> Result<Settings> {
        let config = repo.config().context("the configuration can't be read")?;
        if repo.git_dir.join("config.worktree").exists() || repo.common_dir.join("config.worktree").exists() {
            bail!("it has settings for single worktrees");
        }
        let gix = repo.gix();
        if gix.references()?.prefixed("refs/replace/")?.next().is_some() {
            bail!("it has replaced objects");
        }
        Settings::read(config)
    }

    /// As they stand in a configuration.
    ///
    /// # Errors
    /// As for [`Settings::of`].
    pub(super) fn read(config: &Config) -> Result<Settings> {
        for key in MUST_BE_FALSE {
            if config.bool(key)?.unwrap_or(false) {
                bail!("{key} is set");
            }
        }
        for key in MUST_BE_TRUE {
            if !config.bool(key)?.unwrap_or(true) {
                bail!("{key} is off");
            }
        }
        check_line_endings(config)?;
        if config.keys("extensions.").any(|key| !KNOWN_EXTENSIONS.contains(&key)) {
            bail!("it has an extension that is not known here");
        }
        if config
            .keys("remote.")
            .any(|key| key.ends_with(".promisor") || key.ends_with(".partialclonefilter"))
        {
            bail!("it is a partial clone");
        }
        let many_files = config.bool("feature.manyfiles")?.unwrap_or(false);
        let index_version = match config.int("index.version")? {
            None if many_files => 4,
            None | Some(2 | 3) => 2,
            Some(4) => 4,
            Some(other) => bail!("index.version is {other}"),
        };
        let skip_hash = config.bool("index.skiphash")?.unwrap_or(many_files);
        let filters = config.subsections("filter.").into_iter().map(str::to_owned).collect();
        let attributes_file = config.string("core.attributesfile");
        Ok(Settings { index_version, skip_hash, filters, attributes_file })
    }
}

/// Whether files without attributes keep their line feeds. (What is done on the way in does not matter.)
fn check_line_endings(config: &Config) -> Result<()> {
    let is = |key, value: &str| {
        config.string(key).is_some_and(|found| found.to_string().eq_ignore_ascii_case(value))
    };
    if !is("core.autocrlf", "input") && config.bool("core.autocrlf")?.unwrap_or(false) {
        bail!("core.autocrlf is set");
    }
    if config.string("core.eol").is_some() && !is("core.eol", "lf") && !is("core.eol", "native") {
        bail!("core.eol is set");
    }
    Ok(())
}
