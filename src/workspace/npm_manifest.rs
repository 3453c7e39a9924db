//! The manifest of a version as npm sends it to a registry: the steps of `npm pkg fix` and of its preparation for publishing, in their order.

mod git_host;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};
use url::Url;

use crate::workspace::javascript::{in_order, is_true, spelled, trimmed};
use crate::workspace::pack_list::Bins;
use git_host::Hosted;

/// What npm reads beside `package.json`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Beside {
    /// Every path of the package, and whether it is a directory.
    pub paths: Vec<(String, bool)>,
    /// Those of the paths that are links to nothing.
    pub dangling: Vec<String>,
    /// The name and text of the README.
    pub readme: Option<(String, String)>,
    /// The text of `AUTHORS`.
    pub authors: Option<String>,
}

impl Beside {
    /// What of it is left where only `packed`, in the order of their bytes, are there: what a tarball still tells.
    #[must_use]
    pub fn within(&self, packed: &BTreeSet<&str>) -> Beside {
        let at_root = packed.iter().copied().filter(|path| !path.contains('/'));
        let at_root: Vec<&str> = at_root.collect();
        let readme = Beside::readme_of(&at_root);
        let mut paths: BTreeMap<&str, bool> = BTreeMap::new();
        for path in packed {
            paths.insert(path, false);
            let directories = path.match_indices('/').map(|(slash, _)| &path[..slash]);
            paths.extend(directories.map(|directory| (directory, true)));
        }
        let paths = paths.into_iter();
        Beside {
            paths: paths
                .map(|(path, is_directory)| (path.to_owned(), is_directory))
                .collect(),
            dangling: Vec::new(),
            readme: self.readme.clone().filter(|(name, _)| readme == Some(name)),
            authors: self
                .authors
                .clone()
                .filter(|_| at_root.contains(&"AUTHORS")),
        }
    }

    /// Which of `names`, in their order, npm takes for the README: the first in Markdown, else `README`.
    pub fn readme_of<'n>(names: &[&'n str]) -> Option<&'n str> {
        let is_readme = |name: &&&str| {
            let lower = name.to_lowercase();
            lower == "readme" || lower.starts_with("readme.")
        };
        let found = || names.iter().filter(is_readme);
        let markdown = found().find(|name| is_markdown(name));
        markdown
            .or_else(|| found().find(|name| **name == "README"))
            .copied()
    }
}

/// Whether a name ends as npm expects of Markdown: a dot, and letters of `markdown` in their order.
fn is_markdown(name: &str) -> bool {
    let Some((_, extension)) = name.rsplit_once('.') else {
        return false;
    };
    let mut left = "markdown".chars();
    extension
        .to_lowercase()
        .chars()
        .all(|letter| left.any(|other| other == letter))
}

const NO_README: &str = "ERROR: No README data found!";

/// The manifest as npm publishes it, without what the registry is told of its tarball and commit.
///
/// `name` and `version` are taken as they are.
#[must_use]
pub fn normalised(manifest: &Map<String, Value>, beside: &Beside) -> Map<String, Value> {
    let mut data = manifest.clone();
    fix(&mut data);
    prepare(&mut data, beside);
    data.retain(|key, _| !key.starts_with('_'));
    identified(&mut data);
    if let Some(bundled) = data.shift_remove("bundledDependencies") {
        data.entry("bundleDependencies").or_insert(bundled);
    }
    bundle(&mut data);
    overrides(&mut data);
    scripts(&mut data);
    repository(&mut data);
    dependencies(&mut data);
    described(&mut data);
    told(&mut data);
    data
}

fn text<'d>(data: &'d Map<String, Value>, key: &str) -> Option<&'d str> {
    data.get(key).and_then(Value::as_str)
}

fn has(data: &Map<String, Value>, key: &str) -> bool {
    data.get(key).is_some_and(is_true)
}

fn fix(data: &mut Map<String, Value>) {
    bin(data);
    bundle(data);
    if let Some(version) = text(data, "version") {
        let clean = trimmed(version).trim_start_matches(['=', 'v']).to_owned();
        data.insert("version".to_owned(), json!(clean));
    }
    if let Some(name) = text(data, "name") {
        let clean = trimmed(name).to_owned();
        data.insert("name".to_owned(), json!(clean));
    }
    scripts(data);
    repository(data);
    dependencies(data);
}

fn bin(data: &mut Map<String, Value>) {
    let mut only = Map::new();
    for key in ["bin", "name"] {
        if let Some(value) = data.get(key) {
            only.insert(key.to_owned(), value.clone());
        }
    }
    put(data, "bin", Bins::of(&Value::Object(only), &[]).published());
}

