//! Copies a mailbox from one mail root to another while mail arrives in it: in passes, each of which copies what is
//! new since the one before.
//!
//! A message keeps the unique part of its file's name (maildir.html), so a pass that is repeated after a crash copies
//! nothing twice. Its flags are in the rest of the name: where they changed meanwhile, the copy is renamed. The time
//! of the file, which IMAP shows as the date of arrival, is kept; so are owner and permissions, where the system lets
//! this process do so. What servers only derive from the mails is left out.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File, FileTimes};
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};

/// Where messages are.
const PARTS: [&str; 2] = ["new", "cur"];
/// Files that are derived from the mails, or mean nothing elsewhere.
const DERIVED: [&str; 2] = ["maildirsize", "dovecot.index"];
/// What a file is called until it is whole.
const BEGUN: &str = "pigeon-move-";

/// What one pass did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Pass {
    /// Messages that were copied.
    pub messages: u64,
    /// Their octets.
    pub octets: u64,
    /// Copies whose flags were brought to what they are at the source.
    pub renamed: u64,
    /// Copies that were deleted, for their messages are gone at the source.
    pub deleted: u64,
}

/// A mailbox on its way: the directory it is in, and the one it goes to.
#[derive(Debug)]
pub struct Transfer {
    from: PathBuf,
    to: PathBuf,
    /// What earlier passes saw at the source, by folder: only of these is known that they were deleted there.
    seen: HashMap<PathBuf, HashSet<String>>,
}

impl Transfer {
    /// From the mailbox directory `from` to the one at `to`, which is made if there is none.
    #[must_use]
    pub fn new(from: &Path, to: &Path) -> Self {
        Self { from: from.to_owned(), to: to.to_owned(), seen: HashMap::new() }
    }

    /// Goes on with a source that was renamed.
    pub fn source_is_now(&mut self, from: &Path) {
        from.clone_into(&mut self.from);
    }

    /// How many messages there are at the source, and their octets.
    ///
    /// # Errors
    /// What cannot be read.
    pub fn measure(&self) -> io::Result<(u64, u64)> {
        let mut total = (0, 0);
        for folder in folders(&self.from)? {
            for (_, path) in messages(&folder)? {
                if let Some(found) = gone_is_none(fs::symlink_metadata(path))? {
                    total = (total.0 + 1, total.1 + found.len());
                }
            }
        }
        Ok(total)
    }

    /// Copies what is not at the target yet, durably; `copied` hears of each message's octets.
    ///
    /// # Errors
    /// What cannot be read or written. What was copied until then is whole; the pass can be repeated.
    pub fn pass(&mut self, copied: &mut dyn FnMut(u64)) -> io::Result<Pass> {
        let mut done = Pass::default();
        for folder in folders(&self.from)? {
            let relative = folder.strip_prefix(&self.from).unwrap_or(Path::new("")).to_owned();
            let target = self.to.join(&relative);
            make_like(&folder, &target)?;
            for part in ["tmp", "new", "cur"] {
                make_like(&folder.join(part), &target.join(part))?;
            }
            self.copy_messages(&folder, &target, &relative, (&mut done, copied))?;
            copy_others(&folder, &target)?;
            for part in PARTS {
                File::open(target.join(part))?.sync_all()?;
            }
            File::open(&target)?.sync_all()?;
        }
        if let Some(parent) = self.to.parent().filter(|parent| parent.is_dir()) {
            File::open(parent)?.sync_all()?;
        }
        Ok(done)
    }

    fn copy_messages(
        &mut self,
        folder: &Path,
        target: &Path,
        relative: &Path,
        (done, copied): (&mut Pass, &mut dyn FnMut(u64)),
    ) -> io::Result<()> {
        let mut there: HashMap<String, PathBuf> = messages(target)?.into_iter().collect();
        let found = messages(folder)?;
        let seen = self.seen.entry(relative.to_owned()).or_default();
        let now: HashSet<String> = found.iter().map(|(base, _)| base.clone()).collect();
        for (base, path) in found {
            let place = target.join(path.strip_prefix(folder).unwrap_or(&path));
            match there.remove(&base) {
                Some(copy) if copy == place => {}
                Some(copy) => {
                    fs::rename(copy, &place)?;
                    done.renamed += 1;
                }
                None => {
                    // A mail reader may rename or delete it in this very moment: the next pass sees that.
                    if let Some(octets) = gone_is_none(copy_file(&path, &target.join("tmp"), &place))? {
                        done.messages += 1;
                        done.octets += octets;
                        copied(octets);
                    }
                }
            }
        }
        for base in seen.difference(&now) {
            if let Some(copy) = there.remove(base) {
                fs::remove_file(copy)?;
                done.deleted += 1;
            }
        }
        *seen = now;
        Ok(())
    }

