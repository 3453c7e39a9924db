//! Generated repositories: the same numbers give the same objects, written by one `git fast-import`.

use std::fmt::Write as _;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::process::{Command, Stdio};

/// How many packages changed after the last release.
pub const CHANGED: usize = 20;

/// How large a repository is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// How many packages.
    pub packages: usize,
    /// How many commits, about.
    pub commits: usize,
    /// How many tags, about.
    pub tags: usize,
}

impl Size {
    /// A size as repositories with so many packages have it: the larger they are, the fewer commits and tags for each package.
    pub fn of(packages: usize) -> Size {
        let (commits, tags) = if packages < 5000 {
            (2 * packages, 10 * packages)
        } else {
            (packages, packages / 5 * 44)
        };
        Size {
            packages,
            commits,
            tags,
        }
    }
}

/// What stands at the root beside the lockfile: what npm and each tool of the comparison asks for.
const ROOT: [(&str, &str); 4] = [
    (
        "package.json",
        r#"{
  "name": "bench",
  "private": true,
  "packageManager": "npm@11.0.0",
  "workspaces": ["packages/*"]
}
"#,
    ),
    (
        "lerna.json",
        r#"{
  "version": "independent",
  "npmClient": "npm"
}
"#,
    ),
    (
        "turbo.json",
        r#"{
  "tasks": { "build": { "dependsOn": ["^build"] } }
}
"#,
    ),
    (".gitignore", "node_modules\n.nx\n.turbo\n"),
];

/// Where the packages' last release tags lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bases {
    /// Every release took every package: all bases are one commit, the last release.
    Together,
    /// Each release took the 20 packages that changed: bases lie on hundreds of commits, far back in history.
    Spread,
}

/// How packages name the versions of one another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ranges {
    /// `^1.0.0`, which every release holds: who depends on a package need not follow it.
    Held,
    /// The exact version, which every release leaves: who depends on a package, near or far, follows it. Only for [`Bases::Together`].
    Left,
}

/// Numbers that look random and are the same in each run (an LCG with Knuth's constants).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap_or(0) % limit
    }
}

/// The stream that `git fast-import` reads, and what is needed to write the next commit.
struct Stream<W: Write> {
    out: W,
    size: Size,
    /// The patch version of each package: `1.0.PATCH`.
    patches: Vec<usize>,
    dependencies: Vec<Vec<usize>>,
    ranges: Ranges,
    clock: u64,
    numbers: Numbers,
}

/// Makes a repository in an empty directory, with a work tree, all objects in one pack and all refs packed.
pub fn generate(directory: &Path, size: Size, bases: Bases, ranges: Ranges) -> io::Result<()> {
    git(directory, &["init", "--quiet", "--initial-branch=main"])?;
    git(directory, &["config", "user.name", "Bench"])?;
    git(directory, &["config", "user.email", "bench@example.test"])?;
    let mut importer = Command::new("git")
        .arg("-C")
        .arg(directory)
        .args(["fast-import", "--quiet"])
        .stdin(Stdio::piped())
        .spawn()?;
    let input = importer.stdin.take().ok_or(io::ErrorKind::BrokenPipe)?;
    Stream::new(BufWriter::new(input), size, ranges).write(bases)?;
    check(importer.wait()?.success(), "git fast-import")?;
    // As a clone notes it.
    let noted = "refs/remotes/origin/main";
    git(directory, &["update-ref", noted, "main"])?;
    git(
        directory,
        &["symbolic-ref", "refs/remotes/origin/HEAD", noted],
    )?;
    git(directory, &["repack", "-adq"])?;
    git(directory, &["pack-refs", "--all"])?;
    git(directory, &["reset", "--quiet", "--hard"])
}

/// Turns packed refs into one file for each, as a fetch into an empty repository writes them.
pub fn loosen_refs(directory: &Path) -> io::Result<()> {
    let packed = directory.join(".git/packed-refs");
    let text = std::fs::read_to_string(&packed)?;
    for line in text.lines() {
        let Some((object, name)) = line.split_once(' ').filter(|_| !line.starts_with('#')) else {
            continue;
        };
        let file = directory.join(".git").join(name);
        if let Some(parent) = file.parent() {
            std::fs::create_dir_all(parent)?;
        }
        std::fs::write(file, format!("{object}\n"))?;
    }
    std::fs::remove_file(packed)
}

/// Copies a repository.
pub fn copy(repository: &Path, copy: &Path) -> io::Result<()> {
    let status = Command::new("cp")
        .args(["-a", "--"])
        .arg(repository)
        .arg(copy)
        .status()?;
    check(status.success(), "cp")?;
    // The copies have other inodes: without this every `git diff` would compare their content.
    git(copy, &["update-index", "-q", "--refresh"])
}

