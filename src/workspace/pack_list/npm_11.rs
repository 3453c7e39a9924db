//! `files` as npm 11 takes them: lines of an ignore file turned round, but for files that are there, which are strictly in.
//!
//! The rules are those of `processPackage` in `lib/index.js` of npm-packlist 10.

use super::{FilesRules, Folder};

/// What the entries become. npm 11 looks at each on disk: a file is a strict rule, put before all earlier ones, a directory two ordinary
/// ones, and what is not there, as a glob is not, is taken for a pattern.
pub(super) fn files_rules(entries: &[String], root: &Folder<'_>, links: &[String]) -> FilesRules {
    let mut rules = FilesRules {
        lines: vec!["*".to_owned()],
        ..FilesRules::default()
    };
    for entry in entries {
        let mut entry = match entry.strip_prefix('.') {
            Some(rest) if rest.starts_with('/') => rest.to_owned(),
            _ => entry.clone(),
        };
        if entry.ends_with("/*") {
            entry.push('*');
        }
        let line = format!("!{entry}");
        match kind(entry.trim_start_matches('!'), root, links) {
            Kind::File => {
                let strict = lines(&line).map(str::to_owned);
                rules.strict.splice(0..0, strict);
                let inside = entry.strip_prefix('/').unwrap_or(&entry);
                rules.required.extend(directly_below(inside));
            }
            Kind::Directory => {
                rules.lines.extend(lines(&line).map(str::to_owned));
                let below = format!("{line}/**");
                rules.lines.extend(lines(&below).map(str::to_owned));
            }
            Kind::Other => {}
            Kind::Absent => rules.lines.extend(lines(&line).map(str::to_owned)),
        }
    }
    rules
}

/// npm joins its rules to a text that it then takes apart.
fn lines(rule: &str) -> impl Iterator<Item = &str> {
    rule.split('\n').map(|line| line.trim_end_matches('\r'))
}

#[derive(Debug, PartialEq, Eq)]
enum Kind {
    File,
    Directory,
    /// A link or a special file.
    Other,
    Absent,
}

/// What lies at a path as it is written in package.json.
fn kind(path: &str, root: &Folder<'_>, links: &[String]) -> Kind {
    let unified = path.replace('\\', "/");
    let Some(parts) = resolved(&unified).filter(|_| !path.contains('\0')) else {
        return Kind::Absent;
    };
    if !unified.ends_with('/') && links.contains(&parts.join("/")) {
        return Kind::Other;
    }
    let mut folder = root;
    let mut parts = parts.into_iter().peekable();
    while let Some(part) = parts.next() {
        if let Some(inner) = folder.folders.get(part) {
            folder = inner;
            continue;
        }
        let is_last = parts.peek().is_none() && !unified.ends_with('/');
        return if is_last && folder.files.contains(&part) {
            Kind::File
        } else {
            Kind::Absent
        };
    }
    Kind::Directory
}

/// A path in its parts, without `.` and `..`; `None` where it leads out.
fn resolved(path: &str) -> Option<Vec<&str>> {
    let mut parts = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts)
}

/// Directory and name of a file that lies right below the top's directories; `None` for one at the top or deeper.
fn directly_below(file: &str) -> Option<(String, String)> {
    let [directory, name] = resolved(file)?.try_into().ok()?;
    Some((directory.to_owned(), name.replace('\\', "/")))
}
