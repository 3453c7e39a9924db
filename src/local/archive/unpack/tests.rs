use super::super::tests::{expect_of, file, link, pack_zst};
use super::super::{EntrySource, pack};
use super::*;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

/// A header block as any program might write it.
struct Raw {
    name: Vec<u8>,
    kind: u8,
    mode: &'static str,
    size: String,
    target: String,
    body: Vec<u8>,
    patch: fn(&mut [u8; BLOCK]),
}

fn raw(name: impl Into<Vec<u8>>) -> Raw {
    Raw {
        name: name.into(),
        kind: b'0',
        mode: "0000644",
        size: String::new(),
        target: String::new(),
        body: Vec::new(),
        patch: |_| {},
    }
}

impl Raw {
    fn kind(self, kind: u8) -> Raw {
        Raw { kind, ..self }
    }

    fn to(self, target: &str) -> Raw {
        let target = target.to_owned();
        Raw {
            target,
            ..self.kind(b'2')
        }
    }

    fn body(self, body: impl Into<Vec<u8>>) -> Raw {
        let body = body.into();
        let size = format!("{:011o}", body.len());
        Raw { size, body, ..self }
    }

    fn blocks(&self) -> Vec<u8> {
        let mut block = [0; BLOCK];
        block[..self.name.len()].copy_from_slice(&self.name);
        block[100..107].copy_from_slice(self.mode.as_bytes());
        let size = if self.size.is_empty() {
            "00000000000"
        } else {
            &self.size
        };
        block[124..135].copy_from_slice(size.as_bytes());
        block[136..147].copy_from_slice(b"00000000000");
        block[156] = self.kind;
        block[157..157 + self.target.len()].copy_from_slice(self.target.as_bytes());
        block[257..265].copy_from_slice(b"ustar\x0000");
        (self.patch)(&mut block);
        let sum = format!("{:06o}\0 ", header::checksum(&block));
        if block[148] == 0 {
            block[148..156].copy_from_slice(sum.as_bytes());
        }
        let mut blocks = block.to_vec();
        blocks.extend(&self.body);
        blocks.resize(blocks.len().next_multiple_of(BLOCK), 0);
        blocks
    }
}

fn extension(records: &str) -> Raw {
    raw("PaxHeader").kind(b'x').body(records)
}

fn record(text: &str) -> String {
    let length = text.len() + 2;
    let length = length + length.to_string().len();
    format!("{length} {text}\n")
}

fn tar(entries: &[Raw]) -> Vec<u8> {
    let mut tar: Vec<u8> = entries.iter().flat_map(Raw::blocks).collect();
    tar.extend([0; 2 * BLOCK]);
    tar
}

fn compress(tar: &[u8]) -> Vec<u8> {
    let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
    encoder.include_checksum(true).unwrap();
    encoder
        .set_pledged_src_size(Some(tar.len() as u64))
        .unwrap();
    encoder.write_all(tar).unwrap();
    encoder.finish().unwrap()
}

struct Place {
    _directory: tempfile::TempDir,
    archive: PathBuf,
    into: PathBuf,
}

fn place(archive: &[u8]) -> Place {
    let directory = tempfile::tempdir().unwrap();
    let (path, into) = (
        directory.path().join("a.tar.zst"),
        directory.path().join("into"),
    );
    fs::write(&path, archive).unwrap();
    fs::create_dir(&into).unwrap();
    Place {
        archive: path,
        into,
        _directory: directory,
    }
}

fn expect(archive: &[u8], tar: &[u8], entries: u64) -> Expect {
    Expect {
        encoding: Encoding::Zstd,
        digest: Digest::of(archive),
        size: archive.len() as u64,
        tar_digest: Digest::of(tar),
        tar_size: tar.len() as u64,
        entries,
        files: None,
        most_bytes: 1 << 30,
    }
}

/// Unpacks an archive that must be refused with `code`, exit 6, and leave nothing behind.
fn refuse_archive(what: &str, archive: &[u8], expect: &Expect, code: &str) -> Failure {
    let place = place(archive);
    let failure = unpack(&place.archive, &place.into, expect).expect_err(what);
    assert_eq!(failure.code(), code, "{what}: {failure:?}");
    assert_eq!(failure.exit(), Exit::Integrity, "{what}");
    assert!(!place.into.exists(), "{what}");
    failure
}

