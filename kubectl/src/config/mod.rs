//! The kubeconfig: model, loading and merging, validation, writing back, and the client settings that come out of it.
//!
//! Never talks to a server. Corresponds to client-go/tools/clientcmd.

mod access;
mod model;
mod resolve;

pub use access::ConfigAccess;
pub use model::{AuthInfo, AuthProvider, Cluster, Context, EnvVar, ExecConfig, Extension, KubeConfig, NamedExtension};
pub use resolve::{Overrides, Resolved};
