//! kube-controller-manager: the control loops of a cluster.
//!
//! It talks to kube-apiserver alone. A controller is a folder under `controllers/` and a line in its `mod.rs`.

mod api;
mod app;
mod context;
mod controllers;
mod discovery;
mod events;
mod history;
mod pods;
mod runner;
mod selector;
mod services;
mod serving;
mod templates;
mod writes;

pub use app::main;
