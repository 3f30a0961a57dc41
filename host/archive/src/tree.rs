//! The module as a tree, and the files that come of it once links have become copies.

use crate::error::{Error, shown};
use crate::limits::{Limits, NameBudget, Watch};
use crate::name;
use crate::spool::Content;
use std::collections::{BTreeMap, VecDeque};

/// Links that one name may lead through, as Linux has it.
const MAX_HOPS: usize = 40;

/// A folder: a map, so that order and owner of the input leave no trace.
#[derive(Default)]
pub(crate) struct Folder(BTreeMap<String, Node>);

enum Node {
    Folder(Folder),
    File {
        content: Content,
        is_executable: bool,
    },
    Link(String),
}

/// What can be put into a tree.
pub(crate) enum Leaf {
    File {
        content: Content,
        is_executable: bool,
    },
    Link(String),
    Folder,
}

/// One file of the package.
#[derive(Debug)]
pub(crate) struct PackagedFile {
    pub(crate) path: String,
    pub(crate) content: Content,
    pub(crate) is_executable: bool,
}

impl PackagedFile {
    /// 0644 or 0755: the only two modes there are.
    pub(crate) const fn mode(&self) -> u32 {
        if self.is_executable { 0o755 } else { 0o644 }
    }
}

/// The tree, while it is filled.
#[derive(Default)]
pub(crate) struct Tree {
    root: Folder,
    budget: NameBudget,
}

impl Tree {
    /// Puts `leaf` at the checked name `path`, making the folders above it.
    pub(crate) fn insert(&mut self, path: &str, leaf: Leaf) -> Result<(), Error> {
        let twice = || Error::corrupt(format!("`{}` is there twice", shown(path.as_bytes())));
        let mut folder = &mut self.root;
        let (above, last) = path.rsplit_once('/').unwrap_or(("", path));
        for segment in above.split('/').filter(|segment| !segment.is_empty()) {
            if !folder.0.contains_key(segment) {
                self.budget.spend(segment)?;
            }
            let node = folder
                .0
                .entry(segment.to_owned())
                .or_insert_with(|| Node::Folder(Folder::default()));
            folder = match node {
                Node::Folder(folder) => folder,
                Node::File { .. } => return Err(twice()),
                Node::Link(_) => {
                    return Err(Error::UnsafePath {
                        path: shown(path.as_bytes()),
                        rule: "it is inside a link",
                    });
                }
            };
        }
        match (folder.0.get(last), leaf) {
            (None, leaf) => {
                self.budget.spend(last)?;
                let node = match leaf {
                    Leaf::File {
                        content,
                        is_executable,
                    } => Node::File {
                        content,
                        is_executable,
                    },
                    Leaf::Link(target) => {
                        self.budget.spend(&target)?;
                        Node::Link(target)
                    }
                    Leaf::Folder => Node::Folder(Folder::default()),
                };
                folder.0.insert(last.to_owned(), node);
                Ok(())
            }
            // Made by an entry inside of it that came first, or named again.
            (Some(Node::Folder(_)), Leaf::Folder) => Ok(()),
            (Some(_), _) => Err(twice()),
        }
    }

