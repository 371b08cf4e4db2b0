//! Patterns: Go regular expressions, run by the `regex` crate (SC-09).
//!
//! Both are of the RE2 family; where their syntaxes differ the pattern is rewritten: Perl classes are ASCII in Go,
//! `[` and `&&` inside classes are literal there, `{` without a count is a brace. Both match in linear time, so a
//! hostile pattern can cost memory only, and that is capped.

use regex::{Regex, RegexBuilder};

/// What a compiled pattern may take.
const SIZE_LIMIT: usize = 4 << 20;
/// Go refuses larger repeat counts.
const MAX_REPEAT: u32 = 1000;

/// A compiled pattern and its source, which error texts quote.
#[derive(Debug, Clone)]
pub(crate) struct Pattern {
    source: Box<str>,
    regex: Regex,
}

impl Pattern {
    /// Compiles a Go pattern; the error reads as Go's does.
    pub(crate) fn compile(source: &str) -> Result<Self, String> {
        let translated = Translator::new(source).run()?;
        let regex = RegexBuilder::new(&translated)
            .size_limit(SIZE_LIMIT)
            .dfa_size_limit(SIZE_LIMIT)
            .nest_limit(200)
            .build()
            .map_err(|error| match error {
                regex::Error::CompiledTooBig(_) => parse_error("expression too large", source),
                _ => parse_error("invalid syntax", source),
            })?;
        Ok(Self { source: source.into(), regex })
    }

    /// The pattern as it was written.
    pub(crate) fn source(&self) -> &str {
        &self.source
    }

    /// Whether the pattern occurs anywhere in `text`.
    pub(crate) fn is_match(&self, text: &str) -> bool {
        self.regex.is_match(text)
    }
}

fn parse_error(what: &str, part: &str) -> String {
    format!("error parsing regexp: {what}: `{part}`")
}

struct Translator<'a> {
    source: &'a str,
    at: usize,
    out: String,
    open: usize,
    /// Whether something stands before that a repetition can apply to, and whether it is itself one.
    operand: bool,
    repeated: Option<usize>,
}

impl<'a> Translator<'a> {
    fn new(source: &'a str) -> Self {
        Self { source, at: 0, out: String::with_capacity(source.len() + 8), open: 0, operand: false, repeated: None }
    }

