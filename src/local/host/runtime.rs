//! Whether the Node on this host can run what was built.

use std::path::Path;
use std::time::Duration;

use crate::explain::{Exit, Failure, quoted};
use crate::local::process::{Children, Output, Project, ShellCommand, Variables};
use crate::release::app::Runtime;

/// Checks that the Node on this host can run what `runtime` describes. Only what it asks for is looked at; without native
/// modules it asks for nothing and no Node is started.
///
/// # Errors
/// `host::runtime`, exit 3, with every difference; the running service was not touched.
pub fn check_runtime(
    runtime: &Runtime,
    directory: &Path,
    variables: &Variables,
    children: &Children,
) -> Result<(), Failure> {
    let asks_libc = runtime.libc.is_some() || runtime.min_glibc.is_some();
    if !asks_libc && runtime.modules_abi.is_none() && runtime.os.is_none() && runtime.arch.is_none()
    {
        return Ok(());
    }
    let glibc = if asks_libc {
        "(process.report.excludeNetwork=true,process.report.getReport().header.glibcVersionRuntime)||''"
    } else {
        "''"
    };
    let line = format!(
        "node -p \"JSON.stringify({{abi:process.versions.modules,os:process.platform,arch:process.arch,glibc:{glibc}}})\""
    );
    let refused = |why: String| {
        Failure::new(
            Exit::Refused,
            "host::runtime",
            "this host cannot run the release: its native modules were built for another one",
        )
        .because(why)
        .hint("install the Node that the release was built with, or build for this kind of host; the running service was not touched")
    };
    let command = ShellCommand::new(&line, directory).within(Duration::from_secs(30));
    let finished = Project::with_exactly(variables.clone(), children.clone())
        .run(&command, Output::Capture)
        .map_err(|failure| {
            refused(format!(
                "node does not answer: {}",
                failure.causes().join("; ")
            ))
        })?;
    let here: NodeFacts = serde_json::from_str(finished.stdout.trim())
        .map_err(|error| refused(format!("node does not answer: {error}")))?;
    let differences = here.differences(runtime);
    if differences.is_empty() {
        Ok(())
    } else {
        Err(refused(differences.join("; ")))
    }
}

#[derive(Debug, serde::Deserialize)]
struct NodeFacts {
    abi: String,
    os: String,
    arch: String,
    glibc: String,
}

impl NodeFacts {
    fn differences(&self, runtime: &Runtime) -> Vec<String> {
        let libc = if self.glibc.is_empty() {
            "musl"
        } else {
            "glibc"
        };
        let exact = [
            ("Node ABI", &runtime.modules_abi, self.abi.as_str()),
            ("operating system", &runtime.os, self.os.as_str()),
            ("architecture", &runtime.arch, self.arch.as_str()),
            ("C library", &runtime.libc, libc),
        ];
        let mut found: Vec<String> = exact
            .into_iter()
            .filter_map(|(what, wanted, here)| {
                let wanted = wanted.as_deref().filter(|wanted| *wanted != here)?;
                Some(format!(
                    "{what}: it needs {}, here is {}",
                    quoted(wanted),
                    quoted(here)
                ))
            })
            .collect();
        if let Some(wanted) = &runtime.min_glibc
            && libc == "glibc"
            && numbers(&self.glibc) < numbers(wanted)
        {
            found.push(format!(
                "glibc: it needs {} or newer, here is {}",
                quoted(wanted),
                quoted(&self.glibc)
            ));
        }
        found
    }
}

fn numbers(version: &str) -> Vec<u32> {
    version
        .split('.')
        .map(|part| part.parse().unwrap_or(0))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::local::host::tests::host;

    #[test]
    fn a_runtime_is_compared_only_where_it_asks() {
        let here = NodeFacts {
            abi: "115".to_owned(),
            os: "linux".to_owned(),
            arch: "x64".to_owned(),
            glibc: "2.36".to_owned(),
        };
        let check = |change: fn(&mut Runtime), expected: usize| {
            let mut runtime = Runtime::default();
            change(&mut runtime);
            let found = here.differences(&runtime);
            assert_eq!(found.len(), expected, "{runtime:?} {found:?}");
        };
        check(|_| {}, 0);
        check(|runtime| runtime.modules_abi = Some("115".to_owned()), 0);
        check(|runtime| runtime.modules_abi = Some("127".to_owned()), 1);
        check(|runtime| runtime.arch = Some("arm64".to_owned()), 1);
        check(|runtime| runtime.libc = Some("musl".to_owned()), 1);
        check(|runtime| runtime.min_glibc = Some("2.9".to_owned()), 0);
        check(|runtime| runtime.min_glibc = Some("2.38".to_owned()), 1);
    }

    #[test]
    fn the_node_here_is_asked() {
        let (_root, host) = host();
        let variables: Variables = [("PATH".to_owned(), env!("PATH").to_owned())].into();
        let check = |runtime: &Runtime, variables: &Variables| {
            check_runtime(runtime, host.directory(), variables, &Children::default())
        };
        let mut runtime = Runtime {
            os: Some("linux".to_owned()),
            min_glibc: Some("2.1".to_owned()),
            ..Runtime::default()
        };
        assert_eq!(check(&runtime, &variables), Ok(()));
        runtime.modules_abi = Some("1".to_owned());
        assert_eq!(
            check(&runtime, &variables).expect_err("another ABI").code(),
            "host::runtime"
        );
        let nowhere = [("PATH".to_owned(), "/no/such".to_owned())].into();
        assert_eq!(
            check(&runtime, &nowhere).expect_err("no node").code(),
            "host::runtime"
        );
        assert_eq!(check(&Runtime::default(), &nowhere), Ok(()));
    }
}
