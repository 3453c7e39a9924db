//! The forge: releases that people read.

pub mod github;
