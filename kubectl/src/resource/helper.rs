//! The verbs on one object. Corresponds to cli-runtime/pkg/resource/helper.go.

use std::rc::Rc;

use apimachinery::value::Value;
use http::Method;

use crate::client::{Mapping, Request, Rest};

/// The verbs of one resource, with the options that accompany writes.
pub struct Helper {
    rest: Rc<Rest>,
    mapping: Rc<Mapping>,
    subresource: String,
    dry_run: bool,
    field_manager: String,
    field_validation: String,
}

impl Helper {
    /// For one resource.
    pub fn new(rest: Rc<Rest>, mapping: Rc<Mapping>) -> Self {
        Self {
            rest,
            mapping,
            subresource: String::new(),
            dry_run: false,
            field_manager: String::new(),
            field_validation: String::new(),
        }
    }

    /// Works on a subresource.
    #[must_use]
    pub fn subresource(mut self, name: &str) -> Self {
        name.clone_into(&mut self.subresource);
        self
    }

    /// Asks the server not to keep writes.
    #[must_use]
    pub fn dry_run(mut self, on: bool) -> Self {
        self.dry_run = on;
        self
    }

    /// Names the writer.
    #[must_use]
    pub fn field_manager(mut self, name: &str) -> Self {
        name.clone_into(&mut self.field_manager);
        self
    }

    /// `Strict`, `Warn` or `Ignore`.
    #[must_use]
    pub fn field_validation(mut self, directive: &str) -> Self {
        directive.clone_into(&mut self.field_validation);
        self
    }

    fn write(&self, method: Method, namespace: &str, name: &str) -> Request {
        Request::to(method, &self.mapping, namespace, name)
            .below(&self.subresource)
            .maybe("dryRun", if self.dry_run { "All" } else { "" })
            .maybe("fieldManager", &self.field_manager)
            .maybe("fieldValidation", &self.field_validation)
    }

    /// Reads an object.
    pub async fn get(&self, namespace: &str, name: &str) -> anyhow::Result<Value> {
        self.rest.value(Request::to(Method::GET, &self.mapping, namespace, name).below(&self.subresource)).await
    }

    /// Creates an object.
    pub async fn create(&self, namespace: &str, object: &Value) -> anyhow::Result<Value> {
        let mut object = object.clone();
        if object.path(&["metadata", "resourceVersion"]).as_str().is_some() {
            object.remove_path(&["metadata", "resourceVersion"]);
        }
        self.rest.value(self.write(Method::POST, namespace, "").json(&object)).await
    }

    /// Replaces an object.
    pub async fn replace(&self, namespace: &str, name: &str, object: &Value) -> anyhow::Result<Value> {
        self.rest.value(self.write(Method::PUT, namespace, name).json(object)).await
    }

    /// Patches an object; `kind` is the media type of the patch.
    pub async fn patch(
        &self,
        namespace: &str,
        name: &str,
        kind: &'static str,
        patch: Vec<u8>,
    ) -> anyhow::Result<Value> {
        self.rest.value(self.write(Method::PATCH, namespace, name).body(kind, patch)).await
    }

    /// Applies an object in the server.
    pub async fn apply(&self, namespace: &str, name: &str, object: &Value, force: bool) -> anyhow::Result<Value> {
        let body = crate::codec::encode_json(object);
        let request = self
            .write(Method::PATCH, namespace, name)
            .query("force", if force { "true" } else { "false" })
            .body("application/apply-patch+yaml", body);
        self.rest.value(request).await
    }

    /// Deletes an object; the answer is the object or a Status.
    pub async fn delete(&self, namespace: &str, name: &str, options: &Value) -> anyhow::Result<Value> {
        let mut options = options.clone();
        if self.dry_run {
            options.set("dryRun", vec!["All"]);
        }
        options.set("kind", "DeleteOptions");
        options.set("apiVersion", self.delete_options_version());
        let request = Request::to(Method::DELETE, &self.mapping, namespace, name).below(&self.subresource);
        self.rest.value(request.json(&options)).await
    }

    fn delete_options_version(&self) -> String {
        // The unstructured client sends the options in the resource's own group-version.
        self.mapping.api_version()
    }
}
