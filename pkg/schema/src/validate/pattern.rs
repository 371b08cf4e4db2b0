//! Patterns: Go regular expressions, run by the `regex` crate (SC-09).
//!
//! Both are of the RE2 family; where their syntaxes differ the pattern is rewritten: Perl classes are ASCII in Go,
//! `[` and `&&` inside classes are literal there, `{` without a count is a brace. Both match in linear time, so a
//! hostile pattern can cost memory only, and that is capped.

use std::sync::OnceLock;

use regex::{Regex, RegexBuilder};

/// What a compiled pattern may take.
const SIZE_LIMIT: usize = 4 << 20;
const TRAILING: &str = "error parsing regexp: trailing backslash at end of expression: ``";
/// Go refuses larger repeat counts.
const MAX_REPEAT: u32 = 1000;

/// A pattern. It is compiled when the first text is matched: most patterns of most CRDs never see one, and a
/// compiled expression takes kilobytes.
#[derive(Debug, Clone)]
pub(crate) struct Pattern {
    source: Box<str>,
    regex: OnceLock<Option<Regex>>,
}

impl Pattern {
    /// Checks a Go pattern completely; the error reads as Go's does.
    pub(crate) fn check(source: &str) -> Result<(), String> {
        compile(source).map(|_| ())
    }

    /// Takes a Go pattern, its syntax checked.
    pub(crate) fn new(source: &str) -> Result<Self, String> {
        Translator::new(source).run()?;
        Ok(Self { source: source.into(), regex: OnceLock::new() })
    }

    /// The pattern as it was written.
    pub(crate) fn source(&self) -> &str {
        &self.source
    }

    /// Whether the pattern occurs anywhere in `text`. Patterns too large to compile occur nowhere; CRDs with such
    /// are refused.
    pub(crate) fn is_match(&self, text: &str) -> bool {
        let regex = self.regex.get_or_init(|| compile(&self.source).ok());
        regex.as_ref().is_some_and(|regex| regex.is_match(text))
    }
}

