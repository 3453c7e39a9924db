//! `pkgs-action` releases Node packages and services: it detects what changed, versions, commits and tags it, publishes to npm, packs
//! the production archive once for all machines, records manifests, points environments at them and rolls back. Hosts pull.
//!
//! # The map
//!
//! Start with [`commands::release`]: it reads, decides, does and tells. A room may use only the rooms above it; edges never use what
//! decides. `tests/it/house.rs` keeps these walls.
//!
//! | room | what it is for | what it never does |
//! |---|---|---|
//! | [`explain`] | how every failure explains itself: code, what, where, why, what to do | |
//! | [`secret`] | a value that cannot be printed and reaches one origin only | |
//! | [`name`] | names, checked where they are made | repair a bad one |
//! | [`version`] | versions, bumps, npm's ranges | |
//! | [`settings`] | what we were asked, every problem at once | touch disk, network, environment, clock |
//! | [`workspace`] | what is there: packages, dependencies, lockfiles, edits that keep every other byte | the same |
//! | [`changes`] | what changed, and why: tags, commits, intents, owners of files | the same |
//! | [`release`] | what is stored: keys, seals, manifests | the same |
//! | [`environment`] | the pointer log and where a rollback goes | the same |
//! | [`plan`] | what we shall do: the heart | the same |
//! | [`local`] | the disk, git, child processes and the terminal | decide |
//! | [`remote`] | stores, registries, the forge | decide; send a write again without looking |
//! | [`apply`] | doing it: look, write, read back | guess what a lost answer meant |
//! | [`report`] | what we tell | print |
//! | [`commands`] | one story a page | |
//!
//! # How a release stays whole
//!
//! There is no journal and no lock: git tags, the seal, the registry, manifests and the pointer log are the journal. Bytes are sealed in
//! the store before anything is decided; one atomic push of the release commit and all its tags decides; packages, manifests and
//! pointers follow, each written once. Whoever starts after a crash, or beside another run, reads these facts and goes on.
//!
//! The environment and the clock are read once, in `main.rs`.

// An empty line between the rooms keeps rustfmt from sorting them: their order is the law.

pub mod explain;

pub mod secret;

pub mod name;

pub mod version;

pub mod settings;

pub mod workspace;

pub mod changes;

pub mod release;

pub mod environment;

pub mod plan;

pub mod local;

pub mod remote;

pub mod apply;

pub mod report;

pub mod commands;
