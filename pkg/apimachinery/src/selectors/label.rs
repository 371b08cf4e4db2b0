//! Label selectors.

use std::fmt;

use serde_json::Value;

use super::{
    SelectorError,
    lexer::{Lexer, Token},
};
use crate::{
    field::{FieldError, FieldErrors, FieldPath},
    validation,
};

/// How a requirement compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LabelOperator {
    /// `a=b`
    Equals,
    /// `a==b`
    DoubleEquals,
    /// `a!=b`, also true without the label
    NotEquals,
    /// `a in (b,c)`
    In,
    /// `a notin (b,c)`, also true without the label
    NotIn,
    /// `a`
    Exists,
    /// `!a`
    DoesNotExist,
    /// `a>1`
    Greater,
    /// `a<1`
    Less,
}

/// One condition on one label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelRequirement {
    /// The label's key.
    pub key: String,
    /// How its value is compared.
    pub operator: LabelOperator,
    /// With what; sorted, without repetition.
    pub values: Vec<String>,
    /// The value as a number, for [`LabelOperator::Greater`] and [`LabelOperator::Less`].
    number: i64,
}

/// Conditions on labels, all of which must hold. The default one has none and matches everything.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LabelSelector {
    requirements: Vec<LabelRequirement>,
    nothing: bool,
}

const OPERATORS: &str = "in, notin, =, ==, !=, gt, lt";

impl LabelRequirement {
    fn new(key: &str, operator: LabelOperator, mut values: Vec<String>) -> Result<Self, SelectorError> {
        use LabelOperator as Op;
        values.sort();
        values.dedup();
        let mut errors = key_errors(key, &FieldPath::new("key"));
        let path = FieldPath::new("values");
        let mut number = 0;
        let complain = |detail: &str| FieldError::invalid(&path, values.clone(), detail);
        match operator {
            Op::In | Op::NotIn if values.is_empty() => {
                errors.push(complain("for 'in', 'notin' operators, values set can't be empty"));
            }
            Op::Equals | Op::DoubleEquals | Op::NotEquals if values.len() != 1 => {
                errors.push(complain("exact-match compatibility requires one single value"));
            }
            Op::Exists | Op::DoesNotExist if !values.is_empty() => {
                errors.push(complain("values set must be empty for exists and does not exist"));
            }
            Op::Greater | Op::Less => {
                if values.len() != 1 {
                    errors.push(complain("for 'Gt', 'Lt' operators, exactly one value is required"));
                }
                for (i, value) in values.iter().enumerate() {
                    match value.parse() {
                        Ok(n) => number = n,
                        Err(_) => errors.push(FieldError::invalid(
                            &path.index(i),
                            value.as_str(),
                            "for 'Gt', 'Lt' operators, the value must be an integer",
                        )),
                    }
                }
            }
            _ => {}
        }
        for (i, value) in values.iter().enumerate() {
            let problems = validation::label_value(value);
            if !problems.is_empty() {
                errors.push(FieldError::invalid(&path.index(i), value.as_str(), &problems.join("; ")));
            }
        }
        if errors.is_empty() {
            Ok(Self { key: key.to_owned(), operator, values, number })
        } else {
            Err(aggregate(&errors))
        }
    }

    /// Whether a label with this value (`None`: no such label) fulfils the requirement.
    pub fn holds(&self, value: Option<&str>) -> bool {
        use LabelOperator as Op;
        match self.operator {
            Op::Equals | Op::DoubleEquals | Op::In => value.is_some_and(|v| self.contains(v)),
            Op::NotEquals | Op::NotIn => !value.is_some_and(|v| self.contains(v)),
            Op::Exists => value.is_some(),
            Op::DoesNotExist => value.is_none(),
            Op::Greater => value.and_then(|v| v.parse::<i64>().ok()).is_some_and(|v| v > self.number),
            Op::Less => value.and_then(|v| v.parse::<i64>().ok()).is_some_and(|v| v < self.number),
        }
    }

    /// Whether the two mean the same; `=`, `==` and `in` with one value do.
    fn same(&self, other: &Self) -> bool {
        use LabelOperator as Op;
        let plain = |r: &Self| match r.operator {
            Op::Equals | Op::DoubleEquals | Op::In => Op::In,
            Op::NotEquals | Op::NotIn => Op::NotIn,
            operator => operator,
        };
        self.key == other.key && plain(self) == plain(other) && self.values == other.values
    }

