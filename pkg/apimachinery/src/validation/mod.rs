//! What names, labels and metadata may look like (C-05, C-06, U-09), in Kubernetes' words.
//!
//! Checks of a single text return the list of complaints, empty when it is fine; they are plain scans without regular
//! expressions, because every write runs dozens of them. Checks of an object return [`FieldErrors`](crate::FieldErrors).

mod meta;
mod text;

pub use meta::{
    finalizer_warnings, validate_annotations, validate_core_finalizers, validate_field_manager, validate_labels,
    validate_object_meta, validate_object_meta_update, validate_owner_references,
};
pub use text::{
    config_map_key, dns1035_label, dns1123_label, dns1123_subdomain, label_value, max_len_error, path_segment_name,
    qualified_name, regex_error,
};

/// Whether `text` is a DNS-1123 label.
pub fn is_dns1123_label(text: &str) -> bool {
    dns1123_label(text).is_empty()
}

/// Whether `text` is a DNS-1123 subdomain.
pub fn is_dns1123_subdomain(text: &str) -> bool {
    dns1123_subdomain(text).is_empty()
}

/// Checks the name of an object. The flag says that the text is a prefix that gets a suffix (`generateName`).
pub type NameFn = fn(&str, bool) -> Vec<String>;

/// Names that are DNS-1123 subdomains: most kinds and all custom resources (C-05).
pub fn name_is_subdomain(name: &str, prefix: bool) -> Vec<String> {
    dns1123_subdomain(&as_whole(name, prefix))
}

/// Names that are DNS-1123 labels: namespaces (C-05).
pub fn name_is_label(name: &str, prefix: bool) -> Vec<String> {
    dns1123_label(&as_whole(name, prefix))
}

/// Names that are DNS-1035 labels: services.
pub fn name_is_dns1035_label(name: &str, prefix: bool) -> Vec<String> {
    dns1035_label(&as_whole(name, prefix))
}

/// Names that can stand between two slashes of a URL: roles and bindings (C-05).
pub fn name_is_path_segment(name: &str, prefix: bool) -> Vec<String> {
    path_segment_name(name, prefix)
}

/// A prefix may end where a name may not: what follows the dash is still to come.
fn as_whole(name: &str, prefix: bool) -> std::borrow::Cow<'_, str> {
    match name.strip_suffix('-') {
        Some(cut) if prefix && !cut.is_empty() => format!("{cut}a").into(),
        _ => name.into(),
    }
}
