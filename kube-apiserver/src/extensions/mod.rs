//! Custom resources: definitions become resources of the same registry while the server runs.
//!
//! What is absent: conversion webhooks.
//! upstream: staging/src/k8s.io/apiextensions-apiserver

pub mod controller;
pub mod custom;
pub mod definitions;
pub mod discovery;
mod names;
mod publishing;
mod rules;
mod validation;

pub use custom::Custom;
pub use publishing::{published, served_definitions};
