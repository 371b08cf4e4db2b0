//! Parsing and refusing options: one place for the texts of every entrance (C-09, C-10, C-12, A-09, X-01, X-02, L-08).

use kcp_apimachinery::{
    FieldError, FieldErrors, FieldPath, GroupKind, Status, field::go_quote, validation::validate_field_manager,
};
use kcp_storage::Revision;
use serde_json::Value;

use crate::{
    decode::{self, FieldValidation},
    request::{Body, DeleteOptions, ListOptions, PatchKind, WriteOptions},
    types::ResourceInfo,
};

/// Options of a write, checked.
#[derive(Debug, Clone, Default)]
pub(crate) struct Write {
    pub(crate) dry_run: bool,
    pub(crate) manager: String,
    pub(crate) validation: FieldValidation,
    pub(crate) force: bool,
}

/// Which verb's options they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WriteVerb {
    Create,
    Update,
    Patch(PatchKind),
}

impl WriteVerb {
    fn options_kind(self) -> &'static str {
        match self {
            Self::Create => "CreateOptions",
            Self::Update => "UpdateOptions",
            Self::Patch(_) => "PatchOptions",
        }
    }
}

fn refuse(kind: &str, errors: &FieldErrors) -> Status {
    Status::invalid(&GroupKind::new("meta.k8s.io", kind), "", errors)
}

fn check_dry_run(values: &[String], errors: &mut FieldErrors) -> bool {
    if values.iter().any(|v| v != "All") {
        errors.push(FieldError::not_supported(&FieldPath::new("dryRun"), Value::from(values.to_vec()), &["All"]));
    }
    !values.is_empty()
}

impl WriteOptions {
    /// Checks the options for a verb.
    pub(crate) fn check(&self, verb: WriteVerb) -> Result<Write, Status> {
        let mut errors = FieldErrors::new();
        let apply = verb == WriteVerb::Patch(PatchKind::Apply);
        if matches!(verb, WriteVerb::Patch(_)) {
            if apply {
                if self.field_manager.is_empty() {
                    errors.push(FieldError::required(&FieldPath::new("fieldManager"), "is required for apply patch"));
                }
            } else if self.force.is_some() {
                errors
                    .push(FieldError::forbidden(&FieldPath::new("force"), "may not be specified for non-apply patch"));
            }
        }
        errors.extend(validate_field_manager(&self.field_manager, &FieldPath::new("fieldManager")));
        let dry_run = check_dry_run(&self.dry_run, &mut errors);
        let validation = match self.field_validation.as_str() {
            "" | "Warn" => FieldValidation::Warn,
            "Ignore" => FieldValidation::Ignore,
            "Strict" => FieldValidation::Strict,
            other => {
                let known = ["", "Ignore", "Strict", "Warn"];
                errors.push(FieldError::not_supported(&FieldPath::new("fieldValidation"), other, &known));
                FieldValidation::Warn
            }
        };
        if errors.is_empty() {
            Ok(Write { dry_run, manager: self.manager(), validation, force: self.force.unwrap_or(false) })
        } else {
            Err(refuse(verb.options_kind(), &errors))
        }
    }

    /// The field manager: as given, else the user agent up to its first slash (C-10).
    fn manager(&self) -> String {
        const LONGEST: usize = 128;
        if !self.field_manager.is_empty() {
            return self.field_manager.clone();
        }
        let first = self.user_agent.split('/').next().unwrap_or_default();
        let mut name: String = first.chars().filter(|c| !c.is_control()).collect();
        while name.len() > LONGEST {
            name.pop();
        }
        if name.is_empty() { "unknown".to_owned() } else { name }
    }
}

/// Options of a delete, checked.
#[derive(Debug, Clone, Default)]
pub(crate) struct Delete {
    pub(crate) dry_run: bool,
    pub(crate) policy: Option<Policy>,
    pub(crate) grace: Option<i64>,
    pub(crate) uid: Option<String>,
    pub(crate) resource_version: Option<String>,
}

/// What is to become of the dependents (X-04 to X-07).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Policy {
    Background,
    Foreground,
    Orphan,
}

