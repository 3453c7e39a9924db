//! Native modules: which machines they are for, told from their headers.

use std::collections::{BTreeMap, BTreeSet};

use object::elf;
use object::read::elf::{Dyn as _, FileHeader};
use object::{Endianness, FileKind, ReadRef};

/// What Node loads, or what that is linked to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Module {
    /// The operating system, as Node calls it.
    pub os: &'static str,
    /// The architecture, as Node calls it, `unknown` where it has no name for it; `None` where it was not told, or there are several.
    pub arch: Option<&'static str>,
    /// The C library that it asks for; one that asks for none fits each.
    pub libc: Option<&'static str>,
    /// The lowest version of glibc that has all that it asks for.
    pub glibc: Option<(u32, u32)>,
}

/// A machine, in Node's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Machine<'a> {
    /// `linux`.
    pub os: &'a str,
    /// `x64`.
    pub arch: &'a str,
    /// `glibc` or `musl`.
    pub libc: &'a str,
}

/// What the native modules of an archive ask of hosts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Contract {
    /// Whether there are any for the machine; what is of no known form counts as one.
    pub is_native: bool,
    /// The lowest glibc for all of them.
    pub min_glibc: Option<String>,
    /// The packages that have modules for other machines only; the app itself is the empty text.
    pub without: Vec<String>,
}

/// Whether the file at a path may be a native module: `*.node`, and shared libraries, `*.so` and `*.so.1`.
#[must_use]
pub fn may_be_native(path: &str) -> bool {
    is_module(path) || is_library(path)
}

fn is_module(path: &str) -> bool {
    path.strip_suffix(".node").is_some()
}

fn is_library(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    let behind = name.split_once(".so").map(|(_, behind)| behind);
    behind.is_some_and(|behind| {
        let numbers = behind.strip_prefix('.').unwrap_or(behind);
        (behind.is_empty() || behind.starts_with('.') && !numbers.is_empty())
            && numbers
                .chars()
                .all(|one| one.is_ascii_digit() || one == '.')
    })
}

/// What the native modules at some paths ask for on the machine that they were installed on. Of a package that carries them for many machines
/// only those for this one count.
///
/// ```
/// use pkgs_action::workspace::native::{Machine, Module, contract};
/// let machine = Machine { os: "linux", arch: "x64", libc: "glibc" };
/// let module = Module { os: "linux", arch: Some("x64"), libc: Some("glibc"), glibc: Some((2, 28)) };
/// let contract = contract(machine, &[("node_modules/a/a.node".to_owned(), Some(module))]);
/// assert_eq!(contract.min_glibc.as_deref(), Some("2.28"));
/// ```
#[must_use]
pub fn contract(machine: Machine<'_>, modules: &[(String, Option<Module>)]) -> Contract {
    let mut is_native = false;
    let mut glibc = None;
    let mut packages: BTreeMap<&str, bool> = BTreeMap::new();
    for (path, module) in modules {
        let fits = match module {
            Some(module) => machine.fits(module),
            None => is_module(path),
        };
        is_native |= fits;
        if is_module(path) {
            *packages.entry(package_of(path)).or_default() |= fits;
        }
        if let Some(module) = module.as_ref().filter(|_| fits) {
            glibc = glibc.max(module.glibc);
        }
    }
    let without = packages.into_iter().filter(|(_, fits)| !fits);
    Contract {
        is_native,
        min_glibc: glibc.map(|(major, minor)| format!("{major}.{minor}")),
        without: without.map(|(package, _)| package.to_owned()).collect(),
    }
}

impl Machine<'_> {
    fn fits(self, module: &Module) -> bool {
        self.os == module.os
            && module.arch.is_none_or(|arch| arch == self.arch)
            && (self.os != "linux" || module.libc.is_none_or(|libc| libc == self.libc))
    }
}

/// The package that a path is in: `node_modules/@s/a/build/a.node` → `node_modules/@s/a`.
fn package_of(path: &str) -> &str {
    const FOLDER: &str = "node_modules/";
    let Some(start) = path.rfind(FOLDER).map(|at| at + FOLDER.len()) else {
        return "";
    };
    let parts = if path[start..].starts_with('@') { 2 } else { 1 };
    let mut slashes = path[start..].match_indices('/');
    match slashes.nth(parts - 1) {
        Some((end, _)) => &path[..start + end],
        None => path,
    }
}

