//! Conversion settings (CRD-19).

use kcp_apimachinery::{FieldError, FieldErrors, FieldPath, validation};
use serde_json::Value;

use super::view::{text, texts};

const ONLY_WEBHOOK: &str = "should not be set when strategy is not set to Webhook";
const UNSUPPORTED: &str = "this server does not support conversion webhooks; use the strategy None, with which versions \
                           differ in their apiVersion only";

/// Checks the form of conversion settings; well-formed webhooks are refused, because this server calls none.
pub(crate) fn validate(conversion: &Value, path: &FieldPath, errors: &mut FieldErrors) {
    let before = errors.len();
    let webhook = conversion.get("webhook").filter(|webhook| !webhook.is_null());
    let config = webhook.and_then(|webhook| webhook.get("clientConfig")).filter(|config| !config.is_null());
    let reviews = webhook.map(|webhook| texts(webhook, "conversionReviewVersions")).unwrap_or_default();
    let (config_path, reviews_path) = (path.child("webhookClientConfig"), path.child("conversionReviewVersions"));
    let strategy = text(conversion, "strategy");
    match strategy {
        "" => errors.push(FieldError::required(&path.child("strategy"), "")),
        "None" | "Webhook" => {}
        other => errors.push(FieldError::not_supported(&path.child("strategy"), other, &["None", "Webhook"])),
    }
    if strategy != "Webhook" {
        if config.is_some() {
            errors.push(FieldError::forbidden(&config_path, ONLY_WEBHOOK));
        }
        if !reviews.is_empty() {
            errors.push(FieldError::forbidden(&reviews_path, ONLY_WEBHOOK));
        }
        return;
    }
    match config {
        None => errors.push(FieldError::required(&config_path, "required when strategy is set to Webhook")),
        Some(config) => {
            let url = config.get("url").and_then(Value::as_str);
            let service = config.get("service").filter(|service| !service.is_null());
            match (url, service) {
                (Some(url), None) => self::url(url, &config_path.child("url"), errors),
                (None, Some(service)) => self::service(service, &config_path.child("service"), errors),
                _ => errors.push(FieldError::required(&config_path, "exactly one of url or service is required")),
            }
        }
    }
    review_versions(&reviews, &reviews_path, errors);
    if errors.len() == before {
        errors.push(FieldError::forbidden(&path.child("strategy"), UNSUPPORTED));
    }
}

fn review_versions(versions: &[&str], path: &FieldPath, errors: &mut FieldErrors) {
    if versions.is_empty() {
        errors.push(FieldError::required(path, ""));
        return;
    }
    for (index, version) in versions.iter().enumerate() {
        if versions.iter().take(index).any(|earlier| earlier == version) {
            errors.push(FieldError::invalid(&path.index(index), *version, "duplicate version"));
            continue;
        }
        for problem in validation::dns1035_label(version) {
            errors.push(FieldError::invalid(&path.index(index), *version, &problem));
        }
    }
    if !versions.iter().any(|version| matches!(*version, "v1" | "v1beta1")) {
        errors.push(FieldError::invalid(path, versions, "must include at least one of v1, v1beta1"));
    }
}

fn url(url: &str, path: &FieldPath, errors: &mut FieldErrors) {
    const FORM: &str = "; desired format: https://host[/path]";
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, tail) = if scheme.is_empty() { ("", rest) } else { rest.split_at(end) };
    let (user, host) = authority.rsplit_once('@').map_or((None, authority), |(user, host)| (Some(user), host));
    if scheme != "https" {
        let detail = format!("'https' is the only allowed URL scheme{FORM}");
        errors.push(FieldError::invalid(path, scheme, &detail));
    }
    if host.is_empty() {
        errors.push(FieldError::invalid(path, host, &format!("host must be specified{FORM}")));
    }
    if let Some(user) = user {
        errors.push(FieldError::invalid(path, user, "user information is not permitted in the URL"));
    }
    let (before, fragment) = tail.split_once('#').unwrap_or((tail, ""));
    if !fragment.is_empty() {
        errors.push(FieldError::invalid(path, fragment, "fragments are not permitted in the URL"));
    }
    if let Some((_, query)) = before.split_once('?').filter(|(_, query)| !query.is_empty()) {
        errors.push(FieldError::invalid(path, query, "query parameters are not permitted in the URL"));
    }
}

fn service(service: &Value, path: &FieldPath, errors: &mut FieldErrors) {
    for (field, detail) in [("name", "service name is required"), ("namespace", "service namespace is required")] {
        if text(service, field).is_empty() {
            errors.push(FieldError::required(&path.child(field), detail));
        }
    }
    let port = service.get("port").and_then(Value::as_i64).unwrap_or(443);
    if !(1..=65535).contains(&port) {
        let detail = "port is not valid: must be between 1 and 65535, inclusive";
        errors.push(FieldError::invalid(&path.child("port"), port, detail));
    }
    let at = path.child("path");
    let Some(target) = service.get("path").and_then(Value::as_str) else { return };
    let segments = match target.strip_prefix('/') {
        Some("") => return,
        Some(segments) if !segments.starts_with('/') => segments.strip_suffix('/').unwrap_or(segments),
        _ => {
            errors.push(FieldError::invalid(&at, target, "must start with a '/'"));
            return;
        }
    };
    for (index, segment) in segments.split('/').enumerate() {
        let problems = validation::dns1123_subdomain(segment);
        if segment.is_empty() {
            errors.push(FieldError::invalid(&at, target, &format!("segment[{index}] may not be empty")));
        } else if !problems.is_empty() {
            let detail = format!("segment[{index}]: {}", problems.join(", "));
            errors.push(FieldError::invalid(&at, target, &detail));
        }
    }
}
