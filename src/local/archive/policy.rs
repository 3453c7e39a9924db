//! What an archive may hold. Packing and unpacking ask the same rules, so that nothing is released that a host would refuse.

use std::collections::HashMap;

/// The most entries of one archive.
pub(super) const MOST_ENTRIES: u64 = 200_000;

/// The most bytes of the tar inside an archive.
pub(super) const MOST_BYTES: u64 = 16 << 30;

const LONGEST_PATH: usize = 1024;
const DEEPEST: usize = 64;
const MOST_LINKS_FOLLOWED: usize = 40;

/// Names at the top that belong to this program's own bookkeeping on a host.
const RESERVED: [&str; 2] = [".pkgs", ".complete"];

/// A tar this long is tested for how much smaller its archive is.
const RATIO_FROM: u64 = 16 << 20;
const HIGHEST_RATIO: u64 = 200;

/// A broken rule: its code and why.
pub(super) type Problem = (&'static str, String);

fn problem<T>(code: &'static str, why: &str) -> Result<T, Problem> {
    Err((code, why.to_owned()))
}

/// What a path in an archive is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    /// A directory; `named` when it has an entry of its own and is not only on the way to others.
    Directory {
        /// Whether it has an entry of its own.
        named: bool,
    },
    /// A regular file.
    File,
    /// A symbolic link and its target.
    Link(String),
}

/// The paths met so far.
#[derive(Debug, Default)]
pub(super) struct Seen {
    kinds: HashMap<String, Kind>,
    entries: u64,
}

impl Seen {
    /// Takes in one more entry.
    pub(super) fn add(&mut self, path: &str, kind: Kind) -> Result<(), Problem> {
        self.entries += 1;
        if self.entries > MOST_ENTRIES {
            return problem("archive::entries", "it has more than 200,000 entries");
        }
        check_path(path)?;
        if let Kind::Link(target) = &kind {
            check_target(path, target)?;
        }
        self.add_way_to(path)?;
        match (self.kinds.get(path), &kind) {
            (None, _) | (Some(Kind::Directory { named: false }), Kind::Directory { .. }) => {
                self.kinds.insert(path.to_owned(), kind);
                Ok(())
            }
            (Some(Kind::Directory { named: false }), _) => {
                problem("archive::collision", "it is a directory and something else")
            }
            _ => problem("archive::duplicate", "it occurs twice"),
        }
    }

    fn add_way_to(&mut self, path: &str) -> Result<(), Problem> {
        for (slash, _) in path.match_indices('/') {
            let folder = &path[..slash];
            match self.kinds.get(folder) {
                None => {
                    self.kinds
                        .insert(folder.to_owned(), Kind::Directory { named: false });
                }
                Some(Kind::Directory { .. }) => {}
                Some(Kind::File) => {
                    return problem(
                        "archive::collision",
                        "a file is in the place of its directory",
                    );
                }
                Some(Kind::Link(_)) => {
                    return problem("archive::through_link", "it lies below a symbolic link");
                }
            }
        }
        Ok(())
    }

    /// How many entries were taken in.
    pub(super) fn entries(&self) -> u64 {
        self.entries
    }

    /// How many files and links there are.
    pub(super) fn leaves(&self) -> u64 {
        let is_leaf = |kind: &&Kind| !matches!(kind, Kind::Directory { .. });
        self.kinds.values().filter(is_leaf).count() as u64
    }

    /// Every link and its target.
    pub(super) fn links(&self) -> impl Iterator<Item = (&str, &str)> {
        self.kinds.iter().filter_map(|(path, kind)| match kind {
            Kind::Link(target) => Some((path.as_str(), target.as_str())),
            _ => None,
        })
    }

    /// Checks, when all entries are known, that no link leads outside, also not by way of other links. Answers with the link that does.
    pub(super) fn check_links(&self) -> Result<(), (String, Problem)> {
        for (path, target) in self.links() {
            self.follow(path, target)
                .map_err(|problem| (path.to_owned(), problem))?;
        }
        Ok(())
    }