fn refuse_tar(what: &str, tar: &[u8], entries: u64, code: &str) {
    let archive = compress(tar);
    refuse_archive(what, &archive, &expect(&archive, tar, entries), code);
}

fn refuse(what: &str, entries: &[Raw], code: &str) {
    let count = entries.iter().filter(|entry| entry.kind != b'x').count();
    refuse_tar(what, &tar(entries), count as u64, code);
}

fn accept(entries: &[Raw]) -> Place {
    let tar = tar(entries);
    let archive = compress(&tar);
    let place = place(&archive);
    let count = entries.iter().filter(|entry| entry.kind != b'x').count();
    unpack(
        &place.archive,
        &place.into,
        &expect(&archive, &tar, count as u64),
    )
    .unwrap();
    place
}

#[test]
fn what_was_packed_comes_out_again() {
    let directory = tempfile::tempdir().unwrap();
    let mut run = file("bin/run", b"#!/bin/sh\n");
    run.executable = true;
    let long = format!("{}/{}", "d".repeat(180), "n".repeat(120));
    let entries = vec![
        file("package.json", b"{}"),
        run,
        link("node_modules/.bin/run", "../../bin/run"),
        link("node_modules/.bin/chain", "run"),
        file(&long, &vec![b'x'; 300_000]),
        file("é.txt", b""),
    ];
    let places = [Encoding::Zstd, Encoding::Gzip].map(|encoding| {
        let name = format!("a.{}", encoding.extension());
        (encoding, directory.path().join(name))
    });
    let packed = pack(entries, 1_700_000_000, &places).unwrap();
    for archive in &packed.archives {
        let expect = Expect {
            most_bytes: 1 << 20,
            ..expect_of(&packed, archive)
        };
        let directory = tempfile::tempdir().unwrap();
        comes_out_again(directory.path(), &archive.path, &long, expect);
    }
}

fn comes_out_again(directory: &Path, archive: &Path, long: &str, mut expect: Expect) {
    let into = directory.join("into");
    fs::create_dir(&into).unwrap();
    unpack(archive, &into, &expect).unwrap();

    assert_eq!(fs::read(into.join(long)).unwrap(), vec![b'x'; 300_000]);
    assert_eq!(
        fs::read(into.join("node_modules/.bin/chain")).unwrap(),
        b"#!/bin/sh\n"
    );
    let mode = |path: &str| fs::metadata(into.join(path)).unwrap().permissions().mode() & 0o7777;
    assert_eq!(
        (mode("bin"), mode("bin/run"), mode("package.json")),
        (0o755, 0o755, 0o644)
    );
    let again = unpack(archive, &into, &expect).unwrap_err();
    assert_eq!(
        (again.code(), again.exit()),
        ("archive::not_empty", Exit::Refused)
    );
    assert!(into.join("package.json").exists());

    // The zstd frame says how long it is; gzip's member says it at its end.
    let longer = match expect.encoding {
        Encoding::Zstd => "archive::size",
        Encoding::Gzip => "archive::trailing",
    };
    let mut check = |change: &dyn Fn(&mut Expect), code: &str| {
        let right = expect.clone();
        change(&mut expect);
        let into = directory.join("again");
        fs::create_dir(&into).unwrap();
        let failure = unpack(archive, &into, &expect).unwrap_err();
        assert_eq!((failure.code(), failure.exit()), (code, Exit::Integrity));
        assert!(!into.exists());
        expect = right;
    };
    check(&|expect| expect.digest = Digest::of(b""), "archive::digest");
    check(&|expect| expect.size += 1, "archive::digest");
    check(
        &|expect| expect.tar_digest = Digest::of(b""),
        "archive::tar_digest",
    );
    check(&|expect| expect.tar_size += 512, longer);
    check(&|expect| expect.entries += 1, "archive::entries");
    check(&|expect| expect.most_bytes = 1024, "archive::size");
    let files = |expect: &mut Expect| expect.files.clone().unwrap();
    check(
        &|expect| expect.files = Some(files(expect)[1..].to_vec()),
        "archive::files",
    );
    check(
        &|expect| {
            let mut all = files(expect);
            all[0].mode = 0o644;
            expect.files = Some(all);
        },
        "archive::files",
    );
    check(
        &|expect| {
            let mut all = files(expect);
            all.push(ListedFile {
                path: "z".to_owned(),
                ..all[0].clone()
            });
            expect.files = Some(all);
        },
        "archive::files",
    );
}

