//! What a script of a package finds in its environment: what npm tells of the package, of itself and of Node.
//!
//! The rules are those of npm 12: `lib/package-envs.js` and `lib/make-spawn-args.js` of
//! [@npmcli/run-script](https://github.com/npm/run-script), `lib/set-envs.js` of
//! [@npmcli/config](https://github.com/npm/cli/tree/latest/workspaces/config).

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::workspace::javascript::{in_order, spelled};
use crate::workspace::manager::Manager;
use crate::workspace::pack_list::Bins;

/// Variables by name.
type Variables = BTreeMap<String, String>;

/// Node, as it tells of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Its program, absolute.
    pub program: String,
    /// Its version, with the `v`.
    pub version: String,
    /// The platform, as Node names it: `linux`.
    pub platform: String,
    /// The kind of machine, as Node names it: `x64`.
    pub arch: String,
}

/// npm, as it is installed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Npm {
    /// Its directory, absolute.
    pub directory: String,
    /// Its version.
    pub version: String,
}

/// What of the tools that scripts call is there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Toolchain {
    /// `None` where none is found.
    pub node: Option<Node>,
    /// `None` where none is found.
    pub npm: Option<Npm>,
    /// The program of the workspace's own manager, where that is not npm.
    pub manager: Option<String>,
    /// The keys that npm's settings files hold. npm reads these itself, so nothing is said of them.
    pub in_files: BTreeSet<String>,
}

/// What a script is run for.
#[derive(Debug, Clone, Copy)]
pub struct Situation<'a> {
    /// npm's command: `publish` or `pack`.
    pub command: &'a str,
    /// The workspace's manager.
    pub manager: Manager,
    /// `packageManager` of the workspace.
    pub package_manager: Option<&'a str>,
    /// The workspace's directory, absolute.
    pub root: &'a str,
    /// Whether the package is a member of the workspace, and not its root.
    pub is_member: bool,
    /// The home directory.
    pub home: Option<&'a str>,
    /// The runner as npm names it: `github-actions/dotcom-hosted`.
    pub ci: Option<&'a str>,
    /// Whether what a script prints is shown at a terminal.
    pub at_terminal: bool,
}

/// `npm_package_*`: name, version, `config`, `engines` and `bin` of a `package.json`, each value under its path with `_` between the keys.
///
/// Names and values that no environment can hold are left out.
///
/// ```
/// use pkgs_action::workspace::script_environment::of_package;
/// let manifest = serde_json::json!({"name": "a", "version": "1.0.0", "bin": "./cli.js", "config": {"ports": [80, null]}});
/// let variables: Vec<(String, String)> = of_package(&manifest).into_iter().collect();
/// let expected = [("bin_a", "cli.js"), ("config_ports_0", "80"), ("config_ports_1", ""), ("name", "a"), ("version", "1.0.0")];
/// assert_eq!(variables, expected.map(|(name, value)| (format!("npm_package_{name}"), value.to_owned())));
/// ```
pub fn of_package(manifest: &Value) -> Variables {
    let mut variables = Variables::new();
    for field in ["name", "version", "config", "engines"] {
        if let Some(value) = manifest.get(field) {
            add(&format!("npm_package_{field}"), value, &mut variables);
        }
    }
    if let Some(bin) = Bins::of(manifest, &[]).published() {
        add("npm_package_bin", &bin, &mut variables);
    }
    variables.retain(|name, value| !name.contains('\0') && !value.contains('\0'));
    variables
}

fn add(name: &str, value: &Value, variables: &mut Variables) {
    match value {
        Value::Object(object) => {
            for (key, value) in in_order(object) {
                add(&format!("{name}_{key}"), value, variables);
            }
        }
        Value::Array(values) => {
            for (index, value) in values.iter().enumerate() {
                add(&format!("{name}_{index}"), value, variables);
            }
        }
        Value::Null | Value::Bool(false) => {
            variables.insert(name.to_owned(), String::new());
        }
        value => {
            variables.insert(name.to_owned(), spelled(value));
        }
    }
}