fn put(data: &mut Map<String, Value>, key: &str, value: Option<Value>) {
    match value {
        Some(value) => {
            data.insert(key.to_owned(), value);
        }
        None => {
            data.shift_remove(key);
        }
    }
}

/// `true` is all dependencies, `false` none.
fn bundle(data: &mut Map<String, Value>) {
    let names = |object: Option<&Value>| -> Value {
        let object = object.and_then(Value::as_object);
        let all = object.map(in_order).unwrap_or_default();
        all.into_iter().map(|(name, _)| json!(name)).collect()
    };
    let bundled = match data.get("bundleDependencies") {
        None => return,
        Some(Value::Bool(true)) => Some(names(data.get("dependencies"))),
        Some(Value::Bool(false)) => Some(json!([])),
        Some(object @ Value::Object(_)) => Some(names(Some(object))),
        Some(list @ Value::Array(_)) => Some(list.clone()),
        Some(_) => None,
    };
    put(data, "bundleDependencies", bundled);
}

fn prepare(data: &mut Map<String, Value>, beside: &Beside) {
    let is_there = |name: &str| {
        let mut paths = beside.paths.iter();
        paths.any(|(path, _)| path == name) && !beside.dangling.iter().any(|path| path == name)
    };
    let mut names = beside.paths.iter().map(|(path, _)| path.as_str());
    let has_gyp = names.any(|path| {
        !path.contains('/')
            && !path.starts_with('.')
            && path.rsplit_once('.').is_some_and(|(_, kind)| kind == "gyp")
    });
    let script = |name: &str| {
        let scripts = data.get("scripts");
        scripts
            .and_then(|scripts| scripts.get(name))
            .is_some_and(is_true)
    };
    let builds = script("install") || script("preinstall");
    if has_gyp && !builds && data.get("gypfile") != Some(&json!(false)) {
        if !has(data, "scripts") {
            data.insert("scripts".to_owned(), json!({}));
        }
        let scripts = data.entry("scripts").or_insert_with(|| json!({}));
        if let Some(scripts) = scripts.as_object_mut() {
            scripts.insert("install".to_owned(), json!("node-gyp rebuild"));
        }
        data.insert("gypfile".to_owned(), json!(true));
    }
    if let Some(authors) = beside
        .authors
        .as_ref()
        .filter(|_| !has(data, "contributors"))
    {
        let lines = authors.split('\n').map(|line| line.trim_end_matches('\r'));
        let lines = lines
            .map(trimmed)
            .filter(|line| !line.is_empty() && !line.starts_with('#'));
        data.insert(
            "contributors".to_owned(),
            lines.map(|line| json!(line)).collect(),
        );
    }
    if !has(data, "readme") {
        if let Some((name, text)) = &beside.readme {
            data.insert("readme".to_owned(), json!(text));
            data.insert("readmeFilename".to_owned(), json!(name));
        }
        if !has(data, "readme") {
            data.insert("readme".to_owned(), json!(NO_README));
        }
    }
    mans(data, beside);
    let directory = data.get("directories").and_then(|all| all.get("bin"));
    if directory.is_some_and(is_true) && !has(data, "bin") {
        let bins = Bins::of(&Value::Object(data.clone()), &beside.paths);
        data.insert(
            "bin".to_owned(),
            bins.published().unwrap_or_else(|| json!({})),
        );
    } else {
        bin(data);
    }
    let main = text(data, "main")
        .filter(|main| !main.is_empty())
        .unwrap_or("index.js");
    let types = declarations(main);
    let has_types = is_there(types.trim_start_matches("./").trim_start_matches('/'));
    if has_types && !data.contains_key("types") && !data.contains_key("typings") {
        data.insert("types".to_owned(), json!(types));
    }
}

/// The file with the types of another.
fn declarations(main: &str) -> String {
    let is_rooted = main.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in main.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    let mut path = parts.join("/");
    let base = path.rsplit('/').next().unwrap_or_default();
    if let Some(dot) = base.rfind('.').filter(|dot| *dot > 0) {
        path.truncate(path.len() - base.len() + dot);
    }
    format!("./{}{path}.d.ts", if is_rooted { "/" } else { "" })
}

