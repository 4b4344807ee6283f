//! Media types: what the client accepts and what its body is.
//!
//! upstream: staging/src/k8s.io/apiserver/pkg/endpoints/handlers/negotiation, and go-restful's own check before it

use apimachinery::status::{ApiError, Details, Reason};
use http::HeaderMap;
use http::header::{ACCEPT, CONTENT_TYPE, USER_AGENT};

use super::query::Query;

/// An encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Media {
    /// application/json
    Json,
    /// application/yaml
    Yaml,
    /// application/vnd.kubernetes.protobuf
    Protobuf,
}

impl Media {
    /// All, in the order of preference.
    pub const ALL: [Self; 3] = [Self::Json, Self::Yaml, Self::Protobuf];

    /// The media type.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Yaml => "application/yaml",
            Self::Protobuf => "application/vnd.kubernetes.protobuf",
        }
    }
}

const SUPPORTED: [&str; 3] = ["application/json", "application/yaml", "application/vnd.kubernetes.protobuf"];
const STREAMS: [&str; 2] = ["application/json;stream=watch", "application/vnd.kubernetes.protobuf;stream=watch"];

/// A wish for another form of the object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Convert {
    /// `Table`, `PartialObjectMetadata`, `PartialObjectMetadataList`.
    pub kind: String,
    /// `meta.k8s.io`
    pub group: String,
    /// `v1` or `v1beta1`
    pub version: String,
}

impl Convert {
    fn is_meta(&self) -> bool {
        self.group == "meta.k8s.io" && matches!(self.version.as_str(), "v1" | "v1beta1")
    }

    /// `meta.k8s.io/v1`
    pub fn api_version(&self) -> String {
        format!("{}/{}", self.group, self.version)
    }
}

/// What the answer is to look like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// Encoding.
    pub media: Media,
    /// Indented JSON.
    pub pretty: bool,
    /// Another form.
    pub convert: Option<Convert>,
}

impl Output {
    /// Compact JSON.
    pub fn json() -> Self {
        Self { media: Media::Json, pretty: false, convert: None }
    }
}

/// What an endpoint can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Objects have a table form here.
    pub tables: bool,
    /// It is a list, which may be watched.
    pub list: bool,
    /// Protobuf is available (not for custom resources).
    pub protobuf: bool,
    /// Routed by exact media types first, as built-in resources are.
    pub routed: bool,
}

/// What a client of `/api` and `/apis` gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Accepted {
    /// All resources of all groups in one document.
    Aggregated(Aggregated),
    /// The legacy list.
    Plain(Output),
}

/// The encoding of the aggregated discovery document (`apidiscovery.k8s.io/v2`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Aggregated {
    /// Encoding.
    pub media: Media,
}

struct Clause<'a> {
    media: &'a str,
    params: Vec<(&'a str, &'a str)>,
    q: f64,
}

/// Splits an Accept header; the clauses with a higher q come first.
fn clauses(accept: &str) -> Vec<Clause<'_>> {
    let mut all: Vec<Clause<'_>> = accept
        .split(',')
        .map(|part| {
            let mut pieces = part.split(';').map(str::trim);
            let media = pieces.next().unwrap_or_default();
            let mut q = 1.0;
            let mut params = Vec::new();
            for (key, value) in pieces.filter_map(|p| p.split_once('=')) {
                match key {
                    _ if value.is_empty() => {}
                    "q" => q = value.parse().unwrap_or(1.0),
                    _ => params.push((key, value.trim_matches('"'))),
                }
            }
            Clause { media, params, q }
        })
        .collect();
    all.sort_by(|a, b| b.q.total_cmp(&a.q));
    all
}

fn header(headers: &HeaderMap, name: http::HeaderName) -> &str {
    headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default()
}

