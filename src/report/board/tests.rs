//! The page as text: what is on it, what hostile text becomes, and where it ends.

use super::*;
use crate::environment::entry::Hold;
use crate::report::environments::{
    BuildStatus, HostStatus, PackageStatus, STATUS_SCHEMA, StoreStatus, Unknown, VersionStatus,
    WayBack, rollback_command,
};

fn store() -> StoreStatus {
    StoreStatus {
        address: "s3://acme-releases/mono".to_owned(),
        endpoint: None,
        region: Some("eu-central-1".to_owned()),
    }
}

fn nothing() -> Status {
    Status {
        schema: STATUS_SCHEMA,
        at: "2026-11-30T12:00:00Z".to_owned(),
        store: Some(store()),
        environments: ["stable", "sit", "pre", "prod"].map(str::to_owned).to_vec(),
        packages: vec![],
        next_unknown: None,
        apps: vec![],
        asked: None,
        failure: None,
    }
}

fn past(seq: u64, op: &'static str, version: &str, at: &str) -> Past {
    Past {
        seq,
        op,
        version: Some(version.to_owned()),
        operation: format!("operation {seq}"),
        at: at.to_owned(),
        actor: Some("ada".to_owned()),
        reason: None,
    }
}

fn environment(name: &str, history: Vec<Past>) -> EnvironmentStatus {
    let newest = history.first();
    EnvironmentStatus {
        environment: name.to_owned(),
        current: newest.and_then(|past| past.version.clone()),
        since: newest.map(|past| past.at.clone()),
        seq: newest.map_or(0, |past| past.seq),
        by: newest.and_then(|past| past.actor.clone()),
        op: newest.map(|past| past.op),
        hold: None,
        bad: vec![],
        pinned: vec![],
        rollback_to: None,
        rollback_command: None,
        static_applied: None,
        awaits_cdn: None,
        url: None,
        hosts: vec![],
        history,
        unreadable: vec![],
    }
}

fn build(version: &str, archive: u64, static_files: u64) -> VersionStatus {
    VersionStatus {
        version: version.to_owned(),
        variants: vec!["any".to_owned()],
        builds: vec![BuildStatus {
            variant: "any".to_owned(),
            release: "20261120-0123456789ab".to_owned(),
            committed_at: "2026-11-20T10:00:00Z".to_owned(),
            archive_bytes: Some(archive),
            static_bytes: Some(static_files),
        }],
    }
}

/// From 1.1.0 back to 1.0.0 in `sit`.
fn back(needs_cdn_command: bool) -> WayBack<'static> {
    WayBack {
        app: "web",
        environment: "sit",
        leaves: "1.1.0",
        to: "1.0.0",
        needs_cdn_command,
    }
}

/// `web`, which went from 1.0.0 over 1.1.0 back to 1.0.0 in `prod`, and is at 1.1.0 in `sit`.
fn web() -> AppStatus {
    let prod = environment(
        "prod",
        vec![
            past(3, "rollback", "1.0.0", "2026-11-22T10:00:00Z"),
            past(2, "promote", "1.1.0", "2026-11-21T10:00:00Z"),
            past(1, "promote", "1.0.0", "2026-11-20T10:00:00Z"),
        ],
    );
    let sit = environment(
        "sit",
        vec![past(1, "promote", "1.1.0", "2026-11-21T09:00:00Z")],
    );
    AppStatus {
        name: "web".to_owned(),
        versions: vec![
            build("1.1.0", 1_100_000, 400),
            build("1.0.0", 1_000_000, 500),
        ],
        environments: vec![
            EnvironmentStatus {
                bad: vec!["1.1.0".to_owned()],
                hold: Some(Hold {
                    by: "ada".to_owned(),
                    reason: Some("slow".to_owned()),
                    seq: 3,
                }),
                ..prod
            },
            EnvironmentStatus {
                rollback_to: Some("1.0.0".to_owned()),
                rollback_command: Some(rollback_command(&store(), &back(false))),
                url: Some("https://static.example/sit/".to_owned()),
                ..sit
            },
        ],
    }
}

fn of(apps: Vec<AppStatus>) -> Status {
    Status { apps, ..nothing() }
}

