//! Content negotiation: which encoding and which form of the object a client accepts (N-01, P-01, P-08, D-09).
//!
//! Kubernetes negotiates twice: its router first wants one accepted media type that it can produce at all (built-in
//! types only), then the endpoint picks the first clause, by quality and order, that it can serve with its parameters.
//! Both refusals have their own text.

use kcp_apimachinery::{Status, StatusDetails, status::reason};

/// How a body is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Encoding {
    /// `application/json`.
    #[default]
    Json,
    /// `application/yaml`.
    Yaml,
}

/// The version of `meta.k8s.io` in which a transformed object is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MetaVersion {
    /// `v1`.
    V1,
    /// `v1beta1`.
    V1Beta1,
}

impl MetaVersion {
    /// The `apiVersion` of objects of this version.
    pub(crate) fn api_version(self) -> &'static str {
        match self {
            Self::V1 => "meta.k8s.io/v1",
            Self::V1Beta1 => "meta.k8s.io/v1beta1",
        }
    }
}

/// The form in which the object is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Form {
    /// As it is.
    #[default]
    Object,
    /// As a Table (P-01).
    Table(MetaVersion),
    /// Only its metadata (P-08).
    Partial(MetaVersion),
    /// Only the metadata of a list's items (P-08).
    PartialList(MetaVersion),
    /// Aggregated discovery, version 2 (D-09).
    AggregatedDiscovery,
}

/// What was agreed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Accepted {
    /// The encoding.
    pub encoding: Encoding,
    /// The form.
    pub form: Form,
}

/// What an endpoint can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Endpoint {
    /// A stored resource: all encodings, tables and metadata.
    Resource {
        /// Whether it is a custom resource, which passes no router of its own in Kubernetes.
        custom: bool,
    },
    /// A kind that is never stored, such as a review: no transformation (P-09).
    Virtual,
    /// A watch: only encodings that can stream.
    Watch,
    /// `/api` and `/apis`: plain or aggregated discovery.
    AggregatedDiscovery,
    /// Other discovery documents.
    Discovery,
}

const ACCEPTED: &str = "only the following media types are accepted: application/json, application/yaml, application/vnd.kubernetes.protobuf";
const ACCEPTED_WATCH: &str = "only the following media types are accepted: application/json;stream=watch, application/vnd.kubernetes.protobuf;stream=watch";
const AVAILABLE: &str = "406: Not Acceptable\n\nAvailable representations: application/json, application/yaml, application/vnd.kubernetes.protobuf";

/// Picks the form of the answer.
///
/// # Errors
/// 406 with Kubernetes' text when nothing that the client accepts can be served.
pub(crate) fn negotiate(accept: Option<&str>, endpoint: Endpoint) -> Result<Accepted, Status> {
    let header = match accept {
        // The two that most clients send.
        None | Some("" | "application/json" | "*/*") => return Ok(Accepted::default()),
        Some(header) => header,
    };
    if matches!(endpoint, Endpoint::Resource { custom: false } | Endpoint::Virtual) && !producible(header) {
        return Err(Status::failure(406, reason::NOT_ACCEPTABLE, AVAILABLE).with_details(StatusDetails::default()));
    }
    let mut clauses: Vec<Clause<'_>> = header.split(',').filter_map(Clause::parse).collect();
    clauses.sort_by(|a, b| b.quality.total_cmp(&a.quality));
    for clause in &clauses {
        for encoding in [Encoding::Json, Encoding::Yaml] {
            if endpoint == Endpoint::Watch && encoding == Encoding::Yaml {
                continue;
            }
            if clause.matches(encoding)
                && let Some(form) = clause.form(endpoint, encoding)
            {
                return Ok(Accepted { encoding, form });
            }
        }
    }
    let text = if endpoint == Endpoint::Watch { ACCEPTED_WATCH } else { ACCEPTED };
    Err(Status::failure(406, reason::NOT_ACCEPTABLE, text))
}

/// In which encoding to write an error for a client that sent `accept` (N-11): JSON when nothing fits.
pub(crate) fn error_encoding(accept: Option<&str>) -> Encoding {
    negotiate(accept, Endpoint::Resource { custom: true }).map(|a| a.encoding).unwrap_or_default()
}