fn mans(data: &mut Map<String, Value>, beside: &Beside) {
    let directory = data.get("directories").and_then(|all| all.get("man"));
    if let Some(directory) = directory
        .and_then(Value::as_str)
        .filter(|text| !text.is_empty())
        && !has(data, "man")
    {
        let within = crate::workspace::pack_list::inside(directory);
        let within = within.trim_end_matches('/');
        let is_page = |path: &str| {
            let below = match within {
                "" => Some(path),
                within => path
                    .strip_prefix(within)
                    .and_then(|rest| rest.strip_prefix('/')),
            };
            let section = path.rsplit_once('.').map(|(_, section)| section.as_bytes());
            below.is_some_and(|below| !below.split('/').any(|part| part.starts_with('.')))
                && section.is_some_and(|section| section.len() == 1 && section[0].is_ascii_digit())
        };
        let pages = beside.paths.iter().filter(|(path, _)| is_page(path));
        let pages: Value = pages.map(|(path, _)| json!(path)).collect();
        data.insert("man".to_owned(), pages);
    }
    let listed = match data.get("man").filter(|man| is_true(man)) {
        None => None,
        Some(Value::Array(pages)) => Some(pages.clone()),
        Some(page) => Some(vec![page.clone()]),
    };
    // What is no list of texts stays as it is, when it is empty.
    let cleaned = listed.map(|pages| -> Value {
        let texts = pages.iter().filter_map(Value::as_str);
        texts
            .map(|page| json!(crate::workspace::pack_list::inside(page)))
            .collect()
    });
    let is_empty = cleaned
        .as_ref()
        .and_then(Value::as_array)
        .is_none_or(Vec::is_empty);
    put(data, "man", cleaned.filter(|_| !is_empty));
}

fn identified(data: &mut Map<String, Value>) {
    if let (Some(name), Some(version)) = (text(data, "name"), text(data, "version")) {
        let id = format!("{name}@{version}");
        data.insert("_id".to_owned(), json!(id));
    }
}

fn overrides(data: &mut Map<String, Value>) {
    let is_kept = |value: &Value| value.as_object().is_some_and(|object| !object.is_empty());
    if data.get("overrides").is_some_and(|value| !is_kept(value)) {
        data.shift_remove("overrides");
    }
}

/// Scripts are texts, and name programs without their directory.
fn scripts(data: &mut Map<String, Value>) {
    match data.get_mut("scripts") {
        None | Some(Value::Array(_) | Value::Null) => {}
        Some(Value::Object(scripts)) => {
            scripts.retain(|_, line| line.is_string());
            for line in scripts.values_mut() {
                if let Some(rest) = line.as_str().and_then(behind_programs) {
                    *line = json!(rest);
                }
            }
        }
        Some(_) => {
            data.shift_remove("scripts");
        }
    }
}

fn behind_programs(line: &str) -> Option<&str> {
    let slash = |text: &'static [char]| text;
    let slashes = slash(&['/', '\\']);
    let line = line
        .strip_prefix('.')
        .and_then(|rest| rest.strip_prefix(slashes))
        .unwrap_or(line);
    let rest = line.strip_prefix("node_modules")?.strip_prefix(slashes)?;
    let mut characters = rest.chars();
    characters.next()?;
    characters
        .as_str()
        .strip_prefix("bin")?
        .strip_prefix(slashes)
}

fn repository(data: &mut Map<String, Value>) {
    if let Some(first) = data.get("repositories").filter(|all| is_true(all)) {
        put(data, "repository", first.get(0).cloned());
    }
    if let Some(url) = text(data, "repository").filter(|url| !url.is_empty()) {
        let object = json!({ "type": "git", "url": url });
        data.insert("repository".to_owned(), object);
    }
    if let Some(url) = data
        .get_mut("repository")
        .and_then(|one| one.get_mut("url"))
        && let Some(hosted) = url.as_str().and_then(Hosted::read)
    {
        *url = json!(hosted.repository());
    }
}

/// The repository that the text of a `package.json` names, as `owner/name` on whatever host; `None` where it names none.
///
/// ```
/// use pkgs_action::workspace::npm_manifest::repository_in;
/// let named = |repository: &str| repository_in(&format!("{{\"repository\":{repository}}}"));
/// assert_eq!(named(r#""acme/mono""#).as_deref(), Some("acme/mono"));
/// assert_eq!(named(r#"{"type":"git","url":"git+https://github.com/Acme/mono.git"}"#).as_deref(), Some("Acme/mono"));
/// assert_eq!(named(r#"{"url":"https://git.acme.example/team/mono.git"}"#).as_deref(), Some("team/mono"));
/// assert_eq!(named(r#""git@github.com:acme/mono.git""#).as_deref(), Some("acme/mono"));
/// assert_eq!((named("{}"), named("7"), repository_in("{}")), (None, None, None));
/// ```
pub fn repository_in(text: &str) -> Option<String> {
    let text = text.trim_start_matches('\u{feff}');
    let mut manifest: Map<String, Value> = serde_json::from_str(text).ok()?;
    repository(&mut manifest);
    if let Some(hosted) = host(&manifest) {
        return Some(hosted.place());
    }
    let url = manifest.get("repository")?.get("url")?.as_str()?;
    let url = url::Url::parse(url.strip_prefix("git+").unwrap_or(url)).ok()?;
    let path = url.path().trim_matches('/');
    let path = path.strip_suffix(".git").unwrap_or(path);
    (!path.is_empty()).then(|| path.to_owned())
}

