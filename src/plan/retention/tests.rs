use super::*;

const NOW: i64 = 1_000 * DAY;
const POLICY: Policy = Policy {
    keep_releases: 2,
    keep_days: 30,
};

fn version(text: &str) -> Version {
    Version::parse(text).unwrap()
}

fn environment(text: &str) -> EnvironmentName {
    EnvironmentName::parse(text).unwrap()
}

fn object(key: &str, days: i64) -> Object {
    Object {
        key: Key::parse(key).unwrap(),
        size: 10,
        modified: Some(NOW - days * DAY),
    }
}

/// A version that was recorded so many days ago.
fn stored(text: &str, days: i64) -> Stored {
    let digest = Digest::of(text.as_bytes());
    Stored {
        version: version(text),
        release: format!("release of {text}"),
        standing: Standing::Ready,
        manifests: vec![object(&format!("v1/apps/web/{text}/any.json"), days)],
        copies: vec![object(
            &format!("v1/apps/web/{text}/web-{text}.tar.zst"),
            days,
        )],
        names: Names {
            blobs: BTreeSet::from([digest]),
            paths: BTreeSet::from([format!("js/{text}.js")]),
        },
    }
}

/// An environment in which these versions became live, the newest first, each so many days ago.
fn place(moves: &[(&str, i64)]) -> Place {
    Place {
        environment: environment("prod"),
        current: moves.first().map(|(version, _)| (*version).to_owned()),
        moves: moves
            .iter()
            .map(|(version, days)| Moved {
                version: (*version).to_owned(),
                at: Some(NOW - days * DAY),
            })
            .collect(),
        bad: Vec::new(),
        pinned: Vec::new(),
        retired: Vec::new(),
        retired_for_a_day: Vec::new(),
    }
}

fn app(versions: Vec<Stored>, places: Vec<Place>) -> App {
    App {
        name: PackageName::parse("web").unwrap(),
        policy: POLICY,
        versions,
        places,
        deltas: Vec::new(),
    }
}

fn facts(app: App) -> Facts {
    let mut facts = Facts {
        now: NOW,
        ..Facts::default()
    };
    for stored in &app.versions {
        for digest in &stored.names.blobs {
            let key = crate::release::layout::blob(digest);
            facts
                .blobs
                .push((digest.clone(), object(key.as_str(), 100)));
        }
    }
    facts.apps.push(app);
    facts
}

/// What becomes of every version, a line for each.
fn told(sweep: &Sweep) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for kept in &sweep.kept {
        lines.push(format!("{} stays: {}", kept.version, kept.why));
    }
    for retire in &sweep.retire {
        let places: Vec<&str> = retire
            .environments
            .iter()
            .map(EnvironmentName::as_str)
            .collect();
        lines.push(format!(
            "{} is retired in {}: {}",
            retire.version,
            places.join(", "),
            retire.why
        ));
    }
    for (_, version) in &sweep.waiting {
        lines.push(format!("{version} waits"));
    }
    for given in &sweep.versions {
        lines.push(format!("{} goes: {}", given.version, given.why));
    }
    lines.sort();
    lines
}

#[track_caller]
fn check(app: App, expected: &[&str]) {
    assert_eq!(told(&sweep(&facts(app))), expected);
}

fn versions(names: &[&str]) -> Vec<Stored> {
    names.iter().map(|name| stored(name, 100)).collect()
}

#[test]
fn what_is_live_and_was_live_last_stays_and_the_rest_is_retired_first() {
    let names = ["1.0.0", "1.1.0", "1.2.0", "1.3.0", "1.4.0"];
    let moves = [
        ("1.4.0", 40),
        ("1.3.0", 50),
        ("1.2.0", 60),
        ("1.1.0", 70),
        ("1.0.0", 80),
    ];
    check(
        app(versions(&names), vec![place(&moves)]),
        &[
            "1.0.0 is retired in prod: no environment, window or pin needs it",
            "1.1.0 is retired in prod: no environment, window or pin needs it",
            "1.2.0 stays: it is one of the last 2 that were live in prod",
            "1.3.0 stays: it is one of the last 2 that were live in prod",
            "1.4.0 stays: it is live in prod",
        ],
    );
}

