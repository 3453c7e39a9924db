# The action's image: the binary beside Node, npm and git. The base is glibc, so that native modules built here run on ordinary hosts.

FROM rust:1-bookworm AS build
# A trial build may ask for less: --build-arg CARGO_PROFILE_RELEASE_OPT_LEVEL=0 --build-arg CARGO_PROFILE_RELEASE_LTO=off
ARG CARGO_PROFILE_RELEASE_OPT_LEVEL=3
ARG CARGO_PROFILE_RELEASE_LTO=thin
WORKDIR /build
COPY Cargo.toml Cargo.lock ./
COPY src src
COPY tests tests
RUN --mount=type=cache,target=/usr/local/cargo/registry,sharing=locked \
    --mount=type=cache,target=/build/target,sharing=locked \
    cargo build --release --locked --bin pkgs-action \
    && cp target/release/pkgs-action /usr/local/bin/pkgs-action

FROM node:24-bookworm-slim
# No version pins: Debian keeps only the newest of a stable release, which is the one with the security fixes.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates git \
    && rm -rf /var/lib/apt/lists/* \
    # The workspace belongs to the runner's user, or to whoever mounts it; git and libgit2 would refuse it to root.
    && git config --system --add safe.directory '*'
COPY --from=build /usr/local/bin/pkgs-action /usr/local/bin/pkgs-action
# A binary that does not start here, or an image that lacks what it calls, is never published.
RUN pkgs-action --version && node --version && npm --version && git --version

LABEL org.opencontainers.image.title="pkgs-action" \
      org.opencontainers.image.description="Release Node packages and services: detect, version, publish, pack, point, roll back" \
      org.opencontainers.image.licenses="MIT"

# Root, because the runner's files and the workspace belong to a user whose number only the runner knows. Exec form and an absolute path,
# because a shell would drop variables like INPUT_DRY-RUN and would keep signals from the process.
ENTRYPOINT ["/usr/local/bin/pkgs-action"]
