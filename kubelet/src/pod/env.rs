//! The environment of a container, from every source that its definition names.
//!
//! upstream: pkg/kubelet/kubelet_pods.go: makeEnvironmentVariables, pkg/kubelet/envvars/envvars.go

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, EnvVarSource, FileKeySelector, Pod, Service};

use super::env_file;
use super::expansion::expand;
use super::fields::{FieldError, Surroundings, field_value, resource_value};
use super::view::PodView;
use crate::objects::{ObjectError, Objects};
use crate::sys::Kernel;
use crate::volumes::MountedVolumes;

/// Longest file with variables that is read, in bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// An environment that cannot be made yet, or never.
#[derive(Debug, thiserror::Error)]
pub enum EnvError {
    /// A ConfigMap or Secret could not be read.
    #[error(transparent)]
    Object(#[from] ObjectError),
    /// A ConfigMap or Secret has no such key.
    #[error("couldn't find key {key} in {kind} {namespace}/{name}")]
    NoKey {
        /// The key.
        key: String,
        /// `ConfigMap` or `Secret`.
        kind: &'static str,
        /// Namespace of the object.
        namespace: String,
        /// Name of the object.
        name: String,
    },
    /// A field of the pod cannot be read.
    #[error(transparent)]
    Field(#[from] FieldError),
    /// Services are part of every environment, and none has been read yet.
    #[error("services have not yet been read at least once, cannot construct envvars")]
    ServicesUnknown,
    /// The volume of a file with variables is not there.
    #[error("cannot find the volume {0:?} referenced by FileKeyRef")]
    NoVolume(String),
    /// The file with variables is not readable or not of the right form.
    #[error("couldn't parse env file")]
    File,
    /// The file does not set the variable.
    #[error("environment variable key {key:?} not found in file {file:?}")]
    NoVariable {
        /// The variable.
        key: String,
        /// The file on the node.
        file: String,
    },
    /// A source that this kubelet does not know.
    #[error("the source of the environment variable {0:?} is not supported")]
    Source(String),
}

/// Files in volumes that variables come from.
pub struct Files<'a> {
    /// Volumes that are ready.
    pub mounted: &'a MountedVolumes,
    /// Reads without leaving a volume.
    pub kernel: &'a dyn Kernel,
}

impl Files<'_> {
    fn value(&self, reference: &FileKeySelector, pod: &Pod) -> Result<Option<String>, EnvError> {
        let volume = self.mounted.get(&reference.volume_name);
        let volume = volume.ok_or_else(|| EnvError::NoVolume(reference.volume_name.clone()))?;
        let text = self.kernel.read_beneath(&volume.path, reference.path.as_ref(), FILE_BYTES_MAX);
        let text = text.map_err(|error| error.to_string());
        let value = text.and_then(|text| env_file::value_of(&text, &reference.key)).map_err(|error| {
            tracing::warn!(namespace = pod.namespace(), name = pod.name(), error, "file with variables was not read");
            EnvError::File
        })?;
        if value.is_some() || reference.optional == Some(true) {
            return Ok(value);
        }
        let file = volume.path.join(&reference.path).display().to_string();
        Err(EnvError::NoVariable { key: reference.key.clone(), file })
    }
}

/// Names and values of a container's environment.
pub type Environment = BTreeMap<String, String>;

/// Builds the environment of `container`.
///
/// # Errors
/// A source that is not optional is missing.
pub async fn environment(
    pod: &Pod,
    container: &Container,
    objects: &Objects,
    around: &Surroundings,
    files: &Files<'_>,
) -> Result<Environment, EnvError> {
    let services = match objects.services() {
        Some(services) => service_environment(pod, &services),
        None if pod.is_static() || !objects.has_client() => Environment::new(),
        None => return Err(EnvError::ServicesUnknown),
    };
    let mut own = from_sources(pod, container, objects).await?;
    for variable in container.env.iter().flatten() {
        let value = match (&variable.value, &variable.value_from) {
            (Some(value), _) if !value.is_empty() => {
                expand(value, &|name| own.get(name).or_else(|| services.get(name)).cloned())
            }
            (_, Some(source)) => {
                let from = Source { pod, container, objects, around, files, variable: &variable.name };
                match from.resolve(source).await? {
                    Some(value) => value,
                    None => continue,
                }
            }
            _ => String::new(),
        };
        own.insert(variable.name.clone(), value);
    }
    for (name, value) in services {
        own.entry(name).or_insert(value);
    }
    Ok(own)
}

