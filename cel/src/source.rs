//! The text of an expression, and complaints about places in it. Upstream: cel-go common/{source,error,errors}.go

use std::fmt;

/// An expression's text by code points.
#[derive(Clone, Debug)]
pub struct Source {
    /// The text.
    pub text: Box<str>,
}

/// A complaint about a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issue {
    /// Where, in code points.
    pub at: usize,
    /// What.
    pub message: String,
}

impl Source {
    /// Of a text.
    pub fn new(text: &str) -> Self {
        Self { text: text.into() }
    }

    /// Line from 1, column from 0, and the text of the line.
    fn place(&self, at: usize) -> (usize, usize, &str) {
        let mut start = 0;
        for (number, line) in self.text.split('\n').enumerate() {
            let length = line.chars().count();
            if at <= start + length {
                return (number + 1, at - start, line);
            }
            start += length + 1;
        }
        (1, 0, self.text.split('\n').next().unwrap_or(""))
    }

    /// Complaints as cel-go prints them: sorted by place, with the line and a mark below it.
    pub fn display(&self, issues: &[Issue]) -> String {
        let mut sorted: Vec<&Issue> = issues.iter().collect();
        sorted.sort_by_key(|i| i.at);
        let texts: Vec<String> = sorted.iter().map(|i| Located { source: self, issue: i }.to_string()).collect();
        texts.join("\n")
    }
}

struct Located<'a> {
    source: &'a Source,
    issue: &'a Issue,
}

impl fmt::Display for Located<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (line, column, text) = self.source.place(self.issue.at);
        // an empty text has no first column
        let shown = column + usize::from(!self.source.text.is_empty());
        write!(f, "ERROR: <input>:{line}:{shown}: {}", self.issue.message)?;
        if !text.is_empty() {
            write!(f, "\n | {}\n | ", text.replace('\t', " "))?;
            // wide characters are marked with wide marks
            for c in text.chars().take(column) {
                f.write_str(if c.len_utf8() > 1 { "．" } else { "." })?;
            }
            f.write_str(if text.chars().nth(column).is_some_and(|c| c.len_utf8() > 1) { "＾" } else { "^" })?;
        }
        Ok(())
    }
}