/// What the answer is to look like.
///
/// # Errors
/// 406.
pub fn output(headers: &HeaderMap, query: &Query, endpoint: Endpoint) -> Result<Output, ApiError> {
    let accept = header(headers, ACCEPT);
    if endpoint.routed && !routed(accept, endpoint.list) {
        return Err(not_routed(endpoint.list));
    }
    let mut output = match accept {
        "" => Some(Output::json()),
        text => clauses(text).iter().find_map(|c| accepted(c, endpoint)),
    }
    .ok_or_else(|| ApiError::not_acceptable(&SUPPORTED))?;
    output.pretty |= pretty(headers, query);
    Ok(output)
}

/// The form of a document that is no resource.
///
/// # Errors
/// 406.
pub fn document(headers: &HeaderMap, query: &Query) -> Result<Output, ApiError> {
    output(headers, query, Endpoint { tables: false, list: false, protobuf: true, routed: true })
}

/// What a client of `/api` and `/apis` wants.
///
/// # Errors
/// 406.
pub fn discovery(headers: &HeaderMap) -> Result<Accepted, ApiError> {
    let accept = header(headers, ACCEPT);
    if accept.is_empty() {
        return Ok(Accepted::Plain(Output::json()));
    }
    let aggregated =
        |c: &Convert| c.kind == "APIGroupDiscoveryList" && c.group == "apidiscovery.k8s.io" && c.version == "v2";
    for clause in clauses(accept) {
        let Some(media) = Media::ALL.into_iter().find(|m| matches(clause.media, *m)) else { continue };
        let mut convert = None::<Convert>;
        for (key, value) in &clause.params {
            match *key {
                "as" => (*value).clone_into(&mut convert.get_or_insert_default().kind),
                "g" => (*value).clone_into(&mut convert.get_or_insert_default().group),
                "v" => (*value).clone_into(&mut convert.get_or_insert_default().version),
                _ => {}
            }
        }
        match convert {
            None => return Ok(Accepted::Plain(Output { media, pretty: false, convert: None })),
            Some(c) if aggregated(&c) => return Ok(Accepted::Aggregated(Aggregated { media })),
            Some(_) => {}
        }
    }
    Err(ApiError::not_acceptable(&SUPPORTED))
}

/// The form of an error: as the client accepts, without conversion; JSON if nothing fits.
pub fn error_output(headers: &HeaderMap) -> Output {
    let endpoint = Endpoint { tables: false, list: false, protobuf: true, routed: false };
    let accept = header(headers, ACCEPT);
    let found = match accept {
        "" => None,
        text => clauses(text).iter().find_map(|c| accepted(c, endpoint)),
    };
    let mut output = found.unwrap_or_else(Output::json);
    output.pretty |= is_human(headers);
    output
}

/// What go-restful says before the handler runs: only exact media types and `*/*` count.
fn routed(accept: &str, list: bool) -> bool {
    let accept = if accept.is_empty() { "*/*" } else { accept };
    accept.split(',').any(|part| {
        let media = part.split(';').next().unwrap_or_default().trim();
        media == "*/*" || SUPPORTED.contains(&media) || (list && STREAMS.contains(&part.trim()))
    })
}

/// Of a document that is JSON alone (`/version`).
///
/// # Errors
/// 406.
pub fn json_only(headers: &HeaderMap) -> Result<(), ApiError> {
    const JSON: &str = "application/json";
    let accept = header(headers, ACCEPT);
    let mut media = accept.split(',').map(|part| part.split(';').next().unwrap_or_default().trim());
    if accept.is_empty() || media.any(|m| m == JSON || m == "*/*") {
        return Ok(());
    }
    Err(not_available(&[JSON]))
}

fn not_routed(list: bool) -> ApiError {
    let mut available: Vec<&str> = SUPPORTED.to_vec();
    if list {
        available.extend(STREAMS);
    }
    not_available(&available)
}

fn not_available(available: &[&str]) -> ApiError {
    let text = format!("406: Not Acceptable\n\nAvailable representations: {}", available.join(", "));
    ApiError::new(406, Reason::NotAcceptable, text).with_details(Details::default())
}