    /// What of the source is not at the target with the same size; nothing: all of it is there.
    ///
    /// # Errors
    /// What cannot be read.
    pub fn missing(&self) -> io::Result<Vec<PathBuf>> {
        let mut missing = Vec::new();
        for folder in folders(&self.from)? {
            let target = self.to.join(folder.strip_prefix(&self.from).unwrap_or(Path::new("")));
            let there: HashMap<String, PathBuf> = messages(&target)?.into_iter().collect();
            for (base, path) in messages(&folder)? {
                let Some(size) = gone_is_none(fs::symlink_metadata(&path).map(|found| found.len()))? else {
                    continue;
                };
                let copy = there.get(&base).map(fs::symlink_metadata).transpose()?;
                if copy.is_none_or(|copy| copy.len() != size) {
                    missing.push(path);
                }
            }
        }
        Ok(missing)
    }
}

/// The Maildirs of a mailbox: itself and its folders (Maildir++), each with a `cur`. None where there is no mailbox.
fn folders(mailbox: &Path) -> io::Result<Vec<PathBuf>> {
    let mut folders = Vec::new();
    if !mailbox.join("cur").is_dir() {
        return Ok(folders);
    }
    folders.push(mailbox.to_owned());
    for entry in fs::read_dir(mailbox)? {
        let path = entry?.path();
        if path.is_dir() && !path.is_symlink() && path.join("cur").is_dir() {
            folders.push(path);
        }
    }
    folders.sort();
    Ok(folders)
}

/// The messages of a folder: the unique part of the name, and the file.
fn messages(folder: &Path) -> io::Result<Vec<(String, PathBuf)>> {
    let mut found = Vec::new();
    for part in PARTS {
        let Some(entries) = gone_is_none(fs::read_dir(folder.join(part)))? else { continue };
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if name.starts_with('.') || !entry.file_type()?.is_file() {
                continue;
            }
            let base = name.split_once(':').map_or(&*name, |(base, _)| base).to_owned();
            found.push((base, entry.path()));
        }
    }
    Ok(found)
}

/// Everything else of a folder: subscriptions, keywords, identifiers of mail readers. They are small, and the last
/// pass brings the last of them.
fn copy_others(folder: &Path, target: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let text = name.to_string_lossy();
        if !entry.file_type()?.is_file() || DERIVED.iter().any(|derived| text.starts_with(derived)) {
            continue;
        }
        gone_is_none(copy_file(&entry.path(), &target.join("tmp"), &target.join(&name)))?;
    }
    Ok(())
}

/// Copies a file through `tmp`, durably but for the directory it ends in; its octets.
fn copy_file(from: &Path, tmp: &Path, to: &Path) -> io::Result<u64> {
    let mut source = File::open(from)?;
    let found = source.metadata()?;
    let name = to.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let begun = tmp.join(format!("{BEGUN}{}", name.split(':').next().unwrap_or(&name)));
    let mut copy = File::create(&begun)?;
    let octets = io::copy(&mut source, &mut copy)?;
    copy.set_permissions(fs::Permissions::from_mode(found.mode() & 0o777))?;
    copy.set_times(FileTimes::new().set_modified(found.modified()?).set_accessed(found.accessed()?))?;
    own_like(&begun, &found)?;
    copy.sync_all()?;
    fs::rename(&begun, to)?;
    Ok(octets)
}