impl DeleteOptions {
    /// Reads the body of a delete; an empty body changes nothing, else it replaces the query's options (X-01).
    ///
    /// # Errors
    /// 400 for a body that is not `DeleteOptions`.
    pub fn merge_body(&mut self, body: &Body, info: &ResourceInfo) -> Result<(), Status> {
        if body.json.iter().all(u8::is_ascii_whitespace) {
            return Ok(());
        }
        let parsed = decode::parse(body).map_err(|e| {
            Status::bad_request(format!(
                "couldn't get version/kind; json parse error: {}",
                decode::go_json_error(&body.json, &e)
            ))
        })?;
        let value = parsed.value;
        if !value.is_object() {
            return Err(Status::bad_request("couldn't get version/kind; json parse error: the body is not an object"));
        }
        let text = |field: &str| value.get(field).and_then(Value::as_str).unwrap_or_default();
        let (version, kind) = (text("apiVersion"), text("kind"));
        let own = info.gvk.api_version();
        if (!kind.is_empty() && kind != "DeleteOptions")
            || !(["", "v1", "meta.k8s.io/v1"].contains(&version) || version == own)
        {
            return Err(Status::bad_request(format!(
                "no kind {} is registered for version {} in scheme \"k8s.io/apimachinery/pkg/apis/meta/internalversion/scheme/register.go:27\"",
                go_quote(kind),
                go_quote(version)
            )));
        }
        let bad = |field: &str, want: &str| {
            Status::bad_request(format!(
                "json: cannot unmarshal into Go struct field DeleteOptions.{field} of type {want}"
            ))
        };
        let field = |name: &str| value.get(name).filter(|v| !v.is_null());
        let mut options = Self::default();
        if let Some(list) = field("dryRun") {
            let items = list.as_array().ok_or_else(|| bad("dryRun", "[]string"))?;
            options.dry_run = items
                .iter()
                .map(|v| v.as_str().map(str::to_owned).ok_or_else(|| bad("dryRun", "string")))
                .collect::<Result<_, _>>()?;
        }
        if let Some(v) = field("propagationPolicy") {
            v.as_str()
                .ok_or_else(|| bad("propagationPolicy", "v1.DeletionPropagation"))?
                .clone_into(&mut options.propagation_policy);
        }
        if let Some(v) = field("orphanDependents") {
            options.orphan_dependents = Some(v.as_bool().ok_or_else(|| bad("orphanDependents", "bool"))?);
        }
        if let Some(v) = field("gracePeriodSeconds") {
            options.grace_period_seconds = Some(v.as_i64().ok_or_else(|| bad("gracePeriodSeconds", "int64"))?);
        }
        if let Some(pre) = field("preconditions") {
            let part = |name: &str| match pre.get(name).filter(|v| !v.is_null()) {
                None => Ok(None),
                Some(v) => v.as_str().map(|s| Some(s.to_owned())).ok_or_else(|| bad("preconditions", "string")),
            };
            options.uid = part("uid")?;
            options.resource_version = part("resourceVersion")?;
        }
        *self = options;
        Ok(())
    }

    pub(crate) fn check(&self) -> Result<Delete, Status> {
        let mut errors = FieldErrors::new();
        let at = FieldPath::new("propagationPolicy");
        let given = self.propagation_policy.as_str();
        let mut policy = match given {
            "" => None,
            "Background" => Some(Policy::Background),
            "Foreground" => Some(Policy::Foreground),
            "Orphan" => Some(Policy::Orphan),
            other => {
                errors.push(FieldError::not_supported(&at, other, &["Foreground", "Background", "Orphan", "nil"]));
                None
            }
        };
        if !given.is_empty() && self.orphan_dependents.is_some() {
            errors.push(FieldError::invalid(&at, given, "orphanDependents and deletionPropagation cannot be both set"));
        }
        if let Some(orphan) = self.orphan_dependents {
            policy = policy.or(Some(if orphan { Policy::Orphan } else { Policy::Background }));
        }
        let dry_run = check_dry_run(&self.dry_run, &mut errors);
        if !errors.is_empty() {
            return Err(refuse("DeleteOptions", &errors));
        }
        Ok(Delete {
            dry_run,
            policy,
            // A negative period means one second (X-11).
            grace: self.grace_period_seconds.map(|s| if s < 0 { 1 } else { s }),
            uid: self.uid.clone(),
            resource_version: self.resource_version.clone(),
        })
    }
}

/// Which state a list shows (L-02 to L-07).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum At {
    /// The newest.
    Latest,
    /// Any; a limit is not kept.
    Any,
    /// One that is not older.
    NotOlder(Revision),
    /// Exactly that one.
    Exact(Revision),
}

const MATCH: &str = "resourceVersionMatch";

