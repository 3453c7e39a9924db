//! The keys of other tools' files that no setting of ours takes over, each with what holds here instead. Keys that mean the same here, or
//! nothing, are listed too: whatever is not listed is told as unknown.

use serde_json::{Map, Value};

use crate::explain::quoted;
use crate::settings::PUBLIC_REGISTRY;
use crate::settings::adopted::{CHANGESETS, LERNA};

/// A key of another tool's file that is not taken over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Untaken {
    /// The file.
    pub file: &'static str,
    /// The key as it stands there.
    pub key: String,
    /// What says here what is meant; nothing is told where that is set.
    pub setting: Option<&'static str>,
    /// What holds here, and what to set.
    pub instead: &'static str,
}

/// A key that a file may hold.
struct Known {
    key: &'static str,
    /// Values that mean what holds here anyway, as compact JSON.
    same: &'static [&'static str],
    setting: Option<&'static str>,
    instead: &'static str,
}

const fn told(
    key: &'static str,
    same: &'static [&'static str],
    setting: Option<&'static str>,
    instead: &'static str,
) -> Known {
    Known {
        key,
        same,
        setting,
        instead,
    }
}

const UNKNOWN: &str = "nothing here knows it";
const OFF: &[&str] = &["false"];
const ON: &[&str] = &["true"];

/// The keys of changesets, as the schema of its version 3 and the documentation of version 2 have them.
const OF_CHANGESETS: &[Known] = &[
    told(
        "changelog",
        &["false", "\"@changesets/cli/changelog\""],
        Some("changelog"),
        "notes have one form; changelog says where they are written",
    ),
    told(
        "commit",
        ON,
        Some("push"),
        "what is decided is always a commit; push false keeps that of version here",
    ),
    told(
        "updateInternalDependencies",
        &[],
        None,
        "a range is rewritten when it no longer holds",
    ),
    told(
        "privatePackages",
        &[
            "{\"version\":true,\"tag\":true}",
            "{\"tag\":true,\"version\":true}",
        ],
        Some("filter"),
        "private packages get versions and tags, too; filter leaves packages out",
    ),
    told(
        "bumpVersionsWithWorkspaceProtocolOnly",
        OFF,
        None,
        "every range of a package of the workspace counts",
    ),
    told(
        "snapshot",
        &["{}"],
        None,
        "release --snapshot makes 0.0.0-<name>-<commit>",
    ),
    told(
        "changedFilePatterns",
        &["[\"**\"]"],
        Some("ignore"),
        "every file counts; ignore leaves files out",
    ),
    told(
        "___experimentalUnsafeOptions_WILL_CHANGE_IN_PATCH",
        &["{}"],
        Some("peer"),
        "a dependent follows when its range no longer holds; peer says how far",
    ),
];
const SILENT_OF_CHANGESETS: &[&str] = &[
    "$schema",
    "access",
    "baseBranch",
    "fixed",
    "format",
    "ignore",
    "linked",
    "prettier",
];

