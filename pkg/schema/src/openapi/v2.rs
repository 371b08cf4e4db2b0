//! Swagger 2.0 out of OpenAPI v3 documents (O-01, O-07, O-08, O-17).
//!
//! What old clients validate with must never refuse what the server takes, so everything that version 2 of OpenAPI, or
//! the reader in `kubectl`, cannot express is loosened.

use serde_json::{Map, Value, json};

use super::{GVK, REF_PREFIX, unite_kinds};

/// The Swagger 2.0 document of everything that the OpenAPI v3 `documents` describe.
pub fn v2_document<'a>(documents: impl IntoIterator<Item = &'a Value>, version: &str) -> Value {
    let (mut paths, mut definitions) = (Map::new(), Map::new());
    for document in documents {
        for (path, item) in object(document.get("paths")) {
            if !paths.contains_key(path) {
                paths.insert(path.clone(), path_item(item));
            }
        }
        for (name, schema) in object(document.pointer("/components/schemas")) {
            match definitions.get_mut(name) {
                Some(known) => unite_kinds(known, schema),
                None => {
                    definitions.insert(name.clone(), definition(name, schema));
                }
            }
        }
    }
    json!({
        "swagger": "2.0",
        "info": {"title": "Kubernetes", "version": version},
        "paths": paths,
        "definitions": definitions,
        "securityDefinitions": {"BearerToken": {
            "type": "apiKey", "in": "header", "name": "authorization",
            "description": "Bearer Token authentication",
        }},
        "security": [{"BearerToken": []}],
    })
}

fn object(value: Option<&Value>) -> impl Iterator<Item = (&String, &Value)> {
    value.and_then(Value::as_object).into_iter().flatten()
}

fn definition(name: &str, schema: &Value) -> Value {
    match name {
        "io.k8s.apimachinery.pkg.util.intstr.IntOrString" => {
            return json!({"type": "string", "format": "int-or-string"});
        }
        "io.k8s.apimachinery.pkg.api.resource.Quantity" => return json!({"type": "string"}),
        _ => {}
    }
    if preserves_unknown(schema) {
        // Any property would be taken for all there are.
        let mut bare = json!({"type": "object"});
        for key in [GVK, "x-kubernetes-selectable-fields", "description"] {
            if let (Some(value), Value::Object(map)) = (schema.get(key), &mut bare) {
                map.insert(key.to_owned(), value.clone());
            }
        }
        return bare;
    }
    down_convert(schema)
}

fn preserves_unknown(schema: &Value) -> bool {
    schema.get("x-kubernetes-preserve-unknown-fields").and_then(Value::as_bool) == Some(true)
}

fn is_nullable(schema: &Value) -> bool {
    schema.get("nullable").and_then(Value::as_bool) == Some(true)
}

/// A schema without what version 2 lacks (O-08). The depth of a JSON tree that was parsed is bounded.
fn down_convert(schema: &Value) -> Value {
    let Value::Object(from) = schema else {
        // `true` and `false` as schemas are not known to version 2; anything goes.
        return json!({});
    };
    let loose = is_nullable(schema) || preserves_unknown(schema);
    let mut to = Map::new();
    for (key, value) in from {
        match key.as_str() {
            // A lone reference that stands in allOf to have siblings; version 2 allows them beside it.
            "allOf" => {
                if let Some(target) = lone_reference(value) {
                    to.insert("$ref".into(), converted_reference(target));
                }
            }
            "$ref" => {
                if let Some(target) = value.as_str() {
                    to.insert("$ref".into(), converted_reference(target));
                }
            }
            "oneOf" | "anyOf" | "not" | "nullable" | "default" | "deprecated" | "writeOnly" => {}
            "type" if loose => {}
            "properties" | "items" if loose => {}
            "additionalProperties" if is_nullable(schema) => {}
            "properties" => {
                let children = object(Some(value)).map(|(name, child)| (name.clone(), down_convert(child)));
                to.insert(key.clone(), children.collect::<Map<_, _>>().into());
            }
            "items" => {
                to.insert(key.clone(), down_convert(value));
            }
            "additionalProperties" => {
                let value = if value.is_boolean() { value.clone() } else { down_convert(value) };
                to.insert(key.clone(), value);
            }
            "required" => {
                let properties = from.get("properties");
                let kept: Vec<Value> = value
                    .as_array()
                    .into_iter()
                    .flatten()
                    .filter(|name| {
                        let child = name.as_str().and_then(|n| properties.and_then(|p| p.get(n)));
                        !loose && !child.is_some_and(is_nullable)
                    })
                    .cloned()
                    .collect();
                if !kept.is_empty() {
                    to.insert(key.clone(), kept.into());
                }
            }
            _ => {
                to.insert(key.clone(), value.clone());
            }
        }
    }
    if to.contains_key("$ref") {
        // A reference with a type or properties beside it is an error to the readers.
        to.retain(|key, _| key == "$ref" || key == "description" || key.starts_with("x-"));
    }
    if to.get("type").and_then(Value::as_str) == Some("array") && !to.contains_key("items") {
        to.remove("type");
    }
    to.into()
}

