use super::*;

/// The files of every tree below, beside `package.json`.
const FILES: &str = "README.md LICENSE index.js lib/a.js lib/b.test.js lib/sub/c.js test/t.js src/x.ts docs/readme.md";

fn tree(files: &str, ignores: &Value) -> PackageTree {
    let mut tree = PackageTree::default();
    for path in FILES
        .split(' ')
        .chain(files.split_ascii_whitespace())
        .chain(["package.json"])
    {
        tree.files.push(TreeFile {
            path: path.to_owned(),
            mode: 0o644,
        });
    }
    for (path, text) in ignores.as_object().unwrap() {
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        let found = tree.ignore_files.entry(folder.to_owned()).or_default();
        let text = text.as_str().map(str::to_owned);
        if name == ".npmignore" {
            found.npmignore = text;
        } else {
            found.gitignore = text;
        }
    }
    tree
}

/// Each line of `table`: package.json, more files than [`FILES`], ignore files, and what npm 12.2.0 packs beside package.json.
fn check(table: &str) {
    check_by(NpmRules::Npm12, table);
}

/// The same of npm 12.2.0 or 11.21.2.
fn check_by(rules: NpmRules, table: &str) {
    for line in table.lines() {
        let mut case: Value = serde_json::from_str(line).unwrap();
        let manifest = case[0].as_object_mut().unwrap();
        manifest.entry("name").or_insert_with(|| Value::from("p"));
        let tree = tree(case[1].as_str().unwrap(), &case[2]);
        let mut found = pack_list(&case[0], &tree, rules).unwrap();
        let manifest = found.iter().position(|path| path == "package.json");
        found.remove(manifest.expect("package.json is always packed"));
        assert_eq!(found.join(" "), case[3].as_str().unwrap(), "{line}");
    }
}

#[test]
fn npm_11_packs_what_its_rules_say() {
    check_by(
        NpmRules::Npm11,
        r#"[{"files":["lib/a.js","!lib/a.js"]},"",{},"LICENSE lib/a.js README.md"]
[{"files":["!lib/a.js","lib"]},"",{},"LICENSE lib/b.test.js lib/sub/c.js README.md"]
[{"files":["lib","!*.test.js"]},"",{},"LICENSE lib/a.js lib/sub/c.js README.md"]
[{"files":["./"]},"",{},"LICENSE lib/a.js lib/b.test.js lib/sub/c.js index.js test/t.js docs/readme.md README.md src/x.ts"]
[{"files":["LIB"]},"",{},"LICENSE README.md"]
[{"files":["lib/*"]},"",{},"LICENSE lib/a.js lib/b.test.js lib/sub/c.js README.md"]
[{"files":["l*"]},"",{},"LICENSE README.md"]
[{"files":["**/sub"]},"",{},"LICENSE README.md"]
[{"files":["lib/./sub"]},"",{},"LICENSE README.md"]
[{"files":["lib/../src"]},"",{},"LICENSE README.md src/x.ts"]
[{"files":["lib/a.js"]},"",{"lib/.npmignore":"a.js"},"LICENSE lib/a.js README.md"]
[{"files":["lib/sub/c.js"]},"",{"lib/sub/.npmignore":"c.js"},"LICENSE README.md"]
[{"files":["lib/a.js/"]},"",{},"LICENSE README.md"]
[{"files":["/lib/a.js"]},"",{},"LICENSE lib/a.js README.md"]
[{"files":["lib"]},"npm-shrinkwrap.json bun.lock",{},"LICENSE lib/a.js lib/b.test.js lib/sub/c.js README.md"]
[{"files":["npm-shrinkwrap.json","bun.lock","yarn.lock"]},"npm-shrinkwrap.json bun.lock yarn.lock",{},"LICENSE npm-shrinkwrap.json bun.lock README.md"]
[{},"npm-shrinkwrap.json bun.lock yarn.lock .npm-extension.cjs patches/x.patch",{},"LICENSE .npm-extension.cjs lib/a.js lib/b.test.js lib/sub/c.js index.js test/t.js npm-shrinkwrap.json bun.lock docs/readme.md README.md patches/x.patch src/x.ts"]
[{"patchedDependencies":{"x":"patches/x.patch"},"files":["patches"]},"patches/x.patch",{},"LICENSE README.md patches/x.patch"]
[{"files":["package-lock.json",".npmrc"]},"package-lock.json .npmrc",{},"LICENSE README.md"]
[{"files":["a.js"]},"",{},"LICENSE README.md"]
[{"files":[]},"",{},"LICENSE README.md"]
[{"files":"lib"},"l i b",{},"b i l LICENSE README.md"]"#,
    );
}