/// What a manager tells of itself, of Node and of how it was called.
///
/// `seen` is the environment that the script gets anyway: a setting of npm that stands there in any case is left as it is.
pub fn of_manager(
    toolchain: &Toolchain,
    situation: Situation<'_>,
    seen: &BTreeMap<String, String>,
) -> Variables {
    let mut variables = Variables::new();
    let mut say = |name: &str, value: &str| variables.insert(name.to_owned(), value.to_owned());
    say("npm_command", situation.command);
    say("npm_config_user_agent", &user_agent(toolchain, situation));
    if let Some(node) = &toolchain.node {
        say("NODE", &node.program);
        say("npm_node_execpath", &node.program);
    }
    if let Some(npm) = &toolchain.npm {
        let gyp = format!("{}/node_modules/node-gyp/bin/node-gyp.js", npm.directory);
        say("npm_config_node_gyp", &gyp);
    }
    match situation.manager {
        Manager::Npm => {
            say("COLOR", if situation.at_terminal { "1" } else { "0" });
            say("npm_config_local_prefix", situation.root);
            if let Some(npm) = &toolchain.npm {
                say("npm_execpath", &format!("{}/bin/npm-cli.js", npm.directory));
                say("npm_config_npm_version", &npm.version);
            }
            for (key, value) in defaults(toolchain, situation) {
                if !is_said(key, toolchain, seen) {
                    say(&variable(key), &value);
                }
            }
        }
        manager => {
            if let Some(program) = &toolchain.manager {
                say("npm_execpath", program);
            }
            match manager {
                Manager::Bun => say("npm_config_local_prefix", situation.root),
                Manager::YarnBerry => say("PROJECT_CWD", situation.root),
                Manager::Npm | Manager::Pnpm | Manager::YarnClassic => None,
            };
        }
    }
    variables
}

/// The settings that npm says although they are its defaults: those that depend on the machine.
fn defaults(toolchain: &Toolchain, situation: Situation<'_>) -> Vec<(&'static str, String)> {
    let mut all = vec![("noproxy", String::new())];
    if let Some(home) = situation.home {
        all.push(("cache", format!("{home}/.npm")));
        all.push(("init-module", format!("{home}/.npm-init.js")));
        all.push(("userconfig", format!("{home}/.npmrc")));
    }
    let prefix = toolchain.node.as_ref().and_then(Node::prefix);
    // What lies below it moves with it.
    if let Some(prefix) = prefix.filter(|_| !toolchain.in_files.contains("prefix")) {
        let below = prefix.trim_end_matches('/');
        all.push(("prefix", prefix.to_owned()));
        all.push(("global-prefix", prefix.to_owned()));
        all.push(("globalconfig", format!("{below}/etc/npmrc")));
        if toolchain.npm.as_ref().is_some_and(Npm::ignores_for_all) {
            all.push(("global-ignore-file", format!("{below}/etc/npmignore")));
        }
    }
    all
}

impl Node {
    /// Where npm installs for everybody: the directory that holds `bin/node`.
    pub fn prefix(&self) -> Option<&str> {
        let (directory, _) = self.program.rsplit_once('/')?;
        let (prefix, _) = directory.rsplit_once('/')?;
        Some(if prefix.is_empty() { "/" } else { prefix })
    }
}

impl Npm {
    /// Whether it knows ignore rules for all packages of a machine, as it does from 12 on.
    fn ignores_for_all(&self) -> bool {
        let major = self.version.split('.').next();
        major
            .and_then(|major| major.parse::<u32>().ok())
            .is_some_and(|major| major >= 12)
    }
}

fn variable(key: &str) -> String {
    format!("npm_config_{}", key.replace('-', "_"))
}

/// Whether somebody else says a setting: a file that npm reads, or a variable.
fn is_said(key: &str, toolchain: &Toolchain, seen: &BTreeMap<String, String>) -> bool {
    let variable = variable(key);
    toolchain.in_files.contains(key) || seen.keys().any(|name| name.eq_ignore_ascii_case(&variable))
}

/// What a manager calls itself. Scripts such as `only-allow` read the first word.
fn user_agent(toolchain: &Toolchain, situation: Situation<'_>) -> String {
    let node = toolchain.node.as_ref();
    let version = node.map_or("?", |node| node.version.as_str());
    let platform = node.map_or("linux", |node| node.platform.as_str());
    let arch = node.map_or(machine(), |node| node.arch.as_str());
    let on = format!("node/{version} {platform} {arch}");
    let npm = toolchain.npm.as_ref();
    let name = match situation.manager {
        Manager::Npm => {
            let version = npm.map_or("?", |npm| npm.version.as_str());
            let ci = situation.ci.map(|ci| format!(" ci/{ci}"));
            let member = situation.is_member;
            let ci = ci.unwrap_or_default();
            return format!("npm/{version} {on} workspaces/{member}{ci}");
        }
        Manager::Pnpm => "pnpm",
        Manager::YarnClassic | Manager::YarnBerry => "yarn",
        Manager::Bun => "bun",
    };
    let version = situation.package_manager.and_then(|text| {
        let (manager, version) = text.split_once('@')?;
        let version = version.split('+').next()?;
        (manager == name).then_some(version)
    });
    format!("{name}/{} npm/? {on}", version.unwrap_or("?"))
}

