//! Where all branches and tags are, looked at again and again while few of them move.
//!
//! A folder that is as it was is not read again, nor a file. (git and its kin write a ref by renaming a file, by
//! which its folder gets another time; but somebody else may write into the file.) What is too young for its time
//! to tell that is read each time.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, Metadata};
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use bstr::ByteSlice;

use super::refs::parse_oid;
use crate::run::{Oid, Text};

/// No file system has coarser times.
const COARSEST: Duration = Duration::from_secs(2);

/// What was found at the last look.
#[derive(Default)]
pub(super) struct Listed {
    folders: HashMap<PathBuf, Folder>,
    packed: (Option<Stamp>, BTreeMap<Text, Oid>),
}

/// Tells a file or a folder from what it was before.
#[derive(Clone, PartialEq)]
struct Stamp {
    modified: SystemTime,
    /// Nobody sets it back.
    changed: (i64, i64),
    inode: u64,
    length: u64,
}

#[derive(Default)]
struct Folder {
    stamp: Option<Stamp>,
    entries: BTreeMap<Text, Entry>,
}

enum Entry {
    Folder,
    /// A loose ref; a symbolic one has no id.
    Ref(Option<Stamp>, Option<Oid>),
}

impl Stamp {
    fn of(metadata: &Metadata) -> Result<Stamp> {
        let changed = (metadata.ctime(), metadata.ctime_nsec());
        Ok(Stamp { modified: metadata.modified()?, changed, inode: metadata.ino(), length: metadata.len() })
    }

    /// Whatever changes its time of modification changes the other one, too.
    fn is_of(&self, stat: &rustix::fs::Stat) -> bool {
        let ours: [i128; 4] =
            [self.changed.0.into(), self.changed.1.into(), self.inode.into(), self.length.into()];
        let theirs: [i128; 4] =
            [stat.st_ctime.into(), stat.st_ctime_nsec.into(), stat.st_ino.into(), stat.st_size.into()];
        ours == theirs
    }

    /// Nothing that comes after `now` leaves it as it is.
    fn if_settled(self, now: SystemTime) -> Option<Stamp> {
        now.duration_since(self.modified).is_ok_and(|age| age > COARSEST).then_some(self)
    }
}

impl Entry {
    /// Of a ref, what it is at.
    fn id(&self) -> Option<Option<&Oid>> {
        match self {
            Entry::Folder => None,
            Entry::Ref(_, id) => Some(id.as_ref()),
        }
    }
}

impl Folder {
    /// Whether nobody wrote into a file.
    fn is_as_it_was(&self, path: &Path) -> bool {
        use rustix::fs::{AtFlags, statat};
        // There may be thousands: names are looked up from here, not from the root.
        let Ok(dir) = fs::File::open(path) else { return false };
        self.entries.iter().all(|(name, entry)| match (entry, name.as_path().file_name()) {
            (Entry::Folder, _) => true,
            (Entry::Ref(Some(stamp), _), Some(name)) => {
                statat(&dir, name, AtFlags::SYMLINK_NOFOLLOW).is_ok_and(|stat| stamp.is_of(&stat))
            }
            (Entry::Ref(..), _) => false,
        })
    }
}

impl Listed {
    /// Shows all branches and tags, in the order of their names. Symbolic ones are left out.
    ///
    /// # Errors
    /// If they can't be read.
    pub(super) fn look(&mut self, common_dir: &Path, see: &mut dyn FnMut(&Text, &Oid)) -> Result<()> {
        let (now, mut there) = (SystemTime::now(), Vec::new());
        for top in ["refs/heads", "refs/tags"] {
            self.look_into(common_dir, Path::new(top), now, &mut there)?;
        }
        // Afterwards: what is packed meanwhile is in both.
        self.look_at_packed(&common_dir.join("packed-refs"), now)?;
        let entries =
            there.iter().filter_map(|name| self.folders.get(name)).flat_map(|folder| &folder.entries);
        let mut loose: Vec<(&Text, Option<&Oid>)> =
            entries.filter_map(|(name, entry)| Some((name, entry.id()?))).collect();
        loose.sort_unstable_by_key(|(name, _)| *name);
        let mut loose = loose.into_iter().peekable();
        for (name, id) in &self.packed.1 {
            let mut is_loose = false;
            while let Some((loose, id)) = loose.next_if(|(loose, _)| *loose <= name) {
                is_loose = loose == name;
                if let Some(id) = id {
                    see(loose, id);
                }
            }
            if !is_loose {
                see(name, id);
            }
        }
        loose.filter_map(|(name, id)| Some((name, id?))).for_each(|(name, id)| see(name, id));
        Ok(())
    }

    /// Brings a folder up to date, and those in it; `there` gets the names of all.
    fn look_into(
        &mut self,
        common_dir: &Path,
        name: &Path,
        now: SystemTime,
        there: &mut Vec<PathBuf>,
    ) -> Result<()> {
        let path = common_dir.join(name);
        let mut folder = self.folders.remove(name).unwrap_or_default();
        let stamp = match path.symlink_metadata() {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            metadata => Stamp::of(&metadata.with_context(|| format!("cannot read {}", path.display()))?)?,
        };
        if folder.stamp.as_ref() != Some(&stamp) || !folder.is_as_it_was(&path) {
            folder.entries = read(&path, name, &folder.entries, now)?;
            folder.stamp = stamp.if_settled(now);
        }
        for (name, entry) in &folder.entries {
            if matches!(entry, Entry::Folder) {
                self.look_into(common_dir, name.as_path(), now, there)?;
            }
        }
        self.folders.insert(name.to_owned(), folder);
        there.push(name.to_owned());
        Ok(())
    }