#[test]
fn files_names_what_is_packed() {
    check(
        r#"[{"files":["lib"]},"",{},"LICENSE lib/a.js lib/b.test.js lib/sub/c.js README.md"]
[{"files":["lib/"]},"",{},"LICENSE lib/a.js lib/b.test.js lib/sub/c.js README.md"]
[{"files":["./lib","!lib/b.test.js"]},"",{},"LICENSE lib/a.js lib/sub/c.js README.md"]
[{"files":["lib/*.js"]},"",{},"LICENSE lib/a.js lib/b.test.js README.md"]
[{"files":["**/*.js","!**/*.test.js"]},"",{},"LICENSE lib/a.js lib/sub/c.js index.js test/t.js README.md"]
[{"files":["!*.test.js","lib"]},"",{},"LICENSE lib/a.js lib/b.test.js lib/sub/c.js README.md"]
[{"files":[]},"",{},"LICENSE README.md"]
[{"files":["LIB"]},"",{},"LICENSE README.md"]
[{"files":["l*"]},"",{},"LICENSE lib/a.js lib/b.test.js lib/sub/c.js README.md"]
[{"files":["lib/**"]},"",{},"LICENSE lib/a.js lib/b.test.js lib/sub/c.js README.md"]
[{"files":["lib/{a,sub/c}.js"]},"",{},"LICENSE lib/a.js lib/sub/c.js README.md"]
[{"files":["lib/a.js","!lib/a.js"]},"",{},"LICENSE README.md"]
[{"files":["."]},"",{},"LICENSE README.md"]
[{"files":["./"]},"",{},"LICENSE README.md"]
[{"files":["lib"]},"",{"lib/.npmignore":"*.test.js\n"},"LICENSE lib/a.js lib/sub/c.js README.md"]
[{"files":["lib"]},"",{".npmignore":"lib\n"},"LICENSE lib/a.js lib/b.test.js lib/sub/c.js README.md"]
[{"files":["pages/[id].js"]},"pages/[id].js pages/d.js pages/i.js",{},"LICENSE pages/d.js pages/i.js README.md"]
[{"files":["pages"]},"pages/[...slug]/x.js pages/[id].js pages/i.js",{},"LICENSE pages/[id].js pages/i.js pages/[...slug]/x.js README.md"]
[{"files":["dist-*"]},"dist-a/x.js dist-b/y.js dist/z",{},"LICENSE dist-a/x.js dist-b/y.js README.md"]
[{"files":["**/sub"]},"",{},"LICENSE lib/sub/c.js README.md"]
[{"files":[" lib ","lib/./sub","lib/../test"]},"",{},"LICENSE lib/sub/c.js test/t.js README.md"]
[{"files":["lib","!lib/sub"]},"",{},"LICENSE lib/a.js lib/b.test.js README.md"]
[{"files":["lib","!lib/sub/**"]},"",{},"LICENSE lib/a.js lib/b.test.js README.md"]
[{"files":["lib/*"]},"",{},"LICENSE lib/a.js lib/b.test.js lib/sub/c.js README.md"]
[{"files":["lib/sub/*","!**/*.map"]},"lib/sub/c.js.map",{},"LICENSE lib/sub/c.js README.md"]
[{"files":["/lib","//test"]},"",{},"LICENSE lib/a.js lib/b.test.js lib/sub/c.js README.md"]
[{"files":["{lib,test}","src/*.{ts,js}"]},"",{},"LICENSE lib/a.js lib/b.test.js lib/sub/c.js test/t.js README.md src/x.ts"]
[{"files":[".hidden",".h*/x"]},".h2/x .hidden/a",{},".hidden/a LICENSE .h2/x README.md"]
[{"files":["lib/a.js"]},"",{"lib/.npmignore":"a.js"},"LICENSE README.md"]
[{"files":["lib/!(b*).js","lib/?(sub)"]},"",{},"LICENSE lib/a.js lib/sub/c.js README.md"]
[{"files":["!lib/a.js"]},"",{},"LICENSE README.md"]
[{"files":["LICENSE","!README.md","!package.json"]},"",{},"LICENSE README.md"]"#,
    );
}