#[test]
fn what_was_live_within_the_days_stays_by_when_it_ended_and_clocks_may_differ() {
    let names = ["1.0.0", "1.1.0", "1.2.0", "1.3.0", "1.4.0"];
    for (left_1_0_0, stays) in [(29, true), (30, true), (31, false)] {
        let moves = [
            ("1.4.0", 1),
            ("1.3.0", 2),
            ("1.2.0", 3),
            ("1.1.0", left_1_0_0),
            ("1.0.0", 500),
        ];
        let sweep = sweep(&facts(app(versions(&names), vec![place(&moves)])));
        let is_kept = sweep
            .kept
            .iter()
            .any(|kept| kept.version == version("1.0.0"));
        assert_eq!(is_kept, stays, "left {left_1_0_0} days ago");
    }
}

#[test]
fn a_rollback_finds_its_target_behind_bad_versions() {
    let names = ["1.0.0", "1.1.0", "1.2.0", "1.3.0", "1.4.0"];
    let moves = [
        ("1.4.0", 40),
        ("1.3.0", 50),
        ("1.2.0", 60),
        ("1.1.0", 70),
        ("1.0.0", 80),
    ];
    let mut prod = place(&moves);
    prod.bad = ["1.3.0", "1.2.0"].map(str::to_owned).into();
    check(
        app(versions(&names), vec![prod]),
        &[
            "1.0.0 stays: it is one of the last 2 that were live in prod",
            "1.1.0 stays: it is one of the last 2 that were live in prod",
            "1.2.0 stays: it is one of the last 2 that were live in prod",
            "1.3.0 stays: it is one of the last 2 that were live in prod",
            "1.4.0 stays: it is live in prod",
        ],
    );
}

#[test]
fn pins_the_newest_the_young_and_the_unfinished_stay() {
    let mut all = versions(&[
        "0.1.0", "0.2.0", "0.3.0", "0.4.0", "0.5.0", "0.6.0", "0.7.0",
    ]);
    all.push(stored("0.0.9", 7));
    all[1].standing = Standing::Incomplete;
    all[2].standing = Standing::Abandoned;
    let mut prod = place(&[("0.4.0", 90)]);
    prod.pinned = vec!["0.1.0".to_owned()];
    let mut of_a_branch = app(all, vec![prod]);
    let mut facts_of_it = facts(of_a_branch.clone());
    check(
        of_a_branch.clone(),
        &[
            "0.0.9 stays: it was recorded within 7 days",
            "0.1.0 stays: it is pinned in prod",
            "0.2.0 stays: its release is not complete",
            "0.3.0 is retired in prod: its release was abandoned",
            "0.4.0 stays: it is live in prod",
            "0.5.0 is retired in prod: no environment, window or pin needs it",
            "0.6.0 stays: it is one of the newest 2 that were never live",
            "0.7.0 stays: it is the newest, of its app or on a branch",
        ],
    );
    // A branch whose newest release it is.
    facts_of_it
        .releases
        .push(recorded("release of 0.5.0", "seal", &[], None));
    let kept = sweep(&facts_of_it).kept;
    assert!(
        kept.iter()
            .any(|kept| kept.version == version("0.5.0") && kept.why == Keep::Newest)
    );
    // No environment: nothing says what is needed.
    of_a_branch.places.clear();
    assert!(sweep(&facts(of_a_branch)).retire.is_empty());
}

fn prod_and_sit(retired: [&[&str]; 2], for_a_day: [&[&str]; 2]) -> Vec<Place> {
    let texts = |texts: &[&str]| {
        texts
            .iter()
            .map(|text| (*text).to_owned())
            .collect::<Vec<_>>()
    };
    let moves = [("1.4.0", 40), ("1.3.0", 50), ("1.2.0", 60), ("1.0.0", 80)];
    ["prod", "sit"]
        .iter()
        .enumerate()
        .map(|(number, name)| Place {
            environment: environment(name),
            retired: texts(retired[number]),
            retired_for_a_day: texts(for_a_day[number]),
            ..place(&moves)
        })
        .collect()
}

