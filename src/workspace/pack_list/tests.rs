use super::*;
#[test]
fn oracle() {
    let all: Vec<Value> =
        serde_json::from_slice(&std::fs::read("/tmp/pl/expected.json").unwrap()).unwrap();
    let mut bad = 0;
    for (number, one) in all.iter().enumerate() {
        let dir = std::path::PathBuf::from(format!("/tmp/pl/trees/{number}"));
        let tree =
            crate::local::files::read_package(&dir, crate::local::files::Surroundings::default())
                .unwrap();
        let found = pack_list(&one["manifest"], &tree);
        let found = match found {
            Ok(list) => serde_json::json!(list),
            Err(failure) => serde_json::json!({"error": failure.to_string()}),
        };
        if found != one["list"] {
            bad += 1;
            println!(
                "{number} {}\n  ignores {:?}\n  npm  {}\n  ours {}",
                one["manifest"], tree.ignore_files, one["list"], found
            );
        }
    }
    assert_eq!(bad, 0);
}
