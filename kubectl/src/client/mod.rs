//! Talking to the API server: plain requests over kube's client, discovery, and the mapping of names to resources.

mod discovery;
mod mapper;
mod rest;
mod websocket;

pub use discovery::{ApiGroup, ApiResource, Discovery, GroupVersionResources};
pub use mapper::{Mapper, Mapping};
pub use rest::{ByteStream, Request, Rest};
pub use websocket::{WebSocket, open_websocket};