/// What lerna's `version` and `publish` are told, as the schema of its version 10 has it.
const OF_LERNA: &[Known] = &[
    told(
        "tagVersionPrefix",
        &["\"v\""],
        Some("tag-format"),
        "set tagFormat",
    ),
    told(
        "tagVersionSeparator",
        &["\"@\""],
        Some("tag-format"),
        "set tagFormat",
    ),
    told(
        "preid",
        &[],
        Some("prerelease"),
        "prerelease says it, and branches of a branch",
    ),
    told(
        "exact",
        OFF,
        None,
        "a range is rewritten when it no longer holds, and stays as exact as it is",
    ),
    told(
        "changelogPreset",
        &[
            "\"angular\"",
            "\"conventionalcommits\"",
            "\"conventional-changelog-angular\"",
            "\"conventional-changelog-conventionalcommits\"",
        ],
        None,
        "commits are read as Conventional Commits, and notes have one form",
    ),
    told(
        "conventionalCommits",
        ON,
        Some("bump-from"),
        "commits count unless bumpFrom is intents",
    ),
    told(
        "conventionalPrerelease",
        OFF,
        Some("prerelease"),
        "prerelease says it",
    ),
    told(
        "conventionalBumpPrerelease",
        OFF,
        Some("prerelease"),
        "prerelease says it",
    ),
    told(
        "conventionalGraduate",
        OFF,
        None,
        "release --bump graduate makes releases of prereleases",
    ),
    told(
        "forceConventionalGraduate",
        OFF,
        None,
        "release --bump graduate makes releases of prereleases",
    ),
    told(
        "forcePublish",
        OFF,
        Some("fixed"),
        "what did not change is released only with others, in mode sync or a group of fixed",
    ),
    told(
        "push",
        ON,
        Some("push"),
        "release pushes always; push false keeps what version decides here",
    ),
    told("gitTagVersion", ON, None, "a release is marked by its tags"),
    told("amend", OFF, None, "a release makes a commit of its own"),
    told("signGitCommit", OFF, None, "nothing is signed"),
    told("signGitTag", OFF, None, "nothing is signed"),
    told("forceGitTag", OFF, None, "a tag is never moved"),
    told("gitTagCommand", &[], None, "tags are plain tags of git"),
    told("commitHooks", OFF, None, "a release runs no git hooks"),
    told(
        "changelog",
        &["false", "true"],
        Some("changelog"),
        "changelog says where notes are written",
    ),
    told(
        "changelogEntryAdditionalMarkdown",
        &[],
        None,
        "notes have one form",
    ),
    told(
        "createRelease",
        &["\"github\""],
        Some("forge-release"),
        "releases are made on GitHub only; forgeRelease says whether",
    ),
    told(
        "gitRemote",
        &["\"origin\""],
        Some("remote"),
        "set PKGS_REMOTE in the workflow",
    ),
    told(
        "ignoreScripts",
        OFF,
        Some("scripts"),
        "scripts says whether lifecycle scripts run while packing",
    ),
    told("buildMetadata", &[], None, "npm drops build metadata"),
    told(
        "syncDistVersion",
        OFF,
        Some("replacements"),
        "replacements writes versions into further files",
    ),
    told(
        "distTag",
        &["\"latest\""],
        Some("npm-tag"),
        "set npm-tag in the workflow",
    ),
    told(
        "preDistTag",
        &[],
        Some("npm-tag"),
        "the dist-tag of a prerelease is its identifier; npm-tag in the workflow says another",
    ),
    told(
        "registry",
        &[],
        Some("registry"),
        "set registry in the workflow: no file says where a credential is sent",
    ),
    told(
        "legacyAuth",
        &[],
        Some("npm-token"),
        "set npm-token in the workflow",
    ),
    told(
        "contents",
        &["\".\""],
        None,
        "what is packed is the package's own directory",
    ),
    told(
        "directory",
        &["\".\""],
        None,
        "what is packed is the package's own directory",
    ),
    told(
        "canary",
        OFF,
        Some("snapshot"),
        "release --snapshot publishes for trying out",
    ),
    told(
        "includePrivate",
        &["false", "[]"],
        None,
        "a private package never reaches npm",
    ),
];
/// Keys of the same place that are taken over, or say how lerna itself goes about its work.
const SILENT_OF_LERNA: &[&str] = &[
    "allowBranch",
    "assets",
    "ciBehindBehavior",
    "concurrency",
    "continueIfNoMatch",
    "excludeDependents",
    "gitHead",
    "gitReset",
    "granularPathspec",
    "ignore",
    "ignoreChanges",
    "ignorePrepublish",
    "includeDependencies",
    "includeDependents",
    "includeMergedTags",
    "json",
    "loglevel",
    "maxBuffer",
    "message",
    "npmClient",
    "npmClientArgs",
    "otp",
    "private",
    "progress",
    "rejectCycles",
    "requireScripts",
    "runScriptsOnLockfileUpdate",
    "scope",
    "since",
    "sort",
    "summaryFile",
    "tempTag",
    "verifyAccess",
    "verifyRegistry",
    "yes",
];
/// Keys of the whole file that are taken over, or of lerna's other commands.
const SILENT_OF_LERNA_FILE: &[&str] = &[
    "$schema",
    "access",
    "bail",
    "bin",
    "bootstrap",
    "cli",
    "command",
    "dependencies",
    "description",
    "dest",
    "dev",
    "esModule",
    "flatten",
    "forceLocal",
    "hoist",
    "homepage",
    "keywords",
    "license",
    "mutex",
    "nohoist",
    "packages",
    "parallel",
    "peer",
    "prefix",
    "preserveCommit",
    "profile",
    "profileLocation",
    "skipNxCache",
    "stream",
    "strict",
    "tag",
    "useNx",
    "useWorkspaces",
    "verbose",
    "version",
];

/// What `.changeset/config.json` says that is not taken over.
pub(super) fn of_changesets(object: &Map<String, Value>) -> Vec<Untaken> {
    let keys = object.iter();
    keys.filter_map(|(key, value)| {
        untaken(
            CHANGESETS,
            key,
            key,
            value,
            OF_CHANGESETS,
            &[SILENT_OF_CHANGESETS],
        )
    })
    .collect()
}