fn accepted(clause: &Clause<'_>, endpoint: Endpoint) -> Option<Output> {
    Media::ALL.into_iter().filter(|m| matches(clause.media, *m)).find_map(|m| with_params(clause, m, endpoint))
}

fn matches(pattern: &str, media: Media) -> bool {
    pattern == media.as_str() || matches!(pattern, "*/*" | "application/*")
}

fn with_params(clause: &Clause<'_>, media: Media, endpoint: Endpoint) -> Option<Output> {
    let mut output = Output { media, pretty: false, convert: None };
    for (key, value) in &clause.params {
        match *key {
            "as" => (*value).clone_into(&mut output.convert.get_or_insert_default().kind),
            "g" => (*value).clone_into(&mut output.convert.get_or_insert_default().group),
            "v" => (*value).clone_into(&mut output.convert.get_or_insert_default().version),
            "stream" if !value.is_empty() && (media == Media::Yaml || *value != "watch") => return None,
            "sv" if !value.is_empty() && *value != "v1" => return None,
            "pretty" => output.pretty = *value == "1",
            _ => {}
        }
    }
    allows(&output, endpoint).then_some(output)
}

fn allows(output: &Output, endpoint: Endpoint) -> bool {
    let Some(convert) = &output.convert else { return endpoint.protobuf || output.media != Media::Protobuf };
    convert.is_meta()
        && match convert.kind.as_str() {
            "Table" => endpoint.tables && output.media != Media::Protobuf,
            "PartialObjectMetadata" | "PartialObjectMetadataList" => {
                endpoint.tables || endpoint.list || endpoint.routed
            }
            _ => false,
        }
}

fn pretty(headers: &HeaderMap, query: &Query) -> bool {
    match query.get("pretty") {
        Some(text) if !text.is_empty() => matches!(text, "1" | "t" | "T" | "true" | "TRUE" | "True"),
        _ => is_human(headers),
    }
}

fn is_human(headers: &HeaderMap) -> bool {
    let agent = header(headers, USER_AGENT);
    ["curl", "Wget", "Mozilla/5.0"].iter().any(|human| agent.starts_with(human))
}

/// What the body is.
///
/// # Errors
/// 415.
pub fn input(headers: &HeaderMap) -> Result<Media, ApiError> {
    let text = header(headers, CONTENT_TYPE);
    if text.is_empty() {
        return Ok(Media::Json);
    }
    let media = text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let params_fine = text.split(';').skip(1).all(|p| p.trim().is_empty() || p.contains('='));
    Media::ALL
        .into_iter()
        .find(|m| params_fine && m.as_str() == media)
        .ok_or_else(|| ApiError::unsupported_media_type(&SUPPORTED))
}

/// What a watch sends.
///
/// # Errors
/// 406: YAML has no streams.
pub fn stream(output: &Output) -> Result<(), ApiError> {
    if output.media == Media::Yaml { Err(ApiError::not_acceptable(&STREAMS)) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn negotiate(accept: &str) -> Result<Output, ApiError> {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, accept.parse().unwrap());
        let endpoint = Endpoint { tables: true, list: false, protobuf: true, routed: true };
        output(&headers, &Query::parse(""), endpoint)
    }

    #[test]
    fn negotiates() {
        let table = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
        assert_eq!(negotiate(table).unwrap().convert.unwrap().kind, "Table");
        assert_eq!(negotiate("*/*").unwrap(), Output::json());
        assert_eq!(negotiate("application/vnd.kubernetes.protobuf,application/json").unwrap().media, Media::Protobuf);
        assert_eq!(negotiate("application/json;q=0.1,application/yaml").unwrap().media, Media::Yaml);
        assert_eq!(negotiate("text/html").unwrap_err().code(), 406);
        assert_eq!(negotiate("application/*").unwrap_err().code(), 406);
        assert!(negotiate("application/json;as=Nope;v=v1;g=meta.k8s.io").is_err());
    }
}