/// The host of the repository, where it is a known one.
fn host(data: &Map<String, Value>) -> Option<Hosted> {
    Hosted::read(data.get("repository")?.get("url")?.as_str()?)
}

fn dependencies(data: &mut Map<String, Value>) {
    for field in ["dependencies", "devDependencies", "optionalDependencies"] {
        let listed: Vec<String> = match data.get(field) {
            Some(Value::String(text)) if !text.is_empty() => {
                let is_between = |character: char| character.is_whitespace() || character == ',';
                let words = trimmed(text).split(is_between);
                words
                    .filter(|word| !word.is_empty())
                    .map(str::to_owned)
                    .collect()
            }
            Some(Value::Array(list)) => {
                let texts = list.iter().filter_map(Value::as_str);
                texts.map(str::to_owned).collect()
            }
            _ => continue,
        };
        let object: Map<String, Value> = listed.iter().map(|one| named(one)).collect();
        data.insert(field.to_owned(), Value::Object(object));
    }
    for field in ["dependencies", "devDependencies"] {
        match data.get_mut(field) {
            None => {}
            Some(Value::Object(all)) => {
                all.retain(|_, spec| spec.is_string());
                for spec in all.values_mut() {
                    if let Some(hosted) = spec.as_str().and_then(Hosted::read) {
                        *spec = json!(hosted.text());
                    }
                }
            }
            Some(_) => {
                data.shift_remove(field);
            }
        }
    }
}

/// `name@range`, or `name>=1`, as a dependency.
fn named(text: &str) -> (String, Value) {
    let text = trimmed(text);
    let is_mark =
        |character: char| matches!(character, '@' | '>' | '<' | '=') || character.is_whitespace();
    let Some(mark) = text.find(is_mark) else {
        return (text.to_owned(), json!(""));
    };
    let from = if text[..mark].ends_with(':') {
        mark - 1
    } else {
        mark
    };
    let range = text[from..].strip_prefix('@').unwrap_or(&text[from..]);
    (text[..from].to_owned(), json!(trimmed(range)))
}

/// Description, files, keywords, and where problems are told.
fn described(data: &mut Map<String, Value>) {
    if data
        .get("description")
        .is_some_and(|text| is_true(text) && !text.is_string())
    {
        data.shift_remove("description");
    }
    if !has(data, "description")
        && let Some(readme) = text(data, "readme").filter(|readme| *readme != NO_README)
    {
        let description = first_paragraph(readme);
        data.insert("description".to_owned(), json!(description));
    }
    if has(data, "modules") {
        data.shift_remove("modules");
    }
    let is_text = |value: &Value| value.as_str().is_some_and(|text| !text.is_empty());
    match data.get_mut("files") {
        Some(Value::Array(files)) => files.retain(is_text),
        Some(files) if is_true(files) => {
            data.shift_remove("files");
        }
        _ => {}
    }
    bugs(data);
    if let Some(keywords) = text(data, "keywords").map(str::to_owned) {
        data.insert("keywords".to_owned(), split_keywords(&keywords));
    }
    match data.get_mut("keywords") {
        Some(Value::Array(keywords)) => keywords.retain(is_text),
        Some(keywords) if is_true(keywords) => {
            data.shift_remove("keywords");
        }
        _ => {}
    }
}

/// Divides at each comma that space follows.
fn split_keywords(text: &str) -> Value {
    let mut words: Vec<String> = vec![String::new()];
    let mut rest = text;
    while let Some(comma) = rest.find(',') {
        let behind = &rest[comma + 1..];
        let next = behind.trim_start();
        let before = &rest[..comma];
        if let Some(last) = words.last_mut() {
            last.push_str(before);
            if next.len() == behind.len() {
                last.push(',');
            }
        }
        if next.len() < behind.len() {
            words.push(String::new());
        }
        rest = next;
    }
    if let Some(last) = words.last_mut() {
        last.push_str(rest);
    }
    json!(words)
}