/// Reads what a file says of itself; `None` for what is no program of a known form.
///
/// Bounded by the length of the file: nothing that it says leads outside, and nothing is followed twice.
#[must_use]
pub fn read<'data>(data: impl ReadRef<'data>) -> Option<Module> {
    match FileKind::parse(data) {
        Ok(FileKind::Elf32) => of_elf::<elf::FileHeader32<Endianness>, _>(data).ok(),
        Ok(FileKind::Elf64) => of_elf::<elf::FileHeader64<Endianness>, _>(data).ok(),
        _ => of_another_system(data.read_bytes_at(0, 8).ok()?),
    }
}

/// Programs of macOS and Windows by their first bytes: they need no more than to be told apart.
fn of_another_system(start: &[u8]) -> Option<Module> {
    let (os, arch) = match start {
        [0xcf, 0xfa, 0xed, 0xfe, 7, 0, 0, 1] => ("darwin", Some("x64")),
        [0xcf, 0xfa, 0xed, 0xfe, 12, 0, 0, 1] => ("darwin", Some("arm64")),
        [0xcf, 0xfa, 0xed, 0xfe, ..] | [0xca, 0xfe, 0xba, 0xbe | 0xbf, ..] => ("darwin", None),
        [b'M', b'Z', ..] => ("win32", None),
        _ => return None,
    };
    Some(Module {
        os,
        arch,
        libc: None,
        glibc: None,
    })
}

fn of_elf<'data, Elf, R>(data: R) -> object::Result<Module>
where
    Elf: FileHeader<Endian = Endianness>,
    R: ReadRef<'data>,
{
    let header = Elf::parse(data)?;
    let endian = header.endian()?;
    let sections = header.sections(endian, data)?;
    let mut libraries = BTreeSet::new();
    let (dynamic, strings) = match sections.dynamic(endian, data)? {
        Some((entries, strings)) => (entries, sections.strings(endian, data, strings)?),
        None => (&[][..], object::StringTable::default()),
    };
    for entry in dynamic {
        if entry.tag(endian) == elf::DT_NEEDED {
            libraries.insert(entry.string(endian, strings)?);
        }
    }
    let mut glibc = None;
    if let Some((mut needs, strings)) = sections.gnu_verneed(endian, data)? {
        let strings = sections.strings(endian, data, strings)?;
        while let Some((_, mut versions)) = needs.next()? {
            while let Some(version) = versions.next()? {
                glibc = glibc.max(glibc_version(version.name(endian, strings)?));
            }
        }
    }
    Ok(Module {
        os: os(header.e_ident().os_abi),
        arch: Some(arch(header.e_machine(endian), header.is_little_endian())),
        libc: if glibc.is_some() {
            Some("glibc")
        } else {
            libraries.iter().find_map(|name| libc(name))
        },
        glibc,
    })
}

fn os(abi: elf::OsAbi) -> &'static str {
    if abi == elf::ELFOSABI_FREEBSD {
        "freebsd"
    } else {
        "linux"
    }
}

fn arch(machine: elf::Machine, is_little: bool) -> &'static str {
    let known = [
        (elf::EM_X86_64, "x64"),
        (elf::EM_AARCH64, "arm64"),
        (elf::EM_386, "ia32"),
        (elf::EM_ARM, "arm"),
        (elf::EM_PPC64, "ppc64"),
        (elf::EM_S390, "s390x"),
        (elf::EM_RISCV, "riscv64"),
        (elf::EM_LOONGARCH, "loong64"),
        (elf::EM_MIPS, if is_little { "mipsel" } else { "mips" }),
    ];
    let found = known.into_iter().find(|(known, _)| *known == machine);
    // Of an unknown one it is known that it is none of those.
    found.map_or("unknown", |(_, name)| name)
}

/// The C library that a shared library belongs to.
fn libc(name: &[u8]) -> Option<&'static str> {
    match name {
        b"libc.so.6" => Some("glibc"),
        b"libc.so" => Some("musl"),
        name if name.starts_with(b"libc.musl-") || name.starts_with(b"ld-musl-") => Some("musl"),
        name if name.starts_with(b"ld-linux") => Some("glibc"),
        _ => None,
    }
}

