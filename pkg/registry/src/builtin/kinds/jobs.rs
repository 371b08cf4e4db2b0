//! Jobs and cron jobs.

use kcp_apimachinery::{FieldError, FieldErrors, FieldPath, Status, object};
use serde_json::{Map, Value, json};

use super::{built_in, immutable, not_negative, pod_checks, pods, set, set_default, set_default_text, text, within};
use crate::strategy::{Strategy, StrategyContext};

pub(super) struct Jobs;
pub(super) struct CronJobs;

const POLICIES: [&str; 2] = ["OnFailure", "Never"];

fn job_defaults(spec: &mut Map<String, Value>) {
    if spec.get("completions").is_none_or(Value::is_null) && spec.get("parallelism").is_none_or(Value::is_null) {
        spec.insert("completions".into(), 1.into());
    }
    set_default(spec, "parallelism", 1);
    set_default(spec, "backoffLimit", 6);
    set_default_text(spec, "completionMode", "NonIndexed");
    set_default(spec, "suspend", false);
    let replacement = if spec.contains_key("podFailurePolicy") { "Failed" } else { "TerminatingOrFailed" };
    set_default_text(spec, "podReplacementPolicy", replacement);
    pods::template_defaults(spec);
}

impl Strategy for Jobs {
    built_in!();

    fn default(&self, job: &mut Value, _: &StrategyContext<'_>) {
        let labels = job.pointer("/spec/template/metadata/labels").cloned();
        let map = object::as_map(job);
        within(map, "spec", job_defaults);
        if let Some(labels) = labels {
            within(map, "metadata", |meta| set_default(meta, "labels", labels));
        }
    }

    fn prepare_create(&self, new: &mut Value, _: &StrategyContext<'_>) -> Result<(), Status> {
        set(new, "status", json!({}));
        if new.pointer("/spec/manualSelector") != Some(&Value::Bool(true)) {
            generate_selector(new);
        }
        Ok(())
    }

    fn validate_create(&self, new: &Value, _: &StrategyContext<'_>) -> FieldErrors {
        job(new)
    }

    fn validate_update(&self, new: &Value, old: &Value, ctx: &StrategyContext<'_>) -> FieldErrors {
        if ctx.subresource == "status" {
            return FieldErrors::new();
        }
        let mut errors = job(new);
        let spec = FieldPath::new("spec");
        for field in ["selector", "template", "completionMode", "podFailurePolicy", "managedBy", "completions"] {
            // An indexed job may be scaled together with its parallelism.
            let scalable = field == "completions" && text(new, "/spec/completionMode") == "Indexed";
            if !scalable {
                let pointer = format!("/spec/{field}");
                immutable(new.pointer(&pointer), old.pointer(&pointer), &spec.child(field), &mut errors);
            }
        }
        errors
    }
}

/// The pods of a job are known by its uid, which nobody else can have.
fn generate_selector(job: &mut Value) {
    let (uid, name) = (object::uid(job).to_owned(), object::name(job).to_owned());
    let spec = object::child_mut(job, "spec");
    let template = spec.entry("template").or_insert_with(|| json!({}));
    for (key, value) in [
        ("batch.kubernetes.io/controller-uid", &uid),
        ("batch.kubernetes.io/job-name", &name),
        ("controller-uid", &uid),
        ("job-name", &name),
    ] {
        object::set_label(template, key, value);
    }
    let selector = object::as_map(spec.entry("selector").or_insert(Value::Null));
    let labels = object::as_map(selector.entry("matchLabels").or_insert(Value::Null));
    labels.insert("batch.kubernetes.io/controller-uid".into(), uid.into());
}

fn job_spec(o: &Value, path: &FieldPath, errors: &mut FieldErrors) {
    for field in ["parallelism", "completions", "activeDeadlineSeconds", "backoffLimit", "ttlSecondsAfterFinished"] {
        not_negative(o, &format!("/{field}"), &path.child(field), errors);
    }
    let mode = text(o, "/completionMode");
    if !matches!(mode, "NonIndexed" | "Indexed") {
        errors.push(FieldError::not_supported(&path.child("completionMode"), mode, &["Indexed", "NonIndexed"]));
    }
    if mode == "Indexed" && o.get("completions").is_none() {
        let detail = format!("when completion mode is {mode}");
        errors.push(FieldError::required(&path.child("completions"), &detail));
    }
    let empty = json!({});
    pod_checks::template(o.get("template").unwrap_or(&empty), &path.child("template"), &POLICIES, errors);
}