    fn look_at_packed(&mut self, path: &Path, now: SystemTime) -> Result<()> {
        let stamp = match path.metadata() {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                self.packed = Default::default();
                return Ok(());
            }
            metadata => Stamp::of(&metadata.with_context(|| format!("cannot read {}", path.display()))?)?,
        };
        if self.packed.0.as_ref() == Some(&stamp) {
            return Ok(());
        }
        let mut packed = BTreeMap::new();
        // `<id> SP <name>`; what a tag is of follows it behind a `^`, and there are comments.
        for line in fs::read(path).with_context(|| format!("cannot read {}", path.display()))?.lines() {
            if let Some((id, name)) = line.split_once_str(" ")
                && ["refs/heads/", "refs/tags/"].iter().any(|top| name.starts_with(top.as_bytes()))
            {
                packed.insert(Text::from(name), parse_oid(id)?);
            }
        }
        self.packed = (stamp.if_settled(now), packed);
        Ok(())
    }
}

/// What is in a folder, but for locks and whatever else is no ref.
fn read(
    path: &Path,
    name: &Path,
    before: &BTreeMap<Text, Entry>,
    now: SystemTime,
) -> Result<BTreeMap<Text, Entry>> {
    let mut entries = BTreeMap::new();
    for entry in fs::read_dir(path).with_context(|| format!("cannot read {}", path.display()))? {
        let entry = entry.with_context(|| format!("cannot read {}", path.display()))?;
        let name = Text::from(name.join(entry.file_name()));
        if gix::validate::reference::name(name.as_bstr()).is_err() {
            continue;
        }
        let metadata = match entry.metadata() {
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            metadata => metadata.with_context(|| format!("cannot read {name}"))?,
        };
        if metadata.is_dir() {
            entries.insert(name, Entry::Folder);
            continue;
        }
        let stamp = Stamp::of(&metadata)?;
        let id = match before.get(&name) {
            Some(Entry::Ref(Some(old), id)) if *old == stamp => id.clone(),
            _ => match fs::read(entry.path()) {
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                Ok(content) if content.starts_with(b"ref:") => None,
                content => Some(parse_oid(&content?).with_context(|| format!("cannot read {name}"))?),
            },
        };
        // Of a link, the time says nothing of what it leads to.
        let stamp = stamp.if_settled(now).filter(|_| metadata.is_file());
        entries.insert(name, Entry::Ref(stamp, id));
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::testing::Sandbox;

    /// Makes everything old enough for its time to tell something.
    fn age(path: &Path) {
        let long_ago = SystemTime::now() - Duration::from_secs(3600);
        if path.is_dir() {
            fs::read_dir(path).unwrap().for_each(|entry| age(&entry.unwrap().path()));
        }
        fs::File::open(path).unwrap().set_modified(long_ago).unwrap();
    }

    #[test]
    fn it_sees_what_git_sees_whatever_moves() {
        let sandbox = Sandbox::new();
        let git_dir = sandbox.repo.join(".git");
        let mut listed = Listed::default();
        let mut check = |aged: bool| {
            for _ in 0..2 {
                let mut told = Vec::new();
                listed.look(&git_dir, &mut |name, id| told.push(format!("{} {name}", id.as_str()))).unwrap();
                let refs =
                    ["for-each-ref", "--format=%(objectname) %(refname)%(symref)", "refs/heads", "refs/tags"];
                let git = sandbox.git(&refs);
                let git: Vec<&str> =
                    git.lines().filter(|line| !line.contains("refs/heads/symbolic")).collect();
                assert_eq!(told, git);
                if aged {
                    age(&git_dir.join("refs"));
                }
            }
        };
        let steps: [&[&str]; 13] = [
            &["branch", "one"],
            &["branch", "deep/er/two"],
            &["tag", "-a", "-m", "tagged", "v1"],
            &["symbolic-ref", "refs/heads/symbolic", "refs/heads/one"],
            &["update-ref", "refs/heads/deep/er/two", "HEAD~1"],
            &["pack-refs", "--all"],
            &["branch", "-f", "one", "HEAD~1"],
            &["pack-refs", "--all", "--no-prune"],
            &["branch", "-D", "one"],
            &["branch", "-D", "deep/er/two"],
            &["branch", "deep"],
            &["tag", "-d", "v1"],
            &["branch", "-m", "deep", "shallow"],
        ];
        sandbox.commit("second");
        for aged in [false, true] {
            for step in steps {
                sandbox.git(step);
                check(aged);
            }
            sandbox.git(&["branch", "-D", "shallow"]);
            sandbox.git(&["symbolic-ref", "-d", "refs/heads/symbolic"]);
        }
    }

    /// Not by git's way, and with its time set back.
    #[test]
    fn what_is_written_into_a_ref_is_seen() {
        let sandbox = Sandbox::new();
        let git_dir = sandbox.repo.join(".git");
        sandbox.git(&["branch", "deep/one"]);
        let second = sandbox.commit("second");
        age(&git_dir.join("refs"));
        let mut listed = Listed::default();
        let mut look = || {
            let mut told = Vec::new();
            listed.look(&git_dir, &mut |name, id| told.push((name.to_string(), id.clone()))).map(|()| told)
        };
        let before = look().unwrap();
        assert_eq!(look().unwrap(), before);
        let file = git_dir.join("refs/heads/deep/one");
        let modified = file.metadata().unwrap().modified().unwrap();
        fs::write(&file, format!("{second}\n")).unwrap();
        fs::File::open(&file).unwrap().set_modified(modified).unwrap();
        let after = look().unwrap();
        assert_eq!(after[0], ("refs/heads/deep/one".to_owned(), second));
        assert_eq!(after[1..], before[1..]);
        fs::write(&file, "nonsense").unwrap();
        assert!(look().is_err());
    }
}
