//! Packages made at random, with all that npm's rules of packing speak of.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use crate::support::random::Random;

const FOLDERS: &[&str] = &[
    "lib",
    "lib",
    "Lib",
    "src",
    "test",
    "dist",
    "dist-a",
    "docs",
    "a b",
    "é",
    "日本",
    "sub",
    "sub",
    ".hidden",
    ".git",
    ".svn",
    "node_modules",
    "CVS",
    "archived-packages",
    "build",
    "[x]",
    "{y}",
    "(z)",
    "@s",
    "bin",
    "Bin",
    "a",
    "b",
    "._m",
    ".DS_Store",
    "types",
];

const NAMES: &[&str] = &[
    "index.js",
    "a.js",
    "B.JS",
    "b.test.js",
    "x.d.ts",
    "README.md",
    "readme",
    "ReadMe.TXT",
    "README.md~",
    "readme.txt$",
    "README-es.md",
    "LICENSE",
    "licence.txt",
    "LICENSE-MIT",
    "COPYING",
    "copying.x",
    "package-lock.json",
    "yarn.lock",
    "npm-shrinkwrap.json",
    "bun.lock",
    "bun.lockb",
    "pnpm-lock.yaml",
    ".npmrc",
    ".DS_Store",
    "._x",
    ".x.swp",
    "x.orig",
    "npm-debug.log",
    ".lock-wscript",
    ".wafpickle-1",
    "config.gypi",
    ".env",
    "#x",
    "!x",
    "a+b.js",
    "ü.js",
    "Ünicode.js",
    "я.js",
    "Ж.js",
    "ω",
    "漢.js",
    "😀.txt",
    "é.js",
    "a b.js",
    "x*y",
    "[id].js",
    "{a}.js",
    "-x.js",
    "$y",
    "CHANGELOG.md",
    "main.js",
    "cli.js",
    "cli.js",
    "types.d.ts",
    "b",
    "o",
    "t",
    "1",
    "10.js",
    "2.js",
    "_z.js",
    ".a.js",
    "a.JS",
    "A.js",
    "z.map",
    ".npm-extension.mjs",
    ".npm-extension.cjs",
    "trail.",
    "space ",
    "a,b.js",
    "x=y",
    "ß.js",
    "İ.js",
    "package.json",
    "binding.gyp",
    "AUTHORS",
    ".babelrc",
    "Makefile",
    "x.tar.gz",
    "'q'.js",
    "a&b",
    "(c).js",
    "@t.js",
    "~t",
    "^u",
    "index.d.ts",
    "main.d.ts",
    "1a",
    "ab.js",
    "abc.js",
    "n.n.js",
    "x.ts",
];

const MODES: &[u32] = &[
    0o644, 0o644, 0o644, 0o644, 0o755, 0o600, 0o640, 0o664, 0o666, 0o777, 0o400, 0o444, 0o4755,
    0o711, 0o2644,
];

/// A package, and what npm must know of its surroundings.
#[derive(Debug, Clone)]
pub struct Made {
    /// The package.
    pub directory: PathBuf,
    /// The workspace's root, when the package belongs to a workspace.
    pub root: Option<PathBuf>,
    /// The folders of all members.
    pub members: Vec<PathBuf>,
}

impl Made {
    /// A package that belongs to no workspace.
    pub fn alone(directory: PathBuf) -> Made {
        Made {
            directory,
            root: None,
            members: Vec::new(),
        }
    }
}

struct Maker<'r> {
    random: &'r mut Random,
    files: BTreeMap<String, (Vec<u8>, u32)>,
    links: BTreeMap<String, String>,
}

/// Writes a package below `directory`, which must be empty.
pub fn write(random: &mut Random, directory: &Path) -> Made {
    let mut maker = Maker {
        random,
        files: BTreeMap::new(),
        links: BTreeMap::new(),
    };
    let shape = maker.random.below(10);
    let inside = if shape == 0 { "packages/a/" } else { "" };
    maker.package(inside);
    let mut made = Made::alone(directory.join(inside.trim_end_matches('/')));
    if shape == 0 {
        maker.ignore_file("");
        maker.ignore_file("packages/");
        maker.file(
            "package.json",
            br#"{"name":"root","version":"1.0.0","workspaces":["packages/*"]}"#,
        );
        made.root = Some(directory.to_owned());
        made.members = vec![directory.join("packages/a")];
    }
    maker.store(directory);
    made
}