/// What `lerna.json` says that is not taken over; `taken` are the whole keys that are.
pub(super) fn of_lerna(object: &Map<String, Value>, taken: &[String]) -> Vec<Untaken> {
    let mut found = Vec::new();
    let file_silent = [SILENT_OF_LERNA, SILENT_OF_LERNA_FILE];
    for (key, value) in object {
        let known = untaken(LERNA, key, key, value, OF_LERNA, &file_silent);
        found.extend(known.map(|one| match key.as_str() {
            "extends" => Untaken {
                instead: "the other file is not read; say here what it says",
                ..one
            },
            _ => one,
        }));
    }
    for command in ["version", "publish"] {
        let told = object.get("command").and_then(|told| told.get(command));
        for (key, value) in told.and_then(Value::as_object).into_iter().flatten() {
            let whole = format!("command.{command}.{key}");
            let known = untaken(LERNA, &whole, key, value, OF_LERNA, &[SILENT_OF_LERNA]);
            found.extend(known);
        }
    }
    found.retain(|one| !taken.contains(&one.key));
    found
}

fn untaken(
    file: &'static str,
    whole: &str,
    key: &str,
    value: &Value,
    told: &[Known],
    silent: &[&[&str]],
) -> Option<Untaken> {
    const LONGEST: usize = 80;
    if value.is_null() || silent.iter().any(|keys| keys.contains(&key)) {
        return None;
    }
    let known = told.iter().find(|known| known.key == key);
    if known.is_some_and(|known| known.same.contains(&value.to_string().as_str())) {
        return None;
    }
    let is_public =
        |address: &str| address.trim_end_matches('/') == PUBLIC_REGISTRY.trim_end_matches('/');
    if key == "registry" && value.as_str().is_some_and(is_public) {
        return None;
    }
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "$_.-".contains(letter);
    let is_plain = whole.chars().all(is_plain) && whole.len() <= LONGEST;
    Some(Untaken {
        file,
        key: if is_plain {
            whole.to_owned()
        } else {
            quoted(whole)
        },
        setting: known.and_then(|known| known.setting),
        instead: known.map_or(UNKNOWN, |known| known.instead),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(of: impl Fn(&Map<String, Value>) -> Vec<Untaken>, text: &str, expected: &[&str]) {
        let object: Map<String, Value> = serde_json::from_str(text).unwrap();
        let found: Vec<String> = of(&object).into_iter().map(|one| one.key).collect();
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn keys_that_are_not_taken_over_are_told_unless_they_mean_the_same_or_nothing() {
        let changesets = |text, expected: &[&str]| check(of_changesets, text, expected);
        changesets("{}", &[]);
        changesets(
            r#"{"$schema": "x", "fixed": [], "access": "public", "format": false, "changelog": "@changesets/cli/changelog"}"#,
            &[],
        );
        changesets(
            r#"{"commit": false, "snapshot": {}, "privatePackages": {"version": true, "tag": true}}"#,
            &["commit"],
        );
        changesets(
            r#"{"changelog": ["x", {}], "privatePackages": false, "snapshot": {"useCalculatedVersion": true}, "commit": true}"#,
            &["changelog", "privatePackages", "snapshot"],
        );
        changesets(
            r#"{"bumpVersionsWithWorkspaceProtocolOnly": true, "nonsense": null, "other": 1, "two\nlines": 1}"#,
            &[
                "bumpVersionsWithWorkspaceProtocolOnly",
                "other",
                "\"two\\nlines\"",
            ],
        );
        let lerna = |text, expected: &[&str]| {
            check(
                |object| of_lerna(object, &["command.publish.distTag".to_owned()]),
                text,
                expected,
            );
        };
        lerna(
            r#"{"$schema": "x", "version": "1.0.0", "packages": [], "npmClient": "npm", "useNx": false, "command": {"run": {"x": 1}}}"#,
            &[],
        );
        lerna(
            r#"{"exact": true, "extends": "x", "nonsense": 1, "command": {"version": {"preid": "rc", "push": true, "exact": false}}}"#,
            &["exact", "extends", "nonsense", "command.version.preid"],
        );
        lerna(
            r#"{"command": {"publish": {"registry": "https://r.example/", "distTag": "next", "packages": 1}}}"#,
            &["command.publish.registry", "command.publish.packages"],
        );
        lerna(r#"{"command": {"publish": 5}}"#, &[]);
    }
}