fn lone_reference(all_of: &Value) -> Option<&str> {
    match all_of.as_array()?.as_slice() {
        [one] => one.get("$ref")?.as_str(),
        _ => None,
    }
}

fn converted_reference(target: &str) -> Value {
    match target.strip_prefix(REF_PREFIX) {
        Some(name) => format!("#/definitions/{name}").into(),
        None => target.into(),
    }
}

fn path_item(item: &Value) -> Value {
    let mut out = Map::new();
    for (key, value) in object(Some(item)) {
        let value = match key.as_str() {
            "parameters" => parameters(value).into(),
            "get" | "put" | "post" | "delete" | "patch" | "head" | "options" => operation(value),
            _ => value.clone(),
        };
        out.insert(key.clone(), value);
    }
    out.into()
}

fn operation(op: &Value) -> Value {
    let mut out = Map::new();
    let mut all = Vec::new();
    for (key, value) in object(Some(op)) {
        match key.as_str() {
            "parameters" => all.extend(parameters(value)),
            "requestBody" => {
                let (types, schema) = media(value);
                let required = value.get("required").and_then(Value::as_bool) == Some(true);
                let mut body = json!({"in": "body", "name": "body", "schema": schema.unwrap_or_else(|| json!({}))});
                if required && let Value::Object(map) = &mut body {
                    map.insert("required".into(), true.into());
                }
                all.insert(0, body);
                out.insert("consumes".into(), types.into());
            }
            "responses" => {
                let mut produces = Vec::new();
                let responses: Map<String, Value> =
                    object(Some(value)).map(|(code, r)| (code.clone(), response(code, r, &mut produces))).collect();
                out.insert("responses".into(), responses.into());
                out.insert("produces".into(), produces.into());
            }
            _ => {
                out.insert(key.clone(), value.clone());
            }
        }
    }
    if !out.contains_key("consumes") {
        out.insert("consumes".into(), json!(["*/*"]));
    }
    out.insert("schemes".into(), json!(["https"]));
    if !all.is_empty() {
        out.insert("parameters".into(), all.into());
    }
    out.into()
}

fn response(code: &str, response: &Value, produces: &mut Vec<Value>) -> Value {
    let (types, schema) = media(response);
    for t in types {
        if !produces.contains(&t) {
            produces.push(t);
        }
    }
    let text = response.get("description").and_then(Value::as_str).unwrap_or(match code {
        "401" => "Unauthorized",
        "201" => "Created",
        "202" => "Accepted",
        _ => "OK",
    });
    match schema {
        Some(schema) => json!({"description": text, "schema": schema}),
        None => json!({"description": text}),
    }
}

/// The media types of a `content`, and the schema that they share.
fn media(holder: &Value) -> (Vec<Value>, Option<Value>) {
    let types = object(holder.get("content")).map(|(name, _)| name.clone().into()).collect();
    let schema = object(holder.get("content")).find_map(|(_, media)| media.get("schema")).map(down_convert);
    (types, schema)
}

fn parameters(list: &Value) -> Vec<Value> {
    list.as_array()
        .into_iter()
        .flatten()
        .map(|parameter| {
            let mut out = Map::new();
            for (key, value) in object(Some(parameter)) {
                if key == "schema" {
                    out.extend(object(Some(value)).map(|(k, v)| (k.clone(), v.clone())));
                } else {
                    out.insert(key.clone(), value.clone());
                }
            }
            out.into()
        })
        .collect()
}