#[test]
fn some_files_are_always_packed_and_some_never() {
    check(
        r#"[{"files":["lib"],"main":"src/x.ts"},"",{},"LICENSE lib/a.js lib/b.test.js lib/sub/c.js README.md src/x.ts"]
[{"files":["lib"],"main":"./src/x.ts"},"",{},"LICENSE lib/a.js lib/b.test.js lib/sub/c.js README.md"]
[{"files":["lib"],"browser":"test/t.js","bin":{"a":"./src/x.ts"}},"",{},"LICENSE lib/a.js lib/b.test.js lib/sub/c.js test/t.js README.md src/x.ts"]
[{"files":["lib"],"browser":{"x":"y"}},"o q t",{},"LICENSE o t lib/a.js lib/b.test.js lib/sub/c.js README.md"]
[{"files":["lib"],"bin":"test/t.js"},"",{},"LICENSE lib/a.js lib/b.test.js lib/sub/c.js test/t.js README.md"]
[{"files":["lib"],"directories":{"bin":"test"}},"test/.h test/s/u.js",{},"LICENSE lib/a.js lib/b.test.js lib/sub/c.js test/t.js test/s/u.js README.md"]
[{},".npmrc bun.lock bun.lockb lib/.npmrc lib/package-lock.json lib/yarn.lock npm-shrinkwrap.json package-lock.json pnpm-lock.yaml yarn.lock",{},"LICENSE lib/a.js lib/b.test.js lib/sub/c.js index.js test/t.js lib/package-lock.json lib/yarn.lock docs/readme.md README.md src/x.ts"]
[{"files":["package-lock.json",".npmrc","node_modules","lib/.npmrc",".git"]},".npmrc lib/.npmrc package-lock.json",{},"LICENSE README.md"]
[{},"lib/node_modules/y/i.js",{},"LICENSE lib/a.js lib/b.test.js lib/sub/c.js lib/node_modules/y/i.js index.js test/t.js docs/readme.md README.md src/x.ts"]
[{},".DS_Store ._x .hg/x .lock-wscript .svn/e .x.swp CVS/x a.orig archived-packages/x build/config.gypi cvs/y lib/.DS_Store lib/.lock-wscript lib/b.orig lib/npm-debug.log npm-debug.log",{},"LICENSE lib/a.js lib/b.test.js lib/sub/c.js index.js test/t.js docs/readme.md README.md src/x.ts"]
[{},"COPYING LICENCE.txt README ReadMe-es.md licence.md$ readme.txt~ readme.x",{".npmignore":"*"},"COPYING LICENSE README README.md LICENCE.txt readme.x"]
[{"files":["lib"],"main":"lib"},"",{"lib/.npmignore":"*"},"LICENSE README.md"]
[{"files":["lib"],"main":"index"},"",{},"LICENSE lib/a.js lib/b.test.js lib/sub/c.js README.md"]
[{"name":"@s/p","bin":"lib/a.js","files":["docs"]},"",{},"LICENSE lib/a.js docs/readme.md README.md"]
[{"patchedDependencies":{"a@1":"patches/a.patch"}},"patches/a.patch patches/b.patch",{},"LICENSE lib/a.js lib/b.test.js lib/sub/c.js index.js test/t.js docs/readme.md README.md patches/b.patch src/x.ts"]
[{"files":["lib"],"bin":["test/t.js"]},"",{},"LICENSE lib/a.js lib/b.test.js lib/sub/c.js test/t.js README.md"]
[{"files":["lib"],"bin":{"a":"../../src/x.ts","b":5}},"",{},"LICENSE lib/a.js lib/b.test.js lib/sub/c.js README.md src/x.ts"]"#,
    );
}

