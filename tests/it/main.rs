//! The stories: the real binary on real temporary repositories against real servers.

#![allow(
    clippy::type_complexity,
    clippy::match_same_arms,
    reason = "tables of cases say what each column is, and each row is a case of its own"
)]

mod abandon;
mod adopted;
mod archives;
mod asking;
mod bad_input;
mod baseline;
mod board;
mod buckets;
mod build;
mod catalogs;
mod changelog;
mod closures;
mod crash;
mod deltas;
mod doctor;
mod documents;
mod environments;
mod gc;
mod groups;
mod hostile;
mod house;
mod image;
mod installing;
mod intents;
mod leaving;
mod lockfile;
mod lockfiles;
mod mirrors;
mod moved;
mod nested;
mod npm_rollback;
mod npm_versions;
mod oracle;
mod other_tools;
mod pack;
mod packing;
mod plan;
mod plan_laws;
mod pnpm;
mod prerelease;
mod provenance;
mod publishing;
mod pull;
mod race;
mod registries;
mod registry_contract;
mod rehearse;
mod release;
mod replacements;
mod scripts;
mod services;
mod settings;
mod shapes;
mod static_files;
mod store_contract;
#[allow(dead_code, reason = "every story uses another part of it")]
mod support;
mod telling;
mod templates;
mod trusted;
mod uploads;
mod version;
mod when_moved;
mod why;
