use super::credentials::{Credential, SETUP_NODE_PLACEHOLDER};
use super::*;

fn url(text: &str) -> Url {
    Url::parse(text).expect("a URL")
}

fn user(text: &str) -> NpmrcFile {
    NpmrcFile {
        shown: "/home/ann/.npmrc".to_owned(),
        text: text.to_owned(),
        whose: Whose::User,
    }
}

fn repository(text: &str) -> NpmrcFile {
    NpmrcFile {
        shown: ".npmrc".to_owned(),
        text: text.to_owned(),
        whose: Whose::Repository,
    }
}

fn said(registry: Option<&str>, by_scope: &[(&str, &str)]) -> Said {
    Said {
        by_scope: by_scope
            .iter()
            .map(|(scope, address)| ((*scope).to_owned(), url(address)))
            .collect(),
        tokens: Vec::new(),
        registry: registry.map(|address| RegistryAddress::Npm(url(address))),
    }
}

fn variables(all: &[(&str, &str)]) -> BTreeMap<String, String> {
    all.iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

fn word(address: &str, said: &str) -> Word {
    Word {
        address: address.to_owned(),
        said: said.to_owned(),
        place: Some(Place::file("packages/a/package.json")),
        is_repositorys: true,
    }
}

const A: &str = "https://a.example/";
const B: &str = "https://b.example/";
const C: &str = "https://c.example/";

/// What was said, and where `@x/a` goes; or the code with which it is refused.
struct Case<'a> {
    registry: Option<&'a str>,
    registries: &'a [(&'a str, &'a str)],
    environment: &'a [(&'a str, &'a str)],
    repository: &'a str,
    user: &'a str,
    declared: &'a str,
    of_scope: &'a str,
}

const NOTHING: Case<'_> = Case {
    registry: None,
    registries: &[],
    environment: &[],
    repository: "",
    user: "",
    declared: "",
    of_scope: "",
};

fn decide(case: &Case<'_>) -> Result<(String, bool), Failure> {
    let files = [repository(case.repository), user(case.user)];
    let environment = variables(case.environment);
    let said = said(case.registry, case.registries);
    let (registries, default) = Registries::resolve(said, &files, &environment)?;
    let given =
        |address: &str, said| Some(word(address, said)).filter(|word| !word.address.is_empty());
    let declared = Declared {
        registry: given(case.declared, "publishConfig.registry"),
        of_scope: given(case.of_scope, "publishConfig[\"@x:registry\"]"),
    };
    let name = PackageName::parse("@x/a").expect("a name");
    let found = registries.destination(&name, &declared, &default)?;
    let RegistryAddress::Npm(default) = default else {
        unreachable!("no case is a directory")
    };
    let goes = found.registry.unwrap_or(default);
    Ok((goes.to_string(), found.warning.is_some()))
}