fn first_paragraph(readme: &str) -> String {
    let lines: Vec<&str> = trimmed(readme).split('\n').collect();
    let is_passed = |line: &&&str| trimmed(line).is_empty() || trimmed(line).starts_with('#');
    let start = lines.iter().take_while(is_passed).count();
    let Some(first) = lines.get(start) else {
        return String::new();
    };
    let rest = lines[start + 1..]
        .iter()
        .take_while(|line| !trimmed(line).is_empty());
    let all: Vec<&str> = std::iter::once(first).chain(rest).copied().collect();
    trimmed(&all.join(" ")).to_owned()
}

fn is_address(text: &str) -> bool {
    Url::parse(text).is_ok()
}

fn is_mail(text: &str) -> bool {
    text.find('@')
        .is_some_and(|at| text.rfind('.').is_some_and(|dot| at < dot))
}

fn bugs(data: &mut Map<String, Value>) {
    let told = match data.get("bugs").filter(|bugs| is_true(bugs)) {
        None => {
            if let Some(url) = host(data).and_then(|host| host.bugs()) {
                data.insert("bugs".to_owned(), json!({ "url": url }));
            }
            return;
        }
        Some(Value::String(text)) if is_mail(text) => json!({ "email": text }),
        Some(Value::String(text)) if is_address(text) => json!({ "url": text }),
        Some(Value::Object(bugs)) => {
            let of = |key: &str| bugs.get(key).and_then(Value::as_str);
            let url = of("name")
                .or(of("web"))
                .or(of("url"))
                .filter(|url| is_address(url));
            let email = of("email").filter(|email| is_mail(email));
            let pairs = [("url", url), ("email", email)];
            let pairs = pairs
                .into_iter()
                .filter_map(|(key, value)| Some((key.to_owned(), json!(value?))));
            Value::Object(pairs.collect())
        }
        Some(_) => json!({}),
    };
    let is_some = told.as_object().is_some_and(|told| !told.is_empty());
    put(data, "bugs", is_some.then_some(told));
}

/// Bundled dependencies that are named nowhere else, homepage and people.
fn told(data: &mut Map<String, Value>) {
    if let Some(Value::Array(bundled)) = data.get_mut("bundleDependencies") {
        bundled.retain(|name| name.as_str().is_some_and(|name| !name.is_empty()));
        let names: Vec<String> = bundled
            .iter()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect();
        for name in names {
            let dependencies = data.entry("dependencies").or_insert_with(|| json!({}));
            if let Some(dependencies) = dependencies.as_object_mut() {
                dependencies.entry(name).or_insert_with(|| json!("*"));
            }
        }
    }
    if !has(data, "homepage")
        && let Some(host) = host(data)
    {
        data.insert("homepage".to_owned(), json!(host.docs()));
    }
    match data
        .get("homepage")
        .filter(|homepage| is_true(homepage))
        .cloned()
    {
        Some(Value::String(homepage)) if !is_address(&homepage) => {
            data.insert("homepage".to_owned(), json!(format!("http://{homepage}")));
        }
        Some(Value::String(_)) | None => {}
        Some(_) => {
            data.shift_remove("homepage");
        }
    }
    if let Some(author) = data
        .get("author")
        .filter(|author| is_true(author))
        .map(person)
    {
        data.insert("author".to_owned(), author);
    }
    for set in ["maintainers", "contributors"] {
        if let Some(Value::Array(people)) = data.get_mut(set) {
            for one in people {
                *one = person(one);
            }
        }
    }
}

/// `Name <mail> (address)` in its parts.
fn person(value: &Value) -> Value {
    let written = match value {
        Value::String(text) => text.clone(),
        other => {
            let of = |keys: [&str; 2]| {
                let mut found = keys.iter().filter_map(|key| other.get(key));
                found.find(|value| is_true(value)).map(spelled)
            };
            let name = of(["name", "name"]).unwrap_or_default();
            let mail = of(["email", "mail"]).map(|mail| format!(" <{mail}>"));
            let url = of(["url", "web"]).map(|url| format!(" ({url})"));
            name + &mail.unwrap_or_default() + &url.unwrap_or_default()
        }
    };
    let name = trimmed(written.split(['(', '<']).next().unwrap_or_default());
    let between = |open: char, close: char| {
        written.match_indices(open).find_map(|(at, _)| {
            let inside = &written[at + 1..];
            let end = inside.find([open, close])?;
            (end > 0 && inside[end..].starts_with(close)).then(|| &inside[..end])
        })
    };
    let parts = [
        ("name", Some(name).filter(|name| !name.is_empty())),
        ("email", between('<', '>')),
        ("url", between('(', ')')),
    ];
    let parts = parts
        .into_iter()
        .filter_map(|(key, value)| Some((key.to_owned(), json!(value?))));
    Value::Object(parts.collect())
}
