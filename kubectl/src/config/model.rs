//! The kubeconfig's model in memory and its file form. Corresponds to clientcmd/api and clientcmd/api/v1.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Any JSON kept under a name; kubectl passes it through.
pub type Extension = serde_json::Value;

fn is_false(value: &bool) -> bool {
    !*value
}

/// Bytes that the file holds in base64.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Bytes(pub Vec<u8>);

impl Bytes {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&base64::engine::general_purpose::STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?.unwrap_or_default();
        let clean: String = text.chars().filter(|c| !c.is_ascii_whitespace()).collect();
        let data = base64::engine::general_purpose::STANDARD.decode(clean).map_err(serde::de::Error::custom)?;
        Ok(Self(data))
    }
}

fn null_is_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

/// A named extension.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct NamedExtension {
    /// Name.
    pub name: String,
    /// Content.
    #[serde(default)]
    pub extension: Extension,
}

/// How to reach a cluster.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Cluster {
    /// URL of the API server.
    #[serde(default, deserialize_with = "null_is_default")]
    pub server: String,
    /// Name to check the server's certificate against.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub tls_server_name: String,
    /// Whether the server's certificate is not checked.
    #[serde(default, skip_serializing_if = "is_false")]
    pub insecure_skip_tls_verify: bool,
    /// File with the certificate authority.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub certificate_authority: String,
    /// PEM of the certificate authority; wins over the file.
    #[serde(default, skip_serializing_if = "Bytes::is_empty")]
    pub certificate_authority_data: Bytes,
    /// Proxy for all requests.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub proxy_url: String,
    /// Whether compressed answers are refused.
    #[serde(default, skip_serializing_if = "is_false")]
    pub disable_compression: bool,
    /// Passed through.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_default")]
    pub extensions: Vec<NamedExtension>,
    /// File that this entry came from.
    #[serde(skip)]
    pub origin: PathBuf,
}

/// Who the user is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct AuthInfo {
    /// File of the client certificate.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub client_certificate: String,
    /// PEM of the client certificate.
    #[serde(default, skip_serializing_if = "Bytes::is_empty")]
    pub client_certificate_data: Bytes,
    /// File of the client key.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub client_key: String,
    /// PEM of the client key.
    #[serde(default, skip_serializing_if = "Bytes::is_empty")]
    pub client_key_data: Bytes,
    /// Bearer token.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub token: String,
    /// File with a bearer token.
    #[serde(default, rename = "tokenFile", skip_serializing_if = "String::is_empty")]
    pub token_file: String,
    /// User to act as.
    #[serde(default, rename = "as", skip_serializing_if = "String::is_empty")]
    pub impersonate: String,
    /// UID to act as.
    #[serde(default, rename = "as-uid", skip_serializing_if = "String::is_empty")]
    pub impersonate_uid: String,
    /// Groups to act as.
    #[serde(
        default,
        rename = "as-groups",
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "null_is_default"
    )]
    pub impersonate_groups: Vec<String>,
    /// Extra to act with.
    #[serde(
        default,
        rename = "as-user-extra",
        skip_serializing_if = "BTreeMap::is_empty",
        deserialize_with = "null_is_default"
    )]
    pub impersonate_user_extra: BTreeMap<String, Vec<String>>,
    /// Basic authentication.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub username: String,
    /// Basic authentication.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub password: String,
    /// Legacy provider.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth_provider: Option<AuthProvider>,
    /// Credential plugin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exec: Option<ExecConfig>,
    /// Passed through.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_default")]
    pub extensions: Vec<NamedExtension>,
    /// File that this entry came from.
    #[serde(skip)]
    pub origin: PathBuf,
}

/// Legacy credential provider.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AuthProvider {
    /// Name.
    pub name: String,
    /// Settings.
    #[serde(default)]
    pub config: Option<BTreeMap<String, String>>,
}

/// A program that prints credentials.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExecConfig {
    /// Program.
    #[serde(default)]
    pub command: String,
    /// Its arguments.
    #[serde(default)]
    pub args: Option<Vec<String>>,
    /// Additional environment.
    #[serde(default)]
    pub env: Option<Vec<EnvVar>>,
    /// Version of the protocol.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub api_version: String,
    /// Shown when the program is missing.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub install_hint: String,
    /// Whether the program gets the cluster's data.
    #[serde(default)]
    pub provide_cluster_info: bool,
    /// `Never`, `IfAvailable` or `Always`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub interactive_mode: String,
}

