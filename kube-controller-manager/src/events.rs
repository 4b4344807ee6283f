//! Events of controllers, short to write.

use component_base::events::{EventType, Recorder, reference};
use component_base::informer::Object;

/// Records something that went well.
pub(crate) fn normal<K>(recorder: &Recorder, object: &K, reason: &str, message: impl Into<String>)
where
    K: Object + k8s_openapi::Resource,
{
    recorder.event(reference(object), EventType::Normal, reason, message);
}

/// Records something that went wrong.
pub(crate) fn warning<K>(recorder: &Recorder, object: &K, reason: &str, message: impl Into<String>)
where
    K: Object + k8s_openapi::Resource,
{
    recorder.event(reference(object), EventType::Warning, reason, message);
}