#[test]
fn a_version_goes_a_day_after_every_environment_gave_it_up() {
    let old: &[&str] = &["1.0.0"];
    let none: &[&str] = &[];
    let stays = [
        "1.2.0 stays: it is one of the last 2 that were live in prod",
        "1.3.0 stays: it is one of the last 2 that were live in prod",
        "1.4.0 stays: it is live in prod",
    ];
    for (retired, for_a_day, expected) in [
        (
            [none, none],
            [none, none],
            "1.0.0 is retired in prod, sit: no environment, window or pin needs it",
        ),
        (
            [old, none],
            [old, none],
            "1.0.0 is retired in sit: no environment, window or pin needs it",
        ),
        ([old, old], [old, none], "1.0.0 waits"),
        (
            [old, old],
            [old, old],
            "1.0.0 goes: every environment gave it up",
        ),
    ] {
        let names = ["1.0.0", "1.2.0", "1.3.0", "1.4.0"];
        let app = app(versions(&names), prod_and_sit(retired, for_a_day));
        let sweep = sweep(&facts(app));
        let mut lines = vec![expected];
        lines.extend(stays);
        lines.sort_unstable();
        assert_eq!(told(&sweep), lines);
        // Its bytes go with it, and not before.
        let goes = expected.contains("goes");
        assert_eq!(sweep.blobs.len(), usize::from(goes), "{expected}");
        assert_eq!(sweep.named.paths.contains("js/1.0.0.js"), !goes);
        let keys: Vec<&str> = sweep
            .versions
            .iter()
            .flat_map(|given| &given.objects)
            .map(|object| object.key.as_str())
            .collect();
        if goes {
            assert_eq!(
                keys,
                [
                    "v1/apps/web/1.0.0/web-1.0.0.tar.zst",
                    "v1/apps/web/1.0.0/any.json"
                ],
                "the manifest last"
            );
        }
    }
    // An environment that came in between and did not give it up.
    let mut places = prod_and_sit([old, old], [old, old]);
    places.push(Place {
        environment: environment("new"),
        ..place(&[("1.0.0", 0)])
    });
    assert!(!is_deletable(&places, "1.0.0"));
    assert!(!is_deletable(&[], "1.0.0"));
}

#[test]
fn a_version_is_given_up_on_the_entry_that_the_retirement_follows() {
    let moves = [("1.4.0", 40), ("1.3.0", 50), ("1.2.0", 60), ("1.0.0", 80)];
    let judged = |place: &Place, text: &str| match judge(place, POLICY, NOW, &version(text)) {
        Judgement::Append { event, .. } => event.op().as_str().to_owned(),
        Judgement::AlreadyThere { reasons } => reasons[0].clone(),
        other => format!("{other:?}"),
    };
    let mut prod = place(&moves);
    assert_eq!(judged(&prod, "1.0.0"), "retire");
    assert_eq!(
        judged(&prod, "1.2.0"),
        "it is one of the last 2 that were live in prod"
    );
    prod.pinned = vec!["1.0.0".to_owned()];
    assert_eq!(judged(&prod, "1.0.0"), "it is pinned in prod");
    prod.pinned.clear();
    prod.retired = vec!["1.0.0".to_owned()];
    assert_eq!(judged(&prod, "1.0.0"), "1.0.0 is retired in prod");
    let back = place(&[&[("1.0.0", 0)], &moves[..]].concat());
    assert_eq!(judged(&back, "1.0.0"), "it is live in prod");
}

fn recorded(id: &str, seal: &str, tags: &[&str], previous: Option<&str>) -> Recorded {
    Recorded {
        id: id.to_owned(),
        seal: seal.to_owned(),
        tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
        previous: previous.map(str::to_owned),
        is_abandoned: false,
    }
}

#[test]
fn seals_go_when_their_release_is_told_otherwise_and_take_their_bytes_with_them() {
    let seal = |name: &str, tags: &[&str], days: i64| {
        let digest = Digest::of(name.as_bytes());
        Sealed {
            object: object(&format!("v1/seals/{name}"), days),
            tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
            names: Names {
                blobs: BTreeSet::from([digest]),
                paths: BTreeSet::new(),
            },
        }
    };
    let mut abandoned = recorded("r0", "v1/seals/given-up", &["v0.9.0"], None);
    abandoned.is_abandoned = true;
    let mut facts = Facts {
        now: NOW,
        releases: vec![
            abandoned,
            recorded("r1", "v1/seals/first", &["v1.0.0"], None),
            recorded("r2", "v1/seals/second", &["v1.1.0"], Some("r1")),
        ],
        seals: vec![
            seal("first", &["v1.0.0"], 100),
            seal("second", &["v1.1.0"], 100),
            seal("given-up", &["v0.9.0"], 100),
            seal("overtaken", &["v1.1.0"], 100),
            seal("open", &["v1.2.0"], 100),
            seal("young", &["v1.0.0"], 7),
        ],
        ..Facts::default()
    };
    for sealed in &facts.seals {
        for digest in &sealed.names.blobs {
            let key = crate::release::layout::blob(digest);
            facts
                .blobs
                .push((digest.clone(), object(key.as_str(), 100)));
        }
    }
    let sweep = sweep(&facts);
    let gone: Vec<String> = sweep
        .seals
        .iter()
        .map(|gone| format!("{}: {}", gone.object.key, gone.why))
        .collect();
    assert_eq!(
        gone,
        [
            "v1/seals/first: release r1 is recorded",
            "v1/seals/given-up: release r0 is recorded",
            "v1/seals/overtaken: release r2 has its tag v1.1.0",
        ]
    );
    assert_eq!(sweep.open_seals, 1);
    assert_eq!(sweep.blobs.len(), 3);
    assert_eq!(sweep.named.blobs.len(), 3);
}