#[test]
fn paths_stay_inside() {
    refuse("T1", &[raw("/abs/x")], "archive::absolute");
    refuse("T2", &[raw("../x")], "archive::dotdot");
    refuse("T2", &[raw("a/../../x")], "archive::dotdot");
    refuse(
        "T3",
        &[extension(&record("path=../x")), raw("fine")],
        "archive::dotdot",
    );
    for name in [
        "",
        ".",
        "./",
        "./a",
        "a//b",
        "a/./b",
        "a\nb",
        "\u{1b}[2J",
        "..\\x",
        "C:\\x",
        "c:x",
        "a.",
        "a /b",
        "a\u{7f}",
        "file/",
    ] {
        refuse("T17, T18", &[raw(name)], "archive::name");
    }
    refuse("T18", &[raw(vec![b'a', 0xff])], "archive::name");
    for deep in ["d/".repeat(10_000), "n".repeat(1_025), "d/".repeat(64)] {
        let entries = [extension(&record(&format!("path={deep}x"))), raw("x")];
        let code = if deep.len() > 16_000 {
            "archive::extension"
        } else {
            "archive::path_length"
        };
        refuse("T19", &entries, code);
    }
    refuse("T33", &[raw(".complete")], "archive::reserved");
    refuse("T33", &[raw(".pkgs/state.json")], "archive::reserved");
    let place = accept(&[
        raw("ab:c"),
        raw("current"),
        raw("x/.pkgs"),
        raw("dir/").kind(b'5'),
        raw("dir/x").body("x"),
    ]);
    assert_eq!(fs::read(place.into.join("dir/x")).unwrap(), b"x");
}

#[test]
fn links_stay_inside() {
    let links = |links: &[(&str, &str)]| -> Vec<Raw> {
        links
            .iter()
            .map(|(path, target)| raw(*path).to(target))
            .collect()
    };
    refuse(
        "T4",
        &[raw("l").to("d"), raw("l/x")],
        "archive::through_link",
    );
    for (path, target) in [
        ("l", "/etc"),
        ("l", ".."),
        ("a/l", "../.."),
        ("l", "a/../../x"),
    ] {
        refuse("T5", &links(&[(path, target)]), "archive::link_escape");
    }
    refuse(
        "each link is fine, both together are not",
        &links(&[("a/b/c/l", "../../../top"), ("m", "a/b/c/l/../../x")]),
        "archive::link_escape",
    );
    refuse(
        "a circle",
        &links(&[("a", "b"), ("b", "a")]),
        "archive::link",
    );
    refuse("no target", &links(&[("a", "")]), "archive::link");
    refuse(
        "T4 turned",
        &[raw("l/x"), raw("l").to("d")],
        "archive::collision",
    );
    refuse(
        "T7",
        &[
            raw("a"),
            Raw {
                kind: b'1',
                ..raw("h").to("a")
            },
        ],
        "archive::kind",
    );
    refuse(
        "a file's target",
        &[Raw {
            kind: b'0',
            ..raw("h").to("a")
        }],
        "archive::header",
    );
    let place = accept(&links(&[
        ("a/l", "../b"),
        ("a/root", ".."),
        ("dangling", "no"),
    ]));
    assert_eq!(
        fs::read_link(place.into.join("a/l")).unwrap(),
        Path::new("../b")
    );
}

#[test]
fn nothing_occurs_twice() {
    refuse(
        "T6",
        &[raw("a").to("b"), raw("a").kind(b'5')],
        "archive::duplicate",
    );
    refuse("T8", &[raw("s").to("x"), raw("s")], "archive::duplicate");
    refuse("T9", &[raw("a"), raw("a")], "archive::duplicate");
    refuse("T11", &[raw("a"), raw("a/b")], "archive::collision");
    refuse("T11 turned", &[raw("a/b"), raw("a")], "archive::collision");
    refuse(
        "a directory twice",
        &[raw("a/").kind(b'5'), raw("a").kind(b'5')],
        "archive::duplicate",
    );
}

