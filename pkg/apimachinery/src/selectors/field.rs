//! Field selectors.

use std::{borrow::Cow, fmt};

use super::SelectorError;

/// How a field is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldOperator {
    /// `path=value` or `path==value`
    Eq,
    /// `path!=value`
    NotEq,
}

/// One condition on one field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldRequirement {
    /// The field's path, such as `metadata.name`.
    pub path: String,
    /// How it is compared.
    pub op: FieldOperator,
    /// With what; unescaped.
    pub value: String,
}

/// Conditions on fields, all of which must hold. The default one has none and matches everything.
///
/// Which paths exist is for the type to say; an unknown one is `field label not supported: <path>`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FieldSelector {
    requirements: Vec<FieldRequirement>,
}

impl FieldSelector {
    /// Parses the text of a `fieldSelector` query parameter (S-02).
    ///
    /// # Errors
    /// With Kubernetes' message when a term has no operator or an escape is malformed.
    pub fn parse(text: &str) -> Result<Self, SelectorError> {
        let mut terms = split(text);
        terms.sort_unstable();
        let mut requirements = Vec::new();
        for term in terms.into_iter().filter(|t| !t.is_empty()) {
            let (path, op, value) = operator(term)
                .ok_or_else(|| SelectorError(format!("invalid selector: '{text}'; can't understand '{term}'")))?;
            requirements.push(FieldRequirement { path: path.to_owned(), op, value: unescape(value)? });
        }
        Ok(Self { requirements })
    }

    /// A selector of one condition: `path` is `value`.
    pub fn one(path: &str, value: &str) -> Self {
        let requirement = FieldRequirement { path: path.to_owned(), op: FieldOperator::Eq, value: value.to_owned() };
        Self { requirements: vec![requirement] }
    }

    /// Whether the selector matches every object.
    pub fn is_empty(&self) -> bool {
        self.requirements.is_empty()
    }

    /// The conditions.
    pub fn requirements(&self) -> &[FieldRequirement] {
        &self.requirements
    }

    /// The value that `path` must have, if the selector demands one. Tells a list by name from others (T-05).
    pub fn exact(&self, path: &str) -> Option<&str> {
        self.requirements.iter().find(|r| r.path == path && r.op == FieldOperator::Eq).map(|r| r.value.as_str())
    }

    /// Whether the values that `get` gives fulfil all conditions; a field that is absent is the empty text.
    pub fn matches<'v>(&self, get: impl Fn(&str) -> Cow<'v, str>) -> bool {
        self.requirements.iter().all(|r| (get(&r.path) == r.value) == (r.op == FieldOperator::Eq))
    }
}

/// Splits at commas that no backslash precedes.
fn split(text: &str) -> Vec<&str> {
    let (mut terms, mut start, mut escaped) = (Vec::new(), 0, false);
    for (i, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            ',' => {
                terms.push(&text[start..i]);
                start = i + 1;
            }
            _ => {}
        }
    }
    terms.push(&text[start..]);
    terms
}

fn operator(term: &str) -> Option<(&str, FieldOperator, &str)> {
    term.char_indices().find_map(|(i, _)| {
        let (path, rest) = term.split_at(i);
        let with = |op: &str| rest.strip_prefix(op);
        with("!=")
            .map(|v| (path, FieldOperator::NotEq, v))
            .or_else(|| with("==").or_else(|| with("=")).map(|v| (path, FieldOperator::Eq, v)))
    })
}

fn unescape(value: &str) -> Result<String, SelectorError> {
    let bad = |sequence: &str| SelectorError(format!("invalid field selector: invalid escape sequence: {sequence}"));
    let mut out = String::with_capacity(value.len());
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some(c @ ('\\' | ',' | '=')) => out.push(c),
                Some(c) => return Err(bad(&format!("\\{c}"))),
                None => return Err(bad("\\")),
            },
            ',' | '=' => {
                return Err(SelectorError(format!(
                    "invalid field selector: unescaped character in value: {}",
                    c as u32
                )));
            }
            c => out.push(c),
        }
    }
    Ok(out)
}

/// The text that [`FieldSelector::parse`] reads back.
impl fmt::Display for FieldSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, r) in self.requirements.iter().enumerate() {
            let comma = if i > 0 { "," } else { "" };
            let op = if r.op == FieldOperator::Eq { "=" } else { "!=" };
            let value = r.value.replace('\\', "\\\\").replace(',', "\\,").replace('=', "\\=");
            write!(f, "{comma}{}{op}{value}", r.path)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn get(path: &str) -> Cow<'static, str> {
        Cow::Borrowed(match path {
            "metadata.name" => "n3",
            "spec.color" => "red",
            "spec.odd" => "a,b=c\\d",
            _ => "",
        })
    }

    #[test]
    fn selectors_match_s02() {
        let cases = [
            ("", true),
            ("metadata.name=n3", true),
            ("metadata.name==n3", true),
            ("metadata.name!=n3", false),
            ("spec.color=", false),
            ("spec.none=", true),
            ("spec.color=red,metadata.name=n5", false),
            ("spec.color=red,metadata.name=n3", true),
            ("spec.color=red,,", true),
            (r"spec.odd=a\,b\=c\\d", true),
        ];
        for (text, want) in cases {
            assert_eq!(FieldSelector::parse(text).unwrap().matches(get), want, "{text}");
        }
        assert_eq!(FieldSelector::parse("a!=1,b=2").unwrap().exact("b"), Some("2"));
        assert_eq!(FieldSelector::parse("a!=1").unwrap().exact("a"), None);
        assert!(FieldSelector::one("a", "b").matches(|_| "b".into()));
    }

    #[test]
    fn malformed_selectors_have_kubernetes_texts() {
        let cases = [
            ("spec.color>x", "invalid selector: 'spec.color>x'; can't understand 'spec.color>x'"),
            ("a=b,nonsense", "invalid selector: 'a=b,nonsense'; can't understand 'nonsense'"),
            (r"a=\x", r"invalid field selector: invalid escape sequence: \x"),
            (r"a=b\", r"invalid field selector: invalid escape sequence: \"),
            ("a=b=c", "invalid field selector: unescaped character in value: 61"),
        ];
        for (text, want) in cases {
            assert_eq!(FieldSelector::parse(text).unwrap_err().0, want, "{text}");
        }
    }

    proptest! {
        #[test]
        fn the_text_of_a_selector_parses_to_itself(value in ".{0,12}", negated: bool) {
            let op = if negated { FieldOperator::NotEq } else { FieldOperator::Eq };
            let s = FieldSelector { requirements: vec![FieldRequirement { path: "a.b".into(), op, value }] };
            prop_assert_eq!(FieldSelector::parse(&s.to_string()).unwrap(), s);
        }

        #[test]
        fn no_text_panics(text in r"[a-c.=!,\\]{0,16}") {
            let _ = FieldSelector::parse(&text);
        }
    }
}
