//! allOf, anyOf, oneOf and not.

use kcp_apimachinery::field::go_quote;
use serde_json::Value;

use super::check::{Checker, Outcome};
use super::rules::Rules;
use crate::node::NodeRef;

impl Checker<'_> {
    /// Checks a value against the branches of its node.
    pub(crate) fn junctors(
        &mut self,
        node: NodeRef<'_>,
        rules: &Rules,
        value: &Value,
        old: Option<&Value>,
        depth: usize,
        outcome: &mut Outcome,
    ) {
        if !rules.any_of.is_empty() {
            let mut best: Option<Outcome> = None;
            let mut success = false;
            for branch in &rules.any_of {
                let result = self.unratcheted(node.at(*branch), value, old, depth + 1);
                if result.valid() {
                    outcome.merge(result);
                    success = true;
                    break;
                }
                if best.as_ref().is_none_or(|best| result.matches > best.matches) {
                    best = Some(result);
                }
            }
            if !success {
                let detail = format!("{} must validate at least one schema (anyOf)", go_quote(&self.path));
                outcome.add(self.loose(&detail));
                outcome.merge(best.unwrap_or_default());
            }
        }
        if !rules.one_of.is_empty() {
            let mut best: Option<Outcome> = None;
            let mut first: Option<Outcome> = None;
            let mut valid = 0;
            for branch in &rules.one_of {
                let result = self.unratcheted(node.at(*branch), value, old, depth + 1);
                if result.valid() {
                    valid += 1;
                    best = None;
                    first.get_or_insert(result);
                } else if valid == 0 && best.as_ref().is_none_or(|best| result.matches > best.matches) {
                    best = Some(result);
                }
            }
            if valid == 1 {
                outcome.merge(first.unwrap_or_default());
            } else {
                let found = if valid == 0 { "none valid".to_owned() } else { format!("{valid} valid alternatives") };
                let path = go_quote(&self.path);
                outcome
                    .add(self.loose(&format!("{path} must validate one and only one schema (oneOf). Found {found}")));
                outcome.merge(best.unwrap_or_default());
            }
        }
        if !rules.all_of.is_empty() {
            let mut valid = 0;
            for branch in &rules.all_of {
                let result = self.unratcheted(node.at(*branch), value, old, depth + 1);
                valid += usize::from(result.valid());
                outcome.merge(result);
            }
            if valid != rules.all_of.len() {
                let none = if valid == 0 { ". None validated" } else { "" };
                let detail = format!("{} must validate all the schemas (allOf){none}", go_quote(&self.path));
                outcome.add(self.loose(&detail));
            }
        }
        if let Some(not) = rules.not
            && self.unratcheted(node.at(not), value, old, depth + 1).valid()
        {
            let detail = format!("{} must not validate the schema (not)", go_quote(&self.path));
            outcome.add(self.loose(&detail));
        }
    }
}
