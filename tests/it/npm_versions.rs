//! Versions and ranges against the `semver` package, which npm itself decides with: random texts, and no difference.

use pkgs_action::version::range::{Range, rewrite};
use pkgs_action::version::{Bump, Version, ZeroMajor};
use serde_json::{Value, json};

use crate::support::random::{self, Random};
use crate::support::servers;

/// How many ranges a seed makes, and how many versions.
const RANGES: usize = 2500;
const VERSIONS: usize = 400;
/// How many of the versions each range is asked about.
const ASKED: usize = 40;

const NODE: &str = r"
const semver = require(process.argv[1]);
const { ranges, versions, pairs } = JSON.parse(require('fs').readFileSync(0));
const range = ({ text, asked, rewritten, to }) => {
  const about = (options) => {
    let range;
    try { range = new semver.Range(text, options); } catch { return null; }
    const list = asked.map((index) => versions[index]);
    const best = (find) => { const found = find(list, range, options); return found === null ? null : list.indexOf(found); };
    return {
      contained: list.map((version) => Number(range.test(version))).join(''),
      highest: best(semver.maxSatisfying),
      lowest: best(semver.minSatisfying),
    };
  };
  return { strict: about({}), all: about({ includePrerelease: true }), rewritten: semver.satisfies(to, rewritten) };
};
const version = (text) => {
  const read = semver.parse(text);
  if (read === null) return null;
  const inc = (release) => semver.inc(read.version, release);
  return { version: read.version, major: inc('major'), minor: inc('minor'), patch: inc('patch') };
};
console.log(JSON.stringify({
  ranges: ranges.map(range),
  versions: versions.map(version),
  pairs: pairs.map(([left, right]) => ({ order: semver.compare(versions[left], versions[right]), apart: semver.diff(versions[left], versions[right]) })),
}));
";

/// What the `semver` package says of everything, in one process.
fn npm(question: &Value) -> Value {
    let installed = servers::installed();
    let semver = installed.join("releasers/node_modules/semver");
    servers::node(&["-e".as_ref(), NODE.as_ref(), semver.as_ref()], question)
}

fn number(random: &mut Random) -> &'static str {
    const ODD: [&str; 8] = [
        "00",
        "01",
        "10",
        "99",
        "9007199254740990",
        "9007199254740991",
        "9007199254740992",
        "99999999999999999999",
    ];
    if random.one_in(20) {
        random.of_list(&ODD)
    } else {
        random.of_list(&["0", "1", "2", "3"])
    }
}

fn identifiers(random: &mut Random) -> String {
    const ODD: [&str; 9] = [
        "",
        "00",
        "01",
        "-",
        "-1",
        "é",
        "9007199254740991",
        "9007199254740992",
        "lock",
    ];
    let count = 1 + random.below(3);
    let one = |random: &mut Random| {
        if random.one_in(20) {
            random.of_list(&ODD)
        } else {
            random.of_list(&["0", "1", "2", "10", "a", "b", "beta", "rc-1", "x", "1a"])
        }
    };
    let list: Vec<&str> = (0..count).map(|_| one(random)).collect();
    list.join(".")
}

/// What may follow the numbers.
fn tail(random: &mut Random) -> String {
    let mut tail = String::new();
    if random.one_in(3) {
        tail += random.of_list(&["-", "-", "-", "-", "-", ""]);
        tail += &identifiers(random);
    }
    if random.one_in(12) {
        tail.push('+');
        tail += &identifiers(random);
    }
    tail
}

fn numbers(random: &mut Random, count: usize, of: fn(&mut Random) -> &'static str) -> String {
    let list: Vec<&str> = (0..count).map(|_| of(random)).collect();
    list.join(".")
}

fn full(random: &mut Random) -> String {
    format!("{}{}", numbers(random, 3, number), tail(random))
}

fn partial(random: &mut Random) -> String {
    let count = match random.below(24) {
        0..8 => 1,
        8..16 => 2,
        16..23 => 3,
        _ => 4,
    };
    let field = |random: &mut Random| match random.below(4) {
        0 => random.of_list(&["x", "X", "*"]),
        _ => number(random),
    };
    let tail = if count == 3 || random.one_in(12) {
        tail(random)
    } else {
        String::new()
    };
    format!("{}{tail}", numbers(random, count, field))
}

fn blank(random: &mut Random) -> &'static str {
    const ODD: [&str; 6] = ["  ", "\t", "\n", "\u{a0}", "\u{feff}", "\u{85}"];
    match random.below(12) {
        0..8 => "",
        8..11 => " ",
        _ => random.of_list(&ODD),
    }
}

