//! Reads what stands around the query of a write.

use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Location, Token, TokenWithSpan};

use super::options::Value;
use crate::error::PlanError;
use crate::place::{DEFAULT_CATALOG, DEFAULT_SCHEMA};
use crate::tokens::keyword;

/// Where rows go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// A folder or file.
    Place(String),
    /// A table that is there: these of its columns, or all.
    Table { name: String, columns: Option<Vec<String>> },
    /// A table that is made.
    NewTable(String),
}

/// A write whose options are words.
pub(super) struct Read {
    pub(super) target: Target,
    pub(super) options: Vec<(String, Value, Location)>,
    pub(super) query: Query,
}

/// Where the query is.
pub(super) enum Query {
    /// Between two words.
    Tokens(usize, usize),
    /// The columns and the name of a table: `* FROM t`.
    Table(String),
}

/// Reads the words of a write, one after the other.
pub(super) struct Reader<'a> {
    pub(super) tokens: &'a [TokenWithSpan],
    pub(super) at: usize,
}

impl Reader<'_> {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at).map(|token| &token.token)
    }

    fn peek_keyword(&self) -> Option<Keyword> {
        keyword(self.tokens.get(self.at))
    }

    pub(super) fn next_keyword(&mut self) -> Option<Keyword> {
        let word = self.peek_keyword();
        self.at += 1;
        word
    }

    /// Passes a keyword if it is next.
    fn skip(&mut self, wanted: Keyword) -> bool {
        let is_next = self.peek_keyword() == Some(wanted);
        self.at += usize::from(is_next);
        is_next
    }

    fn skip_token(&mut self, wanted: &Token) -> bool {
        let is_next = self.peek() == Some(wanted);
        self.at += usize::from(is_next);
        is_next
    }

    fn place(&self) -> Location {
        let last = || self.tokens.last().map(|token| token.span.end);
        let here = self.tokens.get(self.at).map(|token| token.span.start);
        here.or_else(last).unwrap_or(Location { line: 1, column: 1 })
    }

    fn expected<T>(&self, what: &str) -> Result<T, PlanError> {
        let found = match self.peek() {
            Some(Token::EOF) | None => "the end of the statement".to_owned(),
            Some(token) => format!("{token}"),
        };
        let Location { line, column } = self.place();
        Err(PlanError::Syntax {
            message: format!("expected {what}, and found {found} (line {line}, column {column})"),
            position: Some((line, column)),
            source: None,
        })
    }

    /// A name, as SQL reads it.
    fn name(&mut self, what: &str) -> Result<String, PlanError> {
        match self.peek() {
            Some(Token::Word(word)) => {
                let name = match word.quote_style {
                    Some(_) => word.value.clone(),
                    None => word.value.to_lowercase(),
                };
                self.at += 1;
                Ok(name)
            }
            _ => self.expected(what),
        }
    }

    /// The name of a table: one part, or the schema that all tables are in before it, as programs write it.
    fn table(&mut self) -> Result<String, PlanError> {
        let mut parts = vec![self.name("the name of a table")?];
        while parts.len() < 3 && self.skip_token(&Token::Period) {
            parts.push(self.name("the name of a table")?);
        }
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        match parts.as_slice() {
            [name] | [DEFAULT_SCHEMA, name] | [DEFAULT_CATALOG, DEFAULT_SCHEMA, name]
                if self.peek() != Some(&Token::Period) =>
            {
                Ok((*name).to_owned())
            }
            _ => Err(PlanError::Unsupported {
                operator: "a name with another schema".to_owned(),
                reason: format!(
                    "tables that are written have one name, or are in {DEFAULT_CATALOG}.{DEFAULT_SCHEMA}"
                ),
            }),
        }
    }

    /// `(a, b)`.
    fn names(&mut self) -> Result<Vec<String>, PlanError> {
        if !self.skip_token(&Token::LParen) {
            return self.expected("a list of columns in parentheses");
        }
        let mut names = Vec::new();
        loop {
            let name = match self.peek() {
                Some(Token::SingleQuotedString(text)) => {
                    let name = text.clone();
                    self.at += 1;
                    name
                }
                _ => self.name("a column")?,
            };
            names.push(name);
            if self.skip_token(&Token::RParen) {
                return Ok(names);
            }
            if !self.skip_token(&Token::Comma) {
                return self.expected("a comma or a closing parenthesis");
            }
        }
    }

    /// The words up to the parenthesis that closes the one before.
    fn inside(&mut self) -> Result<Query, PlanError> {
        let from = self.at;
        let mut depth = 1;
        while let Some(token) = self.peek() {
            match token {
                Token::LParen => depth += 1,
                Token::RParen => depth -= 1,
                _ => {}
            }
            self.at += 1;
            if depth == 0 {
                return Ok(Query::Tokens(from, self.at - 1));
            }
        }
        self.expected("a closing parenthesis")
    }

    /// `COPY (query) TO 'place' (options)`, after its first word.
    pub(super) fn copy(&mut self) -> Result<Read, PlanError> {
        let query = if self.skip_token(&Token::LParen) {
            self.inside()?
        } else {
            let from = self.at;
            self.name("a query in parentheses, or the name of a table")?;
            while self.skip_token(&Token::Period) {
                self.name("a name")?;
            }
            let name: String =
                self.tokens[from..self.at].iter().map(|token| token.token.to_string()).collect();
            let columns = match self.peek() {
                Some(Token::LParen) => {
                    let names = self.names()?;
                    let quoted =
                        names.iter().map(|name| format!("\"{}\"", name.replace('"', "\"\"")));
                    quoted.collect::<Vec<_>>().join(", ")
                }
                _ => "*".to_owned(),
            };
            Query::Table(format!("{columns} FROM {name}"))
        };
        if self.peek_keyword() == Some(Keyword::FROM) {
            return Err(PlanError::Unsupported {
                operator: "COPY FROM".to_owned(),
                reason: "files are read where they are: make them a table, or name them in FROM; INSERT adds rows to a table".to_owned(),
            });
        }
        if !self.skip(Keyword::TO) {
            return self.expected("TO");
        }
        let place = match self.peek() {
            Some(Token::SingleQuotedString(place)) => place.clone(),
            Some(Token::Word(word)) if word.quote_style.is_some() => word.value.clone(),
            _ => return self.expected("a location in quotes, as 's3://bucket/folder/'"),
        };
        self.at += 1;
        let options = self.options()?;
        self.end()?;
        Ok(Read { target: Target::Place(place), options, query })
    }

    /// What says how rows are written: `(FORMAT x, …)`, and the engine's own `STORED AS`, `PARTITIONED BY`, `OPTIONS`.
    fn options(&mut self) -> Result<Vec<(String, Value, Location)>, PlanError> {
        let mut options = Vec::new();
        loop {
            let place = self.place();
            match self.peek_keyword() {
                Some(Keyword::WITH) => self.at += 1,
                Some(Keyword::STORED) => {
                    self.at += 1;
                    if !self.skip(Keyword::AS) {
                        return self.expected("AS");
                    }
                    options.push(("format".to_owned(), Value::One(self.name("a format")?), place));
                }
                Some(Keyword::PARTITIONED) => {
                    self.at += 1;
                    if !self.skip(Keyword::BY) {
                        return self.expected("BY");
                    }
                    options.push(("partition_by".to_owned(), Value::List(self.names()?), place));
                }
                Some(Keyword::OPTIONS) => self.at += 1,
                _ if self.peek() == Some(&Token::LParen) => options.extend(self.list()?),
                _ => return Ok(options),
            }
        }
    }

    /// `(name value, …)`.
    fn list(&mut self) -> Result<Vec<(String, Value, Location)>, PlanError> {
        self.at += 1;
        let mut options = Vec::new();
        if self.skip_token(&Token::RParen) {
            return Ok(options);
        }
        loop {
            let place = self.place();
            let mut name = match self.peek() {
                Some(Token::SingleQuotedString(text)) => {
                    let name = text.to_lowercase();
                    self.at += 1;
                    name
                }
                _ => self.name("an option, as FORMAT parquet")?.to_lowercase(),
            };
            while self.skip_token(&Token::Period) {
                name = format!("{name}.{}", self.name("a name")?);
            }
            self.skip_token(&Token::Eq);
            options.push((name, self.value()?, place));
            if self.skip_token(&Token::RParen) {
                return Ok(options);
            }
            if !self.skip_token(&Token::Comma) {
                return self.expected("a comma or a closing parenthesis");
            }
        }
    }

    fn value(&mut self) -> Result<Value, PlanError> {
        let one = |text: String| Ok(Value::One(text));
        let value = match self.peek() {
            Some(Token::SingleQuotedString(text) | Token::EscapedStringLiteral(text)) => {
                one(text.clone())
            }
            Some(Token::Number(number, _)) => one(number.clone()),
            Some(Token::Word(word)) => one(word.value.clone()),
            Some(Token::LParen) => return Ok(Value::List(self.names()?)),
            Some(Token::Comma | Token::RParen) => return Ok(Value::None),
            _ => return self.expected("a value"),
        };
        self.at += 1;
        value
    }

    /// Nothing but the end may follow.
    fn end(&mut self) -> Result<(), PlanError> {
        while self.skip_token(&Token::SemiColon) {}
        match self.peek() {
            None | Some(Token::EOF) => Ok(()),
            Some(_) => self.expected("the end of the statement"),
        }
    }

    /// `INSERT INTO table (columns) query`, after its first word.
    pub(super) fn insert(&mut self) -> Result<Read, PlanError> {
        let refused = |what: &str, reason: &str| {
            Err(PlanError::Unsupported { operator: what.to_owned(), reason: reason.to_owned() })
        };
        if self.peek_keyword() == Some(Keyword::OVERWRITE) {
            return refused("INSERT OVERWRITE", "rows are added and never replaced");
        }
        if !self.skip(Keyword::INTO) {
            return self.expected("INTO");
        }
        self.skip(Keyword::TABLE);
        let name = self.table()?;
        let is_query = |token: Option<&TokenWithSpan>| {
            matches!(
                keyword(token),
                Some(Keyword::SELECT | Keyword::WITH | Keyword::VALUES | Keyword::FROM)
            )
        };
        let columns = match self.peek() {
            Some(Token::LParen) if !is_query(self.tokens.get(self.at + 1)) => Some(self.names()?),
            _ => None,
        };
        if self.peek_keyword() == Some(Keyword::DEFAULT) {
            return refused("INSERT DEFAULT VALUES", "columns have no defaults");
        }
        if !is_query(self.tokens.get(self.at)) && self.peek() != Some(&Token::LParen) {
            return self.expected("a query or VALUES");
        }
        let query = Query::Tokens(self.at, self.tokens.len());
        let target = Target::Table { name, columns };
        Ok(Read { target, options: Vec::new(), query })
    }

    /// `CREATE TABLE table WITH (options) AS query`, after its first word. Nothing for another CREATE.
    pub(super) fn create(&mut self) -> Result<Option<Read>, PlanError> {
        let refused = |what: &str, reason: &str| {
            Err(PlanError::Unsupported { operator: what.to_owned(), reason: reason.to_owned() })
        };
        let replaces = self.skip(Keyword::OR) && self.skip(Keyword::REPLACE);
        if !self.skip(Keyword::TABLE) {
            return Ok(None);
        }
        // A table without a query is the engine's to refuse.
        if !self.tokens[self.at..].iter().any(|token| keyword(Some(token)) == Some(Keyword::AS)) {
            return Ok(None);
        }
        if replaces {
            return refused("CREATE OR REPLACE TABLE", "tables are made, and never replaced");
        }
        if self.peek_keyword() == Some(Keyword::IF) {
            return refused(
                "CREATE TABLE IF NOT EXISTS",
                "leave IF NOT EXISTS out: a table that is there is an error, and stays as it is",
            );
        }
        let name = self.table()?;
        if self.peek() == Some(&Token::LParen) {
            return refused(
                "a list of columns in CREATE TABLE AS",
                "the query's columns are the table's; name and cast them in the query",
            );
        }
        let options = self.options()?;
        if !self.skip(Keyword::AS) {
            return self.expected("AS and a query");
        }
        let query = Query::Tokens(self.at, self.tokens.len());
        Ok(Some(Read { target: Target::NewTable(name), options, query }))
    }
}
