//! Which dependencies a package is packed with.

use serde_json::Value;

/// The names of the dependencies that npm packs with a package, as far as they are installed.
///
/// Of the package that is packed (`is_root`) those that `bundleDependencies` names and that are neither its peers nor its
/// devDependencies; of one that is bundled already all that it needs to run.
///
/// ```
/// use pkgs_action::workspace::pack_list::bundled_names;
/// let manifest = serde_json::json!({
///     "dependencies": { "a": "1", "b": "1" }, "devDependencies": { "c": "1" }, "bundleDependencies": ["a", "c"],
/// });
/// assert_eq!(bundled_names(&manifest, true), ["a"]);
/// assert_eq!(bundled_names(&manifest, false), ["a", "b"]);
/// ```
pub fn bundled_names(manifest: &Value, is_root: bool) -> Vec<String> {
    let keys = |field: &str| -> Vec<String> {
        let named = manifest.get(field).and_then(Value::as_object);
        named
            .into_iter()
            .flatten()
            .map(|(name, _)| name.clone())
            .collect()
    };
    let mut needed = keys("dependencies");
    for name in keys("optionalDependencies") {
        if !needed.contains(&name) {
            needed.push(name);
        }
    }
    if !is_root {
        return needed;
    }
    let bundled = manifest
        .get("bundleDependencies")
        .or_else(|| manifest.get("bundledDependencies"));
    let named: Vec<String> = match bundled {
        Some(Value::Bool(true)) => keys("dependencies"),
        Some(Value::Array(names)) => {
            let names = names.iter().filter_map(Value::as_str);
            names.map(str::to_owned).collect()
        }
        Some(Value::Object(named)) => named.keys().cloned().collect(),
        _ => Vec::new(),
    };
    let development = keys("devDependencies");
    let is_packed = |name: &String| needed.contains(name) && !development.contains(name);
    named.into_iter().filter(is_packed).collect()
}
