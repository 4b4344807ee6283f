//! From an authorized request to its answer: which resource and verb, which media types, which options.
//!
//! The verbs themselves are in `verbs/`, what they do to objects in `registry/store`.
//! upstream: staging/src/k8s.io/apiserver/pkg/endpoints

pub mod body;
pub mod decode;
pub mod dispatch;
pub mod encode;
pub mod list_options;
pub mod negotiation;
pub mod options;
pub mod query;
pub mod responses;
pub mod table;
pub mod verbs;
pub mod watch_stream;
pub mod websocket;

pub use dispatch::serve;