/// Parses a resourceVersion; the text is that of Kubernetes.
pub(crate) fn parse_revision(text: &str) -> Result<Revision, String> {
    text.parse().map_err(|_| {
        let quoted = go_quote(text);
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let why = if digits { "value out of range" } else { "invalid syntax" };
        format!("resourceVersion: Invalid value: {quoted}: strconv.ParseUint: parsing {quoted}: {why}")
    })
}

impl ListOptions {
    /// Checks the options of a list and says which state it shows.
    pub(crate) fn check_list(&self) -> Result<At, Status> {
        let mut errors = FieldErrors::new();
        let path = FieldPath::new(MATCH);
        let (rv, matching) = (self.resource_version.as_str(), self.resource_version_match.as_str());
        if !matching.is_empty() {
            if rv.is_empty() {
                errors.push(FieldError::forbidden(
                    &path,
                    "resourceVersionMatch is forbidden unless resourceVersion is provided",
                ));
            }
            if !self.continue_token.is_empty() {
                errors
                    .push(FieldError::forbidden(&path, "resourceVersionMatch is forbidden when continue is provided"));
            }
            if !["Exact", "NotOlderThan"].contains(&matching) {
                errors.push(FieldError::not_supported(&path, matching, &["Exact", "NotOlderThan", ""]));
            }
            if matching == "Exact" && rv == "0" {
                errors.push(FieldError::forbidden(
                    &path,
                    "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"",
                ));
            }
        }
        if self.send_initial_events.is_some() {
            errors.push(FieldError::forbidden(
                &FieldPath::new("sendInitialEvents"),
                "sendInitialEvents is forbidden for list",
            ));
        }
        if !errors.is_empty() {
            return Err(refuse("ListOptions", &errors));
        }
        if !self.continue_token.is_empty() && !["", "0"].contains(&rv) {
            return Err(Status::bad_request("specifying resource version is not allowed when using continue"));
        }
        if rv.is_empty() {
            return Ok(At::Latest);
        }
        let revision = parse_revision(rv).map_err(|e| Status::bad_request(format!("invalid resource version: {e}")))?;
        Ok(match (revision, matching) {
            (0, _) => At::Any,
            (n, "Exact") => At::Exact(n),
            (n, "") if self.limit > 0 => At::Exact(n),
            (n, _) => At::NotOlder(n),
        })
    }

