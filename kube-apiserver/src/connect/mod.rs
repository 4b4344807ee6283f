//! Subresources that are no update of their object: binding, eviction, tokens, and the streams and proxies that
//! lead to a kubelet, a pod or a service.
//!
//! One list of them here; the strategies of the resources ask it.

pub mod binding;
pub mod components;
pub mod eviction;
pub mod kubelet;
pub mod log;
pub mod pod;
pub mod proxy;
pub mod stream;
pub mod upstream;

use crate::authentication::token_request::TokenRequest;
use crate::registry::Subresource;

/// The subresource of a core resource, if it is one of this module's.
pub fn subresource(plural: &str, name: &str) -> Option<&'static dyn Subresource> {
    Some(match (plural, name) {
        ("pods", "attach") => &stream::Stream::Attach,
        ("pods", "binding") => &binding::Binding,
        ("pods", "eviction") => &eviction::Eviction,
        ("pods", "exec") => &stream::Stream::Exec,
        ("pods", "log") => &log::Log,
        ("pods", "portforward") => &stream::Stream::PortForward,
        ("pods", "proxy") => &proxy::Proxy::Pod,
        ("nodes", "proxy") => &proxy::Proxy::Node,
        ("services", "proxy") => &proxy::Proxy::Service,
        ("serviceaccounts", "token") => &TokenRequest,
        _ => return None,
    })
}