#[test]
fn a_delta_goes_with_either_of_its_versions_and_waits_for_a_new_one() {
    let delta = |to: &str, from: &str, days: i64| {
        let (to, from) = (version(to), version(from));
        let app = PackageName::parse("web").unwrap();
        let key = crate::release::layout::delta(&app, &to, &from, &crate::name::Variant::Any);
        Delta {
            object: object(key.as_str(), days),
            to,
            from,
        }
    };
    let mut place = place(&[("1.2.0", 40), ("1.1.0", 50), ("1.0.0", 60)]);
    place.retired = vec!["1.0.0".to_owned()];
    place.retired_for_a_day = place.retired.clone();
    let mut app = app(versions(&["1.0.0", "1.1.0", "1.2.0"]), vec![place]);
    app.deltas = vec![
        delta("1.1.0", "1.0.0", 1),
        delta("1.0.0", "1.1.0", 1),
        delta("1.2.0", "1.1.0", 100),
        delta("1.3.0", "1.2.0", 7),
        delta("1.2.0", "0.9.0", 8),
    ];
    let sweep = sweep(&facts(app));
    let gone = sweep.deltas.iter();
    let gone: Vec<String> = gone
        .map(|gone| format!("{}: {}", gone.object.key, gone.why))
        .collect();
    assert_eq!(
        gone,
        [
            "v1/apps/web/deltas/1.1.0/1.0.0.zst: 1.0.0 is not there any more",
            "v1/apps/web/deltas/1.0.0/1.1.0.zst: 1.0.0 is not there any more",
            "v1/apps/web/deltas/1.2.0/0.9.0.zst: 0.9.0 is not there any more",
        ]
    );
}

#[test]
fn bytes_copies_probes_and_files_go_by_name_and_age() {
    for (days, is_old_enough) in [(0, false), (7, false), (8, true), (-5, false)] {
        let blob = Digest::of(b"1");
        let mut orphan = stored("9.0.0", days);
        orphan.manifests.clear();
        let facts = Facts {
            now: NOW,
            apps: vec![app(vec![orphan], vec![])],
            blobs: vec![(
                blob.clone(),
                object(crate::release::layout::blob(&blob).as_str(), days),
            )],
            probes: vec![object("v1/probe/1", days)],
            ..Facts::default()
        };
        let sweep = sweep(&facts);
        let counts = [sweep.copies.len(), sweep.blobs.len(), sweep.probes.len()];
        assert_eq!(counts, [usize::from(is_old_enough); 3], "{days} days");
        let files = [object("a.js", days), object("b.js", 100)];
        let named = Names {
            paths: BTreeSet::from(["b.js".to_owned()]),
            ..Names::default()
        };
        assert_eq!(
            unnamed(NOW, &files, &named).len(),
            usize::from(is_old_enough)
        );
    }
    let mut unknown = object("v1/probe/1", 100);
    unknown.modified = None;
    assert!(!is_old(NOW, &unknown), "what has no time is never old");
}

#[test]
fn the_entry_of_a_day_ago() {
    let at = |days: i64| Some(NOW - days * DAY);
    assert_eq!(
        a_day_ago(NOW, &[(1, at(9)), (2, at(2)), (3, at(1)), (4, at(0))]),
        Some(2)
    );
    assert_eq!(a_day_ago(NOW, &[(1, at(1))]), None);
    assert_eq!(a_day_ago(NOW, &[(1, None)]), None);
}

#[test]
fn an_upload_is_left_when_it_was_begun_a_day_ago_by_any_clock() {
    let at = |days: i64| Some(NOW - days * DAY);
    for (begun, left) in [
        (at(0), false),
        (at(1), false),
        (Some(NOW - 2 * DAY + 1), false),
        (at(2), true),
        (at(400), true),
        (Some(NOW + DAY), false),
        (None, false),
    ] {
        assert_eq!(is_left(NOW, begun), left, "{begun:?}");
    }
}