fn compile(source: &str) -> Result<Regex, String> {
    let translated = Translator::new(source).run()?;
    RegexBuilder::new(&translated).size_limit(SIZE_LIMIT).dfa_size_limit(SIZE_LIMIT).nest_limit(200).build().map_err(
        |error| match error {
            regex::Error::CompiledTooBig(_) => parse_error("expression too large", source),
            _ => parse_error("invalid syntax", source),
        },
    )
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
            return Err(TRAILING.to_owned());
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
        if matches!(c, 'p' | 'P') {
            return self.unicode_class();
        }
        let c = self.escaped_char(c)?;
        self.push_char(c);
        Ok(())
    }

    /// `\pN`, `\p{Greek}` and their opposites.
    fn unicode_class(&mut self) -> Result<(), String> {
        let rest = self.rest();
        let length = match rest.get(2..).and_then(|r| r.strip_prefix('{')) {
            Some(inner) => inner.find('}').map(|end| end + 4),
            None => rest.chars().nth(2).map(|n| 2 + n.len_utf8()),
        };
        let part = length.and_then(|length| rest.get(..length));
        let part = part.ok_or_else(|| parse_error("invalid character class range", rest))?;
        self.emit(part, part.len());
        Ok(())
    }

    /// The character that an escape stands for; `c` follows the backslash.
    fn escaped_char(&mut self, c: char) -> Result<char, String> {
        let rest = self.rest();
        let invalid = || parse_error("invalid escape sequence", rest.get(..1 + c.len_utf8()).unwrap_or(rest));
        let (found, length) = match c {
            'x' => {
                let length = match rest.get(2..).and_then(|r| r.strip_prefix('{')) {
                    Some(inner) => inner.find('}').map(|end| end + 4),
                    None => Some(4),
                };
                let part = length.and_then(|length| rest.get(..length)).ok_or_else(invalid)?;
                let digits = part.trim_start_matches("\\x").trim_matches(['{', '}']);
                let code = u32::from_str_radix(digits, 16).ok().and_then(char::from_u32);
                (code.ok_or_else(invalid)?, part.len())
            }
            '0'..='7' => {
                let digits: String = rest.chars().skip(1).take(3).take_while(|c| ('0'..='7').contains(c)).collect();
                if c != '0' && digits.len() < 2 {
                    return Err(invalid());
                }
                let code = u32::from_str_radix(&digits, 8).ok().and_then(char::from_u32);
                (code.ok_or_else(invalid)?, 1 + digits.len())
            }
            'a' => ('\u{7}', 2),
            'f' => ('\u{c}', 2),
            'n' => ('\n', 2),
            'r' => ('\r', 2),
            't' => ('\t', 2),
            'v' => ('\u{b}', 2),
            c if c.is_ascii() && !c.is_ascii_alphanumeric() => (c, 2),
            _ => return Err(invalid()),
        };
        self.at += length;
        Ok(found)
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

    /// A bracket expression: classes, single characters and ranges of them.
    fn class(&mut self) -> Result<(), String> {
        let whole = self.rest();
        self.take('[');
        if self.rest().starts_with('^') {
            self.take('^');
        }
        let mut first = true;
        loop {
            let rest = self.rest();
            if rest.starts_with(']') && !first {
                self.take(']');
                return Ok(());
            }
            first = false;
            let named = rest.strip_prefix("[:").and_then(|r| r.find(":]")).and_then(|end| rest.get(..end + 4));
            match (named, rest.strip_prefix('\\').and_then(|r| r.chars().next())) {
                (Some(part), _) => self.emit(part, part.len()),
                (None, Some('d')) => self.emit("0-9", 2),
                (None, Some('w')) => self.emit("0-9A-Za-z_", 2),
                (None, Some('s')) => self.emit("\\t\\n\\x0C\\r ", 2),
                (None, Some('D')) => self.emit("[^0-9]", 2),
                (None, Some('W')) => self.emit("[^0-9A-Za-z_]", 2),
                (None, Some('S')) => self.emit("[^\\t\\n\\x0C\\r ]", 2),
                (None, Some('p' | 'P')) => self.unicode_class()?,
                (None, _) => self.range(whole)?,
            }
        }
    }

    /// A character in a class, or a range that begins with it.
    fn range(&mut self, class: &str) -> Result<(), String> {
        let start = self.at;
        let low = self.class_char(class)?;
        let rest = self.rest();
        // A dash before the closing bracket is a character of its own.
        if !rest.starts_with('-') || rest.starts_with("-]") || rest.len() < 2 {
            self.push_char(low);
            return Ok(());
        }
        self.at += 1;
        let high = self.class_char(class)?;
        if high < low {
            let part = self.source.get(start..self.at).unwrap_or_default();
            return Err(parse_error("invalid character class range", part));
        }
        self.push_char(low);
        self.out.push('-');
        self.push_char(high);
        Ok(())
    }

    fn class_char(&mut self, class: &str) -> Result<char, String> {
        let rest = self.rest();
        match (rest.chars().next(), rest.chars().nth(1)) {
            (None, _) => Err(parse_error("missing closing ]", class)),
            (Some('\\'), None) => Err(TRAILING.to_owned()),
            (Some('\\'), Some(c)) => self.escaped_char(c),
            (Some(c), _) => {
                self.at += c.len_utf8();
                Ok(c)
            }
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
            (r"^[\w-.]+$", "a-b.c", true),
            (r"^[\w-.]+$", "a/b", false),
            (r"^[a-c-e]+$", "b-e", true),
            (r"^[+--]+$", ",", true),
            (r"^[a\]\-b]+$", "a]-b", true),
            (r"^[^/\s]+$", "ab", true),
            (r"^[\x41-\x43]+$", "ABC", true),
            (r"^[~&a-z]+$", "a~&", true),
            (r"^[\p{L}_]+$", "äb_", true),
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
            Pattern::check(pattern).unwrap_or_else(|e| panic!("{pattern}: {e}"));
            let compiled = Pattern::new(pattern).unwrap();
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
            ("[z-a]", "error parsing regexp: invalid character class range: `z-a`"),
            ("a{1001}", "error parsing regexp: invalid repeat count: `{1001}`"),
            ("a\\", "error parsing regexp: trailing backslash at end of expression: ``"),
        ] {
            assert_eq!(Pattern::check(pattern).err().as_deref(), Some(expected), "{pattern}");
        }
        assert!(Pattern::check("(((a{1000}){1000}){1000})").is_err(), "too large to compile");
    }
}