#[test]
fn names_that_a_file_system_takes_for_one_are_left_to_it() {
    let place = accept(&[raw("A"), raw("a"), raw("\u{e9}"), raw("e\u{301}")]);
    assert_eq!(fs::read_dir(&place.into).unwrap().count(), 4);
}

#[test]
fn only_files_directories_and_links() {
    for kind in [
        b'3', b'4', b'6', b'7', b'Z', b'g', b'L', b'K', b'S', b'V', 0,
    ] {
        refuse(
            "T12, T13, T28, T29",
            &[raw("x").kind(kind)],
            "archive::kind",
        );
    }
    let entry = |mode| Raw { mode, ..raw("x") };
    for mode in ["0004755", "0002755", "0001777"] {
        refuse("T14", &[entry(mode)], "archive::mode");
    }
    let folder = Raw {
        mode: "0000000",
        ..raw("d").kind(b'5')
    };
    let place = accept(&[
        Raw {
            name: b"open".to_vec(),
            ..entry("0000666")
        },
        Raw {
            name: b"run".to_vec(),
            ..entry("0000777")
        },
        folder,
    ]);
    let mode = |path| {
        let metadata = fs::metadata(place.into.join(path)).unwrap();
        metadata.permissions().mode() & 0o7777
    };
    assert_eq!(
        (mode("open"), mode("run"), mode("d")),
        (0o644, 0o755, 0o755),
        "T15, T16"
    );
}

#[test]
fn a_tar_ends_where_it_should() {
    refuse_tar("T20", b"", 0, "archive::truncated");
    let whole = tar(&[raw("a").body("1")]);
    refuse_tar("T21", &whole[..1024], 1, "archive::truncated");
    refuse_tar("one end block", &whole[..1536], 1, "archive::truncated");
    let large = tar(&[raw("a").body(vec![1; 2000])]);
    refuse_tar("T22", &large[..1536], 1, "archive::truncated");
    refuse_tar(
        "T23",
        &[&whole[..], b"more"].concat(),
        1,
        "archive::trailing",
    );
    refuse_tar(
        "T23",
        &[&whole[..], &whole[..]].concat(),
        1,
        "archive::trailing",
    );
    refuse_tar(
        "zeros behind",
        &[&whole[..], &[0; 512]].concat(),
        1,
        "archive::trailing",
    );
    let single = [&raw("a").blocks()[..], &[0; BLOCK], &tar(&[raw("b")])].concat();
    refuse_tar("a single block of zeros", &single, 2, "archive::header");
    let mut hidden = whole.clone();
    hidden[1000] = 1;
    refuse_tar("data in the padding", &hidden, 1, "archive::padding");
}

#[test]
fn headers_are_exact() {
    let patched = |patch| Raw { patch, ..raw("x") };
    refuse(
        "T24",
        &[patched(|block| {
            block[148..156].copy_from_slice(b"000000\0 ");
        })],
        "archive::header",
    );
    refuse(
        "T24",
        &[patched(|block| block[124] = 0x80)],
        "archive::header",
    );
    refuse(
        "T24",
        &[patched(|block| block[124..136].fill(0xff))],
        "archive::header",
    );
    refuse(
        "T24",
        &[patched(|block| block[124] = b'-')],
        "archive::header",
    );
    refuse(
        "GNU magic",
        &[patched(|block| {
            block[257..265].copy_from_slice(b"ustar  \0");
        })],
        "archive::header",
    );
    refuse(
        "behind a NUL",
        &[patched(|block| block[50] = b'y')],
        "archive::header",
    );
    let claim = Raw {
        size: "77777777777".to_owned(),
        ..raw("x")
    };
    refuse("T24", &[claim], "archive::truncated");
    let folder = Raw {
        kind: b'5',
        ..raw("d").body("hidden")
    };
    refuse("a directory's contents", &[folder], "archive::size");
}