async fn from_sources(pod: &Pod, container: &Container, objects: &Objects) -> Result<Environment, EnvError> {
    let mut out = Environment::new();
    for source in container.env_from.iter().flatten() {
        let prefix = source.prefix.as_deref().unwrap_or_default();
        if let Some(reference) = &source.config_map_ref {
            let found = objects.config_map(pod.namespace(), &reference.name).await;
            if let Some(map) = optional(found, reference.optional)? {
                let data = map.data.iter().flatten();
                out.extend(data.map(|(key, value)| (format!("{prefix}{key}"), value.clone())));
            }
        } else if let Some(reference) = &source.secret_ref {
            let found = objects.secret(pod.namespace(), &reference.name).await;
            if let Some(secret) = optional(found, reference.optional)? {
                let data = secret.data.iter().flatten();
                out.extend(data.map(|(key, value)| (format!("{prefix}{key}"), text(&value.0))));
            }
        }
    }
    Ok(out)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn optional<T>(found: Result<T, ObjectError>, is_optional: Option<bool>) -> Result<Option<T>, EnvError> {
    match found {
        Ok(object) => Ok(Some(object)),
        Err(error) if error.is_not_found() && is_optional == Some(true) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

struct Source<'a> {
    pod: &'a Pod,
    container: &'a Container,
    objects: &'a Objects,
    around: &'a Surroundings,
    files: &'a Files<'a>,
    variable: &'a str,
}

impl Source<'_> {
    /// The value, or `None` when the source is optional and absent.
    async fn resolve(&self, source: &EnvVarSource) -> Result<Option<String>, EnvError> {
        let namespace = self.pod.namespace();
        if let Some(field) = &source.field_ref {
            return Ok(Some(field_value(self.pod, &field.field_path, self.around)?));
        }
        if let Some(selector) = &source.resource_field_ref {
            return Ok(Some(resource_value(self.pod, Some(self.container), selector, self.around)?));
        }
        if let Some(reference) = &source.config_map_key_ref {
            let found = self.objects.config_map(namespace, &reference.name).await;
            let Some(map) = optional(found, reference.optional)? else { return Ok(None) };
            let value = map.data.as_ref().and_then(|data| data.get(&reference.key)).cloned();
            return self.keyed(value, "ConfigMap", &reference.name, &reference.key, reference.optional);
        }
        if let Some(reference) = &source.secret_key_ref {
            let found = self.objects.secret(namespace, &reference.name).await;
            let Some(secret) = optional(found, reference.optional)? else { return Ok(None) };
            let value = secret.data.as_ref().and_then(|data| data.get(&reference.key)).map(|value| text(&value.0));
            return self.keyed(value, "Secret", &reference.name, &reference.key, reference.optional);
        }
        if let Some(reference) = &source.file_key_ref {
            return self.files.value(reference, self.pod);
        }
        Err(EnvError::Source(self.variable.to_owned()))
    }

    fn keyed(
        &self,
        value: Option<String>,
        kind: &'static str,
        name: &str,
        key: &str,
        is_optional: Option<bool>,
    ) -> Result<Option<String>, EnvError> {
        if value.is_some() || is_optional == Some(true) {
            return Ok(value);
        }
        let namespace = self.pod.namespace().to_owned();
        Err(EnvError::NoKey { key: key.to_owned(), kind, namespace, name: name.to_owned() })
    }
}

/// Variables for the services of the pod's namespace, and always for `default/kubernetes`.
fn service_environment(pod: &Pod, services: &[std::sync::Arc<Service>]) -> Environment {
    let links = pod.spec().enable_service_links.unwrap_or(true);
    let mut chosen: BTreeMap<&str, &Service> = BTreeMap::new();
    for service in services {
        let name = service.metadata.name.as_deref().unwrap_or_default();
        let namespace = service.metadata.namespace.as_deref().unwrap_or_default();
        if !has_ip(service) {
            continue;
        }
        if namespace == pod.namespace() && links {
            chosen.insert(name, service);
        } else if namespace == "default" && name == "kubernetes" {
            chosen.entry(name).or_insert(service);
        }
    }
    chosen.values().flat_map(|service| service_variables(service)).collect()
}

fn has_ip(service: &Service) -> bool {
    let ip = service.spec.as_ref().and_then(|spec| spec.cluster_ip.as_deref()).unwrap_or_default();
    !ip.is_empty() && ip != "None"
}

fn variable_name(text: &str) -> String {
    text.replace('-', "_").to_uppercase()
}

fn service_variables(service: &Service) -> Vec<(String, String)> {
    let prefix = variable_name(service.metadata.name.as_deref().unwrap_or_default());
    let spec = service.spec.clone().unwrap_or_default();
    let ip = spec.cluster_ip.unwrap_or_default();
    let ports = spec.ports.unwrap_or_default();
    let mut out = vec![(format!("{prefix}_SERVICE_HOST"), ip.clone())];
    if let Some(first) = ports.first() {
        out.push((format!("{prefix}_SERVICE_PORT"), first.port.to_string()));
    }
    for port in &ports {
        if let Some(name) = port.name.as_deref().filter(|name| !name.is_empty()) {
            out.push((format!("{prefix}_SERVICE_PORT_{}", variable_name(name)), port.port.to_string()));
        }
    }
    let host = if ip.contains(':') { format!("[{ip}]") } else { ip.clone() };
    for (index, port) in ports.iter().enumerate() {
        let protocol = port.protocol.as_deref().unwrap_or("TCP");
        let lower = protocol.to_lowercase();
        let url = format!("{lower}://{host}:{}", port.port);
        if index == 0 {
            out.push((format!("{prefix}_PORT"), url.clone()));
        }
        let base = format!("{prefix}_PORT_{}_{}", port.port, protocol.to_uppercase());
        out.push((base.clone(), url));
        out.push((format!("{base}_PROTO"), lower));
        out.push((format!("{base}_PORT"), port.port.to_string()));
        out.push((format!("{base}_ADDR"), ip.clone()));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn service_variables_as_docker_links() {
        let service: Service = serde_json::from_str(
            r#"{"metadata":{"name":"my-svc"},"spec":{"clusterIP":"10.0.0.5","ports":[{"name":"web-ui","port":80,"protocol":"TCP"}]}}"#,
        )
        .expect("valid");
        let got: BTreeMap<String, String> = service_variables(&service).into_iter().collect();
        let text: Vec<String> = got.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(
            text.join("\n"),
            "MY_SVC_PORT=tcp://10.0.0.5:80\nMY_SVC_PORT_80_TCP=tcp://10.0.0.5:80\nMY_SVC_PORT_80_TCP_ADDR=10.0.0.5\n\
             MY_SVC_PORT_80_TCP_PORT=80\nMY_SVC_PORT_80_TCP_PROTO=tcp\nMY_SVC_SERVICE_HOST=10.0.0.5\n\
             MY_SVC_SERVICE_PORT=80\nMY_SVC_SERVICE_PORT_WEB_UI=80"
        );
    }
}
