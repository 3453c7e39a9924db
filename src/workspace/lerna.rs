//! `lerna.json`: where packages are, and the version that all of them share.

use crate::explain::{Exit, Failure};
use crate::name::RepoPath;
use crate::version::Version;
use crate::workspace::json::{Document, Kind};

/// The longest `lerna.json`, in bytes.
const LONGEST: usize = 2 << 20;

/// The file as it stands at a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LernaFile {
    /// Its path in the repository.
    pub path: RepoPath,
    /// Its text.
    pub text: String,
}

/// `packages` of a `lerna.json`; `None` where it is absent. `file` is what messages call it.
///
/// # Errors
/// Those of [`Document::parse`]; `workspace::field` where it is no list of strings.
///
/// ```
/// use pkgs_action::workspace::lerna::packages;
/// assert_eq!(packages("lerna.json", r#"{"packages": ["modules/*"]}"#).unwrap().unwrap(), ["modules/*"]);
/// assert_eq!(packages("lerna.json", "{}").unwrap(), None);
/// ```
pub fn packages(file: &str, text: &str) -> Result<Option<Vec<String>>, Failure> {
    let document = Document::parse(file, text, LONGEST)?;
    let Some(list) = document.root().get("packages") else {
        return Ok(None);
    };
    let patterns: Option<Vec<String>> = (list.kind() == Kind::Array)
        .then(|| list.items().map(|item| item.as_str().map(str::to_owned)))
        .and_then(Iterator::collect);
    patterns.map(Some).ok_or_else(|| {
        Failure::new(
            Exit::Refused,
            "workspace::field",
            format!("packages in {file} is not an array of strings"),
        )
        .place(list.place())
        .hint("write for example [\"packages/*\"]")
    })
}

/// The text with another `version`, as lerna writes it where all packages share one; every other byte stays. `None` where the file names no
/// version, or each package has its own.
///
/// # Errors
/// Those of [`Document::parse`].
///
/// ```
/// use pkgs_action::workspace::lerna::with_version;
/// let new = pkgs_action::version::Version::parse("1.1.0").unwrap();
/// assert_eq!(with_version("lerna.json", "{ \"version\":  \"1.0.0\" }", &new).unwrap().unwrap(), "{ \"version\":  \"1.1.0\" }");
/// assert_eq!(with_version("lerna.json", "{\"version\": \"independent\"}", &new).unwrap(), None);
/// ```
pub fn with_version(file: &str, text: &str, version: &Version) -> Result<Option<String>, Failure> {
    let document = Document::parse(file, text, LONGEST)?;
    let held = document.root().get("version");
    let Some(held) = held.filter(|held| held.as_str().is_some_and(|held| held != "independent"))
    else {
        return Ok(None);
    };
    let mut edits = document.edits();
    edits.set(held, &version.to_string());
    Ok(Some(edits.apply()))
}
