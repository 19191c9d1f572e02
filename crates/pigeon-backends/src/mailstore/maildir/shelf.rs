//! Stores the copies of one message: written once for all who get the same bytes, named, made durable.
//!
//! The order is what keeps the promise. Every file is written in `tmp/` and its data made durable before it has a
//! name that mail readers see; then the names are given, and made durable before anybody is told.

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::sync::Arc;

use pigeon_core::headers::RenderedHead;
use pigeon_core::message::Message;
use pigeon_core::ports::mailstore::{Copy, Quota, StoreError, Stored, Usage};
use rustix::fs::{AtFlags, Mode, fsync, linkat, openat, renameat};
use rustix::io::Errno;

use super::durable::{Data, Durability, Name, Part};
use super::folder_name;
use super::folders::{Folders, OpenFolder};
use super::keywords;
use super::name::{self, Names};
use super::problem::Problem;
use super::quota;
use super::tree::{self, DIRECTORY, Tree};
use super::write::{self, Sizes};

/// Files of one message that are written before their data is synced together: each keeps a descriptor open.
const MAX_DRAFTS: usize = 64;

/// All that storing needs.
pub(super) struct Shelf {
    pub(super) tree: Tree,
    pub(super) folders: Folders,
    pub(super) names: Names,
    pub(super) durability: Durability,
}

/// Where one copy goes.
struct Target {
    /// Its place among the copies.
    at: usize,
    folder: Arc<OpenFolder>,
    /// `cur/`, for a copy with flags.
    cur: Option<OwnedFd>,
    info: String,
    unique: String,
}

impl Target {
    fn directory(&self) -> BorrowedFd<'_> {
        self.cur.as_ref().unwrap_or(&self.folder.new).as_fd()
    }

    fn part(&self) -> Part {
        if self.cur.is_some() { Part::Cur } else { Part::New }
    }
}

/// A written file that has no final name yet, and who gets it; the first one owns its place in `tmp/`.
struct Draft {
    file: File,
    tmp: Arc<OpenFolder>,
    tmp_name: String,
    sizes: Sizes,
    targets: VecDeque<Target>,
}

/// A file with its final names.
struct Placed {
    file: File,
    sizes: Sizes,
    names: Vec<(Target, String)>,
}

/// The storing of one message.
struct Run<'a> {
    shelf: &'a Shelf,
    message: &'a Message,
    copies: &'a [Copy],
    results: Vec<Option<Result<Stored, Problem>>>,
}

impl Shelf {
    /// Stores; one result for each copy, in order.
    pub(super) fn store(&self, message: &Message, copies: &[Copy]) -> Vec<Result<Stored, StoreError>> {
        let results = copies.iter().map(|_| None).collect();
        let mut run = Run { shelf: self, message, copies, results };
        let mut groups = run.groups();
        while !groups.is_empty() {
            let rest = groups.split_off(groups.len().min(MAX_DRAFTS));
            let alone = run.deliver(groups);
            groups = rest;
            groups.extend(alone);
        }
        let lost = || Err(Problem::text("it was left out"));
        let results = run.results.into_iter().map(|result| result.unwrap_or_else(lost));
        results
            .zip(copies)
            .map(|(result, copy)| result.map_err(|problem| problem.into_error(&copy.mailbox)))
            .collect()
    }

    /// Finds the place of a copy; once more when it was deleted behind our back.
    fn target(&self, at: usize, copy: &Copy) -> Result<Target, Problem> {
        match self.find(at, copy) {
            Err(problem) if problem.is(Errno::NOENT) => {
                self.folders.forget_all(&copy.mailbox.0);
                self.find(at, copy)
            }
            found => found,
        }
    }

    fn find(&self, at: usize, copy: &Copy) -> Result<Target, Problem> {
        let folder = self.folders.folder(&self.tree, &copy.mailbox.0, &copy.store.folder)?;
        let info = keywords::info(&self.tree, &folder, &copy.store.flags);
        let mut cur = None;
        if !info.is_empty() {
            let refused = |errno| self.tree.refused("opening cur/ in", &folder.place, errno);
            cur = Some(open_cur(&self.tree, &folder).map_err(refused)?);
        }
        Ok(Target { at, folder, cur, info, unique: self.names.next() })
    }
}

