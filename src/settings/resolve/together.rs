//! What settings must be to one another: each may be right by itself.

use crate::explain::{Exit, Failure};
use crate::name::{EnvironmentName, PackageName};
use crate::settings::address::StoreAddress;
use crate::settings::given::nearest;
use crate::settings::resolve::Resolver;
use crate::settings::{AppSettings, BoardPlace, Settings};

impl Resolver<'_> {
    /// Keeps a problem for everything that does not go together.
    pub(super) fn together(&mut self, settings: &Settings) {
        self.distributions(settings);
        self.board_apart(settings);
    }

    /// Refuses what `cdn-distribution` says of an environment that neither the configuration nor this command knows: a slip there would leave a CDN
    /// without a word. Without a configuration the store alone knows the environments, and whoever asks it tells what is unknown.
    fn distributions(&mut self, settings: &Settings) {
        let Some(given) = self.inputs.get("cdn-distribution") else {
            return;
        };
        if !settings.opted_in {
            return;
        }
        let known = environments(settings);
        let asked = ["environment", "from"].map(|setting| self.text(setting));
        let is_known = |name: &&EnvironmentName| {
            known.contains(name) || asked.iter().flatten().any(|asked| asked == name.as_str())
        };
        let said = settings.cdn.distributions.keys().flatten();
        let unknown: Vec<&EnvironmentName> = said.filter(|name| !is_known(name)).collect();
        let names: Vec<&str> = known.iter().map(|name| name.as_str()).collect();
        for name in unknown {
            let what = format!(
                "{} names {name}, which is none of the environments",
                given.name("cdn-distribution")
            );
            let failure = Failure::new(Exit::Usage, "settings::unknown_environment", what)
                .because(format!("the environments are {}", names.join(", ")));
            self.problems.push(
                failure.hint(match nearest(name.as_str(), names.iter().copied()) {
                    Some(near) => format!("did you mean {near}?"),
                    None => "take it out; 'environments' in pkgs.json adds another environment"
                        .to_owned(),
                }),
            );
        }
    }

    /// Refuses a board that lies among static files, or around them: an `index.html` of an app would be taken for it.
    fn board_apart(&mut self, settings: &Settings) {
        let (Some(BoardPlace::At(board)), Some(template)) =
            (&settings.board, settings.static_root.value())
        else {
            return;
        };
        let roots = roots(settings, template);
        let Some(root) = roots.iter().find(|root| root.overlaps(&board.address)) else {
            return;
        };
        let name = |setting: &str| {
            let given = self.inputs.get(setting);
            given.map_or_else(|| setting.to_owned(), |given| given.name(setting))
        };
        let what = format!(
            "{} is {}, and {} makes {root} of it: they lie in one another",
            name("board"),
            board.address,
            name("static")
        );
        self.problems.push(
            Failure::new(Exit::Usage, "board::in_static", what)
                .because("the board names people and reasons, and static files are served to everybody; an app's own index.html may lie where the board would")
                .hint("give the board a place of its own, beside the static root: s3://bucket/board and s3://bucket/static"),
        );
    }
}

/// Every environment that is configured for any app.
fn environments(settings: &Settings) -> Vec<&EnvironmentName> {
    let apps = [&settings.app_defaults].into_iter();
    let all = apps.chain(settings.apps.values());
    let mut environments: Vec<&EnvironmentName> = all
        .flat_map(|app: &AppSettings| &app.environments)
        .collect();
    environments.sort();
    environments.dedup();
    environments
}