    fn rest(&self) -> &'a str {
        self.source.get(self.at..).unwrap_or_default()
    }

    fn run(mut self) -> Result<String, String> {
        while let Some(c) = self.rest().chars().next() {
            let start = self.at;
            match c {
                '\\' => self.escape()?,
                '[' => self.class()?,
                '(' => {
                    self.group()?;
                    continue;
                }
                ')' => {
                    if self.open == 0 {
                        return Err(parse_error("unexpected )", self.source));
                    }
                    self.open -= 1;
                    self.take(c);
                }
                '*' | '+' | '?' => {
                    self.repetition(start, 1)?;
                    continue;
                }
                '{' => match counted(self.rest()) {
                    Some((length, low, high)) => {
                        if low > MAX_REPEAT || high.is_some_and(|h| h > MAX_REPEAT || h < low) {
                            let part = self.rest().get(..length).unwrap_or_default();
                            return Err(parse_error("invalid repeat count", part));
                        }
                        self.repetition(start, length)?;
                        continue;
                    }
                    None => {
                        self.out.push_str("\\{");
                        self.at += 1;
                    }
                },
                '|' => {
                    self.take(c);
                    self.operand = false;
                    self.repeated = None;
                    continue;
                }
                c => self.take(c),
            }
            self.operand = true;
            self.repeated = None;
        }
        if self.open > 0 { Err(parse_error("missing closing )", self.source)) } else { Ok(self.out) }
    }

    fn take(&mut self, c: char) {
        self.out.push(c);
        self.at += c.len_utf8();
    }

    fn repetition(&mut self, start: usize, length: usize) -> Result<(), String> {
        let mut end = start + length;
        if self.source.get(end..).is_some_and(|rest| rest.starts_with('?')) {
            end += 1;
        }
        let part = self.source.get(start..end).unwrap_or_default();
        if !self.operand {
            return Err(parse_error("missing argument to repetition operator", part));
        }
        if let Some(before) = self.repeated {
            let both = self.source.get(before..end).unwrap_or_default();
            return Err(parse_error("invalid nested repetition operator", both));
        }
        // Go reads {,n} as literal text, so that only counts with a lower bound come here.
        self.out.push_str(part);
        self.at = end;
        self.repeated = Some(start);
        Ok(())
    }

    fn group(&mut self) -> Result<(), String> {
        let rest = self.rest();
        if let Some(after) = rest.strip_prefix("(?") {
            let named = after.starts_with("P<")
                || (after.starts_with('<') && !after.starts_with("<=") && !after.starts_with("<!"));
            if named {
                let end = rest.find('>').ok_or_else(|| parse_error("invalid named capture", rest))?;
                let part = rest.get(..=end).unwrap_or_default();
                let name = part.trim_start_matches("(?P<").trim_start_matches("(?<").trim_end_matches('>');
                if name.is_empty() || !name.chars().all(|c| c == '_' || c.is_ascii_alphanumeric()) {
                    return Err(parse_error("invalid named capture", part));
                }
                self.out.push('(');
                self.at += part.len();
            } else {
                let end = after.find([':', ')']).ok_or_else(|| parse_error("missing closing )", self.source))?;
                let flags = after.get(..end).unwrap_or_default();
                let known = flags.chars().all(|c| matches!(c, 'i' | 'm' | 's' | 'U' | '-'));
                if !known {
                    let shown = after.chars().take(1).map(char::len_utf8).sum::<usize>() + 2;
                    let part = rest.get(..shown).unwrap_or(rest);
                    return Err(parse_error("invalid or unsupported Perl syntax", part));
                }
                let closes = after.get(end..).is_some_and(|r| r.starts_with(')'));
                self.out.push_str("(?");
                self.out.push_str(flags);
                self.out.push(if closes { ')' } else { ':' });
                self.at += 2 + flags.len() + 1;
                if closes {
                    return Ok(());
                }
            }
        } else {
            self.out.push('(');
            self.at += 1;
        }
        self.open += 1;
        self.operand = false;
        self.repeated = None;
        Ok(())
    }

    /// An escape outside of classes.
    fn escape(&mut self) -> Result<(), String> {
        let rest = self.rest();
        let Some(c) = rest.chars().nth(1) else {
            return Err("error parsing regexp: trailing backslash at end of expression: ``".to_owned());
        };
        match c {
            'd' => self.emit("[0-9]", 2),
            'D' => self.emit("[^0-9]", 2),
            'w' => self.emit("[0-9A-Za-z_]", 2),
            'W' => self.emit("[^0-9A-Za-z_]", 2),
            's' => self.emit("[\\t\\n\\x0C\\r ]", 2),
            'S' => self.emit("[^\\t\\n\\x0C\\r ]", 2),
            'b' => self.emit("(?-u:\\b)", 2),
            'B' => self.emit("\\B", 2),
            'A' => self.emit("\\A", 2),
            'z' => self.emit("\\z", 2),
            'Q' => {
                let body = rest.get(2..).unwrap_or_default();
                let (text, length) = match body.find("\\E") {
                    Some(end) => (body.get(..end).unwrap_or_default(), end + 4),
                    None => (body, rest.len()),
                };
                let escaped = regex::escape(text);
                self.out.push_str(&escaped);
                self.at += length;
            }
            _ => self.simple_escape(c)?,
        }
        Ok(())
    }

    /// Escapes that mean the same inside and outside of classes.
    fn simple_escape(&mut self, c: char) -> Result<(), String> {
        let rest = self.rest();
        match c {
            'p' | 'P' => {
                let length = match rest.get(2..).and_then(|r| r.strip_prefix('{')) {
                    Some(inner) => inner.find('}').map(|end| end + 4),
                    None => rest.chars().nth(2).map(|n| 2 + n.len_utf8()),
                };
                let part = length
                    .and_then(|l| rest.get(..l))
                    .ok_or_else(|| parse_error("invalid character class range", rest))?;
                self.out.push_str(part);
                self.at += part.len();
            }
            'x' => {
                let length = match rest.get(2..).and_then(|r| r.strip_prefix('{')) {
                    Some(inner) => inner.find('}').map(|end| end + 4),
                    None => Some(4),
                };
                let part = length.and_then(|l| rest.get(..l));
                let digits = part.map(|p| p.trim_start_matches("\\x").trim_matches(['{', '}']));
                match (part, digits.and_then(|d| u32::from_str_radix(d, 16).ok()).and_then(char::from_u32)) {
                    (Some(part), Some(c)) => {
                        self.push_char(c);
                        self.at += part.len();
                    }
                    _ => return Err(parse_error("invalid escape sequence", rest.get(..2).unwrap_or(rest))),
                }
            }
            '0'..='7' => {
                let digits: String = rest.chars().skip(1).take(3).take_while(|c| ('0'..='7').contains(c)).collect();
                if c != '0' && digits.len() < 2 {
                    return Err(parse_error("invalid escape sequence", rest.get(..2).unwrap_or(rest)));
                }
                let code = u32::from_str_radix(&digits, 8).ok().and_then(char::from_u32).unwrap_or('\0');
                self.push_char(code);
                self.at += 1 + digits.len();
            }
            'a' => self.emit("\\x07", 2),
            'f' => self.emit("\\x0C", 2),
            'n' => self.emit("\\n", 2),
            'r' => self.emit("\\r", 2),
            't' => self.emit("\\t", 2),
            'v' => self.emit("\\x0B", 2),
            c if c.is_ascii() && !c.is_ascii_alphanumeric() => {
                self.push_char(c);
                self.at += 2;
            }
            c => {
                let part = rest.get(..1 + c.len_utf8()).unwrap_or(rest);
                return Err(parse_error("invalid escape sequence", part));
            }
        }
        Ok(())
    }

    fn emit(&mut self, text: &str, consumed: usize) {
        self.out.push_str(text);
        self.at += consumed;
    }

    /// A character that stands for itself, here and in classes.
    fn push_char(&mut self, c: char) {
        if c.is_alphanumeric() || !c.is_ascii() {
            self.out.push(c);
        } else {
            self.out.push_str(&format!("\\x{{{:x}}}", c as u32));
        }
    }

    fn class(&mut self) -> Result<(), String> {
        let whole = self.rest();
        self.take('[');
        if self.rest().starts_with('^') {
            self.take('^');
        }
        let mut first = true;
        loop {
            let rest = self.rest();
            let Some(c) = rest.chars().next() else {
                return Err(parse_error("missing closing ]", whole));
            };
            match c {
                ']' if !first => {
                    self.take(c);
                    return Ok(());
                }
                '[' => match rest.strip_prefix("[:").and_then(|r| r.find(":]")) {
                    Some(end) => {
                        let part = rest.get(..end + 4).unwrap_or_default();
                        self.emit(part, part.len());
                    }
                    None => self.emit("\\[", 1),
                },
                ']' => self.emit("\\]", 1),
                '&' | '~' => {
                    self.push_char(c);
                    self.at += 1;
                }
                '-' => {
                    // A range's dash stands between two ends; first, last or after a range it is literal.
                    let last = rest.get(1..).is_some_and(|r| r.starts_with(']'));
                    if first || last {
                        self.emit("\\-", 1)
                    } else {
                        self.take(c)
                    }
                    if rest.get(1..).is_some_and(|r| r.starts_with('-')) {
                        self.emit("\\-", 1);
                    }
                }
                '\\' => match rest.chars().nth(1) {
                    None => return Err("error parsing regexp: trailing backslash at end of expression: ``".to_owned()),
                    Some('d') => self.emit("0-9", 2),
                    Some('w') => self.emit("0-9A-Za-z_", 2),
                    Some('s') => self.emit("\\t\\n\\x0C\\r ", 2),
                    Some('D') => self.emit("[^0-9]", 2),
                    Some('W') => self.emit("[^0-9A-Za-z_]", 2),
                    Some('S') => self.emit("[^\\t\\n\\x0C\\r ]", 2),
                    Some(c) => self.simple_escape(c)?,
                },
                c => self.take(c),
            }
            first = false;
        }
    }
}