impl Run<'_> {
    /// The copies that get the same bytes.
    fn groups(&mut self) -> Vec<VecDeque<Target>> {
        let mut groups: Vec<(&RenderedHead, VecDeque<Target>)> = Vec::new();
        for (at, copy) in self.copies.iter().enumerate() {
            match self.shelf.target(at, copy) {
                Ok(target) => match groups.iter_mut().find(|(head, _)| is_same(head, &copy.head)) {
                    Some((_, group)) => group.push_back(target),
                    None => groups.push((&copy.head, VecDeque::from([target]))),
                },
                Err(problem) => self.fail(at, problem),
            }
        }
        groups.into_iter().map(|(_, group)| group).collect()
    }

    /// Brings each group's bytes to its targets. Gives back those that could not share a file.
    fn deliver(&mut self, groups: Vec<VecDeque<Target>>) -> Vec<VecDeque<Target>> {
        let drafts = groups.into_iter().filter_map(|group| self.draft(group)).collect();
        let mut alone = Vec::new();
        let placed: Vec<Placed> =
            self.sync_data(drafts).into_iter().map(|draft| self.place(draft, &mut alone)).collect();
        self.finish(placed);
        alone
    }

    /// Writes the file in the `tmp/` of the first target where that is possible.
    fn draft(&mut self, mut targets: VecDeque<Target>) -> Option<Draft> {
        while let Some(mut first) = targets.pop_front() {
            match self.write(&mut first) {
                Ok((file, tmp_name, sizes)) => {
                    let tmp = Arc::clone(&first.folder);
                    targets.push_front(first);
                    return Some(Draft { file, tmp, tmp_name, sizes, targets });
                }
                Err(problem) => {
                    let device = first.folder.device;
                    let is_shared = |other: &Target| problem.is_full() && other.folder.device == device;
                    // The same disk will not have room for the next one.
                    let (lost, rest): (VecDeque<_>, VecDeque<_>) = targets.into_iter().partition(is_shared);
                    targets = rest;
                    lost.iter().chain([&first]).for_each(|target| self.fail(target.at, problem.clone()));
                }
            }
        }
        None
    }

    fn write(&self, target: &mut Target) -> Result<(File, String, Sizes), Problem> {
        let tmp_name = self.shelf.names.next();
        let file = match self.shelf.tree.make_file(&target.folder.tmp, &tmp_name) {
            Err(Errno::NOENT) => {
                self.reopen(target)?;
                self.shelf.tree.make_file(&target.folder.tmp, &tmp_name)
            }
            made => made,
        };
        let refused =
            |errno| self.shelf.tree.refused("creating a file in tmp/ of", &target.folder.place, errno);
        let file = file.map_err(refused)?;
        let head = self.copies.get(target.at).map(|copy| &copy.head);
        let head = head.ok_or_else(|| Problem::text("there is no such copy"))?;
        match write::write(&file, head, self.message) {
            Ok(sizes) => Ok((file, tmp_name, sizes)),
            Err(error) => {
                tree::discard(&target.folder.tmp, &tmp_name);
                Err(self.unwritten(target, &error))
            }
        }
    }

    fn unwritten(&self, target: &Target, error: &io::Error) -> Problem {
        match Errno::from_io_error(error) {
            Some(errno) => self.shelf.tree.refused("writing to tmp/ of", &target.folder.place, errno),
            None => Problem::text(format!("writing to tmp/ of {}: {error}", target.folder.place)),
        }
    }

    /// Opens the target's folder anew: its directories were deleted behind our back.
    fn reopen(&self, target: &mut Target) -> Result<(), Problem> {
        let Some(copy) = self.copies.get(target.at) else { return Ok(()) };
        self.shelf.folders.forget_all(&copy.mailbox.0);
        *target = self.shelf.target(target.at, copy)?;
        Ok(())
    }

    fn sync_data(&mut self, drafts: Vec<Draft>) -> Vec<Draft> {
        let files: Vec<Data<'_>> =
            drafts.iter().map(|draft| Data { device: draft.tmp.device, file: draft.file.as_fd() }).collect();
        let results = self.shelf.durability.sync_data(&files);
        let mut durable = Vec::with_capacity(drafts.len());
        for (draft, result) in drafts.into_iter().zip(results) {
            match result {
                Ok(()) => durable.push(draft),
                Err(errno) => {
                    tree::discard(&draft.tmp.tmp, &draft.tmp_name);
                    let problem =
                        self.shelf.tree.refused("syncing a file in tmp/ of", &draft.tmp.place, errno);
                    draft.targets.iter().for_each(|target| self.fail(target.at, problem.clone()));
                }
            }
        }
        durable
    }

    /// Gives a file its names: links for all but the first target, which gets the file itself.
    fn place(&mut self, draft: Draft, alone: &mut Vec<VecDeque<Target>>) -> Placed {
        let Draft { file, tmp, tmp_name, sizes, mut targets } = draft;
        let mut names = Vec::with_capacity(targets.len());
        let first = targets.pop_front();
        for mut target in targets {
            match self.link(&mut target, (&tmp, &tmp_name), sizes) {
                Ok(name) => names.push((target, name)),
                Err(problem) if is_for_link(&problem) => alone.push(VecDeque::from([target])),
                Err(problem) => self.fail(target.at, problem),
            }
        }
        if let Some(target) = first {
            let name = final_name(&target, sizes);
            match renameat(&tmp.tmp, &*tmp_name, target.directory(), &*name) {
                Ok(()) => names.push((target, name)),
                Err(errno) => {
                    tree::discard(&tmp.tmp, &tmp_name);
                    self.fail(target.at, self.shelf.tree.refused("naming a file in", &tmp.place, errno));
                }
            }
        }
        Placed { file, sizes, names }
    }

    fn link(&self, target: &mut Target, from: (&OpenFolder, &str), sizes: Sizes) -> Result<String, Problem> {
        let (tmp, tmp_name) = from;
        let link_to = |target: &Target| {
            let name = final_name(target, sizes);
            linkat(&tmp.tmp, tmp_name, target.directory(), &*name, AtFlags::empty()).map(|()| name)
        };
        let linked = match link_to(target) {
            Err(Errno::NOENT) => {
                self.reopen(target)?;
                link_to(target)
            }
            linked => linked,
        };
        linked.map_err(|errno| self.shelf.tree.refused("linking a file into", &target.folder.place, errno))
    }

    /// Makes the names durable, and only then calls the copies stored.
    fn finish(&mut self, placed: Vec<Placed>) {
        let named = |placed: &'_ Placed| placed.names.len();
        let mut names = Vec::with_capacity(placed.iter().map(named).sum());
        for Placed { file, names: of_file, .. } in &placed {
            names.extend(of_file.iter().map(|(target, _)| Name {
                device: target.folder.device,
                directory: target.directory(),
                place: (&target.folder.place, target.part()),
                file: file.as_fd(),
                is_linked: of_file.len() > 1,
            }));
        }
        let mut results = self.shelf.durability.sync_names(&names).into_iter();
        let mut stored = Vec::with_capacity(names.len());
        for Placed { sizes, names, .. } in placed {
            for ((target, name), result) in names.into_iter().zip(results.by_ref()) {
                match result {
                    Ok(()) => stored.push((target, sizes)),
                    Err(errno) => {
                        // It will be sent again: better no copy now than two then.
                        tree::discard(target.directory(), &name);
                        self.fail(target.at, self.shelf.tree.refused("syncing", &target.folder.place, errno));
                    }
                }
            }
        }
        self.count(&stored);
        for (target, sizes) in stored {
            let name = name::with_sizes(&target.unique, sizes.octets, sizes.wire_octets);
            self.set(target.at, Ok(Stored { name }));
        }
    }

    /// Writes down in each mailbox how much came in: all at once, since it may have to be counted anew.
    fn count(&self, stored: &[(Target, Sizes)]) {
        let mut changes: BTreeMap<&str, (Option<Quota>, Usage)> = BTreeMap::new();
        for (target, sizes) in stored {
            let Some(copy) = self.copies.get(target.at) else { continue };
            let directory = folder_name::directory(&copy.store.folder, self.shelf.folders.names);
            if quota::counts(directory.as_deref(), &target.info) {
                let (limits, usage) = changes.entry(&copy.mailbox.0).or_default();
                *limits = limits.or(copy.quota);
                usage.octets += sizes.octets;
                usage.messages += 1;
            }
        }
        let Shelf { tree, folders, names, .. } = self.shelf;
        for (mailbox, change) in changes {
            let Ok(opened) = folders.mailbox(tree, mailbox, false) else { continue };
            if let Err(error) = quota::add(tree, &opened, names, change) {
                tracing::debug!(mailbox, %error, "stored a message without counting it in maildirsize");
            }
        }
    }

    fn fail(&mut self, at: usize, problem: Problem) {
        self.set(at, Err(problem));
    }

    fn set(&mut self, at: usize, result: Result<Stored, Problem>) {
        if let Some(slot) = self.results.get_mut(at) {
            *slot = Some(result);
        }
    }
}

fn open_cur(tree: &Tree, folder: &OpenFolder) -> Result<OwnedFd, Errno> {
    match openat(&folder.dir, "cur", DIRECTORY, Mode::empty()) {
        Err(Errno::NOENT) => {
            let cur = tree.make_dir(&folder.dir, "cur")?;
            fsync(&folder.dir).map(|()| cur)
        }
        opened => opened,
    }
}

fn final_name(target: &Target, sizes: Sizes) -> String {
    let mut name = name::with_sizes(&target.unique, sizes.octets, sizes.wire_octets);
    name.push_str(&target.info);
    name
}

/// Whether only the sharing failed: another file system, too many links, or a file system without links.
fn is_for_link(problem: &Problem) -> bool {
    [Errno::XDEV, Errno::MLINK, Errno::PERM, Errno::OPNOTSUPP, Errno::NOSYS]
        .iter()
        .any(|errno| problem.is(*errno))
}

fn is_same(one: &RenderedHead, other: &RenderedHead) -> bool {
    let is_equal = |one: &[u8], other: &[u8]| std::ptr::eq(one, other) || one == other;
    is_equal(&one.prefix, &other.prefix) && is_equal(&one.head, &other.head)
}