fn comparator(random: &mut Random) -> String {
    const OPERATORS: [&str; 9] = ["", "^", "~", "~>", ">", ">=", "<", "<=", "="];
    const ODD: [&str; 10] = ["=>", "=<", "<>", "!", "!=", "==", ">==", "^^", "~^", "^>"];
    let operator = if random.one_in(40) {
        random.of_list(&ODD)
    } else {
        random.of_list(&OPERATORS)
    };
    let prefix = match random.below(20) {
        0..17 => "",
        _ => random.of_list(&["v", "=", "v=", "=v", "vv", " v"]),
    };
    let version = match random.below(2) {
        0 => full(random),
        _ => partial(random),
    };
    format!("{operator}{}{prefix}{version}", blank(random))
}

fn alternative(random: &mut Random) -> String {
    let one = |random: &mut Random| match random.below(2) {
        0 => full(random),
        _ => partial(random),
    };
    match random.below(10) {
        0 if random.one_in(4) => String::new(),
        0 | 1 => {
            let between = match random.below(10) {
                0 => random.of_list(&["-", " -", "- ", "  -  ", " - =", " - v"]),
                _ => " - ",
            };
            format!("{}{between}{}", one(random), one(random))
        }
        2..7 => comparator(random),
        _ => {
            let between = match random.below(20) {
                0 => random.of_list(&[",", "", ", ", " && ", "|"]),
                1 => random.of_list(&["  ", "\t", "\u{2003}"]),
                _ => " ",
            };
            let count = 2 + random.below(2);
            let list: Vec<String> = (0..count).map(|_| comparator(random)).collect();
            list.join(between)
        }
    }
}

/// The text with characters put in, taken out or replaced.
fn mutated(random: &mut Random, text: &str) -> String {
    const CHARACTERS: &str = "0123xX*.-+~^<>=|v a\u{a0}é";
    let mut characters: Vec<char> = text.chars().collect();
    for _ in 0..=random.below(2) {
        let all: Vec<char> = CHARACTERS.chars().collect();
        let new = all[random.below(all.len())];
        let at = random.below(characters.len() + 1);
        match random.below(3) {
            0 => characters.insert(at, new),
            1 if at < characters.len() => characters[at] = new,
            _ if at < characters.len() => drop(characters.remove(at)),
            _ => {}
        }
    }
    characters.into_iter().collect()
}

fn range(random: &mut Random) -> String {
    let count = match random.below(4) {
        0 => 2 + random.below(2),
        _ => 1,
    };
    let list: Vec<String> = (0..count).map(|_| alternative(random)).collect();
    let bars = format!("{}||{}", blank(random), blank(random));
    let text = format!("{}{}{}", blank(random), list.join(&bars), blank(random));
    if random.one_in(6) {
        mutated(random, &text)
    } else {
        text
    }
}

fn version(random: &mut Random) -> String {
    match random.below(12) {
        0 => {
            let text = full(random);
            mutated(random, &text)
        }
        1 => format!("{}{}", random.of_list(&["v", "=", " ", "V"]), full(random)),
        _ => full(random),
    }
}

/// A version as we take it: npm takes it too, changes nothing in it, and git can hold it as the end of a tag.
fn ours(text: &str, read: &Value) -> bool {
    let prerelease = text
        .split_once('-')
        .map_or("", |(_, prerelease)| prerelease);
    let fits = |identifier: &str| {
        !identifier.bytes().all(|byte| byte.is_ascii_digit())
            || identifier
                .parse::<u128>()
                .is_ok_and(|number| number < 1 << 53)
    };
    read["version"] == text
        && (prerelease.is_empty() || prerelease.split('.').all(fits))
        && !format!(".{prerelease}").ends_with(".lock")
}

/// What differs for one range, as lines.
fn range_differences(
    text: &str,
    parsed: Option<&Range>,
    listed: &[&Version],
    said: &Value,
) -> Vec<String> {
    let (Some(range), Some(contained)) = (parsed, said["contained"].as_str()) else {
        return if parsed.is_some() == said.is_null() {
            vec![format!(
                "{text:?} is read: {}, by npm: {}",
                parsed.is_some(),
                !said.is_null()
            )]
        } else {
            Vec::new()
        };
    };
    let found: Vec<&Version> = listed
        .iter()
        .copied()
        .filter(|version| range.contains(version))
        .collect();
    let mut wrong: Vec<String> = listed
        .iter()
        .zip(contained.chars())
        .filter(|(version, contains)| found.contains(version) != (*contains == '1'))
        .map(|(version, contains)| format!("{text:?} contains {version} by npm: {contains}"))
        .collect();
    for (which, best, name) in [
        ("highest", found.iter().max(), "highest"),
        ("lowest", found.iter().min(), "lowest"),
    ] {
        let theirs = said[which]
            .as_u64()
            .and_then(|index| usize::try_from(index).ok());
        let theirs = theirs.map(|index| listed[index]);
        if theirs != best.copied() {
            wrong.push(format!("{name} of {text:?} is {best:?}, by npm {theirs:?}"));
        }
    }
    wrong
}