/// `GLIBC_2.34` → 2.34.
fn glibc_version(name: &[u8]) -> Option<(u32, u32)> {
    let name = std::str::from_utf8(name).ok()?.strip_prefix("GLIBC_")?;
    if name == "ABI_DT_RELR" {
        // No symbol, but a form of relocation that older ones do not know.
        return Some((2, 36));
    }
    let mut numbers = name.split('.').map(|part| part.parse().ok());
    Some((numbers.next()??, numbers.next()??))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A shared library of 64 bits that says nothing but what it is linked to.
    fn library(machine: u16, needs: &[&str], versions: &[&str]) -> Vec<u8> {
        let mut strings = vec![0];
        let mut add = |text: &str| {
            let at = u32::try_from(strings.len()).unwrap();
            strings.extend(text.as_bytes());
            strings.push(0);
            at
        };
        let (mut dynamic, mut verneed) = (Vec::new(), Vec::new());
        for name in needs {
            dynamic.extend(1_u64.to_le_bytes());
            dynamic.extend(u64::from(add(name)).to_le_bytes());
        }
        dynamic.extend([0; 16]);
        if !versions.is_empty() {
            let count = u16::try_from(versions.len()).unwrap();
            verneed.extend([1_u16.to_le_bytes(), count.to_le_bytes()].concat());
            let file = add("libc.so.6");
            verneed.extend([file, 16, 0].map(u32::to_le_bytes).concat());
            for (index, name) in versions.iter().enumerate() {
                let next = if index + 1 == versions.len() { 0 } else { 16 };
                let numbers = [0, 0, add(name), next].map(u32::to_le_bytes);
                verneed.extend(numbers.concat());
            }
        }
        let parts = [
            (3_u32, &strings, 0_u32),
            (6, &dynamic, 1),
            (0x6fff_fffe, &verneed, 1),
        ];
        let mut file = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
        file.extend([3_u16.to_le_bytes(), machine.to_le_bytes()].concat());
        file.extend(1_u32.to_le_bytes());
        let lengths: usize = parts.iter().map(|(_, bytes, _)| bytes.len()).sum();
        file.extend(
            [0, 0, 64 + u64::try_from(lengths).unwrap()]
                .map(u64::to_le_bytes)
                .concat(),
        );
        file.extend(0_u32.to_le_bytes());
        file.extend([64_u16, 56, 0, 64, 4, 1].map(u16::to_le_bytes).concat());
        let mut headers = vec![0; 64];
        for (kind, bytes, link) in parts {
            let (at, length) = (u64::try_from(file.len()).unwrap(), bytes.len() as u64);
            file.extend(bytes);
            headers.extend([0, kind].map(u32::to_le_bytes).concat());
            headers.extend([0, 0, at, length].map(u64::to_le_bytes).concat());
            headers.extend([link, u32::from(kind > 6)].map(u32::to_le_bytes).concat());
            headers.extend(
                [1_u64, if kind == 6 { 16 } else { 0 }]
                    .map(u64::to_le_bytes)
                    .concat(),
            );
        }
        file.extend(headers);
        file
    }

    const X64: u16 = 62;
    const ARM64: u16 = 183;

    fn module(
        os: &'static str,
        arch: Option<&'static str>,
        libc: Option<&'static str>,
        glibc: Option<(u32, u32)>,
    ) -> Module {
        Module {
            os,
            arch,
            libc,
            glibc,
        }
    }

    fn check(file: &[u8], expected: impl Into<Option<Module>>) {
        assert_eq!(read(file), expected.into());
    }

    #[test]
    fn headers_tell_the_machine_and_the_c_library() {
        let linux = |arch, libc, glibc| Some(module("linux", Some(arch), libc, glibc));
        check(
            &library(
                X64,
                &["libm.so.6", "libc.so.6"],
                &[
                    "GLIBC_2.2.5",
                    "GLIBC_2.34",
                    "GLIBC_2.9",
                    "GLIBCXX_3.4.30",
                    "GLIBC_PRIVATE",
                ],
            ),
            linux("x64", Some("glibc"), Some((2, 34))),
        );
        check(
            &library(ARM64, &["libc.so.6"], &["GLIBC_2.17", "GLIBC_ABI_DT_RELR"]),
            linux("arm64", Some("glibc"), Some((2, 36))),
        );
        check(
            &library(X64, &["libc.musl-x86_64.so.1"], &[]),
            linux("x64", Some("musl"), None),
        );
        check(
            &library(X64, &["libstdc++.so.6", "libc.so"], &[]),
            linux("x64", Some("musl"), None),
        );
        check(
            &library(X64, &["libc.so.6"], &[]),
            linux("x64", Some("glibc"), None),
        );
        check(&library(X64, &[], &[]), linux("x64", None, None));
        check(&library(9999, &[], &[]), linux("unknown", None, None));
        let mut freebsd = library(X64, &[], &[]);
        freebsd[7] = 9;
        check(&freebsd, Some(module("freebsd", Some("x64"), None, None)));
        check(
            b"\xcf\xfa\xed\xfe\x0c\x00\x00\x01",
            Some(module("darwin", Some("arm64"), None, None)),
        );
        check(
            b"\xcf\xfa\xed\xfe\x07\x00\x00\x01",
            Some(module("darwin", Some("x64"), None, None)),
        );
        check(
            b"\xca\xfe\xba\xbe\x00\x00\x00\x02",
            Some(module("darwin", None, None, None)),
        );
        check(
            b"MZ\x90\x00\x03\x00\x00\x00",
            Some(module("win32", None, None, None)),
        );
        for nothing in [
            &b""[..],
            b"MZ",
            b"not really",
            b"#!/bin/sh\n",
            b"\x7fELF\x02\x01\x01",
        ] {
            check(nothing, None);
        }
    }

    #[test]
    fn what_is_broken_is_told_as_nothing_or_something_and_never_worse() {
        let whole = library(X64, &["libc.so.6"], &["GLIBC_2.2.5", "GLIBC_2.34"]);
        for length in 0..whole.len() {
            let _ = read(&whole[..length]);
        }
        for at in 0..whole.len() {
            for byte in [0, 1, 0x7f, 0xff] {
                let mut broken = whole.clone();
                broken[at] = byte;
                let _ = read(broken.as_slice());
            }
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_program_itself_is_for_this_machine() {
        let file = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let module = read(file.as_slice()).unwrap();
        assert_eq!(module.os, "linux");
        if cfg!(target_env = "gnu") {
            assert_eq!(module.libc, Some("glibc"));
            assert!(module.glibc >= Some((2, 2)));
        }
    }

    #[test]
    fn of_modules_for_many_machines_those_for_this_one_count() {
        let linux = |arch, libc, glibc| Some(module("linux", Some(arch), Some(libc), glibc));
        let modules = |all: &[(&str, Option<Module>)]| -> Vec<(String, Option<Module>)> {
            let all = all.iter().cloned();
            all.map(|(path, module)| (path.to_owned(), module))
                .collect()
        };
        let prebuilds = modules(&[
            (
                "node_modules/a/prebuilds/linux-x64/a.glibc.node",
                linux("x64", "glibc", Some((2, 17))),
            ),
            (
                "node_modules/a/prebuilds/linux-x64/a.musl.node",
                linux("x64", "musl", None),
            ),
            (
                "node_modules/a/prebuilds/linux-arm64/a.node",
                linux("arm64", "glibc", Some((2, 40))),
            ),
            (
                "node_modules/a/prebuilds/darwin/a.node",
                Some(module("darwin", None, None, None)),
            ),
            ("node_modules/@s/b/b.node", linux("arm64", "glibc", None)),
            (
                "node_modules/c/lib/c.so.1",
                linux("x64", "glibc", Some((2, 28))),
            ),
            ("node_modules/d/d.so", None),
        ]);
        let x64 = Machine {
            os: "linux",
            arch: "x64",
            libc: "glibc",
        };
        for (machine, is_native, min_glibc, without) in [
            (x64, true, Some("2.28"), &["node_modules/@s/b"][..]),
            (
                Machine {
                    libc: "musl",
                    ..x64
                },
                true,
                None,
                &["node_modules/@s/b"],
            ),
            (
                Machine {
                    arch: "arm64",
                    ..x64
                },
                true,
                Some("2.40"),
                &[],
            ),
            (
                Machine {
                    arch: "ppc64",
                    ..x64
                },
                false,
                None,
                &["node_modules/@s/b", "node_modules/a"],
            ),
            (
                Machine {
                    os: "darwin",
                    arch: "arm64",
                    libc: "musl",
                },
                true,
                None,
                &["node_modules/@s/b"],
            ),
        ] {
            let found = contract(machine, &prebuilds);
            assert_eq!(found.is_native, is_native, "{machine:?}");
            assert_eq!(found.min_glibc.as_deref(), min_glibc, "{machine:?}");
            assert_eq!(found.without, without, "{machine:?}");
        }
        let unknown = contract(x64, &modules(&[("service/addon.node", None)]));
        assert!(unknown.is_native && unknown.without.is_empty());
        let own = contract(
            x64,
            &modules(&[("service/addon.node", linux("arm64", "glibc", None))]),
        );
        assert_eq!((own.is_native, own.without), (false, vec![String::new()]));
    }

    #[test]
    fn native_modules_are_told_by_their_names() {
        for (path, expected) in [
            ("a/b.node", true),
            ("a/libvips.so.42", true),
            ("a/libvips-cpp.so.8.17.2", true),
            ("a/b.so", true),
            ("a.so/b.js", false),
            ("a/b.something", false),
            ("a/b.sort.js", false),
            ("a/b.so.", false),
            ("a/node", false),
        ] {
            assert_eq!(may_be_native(path), expected, "{path}");
        }
    }
}