#[test]
fn where_a_package_goes() {
    let check = |about: &str, case: &Case<'_>, expected: Result<(&str, bool), &str>| {
        let found = decide(case);
        let found = found.as_ref().map(|(goes, warns)| (goes.as_str(), *warns));
        assert_eq!(found.map_err(Failure::code), expected, "{about}");
    };
    let public = Ok((crate::settings::PUBLIC_REGISTRY, false));
    let refused = Err("plan::registry");
    let scope = &[("@x", B)][..];
    let user_b = &format!("@x:registry={B}")[..];
    check("nothing is said", &NOTHING, public);
    check(
        "`registry`",
        &Case {
            registry: Some(A),
            ..NOTHING
        },
        Ok((A, false)),
    );
    check(
        "`registries`",
        &Case {
            registries: scope,
            ..NOTHING
        },
        Ok((B, false)),
    );
    check(
        "another scope",
        &Case {
            registries: &[("@y", B)],
            ..NOTHING
        },
        public,
    );

    check(
        "a variable",
        &Case {
            environment: &[("NPM_CONFIG_REGISTRY", A)],
            ..NOTHING
        },
        Ok((A, false)),
    );
    check(
        "the user's file",
        &Case {
            user: "registry=https://a.example",
            ..NOTHING
        },
        Ok((A, false)),
    );
    check(
        "a variable is above the user's file",
        &Case {
            environment: &[("npm_config_registry", A)],
            user: "registry=https://b.example",
            ..NOTHING
        },
        Ok((A, false)),
    );
    check(
        "`registry` is above both",
        &Case {
            registry: Some(C),
            environment: &[("npm_config_registry", A)],
            user: "registry=https://b.example",
            ..NOTHING
        },
        Ok((C, false)),
    );
    check(
        "yarn's own",
        &Case {
            environment: &[("npm_config_registry", "https://registry.yarnpkg.com")],
            ..NOTHING
        },
        public,
    );
    check(
        "a scope in the user's file",
        &Case {
            registry: Some(A),
            user: user_b,
            ..NOTHING
        },
        Ok((B, false)),
    );
    check(
        "a scope in a variable",
        &Case {
            registry: Some(A),
            environment: &[("npm_config_@x:registry", C)],
            user: user_b,
            ..NOTHING
        },
        Ok((C, false)),
    );

    check(
        "the manifest names another",
        &Case {
            declared: A,
            ..NOTHING
        },
        refused,
    );
    check(
        "the manifest names the same",
        &Case {
            registry: Some(A),
            declared: "https://A.example:443",
            ..NOTHING
        },
        Ok((A, false)),
    );
    check(
        "the manifest names no address",
        &Case {
            registry: Some(A),
            declared: "a.example",
            ..NOTHING
        },
        refused,
    );
    check(
        "the same host by http",
        &Case {
            registry: Some(A),
            declared: "http://a.example/",
            ..NOTHING
        },
        refused,
    );
    check(
        "a path of a named origin",
        &Case {
            registry: Some(A),
            declared: "https://a.example/b/",
            ..NOTHING
        },
        Ok(("https://a.example/b/", false)),
    );
    check(
        "named for another scope",
        &Case {
            registries: &[("@y", A)],
            declared: A,
            ..NOTHING
        },
        Ok((A, false)),
    );
    check(
        "named by the user's file",
        &Case {
            user: "@y:registry=https://a.example",
            declared: A,
            ..NOTHING
        },
        Ok((A, false)),
    );
    check(
        "named by a credential",
        &Case {
            user: "//a.example/:_authToken=t",
            declared: A,
            ..NOTHING
        },
        Ok((A, false)),
    );
    check(
        "the manifest of its scope",
        &Case {
            registries: &[("@y", A)],
            of_scope: A,
            ..NOTHING
        },
        Ok((A, false)),
    );
    check(
        "the manifest of its scope, unnamed",
        &Case {
            of_scope: A,
            ..NOTHING
        },
        refused,
    );
    check(
        "`registries` does not let an unnamed one pass",
        &Case {
            registries: scope,
            declared: A,
            ..NOTHING
        },
        refused,
    );
    check(
        "`registries` decides, and says so",
        &Case {
            registry: Some(A),
            registries: scope,
            declared: A,
            ..NOTHING
        },
        Ok((B, true)),
    );
    check(
        "npm follows a scope before the manifest",
        &Case {
            registry: Some(A),
            user: user_b,
            declared: A,
            ..NOTHING
        },
        Ok((B, true)),
    );
    check(
        "the manifest of its scope is above that",
        &Case {
            registry: Some(A),
            user: user_b,
            of_scope: A,
            ..NOTHING
        },
        Ok((A, false)),
    );

    check(
        "the repository's file",
        &Case {
            repository: "registry=https://a.example",
            ..NOTHING
        },
        refused,
    );
    check(
        "the repository's file, named",
        &Case {
            registries: &[("@y", A)],
            repository: "registry=https://a.example",
            ..NOTHING
        },
        Ok((A, false)),
    );
    check(
        "below `registry` it does not count",
        &Case {
            registry: Some(B),
            repository: "registry=https://a.example",
            ..NOTHING
        },
        Ok((B, false)),
    );
    check(
        "it says the same",
        &Case {
            repository: &format!("registry={}", crate::settings::PUBLIC_REGISTRY),
            ..NOTHING
        },
        public,
    );
    check(
        "its scope",
        &Case {
            registry: Some(A),
            repository: user_b,
            ..NOTHING
        },
        refused,
    );
    check(
        "its scope, named",
        &Case {
            registry: Some(B),
            repository: user_b,
            ..NOTHING
        },
        Ok((B, false)),
    );
    check(
        "its scope below `registries`",
        &Case {
            registries: &[("@x", A)],
            repository: user_b,
            ..NOTHING
        },
        Ok((A, false)),
    );
    check(
        "a variable that a script repeats",
        &Case {
            environment: &[
                ("npm_config_registry", A),
                ("npm_lifecycle_event", "release"),
            ],
            ..NOTHING
        },
        refused,
    );
    check(
        "a variable in an address",
        &Case {
            environment: &[("HOST", "a.example")],
            user: "registry=https://${HOST}/",
            ..NOTHING
        },
        Ok((A, false)),
    );
    check(
        "one that is not set",
        &Case {
            user: "registry=https://${HOST}/",
            ..NOTHING
        },
        Err("settings::npmrc"),
    );
    check(
        "one that is not set, of a scope",
        &Case {
            user: "@x:registry=${URL}",
            ..NOTHING
        },
        Err("settings::npmrc"),
    );
}