    /// The files under `subdirectory`, sorted by path, with every link replaced by what it leads
    /// to. Links elsewhere do not matter.
    pub(crate) fn files<'a>(
        &'a self,
        subdirectory: Option<&'a str>,
        limits: &'a Limits,
        watch: &'a Watch,
    ) -> Result<Vec<PackagedFile>, Error> {
        let mut at = Vec::new();
        let mut start = &self.root;
        if let Some(wanted) = subdirectory {
            let missing = || Error::MissingSubdirectory {
                subdirectory: shown(wanted.as_bytes()),
            };
            match self.resolve(&[], wanted, wanted) {
                Ok((Node::Folder(folder), path)) => (start, at) = (folder, path),
                _ => return Err(missing()),
            }
        }
        let mut walk = Walk {
            tree: self,
            limits,
            watch,
            budget: NameBudget::default(),
            bytes: 0,
            open: Vec::new(),
            files: Vec::new(),
        };
        walk.folder(start, &at, "")?;
        let mut files = walk.files;
        files.sort_unstable_by(|one, two| one.path.cmp(&two.path));
        Ok(files)
    }

    /// Follows `target` from the folder `from` and every link on the way; returns the node,
    /// which is no link, and its true path. `link` is for the message.
    fn resolve<'a>(
        &'a self,
        from: &[&'a str],
        target: &'a str,
        link: &str,
    ) -> Result<(&'a Node, Vec<&'a str>), Error> {
        let refuse = |rule| Error::UnsafePath {
            path: shown(link.as_bytes()),
            rule,
        };
        const DANGLING: &str = "the link leads to nothing that is packaged";
        const TARGET: &str = "the link's target is absolute, empty or has refused characters";
        let mut path: Vec<(&str, &Node)> = Vec::new();
        let mut pending: VecDeque<&str> = from.iter().copied().chain(target.split('/')).collect();
        let mut hops = 0;
        name::portable(target).map_err(|_| refuse(TARGET))?;
        while let Some(segment) = pending.pop_front() {
            let folder = match path.last() {
                None => &self.root,
                Some((_, Node::Folder(folder))) => folder,
                Some(_) => return Err(refuse(DANGLING)),
            };
            match segment {
                "" | "." => continue,
                ".." => {
                    if path.pop().is_none() {
                        return Err(refuse("the link leads out of the module"));
                    }
                    continue;
                }
                _ => {}
            }
            let (name, node) = folder
                .0
                .get_key_value(segment)
                .ok_or_else(|| refuse(DANGLING))?;
            if let Node::Link(next) = node {
                hops += 1;
                if hops > MAX_HOPS {
                    return Err(refuse("the link leads in a circle"));
                }
                name::portable(next).map_err(|_| refuse(TARGET))?;
                for segment in next.rsplit('/') {
                    pending.push_front(segment);
                }
            } else {
                path.push((name, node));
            }
        }
        let node = path.last().map(|(_, node)| *node);
        let names = path.iter().map(|(name, _)| *name).collect();
        // The root itself: whoever links to it is inside of it.
        node.map(|node| (node, names))
            .ok_or_else(|| refuse("the link leads in a circle"))
    }
}

struct Walk<'a> {
    tree: &'a Tree,
    limits: &'a Limits,
    watch: &'a Watch,
    budget: NameBudget,
    bytes: u64,
    /// The folders that are being walked, to notice a link to one of them.
    open: Vec<&'a Folder>,
    files: Vec<PackagedFile>,
}

impl<'a> Walk<'a> {
    /// Adds what is in `folder`, whose true path is `at`, under `prefix`.
    fn folder(&mut self, folder: &'a Folder, at: &[&'a str], prefix: &str) -> Result<(), Error> {
        if self.open.iter().any(|open| std::ptr::eq(*open, folder)) {
            return Err(Error::UnsafePath {
                path: shown(prefix.as_bytes()),
                rule: "the link leads in a circle",
            });
        }
        self.open.push(folder);
        for (name, node) in &folder.0 {
            // Each time: a link may take tens of thousands of steps to follow.
            self.watch.check()?;
            let path = if prefix.is_empty() {
                name.clone()
            } else {
                format!("{prefix}/{name}")
            };
            // Through links a name can become longer than any name of the input.
            name::checked(path.as_bytes(), self.limits)?;
            let mut real = at.to_vec();
            let node = match node {
                Node::Link(target) => {
                    let (node, true_path) = self.tree.resolve(at, target, &path)?;
                    real = true_path;
                    node
                }
                node => {
                    real.push(name);
                    node
                }
            };
            match node {
                Node::Folder(folder) => {
                    self.budget.spend("")?;
                    self.folder(folder, &real, &path)?;
                }
                Node::File {
                    content,
                    is_executable,
                } => self.file(path, *content, *is_executable)?,
                Node::Link(_) => return Err(Error::corrupt("a link was not resolved")),
            }
        }
        self.open.pop();
        Ok(())
    }

    fn file(&mut self, path: String, content: Content, is_executable: bool) -> Result<(), Error> {
        self.budget.spend(&path)?;
        self.bytes = self.bytes.saturating_add(content.length);
        if self.bytes > self.limits.unpacked_bytes {
            return Err(Error::TooLarge {
                what: "the unpacked size in bytes",
                limit: self.limits.unpacked_bytes,
            });
        }
        if self.files.len() >= self.limits.entries {
            return Err(Error::TooLarge {
                what: "the number of entries",
                limit: self.limits.entries as u64,
            });
        }
        self.files.push(PackagedFile {
            path,
            content,
            is_executable,
        });
        Ok(())
    }
}