    /// Checks the options of a watch. Returns the resourceVersion and whether initial events are wanted.
    pub(crate) fn check_watch(&self) -> Result<(Option<Revision>, bool), Status> {
        let mut errors = FieldErrors::new();
        let path = FieldPath::new(MATCH);
        let matching = self.resource_version_match.as_str();
        if self.send_initial_events.is_some() && matching != "NotOlderThan" {
            errors.push(FieldError::forbidden(
                &path,
                "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
            ));
        }
        if !matching.is_empty() {
            if self.send_initial_events.is_none() {
                errors.push(FieldError::forbidden(
                    &path,
                    "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
                ));
            }
            if matching != "NotOlderThan" {
                errors.push(FieldError::not_supported(&path, matching, &["NotOlderThan"]));
            }
            if !self.continue_token.is_empty() {
                errors
                    .push(FieldError::forbidden(&path, "resourceVersionMatch is forbidden when continue is provided"));
            }
        }
        if !errors.is_empty() {
            return Err(refuse("ListOptions", &errors));
        }
        let revision = match self.resource_version.as_str() {
            "" => None,
            text => Some(
                parse_revision(text).map_err(|e| Status::failure(500, kcp_apimachinery::status::reason::UNKNOWN, e))?,
            ),
        };
        let initial = match self.send_initial_events {
            Some(wanted) => wanted,
            None => matches!(revision, None | Some(0)),
        };
        Ok((revision, initial))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// L-02 to L-08, L-11, W-14: which state a list shows, or why it does not.
    #[test]
    fn the_matrix_of_lists() {
        let n = At::NotOlder(5);
        for (rv, matching, limit, token, want) in [
            ("", "", 0, "", Ok(At::Latest)),
            ("0", "", 0, "", Ok(At::Any)),
            ("0", "NotOlderThan", 0, "", Ok(At::Any)),
            ("5", "", 0, "", Ok(n)),
            ("5", "", 3, "", Ok(At::Exact(5))),
            ("5", "NotOlderThan", 3, "", Ok(n)),
            ("5", "Exact", 0, "", Ok(At::Exact(5))),
            ("0", "Exact", 0, "", Err(422)),
            ("", "Exact", 0, "", Err(422)),
            ("5", "Fuzzy", 0, "", Err(422)),
            ("", "NotOlderThan", 2, "t", Err(422)),
            ("5", "", 2, "t", Err(400)),
            ("0", "", 2, "t", Ok(At::Any)),
            ("abc", "", 0, "", Err(400)),
        ] {
            let options = ListOptions {
                resource_version: rv.into(),
                resource_version_match: matching.into(),
                limit,
                continue_token: token.into(),
                ..ListOptions::default()
            };
            assert_eq!(options.check_list().map_err(|s| s.code), want, "{rv} {matching} {limit} {token}");
        }
        let initial = ListOptions { send_initial_events: Some(true), ..ListOptions::default() };
        assert_eq!(initial.check_list().map_err(|s| s.code), Err(422));
    }

    /// W-03, W-10, W-13, L-08.
    #[test]
    fn the_matrix_of_watches() {
        for (rv, matching, send, want) in [
            ("", "", None, Ok((None, true))),
            ("0", "", None, Ok((Some(0), true))),
            ("7", "", None, Ok((Some(7), false))),
            ("", "NotOlderThan", Some(true), Ok((None, true))),
            ("7", "NotOlderThan", Some(true), Ok((Some(7), true))),
            ("7", "NotOlderThan", Some(false), Ok((Some(7), false))),
            ("", "", Some(true), Err(422)),
            ("1", "Exact", Some(true), Err(422)),
            ("0", "NotOlderThan", None, Err(422)),
            ("x1", "", None, Err(500)),
        ] {
            let options = ListOptions {
                resource_version: rv.into(),
                resource_version_match: matching.into(),
                send_initial_events: send,
                ..ListOptions::default()
            };
            assert_eq!(options.check_watch().map_err(|s| s.code), want, "{rv} {matching} {send:?}");
        }
    }

    #[test]
    fn write_options_are_checked() {
        // C-09, C-10, C-12, A-09
        let options = |f: fn(&mut WriteOptions)| {
            let mut o = WriteOptions { user_agent: "mytool/v2.3 (linux)".into(), ..WriteOptions::default() };
            f(&mut o);
            o
        };
        let ok = options(|_| {}).check(WriteVerb::Create).unwrap();
        assert_eq!((ok.manager.as_str(), ok.dry_run, ok.validation), ("mytool", false, FieldValidation::Warn));
        for (f, verb, message) in [
            (
                (|o| o.dry_run = vec!["Some".into()]) as fn(&mut WriteOptions),
                WriteVerb::Create,
                "CreateOptions.meta.k8s.io \"\" is invalid: dryRun: Unsupported value: [\"Some\"]: supported values: \"All\"",
            ),
            (
                |o| o.field_validation = "Loose".into(),
                WriteVerb::Create,
                "CreateOptions.meta.k8s.io \"\" is invalid: fieldValidation: Unsupported value: \"Loose\": supported values: \"\", \"Ignore\", \"Strict\", \"Warn\"",
            ),
            (
                |o| o.force = Some(true),
                WriteVerb::Patch(PatchKind::Merge),
                "PatchOptions.meta.k8s.io \"\" is invalid: force: Forbidden: may not be specified for non-apply patch",
            ),
            (
                |_| {},
                WriteVerb::Patch(PatchKind::Apply),
                "PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Required value: is required for apply patch",
            ),
            (
                |o| o.field_manager = "m".repeat(129),
                WriteVerb::Create,
                "CreateOptions.meta.k8s.io \"\" is invalid: fieldManager: Too long: may not be more than 128 bytes",
            ),
        ] {
            assert_eq!(options(f).check(verb).unwrap_err().message, message);
        }
    }

    #[test]
    fn delete_options_are_checked() {
        // X-01, X-02
        let info = crate::testing::config_maps();
        let mut options = DeleteOptions { propagation_policy: "Sideways".into(), ..DeleteOptions::default() };
        assert_eq!(options.check().unwrap_err().code, 422);
        options
            .merge_body(
                &Body::json(&br#"{"kind":"DeleteOptions","apiVersion":"v1","propagationPolicy":"Orphan"}"#[..]),
                &info,
            )
            .unwrap();
        assert_eq!(options.check().unwrap().policy, Some(Policy::Orphan));
        for bad in ["{nope", "[]", r#"{"apiVersion":"v1","kind":"ConfigMap"}"#, r#"{"gracePeriodSeconds":"x"}"#] {
            assert_eq!(
                DeleteOptions::default().merge_body(&Body::json(bad.as_bytes().to_vec()), &info).unwrap_err().code,
                400
            );
        }
    }
}