fn compare(seed: u64) -> Vec<String> {
    let mut random = Random::of(seed);
    let versions: Vec<String> = (0..VERSIONS).map(|_| version(&mut random)).collect();
    let parsed: Vec<Option<Version>> = versions
        .iter()
        .map(|text| Version::parse(text).ok())
        .collect();
    let good: Vec<usize> = (0..VERSIONS)
        .filter(|index| parsed[*index].is_some())
        .collect();
    let pick = |random: &mut Random| good[random.below(good.len())];
    let at = |index: usize| parsed[index].as_ref().expect("a good one");
    let ranges: Vec<(String, Vec<usize>, usize)> = (0..RANGES)
        .map(|_| {
            let asked = (0..ASKED).map(|_| pick(&mut random)).collect();
            (range(&mut random), asked, pick(&mut random))
        })
        .collect();
    let pairs: Vec<(usize, usize)> = (0..RANGES)
        .map(|_| (pick(&mut random), pick(&mut random)))
        .collect();
    let question: Vec<Value> = ranges
        .iter()
        .map(|(text, asked, to)| {
            json!({"text": text, "asked": asked, "to": versions[*to], "rewritten": rewrite(text, at(*to))})
        })
        .collect();
    let answer = npm(&json!({"ranges": question, "versions": versions, "pairs": pairs}));
    check_variety(&answer);
    let mut wrong = Vec::new();
    for ((text, asked, to), said) in ranges
        .iter()
        .zip(answer["ranges"].as_array().expect("a list"))
    {
        let listed: Vec<&Version> = asked.iter().map(|index| at(*index)).collect();
        let strict = Range::parse(text).ok();
        wrong.extend(range_differences(
            text,
            strict.as_ref(),
            &listed,
            &said["strict"],
        ));
        let all = Range::parse_with_prereleases(text).ok();
        wrong.extend(range_differences(text, all.as_ref(), &listed, &said["all"]));
        let new = at(*to);
        if strict.is_some() && said["rewritten"] != true {
            wrong.push(format!(
                "{text:?} rewritten to {new} is {:?}",
                rewrite(text, new)
            ));
        }
    }
    let said = answer["versions"].as_array().expect("a list");
    for ((text, version), said) in versions.iter().zip(&parsed).zip(said) {
        if version.is_some() != ours(text, said) {
            wrong.push(format!(
                "{text:?} is read: {}, by npm: {said}",
                version.is_some()
            ));
        }
        let Some(version) = version else { continue };
        for (kind, bump) in [
            ("major", Bump::Major),
            ("minor", Bump::Minor),
            ("patch", Bump::Patch),
        ] {
            let next = version.next(bump, ZeroMajor::Strict).to_string();
            if said[kind] != next.as_str() {
                wrong.push(format!(
                    "{kind} after {version} is {next}, by npm {}",
                    said[kind]
                ));
            }
        }
    }
    for ((left, right), said) in pairs
        .iter()
        .zip(answer["pairs"].as_array().expect("a list"))
    {
        let (left, right) = (at(*left), at(*right));
        let order = left.cmp(right) as i64;
        if said["order"] != order {
            wrong.push(format!(
                "{left} beside {right} is {order}, by npm {}",
                said["order"]
            ));
        }
        let releases = !left.is_prerelease() && !right.is_prerelease() && left != right;
        let apart = left.distance(right).as_str();
        if releases && said["apart"] != apart {
            wrong.push(format!(
                "{left} and {right} are {apart} apart, by npm {}",
                said["apart"]
            ));
        }
    }
    wrong
}

/// The random ranges are worth asking about: many can be read, many cannot, and many contain what others do not.
fn check_variety(answer: &Value) {
    let ranges = answer["ranges"].as_array().expect("a list");
    let texts: Vec<&str> = ranges
        .iter()
        .filter_map(|said| said["strict"]["contained"].as_str())
        .collect();
    let count = |digit: char| texts.concat().matches(digit).count();
    assert!(texts.len() > RANGES / 3 && ranges.len() - texts.len() > RANGES / 10);
    assert!(count('1') > RANGES && count('0') > RANGES);
    let differ = ranges
        .iter()
        .filter(|said| said["strict"]["contained"] != said["all"]["contained"]);
    assert!(differ.count() > RANGES / 10);
}

#[test]
fn versions_and_ranges_are_what_npm_says() {
    for seed in random::seeds(4) {
        let wrong = compare(seed);
        assert!(
            wrong.is_empty(),
            "PKGS_TEST_SEED={seed}: {} differences\n{}",
            wrong.len(),
            wrong[..wrong.len().min(40)].join("\n")
        );
    }
}