#[test]
fn ignore_files_are_npms_not_gits() {
    check(
        r##"[{},"",{},"LICENSE lib/a.js lib/b.test.js lib/sub/c.js index.js test/t.js docs/readme.md README.md src/x.ts"]
[{},"",{".npmignore":"test\nsrc/\n*.test.js\n"},"LICENSE lib/a.js lib/sub/c.js index.js docs/readme.md README.md"]
[{},"",{".gitignore":"lib",".npmignore":""},"LICENSE lib/a.js lib/b.test.js lib/sub/c.js index.js test/t.js docs/readme.md README.md src/x.ts"]
[{},"",{".gitignore":"lib\n!lib/a.js\n"},"LICENSE lib/a.js lib/b.test.js lib/sub/c.js index.js test/t.js docs/readme.md README.md src/x.ts"]
[{},"",{".gitignore":"lib/*\n!lib/sub\n"},"LICENSE lib/sub/c.js index.js test/t.js docs/readme.md README.md src/x.ts"]
[{},"",{".gitignore":"*.js\n!index.js\n"},"LICENSE index.js docs/readme.md README.md src/x.ts"]
[{},"",{".gitignore":"/*.js\n"},"LICENSE lib/a.js lib/b.test.js lib/sub/c.js test/t.js docs/readme.md README.md src/x.ts"]
[{},"",{".gitignore":"**/sub\n"},"LICENSE lib/a.js lib/b.test.js index.js test/t.js docs/readme.md README.md src/x.ts"]
[{},"",{".gitignore":"lib/sub/\n"},"LICENSE lib/a.js lib/b.test.js index.js test/t.js docs/readme.md README.md src/x.ts"]
[{},"",{"lib/.gitignore":"sub","lib/.npmignore":"a.js\n"},"LICENSE lib/b.test.js lib/sub/c.js index.js test/t.js docs/readme.md README.md src/x.ts"]
[{},"",{"lib/.gitignore":"sub\n!sub/c.js"},"LICENSE lib/a.js lib/b.test.js lib/sub/c.js index.js test/t.js docs/readme.md README.md src/x.ts"]
[{},"",{".npmignore":"# c\n  index.js  \n\r\n!README.md\n!!lib\n"},"LICENSE test/t.js docs/readme.md README.md src/x.ts"]
[{},"",{".npmignore":"\ufefftest\n"},"LICENSE lib/a.js lib/b.test.js lib/sub/c.js index.js docs/readme.md README.md src/x.ts"]
[{},"",{".npmignore":"[a-c].js\n"},"LICENSE lib/b.test.js index.js test/t.js docs/readme.md README.md src/x.ts"]
[{},"",{".npmignore":"lib/!(a).js\n"},"LICENSE lib/a.js lib/sub/c.js index.js test/t.js docs/readme.md README.md src/x.ts"]
[{},"",{".npmignore":"lib/@(a|b.test).js\n"},"LICENSE lib/sub/c.js index.js test/t.js docs/readme.md README.md src/x.ts"]
[{},"",{".npmignore":"*.+(ts|js)\n"},"LICENSE docs/readme.md README.md"]
[{},"",{".npmignore":"TEST\nLib/A.JS\n"},"LICENSE lib/b.test.js lib/sub/c.js index.js docs/readme.md README.md src/x.ts"]
[{},"",{".npmignore":"/lib/**/c.js\n"},"LICENSE lib/a.js lib/b.test.js index.js test/t.js docs/readme.md README.md src/x.ts"]
[{},"",{".npmignore":"lib/**\n!lib/sub/c.js\n"},"LICENSE lib/sub/c.js index.js test/t.js docs/readme.md README.md src/x.ts"]
[{},"",{".npmignore":"lib/**/*\n!lib/**/c.js\n"},"LICENSE lib/sub/c.js index.js test/t.js docs/readme.md README.md src/x.ts"]
[{},"",{".npmignore":"**\n!lib/\n!index.js"},"LICENSE index.js README.md"]
[{},"file1.txt file3.txt file4.txt {x}",{".npmignore":"lib/a.{js,ts}\nfile{1..3}.txt\n{x}\n"},"LICENSE lib/b.test.js lib/sub/c.js index.js test/t.js docs/readme.md README.md src/x.ts file4.txt"]
[{},"1a ab.js abc.js",{".npmignore":"???.js\n[[:digit:]]*\n"},"LICENSE lib/a.js ab.js lib/b.test.js lib/sub/c.js index.js test/t.js docs/readme.md README.md src/x.ts"]
[{},"a/b a/c lib/a/b",{".npmignore":"a/b\n"},"lib/a/b a/c LICENSE lib/a.js lib/b.test.js lib/sub/c.js index.js test/t.js docs/readme.md README.md src/x.ts"]
[{},"a/b/c b x/b",{".npmignore":"b/\n"},"b x/b LICENSE lib/a.js lib/b.test.js lib/sub/c.js index.js test/t.js docs/readme.md README.md src/x.ts"]
[{},"!x #y",{".npmignore":"\\!x\n\\#y\n"},"LICENSE lib/a.js lib/b.test.js lib/sub/c.js index.js test/t.js docs/readme.md README.md src/x.ts"]
[{},"deep/a/b/c/d.js",{"deep/.npmignore":"b","deep/a/.npmignore":"!b"},"LICENSE lib/a.js lib/b.test.js lib/sub/c.js deep/a/b/c/d.js index.js test/t.js docs/readme.md README.md src/x.ts"]
[{},"deep/a/b/c/d.js",{"deep/.npmignore":"c/\n!c/d.js","deep/a/b/.gitignore":"*"},"LICENSE lib/a.js lib/b.test.js lib/sub/c.js index.js test/t.js docs/readme.md README.md src/x.ts"]
[{},"a/b/c b/c",{".npmignore":"**/b/**\n"},"LICENSE lib/a.js lib/b.test.js lib/sub/c.js index.js test/t.js docs/readme.md README.md src/x.ts"]"##,
    );
}