/// The router's check: one of the accepted types, without parameters, is one that it produces.
fn producible(header: &str) -> bool {
    header.split(',').any(|clause| {
        let media = clause.split(';').next().unwrap_or_default().trim();
        matches!(media, "*/*" | "application/json" | "application/yaml" | "application/vnd.kubernetes.protobuf")
    })
}

/// One clause of an Accept header.
struct Clause<'a> {
    kind: &'a str,
    sub: &'a str,
    quality: f32,
    params: &'a str,
}

impl<'a> Clause<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let (media, params) = text.split_once(';').unwrap_or((text, ""));
        let media = media.trim();
        if media.is_empty() {
            return None;
        }
        let (kind, sub) = if media == "*" { ("*", "*") } else { media.split_once('/')? };
        let quality = parameters(params).find(|(k, _)| *k == "q").and_then(|(_, v)| v.parse().ok()).unwrap_or(1.0);
        Some(Self { kind: kind.trim(), sub: sub.trim(), quality, params })
    }

    fn matches(&self, encoding: Encoding) -> bool {
        let sub = match encoding {
            Encoding::Json => "json",
            Encoding::Yaml => "yaml",
        };
        matches!((self.kind, self.sub), ("*", "*") | ("application", "*"))
            || (self.kind == "application" && self.sub == sub)
    }

    /// The form that the parameters ask for, `None` when the endpoint cannot give it in this encoding.
    fn form(&self, endpoint: Endpoint, encoding: Encoding) -> Option<Form> {
        let (mut kind, mut group, mut version, mut convert) = ("", "", "", false);
        for (key, value) in parameters(self.params) {
            match key {
                "as" => (kind, convert) = (value, true),
                "g" => (group, convert) = (value, true),
                "v" => (version, convert) = (value, true),
                "stream" if !value.is_empty() && (endpoint != Endpoint::Watch || value != "watch") => return None,
                // Unknown parameters are ignored (D-14).
                _ => {}
            }
        }
        if !convert {
            return Some(Form::Object);
        }
        match endpoint {
            Endpoint::AggregatedDiscovery => ((kind, group, version, encoding)
                == ("APIGroupDiscoveryList", "apidiscovery.k8s.io", "v2", Encoding::Json))
                .then_some(Form::AggregatedDiscovery),
            Endpoint::Discovery | Endpoint::Virtual => None,
            Endpoint::Resource { .. } | Endpoint::Watch => {
                if group != "meta.k8s.io" {
                    return None;
                }
                let version = match version {
                    "v1" => MetaVersion::V1,
                    "v1beta1" => MetaVersion::V1Beta1,
                    _ => return None,
                };
                match kind {
                    "Table" => Some(Form::Table(version)),
                    "PartialObjectMetadata" => Some(Form::Partial(version)),
                    "PartialObjectMetadataList" => Some(Form::PartialList(version)),
                    _ => None,
                }
            }
        }
    }
}

fn parameters(params: &str) -> impl Iterator<Item = (&str, &str)> {
    params.split(';').filter_map(|p| p.split_once('=')).map(|(k, v)| (k.trim(), v.trim().trim_matches('"')))
}

/// The encoding of a request's body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BodyEncoding {
    /// JSON, also when no Content-Type is given.
    Json,
    /// YAML.
    Yaml,
    /// The protobuf form of a built-in kind; read only (N-05).
    Protobuf,
}

/// How the body of a create or update is encoded (N-02).
///
/// # Errors
/// 415 when the type is not one that is understood.
pub(crate) fn body_encoding(content_type: Option<&str>) -> Result<BodyEncoding, Status> {
    match media_type(content_type.unwrap_or_default()) {
        "" | "application/json" => Ok(BodyEncoding::Json),
        "application/yaml" => Ok(BodyEncoding::Yaml),
        kcp_protobuf::MEDIA_TYPE => Ok(BodyEncoding::Protobuf),
        _ => Err(unknown_format()),
    }
}

/// The refusal of a body in a type that is not understood, or not for its kind (N-02).
pub(crate) fn unknown_format() -> Status {
    Status::unsupported_media_type(
        "the body of the request was in an unknown format - accepted media types include: application/json, application/yaml, application/vnd.kubernetes.protobuf",
    )
}