impl Maker<'_> {
    fn file(&mut self, path: &str, bytes: &[u8]) {
        self.files.insert(path.to_owned(), (bytes.to_vec(), 0o644));
    }

    /// A name: one of a list, or a long one.
    fn name(&mut self) -> String {
        if self.random.one_in(60) {
            let count = 80 + self.random.below(60);
            let letter = self.random.of_list(&["n", "n", "é", "😀"]);
            let name: String =
                std::iter::repeat_n(letter, if letter == "n" { count } else { count / 4 })
                    .collect();
            return format!("{name}.js");
        }
        self.random.of_list(NAMES).to_owned()
    }

    fn folder(&mut self) -> String {
        if self.random.one_in(40) {
            return "d".repeat(50 + self.random.below(60));
        }
        self.random.of_list(FOLDERS).to_owned()
    }

    fn path(&mut self) -> String {
        let mut path = String::new();
        for _ in 0..self.random.below(4) {
            path.push_str(&self.folder());
            path.push('/');
        }
        path + &self.name()
    }

    fn package(&mut self, at: &str) {
        for _ in 0..3 + self.random.below(30) {
            let path = self.path();
            if path.contains(".npm-extension.") {
                // npm runs it.
                let text: &[u8] = if path.ends_with("mjs") {
                    b"export const transformManifest = (manifest) => manifest"
                } else {
                    b"exports.transformManifest = (manifest) => manifest"
                };
                self.file(&format!("{at}{path}"), text);
                continue;
            }
            let size = match self.random.below(12) {
                0 => 0,
                1 => 511 + self.random.below(3),
                _ => self.random.below(40),
            };
            let mode = MODES[self.random.below(MODES.len())];
            self.files
                .insert(format!("{at}{path}"), (vec![b'x'; size], mode));
        }
        if self.random.one_in(3) {
            self.ignore_file(at);
        }
        let folders: Vec<String> = self
            .files
            .keys()
            .filter(|path| path.starts_with(at))
            .filter_map(|path| Some(format!("{}/", path.rsplit_once('/')?.0)))
            .collect();
        for folder in folders {
            if self.random.one_in(6) && folder.len() > at.len() {
                self.ignore_file(&folder);
            }
        }
        for _ in 0..self.random.below(3) {
            let (path, target) = (
                self.path(),
                self.random
                    .of_list(&["lib", "index.js", "nowhere", ".", "README.md"])
                    .to_owned(),
            );
            self.links.insert(format!("{at}{path}"), target);
        }
        if self.random.one_in(8) {
            self.file(&format!("{at}lib/a.js"), b"linked");
            self.files.remove(&format!("{at}README.md"));
            self.links
                .insert(format!("{at}README.md"), "lib/a.js".to_owned());
        }
        let manifest = self.manifest(at);
        self.write_manifest(at, &manifest);
    }

    fn write_manifest(&mut self, at: &str, manifest: &Value) {
        let mut text = if self.random.one_in(3) {
            manifest.to_string()
        } else {
            serde_json::to_string_pretty(manifest).expect("JSON") + "\n"
        };
        if self.random.one_in(8) {
            text = text.replace('\n', "\r\n");
        }
        if self.random.one_in(10) {
            text.insert(0, '\u{feff}');
        }
        self.file(&format!("{at}package.json"), text.as_bytes());
    }

    /// Something that means a path of the package, or nearly.
    fn meant(&mut self, at: &str) -> String {
        let paths: Vec<String> = self
            .files
            .keys()
            .filter_map(|path| path.strip_prefix(at))
            .map(str::to_owned)
            .collect();
        if paths.is_empty() || self.random.one_in(8) {
            return self.path();
        }
        let path = paths[self.random.below(paths.len())].clone();
        let parts: Vec<&str> = path.split('/').collect();
        let from = self.random.below(parts.len());
        let to = from + 1 + self.random.below(parts.len() - from);
        match self.random.below(3) {
            0 => parts[..to].join("/"),
            1 => parts[from..to].join("/"),
            _ => path,
        }
    }

    /// A pattern made of what is there.
    fn pattern(&mut self, at: &str) -> String {
        const WHOLE: &[&str] = &[
            "*",
            "**",
            "**/*",
            "*.js",
            "*.JS",
            "**/*.js",
            "lib/**",
            "/lib",
            "lib/",
            "*.test.*",
            "!(*.js)",
            "*.@(js|ts)",
            "+(a|b).js",
            "?(a)b*",
            "[a-c]*.js",
            "[!a]*",
            "[[:alpha:]]*",
            "{lib,src}/**",
            "**/sub/**",
            "*/*",
            "*/",
            "**/",
            ".*",
            "!*.md",
            "/*",
            "lib/*.js",
            "l*",
            "**/l*",
            "lib/{a,b}*",
            "*.{js,ts}",
            "x{1..3}.js",
            "!(lib|src)",
            "*(a|b)*",
            "**/@(lib|test)/*",
            "lib/../src",
            "./lib",
            "..",
            "a/**/b",
            "[]",
            "[a",
            "(z)",
            "@(",
            "é",
            "É",
            "\\#x",
            "\\!x",
            "#x",
            "!x",
            "*.d.ts",
            "/",
            "//",
            "test*",
            "*~",
            "!README*",
            "!package.json",
            "node_modules",
            "?",
            "??.js",
            "[[:digit:]]*",
            "[[:upper:]]*",
            "**/.*",
            ".*/**",
            "!.npmrc",
            "!node_modules",
            "!**/.DS_Store",
            "!*.orig",
            "lib/!(a*)",
            "!(a|b)/**",
            "@(l|L)ib",
            "{a,b}",
            "{a",
            "a}",
            "*.*",
            "**/*.*",
            "lib/**/*.js",
            "/**/a.js",
            "**/lib/../sub",
            "{,lib/}a.js",
            "\u{a0}lib",
        ];
        let mut text = if self.random.one_in(2) {
            self.random.of_list(WHOLE).to_owned()
        } else {
            self.meant(at)
        };
        match self.random.below(16) {
            0 => text = format!("/{text}"),
            1 => text.push('/'),
            2 => text = format!("**/{text}"),
            3 => text.push_str("/**"),
            4 => text.push_str("/*"),
            5 => text = text.to_uppercase(),
            6 => text = text.replacen(|letter: char| letter.is_ascii_alphabetic(), "?", 1),
            // Within a group, npm's own regular expression would not end.
            7 if !text.contains('(') => {
                text = text.replacen(|letter: char| letter.is_ascii_alphabetic(), "*", 1);
            }
            8 => text = format!("./{text}"),
            9 => {
                text = text
                    .chars()
                    .map(|letter| {
                        if letter == 'a' {
                            "[ab]".to_owned()
                        } else {
                            letter.to_string()
                        }
                    })
                    .collect();
            }
            _ => {}
        }
        text
    }

    fn ignore_file(&mut self, at: &str) {
        let name = self
            .random
            .of_list(&[".npmignore", ".npmignore", ".gitignore"]);
        let mut text = String::new();
        for _ in 0..self.random.below(7) {
            let line = match self.random.below(14) {
                0 => String::new(),
                1 => "# comment".to_owned(),
                2 => format!("  {}  ", self.pattern(at)),
                3 => format!("!!{}", self.pattern(at)),
                4..=6 => format!("!{}", self.pattern(at)),
                _ => self.pattern(at),
            };
            text.push_str(&line);
            text.push_str(self.random.of_list(&["\n", "\n", "\n", "\r\n"]));
        }
        if self.random.one_in(10) {
            text.insert(0, '\u{feff}');
        }
        self.file(&format!("{at}{name}"), text.as_bytes());
        if self.random.one_in(6) {
            self.file(&format!("{at}.gitignore"), b"*.js\n");
        }
    }

    fn manifest(&mut self, at: &str) -> Value {
        let mut manifest = Map::new();
        let name = self.random.of_list(&["p", "p", "@s/p", "some-name"]);
        manifest.insert("name".to_owned(), json!(name));
        manifest.insert("version".to_owned(), json!("1.2.3"));
        if self.random.one_in(2) {
            let files = self.files_field(at);
            manifest.insert("files".to_owned(), files);
        }
        if self.random.one_in(3) {
            let main = self.entry(at);
            manifest.insert("main".to_owned(), json!(main));
        }
        if self.random.one_in(6) {
            let browser = match self.random.below(4) {
                0 => json!({ "./a.js": "./b.js" }),
                _ => json!(self.entry(at)),
            };
            manifest.insert("browser".to_owned(), browser);
        }
        if self.random.one_in(3) {
            let bin = match self.random.below(6) {
                0 | 1 => json!(self.entry(at)),
                2 => json!([self.entry(at), self.entry(at)]),
                3 => json!({ "one": self.entry(at), "x/two": self.entry(at), "three": 7 }),
                _ => json!({ "one": self.entry(at) }),
            };
            manifest.insert("bin".to_owned(), bin);
        } else if self.random.one_in(10) {
            manifest.insert(
                "directories".to_owned(),
                json!({ "bin": self.random.of_list(&["bin", "./bin", "lib", "bin/"]) }),
            );
        }
        if self.random.one_in(8) {
            let patch = self.meant(at).replace("package.json", "a.patch");
            manifest.insert(
                "patchedDependencies".to_owned(),
                json!({ "left-pad@1.3.0": patch }),
            );
        }
        if self.random.one_in(6) {
            self.bundles(at, &mut manifest);
        }
        self.told(&mut manifest);
        Value::Object(manifest)
    }

    /// What a manifest says beside what is packed.
    fn told(&mut self, manifest: &mut Map<String, Value>) {
        const REPOSITORIES: &[&str] = &[
            "o/n",
            "github:o/n",
            "gitlab:o/n",
            "gitlab:g/s/n",
            "bitbucket:o/n",
            "gist:11081aaa281",
            "sourcehut:~o/n",
            "o/n#main",
            "https://github.com/o/n",
            "https://github.com/o/n.git",
            "git+https://github.com/o/n.git",
            "git://github.com/o/n.git",
            "git@github.com:o/n.git",
            "ssh://git@github.com/o/n.git",
            "http://github.com/o/n",
            "https://github.com/o/n/tree/v1",
            "https://github.com/o/n/tree/main/packages/x",
            "https://gitlab.com/o/n.git",
            "https://example.org/o/n.git",
            "git@example.org:o/n.git",
            "https://user:pass@github.com/o/n",
            "https://gist.github.com/o/abc",
            "https://git.sr.ht/~o/n",
            "https://www.github.com/o/n",
            "nonsense",
            "https://bitbucket.org/o/n",
            "git+ssh://git@bitbucket.org/o/n.git",
            "github:o/n.git#semver:^1",
            "svn://x.y/z",
            "./o/n",
            "@o/n",
            "",
        ];
        const PEOPLE: &[&str] = &[
            "Ann <ann@x.y> (https://x.y)",
            "Ann",
            "<ann@x.y>",
            "Ann (x)",
            "(https://x.y) Ann",
            "  ",
            "Ann <>",
            "Ann <a<b@c.d>",
        ];
        if self.random.one_in(2) {
            let url = self.random.of_list(REPOSITORIES);
            let repository = match self.random.below(3) {
                0 => json!({ "type": "git", "url": url, "directory": "packages/x" }),
                _ => json!(url),
            };
            manifest.insert("repository".to_owned(), repository);
        }
        for (field, values) in [
            (
                "author",
                json!([self.random.of_list(PEOPLE), { "name": "Ann", "mail": "a@b.c", "web": "https://x.y" }, { "email": "a@b.c" }]),
            ),
            (
                "contributors",
                json!([[self.random.of_list(PEOPLE), { "name": "Bob", "x": 1 }], self.random.of_list(PEOPLE), []]),
            ),
            ("maintainers", json!([[self.random.of_list(PEOPLE)], "Ann"])),
            (
                "bugs",
                json!(["a@b.c", "https://x.y/bugs", "nonsense", { "url": "https://x.y", "email": "a@b.c" }, { "web": "https://x.y" }, { "url": "x" }, {}]),
            ),
            ("homepage", json!(["https://x.y", "x.y/z", 7, ""])),
            (
                "keywords",
                json!([["a", "", 1, "b"], "a, b,c", "a,b", 7, []]),
            ),
            ("description", json!(["said", "", 7, ["x"]])),
            (
                "scripts",
                json!([{ "a": "node_modules/.bin/tsc -p .", "b": "./node_modules/.bin/x", "c": 1 }, {}, "x", { "install": "x" }, null]),
            ),
            ("overrides", json!([{}, { "z": "1" }, "x", []])),
            ("types", json!(["x.d.ts", null, ""])),
            ("man", json!(["./man/a.1", ["man/a.1", 7], [], 7])),
            ("modules", json!([{ "a": 1 }])),
            ("_private", json!(["x"])),
            ("gypfile", json!([false, true])),
            ("engines", json!([{ "node": ">=20" }])),
            ("license", json!(["MIT", { "type": "MIT" }])),
            (
                "devDependencies",
                json!([{ "d": "^1", "e": "o/n" }, { "d": "1", "e": "github:o/n#v1" }, "d@1 e", ["d@^1", "e>=2", "f"], null]),
            ),
            ("funding", json!(["https://x.y", ["https://x.y"]])),
            ("10", json!([1, { "2": 1, "1": 1.50 }])),
        ] {
            if self.random.one_in(8) && !manifest.contains_key(field) {
                let values = values.as_array().expect("a list").clone();
                manifest.insert(
                    field.to_owned(),
                    values[self.random.below(values.len())].clone(),
                );
            }
        }
    }

    fn entry(&mut self, at: &str) -> String {
        let path = self.meant(at);
        if path
            .split('/')
            .any(|part| part == ".git" || part == "node_modules")
        {
            return "index.js".to_owned();
        }
        match self.random.below(8) {
            0 | 1 => format!("./{path}"),
            2 => format!("/{path}"),
            3 => path.trim_end_matches(".js").to_owned(),
            4 => format!("../{path}"),
            _ => path,
        }
    }

    fn files_field(&mut self, at: &str) -> Value {
        if self.random.one_in(40) {
            return self.random.of_list(&["lib", "bo"]).into();
        }
        let mut entries = Vec::new();
        for _ in 0..self.random.below(5) {
            let entry = if self.random.one_in(2) {
                self.meant(at)
            } else {
                self.pattern(at)
            };
            // npm would look through the whole machine, or above the package.
            let entry = entry.trim_start_matches('/').replace("**/..", "**");
            entries.push(if self.random.one_in(4) {
                format!("!{entry}")
            } else {
                entry
            });
        }
        json!(entries)
    }

    /// Dependencies that are packed with the package, some of them links, some with dependencies of their own.
    fn bundles(&mut self, at: &str, manifest: &mut Map<String, Value>) {
        const PACKAGES: &[&str] = &["x", "@t/y", "z", "w"];
        let mut needed = Map::new();
        for name in PACKAGES {
            if self.random.one_in(2) {
                needed.insert((*name).to_owned(), json!("*"));
            }
        }
        let bundled = match self.random.below(5) {
            0 => json!(true),
            1 => json!({ "x": "1" }),
            2 => json!(["x", "@t/y", "nothing"]),
            _ => json!(["x", "z"]),
        };
        let fields: &[&str] = &[
            "dependencies",
            "dependencies",
            "dependencies",
            "optionalDependencies",
            "devDependencies",
            "peerDependencies",
        ];
        manifest.insert(
            self.random.of_list(fields).to_owned(),
            Value::Object(needed),
        );
        manifest.insert(
            self.random
                .of_list(&["bundleDependencies", "bundledDependencies"])
                .to_owned(),
            bundled,
        );
        for name in PACKAGES {
            match self.random.below(6) {
                0 => {}
                1 => {
                    let up = if name.starts_with('@') {
                        "../../../linked"
                    } else {
                        "../../linked"
                    };
                    self.links
                        .insert(format!("{at}node_modules/{name}"), up.to_owned());
                    self.installed(
                        &format!("{at}node_modules/../linked/").replace("node_modules/../", ""),
                        "linked",
                    );
                }
                2 => {
                    self.installed(&format!("{at}node_modules/{name}/"), name);
                    let inner = self.random.of_list(PACKAGES);
                    self.installed(
                        &format!("{at}node_modules/{name}/node_modules/{inner}/"),
                        inner,
                    );
                }
                _ => self.installed(&format!("{at}node_modules/{name}/"), name),
            }
        }
    }

    fn installed(&mut self, at: &str, name: &str) {
        for path in [
            "index.js",
            "lib/a.js",
            ".npmrc",
            "test/t.js",
            "README",
            "lib/x.orig",
            "package-lock.json",
        ] {
            if self.random.one_in(2) {
                self.file(&format!("{at}{path}"), b"installed");
            }
        }
        if self.random.one_in(3) {
            self.ignore_file(at);
        }
        if self.random.one_in(3) {
            self.ignore_file(&format!("{at}lib/"));
        }
        let mut manifest = json!({ "name": name, "version": "1.0.0" });
        if self.random.one_in(3) {
            manifest["files"] = json!(["lib", "!lib/x*"]);
        }
        if self.random.one_in(2) {
            manifest["dependencies"] =
                json!({ self.random.of_list(&["x", "@t/y", "z", "w"]): "*" });
        }
        if self.random.one_in(4) {
            manifest["main"] = json!("test/t.js");
        }
        self.file(
            &format!("{at}package.json"),
            manifest.to_string().as_bytes(),
        );
    }

    /// Writes everything to disk; where a path is taken by something else, it is left out.
    fn store(&self, directory: &Path) {
        for (path, (bytes, mode)) in &self.files {
            let at = directory.join(path);
            let folder = at.parent().expect("a folder");
            if fs::create_dir_all(folder).is_ok() && fs::write(&at, bytes).is_ok() {
                fs::set_permissions(&at, fs::Permissions::from_mode(*mode)).expect("a mode");
            }
        }
        for (path, target) in &self.links {
            let at = directory.join(path);
            let folder = at.parent().expect("a folder");
            if fs::create_dir_all(folder).is_ok() {
                let _ = symlink(target, &at);
            }
        }
    }
}
