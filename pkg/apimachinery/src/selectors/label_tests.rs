use proptest::prelude::*;
use serde_json::json;

use super::*;

fn parse(text: &str) -> LabelSelector {
    LabelSelector::parse(text).unwrap_or_else(|e| panic!("{text}: {e}"))
}

#[test]
fn selectors_match_s01() {
    let labels = json!({"tier": "a", "n": "5", "x": "", "app.io/y": "z"});
    let cases = [
        ("", true),
        ("tier=a", true),
        ("tier==a", true),
        ("tier=b", false),
        ("tier!=b", true),
        ("absent!=b", true),
        ("tier in (a,c)", true),
        ("tier in (b, c)", false),
        ("tier notin (a,c)", false),
        ("absent notin (a)", true),
        ("tier", true),
        ("!tier", false),
        ("! absent", true),
        ("n>4", true),
        ("n>5", false),
        ("n<5", false),
        ("n<6", true),
        ("tier>1", false),
        ("x=", true),
        ("x", true),
        ("tier=", false),
        ("x in ()", true),
        ("x in (,a)", true),
        ("tier in (a,)", true),
        ("tier in (a,,b)", true),
        ("tier=a,n>2", true),
        (" tier = a , n < 3", false),
        ("app.io/y=z", true),
        ("in in (in,notin)", false),
        ("in notin (a)", true),
    ];
    for (text, want) in cases {
        assert_eq!(parse(text).matches(&labels), want, "{text}");
    }
    assert!(parse("!a").matches(&Value::Null));
    assert!(!parse("a").matches(&Value::Null));
}

#[test]
fn malformed_selectors_have_kubernetes_texts() {
    let name = "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
    let cases = [
        ("a in b", "unable to parse requirement: found 'b' expected: '('".to_owned()),
        ("-x", format!("unable to parse requirement: <nil>: Invalid value: \"-x\": {name}")),
        ("tier in (a", "unable to parse requirement: found '', expected: ',' or ')'".to_owned()),
        (
            "n>x",
            "unable to parse requirement: values[0]: Invalid value: \"x\": for 'Gt', 'Lt' operators, the value must be an integer".to_owned(),
        ),
        ("a,", "found '', expected: identifier after ','".to_owned()),
        (",a", "found ',', expected: !, identifier, or 'end of string'".to_owned()),
        ("a=b)", "found ')', expected: ',' or 'end of string'".to_owned()),
        ("a b", "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt".to_owned()),
        ("!", "unable to parse requirement: found '', expected: identifier".to_owned()),
        ("a=(", "unable to parse requirement: found '(', expected: identifier".to_owned()),
        ("a in (=)", "unable to parse requirement: found '=', expected: ',', ')' or identifier".to_owned()),
        ("a in (,=)", "unable to parse requirement: found '=', expected: ',', or identifier".to_owned()),
        ("!a=b", "found '=', expected: ',' or 'end of string'".to_owned()),
    ];
    for (text, want) in cases {
        assert_eq!(LabelSelector::parse(text).unwrap_err().0, want, "{text}");
    }
}

#[test]
fn selectors_include_others() {
    for (all, part, want) in [
        ("a=b,c", "a=b", true),
        ("a in (b)", "a==b", true),
        ("a=b", "", true),
        ("", "a=b", false),
        ("a!=b", "a=b", false),
        ("a in (b,c)", "a=b", false),
        ("a=b", "a=b,c", false),
    ] {
        assert_eq!(parse(all).includes(&parse(part)), want, "{all} {part}");
    }
    assert!(LabelSelector::nothing().includes(&parse("a")) && !parse("a").includes(&LabelSelector::nothing()));
}

#[test]
fn objects_become_selectors() {
    let s = LabelSelector::from_object(&json!({
        "matchLabels": {"b": "1"},
        "matchExpressions": [{"key": "a", "operator": "In", "values": ["y", "x"]}, {"key": "c", "operator": "DoesNotExist"}]
    }))
    .unwrap();
    assert_eq!(s.to_string(), "a in (x,y),b=1,!c");
    assert!(!LabelSelector::from_object(&Value::Null).unwrap().matches(&json!({})));
    assert!(!LabelSelector::nothing().is_empty());
    assert!(LabelSelector::from_object(&json!({})).unwrap().is_empty());
    let bad = LabelSelector::from_object(&json!({"matchExpressions": [{"key": "a", "operator": "Gt"}]}));
    assert_eq!(bad.unwrap_err().0, "\"Gt\" is not a valid label selector operator");
    assert!(LabelSelector::from_object(&json!({"matchExpressions": [{"key": "a", "operator": "In"}]})).is_err());
}

proptest! {
    #[test]
    fn the_text_of_a_selector_parses_to_itself(
        parts in proptest::collection::vec(("[a-z][a-z0-9]{0,3}", 0usize..9, proptest::collection::vec("[a-z0-9]{1,3}", 1..4)), 0..4)
    ) {
        let text: Vec<String> = parts.iter().map(|(key, op, values)| match op {
            0 => format!("{key}={}", values[0]),
            1 => format!("{key}=={}", values[0]),
            2 => format!("{key}!={}", values[0]),
            3 => format!("{key} in ({})", values.join(",")),
            4 => format!("{key} notin ({})", values.join(",")),
            5 => key.clone(),
            6 => format!("!{key}"),
            7 => format!("{key}>7"),
            _ => format!("{key}<7"),
        }).collect();
        let parsed = LabelSelector::parse(&text.join(",")).unwrap();
        prop_assert_eq!(LabelSelector::parse(&parsed.to_string()).unwrap(), parsed);
    }

    #[test]
    fn no_text_panics(text in "[-a-z0-9!=<>(), /.]{0,24}") {
        if let Ok(s) = LabelSelector::parse(&text) {
            s.matches(&json!({"a": "1"}));
            prop_assert!(LabelSelector::parse(&s.to_string()).is_ok());
        }
    }

    #[test]
    fn set_operators_are_complements(value in "[a-c]?", values in proptest::collection::vec("[a-c]", 1..3)) {
        let list = values.join(",");
        let yes = LabelSelector::parse(&format!("k in ({list})")).unwrap();
        let no = LabelSelector::parse(&format!("k notin ({list})")).unwrap();
        let labels = json!({"k": value});
        prop_assert_eq!(yes.matches(&labels), values.contains(&value));
        prop_assert_ne!(yes.matches(&labels), no.matches(&labels));
    }
}