/// The text of a page, its tags left out, in one line.
fn text(page: &str) -> String {
    let body = page.split_once("<body>").map_or("", |(_, body)| body);
    let body = body.split_once("<script>").map_or(body, |(body, _)| body);
    let mut text = String::new();
    let mut inside = false;
    for character in body.chars() {
        match character {
            '<' => inside = true,
            '>' => {
                inside = false;
                text.push(' ');
            }
            _ if !inside => text.push(character),
            _ => {}
        }
    }
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn what_runs_where_since_when_and_who_did_it() {
    let told = text(&page(&of(vec![web()])));
    for words in [
        "1 app · 2 versions live · 1 environment held",
        "as of 30 Nov 2026, 12:00 UTC",
        "web in prod held by ada: slow",
        "App sit prod web 1.1.0 21 Nov 2026 1.0.0 held 22 Nov 2026",
        "since 22 Nov 2026, 10:00 UTC by ada (rollback) held by ada: slow bad 1.1.0",
        "Rollback goes to 1.0.0 pkgs-action rollback --environment sit --app web --to 1.0.0 --reason &#39;back from 1.1.0 to 1.0.0&#39; --store s3://acme-releases/mono --store-region eu-central-1",
        "site https://static.example/sit/ since",
        "Rollback has nowhere to go",
        "22 Nov 2026, 10:00 UTC prod rollback 1.0.0 ada –",
        "Archive 1 MiB +10.0 % since 1.0.0",
        "Static files 400 bytes −20.0 % since 1.0.0",
    ] {
        assert!(told.contains(words), "{words}\n{told}");
    }
}

#[test]
fn an_empty_board_says_why() {
    let told = text(&page(&nothing()));
    assert!(told.contains("No app is recorded."), "{told}");
    let without = Status {
        store: None,
        ..nothing()
    };
    let told = text(&page(&without));
    assert!(told.contains("no store was looked into"), "{told}");
}

#[test]
fn what_is_unreleased_stands_at_the_end() {
    let package = |name: &str, unreleased, next: Option<&str>| PackageStatus {
        name: name.to_owned(),
        dir: format!("packages/{name}"),
        version: Some("1.0.0".to_owned()),
        tag: None,
        published: None,
        unreleased,
        next: next.map(str::to_owned),
    };
    let status = Status {
        packages: vec![
            package("core", 2, Some("1.1.0")),
            package("web", 0, Some("1.0.1")),
            package("text", 0, None),
        ],
        ..nothing()
    };
    let told = text(&page(&status));
    let words =
        "Next core 1.0.0 2 1.1.0 web 1.0.0 follows others 1.0.1 1 other package has nothing new.";
    assert!(told.contains(words), "{told}");
}

#[test]
fn the_timeline_has_a_bar_for_each_version_that_was_live() {
    let app = web();
    let environments = in_order(&app, &["sit".to_owned(), "prod".to_owned()]);
    let picture = Picture::of(&environments, &timeline::WIDE, "2026-11-30T12:00:00Z");
    let picture = picture.expect("a picture");
    let mut lines = vec![picture.label.clone()];
    for lane in &picture.lanes {
        lines.push(lane.name.clone());
        for bar in &lane.bars {
            let arrow = if bar.is_rollback { " <" } else { "" };
            let label = bar.label.as_deref().unwrap_or("-");
            lines.push(format!(
                "  {} +{} {}{arrow} {label}",
                bar.x, bar.width, bar.kind
            ));
        }
    }
    let ticks = picture.ticks.iter().map(|tick| {
        let label = tick.label.as_deref().unwrap_or("-");
        format!("{} {label}", tick.x)
    });
    lines.extend(ticks);
    insta::assert_snapshot!(lines.join("\n"), @r"
    The last 4 moves with 1 rollback. Live now: 1.1.0 in sit, 1.0.0 in prod.
    sit
      25.00 +75.00 live 1.1.0
    prod · held
      0.00 +50.00 past 1.0.0
      50.00 +25.00 bad 1.1.0
      75.00 +25.00 live < 1.0.0
    0.00 20 Nov
    25.00 21 Nov
    50.00 10:00
    75.00 22 Nov
    ");
}

#[test]
fn a_picture_begins_with_what_was_live_before_its_first_step() {
    let moves = (1..=20).rev().map(|seq| {
        let at = format!("2026-11-{seq:02}T10:00:00Z");
        past(seq, "promote", &format!("1.{seq}.0"), &at)
    });
    let old = environment(
        "prod",
        vec![past(1, "promote", "1.0.0", "2025-01-01T00:00:00Z")],
    );
    let busy = environment("sit", moves.collect());
    let picture = Picture::of(&[&busy, &old], &timeline::NARROW, "2026-11-30T12:00:00Z");
    let picture = picture.expect("a picture");
    assert_eq!(picture.ticks.len(), 4);
    assert_eq!(picture.cut.as_deref(), Some("The last 4 of 21 moves."));
    assert!(picture.label.starts_with("The last 4 of 21 moves with"));
    let bars: Vec<(&str, &str, Option<&str>)> = picture
        .lanes
        .iter()
        .flat_map(|lane| &lane.bars)
        .map(|bar| (bar.x.as_str(), bar.width.as_str(), bar.label.as_deref()))
        .collect();
    assert_eq!(bars.len(), 5, "{bars:?}");
    assert_eq!(bars[0], ("0.00", "25.00", Some("1.17.0")));
    assert_eq!(bars[4], ("0.00", "100.00", Some("1.0.0")));
}

#[test]
fn every_bar_carries_as_much_of_its_version_as_fits() {
    let versions = ["1.0.0", "10.20.30", "2.0.0-beta.1+build.20261130", "1.2.3"];
    let moves = (1_u64..).zip(versions).map(|(seq, version)| {
        let op = if seq == 2 { "rollback" } else { "promote" };
        past(seq, op, version, &format!("2026-11-{seq:02}T10:00:00Z"))
    });
    let mut moves: Vec<Past> = moves.collect();
    moves.reverse();
    let prod = environment("prod", moves);
    let labels = |screen| {
        let picture = Picture::of(&[&prod], screen, "2026-11-30T12:00:00Z").expect("a picture");
        let bars = picture.lanes.into_iter().flat_map(|lane| lane.bars);
        let labels: Vec<String> = bars.filter_map(|bar| bar.label).collect();
        (labels.join(" "), picture.cut)
    };
    let narrow = "1.0.0 10.20.… 2.0.0-be… 1.2.3".to_owned();
    assert_eq!(labels(&timeline::NARROW), (narrow, None));
    let wide = "1.0.0 10.20.30 2.0.0-beta.1+build.20… 1.2.3".to_owned();
    assert_eq!(labels(&timeline::WIDE), (wide, None));
}

#[test]
fn a_way_back_that_needs_a_command_says_so_where_it_is_pasted() {
    let command = rollback_command(&store(), &back(true));
    let (before, after) = command.split_once(" pkgs-action ").expect("a command");
    assert!(
        before.starts_with("PKGS_CDN_COMMAND=\"${PKGS_CDN_COMMAND:?"),
        "{command}"
    );
    assert!(
        after.contains("--reason 'back from 1.1.0 to 1.0.0'"),
        "{command}"
    );
}

#[test]
fn what_cannot_be_read_is_told_and_nothing_is_claimed_of_it() {
    let mut app = web();
    let unreadable = vec![Unknown {
        code: "environment::damaged",
        message: "log/000000000002.json is no entry".to_owned(),
    }];
    app.environments[0] = EnvironmentStatus {
        unreadable: unreadable.clone(),
        ..EnvironmentStatus::unknown("prod")
    };
    app.environments[1].unreadable = unreadable;
    app.environments[1].rollback_to = None;
    let told = text(&page(&of(vec![app])));
    for words in [
        "web in prod cannot be read: log/000000000002.json is no entry",
        "App sit prod web 1.1.0 21 Nov 2026 unknown",
        "prod unknown unread log/000000000002.json is no entry",
        "Where a rollback goes is not known",
    ] {
        assert!(told.contains(words), "{words}\n{told}");
    }
    assert!(!told.contains("nothing is live"), "{told}");
}

#[test]
fn a_clock_that_went_back_and_a_moment_that_is_none_break_no_picture() {
    let history = vec![
        past(3, "promote", "1.2.0", "2020-01-01T00:00:00Z"),
        past(2, "promote", "1.1.0", "yesterday"),
        past(1, "promote", "1.0.0", "2026-11-20T10:00:00Z"),
    ];
    let status = of(vec![AppStatus {
        environments: vec![environment("prod", history)],
        ..web()
    }]);
    let page = page(&status);
    assert!(page.contains("<title>promote 1.2.0</title>"), "{page}");
    assert!(page.contains("<bdi>yesterday</bdi>"), "{page}");
}

#[test]
fn hostile_text_is_shown_and_obeyed_by_nobody() {
    const EVIL: &str = "</script><script>alert(1)</script><!--\" onload='x'\u{202e}\u{0}\u{1b}[2J\u{200b}\r\n::error::&amp;##[error]";
    let evil = || EVIL.to_owned();
    let mut app = web();
    app.name = evil();
    app.versions = vec![VersionStatus {
        version: evil(),
        variants: vec![evil()],
        ..build("1.0.0", u64::MAX, 0)
    }];
    for environment in &mut app.environments {
        environment.environment = evil();
        environment.current = Some(evil());
        environment.since = Some(evil());
        environment.by = Some(evil());
        environment.bad = vec![evil()];
        environment.pinned = vec![evil()];
        environment.rollback_to = Some(evil());
        environment.rollback_command = Some(evil());
        environment.static_applied = Some(false);
        environment.url = Some("javascript:alert(1)".to_owned());
        environment.unreadable = vec![Unknown {
            code: "environment::damaged",
            message: evil(),
        }];
        environment.hold = Some(Hold {
            by: evil(),
            reason: Some(evil()),
            seq: 1,
        });
        environment.hosts = vec![HostStatus {
            host: evil(),
            version: Some(evil()),
            state: evil(),
            seq: u64::MAX,
            behind: true,
            error: Some(evil()),
            at: evil(),
        }];
        for past in &mut environment.history {
            past.version = Some(evil());
            past.actor = Some(evil());
            past.reason = Some(evil());
        }
    }
    let harmless = page(&of(vec![web()]));
    let status = Status {
        at: evil(),
        store: Some(StoreStatus {
            address: evil(),
            ..store()
        }),
        environments: vec![evil()],
        packages: vec![PackageStatus {
            name: evil(),
            dir: evil(),
            version: Some(evil()),
            tag: Some(evil()),
            published: None,
            unreleased: u64::MAX,
            next: Some(evil()),
        }],
        ..of(vec![app])
    };
    let page = page(&status);
    for never in [
        "<script>alert",
        "</script><script>",
        "<!--",
        "\u{202e}",
        "\u{0}",
        "\u{1b}",
        "\u{200b}",
        "\r",
        "\n::",
        "##[",
        "onload='",
        "&amp;",
        "href=\"javascript",
    ] {
        assert!(!page.contains(never), "{never:?}");
    }
    // A command that would not be what is shown is not shown.
    assert!(!page.contains("-command\""));
    let tags = |page: &str, tag: &str| page.matches(tag).count();
    for tag in ["<script", "<style", "</script", "<body", "<main"] {
        assert_eq!(tags(&page, tag), tags(&harmless, tag), "{tag}");
    }
}

#[test]
fn hundreds_of_everything_stay_bounded() {
    let moves = |count: u64| {
        let moves = (1..=count).rev().map(|seq| {
            let at = format!("2026-11-20T{:02}:{:02}:00Z", seq / 60 % 24, seq % 60);
            let mut past = past(seq, "promote", &format!("1.{seq}.0"), &at);
            past.reason = Some("r".repeat(10_000));
            past
        });
        moves.collect::<Vec<_>>()
    };
    let many = |count: usize, length: usize| {
        let environments = (0..count).map(|index| {
            let name = format!("e{index}{}", "x".repeat(length));
            let mut environment = environment(&name, moves(100));
            environment.hold = Some(Hold {
                by: "y".repeat(10_000),
                reason: Some("z".repeat(10_000)),
                seq: 1,
            });
            environment.bad = (0..1000).map(|bad| format!("0.{bad}.0")).collect();
            environment
        });
        environments.collect::<Vec<_>>()
    };
    let app = |index: usize, environments| AppStatus {
        name: format!("app-{index}-{}", "n".repeat(200)),
        versions: (0..200)
            .map(|patch| build(&format!("1.0.{patch}"), patch, 1))
            .collect(),
        environments,
    };
    let wide = of(vec![app(0, many(300, 60))]);
    let deep = of((0..400).map(|index| app(index, many(4, 2))).collect());
    for status in [wide, deep] {
        let page = page(&status);
        assert!(page.len() < 3_000_000, "{} bytes", page.len());
        assert!(!page.contains(&"z".repeat(LONGEST_WORDS + 1)));
        assert!(page.contains("tells all") || page.contains("tells as much"));
    }
}

#[test]
fn the_same_status_gives_the_same_bytes() {
    let status = of(vec![web()]);
    assert_eq!(page(&status), page(&status.clone()));
}

#[test]
fn the_page_says_what_it_is_at_its_beginning_and_asks_nobody_for_anything() {
    let page = page(&of(vec![web()]));
    assert!(page[..1024].contains(MARK));
    assert!(page.starts_with("<!doctype html>"));
    assert!(page.contains("content=\"default-src 'none'; style-src 'sha256-"));
    for attribute in [" src=", " srcset=", " action=", "@import", "url("] {
        assert!(!page.contains(attribute), "{attribute}");
    }
    let addresses = page.match_indices("href=\"").map(|(at, href)| {
        let rest = &page[at + href.len()..];
        &rest[..rest.find('"').unwrap_or_default()]
    });
    for address in addresses {
        let inside = address.starts_with('#') || address.starts_with("data:");
        assert!(
            inside || address == "https://static.example/sit/",
            "{address}"
        );
    }
}
