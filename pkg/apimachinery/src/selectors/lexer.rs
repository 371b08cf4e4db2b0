//! Splits the text of a label selector into tokens.

/// A token of the label selector grammar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Token<'a> {
    /// A key, a value or one of the words `in` and `notin`.
    Word(&'a str),
    Comma,
    Open,
    Close,
    Not,
    Equals,
    DoubleEquals,
    NotEquals,
    Greater,
    Less,
    End,
}

impl<'a> Token<'a> {
    /// The text of the token, as error messages quote it.
    pub(super) fn text(self) -> &'a str {
        match self {
            Self::Word(word) => word,
            Self::Comma => ",",
            Self::Open => "(",
            Self::Close => ")",
            Self::Not => "!",
            Self::Equals => "=",
            Self::DoubleEquals => "==",
            Self::NotEquals => "!=",
            Self::Greater => ">",
            Self::Less => "<",
            Self::End => "",
        }
    }
}

/// A stream of tokens with one token of lookahead.
pub(super) struct Lexer<'a> {
    rest: &'a str,
    ahead: Option<Token<'a>>,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { rest: text, ahead: None }
    }

    /// The next token, left in place.
    pub(super) fn peek(&mut self) -> Token<'a> {
        match self.ahead {
            Some(token) => token,
            None => {
                let token = self.scan();
                self.ahead = Some(token);
                token
            }
        }
    }

    /// Takes the next token.
    pub(super) fn next(&mut self) -> Token<'a> {
        let token = self.peek();
        self.ahead = None;
        token
    }

    fn scan(&mut self) -> Token<'a> {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\r', '\n']);
        let two = self.rest.get(..2);
        let token = match (self.rest.as_bytes().first(), two) {
            (None, _) => Token::End,
            (_, Some("==")) => Token::DoubleEquals,
            (_, Some("!=")) => Token::NotEquals,
            (Some(b'='), _) => Token::Equals,
            (Some(b'!'), _) => Token::Not,
            (Some(b','), _) => Token::Comma,
            (Some(b'('), _) => Token::Open,
            (Some(b')'), _) => Token::Close,
            (Some(b'>'), _) => Token::Greater,
            (Some(b'<'), _) => Token::Less,
            _ => {
                let end = self.rest.find([' ', '\t', '\r', '\n', '=', '!', '(', ')', ',', '>', '<']);
                Token::Word(&self.rest[..end.unwrap_or(self.rest.len())])
            }
        };
        self.rest = &self.rest[token.text().len()..];
        token
    }
}