/// One variable of the plugin's environment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EnvVar {
    /// Name.
    pub name: String,
    /// Value.
    pub value: String,
}

/// A cluster, a user and a namespace.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Context {
    /// Name of the cluster.
    #[serde(default, deserialize_with = "null_is_default")]
    pub cluster: String,
    /// Name of the user.
    #[serde(default, deserialize_with = "null_is_default")]
    pub user: String,
    /// Default namespace.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    /// Passed through.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_default")]
    pub extensions: Vec<NamedExtension>,
    /// File that this entry came from.
    #[serde(skip)]
    pub origin: PathBuf,
}

/// User interface settings.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Preferences {
    /// Whether colours are wanted.
    #[serde(default, skip_serializing_if = "is_false")]
    pub colors: bool,
    /// Passed through.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_default")]
    pub extensions: Vec<NamedExtension>,
}

/// A kubeconfig with its entries by name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct KubeConfig {
    /// User interface settings.
    pub preferences: Preferences,
    /// Clusters.
    pub clusters: BTreeMap<String, Cluster>,
    /// Users.
    pub users: BTreeMap<String, AuthInfo>,
    /// Contexts.
    pub contexts: BTreeMap<String, Context>,
    /// The context in use.
    pub current_context: String,
    /// Passed through.
    pub extensions: Vec<NamedExtension>,
}

#[derive(Serialize, Deserialize)]
struct NamedCluster {
    name: String,
    #[serde(default, deserialize_with = "null_is_default")]
    cluster: Cluster,
}

#[derive(Serialize, Deserialize)]
struct NamedUser {
    name: String,
    #[serde(default, deserialize_with = "null_is_default")]
    user: AuthInfo,
}

#[derive(Serialize, Deserialize)]
struct NamedContext {
    name: String,
    #[serde(default, deserialize_with = "null_is_default")]
    context: Context,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct File {
    #[serde(default)]
    kind: String,
    #[serde(default)]
    api_version: String,
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "no_preferences")]
    preferences: Preferences,
    #[serde(default)]
    clusters: Option<Vec<NamedCluster>>,
    #[serde(default)]
    users: Option<Vec<NamedUser>>,
    #[serde(default)]
    contexts: Option<Vec<NamedContext>>,
    #[serde(default, rename = "current-context", deserialize_with = "null_is_default")]
    current_context: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_default")]
    extensions: Vec<NamedExtension>,
}

fn no_preferences(preferences: &Preferences) -> bool {
    *preferences == Preferences::default()
}

impl KubeConfig {
    /// Reads a file's content, remembering where the entries came from. The error is a text.
    pub fn parse(content: &str, origin: &Path) -> Result<Self, String> {
        if content.trim().is_empty() {
            return Ok(Self::default());
        }
        let value = crate::codec::decode_yaml(content.as_bytes()).map_err(|e| e.to_string())?;
        let file: File = apimachinery::value::from_value(&value).map_err(|e| e.to_string())?;
        let mut config = Self {
            preferences: file.preferences,
            current_context: file.current_context,
            extensions: file.extensions,
            ..Self::default()
        };
        for named in file.clusters.unwrap_or_default() {
            let cluster = Cluster { origin: origin.to_owned(), ..named.cluster };
            config.clusters.entry(named.name).or_insert(cluster);
        }
        for named in file.users.unwrap_or_default() {
            let user = AuthInfo { origin: origin.to_owned(), ..named.user };
            config.users.entry(named.name).or_insert(user);
        }
        for named in file.contexts.unwrap_or_default() {
            let context = Context { origin: origin.to_owned(), ..named.context };
            config.contexts.entry(named.name).or_insert(context);
        }
        Ok(config)
    }

    /// The file form as JSON text in Go's field order.
    pub fn to_json(&self) -> String {
        fn list<T, N>(map: &BTreeMap<String, T>, named: impl Fn(String, T) -> N) -> Option<Vec<N>>
        where
            T: Clone,
        {
            let items: Vec<N> = map.iter().map(|(k, v)| named(k.clone(), v.clone())).collect();
            (!items.is_empty()).then_some(items)
        }
        let file = File {
            kind: "Config".to_owned(),
            api_version: "v1".to_owned(),
            preferences: self.preferences.clone(),
            clusters: list(&self.clusters, |name, cluster| NamedCluster { name, cluster }),
            users: list(&self.users, |name, user| NamedUser { name, user }),
            contexts: list(&self.contexts, |name, context| NamedContext { name, context }),
            current_context: self.current_context.clone(),
            extensions: self.extensions.clone(),
        };
        serde_json::to_string(&file).expect("the model has only string keys")
    }

