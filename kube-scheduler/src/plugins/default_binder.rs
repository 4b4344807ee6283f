//! DefaultBinder: posts the binding. upstream: plugins/defaultbinder/default_binder.go

use std::sync::Arc;

use crate::actions::Actions;
use crate::framework::{BindFuture, BindPoint, Extensions, Handle, Plugin, Rejection};
use crate::model::Pod;

pub(super) const NAME: &str = "DefaultBinder";

pub(super) struct DefaultBinder {
    actions: Option<Arc<dyn Actions>>,
}

impl DefaultBinder {
    pub(super) fn new(handle: &Handle) -> Self {
        Self { actions: handle.actions.clone() }
    }
}

impl Plugin for DefaultBinder {
    fn name(&self) -> &'static str {
        NAME
    }
    fn register(self: Arc<Self>, extensions: &mut Extensions) {
        extensions.bind = Some(self);
    }
}

impl BindPoint for DefaultBinder {
    fn name(&self) -> &'static str {
        NAME
    }
    fn bind<'a>(&'a self, pod: &'a Pod, node: &'a str) -> BindFuture<'a> {
        Box::pin(async move {
            let Some(actions) = &self.actions else { return Err(Rejection::error("no connection to the API server")) };
            actions.bind(pod, node).await.map_err(Rejection::error)
        })
    }
}