/// A media type without its parameters.
pub(crate) fn media_type(content_type: &str) -> &str {
    content_type.split(';').next().unwrap_or_default().trim()
}

/// Whether to indent JSON for a person (N-08).
pub(crate) fn pretty(query: Option<&str>, user_agent: Option<&str>) -> bool {
    match query {
        Some(value) if !value.is_empty() => matches!(value, "1" | "t" | "T" | "true" | "TRUE" | "True"),
        _ => user_agent
            .is_some_and(|ua| ua.starts_with("curl") || ua.starts_with("Wget") || ua.starts_with("Mozilla/5.0")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(accept: &str, endpoint: Endpoint) -> String {
        match negotiate(Some(accept), endpoint) {
            Ok(a) => format!("{:?} {:?}", a.encoding, a.form),
            Err(s) => s.message.chars().take(8).collect(),
        }
    }

    #[test]
    fn accept_headers() {
        const BUILTIN: Endpoint = Endpoint::Resource { custom: false };
        const CUSTOM: Endpoint = Endpoint::Resource { custom: true };
        // N-01, P-01, P-08, P-09, D-09, D-11, D-12, D-14
        for (accept, endpoint, want) in [
            ("*/*", BUILTIN, "Json Object"),
            ("application/yaml", BUILTIN, "Yaml Object"),
            ("application/xml", BUILTIN, "406: Not"),
            ("application/*", BUILTIN, "406: Not"),
            ("application/*", CUSTOM, "Json Object"),
            ("application/xml", CUSTOM, "only the"),
            ("application/vnd.kubernetes.protobuf", BUILTIN, "only the"),
            ("application/vnd.kubernetes.protobuf,application/json", BUILTIN, "Json Object"),
            ("application/xml;q=1,application/yaml;q=0.4,application/json;q=0.8", BUILTIN, "Json Object"),
            ("application/json;as=Table;v=v1;g=meta.k8s.io", BUILTIN, "Json Table(V1)"),
            ("application/json;as=Table;v=v1;g=meta.k8s.io,application/json", Endpoint::Virtual, "Json Object"),
            ("application/json;as=Table;v=v1;g=meta.k8s.io", Endpoint::Virtual, "only the"),
            ("application/json;as=Table;v=v1beta1;g=meta.k8s.io", CUSTOM, "Json Table(V1Beta1)"),
            ("application/json;as=Chair;v=v1;g=meta.k8s.io, application/json", CUSTOM, "Json Object"),
            ("application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io", CUSTOM, "Json Partial(V1)"),
            (
                "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io,application/json",
                CUSTOM,
                "Json PartialList(V1)",
            ),
            ("application/json;stream=watch", Endpoint::Watch, "Json Object"),
            ("application/yaml", Endpoint::Watch, "only the"),
            ("application/json;as=Table;v=v1;g=meta.k8s.io", Endpoint::Watch, "Json Table(V1)"),
            (
                "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList",
                Endpoint::AggregatedDiscovery,
                "Json AggregatedDiscovery",
            ),
            (
                "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList;profile=nopeer",
                Endpoint::AggregatedDiscovery,
                "Json AggregatedDiscovery",
            ),
            (
                "application/json;g=apidiscovery.k8s.io;v=v2,application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList",
                Endpoint::AggregatedDiscovery,
                "Json AggregatedDiscovery",
            ),
            (
                "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList",
                Endpoint::AggregatedDiscovery,
                "only the",
            ),
            (
                "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json",
                Endpoint::AggregatedDiscovery,
                "Json Object",
            ),
            (";;,,,=", BUILTIN, "406: Not"),
        ] {
            assert_eq!(show(accept, endpoint), want, "{accept} {endpoint:?}");
        }
        assert_eq!(negotiate(None, BUILTIN), Ok(Accepted::default()));
    }

    #[test]
    fn people_get_indented_json() {
        for (query, ua, want) in [
            (None, None, false),
            (None, Some("curl/8"), true),
            (None, Some("kubectl/v1.36"), false),
            (Some("0"), Some("curl/8"), false),
            (Some("true"), None, true),
            (Some("nonsense"), None, false),
        ] {
            assert_eq!(pretty(query, ua), want, "{query:?} {ua:?}");
        }
    }
}