/// Copies a repository for pnpm, whose workspace is written in a file of its own; git does not count that file as a change.
pub fn copy_for_pnpm(repository: &Path, copy: &Path) -> io::Result<()> {
    self::copy(repository, copy)?;
    let file = "pnpm-workspace.yaml";
    std::fs::write(copy.join(file), "packages:\n  - packages/*\n")?;
    std::fs::write(copy.join(".git/info/exclude"), format!("{file}\n"))
}

/// Runs git in a repository.
pub fn git(directory: &Path, arguments: &[&str]) -> io::Result<()> {
    let status = Command::new("git")
        .arg("-C")
        .arg(directory)
        .args(arguments)
        .status()?;
    check(status.success(), "git")
}

/// What git answers in a repository.
pub fn git_says(directory: &Path, arguments: &[&str]) -> io::Result<String> {
    let output = Command::new("git")
        .arg("-C")
        .arg(directory)
        .args(arguments)
        .output()?;
    check(output.status.success(), "git")?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// The tag of the last release.
pub fn newest_tag(directory: &Path) -> io::Result<String> {
    git_says(directory, &["describe", "--abbrev=0", "HEAD"])
}

fn check(succeeded: bool, what: &str) -> io::Result<()> {
    if succeeded {
        Ok(())
    } else {
        Err(io::Error::other(format!("{what} failed")))
    }
}

fn name(package: usize) -> String {
    format!("@bench/package-{package:04}")
}

fn directory(package: usize) -> String {
    format!("packages/package-{package:04}")
}

impl<W: Write> Stream<W> {
    fn new(out: W, size: Size, ranges: Ranges) -> Stream<W> {
        let mut numbers = Numbers(1);
        let dependencies = (0..size.packages)
            .map(|package| {
                let wanted = if package < 10 {
                    0
                } else {
                    numbers.below(100) % 4 + usize::from(package % 4 == 0)
                };
                let mut edges: Vec<usize> = (0..wanted).map(|_| numbers.below(package)).collect();
                edges.sort_unstable();
                edges.dedup();
                edges
            })
            .collect();
        Stream {
            out,
            size,
            patches: vec![0; size.packages],
            dependencies,
            ranges,
            clock: 1_600_000_000,
            numbers,
        }
    }

    fn write(mut self, bases: Bases) -> io::Result<()> {
        self.first_commit()?;
        let packages = self.size.packages;
        self.release_tags(&(0..packages).collect::<Vec<_>>())?;
        let rest = self.size.tags - packages;
        let per_release = match bases {
            Bases::Together => packages,
            Bases::Spread => CHANGED,
        };
        let releases = rest / per_release;
        // The first commit, each release and what comes after the last one are commits too.
        let changes = self.size.commits - 1 - releases - CHANGED;
        for release in 0..releases {
            let taken = match bases {
                Bases::Together => (0..packages).collect(),
                Bases::Spread => self.some_packages(CHANGED),
            };
            let count = changes * (release + 1) / releases - changes * release / releases;
            for change in 0..count {
                // Each package of a small release is touched by a commit since the one before.
                let touched: Vec<usize> = match bases {
                    Bases::Together => vec![self.numbers.below(packages)],
                    Bases::Spread => taken.iter().copied().skip(change).step_by(count).collect(),
                };
                self.change(&touched)?;
            }
            self.release(&taken)?;
        }
        for package in self.some_packages(CHANGED) {
            self.change(&[package])?;
        }
        writeln!(self.out, "done")?;
        self.out.flush()
    }

    fn some_packages(&mut self, count: usize) -> Vec<usize> {
        let mut some = std::collections::BTreeSet::new();
        while some.len() < count {
            some.insert(self.numbers.below(self.size.packages));
        }
        some.into_iter().collect()
    }

    fn first_commit(&mut self) -> io::Result<()> {
        self.commit("chore: begin\n", false)?;
        for (path, content) in ROOT {
            self.file(path, content)?;
        }
        for package in 0..self.size.packages {
            self.manifest(package)?;
            self.file(
                &format!("{}/README.md", directory(package)),
                &format!("# {}\n", name(package)),
            )?;
            for file in ["index", "parse", "write"] {
                let text = format!("// {}\nmodule.exports = 0;\n", name(package));
                self.file(&format!("{}/src/{file}.js", directory(package)), &text)?;
            }
        }
        self.lockfile()
    }

    fn change(&mut self, packages: &[usize]) -> io::Result<()> {
        let kind = ["fix", "fix", "feat", "chore", "docs"][self.numbers.below(5)];
        let kind = if packages.len() == 1 { "fix" } else { kind };
        self.commit(&format!("{kind}: change {}\n", name(packages[0])), true)?;
        for &package in packages {
            let text = format!("// {}\nmodule.exports = {};\n", name(package), self.clock);
            self.file(&format!("{}/src/index.js", directory(package)), &text)?;
        }
        Ok(())
    }

    fn release(&mut self, packages: &[usize]) -> io::Result<()> {
        let mut message = format!("chore: release {} packages\n\n", packages.len());
        for &package in packages {
            let patch = self.patches[package];
            let _ = writeln!(
                message,
                "{} 1.0.{patch} -> 1.0.{}",
                name(package),
                patch + 1
            );
            self.patches[package] = patch + 1;
        }
        self.commit(&message, true)?;
        for &package in packages {
            self.manifest(package)?;
        }
        self.lockfile()?;
        self.release_tags(packages)
    }

    fn commit(&mut self, message: &str, has_parent: bool) -> io::Result<()> {
        self.clock += 600;
        writeln!(
            self.out,
            "commit refs/heads/main\ncommitter Bench <bench@example.test> {} +0000",
            self.clock
        )?;
        self.data(message)?;
        if !has_parent {
            writeln!(self.out, "deleteall")?;
        }
        Ok(())
    }

    fn release_tags(&mut self, packages: &[usize]) -> io::Result<()> {
        for &package in packages {
            let tag = format!("{}@1.0.{}", name(package), self.patches[package]);
            writeln!(
                self.out,
                "tag {tag}\nfrom refs/heads/main\ntagger Bench <bench@example.test> {} +0000",
                self.clock
            )?;
            self.data(&format!("{tag}\n\nPkgs-Seal: none\n"))?;
        }
        Ok(())
    }

    fn manifest(&mut self, package: usize) -> io::Result<()> {
        let mut internal = String::new();
        for &dependency in &self.dependencies[package] {
            let _ = writeln!(internal, "    {},", self.spec(dependency));
        }
        let text = format!(
            r#"{{
  "name": "{name}",
  "version": "1.0.{patch}",
  "description": "A package of a generated repository",
  "license": "MIT",
  "repository": {{ "type": "git", "url": "https://git.example.test/bench.git", "directory": "{directory}" }},
  "main": "src/index.js",
  "files": ["src"],
  "scripts": {{ "build": "true", "test": "node --test" }},
  "dependencies": {{
{internal}    "left": "^1.3.0"
  }},
  "devDependencies": {{ "right": "^2.0.0" }}
}}
"#,
            name = name(package),
            patch = self.patches[package],
            directory = directory(package),
        );
        self.file(&format!("{}/package.json", directory(package)), &text)
    }

    /// A dependency as a manifest and the lockfile write it.
    fn spec(&self, dependency: usize) -> String {
        match self.ranges {
            Ranges::Held => format!("\"{}\": \"^1.0.0\"", name(dependency)),
            Ranges::Left => {
                let patch = self.patches[dependency];
                format!("\"{}\": \"1.0.{patch}\"", name(dependency))
            }
        }
    }

    fn lockfile(&mut self) -> io::Result<()> {
        let mut text = "{\n  \"name\": \"bench\",\n  \"lockfileVersion\": 3,\n  \"requires\": true,\n  \"packages\": {\n    \"\": {\n      \"name\": \"bench\",\n      \"workspaces\": [\n        \"packages/*\"\n      ]\n    }".to_owned();
        for package in 0..self.size.packages {
            let directory = directory(package);
            let _ = write!(
                text,
                ",\n    \"node_modules/{}\": {{\n      \"resolved\": \"{directory}\",\n      \"link\": true\n    }}",
                name(package)
            );
        }
        for (external, version) in [("left", "1.3.0"), ("right", "2.0.0")] {
            let _ = write!(
                text,
                ",\n    \"node_modules/{external}\": {{\n      \"version\": \"{version}\",\n      \"resolved\": \"https://registry.example.test/{external}-{version}.tgz\"\n    }}"
            );
        }
        for package in 0..self.size.packages {
            let internal: String =
                self.dependencies[package]
                    .iter()
                    .fold(String::new(), |mut text, dependency| {
                        let _ = writeln!(text, "        {},", self.spec(*dependency));
                        text
                    });
            let _ = write!(
                text,
                ",\n    \"{}\": {{\n      \"name\": \"{}\",\n      \"version\": \"1.0.{}\",\n      \"license\": \"MIT\",\n      \"dependencies\": {{\n{internal}        \"left\": \"^1.3.0\"\n      }},\n      \"devDependencies\": {{\n        \"right\": \"^2.0.0\"\n      }}\n    }}",
                directory(package),
                name(package),
                self.patches[package],
            );
        }
        text.push_str("\n  }\n}\n");
        self.file("package-lock.json", &text)
    }

    fn file(&mut self, path: &str, content: &str) -> io::Result<()> {
        writeln!(self.out, "M 100644 inline {path}")?;
        self.data(content)
    }

    fn data(&mut self, content: &str) -> io::Result<()> {
        writeln!(self.out, "data {}\n{content}", content.len())
    }
}