#[test]
fn a_refusal_names_package_file_and_both_addresses() {
    let failure = decide(&Case {
        registry: Some(A),
        declared: B,
        ..NOTHING
    })
    .expect_err("refused");
    assert_eq!(failure.exit(), Exit::Refused);
    for part in ["@x/a", A, B] {
        assert!(failure.what().contains(part), "{}", failure.what());
    }
    assert_eq!(
        failure.where_in(),
        Some(&Place::file("packages/a/package.json"))
    );
    let failure = decide(&Case {
        repository: "\n@x:registry=https://b.example",
        ..NOTHING
    });
    let failure = failure.expect_err("refused");
    assert_eq!(failure.where_in(), Some(&Place::at(".npmrc", 2, 1)));
    assert!(
        failure
            .advice()
            .is_some_and(|hint| hint.contains("@x=https://b.example/"))
    );
}

/// The header that a request to `asked` carries, where `npmrc` is the user's file; or the code of what is wrong.
fn header(
    npmrc: &str,
    environment: &[(&str, &str)],
    asked: &str,
) -> Result<Option<String>, &'static str> {
    let environment = variables(environment);
    let resolved = Registries::resolve(said(Some(A), &[]), &[user(npmrc)], &environment);
    let (registries, _) = resolved.map_err(|failure| failure.code())?;
    let asked = url(asked);
    match registries.credentials.of(&asked) {
        Credential::Given(secret) => Ok(secret.authorization(&asked)),
        Credential::Broken(failure) => Err(failure.code()),
        Credential::Missing => Ok(None),
    }
}

#[test]
fn credentials_are_found_as_npm_finds_them() {
    let check = |npmrc: &str, asked: &str, expected: Option<&str>| {
        let found = header(
            npmrc,
            &[("T", "token"), ("PLACE", SETUP_NODE_PLACEHOLDER)],
            asked,
        );
        assert_eq!(found, Ok(expected.map(str::to_owned)), "{npmrc} {asked}");
    };
    let bearer = Some("Bearer token");
    check("", B, None);
    check("//b.example/:_authToken=token", B, bearer);
    check("//b.example/:_authToken=${T}", B, bearer);
    check("//b.example/:_authToken=${NO?}", B, None);
    check("//b.example/:_authToken=${PLACE}", B, None);
    check("//b.example:_authToken=token", B, bearer);
    check("//b.example/:_authToken=token", A, None);
    check(
        "//b.example/:_authToken=token",
        "https://b.example:444/",
        None,
    );
    check(
        "//b.example:444/:_authToken=token",
        "https://b.example:444/",
        bearer,
    );
    check(
        "//b.example/:_authToken=token",
        "https://b.example/npm/team/",
        bearer,
    );
    check(
        "//b.example/npm/:_authToken=token",
        "https://b.example/npm/team/",
        bearer,
    );
    check(
        "//b.example/npm/team:_authToken=token",
        "https://b.example/npm/team/",
        bearer,
    );
    check(
        "//b.example/npm/team/:_authToken=token",
        "https://b.example/npm/",
        None,
    );
    check(
        "//b.example/npm/te/:_authToken=token",
        "https://b.example/npm/team/",
        None,
    );
    let nearest = "//b.example/:_authToken=far\n//b.example/npm/:_authToken=token";
    check(nearest, "https://b.example/npm/team/", bearer);
    // ann:key
    let basic = Some("Basic YW5uOmtleQ==");
    check("//b.example/:_auth=YW5uOmtleQ==", B, basic);
    check(
        "//b.example/:username=ann\n//b.example/:_password=a2V5",
        B,
        basic,
    );
    check("//b.example/:username=ann", B, None);
    check(
        "//b.example/:_auth=x\n//b.example/:_authToken=token",
        B,
        bearer,
    );
    check(
        "//b.example/:_authToken=old\n//b.example/:_authToken=token",
        B,
        bearer,
    );
    check("_authToken=token", A, None);
}

#[test]
fn what_cannot_be_a_credential_is_never_sent() {
    let code = |npmrc: &str| header(npmrc, &[("BAD", "a\nb")], B);
    assert_eq!(
        code("//b.example/:_authToken=${NO}"),
        Err("npm::unset_variable")
    );
    assert_eq!(code("//b.example/:_auth=${NO}"), Err("npm::unset_variable"));
    assert_eq!(
        code("//b.example/:_authToken=${BAD}"),
        Err("settings::secret")
    );
    assert_eq!(
        code("//b.example/:username=a\n//b.example/:_password=%"),
        Err("settings::secret")
    );
    // Nobody asks there.
    assert_eq!(code("//c.example/:_authToken=${NO}"), Ok(None));
}