#[test]
fn extension_headers_are_exact() {
    let with = |records: &str| [extension(records), raw("x").body("12345")];
    for size in ["size=4", "size=6"] {
        refuse("T25", &with(&record(size)), "archive::extension");
    }
    for records in [
        "9 path=a",
        "99 path=a\n",
        "7 path=a\n",
        "0 path=a\n",
        "6 path\n",
        " path=a\n",
        "-9 path=a\n",
    ] {
        refuse("T26", &with(records), "archive::extension");
    }
    let path = record("path=a");
    refuse(
        "T27",
        &[extension(&path), extension(&path), raw("x")],
        "archive::extension",
    );
    refuse(
        "T27",
        &with(&[&path[..], &path[..]].concat()),
        "archive::extension",
    );
    refuse(
        "T27",
        &[extension(&path), raw("x").kind(b'L')],
        "archive::kind",
    );
    for key in [
        "SCHILY.xattr.user.x=1",
        "LIBARCHIVE.x=1",
        "GNU.sparse.major=1",
        "uid=0",
        "comment=1",
    ] {
        refuse("T28", &with(&record(key)), "archive::extension");
    }
    refuse(
        "a file's target",
        &with(&record("linkpath=a")),
        "archive::extension",
    );
    refuse("for nothing", &[extension(&path)], "archive::extension");
    let place = accept(&with(
        &[record("path=long"), record("size=5"), record("mtime=1.5")].concat(),
    ));
    assert_eq!(fs::read(place.into.join("long")).unwrap(), b"12345");
}

#[test]
fn entries_are_counted() {
    let one = raw("x").blocks();
    let mut seen = Seen::default();
    for number in 0..policy::MOST_ENTRIES {
        seen.add(&number.to_string(), Kind::File).unwrap();
    }
    assert_eq!(
        seen.add("more", Kind::File).unwrap_err().0,
        "archive::entries",
        "T30"
    );
    let tar = [&one[..], &[0; 2 * BLOCK]].concat();
    refuse_tar(
        "another number than the manifest's",
        &tar,
        2,
        "archive::entries",
    );
}

#[test]
fn compression_is_exact() {
    let whole = tar(&[raw("a").body("1")]);
    let archive = compress(&whole);
    let check = |what: &str, archive: &[u8], code: &str| {
        refuse_archive(what, archive, &expect(archive, &whole, 1), code)
    };

    let bomb = vec![0; 64 << 20];
    let small = compress(&bomb);
    refuse_archive("Z1", &small, &expect(&small, &bomb, 0), "archive::ratio");
    refuse_archive(
        "Z1, undeclared",
        &small,
        &expect(&small, &whole, 1),
        "archive::size",
    );

    let mut wide = zstd::Encoder::new(Vec::new(), 1).unwrap();
    wide.include_checksum(true).unwrap();
    wide.window_log(28).unwrap();
    wide.write_all(&whole).unwrap();
    check("Z2", &wide.finish().unwrap(), "archive::window");

    let skippable = [0x50, 0x2a, 0x4d, 0x18, 1, 0, 0, 0, 0];
    check(
        "Z3",
        &[&skippable[..], &archive].concat(),
        "archive::frames",
    );
    check(
        "Z3",
        &[&archive[..], &skippable].concat(),
        "archive::frames",
    );
    check("Z3", &[&archive[..], &archive].concat(), "archive::frames");
    check("Z4", &[&archive[..], b"x"].concat(), "archive::trailing");
    check("Z4", &archive[..archive.len() - 1], "archive::truncated");
    check("Z4", &archive[..5], "archive::zstd");
    check("Z4", b"", "archive::zstd");

    let mut plain = zstd::Encoder::new(Vec::new(), 1).unwrap();
    plain.write_all(&whole).unwrap();
    check("Z5", &plain.finish().unwrap(), "archive::zstd");
    let mut flipped = archive.clone();
    flipped[20] ^= 1;
    refuse_archive(
        "Z5",
        &flipped,
        &expect(&archive, &whole, 1),
        "archive::digest",
    );

    let page = b"\n<!doctype html><title>502</title>";
    let failure = refuse_archive("Z7", page, &expect(&archive, &whole, 1), "archive::digest");
    assert!(failure.causes()[0].contains("looks like HTML"));
    check("not zstd", b"<html>", "archive::zstd");
}

