//! What the stories stand on.
//!
//! | module | what it gives |
//! | --- | --- |
//! | [`sandbox`] | the real binary in a cleared environment, with a deadline; what it said, its outputs, its summary; the search for leaked secrets |
//! | [`browser`] | a real browser that opens pages, and what it asked for |
//! | [`managers`] | npm, pnpm, yarn and bun, and packages for them to install |
//! | [`monorepo`] | a builder of npm monorepos on real git; `Monorepo::five()` is `tests/sample/` |
//! | [`plans`] | plans beside a registry that is a directory, without a store, and what they say in short |
//! | [`random`] | choices that follow from a seed |
//! | [`servers`] | where the servers are installed, and child processes that die with the test process |
//! | [`shelf`] | an npm registry of small packages, as static files |
//! | [`verdaccio`] | an npm registry, shared or one's own |
//! | [`moto`], [`ceph`] | two S3 servers: a quick one, and one that checks signatures |
//! | [`s3rver`] | an S3 server that ignores conditions |
//! | [`s3`] | what a bucket holds, read by other clients than the tool's |
//! | [`stand_in`] | S3 servers that do not do what they should, or for which days go by |
//! | [`git_server`] | bare repositories over smart HTTP, with refusals and credentials |
//! | [`state`] | what repositories, registry and bucket hold, so that two states can be compared |
//! | [`static_server`] | a directory over HTTP |
//! | [`terminal`] | the binary at a terminal, keys that are pressed, what is shown |
//! | [`trusted`] | a registry that trusts jobs, and holds versions back until they are approved |
//! | [`world`] | a repository with origin, registry, store, static root and hosts around it |
//! | [`cloudfront`] | a CDN, and what it was told to forget |
//! | [`fault_proxy`] | stands between the binary and any number of servers, counts requests, and fails or kills at the k-th |
//! | [`http`] | the little HTTP that these servers share |
//! | [`source`] | Rust source without its comments and strings, for tests that read source |
//!
//! Nothing here sleeps for luck: whatever waits, waits for an event with a deadline. Every server listens on a free port of the
//! loopback, and ends with its value or with the test process, however that ends.

pub mod browser;
pub mod ceph;
pub mod cloudfront;
pub mod fault_proxy;
pub mod git_server;
pub mod http;
pub mod managers;
pub mod monorepo;
pub mod moto;
pub mod plans;
pub mod random;
pub mod s3;
pub mod s3rver;
pub mod sandbox;
pub mod servers;
pub mod shelf;
pub mod sigstore;
pub mod source;
pub mod stand_in;
pub mod state;
pub mod static_server;
pub mod terminal;
pub mod trusted;
pub mod verdaccio;
pub mod world;