/// The kind of this machine as Node would name it.
fn machine() -> &'static str {
    if cfg!(target_arch = "aarch64") {
        "arm64"
    } else {
        "x64"
    }
}

/// GitHub's runner as npm names it, by the address of its server and by what it says of itself.
///
/// ```
/// use pkgs_action::workspace::script_environment::github_actions;
/// assert_eq!(github_actions(Some("https://github.com"), Some("github-hosted")), "github-actions/dotcom-hosted");
/// assert_eq!(github_actions(Some("https://git.example"), None), "github-actions/ghes");
/// assert_eq!(github_actions(None, None), "github-actions");
/// ```
pub fn github_actions(server: Option<&str>, environment: Option<&str>) -> String {
    let host = server.and_then(|server| {
        let (_, rest) = server.trim().split_once("://")?;
        let host = rest.split(['/', '?', '#', ':']).next()?;
        (!host.is_empty()).then(|| host.to_ascii_lowercase())
    });
    let kind = match (host.as_deref(), environment.map(str::trim)) {
        (None, _) => return "github-actions".to_owned(),
        (Some("github.com"), Some("github-hosted")) => "dotcom-hosted",
        (Some("github.com"), Some("self-hosted")) => "dotcom-selfhosted",
        (Some("github.com"), _) => "dotcom",
        (Some(host), _) if host == "ghe.com" || host.ends_with(".ghe.com") => "ghecom",
        (Some(_), _) => "ghes",
    };
    format!("github-actions/{kind}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn toolchain() -> Toolchain {
        Toolchain {
            node: Some(Node {
                program: "/opt/node/bin/node".to_owned(),
                version: "v24.1.0".to_owned(),
                platform: "linux".to_owned(),
                arch: "arm64".to_owned(),
            }),
            npm: Some(Npm {
                directory: "/opt/npm".to_owned(),
                version: "12.2.0".to_owned(),
            }),
            manager: Some("/opt/bin/pnpm".to_owned()),
            in_files: BTreeSet::new(),
        }
    }

    fn situation(manager: Manager) -> Situation<'static> {
        Situation {
            command: "publish",
            manager,
            package_manager: None,
            root: "/work/repository",
            is_member: true,
            home: Some("/home/ada"),
            ci: None,
            at_terminal: false,
        }
    }

    #[test]
    fn a_package_is_told_as_npm_tells_it() {
        fn check(manifest: &Value, expected: &[(&str, &str)]) {
            let expected = expected
                .iter()
                .map(|(name, value)| (format!("npm_package_{name}"), (*value).to_owned()));
            assert_eq!(of_package(manifest), expected.collect(), "{manifest}");
        }
        check(&json!({}), &[]);
        check(
            &json!({"name": "a", "description": "d", "scripts": {"x": "y"}, "dependencies": {"b": "1"}}),
            &[("name", "a")],
        );
        check(
            &json!({"config": {"on": true, "off": false, "none": null, "empty": {}, "text": "", "half": 0.5, "ten": 10.0, "big": 1e21}}),
            &[
                ("config_on", "true"),
                ("config_off", ""),
                ("config_none", ""),
                ("config_text", ""),
                ("config_half", "0.5"),
                ("config_ten", "10"),
                ("config_big", "1e+21"),
            ],
        );
        // Of two paths that are spelled alike, the later one counts; numbers come first.
        check(
            &json!({"config": {"a": {"1": "late"}, "a_1": "later"}}),
            &[("config_a_1", "later")],
        );
        check(
            &json!({"config": {"x": 1, "0": {"b": 2}}, "engines": [">=1", {"y": 3}]}),
            &[
                ("config_x", "1"),
                ("config_0_b", "2"),
                ("engines_0", ">=1"),
                ("engines_1_y", "3"),
            ],
        );
        check(&json!({"config": "text"}), &[("config", "text")]);
        check(
            &json!({"name": "@x/a", "bin": {"b": "./lib/../b.js", "../c": "c.js", "no": 1}}),
            &[("name", "@x/a"), ("bin_b", "b.js"), ("bin_c", "c.js")],
        );
        check(
            &json!({"config": {"a\u{0}b": "1", "c": "d\u{0}", "e": "f"}}),
            &[("config_e", "f")],
        );
    }

    #[test]
    fn each_manager_calls_itself_by_its_name() {
        let check = |manager, package_manager, toolchain: &Toolchain, expected: &str| {
            let situation = Situation {
                package_manager,
                ..situation(manager)
            };
            assert_eq!(user_agent(toolchain, situation), expected);
        };
        let there = toolchain();
        let on = "node/v24.1.0 linux arm64";
        check(
            Manager::Npm,
            Some("npm@11.0.0"),
            &there,
            &format!("npm/12.2.0 {on} workspaces/true"),
        );
        check(
            Manager::Pnpm,
            Some("pnpm@10.1.2+sha512.abc"),
            &there,
            &format!("pnpm/10.1.2 npm/? {on}"),
        );
        check(Manager::Pnpm, None, &there, &format!("pnpm/? npm/? {on}"));
        check(
            Manager::YarnClassic,
            Some("yarn@1.22.22"),
            &there,
            &format!("yarn/1.22.22 npm/? {on}"),
        );
        check(
            Manager::YarnBerry,
            Some("yarn@4.18.1"),
            &there,
            &format!("yarn/4.18.1 npm/? {on}"),
        );
        check(Manager::Bun, None, &there, &format!("bun/? npm/? {on}"));
        let nothing = Toolchain::default();
        let here = machine();
        let expected = format!("npm/? node/? linux {here} workspaces/true");
        check(Manager::Npm, None, &nothing, &expected);
        let ci = Situation {
            ci: Some("github-actions/ghes"),
            is_member: false,
            ..situation(Manager::Npm)
        };
        let expected = format!("npm/12.2.0 {on} workspaces/false ci/github-actions/ghes");
        assert_eq!(user_agent(&there, ci), expected);
    }

    #[test]
    fn settings_that_somebody_says_are_left_alone() {
        let said = |toolchain: &Toolchain, seen: &[&str]| {
            let seen = seen.iter().map(|name| ((*name).to_owned(), "x".to_owned()));
            let all = of_manager(toolchain, situation(Manager::Npm), &seen.collect());
            let names = all.into_keys();
            names
                .filter_map(|name| Some(name.strip_prefix("npm_config_")?.to_owned()))
                .collect::<BTreeSet<String>>()
        };
        let all = said(&toolchain(), &[]);
        for name in [
            "cache",
            "global_ignore_file",
            "global_prefix",
            "globalconfig",
            "init_module",
            "local_prefix",
            "node_gyp",
            "noproxy",
            "npm_version",
            "prefix",
            "user_agent",
            "userconfig",
        ] {
            assert!(all.contains(name), "{name} in {all:?}");
        }
        assert_eq!(all.len(), 12, "{all:?}");
        let mut in_files = toolchain();
        in_files.in_files = ["prefix", "init-module"].map(str::to_owned).into();
        let fewer = said(&in_files, &["NPM_CONFIG_CACHE"]);
        let left: Vec<&String> = all.difference(&fewer).collect();
        assert_eq!(
            left,
            [
                "cache",
                "global_ignore_file",
                "global_prefix",
                "globalconfig",
                "init_module",
                "prefix"
            ]
        );
    }

    #[test]
    fn what_is_not_installed_is_not_told() {
        for manager in [
            Manager::Npm,
            Manager::Pnpm,
            Manager::YarnClassic,
            Manager::YarnBerry,
            Manager::Bun,
        ] {
            let none = Toolchain::default();
            let all = of_manager(&none, situation(manager), &BTreeMap::new());
            for name in [
                "NODE",
                "npm_node_execpath",
                "npm_execpath",
                "npm_config_node_gyp",
                "npm_config_prefix",
            ] {
                assert!(!all.contains_key(name), "{name} of {manager}");
            }
            assert!(all.contains_key("npm_config_user_agent"), "{manager}");
            let some = of_manager(&toolchain(), situation(manager), &BTreeMap::new());
            let expected = if manager == Manager::Npm {
                "/opt/npm/bin/npm-cli.js"
            } else {
                "/opt/bin/pnpm"
            };
            assert_eq!(some["npm_execpath"], expected, "{manager}");
        }
    }
}