    fn contains(&self, value: &str) -> bool {
        match self.values.as_slice() {
            [one] => one == value,
            many => many.binary_search_by(|v| v.as_str().cmp(value)).is_ok(),
        }
    }
}

impl LabelSelector {
    /// Parses the text of a `labelSelector` query parameter (S-01).
    ///
    /// # Errors
    /// With Kubernetes' message when the text does not follow the grammar.
    pub fn parse(text: &str) -> Result<Self, SelectorError> {
        let mut lexer = Lexer::new(text);
        let mut requirements = Vec::new();
        loop {
            match lexer.peek() {
                Token::Word(_) | Token::Not => {
                    let requirement = requirement(&mut lexer)
                        .map_err(|e| SelectorError(format!("unable to parse requirement: {}", e.0)))?;
                    requirements.push(requirement);
                    match lexer.next() {
                        Token::End => break,
                        Token::Comma => {
                            let ahead = lexer.peek();
                            if !matches!(ahead, Token::Word(_) | Token::Not) {
                                return Err(found(ahead, ", expected: identifier after ','"));
                            }
                        }
                        other => return Err(found(other, ", expected: ',' or 'end of string'")),
                    }
                }
                Token::End => break,
                other => return Err(found(other, ", expected: !, identifier, or 'end of string'")),
            }
        }
        requirements.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(Self { requirements, nothing: false })
    }

    /// Reads a `metav1.LabelSelector`: null matches nothing, an empty one everything.
    ///
    /// # Errors
    /// With Kubernetes' message when an operator is unknown or a key or value malformed.
    pub fn from_object(selector: &Value) -> Result<Self, SelectorError> {
        if selector.is_null() {
            return Ok(Self { requirements: Vec::new(), nothing: true });
        }
        let mut requirements = Vec::new();
        for (key, value) in selector.get("matchLabels").and_then(Value::as_object).into_iter().flatten() {
            let value = value.as_str().unwrap_or_default().to_owned();
            requirements.push(LabelRequirement::new(key, LabelOperator::Equals, vec![value])?);
        }
        for e in selector.get("matchExpressions").and_then(Value::as_array).into_iter().flatten() {
            let text = |field: &str| e.get(field).and_then(Value::as_str).unwrap_or_default();
            let operator = match text("operator") {
                "In" => LabelOperator::In,
                "NotIn" => LabelOperator::NotIn,
                "Exists" => LabelOperator::Exists,
                "DoesNotExist" => LabelOperator::DoesNotExist,
                other => {
                    let quoted = crate::field::go_quote(other);
                    return Err(SelectorError(format!("{quoted} is not a valid label selector operator")));
                }
            };
            let values = e.get("values").and_then(Value::as_array).into_iter().flatten();
            let values = values.map(|v| v.as_str().unwrap_or_default().to_owned()).collect();
            requirements.push(LabelRequirement::new(text("key"), operator, values)?);
        }
        requirements.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(Self { requirements, nothing: false })
    }

    /// The selector that no object matches.
    pub fn nothing() -> Self {
        Self { requirements: Vec::new(), nothing: true }
    }

    /// Whether the selector matches every object.
    pub fn is_empty(&self) -> bool {
        self.requirements.is_empty() && !self.nothing
    }

    /// The conditions, sorted by key.
    pub fn requirements(&self) -> &[LabelRequirement] {
        &self.requirements
    }

    /// Whether each condition of `other` is one of this selector's too, so that whatever this one matches, `other` does.
    /// Conditions are compared as they are written: `false` does not prove the opposite.
    pub fn includes(&self, other: &Self) -> bool {
        self.nothing || !other.nothing && other.requirements.iter().all(|o| self.requirements.iter().any(|r| r.same(o)))
    }

    /// Whether `labels` (a map of strings, or null for none) fulfil all conditions.
    pub fn matches(&self, labels: &Value) -> bool {
        self.matches_fn(|key| labels.get(key).and_then(Value::as_str))
    }

    /// Whether the labels that `get` knows fulfil all conditions.
    pub fn matches_fn<'v>(&self, get: impl Fn(&str) -> Option<&'v str>) -> bool {
        !self.nothing && self.requirements.iter().all(|r| r.holds(get(&r.key)))
    }
}