#[test]
fn a_member_obeys_the_folders_above_it_and_a_root_leaves_its_members_out() {
    let mut tree = tree("packages/a/x.js", &serde_json::json!({}));
    tree.outer_ignores = vec!["*.ts\n".to_owned(), "docs".to_owned()];
    tree.members = vec!["packages/a".to_owned()];
    assert_eq!(
        pack_list(&serde_json::json!({ "files": [] }), &tree, NpmRules::Npm12).unwrap(),
        ["LICENSE", "package.json", "README.md"]
    );
    let found = pack_list(&serde_json::json!({}), &tree, NpmRules::Npm12).unwrap();
    let expected =
        "LICENSE lib/a.js lib/b.test.js lib/sub/c.js index.js test/t.js package.json README.md";
    assert_eq!(found.join(" "), expected);
}

#[test]
fn what_cannot_be_packed_is_said() {
    let check = |manifest: Value, code: &str| {
        let failure = pack_list(
            &manifest,
            &tree("", &serde_json::json!({})),
            NpmRules::Npm12,
        )
        .unwrap_err();
        assert_eq!((failure.code(), failure.exit()), (code, Exit::Refused));
    };
    check(
        serde_json::json!({ "files": { "lib": true } }),
        "pack_list::files",
    );
    check(
        serde_json::json!({ "files": ["lib", 1] }),
        "pack_list::files",
    );
}

#[test]
fn patterns_are_bounded() {
    let check = |pattern: String| {
        let tree = tree("", &serde_json::json!({ ".npmignore": pattern }));
        let failure = pack_list(&serde_json::json!({}), &tree, NpmRules::Npm12).unwrap_err();
        assert_eq!(failure.code(), "pack_list::pattern");
    };
    check("a".repeat(70_000));
    check("{a,b}".repeat(20));
    check("{1..100000}".to_owned());
    // What stands behind one is copied into it, each time twice as much.
    check("!(a)".repeat(40));
    // npm takes other groups that are nested so deep for plain characters.
    check("*(".repeat(100) + "a" + &")".repeat(100));
    check("{a,".repeat(100) + "b" + &"}".repeat(100));
}

#[test]
fn a_hostile_pattern_ends() {
    let name = "a".repeat(250);
    let check = |pattern: &str| {
        let pattern = Pattern::parse(pattern, Case::Ignored).unwrap();
        let budget = Budget::default();
        pattern.matches(&minimatch::split(&name), false, &budget)
    };
    assert!(!check(&("*a".repeat(100) + "b")));
    assert!(!check(&("+(a|aa)".repeat(8) + "b")));
    let spent = Budget::of(10_000);
    let pattern = Pattern::parse(&format!("a{}c", "!(a)".repeat(6)), Case::Ignored).unwrap();
    assert!(!pattern.matches(&minimatch::split(&name), false, &spent));
    assert!(spent.is_spent());
}

#[test]
fn the_order_is_that_of_npm() {
    let mut found = vec![
        "b10.js", "B.js", "b.js", "b2.js", "a.js", "_a.js", "-a.js", "@a.js", "$d", "z", "Z",
        "a/z", "x.ts", "x.d.ts", ".env", ".a.js",
    ];
    sort_as_npm(&mut found, |path| path);
    assert_eq!(
        found.join(" "),
        ".env $d a/z z Z _a.js -a.js .a.js @a.js a.js b.js B.js b10.js b2.js x.d.ts x.ts"
    );
}
