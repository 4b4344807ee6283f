//! Static bearer tokens of `--token-auth-file`: lines of `token,user,uid[,"group1,group2"]`.
//!
//! Read once at start.
//! upstream: staging/src/k8s.io/apiserver/pkg/authentication/token/tokenfile/tokenfile.go

use std::collections::HashMap;
use std::path::Path;

use component_base::error::PathError;

use super::user::UserInfo;

/// Why a token file could not be used.
#[derive(Debug, thiserror::Error)]
pub enum TokenFileError {
    /// It cannot be read.
    #[error(transparent)]
    Read(PathError),
    /// A line has too few columns.
    #[error("token file '{0}' must have at least 3 columns (token, user name, user uid), found {1}")]
    Columns(String, usize),
}

/// Tokens by their text.
#[derive(Debug, Default)]
pub struct TokenFile {
    tokens: HashMap<String, UserInfo>,
}

impl TokenFile {
    /// Reads the file.
    pub fn read(path: &Path) -> Result<Self, TokenFileError> {
        let shown = path.display().to_string();
        let text =
            std::fs::read_to_string(path).map_err(|error| TokenFileError::Read(PathError::reading(path, &error)))?;
        let mut tokens = HashMap::new();
        for line in text.lines().filter(|l| !l.trim().is_empty() && !l.starts_with('#')) {
            let columns = split_csv(line);
            let [token, name, uid, rest @ ..] = columns.as_slice() else {
                return Err(TokenFileError::Columns(shown, columns.len()));
            };
            if token.is_empty() {
                continue;
            }
            let groups = rest.first().map(|g| g.split(',').map(|g| g.trim().to_owned()).collect()).unwrap_or_default();
            let user = UserInfo { name: name.clone(), uid: uid.clone(), groups, ..UserInfo::default() };
            tokens.insert(token.clone(), user);
        }
        Ok(Self { tokens })
    }

    /// The user of a token.
    pub fn user(&self, token: &str) -> Option<UserInfo> {
        self.tokens.get(token).cloned()
    }
}

fn split_csv(line: &str) -> Vec<String> {
    let mut out = vec![String::new()];
    let mut quoted = false;
    for c in line.trim().chars() {
        match c {
            '"' => quoted = !quoted,
            ',' if !quoted => out.push(String::new()),
            c => {
                if let Some(last) = out.last_mut() {
                    last.push(c);
                }
            }
        }
    }
    out.iter().map(|s| s.trim().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_quoted_groups() {
        assert_eq!(split_csv(r#"t, u ,1,"a,b""#), ["t", "u", "1", "a,b"]);
    }
}