/// The static roots that are known now, one for each app and environment.
fn roots(settings: &Settings, template: &str) -> Vec<StoreAddress> {
    let resolve = |app: &str, environment: &str| {
        let root = template.replace("{app}", app);
        StoreAddress::parse(&root.replace("{environment}", environment)).ok()
    };
    // An app that no configuration names may be called anything: what no app is called stands for it.
    let apps = settings.apps.keys().map(PackageName::as_str);
    let apps: Vec<&str> = apps.chain(["{app}"]).collect();
    let environments = environments(settings);
    let pairs = apps.iter().flat_map(|app| {
        environments
            .iter()
            .map(move |environment| (*app, environment.as_str()))
    });
    pairs
        .filter_map(|(app, environment)| resolve(app, environment))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use crate::explain::Failure;
    use crate::settings::config::{ConfigFile, Form};
    use crate::settings::inputs::{Asked, collect};
    use crate::settings::{Settings, World};

    const CONFIGURATION: &str =
        r#"{"apps": {"site": {"type": "static", "environments": ["prod", "demo"]}}}"#;

    /// What `line` comes to, with this configuration: the codes of its problems and what they say.
    fn problems(line: &str, configuration: Option<&str>) -> Vec<(&'static str, String)> {
        let words = shell_words::split(line).expect("words");
        let Ok(Asked::Run(collected)) = collect(&words, &BTreeMap::new()) else {
            panic!("{line} runs")
        };
        let files: Vec<ConfigFile> = configuration
            .into_iter()
            .map(|text| ConfigFile {
                name: "pkgs.json".to_owned(),
                text: text.to_owned(),
                form: Form::Own,
            })
            .collect();
        let Err(failure) = Settings::resolve(*collected, &files, World::default()) else {
            return Vec::new();
        };
        let whole = |one: &Failure| {
            let parts = [
                one.what(),
                &one.causes().join(" "),
                one.advice().unwrap_or_default(),
            ];
            parts.join(" ")
        };
        let all = failure.each();
        all.map(|one| (one.code(), whole(one))).collect()
    }

    #[track_caller]
    fn check(line: &str, code: Option<&str>, said: &[&str]) {
        let problems = problems(line, Some(CONFIGURATION));
        let codes: Vec<&str> = problems.iter().map(|(code, _)| *code).collect();
        assert_eq!(codes, Vec::from_iter(code), "{line}: {problems:?}");
        for said in said {
            assert!(problems[0].1.contains(said), "{line}: {}", problems[0].1);
        }
    }

    #[test]
    fn a_distribution_is_of_one_environment_that_is_known() {
        const UNKNOWN: Option<&str> = Some("settings::unknown_environment");
        const DOUBLE: Option<&str> = Some("settings::cdn_distribution");
        let plan = |value: &str| format!("plan --cdn-distribution '{value}'");
        // `demo` is the site's own, `sit` is of every app that names none.
        check(&plan("prod=E1, demo=E2, sit=none"), None, &[]);
        check(&plan("E0, prod=E1"), None, &[]);
        check(&plan("none"), None, &[]);
        check(
            &plan("prd=E1"),
            UNKNOWN,
            &["--cdn-distribution names prd", "did you mean prod?"],
        );
        check(
            &plan("live=E1"),
            UNKNOWN,
            &["demo, pre, prod, sit, stable", "'environments'"],
        );
        check(&plan("prod=E1, prod=E2"), DOUBLE, &["names prod twice"]);
        check(&plan("prod=E1, prod=E1"), DOUBLE, &["leave one of them"]);
        check(&plan("E1, E2"), DOUBLE, &["gives every environment twice"]);
        // What this command is about is known, whatever the configuration says.
        check(
            "rollback --environment old --store file:///s --cdn-distribution old=E1",
            None,
            &[],
        );
        // Without a configuration nobody here knows the environments.
        let line = plan("prd=E1");
        assert_eq!(problems(&line, None), []);
        assert_eq!(problems(&plan("a=E1, a=E1"), None).len(), 1);
    }

    #[test]
    fn a_branch_has_one_line() {
        check(
            "plan --branches 'next=beta, next=rc'",
            Some("settings::branches"),
            &["names next twice", "leave one of them"],
        );
    }

    #[test]
    fn the_board_and_what_is_served_lie_apart() {
        const WITHIN: Option<&str> = Some("board::in_static");
        let check = |board: &str, root: &str, code| {
            let line = format!(
                "promote --environment prod --to 1.0.0 --store file:///s --board {board} --static {root}"
            );
            let said: &[&str] = if code == WITHIN {
                &["--board", "--static", "beside the static root"]
            } else {
                &[]
            };
            self::check(&line, code, said);
        };
        check("s3://pages/board", "s3://pages/static", None);
        check("s3://pages/board", "s3://pages", WITHIN);
        check("s3://pages", "s3://pages/static", WITHIN);
        check("s3://pages/static", "s3://pages/static", WITHIN);
        check("file:///srv/www/board", "file:///srv/www", WITHIN);
        check(
            "file:///srv/www",
            "file:///srv/www/{app}/{environment}",
            WITHIN,
        );
        check(
            "file:///srv/www/demo",
            "file:///srv/www/{environment}",
            WITHIN,
        );
        check("file:///srv/www/site/x", "file:///srv/www/{app}", WITHIN);
        check(
            "file:///srv/www/board",
            "file:///srv/www/{app}/{environment}",
            None,
        );
        check(
            "file:///srv/www/board",
            "file:///srv/www/{environment}",
            None,
        );
        check("store", "file:///srv/www", None);
        check("file:///srv/www/board", "none", None);
    }

    #[test]
    fn a_public_address_can_be_opened_as_it_is_written() {
        let check = |address: &str, is_good: bool| {
            let line = format!("plan --static-url '{address}'");
            let code = (!is_good).then_some("settings::url");
            let said: &[&str] = if is_good { &[] } else { &["--static-url"] };
            self::check(&line, code, said);
        };
        check("https://static.example", true);
        check("http://static.example:8080/{app}/{environment}/", true);
        check("https://{environment}.static.example/", true);
        check("HTTPS://static.example", true);
        for bad in [
            "http:x",
            "https:/x",
            "//x",
            "x",
            "/x",
            "https://",
            "https:///x",
            "https://:80/",
            "http:\\\\x",
            "https://static.example\\x",
            "ftp://static.example",
            "https://user@static.example",
            "https://static.example/?x",
            "https://static.example/#x",
        ] {
            check(bad, false);
        }
    }
}