    fn follow(&self, path: &str, target: &str) -> Result<(), Problem> {
        let mut here: Vec<&str> = path.split('/').collect();
        here.pop();
        let mut todo: Vec<&str> = target.rsplit('/').collect();
        let mut followed = 0;
        while let Some(part) = todo.pop() {
            match part {
                "" | "." => {}
                ".." => {
                    if here.pop().is_none() {
                        return escape();
                    }
                }
                name => {
                    here.push(name);
                    let Some(Kind::Link(next)) = self.kinds.get(&here.join("/")) else {
                        continue;
                    };
                    followed += 1;
                    if followed > MOST_LINKS_FOLLOWED {
                        return problem("archive::link", "following it never ends");
                    }
                    here.pop();
                    todo.extend(next.rsplit('/'));
                }
            }
        }
        Ok(())
    }
}

fn escape<T>() -> Result<T, Problem> {
    problem("archive::link_escape", "it is a link that leads outside")
}

/// Checks a path in an npm package, as far as npm would not unpack it as it is named, or not on every system.
pub(super) fn check_npm_path(path: &str) -> Result<(), Problem> {
    check_place(path)?;
    check_characters(path)
}

fn check_path(path: &str) -> Result<(), Problem> {
    check_place(path)?;
    check_characters(path)?;
    let mut parts = path.split('/');
    if parts.any(|part| part.ends_with(['.', ' '])) {
        return problem(
            "archive::name",
            "a part of its path ends with a dot or a space",
        );
    }
    if path
        .split('/')
        .next()
        .is_some_and(|top| RESERVED.contains(&top))
    {
        return problem(
            "archive::reserved",
            "this name is kept for the bookkeeping of hosts",
        );
    }
    Ok(())
}

/// Where a path leads.
fn check_place(path: &str) -> Result<(), Problem> {
    if path.len() > LONGEST_PATH {
        return problem(
            "archive::path_length",
            "its path is longer than 1,024 bytes",
        );
    }
    if path.starts_with('/') {
        return problem("archive::absolute", "its path is absolute");
    }
    let parts = || path.split('/');
    if parts().any(|part| part == "..") {
        return problem("archive::dotdot", "its path has a '..' in it");
    }
    if parts().count() > DEEPEST {
        return problem("archive::path_length", "its path is deeper than 64 levels");
    }
    if parts().any(|part| part.is_empty() || part == ".") {
        return problem("archive::name", "its path has an empty part or a '.'");
    }
    let mut start = path.chars();
    if start
        .next()
        .is_some_and(|first| first.is_ascii_alphabetic())
        && start.next() == Some(':')
    {
        return problem("archive::name", "its path starts like a drive");
    }
    Ok(())
}

fn check_characters(path: &str) -> Result<(), Problem> {
    if path.chars().any(char::is_control) || path.contains('\\') {
        return problem(
            "archive::name",
            "its path has a control character or a backslash",
        );
    }
    Ok(())
}

fn check_target(path: &str, target: &str) -> Result<(), Problem> {
    if target.is_empty() || target.len() > LONGEST_PATH || target.chars().any(char::is_control) {
        return problem(
            "archive::link",
            "the target of the link is empty, too long or unprintable",
        );
    }
    if target.starts_with('/') {
        return escape();
    }
    let mut depth = path.matches('/').count();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                let Some(up) = depth.checked_sub(1) else {
                    return escape();
                };
                depth = up;
            }
            _ => depth += 1,
        }
    }
    Ok(())
}

/// Whether the lengths of an archive and of the tar in it are those of honest files.
pub(super) fn check_sizes(size: u64, tar_size: u64) -> Result<(), Problem> {
    if tar_size > MOST_BYTES {
        return problem("archive::size", "its tar is longer than 16 GiB");
    }
    if tar_size > RATIO_FROM && tar_size / HIGHEST_RATIO > size {
        return problem(
            "archive::ratio",
            "its tar is more than 200 times as long as itself",
        );
    }
    Ok(())
}