    /// Whether nothing is configured.
    pub fn is_empty(&self) -> bool {
        self.clusters.is_empty()
            && self.users.is_empty()
            && self.contexts.is_empty()
            && self.current_context.is_empty()
            && self.extensions.is_empty()
            && no_preferences(&self.preferences)
    }

    /// Adds what `lower` has and this one has not.
    pub fn merge_under(&mut self, lower: Self) {
        for (name, cluster) in lower.clusters {
            self.clusters.entry(name).or_insert(cluster);
        }
        for (name, user) in lower.users {
            self.users.entry(name).or_insert(user);
        }
        for (name, context) in lower.contexts {
            self.contexts.entry(name).or_insert(context);
        }
        if self.current_context.is_empty() {
            self.current_context = lower.current_context;
        }
        if no_preferences(&self.preferences) {
            self.preferences = lower.preferences;
        }
        for extension in lower.extensions {
            if !self.extensions.iter().any(|e| e.name == extension.name) {
                self.extensions.push(extension);
            }
        }
    }

    /// Makes paths absolute, relative to the file of each entry.
    pub fn resolve_paths(&mut self) {
        for cluster in self.clusters.values_mut() {
            absolute(&cluster.origin, &mut cluster.certificate_authority);
        }
        for user in self.users.values_mut() {
            let origin = user.origin.clone();
            absolute(&origin, &mut user.client_certificate);
            absolute(&origin, &mut user.client_key);
            absolute(&origin, &mut user.token_file);
            if let Some(exec) = &mut user.exec
                && exec.command.contains('/')
            {
                absolute(&origin, &mut exec.command);
            }
        }
    }

    /// Leaves only what the current context uses. The error is Go's text.
    pub fn minify(&mut self) -> Result<(), String> {
        if self.current_context.is_empty() {
            return Err("current-context must exist in order to minify".to_owned());
        }
        let name = self.current_context.clone();
        let Some(context) = self.contexts.get(&name).cloned() else {
            return Err(format!("cannot locate context {name}"));
        };
        if !context.cluster.is_empty() && !self.clusters.contains_key(&context.cluster) {
            return Err(format!("cannot locate cluster {}", context.cluster));
        }
        if !context.user.is_empty() && !self.users.contains_key(&context.user) {
            return Err(format!("cannot locate user {}", context.user));
        }
        self.clusters.retain(|k, _| *k == context.cluster);
        self.users.retain(|k, _| *k == context.user);
        self.contexts.retain(|k, _| *k == name);
        Ok(())
    }

    /// Reads referenced files into the config.
    pub fn flatten(&mut self) -> Result<(), String> {
        for cluster in self.clusters.values_mut() {
            inline(&mut cluster.certificate_authority, &mut cluster.certificate_authority_data)?;
        }
        for user in self.users.values_mut() {
            inline(&mut user.client_certificate, &mut user.client_certificate_data)?;
            inline(&mut user.client_key, &mut user.client_key_data)?;
        }
        Ok(())
    }
}

fn absolute(origin: &Path, path: &mut String) {
    if path.is_empty() || Path::new(path.as_str()).is_absolute() || origin.as_os_str().is_empty() {
        return;
    }
    let base = origin.parent().unwrap_or(Path::new(""));
    let base = std::path::absolute(if base.as_os_str().is_empty() { Path::new(".") } else { base });
    let joined = base.unwrap_or_default().join(path.as_str());
    *path = clean(&joined);
}

/// Removes `.` and `..` from a path, as Go's filepath.Clean.
pub(crate) fn clean(path: &Path) -> String {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            std::path::Component::CurDir => {}
            std::path::Component::ParentDir => {
                if !out.pop() {
                    out.push("..");
                }
            }
            other => out.push(other),
        }
    }
    out.to_string_lossy().into_owned()
}

fn inline(path: &mut String, data: &mut Bytes) -> Result<(), String> {
    if !data.0.is_empty() {
        path.clear();
        return Ok(());
    }
    if path.is_empty() {
        return Ok(());
    }
    data.0 = std::fs::read(path.as_str()).map_err(|e| format!("open {path}: {}", crate::files::go_error(&e)))?;
    path.clear();
    Ok(())
}