#[test]
fn an_unset_variable_is_named_with_its_line() {
    let files = [user("\n//b.example/:_authToken=${NPM_B}")];
    let (registries, _) =
        Registries::resolve(said(None, &[]), &files, &BTreeMap::new()).expect("registries");
    let Credential::Broken(failure) = registries.credentials.of(&url(B)) else {
        panic!("it was taken")
    };
    assert_eq!(failure.exit(), Exit::Usage);
    assert!(failure.what().contains("NPM_B"), "{}", failure.what());
    assert_eq!(
        failure.where_in(),
        Some(&Place::at("/home/ann/.npmrc", 2, 1))
    );
}

#[test]
fn each_credential_goes_to_its_own_registry() {
    let environment = variables(&[
        ("NODE_AUTH_TOKEN", "of-b"),
        ("npm_config_//c.example/:_authToken", "of-c"),
    ]);
    let files = [user("//b.example/:_authToken=${NODE_AUTH_TOKEN}")];
    let mut given = said(Some(A), &[]);
    given.tokens.push((
        url("https://d.example/npm/"),
        Secret::new("of-d").expect("a token"),
    ));
    let (mut registries, _) = Registries::resolve(given, &files, &environment).expect("registries");
    assert!(
        registries
            .credentials
            .is_for_another("NODE_AUTH_TOKEN", &url(A))
    );
    assert!(
        !registries
            .credentials
            .is_for_another("NODE_AUTH_TOKEN", &url(B))
    );
    assert!(!registries.credentials.is_for_another("NPM_TOKEN", &url(A)));
    let found = registries
        .credentials
        .give_default(&url(A), Secret::new("of-a"));
    assert!(matches!(found, Credential::Given(_)));
    for (asked, expected) in [
        (A, Some("Bearer of-a")),
        ("https://a.example/other/", Some("Bearer of-a")),
        (B, Some("Bearer of-b")),
        (C, Some("Bearer of-c")),
        ("https://d.example/npm/", Some("Bearer of-d")),
        ("https://d.example/npm/team/", Some("Bearer of-d")),
        ("https://d.example/", None),
        ("https://e.example/", None),
    ] {
        let asked = url(asked);
        let given = registries.credentials.of(&asked).given();
        let header = given.and_then(|secret| secret.authorization(&asked));
        assert_eq!(header.as_deref(), expected, "{asked}");
    }
    let secrets = registries.credentials.values();
    for secret in ["of-a", "of-b", "of-c", "of-d"] {
        assert!(secrets.iter().any(|one| one == secret), "{secret}");
    }
}

#[test]
fn a_credential_in_the_repository_is_not_used() {
    let files = [repository(
        "//b.example/:_authToken=canary-of-the-repository",
    )];
    let (registries, _) =
        Registries::resolve(said(None, &[]), &files, &BTreeMap::new()).expect("registries");
    assert_eq!(registries.credentials.of(&url(B)), Credential::Missing);
    let message = registries
        .credentials
        .ignored_for(&url(B))
        .expect("a sentence");
    assert!(
        message.contains("b.example") && !message.contains("canary"),
        "{message}"
    );
    assert_eq!(registries.credentials.ignored_for(&url(C)), None);
    let script = variables(&[
        ("npm_lifecycle_event", "x"),
        ("npm_config_//b.example/:_authToken", "t"),
    ]);
    let (registries, _) = Registries::resolve(said(None, &[]), &[], &script).expect("registries");
    assert_eq!(registries.credentials.of(&url(B)), Credential::Missing);
}

#[test]
fn an_address_of_the_repository_reads_no_secret() {
    let repository = "registry=https://a.example/${NPM_TOKEN}/";
    let environment = &[("NPM_TOKEN", "canary")][..];
    let failure = decide(&Case {
        registries: &[("@y", A)],
        repository,
        environment,
        ..NOTHING
    });
    let failure = failure.expect_err("refused");
    assert!(!format!("{failure:?}").contains("canary"), "{failure:?}");
    let failure = decide(&Case {
        declared: "https://ann:canary@a.example/",
        ..NOTHING
    });
    let failure = failure.expect_err("refused");
    assert!(!format!("{failure:?}").contains("canary"), "{failure:?}");
}

#[test]
fn a_directory_takes_all_but_what_is_set_for_a_scope() {
    let directory = RegistryAddress::Directory {
        path: "/npm".into(),
        url: None,
    };
    let mut given = said(None, &[("@x", B)]);
    given.registry = Some(directory.clone());
    let files = [repository("@y:registry=https://c.example")];
    let (registries, default) =
        Registries::resolve(given, &files, &BTreeMap::new()).expect("registries");
    assert_eq!(default, directory);
    let declared = Declared {
        registry: Some(word(C, "publishConfig.registry")),
        of_scope: None,
    };
    for (name, expected) in [("@x/a", Some(B)), ("@y/a", None), ("a", None)] {
        let name = PackageName::parse(name).expect("a name");
        let found = registries
            .destination(&name, &declared, &default)
            .expect("a place");
        assert_eq!(found.registry, expected.map(url), "{name}");
    }
}
