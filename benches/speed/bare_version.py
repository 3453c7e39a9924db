"""The version step of somebody who knows what to release: `bare_version.py RELEASED`, in the repository's root.

RELEASED is a JSON list of packages, each with name, dir, from, to and tag. Their manifests, the lockfile and their changelogs are rewritten
as text, commit and tags are made by one `git fast-import`, and the index is brought up to date. Nothing is decided and nothing is checked.
"""

import json
import re
import subprocess
import sys

WHO = b"committer Bench <bench@example.test> 1700000000 +0000\n"


def main():
    with open(sys.argv[1]) as file:
        released = json.load(file)
    versions = {package["name"]: package["to"] for package in released}
    names = re.compile(r'"(@bench/[^"]+)": "([^"]+)"')

    def spec(found):
        version = versions.get(found[1])
        return f'"{found[1]}": "{version}"' if version else found[0]

    def section(found):
        version = versions.get(found[2])
        return f'{found[1]}"{version}"' if version else found[0]

    files = {}
    for package in released:
        path = package["dir"] + "/package.json"
        with open(path) as file:
            text = file.read()
        old, new = (f'"version": "{package[side]}"' for side in ("from", "to"))
        files[path] = names.sub(spec, text.replace(old, new, 1))
        path = package["dir"] + "/CHANGELOG.md"
        try:
            with open(path) as file:
                text = file.read()
        except FileNotFoundError:
            text = "# Changelog\n"
        heading, rest = text.split("\n", 1)
        files[path] = f"{heading}\n\n## {package['to']}\n\n### Fixes\n\n- change {package['name']}\n{rest}"
    with open("package-lock.json") as file:
        lockfile = names.sub(spec, file.read())
    files["package-lock.json"] = re.sub(r'("name": "(@bench/[^"]+)",\n\s*"version": )"[^"]+"', section, lockfile)
    for path, text in files.items():
        with open(path, "w") as file:
            file.write(text)

    message = "chore: release\n\n" + "".join(f"- {package['tag']}\n" for package in released)
    stream = [b"commit refs/heads/main\n", WHO, data(message), b"from refs/heads/main^0\n"]
    for path, text in files.items():
        stream += [f"M 100644 inline {path}\n".encode(), data(text)]
    for package in released:
        tag = package["tag"]
        stream += [f"tag {tag}\nfrom refs/heads/main\n".encode(), WHO.replace(b"committer", b"tagger"), data(tag + "\n")]
    stream.append(b"done\n")
    git(["fast-import", "--quiet", "--done"], b"".join(stream))
    git(["update-index", "--add", "-z", "--stdin"], "\0".join(files).encode())
    print(len(released))


def data(text):
    content = text.encode()
    return b"data %d\n%s\n" % (len(content), content)


def git(arguments, stream):
    subprocess.run(["git", *arguments], input=stream, check=True)


main()