fn job(o: &Value) -> FieldErrors {
    let mut errors = FieldErrors::new();
    if let Some(spec) = o.get("spec") {
        job_spec(spec, &FieldPath::new("spec"), &mut errors);
    }
    if o.pointer("/spec/selector").is_none() {
        errors.push(FieldError::required(&FieldPath::new("spec.selector"), ""));
    }
    errors
}

impl Strategy for CronJobs {
    built_in!(status);

    fn default(&self, o: &mut Value, _: &StrategyContext<'_>) {
        within(object::as_map(o), "spec", |spec| {
            set_default_text(spec, "concurrencyPolicy", "Allow");
            set_default(spec, "suspend", false);
            set_default(spec, "successfulJobsHistoryLimit", 3);
            set_default(spec, "failedJobsHistoryLimit", 1);
            within(spec, "jobTemplate", |t| within(t, "spec", pods::template_defaults));
        });
    }

    fn validate_create(&self, new: &Value, _: &StrategyContext<'_>) -> FieldErrors {
        cron_job(new)
    }

    fn validate_update(&self, new: &Value, _: &Value, ctx: &StrategyContext<'_>) -> FieldErrors {
        if ctx.subresource == "status" { FieldErrors::new() } else { cron_job(new) }
    }
}

fn cron_job(o: &Value) -> FieldErrors {
    let mut errors = FieldErrors::new();
    let spec = FieldPath::new("spec");
    // Room for what the names of its jobs add.
    if object::name(o).len() > 52 {
        let detail = "must be no more than 52 characters";
        errors.push(FieldError::invalid(&FieldPath::new("metadata.name"), object::name(o), detail));
    }
    let schedule = text(o, "/spec/schedule");
    let fields = schedule.split_whitespace().count();
    if schedule.is_empty() {
        errors.push(FieldError::required(&spec.child("schedule"), ""));
    } else if fields != 5 && !(schedule.starts_with('@') && fields <= 2) {
        let detail = format!("expected exactly 5 fields, found {fields}: [{schedule}]");
        errors.push(FieldError::invalid(&spec.child("schedule"), schedule, &detail));
    }
    let policies = ["Allow", "Forbid", "Replace"];
    let policy = text(o, "/spec/concurrencyPolicy");
    if !policies.contains(&policy) {
        errors.push(FieldError::not_supported(&spec.child("concurrencyPolicy"), policy, &policies));
    }
    for field in ["startingDeadlineSeconds", "successfulJobsHistoryLimit", "failedJobsHistoryLimit"] {
        not_negative(o, &format!("/spec/{field}"), &spec.child(field), &mut errors);
    }
    let empty = json!({});
    let template = o.pointer("/spec/jobTemplate/spec/template").unwrap_or(&empty);
    let path = spec.child("jobTemplate").child("spec").child("template");
    pod_checks::template(template, &path, &POLICIES, &mut errors);
    errors
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors_are_generated() {
        let mut o = json!({"metadata": {"name": "j", "uid": "u-1"}, "spec": {"template": {"metadata": {"labels": {"x": "y"}}}}});
        generate_selector(&mut o);
        assert_eq!(o["spec"]["selector"], json!({"matchLabels": {"batch.kubernetes.io/controller-uid": "u-1"}}));
        assert_eq!(
            o["spec"]["template"]["metadata"]["labels"],
            json!({"x": "y", "batch.kubernetes.io/controller-uid": "u-1", "batch.kubernetes.io/job-name": "j",
                "controller-uid": "u-1", "job-name": "j"})
        );
    }

    #[test]
    fn defaults_and_checks() {
        let mut spec = json!({"template": {"spec": {"containers": [{"name": "c", "image": "i"}]}}});
        job_defaults(object::as_map(&mut spec));
        assert_eq!(
            (&spec["completions"], &spec["parallelism"], &spec["backoffLimit"]),
            (&json!(1), &json!(1), &json!(6))
        );
        let mut errors = FieldErrors::new();
        job_spec(&spec, &FieldPath::new("spec"), &mut errors);
        let found: Vec<String> = errors.iter().map(ToString::to_string).collect();
        assert_eq!(
            found,
            [
                "spec.template.spec.restartPolicy: Unsupported value: \"Always\": supported values: \"OnFailure\", \"Never\""
            ]
        );
        let texts: Vec<String> = cron_job(&json!({"spec": {"schedule": "* *", "concurrencyPolicy": "Allow"}}))
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(texts[0], "spec.schedule: Invalid value: \"* *\": expected exactly 5 fields, found 2: [* *]");
    }
}
