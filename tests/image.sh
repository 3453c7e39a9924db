#!/usr/bin/env bash
# Builds the image and tries it as a workflow runner does: another owner of the workspace, inputs with hyphens, a cancelled job.
# Needs docker or podman, and root where the workspace shall belong to somebody else.
#   PKGS_IMAGE=name          tries this image and builds none
#   PKGS_ENGINE=podman       the engine; docker unless told
#   PKGS_BUILD_FLAGS, PKGS_RUN_FLAGS   further flags for `build` and `run`, split at blanks
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

engine=${PKGS_ENGINE:-docker}
image=${PKGS_IMAGE:-pkgs-action:test}
read -r -a build_flags <<<"${PKGS_BUILD_FLAGS:-}"
read -r -a run_flags <<<"${PKGS_RUN_FLAGS:-}"

work=$(mktemp -d)
container=
clean() {
    if [[ -n $container ]]; then "$engine" rm --force "$container" >/dev/null 2>&1 || :; fi
    rm -rf "$work"
}
trap clean EXIT

fail() {
    printf 'tests/image.sh: %s\n' "$1" >&2
    if [[ -f $work/log ]]; then cat "$work/log" >&2; fi
    exit 1
}

# Runs the image on the sample; arguments are variables for it.
in_image() {
    local variables=() variable
    for variable in "$@"; do variables+=(--env "$variable"); done
    "$engine" run --rm "${run_flags[@]}" --volume "$work:/work" --workdir /work/mono \
        --env PKGS_REGISTRY=file:///work/npm --env PKGS_STORE=file:///work/store --env "PKGS_STATIC=file:///work/static/{environment}" \
        --env GITHUB_OUTPUT=/work/output "${variables[@]}" "$image"
}

if [[ -z ${PKGS_IMAGE:-} ]]; then
    echo "== Building"
    "$engine" build "${build_flags[@]}" --tag "$image" .
fi

mkdir -p "$work"/{npm,store,static/sit,static/prod}
: >"$work/output"
# The owner changes below, and git's helpers hear of trust only from a file.
export GIT_CONFIG_GLOBAL=$work/gitconfig
git config --global safe.directory '*'
git init --quiet --bare --initial-branch=main "$work/origin.git"
cp -r tests/sample "$work/mono"
git=(git -C "$work/mono" -c user.name=Test -c user.email=test@acme.example)
"${git[@]}" init --quiet --initial-branch=main
"${git[@]}" add --all
"${git[@]}" commit --quiet --message 'feat: begin'
"${git[@]}" remote add origin ../origin.git
"${git[@]}" push --quiet --set-upstream origin main
git=(git -C "$work/mono")
owner=$(id -u)
if ((owner == 0)); then
    owner=1001
    chown -R "$owner:$owner" "$work"
fi

echo "== Help and version"
"$engine" run --rm "${run_flags[@]}" "$image" --version | grep -q '^pkgs-action ' || fail "--version says nothing"

echo "== A plan, told by an input"
in_image INPUT_COMMAND=plan >"$work/log" 2>&1 || fail "plan failed in a workspace of another owner"
grep -q '@acme/text' "$work/log" || fail "plan does not name the packages"

echo "== A dry run, told by an input with a hyphen"
in_image INPUT_COMMAND=release INPUT_DRY-RUN=true INPUT_STORE= >"$work/log" 2>&1 || fail "the dry run failed"
grep -qx 'outcome=planned' "$work/output" || fail "the output is not outcome=planned"
if [[ -n $("${git[@]}" ls-remote --tags origin) ]]; then fail "the dry run wrote tags"; fi

echo "== A release"
in_image INPUT_COMMAND=release >"$work/log" 2>&1 || fail "the release failed"
grep -qx 'outcome=released' "$work/output" || fail "the output is not outcome=released"
"${git[@]}" ls-remote --tags origin | grep -q 'refs/tags/web@2.0.0$' || fail "the tag is not on the remote"
foreign=$(find "$work/mono" ! -uid "$owner" -print -quit)
if [[ -n $foreign ]]; then fail "$foreign does not belong to the owner of the workspace"; fi

echo "== A cancelled job"
printf 'exports.more = 1;\n' >>"$work/mono/packages/core/src/index.js"
"${git[@]}" -c user.name=Test -c user.email=test@acme.example commit --quiet --all --message 'fix(core): more'
"${git[@]}" push --quiet
container=$("$engine" run --detach "${run_flags[@]}" --volume "$work:/work" --workdir /work/mono \
    --env PKGS_REGISTRY=file:///work/npm --env PKGS_STORE=file:///work/store --env "PKGS_STATIC=file:///work/static/{environment}" \
    "$image" release --build 'touch /work/building; sleep 600')
for ((tenths = 0; tenths < 600; tenths++)); do
    if [[ -e $work/building ]]; then break; fi
    sleep 0.1
done
[[ -e $work/building ]] || fail "the build never began"
begun=$SECONDS
"$engine" stop --time 10 "$container" >/dev/null
took=$((SECONDS - begun))
code=$("$engine" wait "$container")
"$engine" logs "$container" >"$work/log" 2>&1
((code == 143)) || fail "it ended with $code, not 143"
((took <= 7)) || fail "it took $took seconds to end"
if [[ -n $("${git[@]}" status --porcelain) ]]; then fail "the work tree is not as it was"; fi

echo "== All good"
