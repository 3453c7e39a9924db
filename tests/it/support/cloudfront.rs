//! A distribution of the shared S3 server, which is a `CloudFront`, too; asked by boto3.

use std::process::{Command, Stdio};

use serde::Deserialize;

use super::moto::Moto;
use super::servers::{installed, repository};
use super::{s3, sandbox};

/// An invalidation as boto3 sees it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Invalidation {
    /// Its caller reference.
    pub reference: String,
    /// Its paths.
    pub paths: Vec<String>,
}

/// A distribution.
#[derive(Debug)]
pub struct Distribution {
    /// Its id.
    pub id: String,
}

impl Distribution {
    /// Makes one.
    pub fn make() -> Distribution {
        let id = ask(&["make"]).trim().to_owned();
        assert!(!id.is_empty());
        Distribution { id }
    }

    /// What it was told to forget, the newest last.
    pub fn invalidations(&self) -> Vec<Invalidation> {
        serde_json::from_str(&ask(&["dump", &self.id])).expect("cloudfront.py prints JSON")
    }

    /// The paths of the newest invalidation.
    pub fn last(&self) -> Vec<String> {
        let newest = self.invalidations().pop();
        newest.expect("an invalidation").paths
    }
}

fn ask(arguments: &[&str]) -> String {
    let endpoint = &Moto::shared().endpoint;
    let output = Command::new(installed().join("moto/bin/python"))
        .arg(repository().join("tests/servers/cloudfront.py"))
        .arg(endpoint)
        .args(arguments)
        .env_clear()
        .env("PATH", sandbox::search_path())
        .envs(s3::environment(endpoint))
        .stdin(Stdio::null())
        .output()
        .expect("python runs");
    assert!(
        output.status.success(),
        "cloudfront.py: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}
