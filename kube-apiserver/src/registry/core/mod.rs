//! The core group.

pub mod services;