fn gzipped(tar: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::GzBuilder::new().write(Vec::new(), flate2::Compression::new(6));
    encoder.write_all(tar).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn a_gzip_member_is_exact() {
    let whole = tar(&[raw("a").body("1")]);
    let archive = gzipped(&whole);
    let of = |archive: &[u8], tar: &[u8], entries: u64| Expect {
        encoding: Encoding::Gzip,
        ..expect(archive, tar, entries)
    };
    let check = |what: &str, archive: &[u8], code: &str| {
        refuse_archive(what, archive, &of(archive, &whole, 1), code)
    };
    let right = place(&archive);
    unpack(&right.archive, &right.into, &of(&archive, &whole, 1)).unwrap();
    assert_eq!(fs::read(right.into.join("a")).unwrap(), b"1");

    let bomb = vec![0; 64 << 20];
    let small = gzipped(&bomb);
    refuse_archive("a bomb", &small, &of(&small, &bomb, 0), "archive::ratio");
    // No more is unpacked than the manifest says, however much there is.
    let more = gzipped(&[&whole[..], &bomb].concat());
    refuse_archive(
        "a bomb that is not declared",
        &more,
        &of(&more, &whole, 1),
        "archive::trailing",
    );

    let again = [&archive[..], &archive].concat();
    check("two members", &again, "archive::frames");
    let followed = [&archive[..], b"x"].concat();
    check("something follows", &followed, "archive::trailing");
    let padded = [&archive[..], &[0; 512]].concat();
    check("zeros follow", &padded, "archive::trailing");
    for cut in [1, 4, 8, 9, archive.len() - 11] {
        let cut = &archive[..archive.len() - cut];
        check("it is cut", cut, "archive::truncated");
    }
    check("half a header", &archive[..9], "archive::gzip");
    check("nothing", b"", "archive::gzip");
    check("a page", b"<!doctype html>", "archive::gzip");
    check("zstd", &compress(&whole), "archive::gzip");
    let mut named = flate2::GzBuilder::new()
        .filename("a.tar")
        .write(Vec::new(), flate2::Compression::new(6));
    named.write_all(&whole).unwrap();
    check("a name", &named.finish().unwrap(), "archive::gzip");
    for at in [archive.len() - 1, archive.len() - 5] {
        let mut flipped = archive.clone();
        flipped[at] ^= 1;
        check("another sum or length", &flipped, "archive::gzip");
    }
    let mut flipped = archive.clone();
    flipped[10] = 0xff;
    check("no deflate", &flipped, "archive::gzip");
    let other = gzipped(&tar(&[raw("a").body("2")]));
    check("another tar", &other, "archive::tar_digest");
    refuse_archive(
        "gzip said to be zstd",
        &archive,
        &expect(&archive, &whole, 1),
        "archive::zstd",
    );
    let outside = tar(&[raw("../x").body("1")]);
    let outside_archive = gzipped(&outside);
    refuse_archive(
        "a path that leads out",
        &outside_archive,
        &of(&outside_archive, &outside, 1),
        "archive::dotdot",
    );
}

#[test]
fn an_archive_behind_a_link_is_not_read() {
    let whole = tar(&[raw("a")]);
    let archive = compress(&whole);
    let place = place(&archive);
    let link = place.archive.with_extension("link");
    std::os::unix::fs::symlink(&place.archive, &link).unwrap();
    let failure = unpack(&link, &place.into, &expect(&archive, &whole, 1)).unwrap_err();
    assert_eq!(failure.code(), "files::kind");
}

#[test]
fn files_on_disk_are_packed_as_they_are() {
    let directory = tempfile::tempdir().unwrap();
    let source = directory.path().join("source");
    let bytes = vec![b'z'; 300_001];
    fs::write(&source, &bytes).unwrap();
    let entry = super::super::Entry {
        path: "a".to_owned(),
        source: EntrySource::File(source),
        executable: false,
    };
    let packed = pack_zst(vec![entry], 0, &directory.path().join("a.tar.zst"));
    assert_eq!(packed.files[0].content, Content::Digest(Digest::of(&bytes)));
}