/// `{n}`, `{n,}` or `{n,m}` at the start of `text`: its length and counts.
fn counted(text: &str) -> Option<(usize, u32, Option<u32>)> {
    let end = text.find('}')?;
    let inner = text.get(1..end)?;
    let number = |s: &str| {
        if s.is_empty() || !s.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        Some(s.parse::<u32>().unwrap_or(u32::MAX))
    };
    let (low, high) = match inner.split_once(',') {
        None => (number(inner)?, None),
        Some((low, "")) => (number(low)?, None),
        Some((low, high)) => (number(low)?, Some(number(high)?)),
    };
    Some((end + 1, low, high))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matches_as_go_does() {
        for (pattern, text, expected) in [
            ("^[a-z]+$", "abc", true),
            ("^[a-z]+$", "ABC", false),
            ("b", "abc", true),
            (r"^\d+$", "١٢", false),
            (r"^\d+$", "12", true),
            (r"^\w$", "é", false),
            (r"^[\w.-]+$", "a.b-c", true),
            (r"^[^\s]+$", "a\u{a0}b", true),
            (r"^a{2}$", "aa", true),
            ("^a{x}$", "a{x}", true),
            ("^{}$", "{}", true),
            ("^[[a]+$", "[a", true),
            ("^[a&&b]+$", "a&b", true),
            ("^[]a]+$", "]a", true),
            ("^[-a]+$", "-a", true),
            ("^[a-]+$", "-a", true),
            ("^[[:alpha:]]+$", "ab", true),
            (r"^\Qa.b\E$", "a.b", true),
            (r"^\Qa.b\E$", "axb", false),
            (r"^\x41\n$", "A\n", true),
            (r"^\_\-\/$", "_-/", true),
            ("(?i)^ABC$", "abc", true),
            ("^(?P<x>a)(?:b)$", "ab", true),
            ("^.{3}$", "äöü", true),
            ("^a$", "a\n", false),
            (r"^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$", "1.5h30m", true),
            (r"\bfoo\b", "a foo b", true),
        ] {
            let compiled = Pattern::compile(pattern).unwrap_or_else(|e| panic!("{pattern}: {e}"));
            assert_eq!(compiled.is_match(text), expected, "{pattern} on {text}");
        }
    }

    #[test]
    fn refuses_with_go_texts() {
        for (pattern, expected) in [
            ("[", "error parsing regexp: missing closing ]: `[`"),
            ("(", "error parsing regexp: missing closing ): `(`"),
            ("a)", "error parsing regexp: unexpected ): `a)`"),
            ("*a", "error parsing regexp: missing argument to repetition operator: `*`"),
            ("a**", "error parsing regexp: invalid nested repetition operator: `**`"),
            ("(?=a)", "error parsing regexp: invalid or unsupported Perl syntax: `(?=`"),
            (r"\y", "error parsing regexp: invalid escape sequence: `\\y`"),
            ("a{1001}", "error parsing regexp: invalid repeat count: `{1001}`"),
            ("a\\", "error parsing regexp: trailing backslash at end of expression: ``"),
        ] {
            assert_eq!(Pattern::compile(pattern).err().as_deref(), Some(expected), "{pattern}");
        }
        assert!(Pattern::compile("(((a{1000}){1000}){1000})").is_err(), "too large to compile");
    }
}