/// Makes a directory with the owner and permissions of another one; its parents, too.
fn make_like(model: &Path, path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let (Some(above), Some(model_above)) = (path.parent(), model.parent()) else { return Ok(()) };
    if !above.is_dir() {
        make_like(model_above, above)?;
    }
    match fs::create_dir(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let found = fs::metadata(model)?;
    fs::set_permissions(path, fs::Permissions::from_mode(found.mode() & 0o7777))?;
    own_like(path, &found)
}

/// Only root gives files away; the mail user's are its own already.
fn own_like(path: &Path, model: &fs::Metadata) -> io::Result<()> {
    if rustix::process::geteuid().is_root() {
        return chown(path, Some(model.uid()), Some(model.gid()));
    }
    Ok(())
}

fn gone_is_none<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;

    struct Site {
        root: tempfile::TempDir,
    }

    impl Site {
        fn new() -> Self {
            let site = Self { root: tempfile::tempdir().unwrap() };
            for folder in ["", ".Archive"] {
                for part in ["tmp", "new", "cur"] {
                    fs::create_dir_all(site.from().join(folder).join(part)).unwrap();
                }
            }
            site.put("new/1.a.h", "one");
            site.put("cur/2.b.h:2,S", "two");
            site.put(".Archive/cur/3.c.h:2,", "three");
            site.put("subscriptions", "Archive\n");
            site.put("maildirsize", "100S\n");
            site.put("dovecot.index.log", "x");
            site.put("tmp/9.left.over", "half");
            site
        }

        fn from(&self) -> PathBuf {
            self.root.path().join("from/example.org/ann")
        }

        fn to(&self) -> PathBuf {
            self.root.path().join("to/example.org/ann")
        }

        fn put(&self, name: &str, text: &str) {
            fs::write(self.from().join(name), text).unwrap();
        }

        fn transfer(&self) -> Transfer {
            fs::create_dir_all(self.root.path().join("to")).unwrap();
            Transfer::new(&self.from(), &self.to())
        }

        /// Every file at the target, in order.
        fn found(&self) -> Vec<String> {
            fn walk(root: &Path, at: &Path, into: &mut Vec<String>) {
                for entry in fs::read_dir(at).unwrap() {
                    let path = entry.unwrap().path();
                    if path.is_dir() {
                        walk(root, &path, into);
                    } else {
                        into.push(path.strip_prefix(root).unwrap().display().to_string());
                    }
                }
            }
            let mut found = Vec::new();
            walk(&self.to(), &self.to(), &mut found);
            found.sort();
            found
        }
    }

    #[test]
    fn a_mailbox_is_copied_whole_and_once() {
        let site = Site::new();
        let old = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        File::open(site.from().join("new/1.a.h")).unwrap().set_modified(old).unwrap();
        let mut transfer = site.transfer();
        assert_eq!(transfer.measure().unwrap(), (3, 11));
        let mut heard = 0;
        let pass = transfer.pass(&mut |octets| heard += octets).unwrap();
        assert_eq!((pass.messages, pass.octets, heard), (3, 11, 11));
        let all = [".Archive/cur/3.c.h:2,", "cur/2.b.h:2,S", "new/1.a.h", "subscriptions"];
        assert_eq!(site.found(), all);
        assert_eq!(fs::metadata(site.to().join("new/1.a.h")).unwrap().modified().unwrap(), old);
        assert_eq!(transfer.missing().unwrap(), Vec::<PathBuf>::new());
        // Another process that begins anew finds everything there.
        assert_eq!(site.transfer().pass(&mut |_| ()).unwrap(), Pass::default());
        assert_eq!(site.found(), all);
    }

    #[test]
    fn later_passes_bring_what_happened_meanwhile() {
        let site = Site::new();
        let mut transfer = site.transfer();
        transfer.pass(&mut |_| ()).unwrap();
        fs::rename(site.from().join("new/1.a.h"), site.from().join("cur/1.a.h:2,RS")).unwrap();
        fs::remove_file(site.from().join("cur/2.b.h:2,S")).unwrap();
        site.put(".Archive/new/4.d.h", "four");
        // What the other node delivers itself is left alone.
        fs::write(site.to().join("new/5.e.other"), "five").unwrap();
        let pass = transfer.pass(&mut |_| ()).unwrap();
        assert_eq!(pass, Pass { messages: 1, octets: 4, renamed: 1, deleted: 1 });
        let all = [
            ".Archive/cur/3.c.h:2,",
            ".Archive/new/4.d.h",
            "cur/1.a.h:2,RS",
            "new/5.e.other",
            "subscriptions",
        ];
        assert_eq!(site.found(), all);
    }

    #[test]
    fn what_a_crash_left_half_is_copied_again() {
        let site = Site::new();
        let mut transfer = site.transfer();
        fs::create_dir_all(site.to().join("tmp")).unwrap();
        fs::write(site.to().join("tmp").join(format!("{BEGUN}1.a.h")), "o").unwrap();
        transfer.pass(&mut |_| ()).unwrap();
        assert_eq!(fs::read_to_string(site.to().join("new/1.a.h")).unwrap(), "one");
        fs::write(site.to().join("new/1.a.h"), "o").unwrap();
        assert_eq!(transfer.missing().unwrap(), [site.from().join("new/1.a.h")]);
    }

    #[test]
    fn a_mailbox_without_mail_is_none() {
        let root = tempfile::tempdir().unwrap();
        let mut transfer = Transfer::new(&root.path().join("from"), &root.path().join("to"));
        assert_eq!(transfer.measure().unwrap(), (0, 0));
        assert_eq!(transfer.pass(&mut |_| ()).unwrap(), Pass::default());
    }
}
