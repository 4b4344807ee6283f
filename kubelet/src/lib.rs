//! The kubelet: runs the pods of one node on a container runtime and tells the API how they are.
//!
//! It talks to the API with the node's identity and to the runtime through CRI alone. A restart of the kubelet leaves
//! containers alone: everything that it must know again is read from the runtime and from its own folders.
//!
//! - `options`, `run`: what was asked for, and building the parts
//! - `sources` → `sync_loop` → `pod::workers` → `pod::worker` → `pod::sync`: the way of a pod
//! - `allocation`: what was promised to pods, and resizes that wait
//! - `runtime`, `sys`, `volumes`: the seams to the container runtime, to the kernel and to storage
//! - `status`, `events`, `node`, `server`: what others see

mod allocation;
mod certificates;
mod collect;
mod events;
mod eviction;
mod http;
mod images;
mod logs;
mod metrics;
mod node;
mod objects;
mod options;
mod paths;
mod pod;
mod probes;
mod run;
mod runtime;
mod server;
mod sources;
mod status;
mod sync_loop;
mod sys;
mod tiers;
mod volumes;

pub use run::main;