fn requirement(lexer: &mut Lexer<'_>) -> Result<LabelRequirement, SelectorError> {
    use LabelOperator as Op;
    let negated = lexer.peek() == Token::Not;
    if negated {
        lexer.next();
    }
    let key = match lexer.next() {
        Token::Word(key) => key,
        other => return Err(found(other, ", expected: identifier")),
    };
    let errors = key_errors(key, &FieldPath::root());
    if !errors.is_empty() {
        return Err(aggregate(&errors));
    }
    if negated {
        return LabelRequirement::new(key, Op::DoesNotExist, Vec::new());
    }
    if matches!(lexer.peek(), Token::End | Token::Comma) {
        return LabelRequirement::new(key, Op::Exists, Vec::new());
    }
    let operator = match lexer.next() {
        Token::Word("in") => Op::In,
        Token::Word("notin") => Op::NotIn,
        Token::Equals => Op::Equals,
        Token::DoubleEquals => Op::DoubleEquals,
        Token::NotEquals => Op::NotEquals,
        Token::Greater => Op::Greater,
        Token::Less => Op::Less,
        other => return Err(found(other, &format!(", expected: {OPERATORS}"))),
    };
    let values = if matches!(operator, Op::In | Op::NotIn) { set(lexer)? } else { vec![exact(lexer)?] };
    LabelRequirement::new(key, operator, values)
}

/// The value after `=`; nothing there means the empty text.
fn exact(lexer: &mut Lexer<'_>) -> Result<String, SelectorError> {
    match lexer.peek() {
        Token::End | Token::Comma => Ok(String::new()),
        Token::Word(word) => {
            lexer.next();
            Ok(word.to_owned())
        }
        other => Err(found(other, ", expected: identifier")),
    }
}

/// The values in parentheses. A missing one, as in `()`, `(a,)` or `(,a)`, is the empty text.
fn set(lexer: &mut Lexer<'_>) -> Result<Vec<String>, SelectorError> {
    match lexer.next() {
        Token::Open => {}
        other => return Err(found(other, " expected: '('")),
    }
    let mut values = Vec::new();
    match lexer.peek() {
        Token::Close => {
            lexer.next();
            return Ok(vec![String::new()]);
        }
        Token::Word(_) | Token::Comma => {}
        other => return Err(found(other, ", expected: ',', ')' or identifier")),
    }
    loop {
        match lexer.next() {
            Token::Word(word) => {
                values.push(word.to_owned());
                match lexer.peek() {
                    Token::Comma => {}
                    Token::Close => break,
                    other => return Err(found(other, ", expected: ',' or ')'")),
                }
            }
            Token::Comma => {
                if values.is_empty() {
                    values.push(String::new());
                }
                match lexer.peek() {
                    Token::Close => {
                        values.push(String::new());
                        break;
                    }
                    Token::Comma => {
                        lexer.next();
                        values.push(String::new());
                    }
                    _ => {}
                }
            }
            other => return Err(found(other, ", expected: ',', or identifier")),
        }
    }
    match lexer.next() {
        Token::Close => Ok(values),
        other => Err(found(other, ", expected: ')'")),
    }
}

fn key_errors(key: &str, path: &FieldPath) -> FieldErrors {
    let problems = validation::qualified_name(key);
    if problems.is_empty() { Vec::new() } else { vec![FieldError::invalid(path, key, &problems.join("; "))] }
}

fn found(token: Token<'_>, expected: &str) -> SelectorError {
    SelectorError(format!("found '{}'{expected}", token.text()))
}

fn aggregate(errors: &FieldErrors) -> SelectorError {
    match errors.as_slice() {
        [one] => SelectorError(one.to_string()),
        many => SelectorError(format!("[{}]", many.iter().map(FieldError::to_string).collect::<Vec<_>>().join(", "))),
    }
}

impl fmt::Display for LabelRequirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use LabelOperator as Op;
        let operator = match self.operator {
            Op::Exists => return f.write_str(&self.key),
            Op::DoesNotExist => return write!(f, "!{}", self.key),
            Op::In => return write!(f, "{} in ({})", self.key, self.values.join(",")),
            Op::NotIn => return write!(f, "{} notin ({})", self.key, self.values.join(",")),
            Op::Equals => "=",
            Op::DoubleEquals => "==",
            Op::NotEquals => "!=",
            Op::Greater => ">",
            Op::Less => "<",
        };
        write!(f, "{}{operator}{}", self.key, self.values.join(","))
    }
}

/// The text that [`LabelSelector::parse`] reads back. The selector that matches nothing has no text of its own.
impl fmt::Display for LabelSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, requirement) in self.requirements.iter().enumerate() {
            if i > 0 {
                f.write_str(",")?;
            }
            requirement.fmt(f)?;
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "label_tests.rs"]
mod tests;
