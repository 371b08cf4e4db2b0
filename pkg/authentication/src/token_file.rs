//! Static bearer tokens from a CSV file: `token,user,uid,"group1,group2"` (AN-03).

use std::path::{Path, PathBuf};

use kcp_apimachinery::{UserInfo, user};

use crate::{
    Secret,
    files::{self, FileError},
};

/// Why a token file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TokenFileError {
    /// It cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// A line is malformed.
    #[error("token file {} line {line}: {detail}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        detail: String,
    },
}

/// The tokens of a file.
#[derive(Debug, Clone, Default)]
pub struct TokenFile {
    /// The tokens and whose they are.
    pub entries: Vec<(Secret, UserInfo)>,
}

impl TokenFile {
    /// Reads a token file.
    ///
    /// # Errors
    /// When it cannot be read, or a line has fewer than three columns, an empty token or user, a token that occurred
    /// before, or quotes that do not match.
    pub fn read(path: &Path) -> Result<Self, TokenFileError> {
        let text = String::from_utf8_lossy(&files::read(path)?).into_owned();
        Self::parse(&text, path)
    }

    /// Parses the text of a token file. `path` is for errors.
    ///
    /// # Errors
    /// As [`TokenFile::read`].
    pub fn parse(text: &str, path: &Path) -> Result<Self, TokenFileError> {
        let mut entries: Vec<(Secret, UserInfo)> = Vec::new();
        for (i, line) in text.lines().enumerate().filter(|(_, l)| !l.trim().is_empty() && !l.starts_with('#')) {
            let fail = |detail: String| TokenFileError::Line { path: path.to_owned(), line: i + 1, detail };
            let columns = columns(line).map_err(|e| fail(e.to_owned()))?;
            let [token, name, uid, rest @ ..] = columns.as_slice() else {
                let count = columns.len();
                return Err(fail(format!("must have at least 3 columns (token, user name, user uid), found {count}")));
            };
            if token.is_empty() || name.is_empty() {
                return Err(fail("the token and the user name must not be empty".to_owned()));
            }
            let secret = Secret::new(token);
            if entries.iter().any(|(other, _)| *other == secret) {
                return Err(fail("the token occurs twice in the file".to_owned()));
            }
            let groups = rest.first().map(String::as_str).unwrap_or_default();
            let mut groups: Vec<String> =
                groups.split(',').map(str::trim).filter(|g| !g.is_empty()).map(str::to_owned).collect();
            if !groups.iter().any(|g| g == user::AUTHENTICATED) {
                groups.push(user::AUTHENTICATED.to_owned());
            }
            let user = UserInfo { username: name.clone(), uid: uid.clone(), groups, ..UserInfo::default() };
            entries.push((secret, user));
        }
        Ok(Self { entries })
    }
}

/// Splits a line of CSV. A quoted column may contain commas, and quotes written twice.
fn columns(line: &str) -> Result<Vec<String>, &'static str> {
    let mut columns = Vec::new();
    let mut rest = line.trim_end_matches('\r');
    loop {
        let rest_trimmed = rest.trim_start_matches([' ', '\t']);
        let Some(mut quoted) = rest_trimmed.strip_prefix('"') else {
            let (column, tail) = rest.split_once(',').map_or((rest, None), |(c, t)| (c, Some(t)));
            if column.contains('"') {
                return Err("a quote stands in a column that is not quoted");
            }
            columns.push(column.trim().to_owned());
            match tail {
                Some(tail) => rest = tail,
                None => return Ok(columns),
            }
            continue;
        };
        let mut column = String::new();
        loop {
            let end = quoted.find('"').ok_or("a quote is not closed")?;
            column.push_str(&quoted[..end]);
            quoted = &quoted[end + 1..];
            match quoted.strip_prefix('"') {
                Some(tail) => {
                    column.push('"');
                    quoted = tail;
                }
                None => break,
            }
        }
        columns.push(column);
        let tail = quoted.trim_start_matches([' ', '\t']);
        match tail.strip_prefix(',') {
            Some(tail) => rest = tail,
            None if tail.is_empty() => return Ok(columns),
            None => return Err("a closing quote is not followed by a comma"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<TokenFile, String> {
        TokenFile::parse(text, Path::new("t.csv")).map_err(|e| e.to_string())
    }

    #[test]
    fn tokens_are_read_an03() {
        let file =
            parse("# people\nadmin-token,admin,1,\"system:masters, ops\"\n\nt2,bob,2\r\nt3, \"a \"\"b\"\"\" ,3,x\n")
                .unwrap();
        let users: Vec<(&str, &str, String)> =
            file.entries.iter().map(|(t, u)| (t.expose(), u.username.as_str(), u.groups.join("+"))).collect();
        assert_eq!(
            users,
            [
                ("admin-token", "admin", "system:masters+ops+system:authenticated".to_owned()),
                ("t2", "bob", "system:authenticated".to_owned()),
                ("t3", "a \"b\"", "x+system:authenticated".to_owned()),
            ]
        );
    }

    #[test]
    fn bad_lines_are_named_an03() {
        let cases = [
            (
                "a,b,1\nx,y",
                "token file t.csv line 2: must have at least 3 columns (token, user name, user uid), found 2",
            ),
            (",b,1", "token file t.csv line 1: the token and the user name must not be empty"),
            ("a,b,1\na,c,2", "token file t.csv line 2: the token occurs twice in the file"),
            ("a,b,1,\"x", "token file t.csv line 1: a quote is not closed"),
            ("a,b,1,\"x\"y", "token file t.csv line 1: a closing quote is not followed by a comma"),
            ("a,b\"c,1", "token file t.csv line 1: a quote stands in a column that is not quoted"),
        ];
        for (text, want) in cases {
            assert_eq!(parse(text).unwrap_err(), want, "{text}");
        }
        assert!(TokenFile::read(Path::new("/none")).unwrap_err().to_string().starts_with("cannot read /none"));
    }
}
